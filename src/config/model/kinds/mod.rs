//! The kinds of drives, a file for each: what its config has, and what the rest of the program has to know of it, which
//! is [`Kind`].

mod coils;
mod pwm_clock;
mod servo;
mod step_dir;

use std::time::Duration;

use super::{AtStart, AxisConfig, MotorConfig};
use crate::board::PwmOutput;
use crate::config::{Port, SafeState};

pub use coils::{AtRest, CoilWiring, CoilsDrive, Sequence};
pub use pwm_clock::{ClockMode, PwmClockDrive};
pub use servo::{NEUTRAL, ServoDrive, ServoOutput, ServoStop, Startup};
pub use step_dir::{DriverTiming, LineConfig, ModePin, StepDirDrive};

/// How a motor is driven.
#[derive(Clone, PartialEq, Debug)]
pub enum Drive {
    /// A hobby servo on a PWM signal.
    Servo(ServoDrive),
    /// A stepper behind a STEP/DIR driver.
    StepDir(StepDirDrive),
    /// A stepper behind a STEP/DIR driver whose STEP is a hardware PWM channel.
    PwmClock(PwmClockDrive),
    /// A stepper whose coils are switched one by one.
    Coils(CoilsDrive),
}

/// A wire of a motor in a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wire {
    Step,
    Dir,
    Enable,
    Sleep,
    Reset,
    Mode(usize),
    Pulse,
    Coil(usize),
}

/// A pin of a motor's, for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    /// What it is for, as it stands on the driver.
    pub function: &'static str,
    pub gpio: u8,
    /// The level at which it is active, where it has one.
    pub active_low: Option<bool>,
}

/// What may differ in a config that a loop can be told, beside what its drive has taken over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Changed {
    pub travel: bool,
    pub limits: bool,
}

/// What the rest of the program has to know of a kind of drive. Beside these there is its reader (`config`), its loop and
/// how that is opened (`motor`, `roster`), what is proved of it (`verify`), and how it is tested (`selftest`).
pub(crate) trait Kind {
    /// What its table in a config is called: `servo` or `axis`.
    fn table(&self) -> &'static str;

    /// Its wires in a trace, in the order in which they are declared.
    fn wires(&self) -> Vec<(&'static str, Wire)>;

    /// Its outputs: what each is for, where it comes out, and the state in which it moves nothing.
    fn outputs(&self) -> Vec<(&'static str, Port, SafeState)>;

    /// The hardware PWM signal that it needs.
    fn pwm(&self) -> Option<PwmOutput>;

    /// The pins of an axis, in the order in which people wire them; of a servo see where its pulses come from.
    fn lines(&self) -> Vec<Line>;

    /// What its position depends on, as a text.
    fn identity(&self, motor: &MotorConfig) -> String;

    /// What it has as a stepper axis, with its play in its unit; `None` for a servo.
    fn as_axis(&self, _backlash: f64) -> Option<AxisConfig> {
        None
    }

    /// Whether it begins where it stood when the service ended.
    fn keeps_place(&self) -> bool {
        self.as_axis(0.0).is_some_and(|axis| axis.at_start == AtStart::Restored)
    }

    /// Whether it is let go when the program stops.
    fn releases_on_stop(&self) -> bool {
        self.as_axis(0.0).is_some_and(|axis| axis.releases_on_stop())
    }

    /// Whether its loop lets go of it by itself whenever it rests.
    fn releases_at_rest(&self) -> bool {
        self.as_coils().is_some_and(|coils| coils.at_rest == AtRest::Release)
    }

    /// How long a period of its signal, or what it does at its end, may take.
    fn longest_period(&self) -> Duration;

    /// Takes over from another config what its loop, or the machine alone, can be told while it is at rest. What else may
    /// differ; `None`: it is another kind.
    fn told(&mut self, new: &dyn Kind) -> Option<Changed>;

    /// Itself, where it is a servo.
    fn as_servo(&self) -> Option<&ServoDrive> {
        None
    }

    /// The lines and the driver of one behind a STEP/DIR driver, whatever clocks its steps.
    fn as_step_dir(&self) -> Option<&StepDirDrive> {
        None
    }

    /// Itself, where its coils are switched one by one.
    fn as_coils(&self) -> Option<&CoilsDrive> {
        None
    }
}

impl Drive {
    /// What there is to know of it.
    pub(crate) fn kind(&self) -> &dyn Kind {
        match self {
            Drive::Servo(drive) => drive,
            Drive::StepDir(drive) => drive,
            Drive::PwmClock(drive) => drive,
            Drive::Coils(drive) => drive,
        }
    }

    pub(crate) fn kind_mut(&mut self) -> &mut dyn Kind {
        match self {
            Drive::Servo(drive) => drive,
            Drive::StepDir(drive) => drive,
            Drive::PwmClock(drive) => drive,
            Drive::Coils(drive) => drive,
        }
    }

    /// The servo that it is; `None` for an axis.
    pub fn servo(&self) -> Option<&ServoDrive> {
        self.kind().as_servo()
    }

    /// The lines and the driver of an axis behind a STEP/DIR driver, whatever clocks its steps.
    pub fn step_dir(&self) -> Option<&StepDirDrive> {
        self.kind().as_step_dir()
    }

    /// The stepper whose coils are switched one by one that it is.
    pub fn coils(&self) -> Option<&CoilsDrive> {
        self.kind().as_coils()
    }

    /// Whether it turns at a rate and has no position.
    pub fn is_rate_only(&self) -> bool {
        matches!(self, Drive::PwmClock(PwmClockDrive { mode: ClockMode::Velocity, .. }))
    }
}
