//! A servo's pulses beyond what its config allows: to find out what the config should allow.

use super::{Machine, MoveError};
use crate::config::{ServoDrive, Travel};
use crate::motor::{Command, MotorIndex, PulseMap};
use crate::moves::MotorModel;
use crate::roster::pulse_map;
use crate::units::PulseWidth;

/// The shortest and the longest pulse that any servo is tried with: outside, most run against their stops.
pub const REACH: (PulseWidth, PulseWidth) =
    (PulseWidth::from_micros(500), PulseWidth::from_micros(2500));

/// The same line between pulses and angles, as far as [`REACH`] goes: nothing moves by the change. Pulses that the
/// config allows stay allowed, and one never fills its period.
fn widened(servo: &ServoDrive) -> PulseMap {
    let map = pulse_map(servo);
    let period = u32::try_from(servo.period.as_nanos()).unwrap_or(u32::MAX);
    let min = REACH.0.min(map.min);
    let max = REACH.1.min(PulseWidth::from_nanos(period / 10 * 9)).max(map.max);
    let (angle_at_min, angle_at_max) = (angle(&map, min), angle(&map, max));
    PulseMap { min, max, angle_at_min, angle_at_max, ..map }
}

/// The angle that a pulse stands for, also beyond the map's ends, in degrees.
fn angle(map: &PulseMap, pulse: PulseWidth) -> f64 {
    let nanos = |w: PulseWidth| f64::from(w.as_nanos());
    let share = (nanos(pulse) - nanos(map.min)) / (nanos(map.max) - nanos(map.min));
    map.angle_at_min + share * (map.angle_at_max - map.angle_at_min)
}

impl Machine {
    /// The angle that a pulse of a servo stands for, by its config, in degrees; `None` where there is no such servo.
    pub fn angle_of(&self, servo: &str, pulse: PulseWidth) -> Option<f64> {
        let drive = self.book.config.motor(servo)?.drive.servo()?;
        Some(angle(&pulse_map(drive), pulse))
    }

    /// Lets a servo at rest go beyond its config's pulses, as far as [`REACH`], until [`Machine::narrow`]. Its speed,
    /// acceleration and jerk stay limited as they are, and nothing moves by this.
    ///
    /// # Errors
    ///
    /// There is no such servo, it moves or has a fault, or its loop does not answer.
    pub fn widen(&mut self, servo: &str) -> Result<(), MoveError> {
        let (index, drive) = self.servo_at_rest(servo)?;
        let map = widened(&drive);
        let (a, b) = (map.angle_at_min, map.angle_at_max);
        self.reach(index, map, Travel { min: a.min(b), max: a.max(b) })
    }

    /// Back to what the config allows. Where the servo stands outside of that its signal ends: it goes limp.
    ///
    /// # Errors
    ///
    /// As for [`Machine::widen`].
    pub fn narrow(&mut self, servo: &str) -> Result<(), MoveError> {
        let (index, drive) = self.servo_at_rest(servo)?;
        let travel = self.book.config.motors[index].travel;
        let slack = self.book.models[index].tolerance();
        let outside = |at: f64| at < travel.min - slack || at > travel.max + slack;
        if self.position(servo).is_some_and(outside) {
            self.release(servo)?;
        }
        self.reach(index, pulse_map(&drive), travel)
    }

    fn servo_at_rest(&self, servo: &str) -> Result<(MotorIndex, ServoDrive), MoveError> {
        let index = self.at_rest(servo)?;
        match self.book.config.motors[index].drive.servo() {
            Some(drive) if drive.continuous => {
                Err(MoveError::Continuous { motor: servo.to_owned() })
            }
            Some(drive) => Ok((index, drive.clone())),
            None => Err(MoveError::NoPulses { motor: servo.to_owned() }),
        }
    }

    fn reach(&mut self, index: MotorIndex, map: PulseMap, travel: Travel) -> Result<(), MoveError> {
        let mut model = MotorModel::new(&self.book.config.motors[index]);
        model.travel = travel;
        self.command(index, Command::Reach { limits: model.motor_limits(), map })?;
        self.book.models[index].travel = travel;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;
    use crate::machine::Move;
    use crate::units::Angle;

    fn machine(servo: &str) -> Machine {
        let text = format!(
            "[servo.pan]\n{servo}\n[axis.x]\nstep = {{ gpio = 5 }}\ndir = {{ gpio = 6 }}\n\
            driver = \"drv8825\"\nsteps-per-revolution = 200\nmicrosteps = 16\ndistance-per-revolution = \"8mm\"\n\
            travel = \"unlimited\"\nmax-speed = \"5mm/s\"\nmax-acceleration = \"50mm/s^2\"\n"
        );
        let config = Config::from_str(&text, "reach").unwrap().config;
        Machine::builder(config).virtual_time().build().unwrap()
    }

    #[test]
    fn it_goes_as_far_as_it_is_let_and_no_further() {
        for drive in ["pwm = { gpio = 18 }", "soft-pwm = { gpio = 18 }"] {
            let mut machine = machine(drive);
            let far =
                |m: &Machine, us| Angle(m.angle_of("pan", PulseWidth::from_micros(us)).unwrap());
            let to = |angle: Angle| Move::new().to("pan", angle);
            let id = machine.start(&to(Angle(0.0))).unwrap();
            assert!(machine.wait(id).all_reached());
            let wide = to(far(&machine, 2400));
            assert!(matches!(machine.start(&wide), Err(MoveError::OutsideTravel { .. })));
            machine.widen("pan").unwrap();
            assert_eq!(machine.position("pan"), Some(0.0));
            let id = machine.start(&wide).unwrap();
            assert!(machine.wait(id).all_reached());
            assert!((machine.position("pan").unwrap() - 81.0).abs() < 0.01);
            let beyond = to(far(&machine, 2600));
            assert!(matches!(machine.start(&beyond), Err(MoveError::OutsideTravel { .. })));
            // It stands where it may not: it goes limp, and begins anew inside.
            machine.narrow("pan").unwrap();
            assert_eq!(machine.position("pan"), None);
            assert!(machine.start(&wide).is_err());
            let id = machine.start(&to(Angle(10.0))).unwrap();
            assert!(machine.wait(id).all_reached());
            // It stands where it may: it keeps its signal.
            machine.widen("pan").unwrap();
            machine.narrow("pan").unwrap();
            assert_eq!(machine.position("pan"), Some(10.0));
            assert!(matches!(machine.widen("x"), Err(MoveError::NoPulses { .. })));
            assert!(matches!(machine.widen("z"), Err(MoveError::UnknownMotor { .. })));
        }
    }

    proptest! {
        /// A wider map is the same line: every pulse that both have stands for the same angle.
        #[test]
        fn nothing_moves_by_a_wider_reach(
            min in 600u32..1400, max in 1600u32..2400, trim in -100i32..100, reverse: bool, hertz in 40u32..350,
            at in 0.0f64..1.0,
        ) {
            let servo = format!(
                "pwm = {{ gpio = 18 }}\nfrequency = \"{hertz}Hz\"\npulse = {{ min = \"{min}us\", max = \"{max}us\" }}\n\
                 trim = \"{trim}us\"\nreverse = {reverse}"
            );
            let machine = machine(&servo);
            let drive = machine.config().motors[0].drive.servo().unwrap();
            let (narrow, wide) = (pulse_map(drive), widened(drive));
            prop_assert!(wide.min <= narrow.min && wide.max >= narrow.max);
            prop_assert!(u128::from(wide.max.as_nanos()) < drive.period.as_nanos());
            let angle = narrow.angle_at_min + at * (narrow.angle_at_max - narrow.angle_at_min);
            prop_assert!(narrow.width(angle).as_nanos().abs_diff(wide.width(angle).as_nanos()) <= 1);
        }
    }
}
