use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::MoveId;
use crate::motion::Trajectory;
use crate::units::Instant;

/// Whether a change of plan holds: one atomic that all motors of a move look at.
///
/// It turns from pending to committed when every motor has acknowledged, or to expired when the
/// first loop reaches the change's instant before that. It turns once: all change, or none.
#[derive(Debug, Default)]
pub struct Gate(AtomicU8);

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
    /// Commits the change, if no loop has reached its instant yet. Says how the gate has turned.
    pub fn commit(&self) -> Verdict {
        self.turn(COMMITTED)
    }

    /// Called by a loop that has reached the instant: an undecided change expires.
    pub fn resolve(&self) -> Verdict {
        self.turn(EXPIRED)
    }

    fn turn(&self, to: u8) -> Verdict {
        let was = match self.0.compare_exchange(PENDING, to, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => to,
            Err(was) => was,
        };
        if was == COMMITTED { Verdict::Committed } else { Verdict::Expired }
    }
}

/// A new plan for a running move, from an instant ahead.
#[derive(Clone)]
pub struct Change {
    /// The change's own number.
    pub number: u64,
    /// The move it belongs to.
    pub id: MoveId,
    /// The new trajectory; its time zero is `at`. It begins in the state that the old plan has then.
    pub trajectory: Arc<Trajectory>,
    /// When it takes over.
    pub at: Instant,
    /// Whether it does.
    pub gate: Arc<Gate>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_turns_once() {
        let g = Gate::default();
        assert_eq!(g.commit(), Verdict::Committed);
        assert_eq!(g.resolve(), Verdict::Committed);
        let g = Gate::default();
        assert_eq!(g.resolve(), Verdict::Expired);
        assert_eq!(g.commit(), Verdict::Expired);
    }
}
