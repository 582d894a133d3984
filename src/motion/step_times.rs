use std::sync::Arc;

use super::Trajectory;

mod run;
use run::{AT_REST, NO_PIECE, Piece, Run, pieces};

/// A step and when it is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StepDue {
    /// Nanoseconds since the trajectory's start.
    pub at: u64,
    /// Whether the count goes up.
    pub up: bool,
    /// The count after this step.
    pub count: i64,
}

/// When each step of a trajectory is due: the trajectory inverted, root by root, no sampling.
///
/// The trajectory is in steps. With a count of `n`, the step up to `n + 1` is due when the
/// position reaches `n + 3/4`, the step down to `n - 1` when it reaches `n - 3/4`. That is half a
/// step of hysteresis: a reversal never gives two opposite steps at one place, and a target that
/// is a whole step is reached, in steps, while the trajectory still moves.
///
/// A step is due at the **first whole nanosecond** at which the position is at or past its
/// threshold, so it is never early and less than 1 ns late, plus what the last bits of the
/// position mean in time. Due times never decrease. Steps that the count already lacks at the
/// start (after a late change of plan) are due at 0, and any that are left when the trajectory
/// comes to rest are due at its duration. So a trajectory that ends at a whole step leaves exactly
/// that count. Counts and positions are exact up to 2^50 steps from 0.
///
/// Neither [`peek`](StepTimes::peek) nor [`advance`](StepTimes::advance) allocates.
///
/// ```
/// use std::sync::Arc;
/// use lockstep::motion::{Limits, Planner, State, StepTimes};
///
/// let limits = Limits { speed: 1000.0, acceleration: 10_000.0, jerk: 100_000.0 };
/// let three = Planner::new().plan_to(State::at_rest(0.0), 3.0, limits)?;
/// let mut steps = StepTimes::new(Arc::new(three), 0);
/// let mut counts = Vec::new();
/// while let Some(due) = steps.peek() {
///     // Wait until `due.at`, emit the step, then:
///     counts.push(due.count);
///     steps.advance();
/// }
/// assert_eq!(counts, [1, 2, 3]);
/// assert_eq!(steps.count(), 3);
/// # Ok::<(), lockstep::motion::PlanError>(())
/// ```
#[derive(Clone, Debug)]
pub struct StepTimes {
    trajectory: Arc<Trajectory>,
    count: i64,
    /// The segment we are in; one beyond the last at the end.
    segment: usize,
    /// When it began.
    start: u64,
    /// Where it began, steps.
    base: f64,
    /// Its stretches between velocity zeros, the one we are in first.
    pieces: [Piece; 3],
    /// The polynomial of the piece we are in.
    run: Run,
    /// The nanosecond of the segment up to which every step is known.
    cursor: i64,
    /// The way run up to there.
    here: f64,
    found: Found,
}

#[derive(Clone, Copy, Debug)]
enum Found {
    Unknown,
    Nothing,
    /// The due step, its nanosecond within the segment, and the way run up to there.
    Step(StepDue, i64, f64),
}

/// How far from the threshold the position is when a step falls due.
const THRESHOLD: f64 = 0.75;

impl StepTimes {
    /// The step times of a trajectory in steps, of which `count` have been emitted so far.
    pub fn new(trajectory: Arc<Trajectory>, count: i64) -> Self {
        let mut steps = StepTimes {
            trajectory,
            count,
            segment: 0,
            start: 0,
            base: 0.0,
            pieces: [NO_PIECE; 3],
            run: AT_REST,
            cursor: 0,
            here: 0.0,
            found: Found::Unknown,
        };
        steps.enter_segment();
        steps
    }

    /// The trajectory, in steps.
    pub fn trajectory(&self) -> &Arc<Trajectory> {
        &self.trajectory
    }

    /// The steps emitted so far.
    pub fn count(&self) -> i64 {
        self.count
    }

    /// The next due step, worked out once; `None`: no more steps on this trajectory.
    #[inline]
    pub fn peek(&mut self) -> Option<StepDue> {
        if let Found::Unknown = self.found {
            self.found = self.find();
        }
        match self.found {
            Found::Step(due, ..) => Some(due),
            _ => None,
        }
    }

    /// The step that [`peek`](StepTimes::peek) gave was emitted.
    #[inline]
    pub fn advance(&mut self) {
        if self.peek().is_none() {
            return;
        }
        if let Found::Step(due, cursor, here) = self.found {
            self.count = due.count;
            self.cursor = cursor;
            self.here = here;
            self.found = Found::Unknown;
        }
    }

    #[inline]
    fn find(&mut self) -> Found {
        loop {
            let run = &self.run;
            let count = self.count as f64;
            // The thresholds ahead and behind, as ways run.
            let ahead = run.sign * ((count + run.sign * THRESHOLD) - self.base);
            let behind = run.sign * ((count - run.sign * THRESHOLD) - self.base);
            if self.here >= ahead {
                return self.due(run.sign, self.cursor, self.here);
            }
            if self.here <= behind {
                return self.due(-run.sign, self.cursor, self.here);
            }
            if run.to_last >= ahead {
                let (at, way) = run.reach(ahead, self.cursor, self.here);
                return self.due(run.sign, at, way);
            }
            if !self.enter_next() {
                return Found::Nothing;
            }
        }
    }

    fn due(&self, sign: f64, at: i64, way: f64) -> Found {
        let up = sign > 0.0;
        let count = if up { self.count + 1 } else { self.count - 1 };
        Found::Step(StepDue { at: self.start + at as u64, up, count }, at, way)
    }

    /// On to the next piece, segment, or the rest at the end; false if there is nothing left.
    fn enter_next(&mut self) -> bool {
        self.pieces = [self.pieces[1], self.pieces[2], NO_PIECE];
        if self.pieces[0].last < self.pieces[0].first {
            if self.segment >= self.trajectory.segments().len() {
                return false;
            }
            self.segment += 1;
            self.enter_segment();
        } else {
            self.enter_piece();
        }
        true
    }

    fn enter_segment(&mut self) {
        match self.trajectory.segments().get(self.segment) {
            Some(segment) => {
                self.start = segment.start;
                self.base = segment.state.position;
                self.pieces = pieces(segment);
                self.enter_piece();
            }
            None => {
                self.start = self.trajectory.duration();
                self.base = self.trajectory.end();
                self.pieces = [NO_PIECE; 3];
                self.run = AT_REST;
                self.cursor = 0;
                self.here = 0.0;
            }
        }
    }

    fn enter_piece(&mut self) {
        let Some(segment) = self.trajectory.segments().get(self.segment) else {
            return;
        };
        let piece = self.pieces[0];
        self.run = Run::new(segment, piece);
        self.cursor = piece.first;
        self.here = self.run.way(piece.first);
    }
}

#[cfg(test)]
mod tests;
