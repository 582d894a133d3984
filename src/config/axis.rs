//! `[axis.NAME]`.

use super::coils;
use super::parts::{self, ReadMotor};
use super::pwm_clock::{self, Clock};
use super::reader::{Key, MOST, Reader, Table, Value, key};
use super::stepping::{
    backlash_fits, countable, driver, fits_driver, known_microsteps, mode_pins, steps_per_unit,
};
use super::*;
use crate::units::{Dimension, Quantity, Ratio};

const STEP: Key = key("step", "{ gpio = 17 }");
const DIR: Key = key("dir", "{ gpio = 27 }");
const ENABLE: Key = key("enable", "{ gpio = 22, active = \"low\" }");
const FAULT: Key = key("fault", "{ gpio = 24, active = \"low\" }");
const MODE: Key = key("mode", "{ gpio = [14, 15, 18] }");
const SLEEP: Key = key("sleep", "{ gpio = 23, active = \"low\" }");
const RESET: Key = key("reset", "{ gpio = 25, active = \"low\" }");
pub(super) const DRIVER: Key = key("driver", "\"drv8825\"");
pub(super) const STEPS: Key = key("steps-per-revolution", "200");
const MICROSTEPS: Key = key("microsteps", "16");
pub(super) const GEAR_RATIO: Key = key("gear-ratio", "\"1\"");
pub(super) const DISTANCE: Key = key("distance-per-revolution", "\"8mm\"");
pub(super) const ON_STOP: Key = key("on-stop", "\"keep\"");
pub(super) const HOLDS_LOAD: Key = key("holds-load", "true");

/// The keys whose unit the distance per revolution decides, with examples for both.
pub(super) struct UnitKeys {
    pub travel: Key,
    min: Key,
    max: Key,
    pub speed: Key,
    start_stop: Key,
    acceleration: Key,
    jerk: Key,
    assume: Key,
    backlash: Key,
    dimensions: [Dimension; 4],
    why: &'static str,
}

const LINEAR: UnitKeys = UnitKeys {
    travel: key("travel", "{ min = \"0mm\", max = \"200mm\" }"),
    min: key("min", "\"0mm\""),
    max: key("max", "\"200mm\""),
    speed: key("max-speed", "\"50mm/s\""),
    start_stop: key("start-stop-speed", "\"5mm/s\""),
    acceleration: key("max-acceleration", "\"500mm/s^2\""),
    jerk: key("max-jerk", "\"5000mm/s^3\""),
    assume: key("assume", "\"0mm\""),
    backlash: key("backlash", "\"0.05mm\""),
    dimensions: [Dimension::Length, Dimension::Speed, Dimension::Acceleration, Dimension::Jerk],
    why: "since `distance-per-revolution` is a length",
};

const ROTARY: UnitKeys = UnitKeys {
    travel: key("travel", "{ min = \"0deg\", max = \"360deg\" }"),
    min: key("min", "\"0deg\""),
    max: key("max", "\"360deg\""),
    speed: key("max-speed", "\"90deg/s\""),
    start_stop: key("start-stop-speed", "\"9deg/s\""),
    acceleration: key("max-acceleration", "\"900deg/s^2\""),
    jerk: key("max-jerk", "\"9000deg/s^3\""),
    assume: key("assume", "\"0deg\""),
    backlash: key("backlash", "\"0.5deg\""),
    dimensions: [
        Dimension::Angle,
        Dimension::AngularSpeed,
        Dimension::AngularAcceleration,
        Dimension::AngularJerk,
    ],
    why: "since `distance-per-revolution` is an angle",
};

/// The values whose unit the distance per revolution decides.
pub(super) struct InUnits<'a> {
    unit: Option<MotorUnit>,
    keys: &'static UnitKeys,
    pub travel: Option<Value<'a>>,
    pub speed: Option<Value<'a>>,
    acceleration: Option<Value<'a>>,
    jerk: Option<Value<'a>>,
    pub start_stop: Option<Value<'a>>,
    pub backlash: Option<Value<'a>>,
    pub at_start: Option<Value<'a>>,
}

impl<'a> InUnits<'a> {
    /// Finds them. Where the unit is not known, only that a key is there can be checked.
    pub fn find(r: &Reader<'_>, table: &Table<'a>, unit: Option<MotorUnit>) -> InUnits<'a> {
        let keys = if unit == Some(MotorUnit::Degree) { &ROTARY } else { &LINEAR };
        InUnits {
            unit,
            keys,
            travel: r.required(table, keys.travel),
            speed: r.required(table, keys.speed),
            acceleration: r.required(table, keys.acceleration),
            jerk: table.get(keys.jerk),
            start_stop: table.get(keys.start_stop),
            backlash: table.get(keys.backlash),
            at_start: table.get(key("at-start", "\"unknown\"")),
        }
    }

    /// The start-stop speed that the text gives: `None` where it is wrong.
    pub fn start_stop(&self, r: &Reader<'_>) -> Option<Option<f64>> {
        let (Some(v), Some(_)) = (self.start_stop, self.unit) else { return Some(None) };
        let speed = r.in_dimension(v, self.keys.dimensions[1], self.keys.why)?;
        r.above_zero(v, speed).map(Some)
    }

    /// Reads travel and limits into the motor, and says where it is at the start.
    pub fn read(&self, r: &Reader<'_>, motor: &mut ReadMotor) -> Option<AtStart> {
        let keys = self.keys;
        let Some(unit) = self.unit else {
            let all =
                [(self.speed, 1), (self.start_stop, 1), (self.acceleration, 2), (self.jerk, 3)];
            for (value, dimension) in all {
                if let Some(value) = value {
                    r.has_unit(value, keys.dimensions[dimension]);
                }
            }
            return None;
        };
        let limit = |v: Option<Value<'_>>, dimension| {
            v.and_then(|v| r.above_zero(v, r.in_dimension(v, dimension, keys.why)?))
        };
        let speed = limit(self.speed, keys.dimensions[1]);
        let acceleration = limit(self.acceleration, keys.dimensions[2]);
        let jerk = match self.jerk {
            None => acceleration.map(|a| a * 10.0),
            Some(_) => limit(self.jerk, keys.dimensions[3]),
        };
        motor.limits = parts::limits(speed, acceleration, jerk);
        motor.travel = self.travel.and_then(|v| travel(r, v, keys, &motor.name));
        if self.backlash.is_some() {
            motor.backlash = limit(self.backlash, keys.dimensions[0]);
        }
        match self.at_start {
            None => Some(AtStart::Unknown),
            Some(v) => start(r, v, keys, unit, motor.travel),
        }
    }
}

pub(super) fn read(r: &Reader<'_>, name: &str, table: &Table<'_>) -> ReadMotor {
    if ["coils", "motor"].iter().any(|key| table.entries.contains_key(*key)) {
        return coils::read(r, name, table);
    }
    let mut motor = ReadMotor::new(name, table.span);
    let step = pwm_clock::step(r, table, &mut motor, STEP);
    let dir = parts::pin(r, table, &mut motor, DIR);
    let enable = parts::line(r, table, &mut motor, ENABLE);
    let fault = parts::line(r, table, &mut motor, FAULT);
    let sleep = parts::line(r, table, &mut motor, SLEEP);
    let reset = parts::line(r, table, &mut motor, RESET);

    let driver = r.required(table, DRIVER).and_then(|v| driver(r, v));
    let steps = r.required(table, STEPS).and_then(|v| r.integer(v, 1, 100_000));
    let microsteps = r
        .required(table, MICROSTEPS)
        .and_then(|v| r.integer(v, 1, 1024).map(|n| (v, n as u32)))
        .and_then(|(v, n)| known_microsteps(r, v, n, driver.as_ref()?.preset));
    let clock = step.clock.then(|| Clock::read(r, table, &mut motor));
    let words = clock.as_ref().is_some_and(Clock::has_mode);
    let mode = match table.get(MODE).filter(|_| !words) {
        None => Some(Vec::new()),
        Some(v) => parts::pins(r, v, &mut motor)
            .and_then(|gpios| mode_pins(r, v, &gpios, driver.as_ref()?.preset, microsteps?)),
    };
    let gear_ratio = table.get(GEAR_RATIO).map_or(Some(Ratio::ONE), |v| gear_ratio(r, v));
    let distance = r.required(table, DISTANCE).and_then(|v| distance(r, v));

    let unit = distance.map(|d| d.1);
    motor.unit = unit;
    let in_units = InUnits::find(r, table, unit);
    let reverse = table.get(key("reverse", "true")).map_or(Some(false), |v| r.boolean(v));
    let holds_load = table.get(HOLDS_LOAD).map_or(Some(false), |v| r.boolean(v));
    let on_stop = match table.get(ON_STOP) {
        None => Some(AxisStop::Keep),
        Some(v) => on_stop(r, v, holds_load, enable, sleep),
    };
    let against = if holds_load == Some(true) {
        Some((parts::LOAD_WOULD_FALL, "leave out `release-after`, or `holds-load`"))
    } else if enable == Some(None) && sleep == Some(None) {
        Some((NO_ENABLE, "add `enable = { gpio = 22, active = \"low\" }`, or leave it out"))
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
        let (driver, unit) = (driver?, unit?);
        let steps_per_unit =
            steps_per_unit(r, table.span, steps? as u32, microsteps?, gear_ratio?, distance?.0?)?;
        if let (Some(limits), Some(at)) = (motor.limits, in_units.speed) {
            let timing = clock.as_ref().map_or(driver.timing, |_| Clock::timing(driver.timing));
            fits_driver(r, at, limits.speed, steps_per_unit, &timing, unit)?;
        }
        if let (Some(travel), Some(at)) = (motor.travel, in_units.travel) {
            countable(r, at, travel, steps_per_unit)?;
        }
        backlash_fits(r, in_units.backlash, &motor, steps_per_unit, unit)?;
        let start_stop = start_stop?;
        let axis = StepDirDrive {
            step: step.gpio?,
            dir: dir?,
            enable: enable?,
            fault: fault?,
            mode: mode?,
            sleep: sleep?,
            reset: reset?,
            timing: driver.timing,
            driver: driver.preset.map(|p| p.name.to_owned()),
            steps_per_revolution: steps? as u32,
            microsteps: microsteps?,
            steps_per_unit,
            start_stop_speed: start_stop_speed(
                start_stop,
                motor.limits?,
                steps_per_unit.to_f64() / f64::from(microsteps?),
            ),
            reverse: reverse?,
            at_start: at_start?,
            on_stop: on_stop?,
            holds_load: holds_load?,
        };
        match clock {
            None => Some(Drive::StepDir(axis)),
            Some(clock) => clock.drive(r, axis, &motor, &in_units, start_stop),
        }
    })();
    motor
}

/// Unless the config says it: the speed that the axis, by its own largest acceleration, can give up
/// within one full step. As long as the rotor lags by less than that, the field pulls it back.
pub(super) fn start_stop_speed(
    given: Option<f64>,
    limits: MotionLimits,
    full_steps_per_unit: f64,
) -> f64 {
    let speed = given.unwrap_or((2.0 * limits.acceleration / full_steps_per_unit).sqrt());
    speed.min(limits.speed)
}

/// `"25792/405"`, or a number, since a ratio has no unit.
pub(super) fn gear_ratio(r: &Reader<'_>, value: Value<'_>) -> Option<Ratio> {
    r.parsed(value, str::parse)
}

/// The unit that the text decides, and its exact value if it can be one.
pub(super) fn distance(r: &Reader<'_>, value: Value<'_>) -> Option<(Option<Ratio>, MotorUnit)> {
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
        return match word {
            "unknown" => Some(AtStart::Unknown),
            "restored" => Some(AtStart::Restored),
            _ => {
                let assume = keys.assume.example;
                r.error(
                    value.span(),
                    format!("`at-start` can't be \"{word}\""),
                    format!("write \"unknown\", \"restored\" or {{ assume = {assume} }}"),
                );
                None
            }
        };
    }
    let inner = r.table(value, "`at-start`".to_owned())?;
    let at = r.required(&inner, keys.assume);
    r.finish(&inner);
    let at = at?;
    let position = r.in_dimension(at, keys.dimensions[0], keys.why)?;
    parts::inside(r, at.span(), position, unit, travel?).map(AtStart::Assume)
}

const NO_ENABLE: &str = "without an enable line the driver can't be released";

/// `on-stop`, which is no release where a load would fall.
pub(super) fn stop_word(
    r: &Reader<'_>,
    value: Value<'_>,
    holds_load: Option<bool>,
) -> Option<AxisStop> {
    let chosen = r.choice(value, &[("keep", AxisStop::Keep), ("release", AxisStop::Release)])?;
    if chosen == AxisStop::Release && holds_load == Some(true) {
        r.error(
            value.span(),
            parts::LOAD_WOULD_FALL,
            "write `on-stop = \"keep\"`, or leave out `holds-load`",
        );
        return None;
    }
    Some(chosen)
}

fn on_stop(
    r: &Reader<'_>,
    value: Value<'_>,
    holds_load: Option<bool>,
    enable: Option<Option<LineConfig>>,
    sleep: Option<Option<LineConfig>>,
) -> Option<AxisStop> {
    let chosen = stop_word(r, value, holds_load)?;
    if chosen == AxisStop::Release && enable == Some(None) && sleep == Some(None) {
        r.error(
            value.span(),
            NO_ENABLE,
            "add `enable = { gpio = 22, active = \"low\" }`, or write `on-stop = \"keep\"`",
        );
        return None;
    }
    Some(chosen)
}
