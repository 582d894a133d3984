use std::sync::Arc;
use std::time::Duration;

use super::orders::Orders;
use super::part::{Met, Part, Stage};
use super::pulse_map::{LAST_NEUTRAL, check};
use super::{
    Command, FaultKind, Input, Motor, MotorLimits, MoveId, Outbox, PulseMap, PulseOf, Report,
    Telemetry, Verdict, Wake,
};
use crate::hal::{Clock, HalError, Level, OutputLine, wait_until};
use crate::units::{Instant, PulseWidth};

/// What a servo whose pulses are timed by its own loop is made of.
pub struct SoftServoSetup {
    /// Its signal: a line that is low.
    pub line: Box<dyn OutputLine>,
    /// From the beginning of one pulse to that of the next.
    pub period: Duration,
    /// What a pulse stands for.
    pub pulse_of: PulseOf,
    /// Which pulse stands for which angle, or speed.
    pub map: PulseMap,
    /// What it keeps against any plan, in degrees.
    pub limits: MotorLimits,
    /// Its signal ends once it has been at rest for this long, in nanoseconds, counted from the end of
    /// its plan.
    pub release_after: Option<u64>,
    /// An edge later than this, in nanoseconds, is reported.
    pub max_lateness: Option<u64>,
    /// The clock, for the last resort after a panic.
    pub clock: Clock,
    /// What the world may read.
    pub telemetry: Arc<Telemetry>,
}

#[derive(Clone, Copy)]
enum Signal {
    Off,
    /// A pulse is due at `next`; the last one ended at `quiet`, if there was one.
    Low {
        next: Instant,
        quiet: Option<Instant>,
    },
    /// The pulse that was due at `due` ends at `fall`.
    High {
        due: Instant,
        fall: Instant,
    },
    /// The signal has ended; a new one may begin after this.
    Fading {
        until: Instant,
    },
}

/// A hobby servo on any pin: its loop makes each pulse itself, at rest as in a move.
///
/// Pulses begin on a grid of whole periods from the first one on, so that nothing drifts. A pulse once
/// begun keeps its full width, counted from the edge that began it: a late wake-up makes it longer,
/// never shorter. How much longer is its jitter, and for a servo that is a movement: about a degree for
/// each 10 us. A pulse whose beginning was overslept by much is left out; a servo holds on without.
/// There is never more than one pulse in a period. Of one that turns every pulse is neutral that no plan says else of, and
/// its signal ends `release_after` later.
pub struct SoftServo {
    s: SoftServoSetup,
    period: u64,
    out: Outbox,
    part: Part<()>,
    signal: Signal,
    width: PulseWidth,
    /// What the last pulse stands for: degrees, or percent.
    angle: f64,
    /// Told to halt, in that move; it is said once the pulse at a speed is over.
    halted: Option<Option<MoveId>>,
    /// When the plan ended whose last pulse is under way.
    ended: Option<Instant>,
    /// The signal ends with the pulse that is under way.
    ending: bool,
    /// When it was last known to be part of a move.
    rests_since: Instant,
    finish: bool,
    orders: Orders,
}

impl SoftServo {
    /// A servo without a signal.
    pub fn new(setup: SoftServoSetup, out: Outbox) -> SoftServo {
        let period = u64::try_from(setup.period.as_nanos()).unwrap_or(u64::MAX).max(1);
        SoftServo {
            width: setup.map.min,
            s: setup,
            period,
            out,
            part: Part::new(),
            signal: Signal::Off,
            angle: 0.0,
            halted: None,
            ended: None,
            ending: false,
            rests_since: Instant::ZERO,
            finish: false,
            orders: Orders::default(),
        }
    }

    /// What a pulse leaves of its period.
    fn rest(&self) -> u64 {
        self.period.saturating_sub(self.width.as_nanos().into())
    }

    /// Says that it stands still, once it does.
    fn tell_halted(&mut self) {
        let pulse = matches!(self.signal, Signal::High { .. });
        let turning = pulse && self.s.pulse_of.turns() && self.width != self.s.map.width(0.0);
        if !turning && let Some(id) = self.halted.take() {
            self.out.say(Report::Halted { id });
        }
    }

    fn drop_move(&mut self) -> Option<MoveId> {
        self.ended = None;
        if matches!(self.signal, Signal::Low { quiet: None, .. }) {
            // No pulse of this signal is out yet: without its move there is no angle that one could stand for.
            self.signal = Signal::Off;
        }
        self.part.drop_move()
    }

    fn fail(&mut self, kind: FaultKind) {
        self.orders.fail();
        // Said before the barrier breaks, so that the others' 'not started' comes after it.
        self.out.say(Report::Fault(kind));
        self.drop_move();
    }

    /// Counts how late an edge was.
    fn late(&mut self, by: u64, at: Instant) {
        self.s.telemetry.late(by, at);
        if let Some((run, _)) = self.part.running() {
            run.tell_late(by, self.s.max_lateness, &mut self.out);
        }
    }

    fn advance(&mut self, now: Instant) -> Result<Wake, HalError> {
        // One that turns rests as long as its pulse is neutral, also where a move was dropped before it began.
        let moves = !self.part.is_idle() && !self.s.pulse_of.turns();
        if moves || self.part.stage() == Stage::Running {
            self.rests_since = now;
        }
        self.fall(now)?;
        let over = self
            .s
            .release_after
            .is_some_and(|after| self.part.is_idle() && now >= self.rests_since.plus_nanos(after));
        self.ending |= over && !matches!(self.signal, Signal::Off);
        match self.signal {
            // For a servo, a signal is over when a pulse has been missing.
            Signal::Low { quiet: None, .. } if self.ending => self.signal = Signal::Off,
            Signal::Low { quiet: Some(quiet), .. } if self.ending => {
                self.signal = Signal::Fading { until: quiet.plus_nanos(self.period) };
            }
            _ => {}
        }
        if matches!(self.signal, Signal::Fading { until } if now >= until) {
            self.signal = Signal::Off;
        }
        if matches!(self.signal, Signal::Off) {
            if std::mem::take(&mut self.ending) {
                self.out.say(Report::Released);
            }
            if self.finish {
                self.finish = false;
                self.out.say(Report::Safe);
            }
        }
        if !self.ending {
            self.part.arrive(&mut self.out);
        }
        let mut wake = Wake::IDLE;
        if self.part.stage() == Stage::Waiting
            && let Met::NotYet(look) = self.part.meet(now, &mut self.out, |_, _| ())
        {
            wake = look;
        }
        self.follow_change(now, &mut wake);
        self.rise(now)?;
        let edge = match self.signal {
            Signal::Off => return Ok(wake),
            Signal::Fading { until } => return Ok(Wake::about(until)),
            Signal::Low { next, .. } => next,
            Signal::High { fall, .. } => fall,
        };
        Ok(if wake.at < edge { wake } else { Wake::edge(edge) })
    }

    /// Takes a change of plan whose instant has come; one that is still to come is waited for.
    fn follow_change(&mut self, now: Instant, wake: &mut Wake) {
        let Some((run, change)) = self.part.running() else { return };
        match change.as_ref().map(|c| c.at) {
            Some(at) if now < at => *wake = Wake::about(at),
            Some(_) => {
                if let Some(change) = change.take()
                    && change.gate.resolve() == Verdict::Committed
                {
                    run.follow(change);
                }
            }
            None => {}
        }
    }

    /// Ends the pulse that is under way, if it is time.
    fn fall(&mut self, now: Instant) -> Result<(), HalError> {
        let Signal::High { due, fall } = self.signal else { return Ok(()) };
        if now < fall {
            return Ok(());
        }
        let at = self.s.line.set(Level::Low)?;
        self.signal = Signal::Low { next: due.plus_nanos(self.period), quiet: Some(at) };
        let over = at.nanos_since(fall);
        self.s.telemetry.jitter.record(over);
        self.late(over, at);
        if let Some(end) = self.ended.take()
            && let Some((_, None)) = self.part.running()
        {
            self.part.end(end, &mut self.out);
        }
        Ok(())
    }

    /// Begins a pulse, if it is time.
    fn rise(&mut self, now: Instant) -> Result<(), HalError> {
        if let (Signal::Off, false, Some((run, _))) =
            (self.signal, self.ending, self.part.running())
        {
            self.signal = Signal::Low { next: run.zero, quiet: None };
        }
        let Signal::Low { next, quiet } = self.signal else { return Ok(()) };
        if now < next {
            return Ok(());
        }
        // Two pulses must not run together: a servo would take them for one.
        let free = quiet.map_or(Instant::ZERO, |quiet| quiet.plus_nanos(self.rest() / 4));
        let latest = next.plus_nanos((self.period / 4).min(self.rest() / 2));
        if now > latest || next < free {
            let skipped = now.max(free).nanos_since(next).div_ceil(self.period).max(1);
            self.signal = Signal::Low { next: next.plus_nanos(skipped * self.period), quiet };
            self.late(skipped * self.period, now);
            return Ok(());
        }
        if let Some((run, change)) = self.part.running()
            && next >= run.zero
        {
            self.angle = self.s.pulse_of.value(run.trajectory.state_at(next.nanos_since(run.zero)));
            let end = run.zero.plus_nanos(run.trajectory.duration());
            self.ended = (next >= end && change.is_none()).then_some(end);
            // The first pulse of a signal, and the last of a move, stand for their own angles.
            let exact = self.ended.is_some() || free == Instant::ZERO;
            self.width = self.s.map.follow(self.width, self.s.map.width(self.angle), exact);
            self.s.telemetry.set_position(self.angle);
        } else if self.s.pulse_of.turns() {
            let neutral = self.s.map.width(0.0);
            if self.width != neutral {
                // From the first neutral pulse on.
                self.rests_since = next;
            }
            (self.angle, self.width) = (0.0, neutral);
            self.s.telemetry.set_position(self.angle);
        }
        let at = self.s.line.set(Level::High)?;
        self.signal = Signal::High { due: next, fall: at.plus_nanos(self.width.as_nanos().into()) };
        self.late(at.nanos_since(next), at);
        Ok(())
    }
}

impl Motor for SoftServo {
    fn command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Arm(motion) => {
                // One that is on its way out has no place that a new one would jump from.
                let runs = !matches!(self.signal, Signal::Off) && !self.ending;
                let started = (runs && !self.s.pulse_of.turns()).then_some(self.angle);
                if self.part.is_free(self.orders.are_refused())
                    && let Err(limit) = check(&self.s.limits, &motion.trajectory, started)
                {
                    return self.part.refuse(&motion, limit, &mut self.out);
                }
                self.part.arm(motion, self.orders.are_refused(), &mut self.out);
                if !self.ending {
                    self.part.arrive(&mut self.out);
                }
            }
            Command::Change(change) => {
                let verdict = self.s.limits.check(change.trajectory(), true);
                if !self.part.refuses(&change, verdict, &mut self.out) {
                    self.part.take_change(change, &mut self.out);
                }
            }
            Command::Halt => {
                let id = self.drop_move();
                if !self.s.pulse_of.turns() {
                    self.rests_since = now;
                }
                self.halted = Some(self.halted.flatten().or(id));
                self.tell_halted();
            }
            // Without a signal there is nothing to end.
            Command::Release if matches!(self.signal, Signal::Off) => {}
            // One that turns ends its signal by itself, once it stands still.
            Command::Release if self.s.pulse_of.turns() => {}
            Command::Release => self.ending |= self.part.is_idle(),
            Command::Tune(tuning) => {
                self.s.limits = tuning.limits;
                self.s.max_lateness = tuning.max_lateness;
            }
            Command::Reach { limits, map } if self.part.is_idle() => {
                (self.s.limits, self.s.map) = (limits, map);
            }
            Command::Enable | Command::SetCount(_) | Command::Reach { .. } => {}
            Command::Recover => self.orders.recover(&mut self.out),
            Command::Finish => {
                self.drop_move();
                self.orders.end();
                self.finish = true;
                self.ending = !matches!(self.signal, Signal::Off) && !self.s.pulse_of.turns();
            }
        }
    }

    fn poll(&mut self, now: Instant) -> Wake {
        self.out.flush();
        let wake = match self.advance(now) {
            Ok(wake) => wake,
            Err(e) => {
                // Better a pulse cut than a line left high; if this is refused, too, nothing is left.
                let _ = self.s.line.set(Level::Low);
                self.signal = Signal::Off;
                self.ending = false;
                self.fail(FaultKind::Output(e));
                if self.finish {
                    self.finish = false;
                    self.out.say(Report::Safe);
                }
                Wake::IDLE
            }
        };
        self.tell_halted();
        self.out.or_retry(wake, now)
    }

    fn on_input(&mut self, input: Input, active: bool, _at: Instant) {
        match input {
            Input::Fault if self.orders.hear_line(active) => self.fail(FaultKind::Driver),
            Input::Fault => {}
        }
    }

    fn make_safe(&mut self) {
        self.drop_move();
        self.orders.end();
        if self.s.line.level().is_high() {
            let fall = match self.signal {
                Signal::High { fall, .. } => fall,
                // It went high, and nobody came to write that down: give it any width there is.
                _ => self.s.clock.now().plus_nanos(self.s.map.max.as_nanos().into()),
            };
            wait_until(&self.s.clock, fall);
            let _ = self.s.line.set(Level::Low);
        }
        let neutral = self.s.map.width(0.0);
        let turned = self.s.pulse_of.turns() && self.width != neutral;
        if turned && !matches!(self.signal, Signal::Off) {
            for _ in 0..LAST_NEUTRAL {
                let (clock, period) = (&self.s.clock, self.s.period);
                wait_until(clock, clock.now() + (period - period / 8));
                if let Ok(rose) = self.s.line.set(Level::High) {
                    wait_until(clock, rose.plus_nanos(neutral.as_nanos().into()));
                }
                let _ = self.s.line.set(Level::Low);
            }
        }
        self.signal = Signal::Off;
    }
}

#[cfg(test)]
mod tests;
