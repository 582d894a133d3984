//! Output lines through the pins' registers.

use std::time::Duration;

use ::rppal::gpio::{Mode, OutputPin, Pin};

use super::from_rppal;
use crate::hal::{Clock, HalError, Level, OutputLine, OutputStart};
use crate::units::Instant;

/// Makes an input of a pin that has no function yet. On the RP1 such a pin's input buffer is off, and
/// it reads low whatever its level. Its pull stays as it is.
pub(super) fn make_readable(pin: Pin) {
    pin.into_io(Mode::Input).set_reset_on_drop(false);
    // The level has to get through the pad's synchroniser: a few clock cycles.
    std::thread::sleep(Duration::from_micros(10));
}

/// An output of the header.
#[derive(Debug)]
pub(super) struct HeaderOutput {
    pin: OutputPin,
    level: Level,
    /// Writes are posted: a register is read back before the time is taken.
    posted: bool,
    clock: Clock,
}

impl HeaderOutput {
    /// Makes `pin` an output. rppal sets the level first and the mode then, so the pin takes no other
    /// level on the way.
    pub(super) fn open(pin: Pin, start: OutputStart, posted: bool, clock: Clock) -> HeaderOutput {
        let level = match start {
            OutputStart::Level(level) => level,
            OutputStart::Adopt => from_rppal(pin.read()),
        };
        let mut pin = match level {
            Level::Low => pin.into_output_low(),
            Level::High => pin.into_output_high(),
        };
        pin.set_reset_on_drop(false);
        HeaderOutput { pin, level, posted, clock }
    }
}

impl OutputLine for HeaderOutput {
    #[inline]
    fn set(&mut self, level: Level) -> Result<Instant, HalError> {
        match level {
            Level::Low => self.pin.set_low(),
            Level::High => self.pin.set_high(),
        }
        if self.posted {
            // A read cannot overtake the write: when it has answered, the edge is out.
            std::hint::black_box(self.pin.is_set_high());
        }
        self.level = level;
        Ok(self.clock.now())
    }

    #[inline]
    fn level(&self) -> Level {
        self.level
    }

    fn seen(&self) -> Level {
        Level::from_bool(self.pin.is_set_high())
    }
}
