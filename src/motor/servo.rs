use std::sync::Arc;
use std::time::Duration;

use super::orders::Orders;
use super::part::{Met, Part, Stage};
use super::pulse_map::{LAST_NEUTRAL, check};
use super::{
    Command, FaultKind, Input, Motor, MotorLimits, MoveId, Outbox, PulseMap, PulseOf, Report,
    Telemetry, Verdict, Wake,
};
use crate::hal::{Clock, HalError, PhaseWatch, PwmChannel, change_signal, end_signal, wait_until};
use crate::units::{Instant, PulseWidth};

/// What a servo is made of.
pub struct ServoSetup {
    /// Its signal.
    pub channel: Box<dyn PwmChannel>,
    /// The PWM period.
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
    /// A width later than this, in nanoseconds, is reported.
    pub max_lateness: Option<u64>,
    /// The clock, for the last resort after a panic.
    pub clock: Clock,
    /// What the world may read.
    pub telemetry: Arc<Telemetry>,
}

enum Signal {
    Off,
    /// `since`: when the first period began; `tick`: the period whose width is to be looked at next.
    On {
        since: Instant,
        tick: u64,
        width: PulseWidth,
    },
    /// Waiting for the level to be high, then low, or the watch's time-out.
    AwaitFall(PhaseWatch),
    /// Width 0 is written; one whole period passes, then the channel is disabled.
    Fading {
        until: Instant,
    },
}

/// A hobby servo on a hardware PWM channel: once each period it looks where its trajectory is and
/// writes the width if it changed. At rest it does nothing; the hardware goes on pulsing. Of one that turns the next
/// pulse is neutral wherever no plan says else, and its signal ends `release_after` later.
pub struct Servo {
    s: ServoSetup,
    period: u64,
    /// A width is written this long before the pulse it is for begins: in the low phase.
    lead: u64,
    out: Outbox,
    part: Part<()>,
    signal: Signal,
    /// What the last pulse stands for: degrees, or percent.
    angle: f64,
    /// Told to halt, in that move; it is said once the pulse is neutral.
    halted: Option<Option<MoveId>>,
    /// When it was last known to be part of a move.
    rests_since: Instant,
    finish: bool,
    orders: Orders,
}

impl Servo {
    /// A servo without a signal.
    pub fn new(setup: ServoSetup, out: Outbox) -> Servo {
        let period = u64::try_from(setup.period.as_nanos()).unwrap_or(u64::MAX);
        Servo {
            s: setup,
            period,
            lead: period / 5,
            out,
            part: Part::new(),
            signal: Signal::Off,
            angle: 0.0,
            halted: None,
            rests_since: Instant::ZERO,
            finish: false,
            orders: Orders::default(),
        }
    }

    fn fail(&mut self, kind: FaultKind) {
        self.orders.fail();
        // Said before the barrier breaks, so that the others' 'not started' comes after it.
        self.out.say(Report::Fault(kind));
        self.part.drop_move();
    }

    /// Says that it stands still, once it does.
    fn tell_halted(&mut self) {
        if self.neutral_due().is_none()
            && let Some(id) = self.halted.take()
        {
            self.out.say(Report::Halted { id });
        }
    }

    fn begin_end(&mut self, now: Instant) {
        if matches!(self.signal, Signal::On { .. }) {
            self.signal = Signal::AwaitFall(PhaseWatch::new(now, self.s.period));
        }
    }

    /// The signal's way out: falling edge or one period, width 0, a whole period, disable.
    fn end(&mut self, now: Instant) -> Result<Option<Wake>, HalError> {
        if let Signal::AwaitFall(watch) = &mut self.signal {
            // A loop that woke late must not take a low that is nearly over for a fresh one.
            if !watch.may_write(self.s.channel.level(), now) {
                // Often enough to see the shortest pulse, and the fall while the gap is still long.
                let step = (u64::from(self.s.map.min.as_nanos()) / 4).clamp(10_000, 250_000);
                return Ok(Some(Wake::about(now.plus_nanos(step).min(watch.until()))));
            }
            let at = self.s.channel.set_width(PulseWidth::ZERO)?;
            self.signal = Signal::Fading { until: at.plus_nanos(self.period + self.period / 64) };
        }
        if let Signal::Fading { until } = self.signal {
            if now < until {
                return Ok(Some(Wake::about(until)));
            }
            self.s.channel.disable()?;
            self.signal = Signal::Off;
            self.out.say(Report::Released);
        }
        Ok(None)
    }

    fn advance(&mut self, now: Instant) -> Result<Wake, HalError> {
        if let Some(wake) = self.end(now)? {
            return Ok(wake);
        }
        if self.finish && matches!(self.signal, Signal::Off) {
            self.finish = false;
            self.out.say(Report::Safe);
        }
        // A signal that was let go is off by now: ready for the next move.
        self.part.arrive(&mut self.out);
        // One that turns rests as long as its pulse is neutral, also where a move was dropped before it began.
        let moves = !self.part.is_idle() && !self.s.pulse_of.turns();
        if moves || self.part.stage() == Stage::Running {
            self.rests_since = now;
        }
        let still = self.stand_still(now)?;
        let wake = match self.part.stage() {
            Stage::Idle => self.rest(now),
            Stage::Preparing => Wake::IDLE,
            Stage::Waiting => self.await_barrier(now)?,
            Stage::Running => self.run(now)?,
        };
        Ok(still.filter(|still| still.at < wake.at).unwrap_or(wake))
    }

    /// One that turns: outside of a time line its next pulse is neutral. When it has to be written, if it is not yet.
    fn stand_still(&mut self, now: Instant) -> Result<Option<Wake>, HalError> {
        match self.neutral_due().filter(|_| self.part.stage() != Stage::Running) {
            Some(due) if now < due => Ok(Some(Wake::edge(due))),
            Some(_) => self.set_neutral().map(|()| None),
            None => Ok(None),
        }
    }

    /// No move: the signal goes on, unless it shall end after a while.
    fn rest(&mut self, now: Instant) -> Wake {
        let after = self.s.release_after.filter(|_| matches!(self.signal, Signal::On { .. }));
        let Some(after) = after else { return Wake::IDLE };
        let at = self.rests_since.plus_nanos(after);
        if now >= at {
            self.begin_end(now);
        }
        Wake::about(at.max(now))
    }

    /// When the neutral pulse has to be written, for the next pulse that it can be written for. `None`: it is.
    fn neutral_due(&self) -> Option<Instant> {
        if !self.s.pulse_of.turns() {
            return None;
        }
        let neutral = self.s.map.width(0.0);
        match &self.signal {
            Signal::On { since, tick, width } if *width != neutral => {
                let pulse_at = since.plus_nanos(tick * self.period);
                Some(Instant::from_nanos(pulse_at.as_nanos().saturating_sub(self.lead)))
            }
            _ => None,
        }
    }

    fn set_neutral(&mut self) -> Result<(), HalError> {
        let neutral = self.s.map.width(0.0);
        let at = self.s.channel.set_width(neutral)?;
        if let Signal::On { width, .. } = &mut self.signal {
            *width = neutral;
        }
        self.angle = 0.0;
        self.s.telemetry.set_position(0.0);
        // From the first neutral pulse on.
        self.rests_since = at.plus_nanos(self.lead);
        Ok(())
    }

    fn await_barrier(&mut self, now: Instant) -> Result<Wake, HalError> {
        let (signal, lead, period) = (&mut self.signal, self.lead, self.period);
        match self.part.meet(now, &mut self.out, |_, epoch| {
            if let Signal::On { since, tick, .. } = signal {
                // At rest no period was looked at: go on with the first one of the move.
                *tick = epoch.plus_nanos(lead).nanos_since(*since).div_ceil(period);
            }
        }) {
            Met::Released => self.run(now),
            Met::NotYet(wake) => Ok(wake),
            Met::Broken => Ok(self.rest(now)),
        }
    }

    fn run(&mut self, now: Instant) -> Result<Wake, HalError> {
        let Some((run, change)) = self.part.running() else { return Ok(Wake::IDLE) };
        if let Some(at) = change.as_ref().map(|c| c.at)
            && now >= at
            && let Some(change) = change.take()
            && change.gate.resolve() == Verdict::Committed
        {
            let before = run.zero;
            run.follow(change);
            // Its time line may begin earlier than by its first plan, which waited for current.
            if let Signal::On { since, tick, .. } = &mut self.signal
                && run.zero < before
            {
                let first = run.zero.plus_nanos(self.lead).nanos_since(*since);
                *tick = first.div_ceil(self.period);
            }
        }
        let change_at = change.as_ref().map_or(Instant::FAR, |c| c.at);
        if now < run.zero {
            return Ok(Wake::edge(run.zero.min(change_at)));
        }
        let end = run.zero.plus_nanos(run.trajectory.duration());
        let (due, pulse_at) = match &self.signal {
            Signal::On { since, tick, .. } => {
                let pulse_at = since.plus_nanos(tick * self.period);
                (Instant::from_nanos(pulse_at.as_nanos() - self.lead), pulse_at)
            }
            _ => (run.zero, run.zero),
        };
        if now < due {
            return Ok(if change_at < due { Wake::about(change_at) } else { Wake::edge(due) });
        }
        // A loop that woke late speaks of the pulse that is next now, not of the one it missed.
        let missed = match now > pulse_at && matches!(self.signal, Signal::On { .. }) {
            true => now.nanos_since(pulse_at) / self.period + 1,
            false => 0,
        };
        let pulse_at = pulse_at.plus_nanos(missed * self.period);
        let state = run.trajectory.state_at(pulse_at.nanos_since(run.zero));
        let angle = self.s.pulse_of.value(state);
        let wanted = self.s.map.width(angle);
        let mut at = now;
        match &mut self.signal {
            Signal::On { tick, width, .. } => {
                *tick += missed + 1;
                let last = pulse_at >= end && change_at == Instant::FAR;
                let wanted = self.s.map.follow(*width, wanted, last);
                if *width != wanted {
                    at = self.s.channel.set_width(wanted)?;
                    *width = wanted;
                }
            }
            signal => {
                at = self.s.channel.start(self.s.period, wanted)?;
                *signal = Signal::On { since: at, tick: 1, width: wanted };
            }
        }
        self.angle = angle;
        self.s.telemetry.set_position(angle);
        let lateness = at.nanos_since(due);
        self.s.telemetry.late(lateness, at);
        run.tell_late(lateness, self.s.max_lateness, &mut self.out);
        // Where it holds at the end it goes on looking, once each period.
        if pulse_at >= end && change_at == Instant::FAR && self.part.end(end, &mut self.out) {
            return Ok(self.rest(now));
        }
        match &self.signal {
            Signal::On { since, tick, .. } => {
                let next = since.plus_nanos(tick * self.period - self.lead);
                Ok(Wake::edge(next.min(change_at)))
            }
            _ => Ok(Wake::IDLE),
        }
    }
}

impl Motor for Servo {
    fn command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Arm(motion) => {
                let placed = matches!(self.signal, Signal::On { .. }) && !self.s.pulse_of.turns();
                let started = placed.then_some(self.angle);
                if self.part.is_free(self.orders.are_refused())
                    && let Err(limit) = check(&self.s.limits, &motion.trajectory, started)
                {
                    return self.part.refuse(&motion, limit, &mut self.out);
                }
                self.part.arm(motion, self.orders.are_refused(), &mut self.out);
                if matches!(self.signal, Signal::Off | Signal::On { .. }) {
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
                let id = self.part.drop_move();
                if !self.s.pulse_of.turns() {
                    self.rests_since = now;
                }
                self.halted = Some(self.halted.flatten().or(id));
                self.tell_halted();
            }
            // One that turns ends its signal by itself, once it stands still.
            Command::Release => {
                if self.part.is_idle() && !self.s.pulse_of.turns() {
                    self.begin_end(now);
                }
            }
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
                self.part.drop_move();
                self.orders.end();
                self.finish = true;
                if !self.s.pulse_of.turns() {
                    self.begin_end(now);
                }
            }
        }
    }

    fn poll(&mut self, now: Instant) -> Wake {
        self.out.flush();
        let wake = match self.advance(now) {
            Ok(wake) => wake,
            Err(e) => {
                let told = self.orders.are_refused();
                if matches!(self.signal, Signal::AwaitFall(_) | Signal::Fading { .. }) {
                    // The orderly way out is barred: better a pulse cut than a signal left on.
                    let off = self.s.channel.disable();
                    // One that turns may be left at a speed: until the program ends it is tried again.
                    let again = off.is_err() && self.s.pulse_of.turns() && !self.finish;
                    let until = now.plus_nanos(self.period);
                    self.signal = if again { Signal::Fading { until } } else { Signal::Off };
                } else if self.s.pulse_of.turns() {
                    // Its neutral pulse can't be relied on: then none.
                    self.begin_end(now);
                }
                if !(told && self.s.pulse_of.turns()) {
                    self.fail(FaultKind::Output(e));
                }
                if self.finish && matches!(self.signal, Signal::Off) {
                    self.finish = false;
                    self.out.say(Report::Safe);
                }
                match self.signal {
                    Signal::AwaitFall(_) => Wake::about(now),
                    Signal::Fading { until } => Wake::about(until),
                    _ => Wake::IDLE,
                }
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
        self.part.drop_move();
        self.orders.end();
        if self.neutral_due().is_some() {
            let neutral = self.s.map.width(0.0);
            let _ = change_signal(&mut *self.s.channel, neutral, self.s.period, &self.s.clock);
            wait_until(&self.s.clock, self.s.clock.now() + self.s.period * LAST_NEUTRAL);
        }
        if !matches!(self.signal, Signal::Off) {
            let _ = end_signal(&mut *self.s.channel, self.s.period, &self.s.clock);
            self.signal = Signal::Off;
        }
    }
}
