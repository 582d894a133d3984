//! A step clock that runs at a rate, and counts nothing: for pumps, conveyors, turntables.
//!
//! The signal goes on for as long as the motor turns, and its period is written anew while it does: the width is
//! always the same, and shorter than any period, so that no order of the writes can make it the longer one. How many
//! pulses come out nobody knows; what is reported as steps is what the trajectory had due.

use std::time::Duration;

use super::lines::Lines;
use super::{DriverLines, PwmClockSetup, accepts, cursor, grain, width};
use crate::hal::{HalError, PhaseWatch, end_signal};
use crate::motion::{StepDue, StepTimes};
use crate::motor::orders::Orders;
use crate::motor::part::{Met, Part, Stage};
use crate::motor::{Command, FaultKind, Input, Motor, MoveId, Outbox, Report, Verdict, Wake};
use crate::units::{Instant, PulseWidth};

/// A slower step is a signal of its own. Whoever has to end the signal of a program that died waits for a
/// period of this.
const LONGEST_PERIOD: u64 = 2_000_000_000;

/// How much of a jump the rate may change by between two looks at the trajectory: one part in this many.
const LOOKS_A_JUMP: f64 = 4.0;

/// Periods that differ by less than one part in this many are not written.
const SAME: u64 = 1024;

enum State {
    Off,
    On {
        period: u64,
    },
    /// Waiting for the end of the pulse at hand.
    AwaitFall(PhaseWatch, u64),
    /// Width 0 is written; a whole period passes.
    Fading(Instant),
}

/// The time from a step to the next one in its direction.
fn gap_after(steps: &StepTimes, due: StepDue) -> Option<u64> {
    let mut steps = steps.clone();
    steps.advance();
    steps.peek().filter(|next| next.up == due.up).map(|next| next.at - due.at)
}

/// A stepper axis in `mode = "velocity"`, whose STEP is a hardware PWM channel.
pub struct PwmRate {
    s: PwmClockSetup,
    lines: Lines,
    out: Outbox,
    part: Part<StepTimes>,
    state: State,
    width: PulseWidth,
    least_period: u64,
    /// From one look at the trajectory to the next, nanoseconds.
    look: u64,
    /// An estimate.
    count: i64,
    /// The direction that DIR shows, once it shows one.
    up: Option<bool>,
    halted: Option<Option<MoveId>>,
    fault: Option<FaultKind>,
    finish: bool,
    orders: Orders,
}

impl PwmRate {
    /// A motor at rest; no signal, the driver as its enable line was opened.
    pub fn new(setup: PwmClockSetup, lines: DriverLines, out: Outbox) -> PwmRate {
        setup.telemetry.set_steps(setup.count);
        let least_period = setup.pace().least_period;
        // Long enough for its end to be seen on the pin by a loop that sleeps between two looks.
        let shortest = least_period.min(LONGEST_PERIOD);
        let pulse = width(setup.step_high, grain(&*setup.channel)).max(shortest / 4);
        let look = setup.jump / LOOKS_A_JUMP / setup.limits.motion.acceleration * 1e9;
        PwmRate {
            lines: Lines::new(lines),
            count: setup.count,
            s: setup,
            out,
            part: Part::new(),
            state: State::Off,
            width: PulseWidth::from_nanos(u32::try_from(pulse).unwrap_or(u32::MAX)),
            least_period,
            look: look.clamp(1e6, 20e6) as u64,
            up: None,
            halted: None,
            fault: None,
            finish: false,
            orders: Orders::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn width(&self) -> PulseWidth {
        self.width
    }

    fn fail(&mut self, kind: FaultKind, now: Instant) {
        self.orders.fail();
        self.begin_end(now);
        if matches!(self.state, State::Off) {
            // Said before the barrier breaks, so that the others' 'not started' comes after it.
            self.out.say(Report::Fault(kind));
        } else {
            self.fault = Some(kind);
        }
        self.part.drop_move();
    }

    fn begin_end(&mut self, now: Instant) {
        if let State::On { period } = self.state {
            let watch = PhaseWatch::new(now, Duration::from_nanos(period));
            self.state = State::AwaitFall(watch, period);
        }
    }

    /// The signal's way out, as a servo's: the falling edge, width 0, a whole period, disable.
    fn end(&mut self, now: Instant) -> Result<Option<Wake>, HalError> {
        if let State::AwaitFall(watch, period) = &mut self.state {
            if !watch.may_write(self.s.channel.level(), now) {
                let step = (u64::from(self.width.as_nanos()) / 4).clamp(10_000, 250_000);
                return Ok(Some(Wake::about(now.plus_nanos(step).min(watch.until()))));
            }
            let at = self.s.channel.set_width(PulseWidth::ZERO)?;
            self.state = State::Fading(at.plus_nanos(*period + *period / 64));
        }
        if let State::Fading(until) = self.state {
            if now < until {
                return Ok(Some(Wake::about(until)));
            }
            let off = self.s.channel.disable()?;
            self.state = State::Off;
            self.lines.pulse_over(off);
        }
        Ok(None)
    }

    fn advance(&mut self, now: Instant) -> Result<Wake, HalError> {
        if let Some(wake) = self.end(now)? {
            return Ok(wake);
        }
        if matches!(self.state, State::Off) {
            self.say_still()?;
        }
        if !self.part.is_idle() {
            self.lines.is_busy(now);
        }
        match self.part.stage() {
            Stage::Idle => self.rest(now),
            Stage::Preparing => self.prepare(now),
            Stage::Waiting => self.await_barrier(now),
            Stage::Running => self.run(now),
        }
    }

    /// No move: the driver keeps its power, unless it shall be let go after a while.
    fn rest(&mut self, now: Instant) -> Result<Wake, HalError> {
        let (released, again) = self.lines.rest(now)?;
        if released {
            self.out.say(Report::Released);
        }
        Ok(again.map_or(Wake::IDLE, Wake::about))
    }

    fn say_still(&mut self) -> Result<(), HalError> {
        if let Some(kind) = self.fault.take() {
            self.out.say(Report::Fault(kind));
        }
        if let Some(id) = self.halted.take() {
            self.out.say(Report::Halted { id });
        }
        if std::mem::take(&mut self.finish) {
            if self.lines.release_at_end()? {
                self.out.say(Report::Released);
            }
            self.out.say(Report::Safe);
        }
        Ok(())
    }

    fn prepare(&mut self, now: Instant) -> Result<Wake, HalError> {
        let ready = self.lines.acquire()?;
        if now < ready {
            return Ok(Wake::about(ready));
        }
        self.part.arrive(&mut self.out);
        self.await_barrier(now)
    }

    fn await_barrier(&mut self, now: Instant) -> Result<Wake, HalError> {
        let count = self.count;
        match self.part.meet(now, &mut self.out, |motion, _| cursor(&motion.trajectory, count).0) {
            Met::Released => self.run(now),
            Met::NotYet(wake) => Ok(wake),
            Met::Broken => self.rest(now),
        }
    }

    fn run(&mut self, now: Instant) -> Result<Wake, HalError> {
        let Some((run, change)) = self.part.running() else { return Ok(Wake::IDLE) };
        if let Some(change) = change.take_if(|c| now >= c.at)
            && change.gate.resolve() == Verdict::Committed
        {
            run.own = cursor(change.trajectory(), self.count).0;
            run.follow(change);
        }
        if now < run.zero {
            return Ok(Wake::edge(run.zero));
        }
        let change_at = change.as_ref().map_or(Instant::FAR, |c| c.at);
        let t = now.nanos_since(run.zero);
        if let State::On { .. } = self.state {
            while run.own.peek().is_some_and(|d| d.at <= t && self.up == Some(d.up)) {
                run.own.advance();
            }
            self.count = run.own.count();
            self.s.telemetry.set_steps(self.count);
        }
        let next = run.own.peek();
        let State::On { period } = self.state else {
            let Some(due) = next else {
                let end = run.zero.plus_nanos(run.trajectory.duration());
                if now >= end && change_at == Instant::FAR {
                    let over = self.part.end(end, &mut self.out);
                    return if over { self.rest(now) } else { Ok(Wake::IDLE) };
                }
                return Ok(Wake::about(end.max(now).min(change_at)));
            };
            let due_at = run.zero.plus_nanos(due.at);
            let settled = match self.lines.point(due.up, now)? {
                Ok(settled) => settled.max(due_at),
                Err(later) => later,
            };
            if now < settled {
                return Ok(Wake::edge(settled.min(change_at)));
            }
            return self.begin(now);
        };
        // The rate ahead, as long as there is one; with the last step the signal ends.
        let next = next.filter(|d| self.up == Some(d.up) && d.at - t <= 2 * LONGEST_PERIOD);
        let wanted = next.map(|due| gap_after(&run.own, due).unwrap_or(period));
        let Some(wanted) = wanted.filter(|gap| *gap <= LONGEST_PERIOD) else {
            self.begin_end(now);
            return Ok(Wake::about(now));
        };
        let wanted = wanted.max(self.least_period).min(LONGEST_PERIOD);
        if wanted.abs_diff(period) > period / SAME {
            self.s.channel.set_period(Duration::from_nanos(wanted))?;
            self.state = State::On { period: wanted };
        }
        Ok(Wake::about(now.plus_nanos(self.look).min(change_at)))
    }

    /// The first pulse is due: the signal begins with it, at the rate that follows.
    fn begin(&mut self, now: Instant) -> Result<Wake, HalError> {
        let Some((run, _)) = self.part.running() else { return Ok(Wake::IDLE) };
        let Some(due) = run.own.peek() else { return Ok(Wake::IDLE) };
        let gap = gap_after(&run.own, due).unwrap_or(LONGEST_PERIOD);
        run.own.advance();
        let period = gap.max(self.least_period).min(LONGEST_PERIOD);
        let at = self.s.channel.start(Duration::from_nanos(period), self.width)?;
        self.state = State::On { period };
        self.up = Some(due.up);
        self.count = run.own.count();
        self.s.telemetry.set_steps(self.count);
        let lateness = at.nanos_since(run.zero.plus_nanos(due.at));
        self.s.telemetry.late(lateness, at);
        run.tell_late(lateness, self.s.max_lateness, &mut self.out);
        Ok(Wake::about(now.plus_nanos(self.look)))
    }
}

impl Motor for PwmRate {
    fn command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Arm(motion) => {
                if self.part.is_free(self.orders.are_refused())
                    && let Err(limit) = accepts(&self.s.limits, &motion, self.count)
                {
                    self.part.refuse(&motion, limit, &mut self.out);
                    return;
                }
                self.part.arm(motion, self.orders.are_refused(), &mut self.out);
            }
            Command::Change(change) => {
                let verdict = self.s.limits.check(change.trajectory(), false);
                if !self.part.refuses(&change, verdict, &mut self.out) {
                    self.part.take_change(change, &mut self.out);
                }
            }
            // Where nobody knows the place there is none to set.
            Command::SetCount(_) | Command::Reach { .. } => {}
            Command::Tune(tuning) => {
                self.s.max_lateness = tuning.max_lateness;
                self.lines.tune(tuning.release_at_end);
            }
            Command::Halt => {
                self.begin_end(now);
                let dropped = self.part.drop_move();
                self.lines.is_busy(now);
                self.halted = Some(self.halted.flatten().or(dropped));
            }
            Command::Enable => {
                if self.part.is_free(self.orders.are_refused())
                    && let Err(e) = self.lines.switch_on()
                {
                    self.fail(FaultKind::Output(e), now);
                }
            }
            Command::Release => {
                if self.part.is_idle() && matches!(self.state, State::Off) {
                    match self.lines.release() {
                        Ok(true) => self.out.say(Report::Released),
                        Ok(false) => {}
                        Err(e) => self.fail(FaultKind::Output(e), now),
                    }
                }
            }
            Command::Recover => self.orders.recover(&mut self.out),
            Command::Finish => {
                self.begin_end(now);
                self.part.drop_move();
                self.orders.end();
                self.finish = true;
            }
        }
    }

    fn poll(&mut self, now: Instant) -> Wake {
        self.out.flush();
        let wake = match self.advance(now) {
            Ok(wake) => wake,
            Err(e) => {
                // The orderly way out is barred: better a pulse cut than a motor that runs on.
                let _ = self.s.channel.disable();
                self.state = State::Off;
                self.fail(FaultKind::Output(e), now);
                if self.say_still().is_err() {
                    self.out.say(Report::Safe);
                }
                Wake::IDLE
            }
        };
        self.out.or_retry(wake, now)
    }

    fn on_input(&mut self, input: Input, active: bool, at: Instant) {
        match input {
            Input::Fault if self.orders.hear_line(active) => self.fail(FaultKind::Driver, at),
            Input::Fault => {}
        }
    }

    fn make_safe(&mut self) {
        self.part.drop_move();
        self.orders.end();
        if let State::On { period } | State::AwaitFall(_, period) = self.state {
            let period = Duration::from_nanos(period);
            let _ = end_signal(&mut *self.s.channel, period, &self.s.clock);
        } else if let State::Fading(_) = self.state {
            let _ = self.s.channel.disable();
        }
        self.state = State::Off;
        let _ = self.lines.release_at_end();
    }
}
