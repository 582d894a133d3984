//! Saved positions, shared by threads.

use std::time::Duration;

use super::book::{Pending, Shared};
use super::stop::StopEvent;
use crate::books::{PositionBook, PositionError, StackFull};

/// A bounded stack of positions, last in, first out, shared by threads. Clones are the same stack.
///
/// # Examples
///
/// ```
/// use lockstep::sync::{PositionError, PositionStack};
/// use std::time::Duration;
///
/// let saved = PositionStack::new(16);
/// saved.push("home").unwrap();
/// saved.push("above the vice").unwrap();
/// assert_eq!(saved.pop(Duration::ZERO, None), Ok("above the vice"));
/// assert_eq!(saved.pop(Duration::ZERO, None), Ok("home"));
/// assert_eq!(saved.pop(Duration::from_millis(1), None), Err(PositionError::Empty));
/// ```
#[derive(Debug)]
pub struct PositionStack<T> {
    shared: Shared<PositionBook<T>>,
}

/// A wait for a saved position that has begun.
pub type PopWait<T> = Pending<PositionBook<T>>;

impl<T> PositionStack<T> {
    /// An empty stack for `capacity` positions.
    pub fn new(capacity: usize) -> Self {
        PositionStack { shared: Shared::new(PositionBook::new(capacity)) }
    }

    /// Puts a value on top, or gives it to the first of those who wait. Returns how many are saved
    /// now.
    ///
    /// # Errors
    ///
    /// [`StackFull`], with the value.
    pub fn push(&self, value: T) -> Result<usize, StackFull<T>> {
        self.shared.with(|book, now| book.push(value, now))
    }

    /// Takes the value on top, and waits for a push up to `timeout` if there is none.
    ///
    /// # Errors
    ///
    /// Those of [`PositionBook::pop`].
    pub fn pop(&self, timeout: Duration, stop: Option<&StopEvent>) -> Result<T, PositionError> {
        self.begin_pop(timeout)?.wait(stop)
    }

    /// Begins to take the value on top, without blocking.
    ///
    /// # Errors
    ///
    /// [`PositionError::TooMany`]
    pub fn begin_pop(&self, timeout: Duration) -> Result<PopWait<T>, PositionError> {
        self.shared.begin(|book, now| book.pop(timeout, now))
    }

    /// How many are saved.
    pub fn len(&self) -> usize {
        self.shared.with(|book, _| book.len())
    }

    /// Whether nothing is saved.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Clone for PositionStack<T> {
    fn clone(&self) -> Self {
        PositionStack { shared: self.shared.clone() }
    }
}
