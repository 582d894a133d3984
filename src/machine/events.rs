//! What the machine does when a motor speaks, a deadline passes, or a stop is asked for.

use std::time::Duration;

use super::active::{Active, Stage};
use super::outcome::{Cause, Outcome, Place};
use super::{CHANGE_ATTEMPTS, CHANGE_LEAD, MOST_ENDED, Machine, STOP_PATIENCE};
use crate::config::{Drive, OnFault, ServoStop};
use crate::motor::{Command, Event, FaultKind, MotorIndex, MoveId, Report, Verdict};
use crate::runtime::{Heed, Next};
use crate::units::Instant;

/// The steps that an axis has made, at least and at most.
pub(super) fn between(steps: i64, below: u64, above: u64) -> (i64, i64) {
    (steps.saturating_sub_unsigned(below), steps.saturating_add_unsigned(above))
}

impl Machine {
    pub(super) fn on_event(&mut self, event: Event) {
        let motor = event.motor;
        match event.report {
            Report::Armed(id) => {
                if let Some(active) = self.active.get_mut(&id) {
                    active.absent.remove(&motor);
                }
            }
            Report::Started(id) => self.on_started(id, motor),
            Report::NotStarted(id) => self.on_not_started(id, motor),
            Report::Ended { id, at } => self.on_ended(id, motor, at),
            Report::Late { id, by } => {
                log::warn!(
                    "{}: an edge came {} us late, more than max-lateness allows",
                    self.models[motor].name,
                    by / 1000
                );
                self.come_to_rest(id, Cause::Late);
            }
            Report::Uncounted { below, above } => {
                let state = &mut self.motors[motor];
                state.doubt();
                state.uncounted = Some((below, above));
                state.miscounted = true;
                log::warn!(
                    "{}: its pulses could not be counted: up to {below} steps fewer, or {above} more",
                    self.models[motor].name
                );
            }
            Report::Acknowledged { change } => self.on_acknowledged(motor, change),
            Report::Halted { id } => {
                if let Some(id) = id.filter(|&id| self.motors[motor].busy == Some(id)) {
                    let moving = self.active.get(&id).is_some_and(|a| a.zero.is_some());
                    if moving && self.models[motor].steps.is_some() {
                        self.motors[motor].doubt();
                    }
                    self.end_part(id, motor, |a| a.cause.clone().unwrap_or(Cause::Stopped));
                }
            }
            Report::Fault(kind) => self.on_fault(motor, kind),
            Report::Safe => {
                self.safe[motor] = true;
            }
        }
    }

    fn on_started(&mut self, id: MoveId, motor: MotorIndex) {
        let Some(active) = self.active.get_mut(&id) else { return };
        let Some(zero) = active.epoch.get() else { return };
        active.absent.remove(&motor);
        if active.zero.is_none() {
            active.zero = Some(zero);
            active.stage = Stage::Running;
            active.deadline = zero + active.allowance;
            let names: Vec<_> =
                active.parts.iter().map(|p| self.models[p.motor].name.as_str()).collect();
            let marker = format!("{id}:{}:{}", active.kind, names.join(","));
            self.recorder.text(self.move_signal, zero, &marker);
        }
        let start = active.part(motor).map(|p| p.start);
        if let Some(start) = start {
            let position = self.models[motor].to_unit(start);
            self.recorder.real(self.motors[motor].position_signal, zero, position);
        }
        // A stop that came while the barrier was letting go.
        let cause = self.active.get(&id).and_then(|a| a.cause.clone());
        if let Some(cause) = cause {
            self.come_to_rest(id, cause);
        }
    }

    fn on_not_started(&mut self, id: MoveId, motor: MotorIndex) {
        let Some(active) = self.active.get_mut(&id) else { return };
        if active.missed.is_none() && active.cause.is_none() {
            // Nobody else broke the barrier: it is this motor's doing, or of those who never came.
            let alone = active.absent.contains(&motor);
            active.missed = Some(if alone { [motor].into() } else { active.absent.clone() });
        }
        let missed = active.missed.iter().flatten();
        let names = missed.map(|&m| self.models[m].name.clone()).collect();
        self.end_part(id, motor, |_| Cause::NotStarted(names));
    }

    fn on_ended(&mut self, id: MoveId, motor: MotorIndex, at: Instant) {
        if let Some(state) = self.motors.get_mut(motor)
            && self.models[motor].steps.is_none()
        {
            state.place = Place::Commanded;
            state.angle = Some(state.telemetry.position());
        }
        let end = self.now().max(at);
        let position = self.position(&self.models[motor].name).unwrap_or(0.0);
        self.recorder.real(self.motors[motor].position_signal, end, position);
        self.end_part(id, motor, |a| a.cause.clone().unwrap_or(Cause::Stopped));
    }

    fn on_acknowledged(&mut self, motor: MotorIndex, change: u64) {
        let holds = |a: &Active| a.proposal.as_ref().is_some_and(|p| p.number == change);
        let Some(active) = self.active.values_mut().find(|a| holds(a)) else { return };
        if let Some(proposal) = &mut active.proposal {
            proposal.missing.remove(&motor);
            active.commit();
        }
    }

    fn on_fault(&mut self, motor: MotorIndex, kind: FaultKind) {
        log::error!("{}: {kind}", self.models[motor].name);
        let state = &mut self.motors[motor];
        state.fault = Some(kind.clone());
        if self.models[motor].steps.is_some() {
            state.doubt();
        }
        let Some(id) = state.busy else { return };
        self.excuse(id, motor);
        self.end_part(id, motor, |_| Cause::Fault(kind));
    }

    /// A motor of a move does not go on: what that means for the others.
    fn excuse(&mut self, id: MoveId, motor: MotorIndex) {
        let now = self.now();
        let Some(active) = self.active.get_mut(&id) else { return };
        if active.stage == Stage::Arming {
            // Its place at the barrier stays empty, or is given up: nobody starts.
            active.missed.get_or_insert_default().insert(motor);
            if active.on_fault == OnFault::Continue {
                // Should the barrier have let go already, the others go on.
                active.patience = active.patience.min(now + STOP_PATIENCE);
                active.barrier.abort();
            } else {
                self.come_to_rest(id, Cause::Stopped);
            }
        } else if active.on_fault == OnFault::Stop {
            self.come_to_rest(id, Cause::Stopped);
        }
    }

    /// Ends a motor's part of a move. It has reached its target or falls short for `cause`.
    fn end_part(&mut self, id: MoveId, motor: MotorIndex, cause: impl FnOnce(&Active) -> Cause) {
        let Some(active) = self.active.get(&id) else { return };
        let Some(part) = active.part(motor) else { return };
        let (model, state) = (&self.models[motor], &self.motors[motor]);
        let goal = part.start + part.distance;
        let steps = model.steps.map(|_| state.telemetry.steps());
        let stands = match (steps, active.zero, state.angle) {
            (Some(steps), _, _) => steps as f64,
            (None, Some(_), _) => state.telemetry.position(),
            (None, None, Some(angle)) => angle,
            // It never had a signal: it is where it was, and nobody knows where.
            (None, None, None) => f64::NAN,
        };
        let faulty = state.fault.is_some();
        let there = (stands - goal).abs() < model.tolerance() && !faulty;
        let bounds = steps.zip(state.uncounted.filter(|_| state.miscounted));
        let outcome = if let Some((steps, (below, above))) = bounds.filter(|_| there) {
            let (low, high) = between(steps, below, above);
            let off = |end: i64| (part.target - model.to_unit(end as f64)).abs();
            Outcome::Short { by: off(low).max(off(high)), cause: Cause::Uncounted { low, high } }
        } else if there {
            Outcome::Reached
        } else {
            // From where it was asked to go, not from the nearest step; a millionth of a micrometre
            // is no distance, only the rounding of the difference.
            let by = ((part.target - model.to_unit(stands)).abs() * 1e9).round() / 1e9;
            Outcome::Short { by: if by.is_nan() { 0.0 } else { by }, cause: cause(active) }
        };
        // A servo that is there is there exactly: what the trajectory's rounding left is no angle.
        let exact = there && steps.is_none();
        let position = if exact { part.target } else { model.to_unit(stands) };
        let outcome = self.outcome(motor, id, outcome, position, steps);
        if steps.is_none() && !position.is_nan() {
            // The next move begins where this one left it.
            self.motors[motor].angle = Some(position);
        }
        self.motors[motor].busy = None;
        self.motors[motor].last = Some(outcome.clone());
        if let Some(active) = self.active.get_mut(&id) {
            active.parts.retain(|p| p.motor != motor);
            active.ended.push(outcome);
            if let Some(proposal) = &mut active.proposal {
                // It is at rest: nobody waits for its answer.
                proposal.missing.remove(&motor);
                active.commit();
            }
        }
        self.retire(id);
    }

    /// A motor whose loop does not do what it was told. Should it come to itself, it shall stand still.
    pub(super) fn give_up(&mut self, id: MoveId, motor: MotorIndex) {
        let name = &self.models[motor].name;
        log::error!("{name}: {}", FaultKind::Silent);
        if let Err(e) = self.fleet.send(motor, Command::Halt) {
            log::error!("{e}");
        }
        let state = &mut self.motors[motor];
        state.fault.get_or_insert(FaultKind::Silent);
        state.doubt();
        self.excuse(id, motor);
        self.end_part(id, motor, |_| Cause::NoAnswer);
    }

    /// Puts a move away once all its motors have ended.
    pub(super) fn retire(&mut self, id: MoveId) {
        if self.active.get(&id).is_some_and(|a| a.parts.is_empty())
            && let Some(active) = self.active.remove(&id)
        {
            if active.zero.is_some() {
                let end = format!("{id}:ended");
                self.recorder.text(self.move_signal, self.fleet.clock().now(), &end);
            }
            self.ended.insert(id, active);
            // Outcomes that nobody asks for are not kept for ever.
            while self.ended.len() > MOST_ENDED {
                self.ended.pop_first();
            }
        }
    }

    /// Brings a move to rest: breaks its barrier, or changes its plan in two phases.
    pub(super) fn come_to_rest(&mut self, id: MoveId, cause: Cause) {
        let now = self.now();
        let Some(active) = self.active.get_mut(&id) else { return };
        active.cause.get_or_insert(cause);
        match active.stage {
            Stage::Arming => {
                active.patience = active.patience.min(now + STOP_PATIENCE);
                active.barrier.abort();
            }
            Stage::Running => {
                active.stage = Stage::Stopping;
                self.propose(id);
            }
            Stage::Stopping => {}
        }
    }

    fn propose(&mut self, id: MoveId) {
        let now = self.now();
        self.leave_silent(id);
        let Some(active) = self.active.get_mut(&id) else { return };
        if active.attempts >= CHANGE_ATTEMPTS {
            log::error!("move {id}: its motors did not agree to a stop in time, halting them");
            self.halt_move(id);
            return;
        }
        let at = now + CHANGE_LEAD * (1 << active.attempts);
        active.attempts += 1;
        self.next_change += 1;
        let Some(proposal) = active.propose_rest(&mut self.planner, self.next_change, at) else {
            // Nothing left to brake: it ends by itself.
            active.patience = active.end().unwrap_or(now).max(now) + STOP_PATIENCE;
            return;
        };
        active.patience = at.plus_nanos(proposal.duration()) + STOP_PATIENCE;
        let changes: Vec<_> = proposal.changes(id).collect();
        active.proposal = Some(proposal);
        for (motor, change) in changes {
            if let Err(e) = self.fleet.send(motor, Command::Change(change)) {
                log::error!("{e}");
            }
        }
    }

    /// Where the last try has failed because of some motors alone, the others come to rest without
    /// them.
    fn leave_silent(&mut self, id: MoveId) {
        let Some(active) = self.active.get_mut(&id) else { return };
        let silent = std::mem::take(&mut active.silent);
        let others = active.parts.iter().any(|p| !silent.contains(&p.motor));
        if active.attempts == CHANGE_ATTEMPTS && others && !silent.is_empty() {
            active.attempts = CHANGE_ATTEMPTS - 2;
            silent.into_iter().for_each(|motor| self.give_up(id, motor));
        }
    }

    /// The motors of a move stand still after their last whole pulse.
    fn halt_move(&mut self, id: MoveId) {
        let now = self.now();
        let Some(active) = self.active.get_mut(&id) else { return };
        active.stage = Stage::Stopping;
        active.patience = now + STOP_PATIENCE;
        active.attempts = active.attempts.max(CHANGE_ATTEMPTS);
        active.proposal = None;
        let motors: Vec<_> = active.parts.iter().map(|p| p.motor).collect();
        for motor in motors {
            if let Err(e) = self.fleet.send(motor, Command::Halt) {
                log::error!("{e}");
            }
        }
    }

    /// The first instant at which the machine itself has to look at a move.
    pub(super) fn next_deadline(&self) -> Instant {
        let of = |a: &Active| match a.stage {
            Stage::Arming => a.patience,
            Stage::Running => a.deadline,
            Stage::Stopping => {
                a.patience.min(a.proposal.as_ref().map_or(Instant::FAR, |p| p.at.plus_nanos(1)))
            }
        };
        self.active.values().map(of).min().unwrap_or(Instant::FAR)
    }

    /// Takes what the motors have said already. This thread may have been late itself: a motor that
    /// has answered is not silent because its answer was not read in time.
    fn hear_out(&mut self) {
        while let Next::Event(event) = self.fleet.next(self.now(), Heed::Nothing) {
            self.on_event(event);
        }
    }

    pub(super) fn check_deadlines(&mut self) {
        if self.now() >= self.next_deadline() {
            self.hear_out();
        }
        let now = self.now();
        let due: Vec<MoveId> = self.active.keys().copied().collect();
        for id in due {
            let Some(active) = self.active.get_mut(&id) else { continue };
            match active.stage {
                Stage::Arming if now >= active.patience => {
                    if active.barrier.is_broken() {
                        // Broken, and some motor still does not say so.
                        let silent: Vec<_> = active.parts.iter().map(|p| p.motor).collect();
                        silent.into_iter().for_each(|m| self.give_up(id, m));
                    } else {
                        active.patience = now + STOP_PATIENCE;
                        active.missed.get_or_insert(active.absent.clone());
                        if !active.barrier.expire() {
                            // Not one has come, so there was nothing to break.
                            active.barrier.abort();
                        }
                    }
                }
                Stage::Running if now >= active.deadline => {
                    self.come_to_rest(id, Cause::Timeout);
                }
                Stage::Stopping => self.check_stopping(id, now),
                _ => {}
            }
        }
    }

    fn check_stopping(&mut self, id: MoveId, now: Instant) {
        let Some(active) = self.active.get_mut(&id) else { return };
        if active.proposal.as_ref().is_some_and(|p| now > p.at)
            && let Some(proposal) = active.proposal.take()
        {
            // A commit that the acknowledgements made stands; else nobody has changed.
            match proposal.gate.resolve() {
                Verdict::Committed => active.adopt(proposal),
                Verdict::Expired => {
                    active.silent = proposal.missing;
                    self.propose(id);
                }
            }
            return;
        }
        if now >= active.patience {
            if active.attempts <= CHANGE_ATTEMPTS {
                active.attempts = CHANGE_ATTEMPTS + 1;
                log::error!("move {id}: not at rest in time, halting its motors");
                self.halt_move(id);
            } else {
                let silent: Vec<_> = active.parts.iter().map(|p| p.motor).collect();
                silent.into_iter().for_each(|m| self.give_up(id, m));
            }
        }
    }

    /// A stop event is newly set: the orderly one, or the halt.
    pub(super) fn on_stop(&mut self) {
        if self.halt.is_set() && self.heed != Heed::Nothing {
            self.heed = Heed::Nothing;
            let ids: Vec<_> = self.active.keys().copied().collect();
            for id in ids {
                if let Some(active) = self.active.get_mut(&id) {
                    active.cause.get_or_insert(Cause::Stopped);
                    active.attempts = CHANGE_ATTEMPTS + 1;
                    active.barrier.abort();
                }
                self.halt_move(id);
            }
        } else if self.stop.is_set() && self.heed == Heed::Stop {
            self.heed = Heed::Halt;
            let ids: Vec<_> = self.active.keys().copied().collect();
            ids.into_iter().for_each(|id| self.come_to_rest(id, Cause::Stopped));
        }
    }

    /// Each motor's `on-stop`, once it is at rest.
    pub(super) fn apply_on_stop(&mut self) {
        let config = self.config.clone();
        for (motor, c) in config.motors.iter().enumerate() {
            let release = match &c.drive {
                Drive::Servo(servo) => servo.on_stop == ServoStop::Release,
                _ => c.axis().is_some_and(|axis| axis.releases_on_stop()),
            };
            if release && self.motors[motor].fault.is_none() {
                // Let go, a servo may be moved by hand, and a rotor falls to the nearest full step.
                match self.models[motor].steps {
                    None => self.motors[motor].angle = None,
                    Some(_) => self.motors[motor].doubt(),
                }
                if let Err(e) = self.fleet.send(motor, Command::Release) {
                    log::error!("{e}");
                }
            }
        }
    }

    /// Makes every output safe and ends the motors' loops, each wait bounded. Names the motors whose
    /// loop did not answer.
    ///
    /// Servos: the pulse under way ends, width 0 for a whole period, disabled. Axes: STEP low, the
    /// driver as its `on-stop` and `holds-load` say. Moves still running come to rest first.
    pub fn finish(&mut self) -> Vec<String> {
        if std::mem::replace(&mut self.finished, true) {
            return Vec::new();
        }
        // This machine's moves alone: others may share the stop event.
        let ids: Vec<_> = self.active.keys().copied().collect();
        ids.into_iter().for_each(|id| self.come_to_rest(id, Cause::Stopped));
        self.settle();
        for motor in 0..self.models.len() {
            if let Err(e) = self.fleet.send(motor, Command::Finish) {
                log::error!("{e}");
            }
        }
        let deadline = self.now() + self.finish_patience;
        while self.safe.iter().any(|safe| !safe) && self.now() < deadline {
            self.pump(deadline);
        }
        let mut left = self.fleet.end(Duration::from_secs(1)).left;
        self.hear_out();
        for (motor, safe) in self.safe.iter().enumerate() {
            let name = &self.models[motor].name;
            if !safe && !left.contains(name) {
                left.push(name.clone());
            }
        }
        if !left.is_empty() {
            log::error!("these motors' loops did not end: {}", left.join(", "));
        }
        left
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.finish();
    }
}
