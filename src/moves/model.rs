use crate::config::{AtStart, MotionLimits, MotorConfig, MotorUnit, Travel};
use crate::motion::{Limits, Planner, State, Trajectory};
use crate::motor::MotorLimits;
use crate::units::Ratio;

/// Between two directions, beside the time for the play: for DIR to settle, and for steps that are late.
const TURN_MARGIN: u64 = 2_000_000;

/// What planning has to know of a motor: its unit, its grid, its limits.
///
/// Its *native* unit is what its loop's trajectories are in: steps for an axis, degrees for a servo. Of a servo that
/// turns continuously the velocity is what counts, in percent of full speed; its place, in percent x seconds, means
/// nothing, and each move begins at 0.
#[derive(Clone, Debug)]
pub(crate) struct MotorModel {
    pub name: String,
    pub unit: MotorUnit,
    pub travel: Travel,
    pub limits: MotionLimits,
    /// Steps a unit; none for a servo.
    pub steps: Option<Ratio>,
    /// The speed, in its unit a second, from which it may be halted without losing a step; none for a
    /// servo.
    pub start_stop: Option<f64>,
    /// Steps of play; 0 for a servo.
    pub backlash: i64,
    /// It is a servo that turns continuously: it has speeds, and no places.
    pub continuous: bool,
}

impl MotorModel {
    pub fn new(motor: &MotorConfig) -> MotorModel {
        MotorModel {
            name: motor.name.clone(),
            unit: motor.unit,
            travel: motor.travel,
            limits: motor.limits,
            steps: motor.axis().map(|axis| axis.steps_per_unit),
            start_stop: motor.axis().map(|axis| axis.start_stop_speed),
            backlash: motor.axis().map_or(0, |axis| axis.backlash),
            continuous: motor.is_continuous(),
        }
    }

    /// A position in the motor's unit as a native one: for an axis, the nearest whole step.
    pub fn to_native(&self, position: f64) -> f64 {
        match self.steps {
            Some(ratio) => ratio.scale(position).round(),
            None => position,
        }
    }

    /// A native position in the motor's unit.
    pub fn to_unit(&self, native: f64) -> f64 {
        match self.steps {
            Some(ratio) => ratio.unscale(native),
            None => native,
        }
    }

    /// Whether it is a servo that goes to angles.
    pub fn has_angle(&self) -> bool {
        self.steps.is_none() && !self.continuous
    }

    /// What the trace has as its position where it stands still: of one that turns continuously its speed.
    pub fn told(&self, native: f64) -> f64 {
        if self.continuous { 0.0 } else { self.to_unit(native) }
    }

    /// The limits in native units, with the speed limit scaled by `speed` (0 to 1).
    pub fn native_limits(&self, speed: f64) -> Limits {
        let scale = self.steps.map_or(1.0, Ratio::to_f64);
        Limits {
            speed: self.limits.speed * speed * scale,
            acceleration: self.limits.acceleration * scale,
            jerk: self.limits.jerk * scale,
        }
    }

    /// How long a servo whose place nobody knows may take to its first target: the whole travel at
    /// its speed limit, in nanoseconds. An unlimited travel counts as a turn.
    pub fn settle_nanos(&self) -> u64 {
        let range = self.travel.max - self.travel.min;
        let range = if range.is_finite() { range } else { 360.0 };
        (range / self.limits.speed * 1e9) as u64
    }

    /// How the motor takes up its play, native; `None` where it has none.
    pub fn take_up(&self) -> Option<Trajectory> {
        let steps = Some(self.backlash).filter(|&steps| steps > 0)? as f64;
        Planner::new().plan_to(State::at_rest(0.0), steps, self.native_limits(1.0)).ok()
    }

    /// How long a plan that turns on its way has to rest where it does: the motor takes up its play there;
    /// nanoseconds. 0 where it has none.
    pub fn turn_nanos(&self) -> u64 {
        self.take_up().map_or(0, |take_up| take_up.duration() + TURN_MARGIN)
    }

    /// What its loop keeps against any plan.
    pub fn motor_limits(&self) -> MotorLimits {
        MotorLimits {
            travel: (self.to_native(self.travel.min), self.to_native(self.travel.max)),
            slack: self.tolerance(),
            motion: self.native_limits(1.0),
        }
    }

    /// Half a step, or for a servo a thousandth of a degree: closer than this is there.
    pub fn tolerance(&self) -> f64 {
        if self.steps.is_some() { 0.5 } else { 1e-3 }
    }

    /// Where an axis is taken to be at the start: as it says, else 0 or the nearest place in its travel.
    pub fn start_position(&self, at_start: AtStart) -> f64 {
        match at_start {
            AtStart::Assume(position) => position,
            // Where it will be restored to is not known before.
            AtStart::Unknown | AtStart::Restored => 0.0_f64.clamp(self.travel.min, self.travel.max),
        }
    }

    /// `12.5mm`, for messages.
    pub fn show(&self, position: f64) -> String {
        // Enough digits for the finest grid, none for what is exact.
        let rounded = (position * 1e6).round() / 1e6;
        format!("{}{}", rounded + 0.0, self.unit.symbol())
    }
}
