//! What programs do.

use std::sync::Arc;
use std::time::Duration;

use super::Span;
use crate::units::SpeedShare;

/// `[program.NAME]`.
#[derive(Clone, PartialEq, Debug)]
pub struct ProgramConfig {
    /// Its name.
    pub name: String,
    /// For each move that does not say its own.
    pub move_timeout: Option<Duration>,
    /// What happens when a step fails.
    pub on_failure: OnFailure,
    /// The steps.
    pub steps: Arc<[StepConfig]>,
    /// Where its table stands in the file.
    pub span: Span,
}

/// What a program does when a step fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnFailure {
    /// Ends.
    #[default]
    Stop,
    /// Goes on with the next step; the program still counts as failed.
    Continue,
}

/// One step of a program and where it stands in the file.
#[derive(Clone, PartialEq, Debug)]
pub struct StepConfig {
    /// What it does.
    pub action: Action,
    /// Where it stands.
    pub span: Span,
}

/// A pause of a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PauseAction {
    /// How long.
    pub lasts: Duration,
    /// Others may have the program's motors meanwhile.
    pub share: bool,
}

/// What a step of a program does. Motors are indices into [`Config::motors`](super::Config::motors), programs into
/// [`Config::programs`](super::Config::programs).
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// `{ move = { x = "1mm" }, ... }`
    Move(MoveAction),
    /// `{ pause = "500ms", share = true }`
    Pause(PauseAction),
    /// `{ sweep = { pan = ["-45deg", "45deg"] }, step = "9deg", every = "500ms", times = 2 }`
    Sweep(SweepAction),
    /// `{ keyframes = [ { at = "0s", pan = "0deg" }, ... ] }`
    Keyframes(Vec<Keyframe>),
    /// `{ spin = { left = "50%" }, for = "2s" }`
    Spin(SpinAction),
    /// `{ repeat = 3, steps = [...] }`; `None`: forever.
    Repeat(Option<u32>, Arc<[StepConfig]>),
    /// `{ run = "wave" }`
    Run(usize),
    /// `{ wait-for = ["door-open"], timeout = "10s" }`: until all of these named events have come.
    WaitFor(WaitAction),
    /// `{ trigger = "part-ready" }`: a named event.
    Trigger(String),
    /// `{ together = [ [...], [...] ] }`: branches side by side. No motor stands in two of them.
    Together(Vec<Arc<[StepConfig]>>),
}

/// A wait for named events.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaitAction {
    /// Their names: at least one, each once.
    pub events: Vec<String>,
    /// After this the step has failed.
    pub timeout: Duration,
}

/// A target of one motor in its own unit, and where it stands in the file.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Target {
    /// Index into [`Config::motors`](super::Config::motors).
    pub motor: usize,
    /// Where to, in the motor's unit.
    pub position: f64,
    /// Where the value stands.
    pub span: Span,
}

/// A move of one or more motors.
#[derive(Clone, PartialEq, Debug)]
pub struct MoveAction {
    /// At least one; each motor once; in the order of the file.
    pub targets: Vec<Target>,
    /// Together or one by one.
    pub order: Order,
    /// Aligned or each at its own best.
    pub arrive: Arrive,
    /// Share of the speed limit, above 0 and at most 1.
    pub speed: f64,
    /// Its own time-out.
    pub timeout: Option<Duration>,
    /// What a fault in one motor means for the others.
    pub on_fault: OnFault,
    /// A program for each motor that falls short: (motor, program).
    pub on_short: Vec<(usize, usize)>,
    /// It does not stop at its end but runs through into the move that stands directly after it, within
    /// this distance of the corner, in its motors' unit. Above 0; only of an aligned move, all of whose
    /// motors have one unit, without a time-out or an `on_short` of its own.
    pub blend: Option<f64>,
}

/// Whether the motors of a move go at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// All at once.
    #[default]
    Together,
    /// One after another, in the order they are written.
    OneByOne,
}

/// How the motors of a move arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Arrive {
    /// Together, along the straight line.
    #[default]
    Aligned,
    /// Each as soon as possible.
    Asap,
}

/// What a fault in one motor of a move means for the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnFault {
    /// They come to rest.
    #[default]
    Stop,
    /// They go on.
    Continue,
}

/// Steps back and forth between two ends.
#[derive(Clone, PartialEq, Debug)]
pub struct SweepAction {
    /// The motors, each with its two ends (the first is where it begins) and where they stand.
    pub motors: Vec<SweepMotor>,
    /// A new target this often.
    pub every: Duration,
    /// How many times there and back; `None`: forever.
    pub times: Option<u32>,
}

/// One motor of a sweep.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SweepMotor {
    /// Index into [`Config::motors`](super::Config::motors).
    pub motor: usize,
    /// Where it begins, in the motor's unit.
    pub from: f64,
    /// Where it turns.
    pub to: f64,
    /// Distance between two targets, above 0; the last one before an end may be shorter.
    pub step: f64,
    /// Where its ends stand in the file.
    pub span: Span,
}

/// Servos that turn continuously, for a time.
#[derive(Clone, PartialEq, Debug)]
pub struct SpinAction {
    /// At least one; each motor once; in the order of the file.
    pub speeds: Vec<SpinSpeed>,
    /// From the beginning of their ramps up to that of their ramps down.
    pub lasts: Duration,
}

/// The speed of one servo in a `spin`, and where it stands in the file.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SpinSpeed {
    /// Index into [`Config::motors`](super::Config::motors).
    pub motor: usize,
    /// A share of full speed, not 0.
    pub speed: SpeedShare,
    /// Where the value stands.
    pub span: Span,
}

/// Positions to be in at a time.
#[derive(Clone, PartialEq, Debug)]
pub struct Keyframe {
    /// Time since the step began; strictly rising from one keyframe to the next.
    pub at: Duration,
    /// The motors it names (those it leaves out go on to their next keyframe).
    pub targets: Vec<Target>,
    /// Where it stands in the file.
    pub span: Span,
}
