//! Client commands on a terminal, which `script` lends them.
#![cfg(all(feature = "cli", feature = "service", target_os = "linux"))]
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::live::{self, Service};

/// What a shell command shows on a terminal of its own, where `keys` are typed once it has said `ready`.
fn on_a_terminal(service: &Service, command: &str, ready: &str, keys: &str) -> String {
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
    let (mut typed, mut out) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
    let (mut shown, mut bytes, mut waits) = (Vec::new(), [0; 4096], true);
    loop {
        let count = out.read(&mut bytes).unwrap();
        shown.extend_from_slice(&bytes[..count]);
        if waits && String::from_utf8_lossy(&shown).contains(ready) {
            typed.write_all(keys.as_bytes()).unwrap();
            waits = false;
        }
        if count == 0 {
            break;
        }
    }
    script.wait().unwrap();
    String::from_utf8(shown).unwrap()
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
        on_a_terminal(&service, &command, "", "")
    };
    let shown = watch("");
    // Drawn, and drawn anew from its first line on.
    assert!(shown.contains("\r\x1b[J\x1b[32mmoving"), "{shown:?}");
    assert!(shown.matches("\x1b[4A\r\x1b[J").count() >= 3, "{shown:?}");
    assert!(shown.contains("pan  idle            5 deg"), "{shown:?}");
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

#[test]
fn a_servo_is_calibrated_by_arrow_keys() {
    let service = Service::start();
    let config = service.config();
    let command = format!(
        "stty cols 100; timeout --foreground 50 \"$LOCKSTEP\" calibrate pan --config {}; echo ended $?; stty",
        config.display()
    );
    // 50us steps; to 850us, an end; to 2100us, the other; to 1550us, the centre; reversed; written.
    let keys = [
        "\x1b[A\x1b[A",
        &"\x1b[D".repeat(13),
        "s",
        &"\x1b[C".repeat(25),
        "l",
        &"\x1b[D".repeat(11),
        "crw",
    ];
    let shown = on_a_terminal(&service, &command, "pulse 1500us", &keys.concat());
    assert!(shown.contains("shortest 850us") && shown.contains("ended 0"), "{shown}");
    // No key was shown, and the terminal is as it was.
    assert!(
        !shown.contains("^[[") && !shown.contains("-echo") && !shown.contains("-icanon"),
        "{shown}"
    );
    let text = std::fs::read_to_string(&config).unwrap();
    let written = "[servo.pan]\npwm = { gpio = 18 }\n\
        pulse = { min = \"950us\", max = \"2050us\" }\ntrim = \"50us\"\nreverse = true\n";
    assert!(text.contains(written), "{text}");
    let kept = std::fs::read_to_string(config.with_extension("toml.bak")).unwrap();
    assert_eq!(kept, live::CONFIG);
    // It stood where the config that the service has allows it.
    assert!(!service.ok(&["status", "pan"]).contains("no signal"));
    service.ok(&["move", "pan=5deg"]);
    service.ok(&["check", config.to_str().unwrap()]);
}

#[test]
fn calibration_by_words_and_its_refusals() {
    let service = Service::start();
    let config = service.config();
    let calibrate = |servo: &str, keys: &str| {
        let mut child = service
            .command(&["calibrate", servo, "--config", config.to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may have ended before it reads.
        let _ = child.stdin.take().unwrap().write_all(keys.as_bytes());
        let output = child.wait_with_output().unwrap();
        let said =
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), said)
    };
    // The end of the keys is no wish to write, nor is `quit`.
    for keys in ["right\nshortest\n", "right\nlongest\nquit\n", ""] {
        let (status, said) = calibrate("pan", keys);
        assert!(status == 1 && said.contains("nothing was written"), "{said}");
    }
    let (status, said) = calibrate("pan", "longest\nshortest\nwrite\n");
    assert!(status == 1 && said.contains("is not below the longest"), "{said}");
    let (status, said) = calibrate("pan", "sideways\n");
    assert!(status == 2 && said.contains("`sideways` is no key"), "{said}");
    assert!(calibrate("x", "").1.contains("`x` is an axis"));
    assert!(calibrate("tilt", "").1.contains("no servo `tilt`"));
    assert_eq!(std::fs::read_to_string(&config).unwrap(), live::CONFIG);
    // Somebody else's servo is not moved.
    let mut holder = service.client();
    holder.request(live::request("\"do\":\"lease-take\",\"motors\":[\"pan\"]")).unwrap();
    let (status, said) = calibrate("pan", "left\nwrite\n");
    assert!(status == 1 && said.contains("pan"), "{said}");
    drop(holder);
    // An end beyond what the config allows leaves the servo limp, as it may not stand there.
    let far = "up\nup\n".to_owned() + &"right\n".repeat(14) + "longest\nwrite\n";
    let (status, said) = calibrate("pan", &far);
    assert_eq!(status, 0, "{said}");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !service.ok(&["status", "pan"]).contains("no signal") {
        assert!(std::time::Instant::now() < until, "it stands where it may not");
    }
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains("pulse = { min = \"1000us\", max = \"2200us\" }\n"), "{text}");
}
