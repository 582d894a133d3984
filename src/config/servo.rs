//! `[servo.NAME]`.

use std::time::Duration;

use super::continuous;
use super::output::{self, Asked};
use super::parts::{self, PwmUse, ReadMotor};
use super::reader::{Key, Reader, Table, key};
use super::*;
use crate::board::PwmTiming;
use crate::units::{Angle, Dimension, Frequency, Quantity};

const ALLOW_JITTER: Key = key("allow-jitter", "true");
const CLOCK_CORRECTION: Key = key("clock-correction", "\"1200ppm\"");
const FREQUENCY: Key = key("frequency", "\"50Hz\"");
const PULSE: Key = key("pulse", "{ min = \"1000us\", max = \"2000us\" }");
const PULSE_MIN: Key = key("min", "\"1000us\"");
const PULSE_MAX: Key = key("max", "\"2000us\"");
const ANGLE: Key = key("angle", "{ min = \"-45deg\", max = \"45deg\" }");
const ANGLE_MIN: Key = key("min", "\"-45deg\"");
const ANGLE_MAX: Key = key("max", "\"45deg\"");
const TRIM: Key = key("trim", "\"0us\"");
const DEAD_BAND: Key = key("dead-band", "\"2us\"");
const CONTINUOUS: Key = key("continuous", "true");
const STARTUP: Key = key("startup", "\"off\"");
const STARTUP_ANGLE: Key = key("angle", "\"0deg\"");
const ON_STOP: Key = key("on-stop", "\"keep\"");
const PARK: Key = key("park", "\"0deg\"");
const UNSAFE_RANGE: Key = key("unsafe-range", "true");
const MAX_SPEED: Key = key("max-speed", "\"600deg/s\"");
const MAX_ACCELERATION: Key = key("max-acceleration", "\"6000deg/s^2\"");
const MAX_JERK: Key = key("max-jerk", "\"60000deg/s^3\"");

/// Pulses outside can drive a servo against its stops, where it burns.
const SAFE_PULSE: std::ops::RangeInclusive<i64> = 500_000..=2_500_000;

/// What an SG90 does without load at 4.8 V: 60 degrees in 0.1 s.
const DEFAULT_SPEED: f64 = 600.0;

/// What every servo has, whatever its pulses stand for.
pub(super) struct Common {
    pub asked: Option<Asked>,
    pub frequency: Option<Frequency>,
    pub trim_ns: Option<i32>,
    pub pulse: Option<(PulseWidth, PulseWidth)>,
    pub reverse: Option<bool>,
}

pub(super) fn read(r: &Reader<'_>, name: &str, table: &Table<'_>) -> ReadMotor {
    let mut motor = ReadMotor::new(name, table.span);
    let common = common(r, table, &mut motor);
    if table.get(CONTINUOUS).and_then(|v| r.boolean(v)) == Some(true) {
        return continuous::read(r, table, motor, common);
    }
    motor.unit = Some(MotorUnit::Degree);
    let travel = angle(r, table, name);
    motor.travel = travel;

    let dead_band = table.get(DEAD_BAND).map_or(Some(0), |v| {
        let width = r.quantity::<PulseWidth>(v)?.as_nanos();
        if width == 0 || width > 50_000 {
            r.out_of_range(
                v,
                "it must be above 0us and at most 50us; servos have about 5us of their own",
            );
            return None;
        }
        Some(width)
    });
    let startup = table.get(STARTUP).map_or(Some(Startup::Off), |v| startup(r, v, travel));
    let on_stop = table.get(ON_STOP).map_or(Some(ServoStop::Keep), |v| on_stop(r, v, travel));
    parts::release_after(r, table, &mut motor, None);
    parts::on_lost_lease(r, table.get(parts::ON_LOST_LEASE), &mut motor);
    power::current(r, table, &mut motor);
    let why = "since a servo turns";
    let limit = |key: Key, dimension, default: Option<f64>| match table.get(key) {
        None => default,
        Some(v) => r.in_dimension(v, dimension, why).and_then(|n| r.above_zero(v, n)),
    };
    let speed = limit(MAX_SPEED, Dimension::AngularSpeed, Some(DEFAULT_SPEED));
    let acceleration =
        limit(MAX_ACCELERATION, Dimension::AngularAcceleration, speed.map(|s| s * 10.0));
    let jerk = limit(MAX_JERK, Dimension::AngularJerk, acceleration.map(|a| a * 10.0));
    motor.limits = parts::limits(speed, acceleration, jerk);
    let ends = travel.map(|t| (t.min, t.max));
    let set = ends.zip(dead_band).zip(startup.zip(on_stop));
    let set = set.map(|((ends, dead_band), (startup, on_stop))| Set {
        ends,
        dead_band,
        continuous: false,
        startup,
        on_stop,
    });
    finish(r, table, motor, common, set)
}

/// What a servo's pulses stand for, and what it does with them.
pub(super) struct Set {
    /// What the two ends of the range stand for: degrees, or percent.
    pub ends: (f64, f64),
    pub dead_band: u32,
    pub continuous: bool,
    pub startup: Startup,
    pub on_stop: ServoStop,
}

fn common(r: &Reader<'_>, table: &Table<'_>, motor: &mut ReadMotor) -> Common {
    let asked = output::read(r, table, motor);
    let frequency = match table.get(FREQUENCY) {
        None => Frequency::from_hertz(50.0),
        Some(v) => r.quantity::<Frequency>(v).filter(|f| {
            let fits = (20.0..=500.0).contains(&f.hertz());
            if !fits {
                r.out_of_range(v, "servos listen between 20Hz and 500Hz, hobby servos at 50Hz");
            }
            fits
        }),
    };
    let trim_ns = match table.get(TRIM) {
        None => Some(0),
        Some(v) => r.parsed(v, |t| Quantity::parse_as(t, Dimension::Time)).and_then(|seconds| {
            let nanos = (seconds * 1e9).round();
            if nanos.abs() > 1e6 {
                r.out_of_range(v, "it must lie between -1000us and 1000us");
                return None;
            }
            Some(nanos as i32)
        }),
    };
    let unsafe_range = table.get(UNSAFE_RANGE).map_or(Some(false), |v| r.boolean(v));
    let period = frequency.map(Frequency::period);
    let pulse = pulse(r, table, &motor.name, period, trim_ns, unsafe_range);
    let reverse = table.get(key("reverse", "true")).map_or(Some(false), |v| r.boolean(v));
    Common { asked, frequency, trim_ns, pulse, reverse }
}

/// The motor, once every key of its table has been looked at.
pub(super) fn finish(
    r: &Reader<'_>,
    table: &Table<'_>,
    mut motor: ReadMotor,
    common: Common,
    set: Option<Set>,
) -> ReadMotor {
    for (key, inside) in [(ALLOW_JITTER, "soft-pwm"), (CLOCK_CORRECTION, "pwm")] {
        // Not one of its keys, unless it is there.
        if table.entries.contains_key(key.name)
            && let Some(v) = table.get(key)
        {
            r.error(
                v.span(),
                format!("`{}` does not stand here", key.name),
                format!("write it into `{inside} = {{ ... }}`"),
            );
        }
    }
    r.finish(table);
    let period = common.frequency.map(Frequency::period);
    let output = match common.asked {
        None => None,
        Some(Asked::Soft { gpio, allow_jitter }) => Some(ServoOutput::Soft { gpio, allow_jitter }),
        Some(Asked::Pwm { output, span, correction }) => {
            let at = |key| table.get(key).map_or(span, |v| v.span());
            motor.pwm = Some(PwmUse {
                output: output.clone(),
                span,
                period: period.map(|p| (p, at(FREQUENCY))),
                correction,
                pulse_span: at(PULSE),
            });
            // What its chip makes of it is known when all motors are.
            Some(ServoOutput::Pwm { output, timing: PwmTiming::EXACT })
        }
    };
    motor.drive = (|| {
        let ((pulse_min, pulse_max), set) = (common.pulse?, set?);
        Some(Drive::Servo(ServoDrive {
            output: output?,
            period: period?,
            pulse_min,
            pulse_max,
            angle_min: set.ends.0,
            angle_max: set.ends.1,
            trim_ns: common.trim_ns?,
            reverse: common.reverse?,
            dead_band: set.dead_band,
            continuous: set.continuous,
            startup: set.startup,
            on_stop: set.on_stop,
        }))
    })();
    motor
}

fn pulse(
    r: &Reader<'_>,
    table: &Table<'_>,
    name: &str,
    period: Option<Duration>,
    trim_ns: Option<i32>,
    unsafe_range: Option<bool>,
) -> Option<(PulseWidth, PulseWidth)> {
    let (min, max) = match table.get(PULSE) {
        None => (PulseWidth::from_micros(1000), PulseWidth::from_micros(2000)),
        Some(v) => {
            let inner = r.table(v, format!("`pulse` of {name}"))?;
            let (min, max) = (r.required(&inner, PULSE_MIN), r.required(&inner, PULSE_MAX));
            r.finish(&inner);
            let (min_at, max_at) = (min?, max?);
            let (min, max) = (r.quantity::<PulseWidth>(min_at), r.quantity::<PulseWidth>(max_at));
            let (min, max) = (min?, max?);
            if min >= max {
                r.error(
                    min_at.span(),
                    format!("the shortest pulse, {min}, is not below the longest, {max}"),
                    "write the shorter one as `min`; to turn the other way, write `reverse = true`",
                );
                return None;
            }
            let mut fine = true;
            for (pulse, at) in [(min, min_at), (max, max_at)] {
                fine &= pulse_fits(r, at.span(), pulse, 0, period, unsafe_range);
            }
            if !fine {
                return None;
            }
            (min, max)
        }
    };
    // Then the trim alone can be at fault.
    if let (Some(trim), Some(at)) = (trim_ns.filter(|t| *t != 0), table.get(TRIM)) {
        for pulse in [min, max] {
            if !pulse_fits(r, at.span(), pulse, trim, period, unsafe_range) {
                return None;
            }
        }
    } else if let Some(at) = table.get(FREQUENCY) {
        // The pulses that nobody wrote fit every period but one that somebody wrote.
        if !pulse_fits(r, at.span(), max, 0, period, Some(true)) {
            return None;
        }
    }
    Some((min, max))
}

fn pulse_fits(
    r: &Reader<'_>,
    at: Span,
    pulse: PulseWidth,
    trim_ns: i32,
    period: Option<Duration>,
    unsafe_range: Option<bool>,
) -> bool {
    let nanos = i64::from(pulse.as_nanos()) + i64::from(trim_ns);
    let with_trim = match trim_ns {
        0 => format!("a pulse of {pulse}"),
        _ => {
            format!("with this trim, the pulse of {pulse} becomes {}us, which", nanos as f64 / 1e3)
        }
    };
    if let Some(period) =
        period.filter(|p| nanos >= i64::try_from(p.as_nanos()).unwrap_or(i64::MAX))
    {
        let period = Time(period);
        r.error(
            at,
            format!("{with_trim} does not fit the period of {period}"),
            "write a shorter pulse or a lower `frequency`",
        );
        return false;
    }
    if nanos <= 0 {
        r.error(at, format!("{with_trim} is no pulse"), "write a longer pulse");
        return false;
    }
    if unsafe_range == Some(false) && !SAFE_PULSE.contains(&nanos) {
        r.error(
            at,
            format!("{with_trim} is outside 500us to 2500us, where servos run against their stops"),
            "stay inside, or write `unsafe-range = true` if this servo is made for it",
        );
        return false;
    }
    true
}

fn angle(r: &Reader<'_>, table: &Table<'_>, name: &str) -> Option<Travel> {
    let Some(v) = table.get(ANGLE) else {
        return Some(Travel { min: -45.0, max: 45.0 });
    };
    let inner = r.table(v, format!("`angle` of {name}"))?;
    let (min, max) = (r.required(&inner, ANGLE_MIN), r.required(&inner, ANGLE_MAX));
    r.finish(&inner);
    let (min_at, max_at) = (min?, max?);
    let (min, max) = (r.quantity::<Angle>(min_at), r.quantity::<Angle>(max_at));
    let (Angle(min), Angle(max)) = (min?, max?);
    if min >= max {
        r.error(
            min_at.span(),
            format!("the smallest angle, {min}deg, is not below the largest, {max}deg"),
            "write the smaller one as `min`; to turn the other way, write `reverse = true`",
        );
        return None;
    }
    for (angle, at) in [(min, min_at), (max, max_at)] {
        if angle.abs() > 3600.0 {
            r.out_of_range(at, "a servo turns at most 10 turns either way");
            return None;
        }
    }
    Some(Travel { min, max })
}

fn startup(r: &Reader<'_>, value: reader::Value<'_>, travel: Option<Travel>) -> Option<Startup> {
    if value.toml.get_ref().is_table() {
        return inner_angle(r, value, STARTUP_ANGLE, travel).map(Startup::Angle);
    }
    let words = [
        ("off", Startup::Off),
        ("centre", Startup::Centre),
        ("center", Startup::Centre),
        ("last", Startup::Last),
    ];
    r.choice(value, &words)
}

fn on_stop(r: &Reader<'_>, value: reader::Value<'_>, travel: Option<Travel>) -> Option<ServoStop> {
    if value.toml.get_ref().is_table() {
        return inner_angle(r, value, PARK, travel).map(ServoStop::Park);
    }
    r.choice(value, &[("keep", ServoStop::Keep), ("release", ServoStop::Release)])
}

/// The angle in `{ angle = "10deg" }`, inside the travel.
fn inner_angle(
    r: &Reader<'_>,
    value: reader::Value<'_>,
    key: Key,
    travel: Option<Travel>,
) -> Option<f64> {
    let inner = r.table(value, format!("`{}`", value.key.name))?;
    let at = r.required(&inner, key);
    r.finish(&inner);
    let at = at?;
    let Angle(angle) = r.quantity(at)?;
    parts::inside(r, at.span(), angle, MotorUnit::Degree, travel?)
}
