//! PWM channels through sysfs.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant as StdInstant};

use ::rppal::gpio::Pin;
use ::rppal::pwm::{Error as PwmError, Polarity, Pwm};

use super::chip::Chip;
use super::from_rppal;
use crate::board::Model;
use crate::hal::{Capabilities, Cause, Clock, Emission, HalError, JitterClass, Level, PwmChannel};
use crate::units::{Instant, PulseWidth};

/// How long udev may take to give the channel's files to the group `gpio`.
const UDEV_TIME: Duration = Duration::from_secs(2);
/// How long opening all channels may take: rppal's own second, udev's time, and some.
const OPEN_TIME: Duration = Duration::from_secs(5);

/// An open channel.
#[derive(Debug)]
pub(super) struct Opened {
    pwm: Pwm,
    folder: PathBuf,
    /// Whether somebody had exported it before: then it stays exported.
    was_exported: bool,
    /// The period of the signal, while there is one.
    running: Option<Duration>,
}

impl Drop for Opened {
    /// A signal that runs is left alone: cutting it is worse. A channel at rest is given back.
    fn drop(&mut self) {
        if self.running.is_none() && !self.was_exported {
            self.pwm.set_reset_on_drop(true);
        }
    }
}

/// Opens the channels of `gpios` on `chip`, side by side: each can take a second.
pub(super) fn open_all(
    board: Model,
    chip: &Chip,
    gpios: &[u8],
) -> Result<HashMap<u8, Opened>, HalError> {
    let (done, results) = mpsc::channel();
    let mut waiting = Vec::new();
    for &gpio in gpios {
        let channel = board.pwm_channel(gpio).ok_or(HalError::NoHardwarePwm { gpio, board })?;
        let (path, chip, done) = (chip.path.clone(), chip.clone(), done.clone());
        let work = move || {
            // The receiver is gone when this took too long: nothing is left to do.
            let _ = done.send((gpio, open(&chip, channel, gpio)));
        };
        thread::Builder::new()
            .name(format!("open-pwm{channel}"))
            .spawn(work)
            .map_err(|e| HalError::Open { path: path.clone(), cause: Cause::from(&e) })?;
        waiting.push(gpio);
    }
    let until = StdInstant::now() + OPEN_TIME;
    let mut opened = HashMap::new();
    let mut refused = None;
    while !waiting.is_empty() {
        let left = until.saturating_duration_since(StdInstant::now());
        let (gpio, result) = results.recv_timeout(left).map_err(|_| HalError::Open {
            path: chip.path.clone(),
            cause: Cause::from(&io::Error::from(io::ErrorKind::TimedOut)),
        })?;
        match result {
            Ok(channel) => {
                opened.insert(gpio, channel);
            }
            // The others are waited for: a channel that comes later would stay exported.
            Err(error) => refused = refused.or(Some(error)),
        }
        waiting.retain(|&w| w != gpio);
    }
    refused.map_or(Ok(opened), Err)
}

fn open(chip: &Chip, channel: u8, gpio: u8) -> Result<Opened, HalError> {
    let folder = chip.channel(channel);
    let was_exported = folder.exists();
    // A channel that is exported and idle disturbs nobody when it is used: a udev rule or a program
    // that is gone left it so. One with a signal belongs to somebody.
    if was_exported && fs::read_to_string(folder.join("enable")).is_ok_and(|e| e.trim() != "0") {
        return Err(HalError::ChannelBusy { gpio, path: folder, running: true });
    }
    let mut pwm = Pwm::with_pwmchip(chip.number, channel).map_err(|error| match error {
        PwmError::Io(e) => match e.kind() {
            io::ErrorKind::PermissionDenied => {
                HalError::NotPermitted { path: chip.path.join("export") }
            }
            io::ErrorKind::ResourceBusy => {
                HalError::ChannelBusy { gpio, path: folder.clone(), running: false }
            }
            // ENODEV: the chip has fewer channels.
            _ if e.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => {
                HalError::NoPwmChannel { gpio, chip: chip.path.clone(), channel }
            }
            _ => HalError::Write {
                gpio,
                path: chip.path.join("export"),
                value: channel.into(),
                cause: Cause::from(&e),
            },
        },
        PwmError::UnknownModel | PwmError::InvalidChannel => {
            HalError::NoPwmChannel { gpio, chip: chip.path.clone(), channel }
        }
    })?;
    pwm.set_reset_on_drop(false);
    let until = StdInstant::now() + UDEV_TIME;
    for file in ["period", "duty_cycle", "enable"] {
        wait_for_writing(&folder.join(file), until)?;
    }
    Ok(Opened { pwm, folder, was_exported, running: None })
}

fn wait_for_writing(path: &Path, until: StdInstant) -> Result<(), HalError> {
    loop {
        match OpenOptions::new().write(true).open(path) {
            Ok(_) => return Ok(()),
            Err(_) if StdInstant::now() < until => thread::sleep(Duration::from_millis(10)),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                return Err(HalError::NotPermitted { path: path.into() });
            }
            Err(e) => {
                return Err(HalError::Open { path: path.into(), cause: Cause::from(&e) });
            }
        }
    }
}

/// A PWM channel of the header.
#[derive(Debug)]
pub(super) struct HeaderPwm {
    gpio: u8,
    opened: Opened,
    /// Reads the level; the pin's function stays PWM.
    pin: Pin,
    clock: Clock,
}

impl HeaderPwm {
    pub(super) fn new(gpio: u8, opened: Opened, pin: Pin, clock: Clock) -> HeaderPwm {
        HeaderPwm { gpio, opened, pin, clock }
    }

    fn check(&self, width: PulseWidth, period: Duration) -> Result<(), HalError> {
        if u128::from(width.as_nanos()) > period.as_nanos() {
            return Err(HalError::PulseTooLong { gpio: self.gpio, width, period });
        }
        Ok(())
    }

    fn wrote(&self, file: &str, value: u64, result: Result<(), PwmError>) -> Result<(), HalError> {
        let Err(error) = result else { return Ok(()) };
        let path = self.opened.folder.join(file);
        Err(match error {
            PwmError::Io(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                HalError::NotPermitted { path }
            }
            PwmError::Io(e) => {
                HalError::Write { gpio: self.gpio, path, value, cause: Cause::from(&e) }
            }
            PwmError::UnknownModel | PwmError::InvalidChannel => HalError::Write {
                gpio: self.gpio,
                path,
                value,
                cause: Cause::from(&io::Error::from(io::ErrorKind::InvalidInput)),
            },
        })
    }

    fn write_width(&self, width: PulseWidth) -> Result<(), HalError> {
        let nanos = u64::from(width.as_nanos());
        let result = self.opened.pwm.set_pulse_width(Duration::from_nanos(nanos));
        self.wrote("duty_cycle", nanos, result)
    }

    fn set_up(&self, period: Duration, width: PulseWidth) -> Result<(), HalError> {
        let pwm = &self.opened.pwm;
        // The kernel refuses a period below the width that the last user left.
        if pwm.pulse_width().is_ok_and(|left| left > period) {
            self.write_width(PulseWidth::ZERO)?;
        }
        let nanos = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        self.wrote("period", nanos, pwm.set_period(period))?;
        self.write_width(width)?;
        if pwm.polarity().is_ok_and(|p| p == Polarity::Inverse) {
            self.wrote("polarity", 0, pwm.set_polarity(Polarity::Normal))?;
        }
        self.wrote("enable", 1, pwm.enable())
    }
}

impl PwmChannel for HeaderPwm {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            emission: Emission::Immediate,
            exact_count: false,
            // The slowest PWM clock met: 10 MHz, on a stock kernel. Raspberry Pi's own run 50 MHz.
            resolution: Duration::from_nanos(100),
            jitter: JitterClass::Hardware,
        }
    }

    fn start(&mut self, period: Duration, width: PulseWidth) -> Result<Instant, HalError> {
        if self.opened.running.is_some() {
            return Err(HalError::AlreadyRunning { gpio: self.gpio });
        }
        self.check(width, period)?;
        if let Err(error) = self.set_up(period, width) {
            // Whatever came of it, no signal is left; the first error is the one to tell.
            let _ = self.opened.pwm.disable();
            return Err(error);
        }
        self.opened.running = Some(period);
        Ok(self.clock.now())
    }

    fn set_width(&mut self, width: PulseWidth) -> Result<Instant, HalError> {
        let Some(period) = self.opened.running else {
            return Err(HalError::NotRunning { gpio: self.gpio });
        };
        self.check(width, period)?;
        self.write_width(width)?;
        Ok(self.clock.now())
    }

    fn level(&mut self) -> Option<Level> {
        Some(from_rppal(self.pin.read()))
    }

    fn disable(&mut self) -> Result<Instant, HalError> {
        let result = self.opened.pwm.disable();
        self.wrote("enable", 0, result)?;
        self.opened.running = None;
        Ok(self.clock.now())
    }
}
