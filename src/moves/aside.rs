//! A held program's motors may be moved meanwhile: a jam has to be freed. Their move steps aside, and before it goes
//! on they come back to where it left them, on a straight line and gently.

use std::sync::Arc;

use super::active::{Aim, Leg};
use super::outcome::{Cause, EndResult, Place};
use super::plan::{self, Line, Planned};
use super::stage::{Aside, Stage};
use super::{Action, MotorIndex, MoveBook, MoveError, Owner, Start};
use crate::config::{Arrive, OnFault};
use crate::motion::{Trajectory, line_limits};
use crate::motor::{Command, MoveId};
use crate::trace::Mark;

/// The share of their speed limits with which motors come back.
pub(super) const GENTLE: f64 = 0.25;

impl MoveBook {
    /// The move of a held program that keeps a motor, and may step aside for it.
    pub(super) fn may_step_aside(&self, motor: MotorIndex) -> Option<MoveId> {
        let id = self.motors[motor].busy?;
        let active = self.active.get(&id)?;
        let claim = self.claims.get(active.owner.program()?)?;
        // A path can't be taken up again in the middle.
        let can = active.is_held() && active.aside().is_none() && active.run.is_none();
        (can && claim.held_since.is_some() && !claim.ending).then_some(id)
    }

    /// A move that is held gives its motors up, for now. It becomes one that has not begun, from where they stand.
    pub(super) fn step_aside(&mut self, id: MoveId) {
        let now = self.now;
        let Some(active) = self.active.get_mut(&id) else { return };
        let (told, started) = (active.is_told(), active.has_begun());
        active.stage = Stage::Waiting(Some(Aside { back: None }));
        for leg in &mut active.legs {
            let motor = leg.motor();
            if !told {
                self.motors[motor].busy = None;
                continue;
            }
            let telemetry = &self.motors[motor].telemetry;
            let stands = match self.models[motor].steps {
                Some(_) => telemetry.steps() as f64,
                None => leg.part.trajectory.end(),
            };
            leg.begin_anew(stands);
            let position = self.models[motor].told(stands);
            self.actions.push_back(Action::Position(motor, now, position));
            // At rest it is still at once, and drops what it had left to do.
            self.actions.push_back(Action::Tell(motor, Command::Halt));
        }
        // What has not begun goes on by the plan that it has.
        if let Some(line) = active.line.as_mut().filter(|_| told) {
            // What is left of the line is a line.
            let models = &self.models;
            let on_line = active.legs.iter().filter(|l| l.on_line());
            let shares = on_line.map(|l| (l.part.distance(), models[l.motor()].native_limits(1.0)));
            if let Some(limits) = line_limits(shares) {
                *line = Line { s: Arc::new(Trajectory::rest(0.0)), limits };
            }
        }
        if started {
            self.mark(now, Mark::Ended(id));
        }
    }

    /// A motor of a move that steps aside is still, and free.
    pub(super) fn is_aside(&mut self, id: MoveId, motor: MotorIndex) -> bool {
        let aside = self.active.get(&id).is_some_and(|a| a.aside().is_some());
        if aside && self.motors[motor].busy == Some(id) {
            self.motors[motor].busy = None;
        }
        aside
    }

    /// The way back of a move that has stepped aside; `None`: its motors are where it left them.
    ///
    /// # Errors
    ///
    /// One of them moves, has a fault, or can't go back: it says how far it is from there.
    pub(super) fn way_back(&mut self, id: MoveId) -> Result<Option<Planned>, MoveError> {
        let Some(active) = self.active.get(&id) else { return Ok(None) };
        let Some(Aside { back: None }) = active.aside() else { return Ok(None) };
        let (owner, mut targets) = (active.owner.clone(), Vec::new());
        for leg in &active.legs {
            let near = self.models[leg.motor()].tolerance();
            let left = leg.part.trajectory.start().position;
            targets.extend(self.back_to(leg.motor(), left, near, &owner)?);
        }
        self.plan_back(&targets)
    }

    /// What it takes to have a motor back where its program left it; `None`: it is as near as that.
    pub(super) fn back_to(
        &self,
        motor: MotorIndex,
        left: f64,
        near: f64,
        owner: &Owner,
    ) -> Result<Option<(MotorIndex, f64, Start)>, MoveError> {
        let (start, model) = (self.ready_anywhere(motor, owner)?, &self.models[motor]);
        let Start::At(stands) = start else { return Ok(None) };
        // One that turns continuously has no place to come back to.
        if model.continuous {
            return Ok(None);
        }
        if stands == left || (stands - left).abs() < near {
            return Ok(None);
        }
        if self.motors[motor].place == Place::Unknown && model.steps.is_some() {
            return Err(MoveError::UnknownPlace { motor: model.name.clone() });
        }
        Ok(Some((motor, model.to_unit(left), start)))
    }

    /// A straight line, gently.
    pub(super) fn plan_back(
        &mut self,
        targets: &[(MotorIndex, f64, Start)],
    ) -> Result<Option<Planned>, MoveError> {
        if targets.is_empty() {
            return Ok(None);
        }
        let (models, planner) = (&self.models, &mut self.planner);
        let planned = plan::plan_move(planner, models, targets, Arrive::Aligned, GENTLE);
        planned.map(Some).map_err(|error| self.cannot_go_back(targets, &error))
    }

    /// A move that has stepped aside goes on: its motors come back first, where they were moved.
    ///
    /// # Errors
    ///
    /// As of [`MoveBook::way_back`].
    pub(super) fn come_back(&mut self, id: MoveId) -> Result<(), MoveError> {
        let Some(active) = self.active.get(&id) else { return Ok(()) };
        if active.aside().is_some_and(|aside| aside.back.is_some()) {
            return Ok(());
        }
        let owner = active.owner.clone();
        let Some(planned) = self.way_back(id)? else {
            self.go_on_from_aside(id);
            return Ok(());
        };
        let back = self.new_number();
        let of = |book: &mut MoveBook, back: Option<MoveId>| {
            if let Some(active) = book.active.get_mut(&id) {
                active.stage = Stage::Waiting(Some(Aside { back }));
            }
        };
        of(self, Some(back));
        let launched = self.launch(planned, GENTLE, None, OnFault::Stop, (&owner, Some(back)));
        launched.map(drop).inspect_err(|_| of(self, None))
    }

    fn cannot_go_back(&self, targets: &[(MotorIndex, f64, Start)], error: &MoveError) -> MoveError {
        let of = |&(motor, target, start): &(MotorIndex, f64, Start)| {
            let model = &self.models[motor];
            let by = match start {
                Start::At(at) => (model.to_unit(at) - target).abs(),
                Start::Anywhere => 0.0,
            };
            format!("{} is {} from there", model.name, model.show(by))
        };
        let far = targets.iter().map(of).collect::<Vec<_>>().join(", ");
        MoveError::CannotGoBack { far, why: error.to_string() }
    }

    /// The way back of a move is over, if this was one.
    pub(super) fn is_back(&mut self, back: MoveId, result: EndResult) {
        let of_program = self.claims.iter().find(|c| c.1.back == Some(back)).map(|c| c.0.clone());
        if let Some(program) = of_program {
            return self.is_program_back(&program, result);
        }
        let found = self.active.iter().find(|a| a.1.aside().and_then(|a| a.back) == Some(back));
        let Some((&id, active)) = found else { return };
        if result == EndResult::Done {
            return self.go_on_from_aside(id);
        }
        for motor in active.motors() {
            self.end_part(id, motor, |_| Cause::Stopped);
        }
    }

    fn go_on_from_aside(&mut self, id: MoveId) {
        let Some(active) = self.active.get_mut(&id) else { return };
        active.stage = Stage::Waiting(None);
        for motor in active.motors() {
            self.motors[motor].busy = Some(id);
        }
        if !self.keeps_back(id) {
            self.aim(id, Aim::Go);
        }
    }
}

impl Leg {
    /// As if it had not begun: from rest, here.
    fn begin_anew(&mut self, stands: f64) {
        self.part.start = stands;
        self.part.trajectory = Arc::new(Trajectory::rest(stands));
        (self.course, self.aim) = (Aim::Go, Aim::Hold);
        (self.held, self.fixed, self.stale, self.change) = (false, false, true, 0);
        (self.since, self.before) = (None, None);
        if let Some(goal) = self.next.take() {
            self.part.goal = goal;
        }
    }
}
