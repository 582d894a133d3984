//! Hold, resume and stop: of everything, or of what has to do with some motors, whoever asked for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::active::{Active, Aim};
use super::outcome::Cause;
use super::{MotorIndex, MoveBook, MoveError, Touched, Which};
use crate::motor::MoveId;
use crate::trace::MoveKind;

impl MoveBook {
    /// The programs that keep one of these motors, or move it.
    fn programs_of(&self, which: Which<'_>) -> Vec<Arc<str>> {
        let keeps = |motors: &BTreeSet<MotorIndex>| match which {
            Which::All => true,
            Which::Motors(_) => motors.iter().any(|&m| which.has(m)),
        };
        let claims = self.claims.iter().filter(|c| keeps(&c.1.motors)).map(|c| c.0.clone());
        let mut programs: Vec<Arc<str>> = claims.collect();
        let moving = self.active.values().filter(|a| a.legs.iter().any(|l| which.has(l.motor())));
        for program in moving.filter_map(|a| a.owner.program()) {
            if self.claims.contains_key(program) && !programs.contains(program) {
                programs.push(program.clone());
            }
        }
        programs
    }

    fn moves_of(&self, which: Which<'_>, programs: &[Arc<str>]) -> Vec<MoveId> {
        let meant = |a: &Active| {
            a.legs.iter().any(|l| which.has(l.motor()))
                || a.owner.program().is_some_and(|p| programs.contains(p))
        };
        self.active.iter().filter(|a| meant(a.1)).map(|a| *a.0).collect()
    }

    /// Feed hold. Of some motors: the moves that they are part of, as a whole, and the programs that keep them; what
    /// begins with them from now on waits at its start.
    pub fn hold_which(&mut self, which: Which<'_>) -> Touched {
        // A jog begins also under a hold, but none that was asked for before it.
        self.drop_waiting_jogs(which);
        match which {
            Which::All => {
                if !self.is_stopped() {
                    self.held_since.get_or_insert(self.now);
                }
            }
            // Those of a program are held with it, and may be moved meanwhile.
            Which::Motors(motors) => {
                let own = motors.iter().filter(|&&m| self.keeper(m).is_none());
                let own: Vec<_> = own.copied().collect();
                self.holds.extend(own);
            }
        }
        self.hold_under_way(which)
    }

    /// The same of the moves and programs that there are: what is asked for later begins as ever.
    pub fn hold_under_way(&mut self, which: Which<'_>) -> Touched {
        let programs = self.programs_of(which);
        programs.iter().for_each(|p| self.hold_claim(p));
        let ids = self.moves_of(which, &programs);
        for &id in &ids {
            // One that is on its way to a stop goes on to that.
            let _ = self.hold_move(id);
        }
        let moves: Vec<_> = ids.into_iter().map(|id| (id, self.legs_of(id))).collect();
        let kept = programs.iter().filter_map(|p| self.claims.get(p)).flat_map(|c| &c.motors);
        let moving = moves.iter().flat_map(|(_, motors)| motors);
        let with: BTreeSet<MotorIndex> = kept.chain(moving).copied().collect();
        self.hold_waiting(|m| which.has(m) || with.contains(&m));
        Touched { moves, programs, dropped: Vec::new() }
    }

    /// On from a hold. Of some motors: the moves and the programs that they are part of, as a whole; a hold of
    /// everything goes on holding the others.
    pub fn resume_which(&mut self, which: Which<'_>) -> Result<Touched, MoveError> {
        let programs = self.programs_of(which);
        let ids = self.moves_of(which, &programs);
        // All of it, or none.
        for &id in &ids {
            self.way_back(id)?;
        }
        for program in &programs {
            self.is_undisturbed(program)?;
            self.programs_way_back(program)?;
        }
        let motors = match which {
            Which::All => {
                self.end_hold();
                self.holds.clear();
                let mut done = self.resume_programs(&programs);
                for &id in &ids {
                    if !self.keeps_back(id) {
                        done = done.and(self.go_on(id));
                    }
                }
                done?;
                let moves = ids.into_iter().map(|id| (id, self.legs_of(id))).collect();
                return Ok(Touched { moves, programs, dropped: Vec::new() });
            }
            Which::Motors(motors) => motors,
        };
        let mut free: Vec<MotorIndex> = motors.to_vec();
        ids.iter().for_each(|&id| free.extend(self.legs_of(id)));
        for program in &programs {
            free.extend(self.claims.get(program).into_iter().flat_map(|c| &c.motors));
        }
        if self.held_since.is_some() {
            // The hold of everything becomes one of everything else.
            self.end_hold();
            self.holds = (0..self.models.len()).collect();
        }
        free.iter().for_each(|m| {
            self.holds.remove(m);
        });
        self.resume_programs(&programs)?;
        for &id in &ids {
            if !self.keeps_back(id) {
                self.go_on(id)?;
            }
        }
        let moves = ids.into_iter().map(|id| (id, self.legs_of(id))).collect();
        Ok(Touched { moves, programs, dropped: Vec::new() })
    }

    /// Whether nobody else moves a motor of a held program just now.
    fn is_undisturbed(&self, program: &Arc<str>) -> Result<(), MoveError> {
        let claim = self.claims.get(program).filter(|c| c.held_since.is_some());
        let motors = claim.into_iter().flat_map(|c| &c.motors);
        // What it shares and others have is theirs.
        for &motor in motors.filter(|&&m| self.keeper(m) == Some(program)) {
            let by = self.motors[motor].busy.and_then(|id| self.active.get(&id));
            if by.is_some_and(|a| a.owner.program() != Some(program)) {
                return Err(MoveError::Busy { motor: self.models[motor].name.clone() });
            }
        }
        Ok(())
    }

    /// They go on: at once, or when their motors have come back.
    fn resume_programs(&mut self, programs: &[Arc<str>]) -> Result<(), MoveError> {
        let mut done = Ok(());
        for program in programs {
            match self.bring_back(program) {
                Ok(true) => {}
                Ok(false) => self.resume_claim(program),
                Err(e) => done = done.and(Err(e)),
            }
        }
        done
    }

    pub(super) fn go_on(&mut self, id: MoveId) -> Result<(), MoveError> {
        if self.active.get(&id).is_some_and(|a| a.aside().is_some()) {
            return self.come_back(id);
        }
        self.aim(id, Aim::Go);
        Ok(())
    }

    /// Brings to rest what has to do with these motors, and drops the rest of it: their moves, those that wait, and
    /// the programs that keep them. It ends holds, too.
    pub fn stop_which(&mut self, which: Which<'_>) -> Touched {
        let programs = self.programs_of(which);
        self.stop_with(which, programs)
    }

    /// The same, with these programs.
    pub(super) fn stop_with(&mut self, which: Which<'_>, programs: Vec<Arc<str>>) -> Touched {
        let dropped = self.drop_waiting(which);
        let mut touched = Touched { programs, dropped, ..Touched::default() };
        for program in &touched.programs {
            if let Some(claim) = self.claims.get_mut(program) {
                claim.ending = true;
            }
            self.resume_claim(program);
        }
        for id in self.moves_of(which, &touched.programs) {
            let Some(active) = self.active.get(&id) else { continue };
            let whole = active.owner.program().is_some_and(|p| touched.programs.contains(p));
            match which {
                Which::Motors(motors) if !whole => {
                    let legs: Vec<_> = self.legs_of(id);
                    for motor in legs.iter().copied().filter(|m| motors.contains(m)) {
                        self.stop_motor(motor);
                    }
                    // What lies on a line comes to rest as a whole.
                    let on_line = self.active.get(&id).is_some_and(|a| a.is_stopping());
                    let rest = |m: &MotorIndex| on_line || motors.contains(m);
                    touched.moves.push((id, legs.into_iter().filter(rest).collect()));
                }
                _ => {
                    touched.moves.push((id, self.legs_of(id)));
                    self.come_to_rest(id, Cause::Stopped);
                }
            }
        }
        match which {
            Which::All => {
                self.end_hold();
                self.holds.clear();
            }
            Which::Motors(motors) => motors.iter().for_each(|m| {
                self.holds.remove(m);
            }),
        }
        touched
    }

    /// Stops a program, and all that it moves. A motor that was held before it began stays held: it may have been
    /// held after this was asked for.
    pub fn stop_program(&mut self, program: &str) -> Touched {
        let Some((name, _)) = self.claims.get_key_value(program) else {
            return Touched::default();
        };
        let name = name.clone();
        if let Some(claim) = self.claims.get_mut(program) {
            claim.ending = true;
        }
        self.resume_claim(program);
        let ids = self.moves_of(Which::Motors(&[]), std::slice::from_ref(&name));
        let moves = ids.iter().map(|&id| (id, self.legs_of(id))).collect();
        ids.into_iter().for_each(|id| self.come_to_rest(id, Cause::Stopped));
        Touched { moves, programs: vec![name], dropped: Vec::new() }
    }

    /// Whether what a verb was for has come to what was wanted: those motors of those moves rest.
    pub fn is_settled(&self, touched: &Touched) -> bool {
        touched.moves.iter().all(|(id, motors)| {
            self.active.get(id).is_none_or(|active| {
                active.is_held() || !active.legs.iter().any(|l| motors.contains(&l.motor()))
            })
        })
    }

    /// Whether one motor rests, as far as that verb was for it.
    pub fn rests(&self, touched: &Touched, motor: MotorIndex) -> bool {
        touched.moves.iter().filter(|m| m.1.contains(&motor)).all(|(id, _)| {
            let active = self.active.get(id);
            active.is_none_or(|active| active.is_held() || active.leg(motor).is_none())
        })
    }

    /// Whether something goes on that was to be held: it has been resumed.
    pub fn goes_on(&self, touched: &Touched) -> bool {
        let mut held = touched.moves.iter().filter_map(|(id, _)| self.active.get(id));
        held.any(|active| active.legs.iter().any(|l| l.aim == Aim::Go))
    }

    fn legs_of(&self, id: MoveId) -> Vec<MotorIndex> {
        self.active.get(&id).map(Active::motors).unwrap_or_default()
    }

    /// Whether a hold keeps a move from going on.
    pub(super) fn keeps_back(&self, id: MoveId) -> bool {
        let Some(active) = self.active.get(&id) else { return false };
        let held = |l: &super::active::Leg| self.holds.contains(&l.motor());
        let claim = active.owner.program().and_then(|p| self.claims.get(p));
        // Somebody keeps asking for a jog, and it ends by itself: it is for the hand at the machine.
        let by_hand = active.kind == MoveKind::Jog && active.owner.program().is_none();
        if by_hand && !active.is_told() {
            return false;
        }
        self.is_held()
            || active.legs.iter().any(held)
            || claim.is_some_and(|c| c.held_since.is_some()) && !self.is_way_back(id, &active.owner)
    }

    /// Whether a motor is held: what begins with it waits.
    pub fn is_motor_held(&self, motor: MotorIndex) -> bool {
        self.held_since.is_some() || self.holds.contains(&motor)
    }
}
