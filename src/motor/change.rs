use std::sync::Arc;

use super::MoveId;
use crate::motion::Trajectory;
use crate::sync::Gate;
use crate::units::Instant;

/// What a motor does when its plan has come to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Then {
    /// Its part of the move is over: it says [`Ended`](super::Report::Ended).
    #[default]
    End,
    /// It rests there until the next change, and says [`Held`](super::Report::Held).
    Hold,
}

/// A new plan for a running move, from an instant ahead.
///
/// A loop hands it to its part with `Run::follow` once its instant has come and its gate has turned to
/// committed.
#[derive(Clone)]
pub struct Change {
    /// The change's own number.
    pub number: u64,
    /// The move it belongs to.
    pub id: MoveId,
    /// When it takes over: its gate's instant.
    pub at: Instant,
    /// Whether it does.
    pub gate: Arc<Gate>,
    trajectory: Arc<Trajectory>,
    then: Then,
}

impl Change {
    /// A change of the move `id` to `trajectory`, whose time zero is the gate's instant. It begins in
    /// the state that the old plan has then.
    pub fn new(
        number: u64,
        id: MoveId,
        trajectory: Arc<Trajectory>,
        then: Then,
        gate: Arc<Gate>,
    ) -> Change {
        Change { number, id, at: gate.at(), gate, trajectory, then }
    }

    /// The new plan, in the motor's native unit.
    pub fn trajectory(&self) -> &Arc<Trajectory> {
        &self.trajectory
    }

    /// What follows when it has come to its end.
    pub fn then(&self) -> Then {
        self.then
    }
}
