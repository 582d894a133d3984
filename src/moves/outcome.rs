use std::fmt;

use crate::config::MotorUnit;
use crate::motor::{FaultKind, Limit, MoveId};

/// Why a motor fell short of its target.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// A stop was asked for, or another motor of the move failed.
    Stopped,
    /// The move's time-out passed.
    Timeout,
    /// An edge was later than `max-lateness`.
    Late,
    /// The motor or its driver failed.
    Fault(FaultKind),
    /// The motor's own loop refused the plan, which did not keep this limit.
    Limit(Limit),
    /// The move never started: these motors did not come to the barrier in time, or it was stopped
    /// before it began (then the list is empty).
    NotStarted(Vec<String>),
    /// It got no current in time, or none at all: why.
    Power(String),
    /// The motor's loop did not come to rest when it was told to.
    NoAnswer,
    /// It came to rest at its target before the motors had agreed on a new one.
    Missed,
    /// It came to rest where it should, by its commands, but its pulses could not be counted: the steps
    /// made lie between these two.
    Uncounted {
        /// Steps at least, counted from position 0.
        low: i64,
        /// Steps at most.
        high: i64,
    },
}

impl Cause {
    /// One word, as reports and JSON have it.
    pub fn word(&self) -> &'static str {
        match self {
            Cause::Stopped => "stopped",
            Cause::Timeout => "timeout",
            Cause::Late => "late",
            Cause::Fault(_) => "fault",
            Cause::Limit(_) => "limit",
            Cause::NotStarted(_) => "not-started",
            Cause::Power(_) => "power",
            Cause::NoAnswer => "no-answer",
            Cause::Missed => "missed",
            Cause::Uncounted { .. } => "uncounted",
        }
    }
}

impl Cause {
    /// Whether it was the stop that was asked for, running or before the start; else something failed.
    pub fn is_stop(&self) -> bool {
        match self {
            Cause::Stopped => true,
            Cause::NotStarted(who) => who.is_empty(),
            _ => false,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Stopped => f.write_str("stopped"),
            Cause::Timeout => f.write_str("its time-out passed"),
            Cause::Late => f.write_str("edges came later than max-lateness"),
            Cause::Fault(kind) => write!(f, "fault: {kind}"),
            Cause::Limit(limit) => write!(f, "refused: {limit}"),
            Cause::NotStarted(who) if who.is_empty() => f.write_str("not started"),
            Cause::NotStarted(who) => write!(f, "not started: {} did not come", who.join(", ")),
            Cause::Power(why) => f.write_str(why),
            Cause::NoAnswer => f.write_str("its loop does not answer"),
            Cause::Missed => f.write_str("its new target came too late"),
            Cause::Uncounted { low, high } => {
                write!(f, "its pulses could not be counted: between {low} and {high} steps")
            }
        }
    }
}

/// How a motor's part of a move ended.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// Every edge to the target was emitted. Without feedback it can mean no more.
    Reached,
    /// It stands short of its target.
    Short {
        /// By how much, in the motor's unit.
        by: f64,
        /// Why.
        cause: Cause,
    },
}

impl Outcome {
    /// Whether the target was reached.
    pub fn is_reached(&self) -> bool {
        *self == Outcome::Reached
    }
}

/// How a move ended, as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EndResult {
    /// Every motor reached its target.
    Done,
    /// It was stopped.
    Stopped,
    /// A motor failed.
    Failed,
    /// It was taken back before it began.
    Cancelled,
}

impl EndResult {
    /// What these outcomes come to.
    pub(crate) fn of(outcomes: &[MotorOutcome]) -> EndResult {
        let reached = |o: &MotorOutcome| o.outcome.is_reached();
        let stopped = |o: &MotorOutcome| match &o.outcome {
            Outcome::Short { cause, .. } => *cause == Cause::Stopped,
            Outcome::Reached => true,
        };
        if outcomes.iter().all(reached) {
            EndResult::Done
        } else if outcomes.iter().all(stopped) {
            EndResult::Stopped
        } else {
            EndResult::Failed
        }
    }
}

/// What is known of a motor's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Nobody told where it is; or it was halted while faster than its start-stop speed.
    Unknown,
    /// Where a person, or the simulator, says it started, and every step since.
    Assumed,
    /// Where it stood when the machine before this one ended cleanly, and every step since. Nobody has
    /// looked whether it was moved in between.
    Restored,
    /// A servo under its signal.
    Commanded,
    /// A fault stopped it, or its driver let go: steps were emitted that it may not have made; or its
    /// pulses could not be counted.
    Unverified,
    /// It turns at a rate that nobody counts: an estimate.
    Estimated,
}

impl Place {
    /// One word, as reports and JSON have it.
    pub fn word(self) -> &'static str {
        match self {
            Place::Unknown => "unknown",
            Place::Assumed => "assumed",
            Place::Restored => "restored",
            Place::Commanded => "commanded",
            Place::Unverified => "unverified",
            Place::Estimated => "estimated",
        }
    }
}

/// Where a motor stands.
#[derive(Clone, PartialEq, Debug)]
pub struct MotorPosition {
    /// The motor's name.
    pub motor: String,
    /// Where it stands by its emitted edges, in its unit; `None` for a servo without a signal.
    pub position: Option<f64>,
    /// Steps emitted, counted from position 0; none for a servo.
    pub steps: Option<i64>,
    /// Its unit.
    pub unit: MotorUnit,
}

/// A move at rest by a hold: where its motors stand. Those that had ended before are not in it.
#[derive(Clone, PartialEq, Debug)]
pub struct Held {
    /// The move.
    pub id: MoveId,
    /// One for each motor.
    pub motors: Vec<MotorPosition>,
}

/// One motor's end of a move.
#[derive(Clone, PartialEq, Debug)]
pub struct MotorOutcome {
    /// The move.
    pub id: MoveId,
    /// The motor's name.
    pub motor: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Where it stands by its emitted edges, in its unit.
    pub position: f64,
    /// Steps emitted, counted from position 0; none for a servo.
    pub steps: Option<i64>,
    /// Its unit.
    pub unit: MotorUnit,
    /// What was known of its place then.
    pub place: Place,
}

/// A move's end: one outcome for each of its motors, in the order they came.
#[derive(Clone, PartialEq, Debug)]
pub struct MoveOutcome {
    /// The move.
    pub id: MoveId,
    /// One for each motor.
    pub motors: Vec<MotorOutcome>,
    /// The move has not ended: it is held, and these are the motors that had ended before.
    pub held: bool,
}

impl MoveOutcome {
    /// Whether every motor reached its target.
    pub fn all_reached(&self) -> bool {
        !self.held && self.motors.iter().all(|m| m.outcome.is_reached())
    }

    /// The motors that fell short.
    pub fn failed(&self) -> impl Iterator<Item = &MotorOutcome> {
        self.motors.iter().filter(|m| !m.outcome.is_reached())
    }

    /// The outcome of the motor of that name.
    pub fn motor(&self, name: &str) -> Option<&MotorOutcome> {
        self.motors.iter().find(|m| m.motor == name)
    }
}
