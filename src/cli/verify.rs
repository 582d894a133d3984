//! `lockstep verify`: a trace proved against a config.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
#[cfg(feature = "plot")]
use std::thread;

use clap::Args;

use super::{CliError, DEFAULT_CONFIG, DONE, FAILED, json, room, to_stdout};
use crate::config::Config;
use crate::trace::Recording;
use crate::units::Time;
use crate::verify::{self, Options, Report};

const EXAMPLES: &str = "\
Examples:
  lockstep simulate tour --config config/xyz-stage.toml --trace tour.vcd
  lockstep verify tour.vcd --config config/xyz-stage.toml
  lockstep verify real.vcd --config config/xyz-stage.toml --lateness 50us

It reads the trace and the config and nothing else, and proves every pulse, gap, DIR time, count, \
travel, speed, acceleration, jerk, servo period and line against them. Exit status 1: a rule was broken, \
or the recording is not complete; 2: the trace is not of this config, or no trace.";

/// `lockstep verify`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArgs {
    /// The trace, a VCD file
    #[arg(value_name = "FILE.vcd")]
    trace: PathBuf,
    /// The config that it was made with
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// How late edges of a real-time trace may be: the run's closing table says it [default: 0s]
    #[arg(long, value_name = "DURATION")]
    lateness: Option<Time>,
    /// Print one JSON object instead of the table
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// Carries it out, and says the exit status.
pub(super) fn verify(args: &VerifyArgs) -> Result<u8, CliError> {
    let config = Config::from_file(&args.config).map_err(CliError::Config)?.config;
    let file = open(&args.trace)?;
    let options = Options { lateness: args.lateness.unwrap_or_default().0 };
    let report = verify::verify(file, &config, &options)
        .map_err(|e| CliError::Unreadable { file: args.trace.clone(), error: e.to_string() })?;
    let text = match args.json {
        true => format!("{}\n", json::proof(&report)),
        false => format!("{report:0$}", room()),
    };
    to_stdout(&text)?;
    Ok(if report.is_clean() { DONE } else { FAILED })
}

/// Opens a trace to be read.
pub(super) fn open(file: &Path) -> Result<BufReader<File>, CliError> {
    let unreadable = |error: io::Error| CliError::Unreadable {
        file: file.to_owned(),
        error: format!("{error}: name a trace that `--trace` wrote"),
    };
    Ok(BufReader::with_capacity(1 << 16, File::open(file).map_err(unreadable)?))
}

/// Proves a recording as it is, without its file.
pub(super) fn of_recording(recording: &Recording, config: &Config) -> Result<Report, CliError> {
    verify::verify_recording(recording, config, &Options::default())
        .map_err(|e| CliError::Usage(format!("the run's own trace: {e}")))
}

#[cfg(feature = "plot")]
/// Has `read` read the VCD file of a recording, without a file.
pub(super) fn through_vcd<T>(
    recording: &Recording,
    read: impl FnOnce(BufReader<io::PipeReader>) -> T,
) -> Result<T, CliError> {
    let (reader, writer) = io::pipe().map_err(CliError::Output)?;
    thread::scope(|scope| {
        // It ends when all is written, or when nobody reads any more.
        let written = scope.spawn(|| recording.write_vcd(writer, ""));
        let result = read(BufReader::with_capacity(1 << 16, reader));
        match written.join() {
            Ok(Err(e)) if e.kind() != io::ErrorKind::BrokenPipe => Err(CliError::Output(e)),
            _ => Ok(result),
        }
    })
}
