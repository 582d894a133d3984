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
//! - [`EventExchange`]: named events with data, for those who wait and for those who come a little
//!   late.
//! - [`Leases`]: who may use which motors, until it releases them, falls silent or goes.
//! - [`PowerBudget`]: a supply's current, shared out among motors before they are energised.
//! - [`PositionStack`]: saved positions, the last on top.
//! - [`Rendezvous`]: barriers by name.
//!
//! Behind each of the last five is a [`Book`], of the room [`books`](crate::books): a state machine that is told the
//! time and waits for nothing, for a service that answers many clients from one thread, and for virtual time.
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
pub use book::Pending;
pub use event_exchange::{EventExchange, EventWait};
pub use gate::{Gate, Verdict};
pub use gather::{Gather, GatherEnd, GatherReport};
pub use lease::{Lease, LeaseWait, Leases};
pub use position_stack::{PopWait, PositionStack};
pub use power_budget::{PowerBudget, PowerShare, PowerWait};
pub use rendezvous::{Rendezvous, RendezvousWait};
pub use stop::StopEvent;
pub use ticket::{Ticket, TicketState};

pub use crate::books::{
    BarrierError, Book, BreakCause, Breakage, ClientId, Delivery, EventBook, EventError,
    EventRules, GrantId, HeldBy, HeldMotor, LeaseBook, LeaseError, LeaseGrant, LeaseId,
    LeaseRequest, LeaseRules, LeaseToken, LossCause, LostLease, PositionBook, PositionError,
    PowerBook, PowerError, PowerRules, RendezvousBook, RendezvousError, RendezvousRules, StackFull,
    Triggered, WaitId,
};
