//! The state of a machine at one instant.

use serde::{Deserialize, Serialize};

use super::reply::{MotorPlace, MoveState};
use super::values::{Named, is_false};

/// The state of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MachineState {
    /// At rest.
    Ready,
    /// Something moves.
    Moving,
    /// At rest on a path, to be resumed.
    Held,
    /// Halted: nothing moves until `clear`.
    Halted,
    /// Something failed, or the service ended uncleanly before: nothing moves until `clear`.
    Fault,
}

/// Fields of the reply to `status`. All of it is of one instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusReply {
    /// The instant, in seconds on the machine's monotonic clock.
    pub at_s: f64,
    /// The machine's state.
    pub state: MachineState,
    /// Why it is in fault or halted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The motors, in the order of the config.
    #[serde(default)]
    pub motors: Named<MotorStatus>,
    /// The moves that have not ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<MoveStatus>,
    /// The programs that run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<String>,
    /// Those of them that wait for motors that they share, and for which.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting_programs: Vec<WaitingProgram>,
    /// The leases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leases: Vec<LeaseStatus>,
    /// The power budget, if the config has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<PowerStatus>,
    /// How many clients are connected, this one included.
    #[serde(default)]
    pub clients: u32,
    /// How many positions are saved.
    #[serde(default)]
    pub saved: u64,
}

impl StatusReply {
    /// The programs that run, for people: each with the motors that it waits for.
    pub fn programs_in_words(&self) -> String {
        let one = |name: &String| match self.waiting_programs.iter().find(|w| w.program == *name) {
            Some(waits) => format!("{name} (waits for {})", waits.motors.join(", ")),
            None => name.clone(),
        };
        self.programs.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

/// A program that waits for motors which it shares, and which others have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct WaitingProgram {
    /// Its name.
    pub program: String,
    /// The motors.
    pub motors: Vec<String>,
}

/// What a motor does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MotorState {
    /// No signal, or its driver is off.
    Off,
    /// At rest under its signal, or with its driver on.
    Idle,
    /// It moves.
    Moving,
    /// At rest on its path.
    Held,
    /// It failed.
    Fault,
}

/// A motor in a [`StatusReply`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MotorStatus {
    /// `servo` or `axis`.
    #[serde(default)]
    pub kind: String,
    /// What it does.
    pub state: MotorState,
    /// Where it is.
    #[serde(flatten)]
    pub at: MotorPlace,
    /// Where it goes, in `unit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// The speed that its plan has now, in `unit`, while it moves: of a servo that turns continuously, in percent of full
    /// speed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<f64>,
    /// The number of the move that it is part of.
    #[serde(default, rename = "move", skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Who asked for that move; or the program that runs and will still use the motor: `client`, `program.NAME`,
    /// `start-up`, `park`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Whether it is held: what begins with it waits for `resume`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub held: bool,
    /// Who has a lease on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// What failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Whether its thread is alive.
    #[serde(default = "yes")]
    pub alive: bool,
    /// How late its edges were.
    #[serde(default)]
    pub lateness_us: Lateness,
}

fn yes() -> bool {
    true
}

/// How late edges were since the service started, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Lateness {
    /// The median.
    pub p50: f64,
    /// What 99 of 100 keep.
    pub p99: f64,
    /// The most.
    pub max: f64,
}

/// A move in a [`StatusReply`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MoveStatus {
    /// Its number.
    #[serde(rename = "move")]
    pub number: u64,
    /// How far it has come.
    pub state: MoveState,
    /// Its motors.
    pub motors: Vec<String>,
    /// Who asked for it: `client`, `program.NAME`, `start-up`, `park`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// In how many seconds its plan ends; none before it starts, and while it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_s: Option<f64>,
}

/// A lease in a [`StatusReply`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaseStatus {
    /// Its number.
    pub lease: u64,
    /// Whose it is.
    pub holder: String,
    /// Its motors.
    pub motors: Vec<String>,
}

/// The power budget in a [`StatusReply`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PowerStatus {
    /// What the supply can give, in amperes.
    pub budget_a: f64,
    /// What the motors that are on take, in amperes.
    pub used_a: f64,
    /// How many moves wait for current.
    pub waiting: u32,
    /// Whether the supply's voltage is low, so that nothing starts.
    #[serde(default, skip_serializing_if = "is_false")]
    pub low: bool,
}
