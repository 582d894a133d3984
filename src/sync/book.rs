//! The shell that lets threads share a book.

use std::fmt;

use super::prim::{Arc, Mutex, Received, Receiver, Sender, lock, now, sleep_until, wake_channel};
use super::stop::StopEvent;
use crate::books::{Book, WaitId};
use crate::units::Instant;

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
