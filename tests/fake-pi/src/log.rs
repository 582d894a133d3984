//! The log: one line for each thing that happened, with the monotonic clock's nanoseconds in front.
//!
//! The preloaded library writes to the same file, through the same open description, so that lines of
//! both sides stand in the order in which things happened.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct Log {
    file: Arc<File>,
}

impl Log {
    pub fn create(path: &Path) -> io::Result<Log> {
        File::create(path)?;
        let file = File::options().append(true).open(path)?;
        // The program under test inherits it.
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty())?;
        Ok(Log { file: Arc::new(file) })
    }

    pub fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Writes a line. A log that cannot be written would let tests pass: it ends everything.
    pub fn line(&self, text: &str) {
        let line = format!("{} {text}\n", now());
        if let Err(error) = (&*self.file).write_all(line.as_bytes()) {
            eprintln!("fake-pi: the log cannot be written: {error}");
            std::process::exit(125);
        }
    }
}

/// The monotonic clock, in nanoseconds.
pub fn now() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}
