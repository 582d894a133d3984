//! `lockstep selftest`: it drives each output and reads its pin back.

use crate::common::{Config, Run, assert_no_signal_or_whole, run, shell};

const SAFE: &str = include_str!("safe.toml");
const AXIS: &str = include_str!("axis.toml");
/// Pins that show their PWM level at once.
const SHARP: &str = "--level-step 10";

fn selftest(options: &str, config: &Config) -> Run {
    let arguments = format!("selftest --yes --json --config {}", config.path);
    run(options, "lockstep", &arguments)
}

/// The findings of an output, by its function.
fn findings<'a>(
    report: &'a serde_json::Value,
    motor: &str,
    function: &str,
) -> Vec<&'a serde_json::Value> {
    let all = report["findings"].as_array().unwrap().iter();
    all.filter(|f| f["motor"] == motor && f["function"] == function).collect()
}

#[test]
fn what_it_says_is_what_came_out() {
    let config = Config::new(SAFE);
    for (options, channel) in [
        ("--board pi-3 --pwm 18", "pwmchip0/pwm0"),
        ("--board pi-5 --pwm 18 --pwmchip 2 --fan-chip 0", "pwmchip2/pwm2"),
    ] {
        // A machine that is busy with other things can make any of it late: then once more.
        let good = (0..5).any(|_| {
            let run = selftest(&format!("{options} {SHARP} --level 26=low"), &config);
            assert!(matches!(run.status, 0 | 1), "{}", run.stderr);
            let report = run.report();
            // Every pulse at STEP, and not one while the driver has power.
            let steps = run.edges(17);
            let told = findings(&report, "x", "step");
            let seen: u64 = told.iter().map(|f| f["seen"]["count"].as_u64().unwrap()).sum();
            assert_eq!((steps.len() as u64, seen), (2 * 1100, 1100));
            // Inactive from its first moment on; then there and back ten times.
            let enable = run.edges(22);
            assert!(enable.len() == 21 && enable[0].1, "{enable:?}");
            assert!(enable[1].0 > steps[steps.len() - 1].0, "a step with power");
            assert_eq!(run.modes(22), [("output", Some(true))]);
            assert!(enable[20].1, "the driver is left on");
            assert_eq!(findings(&report, "x", "dir")[0]["seen"]["count"], 10);
            // The load is left alone, and it says why.
            let z = findings(&report, "z", "");
            assert!(z[0]["not_tested"].as_str().unwrap().contains("holds a load"), "{z:?}");
            assert!(
                [25, 16, 26].iter().all(|&p| run.modes(p).is_empty() && run.edges(p).is_empty())
            );
            // Three signals, each with its end.
            let widths: Vec<_> = run
                .pwm_writes(&format!("{channel}/duty_cycle"))
                .iter()
                .map(|w| w.2.to_owned())
                .collect();
            assert_eq!(widths, ["1000000", "0", "1500000", "0", "2000000", "0"]);
            let pulses = findings(&report, "pan", "pulse");
            assert_eq!(pulses.len(), 3);
            run.status == 0 && pulses.iter().all(|p| p["ok"] == true)
        });
        assert!(good, "{options}: none of five was as asked");
    }
}

#[test]
fn a_pin_that_shows_nothing_is_off() {
    let config = Config::new(SAFE);
    // The step line belongs to something that holds it; the level of the servo's pin comes too late.
    let run = selftest("--pwm 18 --level-step 60000000 --level 26=low", &config);
    assert_eq!(run.status, 1, "{}", run.stderr);
    assert!(
        run.stderr.contains("error: pan pulse (GPIO18): no pulse was seen at the pin"),
        "{}",
        run.stderr
    );
    assert_eq!(run.report()["result"], "off");
    assert_no_signal_or_off(&run, "pwmchip0/pwm0");
}

/// The signal is off at the end, with width 0.
fn assert_no_signal_or_off(run: &Run, channel: &str) {
    let last =
        |file: &str| run.pwm_writes(&format!("{channel}/{file}")).last().map(|w| w.2.to_owned());
    assert_eq!(last("enable").as_deref(), Some("0"));
    assert_eq!(last("duty_cycle").as_deref(), Some("0"));
}

#[test]
fn it_asks_first_and_fails_like_a_run() {
    let config = Config::new(AXIS);
    for (answer, status) in [("no", 2), ("", 2), ("yes", 0)] {
        let script = format!("echo '{answer}' | lockstep selftest --config {}", config.path);
        // Not what is measured is looked at here, on a machine that may be busy.
        let run = shell("--level 24=high", &script);
        assert!(run.status == status || (run.status, status) == (1, 0), "{answer}: {}", run.stderr);
        assert!(run.stderr.contains("Switch the motors' supply off"), "{}", run.stderr);
        assert_eq!(run.edges(17).is_empty(), answer != "yes", "{answer}");
    }
    let run = selftest("--user stranger", &config);
    assert_eq!((run.status, run.errors().len()), (3, 1), "{}", run.stderr);
    let run = selftest("--pwm 18 --kernel-has 0", &Config::new(SAFE));
    assert_eq!(run.status, 3, "{}", run.stderr);
    assert!(run.errors()[0].starts_with("error: pan pulse (GPIO18): "), "{}", run.stderr);
    // The others were tested all the same.
    assert_eq!(run.edges(17).len(), 2 * 1100);
}

#[test]
fn a_signal_ends_it_with_all_off() {
    let config = Config::new(SAFE);
    for ms in [150, 700, 1400] {
        let run = selftest(&format!("--pwm 18 {SHARP} --signal TERM@{ms}"), &config);
        if run.status > 128 {
            // It came before the program had looked at its arguments.
            assert!(!run.touched(), "{:#?}", run.log);
            continue;
        }
        assert!(matches!(run.status, 0 | 1), "{}: {}", run.status, run.stderr);
        if run.pwm_writes("pwmchip0/pwm0/").is_empty() {
            assert_no_signal_or_whole(&run, "pwmchip0/pwm0", 20_000_000);
        } else {
            assert_no_signal_or_off(&run, "pwmchip0/pwm0");
        }
        assert_ne!(run.edges(17).last().map(|e| e.1), Some(true));
        assert_ne!(run.edges(22).last().map(|e| e.1), Some(false));
    }
}
