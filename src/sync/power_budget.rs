//! A power supply's current, shared out among the motors of several threads.

use std::fmt;
use std::time::Duration;

use super::book::{Pending, Shared};
use super::prim::Receiver;
use super::stop::StopEvent;
use crate::books::{GrantId, PowerBook, PowerError, PowerRules};

/// A counting semaphore in milliamperes, shared by threads. Clones are the same.
///
/// Who gets what, and when, is told at [`PowerBook`], on which this is built.
///
/// # Examples
///
/// ```
/// use lockstep::sync::{PowerBudget, PowerError, PowerRules};
/// use std::time::Duration;
///
/// let budget = PowerBudget::new(PowerRules::new(2000));
/// let share = budget.acquire(&[("x", 800), ("y", 800)], Duration::from_secs(1), None)?;
/// let refused = budget.acquire(&[("z", 800)], Duration::from_millis(1), None);
/// assert_eq!(
///     refused.unwrap_err().to_string(),
///     "the time ran out in the wait for 800 mA: 400 mA of 2000 mA are free"
/// );
/// share.give_back_motor("x"); // it is at rest
/// let z = budget.acquire(&[("z", 800)], Duration::from_millis(1), None)?;
/// # drop((share, z));
/// # Ok::<(), PowerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct PowerBudget {
    shared: Shared<PowerBook>,
}

impl PowerBudget {
    /// A supply that gives nothing yet.
    pub fn new(rules: PowerRules) -> Self {
        PowerBudget { shared: Shared::new(PowerBook::new(rules)) }
    }

    /// Takes the current of motors, each with its milliamperes, and waits for it up to `timeout`.
    ///
    /// # Errors
    ///
    /// Those of [`PowerBook::ask`].
    pub fn acquire(
        &self,
        motors: &[(impl AsRef<str>, u32)],
        timeout: Duration,
        stop: Option<&StopEvent>,
    ) -> Result<PowerShare, PowerError> {
        self.begin(motors, timeout)?.wait(stop)
    }

    /// Begins to take the current of motors, without blocking.
    ///
    /// # Errors
    ///
    /// Those of [`PowerBook::ask`] that are not about time.
    pub fn begin(
        &self,
        motors: &[(impl AsRef<str>, u32)],
        timeout: Duration,
    ) -> Result<PowerWait, PowerError> {
        let pending = self.shared.begin(|book, now| book.ask(motors, timeout, now))?;
        Ok(PowerWait { pending, budget: self.clone() })
    }

    /// As [`PowerBook::hold_back`].
    pub fn hold_back(&self, held_back: bool) {
        self.shared.with(|book, now| book.hold_back(held_back, now));
    }

    /// As [`PowerBook::used`].
    pub fn used(&self) -> u64 {
        self.shared.with(|book, _| book.used())
    }
}

/// A wait for current that has begun. If it is dropped it is taken back.
#[derive(Debug)]
#[must_use = "a wait that is dropped is taken back"]
pub struct PowerWait {
    pending: Pending<PowerBook>,
    budget: PowerBudget,
}

impl PowerWait {
    /// As [`Pending::is_settled`].
    pub fn is_settled(&self) -> bool {
        self.pending.is_settled()
    }

    /// As [`Pending::signal`].
    pub fn signal(&self) -> &Receiver<()> {
        self.pending.signal()
    }

    /// Blocks until the current is there, by the time-out at the latest, or until `stop` is set.
    ///
    /// # Errors
    ///
    /// [`PowerError::TimedOut`], [`PowerError::Stopped`]
    pub fn wait(self, stop: Option<&StopEvent>) -> Result<PowerShare, PowerError> {
        let PowerWait { pending, budget } = self;
        let id = pending.wait(stop)?;
        Ok(PowerShare { budget, id })
    }
}

/// Current that was taken. Dropping it gives back what is left of it.
#[must_use = "current that is dropped is given back"]
pub struct PowerShare {
    budget: PowerBudget,
    id: GrantId,
}

impl PowerShare {
    /// As [`PowerBook::give_back_motor`].
    pub fn give_back_motor(&self, motor: &str) {
        self.budget.shared.with(|book, now| book.give_back_motor(self.id, motor, now));
    }
}

impl Drop for PowerShare {
    fn drop(&mut self) {
        self.budget.shared.with(|book, now| book.give_back(self.id, now));
    }
}

impl fmt::Debug for PowerShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PowerShare").field("id", &self.id).finish()
    }
}
