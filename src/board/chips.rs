//! PWM chips beside the header's own: what their names tell, and how they count time.
//!
//! Sources: the NXP PCA9685 data sheet (Rev. 4, 2015: 7.3.3 "LED output and PWM control", 7.3.5 "PWM
//! frequency PRE_SCALE"), the kernel's drivers `pwm-pca9685`, `pwm-gpio` and `pwm-pio-rp1`, and the
//! README of the firmware's overlays (`i2c-pwm-pca9685a`, `pwm-gpio`, `pwm-pio`).

use std::time::Duration;

/// A PWM chip beside the header's, as far as its name tells what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum PwmDevice {
    /// An NXP PCA9685 on an I2C bus: 16 outputs with one period for all of them.
    Pca9685 {
        /// The bus and the address, where the name is that of the device: `1-0040`.
        at: Option<(u8, u8)>,
    },
    /// The kernel's soft PWM on a pin.
    Gpio {
        /// The pin, where the name is that of the device: `pwm_gpio@17` (hexadecimal) is GPIO23.
        gpio: Option<u8>,
    },
    /// The RP1's programmable I/O as PWM on a pin: a Pi 5 has four of them.
    Pio {
        /// The pin, as with [`PwmDevice::Gpio`].
        gpio: Option<u8>,
    },
    /// Some other chip.
    Other,
}

/// Addresses that a PCA9685 can be strapped to: six address pins above 1000000.
const PCA9685_ADDRESSES: std::ops::RangeInclusive<u8> = 0x40..=0x7f;

/// A period of a PCA9685 has this many steps, whatever its length.
const PCA9685_STEPS: u32 = 4096;

/// A cycle of the clock of 25 MHz that a PCA9685's driver reckons with, in nanoseconds.
const PCA9685_CYCLE: u32 = 40;

/// What a PCA9685's prescaler can divide its clock by: its register holds 3 to 255, one less.
const PCA9685_DIVISORS: std::ops::RangeInclusive<u32> = 4..=256;

impl PwmDevice {
    /// What a chip of that name is: the name of its device in sysfs, or that of its driver, with or
    /// without the `-pwm` that some have behind.
    ///
    /// ```
    /// use lockstep::board::PwmDevice;
    ///
    /// assert_eq!(PwmDevice::named("pca9685"), PwmDevice::Pca9685 { at: None });
    /// assert_eq!(PwmDevice::named("1-0041"), PwmDevice::Pca9685 { at: Some((1, 0x41)) });
    /// assert_eq!(PwmDevice::named("pwm_gpio@17"), PwmDevice::Gpio { gpio: Some(23) });
    /// assert_eq!(PwmDevice::named("fe20c800.pwm"), PwmDevice::Other);
    /// ```
    pub fn named(name: &str) -> PwmDevice {
        let pin = |at: &str| u8::from_str_radix(at, 16).ok();
        match name.split_once('@') {
            Some(("pwm_gpio", at)) => return PwmDevice::Gpio { gpio: pin(at) },
            Some(("pwm_pio", at)) => return PwmDevice::Pio { gpio: pin(at) },
            _ => {}
        }
        match name {
            "pca9685" | "pca9685-pwm" => PwmDevice::Pca9685 { at: None },
            "pwm-gpio" => PwmDevice::Gpio { gpio: None },
            "pwm-pio" | "pwm-pio-rp1" => PwmDevice::Pio { gpio: None },
            _ => match i2c_device(name) {
                Some((bus, address)) if PCA9685_ADDRESSES.contains(&address) => {
                    PwmDevice::Pca9685 { at: Some((bus, address)) }
                }
                _ => PwmDevice::Other,
            },
        }
    }

    /// Whether `name`, as a config has it, means the chip whose device and driver have these names.
    pub fn is_meant(name: &str, device: &str, driver: &str) -> bool {
        let plain = driver.strip_suffix("-pwm").unwrap_or(driver);
        // The overlay is `pwm-pio`, its driver `pwm-pio-rp1`.
        let short = driver.strip_suffix("-rp1").unwrap_or(driver);
        name == device || (!driver.is_empty() && [driver, plain, short].contains(&name))
    }

    /// How many channels it has; `None` where that is not known.
    ///
    /// The kernel shows a 17th of a PCA9685, which stands for all 16 at once: no servo is meant by it.
    pub const fn channels(self) -> Option<u8> {
        match self {
            PwmDevice::Pca9685 { .. } => Some(16),
            PwmDevice::Gpio { .. } | PwmDevice::Pio { .. } => Some(1),
            PwmDevice::Other => None,
        }
    }

    /// The pin of the header that it drives, where its name tells.
    pub const fn gpio(self) -> Option<u8> {
        match self {
            PwmDevice::Gpio { gpio } | PwmDevice::Pio { gpio } => gpio,
            PwmDevice::Pca9685 { .. } | PwmDevice::Other => None,
        }
    }

    /// The `config.txt` line that makes the kernel know it; `None` where no stock overlay is known.
    ///
    /// ```
    /// use lockstep::board::PwmDevice;
    ///
    /// let line = |name| PwmDevice::named(name).overlay();
    /// assert_eq!(line("pca9685").as_deref(), Some("dtoverlay=i2c-pwm-pca9685a"));
    /// assert_eq!(line("1-0041").as_deref(), Some("dtoverlay=i2c-pwm-pca9685a,addr=0x41"));
    /// assert_eq!(line("pwm_gpio@17").as_deref(), Some("dtoverlay=pwm-gpio,gpio=23"));
    /// ```
    pub fn overlay(self) -> Option<String> {
        let on = |name: &str, gpio: Option<u8>| match gpio {
            Some(gpio) => format!("dtoverlay={name},gpio={gpio}"),
            // Both overlays take GPIO4 where no pin is named.
            None => format!("dtoverlay={name},gpio=4"),
        };
        match self {
            // The overlay's own address.
            PwmDevice::Pca9685 { at: None | Some((1, 0x40)) } => {
                Some("dtoverlay=i2c-pwm-pca9685a".to_owned())
            }
            PwmDevice::Pca9685 { at: Some((1, address)) } => {
                Some(format!("dtoverlay=i2c-pwm-pca9685a,addr={address:#x}"))
            }
            PwmDevice::Gpio { gpio } => Some(on("pwm-gpio", gpio)),
            PwmDevice::Pio { gpio } => Some(on("pwm-pio", gpio)),
            // The overlay serves the header's own bus and no other.
            PwmDevice::Pca9685 { .. } | PwmDevice::Other => None,
        }
    }

    /// The GPIO numbers of the data and the clock line of the I2C bus that it hangs on: those of the
    /// header's own bus, which is number 1 on all boards with 40 pins.
    pub const fn bus_pins(self) -> Option<(u8, u8)> {
        match self {
            PwmDevice::Pca9685 { at: None | Some((1, _)) } => Some((2, 3)),
            _ => None,
        }
    }

    /// Whether all its channels have the same period.
    pub const fn has_one_period(self) -> bool {
        matches!(self, PwmDevice::Pca9685 { .. })
    }

    /// The timing nearest to `period` that it can do, with a clock that runs fast by `correction_ppm`
    /// millionths: the period that comes out, and how to ask for widths. `None` where it can't do
    /// anything near that period.
    ///
    /// A PCA9685 divides its clock by a whole number and counts the result to 4096: at 50 Hz by 122,
    /// which makes a period of 19.98848 ms in steps of 4.88 us. Its own oscillator, nominally of
    /// 25 MHz, is one of 23 to 27 MHz. Asked for whole steps of the period that it really has, every
    /// version of its driver writes just those, however it rounds.
    pub fn timing(self, period: Duration, correction_ppm: f64) -> Option<(Duration, PwmTiming)> {
        let rate = 1.0 + correction_ppm / 1e6;
        let PwmDevice::Pca9685 { .. } = self else {
            return Some((period, PwmTiming { tick: 1, rate }));
        };
        let cycles = period.as_nanos() as f64 * rate / f64::from(PCA9685_CYCLE * PCA9685_STEPS);
        let divisor = cycles.round();
        if !(f64::from(*PCA9685_DIVISORS.start())..=f64::from(*PCA9685_DIVISORS.end()))
            .contains(&divisor)
        {
            return None;
        }
        let tick = PCA9685_CYCLE * divisor as u32;
        let timing = PwmTiming { tick, rate };
        let period = f64::from(PCA9685_STEPS) * timing.step();
        Some((Duration::from_nanos(period.round() as u64), timing))
    }
}

/// Bus and address in `1-0040`, the kernel's name for an I2C device.
fn i2c_device(name: &str) -> Option<(u8, u8)> {
    let (bus, address) = name.split_once('-')?;
    let hex = address.len() == 4 && address.starts_with("00");
    Some((bus.parse().ok()?, u8::from_str_radix(address.get(2..).filter(|_| hex)?, 16).ok()?))
}

/// How the times of a PWM chip relate to those that its driver is asked for.
///
/// The driver believes in a clock of a certain rate and rounds to whole ticks of it. Real times are
/// what comes out of the pin; asked times are what is written to the driver for them.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PwmTiming {
    /// Asked times are multiples of this, in nanoseconds; 1 where the driver's rounding is finer than
    /// anything a servo can tell, or not known.
    tick: u32,
    /// Asked time over real time: above 1 where the clock runs fast.
    rate: f64,
}

impl PwmTiming {
    /// What is asked for comes out.
    pub const EXACT: PwmTiming = PwmTiming { tick: 1, rate: 1.0 };

    /// The smallest difference between two real widths, in nanoseconds.
    pub fn step(&self) -> f64 {
        f64::from(self.tick) / self.rate
    }

    /// Whether widths go in steps that are worth speaking of: more than a nanosecond.
    pub fn is_coarse(&self) -> bool {
        self.tick > 1
    }

    /// By how many millionths the chip's clock runs fast.
    pub fn correction_ppm(&self) -> f64 {
        (self.rate - 1.0) * 1e6
    }

    /// What to ask for, to get `real` nanoseconds or what is nearest to it.
    pub fn asked(&self, real: u64) -> u64 {
        let tick = f64::from(self.tick);
        ((real as f64 * self.rate / tick).round() * tick) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::PulseWidth;
    use proptest::prelude::*;

    const PCA: PwmDevice = PwmDevice::Pca9685 { at: None };

    #[test]
    fn names_tell_what_a_chip_is() {
        for (name, device) in [
            ("pca9685-pwm", PCA),
            ("1-0040", PwmDevice::Pca9685 { at: Some((1, 0x40)) }),
            ("0-007f", PwmDevice::Pca9685 { at: Some((0, 0x7f)) }),
            // Not an address of this chip; not an I2C device.
            ("1-0020", PwmDevice::Other),
            ("1-40", PwmDevice::Other),
            ("x-0040", PwmDevice::Other),
            ("pwm-pio-rp1", PwmDevice::Pio { gpio: None }),
            ("pwm_pio@12", PwmDevice::Pio { gpio: Some(18) }),
            ("pwm-bcm2835", PwmDevice::Other),
            ("", PwmDevice::Other),
        ] {
            assert_eq!(PwmDevice::named(name), device, "{name}");
        }
        for (name, device, driver, is) in [
            ("pca9685", "1-0040", "pca9685-pwm", true),
            ("pca9685-pwm", "1-0040", "pca9685-pwm", true),
            ("1-0040", "1-0040", "pca9685-pwm", true),
            ("1-0041", "1-0040", "pca9685-pwm", false),
            ("pwm-pio", "pwm_pio@4", "pwm-pio-rp1", true),
            ("pwm-gpio", "pwm_gpio@4", "pwm-gpio", true),
            ("pwm", "pwm_gpio@4", "pwm-gpio", false),
            ("", "1-0040", "", false),
        ] {
            assert_eq!(PwmDevice::is_meant(name, device, driver), is, "{name} {device}");
        }
    }

    #[test]
    fn overlays() {
        for (name, line) in [
            ("1-0040", Some("dtoverlay=i2c-pwm-pca9685a")),
            ("0-0040", None),
            ("pwm_pio@12", Some("dtoverlay=pwm-pio,gpio=18")),
            ("pwm-gpio", Some("dtoverlay=pwm-gpio,gpio=4")),
            ("meson-pwm", None),
        ] {
            assert_eq!(PwmDevice::named(name).overlay().as_deref(), line, "{name}");
        }
    }

    #[test]
    fn a_pca9685_at_50_hz() {
        let (period, timing) = PCA.timing(Duration::from_millis(20), 0.0).unwrap();
        assert_eq!(period.as_nanos(), 19_988_480);
        assert_eq!(timing.step(), 4880.0);
        assert_eq!(timing.asked(1_500_000), 307 * 4880);
        for hertz in [20, 23, 2000] {
            let period = Duration::from_secs_f64(1.0 / f64::from(hertz));
            assert_eq!(PCA.timing(period, 0.0), None, "{hertz} Hz");
        }
    }

    #[test]
    fn a_fast_clock_is_asked_for_more() {
        let (period, timing) =
            PwmDevice::Other.timing(Duration::from_millis(20), 72_000.0).unwrap();
        assert_eq!(period, Duration::from_millis(20));
        assert_eq!((timing.asked(20_000_000), timing.asked(1_500_000)), (21_440_000, 1_608_000));
        // A PCA9685 whose oscillator has 26 MHz: the real period is as near to 20 ms as it can be.
        let (period, timing) = PCA.timing(Duration::from_millis(20), 40_000.0).unwrap();
        assert_eq!(timing.asked(period.as_nanos() as u64), 127 * 40 * 4096);
        assert!(period.abs_diff(Duration::from_millis(20)) < Duration::from_micros(80));
    }

    proptest! {
        /// However the driver rounds, the ticks that it writes are those that were meant: the older
        /// driver rounds them up against the period it was asked for, the newer ones down.
        #[test]
        fn whole_ticks_survive_the_drivers_rounding(
            hertz in 24.0f64..500.0,
            ppm in -100_000.0f64..100_000.0,
            real in 100_000.0f64..1_500_000.0,
        ) {
            let wanted = Duration::from_secs_f64(1.0 / hertz);
            let Some((period, timing)) = PCA.timing(wanted, ppm) else { return Ok(()) };
            let asked = timing.asked(period.as_nanos() as u64);
            let divisor = asked / (40 * 4096);
            prop_assert_eq!(asked, divisor * 40 * 4096);
            prop_assert_eq!((25 * asked + 2_048_000) / 4_096_000, divisor);
            let (zero, most) = (PulseWidth::ZERO, PulseWidth::from_micros(2000));
            let width = PulseWidth::nearest(real, timing.step(), zero, most).as_nanos();
            prop_assert!((f64::from(width) - real).abs() <= timing.step() / 2.0 + 1.0);
            let duty = timing.asked(width.into());
            let up = (4096 * duty).div_ceil(asked);
            let down = duty / (40 * divisor);
            prop_assert_eq!(up, down);
            prop_assert!((up as f64 * timing.step() - f64::from(width)).abs() <= 1.0);
        }
    }
}
