//! From a plan to motors that wait for each other at the barrier.

use std::sync::Arc;
use std::time::Duration;

use super::active::{Active, Aim, Leg};
use super::blend::BlendRun;
use super::jog::{Beginning, plan_jog};
use super::plan::{self, FramesPlan, Planned, Start, Way};
use super::shapes::nanos;
use super::spec::Move;
use super::stage::{Arming, Stage};
use super::{
    ARMING_PATIENCE, Action, Class, DEFAULT_SLACK, MoveBook, MoveError, Outcome, Owner, Place,
};
use crate::config::{Arrive, OnFault};
use crate::motion::{State, Trajectory};
use crate::motor::{Command, Epoch, Motion, MotorIndex, MoveId, Then};
use crate::sync::StepBarrier;
use crate::trace::MoveKind;

impl MoveBook {
    /// Plans a move and starts it.
    pub fn start_targets(
        &mut self,
        targets: &[(MotorIndex, f64)],
        spec: &Move,
        owner: &Owner,
    ) -> Result<MoveId, MoveError> {
        self.start_numbered(targets, spec, owner, None)
    }

    /// The same, with the number that it may have already.
    pub(super) fn start_numbered(
        &mut self,
        targets: &[(MotorIndex, f64)],
        spec: &Move,
        owner: &Owner,
        number: Option<MoveId>,
    ) -> Result<MoveId, MoveError> {
        self.may_begin(owner)?;
        let mut starts = Vec::with_capacity(targets.len());
        for &(motor, target) in targets {
            starts.push((motor, target, self.ready(motor, owner)?));
        }
        spec.check()?;
        let share = (spec.speed * self.speed(Class::Feed)).min(1.0);
        let (planner, models) = (&mut self.planner, &self.models);
        let planned = plan::plan_move(planner, models, &starts, spec.arrive, share)?;
        self.launch(planned, spec.speed, spec.timeout, spec.on_fault, (owner, number))
    }

    /// Plans so many keyframes more. True: that was all of them.
    pub fn plan_frames(&mut self, plan: &mut FramesPlan, most: usize) -> Result<bool, MoveError> {
        plan.go_on(&mut self.planner, &self.models, most)
    }

    /// Through keyframes, each at its time.
    pub fn start_frames(&mut self, plan: FramesPlan, owner: &Owner) -> Result<MoveId, MoveError> {
        for (motor, start) in plan.starts() {
            // While it was planned, others may have had their turn.
            if self.ready(motor, owner)? != start {
                return Err(MoveError::Busy { motor: self.models[motor].name.clone() });
            }
        }
        let planned = plan.finish(&self.models)?;
        self.launch(planned, 1.0, None, OnFault::Stop, (owner, None))
    }

    /// A servo goes to its parking place, which belongs to a stop.
    pub fn start_parking(&mut self, target: (MotorIndex, f64)) -> Result<MoveId, MoveError> {
        let targets = [(target.0, target.1, self.ready(target.0, &Owner::Park)?)];
        let (models, planner) = (&self.models, &mut self.planner);
        let planned = plan::plan_move(planner, models, &targets, Arrive::Asap, 1.0)?;
        self.launch_even_stopped(planned, 1.0, None, OnFault::Continue, (&Owner::Park, None))
    }

    /// Whether the motor may be moved to a place now, and from where.
    pub fn ready(&self, motor: MotorIndex, owner: &Owner) -> Result<Start, MoveError> {
        let model = &self.models[motor];
        if model.continuous {
            return Err(MoveError::Continuous { motor: model.name.clone() });
        }
        let start = self.ready_anywhere(motor, owner)?;
        match self.motors[motor].place {
            Place::Estimated => Err(MoveError::NoPosition { motor: model.name.clone() }),
            Place::Unknown if model.steps.is_some() => {
                Err(MoveError::UnknownPlace { motor: model.name.clone() })
            }
            _ => Ok(start),
        }
    }

    /// The same, also where nobody knows its place.
    pub fn ready_anywhere(&self, motor: MotorIndex, owner: &Owner) -> Result<Start, MoveError> {
        let (state, name) = (&self.motors[motor], &self.models[motor].name);
        if let Some(fault) = &state.fault {
            return Err(MoveError::Faulted { motor: name.clone(), fault: fault.to_string() });
        }
        if state.busy.is_some() {
            return Err(MoveError::Busy { motor: name.clone() });
        }
        match self.keeper(motor).filter(|p| owner.program() != Some(p)) {
            // A stop ends programs, too, before anything parks.
            Some(program) if *owner != Owner::Park && !self.is_claim_held(program) => {
                Err(MoveError::Kept { motor: name.clone(), program: program.to_string() })
            }
            _ => Ok(self.stands(motor)),
        }
    }

    /// Where a motor stands, as a plan begins.
    pub fn stands(&self, motor: MotorIndex) -> Start {
        let state = &self.motors[motor];
        match (self.models[motor].steps, state.angle.or(state.left_at)) {
            // It has no place: the time lines of its moves begin anew.
            _ if self.models[motor].continuous => Start::At(0.0),
            (Some(_), _) => Start::At(state.telemetry.steps() as f64),
            (None, Some(angle)) => Start::At(angle),
            (None, None) => Start::Anywhere,
        }
    }

    /// Hands a plan to its motors; while the machine is held it waits before that.
    ///
    /// `share`: the move's own share of the speed limits, before the override.
    pub fn launch(
        &mut self,
        planned: Planned,
        share: f64,
        timeout: Option<Duration>,
        on_fault: OnFault,
        who: (&Owner, Option<MoveId>),
    ) -> Result<MoveId, MoveError> {
        self.may_begin(who.0)?;
        self.launch_even_stopped(planned, share, timeout, on_fault, who)
    }

    /// Whether a move of this owner may begin.
    pub fn may_begin(&self, owner: &Owner) -> Result<(), MoveError> {
        self.is_open_for_moves()?;
        let claim = owner.program().and_then(|p| self.claims.get(p));
        if claim.is_some_and(|c| c.ending) { Err(MoveError::Stopped) } else { Ok(()) }
    }

    /// Whether moves may begin at all.
    pub fn is_open_for_moves(&self) -> Result<(), MoveError> {
        match (self.finished, self.is_stopped()) {
            (true, _) => Err(MoveError::Finished),
            (_, true) => Err(MoveError::Stopped),
            _ => Ok(()),
        }
    }

    /// The same, also while a stop holds: parking belongs to the stop.
    pub fn launch_even_stopped(
        &mut self,
        planned: Planned,
        share: f64,
        timeout: Option<Duration>,
        on_fault: OnFault,
        (owner, number): (&Owner, Option<MoveId>),
    ) -> Result<MoveId, MoveError> {
        let by_hand = planned.kind == MoveKind::Jog && owner.program().is_none();
        let class = if by_hand { Class::Jog } else { Class::Feed };
        let needs = Duration::from_nanos(planned.duration);
        // At half the speed a move may take twice as long.
        let allowed = timeout.map(|t| t.div_f64(self.speed(class).min(1.0)));
        if let (Some(timeout), Some(_)) = (timeout, allowed.filter(|t| *t < needs)) {
            return Err(MoveError::LongerThanTimeout { needs, timeout });
        }
        self.check_power(&planned)?;
        let power_patience = MoveBook::power_patience(&planned, timeout);
        let id = number.unwrap_or_else(|| self.new_number());
        let slack = allowed.map_or(DEFAULT_SLACK, |t| t - needs);
        let mut active = Active {
            owner: owner.clone(),
            kind: planned.kind,
            class,
            began: self.now,
            all: Vec::new(),
            stage: Stage::Waiting(None),
            legs: planned.parts.into_iter().map(Leg::new).collect(),
            line: planned.line,
            run: planned.run,
            share,
            own_speed: 1.0,
            on_fault,
            cause: None,
            power_patience,
            slack: nanos(slack),
            ended: Vec::new(),
            told: 0,
        };
        active.all = active.motors();
        self.actions.push_back(Action::Began(id));
        for (motor, target) in planned.there {
            active.all.push(motor);
            let steps = self.models[motor].steps.map(|_| self.motors[motor].telemetry.steps());
            let target = if self.models[motor].continuous { f64::NAN } else { target };
            let position = self.position(motor).unwrap_or(target);
            let outcome = self.outcome(motor, id, Outcome::Reached, position, steps);
            self.motors[motor].last = Some(outcome.clone());
            self.actions.push_back(Action::Part(outcome.clone()));
            active.ended.push(outcome);
        }
        let motors = active.motors();
        self.note_left(owner, &motors);
        for motor in motors {
            self.motors[motor].busy = Some(id);
        }
        self.active.insert(id, active);
        if !self.keeps_back(id) {
            self.begin(id);
        } else if let Some(active) = self.active.get_mut(&id) {
            active.aim(Aim::Hold);
        }
        self.retire(id);
        Ok(id)
    }

    /// Tells a move's motors to get ready and to meet at the barrier.
    pub(super) fn arm(&mut self, id: MoveId) {
        self.plan_anew(id);
        let now = self.now;
        let Some(active) = self.active.get_mut(&id) else { return };
        let lead = active.legs.iter().map(|l| self.motors[l.motor()].leads.start).max();
        let (lead, release) = (lead.unwrap_or_default(), self.release.clone());
        let epoch = Arc::new(Epoch::default());
        let at_release = epoch.clone();
        let barrier = StepBarrier::new(active.legs.len().max(1))
            .with_action(move || at_release.set(release() + lead));
        active.stage = Stage::Arming(Arming {
            barrier: barrier.clone(),
            epoch: epoch.clone(),
            absent: active.motors().into_iter().collect(),
            missed: None,
            patience: now + ARMING_PATIENCE + self.wake_slack,
        });
        let (motors, then) = (&self.motors, active.run.as_ref().map_or(Then::End, BlendRun::then));
        let motion = |leg: &Leg| {
            let (trajectory, barrier) = (leg.part.trajectory.clone(), barrier.clone());
            let placed = motors[leg.motor()].place != Place::Unknown
                || self.models[leg.motor()].steps.is_none();
            let epoch = epoch.clone();
            let after = leg.after;
            (leg.motor(), Motion { id, trajectory, barrier, epoch, placed, after, then })
        };
        let motions: Vec<_> = active.legs.iter().map(motion).collect();
        for (motor, motion) in motions {
            self.motors[motor].miscounted = false;
            self.motors[motor].powered = true;
            self.tell(motor, Command::Arm(motion));
        }
    }

    /// A move that has waited may have got another speed, or other targets.
    fn plan_anew(&mut self, id: MoveId) {
        let Some(active) = self.active.get_mut(&id) else { return };
        let speed = self.overrides[active.class as usize] * active.own_speed;
        let share = (active.share * speed).min(1.0);
        if !active.legs.iter().any(|l| l.stale) {
            return;
        }
        if let Some(run) = &mut active.run {
            active.legs.iter_mut().for_each(|l| l.stale = false);
            return run.plan_anew(&self.models, speed, &mut active.legs);
        }
        let limits = active.line.as_ref().map(|l| l.limits.at_share(share));
        let s = limits.map(|l| self.planner.plan_to(State::at_rest(0.0), 1.0, l));
        if let (Some(Ok(s)), Some(line)) = (s, &mut active.line) {
            line.s = Arc::new(s);
        }
        let mut late = 0;
        for leg in active.legs.iter().filter(|l| l.stale) {
            let Way::Frames(frames) = &leg.part.goal.way else { continue };
            let (model, from) = (&self.models[leg.motor()], leg.part.trajectory.start().position);
            late = late.max(frames.late(&mut self.planner, model, from).unwrap_or(0));
        }
        for leg in active.legs.iter_mut().filter(|l| l.stale) {
            leg.stale = false;
            let model = &self.models[leg.motor()];
            let state = &self.motors[leg.motor()];
            let placed = model.steps.is_some() || model.continuous;
            if !placed && state.angle.or(state.left_at).is_none() {
                // A servo without a signal goes to its first target at once.
                let place = leg.part.goal.end;
                leg.part.start = place;
                leg.part.trajectory = Arc::new(Trajectory::dwell(place, model.settle_nanos()));
                continue;
            }
            let from = State::at_rest(leg.part.trajectory.start().position);
            let planned = match (&leg.part.goal.way, &active.line) {
                (Way::Line, Some(line)) => Ok(leg.part.to_goal(&line.s)),
                (Way::Frames(frames), _) => {
                    // As late as the slowest motor needs it that begins at rest.
                    let way = frames.onward(&mut self.planner, model, from.position, late);
                    way.map(|(trajectory, left)| {
                        leg.part.goal.way = Way::Frames(left);
                        trajectory
                    })
                }
                (Way::Jog(jog), _) => {
                    let planner = &mut self.planner;
                    let from = Beginning::rest(from.position, *jog);
                    plan_jog(planner, model, from, *jog, jog.lasts, share)
                }
                _ => {
                    let limits = model.native_limits(share);
                    let planned = self.planner.plan_to(from, leg.part.goal.end, limits);
                    planned.map_err(plan::plan_error(&model.name))
                }
            };
            match planned {
                Ok(planned) => {
                    leg.part.goal.end = planned.end();
                    leg.part.trajectory = Arc::new(planned);
                }
                // The plan that it has is as good, if not as fast or as slow.
                Err(e) => self.actions.push_back(Action::Say(log::Level::Warn, e.to_string())),
            }
        }
    }
}
