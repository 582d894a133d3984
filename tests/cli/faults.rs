//! `lockstep run` where a motor's loop panics or hangs: the rest ends in good order, and in time.
#![cfg(all(unix, feature = "cli"))]
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use crate::cli_common::{Wires, config, lockstep, ran};
use serde_json::json;

const FAULT: &str = "LOCKSTEP_TEST_FAULT";

/// A long move of two axes, beside a servo that sweeps on its own.
const BUSY: &str = r#"
[machine]
start-program = "busy"
[axis.x]
step = { gpio = 17 }
dir = { gpio = 27 }
driver = "drv8825"
steps-per-revolution = 200
microsteps = 16
distance-per-revolution = "8mm"
travel = { min = "0mm", max = "200mm" }
max-speed = "5mm/s"
max-acceleration = "500mm/s^2"
max-jerk = "5000mm/s^3"
at-start = { assume = "0mm" }
[axis.y]
step = { gpio = 23 }
dir = { gpio = 24 }
driver = "drv8825"
steps-per-revolution = 200
microsteps = 16
distance-per-revolution = "8mm"
travel = { min = "0mm", max = "200mm" }
max-speed = "5mm/s"
max-acceleration = "500mm/s^2"
max-jerk = "5000mm/s^3"
at-start = { assume = "0mm" }
[servo.pan]
pwm = { gpio = 18 }
[program.busy]
steps = [ { together = [
  [ { move = { x = "100mm", y = "80mm" } } ],
  [ { sweep = { pan = ["-45deg", "45deg"] }, step = "9deg", every = "240ms" } ],
] } ]
"#;

/// Runs it with a fault, and says how each motor's outcome reads. Every pulse of every motor is whole.
fn run(fault: &str) -> serde_json::Value {
    let folder = tempfile::tempdir().unwrap();
    let (file, trace) = (config(folder.path(), BUSY), folder.path().join("t.vcd"));
    let mut command = lockstep();
    command.args(["run", "--backend", "sim", "--json", "--config"]).arg(file);
    let began = Instant::now();
    let ran = ran(command.arg("--trace").arg(&trace).env(FAULT, fault));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!((ran.status, &ran.json["result"]), (1, &json!("failed")), "{}", ran.err);
    assert!(ran.err.contains(FAULT), "{}", ran.err);
    let wires = Wires::read(&trace);
    for (axis, highest) in [("x", 40_000), ("y", 32_000)] {
        let pulses = wires.pulses(&format!("{axis}.step"));
        assert!(pulses.iter().all(|p| p.width >= 1_900), "{axis}");
        assert!((1..highest).contains(&pulses.len()), "{axis}: {}", pulses.len());
        assert_eq!(ran.motor(axis)["steps"], json!(pulses.len()), "{axis}");
    }
    ran.json["motors"].clone()
}

#[test]
fn a_loop_that_panics_ends_the_run_in_good_order() {
    let motors = run("panic:y@300ms");
    assert_eq!(motors["y"]["cause"], json!("fault"), "{motors}");
    assert_eq!(motors["x"]["cause"], json!("stopped"), "{motors}");
}

#[test]
fn a_loop_that_hangs_is_named_and_holds_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let short = BUSY.replace("{ x = \"100mm\", y = \"80mm\" }", "{ x = \"2mm\", y = \"2mm\" }");
    let file = config(folder.path(), &short);
    let mut command = lockstep();
    command.args(["run", "--backend", "sim", "--json", "--config"]).arg(file);
    let ran = ran(command.env(FAULT, "hang:y@100ms"));
    assert_eq!((ran.status, &ran.json["result"]), (1, &json!("failed")), "{}", ran.err);
    assert_eq!(ran.motor("y")["cause"], json!("no-answer"), "{}", ran.json);
    assert_eq!(ran.motor("x")["outcome"], json!("reached"), "{}", ran.json);
    assert!(ran.err.contains("did not end: y"), "{}", ran.err);
    assert!(ran.err.contains("lockstep safe"), "{}", ran.err);
}

#[test]
fn a_loop_that_hangs_is_found_out_and_the_others_come_to_rest() {
    // Ten seconds of way, in one move.
    let folder = tempfile::tempdir().unwrap();
    let long = BUSY.replace("{ x = \"100mm\", y = \"80mm\" }", "{ x = \"50mm\", y = \"50mm\" }");
    for more in ["", ", on-fault = \"continue\""] {
        let long = long.replace("y = \"50mm\" }", &format!("y = \"50mm\" }}{more}"));
        let (file, trace) = (config(folder.path(), &long), folder.path().join("t.vcd"));
        let mut command = lockstep();
        command.args(["run", "--backend", "sim", "--json", "--config"]).arg(&file);
        let ran = ran(command.arg("--trace").arg(&trace).env(FAULT, "hang:x@300ms"));
        assert_eq!((ran.status, &ran.json["result"]), (1, &json!("failed")), "{}", ran.err);
        assert_eq!(ran.motor("x")["cause"], json!("no-answer"), "{}", ran.json);
        assert_eq!(ran.motor("y")["cause"], json!("stopped"), "{}", ran.json);
        // 5 mm/s: found within a second or so, and then braked.
        let y = ran.motor("y")["position"].as_f64().unwrap();
        assert!(y < 25.0, "{more}: {y} mm");
        assert!(ran.err.contains("x: the motor's loop does not answer"), "{}", ran.err);
        let pulses = Wires::read(&trace).pulses("y.step");
        assert!(pulses.iter().all(|p| p.width >= 1_900), "every pulse is whole");
        assert_eq!(ran.motor("y")["steps"], json!(pulses.len()));
    }
}

#[test]
fn a_fault_that_cannot_be_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = config(folder.path(), BUSY);
    for (fault, word) in [("panic:z@1s", "no motor `z`"), ("stall:x@1s", "is no fault")] {
        let mut command = lockstep();
        command.args(["run", "--backend", "sim", "--config"]).arg(&file).env(FAULT, fault);
        let output = command.output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{err}");
        assert!(err.contains(word), "{err}");
    }
}
