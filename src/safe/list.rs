//! The outputs to make safe, as a list that needs no config to be understood.
//!
//! A run on hardware writes it beside the config that it accepted, so that `lockstep safe` of any later
//! release knows what was driven, whatever has become of the config's keys since.

use crate::board::PwmOutput;
use crate::config::{Config, Port, SafeState, Why};

/// An output to make safe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SafeOutput {
    /// The names of the motors that need it.
    pub motors: Vec<String>,
    /// What it is for: `pulse`, `step`, `dir`, `enable`, ...
    pub function: String,
    /// Where it comes out.
    pub port: Port,
    /// The state in which it moves nothing.
    pub safe: SafeState,
    /// The chip and channel that its PWM signal came from when the list was written, by the chip's
    /// device; where the port itself can't be found any more, that is it.
    pub chip: Option<(String, u8)>,
}

/// The outputs of a config.
pub fn of(config: &Config) -> Vec<SafeOutput> {
    let name = |&motor: &usize| config.motors.get(motor).map(|m| m.name.clone());
    let output = |output: crate::config::Output| SafeOutput {
        motors: output.motors.iter().filter_map(name).collect(),
        function: output.function.to_owned(),
        port: output.port,
        safe: output.safe,
        chip: None,
    };
    config.outputs().into_iter().map(output).collect()
}

/// The outputs of two lists, each once: of the config that was accepted, and of one that was about to take
/// its place. Where they disagree, off wins over on, and what both keep is kept; of two levels, that of
/// the one to come counts.
pub fn join(accepted: Vec<SafeOutput>, next: Vec<SafeOutput>) -> Vec<SafeOutput> {
    let mut all = accepted;
    for output in next {
        let Some(known) = all.iter_mut().find(|o| o.port == output.port) else {
            all.push(output);
            continue;
        };
        *known = match (known.safe, output.safe) {
            (SafeState::Kept(Why::HoldsLoad), SafeState::Kept(Why::Harmless)) => continue,
            (SafeState::Level(_) | SafeState::NoSignal, SafeState::Kept(_)) => continue,
            _ => output,
        };
    }
    all
}

pub use json::{parse, write};

/// The list as a file.
mod json {
    use serde::{Deserialize, Serialize};

    use super::*;

    const VERSION: u32 = 1;

    #[derive(Serialize, Deserialize)]
    struct File {
        v: u32,
        /// Who has written it, for people.
        #[serde(default)]
        release: String,
        outputs: Vec<Entry>,
    }

    #[derive(Serialize, Deserialize)]
    struct Entry {
        motors: Vec<String>,
        function: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gpio: Option<u8>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pwm: Option<Pwm>,
        safe: Safe,
        #[serde(default, rename = "holds-load", skip_serializing_if = "std::ops::Not::not")]
        holds_load: bool,
    }

    /// A pin of the header, or a chip's channel; of a pin, too, once its chip was found.
    #[derive(Serialize, Deserialize)]
    struct Pwm {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gpio: Option<u8>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channel: Option<u8>,
    }

    #[derive(Clone, Copy, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Safe {
        Low,
        High,
        NoSignal,
        Keep,
    }

    /// The text of the file.
    pub fn write(outputs: &[SafeOutput]) -> String {
        let entry = |output: &SafeOutput| {
            let (gpio, pwm) = match &output.port {
                Port::Gpio(gpio) => (Some(*gpio), None),
                Port::Pwm(PwmOutput::Gpio(gpio)) => {
                    let (device, channel) = output.chip.clone().unzip();
                    (None, Some(Pwm { gpio: Some(*gpio), device, channel }))
                }
                Port::Pwm(PwmOutput::Channel { device, channel }) => {
                    let (device, channel) = (Some(device.clone()), Some(*channel));
                    (None, Some(Pwm { gpio: None, device, channel }))
                }
            };
            Entry {
                motors: output.motors.clone(),
                function: output.function.clone(),
                gpio,
                pwm,
                safe: match output.safe {
                    SafeState::Level(false) => Safe::Low,
                    SafeState::Level(true) => Safe::High,
                    SafeState::NoSignal => Safe::NoSignal,
                    SafeState::Kept(_) => Safe::Keep,
                },
                holds_load: output.safe == SafeState::Kept(Why::HoldsLoad),
            }
        };
        let release = env!("CARGO_PKG_VERSION").to_owned();
        let file = File { v: VERSION, release, outputs: outputs.iter().map(entry).collect() };
        // It has nothing that JSON can't write.
        serde_json::to_string(&file).unwrap_or_default() + "\n"
    }

    /// Reads the file; `None` where it is damaged, or of another version.
    pub fn parse(text: &str) -> Option<Vec<SafeOutput>> {
        let file: File = serde_json::from_str(text).ok().filter(|f: &File| f.v == VERSION)?;
        file.outputs.into_iter().map(output).collect()
    }

    fn output(entry: Entry) -> Option<SafeOutput> {
        let mut chip = None;
        let port = match (entry.gpio, entry.pwm) {
            (Some(gpio), None) => Port::Gpio(gpio),
            (None, Some(Pwm { gpio: Some(gpio), device, channel })) => {
                chip = device.zip(channel);
                Port::Pwm(PwmOutput::Gpio(gpio))
            }
            (None, Some(Pwm { gpio: None, device: Some(device), channel: Some(channel) })) => {
                Port::Pwm(PwmOutput::Channel { device, channel })
            }
            _ => return None,
        };
        let safe = match (entry.safe, entry.holds_load) {
            (Safe::Low, _) => SafeState::Level(false),
            (Safe::High, _) => SafeState::Level(true),
            (Safe::NoSignal, _) => SafeState::NoSignal,
            (Safe::Keep, true) => SafeState::Kept(Why::HoldsLoad),
            (Safe::Keep, false) => SafeState::Kept(Why::Harmless),
        };
        Some(SafeOutput { motors: entry.motors, function: entry.function, port, safe, chip })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(text: &str) -> Vec<SafeOutput> {
        of(&Config::from_str(text, "t").unwrap().config)
    }

    #[test]
    fn off_wins_and_what_both_keep_is_kept() {
        let text = include_str!("../../config/xyz-stage.toml");
        let held = |text: &str| text.replace("on-stop = \"release\"", "holds-load = true");
        let moved = |text: &str| text.replacen("step = { gpio = 17 }", "step = { gpio = 4 }", 1);
        let enable = |all: &[SafeOutput]| {
            let of: Vec<_> = all.iter().filter(|o| o.port == Port::Gpio(22)).collect();
            assert_eq!(of.len(), 1);
            of[0].safe
        };
        let (free, load) = (outputs(text), outputs(&held(&moved(text))));
        for all in [join(free.clone(), load.clone()), join(load.clone(), free.clone())] {
            // What one of them lets go is let go.
            assert_eq!(enable(&all), SafeState::Level(true));
            for step in [17, 4] {
                let of = all.iter().find(|o| o.port == Port::Gpio(step)).unwrap();
                assert_eq!(
                    (of.safe, &of.motors[..]),
                    (SafeState::Level(false), &["x".to_owned()][..])
                );
            }
        }
        let both = join(load.clone(), load.clone());
        assert_eq!(enable(&both), SafeState::Kept(Why::HoldsLoad));
        assert_eq!(both, load);
        // A line that only one of them has is what that one says.
        assert_eq!(enable(&join(Vec::new(), load.clone())), SafeState::Kept(Why::HoldsLoad));
        // Wired the other way round: the config to come knows.
        let high =
            outputs(&text.replace("gpio = 22, active = \"low\"", "gpio = 22, active = \"high\""));
        assert_eq!(enable(&join(free.clone(), high.clone())), SafeState::Level(false));
        assert_eq!(enable(&join(high, free)), SafeState::Level(true));
    }

    #[test]
    fn what_was_written_is_read() {
        let text = include_str!("../../config/xyz-stage.toml");
        let mut all = outputs(&text.replacen("on-stop = \"release\"", "holds-load = true", 1));
        let servos = "[servo.a]\npwm = { gpio = 18 }\n[servo.b]\nsoft-pwm = { gpio = 23 }\n\
            [servo.c]\npwm = { device = \"pca9685\", channel = 3 }\n";
        all.extend(outputs(servos));
        for output in &mut all {
            if output.port == Port::Pwm(PwmOutput::Gpio(18)) {
                output.chip = Some(("fe20c000.pwm".to_owned(), 0));
            }
        }
        assert_eq!(parse(&write(&all)).unwrap(), all);
        assert_eq!(
            write(&outputs("[servo.a]\npwm = { gpio = 18 }\n")),
            format!(
                "{{\"v\":1,\"release\":\"{}\",\"outputs\":[{{\"motors\":[\"a\"],\"function\":\"pulse\",\
                 \"pwm\":{{\"gpio\":18}},\"safe\":\"no-signal\"}}]}}\n",
                env!("CARGO_PKG_VERSION")
            )
        );
        // What a later release adds to an entry is passed over; another version is not guessed at.
        let later =
            r#"{"v":1,"outputs":[{"motors":[],"function":"lamp","gpio":5,"safe":"low","ramp":3}]}"#;
        assert_eq!(parse(later).unwrap()[0].port, Port::Gpio(5));
        for bad in [
            "",
            "{}",
            r#"{"v":2,"outputs":[]}"#,
            r#"{"v":1,"outputs":[{"motors":[],"function":"lamp","gpio":5,"safe":"dim"}]}"#,
            r#"{"v":1,"outputs":[{"motors":[],"function":"lamp","safe":"low"}]}"#,
            r#"{"v":1,"outputs":[{"motors":[],"function":"pulse","pwm":{},"safe":"low"}]}"#,
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
