//! Whole machines in virtual time, judged by the edges they leave.
#![allow(clippy::unwrap_used)]

mod faults;
mod moves;
mod outputs;
mod programs;
mod servos;
mod stops;
mod support;
