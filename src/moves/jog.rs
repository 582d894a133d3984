//! Jogs: a velocity that is kept until a deadline, which whoever asks for it has to renew.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::active::{Active, Aim};
use super::model::MotorModel;
use super::plan::{self, Goal, Jogging, Part, Planned, Start, Way, plan_error};
use super::shapes::nanos;
use super::{Class, MoveBook, MoveError, Owner, Place};
use crate::config::{MotorUnit, OnFault};
use crate::motion::{Limits, Planner, State, Trajectory};
use crate::motor::{MotorIndex, MoveId};
use crate::trace::MoveKind;
use crate::units::{AngularSpeed, Speed, SpeedShare};

/// A velocity with its unit: [`Speed`] for a linear axis, [`AngularSpeed`] for a rotary axis or a
/// servo, [`SpeedShare`] for a servo that turns continuously. Its sign is the direction.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Velocity {
    /// Millimetres a second.
    Linear(Speed),
    /// Degrees a second.
    Angular(AngularSpeed),
    /// Percent of full speed.
    Share(SpeedShare),
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

impl From<SpeedShare> for Velocity {
    fn from(share: SpeedShare) -> Velocity {
        Velocity::Share(share)
    }
}

/// Which jog has a motor that was steered: see [`Machine::steer`](crate::machine::Machine::steer).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Steered {
    /// The motor.
    pub motor: String,
    /// The jog that it is part of now.
    pub jog: MoveId,
    /// It has begun with this.
    pub begun: bool,
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

    /// Adds a motor and its velocity, which is at most the motor's speed limit. 0 is rest.
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
                (Velocity::Share(share), MotorUnit::Percent) => share.as_percent(),
                (_, unit) => {
                    let (motor, unit) = (name.clone(), unit.speed());
                    return Err(MoveError::WrongSpeed { motor, unit });
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

/// A velocity that the motor can have; native. 0 is rest.
fn native_velocity(model: &MotorModel, velocity: f64) -> Result<f64, MoveError> {
    // Not a number is no velocity.
    if velocity.abs() <= model.limits.speed {
        let speed = model.native_limits(velocity.abs() / model.limits.speed).speed;
        return Ok(if velocity < 0.0 { -speed } else { speed });
    }
    let unit = model.unit.speed();
    let (motor, max) = (model.name.clone(), format!("{}{unit}", model.limits.speed));
    Err(MoveError::JogSpeed { motor, velocity: format!("{velocity}{unit}"), max })
}

/// On which side of a motor its play lies.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Play {
    /// The direction in which it may go on at once: 1, -1, or 0 where nobody knows.
    pub heading: f64,
    /// How much longer the play is being taken up for that, at rest; nanoseconds.
    pub until: u64,
}

/// 1 or -1; 0 of nothing.
pub(super) fn sign(way: f64) -> f64 {
    if way == 0.0 { 0.0 } else { way.signum() }
}

impl Play {
    /// Behind whatever goes in the direction of a velocity.
    pub fn behind(velocity: f64) -> Play {
        Play { heading: velocity.signum(), until: 0 }
    }
}

/// What a plan of a jog follows on.
#[derive(Clone, Copy)]
pub(super) struct Beginning<'p> {
    pub state: State,
    pub play: Play,
    /// What the present plan has left.
    pub present: Option<&'p Trajectory>,
}

impl Beginning<'_> {
    /// Before a move begins its motor takes up what play there is.
    pub fn rest(place: f64, jog: Jogging) -> Self {
        Beginning { state: State::at_rest(place), play: Play::behind(jog.velocity), present: None }
    }
}

/// On at the velocity for `left` nanoseconds, or to the end of the travel, then to rest. It turns round only
/// where its velocity has another sign than before; where that has to take up play, it rests there for as
/// long. An axis rests at a whole step, if there is one near enough.
pub(super) fn plan_jog(
    planner: &mut Planner,
    model: &MotorModel,
    from: Beginning<'_>,
    jog: Jogging,
    left: u64,
    share: f64,
) -> Result<Trajectory, MoveError> {
    let (state, play) = (from.state, from.play);
    let full = model.native_limits(1.0);
    let velocity = (jog.velocity * share).clamp(-full.speed, full.speed);
    let jog = Jogging { velocity, ..jog };
    let error = plan_error(&model.name);
    let (min, max) = (model.to_native(model.travel.min), model.to_native(model.travel.max));
    let outside = |plan: &Trajectory| jog.bounded && !(min..=max).contains(&plan.end());
    let at_rest = |planner: &mut Planner, state: State| {
        let ahead = match model.steps {
            Some(_) => planner.plan_rest_ahead(state, full),
            None => planner.plan_rest(state, full),
        };
        match ahead {
            // The whole step lies beyond the end; where it can stop does so by rounding alone.
            Ok(plan) if outside(&plan) => planner.plan_rest(state, full),
            ahead => ahead,
        }
        .map_err(&error)
    };
    let turns = velocity != 0.0 && model.backlash > 0 && velocity.signum() != play.heading;
    let wait = if turns { model.turn_nanos() } else { 0 } + play.until;
    let plan = if velocity == 0.0 || left == 0 {
        at_rest(planner, state)?
    } else if wait == 0 {
        travel(planner, model, from, jog, left)?
    } else {
        let rest = at_rest(planner, state)?;
        let begins = rest.duration().saturating_add(wait);
        if left <= begins {
            // Its time is over before it could go on.
            rest
        } else {
            let place = rest.end();
            let from = Beginning {
                state: State::at_rest(place),
                play: Play::behind(velocity),
                present: None,
            };
            let on = travel(planner, model, from, jog, left - begins)?;
            let parts = [rest, Trajectory::dwell(place, wait), on];
            Trajectory::chain(&parts).ok_or_else(|| unsafe_jog(model))?
        }
    };
    if jog.bounded {
        plan::check_place(model, &plan)?;
    }
    plan::check_motion(model, &plan, 1.0)?;
    Ok(plan)
}

pub(super) fn unsafe_jog(model: &MotorModel) -> MoveError {
    MoveError::Unsafe { motor: model.name.clone(), limit: "jog" }
}

/// The same, where nothing has to be taken up before.
fn travel(
    planner: &mut Planner,
    model: &MotorModel,
    from: Beginning<'_>,
    jog: Jogging,
    left: u64,
) -> Result<Trajectory, MoveError> {
    let error = plan_error(&model.name);
    let (velocity, full) = (jog.velocity, model.native_limits(1.0));
    let free = planner.cruise(from.state, velocity, left, full, model.steps.is_some());
    let free = free.map_err(&error)?;
    let up = velocity > 0.0;
    let end = model.to_native(if up { model.travel.max } else { model.travel.min });
    let inside = if up { free.end() <= end } else { free.end() >= end };
    if !jog.bounded || inside {
        return Ok(free);
    }
    let limits = Limits { speed: velocity.abs(), ..full };
    let whole = planner.onward(from.state, end, limits).map_err(&error)?;
    // One that brakes for the end of the travel already does so best by the plan that it has.
    let brakes = |plan: &&Trajectory| plan.end() == end && plan.back() + BACK < whole.back();
    Ok(from.present.filter(brakes).cloned().unwrap_or(whole))
}

/// How much farther a plan may go back, in steps or degrees, before another is better.
const BACK: f64 = 0.02;

/// A plan for velocities from rest, each kept for `lasts` nanoseconds: (motor, velocity in its unit a
/// second, native start, whether its place is known). `pauses`: their time stands still while they are held.
pub(crate) fn plan_jogs(
    planner: &mut Planner,
    models: &[MotorModel],
    jogs: &[(MotorIndex, f64, Start, bool)],
    (lasts, pauses): (u64, bool),
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
        let jog = Jogging { velocity, lasts, until: None, bounded, pauses };
        let t = plan_jog(planner, model, Beginning::rest(start, jog), jog, lasts, share)?;
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
        // Of a program it is a move like its others.
        let class = if owner.program().is_some() { Class::Feed } else { Class::Jog };
        let share = self.speed(class).min(1.0);
        let planner = &mut self.planner;
        let time = (nanos(lasts), owner.program().is_some());
        let planned = plan_jogs(planner, &self.models, &jogs, time, share)?;
        self.launch(planned, 1.0, None, OnFault::Stop, (owner, number))
    }

    /// Jogs these motors, whatever jogs of this owner they are in. Says of each which jog it is part of now, and whether
    /// that has begun with this.
    pub fn steer(
        &mut self,
        velocities: &[(MotorIndex, f64)],
        lasts: Duration,
        owner: &Owner,
    ) -> Result<Vec<(MotorIndex, MoveId, bool)>, MoveError> {
        self.may_begin(owner)?;
        let mut under_way: BTreeMap<MoveId, Vec<(MotorIndex, f64)>> = BTreeMap::new();
        let mut new = Vec::new();
        for &(motor, velocity) in velocities {
            match self.motors[motor].busy {
                Some(id) if self.owner(id) == Some(owner) => {
                    under_way.entry(id).or_default().push((motor, velocity))
                }
                // Another's is refused when it is to begin.
                _ => new.push((motor, velocity)),
            }
        }
        for &(motor, _) in &new {
            self.is_free(motor, owner)?;
        }
        for (id, velocities) in &under_way {
            self.check_steering(*id, velocities, lasts)?;
        }
        let begun = match new.is_empty() {
            true => None,
            false => Some(self.start_jog(&new, lasts, owner)?),
        };
        for (id, velocities) in &under_way {
            self.steer_legs(*id, Some(velocities), lasts);
        }
        let of = |motor: MotorIndex| {
            let old = under_way.iter().find(|j| j.1.iter().any(|v| v.0 == motor)).map(|j| *j.0);
            old.or(begun).map(|jog| (motor, jog, old.is_none()))
        };
        Ok(velocities.iter().filter_map(|v| of(v.0)).collect())
    }

    /// Whether these legs of a jog can be given these velocities now.
    fn check_steering(
        &mut self,
        id: MoveId,
        velocities: &[(MotorIndex, f64)],
        lasts: Duration,
    ) -> Result<(), MoveError> {
        let lead = self.active.get(&id).map(|active| self.change_lead(active));
        let at = self.now + lead.unwrap_or_default();
        let share = self.speed(Class::Jog);
        for &(motor, velocity) in velocities {
            let model = &self.models[motor];
            let velocity = native_velocity(model, velocity)?;
            let busy = MoveError::Busy { motor: model.name.clone() };
            let Some(active) = self.active.get(&id) else { return Err(busy) };
            let leg = active.leg(motor).filter(|_| !active.is_stopping());
            let Some(leg) = leg.filter(|l| l.aim != Aim::Stop && !l.fixed) else {
                return Err(busy);
            };
            let Way::Jog(jog) = leg.goal().way else { return Err(busy) };
            if active.has_begun() && leg.is_over_by(at) {
                return Err(MoveError::Arrived { motor: model.name.clone() });
            }
            let share = (share * active.share * active.own_speed).min(1.0);
            let jog = Jogging { velocity, lasts: nanos(lasts), ..jog };
            // What can be told now is told now.
            let state =
                if active.has_begun() { leg.state_at(at) } else { leg.part.trajectory.start() };
            let (play, left) = (leg.play_at(at), leg.left(at));
            let present = active.has_begun().then_some(&left);
            let from = Beginning { state, play, present };
            plan_jog(&mut self.planner, model, from, jog, jog.lasts, share)?;
        }
        Ok(())
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
            !a.is_stopping() && a.legs.iter().all(|l| jog(&l.goal().way))
        };
        let lead = self.active.get(&id).map(|active| self.change_lead(active));
        let at = self.now + lead.unwrap_or_default();
        let active = self.active.get(&id).filter(jogs).ok_or(MoveError::NotUnderWay { id })?;
        if active.all_but_over(at) {
            return Err(MoveError::NotUnderWay { id });
        }
        for &(motor, velocity) in velocities.unwrap_or_default() {
            let model = &self.models[motor];
            native_velocity(model, velocity)?;
            let motor = model.name.clone();
            if active.leg(self.find(&motor)?).is_none_or(|l| active.has_begun() && l.is_over_by(at))
            {
                return Err(MoveError::NotInMove { motor, id });
            }
        }
        if let Some(velocities) = velocities {
            self.check_steering(id, velocities, lasts)?;
        }
        self.steer_legs(id, velocities, lasts);
        Ok(())
    }

    /// Gives legs of a jog new velocities and a new time; `None`: all of them the new time.
    fn steer_legs(
        &mut self,
        id: MoveId,
        velocities: Option<&[(MotorIndex, f64)]>,
        lasts: Duration,
    ) {
        let until = self.now + lasts;
        let natives: Option<Vec<_>> = velocities.map(|v| {
            let native = |&(motor, v)| Some((motor, native_velocity(&self.models[motor], v).ok()?));
            v.iter().filter_map(native).collect()
        });
        self.alter(id, |active| {
            let (started, told) = (active.has_begun(), active.is_told());
            for leg in &mut active.legs {
                let motor = leg.motor();
                let velocity =
                    natives.as_ref().map(|n| n.iter().find(|n| n.0 == motor).map(|n| n.1));
                let mut goal = leg.goal().clone();
                let Way::Jog(jog) = &mut goal.way else { continue };
                match velocity {
                    // Left out: it keeps what it has.
                    Some(None) => continue,
                    Some(Some(velocity)) => jog.velocity = velocity,
                    None => {}
                }
                jog.lasts = nanos(lasts);
                jog.until = started.then_some(until);
                leg.stale = true;
                if told {
                    leg.next = Some(goal);
                } else {
                    // It begins that way: no plan has gone the other.
                    leg.asked = if jog.velocity == 0.0 { leg.asked } else { sign(jog.velocity) };
                    leg.part.goal = goal;
                }
            }
        });
    }
}
