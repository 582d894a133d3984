//! A folder that other users may reach, too.
//!
//! A path may lead elsewhere by the time that it is used. So a folder is opened once, and what lies in it is reached by
//! its name alone, from the folder's descriptor. No link is followed. What was opened is looked at before it is used: it
//! has to be a regular file, and somebody's who is trusted. New files are made exclusively, and renamed into place once
//! they are whole; their mode is set on what was made just now, and on nothing else.

use std::fs::{DirBuilder, File, Metadata, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, open, openat, renameat, statat, unlinkat};
use rustix::process::geteuid;

use super::{GPIO, bounded, group};

/// Whose files in a folder are believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trust {
    /// Root's and this user's.
    Own,
    /// Also those of whoever the folder belongs to: root has given it to them, or it is that user's whom this is
    /// about.
    Owner,
}

/// A folder, open.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: File,
    path: PathBuf,
    /// The users whose files are believed.
    trusted: [u32; 3],
}

/// How often a name that somebody else makes in the same moment is tried again.
const ATTEMPTS: usize = 8;

impl Folder {
    /// Opens a folder; a link in place of it is refused.
    pub fn open(path: &Path, trust: Trust) -> io::Result<Folder> {
        Folder::open_with(path, trust, OFlags::NOFOLLOW)
    }

    /// The same for a path that whoever may choose it has chosen, also by links.
    pub fn open_chosen(path: &Path, trust: Trust) -> io::Result<Folder> {
        Folder::open_with(path, trust, OFlags::empty())
    }

    fn open_with(path: &Path, trust: Trust, flags: OFlags) -> io::Result<Folder> {
        let flags = flags | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // What `file.parent()` says of a bare name.
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let dir = open(path, flags, Mode::empty()).map_err(|error| {
            let is_link = std::fs::symlink_metadata(path).is_ok_and(|known| known.is_symlink());
            if is_link { strange("it is a link") } else { error.into() }
        });
        let dir = File::from(dir?);
        let me = geteuid().as_raw();
        let owner = if trust == Trust::Owner { dir.metadata()?.uid() } else { me };
        Ok(Folder { dir, path: path.to_owned(), trusted: [0, me, owner] })
    }

    /// Where a file of it lies, for people.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What lies under a name, a link itself included; `None` for nothing.
    pub fn look(&self, name: &str) -> Option<rustix::fs::Stat> {
        statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW).ok()
    }

    /// A file, whole.
    ///
    /// # Errors
    ///
    /// It is not there, is no regular file, is longer than `most`, or belongs to somebody who is not trusted.
    pub fn read(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        bounded(self.get(name, OFlags::RDONLY)?, most)
    }

    /// The same of a text.
    ///
    /// # Errors
    ///
    /// As for [`Folder::read`]; or it is no text.
    pub fn read_text(&self, name: &str, most: u64) -> io::Result<String> {
        let no_text = |_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8 text");
        String::from_utf8(self.read(name, most)?).map_err(no_text)
    }

    /// A file that is there, to read it and to write into it.
    ///
    /// # Errors
    ///
    /// As for [`Folder::read`]; or it has another name elsewhere.
    pub fn get_writable(&self, name: &str) -> io::Result<File> {
        self.get(name, OFlags::RDWR)
    }

    fn get(&self, name: &str, access: OFlags) -> io::Result<File> {
        // Opening a FIFO or a device must not wait.
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.dir, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::LOOP) => return Err(strange("it is a link")),
            Err(e) => return Err(e.into()),
        };
        let known = file.metadata()?;
        self.judge(&known)?;
        if access == OFlags::RDWR && known.nlink() != 1 {
            return Err(strange("it has another name elsewhere"));
        }
        Ok(file)
    }

    fn judge(&self, known: &Metadata) -> io::Result<()> {
        if !known.is_file() {
            return Err(strange("it is no regular file"));
        }
        let owner = known.uid();
        if self.trusted.contains(&owner) {
            return Ok(());
        }
        let text = format!("it belongs to user {owner}, who could have written anything into it");
        Err(io::Error::new(ErrorKind::PermissionDenied, text))
    }

    /// Makes a file that is not there yet.
    ///
    /// # Errors
    ///
    /// Something lies there, or the folder is not to be written to.
    pub fn create(&self, name: &str, mode: u32) -> io::Result<File> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(openat(&self.dir, name, flags, Mode::RUSR | Mode::WUSR)?);
        // Whatever the umask says.
        file.set_permissions(Permissions::from_mode(mode))?;
        Ok(file)
    }

    /// Puts a file in the place of the one with that name, or of a link, once `fill` has filled it. A reader finds the
    /// one before or this one, never a half. The file stays open for whoever made it.
    ///
    /// # Errors
    ///
    /// It can't be written; the one before is there.
    pub fn replace(
        &self,
        name: &str,
        mode: u32,
        fill: impl Fn(&mut File) -> io::Result<()>,
    ) -> io::Result<File> {
        let new = format!(".{name}.new");
        for _ in 0..ATTEMPTS {
            // One that is left is of a process that died in between.
            let _ = self.remove(&new);
            let mut file = match self.create(&new, mode) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
                file => file?,
            };
            let done =
                fill(&mut file).and_then(|()| Ok(renameat(&self.dir, &new, &self.dir, name)?));
            return match done {
                Ok(()) => Ok(file),
                Err(e) => {
                    let _ = self.remove(&new);
                    Err(e)
                }
            };
        }
        Err(io::Error::new(
            ErrorKind::AlreadyExists,
            format!("somebody else makes {new} all the time"),
        ))
    }

    /// The same with these bytes.
    ///
    /// # Errors
    ///
    /// As for [`Folder::replace`].
    pub fn write(&self, name: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        self.replace(name, mode, |file| file.write_all(bytes)).map(drop)
    }

    /// Gives a file another name, in place of the one that has it.
    ///
    /// # Errors
    ///
    /// There is none, or the folder is not to be written to.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.dir, from, &self.dir, to)?)
    }

    /// Takes a name away.
    ///
    /// # Errors
    ///
    /// There is none, or the folder is not to be written to.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.dir, name, AtFlags::empty())?)
    }

    /// When what has this name was written last: seconds since 1970, and nanoseconds.
    #[allow(clippy::unnecessary_cast, reason = "systems have numbers of other widths")]
    pub fn written(&self, name: &str) -> Option<(i64, i64)> {
        self.look(name).map(|there| (there.st_mtime as i64, there.st_mtime_nsec as i64))
    }

    /// Whether that file, and no other, has this name.
    #[allow(clippy::unnecessary_cast, reason = "systems have numbers of other widths")]
    pub fn is_named(&self, name: &str, file: &File) -> bool {
        let (Some(there), Ok(known)) = (self.look(name), file.metadata()) else { return false };
        (there.st_dev as u64, there.st_ino as u64) == (known.dev(), known.ino())
    }

    /// Makes sure that new names outlive a power cut.
    ///
    /// # Errors
    ///
    /// The disk did not take them.
    pub fn sync(&self) -> io::Result<()> {
        self.dir.sync_all()
    }

    /// The file that says who drives the header: made where it is not there, for the folder's owner and the group of
    /// the header's devices. Who may not write to it can't lock it either.
    ///
    /// # Errors
    ///
    /// It is strange, or not for this user.
    pub fn lock_file(&self, name: &str) -> io::Result<File> {
        for _ in 0..ATTEMPTS {
            match self.get_writable(name) {
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                there => return there,
            }
            match self.create(name, 0o600) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
                made => {
                    let made = made?;
                    if geteuid().is_root() {
                        fchown(&made, Some(self.dir.metadata()?.uid()), None)?;
                    }
                    // Whoever is not in the group can't give it to it, and shares the lock with nobody.
                    let _ = fchown(&made, None, devices_group());
                    made.set_permissions(Permissions::from_mode(0o660))?;
                    return Ok(made);
                }
            }
        }
        Err(io::Error::new(ErrorKind::AlreadyExists, "somebody else makes it and takes it away"))
    }
}

/// The group that has the header's devices: by its name, or where there is none by one of them.
fn devices_group() -> Option<u32> {
    let devices = ["/dev/gpiomem", "/dev/gpiomem0", "/dev/gpiochip0"];
    let of = |device: &&str| std::fs::metadata(device).ok().map(|known| known.gid());
    group(GPIO).or_else(|| devices.iter().find_map(of))
}

fn strange(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, what)
}

/// Makes a folder that nobody but this user writes to, and everybody may look into; `None`: it was there. The folder
/// above it has to be there.
pub(crate) fn make_own(path: &Path) -> io::Result<Option<Folder>> {
    match DirBuilder::new().mode(0o755).create(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => return Ok(None),
        made => made?,
    }
    let made = Folder::open(path, Trust::Owner)?;
    // Whatever the umask says.
    made.dir.set_permissions(Permissions::from_mode(0o755))?;
    Ok(Some(made))
}

/// The user whom a folder belongs to, where that is neither root nor this one, and they could make it themselves, as
/// everybody could: one in `/tmp`. What lies in it is not to be believed.
pub(crate) fn foreign(folder: &Path) -> Option<u32> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let known = std::fs::symlink_metadata(folder).ok()?;
    // Of a link the one that it leads to counts, and the link itself.
    let above = folder.join("..");
    let beside = folder.parent().filter(|p| !p.as_os_str().is_empty());
    let is_open =
        |above: &Path| std::fs::metadata(above).is_ok_and(|known| known.mode() & 0o002 != 0);
    let open_to_all = is_open(&above) || beside.is_some_and(is_open);
    stranger(known.uid(), open_to_all, geteuid().as_raw())
}

fn stranger(owner: u32, open_to_all: bool, me: u32) -> Option<u32> {
    (open_to_all && ![0, me].contains(&owner)).then_some(owner)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path(), Trust::Own).unwrap();
        (root, folder)
    }

    fn mode(folder: &Folder, name: &str) -> u32 {
        folder.look(name).unwrap().st_mode & 0o777
    }

    #[test]
    fn what_is_written_is_read_and_nothing_is_left() {
        let (root, folder) = folder();
        assert_eq!(folder.read("a", 9).unwrap_err().kind(), ErrorKind::NotFound);
        for text in ["one", "two"] {
            folder.write("a", 0o640, text.as_bytes()).unwrap();
            assert_eq!(folder.read_text("a", 3).unwrap(), text);
        }
        assert_eq!(mode(&folder, "a"), 0o640);
        assert!(folder.read("a", 2).is_err());
        let fails = folder.replace("a", 0o600, |_| Err(io::Error::other("full")));
        assert_eq!(fails.unwrap_err().to_string(), "full");
        assert_eq!(folder.read_text("a", 3).unwrap(), "two");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }

    /// Whatever lies there, a target elsewhere is neither read nor changed.
    #[test]
    fn links_are_not_followed() {
        let (root, folder) = folder();
        let target = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(target.path(), "mine").unwrap();
        std::fs::set_permissions(target.path(), Permissions::from_mode(0o600)).unwrap();
        for name in ["a", ".a.new", "lock"] {
            symlink(target.path(), root.path().join(name)).unwrap();
            assert_eq!(folder.read(name, 9).unwrap_err().to_string(), "it is a link");
            assert!(folder.lock_file(name).is_err());
            assert!(folder.create(name, 0o666).is_err());
        }
        folder.write("a", 0o644, b"new").unwrap();
        assert_eq!(folder.read_text("a", 9).unwrap(), "new");
        assert_eq!(std::fs::read_to_string(target.path()).unwrap(), "mine");
        assert_eq!(target.as_file().metadata().unwrap().mode() & 0o777, 0o600);
        // Nor is a folder.
        let beside = root.path().with_extension("link");
        symlink(root.path(), &beside).unwrap();
        assert!(Folder::open(&beside, Trust::Own).is_err());
        assert!(Folder::open_chosen(&beside, Trust::Own).is_ok());
        std::fs::remove_file(beside).unwrap();
    }

    #[test]
    fn strange_things_are_refused_at_once() {
        let (root, folder) = folder();
        let fifo = root.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        std::fs::create_dir(root.path().join("folder")).unwrap();
        for name in ["fifo", "folder"] {
            assert!(folder.read(name, 9).is_err(), "{name}");
            assert!(folder.lock_file(name).is_err(), "{name}");
        }
        // One with two names may be another's elsewhere.
        folder.write("a", 0o600, b"x").unwrap();
        std::fs::hard_link(root.path().join("a"), root.path().join("b")).unwrap();
        assert_eq!(
            folder.get_writable("a").unwrap_err().to_string(),
            "it has another name elsewhere"
        );
        assert!(folder.read("a", 9).is_ok());
    }

    #[test]
    fn a_lock_is_for_its_owner_and_a_group() {
        let (_root, folder) = folder();
        let made = folder.lock_file("lock").unwrap();
        assert_eq!(mode(&folder, "lock"), 0o660);
        assert!(folder.is_named("lock", &made));
        // Another's mode is left alone.
        made.set_permissions(Permissions::from_mode(0o600)).unwrap();
        folder.lock_file("lock").unwrap();
        assert_eq!(mode(&folder, "lock"), 0o600);
    }

    /// Here the stranger is this user, and whoever looks is another.
    #[test]
    fn files_of_strangers_are_not_believed() {
        let (root, mut folder) = folder();
        let me = geteuid().as_raw();
        for name in ["a", "lock"] {
            folder.write(name, 0o666, b"x").unwrap();
        }
        folder.trusted = [me + 1; 3];
        let error = folder.read("a", 9).unwrap_err().to_string();
        assert!(error.starts_with(&format!("it belongs to user {me}")), "{error}");
        assert!(folder.lock_file("lock").is_err());
        // Unless the folder was given to them.
        folder.trusted[2] = me;
        assert!(folder.read("a", 9).is_ok() && folder.lock_file("lock").is_ok());
        assert_eq!(foreign(root.path()), None);
        assert_eq!(stranger(me, true, me + 1), (me != 0).then_some(me));
        assert_eq!(stranger(me, false, me + 1), None);
        assert_eq!(stranger(0, true, me), None);
    }
}
