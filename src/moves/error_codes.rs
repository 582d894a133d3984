//! What kind of refusal an error is, and which motors it is about: for whoever has to answer with a word.

use super::MoveError;

/// The kind of a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// What was asked for makes no sense.
    BadValue,
    /// There is no such motor.
    UnknownMotor,
    /// There is no such move, or it is over.
    UnknownMove,
    /// The motor, or the move, is of another kind.
    WrongMotor,
    /// Somebody else has the motor.
    Busy,
    /// Too many wait already.
    QueueFull,
    /// A limit of the motor, or of the plan.
    Limit,
    /// Nobody knows where the motor is.
    PlaceUnknown,
    /// It is so already, or too late.
    NothingToDo,
    /// The motor has a fault.
    Fault,
    /// A stop holds.
    Stopped,
    /// The machine has ended.
    Closing,
    /// The motor's loop does not answer.
    Hardware,
    /// There is no current for it.
    Power,
    /// Too many wait for current.
    TooMany,
}

impl MoveError {
    /// What kind of refusal it is.
    pub fn code(&self) -> Refusal {
        match self {
            MoveError::Empty
            | MoveError::Twice { .. }
            | MoveError::WrongUnit { .. }
            | MoveError::WrongSpeed { .. }
            | MoveError::Speed { .. }
            | MoveError::Override { .. } => Refusal::BadValue,
            MoveError::UnknownMotor { .. } => Refusal::UnknownMotor,
            MoveError::NotUnderWay { .. } => Refusal::UnknownMove,
            MoveError::NotInMove { .. }
            | MoveError::NotInPath { .. }
            | MoveError::NoCount { .. }
            | MoveError::NoPulses { .. }
            | MoveError::NoPosition { .. }
            | MoveError::Continuous { .. }
            | MoveError::HoldsLoad { .. }
            | MoveError::Blended { .. }
            | MoveError::NotOpen { .. } => Refusal::WrongMotor,
            MoveError::Busy { .. } | MoveError::Kept { .. } | MoveError::Awaited { .. } => {
                Refusal::Busy
            }
            MoveError::TooManyWait { .. } => Refusal::QueueFull,
            MoveError::OutsideTravel { .. }
            | MoveError::LongerThanTimeout { .. }
            | MoveError::SweepTooFast { .. }
            | MoveError::KeyframeTooSoon { .. }
            | MoveError::Turns { .. }
            | MoveError::Plan { .. }
            | MoveError::TooFastToTurn { .. }
            | MoveError::JogSpeed { .. }
            | MoveError::Path(_)
            | MoveError::CannotGoBack { .. }
            | MoveError::Unsafe { .. } => Refusal::Limit,
            MoveError::UnknownPlace { .. } | MoveError::NoSignal { .. } => Refusal::PlaceUnknown,
            MoveError::Arrived { .. } | MoveError::Held => Refusal::NothingToDo,
            MoveError::Faulted { .. } => Refusal::Fault,
            MoveError::Stopped => Refusal::Stopped,
            MoveError::Finished => Refusal::Closing,
            MoveError::NoAnswer { .. } => Refusal::Hardware,
            MoveError::Power(crate::books::PowerError::TooMany { .. }) => Refusal::TooMany,
            MoveError::Power(_) | MoveError::KeptPower { .. } => Refusal::Power,
        }
    }

    /// The motors that it is about, by their names.
    pub fn motors(&self) -> Vec<&str> {
        match self {
            MoveError::UnknownMotor { name, .. } => vec![name],
            MoveError::Twice { motor }
            | MoveError::WrongUnit { motor, .. }
            | MoveError::OutsideTravel { motor, .. }
            | MoveError::Busy { motor }
            | MoveError::Kept { motor, .. }
            | MoveError::Awaited { motor, .. }
            | MoveError::Faulted { motor, .. }
            | MoveError::UnknownPlace { motor }
            | MoveError::NoPosition { motor }
            | MoveError::Continuous { motor }
            | MoveError::WrongSpeed { motor, .. }
            | MoveError::KeyframeTooSoon { motor, .. }
            | MoveError::Turns { motor }
            | MoveError::Plan { motor, .. }
            | MoveError::NotInMove { motor, .. }
            | MoveError::NotInPath { motor, .. }
            | MoveError::Arrived { motor }
            | MoveError::TooFastToTurn { motor }
            | MoveError::JogSpeed { motor, .. }
            | MoveError::NoSignal { motor }
            | MoveError::HoldsLoad { motor }
            | MoveError::NoCount { motor }
            | MoveError::NoPulses { motor }
            | MoveError::Unsafe { motor, .. } => vec![motor],
            MoveError::Empty
            | MoveError::Speed { .. }
            | MoveError::TooManyWait { .. }
            | MoveError::Stopped
            | MoveError::Finished
            | MoveError::LongerThanTimeout { .. }
            | MoveError::SweepTooFast { .. }
            | MoveError::NotUnderWay { .. }
            | MoveError::Blended { .. }
            | MoveError::NotOpen { .. }
            | MoveError::Path(_)
            | MoveError::Held
            | MoveError::CannotGoBack { .. }
            | MoveError::Override { .. }
            | MoveError::NoAnswer { .. }
            | MoveError::Power(_)
            | MoveError::KeptPower { .. } => Vec::new(),
        }
    }
}
