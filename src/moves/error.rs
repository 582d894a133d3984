use std::time::Duration;

use thiserror::Error;

use crate::motion::PlanError;
use crate::motor::MoveId;
use crate::units::Time;

/// A time rounded up to three digits or so, for a person who has to allow for it.
pub(crate) fn at_least(time: Duration) -> Time {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let grain = [1_000_000_000u64, 10_000_000, 1_000_000, 10_000, 1_000]
        .into_iter()
        .find(|grain| nanos >= grain.saturating_mul(100))
        .unwrap_or(1);
    Time(Duration::from_nanos(nanos.div_ceil(grain).saturating_mul(grain)))
}

/// Why a move was refused. Nothing has moved.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum MoveError {
    /// A move without a motor.
    #[error("a move needs at least one motor with a target")]
    Empty,
    /// No motor of that name.
    #[error("there is no motor `{name}`; the motors are {known}")]
    UnknownMotor {
        /// The name as given.
        name: String,
        /// Those there are.
        known: String,
    },
    /// A motor stands twice in one move.
    #[error("{motor} has two targets in one move: give it one")]
    Twice {
        /// The motor.
        motor: String,
    },
    /// The target's unit is not the motor's.
    #[error("{motor} moves in {unit}: give its target in that unit")]
    WrongUnit {
        /// The motor.
        motor: String,
        /// Its unit.
        unit: &'static str,
    },
    /// The target lies outside the travel.
    #[error("{motor} cannot go to {target}: its travel is {min} to {max}")]
    OutsideTravel {
        /// The motor.
        motor: String,
        /// Where it was to go.
        target: String,
        /// Lower end.
        min: String,
        /// Upper end.
        max: String,
    },
    /// The speed factor is not above 0 and at most 1.
    #[error("the speed must be above 0% and at most 100%, not {percent}%")]
    Speed {
        /// What was asked for.
        percent: f64,
    },
    /// The motor is part of a move that has not ended.
    #[error("{motor} is still moving: wait for its move to end, or stop it")]
    Busy {
        /// The motor.
        motor: String,
    },
    /// A program under way will still use the motor.
    #[error("{motor} belongs to the program {program}, which runs: stop it, or wait for its end")]
    Kept {
        /// The motor.
        motor: String,
        /// The program.
        program: String,
    },
    /// A move that was asked for before waits for the motor.
    #[error(
        "{motor} is promised to move {number}, which was asked for before: queue behind it, or cancel it"
    )]
    Awaited {
        /// The motor.
        motor: String,
        /// The number of that move.
        number: MoveId,
    },
    /// Too many moves wait already.
    #[error("{most} moves wait already: wait for one of them, or cancel it")]
    TooManyWait {
        /// How many may wait.
        most: usize,
    },
    /// A program can't go on from where it was held.
    #[error("the program can't go on from where it was held: {far}, and can't go back: {why}")]
    CannotGoBack {
        /// How far each motor is from there.
        far: String,
        /// Why it can't go back.
        why: String,
    },
    /// The motor has a fault.
    #[error("{motor} has a fault: {fault}; mend it, then clear it")]
    Faulted {
        /// The motor.
        motor: String,
        /// What it reported.
        fault: String,
    },
    /// Nobody told where the axis is.
    #[error(
        "{motor} does not know where it is: an absolute move could run into its end; \
         bring it to a known place and say which it is: `lockstep set-position {motor}=...` while the \
         service runs, `at-start = {{ assume = ... }}` in its config otherwise"
    )]
    UnknownPlace {
        /// The axis.
        motor: String,
    },
    /// The axis turns at a rate and has no position.
    #[error(
        "{motor} is in `mode = \"velocity\"`: it turns at a rate and has no position; jog it instead"
    )]
    NoPosition {
        /// The axis.
        motor: String,
    },
    /// The servo turns continuously and has no position.
    #[error(
        "{motor} turns continuously: it has a speed and no position; jog it instead, such as {motor}=50%, or \
         write a program with `spin`"
    )]
    Continuous {
        /// The servo.
        motor: String,
    },
    /// The speed's unit is not the motor's.
    #[error("{motor} has its speed in {unit}: give it in that unit")]
    WrongSpeed {
        /// The motor.
        motor: String,
        /// The unit of its speeds.
        unit: &'static str,
    },
    /// A stop was asked for.
    #[error("the machine has been stopped")]
    Stopped,
    /// The machine's motors have been ended.
    #[error("the machine has ended its motors: build a new one")]
    Finished,
    /// The plan takes longer than the move may.
    #[error("the move takes {}, longer than its time-out of {}", at_least(*.needs), Time(*.timeout))]
    LongerThanTimeout {
        /// The planned duration.
        needs: Duration,
        /// The time-out.
        timeout: Duration,
    },
    /// A step of a sweep takes longer than the time from one to the next.
    #[error("a step of this sweep takes {}, longer than its `every` of {}", at_least(*.needs), Time(*.every))]
    SweepTooFast {
        /// The planned duration of the step.
        needs: Duration,
        /// The time from one step to the next.
        every: Duration,
    },
    /// A keyframe comes too soon after the one before.
    #[error("{motor} needs {} for this, but has {}", at_least(*.needs), Time(*.has))]
    KeyframeTooSoon {
        /// The motor.
        motor: String,
        /// The shortest time within its limits.
        needs: Duration,
        /// The time between the keyframes.
        has: Duration,
    },
    /// A plan turns on the way, where the motor has no time to take up its backlash.
    #[error(
        "{motor} would turn on its way, and its backlash can only be taken up at rest: \
         give it a move of its own for each direction"
    )]
    Turns {
        /// The motor.
        motor: String,
    },
    /// No plan keeps the limits.
    #[error("{motor}: {error}")]
    Plan {
        /// The motor, or the motors of the line.
        motor: String,
        /// What the planner says.
        error: PlanError,
    },
    /// No move of that number is under way.
    #[error("move {id} is not under way any more")]
    NotUnderWay {
        /// The move.
        id: MoveId,
    },
    /// The motor is not part of that move, or has come to rest in it.
    #[error("{motor} is not on its way in move {id}: start a new move for it")]
    NotInMove {
        /// The motor.
        motor: String,
        /// The move.
        id: MoveId,
    },
    /// The motor rests at its target before a new one could reach it.
    #[error("{motor} has all but arrived: start a new move for it")]
    Arrived {
        /// The motor.
        motor: String,
    },
    /// A new target can't be reached without leaving the travel on the way.
    #[error("{motor} is too fast to turn to its new target inside its travel: stop it first")]
    TooFastToTurn {
        /// The motor.
        motor: String,
    },
    /// A blended run can't be sent elsewhere.
    #[error("move {id} is a blended run, whose way is fixed: stop it and start a new move")]
    Blended {
        /// The move.
        id: MoveId,
    },
    /// Not a blended run that is still open.
    #[error("move {id} takes no more vertices: it is no blended run, or its end was told")]
    NotOpen {
        /// The move.
        id: MoveId,
    },
    /// The motor is not one that the path was started with.
    #[error(
        "{motor} is not part of this path: name it in one of the places that the path begins with"
    )]
    NotInPath {
        /// The motor.
        motor: String,
    },
    /// A blend or a vertex is no number that it can be, or too many motors go along one path.
    #[error("this path can't be: {0}")]
    Path(#[from] crate::motion::path::PathError),
    /// The machine is held.
    #[error("the machine is held: resume it as a whole")]
    Held,
    /// The speed override is out of range.
    #[error("the speed override must be from 1% to 200%, not {percent}%")]
    Override {
        /// What was asked for.
        percent: f64,
    },
    /// A jog's velocity is 0, or above the motor's speed limit.
    #[error("{motor} cannot jog at {velocity}: give it more than 0 and at most {max}, either way")]
    JogSpeed {
        /// The motor.
        motor: String,
        /// What was asked for.
        velocity: String,
        /// Its speed limit.
        max: String,
    },
    /// A servo that has no signal yet has no place to jog from.
    #[error("{motor} has no signal yet, so nobody knows where it is: move it to an angle first")]
    NoSignal {
        /// The servo.
        motor: String,
    },
    /// A motor that holds a load was to be let go.
    #[error("{motor} holds a load that would fall: it is never let go")]
    HoldsLoad {
        /// The motor.
        motor: String,
    },
    /// A servo can't be told where it is, nor be switched on before its first move.
    #[error("{motor} counts no steps: where it is, its signal says")]
    NoCount {
        /// The servo.
        motor: String,
    },
    /// An axis has no pulse widths.
    #[error("{motor} is an axis: only a servo goes by its pulses")]
    NoPulses {
        /// The axis.
        motor: String,
    },
    /// A motor's loop does not take its orders.
    #[error("{error}")]
    NoAnswer {
        /// What happened.
        error: String,
    },
    /// The motors could never be switched on together, or too many wait for that already.
    #[error(transparent)]
    Power(#[from] crate::books::PowerError),
    /// With what stays on from before, the motors could never be switched on.
    #[error(
        "this takes {needed} mA, together with what keeps its power at rest ({kept}), more than the power \
         budget of {budget} mA: give that a `release-after`"
    )]
    KeptPower {
        /// What all of it draws, milliamperes.
        needed: u64,
        /// The budget, milliamperes.
        budget: u32,
        /// The motors that stay on.
        kept: String,
    },
    /// A plan went outside a limit when it was checked: it is not used.
    #[error("the plan for {motor} would break its {limit}: it is not used; please report this")]
    Unsafe {
        /// The motor.
        motor: String,
        /// Which limit.
        limit: &'static str,
    },
}
