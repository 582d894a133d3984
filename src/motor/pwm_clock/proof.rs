//! The proof of a burst's count: integers alone, in nanoseconds.

/// What is known of the PWM's own clock, and of the pulse that it makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Clockwork {
    /// The pulse as it is written.
    pub width: u64,
    /// Periods and widths are rounded to ticks no coarser than this.
    pub grain: u64,
    /// How far its rate may be off the monotonic clock's, in parts per thousand million.
    pub tolerance: u64,
}

const WHOLE: u64 = 1_000_000_000;

impl Clockwork {
    /// The longest that a pulse can be.
    pub fn high(&self) -> u64 {
        scaled(self.width + self.grain, WHOLE + self.tolerance) + 1
    }

    /// The longest that `n` periods can last.
    fn slow(&self, period: u64, n: u64) -> u64 {
        scaled(n * (period + self.grain), WHOLE + self.tolerance) + u64::from(n > 0)
    }

    /// The shortest that `n` periods can last.
    fn fast(&self, period: u64, n: u64) -> u64 {
        scaled(n * period.saturating_sub(self.grain), WHOLE.saturating_sub(self.tolerance))
    }

    /// The longest burst of that period whose count can be proved: with writes that take up to
    /// `doubt.write`, and a loop that wakes up to `doubt.late` after the middle of the low phase. 0: not
    /// even a single pulse.
    pub fn longest(&self, period: u64, doubt: Doubt, most: u64) -> u64 {
        let Doubt { write, late } = doubt;
        let signal = Signal { clock: *self, period, from: 0, to: write };
        let fits = |n: u64| {
            let needs = signal.low_from(n) + 2 * late + write;
            n == 0 || needs < signal.low_to(n)
        };
        // The low phase that is sure shrinks with every pulse.
        let (mut good, mut bad) = (0, most + 1);
        while bad - good > 1 {
            let n = good + (bad - good) / 2;
            if fits(n) { good = n } else { bad = n }
        }
        good
    }
}

fn scaled(nanos: u64, parts: u64) -> u64 {
    let exact = u128::from(nanos) * u128::from(parts) / u128::from(WHOLE);
    u64::try_from(exact).unwrap_or(u64::MAX)
}

/// What is not known of the moments at which this machine writes: nanoseconds, with their margin.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Doubt {
    /// The longest that a write to the channel takes, from one look at the clock to the next.
    pub write: u64,
    /// How late the loop wakes at the most.
    pub late: u64,
}

/// Pulses that a signal has made, at least and at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pulses {
    pub least: u64,
    pub most: u64,
}

/// A stretch of time, its ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Window {
    pub from: u64,
    pub to: u64,
}

impl Window {
    pub fn middle(&self) -> u64 {
        self.from + (self.to - self.from) / 2
    }
}

/// A signal that was enabled between two looks at the clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Signal {
    pub clock: Clockwork,
    /// As written.
    pub period: u64,
    /// The clock before the enabling write, and after it.
    pub from: u64,
    pub to: u64,
}

impl Signal {
    /// The `n`-th pulse (1 is the first) is over by then, and with it every one before.
    pub fn low_from(&self, n: u64) -> u64 {
        self.rise_by(n) + self.clock.high()
    }

    /// The `n`-th pulse has begun by then.
    pub fn rise_by(&self, n: u64) -> u64 {
        self.to + self.clock.grain + self.clock.slow(self.period, n.saturating_sub(1))
    }

    /// The pulse after the `n`-th has not begun before that.
    pub fn low_to(&self, n: u64) -> u64 {
        self.from + self.clock.fast(self.period, n)
    }

    /// When a disabling write that takes up to `write` may begin so that exactly `n` pulses, all of them
    /// whole, come of it, wherever in its doubt the signal is. `None`: the doubt is too large for that.
    pub fn window(&self, n: u64, write: u64) -> Option<Window> {
        let (from, to) = (self.low_from(n), self.low_to(n).checked_sub(write + 1)?);
        (from <= to).then_some(Window { from, to })
    }

    /// The first such window that has not passed at `now`, with its count; `None`: there is none any
    /// more.
    pub fn next(&self, now: u64, write: u64) -> Option<(u64, Window)> {
        // The lower bound of what has begun: the first whose window may still be open.
        let mut n = self.pulses(now, now).least.max(1);
        loop {
            let window = self.window(n, write)?;
            if now <= window.to {
                return Some((n, window));
            }
            n += 1;
        }
    }

    /// The pulses that the signal has made if it was disabled between these two looks at the clock: at
    /// least those that were surely whole, at most those that may have begun.
    pub fn pulses(&self, before: u64, after: u64) -> Pulses {
        let (slow, fast) = (self.clock.slow(self.period, 1), self.clock.fast(self.period, 1));
        let mut least =
            before.checked_sub(self.low_from(1)).map_or(0, |since| 1 + since / slow.max(1));
        // The quotient of one period's bound is at most a few off that of many.
        while least > 0 && self.low_from(least) > before {
            least -= 1;
        }
        while self.low_from(least + 1) <= before {
            least += 1;
        }
        let mut most = after.checked_sub(self.from).map_or(0, |since| 1 + since / fast.max(1));
        while most > 0 && self.low_to(most - 1) > after {
            most -= 1;
        }
        while self.low_to(most) <= after {
            most += 1;
        }
        Pulses { least, most }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLOCK: Clockwork = Clockwork { width: 2_000, grain: 100, tolerance: 200_000 };

    #[test]
    fn a_perfect_machine_proves_thousands_and_a_slow_one_fewer() {
        let longest = |period, write, late| CLOCK.longest(period, Doubt { write, late }, 1_000_000);
        assert!(longest(2_000_000, 0, 0) > 1_500);
        assert!((100..2_000).contains(&longest(2_000_000, 60_000, 100_000)));
        assert_eq!(longest(200_000, 60_000, 100_000), 0);
        assert_eq!(CLOCK.longest(2_000_000, Doubt::default(), 64), 64);
    }

    #[test]
    fn the_window_is_one_low_phase_less_the_doubt() {
        let exact = Clockwork { width: 10, grain: 0, tolerance: 0 };
        let signal = Signal { clock: exact, period: 100, from: 1_000, to: 1_004 };
        // The third pulse rises between 1200 and 1204; a nanosecond each is left for rounding.
        assert_eq!(signal.window(3, 20), Some(Window { from: 1_216, to: 1_279 }));
        assert_eq!(signal.window(3, 90), None);
        assert_eq!(signal.pulses(1_216, 1_299), Pulses { least: 3, most: 3 });
        assert_eq!(signal.pulses(1_215, 1_300), Pulses { least: 2, most: 4 });
        assert_eq!(signal.pulses(900, 999), Pulses { least: 0, most: 0 });
    }

    proptest! {
        /// Wherever in its doubt the signal is: the count lies between the bounds, and none that counts
        /// as whole was cut; where a write fits its window, the bounds meet.
        #[test]
        fn the_bounds_hold(
            period in 5_000u64..50_000_000,
            bracket in 0u64..300_000,
            lag in 0.0f64..=1.0,
            off in -1.0f64..=1.0,
            tick in -1.0f64..=1.0,
            span in 0u64..200_000_000,
            write in 0u64..300_000,
            share in 0.0f64..=1.0,
        ) {
            let signal = Signal { clock: CLOCK, period, from: 7_000, to: 7_000 + bracket };
            // The truth, somewhere in its doubt.
            let start = 7_000.0 + lag * bracket as f64;
            let rate = 1.0 + off * 200e-6;
            let true_period = (period as f64 + tick * 100.0) * rate;
            let true_width = (2_000.0 + tick * 100.0) * rate;
            let before = 7_000 + bracket + span;
            let at = before as f64 + share * write as f64;
            let begun = if at < start { 0 } else { ((at - start) / true_period).floor() as u64 + 1 };
            let cut = begun > 0 && at < start + (begun - 1) as f64 * true_period + true_width;
            let bounds = signal.pulses(before, before + write);
            prop_assert!(bounds.least <= begun - u64::from(cut) && begun <= bounds.most);
            if let Some((n, window)) = signal.next(before, write) {
                prop_assert!(window.to >= before && window.middle() >= window.from);
                for begin in [window.from, window.middle(), window.to] {
                    prop_assert_eq!(signal.pulses(begin, begin + write), Pulses { least: n, most: n });
                }
            }
        }
    }
}
