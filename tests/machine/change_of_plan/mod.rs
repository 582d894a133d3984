//! The change of plan while a machine moves: hold, resume, override, retarget, jog, stop, halt.

mod holds;
mod jogs;
mod machine;
mod retargets;
mod sequences;
mod stops;
mod threads;
mod true_jogs;
