//! From what the system says of itself to a model.

use super::Model;

impl Model {
    /// The model behind the `Revision` of `/proc/cpuinfo`, old style (four hexadecimal digits) or new.
    /// `None` for codes that are not known.
    ///
    /// Source: the Raspberry Pi documentation, "Raspberry Pi revision codes".
    ///
    /// ```
    /// use lockstep::board::Model;
    ///
    /// assert_eq!(Model::from_revision(0xc03114), Some(Model::Pi4));
    /// assert_eq!(Model::from_revision(0x000d), Some(Model::BRev2));
    /// ```
    pub const fn from_revision(code: u32) -> Option<Model> {
        const NEW_STYLE: u32 = 1 << 23;
        if code & NEW_STYLE == 0 {
            // The bits above say that the warranty is void.
            return Some(match code & 0xffff {
                0x0002 | 0x0003 => Model::BRev1,
                0x0004..=0x0006 | 0x000d..=0x000f => Model::BRev2,
                0x0007..=0x0009 => Model::A,
                0x0010 | 0x0013 => Model::BPlus,
                0x0011 | 0x0014 => Model::Cm1,
                0x0012 | 0x0015 => Model::APlus,
                _ => return None,
            });
        }
        Some(match code >> 4 & 0xff {
            0x00 => Model::A,
            0x01 => Model::BRev2,
            0x02 => Model::APlus,
            0x03 => Model::BPlus,
            0x04 => Model::Pi2,
            0x06 => Model::Cm1,
            0x08 => Model::Pi3,
            0x09 => Model::Zero,
            0x0a => Model::Cm3,
            0x0c => Model::ZeroW,
            0x0d => Model::Pi3BPlus,
            0x0e => Model::Pi3APlus,
            0x10 => Model::Cm3Plus,
            0x11 => Model::Pi4,
            0x12 => Model::Zero2W,
            0x13 => Model::Pi400,
            0x14 => Model::Cm4,
            0x15 => Model::Cm4S,
            0x17 => Model::Pi5,
            0x18 => Model::Cm5,
            0x19 => Model::Pi500,
            0x1a => Model::Cm5Lite,
            _ => return None,
        })
    }

    /// The model behind the device tree's `compatible`: one name, or the property as it is, with its
    /// names apart by NUL.
    ///
    /// ```
    /// use lockstep::board::Model;
    ///
    /// let property = "raspberrypi,5-model-b\0brcm,bcm2712\0";
    /// assert_eq!(Model::from_compatible(property), Some(Model::Pi5));
    /// ```
    pub fn from_compatible(compatible: &str) -> Option<Model> {
        compatible.split('\0').find_map(|name| {
            Some(match name.strip_prefix("raspberrypi,")? {
                "model-a" => Model::A,
                "model-b" | "model-b-i2c0" => Model::BRev1,
                "model-b-rev2" => Model::BRev2,
                "model-a-plus" => Model::APlus,
                "model-b-plus" => Model::BPlus,
                "compute-module" => Model::Cm1,
                "model-zero" => Model::Zero,
                "model-zero-w" => Model::ZeroW,
                "model-zero-2" | "model-zero-2-w" => Model::Zero2W,
                "2-model-b" => Model::Pi2,
                "3-model-b" => Model::Pi3,
                "3-model-a-plus" => Model::Pi3APlus,
                "3-model-b-plus" => Model::Pi3BPlus,
                "3-compute-module" => Model::Cm3,
                "3-compute-module-plus" => Model::Cm3Plus,
                "4-model-b" => Model::Pi4,
                "400" => Model::Pi400,
                "4-compute-module" => Model::Cm4,
                "4-compute-module-s" => Model::Cm4S,
                "5-model-b" => Model::Pi5,
                "500" => Model::Pi500,
                "5-compute-module" => Model::Cm5,
                _ => return None,
            })
        })
    }

    /// The model behind the device tree's `model`: `Raspberry Pi 4 Model B Rev 1.4`.
    pub fn from_model_string(text: &str) -> Option<Model> {
        let text = text.trim_end_matches(['\0', '\n']);
        let (name, revision) = match text.split_once(" Rev ") {
            Some((name, revision)) => (name, Some(revision)),
            None => (text, None),
        };
        let name = name.strip_prefix("Raspberry Pi ")?.replace(" Plus", "+");
        Some(match (name.as_str(), revision) {
            ("Model B", Some("2.0")) | ("Model B rev2", _) => Model::BRev2,
            ("Model B" | "Model B (no P5)", _) => Model::BRev1,
            ("Model A", _) => Model::A,
            ("Model A+", _) => Model::APlus,
            ("Model B+", _) => Model::BPlus,
            ("Compute Module", _) => Model::Cm1,
            ("Zero", _) => Model::Zero,
            ("Zero W", _) => Model::ZeroW,
            ("Zero 2" | "Zero 2 W", _) => Model::Zero2W,
            ("2 Model B", _) => Model::Pi2,
            ("3 Model B", _) => Model::Pi3,
            ("3 Model A+", _) => Model::Pi3APlus,
            ("3 Model B+", _) => Model::Pi3BPlus,
            ("Compute Module 3", _) => Model::Cm3,
            ("Compute Module 3+", _) => Model::Cm3Plus,
            ("4 Model B", _) => Model::Pi4,
            ("400", _) => Model::Pi400,
            ("Compute Module 4", _) => Model::Cm4,
            ("Compute Module 4S", _) => Model::Cm4S,
            ("5 Model B", _) => Model::Pi5,
            ("500", _) => Model::Pi500,
            ("Compute Module 5", _) => Model::Cm5,
            ("Compute Module 5 Lite", _) => Model::Cm5Lite,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions() {
        for (code, model) in [
            (0x0002, Model::BRev1),
            (0x1000_000e, Model::BRev2),
            (0x0100_0008, Model::A),
            (0x0015, Model::APlus),
            (0x0013, Model::BPlus),
            (0x90_0093, Model::Zero),
            (0x90_00c1, Model::ZeroW),
            (0x90_2120, Model::Zero2W),
            (0xa0_1041, Model::Pi2),
            (0xa0_2082, Model::Pi3),
            (0xa0_20d3, Model::Pi3BPlus),
            (0x90_20e0, Model::Pi3APlus),
            (0xa0_20a0, Model::Cm3),
            (0xa0_2100, Model::Cm3Plus),
            (0xd0_3115, Model::Pi4),
            (0xc0_3130, Model::Pi400),
            (0xb0_3140, Model::Cm4),
            (0xb0_3150, Model::Cm4S),
            (0xd0_4170, Model::Pi5),
            (0xd0_4190, Model::Pi500),
            (0xc0_4180, Model::Cm5),
            (0xc0_41a0, Model::Cm5Lite),
        ] {
            assert_eq!(Model::from_revision(code), Some(model), "{code:x}");
        }
        for unknown in [0, 0x0001, 0x0016, 0x80_0050, 0xc0_3ff0] {
            assert_eq!(Model::from_revision(unknown), None, "{unknown:x}");
        }
    }

    #[test]
    fn every_model_can_be_found_by_its_revision_and_its_name() {
        for model in Model::ALL {
            let found = (0..=0xff).any(|t| {
                Model::from_revision(1 << 23 | t << 4) == Some(model)
                    || Model::from_revision(t) == Some(model)
            });
            assert!(found, "{model}");
            if !matches!(model, Model::BRev1 | Model::BRev2 | Model::Cm1) {
                assert_eq!(Model::from_model_string(model.name()), Some(model));
            }
        }
    }

    #[test]
    fn device_trees() {
        let pi_4 = "raspberrypi,4-model-b\0brcm,bcm2711\0";
        assert_eq!(Model::from_compatible(pi_4), Some(Model::Pi4));
        assert_eq!(Model::from_compatible("raspberrypi,model-zero-2-w"), Some(Model::Zero2W));
        assert_eq!(Model::from_compatible("pine64,rock64\0rockchip,rk3328\0"), None);
        assert_eq!(Model::from_model_string("Raspberry Pi 5 Model B Rev 1.0\0"), Some(Model::Pi5));
        assert_eq!(
            Model::from_model_string("Raspberry Pi 3 Model B Plus Rev 1.3"),
            Some(Model::Pi3BPlus)
        );
        assert_eq!(Model::from_model_string("Raspberry Pi Model B Rev 2.0"), Some(Model::BRev2));
        assert_eq!(Model::from_model_string("Raspberry Pi Model B Rev 1"), Some(Model::BRev1));
        assert_eq!(Model::from_model_string("Pine64 Rock64"), None);
    }
}
