//! One control point after another, each with its brake.

use std::collections::VecDeque;
use std::sync::Arc;

use thiserror::Error;

use super::brake::{MOST_TICKS, NOTHING, NoBrake, brake, speed_up};
use super::line::{Bounds, CREEP, Knot, Line, Scalar};
use super::window::State;
use super::{MOST_MOTORS, ORIGIN, Point};
use crate::motion::{Limits, PlanError};

/// A motor of a path.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PathMotor {
    /// Its limits, in its unit.
    pub limits: Limits,
    /// Native units (steps; degrees for a servo) a unit.
    pub scale: f64,
}

/// Why there is no path.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum PathError {
    /// None, or too many.
    #[error("a path has 1 to {MOST_MOTORS} motors, not {0}")]
    Motors(usize),
    /// A limit is not above 0 and finite.
    #[error(transparent)]
    Limits(#[from] PlanError),
    /// A number is infinite or not a number, or below 0.
    #[error("the {what} is {value}: it must be finite, and at least 0 where it is no position")]
    Number {
        /// `blend`, `speed`, `scale` or `vertex`.
        what: &'static str,
        /// What it is.
        value: f64,
    },
}

/// What a tick brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Advance {
    /// One more control point: the motion goes on.
    Moved,
    /// At rest at the end of the line: no control point was added.
    Ended,
    /// The line ends here as far as it is known, and its end was not told: push more, or say that it
    /// is the end. No control point was added.
    Starved,
}

/// Shortest and longest tick, nanoseconds.
const TICK: (f64, f64) = (1e6, 100e6);

/// How many segments ahead are looked at, at the most.
const MOST_AHEAD: usize = 8192;

/// How often the next spacing is halved in on, where the largest is too much.
const HALVINGS: usize = 5;

/// The same for the spacing that ends exactly in a given place: to the last bit.
const HALVINGS_TO_END: usize = 60;

/// When arc lengths get longer than this many units, they are counted anew.
const FAR: f64 = 1e5;

/// After this many ticks the hardest brake is tried first again.
const HARD_AGAIN: u64 = 8;

/// A brake, and how many of its ticks are over.
#[derive(Clone, Debug)]
struct Known {
    points: Arc<[f64]>,
    done: usize,
}

impl Known {
    fn left(&self) -> &[f64] {
        self.points.get(self.done..).unwrap_or_default()
    }
}

/// A control point that was accepted, with the brake from there.
#[derive(Clone, Debug)]
struct Mark {
    knot: Knot,
    brake: Known,
}

/// A blended path, made tick by tick.
///
/// Vertices are pushed as long as it [wants](Path::wants) some; [`advance`](Path::advance) adds one
/// control point; [`chunk`](Path::chunk) gives the motors' trajectories. See the
/// [module](super) for what it promises.
///
/// ```
/// use lockstep::motion::{Limits, path::{Advance, Path, PathMotor}};
///
/// let limits = Limits { speed: 50.0, acceleration: 500.0, jerk: 5000.0 };
/// let motor = PathMotor { limits, scale: 400.0 };
/// let mut path = Path::new(&[motor, motor], &[0.0, 0.0], 0.1)?;
/// for vertex in [[10.0, 0.0], [10.0, 10.0], [0.0, 10.0]] {
///     path.push(&vertex, 0.1, 1.0)?;
/// }
/// path.close();
/// while path.advance() == Advance::Moved {}
/// let chunk = path.chunk(0);
/// assert_eq!(chunk.trajectories[1].end(), 4000.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Path {
    pub(super) scales: Vec<f64>,
    bounds: Bounds,
    tick_nanos: u64,
    line: Line,
    state: State,
    known: Known,
    /// The brake ends where the motion has to rest: nothing more is to be gained.
    landing: bool,
    /// The control points from tick `first_mark - 2` on; the last is the present one.
    marks: VecDeque<Mark>,
    /// The tick that the state before all of `marks` but two stands for.
    first_mark: u64,
    closed: bool,
    feed: f64,
    share: usize,
    scratch: Vec<f64>,
    /// How far ahead the line should be known.
    reach: f64,
}

fn number(what: &'static str, value: f64, fine: bool) -> Result<(), PathError> {
    if fine && value.is_finite() { Ok(()) } else { Err(PathError::Number { what, value }) }
}

impl Path {
    /// A path that begins at rest at `start`, whose corners will be cut by about `blend`.
    ///
    /// # Errors
    ///
    /// There is no motor, or more than [`MOST_MOTORS`]; a limit or a number is not usable.
    ///
    /// # Panics
    ///
    /// If `start` has not one position for each motor.
    pub fn new(motors: &[PathMotor], start: &[f64], blend: f64) -> Result<Path, PathError> {
        if motors.is_empty() || motors.len() > MOST_MOTORS {
            return Err(PathError::Motors(motors.len()));
        }
        assert_eq!(motors.len(), start.len(), "a position for each motor");
        number("blend", blend, blend >= 0.0)?;
        for (motor, &at) in motors.iter().zip(start) {
            motor.limits.check()?;
            number("scale", motor.scale, motor.scale != 0.0)?;
            number("vertex", at, true)?;
        }
        let tick_nanos = tick(motors, blend);
        let h = super::super::seconds(tick_nanos);
        let endless = [f64::INFINITY; MOST_MOTORS];
        let mut bounds = Bounds { d1: endless, d2: endless, d3: endless };
        let (mut top, mut ramp) = (0.0, 0.0_f64);
        for (m, PathMotor { limits, .. }) in motors.iter().enumerate() {
            bounds.d1[m] = limits.speed * h;
            bounds.d2[m] = limits.acceleration * h * h;
            bounds.d3[m] = limits.jerk * h * h * h;
            top += limits.speed * limits.speed;
            ramp = ramp.max(ramp_seconds(limits));
        }
        let line = Line::new(point(start), motors.len(), bounds);
        let state = State::at_rest(line.knot(0.0, 0));
        let known = Known { points: Arc::new([]), done: 0 };
        let mark = Mark { knot: state.k[2], brake: known.clone() };
        Ok(Path {
            scales: motors.iter().map(|m| m.scale).collect(),
            bounds,
            tick_nanos,
            line,
            state,
            known,
            landing: false,
            marks: [mark.clone(), mark.clone(), mark].into(),
            first_mark: 0,
            closed: false,
            feed: 1.0,
            share: 0,
            scratch: Vec::with_capacity(MOST_TICKS),
            // A brake from full speed, with a little room: half of `top * ramp`, and some ticks.
            reach: top.sqrt() * (ramp + 8.0 * h),
        })
    }

    /// How long a tick lasts, nanoseconds.
    pub fn tick_nanos(&self) -> u64 {
        self.tick_nanos
    }

    /// How many motors it has.
    pub fn motors(&self) -> usize {
        self.scales.len()
    }

    /// The number of the tick that comes next: so many control points have been added.
    pub fn tick(&self) -> u64 {
        self.first_mark + self.marks.len() as u64 - 3
    }

    /// Whether more vertices should be pushed before the next [`advance`](Path::advance): the line
    /// ahead is shorter than a brake may need.
    pub fn wants(&self) -> bool {
        !self.closed
            && self.line.end() - self.state.s() < self.reach
            && self.line.segments_after(&self.state.k[2]) < MOST_AHEAD
    }

    /// How many vertices were pushed so far.
    pub fn vertices(&self) -> u64 {
        self.line.vertices
    }

    /// How many segments and control points are kept: bounded, however long the path.
    pub fn kept(&self) -> usize {
        let from = self.marks.front().map_or(self.state.k[0], |m| m.knot);
        self.line.segments_after(&from) + self.marks.len()
    }

    /// Whether it is at rest: nothing moves until the next control point.
    pub fn is_at_rest(&self) -> bool {
        self.state.is_rest()
    }

    /// Goes on in a straight line to `vertex`, at no more than the share `speed` (above 0, at most 1)
    /// of the motors' speed limits. The motion leaves the vertex within `blend` towards the next one;
    /// with a blend of 0 it rests there. Takes back [`close`](Path::close).
    ///
    /// # Errors
    ///
    /// A number is not usable; nothing was pushed.
    ///
    /// # Panics
    ///
    /// If `vertex` has not one position for each motor.
    pub fn push(&mut self, vertex: &[f64], blend: f64, speed: f64) -> Result<(), PathError> {
        assert_eq!(vertex.len(), self.scales.len(), "a position for each motor");
        number("blend", blend, blend >= 0.0)?;
        number("speed", speed, speed > 0.0 && speed <= 1.0)?;
        for &at in vertex {
            number("vertex", at, true)?;
        }
        self.line.push(point(vertex), blend, speed);
        (self.closed, self.landing) = (false, false);
        if self.line.last_segment() == 0 && self.is_at_rest() {
            // The first segment: the start lies on it.
            self.state = State::at_rest(self.line.knot(self.state.s(), 0));
        }
        Ok(())
    }

    /// The last vertex that was pushed is where the path ends, as far as anyone knows.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// From the next tick on, this share (above 0) of the speeds that were asked for; never more than the
    /// limits. The way there keeps everything, as ever.
    pub fn set_feed(&mut self, share: f64) {
        if share.is_finite() && share > 0.0 {
            self.feed = share;
            self.line.boost = share.max(1.0);
            // Perhaps it can be faster than the brake that is under way.
            self.landing = false;
        }
    }

    /// One more control point.
    pub fn advance(&mut self) -> Advance {
        if self.line.is_empty() {
            return if self.closed { Advance::Ended } else { Advance::Starved };
        }
        self.rebase();
        let s = self.state.s();
        let stop = self.line.next_stop(s);
        if self.state.is_rest() {
            self.landing = false;
            if s >= self.line.end() {
                return if self.closed { Advance::Ended } else { Advance::Starved };
            }
        }
        self.landing &= !self.known.left().is_empty();
        if self.landing {
            self.follow();
            return Advance::Moved;
        }
        if self.tick().is_multiple_of(HARD_AGAIN) {
            self.share = 0;
        }
        let (known, before) = (self.known.clone(), self.state);
        if self.choose(stop) {
            if self.creeps(&before) && self.line.stop_at_next_corner(s, self.reach_of_creep()) {
                // Once more, with a rest in that corner.
                self.marks.pop_back();
                (self.known, self.state, self.landing) = (known, before, false);
                if !self.choose(self.line.next_stop(s)) {
                    self.go_without(stop);
                }
            }
        } else {
            self.go_without(stop);
        }
        Advance::Moved
    }

    /// Nothing better than the known brake was found.
    fn go_without(&mut self, stop: f64) {
        if !self.known.left().is_empty() {
            self.follow();
            return;
        }
        let (s, seg) = (self.state.s(), self.state.k[2].seg);
        self.line.stop_at_next_corner(s, f64::INFINITY);
        let nearer = self.line.next_stop(s);
        if nearer < stop && self.choose(nearer) {
            return;
        }
        // Nothing is left that moves: the rest of the way is less than its last bits.
        self.state = State::at_rest(self.line.knot(nearer, seg));
        self.known = Known { points: Arc::new([]), done: 0 };
        self.mark();
    }

    /// Whether two spacings after each other were next to nothing.
    fn creeps(&self, before: &State) -> bool {
        let Some(segment) = self.line.segment(before.k[2].seg) else { return false };
        self.state.spacing().max(before.spacing()) < CREEP * segment.limits.first()
    }

    /// How near a corner is the reason for that.
    fn reach_of_creep(&self) -> f64 {
        self.line.segment(self.state.k[2].seg).map_or(0.0, |g| 4.0 * g.limits.first())
    }

    /// The next point of the brake that is known.
    fn follow(&mut self) {
        let Some(&s) = self.known.left().first() else { return };
        let knot = self.line.knot(s, self.state.k[2].seg);
        self.state = State::of([self.state.k[1], self.state.k[2], knot]);
        self.known.done += 1;
        self.mark();
    }

    fn mark(&mut self) {
        self.marks.push_back(Mark { knot: self.state.k[2], brake: self.known.clone() });
    }

    fn accept(&mut self, state: State) {
        self.state = state;
        self.known = Known { points: self.scratch.as_slice().into(), done: 0 };
        self.mark();
    }

    /// The state after a control point at `s`, with its brake in `scratch`; and where that ends.
    fn try_point(&mut self, s: f64, stop: f64) -> Result<(State, f64), NoBrake> {
        let Some(next) = self.state.step(&self.line, &self.bounds, s) else {
            return Err(NoBrake::Limits);
        };
        let share = &mut self.share;
        let rest = brake(&self.line, &self.bounds, &next, stop, share, &mut self.scratch)?;
        Ok((next, rest))
    }

    /// The largest next spacing that has a brake, if it is more than the known brake's.
    fn choose(&mut self, stop: f64) -> bool {
        let Some(segment) = self.line.segment(self.state.k[2].seg) else { return false };
        let (limits, speed) = (segment.limits, segment.speed);
        let (s, spacing) = (self.state.s(), self.state.spacing());
        let aim = limits.v * (speed * self.feed).min(1.0);
        let mut low = self.known.left().first().copied().unwrap_or(s);
        let mut high = self.fastest(aim, limits).min(stop);
        if high <= low {
            return self.slower(high, low, stop);
        }
        let mut best = None;
        let mut beyond = match self.try_point(high, stop) {
            Ok((state, _)) => {
                self.accept(state);
                return true;
            }
            Err(why) => why == NoBrake::Beyond,
        };
        let may_end = self.closed || stop < self.line.end();
        let halvings =
            if beyond && may_end || self.state.is_rest() { HALVINGS_TO_END } else { HALVINGS };
        let mut best_brake = Vec::new();
        for n in 0..halvings {
            // The present spacing, if it can be kept, spares the rest.
            let hold = s + spacing;
            let middle =
                if n == 0 && hold > low && hold < high { hold } else { low + (high - low) / 2.0 };
            if middle <= low || middle >= high {
                break;
            }
            match self.try_point(middle, stop) {
                Ok((state, rest)) => {
                    best_brake.clone_from(&self.scratch);
                    best = Some((state, rest));
                    low = middle;
                    // From rest, only as near as any other: what counts is that it moves.
                    if n >= HALVINGS && !beyond {
                        break;
                    }
                }
                Err(why) => {
                    beyond = why == NoBrake::Beyond;
                    high = middle;
                }
            }
            if n + 1 >= HALVINGS && !(may_end && beyond) && best.is_some() {
                break;
            }
        }
        let Some((state, rest)) = best else { return false };
        self.scratch = best_brake;
        if may_end && stop - rest <= NOTHING * limits.first() {
            self.land(&state, stop);
            self.landing = true;
        }
        self.accept(state);
        true
    }

    /// Where the next control point would be on the way to the cruising spacing `aim`.
    fn fastest(&self, aim: f64, limits: Scalar) -> f64 {
        let (s, spacing, growth) = (self.state.s(), self.state.spacing(), self.state.growth());
        let grown = speed_up(spacing, aim, limits);
        let wanted = s + (spacing + grown).max(0.0);
        // As if the way so far had been straight; then by what the motors are really left with, which
        // is linear in the segment that it leads to.
        let mut at = s + (spacing + grown.clamp(growth - limits.j, growth + limits.j)).max(0.0);
        let mut most = wanted;
        for _ in 0..3 {
            let Some((low, high)) = self.state.range(&self.line, &self.bounds, at) else { break };
            if high >= at {
                return high.min(most).max(low.min(s + spacing));
            }
            // Before a corner, not beyond it.
            let here = self.line.number_at(high.max(s), self.state.k[2].seg);
            (at, most) = (high, self.line.segment(here).map_or(high, |g| g.end));
        }
        at
    }

    /// The feed asks for less than the known brake has: not less than that, which is the hardest there
    /// is.
    fn slower(&mut self, high: f64, low: f64, stop: f64) -> bool {
        if self.state.is_rest() || high < low {
            return false;
        }
        match self.try_point(high, stop) {
            Ok((state, _)) => {
                self.accept(state);
                true
            }
            Err(_) => false,
        }
    }

    /// Makes the brake in `scratch`, from `state` on, end exactly at `stop`, from which its end is next to
    /// nothing away.
    fn land(&mut self, state: &State, stop: f64) {
        let Some(&rest) = self.scratch.last() else { return };
        for s in self.scratch.iter_mut().rev().take_while(|s| **s == rest) {
            *s = stop;
        }
        // Three equal points are rest; the last of them may have been the state's own.
        let equal = self.scratch.iter().rev().take_while(|s| **s == stop).count();
        let own = state.k.iter().rev().take_while(|k| k.s == stop).count();
        let own = if equal == self.scratch.len() { own } else { 0 };
        self.scratch.extend((equal + own..3).map(|_| stop));
    }

    /// The brake that is known is carried out, to its end, where the motion rests, or for so many ticks.
    /// Says how many it were.
    pub fn brake(&mut self, most: u64) -> u64 {
        let mut ticks = 0;
        while ticks < most && !self.known.left().is_empty() {
            self.follow();
            ticks += 1;
        }
        self.landing = false;
        ticks
    }

    /// How many ticks the brake lasts that is known.
    pub fn brake_ticks(&self) -> u64 {
        self.known.left().len() as u64
    }

    /// Whether it is closed, and that brake ends where the line does: nothing is left to be planned.
    pub fn ends(&self) -> bool {
        let rest = self.known.left().last().copied().unwrap_or(self.state.s());
        self.closed && rest >= self.line.end()
    }

    /// Back to the tick `tick`, as it was when that was the next one (but for the line, which stays
    /// known). False if it is forgotten, or has not come yet.
    pub fn rewind(&mut self, tick: u64) -> bool {
        if tick < self.first_mark || tick > self.tick() {
            return false;
        }
        self.marks.truncate((tick - self.first_mark) as usize + 3);
        let at = self.marks.len() - 3;
        let k = [0, 1, 2].map(|n| self.marks[at + n].knot);
        self.state = State::of(k);
        self.known = self.marks[at + 2].brake.clone();
        self.landing = false;
        true
    }

    /// Ticks before `tick` will not be asked for again.
    pub fn forget(&mut self, tick: u64) {
        while self.first_mark < tick.min(self.tick()) {
            self.marks.pop_front();
            self.first_mark += 1;
        }
        if let Some(first) = self.marks.front() {
            let s = first.knot.s;
            self.line.forget(s);
        }
    }

    fn rebase(&mut self) {
        let shift = self.marks.front().map_or(0.0, |m| m.knot.s);
        if shift < FAR {
            return;
        }
        self.line.rebase(shift);
        for k in &mut self.state.k {
            k.s -= shift;
        }
        let moved = |known: &Known| Known {
            points: known.points.iter().map(|s| s - shift).collect(),
            done: known.done,
        };
        self.known = moved(&self.known);
        for mark in &mut self.marks {
            mark.knot.s -= shift;
            mark.brake = moved(&mark.brake);
        }
    }

    /// The control points from two before `tick` on, and those of the brake after the last.
    pub(super) fn control_points(&self, tick: u64) -> Option<(Vec<Point>, usize)> {
        let from = tick.checked_sub(self.first_mark)? as usize;
        let mut points: Vec<Point> = self.marks.iter().skip(from).map(|m| m.knot.q).collect();
        if points.len() < 3 {
            return None;
        }
        let ticks = points.len() - 3;
        let mut seg = self.state.k[2].seg;
        for &s in self.known.left() {
            let knot = self.line.knot(s, seg);
            seg = knot.seg;
            points.push(knot.q);
        }
        Some((points, ticks))
    }

    /// The arc length at the present control point, and at the line's end: for tests.
    #[cfg(test)]
    pub(super) fn progress(&self) -> (f64, f64) {
        (self.state.s(), self.line.end())
    }

    /// Where the line ends, as far as it is known.
    pub fn end(&self) -> Vec<f64> {
        self.line.end_point()[..self.scales.len()].to_vec()
    }
}

fn point(of: &[f64]) -> Point {
    let mut out = ORIGIN;
    out.iter_mut().zip(of).for_each(|(o, x)| *o = *x);
    out
}

/// From rest to the top speed, as a planner would do it.
fn ramp_seconds(l: &Limits) -> f64 {
    if l.speed * l.jerk <= l.acceleration * l.acceleration {
        2.0 * (l.speed / l.jerk).sqrt()
    } else {
        l.speed / l.acceleration + l.acceleration / l.jerk
    }
}

/// The tick. A corner passed with a spacing of `x` is cut by about `x |du|/6`, for a `d2` and a `d3` of
/// about `x |du|`. So with `h` near `(6 blend/J)^(1/3)` and `(6 blend/A)^(1/2)` the blend would come to its
/// limit together with the jerk or the acceleration. A little less than that is better for what lies
/// between corners and for curves, which are cut by more the longer the tick is. It is no more than half
/// and no less than a 48th of the shortest ramp to full speed.
fn tick(motors: &[PathMotor], blend: f64) -> u64 {
    let least =
        |of: fn(&Limits) -> f64| motors.iter().map(|m| of(&m.limits)).fold(f64::INFINITY, f64::min);
    let (a, j) = (least(|l| l.acceleration), least(|l| l.jerk));
    let ramp = least(ramp_seconds);
    let even = (2.0 * blend / a).sqrt().max(cube_root(1.4 * blend / j));
    let nanos = even.clamp(ramp / 48.0, ramp / 2.0) * 1e9;
    nanos.clamp(TICK.0, TICK.1) as u64
}

/// The cube root of a number that is not negative, by Newton's method: the same on every target.
fn cube_root(x: f64) -> f64 {
    if x <= 0.0 || !x.is_finite() {
        return 0.0;
    }
    // From above it only ever falls.
    let mut root = x.max(1.0);
    loop {
        let next = (2.0 * root + x / (root * root)) / 3.0;
        if next >= root {
            return root;
        }
        root = next;
    }
}
