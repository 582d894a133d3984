use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A Raspberry Pi.
///
/// `Display` and `FromStr` use short names, the ones a config takes: `pi-4`, `zero-2-w`.
/// [`Model::name`] is the name on the box.
///
/// ```
/// use lockstep::board::Model;
///
/// let model: Model = "pi-4".parse()?;
/// assert_eq!(model.name(), "Raspberry Pi 4 Model B");
/// // GPIO12 and GPIO18 are the same channel on a Pi 4, and two channels on a Pi 5.
/// assert_eq!(Model::Pi4.pwm_channel(12), Model::Pi4.pwm_channel(18));
/// assert_ne!(Model::Pi5.pwm_channel(12), Model::Pi5.pwm_channel(18));
/// # Ok::<(), lockstep::board::UnknownModel>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[non_exhaustive]
#[allow(missing_docs)] // `name()` says what each one is.
pub enum Model {
    A,
    BRev1,
    BRev2,
    APlus,
    BPlus,
    Cm1,
    Zero,
    ZeroW,
    Zero2W,
    Pi2,
    Pi3,
    Pi3APlus,
    Pi3BPlus,
    Cm3,
    Cm3Plus,
    Pi4,
    Pi400,
    Cm4,
    Cm4S,
    Pi5,
    Pi500,
    Cm5,
    Cm5Lite,
}

/// Who drives the header's pins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Family {
    /// BCM2835, BCM2836, BCM2837: one PWM block of two channels, shared with analog audio.
    Bcm283x,
    /// BCM2711: audio has a PWM block of its own.
    Bcm2711,
    /// The RP1 beside a BCM2712: four channels.
    Rp1,
}

impl Model {
    /// Every model, oldest first.
    pub const ALL: [Model; 23] = [
        Model::A,
        Model::BRev1,
        Model::BRev2,
        Model::APlus,
        Model::BPlus,
        Model::Cm1,
        Model::Zero,
        Model::ZeroW,
        Model::Zero2W,
        Model::Pi2,
        Model::Pi3,
        Model::Pi3APlus,
        Model::Pi3BPlus,
        Model::Cm3,
        Model::Cm3Plus,
        Model::Pi4,
        Model::Pi400,
        Model::Cm4,
        Model::Cm4S,
        Model::Pi5,
        Model::Pi500,
        Model::Cm5,
        Model::Cm5Lite,
    ];

    /// The name on the box: `Raspberry Pi 4 Model B`.
    pub const fn name(self) -> &'static str {
        self.names().1
    }

    /// The short name that a config takes: `pi-4`.
    pub const fn short_name(self) -> &'static str {
        self.names().0
    }

    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Model::A => ("pi-a", "Raspberry Pi Model A"),
            Model::BRev1 => ("pi-b-rev-1", "Raspberry Pi Model B Rev 1"),
            Model::BRev2 => ("pi-b", "Raspberry Pi Model B Rev 2"),
            Model::APlus => ("pi-a-plus", "Raspberry Pi Model A+"),
            Model::BPlus => ("pi-b-plus", "Raspberry Pi Model B+"),
            Model::Cm1 => ("cm-1", "Raspberry Pi Compute Module 1"),
            Model::Zero => ("zero", "Raspberry Pi Zero"),
            Model::ZeroW => ("zero-w", "Raspberry Pi Zero W"),
            Model::Zero2W => ("zero-2-w", "Raspberry Pi Zero 2 W"),
            Model::Pi2 => ("pi-2", "Raspberry Pi 2 Model B"),
            Model::Pi3 => ("pi-3", "Raspberry Pi 3 Model B"),
            Model::Pi3APlus => ("pi-3-a-plus", "Raspberry Pi 3 Model A+"),
            Model::Pi3BPlus => ("pi-3-b-plus", "Raspberry Pi 3 Model B+"),
            Model::Cm3 => ("cm-3", "Raspberry Pi Compute Module 3"),
            Model::Cm3Plus => ("cm-3-plus", "Raspberry Pi Compute Module 3+"),
            Model::Pi4 => ("pi-4", "Raspberry Pi 4 Model B"),
            Model::Pi400 => ("pi-400", "Raspberry Pi 400"),
            Model::Cm4 => ("cm-4", "Raspberry Pi Compute Module 4"),
            Model::Cm4S => ("cm-4s", "Raspberry Pi Compute Module 4S"),
            Model::Pi5 => ("pi-5", "Raspberry Pi 5 Model B"),
            Model::Pi500 => ("pi-500", "Raspberry Pi 500"),
            Model::Cm5 => ("cm-5", "Raspberry Pi Compute Module 5"),
            Model::Cm5Lite => ("cm-5-lite", "Raspberry Pi Compute Module 5 Lite"),
        }
    }

    /// The model to check a config against that names none: whatever it accepts, every Raspberry Pi
    /// with a 40-pin header accepts. Two PWM channels on four pins, shared with analog audio.
    pub const fn most_restrictive() -> Model {
        Model::Pi3
    }

    pub(super) const fn family(self) -> Family {
        match self {
            Model::A
            | Model::BRev1
            | Model::BRev2
            | Model::APlus
            | Model::BPlus
            | Model::Cm1
            | Model::Zero
            | Model::ZeroW
            | Model::Zero2W
            | Model::Pi2
            | Model::Pi3
            | Model::Pi3APlus
            | Model::Pi3BPlus
            | Model::Cm3
            | Model::Cm3Plus => Family::Bcm283x,
            Model::Pi4 | Model::Pi400 | Model::Cm4 | Model::Cm4S => Family::Bcm2711,
            Model::Pi5 | Model::Pi500 | Model::Cm5 | Model::Cm5Lite => Family::Rp1,
        }
    }

    /// Whether it has programmable I/O, which the kernel can make PWM with (`pwm-pio`).
    pub const fn has_pio(self) -> bool {
        matches!(self.family(), Family::Rp1)
    }

    /// Whether GPIO writes travel over PCIe (the RP1): they are posted, so that the moment of an edge
    /// is known only after a register was read back.
    pub const fn posts_writes(self) -> bool {
        matches!(self.family(), Family::Rp1)
    }

    /// The device through which a program reaches the pins' registers.
    pub const fn gpiomem_path(self) -> &'static str {
        match self.family() {
            Family::Bcm283x | Family::Bcm2711 => "/dev/gpiomem",
            Family::Rp1 => "/dev/gpiomem0",
        }
    }

    /// The label of the header's `/dev/gpiochipN`.
    pub const fn gpiochip_label(self) -> &'static str {
        match self.family() {
            Family::Bcm283x => "pinctrl-bcm2835",
            Family::Bcm2711 => "pinctrl-bcm2711",
            Family::Rp1 => "pinctrl-rp1",
        }
    }

    /// Whether the header has 26 pins: the first boards.
    const fn has_short_header(self) -> bool {
        matches!(self, Model::A | Model::BRev1 | Model::BRev2)
    }

    /// The header pin that carries `gpio` on this model; `None` where it has no such pin. For compute
    /// modules it is the pin of a carrier board with the usual 40-pin header.
    pub fn header_pin(self, gpio: u8) -> Option<u8> {
        if !self.has_short_header() {
            return super::header_pin(gpio);
        }
        // The first board had GPIO0, 1 and 21 where all later ones have GPIO2, 3 and 27.
        let as_later = match (self, gpio) {
            (Model::BRev1, 0) => 2,
            (Model::BRev1, 1) => 3,
            (Model::BRev1, 21) => 27,
            (Model::BRev1, 2 | 3 | 27) => return None,
            (_, other) => other,
        };
        super::header_pin(as_later).filter(|&pin| pin <= 26)
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.short_name())
    }
}

/// A text is not the short name of any board.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("`{text}` is no board that is known: write one of {}", known())]
pub struct UnknownModel {
    /// The text.
    pub text: String,
}

fn known() -> String {
    Model::ALL.map(Model::short_name).join(", ")
}

impl FromStr for Model {
    type Err = UnknownModel;

    /// Reads a short name.
    ///
    /// # Errors
    ///
    /// [`UnknownModel`], which lists the names that are known.
    fn from_str(text: &str) -> Result<Model, UnknownModel> {
        Model::ALL
            .into_iter()
            .find(|m| m.short_name() == text)
            .ok_or_else(|| UnknownModel { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_go_both_ways_and_are_unique() {
        for model in Model::ALL {
            assert_eq!(model.to_string().parse(), Ok(model));
            assert_eq!(Model::ALL.iter().filter(|m| m.name() == model.name()).count(), 1);
            assert_eq!(Model::ALL.iter().filter(|m| **m == model).count(), 1);
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let message = "pi4".parse::<Model>().unwrap_err().to_string();
        assert!(message.starts_with("`pi4` is no board"));
        for name in ["pi-4,", "zero-2-w,", "cm-5-lite"] {
            assert!(message.contains(name), "{message}");
        }
    }

    #[test]
    fn devices() {
        for model in Model::ALL {
            let (mem, label) = match model {
                Model::Pi5 | Model::Pi500 | Model::Cm5 | Model::Cm5Lite => {
                    ("/dev/gpiomem0", "pinctrl-rp1")
                }
                Model::Pi4 | Model::Pi400 | Model::Cm4 | Model::Cm4S => {
                    ("/dev/gpiomem", "pinctrl-bcm2711")
                }
                _ => ("/dev/gpiomem", "pinctrl-bcm2835"),
            };
            assert_eq!((model.gpiomem_path(), model.gpiochip_label()), (mem, label));
            assert_eq!(model.posts_writes(), label == "pinctrl-rp1");
            assert_eq!(model.has_pio(), label == "pinctrl-rp1");
        }
    }

    #[test]
    fn short_headers() {
        let gpios = |m: Model| (0..54).filter(|&g| m.header_pin(g).is_some()).collect::<Vec<u8>>();
        let rev_1 = [0, 1, 4, 7, 8, 9, 10, 11, 14, 15, 17, 18, 21, 22, 23, 24, 25];
        let rev_2 = [2, 3, 4, 7, 8, 9, 10, 11, 14, 15, 17, 18, 22, 23, 24, 25, 27];
        assert_eq!(gpios(Model::BRev1), rev_1);
        assert_eq!(gpios(Model::BRev2), rev_2);
        assert_eq!(gpios(Model::A), rev_2);
        assert_eq!(gpios(Model::BPlus), (0..=27).collect::<Vec<u8>>());
        assert_eq!(Model::BRev1.header_pin(21), Some(13));
        assert_eq!(Model::BRev1.header_pin(0), Some(3));
    }
}
