//! Programs: one owned [`Program`], and one [`Cursor`](cursor::Cursor) over it with three users: what runs
//! ([`ProgramRun`](crate::machine::ProgramRun)), what looks ahead for the moves of a blended run, and what looks a program through before
//! anything moves ([`preflight`]).
//!
//! Nothing here borrows a config: a program that runs keeps its own, and an old config goes when nothing uses it.
//! What a program asks of a machine is [`Host`], so that it can be run without one.

mod ahead;
mod begin;
mod branch;
mod cursor;
mod host;
mod look_through;
mod planned;
mod preflight;
mod program;
mod seen;
mod shapes;
mod usage;

#[cfg(feature = "service")]
pub(crate) use branch::in_turn;
pub(crate) use branch::{Branch, Turn};
pub(crate) use host::{Allowance, Host};
pub(crate) use look_through::LookedThrough;
#[cfg(feature = "cli")]
pub(crate) use look_through::look_through_all;
pub(crate) use program::Program;

pub use preflight::{Preflight, Problem, preflight};
pub use program::choose_program;
pub use usage::MotorUsage;

#[cfg(test)]
mod tests;
