use serde_json::{Map, Value, json};

use crate::config::MotorUnit;
use crate::machine::{MotorReport, Outcome, RunReport};
use crate::verify;

/// A run as one JSON object on one line, with its proof where one was asked for.
pub(super) fn json(report: &RunReport, proof: Option<&verify::Report>) -> String {
    let motors: Map<String, Value> =
        report.motors.iter().map(|m| (m.motor.clone(), motor(m))).collect();
    let mut object = json!({
        "program": report.program,
        "result": report.result.word(),
        // Whole nanoseconds: nine decimals, the last zeros left out.
        "duration_s": report.duration.as_nanos() as f64 / 1e9,
        "motors": motors,
    });
    if !report.complaints.is_empty() {
        object["errors"] = json!(report.complaints);
    }
    if let Some(proof) = proof {
        object["verify"] = self::proof(proof);
    }
    format!("{object}\n")
}

/// What a trace proved.
pub(super) fn proof(report: &verify::Report) -> Value {
    let bound = |b: &verify::Bound| {
        let first: Vec<_> = b
            .first
            .iter()
            .map(|v| json!({ "at_s": v.at.as_nanos() as f64 / 1e9, "what": v.what }))
            .collect();
        let verdict = match b.verdict {
            verify::Verdict::Kept => "ok",
            verify::Verdict::NothingSeen => "none-seen",
            verify::Verdict::Broken => "broken",
        };
        json!({
            "motor": b.motor,
            "bound": b.name,
            "required": b.required,
            "seen": b.seen,
            "verdict": verdict,
            "violations": b.count,
            "first": first,
        })
    };
    let result = match report.is_clean() {
        true => "clean",
        false if report.lost > 0 => "refused",
        false => "broken",
    };
    json!({
        "result": result,
        "lost": report.lost,
        "end_s": report.end.as_nanos() as f64 / 1e9,
        "bounds": report.bounds.iter().map(bound).collect::<Vec<_>>(),
        "notes": report.notes,
    })
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
            // A servo that turns continuously has no place that it could be short of.
            if motor.unit != MotorUnit::Percent {
                put("by", clean(*by).into());
            }
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
    if let Some((low, high)) = motor.between {
        put("steps_between", json!([low, high]));
    }
    put("place", motor.place.word().into());
    let l = &motor.lateness;
    let us = |nanos: u64| nanos as f64 / 1e3;
    put("lateness_us", json!({ "p50": us(l.p50), "p99": us(l.p99), "max": us(l.max) }));
    if let Some(j) = &motor.jitter {
        put("jitter_us", json!({ "p50": us(j.p50), "p99": us(j.p99), "max": us(j.max) }));
    }
    Value::Object(out)
}

/// A difference of two positions without the noise of its last bits.
fn clean(difference: f64) -> f64 {
    (difference * 1e9).round() / 1e9
}
