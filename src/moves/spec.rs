use std::time::Duration;

use super::{MotorModel, MoveBook, MoveError};
use crate::config::{Arrive, MotorUnit, OnFault};
use crate::motor::MotorIndex;
use crate::units::{Angle, Length};

/// A position with its unit: [`Length`] for a linear axis, [`Angle`] for a rotary axis or a servo.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Position {
    /// Millimetres.
    Length(Length),
    /// Degrees.
    Angle(Angle),
}

impl From<Length> for Position {
    fn from(length: Length) -> Position {
        Position::Length(length)
    }
}

impl From<Angle> for Position {
    fn from(angle: Angle) -> Position {
        Position::Angle(angle)
    }
}

impl MotorModel {
    /// A position as a number in the motor's unit.
    ///
    /// # Errors
    ///
    /// [`MoveError::WrongUnit`].
    pub fn number(&self, position: Position) -> Result<f64, MoveError> {
        match (position, self.unit) {
            (Position::Length(l), MotorUnit::Millimetre) => Ok(l.0),
            (Position::Angle(a), MotorUnit::Degree) => Ok(a.0),
            (_, MotorUnit::Percent) => Err(MoveError::Continuous { motor: self.name.clone() }),
            (_, unit) => {
                Err(MoveError::WrongUnit { motor: self.name.clone(), unit: unit.symbol() })
            }
        }
    }
}

/// A move of one or more motors, to be started with [`Machine::start`](crate::machine::Machine::start).
///
/// ```
/// use lockstep::machine::Move;
/// use lockstep::units::Length;
/// let there = Move::new().to("x", Length(100.0)).to("y", Length(65.0)).speed(0.5);
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Move {
    targets: Vec<(String, Position)>,
    pub(super) arrive: Arrive,
    pub(super) speed: f64,
    pub(super) timeout: Option<Duration>,
    pub(super) on_fault: OnFault,
}

impl Default for Move {
    fn default() -> Self {
        Move::new()
    }
}

impl Move {
    /// A move without targets yet: aligned, at full speed, stopping all when one fails.
    pub fn new() -> Move {
        Move {
            targets: Vec::new(),
            arrive: Arrive::Aligned,
            speed: 1.0,
            timeout: None,
            on_fault: OnFault::Stop,
        }
    }

    /// Adds a motor and where it shall go.
    pub fn to(mut self, motor: &str, position: impl Into<Position>) -> Move {
        self.targets.push((motor.to_string(), position.into()));
        self
    }

    /// Whether the motors arrive together on the straight line (the default), or each as soon as it
    /// can.
    pub fn arrive(mut self, arrive: Arrive) -> Move {
        self.arrive = arrive;
        self
    }

    /// The share of the speed limits to use, above 0 and at most 1. Acceleration and jerk stay.
    pub fn speed(mut self, share: f64) -> Move {
        self.speed = share;
        self
    }

    /// When the move comes to rest wherever it is, counted from its start. A plan that takes longer is
    /// refused. Without it: the planned duration and 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Move {
        self.timeout = Some(timeout);
        self
    }

    /// What a fault in one motor means for the others.
    pub fn on_fault(mut self, on_fault: OnFault) -> Move {
        self.on_fault = on_fault;
        self
    }

    /// Refuses what no machine could do.
    pub(crate) fn check(&self) -> Result<(), MoveError> {
        if self.speed > 0.0 && self.speed <= 1.0 {
            return Ok(());
        }
        Err(MoveError::Speed { percent: self.speed * 100.0 })
    }

    /// Names to indices, positions to numbers in each motor's unit.
    pub(crate) fn resolve(&self, book: &MoveBook) -> Result<Vec<(MotorIndex, f64)>, MoveError> {
        if self.targets.is_empty() {
            return Err(MoveError::Empty);
        }
        let mut targets: Vec<(MotorIndex, f64)> = Vec::with_capacity(self.targets.len());
        for (name, position) in &self.targets {
            let index = book.find(name)?;
            let position = book.models[index].number(*position)?;
            if targets.iter().any(|t| t.0 == index) {
                return Err(MoveError::Twice { motor: name.clone() });
            }
            targets.push((index, position));
        }
        Ok(targets)
    }
}
