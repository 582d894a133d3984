//! One segment of a trajectory, inverted.

use super::super::Segment;
use super::super::extremes::velocity_zeros;
use super::super::trajectory::travel;

/// A stretch of a segment in which the velocity does not change its sign.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// Its first and last nanosecond within the segment; there is none if they cross.
    pub first: i64,
    pub last: i64,
}

pub(super) const NO_PIECE: Piece = Piece { first: 0, last: -1 };

/// The way run within a segment, counted in the direction of motion, so that it grows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// 1 upwards, -1 downwards.
    pub sign: f64,
    velocity: f64,
    half_acceleration: f64,
    sixth_jerk: f64,
    /// 1 / velocity where that is all there is; else 0.
    slowness: f64,
    /// The piece's last nanosecond, and the way run up to there.
    last: i64,
    pub to_last: f64,
}

pub(super) const AT_REST: Run = Run {
    sign: 1.0,
    velocity: 0.0,
    half_acceleration: 0.0,
    sixth_jerk: 0.0,
    slowness: 0.0,
    last: 0,
    to_last: f64::NEG_INFINITY,
};

/// The segment's nanoseconds, divided where its velocity changes its sign. Its end belongs to the
/// next segment.
pub(super) fn pieces(segment: &Segment) -> [Piece; 3] {
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
    pub(super) fn new(segment: &Segment, piece: Piece) -> Run {
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
    pub(super) fn way(&self, nanos: i64) -> f64 {
        travel(seconds(nanos), self.velocity, self.half_acceleration, self.sixth_jerk)
    }

    /// The first nanosecond after `from`, and no later than the piece's last, at which the way is
    /// `aim` or more, and the way there. Up to `from` it is `here`, less than `aim`.
    #[inline]
    pub(super) fn reach(&self, aim: f64, from: i64, here: f64) -> (i64, f64) {
        let guess =
            if self.slowness > 0.0 { aim * self.slowness } else { self.root(aim, from, here) };
        let nanos = guess * 1e9;
        let whole = nanos as i64;
        let up = whole + i64::from((whole as f64) < nanos);
        let at = up.clamp(from + 1, self.last.max(from + 1));
        let (way, before) = (self.way(at), self.way(at - 1));
        // The guess is right, or off by one for the last bits of a time that is nearly whole.
        if way >= aim {
            if at == from + 1 || before < aim {
                return (at, way);
            }
            if at == from + 2 || self.way(at - 2) < aim {
                return (at - 1, before);
            }
        } else if at < self.last {
            let after = self.way(at + 1);
            if after >= aim {
                return (at + 1, after);
            }
        }
        self.search(aim, from, at)
    }

    /// About when the way is `aim`, seconds.
    #[inline]
    fn root(&self, aim: f64, from: i64, here: f64) -> f64 {
        let (v, a2, j6) = (self.velocity, self.half_acceleration, self.sixth_jerk);
        let h = seconds(from);
        let more = aim - here;
        let speed = v + h * (2.0 * a2 + h * (3.0 * j6));
        let acceleration = 2.0 * a2 + h * (6.0 * j6);
        // more = speed (x + a x² + b x³) inverted as a series in x = more / speed. What is left
        // out of it is about x times (14 a⁴x⁴ + 21 a²bx⁴ + 3 b²x⁴).
        let slowness = 1.0 / speed;
        let x = more * slowness;
        let (u, w) = (0.5 * acceleration * slowness * x, j6 * slowness * x * x);
        let (uu, ww) = (u * u, w.abs());
        if x * (14.0 * uu * uu + 21.0 * uu * ww + 3.0 * ww * ww) < 2e-10 {
            return h + x * (1.0 - u + (2.0 * uu - w) - 5.0 * u * (uu - w));
        }
        // Else with the acceleration of here: a quadratic, solved without cancellation.
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
