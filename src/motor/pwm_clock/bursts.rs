//! From a trajectory to the next burst: arithmetic alone. Times are nanoseconds of the trajectory.

use crate::motion::{StepDue, StepTimes};

/// No burst has more pulses: to look ahead costs time, and that is taken from the gap before it.
pub(super) const MOST_PULSES: u64 = 256;

/// No period is longer. Slower steps are bursts of one pulse each.
pub(super) const LONGEST_PERIOD: u64 = 100_000_000;

/// How far from its time on the trajectory a pulse may come, as a share of the step, where the jump is
/// the one that the acceleration itself makes.
const LEAST_OFF: f64 = 0.25;

/// What an axis lets its bursts do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// No two pulses are closer, nanoseconds.
    pub least_period: u64,
    /// From one rate to the next at the most, steps/s.
    pub jump: f64,
    /// Steps/s².
    pub acceleration: f64,
    /// Periods are whole multiples of this.
    pub grain: u64,
}

impl Pace {
    /// How far from its time a pulse may come, in steps: what a straight line as long as the jump
    /// allows leaves of the parabola under it.
    pub fn off(&self) -> f64 {
        LEAST_OFF.max(self.jump * self.jump / (16.0 * self.acceleration))
    }

    /// A burst of up to so many pulses, a step each `gap` nanoseconds.
    fn burst(
        &self,
        (start, due): (i64, i64),
        gap: f64,
        pulses: u64,
        up: bool,
        most: impl Fn(u64) -> u64,
    ) -> Burst {
        let gap = gap.max(self.least_period as f64);
        let single = pulses == 1 || gap > LONGEST_PERIOD as f64;
        let period = (gap.min(LONGEST_PERIOD as f64).ceil() as u64).next_multiple_of(self.grain);
        let pulses = if single { 1 } else { pulses.min(most(period).max(1)) };
        let pace = if pulses == 1 { gap } else { period as f64 };
        Burst { start, due, period, pulses, up, pace }
    }

    /// How many pulses at `rate` last as long as the acceleration takes to a jump.
    fn stair(&self, rate: f64) -> u64 {
        ((rate * self.jump / self.acceleration).ceil() as u64).clamp(1, MOST_PULSES)
    }
}

/// The last pulse before.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Before {
    /// When it rose, at the latest.
    pub rise: i64,
    /// The time to the next, by the rate it had.
    pub period: f64,
    pub up: bool,
}

/// Some pulses at one rate.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Burst {
    /// When the first pulse shall rise.
    pub start: i64,
    /// When it would have, had nothing come late.
    pub due: i64,
    /// Of the PWM.
    pub period: u64,
    pub pulses: u64,
    pub up: bool,
    /// The time between two steps that it stands for: the period, or more where it is a single pulse.
    pub pace: f64,
}

const SECOND: f64 = 1e9;

/// How much more than the jump the last stair of all may have: a brake need not end at a whole step, and its
/// last one may then come while the trajectory still has 1.85 √acceleration; a quarter of a step early, that is a little
/// above the jump. To go on instead would be worse: past the end, and back.
const TO_REST: f64 = 1.2;

/// How far before its place a step falls due, in steps: see [`StepTimes`].
const BEFORE: f64 = 0.25;

/// The burst that comes next, not before `earliest`. `None`: the trajectory has no steps left, and the
/// motor is slow enough to stand still.
///
/// `most(period)`: how many pulses can be proved.
pub(super) fn next(
    dues: &StepTimes,
    before: Option<Before>,
    earliest: i64,
    pace: &Pace,
    most: impl Fn(u64) -> u64,
) -> Option<Burst> {
    let ahead = dues;
    let mut dues = dues.clone();
    let first = dues.peek();
    // What came from the other direction has come to rest in between.
    let moving = before.filter(|b| first.is_none_or(|f| f.up == b.up));
    let rate_before = before.map_or(0.0, |b| SECOND / b.period);
    let too_fast = rate_before > pace.jump * TO_REST;
    let leaves = before.filter(|b| too_fast && first.is_none_or(|f| f.up != b.up));
    if let Some(before) = leaves {
        // Too fast to stand still or to turn: only after a late write.
        return Some(slowed(before, earliest, pace, &most));
    }
    let first = first?;
    let first_at = when(ahead, first, pace);
    let rests_after = left(ahead, first.up, 2) == 1;
    let (from, to) = room(moving.or(before), rests_after, pace);
    let due = first_at.max(from).min(to.max(from));
    let start = due.max(earliest);
    let mut fit = Fit { low: pace.least_period as f64, high: LONGEST_PERIOD as f64 };
    // `beyond`: the first due that does not fit; `rests`: the motor turns or rests after these.
    let (mut pulses, mut last, mut beyond, mut rests) = (1u64, first_at, None, false);
    let (mut early, mut late) = (0.0, 0.0);
    let (mut natural, off) = (None, pace.off());
    while pulses < MOST_PULSES {
        dues.advance();
        let Some(next) = dues.peek().filter(|d| d.up == first.up) else {
            rests = true;
            break;
        };
        let at = when(ahead, next, pace);
        let gap = (at - last).max(1) as f64;
        let slack = off * gap;
        if pulses == 1 {
            // What the first pulse is off by cannot be mended at once.
            early = ((first_at - start) as f64 - slack).max(0.0);
            late = ((start - first_at) as f64 - slack).max(0.0);
            natural = Some(gap);
        }
        let (way, n, rate) = ((at - start) as f64, pulses as f64, SECOND / gap);
        let low = ((way - slack - early) / n).max(SECOND / (rate + pace.jump / 4.0));
        let slowest = rate - pace.jump / 4.0;
        let high = (way + slack + late) / n;
        let high = if slowest > 0.0 { high.min(SECOND / slowest) } else { high };
        let Some(narrower) = fit.narrowed(low, high) else {
            beyond = Some(at);
            break;
        };
        (fit, pulses, last) = (narrower, pulses + 1, at);
    }
    if rests && pulses > 1 {
        // To stand still after it is a jump, too. If that is too much, the last pulse comes by itself.
        match fit.narrowed(SECOND / pace.jump, f64::INFINITY) {
            Some(narrower) => fit = narrower,
            None => (pulses, beyond) = (pulses - 1, Some(last)),
        }
    }
    let exact = match (pulses, beyond) {
        // The last pulse of all stands for the time since the one before.
        (1, _) => natural.unwrap_or_else(|| {
            moving.map_or(LONGEST_PERIOD as f64, |b| b.period.max((start - b.rise) as f64))
        }),
        // The next burst finds itself on the trajectory.
        (n, Some(at)) => fit.clamp((at - start) as f64 / n as f64),
        (n, None) => fit.clamp((last - start) as f64 / (n - 1) as f64),
    };
    // Against what the motor really did, not what it was to do.
    let rate = SECOND / exact.max(pace.least_period as f64);
    let really = moving.map_or(0.0, |b| SECOND / b.period.max((start - b.rise) as f64));
    if rate > really + pace.jump {
        let faster = stair((start, due), really + pace.jump, first.up, pace, &most);
        let pulses = left(ahead, first.up, faster.pulses);
        return Some(Burst { pulses, ..faster });
    }
    if let Some(before) = moving
        && rate < rate_before - pace.jump
    {
        return Some(slowed(before, earliest, pace, &most));
    }
    Some(pace.burst((start, due), exact, pulses, first.up, most))
}

/// When a step is due; of one that a change of plan finds missing, which is due at the plan's beginning, when
/// it would have been: where the motor is a little behind, as it may, that is no reason to hurry.
fn when(dues: &StepTimes, due: StepDue, pace: &Pace) -> i64 {
    if due.at > 0 {
        return due.at as i64;
    }
    let start = dues.trajectory().start();
    let ahead = if due.up { 1.0 } else { -1.0 };
    let threshold = due.count as f64 - ahead * BEFORE;
    let speed = (ahead * start.velocity).max(pace.jump / 2.0);
    -((ahead * (start.position - threshold) / speed * SECOND).max(0.0) as i64)
}

/// `pulses` steps that no trajectory asks for, at rest: back to where it says.
pub(super) fn correction(
    pulses: u64,
    up: bool,
    before: Option<Before>,
    earliest: i64,
    pace: &Pace,
    most: impl Fn(u64) -> u64,
) -> Burst {
    let gentle = (SECOND / (pace.jump / 2.0)).max(pace.least_period as f64);
    let rest = before.map_or(i64::MIN, |b| b.rise.saturating_add(b.period.max(gentle) as i64));
    let start = earliest.max(rest);
    pace.burst((start, start), gentle, pulses.min(MOST_PULSES), up, most)
}

/// When the next pulse may rise after the last one, first and last. `rests_after`: it is the last of all, and
/// shall be slow enough to stand still after it.
fn room(before: Option<Before>, rests_after: bool, pace: &Pace) -> (i64, i64) {
    let Some(before) = before else { return (i64::MIN, i64::MAX) };
    let rate = SECOND / before.period;
    let after = |rate: f64| {
        let gap = (SECOND / rate).max(pace.least_period as f64);
        before.rise.saturating_add(gap.ceil() as i64)
    };
    let first = after(rate + pace.jump / 4.0);
    // Slow enough to stand still, it may.
    let slower = if rests_after { 0.75 } else { 0.25 } * pace.jump;
    let last = if rate > pace.jump { after(rate - slower) } else { i64::MAX };
    (first, last)
}

/// How many of `most` steps in that direction are left before the motor turns or rests for good.
fn left(dues: &StepTimes, up: bool, most: u64) -> u64 {
    let mut dues = dues.clone();
    let mut left = 0;
    while left < most && dues.peek().is_some_and(|d| d.up == up) {
        dues.advance();
        left += 1;
    }
    left
}

/// A jump slower than before, for as long as the acceleration takes to it.
fn slowed(before: Before, earliest: i64, pace: &Pace, most: &impl Fn(u64) -> u64) -> Burst {
    let due = before.rise.saturating_add(before.period as i64);
    let rate = (SECOND / before.period - pace.jump).max(pace.jump / 2.0);
    stair((due.max(earliest), due), rate, before.up, pace, most)
}

fn stair(times: (i64, i64), rate: f64, up: bool, pace: &Pace, most: &impl Fn(u64) -> u64) -> Burst {
    pace.burst(times, SECOND / rate, pace.stair(rate), up, most)
}

/// The periods that suit all pulses so far.
#[derive(Clone, Copy)]
struct Fit {
    low: f64,
    high: f64,
}

impl Fit {
    fn narrowed(self, low: f64, high: f64) -> Option<Fit> {
        let (low, high) = (self.low.max(low), self.high.min(high));
        (low <= high).then_some(Fit { low, high })
    }

    fn clamp(self, period: f64) -> f64 {
        period.clamp(self.low, self.high)
    }
}
