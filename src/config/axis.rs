//! `[axis.NAME]`.

use super::parts::{self, ReadMotor};
use super::pwm_clock::{self, Clock};
use super::reader::{Key, MOST, Reader, Table, Value, key};
use super::stepping::{countable, driver, fits_driver, known_microsteps, steps_per_unit};
use super::*;
use crate::units::{Dimension, Quantity, Ratio};

const STEP: Key = key("step", "{ gpio = 17 }");
const DIR: Key = key("dir", "{ gpio = 27 }");
const ENABLE: Key = key("enable", "{ gpio = 22, active = \"low\" }");
const FAULT: Key = key("fault", "{ gpio = 24, active = \"low\" }");
const DRIVER: Key = key("driver", "\"drv8825\"");
const STEPS: Key = key("steps-per-revolution", "200");
const MICROSTEPS: Key = key("microsteps", "16");
const GEAR_RATIO: Key = key("gear-ratio", "\"1\"");
const DISTANCE: Key = key("distance-per-revolution", "\"8mm\"");
const ON_STOP: Key = key("on-stop", "\"keep\"");
const HOLDS_LOAD: Key = key("holds-load", "true");

/// The keys whose unit the distance per revolution decides, with examples for both.
struct UnitKeys {
    travel: Key,
    min: Key,
    max: Key,
    speed: Key,
    acceleration: Key,
    jerk: Key,
    assume: Key,
    start_stop: Key,
    dimensions: [Dimension; 4],
    why: &'static str,
}

const LINEAR: UnitKeys = UnitKeys {
    travel: key("travel", "{ min = \"0mm\", max = \"200mm\" }"),
    min: key("min", "\"0mm\""),
    max: key("max", "\"200mm\""),
    speed: key("max-speed", "\"50mm/s\""),
    acceleration: key("max-acceleration", "\"500mm/s^2\""),
    jerk: key("max-jerk", "\"5000mm/s^3\""),
    assume: key("assume", "\"0mm\""),
    start_stop: key("start-stop-speed", "\"5mm/s\""),
    dimensions: [Dimension::Length, Dimension::Speed, Dimension::Acceleration, Dimension::Jerk],
    why: "since `distance-per-revolution` is a length",
};

const ROTARY: UnitKeys = UnitKeys {
    travel: key("travel", "{ min = \"0deg\", max = \"360deg\" }"),
    min: key("min", "\"0deg\""),
    max: key("max", "\"360deg\""),
    speed: key("max-speed", "\"90deg/s\""),
    acceleration: key("max-acceleration", "\"900deg/s^2\""),
    jerk: key("max-jerk", "\"9000deg/s^3\""),
    assume: key("assume", "\"0deg\""),
    start_stop: key("start-stop-speed", "\"20deg/s\""),
    dimensions: [
        Dimension::Angle,
        Dimension::AngularSpeed,
        Dimension::AngularAcceleration,
        Dimension::AngularJerk,
    ],
    why: "since `distance-per-revolution` is an angle",
};

pub(super) fn read(r: &Reader<'_>, name: &str, table: &Table<'_>) -> ReadMotor {
    let mut motor = ReadMotor::new(name, table.span);
    let step = pwm_clock::step(r, table, &mut motor, STEP);
    let dir = parts::pin(r, table, &mut motor, DIR);
    let enable = parts::line(r, table, &mut motor, ENABLE);
    let fault = parts::line(r, table, &mut motor, FAULT);

    let driver = r.required(table, DRIVER).and_then(|v| driver(r, v));
    let steps = r.required(table, STEPS).and_then(|v| r.integer(v, 1, 100_000));
    let microsteps = r
        .required(table, MICROSTEPS)
        .and_then(|v| r.integer(v, 1, 1024).map(|n| (v, n as u32)))
        .and_then(|(v, n)| known_microsteps(r, v, n, driver.as_ref()?.preset));
    let gear_ratio = table.get(GEAR_RATIO).map_or(Some(Ratio::ONE), |v| gear_ratio(r, v));
    let distance = r.required(table, DISTANCE).and_then(|v| distance(r, v));

    let unit = distance.map(|d| d.1);
    motor.unit = unit;
    // Where the unit is not known, only that a key is there can be checked.
    let keys = if unit == Some(MotorUnit::Degree) { &ROTARY } else { &LINEAR };
    let travel_at = r.required(table, keys.travel);
    let speed_at = r.required(table, keys.speed);
    let acceleration_at = r.required(table, keys.acceleration);
    let jerk_at = table.get(keys.jerk);
    let at_start_at = table.get(key("at-start", "\"unknown\""));
    let reverse = table.get(key("reverse", "true")).map_or(Some(false), |v| r.boolean(v));
    let holds_load = table.get(HOLDS_LOAD).map_or(Some(false), |v| r.boolean(v));
    let on_stop = match table.get(ON_STOP) {
        None => Some(AxisStop::Keep),
        Some(v) => on_stop(r, v, holds_load, enable),
    };
    let is_clock = step.as_ref().is_some_and(|s| s.clock);
    let clock = is_clock.then(|| Clock::read(r, table, &mut motor, keys.start_stop));
    r.finish(table);

    let mut at_start = None;
    if let Some(unit) = unit {
        let limit = |v: Option<Value<'_>>, dimension| {
            v.and_then(|v| r.above_zero(v, r.in_dimension(v, dimension, keys.why)?))
        };
        let speed = limit(speed_at, keys.dimensions[1]);
        let acceleration = limit(acceleration_at, keys.dimensions[2]);
        let jerk = match jerk_at {
            None => acceleration.map(|a| a * 10.0),
            Some(_) => limit(jerk_at, keys.dimensions[3]),
        };
        motor.limits = parts::limits(speed, acceleration, jerk);
        motor.travel = travel_at.and_then(|v| travel(r, v, keys, &motor.name));
        at_start = match at_start_at {
            None => Some(AtStart::Unknown),
            Some(v) => start(r, v, keys, unit, motor.travel),
        };
    } else {
        for (value, dimension) in [(speed_at, 1), (acceleration_at, 2), (jerk_at, 3)] {
            if let Some(value) = value {
                r.has_unit(value, keys.dimensions[dimension]);
            }
        }
    }
    motor.drive = (|| {
        let (driver, unit) = (driver?, unit?);
        let steps_per_unit =
            steps_per_unit(r, table.span, steps? as u32, microsteps?, gear_ratio?, distance?.0?)?;
        if let (Some(limits), Some(at)) = (motor.limits, speed_at) {
            let timing = if is_clock { Clock::timing(driver.timing) } else { driver.timing };
            fits_driver(r, at, limits.speed, steps_per_unit, &timing, unit)?;
        }
        if let (Some(travel), Some(at)) = (motor.travel, travel_at) {
            countable(r, at, travel, steps_per_unit)?;
        }
        let axis = StepDirDrive {
            step: step?.gpio?,
            dir: dir?,
            enable: enable?,
            fault: fault?,
            timing: driver.timing,
            driver: driver.preset.map(|p| p.name.to_owned()),
            steps_per_revolution: steps? as u32,
            microsteps: microsteps?,
            steps_per_unit,
            reverse: reverse?,
            at_start: at_start?,
            on_stop: on_stop?,
            holds_load: holds_load?,
        };
        match clock {
            None => Some(Drive::StepDir(axis)),
            Some(clock) => {
                let travel = (motor.travel?, travel_at);
                clock.drive(r, axis, motor.limits?, unit, travel, at_start_at)
            }
        }
    })();
    motor
}

/// `"25792/405"`, or a number, since a ratio has no unit.
fn gear_ratio(r: &Reader<'_>, value: Value<'_>) -> Option<Ratio> {
    r.parsed(value, str::parse)
}

/// The unit that the text decides, and its exact value if it can be one.
fn distance(r: &Reader<'_>, value: Value<'_>) -> Option<(Option<Ratio>, MotorUnit)> {
    let help = "write a length, such as \"8mm\", or for a rotary axis an angle, such as \"360deg\"";
    if matches!(value.toml.get_ref(), toml::de::DeValue::Integer(_) | toml::de::DeValue::Float(_)) {
        r.error(value.span(), format!("`{}` has no unit", r.text(value.span())), help);
        return None;
    }
    let text = r.string(value)?;
    let unit = match text.parse::<Quantity>().map(|q| q.dimension) {
        Ok(Dimension::Length) => Some(MotorUnit::Millimetre),
        Ok(Dimension::Angle) => Some(MotorUnit::Degree),
        _ => None,
    };
    let exact = Quantity::parse_exact(text).ok().map(|e| e.0);
    match (exact, unit) {
        (Some(exact), Some(unit)) => Some((Some(exact), unit)),
        (None, Some(unit)) => {
            r.out_of_range(value, "it must be above 0, with at most 18 digits and no exponent");
            Some((None, unit))
        }
        (_, None) => {
            r.error(value.span(), format!("`{text}` is neither a length nor an angle"), help);
            None
        }
    }
}

fn travel(r: &Reader<'_>, value: Value<'_>, keys: &UnitKeys, name: &str) -> Option<Travel> {
    if let Some(word) = value.toml.get_ref().as_str() {
        if word == "unlimited" {
            return Some(Travel { min: f64::NEG_INFINITY, max: f64::INFINITY });
        }
        r.error(
            value.span(),
            format!("`travel` can't be \"{word}\""),
            format!("write `travel = {}` or \"unlimited\"", keys.travel.example),
        );
        return None;
    }
    let inner = r.table(value, format!("`travel` of {name}"))?;
    let (min, max) = (r.required(&inner, keys.min), r.required(&inner, keys.max));
    r.finish(&inner);
    let (min_at, max_at) = (min?, max?);
    let min = r.in_dimension(min_at, keys.dimensions[0], keys.why);
    let max = r.in_dimension(max_at, keys.dimensions[0], keys.why);
    let (min, max) = (min?, max?);
    let u = keys.dimensions[0].base_unit();
    if min >= max {
        r.error(
            min_at.span(),
            format!("the start of the travel, {min}{u}, is not below its end, {max}{u}"),
            "write the smaller one as `min`; to move the other way, write `reverse = true`",
        );
        return None;
    }
    for (end, at) in [(min, min_at), (max, max_at)] {
        if end.abs() > MOST {
            r.out_of_range(at, "no machine is that large");
            return None;
        }
    }
    Some(Travel { min, max })
}

fn start(
    r: &Reader<'_>,
    value: Value<'_>,
    keys: &UnitKeys,
    unit: MotorUnit,
    travel: Option<Travel>,
) -> Option<AtStart> {
    if !value.toml.get_ref().is_table() {
        let word = r.string(value)?;
        if word != "unknown" {
            r.error(
                value.span(),
                format!("`at-start` can't be \"{word}\""),
                format!("write \"unknown\" or {{ assume = {} }}", keys.assume.example),
            );
            return None;
        }
        return Some(AtStart::Unknown);
    }
    let inner = r.table(value, "`at-start`".to_owned())?;
    let at = r.required(&inner, keys.assume);
    r.finish(&inner);
    let at = at?;
    let position = r.in_dimension(at, keys.dimensions[0], keys.why)?;
    parts::inside(r, at.span(), position, unit, travel?).map(AtStart::Assume)
}

fn on_stop(
    r: &Reader<'_>,
    value: Value<'_>,
    holds_load: Option<bool>,
    enable: Option<Option<LineConfig>>,
) -> Option<AxisStop> {
    let chosen = r.choice(value, &[("keep", AxisStop::Keep), ("release", AxisStop::Release)])?;
    if chosen == AxisStop::Release && holds_load == Some(true) {
        r.error(
            value.span(),
            "an axis that holds a load is never released, or the load would fall",
            "write `on-stop = \"keep\"`, or leave out `holds-load`",
        );
        return None;
    }
    if chosen == AxisStop::Release && enable == Some(None) {
        r.error(
            value.span(),
            "without an enable line the driver can't be released",
            "add `enable = { gpio = 22, active = \"low\" }`, or write `on-stop = \"keep\"`",
        );
        return None;
    }
    Some(chosen)
}
