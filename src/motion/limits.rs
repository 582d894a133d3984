use super::{LONGEST, PlanError, seconds};

/// The greatest speed, acceleration and jerk of a motion, each in either direction.
///
/// All three are above 0 and finite; a plan with others is refused.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Limits {
    /// The greatest speed, unit/s.
    pub speed: f64,
    /// The greatest acceleration, unit/s².
    pub acceleration: f64,
    /// The greatest jerk, unit/s³.
    pub jerk: f64,
}

impl Limits {
    /// The same with a share of the speed; acceleration and jerk stay.
    pub fn at_share(self, share: f64) -> Limits {
        Limits { speed: self.speed * share, ..self }
    }

    /// Whether all three are above 0 and finite.
    ///
    /// # Errors
    ///
    /// [`PlanError::Limit`] names the first that is not.
    pub fn check(&self) -> Result<(), PlanError> {
        let named =
            [("speed", self.speed), ("acceleration", self.acceleration), ("jerk", self.jerk)];
        for (limit, value) in named {
            if !(value.is_finite() && value > 0.0) {
                return Err(PlanError::Limit { limit, value });
            }
        }
        Ok(())
    }
}

/// Whether a way can be gone at that speed within the longest time that a plan may take, ramps left out.
///
/// # Errors
///
/// [`PlanError::TooLong`].
pub fn check_time(way: f64, speed: f64) -> Result<(), PlanError> {
    let needs = way / speed;
    // What the ramps take more is less than this.
    if needs > 0.99 * seconds(LONGEST) {
        Err(PlanError::TooLong { seconds: needs })
    } else {
        Ok(())
    }
}

/// The limits of `s`, from 0 to 1, along the straight line on which each motor goes `distance` at
/// no more than its own limits: the least over the motors of limit / |distance|.
///
/// `motors` gives each motor's distance (in its own unit, of either sign) and limits. A motor that
/// goes nowhere sets no limit. `None` if none goes anywhere.
///
/// ```
/// use lockstep::motion::{Limits, line_limits};
///
/// let limits = Limits { speed: 50.0, acceleration: 500.0, jerk: 5000.0 };
/// let line = line_limits([(100.0, limits), (-25.0, limits), (0.0, limits)]).unwrap();
/// assert_eq!(line, Limits { speed: 0.5, acceleration: 5.0, jerk: 50.0 });
/// assert_eq!(line_limits([(0.0, limits)]), None);
/// ```
pub fn line_limits(motors: impl IntoIterator<Item = (f64, Limits)>) -> Option<Limits> {
    let each = motors.into_iter().filter(|(distance, _)| *distance != 0.0);
    each.map(|(distance, limits)| Limits {
        speed: limits.speed / distance.abs(),
        acceleration: limits.acceleration / distance.abs(),
        jerk: limits.jerk / distance.abs(),
    })
    .reduce(|a, b| Limits {
        speed: a.speed.min(b.speed),
        acceleration: a.acceleration.min(b.acceleration),
        jerk: a.jerk.min(b.jerk),
    })
}
