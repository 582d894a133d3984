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
//! Behind each of the last five is a [`Book`]: a state machine that is told the time and waits for
//! nothing, for a service that answers many clients from one thread, and for virtual time.
//!
//! No wait in here is without an end: each takes a time-out or a deadline. A panic in a thread
//! that uses these types never spreads through them: a poisoned lock is recovered, since no lock
//! is held while foreign code runs.

mod barrier;
mod book;
mod breakage;
mod event_book;
mod event_exchange;
mod gate;
mod gather;
mod lease;
mod lease_book;
mod lease_terms;
mod position_book;
mod position_stack;
mod power_book;
mod power_budget;
mod prim;
mod rendezvous;
mod rendezvous_book;
mod round;
mod stop;
mod ticket;
mod waiters;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub use barrier::StepBarrier;
pub use book::{Book, Pending};
pub use breakage::{BarrierError, BreakCause, Breakage};
pub use event_book::{Delivery, EventBook, EventError, EventRules, Triggered};
pub use event_exchange::{EventExchange, EventWait};
pub use gate::{Gate, Verdict};
pub use gather::{Gather, GatherEnd, GatherReport};
pub use lease::{Lease, LeaseWait, Leases};
pub use lease_book::LeaseBook;
pub use lease_terms::{
    ClientId, HeldBy, HeldMotor, LeaseError, LeaseGrant, LeaseId, LeaseRequest, LeaseRules,
    LeaseToken, LossCause, LostLease,
};
pub use position_book::{PositionBook, PositionError, StackFull};
pub use position_stack::{PopWait, PositionStack};
pub use power_book::{GrantId, PowerBook, PowerError, PowerRules};
pub use power_budget::{PowerBudget, PowerShare, PowerWait};
pub use rendezvous::{Rendezvous, RendezvousWait};
pub use rendezvous_book::{RendezvousBook, RendezvousError, RendezvousRules};
pub use stop::StopEvent;
pub use ticket::{Ticket, TicketState};
pub use waiters::WaitId;
