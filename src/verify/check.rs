//! What is counted and kept of each bound while a trace is read.

use std::time::Duration;

use super::kinematics::{Limit, Limits};
use super::report::{Bound, Verdict, Violation};
use crate::units::{Instant, Time};

/// How many violations of a bound are kept with their time and value.
const KEPT: usize = 5;

/// Where a bound was broken, and how often it was looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    looked: u64,
    count: u64,
    first: Vec<Violation>,
}

impl Tally {
    /// Looked at `at`; `wrong` says what is wrong there, if anything is.
    pub fn look(&mut self, at: u64, ok: bool, wrong: impl FnOnce() -> String) {
        self.looked += 1;
        if !ok {
            self.count += 1;
            if self.first.len() < KEPT {
                self.first.push(Violation { at: Instant::from_nanos(at), what: wrong() });
            }
        }
    }

    /// How often it was looked at.
    pub fn looked(&self) -> u64 {
        self.looked
    }

    /// The row of a rule that holds or not: `word` says what is required, and seen where it holds.
    pub fn rule(self, motor: &str, name: &'static str, word: &str) -> Bound {
        let seen = |t: &Tally| match t.count {
            0 => word.to_owned(),
            n => format!("{n} of {} not", t.looked),
        };
        self.bound(motor, name, word, seen)
    }

    /// The row of the table; `seen` where it was looked at at all.
    pub fn bound(
        self,
        motor: &str,
        name: &'static str,
        required: impl Into<String>,
        seen: impl FnOnce(&Tally) -> String,
    ) -> Bound {
        let verdict = match (self.count, self.looked) {
            (0, 0) => Verdict::NothingSeen,
            (0, _) => Verdict::Kept,
            _ => Verdict::Broken,
        };
        let seen = if self.looked == 0 { "-".to_owned() } else { seen(&self) };
        let (motor, required) = (motor.to_owned(), required.into());
        Bound { motor, name, required, seen, verdict, count: self.count, first: self.first }
    }
}

/// A time that may not be shorter.
#[derive(Clone, Debug)]
pub(super) struct AtLeast {
    required: u64,
    least: u64,
    tally: Tally,
}

impl AtLeast {
    pub fn new(required: impl Into<u64>) -> AtLeast {
        AtLeast { required: required.into(), least: u64::MAX, tally: Tally::default() }
    }

    pub fn see(&mut self, at: u64, nanos: u64) {
        self.least = self.least.min(nanos);
        self.tally.look(at, nanos >= self.required, || time(nanos));
    }

    /// Broken for a reason that no time shows.
    pub fn wrong(&mut self, at: u64, what: &str) {
        self.tally.look(at, false, || what.to_owned());
    }

    pub fn bound(self, motor: &str, name: &'static str) -> Bound {
        let required = format!(">= {}", time(self.required));
        self.tally.bound(motor, name, required, |tally| match self.least {
            u64::MAX => "-".to_owned(),
            // What is near its bound is shown to the nanosecond.
            least if tally.count > 0 || least < 2 * self.required => time(least),
            least => about(least),
        })
    }
}

/// The rows of a motor's speed, acceleration and jerk. One of its unit is `scale` of the limits' unit.
pub(super) fn motion_bounds(
    motor: &str,
    unit: &str,
    limits: Limits,
    required: [f64; 3],
    scale: f64,
) -> impl Iterator<Item = Bound> {
    let names = ["speed", "acceleration", "jerk"];
    let units = [format!("{unit}/s"), format!("{unit}/s^2"), format!("{unit}/s^3")];
    let rows: Vec<_> = limits
        .0
        .into_iter()
        .zip(names.into_iter().zip(units))
        .zip(required)
        .map(|((limit, (name, unit)), required)| {
            motion_bound(motor, name, &unit, &limit, required, scale)
        })
        .collect();
    rows.into_iter()
}

/// The row of one of them.
pub(super) fn motion_bound(
    motor: &str,
    name: &'static str,
    unit: &str,
    limit: &Limit,
    required: f64,
    scale: f64,
) -> Bound {
    let show = |f: &super::kinematics::Found| {
        let (value, bar) = (f.estimate.value.abs() / scale, f.estimate.bar / scale);
        // A bar that the five digits of the value do not show is left out.
        if bar < value * 1e-5 {
            return format!("{} {unit}", figure(value));
        }
        format!("{} ±{} {unit}", figure(value), figure(round_up(bar)))
    };
    let first = limit.broken().iter().map(|found| {
        let over = about(found.to.saturating_sub(found.from));
        Violation { at: found.begin(), what: format!("{} over {over}", show(found)) }
    });
    Bound {
        motor: motor.to_owned(),
        name,
        required: format!("<= {} {unit}", figure(required)),
        seen: limit.best().as_ref().map_or("-".to_owned(), show),
        verdict: match (limit.count(), limit.best()) {
            (0, None) => Verdict::NothingSeen,
            (0, Some(_)) => Verdict::Kept,
            _ => Verdict::Broken,
        },
        count: limit.count(),
        first: first.collect(),
    }
}

/// `1.9us`.
pub(super) fn time(nanos: u64) -> String {
    Time(Duration::from_nanos(nanos)).to_string()
}

/// Rounded up to two digits that count.
fn round_up(x: f64) -> f64 {
    if !(x.is_finite() && x > 0.0) {
        return x;
    }
    let grain = 10f64.powf(x.log10().floor() - 1.0);
    (x / grain).ceil() * grain
}

/// `18.1ms`.
fn about(nanos: u64) -> String {
    let digits = nanos.checked_ilog10().unwrap_or(0);
    let grain = 10u64.pow(digits.saturating_sub(2));
    time(nanos / grain * grain)
}

/// A number with five digits that count.
pub(super) fn figure(x: f64) -> String {
    if !x.is_finite() {
        return x.to_string();
    }
    let magnitude = if x == 0.0 { 0.0 } else { x.abs().log10().floor() };
    let decimals = (4.0 - magnitude).clamp(0.0, 9.0) as usize;
    let text = format!("{x:.decimals$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        for (x, text) in [
            (0.0, "0"),
            (50.0, "50"),
            (49.999_87, "50"),
            (49.9876, "49.988"),
            (0.001_234_56, "0.0012346"),
            (123_456.7, "123457"),
            (-0.000_000_000_01, "0"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(figure(x), text);
        }
    }
}
