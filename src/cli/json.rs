use serde_json::{Map, Value, json};

use crate::machine::{MotorReport, Outcome, RunReport};

/// A run as one JSON object on one line.
pub(super) fn json(report: &RunReport) -> String {
    let motors: Map<String, Value> =
        report.motors.iter().map(|m| (m.motor.clone(), motor(m))).collect();
    let object = json!({
        "program": report.program,
        "result": report.result.word(),
        // Whole nanoseconds: nine decimals, the last zeros left out.
        "duration_s": report.duration.as_nanos() as f64 / 1e9,
        "motors": motors,
    });
    format!("{object}\n")
}

fn motor(motor: &MotorReport) -> Value {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| {
        out.insert(key.to_owned(), value);
    };
    match &motor.outcome {
        None => put("outcome", "not-moved".into()),
        Some(Outcome::Reached) => put("outcome", "reached".into()),
        Some(Outcome::Short { by, cause }) => {
            put("outcome", "short".into());
            put("by", clean(*by).into());
            put("cause", cause.word().into());
        }
    }
    if let Some(fault) = &motor.fault {
        put("fault", fault.to_string().into());
    }
    put("position", motor.position.map(|p| p + 0.0).into());
    put("unit", motor.unit.symbol().into());
    if let Some(steps) = motor.steps {
        put("steps", steps.into());
    }
    put("place", motor.place.word().into());
    let l = &motor.lateness;
    let us = |nanos: u64| nanos as f64 / 1e3;
    put("lateness_us", json!({ "p50": us(l.p50), "p99": us(l.p99), "max": us(l.max) }));
    Value::Object(out)
}

/// A difference of two positions without the noise of its last bits.
fn clean(difference: f64) -> f64 {
    (difference * 1e9).round() / 1e9
}
