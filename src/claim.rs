//! Who drives this machine's header, and the config that was accepted last.
//!
//! A run on hardware takes the [`Claim`] before it opens an output: a lock in the runtime folder, which
//! the kernel gives back when the process is gone, however it went. Beside it lies the text of the
//! config that the run accepted, and the list of its outputs, so that [`lockstep safe`](crate::safe) needs
//! nothing else, whatever became of the file in the meantime, and of the keys that are known.
//!
//! The runtime folder is `$RUNTIME_DIRECTORY`, which systemd sets for a unit with `RuntimeDirectory=`;
//! else `/run/lockstep`; else, for a user who may not write there, `lockstep` in `$XDG_RUNTIME_DIR`. All
//! of them lie in memory: a reboot, which ends every signal, empties them.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{Access, FlockOperation, access, flock};
use rustix::io::Errno;
use thiserror::Error;

use crate::files::{Folder, LOCK, MOST_CONFIG, Trust, foreign, make_own, sum};

const ACCEPTED: &str = "accepted.toml";
/// Beside it while one config takes the place of another: the one to come.
const CHANGING: &str = "changing.toml";
/// Beside each of them: the list of its outputs.
const ACCEPTED_OUTPUTS: &str = "outputs.json";
const CHANGING_OUTPUTS: &str = "changing.json";
/// The most bytes that are read of a lock, and of a list of outputs.
const MOST_SIGNED: u64 = 256;
const MOST_OUTPUTS: u64 = 1 << 20;
/// How long a process that was killed may take to be gone: until then it has its locks.
const GOING: Duration = Duration::from_secs(1);
/// In front of the name of the file that a config came from, in the last line of its copy: there it
/// moves no line that an error could name.
const CAME_FROM: &str = "# accepted from ";
/// In front of the sum of the list of outputs that belongs to the copy, in the line before. A copy that an
/// earlier release has written has none, and no list that lies there is its own.
const OUTPUTS: &str = "# outputs ";

/// Why the header could not be claimed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// A process that is alive has it.
    #[error(
        "another lockstep{} drives this header: end it, and it makes its outputs safe by itself; two at \
         once would fight for the pins",
        match process {
            Some(process) => format!(" (process {process})"),
            None => String::new(),
        }
    )]
    Taken {
        /// The process, as far as it said.
        process: Option<u32>,
    },
    /// The lock can't be tried.
    #[error("{}: {error}: it is what keeps two programs from driving one header", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What the system answered, or what is wrong with it.
        error: io::Error,
    },
    /// The lock is not for this user: so nor is the header.
    #[error(
        "{}: this user may not lock it, and so may not drive the header: join the group that may \
         (`sudo usermod -aG gpio $USER`, then log in again); where it is not there yet, `sudo lockstep safe` makes it",
        .0.display()
    )]
    Denied(PathBuf),
}

/// The right to drive the header. It ends with this value, or with the process.
#[derive(Debug)]
pub struct Claim {
    /// One for each runtime folder that is there; the kernel unlocks them when they are closed.
    _locks: Vec<File>,
    /// Where this process may write.
    folder: Option<Folder>,
    /// How whoever drove the header last has signed.
    drove: Option<String>,
    /// How this process has.
    signature: Option<String>,
}

/// The copy of a config that a run accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// Where the copy lies.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// The file that it was read from then, as the run was given it.
    pub came_from: Option<String>,
    /// The list that lies beside it.
    list: Option<String>,
    next: Option<Box<Accepted>>,
}

impl Claim {
    /// Takes the header for this process. One that has it is given a second: it may have been killed
    /// just now, and be on its way out.
    ///
    /// # Errors
    ///
    /// A process that is alive has it; or a lock can't be tried, since it is strange or not for this user. A user
    /// who may write into no runtime folder still gets the claim: then there is no [`Claim::folder`].
    pub fn take() -> Result<Claim, ClaimError> {
        Claim::take_in(&folders(), GOING)
    }

    fn take_in(folders: &[PathBuf], patience: Duration) -> Result<Claim, ClaimError> {
        let until = Instant::now() + patience;
        let mut claim = Claim { _locks: Vec::new(), folder: None, drove: None, signature: None };
        for path in folders {
            // Where this user can't make one, another may still have: whose lock counts.
            let _ = make_own(path);
            let found = open(path).map_err(|error| lock(path.clone(), error))?;
            let Some(folder) = found else { continue };
            let path = folder.file(LOCK);
            let file = folder.lock_file(LOCK).map_err(|error| match error.raw_os_error() {
                Some(_) if error.kind() == ErrorKind::PermissionDenied => {
                    ClaimError::Denied(path.clone())
                }
                _ => lock(path.clone(), error),
            })?;
            while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
                if error != Errno::WOULDBLOCK {
                    return Err(lock(path, error.into()));
                }
                if Instant::now() >= until {
                    return Err(ClaimError::Taken { process: owner(file) });
                }
                thread::sleep(Duration::from_millis(5));
            }
            let drove = signed(&file);
            sign(&file, drove.as_deref());
            claim.drove = claim.drove.or(drove);
            if claim.folder.is_none() && access(folder.path(), Access::WRITE_OK).is_ok() {
                claim.folder = Some(folder);
            }
            claim._locks.push(file);
        }
        Ok(claim)
    }

    /// Signs that this process drives the header from now on, and makes steps. Whoever only makes
    /// outputs safe does not.
    pub fn drive(&mut self) {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let nanos = since_epoch.map_or(0, |d| d.as_nanos());
        let signature = format!("{}-{nanos}", std::process::id());
        self._locks.iter().for_each(|file| sign(file, Some(&signature)));
        self.signature = Some(signature);
    }

    /// How this process has signed, once it [drives](Claim::drive) the header.
    pub fn signature(&self) -> Option<&str> {
        self.signature.as_deref()
    }

    /// How whoever drove the header before this process has signed; `None`: nobody since the last
    /// reboot, as far as that can be known.
    pub fn drove(&self) -> Option<&str> {
        self.drove.as_deref()
    }

    /// The runtime folder that this process may write into, if there is one.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(Folder::path)
    }

    /// Keeps the text of a config that is about to be carried out, with the list of its `outputs`;
    /// `came_from` is its file. A reader sees the whole of both or those before. Returns where the text
    /// lies; `None` without a folder.
    ///
    /// # Errors
    ///
    /// The copy can't be written.
    pub fn keep(&self, text: &str, came_from: &str, outputs: &str) -> io::Result<Option<PathBuf>> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let path = write(folder, ACCEPTED, text, came_from, outputs)?;
        // Left by one that died in a change, and was made safe.
        for left in [CHANGING, CHANGING_OUTPUTS] {
            let _ = folder.remove(left);
        }
        Ok(Some(path))
    }

    /// Keeps the text of a config that is about to take the place of the one that is kept. Until
    /// [`Claim::changed`] both count: see [`Accepted::changing`].
    ///
    /// # Errors
    ///
    /// It can't be written.
    pub fn changing(&self, text: &str, came_from: &str, outputs: &str) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        write(folder, CHANGING, text, came_from, outputs).map(drop)
    }

    /// The change is over: the config to come holds, or what held before does.
    ///
    /// # Errors
    ///
    /// The files can't be changed: both count, still.
    pub fn changed(&self, holds: bool) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        // Between the two the text alone counts.
        if holds {
            folder.rename(CHANGING, ACCEPTED)?;
            folder.rename(CHANGING_OUTPUTS, ACCEPTED_OUTPUTS)
        } else {
            folder.remove(CHANGING)?;
            folder.remove(CHANGING_OUTPUTS)
        }
    }
}

impl Accepted {
    /// The config that was about to take its place when the process died, if one was: outputs of both
    /// may be in use.
    pub fn changing(&self) -> Option<&Accepted> {
        self.next.as_deref()
    }

    /// The list of outputs that was kept with it; `None` where none was, or it was replaced since.
    pub fn outputs(&self) -> Option<&str> {
        let mut last = self.text.lines().rev().take(2);
        let told = last.find_map(|line| line.strip_prefix(OUTPUTS))?;
        self.any_outputs().filter(|list| sum(list.as_bytes()) == told)
    }

    /// The list of outputs that lies beside it, whether it belongs to it or not.
    pub fn any_outputs(&self) -> Option<&str> {
        self.list.as_deref()
    }
}

/// Writes a config's text into a file of the runtime folder, and the list of its outputs before that: until
/// the text is there, the list is nobody's.
fn write(
    folder: &Folder,
    name: &str,
    text: &str,
    came_from: &str,
    outputs: &str,
) -> io::Result<PathBuf> {
    let (list, _) = beside(name);
    // Nothing lies on a disk here: a name changes hands once the text is complete.
    folder.write(list, 0o644, outputs.as_bytes())?;
    let (came_from, sum) = (came_from.escape_debug(), sum(outputs.as_bytes()));
    let text = format!("{text}\n{OUTPUTS}{sum}\n{CAME_FROM}{came_from}\n");
    folder.write(name, 0o644, text.as_bytes())?;
    Ok(folder.file(name))
}

/// The list that belongs to a copy, and the copy that may follow it.
fn beside(name: &str) -> (&'static str, Option<&'static str>) {
    match name {
        CHANGING => (CHANGING_OUTPUTS, None),
        _ => (ACCEPTED_OUTPUTS, Some(CHANGING)),
    }
}

fn read(folder: &Folder, name: &str) -> Option<Accepted> {
    // Two lines are added to it.
    let text = read_text(folder, name, MOST_CONFIG + (64 << 10))?;
    let last = text.lines().last().unwrap_or_default();
    let came_from = last.strip_prefix(CAME_FROM).map(str::to_owned);
    let (list, next) = beside(name);
    let list = read_text(folder, list, MOST_OUTPUTS);
    let next = next.and_then(|next| read(folder, next)).map(Box::new);
    Some(Accepted { path: folder.file(name), text, came_from, list, next })
}

/// A text of a runtime folder. One that is there and can't be believed is said, and does not count.
fn read_text(folder: &Folder, name: &str, most: u64) -> Option<String> {
    match folder.read_text(name, most) {
        Ok(text) => Some(text),
        Err(e) if e.kind() == ErrorKind::NotFound => None,
        Err(e) => {
            log::warn!("{} does not count: {e}", folder.file(name).display());
            None
        }
    }
}

/// A runtime folder, if it is there. Root has given it to whom it belongs, or it is the user's whom this is about; a
/// stranger's in a place where everybody can make one is refused.
fn open(path: &Path) -> io::Result<Option<Folder>> {
    if let Some(user) = foreign(path) {
        let text = format!("it belongs to user {user}, and anybody could have made it");
        return Err(io::Error::new(ErrorKind::InvalidInput, text));
    }
    match Folder::open(path, Trust::Owner) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        folder => folder.map(Some),
    }
}

fn lock(path: PathBuf, error: io::Error) -> ClaimError {
    ClaimError::Lock { path, error }
}

/// Writes this process' number into the lock, for errors, and who drives the header. Without it they
/// say less.
fn sign(mut file: &File, drives: Option<&str>) {
    let text = format!("{}\n{}", std::process::id(), drives.unwrap_or_default());
    let written = file.set_len(0).and_then(|()| file.rewind());
    let _ = written.and_then(|()| file.write_all(text.as_bytes()));
}

/// The lines of a lock.
fn lines(mut file: &File) -> Option<Vec<String>> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.take(MOST_SIGNED).read_to_string(&mut text)).ok()?;
    Some(text.lines().map(str::to_owned).collect())
}

fn signed(file: &File) -> Option<String> {
    // It is written into the journal.
    let clean = |line: &String| line.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    lines(file)?.into_iter().nth(1).filter(|line| !line.is_empty() && clean(line))
}

fn owner(file: File) -> Option<u32> {
    lines(&file)?.first()?.trim().parse().ok()
}

/// The config that was accepted last on this machine, as far as this user can know.
pub fn last_accepted() -> Option<Accepted> {
    last_accepted_in(&folders())
}

fn last_accepted_in(folders: &[PathBuf]) -> Option<Accepted> {
    let mut all: Vec<((i64, i64), Folder)> = Vec::new();
    for path in folders {
        match open(path) {
            Ok(Some(folder)) => {
                all.extend(folder.written(ACCEPTED).map(|at| (at, folder)));
            }
            Ok(None) => {}
            Err(e) => log::warn!("{} does not count: {e}", path.display()),
        }
    }
    // The newest: one that can't be read is passed over.
    all.sort_by_key(|(written, _)| *written);
    all.iter().rev().find_map(|(_, folder)| read(folder, ACCEPTED))
}

/// The runtime folders to look into, the first that can be written to keep things in.
fn folders() -> Vec<PathBuf> {
    let env = |name| std::env::var_os(name).filter(|v| !v.is_empty());
    if let Some(list) = env("RUNTIME_DIRECTORY") {
        // systemd separates several by colons.
        return std::env::split_paths(&list).take(1).collect();
    }
    let mut folders = vec![PathBuf::from("/run/lockstep")];
    let of_user = match (env("XDG_RUNTIME_DIR"), env("SUDO_UID")) {
        (Some(folder), _) => Some(PathBuf::from(folder)),
        // Whoever makes things safe by sudo means what they ran without.
        (None, Some(user)) => Some(Path::new("/run/user").join(user)),
        (None, None) => None,
    };
    folders.extend(of_user.filter(|f| f.is_dir()).map(|f| f.join("lockstep")));
    folders
}

#[cfg(test)]
mod tests;
