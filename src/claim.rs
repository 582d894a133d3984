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

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{Access, FlockOperation, access, flock};
use rustix::io::Errno;
use thiserror::Error;

use crate::files::sum;

const LOCK: &str = "lock";
const ACCEPTED: &str = "accepted.toml";
/// Beside it while one config takes the place of another: the one to come.
const CHANGING: &str = "changing.toml";
/// Beside each of them: the list of its outputs.
const ACCEPTED_OUTPUTS: &str = "outputs.json";
const CHANGING_OUTPUTS: &str = "changing.json";
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
    #[error("{}: {error}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        error: io::Error,
    },
}

/// The right to drive the header. It ends with this value, or with the process.
#[derive(Debug)]
pub struct Claim {
    /// One for each runtime folder that is there; the kernel unlocks them when they are closed.
    _locks: Vec<File>,
    /// Where this process may write.
    folder: Option<PathBuf>,
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
}

impl Claim {
    /// Takes the header for this process. One that has it is given a second: it may have been killed
    /// just now, and be on its way out.
    ///
    /// # Errors
    ///
    /// A process that is alive has it, or a lock that is there can't be tried. A user who may write
    /// into no runtime folder still gets the claim: then there is no [`Claim::folder`].
    pub fn take() -> Result<Claim, ClaimError> {
        Claim::take_in(&folders(), GOING)
    }

    fn take_in(folders: &[PathBuf], patience: Duration) -> Result<Claim, ClaimError> {
        let until = Instant::now() + patience;
        let mut claim = Claim { _locks: Vec::new(), folder: None, drove: None, signature: None };
        for folder in folders {
            // A folder that this user may not make or write is another's, whose lock still counts.
            let _ = fs::create_dir(folder);
            let path = folder.join(LOCK);
            let mut writable = File::options();
            writable.read(true).write(true).create(true).truncate(false);
            // A lock that another user has made can't be written, and locks all the same.
            let Ok(file) = writable.open(&path).or_else(|_| File::open(&path)) else { continue };
            while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
                if error != Errno::WOULDBLOCK {
                    return Err(ClaimError::Lock { path, error: error.into() });
                }
                if Instant::now() >= until {
                    return Err(ClaimError::Taken { process: owner(file) });
                }
                thread::sleep(Duration::from_millis(5));
            }
            // Whoever drives the header next, as any user, signs in it.
            let _ = file.set_permissions(Permissions::from_mode(0o666));
            let drove = signed(&file);
            sign(&file, drove.as_deref());
            claim.drove = claim.drove.or(drove);
            if claim.folder.is_none() && access(folder, Access::WRITE_OK).is_ok() {
                claim.folder = Some(folder.clone());
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
        self.folder.as_deref()
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
            let _ = fs::remove_file(folder.join(left));
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
        let (next, outputs) = (folder.join(CHANGING), folder.join(CHANGING_OUTPUTS));
        // Between the two the text alone counts.
        if holds {
            fs::rename(next, folder.join(ACCEPTED))?;
            fs::rename(outputs, folder.join(ACCEPTED_OUTPUTS))
        } else {
            fs::remove_file(next)?;
            fs::remove_file(outputs)
        }
    }
}

impl Accepted {
    /// The config that was about to take its place when the process died, if one was: outputs of both
    /// may be in use.
    pub fn changing(&self) -> Option<Accepted> {
        read(self.path.with_file_name(CHANGING))
    }

    /// The list of outputs that was kept with it; `None` where none was, or it was replaced since.
    pub fn outputs(&self) -> Option<String> {
        let mut last = self.text.lines().rev().take(2);
        let told = last.find_map(|line| line.strip_prefix(OUTPUTS))?;
        self.any_outputs().filter(|list| sum(list.as_bytes()) == told)
    }

    /// The list of outputs that lies beside it, whether it belongs to it or not.
    pub fn any_outputs(&self) -> Option<String> {
        let changing = self.path.file_name().is_some_and(|name| name == CHANGING);
        let name = if changing { CHANGING_OUTPUTS } else { ACCEPTED_OUTPUTS };
        fs::read_to_string(self.path.with_file_name(name)).ok()
    }
}

/// Writes a config's text into a file of the runtime folder, and the list of its outputs before that: until
/// the text is there, the list is nobody's.
fn write(
    folder: &Path,
    name: &str,
    text: &str,
    came_from: &str,
    outputs: &str,
) -> io::Result<PathBuf> {
    let list = if name == CHANGING { CHANGING_OUTPUTS } else { ACCEPTED_OUTPUTS };
    put(folder, list, outputs)?;
    let (came_from, sum) = (came_from.escape_debug(), sum(outputs.as_bytes()));
    put(folder, name, &format!("{text}\n{OUTPUTS}{sum}\n{CAME_FROM}{came_from}\n"))
}

fn put(folder: &Path, name: &str, text: &str) -> io::Result<PathBuf> {
    let new = folder.join(format!("{name}.new"));
    // One that is left may belong to another user.
    let _ = fs::remove_file(&new);
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    // Nothing lies on a disk here: the name changes hands once the text is complete.
    drop(file);
    let path = folder.join(name);
    fs::rename(&new, &path)?;
    Ok(path)
}

fn read(path: PathBuf) -> Option<Accepted> {
    let text = fs::read_to_string(&path).ok()?;
    let last = text.lines().last().unwrap_or_default();
    let came_from = last.strip_prefix(CAME_FROM).map(str::to_owned);
    Some(Accepted { path, text, came_from })
}

/// Writes this process' number into the lock, for errors, and who drives the header. Without it they
/// say less.
fn sign(mut file: &File, drives: Option<&str>) {
    let text = format!("{}\n{}", std::process::id(), drives.unwrap_or_default());
    let written = file.set_len(0).and_then(|()| file.rewind());
    let _ = written.and_then(|()| file.write_all(text.as_bytes()));
}

fn signed(mut file: &File) -> Option<String> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).ok()?;
    text.lines().nth(1).filter(|line| !line.is_empty()).map(str::to_owned)
}

fn owner(mut file: File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.lines().next()?.trim().parse().ok()
}

/// The config that was accepted last on this machine, as far as this user can know.
pub fn last_accepted() -> Option<Accepted> {
    last_accepted_in(&folders())
}

fn last_accepted_in(folders: &[PathBuf]) -> Option<Accepted> {
    let mut all: Vec<(SystemTime, PathBuf)> = Vec::new();
    for folder in folders {
        let path = folder.join(ACCEPTED);
        if let Ok(written) = fs::metadata(&path).and_then(|m| m.modified()) {
            all.push((written, path));
        }
    }
    // The newest: one that can't be read is passed over.
    all.sort();
    all.into_iter().rev().find_map(|(_, path)| read(path))
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
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn two() -> (tempfile::TempDir, Vec<PathBuf>) {
        let root = tempfile::tempdir().unwrap();
        let folders = vec![root.path().join("a"), root.path().join("b")];
        (root, folders)
    }

    #[test]
    fn one_process_at_a_time() {
        let (_root, folders) = two();
        let claim = Claim::take_in(&folders, NOW).unwrap();
        assert_eq!(claim.folder(), Some(folders[0].as_path()));
        // Also through the second folder alone.
        for some in [&folders[..], &folders[1..]] {
            let taken = Claim::take_in(some, NOW);
            assert!(matches!(taken, Err(ClaimError::Taken { .. })), "{taken:?}");
        }
        let error = Claim::take_in(&folders, NOW).unwrap_err().to_string();
        let process = std::process::id();
        assert!(
            error.starts_with(&format!("another lockstep (process {process}) drives")),
            "{error}"
        );
        // One that goes in time was only on its way out.
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(30));
                drop(claim);
            });
            Claim::take_in(&folders, Duration::from_secs(20)).unwrap();
        });
    }

    #[test]
    fn the_copy_is_the_text_and_the_newest_counts() {
        let (_root, folders) = two();
        assert_eq!(last_accepted_in(&folders), None);
        let text = "[servo.pan]\npwm = { gpio = 18 }";
        let claim = Claim::take_in(&folders, NOW).unwrap();
        let path = claim.keep(text, "/etc/a.toml", "[1]").unwrap().unwrap();
        let kept = last_accepted_in(&folders).unwrap();
        assert_eq!((kept.path, kept.came_from.as_deref()), (path, Some("/etc/a.toml")));
        assert!(kept.text.starts_with(text));
        let same = |text: &str| crate::config::Config::from_str(text, "t").unwrap().config;
        assert_eq!(same(&kept.text), same(text));
        drop(claim);
        std::thread::sleep(std::time::Duration::from_millis(20));
        let other = Claim::take_in(&folders[1..], NOW).unwrap();
        other.keep("# another", "b\n.toml", "[2]").unwrap();
        let kept = last_accepted_in(&folders).unwrap();
        assert!(kept.text.starts_with("# another"));
        assert_eq!(kept.came_from.as_deref(), Some("b\\n.toml"));
    }

    #[test]
    fn who_drove_last_is_known_also_when_others_made_it_safe() {
        let (_root, folders) = two();
        let mut first = Claim::take_in(&folders, NOW).unwrap();
        assert_eq!((first.drove(), first.signature()), (None, None));
        first.drive();
        let signature = first.signature().unwrap().to_owned();
        drop(first);
        // It only looks.
        drop(Claim::take_in(&folders, NOW).unwrap());
        let mut next = Claim::take_in(&folders, NOW).unwrap();
        assert_eq!(next.drove(), Some(signature.as_str()));
        next.drive();
        assert_ne!(next.signature(), Some(signature.as_str()));
    }

    /// Between two configs both count; after it one.
    #[test]
    fn a_change_is_seen_until_it_is_over() {
        let (_root, folders) = two();
        let claim = Claim::take_in(&folders, NOW).unwrap();
        let kept = |text: &str| last_accepted_in(&folders).unwrap().text.starts_with(text);
        let next = || last_accepted_in(&folders).unwrap().changing();
        claim.keep("# one", "a", "[1]").unwrap();
        assert_eq!(next(), None);
        for (holds, text) in [(false, "# one"), (true, "# two")] {
            claim.changing("# two", "b", "[2]").unwrap();
            assert!(kept("# one"));
            let both = next().unwrap();
            assert_eq!(both.outputs().as_deref(), Some("[2]"));
            assert!(both.text.starts_with("# two"));
            assert_eq!(both.came_from.as_deref(), Some("b"));
            claim.changed(holds).unwrap();
            assert!(kept(text) && next().is_none());
            let list = if holds { "[2]" } else { "[1]" };
            assert_eq!(last_accepted_in(&folders).unwrap().outputs().as_deref(), Some(list));
        }
        // Whoever comes next has made the dead one's outputs safe.
        claim.changing("# three", "b", "[3]").unwrap();
        claim.keep("# four", "c", "[4]").unwrap();
        assert_eq!(next(), None);
        // An earlier release knows nothing of lists: what lies there is not about its config.
        let path = last_accepted_in(&folders).unwrap().path;
        fs::write(&path, "# five\n\n# accepted from d\n").unwrap();
        let earlier = last_accepted_in(&folders).unwrap();
        assert_eq!((earlier.outputs(), earlier.came_from.as_deref()), (None, Some("d")));
        assert_eq!(earlier.any_outputs().as_deref(), Some("[4]"));
    }

    #[test]
    fn without_a_folder_there_is_no_copy_and_still_a_claim() {
        let root = tempfile::tempdir().unwrap();
        let claim = Claim::take_in(&[root.path().join("no/such/parent")], NOW).unwrap();
        assert_eq!(claim.folder(), None);
        assert_eq!(claim.keep("x", "y", "z").unwrap(), None);
    }
}
