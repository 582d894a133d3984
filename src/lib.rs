//! Lockstep drives hobby servos and stepper axes from a Raspberry Pi's header.
//!
//! Every motor runs its own loop in its own thread, with its own timing. A move is planned once, for
//! all its motors, on one time line; the loops meet at a barrier, which fixes the instant at which the
//! time line starts, and from there each works alone against absolute deadlines. The same loops run in
//! virtual time, on one thread, and leave a waveform to look at.
//!
//! ```
//! use lockstep::config::Config;
//! use lockstep::machine::{Machine, Move};
//! use lockstep::units::Length;
//!
//! let config = Config::from_file("config/xyz-stage.toml")?.config;
//! let mut machine = Machine::builder(config).virtual_time().build()?;
//! let id = machine.start(&Move::new().to("x", Length(30.0)).to("y", Length(20.0)))?;
//! for motor in machine.wait(id).motors {
//!     println!("{}: {:?} at {} mm", motor.motor, motor.outcome, motor.position);
//!     assert!(motor.outcome.is_reached());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Where to start: [`config::Config`] reads a machine from a file or a text, [`machine::Machine`] runs
//! it, [`sync`] has the events and barriers, [`motion`] the plans. Without the `cli` feature the crate
//! has no command-line dependencies; on systems other than Linux it has the simulator alone.
//!
//! **Software that stops a motor is no safety function.** Motor power needs a switch of its own.

#![forbid(unsafe_code)]

#[cfg(test)]
extern crate self as lockstep;

pub mod board;
pub mod books;
#[cfg(target_os = "linux")]
pub mod claim;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[cfg(all(feature = "service", unix))]
pub mod client;
pub mod config;
#[cfg(feature = "cli")]
mod doctor;
// Part of them is for the service alone.
#[cfg_attr(not(feature = "service"), allow(dead_code))]
mod files;
pub mod hal;
pub mod inputs;
pub mod machine;
mod monotonic;
pub mod motion;
pub mod motor;
#[cfg_attr(not(feature = "service"), allow(dead_code))]
mod moves;
#[cfg(feature = "plot")]
pub mod plot;
mod programs;
#[cfg(feature = "service")]
pub mod protocol;
mod roster;
pub mod runtime;
#[cfg(target_os = "linux")]
pub mod safe;
pub mod selftest;
#[cfg(all(feature = "service", unix))]
pub mod service;
pub mod sync;
mod text;
pub mod trace;
pub mod units;
pub mod verify;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
