//! What a program asks of its motors: how far each goes, and how close to its limits.

use crate::motion::Trajectory;
use crate::motor::MotorIndex;
use crate::moves::{MotorModel, Planned};

/// What a program asks of one motor. In the motor's own unit: mm or degrees, and seconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MotorUsage {
    /// Index into the config's motors.
    pub motor: MotorIndex,
    /// The way it goes in all, there and back counted twice; infinite where the program never ends.
    pub distance: f64,
    /// Its greatest speed.
    pub speed: f64,
    /// Its greatest acceleration.
    pub acceleration: f64,
    /// Its greatest jerk.
    pub jerk: f64,
    /// The nearest it comes to a limit of speed, as a share of it: 1 is all of it.
    pub speed_share: f64,
    /// The same for the acceleration.
    pub acceleration_share: f64,
    /// The same for the jerk.
    pub jerk_share: f64,
}

impl MotorUsage {
    fn none(motor: MotorIndex) -> MotorUsage {
        MotorUsage {
            motor,
            distance: 0.0,
            speed: 0.0,
            acceleration: 0.0,
            jerk: 0.0,
            speed_share: 0.0,
            acceleration_share: 0.0,
            jerk_share: 0.0,
        }
    }
}

/// The usage of every motor of a config, added up.
#[derive(Clone, Debug)]
pub(super) struct Usage(Vec<MotorUsage>);

impl Usage {
    pub fn new(motors: usize) -> Usage {
        Usage((0..motors).map(MotorUsage::none).collect())
    }

    /// Adds a plan to it.
    pub fn add(&mut self, models: &[MotorModel], planned: &Planned) {
        for part in &planned.parts {
            self.add_motor(&models[part.motor], part.motor, &part.trajectory);
        }
    }

    /// Adds what one motor does.
    pub fn add_motor(&mut self, model: &MotorModel, motor: MotorIndex, trajectory: &Trajectory) {
        let usage = &mut self.0[motor];
        let unit = |native: f64| (model.to_unit(native) - model.to_unit(0.0)).abs();
        usage.distance += unit(trajectory.way());
        let e = trajectory.extremes();
        usage.speed = usage.speed.max(unit(e.velocity));
        usage.acceleration = usage.acceleration.max(unit(e.acceleration));
        usage.jerk = usage.jerk.max(unit(e.jerk));
        usage.speed_share = usage.speed / model.limits.speed;
        usage.acceleration_share = usage.acceleration / model.limits.acceleration;
        usage.jerk_share = usage.jerk / model.limits.jerk;
    }

    /// Adds what others have used.
    pub fn merge<'u>(&mut self, others: impl IntoIterator<Item = &'u Usage>) {
        for (own, other) in others.into_iter().flat_map(|o| &o.0).map(|o| (o.motor, o)) {
            let own = &mut self.0[own];
            own.distance += other.distance;
            own.speed = own.speed.max(other.speed);
            own.acceleration = own.acceleration.max(other.acceleration);
            own.jerk = own.jerk.max(other.jerk);
            own.speed_share = own.speed_share.max(other.speed_share);
            own.acceleration_share = own.acceleration_share.max(other.acceleration_share);
            own.jerk_share = own.jerk_share.max(other.jerk_share);
        }
    }

    /// Counts the way since `before` as gone `more` times again; `None`: without end.
    pub fn repeat(&mut self, before: &Usage, more: Option<u64>) {
        for (now, before) in self.0.iter_mut().zip(&before.0) {
            let turn = now.distance - before.distance;
            if turn > 0.0 {
                now.distance += turn * more.map_or(f64::INFINITY, |n| n as f64);
            }
        }
    }

    /// The motors that it moves.
    pub fn moved(self) -> Vec<MotorUsage> {
        self.0.into_iter().filter(|m| m.speed > 0.0).collect()
    }
}
