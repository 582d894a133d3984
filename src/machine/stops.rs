//! How moves end before their time: a stop, a halt, the end of the program.

use std::time::Duration;

use super::active::{Active, Aim, Stage};
use super::outcome::Cause;
use super::{CHANGE_ATTEMPTS, Machine, STOP_PATIENCE};
use crate::config::{Drive, ServoStop};
use crate::motor::{Command, MoveId};
use crate::runtime::Heed;

impl Machine {
    /// Brings a move to rest: breaks its barrier, or changes its plan in two phases.
    pub(super) fn come_to_rest(&mut self, id: MoveId, cause: Cause) {
        let now = self.now();
        let Some(active) = self.active.get_mut(&id) else { return };
        active.cause.get_or_insert(cause);
        match active.stage {
            Stage::Waiting | Stage::Queued => self.never_begin(id),
            Stage::Arming => {
                // Who takes up backlash does so to its end.
                active.patience = active.patience.min(now + STOP_PATIENCE + self.wake_slack);
                active.barrier.abort();
            }
            Stage::Running => {
                self.alter(id, |active| {
                    active.stage = Stage::Stopping;
                    active.aim(Aim::Stop);
                });
            }
            Stage::Stopping => {}
        }
    }

    /// A move that no motor has been told of ends.
    fn never_begin(&mut self, id: MoveId) {
        let motors = self.active.get(&id).map(Active::motors).unwrap_or_default();
        for motor in motors {
            self.end_part(id, motor, |_| Cause::NotStarted(Vec::new()));
        }
    }

    /// The motors of a move stand still after their last whole pulse.
    pub(super) fn halt_move(&mut self, id: MoveId) {
        let now = self.now();
        let Some(active) = self.active.get_mut(&id) else { return };
        active.cause.get_or_insert(Cause::Stopped);
        if !active.is_told() {
            return self.never_begin(id);
        }
        active.stage = Stage::Stopping;
        active.halted.get_or_insert(now);
        active.patience = now + STOP_PATIENCE;
        active.attempts = active.attempts.max(CHANGE_ATTEMPTS);
        // What it was to agree on can no longer hold.
        if let Some(proposal) = active.proposal.take() {
            proposal.gate.resolve();
        }
        for leg in &mut active.legs {
            (leg.aim, leg.course) = (Aim::Stop, Aim::Stop);
        }
        for motor in active.motors() {
            if let Err(e) = self.fleet.send(motor, Command::Halt) {
                log::error!("{e}");
            }
        }
    }

    /// A stop event is newly set: the orderly one, or the halt.
    pub(super) fn on_stop(&mut self) {
        if self.halt.is_set() && self.heed != Heed::Nothing {
            self.heed = Heed::Nothing;
            self.end_hold();
            let ids: Vec<_> = self.active.keys().copied().collect();
            for id in ids {
                if let Some(active) = self.active.get_mut(&id) {
                    active.attempts = CHANGE_ATTEMPTS + 1;
                    active.barrier.abort();
                }
                self.halt_move(id);
            }
        } else if self.stop.is_set() && self.heed == Heed::Stop {
            self.heed = Heed::Halt;
            self.end_hold();
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
                    None => {
                        let state = &mut self.motors[motor];
                        (state.angle, state.left_at) = (None, None);
                    }
                    Some(_) => self.motors[motor].doubt(),
                }
                self.motors[motor].powered = false;
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
            log::error!(
                "these motors' loops did not end: {}. Their outputs are as they left them: once this \
                 program has ended, `lockstep safe` makes them safe",
                left.join(", ")
            );
        }
        left
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.finish();
    }
}
