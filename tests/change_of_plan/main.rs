//! The change of plan while a machine moves: hold, resume, override, retarget, jog, stop, halt.
#![allow(clippy::unwrap_used)]

mod holds;
mod jogs;
mod machine;
mod retargets;
mod sequences;
mod stops;
#[allow(dead_code)]
#[path = "../machine_virtual/support.rs"]
mod support;
mod threads;
mod true_jogs;
