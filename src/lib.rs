//! Lockstep drives hobby servos and stepper axes from a Raspberry Pi's header.

pub mod board;
pub mod hal;
pub mod units;
