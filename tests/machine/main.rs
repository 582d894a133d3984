//! Whole machines in virtual time, judged by the edges they leave.
#![allow(clippy::unwrap_used)]

mod change_of_plan;
mod faults;
mod moves;
mod outputs;
mod owners;
mod program_events;
mod programs;
mod restored;
mod servos;
mod stops;
mod support;
mod there_and_back;
#[path = "../verify_support/mod.rs"]
mod verify_support;
