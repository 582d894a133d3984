//! From a plan to motors that wait for each other at the barrier.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::active::{Active, Aim, Leg, Stage};
use super::blend::BlendRun;
use super::jog::{Beginning, plan_jog};
use super::plan::{self, Planned, Start, Way};
use super::shapes::nanos;
use super::spec::Move;
use super::{ARMING_PATIENCE, DEFAULT_SLACK, LEAD, Machine, MoveError, Outcome, Place};
use crate::config::OnFault;
use crate::motion::{State, Trajectory};
use crate::motor::{Command, Epoch, Motion, MotorIndex, MoveId, Then};
use crate::sync::StepBarrier;
use crate::units::Instant;

impl Machine {
    pub(super) fn start_targets(
        &mut self,
        targets: &[(MotorIndex, f64)],
        spec: &Move,
    ) -> Result<MoveId, MoveError> {
        self.open()?;
        let mut starts = Vec::with_capacity(targets.len());
        for &(motor, target) in targets {
            starts.push((motor, target, self.ready(motor)?));
        }
        if !(spec.speed > 0.0 && spec.speed <= 1.0) {
            return Err(MoveError::Speed { percent: spec.speed * 100.0 });
        }
        let share = (spec.speed * self.speed).min(1.0);
        let (planner, models) = (&mut self.planner, &self.models);
        let planned = plan::plan_move(planner, models, &starts, spec.arrive, share)?;
        self.launch(planned, spec.speed, spec.timeout, spec.on_fault)
    }

    /// Whether the motor may be moved to a place now, and from where.
    pub(super) fn ready(&self, motor: MotorIndex) -> Result<Start, MoveError> {
        let start = self.ready_anywhere(motor)?;
        let model = &self.models[motor];
        match self.motors[motor].place {
            Place::Estimated => Err(MoveError::NoPosition { motor: model.name.clone() }),
            Place::Unknown if model.steps.is_some() => {
                Err(MoveError::UnknownPlace { motor: model.name.clone() })
            }
            _ => Ok(start),
        }
    }

    /// The same, also where nobody knows its place.
    pub(super) fn ready_anywhere(&self, motor: MotorIndex) -> Result<Start, MoveError> {
        let (state, name) = (&self.motors[motor], &self.models[motor].name);
        if let Some(fault) = &state.fault {
            return Err(MoveError::Faulted { motor: name.clone(), fault: fault.to_string() });
        }
        if state.busy.is_some() {
            return Err(MoveError::Busy { motor: name.clone() });
        }
        Ok(self.stands(motor))
    }

    /// Where a motor stands, as a plan begins.
    pub(super) fn stands(&self, motor: MotorIndex) -> Start {
        let state = &self.motors[motor];
        match (self.models[motor].steps, state.angle.or(state.left_at)) {
            (Some(_), _) => Start::At(state.telemetry.steps() as f64),
            (None, Some(angle)) => Start::At(angle),
            (None, None) => Start::Anywhere,
        }
    }

    /// Hands a plan to its motors; while the machine is held it waits before that.
    ///
    /// `share`: the move's own share of the speed limits, before the override.
    pub(super) fn launch(
        &mut self,
        planned: Planned,
        share: f64,
        timeout: Option<Duration>,
        on_fault: OnFault,
    ) -> Result<MoveId, MoveError> {
        self.open()?;
        self.launch_even_stopped(planned, share, timeout, on_fault)
    }

    /// Whether moves may begin at all.
    pub(super) fn open(&self) -> Result<(), MoveError> {
        match (self.finished, self.is_stopped()) {
            (true, _) => Err(MoveError::Finished),
            (_, true) => Err(MoveError::Stopped),
            _ => Ok(()),
        }
    }

    /// The same, also while a stop holds: parking belongs to the stop.
    pub(super) fn launch_even_stopped(
        &mut self,
        planned: Planned,
        share: f64,
        timeout: Option<Duration>,
        on_fault: OnFault,
    ) -> Result<MoveId, MoveError> {
        let needs = Duration::from_nanos(planned.duration);
        // At half the speed a move may take twice as long.
        let allowed = timeout.map(|t| t.div_f64(self.speed.min(1.0)));
        if let (Some(timeout), Some(_)) = (timeout, allowed.filter(|t| *t < needs)) {
            return Err(MoveError::LongerThanTimeout { needs, timeout });
        }
        self.check_power(&planned)?;
        let power_patience = Machine::power_patience(&planned, timeout);
        let id = self.next_move;
        self.next_move += 1;
        let slack = allowed.map_or(DEFAULT_SLACK, |t| t - needs);
        let mut active = Active {
            kind: planned.kind,
            stage: Stage::Waiting,
            legs: planned.parts.into_iter().map(Leg::new).collect(),
            line: planned.line,
            run: planned.run,
            share,
            own_speed: 1.0,
            absent: BTreeSet::new(),
            barrier: StepBarrier::new(1),
            epoch: Arc::default(),
            started: false,
            on_fault,
            cause: None,
            missed: None,
            power_patience,
            slack: nanos(slack),
            deadline: Instant::FAR,
            patience: Instant::FAR,
            proposal: None,
            settled: None,
            attempts: 0,
            silent: BTreeSet::new(),
            halted: None,
            held_told: false,
            ended: Vec::new(),
            told: 0,
        };
        for (motor, target) in planned.there {
            let steps = self.models[motor].steps.map(|_| self.motors[motor].telemetry.steps());
            let position = self.position(&self.models[motor].name).unwrap_or(target);
            let outcome = self.outcome(motor, id, Outcome::Reached, position, steps);
            self.motors[motor].last = Some(outcome.clone());
            self.part_happened(&outcome);
            active.ended.push(outcome);
        }
        for leg in &active.legs {
            self.motors[leg.motor()].busy = Some(id);
        }
        if self.is_held() {
            active.aim(Aim::Hold);
        }
        self.active.insert(id, active);
        if !self.is_held() {
            self.begin(id);
        }
        self.retire(id);
        Ok(id)
    }

    /// Tells a move's motors to get ready and to meet at the barrier.
    pub(super) fn arm(&mut self, id: MoveId) {
        self.plan_anew(id);
        let now = self.now();
        let Some(active) = self.active.get_mut(&id) else { return };
        let clock = self.fleet.clock().clone();
        active.epoch = Arc::new(Epoch::default());
        let at_release = active.epoch.clone();
        active.barrier = StepBarrier::new(active.legs.len().max(1))
            .with_action(move || at_release.set(clock.now() + LEAD));
        active.absent = active.motors().into_iter().collect();
        active.patience = now + ARMING_PATIENCE + self.wake_slack;
        active.stage = Stage::Arming;
        let (motors, then) = (&self.motors, active.run.as_ref().map_or(Then::End, BlendRun::then));
        let motion = |leg: &Leg| {
            let (trajectory, barrier) = (leg.part.trajectory.clone(), active.barrier.clone());
            let placed = motors[leg.motor()].place != Place::Unknown
                || self.models[leg.motor()].steps.is_none();
            let epoch = active.epoch.clone();
            let after = leg.after;
            (leg.motor(), Motion { id, trajectory, barrier, epoch, placed, after, then })
        };
        let motions: Vec<_> = active.legs.iter().map(motion).collect();
        for (motor, motion) in motions {
            self.motors[motor].miscounted = false;
            self.motors[motor].powered = true;
            if let Err(e) = self.fleet.send(motor, Command::Arm(motion)) {
                log::error!("{e}");
                self.give_up(id, motor);
            }
        }
    }

    /// A move that has waited may have got another speed, or other targets.
    fn plan_anew(&mut self, id: MoveId) {
        let Some(active) = self.active.get_mut(&id) else { return };
        let speed = self.speed * active.own_speed;
        let share = (active.share * speed).min(1.0);
        if !active.legs.iter().any(|l| l.stale) {
            return;
        }
        if let Some(run) = &mut active.run {
            active.legs.iter_mut().for_each(|l| l.stale = false);
            return run.plan_anew(&self.models, speed, &mut active.legs);
        }
        let limits = active.line.as_ref().map(|l| l.limits.at_share(share));
        let s = limits.map(|l| self.planner.to_position(State::at_rest(0.0), 1.0, l));
        if let (Some(Ok(s)), Some(line)) = (s, &mut active.line) {
            line.s = Arc::new(s);
        }
        for leg in active.legs.iter_mut().filter(|l| l.stale) {
            leg.stale = false;
            let model = &self.models[leg.motor()];
            let state = &self.motors[leg.motor()];
            if model.steps.is_none() && state.angle.or(state.left_at).is_none() {
                // A servo without a signal goes to its first target at once.
                let place = leg.part.goal.end;
                leg.part.start = place;
                leg.part.trajectory = Arc::new(Trajectory::dwell(place, model.settle_nanos()));
                continue;
            }
            let from = State::at_rest(leg.part.trajectory.start().position);
            let planned = match (&leg.part.goal.way, &active.line) {
                (Way::Line, Some(line)) => Ok(leg.part.to_goal(&line.s)),
                (Way::Jog(jog), _) => {
                    let planner = &mut self.planner;
                    let from = Beginning::rest(from.position, *jog);
                    plan_jog(planner, model, from, *jog, jog.lasts, share)
                }
                _ => {
                    let limits = model.native_limits(share);
                    let planned = self.planner.to_position(from, leg.part.goal.end, limits);
                    planned.map_err(plan::plan_error(&model.name))
                }
            };
            match planned {
                Ok(planned) => {
                    leg.part.goal.end = planned.end();
                    leg.part.trajectory = Arc::new(planned);
                }
                // The plan that it has is as good, if not as fast or as slow.
                Err(e) => log::warn!("{e}"),
            }
        }
    }
}
