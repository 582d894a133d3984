//! A burst on its way: enabled, ended in a low phase, counted.

use super::bursts::Burst;
use super::proof::Signal;
use super::{PwmClock, Report, Wake, at};
use crate::hal::{HalError, Level};
use crate::units::Instant;

pub(super) enum State {
    Off,
    /// Period and width are set; enabled at the instant.
    Ready(Burst, Instant),
    On(Running),
}

/// A signal that is on.
pub(super) struct Running {
    pub signal: Signal,
    pub up: bool,
    /// How many pulses it shall have.
    pub pulses: u64,
    /// When it shall be disabled, and when it should have been, on the clock.
    pub end: u64,
    pub due: u64,
    /// The time between two steps that it stands for, where it is a single pulse.
    pub pace: f64,
    /// The pin was high where it has to be low: until when that is waited for.
    pub odd_until: Option<u64>,
}

/// The last pulse, on the clock.
#[derive(Clone, Copy)]
pub(super) struct Last {
    pub rise: u64,
    pub period: f64,
    pub up: bool,
}

impl PwmClock {
    /// What is not on yet is dropped; what is on ends after the pulse at hand.
    pub(super) fn shorten(&mut self, now: Instant) {
        if let State::Ready(..) = self.state {
            self.state = State::Off;
        }
        if let State::On(on) = &mut self.state
            && let Some((pulses, window)) = on.signal.next(now.as_nanos(), self.s.doubt.write)
            && pulses < on.pulses
        {
            on.pulses = pulses;
            on.end = window.middle().max(now.as_nanos());
            on.due = on.end;
        }
    }

    pub(super) fn begin_burst(&mut self, now: Instant) -> Result<Wake, HalError> {
        let State::Ready(burst, start) = self.state else { return Ok(Wake::IDLE) };
        if now < start {
            return Ok(Wake::edge(start));
        }
        self.state = State::Off;
        let from = self.s.clock.now().max(now).as_nanos();
        let to = self.s.channel.enable()?.as_nanos().max(from);
        let (clock, period) = (self.clockwork, burst.period);
        let signal = Signal { clock, period, from, to };
        // A write that took longer than any before leaves room for fewer.
        let write = self.s.doubt.write;
        let fits = |n: &u64| signal.window(*n, write).is_some();
        let pulses = Some(burst.pulses).filter(fits).or_else(|| (1..burst.pulses).rev().find(fits));
        let (pulses, end) = match pulses.and_then(|n| Some((n, signal.window(n, write)?))) {
            Some((n, window)) => (n, window.middle()),
            None => (1, signal.low_from(1) + period.saturating_sub(clock.width) / 2),
        };
        let pace = if burst.pulses == 1 { burst.pace } else { period as f64 };
        let (up, due, odd_until) = (burst.up, end, None);
        self.state = State::On(Running { signal, up, pulses, end, due, pace, odd_until });
        if let Some((run, _)) = self.part.running() {
            let due = (burst.due.max(0) as u64).saturating_add(run.zero.as_nanos());
            let lateness = from.saturating_sub(due.min(start.as_nanos()));
            self.s.telemetry.late(lateness, at(from));
            run.tell_late(lateness, self.s.max_lateness, &mut self.out);
        }
        Ok(Wake::edge(at(end)))
    }

    /// Ends the signal, if there is one and it is time. `Some`: it is on until then.
    pub(super) fn end_burst(&mut self, now: Instant) -> Result<Option<Wake>, HalError> {
        let State::On(on) = &mut self.state else { return Ok(None) };
        let (now, write) = (now.as_nanos(), self.s.doubt.write);
        if now < on.end {
            return Ok(Some(Wake::edge(at(on.end))));
        }
        let in_time = on.signal.window(on.pulses, write).is_some_and(|w| now <= w.to);
        if !in_time && let Some((pulses, window)) = on.signal.next(now, write) {
            // Too late for this low phase: the hardware has gone on.
            on.pulses = pulses;
            if now < window.from {
                on.end = window.middle();
                return Ok(Some(Wake::overdue_edge(at(on.end))));
            }
        }
        if self.s.channel.level() == Some(Level::High) {
            let until = *on.odd_until.get_or_insert(now + on.signal.period);
            if now < until {
                return Ok(Some(Wake::edge(at(now + self.clockwork.width))));
            }
        }
        let before = self.s.clock.now().as_nanos().max(now);
        let off = self.s.channel.disable();
        // Once more: a motor that steps on for ever is worse than anything.
        let off = off.or_else(|error| self.s.channel.disable().map_err(|_| error));
        let State::On(on) = std::mem::replace(&mut self.state, State::Off) else {
            return Ok(None);
        };
        self.ended(&on, before, off?.as_nanos().max(before));
        Ok(None)
    }

    /// Counts what a signal has made that was disabled between these two looks at the clock.
    pub(super) fn ended(&mut self, on: &Running, before: u64, after: u64) {
        let mut bounds = on.signal.pulses(before, after);
        if on.odd_until.is_some() {
            // The phase is not what it is taken for.
            (bounds.least, bounds.most) = (bounds.least.saturating_sub(1), bounds.most + 1);
        }
        let pulses = on.pulses.clamp(bounds.least, bounds.most);
        let pace = if pulses == 1 { on.pace } else { on.signal.period as f64 };
        let rise = on.signal.rise_by(pulses);
        self.last = Some(Last { rise, period: pace, up: on.up });
        self.lines.pulse_over(at(before));
        self.count_steps(pulses as i64, on.up);
        let (fewer, more) = (pulses - bounds.least, bounds.most - pulses);
        if fewer + more > 0 {
            let (below, above) = if on.up { (fewer, more) } else { (more, fewer) };
            self.doubted.0 += below;
            self.doubted.1 += above;
            let (below, above) = self.doubted;
            self.out.say(Report::Uncounted { below, above });
        }
        let lateness = before.saturating_sub(on.due);
        self.s.telemetry.late(lateness, at(before));
        if let Some((run, _)) = self.part.running() {
            run.tell_late(lateness, self.s.max_lateness, &mut self.out);
        }
    }

    pub(super) fn count_steps(&mut self, pulses: i64, up: bool) {
        let step = if up { 1 } else { -1 };
        self.count += pulses * step;
        self.s.telemetry.set_steps(self.count);
        if self.astray {
            return;
        }
        let Some((run, _)) = self.part.running() else { return };
        for _ in 0..pulses {
            // Steps back to the plan first; those beyond it are noted.
            if self.surplus * step < 0 || run.own.peek().is_none_or(|d| d.up != up) {
                self.surplus += step;
            } else {
                run.own.advance();
            }
        }
    }
}
