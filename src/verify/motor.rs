//! The judge of one motor's signals.

use super::axis::Axis;
use super::coils::Coils;
use super::course::Course;
use super::heading::Heading;
use super::moves::Grain;
use super::report::Bound;
use super::servo::Servo;
use super::turning::Turning;
use super::{Options, VerifyError};
use crate::config::{Drive, MotorConfig};

/// A motor as its trace shows it, whatever drives it.
#[derive(Debug)]
pub(super) enum Motor {
    Axis(Box<Axis>),
    Coils(Box<Coils>),
    Servo(Box<Servo>),
    Turning(Box<Turning>),
}

impl Motor {
    /// Where it is, in grains of its line.
    pub fn place(&self) -> f64 {
        match self {
            Motor::Axis(axis) => axis.course().steps() as f64,
            Motor::Coils(coils) => coils.course().steps() as f64,
            Motor::Servo(servo) => servo.angle() / servo.grain(),
            // It has none.
            Motor::Turning(_) => 0.0,
        }
    }

    /// What a grain is in its unit.
    pub fn unit_of_grain(&self) -> f64 {
        match self {
            Motor::Axis(axis) => 1.0 / axis.course().axis.steps_per_unit.to_f64(),
            Motor::Coils(coils) => 1.0 / coils.course().axis.steps_per_unit.to_f64(),
            Motor::Servo(servo) => servo.grain(),
            Motor::Turning(_) => 1.0,
        }
    }

    /// So many grains back are a turn.
    pub fn turn(&self) -> f64 {
        match self {
            Motor::Axis(axis) if !axis.course().keeps_its_way() => f64::INFINITY,
            _ => 1.0,
        }
    }

    pub fn new(motor: &MotorConfig, options: &Options) -> Result<Motor, VerifyError> {
        Ok(match (&motor.drive, motor.axis()) {
            (Drive::Servo(drive), _) if drive.continuous => {
                Motor::Turning(Box::new(Turning::new(motor, drive, options)))
            }
            (Drive::Servo(drive), _) => Motor::Servo(Box::new(Servo::new(motor, drive, options))),
            (Drive::StepDir(drive), Some(axis)) => {
                Motor::Axis(Box::new(Axis::new(motor, axis, drive, options)))
            }
            (Drive::PwmClock(drive), Some(axis)) => {
                Motor::Axis(Box::new(Axis::on_clock(motor, axis, drive, options)))
            }
            (Drive::Coils(drive), Some(axis)) => {
                Motor::Coils(Box::new(Coils::new(motor, axis, drive, options)))
            }
            (Drive::StepDir(_) | Drive::PwmClock(_) | Drive::Coils(_), None) => {
                let text = format!("`{}` is no axis in the config", motor.name);
                return Err(VerifyError::Mismatch(text));
            }
        })
    }

    pub fn grain(&self, late: u64) -> Grain {
        let of_steps = |course: &Course| Grain {
            late: course.top_speed() * late as f64 / 1e9 + course.off(),
            end_within: 0,
            rest: 1.0,
        };
        match self {
            Motor::Axis(axis) => of_steps(axis.course()),
            Motor::Coils(coils) => of_steps(coils.course()),
            Motor::Servo(servo) => {
                Grain { late: servo.late_grains(), end_within: servo.period(), rest: 0.0 }
            }
            Motor::Turning(turning) => Grain { late: 0.0, end_within: turning.period(), rest: 0.0 },
        }
    }

    /// The steps of an axis, whatever drives it; `None` for a servo.
    pub fn course_mut(&mut self) -> Option<&mut Course> {
        match self {
            Motor::Axis(axis) => Some(axis.course_mut()),
            Motor::Coils(coils) => Some(coils.course_mut()),
            Motor::Servo(_) | Motor::Turning(_) => None,
        }
    }

    /// Its direction, where that is looked at.
    pub fn heading_mut(&mut self) -> Option<&mut Heading> {
        match self {
            Motor::Servo(servo) => Some(&mut servo.heading),
            axis => axis.course_mut()?.heading_mut(),
        }
    }

    pub fn start(&mut self, at: u64, position: f64) {
        match self {
            Motor::Axis(axis) => axis.course_mut().start(at, position),
            Motor::Coils(coils) => coils.start(at, position),
            Motor::Servo(servo) => servo.start(at, position),
            Motor::Turning(turning) => turning.start(at),
        }
    }

    pub fn end(&mut self, at: u64, position: f64) {
        match self {
            Motor::Axis(axis) => axis.course_mut().end(at, position),
            Motor::Coils(coils) => coils.end(at, position),
            Motor::Servo(servo) => servo.end(position),
            Motor::Turning(turning) => turning.end(at),
        }
    }

    /// Somebody has switched it on, or let it go, by name.
    pub fn switched(&mut self, on: bool) {
        if let Motor::Coils(coils) = self {
            coils.switched(on);
        }
    }

    pub fn halt(&mut self, at: u64) {
        match self {
            Motor::Axis(axis) => axis.course_mut().halt(at),
            Motor::Coils(coils) => coils.halt(at),
            Motor::Servo(servo) => servo.halt(),
            Motor::Turning(turning) => turning.halt(at),
        }
    }

    pub fn finish(self, at: u64) -> Vec<Bound> {
        match self {
            Motor::Axis(axis) => axis.finish(at),
            Motor::Coils(coils) => coils.finish(at),
            Motor::Servo(servo) => servo.finish(at),
            Motor::Turning(turning) => turning.finish(at),
        }
    }
}
