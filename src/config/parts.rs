//! What servos and axes have in common while they are read.

use super::reader::{Key, Reader, Table, key};
use super::*;

/// A motor as far as it could be read: programs are checked against it even where a part of it is
/// wrong.
pub(super) struct ReadMotor {
    pub name: String,
    pub span: Span,
    pub unit: Option<MotorUnit>,
    pub travel: Option<Travel>,
    pub limits: Option<MotionLimits>,
    pub drive: Option<Drive>,
    /// It turns at a rate, and has no position to go to.
    pub rate_only: bool,
    pub pins: Vec<PinUse>,
}

impl ReadMotor {
    pub fn new(name: &str, span: Span) -> Self {
        ReadMotor {
            name: name.to_owned(),
            span,
            unit: None,
            travel: None,
            limits: None,
            drive: None,
            rate_only: false,
            pins: Vec::new(),
        }
    }

    /// The whole motor, if every part of it was right.
    pub fn finish(self) -> Option<MotorConfig> {
        Some(MotorConfig {
            name: self.name,
            unit: self.unit?,
            travel: self.travel?,
            limits: self.limits?,
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

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Role {
    Pwm,
    Line,
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
