//! Drives each output of a config through its range and looks at its pin while it does: does what was
//! asked for come out?
//!
//! A pin's level is read through the same block of registers that drives it, so no instrument is
//! needed. What lies behind the pin, wires and drivers and motors, is not seen.

mod drive;
mod measure;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::board::PwmOutput;
use crate::config::{
    Config, Drive, LineConfig, MotorConfig, Port, ServoDrive, ServoOutput, StepDirDrive,
};
use crate::hal::{Backend, HalError, Level, OutputLine, OutputStart};
use crate::sync::StopEvent;
use crate::units::PulseWidth;
use drive::Hand;
use measure::Pulses;

pub use measure::Spread;

/// Pulses of a servo that are looked at, for each width.
const SERVO_PULSES: u64 = 20;
/// Steps at a walk, and at the axis' top speed.
const SLOW_STEPS: u64 = 100;
const FAST_STEPS: u64 = 1000;
/// From step to step at a walk.
const SLOW: Duration = Duration::from_millis(1);
/// Changes there and back of a line that has no timing of its own, and how long each level stays.
const CHANGES: u64 = 10;
const STAYS: Duration = Duration::from_millis(1);
/// What a period or a width may be off: a hundredth, and what looking costs. Old kernels of the Pi 4
/// are off by 7 %; a servo notices 5 us.
const SHARE: u32 = 100;
const LOOKING: Duration = Duration::from_micros(5);

/// What was asked of an output, or what is compared with it. A line that was only changed there and
/// back has neither period nor width.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    /// From pulse to pulse.
    pub period: Option<Duration>,
    /// How long each was to be; for a step pulse, at least.
    pub width: Option<Duration>,
    /// How many.
    pub count: u64,
}

/// What the pin showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// From pulse to pulse.
    pub period: Option<Spread>,
    /// How long they were.
    pub width: Option<Spread>,
    /// How many.
    pub count: u64,
}

/// What came of one test of one output.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// The motors that need the output.
    pub motor: String,
    /// What it is for, as [`Output::function`](crate::config::Output::function); empty where a whole
    /// motor is meant.
    pub function: &'static str,
    /// Where it comes out; `None` where a whole motor is meant.
    pub port: Option<Port>,
    /// What came of it.
    pub result: Result<Tested, HalError>,
}

/// How a test went.
#[derive(Clone, PartialEq, Debug)]
pub enum Tested {
    /// It was measured.
    Measured {
        /// What was asked for.
        asked: Asked,
        /// What was seen.
        seen: Seen,
        /// What is off, in words; empty where nothing is.
        off: Vec<String>,
    },
    /// It was not tested, and why.
    Not(String),
}

impl Finding {
    /// Whether it was measured and something is off.
    pub fn is_off(&self) -> bool {
        matches!(&self.result, Ok(Tested::Measured { off, .. }) if !off.is_empty())
    }
}

/// Tests every output of `config` on `backend`, motor by motor; `told` hears of each finding at once.
/// Enable lines are inactive but for their own test. An axis that holds a load is not tested. A stop
/// ends it early, with nothing left on.
pub fn selftest(
    config: &Config,
    backend: &mut dyn Backend,
    stop: &StopEvent,
    told: &mut dyn FnMut(&Finding),
) -> Vec<Finding> {
    let hand = Hand { clock: backend.clock(), stop };
    let mut test = Test { backend, hand, told, findings: Vec::new() };
    test.all(config);
    test.findings
}

struct Test<'a> {
    backend: &'a mut dyn Backend,
    hand: Hand<'a>,
    told: &'a mut dyn FnMut(&Finding),
    findings: Vec<Finding>,
}

impl Test<'_> {
    fn all(&mut self, config: &Config) {
        let mut motors = Vec::new();
        for motor in &config.motors {
            match why_not(config, motor) {
                None => motors.push(motor),
                Some(why) => {
                    self.tell(&motor.name, "", None, Ok(Tested::Not(why)));
                }
            }
        }
        let channels: Vec<PwmOutput> = motors.iter().filter_map(|m| pwm_of(m)).collect();
        if let Err(error) = self.backend.prepare_pwm(&channels) {
            // Each of them says so again, by its own name, when it is opened.
            log::debug!("{error}");
        }
        // No driver has power while anything else is tested.
        let mut enables = self.open_enables(&motors);
        for motor in motors {
            if self.hand.stop.is_set() {
                return;
            }
            match &motor.drive {
                Drive::Servo(servo) => self.servo(motor, servo),
                Drive::StepDir(axis) => self.axis(motor, axis),
                Drive::PwmClock(clock) => {
                    let axis = &clock.axis;
                    let width = PulseWidth::from_nanos(axis.timing.step_high);
                    let signals = step_rates(motor, axis).map(|(p, n)| (p, width, n));
                    self.signals(motor, "step", &PwmOutput::Gpio(axis.step), &signals);
                    self.changes(&motor.name, "dir", axis.dir, Level::High);
                }
                Drive::Coils(axis) => {
                    for (name, gpio) in
                        ["coil a", "coil b", "coil c", "coil d"].into_iter().zip(axis.gpio)
                    {
                        self.changes(&motor.name, name, gpio, Level::High);
                    }
                }
            }
        }
        for (gpio, (names, line, active)) in &mut enables {
            let seen = self.hand.pulses(line, *active, [STAYS * 2, STAYS], CHANGES);
            let asked = Asked { period: None, width: None, count: CHANGES };
            let result = seen.map(|pulses| judge(asked, Some(&pulses), false));
            self.tell(&names.join(", "), "enable", Some(Port::Gpio(*gpio)), result);
        }
    }

    fn open_enables(&mut self, motors: &[&MotorConfig]) -> Enables {
        let mut all: Enables = BTreeMap::new();
        for motor in motors {
            let Some(LineConfig { gpio, active_low }) = enable_of(motor) else { continue };
            if let Some((names, ..)) = all.get_mut(&gpio) {
                names.push(motor.name.clone());
                continue;
            }
            let active = Level::from_bool(!active_low);
            let start = OutputStart::Level(active.opposite());
            match self.backend.open_output(gpio, start, &format!("{}'s enable line", motor.name)) {
                Ok(line) => {
                    all.insert(gpio, (vec![motor.name.clone()], line, active));
                }
                Err(error) => {
                    self.tell(&motor.name, "enable", Some(Port::Gpio(gpio)), Err(error));
                }
            }
        }
        all
    }

    fn servo(&mut self, motor: &MotorConfig, servo: &ServoDrive) {
        let middle = (servo.pulse_min.as_nanos() + servo.pulse_max.as_nanos()) / 2;
        let widths = [servo.pulse_min, PulseWidth::from_nanos(middle), servo.pulse_max];
        // One that turns would run at full speed: it stands still, at its neutral pulse alone.
        let neutral = [servo.neutral()];
        let widths = if servo.continuous { &neutral[..] } else { &widths[..] };
        match &servo.output {
            ServoOutput::Pwm { output, .. } => {
                let all = widths.iter().map(|&width| (servo.period, width, SERVO_PULSES));
                self.signals(motor, "pulse", output, &all.collect::<Vec<_>>());
            }
            &ServoOutput::Soft { gpio, .. } => {
                let wide = |width: &PulseWidth| Duration::from_nanos(width.as_nanos().into());
                let all = widths.iter().map(|width| ([servo.period, wide(width)], SERVO_PULSES));
                self.trains(motor, "pulse", gpio, &all.collect::<Vec<_>>());
            }
        }
    }

    fn axis(&mut self, motor: &MotorConfig, axis: &StepDirDrive) {
        let width = Duration::from_nanos(axis.timing.step_high.into());
        let trains = step_rates(motor, axis).map(|(period, count)| ([period, width], count));
        self.trains(motor, "step", axis.step, &trains);
        self.changes(&motor.name, "dir", axis.dir, Level::High);
    }

    /// Signals of a PWM channel, one after another.
    fn signals(
        &mut self,
        motor: &MotorConfig,
        function: &'static str,
        output: &PwmOutput,
        signals: &[(Duration, PulseWidth, u64)],
    ) {
        let port = Some(Port::Pwm(output.clone()));
        let mut channel = match self.backend.open_pwm(output, &motor.name) {
            Ok(channel) => channel,
            Err(error) => return self.tell(&motor.name, function, port, Err(error)),
        };
        for &(period, width, count) in signals {
            if self.hand.stop.is_set() {
                return;
            }
            let seen = self.hand.signal(&mut *channel, period, width, count);
            let wide = Duration::from_nanos(width.as_nanos().into());
            let asked = Asked { period: Some(period), width: Some(wide), count };
            let result = seen.map(|pulses| judge(asked, pulses.as_ref(), true));
            let failed = result.is_err();
            self.tell(&motor.name, function, port.clone(), result);
            if failed {
                return;
            }
        }
    }

    /// Pulses that this program times itself.
    fn trains(
        &mut self,
        motor: &MotorConfig,
        function: &'static str,
        gpio: u8,
        trains: &[([Duration; 2], u64)],
    ) {
        let start = OutputStart::Level(Level::Low);
        let who = format!("{}'s {function} line", motor.name);
        let mut line = match self.backend.open_output(gpio, start, &who) {
            Ok(line) => line,
            Err(error) => {
                return self.tell(&motor.name, function, Some(Port::Gpio(gpio)), Err(error));
            }
        };
        for &([period, width], count) in trains {
            let seen = self.hand.pulses(&mut line, Level::High, [period, width], count);
            let asked = Asked { period: Some(period), width: Some(width), count };
            let result = seen.map(|pulses| judge(asked, Some(&pulses), false));
            self.tell(&motor.name, function, Some(Port::Gpio(gpio)), result);
        }
    }

    /// A line that is changed there and back a few times.
    fn changes(&mut self, motor: &str, function: &'static str, gpio: u8, active: Level) {
        let start = OutputStart::Level(active.opposite());
        let line = self.backend.open_output(gpio, start, &format!("{motor}'s {function} line"));
        let seen = line
            .and_then(|mut line| self.hand.pulses(&mut line, active, [STAYS * 2, STAYS], CHANGES));
        let asked = Asked { period: None, width: None, count: CHANGES };
        let result = seen.map(|pulses| judge(asked, Some(&pulses), false));
        self.tell(motor, function, Some(Port::Gpio(gpio)), result);
    }

    fn tell(
        &mut self,
        motor: &str,
        function: &'static str,
        port: Option<Port>,
        result: Result<Tested, HalError>,
    ) {
        // What a stop has cut short says nothing.
        if self.hand.stop.is_set() && result.is_ok() {
            return;
        }
        let finding = Finding { motor: motor.to_owned(), function, port, result };
        (self.told)(&finding);
        self.findings.push(finding);
    }
}

/// Enable lines by their pin: who needs each, and at which level it is active.
type Enables = BTreeMap<u8, (Vec<String>, Box<dyn OutputLine>, Level)>;

fn enable_of(motor: &MotorConfig) -> Option<LineConfig> {
    motor.drive.step_dir().and_then(|axis| axis.enable)
}

fn pwm_of(motor: &MotorConfig) -> Option<PwmOutput> {
    motor.drive.kind().pwm()
}

/// How often STEP is to come, slowly and at the top speed, and how many times.
fn step_rates(motor: &MotorConfig, axis: &StepDirDrive) -> [(Duration, u64); 2] {
    let fastest = axis.steps_per_unit.scale(motor.limits.speed);
    let fast = Duration::from_secs_f64(1.0 / fastest);
    [(SLOW.max(fast), SLOW_STEPS), (fast, FAST_STEPS)]
}

/// Why a motor must not be tested.
fn why_not(config: &Config, motor: &MotorConfig) -> Option<String> {
    let holds = |m: &MotorConfig| m.axis().is_some_and(|axis| axis.holds_load);
    if holds(motor) {
        return Some(
            "it holds a load: without the motors' supply, or with its driver switched off and on, the \
             load would fall"
                .to_owned(),
        );
    }
    let line = enable_of(motor)?.gpio;
    let shares = |m: &&MotorConfig| holds(m) && enable_of(m).is_some_and(|l| l.gpio == line);
    let other = config.motors.iter().find(shares)?;
    Some(format!("it shares its enable line, GPIO{line}, with {}, which holds a load", other.name))
}

/// Compares what was seen with what was asked for. Widths of a `signal` are to be exact; those that a
/// program times are never to be too short.
fn judge(asked: Asked, pulses: Option<&Pulses>, signal: bool) -> Tested {
    let Some(pulses) = pulses else {
        return Tested::Not("no pin of the header shows its level".to_owned());
    };
    let seen = Seen { period: pulses.periods(), width: pulses.widths(), count: pulses.count() };
    let mut off = Vec::new();
    if seen.count != asked.count {
        off.push(match seen.count {
            0 => "no pulse was seen at the pin".to_owned(),
            n => format!("{n} of {} pulses were seen at the pin", asked.count),
        });
    }
    let near = |seen: Duration, asked: Duration| seen.abs_diff(asked) <= asked / SHARE + LOOKING;
    let mut compare = |what: &str, seen: Option<Duration>, asked: Option<Duration>| {
        let (Some(seen), Some(asked)) = (seen, asked) else { return };
        if !near(seen, asked) {
            let percent = (seen.as_secs_f64() / asked.as_secs_f64() - 1.0) * 100.0;
            let us = |t: Duration| t.as_secs_f64() * 1e6;
            off.push(format!(
                "its {what} is {:.1} us, not {:.1} us ({percent:+.1} %)",
                us(seen),
                us(asked)
            ));
        }
    };
    compare("period", seen.period.map(|s| s.median), asked.period);
    if signal {
        compare("width", seen.width.map(|s| s.median), asked.width);
    } else if let (Some(seen), Some(asked)) = (seen.width, asked.width)
        && seen.least < asked
    {
        off.push(format!("a pulse was {:?}, less than {asked:?}", seen.least));
    }
    Tested::Measured { asked, seen, off }
}

#[cfg(test)]
mod tests;
