//! What the program says on standard error: its log, and notes that belong to no level of it.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use env_logger::{Builder, Target, WriteStyle};
use indicatif::ProgressBar;
use log::{Level, LevelFilter, SetLoggerError};

/// The progress line on the terminal, if there is one: what is written must not run into it.
static LINE: Mutex<Option<ProgressBar>> = Mutex::new(None);

fn line() -> MutexGuard<'static, Option<ProgressBar>> {
    LINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes room for what is said while a progress line stands; `None`: it is gone.
pub(super) fn stand_on(bar: Option<ProgressBar>) {
    *line() = bar;
}

/// Standard error, above the progress line.
struct Above;

impl Write for Above {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &*line() {
            Some(bar) => bar.suspend(|| io::stderr().write(bytes)),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Says something to the person at the terminal; nothing where it is empty. It has no other way out,
/// so an error here has nowhere to go.
pub fn say(text: impl Display) {
    let text = text.to_string();
    if !text.is_empty() {
        let _ = Above.write_all(format!("{text}\n").as_bytes());
    }
}

/// Says why the program ends as it should not. In the journal it counts as an error.
pub fn complain(text: impl Display) {
    match to_journal() {
        true => say(for_journal(Level::Error, &text.to_string()).trim_end()),
        false => say(text),
    }
}

/// Whether standard error is the journal's own stream, as systemd tells it: by device and inode, since
/// the environment is inherited where the stream is not.
fn to_journal() -> bool {
    #[cfg(target_os = "linux")]
    {
        use std::os::linux::fs::MetadataExt;
        let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
        let stream = std::fs::metadata("/proc/self/fd/2");
        stream.is_ok_and(|s| named == format!("{}:{}", s.st_dev(), s.st_ino()))
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// Lines as the journal wants them: each with its priority in front (`sd-daemon(3)`), and its time from
/// the journal.
fn for_journal(level: Level, text: &str) -> String {
    let priority = match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    text.lines().map(|line| format!("<{priority}>{line}\n")).collect()
}

/// Sets the log up: warnings and errors, `verbose` for more, `quiet` for errors alone, and RUST_LOG
/// where neither is given.
///
/// # Errors
///
/// There is a log already.
pub fn start(verbose: u8, quiet: bool) -> Result<(), SetLoggerError> {
    let mut builder = Builder::new();
    builder.filter_level(LevelFilter::Warn);
    match (verbose, quiet) {
        (_, true) => builder.filter_level(LevelFilter::Error),
        (0, _) => builder.parse_default_env(),
        (1, _) => builder.filter_module("lockstep", LevelFilter::Info),
        _ => builder.filter_module("lockstep", LevelFilter::Trace),
    };
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    builder.target(Target::Pipe(Box::new(Above)));
    builder.write_style(if colour { WriteStyle::Always } else { WriteStyle::Never });
    let journal = to_journal();
    builder.format(move |out, record| {
        if journal {
            return write!(out, "{}", for_journal(record.level(), &record.args().to_string()));
        }
        let style = out.default_level_style(record.level());
        let level = match record.level() {
            Level::Error => "error",
            Level::Warn => "warning",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        };
        writeln!(out, "{style}{level}{style:#}: {}", record.args())
    });
    builder.try_init()
}
