//! The program from the outside: its commands, on the simulator.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

#[path = "../cli_common/mod.rs"]
mod cli_common;
mod continuous;
mod faults;
mod pages;
mod power;
mod run;
mod simulate;
mod usage;
