//! Lockstep drives hobby servos and stepper axes from a Raspberry Pi's header.

pub mod board;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod config;
pub mod units;
