//! `lockstep doctor` on the header of a fake Pi: what it finds, and that it changes nothing.

use crate::common::{Config, Run, run, shipped};

const AXIS: &str = include_str!("axis.toml");

/// Programs of other tests are processes of this machine, too, and are taken to have the pins: then it looks again.
fn doctor(options: &str, config: &Config) -> Run {
    for _ in 0..100 {
        let run = run(options, "lockstep", &format!("doctor --seconds 0 --config {}", config.path));
        if !run.stdout.contains("another lockstep has them") {
            return run;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("a lockstep runs on this machine: end it");
}

/// The verdict of a check, and what it says in its first line.
fn line<'a>(run: &'a Run, check: &str) -> (&'a str, &'a str) {
    let found = run.stdout.lines().find_map(|line| {
        let (verdict, rest) = line.split_once("  ")?;
        let says = rest.trim_start().strip_prefix(check)?.strip_prefix("  ")?;
        Some((verdict, says.trim()))
    });
    found.unwrap_or_else(|| panic!("no {check}: {}\n{}", run.stdout, run.stderr))
}

#[test]
fn it_looks_at_the_header_and_changes_nothing() {
    let servo = Config::new(&shipped("servo-sweep.toml"));
    let axis = Config::new(AXIS);
    for (options, config, board) in [
        ("--board pi-3 --pwm 18", &servo, "Raspberry Pi 3"),
        ("--board pi-4 --pwm 18", &servo, "Raspberry Pi 4"),
        ("--board pi-5 --pwmchip 2 --pwm 18", &servo, "Raspberry Pi 5"),
        ("--board pi-5 --pwmchip 0 --pwm 18", &servo, "Raspberry Pi 5"),
        ("--board pi-4", &axis, "Raspberry Pi 4"),
        ("--board pi-5", &axis, "Raspberry Pi 5"),
    ] {
        let run = doctor(options, config);
        let (verdict, says) = line(&run, "board");
        assert!(verdict == "ok" && says.starts_with(board), "{options}: {}", run.stdout);
        for check in ["PWM chip", "pin functions", "permissions", "pin users"] {
            assert_eq!(line(&run, check).0, "ok", "{options}: {}", run.stdout);
        }
        assert!(!run.touched(), "{options}: {:#?}", run.log);
        assert!(run.pwm_writes("").is_empty(), "{options}: {:#?}", run.log);
    }
}

#[test]
fn it_finds_what_is_missing() {
    let servo = Config::new(&shipped("servo-sweep.toml"));
    let axis = Config::new(AXIS);
    for (options, config, check) in [
        ("--board pi-4", &servo, "PWM chip"),
        ("--board pi-5 --fan-chip 0", &servo, "PWM chip"),
        ("--pwm 19", &servo, "pin functions"),
        ("--pwm 18 --running 0", &servo, "PWM chip"),
        ("--user stranger", &axis, "permissions"),
        ("--missing gpiomem", &axis, "permissions"),
        ("--busy-lines 17", &axis, "pin users"),
    ] {
        let run = doctor(options, config);
        assert_eq!(run.status, 1, "{options}: {}\n{}", run.stdout, run.stderr);
        assert_eq!(line(&run, check).0, "to do", "{options}: {}", run.stdout);
        assert!(!run.touched(), "{options}: {:#?}", run.log);
    }
}
