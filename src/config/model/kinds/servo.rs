//! A hobby servo.

use std::time::Duration;

use super::super::MotorConfig;
use super::{Changed, Kind, Line, Wire};
use crate::board::{PwmOutput, PwmTiming};
use crate::config::{Port, SafeState};
use crate::units::PulseWidth;

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

impl Kind for ServoDrive {
    fn table(&self) -> &'static str {
        "servo"
    }

    fn wires(&self) -> Vec<(&'static str, Wire)> {
        vec![("pulse", Wire::Pulse)]
    }

    fn outputs(&self) -> Vec<(&'static str, Port, SafeState)> {
        vec![match &self.output {
            ServoOutput::Pwm { output, .. } => {
                ("pulse", Port::Pwm(output.clone()), SafeState::NoSignal)
            }
            // Its loop is gone, and with it the signal: what is left is a level.
            ServoOutput::Soft { gpio, .. } => ("pulse", Port::Gpio(*gpio), SafeState::Level(false)),
        }]
    }

    fn pwm(&self) -> Option<PwmOutput> {
        ServoDrive::pwm(self).cloned()
    }

    fn lines(&self) -> Vec<Line> {
        Vec::new()
    }

    fn identity(&self, _: &MotorConfig) -> String {
        let (pulses, trim) = ((self.pulse_min, self.pulse_max), self.trim_ns);
        let angles = (self.angle_min, self.angle_max);
        let turns = if self.continuous { " continuous" } else { "" };
        format!("servo {:?} {pulses:?} {angles:?} {trim} {}{turns}", self.output, self.reverse)
    }

    fn keeps_place(&self) -> bool {
        self.startup == Startup::Last
    }

    fn releases_on_stop(&self) -> bool {
        self.on_stop == ServoStop::Release
    }

    fn longest_period(&self) -> Duration {
        self.period
    }

    fn told(&mut self, new: &dyn Kind) -> Option<Changed> {
        let new = new.as_servo()?;
        (self.startup, self.on_stop) = (new.startup, new.on_stop);
        Some(Changed { travel: false, limits: true })
    }

    fn as_servo(&self) -> Option<&ServoDrive> {
        Some(self)
    }
}
