//! `[power]`, and who draws its current together.

use super::parts::ReadMotor;
use super::reader::{Key, Reader, Table, Value, key};
use super::*;
use crate::units::Current;

const BUDGET: Key = key("budget", "\"3A\"");
const STAGGER: Key = key("stagger", "\"50ms\"");
pub(super) const CURRENT: Key = key("current", "\"0.8A\"");

/// No supply of a machine on a Raspberry Pi's header gives more, in amperes.
const MOST_AMPERES: f64 = 1000.0;

/// Motors that are switched on and off as one: those behind one enable line, or one alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Consumer {
    /// Indices into [`Config::motors`], in order.
    pub motors: Vec<usize>,
    /// What they draw together while they are on, in milliamperes.
    pub current: u32,
    /// They are on from the machine's start to its end: they hold a load, or nothing can switch them off.
    pub always: bool,
}

/// Everything that draws current, in the order of the motors. Each motor stands in one of them.
///
/// A servo and a driver with a sleep line are switched alone. Drivers that share an enable line are
/// all on while one of them is.
pub fn consumers(motors: &[MotorConfig]) -> Vec<Consumer> {
    let mut all: Vec<(Option<u8>, Consumer)> = Vec::new();
    for (index, motor) in motors.iter().enumerate() {
        let holds = motor.axis().is_some_and(|axis| axis.holds_load);
        let (shared, bound) = match motor.drive.step_dir() {
            None => (None, false),
            Some(axis) if axis.sleep.is_some() => (None, false),
            Some(axis) => (axis.enable.map(|line| line.gpio), axis.enable.is_none()),
        };
        let always = holds || bound;
        match all.iter_mut().find(|one| shared.is_some() && one.0 == shared) {
            Some((_, one)) => {
                one.motors.push(index);
                one.current = one.current.saturating_add(motor.current);
                one.always |= always;
            }
            None => {
                all.push((shared, Consumer { motors: vec![index], current: motor.current, always }))
            }
        }
    }
    all.into_iter().map(|one| one.1).collect()
}

/// Milliamperes, rounded up.
fn milliamperes(r: &Reader<'_>, value: Value<'_>) -> Option<u32> {
    let Current(amperes) = r.quantity(value)?;
    let amperes = r.above_zero(value, amperes)?;
    if amperes > MOST_AMPERES {
        r.out_of_range(value, "it must be at most 1000A");
        return None;
    }
    // A hundredth of a milliampere is the rounding of what was written.
    Some((amperes * 1000.0 - 0.01).ceil() as u32)
}

/// `current` of a motor.
pub(super) fn current(r: &Reader<'_>, table: &Table<'_>, motor: &mut ReadMotor) {
    let Some(value) = table.get(CURRENT) else { return };
    motor.current = Some((milliamperes(r, value), value.span()));
}

/// `[power]`, and whether every motor says what it draws.
pub(super) fn read(
    r: &Reader<'_>,
    table: Option<&Table<'_>>,
    motors: &[ReadMotor],
) -> Option<(PowerConfig, Span)> {
    let Some(table) = table else {
        for (_, at) in motors.iter().filter_map(|m| m.current) {
            r.error(
                at,
                "`current` says nothing without a power budget",
                format!("add a table [power] with `budget = {}`, or leave it out", BUDGET.example),
            );
        }
        return None;
    };
    let budget = r.required(table, BUDGET);
    let read = budget.and_then(|v| milliamperes(r, v));
    let stagger = table.get(STAGGER).map_or(Some(Duration::ZERO), |v| {
        let stagger = r.duration(v)?;
        if stagger > Duration::from_secs(10) {
            r.out_of_range(v, "it must be at most 10s");
            return None;
        }
        Some(stagger)
    });
    r.finish(table);
    for motor in motors.iter().filter(|m| m.current.is_none()) {
        r.error(
            motor.span,
            format!("`{}` has no `current`, which the power budget asks for", motor.name),
            format!("write what it draws while it is on, such as `current = {}`", CURRENT.example),
        );
    }
    Some((PowerConfig { budget: read?, stagger: stagger? }, budget?.span()))
}

/// Whether everything can be switched on at all.
pub(super) fn check(r: &Reader<'_>, power: PowerConfig, at: Span, motors: &[MotorConfig]) {
    let amperes = |milli: u64| Current(milli as f64 / 1000.0);
    let budget = u64::from(power.budget);
    let all = consumers(motors);
    let names = |one: &Consumer| {
        let names: Vec<_> = one.motors.iter().map(|&m| motors[m].name.as_str()).collect();
        reader::list(names.into_iter())
    };
    for one in all.iter().filter(|one| u64::from(one.current) > budget) {
        let needs = amperes(one.current.into());
        let (what, span) = match one.motors[..] {
            [motor] => (format!("{} alone draws {needs}", names(one)), motors[motor].span),
            _ => (format!("{} share an enable line and draw {needs}", names(one)), at),
        };
        r.error(
            span,
            format!("{what}, more than the power budget of {}", amperes(budget)),
            "write what is really drawn, or a larger budget",
        );
    }
    let always: Vec<_> = all.iter().filter(|one| one.always).collect();
    let sum: u64 = always.iter().map(|one| u64::from(one.current)).sum();
    if always.len() > 1 && sum > budget && always.iter().all(|o| u64::from(o.current) <= budget) {
        let names: Vec<_> = always.iter().map(|one| names(one)).collect();
        r.error(
            at,
            format!(
                "{} are never switched off and draw {} together, more than the power budget of {}",
                names.join(", "),
                amperes(sum),
                amperes(budget)
            ),
            "write a larger budget, or give them enable lines",
        );
    }
}
