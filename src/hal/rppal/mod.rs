//! The header of a Raspberry Pi, through rppal.
//!
//! This folder is the only place that names rppal: when another crate takes its place, this is what
//! changes. What rppal does that a motor cannot bear, and what is done about it here:
//!
//! - Dropping one of its channels or pins cuts the signal and lets the pin float: every drop is told
//!   to reset nothing.
//! - It looks for the PWM chip by a fixed number: the chip is found by its device ([`chip`]).
//! - For a user who is not root, opening a PWM channel waits up to a second for a file mode that the
//!   usual udev rules never set: channels are opened side by side ([`pwm`]).
//! - Its asynchronous interrupts arm themselves some time after the call, and keep a refusal to
//!   themselves: one thread of ours uses its synchronous ones ([`inputs`]).

mod chip;
mod inputs;
#[cfg(feature = "cli")]
mod look;
mod outputs;
mod pwm;

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::rppal::gpio::{Error as GpioError, Gpio, Mode, Pin};

use super::{
    Backend, Cause, Clock, HalError, InputLine, Level, OnEdge, OutputLine, OutputStart, PwmChannel,
    identify_board,
};
use crate::board::{HEADER_GPIOS, Model, Pull, PwmDevice, PwmOutput};
use inputs::Watcher;
#[cfg(feature = "cli")]
pub(crate) use look::look_at;
use outputs::HeaderOutput;
use pwm::{Opened, SysfsPwm, Wanted};

/// Reads the level of a pin.
pub(crate) type LevelReader = Box<dyn Fn() -> Level + Send>;

/// The back end that drives the header of a Raspberry Pi.
#[derive(Debug)]
pub struct RppalBackend {
    board: Model,
    gpio: Gpio,
    clock: Clock,
    /// Who has each pin, for errors: rppal knows only that somebody has.
    users: HashMap<u8, String>,
    /// PWM pins that were announced, and channels as far as they are open and not yet taken.
    announced: Vec<u8>,
    opened: HashMap<PwmOutput, Opened>,
    /// Who has each channel that is not the header's.
    channels: HashMap<PwmOutput, String>,
    watcher: Option<Watcher>,
}

impl RppalBackend {
    /// Opens the header of the board that this program runs on. No pin changes.
    ///
    /// # Errors
    ///
    /// This is no known Raspberry Pi, its GPIO devices are missing, or the user may not use them.
    pub fn open() -> Result<RppalBackend, HalError> {
        let board = identify_board()?;
        let gpio = open_gpio(board)?;
        Ok(RppalBackend {
            board,
            gpio,
            clock: Clock::monotonic(),
            users: HashMap::new(),
            announced: Vec::new(),
            opened: HashMap::new(),
            channels: HashMap::new(),
            watcher: None,
        })
    }

    /// The board.
    pub fn board(&self) -> Model {
        self.board
    }

    /// A look at the level of the header's pin that shows the signal of `output`, which changes
    /// nothing about it; `None` where no pin shows it.
    pub(crate) fn level_reader(
        &mut self,
        output: &PwmOutput,
        who: &str,
    ) -> Result<Option<LevelReader>, HalError> {
        let gpio = match output {
            PwmOutput::Gpio(gpio) => Some(*gpio),
            PwmOutput::Channel { device, .. } => PwmDevice::named(device).gpio(),
        };
        let Some(gpio) = gpio else { return Ok(None) };
        let pin = self.pin(gpio, who)?;
        Ok(Some(Box::new(move || from_rppal(pin.read()))))
    }

    fn pin(&mut self, gpio: u8, who: &str) -> Result<Pin, HalError> {
        if !HEADER_GPIOS.contains(&gpio) {
            return Err(HalError::NoSuchPin { gpio, board: self.board });
        }
        let pin = self.gpio.get(gpio).map_err(|error| match error {
            GpioError::PinUsed(_) => HalError::PinTaken {
                gpio,
                who: who.to_owned(),
                by: self.users.get(&gpio).cloned().unwrap_or_else(|| "this program".to_owned()),
            },
            _ => HalError::NoSuchPin { gpio, board: self.board },
        })?;
        self.users.insert(gpio, who.to_owned());
        Ok(pin)
    }

    /// The pin of an input. One that was dropped just now is given back by the thread that watches
    /// it, within a stretch of its wait: it is waited for.
    fn pin_given_back(&mut self, gpio: u8, who: &str) -> Result<Pin, HalError> {
        let until = self.clock.now() + inputs::GIVEN_BACK;
        loop {
            match self.pin(gpio, who) {
                Err(HalError::PinTaken { .. })
                    if self.watcher.is_some() && self.clock.now() < until =>
                {
                    std::thread::sleep(Duration::from_millis(2));
                }
                pin => return pin,
            }
        }
    }

    /// Opens the PWM channels of `outputs` that are not open yet, side by side.
    fn open_channels(&mut self, outputs: &[PwmOutput]) -> Result<(), HalError> {
        for output in outputs {
            if let PwmOutput::Gpio(gpio) = output
                && !self.announced.contains(gpio)
            {
                self.announced.push(*gpio);
            }
        }
        let board = self.board;
        let lines = board.pwm_overlay(&self.announced);
        let mut header = None;
        let mut wanted: Vec<Wanted> = Vec::new();
        for output in outputs.iter().filter(|o| !self.opened.contains_key(o)) {
            let (chip, channel) = match output {
                &PwmOutput::Gpio(gpio) => {
                    let channel =
                        board.pwm_channel(gpio).ok_or(HalError::NoHardwarePwm { gpio, board })?;
                    let chip = match &header {
                        Some(chip) => chip,
                        None => header.insert(chip::find(board, gpio, lines.as_deref())?),
                    };
                    (chip.clone(), channel)
                }
                PwmOutput::Channel { device, channel } => {
                    (chip::find_named(output, device)?, *channel)
                }
            };
            // One channel by two names: that of its device, and that of its driver.
            let same = wanted.iter().find(|w| w.chip == chip && w.channel == channel);
            if let Some(same) = same {
                let (who, by) = ("this program".to_owned(), same.output.to_string());
                return Err(HalError::ChannelInUse { output: output.clone(), who, by });
            }
            wanted.push(Wanted { output: output.clone(), chip, channel });
        }
        self.opened.extend(pwm::open_all(wanted)?);
        Ok(())
    }

    /// The header's pin that shows the signal of `output`, if one does.
    fn pwm_pin(&mut self, output: &PwmOutput, who: &str) -> Result<Option<Pin>, HalError> {
        let board = self.board;
        match output {
            &PwmOutput::Gpio(gpio) => {
                let channel =
                    board.pwm_channel(gpio).ok_or(HalError::NoHardwarePwm { gpio, board })?;
                let taken =
                    |other: &u8| *other != gpio && board.pwm_channel(*other) == Some(channel);
                if let Some(&other) = self.announced.iter().find(|&other| taken(other)) {
                    return Err(HalError::ChannelTaken { gpio, other, board });
                }
                self.pin(gpio, who).map(Some)
            }
            PwmOutput::Channel { device, .. } => {
                if let Some(by) = self.channels.get(output) {
                    let (output, who, by) = (output.clone(), who.to_owned(), by.clone());
                    return Err(HalError::ChannelInUse { output, who, by });
                }
                PwmDevice::named(device).gpio().map(|gpio| self.pin(gpio, who)).transpose()
            }
        }
    }

    fn check_pwm_function(&self, gpio: u8, pin: &Pin) -> Result<(), HalError> {
        let found = match pin.mode() {
            Mode::Input => "input".to_owned(),
            Mode::Output => "output".to_owned(),
            Mode::Null => "nothing".to_owned(),
            other => other.to_string().to_uppercase(),
        };
        let wanted = self.board.pwm_alt(gpio).map(|alt| format!("ALT{alt}"));
        if wanted.as_deref() == Some(found.as_str()) {
            return Ok(());
        }
        let lines = self.board.pwm_overlay(&self.announced);
        Err(HalError::PinNotPwm { gpio, board: self.board, found, lines })
    }
}

impl Backend for RppalBackend {
    fn name(&self) -> &'static str {
        "rppal"
    }

    fn is_hardware(&self) -> bool {
        true
    }

    fn clock(&self) -> Clock {
        self.clock.clone()
    }

    fn prepare_pwm(&mut self, outputs: &[PwmOutput]) -> Result<(), HalError> {
        let mut channels: HashMap<u8, u8> = HashMap::new();
        for output in outputs {
            let &PwmOutput::Gpio(gpio) = output else { continue };
            let channel = self
                .board
                .pwm_channel(gpio)
                .ok_or(HalError::NoHardwarePwm { gpio, board: self.board })?;
            match channels.insert(channel, gpio) {
                Some(other) if other != gpio => {
                    return Err(HalError::ChannelTaken { gpio, other, board: self.board });
                }
                _ => {}
            }
        }
        self.open_channels(outputs)
    }

    fn open_pwm(&mut self, output: &PwmOutput, who: &str) -> Result<Box<dyn PwmChannel>, HalError> {
        let pin = self.pwm_pin(output, who)?;
        self.open_channels(std::slice::from_ref(output))?;
        if let (&PwmOutput::Gpio(gpio), Some(pin)) = (output, &pin) {
            self.check_pwm_function(gpio, pin)?;
        }
        match self.opened.remove(output) {
            Some(opened) => {
                if let PwmOutput::Channel { .. } = output {
                    self.channels.insert(output.clone(), who.to_owned());
                }
                let clock = self.clock.clone();
                Ok(Box::new(SysfsPwm::new(output.clone(), opened, pin, clock)))
            }
            // Cannot happen: it was opened a few lines above.
            None => Err(HalError::NotRunning { output: output.clone() }),
        }
    }

    fn forget_pwm(&mut self, output: &PwmOutput) {
        if let &PwmOutput::Gpio(gpio) = output {
            self.announced.retain(|&other| other != gpio);
        }
        self.channels.remove(output);
        self.opened.remove(output);
    }

    fn open_output(
        &mut self,
        gpio: u8,
        start: OutputStart,
        who: &str,
    ) -> Result<Box<dyn OutputLine>, HalError> {
        let mut pin = self.pin(gpio, who)?;
        match pin.mode() {
            Mode::Null if start == OutputStart::Adopt => {
                outputs::make_readable(pin);
                pin = self.pin(gpio, who)?;
            }
            Mode::Input | Mode::Output | Mode::Null => {}
            other => log::warn!(
                "GPIO{gpio} ({who}) had the function {other}: some device driver may be using it too"
            ),
        }
        let posted = self.board.posts_writes();
        Ok(Box::new(HeaderOutput::open(pin, start, posted, self.clock.clone())))
    }

    fn open_input(
        &mut self,
        gpio: u8,
        pull: Pull,
        who: &str,
        on_edge: OnEdge,
    ) -> Result<Box<dyn InputLine>, HalError> {
        let pin = self.pin_given_back(gpio, who)?;
        let watcher = match self.watcher.take() {
            Some(watcher) => watcher,
            None => Watcher::start(self.gpio.clone())
                .map_err(|e| HalError::NoEdges { gpio, cause: Cause::from(&e) })?,
        };
        let line = watcher.watch(pin, pull, on_edge);
        self.watcher = Some(watcher);
        Ok(Box::new(line?))
    }
}

/// The folder of the PWM chip behind `output`, and the channel in it. Nothing is opened.
pub(crate) fn pwm_channel(board: Model, output: &PwmOutput) -> Result<(PathBuf, u8), HalError> {
    let (chip, channel) = match output {
        &PwmOutput::Gpio(gpio) => {
            let channel = board.pwm_channel(gpio).ok_or(HalError::NoHardwarePwm { gpio, board })?;
            (chip::find(board, gpio, board.pwm_overlay(&[gpio]).as_deref())?, channel)
        }
        PwmOutput::Channel { device, channel } => (chip::find_named(output, device)?, *channel),
    };
    Ok((chip.path, channel))
}

/// Opens rppal's access to the pins. Its errors do not always say which file, so the files are tried
/// one by one when it fails.
fn open_gpio(board: Model) -> Result<Gpio, HalError> {
    let error = match Gpio::new() {
        Ok(gpio) => return Ok(gpio),
        Err(error) => error,
    };
    let memory = Path::new(board.gpiomem_path());
    let memory_opens = OpenOptions::new().read(true).write(true).open(memory);
    Err(match (error, memory_opens) {
        (GpioError::PermissionDenied(path), _) => HalError::NotPermitted { path: path.into() },
        (GpioError::UnknownModel, _) => HalError::UnknownBoard { said: Some(board.name().into()) },
        (_, Err(e)) if e.kind() == io::ErrorKind::PermissionDenied => {
            HalError::NotPermitted { path: memory.into() }
        }
        (_, Err(e)) if e.kind() == io::ErrorKind::NotFound => {
            HalError::Missing { path: memory.into(), label: None }
        }
        (_, Err(e)) => HalError::Open { path: memory.into(), cause: Cause::from(&e) },
        (GpioError::Io(e), Ok(_)) if e.kind() == io::ErrorKind::NotFound => {
            HalError::Missing { path: "/dev/gpiochip0".into(), label: Some(board.gpiochip_label()) }
        }
        (GpioError::Io(e), Ok(_)) => {
            HalError::Open { path: "/dev/gpiochip0".into(), cause: Cause::from(&e) }
        }
        (_, Ok(_)) => HalError::Missing { path: memory.into(), label: None },
    })
}

fn from_rppal(level: ::rppal::gpio::Level) -> Level {
    Level::from_bool(level == ::rppal::gpio::Level::High)
}
