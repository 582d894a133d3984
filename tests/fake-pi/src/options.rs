//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::boards::{BOARDS, Board};

pub const USAGE: &str = "usage: fake-pi [OPTION...] -- PROGRAM [ARGUMENT...]
  --board NAME           pi-3, pi-4 (default), pi-5, or other: a board that is no Raspberry Pi
  --pwm PINS             an overlay put hardware PWM on these pins: 12,13; none: no overlay
  --pwmchip N            the number of the header's PWM chip (default 0)
  --fan-chip N           the Pi 5's fan has this PWM chip
  --chip N=DEVICE:DRIVER:CHANNELS[:CHANNEL@NANOSECONDS]
                         one more PWM chip, pwmchipN, with a device and a driver of these names (may be
                         repeated); driver pca9685-pwm: a PCA9685, with one period for all. On the
                         channel behind it another program runs a signal of that period
  --kernel-has CHANNELS  a kernel driver uses these PWM channels
  --running CHANNELS     another program left a signal on these PWM channels
  --orphan CHANNELS      the same, and gave the channels back: they are not exported
  --exported CHANNELS    another program exported these PWM channels, and set nothing
  --idle CHANNELS        another program exported these PWM channels and does nothing with them
  --refuse CHANNEL@N     the Nth width written while this PWM channel's signal runs is refused (EIO);
                         N+: that one and all after it
  --user NAME            run the program as an ordinary user: member or stranger (of the group gpio)
  --unwritable WHAT      udev does not give this to the group gpio: export, the chip's file, or
                         channels, the files of a channel that was exported (may be repeated)
  --missing FILE         this device file does not exist: gpiomem or gpiochip (may be repeated)
  --busy-lines PINS      these GPIO lines belong to somebody else
  --level PIN=LEVEL      what is outside puts this level on the pin: 22=high (may be repeated)
  --level-step US        how late a pin shows its PWM level, at most (default 200)
  --inject PIN=LEVEL@MS  as --level, that many milliseconds after the program watches the pin
  --signal NAME@MS       sends INT, TERM or HUP to the program, that long after its start
  --timeout S            kills the program after so many seconds (default 60)
  --log FILE             what happened, line by line (default: fake-pi.log)";

/// An event on a pin from outside.
#[derive(Clone, Copy, Debug)]
pub struct Injection {
    pub pin: u8,
    pub high: bool,
    pub after: Duration,
}

/// Widths that a PWM channel refuses.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    pub channel: u8,
    /// The first one, counted from 1 while the signal runs.
    pub from: u32,
    /// Also all that come after it.
    pub for_ever: bool,
}

/// A PWM chip beside the header's.
#[derive(Clone, Debug)]
pub struct MoreChip {
    pub number: u8,
    pub device: String,
    pub driver: String,
    pub channels: usize,
    /// A channel on which another program runs a signal, and its period.
    pub running: Option<(usize, u64)>,
}

/// Who runs the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum User {
    Root,
    Member,
    Stranger,
}

pub struct Options {
    pub board: &'static Board,
    pub pwm: Vec<u8>,
    pub pwmchip: u8,
    pub fan_chip: Option<u8>,
    pub chips: Vec<MoreChip>,
    pub kernel_has: Vec<u8>,
    pub running: Vec<u8>,
    pub orphan: Vec<u8>,
    pub exported: Vec<u8>,
    pub idle: Vec<u8>,
    pub refusals: Vec<Refusal>,
    pub user: User,
    pub unwritable: Vec<String>,
    pub missing: Vec<String>,
    pub busy_lines: String,
    pub levels: Vec<(u8, bool)>,
    pub level_step: Duration,
    pub injections: Vec<Injection>,
    pub signals: Vec<(String, Duration)>,
    pub timeout: Duration,
    pub log: PathBuf,
    pub program: Vec<String>,
}

impl Options {
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut o = Options {
            board: Board::named("pi-4").ok_or("no board pi-4")?,
            pwm: Vec::new(),
            pwmchip: 0,
            fan_chip: None,
            chips: Vec::new(),
            kernel_has: Vec::new(),
            running: Vec::new(),
            orphan: Vec::new(),
            exported: Vec::new(),
            idle: Vec::new(),
            refusals: Vec::new(),
            user: User::Root,
            unwritable: Vec::new(),
            missing: Vec::new(),
            busy_lines: String::new(),
            levels: Vec::new(),
            level_step: Duration::from_micros(200),
            injections: Vec::new(),
            signals: Vec::new(),
            timeout: Duration::from_secs(60),
            log: "fake-pi.log".into(),
            program: Vec::new(),
        };
        while let Some(option) = words.next() {
            if option == "--" {
                o.program = words.collect();
                break;
            }
            let value = words.next().ok_or_else(|| format!("{option} needs a value"))?;
            o.set(&option, &value).map_err(|e| format!("{option} {value}: {e}"))?;
        }
        if o.program.is_empty() { Err("no program to run".to_owned()) } else { Ok(o) }
    }

    fn set(&mut self, option: &str, value: &str) -> Result<(), String> {
        match option {
            "--board" => {
                let known = || BOARDS.iter().map(|b| b.name).collect::<Vec<_>>().join(", ");
                self.board = Board::named(value).ok_or_else(known)?;
            }
            "--pwm" => self.pwm = numbers(value)?,
            "--pwmchip" => self.pwmchip = number(value)?,
            "--fan-chip" => self.fan_chip = Some(number(value)?),
            "--chip" => self.chips.push(chip(value)?),
            "--kernel-has" => self.kernel_has = numbers(value)?,
            "--running" => self.running = numbers(value)?,
            "--orphan" => self.orphan = numbers(value)?,
            "--exported" => self.exported = numbers(value)?,
            "--idle" => self.idle = numbers(value)?,
            "--refuse" => {
                let (channel, n) = value.split_once('@').ok_or("CHANNEL@N or CHANNEL@N+")?;
                let from = number(n.trim_end_matches('+'))?;
                let (channel, for_ever) = (number(channel)?, n.ends_with('+'));
                self.refusals.push(Refusal { channel, from, for_ever });
            }
            "--user" => {
                self.user = match value {
                    "member" => User::Member,
                    "stranger" => User::Stranger,
                    _ => return Err("member or stranger".into()),
                }
            }
            "--unwritable" if value == "export" || value == "channels" => {
                self.unwritable.push(value.to_owned());
            }
            "--missing" if value == "gpiomem" || value == "gpiochip" => {
                self.missing.push(value.to_owned());
            }
            "--busy-lines" => self.busy_lines = value.to_owned(),
            "--level" => self.levels.push(level(value)?),
            "--level-step" => self.level_step = Duration::from_micros(number(value)?),
            "--inject" => {
                let (what, ms) = value.split_once('@').ok_or("PIN=LEVEL@MS")?;
                let (pin, high) = level(what)?;
                let after = Duration::from_millis(number(ms)?);
                self.injections.push(Injection { pin, high, after });
            }
            "--signal" => {
                let (name, ms) = value.split_once('@').ok_or("NAME@MS")?;
                self.signals.push((name.to_owned(), Duration::from_millis(number(ms)?)));
            }
            "--timeout" => self.timeout = Duration::from_secs(number(value)?),
            "--log" => self.log = value.into(),
            _ => return Err("no such option".into()),
        }
        Ok(())
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

fn numbers(text: &str) -> Result<Vec<u8>, String> {
    text.split(',').map(number).collect()
}

fn chip(text: &str) -> Result<MoreChip, String> {
    let form = "N=DEVICE:DRIVER:CHANNELS[:CHANNEL@NANOSECONDS]";
    let (n, rest) = text.split_once('=').ok_or(form)?;
    let parts: Vec<&str> = rest.split(':').collect();
    let (device, driver, channels, running) = match parts[..] {
        [device, driver, channels] => (device, driver, channels, None),
        [device, driver, channels, running] => (device, driver, channels, Some(running)),
        _ => return Err(form.into()),
    };
    let running = match running {
        None => None,
        Some(text) => {
            let (channel, period) = text.split_once('@').ok_or(form)?;
            Some((number(channel)?, number(period)?))
        }
    };
    Ok(MoreChip {
        number: number(n)?,
        device: device.to_owned(),
        driver: driver.to_owned(),
        channels: number(channels)?,
        running,
    })
}

fn level(text: &str) -> Result<(u8, bool), String> {
    let (pin, level) = text.split_once('=').ok_or("PIN=high or PIN=low")?;
    let pin = number(pin)?;
    match level {
        "high" if pin < 28 => Ok((pin, true)),
        "low" if pin < 28 => Ok((pin, false)),
        _ => Err("a pin below 28 and high or low".into()),
    }
}
