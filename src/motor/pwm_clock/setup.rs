//! What a step clock is made of, and what its machine lets it prove.

use std::sync::Arc;

use super::bursts::{self, Pace};
use super::proof::{Clockwork, Doubt};
use crate::hal::{Clock, PwmChannel};
use crate::motor::{MotorLimits, Telemetry};

/// What a motor on a step clock is made of. Times are in nanoseconds.
pub struct PwmClockSetup {
    /// STEP.
    pub channel: Box<dyn PwmChannel>,
    /// STEP high, at least.
    pub step_high: u64,
    /// What the motor keeps against any plan, in steps.
    pub limits: MotorLimits,
    /// What the rate may change by at once, steps/s: at least 2 √acceleration.
    pub jump: f64,
    /// How far the rate of the chip's clock may be off, in parts per thousand million.
    pub tolerance: u64,
    /// What was measured of this machine; zero in virtual time.
    pub doubt: Doubt,
    /// A write later than this is reported.
    pub max_lateness: Option<u64>,
    /// Steps at the start: where the axis is taken to be.
    pub count: i64,
    /// The clock that the loop lives by.
    pub clock: Clock,
    /// What the world may read.
    pub telemetry: Arc<Telemetry>,
}

impl PwmClockSetup {
    pub(super) fn pace(&self) -> Pace {
        Pace {
            least_period: (1e9 / self.limits.motion.speed).ceil() as u64,
            jump: self.jump,
            acceleration: self.limits.motion.acceleration,
            grain: grain(&*self.channel),
        }
    }
}

/// The coarsest tick of the channel's clock, nanoseconds, above 0.
pub(super) fn grain(channel: &dyn PwmChannel) -> u64 {
    u64::try_from(channel.resolution().as_nanos()).unwrap_or(u64::MAX).max(1)
}

/// The pulse that is written so that at least `step_high` comes out, in nanoseconds.
pub(super) fn width(step_high: u64, grain: u64) -> u64 {
    step_high.next_multiple_of(grain) + grain
}

/// The least jump that there is at an acceleration in steps/s², in steps/s: what the motor reaches in two
/// steps from rest.
pub(super) fn natural_jump(acceleration: f64) -> f64 {
    2.0 * acceleration.sqrt()
}

/// Pulses that a burst at the top speed must have room for: with fewer, the gaps would be most of the time.
const FEWEST_PULSES: u64 = 4;

/// The highest rate, in steps/s, whose bursts can be proved: for pulses of at least `step_high` nanoseconds
/// from a clock of ticks of `grain` nanoseconds whose rate is known to `tolerance` parts per thousand million, on a
/// machine with that doubt.
///
/// ```
/// use lockstep::motor::{Doubt, provable_rate};
/// let slow = provable_rate(1_900, 100, 200_000, Doubt { write: 90_000, late: 120_000 });
/// assert!((1_000.0..2_000.0).contains(&slow));
/// assert!(provable_rate(1_900, 100, 200_000, Doubt { write: 9_000, late: 20_000 }) > 4.0 * slow);
/// ```
pub fn provable_rate(step_high: u64, grain: u64, tolerance: u64, doubt: Doubt) -> f64 {
    let clock = Clockwork { width: width(step_high, grain), grain, tolerance };
    // Half a period after the middle of the low phase the next burst is due: by then one write ends the
    // signal, one sets the new period, and one is about to begin.
    let in_time = |period: u64| period / 2 > doubt.late + 3 * doubt.write;
    let fits = |period: u64| {
        in_time(period) && clock.longest(period, doubt, FEWEST_PULSES) == FEWEST_PULSES
    };
    let (mut bad, mut good) = (0, bursts::LONGEST_PERIOD);
    if !fits(good) {
        return 0.0;
    }
    while good - bad > 1 {
        let period = bad + (good - bad) / 2;
        if fits(period) { good = period } else { bad = period }
    }
    1e9 / good as f64
}
