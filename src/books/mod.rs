//! Books: the state machines behind named events, leases, power, positions and meetings. They are told the time, wait
//! for nothing, and say which waits are settled. Whoever answers many clients from one thread drives them itself; the
//! shells with which threads share one stand in [`sync`](crate::sync).

mod breakage;
mod event_book;
mod lease_book;
mod lease_terms;
mod position_book;
mod power_book;
mod rendezvous_book;
mod waiters;

pub use breakage::{BarrierError, BreakCause, Breakage};
pub use event_book::{Delivery, EventBook, EventError, EventRules, Triggered};
pub use lease_book::LeaseBook;
pub use lease_terms::{
    ClientId, HeldBy, HeldMotor, LeaseError, LeaseGrant, LeaseId, LeaseRequest, LeaseRules,
    LeaseToken, LossCause, LostLease,
};
pub use position_book::{PositionBook, PositionError, StackFull};
pub use power_book::{GrantId, PowerBook, PowerError, PowerRules};
pub use rendezvous_book::{RendezvousBook, RendezvousError, RendezvousRules};
pub use waiters::WaitId;

use crate::units::Instant;

/// A state machine that others wait on, without waiting itself: it is told the time and what
/// happens, and says which waits that has settled and when it wants to be called next.
///
/// One thread that owns a book, such as a service that answers many clients, does this in a loop:
/// it calls the book's own functions as things happen (those that begin a wait return a [`WaitId`]),
/// calls [`advance`](Self::advance) no later than [`next_deadline`](Self::next_deadline), and then
/// [takes](Self::take) what came of each wait that [`news`](Self::news) names. Threads that want to
/// block share a book through the type that is built on it:
///
/// | book | shared | waits for |
/// |---|---|---|
/// | [`EventBook`] | [`EventExchange`](crate::sync::EventExchange) | events |
/// | [`LeaseBook`] | [`Leases`](crate::sync::Leases) | a set of motors |
/// | [`PowerBook`] | [`PowerBudget`](crate::sync::PowerBudget) | current |
/// | [`PositionBook`] | [`PositionStack`](crate::sync::PositionStack) | a push |
/// | [`RendezvousBook`] | [`Rendezvous`](crate::sync::Rendezvous) | the others |
///
/// All of a book's times must come from one clock and must not go back. Everything in a book has a
/// bound, waits that were settled and not taken included: so take each, or [cancel](Self::cancel)
/// it.
pub trait Book {
    /// What a wait is for.
    type Output;
    /// Why a wait came to nothing.
    type Error;

    /// When [`advance`](Self::advance) has something to do, if nothing happens before.
    fn next_deadline(&self) -> Option<Instant>;

    /// Does what is due at `now`. The book's other functions do so first, too.
    fn advance(&mut self, now: Instant);

    /// The waits that were settled since this was called last.
    fn news(&mut self) -> Vec<WaitId>;

    /// Whether a wait is settled and not yet taken.
    fn is_settled(&self, id: WaitId) -> bool;

    /// What came of a wait: `None` as long as it is open. It is given out once.
    fn take(&mut self, id: WaitId) -> Option<Result<Self::Output, Self::Error>>;

    /// Takes a wait back. If it was settled and not taken, what it had got is given back. A wait
    /// that is gone already is left alone.
    fn cancel(&mut self, id: WaitId, now: Instant);

    /// Cancels a wait because of a stop, and says what its waiter is to be told.
    fn stop(&mut self, id: WaitId, now: Instant) -> Self::Error;
}
