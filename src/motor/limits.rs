use std::fmt;

use crate::motion::{Limits, Trajectory};

/// What a motor's loop keeps against any plan, in its native unit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MotorLimits {
    /// The least position, and the greatest: infinite where unlimited.
    pub travel: (f64, f64),
    /// How far a plan may go beyond that by its rounding: half a step, or a thousandth of a degree.
    pub slack: f64,
    /// Speed, acceleration and jerk, each in either direction.
    pub motion: Limits,
}

/// A limit of a motor's own that a plan does not keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// The plan leaves the travel.
    Travel,
    /// It is too fast.
    Speed,
    /// It accelerates too hard.
    Acceleration,
    /// Its acceleration changes too fast.
    Jerk,
    /// It begins where the motor is not.
    Start,
    /// It turns on the way, where there is no time to take up the backlash.
    Backlash,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limit::Travel => "the plan leaves its travel",
            Limit::Speed => "the plan breaks its speed limit",
            Limit::Acceleration => "the plan breaks its acceleration limit",
            Limit::Jerk => "the plan breaks its jerk limit",
            Limit::Start => "the plan begins where it is not",
            Limit::Backlash => {
                "the plan turns on the way, without the time to take up its backlash"
            }
        })
    }
}

/// Relative excess over a limit that rounding may cause and no motor can feel.
const ROUNDING: f64 = 1.0 + 1e-6;

impl MotorLimits {
    /// Whether a trajectory keeps them; `placed`: the travel counts, since the motor's place is known.
    ///
    /// # Errors
    ///
    /// The first limit that it breaks.
    pub fn check(&self, trajectory: &Trajectory, placed: bool) -> Result<(), Limit> {
        let e = trajectory.extremes();
        let inside = e.min >= self.travel.0 - self.slack && e.max <= self.travel.1 + self.slack;
        let kept = [
            (Limit::Travel, inside || !placed),
            (Limit::Speed, e.velocity <= self.motion.speed * ROUNDING),
            (Limit::Acceleration, e.acceleration <= self.motion.acceleration * ROUNDING),
            (Limit::Jerk, e.jerk <= self.motion.jerk * ROUNDING),
        ];
        kept.iter().find(|(_, kept)| !kept).map_or(Ok(()), |(limit, _)| Err(*limit))
    }

    /// Whether a trajectory begins where the motor is, give or take the part of a step at which a
    /// stopped move may rest.
    ///
    /// # Errors
    ///
    /// [`Limit::Start`].
    pub fn check_start(&self, trajectory: &Trajectory, at: f64) -> Result<(), Limit> {
        let off = (trajectory.start().position - at).abs();
        if off <= 2.0 * self.slack { Ok(()) } else { Err(Limit::Start) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::motion::{Planner, State};

    const MOTION: Limits = Limits { speed: 100.0, acceleration: 1e3, jerk: 1e4 };

    proptest! {
        /// A plan within the limits is taken; one that was made for higher ones is refused, with the
        /// limit that it breaks.
        #[test]
        fn plans_for_other_limits_are_refused(
            from in -90.0f64..90.0, to in -90.0f64..90.0, which in 0usize..4, factor in 1.01f64..50.0,
        ) {
            let limits = MotorLimits { travel: (-100.0, 100.0), slack: 0.5, motion: MOTION };
            prop_assume!((from - to).abs() > 40.0);
            let plan = |limits| {
                Planner::new().plan_to(State::at_rest(from), to, limits).unwrap()
            };
            prop_assert_eq!(limits.check(&plan(MOTION), true), Ok(()));
            let mut higher = MOTION;
            let expected = match which {
                0 => { higher.speed *= factor; Limit::Speed }
                1 => { higher.acceleration *= factor; Limit::Acceleration }
                2 => { higher.jerk *= factor; Limit::Jerk }
                _ => Limit::Travel,
            };
            let other = plan(higher);
            let e = other.extremes();
            match expected {
                Limit::Travel => {
                    let short = MotorLimits { travel: (from.min(to) + 1.0, 100.0), ..limits };
                    prop_assert_eq!(short.check(&other, true), Err(Limit::Travel));
                    prop_assert_eq!(short.check(&other, false), Ok(()));
                }
                // A short way may not use the whole of it.
                Limit::Speed if e.velocity <= MOTION.speed * ROUNDING => {}
                Limit::Acceleration if e.acceleration <= MOTION.acceleration * ROUNDING => {}
                limit => prop_assert_eq!(limits.check(&other, true), Err(limit)),
            }
            prop_assert_eq!(limits.check_start(&other, from), Ok(()));
            prop_assert_eq!(limits.check_start(&other, from + 1.1), Err(Limit::Start));
        }
    }
}
