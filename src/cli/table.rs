use std::time::Duration;

use crate::config::MotorUnit;
use crate::machine::{Cause, MotorReport, Outcome, Place, RunReport, RunResult};
use crate::text::Columns;

/// A run as a table for people, in lines of at most `within` letters. `limit` is the time it was given.
pub(super) fn table(
    report: &RunReport,
    place: &str,
    limit: Option<Duration>,
    within: usize,
) -> String {
    let mut out = format!("{} {place}\n\n", report.program);
    let mut table = Columns::new("<<>>>>>");
    table.row(["motor", "outcome", "position", "steps", "late p50", "late p99", "late max"]);
    report.motors.iter().for_each(|motor| table.row(row(motor)));
    out += &table.text(within);
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
        // It has no place that it could be short of.
        (Some(Outcome::Short { cause, .. }), _) if motor.unit == MotorUnit::Percent => {
            cause.word().to_owned()
        }
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
        Place::Restored => " ^",
        Place::Unverified => " !",
        Place::Unknown => " ?",
        Place::Estimated => " ~",
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
        (Place::Restored, "counted from where the last run ended, which nobody has verified"),
        (Place::Unverified, "the motor may have lost steps: it may stand elsewhere"),
        (Place::Unknown, "nobody told where it stands: counted from 0"),
        (Place::Estimated, "position and steps are estimates: nothing counts the pulses of a rate"),
    ] {
        if shown(place) {
            notes.push(format!("{}: {text}", mark(place).trim()));
        }
    }
    for motor in motors {
        if let Some(jitter) = motor.jitter.filter(|j| j.max > 0) {
            let us = |nanos: u64| nanos as f64 / 1e3;
            notes.push(format!(
                "{}: its pulses, timed by its own loop, came out up to {:.1} us too long (p99 {:.1} us)",
                motor.motor,
                us(jitter.max),
                us(jitter.p99)
            ));
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
    for motor in motors {
        let told = |o: &Outcome| matches!(o, Outcome::Short { cause: Cause::Uncounted { .. }, .. });
        if let Some((low, high)) =
            motor.between.filter(|_| !motor.outcome.as_ref().is_some_and(told))
        {
            notes.push(format!(
                "{}: not all of its pulses could be counted: between {low} and {high} steps",
                motor.motor
            ));
        }
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

#[cfg(test)]
mod tests {
    use super::MotorUnit;
    use super::*;
    use crate::motor::LatenessSummary;

    fn motor(name: &str, outcome: Option<Outcome>, place: Place) -> MotorReport {
        let lateness =
            LatenessSummary { count: 3, p50: 400, p99: 6_100, max: 31_049, ..Default::default() };
        let (motor, unit) = (name.to_owned(), MotorUnit::Millimetre);
        let (position, steps, jitter) = (Some(-0.00001), Some(40_000), None);
        MotorReport {
            motor,
            outcome,
            fault: None,
            position,
            unit,
            steps,
            between: None,
            place,
            lateness,
            jitter,
        }
    }

    fn report(result: RunResult, motors: Vec<MotorReport>) -> RunReport {
        let duration = Duration::from_millis(12_346);
        RunReport {
            program: "tour".into(),
            result,
            duration,
            motors,
            complaints: vec![],
            left: vec![],
        }
    }

    #[test]
    fn each_place_has_its_mark_and_its_note() {
        let mut still = motor("pan", None, Place::Unknown);
        (still.position, still.steps, still.lateness.count) = (None, None, 0);
        let short = |cause| Some(Outcome::Short { by: 0.1 + 0.25 + 1e-12, cause });
        let motors = vec![
            motor("x", Some(Outcome::Reached), Place::Assumed),
            motor("y", short(Cause::Timeout), Place::Unverified),
            motor("long-name", short(Cause::Stopped), Place::Unknown),
            still,
        ];
        let expected = "\
tour here

motor      outcome                     position  steps  late p50  late p99  late max
x          reached                       0 mm *  40000    0.4 us    6.1 us   31.0 us
y          short by 0.35 mm (timeout)    0 mm !  40000    0.4 us    6.1 us   31.0 us
long-name  short by 0.35 mm (stopped)    0 mm ?  40000    0.4 us    6.1 us   31.0 us
pan        not moved                          -      -         -         -         -

reached: every pulse to the target was sent; nothing measures whether the motor followed
*: counted from a place that was assumed, not measured
!: the motor may have lost steps: it may stand elsewhere
?: nobody told where it stands: counted from 0
y: its time-out passed

failed after 12.346 s: y
";
        assert_eq!(table(&report(RunResult::Failed, motors), "here", None, 100), expected);
    }

    #[test]
    fn the_last_line_says_how_it_ended() {
        let last = |result, limit: Option<u64>| {
            let motors = vec![motor("x", Some(Outcome::Reached), Place::Commanded)];
            let text = table(&report(result, motors), "here", limit.map(Duration::from_secs), 80);
            text.lines().last().map(str::to_owned).unwrap()
        };
        assert_eq!(last(RunResult::Done, None), "done in 12.346 s");
        assert_eq!(last(RunResult::Done, Some(13)), "done in 12.346 s");
        assert_eq!(last(RunResult::Done, Some(12)), "done: its time was up after 12.346 s");
        assert_eq!(last(RunResult::Stopped, Some(12)), "stopped after 12.346 s");
        let refused = "failed after 12.346 s: see the errors above";
        assert_eq!(last(RunResult::Failed, None), refused);
    }
}
