//! The state folder: what is written there is on the disk when the call returns.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::files;

const JOURNAL: &str = "journal.json";
const MARK: &str = "journal.mark";
/// The most bytes of each: a place for each of some thousands of motors.
const MOST: u64 = 4 << 20;

/// Where the journal lies.
pub(super) trait Disk: Send {
    /// Replaces the journal: a reader finds the one before or this one, never a half.
    ///
    /// # Errors
    ///
    /// It can't be written; which of both is there nobody knows.
    fn write(&mut self, journal: &str) -> io::Result<()>;

    /// Writes the block beside it, in place.
    ///
    /// # Errors
    ///
    /// It can't be written; what is there nobody knows.
    fn mark(&mut self, block: &[u8]) -> io::Result<()>;
}

/// A folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    mark: Option<File>,
}

impl Folder {
    pub fn new(path: &Path) -> Folder {
        Folder { path: path.to_owned(), mark: None }
    }

    /// The journal that is there.
    pub fn journal(&self) -> io::Result<String> {
        self.open()?.read_text(JOURNAL, MOST)
    }

    /// The block that is there.
    pub fn block(&self) -> io::Result<Vec<u8>> {
        self.open()?.read(MARK, MOST)
    }

    /// Whoever starts the service says where it lies. What lies there is believed only if it is root's or this user's:
    /// motors are taken to stand where it says.
    fn open(&self) -> io::Result<files::Folder> {
        files::Folder::open_chosen(&self.path, files::Trust::Own)
    }
}

impl Disk for Folder {
    fn write(&mut self, journal: &str) -> io::Result<()> {
        fs::create_dir_all(&self.path)?;
        let folder = self.open()?;
        folder.replace(JOURNAL, 0o640, |file| {
            file.write_all(journal.as_bytes())?;
            file.sync_all()
        })?;
        // A new name has to outlive a power cut, too.
        folder.sync()
    }

    fn mark(&mut self, block: &[u8]) -> io::Result<()> {
        if let Some(file) = &self.mark {
            file.write_all_at(block, 0)?;
            // Its length stays, so no more than the block itself has to reach the disk.
            return file.sync_data();
        }
        fs::create_dir_all(&self.path)?;
        let folder = self.open()?;
        // A new one, whatever lies there.
        let file = folder.replace(MARK, 0o640, |file| {
            file.write_all_at(block, 0)?;
            file.sync_all()
        })?;
        folder.sync()?;
        self.mark = Some(file);
        Ok(())
    }
}

/// The id of this boot; `None` where the system has none.
pub(super) fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_there() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("state");
        let mut folder = Folder::new(&path);
        for n in 0..3 {
            folder.write(&format!("{n}\n")).unwrap();
            folder.mark(&[b'0' + n; 512]).unwrap();
            assert_eq!(Folder::new(&path).journal().unwrap(), format!("{n}\n"));
            assert_eq!(Folder::new(&path).block().unwrap(), [b'0' + n; 512]);
        }
        let names = fs::read_dir(&path).unwrap().count();
        assert_eq!(names, 2, "nothing else is left behind");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_boot_has_an_id() {
        assert_eq!(boot_id().map(|id| id.len()), Some(36));
    }
}
