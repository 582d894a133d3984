//! Runs every example on the simulator. `cargo test` has built them.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn run(name: &str) -> String {
    let this = std::env::current_exe().unwrap();
    let target: PathBuf = this.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    let output = Command::new(&target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}; `cargo test` builds it", target.display()));
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_example_is_here_and_short() {
    let listed = ["one_servo.rs", "one_stepper.rs", "xyz_stage.rs"];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(listed.contains(&name), "{name} is run by no test");
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 30, "{name} has {lines} lines: an example fits on a screen");
    }
}

#[test]
fn one_servo() {
    let out = run("one_servo");
    assert_eq!(out, "pan: Reached at -45 deg\npan: Reached at 30 deg\npan: Reached at 0 deg\n");
}

#[test]
fn one_stepper() {
    assert_eq!(run("one_stepper"), "x: Reached, Some(10000) steps\nx: Reached, Some(0) steps\n");
}

#[test]
fn xyz_stage() {
    let out = run("xyz_stage");
    assert!(out.contains("x is at 20 mm"), "{out}");
    assert!(out.contains("z is at 5 mm"), "{out}");
    assert!(out.contains("y failed: ") && out.contains("driver reports a fault"), "{out}");
}
