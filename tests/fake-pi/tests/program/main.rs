//! The whole program, `lockstep run`, on the header of a fake Pi. Run by `tests/fake-pi/run`, as root.
//!
//! The machine that the tests run on may be busy: nothing may come too early, anything may come late.

#[path = "../common/mod.rs"]
mod common;

mod axis;
mod clock;
mod coils;
mod devices;
mod doctor;
mod doors;
mod refusals;
mod reload;
mod safe;
mod selftest;
mod servo;
mod upgrade;
