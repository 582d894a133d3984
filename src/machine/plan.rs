use std::sync::Arc;
use std::time::Duration;

use super::error::MoveError;
use super::model::MotorModel;
use crate::config::Arrive;
use crate::motion::{Limits, PlanError, Planner, Trajectory, line_limits};
use crate::motor::MotorIndex;

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
    /// Native distance to go.
    pub distance: f64,
    /// The target in the motor's unit, as it was asked for.
    pub target: f64,
    /// In native units.
    pub trajectory: Arc<Trajectory>,
    /// Native limits, for a stop of this motor alone.
    pub limits: Limits,
    /// Whether it follows the line's `s` (else it goes alone).
    pub on_line: bool,
}

/// The scalar that all motors of an aligned move follow: 0 at the start, 1 at the target.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub s: Arc<Trajectory>,
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
    /// The longest part, nanoseconds.
    pub duration: u64,
    pub kind: &'static str,
}

/// Relative excess over a limit that rounding may cause and no motor can feel.
const ROUNDING: f64 = 1e-6;

fn plan_error(motor: &str) -> impl Fn(PlanError) -> MoveError {
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
    let kind = if aligned { "aligned" } else { "asap" };
    let mut planned = Planned { parts: vec![], there: vec![], line: None, duration: 0, kind };
    for &(motor, target, start) in targets {
        let model = &models[motor];
        check_travel(model, target)?;
        let end = model.to_native(target);
        let limits = model.native_limits(speed);
        let (start, trajectory, on_line) = match start {
            Start::Anywhere => (end, Trajectory::dwell(end, model.settle_nanos()), false),
            Start::At(at) if at == end => {
                planned.there.push((motor, target));
                continue;
            }
            // A line's trajectories come from `s`, once that is known.
            Start::At(at) if aligned => (at, Trajectory::rest(at), true),
            Start::At(at) => {
                let from = crate::motion::State::at_rest(at);
                let t = planner.to_position(from, end, limits).map_err(plan_error(&model.name))?;
                (at, t, false)
            }
        };
        let (distance, trajectory) = (end - start, Arc::new(trajectory));
        planned.parts.push(Part { motor, start, distance, target, trajectory, limits, on_line });
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
    let on_line = planned.parts.iter().filter(|p| p.on_line);
    let shares = on_line.clone().map(|p| (p.distance, models[p.motor].native_limits(speed)));
    let Some(limits) = line_limits(shares) else { return Ok(()) };
    let names: Vec<_> = on_line.map(|p| models[p.motor].name.as_str()).collect();
    let s = planner
        .to_position(crate::motion::State::at_rest(0.0), 1.0, limits)
        .map_err(plan_error(&names.join(", ")))?;
    for part in planned.parts.iter_mut().filter(|p| p.on_line) {
        let end = part.start + part.distance;
        part.trajectory = Arc::new(s.scaled_to(part.start, part.distance, end));
    }
    planned.line = Some(Line { s: Arc::new(s), limits });
    Ok(())
}

/// A motor with where it starts and its own keyframes: (time in nanoseconds, position).
pub(crate) type Track = (MotorIndex, Start, Vec<(u64, f64)>);

/// One motor's way through its keyframes, each at its time (nanoseconds), at rest in each of them.
pub(crate) fn plan_keyframes(
    planner: &mut Planner,
    models: &[MotorModel],
    tracks: &[Track],
) -> Result<Planned, MoveError> {
    let (parts, there) = (vec![], vec![]);
    let mut planned = Planned { parts, there, line: None, duration: 0, kind: "keyframes" };
    for (motor, start, frames) in tracks {
        let model = &models[*motor];
        let limits = model.native_limits(1.0);
        let mut pieces = Vec::with_capacity(frames.len());
        let mut now = 0;
        let mut at = match *start {
            Start::At(at) => Some(at),
            Start::Anywhere => None,
        };
        for &(time, target) in frames {
            check_travel(model, target)?;
            let end = model.to_native(target);
            let has = time - now;
            let from = *at.get_or_insert(end);
            if from == end {
                if has > 0 {
                    pieces.push(Trajectory::dwell(end, has));
                }
            } else {
                let from = crate::motion::State::at_rest(from);
                let fastest =
                    planner.to_position(from, end, limits).map_err(plan_error(&model.name))?;
                let needs = fastest.duration();
                let piece = if needs == has { Some(fastest) } else { fastest.stretched(has) };
                pieces.push(piece.ok_or_else(|| MoveError::KeyframeTooSoon {
                    motor: model.name.clone(),
                    needs: Duration::from_nanos(needs),
                    has: Duration::from_nanos(has),
                })?);
            }
            (at, now) = (Some(end), time);
        }
        let (Some(trajectory), Some(end), Some(&(_, target))) =
            (Trajectory::chain(&pieces), at, frames.last())
        else {
            continue;
        };
        let start = trajectory.start().position;
        let (trajectory, distance) = (Arc::new(trajectory), end - start);
        let (motor, on_line) = (*motor, false);
        planned.parts.push(Part { motor, start, distance, target, trajectory, limits, on_line });
    }
    finish(models, planned, 1.0)
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
    let e = trajectory.extremes();
    let limits = model.native_limits(speed);
    let (min, max) = (model.to_native(model.travel.min), model.to_native(model.travel.max));
    let broken = |limit| Err(MoveError::Unsafe { motor: model.name.clone(), limit });
    if e.min < min - model.tolerance() || e.max > max + model.tolerance() {
        return broken("travel");
    }
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
