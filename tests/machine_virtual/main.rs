//! Whole machines in virtual time, judged by the edges they leave.

mod faults;
mod moves;
mod programs;
mod servos;
mod stops;
mod support;
