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
//! Where to start: [`config::Config`] reads a machine from a file or a text, [`machine::Machine`] runs it, on the
//! simulator or on this computer's header. [`trace`] has what was recorded, [`verify`] proves the rules of it, [`sync`]
//! has the events and barriers, and [`units`] the quantities. With the feature `service` there are a
//! [`client`] of a running service and its [`protocol`]. That is the interface, and nothing else is promised.
//!
//! Without the feature `cli` the crate has no command-line dependencies: a program that uses the library says
//! `default-features = false`, and names `service` where it wants that. The feature `internals`, which `cli` needs,
//! makes the rooms behind the interface public, for this project's own program, tests and benchmarks; any release may
//! change them. On systems other than Linux there is the simulator alone.
//!
//! **Software that stops a motor is no safety function.** Motor power needs a switch of its own.

#![forbid(unsafe_code)]
// What only the program and the tests use is not used without them.
#![cfg_attr(not(feature = "internals"), allow(dead_code, unused_imports))]
// Whatever a caller can be given he can also name.
#![cfg_attr(not(feature = "internals"), warn(unnameable_types))]

#[cfg(test)]
extern crate self as lockstep;

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[cfg(all(feature = "service", unix))]
pub mod client;
pub mod config;
#[cfg(feature = "cli")]
mod doctor;
// Part of them is for the service alone, and part for the header.
#[cfg_attr(not(all(target_os = "linux", feature = "service")), allow(dead_code))]
mod files;
pub mod machine;
mod monotonic;
#[cfg_attr(not(feature = "service"), allow(dead_code))]
mod moves;
mod programs;
#[cfg(feature = "service")]
pub mod protocol;
mod roster;
pub mod sync;
mod text;
pub mod trace;
pub mod units;
pub mod verify;

// The rooms below are no part of the library's interface. With the feature `internals` they are public, for this
// project's own program, tests and benchmarks; nothing in them is promised.

#[cfg(all(feature = "internals", feature = "plot"))]
#[doc(hidden)]
pub mod plot;

#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod selftest;

#[cfg(all(feature = "internals", feature = "service", unix))]
#[doc(hidden)]
pub mod service;

#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod board;
#[cfg(not(feature = "internals"))]
mod board;

#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod books;
#[cfg(not(feature = "internals"))]
mod books;

#[cfg(all(feature = "internals", target_os = "linux"))]
#[doc(hidden)]
pub mod claim;
#[cfg(all(not(feature = "internals"), target_os = "linux"))]
mod claim;

#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod hal;
#[cfg(not(feature = "internals"))]
mod hal;

#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod inputs;
#[cfg(not(feature = "internals"))]
mod inputs;

#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod motion;
#[cfg(not(feature = "internals"))]
mod motion;

#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod motor;
#[cfg(not(feature = "internals"))]
mod motor;

#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod runtime;
#[cfg(not(feature = "internals"))]
mod runtime;

#[cfg(all(feature = "internals", target_os = "linux"))]
#[doc(hidden)]
pub mod safe;
#[cfg(all(not(feature = "internals"), target_os = "linux"))]
mod safe;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
