//! What the commands say of a power budget and of steps that wait for events.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

use std::process::Output;

use crate::cli_common;

const CONFIG: &str = r#"
[power]
budget = "1.5A"
stagger = "50ms"

[axis.x]
step = { gpio = 17 }
dir = { gpio = 27 }
enable = { gpio = 22, active = "low" }
driver = "drv8825"
steps-per-revolution = 200
microsteps = 16
distance-per-revolution = "8mm"
travel = { min = "0mm", max = "200mm" }
max-speed = "50mm/s"
max-acceleration = "500mm/s^2"
at-start = { assume = "0mm" }
current = "0.8A"

[axis.y]
step = { gpio = 23 }
dir = { gpio = 24 }
enable = { gpio = 22, active = "low" }
driver = "drv8825"
steps-per-revolution = 200
microsteps = 16
distance-per-revolution = "8mm"
travel = { min = "0mm", max = "200mm" }
max-speed = "50mm/s"
max-acceleration = "500mm/s^2"
current = "400mA"
at-start = { assume = "0mm" }

[servo.pan]
pwm = { gpio = 18 }
current = "0.5A"

[program.door]
steps = [
  { wait-for = ["door-open"], timeout = "10s" },
  { move = { x = "5mm" } },
]
"#;

/// A program that can't be: x stays on.
const BOTH: &str = r#"
[program.both]
steps = [ { move = { x = "5mm" } }, { move = { pan = "5deg" } } ]
"#;

fn lockstep(args: &[&str]) -> Output {
    with("", args)
}

fn with(more: &str, args: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("machine.toml");
    std::fs::write(&config, format!("{CONFIG}{more}")).unwrap();
    let mut command = cli_common::lockstep();
    match args[0] {
        "check" => command.args(args).arg(&config),
        _ => command.args(args).arg("--config").arg(&config),
    };
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn check_shows_who_draws_what() {
    let said = lockstep(&["check"]);
    assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    let power = "\nPower, of a budget of 1.5A\n\
        \x20 x and y: 1.2A while one of them is on, since they share an enable line\n\
        \x20 pan: 0.5A while it is on\n\
        \x20 not all can be on together: moves wait their turn (1.7A)\n";
    assert!(text(&said.stdout).contains(power), "{}", text(&said.stdout));
    let json: serde_json::Value =
        serde_json::from_slice(&lockstep(&["check", "--json"]).stdout).unwrap();
    let power = &json["files"][0]["power"];
    assert_eq!((&power["budget_a"], &power["stagger_s"]), (&1.5.into(), &0.05.into()));
    assert_eq!(power["consumers"][0]["motors"], serde_json::json!(["x", "y"]));
    // A move that could not be made beside what stays on shows its place.
    let said = with(BOTH, &["check", "--program", "both"]);
    assert_eq!(said.status.code(), Some(2));
    let error = text(&said.stderr);
    assert!(error.contains(": error: this takes 1700 mA, together with what keeps"), "{error}");
    assert!(error.contains("{ move = { pan = \"5deg\" } }"), "{error}");
}

#[test]
fn events_can_be_given_to_a_simulation() {
    let said = text(&lockstep(&["check", "--program", "door"]).stdout);
    assert!(said.contains(", and its waits for events"), "{said}");
    let done = lockstep(&["simulate", "door", "--at", "2s=trigger:door-open", "--json"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(
        (&report["result"], &report["motors"]["x"]["position"]),
        (&"done".into(), &5.0.into())
    );
    let failed = lockstep(&["simulate", "door", "--json"]);
    assert_eq!(failed.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&failed.stdout).unwrap();
    let why = "the time ran out before the event `door-open` came";
    assert_eq!(report["errors"], serde_json::json!([why]));
    assert!(text(&failed.stderr).contains(why), "{}", text(&failed.stderr));
    assert_eq!(lockstep(&["simulate", "door", "--at", "2s=trigger:"]).status.code(), Some(2));
}
