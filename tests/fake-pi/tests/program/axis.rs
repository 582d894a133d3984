//! An axis behind a STEP/DIR driver: `axis.toml`, 1000 steps there and 1000 back.

use crate::common::{Config, Entry, Run, lockstep, shell};

const AXIS: &str = include_str!("axis.toml");
const STEP: u8 = 17;
const DIR: u8 = 27;
const ENABLE: u8 = 22;
/// The driver is well: it does not pull its fault line low.
const WELL: &str = "--level 24=high";

// The DRV8825's times in nanoseconds, all of them at least.
const PULSE: u64 = 1_900;
const SETUP: u64 = 650;
const WAKE: u64 = 1_700_000;

/// The axis' config, with one line of it in other words.
fn axis(line: &str, instead: &str) -> Config {
    assert!(AXIS.contains(line), "{line}");
    Config::new(&AXIS.replace(line, instead))
}

/// Follows the pins through a run: +1 for each step with DIR high, -1 with DIR low. Every pulse has its
/// width, DIR is settled before STEP and rests until it has fallen, and STEP ends low.
fn steps(run: &Run) -> Vec<i64> {
    let (mut step, mut dir) = ((0, false), (0, false));
    let mut steps = Vec::new();
    for (at, entry) in &run.log {
        match *entry {
            Entry::Gpio { pin: STEP, high } => {
                // The log's time of an edge lies before the program's own: no time here is too long.
                assert!(at - step.0 >= PULSE, "STEP {high} after {} ns", at - step.0);
                assert_ne!(high, step.1);
                if high {
                    assert!(at - dir.0 >= SETUP, "STEP {} ns after DIR", at - dir.0);
                    steps.push(if dir.1 { 1 } else { -1 });
                }
                step = (*at, high);
            }
            Entry::Gpio { pin: DIR, high } => {
                assert!(!step.1 && at - step.0 >= SETUP, "DIR changed in a step");
                dir = (*at, high);
            }
            _ => {}
        }
    }
    assert!(!step.1, "STEP was left high");
    steps
}

/// The count of the pins is the count of the report.
fn assert_count(run: &Run) -> Vec<i64> {
    let steps = steps(run);
    let x = &run.report()["motors"]["x"];
    assert_eq!(x["steps"].as_i64(), Some(steps.iter().sum()), "{x}");
    assert_eq!(x["position"].as_f64(), Some(steps.iter().sum::<i64>() as f64 / 25.0), "{x}");
    steps
}

/// The enable line's levels, one after another, as an output.
fn enable(run: &Run) -> Vec<bool> {
    let first = run.modes(ENABLE);
    assert_eq!(first.iter().filter(|m| m.0 == "output").count(), 1, "{first:?}");
    let mut levels: Vec<bool> = first.iter().filter_map(|m| m.1).collect();
    levels.extend(run.edges(ENABLE).iter().map(|e| e.1));
    levels.dedup();
    levels
}

#[test]
fn steps_there_and_back_are_exact() {
    let config = Config::new(AXIS);
    for board in ["pi-3", "pi-4", "pi-5"] {
        let options = format!("--board {board} {WELL}");
        let run = lockstep(&options, &config, "--backend rppal --json").expect_success();
        let steps = assert_count(&run);
        assert_eq!(steps, [vec![1; 1000], vec![-1; 1000]].concat(), "{board}");
        // Inactive from its first moment as an output, active before the first step, let go at the end.
        assert_eq!(enable(&run), [true, false, true], "{board}");
        let (active, step) = (run.edges(ENABLE), run.edges(STEP));
        let active: Vec<_> = active.iter().filter(|e| e.0 < step[0].0 && !e.1).collect();
        assert!(step[0].0 - active[0].0 >= WAKE, "{board}");
        assert!(run.edges(ENABLE).last().unwrap().0 > step.last().unwrap().0, "{board}");
        assert_eq!(run.report()["motors"]["x"]["outcome"], "reached");
        assert_eq!(run.report()["motors"]["x"]["place"], "assumed");
    }
}

#[test]
fn a_driver_that_is_to_be_kept_stays_active() {
    let config = axis("on-stop = \"release\"", "on-stop = \"keep\"");
    for signals in ["", "--signal TERM@600", "--signal INT@600 --signal INT@602"] {
        let options = format!("{WELL} {signals}");
        let run = lockstep(&options, &config, "--backend rppal --json").expect_success();
        assert_count(&run);
        assert_eq!(enable(&run), [true, false], "{signals}");
    }
}

#[test]
fn a_load_is_never_let_go() {
    let config = axis("on-stop = \"release\"", "holds-load = true");
    for (board, end) in [
        ("pi-4", ""),
        ("pi-5", "--signal TERM@600"),
        ("pi-4", "--signal HUP@600 --signal TERM@601"),
        ("pi-5", "--inject 24=low@400"),
    ] {
        let options = format!("--board {board} {WELL} --level 22=low {end}");
        let run = lockstep(&options, &config, "--backend rppal --json");
        assert_eq!(run.status, i32::from(end.contains("inject")), "{}", run.stderr);
        assert_count(&run);
        // It was held when the program began: its line's level never changes.
        assert_eq!(enable(&run), [false], "{board} {end}");
        assert_eq!(run.edges(ENABLE), [], "{board} {end}");
    }
    // It was not held: it is from the first move on.
    let options = format!("{WELL} --level 22=high");
    let run = lockstep(&options, &config, "--backend rppal --json").expect_success();
    assert_eq!(enable(&run), [true, false]);
}

#[test]
fn signals_bring_it_to_rest_with_an_exact_count() {
    let config = Config::new(AXIS);
    for (k, signals) in [
        "--signal TERM@150",
        "--signal INT@500",
        "--signal HUP@900",
        "--signal TERM@700 --signal TERM@700",
        "--signal INT@600 --signal TERM@640",
    ]
    .iter()
    .enumerate()
    {
        let board = ["pi-4", "pi-5"][k % 2];
        let options = format!("--board {board} {WELL} {signals}");
        let run = lockstep(&options, &config, "--backend rppal --json");
        if run.status > 128 {
            assert!(!run.touched(), "{signals}: {:#?}", run.log);
            continue;
        }
        let run = run.expect_success();
        assert!(assert_count(&run).len() < 2000, "{signals}");
        assert_eq!(run.report()["result"], "stopped", "{signals}");
        assert_eq!(enable(&run).last(), Some(&true), "{signals}");
    }
}

#[test]
fn a_drivers_fault_stops_it_and_is_told() {
    for (board, on_stop, released) in [("pi-4", "release", true), ("pi-5", "keep", false)] {
        let config = axis("on-stop = \"release\"", &format!("on-stop = \"{on_stop}\""));
        let options = format!("--board {board} {WELL} --inject 24=low@400");
        let run = lockstep(&options, &config, "--backend rppal --json");
        assert_eq!(run.status, 1, "{}", run.stderr);
        let steps = assert_count(&run);
        assert!(!steps.is_empty() && steps.len() < 1000, "{}", steps.len());
        let report = run.report();
        assert_eq!(report["result"], "failed");
        let x = &report["motors"]["x"];
        assert_eq!((&x["outcome"], &x["cause"]), (&"short".into(), &"fault".into()), "{x}");
        assert_eq!(x["place"], "unverified");
        assert_eq!(run.errors().len(), 1, "{}", run.stderr);
        assert!(run.errors()[0].contains("x: the driver"), "{}", run.stderr);
        // Still within a moment, after its last whole pulse.
        let fault = run.log.iter().find(|(_, e)| matches!(e, Entry::Inject { .. })).unwrap().0;
        let last = run.edges(STEP).last().unwrap().0;
        assert!(last < fault + 100_000_000, "{} ns", last - fault);
        assert_eq!(enable(&run).last(), Some(&released));
    }
}

#[test]
fn a_glitch_on_the_fault_line_is_no_fault() {
    let config = Config::new(AXIS);
    for board in ["pi-4", "pi-5"] {
        let glitch = |at: u32| format!("--inject 24=low@{at} --inject 24=high@{at}");
        let glitches = [300, 600, 900].map(glitch).join(" ");
        let options = format!("--board {board} {WELL} {glitches}");
        let run = lockstep(&options, &config, "--backend rppal --json").expect_success();
        let injected = run.log.iter().filter(|(_, e)| matches!(e, Entry::Inject { .. })).count();
        assert_eq!((assert_count(&run).len(), injected), (2000, 6), "{board}");
        assert_eq!(run.report()["motors"]["x"]["place"], "assumed", "{board}");
        assert!(run.stderr.contains("x's fault line: 1 pulse too short"), "{}", run.stderr);
    }
}

/// The service, until its end: the fault line is active from 3 s to 15 s after it was opened.
#[test]
fn clear_takes_a_motor_back_once_its_driver_is_well() {
    let config = Config::new(&AXIS.replace("start-program = \"there-and-back\"\n", ""));
    let script = format!(
        "F={}\nexport LOCKSTEP_SOCKET=$F.sock RUNTIME_DIRECTORY=$F.run STATE_DIRECTORY=$F.state\n\
         mkdir $RUNTIME_DIRECTORY $STATE_DIRECTORY\n\
         $LOCKSTEP serve --backend rppal --config $F --socket $LOCKSTEP_SOCKET & PID=$!\n\
         for i in $(seq 600); do [ -S $LOCKSTEP_SOCKET ] && break; sleep 0.1; done\n\
         for i in $(seq 20); do lockstep move x=200mm && lockstep move x=0mm || break; done\n\
         lockstep status | grep -q fault || exit 9\n\
         lockstep clear && exit 8\nlockstep move x=1mm && exit 7\nmark waits\n\
         for i in $(seq 600); do lockstep clear && break; sleep 0.1; done\n\
         mark cleared\nlockstep status | grep -q unverified || exit 6\n\
         lockstep move x=30mm || exit 5\nlockstep move x=20mm || exit 4\nmark end\nkill $PID\nwait $PID",
        config.path
    );
    let options = format!("{WELL} --timeout 120 --inject 24=low@3000 --inject 24=high@15000");
    let run = shell(&options, &script).expect_success();
    assert!(run.stderr.contains("its fault line, GPIO24, is active"), "{}", run.stderr);
    // Nothing moves while it has its fault.
    assert_eq!(run.after("waits").edges(STEP), []);
    let back = steps(&run.after("cleared"));
    assert_eq!(back.iter().rev().take(250).filter(|s| **s == -1).count(), 250, "10 mm down");
}

#[test]
fn too_late_is_a_reason_to_come_to_rest() {
    // No register of the fake Pi is written within a nanosecond.
    let config = axis("max-lateness = \"10s\"", "max-lateness = \"1ns\"");
    let run = lockstep(WELL, &config, "--backend rppal --json");
    assert_eq!(run.status, 1, "{}", run.stderr);
    let steps = assert_count(&run);
    // It brakes within its limits, on its path.
    assert!(!steps.is_empty() && steps.iter().all(|s| *s == 1) && steps.len() < 1000);
    let report = run.report();
    assert_eq!(report["motors"]["x"]["cause"], "late", "{report}");
    assert_eq!(enable(&run), [true, false, true]);
}

#[test]
fn the_millisecond_of_lateness_that_hardware_is_given() {
    let config = axis("max-lateness = \"10s\"\n", "");
    let run = lockstep(WELL, &config, "--backend rppal --json");
    let steps = assert_count(&run);
    match run.status {
        0 => assert_eq!(steps.len(), 2000),
        1 => assert_eq!(run.report()["motors"]["x"]["cause"], "late", "{}", run.stderr),
        other => panic!("{other}: {}", run.stderr),
    }
}
