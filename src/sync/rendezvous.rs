//! Meetings by name, between threads.

use std::time::Duration;

use super::book::{Pending, Shared};
use super::stop::StopEvent;
use crate::books::Breakage;
use crate::books::{RendezvousBook, RendezvousError, RendezvousRules};

/// Meetings by name, each for a number of parties that all of them name. Clones are the same.
///
/// For those who share a program [`StepBarrier`](super::StepBarrier) does the same without names.
/// Who is released when, and what breaks a meeting, is told at [`RendezvousBook`], on which this is
/// built. A wait that is dropped breaks its meeting: the party is gone.
///
/// # Examples
///
/// ```
/// use lockstep::sync::{Rendezvous, RendezvousError};
/// use std::time::Duration;
///
/// let meetings = Rendezvous::default();
/// let other = std::thread::spawn({
///     let meetings = meetings.clone();
///     move || meetings.join("loaded", 2, Duration::from_secs(10), None)
/// });
/// let mine = meetings.join("loaded", 2, Duration::from_secs(10), None)?;
/// let its = other.join().unwrap()?;
/// assert_eq!(mine + its, 0 + 1); // the arrival indices
/// # Ok::<(), RendezvousError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Rendezvous {
    shared: Shared<RendezvousBook>,
}

/// A party that has come to a rendezvous.
pub type RendezvousWait = Pending<RendezvousBook>;

impl Rendezvous {
    /// No meetings yet.
    pub fn new(rules: RendezvousRules) -> Self {
        Rendezvous { shared: Shared::new(RendezvousBook::new(rules)) }
    }

    /// Comes to a meeting and waits for the others up to `timeout`. Returns the arrival index.
    ///
    /// # Errors
    ///
    /// Those of [`RendezvousBook::join`].
    pub fn join(
        &self,
        name: &str,
        parties: usize,
        timeout: Duration,
        stop: Option<&StopEvent>,
    ) -> Result<usize, RendezvousError> {
        self.begin(name, parties, timeout)?.wait(stop)
    }

    /// Comes to a meeting, without blocking.
    ///
    /// # Errors
    ///
    /// Those of [`RendezvousBook::join`] that come at once.
    pub fn begin(
        &self,
        name: &str,
        parties: usize,
        timeout: Duration,
    ) -> Result<RendezvousWait, RendezvousError> {
        self.shared.begin(|book, now| book.join(name, parties, timeout, now))
    }

    /// As [`RendezvousBook::abort`].
    ///
    /// # Errors
    ///
    /// Those of [`RendezvousBook::abort`].
    pub fn abort(&self, name: &str) -> Result<(), RendezvousError> {
        self.shared.with(|book, now| book.abort(name, now))
    }

    /// As [`RendezvousBook::reset`].
    pub fn reset(&self, name: &str) {
        self.shared.with(|book, now| book.reset(name, now));
    }

    /// As [`RendezvousBook::breakage`].
    pub fn breakage(&self, name: &str) -> Option<Breakage> {
        self.shared.with(|book, _| book.breakage(name))
    }
}

impl Default for Rendezvous {
    fn default() -> Self {
        Rendezvous::new(RendezvousRules::default())
    }
}
