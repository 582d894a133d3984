//! What single kinds of motors do, and what they are switched on and off with, in virtual time.
#![allow(clippy::unwrap_used)]

mod backlash;
mod blended;
mod coil_phase;
mod coils;
mod continuous;
mod driver_faults;
mod driver_lines;
mod power;
mod pwm_clock;
mod release_after;
#[path = "../verify_support/mod.rs"]
mod verify_support;
