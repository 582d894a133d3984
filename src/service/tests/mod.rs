//! The service's desk in virtual time, without sockets: everything that moves a motor, under every verb.

use crate::machine::tests::support;

mod bench;
mod cases;
mod continuous;
mod judge;
mod judged;
mod machines;
mod motion;
mod orders;
mod programs;
mod reloads;
mod sequences;
mod story;
mod trial;
mod turns;
mod watch;
