//! Facts about Raspberry Pi boards: models, header pins, which pin has which PWM channel, PWM chips
//! by their device, overlay lines, power-on pulls. No input or output happens here.
//!
//! Pins are named by their GPIO number (17 is GPIO17), never by their place on the header;
//! [`header_pin`] tells the place.
//!
//! Sources: the Raspberry Pi kernel's device trees, overlays and pin controllers (`pinctrl-bcm2835`,
//! `pinctrl-rp1`), the README of the firmware's overlays, and the BCM2835 and RP1 peripheral manuals;
//! for the PWM chips beside the header's, what [`PwmDevice`] names.

mod chips;
mod identify;
mod model;
mod output;
mod pwm;

pub use chips::{PwmDevice, PwmTiming};
pub use model::{Model, UnknownModel};
pub use output::PwmOutput;

/// The GPIO numbers that the 40-pin header carries.
pub const HEADER_GPIOS: std::ops::RangeInclusive<u8> = 0..=27;

/// The pin of the 40-pin header that carries each GPIO, GPIO0 first.
const HEADER_PINS: [u8; 28] = [
    27, 28, 3, 5, 7, 29, 31, 26, 24, 21, 19, 23, 32, 33, 8, 10, 36, 11, 12, 35, 38, 40, 15, 16, 18,
    22, 37, 13,
];

/// The pin of the 40-pin header that carries `gpio`; `None` beyond GPIO27.
///
/// The 26-pin headers of the first boards differ: see [`Model::header_pin`].
///
/// ```
/// assert_eq!(lockstep::board::header_pin(18), Some(12));
/// assert_eq!(lockstep::board::header_pin(28), None);
/// ```
pub fn header_pin(gpio: u8) -> Option<u8> {
    HEADER_PINS.get(usize::from(gpio)).copied()
}

/// What a pin is pulled to before any program sets it up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Pull {
    /// Towards 3.3 V.
    Up,
    /// Towards ground.
    Down,
    /// Neither: it floats.
    None,
}

/// The pull of `gpio` after power-on, the same on every model: up for GPIO0 to GPIO8, down for GPIO9
/// to GPIO27. Pins that are not on the header count as floating.
///
/// An active-low enable line on a pin that is pulled down is active until something drives it: see
/// [`safe_level_line`].
pub fn power_on_pull(gpio: u8) -> Pull {
    match gpio {
        0..=8 => Pull::Up,
        9..=27 => Pull::Down,
        _ => Pull::None,
    }
}

/// The `config.txt` line that makes the firmware drive `gpio` to a level before the system boots.
///
/// ```
/// assert_eq!(lockstep::board::safe_level_line(22, true), "gpio=22=op,dh");
/// ```
pub fn safe_level_line(gpio: u8, high: bool) -> String {
    format!("gpio={gpio}=op,{}", if high { "dh" } else { "dl" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_carries_each_gpio_on_its_own_pin() {
        let mut pins: Vec<u8> = HEADER_GPIOS.filter_map(header_pin).collect();
        assert_eq!(pins.len(), 28);
        pins.sort_unstable();
        pins.dedup();
        assert_eq!(pins.len(), 28);
        // What is left of the 40 pins is power and ground.
        let supply = [1, 2, 4, 6, 9, 14, 17, 20, 25, 30, 34, 39];
        assert!(pins.iter().all(|p| (1..=40).contains(p) && !supply.contains(p)));
        for (gpio, pin) in [(2, 3), (3, 5), (12, 32), (13, 33), (17, 11), (18, 12), (19, 35)] {
            assert_eq!(header_pin(gpio), Some(pin));
        }
    }

    #[test]
    fn pulls_at_power_on() {
        assert_eq!(power_on_pull(8), Pull::Up);
        assert_eq!(power_on_pull(9), Pull::Down);
        assert_eq!(power_on_pull(27), Pull::Down);
        assert_eq!(power_on_pull(28), Pull::None);
    }

    #[test]
    fn safe_levels() {
        assert_eq!(safe_level_line(22, true), "gpio=22=op,dh");
        assert_eq!(safe_level_line(5, false), "gpio=5=op,dl");
    }
}
