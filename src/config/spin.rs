//! The step `spin`: servos that turn continuously, for a time.

use super::parts::ReadMotor;
use super::program::Names;
use super::reader::{Key, Reader, Table, Value, key, span_of};
use super::*;
use crate::units::SpeedShare;

pub(super) const SPIN: Key = key("spin", "{ left = \"50%\", right = \"-50%\" }");

const FOR: Key = key("for", "\"2s\"");

pub(super) fn spin(
    r: &Reader<'_>,
    table: &Table<'_>,
    value: Value<'_>,
    names: &Names<'_>,
) -> Option<SpinAction> {
    let lasts = r.required(table, FOR).and_then(|v| r.duration(v));
    let inner = r.table(value, "`spin`".to_owned())?;
    if inner.entries.is_empty() {
        r.error(
            inner.span,
            "this spin has nothing in it",
            format!("write a servo and its speed, such as `spin = {}`", SPIN.example),
        );
        return None;
    }
    let mut speeds = Some(Vec::new());
    for (name, toml) in inner.entries {
        let name_text: &str = name.get_ref();
        let motor = r.name(span_of(name), "motor", name_text, &names.motor_names);
        let value = Value { toml, key: key("speed", "\"50%\"") };
        let one = motor.and_then(|motor| {
            let speed = speed(r, value, &names.motors[motor])?;
            Some(SpinSpeed { motor, speed, span: value.span() })
        });
        match (one, &mut speeds) {
            (Some(one), Some(all)) => all.push(one),
            _ => speeds = None,
        }
    }
    Some(SpinAction { speeds: speeds?, lasts: lasts? })
}

/// A share of full speed that is not rest.
fn speed(r: &Reader<'_>, value: Value<'_>, motor: &ReadMotor) -> Option<SpeedShare> {
    if !motor.continuous {
        let axis = motor.unit == Some(MotorUnit::Millimetre);
        let example = if axis { "10mm" } else { "10deg" };
        r.error(
            value.span(),
            format!("`{}` does not turn continuously, and goes to places", motor.name),
            format!("write a move, such as `move = {{ {} = \"{example}\" }}`", motor.name),
        );
        return None;
    }
    let speed: SpeedShare = r.quantity(value)?;
    if speed.as_percent() == 0.0 {
        r.error(
            value.span(),
            format!("`{}` rests at 0% as it does without this", motor.name),
            "leave it out, or write `pause` for a time at rest",
        );
        return None;
    }
    Some(speed)
}
