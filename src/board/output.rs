//! What a PWM signal comes out of, and what is known of the PWM chips beside the header's own.

use std::fmt;

/// What a PWM signal comes out of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum PwmOutput {
    /// A pin of the header, driven by the header's own PWM chip.
    Gpio(u8),
    /// A channel, counted from 0, of any other PWM chip that the kernel knows.
    Channel {
        /// The name of the chip's device (`1-0040`) or of its driver (`pca9685`).
        device: String,
        /// The channel.
        channel: u8,
    },
}

impl From<u8> for PwmOutput {
    /// The header's pin of that GPIO number.
    fn from(gpio: u8) -> PwmOutput {
        PwmOutput::Gpio(gpio)
    }
}

impl fmt::Display for PwmOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PwmOutput::Gpio(gpio) => write!(f, "GPIO{gpio}"),
            PwmOutput::Channel { device, channel } => write!(f, "channel {channel} of {device}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_have_names_for_people() {
        assert_eq!(PwmOutput::from(12).to_string(), "GPIO12");
        let third = PwmOutput::Channel { device: "pca9685".into(), channel: 3 };
        assert_eq!(third.to_string(), "channel 3 of pca9685");
    }
}
