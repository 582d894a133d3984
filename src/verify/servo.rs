//! The rules of a hobby servo, whatever its pulses come out of.

use std::collections::VecDeque;

use super::Options;
use super::check::{Tally, figure, motion_bounds, time};
use super::heading::Heading;
use super::kinematics::{Limits, Sample};
use super::report::Bound;
use crate::config::{MotorConfig, ServoDrive};

/// The widest window: four pulses this many periods apart.
const WIDEST: usize = 16;

/// The part of a period before a pulse in which a change of plan may come too late for it.
const SETTLED: u64 = 4;

/// A servo as its trace shows it.
#[derive(Debug)]
pub(super) struct Servo {
    name: String,
    required: [f64; 3],
    period: u64,
    /// Shortest and longest pulse, nanoseconds, and the angles there.
    pulse: (u64, u64),
    angles: (f64, f64),
    /// How far a width may be from the one that the angle asks for: a step of the chip, in
    /// nanoseconds; at the range's ends it may be a whole one.
    step: f64,
    late: u64,

    high: Option<bool>,
    rose: Option<u64>,
    /// A signal has begun in this move, or goes on from before.
    signal: bool,
    moving: bool,
    /// The angle that pulses must show until the next move.
    rests_at: Option<f64>,
    /// The angle that the last pulse showed, or the position told.
    shown: f64,
    last_width: Option<u64>,
    /// The farthest that it has come in its direction.
    farthest: f64,
    pub heading: Heading,

    periods: Tally,
    off_period: u64,
    widths: Tally,
    range: Option<(u64, u64)>,
    whole: Tally,
    in_moves: Tally,
    at_rest: Tally,
    off_rest: u64,
    ends_low: Tally,
    limits: Limits,
    samples: VecDeque<Sample>,
    radius: f64,
    /// How far a pulse in a move may be from that of its angle, in nanoseconds, since less is not worth a
    /// change.
    dead_band: f64,
}

impl Servo {
    pub fn new(motor: &MotorConfig, drive: &ServoDrive, options: &Options) -> Servo {
        let period = u64::try_from(drive.period.as_nanos()).unwrap_or(u64::MAX);
        let (min, max) = drive.pulse_range();
        let pulse = (u64::from(min.as_nanos()), u64::from(max.as_nanos()));
        let angles = if drive.reverse {
            (drive.angle_max, drive.angle_min)
        } else {
            (drive.angle_min, drive.angle_max)
        };
        let limits = motor.limits;
        let late = options.late_nanos();
        let mut servo = Servo {
            name: motor.name.clone(),
            required: [limits.speed, limits.acceleration, limits.jerk],
            period,
            pulse,
            angles,
            step: drive.grain(),
            late,
            high: None,
            rose: None,
            signal: false,
            moving: false,
            rests_at: None,
            shown: 0.0,
            last_width: None,
            farthest: 0.0,
            heading: Heading::new(None),
            periods: Tally::default(),
            off_period: 0,
            widths: Tally::default(),
            range: None,
            whole: Tally::default(),
            in_moves: Tally::default(),
            at_rest: Tally::default(),
            off_rest: 0,
            ends_low: Tally::default(),
            limits: Limits::new(limits.speed, limits.acceleration, limits.jerk),
            samples: VecDeque::with_capacity(3 * WIDEST + 1),
            radius: 0.0,
            dead_band: f64::from(drive.dead_band),
        };
        // The width is a whole number of nanoseconds, or of the chip's steps. A change of plan (its jerk changes by twice the
        // limit at most) that comes too late for a pulse is not in it. A late width comes a whole
        // period late.
        let settled = period as f64 / SETTLED as f64 / 1e9;
        servo.radius = servo.degrees_per_nano() * (servo.width_error() + servo.dead_band)
            + limits.jerk * settled.powi(3) / 3.0
            + servo.lag();
        servo
    }

    /// Nanoseconds from pulse to pulse.
    pub fn period(&self) -> u64 {
        self.period
    }

    fn degrees_per_nano(&self) -> f64 {
        (self.angles.1 - self.angles.0).abs() / (self.pulse.1 - self.pulse.0).max(1) as f64
    }

    /// How far a width may be from that of the angle, in nanoseconds.
    fn width_error(&self) -> f64 {
        if self.step > 1.0 { self.step + 0.5 } else { 0.5 }
    }

    /// How far the angle may go on while its width comes late.
    fn lag(&self) -> f64 {
        let periods = self.late.div_ceil(self.period.max(1));
        self.required[0] * (periods * self.period) as f64 / 1e9
    }

    /// The angle that the top speed passes until the next pulse has told its own: as near as pulses can
    /// come to a line.
    pub fn grain(&self) -> f64 {
        let age = self.period + self.pulse.1;
        self.required[0] * age as f64 / 1e9 + self.degrees_per_nano() * (self.step + self.dead_band)
    }

    /// How many grains a late width may be off.
    pub fn late_grains(&self) -> f64 {
        self.lag() / self.grain()
    }

    /// The angle told last.
    pub fn angle(&self) -> f64 {
        self.shown
    }

    fn angle_of(&self, width: u64) -> f64 {
        let share =
            (width as f64 - self.pulse.0 as f64) / (self.pulse.1 - self.pulse.0).max(1) as f64;
        self.angles.0 + share * (self.angles.1 - self.angles.0)
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

    fn rise(&mut self, at: u64) {
        let gap = self.rose.map(|rose| at - rose);
        let on_time = gap.is_some_and(|gap| gap.abs_diff(self.period) <= 1 + self.late);
        // A signal that has ended may begin anew, where a move wants it.
        let shortest_end = self.period.saturating_add(self.pulse.0).saturating_sub(self.late);
        let anew = !self.signal || gap.is_none_or(|gap| !self.moving_on() && gap >= shortest_end);
        if on_time || !anew {
            let gap = gap.unwrap_or(0);
            self.off_period = self.off_period.max(gap.abs_diff(self.period));
            self.periods.look(at, on_time, || format!("{} since the last pulse", time(gap)));
        }
        if !on_time {
            self.samples.clear();
            self.in_moves
                .look(at, self.moving || !anew, || "a signal begins outside of any move".into());
        }
        self.signal = true;
        self.rose = Some(at);
    }

    /// In a move, with its signal on: no pulse may be missing.
    fn moving_on(&self) -> bool {
        self.moving && self.signal
    }

    fn fall(&mut self, at: u64) {
        let Some(rose) = self.rose else { return };
        let width = at - rose;
        let range = self.range.get_or_insert((width, width));
        *range = (range.0.min(width), range.1.max(width));
        let (short, long) = (self.pulse.0.saturating_sub(self.late), self.pulse.1 + self.late);
        self.whole.look(rose, width >= short, || format!("a pulse of {} is cut", time(width)));
        self.widths.look(rose, width <= long, || time(width));
        let angle = self.angle_of(width);
        if let Some(wanted) = self.rests_at
            && !self.moving
        {
            let off = (angle - wanted).abs() / self.degrees_per_nano();
            self.off_rest = self.off_rest.max(off as u64);
            let bar = self.width_error() + 0.5 + self.late as f64;
            self.at_rest.look(rose, off <= bar, || {
                format!(
                    "a pulse of {} stands for {} deg, not {} deg",
                    time(width),
                    figure(angle),
                    figure(wanted)
                )
            });
        }
        if self.last_width != Some(width) {
            self.limits.settle();
        }
        let still = self.last_width == Some(width);
        self.last_width = Some(width);
        self.shown = angle;
        self.goes(rose, angle);
        if self.samples.len() > 3 * WIDEST {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { at: rose, mid: angle, radius: self.radius });
        self.look(still && self.moving);
    }

    /// A pulse shows an angle: on in its direction, or so far back that it has turned.
    fn goes(&mut self, at: u64, angle: f64) {
        let gone = angle - self.farthest;
        if gone.abs() > 2.0 * self.radius {
            self.farthest = angle;
            self.heading.goes(at, gone > 0.0);
        } else if self.heading.up().is_some_and(|up| up == (gone > 0.0)) {
            self.farthest = angle;
        }
    }

    fn look(&mut self, hold: bool) {
        let newest = self.samples.len() - 1;
        let mut width = 1;
        while width <= WIDEST.min(newest) {
            let count = (newest / width).min(3) + 1;
            let mut samples = [Sample { at: 0, mid: 0.0, radius: 0.0 }; 4];
            for (k, sample) in samples[..count].iter_mut().enumerate() {
                *sample = self.samples[newest - (count - 1 - k) * width];
            }
            self.limits.see(&samples[..count], hold);
            width *= 2;
        }
    }

    /// A move begins, with the position that it begins at.
    pub fn start(&mut self, at: u64, position: f64) {
        self.limits.settle();
        self.moving = true;
        self.rests_at = None;
        // Whether the signal goes on or has ended in between, the first pulse of the move shows.
        self.signal &=
            self.rose.is_some_and(|rose| at.saturating_sub(rose) <= self.period + self.late);
        (self.shown, self.farthest) = (position, position);
    }

    /// The move ends, with the position that it ended at.
    pub fn end(&mut self, position: f64) {
        self.limits.settle();
        self.moving = false;
        self.heading.end();
        self.rests_at = Some(position);
    }

    /// The move ends in a halt, somewhere.
    pub fn halt(&mut self) {
        self.limits.forget();
        self.moving = false;
        self.heading.end();
        self.rests_at = None;
        self.samples.clear();
    }

    /// The trace ends.
    pub fn finish(mut self, at: u64) -> Vec<Bound> {
        self.ends_low.look(at, self.high != Some(true), || {
            "a pulse is under way when the trace ends".into()
        });
        self.limits.settle();
        let name = self.name.as_str();
        let (off_period, off_rest, range) = (self.off_period, self.off_rest, self.range);
        let shortest = range.map_or("-".into(), |r| time(r.0));
        let longest = range.map_or("-".into(), |r| time(r.1));
        let mut bounds = vec![
            self.periods.bound(name, "period", time(self.period), |_| match off_period {
                0 => time(self.period),
                off => format!("{} off at most", time(off)),
            }),
            self.whole
                .bound(name, "shortest pulse", format!(">= {}", time(self.pulse.0)), |_| shortest),
            self.widths
                .bound(name, "longest pulse", format!("<= {}", time(self.pulse.1)), |_| longest),
            self.in_moves.rule(name, "signal begins in a move", "yes"),
            self.at_rest.bound(
                name,
                "pulse at rest = position",
                format!("within {}", time((self.step + 0.5) as u64)),
                |t| match off_rest {
                    0 => format!("{} pulses", t.looked()),
                    off => format!("{} off", time(off)),
                },
            ),
            self.ends_low.rule(name, "low at the end", "yes"),
        ];
        bounds.extend(self.heading.finish(name));
        bounds.extend(motion_bounds(name, "deg", self.limits, self.required, 1.0));
        bounds
    }
}
