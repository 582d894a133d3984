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
use crate::board::{PwmDevice, PwmOutput};
use crate::hal::{Cause, Clock, HalError, Level, PwmChannel};
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
    /// The period and the width that the channel has, once this program has set them.
    set: Option<(Duration, PulseWidth)>,
}

impl Drop for Opened {
    /// A signal that runs is left alone: cutting it is worse. A channel at rest is given back.
    fn drop(&mut self) {
        if self.running.is_none() && !self.was_exported {
            self.pwm.set_reset_on_drop(true);
        }
    }
}

/// A channel to be opened.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) output: PwmOutput,
    pub(super) chip: Chip,
    pub(super) channel: u8,
}

/// Opens all that is wanted side by side: each can take a second.
pub(super) fn open_all(wanted: Vec<Wanted>) -> Result<HashMap<PwmOutput, Opened>, HalError> {
    let (done, results) = mpsc::channel();
    let mut waiting = Vec::new();
    for wanted in wanted {
        let (path, output, done) = (wanted.chip.path.clone(), wanted.output.clone(), done.clone());
        let name = format!("open-pwm{}", wanted.channel);
        let work = move || {
            // The receiver is gone when this took too long: nothing is left to do.
            let _ = done.send((wanted.output.clone(), open(&wanted)));
        };
        thread::Builder::new()
            .name(name)
            .spawn(work)
            .map_err(|e| HalError::Open { path: path.clone(), cause: Cause::from(&e) })?;
        waiting.push((output, path));
    }
    let until = StdInstant::now() + OPEN_TIME;
    let mut opened = HashMap::new();
    let mut refused = None;
    while !waiting.is_empty() {
        let left = until.saturating_duration_since(StdInstant::now());
        let (output, result) = results.recv_timeout(left).map_err(|_| HalError::Open {
            path: waiting[0].1.clone(),
            cause: Cause::from(&io::Error::from(io::ErrorKind::TimedOut)),
        })?;
        match result {
            Ok(channel) => {
                opened.insert(output.clone(), channel);
            }
            // The others are waited for: a channel that comes later would stay exported.
            Err(error) => refused = refused.or(Some(error)),
        }
        waiting.retain(|w| w.0 != output);
    }
    refused.map_or(Ok(opened), Err)
}

fn open(wanted: &Wanted) -> Result<Opened, HalError> {
    let Wanted { output, chip, channel } = wanted;
    let (output, channel) = (output.clone(), *channel);
    let folder = chip.channel(channel);
    let was_exported = folder.exists();
    // A channel that is exported and idle disturbs nobody when it is used: a udev rule or a program
    // that is gone left it so. One with a signal belongs to somebody.
    let is_not_0 = |file| fs::read_to_string(folder.join(file)).is_ok_and(|e| e.trim() != "0");
    // A PCA9685's driver calls each channel enabled; one without a pulse has no signal all the same.
    let has_pulses = || matches!(output, PwmOutput::Gpio(_)) || is_not_0("duty_cycle");
    if was_exported && is_not_0("enable") && has_pulses() {
        return Err(HalError::ChannelBusy { output, path: folder, running: true });
    }
    let mut pwm = Pwm::with_pwmchip(chip.number, channel).map_err(|error| match error {
        PwmError::Io(e) => match e.kind() {
            io::ErrorKind::PermissionDenied => {
                HalError::NotPermitted { path: chip.path.join("export") }
            }
            io::ErrorKind::ResourceBusy => HalError::ChannelBusy {
                output: output.clone(),
                path: folder.clone(),
                running: false,
            },
            // ENODEV: the chip has fewer channels.
            _ if e.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => {
                HalError::NoPwmChannel { output: output.clone(), chip: chip.path.clone(), channel }
            }
            _ => HalError::Write {
                output: output.clone(),
                path: chip.path.join("export"),
                value: channel.into(),
                cause: Cause::from(&e),
            },
        },
        PwmError::UnknownModel | PwmError::InvalidChannel => {
            HalError::NoPwmChannel { output: output.clone(), chip: chip.path.clone(), channel }
        }
    })?;
    pwm.set_reset_on_drop(false);
    let until = StdInstant::now() + UDEV_TIME;
    for file in ["period", "duty_cycle", "enable"] {
        wait_for_writing(&folder.join(file), until)?;
    }
    Ok(Opened { pwm, folder, was_exported, running: None, set: None })
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

/// A PWM channel in sysfs.
#[derive(Debug)]
pub(super) struct SysfsPwm {
    output: PwmOutput,
    opened: Opened,
    /// Reads the level, where the signal comes out of a pin of the header; its function stays as it is.
    pin: Option<Pin>,
    clock: Clock,
}

impl SysfsPwm {
    pub(super) fn new(
        output: PwmOutput,
        opened: Opened,
        pin: Option<Pin>,
        clock: Clock,
    ) -> SysfsPwm {
        SysfsPwm { output, opened, pin, clock }
    }

    fn has_one_period(&self) -> bool {
        match &self.output {
            PwmOutput::Gpio(_) => false,
            PwmOutput::Channel { device, .. } => PwmDevice::named(device).has_one_period(),
        }
    }

    fn check(&self, width: PulseWidth, period: Duration) -> Result<(), HalError> {
        if u128::from(width.as_nanos()) > period.as_nanos() {
            return Err(HalError::PulseTooLong { output: self.output.clone(), width, period });
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
                HalError::Write { output: self.output.clone(), path, value, cause: Cause::from(&e) }
            }
            PwmError::UnknownModel | PwmError::InvalidChannel => HalError::Write {
                output: self.output.clone(),
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

    fn write_period(&self, period: Duration) -> Result<(), HalError> {
        let nanos = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        self.wrote("period", nanos, self.opened.pwm.set_period(period))
    }

    fn set_up(&mut self, period: Duration, width: PulseWidth) -> Result<(), HalError> {
        if let Some((now, same)) = self.opened.set
            && same == width
        {
            // Between two bursts of a step clock every write counts: what is known is not written
            // again, and nothing is read.
            if now != period {
                self.opened.set = None;
                self.write_period(period)?;
            }
        } else {
            self.opened.set = None;
            let pwm = &self.opened.pwm;
            // The kernel refuses a period below the width that the last user left.
            if pwm.pulse_width().is_ok_and(|left| left > period) {
                self.write_width(PulseWidth::ZERO)?;
            }
            self.write_period(period)?;
            self.write_width(width)?;
            if pwm.polarity().is_ok_and(|p| p == Polarity::Inverse) {
                self.wrote("polarity", 0, pwm.set_polarity(Polarity::Normal))?;
            }
        }
        self.opened.set = Some((period, width));
        Ok(())
    }

    fn write_enable(&self, period: Duration) -> Result<(), HalError> {
        match self.opened.pwm.enable() {
            // Only at the enabling the period becomes the chip's, and a PCA9685's driver refuses to
            // change the one that other channels have.
            Err(PwmError::Io(e))
                if self.has_one_period() && e.kind() == io::ErrorKind::ResourceBusy =>
            {
                Err(HalError::OnePeriod { output: self.output.clone(), period })
            }
            result => self.wrote("enable", 1, result),
        }
    }
}

impl PwmChannel for SysfsPwm {
    fn resolution(&self) -> Duration {
        // The slowest PWM clock met: 10 MHz, on a stock kernel. Raspberry Pi's own run 50 MHz.
        Duration::from_nanos(100)
    }

    fn start(&mut self, period: Duration, width: PulseWidth) -> Result<Instant, HalError> {
        if self.opened.running.is_some() {
            return Err(HalError::AlreadyRunning { output: self.output.clone() });
        }
        self.check(width, period)?;
        let started = self.set_up(period, width).and_then(|()| self.write_enable(period));
        if let Err(error) = started {
            // Whatever came of it, no signal is left; the first error is the one to tell.
            let _ = self.opened.pwm.disable();
            return Err(error);
        }
        self.opened.running = Some(period);
        Ok(self.clock.now())
    }

    fn prepare(&mut self, period: Duration, width: PulseWidth) -> Result<(), HalError> {
        if self.opened.running.is_some() {
            return Err(HalError::AlreadyRunning { output: self.output.clone() });
        }
        self.check(width, period)?;
        self.set_up(period, width)
    }

    fn enable(&mut self) -> Result<Instant, HalError> {
        if self.opened.running.is_some() {
            return Err(HalError::AlreadyRunning { output: self.output.clone() });
        }
        let Some((period, _)) = self.opened.set else {
            return Err(HalError::NotRunning { output: self.output.clone() });
        };
        self.write_enable(period)?;
        // The clock first: what comes after it is no part of the write.
        let now = self.clock.now();
        self.opened.running = Some(period);
        Ok(now)
    }

    fn set_period(&mut self, period: Duration) -> Result<Instant, HalError> {
        let (Some(_), Some((_, width))) = (self.opened.running, self.opened.set) else {
            return Err(HalError::NotRunning { output: self.output.clone() });
        };
        self.check(width, period)?;
        self.write_period(period)?;
        self.opened.running = Some(period);
        self.opened.set = Some((period, width));
        Ok(self.clock.now())
    }

    fn set_width(&mut self, width: PulseWidth) -> Result<Instant, HalError> {
        let Some(period) = self.opened.running else {
            return Err(HalError::NotRunning { output: self.output.clone() });
        };
        self.check(width, period)?;
        self.write_width(width)?;
        self.opened.set = Some((period, width));
        Ok(self.clock.now())
    }

    fn level(&mut self) -> Option<Level> {
        self.pin.as_ref().map(|pin| from_rppal(pin.read()))
    }

    fn disable(&mut self) -> Result<Instant, HalError> {
        let result = self.opened.pwm.disable();
        self.wrote("enable", 0, result)?;
        self.opened.running = None;
        Ok(self.clock.now())
    }
}
