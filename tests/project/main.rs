//! What the project ships: its configs, their traces, its examples.
#![allow(clippy::unwrap_used)]

mod configs;
mod examples;
mod rooms;
mod traces;
