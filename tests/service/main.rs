//! The service on the simulator, in real time: its socket and its clients.
#![cfg(all(feature = "cli", feature = "service", unix))]
#![allow(clippy::unwrap_used)]

#[path = "../cli_common/mod.rs"]
mod cli_common;
mod client;
mod continuous;
mod crowds;
mod cut;
mod doors;
#[path = "../live/mod.rs"]
mod live;
mod manual;
mod power;
mod python;
mod releases;
mod reload;
mod restart;
#[path = "../service_common/mod.rs"]
mod service_common;
mod terminal;
mod verbs;
mod watchdog;
