//! The config: a TOML file that names motors, how they are wired, their limits, and programs.
//!
//! [`Config::from_file`] reads and checks one; all that is wrong with it comes back at once, each
//! error with its line, its column and what to write instead ([`ConfigErrors`]).
//!
//! # What may be left out
//!
//! A servo needs nothing but its pin. It then gets pulses of 1000 to 2000 us at 50 Hz for -45 to 45
//! degrees, which every hobby servo takes, and 600 deg/s, what an SG90 does without load.
//!
//! ```toml
//! [servo.pan]
//! pwm = { gpio = 18 }
//! ```
//!
//! | table | key | if left out |
//! |---|---|---|
//! | `[machine]` | `name` | the file's name |
//! | | `start-program`, `max-lateness`, `board` | none |
//! | | `spin` | `"20%"` of the time between two edges |
//! | `[servo.NAME]` | `frequency` | `"50Hz"` |
//! | | `pulse` | `{ min = "1000us", max = "2000us" }` |
//! | | `angle` | `{ min = "-45deg", max = "45deg" }` |
//! | | `trim`, `reverse`, `unsafe-range` | `"0us"`, `false`, `false` |
//! | | `max-speed` | `"600deg/s"` |
//! | | `max-acceleration` | ten times `max-speed`, a second: full speed after a tenth of a second |
//! | | `max-jerk` | ten times `max-acceleration`, a second |
//! | | `startup`, `on-stop` | `"off"`, `"keep"` |
//! | `[axis.NAME]` | `enable`, `fault` | no such line |
//! | | `gear-ratio`, `reverse`, `holds-load` | `"1"`, `false`, `false` |
//! | | `max-jerk` | ten times `max-acceleration`, a second |
//! | | `at-start`, `on-stop` | `"unknown"`, `"keep"` |
//! | `[axis.NAME]` with `step = { pwm = ... }` | `mode`, `rate-tolerance` | `"position"`, `"200ppm"` |
//! | | `start-stop-speed` | what two steps from rest bring the motor to at its `max-acceleration` |
//!
//! All else that is in a table is needed, and nothing else may be there.

mod axis;
mod builder;
pub mod drivers;
mod flow;
mod load;
mod model;
mod moves;
mod nearest;
mod parts;
mod pins;
mod program;
mod pwm_clock;
mod reader;
mod servo;
mod source;
mod stepping;
mod syntax;

pub use builder::{Axis, ConfigBuilder, Coordinate, Servo};
pub use load::Loaded;
pub use model::*;
pub use source::{ConfigErrors, Diagnostic, Position, Source};

use crate::board::Model;
use crate::units::{PulseWidth, Time};

#[cfg(test)]
mod tests;
