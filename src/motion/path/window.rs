//! Whether one more control point keeps limits and blend: exact checks on four control points.

use super::line::{Bounds, Knot, Line};
use super::{MOST_MOTORS, Point, along, map2, minus, square};

/// The last three control points, and the differences of the last two and of all three.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub k: [Knot; 3],
    pub d1: Point,
    pub d2: Point,
}

/// What rounding may exceed a limit or the blend by, as a share of it.
const ROUNDING: f64 = 1e-9;

/// With more corners than this they are not looked at one by one.
const FEW_CORNERS: u64 = 6;

/// A chord that leaves out more vertices than this is not compared with each of them.
const FEW_VERTICES: u64 = 64;

impl State {
    pub fn at_rest(at: Knot) -> State {
        State { k: [at; 3], d1: super::ORIGIN, d2: super::ORIGIN }
    }

    pub fn of(k: [Knot; 3]) -> State {
        let d1 = minus(&k[2].q, &k[1].q);
        State { k, d1, d2: minus(&d1, &minus(&k[1].q, &k[0].q)) }
    }

    #[inline]
    pub fn s(&self) -> f64 {
        self.k[2].s
    }

    #[inline]
    pub fn spacing(&self) -> f64 {
        self.k[2].s - self.k[1].s
    }

    /// By how much the spacing grew.
    #[inline]
    pub fn growth(&self) -> f64 {
        self.spacing() - (self.k[1].s - self.k[0].s)
    }

    #[inline]
    pub fn is_rest(&self) -> bool {
        self.k[0].s == self.k[2].s
    }

    /// From where to where the next control point keeps the limits, if it lies in the segment that `near`
    /// lies in: there it is linear in `s`. Only a proposal; [`step`](State::step) judges.
    #[inline]
    pub fn range(&self, line: &Line, bounds: &Bounds, near: f64) -> Option<(f64, f64)> {
        let number = line.number_at(near, self.k[2].seg);
        let segment = line.segment(number)?;
        let speed = line.speed(self.k[2].seg, number);
        let (mut low, mut high) = (self.s(), f64::INFINITY);
        for m in 0..line.motors {
            let dir = segment.dir[m];
            if dir.abs() < 1e-9 {
                continue;
            }
            let (v, a, j) = (bounds.d1[m] * speed, bounds.d2[m], bounds.d3[m]);
            let (one, two) = (self.d1[m], self.d1[m] + self.d2[m]);
            let least = (-v).max(one - a).max(two - j);
            let most = v.min(one + a).min(two + j);
            let base = self.k[2].q[m] - segment.from[m];
            let (x, y) = ((base + least) / dir, (base + most) / dir);
            low = low.max(segment.start + x.min(y));
            high = high.min(segment.start + x.max(y));
        }
        (low <= high).then_some((low, high))
    }

    /// On to the control point at `s`, if that keeps limits and blend.
    #[inline]
    pub fn step(&self, line: &Line, bounds: &Bounds, s: f64) -> Option<State> {
        let knot = line.knot(s, self.k[2].seg);
        let d1 = minus(&knot.q, &self.k[2].q);
        let d2 = minus(&d1, &self.d1);
        let d3 = minus(&d2, &self.d2);
        let speed = line.speed(self.k[2].seg, knot.seg);
        // What the last bits of coordinates amount to in their differences.
        let noise = 4.0 * f64::EPSILON * line.size;
        let mut kept = true;
        for m in 0..MOST_MOTORS {
            let least = |limit: f64| limit * (1.0 + ROUNDING) + noise;
            kept &= d1[m].abs() <= least(bounds.d1[m] * speed)
                && d2[m].abs() <= least(bounds.d2[m])
                && d3[m].abs() <= least(bounds.d3[m]);
        }
        if !kept {
            return None;
        }
        let next = State { k: [self.k[1], self.k[2], knot], d1, d2 };
        self.is_near(line, &next).then_some(next)
    }

    /// Whether the tick from this state to the next stays within the blend.
    #[inline]
    fn is_near(&self, line: &Line, next: &State) -> bool {
        let (from, to) = (self.k[0].seg, next.k[2].seg);
        if from == to {
            return true;
        }
        let (Some(first), Some(last)) = (line.segment(from), line.segment(to)) else {
            return false;
        };
        let corners = last.corners - first.corners;
        if corners == 0 {
            return true;
        }
        let blend = line.blend(from, to) * (1.0 + ROUNDING);
        let window =
            Window { k: [self.k[0], self.k[1], self.k[2], next.k[2]], from: self, to: next };
        if corners > 1 {
            let turning = last.turning - first.turning;
            let (normal, bend) = window.apart(line, turning);
            if bend + arch(normal, self.chord_excess()) <= blend
                || (self.k[2].seg - self.k[1].seg <= FEW_VERTICES
                    && bend + normal / 6.0 + self.chord_off(line) <= blend)
            {
                return true;
            }
        }
        corners <= FEW_CORNERS && window.by_corners(line) <= blend
    }

    /// `sqrt(L² - C²)/2`: how far the line's middle may be off the chord between the last two.
    #[inline]
    fn chord_excess(&self) -> f64 {
        let length = self.spacing();
        (length * length - square(&self.d1)).max(0.0).sqrt() / 2.0
    }

    /// How far the line is off that chord, each point from its own: exactly, vertex by vertex.
    fn chord_off(&self, line: &Line) -> f64 {
        let [_, a, b] = &self.k;
        let inside = (a.seg + 1..=b.seg).filter_map(|n| line.segment(n));
        let off = |g: &super::line::Segment| {
            let share = (g.start - a.s) / (b.s - a.s);
            square(&minus(&along(&a.q, &self.d1, share), &g.from))
        };
        inside.map(off).fold(0.0, f64::max).sqrt()
    }
}

/// Four successive control points.
struct Window<'a> {
    k: [Knot; 4],
    from: &'a State,
    to: &'a State,
}

impl Window<'_> {
    /// `N`, and what the turning of the line adds.
    #[inline]
    fn apart(&self, line: &Line, turning: f64) -> (f64, f64) {
        let (e1, e2) = (self.from.growth(), self.to.growth());
        let length = self.from.spacing();
        let mean = if length > 0.0 {
            self.from.d1.map(|x| x / length)
        } else {
            line.segment(self.k[1].seg).map_or(super::ORIGIN, |g| g.dir)
        };
        let rest = |d2: &Point, e: f64| square(&map2(d2, &mean, |d, w| d - w * e));
        let normal = rest(&self.from.d2, e1).max(rest(&self.to.d2, e2)).sqrt();
        (normal, turning.min(2.0) * e1.abs().max(e2.abs()) / 6.0)
    }

    /// The bound for few corners.
    fn by_corners(&self, line: &Line) -> f64 {
        let corners = (self.k[0].seg + 1..=self.k[3].seg).filter_map(|n| line.segment(n));
        corners.filter(|g| g.turn > 0.0).map(|g| g.turn * self.cut(g.start)).sum()
    }

    /// The greatest `f(t)` of a corner at `at`, or a little more.
    fn cut(&self, at: f64) -> f64 {
        let s = self.k.map(|k| k.s - at);
        let r = |t: f64| weights(t).iter().zip(s).map(|(b, s)| b * s).sum::<f64>();
        let after = |t: f64| weights(t).iter().zip(s).map(|(b, s)| b * s.max(0.0)).sum::<f64>();
        let before = |t: f64| weights(t).iter().zip(s).map(|(b, s)| b * (-s).max(0.0)).sum::<f64>();
        let (mut low, mut high) = ((0.0, r(0.0)), (1.0, r(1.0)));
        if low.1 >= 0.0 {
            return before(0.0);
        }
        if high.1 <= 0.0 {
            return after(1.0);
        }
        // Where r passes the corner, by false position.
        let between = |low: (f64, f64), high: (f64, f64)| {
            low.0 + (high.0 - low.0) * (low.1 / (low.1 - high.1))
        };
        for _ in 0..3 {
            let t = between(low, high);
            let here = (t, r(t));
            if here.1 < 0.0 { low = here } else { high = here }
        }
        let t = between(low, high);
        after(t).max(before(t))
    }
}

/// The greatest `normal (1 - 3 x²)/6 + 2 off x` with `x` from 0 to 1/2.
#[inline]
fn arch(normal: f64, off: f64) -> f64 {
    let x = if 4.0 * off >= normal { 0.5 } else { 2.0 * off / normal };
    normal / 6.0 + x * (2.0 * off - normal * x / 2.0)
}

/// The B-spline's weights at `t`, from 0 to 1.
fn weights(t: f64) -> [f64; 4] {
    let u = 1.0 - t;
    let (t3, u3) = (t * t * t / 6.0, u * u * u / 6.0);
    let b1 = 2.0 / 3.0 - t * t + 3.0 * t3;
    [u3, b1, 1.0 - u3 - b1 - t3, t3]
}
