//! Saved positions, the last one saved on top.

use std::collections::VecDeque;
use std::time::Duration;

use super::Book;
use super::waiters::{Wait, WaitId, Waiters};
use crate::units::Instant;

/// Why no position came off the stack, or none went on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PositionError {
    /// Nothing was there, and nothing came in time.
    #[error("no position is saved: save one first, or wait for one")]
    Empty,
    /// A stop ended the wait.
    #[error("a stop ended the wait for a saved position")]
    Stopped,
    /// There are as many waits as there may be.
    #[error("{max} wait for a saved position already, more are not allowed: try again later")]
    TooMany {
        /// How many there may be.
        max: usize,
    },
}

/// The stack is full, and here is what was to go on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{capacity} positions are saved already, more are not kept: return to one first")]
pub struct StackFull<T> {
    /// What was not pushed.
    pub value: T,
    /// How many there may be.
    pub capacity: usize,
}

/// A bounded stack of positions: the state machine behind [`PositionStack`](crate::sync::PositionStack),
/// without any waiting. See [`Book`] for how to drive it.
///
/// What is pushed while someone waits goes to who came first. A pop that is taken back after it got
/// its value puts it back in its place, also when the stack has filled up since.
///
/// # Examples
///
/// ```
/// use lockstep::sync::{Book, PositionBook, PositionError};
/// use lockstep::units::Instant;
/// use std::time::Duration;
///
/// let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
/// let mut book = PositionBook::new(2);
/// book.push(10, at(0)).unwrap();
/// book.push(20, at(0)).unwrap();
/// assert_eq!(book.push(30, at(0)).unwrap_err().value, 30);
///
/// let mut pop = |timeout, now| book.pop(Duration::from_secs(timeout), now).map(|id| book.take(id));
/// assert_eq!(pop(0, at(1)), Ok(Some(Ok(20))));
/// assert_eq!(pop(0, at(1)), Ok(Some(Ok(10))));
/// assert_eq!(pop(0, at(1)), Ok(Some(Err(PositionError::Empty))));
/// assert_eq!(pop(5, at(1)), Ok(None)); // it waits
/// ```
#[derive(Debug)]
pub struct PositionBook<T> {
    capacity: usize,
    next: u64,
    /// Each with its number: they ascend, from bottom to top.
    saved: VecDeque<(u64, T)>,
    waiters: Waiters<(), Result<(u64, T), PositionError>>,
}

impl<T> PositionBook<T> {
    /// How many may wait at a time.
    pub const MAX_WAITS: usize = 256;

    /// An empty stack for `capacity` positions.
    pub fn new(capacity: usize) -> Self {
        PositionBook {
            capacity,
            next: 1,
            saved: VecDeque::new(),
            waiters: Waiters::new(Self::MAX_WAITS),
        }
    }

    /// Puts a value on top, or gives it to the first of those who wait. Returns how many are saved
    /// now.
    ///
    /// # Errors
    ///
    /// [`StackFull`], with the value.
    pub fn push(&mut self, value: T, now: Instant) -> Result<usize, StackFull<T>> {
        self.advance(now);
        let waits = self.waiters.first().is_some();
        if !waits && self.saved.len() >= self.capacity {
            return Err(StackFull { value, capacity: self.capacity });
        }
        self.saved.push_back((self.next, value));
        self.next += 1;
        self.serve();
        Ok(self.saved.len())
    }

    /// Begins to take the value on top. It is settled at once if there is one, or if `timeout` is
    /// zero.
    ///
    /// # Errors
    ///
    /// [`PositionError::TooMany`]; and later [`PositionError::Empty`], [`PositionError::Stopped`].
    pub fn pop(&mut self, timeout: Duration, now: Instant) -> Result<WaitId, PositionError> {
        self.advance(now);
        let max = self.waiters.most();
        let id = self.waiters.add(now + timeout, ()).ok_or(PositionError::TooMany { max })?;
        self.serve();
        self.advance(now);
        Ok(id)
    }

    /// How many are saved.
    pub fn len(&self) -> usize {
        self.saved.len()
    }

    /// Whether nothing is saved.
    pub fn is_empty(&self) -> bool {
        self.saved.is_empty()
    }

    /// How many may be saved.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    fn serve(&mut self) {
        while let Some(id) = self.waiters.first()
            && let Some(value) = self.saved.pop_back()
        {
            self.waiters.settle(id, Ok(value));
        }
    }
}

impl<T> Book for PositionBook<T> {
    type Output = T;
    type Error = PositionError;

    fn next_deadline(&self) -> Option<Instant> {
        self.waiters.next_deadline()
    }

    fn advance(&mut self, now: Instant) {
        while let Some(id) = self.waiters.overdue(now) {
            self.waiters.settle(id, Err(PositionError::Empty));
        }
    }

    fn news(&mut self) -> Vec<WaitId> {
        self.waiters.news()
    }

    fn is_settled(&self, id: WaitId) -> bool {
        self.waiters.is_settled(id)
    }

    fn take(&mut self, id: WaitId) -> Option<Result<T, PositionError>> {
        self.waiters.take(id).map(|result| result.map(|(_, value)| value))
    }

    fn cancel(&mut self, id: WaitId, now: Instant) {
        self.advance(now);
        if let Some(Wait::Settled(Ok((number, value)))) = self.waiters.remove(id) {
            let place = self.saved.partition_point(|(other, _)| *other < number);
            self.saved.insert(place, (number, value));
            self.serve();
        }
    }

    fn stop(&mut self, id: WaitId, now: Instant) -> PositionError {
        self.cancel(id, now);
        PositionError::Stopped
    }
}
