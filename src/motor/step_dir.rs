use std::sync::Arc;

use super::part::{Met, Part, Stage};
use super::{Command, FaultKind, Input, Motor, MoveId, Outbox, Report, Telemetry, Verdict, Wake};
use crate::hal::{HalError, Level, OutputLine, SharedLine};
use crate::motion::StepTimes;
use crate::units::Instant;

/// What a STEP/DIR motor is made of. Times are in nanoseconds.
pub struct StepDirSetup {
    /// STEP.
    pub step: Box<dyn OutputLine>,
    /// DIR.
    pub dir: Box<dyn OutputLine>,
    /// The driver's enable line, perhaps shared with other axes.
    pub enable: Option<SharedLine>,
    /// STEP high, at least.
    pub step_high: u64,
    /// STEP low, at least.
    pub step_low: u64,
    /// DIR stable before STEP rises.
    pub dir_setup: u64,
    /// DIR stable after STEP falls.
    pub dir_hold: u64,
    /// From enable to the first step.
    pub wake: u64,
    /// Two rising edges are never closer than this: 1/(1.25 x top speed), or the pulse and its gap.
    pub min_interval: u64,
    /// The level of DIR for a step up.
    pub up: Level,
    /// Whether the driver is let go when the program ends, and by [`Command::Release`].
    pub may_release: bool,
    /// Whether the enable line goes inactive when the program ends.
    pub release_at_end: bool,
    /// An edge later than this is reported.
    pub max_lateness: Option<u64>,
    /// Steps at the start: where the axis is taken to be.
    pub count: i64,
    /// What the world may read.
    pub telemetry: Arc<Telemetry>,
}

/// A stepper behind a STEP/DIR driver: the loop that turns a trajectory into edges.
pub struct StepDir {
    s: StepDirSetup,
    out: Outbox,
    part: Part<StepTimes>,
    count: i64,
    /// STEP is high, and may fall from this instant on.
    pulse_until: Option<Instant>,
    /// The next rising edge may not come before this.
    rise_from: Instant,
    /// DIR may not change before this.
    dir_free_from: Instant,
    /// The level DIR was last set to, and since when it is settled.
    dir: Option<Level>,
    dir_settled_from: Instant,
    enabled: bool,
    awake_from: Instant,
    /// What to say once the pulse under way has ended. `halted`: with the move that was dropped.
    halted: Option<Option<MoveId>>,
    fault: Option<FaultKind>,
    finish: bool,
    /// A fault or the end of the program: takes no more moves.
    closed: bool,
}

impl StepDir {
    /// A motor at rest; STEP is low, the driver as its enable line was opened.
    pub fn new(setup: StepDirSetup, out: Outbox) -> StepDir {
        setup.telemetry.set_steps(setup.count);
        StepDir {
            count: setup.count,
            s: setup,
            out,
            part: Part::new(),
            pulse_until: None,
            rise_from: Instant::ZERO,
            dir_free_from: Instant::ZERO,
            dir: None,
            dir_settled_from: Instant::ZERO,
            enabled: false,
            awake_from: Instant::ZERO,
            halted: None,
            fault: None,
            finish: false,
            closed: false,
        }
    }

    fn fail(&mut self, kind: FaultKind) {
        self.closed = true;
        if self.pulse_until.is_some() {
            self.fault = Some(kind);
        } else {
            // Said before the barrier breaks, so that the others' 'not started' comes after it.
            self.out.say(Report::Fault(kind));
        }
        self.part.drop_move();
    }

    fn set_dir(&mut self, up: bool) -> Result<(), HalError> {
        let level = if up { self.s.up } else { self.s.up.opposite() };
        let at = self.s.dir.set(level)?;
        self.dir = Some(level);
        self.dir_settled_from = at.plus_nanos(self.s.dir_setup);
        Ok(())
    }

    fn points(&self, up: bool) -> bool {
        self.dir == Some(if up { self.s.up } else { self.s.up.opposite() })
    }

    fn advance(&mut self, now: Instant) -> Result<Wake, HalError> {
        if let Some(until) = self.pulse_until {
            if now < until {
                return Ok(Wake::edge(until));
            }
            let fell = self.s.step.set(Level::Low)?;
            self.pulse_until = None;
            self.rise_from = self.rise_from.max(fell.plus_nanos(self.s.step_low));
            self.dir_free_from = fell.plus_nanos(self.s.dir_hold);
        }
        if self.finish || self.halted.is_some() || self.fault.is_some() {
            self.say_still()?;
        }
        match self.part.stage() {
            Stage::Idle => Ok(Wake::IDLE),
            Stage::Preparing => self.prepare(now),
            Stage::Waiting => self.await_barrier(now),
            Stage::Running => self.run(now),
        }
    }

    fn say_still(&mut self) -> Result<(), HalError> {
        if let Some(kind) = self.fault.take() {
            self.out.say(Report::Fault(kind));
        }
        if let Some(id) = self.halted.take() {
            self.out.say(Report::Halted { id });
        }
        if self.finish {
            self.finish = false;
            if self.s.release_at_end {
                self.release()?;
            }
            self.out.say(Report::Safe);
        }
        Ok(())
    }

    fn release(&mut self) -> Result<(), HalError> {
        if self.s.may_release && self.enabled {
            self.enabled = false;
            if let Some(line) = &mut self.s.enable {
                line.release()?;
            }
        }
        Ok(())
    }

    fn prepare(&mut self, now: Instant) -> Result<Wake, HalError> {
        if !self.enabled {
            if let Some(line) = &mut self.s.enable {
                self.awake_from = line.acquire()?.plus_nanos(self.s.wake);
            }
            self.enabled = true;
        }
        let Some(motion) = self.part.preparing() else { return Ok(Wake::IDLE) };
        let mut times = StepTimes::new(motion.trajectory.clone(), self.count);
        if let Some(first) = times.peek()
            && !self.points(first.up)
        {
            if now < self.dir_free_from {
                return Ok(Wake::edge(self.dir_free_from));
            }
            self.set_dir(first.up)?;
        }
        let ready = self.awake_from.max(self.dir_settled_from);
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
            Met::Broken => Ok(Wake::IDLE),
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
            return Ok(Wake::IDLE);
        };
        if !self.points(up) {
            if now < self.dir_free_from {
                return Ok(Wake::edge(self.dir_free_from));
            }
            self.set_dir(up)?;
            if self.dir_settled_from > due {
                self.s.telemetry.lateness.record_dir_delay();
            }
        }
        let rise = due.max(self.rise_from).max(self.dir_settled_from);
        if now < rise {
            return Ok(if rise > due { Wake::overdue_edge(rise) } else { Wake::edge(rise) });
        }
        self.rise(due)
    }

    /// Emits one step and sets the end of its pulse.
    fn rise(&mut self, due: Instant) -> Result<Wake, HalError> {
        let rose = self.s.step.set(Level::High)?;
        let until = rose.plus_nanos(self.s.step_high);
        self.pulse_until = Some(until);
        self.rise_from = rose.plus_nanos(self.s.min_interval);
        let lateness = rose.nanos_since(due);
        self.s.telemetry.lateness.record(lateness);
        if let Some((run, _)) = self.part.running() {
            run.own.advance();
            self.count = run.own.count();
            self.s.telemetry.set_steps(self.count);
            run.tell_late(lateness, self.s.max_lateness, &mut self.out);
        }
        Ok(Wake::edge(until))
    }
}

impl Motor for StepDir {
    fn command(&mut self, command: Command, _now: Instant) {
        match command {
            Command::Arm(motion) => self.part.arm(motion, self.closed, &mut self.out),
            Command::Change(change) => self.part.take_change(change, &mut self.out),
            Command::Halt => {
                let dropped = self.part.drop_move();
                self.halted = Some(self.halted.flatten().or(dropped));
            }
            Command::Release => {
                if self.part.is_idle()
                    && self.pulse_until.is_none()
                    && let Err(e) = self.release()
                {
                    self.fail(FaultKind::Output(e));
                }
            }
            Command::SetCount(count) => {
                if self.part.is_idle() && self.pulse_until.is_none() {
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
                // The line is lost: no wait on a pulse that can no longer be ended.
                self.pulse_until = None;
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
                Wake::IDLE
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
        self.pulse_until = None;
        if self.s.step.level().is_high() {
            // The panic came within the pulse: give it its full width, then end it.
            std::thread::sleep(std::time::Duration::from_nanos(self.s.step_high));
            let _ = self.s.step.set(Level::Low);
        }
        if self.s.release_at_end {
            let _ = self.release();
        }
    }
}
