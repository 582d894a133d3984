//! Which outputs a config drives, and the state in which each of them moves nothing.

use std::fmt;

use super::Config;
use crate::board::PwmOutput;

/// Where an output comes out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Port {
    /// A line of the header, by its GPIO number.
    Gpio(u8),
    /// A PWM channel of the kernel's.
    Pwm(PwmOutput),
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Port::Gpio(gpio) => write!(f, "GPIO{gpio}"),
            Port::Pwm(output) => output.fmt(f),
        }
    }
}

/// The state of an output in which nothing moves, whatever it was before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SafeState {
    /// No signal. It ends after a whole pulse: width 0, one period, off.
    NoSignal,
    /// This level: high for `true`.
    Level(bool),
    /// The level that it has: it is left alone.
    Kept(Why),
}

/// Why an output is left alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// It moves nothing by itself, at either level.
    Harmless,
    /// A load would fall.
    HoldsLoad,
}

/// An output that a config drives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// Who needs it: indices into [`Config::motors`]. More than one for a shared enable line.
    pub motors: Vec<usize>,
    /// What it is for: `pulse`, `step`, `dir`, `enable`, `sleep`, `reset`, `mode`, `coil a` to `coil d`.
    pub function: &'static str,
    /// Where it comes out.
    pub port: Port,
    /// The state in which it moves nothing.
    pub safe: SafeState,
}

impl Config {
    /// Every output that the motors drive, each once, motor by motor in the order of the file. An
    /// enable line that several axes share is one output; if one of them holds a load it is kept.
    ///
    /// ```
    /// use lockstep::config::{Config, Port, SafeState};
    ///
    /// let config = Config::from_file("config/xyz-stage.toml")?.config;
    /// let outputs = config.outputs();
    /// let enable = outputs.iter().find(|o| o.function == "enable").unwrap();
    /// assert_eq!((enable.motors.len(), &enable.port), (3, &Port::Gpio(22)));
    /// assert_eq!(enable.safe, SafeState::Level(true)); // it is active when low
    /// # Ok::<(), lockstep::config::ConfigErrors>(())
    /// ```
    pub fn outputs(&self) -> Vec<Output> {
        let mut all: Vec<Output> = Vec::new();
        for (index, motor) in self.motors.iter().enumerate() {
            for (function, port, safe) in motor.drive.kind().outputs() {
                match all.iter_mut().find(|o| o.port == port) {
                    Some(shared) => {
                        shared.motors.push(index);
                        if let SafeState::Kept(_) = safe {
                            shared.safe = safe;
                        }
                    }
                    None => all.push(Output { motors: vec![index], function, port, safe }),
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(text: &str) -> Vec<Output> {
        Config::from_str(text, "t").unwrap().config.outputs()
    }

    fn enable_of(text: &str) -> Output {
        outputs(text).into_iter().find(|o| o.function == "enable").unwrap()
    }

    #[test]
    fn every_output_of_a_stage_once() {
        let all = outputs(include_str!("../../config/xyz-stage.toml"));
        let step = all.iter().filter(|o| o.function == "step");
        assert!(step.clone().all(|o| o.safe == SafeState::Level(false)));
        assert_eq!(step.count(), 3);
        let ports: Vec<_> = all.iter().map(|o| &o.port).collect();
        let gpio = |g| Port::Gpio(g);
        assert_eq!(ports, [17, 27, 22, 23, 24, 25, 16].map(gpio).iter().collect::<Vec<_>>());
        // An input is no output.
        assert!(!ports.contains(&&Port::Gpio(5)));
    }

    #[test]
    fn a_driver_goes_to_sleep_unless_it_holds_a_load() {
        let text = include_str!("../../config/xyz-stage.toml").replacen(
            "enable = { gpio = 22, active = \"low\" }",
            "enable = { gpio = 22, active = \"low\" }\nsleep = { gpio = 8, active = \"low\" }\n\
             reset = { gpio = 7, active = \"low\" }\nmode = { gpio = [9, 10, 11] }",
            1,
        );
        let of = |text: &str| {
            let all = outputs(text);
            let x = all.into_iter().filter(|o| o.motors.contains(&0)).skip(3);
            x.map(|o| (o.function, o.safe)).collect::<Vec<_>>()
        };
        let kept = SafeState::Kept(Why::Harmless);
        let rest = [("reset", kept), ("mode", kept), ("mode", kept), ("mode", kept)];
        assert_eq!(of(&text), [&[("sleep", SafeState::Level(false))], &rest[..]].concat());
        let holding = text.replacen("on-stop = \"release\"", "holds-load = true", 1);
        let sleep = ("sleep", SafeState::Kept(Why::HoldsLoad));
        assert_eq!(of(&holding), [&[sleep], &rest[..]].concat());
    }

    #[test]
    fn one_load_keeps_a_shared_line() {
        let text = include_str!("../../config/xyz-stage.toml");
        assert_eq!(enable_of(text).safe, SafeState::Level(true));
        for nth in 0..3 {
            let at = text.match_indices("on-stop = \"release\"").nth(nth).unwrap().0;
            let mut holding = text.to_owned();
            holding.replace_range(at..at + 19, "holds-load = true");
            let enable = enable_of(&holding);
            assert_eq!(enable.safe, SafeState::Kept(Why::HoldsLoad), "{nth}");
            assert_eq!(enable.motors, [0, 1, 2]);
        }
    }

    #[test]
    fn active_high_lines_are_inactive_when_low() {
        let text = include_str!("../../config/xyz-stage.toml")
            .replace("gpio = 22, active = \"low\"", "gpio = 22, active = \"high\"");
        assert_eq!(enable_of(&text).safe, SafeState::Level(false));
    }

    #[test]
    fn coils_go_off_unless_they_hold_a_load() {
        let text = "[axis.dial]\nmotor = \"28byj-48\"\ncoils = { gpio = [5, 6, 13, 19], sequence = \"half\" }\n\
                    distance-per-revolution = \"360deg\"\ntravel = \"unlimited\"\nmax-speed = \"30deg/s\"\n\
                    max-acceleration = \"90deg/s^2\"\n";
        for (held, safe) in [
            ("", SafeState::Level(false)),
            ("holds-load = true\n", SafeState::Kept(Why::HoldsLoad)),
        ] {
            let all = outputs(&format!("{text}{held}"));
            let ports: Vec<_> = all.iter().map(|o| o.port.clone()).collect();
            assert_eq!(ports, [5, 6, 13, 19].map(Port::Gpio));
            assert!(
                all.iter().all(|o| o.function.starts_with("coil ") && o.safe == safe),
                "{all:?}"
            );
        }
    }

    #[test]
    fn servos_have_one_signal() {
        let channel = PwmOutput::Channel { device: "pca9685".into(), channel: 3 };
        for (key, port, safe) in [
            ("pwm = { gpio = 18 }", Port::Pwm(18.into()), SafeState::NoSignal),
            (
                "pwm = { device = \"pca9685\", channel = 3 }",
                Port::Pwm(channel),
                SafeState::NoSignal,
            ),
            ("soft-pwm = { gpio = 23 }", Port::Gpio(23), SafeState::Level(false)),
        ] {
            let all = outputs(&format!("[servo.pan]\n{key}\n"));
            assert_eq!(all, [Output { motors: vec![0], function: "pulse", port, safe }]);
        }
    }
}
