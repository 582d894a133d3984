use std::sync::Arc;

use super::extremes::velocity_zeros;
use super::trajectory::travel;
use super::{Segment, Trajectory};

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
/// let three = Planner::new().to_position(State::at_rest(0.0), 3.0, limits)?;
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

/// A stretch of a segment in which the velocity does not change its sign.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Its first and last nanosecond within the segment; there is none if they cross.
    first: i64,
    last: i64,
}

const NO_PIECE: Piece = Piece { first: 0, last: -1 };

/// The way run within a segment, counted in the direction of motion, so that it grows.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// 1 upwards, -1 downwards.
    sign: f64,
    velocity: f64,
    half_acceleration: f64,
    sixth_jerk: f64,
    /// 1 / velocity where that is all there is; else 0.
    slowness: f64,
    /// The piece's last nanosecond, and the way run up to there.
    last: i64,
    to_last: f64,
}

const AT_REST: Run = Run {
    sign: 1.0,
    velocity: 0.0,
    half_acceleration: 0.0,
    sixth_jerk: 0.0,
    slowness: 0.0,
    last: 0,
    to_last: f64::NEG_INFINITY,
};

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

/// The segment's nanoseconds, divided where its velocity changes its sign. Its end belongs to the
/// next segment.
fn pieces(segment: &Segment) -> [Piece; 3] {
    let last = i64::try_from(segment.duration - 1).unwrap_or(i64::MAX);
    let mut pieces = [NO_PIECE; 3];
    let (mut n, mut first) = (0, 0);
    for zero in velocity_zeros(segment) {
        let nanos = zero * 1e9;
        // Not a number fails both comparisons.
        if nanos >= first as f64 && nanos < last as f64 {
            let until = nanos as i64;
            pieces[n] = Piece { first, last: until };
            n += 1;
            first = until + 1;
        }
    }
    pieces[n] = Piece { first, last };
    pieces
}

#[inline(always)]
fn seconds(nanos: i64) -> f64 {
    nanos as f64 * 1e-9
}

impl Run {
    fn new(segment: &Segment, piece: Piece) -> Run {
        let state = segment.state;
        let middle = seconds(piece.first + (piece.last - piece.first) / 2);
        let speed = state.after(middle, segment.jerk).velocity;
        let sign = if speed < 0.0 { -1.0 } else { 1.0 };
        let mut run = Run {
            sign,
            velocity: sign * state.velocity,
            half_acceleration: sign * state.acceleration / 2.0,
            sixth_jerk: sign * segment.jerk / 6.0,
            slowness: 0.0,
            last: piece.last,
            to_last: 0.0,
        };
        if state.acceleration == 0.0 && segment.jerk == 0.0 {
            if state.velocity == 0.0 {
                return Run { last: piece.last, ..AT_REST };
            }
            run.slowness = 1.0 / run.velocity;
        }
        run.to_last = run.way(piece.last);
        run
    }

    /// The way run up to a nanosecond of the segment.
    #[inline(always)]
    fn way(&self, nanos: i64) -> f64 {
        travel(seconds(nanos), self.velocity, self.half_acceleration, self.sixth_jerk)
    }

    /// The first nanosecond after `from`, and no later than the piece's last, at which the way is
    /// `aim` or more, and the way there. Up to `from` it is `here`, less than `aim`.
    #[inline]
    fn reach(&self, aim: f64, from: i64, here: f64) -> (i64, f64) {
        let guess =
            if self.slowness > 0.0 { aim * self.slowness } else { self.root(aim, from, here) };
        let nanos = guess * 1e9;
        let whole = nanos as i64;
        let up = whole + i64::from((whole as f64) < nanos);
        let at = up.clamp(from + 1, self.last.max(from + 1));
        let way = self.way(at);
        if way >= aim && (at == from + 1 || self.way(at - 1) < aim) {
            return (at, way);
        }
        self.search(aim, from, at)
    }

    /// About when the way is `aim`, seconds.
    #[inline]
    fn root(&self, aim: f64, from: i64, here: f64) -> f64 {
        let (v, a2, j6) = (self.velocity, self.half_acceleration, self.sixth_jerk);
        let h = seconds(from);
        let more = aim - here;
        // From here on with the acceleration of here: a quadratic, solved without cancellation.
        let speed = v + h * (2.0 * a2 + h * (3.0 * j6));
        let acceleration = 2.0 * a2 + h * (6.0 * j6);
        let discriminant = speed * speed + 2.0 * acceleration * more;
        let (mut low, mut high) = (h, seconds(self.last));
        let mut root =
            if discriminant > 0.0 { h + 2.0 * more / (speed + discriminant.sqrt()) } else { high };
        if j6 == 0.0 {
            return root;
        }
        // Newton's method, kept between bounds.
        for _ in 0..64 {
            if !(root > low && root <= high) {
                root = low + (high - low) / 2.0;
            }
            let miss = travel(root, v, a2, j6) - aim;
            let speed = v + root * (2.0 * a2 + root * (3.0 * j6));
            if miss < 0.0 {
                low = root;
            } else {
                high = root;
            }
            let step = miss / speed;
            root -= step;
            // What is left after this step is about a / 2v times its square.
            let acceleration = 2.0 * a2 + root * (6.0 * j6);
            let left = step * step * acceleration.abs();
            if left < 2e-10 * speed || high - low < 1e-10 {
                break;
            }
        }
        root
    }

    /// The same as [`reach`](Run::reach), by halving, from a guess that may be wrong.
    #[cold]
    fn search(&self, aim: f64, from: i64, guess: i64) -> (i64, f64) {
        let (mut below, mut above) = (from, self.last.max(from + 1));
        let mut stride = 1;
        let mut probe = guess;
        while above - below > 1 {
            if !(probe > below && probe < above) {
                probe = below + (above - below) / 2;
            }
            if self.way(probe) < aim {
                below = probe;
                probe = below.saturating_add(stride);
            } else {
                above = probe;
                probe = above.saturating_sub(stride);
            }
            stride = stride.saturating_mul(4);
        }
        (above, self.way(above))
    }
}

#[cfg(test)]
mod tests;
