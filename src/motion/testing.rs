//! Random problems for the tests of this room.

use super::{Limits, State};

/// How many of so many rounds a test makes. A slow computer, such as an emulated one, asks for fewer than the
/// usual 256 cases of each property by `PROPTEST_CASES`: then it makes as many fewer rounds.
pub(super) fn rounds(all: u64) -> u64 {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|c| c.parse().ok()).unwrap_or(256);
    (all * cases.min(256) / 256).max(4)
}

/// A small generator (splitmix64): the tests are the same on every run.
pub(super) struct Dice(pub u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// From `10^low` to `10^high`, each size as likely as the next.
    pub(super) fn size(&mut self, low: f64, high: f64) -> f64 {
        10.0_f64.powf(self.between(low, high))
    }

    pub(super) fn sign(&mut self) -> f64 {
        if self.below(2) == 0 { 1.0 } else { -1.0 }
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Limits of every size and ratio: ramps from a microsecond to a thousand seconds.
    pub(super) fn limits(&mut self) -> Limits {
        let speed = self.size(-3.0, 6.0);
        let acceleration = speed / self.size(-4.0, 1.0);
        let jerk = acceleration / self.size(-5.0, 1.0);
        Limits { speed, acceleration, jerk }
    }

    /// A state within the limits, or up to twice above them.
    pub(super) fn state(&mut self, limits: Limits) -> State {
        let mut share = |limit: f64| match self.below(6) {
            0 => 0.0,
            1 => limit,
            2 => -limit,
            3 => 2.0 * limit * self.between(-1.0, 1.0),
            _ => limit * self.between(-1.0, 1.0),
        };
        let velocity = share(limits.speed);
        let mut acceleration = share(limits.acceleration);
        if self.below(4) > 0 {
            // As much as a motion that is about to keep its speed limit can have.
            let most = (2.0 * limits.jerk * limits.speed).sqrt();
            acceleration = acceleration.clamp(-most, most);
        }
        State { position: 100.0 * self.between(-1.0, 1.0), velocity, acceleration }
    }
}
