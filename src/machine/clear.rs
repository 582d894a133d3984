//! Motors with a fault, taken back once its cause has gone.

use std::time::Duration;

use thiserror::Error;

use super::Machine;
use crate::hal::HalError;
use crate::motor::{Command, FaultKind, MotorIndex};

/// How long a loop may take to say that it has recovered.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why motors with a fault were not taken back: none of them was.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum ClearError {
    /// The cause has not gone.
    #[error(
        "{motor}: its driver still reports a fault: its fault line, GPIO{gpio}, is active. A driver that keeps \
         its fault needs its reset, or its supply off and on again"
    )]
    StillActive {
        /// The motor.
        motor: String,
        /// Its fault line.
        gpio: u8,
    },
    /// Nobody can tell whether the cause has gone.
    #[error("{motor}: its fault line can't be read: {error}")]
    Unreadable {
        /// The motor.
        motor: String,
        /// Why not.
        error: HalError,
    },
    /// After such a fault nobody knows what the motor's outputs do.
    #[error("{motor}: {fault}; this can't be cleared: mend it and start again")]
    ForGood {
        /// The motor.
        motor: String,
        /// Its fault.
        fault: FaultKind,
    },
    /// Its loop does not say that it has recovered.
    #[error("{motor}: its loop does not answer: start again")]
    NoAnswer {
        /// The motor.
        motor: String,
    },
}

impl ClearError {
    /// The motor that stands in the way.
    pub fn motor(&self) -> &str {
        match self {
            ClearError::StillActive { motor, .. }
            | ClearError::Unreadable { motor, .. }
            | ClearError::ForGood { motor, .. }
            | ClearError::NoAnswer { motor } => motor,
        }
    }
}

impl Machine {
    /// Takes every motor back that has a fault whose cause has gone, and says which: a driver's fault whose line
    /// is no longer active, or a plan that broke a limit of the motor's own. All of them, or none. Nothing moves,
    /// or is switched on or off. The place of an axis is [`Place::Unverified`](super::Place) at best: a driver
    /// that had a fault may have lost steps.
    ///
    /// What can't be cleared: an output that was refused, since nobody knows then what a pin shows, and a loop
    /// that panicked, hangs, or has no outputs any more.
    ///
    /// ```
    /// use std::time::Duration;
    /// use lockstep::config::Config;
    /// use lockstep::machine::{Machine, Move, Place};
    /// use lockstep::units::Length;
    ///
    /// let config = Config::from_file("config/xyz-stage.toml")?.config;
    /// let mut machine = Machine::builder(config).virtual_time().build()?;
    /// machine.inject_fault("x", Duration::from_millis(100))?;
    /// machine.run_for(Duration::from_millis(200));
    /// assert!(machine.start(&Move::new().to("x", Length(10.0))).is_err());
    /// assert_eq!(machine.clear_faults()?, ["x"]);
    /// let id = machine.start(&Move::new().to("x", Length(10.0)))?;
    /// assert!(machine.wait(id).all_reached());
    /// assert_eq!(machine.place("x"), Some(Place::Unverified));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ClearError`]: which motor stands in the way, and why.
    pub fn clear_faults(&mut self) -> Result<Vec<String>, ClearError> {
        self.hear_out();
        let faulty =
            |machine: &Machine, motor: MotorIndex| machine.book.motors[motor].fault.is_some();
        let mut motors: Vec<_> = (0..self.book.motors.len()).filter(|&m| faulty(self, m)).collect();
        motors.iter().try_for_each(|&motor| self.may_clear(motor))?;
        let name = |machine: &Machine, motor: MotorIndex| machine.book.models[motor].name.clone();
        let names: Vec<_> = motors.iter().map(|&m| name(self, m)).collect();
        for &motor in &motors {
            if let Err(e) = self.roster.fleet.send(motor, Command::Recover) {
                log::error!("{e}");
                return Err(ClearError::NoAnswer { motor: name(self, motor) });
            }
        }
        let deadline = self.now() + PATIENCE;
        loop {
            motors.retain(|&m| faulty(self, m));
            let Some(&motor) = motors.first() else { return Ok(names) };
            if self.now() >= deadline {
                // Its line has become active in the meantime, or it does not answer.
                self.may_clear(motor)?;
                return Err(ClearError::NoAnswer { motor: name(self, motor) });
            }
            self.pump(deadline);
        }
    }

    /// Whether the cause of a motor's fault has gone, as far as anybody can tell.
    fn may_clear(&self, motor: MotorIndex) -> Result<(), ClearError> {
        let (state, name) = (&self.book.motors[motor], &self.book.models[motor].name);
        if let Some(fault) = state.fault.as_ref().filter(|fault| !fault.can_be_cleared()) {
            return Err(ClearError::ForGood { motor: name.clone(), fault: fault.clone() });
        }
        let Some(line) = &self.roster.fault_lines[motor] else { return Ok(()) };
        match line.watched.is_active() {
            Ok(false) => Ok(()),
            Ok(true) => Err(ClearError::StillActive { motor: name.clone(), gpio: line.gpio }),
            Err(error) => Err(ClearError::Unreadable { motor: name.clone(), error }),
        }
    }
}
