//! `lockstep plot`: a trace as a picture.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::verify::{open, through_vcd};
use super::{CliError, DONE, logging, to_stdout};
use crate::config::Config;
use crate::plot;
use crate::trace::Recording;

const EXAMPLES: &str = "\
Examples:
  lockstep plot tour.vcd --config config/xyz-stage.toml   writes tour.svg
  lockstep plot tour.vcd -o - > tour.svg                  without limits, units

Any browser shows the picture. `lockstep simulate --plot FILE.svg` draws one at once.";

/// `lockstep plot`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct PlotArgs {
    /// The trace, a VCD file
    #[arg(value_name = "FILE.vcd")]
    trace: PathBuf,
    /// The config that it was made with: gives the units and the limits [default: none]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to write the picture; - is standard output [default: FILE.svg beside the trace]
    #[arg(short, long, value_name = "FILE.svg")]
    output: Option<PathBuf>,
}

/// Carries it out, and says the exit status.
pub(super) fn plot(args: &PlotArgs, quiet: bool) -> Result<u8, CliError> {
    let config = args.config.as_deref().map(Config::from_file).transpose();
    let config = config.map_err(CliError::Config)?.map(|loaded| loaded.config);
    let name = args.trace.file_stem().unwrap_or_default().to_string_lossy();
    let title = match &config {
        Some(config) => format!("{}: {name}", config.machine.name),
        None => name.into_owned(),
    };
    let svg = plot::plot(open(&args.trace)?, config.as_ref(), &title)
        .map_err(|e| CliError::Unreadable { file: args.trace.clone(), error: e.to_string() })?;
    if args.output.as_deref() == Some(Path::new("-")) {
        to_stdout(&svg)?;
        return Ok(DONE);
    }
    let output = args.output.clone().unwrap_or_else(|| args.trace.with_extension("svg"));
    write(&output, &svg)?;
    if !quiet {
        logging::say(format_args!("note: wrote {}", output.display()));
    }
    Ok(DONE)
}

/// Draws a recording by the file that it would make.
pub(super) fn of_recording(
    recording: &Recording,
    config: &Config,
    title: &str,
) -> Result<String, CliError> {
    through_vcd(recording, |vcd| plot::plot(vcd, Some(config), title))?
        .map_err(|e| CliError::Usage(format!("the run's own trace: {e}")))
}

/// Writes a picture.
pub(super) fn write(file: &Path, svg: &str) -> Result<(), CliError> {
    fs::write(file, svg).map_err(|error| CliError::Picture { file: file.to_owned(), error })
}
