//! A look at the header's pins that changes nothing about them.

use ::rppal::gpio::Mode;

use super::{from_rppal, open_gpio};
use crate::hal::{HalError, PinFunction, PinSeen, identify_board};

/// What the pins of the header do at this moment. No pin changes.
///
/// # Errors
///
/// This is no known Raspberry Pi, its GPIO devices are missing, or the user may not use them.
pub(crate) fn look_at(gpios: &[u8]) -> Result<Vec<PinSeen>, HalError> {
    let board = identify_board()?;
    let header = open_gpio(board)?;
    let look = |&gpio: &u8| {
        let pin = header.get(gpio).map_err(|_| HalError::NoSuchPin { gpio, board })?;
        let function = match pin.mode() {
            Mode::Input => PinFunction::Input,
            Mode::Output => PinFunction::Output,
            Mode::Null => PinFunction::Nothing,
            other => PinFunction::Other(other.to_string().to_uppercase()),
        };
        Ok(PinSeen { gpio, function, level: from_rppal(pin.read()) })
    };
    gpios.iter().map(look).collect()
}
