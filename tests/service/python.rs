//! The Python client against a live service: its examples, those of its README, and its own tests.
#![cfg(all(feature = "cli", feature = "service", unix))]
#![allow(clippy::unwrap_used)]

use std::process::Command;

use crate::live;

#[test]
fn the_python_client_does_what_its_examples_say() {
    let service = live::Service::start();
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/python/test_lockstep.py");
    let output = Command::new("python3")
        .args(["-B", tests])
        .env("LOCKSTEP_SOCKET", service.socket())
        .env_remove("LOCKSTEP_LEASE")
        .output()
        .expect("python3 is missing: apt install python3");
    let said = String::from_utf8_lossy(&output.stderr);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}\n{said}");
    // Not one of them was left out.
    assert!(said.trim_end().ends_with("\nOK"), "{said}");
}

/// No syntax that Python 3.9 does not know.
#[test]
fn the_python_client_is_for_python_3_9() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/python/lockstep.py");
    let check = "import ast, sys; ast.parse(open(sys.argv[1]).read(), feature_version=(3, 9))";
    let output = Command::new("python3").args(["-B", "-c", check, file]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
