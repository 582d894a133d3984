//! How moves end before their time: a stop, a halt, the end of the program.

use super::active::{Active, Aim};
use super::outcome::Cause;
use super::stage::Stage;
use super::{MoveBook, Ordered, STOP_PATIENCE, Which};
use crate::motor::{Command, MoveId};

impl MoveBook {
    /// Brings a move to rest: breaks its barrier, or changes its plan in two phases.
    pub fn come_to_rest(&mut self, id: MoveId, cause: Cause) {
        let now = self.now;
        let Some(active) = self.active.get_mut(&id) else { return };
        active.cause.get_or_insert(cause);
        match &mut active.stage {
            Stage::Waiting(_) | Stage::Queued => self.never_begin(id),
            Stage::Arming(arming) => {
                // Who takes up backlash does so to its end.
                arming.patience = arming.patience.min(now + STOP_PATIENCE + self.wake_slack);
                arming.barrier.abort();
            }
            Stage::Running(_) => {
                self.alter(id, |active| {
                    active.stage.stop();
                    active.aim(Aim::Stop);
                });
            }
            Stage::Stopping(_) | Stage::Halting(_) => {}
        }
    }

    /// A move that no motor has been told of ends.
    fn never_begin(&mut self, id: MoveId) {
        let motors = self.active.get(&id).map(Active::motors).unwrap_or_default();
        for motor in motors {
            // One that stepped aside had begun.
            self.end_part(id, motor, |a| match a.aside() {
                Some(_) => Cause::Stopped,
                None => Cause::NotStarted(Vec::new()),
            });
        }
    }

    /// The motors of a move stand still after their last whole pulse.
    ///
    /// `last`: who does not do so in time is given up, and not told again first.
    pub(super) fn halt_move(&mut self, id: MoveId, last: bool) {
        let now = self.now;
        let Some(active) = self.active.get_mut(&id) else { return };
        active.cause.get_or_insert(Cause::Stopped);
        if !active.is_told() {
            return self.never_begin(id);
        }
        active.stage.halt(now, now + STOP_PATIENCE, last);
        for leg in &mut active.legs {
            (leg.aim, leg.course) = (Aim::Stop, Aim::Stop);
        }
        for motor in active.motors() {
            self.tell(motor, Command::Halt);
        }
    }

    /// Whatever moves comes to rest, for good: the loops are about to end.
    pub fn finish(&mut self) {
        self.finished = true;
        let ids: Vec<_> = self.active.keys().copied().collect();
        ids.into_iter().for_each(|id| self.come_to_rest(id, Cause::Stopped));
    }

    /// Moves may begin again: nothing moves, and nothing is set any more that would stop them.
    pub fn clear(&mut self) {
        (self.stop_set, self.halt_set) = (false, false);
        self.ordered = Ordered::Nothing;
    }

    /// Servos go to their parking places: a first signal stops everything, and this belongs to the stop; a second
    /// one ends it. What was ordered before is to be handed back.
    pub fn park_begins(&mut self) -> Ordered {
        std::mem::replace(&mut self.ordered, Ordered::Stop)
    }

    /// They are there.
    pub fn park_ends(&mut self, before: Ordered) {
        if self.ordered != Ordered::Halt {
            self.ordered = before;
        }
    }

    /// A stop event is newly set: the orderly one, or the halt.
    pub fn on_stop(&mut self) {
        if self.halt_set && self.ordered != Ordered::Halt {
            self.ordered = Ordered::Halt;
            self.end_everything();
            let ids: Vec<_> = self.active.keys().copied().collect();
            ids.into_iter().for_each(|id| self.halt_move(id, true));
        } else if self.stop_set && self.ordered == Ordered::Nothing {
            self.ordered = Ordered::Stop;
            self.end_everything();
            let ids: Vec<_> = self.active.keys().copied().collect();
            ids.into_iter().for_each(|id| self.come_to_rest(id, Cause::Stopped));
        }
    }

    /// What waits never begins, programs end, and holds are over.
    fn end_everything(&mut self) {
        self.drop_waiting(Which::All);
        self.end_hold();
        self.holds.clear();
        for claim in self.claims.values_mut() {
            (claim.ending, claim.held_since) = (true, None);
        }
    }

    /// Each motor's `on-stop`, once it is at rest.
    pub fn apply_on_stop(&mut self) {
        let config = self.config.clone();
        for (motor, c) in config.motors.iter().enumerate() {
            if c.drive.kind().releases_on_stop() && self.motors[motor].fault.is_none() {
                // Let go, a servo may be moved by hand, and a rotor falls to the nearest full step.
                match self.models[motor].steps {
                    None => {
                        let state = &mut self.motors[motor];
                        (state.angle, state.left_at) = (None, None);
                    }
                    Some(_) => self.motors[motor].doubt(),
                }
                self.motors[motor].powered = false;
                self.tell(motor, Command::Release);
            }
        }
    }
}
