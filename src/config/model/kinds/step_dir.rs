//! A stepper behind a STEP/DIR driver.

use std::time::Duration;

use super::super::{AtStart, AxisConfig, AxisStop, MotorConfig};
use super::{Changed, Kind, Line, Wire};
use crate::board::PwmOutput;
use crate::config::{Port, SafeState, Why};
use crate::units::Ratio;

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

/// The names of microstep pins in a trace.
const MODE_WIRES: [&str; 3] = ["mode0", "mode1", "mode2"];

impl StepDirDrive {
    /// What it has as an axis, `backlash` in its unit.
    pub(super) fn axis(&self, backlash: f64) -> AxisConfig {
        AxisConfig {
            steps_per_unit: self.steps_per_unit,
            start_stop_speed: self.start_stop_speed,
            reverse: self.reverse,
            at_start: self.at_start,
            on_stop: self.on_stop,
            holds_load: self.holds_load,
            wake: self.timing.wake,
            backlash: self.steps_per_unit.scale(backlash).round() as i64,
        }
    }

    /// Its pins, STEP under that name.
    pub(super) fn lines_with(&self, step: &'static str) -> Vec<Line> {
        let plain = |function, gpio| Line { function, gpio, active_low: None };
        let mut all = vec![plain(step, self.step), plain("DIR", self.dir)];
        all.extend(self.mode.iter().map(|pin| plain(pin.name, pin.gpio)));
        let of_driver = [
            ("ENABLE", self.enable),
            ("FAULT", self.fault),
            ("SLEEP", self.sleep),
            ("RESET", self.reset),
        ];
        for (function, line) in of_driver {
            all.extend(line.map(|line| Line {
                function,
                gpio: line.gpio,
                active_low: Some(line.active_low),
            }));
        }
        all
    }
}

impl Kind for StepDirDrive {
    fn table(&self) -> &'static str {
        "axis"
    }

    fn wires(&self) -> Vec<(&'static str, Wire)> {
        let mut all = vec![("step", Wire::Step), ("dir", Wire::Dir)];
        all.extend(self.enable.map(|_| ("enable", Wire::Enable)));
        all.extend(self.sleep.map(|_| ("sleep", Wire::Sleep)));
        all.extend(self.reset.map(|_| ("reset", Wire::Reset)));
        let modes = self.mode.iter().zip(MODE_WIRES).enumerate();
        all.extend(modes.map(|(n, (_, name))| (name, Wire::Mode(n))));
        all
    }

    fn outputs(&self) -> Vec<(&'static str, Port, SafeState)> {
        let mut all = vec![
            ("step", Port::Gpio(self.step), SafeState::Level(false)),
            ("dir", Port::Gpio(self.dir), SafeState::Kept(Why::Harmless)),
        ];
        all.extend(self.enable.map(|line| enable(line, self.holds_load)));
        all.extend(self.sleep.map(|line| {
            let asleep = LineConfig { active_low: !line.active_low, ..line };
            let (_, port, safe) = enable(asleep, self.holds_load);
            ("sleep", port, safe)
        }));
        // A driver that stays out of its reset holds what it holds.
        let reset = self.reset.iter().map(|line| ("reset", line.gpio));
        let mode = self.mode.iter().map(|pin| ("mode", pin.gpio));
        let kept = |(name, gpio)| (name, Port::Gpio(gpio), SafeState::Kept(Why::Harmless));
        all.extend(reset.chain(mode).map(kept));
        all
    }

    fn pwm(&self) -> Option<PwmOutput> {
        None
    }

    fn lines(&self) -> Vec<Line> {
        self.lines_with("STEP")
    }

    fn identity(&self, motor: &MotorConfig) -> String {
        format!(
            "axis {} {} {} {} {} {} {:?} {:?} {:?} {:?} {:?}",
            motor.unit.symbol(),
            self.step,
            self.dir,
            self.reverse,
            self.microsteps,
            self.steps_per_revolution,
            self.steps_per_unit,
            self.enable,
            self.mode,
            self.sleep,
            self.reset
        )
    }

    fn as_axis(&self, backlash: f64) -> Option<AxisConfig> {
        Some(self.axis(backlash))
    }

    fn longest_period(&self) -> Duration {
        Duration::ZERO
    }

    fn told(&mut self, new: &dyn Kind) -> Option<Changed> {
        // A PWM clock has these lines, too, and is another kind.
        let new = new.as_step_dir().filter(|_| new.pwm().is_none())?;
        self.at_start = new.at_start;
        self.on_stop = new.on_stop;
        self.start_stop_speed = new.start_stop_speed;
        Some(Changed { travel: true, limits: true })
    }

    fn as_step_dir(&self) -> Option<&StepDirDrive> {
        Some(self)
    }
}

/// A driver's enable line: inactive, unless the motor holds a load with it.
fn enable(line: LineConfig, holds_load: bool) -> (&'static str, Port, SafeState) {
    let safe = match holds_load {
        true => SafeState::Kept(Why::HoldsLoad),
        false => SafeState::Level(line.active_low),
    };
    ("enable", Port::Gpio(line.gpio), safe)
}
