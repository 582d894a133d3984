//! `[servo.NAME]` with `continuous = true`: a pulse stands for a speed.

use super::parts::{self, ReadMotor};
use super::reader::{Key, Reader, Table, key};
use super::servo::{self, Common, Set};
use super::*;
use crate::units::Dimension;

const MAX_ACCELERATION: Key = key("max-acceleration", "\"400%/s\"");
const MAX_JERK: Key = key("max-jerk", "\"4000%/s^2\"");

/// From rest to full speed in 0.35 s: a wheel that jerks slips, and draws its stall current.
const DEFAULT_ACCELERATION: f64 = 400.0;

/// Keys of other servos: why not, and what to write instead.
const REFUSED: [(&str, &str, &str); 7] = [
    (
        "angle",
        "it has no angles: the ends of `pulse` are full speed backwards and forwards",
        "leave it out, or `continuous`",
    ),
    (
        "travel",
        "it has no travel: it turns for as long as it is told to",
        "leave it out; bound a turn by its time, `{ spin = { NAME = \"50%\" }, for = \"2s\" }`",
    ),
    (
        "max-speed",
        "its top speed is that of the pulses at the ends of its range",
        "narrow `pulse`, such as { min = \"1250us\", max = \"1750us\" }, or ask for less than 100%",
    ),
    (
        "startup",
        "it stands still at the start: an angle is no place where it could begin",
        "leave it out; begin a program with `{ spin = { NAME = \"50%\" }, for = \"2s\" }`",
    ),
    ("on-stop", "on a stop it always comes to rest: neutral, then no signal", "leave it out"),
    ("release-after", "its signal always ends 0.2 s after it has come to rest", "leave it out"),
    (
        "dead-band",
        "it would turn on where the last pulse is not quite the neutral one",
        "leave it out; move its neutral pulse with `trim`",
    ),
];

/// A servo that turns continuously, behind what all servos have.
pub(super) fn read(
    r: &Reader<'_>,
    table: &Table<'_>,
    mut motor: ReadMotor,
    common: Common,
) -> ReadMotor {
    motor.unit = Some(MotorUnit::Percent);
    motor.continuous = true;
    motor.travel = Some(Travel { min: f64::NEG_INFINITY, max: f64::INFINITY });
    for (name, why, instead) in REFUSED {
        // Not one of its keys, unless it is there.
        if table.entries.contains_key(name)
            && let Some(v) = table.get(key(name, ""))
        {
            r.error(
                v.span(),
                format!("`{name}` is not for {}, which turns continuously: {why}", motor.name),
                instead.replace("NAME", &motor.name),
            );
        }
    }
    parts::on_lost_lease(r, table.get(parts::ON_LOST_LEASE), &mut motor);
    power::current(r, table, &mut motor);
    let why = "since its speeds are shares of full speed";
    let limit = |key: Key, dimension, default: Option<f64>| match table.get(key) {
        None => default,
        Some(v) => r.in_dimension(v, dimension, why).and_then(|n| r.above_zero(v, n)),
    };
    let acceleration = limit(MAX_ACCELERATION, Dimension::PercentRate, Some(DEFAULT_ACCELERATION));
    let jerk = limit(MAX_JERK, Dimension::PercentJerk, acceleration.map(|a| a * 10.0));
    motor.limits = parts::limits(Some(FULL_SPEED), acceleration, jerk);
    let set = Set {
        ends: (-FULL_SPEED, FULL_SPEED),
        dead_band: 0,
        continuous: true,
        startup: Startup::Off,
        on_stop: ServoStop::Keep,
    };
    servo::finish(r, table, motor, common, Some(set))
}

/// Percent.
const FULL_SPEED: f64 = 100.0;
