//! Blended runs: moves that follow each other without a stop, on one path.
//!
//! The machine keeps the path planned for about a second ahead. The motors have it up to a tick, with the
//! brake from there: should nothing more reach them in time, they rest on the path. Before that, what was
//! planned since then is handed to them by the same change of plan in two phases as everything else.

use std::collections::VecDeque;

use super::MoveError;
use super::active::{Aim, Leg};
use super::model::MotorModel;
use super::path_moves::Waypoint;
use super::plan::{Goal, Way, check_travel};
use crate::motion::path::{Advance, Path, PathError, PathMotor};
use crate::motion::{Limits, Trajectory};
use crate::motor::{MotorIndex, MoveId, Then};
use crate::trace::Mark;
use crate::units::Instant;

/// How far ahead a path is planned, nanoseconds, and how many ticks at least.
const AHEAD: u64 = 1_000_000_000;
const AHEAD_TICKS: u64 = 8;

/// So long before the motors would begin to brake they get more.
const MARGIN: u64 = 300_000_000;

/// The same where there is no more: time to brake in the last vertex that is known.
const LAST_CALL: u64 = 60_000_000;

/// Vertices that wait for their turn, at the most.
const MOST_WAITING: usize = 256;

/// A place that a run goes through: a position for each of its motors, in its unit.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Vertex {
    pub at: Vec<f64>,
    /// How near to it the run stays.
    pub blend: f64,
    /// The share of the speed limits on the way there.
    pub speed: f64,
}

/// The path of a move, and how far its motors have been told of it.
#[derive(Clone, Debug)]
pub(crate) struct BlendRun {
    motors: Vec<MotorIndex>,
    path: Path,
    feed: f64,
    /// Vertices that the path does not know yet; more may come while it is open.
    waiting: VecDeque<Vertex>,
    open: bool,
    /// The tick that begins at an instant.
    zero: (Instant, u64),
    /// The motors have the path up to this tick, and then the brake, which ends in that one.
    agreed: u64,
    rest: u64,
    /// They have been told its end.
    ended: bool,
    /// Nothing could be planned beyond that, for want of vertices; and not even with an end made of the
    /// last one that is known.
    hungry: bool,
    dry: bool,
    /// The last vertex that the path knows.
    last: Vec<f64>,
    /// Vertices that the trace has not been told yet.
    untold: Vec<(f64, Vec<f64>)>,
}

/// What is to be done about a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Work {
    /// The motors are to be told of more.
    Tell,
    /// There may be more places in time.
    Wait,
    /// It rests until there are.
    Rest,
}

/// How a run would go on from an instant.
pub(crate) struct RunDraft {
    path: Path,
    feed: f64,
    zero: (Instant, u64),
    ends: bool,
    faster_or_slower: bool,
}

impl RunDraft {
    /// Whether more is to follow.
    pub fn is_open(&self) -> bool {
        !self.ends
    }

    pub fn is_override(&self) -> bool {
        self.faster_or_slower
    }
}

impl BlendRun {
    /// Nothing planned yet. `starts`: native positions.
    pub fn new(
        models: &[MotorModel],
        motors: Vec<MotorIndex>,
        starts: &[f64],
        blend: f64,
        feed: f64,
        open: bool,
    ) -> Result<BlendRun, MoveError> {
        let path_motor = |&m: &MotorIndex| {
            let model = &models[m];
            let scale = model.steps.map_or(1.0, |ratio| ratio.to_f64());
            let l = model.limits;
            let (speed, acceleration, jerk) = (l.speed, l.acceleration, l.jerk);
            PathMotor { limits: Limits { speed, acceleration, jerk }, scale }
        };
        let path_motors: Vec<_> = motors.iter().map(path_motor).collect();
        let last: Vec<f64> =
            motors.iter().zip(starts).map(|(&m, &s)| models[m].to_unit(s)).collect();
        let mut path = Path::new(&path_motors, &last, blend)?;
        path.set_feed(feed);
        Ok(BlendRun {
            motors,
            path,
            feed,
            waiting: VecDeque::new(),
            open,
            zero: (Instant::ZERO, 0),
            agreed: 0,
            rest: 0,
            ended: false,
            hungry: false,
            dry: false,
            last,
            untold: Vec::new(),
        })
    }

    pub fn motors(&self) -> &[MotorIndex] {
        &self.motors
    }

    /// Whether more places may come.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// No more will.
    pub fn close(&mut self) {
        self.open = false;
        (self.hungry, self.dry) = (false, false);
    }

    /// Whether there is room for more places in a reasonable number.
    pub fn has_room(&self) -> bool {
        self.open && self.waiting.len() < MOST_WAITING
    }

    /// Plans on, with what is known of the line. What there is to do then.
    pub(super) fn look_after(&mut self, models: &[MotorModel]) -> Work {
        if self.hungry {
            self.make_do(models);
        } else {
            self.prepare(models);
        }
        match (self.hungry, self.dry) {
            (true, _) => Work::Wait,
            (_, true) => Work::Rest,
            _ => Work::Tell,
        }
    }

    fn push(&mut self, models: &[MotorModel], vertex: Vertex, whole: bool) {
        let mut at = vertex.at;
        if whole {
            // Where it may rest, it rests at a whole step.
            for (x, &m) in at.iter_mut().zip(&self.motors) {
                *x = models[m].to_unit(models[m].to_native(*x));
            }
        }
        // Numbers were looked at when it came.
        if self.path.push(&at, vertex.blend, vertex.speed).is_ok() {
            self.untold.push((vertex.blend, at.clone()));
            self.last = at;
        }
    }

    /// Hands the path the vertices that it wants. The last one waits until it is known whether it is the
    /// end.
    fn fill(&mut self, models: &[MotorModel]) {
        while self.path.wants() {
            let is_last = self.waiting.len() == 1;
            if is_last && self.open {
                return;
            }
            match self.waiting.pop_front() {
                Some(vertex) => self.push(models, vertex, is_last),
                None => {
                    if !self.open {
                        self.path.close();
                    }
                    return;
                }
            }
        }
    }

    /// Plans ahead of what the motors have, as far as the line is known.
    fn prepare(&mut self, models: &[MotorModel]) {
        let until = self.agreed + self.ahead();
        loop {
            self.fill(models);
            if self.path.wants() || !go_on(&mut self.path, until) {
                break;
            }
        }
        self.hungry = self.path.tick() == self.agreed && !self.is_over();
    }

    /// All of it is planned, and the brake that is known ends where it does.
    fn is_over(&self) -> bool {
        self.path.ends() && !self.open && self.waiting.is_empty()
    }

    /// Nothing more is known in time: the last vertex that is known is an end for now.
    fn make_do(&mut self, models: &[MotorModel]) {
        self.prepare(models);
        if self.path.tick() > self.agreed {
            return;
        }
        if let Some(vertex) = self.waiting.pop_front() {
            self.push(models, vertex, true);
        }
        self.path.close();
        let until = self.agreed + self.ahead();
        go_on(&mut self.path, until);
        (self.hungry, self.dry) = (false, self.path.tick() == self.agreed);
    }

    fn ahead(&self) -> u64 {
        (AHEAD / self.path.tick_nanos()).max(AHEAD_TICKS)
    }

    fn instant_of(&self, tick: u64) -> Instant {
        let ticks = tick.saturating_sub(self.zero.1);
        self.zero.0.plus_nanos(ticks.saturating_mul(self.path.tick_nanos()))
    }

    /// The first instant from `at` on at which its plan can change, and the tick that begins there. At
    /// rest any instant will do.
    pub fn tick_at(&self, at: Instant) -> (Instant, u64) {
        let resting = self.instant_of(self.rest);
        if at >= resting {
            return (at, self.rest);
        }
        let tick = self.zero.1 + at.nanos_since(self.zero.0).div_ceil(self.path.tick_nanos());
        (self.instant_of(tick), tick)
    }

    /// When it has to be looked after.
    pub fn due(&self) -> Instant {
        if self.ended || (self.dry && self.open) {
            return Instant::FAR;
        }
        let before = if self.hungry { LAST_CALL } else { MARGIN };
        let end = self.instant_of(self.agreed).as_nanos();
        Instant::from_nanos(end.saturating_sub(before))
    }

    /// What its motors do at the end of the plan that they have.
    pub fn then(&self) -> Then {
        if self.ended { Then::End } else { Then::Hold }
    }

    /// The plan that holds from `at` on, which is one of its instants.
    pub(super) fn draft(
        &self,
        aim: Aim,
        course: Aim,
        at: Instant,
        feed: f64,
    ) -> (RunDraft, Vec<Trajectory>) {
        let tick = self.tick_at(at).1;
        let mut path = self.path.clone();
        let faster_or_slower = feed != self.feed && aim == Aim::Go;
        let same = aim == Aim::Go && course == Aim::Go && !faster_or_slower;
        if !(same && tick <= self.agreed) {
            let known = tick.min(self.agreed);
            path.rewind(known);
            path.brake(tick - known);
            if aim == Aim::Go {
                path.set_feed(feed);
                go_on(&mut path, tick + self.ahead());
            } else {
                path.brake(u64::MAX);
            }
        }
        let chunk = path.chunk(tick);
        let all_known = !self.open && self.waiting.is_empty();
        let ends = path.ends() && all_known && aim == Aim::Go;
        (RunDraft { path, feed, zero: (at, tick), ends, faster_or_slower }, chunk.trajectories)
    }

    /// A motor's share of a draft, and its goal: the last vertex that is known.
    pub fn of_motor(
        &self,
        motor: MotorIndex,
        model: &MotorModel,
        trajectories: &[Trajectory],
    ) -> Option<(Trajectory, Goal)> {
        let n = self.motors.iter().position(|&m| m == motor)?;
        Some((trajectories.get(n)?.clone(), self.goal(n, model)))
    }

    pub fn goal(&self, n: usize, model: &MotorModel) -> Goal {
        let target = self.waiting.back().map_or(self.last[n], |v| v.at[n]);
        Goal { end: model.to_native(target), target, way: Way::Path }
    }

    /// The motors have it.
    pub(super) fn adopt(&mut self, draft: RunDraft) {
        (self.path, self.feed, self.zero) = (draft.path, draft.feed, draft.zero);
        self.agreed = self.path.tick();
        self.rest = self.agreed + self.path.brake_ticks();
        self.ended = draft.ends;
        (self.hungry, self.dry) = (false, false);
        self.path.forget(self.zero.1);
    }

    /// Its time line begins.
    pub fn begin(&mut self, zero: Instant) {
        self.zero = (zero, 0);
    }

    /// The vertices that the path has got since the last time, for the trace.
    pub fn tell_vertices(&mut self, id: MoveId, mut tell: impl FnMut(Mark<'static>)) {
        for (blend, at) in self.untold.drain(..) {
            tell(Mark::corner(id, blend, at));
        }
    }

    /// Plans on for about a second, as far as the places that it has allow, and looks at what that is: each
    /// motor's trajectory, and the time that it takes up to there, which is no more than before once all is
    /// planned. What was looked at is forgotten then.
    pub fn look_on(
        &mut self,
        models: &[MotorModel],
        mut see: impl FnMut(MotorIndex, &Trajectory),
    ) -> u64 {
        self.prepare(models);
        let (from, to) = (self.agreed, self.path.tick());
        for (&motor, trajectory) in self.motors.iter().zip(self.path.so_far(from)) {
            see(motor, &trajectory);
        }
        self.agreed = to;
        self.path.forget(to);
        self.untold.clear();
        to.saturating_mul(self.path.tick_nanos())
    }

    /// Where it ends, native.
    pub fn ends_at(&self, models: &[MotorModel]) -> Vec<(MotorIndex, f64)> {
        let of = |(n, &m): (usize, &MotorIndex)| (m, self.goal(n, &models[m]).end);
        self.motors.iter().enumerate().map(of).collect()
    }

    /// From its start, before anything has moved, at another speed.
    pub(super) fn plan_anew(&mut self, models: &[MotorModel], feed: f64, legs: &mut [Leg]) {
        self.feed = feed;
        self.path.rewind(0);
        self.path.set_feed(feed);
        self.agreed = 0;
        for (leg, t) in legs.iter_mut().zip(self.first(models)) {
            leg.part.trajectory = std::sync::Arc::new(t);
        }
    }

    /// The first plan, from its start on, in the order of its motors.
    pub fn first(&mut self, models: &[MotorModel]) -> Vec<Trajectory> {
        self.prepare(models);
        self.agreed = self.path.tick();
        self.rest = self.agreed + self.path.brake_ticks();
        self.ended = self.is_over();
        self.path.chunk(0).trajectories
    }
}

/// Plans up to tick `until`, as far as the line is known. False: it went as far as it could.
fn go_on(path: &mut Path, until: u64) -> bool {
    while path.tick() < until {
        if path.wants() {
            // More of the line first, if there is any.
            return true;
        }
        if path.advance() != Advance::Moved {
            return false;
        }
    }
    false
}

impl BlendRun {
    /// More places, all or none. A motor that one does not name stays where the one before has it.
    pub fn add(&mut self, models: &[MotorModel], places: &[Waypoint]) -> Result<(), MoveError> {
        let mut at = self.waiting.back().map_or(&self.last, |v| &v.at).clone();
        let mut vertices = Vec::with_capacity(places.len());
        for place in places {
            for &(motor, target) in &place.targets {
                check_travel(&models[motor], target)?;
                let Some(n) = self.motors.iter().position(|&m| m == motor) else {
                    return Err(MoveError::NotInPath { motor: models[motor].name.clone() });
                };
                at[n] = target;
            }
            let (blend, speed) = (place.blend, place.speed);
            if !(blend >= 0.0 && blend.is_finite()) {
                return Err(PathError::Number { what: "blend", value: blend }.into());
            }
            vertices.push(Vertex { at: at.clone(), blend, speed });
        }
        self.waiting.extend(vertices);
        (self.hungry, self.dry) = (false, false);
        Ok(())
    }
}
