//! Motors of a held program that none of its moves has, since it was in a pause, say: where others have moved them, they
//! come back to where the program left them before it goes on.

use std::sync::Arc;

use super::aside::GENTLE;
use super::outcome::EndResult;
use super::plan::Planned;
use super::{Action, MotorIndex, MoveBook, MoveError, Owner, Start};
use crate::config::OnFault;
use crate::motor::MoveId;

impl MoveBook {
    /// Motors begin to move for somebody: a held program remembers where it left those that are its own.
    pub(super) fn note_left(&mut self, owner: &Owner, motors: &[MotorIndex]) {
        for &motor in motors {
            let other = |p: &&Arc<str>| owner.program() != Some(*p);
            let Some(program) = self.keeper(motor).filter(other).cloned() else { continue };
            // A move of its own that has stepped aside knows where it left it.
            let in_move = self.active.values().any(|a| {
                a.aside().is_some() && a.owner.program() == Some(&program) && a.leg(motor).is_some()
            });
            let Start::At(stands) = self.stands(motor) else { continue };
            if let Some(claim) = self.claims.get_mut(&program)
                && claim.held_since.is_some()
                && !in_move
            {
                claim.left.entry(motor).or_insert(stands);
            }
        }
    }

    /// The way back of a held program's motors that none of its moves has; `None`: they are where it left them, or on
    /// their way there.
    ///
    /// # Errors
    ///
    /// One of them moves, has a fault, or can't go back: it says how far it is from there.
    pub(super) fn programs_way_back(
        &mut self,
        program: &Arc<str>,
    ) -> Result<Option<Planned>, MoveError> {
        let claim = self.claims.get(program);
        let Some(claim) = claim.filter(|c| c.held_since.is_some() && c.back.is_none()) else {
            return Ok(None);
        };
        let (owner, mut targets) = (Owner::Program(program.clone()), Vec::new());
        for (&motor, &left) in claim.left.iter().filter(|l| claim.motors.contains(l.0)) {
            targets.extend(self.back_to(motor, left, 0.0, &owner)?);
        }
        self.plan_back(&targets)
    }

    /// A held program shall go on: its motors come back first, where they were moved. Whether that takes a move; the
    /// program stays held as long.
    ///
    /// # Errors
    ///
    /// As of [`MoveBook::programs_way_back`].
    pub(super) fn bring_back(&mut self, program: &Arc<str>) -> Result<bool, MoveError> {
        let planned = self.programs_way_back(program)?;
        let Some(claim) = self.claims.get_mut(program) else { return Ok(false) };
        claim.held_again = false;
        let Some(planned) = planned else {
            if claim.back.is_none() {
                claim.left.clear();
            }
            return Ok(claim.back.is_some());
        };
        let (number, owner) = (self.new_number(), Owner::Program(program.clone()));
        let of = |book: &mut MoveBook, back: Option<MoveId>| {
            book.claims.get_mut(program).into_iter().for_each(|claim| claim.back = back);
        };
        of(self, Some(number));
        let launched = self.launch(planned, GENTLE, None, OnFault::Stop, (&owner, Some(number)));
        launched.inspect_err(|_| of(self, None))?;
        Ok(true)
    }

    /// The motors of a held program have come back, or not all the way: then it stays held.
    pub(super) fn is_program_back(&mut self, program: &Arc<str>, result: EndResult) {
        let Some(claim) = self.claims.get_mut(program) else { return };
        claim.back = None;
        if result != EndResult::Done {
            if !claim.ending {
                let text = format!("the motors of {program} did not come back: it stays held");
                self.say(log::Level::Warn, text);
            }
            return;
        }
        claim.left.clear();
        // It has been held once more meanwhile.
        if std::mem::take(&mut claim.held_again) {
            return;
        }
        self.resume_claim(program);
        let of_it = |a: &super::active::Active| a.owner.program() == Some(program);
        let ids: Vec<MoveId> = self.active.iter().filter(|a| of_it(a.1)).map(|a| *a.0).collect();
        for id in ids {
            if !self.keeps_back(id)
                && let Err(e) = self.go_on(id)
            {
                self.actions.push_back(Action::Say(log::Level::Error, format!("move {id}: {e}")));
            }
        }
    }

    /// Whether a move brings motors of its held program back: it goes on while that is held.
    pub(super) fn is_way_back(&self, id: MoveId, owner: &Owner) -> bool {
        let claim = owner.program().and_then(|p| self.claims.get(p));
        let Some(back) = claim.and_then(|c| c.back) else { return false };
        back == id
            || self.active.get(&back).is_some_and(|a| a.aside().and_then(|a| a.back) == Some(id))
    }
}
