//! Speed, acceleration and jerk out of positions that are known within error bars.
//!
//! The *n*-th divided difference of *n + 1* samples, times *n!*, is a weighted mean of the *n*-th
//! derivative over the time they span, with weights that are never negative (the Peano kernel, a
//! B-spline). So it can't exceed the largest derivative, however the motion goes between the samples,
//! and a difference beyond the limit proves that the limit was broken. The difference is a sum of the
//! positions with known weights; a position that is known to within `radius` moves it by no more than
//! its weight times that. The sum of those is the difference's error bar.

use crate::units::Instant;

/// What is known of a position at a moment: `mid`, give or take `radius`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Sample {
    /// Nanoseconds on the trace's clock.
    pub at: u64,
    pub mid: f64,
    pub radius: f64,
}

/// A mean of a derivative, and how far it may be off.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Estimate {
    pub value: f64,
    pub bar: f64,
}

impl Estimate {
    /// The least that the derivative's largest magnitude can have been.
    pub fn proved(self) -> f64 {
        // `max` also turns the not-a-number of an infinite bar into 0.
        (self.value.abs() - self.bar).max(0.0)
    }
}

/// The means of the first, second and third derivative that the newest two, three and four of these samples
/// give, as far as there are so many (2 to 4, in the order of their time).
///
/// The weight of a sample is the factorial over the product of its distances in time from the others. A trace
/// has millions of windows, so each distance is divided by once.
fn derivatives(samples: &[Sample]) -> [Option<Estimate>; 3] {
    let [.., c, d] = samples else { return [None; 3] };
    let per = |a: &Sample, b: &Sample| 1e9 / b.at.saturating_sub(a.at) as f64;
    let cd = per(c, d);
    let first = estimate([(c, -cd), (d, cd)], c.mid);
    let [.., b, _, _] = samples else { return [Some(first), None, None] };
    let (bc, bd) = (per(b, c), per(b, d));
    let (wb, wc, wd) = (bc * bd, -bc * cd, bd * cd);
    let second = estimate([(b, 2.0 * wb), (c, 2.0 * wc), (d, 2.0 * wd)], b.mid);
    let [.., a, _, _, _] = samples else { return [Some(first), Some(second), None] };
    let (ab, ac, ad) = (per(a, b), per(a, c), per(a, d));
    let third = estimate(
        [(a, -6.0 * ab * ac * ad), (b, 6.0 * ab * wb), (c, 6.0 * ac * wc), (d, 6.0 * ad * wd)],
        a.mid,
    );
    [Some(first), Some(second), Some(third)]
}

/// The sum of positions with these weights, which sum up to nothing, and its bar.
fn estimate<const N: usize>(terms: [(&Sample, f64); N], from: f64) -> Estimate {
    let (mut value, mut bar) = (0.0, 0.0);
    for (sample, weight) in terms {
        if !weight.is_finite() {
            // Two samples of one instant say nothing about a speed.
            return Estimate { value: 0.0, bar: f64::INFINITY };
        }
        value += weight * (sample.mid - from);
        bar += weight.abs() * sample.radius;
    }
    Estimate { value, bar }
}

/// What rounding in a plan may exceed a limit by, as a share of it.
const ROUNDING: f64 = 2e-6;

/// How many stretches of time beyond a limit are kept with their figures.
const KEPT: usize = 5;

/// An estimate and the time that it is of.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Found {
    pub from: u64,
    pub to: u64,
    pub estimate: Estimate,
}

impl Found {
    pub fn begin(&self) -> Instant {
        Instant::from_nanos(self.from)
    }

    fn worse_than(&self, other: &Option<Found>) -> bool {
        other.is_none_or(|o| self.estimate.proved() > o.estimate.proved())
    }
}

/// The largest of a derivative that was found, and the stretches of time where it broke its limit.
///
/// What is found while it is not yet clear whether the motor was halted in its move is held back; see
/// [`Limit::settle`] and [`Limit::forget`].
#[derive(Clone, Debug)]
pub(super) struct Limit {
    limit: f64,
    best: Option<Found>,
    /// The first stretches beyond the limit, each with its worst estimate.
    first: Vec<Found>,
    count: u64,
    /// Where the last stretch ends.
    last_to: u64,
    held_best: Option<Found>,
    /// What is proved up to here, and not held back, changes nothing. Nearly all of a trace is that.
    known: f64,
}

impl Limit {
    pub fn new(limit: f64) -> Limit {
        let (first, known) = (Vec::new(), f64::NEG_INFINITY);
        Limit { limit, best: None, first, count: 0, last_to: 0, held_best: None, known }
    }

    /// Takes an estimate; `hold` keeps it back.
    #[inline]
    fn see(&mut self, found: Found, hold: bool) {
        if hold {
            if found.worse_than(&self.held_best) {
                self.held_best = Some(found);
            }
        } else if found.estimate.proved() > self.known {
            self.add(found);
        }
    }

    /// What was held back counts.
    pub fn settle(&mut self) {
        if let Some(held) = self.held_best.take() {
            self.add(held);
        }
    }

    /// What was held back does not count: the motor was halted.
    pub fn forget(&mut self) {
        self.held_best = None;
    }

    fn add(&mut self, found: Found) {
        let (proved, allowed) = (found.estimate.proved(), self.limit * (1.0 + ROUNDING));
        if found.worse_than(&self.best) {
            self.best = Some(found);
            self.known = proved.min(allowed);
        }
        if proved <= allowed {
            return;
        }
        if self.count > 0 && found.from <= self.last_to {
            self.last_to = self.last_to.max(found.to);
            // The stretch is among those kept unless it came too late.
            if self.count <= KEPT as u64
                && let Some(stretch) = self.first.last_mut()
                && found.worse_than(&Some(*stretch))
            {
                *stretch = found;
            }
            return;
        }
        self.count += 1;
        self.last_to = found.to;
        if self.first.len() < KEPT {
            self.first.push(found);
        }
    }

    /// The largest magnitude that was found.
    pub fn best(&self) -> Option<Found> {
        self.best
    }

    /// The first stretches beyond the limit.
    pub fn broken(&self) -> &[Found] {
        &self.first
    }

    /// How many stretches there were.
    pub fn count(&self) -> u64 {
        self.count
    }
}

/// Speed, acceleration and jerk.
#[derive(Clone, Debug)]
pub(super) struct Limits(pub [Limit; 3]);

impl Limits {
    pub fn new(speed: f64, acceleration: f64, jerk: f64) -> Limits {
        Limits([speed, acceleration, jerk].map(Limit::new))
    }

    /// All derivatives that the last samples of `samples` (at most 4) give.
    pub fn see(&mut self, samples: &[Sample], hold: bool) {
        let Some(&Sample { at: to, .. }) = samples.last() else { return };
        for (order, estimate) in derivatives(samples).into_iter().enumerate() {
            if let Some(estimate) = estimate {
                let from = samples[samples.len() - 2 - order].at;
                self.0[order].see(Found { from, to, estimate }, hold);
            }
        }
    }

    pub fn settle(&mut self) {
        self.0.iter_mut().for_each(Limit::settle);
    }

    pub fn forget(&mut self) {
        self.0.iter_mut().for_each(Limit::forget);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exact(at: u64, mid: f64) -> Sample {
        Sample { at, mid, radius: 0.0 }
    }

    /// Of the order that all of these samples give.
    fn derivative(samples: &[Sample]) -> Estimate {
        derivatives(samples)[samples.len() - 2].unwrap()
    }

    #[test]
    fn polynomials_give_their_own_derivatives() {
        let x = |t: f64| 3.0 + 5.0 * t - 7.0 * t * t + 11.0 * t * t * t;
        let samples: Vec<_> = [0u64, 130_000_000, 200_000_000, 610_000_000]
            .iter()
            .map(|&at| exact(at, x(at as f64 / 1e9)))
            .collect();
        assert!((derivative(&samples).value - 66.0).abs() < 1e-9);
        let line: Vec<_> = samples.iter().map(|s| exact(s.at, s.at as f64 / 1e9)).collect();
        assert!((derivative(&line[..2]).value - 1.0).abs() < 1e-12);
        assert!(derivative(&line[..3]).value.abs() < 1e-9);
        assert_eq!(derivative(&[line[0], line[0]]).proved(), 0.0);
    }

    proptest! {
        /// Wherever in its bar each position lies, the estimate's bar covers it.
        #[test]
        fn the_bar_covers_every_position(
            gaps in prop::array::uniform3(1u64..50_000_000),
            mids in prop::array::uniform4(-100.0f64..100.0),
            radii in prop::array::uniform4(0.0f64..2.0),
            off in prop::array::uniform4(-1.0f64..=1.0),
        ) {
            let mut at = 1_000;
            let samples: Vec<_> = (0..4)
                .map(|i| {
                    at += if i == 0 { 0 } else { gaps[i - 1] };
                    Sample { at, mid: mids[i], radius: radii[i] }
                })
                .collect();
            let moved: Vec<_> =
                samples.iter().zip(off).map(|(s, o)| exact(s.at, s.mid + o * s.radius)).collect();
            for n in 2..=4 {
                let (a, b) = (derivative(&samples[..n]), derivative(&moved[..n]));
                prop_assert!((a.value - b.value).abs() <= a.bar * (1.0 + 1e-9) + 1e-6);
            }
        }
    }

    #[test]
    fn overlapping_windows_are_one_stretch() {
        let mut limit = Limit::new(1.0);
        let speed = |limit: &mut Limit, from: u64, to: u64, way: f64, hold: bool| {
            let estimate = derivative(&[exact(from, 0.0), exact(to, way)]);
            limit.see(Found { from, to, estimate }, hold);
        };
        for k in 0..10u64 {
            speed(&mut limit, k * 100, k * 100 + 200, 1e-6 * (k + 1) as f64, false);
        }
        speed(&mut limit, 5_000, 5_100, 1.0, false);
        assert_eq!(limit.count(), 2);
        assert_eq!(limit.broken()[0].from, 900);
        speed(&mut limit, 9_000, 9_001, 1.0, true);
        limit.forget();
        assert_eq!(limit.count(), 2);
        speed(&mut limit, 9_000, 9_001, 1.0, true);
        limit.settle();
        assert_eq!((limit.count(), limit.best().map(|b| b.from)), (3, Some(9_000)));
    }
}
