//! What the machine says, in the words of the protocol.

use crate::config::MotorUnit;
use crate::machine::{
    self, ClearError, MachineError, MachineState, MotorOutcome, MoveError, Outcome, Place,
    RunResult,
};
use crate::moves::Refusal;
use crate::protocol::{self, EndResult, ErrorCode, ErrorReply, MotorPlace, OutcomeWord};
use crate::sync::{EventError, HeldBy, LeaseError, RendezvousError};
use crate::units::{Angle, AngularSpeed, Dimension, Length, Speed, SpeedShare, UnitError};

/// A refusal by the machine.
pub(super) fn refused(error: &MoveError) -> ErrorReply {
    let code = match error.code() {
        Refusal::BadValue => ErrorCode::BadValue,
        Refusal::UnknownMotor => ErrorCode::UnknownMotor,
        Refusal::UnknownMove => ErrorCode::UnknownMove,
        Refusal::WrongMotor => ErrorCode::WrongMotor,
        Refusal::Busy => ErrorCode::Busy,
        Refusal::QueueFull => ErrorCode::QueueFull,
        Refusal::Limit => ErrorCode::Limit,
        Refusal::PlaceUnknown => ErrorCode::PlaceUnknown,
        Refusal::NothingToDo => ErrorCode::NothingToDo,
        Refusal::Fault => ErrorCode::Fault,
        Refusal::Stopped => ErrorCode::Stopped,
        Refusal::Closing => ErrorCode::Closing,
        Refusal::Hardware => ErrorCode::Hardware,
        Refusal::Power => ErrorCode::Power,
        Refusal::TooMany => ErrorCode::TooMany,
    };
    ErrorReply::new(code, error.to_string()).about(error.motors())
}

/// A program that can't begin.
pub(super) fn no_program(error: &MachineError) -> ErrorReply {
    match error {
        MachineError::Move(error) => refused(error),
        MachineError::UnknownProgram { .. } | MachineError::NoProgram { .. } => {
            ErrorReply::new(ErrorCode::UnknownProgram, error.to_string())
        }
        _ => ErrorReply::new(ErrorCode::Limit, error.to_string()),
    }
}

pub(super) fn no_clear(error: &ClearError) -> ErrorReply {
    ErrorReply::new(ErrorCode::Fault, error.to_string()).about([error.motor()])
}

pub(super) fn no_event(error: &EventError) -> ErrorReply {
    let code = match error {
        EventError::TimedOut { .. } => ErrorCode::Timeout,
        EventError::Stopped { .. } => ErrorCode::Closing,
        EventError::TooMany { .. } => ErrorCode::TooMany,
        _ => ErrorCode::BadValue,
    };
    let mut reply = ErrorReply::new(code, error.to_string());
    if let EventError::TimedOut { missing } | EventError::Stopped { missing } = error {
        reply.facts.missing.clone_from(missing);
    }
    reply
}

pub(super) fn no_lease(error: &LeaseError) -> ErrorReply {
    let code = match error {
        LeaseError::Busy { .. } => ErrorCode::Busy,
        LeaseError::Stopped | LeaseError::Disconnected => ErrorCode::Closing,
        LeaseError::NotYours { .. } => ErrorCode::NotYours,
        LeaseError::Ended(_) | LeaseError::NoSuchToken => ErrorCode::UnknownLease,
        LeaseError::TooMany { .. } => ErrorCode::TooMany,
        LeaseError::Count { .. } | LeaseError::NoHeartbeat => ErrorCode::BadValue,
    };
    let mut reply = ErrorReply::new(code, error.to_string());
    if let LeaseError::Busy { held } = error {
        reply.facts.motors = held.iter().map(|h| h.motor.clone()).collect();
        reply.facts.holder = held.first().map(|h| match &h.by {
            HeldBy::Holder(name) | HeldBy::Queue(name) | HeldBy::Lost(name) => name.clone(),
        });
    }
    reply
}

pub(super) fn no_meeting(error: &RendezvousError) -> ErrorReply {
    let code = match error {
        RendezvousError::Broken { .. } => ErrorCode::Broken,
        RendezvousError::TimedOut { .. } => ErrorCode::Timeout,
        RendezvousError::Stopped { .. } => ErrorCode::Closing,
        RendezvousError::PartiesDiffer { .. } => ErrorCode::PartiesDiffer,
        RendezvousError::TooMany { .. } => ErrorCode::TooMany,
        _ => ErrorCode::BadValue,
    };
    ErrorReply::new(code, error.to_string())
}

/// A place as the protocol has it.
pub(super) fn place(
    position: Option<f64>,
    unit: MotorUnit,
    steps: Option<i64>,
    place: Place,
) -> MotorPlace {
    let (unit, place) = (unit.symbol().to_owned(), place.word().to_owned());
    MotorPlace { position: position.filter(|p| p.is_finite()), unit, steps, place }
}

/// How a motor's part ended; `known` is what is known of its place now.
pub(super) fn outcome(motor: &MotorOutcome, known: Place) -> protocol::MotorOutcome {
    let at = place(Some(motor.position), motor.unit, motor.steps, known);
    match &motor.outcome {
        Outcome::Reached => {
            protocol::MotorOutcome { outcome: OutcomeWord::Reached, by: None, cause: None, at }
        }
        Outcome::Short { by, cause } => protocol::MotorOutcome {
            outcome: OutcomeWord::Short,
            // A servo that turns continuously has no place that it could be short of.
            by: Some(*by).filter(|_| motor.unit != MotorUnit::Percent),
            cause: Some(cause.word().to_owned()),
            at,
        },
    }
}

pub(super) fn result(result: RunResult) -> EndResult {
    match result {
        RunResult::Done => EndResult::Done,
        RunResult::Failed => EndResult::Failed,
        RunResult::Stopped => EndResult::Stopped,
    }
}

/// Why nothing moves after a halt, until `clear`.
pub(super) const HALTED: &str = "the machine was halted";

/// The machine's state as clients see it; `reason` is why it waits for `clear`, if it does.
pub(super) fn state(state: MachineState, reason: Option<&str>) -> protocol::MachineState {
    match state {
        MachineState::Fault => protocol::MachineState::Fault,
        _ if reason == Some(HALTED) => protocol::MachineState::Halted,
        _ if reason.is_some() => protocol::MachineState::Fault,
        MachineState::Idle => protocol::MachineState::Ready,
        MachineState::Moving | MachineState::Holding | MachineState::Stopping => {
            protocol::MachineState::Moving
        }
        MachineState::Held => protocol::MachineState::Held,
        MachineState::Stopped | MachineState::Halted => protocol::MachineState::Halted,
    }
}

/// A target with its unit.
pub(super) fn class(class: protocol::Class) -> machine::Class {
    match class {
        protocol::Class::Feed => machine::Class::Feed,
        protocol::Class::Jog => machine::Class::Jog,
    }
}

pub(super) fn position(target: protocol::Target) -> machine::Position {
    let quantity = target.quantity();
    match quantity.dimension {
        Dimension::Angle => Angle(quantity.value).into(),
        _ => Length(quantity.value).into(),
    }
}

/// A velocity with its unit; an error where it is more than full speed.
pub(super) fn velocity(motor: &str, rate: protocol::Rate) -> Result<machine::Velocity, ErrorReply> {
    let quantity = rate.quantity();
    Ok(match quantity.dimension {
        Dimension::AngularSpeed => AngularSpeed(quantity.value).into(),
        Dimension::Percent => {
            let share = rate.to_string().parse::<SpeedShare>();
            let refused = |e: UnitError| {
                let text = format!("{motor}: {e}");
                ErrorReply::new(ErrorCode::BadValue, text).about([motor])
            };
            share.map_err(refused)?.into()
        }
        _ => Speed(quantity.value).into(),
    })
}
