use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::CliError;
use crate::trace::Recording;

/// A trace's file, opened before there is a trace: under another name beside it, and renamed once it
/// is whole. What is no plain file, such as `/dev/null` or a pipe, is written to directly.
pub(super) struct TraceFile {
    /// As the person named it.
    named: PathBuf,
    file: File,
    /// (where it is written, where it goes)
    rename: Option<(PathBuf, PathBuf)>,
}

impl TraceFile {
    pub fn create(named: &Path) -> Result<TraceFile, CliError> {
        let opened = open(named);
        let (file, rename) =
            opened.map_err(|error| CliError::Trace { file: named.to_owned(), error })?;
        Ok(TraceFile { named: named.to_owned(), file, rename })
    }

    pub fn write(mut self, recording: &Recording, comment: &str) -> Result<(), CliError> {
        let mut written = recording.write_vcd(&self.file, comment);
        if let (Ok(()), Some((from, to))) = (&written, &self.rename) {
            written = fs::rename(from, to);
            if written.is_ok() {
                self.rename = None;
            }
        }
        written.map_err(|error| CliError::TraceCutOff { file: self.named.clone(), error })
    }
}

impl Drop for TraceFile {
    fn drop(&mut self) {
        if let Some((from, _)) = &self.rename {
            let _ = fs::remove_file(from);
        }
    }
}

type Opened = (File, Option<(PathBuf, PathBuf)>);

fn open(named: &Path) -> io::Result<Opened> {
    // A link stays a link: what it points to is replaced.
    let target = fs::canonicalize(named).unwrap_or_else(|_| named.to_owned());
    match fs::metadata(&target) {
        Ok(m) if m.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(m) if !m.is_file() => {
            return Ok((OpenOptions::new().write(true).open(&target)?, None));
        }
        Ok(m) if m.permissions().readonly() => return Err(io::ErrorKind::PermissionDenied.into()),
        _ => {}
    }
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}", std::process::id()));
    let beside = target.with_file_name(beside);
    // A leftover of a process that had this number is nobody's.
    let file = File::create(&beside)?;
    Ok((file, Some((beside, target))))
}
