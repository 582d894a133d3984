//! PWM chips as the kernel keeps them, with the checks that it makes.

use crate::log::now;
use crate::options::Refusal;

/// What the kernel answers to a bad request.
pub use fuser::Errno;

#[derive(Clone, Debug)]
pub struct Channel {
    /// When it was exported, on the monotonic clock.
    pub exported: Option<u64>,
    /// A driver in the kernel has it.
    pub kernel_has: bool,
    /// The pin it comes out of, if an overlay says so.
    pub gpio: Option<u8>,
    pub period: u64,
    pub duty: u64,
    pub inverse: bool,
    /// When it was enabled.
    pub enabled: Option<u64>,
    /// Which of the widths that are written while the signal runs are refused, and how many came.
    pub refusal: Option<Refusal>,
    /// Widths written while a signal ran, as far as `refusal` counts them.
    pub widths: u32,
}

impl Channel {
    pub fn new(gpio: Option<u8>) -> Channel {
        Channel {
            exported: None,
            kernel_has: false,
            gpio,
            period: 0,
            duty: 0,
            inverse: false,
            enabled: None,
            refusal: None,
            widths: 0,
        }
    }

    /// Whether this write, a width while the signal runs, is one that shall fail.
    fn refuses(&mut self, file: &str) -> bool {
        let Some(refusal) = self.refusal.filter(|_| file == "duty_cycle" && self.enabled.is_some())
        else {
            return false;
        };
        self.widths += 1;
        self.widths == refusal.from || refusal.for_ever && self.widths > refusal.from
    }

    /// The level of the pin. The model is the harsh one: a new width counts at once, so whoever
    /// writes a shorter one in the middle of a pulse cuts it.
    pub fn is_high(&self, at: u64) -> bool {
        let high = |since| self.period > 0 && (at - since) % self.period < self.duty;
        self.enabled.is_some_and(high) != (self.inverse && self.enabled.is_some())
    }

    /// A write to one of the channel's files (drivers/pwm/sysfs.c and core.c).
    pub fn write(&mut self, file: &str, value: &str) -> Result<(), Errno> {
        if self.refuses(file) {
            return Err(Errno::EIO);
        }
        let mut new = self.clone();
        match file {
            "period" => new.period = number(value)?,
            "duty_cycle" => new.duty = number(value)?,
            "enable" => {
                new.enabled = match value {
                    "0" => None,
                    "1" => new.enabled.or(Some(now())),
                    _ => return Err(Errno::EINVAL),
                }
            }
            "polarity" if value == "normal" => new.inverse = false,
            "polarity" if value == "inversed" => new.inverse = true,
            _ => return Err(Errno::EINVAL),
        }
        if new.period == 0 || new.duty > new.period {
            return Err(Errno::EINVAL);
        }
        *self = new;
        Ok(())
    }

    pub fn read(&self, file: &str) -> String {
        match file {
            "period" => format!("{}\n", self.period),
            "duty_cycle" => format!("{}\n", self.duty),
            "enable" => format!("{}\n", u8::from(self.enabled.is_some())),
            "polarity" => if self.inverse { "inversed\n" } else { "normal\n" }.to_owned(),
            _ => String::new(),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Chip {
    pub number: u8,
    /// Where the `device` link points.
    pub device: String,
    pub channels: Vec<Channel>,
    /// What a PCA9685 has for all its channels; other chips have none.
    pub prescaler: Option<Prescaler>,
}

/// A PCA9685's only divider, as its driver keeps it (drivers/pwm/pwm-pca9685.c).
#[derive(Clone, Debug)]
pub struct Prescaler {
    /// As the register has it: one less than the divisor.
    pub value: u64,
    /// Channels that count as enabled: from the moment somebody asks for them.
    pub enabled: Vec<usize>,
}

impl Prescaler {
    /// The channel that stands for all others.
    const ALL: usize = 16;

    /// As the chip has it after power-on: 200 Hz.
    pub fn new() -> Prescaler {
        Prescaler { value: 30, enabled: Vec::new() }
    }

    /// What a channel that was just asked for shows: the chip's period, and that it is enabled.
    fn show(&mut self, k: usize, channel: &mut Channel) {
        (channel.period, channel.duty) = ((self.value + 1) * 163_840, 0);
        channel.enabled = (k != Prescaler::ALL).then(now);
        if k != Prescaler::ALL {
            self.enabled.push(k);
        }
    }

    /// Whether the driver takes this state.
    fn apply(&mut self, k: usize, new: &Channel) -> Result<(), Errno> {
        let value = ((25 * new.period + 2_048_000) / 4_096_000).checked_sub(1);
        let value = value.filter(|v| (3..=255).contains(v)).ok_or(Errno::EINVAL)?;
        if new.inverse {
            return Err(Errno::EINVAL);
        }
        if new.enabled.is_some() {
            let others = self.enabled.iter().any(|&e| e != k);
            if value != self.value && others {
                return Err(Errno::EBUSY);
            }
            self.value = value;
        }
        self.enabled.retain(|&e| e != k);
        if new.enabled.is_some() {
            self.enabled.push(k);
        }
        Ok(())
    }
}

impl Chip {
    /// A write to one of a channel's files.
    pub fn write(&mut self, k: usize, file: &str, value: &str) -> Result<(), Errno> {
        let channel = self.channels.get_mut(k).ok_or(Errno::ENODEV)?;
        let before = channel.clone();
        channel.write(file, value)?;
        if let Some(prescaler) = &mut self.prescaler
            && let Err(error) = prescaler.apply(k, channel)
        {
            *channel = before;
            return Err(error);
        }
        Ok(())
    }

    /// A write to `export` or `unexport`.
    pub fn export(&mut self, value: &str, export: bool) -> Result<(), Errno> {
        let k: usize = number(value)?.try_into().map_err(|_| Errno::EINVAL)?;
        let channel = self.channels.get_mut(k).ok_or(Errno::ENODEV)?;
        match (export, channel.exported) {
            (true, None) if !channel.kernel_has => {
                channel.exported = Some(now());
                if let Some(prescaler) = &mut self.prescaler {
                    prescaler.show(k, channel);
                }
            }
            (true, _) => return Err(Errno::EBUSY),
            (false, Some(_)) => {
                channel.exported = None;
                if let Some(prescaler) = &mut self.prescaler {
                    prescaler.enabled.retain(|&e| e != k);
                }
            }
            (false, None) => return Err(Errno::ENODEV),
        }
        Ok(())
    }
}

fn number(text: &str) -> Result<u64, Errno> {
    text.parse().map_err(|_| Errno::EINVAL)
}
