use std::sync::Arc;

use super::part::{Met, Part, Stage};
use super::{Command, FaultKind, Input, Motor, MoveId, Outbox, Report, Telemetry, Verdict, Wake};
use crate::hal::HalError;
use crate::motion::StepTimes;
use crate::units::Instant;

/// What a stepper's loop drives, one step at a time: pulses on STEP, or the phases of coils.
///
/// Nothing here waits, and from [`StepOutput::turn`] to the end of a pulse nothing allocates, locks,
/// formats or logs.
pub trait StepOutput: Send {
    /// Gives the motor its power, in the phase that it has at `count`. Says from when on it may step.
    ///
    /// # Errors
    ///
    /// The back end refused.
    fn energise(&mut self, count: i64) -> Result<Instant, HalError>;

    /// Takes the motor's power away. The phase is kept.
    ///
    /// # Errors
    ///
    /// The back end refused.
    fn release(&mut self) -> Result<(), HalError>;

    /// Ends the pulse under way, if it has had its width by `now`; else says when it will have.
    ///
    /// # Errors
    ///
    /// The back end refused.
    fn end_pulse(&mut self, now: Instant) -> Result<Option<Instant>, HalError>;

    /// Whether a pulse is under way.
    fn in_pulse(&self) -> bool;

    /// Gets ready for steps up or down.
    ///
    /// # Errors
    ///
    /// The back end refused.
    fn turn(&mut self, up: bool, now: Instant) -> Result<Turn, HalError>;

    /// The earliest instant of the next step, as far as the outputs go.
    fn ready_from(&self) -> Instant;

    /// Makes one step, in the direction turned to, after which the count is `count`. Says when.
    ///
    /// # Errors
    ///
    /// The back end refused.
    fn step(&mut self, count: i64) -> Result<Instant, HalError>;

    /// An output was refused: no wait on a pulse that can no longer be ended.
    fn abandon(&mut self);

    /// Last resort, after a panic of the loop: ends a pulse with its full width.
    fn make_safe(&mut self);
}

/// How a turn to a direction went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// It is turned that way already.
    Done,
    /// It has just turned; steps that way from this instant on.
    Settles(Instant),
    /// It may not turn before this instant.
    NotBefore(Instant),
}

/// What every stepper has, whatever drives it. Times are in nanoseconds.
pub struct StepperSetup {
    /// Two steps are never closer than this: 1/(1.25 x top speed), or the pulse and its gap.
    pub min_interval: u64,
    /// Whether the motor may ever be let go: by [`Command::Release`], at rest, or at the end.
    pub may_release: bool,
    /// Whether it is let go whenever it rests.
    pub release_at_rest: bool,
    /// Whether it is let go when the program ends.
    pub release_at_end: bool,
    /// From the last step to letting go, at least: the rotor still swings.
    pub settle: u64,
    /// An edge later than this is reported.
    pub max_lateness: Option<u64>,
    /// Steps at the start: where the axis is taken to be.
    pub count: i64,
    /// What the world may read.
    pub telemetry: Arc<Telemetry>,
}

/// A stepper: the loop that turns a trajectory into steps.
pub struct Stepper<O> {
    s: StepperSetup,
    drive: O,
    out: Outbox,
    part: Part<StepTimes>,
    count: i64,
    /// The next step may not come before this.
    step_from: Instant,
    powered: bool,
    awake_from: Instant,
    /// The motor may be let go from this instant on, and shall be, at rest.
    still_from: Instant,
    let_go: bool,
    /// What to say once the pulse under way has ended. `halted`: with the move that was dropped.
    halted: Option<Option<MoveId>>,
    fault: Option<FaultKind>,
    finish: bool,
    /// A fault or the end of the program: takes no more moves.
    closed: bool,
}

impl<O: StepOutput> Stepper<O> {
    /// A motor at rest, its outputs as they were opened.
    pub fn new(setup: StepperSetup, drive: O, out: Outbox) -> Stepper<O> {
        setup.telemetry.set_steps(setup.count);
        Stepper {
            count: setup.count,
            s: setup,
            drive,
            out,
            part: Part::new(),
            step_from: Instant::ZERO,
            powered: false,
            awake_from: Instant::ZERO,
            still_from: Instant::ZERO,
            let_go: false,
            halted: None,
            fault: None,
            finish: false,
            closed: false,
        }
    }

    fn fail(&mut self, kind: FaultKind) {
        self.closed = true;
        if self.drive.in_pulse() {
            self.fault = Some(kind);
        } else {
            // Said before the barrier breaks, so that the others' 'not started' comes after it.
            self.out.say(Report::Fault(kind));
        }
        self.part.drop_move();
    }

    fn advance(&mut self, now: Instant) -> Result<Wake, HalError> {
        if let Some(until) = self.drive.end_pulse(now)? {
            return Ok(Wake::edge(until));
        }
        if self.finish || self.halted.is_some() || self.fault.is_some() {
            self.say_still();
        }
        match self.part.stage() {
            Stage::Idle => self.rest(now),
            Stage::Preparing => self.prepare(now),
            Stage::Waiting => self.await_barrier(now),
            Stage::Running => self.run(now),
        }
    }

    fn say_still(&mut self) {
        if let Some(kind) = self.fault.take() {
            self.out.say(Report::Fault(kind));
        }
        if let Some(id) = self.halted.take() {
            self.out.say(Report::Halted { id });
        }
    }

    /// No move: lets go of the motor, where that is wanted, and ends.
    fn rest(&mut self, now: Instant) -> Result<Wake, HalError> {
        let let_go = self.let_go || self.s.release_at_rest || self.finish && self.s.release_at_end;
        if let_go && self.powered && self.s.may_release {
            if now < self.still_from {
                return Ok(Wake::about(self.still_from));
            }
            self.powered = false;
            self.drive.release()?;
        }
        self.let_go = false;
        if std::mem::take(&mut self.finish) {
            self.out.say(Report::Safe);
        }
        Ok(Wake::IDLE)
    }

    fn prepare(&mut self, now: Instant) -> Result<Wake, HalError> {
        if !self.powered {
            self.awake_from = self.drive.energise(self.count)?;
            self.powered = true;
        }
        let Some(motion) = self.part.preparing() else { return Ok(Wake::IDLE) };
        let mut times = StepTimes::new(motion.trajectory.clone(), self.count);
        if let Some(first) = times.peek()
            && let Turn::NotBefore(at) = self.drive.turn(first.up, now)?
        {
            return Ok(Wake::edge(at));
        }
        let ready = self.awake_from.max(self.drive.ready_from());
        if now < ready {
            return Ok(Wake::about(ready));
        }
        self.part.arrive(&mut self.out);
        self.await_barrier(now)
    }

    fn await_barrier(&mut self, now: Instant) -> Result<Wake, HalError> {
        let count = self.count;
        match self
            .part
            .meet(now, &mut self.out, |motion, _| StepTimes::new(motion.trajectory.clone(), count))
        {
            Met::Released => self.run(now),
            Met::NotYet(wake) => Ok(wake),
            Met::Broken => self.rest(now),
        }
    }

    fn run(&mut self, now: Instant) -> Result<Wake, HalError> {
        let Some((run, change)) = self.part.running() else { return Ok(Wake::IDLE) };
        let mut due = run.own.peek().map(|d| (run.zero.plus_nanos(d.at), d.up));
        // What the old plan still owes before the change's instant comes first.
        if let Some(at) = change.as_ref().map(|c| c.at)
            && due.is_none_or(|(t, _)| t >= at)
        {
            if now < at {
                return Ok(Wake::edge(at));
            }
            if let Some(change) = change.take()
                && change.gate.resolve() == Verdict::Committed
            {
                run.own = StepTimes::new(change.trajectory().clone(), self.count);
                run.follow(change);
                due = run.own.peek().map(|d| (run.zero.plus_nanos(d.at), d.up));
            }
        }
        let Some((due, up)) = due else {
            let end = run.zero.plus_nanos(run.trajectory.duration());
            if now < end {
                return Ok(Wake::about(end));
            }
            self.part.end(end, &mut self.out);
            return self.rest(now);
        };
        match self.drive.turn(up, now)? {
            Turn::Done => {}
            Turn::NotBefore(at) => return Ok(Wake::edge(at)),
            Turn::Settles(from) if from > due => self.s.telemetry.lateness.record_dir_delay(),
            Turn::Settles(_) => {}
        }
        let step_at = due.max(self.step_from).max(self.drive.ready_from());
        if now < step_at {
            return Ok(if step_at > due {
                Wake::overdue_edge(step_at)
            } else {
                Wake::edge(step_at)
            });
        }
        self.step(due, now)
    }

    /// Emits one step.
    #[inline]
    fn step(&mut self, due: Instant, now: Instant) -> Result<Wake, HalError> {
        let Some((run, _)) = self.part.running() else { return Ok(Wake::IDLE) };
        let Some(next) = run.own.peek() else { return Ok(Wake::IDLE) };
        let at = self.drive.step(next.count)?;
        self.step_from = at.plus_nanos(self.s.min_interval);
        self.still_from = at.plus_nanos(self.s.settle);
        let lateness = at.nanos_since(due);
        self.s.telemetry.lateness.record(lateness);
        run.own.advance();
        self.count = next.count;
        self.s.telemetry.set_steps(self.count);
        run.tell_late(lateness, self.s.max_lateness, &mut self.out);
        match self.drive.end_pulse(now)? {
            Some(until) => Ok(Wake::edge(until)),
            None => self.run(now),
        }
    }
}

impl<O: StepOutput> Motor for Stepper<O> {
    fn command(&mut self, command: Command, _now: Instant) {
        match command {
            Command::Arm(motion) => {
                self.let_go = false;
                self.part.arm(motion, self.closed, &mut self.out);
            }
            Command::Change(change) => self.part.take_change(change, &mut self.out),
            Command::Halt => {
                let dropped = self.part.drop_move();
                self.halted = Some(self.halted.flatten().or(dropped));
            }
            Command::Release => self.let_go = self.part.is_idle() && !self.drive.in_pulse(),
            Command::SetCount(count) => {
                if self.part.is_idle() && !self.drive.in_pulse() {
                    self.count = count;
                    self.s.telemetry.set_steps(count);
                }
            }
            Command::Finish => {
                self.part.drop_move();
                self.closed = true;
                self.finish = true;
            }
        }
    }

    fn poll(&mut self, now: Instant) -> Wake {
        self.out.flush();
        let wake = match self.advance(now) {
            Ok(wake) => wake,
            Err(e) => {
                self.drive.abandon();
                self.fail(FaultKind::Output(e));
                if let Some(kind) = self.fault.take() {
                    self.out.say(Report::Fault(kind));
                }
                if let Some(id) = self.halted.take() {
                    self.out.say(Report::Halted { id });
                }
                if std::mem::take(&mut self.finish) {
                    self.out.say(Report::Safe);
                }
                // What may still be let go is.
                let let_go = self.powered && self.s.release_at_rest;
                if let_go { Wake::about(self.still_from.max(now)) } else { Wake::IDLE }
            }
        };
        self.out.or_retry(wake, now)
    }

    fn on_input(&mut self, input: Input, active: bool, _at: Instant) {
        match input {
            Input::Fault if active && !self.closed => self.fail(FaultKind::Driver),
            Input::Fault => {}
        }
    }

    fn position_at(&self, t: Instant) -> f64 {
        self.part.position_at(t).unwrap_or(self.count as f64)
    }

    fn make_safe(&mut self) {
        self.part.drop_move();
        self.closed = true;
        self.drive.make_safe();
        if self.powered && self.s.may_release && self.s.release_at_end {
            self.powered = false;
            let _ = self.drive.release();
        }
    }
}
