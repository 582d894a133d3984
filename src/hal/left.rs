//! PWM signals that a program left running when it died.
//!
//! rppal can't open such a channel without disabling it first, which cuts a pulse. So this goes to the
//! files of sysfs by itself, and writes nothing before it knows what the channel does.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::{Cause, Clock, HalError, Level, PhaseWatch};
use crate::board::PwmOutput;

/// How often the pin is read while a pulse is waited out.
const LOOK: Duration = Duration::from_micros(50);
/// How long udev may take to give a channel's files to the group `gpio`.
const UDEV_TIME: Duration = Duration::from_secs(2);
/// The longest period that is waited for. A step clock of half a hertz has it; no servo comes near.
const LONGEST_PERIOD: Duration = Duration::from_secs(2);

/// The longest that [`LeftSignal::end`] can take, as far as the kernel answers.
pub(crate) const LONGEST_END: Duration = Duration::from_secs(10);

/// What was done about a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignalEnd {
    /// There was none.
    WasOff,
    /// It ran, and ended by width 0, a period, off.
    Ended,
    /// It ran, and is off; but the kernel refused width 0, so its last pulse may have been cut.
    Cut,
}

/// A PWM channel whose signal, if it has one, belongs to nobody.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LeftSignal {
    /// The channel's name, for errors.
    pub output: PwmOutput,
    /// The chip's folder in sysfs.
    pub chip: PathBuf,
    /// The channel, counted from 0.
    pub channel: u8,
}

impl LeftSignal {
    fn folder(&self) -> PathBuf {
        self.chip.join(format!("pwm{}", self.channel))
    }

    /// Ends the signal, if there is one, without cutting a pulse: the falling edge, width 0, one
    /// whole period, off. `level` reads the pin, where it can be read. A channel that nobody had
    /// exported is given back; one that was exported stays so.
    ///
    /// # Errors
    ///
    /// The channel can't be looked at, the kernel uses it, or the signal could not be switched off.
    pub fn end(
        &self,
        level: &mut dyn FnMut() -> Option<Level>,
        clock: &Clock,
    ) -> Result<SignalEnd, HalError> {
        let exported = self.folder().exists();
        if !exported {
            self.export()?;
        }
        let end = self.wait_for_files(clock).and_then(|()| self.end_exported(level, clock));
        if !exported && end.is_ok() {
            // It is off: whether it is exported matters to nobody.
            let _ = self.write_to(&self.chip.join("unexport"), u64::from(self.channel));
        }
        end
    }

    fn end_exported(
        &self,
        level: &mut dyn FnMut() -> Option<Level>,
        clock: &Clock,
    ) -> Result<SignalEnd, HalError> {
        let period = self.read("period")?;
        if self.read("enable")? == 0 {
            // A width that is left would be a pulse for whoever enables the channel next.
            if period > 0 && self.read("duty_cycle")? > 0 {
                self.write("duty_cycle", 0)?;
            }
            return Ok(SignalEnd::WasOff);
        }
        let period = Duration::from_nanos(period).min(LONGEST_PERIOD);
        wait_for_fall(level, period, clock);
        let emptied = self.write("duty_cycle", 0);
        if emptied.is_ok() {
            // A width that was taken just before a period began counts for one period more at the most.
            thread::sleep(period + LOOK);
        } else {
            wait_for_fall(level, period, clock);
        }
        self.write("enable", 0)?;
        Ok(if emptied.is_ok() { SignalEnd::Ended } else { SignalEnd::Cut })
    }

    fn export(&self) -> Result<(), HalError> {
        let path = self.chip.join("export");
        let Err(error) = self.write_to(&path, u64::from(self.channel)) else { return Ok(()) };
        let output = self.output.clone();
        Err(match error {
            HalError::Write { cause, .. } if cause.kind() == io::ErrorKind::ResourceBusy => {
                HalError::ChannelBusy { output, path: self.folder(), running: false }
            }
            HalError::Write { cause, .. }
                if cause.code() == Some(rustix::io::Errno::NODEV.raw_os_error()) =>
            {
                HalError::NoPwmChannel { output, chip: self.chip.clone(), channel: self.channel }
            }
            error => error,
        })
    }

    /// Waits until this user may write the files of a channel that was exported just now.
    fn wait_for_files(&self, clock: &Clock) -> Result<(), HalError> {
        let until = clock.now() + UDEV_TIME;
        for file in ["duty_cycle", "enable"] {
            let path = self.folder().join(file);
            while let Err(e) = OpenOptions::new().write(true).open(&path) {
                if clock.now() < until {
                    thread::sleep(Duration::from_millis(10));
                } else if e.kind() == io::ErrorKind::PermissionDenied {
                    return Err(HalError::NotPermitted { path });
                } else {
                    return Err(HalError::Open { path, cause: Cause::from(&e) });
                }
            }
        }
        Ok(())
    }

    fn read(&self, file: &str) -> Result<u64, HalError> {
        let path = self.folder().join(file);
        let text = fs::read_to_string(&path)
            .map_err(|e| HalError::Open { path: path.clone(), cause: Cause::from(&e) })?;
        let odd = io::Error::from(io::ErrorKind::InvalidData);
        text.trim().parse().map_err(|_| HalError::Open { path, cause: Cause::from(&odd) })
    }

    fn write(&self, file: &str, value: u64) -> Result<(), HalError> {
        self.write_to(&self.folder().join(file), value)
    }

    fn write_to(&self, path: &Path, value: u64) -> Result<(), HalError> {
        let wrote = OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|mut file| file.write_all(value.to_string().as_bytes()));
        wrote.map_err(|e| match e.kind() {
            io::ErrorKind::PermissionDenied => HalError::NotPermitted { path: path.into() },
            _ => HalError::Write {
                output: self.output.clone(),
                path: path.into(),
                value,
                cause: Cause::from(&e),
            },
        })
    }
}

/// Waits until the pin falls, for at most a period.
fn wait_for_fall(level: &mut dyn FnMut() -> Option<Level>, period: Duration, clock: &Clock) {
    let mut watch = PhaseWatch::new(clock.now(), period);
    while !watch.may_write(level(), clock.now()) {
        thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chip with channel 1 exported, whose files are ordinary ones.
    fn channel(files: &[(&str, &str)]) -> (tempfile::TempDir, LeftSignal) {
        let chip = tempfile::tempdir().unwrap();
        fs::create_dir(chip.path().join("pwm1")).unwrap();
        for (file, text) in files {
            fs::write(chip.path().join("pwm1").join(file), text).unwrap();
        }
        let left = LeftSignal { output: 13.into(), chip: chip.path().into(), channel: 1 };
        (chip, left)
    }

    const RUNNING: [(&str, &str); 3] =
        [("period", "20000000\n"), ("duty_cycle", "1500000\n"), ("enable", "1\n")];

    #[test]
    fn a_signal_ends_by_width_0_then_a_period_then_off() {
        let (_chip, left) = channel(&RUNNING);
        let clock = Clock::monotonic();
        let width = left.folder().join("duty_cycle");
        let mut looks = 0;
        // High at first: the pulse is waited out before anything is written.
        let mut level = || {
            looks += 1;
            assert_eq!(fs::read_to_string(&width).unwrap().trim(), "1500000");
            assert_eq!(fs::read_to_string(left.folder().join("enable")).unwrap().trim(), "1");
            Some(Level::from_bool(looks < 4))
        };
        let began = clock.now();
        assert_eq!(left.end(&mut level, &clock), Ok(SignalEnd::Ended));
        assert!(clock.now().since(began) >= Duration::from_millis(20));
        assert_eq!(looks, 4);
        assert!(fs::read_to_string(&width).unwrap().starts_with('0'));
        assert!(fs::read_to_string(left.folder().join("enable")).unwrap().starts_with('0'));
    }

    #[test]
    fn a_channel_that_is_off_keeps_no_width() {
        let mut none = || None;
        let clock = Clock::monotonic();
        let (_chip, left) = channel(&[RUNNING[0], RUNNING[1], ("enable", "0\n")]);
        assert_eq!(left.end(&mut none, &clock), Ok(SignalEnd::WasOff));
        assert!(fs::read_to_string(left.folder().join("duty_cycle")).unwrap().starts_with('0'));
        // Exported, and nothing more: its period is 0, with which the kernel takes no width at all.
        let (_chip, left) = channel(&[("period", "0\n"), ("duty_cycle", "0\n"), ("enable", "0\n")]);
        assert_eq!(left.end(&mut none, &clock), Ok(SignalEnd::WasOff));
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_nothing_is_written() {
        let (_chip, left) = channel(&[RUNNING[0], RUNNING[1], ("enable", "perhaps\n")]);
        let error = left.end(&mut || None, &Clock::monotonic()).unwrap_err();
        assert!(matches!(error, HalError::Open { .. }), "{error}");
        let width = fs::read_to_string(left.folder().join("duty_cycle")).unwrap();
        assert_eq!(width, "1500000\n");
        let (_chip, left) = channel(&RUNNING);
        let other = LeftSignal { channel: 0, ..left };
        // There is no file `export` in this chip.
        assert!(other.end(&mut || None, &Clock::monotonic()).is_err());
    }
}
