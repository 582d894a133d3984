use std::sync::Arc;

use super::{
    BARRIER_POLL_NANOS, Change, Command, FaultKind, Input, Motion, Motor, MoveId, Outbox, Report,
    Telemetry, Verdict, Wake,
};
use crate::hal::{HalError, Level, OutputLine, SharedLine};
use crate::motion::{StepTimes, Trajectory};
use crate::sync::{Ticket, TicketState};
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

struct Run {
    id: MoveId,
    /// The instant of the trajectory's time zero.
    zero: Instant,
    trajectory: Arc<Trajectory>,
    times: StepTimes,
    late_told: bool,
}

enum Phase {
    Idle,
    /// Enabling the driver, settling DIR.
    Preparing(Motion),
    /// At the barrier.
    Waiting(Motion, Ticket),
    Running(Run),
}

/// A stepper behind a STEP/DIR driver: the loop that turns a trajectory into edges.
pub struct StepDir {
    s: StepDirSetup,
    out: Outbox,
    phase: Phase,
    change: Option<Change>,
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
            phase: Phase::Idle,
            change: None,
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

    /// Ends whatever is under way, without cutting a pulse, and says which move that was. A ticket
    /// dropped here breaks its barrier; who has not arrived yet breaks it, too.
    fn drop_move(&mut self) -> Option<MoveId> {
        self.change = None;
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle => None,
            Phase::Preparing(motion) => {
                motion.barrier.abort();
                Some(motion.id)
            }
            Phase::Waiting(motion, _) => Some(motion.id),
            Phase::Running(run) => Some(run.id),
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
        self.drop_move();
    }

    /// The move that it belongs to is the present one, begun or about to begin.
    fn follows(&self, id: MoveId) -> bool {
        match &self.phase {
            Phase::Idle => false,
            Phase::Preparing(motion) | Phase::Waiting(motion, _) => motion.id == id,
            Phase::Running(run) => run.id == id,
        }
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
        match &self.phase {
            Phase::Idle => Ok(Wake::IDLE),
            Phase::Preparing(_) => self.prepare(now),
            Phase::Waiting(..) => self.await_barrier(now),
            Phase::Running(_) => self.run(now),
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
        let Phase::Preparing(motion) = &self.phase else { return Ok(Wake::IDLE) };
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
        let Phase::Preparing(motion) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return Ok(Wake::IDLE);
        };
        match motion.barrier.arrive() {
            Ok(ticket) => {
                self.out.say(Report::Armed(motion.id));
                self.phase = Phase::Waiting(motion, ticket);
                self.await_barrier(now)
            }
            Err(_) => {
                self.change = None;
                self.out.say(Report::NotStarted(motion.id));
                Ok(Wake::IDLE)
            }
        }
    }

    fn await_barrier(&mut self, now: Instant) -> Result<Wake, HalError> {
        let Phase::Waiting(motion, ticket) = &mut self.phase else { return Ok(Wake::IDLE) };
        match (ticket.poll(), motion.epoch.get()) {
            (TicketState::Released(_), Some(epoch)) => {
                let run = Run {
                    id: motion.id,
                    zero: epoch,
                    trajectory: motion.trajectory.clone(),
                    times: StepTimes::new(motion.trajectory.clone(), self.count),
                    late_told: false,
                };
                self.out.say(Report::Started(run.id));
                self.phase = Phase::Running(run);
                self.run(now)
            }
            (TicketState::Waiting, _) => Ok(Wake::about(now.plus_nanos(BARRIER_POLL_NANOS))),
            _ => {
                let id = motion.id;
                self.drop_move();
                self.out.say(Report::NotStarted(id));
                Ok(Wake::IDLE)
            }
        }
    }

    fn run(&mut self, now: Instant) -> Result<Wake, HalError> {
        let Phase::Running(run) = &mut self.phase else { return Ok(Wake::IDLE) };
        let mut due = run.times.peek().map(|d| (run.zero.plus_nanos(d.at), d.up));
        // What the old plan still owes before the change's instant comes first.
        if let Some(at) = self.change.as_ref().map(|c| c.at)
            && due.is_none_or(|(t, _)| t >= at)
        {
            if now < at {
                return Ok(Wake::edge(at));
            }
            if let Some(change) = self.change.take()
                && change.gate.resolve() == Verdict::Committed
            {
                run.zero = change.at;
                run.times = StepTimes::new(change.trajectory.clone(), self.count);
                run.trajectory = change.trajectory;
                due = run.times.peek().map(|d| (run.zero.plus_nanos(d.at), d.up));
            }
        }
        let Some((due, up)) = due else {
            let end = run.zero.plus_nanos(run.trajectory.duration());
            if now < end {
                return Ok(Wake::about(end));
            }
            let id = run.id;
            self.drop_move();
            self.out.say(Report::Ended { id, at: end });
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
            return Ok(Wake::edge(rise));
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
        if let Phase::Running(run) = &mut self.phase {
            run.times.advance();
            self.count = run.times.count();
            self.s.telemetry.set_steps(self.count);
            if !run.late_told && self.s.max_lateness.is_some_and(|max| lateness > max) {
                run.late_told = true;
                self.out.say(Report::Late { id: run.id, by: lateness });
            }
        }
        Ok(Wake::edge(until))
    }
}

impl Motor for StepDir {
    fn command(&mut self, command: Command, _now: Instant) {
        match command {
            Command::Arm(motion) => {
                if self.closed || !matches!(self.phase, Phase::Idle) {
                    self.out.say(Report::NotStarted(motion.id));
                    motion.barrier.abort();
                } else {
                    self.phase = Phase::Preparing(motion);
                }
            }
            Command::Change(change) => {
                self.out.say(Report::Acknowledged { change: change.number });
                // Also when it has not yet seen that the barrier let it go: the others have.
                if self.follows(change.id) {
                    self.change = Some(change);
                }
            }
            Command::Halt => {
                let dropped = self.drop_move();
                self.halted = Some(self.halted.flatten().or(dropped));
            }
            Command::Release => {
                if matches!(self.phase, Phase::Idle)
                    && self.pulse_until.is_none()
                    && let Err(e) = self.release()
                {
                    self.fail(FaultKind::Output(e));
                }
            }
            Command::Finish => {
                self.drop_move();
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
        match &self.phase {
            Phase::Running(run) => run.trajectory.state_at(t.nanos_since(run.zero)).position,
            _ => self.count as f64,
        }
    }

    fn make_safe(&mut self) {
        self.drop_move();
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
