//! What a machine that moves can be told: hold, resume, faster or slower, elsewhere, stop, halt.

use super::active::{Active, Aim, Stage};
use super::outcome::{Cause, Held, MotorPosition, Place};
use super::plan::{self, Goal, Way};
use super::spec::{Move, Position};
use super::{ADOPTION, CHANGE_LEAD, Machine, MoveError};
use crate::config::MotorUnit;
use crate::motor::{Command, MotorIndex, MoveId};
use crate::runtime::Heed;
use crate::units::Instant;

/// The range of the speed override, in percent.
pub const OVERRIDE: std::ops::RangeInclusive<f64> = 1.0..=200.0;

impl Machine {
    /// Feed hold: every motor comes to rest on its path, within its limits, and waits there for
    /// [`Machine::resume`]. Returns at once; [`Machine::wait_held`] waits until it is so.
    ///
    /// - Motors of an aligned move stay on their line. One that has all but arrived arrives.
    /// - A move that has not begun yet waits at its start; one that is started while the machine is held
    ///   is planned and takes its motors, but waits before they hear of it. (A servo that gets its first
    ///   signal goes to its target by itself: from its start on that can't be held.)
    /// - The time-outs of moves pause, and so does the clock of a program: its pauses, the pace of its
    ///   sweeps, the next step. A jog's deadline does not.
    /// - A second hold changes nothing. A stop or a halt ends it.
    pub fn hold(&mut self) {
        if self.held_since.is_none() && !self.is_stopped() {
            self.held_since = Some(self.now());
        }
        self.hear_out();
        let ids: Vec<_> = self.active.keys().copied().collect();
        ids.into_iter().for_each(|id| self.aim(id, Aim::Hold));
    }

    /// The same for the move that a motor is part of; nothing where it is at rest.
    ///
    /// # Errors
    ///
    /// [`MoveError::UnknownMotor`], [`MoveError::NotUnderWay`].
    pub fn hold_motor(&mut self, motor: &str) -> Result<(), MoveError> {
        let index = self.find(motor)?;
        self.motors[index].busy.map_or(Ok(()), |id| self.hold_move(id))
    }

    /// The same for one move. The others, and the program's clock, go on.
    ///
    /// # Errors
    ///
    /// [`MoveError::NotUnderWay`]: it has ended, or is on its way to a stop.
    pub fn hold_move(&mut self, id: MoveId) -> Result<(), MoveError> {
        self.hear_out();
        self.under_way(id)?;
        self.aim(id, Aim::Hold);
        Ok(())
    }

    /// On from a hold, along the same path: every move that is held, or about to be. Also before they
    /// have come to rest; where there is no hold it does nothing.
    ///
    /// Keyframes go on with those that are left, in their order, at rest in each: their times are moved
    /// on by the hold, and by as much more as the slowest motor needs to be in its next one, since it
    /// begins at rest. They come to rest before they go on.
    pub fn resume(&mut self) {
        self.end_hold();
        self.hear_out();
        let ids: Vec<_> = self.active.keys().copied().collect();
        ids.into_iter().for_each(|id| self.aim(id, Aim::Go));
    }

    /// The same for one move.
    ///
    /// # Errors
    ///
    /// [`MoveError::NotUnderWay`]: it has ended, or is on its way to a stop; [`MoveError::Held`]: the
    /// machine as a whole is held.
    pub fn resume_move(&mut self, id: MoveId) -> Result<(), MoveError> {
        self.hear_out();
        self.under_way(id)?;
        if self.is_held() {
            return Err(MoveError::Held);
        }
        self.aim(id, Aim::Go);
        Ok(())
    }

    /// Whether [`Machine::hold`] holds: its motors may still be on their way to rest.
    pub fn is_held(&self) -> bool {
        self.held_since.is_some()
    }

    /// Waits until a move that is told to hold is at rest, and says where. `None`: it has ended, or is
    /// not told to hold. The wait is bounded by the time that it takes to come to rest.
    pub fn wait_held(&mut self, id: MoveId) -> Option<Held> {
        loop {
            let active = self.active.get(&id)?;
            if active.is_held() {
                let motors = active.motors().into_iter().map(|m| self.motor_position(m)).collect();
                return Some(Held { id, motors });
            }
            if !active.is_holding() || active.stage == Stage::Stopping {
                return None;
            }
            self.pump(Instant::FAR);
        }
    }

    /// Waits until every move that is told to hold is at rest, and says where its motors are. Under a
    /// hold of the machine nothing moves then: what was coming to a stop has ended, too.
    pub fn wait_all_held(&mut self) -> Vec<Held> {
        if self.is_held() {
            self.settle();
        }
        let ids: Vec<_> = self.active.keys().copied().collect();
        ids.into_iter().filter_map(|id| self.wait_held(id)).collect()
    }

    fn motor_position(&self, motor: MotorIndex) -> MotorPosition {
        let model = &self.models[motor];
        let steps = model.steps.map(|_| self.motors[motor].telemetry.steps());
        let position = self.position(&model.name);
        MotorPosition { motor: model.name.clone(), position, steps, unit: model.unit }
    }

    fn under_way(&self, id: MoveId) -> Result<(), MoveError> {
        let fine = self.active.get(&id).is_some_and(|a| a.stage != Stage::Stopping);
        if fine { Ok(()) } else { Err(MoveError::NotUnderWay { id }) }
    }

    fn aim(&mut self, id: MoveId, aim: Aim) {
        let Some(active) = self.active.get(&id) else { return };
        let same = active.legs.iter().all(|l| l.aim == aim || l.aim == Aim::Stop);
        match active.stage {
            Stage::Waiting if aim == Aim::Go => {
                self.alter(id, |a| a.aim(aim));
                self.begin(id);
            }
            Stage::Queued if aim == Aim::Hold => {
                self.leave_power_queue(id);
                self.alter(id, |a| {
                    a.stage = Stage::Waiting;
                    a.aim(aim);
                });
            }
            Stage::Stopping => {}
            _ if same => {}
            _ => self.alter(id, |a| a.aim(aim)),
        }
    }

    /// The machine's hold is over: the program's clock goes on.
    pub(super) fn end_hold(&mut self) {
        if let Some(since) = self.held_since.take() {
            self.held_for += self.now().nanos_since(since);
        }
    }

    /// The program's clock: it stands still while the machine is held.
    pub(super) fn program_now(&self) -> Instant {
        let now = self.held_since.unwrap_or(self.now());
        Instant::from_nanos(now.nanos_since(Instant::from_nanos(self.held_for)))
    }

    /// When the machine's clock will show what the program's clock shows at `at`.
    pub(super) fn machine_time_of(&self, at: Instant) -> Instant {
        match self.held_since {
            Some(_) => Instant::FAR,
            None => at.plus_nanos(self.held_for),
        }
    }

    /// The speed override in percent: 100 unless [`Machine::set_override`] says else.
    pub fn speed_override(&self) -> f64 {
        self.speed * 100.0
    }

    /// Scales the speed of everything that moves, and of what will: from 1 % to 200 % of what each move
    /// asks for, and never more than a motor's speed limit. Acceleration and jerk keep their limits. What
    /// moves changes its speed on its path at once; time-outs leave as much room as before.
    ///
    /// Keyframes have their times: it does not change them.
    ///
    /// # Errors
    ///
    /// [`MoveError::Override`]: out of range. [`MoveError::Plan`]: something that moves could not go on so
    /// slowly. Nothing has changed.
    pub fn set_override(&mut self, percent: f64) -> Result<(), MoveError> {
        if !OVERRIDE.contains(&percent) {
            return Err(MoveError::Override { percent });
        }
        if percent / 100.0 == self.speed {
            return Ok(());
        }
        self.hear_out();
        let ids: Vec<_> = self.active.keys().copied().collect();
        for active in self.active.values() {
            self.check_speed(active, percent / 100.0 * active.own_speed)?;
        }
        self.speed = percent / 100.0;
        for id in ids {
            self.alter(id, Active::other_speed);
        }
        Ok(())
    }

    /// Whether a move can go on at that share of its speed at all.
    fn check_speed(&self, active: &Active, speed: f64) -> Result<(), MoveError> {
        let share = (active.share * speed).min(1.0);
        let line = active.line.as_ref().map(|l| (1.0, l.limits.speed));
        for leg in active.legs.iter().filter(|l| l.aim != Aim::Stop) {
            let model = &self.models[leg.motor()];
            let alone = || {
                let from = leg.state_at(self.now()).position;
                ((leg.goal().end - from).abs(), model.native_limits(1.0).speed)
            };
            let (way, fastest) = match leg.goal().way {
                Way::Jog(_) | Way::Frames(_) => continue,
                Way::Line => line.unwrap_or_else(alone),
                Way::Alone | Way::Path => alone(),
            };
            let error = crate::motion::check_time(way, fastest * share);
            error.map_err(plan::plan_error(&model.name))?;
        }
        Ok(())
    }

    /// The same for one move alone, beside what holds for all: of 50 % here and 50 % there a quarter is left.
    /// It ends with the move.
    ///
    /// ```
    /// use lockstep::config::Config;
    /// use lockstep::machine::{Machine, Move};
    /// use lockstep::units::Length;
    ///
    /// let config = Config::from_file("config/xyz-stage.toml")?.config;
    /// let mut machine = Machine::builder(config).virtual_time().build()?;
    /// let x = machine.start(&Move::new().to("x", Length(50.0)))?;
    /// let y = machine.start(&Move::new().to("y", Length(50.0)))?;
    /// machine.set_override_of(x, 20.0)?;
    /// machine.wait(y);
    /// assert!(machine.is_under_way(x), "x is slower now");
    /// assert!(machine.wait(x).all_reached());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`MoveError::Override`]: out of range. [`MoveError::NotUnderWay`]: there is no such move, or it is
    /// being stopped. [`MoveError::Plan`]: it could not go on so slowly. Nothing has changed.
    pub fn set_override_of(&mut self, id: MoveId, percent: f64) -> Result<(), MoveError> {
        if !OVERRIDE.contains(&percent) {
            return Err(MoveError::Override { percent });
        }
        self.hear_out();
        self.under_way(id)?;
        let own_speed = percent / 100.0;
        if let Some(active) = self.active.get(&id) {
            self.check_speed(active, self.speed * own_speed)?;
        }
        if self.active.get(&id).is_some_and(|a| a.own_speed != own_speed) {
            self.alter(id, |active| {
                active.own_speed = own_speed;
                active.other_speed();
            });
        }
        Ok(())
    }

    /// Sends motors of a move elsewhere, without a stop in between. Each goes by itself, from the state
    /// that it has: limits and ends are promised, a line no more. Motors of the move that have no new
    /// target keep theirs. A move that is held gets its new targets and goes there when it is resumed.
    ///
    /// Time-out, speed and the rest of the move stay as they are: those of `spec` say nothing. Where the
    /// motors' loops are so late that they can't agree before a motor has arrived, it stays there, and
    /// its outcome is short, [`Cause::Missed`](super::Cause).
    ///
    /// # Errors
    ///
    /// [`MoveError`]: refused whole, and the move goes on as it was. Among others: a motor that is not
    /// part of the move or has all but arrived, a target outside the travel, a motor too fast to stay
    /// inside its travel.
    pub fn retarget(&mut self, id: MoveId, spec: &Move) -> Result<(), MoveError> {
        let targets = spec.resolve(self)?;
        self.hear_out();
        self.under_way(id)?;
        let Some(active) = self.active.get(&id) else { return Err(MoveError::NotUnderWay { id }) };
        if active.run.is_some() {
            return Err(MoveError::Blended { id });
        }
        // No change can take hold before this.
        let settled = active.settled.map_or(Instant::ZERO, |settled| settled + ADOPTION);
        let at = self.now().max(settled) + CHANGE_LEAD;
        let at = at.max(active.epoch.get().unwrap_or(at));
        for &(motor, target) in &targets {
            let model = &self.models[motor];
            let (name, refused) = (model.name.clone(), active.leg(motor));
            let leg = refused.filter(|l| l.aim != Aim::Stop);
            let leg = leg.ok_or(MoveError::NotInMove { motor: name.clone(), id })?;
            plan::check_travel(model, target)?;
            // One that has no way to go arrives as it starts, and no change holds before that.
            let stays = active.stage == Stage::Arming && leg.part.trajectory.duration() == 0;
            let over = leg.end().map_or(stays, |end| end <= at);
            if leg.fixed || (leg.course == Aim::Go && over) {
                return Err(MoveError::Arrived { motor: name });
            }
        }
        let share = (active.share * self.speed * active.own_speed).min(1.0);
        let mut goals = Vec::with_capacity(active.legs.len());
        for leg in &active.legs {
            let (motor, model) = (leg.motor(), &self.models[leg.motor()]);
            let target = targets.iter().find(|t| t.0 == motor).map(|t| t.1);
            let place = self.motors[motor].place;
            if target.is_some() && place == Place::Estimated {
                return Err(MoveError::NoPosition { motor: model.name.clone() });
            }
            if target.is_some() && model.steps.is_some() && place == Place::Unknown {
                return Err(MoveError::UnknownPlace { motor: model.name.clone() });
            }
            let goal = match target {
                Some(target) => Goal { end: model.to_native(target), target, way: Way::Alone },
                // A motor that jogs goes on to where the jog would have ended.
                None => Goal { way: Way::Alone, ..leg.goal().clone() },
            };
            let from = leg.state_at(at);
            let planned = self.planner.onward(from, goal.end, model.native_limits(share));
            let planned = planned.map_err(plan::plan_error(&model.name))?;
            if target.is_some() {
                let turns = |motor: &str| MoveError::Turns { motor: motor.to_string() };
                plan::check_extremes(model, &planned, 1.0).map_err(|error| match error {
                    MoveError::Turns { motor } => turns(&motor),
                    _ => MoveError::TooFastToTurn { motor: model.name.clone() },
                })?;
                let ahead = (leg.goal().end - leg.part.start) * (goal.end - from.position);
                if model.backlash > 0 && ahead < 0.0 {
                    return Err(turns(&model.name));
                }
            }
            goals.push((motor, goal));
        }
        self.alter(id, |active| {
            let (started, told) = (active.started, active.is_told());
            for leg in active.legs.iter_mut().filter(|l| l.aim != Aim::Stop) {
                let goal = goals.iter().find(|g| g.0 == leg.part.motor).map(|g| g.1.clone());
                leg.stale = true;
                match goal {
                    Some(goal) if !told => leg.part.goal = goal,
                    goal => leg.next = goal,
                }
            }
            if !started && !told {
                (active.kind, active.line) = ("asap", None);
            }
        });
        Ok(())
    }

    /// Brings one motor to rest on its path, and drops the rest of its part. The others of its move go
    /// on, but for an aligned one: there all come to rest, since the line ends. Returns at once; the
    /// motor's outcome comes as ever. A motor that does not move is no error.
    ///
    /// # Errors
    ///
    /// [`MoveError::UnknownMotor`].
    pub fn stop_motor(&mut self, motor: &str) -> Result<(), MoveError> {
        let index = self.find(motor)?;
        self.hear_out();
        let Some(id) = self.motors[index].busy else { return Ok(()) };
        let Some(active) = self.active.get(&id) else { return Ok(()) };
        let alone = active.legs.len() == 1;
        let on_line = active.leg(index).is_some_and(|l| l.on_line());
        match active.stage {
            _ if alone || on_line => self.come_to_rest(id, Cause::Stopped),
            Stage::Waiting | Stage::Queued => {
                self.end_part(id, index, |_| Cause::NotStarted(Vec::new()));
            }
            Stage::Stopping => {}
            Stage::Arming | Stage::Running => self.alter(id, |active| {
                if let Some(leg) = active.leg_mut(index) {
                    leg.aim = Aim::Stop;
                }
            }),
        }
        Ok(())
    }

    /// Brings a move to rest on its path, and drops the rest. Does nothing where it has ended. Wait for
    /// it as ever.
    pub fn stop_move(&mut self, id: MoveId) {
        self.come_to_rest(id, Cause::Stopped);
    }

    /// Brings everything to rest on its path, waits until it is, and carries out each motor's
    /// `on-stop`. Moves are refused until [`Machine::clear`].
    pub fn stop(&mut self) {
        self.come_to_stop(true);
    }

    /// The same, but no servo goes to its parking place: after a fault nothing moves by itself.
    pub fn stop_in_place(&mut self) {
        self.come_to_stop(false);
    }

    fn come_to_stop(&mut self, may_park: bool) {
        self.stop.set();
        self.on_stop();
        self.settle();
        if self.heed == Heed::Halt {
            let config = self.config.clone();
            if may_park {
                self.park(&config);
            }
            self.apply_on_stop();
        }
    }

    /// Every motor stands still after its last whole pulse, without braking; waits until they do. The
    /// counts stay exact. An axis that was faster than its start-stop speed may have slipped: it is
    /// marked [`Place::Unknown`] and has to be told where it is ([`Machine::set_position`]).
    ///
    /// Moves are refused until [`Machine::clear`].
    pub fn halt(&mut self) {
        self.halt.set();
        self.on_stop();
        self.settle();
    }

    /// Allows moves again after a stop or a halt, once everything is at rest: waits for that. Says
    /// whether it did: not where motors' loops do not answer.
    pub fn clear(&mut self) -> bool {
        // A stop that was not heard yet still stops what moves now.
        self.on_stop();
        if self.heed != Heed::Stop {
            self.settle();
            self.stop.clear();
            self.halt.clear();
            self.heed = Heed::Stop;
        }
        !self.is_stopped()
    }

    /// Says where an axis is that stands still: what it has counted so far is `position`, rounded to its
    /// nearest step. From then on its place is [`Place::Assumed`].
    ///
    /// # Errors
    ///
    /// [`MoveError`]: it moves, or its part of a move waits; it is a servo, whose place its signal is;
    /// the position is outside its travel or in another unit; its loop does not answer.
    pub fn set_position(
        &mut self,
        motor: &str,
        position: impl Into<Position>,
    ) -> Result<(), MoveError> {
        let index = self.find(motor)?;
        let model = &self.models[index];
        let name = model.name.clone();
        if model.steps.is_none() {
            return Err(MoveError::NoCount { motor: name });
        }
        let position = match (position.into(), model.unit) {
            (Position::Length(l), MotorUnit::Millimetre) => l.0,
            (Position::Angle(a), MotorUnit::Degree) => a.0,
            (_, unit) => return Err(MoveError::WrongUnit { motor: name, unit: unit.symbol() }),
        };
        plan::check_travel(model, position)?;
        self.hear_out();
        let state = &mut self.motors[index];
        if state.busy.is_some() {
            return Err(MoveError::Busy { motor: name });
        }
        if let Some(fault) = &state.fault {
            return Err(MoveError::Faulted { motor: name, fault: fault.to_string() });
        }
        if state.place == Place::Estimated {
            return Err(MoveError::NoPosition { motor: name });
        }
        let model = &self.models[index];
        let count = model.to_native(position) as i64;
        let place = model.to_unit(count as f64);
        let sent = self.fleet.send(index, Command::SetCount(count));
        sent.map_err(|e| MoveError::NoAnswer { error: e.to_string() })?;
        // Its loop does so, too, before it hears of any move.
        state.telemetry.set_steps(count);
        state.place = Place::Assumed;
        // What was not known of the old count is not of the new one.
        state.uncounted = None;
        let (now, signal) = (self.fleet.clock().now(), state.position_signal);
        self.recorder.text(self.move_signal, now, &format!("set:{name}"));
        self.recorder.real(signal, now, place);
        Ok(())
    }

    /// From now on nobody knows where an axis is.
    pub(super) fn lose_place(&mut self, motor: MotorIndex) {
        if self.motors[motor].place == Place::Estimated {
            return;
        }
        self.motors[motor].place = Place::Unknown;
        let text = format!("unknown:{}", self.models[motor].name);
        self.recorder.text(self.move_signal, self.now(), &text);
    }

    /// Waits until nothing moves. What is held waits for its resume.
    pub(super) fn settle(&mut self) {
        while self.active.values().any(|a| !a.is_held()) {
            self.pump(Instant::FAR);
        }
    }
}

/// For how long motors may have known of a halt before the machine does, nanoseconds.
pub(super) const HALT_HEARD_WITHIN: u64 = 5_000_000;
