//! Pictures of traces: position, speed and acceleration of every motor over time, and the path.
//!
//! [`plot`] reads a VCD file and gives an SVG. With the config, positions are in the motors' own units
//! and the limits are drawn; without it, in what can be told from the trace: an axis' positions from the
//! markers in the trace, a servo's signal as its pulse width. Where two motors are named `x` and `y`, or
//! begin so (`x-left`), their path is drawn as seen from above.
//!
//! Speed and acceleration are no part of a trace: they are differences of the position over a window of
//! time, which the picture names. A window takes in so many steps that one step more or less does not
//! show; a jump in the acceleration is drawn as a slope of its length.
//!
//! The same trace gives the same bytes on every computer.
//!
//! ```
//! use lockstep::config::Config;
//! use lockstep::machine::{Machine, RunOptions};
//!
//! let config = Config::from_file("config/pan-tilt.toml")?.config;
//! let mut machine = Machine::builder(config.clone()).virtual_time().trace(true).build()?;
//! machine.run(Some("nod"), RunOptions::default())?;
//! let mut vcd = Vec::new();
//! machine.take_recording().unwrap().write_vcd(&mut vcd, "nod")?;
//!
//! let svg = lockstep::plot::plot(&vcd[..], Some(&config), "pan-tilt: nod")?;
//! assert!(svg.starts_with("<svg"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod canvas;
mod late;
mod page;
mod thin;
mod track;

use std::io::BufRead;

use thiserror::Error;

use crate::config::Config;
use crate::trace::TraceError;

/// Why there is no picture.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlotError {
    /// The file is no VCD, or can't be read.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The trace's signals are not those of the config, or of any motors.
    #[error("{0}")]
    Mismatch(String),
    /// The picture could not be drawn.
    #[error("the picture could not be drawn: {0}")]
    Drawing(String),
}

/// Draws a trace; `title` stands above the picture.
///
/// # Errors
///
/// The trace can't be read, has no motors, or lacks those of the config.
pub fn plot(
    trace: impl BufRead,
    config: Option<&Config>,
    title: &str,
) -> Result<String, PlotError> {
    let tracks = track::read(trace, config)?;
    page::draw(&tracks, title)
}
