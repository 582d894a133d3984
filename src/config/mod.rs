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
//! In place of `pwm = { gpio = 18 }` a servo may have a channel of any PWM chip that the kernel knows, named
//! by its device or driver: `pwm = { device = "pca9685", channel = 3 }`, or on a pin of its own
//! `pwm = { device = "pwm-gpio", gpio = 23 }`; or pulses that its own loop times, on any pin:
//! `soft-pwm = { gpio = 23 }`. A `clock-correction` in `pwm` is that of the chip: it holds for all its
//! channels.
//!
//! | table | key | if left out |
//! |---|---|---|
//! | `[machine]` | `name` | the file's name |
//! | | `start-program`, `max-lateness`, `board` | none |
//! | | `spin` | `"20%"` of the time between two edges |
//! | | `after-power-cut` | `"wait"`: as after a crash, nothing moves until `clear`; `"start"` begins |
//! | `[service]` | `group` | the service's own group: who is in it may use the control socket |
//! | `[servo.NAME]` | `frequency` | `"50Hz"` |
//! | | `clock-correction` in `pwm`, `allow-jitter` in `soft-pwm` | `"0ppm"`, `false` |
//! | | `pulse` | `{ min = "1000us", max = "2000us" }` |
//! | | `angle` | `{ min = "-45deg", max = "45deg" }` |
//! | | `trim`, `reverse`, `unsafe-range` | `"0us"`, `false`, `false` |
//! | | `dead-band` | none: every change of a pulse is written |
//! | | `max-speed` | `"600deg/s"` |
//! | | `max-acceleration` | ten times `max-speed`, a second: full speed after a tenth of a second |
//! | | `max-jerk` | ten times `max-acceleration`, a second |
//! | | `startup`, `on-stop` | `"off"`, `"keep"` |
//! | | `continuous` | `false`: a pulse stands for an angle, not for a speed |
//! | with `continuous = true` | `max-acceleration` | `"400%/s"`: full speed after a third of a second |
//! | | `max-jerk` | ten times `max-acceleration`, a second |
//! | `[axis.NAME]` | `enable`, `fault`, `mode`, `sleep`, `reset` | no such line |
//! | | `gear-ratio`, `reverse`, `holds-load` | `"1"`, `false`, `false` |
//! | | `max-jerk` | ten times `max-acceleration`, a second |
//! | | `start-stop-speed` | what `max-acceleration` can give up within one full step: the root of 2 x `max-acceleration` x a full step |
//! | | `at-start`, `on-stop` | `"unknown"`, `"keep"` |
//! | | `backlash` | none |
//! | each motor | `release-after` | never: it keeps its signal, or its power, at rest |
//! | | `on-lost-lease` | `"stop"` |
//! | | `current` | needed if there is a `[power]` |
//! | `[power]` | | no power budget |
//! | | `stagger` | none: motors may start at the same time |
//! | `[axis.NAME]` with `coils` | `motor` | then `driver` and `steps-per-revolution` are needed |
//! | | `driver`, `gear-ratio` | as the motor has them |
//! | | `distance-per-revolution` | `"360deg"` with a `motor` |
//! | | `at-rest` | `"hold"` |
//! | a step with `pause` | `share` | `false`: the program keeps its motors meanwhile |
//!
//! A servo with `continuous = true` turns: the ends of `pulse` are full speed backwards and forwards, their middle is
//! neutral, and `trim` moves that. It has no `angle`, `max-speed`, `startup`, `on-stop`, `release-after` or `dead-band`.
//! At rest it gets neutral pulses for 0.2 s, then none.
//!
//! `at-start` may be `"restored"`, and a servo's `startup` `"last"`: where it stood when the service last
//! ended cleanly. Only the service keeps that.
//!
//! All else that is in a table is needed, and nothing else may be there.

mod axis;
mod blend;
mod builder;
pub mod coil_motors;
mod coils;
mod continuous;
pub mod drivers;
mod flow;
mod load;
mod model;
mod moves;
mod output;
mod outputs;
mod parts;
mod pins;
mod power;
mod program;
mod pwm_clock;
mod reader;
mod servo;
mod source;
mod spin;
mod stepping;
mod syntax;

pub use crate::board::{Model, Pull, PwmOutput, PwmTiming, UnknownModel};
pub use builder::{Axis, ConfigBuilder, Coordinate, Servo};
pub use load::Loaded;
pub(crate) use model::kinds::Wire;
pub use model::*;
pub use outputs::{Output, Port, SafeState, Why};
pub use power::{Consumer, consumers};
pub use source::{ConfigErrors, Diagnostic, Position, Source};

use std::time::Duration;

use crate::units::{PulseWidth, Time};

#[cfg(test)]
mod tests;
