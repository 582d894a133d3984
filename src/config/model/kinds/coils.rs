//! A stepper whose coils are switched one by one.

use std::time::Duration;

use super::super::{AtStart, AxisConfig, AxisStop, MotorConfig};
use super::{Changed, Kind, Line, Wire};
use crate::board::PwmOutput;
use crate::config::coil_motors::CoilDriver;
use crate::config::{Port, SafeState, Why};
use crate::units::Ratio;

/// A stepper whose coils are switched one by one.
#[derive(Clone, PartialEq, Debug)]
pub struct CoilsDrive {
    /// GPIOs of the board's four inputs, in the order of [`CoilDriver::inputs`](crate::config::coil_motors::CoilDriver).
    pub gpio: [u8; 4],
    /// In which order the coils are switched.
    pub sequence: Sequence,
    /// Which of the four inputs belong together.
    pub wiring: CoilWiring,
    /// The board's name as the config, or its motor's preset, gives it: `uln2003`.
    pub driver: String,
    /// The motor's name as the config gives it (`28byj-48`), if it does.
    pub motor: Option<String>,
    /// Full steps of the motor a revolution.
    pub steps_per_revolution: u32,
    /// Steps of the sequence a unit of travel.
    pub steps_per_unit: Ratio,
    /// Up to this speed, in units/s, it may start and stop at once without losing a step.
    pub start_stop_speed: f64,
    /// Whether a positive move goes through the sequence backwards.
    pub reverse: bool,
    /// Where the axis is when the machine starts.
    pub at_start: AtStart,
    /// What its coils do whenever it rests.
    pub at_rest: AtRest,
    /// What its coils do when the program stops.
    pub on_stop: AxisStop,
    /// The axis carries a load that would fall: its coils never let go.
    pub holds_load: bool,
    /// From power to the first step, and from the last step to letting go, at least: nanoseconds in
    /// which the rotor swings in.
    pub settle: u32,
}

/// In which order the coils of a stepper are switched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sequence {
    /// One coil at a time: four full steps.
    Wave,
    /// Two neighbours at a time: four full steps, with the most torque.
    Full,
    /// One and two in turn: eight half steps.
    Half,
}

impl Sequence {
    /// Steps of the sequence for each full step of the motor.
    pub fn per_full_step(self) -> u32 {
        match self {
            Sequence::Wave | Sequence::Full => 1,
            Sequence::Half => 2,
        }
    }

    /// Its name in a config.
    pub fn name(self) -> &'static str {
        match self {
            Sequence::Wave => "wave",
            Sequence::Full => "full",
            Sequence::Half => "half",
        }
    }
}

/// Which of the four inputs of a board for coils belong together, and must never be on both at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CoilWiring {
    /// An input for each of four half windings: the first and the third, the second and the fourth pull
    /// against each other.
    Unipolar,
    /// Two inputs for each of two H-bridges: the first two, the last two. Both on short the winding.
    Bipolar,
}

/// What the coils of an axis do whenever it rests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtRest {
    /// They hold.
    Hold,
    /// They let go, and take up the same phase again before the next move (never with `holds-load`).
    Release,
}

impl Kind for CoilsDrive {
    fn table(&self) -> &'static str {
        "axis"
    }

    fn wires(&self) -> Vec<(&'static str, Wire)> {
        let names = ["a", "b", "c", "d"].into_iter().enumerate();
        names.map(|(n, name)| (name, Wire::Coil(n))).collect()
    }

    fn outputs(&self) -> Vec<(&'static str, Port, SafeState)> {
        let safe = match self.holds_load {
            true => SafeState::Kept(Why::HoldsLoad),
            false => SafeState::Level(false),
        };
        let coil = |(name, gpio)| (name, Port::Gpio(gpio), safe);
        ["coil a", "coil b", "coil c", "coil d"].into_iter().zip(self.gpio).map(coil).collect()
    }

    fn pwm(&self) -> Option<PwmOutput> {
        None
    }

    fn lines(&self) -> Vec<Line> {
        let board = CoilDriver::find(&self.driver);
        let inputs = board.map_or(["A", "B", "C", "D"], |b| b.inputs);
        let line = |(function, gpio)| Line { function, gpio, active_low: None };
        inputs.into_iter().zip(self.gpio).map(line).collect()
    }

    fn identity(&self, motor: &MotorConfig) -> String {
        format!(
            "coils {} {:?} {:?} {:?} {} {:?}",
            motor.unit.symbol(),
            self.gpio,
            self.sequence,
            self.wiring,
            self.reverse,
            self.steps_per_unit
        )
    }

    fn as_axis(&self, backlash: f64) -> Option<AxisConfig> {
        Some(AxisConfig {
            steps_per_unit: self.steps_per_unit,
            start_stop_speed: self.start_stop_speed,
            reverse: self.reverse,
            at_start: self.at_start,
            on_stop: self.on_stop,
            holds_load: self.holds_load,
            wake: self.settle,
            backlash: self.steps_per_unit.scale(backlash).round() as i64,
        })
    }

    fn longest_period(&self) -> Duration {
        // It may let go of its coils first.
        Duration::from_nanos(u64::from(self.settle))
    }

    fn told(&mut self, new: &dyn Kind) -> Option<Changed> {
        let new = new.as_coils()?;
        self.at_start = new.at_start;
        self.on_stop = new.on_stop;
        self.start_stop_speed = new.start_stop_speed;
        Some(Changed { travel: true, limits: true })
    }

    fn as_coils(&self) -> Option<&CoilsDrive> {
        Some(self)
    }
}
