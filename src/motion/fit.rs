//! From phases in seconds to segments of whole nanoseconds that end where they should.

use std::ops::Range;

use super::solver::Phase;
use super::{Segment, State, Trajectory, seconds};

/// Constant jerk for whole nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Piece {
    nanos: u64,
    jerk: f64,
}

/// Nine phases, and up to five that come from cutting one in two.
const MOST: usize = 16;

/// What the end state must meet, at most: acceleration 0 in the cruise, then acceleration,
/// velocity and position at the end.
const ROWS: usize = 4;

/// The phases in whole nanoseconds, their jerks corrected so that the motion comes to rest at
/// `end`, or just to rest.
///
/// `None` if they last no whole nanosecond, or so few that the jerks can't bring the end home.
pub(super) fn fit(from: State, phases: &[Phase], end: Option<f64>) -> Option<Trajectory> {
    let mut pieces = Vec::with_capacity(MOST);
    let (mut sum, mut last) = (0.0, 0);
    for phase in phases {
        // The boundaries are rounded, not the durations: the errors don't add up.
        sum += phase.seconds;
        let boundary = (sum * 1e9 + 0.5) as u64;
        if boundary > last {
            pieces.push(Piece { nanos: boundary - last, jerk: phase.jerk });
            last = boundary;
        }
    }
    if pieces.is_empty() {
        return None;
    }
    let segments = settle(from, pieces, end);
    let reached = segments.last().map(|s| s.state_after(s.duration).position);
    Some(Trajectory::from_segments(segments, end.or(reached)?))
}

/// Corrects the jerks of the pieces and works out the segments.
fn settle(from: State, mut pieces: Vec<Piece>, end: Option<f64>) -> Vec<Segment> {
    let distance = end.map(|end| end - from.position);
    let mut cruise = find_cruise(from, &pieces);
    // Before the cruise: its acceleration, and its speed for the position. After it, or in all:
    // acceleration, velocity, position. And one more: the least of many corrections, not the only.
    if let Some(c) = cruise {
        cruise = Some(c + cut_longest(&mut pieces, 0..c, 2));
    }
    let after = cruise.unwrap_or(0)..pieces.len();
    cut_longest(&mut pieces, after, if distance.is_some() { 4 } else { 3 });
    let solve = Correction::new(&pieces, cruise, distance.is_some());
    for _ in 0..4 {
        let left = shortfall(from, &pieces, cruise, distance);
        if left == [0.0; ROWS] {
            break;
        }
        for (piece, change) in pieces.iter_mut().zip(solve.least(left)) {
            piece.jerk += change;
        }
    }

    let mut segments = Vec::with_capacity(pieces.len());
    let mut start = 0;
    walk(from, &pieces, cruise, |piece, moved| {
        let state = State { position: from.position + moved.position, ..moved };
        segments.push(Segment { start, duration: piece.nanos, state, jerk: piece.jerk });
        start += piece.nanos;
    });
    segments
}

/// Cuts the longest piece with a jerk in two until there are `wanted` of them in the range, not
/// counting those too short to correct anything; returns how many pieces were added.
fn cut_longest(pieces: &mut Vec<Piece>, mut range: Range<usize>, wanted: usize) -> usize {
    let before = pieces.len();
    while pieces.len() < MOST {
        let jerks = range.clone().filter(|&i| pieces[i].jerk != 0.0);
        let Some(longest) = jerks.clone().max_by_key(|&i| pieces[i].nanos) else {
            break;
        };
        let whole = pieces[longest];
        let long = jerks.filter(|&i| pieces[i].nanos >= whole.nanos / 16);
        if long.count() >= wanted || whole.nanos < 2 {
            break;
        }
        let half = whole.nanos / 2;
        pieces[longest].nanos = whole.nanos - half;
        pieces.insert(longest + 1, Piece { nanos: half, ..whole });
        range.end += 1;
    }
    pieces.len() - before
}

/// The longest piece, if any, after a jerk, that has neither jerk nor acceleration.
fn find_cruise(from: State, pieces: &[Piece]) -> Option<usize> {
    let jerk = pieces.iter().fold(0.0_f64, |most, p| most.max(p.jerk.abs()));
    let first = pieces.iter().position(|p| p.jerk != 0.0)?;
    let mut acceleration = from.acceleration;
    let mut longest: Option<(usize, u64)> = None;
    let mut most = acceleration.abs();
    let mut candidates = [(0.0_f64, 0_u64); MOST];
    for (piece, candidate) in pieces.iter().zip(&mut candidates) {
        if piece.jerk == 0.0 {
            *candidate = (acceleration.abs(), piece.nanos);
        }
        acceleration += piece.jerk * seconds(piece.nanos);
        most = most.max(acceleration.abs());
    }
    // Rounding to nanoseconds leaves some nanoseconds' worth of jerk.
    let nearly_none = (1e-3 * most).min(1e-6 * most + 4e-9 * jerk);
    for (i, (acceleration, nanos)) in candidates.into_iter().enumerate().skip(first) {
        if nanos > longest.map_or(0, |(_, longest)| longest) && acceleration <= nearly_none {
            longest = Some((i, nanos));
        }
    }
    longest.map(|(i, _)| i)
}

/// Visits the pieces with the state each begins in, positions counted from the start; returns
/// the state at the end. In the cruise the acceleration is 0, whatever was left of it.
fn walk(
    from: State,
    pieces: &[Piece],
    cruise: Option<usize>,
    mut visit: impl FnMut(Piece, State),
) -> (State, f64) {
    let mut state = State { position: 0.0, ..from };
    let mut dropped = 0.0;
    for (i, piece) in pieces.iter().enumerate() {
        if cruise == Some(i) {
            dropped = state.acceleration;
            state.acceleration = 0.0;
        }
        visit(*piece, state);
        state = state.after(seconds(piece.nanos), piece.jerk);
    }
    (state, dropped)
}

/// What is missing at the end, in the order of the rows.
fn shortfall(
    from: State,
    pieces: &[Piece],
    cruise: Option<usize>,
    distance: Option<f64>,
) -> [f64; ROWS] {
    let (end, dropped) = walk(from, pieces, cruise, |_, _| {});
    let position = distance.map_or(0.0, |distance| distance - end.position);
    [-dropped, -end.acceleration, -end.velocity, position]
}

/// The least change of the jerks for a change of the end state.
struct Correction {
    /// Orthogonal rows of length 1, or of zeros where a row says nothing of its own.
    rows: [[f64; MOST]; ROWS],
    /// How the rows were made: row `k` of the problem is the sum of `mix[k][l] * rows[l]`.
    mix: [[f64; ROWS]; ROWS],
    /// One time unit of the rows, seconds.
    unit: f64,
}

impl Correction {
    fn new(pieces: &[Piece], cruise: Option<usize>, position: bool) -> Correction {
        // With the whole duration as the unit of time, no entry is above 1.
        let unit = seconds(pieces.iter().map(|p| p.nanos).sum());
        let mut rows = [[0.0; MOST]; ROWS];
        let mut left: u64 = pieces.iter().map(|p| p.nanos).sum();
        let after_front = cruise.map(|c| pieces.iter().skip(c).map(|p| p.nanos).sum::<u64>());
        for (i, piece) in pieces.iter().enumerate() {
            left -= piece.nanos;
            if piece.jerk == 0.0 {
                continue;
            }
            let t = seconds(piece.nanos) / unit;
            // What a piece before the cruise does to the end, it does by the speed and the
            // position at the cruise's start.
            let (front, coast) = match (cruise, after_front) {
                (Some(c), Some(after)) if i < c => (true, after),
                _ => (false, 0),
            };
            let r = seconds(left - coast) / unit;
            let coast = seconds(coast) / unit;
            let speed = t * (r + t / 2.0);
            let way = t * (r * r / 2.0 + r * t / 2.0 + t * t / 6.0) + coast * speed;
            rows[if front { 0 } else { 1 }][i] = t;
            rows[2][i] = speed;
            if position {
                rows[3][i] = way;
            }
        }
        let mut mix = [[0.0; ROWS]; ROWS];
        for (k, mix) in mix.iter_mut().enumerate() {
            let (done, rest) = rows.split_at_mut(k);
            let row = &mut rest[0];
            let before = dot(row, row).sqrt();
            // Twice is enough for rows that are orthogonal to the last bit.
            for _ in 0..2 {
                for (l, other) in done.iter().enumerate() {
                    let share = dot(row, other);
                    mix[l] += share;
                    for (x, y) in row.iter_mut().zip(other) {
                        *x -= share * y;
                    }
                }
            }
            let length = dot(row, row).sqrt();
            if length > 1e-13 * before {
                mix[k] = length;
                row.iter_mut().for_each(|x| *x /= length);
            } else {
                *row = [0.0; MOST];
            }
        }
        Correction { rows, mix, unit }
    }

    fn least(&self, wanted: [f64; ROWS]) -> [f64; MOST] {
        let u = self.unit;
        let per_jerk = [u, u, u * u, u * u * u];
        let mut along = [0.0; ROWS];
        for k in 0..ROWS {
            if self.mix[k][k] > 0.0 {
                let done: f64 = (0..k).map(|l| self.mix[k][l] * along[l]).sum();
                along[k] = (wanted[k] / per_jerk[k] - done) / self.mix[k][k];
            }
        }
        let mut change = [0.0; MOST];
        for (row, share) in self.rows.iter().zip(along) {
            for (x, y) in change.iter_mut().zip(row) {
                *x += share * y;
            }
        }
        change
    }
}

fn dot(a: &[f64; MOST], b: &[f64; MOST]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
