//! What clients ask for.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::checks::{at_least_one, every_one, not_zero, some_list, some_share, some_time};
use super::tagged::tagged;
use super::values::{Named, Rate, Target, is_false};
use crate::units::{Percent, PulseWidth, Time};

tagged! {
    /// What a client asks for. The verb is in the line's `do`.
    pub enum Request by "do" {
        /// Who is there, and in which version.
        Hello(Hello) = "hello",
        /// Moves motors to targets.
        Move(Move) = "move",
        /// Moves motors at a speed, for as long as this is said again in time.
        Jog(Jog) = "jog",
        /// Moves servos to pulse widths, also beyond what the config allows.
        Pulse(Pulse) = "pulse",
        /// Brings motors to rest on their path, from where `resume` goes on.
        Hold(Stop) = "hold",
        /// Goes on with what is held.
        Resume(Selection) = "resume",
        /// Brings motors to rest within their limits, and drops the rest of their moves.
        Stop(Stop) = "stop",
        /// Stops motors after the pulse that is out, and holds everything back until `clear`.
        Halt(Stop) = "halt",
        /// Lets the machine move again after a fault, a halt or an unclean end.
        Clear(Nothing) = "clear",
        /// Switches the drivers of axes on.
        Enable(Motors) = "enable",
        /// Switches the drivers of axes off.
        Disable(Motors) = "disable",
        /// Ends the signal of servos.
        Release(Motors) = "release",
        /// Says where axes are.
        SetPosition(SetPosition) = "set-position",
        /// The state of everything at one instant.
        Status(Status) = "status",
        /// Sends events from now on.
        Subscribe(Subscribe) = "subscribe",
        /// Sends no more events.
        Unsubscribe(Nothing) = "unsubscribe",
        /// Waits for the end of a move.
        Wait(Wait) = "wait",
        /// Speed override: makes a move slower or faster while it runs.
        Override(Override) = "override",
        /// Gives a move another target while it runs.
        Retarget(Retarget) = "retarget",
        /// Takes a move back that has not started.
        Cancel(Cancel) = "cancel",
        /// Triggers a named event.
        Trigger(Trigger) = "trigger",
        /// Waits for named events.
        WaitEvents(WaitEvents) = "wait-events",
        /// The named events that are kept.
        Events(Nothing) = "events",
        /// Meets others.
        Rendezvous(Rendezvous) = "rendezvous",
        /// Breaks a rendezvous for all.
        RendezvousAbort(Meeting) = "rendezvous-abort",
        /// Makes a rendezvous as new.
        RendezvousReset(Meeting) = "rendezvous-reset",
        /// Takes motors for oneself.
        LeaseTake(LeaseTake) = "lease-take",
        /// Keeps a lease for another heartbeat.
        LeaseRenew(LeaseRenew) = "lease-renew",
        /// Gives the motors of a lease back.
        LeaseRelease(LeaseRelease) = "lease-release",
        /// Saves the present positions.
        Save(Save) = "save",
        /// Moves to the positions that were saved last.
        Return(Return) = "return",
        /// Runs a program of the config.
        ProgramRun(ProgramRun) = "program-run",
        /// Stops programs.
        ProgramStop(ProgramStop) = "program-stop",
        /// The programs that there are.
        ProgramList(Nothing) = "program-list",
        /// Reads the config again.
        Reload(Nothing) = "reload",
    }
}

impl Request {
    /// Whether it is carried out as soon as it is read, also while an earlier request of the same
    /// client waits: what stops motors, and what keeps them.
    pub fn is_urgent(&self) -> bool {
        matches!(
            self,
            Request::Hold(_)
                | Request::Stop(_)
                | Request::Halt(_)
                | Request::Cancel(_)
                | Request::LeaseRenew(_)
                | Request::Jog(_)
        )
    }
}

/// No fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Fields of [`Request::Hello`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Hello {
    /// What others are told about who this is: `paint.py (pid 812)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// How the motors of a move arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrive {
    /// Together, along the straight line.
    #[default]
    Aligned,
    /// Each as soon as it can.
    Asap,
}

/// What a fault in one motor of a move means for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFault {
    /// They come to rest.
    #[default]
    Stop,
    /// They go on.
    Continue,
}

/// What to do if a motor of a move is moving already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IfBusy {
    /// An error.
    #[default]
    Refuse,
    /// The move waits its turn.
    Queue,
    /// The moves in its way come to rest first, and their rest is dropped.
    Replace,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Fields of [`Request::Move`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Move {
    /// Each motor's target.
    #[serde(deserialize_with = "every_one")]
    pub to: Named<Target>,
    /// How they arrive.
    #[serde(default, skip_serializing_if = "is_default")]
    pub arrive: Arrive,
    /// The share of the speed limits to use: above 0% and at most 100%.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_share")]
    pub speed: Option<Percent>,
    /// When the move comes to rest wherever it is, counted from its start.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_time")]
    pub timeout: Option<Time>,
    /// What a fault in one motor means for the others.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_fault: OnFault,
    /// What to do if a motor is moving already.
    #[serde(default, skip_serializing_if = "is_default")]
    pub if_busy: IfBusy,
    /// How long to wait before it starts. Until then it can be taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Time>,
    /// Whether the reply waits for the end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub wait: bool,
    /// The token of a lease that this client shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Fields of [`Request::Jog`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Jog {
    /// Each motor's speed, with its direction.
    #[serde(deserialize_with = "every_one")]
    pub speed: Named<Rate>,
    /// How long they go on before they come to rest, if this is not said again.
    #[serde(rename = "for", deserialize_with = "not_zero")]
    pub duration: Time,
    /// The token of a lease that this client shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Fields of [`Request::Pulse`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Pulse {
    /// Each servo's pulse width, 500 us to 2500 us.
    #[serde(deserialize_with = "every_one")]
    pub to: Named<PulseWidth>,
    /// The token of a lease that this client shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Fields of [`Request::Hold`], [`Request::Stop`] and [`Request::Halt`]. They need no lease.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Stop {
    /// Which motors. None, or an empty list: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub motors: Option<Vec<String>>,
}

/// Fields of [`Request::Resume`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Selection {
    /// Which motors. None: all.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_list")]
    pub motors: Option<Vec<String>>,
    /// The token of a lease that this client shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Fields of [`Request::Enable`], [`Request::Disable`] and [`Request::Release`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Motors {
    /// Which motors.
    #[serde(deserialize_with = "at_least_one")]
    pub motors: Vec<String>,
    /// The token of a lease that this client shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Fields of [`Request::SetPosition`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SetPosition {
    /// Where each axis is.
    #[serde(deserialize_with = "every_one")]
    pub to: Named<Target>,
    /// The token of a lease that this client shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Fields of [`Request::Status`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Status {
    /// Which motors. None: all.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_list")]
    pub motors: Option<Vec<String>>,
}

/// What a subscription is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// The starts and ends of moves.
    Moves,
    /// The states and positions of motors.
    Motors,
    /// The named events.
    Events,
    /// The machine itself: its state, programs, leases, power, reloads.
    Machine,
}

/// Fields of [`Request::Subscribe`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Subscribe {
    /// What about. None: all but motors.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_list")]
    pub topics: Option<Vec<Topic>>,
    /// The least time between two events about motors; the service may make it longer. Without it:
    /// 100ms.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_time")]
    pub every: Option<Time>,
}

/// Fields of [`Request::Wait`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Wait {
    /// The move's number.
    #[serde(rename = "move")]
    pub number: u64,
    /// How long to wait. Without it: as long as the move takes, which has a time-out of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Time>,
}

/// Fields of [`Request::Override`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Override {
    /// The new speed, as a share of what was planned: above 0%. What the motors' limits allow is
    /// the most there is.
    #[serde(deserialize_with = "super::checks::positive")]
    pub speed: Percent,
    /// Which move. None: all that run, and all that will.
    #[serde(default, rename = "move", skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// For which moves, where no single one is named. None: for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// The token of a lease that this client shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Which moves a speed override is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Class {
    /// Moves at the speed that they were given, programs' too.
    Feed,
    /// Jogs.
    Jog,
}

/// Fields of [`Request::Retarget`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Retarget {
    /// Which move.
    #[serde(rename = "move")]
    pub number: u64,
    /// The new targets; motors of the move that are not named keep theirs.
    #[serde(deserialize_with = "every_one")]
    pub to: Named<Target>,
    /// The token of a lease that this client shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Fields of [`Request::Cancel`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Cancel {
    /// The move's number.
    #[serde(rename = "move")]
    pub number: u64,
}

/// Fields of [`Request::Trigger`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Trigger {
    /// The event's name.
    pub event: String,
    /// Whatever goes with it.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
}

/// Fields of [`Request::WaitEvents`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WaitEvents {
    /// The events' names: all of them are waited for.
    #[serde(deserialize_with = "at_least_one")]
    pub events: Vec<String>,
    /// How long to wait.
    pub timeout: Time,
    /// Whether the events are taken, so that no other gets them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub consume: bool,
}

/// Fields of [`Request::Rendezvous`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rendezvous {
    /// Which.
    pub name: String,
    /// For how many.
    pub parties: u32,
    /// How long to wait for the others.
    pub timeout: Time,
}

/// Fields of [`Request::RendezvousAbort`] and [`Request::RendezvousReset`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Meeting {
    /// Which.
    pub name: String,
}

/// Fields of [`Request::LeaseTake`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LeaseTake {
    /// Which motors: all, or none.
    #[serde(deserialize_with = "at_least_one")]
    pub motors: Vec<String>,
    /// How long to wait for them. None: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Time>,
    /// The lease is lost if it is not renewed for so long. None: it lasts as long as the connection.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_time")]
    pub heartbeat: Option<Time>,
    /// What others are told about who holds the motors. None: what `hello` said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// The token of a lease that this one is to be part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Fields of [`Request::LeaseRenew`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LeaseRenew {
    /// The lease's number.
    pub lease: u64,
    /// Its token, if it is another client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Fields of [`Request::LeaseRelease`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LeaseRelease {
    /// The lease's number.
    pub lease: u64,
}

/// Fields of [`Request::Save`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Save {
    /// Which motors' positions. None: all whose position is known.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_list")]
    pub motors: Option<Vec<String>>,
}

/// Fields of [`Request::Return`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Return {
    /// How long to wait for positions to be saved if there are none. None: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Time>,
    /// The share of the speed limits to use: above 0% and at most 100%.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_share")]
    pub speed: Option<Percent>,
    /// Whether the reply waits for the end of the move.
    #[serde(default, skip_serializing_if = "is_false")]
    pub wait: bool,
    /// The token of a lease that this client shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Fields of [`Request::ProgramRun`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProgramRun {
    /// The program's name.
    pub program: String,
    /// Whether the reply waits for the program's end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub wait: bool,
    /// Whether others may have whatever motors it does not move just then.
    #[serde(default, skip_serializing_if = "is_false")]
    pub share: bool,
    /// The token of a lease that this client shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Fields of [`Request::ProgramStop`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProgramStop {
    /// Which program. None: all that run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}
