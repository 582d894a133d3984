//! What a machine that moves can be told: hold, resume, faster or slower, elsewhere, stop, halt.

use super::active::{Active, Aim};
use super::outcome::{Cause, Held, MotorPosition, Place};
use super::plan::{self, Goal, Way};
use super::spec::Position;
use super::stage::Stage;
use super::{ADOPTION, Action, Class, MoveBook, MoveError};
use crate::motor::{MotorIndex, MoveId};
use crate::trace::{Mark, MoveKind};
use crate::units::Instant;

/// The range of the speed override, in percent.
pub const OVERRIDE: std::ops::RangeInclusive<f64> = 1.0..=200.0;

impl MoveBook {
    /// Feed hold of one move.
    pub fn hold_move(&mut self, id: MoveId) -> Result<(), MoveError> {
        self.under_way(id)?;
        self.aim(id, Aim::Hold);
        Ok(())
    }

    /// On from a hold of one move.
    pub fn resume_move(&mut self, id: MoveId) -> Result<(), MoveError> {
        self.under_way(id)?;
        if self.keeps_back(id) {
            return Err(MoveError::Held);
        }
        self.go_on(id)
    }

    /// Whether a hold of everything holds: its motors may still be on their way to rest.
    pub fn is_held(&self) -> bool {
        self.held_since.is_some()
    }

    /// Brings a move to rest on its path, and drops the rest. Does nothing where it has ended.
    pub fn stop_move(&mut self, id: MoveId) {
        self.come_to_rest(id, Cause::Stopped);
    }

    /// Where the motors of a move stand that is at rest by a hold. `Err(true)`: it is told to hold, and has not come to
    /// rest yet; `Err(false)`: it has ended, or is not told to hold.
    pub fn held(&self, id: MoveId) -> Result<Held, bool> {
        let active = self.active.get(&id).ok_or(false)?;
        if active.is_held() {
            let motors = active.motors().into_iter().map(|m| self.motor_position(m)).collect();
            return Ok(Held { id, motors });
        }
        Err(active.is_holding() && !active.is_stopping())
    }

    /// The moves that have not ended, in the order of their numbers.
    pub fn open_moves(&self) -> Vec<MoveId> {
        self.active.keys().copied().collect()
    }

    fn motor_position(&self, motor: MotorIndex) -> MotorPosition {
        let model = &self.models[motor];
        let steps = model.steps.map(|_| self.motors[motor].telemetry.steps());
        let position = self.position(motor);
        MotorPosition { motor: model.name.clone(), position, steps, unit: model.unit }
    }

    fn under_way(&self, id: MoveId) -> Result<(), MoveError> {
        let fine = self.active.get(&id).is_some_and(|a| !a.is_stopping());
        if fine { Ok(()) } else { Err(MoveError::NotUnderWay { id }) }
    }

    pub(super) fn aim(&mut self, id: MoveId, aim: Aim) {
        let Some(active) = self.active.get(&id) else { return };
        let same = active.legs.iter().all(|l| l.aim == aim || l.aim == Aim::Stop);
        match active.stage {
            Stage::Waiting(_) if aim == Aim::Go => {
                self.alter(id, |a| a.aim(aim));
                self.begin(id);
            }
            Stage::Queued if aim == Aim::Hold => {
                self.leave_queue(id);
                self.alter(id, |a| {
                    a.stage = Stage::Waiting(None);
                    a.aim(aim);
                });
            }
            Stage::Stopping(_) | Stage::Halting(_) => {}
            _ if same => {}
            _ => self.alter(id, |a| a.aim(aim)),
        }
    }

    /// The hold of everything is over.
    pub fn end_hold(&mut self) {
        self.held_since = None;
    }

    /// The speed override of a class of moves, in percent.
    pub fn speed_override(&self, class: Class) -> f64 {
        self.overrides[class as usize] * 100.0
    }

    /// Scales the speed of everything that moves, and of what will, in percent; `None`: of every class.
    pub fn set_override(&mut self, class: Option<Class>, percent: f64) -> Result<(), MoveError> {
        if !OVERRIDE.contains(&percent) {
            return Err(MoveError::Override { percent });
        }
        let share = percent / 100.0;
        let new = |c: Class| class.is_none_or(|only| only == c);
        for active in self.active.values().filter(|a| new(a.class)) {
            self.check_speed(active, share * active.own_speed)?;
        }
        for c in Class::ALL {
            if new(c) && std::mem::replace(&mut self.overrides[c as usize], share) != share {
                let of = |a: &Active| a.class == c;
                let ids: Vec<_> = self.active.iter().filter(|a| of(a.1)).map(|a| *a.0).collect();
                ids.into_iter().for_each(|id| self.alter(id, Active::other_speed));
            }
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
                let from = leg.state_at(self.now).position;
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

    /// The speed override of a class, as a share.
    pub(super) fn speed(&self, class: Class) -> f64 {
        self.overrides[class as usize]
    }

    /// The same for one move alone, beside what holds for all.
    pub fn set_override_of(&mut self, id: MoveId, percent: f64) -> Result<(), MoveError> {
        if !OVERRIDE.contains(&percent) {
            return Err(MoveError::Override { percent });
        }
        self.under_way(id)?;
        let own_speed = percent / 100.0;
        if let Some(active) = self.active.get(&id) {
            self.check_speed(active, self.speed(active.class) * own_speed)?;
        }
        if self.active.get(&id).is_some_and(|a| a.own_speed != own_speed) {
            self.alter(id, |active| {
                active.own_speed = own_speed;
                active.other_speed();
            });
        }
        Ok(())
    }

    /// Sends motors of a move elsewhere, without a stop in between.
    pub fn retarget(&mut self, id: MoveId, targets: &[(MotorIndex, f64)]) -> Result<(), MoveError> {
        self.under_way(id)?;
        let Some(active) = self.active.get(&id) else { return Err(MoveError::NotUnderWay { id }) };
        if active.run.is_some() {
            return Err(MoveError::Blended { id });
        }
        // No change can take hold before this.
        let settled = active.stage.under_way().and_then(|way| way.settled);
        let settled = settled.map_or(Instant::ZERO, |settled| settled + ADOPTION);
        let at = self.now.max(settled) + self.change_lead(active);
        let at = at.max(active.stage.zero().unwrap_or(at));
        for &(motor, target) in targets {
            let model = &self.models[motor];
            let (name, refused) = (model.name.clone(), active.leg(motor));
            let leg = refused.filter(|l| l.aim != Aim::Stop);
            let leg = leg.ok_or(MoveError::NotInMove { motor: name.clone(), id })?;
            if model.continuous {
                return Err(MoveError::Continuous { motor: name });
            }
            plan::check_travel(model, target)?;
            // One that has no way to go arrives as it starts, and no change holds before that.
            let arming = matches!(active.stage, Stage::Arming(_));
            let stays = arming && leg.part.trajectory.duration() == 0;
            let over = leg.end().map_or(stays, |end| end <= at);
            if leg.fixed || (leg.course == Aim::Go && over) {
                return Err(MoveError::Arrived { motor: name });
            }
        }
        let share = (active.share * self.speed(active.class) * active.own_speed).min(1.0);
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
                // On the side of its play; where nobody knows that, on from where it began.
                let heading = match leg.play_at(at).heading {
                    0.0 => leg.goal().end - leg.part.start,
                    heading => heading,
                };
                if model.backlash > 0 && heading * (goal.end - from.position) < 0.0 {
                    return Err(turns(&model.name));
                }
            }
            goals.push((motor, goal));
        }
        self.alter(id, |active| {
            let told = active.is_told();
            for leg in active.legs.iter_mut().filter(|l| l.aim != Aim::Stop) {
                let goal = goals.iter().find(|g| g.0 == leg.part.motor).map(|g| g.1.clone());
                leg.stale = true;
                match goal {
                    Some(goal) if !told => leg.part.goal = goal,
                    goal => leg.next = goal,
                }
            }
            if !told {
                (active.kind, active.line) = (MoveKind::Asap, None);
            }
        });
        Ok(())
    }

    /// Brings one motor to rest on its path, and drops the rest of its part.
    pub fn stop_motor(&mut self, index: MotorIndex) {
        let Some(id) = self.motors[index].busy else { return };
        let Some(active) = self.active.get(&id) else { return };
        let alone = active.legs.len() == 1;
        let on_line = active.leg(index).is_some_and(|l| l.on_line());
        match active.stage {
            _ if alone || on_line => self.come_to_rest(id, Cause::Stopped),
            Stage::Waiting(_) | Stage::Queued => {
                self.end_part(id, index, |_| Cause::NotStarted(Vec::new()));
            }
            Stage::Stopping(_) | Stage::Halting(_) => {}
            Stage::Arming(_) | Stage::Running(_) => self.alter(id, |active| {
                if let Some(leg) = active.leg_mut(index) {
                    leg.aim = Aim::Stop;
                }
            }),
        }
    }

    /// The count that stands for a position, if the axis can be told that it is there.
    pub fn count_for(&self, index: MotorIndex, position: Position) -> Result<i64, MoveError> {
        let (model, state) = (&self.models[index], &self.motors[index]);
        if model.continuous {
            return Err(MoveError::Continuous { motor: model.name.clone() });
        }
        if model.steps.is_none() {
            return Err(MoveError::NoCount { motor: model.name.clone() });
        }
        let position = model.number(position)?;
        plan::check_travel(model, position)?;
        self.at_rest(index)?;
        if state.place == Place::Estimated {
            return Err(MoveError::NoPosition { motor: model.name.clone() });
        }
        Ok(model.to_native(position) as i64)
    }

    /// An axis has been told that it stands at this count.
    pub fn count_is(&mut self, index: MotorIndex, count: i64) {
        let place = self.models[index].to_unit(count as f64);
        let state = &mut self.motors[index];
        // Its loop does so, too, before it hears of any move.
        state.telemetry.set_steps(count);
        state.place = Place::Assumed;
        // What was not known of the old count is not of the new one.
        state.uncounted = None;
        let _ = self.counts_from(index, place);
    }

    /// A motor counts from another place than before, which nobody has said.
    pub fn counts_anew(&mut self, index: MotorIndex) {
        let place = self.models[index].to_unit(self.motors[index].telemetry.steps() as f64);
        let at = self.counts_from(index, place);
        if self.motors[index].place == Place::Unknown {
            let name = self.models[index].name.clone().into();
            self.mark(at.plus_nanos(1), Mark::Unknown(name));
        }
    }

    /// Says where the trace has it.
    fn counts_from(&mut self, index: MotorIndex, place: f64) -> Instant {
        // After what the trace has already: where a move was to begin that was dropped.
        let at = self.now.max(self.motors[index].epoch);
        self.mark(at, Mark::Set(self.models[index].name.clone().into()));
        self.actions.push_back(Action::Position(index, at, place));
        at
    }

    /// Whether a motor can be told something that it must not move for.
    pub fn at_rest(&self, index: MotorIndex) -> Result<(), MoveError> {
        let (state, motor) = (&self.motors[index], self.models[index].name.clone());
        match &state.fault {
            Some(fault) => Err(MoveError::Faulted { motor, fault: fault.to_string() }),
            None if state.busy.is_some() => Err(MoveError::Busy { motor }),
            None => Ok(()),
        }
    }

    /// Somebody has switched a motor on, or let it go, by name.
    pub fn mark_switched(&mut self, motor: MotorIndex, on: bool) {
        let name = self.models[motor].name.clone().into();
        self.mark(self.now, if on { Mark::Enable(name) } else { Mark::Release(name) });
    }

    /// From now on nobody knows where an axis is.
    pub fn lose_place(&mut self, motor: MotorIndex) {
        if self.motors[motor].place == Place::Estimated {
            return;
        }
        self.motors[motor].place = Place::Unknown;
        self.mark(self.now, Mark::Unknown(self.models[motor].name.clone().into()));
    }
}
