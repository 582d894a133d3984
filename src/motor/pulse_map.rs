use super::{Limit, MotorLimits};
use crate::motion::{State, Trajectory};
use crate::units::PulseWidth;

/// Which pulse stands for which angle: a straight line between two points, which no pulse leaves. Of a servo that turns
/// continuously which pulse stands for which speed, in percent of full speed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PulseMap {
    /// Shortest pulse it may get.
    pub min: PulseWidth,
    /// Longest pulse it may get.
    pub max: PulseWidth,
    /// Degrees, or percent, at the shortest pulse.
    pub angle_at_min: f64,
    /// Degrees, or percent, at the longest pulse.
    pub angle_at_max: f64,
    /// Pulses go in steps of so many nanoseconds: 1, or more where the chip counts in coarser ones.
    pub step: f64,
    /// A width that differs by less than this from the one that it has, in nanoseconds, is not worth a
    /// change, unless it is the last of a move.
    pub dead_band: u32,
}

impl PulseMap {
    /// The pulse for an angle in degrees, or a speed in percent, rounded to a step and never outside `min..=max`.
    ///
    /// ```
    /// use lockstep::motor::PulseMap;
    /// use lockstep::units::PulseWidth;
    /// let (min, max) = (PulseWidth::from_micros(1000), PulseWidth::from_micros(2000));
    /// let map = PulseMap { min, max, angle_at_min: -45.0, angle_at_max: 45.0, step: 1.0, dead_band: 0 };
    /// assert_eq!(map.width(36.0), PulseWidth::from_micros(1900));
    /// assert_eq!(map.width(99.0), max);
    /// ```
    pub fn width(&self, angle: f64) -> PulseWidth {
        let (min, max) = (f64::from(self.min.as_nanos()), f64::from(self.max.as_nanos()));
        let share = (angle - self.angle_at_min) / (self.angle_at_max - self.angle_at_min);
        let nanos = min + share * (max - min);
        PulseWidth::nearest(nanos, self.step, self.min, self.max)
    }

    /// The width to go on with, from `width`, where an angle wants `wanted`.
    pub fn follow(&self, width: PulseWidth, wanted: PulseWidth, last: bool) -> PulseWidth {
        let near = width.as_nanos().abs_diff(wanted.as_nanos()) < self.dead_band;
        if near && !last { width } else { wanted }
    }
}

/// What a pulse stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PulseOf {
    /// The position of the plan: a servo that goes to angles.
    #[default]
    Position,
    /// Its velocity: a servo that turns continuously. At rest its pulse is neutral, and then its signal ends; never is it
    /// left at a speed.
    Velocity,
}

impl PulseOf {
    /// What the pulse for that state of the plan shows, in degrees or percent.
    pub(super) fn value(self, state: State) -> f64 {
        match self {
            PulseOf::Position => state.position,
            PulseOf::Velocity => state.velocity,
        }
    }

    pub(super) fn turns(self) -> bool {
        self == PulseOf::Velocity
    }
}

/// How many periods a servo that turns gets neutral pulses for where its loop is no more.
pub(super) const LAST_NEUTRAL: u32 = 3;

/// Whether a servo follows a plan. `at`: its angle, where it has a signal that would jump.
pub(super) fn check(
    limits: &MotorLimits,
    trajectory: &Trajectory,
    at: Option<f64>,
) -> Result<(), Limit> {
    limits.check(trajectory, true)?;
    at.map_or(Ok(()), |at| limits.check_start(trajectory, at))
}
