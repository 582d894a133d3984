//! What whoever drives a machine turn by turn asks of it, beside moves: what is under way, and what a motor is
//! told at rest.

use super::{Machine, MoveError, Place};
use crate::config::Config;
use crate::motor::{Command, MotorIndex, MoveId};
use crate::moves::Start;
use crate::units::Instant;

#[cfg_attr(not(feature = "service"), allow(dead_code))]
impl Machine {
    /// The config it was built from, to be kept beside it.
    pub fn shared_config(&self) -> std::sync::Arc<Config> {
        self.book.config.clone()
    }

    /// Lets the machine work until `until`, or until something happened that may interest whoever
    /// waits: a motor spoke, a deadline passed, a stop came, or its waker was used.
    pub fn work(&mut self, until: Instant) {
        self.pump(until);
    }

    /// Whether a move has not ended yet; also while it waits, or is held.
    pub fn is_under_way(&self, id: MoveId) -> bool {
        self.book.is_open(id)
    }

    /// Steps emitted by an axis, counted from position 0; `None` for a servo, and for a name that no
    /// motor has.
    pub fn steps(&self, motor: &str) -> Option<i64> {
        let index = self.book.config.motor_index(motor)?;
        self.book.models[index].steps.map(|_| self.book.motors[index].telemetry.steps())
    }

    /// Whether a move could ever be made, whatever its motors do now: they exist, and its targets lie
    /// in their travels.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(&self, spec: &super::Move) -> Result<(), MoveError> {
        for (motor, target) in spec.resolve(&self.book)? {
            self.book.models[motor].check_travel(target)?;
        }
        Ok(())
    }

    /// Lets go of a motor at rest: a servo's signal ends, an axis' driver is switched off. Never one
    /// that holds a load. What is known of its place afterwards is what letting go leaves of it.
    ///
    /// # Errors
    ///
    /// There is no such motor, it moves, it holds a load, or its loop does not answer.
    pub fn release(&mut self, motor: &str) -> Result<(), MoveError> {
        let index = self.at_rest(motor)?;
        if self.book.config.motors[index].axis().is_some_and(|axis| axis.holds_load) {
            return Err(MoveError::HoldsLoad { motor: motor.to_owned() });
        }
        self.tell_book(|book| book.forget_enable(index));
        self.command(index, Command::Release)?;
        self.tell_book(|book| book.mark_switched(index, false));
        let state = &mut self.book.motors[index];
        state.powered = false;
        match self.book.models[index].steps {
            None => (state.angle, state.left_at) = (None, None),
            Some(_) if state.place == Place::Unknown => {}
            Some(_) => state.place = Place::Unverified,
        }
        Ok(())
    }

    /// Switches an axis' driver on at rest, with a power budget as soon as there is current for it. A servo
    /// gets its signal with its first move.
    ///
    /// # Errors
    ///
    /// There is no such motor, it moves, it is a servo, its loop does not answer, or it could never be
    /// switched on ([`MoveError::Power`]).
    pub fn enable(&mut self, motor: &str) -> Result<(), MoveError> {
        let index = self.book.find(motor)?;
        if self.tell_book(|book| book.enable(index))? {
            self.command(index, Command::Enable)?;
            self.book.motors[index].powered = true;
            self.tell_book(|book| book.mark_switched(index, true));
        }
        Ok(())
    }

    /// Whether a motor could be switched on, or let go, now: what [`Machine::enable`] and [`Machine::release`] look at
    /// before they do anything.
    ///
    /// # Errors
    ///
    /// As theirs.
    pub(crate) fn may_switch(&self, motor: &str, on: bool) -> Result<(), MoveError> {
        let index = self.at_rest(motor)?;
        if let Some(program) = self.book.keeper(index) {
            let (motor, program) = (motor.to_owned(), program.to_string());
            return Err(MoveError::Kept { motor, program });
        }
        let axis = self.book.config.motors[index].axis();
        if !on && axis.is_some_and(|axis| axis.holds_load) {
            return Err(MoveError::HoldsLoad { motor: motor.to_owned() });
        }
        Ok(())
    }

    /// Whether moves may begin at all.
    pub(super) fn may_begin(&self) -> Result<(), MoveError> {
        match (self.book.finished, self.is_stopped()) {
            (true, _) => Err(MoveError::Finished),
            (_, true) => Err(MoveError::Stopped),
            _ => Ok(()),
        }
    }

    pub(super) fn at_rest(&self, motor: &str) -> Result<MotorIndex, MoveError> {
        let index = self.book.find(motor)?;
        self.book.at_rest(index).map(|()| index)
    }

    pub(super) fn command(&mut self, motor: MotorIndex, command: Command) -> Result<(), MoveError> {
        let sent = self.roster.fleet.send(motor, command);
        sent.map_err(|e| MoveError::NoAnswer { error: e.to_string() })
    }

    /// Whether a motor is part of a move that has not ended. False for a name that no motor has.
    pub fn is_busy(&self, motor: &str) -> bool {
        self.book.config.motor_index(motor).is_some_and(|i| self.book.motors[i].busy.is_some())
    }

    /// Whether nothing of a move moves: it has ended, or is held and has come to rest.
    pub fn is_at_rest(&self, id: MoveId) -> bool {
        self.book.is_at_rest(id)
    }

    /// Whether a program that moves this motor may begin.
    ///
    /// # Errors
    ///
    /// Nobody knows where it is, it is busy, or it has a fault.
    pub(crate) fn may_run(&self, motor: MotorIndex) -> Result<(), MoveError> {
        let (model, state) = (&self.book.models[motor], &self.book.motors[motor]);
        if model.steps.is_some() && state.place == Place::Unknown {
            return Err(MoveError::UnknownPlace { motor: model.name.clone() });
        }
        self.book.ready_anywhere(motor, &self.acting).map(|_| ())
    }

    /// Where every motor is now, as a plan begins.
    pub(crate) fn starts(&self) -> Vec<Start> {
        (0..self.book.models.len()).map(|motor| self.book.stands(motor)).collect()
    }
}
