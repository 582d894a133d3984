use std::sync::Arc;

use super::error::MoveError;
use super::frames::{Frames, piece};
use super::model::MotorModel;
use crate::config::Arrive;
use crate::motion::{Limits, PlanError, Planner, Trajectory, line_limits};
use crate::motor::MotorIndex;
use crate::trace::MoveKind;
use crate::units::Instant;

/// Where a motor is, as far as anyone knows, in its native unit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Start {
    At(f64),
    /// A servo that has had no signal yet: it goes to its first target at once, at its own speed.
    Anywhere,
}

/// A motor's share of a plan.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub motor: MotorIndex,
    /// Native position at the start.
    pub start: f64,
    /// Where it goes, and how.
    pub goal: Goal,
    /// In native units.
    pub trajectory: Arc<Trajectory>,
}

/// Where a motor goes, and how.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Goal {
    /// Native position at the end.
    pub end: f64,
    /// The same in the motor's unit, as it was asked for.
    pub target: f64,
    pub way: Way,
}

/// How a motor goes to its goal.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Way {
    /// Along the line, by its `s`.
    Line,
    /// By itself, as fast as it can.
    Alone,
    /// Along a blended path, with the other motors of its run.
    Path,
    /// Through keyframes, at rest in each.
    Frames(Frames),
    /// At a velocity until a deadline.
    Jog(Jogging),
}

/// A velocity that is kept until a deadline.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Jogging {
    /// Native units a second; its sign is the direction.
    pub velocity: f64,
    /// How long from its start on, nanoseconds.
    pub lasts: u64,
    /// When it ends, once that is known.
    pub until: Option<Instant>,
    /// Whether the travel bounds it: only where the motor's place is known.
    pub bounded: bool,
    /// Whether its time stands still while it is held. Not where somebody keeps asking for it.
    pub pauses: bool,
}

/// The scalar that all motors of an aligned move follow: 0 at the start, 1 at the target.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub s: Arc<Trajectory>,
    /// At the full speed limits.
    pub limits: Limits,
}

/// A move as planned: nothing has been told to a motor yet.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    /// Motors that have a way to go.
    pub parts: Vec<Part>,
    /// Motors that are there already: (motor, target in its unit).
    pub there: Vec<(MotorIndex, f64)>,
    pub line: Option<Line>,
    pub run: Option<super::blend::BlendRun>,
    /// The longest part, nanoseconds.
    pub duration: u64,
    pub kind: MoveKind,
}

/// Relative excess over a limit that rounding may cause and no motor can feel.
const ROUNDING: f64 = 1e-6;

pub(crate) fn plan_error(motor: &str) -> impl Fn(PlanError) -> MoveError {
    move |error| MoveError::Plan { motor: motor.to_string(), error }
}

/// Refuses a target outside the motor's travel.
pub(crate) fn check_travel(model: &MotorModel, target: f64) -> Result<(), MoveError> {
    if model.travel.contains(target) {
        return Ok(());
    }
    Err(MoveError::OutsideTravel {
        motor: model.name.clone(),
        target: model.show(target),
        min: model.show(model.travel.min),
        max: model.show(model.travel.max),
    })
}

impl MotorModel {
    /// Refuses a target outside the motor's travel.
    pub fn check_travel(&self, target: f64) -> Result<(), MoveError> {
        check_travel(self, target)
    }
}

/// A plan for one target of each motor, from rest to rest.
pub(crate) fn plan_move(
    planner: &mut Planner,
    models: &[MotorModel],
    targets: &[(MotorIndex, f64, Start)],
    arrive: Arrive,
    speed: f64,
) -> Result<Planned, MoveError> {
    if !(speed > 0.0 && speed <= 1.0) {
        return Err(MoveError::Speed { percent: speed * 100.0 });
    }
    let aligned = arrive == Arrive::Aligned;
    let kind = if aligned { MoveKind::Aligned } else { MoveKind::Asap };
    let mut planned =
        Planned { parts: vec![], there: vec![], line: None, run: None, duration: 0, kind };
    for &(motor, target, start) in targets {
        let model = &models[motor];
        check_travel(model, target)?;
        let end = model.to_native(target);
        let limits = model.native_limits(speed);
        let (start, trajectory, way) = match start {
            Start::Anywhere => (end, Trajectory::dwell(end, model.settle_nanos()), Way::Alone),
            Start::At(at) if at == end => {
                planned.there.push((motor, target));
                continue;
            }
            // A line's trajectories come from `s`, once that is known.
            Start::At(at) if aligned => (at, Trajectory::rest(at), Way::Line),
            Start::At(at) => {
                let from = crate::motion::State::at_rest(at);
                let t = planner.plan_to(from, end, limits).map_err(plan_error(&model.name))?;
                (at, t, Way::Alone)
            }
        };
        let (goal, trajectory) = (Goal { end, target, way }, Arc::new(trajectory));
        planned.parts.push(Part { motor, start, goal, trajectory });
    }
    align(planner, models, &mut planned, speed)?;
    finish(models, planned, speed)
}

/// One `s` for all parts on the line.
fn align(
    planner: &mut Planner,
    models: &[MotorModel],
    planned: &mut Planned,
    speed: f64,
) -> Result<(), MoveError> {
    let on_line = planned.parts.iter().filter(|p| p.goal.way == Way::Line);
    let shares = on_line.clone().map(|p| (p.distance(), models[p.motor].native_limits(1.0)));
    let Some(limits) = line_limits(shares) else { return Ok(()) };
    let names: Vec<_> = on_line.map(|p| models[p.motor].name.as_str()).collect();
    let s = planner
        .plan_to(crate::motion::State::at_rest(0.0), 1.0, limits.at_share(speed))
        .map_err(plan_error(&names.join(", ")))?;
    for part in planned.parts.iter_mut().filter(|p| p.goal.way == Way::Line) {
        part.trajectory = Arc::new(part.to_goal(&s));
    }
    planned.line = Some(Line { s: Arc::new(s), limits });
    Ok(())
}

impl Part {
    /// How far it goes, native.
    pub fn distance(&self) -> f64 {
        self.goal.end - self.start
    }

    /// Its trajectory along the line, to the goal: exact at the end.
    pub fn to_goal(&self, s: &Trajectory) -> Trajectory {
        s.scaled_to(self.start, self.distance(), self.goal.end)
    }
}

/// A motor with where it starts and its own keyframes: (time in nanoseconds, position).
pub(crate) type Track = (MotorIndex, Start, Vec<(u64, f64)>);

/// Keyframes, each met at its time and at rest, planned a few at a time: a long table keeps nobody waiting.
#[derive(Debug)]
pub(crate) struct FramesPlan {
    tracks: Vec<Track>,
    /// The track that is planned, and how far.
    track: usize,
    through: Option<Through>,
    planned: Planned,
}

impl FramesPlan {
    /// Nothing planned yet.
    pub fn new(tracks: Vec<Track>) -> FramesPlan {
        let (parts, there) = (vec![], vec![]);
        let planned =
            Planned { parts, there, line: None, run: None, duration: 0, kind: MoveKind::Keyframes };
        FramesPlan { tracks, track: 0, through: None, planned }
    }

    /// The motors, each with where it starts.
    pub fn starts(&self) -> impl Iterator<Item = (MotorIndex, Start)> + '_ {
        self.tracks.iter().map(|t| (t.0, t.1))
    }

    /// How many frames there are, each motor's counted.
    pub fn frames(&self) -> usize {
        self.tracks.iter().map(|t| t.2.len()).sum()
    }

    /// Plans so many frames more. Whether that were all.
    pub fn go_on(
        &mut self,
        planner: &mut Planner,
        models: &[MotorModel],
        mut most: usize,
    ) -> Result<bool, MoveError> {
        while let Some((motor, start, frames)) = self.tracks.get(self.track) {
            let model = &models[*motor];
            let Some(&(_, target)) = frames.last() else {
                self.track += 1;
                continue;
            };
            if self.through.is_none() {
                let mut native = Vec::with_capacity(frames.len());
                for &(time, target) in frames {
                    check_travel(model, target)?;
                    native.push((time, model.to_native(target)));
                }
                let from = match *start {
                    Start::At(at) => at,
                    Start::Anywhere => native[0].1,
                };
                self.through = Some(Through::new(from, native));
            }
            let Some(through) = &mut self.through else { continue };
            most = through.go_on(planner, model, most)?;
            if !through.is_done() {
                return Ok(false);
            }
            let Some(Through { frames, pieces, .. }) = self.through.take() else { continue };
            self.track += 1;
            let Some(trajectory) = Trajectory::chain(&pieces) else { continue };
            let start = trajectory.start().position;
            let (motor, trajectory) = (*motor, Arc::new(trajectory));
            let way = Way::Frames(Frames::new(frames, trajectory.clone()));
            let goal = Goal { end: trajectory.end(), target, way };
            self.planned.parts.push(Part { motor, start, goal, trajectory });
        }
        Ok(true)
    }

    /// The plan, once all of it is there.
    pub fn finish(self, models: &[MotorModel]) -> Result<Planned, MoveError> {
        finish(models, self.planned, 1.0)
    }
}

/// A way through frames, native, as far as it is planned.
#[derive(Debug)]
struct Through {
    frames: Vec<(u64, f64)>,
    next: usize,
    now: u64,
    at: f64,
    pieces: Vec<Trajectory>,
}

impl Through {
    fn new(from: f64, frames: Vec<(u64, f64)>) -> Through {
        let pieces = Vec::with_capacity(frames.len());
        Through { frames, next: 0, now: 0, at: from, pieces }
    }

    fn is_done(&self) -> bool {
        self.next == self.frames.len()
    }

    /// Plans so many frames more, if there are so many; how many are left of that.
    fn go_on(
        &mut self,
        planner: &mut Planner,
        model: &MotorModel,
        mut most: usize,
    ) -> Result<usize, MoveError> {
        while let Some(&(time, end)) = self.frames.get(self.next).filter(|_| most > 0) {
            most -= 1;
            self.pieces.extend(piece(planner, model, self.at, end, time - self.now)?);
            (self.at, self.now, self.next) = (end, time, self.next + 1);
        }
        Ok(most)
    }
}

/// The fastest way from rest to rest.
pub(crate) fn fastest(
    planner: &mut Planner,
    model: &MotorModel,
    from: f64,
    to: f64,
) -> Result<Trajectory, MoveError> {
    let (from, limits) = (crate::motion::State::at_rest(from), model.native_limits(1.0));
    planner.plan_to(from, to, limits).map_err(plan_error(&model.name))
}

/// The last look at a plan: every extreme against travel and limits.
fn finish(models: &[MotorModel], mut planned: Planned, speed: f64) -> Result<Planned, MoveError> {
    for part in &planned.parts {
        check_extremes(&models[part.motor], &part.trajectory, speed)?;
        planned.duration = planned.duration.max(part.trajectory.duration());
    }
    Ok(planned)
}

pub(crate) fn check_extremes(
    model: &MotorModel,
    trajectory: &Trajectory,
    speed: f64,
) -> Result<(), MoveError> {
    check_place(model, trajectory)?;
    check_limits(model, trajectory, speed)
}

/// Whether it stays inside the travel.
pub(crate) fn check_place(model: &MotorModel, trajectory: &Trajectory) -> Result<(), MoveError> {
    let e = trajectory.extremes();
    let (min, max) = (model.to_native(model.travel.min), model.to_native(model.travel.max));
    if e.min < min - model.tolerance() || e.max > max + model.tolerance() {
        return Err(MoveError::Unsafe { motor: model.name.clone(), limit: "travel" });
    }
    Ok(())
}

/// The same, of a motor whose place nobody knows.
pub(crate) fn check_limits(
    model: &MotorModel,
    trajectory: &Trajectory,
    speed: f64,
) -> Result<(), MoveError> {
    check_motion(model, trajectory, speed)?;
    let distance = (trajectory.end() - trajectory.start().position).abs();
    // Less than half a step back and forth gives no step.
    if model.backlash > 0 && trajectory.way() - distance > 0.5 {
        return Err(MoveError::Turns { motor: model.name.clone() });
    }
    Ok(())
}

/// The limits alone: it may turn where it rests for as long as its backlash takes.
pub(crate) fn check_motion(
    model: &MotorModel,
    trajectory: &Trajectory,
    speed: f64,
) -> Result<(), MoveError> {
    let e = trajectory.extremes();
    let limits = model.native_limits(speed);
    let broken = |limit| Err(MoveError::Unsafe { motor: model.name.clone(), limit });
    if e.velocity > limits.speed * (1.0 + ROUNDING) {
        return broken("speed limit");
    }
    if e.acceleration > limits.acceleration * (1.0 + ROUNDING) {
        return broken("acceleration limit");
    }
    if e.jerk > limits.jerk * (1.0 + ROUNDING) {
        return broken("jerk limit");
    }
    Ok(())
}
