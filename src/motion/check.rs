//! Whether a plan keeps what was asked, from its segments alone.

use super::extremes::segment_extremes;
use super::{Limits, PlanError, Segment, State, Trajectory};

/// How much of a limit a plan may exceed it by.
const LIMIT_TOLERANCE: f64 = 1e-9;

/// How much of the speed limit a start above it may add on its way down, beyond what it must.
const START_TOLERANCE: f64 = 1e-3;

/// By how much a plan exceeds its limits, as a share of them; 0 where it keeps them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Excess {
    pub speed: f64,
    pub acceleration: f64,
    pub jerk: f64,
    /// What of the end is wrong, if it is: what, its value, the most it may be.
    pub end: Option<(&'static str, f64, f64)>,
}

impl Excess {
    pub(super) fn most(&self) -> f64 {
        self.speed.max(self.acceleration).max(self.jerk)
    }

    fn widen(&mut self, other: &Excess) {
        self.speed = self.speed.max(other.speed);
        self.acceleration = self.acceleration.max(other.acceleration);
        self.jerk = self.jerk.max(other.jerk);
    }

    /// Four times as much as before, or as was seen, where something was seen.
    pub(super) fn raise(&mut self, seen: Excess) {
        let raise = |cut: &mut f64, seen: f64| {
            if seen > 0.0 {
                *cut = (4.0 * cut.max(seen)).min(0.25);
            }
        };
        raise(&mut self.speed, seen.speed);
        raise(&mut self.acceleration, seen.acceleration);
        raise(&mut self.jerk, seen.jerk);
    }

    /// The limits, lower by these shares.
    pub(super) fn below(&self, limits: Limits) -> Limits {
        Limits {
            speed: limits.speed * (1.0 - self.speed),
            acceleration: limits.acceleration * (1.0 - self.acceleration),
            jerk: limits.jerk * (1.0 - self.jerk),
        }
    }

    pub(super) fn explain(&self, limits: Limits) -> PlanError {
        let unfaithful = |what, over: f64, wanted: f64| PlanError::Unfaithful {
            what,
            value: wanted * (1.0 + over),
            wanted,
        };
        match *self {
            Excess { end: Some((what, value, wanted)), .. } => {
                PlanError::Unfaithful { what, value, wanted }
            }
            Excess { jerk, .. } if jerk > 0.0 => unfaithful("jerk limit", jerk, limits.jerk),
            Excess { acceleration, .. } if acceleration > 0.0 => {
                unfaithful("acceleration limit", acceleration, limits.acceleration)
            }
            Excess { speed, .. } => unfaithful("speed limit", speed, limits.speed),
        }
    }
}

/// Checks a plan's segments against the limits and its end.
pub(super) fn check(plan: &Trajectory, from: State, limits: Limits) -> Result<(), Excess> {
    let mut excess = Excess::default();
    // What a start above the limits still has of that, until it has come down.
    let mut over = Over::new(plan, from, limits);
    for segment in plan.segments() {
        over.come_down(segment, limits);
        let own = segment_extremes(segment);
        excess.widen(&Excess {
            speed: share(own.velocity, over.speed),
            acceleration: share(own.acceleration, over.acceleration),
            jerk: share(own.jerk, limits.jerk),
            end: None,
        });
    }
    let extremes = plan.extremes();
    if let Some(last) = plan.segments().last() {
        let end = last.state_after(last.duration);
        let size = extremes.max.abs().max(extremes.min.abs()).max(extremes.max - extremes.min);
        let position = (end.position - plan.end()).abs();
        // Not a number is far, too.
        let far = |value: f64, most: f64| value > most || value.is_nan();
        if far(position, 1e-12 * size) {
            excess.end = Some(("end", end.position, plan.end()));
        } else if far(end.velocity.abs(), 1e-9 * extremes.velocity) {
            excess.end = Some(("end velocity", end.velocity, 0.0));
        } else if far(end.acceleration.abs(), 1e-9 * extremes.acceleration) {
            excess.end = Some(("end acceleration", end.acceleration, 0.0));
        }
    }
    if excess.end.is_none() && excess.most() == 0.0 { Ok(()) } else { Err(excess) }
}

/// By how much a value exceeds the most it may be, as a share of that; 0 if by no more than the
/// tolerance.
fn share(value: f64, most: f64) -> f64 {
    let share = value / most - 1.0;
    // Not a number is an excess, too.
    if share <= LIMIT_TOLERANCE { 0.0 } else { share.max(LIMIT_TOLERANCE) }
}

/// A speed this much (as a share) below its limit can't be brought above it by the rounding to
/// nanoseconds of a plan that was made to keep below it.
const NEARLY: f64 = 1e-3;

/// The most that a plan may have: the limits, or what a start above them can't help.
struct Over {
    speed: f64,
    acceleration: f64,
}

impl Over {
    fn new(plan: &Trajectory, from: State, limits: Limits) -> Over {
        // The speed when the start's acceleration is taken back at once, by the plan's least jerk;
        // that may be less than the limit by what the rounding to nanoseconds means.
        let jerks = plan.segments().iter().map(|s| s.jerk.abs());
        let least = jerks.filter(|&jerk| jerk > 0.0).fold(limits.jerk, f64::min);
        let inevitable = taken_back(from, least)
            .abs()
            .min(taken_back(from, limits.jerk).abs() + START_TOLERANCE * limits.speed);
        Over {
            speed: limits.speed.max(from.velocity.abs()).max(inevitable),
            acceleration: limits.acceleration.max(from.acceleration.abs()),
        }
    }

    /// Holds a segment to the limits if the motion has come down into them, or keeps its speed or
    /// its acceleration.
    fn come_down(&mut self, segment: &Segment, limits: Limits) {
        let State { velocity, acceleration, .. } = segment.state;
        let steady = acceleration == 0.0 && segment.jerk == 0.0;
        let reached = velocity.abs().max(taken_back(segment.state, limits.jerk).abs());
        if segment.start > 0 && (steady || reached < limits.speed * (1.0 - NEARLY)) {
            self.speed = limits.speed;
        }
        let held = segment.start > 0 && segment.jerk == 0.0;
        if held || share(acceleration.abs(), limits.acceleration) == 0.0 {
            self.acceleration = limits.acceleration;
        }
    }
}

/// The velocity that is reached when the acceleration is taken back at once, with this jerk.
pub(super) fn taken_back(from: State, jerk: f64) -> f64 {
    from.velocity + from.acceleration * from.acceleration.abs() / (2.0 * jerk)
}
