//! Configs built in code. What is built is written as the text of a config and read like any other, so
//! every check holds, and its errors show the same lines that a file would need.

use std::fmt::{Display, Write};
use std::time::Duration;

use super::{Config, ConfigErrors};
use crate::units::{
    Angle, AngularAcceleration, AngularJerk, AngularSpeed, Frequency, Length, PulseWidth, Ratio,
    Time,
};

/// Builds a [`Config`] in code.
///
/// ```
/// use lockstep::config::{Axis, Config, Servo};
/// use lockstep::units::{Acceleration, Angle, Length, Speed};
///
/// let config = Config::build("bench")
///     .servo("pan", Servo::on_gpio(18).range(Angle(-30.0), Angle(30.0)))
///     .axis(
///         "x",
///         Axis::step_dir(17, 27)
///             .driver("drv8825", 16)
///             .distance_per_revolution(Length(8.0))
///             .travel(Length(0.0), Length(200.0))
///             .limits(Speed(50.0), Acceleration(500.0))
///             .assume(Length(0.0)),
///     )
///     .finish()?;
/// assert_eq!(config.motors.len(), 2);
/// # Ok::<(), lockstep::config::ConfigErrors>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConfigBuilder {
    name: String,
    text: String,
}

/// A TOML string with everything in it that needs escaping.
fn quoted(text: impl Display) -> String {
    let mut out = String::from("\"");
    for c in text.to_string().chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c => out.push(c),
        }
    }
    out + "\""
}

impl Config {
    /// Starts to build a config in code, for a machine of that name.
    pub fn build(name: &str) -> ConfigBuilder {
        let text = format!("[machine]\nname = {}\n", quoted(name));
        ConfigBuilder { name: name.to_string(), text }
    }
}

impl ConfigBuilder {
    /// Beyond this lateness a move comes to rest.
    pub fn max_lateness(mut self, limit: Duration) -> Self {
        let line = format!("max-lateness = \"{}\"\n", Time(limit));
        let head = "[machine]\n".len();
        self.text.insert_str(head, &line);
        self
    }

    /// Adds a servo.
    pub fn servo(self, name: &str, servo: Servo) -> Self {
        self.table("servo", name, &servo.keys)
    }

    /// Adds a stepper axis.
    pub fn axis(self, name: &str, axis: Axis) -> Self {
        self.table("axis", name, &axis.keys)
    }

    /// Adds tables as they would stand in a file: programs, say.
    pub fn toml(mut self, text: &str) -> Self {
        let _ = write!(self.text, "\n{text}\n");
        self
    }

    fn table(mut self, kind: &str, name: &str, keys: &[(&'static str, String)]) -> Self {
        let _ = write!(self.text, "\n[{kind}.{}]\n", quoted(name));
        for (key, value) in keys {
            let _ = writeln!(self.text, "{key} = {value}");
        }
        self
    }

    /// The text that a file with this config would have.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Checks it all.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, as for a file with [`ConfigBuilder::text`] in it.
    pub fn finish(self) -> Result<Config, ConfigErrors> {
        Config::from_str(&self.text, &self.name).map(|loaded| loaded.config)
    }
}

macro_rules! keys {
    ($name:ident) => {
        impl $name {
            /// A key set twice has the later value.
            fn set(mut self, key: &'static str, value: String) -> Self {
                self.keys.retain(|k| k.0 != key);
                self.keys.push((key, value));
                self
            }
        }
    };
}

/// A hobby servo, to be added with [`ConfigBuilder::servo`]. What is not said has the defaults of a
/// config file.
#[derive(Clone, Debug)]
pub struct Servo {
    keys: Vec<(&'static str, String)>,
}

keys!(Servo);

impl Servo {
    /// A servo whose signal is the hardware PWM of that GPIO.
    pub fn on_gpio(gpio: u8) -> Servo {
        Servo { keys: vec![("pwm", format!("{{ gpio = {gpio} }}"))] }
    }

    /// A servo on a channel of a PWM chip, named by its device or its driver: `pca9685`.
    pub fn on_channel(device: &str, channel: u8) -> Servo {
        let output = format!("{{ device = {}, channel = {channel} }}", quoted(device));
        Servo { keys: vec![("pwm", output)] }
    }

    /// A servo whose pulses are timed by its own loop, on any pin. On hardware it needs real-time
    /// scheduling.
    pub fn on_soft_pwm(gpio: u8) -> Servo {
        Servo { keys: vec![("soft-pwm", format!("{{ gpio = {gpio} }}"))] }
    }

    /// The shortest and the longest pulse.
    pub fn pulse(self, min: PulseWidth, max: PulseWidth) -> Servo {
        self.set("pulse", format!("{{ min = \"{min}\", max = \"{max}\" }}"))
    }

    /// The angles at those pulses.
    pub fn range(self, min: Angle, max: Angle) -> Servo {
        self.set("angle", format!("{{ min = \"{min}\", max = \"{max}\" }}"))
    }

    /// Its limits; the jerk is ten times the acceleration, a second, unless [`Servo::jerk`] says else.
    pub fn limits(self, speed: AngularSpeed, acceleration: AngularAcceleration) -> Servo {
        self.set("max-speed", quoted(speed)).set("max-acceleration", quoted(acceleration))
    }

    /// Its largest jerk.
    pub fn jerk(self, jerk: AngularJerk) -> Servo {
        self.set("max-jerk", quoted(jerk))
    }

    /// Pulses a second.
    pub fn frequency(self, frequency: Frequency) -> Servo {
        self.set("frequency", quoted(frequency))
    }

    /// It turns continuously: its pulses are speeds, full speed backwards and forwards at the ends of their range.
    ///
    /// ```
    /// use std::time::Duration;
    /// use lockstep::config::{Config, Servo};
    /// use lockstep::machine::{Jog, Machine};
    /// use lockstep::units::SpeedShare;
    ///
    /// let half = SpeedShare::percent(50.0).unwrap_or_default();
    /// let config = Config::build("cart").servo("wheel", Servo::on_gpio(18).continuous()).finish()?;
    /// let mut machine = Machine::builder(config).virtual_time().build()?;
    /// let jog = machine.jog(&Jog::lasting(Duration::from_millis(300)).at("wheel", half))?;
    /// assert!(machine.wait(jog).all_reached());
    /// assert_eq!(machine.position("wheel"), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn continuous(self) -> Servo {
        self.set("continuous", "true".into())
    }

    /// The longer pulse is the smaller angle.
    pub fn reversed(self) -> Servo {
        self.set("reverse", "true".into())
    }
}

/// A stepper axis behind a STEP/DIR driver, to be added with [`ConfigBuilder::axis`]. What is not said
/// has the defaults of a config file; a motor of 200 steps a revolution is taken.
#[derive(Clone, Debug)]
pub struct Axis {
    keys: Vec<(&'static str, String)>,
}

keys!(Axis);

/// A length for a linear axis, an angle for a rotary one.
pub trait Coordinate: Display {}

impl Coordinate for Length {}
impl Coordinate for Angle {}

impl Axis {
    /// An axis whose STEP and DIR are on these GPIOs.
    pub fn step_dir(step: u8, dir: u8) -> Axis {
        let axis = Axis { keys: vec![("steps-per-revolution", "200".into())] };
        axis.set("step", format!("{{ gpio = {step} }}")).set("dir", format!("{{ gpio = {dir} }}"))
    }

    /// An axis whose motor, named by its preset, is switched coil by coil: on the GPIOs of its board's
    /// four inputs, in half steps. It turns in degrees unless a distance per revolution says else.
    pub fn coils(motor: &str, gpio: [u8; 4]) -> Axis {
        let axis = Axis { keys: vec![("motor", quoted(motor))] };
        axis.set("coils", format!("{{ gpio = {gpio:?} }}"))
    }

    /// An axis whose STEP is the hardware PWM channel of that GPIO: its pulses come in bursts whose count is
    /// proved.
    pub fn pwm_clock(step: u8, dir: u8) -> Axis {
        Axis::step_dir(step, dir).set("step", format!("{{ pwm = {{ gpio = {step} }} }}"))
    }

    /// It turns at a rate, and no position is promised (on a [`pwm_clock`](Axis::pwm_clock) alone).
    pub fn velocity(self) -> Axis {
        self.set("mode", quoted("velocity"))
    }

    /// The driver, by its preset's name, and the microsteps it is strapped to.
    pub fn driver(self, preset: &str, microsteps: u32) -> Axis {
        self.set("driver", quoted(preset)).set("microsteps", microsteps.to_string())
    }

    /// The driver's enable line, active low; axes may share it.
    pub fn enable(self, gpio: u8) -> Axis {
        self.set("enable", format!("{{ gpio = {gpio}, active = \"low\" }}"))
    }

    /// The driver's fault line, active low.
    pub fn fault(self, gpio: u8) -> Axis {
        self.set("fault", format!("{{ gpio = {gpio}, active = \"low\" }}"))
    }

    /// Full steps of the motor a revolution.
    pub fn steps_per_revolution(self, steps: u32) -> Axis {
        self.set("steps-per-revolution", steps.to_string())
    }

    /// Revolutions of the motor for one of the output.
    pub fn gear_ratio(self, ratio: Ratio) -> Axis {
        self.set("gear-ratio", quoted(ratio))
    }

    /// The way of one revolution: a length makes the axis linear, an angle rotary.
    pub fn distance_per_revolution<C: Coordinate>(self, distance: C) -> Axis {
        self.set("distance-per-revolution", quoted(distance))
    }

    /// The positions it may take.
    pub fn travel<C: Coordinate>(self, min: C, max: C) -> Axis {
        self.set("travel", format!("{{ min = \"{min}\", max = \"{max}\" }}"))
    }

    /// It may go anywhere: a turntable.
    pub fn unlimited(self) -> Axis {
        self.set("travel", quoted("unlimited"))
    }

    /// Its limits, such as `Speed(50.0)` and `Acceleration(500.0)`; the jerk is ten times the
    /// acceleration, a second, unless [`Axis::jerk`] says else.
    pub fn limits(self, speed: impl Display, acceleration: impl Display) -> Axis {
        self.set("max-speed", quoted(speed)).set("max-acceleration", quoted(acceleration))
    }

    /// Its largest jerk.
    pub fn jerk(self, jerk: impl Display) -> Axis {
        self.set("max-jerk", quoted(jerk))
    }

    /// The speed from which it may be stopped dead without losing a step, such as `Speed(5.0)`.
    pub fn start_stop_speed(self, speed: impl Display) -> Axis {
        self.set("start-stop-speed", quoted(speed))
    }

    /// Where it stands when the machine starts, on your word.
    pub fn assume<C: Coordinate>(self, position: C) -> Axis {
        self.set("at-start", format!("{{ assume = \"{position}\" }}"))
    }

    /// It carries a load that would fall: its driver is never released.
    pub fn holds_load(self) -> Axis {
        self.set("holds-load", "true".into())
    }

    /// Coils let go whenever the axis rests.
    pub fn released_at_rest(self) -> Axis {
        self.set("at-rest", quoted("release"))
    }

    /// A positive move turns the motor the other way.
    pub fn reversed(self) -> Axis {
        self.set("reverse", "true".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::PwmOutput;
    use crate::config::{Drive, ServoOutput};
    use crate::units::{Acceleration, Jerk, Speed};

    fn x() -> Axis {
        Axis::step_dir(17, 27)
            .driver("a4988", 8)
            .distance_per_revolution(Length(40.0))
            .travel(Length(-10.0), Length(300.0))
            .limits(Speed(100.0), Acceleration(1000.0))
    }

    #[test]
    fn what_is_built_is_what_a_file_would_be() {
        let built = Config::build("a \"quoted\" name\n")
            .max_lateness(Duration::from_micros(1500))
            .axis("x", x().jerk(Jerk(5e4)).enable(22).fault(5).assume(Length(2.5)).reversed())
            .servo(
                "pan",
                Servo::on_gpio(18).reversed().frequency(Frequency::from_hertz(100.0).unwrap()),
            )
            .axis(
                "dial",
                Axis::coils("28byj-48", [6, 16, 13, 19])
                    .unlimited()
                    .limits(AngularSpeed(30.0), AngularAcceleration(100.0))
                    .released_at_rest(),
            )
            .servo("arm", Servo::on_channel("pca9685", 3))
            .servo("tail", Servo::on_soft_pwm(23))
            .toml("[program.p]\nsteps = [ { pause = \"1s\" } ]");
        let config = Config::from_str(built.text(), "t").unwrap().config;
        assert_eq!(config, built.finish().unwrap());
        assert_eq!(config.machine.name, "a \"quoted\" name\n");
        assert_eq!(config.machine.max_lateness, Some(Duration::from_micros(1500)));
        assert_eq!(config.motors[0].limits.jerk, 5e4);
        assert_eq!(config.programs.len(), 1);
        let output = |name| match &config.motor(name).unwrap().drive {
            Drive::Servo(servo) => servo.output.clone(),
            _ => panic!("no servo"),
        };
        let channel = PwmOutput::Channel { device: "pca9685".into(), channel: 3 };
        assert!(matches!(output("arm"), ServoOutput::Pwm { output, .. } if output == channel));
        assert_eq!(output("tail"), ServoOutput::Soft { gpio: 23, allow_jitter: false });
    }

    #[test]
    fn step_clocks_can_be_built() {
        let axis = |gpio, dir| {
            Axis::pwm_clock(gpio, dir)
                .driver("a4988", 2)
                .distance_per_revolution(Angle(360.0))
                .unlimited()
                .limits(AngularSpeed(90.0), AngularAcceleration(180.0))
        };
        let table = axis(18, 27).start_stop_speed(AngularSpeed(45.0));
        let built = Config::build("t").axis("table", table).axis("pump", axis(13, 22).velocity());
        let config = built.finish().unwrap();
        let clock = |n: usize| match &config.motors[n].drive {
            crate::config::Drive::PwmClock(clock) => clock.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!((clock(0).axis.step, clock(0).mode), (18, crate::config::ClockMode::Position));
        assert_eq!((clock(0).jump, clock(0).tolerance_ppb), (50.0, 200_000));
        assert_eq!((clock(1).axis.step, clock(1).mode), (13, crate::config::ClockMode::Velocity));
        assert!((clock(1).jump - 2.0 * 200f64.sqrt()).abs() < 1e-9);
    }

    #[test]
    fn mistakes_are_found() {
        let twice = Config::build("t").axis("x", x()).axis("y", x()).finish().unwrap_err();
        assert!(twice.to_string().contains("GPIO17"), "{twice}");
        let bare = Config::build("t").axis("x", Axis::step_dir(17, 27)).finish().unwrap_err();
        assert!(bare.to_string().contains("driver"), "{bare}");
        let mixed = x().limits(AngularSpeed(1.0), Acceleration(1.0));
        assert!(Config::build("t").axis("x", mixed).finish().is_err());
    }
}
