//! One thing is broken on purpose in a good trace: the checker must find it, name it, and say when.
#![allow(clippy::unwrap_used)]

use std::sync::OnceLock;

use lockstep::config::{AtStart, AxisStop, Config, Drive, StepDirDrive};
use lockstep::trace::Value;
use lockstep::verify::{Options, Report, VerifyError, verify};

use crate::verify_support::*;

/// Breaks the stage's run and says what the checker finds.
fn stage(break_it: impl FnOnce(&mut Tape)) -> Report {
    static TAPE: OnceLock<Tape> = OnceLock::new();
    broken_run(STAGE, TAPE.get_or_init(|| good(STAGE)).clone(), break_it)
}

fn servo(break_it: impl FnOnce(&mut Tape)) -> Report {
    static TAPE: OnceLock<Tape> = OnceLock::new();
    broken_run(SERVO, TAPE.get_or_init(|| good(SERVO)).clone(), break_it)
}

/// The trace is good before it is broken.
fn good(text: &str) -> Tape {
    let tape = Tape::record(text, "go");
    let report = tape.prove(&config(text));
    assert!(report.is_clean(), "{report}");
    tape
}

fn broken_run(text: &str, mut tape: Tape, break_it: impl FnOnce(&mut Tape)) -> Report {
    break_it(&mut tape);
    tape.prove(&config(text))
}

/// That bound alone is broken, once, and a violation stands at `at` within a microsecond.
#[track_caller]
fn only(report: &Report, bound: &str, at: u64) {
    assert_eq!(broken(report), [bound], "{report}");
    names(report, bound, at);
}

#[track_caller]
fn names(report: &Report, bound: &str, at: u64) {
    let found = report.broken().find(|b| format!("{}: {}", b.motor, b.name) == bound);
    let found = found.unwrap_or_else(|| panic!("{bound} is not found:\n{report}"));
    let near = |v: &lockstep::verify::Violation| v.at.as_nanos().abs_diff(at) <= 1_000;
    assert!(found.first.iter().any(near), "no violation at {at} ns:\n{report}");
    let first = &found.first[0];
    assert!(!first.what.is_empty() && found.count as usize >= found.first.len());
    let line = format!("{bound} at {} s: {}", first.at, first.what);
    assert!(report.to_string().contains(&line), "{line}\n{report}");
}

fn axis(config: &mut Config, motor: usize) -> &mut StepDirDrive {
    match &mut config.motors[motor].drive {
        Drive::StepDir(axis) => axis,
        _ => panic!("no axis"),
    }
}

#[test]
fn a_short_step_pulse() {
    let mut at = 0;
    let report = stage(|t| {
        let (rise, fall) = (t.edges("x.step", true)[5_000], t.edges("x.step", false)[5_000]);
        at = t.at(rise);
        t.events[fall].0 = at + 1_899;
    });
    only(&report, "x: STEP high", at);
    assert!(report.to_string().contains("1.899us"), "{report}");
}

#[test]
fn a_short_gap() {
    let mut at = 0;
    let report = stage(|t| {
        let next = t.edges("x.step", true)[5_001];
        at = t.at(next);
        let fall = t.edges("x.step", false)[5_000];
        t.events[fall].0 = at - 1_000;
    });
    only(&report, "x: STEP low", at);
}

#[test]
fn a_burst() {
    let mut at = 0;
    let report = stage(|t| {
        let (rises, falls) = (t.edges("y.step", true), t.edges("y.step", false));
        at = t.at(rises[4_000]) + 20_000;
        t.events[rises[4_001]].0 = at;
        t.events[falls[4_001]].0 = at + 1_900;
    });
    names(&report, "y: STEP interval", at);
    assert!(report.broken().all(|b| b.motor == "y"), "{report}");
}

#[test]
fn dir_too_late_and_too_early() {
    let (mut late, mut early) = (0, 0);
    let turn = |t: &Tape| {
        let dir = t.edges("x.dir", false)[0];
        let rises = t.edges("x.step", true);
        let next = *rises.iter().find(|&&e| t.at(e) > t.at(dir)).unwrap();
        let fell = *t.edges("x.step", false).iter().rfind(|&&e| t.at(e) < t.at(dir)).unwrap();
        (dir, next, fell)
    };
    let report = stage(|t| {
        let (dir, next, _) = turn(t);
        late = t.at(next);
        t.events[dir].0 = late - 649;
    });
    only(&report, "x: DIR set-up", late);
    let report = stage(|t| {
        let (dir, _, fell) = turn(t);
        early = t.at(fell) + 649;
        t.events[dir].0 = early;
    });
    only(&report, "x: DIR hold", early);
    let report = stage(|t| {
        let (dir, _, fell) = turn(t);
        early = t.at(fell) - 500;
        t.events[dir].0 = early;
    });
    only(&report, "x: DIR change while STEP is high", early);
}

#[test]
fn dir_the_wrong_way_miscounts() {
    let report = stage(|t| {
        let dir = t.edges("x.dir", false)[0];
        t.remove(&[dir]);
    });
    assert!(broken(&report).contains(&"x: steps = position".into()), "{report}");
}

#[test]
fn a_step_before_the_driver_is_on_or_awake() {
    let mut at = 0;
    let report = stage(|t| {
        let first = t.edges("x.step", true)[0];
        at = t.at(first);
        let on = t.edges("x.enable", false)[0];
        t.events[on].0 = at - 1_699_999;
    });
    only(&report, "x: enable before a step", at);
    let report = stage(|t| {
        let on = t.edges("x.enable", false)[0];
        t.events[on].0 = at + 1_000;
    });
    names(&report, "x: enabled while stepping", at);
}

#[test]
fn a_driver_that_goes_off_on_the_way() {
    let mut at = 0;
    let report = stage(|t| {
        at = t.at(t.edges("y.step", true)[3_000]);
        t.add(at - 20_000, "y.enable", Value::High);
        t.add(at + 60_000, "y.enable", Value::Low);
    });
    assert_eq!(
        broken(&report),
        ["y: enable before a step", "y: enabled while stepping"],
        "{report}"
    );
    names(&report, "y: enabled while stepping", at);
    let report = stage(|t| {
        t.add(at + 1_000, "y.enable", Value::High);
        t.add(at + 1_100, "y.enable", Value::Low);
    });
    names(&report, "y: enabled while stepping", at + 1_000);
}

#[test]
fn a_driver_that_is_on_from_the_start() {
    let report = stage(|t| {
        // Its first level, which the program wrote before all else.
        let first = t.of_signal("y.enable")[0];
        t.remove(&[first]);
    });
    only(&report, "y: off at the start", 0);
}

#[test]
fn a_start_that_is_not_where_the_config_says() {
    let tape = Tape::record(STAGE, "go");
    let mut config = config(STAGE);
    axis(&mut config, 0).at_start = AtStart::Assume(0.01);
    let begins = tape.at(tape.of_signal("x.position")[0]);
    only(&tape.prove(&config), "x: steps = position", begins);
}

#[test]
fn a_load_that_is_let_go() {
    let tape = Tape::record(STAGE, "go");
    let mut config = config(STAGE);
    let off = *tape.edges("x.enable", true).last().unwrap();
    axis(&mut config, 0).holds_load = true;
    axis(&mut config, 0).on_stop = AxisStop::Keep;
    only(&tape.prove(&config), "x: never lets the load go", tape.at(off));
}

#[test]
fn a_step_lost_and_a_step_too_many() {
    let mut end = 0;
    let report = stage(|t| {
        end = t.at(t.of_signal("x.position")[1]);
        let (rise, fall) = (t.edges("x.step", true)[7_000], t.edges("x.step", false)[7_000]);
        t.remove(&[rise, fall]);
    });
    names(&report, "x: steps = position", end);
    assert!(report.to_string().contains("the edges make 23999 steps, the position says 24000"));

    let mut at = 0;
    let report = stage(|t| {
        at = t.at(*t.of_signal("machine.move").last().unwrap()) + 10_000;
        t.add(at, "x.step", Value::High);
        t.add(at + 2_000, "x.step", Value::Low);
        t.end = at + 5_000;
    });
    names(&report, "x: steps in moves alone", at);
}

#[test]
fn a_position_between_two_steps() {
    let report = stage(|t| {
        let last = *t.of_signal("x.position").last().unwrap();
        t.events[last].2 = Value::Real(10.001);
    });
    assert_eq!(broken(&report), ["x: steps = position"]);
}

#[test]
fn travel_left() {
    let tape = Tape::record(STAGE, "go");
    let mut config = config(STAGE);
    config.motors[0].travel.max = 59.9;
    let report = tape.prove(&config);
    let over = tape.edges("x.step", true)[599 * 40];
    only(&report, "x: travel", tape.at(over));
}

#[test]
fn a_step_that_never_ends() {
    let mut end = 0;
    let report = stage(|t| {
        let fall = *t.edges("x.step", false).last().unwrap();
        t.remove(&[fall]);
        end = t.end;
    });
    assert_eq!(broken(&report), ["x: enabled while stepping", "x: low at the end"], "{report}");
    names(&report, "x: low at the end", end);
}

#[test]
fn a_period_shifted() {
    let mut at = 0;
    let report = servo(|t| {
        let (rise, fall) = (t.edges("pan.pulse", true)[40], t.edges("pan.pulse", false)[40]);
        at = t.at(rise) + 3_000_000;
        t.events[rise].0 += 3_000_000;
        t.events[fall].0 += 3_000_000;
    });
    names(&report, "pan: period", at);
}

#[test]
fn a_pulse_missing_in_a_move_and_at_rest() {
    let mut next = 0;
    let report = servo(|t| {
        let (rises, falls) = (t.edges("pan.pulse", true), t.edges("pan.pulse", false));
        next = t.at(rises[61]);
        t.remove(&[rises[60], falls[60]]);
    });
    names(&report, "pan: period", next);
    let report = servo(|t| {
        let (rises, falls) = (t.edges("pan.pulse", true), t.edges("pan.pulse", false));
        let n = rises.len();
        next = t.at(rises[n - 3]);
        t.remove(&[rises[n - 4], falls[n - 4]]);
    });
    only(&report, "pan: signal begins in a move", next);
}

#[test]
fn pulses_out_of_range() {
    let mut at = 0;
    let report = servo(|t| {
        let (rise, fall) = (t.edges("pan.pulse", true)[30], t.edges("pan.pulse", false)[30]);
        at = t.at(rise);
        t.events[fall].0 = at + 999_999;
    });
    names(&report, "pan: shortest pulse", at);
    let report = servo(|t| {
        let fall = t.edges("pan.pulse", false)[30];
        t.events[fall].0 = at + 2_000_001;
    });
    names(&report, "pan: longest pulse", at);
}

#[test]
fn the_last_pulse_cut() {
    let mut at = 0;
    let mut cut = |to: u64| {
        servo(|t| {
            let last = *t.edges("pan.pulse", false).last().unwrap();
            at = t.at(*t.edges("pan.pulse", true).last().unwrap());
            t.events[last].0 = at + to;
        })
    };
    let hard = cut(400_000);
    // Within the range, a cut pulse still stands for the wrong angle.
    let soft = cut(1_300_000);
    names(&hard, "pan: shortest pulse", at);
    names(&hard, "pan: pulse at rest = position", at);
    names(&soft, "pan: pulse at rest = position", at);
    let endless = servo(|t| {
        let last = *t.edges("pan.pulse", false).last().unwrap();
        t.remove(&[last]);
    });
    assert_eq!(broken(&endless), ["pan: low at the end"]);
}

#[test]
fn a_signal_before_the_first_target() {
    let mut at = 0;
    let report = servo(|t| {
        let first = t.at(t.edges("pan.pulse", true)[0]);
        // Pushed back, to make room.
        for event in &mut t.events {
            if event.0 > 0 {
                event.0 += 100_000_000;
            }
        }
        at = first;
        t.add(at, "pan.pulse", Value::High);
        t.add(at + 1_500_000, "pan.pulse", Value::Low);
        t.end += 100_000_000;
    });
    only(&report, "pan: signal begins in a move", at);
}

#[test]
fn a_lossy_recording_proves_nothing() {
    let config = config(STAGE);
    let vcd = Tape::record(STAGE, "go").vcd().replace("records lost: 0", "records lost: 2");
    let report = prove(&vcd, &config);
    assert!(!report.is_clean() && report.bounds.is_empty());
    assert_eq!(report.lost, 2);
    assert!(report.to_string().contains("lost 2 records"));
}

#[test]
fn traces_of_other_machines_are_refused() {
    let vcd = Tape::record(STAGE, "go").vcd();
    let refused =
        |config: &Config, vcd: &str| match verify(vcd.as_bytes(), config, &Options::default()) {
            Err(VerifyError::Mismatch(text)) => text,
            other => panic!("{other:?}"),
        };
    assert!(
        refused(&config(SERVO), &vcd).contains("`x.step`, a motor that the config does not have")
    );
    assert!(refused(&x_only(), &vcd).contains("`y.step`"));
    let mut bare = config(STAGE);
    axis(&mut bare, 1).enable = None;
    assert!(refused(&bare, &vcd).contains("`y.enable`, a signal that the config does not have"));
    let without = vcd.lines().filter(|l| !l.contains(" position ")).collect::<Vec<_>>().join("\n");
    let missing = without.lines().filter(|l| !l.starts_with('r')).collect::<Vec<_>>().join("\n");
    assert!(refused(&config(STAGE), &missing).contains("has no `x.position`"));
    let other = vcd.replace("$var wire 1 s1 dir", "$var real 64 s1 dir");
    assert!(refused(&config(STAGE), &other).contains("`x.dir` is of another kind"));
    let torn = &vcd[..vcd.len() / 2];
    let torn = format!("{torn}\n?\n");
    assert!(matches!(
        verify(torn.as_bytes(), &config(STAGE), &Options::default()),
        Err(VerifyError::Trace(_))
    ));
}
