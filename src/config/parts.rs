//! What servos and axes have in common while they are read.

use std::time::Duration;

use super::reader::{Key, Reader, Table, Value, key};
use super::*;
use crate::board::PwmOutput;
use crate::units::Dimension;

/// A motor as far as it could be read: programs are checked against it even where a part of it is
/// wrong.
pub(super) struct ReadMotor {
    pub name: String,
    pub span: Span,
    pub unit: Option<MotorUnit>,
    pub travel: Option<Travel>,
    pub limits: Option<MotionLimits>,
    pub backlash: Option<f64>,
    pub release_after: Option<Duration>,
    /// Milliamperes, if they are right, and where they stand.
    pub current: Option<(Option<u32>, Span)>,
    pub on_lost_lease: LostLease,
    pub drive: Option<Drive>,
    /// It turns at a rate, and has no position to go to.
    pub rate_only: bool,
    /// It is a servo whose pulses are speeds: nor has that one.
    pub continuous: bool,
    pub pins: Vec<PinUse>,
    /// The PWM signal that it needs.
    pub pwm: Option<PwmUse>,
}

impl ReadMotor {
    pub fn new(name: &str, span: Span) -> Self {
        ReadMotor {
            name: name.to_owned(),
            span,
            unit: None,
            travel: None,
            limits: None,
            backlash: Some(0.0),
            release_after: None,
            current: None,
            on_lost_lease: LostLease::Stop,
            drive: None,
            rate_only: false,
            continuous: false,
            pins: Vec::new(),
            pwm: None,
        }
    }

    /// The whole motor, if every part of it was right.
    pub fn finish(self) -> Option<MotorConfig> {
        Some(MotorConfig {
            name: self.name,
            unit: self.unit?,
            travel: self.travel?,
            limits: self.limits?,
            backlash: self.backlash?,
            release_after: self.release_after,
            current: self.current.and_then(|c| c.0).unwrap_or(0),
            on_lost_lease: self.on_lost_lease,
            span: self.span,
            drive: self.drive?,
        })
    }
}

/// A pin that a motor uses.
pub(super) struct PinUse {
    pub gpio: u8,
    pub span: Span,
    /// The key that asks for it: `step`.
    pub function: &'static str,
    pub role: Role,
}

/// A PWM signal that a motor uses, and what it asks of its chip.
pub(super) struct PwmUse {
    pub output: PwmOutput,
    /// Where `pwm` stands.
    pub span: Span,
    /// The period that is asked for, and where.
    pub period: Option<(Duration, Span)>,
    /// By how many millionths the chip's clock runs fast, and where that stands.
    pub correction: Option<(f64, Span)>,
    /// Where the pulses' range stands.
    pub pulse_span: Span,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Role {
    Pwm,
    Line,
    /// A line of a bus: all that hangs on it shares it.
    Bus,
    /// Axes may share it.
    Enable {
        active_low: bool,
    },
}

const GPIO: Key = key("gpio", "18");
const ACTIVE: Key = key("active", "\"low\"");

/// The GPIO number in `{ gpio = N }`, noted as used.
pub(super) fn gpio(
    r: &Reader<'_>,
    table: &Table<'_>,
    motor: &mut ReadMotor,
    function: &'static str,
    role: Role,
) -> Option<u8> {
    let value = r.required(table, GPIO)?;
    let number = r.integer(value, 0, 255)?;
    let gpio = u8::try_from(number).ok()?;
    motor.pins.push(PinUse { gpio, span: value.span(), function, role });
    Some(gpio)
}

/// `{ gpio = N }`.
pub(super) fn pin(
    r: &Reader<'_>,
    table: &Table<'_>,
    motor: &mut ReadMotor,
    key: Key,
) -> Option<u8> {
    let value = r.required(table, key)?;
    let inner = r.table(value, format!("`{}` of {}", key.name, motor.name))?;
    let pin = gpio(r, &inner, motor, key.name, Role::Line);
    r.finish(&inner);
    pin
}

const GPIOS: Key = key("gpio", "[14, 15, 18]");

/// `{ gpio = [N, N, N] }`.
pub(super) fn pins(r: &Reader<'_>, value: Value<'_>, motor: &mut ReadMotor) -> Option<Vec<u8>> {
    let key = value.key;
    let table = r.table(value, format!("`{}` of {}", key.name, motor.name))?;
    let pins = r.required(&table, GPIOS).and_then(|v| gpios(r, v, key.name, motor));
    r.finish(&table);
    pins
}

/// The GPIO numbers in `[N, N, N]`, noted as used.
pub(super) fn gpios(
    r: &Reader<'_>,
    value: Value<'_>,
    function: &'static str,
    motor: &mut ReadMotor,
) -> Option<Vec<u8>> {
    let numbers = r.list(value)?.into_iter().map(|one| {
        let gpio = u8::try_from(r.integer(one, 0, 255)?).ok()?;
        motor.pins.push(PinUse { gpio, span: one.span(), function, role: Role::Line });
        Some(gpio)
    });
    // Each of them is looked at, also behind one that is wrong.
    let numbers: Vec<Option<u8>> = numbers.collect();
    numbers.into_iter().collect()
}

/// `{ gpio = N, active = "low" }`, if it is there; the outer `None` is an error.
pub(super) fn line(
    r: &Reader<'_>,
    table: &Table<'_>,
    motor: &mut ReadMotor,
    key: Key,
) -> Option<Option<LineConfig>> {
    let Some(value) = table.get(key) else {
        return Some(None);
    };
    let inner = r.table(value, format!("`{}` of {}", key.name, motor.name))?;
    let active_low =
        r.required(&inner, ACTIVE).and_then(|v| r.choice(v, &[("low", true), ("high", false)]));
    let role = match active_low {
        Some(active_low) if key.name == "enable" => Role::Enable { active_low },
        _ => Role::Line,
    };
    let gpio = gpio(r, &inner, motor, key.name, role);
    r.finish(&inner);
    Some(Some(LineConfig { gpio: gpio?, active_low: active_low? }))
}

pub(super) fn limits(
    speed: Option<f64>,
    acceleration: Option<f64>,
    jerk: Option<f64>,
) -> Option<MotionLimits> {
    Some(MotionLimits { speed: speed?, acceleration: acceleration?, jerk: jerk? })
}

const RELEASE_AFTER: Key = key("release-after", "\"2s\"");

/// `release-after`, unless something is against it: what, and what to write instead.
pub(super) fn release_after(
    r: &Reader<'_>,
    table: &Table<'_>,
    motor: &mut ReadMotor,
    against: Option<(&str, &str)>,
) {
    let Some(value) = table.get(RELEASE_AFTER) else { return };
    match against {
        Some((what, help)) => r.error(value.span(), what, help),
        None => motor.release_after = r.duration(value),
    }
}

pub(super) const ON_LOST_LEASE: Key = key("on-lost-lease", "\"stop\"");

/// `on-lost-lease`, once the motor's unit and travel are known.
pub(super) fn on_lost_lease(r: &Reader<'_>, value: Option<Value<'_>>, motor: &mut ReadMotor) {
    let Some(value) = value else { return };
    let read = || {
        if !value.toml.get_ref().is_table() {
            return r.choice(value, &[("stop", LostLease::Stop), ("hold", LostLease::Hold)]);
        }
        let linear = motor.unit == Some(MotorUnit::Millimetre);
        if motor.continuous {
            r.error(
                value.span(),
                format!("{} turns continuously and has no place to park at", motor.name),
                "write \"stop\"",
            );
            return None;
        }
        let inner = r.table(value, format!("`{}`", value.key.name))?;
        let at = r.required(&inner, key("park", if linear { "\"0mm\"" } else { "\"0deg\"" }));
        r.finish(&inner);
        let (at, unit) = (at?, motor.unit?);
        if motor.rate_only {
            r.error(
                at.span(),
                format!("{} turns at a rate and has no place to park at", motor.name),
                "write \"stop\"",
            );
            return None;
        }
        let dimension = if linear { Dimension::Length } else { Dimension::Angle };
        let position = r.in_dimension(at, dimension, "as the motor's positions are")?;
        inside(r, at.span(), position, unit, motor.travel?).map(LostLease::Park)
    };
    if let Some(read) = read() {
        motor.on_lost_lease = read;
    }
}

/// Why an axis that holds a load keeps its power.
pub(super) const LOAD_WOULD_FALL: &str =
    "an axis that holds a load is never released, or the load would fall";

/// `position`, if it lies inside the travel.
pub(super) fn inside(
    r: &Reader<'_>,
    at: Span,
    position: f64,
    unit: MotorUnit,
    travel: Travel,
) -> Option<f64> {
    if travel.contains(position) {
        return Some(position);
    }
    let (u, Travel { min, max }) = (unit.symbol(), travel);
    r.error(
        at,
        format!("{position}{u} is outside the travel"),
        format!("stay between {min}{u} and {max}{u}"),
    );
    None
}
