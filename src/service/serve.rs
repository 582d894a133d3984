//! The service from its start to its end.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Access, access};
use thiserror::Error;

use super::begins::Begins;
use super::desk::{Desk, StartProgram, page_counts};
use super::group;
use super::heartbeat::Heartbeat;
use super::journal::Journal;
use super::keeping::Keeping;
use super::looker::Looker;
use super::notify::Notify;
use super::page::StatusPage;
use super::reload::ConfigFile;
use super::wire::{MOST_CLIENTS, Wire};
use super::words;
use crate::config::AfterPowerCut;
use crate::files::{LOCK, foreign, make_own};
use crate::machine::{Kept, Machine, MachineState};
use crate::protocol::{
    Closing, ErrorCode, ErrorFacts, ErrorReply, Event, EventLine, Lost, Outgoing,
};
use crate::sync::StopEvent;
use crate::units::Instant;

/// How long what was said last may take to reach the clients.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Where the service keeps its files.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The control socket.
    pub socket: PathBuf,
    /// The status page; none is written without it.
    pub page: Option<PathBuf>,
    /// Where the config is read from at a reload; without it there is none.
    pub config: Option<Arc<dyn ConfigFile>>,
    /// What has to outlive a restart; without it the service can't know how it ended.
    pub journal: Option<Journal>,
}

/// Why the service could not begin.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Another service listens there.
    #[error("another lockstep service listens on {0}: stop it, or give this one another --socket")]
    Taken(PathBuf),
    /// The socket, the status page or the state could not be set up.
    #[error("{what} {}: {error}", path.display())]
    Place {
        /// What.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system answered.
        error: io::Error,
    },
    /// The folder is somebody else's.
    #[error(
        "{} belongs to user {owner}, and anybody could have made it: name another --socket, or set $XDG_RUNTIME_DIR",
        folder.display()
    )]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// There is no such group.
    #[error(
        "[service] group: there is no group `{0}` on this machine: see /etc/group, or add it with `groupadd {0}`"
    )]
    NoGroup(String),
    /// The socket can't be given to that group.
    #[error(
        "[service] group: the socket can't be given to the group `{group}` ({error}): add the user that the service runs as to it with `usermod -aG {group} USER`, and start the service again"
    )]
    NotInGroup {
        /// The group.
        group: String,
        /// What the system answered.
        error: io::Error,
    },
    /// The system gave no thread.
    #[error("the control socket can't be served: {0}")]
    Wire(io::Error),
}

/// Where the service's files lie: `$RUNTIME_DIRECTORY`, which systemd sets; else `/run/lockstep`; else,
/// for a user who may not write there, `lockstep` in `$XDG_RUNTIME_DIR`, or in the folder for temporary
/// files.
pub fn runtime_folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("RUNTIME_DIRECTORY") {
        return folder.into();
    }
    let shared = PathBuf::from("/run/lockstep");
    // Whoever drives the header later finds its lock there.
    if let Ok(Some(folder)) = make_own(&shared)
        && let Err(e) = folder.lock_file(LOCK)
    {
        log::warn!("{}: {e}", folder.file(LOCK).display());
    }
    // Asked, not tried: whatever it makes could be led elsewhere by a link.
    if access(&shared, Access::WRITE_OK).is_ok() {
        return shared;
    }
    let own = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    own.join("lockstep")
}

/// The status page that belongs to a socket, beside it: `status` for `control.sock`, `NAME.status` for any other
/// `NAME.sock`, and for a `NAME` without that end. So services may have their sockets in one folder.
pub fn status_page(socket: &Path) -> PathBuf {
    let name = socket.file_name().unwrap_or_default();
    if name == "control.sock" {
        return socket.with_file_name("status");
    }
    let mut page = match name.to_str().and_then(|name| name.strip_suffix(".sock")) {
        Some(name) => name.into(),
        None => name.to_owned(),
    };
    page.push(".status");
    socket.with_file_name(page)
}

/// Serves a machine until `stop` is set: its motors move as clients and programs say. Then everything
/// comes to rest, and the machine makes its outputs safe.
///
/// # Errors
///
/// The service could not begin; no motor has moved.
pub fn serve(mut machine: Machine, places: &Places, stop: &StopEvent) -> Result<(), ServeError> {
    let group = machine.config().service.group.clone();
    let listener = listen(&places.socket, group.as_deref())?;
    // However this ends.
    let socket = SocketFile::of(&places.socket);
    let journal = places.journal.as_ref();
    let starts = machine.config().machine.after_power_cut == AfterPowerCut::Start;
    let cut = journal.is_some_and(Journal::power_was_cut);
    let fault = journal.and_then(Journal::unclean).filter(|_| !(cut && starts));
    let text = format!("{MOST_CLIENTS} clients are connected already: try again later");
    let full = ErrorReply::new(ErrorCode::TooManyClients, text)
        .with(ErrorFacts { closing: true, ..ErrorFacts::default() });
    let refusal = Outgoing::Reply { id: None, result: Err(full) }.to_line();
    let wire = Wire::start(listener, machine.waker(), refusal, lost).map_err(ServeError::Wire)?;
    let page = match &places.page {
        Some(path) => Some(
            StatusPage::create(path, page_counts(machine.config()))
                .map_err(|error| place("the status page", path, error))?,
        ),
        None => None,
    };
    // From here on an end is clean only if it says so.
    let begin = |journal: &Journal| {
        let begun = Keeping::begin(journal, &machine, fault.as_deref());
        begun.map_err(|error| place("the state folder", journal.folder(), error))
    };
    let keeping = journal.map(begin).transpose()?;
    if let Some(keeping) = &keeping {
        machine.ask_before_leaving(keeping.gate());
    }
    let notify = Notify::from_env();
    let looker = Looker::start(machine.waker()).map_err(ServeError::Wire)?;
    let begins = Begins::new(looker);
    let mut desk = Desk::new(&mut machine, begins, places.config.clone(), &wire, page, fault);
    desk.keeping = keeping.clone();
    if desk.fault.is_none()
        && let Some(why) = journal.filter(|_| cut).and_then(Journal::unclean)
    {
        log::warn!("{why}; it begins by itself, as `after-power-cut` says");
    }
    desk.open();
    notify.ready(&format!("{} motors on {}", desk.config.motors.len(), desk.machine.backend()));
    let mut heartbeat = Heartbeat::new(&notify, desk.machine.now());
    let mut said = String::new();
    while !stop.is_set() {
        desk.turn();
        heartbeat.beat(&mut desk, &notify);
        let status = desk.status_line();
        if status != said {
            notify.status(&status);
            said = status;
        }
    }
    notify.stopping();
    desk.tell(&Event::Closing(Closing { reason: "the service ends".to_owned() }));
    let (fault, mut stand) = desk.end();
    drop(desk);
    let left = machine.finish();
    wire.flush(LAST_WORDS);
    drop(wire);
    drop(socket);
    let noted = keeping.is_none_or(|keeping| keeping.close());
    if !noted {
        log::error!("the state folder does not answer: the next start will find this end unclean");
    }
    if let Some(journal) = journal.filter(|_| noted) {
        stand.extend(machine.kept_places());
        let fault = fault.or_else(|| {
            (!left.is_empty()).then(|| format!("the loops of {} did not end", left.join(", ")))
        });
        let noted = match fault {
            Some(why) => journal.end_in_fault(&why, machine.config(), &stand),
            None => journal.end(machine.config(), &stand),
        };
        if let Err(e) = noted {
            log::error!(
                "how the service ended can't be noted in {}: {e}",
                journal.folder().display()
            );
        }
    }
    Ok(())
}

fn lost(count: u64) -> String {
    let line = EventLine { seq: 0, at_s: 0.0, event: Event::Lost(Lost { count }) };
    Outgoing::Event(line).to_line()
}

fn place(what: &'static str, path: &Path, error: io::Error) -> ServeError {
    ServeError::Place { what, path: path.to_owned(), error }
}

/// The socket's name, taken away with this unless another has it by then.
struct SocketFile<'a> {
    path: &'a Path,
    made: Option<(u64, u64)>,
}

impl SocketFile<'_> {
    fn of(path: &Path) -> SocketFile<'_> {
        SocketFile { path, made: SocketFile::numbers(path) }
    }

    fn numbers(path: &Path) -> Option<(u64, u64)> {
        std::fs::symlink_metadata(path).ok().map(|known| (known.dev(), known.ino()))
    }
}

impl Drop for SocketFile<'_> {
    fn drop(&mut self) {
        if self.made.is_some() && self.made == SocketFile::numbers(self.path) {
            let _ = std::fs::remove_file(self.path);
        }
    }
}

/// Listens on a path, for its owner and that group. A socket that nobody listens on any more is
/// replaced; anything else that lies there is left alone.
fn listen(path: &Path, group: Option<&str>) -> Result<UnixListener, ServeError> {
    let error = |error| place("the control socket", path, error);
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        if let Some(above) = folder.parent() {
            std::fs::create_dir_all(above).map_err(error)?;
        }
        drop(make_own(folder).map_err(error)?);
        if let Some(owner) = foreign(folder) {
            return Err(ServeError::Foreign { folder: folder.to_owned(), owner });
        }
    }
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket());
    if is_socket {
        match UnixStream::connect(path) {
            Ok(_) => return Err(ServeError::Taken(path.to_owned())),
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(error)?;
            }
            Err(e) => return Err(error(e)),
        }
    }
    // Before the socket is there: a group that can't have it leaves nothing behind.
    let group = group.map(group::number).transpose()?;
    group::bind(path, group.as_ref())
}

impl Desk<'_> {
    /// Start-up moves and start program, or after an unclean end what has to be cleared first.
    pub(super) fn open(&mut self) {
        match &self.fault {
            Some(why) => {
                log::warn!("{why}; nothing moves until `lockstep clear`");
                self.start_up_waits = true;
            }
            None => self.start_up(),
        }
    }

    /// Servos that have a start-up position go there, and the start program begins.
    pub(super) fn start_up(&mut self) {
        for refused in self.machine.start_up_moves() {
            log::error!("{refused}");
        }
        if let Some(name) = self.config.machine.start_program.clone() {
            let motors = match crate::programs::Program::new(&self.config, Some(&name)) {
                Ok(program) => program.motors(),
                Err(e) => return log::error!("{e}"),
            };
            let motors = motors.into_iter().map(|m| self.config.motors[m].name.clone()).collect();
            self.start_when_ready = Some(StartProgram { name, motors });
        }
    }

    /// A line for `systemctl status`.
    fn status_line(&self) -> String {
        let state = match (&self.fault, self.machine.state()) {
            (Some(why), _) if why == words::HALTED => return why.clone(),
            (Some(fault), _) => return format!("fault: {fault}"),
            (None, MachineState::Idle) => "idle".to_owned(),
            (None, state) => state.word().to_owned(),
        };
        match self.programs.first() {
            Some(program) => format!("{state}; running {}", program.name()),
            None => state,
        }
    }

    /// Everything comes to rest, and the programs end. Says why the end is no clean one, and where the
    /// motors stood before their signals ended.
    pub(super) fn end(&mut self) -> (Option<String>, BTreeMap<String, Kept>) {
        self.stop_motors(None);
        let deadline = self.machine.now() + Duration::from_secs(10);
        while !self.programs.is_empty() && self.machine.now() < deadline {
            self.turn();
        }
        // A motor that is on its way is told of once it rests; a servo is where it was told to be, also
        // where it is let go now.
        let mut stand = self.machine.kept_places();
        stand.retain(|_, kept| kept.angle.is_some());
        match self.fault {
            Some(_) => self.machine.stop_in_place(),
            None => self.machine.stop(),
        }
        let snapshot = self.machine.snapshot();
        let faulty = snapshot.motors.iter().find_map(|m| Some((&m.motor, m.fault.as_ref()?)));
        let fault = self.fault.clone().or(faulty.map(|(motor, fault)| format!("{motor}: {fault}")));
        let halted = || {
            let halted = snapshot.state == MachineState::Halted;
            halted.then(|| "the machine was halted by a second signal".to_owned())
        };
        (fault.or_else(halted), stand)
    }
}

/// When a start program that has to wait for start-up moves looks again.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The instant after that.
pub(super) fn look_again(now: Instant) -> Instant {
    now + LOOK_AGAIN
}
