//! Timing of common STEP/DIR drivers, each with its source: the data sheet, and for the times also
//! LinuxCNC's page on stepper timing, which lists them.
//!
//! The wake times of DRV8825 and A4988 are those from sleep; from ENABLE alone they need less, but what
//! an enable line does on a given board is not known here.
//!
//! DRV8825 and A4988 want their times at the chip's own pins, which is where a carrier board brings
//! them out. TB6600 and DM542 modules put slow optocouplers before the chip: their times are longer.

use super::DriverTiming;

/// A driver that a config can name.
#[derive(Debug)]
pub struct DriverPreset {
    /// The name in a config: `drv8825`.
    pub name: &'static str,
    /// Its timing.
    pub timing: DriverTiming,
    /// The microsteps it can be set to, rising.
    pub microsteps: &'static [u32],
    /// How its microsteps are set.
    pub straps: Straps,
}

/// How a driver is told its microsteps.
#[derive(Debug)]
pub enum Straps {
    /// By the levels of these pins: for each number of microsteps the level of each pin, high or low.
    Pins(&'static [&'static str], &'static [(u32, &'static [bool])]),
    /// By switches, whose table is printed on the module.
    Switches,
}

impl DriverPreset {
    /// The preset of that name.
    pub fn find(name: &str) -> Option<&'static DriverPreset> {
        PRESETS.iter().find(|p| p.name == name)
    }

    /// What to set on the board for a number of microsteps, for a person:
    /// `MODE0 low, MODE1 low, MODE2 high`.
    pub fn strap_text(&self, microsteps: u32, steps_per_revolution: u32) -> String {
        match self.straps {
            Straps::Pins(pins, table) => match table.iter().find(|row| row.0 == microsteps) {
                Some((_, levels)) => {
                    let level = |&high: &bool| if high { "high" } else { "low" };
                    let all: Vec<_> = pins
                        .iter()
                        .zip(*levels)
                        .map(|(p, l)| format!("{p} {}", level(l)))
                        .collect();
                    all.join(", ")
                }
                None => format!("no strap gives {microsteps} microsteps: set them over its UART"),
            },
            Straps::Switches => format!(
                "its switches to {microsteps} microsteps ({} pulses a turn), as printed on it",
                u64::from(microsteps) * u64::from(steps_per_revolution)
            ),
        }
    }
}

const L: bool = false;
const H: bool = true;

/// Allegro A4988 data sheet, "Timing Requirements" (t_A, t_B: 1 us; t_C, t_D: 200 ns), "Sleep Mode"
/// (1 ms until the charge pump is stable) and table 1 "Microstepping Resolution Truth Table".
const A4988: DriverPreset = DriverPreset {
    name: "a4988",
    timing: DriverTiming {
        step_high: 1_000,
        step_low: 1_000,
        dir_setup: 200,
        dir_hold: 200,
        wake: 1_000_000,
    },
    microsteps: &[1, 2, 4, 8, 16],
    straps: Straps::Pins(
        &["MS1", "MS2", "MS3"],
        &[(1, &[L, L, L]), (2, &[H, L, L]), (4, &[L, H, L]), (8, &[H, H, L]), (16, &[H, H, H])],
    ),
};

/// Texas Instruments DRV8825 data sheet SLVSA73, "Timing Requirements" (t_WH, t_WL: 1.9 us; t_SU,
/// t_H: 650 ns; t_WAKE: 1.7 ms) and table 1 "Stepping Format".
const DRV8825: DriverPreset = DriverPreset {
    name: "drv8825",
    timing: DriverTiming {
        step_high: 1_900,
        step_low: 1_900,
        dir_setup: 650,
        dir_hold: 650,
        wake: 1_700_000,
    },
    microsteps: &[1, 2, 4, 8, 16, 32],
    straps: Straps::Pins(
        &["M0", "M1", "M2"],
        &[
            (1, &[L, L, L]),
            (2, &[H, L, L]),
            (4, &[L, H, L]),
            (8, &[H, H, L]),
            (16, &[L, L, H]),
            (32, &[H, L, H]),
        ],
    ),
};

/// Trinamic TMC2208 data sheet, "STEP/DIR Interface", timing (t_SH, t_SL: 100 ns; t_DSU, t_DSH: 20 ns;
/// it names no time from enable to the first step) and the table of MS1 and MS2.
const TMC2208: DriverPreset = DriverPreset {
    name: "tmc2208",
    timing: TMC22XX,
    microsteps: TMC_MICROSTEPS,
    straps: Straps::Pins(
        &["MS1", "MS2"],
        &[(2, &[H, L]), (4, &[L, H]), (8, &[L, L]), (16, &[H, H])],
    ),
};

/// Trinamic TMC2209 data sheet, "STEP/DIR Interface", timing as for the TMC2208, and the table of MS1
/// and MS2.
const TMC2209: DriverPreset = DriverPreset {
    name: "tmc2209",
    timing: TMC22XX,
    microsteps: TMC_MICROSTEPS,
    straps: Straps::Pins(
        &["MS1", "MS2"],
        &[(8, &[L, L]), (16, &[H, H]), (32, &[H, L]), (64, &[L, H])],
    ),
};

const TMC22XX: DriverTiming =
    DriverTiming { step_high: 100, step_low: 100, dir_setup: 20, dir_hold: 20, wake: 0 };

const TMC_MICROSTEPS: &[u32] = &[1, 2, 4, 8, 16, 32, 64, 128, 256];

/// TB6600 modules: LinuxCNC's page on stepper timing (5 us pulse and gap, 20 us DIR set-up and hold:
/// the optocouplers, not the chip); it names no wake time.
const TB6600: DriverPreset = DriverPreset {
    name: "tb6600",
    timing: DriverTiming {
        step_high: 5_000,
        step_low: 5_000,
        dir_setup: 20_000,
        dir_hold: 20_000,
        wake: 0,
    },
    microsteps: &[1, 2, 4, 8, 16, 32],
    straps: Straps::Switches,
};

/// DM542 and M542: pulse, gap and DIR times of Leadshine's manuals, as LinuxCNC's page on stepper
/// timing lists them. From ENA to the first DIR, published figures go from 5 us to 200 ms with the
/// version of the drive: the longest holds here.
const DM542: DriverPreset = DriverPreset {
    name: "dm542",
    timing: DriverTiming {
        step_high: 2_500,
        step_low: 2_500,
        dir_setup: 10_000,
        dir_hold: 5_000,
        wake: 200_000_000,
    },
    microsteps: &[1, 2, 4, 5, 8, 10, 16, 20, 25, 32, 40, 50, 64, 100, 125, 128],
    straps: Straps::Switches,
};

/// Every driver that a config can name.
pub const PRESETS: &[DriverPreset] = &[A4988, DRV8825, TMC2208, TMC2209, TB6600, DM542];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_strap_row_is_a_known_setting_and_no_two_are_alike() {
        for preset in PRESETS {
            assert!(preset.microsteps.is_sorted(), "{}", preset.name);
            if let Straps::Pins(pins, table) = preset.straps {
                for (i, (microsteps, levels)) in table.iter().enumerate() {
                    assert_eq!(levels.len(), pins.len(), "{}", preset.name);
                    assert!(preset.microsteps.contains(microsteps), "{} {microsteps}", preset.name);
                    assert!(!table[..i].iter().any(|row| row.1 == *levels), "{}", preset.name);
                }
            }
        }
    }

    #[test]
    fn straps_read_well() {
        let text = |name, n| DriverPreset::find(name).unwrap().strap_text(n, 200);
        assert_eq!(text("drv8825", 16), "M0 low, M1 low, M2 high");
        assert_eq!(text("tmc2208", 256), "no strap gives 256 microsteps: set them over its UART");
        assert!(text("dm542", 16).contains("3200 pulses a turn"));
        assert!(DriverPreset::find("drv8826").is_none());
    }
}
