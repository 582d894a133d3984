//! What drives a motor, and how: outputs, lines, times.

use std::time::Duration;

use crate::board::{PwmOutput, PwmTiming};
use crate::units::{PulseWidth, Ratio};

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

impl Drive {
    /// The lines and the driver of an axis behind a STEP/DIR driver, whatever clocks its steps.
    pub fn step_dir(&self) -> Option<&StepDirDrive> {
        match self {
            Drive::StepDir(axis) | Drive::PwmClock(PwmClockDrive { axis, .. }) => Some(axis),
            Drive::Servo(_) | Drive::Coils(_) => None,
        }
    }

    /// Whether it turns at a rate and has no position.
    pub fn is_rate_only(&self) -> bool {
        matches!(self, Drive::PwmClock(PwmClockDrive { mode: ClockMode::Velocity, .. }))
    }
}

/// How long a servo that turns continuously gets neutral pulses, once it is at rest, before its signal ends.
pub const NEUTRAL: Duration = Duration::from_millis(200);

/// A hobby servo.
#[derive(Clone, PartialEq, Debug)]
pub struct ServoDrive {
    /// Where its pulses come from.
    pub output: ServoOutput,
    /// The time from one pulse to the next, whole nanoseconds: what the chip makes of the `frequency`
    /// that the config asks for.
    pub period: Duration,
    /// Shortest pulse it may get.
    pub pulse_min: PulseWidth,
    /// Longest pulse it may get.
    pub pulse_max: PulseWidth,
    /// Angle (degrees) at `pulse_min` (at `pulse_max` if `reverse`). The motor's travel is the range
    /// between the two angles. Of one that turns continuously the speed there, -100 %.
    pub angle_min: f64,
    /// Angle (degrees) at `pulse_max` (at `pulse_min` if `reverse`). Of one that turns continuously the speed there,
    /// 100 %.
    pub angle_max: f64,
    /// Added to every pulse, the two ends included, in nanoseconds.
    pub trim_ns: i32,
    /// Whether the longer pulse is the smaller angle.
    pub reverse: bool,
    /// A pulse that would change by less than this, in nanoseconds, does not, unless it is the last of a
    /// move.
    pub dead_band: u32,
    /// It turns: a pulse stands for a speed, and not for an angle. At rest it gets neutral pulses for [`NEUTRAL`], then
    /// none.
    pub continuous: bool,
    /// What it does when the machine starts.
    pub startup: Startup,
    /// What it does on a stop.
    pub on_stop: ServoStop,
}

impl ServoDrive {
    /// The PWM signal that it needs; `None` where its own loop times the pulses.
    pub fn pwm(&self) -> Option<&PwmOutput> {
        match &self.output {
            ServoOutput::Pwm { output, .. } => Some(output),
            ServoOutput::Soft { .. } => None,
        }
    }

    /// How the chip's times relate to those asked of it.
    pub fn timing(&self) -> PwmTiming {
        match self.output {
            ServoOutput::Pwm { timing, .. } => timing,
            ServoOutput::Soft { .. } => PwmTiming::EXACT,
        }
    }

    /// The step in which its pulses go, in nanoseconds: 1 unless the chip counts in coarser ones.
    pub fn grain(&self) -> f64 {
        let timing = self.timing();
        if timing.is_coarse() { timing.step() } else { 1.0 }
    }

    /// The pulse at which one that turns continuously stands still: the middle of its range, trimmed, in the steps of its
    /// chip.
    pub fn neutral(&self) -> PulseWidth {
        let (min, max) = self.pulse_range();
        let middle = (f64::from(min.as_nanos()) + f64::from(max.as_nanos())) / 2.0;
        PulseWidth::nearest(middle, self.grain(), min, max)
    }

    /// Its shortest and its longest pulse, trimmed.
    pub fn pulse_range(&self) -> (PulseWidth, PulseWidth) {
        let trimmed = |width: PulseWidth| {
            PulseWidth::from_nanos(width.as_nanos().saturating_add_signed(self.trim_ns))
        };
        (trimmed(self.pulse_min), trimmed(self.pulse_max))
    }
}

/// Where a servo's pulses come from.
#[derive(Clone, PartialEq, Debug)]
pub enum ServoOutput {
    /// `pwm = { ... }`: a PWM chip.
    Pwm {
        /// The pin, or the channel.
        output: PwmOutput,
        /// How the chip's times relate to those asked of it.
        timing: PwmTiming,
    },
    /// `soft-pwm = { gpio = 23 }`: the servo's own loop, by setting a pin high and low.
    Soft {
        /// The GPIO number of the signal.
        gpio: u8,
        /// Whether it may run without real-time scheduling.
        allow_jitter: bool,
    },
}

/// What a servo does when the machine starts.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Startup {
    /// No signal before its first move.
    Off,
    /// Goes to the middle of its travel.
    Centre,
    /// Goes to an angle in degrees.
    Angle(f64),
    /// Goes to where it stood when the service last ended cleanly; after any other end no signal.
    Last,
}

/// What a servo does on a stop. When the program ends, its signal always ends with it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum ServoStop {
    /// Goes on holding where it stopped.
    Keep,
    /// Ends its signal: the servo goes limp.
    Release,
    /// Goes to an angle in degrees, then ends its signal when the program ends.
    Park(f64),
}

/// A stepper behind a STEP/DIR driver on GPIO lines.
#[derive(Clone, PartialEq, Debug)]
pub struct StepDirDrive {
    /// GPIO of STEP.
    pub step: u8,
    /// GPIO of DIR.
    pub dir: u8,
    /// The driver's enable line; axes may share it.
    pub enable: Option<LineConfig>,
    /// The driver's fault line, an input.
    pub fault: Option<LineConfig>,
    /// The driver's microstep pins, where the program sets them; else they are strapped.
    pub mode: Vec<ModePin>,
    /// The driver's sleep line: asleep when active. It is left before the first step.
    pub sleep: Option<LineConfig>,
    /// The driver's reset line, which is kept inactive.
    pub reset: Option<LineConfig>,
    /// The driver's timing.
    pub timing: DriverTiming,
    /// The preset's name as the config gives it (`drv8825`), if it does.
    pub driver: Option<String>,
    /// Full steps of the motor a revolution.
    pub steps_per_revolution: u32,
    /// Microsteps a full step.
    pub microsteps: u32,
    /// (Micro)steps a unit of travel.
    pub steps_per_unit: Ratio,
    /// The speed from which the motor may be stopped dead, and to which it may be started, without
    /// losing a step; in the axis' unit a second.
    pub start_stop_speed: f64,
    /// Whether a positive move has DIR low instead of high.
    pub reverse: bool,
    /// Where the axis is when the machine starts.
    pub at_start: AtStart,
    /// What its enable line does when the program stops.
    pub on_stop: AxisStop,
    /// The axis carries a load that would fall: its driver is never released.
    pub holds_load: bool,
}

/// A stepper whose step clock is a hardware PWM channel.
#[derive(Clone, PartialEq, Debug)]
pub struct PwmClockDrive {
    /// All that it has in common with others; its `step` is the PWM channel's GPIO.
    pub axis: StepDirDrive,
    /// Whether its pulses are counted.
    pub mode: ClockMode,
    /// How far the PWM clock's rate may be off, in parts per thousand million.
    pub tolerance_ppb: u32,
    /// What its rate may change by at once, in steps/s: at least what two steps from rest bring it to.
    pub jump: f64,
}

/// What an axis on a PWM step clock promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClockMode {
    /// A position: its pulses come in bursts whose count is proved.
    Position,
    /// A rate, and no position.
    Velocity,
}

/// A stepper whose coils are switched one by one.
#[derive(Clone, PartialEq, Debug)]
pub struct CoilsDrive {
    /// GPIOs of the board's four inputs, in the order of [`CoilDriver::inputs`](super::super::coil_motors::CoilDriver).
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

/// A microstep pin of a driver, and the level it has for the axis' microsteps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ModePin {
    /// GPIO number.
    pub gpio: u8,
    /// The driver's name for it: `M0`.
    pub name: &'static str,
    /// Whether it is high.
    pub high: bool,
}

/// A control line of a driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LineConfig {
    /// GPIO number.
    pub gpio: u8,
    /// Whether the line is active when low.
    pub active_low: bool,
}

/// Times that a STEP/DIR driver asks for, in nanoseconds, from its data sheet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DriverTiming {
    /// STEP high, at least.
    pub step_high: u32,
    /// STEP low, at least.
    pub step_low: u32,
    /// DIR stable before STEP rises.
    pub dir_setup: u32,
    /// DIR stable after STEP falls.
    pub dir_hold: u32,
    /// From enable to the first step.
    pub wake: u32,
}

impl DriverTiming {
    /// The fastest step rate that the pulse and its gap allow, in steps a second.
    pub fn max_step_rate(&self) -> f64 {
        1e9 / (f64::from(self.step_high) + f64::from(self.step_low))
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
