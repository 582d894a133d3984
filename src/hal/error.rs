use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::board::{Model, PwmDevice, PwmOutput};
use crate::units::PulseWidth;

/// What the system answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cause {
    kind: io::ErrorKind,
    code: Option<i32>,
}

impl Cause {
    /// The kind of the error.
    pub const fn kind(self) -> io::ErrorKind {
        self.kind
    }

    /// The system's number for it, where it had one.
    pub const fn code(self) -> Option<i32> {
        self.code
    }
}

impl From<&io::Error> for Cause {
    fn from(error: &io::Error) -> Cause {
        Cause { kind: error.kind(), code: error.raw_os_error() }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => io::Error::from_raw_os_error(code).fmt(f),
            None => self.kind.fmt(f),
        }
    }
}

/// Why a back end refused. Each says the pin, the file and what mends it.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum HalError {
    /// No Raspberry Pi, or one that is not known.
    #[error(
        "{}: the header cannot be driven; run it on the simulator (`--backend sim`)",
        match said {
            Some(said) => format!("this machine calls itself `{said}`, which is no Raspberry Pi \
                that is known"),
            None => "this machine is no Raspberry Pi".to_owned(),
        }
    )]
    UnknownBoard {
        /// What the device tree calls the machine.
        said: Option<String>,
    },

    /// The board has no such pin.
    #[error("GPIO{gpio} is not on the header of a {}: name one of GPIO0 to GPIO27", board.name())]
    NoSuchPin {
        /// The pin.
        gpio: u8,
        /// The board.
        board: Model,
    },

    /// This program uses the pin already.
    #[error("GPIO{gpio} is wanted by {who}, but {by} uses it already: give each its own pin")]
    PinTaken {
        /// The pin.
        gpio: u8,
        /// Who wants it.
        who: String,
        /// Who has it.
        by: String,
    },

    /// This program uses the channel already.
    #[error("{output} is wanted by {who}, but {by} uses it already: give each its own channel")]
    ChannelInUse {
        /// The channel.
        output: PwmOutput,
        /// Who wants it.
        who: String,
        /// Who has it.
        by: String,
    },

    /// The pin has no hardware PWM on this board.
    #[error("GPIO{gpio} has no hardware PWM on a {}: use {}", board.name(), pins(&board.pwm_pins()))]
    NoHardwarePwm {
        /// The pin.
        gpio: u8,
        /// The board.
        board: Model,
    },

    /// Another pin of this program uses the pin's PWM channel.
    #[error(
        "GPIO{gpio} and GPIO{other} are the same PWM channel on a {}: use one of them, and another \
         of {}",
        board.name(),
        pins(&board.pwm_pins())
    )]
    ChannelTaken {
        /// The pin.
        gpio: u8,
        /// The pin that has the channel.
        other: u8,
        /// The board.
        board: Model,
    },

    /// The header's PWM chip is not there.
    #[error(
        "GPIO{gpio}: no PWM chip of the header in /sys/class/pwm ({}): {}",
        if present.is_empty() { "it is empty".to_owned() }
        else { format!("what is there: {}", present.join(", ")) },
        overlay_mend(*board, *gpio, lines.as_deref())
    )]
    NoPwmChip {
        /// The pin.
        gpio: u8,
        /// The board.
        board: Model,
        /// The lines for `config.txt`, where the stock overlays can do it.
        lines: Option<Vec<String>>,
        /// The chips that are there, each with its device.
        present: Vec<String>,
    },

    /// No PWM chip has that name.
    #[error(
        "{output}: no PWM chip in /sys/class/pwm has a device or a driver of that name ({}): {}",
        if present.is_empty() { "it is empty".to_owned() }
        else { format!("what is there: {}", present.join(", ")) },
        device_mend(output)
    )]
    NoSuchPwmChip {
        /// The channel.
        output: PwmOutput,
        /// The chips that are there, each with its device and its driver.
        present: Vec<String>,
    },

    /// More than one PWM chip has that name.
    #[error(
        "{output}: several PWM chips go by that name ({}): name the one that is meant by its device, \
         such as `device = \"{first}\"`",
        present.join(", ")
    )]
    ManyPwmChips {
        /// The channel.
        output: PwmOutput,
        /// The device of the first of them.
        first: String,
        /// All of them, each with its device and its driver.
        present: Vec<String>,
    },

    /// Another signal of the chip holds it at another period.
    #[error(
        "{output}: the chip has one period for all its channels, and somebody else's signal runs on it \
         with another than {period:?}: end the program that drives it"
    )]
    OnePeriod {
        /// The channel.
        output: PwmOutput,
        /// The period that was asked for.
        period: Duration,
    },

    /// The chip has fewer channels.
    #[error(
        "{output} needs channel {channel} of {}, which has no such channel: {}",
        chip.display(),
        match output {
            PwmOutput::Gpio(_) => "the PWM driver of this kernel does not fit the board",
            PwmOutput::Channel { .. } => "they count from 0; `cat npwm` in that folder says how many",
        }
    )]
    NoPwmChannel {
        /// What the signal comes out of.
        output: PwmOutput,
        /// The chip.
        chip: PathBuf,
        /// The channel, counted from 0.
        channel: u8,
    },

    /// The pin is not switched to its PWM function.
    #[error(
        "GPIO{gpio} is set to {found}, not to PWM ({}): {}",
        board.pwm_alt(*gpio).map_or_else(|| "none".to_owned(), |alt| format!("ALT{alt}")),
        overlay_mend(*board, *gpio, lines.as_deref())
    )]
    PinNotPwm {
        /// The pin.
        gpio: u8,
        /// The board.
        board: Model,
        /// The function it has.
        found: String,
        /// The lines for `config.txt`, where the stock overlays can do it.
        lines: Option<Vec<String>>,
    },

    /// Another program, or the kernel, drives the PWM channel.
    #[error(
        "{output}: {} is in use by {}",
        path.display(),
        if *running {
            "another program, or was left running by one that died: end that program, then run \
             `lockstep safe`"
        } else {
            "the kernel (a fan or a back light): remove its overlay from config.txt"
        }
    )]
    ChannelBusy {
        /// What the signal comes out of.
        output: PwmOutput,
        /// The channel's folder in sysfs.
        path: PathBuf,
        /// Whether a program exported it and a signal runs; else the kernel has it.
        running: bool,
    },

    /// A file may not be used.
    #[error(
        "no permission for {}: add the user to the group `gpio` (`sudo usermod -aG gpio $USER`, then \
         log in again), check that udev gives that group the file, or run as root",
        path.display()
    )]
    NotPermitted {
        /// The file.
        path: PathBuf,
    },

    /// A device file of the header is missing.
    #[error(
        "{} is missing{}: this kernel does not offer the header's pins to programs; use a Raspberry Pi \
         kernel, or load its GPIO driver",
        path.display(),
        match label { Some(label) => format!(" (none has the label `{label}`)"), None => String::new() }
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// The label that was looked for.
        label: Option<&'static str>,
    },

    /// The back end could not be opened.
    #[error("{}: {cause}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        cause: Cause,
    },

    /// The edges of an input cannot be watched.
    #[error(
        "GPIO{gpio}: its edges cannot be watched: {cause}{}",
        if cause.kind() == io::ErrorKind::ResourceBusy {
            " (another program or a kernel driver has the line: `gpioinfo` names it)"
        } else { "" }
    )]
    NoEdges {
        /// The pin.
        gpio: u8,
        /// What the system answered.
        cause: Cause,
    },

    /// A write to sysfs failed.
    #[error("{output}: writing {value} to {} failed: {cause}", path.display())]
    Write {
        /// What the signal comes out of.
        output: PwmOutput,
        /// The file.
        path: PathBuf,
        /// What was written.
        value: u64,
        /// What the system answered.
        cause: Cause,
    },

    /// A pulse longer than its period.
    #[error("{output}: a pulse of {width} does not fit into a period of {period:?}")]
    PulseTooLong {
        /// What the signal comes out of.
        output: PwmOutput,
        /// The width.
        width: PulseWidth,
        /// The period.
        period: Duration,
    },

    /// The signal runs already.
    #[error("{output}: the signal runs already: end it before it is started anew")]
    AlreadyRunning {
        /// What the signal comes out of.
        output: PwmOutput,
    },

    /// There is no signal whose width could change.
    #[error("{output}: there is no signal: start it first")]
    NotRunning {
        /// What the signal comes out of.
        output: PwmOutput,
    },

    /// A shared line stayed locked.
    #[error("the shared line of GPIO{gpio} was not free within {waited:?}")]
    LineBusy {
        /// The pin.
        gpio: u8,
        /// How long it was waited for.
        waited: Duration,
    },

    /// The simulator was told to refuse.
    #[error("{output}: the simulator was told to refuse writes to it")]
    Refused {
        /// The pin or channel.
        output: PwmOutput,
    },
}

fn pins(gpios: &[u8]) -> String {
    let names: Vec<String> = gpios.iter().map(|g| format!("GPIO{g}")).collect();
    match names.split_last() {
        None => "another board".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

fn device_mend(output: &PwmOutput) -> String {
    let device = match output {
        PwmOutput::Gpio(_) => PwmDevice::Other,
        PwmOutput::Channel { device, .. } => PwmDevice::named(device),
    };
    let Some(line) = device.overlay() else {
        return "name one that is there, or load its driver".to_owned();
    };
    let look = match device {
        PwmDevice::Pca9685 { .. } => "; if it is there, look for the board with `i2cdetect -y 1`",
        PwmDevice::Gpio { .. } => "; it needs a Raspberry Pi kernel of 6.6 or later",
        PwmDevice::Pio { .. } => "; it needs a Raspberry Pi 5",
        PwmDevice::Other => "",
    };
    format!("add `{line}` to /boot/firmware/config.txt and reboot{look}")
}

fn overlay_mend(board: Model, gpio: u8, lines: Option<&[String]>) -> String {
    match (lines, board.pwm_pinctrl(gpio)) {
        (Some(lines), _) if !lines.is_empty() => {
            let audio = if board.shares_audio() { ", set `dtparam=audio=off`" } else { "" };
            let lines = lines.join("`, `");
            format!("add `{lines}` to /boot/firmware/config.txt{audio} and reboot")
        }
        (_, Some(pinctrl)) => format!(
            "no overlay that comes with the system serves all these pins: add `dtoverlay=pwm-2chan` to \
             /boot/firmware/config.txt, reboot, then run `{pinctrl}`"
        ),
        (_, None) => "this pin has no hardware PWM".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_mend() {
        let lines = Model::Pi3.pwm_overlay(&[12, 13]);
        let no_chip = HalError::NoPwmChip { gpio: 12, board: Model::Pi3, lines, present: vec![] };
        assert_eq!(
            no_chip.to_string(),
            "GPIO12: no PWM chip of the header in /sys/class/pwm (it is empty): add \
             `dtoverlay=pwm-2chan,pin=12,func=4,pin2=13,func2=4` to /boot/firmware/config.txt, set \
             `dtparam=audio=off` and reboot"
        );
        let uart = HalError::PinNotPwm {
            gpio: 14,
            board: Model::Pi5,
            found: "ALT4".into(),
            lines: Model::Pi5.pwm_overlay(&[14]),
        };
        let text = uart.to_string();
        assert!(text.starts_with("GPIO14 is set to ALT4, not to PWM (ALT0): no overlay"), "{text}");
        assert!(text.ends_with("then run `pinctrl set 14 a0`"), "{text}");
        let taken = HalError::ChannelTaken { gpio: 18, other: 12, board: Model::Pi4 };
        assert_eq!(
            taken.to_string(),
            "GPIO18 and GPIO12 are the same PWM channel on a Raspberry Pi 4 Model B: use one of them, \
             and another of GPIO12, GPIO13, GPIO18 or GPIO19"
        );
    }

    #[test]
    fn causes_keep_the_systems_words() {
        let error = io::Error::from_raw_os_error(22);
        assert_eq!(Cause::from(&error).to_string(), error.to_string());
        assert_eq!(Cause::from(&error).code(), Some(22));
        let made = io::Error::new(io::ErrorKind::InvalidInput, "x");
        assert_eq!(Cause::from(&made).kind(), io::ErrorKind::InvalidInput);
    }
}
