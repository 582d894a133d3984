//! Jogs: a velocity that is kept until a deadline, which whoever asks for it has to renew.

use std::sync::Arc;
use std::time::Duration;

use super::active::{Active, Stage};
use super::model::MotorModel;
use super::plan::{self, Goal, Jogging, Part, Planned, Start, Way, plan_error};
use super::shapes::nanos;
use super::{Class, MoveBook, MoveError, Owner, Place};
use crate::config::{MotorUnit, OnFault};
use crate::motion::{Limits, Planner, State, Trajectory};
use crate::motor::{MotorIndex, MoveId};
use crate::trace::MoveKind;
use crate::units::{AngularSpeed, Speed};

/// A velocity with its unit: [`Speed`] for a linear axis, [`AngularSpeed`] for a rotary axis or a
/// servo. Its sign is the direction.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Velocity {
    /// Millimetres a second.
    Linear(Speed),
    /// Degrees a second.
    Angular(AngularSpeed),
}

impl From<Speed> for Velocity {
    fn from(speed: Speed) -> Velocity {
        Velocity::Linear(speed)
    }
}

impl From<AngularSpeed> for Velocity {
    fn from(speed: AngularSpeed) -> Velocity {
        Velocity::Angular(speed)
    }
}

/// Velocities of one or more motors, kept until a deadline: see [`Machine::jog`](crate::machine::Machine::jog).
///
/// ```
/// use std::time::Duration;
/// use lockstep::{config::Config, machine::{Jog, Machine}, units::Speed};
///
/// let config = Config::from_file("config/xyz-stage.toml")?.config;
/// let mut machine = Machine::builder(config).virtual_time().build()?;
/// let jog = Jog::lasting(Duration::from_millis(300)).at("x", Speed(5.0));
/// let id = machine.jog(&jog)?;
/// machine.run_for(Duration::from_millis(200));
/// machine.renew_jog(id, Duration::from_millis(300))?;
/// // Nobody renews it any more: it comes to rest by itself.
/// let end = machine.wait(id);
/// assert!(end.all_reached());
/// assert!(end.motors[0].position > 2.0 && end.motors[0].position < 3.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Jog {
    velocities: Vec<(String, Velocity)>,
    pub(crate) lasts: Duration,
}

impl Jog {
    /// A jog without motors yet, whose velocities are kept for this long; then it comes to rest.
    pub fn lasting(lasts: Duration) -> Jog {
        Jog { velocities: Vec::new(), lasts }
    }

    /// Adds a motor and its velocity, which is not 0 and at most the motor's speed limit.
    pub fn at(mut self, motor: &str, velocity: impl Into<Velocity>) -> Jog {
        self.velocities.push((motor.to_string(), velocity.into()));
        self
    }

    /// Names to indices, velocities to numbers in each motor's unit a second.
    pub(crate) fn resolve(&self, book: &MoveBook) -> Result<Vec<(MotorIndex, f64)>, MoveError> {
        if self.velocities.is_empty() {
            return Err(MoveError::Empty);
        }
        let mut all: Vec<(MotorIndex, f64)> = Vec::with_capacity(self.velocities.len());
        for (name, velocity) in &self.velocities {
            let index = book.find(name)?;
            let velocity = match (velocity, book.models[index].unit) {
                (Velocity::Linear(v), MotorUnit::Millimetre) => v.0,
                (Velocity::Angular(v), MotorUnit::Degree) => v.0,
                (_, unit) => {
                    let (motor, unit) = (name.clone(), unit.symbol());
                    return Err(MoveError::WrongUnit { motor, unit });
                }
            };
            if all.iter().any(|v| v.0 == index) {
                return Err(MoveError::Twice { motor: name.clone() });
            }
            all.push((index, velocity));
        }
        Ok(all)
    }
}

/// A velocity that the motor can have; native.
fn native_velocity(model: &MotorModel, velocity: f64) -> Result<f64, MoveError> {
    // Not a number is no velocity, either.
    if velocity != 0.0 && velocity.abs() <= model.limits.speed {
        return Ok(
            velocity.signum() * model.native_limits(velocity.abs() / model.limits.speed).speed
        );
    }
    let unit = model.unit.symbol();
    let (motor, max) = (model.name.clone(), format!("{}{unit}/s", model.limits.speed));
    Err(MoveError::JogSpeed { motor, velocity: format!("{velocity}{unit}/s"), max })
}

/// On at the velocity for `left` nanoseconds, or to the end of the travel, then to rest. An axis rests
/// at a whole step.
pub(super) fn plan_jog(
    planner: &mut Planner,
    model: &MotorModel,
    from: State,
    jog: Jogging,
    left: u64,
    share: f64,
) -> Result<Trajectory, MoveError> {
    let full = model.native_limits(1.0);
    let limits = Limits { speed: (jog.velocity.abs() * share).min(full.speed), ..full };
    let error = plan_error(&model.name);
    let (min, max) = match jog.bounded {
        true => (model.to_native(model.travel.min), model.to_native(model.travel.max)),
        false => (f64::NEG_INFINITY, f64::INFINITY),
    };
    let up = jog.velocity > 0.0;
    let end = if up { max } else { min };
    let whole = if end.is_finite() {
        planner.onward(from, end, limits)
    } else {
        // Far enough not to brake before the time is over.
        let fastest = limits.speed.max(from.velocity.abs());
        let ramps = fastest / limits.acceleration + limits.acceleration / limits.jerk;
        let far = limits.speed * (left as f64 / 1e9) + fastest * (1.0 + 4.0 * ramps);
        let end = from.position + if up { far } else { -far };
        planner.onward(from, end.round(), limits)
    };
    let whole = whole.map_err(&error)?;
    let plan = if whole.duration() <= left {
        whole
    } else {
        let state = whole.state_at(left);
        let mut rest = planner.to_rest(state, limits).map_err(&error)?;
        if model.steps.is_some() {
            let on = rest.end() >= state.position;
            let step = if on { rest.end().ceil() } else { rest.end().floor() };
            if let Ok(exact) = planner.to_position(state, step.clamp(min, max), limits) {
                rest = exact;
            }
        }
        let both = if left == 0 { Some(rest) } else { whole.spliced(left, &rest) };
        both.ok_or(MoveError::Unsafe { motor: model.name.clone(), limit: "jog" })?
    };
    match jog.bounded {
        true => plan::check_extremes(model, &plan, 1.0)?,
        false => plan::check_limits(model, &plan, 1.0)?,
    }
    Ok(plan)
}

/// A plan for velocities from rest, each kept for `lasts` nanoseconds: (motor, velocity in its unit a
/// second, native start, whether its place is known).
pub(super) fn plan_jogs(
    planner: &mut Planner,
    models: &[MotorModel],
    jogs: &[(MotorIndex, f64, Start, bool)],
    lasts: u64,
    share: f64,
) -> Result<Planned, MoveError> {
    let (parts, there) = (vec![], vec![]);
    let mut planned =
        Planned { parts, there, line: None, run: None, duration: 0, kind: MoveKind::Jog };
    for &(motor, velocity, start, bounded) in jogs {
        let model = &models[motor];
        let velocity = native_velocity(model, velocity)?;
        let Start::At(start) = start else {
            return Err(MoveError::NoSignal { motor: model.name.clone() });
        };
        let jog = Jogging { velocity, lasts, until: None, bounded };
        let t = plan_jog(planner, model, State::at_rest(start), jog, lasts, share)?;
        let target = model.to_unit(t.end());
        if t.duration() == 0 {
            planned.there.push((motor, target));
            continue;
        }
        planned.duration = planned.duration.max(t.duration());
        let goal = Goal { end: t.end(), target, way: Way::Jog(jog) };
        planned.parts.push(Part { motor, start, goal, trajectory: Arc::new(t) });
    }
    Ok(planned)
}

impl MoveBook {
    /// Begins a jog: velocities in units a second.
    pub fn start_jog(
        &mut self,
        velocities: &[(MotorIndex, f64)],
        lasts: Duration,
        owner: &Owner,
    ) -> Result<MoveId, MoveError> {
        self.jog_numbered(velocities, lasts, owner, None)
    }

    /// The same, with the number that it may have already.
    pub(super) fn jog_numbered(
        &mut self,
        velocities: &[(MotorIndex, f64)],
        lasts: Duration,
        owner: &Owner,
        number: Option<MoveId>,
    ) -> Result<MoveId, MoveError> {
        self.may_begin(owner)?;
        let mut jogs = Vec::with_capacity(velocities.len());
        for &(motor, velocity) in velocities {
            let start = self.ready_anywhere(motor, owner)?;
            let known =
                self.motors[motor].place != Place::Unknown || self.models[motor].steps.is_none();
            jogs.push((motor, velocity, start, known));
        }
        let share = self.speed(Class::Jog).min(1.0);
        let planner = &mut self.planner;
        let planned = plan_jogs(planner, &self.models, &jogs, nanos(lasts), share)?;
        self.launch(planned, 1.0, None, OnFault::Stop, (owner, number))
    }

    /// Keeps a jog for this long from now on, with other velocities where there are some.
    pub fn reset_jog(
        &mut self,
        id: MoveId,
        velocities: Option<&[(MotorIndex, f64)]>,
        lasts: Duration,
    ) -> Result<(), MoveError> {
        let jogs = |a: &&Active| {
            let jog = |w: &Way| matches!(w, Way::Jog(_));
            a.stage != Stage::Stopping && a.legs.iter().all(|l| jog(&l.goal().way))
        };
        let now = self.now;
        let active = self.active.get(&id).filter(jogs).ok_or(MoveError::NotUnderWay { id })?;
        if active.all_but_over(now + self.change_lead(active)) {
            return Err(MoveError::NotUnderWay { id });
        }
        let mut natives = Vec::new();
        for &(motor, velocity) in velocities.unwrap_or_default() {
            let model = &self.models[motor];
            if active.leg(motor).is_none() {
                return Err(MoveError::NotInMove { motor: model.name.clone(), id });
            }
            natives.push((motor, native_velocity(model, velocity)?));
        }
        self.alter(id, |active| {
            let started = active.started;
            for leg in &mut active.legs {
                let mut goal = leg.goal().clone();
                let Way::Jog(jog) = &mut goal.way else { continue };
                if let Some((_, velocity)) = natives.iter().find(|n| n.0 == leg.part.motor) {
                    jog.velocity = *velocity;
                }
                jog.lasts = nanos(lasts);
                jog.until = started.then(|| now + lasts);
                leg.stale = true;
                if started {
                    leg.next = Some(goal);
                } else {
                    leg.part.goal = goal;
                }
            }
        });
        Ok(())
    }
}
