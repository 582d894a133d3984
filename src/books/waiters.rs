//! Those who wait for something in a book, in the order in which they came.

use std::collections::VecDeque;
use std::fmt;

use crate::units::Instant;

/// The number of one wait in one [`Book`](super::Book). Numbers are not used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WaitId(u64);

impl fmt::Display for WaitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A bounded table of waits: what each waits for, and, once that is settled, what came of it.
#[derive(Debug)]
pub(super) struct Waiters<W, R> {
    entries: VecDeque<Entry<W, R>>,
    next: u64,
    most: usize,
}

#[derive(Debug)]
struct Entry<W, R> {
    id: WaitId,
    deadline: Instant,
    state: Wait<W, R>,
    /// Whether `news` has named it since it was settled.
    told: bool,
}

#[derive(Debug)]
pub(super) enum Wait<W, R> {
    Open(W),
    Settled(R),
}

impl<W, R> Waiters<W, R> {
    pub(super) fn new(most: usize) -> Self {
        Waiters { entries: VecDeque::new(), next: 1, most }
    }

    /// Adds a wait, unless there are as many as there may be; those that are settled and not taken
    /// count, too.
    pub(super) fn add(&mut self, deadline: Instant, wanted: W) -> Option<WaitId> {
        if self.entries.len() >= self.most {
            return None;
        }
        let id = WaitId(self.next);
        self.next += 1;
        self.entries.push_back(Entry { id, deadline, state: Wait::Open(wanted), told: false });
        Some(id)
    }

    /// How many there may be.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Those that are not settled, the first to come first.
    pub(super) fn open(&self) -> impl Iterator<Item = (WaitId, &W)> {
        self.entries.iter().filter_map(|entry| match &entry.state {
            Wait::Open(wanted) => Some((entry.id, wanted)),
            Wait::Settled(_) => None,
        })
    }

    /// The first of those that are not settled.
    pub(super) fn first(&self) -> Option<WaitId> {
        self.open().next().map(|(id, _)| id)
    }

    /// What a wait that is not settled waits for.
    pub(super) fn wanted(&self, id: WaitId) -> Option<&W> {
        self.open().find(|(other, _)| *other == id).map(|(_, wanted)| wanted)
    }

    /// Says what came of a wait. One that is settled already, or gone, stays as it is.
    pub(super) fn settle(&mut self, id: WaitId, outcome: R) {
        let entry = self.entries.iter_mut().find(|entry| entry.id == id);
        if let Some(entry) = entry
            && matches!(entry.state, Wait::Open(_))
        {
            entry.state = Wait::Settled(outcome);
        }
    }

    /// Gives a wait that is not settled another deadline.
    pub(super) fn set_deadline(&mut self, id: WaitId, deadline: Instant) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id) {
            entry.deadline = deadline;
        }
    }

    /// Of those that are not settled and whose deadline has come, the one whose deadline came first.
    pub(super) fn overdue(&self, now: Instant) -> Option<WaitId> {
        let open = self.entries.iter().filter(|entry| matches!(entry.state, Wait::Open(_)));
        open.filter(|entry| entry.deadline <= now)
            .min_by_key(|entry| (entry.deadline, entry.id))
            .map(|entry| entry.id)
    }

    /// All those that are not settled and whose deadline has come.
    pub(super) fn all_overdue(&self, now: Instant) -> Vec<WaitId> {
        let open = self.entries.iter().filter(|entry| matches!(entry.state, Wait::Open(_)));
        open.filter(|entry| entry.deadline <= now).map(|entry| entry.id).collect()
    }

    /// The next deadline of those that are not settled.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let open = self.entries.iter().filter(|entry| matches!(entry.state, Wait::Open(_)));
        open.map(|entry| entry.deadline).min()
    }

    /// Those that were settled since it was asked last.
    pub(super) fn news(&mut self) -> Vec<WaitId> {
        let fresh = |e: &&mut Entry<W, R>| matches!(e.state, Wait::Settled(_)) && !e.told;
        let fresh = self.entries.iter_mut().filter(fresh);
        fresh
            .map(|entry| {
                entry.told = true;
                entry.id
            })
            .collect()
    }

    pub(super) fn is_settled(&self, id: WaitId) -> bool {
        self.entries.iter().any(|e| e.id == id && matches!(e.state, Wait::Settled(_)))
    }

    /// What came of a wait, which is then gone; nothing if it is not settled, or gone.
    pub(super) fn take(&mut self, id: WaitId) -> Option<R> {
        let place = self.entries.iter().position(|entry| entry.id == id)?;
        if matches!(self.entries[place].state, Wait::Open(_)) {
            return None;
        }
        match self.entries.remove(place)?.state {
            Wait::Settled(outcome) => Some(outcome),
            Wait::Open(_) => None,
        }
    }

    /// Takes a wait out, settled or not.
    pub(super) fn remove(&mut self, id: WaitId) -> Option<Wait<W, R>> {
        let place = self.entries.iter().position(|entry| entry.id == id)?;
        self.entries.remove(place).map(|entry| entry.state)
    }
}
