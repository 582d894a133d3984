//! The state machines behind the waits of this room, and the shell that lets threads share one.

use std::fmt;

use super::prim::{Arc, Mutex, Received, Receiver, Sender, lock, now, sleep_until, wake_channel};
use super::stop::StopEvent;
use super::waiters::WaitId;
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
/// | [`EventBook`](super::EventBook) | [`EventExchange`](super::EventExchange) | events |
/// | [`LeaseBook`](super::LeaseBook) | [`Leases`](super::Leases) | a set of motors |
/// | [`PowerBook`](super::PowerBook) | [`PowerBudget`](super::PowerBudget) | current |
/// | [`PositionBook`](super::PositionBook) | [`PositionStack`](super::PositionStack) | a push |
/// | [`RendezvousBook`](super::RendezvousBook) | [`Rendezvous`](super::Rendezvous) | the others |
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

/// A book that threads share. Clones are the same book.
pub(super) struct Shared<B: Book>(Arc<Mutex<Desk<B>>>);

pub(super) struct Desk<B> {
    book: B,
    /// One for each [`Pending`].
    pending: Vec<Bell>,
}

struct Bell {
    id: WaitId,
    ring: Sender<()>,
    /// Until when its thread sleeps at most; none if it does not sleep.
    until: Option<Instant>,
}

impl<B: Book> Desk<B> {
    /// Wakes whoever has to know, after anything that changed the book. Afterwards at least one of
    /// those who sleep wakes no later than the book's next deadline.
    fn ring(&mut self) {
        for id in self.book.news() {
            if let Some(bell) = self.pending.iter().find(|bell| bell.id == id) {
                let _ = bell.ring.try_send(());
            }
        }
        let Some(next) = self.book.next_deadline() else {
            return;
        };
        let mut asleep = self.pending.iter_mut().filter(|bell| bell.until.is_some());
        let early = asleep.find(|bell| bell.until.is_some_and(|until| until <= next));
        if early.is_none()
            && let Some(bell) = self.pending.iter_mut().find(|bell| bell.until.is_some())
        {
            // Its thread looks at the book at once, and at the deadline from then on.
            bell.until = Some(next);
            let _ = bell.ring.try_send(());
        }
    }

    fn forget(&mut self, id: WaitId) {
        self.pending.retain(|bell| bell.id != id);
    }
}

impl<B: Book> Shared<B> {
    pub(super) fn new(book: B) -> Self {
        Shared(Arc::new(Mutex::new(Desk { book, pending: Vec::new() })))
    }

    /// Does something with the book, at the present time.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut B, Instant) -> R) -> R {
        let mut desk = lock(&self.0);
        let now = now();
        desk.book.advance(now);
        let result = act(&mut desk.book, now);
        desk.ring();
        result
    }

    /// Begins a wait.
    pub(super) fn begin<E>(
        &self,
        act: impl FnOnce(&mut B, Instant) -> Result<WaitId, E>,
    ) -> Result<Pending<B>, E> {
        let (ring, bell) = wake_channel();
        let mut desk = lock(&self.0);
        let now = now();
        desk.book.advance(now);
        let result = act(&mut desk.book, now);
        if let Ok(id) = result {
            desk.pending.push(Bell { id, ring, until: None });
        }
        desk.ring();
        drop(desk);
        Ok(Pending { shared: self.clone(), id: result?, bell, taken: false })
    }
}

impl<B: Book> Clone for Shared<B> {
    fn clone(&self) -> Self {
        Shared(Arc::clone(&self.0))
    }
}

impl<B: Book + fmt::Debug> fmt::Debug for Shared<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        lock(&self.0).book.fmt(f)
    }
}

/// A wait that has begun. One can [ask](Self::is_settled) for it between other work, or
/// [block](Self::wait) until it is settled. If it is dropped before, it is taken back, and what it
/// had got is given back.
#[must_use = "a wait that is dropped is taken back"]
pub struct Pending<B: Book> {
    shared: Shared<B>,
    id: WaitId,
    bell: Receiver<()>,
    taken: bool,
}

impl<B: Book> Pending<B> {
    /// The number of this wait.
    pub fn id(&self) -> WaitId {
        self.id
    }

    /// Whether it is known what came of the wait: then [`wait`](Self::wait) returns at once.
    pub fn is_settled(&self) -> bool {
        self.shared.with(|book, _| book.is_settled(self.id))
    }

    /// Gets a message when the wait is settled, and sometimes for no reason: a thread that selects
    /// on it beside other channels has to [ask](Self::is_settled) then, and also at the wait's
    /// deadline, since nobody else may be there to see that the time is over.
    pub fn signal(&self) -> &Receiver<()> {
        &self.bell
    }

    /// Blocks until the wait is settled, by its deadline at the latest, or until `stop` is set. If
    /// it is settled already the stop does not matter.
    ///
    /// # Errors
    ///
    /// Why the wait came to nothing; a stop is one of the reasons.
    pub fn wait(mut self, stop: Option<&StopEvent>) -> Result<B::Output, B::Error> {
        loop {
            let until = match self.look() {
                Ok(outcome) => return outcome,
                Err(until) => until,
            };
            if let Received::Stopped = sleep_until(&self.bell, until, stop) {
                // Under one lock: it must not be settled between the question and the stop.
                return self
                    .end(|book, id, now| book.take(id).unwrap_or_else(|| Err(book.stop(id, now))));
            }
        }
    }

    /// What came of the wait; if it is open, until when to sleep.
    fn look(&mut self) -> Result<Result<B::Output, B::Error>, Instant> {
        let mut desk = lock(&self.shared.0);
        desk.book.advance(now());
        let outcome = desk.book.take(self.id);
        let until = desk.book.next_deadline().unwrap_or(Instant::FAR);
        if outcome.is_some() {
            desk.forget(self.id);
            self.taken = true;
        } else if let Some(bell) = desk.pending.iter_mut().find(|bell| bell.id == self.id) {
            bell.until = Some(until);
        }
        desk.ring();
        outcome.ok_or(until)
    }

    fn end<R>(&mut self, act: impl FnOnce(&mut B, WaitId, Instant) -> R) -> R {
        self.taken = true;
        let mut desk = lock(&self.shared.0);
        desk.forget(self.id);
        let now = now();
        desk.book.advance(now);
        let result = act(&mut desk.book, self.id, now);
        desk.ring();
        result
    }
}

impl<B: Book> Drop for Pending<B> {
    fn drop(&mut self) {
        if !self.taken {
            self.end(|book, id, now| book.cancel(id, now));
        }
    }
}

impl<B: Book> fmt::Debug for Pending<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("id", &self.id).field("taken", &self.taken).finish()
    }
}
