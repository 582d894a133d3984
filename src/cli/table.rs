use std::fmt::Write;
use std::time::Duration;

use crate::machine::{Cause, MotorReport, Outcome, Place, RunReport, RunResult};

/// A run as a table for people, at most 100 columns wide where the motors' names are short.
/// `limit` is the time it was given.
pub(super) fn table(report: &RunReport, place: &str, limit: Option<Duration>) -> String {
    let mut out = format!("{} {place}\n\n", report.program);
    let header = ["motor", "outcome", "position", "steps", "late p50", "late p99", "late max"];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(report.motors.iter().map(row));
    let wide = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(wide);
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, wide)) in row.iter().zip(widths).enumerate() {
            // Writing to a `String` can't fail.
            let _ = match column {
                0 | 1 => write!(line, "{cell:wide$}  "),
                _ => write!(line, "{cell:>wide$}  "),
            };
        }
        out += line.trim_end();
        out.push('\n');
    }
    out.push('\n');
    for note in notes(report) {
        out += &note;
        out.push('\n');
    }
    out += &result(report, limit);
    out.push('\n');
    out
}

fn row(motor: &MotorReport) -> [String; 7] {
    let unit = motor.unit.symbol();
    let outcome = match (&motor.outcome, &motor.fault) {
        (Some(Outcome::Short { by, cause }), _) => {
            format!("short by {} {unit} ({})", number(*by), cause.word())
        }
        (Some(Outcome::Reached), None) => "reached".to_owned(),
        (Some(Outcome::Reached), Some(_)) => "reached, then fault".to_owned(),
        (None, None) => "not moved".to_owned(),
        (None, Some(_)) => "not moved (fault)".to_owned(),
    };
    let mark = mark(motor.place);
    let position = match motor.position {
        Some(position) => format!("{} {unit}{mark}", number(position)),
        None => "-".to_owned(),
    };
    let steps = motor.steps.map_or("-".to_owned(), |s| s.to_string());
    let late = |nanos: u64| match motor.lateness.count {
        0 => "-".to_owned(),
        _ => format!("{:.1} us", nanos as f64 / 1e3),
    };
    let l = &motor.lateness;
    [motor.motor.clone(), outcome, position, steps, late(l.p50), late(l.p99), late(l.max)]
}

fn mark(place: Place) -> &'static str {
    match place {
        Place::Commanded => "",
        Place::Assumed => " *",
        Place::Unverified => " !",
        Place::Unknown => " ?",
    }
}

fn notes(report: &RunReport) -> Vec<String> {
    let mut notes = Vec::new();
    let motors = &report.motors;
    if motors.iter().any(|m| m.outcome == Some(Outcome::Reached)) {
        notes.push(
            "reached: every pulse to the target was sent; nothing measures whether the motor followed"
                .to_owned(),
        );
    }
    let shown = |place| motors.iter().any(|m| m.place == place && m.position.is_some());
    for (place, text) in [
        (Place::Assumed, "counted from a place that was assumed, not measured"),
        (Place::Unverified, "the motor may have lost steps: it may stand elsewhere"),
        (Place::Unknown, "nobody told where it stands: counted from 0"),
    ] {
        if shown(place) {
            notes.push(format!("{}: {text}", mark(place).trim()));
        }
    }
    for motor in motors {
        let detail = match (&motor.outcome, &motor.fault) {
            (Some(Outcome::Short { cause: Cause::Stopped, .. }), None) => continue,
            (Some(Outcome::Short { cause, .. }), None) => cause.to_string(),
            (_, Some(fault)) => format!("fault: {fault}"),
            _ => continue,
        };
        notes.push(format!("{}: {detail}", motor.motor));
    }
    if !notes.is_empty() {
        notes.push(String::new());
    }
    notes
}

fn result(report: &RunReport, limit: Option<Duration>) -> String {
    let took = format!("{:.3} s", report.duration.as_secs_f64());
    match report.result {
        RunResult::Done if limit.is_some_and(|limit| report.duration >= limit) => {
            format!("done: its time was up after {took}")
        }
        RunResult::Done => format!("done in {took}"),
        RunResult::Stopped => format!("stopped after {took}"),
        RunResult::Failed => {
            let failed = |m: &&MotorReport| {
                let stopped = |o: &Outcome| matches!(o, Outcome::Short { cause, .. } if *cause != Cause::Stopped);
                m.fault.is_some() || m.outcome.as_ref().is_some_and(stopped)
            };
            let names: Vec<_> =
                report.motors.iter().filter(failed).map(|m| m.motor.as_str()).collect();
            match names.as_slice() {
                [] => format!("failed after {took}: see the errors above"),
                names => format!("failed after {took}: {}", names.join(", ")),
            }
        }
    }
}

/// A position in few digits: four decimals are finer than any step of a machine that this drives.
pub(super) fn number(value: f64) -> String {
    let rounded = (value * 1e4).round() / 1e4;
    // Adding zero makes a negative zero a plain one.
    format!("{}", rounded + 0.0)
}
