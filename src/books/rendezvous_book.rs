//! Meetings by name: barriers between processes, as the service sees them.

use std::time::Duration;

use super::Book;
use super::breakage::{BreakCause, Breakage};
use super::waiters::{WaitId, Waiters};
use crate::units::Instant;

/// The limits of a [`RendezvousBook`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RendezvousRules {
    /// How long a broken rendezvous stays broken if nobody resets it, so that those who come late
    /// are told, and a name is not spoilt for ever. 60 s by default.
    pub keep_broken: Duration,
    /// How many names may be in use at a time, broken ones included: beyond that the one that broke
    /// first is forgotten. 64 by default.
    pub max_names: usize,
    /// How many may wait at a time, at all of them together. 256 by default.
    pub max_waits: usize,
}

impl Default for RendezvousRules {
    fn default() -> Self {
        RendezvousRules { keep_broken: Duration::from_secs(60), max_names: 64, max_waits: 256 }
    }
}

/// The longest name of a rendezvous, in bytes.
const MAX_NAME: usize = 128;

/// Why a party was not released.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RendezvousError {
    /// It broke while the party waited, or was broken when it came.
    #[error("the rendezvous `{name}` is broken: {}{}", breakage.cause, counts(breakage))]
    Broken {
        /// Which.
        name: String,
        /// Why. Its `parties` are 0 if it was aborted before anyone had come.
        breakage: Breakage,
    },
    /// This party's time ran out, which broke it for all who waited.
    #[error(
        "the rendezvous `{name}` timed out: {arrived} of {parties} parties had come after {timeout:?}"
    )]
    TimedOut {
        /// Which.
        name: String,
        /// How long this party waited.
        timeout: Duration,
        /// How many parties had come, this one included.
        arrived: usize,
        /// How many it is for.
        parties: usize,
    },
    /// A stop ended this party's wait, which broke it for all who waited.
    #[error("a stop ended the wait at the rendezvous `{name}`")]
    Stopped {
        /// Which.
        name: String,
    },
    /// Others wait there for another number of parties. Nothing was broken.
    #[error(
        "the rendezvous `{name}` is for {expected} parties, not {given}: all must say the same"
    )]
    PartiesDiffer {
        /// Which.
        name: String,
        /// For how many those who wait are there.
        expected: usize,
        /// What this one said.
        given: usize,
    },
    /// Nobody could ever be the last of so many.
    #[error("a rendezvous is for 1 to {max} parties, not {given}")]
    Parties {
        /// What was said.
        given: usize,
        /// How many there may be.
        max: usize,
    },
    /// The name is empty or too long.
    #[error("the name of a rendezvous must have 1 to {max} bytes, not {bytes}")]
    Name {
        /// The bytes in the name.
        bytes: usize,
        /// How many there may be.
        max: usize,
    },
    /// There are as many names in use, or parties waiting, as there may be.
    #[error("{max} rendezvous or parties are waited for already: try again later")]
    TooMany {
        /// How many there may be.
        max: usize,
    },
}

fn counts(breakage: &Breakage) -> String {
    match breakage {
        Breakage { parties: 0, .. } => String::new(),
        Breakage { arrived, parties, .. } => format!("; {arrived} of {parties} parties had come"),
    }
}

/// Meetings by name, each for a number of parties: the state machine behind
/// [`Rendezvous`](crate::sync::Rendezvous), without any waiting. See [`Book`] for how to drive it.
///
/// The semantics are those of [`StepBarrier`](crate::sync::StepBarrier): all parties of a meeting are
/// released, when the last has come, or none is. A party whose time runs out, that is stopped, or
/// that is [cancelled](Book::cancel), breaks it for all who wait; a broken one refuses those who come,
/// until it is [reset](Self::reset), or for [a while](RendezvousRules::keep_broken). After a release
/// the name is free for the next meeting.
///
/// # Examples
///
/// ```
/// use lockstep::sync::{Book, BreakCause, RendezvousBook, RendezvousError, RendezvousRules};
/// use lockstep::units::Instant;
/// use std::time::Duration;
///
/// let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
/// let patience = Duration::from_secs(5);
/// let mut book = RendezvousBook::new(RendezvousRules::default());
/// let one = book.join("start", 2, patience, at(0))?;
/// let other = book.join("start", 3, patience, at(1)).unwrap_err();
/// assert_eq!(
///     other.to_string(),
///     "the rendezvous `start` is for 2 parties, not 3: all must say the same"
/// );
/// let two = book.join("start", 2, patience, at(2))?;
/// assert_eq!((book.take(one), book.take(two)), (Some(Ok(0)), Some(Ok(1))));
///
/// let alone = book.join("start", 2, patience, at(3))?;
/// book.advance(at(8));
/// assert!(matches!(book.take(alone), Some(Err(RendezvousError::TimedOut { arrived: 1, .. }))));
/// assert!(book.join("start", 2, patience, at(9)).is_err());
/// book.reset("start", at(9));
/// assert!(book.join("start", 2, patience, at(9)).is_ok());
/// # Ok::<(), RendezvousError>(())
/// ```
#[derive(Debug)]
pub struct RendezvousBook {
    rules: RendezvousRules,
    /// The one that broke first comes first.
    broken: Vec<Broken>,
    waiters: Waiters<Party, Result<usize, RendezvousError>>,
}

#[derive(Debug)]
struct Broken {
    name: String,
    breakage: Breakage,
    until: Instant,
}

#[derive(Debug)]
struct Party {
    name: String,
    parties: usize,
    timeout: Duration,
}

impl RendezvousBook {
    /// A book without meetings.
    pub fn new(rules: RendezvousRules) -> Self {
        RendezvousBook { rules, broken: Vec::new(), waiters: Waiters::new(rules.max_waits) }
    }

    /// A party comes to the meeting `name`, which is for `parties`. What comes of it is the party's
    /// arrival index: 0 for the first, one less than the parties for the last. It is settled at
    /// once, for all of them, if it is the last.
    ///
    /// # Errors
    ///
    /// [`RendezvousError::Name`], [`RendezvousError::Parties`], [`RendezvousError::PartiesDiffer`],
    /// [`RendezvousError::TooMany`], [`RendezvousError::Broken`]; and later
    /// [`RendezvousError::Broken`], [`RendezvousError::TimedOut`], [`RendezvousError::Stopped`].
    pub fn join(
        &mut self,
        name: &str,
        parties: usize,
        timeout: Duration,
        now: Instant,
    ) -> Result<WaitId, RendezvousError> {
        check_name(name)?;
        let max = self.waiters.most();
        if parties == 0 || parties > max {
            return Err(RendezvousError::Parties { given: parties, max });
        }
        self.advance(now);
        if let Some(broken) = self.broken.iter().find(|broken| broken.name == name) {
            let breakage = broken.breakage;
            return Err(RendezvousError::Broken { name: name.to_string(), breakage });
        }
        let expected = self.waiting(name).map(|(_, expected)| expected);
        if let Some(expected) = expected
            && expected != parties
        {
            let name = name.to_string();
            return Err(RendezvousError::PartiesDiffer { name, expected, given: parties });
        }
        if expected.is_none() {
            self.make_room()?;
        }
        let party = Party { name: name.to_string(), parties, timeout };
        let id = self.waiters.add(now + timeout, party).ok_or(RendezvousError::TooMany { max })?;
        let all = self.parties_of(name);
        if all.len() == parties {
            for (index, id) in all.into_iter().enumerate() {
                self.waiters.settle(id, Ok(index));
            }
        }
        self.advance(now);
        Ok(id)
    }

    /// Breaks a meeting, whether anyone waits there or not, for all who wait and who come later. One
    /// that is broken already keeps its first cause.
    ///
    /// # Errors
    ///
    /// [`RendezvousError::Name`], [`RendezvousError::TooMany`]
    pub fn abort(&mut self, name: &str, now: Instant) -> Result<(), RendezvousError> {
        check_name(name)?;
        self.advance(now);
        if self.broken.iter().any(|broken| broken.name == name) {
            return Ok(());
        }
        if self.waiting(name).is_none() {
            self.make_room()?;
        }
        self.break_all(name, BreakCause::Aborted, now, None);
        Ok(())
    }

    /// Makes a meeting as new. Those who wait get [`BreakCause::Reset`].
    pub fn reset(&mut self, name: &str, now: Instant) {
        self.advance(now);
        if self.waiting(name).is_some() {
            self.break_all(name, BreakCause::Reset, now, None);
        }
        self.broken.retain(|broken| broken.name != name);
    }

    /// How many wait at a meeting, and for how many it is; none if nobody waits there.
    pub fn waiting(&self, name: &str) -> Option<(usize, usize)> {
        let mut parties = self.waiters.open().filter(|(_, party)| party.name == name);
        let (_, first) = parties.next()?;
        Some((1 + parties.count(), first.parties))
    }

    /// What broke a meeting, if it is broken.
    pub fn breakage(&self, name: &str) -> Option<Breakage> {
        self.broken.iter().find(|broken| broken.name == name).map(|broken| broken.breakage)
    }

    fn parties_of(&self, name: &str) -> Vec<WaitId> {
        let parties = self.waiters.open().filter(|(_, party)| party.name == name);
        parties.map(|(id, _)| id).collect()
    }

    /// Breaks a meeting for all. `first` is who broke it, and what that one is told.
    fn break_all(
        &mut self,
        name: &str,
        cause: BreakCause,
        now: Instant,
        first: Option<(WaitId, RendezvousError)>,
    ) {
        let (arrived, parties) = self.waiting(name).unwrap_or((0, 0));
        let breakage = Breakage { cause, arrived, parties };
        if let Some((id, error)) = first {
            self.waiters.settle(id, Err(error));
        }
        for id in self.parties_of(name) {
            let name = name.to_string();
            self.waiters.settle(id, Err(RendezvousError::Broken { name, breakage }));
        }
        let until = now + self.rules.keep_broken;
        self.broken.push(Broken { name: name.to_string(), breakage, until });
    }

    /// Makes room for one more name.
    fn make_room(&mut self) -> Result<(), RendezvousError> {
        let mut names: Vec<&str> = self.waiters.open().map(|(_, p)| p.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let max = self.rules.max_names;
        if names.len() >= max {
            return Err(RendezvousError::TooMany { max });
        }
        let surplus = (names.len() + self.broken.len() + 1).saturating_sub(max);
        self.broken.drain(..surplus);
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), RendezvousError> {
    match name.len() {
        1..=MAX_NAME => Ok(()),
        bytes => Err(RendezvousError::Name { bytes, max: MAX_NAME }),
    }
}

impl Book for RendezvousBook {
    type Output = usize;
    type Error = RendezvousError;

    fn next_deadline(&self) -> Option<Instant> {
        self.waiters.next_deadline()
    }

    fn advance(&mut self, now: Instant) {
        self.broken.retain(|broken| broken.until > now);
        while let Some(id) = self.waiters.overdue(now) {
            let Some(Party { name, parties, timeout }) = self.waiters.wanted(id) else {
                return;
            };
            let (name, parties, timeout) = (name.clone(), *parties, *timeout);
            let arrived = self.parties_of(&name).len();
            let error = RendezvousError::TimedOut { name: name.clone(), timeout, arrived, parties };
            self.break_all(&name, BreakCause::TimedOut, now, Some((id, error)));
        }
    }

    fn news(&mut self) -> Vec<WaitId> {
        self.waiters.news()
    }

    fn is_settled(&self, id: WaitId) -> bool {
        self.waiters.is_settled(id)
    }

    fn take(&mut self, id: WaitId) -> Option<Result<usize, RendezvousError>> {
        self.waiters.take(id)
    }

    fn cancel(&mut self, id: WaitId, now: Instant) {
        self.advance(now);
        if let Some(party) = self.waiters.wanted(id) {
            let name = party.name.clone();
            self.break_all(&name, BreakCause::PartyGone, now, None);
        }
        self.waiters.remove(id);
    }

    fn stop(&mut self, id: WaitId, now: Instant) -> RendezvousError {
        let name = self.waiters.wanted(id).map(|p| p.name.clone()).unwrap_or_default();
        self.cancel(id, now);
        RendezvousError::Stopped { name }
    }
}
