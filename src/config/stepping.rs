//! What an axis asks of its driver: timing, microsteps, and steps that it can make and count.

use std::time::Duration;

use super::coil_motors::MotorPreset;
use super::drivers::{DriverPreset, PRESETS, Straps};
use super::parts::ReadMotor;
use super::reader::{Key, Reader, Value, key, or};
use super::*;
use crate::units::Ratio;

/// A driver: a preset, or times alone.
pub(super) struct Driver {
    pub preset: Option<&'static DriverPreset>,
    pub timing: DriverTiming,
}

pub(super) fn driver(r: &Reader<'_>, value: Value<'_>) -> Option<Driver> {
    if value.toml.get_ref().is_table() {
        return explicit_driver(r, value).map(|timing| Driver { preset: None, timing });
    }
    let name = r.string(value)?;
    let preset = DriverPreset::find(name);
    if preset.is_none() {
        r.bad_word(value, name, PRESETS.iter().map(|p| p.name));
    }
    preset.map(|preset| Driver { preset: Some(preset), timing: preset.timing })
}

fn explicit_driver(r: &Reader<'_>, value: Value<'_>) -> Option<DriverTiming> {
    let table = r.table(value, "`driver`".to_owned())?;
    let time = |key: Key, least: u32| {
        let value = r.required(&table, key)?;
        let Time(time) = r.quantity(value)?;
        let nanos =
            u32::try_from(time.as_nanos()).ok().filter(|n| *n >= least && *n <= 1_000_000_000);
        if nanos.is_none() {
            let low = if least == 0 { "0" } else { "1ns" };
            r.out_of_range(value, &format!("it must lie between {low} and 1s"));
        }
        nanos
    };
    let step_high = time(key("step-high", "\"2us\""), 1);
    let step_low = time(key("step-low", "\"2us\""), 1);
    let dir_setup = time(key("dir-setup", "\"1us\""), 0);
    let dir_hold = time(key("dir-hold", "\"1us\""), 0);
    let wake = time(key("wake", "\"2ms\""), 0);
    r.finish(&table);
    Some(DriverTiming {
        step_high: step_high?,
        step_low: step_low?,
        dir_setup: dir_setup?,
        dir_hold: dir_hold?,
        wake: wake?,
    })
}

pub(super) fn known_microsteps(
    r: &Reader<'_>,
    value: Value<'_>,
    microsteps: u32,
    preset: Option<&DriverPreset>,
) -> Option<u32> {
    let Some(preset) = preset.filter(|p| !p.microsteps.contains(&microsteps)) else {
        return Some(microsteps);
    };
    let all: Vec<String> = preset.microsteps.iter().map(u32::to_string).collect();
    r.error(
        value.span(),
        format!("a {} has no {microsteps} microsteps", preset.name),
        format!("write {}", or(&all)),
    );
    None
}

/// The microstep pins of a driver with the levels that the axis' microsteps need.
pub(super) fn mode_pins(
    r: &Reader<'_>,
    value: Value<'_>,
    gpios: &[u8],
    preset: Option<&DriverPreset>,
    microsteps: u32,
) -> Option<Vec<ModePin>> {
    let Some((preset, Straps::Pins(names, table))) = preset.map(|p| (p, &p.straps)) else {
        let what =
            preset.map_or("a driver given by its times".to_owned(), |p| format!("a {}", p.name));
        r.error(
            value.span(),
            format!("which microstep pins {what} has is not known"),
            "set them on the driver, and leave out `mode`",
        );
        return None;
    };
    if gpios.len() != names.len() {
        r.error(
            value.span(),
            format!("a {} has {} microstep pins, not {}", preset.name, names.len(), gpios.len()),
            format!("write the GPIOs of {}, in this order", names.join(", ")),
        );
        return None;
    }
    let Some((_, levels)) = table.iter().find(|row| row.0 == microsteps) else {
        let all: Vec<String> = table.iter().map(|row| row.0.to_string()).collect();
        r.error(
            value.span(),
            format!("the pins of a {} can't set {microsteps} microsteps", preset.name),
            format!("write `microsteps` = {}, or leave out `mode`", or(&all)),
        );
        return None;
    };
    let pins = gpios.iter().zip(*names).zip(*levels);
    Some(pins.map(|((&gpio, &name), &high)| ModePin { gpio, name, high }).collect())
}

pub(super) fn steps_per_unit(
    r: &Reader<'_>,
    at: Span,
    steps: u32,
    microsteps: u32,
    gear_ratio: Ratio,
    distance: Ratio,
) -> Option<Ratio> {
    let ratio = Ratio::new(u64::from(steps) * u64::from(microsteps), 1)
        .and_then(|n| n.times(gear_ratio)?.over(distance));
    if ratio.is_none() {
        r.error(
            at,
            "its steps per unit are no ratio of two 64-bit integers",
            "write `gear-ratio` and `distance-per-revolution` with fewer digits",
        );
    }
    ratio
}

/// Whether the driver can step as fast as the axis may move.
pub(super) fn fits_driver(
    r: &Reader<'_>,
    at: Value<'_>,
    speed: f64,
    steps_per_unit: Ratio,
    timing: &DriverTiming,
    unit: MotorUnit,
) -> Option<()> {
    let (asked, most) = (steps_per_unit.scale(speed), timing.max_step_rate());
    // One part in 10^12 is rounding.
    if asked <= most * (1.0 + 1e-12) {
        return Some(());
    }
    let (asked, most_steps) = (asked.ceil(), most.floor());
    r.error(
        at.span(),
        format!(
            "this speed needs {asked} steps/s, but the driver's pulse and gap ({} + {}) allow {most_steps}",
            nanos(timing.step_high),
            nanos(timing.step_low),
        ),
        format!(
            "write at most \"{}{}/s\", or fewer `microsteps`",
            round_down(steps_per_unit.unscale(most)),
            unit.symbol()
        ),
    );
    None
}

/// Whether a motor of a known kind follows as fast as the axis may move. `per_full`: steps of the
/// sequence for each of its full steps.
pub(super) fn fits_motor(
    r: &Reader<'_>,
    at: Value<'_>,
    speed: f64,
    steps_per_unit: Ratio,
    motor: &MotorPreset,
    per_full: u32,
    unit: MotorUnit,
) -> Option<()> {
    let (asked, most) = (steps_per_unit.scale(speed), motor.fastest * f64::from(per_full));
    if asked <= most * (1.0 + 1e-12) {
        return Some(());
    }
    r.error(
        at.span(),
        format!(
            "this speed needs {} steps/s, but a {} follows {most} at the most",
            asked.ceil(),
            motor.name
        ),
        format!(
            "write at most \"{}{}/s\"",
            round_down(steps_per_unit.unscale(most)),
            unit.symbol()
        ),
    );
    None
}

fn nanos(nanos: u32) -> Time {
    Time(Duration::from_nanos(u64::from(nanos)))
}

/// Rounded down to three digits that count, so that what an error proposes is accepted.
fn round_down(x: f64) -> f64 {
    let scale = 10f64.powf(2.0 - x.log10().floor());
    if scale.is_finite() && scale > 0.0 { (x * scale).floor() / scale } else { x }
}

/// Whether the backlash is at least a step, so that it does anything, and less than the travel.
pub(super) fn backlash_fits(
    r: &Reader<'_>,
    at: Option<Value<'_>>,
    motor: &ReadMotor,
    steps_per_unit: Ratio,
    unit: MotorUnit,
) -> Option<()> {
    let (Some(at), Some(backlash), Some(travel)) = (at, motor.backlash, motor.travel) else {
        return Some(());
    };
    let u = unit.symbol();
    if steps_per_unit.scale(backlash) < 0.5 {
        let step = round_down(steps_per_unit.unscale(1.0));
        r.error(
            at.span(),
            format!("this is less than half a step, which is {step}{u}: nothing could be taken up"),
            "leave out `backlash`",
        );
        return None;
    }
    if backlash >= travel.max - travel.min {
        r.error(
            at.span(),
            "the backlash is as large as the travel",
            "write the play between turning one way and the other, such as \"0.05mm\"",
        );
        return None;
    }
    Some(())
}

/// Whether every position of the travel is a number of steps that can be counted exactly.
pub(super) fn countable(
    r: &Reader<'_>,
    at: Value<'_>,
    travel: Travel,
    steps_per_unit: Ratio,
) -> Option<()> {
    let far = [travel.min, travel.max].into_iter().filter(|x| x.is_finite()).map(f64::abs);
    if far.map(|x| steps_per_unit.scale(x)).all(|steps| steps < 9e15) {
        return Some(());
    }
    r.error(
        at.span(),
        "the travel has more steps than can be counted exactly, 9e15",
        "write a shorter one, or \"unlimited\"",
    );
    None
}
