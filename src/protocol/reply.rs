//! What the service answers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::request::Topic;
use super::status::{MachineState, StatusReply};
use super::tagged::tagged;
use super::values::Named;

tagged! {
    /// What came of a request that was carried out. The line's `do` is the request's verb.
    pub enum Reply by "do" {
        /// Who is there.
        Hello(HelloReply) = "hello",
        /// The move was taken on, or has ended.
        Move(MoveReply) = "move",
        /// The motors move.
        Jog(MoveReply) = "jog",
        /// The servos have these pulses.
        Pulse(MoveReply) = "pulse",
        /// The motors are at rest.
        Hold(AtRest) = "hold",
        /// The motors go on.
        Resume(Done) = "resume",
        /// The motors are at rest.
        Stop(AtRest) = "stop",
        /// The motors are at rest.
        Halt(AtRest) = "halt",
        /// The machine can move.
        Clear(ClearReply) = "clear",
        /// The drivers are on.
        Enable(Done) = "enable",
        /// The drivers are off.
        Disable(Done) = "disable",
        /// The signals have ended.
        Release(Done) = "release",
        /// The axes are where they were said to be.
        SetPosition(AtRest) = "set-position",
        /// The state of everything at one instant.
        Status(StatusReply) = "status",
        /// Events follow.
        Subscribe(SubscribeReply) = "subscribe",
        /// No more events follow.
        Unsubscribe(Done) = "unsubscribe",
        /// The move has ended.
        Wait(MoveReply) = "wait",
        /// The move has its new speed.
        Override(Done) = "override",
        /// The move has its new targets.
        Retarget(Done) = "retarget",
        /// The move is taken back.
        Cancel(MoveReply) = "cancel",
        /// The event has come.
        Trigger(TriggerReply) = "trigger",
        /// The events have come.
        WaitEvents(WaitEventsReply) = "wait-events",
        /// The events that are kept.
        Events(EventsReply) = "events",
        /// All are here.
        Rendezvous(RendezvousReply) = "rendezvous",
        /// The rendezvous is broken.
        RendezvousAbort(Done) = "rendezvous-abort",
        /// The rendezvous is as new.
        RendezvousReset(Done) = "rendezvous-reset",
        /// The motors are this client's.
        LeaseTake(LeaseReply) = "lease-take",
        /// The motors stay this client's.
        LeaseRenew(Done) = "lease-renew",
        /// The motors are given back.
        LeaseRelease(LeaseReleaseReply) = "lease-release",
        /// The positions are saved.
        Save(SaveReply) = "save",
        /// The move back was taken on, or has ended.
        Return(MoveReply) = "return",
        /// The program runs, or has ended.
        ProgramRun(ProgramReply) = "program-run",
        /// The programs have ended.
        ProgramStop(ProgramStopReply) = "program-stop",
        /// The programs that there are.
        ProgramList(ProgramListReply) = "program-list",
        /// The new config holds.
        Reload(ReloadReply) = "reload",
    }
}

/// It is done, and there is no more to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Done {}

/// Fields of [`Reply::Hello`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HelloReply {
    /// The program: `lockstep`.
    pub service: String,
    /// Its release: `0.2.0`.
    #[serde(default)]
    pub release: String,
    /// The versions of the protocol that it speaks.
    #[serde(default)]
    pub versions: Vec<u32>,
    /// The machine's name, from its config.
    #[serde(default)]
    pub machine: String,
    /// What drives the motors: `rppal` or `sim`.
    #[serde(default)]
    pub backend: String,
    /// The number of this client, as it stands in the status.
    #[serde(default)]
    pub client: u64,
    /// Now, in seconds on the machine's monotonic clock; none from release 0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_s: Option<f64>,
    /// The same instant on the machine's wall clock, in seconds since 1970, UTC; none from release 0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_s: Option<f64>,
    /// What this service can do that others of this version of the protocol can't: see
    /// [`FEATURES`](super::FEATURES).
    #[serde(default)]
    pub features: Vec<String>,
}

/// How far a move has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MoveState {
    /// It starts after a delay.
    Delayed,
    /// It waits for moves before it, or for current.
    Queued,
    /// It runs.
    Running,
    /// It is held, and goes on with `resume`.
    Held,
    /// It has ended: `result` says how.
    Ended,
}

/// Fields of [`Reply::Move`], [`Reply::Wait`] and others that are about one move.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MoveReply {
    /// The move's number.
    #[serde(rename = "move")]
    pub number: u64,
    /// How far it has come.
    pub state: MoveState,
    /// What came of it, once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<MoveOutcome>,
}

/// How a move or a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndResult {
    /// Every motor reached its target.
    Done,
    /// A motor fell short.
    Failed,
    /// It was stopped.
    Stopped,
    /// It was taken back before it started.
    Cancelled,
}

/// What came of a move.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MoveOutcome {
    /// How it ended.
    pub result: EndResult,
    /// How long it took, in seconds; none if it did not start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<f64>,
    /// What came of each motor.
    pub motors: Named<MotorOutcome>,
}

impl MoveOutcome {
    /// The motors that did not reach their targets.
    pub fn failed(&self) -> impl Iterator<Item = (&str, &MotorOutcome)> {
        let motors = self.motors.0.iter().map(|(name, outcome)| (name.as_str(), outcome));
        motors.filter(|(_, outcome)| outcome.outcome != OutcomeWord::Reached)
    }
}

/// How a motor's part of a move ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeWord {
    /// Every edge to the target was emitted. Without feedback it can mean no more.
    Reached,
    /// It stands short of its target.
    Short,
}

/// What came of a motor in a move.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MotorOutcome {
    /// How it ended.
    pub outcome: OutcomeWord,
    /// By how much it fell short, in `unit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<f64>,
    /// Why it fell short: `stopped`, `timeout`, `late`, `fault`, `limit`, `not-started`, `no-answer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Where it is.
    #[serde(flatten)]
    pub at: MotorPlace,
}

/// Where a motor is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MotorPlace {
    /// The position by its emitted edges, in `unit`; `null` if it is not known.
    #[serde(default)]
    pub position: Option<f64>,
    /// `mm`, `deg`, or `%` (of full speed) for a servo that turns continuously, which has no position.
    #[serde(default)]
    pub unit: String,
    /// Steps from position 0; none for a servo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<i64>,
    /// What is known of the place: `assumed`, `commanded`, `unverified`, `unknown`, ...
    #[serde(default = "unknown")]
    pub place: String,
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// Fields of [`Reply::Hold`], [`Reply::Stop`], [`Reply::Halt`] and [`Reply::SetPosition`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AtRest {
    /// Where each motor has come to rest. Those that were at rest already are there, too.
    #[serde(default)]
    pub motors: Named<MotorPlace>,
}

/// Fields of [`Reply::Clear`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClearReply {
    /// The machine's state now.
    pub state: MachineState,
}

/// Fields of [`Reply::Subscribe`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubscribeReply {
    /// What about.
    pub topics: Vec<Topic>,
}

/// Fields of [`Reply::Trigger`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TriggerReply {
    /// How many waits it completed.
    pub completed: u64,
}

/// Fields of [`Reply::WaitEvents`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WaitEventsReply {
    /// Their data, in the order asked.
    pub data: Vec<Value>,
}

/// Fields of [`Reply::Events`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventsReply {
    /// The names, the oldest first.
    pub events: Vec<String>,
}

/// Fields of [`Reply::Rendezvous`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RendezvousReply {
    /// How many came before this one.
    pub index: u32,
}

/// Fields of [`Reply::LeaseTake`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaseReply {
    /// The lease's number.
    pub lease: u64,
    /// What others show who may share it.
    pub token: String,
}

/// Fields of [`Reply::LeaseRelease`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaseReleaseReply {
    /// The motors that nobody holds any more.
    pub free: Vec<String>,
}

/// Fields of [`Reply::Save`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SaveReply {
    /// How many positions are saved now.
    pub saved: u64,
    /// What was saved.
    pub motors: Named<MotorPlace>,
}

/// Fields of [`Reply::ProgramRun`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProgramReply {
    /// The program.
    pub program: String,
    /// How it ended; none as long as it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<EndResult>,
    /// What failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// It was looked through no further than so many moves, and what follows is checked as it comes; none: it was
    /// looked through to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_moves: Option<u64>,
}

/// Fields of [`Reply::ProgramStop`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProgramStopReply {
    /// The programs that were stopped.
    pub stopped: Vec<String>,
}

/// Fields of [`Reply::ProgramList`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProgramListReply {
    /// The programs, in the order of the config.
    pub programs: Vec<ProgramState>,
}

/// A program in [`ProgramListReply`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProgramState {
    /// Its name.
    pub name: String,
    /// Whether it runs.
    pub running: bool,
}

/// Fields of [`Reply::Reload`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReloadReply {
    /// The motors to which something new was applied.
    pub changed: Vec<String>,
    /// The motors that have to be at rest first; theirs is applied then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<String>,
}
