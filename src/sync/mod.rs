//! Threads, and processes, that wait for each other.
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
//! Behind the feature `internals`, for this project's own service and tests, there are the shells of books: state
//! machines that are told the time and wait for nothing, for a service that answers many clients from one thread, and
//! for virtual time. Named events with data (`EventExchange`), who may use which motors (`Leases`), a supply's current
//! (`PowerBudget`), saved positions (`PositionStack`), and barriers by name (`Rendezvous`).
//!
//! No wait in here is without an end: each takes a time-out or a deadline. A panic in a thread
//! that uses these types never spreads through them: a poisoned lock is recovered, since no lock
//! is held while foreign code runs.

mod barrier;
mod book;
mod event_exchange;
mod gate;
mod gather;
mod lease;
mod position_stack;
mod power_budget;
mod prim;
mod rendezvous;
mod round;
mod stop;
mod ticket;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub use barrier::StepBarrier;
pub use gate::{Gate, Verdict};
pub use gather::{Gather, GatherEnd, GatherReport};
pub use stop::StopEvent;
pub use ticket::{Ticket, TicketState};

pub use crate::books::{BarrierError, BreakCause, Breakage};

// The books' shells, with which threads share one, and what they speak of: for this project's own tests, and for
// whoever takes the feature without a promise.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub use shells::*;
#[cfg(not(feature = "internals"))]
pub(crate) use shells::*;

/// The books by the names of their shells.
mod shells {
    pub use super::book::Pending;
    pub use super::event_exchange::{EventExchange, EventWait};
    pub use super::lease::{Lease, LeaseWait, Leases};
    pub use super::position_stack::{PopWait, PositionStack};
    pub use super::power_budget::{PowerBudget, PowerShare, PowerWait};
    pub use super::rendezvous::{Rendezvous, RendezvousWait};
    pub use crate::books::{
        Book, ClientId, Delivery, EventBook, EventError, EventRules, GrantId, HeldBy, HeldMotor,
        LeaseBook, LeaseError, LeaseGrant, LeaseId, LeaseRequest, LeaseRules, LeaseToken,
        LossCause, LostLease, PositionBook, PositionError, PowerBook, PowerError, PowerRules,
        RendezvousBook, RendezvousError, RendezvousRules, StackFull, Triggered, WaitId,
    };
}
