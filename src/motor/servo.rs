use std::sync::Arc;
use std::time::Duration;

use super::{
    BARRIER_POLL_NANOS, Change, Command, FaultKind, Input, Motion, Motor, MoveId, Outbox, Report,
    Telemetry, Verdict, Wake,
};
use crate::hal::{Clock, HalError, PhaseWatch, PwmChannel, end_signal};
use crate::motion::Trajectory;
use crate::sync::{Ticket, TicketState};
use crate::units::{Instant, PulseWidth};

/// Which pulse stands for which angle: a straight line between two points, which no pulse leaves.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PulseMap {
    /// Shortest pulse it may get.
    pub min: PulseWidth,
    /// Longest pulse it may get.
    pub max: PulseWidth,
    /// Degrees at the shortest pulse.
    pub angle_at_min: f64,
    /// Degrees at the longest pulse.
    pub angle_at_max: f64,
}

impl PulseMap {
    /// The pulse for an angle in degrees, rounded to a nanosecond and never outside `min..=max`.
    ///
    /// ```
    /// use lockstep::motor::PulseMap;
    /// use lockstep::units::PulseWidth;
    /// let (min, max) = (PulseWidth::from_micros(1000), PulseWidth::from_micros(2000));
    /// let map = PulseMap { min, max, angle_at_min: -45.0, angle_at_max: 45.0 };
    /// assert_eq!(map.width(36.0), PulseWidth::from_micros(1900));
    /// assert_eq!(map.width(99.0), max);
    /// ```
    pub fn width(&self, angle: f64) -> PulseWidth {
        let (min, max) = (f64::from(self.min.as_nanos()), f64::from(self.max.as_nanos()));
        let share = (angle - self.angle_at_min) / (self.angle_at_max - self.angle_at_min);
        let nanos = min + share * (max - min);
        PulseWidth::from_nanos(nanos.round().clamp(min, max) as u32)
    }
}

/// What a servo is made of.
pub struct ServoSetup {
    /// Its signal.
    pub channel: Box<dyn PwmChannel>,
    /// The PWM period.
    pub period: Duration,
    /// Which pulse stands for which angle.
    pub map: PulseMap,
    /// A width later than this, in nanoseconds, is reported.
    pub max_lateness: Option<u64>,
    /// The clock, for the last resort after a panic.
    pub clock: Clock,
    /// What the world may read.
    pub telemetry: Arc<Telemetry>,
}

struct Run {
    id: MoveId,
    zero: Instant,
    trajectory: Arc<Trajectory>,
    late_told: bool,
}

enum Phase {
    Idle,
    /// The signal that was let go is still on its way out.
    Preparing(Motion),
    Waiting(Motion, Ticket),
    Running(Run),
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
/// writes the width if it changed. At rest it does nothing; the hardware goes on pulsing.
pub struct Servo {
    s: ServoSetup,
    period: u64,
    /// A width is written this long before the pulse it is for begins: in the low phase.
    lead: u64,
    out: Outbox,
    phase: Phase,
    change: Option<Change>,
    signal: Signal,
    angle: f64,
    finish: bool,
    closed: bool,
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
            phase: Phase::Idle,
            change: None,
            signal: Signal::Off,
            angle: 0.0,
            finish: false,
            closed: false,
        }
    }

    /// Drops what is under way and says which move that was. A ticket dropped here breaks its
    /// barrier; who has not arrived yet breaks it, too.
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
        // Said before the barrier breaks, so that the others' 'not started' comes after it.
        self.out.say(Report::Fault(kind));
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

    fn arrive(&mut self, motion: Motion) {
        match motion.barrier.arrive() {
            Ok(ticket) => {
                self.out.say(Report::Armed(motion.id));
                self.phase = Phase::Waiting(motion, ticket);
            }
            Err(_) => {
                self.change = None;
                self.out.say(Report::NotStarted(motion.id));
            }
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
        if matches!(self.phase, Phase::Preparing(_))
            && let Phase::Preparing(motion) = std::mem::replace(&mut self.phase, Phase::Idle)
        {
            self.arrive(motion);
        }
        match &mut self.phase {
            Phase::Idle | Phase::Preparing(_) => Ok(Wake::IDLE),
            Phase::Waiting(motion, ticket) => match (ticket.poll(), motion.epoch.get()) {
                (TicketState::Released(_), Some(epoch)) => {
                    let (id, trajectory) = (motion.id, motion.trajectory.clone());
                    if let Signal::On { since, tick, .. } = &mut self.signal {
                        // At rest no period was looked at: go on with the first one of the move.
                        let ahead = epoch.plus_nanos(self.lead).nanos_since(*since);
                        *tick = ahead.div_ceil(self.period);
                    }
                    self.phase =
                        Phase::Running(Run { id, zero: epoch, trajectory, late_told: false });
                    self.out.say(Report::Started(id));
                    self.run(now)
                }
                (TicketState::Waiting, _) => Ok(Wake::about(now.plus_nanos(BARRIER_POLL_NANOS))),
                _ => {
                    let id = motion.id;
                    self.drop_move();
                    self.out.say(Report::NotStarted(id));
                    Ok(Wake::IDLE)
                }
            },
            Phase::Running(_) => self.run(now),
        }
    }

    fn run(&mut self, now: Instant) -> Result<Wake, HalError> {
        let Phase::Running(run) = &mut self.phase else { return Ok(Wake::IDLE) };
        if let Some(at) = self.change.as_ref().map(|c| c.at)
            && now >= at
            && let Some(change) = self.change.take()
            && change.gate.resolve() == Verdict::Committed
        {
            run.zero = change.at;
            run.trajectory = change.trajectory;
        }
        if now < run.zero {
            return Ok(Wake::edge(run.zero));
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
            let change = self.change.as_ref().map_or(Instant::FAR, |c| c.at);
            return Ok(if change < due { Wake::about(change) } else { Wake::edge(due) });
        }
        // A loop that woke late speaks of the pulse that is next now, not of the one it missed.
        let missed = match now > pulse_at && matches!(self.signal, Signal::On { .. }) {
            true => now.nanos_since(pulse_at) / self.period + 1,
            false => 0,
        };
        let pulse_at = pulse_at.plus_nanos(missed * self.period);
        let angle = run.trajectory.state_at(pulse_at.nanos_since(run.zero)).position;
        let wanted = self.s.map.width(angle);
        let mut at = now;
        match &mut self.signal {
            Signal::On { tick, width, .. } => {
                *tick += missed + 1;
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
        self.s.telemetry.lateness.record(lateness);
        if !run.late_told && self.s.max_lateness.is_some_and(|max| lateness > max) {
            run.late_told = true;
            self.out.say(Report::Late { id: run.id, by: lateness });
        }
        if pulse_at >= end && self.change.is_none() {
            let id = run.id;
            self.phase = Phase::Idle;
            self.out.say(Report::Ended { id, at: end });
            return Ok(Wake::IDLE);
        }
        match &self.signal {
            Signal::On { since, tick, .. } => {
                let next = since.plus_nanos(tick * self.period - self.lead);
                let change = self.change.as_ref().map_or(Instant::FAR, |c| c.at);
                Ok(Wake::edge(next.min(change)))
            }
            _ => Ok(Wake::IDLE),
        }
    }
}

impl Motor for Servo {
    fn command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Arm(motion) => {
                if self.closed || !matches!(self.phase, Phase::Idle) {
                    self.out.say(Report::NotStarted(motion.id));
                    motion.barrier.abort();
                } else if matches!(self.signal, Signal::Off | Signal::On { .. }) {
                    self.arrive(motion);
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
                let id = self.drop_move();
                self.out.say(Report::Halted { id });
            }
            Command::Release => {
                if matches!(self.phase, Phase::Idle) {
                    self.begin_end(now);
                }
            }
            Command::Finish => {
                self.drop_move();
                self.closed = true;
                self.finish = true;
                self.begin_end(now);
            }
        }
    }

    fn poll(&mut self, now: Instant) -> Wake {
        self.out.flush();
        let wake = match self.advance(now) {
            Ok(wake) => wake,
            Err(e) => {
                if matches!(self.signal, Signal::AwaitFall(_) | Signal::Fading { .. }) {
                    // The orderly way out is barred: better a pulse cut than a signal left on.
                    let _ = self.s.channel.disable();
                    self.signal = Signal::Off;
                }
                self.fail(FaultKind::Output(e));
                if self.finish && matches!(self.signal, Signal::Off) {
                    self.finish = false;
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
            _ => self.angle,
        }
    }

    fn make_safe(&mut self) {
        self.drop_move();
        self.closed = true;
        if !matches!(self.signal, Signal::Off) {
            let _ = end_signal(&mut *self.s.channel, self.s.period, &self.s.clock);
            self.signal = Signal::Off;
        }
    }
}
