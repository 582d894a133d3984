//! The rules of a servo that turns continuously: its pulses are speeds, and at rest it gets none.

use std::collections::VecDeque;

use super::Options;
use super::check::{Tally, figure, motion_bound, time};
use super::kinematics::{Limits, Sample};
use super::report::Bound;
use crate::config::{MotorConfig, NEUTRAL, ServoDrive};

/// The widest window: three pulses this many periods apart.
const WIDEST: usize = 16;

/// The part of a period before a pulse in which a change of plan may come too late for it.
const SETTLED: u64 = 4;

/// A move that has begun within this time of the last one's end may have waited for its other motors, with the signal
/// on, nanoseconds.
const MAY_WAIT: u64 = 3_000_000_000;

/// A servo that turns continuously, as its trace shows it.
#[derive(Debug)]
pub(super) struct Turning {
    name: String,
    /// The greatest acceleration and jerk, %/s and %/s^2.
    required: [f64; 2],
    period: u64,
    /// Shortest and longest pulse, and the neutral one, nanoseconds.
    pulse: (u64, u64),
    neutral: u64,
    /// How far a width may be from the one that the speed asks for.
    width_error: f64,
    late: u64,

    high: Option<bool>,
    rose: Option<u64>,
    moving: bool,
    /// When the last move ended, and whether in a halt.
    ended: Option<(u64, bool)>,
    /// The first pulse that came when the signal should have been over.
    overdue: Option<u64>,

    periods: Tally,
    widths: Tally,
    whole: Tally,
    range: Option<(u64, u64)>,
    in_moves: Tally,
    at_rest: Tally,
    off_rest: u64,
    over: Tally,
    ends_low: Tally,
    limits: Limits,
    samples: VecDeque<Sample>,
    radius: f64,
}

impl Turning {
    pub fn new(motor: &MotorConfig, drive: &ServoDrive, options: &Options) -> Turning {
        let period = u64::try_from(drive.period.as_nanos()).unwrap_or(u64::MAX);
        let (min, max) = drive.pulse_range();
        let pulse = (u64::from(min.as_nanos()), u64::from(max.as_nanos()));
        let (acceleration, jerk) = (motor.limits.acceleration, motor.limits.jerk);
        let (grain, late) = (drive.grain(), options.late_nanos());
        let mut turning = Turning {
            name: motor.name.clone(),
            required: [acceleration, jerk],
            period,
            pulse,
            neutral: u64::from(drive.neutral().as_nanos()),
            width_error: if grain > 1.0 { grain + 0.5 } else { 0.5 },
            late,
            high: None,
            rose: None,
            moving: false,
            ended: None,
            overdue: None,
            periods: Tally::default(),
            widths: Tally::default(),
            whole: Tally::default(),
            range: None,
            in_moves: Tally::default(),
            at_rest: Tally::default(),
            off_rest: 0,
            over: Tally::default(),
            ends_low: Tally::default(),
            limits: Limits::new(acceleration, jerk, f64::INFINITY),
            samples: VecDeque::with_capacity(2 * WIDEST + 2),
            radius: 0.0,
        };
        // A change of plan (its jerk changes by twice the limit at most) that comes too late for a pulse is not in it. A
        // late width comes a whole period late, and a pulse that its own loop times may be too long by as much.
        let settled = period as f64 / SETTLED as f64 / 1e9;
        let lag = late.div_ceil(period.max(1)) * period;
        turning.radius = turning.percent_per_nano() * (turning.width_error + late as f64)
            + jerk * settled.powi(2)
            + acceleration * lag as f64 / 1e9;
        turning
    }

    /// Nanoseconds from pulse to pulse.
    pub fn period(&self) -> u64 {
        self.period
    }

    fn percent_per_nano(&self) -> f64 {
        200.0 / (self.pulse.1 - self.pulse.0).max(1) as f64
    }

    /// Percent of full speed; on a coarse chip the neutral pulse may be a step off the middle.
    fn speed_of(&self, width: u64) -> f64 {
        (width as f64 - (self.pulse.0 + self.pulse.1) as f64 / 2.0) * self.percent_per_nano()
    }

    /// The signal changed.
    pub fn pulse(&mut self, at: u64, high: Option<bool>) {
        let was = std::mem::replace(&mut self.high, high);
        match (was, high) {
            (Some(true), Some(false)) => self.fall(at),
            (Some(false) | None, Some(true)) => self.rise(at),
            _ => {}
        }
    }

    /// Whether the signal goes on from a pulse before, as far as its last pulse tells.
    fn goes_on(&self, at: u64) -> bool {
        self.rose.is_some_and(|rose| at - rose <= self.period + 1 + self.late)
    }

    fn rise(&mut self, at: u64) {
        let gap = self.rose.map_or(u64::MAX, |rose| at - rose);
        if self.goes_on(at) {
            let on_time = gap + 1 + self.late >= self.period;
            self.periods.look(at, on_time, || format!("{} since the last pulse", time(gap)));
        } else {
            // It has ended, and begins anew.
            self.judge_end();
            self.samples.clear();
            self.in_moves.look(at, self.moving, || "a signal begins outside of any move".into());
        }
        if let Some((end, _)) = self.ended.filter(|_| !self.moving) {
            let last = end.saturating_add(nanos(NEUTRAL) + 2 * self.period + self.late);
            if at > last {
                self.overdue.get_or_insert(at);
            } else {
                self.over.look(at, true, String::new);
            }
        }
        self.rose = Some(at);
    }

    /// The signal is over, or the trace: whether it was in time.
    fn judge_end(&mut self) {
        if let Some(at) = self.overdue.take() {
            let end = self.ended.map_or(0, |e| e.0);
            let after = time(at.saturating_sub(end));
            self.over.look(at, false, || format!("still a pulse {after} after its move has ended"));
        }
    }

    fn fall(&mut self, at: u64) {
        let Some(rose) = self.rose else { return };
        let width = at - rose;
        let range = self.range.get_or_insert((width, width));
        *range = (range.0.min(width), range.1.max(width));
        let (short, long) = (self.pulse.0.saturating_sub(self.late), self.pulse.1 + self.late);
        self.whole.look(rose, width >= short, || format!("a pulse of {} is cut", time(width)));
        self.widths.look(rose, width <= long, || time(width));
        let off = width.abs_diff(self.neutral);
        let is_neutral = off <= self.late + 1;
        // After a halt the pulse that is under way counts as it is.
        let halted = !self.moving
            && self.ended.is_some_and(|(end, halted)| {
                halted && rose <= end.saturating_add(self.period + self.late)
            });
        if !self.moving {
            self.off_rest = self.off_rest.max(if halted { 0 } else { off });
            let speed = self.speed_of(width);
            self.at_rest.look(rose, is_neutral || halted, || {
                format!("a pulse of {}, {} %, outside of any move", time(width), figure(speed))
            });
        }
        if !is_neutral {
            self.limits.settle();
        }
        if halted {
            // From it on there is no plan that the next could follow.
            return;
        }
        if self.samples.len() > 2 * WIDEST {
            self.samples.pop_front();
        }
        let mid = self.speed_of(width);
        self.samples.push_back(Sample { at: rose, mid, radius: self.radius });
        // A halt goes to neutral at once: whether this was one is known when the move ends.
        self.look(is_neutral && self.moving);
    }

    fn look(&mut self, hold: bool) {
        let newest = self.samples.len() - 1;
        let mut width = 1;
        while width <= WIDEST.min(newest) {
            let count = (newest / width).min(2) + 1;
            let mut samples = [Sample { at: 0, mid: 0.0, radius: 0.0 }; 3];
            for (k, sample) in samples[..count].iter_mut().enumerate() {
                *sample = self.samples[newest - (count - 1 - k) * width];
            }
            self.limits.see(&samples[..count], hold);
            width *= 2;
        }
    }

    /// A move begins.
    pub fn start(&mut self, at: u64) {
        self.limits.settle();
        let waited = self.ended.is_some_and(|(end, _)| at <= end.saturating_add(MAY_WAIT));
        if waited && self.goes_on(at) {
            self.overdue = None;
        }
        self.moving = true;
    }

    /// The move ends, at rest.
    pub fn end(&mut self, at: u64) {
        self.limits.settle();
        (self.moving, self.ended) = (false, Some((at, false)));
    }

    /// The move ends in a halt.
    pub fn halt(&mut self, at: u64) {
        self.limits.forget();
        self.samples.clear();
        (self.moving, self.ended) = (false, Some((at, true)));
    }

    /// The trace ends.
    pub fn finish(mut self, at: u64) -> Vec<Bound> {
        self.judge_end();
        self.ends_low.look(at, self.high != Some(true), || {
            "a pulse is under way when the trace ends".into()
        });
        self.limits.settle();
        let name = self.name.as_str();
        let shortest = self.range.map_or("-".into(), |r| time(r.0));
        let longest = self.range.map_or("-".into(), |r| time(r.1));
        let off_rest = self.off_rest;
        let neutral = time(self.neutral);
        let mut bounds = vec![
            self.periods
                .bound(name, "period", time(self.period), |t| format!("{} pulses", t.looked())),
            self.whole
                .bound(name, "shortest pulse", format!(">= {}", time(self.pulse.0)), |_| shortest),
            self.widths
                .bound(name, "longest pulse", format!("<= {}", time(self.pulse.1)), |_| longest),
            self.in_moves.rule(name, "signal begins in a move", "yes"),
            self.at_rest.bound(name, "neutral pulse at rest", neutral, |t| match off_rest {
                0 | 1 => format!("{} pulses", t.looked()),
                off => format!("{} off", time(off)),
            }),
            self.over.bound(name, "no signal after", time(nanos(NEUTRAL)), |t| {
                format!("{} pulses", t.looked())
            }),
            self.ends_low.rule(name, "low at the end", "yes"),
        ];
        let [acceleration, jerk, _] = self.limits.0;
        let [most, sharpest] = self.required;
        bounds.push(motion_bound(name, "acceleration", "%/s", &acceleration, most, 1.0));
        bounds.push(motion_bound(name, "jerk", "%/s^2", &jerk, sharpest, 1.0));
        bounds
    }
}

fn nanos(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
