//! Servos that turn continuously, from the outside: what is said of motors that have a speed and no position.
#![allow(clippy::unwrap_used)]

use crate::cli_common::{Wires, lockstep, ran, shipped};
use serde_json::Value;

fn simulate(more: &[&str]) -> (i32, String) {
    let mut command = lockstep();
    let output = command.args(["simulate", "--config"]).arg(shipped("rover.toml")).args(more);
    let output = output.output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_rover_is_simulated_and_proved() {
    let (status, text) = simulate(&["--verify"]);
    assert_eq!(status, 0, "{text}");
    let row = |name: &str| text.lines().find(|l| l.starts_with(name)).unwrap().to_owned();
    let left: Vec<_> = row("left ").split_whitespace().map(str::to_owned).collect();
    assert_eq!(&left[..3], ["left", "reached", "-"], "{text}");
    for rule in ["neutral pulse at rest", "no signal after", "%/s^2"] {
        assert!(text.contains(rule), "{rule} in {text}");
    }
}

#[test]
fn one_that_is_stopped_is_not_said_to_be_short_of_a_place() {
    let (_, text) = simulate(&["--at", "700ms=stop"]);
    let row = text.lines().find(|l| l.starts_with("left ")).unwrap();
    assert!(row.contains("stopped") && !text.contains("short by"), "{text}");
    let mut command = lockstep();
    command.args(["simulate", "--json", "--at", "700ms=stop", "--config"]);
    let ran = ran(command.arg(shipped("rover.toml")));
    let left = ran.motor("left");
    assert_eq!((&left["outcome"], &left["cause"]), (&"short".into(), &"stopped".into()));
    assert_eq!((&left["position"], &left["unit"]), (&Value::Null, &"%".into()));
    assert_eq!(left.get("by"), None, "{left}");
}

/// Whatever ends the program, also in mid-move, the last pulses are neutral.
#[test]
fn the_trace_of_a_stop_and_of_a_halt_ends_neutral() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rover.vcd");
    for deed in ["700ms=stop", "700ms=halt", "30ms=halt"] {
        simulate(&["--at", deed, "--trace", file.to_str().unwrap()]);
        let wires = Wires::read(&file);
        for wheel in ["left.pulse", "right.pulse"] {
            let pulses = wires.pulses(wheel);
            let neutral = pulses.iter().rev().take_while(|p| p.width == 1_500_000).count();
            assert!((10..=13).contains(&neutral), "{deed}: {neutral} of {}", pulses.len());
        }
    }
}

#[test]
fn check_says_what_to_wire_and_what_a_program_asks() {
    let output =
        lockstep().args(["check", "config/rover.toml", "--program", "square"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for line in [
        "pulses in steps of   0.1us or less, which is 0.02%",
        "left turns continuously: its first pulse, and the last, is neutral, 1500us;",
        "where it creeps at that, mend it by `trim`",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let told = text.split_once("Program square\n").unwrap().1;
    let row: Vec<_> =
        told.lines().find(|l| l.contains("left ")).unwrap().split_whitespace().collect();
    assert_eq!(&row[..6], ["left", "-", "60", "%", "60", "%"], "{told}");
}

/// Unpowered or not: the self-test asks no wheel to run.
#[test]
fn the_self_test_gives_neutral_pulses_alone() {
    let output = lockstep()
        .args(["selftest", "--backend", "sim", "--json", "--config", "config/rover.toml"])
        .output()
        .unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = json["findings"].as_array().unwrap();
    assert_eq!((&json["result"], findings.len()), (&"ok".into(), 2), "{json}");
    for one in findings {
        assert_eq!(one["asked"]["width_us"], 1500.0, "{one}");
    }
}

#[test]
fn who_calibrates_one_is_told_what_to_do_instead() {
    let output =
        lockstep().args(["calibrate", "left", "--config", "config/rover.toml"]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("lockstep jog left=10% --for 1s"), "{text}");
}

#[cfg(feature = "plot")]
#[test]
fn a_picture_shows_speeds() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rover.svg");
    let (status, text) = simulate(&["--plot", file.to_str().unwrap()]);
    assert_eq!(status, 0, "{text}");
    let picture = std::fs::read_to_string(&file).unwrap();
    let has = |word: &str| picture.lines().any(|line| line.trim() == word);
    for word in ["speed", "acceleration", "jerk", "%", "%/s", "%/s²"] {
        assert!(has(word), "{word}");
    }
    assert!(!has("position"));
}
