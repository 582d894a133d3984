//! Which `/sys/class/pwm/pwmchipN` is the header's.

use std::fs;
use std::path::{Path, PathBuf};

use crate::board::Model;
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
    let entries = match fs::read_dir(class) {
        Ok(entries) => entries.flatten().map(|e| e.path()).collect(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(e) => {
            return Err(HalError::Open { path: class.into(), cause: Cause::from(&e) });
        }
    };
    let mut present = Vec::new();
    for path in entries {
        let Some(number) = number(&path) else {
            continue;
        };
        let device = fs::read_link(path.join("device")).unwrap_or_default();
        let device = device.to_string_lossy();
        if board.is_header_pwm(&device) {
            return Ok(Chip { number, path });
        }
        let last = device.rsplit('/').next().unwrap_or_default();
        present.push(format!("pwmchip{number} is {last}"));
    }
    present.sort();
    Err(HalError::NoPwmChip { gpio, board, lines: lines.map(<[String]>::to_vec), present })
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
