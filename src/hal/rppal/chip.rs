//! Which `/sys/class/pwm/pwmchipN` is the header's, and which one a name means.

use std::fs;
use std::path::{Path, PathBuf};

use crate::board::{Model, PwmDevice, PwmOutput};
use crate::hal::{Cause, HalError};

/// A PWM chip in sysfs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Chip {
    pub(super) number: u8,
    pub(super) path: PathBuf,
}

impl Chip {
    pub(super) fn channel(&self, channel: u8) -> PathBuf {
        self.path.join(format!("pwm{channel}"))
    }
}

/// A chip that is there, and what the kernel calls it.
struct Present {
    chip: Chip,
    /// Where its `device` link points.
    link: String,
    /// The name of its driver; empty where it has none.
    driver: String,
}

impl Present {
    /// The name of its device.
    fn device(&self) -> &str {
        self.link.rsplit('/').next().unwrap_or_default()
    }

    /// `pwmchip1 is 1-0040`.
    fn told(&self) -> String {
        let driver = match self.driver.as_str() {
            "" => String::new(),
            driver => format!(" (driver {driver})"),
        };
        format!("pwmchip{} is {}{driver}", self.chip.number, self.device())
    }
}

/// All PWM chips, by number.
fn all(class: &Path) -> Result<Vec<Present>, HalError> {
    let entries = match fs::read_dir(class) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(HalError::Open { path: class.into(), cause: Cause::from(&e) }),
    };
    let link = |path: PathBuf| fs::read_link(path).unwrap_or_default().display().to_string();
    let mut all = Vec::new();
    for path in entries.flatten().map(|e| e.path()) {
        let Some(number) = number(&path) else { continue };
        let driver = link(path.join("device/driver"));
        all.push(Present {
            link: link(path.join("device")),
            driver: driver.rsplit('/').next().unwrap_or_default().to_owned(),
            chip: Chip { number, path },
        });
    }
    all.sort_by_key(|p| p.chip.number);
    Ok(all)
}

/// The chip that `device` means, the name of a device or a driver, for `output`.
pub(super) fn find_named(output: &PwmOutput, device: &str) -> Result<Chip, HalError> {
    find_named_in(Path::new("/sys/class/pwm"), output, device)
}

fn find_named_in(class: &Path, output: &PwmOutput, device: &str) -> Result<Chip, HalError> {
    let all = all(class)?;
    let mut meant = all.iter().filter(|p| PwmDevice::is_meant(device, p.device(), &p.driver));
    match (meant.next(), meant.next()) {
        (Some(one), None) => Ok(one.chip.clone()),
        (None, _) => Err(HalError::NoSuchPwmChip {
            output: output.clone(),
            present: all.iter().map(Present::told).collect(),
        }),
        (Some(first), Some(_)) => Err(HalError::ManyPwmChips {
            output: output.clone(),
            first: first.device().to_owned(),
            present: all
                .iter()
                .filter(|p| PwmDevice::is_meant(device, p.device(), &p.driver))
                .map(Present::told)
                .collect(),
        }),
    }
}

/// The header's PWM chip, for `gpio`; `lines` is what `config.txt` needs where there is none.
pub(super) fn find(board: Model, gpio: u8, lines: Option<&[String]>) -> Result<Chip, HalError> {
    find_in(Path::new("/sys/class/pwm"), board, gpio, lines)
}

fn find_in(
    class: &Path,
    board: Model,
    gpio: u8,
    lines: Option<&[String]>,
) -> Result<Chip, HalError> {
    let all = all(class)?;
    match all.iter().find(|p| board.is_header_pwm(&p.link)) {
        Some(header) => Ok(header.chip.clone()),
        None => Err(HalError::NoPwmChip {
            gpio,
            board,
            lines: lines.map(<[String]>::to_vec),
            present: all.iter().map(Present::told).collect(),
        }),
    }
}

fn number(path: &Path) -> Option<u8> {
    path.file_name()?.to_str()?.strip_prefix("pwmchip")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn class(chips: &[(u8, &str)]) -> tempfile::TempDir {
        let class = tempfile::tempdir().unwrap();
        for (number, device) in chips {
            let chip = class.path().join(format!("pwmchip{number}"));
            fs::create_dir(&chip).unwrap();
            symlink(device, chip.join("device")).unwrap();
        }
        class
    }

    #[test]
    fn by_device_and_not_by_number() {
        for (board, chips, number) in [
            (Model::Pi4, &[(0, "../../../fe20c800.pwm"), (1, "../../../fe20c000.pwm")][..], 1),
            (Model::Pi4, &[(0, "../../../fe20c000.pwm"), (1, "../../1-0040")], 0),
            (Model::Pi5, &[(0, "../../../1f00098000.pwm"), (4, "../../1f0009c000.pwm")], 0),
            (Model::Pi5, &[(6, "../../../1f0009c000.pwm"), (2, "../../1f00098000.pwm")], 2),
            (Model::Pi3, &[(3, "../../../3f20c000.pwm")], 3),
        ] {
            let class = class(chips);
            let chip = find_in(class.path(), board, 18, None).unwrap();
            assert_eq!(chip.number, number);
            assert_eq!(chip.path, class.path().join(format!("pwmchip{number}")));
            assert!(chip.channel(1).ends_with(format!("pwmchip{number}/pwm1")));
        }
    }

    /// Chips with a device and its driver, as sysfs links them.
    fn driven(chips: &[(u8, &str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (number, device, driver) in chips {
            let chip = root.path().join(format!("class/pwmchip{number}"));
            fs::create_dir_all(&chip).unwrap();
            let folder = root.path().join("devices").join(device);
            fs::create_dir_all(&folder).unwrap();
            symlink(&folder, chip.join("device")).unwrap();
            symlink(Path::new("../../bus/drivers").join(driver), folder.join("driver")).unwrap();
        }
        root
    }

    #[test]
    fn a_name_means_a_device_or_its_driver() {
        let header = (0, "fe20c000.pwm", "pwm-bcm2835");
        let (first, second) = ((3, "1-0040", "pca9685-pwm"), (1, "1-0041", "pca9685-pwm"));
        let output = |device: &str| PwmOutput::Channel { device: device.into(), channel: 3 };
        let find = |chips: &[_], name| {
            find_named_in(&driven(chips).path().join("class"), &output(name), name)
        };
        for name in ["pca9685", "pca9685-pwm", "1-0040"] {
            assert_eq!(find(&[header, first], name).unwrap().number, 3, "{name}");
        }
        assert_eq!(find(&[header, first, second], "1-0041").unwrap().number, 1);
        let many = find(&[header, first, second], "pca9685").unwrap_err();
        assert_eq!(
            many.to_string(),
            "channel 3 of pca9685: several PWM chips go by that name (pwmchip1 is 1-0041 (driver \
             pca9685-pwm), pwmchip3 is 1-0040 (driver pca9685-pwm)): name the one that is meant by \
             its device, such as `device = \"1-0041\"`"
        );
        let none = find(&[header], "pca9685").unwrap_err();
        assert_eq!(
            none.to_string(),
            "channel 3 of pca9685: no PWM chip in /sys/class/pwm has a device or a driver of that name \
             (what is there: pwmchip0 is fe20c000.pwm (driver pwm-bcm2835)): add \
             `dtoverlay=i2c-pwm-pca9685a` to /boot/firmware/config.txt and reboot; if it is there, \
             look for the board with `i2cdetect -y 1`"
        );
        let other = find(&[header], "meson-pwm").unwrap_err().to_string();
        assert!(other.ends_with("): name one that is there, or load its driver"), "{other}");
    }

    #[test]
    fn without_it_the_error_says_what_is_there_and_what_to_add() {
        let lines = Model::Pi5.pwm_overlay(&[18, 19]);
        let fan = class(&[(1, "../../../1f0009c000.pwm")]);
        let error = find_in(fan.path(), Model::Pi5, 18, lines.as_deref()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("pwmchip1 is 1f0009c000.pwm"), "{text}");
        assert!(text.contains("add `dtoverlay=pwm-2chan` to /boot/firmware/config.txt"), "{text}");
        let nothing = fan.path().join("absent");
        assert!(matches!(
            find_in(&nothing, Model::Pi5, 18, None),
            Err(HalError::NoPwmChip { present, .. }) if present.is_empty()
        ));
    }
}
