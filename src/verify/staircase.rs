//! How the rate of a step clock changes: in stairs, from the times of its steps alone.
//!
//! Between two steps the rate is 1 over their distance in time, and 0 where the motor turns or rests. The rule: two
//! such rates that lie a time t apart, from the end of the earlier to the beginning of the later, differ by no
//! more than the jump and acceleration x t. It is looked at for all pairs at once: the lowest and the highest
//! rate that any interval so far still allows are two numbers that grow apart with the acceleration.

use super::check::{Tally, figure};
use super::report::Bound;

/// A stair may be a quarter of the jump faster than what is due at its end, and the last one ends in a jump to rest:
/// so the way to rest, from any stair, may be that much more.
const TO_REST: f64 = 1.25;

/// One part in a million is rounding.
const ROUNDING: f64 = 1.0 + 1e-6;

#[derive(Clone, Debug)]
pub(super) struct Staircase {
    /// Steps/s, and steps/s².
    jump: f64,
    acceleration: f64,
    /// How far an interval may be off, nanoseconds.
    late: f64,
    last: Option<(u64, bool)>,
    /// At the last step: what lies beyond these by more than the jump breaks the rule.
    low: f64,
    high: f64,
    tally: Tally,
    largest: f64,
}

impl Staircase {
    pub fn new(jump: f64, acceleration: f64, late: u64) -> Staircase {
        Staircase {
            jump,
            acceleration,
            late: 2.0 * late as f64,
            last: None,
            low: 0.0,
            high: 0.0,
            tally: Tally::default(),
            largest: 0.0,
        }
    }

    /// How many steps a stair may be off the motion that it stands for: what a line as long as the jump
    /// allows is off the parabola, as much again where it begins, and a step.
    pub fn off(&self) -> f64 {
        1.0 + 2.0 * (self.jump * self.jump / (16.0 * self.acceleration)).max(0.25)
    }

    /// A step.
    pub fn edge(&mut self, at: u64, up: bool) {
        let before = self.last.replace((at, up));
        let Some((last, was_up)) = before else { return };
        let gap = (at - last) as f64;
        let rate = |nanos: f64| if nanos > 0.0 { 1e9 / nanos } else { f64::INFINITY };
        let (slow, fast) = (rate(gap + self.late), rate(gap - self.late));
        let (from, to) = match (was_up, up) {
            (true, true) => (slow, fast),
            (false, false) => (-fast, -slow),
            _ => (0.0, 0.0),
        };
        self.look(last, from, to);
        let change = self.acceleration * gap / 1e9;
        self.low = (self.low + change).min(to);
        self.high = (self.high - change).max(from);
    }

    /// From `at` on the rate lies between these two.
    fn look(&mut self, at: u64, from: f64, to: f64) {
        let jump = (from - self.low).max(self.high - to).max(0.0);
        self.largest = self.largest.max(jump);
        let rests = from == 0.0 && to == 0.0;
        let fine = jump <= self.jump * if rests { TO_REST } else { ROUNDING };
        self.tally.look(at, fine, || format!("a jump of {} steps/s", figure(jump)));
    }

    /// The motor has come to rest in a way that is not judged.
    pub fn halt(&mut self) {
        (self.last, self.low, self.high) = (None, 0.0, 0.0);
    }

    /// The trace ends, at rest.
    pub fn finish(mut self, name: &str, unit: &str, scale: f64) -> Bound {
        if let Some((last, _)) = self.last {
            self.look(last, 0.0, 0.0);
        }
        let required = format!("<= {} {unit}/s + acceleration x time", figure(self.jump / scale));
        let seen = format!("{} {unit}/s", figure(self.largest / scale));
        self.tally.bound(name, "rate jump", required, |_| seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Verdict;

    /// Steps at these rates, so many each, a second of rest before and after.
    fn verdict(stairs: &[(f64, u64)]) -> Verdict {
        let mut stair = Staircase::new(50.0, 1000.0, 1);
        let mut at = 1_000_000_000;
        for &(rate, steps) in stairs {
            for _ in 0..steps {
                stair.edge(at, rate > 0.0);
                at += (1e9 / rate.abs()) as u64;
            }
        }
        stair.finish("x", "mm", 1.0).verdict
    }

    #[test]
    fn jumps_add_up_no_faster_than_the_acceleration() {
        assert_eq!(verdict(&[(50.0, 4), (95.0, 6), (50.0, 4)]), Verdict::Kept);
        assert_eq!(verdict(&[(52.0, 4)]), Verdict::Broken, "from rest");
        assert_eq!(verdict(&[(50.0, 4), (101.0, 9)]), Verdict::Broken, "up");
        // Each jump is small, but they follow each other too soon.
        assert_eq!(verdict(&[(40.0, 3), (80.0, 2), (120.0, 2), (160.0, 2)]), Verdict::Broken);
        assert_eq!(
            verdict(&[(40.0, 3), (80.0, 6), (110.0, 9), (70.0, 9), (40.0, 5)]),
            Verdict::Kept
        );
        assert_eq!(verdict(&[(40.0, 3), (80.0, 5)]), Verdict::Broken, "to rest");
        assert_eq!(verdict(&[(30.0, 3), (-30.0, 5)]), Verdict::Kept, "it turns");
        assert_eq!(verdict(&[(45.0, 3), (-45.0, 5)]), Verdict::Broken, "it turns too soon");
    }
}
