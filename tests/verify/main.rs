//! The checker and the pictures of traces.
#![allow(clippy::unwrap_used)]

mod clean;
mod cli;
mod limits;
mod plot;
mod rules;
mod streams;
#[path = "../verify_support/mod.rs"]
mod verify_support;
mod ways;
