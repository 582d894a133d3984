//! What a person has to connect, set and write into `config.txt` for a config.

use super::outputs;
use crate::board::{self, PwmDevice, PwmOutput};
use crate::config::coil_motors::CoilDriver;
use crate::config::drivers::DriverPreset;
use crate::config::{LineConfig, Loaded, ServoOutput, StepDirDrive};

/// One wire, or one thing to set on a driver.
pub(super) struct Row {
    pub motor: String,
    /// `STEP`, `ENABLE`, ...
    pub function: &'static str,
    pub active: Option<&'static str>,
    /// The pin; none where a chip of its own has the signal's output.
    pub gpio: Option<u8>,
    pub header_pin: Option<u8>,
    /// That chip's output, in words.
    pub channel: Option<String>,
}

/// Something to write down, and why.
#[derive(PartialEq, Debug)]
pub(super) struct Note {
    pub why: String,
    pub line: String,
}

pub(super) struct Wiring {
    pub rows: Vec<Row>,
    /// What to know of a motor's wires: for each axis, what to set its driver to; for each servo, how
    /// fine its pulses are.
    pub straps: Vec<Strap>,
    /// The wires of chips that motors share.
    pub shared: Vec<Row>,
    /// What else there is to know.
    pub remarks: Vec<String>,
    /// Lines of `config.txt`.
    pub config_txt: Vec<Note>,
    /// Commands to run after each boot, for what `config.txt` can't do.
    pub commands: Vec<Note>,
}

/// A line of text under a motor's wires.
pub(super) struct Strap {
    pub motor: String,
    /// `set on the driver`.
    pub what: &'static str,
    pub text: String,
}

pub(super) fn wiring(loaded: &Loaded) -> Wiring {
    let mut rows = Vec::new();
    let mut straps = Vec::new();
    for motor in &loaded.config.motors {
        if let Some(servo) = motor.drive.servo() {
            rows.push(outputs::row(loaded, &motor.name, servo));
            straps.push(outputs::fineness(&motor.name, servo));
        }
        rows.extend(motor.drive.kind().lines().into_iter().map(|line| Row {
            motor: motor.name.clone(),
            function: line.function,
            active: line.active_low.map(|low| if low { "low" } else { "high" }),
            gpio: Some(line.gpio),
            header_pin: loaded.board.header_pin(line.gpio),
            channel: None,
        }));
        let set = match (motor.drive.step_dir(), motor.drive.coils()) {
            (Some(axis), _) if axis.mode.is_empty() => strap(axis),
            (_, Some(coils)) => {
                let board = CoilDriver::find(&coils.driver);
                board.map_or("as its manual says", |b| b.set).to_owned()
            }
            _ => continue,
        };
        straps.push(Strap { motor: motor.name.clone(), what: "set on the driver", text: set });
    }
    let mut config_txt = safe_levels(loaded);
    let commands = pwm(loaded, &mut config_txt);
    outputs::overlays(loaded, &mut config_txt);
    let (shared, remarks) = (outputs::shared(loaded), outputs::remarks(loaded));
    Wiring { rows, straps, shared, remarks, config_txt, commands }
}

fn strap(axis: &StepDirDrive) -> String {
    match axis.driver.as_deref().and_then(DriverPreset::find) {
        Some(preset) => preset.strap_text(axis.microsteps, axis.steps_per_revolution),
        None => format!("{} microsteps, as its manual says", axis.microsteps),
    }
}

/// The enable lines before any program runs: off, but on where a load would fall.
fn safe_levels(loaded: &Loaded) -> Vec<Note> {
    let mut lines: Vec<(LineConfig, Vec<&str>, bool)> = Vec::new();
    for motor in &loaded.config.motors {
        let Some(axis) = motor.drive.step_dir() else { continue };
        // Awake is to a sleep line what asleep is to an enable line.
        let sleep = axis.sleep.map(|l| LineConfig { active_low: !l.active_low, ..l });
        let Some(line) = axis.enable.or(sleep) else { continue };
        match lines.iter_mut().find(|l| l.0.gpio == line.gpio) {
            Some((_, motors, holds)) => {
                motors.push(&motor.name);
                *holds |= axis.holds_load;
            }
            None => lines.push((line, vec![&motor.name], axis.holds_load)),
        }
    }
    let note = |(line, motors, holds): (LineConfig, Vec<&str>, bool)| Note {
        why: if holds {
            format!("power for {} while the board starts, so that no load falls", and(&motors))
        } else {
            format!("no power for {} until a program runs", and(&motors))
        },
        line: board::safe_level_line(line.gpio, line.active_low != holds),
    };
    let mut notes: Vec<Note> = lines.into_iter().map(note).collect();
    notes.extend(coils_off(loaded));
    notes
}

/// Coils before any program runs: off, since some pins are pulled high from power-on. What would hold
/// a load then is not known.
fn coils_off(loaded: &Loaded) -> impl Iterator<Item = Note> {
    let coils = loaded.config.motors.iter().filter_map(|motor| {
        let coils = motor.drive.coils().filter(|coils| !coils.holds_load)?;
        Some((&motor.name, coils.gpio))
    });
    coils.map(|(name, gpios)| Note {
        why: format!("no power for {name} until a program runs"),
        line: format!("gpio={}=op,dl", gpios.map(|g| g.to_string()).join(",")),
    })
}

/// Adds the lines that put PWM on the pins of servos and step clocks; what they can't do comes back as commands.
fn pwm(loaded: &Loaded, config_txt: &mut Vec<Note>) -> Vec<Note> {
    let board = loaded.board;
    let mut gpios = Vec::new();
    let mut others = Vec::new();
    for motor in &loaded.config.motors {
        match (motor.drive.kind().pwm(), motor.drive.servo().map(|servo| &servo.output)) {
            (Some(PwmOutput::Gpio(gpio)), _) => gpios.push(gpio),
            (Some(PwmOutput::Channel { device, .. }), _) => {
                others.extend(PwmDevice::named(&device).gpio());
            }
            (None, Some(ServoOutput::Soft { gpio, .. })) => others.push(*gpio),
            (None, _) => {}
        }
        let lines = motor.drive.kind().lines().into_iter().map(|line| line.gpio);
        others.extend(lines.filter(|gpio| !gpios.contains(gpio)));
    }
    if gpios.is_empty() {
        return Vec::new();
    }
    gpios.sort_unstable();
    // An overlay reaches two pins at most, and not every one.
    let mut by_overlay: Vec<u8> = Vec::new();
    for &gpio in &gpios {
        let with = [by_overlay.as_slice(), &[gpio]].concat();
        if board.pwm_overlay(&with).is_some() {
            by_overlay = with;
        }
    }
    let by_command: Vec<u8> = gpios.iter().copied().filter(|g| !by_overlay.contains(g)).collect();
    if by_overlay.is_empty() {
        // Any overlay loads the driver; it must not take a pin that serves something else.
        let free = board.pwm_pins().into_iter().filter(|g| !others.contains(g));
        by_overlay.extend(free.filter(|&g| board.pwm_overlay(&[g]).is_some()).take(1));
    }
    let names: Vec<String> = by_overlay.iter().map(|g| format!("GPIO{g}")).collect();
    for line in board.pwm_overlay(&by_overlay).unwrap_or_default() {
        config_txt.push(Note { why: format!("hardware PWM on {}", and(&names)), line });
    }
    if board.shares_audio() {
        let since = if loaded.board_assumed { "up to the Pi 3, " } else { "" };
        config_txt.push(Note {
            why: format!("{since}analog audio would use the same PWM channels"),
            line: "dtparam=audio=off".to_owned(),
        });
    }
    let command = |gpio| {
        let line = board.pwm_pinctrl(gpio)?;
        Some(Note { why: format!("hardware PWM on GPIO{gpio}, which no overlay reaches"), line })
    };
    by_command.into_iter().filter_map(command).collect()
}

/// `x, y and z`.
pub(super) fn and<T: AsRef<str>>(names: &[T]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match names[..] {
        [] => String::new(),
        [one] => one.to_owned(),
        [ref first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Model;
    use crate::config::Config;

    fn servos(gpios: &[u8], board: Model) -> Wiring {
        let text: String =
            gpios.iter().map(|g| format!("[servo.s{g}]\npwm = {{ gpio = {g} }}\n")).collect();
        wiring(&Config::from_str_for(&text, "t", Some(board)).unwrap())
    }

    fn lines(notes: &[Note]) -> Vec<&str> {
        notes.iter().map(|n| n.line.as_str()).collect()
    }

    #[test]
    fn pwm_lines() {
        let w = servos(&[19, 18], Model::Pi4);
        assert_eq!(lines(&w.config_txt), ["dtoverlay=pwm-2chan"]);
        let w = servos(&[12], Model::Zero);
        assert_eq!(lines(&w.config_txt), ["dtoverlay=pwm,pin=12,func=4", "dtparam=audio=off"]);
        let w = servos(&[12, 13, 14, 19], Model::Pi5);
        assert_eq!(lines(&w.config_txt), ["dtoverlay=pwm-2chan,pin=12,func=4,pin2=13,func2=4"]);
        assert_eq!(lines(&w.commands), ["pinctrl set 14 a0", "pinctrl set 19 a3"]);
        let w = servos(&[14], Model::Pi5);
        assert_eq!(lines(&w.config_txt), ["dtoverlay=pwm,pin=12,func=4"]);
        assert_eq!(lines(&w.commands), ["pinctrl set 14 a0"]);
    }

    #[test]
    fn safe_levels_are_off_unless_a_load_would_fall() {
        let text = include_str!("../../config/xyz-stage.toml");
        let loaded = |text: &str| Config::from_str(text, "t").unwrap();
        let w = wiring(&loaded(text));
        assert_eq!(lines(&w.config_txt), ["gpio=22=op,dh"]);
        assert!(w.config_txt[0].why.contains("x, y and z"));
        // The last axis, z, holds a load.
        let at = text.rfind("on-stop = \"release\"").unwrap();
        let mut holding = text.to_owned();
        holding.replace_range(at..at + 19, "holds-load = true");
        assert_eq!(lines(&wiring(&loaded(&holding)).config_txt), ["gpio=22=op,dl"]);
        let high = text.replace("gpio = 22, active = \"low\"", "gpio = 22, active = \"high\"");
        assert_eq!(lines(&wiring(&loaded(&high)).config_txt), ["gpio=22=op,dl"]);
    }
}
