//! A config after every check: values in base units, names resolved, nothing left to doubt.
//!
//! Positions and speeds are in the motor's own unit: millimetres for a linear axis, degrees for a
//! rotary axis or a servo (see [`MotorUnit`]).

pub(crate) mod kinds;
mod program;

use std::time::Duration;

use crate::board::Model;
use crate::units::Ratio;

pub use kinds::*;
pub use program::*;

/// A place in a config file, for errors: byte offsets of the value it speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset behind the last byte.
    pub end: usize,
}

/// A checked config.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// `[machine]`.
    pub machine: MachineConfig,
    /// `[service]`.
    pub service: ServiceConfig,
    /// Every servo and axis, in the order of the file. At least one; names are unique.
    pub motors: Vec<MotorConfig>,
    /// Every program, in the order of the file.
    pub programs: Vec<ProgramConfig>,
    /// `[power]`, if there is one.
    pub power: Option<PowerConfig>,
}

impl Config {
    /// The motor of that name.
    pub fn motor(&self, name: &str) -> Option<&MotorConfig> {
        self.motors.iter().find(|m| m.name == name)
    }

    /// The index of the motor of that name in [`Config::motors`].
    pub fn motor_index(&self, name: &str) -> Option<usize> {
        self.motors.iter().position(|m| m.name == name)
    }

    /// The program of that name.
    pub fn program(&self, name: &str) -> Option<&ProgramConfig> {
        self.programs.iter().find(|p| p.name == name)
    }
}

/// `[machine]`.
#[derive(Clone, PartialEq, Debug)]
pub struct MachineConfig {
    /// The machine's name, for people.
    pub name: String,
    /// What `run` and `serve` start with.
    pub start_program: Option<String>,
    /// Beyond this lateness a move comes to rest. `None`: 1 ms on hardware, no limit on the simulator.
    pub max_lateness: Option<Duration>,
    /// The share of the time between two edges that a motor's loop may spin away to meet the next one,
    /// 0 to 1. It is the price in CPU of a small lateness: the whole of a core where it is 1.
    pub spin: f64,
    /// The board the file is written for, where it says so.
    pub board: Option<Model>,
    /// What the service does at its start after a power cut.
    pub after_power_cut: AfterPowerCut,
}

/// What the service does at its start where the machine went down while it ran: a power cut, or a reset.
/// After a crash of the service itself it always waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AfterPowerCut {
    /// Nothing moves until `clear`.
    #[default]
    Wait,
    /// The start-up moves and the start program begin.
    Start,
}

/// `[service]`: what only the service heeds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServiceConfig {
    /// The group that may use the control socket, by its name or its number. `None`: the service's own.
    pub group: Option<String>,
}

/// `[power]`: what the motors' supply can give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PowerConfig {
    /// Milliamperes.
    pub budget: u32,
    /// The least time between two starts that need not be at the same time; zero: none.
    pub stagger: Duration,
}

/// What a motor does when the lease that held it is lost.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub enum LostLease {
    /// It comes to rest, and what was left of its move is dropped.
    #[default]
    Stop,
    /// It comes to rest on its path and can be resumed.
    Hold,
    /// It comes to rest and then goes to this place, in its unit.
    Park(f64),
}

/// The unit of a motor's positions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MotorUnit {
    /// Millimetres.
    Millimetre,
    /// Degrees.
    Degree,
    /// Percent of full speed: of a servo that turns continuously. It has a speed and no position.
    Percent,
}

impl MotorUnit {
    /// `mm`, `deg` or `%`.
    pub fn symbol(self) -> &'static str {
        match self {
            MotorUnit::Millimetre => "mm",
            MotorUnit::Degree => "deg",
            MotorUnit::Percent => "%",
        }
    }

    /// The unit of its speeds: `mm/s`, `deg/s` or `%`.
    pub fn speed(self) -> &'static str {
        match self {
            MotorUnit::Millimetre => "mm/s",
            MotorUnit::Degree => "deg/s",
            MotorUnit::Percent => "%",
        }
    }

    /// The unit of its accelerations: `mm/s^2`, `deg/s^2` or `%/s`.
    pub fn acceleration(self) -> &'static str {
        match self {
            MotorUnit::Millimetre => "mm/s^2",
            MotorUnit::Degree => "deg/s^2",
            MotorUnit::Percent => "%/s",
        }
    }

    /// The unit of its jerks: `mm/s^3`, `deg/s^3` or `%/s^2`.
    pub fn jerk(self) -> &'static str {
        match self {
            MotorUnit::Millimetre => "mm/s^3",
            MotorUnit::Degree => "deg/s^3",
            MotorUnit::Percent => "%/s^2",
        }
    }
}

/// Limits of a motor's motion in its own unit: units/s, units/s², units/s³, all above zero. Of a servo that turns
/// continuously: %, %/s, %/s².
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MotionLimits {
    /// Top speed.
    pub speed: f64,
    /// Largest acceleration.
    pub acceleration: f64,
    /// Largest jerk.
    pub jerk: f64,
}

/// Positions that a motor may take, in its own unit; infinite where unlimited.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Travel {
    /// Lowest position.
    pub min: f64,
    /// Highest position.
    pub max: f64,
}

impl Travel {
    /// Whether `position` lies inside, the ends included.
    pub fn contains(&self, position: f64) -> bool {
        (self.min..=self.max).contains(&position)
    }
}

/// One motor: `[servo.NAME]` or `[axis.NAME]`.
#[derive(Clone, PartialEq, Debug)]
pub struct MotorConfig {
    /// The name behind `servo.` or `axis.`: letters, digits, `-` and `_`.
    pub name: String,
    /// The unit of its positions.
    pub unit: MotorUnit,
    /// Its travel.
    pub travel: Travel,
    /// Its limits.
    pub limits: MotionLimits,
    /// The play of an axis, in its unit, which a move that turns takes up before it begins; 0 for a
    /// servo.
    pub backlash: f64,
    /// It lets go once it has been at rest for this long; `None`: never by itself. Never with a load. (A servo that
    /// turns continuously always does, [`NEUTRAL`] after it has come to rest.)
    pub release_after: Option<Duration>,
    /// What it draws while it is on, in milliamperes; 0 where there is no power budget.
    pub current: u32,
    /// What it does when the lease that held it is lost.
    pub on_lost_lease: LostLease,
    /// Where its table stands in the file.
    pub span: Span,
    /// How it is driven.
    pub drive: Drive,
}

impl MotorConfig {
    /// What it has as a stepper axis, whatever drives it; `None` for a servo.
    pub fn axis(&self) -> Option<AxisConfig> {
        self.drive.kind().as_axis(self.backlash)
    }

    /// Whether it is a servo, of whatever kind.
    pub fn is_servo(&self) -> bool {
        self.drive.servo().is_some()
    }

    /// What its table in a config is called: `servo` or `axis`.
    pub fn table(&self) -> &'static str {
        self.drive.kind().table()
    }

    /// Whether it is a servo that turns continuously: it has speeds, and no positions.
    pub fn is_continuous(&self) -> bool {
        self.drive.servo().is_some_and(|servo| servo.continuous)
    }

    /// Whether it begins where it stood when the service ended: an axis with `at-start = "restored"`, a
    /// servo with `startup = "last"`.
    pub fn keeps_place(&self) -> bool {
        self.drive.kind().keeps_place()
    }

    /// What its position depends on, as a text: two configs in which that is equal mean the same place
    /// by the same count of steps, or by the same angle. Only this release makes the same text.
    pub fn identity(&self) -> String {
        self.drive.kind().identity(self)
    }
}

/// Where an axis is when the machine starts.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum AtStart {
    /// Nobody knows.
    Unknown,
    /// The person says it is there, in the axis' unit; reported as assumed.
    Assume(f64),
    /// Where it stood when the service last ended cleanly; after any other end nobody knows.
    Restored,
}

/// What an axis' enable line does when the program stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AxisStop {
    /// Stays as it is.
    Keep,
    /// Goes inactive (never with `holds-load`).
    Release,
}

/// What every stepper axis has, whatever drives it: see [`MotorConfig::axis`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AxisConfig {
    /// Steps (of the drive: microsteps, or changes of the coils) a unit of travel.
    pub steps_per_unit: Ratio,
    /// Up to this speed, in units/s, it may start and stop at once without losing a step.
    pub start_stop_speed: f64,
    /// Whether a positive move turns the motor the other way.
    pub reverse: bool,
    /// Where the axis is when the machine starts.
    pub at_start: AtStart,
    /// Whether its motor keeps its power when the program stops.
    pub on_stop: AxisStop,
    /// The axis carries a load that would fall: its motor is never released.
    pub holds_load: bool,
    /// From power to the first step, nanoseconds.
    pub wake: u32,
    /// Its play in steps, 0 or more.
    pub backlash: i64,
}

impl AxisConfig {
    /// Whether the motor is let go when the program stops: never with a load.
    pub fn releases_on_stop(&self) -> bool {
        self.on_stop == AxisStop::Release && !self.holds_load
    }
}
