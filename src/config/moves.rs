//! The steps of a program that move motors: `move`, `sweep` and `keyframes`.

use std::time::Duration;

use super::blend::{BLEND, blend};
use super::parts::{self, ReadMotor};
use super::program::{Names, count};
use super::reader::{Key, Reader, Table, Value, key, list, span_of};
use super::*;
use crate::units::{Dimension, Percent, Time};

pub(super) const MOVE: Key = key("move", "{ x = \"10mm\" }");
pub(super) const SWEEP: Key = key("sweep", "{ pan = [\"-45deg\", \"45deg\"] }");
pub(super) const KEYFRAMES: Key = key("keyframes", "[ { at = \"1s\", pan = \"0deg\" } ]");

const AT: Key = key("at", "\"1.5s\"");

/// Refuses a place of a servo that turns continuously. False: it has been refused.
fn has_places(r: &Reader<'_>, span: Span, motor: &ReadMotor) -> bool {
    if motor.continuous {
        r.error(
            span,
            format!("`{}` turns continuously, and can't go to a position", motor.name),
            format!(
                "write a step of its own, `{{ spin = {{ {} = \"50%\" }}, for = \"2s\" }}`",
                motor.name
            ),
        );
    }
    !motor.continuous
}

/// A position or distance in a motor's unit. Where the motor's own table is wrong there is nothing to
/// hold it against.
fn in_motor_unit(r: &Reader<'_>, value: Value<'_>, motor: &ReadMotor) -> Option<f64> {
    let (dimension, why) = match motor.unit? {
        MotorUnit::Millimetre => (Dimension::Length, "since this axis is linear"),
        MotorUnit::Degree => (Dimension::Angle, "since this motor turns"),
        // Whoever asks for a place of it has been told.
        MotorUnit::Percent => return None,
    };
    r.in_dimension(value, dimension, why)
}

/// A position inside the motor's travel.
fn position(r: &Reader<'_>, value: Value<'_>, motor: &ReadMotor) -> Option<f64> {
    if !has_places(r, value.span(), motor) {
        return None;
    }
    let at = in_motor_unit(r, value, motor)?;
    if motor.rate_only {
        r.error(
            value.span(),
            format!(
                "`{}` turns at a rate (`mode = \"velocity\"`), and can't go to a position",
                motor.name
            ),
            "leave it out here, or leave out its `mode`",
        );
        return None;
    }
    parts::inside(r, value.span(), at, motor.unit?, motor.travel?)
}

/// The targets of a table such as `{ x = "1mm", pan = "3deg" }`, all but its key `except`.
fn targets(
    r: &Reader<'_>,
    table: &Table<'_>,
    names: &Names<'_>,
    except: Option<Key>,
) -> Option<Vec<Target>> {
    let mut targets = Some(Vec::new());
    for (name, toml) in table.entries {
        let name_text: &str = name.get_ref();
        if except.is_some_and(|k| k.name == name_text) {
            continue;
        }
        let target =
            r.name(span_of(name), "motor", name_text, &names.motor_names).and_then(|motor| {
                let value = Value { toml, key: key("target", "\"10mm\"") };
                let position = position(r, value, &names.motors[motor])?;
                Some(Target { motor, position, span: value.span() })
            });
        match (target, &mut targets) {
            (Some(target), Some(all)) => all.push(target),
            _ => targets = None,
        }
    }
    targets
}

pub(super) fn move_action(
    r: &Reader<'_>,
    table: &Table<'_>,
    value: Value<'_>,
    names: &Names<'_>,
) -> Option<MoveAction> {
    let order_at = table.get(key("order", "\"one-by-one\""));
    let order = order_at.map_or(Some(Order::Together), |v| {
        r.choice(v, &[("together", Order::Together), ("one-by-one", Order::OneByOne)])
    });
    let arrive_at = table.get(key("arrive", "\"asap\""));
    let arrive = arrive_at.map_or(Some(Arrive::Aligned), |v| {
        r.choice(v, &[("aligned", Arrive::Aligned), ("asap", Arrive::Asap)])
    });
    if let (Some(at), Some(Order::OneByOne)) = (arrive_at, order) {
        r.error(
            at.span(),
            "`arrive` says nothing about motors that move one by one",
            "leave it or `order` out",
        );
    }
    let speed = table.get(key("speed", "\"50%\"")).map_or(Some(1.0), |v| {
        let Percent(percent) = r.quantity(v)?;
        let fine = percent > 0.0 && percent <= 100.0;
        if !fine {
            r.out_of_range(v, "it must be above 0% and at most 100% of the speed limit");
        }
        fine.then_some(percent / 100.0)
    });
    let timeout_at = table.get(key("timeout", "\"10s\""));
    let timeout = match timeout_at {
        None => Some(None),
        Some(v) => r.duration(v).map(Some),
    };
    let on_fault = table.get(key("on-fault", "\"continue\"")).map_or(Some(OnFault::Stop), |v| {
        r.choice(v, &[("stop", OnFault::Stop), ("continue", OnFault::Continue)])
    });
    let on_short_at = table.get(key("on-short", "{ x = \"recover\" }"));
    let blend_at = table.get(BLEND);

    let inner = r.table(value, "`move`".to_owned())?;
    if inner.entries.is_empty() {
        r.error(
            inner.span,
            "this move has nothing in it",
            format!("write a motor and where it goes, such as `move = {}`", MOVE.example),
        );
        return None;
    }
    let targets = targets(r, &inner, names, None);
    let on_short = match on_short_at {
        None => Some(Vec::new()),
        Some(v) => on_short(r, v, &inner, names),
    };
    let stops = [
        ("order", order_at.filter(|_| order == Some(Order::OneByOne))),
        ("arrive", arrive_at.filter(|_| arrive == Some(Arrive::Asap))),
        ("timeout", timeout_at),
        ("on-short", on_short_at),
    ];
    let blend = match blend_at {
        None => Some(None),
        Some(v) => blend(r, v, &stops, &inner, names).map(Some),
    };
    Some(MoveAction {
        blend: blend?,
        targets: targets?,
        order: order?,
        arrive: arrive?,
        speed: speed?,
        timeout: timeout?,
        on_fault: on_fault?,
        on_short: on_short?,
    })
}

fn on_short(
    r: &Reader<'_>,
    value: Value<'_>,
    moved: &Table<'_>,
    names: &Names<'_>,
) -> Option<Vec<(usize, usize)>> {
    let table = r.table(value, "`on-short`".to_owned())?;
    let mut out = Some(Vec::new());
    for (name, toml) in table.entries {
        let name_text: &str = name.get_ref();
        let motor = r.name(span_of(name), "motor", name_text, &names.motor_names);
        let motor = motor.filter(|_| {
            let moves = moved.entries.contains_key(name_text);
            if !moves {
                r.error(
                    span_of(name),
                    format!("`{name_text}` is not in this move, so it can't fall short"),
                    format!("add it to `move`, or name {}", motors_in(moved)),
                );
            }
            moves
        });
        let value = Value { toml, key: key("on-short", "{ x = \"recover\" }") };
        let program =
            r.string(value).and_then(|p| r.name(value.span(), "program", p, &names.programs));
        match (motor, program, &mut out) {
            (Some(motor), Some(program), Some(all)) => all.push((motor, program)),
            _ => out = None,
        }
    }
    out
}

fn motors_in(table: &Table<'_>) -> String {
    list(table.entries.keys().map(|k| {
        let name: &str = k.get_ref();
        name
    }))
}

pub(super) fn sweep(
    r: &Reader<'_>,
    table: &Table<'_>,
    value: Value<'_>,
    names: &Names<'_>,
) -> Option<SweepAction> {
    let every = r.required(table, key("every", "\"500ms\"")).and_then(|v| r.duration(v));
    let times = table.get(key("times", "2")).map_or(Some(None), |v| count(r, v));
    let step_at = r.required(table, key("step", "\"9deg\""));
    let inner = r.table(value, "`sweep`".to_owned())?;
    if inner.entries.is_empty() {
        r.error(
            inner.span,
            "this sweep has nothing in it",
            format!("write a motor and its two ends, such as `sweep = {}`", SWEEP.example),
        );
        return None;
    }
    let mut motors = Some(Vec::new());
    let mut unit: Option<(MotorUnit, &str)> = None;
    for (name, toml) in inner.entries {
        let name_text: &str = name.get_ref();
        let motor = r.name(span_of(name), "motor", name_text, &names.motor_names);
        let Some(motor) = motor else {
            motors = None;
            continue;
        };
        if !has_places(r, span_of(name), &names.motors[motor]) {
            motors = None;
            continue;
        }
        let its = names.motors[motor].unit;
        if let (Some(its), Some((first, other))) = (its, unit)
            && its != first
        {
            r.error(
                span_of(name),
                format!("`{name_text}` and `{other}` have different units, so no `step` fits both"),
                "write a sweep for each, side by side in a `together`",
            );
            motors = None;
            continue;
        }
        unit = unit.or(its.map(|u| (u, name_text)));
        let value = Value { toml, key: key("sweep", SWEEP.example) };
        match (sweep_motor(r, value, step_at, motor, &names.motors[motor]), &mut motors) {
            (Some(one), Some(all)) => all.push(one),
            _ => motors = None,
        }
    }
    Some(SweepAction { motors: motors?, every: every?, times: times? })
}

fn sweep_motor(
    r: &Reader<'_>,
    value: Value<'_>,
    step_at: Option<Value<'_>>,
    index: usize,
    motor: &ReadMotor,
) -> Option<SweepMotor> {
    let ends = r.list(value)?;
    let [from_at, to_at] = ends[..] else {
        r.error(
            value.span(),
            format!("a sweep has two ends, not {}", ends.len()),
            format!("write them as `sweep = {}`", SWEEP.example),
        );
        return None;
    };
    let (from, to) = (position(r, from_at, motor), position(r, to_at, motor));
    let step = step_at.and_then(|v| {
        let step = in_motor_unit(r, v, motor)?;
        r.above_zero(v, step).map(|step| (v, step))
    });
    let (from, to, (step_at, step)) = (from?, to?, step?);
    let unit = motor.unit?.symbol();
    if from == to {
        r.error(
            value.span(),
            format!("both ends of this sweep are {from}{unit}"),
            "write two ends that differ",
        );
        return None;
    }
    let distance = (to - from).abs();
    if step > distance * (1.0 + 1e-9) {
        r.error(
            step_at.span(),
            format!("this step is longer than the sweep of `{}`, {distance}{unit}", motor.name),
            "write a shorter one",
        );
        return None;
    }
    Some(SweepMotor { motor: index, from, to, step, span: value.span() })
}

pub(super) fn keyframes(
    r: &Reader<'_>,
    value: Value<'_>,
    names: &Names<'_>,
) -> Option<Vec<Keyframe>> {
    let all = r.list(value)?;
    if all.is_empty() {
        r.error(
            value.span(),
            "`keyframes` has nothing in it",
            format!("write at least one, as in `keyframes = {}`", KEYFRAMES.example),
        );
        return None;
    }
    let mut out = Some(Vec::new());
    let mut before: Option<Duration> = None;
    for frame in all {
        let read = keyframe(r, frame, before, names);
        before = read.as_ref().map_or(before, |k| Some(k.at));
        match (read, &mut out) {
            (Some(keyframe), Some(all)) => all.push(keyframe),
            _ => out = None,
        }
    }
    out
}

fn keyframe(
    r: &Reader<'_>,
    value: Value<'_>,
    before: Option<Duration>,
    names: &Names<'_>,
) -> Option<Keyframe> {
    let table = r.table(value, "a keyframe".to_owned())?;
    let at_value = r.required(&table, AT);
    let targets = targets(r, &table, names, Some(AT));
    if table.entries.keys().all(|k| k.get_ref() == AT.name) {
        r.error(
            table.span,
            "this keyframe names no motor",
            "write one and where it is then, such as `pan = \"0deg\"`",
        );
        return None;
    }
    let at_value = at_value?;
    let Time(at) = r.quantity(at_value)?;
    if let Some(before) = before.filter(|b| at <= *b) {
        r.error(
            at_value.span(),
            format!("this keyframe is not later than the one before, at {}", Time(before)),
            "write them in the order of their times",
        );
        return None;
    }
    Some(Keyframe { at, targets: targets?, span: table.span })
}
