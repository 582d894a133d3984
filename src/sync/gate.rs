//! The gate of a change of plan: all change, or none.

use super::prim::{AtomicU8, Ordering};
use crate::units::Instant;

/// Whether a change of plan holds: one atomic that all motors of a move look at.
///
/// It turns from pending to committed when every motor has acknowledged, before the change's instant;
/// or to expired, when the first loop reaches that instant before. It turns once: all change, or none.
///
/// ```
/// use lockstep::sync::{Gate, Verdict};
/// use lockstep::units::Instant;
///
/// let (before, at) = (Instant::from_nanos(999), Instant::from_nanos(1_000));
/// let gate = Gate::new(at);
/// assert_eq!(gate.commit(before), Verdict::Committed);
/// assert_eq!(gate.resolve(), Verdict::Committed);
///
/// let late = Gate::new(at);
/// assert_eq!(late.commit(at), Verdict::Expired);
/// ```
#[derive(Debug)]
pub struct Gate {
    at: Instant,
    state: AtomicU8,
}

/// How a gate turned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// All change.
    Committed,
    /// Nobody changes.
    Expired,
}

const PENDING: u8 = 0;
const COMMITTED: u8 = 1;
const EXPIRED: u8 = 2;

impl Gate {
    /// A gate, not turned yet, for a change that takes hold at `at`.
    pub fn new(at: Instant) -> Gate {
        Gate { at, state: AtomicU8::new(PENDING) }
    }

    /// When the change takes hold.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// Commits the change, if it is not its instant yet and no loop has given it up. Says how the gate
    /// has turned.
    ///
    /// From its instant on a commit comes too late, also where nobody has looked yet: a loop that
    /// takes the change only then would have to make up for steps that it did not know of.
    pub fn commit(&self, now: Instant) -> Verdict {
        self.turn(if now < self.at { COMMITTED } else { EXPIRED })
    }

    /// Called by a loop that has reached the instant, and by whoever takes the change back: an
    /// undecided change expires. Says how the gate has turned.
    pub fn resolve(&self) -> Verdict {
        self.turn(EXPIRED)
    }

    fn turn(&self, to: u8) -> Verdict {
        let was =
            match self.state.compare_exchange(PENDING, to, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => to,
                Err(was) => was,
            };
        if was == COMMITTED { Verdict::Committed } else { Verdict::Expired }
    }
}
