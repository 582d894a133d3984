//! Which pin has which hardware PWM channel, and what `config.txt` needs for it.

use super::Model;
use super::model::Family;

/// A pin that a PWM channel can come out of.
struct PwmPin {
    gpio: u8,
    channel: u8,
    /// The number of the alternate function that carries it, as the pin's registers have it.
    alt: u8,
    /// The `func` parameter of the stock overlays; `None` where they have no number for it.
    func: Option<u8>,
}

const fn pin(gpio: u8, channel: u8, alt: u8, func: Option<u8>) -> PwmPin {
    PwmPin { gpio, channel, alt, func }
}

/// BCM2835 to BCM2711 ("BCM2835 ARM Peripherals", section 6.2).
const BCM: [PwmPin; 4] = [
    pin(12, 0, 0, Some(4)),
    pin(13, 1, 0, Some(4)),
    pin(18, 0, 5, Some(2)),
    pin(19, 1, 5, Some(2)),
];

/// The first boards' short header carries but one of them.
const BCM_SHORT_HEADER: [PwmPin; 1] = [pin(18, 0, 5, Some(2))];

/// RP1 ("RP1 Peripherals", table of GPIO functions). The overlays' function numbers are those of the
/// older chips; the kernel's `pinctrl-rp1` translates them, and has none for PWM on GPIO14 and 15.
const RP1: [PwmPin; 6] = [
    pin(12, 0, 0, Some(4)),
    pin(13, 1, 0, Some(4)),
    pin(14, 2, 0, None),
    pin(15, 3, 0, None),
    pin(18, 2, 3, Some(2)),
    pin(19, 3, 3, Some(2)),
];

impl Model {
    fn pwm_table(self) -> &'static [PwmPin] {
        match (self, self.family()) {
            (Model::A | Model::BRev1 | Model::BRev2, _) => &BCM_SHORT_HEADER,
            (_, Family::Bcm283x | Family::Bcm2711) => &BCM,
            (_, Family::Rp1) => &RP1,
        }
    }

    fn pwm_pin(self, gpio: u8) -> Option<&'static PwmPin> {
        self.pwm_table().iter().find(|p| p.gpio == gpio)
    }

    /// The hardware PWM channel that can come out of `gpio`; `None` where none can. Two pins with the
    /// same channel cannot carry two signals.
    pub fn pwm_channel(self, gpio: u8) -> Option<u8> {
        self.pwm_pin(gpio).map(|p| p.channel)
    }

    /// The pins that hardware PWM can come out of, in ascending order.
    pub fn pwm_pins(self) -> Vec<u8> {
        self.pwm_table().iter().map(|p| p.gpio).collect()
    }

    /// The number N of the alternate function ALTN in which `gpio` carries its PWM channel.
    pub fn pwm_alt(self, gpio: u8) -> Option<u8> {
        self.pwm_pin(gpio).map(|p| p.alt)
    }

    /// The `config.txt` lines that put hardware PWM on all of `gpios` (their order and repetitions do
    /// not matter; none need no line). `None` where no overlay that comes with the system can: a pin
    /// without PWM, two pins of one channel, more than two pins, or GPIO14 and 15 of the RP1. What
    /// those of the RP1 need instead is [`Model::pwm_pinctrl`].
    ///
    /// ```
    /// use lockstep::board::Model;
    ///
    /// assert_eq!(Model::Pi4.pwm_overlay(&[18]).unwrap(), ["dtoverlay=pwm,pin=18,func=2"]);
    /// assert_eq!(
    ///     Model::Pi4.pwm_overlay(&[12, 13]).unwrap(),
    ///     ["dtoverlay=pwm-2chan,pin=12,func=4,pin2=13,func2=4"],
    /// );
    /// assert_eq!(Model::Pi4.pwm_overlay(&[12, 18]), None);
    /// ```
    pub fn pwm_overlay(self, gpios: &[u8]) -> Option<Vec<String>> {
        let mut gpios = gpios.to_vec();
        gpios.sort_unstable();
        gpios.dedup();
        let pins: Vec<&PwmPin> =
            gpios.iter().map(|&g| self.pwm_pin(g)).collect::<Option<Vec<_>>>()?;
        let line = match pins[..] {
            [] => return Some(Vec::new()),
            [a] => format!("dtoverlay=pwm,pin={},func={}", a.gpio, a.func?),
            [a, b] if a.channel == b.channel => return None,
            // The overlay's own defaults.
            [PwmPin { gpio: 18, .. }, PwmPin { gpio: 19, .. }] => "dtoverlay=pwm-2chan".to_owned(),
            [a, b] => format!(
                "dtoverlay=pwm-2chan,pin={},func={},pin2={},func2={}",
                a.gpio, a.func?, b.gpio, b.func?
            ),
            _ => return None,
        };
        Some(vec![line])
    }

    /// The command that puts hardware PWM on `gpio` until the next boot, for pins that no stock
    /// overlay reaches: `pinctrl set 14 a0`. It needs a PWM overlay for any other pin as well, since
    /// that is what loads the PWM driver. `None` where the pin has no hardware PWM.
    pub fn pwm_pinctrl(self, gpio: u8) -> Option<String> {
        self.pwm_pin(gpio).map(|p| format!("pinctrl set {gpio} a{}", p.alt))
    }

    /// How the link `/sys/class/pwm/pwmchipN/device` of the header's PWM chip may end. The number N
    /// says nothing: it changed from kernel to kernel, and other PWM drivers take numbers too.
    ///
    /// No ending matches the second PWM block of a BCM2711 (audio) or the RP1's (the fan).
    pub const fn pwm_device_suffixes(self) -> &'static [&'static str] {
        match self.family() {
            // 2020c000, 3f20c000 or fe20c000, by the chip's address map.
            Family::Bcm283x | Family::Bcm2711 => &["20c000.pwm"],
            Family::Rp1 => &["1f00098000.pwm"],
        }
    }

    /// Whether `device`, the target of a `pwmchipN/device` link, is the header's PWM chip.
    pub fn is_header_pwm(self, device: &str) -> bool {
        self.pwm_device_suffixes().iter().any(|s| device.trim_end_matches('/').ends_with(s))
    }

    /// Whether the analog audio output uses the same two PWM channels: both at once do not work, and
    /// `dtparam=audio=off` in `config.txt` leaves them to this program.
    pub const fn shares_audio(self) -> bool {
        matches!(self.family(), Family::Bcm283x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(model: Model) -> Vec<(u8, u8)> {
        (0..=53).filter_map(|g| model.pwm_channel(g).map(|c| (g, c))).collect()
    }

    #[test]
    fn channels_of_every_model() {
        for model in Model::ALL {
            let expected: &[(u8, u8)] = match model {
                Model::A | Model::BRev1 | Model::BRev2 => &[(18, 0)],
                Model::Pi5 | Model::Pi500 | Model::Cm5 | Model::Cm5Lite => {
                    &[(12, 0), (13, 1), (14, 2), (15, 3), (18, 2), (19, 3)]
                }
                _ => &[(12, 0), (13, 1), (18, 0), (19, 1)],
            };
            assert_eq!(channels(model), expected, "{model}");
            assert_eq!(model.pwm_pins(), expected.iter().map(|e| e.0).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_the_most_restrictive_model_takes_every_40_pin_board_takes() {
        let strict = Model::most_restrictive();
        for model in Model::ALL {
            if model.header_pin(12).is_none() {
                continue;
            }
            for a in strict.pwm_pins() {
                assert!(model.pwm_channel(a).is_some());
                for b in strict.pwm_pins() {
                    if strict.pwm_channel(a) != strict.pwm_channel(b) {
                        assert_ne!(model.pwm_channel(a), model.pwm_channel(b));
                        assert!(model.pwm_overlay(&[a, b]).is_some());
                    }
                }
            }
        }
        assert!(strict.shares_audio());
    }

    #[test]
    fn alternate_functions() {
        for (gpio, bcm, rp1) in
            [(12, Some(0), 0), (13, Some(0), 0), (14, None, 0), (18, Some(5), 3), (19, Some(5), 3)]
        {
            assert_eq!(Model::Pi4.pwm_alt(gpio), bcm);
            assert_eq!(Model::Pi5.pwm_alt(gpio), Some(rp1));
        }
        assert_eq!(Model::Pi5.pwm_pinctrl(15).as_deref(), Some("pinctrl set 15 a0"));
        assert_eq!(Model::Pi5.pwm_pinctrl(16), None);
    }

    #[test]
    fn overlays() {
        let line = |m: Model, gpios: &[u8]| m.pwm_overlay(gpios).map(|l| l.join("\n"));
        assert_eq!(line(Model::Pi4, &[]).as_deref(), Some(""));
        for model in [Model::Zero, Model::Pi3, Model::Pi4, Model::Pi5] {
            for (gpios, text) in [
                (&[12][..], "dtoverlay=pwm,pin=12,func=4"),
                (&[19], "dtoverlay=pwm,pin=19,func=2"),
                (&[18, 19], "dtoverlay=pwm-2chan"),
                (&[19, 18, 19], "dtoverlay=pwm-2chan"),
                (&[13, 12], "dtoverlay=pwm-2chan,pin=12,func=4,pin2=13,func2=4"),
                (&[12, 19], "dtoverlay=pwm-2chan,pin=12,func=4,pin2=19,func2=2"),
                (&[13, 18], "dtoverlay=pwm-2chan,pin=13,func=4,pin2=18,func2=2"),
            ] {
                assert_eq!(line(model, gpios).as_deref(), Some(text), "{model} {gpios:?}");
            }
        }
        // One channel up to the Pi 4, two on the Pi 5.
        assert_eq!(line(Model::Pi4, &[12, 18]), None);
        assert_eq!(
            line(Model::Pi5, &[12, 18]).as_deref(),
            Some("dtoverlay=pwm-2chan,pin=12,func=4,pin2=18,func2=2")
        );
        for gpios in [&[14][..], &[12, 15], &[14, 18], &[12, 13, 18], &[17]] {
            assert_eq!(line(Model::Pi5, gpios), None, "{gpios:?}");
        }
        assert_eq!(line(Model::BRev2, &[12]), None);
    }

    #[test]
    fn the_header_chip_is_told_from_the_audio_and_fan_chips() {
        for device in ["../../../2020c000.pwm", "3f20c000.pwm", "/x/soc/fe20c000.pwm"] {
            assert!(Model::Pi4.is_header_pwm(device));
            assert!(!Model::Pi5.is_header_pwm(device));
        }
        assert!(Model::Pi5.is_header_pwm("../../../1f00098000.pwm"));
        for other in ["fe20c800.pwm", "1f0009c000.pwm", "i2c-1/1-0040", "pwm-gpio", ""] {
            for model in Model::ALL {
                assert!(!model.is_header_pwm(other), "{model} {other}");
            }
        }
    }

    #[test]
    fn only_the_first_chips_share_pwm_with_audio() {
        for model in Model::ALL {
            let own_block = model.gpiochip_label() != "pinctrl-bcm2835";
            assert_eq!(model.shares_audio(), !own_block);
        }
    }
}
