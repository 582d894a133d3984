//! Steps of programs that wait for named events, and that trigger them.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use lockstep::machine::{Deed, Machine, ProgramRun, ProgramTurn, RunOptions, RunReport, RunResult};
use lockstep::units::Instant;

use crate::verify_support::config;

const MOTORS: &str = "[servo.pan]\npwm = { gpio = 12 }\n[servo.tilt]\npwm = { gpio = 13 }\n";

fn run(programs: &str, deeds: &[(u64, Deed)]) -> RunReport {
    let config = config(&format!("{MOTORS}{programs}"));
    let mut machine = Machine::builder(config).virtual_time().build().unwrap();
    let deeds = deeds.iter().map(|(ms, d)| (Duration::from_millis(*ms), d.clone())).collect();
    let options = RunOptions { deeds, ..RunOptions::default() };
    machine.run(Some("p"), options).unwrap()
}

fn trigger(name: &str) -> Deed {
    Deed::Trigger(name.to_owned())
}

fn angle(report: &RunReport, motor: usize) -> Option<f64> {
    report.motors[motor].position
}

const WAITS: &str = "[program.p]\nsteps = [\n\
    { wait-for = [\"door-open\", \"light\"], timeout = \"10s\" },\n\
    { move = { pan = \"30deg\" } } ]\n";

/// The step goes on with the last of its events, whenever they come.
#[test]
fn a_step_waits_for_all_of_its_events() {
    let report = run(WAITS, &[(2000, trigger("door-open")), (3500, trigger("light"))]);
    assert_eq!((report.result, angle(&report, 0)), (RunResult::Done, Some(30.0)));
    let after = report.duration - Duration::from_millis(3500);
    assert!(after < Duration::from_secs(1), "{:?}", report.duration);
    let report = run(WAITS, &[(3500, trigger("light")), (3500, trigger("door-open"))]);
    assert_eq!(report.result, RunResult::Done);
    assert!(report.duration > Duration::from_millis(3500));
}

/// One that times out has failed, with the names of those that did not come; `on-failure` says what
/// follows.
#[test]
fn a_wait_that_times_out_fails_its_step() {
    let report = run(WAITS, &[(2000, trigger("light"))]);
    assert_eq!((report.result, angle(&report, 0)), (RunResult::Failed, None));
    assert_eq!(report.duration, Duration::from_secs(10));
    let why = "the time ran out before the event `door-open` came";
    assert_eq!(report.complaints, [why]);
    let on = WAITS.replace("steps", "on-failure = \"continue\"\nsteps");
    let report = run(&on, &[]);
    assert_eq!((report.result, angle(&report, 0)), (RunResult::Failed, Some(30.0)));
    assert_eq!(report.complaints, ["the time ran out before the event `door-open`, `light` came"]);
}

/// A hold stops the clock of a wait with the rest of the program's; a stop ends it.
#[test]
fn a_wait_hears_hold_and_stop() {
    let held = [(9000, Deed::Hold), (30_000, Deed::Resume), (30_900, trigger("light"))];
    let mut deeds = held.to_vec();
    deeds.push((1000, trigger("door-open")));
    let report = run(WAITS, &deeds);
    assert_eq!(report.result, RunResult::Done);
    assert!(report.duration > Duration::from_millis(30_900));
    let report = run(WAITS, &held[..2]);
    assert_eq!(report.result, RunResult::Failed);
    assert_eq!(report.duration, Duration::from_secs(31));
    let report = run(WAITS, &[(1500, Deed::Stop)]);
    assert_eq!(report.result, RunResult::Stopped);
    assert_eq!(report.duration, Duration::from_millis(1500));
    assert!(report.complaints.is_empty());
}

/// What another branch triggers counts, and so does what motors and programs come to.
#[test]
fn branches_wait_for_each_other_for_motors_and_for_programs() {
    let both = "[program.p]\nsteps = [ { together = [\n\
        [ { move = { pan = \"30deg\" } }, { trigger = \"half\" }, { pause = \"1s\" } ],\n\
        [ { wait-for = [\"half\", \"pan.reached\"], timeout = \"20s\" }, { move = { tilt = \"10deg\" } } ] ] } ]\n";
    let report = run(both, &[]);
    assert_eq!((report.result, angle(&report, 1)), (RunResult::Done, Some(10.0)));
    let nested = "[program.nod]\nsteps = [ { move = { pan = \"30deg\" } }, { pause = \"2s\" } ]\n\
        [program.p]\nsteps = [ { together = [ [ { run = \"nod\" } ],\n\
        [ { wait-for = [\"program.nod.done\"], timeout = \"20s\" }, { move = { tilt = \"10deg\" } } ] ] } ]\n";
    let report = run(nested, &[]);
    assert_eq!(report.result, RunResult::Done);
    assert!(report.duration > Duration::from_secs(2));
    // An event from before is still there, but not for ever.
    let late = |pause: &str| {
        format!(
            "[program.p]\nsteps = [ {{ trigger = \"a\" }}, {{ pause = \"{pause}\" }},\n\
             {{ wait-for = [\"a\"], timeout = \"1s\" }} ]\n"
        )
    };
    assert_eq!(run(&late("9s"), &[]).result, RunResult::Done);
    assert_eq!(run(&late("11s"), &[]).result, RunResult::Failed);
}

/// A fault has a name, too.
#[test]
fn a_fault_is_an_event() {
    let text = "[program.p]\non-failure = \"continue\"\nsteps = [ { together = [\n\
        [ { move = { pan = \"30deg\" } } ],\n\
        [ { wait-for = [\"pan.fault\"], timeout = \"5s\" }, { move = { tilt = \"10deg\" } } ] ] } ]\n";
    let mut machine =
        Machine::builder(config(&format!("{MOTORS}{text}"))).virtual_time().build().unwrap();
    machine.inject_fault("pan", Duration::from_millis(20)).unwrap();
    let report = machine.run(Some("p"), RunOptions::default()).unwrap();
    assert_eq!((report.result, angle(&report, 1)), (RunResult::Failed, Some(10.0)));
}

/// The same from code: a program beside what triggers its events.
#[test]
fn programs_are_triggered_from_code() {
    let config = config(&format!("{MOTORS}{WAITS}"));
    let mut machine = Machine::builder(config).virtual_time().build().unwrap();
    let config = machine.shared_config();
    let mut program = ProgramRun::start(&mut machine, &config, "p").unwrap();
    let mut turns = 0;
    let end = loop {
        match program.poll(&mut machine) {
            ProgramTurn::Wait(until) => {
                turns += 1;
                if turns == 1 {
                    assert!(until < Instant::FAR, "the wait has an end");
                    assert_eq!(machine.trigger("door-open", "null").unwrap().completed, 0);
                    assert_eq!(machine.trigger("light", "{\"lux\":3}").unwrap().completed, 1);
                    assert_eq!(machine.events().collect::<Vec<_>>(), ["door-open", "light"]);
                } else {
                    machine.work(until);
                }
            }
            ProgramTurn::Ended(end) => break end,
        }
    };
    assert_eq!(end.result, RunResult::Done);
    assert!(machine.trigger("", "null").is_err());
}
