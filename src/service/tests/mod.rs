//! The service's desk in virtual time, without sockets: everything that moves a motor, under every verb.

mod bench;
mod judge;
mod machines;
mod motion;
mod orders;
mod sequences;
mod story;
#[allow(dead_code, missing_docs)]
#[path = "../../../tests/machine/support.rs"]
mod support;
mod watch;
