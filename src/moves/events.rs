//! What the machine does when a motor speaks, a deadline passes, or a stop is asked for.

use super::active::{Active, Aim, Leg};
use super::outcome::{Cause, Outcome, Place};
use super::plan::Way;
use super::stage::Stage;
use super::{Action, EndResult, Ended, MoveBook, STOP_PATIENCE};
use crate::config::OnFault;
use crate::motor::{Command, Event, FaultKind, Limit, MotorIndex, MoveId, Report};
use crate::trace::Mark;
use crate::units::Instant;

/// A servo this near to its target, in degrees, is there, but for the rounding of its trajectory.
const ROUNDING: f64 = 1e-6;

/// The steps that an axis has made, at least and at most.
pub(crate) fn between(steps: i64, below: u64, above: u64) -> (i64, i64) {
    (steps.saturating_sub_unsigned(below), steps.saturating_add_unsigned(above))
}

impl MoveBook {
    /// A motor has said something.
    pub fn on_event(&mut self, event: Event) {
        let motor = event.motor;
        match event.report {
            Report::Armed(id) => {
                let active = self.active.get_mut(&id);
                if let Some(arming) = active.and_then(|a| a.stage.arming_mut()) {
                    arming.absent.remove(&motor);
                }
            }
            Report::Started(id) => self.on_started(id, motor),
            Report::NotStarted(id) => self.on_not_started(id, motor),
            Report::Refused { id, change, limit } => self.on_refused(id, motor, change, limit),
            Report::Ended { id, at } => self.on_ended(id, motor, at),
            Report::Held { change, at } => self.on_held(motor, change, at),
            Report::Late { id, by } => {
                let text = format!(
                    "{}: an edge came {} us late, more than max-lateness allows",
                    self.models[motor].name,
                    by / 1000
                );
                self.say(log::Level::Warn, text);
                self.come_to_rest(id, Cause::Late);
            }
            Report::Uncounted { below, above } => {
                let state = &mut self.motors[motor];
                state.doubt();
                state.uncounted = Some((below, above));
                state.miscounted = true;
                let text = format!(
                    "{}: its pulses could not be counted: up to {below} steps fewer, or {above} more",
                    self.models[motor].name
                );
                self.say(log::Level::Warn, text);
            }
            Report::Acknowledged { change } => self.on_acknowledged(motor, change),
            Report::Halted { id } => {
                if let Some(id) = id.filter(|&id| self.motors[motor].busy == Some(id))
                    && !self.is_aside(id, motor)
                {
                    self.on_halted(id, motor);
                }
            }
            Report::Released => self.on_released(motor),
            Report::Fault(kind) => self.on_fault(motor, kind),
            Report::Recovered => self.on_recovered(motor),
            // Whoever ends the loops waits for that.
            Report::Safe => {}
        }
    }

    fn on_started(&mut self, id: MoveId, motor: MotorIndex) {
        let Some(active) = self.active.get_mut(&id) else { return };
        let Some(zero) = active.stage.zero() else { return };
        if active.stage.begin(zero) {
            for leg in &mut active.legs {
                let zero = zero.plus_nanos(leg.after);
                leg.since = Some(zero);
                let goals = [Some(&mut leg.part.goal), leg.next.as_mut()];
                for goal in goals.into_iter().flatten() {
                    if let Way::Jog(jog) = &mut goal.way {
                        jog.until = Some(zero.plus_nanos(jog.lasts));
                    }
                }
            }
            active.counts_anew();
            let names: Vec<_> =
                active.legs.iter().map(|l| self.models[l.motor()].name.as_str()).collect();
            let mark = Mark::begins(id, active.kind, names, active.owner.mark());
            self.actions.push_back(Action::Mark(zero, mark));
            if let Some(run) = &mut active.run {
                run.begin(zero);
                run.tell_vertices(id, |mark| self.actions.push_back(Action::Mark(zero, mark)));
            }
        }
        let start = active.leg(motor).map(|l| l.part.start);
        let state = &mut self.motors[motor];
        state.epoch = zero;
        state.angle = state.angle.or(state.left_at.take());
        if let Some(start) = start {
            let position = self.models[motor].told(start);
            self.actions.push_back(Action::Position(motor, zero, position));
        }
        // A stop that came while the barrier was letting go.
        let cause = self.active.get(&id).and_then(|a| a.cause.clone());
        match cause {
            Some(cause) => self.come_to_rest(id, cause),
            // What was wished for in the meantime.
            None => self.advance(id),
        }
    }

    /// A motor has let go. One that is part of a move again takes its power back by itself.
    fn on_released(&mut self, motor: MotorIndex) {
        let busy = self.motors[motor].busy.and_then(|id| self.active.get(&id));
        if busy.is_some_and(Active::is_told) || self.finished {
            return;
        }
        self.power_off(motor);
        let state = &mut self.motors[motor];
        state.powered = false;
        if self.models[motor].steps.is_none() {
            // Told to let go, it has no angle any more.
            if let Some(angle) = state.angle.take() {
                (state.left_at, state.place) = (Some(angle), Place::Unverified);
            }
        } else if self.config.motors[motor].release_after.is_some() {
            // Its rotor may have been turned by hand.
            state.doubt();
        }
    }

    fn on_held(&mut self, motor: MotorIndex, change: u64, at: Instant) {
        let Some(id) = self.motors[motor].busy else { return };
        if self.models[motor].has_angle() {
            self.motors[motor].place = Place::Commanded;
            self.motors[motor].angle = Some(self.motors[motor].telemetry.position());
        }
        let Some(active) = self.active.get_mut(&id) else { return };
        // One that has gone on since is not at rest any more.
        if let Some(leg) = active.leg_mut(motor)
            && (leg.change, leg.course) == (change, Aim::Hold)
        {
            leg.held = true;
        }
        let held = active.is_held();
        if let Some(way) = active.stage.under_way_mut().filter(|_| held)
            && !std::mem::replace(&mut way.held_told, true)
        {
            let end = self.now.max(at);
            self.actions.push_back(Action::Mark(end, Mark::Held(id)));
        }
        self.advance(id);
    }

    /// It stands still after a halt. Faster than its start-stop speed it may have slipped.
    fn on_halted(&mut self, id: MoveId, motor: MotorIndex) {
        let now = self.now;
        let Some(active) = self.active.get_mut(&id) else { return };
        let asked = match &active.stage {
            Stage::Halting(halting) => halting.asked,
            // It has heard of the halt before this book.
            _ => now,
        };
        let from = Instant::from_nanos(asked.as_nanos().saturating_sub(self.halt_heard_within));
        let mut speed = active.leg(motor).map_or(0.0, |l| l.top_speed(from, now));
        let turns = |l: &Leg| l.play_at(from).until > 0 || l.play_at(now).until > 0;
        if !active.has_begun() || active.leg(motor).is_some_and(turns) {
            // It may have been taking up its backlash.
            let take_up = self.models[motor].take_up();
            speed = take_up.map_or(speed, |t| t.extremes().velocity.max(speed));
        }
        if let Some(leg) = active.leg_mut(motor) {
            leg.course = Aim::Stop;
        }
        if self.models[motor]
            .start_stop
            .is_some_and(|safe| self.models[motor].to_unit(speed) > safe)
        {
            self.lose_place(motor);
        }
        self.end_part(id, motor, |a| a.cause.clone().unwrap_or(Cause::Stopped));
    }

    fn on_not_started(&mut self, id: MoveId, motor: MotorIndex) {
        let Some(active) = self.active.get_mut(&id) else { return };
        let known = active.cause.is_some();
        let mut names = Vec::new();
        if let Some(arming) = active.stage.arming_mut() {
            if arming.missed.is_none() && !known {
                // Nobody else broke the barrier: it is this motor's doing, or of those who never came.
                let alone = arming.absent.contains(&motor);
                arming.missed = Some(if alone { [motor].into() } else { arming.absent.clone() });
            }
            names.extend(arming.missed.iter().flatten().map(|&m| self.models[m].name.clone()));
        }
        self.end_part(id, motor, |_| Cause::NotStarted(names));
    }

    /// A motor's loop keeps its own limits, whoever made the plan: this program has a fault.
    fn on_refused(&mut self, id: MoveId, motor: MotorIndex, change: Option<u64>, limit: Limit) {
        let text = format!("{} refuses a plan of move {id}: {limit}", self.models[motor].name);
        self.say(log::Level::Error, text);
        // A change that is not acknowledged is nobody's.
        if change.is_none() && self.motors[motor].busy == Some(id) {
            self.excuse(id, motor);
            self.end_part(id, motor, |_| Cause::Limit(limit));
        }
    }

    fn on_ended(&mut self, id: MoveId, motor: MotorIndex, at: Instant) {
        if let Some(state) = self.motors.get_mut(motor)
            && self.models[motor].has_angle()
        {
            state.place = Place::Commanded;
            state.angle = Some(state.telemetry.position());
        }
        let end = self.now.max(at);
        let position = self.position(motor).unwrap_or(0.0);
        self.actions.push_back(Action::Position(motor, end, position));
        // Before its next target it was stopped, or it came to rest before all had agreed on that.
        let otherwise = |a: &Active| match a.leg(motor) {
            Some(leg) if leg.aim == Aim::Go && leg.next.is_some() => Cause::Missed,
            _ => Cause::Stopped,
        };
        self.end_part(id, motor, |a| a.cause.clone().unwrap_or_else(|| otherwise(a)));
    }

    fn on_fault(&mut self, motor: MotorIndex, kind: FaultKind) {
        self.say(log::Level::Error, format!("{}: {kind}", self.models[motor].name));
        let state = &mut self.motors[motor];
        state.fault = Some(kind.clone());
        if self.models[motor].steps.is_some() {
            state.doubt();
        }
        let (busy, epoch) = (state.busy, state.epoch);
        self.mark_fault(motor, epoch);
        self.actions.push_back(Action::Fault(motor, kind.clone()));
        let Some(id) = busy else { return };
        self.excuse(id, motor);
        self.end_part(id, motor, |_| Cause::Fault(kind));
    }

    /// In the trace it is after the beginning of what it is in.
    fn mark_fault(&mut self, motor: MotorIndex, epoch: Instant) {
        let name = self.models[motor].name.clone().into();
        self.mark(self.now.max(epoch), Mark::Fault(name));
    }

    /// A motor of a move does not go on: what that means for the others.
    fn excuse(&mut self, id: MoveId, motor: MotorIndex) {
        let now = self.now;
        let Some(active) = self.active.get_mut(&id) else { return };
        if let Stage::Arming(arming) = &mut active.stage {
            // Its place at the barrier stays empty, or is given up: nobody starts.
            arming.missed.get_or_insert_default().insert(motor);
            if active.on_fault == OnFault::Continue {
                // Should the barrier have let go already, the others go on.
                arming.patience = arming.patience.min(now + STOP_PATIENCE + self.wake_slack);
                arming.barrier.abort();
            } else {
                self.come_to_rest(id, Cause::Stopped);
            }
        } else if active.on_fault == OnFault::Stop {
            self.come_to_rest(id, Cause::Stopped);
        }
    }

    /// Ends a motor's part of a move. It has reached its target or falls short for `cause`.
    pub(super) fn end_part(
        &mut self,
        id: MoveId,
        motor: MotorIndex,
        cause: impl FnOnce(&Active) -> Cause,
    ) {
        let Some(active) = self.active.get(&id) else { return };
        let Some(wanted) = active.leg(motor).map(Leg::goal) else { return };
        let (model, state) = (&self.models[motor], &self.motors[motor]);
        let goal = wanted.end;
        let steps = model.steps.map(|_| state.telemetry.steps());
        // A servo's first pulse comes with the epoch: before that it has not moved.
        let begun = active.stage.epoch().is_some_and(|epoch| epoch <= self.now);
        let stands = match (steps, begun, state.angle) {
            (Some(steps), _, _) => steps as f64,
            (None, true, _) => state.telemetry.position(),
            (None, false, Some(angle)) => angle,
            (None, false, None) if state.left_at.is_some() => state.left_at.unwrap_or(f64::NAN),
            // It never had a signal: it is where it was, and nobody knows where.
            (None, false, None) => f64::NAN,
        };
        // Of one that has speeds alone what counts is whether its plan has come to its own end.
        let own_end = |leg: &Leg| leg.course == Aim::Go && leg.next.is_none();
        let stands = match active.leg(motor) {
            Some(leg) if model.continuous && own_end(leg) => goal,
            Some(_) if model.continuous => f64::NAN,
            _ => stands,
        };
        let faulty = state.fault.is_some();
        // What has not begun has not moved, however near its target is.
        let near = match wanted.way {
            // Where its time was over it may have come to rest between two steps.
            Way::Jog(_) => 2.0 * model.tolerance(),
            _ => model.tolerance(),
        };
        let there = active.has_begun() && (stands - goal).abs() < near && !faulty;
        let bounds = steps.zip(state.uncounted.filter(|_| state.miscounted));
        let outcome = if let Some((steps, (below, above))) = bounds.filter(|_| there) {
            let (low, high) = between(steps, below, above);
            let off = |end: i64| (wanted.target - model.to_unit(end as f64)).abs();
            Outcome::Short { by: off(low).max(off(high)), cause: Cause::Uncounted { low, high } }
        } else if there {
            Outcome::Reached
        } else {
            // From where it was asked to go, not from the nearest step; a millionth of a micrometre
            // is no distance, only the rounding of the difference.
            let by = ((wanted.target - model.to_unit(stands)).abs() * 1e9).round() / 1e9;
            Outcome::Short { by: if by.is_nan() { 0.0 } else { by }, cause: cause(active) }
        };
        // A servo that is there is there exactly: what the trajectory's rounding left is no angle.
        let exact = there && steps.is_none() && (stands - goal).abs() < ROUNDING;
        let position = match exact {
            _ if model.continuous => f64::NAN,
            true => wanted.target,
            false => model.to_unit(stands),
        };
        let outcome = self.outcome(motor, id, outcome, position, steps);
        if steps.is_none() && !position.is_nan() && self.motors[motor].left_at.is_none() {
            // The next move begins where this one left it.
            self.motors[motor].angle = Some(position);
        }
        if self.motors[motor].busy == Some(id) {
            self.motors[motor].busy = None;
        }
        self.motors[motor].last = Some(outcome.clone());
        self.actions.push_back(Action::Part(outcome.clone()));
        if steps.is_none() {
            // At rest it draws next to nothing.
            self.power_off(motor);
        }
        if let Some(active) = self.active.get_mut(&id) {
            active.legs.retain(|l| l.motor() != motor);
            active.ended.push(outcome);
            let way = active.stage.under_way_mut();
            if let Some(proposal) = way.and_then(|way| way.proposal.as_mut()) {
                // It is at rest: nobody waits for its answer.
                proposal.missing.remove(&motor);
                self.commit(id);
            }
        }
        self.retire(id);
    }

    /// A motor whose loop does not do what it was told. Should it come to itself, it shall stand still.
    pub fn give_up(&mut self, id: MoveId, motor: MotorIndex) {
        self.say(log::Level::Error, format!("{}: {}", self.models[motor].name, FaultKind::Silent));
        self.tell(motor, Command::Halt);
        let state = &mut self.motors[motor];
        let (new, epoch) = (state.fault.is_none(), state.epoch);
        state.fault.get_or_insert(FaultKind::Silent);
        state.doubt();
        if new {
            self.mark_fault(motor, epoch);
        }
        self.excuse(id, motor);
        self.end_part(id, motor, |_| Cause::NoAnswer);
    }

    /// It takes orders again.
    fn on_recovered(&mut self, motor: MotorIndex) {
        let text = format!("{}: back in service, after a fault", self.models[motor].name);
        self.say(log::Level::Info, text);
        self.motors[motor].fault = None;
    }

    /// A motor's loop does not answer: it has a fault, and what it was moving in ends without it.
    pub fn is_silent(&mut self, motor: MotorIndex) {
        let state = &mut self.motors[motor];
        match (state.busy, &state.fault) {
            (Some(id), _) => self.give_up(id, motor),
            (None, None) => self.on_fault(motor, FaultKind::Silent),
            (None, Some(_)) => {}
        }
    }

    /// Puts a move away once all its motors have ended.
    pub(super) fn retire(&mut self, id: MoveId) {
        if self.active.get(&id).is_some_and(|a| a.legs.is_empty())
            && let Some(active) = self.active.remove(&id)
        {
            self.leave_queue(id);
            if let Some(epoch) = active.stage.epoch() {
                // A halt may come before the epoch, for which the beginning stands in the trace.
                self.actions.push_back(Action::Mark(epoch.max(self.now), Mark::Ended(id)));
            }
            let (outcomes, told) = (active.ended, active.told);
            let result = EndResult::of(&outcomes);
            let (took, owner) = (Some(self.now.since(active.began)), active.owner);
            self.keep_ended(id, Ended { owner, outcomes, told, taken: false, took, result });
            self.is_back(id, result);
        }
    }

    /// The first instant at which the machine itself has to look at a move.
    pub fn next_deadline(&self) -> Instant {
        let of = |a: &Active| {
            let way = match &a.stage {
                Stage::Waiting(_) | Stage::Queued => return Instant::FAR,
                Stage::Arming(arming) => return arming.patience,
                Stage::Halting(halting) => return halting.patience,
                Stage::Running(way) | Stage::Stopping(way) => way,
            };
            let mut first = match &way.proposal {
                Some(proposal) => proposal.at().plus_nanos(1),
                None => a.change_due().unwrap_or(Instant::FAR),
            };
            if a.on_the_way() {
                first = first.min(way.deadline);
                if let Some(run) = a.run.as_ref().filter(|_| way.proposal.is_none()) {
                    first = first.min(run.due());
                }
            }
            if a.is_braking() {
                first = first.min(way.patience);
            }
            first
        };
        self.active
            .values()
            .map(of)
            .min()
            .unwrap_or(Instant::FAR)
            .min(self.power_deadline())
            .min(self.next_waiting())
            .min(self.leaving_deadline())
    }

    /// Does what is due. What the motors have said already has to be told before: who was late to read an answer
    /// must not take it for silence.
    pub fn check_deadlines(&mut self) {
        self.check_moves();
        self.serve_waiting();
    }

    fn check_moves(&mut self) {
        self.serve_power();
        self.let_leave();
        let now = self.now;
        let due: Vec<MoveId> = self.active.keys().copied().collect();
        for id in due {
            let Some(active) = self.active.get_mut(&id) else { continue };
            match &mut active.stage {
                Stage::Arming(arming) if now >= arming.patience => {
                    if arming.barrier.is_broken() {
                        // Broken, and some motor still does not say so.
                        active.motors().into_iter().for_each(|m| self.give_up(id, m));
                    } else {
                        arming.patience = now + STOP_PATIENCE;
                        arming.missed.get_or_insert(arming.absent.clone());
                        if !arming.barrier.expire() {
                            // Not one has come, so there was nothing to break.
                            arming.barrier.abort();
                        }
                    }
                }
                Stage::Halting(halting) if now >= halting.patience => {
                    if halting.last {
                        active.motors().into_iter().for_each(|m| self.give_up(id, m));
                    } else {
                        self.halt_again(id);
                    }
                }
                Stage::Running(_) | Stage::Stopping(_) => self.check_under_way(id, now),
                _ => {}
            }
        }
    }

    fn halt_again(&mut self, id: MoveId) {
        self.say(log::Level::Error, format!("move {id}: not at rest in time, halting its motors"));
        self.halt_move(id, true);
    }

    fn check_under_way(&mut self, id: MoveId, now: Instant) {
        let Some(active) = self.active.get(&id) else { return };
        let Some(way) = active.stage.under_way() else { return };
        if let Some(proposal) = &way.proposal {
            if now > proposal.at() {
                self.check_proposal(id);
                return;
            }
        } else if active.change_due().is_some_and(|due| now >= due) {
            self.advance(id);
            return;
        }
        // What else is due does not wait for a change that is.
        if self.go_on_with_run(id, now) {
            return;
        }
        let Some(active) = self.active.get(&id) else { return };
        let Some(way) = active.stage.under_way() else { return };
        if active.on_the_way() && now >= way.deadline {
            self.come_to_rest(id, Cause::Timeout);
        } else if active.is_braking() && now >= way.patience {
            self.halt_again(id);
        }
    }
}
