//! Blended paths: many straight lines run through without a stop, near their corners.
//!
//! # Important terms
//!
//! - **line**: the polyline of the vertices, in the motors' units; `p(s)` is its point at arc
//!   length `s`, and `u(s)` its direction there, of length 1.
//! - **blend**: how far from the line, and from each vertex, the motion may be.
//! - **tick**: the time `h`, in whole nanoseconds, the same for a whole path.
//! - **control point**: a point `q = p(s)` of the line, one for each tick. `s` never decreases.
//! - **spacing**: the `s` from one control point to the next.
//! - **brake**: control points that lead from a state to rest. One that keeps everything is known
//!   for every tick that is accepted, so the motion can end in rest from any of them.
//!
//! # The motion
//!
//! Between two ticks the motors follow the uniform cubic B-spline of four successive control
//! points. With `t` from 0 to 1 in the tick,
//!
//! ```text
//! c(t) = b0 q0 + b1 q1 + b2 q2 + b3 q3
//! b0 = (1-t)³/6    b1 = 2/3 - t² + t³/2    b2 = 1/6 + (t + t² - t³)/2    b3 = t³/6
//! ```
//!
//! It is the line through the control points, filtered by two moving averages over `h`. Its jerk is
//! constant in a tick, and with the differences `d1 = q[k+1] - q[k]` and so on it has
//!
//! ```text
//! speed          (q2 - q0)/2h at a tick's start, and nowhere more than the largest |d1|/h
//! acceleration   (q0 - 2 q1 + q2)/h² at a tick's start, linear from there to its end
//! jerk           (-q0 + 3 q1 - 3 q2 + q3)/h³ in the tick
//! ```
//!
//! So a motor keeps its limits if, and but for the speed only if, `|d1| <= V h`, `|d2| <= A h²` and
//! `|d3| <= J h³` hold for its control points. There is nothing to solve, and nothing to search for.
//! Three equal control points are rest. The spline stays in the hull of its control points, and so
//! inside the travel.
//!
//! # The distance from the line
//!
//! The motion at `t` is compared with the point of the line at `r(t) = b0 s0 + b1 s1 + b2 s2 + b3 s3`.
//! `r` never goes back, and runs through the whole line. So a bound on `|c(t) - p(r(t))|` bounds the
//! distance of the motion from the line, and of each vertex from the motion, in order.
//!
//! Where the four lie on one straight stretch, the distance is 0. Else, in two ways:
//!
//! **Corner by corner.** With `x+` for `max(x, 0)`, the line is `p(s) = p(s0) + u0 (s - s0) + Σ du (s -
//! sc)+`, a sum over the corners between `s0` and `s3`, each at `sc`, where the direction changes by
//! `du`. What is linear in `s` cancels, and
//!
//! ```text
//! c(t) - p(r(t)) = Σ du f(t)    f(t) = Σ bi (si - sc)+ - (r(t) - sc)+
//! ```
//!
//! While `r < sc`, `f` is `Σ bi (si - sc)+`, which rises with `t` (a B-spline whose coefficients
//! rise); after that it is `Σ bi (sc - si)+`, which falls. So at any `t` whatever, the greater of
//! the two is no less than the largest `f`, and at the `t` where `r = sc` it is exactly that.
//!
//! **All at once**, for many small corners. With `l(t) = (1-t) s1 + t s2`, `z = t(1-t)`, `D1` and `D2`
//! for the second differences at `q1` and `q2`, `e1` and `e2` for those of `s`,
//!
//! ```text
//! c(t) = (1-t) q1 + t q2 + D1 (1-t)³/6 + D2 t³/6    r(t) = l(t) + e1 (1-t)³/6 + e2 t³/6
//! ```
//!
//! and `(1-t)³ + t³ = 1 - 3z`. A point of the chord is near that of the line: with `L = s2 - s1` and
//! `C = |q2 - q1|`,
//!
//! ```text
//! |(1-t) q1 + t q2 - p(l)|² = (1-t) |p(l) - q1|² + t |p(l) - q2|² - z C² <= z (L² - C²)
//! ```
//!
//! since `|p(l) - q1| <= t L` and `|p(l) - q2| <= (1-t) L`. With `w = (q2 - q1)/L`, the mean direction
//! between `s1` and `s2`, `p(r) - p(l)` is `w (r - l)` but for `|r - l|` times the turning `T` of the line
//! (the sum of all `|du|`) between `s0` and `s3`. So
//!
//! ```text
//! |c - p(r)| <= N (1 - 3z)/6 + sqrt(z) sqrt(L² - C²) + T max(|e1|, |e2|)/6
//! N = max(|D1 - w e1|, |D2 - w e2|)
//! ```
//!
//! whose maximum over `sqrt(z)`, from 0 to 1/2, is that of a parabola. On a circle it is 1.25 times
//! what it bounds.
//!
//! # The schedule
//!
//! At each tick the largest next spacing is sought from which there is a brake that keeps limits
//! and blend. First the largest that the limits allow on a straight line; if that is too much, by
//! halving between it and the brake that is known already. Brakes are made on the line as if it
//! were straight, each spacing less than the one before by as much as can still be taken back in
//! time, and softer where that fails; whatever is made counts only when each of its ticks has been
//! checked.
//!
//! With a jerk `J` (in spacings, that is times `h³`) a deceleration `a` is taken back over spacings
//! that shrink by `a`, `a - J`, `a - 2J`, and so on, in all by
//!
//! ```text
//! S(a) = n a - J n(n-1)/2    n = a/J, rounded up
//! ```
//!
//! and the hardest deceleration is that whose `S(a)` is the present spacing. Speeding up is the same,
//! mirrored, towards the cruising spacing.
//!
//! The end is met exactly: the last spacing before the brake is halved down until the brake ends
//! there. If the brakes found jump over the end, the path comes to rest short of it, and one more
//! piece goes from there.
//!
//! What is kept: the line ahead, as far as a brake from full speed reaches (and no more than
//! some thousands of segments), and the control points back to the tick that the caller still may
//! return to. So memory does not grow with the path.

mod brake;
mod line;
mod schedule;
mod spline;
mod window;

#[cfg(test)]
mod tests;

pub use schedule::{Advance, Path, PathError, PathMotor};
pub use spline::Chunk;

/// The most motors of a path.
pub const MOST_MOTORS: usize = 8;

/// A point, a direction or a limit for each motor; zeros (or no limit) beyond the last.
type Point = [f64; MOST_MOTORS];

const ORIGIN: Point = [0.0; MOST_MOTORS];

#[inline(always)]
fn map2(a: &Point, b: &Point, f: impl Fn(f64, f64) -> f64) -> Point {
    let mut out = ORIGIN;
    for m in 0..MOST_MOTORS {
        out[m] = f(a[m], b[m]);
    }
    out
}

/// `a + b t`
#[inline(always)]
fn along(a: &Point, b: &Point, t: f64) -> Point {
    map2(a, b, |a, b| a + b * t)
}

#[inline(always)]
fn minus(a: &Point, b: &Point) -> Point {
    map2(a, b, |a, b| a - b)
}

#[inline(always)]
fn square(a: &Point) -> f64 {
    // In pairs: always the same order, and quick.
    ((a[0] * a[0] + a[1] * a[1]) + (a[2] * a[2] + a[3] * a[3]))
        + ((a[4] * a[4] + a[5] * a[5]) + (a[6] * a[6] + a[7] * a[7]))
}
