//! The motors' loops, as state machines that do no waiting.
//!
//! A motor is told what to do by [`Motor::command`], asked to act by [`Motor::poll`], and answers
//! with when it wants to be asked next. Who waits, and how, is the runtime's affair: a thread of its
//! own for each motor, or one thread for all in virtual time. Both run the very same code.
//!
//! Important terms:
//! - *epoch*: the instant at which a move's time line starts, fixed by the barrier.
//! - *due*: when an edge should leave the pin by the plan: epoch + time on the trajectory.
//! - *lateness*: how long after its due an edge left.
//! - *native unit*: what a motor's trajectories are in: steps for an axis, degrees for a servo, for one that turns
//!   continuously percent of full speed (its velocity) and percent x seconds (its position, which means nothing).

mod change;
mod coils;
mod limits;
mod orders;
mod part;
mod pulse_map;
mod pulses;
mod pwm_clock;
mod servo;
mod soft_servo;
mod step_output;
mod stepper;
mod telemetry;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::Sender;

pub use crate::sync::{Gate, Verdict};
pub use change::{Change, Then};
pub use coils::{Coils, CoilsSetup, Phases};
pub use limits::{Limit, MotorLimits};
pub use pulse_map::{PulseMap, PulseOf};
pub use pulses::{Pulses, PulsesSetup};
pub use pwm_clock::{Doubt, DriverLines, PwmClock, PwmClockSetup, PwmRate, provable_rate};
pub use servo::{Servo, ServoSetup};
pub use soft_servo::{SoftServo, SoftServoSetup};
pub use step_output::{StepOutput, Turn};
pub use stepper::{Stepper, StepperSetup};
pub use telemetry::{Lateness, LatenessSummary, Telemetry};

use crate::hal::HalError;
use crate::motion::Trajectory;
use crate::sync::StepBarrier;
use crate::units::Instant;

/// A motor's index in its machine's config.
pub type MotorIndex = usize;

/// The number of a move, counted from 1 for each machine.
pub type MoveId = u64;

/// The instant at which a move's time line starts. Unset until the last motor has arrived.
#[derive(Debug, Default)]
pub struct Epoch(AtomicU64);

impl Epoch {
    /// Fixes the epoch. The barrier's action calls this, once.
    pub fn set(&self, at: Instant) {
        self.0.store(at.as_nanos().max(1), Ordering::Release);
    }

    /// The epoch, once it is fixed.
    pub fn get(&self) -> Option<Instant> {
        match self.0.load(Ordering::Acquire) {
            0 => None,
            nanos => Some(Instant::from_nanos(nanos)),
        }
    }
}

/// A motor's part of a move.
#[derive(Clone)]
pub struct Motion {
    /// Which move.
    pub id: MoveId,
    /// Where to be when, in the motor's native unit, from the epoch on.
    pub trajectory: Arc<Trajectory>,
    /// Where the motors of the move meet.
    pub barrier: StepBarrier,
    /// When they start; set by the barrier's action.
    pub epoch: Arc<Epoch>,
    /// Whether the motor's travel bounds it: not where nobody knows the motor's place.
    pub placed: bool,
    /// How long after the epoch this motor's own time line begins, nanoseconds: 0 but where the motors of
    /// a move start one after another.
    pub after: u64,
    /// What follows when the trajectory has come to its end.
    pub then: Then,
}

/// What a motor can be told.
#[derive(Clone)]
pub enum Command {
    /// Get ready for a move, meet the others at the barrier, run.
    Arm(Motion),
    /// Change the plan of the running move at an instant ahead, if all do.
    Change(Change),
    /// The last whole pulse, then still. Drops the move; the count stays exact.
    Halt,
    /// At rest: what it has counted so far is this many steps from position 0. A motor that counts no
    /// steps, or is not at rest, does nothing.
    SetCount(i64),
    /// At rest: switch an axis' driver on. A motor that has none to switch does nothing.
    Enable,
    /// End the servo's signal, or let go of the driver's enable line (never with a load).
    Release,
    /// At rest: other limits from now on. Nothing that it drives is let go of, or changes.
    Tune(Tuning),
    /// At rest: how far a servo may go from now on, and by which pulses. The pulse that it has stays as it is. A
    /// motor that is no servo, or is not at rest, does nothing.
    Reach {
        /// What it keeps against any plan.
        limits: MotorLimits,
        /// Which pulse stands for which angle.
        map: PulseMap,
    },
    /// At rest, after a fault that has been seen to: take orders again, and say [`Report::Recovered`]. Nothing
    /// is switched on or off. Where the driver's fault line is active again it says [`Report::Fault`] instead.
    Recover,
    /// Make the hardware safe for the end of the program, then say [`Report::Safe`].
    Finish,
}

/// What a motor's loop can be told anew while it has its outputs.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Tuning {
    /// What it keeps against any plan.
    pub limits: MotorLimits,
    /// Two steps of an axis are never closer than this, nanoseconds.
    pub min_interval: u64,
    /// Whether an axis is let go when the program ends.
    pub release_at_end: bool,
    /// An edge later than this is reported, nanoseconds.
    pub max_lateness: Option<u64>,
}

/// Why a motor stopped short of its plan by itself.
#[derive(Clone, PartialEq, Debug)]
pub enum FaultKind {
    /// The driver's fault line became active.
    Driver,
    /// The back end refused an output.
    Output(HalError),
    /// A plan would have taken it beyond a limit of its own.
    Limit(Limit),
    /// The motor's loop panicked.
    Panic,
    /// The motor's loop does not do what it is told.
    Silent,
    /// Its outputs were closed for another config, and could not be opened again.
    Closed,
}

impl FaultKind {
    /// Whether its motor can be taken back once the cause has gone: the loop lives, and knows what its outputs
    /// do. After a refused write nobody knows what a pin shows, and a loop that panicked or hangs is no more.
    pub fn can_be_cleared(&self) -> bool {
        match self {
            FaultKind::Driver | FaultKind::Limit(_) => true,
            FaultKind::Output(_) | FaultKind::Panic | FaultKind::Silent | FaultKind::Closed => {
                false
            }
        }
    }
}

impl std::fmt::Display for FaultKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FaultKind::Driver => f.write_str("the driver reports a fault"),
            FaultKind::Output(e) => write!(f, "{e}"),
            FaultKind::Limit(limit) => write!(f, "{limit}"),
            FaultKind::Panic => f.write_str("the motor's loop panicked"),
            FaultKind::Closed => f.write_str("its outputs could not be opened again"),
            FaultKind::Silent => f.write_str("the motor's loop does not answer"),
        }
    }
}

/// What a motor has to say.
#[derive(Clone, PartialEq, Debug)]
pub enum Report {
    /// Armed and arrived at the barrier.
    Armed(MoveId),
    /// The barrier let it go; its time line starts at the epoch.
    Started(MoveId),
    /// The barrier broke: it has not moved and will not.
    NotStarted(MoveId),
    /// The plan does not keep the motor's own limits: it is not followed.
    Refused {
        /// Which move.
        id: MoveId,
        /// The change whose plan it is; `None`: the move's own, which has not started and will not.
        change: Option<u64>,
        /// Which of the limits.
        limit: Limit,
    },
    /// Its trajectory has ended and every edge of it is out.
    Ended {
        /// Which move.
        id: MoveId,
        /// When its plan ended.
        at: Instant,
    },
    /// It has come to the end of a plan after which it holds ([`Then::Hold`]), and every edge of it is
    /// out. Said once a change.
    Held {
        /// The change that brought the plan.
        change: u64,
        /// When the plan ended.
        at: Instant,
    },
    /// An edge was later than the limit. Said once a move.
    Late {
        /// Which move.
        id: MoveId,
        /// By how much, in nanoseconds.
        by: u64,
    },
    /// A change of plan has been taken; it waits for the gate.
    Acknowledged {
        /// The change's number.
        change: u64,
    },
    /// The count of its pulses cannot be proved: it may be this much less, or more, than what is told.
    Uncounted {
        /// How many steps fewer it may be, since the start of the machine.
        below: u64,
        /// How many steps more.
        above: u64,
    },
    /// Still, after [`Command::Halt`].
    Halted {
        /// The move it dropped; `None`: it had none under way.
        id: Option<MoveId>,
    },
    /// It has let go, by itself or since it was told to: a servo's signal has ended, or its driver or its
    /// coils are off.
    Released,
    /// Still, because of a fault. It takes no orders for moves from here on, until it has recovered.
    Fault(FaultKind),
    /// It takes orders again, after [`Command::Recover`].
    Recovered,
    /// The hardware is in the state it shall be left in.
    Safe,
}

/// A report with its sender.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// Who says it.
    pub motor: MotorIndex,
    /// What.
    pub report: Report,
}

/// When a motor wants to be polled next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wake {
    /// Not before this instant; [`Instant::FAR`]: not until a command comes.
    pub at: Instant,
    /// Whether an edge depends on it: worth a precise wait.
    pub precise: bool,
    /// Whether the motor is behind its plan, and catches up only if this wait is not overslept.
    pub behind: bool,
}

impl Wake {
    /// Nothing to do until a command comes.
    pub const IDLE: Wake = Wake { at: Instant::FAR, precise: false, behind: false };

    /// An edge is to leave at `at`.
    pub const fn edge(at: Instant) -> Wake {
        Wake { at, precise: true, behind: false }
    }

    /// An overdue edge is to leave at `at`, which is as soon as it may.
    pub const fn overdue_edge(at: Instant) -> Wake {
        Wake { at, precise: true, behind: true }
    }

    /// To be asked again at about `at`.
    pub const fn about(at: Instant) -> Wake {
        Wake { at, precise: false, behind: false }
    }
}

/// An input of a motor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    /// The driver's fault line.
    Fault,
}

/// How long before an instant a motor's loop has to be told of what happens there: time to hear of it, and to wait
/// precisely. A move goes by the slowest of its motors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leads {
    /// From the barrier's release to the epoch.
    pub start: Duration,
    /// From the proposal of a change of plan to its instant.
    pub change: Duration,
}

impl Default for Leads {
    /// What a loop needs that has a thread of its own and writes its edges at once.
    fn default() -> Leads {
        Leads { start: Duration::from_millis(5), change: Duration::from_millis(4) }
    }
}

/// A motor's loop.
///
/// Nothing here waits, and between two edges nothing allocates, locks, formats or logs.
///
/// The smallest kind of motor there is: a relay that is on while its trajectory is above a half. It
/// meets the others at the barrier like any motor, and looks at its trajectory each millisecond.
///
/// ```
/// use lockstep::hal::{Backend, Clock, Level, OutputLine, OutputStart, SimBackend};
/// use lockstep::motor::{Command, Input, Motion, Motor, Outbox, Report, Wake};
/// use lockstep::sync::{Ticket, TicketState};
/// use lockstep::units::Instant;
///
/// struct Relay {
///     line: Box<dyn OutputLine>,
///     out: Outbox,
///     motion: Option<(Motion, Ticket)>,
/// }
///
/// impl Motor for Relay {
///     fn command(&mut self, command: Command, _now: Instant) {
///         match command {
///             Command::Arm(motion) => match motion.barrier.arrive() {
///                 Ok(ticket) => {
///                     self.out.say(Report::Armed(motion.id));
///                     self.motion = Some((motion, ticket));
///                 }
///                 Err(_) => self.out.say(Report::NotStarted(motion.id)),
///             },
///             // Without a plan of its own to change it has nothing to wait for.
///             Command::Change(change) => {
///                 self.out.say(Report::Acknowledged { change: change.number });
///             }
///             Command::Halt => {
///                 let id = self.motion.take().map(|(motion, _)| motion.id);
///                 self.out.say(Report::Halted { id });
///             }
///             Command::Enable | Command::Release | Command::SetCount(_) => {}
///             // It never has a fault.
///             Command::Recover => self.out.say(Report::Recovered),
///             Command::Reach { .. } | Command::Tune(_) => {}
///             Command::Finish => {
///                 self.make_safe();
///                 self.out.say(Report::Safe);
///             }
///         }
///     }
///
///     fn poll(&mut self, now: Instant) -> Wake {
///         self.out.flush();
///         let Some((motion, ticket)) = &self.motion else { return Wake::IDLE };
///         let (TicketState::Released(_), Some(epoch)) = (ticket.poll(), motion.epoch.get()) else {
///             return Wake::about(now.plus_nanos(200_000));
///         };
///         let t = now.nanos_since(epoch);
///         let on = motion.trajectory.state_at(t).position > 0.5;
///         let _ = self.line.set(Level::from_bool(on));
///         if t >= motion.trajectory.duration() {
///             let at = epoch.plus_nanos(motion.trajectory.duration());
///             self.out.say(Report::Ended { id: motion.id, at });
///             self.motion = None;
///             return Wake::IDLE;
///         }
///         Wake::edge(now.max(epoch).plus_nanos(1_000_000))
///     }
///
///     fn on_input(&mut self, _: Input, _active: bool, _at: Instant) {}
///
///     fn make_safe(&mut self) {
///         self.motion = None; // a ticket dropped here breaks its barrier: nobody waits for us
///         let _ = self.line.set(Level::Low);
///     }
/// }
///
/// let mut sim = SimBackend::new(Clock::virtual_time());
/// let line = sim.open_output(21, OutputStart::Level(Level::Low), "relay")?;
/// let (events, heard) = crossbeam_channel::bounded(8);
/// let mut relay = Relay { line, out: Outbox::new(0, events), motion: None };
/// assert_eq!(relay.poll(Instant::ZERO), Wake::IDLE);
/// relay.command(Command::Finish, Instant::ZERO);
/// assert_eq!(heard.try_recv()?.report, Report::Safe);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Motor: Send {
    /// Takes a command. It may act at once; the next [`Motor::poll`] follows immediately.
    fn command(&mut self, command: Command, now: Instant);

    /// Does what is due at `now` and says when to be asked again.
    fn poll(&mut self, now: Instant) -> Wake;

    /// An input changed, and that is confirmed: `active` says whether its meaning holds, `at` when its first edge
    /// was.
    fn on_input(&mut self, input: Input, active: bool, at: Instant);

    /// How long before an instant the motor has to be told of what happens there.
    fn leads(&self) -> Leads {
        Leads::default()
    }

    /// Last resort, after a panic of the loop: makes the hardware safe at once, waiting no longer
    /// than two periods of its signal, and drops everything it took part in.
    fn make_safe(&mut self);
}

/// Where a motor's reports go: the machine's bounded channel.
///
/// A loop never blocks on it. What does not fit at once is kept, in order, and offered again at the
/// next poll; a motor has at most a handful of reports under way for each command it was given.
pub struct Outbox {
    motor: MotorIndex,
    events: Sender<Event>,
    waiting: VecDeque<Report>,
}

impl Outbox {
    /// An outbox for the motor of that index.
    pub fn new(motor: MotorIndex, events: Sender<Event>) -> Outbox {
        Outbox { motor, events, waiting: VecDeque::with_capacity(16) }
    }

    /// Says it, now or at the next flush.
    pub fn say(&mut self, report: Report) {
        self.waiting.push_back(report);
        self.flush();
    }

    /// Whether something is still waiting for room in the channel.
    #[inline]
    fn is_blocked(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// `wake`, or sooner where something is waiting: a loop with nothing else to do comes back for it.
    #[inline]
    fn or_retry(&self, wake: Wake, now: Instant) -> Wake {
        let retry = Wake::about(now.plus_nanos(RETRY_NANOS));
        if self.is_blocked() && retry.at < wake.at { retry } else { wake }
    }

    /// Offers what is still waiting.
    #[inline]
    pub fn flush(&mut self) {
        while let Some(report) = self.waiting.pop_front() {
            let event = Event { motor: self.motor, report };
            if let Err(crossbeam_channel::TrySendError::Full(event)) = self.events.try_send(event) {
                self.waiting.push_front(event.report);
                break;
            }
        }
    }
}

/// How soon a report that found no room is offered again.
const RETRY_NANOS: u64 = 1_000_000;

/// How far ahead of `now` a waiting motor looks at its barrier again.
const BARRIER_POLL_NANOS: u64 = 200_000;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod turning_tests;
