//! Threads that wait for each other: a stop event, a barrier for the loops of a move, and the
//! gathering of many results.
//!
//! - [`StopEvent`]: set once, heard by everyone: read in a loop, waited for, or selected on beside
//!   a channel.
//! - [`StepBarrier`]: the motors of a move meet here. Unlike [`std::sync::Barrier`] it can be
//!   aborted, it has a time-out, a party that dies breaks it, and a loop can poll for the release
//!   instead of blocking.
//! - [`Gate`]: a change of plan goes through it for all motors of a move, or for none.
//! - [`Gather`]: waits for one result from each of many, with one deadline, and names those that
//!   are missing.
//!
//! No wait in here is without an end: each takes a time-out or a deadline. A panic in a thread
//! that uses these types never spreads through them: a poisoned lock is recovered, since no lock
//! is held while foreign code runs.

mod barrier;
mod breakage;
mod gate;
mod gather;
mod prim;
mod round;
mod stop;
mod ticket;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub use barrier::StepBarrier;
pub use breakage::{BarrierError, BreakCause, Breakage};
pub use gate::{Gate, Verdict};
pub use gather::{Gather, GatherEnd, GatherReport};
pub use stop::StopEvent;
pub use ticket::{Ticket, TicketState};
