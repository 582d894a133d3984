//! The service from its start to its end.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::desk::Desk;
use super::heartbeat::Heartbeat;
use super::notify::Notify;
use super::page::StatusPage;
use super::wire::{MOST_CLIENTS, Wire};
use crate::machine::{Machine, MachineState};
use crate::protocol::{
    Closing, ErrorCode, ErrorFacts, ErrorReply, Event, EventLine, Lost, Outgoing,
};
use crate::sync::StopEvent;
use crate::units::Instant;

/// How long what was said last may take to reach the clients.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// In the state folder while the service runs: one that is there at the start was left by a crash.
const RUNNING: &str = "running";

/// Where the service keeps its files.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The control socket.
    pub socket: PathBuf,
    /// The status page; none is written without it.
    pub page: Option<PathBuf>,
    /// What has to outlive a restart; without it the service can't know that it ended uncleanly.
    pub state: Option<PathBuf>,
}

/// Why the service could not begin.
#[derive(Debug, Error)]
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
    let writable = |f: &Path| {
        let probe = f.join(format!(".probe-{}", std::process::id()));
        let made = std::fs::write(&probe, "").is_ok();
        let _ = std::fs::remove_file(probe);
        made
    };
    let _ = std::fs::create_dir(&shared);
    if writable(&shared) {
        return shared;
    }
    let own = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    own.join("lockstep")
}

/// Serves a machine until `stop` is set: its motors move as clients and programs say. Then everything
/// comes to rest, and the machine makes its outputs safe.
///
/// # Errors
///
/// The service could not begin; no motor has moved.
pub fn serve(mut machine: Machine, places: &Places, stop: &StopEvent) -> Result<(), ServeError> {
    let fault = begin(places)?;
    let listener = listen(&places.socket)?;
    let text = format!("{MOST_CLIENTS} clients are connected already: try again later");
    let full = ErrorReply::new(ErrorCode::TooManyClients, text)
        .with(ErrorFacts { closing: true, ..ErrorFacts::default() });
    let refusal = Outgoing::Reply { id: None, result: Err(full) }.to_line();
    let wire = Wire::start(listener, machine.waker(), refusal, lost).map_err(ServeError::Wire)?;
    let page = match &places.page {
        Some(path) => Some(
            StatusPage::create(path, machine.config().motors.len())
                .map_err(|error| place("the status page", path, error))?,
        ),
        None => None,
    };
    let notify = Notify::from_env();
    let config = machine.shared_config();
    let unclean = fault.is_some();
    let mut desk = Desk::new(&mut machine, &config, &wire, page, fault);
    if unclean {
        log::warn!("the service did not end cleanly before: nothing moves until `lockstep clear`");
    } else {
        desk.start_up();
    }
    notify.ready(&format!("{} motors on {}", config.motors.len(), desk.machine.backend()));
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
    let was_clean = desk.fault.is_none();
    desk.tell(&Event::Closing(Closing { reason: "the service ends".to_owned() }));
    desk.end();
    drop(desk);
    let left = machine.finish();
    wire.flush(LAST_WORDS);
    drop(wire);
    let _ = std::fs::remove_file(&places.socket);
    if was_clean && left.is_empty() {
        end(places);
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

/// Notes that the service runs. Says why nothing may move by itself, if the one before did not end as
/// it should.
fn begin(places: &Places) -> Result<Option<String>, ServeError> {
    let Some(folder) = &places.state else { return Ok(None) };
    let error = |error| place("the state folder", folder, error);
    std::fs::create_dir_all(folder).map_err(error)?;
    let mark = folder.join(RUNNING);
    let left = mark.exists();
    std::fs::write(&mark, format!("{}\n", std::process::id())).map_err(error)?;
    let why = "the service did not end cleanly before, so nobody knows what the motors did";
    Ok(left.then(|| why.to_owned()))
}

/// A clean end.
fn end(places: &Places) {
    if let Some(folder) = &places.state
        && let Err(e) = std::fs::remove_file(folder.join(RUNNING))
    {
        log::warn!("the clean end could not be noted: {e}");
    }
}

/// Listens on a path. A socket that nobody listens on any more is replaced; anything else that lies
/// there is left alone.
fn listen(path: &Path) -> Result<UnixListener, ServeError> {
    let error = |error| place("the control socket", path, error);
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(error)?;
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
    let listener = UnixListener::bind(path).map_err(error)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(error)?;
    Ok(listener)
}

impl Desk<'_> {
    /// Servos that have a start-up position go there, and the start program begins.
    fn start_up(&mut self) {
        for refused in self.machine.start_up_moves() {
            log::error!("{refused}");
        }
        if let Some(program) = self.config.machine.start_program.clone() {
            self.start_when_ready = Some(program);
        }
    }

    /// A line for `systemctl status`.
    fn status_line(&self) -> String {
        let state = match (&self.fault, self.machine.state()) {
            (Some(fault), _) => return format!("fault: {fault}"),
            (None, MachineState::Idle) => "idle".to_owned(),
            (None, state) => state.word().to_owned(),
        };
        match self.programs.first() {
            Some(program) => format!("{state}; running {}", program.name()),
            None => state,
        }
    }

    /// Everything comes to rest, and the programs end.
    fn end(&mut self) {
        self.stop_motors(None);
        let deadline = self.machine.now() + Duration::from_secs(10);
        while !self.programs.is_empty() && self.machine.now() < deadline {
            self.turn();
        }
        self.machine.stop();
    }
}

/// When a start program that has to wait for start-up moves looks again.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The instant after that.
pub(super) fn look_again(now: Instant) -> Instant {
    now + LOOK_AGAIN
}
