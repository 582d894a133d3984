//! Motion beyond its limits, and off its line, is found: by as little as the error bars allow.
#![allow(clippy::unwrap_used)]

use lockstep::config::Config;
use lockstep::trace::{SignalKind, Value};
use lockstep::verify::{Options, Report, verify};

use crate::verify_support::*;

/// A run recorded with limits that are `by` times as wide breaks the ones asked for.
fn too_much(text: &str, change: impl Fn(&mut Config, f64), by: f64) -> Report {
    let mut wide = config(text);
    change(&mut wide, by);
    Tape::of(&record(wide, "go")).prove(&config(text))
}

fn speed(c: &mut Config, by: f64) {
    c.motors[0].limits.speed *= by;
}

fn acceleration(c: &mut Config, by: f64) {
    c.motors[0].limits.acceleration *= by;
}

fn jerk(c: &mut Config, by: f64) {
    c.motors[0].limits.jerk *= by;
}

/// The stage with x alone, since aligned moves keep to the slower motor.
fn x_alone() -> String {
    STAGE.replace(", y = \"45mm\"", "").replace(", y = \"5mm\"", "")
}

/// A jerk that leaves time for a constant acceleration.
fn x_alone_brisk() -> String {
    x_alone().replace("5000mm/s^3", "20000mm/s^3")
}

#[test]
fn ten_percent_too_fast() {
    assert_eq!(broken(&too_much(&x_alone(), speed, 1.1)), ["x: speed"]);
    assert_eq!(broken(&too_much(SERVO, speed, 1.1)), ["pan: speed"]);
    // Much less is found as well.
    assert_eq!(broken(&too_much(&x_alone(), speed, 1.001)), ["x: speed"]);
    assert_eq!(broken(&too_much(SERVO, speed, 1.01)), ["pan: speed"]);
}

/// The coarse steps of a PCA9685 widen the bars, and not beyond use.
#[test]
fn a_pca9685_hides_little() {
    let text = SERVO.replace("pwm = { gpio = 12 }", "pwm = { device = \"pca9685\", channel = 0 }");
    assert_ne!(text, SERVO);
    assert_eq!(broken(&too_much(&text, speed, 1.1)), ["pan: speed"]);
    let brisk = text.replace("4800deg/s^3", "48000deg/s^3");
    assert_eq!(broken(&too_much(&brisk, acceleration, 1.25)), ["pan: acceleration"]);
    // The header's period is not that of the chip.
    let header = Tape::of(&record(config(SERVO), "go")).prove(&config(&text));
    assert!(broken(&header).contains(&"pan: period".to_owned()), "{header}");
}

#[test]
fn a_quarter_too_much_acceleration() {
    assert_eq!(broken(&too_much(&x_alone_brisk(), acceleration, 1.25)), ["x: acceleration"]);
    assert_eq!(broken(&too_much(SERVO, acceleration, 1.25)), ["pan: acceleration"]);
    assert_eq!(broken(&too_much(&x_alone_brisk(), acceleration, 1.02)), ["x: acceleration"]);
}

#[test]
fn half_too_much_jerk() {
    assert_eq!(broken(&too_much(&x_alone(), jerk, 1.5)), ["x: jerk"]);
    assert_eq!(broken(&too_much(SERVO, jerk, 1.5)), ["pan: jerk"]);
    assert_eq!(broken(&too_much(&x_alone(), jerk, 1.02)), ["x: jerk"]);
}

/// Late edges widen the bars; what is left is still sharp enough.
#[test]
fn excess_is_found_beside_lateness() {
    let late = Options { lateness: std::time::Duration::from_micros(50) };
    for (change, by, bound, text) in [
        (speed as fn(&mut Config, f64), 1.1, "x: speed", x_alone()),
        (acceleration, 1.25, "x: acceleration", x_alone_brisk()),
        (jerk, 1.5, "x: jerk", x_alone()),
    ] {
        let mut wide = config(&text);
        change(&mut wide, by);
        let tape = Tape::of(&record(wide, "go"));
        let report = verify(tape.vcd().as_bytes(), &config(&text), &late).unwrap();
        assert_eq!(broken(&report), [bound], "{report}");
    }
}

/// Steps by hand: `places` gives the time of each, seconds, up first, then down.
fn by_hand(ups: &[f64], downs: &[f64]) -> Tape {
    let mut tape = Tape { end: 3_000_000_000, ..Tape::default() };
    let wires = ["step", "dir", "enable"].map(|n| ("x".into(), n.into(), SignalKind::Wire));
    tape.signals.extend(wires);
    tape.signals.push(("x".into(), "position".into(), SignalKind::Real));
    tape.signals.push(("machine".into(), "move".into(), SignalKind::Text));
    tape.add(0, "x.step", Value::Low);
    tape.add(0, "x.dir", Value::High);
    tape.add(0, "x.enable", Value::High);
    tape.add(1_000, "x.enable", Value::Low);
    tape.add(500_000_000, "x.position", Value::Real(0.0));
    tape.add(500_000_000, "machine.move", Value::Text("1:aligned".into()));
    let at = |s: f64| 500_000_000 + (s * 1e9).ceil() as u64;
    for &s in ups.iter().chain(downs) {
        tape.add(at(s), "x.step", Value::High);
        tape.add(at(s) + 2_000, "x.step", Value::Low);
    }
    if let Some(&first) = downs.first() {
        tape.add(at(first) - 2_000, "x.dir", Value::Low);
    }
    let steps = ups.len() as f64 - downs.len() as f64;
    tape.add(2_500_000_000, "x.position", Value::Real(steps / 400.0));
    tape.add(2_500_000_000, "machine.move", Value::Text("1:ended".into()));
    tape
}

/// Within the limits of speed and acceleration, but the acceleration begins and ends at once: among the
/// steps alone it is constant, only the standstill beside them shows it.
#[test]
fn an_acceleration_that_begins_at_once() {
    // 480 mm/s² up and down, in steps of 1/400 mm.
    let a = 480.0 * 400.0;
    let count = 1_600;
    let half = f64::from(count) / 2.0;
    let turn = (2.0 * half / a).sqrt();
    let ups: Vec<f64> = (1..=count)
        .map(|k| {
            let place = f64::from(k) - 0.25;
            if place <= half {
                (2.0 * place / a).sqrt()
            } else {
                2.0 * turn - (2.0 * (f64::from(count) - place) / a).sqrt()
            }
        })
        .collect();
    let report = by_hand(&ups, &[]).prove(&x_only());
    assert_eq!(broken(&report), ["x: jerk"], "{report}");
}

/// 5 mm/s, all at once.
#[test]
fn a_speed_that_begins_at_once() {
    let ups: Vec<f64> = (1..=2_000).map(|k| (f64::from(k) - 0.25) / 2_000.0).collect();
    let report = by_hand(&ups, &[]).prove(&x_only());
    assert_eq!(broken(&report), ["x: acceleration", "x: jerk"], "{report}");
}

/// There and back at 5 mm/s, turning in no time.
#[test]
fn a_turn_that_takes_no_time() {
    let ups: Vec<f64> = (1..=1_000).map(|k| (f64::from(k) - 0.25) / 2_000.0).collect();
    let downs: Vec<f64> = (1..=1_000).map(|k| 0.5 + (f64::from(k) - 0.25) / 2_000.0).collect();
    let report = by_hand(&ups, &downs).prove(&x_only());
    let turn = 1_000_000_000u64;
    for bound in ["acceleration", "jerk"] {
        let found = report.broken().find(|b| b.name == bound).unwrap();
        let near = found.first.iter().any(|v| v.at.as_nanos().abs_diff(turn) < 100_000_000);
        assert!(near, "{report}");
    }
}

#[test]
fn off_the_line() {
    // Each at its own best, and called aligned.
    let mut tape = Tape::record(STAGE, "asap");
    let begin = tape.of_signal("machine.move")[1];
    tape.events[begin].2 = Value::Text("1:aligned:x,y:program.asap".into());
    let report = tape.prove(&config(STAGE));
    assert_eq!(broken(&report), ["machine: off the line"], "{report}");
    assert!(report.to_string().contains("x and y are"), "{report}");
}

#[test]
fn three_steps_off_the_line() {
    // y lags by nearly three steps for a while, at 37.5 mm/s.
    let lag = (2.9 / (37.5 * 400.0) * 1e9) as u64;
    let mut tape = Tape::record(STAGE, "go");
    let (mut from, mut to) = (u64::MAX, 0);
    for high in [true, false] {
        for &edge in &tape.edges("y.step", high)[9_000..9_100] {
            tape.events[edge].0 += lag;
            (from, to) = (from.min(tape.at(edge)), to.max(tape.at(edge)));
        }
    }
    let report = tape.prove(&config(STAGE));
    let line = report.broken().find(|b| b.name == "off the line").expect("found");
    assert_eq!(line.motor, "machine");
    assert!(line.first[0].what.contains("move 1"), "{report}");
    assert!((from - lag..=to).contains(&line.first[0].at.as_nanos()), "{report}");
}

#[test]
fn past_the_end() {
    // Two steps too far, and back.
    let text = x_alone();
    let mut tape = Tape::record(&text, "go");
    let end = tape.of_signal("x.position")[1];
    let at = tape.at(end);
    for (n, dir) in [(0, None), (1, None), (2, Some(Value::Low)), (3, None)] {
        let rise = at - 8_000_000 + n * 2_000_000;
        if let Some(dir) = dir {
            tape.add(rise - 1_000_000, "x.dir", dir);
        }
        tape.add(rise, "x.step", Value::High);
        tape.add(rise + 2_000, "x.step", Value::Low);
    }
    let report = tape.prove(&config(&text));
    assert!(broken(&report).contains(&"machine: off the line".into()), "{report}");
    assert!(report.to_string().contains("x goes 2 steps past an end of move 1"), "{report}");
}
