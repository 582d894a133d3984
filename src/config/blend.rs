//! `blend` of a `move`: how near the run stays to a corner that it does not stop in.

use super::program::Names;
use super::reader::{Key, Reader, Table, Value, key, span_of};
use super::*;
use crate::units::Dimension;

pub(super) const BLEND: Key = key("blend", "\"0.1mm\"");

/// The most motors that a blended run has.
const MOST_MOTORS: usize = 8;

/// The blend of a move, in the unit of its motors. `stops`: options of the move that ask it to end by
/// itself, as they stand in the file.
pub(super) fn blend(
    r: &Reader<'_>,
    value: Value<'_>,
    stops: &[(&str, Option<Value<'_>>)],
    moved: &Table<'_>,
    names: &Names<'_>,
) -> Option<f64> {
    let mut fine = true;
    for (option, at) in stops {
        if let Some(at) = at {
            r.error(
                at.span(),
                format!("`{option}` says nothing about a move with a `blend`, which does not stop at its end"),
                "leave one of the two out",
            );
            fine = false;
        }
    }
    let mut first: Option<(MotorUnit, &str)> = None;
    for name in moved.entries.keys() {
        let text: &str = name.get_ref();
        let motor = names.motor_names.iter().position(|n| *n == text);
        if motor.is_some_and(|m| names.motors[m].backlash.is_some_and(|b| b > 0.0)) {
            r.error(
                span_of(name),
                format!(
                    "`{text}` has a `backlash`, which can only be taken up at rest, and a move with a \
                     `blend` does not rest"
                ),
                "leave one of the two out",
            );
            fine = false;
        }
        let Some(unit) = motor.and_then(|m| names.motors[m].unit) else { continue };
        match first {
            Some((of_first, other)) if of_first != unit => {
                r.error(
                    span_of(name),
                    format!("`{text}` and `{other}` have different units, so no `blend` fits both"),
                    "leave `blend` out, or move them in different moves",
                );
                return None;
            }
            _ => first = Some((unit, text)),
        }
    }
    if moved.entries.len() > MOST_MOTORS {
        r.error(
            moved.span,
            format!("{} motors are too many for a move with a `blend`", moved.entries.len()),
            format!("name at most {MOST_MOTORS}, or leave `blend` out"),
        );
        return None;
    }
    let (dimension, why) = match first?.0 {
        MotorUnit::Millimetre => (Dimension::Length, "since these axes are linear"),
        MotorUnit::Degree => (Dimension::Angle, "since these motors turn"),
        // Its target has been refused.
        MotorUnit::Percent => return None,
    };
    let blend = r.in_dimension(value, dimension, why)?;
    r.above_zero(value, blend).filter(|_| fine)
}
