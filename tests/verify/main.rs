//! The checker and the pictures of traces.
#![allow(clippy::unwrap_used)]

mod clean;
mod cli;
mod limits;
mod plot;
#[allow(dead_code)] // Other programs use more of it.
#[path = "../cli_common/program.rs"]
mod program;
mod rules;
mod streams;
#[path = "../verify_support/mod.rs"]
mod verify_support;
mod ways;
