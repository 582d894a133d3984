//! Client commands on a terminal, which `script` lends them.
#![cfg(all(feature = "cli", feature = "service", target_os = "linux"))]
#![allow(clippy::unwrap_used)]

mod live;

use std::io::Write;
use std::process::{Command, Stdio};

use live::Service;

/// What a shell command shows on a terminal of its own, where `keys` are typed.
fn on_a_terminal(service: &Service, command: &str, keys: &[u8]) -> String {
    let mut script = Command::new("script")
        .args(["--quiet", "--return", "--flush", "--command", command, "/dev/null"])
        .env("LOCKSTEP_SOCKET", service.socket())
        .env("LOCKSTEP", env!("CARGO_BIN_EXE_lockstep"))
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script is missing: apt install bsdutils");
    let mut typed = script.stdin.take().unwrap();
    typed.write_all(keys).unwrap();
    let output = script.wait_with_output().unwrap();
    drop(typed);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_table_is_drawn_in_its_place_until_ctrl_c() {
    let service = Service::start();
    service.ok(&["move", "pan=5deg"]);
    service.ok(&["move", "x=100mm", "--no-wait"]);
    let watch = |setting: &str| {
        // timeout sends what Ctrl-C sends.
        let command = format!(
            "stty cols 44 rows 8; {setting} timeout --foreground -s INT 1.2 \"$LOCKSTEP\" watch; echo ended $?"
        );
        on_a_terminal(&service, &command, b"")
    };
    let shown = watch("");
    // Drawn, and drawn anew from its first line on.
    assert!(shown.contains("\r\x1b[J\x1b[32mmoving"), "{shown:?}");
    assert!(shown.matches("\x1b[4A\r\x1b[J").count() >= 3, "{shown:?}");
    assert!(shown.contains("pan  idle               5 deg"), "{shown:?}");
    assert!(shown.contains("ended 124"), "{shown:?}");
    for line in shown.replace("\r\x1b[J", "\n").lines() {
        let line = console::strip_ansi_codes(line.trim_end_matches('\r')).into_owned();
        assert!(line.chars().count() < 44, "{line:?}");
    }
    // Positions went on between two drawings.
    let drawn: std::collections::BTreeSet<_> =
        shown.split("x    moving").skip(1).map(|rest| rest.split("mm").next().unwrap()).collect();
    assert!(drawn.len() >= 3, "{drawn:?}");
    let plain = watch("NO_COLOR=1");
    assert!(plain.contains("pan  idle") && !plain.contains("\x1b[32m"), "{plain:?}");
    // Where there is no terminal each change is a line.
    let lines = Command::new("timeout")
        .args(["-s", "INT", "0.7", env!("CARGO_BIN_EXE_lockstep"), "watch", "--every", "50ms"])
        .env("LOCKSTEP_SOCKET", service.socket())
        .output()
        .unwrap();
    let lines = String::from_utf8(lines.stdout).unwrap();
    assert!(lines.lines().count() >= 3, "{lines}");
    for line in lines.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(event["seq"].is_u64(), "{line}");
    }
}
