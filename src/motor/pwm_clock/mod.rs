//! A stepper whose step clock is a hardware PWM channel.
//!
//! The edges are the hardware's, so no load of the processor moves them. But hardware PWM can't count, and
//! nothing tells its phase. So the loop makes its count provable: it steps in *bursts* of one rate, and looks
//! at the clock before and after the write that begins one and the write that ends it.
//!
//! # One burst
//!
//! A signal of period *P*, high for *w* and then low, is enabled by a write that begins after the clock
//! showed *a* and is over when it shows *b*. It starts at some *s* with *a* <= *s* <= *b* + *g*: the chip may
//! wait for its next tick, and *g* is the coarsest tick that there is. *P* and *w* are rounded to ticks, and
//! the chip's clock runs at some rate 1 ± *r* of the monotonic clock, *r* being the tolerance. So *n* periods
//! last between *n* *F* and *n* *S*:
//!
//! > *F* = (*P* - *g*)(1 - *r*), *S* = (*P* + *g*)(1 + *r*), and a pulse at most *h* = (*w* + *g*)(1 + *r*)
//!
//! The disabling write begins after *c* and is over by *d*. Exactly *n* pulses have come out, every one of them
//! whole, if the last is surely over and the next has surely not begun:
//!
//! > *b* + *g* + (*n* - 1) *S* + *h* <= *c* and *d* < *a* + *n* *F*
//!
//! So the whole doubt must fit into one low phase: the two writes' brackets, (*b* - *a*) + (*d* - *c*), and
//! *n* periods' rounding and tolerance, about 2 *n* (*P* *r* + *g*). The pulse is as short as the driver
//! allows, so that the low phase is nearly all of the period. The disabling write is set for the middle of what
//! is left; a loop that wakes later than that allows does not write at all, but waits for the next low phase
//! that is sure: the hardware has gone on pulsing, and the count is another, but known.
//!
//! Whatever happens, the count lies between bounds that follow from the same two lines: at least the pulses that
//! were surely whole before *c*, at most those that may have begun by *d*. Where the bounds meet the count is
//! exact. Where they do not (the loop was held up *in* the write) the motor says
//! [`Report::Uncounted`](super::Report::Uncounted), and its place is unverified from there on.
//!
//! What this takes for granted, and what only a scope on a board can show: that a period begins with the
//! enabling write, and that a disabled channel is low at once. If the pin shows a pulse where there can be none,
//! the motor does not disable into it, and does not call its count exact.
//!
//! # Which rates can be proved
//!
//! With writes of up to *q* and wake-ups up to *l* late, *n* pulses of period *P* can be proved where
//! *P* > *h* + 2 *q* + 2 *l* + 2 *n* (*P* *r* + *g*), about: see [`provable_rate`]. Some ten microseconds each give
//! some thousand steps a second. What can't be proved at the figures measured on the machine is refused when the
//! motor is built.
//!
//! # The staircase
//!
//! The trajectory says when each step is due ([`StepTimes`]). A burst takes as many of them as one period suits:
//! each pulse within a quarter of a step of its time (about twice that where one burst follows another), and the rate within a quarter of the *jump* of the rate
//! that the dues have there. The jump is what a motor may change its rate by at once: `start-stop-speed`, or else
//! 2 √*a* steps/s, which is the speed at two steps from rest at the acceleration *a*: from one step to the next,
//! any stepping makes a change of that order. (With a jump *j* above that, a pulse may be off by *j*²/16*a* steps.)
//!
//! Between two bursts the motor rests for one period of the one before, a little more or less: the gap belongs to
//! the stair. Two pulses are never closer than 1/the top speed, which the writes in between can only
//! lengthen. So the **staircase rule** holds: if the rate is *f* between two steps and *f*' between two later ones,
//! then |*f* - *f*'| <= *j* + *a* t, with t the time in between; rest is *f* = 0.
//!
//! A loop that is late finds the motor behind its dues, or, as the hardware goes on, ahead of them. Behind, it goes on
//! from the rate that the motor really had by no more than the jump a stair; ahead, it slows down by no more than
//! that. What is beyond the end of the trajectory in the end is taken back, at rest, at half the jump. So a move
//! always ends at its whole step, exactly, if perhaps late.
//!
//! DIR changes while there is no signal, and only where the motor comes from standing still.

mod bursts;
mod lines;
mod proof;
mod setup;
mod signal;
mod velocity;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use super::orders::Orders;
use super::part::{Met, Part, Stage};
use super::{
    Command, FaultKind, Input, Limit, Motion, Motor, MotorLimits, MoveId, Outbox, Report, Verdict,
    Wake,
};
use crate::hal::{HalError, end_signal_in_low};
use crate::motion::{StepTimes, Trajectory};
use crate::units::{Instant, PulseWidth};
use bursts::{Before, Burst, MOST_PULSES, Pace};
use lines::Lines;
use proof::Clockwork;
use setup::{grain, natural_jump, width};
use signal::{Last, State};

pub use lines::DriverLines;
pub use proof::Doubt;
pub use setup::{PwmClockSetup, provable_rate};
pub use velocity::PwmRate;

/// A stepper axis whose STEP is a hardware PWM channel, with a count that is proved.
pub struct PwmClock {
    s: PwmClockSetup,
    clockwork: Clockwork,
    pace: Pace,
    lines: Lines,
    out: Outbox,
    part: Part<StepTimes>,
    state: State,
    count: i64,
    /// Steps made beyond those that the cursor of the plan has counted, with their sign.
    surplus: i64,
    /// The plan has changed: its cursor is to be set anew once there is no signal.
    astray: bool,
    /// Whether the travel counts: the motor's place is known.
    placed: bool,
    last: Option<Last>,
    /// How much less, and more, the true count may be.
    doubted: (u64, u64),
    halted: Option<Option<MoveId>>,
    fault: Option<FaultKind>,
    finish: bool,
    orders: Orders,
}

/// Whether an order is one that the motor follows.
fn accepts(limits: &MotorLimits, motion: &Motion, count: i64) -> Result<(), Limit> {
    limits.check(&motion.trajectory, motion.placed)?;
    limits.check_start(&motion.trajectory, count as f64)
}

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

/// The plan's steps from a count on, and how many of them have been made already.
fn cursor(trajectory: &Arc<Trajectory>, count: i64) -> (StepTimes, i64) {
    let start = trajectory.start();
    let nearest = start.position.round() as i64;
    let base = if start.velocity > 0.0 {
        count.min(nearest)
    } else if start.velocity < 0.0 {
        count.max(nearest)
    } else if (count as f64 - start.position).abs() < 0.75 {
        count
    } else {
        nearest
    };
    (StepTimes::new(trajectory.clone(), base), count - base)
}

impl PwmClock {
    /// A motor at rest; no signal, the driver as its enable line was opened.
    pub fn new(mut setup: PwmClockSetup, lines: DriverLines, out: Outbox) -> PwmClock {
        setup.jump = setup.jump.max(natural_jump(setup.limits.motion.acceleration));
        setup.telemetry.set_steps(setup.count);
        let grain = grain(&*setup.channel);
        PwmClock {
            clockwork: Clockwork {
                width: width(setup.step_high, grain),
                grain,
                tolerance: setup.tolerance,
            },
            pace: setup.pace(),
            lines: Lines::new(lines),
            count: setup.count,
            s: setup,
            out,
            part: Part::new(),
            state: State::Off,
            surplus: 0,
            astray: false,
            placed: true,
            last: None,
            doubted: (0, 0),
            halted: None,
            fault: None,
            finish: false,
            orders: Orders::default(),
        }
    }

    fn fail(&mut self, kind: FaultKind, now: Instant) {
        self.orders.fail();
        self.shorten(now);
        if matches!(self.state, State::On(_)) {
            self.fault = Some(kind);
        } else {
            // Said before the barrier breaks, so that the others' 'not started' comes after it.
            self.out.say(Report::Fault(kind));
        }
        self.part.drop_move();
    }

    fn advance(&mut self, now: Instant) -> Result<Wake, HalError> {
        self.look_at_change(now);
        if let Some(end) = self.end_burst(now)? {
            return Ok(self.or_change(end));
        }
        if self.finish || self.halted.is_some() || self.fault.is_some() {
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

    /// `wake`, or sooner where a change of plan comes before it.
    fn or_change(&self, wake: Wake) -> Wake {
        match &self.part.change {
            Some(change) if change.at < wake.at && self.part.stage() == Stage::Running => {
                Wake::edge(change.at)
            }
            _ => wake,
        }
    }

    fn look_at_change(&mut self, now: Instant) {
        let Some((run, change)) = self.part.running() else { return };
        if let Some(change) = change.take_if(|c| now >= c.at)
            && change.gate.resolve() == Verdict::Committed
        {
            run.follow(change);
            self.astray = true;
            self.shorten(now);
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
        let mut ready = self.lines.acquire()?;
        let Some(motion) = self.part.preparing() else { return Ok(Wake::IDLE) };
        if let Some(first) = cursor(&motion.trajectory, self.count).0.peek() {
            match self.lines.point(first.up, now)? {
                Ok(settled) => ready = ready.max(settled),
                Err(later) => return Ok(Wake::edge(later)),
            }
        }
        if now < ready {
            return Ok(Wake::about(ready));
        }
        self.part.arrive(&mut self.out);
        self.await_barrier(now)
    }

    fn await_barrier(&mut self, now: Instant) -> Result<Wake, HalError> {
        let (count, surplus) = (self.count, &mut self.surplus);
        match self.part.meet(now, &mut self.out, |motion, _| {
            let (steps, beyond) = cursor(&motion.trajectory, count);
            *surplus = beyond;
            steps
        }) {
            Met::Released => self.run(now),
            Met::NotYet(wake) => Ok(wake),
            Met::Broken => self.rest(now),
        }
    }

    fn run(&mut self, now: Instant) -> Result<Wake, HalError> {
        let Some((run, _)) = self.part.running() else { return Ok(Wake::IDLE) };
        let zero = run.zero;
        if now < zero {
            return Ok(self.or_change(Wake::edge(zero)));
        }
        if std::mem::take(&mut self.astray) {
            (run.own, self.surplus) = cursor(&run.trajectory, self.count);
        }
        if let State::Off = self.state
            && let Some(wake) = self.plan(now)?
        {
            return Ok(self.or_change(wake));
        }
        let wake = self.begin_burst(now)?;
        Ok(self.or_change(wake))
    }

    /// Works out the next burst and sets the channel up for it. `Some`: nothing to begin before that.
    fn plan(&mut self, now: Instant) -> Result<Option<Wake>, HalError> {
        let Some((run, change)) = self.part.running() else { return Ok(Some(Wake::IDLE)) };
        // A step that was made too early is not due any more.
        while self.surplus != 0 && run.own.peek().is_some_and(|d| d.up == (self.surplus > 0)) {
            run.own.advance();
            self.surplus -= self.surplus.signum();
        }
        let zero = run.zero.as_nanos() as i64;
        let earliest = (now.as_nanos() + self.s.doubt.write) as i64 - zero;
        let before = self.last.map(|last| Before {
            rise: last.rise as i64 - zero,
            period: last.period,
            up: last.up,
        });
        let most = |period| self.clockwork.longest(period, self.s.doubt, MOST_PULSES);
        let mut burst = bursts::next(&run.own, before, earliest, &self.pace, most);
        if self.surplus != 0 && burst.is_none_or(|b| b.up != (self.surplus > 0)) {
            let (pulses, up) = (self.surplus.unsigned_abs(), self.surplus < 0);
            let back = bursts::correction(pulses, up, before, earliest, &self.pace, most);
            burst = Some(back);
        }
        let Some(burst) = burst else {
            let end = run.zero.plus_nanos(run.trajectory.duration());
            if now < end {
                return Ok(Some(Wake::about(end)));
            }
            // Where it holds, the motor keeps its power.
            if change.is_none() && self.part.end(end, &mut self.out) {
                return Ok(Some(self.rest(now)?));
            }
            return Ok(Some(Wake::IDLE));
        };
        let Some(burst) = self.inside(burst) else {
            self.fail(FaultKind::Limit(Limit::Travel), now);
            return Ok(Some(Wake::IDLE));
        };
        let settled = match self.lines.point(burst.up, now)? {
            Ok(settled) => settled,
            Err(later) => return Ok(Some(Wake::edge(later))),
        };
        let start = at((burst.start + zero).max(0) as u64);
        if settled > start {
            self.s.telemetry.lateness.record_dir_delay();
        }
        let width = PulseWidth::from_nanos(self.clockwork.width as u32);
        self.s.channel.prepare(Duration::from_nanos(burst.period), width)?;
        self.state = State::Ready(burst, start.max(settled));
        Ok(None)
    }

    /// As much of a burst as the travel has room for; `None`: nothing.
    fn inside(&self, burst: Burst) -> Option<Burst> {
        let (least, most) = self.s.limits.travel;
        let room = if burst.up { most - self.count as f64 } else { self.count as f64 - least };
        if !self.placed || burst.pulses as f64 <= room {
            return Some(burst);
        }
        let pulses = room.max(0.0).floor() as u64;
        let pace = if pulses == 1 { burst.pace } else { burst.period as f64 };
        (pulses > 0).then_some(Burst { pulses, pace, ..burst })
    }
}

impl Motor for PwmClock {
    fn command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Arm(motion) => {
                if self.part.is_free(self.orders.are_refused())
                    && let Err(limit) = accepts(&self.s.limits, &motion, self.count)
                {
                    self.part.refuse(&motion, limit, &mut self.out);
                    return;
                }
                self.placed = motion.placed;
                self.part.arm(motion, self.orders.are_refused(), &mut self.out);
            }
            Command::Change(change) => {
                let verdict = self.s.limits.check(change.trajectory(), self.placed);
                if !self.part.refuses(&change, verdict, &mut self.out) {
                    self.part.take_change(change, &mut self.out);
                }
            }
            // It has no pulses of different widths.
            Command::Reach { .. } => {}
            Command::SetCount(count) => {
                if self.part.is_idle() && matches!(self.state, State::Off) {
                    self.count = count;
                    self.doubted = (0, 0);
                    self.s.telemetry.set_steps(count);
                }
            }
            Command::Halt => {
                self.shorten(now);
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
            // Other limits have to be proved on its channel, which is opened anew for them.
            Command::Tune(tuning) => {
                self.s.max_lateness = tuning.max_lateness;
                self.lines.tune(tuning.release_at_end);
            }
            Command::Recover => self.orders.recover(&mut self.out),
            Command::Finish => {
                self.shorten(now);
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
                self.state = State::Off;
                self.fail(FaultKind::Output(e), now);
                // Nothing is left to wait for.
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

    /// The pulse at hand ends, width 0 is written in the low phase after it, and a period later the channel
    /// is disabled.
    fn make_safe(&mut self) {
        self.part.drop_move();
        self.orders.end();
        if let State::On(on) = std::mem::replace(&mut self.state, State::Off) {
            let now = self.s.clock.now().as_nanos();
            let window = on.signal.next(now, self.s.doubt.write);
            let low = window.map_or(now, |(_, window)| window.middle().max(now));
            let period = Duration::from_nanos(on.signal.period);
            let _ = end_signal_in_low(&mut *self.s.channel, at(low), period, &self.s.clock);
        }
        let _ = self.lines.release_at_end();
    }
}
