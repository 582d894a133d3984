//! Lockstep drives hobby servos and stepper axes from a Raspberry Pi's header.

pub mod board;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod config;
pub mod hal;
pub mod machine;
pub mod motion;
pub mod motor;
pub mod runtime;
pub mod sync;
pub mod trace;
pub mod units;
