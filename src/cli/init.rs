//! `lockstep init`: a commented config to start from.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use super::Report;
use crate::board::header_pin;
use crate::config::Config;

/// The kinds of starter that there are.
pub const KINDS: [&str; 4] = ["servo", "28byj48", "drv8825", "xyz"];

/// The text of a starter config. `gpio` is the servo's pin (18 if `None`) or the driver's STEP pin (17
/// if `None`).
///
/// # Errors
///
/// In words for a person: an unknown kind, a pin that can't serve, or a pin for a kind that has many.
pub fn starter(kind: &str, gpio: Option<u8>) -> Result<String, String> {
    let text = match kind {
        "servo" => {
            fill(include_str!("starters/servo.toml"), &[("gpio", "pin", gpio.unwrap_or(18))])
        }
        "drv8825" => {
            let step = gpio.unwrap_or(17);
            let free = |wanted: u8, other: u8| if step == wanted { other } else { wanted };
            fill(
                include_str!("starters/drv8825.toml"),
                &[
                    ("gpio", "pin", step),
                    ("dir", "dir_pin", free(27, 17)),
                    ("enable", "enable_pin", free(22, 17)),
                ],
            )
        }
        "xyz" if gpio.is_some() => {
            return Err(
                "an xyz stage has many pins: write it without --gpio, then edit them".into()
            );
        }
        "xyz" => include_str!("../../config/xyz-stage.toml").to_owned(),
        "28byj48" if gpio.is_some() => {
            return Err(
                "a 28BYJ-48 takes four pins: write it without --gpio, then edit them".into()
            );
        }
        "28byj48" => include_str!("../../config/28byj48-dial.toml").to_owned(),
        _ => {
            return Err(format!("there is no starter `{kind}`: write one of {}", KINDS.join(", ")));
        }
    };
    // What the config would be refused for, it is refused for now.
    match Config::from_str(&text, "starter") {
        Ok(_) => Ok(text),
        Err(errors) => Err(errors.diagnostics.first().map_or_else(String::new, |d| d.text())),
    }
}

/// Puts each pin, and the header pin that carries it, in place of its two names in braces.
fn fill(template: &str, pins: &[(&str, &str, u8)]) -> String {
    let mut text = template.to_owned();
    for (gpio_name, pin_name, gpio) in pins {
        let pin = header_pin(*gpio).map_or_else(|| "?".to_owned(), |p| p.to_string());
        text = text.replace(&format!("{{{gpio_name}}}"), &gpio.to_string());
        text = text.replace(&format!("{{{pin_name}}}"), &pin);
    }
    text
}

/// Writes a starter config to standard output, or to a file that does not exist yet.
pub fn init(kind: &str, gpio: Option<u8>, file: Option<&Path>) -> Report {
    let failed = |message: String| Report {
        err: format!("error: {message}\n"),
        status: 2,
        ..Report::default()
    };
    let text = match starter(kind, gpio) {
        Ok(text) => text,
        Err(message) => return failed(message),
    };
    let Some(file) = file else {
        return Report { out: text, ..Report::default() };
    };
    let name = file.display();
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(file)
        .and_then(|mut f| f.write_all(text.as_bytes()));
    match written {
        Ok(()) => Report {
            out: format!("wrote {name}\nNext: lockstep check {name}\n"),
            ..Report::default()
        },
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            failed(format!("{name} is there already, and stays as it is: name another file"))
        }
        Err(e) => {
            failed(format!("can't write {name} ({e}): name a file in a folder that is there"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_starter_passes_its_own_check() {
        for kind in KINDS {
            let text = starter(kind, None).unwrap();
            let loaded = Config::from_str(&text, "starter.toml").unwrap();
            let start = loaded.config.machine.start_program.unwrap();
            assert!(loaded.config.programs.iter().any(|p| p.name == start), "{kind}");
            assert!(!text.contains("{gpio}") && !text.contains("_pin}"), "{kind}");
        }
    }

    #[test]
    fn the_pin_can_be_chosen() {
        let text = starter("servo", Some(13)).unwrap();
        assert!(text.contains("gpio = 13") && text.contains("GPIO13, header pin 33"));
        for gpio in 2..=27 {
            let text = starter("drv8825", Some(gpio)).unwrap();
            assert!(text.contains(&format!("step = {{ gpio = {gpio} }}")));
        }
        let message = starter("servo", Some(17)).unwrap_err();
        assert!(message.starts_with("GPIO17 has no hardware PWM"), "{message}");
        assert!(starter("drv8825", Some(28)).is_err());
        assert!(starter("xyz", Some(5)).is_err());
    }

    #[test]
    fn what_is_not_there_says_so() {
        assert!(starter("28byj48", Some(5)).unwrap_err().contains("four pins"));
        assert_eq!(
            starter("stepper", None).unwrap_err(),
            "there is no starter `stepper`: write one of servo, 28byj48, drv8825, xyz"
        );
    }

    #[test]
    fn a_file_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("my.toml");
        assert_eq!(init("servo", None, Some(&file)).status, 0);
        let first = std::fs::read_to_string(&file).unwrap();
        assert_eq!(first, init("servo", None, None).out);
        let again = init("xyz", None, Some(&file));
        assert_eq!(again.status, 2);
        assert!(again.err.contains("is there already"), "{}", again.err);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), first);
        assert_eq!(init("servo", None, Some(&folder.path().join("no/my.toml"))).status, 2);
    }
}
