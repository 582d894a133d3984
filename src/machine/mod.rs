//! A machine: motors built from a config, moved by moves and programs, with an outcome for each.
//!
//! The machine is one coordinator: straight-line code over a fleet of loops. It plans, tells the motors,
//! and listens to what they say; it never times an edge. Its calls that wait hear the stop event.

mod build;
mod clear;
mod driven;
#[cfg(target_os = "linux")]
mod header;
mod host;
#[cfg(feature = "internals")]
mod internals;
mod jogs_and_paths;
mod loops;
mod named;
mod orders;
mod program_run;
mod reach;
mod reload;
mod report;
mod run;
mod stand;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{Config, OnFault};
use crate::motor::{Command, Report};
use crate::moves::{
    Action, ClaimState, IfBusy, MoveBook, OpenMove, Order, Ordered, Start, Touched, Waypoint, Which,
};
use crate::roster::{Roster, kept_places};
use crate::runtime::{Heed, Next};
use crate::sync::{EventBook, StopEvent};
use crate::trace::{Recorder, Recording, SignalId, Trace};
use crate::units::Instant;
#[cfg(target_os = "linux")]
use header::Header;

use loops::LoopWatch;
use stand::Watch;

pub use crate::books::{EventError, PowerError, Triggered};
pub use crate::hal::{Cause as SystemError, HalError};
pub use crate::motion::PlanError;
pub use crate::motion::path::PathError;
pub use crate::motor::{FaultKind, LatenessSummary, Limit, MotorIndex, MoveId};
pub use crate::moves::{
    BlendedPath, Cause, Class, EndResult, Held, Jog, MachineState, MotorOutcome, MotorPosition,
    MotorSnapshot, Move, MoveError, MoveOutcome, OVERRIDE, Outcome, Owner, Place, Position,
    PowerState, Refusal, Snapshot, Steered, Velocity,
};
pub use crate::programs::{MotorUsage, Preflight, Problem, choose_program, preflight};
pub use crate::roster::{Difference, Kept, MachineError};
pub use build::MachineBuilder;
pub use clear::ClearError;
pub use program_run::{ProgramEnd, ProgramRun, ProgramTurn};
pub use reach::REACH;
pub use reload::{ReloadError, Reloaded};
pub use report::{MotorReport, RunReport, RunResult};
pub use run::{Deed, Progress, ProgressFn, RunOptions};

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
    book: MoveBook,
    roster: Roster,
    supply: Option<Watch>,
    events: EventBook,
    /// What happened, where somebody else tells of it: see `serve_events`.
    served: Option<Vec<Happened>>,
    /// For whom moves are begun now.
    acting: Owner,
    stop: StopEvent,
    halt: StopEvent,
    recorder: Recorder,
    trace: Option<Trace>,
    /// Time zero of the trace.
    trace_start: Instant,
    move_signal: SignalId,
    /// Each motor's position in the trace.
    position_signals: Vec<SignalId>,
    /// While it looks after its motors' loops itself.
    loops: Option<LoopWatch>,
    /// Motors that have said that their hardware is safe.
    safe: Vec<bool>,
    finish_patience: Duration,
    /// The header is this machine's, where it has taken that itself. The last to go.
    #[cfg(target_os = "linux")]
    header: Option<Header>,
}

#[cfg_attr(not(feature = "service"), allow(dead_code))]
impl Machine {
    /// Starts to build a machine from a config.
    pub fn builder(config: Config) -> MachineBuilder {
        MachineBuilder::new(config)
    }

    /// The config it was built from.
    pub fn config(&self) -> &Config {
        &self.book.config
    }

    /// Now, on the clock its motors live by.
    pub fn now(&self) -> Instant {
        self.roster.fleet.clock().now()
    }

    /// The clock that its motors live by, to be kept beside it.
    #[cfg(all(test, feature = "service"))]
    pub(crate) fn clock(&self) -> crate::hal::Clock {
        self.roster.fleet.clock().clone()
    }

    /// The back end's name: `sim` or `rppal`.
    pub fn backend(&self) -> &'static str {
        self.roster.backend
    }

    /// Whether real motors hang on it.
    pub fn is_hardware(&self) -> bool {
        self.roster.hardware
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
        self.book.ordered() != Ordered::Nothing || self.stop.is_set() || self.halt.is_set()
    }

    /// Where a motor is, in its unit, by the edges emitted; `None` for a servo without a signal, and
    /// for a name that no motor has.
    pub fn position(&self, motor: &str) -> Option<f64> {
        self.book.position(self.book.config.motor_index(motor)?)
    }

    /// What is known of a motor's place.
    pub fn place(&self, motor: &str) -> Option<Place> {
        self.book.config.motor_index(motor).map(|i| self.book.motors[i].place)
    }

    /// How late a motor's edges were so far.
    pub fn lateness(&self, motor: &str) -> Option<LatenessSummary> {
        let index = self.book.config.motor_index(motor)?;
        Some(self.book.motors[index].telemetry.lateness.summary())
    }

    /// From now on `ask` is asked before motors begin to move, with their names: where it says no, their
    /// move waits, and it is asked again whenever the machine was woken, and 50 ms after it was
    /// asked last. It must not wait itself.
    pub fn ask_before_leaving(
        &mut self,
        ask: impl FnMut(&[&str], Instant) -> bool + Send + 'static,
    ) {
        self.book.ask_before_leaving(ask);
    }

    /// A driver's fault in a motor `after` from now, as if its fault line had been active for a moment.
    pub fn inject_fault(&mut self, motor: &str, after: Duration) -> Result<(), MoveError> {
        let index = self.book.find(motor)?;
        let at = self.now() + after;
        self.roster.fleet.inject_fault(index, at);
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

    /// The book is told something, or asked, and what it wants done is done.
    pub(crate) fn tell_book<T>(&mut self, tell: impl FnOnce(&mut MoveBook) -> T) -> T {
        self.book.look(self.now(), self.stop.is_set(), self.halt.is_set());
        let answer = tell(&mut self.book);
        self.act();
        answer
    }

    fn act(&mut self) {
        while let Some(action) = self.book.next_action() {
            match action {
                Action::Tell(motor, command) => {
                    let arms = match &command {
                        Command::Arm(motion) => Some(motion.id),
                        _ => None,
                    };
                    if let Err(e) = self.roster.fleet.send(motor, command) {
                        log::error!("{e}");
                        if let Some(id) = arms {
                            self.book.give_up(id, motor);
                        }
                    }
                }
                Action::Mark(at, mark) => {
                    self.recorder.text(self.move_signal, at, &mark.to_string());
                }
                Action::Began(id) => self.note(Happened::Began(id)),
                Action::Over(id) => self.note(Happened::Over(id)),
                Action::Position(motor, at, position) => {
                    self.recorder.real(self.position_signals[motor], at, position);
                }
                Action::Part(outcome) => self.part_happened(outcome),
                Action::Fault(motor, kind) => {
                    let name = self.book.models[motor].name.clone();
                    self.fault_happened(&name, &kind.to_string());
                }
                Action::Say(level, text) => log::log!(level, "{text}"),
            }
        }
    }

    pub(crate) fn is_active(&self, id: MoveId) -> bool {
        self.book.is_active(id)
    }

    /// The next outcome of a move that was not handed out, without waiting.
    pub(crate) fn take_outcome(&mut self, id: MoveId) -> Option<MotorOutcome> {
        self.book.take_outcome(id)
    }

    /// Plans a move and starts it. It runs while the machine is waited on: see [`Machine::wait`],
    /// [`Machine::wait_all`] and [`Machine::next_outcome`].
    ///
    /// # Errors
    ///
    /// [`MoveError`]: the move is refused whole, and nothing has moved.
    pub fn start(&mut self, spec: &Move) -> Result<MoveId, MoveError> {
        let targets = spec.resolve(&self.book)?;
        self.start_targets(&targets, spec)
    }

    /// Plans a move, starts it, and waits until it has ended: [`Machine::start`] and [`Machine::wait`] in one.
    ///
    /// ```
    /// use lockstep::config::Config;
    /// use lockstep::machine::{Machine, Move};
    /// use lockstep::units::Length;
    ///
    /// let config = Config::from_file("config/xyz-stage.toml")?.config;
    /// let mut machine = Machine::builder(config).virtual_time().build()?;
    /// let there = machine.go(&Move::new().to("x", Length(30.0)))?;
    /// assert!(there.all_reached());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`MoveError`]: the move is refused whole, and nothing has moved. What fails on the way is no error but part of
    /// the outcome.
    pub fn go(&mut self, spec: &Move) -> Result<MoveOutcome, MoveError> {
        let id = self.start(spec)?;
        Ok(self.wait(id))
    }

    pub(crate) fn start_targets(
        &mut self,
        targets: &[(MotorIndex, f64)],
        spec: &Move,
    ) -> Result<MoveId, MoveError> {
        let owner = self.acting.clone();
        self.tell_book(|book| book.start_targets(targets, spec, &owner))
    }

    /// Begins a path, or gives it more places, by the motors' numbers.
    pub(crate) fn start_run(
        &mut self,
        motors: Vec<MotorIndex>,
        places: &[Waypoint],
        open: bool,
        on_fault: OnFault,
    ) -> Result<MoveId, MoveError> {
        let owner = self.acting.clone();
        self.tell_book(|book| book.start_run(motors, places, open, on_fault, &owner))
    }

    pub(crate) fn extend_run(&mut self, id: MoveId, places: &[Waypoint]) -> Result<(), MoveError> {
        self.tell_book(|book| book.extend_run(id, places))
    }

    /// Whether the motor may be moved to a place now, and from where.
    pub(crate) fn ready(&self, motor: MotorIndex) -> Result<Start, MoveError> {
        self.book.ready(motor, &self.acting)
    }

    /// From now on moves are begun for this owner. Says for whom they were before.
    pub(crate) fn acts_for(&mut self, owner: Owner) -> Owner {
        std::mem::replace(&mut self.acting, owner)
    }

    /// The clock of the program that is carried out: it stands still while that is held.
    pub(crate) fn program_now(&self) -> Instant {
        let now = self.now();
        self.acting.program().map_or(now, |program| self.book.clock_of(program, now))
    }

    /// When the machine's clock will show what the program's clock shows at `at`.
    pub(crate) fn machine_time_of(&self, at: Instant) -> Instant {
        self.acting.program().map_or(at, |program| self.book.time_of(program, at))
    }

    /// Whether the program that is carried out is held.
    pub(crate) fn is_program_held(&self) -> bool {
        let state = self.acting.program().and_then(|program| self.book.claim_state(program));
        state == Some(ClaimState::Held)
    }

    /// Takes an order in, for whoever is not at work in this program: see [`IfBusy`].
    pub(crate) fn ask(
        &mut self,
        order: Order,
        if_busy: IfBusy,
        after: Option<Duration>,
    ) -> Result<MoveId, MoveError> {
        self.hear_out();
        let owner = self.acting.clone();
        self.tell_book(|book| book.ask(&owner, order, if_busy, after))
    }

    /// Feed hold of what has to do with these motors; of everything where none is named.
    pub(crate) fn hold_those(&mut self, motors: &[MotorIndex]) -> Touched {
        self.hear_out();
        self.tell_book(|book| book.hold_which(which(motors)))
    }

    /// The same of the moves and programs that there are, and not of what is asked for later.
    pub(crate) fn hold_under_way(&mut self, motors: &[MotorIndex]) -> Touched {
        self.hear_out();
        self.tell_book(|book| book.hold_under_way(which(motors)))
    }

    /// On from a hold.
    pub(crate) fn resume_those(&mut self, motors: &[MotorIndex]) -> Result<Touched, MoveError> {
        self.hear_out();
        self.tell_book(|book| book.resume_which(which(motors)))
    }

    /// Brings to rest what has to do with these motors, and drops the rest of it.
    pub(crate) fn stop_those(&mut self, motors: &[MotorIndex]) -> Touched {
        self.hear_out();
        self.tell_book(|book| book.stop_which(which(motors)))
    }

    /// Brings to rest what belongs to a program, and ends it.
    pub(crate) fn stop_program(&mut self, program: &str) -> Touched {
        self.hear_out();
        self.tell_book(|book| book.stop_program(program))
    }

    /// Whether what a verb was for has come to what was wanted.
    pub(crate) fn is_settled(&self, touched: &Touched) -> bool {
        self.book.is_settled(touched)
    }

    /// Takes a move back that has not begun. False: there is none of that number that waits.
    pub(crate) fn cancel(&mut self, id: MoveId) -> bool {
        self.tell_book(|book| book.cancel(id))
    }

    /// Takes back every move that waits for one of these motors; all of them where none is named.
    pub(crate) fn drop_waiting(&mut self, motors: &[MotorIndex]) {
        self.tell_book(|book| book.drop_waiting(which(motors)));
    }

    /// A move of these targets, with names made numbers.
    pub(crate) fn order(&self, spec: &Move) -> Result<Order, MoveError> {
        Ok(Order::Move(spec.resolve(&self.book)?, spec.clone()))
    }

    /// The same of a jog.
    pub(crate) fn jog_order(&self, jog: &Jog) -> Result<Order, MoveError> {
        Ok(Order::Jog(jog.resolve(&self.book)?, jog.lasts))
    }

    /// The moves that have not ended, whoever asked for them, in the order of their numbers.
    pub(crate) fn open_moves(&self) -> Vec<OpenMove> {
        self.book.open()
    }

    /// The register, to be read.
    pub(crate) fn register(&self) -> &MoveBook {
        &self.book
    }

    /// Runs the machine until `until`, or until something happened that may interest a waiter.
    fn pump(&mut self, until: Instant) {
        let watch = self.supply.as_ref().filter(|_| self.book.has_budget()).map(|w| w.next);
        let watch = watch.unwrap_or(Instant::FAR).min(self.loops_due());
        let deadline = self.book.next_deadline().min(until).min(watch);
        match self.roster.fleet.next(deadline, self.heed()) {
            Next::Event(event) => self.on_event(event),
            Next::Stop => self.on_stop(),
            Next::Deadline => {}
        }
        self.look_at_loops();
        if self.now() >= self.book.next_deadline() {
            self.hear_out();
        }
        self.look_at_supply();
        self.tell_book(MoveBook::check_deadlines);
    }

    /// Which of the stop events are still news.
    fn heed(&self) -> Heed {
        match self.book.ordered() {
            Ordered::Nothing => Heed::Stop,
            Ordered::Stop => Heed::Halt,
            Ordered::Halt => Heed::Nothing,
        }
    }

    fn on_event(&mut self, event: crate::motor::Event) {
        if event.report == Report::Safe {
            self.safe[event.motor] = true;
        }
        self.tell_book(|book| book.on_event(event));
    }

    /// Takes what the motors have said already. This thread may have been late itself: a motor that
    /// has answered is not silent because its answer was not read in time.
    fn hear_out(&mut self) {
        while let Next::Event(event) = self.roster.fleet.next(self.now(), Heed::Nothing) {
            self.on_event(event);
        }
    }

    /// Asks every motor's loop to show that it turns. One that has not answered since the last time this
    /// was asked is given up: it has a fault, and what it was moving in ends without it. A loop that works
    /// answers within milliseconds, so leave more than that between two calls.
    pub fn roll_call(&mut self) {
        for motor in self.roster.fleet.roll_call() {
            self.tell_book(|book| book.is_silent(motor));
        }
    }

    /// Where each motor stands by the edges that were emitted, so that the next machine can begin with
    /// that ([`MachineBuilder::restore`](crate::machine::MachineBuilder::restore)). Motors whose place nobody
    /// knows are left out: a servo without a signal, an axis that may have lost steps in a halt, one
    /// with a fault, one whose pulses could not be counted, one that moves.
    pub fn kept_places(&self) -> BTreeMap<String, Kept> {
        kept_places(&self.book.models, &self.book.motors)
    }

    /// Runs the machine for that long. A stop that comes meanwhile ends it earlier: as soon as nothing
    /// moves.
    pub fn run_for(&mut self, duration: Duration) {
        let until = self.now() + duration;
        let stopped = self.is_stopped();
        while self.now() < until && (stopped || !self.is_stopped() || !self.book.is_empty()) {
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
        while self.book.is_active(id) {
            if let Some(motors) = self.book.ended_while_held(id) {
                return MoveOutcome { id, motors, held: true };
            }
            self.pump(Instant::FAR);
        }
        MoveOutcome { id, motors: self.book.take_ended(id), held: false }
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
            for &id in ids {
                running |= self.book.is_active(id) && !self.book.is_at_rest(id);
                if let Some(outcome) = self.book.take_outcome(id) {
                    return Some(outcome);
                }
            }
            if !running {
                for &id in ids {
                    self.book.take_ended(id);
                }
                return None;
            }
            self.pump(Instant::FAR);
        }
    }
}

/// What happened, for a service that tells its clients.
#[cfg_attr(not(feature = "service"), allow(dead_code))]
pub(crate) enum Happened {
    /// A move has begun.
    Began(MoveId),
    /// A motor's part of a move has ended.
    Part(MotorOutcome),
    /// A move is over, also one that never began.
    Over(MoveId),
    /// A named event, with its data as JSON.
    Named(String, String),
}

fn which(motors: &[MotorIndex]) -> Which<'_> {
    match motors {
        [] => Which::All,
        motors => Which::Motors(motors),
    }
}

/// Makes every output safe, and ends the motors' loops.
impl Machine {
    /// Makes every output safe and ends the motors' loops, each wait bounded. Names the motors whose
    /// loop did not answer.
    ///
    /// Servos: the pulse under way ends, width 0 for a whole period, disabled. Axes: STEP low, the
    /// driver as its `on-stop` and `holds-load` say. Moves still running come to rest first.
    pub fn finish(&mut self) -> Vec<String> {
        if self.book.finished {
            return Vec::new();
        }
        // This machine's moves alone: others may share the stop event.
        self.tell_book(MoveBook::finish);
        self.settle();
        for motor in 0..self.book.models.len() {
            if let Err(e) = self.roster.fleet.send(motor, Command::Finish) {
                log::error!("{e}");
            }
        }
        let deadline = self.now() + self.finish_patience;
        while self.safe.iter().any(|safe| !safe) && self.now() < deadline {
            self.pump(deadline);
        }
        let mut left = self.roster.fleet.end(Duration::from_secs(1)).left;
        self.hear_out();
        for (motor, safe) in self.safe.iter().enumerate() {
            let name = &self.book.models[motor].name;
            if !safe && !left.contains(name) {
                left.push(name.clone());
            }
        }
        if !left.is_empty() {
            log::error!(
                "these motors' loops did not end: {}. Their outputs are as they left them: once this \
                 program has ended, `lockstep safe` makes them safe",
                left.join(", ")
            );
        }
        left
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
pub(crate) mod tests;
