//! Lockstep drives hobby servos and stepper axes from a Raspberry Pi's header.

pub mod trace;
pub mod units;
