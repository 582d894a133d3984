//! A machine: motors built from a config, moved by moves and programs, with an outcome for each.
//!
//! The machine is one coordinator: straight-line code over a [`Fleet`](crate::runtime::Fleet). It plans, tells the motors,
//! and listens to what they say; it never times an edge. Its calls that wait hear the stop event.

mod active;
mod ahead;
mod blend;
mod branch;
mod build;
mod change;
mod crew;
mod difference;
mod error;
mod events;
mod jog;
mod kept;
mod launch;
mod leaving;
mod model;
mod named;
mod open;
mod orders;
mod outcome;
mod path_moves;
mod plan;
mod power;
mod preflight;
mod program;
mod program_run;
mod reach;
mod reload;
mod report;
mod shapes;
mod snapshot;
mod soft_pwm;
mod spec;
mod step_clock;
mod stops;
mod usage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use crate::config::Config;
use crate::hal::{Backend, InputLine, SharedLine};
use crate::motion::Planner;
use crate::motor::{Event, FaultKind, LatenessSummary, MotorIndex, MoveId, Telemetry};
use crate::runtime::{Heed, Next, Waker};
use crate::sync::{EventBook, StopEvent};
use crate::trace::{Recorder, Recording, SignalId, Trace};
use crate::units::Instant;

use active::Active;
use crew::Crew;
use model::MotorModel;
use power::{Power, Watch};

pub use build::MachineBuilder;
pub use difference::Difference;
pub use error::{MachineError, MoveError};
pub use jog::{Jog, Velocity};
pub use kept::Kept;
pub use orders::OVERRIDE;
pub use outcome::{Cause, Held, MotorOutcome, MotorPosition, MoveOutcome, Outcome, Place};
pub use path_moves::BlendedPath;
pub use power::PowerState;
pub use preflight::{Preflight, Problem, preflight};
pub use program::{Deed, Progress, ProgressFn, RunOptions, choose_program};
pub use program_run::{ProgramEnd, ProgramRun, ProgramTurn};
pub use reach::REACH;
pub use reload::{ReloadError, Reloaded};
pub use report::{MotorReport, RunReport, RunResult};
pub use snapshot::{MachineState, MotorSnapshot, Snapshot};
pub use spec::{Move, Position};
pub use usage::MotorUsage;

/// From the barrier's release to the epoch: time for every loop to hear of it and to wait precisely.
const LEAD: Duration = Duration::from_millis(5);

/// How far ahead a change of plan is set.
const CHANGE_LEAD: Duration = Duration::from_millis(4);

/// A change takes hold at the end of the pulse that is out at its instant. A loop that is told of the next one
/// before has to let it pass.
const ADOPTION: Duration = Duration::from_micros(200);

/// The same for the second attempt, where the first has expired; doubled for each one after that.
const NEXT_LEAD: Duration = Duration::from_millis(10);

/// How often a change is proposed before the motors are halted instead.
const CHANGE_ATTEMPTS: u32 = 7;

/// How long motors may take to come to the barrier, beyond the wake-up time of their drivers.
const ARMING_PATIENCE: Duration = Duration::from_secs(2);

/// How long a stop may take beyond its braking time.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// How long a move may take beyond its planned duration, where nobody gave it a time-out.
const DEFAULT_SLACK: Duration = Duration::from_secs(5);

/// How many ended moves are kept whose outcomes nobody has asked for yet.
const MOST_ENDED: usize = 1000;

/// What the machine knows of a motor.
struct MotorState {
    place: Place,
    /// A servo's angle, once it has a signal.
    angle: Option<f64>,
    /// The angle at which a servo let go by itself: its next move begins there.
    left_at: Option<f64>,
    fault: Option<FaultKind>,
    busy: Option<MoveId>,
    telemetry: Arc<Telemetry>,
    last: Option<MotorOutcome>,
    position_signal: SignalId,
    /// How much less, and more, its count may be than what is told, where it can't be proved.
    uncounted: Option<(u64, u64)>,
    /// That has become so, or worse, in its last move.
    miscounted: bool,
    /// Its driver was switched on, and not off again.
    powered: bool,
    /// Its driver's fault line: it is watched as long as this lives.
    _inputs: Vec<Box<dyn InputLine>>,
}

impl MotorState {
    /// Its place is told no better than this from now on. An estimate stays one, and who knows nothing
    /// does not know more.
    fn doubt(&mut self) {
        if !matches!(self.place, Place::Estimated | Place::Unknown) {
            self.place = Place::Unverified;
        }
    }
}

/// A machine with its motors running.
///
/// ```
/// use lockstep::config::Config;
/// use lockstep::machine::{Machine, Move};
/// use lockstep::units::Angle;
///
/// let config = Config::from_str("[servo.pan]\npwm = { gpio = 18 }\n", "demo")?.config;
/// let mut machine = Machine::builder(config).virtual_time().build()?;
/// let id = machine.start(&Move::new().to("pan", Angle(30.0)))?;
/// assert!(machine.wait(id).all_reached());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Machine {
    config: Arc<Config>,
    models: Vec<MotorModel>,
    fleet: Crew,
    motors: Vec<MotorState>,
    planner: Planner,
    active: BTreeMap<MoveId, Active>,
    ended: BTreeMap<MoveId, Active>,
    next_move: MoveId,
    next_change: u64,
    /// The speed override, as a share.
    speed: f64,
    /// Since when the machine is held, and how long it was before, nanoseconds.
    held_since: Option<Instant>,
    held_for: u64,
    power: Option<Power>,
    supply: Option<Watch>,
    leaving: Option<leaving::Leaving>,
    events: EventBook,
    /// What happened that has a name, where somebody else tells of it: see `serve_events`.
    served: Option<Vec<(String, String, Option<MoveId>)>>,
    stop: StopEvent,
    halt: StopEvent,
    heed: Heed,
    recorder: Recorder,
    trace: Option<Trace>,
    /// Time zero of the trace.
    trace_start: Instant,
    move_signal: SignalId,
    wake_slack: Duration,
    backend: &'static str,
    hardware: bool,
    /// What outputs are opened with, also later: see [`Machine::reload`].
    header: Box<dyn Backend>,
    enables: BTreeMap<u8, SharedLine>,
    reports: Sender<Event>,
    realtime: bool,
    /// Where motors stood when the machine before ended; `None`: nobody keeps that.
    restored: Option<BTreeMap<String, Kept>>,
    /// Motors that have said that their hardware is safe.
    safe: Vec<bool>,
    finish_patience: Duration,
    finished: bool,
}

impl Machine {
    /// Starts to build a machine from a config.
    pub fn builder(config: Config) -> MachineBuilder {
        MachineBuilder::new(config)
    }

    /// The config it was built from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Now, on the clock its motors live by.
    pub fn now(&self) -> Instant {
        self.fleet.clock().now()
    }

    /// The back end's name: `sim` or `rppal`.
    pub fn backend(&self) -> &'static str {
        self.backend
    }

    /// Whether real motors hang on it.
    pub fn is_hardware(&self) -> bool {
        self.hardware
    }

    /// The event that stops the machine: every wait of the machine hears it. All motors come to rest
    /// on their path, and no move starts until [`Machine::clear`].
    pub fn stop_event(&self) -> StopEvent {
        self.stop.clone()
    }

    /// The event that halts the machine: every motor stands still after its last whole pulse.
    pub fn halt_event(&self) -> StopEvent {
        self.halt.clone()
    }

    /// Whether a stop or a halt holds.
    pub fn is_stopped(&self) -> bool {
        self.heed != Heed::Stop || self.stop.is_set() || self.halt.is_set()
    }

    /// Where a motor is, in its unit, by the edges emitted; `None` for a servo without a signal, and
    /// for a name that no motor has.
    pub fn position(&self, motor: &str) -> Option<f64> {
        let index = self.config.motor_index(motor)?;
        let state = &self.motors[index];
        match self.models[index].steps {
            Some(_) => Some(self.models[index].to_unit(state.telemetry.steps() as f64)),
            None if state.busy.is_some() => state.angle.map(|_| state.telemetry.position()),
            None => state.angle,
        }
    }

    /// What is known of a motor's place.
    pub fn place(&self, motor: &str) -> Option<Place> {
        self.config.motor_index(motor).map(|i| self.motors[i].place)
    }

    /// How late a motor's edges were so far.
    pub fn lateness(&self, motor: &str) -> Option<LatenessSummary> {
        let index = self.config.motor_index(motor)?;
        Some(self.motors[index].telemetry.lateness.summary())
    }

    /// Ends a wait of the machine from another thread: what it waits for is looked at again. For a
    /// coordinator that has more to listen to than its motors.
    pub fn waker(&self) -> Waker {
        self.fleet.waker()
    }

    /// A driver's fault in a motor at `at` from now, as if its fault line had become active.
    pub fn inject_fault(&mut self, motor: &str, after: Duration) -> Result<(), MoveError> {
        let index = self.find(motor)?;
        let at = self.now() + after;
        self.fleet.inject_fault(index, at);
        Ok(())
    }

    /// Time zero of its trace: the instants of a recording count from here.
    pub fn trace_start(&self) -> Instant {
        self.trace_start
    }

    /// What has been recorded, after [`Machine::finish`]; `None` where no trace was asked for, or it
    /// was taken before.
    pub fn take_recording(&mut self) -> Option<Recording> {
        let end = Instant::from_nanos(self.now().nanos_since(self.trace_start));
        self.trace.take().map(|trace| trace.finish().until(end))
    }

    fn is_active(&self, id: MoveId) -> bool {
        self.active.contains_key(&id)
    }

    /// The next outcome of a move that was not handed out, without waiting.
    fn take_outcome(&mut self, id: MoveId) -> Option<MotorOutcome> {
        let running = self.active.contains_key(&id);
        let active = self.active.get_mut(&id).or_else(|| self.ended.get_mut(&id))?;
        let outcome = active.ended.get(active.told).cloned();
        match outcome {
            Some(_) => active.told += 1,
            None if !running => {
                self.ended.remove(&id);
            }
            None => {}
        }
        outcome
    }

    fn find(&self, name: &str) -> Result<MotorIndex, MoveError> {
        self.config.motor_index(name).ok_or_else(|| MoveError::UnknownMotor {
            name: name.to_string(),
            known: self.models.iter().map(|m| m.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Plans a move and starts it. It runs while the machine is waited on: see [`Machine::wait`],
    /// [`Machine::wait_all`] and [`Machine::next_outcome`].
    ///
    /// # Errors
    ///
    /// [`MoveError`]: the move is refused whole, and nothing has moved.
    pub fn start(&mut self, spec: &Move) -> Result<MoveId, MoveError> {
        let targets = spec.resolve(self)?;
        self.start_targets(&targets, spec)
    }

    fn outcome(
        &self,
        motor: MotorIndex,
        id: MoveId,
        outcome: Outcome,
        position: f64,
        steps: Option<i64>,
    ) -> MotorOutcome {
        let model = &self.models[motor];
        MotorOutcome { id, motor: model.name.clone(), outcome, position, steps, unit: model.unit }
    }

    /// Runs the machine until `until`, or until something happened that may interest a waiter.
    fn pump(&mut self, until: Instant) {
        let deadline = self.next_deadline().min(until);
        match self.fleet.next(deadline, self.heed) {
            Next::Event(event) => self.on_event(event),
            Next::Stop => self.on_stop(),
            Next::Deadline => {}
        }
        self.check_deadlines();
    }

    /// Runs the machine for that long. A stop that comes meanwhile ends it earlier: as soon as nothing
    /// moves.
    pub fn run_for(&mut self, duration: Duration) {
        let until = self.now() + duration;
        let stopped = self.is_stopped();
        while self.now() < until && (stopped || !self.is_stopped() || !self.active.is_empty()) {
            self.pump(until);
        }
    }

    /// Waits until a move has ended, and takes its outcome. The wait is bounded by the move's own
    /// time-out and the time it takes to come to rest.
    ///
    /// A move that is held can't end: the wait ends when it is at rest, with [`MoveOutcome::held`].
    /// Wait again once it has been resumed.
    ///
    /// A number that no move has, or whose outcome was taken before, gives an empty outcome. So does
    /// a move that ended a thousand moves ago.
    pub fn wait(&mut self, id: MoveId) -> MoveOutcome {
        while let Some(active) = self.active.get(&id) {
            if active.is_held() {
                return MoveOutcome { id, motors: active.ended.clone(), held: true };
            }
            self.pump(Instant::FAR);
        }
        let motors = self.ended.remove(&id).map(|a| a.ended).unwrap_or_default();
        MoveOutcome { id, motors, held: false }
    }

    /// Waits until all of these moves have ended.
    pub fn wait_all(&mut self, ids: &[MoveId]) -> Vec<MoveOutcome> {
        ids.iter().map(|&id| self.wait(id)).collect()
    }

    /// Waits for the next motor of these moves to end, and hands its outcome out, as it comes. `None`
    /// when every motor of all of them has been handed out, and where those that are left are held.
    ///
    /// ```
    /// # use lockstep::{config::Config, machine::{Machine, Move, Outcome}, units::Angle};
    /// # let text = "[servo.pan]\npwm = { gpio = 18 }\n[servo.tilt]\npwm = { gpio = 19 }\n";
    /// # let config = Config::from_str(text, "demo")?.config;
    /// # let mut machine = Machine::builder(config).virtual_time().build()?;
    /// let pan = machine.start(&Move::new().to("pan", Angle(30.0)))?;
    /// let tilt = machine.start(&Move::new().to("tilt", Angle(-5.0)))?;
    /// while let Some(done) = machine.next_outcome(&[pan, tilt]) {
    ///     println!("{} at {}{}", done.motor, done.position, done.unit.symbol());
    ///     assert_eq!(done.outcome, Outcome::Reached);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn next_outcome(&mut self, ids: &[MoveId]) -> Option<MotorOutcome> {
        loop {
            let mut running = false;
            for id in ids {
                running |= self.active.get(id).is_some_and(|a| !a.is_held());
                let entry = self.active.get_mut(id).or_else(|| self.ended.get_mut(id));
                if let Some(active) = entry
                    && let Some(outcome) = active.ended.get(active.told)
                {
                    active.told += 1;
                    return Some(outcome.clone());
                }
            }
            if !running {
                for id in ids {
                    self.ended.remove(id);
                }
                return None;
            }
            self.pump(Instant::FAR);
        }
    }
}

#[cfg(test)]
mod tests;
