//! `[axis.NAME]` with `coils`: a stepper whose coils are switched one by one.

use super::axis::{self, InUnits};
use super::coil_motors::{COIL_DRIVERS, CoilDriver, MOTORS, MotorPreset};
use super::parts::{self, ReadMotor};
use super::reader::{Key, Reader, Table, Value, key};
use super::stepping::{backlash_fits, countable, fits_motor, steps_per_unit};
use super::*;
use crate::units::Ratio;

const MOTOR: Key = key("motor", "\"28byj-48\"");
const COILS: Key = key("coils", "{ gpio = [5, 6, 13, 19], sequence = \"half\" }");
const GPIO: Key = key("gpio", "[5, 6, 13, 19]");
const SEQUENCE: Key = key("sequence", "\"half\"");
const DRIVER: Key = key("driver", "\"uln2003\"");
const AT_REST: Key = key("at-rest", "\"release\"");

/// How long the rotor is given to swing in, in nanoseconds: some ten half steps at pull-in.
const SETTLE: u32 = 20_000_000;

pub(super) fn read(r: &Reader<'_>, name: &str, table: &Table<'_>) -> ReadMotor {
    let mut motor = ReadMotor::new(name, table.span);
    let preset_at = table.get(MOTOR);
    let preset = preset_at.map(|v| preset(r, v));
    // Where a preset was meant, its values are not asked for again.
    let of_preset = preset.flatten();
    let coils = r.required(table, COILS).and_then(|v| coils(r, v, &mut motor));
    let driver = match (table.get(DRIVER), preset) {
        (Some(v), _) => driver(r, v),
        (None, Some(preset)) => preset.and_then(|p| CoilDriver::find(p.driver)),
        (None, None) => r.required(table, DRIVER).and_then(|v| driver(r, v)),
    };
    let steps = match (table.get(axis::STEPS), preset) {
        (None, Some(preset)) => preset.map(|p| p.steps_per_revolution),
        _ => r
            .required(table, axis::STEPS)
            .and_then(|v| r.integer(v, 1, 100_000))
            .map(|steps| steps as u32),
    };
    let gear_ratio = match (table.get(axis::GEAR_RATIO), preset) {
        (Some(v), _) => axis::gear_ratio(r, v),
        (None, Some(preset)) => preset.and_then(MotorPreset::gear_ratio),
        (None, None) => Some(Ratio::ONE),
    };
    let distance = match (table.get(axis::DISTANCE), preset) {
        (None, Some(_)) => Ratio::new(360, 1).map(|turn| (Some(turn), MotorUnit::Degree)),
        _ => r.required(table, axis::DISTANCE).and_then(|v| axis::distance(r, v)),
    };

    let unit = distance.map(|d| d.1);
    motor.unit = unit;
    let in_units = InUnits::find(r, table, unit);
    let reverse = table.get(key("reverse", "true")).map_or(Some(false), |v| r.boolean(v));
    let holds_load = table.get(axis::HOLDS_LOAD).map_or(Some(false), |v| r.boolean(v));
    let at_rest = match table.get(AT_REST) {
        None => Some(AtRest::Hold),
        Some(v) => at_rest(r, v, holds_load),
    };
    let on_stop = on_stop(r, table.get(axis::ON_STOP), holds_load, at_rest);
    let against = if holds_load == Some(true) {
        Some((parts::LOAD_WOULD_FALL, "leave out `release-after`, or `holds-load`"))
    } else if at_rest == Some(AtRest::Release) {
        let what = "with `at-rest = \"release\"` nothing is left to release later";
        Some((what, "leave out one of the two"))
    } else {
        None
    };
    parts::release_after(r, table, &mut motor, against);
    power::current(r, table, &mut motor);
    let lost = table.get(parts::ON_LOST_LEASE);
    r.finish(table);

    let at_start = in_units.read(r, &mut motor);
    parts::on_lost_lease(r, lost, &mut motor);
    let start_stop = in_units.start_stop(r);
    motor.drive = (|| {
        let ((gpio, sequence), driver, unit) = (coils?, driver?, unit?);
        let per_full = sequence.per_full_step();
        let ratio = steps_per_unit(r, table.span, steps?, per_full, gear_ratio?, distance?.0?)?;
        if let (Some(limits), Some(at), Some(preset)) = (motor.limits, in_units.speed, of_preset) {
            fits_motor(r, at, limits.speed, ratio, preset, per_full, unit)?;
        }
        if let (Some(travel), Some(at)) = (motor.travel, in_units.travel) {
            countable(r, at, travel, ratio)?;
        }
        backlash_fits(r, in_units.backlash, &motor, ratio, unit)?;
        let full_steps = ratio.to_f64() / f64::from(per_full);
        let start_stop = start_stop?.or(of_preset.map(|p| p.start_stop / full_steps));
        Some(Drive::Coils(CoilsDrive {
            gpio,
            start_stop_speed: axis::start_stop_speed(start_stop, motor.limits?, full_steps),
            sequence,
            wiring: driver.wiring,
            driver: driver.name.to_owned(),
            motor: of_preset.map(|p| p.name.to_owned()),
            steps_per_revolution: steps?,
            steps_per_unit: ratio,
            reverse: reverse?,
            at_start: at_start?,
            at_rest: at_rest?,
            on_stop: on_stop?,
            holds_load: holds_load?,
            settle: SETTLE,
        }))
    })();
    motor
}

fn preset(r: &Reader<'_>, value: Value<'_>) -> Option<&'static MotorPreset> {
    let name = r.string(value)?;
    let preset = MotorPreset::find(name);
    if preset.is_none() {
        r.bad_word(value, name, MOTORS.iter().map(|m| m.name));
    }
    preset
}

fn driver(r: &Reader<'_>, value: Value<'_>) -> Option<&'static CoilDriver> {
    let name = r.string(value)?;
    let driver = CoilDriver::find(name);
    if driver.is_none() {
        if drivers::DriverPreset::find(name).is_some() {
            r.error(
                value.span(),
                format!("a {name} takes STEP and DIR, and switches the coils itself"),
                "write `step` and `dir` instead of `coils`",
            );
        } else {
            r.bad_word(value, name, COIL_DRIVERS.iter().map(|d| d.name));
        }
    }
    driver
}

/// `{ gpio = [5, 6, 13, 19], sequence = "half" }`.
fn coils(r: &Reader<'_>, value: Value<'_>, motor: &mut ReadMotor) -> Option<([u8; 4], Sequence)> {
    let table = r.table(value, format!("`coils` of {}", motor.name))?;
    let gpio = r.required(&table, GPIO).and_then(|v| {
        let numbers = parts::gpios(r, v, COILS.name, motor)?;
        let four = <[u8; 4]>::try_from(numbers.as_slice()).ok();
        if four.is_none() {
            r.error(
                v.span(),
                format!("a motor has four coils to switch, not {}", numbers.len()),
                format!("write the GPIOs of the board's four inputs: `gpio = {}`", GPIO.example),
            );
        }
        four
    });
    let all = [Sequence::Wave, Sequence::Full, Sequence::Half].map(|s| (s.name(), s));
    let sequence = table.get(SEQUENCE).map_or(Some(Sequence::Half), |v| r.choice(v, &all));
    r.finish(&table);
    Some((gpio?, sequence?))
}

fn at_rest(r: &Reader<'_>, value: Value<'_>, holds_load: Option<bool>) -> Option<AtRest> {
    let chosen = r.choice(value, &[("hold", AtRest::Hold), ("release", AtRest::Release)])?;
    if chosen == AtRest::Release && holds_load == Some(true) {
        r.error(
            value.span(),
            parts::LOAD_WOULD_FALL,
            "write `at-rest = \"hold\"`, or leave out `holds-load`",
        );
        return None;
    }
    Some(chosen)
}

fn on_stop(
    r: &Reader<'_>,
    value: Option<Value<'_>>,
    holds_load: Option<bool>,
    at_rest: Option<AtRest>,
) -> Option<AxisStop> {
    let released = at_rest? == AtRest::Release;
    let Some(value) = value else {
        return Some(if released { AxisStop::Release } else { AxisStop::Keep });
    };
    let chosen = axis::stop_word(r, value, holds_load)?;
    if chosen == AxisStop::Keep && released {
        r.error(
            value.span(),
            "with `at-rest = \"release\"` nothing is left to keep, since it has let go before",
            "write `at-rest = \"hold\"`, or leave out `on-stop`",
        );
        return None;
    }
    Some(chosen)
}
