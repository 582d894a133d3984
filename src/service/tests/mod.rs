//! The service's desk in virtual time, without sockets: everything that moves a motor, under every verb.

use crate::machine::tests::support;

mod bench;
mod judge;
mod machines;
mod motion;
mod orders;
mod programs;
mod reloads;
mod sequences;
mod story;
mod turns;
mod watch;
