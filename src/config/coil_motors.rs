//! Motors that are driven coil by coil, and the boards that drive them.

use super::CoilWiring;
use crate::units::Ratio;

/// A motor that a config can name.
#[derive(Debug)]
pub struct MotorPreset {
    /// The name in a config: `28byj-48`.
    pub name: &'static str,
    /// Full steps of its rotor a revolution.
    pub steps_per_revolution: u32,
    /// Revolutions of its rotor for one of its shaft: numerator and denominator.
    pub gear: (u64, u64),
    /// The board it is sold with.
    pub driver: &'static str,
    /// Full steps a second up to which it starts and stops at once (pull-in).
    pub start_stop: f64,
    /// Full steps a second that it follows at the most, once it runs (pull-out, without load).
    pub fastest: f64,
}

impl MotorPreset {
    /// The preset of that name.
    pub fn find(name: &str) -> Option<&'static MotorPreset> {
        MOTORS.iter().find(|m| m.name == name)
    }

    /// Its gear.
    pub fn gear_ratio(&self) -> Option<Ratio> {
        Ratio::new(self.gear.0, self.gear.1)
    }
}

/// The 28BYJ-48 at 5 V. Its data sheets say 5.625/64 degrees a half step, so 32 full steps a turn of
/// the rotor, and half-step rates of 600 a second for pull-in and 1000 for pull-out, both without
/// load; 500 is what users find to be safe.
///
/// The gear is nominally 64:1. Counted teeth make it 32/9 x 22/11 x 26/9 x 31/10 = 25792/405, which is
/// 63.684; it is that one that leaves no error after many turns.
const BYJ48: MotorPreset = MotorPreset {
    name: "28byj-48",
    steps_per_revolution: 32,
    gear: (25_792, 405),
    driver: "uln2003",
    start_stop: 250.0,
    fastest: 500.0,
};

/// Every motor that a config can name.
pub const MOTORS: &[MotorPreset] = &[BYJ48];

/// A board for coils that a config can name.
#[derive(Debug)]
pub struct CoilDriver {
    /// The name in a config: `uln2003`.
    pub name: &'static str,
    /// Which of its inputs belong together.
    pub wiring: CoilWiring,
    /// Its inputs, in the order of the four GPIOs.
    pub inputs: [&'static str; 4],
    /// What to set or to connect beside them, for a person.
    pub set: &'static str,
}

impl CoilDriver {
    /// The board of that name.
    pub fn find(name: &str) -> Option<&'static CoilDriver> {
        COIL_DRIVERS.iter().find(|d| d.name == name)
    }
}

/// Every board for coils that a config can name. Inputs and what they need besides: the data sheets of
/// ULN2003A and DRV8833 (Texas Instruments), L298 (STMicroelectronics), TB6612FNG (Toshiba). Both
/// inputs of a bridge high would short its winding in all three bridges.
pub const COIL_DRIVERS: &[CoilDriver] = &[
    CoilDriver {
        name: "uln2003",
        wiring: CoilWiring::Unipolar,
        inputs: ["IN1", "IN2", "IN3", "IN4"],
        set: "nothing; the motor's plug goes into its socket",
    },
    CoilDriver {
        name: "l298n",
        wiring: CoilWiring::Bipolar,
        inputs: ["IN1", "IN2", "IN3", "IN4"],
        set: "jumpers on ENA and ENB; a winding on OUT1/OUT2, one on OUT3/OUT4",
    },
    CoilDriver {
        name: "drv8833",
        wiring: CoilWiring::Bipolar,
        inputs: ["AIN1", "AIN2", "BIN1", "BIN2"],
        set: "nSLEEP high; a winding on AOUT1/AOUT2, one on BOUT1/BOUT2",
    },
    CoilDriver {
        name: "tb6612",
        wiring: CoilWiring::Bipolar,
        inputs: ["AIN1", "AIN2", "BIN1", "BIN2"],
        set: "PWMA, PWMB, STBY high; a winding on AO1/AO2, one on BO1/BO2",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_name_boards_that_there_are() {
        for motor in MOTORS {
            assert!(CoilDriver::find(motor.driver).is_some(), "{}", motor.name);
            assert!(motor.gear_ratio().is_some() && motor.start_stop <= motor.fastest);
        }
        let gear = MotorPreset::find("28byj-48").unwrap().gear_ratio().unwrap();
        assert_eq!(gear, "25792/405".parse().unwrap());
        assert!((gear.to_f64() - 63.684).abs() < 1e-3);
        assert!(CoilDriver::find("uln2004").is_none() && MotorPreset::find("28byj").is_none());
    }
}
