//! A stepper whose steps a hardware PWM channel makes.

use std::time::Duration;

use super::super::{AxisConfig, MotorConfig};
use super::{Changed, Kind, Line, StepDirDrive, Wire};
use crate::board::PwmOutput;
use crate::config::{Port, SafeState};

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

impl Kind for PwmClockDrive {
    fn table(&self) -> &'static str {
        self.axis.table()
    }

    fn wires(&self) -> Vec<(&'static str, Wire)> {
        self.axis.wires()
    }

    fn outputs(&self) -> Vec<(&'static str, Port, SafeState)> {
        let mut all = self.axis.outputs();
        let step = PwmOutput::Gpio(self.axis.step);
        all[0] = ("step", Port::Pwm(step), SafeState::NoSignal);
        all
    }

    fn pwm(&self) -> Option<PwmOutput> {
        Some(PwmOutput::Gpio(self.axis.step))
    }

    fn lines(&self) -> Vec<Line> {
        self.axis.lines_with("STEP (PWM)")
    }

    fn identity(&self, motor: &MotorConfig) -> String {
        self.axis.identity(motor)
    }

    fn as_axis(&self, backlash: f64) -> Option<AxisConfig> {
        Some(self.axis.axis(backlash))
    }

    fn longest_period(&self) -> Duration {
        // Its last period, if it is in velocity mode, may be as long as this.
        Duration::from_secs(2)
    }

    fn told(&mut self, new: &dyn Kind) -> Option<Changed> {
        // What its clock can prove hangs on its limits.
        let same = new.as_step_dir().is_some() && new.pwm().is_some();
        same.then_some(Changed { travel: false, limits: false })
    }

    fn as_step_dir(&self) -> Option<&StepDirDrive> {
        Some(&self.axis)
    }
}
