//! What the service tells those who subscribe.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::reply::{EndResult, MotorOutcome, MotorPlace, MoveOutcome};
use super::request::Topic;
use super::status::{MachineState, MotorState};
use super::tagged::tagged;
use super::values::Named;

tagged! {
    /// What happened. The line's `event` says what.
    pub enum Event by "event" {
        /// A move's motors have been let go.
        MoveStarted(MoveStarted) = "move-started",
        /// A motor's part of a move has ended.
        MotorEnded(MotorEnded) = "motor-ended",
        /// A move has ended.
        MoveEnded(MoveEnded) = "move-ended",
        /// Motors have moved or changed their state.
        Motors(MotorsChanged) = "motors",
        /// A named event has come.
        Triggered(Triggered) = "triggered",
        /// The machine has another state.
        Machine(MachineChanged) = "machine",
        /// A program has started or ended.
        Program(ProgramChanged) = "program",
        /// A lease was taken, released or lost.
        Lease(LeaseChanged) = "lease",
        /// The supply's voltage is low, or well again.
        Power(PowerChanged) = "power",
        /// A new config holds.
        Reloaded(Reloaded) = "reloaded",
        /// This client read too slowly, and was not told of events.
        Lost(Lost) = "lost",
        /// The service ends the connection.
        Closing(Closing) = "closing",
    }
}

impl Event {
    /// What it is about; none for those that every client gets.
    pub fn topic(&self) -> Option<Topic> {
        Some(match self {
            Event::MoveStarted(_) | Event::MotorEnded(_) | Event::MoveEnded(_) => Topic::Moves,
            Event::Motors(_) => Topic::Motors,
            Event::Triggered(_) => Topic::Events,
            Event::Machine(_)
            | Event::Program(_)
            | Event::Lease(_)
            | Event::Power(_)
            | Event::Reloaded(_) => Topic::Machine,
            Event::Lost(_) | Event::Closing(_) => return None,
        })
    }
}

/// Fields of [`Event::MoveStarted`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MoveStarted {
    /// The move's number.
    #[serde(rename = "move")]
    pub number: u64,
    /// Its motors.
    pub motors: Vec<String>,
    /// Who asked for it: `client`, `program.NAME`, `start-up`, `park`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// How long its plan takes, in seconds; none for a jog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<f64>,
}

/// Fields of [`Event::MotorEnded`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MotorEnded {
    /// The move's number.
    #[serde(rename = "move")]
    pub number: u64,
    /// The motor.
    pub motor: String,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: MotorOutcome,
}

/// Fields of [`Event::MoveEnded`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MoveEnded {
    /// The move's number.
    #[serde(rename = "move")]
    pub number: u64,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: MoveOutcome,
}

/// Fields of [`Event::Motors`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MotorsChanged {
    /// Those that have changed since the last such event.
    pub motors: Named<MotorChange>,
}

/// A motor in [`MotorsChanged`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MotorChange {
    /// What it does.
    pub state: MotorState,
    /// Where it is.
    #[serde(flatten)]
    pub at: MotorPlace,
}

/// Fields of [`Event::Triggered`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Triggered {
    /// The event's name.
    pub name: String,
    /// What goes with it.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
}

/// Fields of [`Event::Machine`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachineChanged {
    /// The new state.
    pub state: MachineState,
    /// Why it is in fault or halted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Fields of [`Event::Program`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProgramChanged {
    /// The program.
    pub program: String,
    /// How it ended; none if it has started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<EndResult>,
    /// Of one that has started: it was looked through no further than so many moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_moves: Option<u64>,
}

/// What became of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeaseState {
    /// It was given to its holder.
    Taken,
    /// Its holder gave it back.
    Released,
    /// Its holder missed its heartbeat, or is gone.
    Lost,
}

/// Fields of [`Event::Lease`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaseChanged {
    /// The lease's number.
    pub lease: u64,
    /// What became of it.
    pub state: LeaseState,
    /// Whose it is, or was.
    pub holder: String,
    /// Its motors.
    pub motors: Vec<String>,
}

/// Fields of [`Event::Power`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PowerChanged {
    /// Whether the voltage is low: nothing starts as long as it is.
    pub low: bool,
}

/// Fields of [`Event::Reloaded`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The motors to which something new was applied.
    pub changed: Vec<String>,
}

/// Fields of [`Event::Lost`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lost {
    /// How many events were left out before this one.
    pub count: u64,
}

/// Fields of [`Event::Closing`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Closing {
    /// Why.
    pub reason: String,
}
