//! The outputs of a config that this release may not accept: one that an earlier release accepted, whose
//! keys have changed since.
//!
//! Nothing is checked here. In each motor's table the keys that name outputs are looked for, in every
//! form that any release has had; what is not known is passed over, and a key that can't be read loses
//! nothing but itself.

use toml::de::{DeTable, DeValue};

use super::SafeOutput;
use crate::board::PwmOutput;
use crate::config::{Port, SafeState, Why};

const HARMLESS: SafeState = SafeState::Kept(Why::Harmless);
const LOW: SafeState = SafeState::Level(false);

/// The outputs of a config, as far as it can be read. Empty where it can't.
pub fn outputs(text: &str) -> Vec<SafeOutput> {
    let (document, _) = DeTable::parse_recoverable(text);
    let mut motors = Vec::new();
    let groups =
        ["servo", "axis"].into_iter().filter_map(|g| table(document.get_ref().get(g)?.get_ref()));
    for (name, motor) in groups.flat_map(|group| group.iter()) {
        motors.extend(table(motor.get_ref()).map(|motor| (name, motor)));
    }
    // In the order of the file.
    motors.sort_by_key(|(name, _)| name.span().start);
    let mut all = Vec::new();
    for (name, motor) in motors {
        for (function, port, safe) in of_motor(motor) {
            add(&mut all, name.get_ref(), function, port, safe);
        }
    }
    all
}

/// A line that several motors share is one output. A load that one of them holds is held.
fn add(all: &mut Vec<SafeOutput>, name: &str, function: &str, port: Port, safe: SafeState) {
    let name = name.to_owned();
    let Some(shared) = all.iter_mut().find(|o| o.port == port) else {
        let (motors, function) = (vec![name], function.to_owned());
        return all.push(SafeOutput { motors, function, port, safe, chip: None });
    };
    shared.motors.push(name);
    if let SafeState::Kept(_) = safe {
        shared.safe = safe;
    }
}

type Found = (&'static str, Port, SafeState);

fn of_motor(motor: &DeTable<'_>) -> Vec<Found> {
    let get = |key: &str| motor.get(key).map(|v| v.get_ref());
    let inner = |key: &str| get(key).and_then(table);
    // Whatever stands there, but a plain `false`, is meant to hold something.
    let holds = get("holds-load").is_some_and(|v| v.as_bool() != Some(false));
    let or_held = |safe: SafeState| if holds { SafeState::Kept(Why::HoldsLoad) } else { safe };
    let mut found = Vec::new();
    let pulse =
        inner("pwm").and_then(pwm).map(|output| ("pulse", Port::Pwm(output), SafeState::NoSignal));
    found.extend(pulse);
    found.extend(inner("soft-pwm").and_then(gpio).map(|gpio| ("pulse", Port::Gpio(gpio), LOW)));
    if let Some(step) = inner("step") {
        let clock = step.get("pwm").and_then(|v| pwm(table(v.get_ref())?));
        let clock = clock.map(|output| ("step", Port::Pwm(output), SafeState::NoSignal));
        found.extend(clock.or_else(|| Some(("step", Port::Gpio(gpio(step)?), LOW))));
    }
    let plain = |function: &'static str, key: &str| {
        Some((function, Port::Gpio(gpio(inner(key)?)?), HARMLESS))
    };
    found.extend(plain("dir", "dir"));
    // An enable line is inactive at the other level, a sleep line asleep at its own.
    for (key, asleep) in [("enable", false), ("sleep", true)] {
        let Some(line) = inner(key) else { continue };
        let Some(gpio) = gpio(line) else { continue };
        // Where that can't be read: as almost every driver has it.
        let active_high = line.get("active").and_then(|v| v.get_ref().as_str()) == Some("high");
        found.push((key, Port::Gpio(gpio), or_held(SafeState::Level(active_high == asleep))));
    }
    found.extend(plain("reset", "reset"));
    let list =
        |key: &str| inner(key).and_then(|t| t.get("gpio")).and_then(|v| v.get_ref().as_array());
    let modes = list("mode").into_iter().flat_map(|pins| pins.iter());
    let modes = modes.filter_map(|pin| number(pin.get_ref()));
    found.extend(modes.map(|gpio| ("mode", Port::Gpio(gpio), HARMLESS)));
    let names = ["coil a", "coil b", "coil c", "coil d"];
    let coils = names.into_iter().zip(list("coils").into_iter().flat_map(|pins| pins.iter()));
    let coil = |(name, pin): (&'static str, &toml::Spanned<DeValue<'_>>)| {
        Some((name, Port::Gpio(number(pin.get_ref())?), or_held(LOW)))
    };
    found.extend(coils.filter_map(coil));
    found
}

/// `{ gpio = 18 }`, `{ device = "pca9685", channel = 3 }` or `{ device = "pwm-gpio", gpio = 23 }`.
fn pwm(table: &DeTable<'_>) -> Option<PwmOutput> {
    let Some(device) = table.get("device").and_then(|v| v.get_ref().as_str()) else {
        return gpio(table).map(PwmOutput::Gpio);
    };
    let device = match (device, gpio(table)) {
        ("pwm-gpio", Some(gpio)) => format!("pwm_gpio@{gpio:x}"),
        ("pwm-pio-rp1", Some(gpio)) => format!("pwm_pio@{gpio:x}"),
        _ => device.to_owned(),
    };
    let channel = table.get("channel").map_or(Some(0), |v| number(v.get_ref()))?;
    Some(PwmOutput::Channel { device, channel })
}

fn table<'a, 'i>(value: &'a DeValue<'i>) -> Option<&'a DeTable<'i>> {
    value.as_table()
}

fn gpio(table: &DeTable<'_>) -> Option<u8> {
    number(table.get("gpio")?.get_ref())
}

fn number(value: &DeValue<'_>) -> Option<u8> {
    let read = value.as_integer()?;
    u8::from_str_radix(read.as_str(), read.radix()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;
    use crate::safe::list;

    /// All that is shipped, and lines of every kind.
    fn texts() -> Vec<String> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config");
        let files = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path());
        let configs = files.filter(|path| path.extension().is_some_and(|e| e == "toml"));
        let mut texts: Vec<_> =
            configs.map(|path| std::fs::read_to_string(path).unwrap()).collect();
        assert!(texts.len() > 5);
        let stage = include_str!("../../config/xyz-stage.toml");
        texts.push(stage.replacen("on-stop = \"release\"", "holds-load = true", 1));
        texts.push(stage.replacen(
            "enable = { gpio = 22, active = \"low\" }",
            "enable = { gpio = 22, active = \"low\" }\nsleep = { gpio = 8, active = \"high\" }\n\
             reset = { gpio = 7, active = \"low\" }\nmode = { gpio = [9, 10, 11] }",
            1,
        ));
        texts.push("[servo.a]\npwm = { device = \"pwm-gpio\", gpio = 23 }\n".to_owned());
        texts
    }

    /// What this release accepts is read here as it is there.
    #[test]
    fn what_is_accepted_is_read_alike() {
        for text in texts() {
            let config = Config::from_str(&text, "t").unwrap_or_else(|e| panic!("{e}")).config;
            assert_eq!(outputs(&text), list::of(&config), "{text}");
        }
    }

    #[test]
    fn what_has_changed_loses_itself_alone() {
        let text = "[servo.pan]\npwm = { gpio = 18, phase = \"odd\" }\nsmoothing = 3\n\
            [servo.tilt]\npwm = \"GPIO19\"\nsoft-pwm = { gpio = 23 }\n\
            [axis.x]\nstep = { gpio = 17, width = \"2us\" }\ndir = 27\n\
            enable = { gpio = 22, active = \"lo\" }\nmicrosteps = \"auto\"\n\
            [axis.z]\nstep = { pwm = { gpio = 12 } }\nenable = { gpio = 0x1a, active = \"high\" }\n\
            holds-load = { until = \"homed\" }\n\
            [axis]\nspeed = 7\n[gripper.g]\npin = 4\n";
        let all = outputs(text);
        let seen: Vec<_> =
            all.iter().map(|o| (o.function.as_str(), o.port.to_string(), o.safe)).collect();
        let of = |function, port: &str, safe| (function, port.to_owned(), safe);
        assert_eq!(
            seen,
            [
                of("pulse", "GPIO18", SafeState::NoSignal),
                of("pulse", "GPIO23", LOW),
                of("step", "GPIO17", LOW),
                of("enable", "GPIO22", SafeState::Level(true)),
                of("step", "GPIO12", SafeState::NoSignal),
                of("enable", "GPIO26", SafeState::Kept(Why::HoldsLoad)),
            ]
        );
        for nothing in ["", "[servo", "servo = 3\naxis = []\n", "\u{0}"] {
            assert!(outputs(nothing).is_empty(), "{nothing}");
        }
    }

    /// Up to 0.1 a servo that turned had an angle for its speed. What it drives is made safe all the same.
    #[test]
    fn a_servo_that_turned_by_its_angle_is_made_safe() {
        let text = "[servo.wheel]\npwm = { gpio = 18 }\ncontinuous = true\n\
            angle = { min = \"-45deg\", max = \"45deg\" }\nmax-speed = \"300deg/s\"\nstartup = \"centre\"\n\
            on-stop = \"release\"\n[servo.other]\nsoft-pwm = { gpio = 23 }\ncontinuous = true\n\
            angle = { min = \"-90deg\", max = \"90deg\" }\n";
        assert!(Config::from_str(text, "t").is_err(), "this release has it otherwise");
        let seen: Vec<_> = outputs(text).iter().map(|o| (o.port.to_string(), o.safe)).collect();
        let of = |port: &str, safe| (port.to_owned(), safe);
        assert_eq!(seen, [of("GPIO18", SafeState::NoSignal), of("GPIO23", LOW)]);
    }

    proptest! {
        /// Any line that is spoiled loses the outputs that stand in it, and no others.
        #[test]
        fn one_line_that_is_spoiled_costs_no_other(which in any::<prop::sample::Index>(), with in "[a-z]{1,8}") {
            let text = include_str!("../../config/xyz-stage.toml");
            let lines: Vec<&str> = text.lines().collect();
            let at = which.index(lines.len());
            // A key with another value; tables' heads stay.
            let Some((key, _)) = lines[at].split_once(" = ").filter(|_| !lines[at].contains('[')) else {
                return Ok(());
            };
            let spoiled = format!("{key} = \"{with}\"");
            let mut new = lines.clone();
            new[at] = &spoiled;
            let (before, after) = (outputs(text), outputs(&new.join("\n")));
            for output in &before {
                let Port::Gpio(gpio) = output.port else { continue };
                let here = lines[at].contains(&format!("gpio = {gpio}"));
                let kept = after.iter().find(|o| o.port == output.port);
                if !here {
                    // What says whether a load hangs on it may have changed.
                    prop_assert!(kept.is_some(), "{}", output.port);
                }
            }
        }
    }
}
