//! Blended runs in virtual time, judged by the checker from their edges alone.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use crate::verify_support::{STAGE, config, prove, vcd};
use lockstep::config::Config;
use lockstep::machine::{BlendedPath, Cause, Machine, MoveError, Outcome, RunOptions, RunResult};
use lockstep::trace::{Recording, Value};
use lockstep::units::{Angle, Length};
use lockstep::verify::Report;

fn verified(recording: &Recording, config: &Config) -> Report {
    prove(&vcd(recording), config)
}

/// The stage with another program `p`.
fn stage(steps: &str) -> Config {
    config(&format!("{STAGE}\n[program.p]\nsteps = [ {steps} ]\n"))
}

fn square(blend: &str) -> String {
    let to = |x: u32, y: u32, blend: &str| {
        format!("{{ move = {{ x = \"{x}mm\", y = \"{y}mm\" }}{blend} }},")
    };
    let b = format!(", blend = \"{blend}\"");
    [to(20, 0, &b), to(20, 20, &b), to(0, 20, &b), to(0, 0, "")].concat()
}

/// A run of a program, with its trace and what the checker says of it.
fn run(config: &Config, program: &str) -> (Machine, Recording, Report, f64) {
    let mut machine = Machine::builder(config.clone()).virtual_time().trace(true).build().unwrap();
    let done = machine.run(Some(program), RunOptions::default()).unwrap();
    assert_eq!(done.result, RunResult::Done, "{done:?}");
    let recording = machine.take_recording().unwrap();
    let report = verified(&recording, config);
    (machine, recording, report, done.duration.as_secs_f64())
}

fn texts(recording: &Recording) -> Vec<String> {
    let signal = recording.find("machine.move").unwrap();
    let text = |value: Value| match value {
        Value::Text(text) => text.to_string(),
        other => panic!("{other:?}"),
    };
    recording.records(signal).map(|r| text(r.1)).collect()
}

fn bound<'r>(report: &'r Report, name: &str) -> &'r lockstep::verify::Bound {
    report.bounds.iter().find(|b| b.name == name).unwrap_or_else(|| panic!("no {name}"))
}

fn assert_clean(report: &Report) {
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_blended_square_is_one_run_near_its_corners_and_quicker() {
    let rests = run(&stage(&square("1um").replace(", blend = \"1um\"", "")), "p").3;
    for (blend, share) in [("0.1mm", 1.0), ("1mm", 0.95), ("5mm", 0.8)] {
        let (machine, recording, report, took) = run(&stage(&square(blend)), "p");
        assert_clean(&report);
        assert_eq!(bound(&report, "off the blended path").count, 0);
        assert_eq!((machine.position("x"), machine.position("y")), (Some(0.0), Some(0.0)));
        assert!(took < share * rests, "{blend}: {took} s, with rests {rests} s");
        let told = texts(&recording);
        assert_eq!(told[..2], ["grammar:2", "1:blend:x,y:program.p"]);
        let corners: Vec<_> = told.iter().filter(|t| t.starts_with("1:corner:")).collect();
        assert_eq!(corners.len(), 4, "{told:?}");
        assert!(
            corners[0].ends_with(":20,0") && corners[3].ends_with("corner:0:0,0"),
            "{corners:?}"
        );
        assert_eq!(told.last().unwrap(), "1:ended");
    }
}

#[test]
fn a_run_goes_through_repeat_and_run_and_stops_at_what_is_no_move() {
    let text = format!(
        "{STAGE}
[program.p]
steps = [
  {{ repeat = 3, steps = [ {{ run = \"tooth\" }}, {{ move = {{ y = \"1mm\" }}, blend = \"0.05mm\" }} ] }},
  {{ move = {{ x = \"9mm\" }}, blend = \"0.05mm\" }},
  {{ pause = \"50ms\" }},
  {{ move = {{ x = \"12mm\" }}, blend = \"0.05mm\" }},
  {{ move = {{ x = \"13mm\" }}, arrive = \"asap\" }},
  {{ move = {{ x = \"14mm\" }} }},
]
[program.tooth]
steps = [
  {{ move = {{ x = \"3mm\" }}, blend = \"0.05mm\" }},
  {{ move = {{ y = \"3mm\" }}, blend = \"0.05mm\", speed = \"50%\" }},
]
"
    );
    let (machine, recording, report, _) = run(&config(&text), "p");
    assert_clean(&report);
    assert_eq!((machine.position("x"), machine.position("y")), (Some(14.0), Some(1.0)));
    let told = texts(&recording);
    let kinds: Vec<_> = told
        .iter()
        .filter(|t| ["blend", "asap", "aligned"].iter().any(|k| t.split(':').nth(1) == Some(k)))
        .cloned()
        .collect();
    assert_eq!(
        kinds,
        [
            "1:blend:x,y:program.p",
            "2:blend:x:program.p",
            "3:asap:x:program.p",
            "4:aligned:x:program.p"
        ]
    );
    // Ten moves in the first run; the second one rests where the pause and the other way begin.
    assert_eq!(told.iter().filter(|t| t.starts_with("1:corner")).count(), 10);
    assert_eq!(told.iter().filter(|t| t.starts_with("2:corner")).count(), 1);
}

#[test]
fn servos_blend_once_they_have_a_signal() {
    let text = "
[servo.pan]
pwm = { gpio = 12 }
max-speed = \"120deg/s\"
max-acceleration = \"480deg/s^2\"
max-jerk = \"4800deg/s^3\"
[servo.tilt]
pwm = { gpio = 13 }
max-speed = \"120deg/s\"
max-acceleration = \"480deg/s^2\"
max-jerk = \"4800deg/s^3\"
[program.p]
steps = [
  { move = { pan = \"0deg\", tilt = \"0deg\" }, blend = \"2deg\" },
  { move = { pan = \"40deg\", tilt = \"0deg\" }, blend = \"2deg\" },
  { move = { pan = \"40deg\", tilt = \"40deg\" }, blend = \"2deg\" },
  { move = { pan = \"0deg\", tilt = \"30deg\" } },
]
";
    let (machine, recording, report, _) = run(&config(text), "p");
    assert_clean(&report);
    assert_eq!((machine.position("pan"), machine.position("tilt")), (Some(0.0), Some(30.0)));
    let told = texts(&recording);
    assert!(told.iter().any(|t| t == "1:aligned:pan,tilt:program.p"), "{told:?}");
    assert!(told.iter().any(|t| t == "2:blend:pan,tilt:program.p"), "{told:?}");
}

/// A star of short segments, to be run for some seconds.
fn star(count: u32) -> BlendedPath {
    let mut path = BlendedPath::new(Length(0.2));
    for k in 1..=count {
        let angle = f64::from(k) * 0.05;
        let radius = 20.0 + 5.0 * (5.0 * angle).sin();
        path = path.to(&[
            ("x", Length(30.0 + radius * angle.cos())),
            ("y", Length(40.0 + radius * angle.sin())),
        ]);
    }
    path
}

#[test]
fn hold_resume_override_and_stop_keep_to_the_path() {
    let config = config(STAGE);
    for (n, wait) in [3, 57, 211, 400, 650, 900, 1234, 1900, 2500].into_iter().enumerate() {
        let mut machine =
            Machine::builder(config.clone()).virtual_time().trace(true).build().unwrap();
        let id = machine.start_path(&star(120)).unwrap();
        machine.run_for(Duration::from_millis(wait));
        machine.hold();
        let held = machine.wait_held(id);
        assert!(held.is_some(), "{wait} ms");
        let at = (machine.position("x"), machine.position("y"));
        machine.run_for(Duration::from_millis(500));
        assert_eq!((machine.position("x"), machine.position("y")), at, "it rests");
        machine.set_override(if n % 2 == 0 { 40.0 } else { 150.0 }).unwrap();
        machine.resume();
        machine.run_for(Duration::from_millis(150));
        machine.hold();
        machine.run_for(Duration::from_millis(20));
        machine.resume();
        machine.run_for(Duration::from_millis(300));
        machine.set_override(100.0).unwrap();
        if n % 3 == 2 {
            machine.run_for(Duration::from_millis(77));
            machine.stop_move(id);
            let end = machine.wait(id);
            let short = |o: &Outcome| matches!(o, Outcome::Short { cause: Cause::Stopped, .. });
            assert!(end.motors.iter().any(|m| short(&m.outcome)), "{end:?}");
        } else {
            assert!(machine.wait(id).all_reached());
        }
        machine.finish();
        let report = verified(&machine.take_recording().unwrap(), &config);
        assert_clean(&report);
    }
}

#[test]
fn an_open_path_rests_where_it_starves_and_goes_on() {
    let config = config(STAGE);
    let mut machine = Machine::builder(config.clone()).virtual_time().trace(true).build().unwrap();
    let to =
        |x: f64, y: f64| BlendedPath::new(Length(0.1)).to(&[("x", Length(x)), ("y", Length(y))]);
    let id = machine.start_path(&to(10.0, 0.0).to(&[("y", Length(10.0))]).open()).unwrap();
    assert!(machine.path_wants(id));
    machine.run_for(Duration::from_secs(8));
    // All that it has, and no time-out while it waits.
    assert_eq!((machine.position("x"), machine.position("y")), (Some(10.0), Some(10.0)));
    machine.extend_path(id, &to(0.0, 10.0)).unwrap();
    machine.run_for(Duration::from_millis(300));
    machine.extend_path(id, &to(0.0, 0.0)).unwrap();
    machine.end_path(id).unwrap();
    assert!(!machine.path_wants(id));
    assert_eq!(machine.extend_path(id, &to(1.0, 1.0)), Err(MoveError::NotOpen { id }));
    assert!(machine.wait(id).all_reached());
    assert_eq!((machine.position("x"), machine.position("y")), (Some(0.0), Some(0.0)));
    machine.finish();
    assert_clean(&verified(&machine.take_recording().unwrap(), &config));
}

#[test]
fn what_is_no_path_is_refused_and_nothing_moves() {
    let servo = "[servo.pan]\npwm = { gpio = 12 }\n";
    let config = config(&format!("{STAGE}{servo}"));
    let mut machine = Machine::builder(config).virtual_time().build().unwrap();
    let x = |to: f64| BlendedPath::new(Length(0.1)).to(&[("x", Length(to))]);
    let refused = |machine: &mut Machine, path: &BlendedPath| machine.start_path(path).unwrap_err();
    assert_eq!(refused(&mut machine, &BlendedPath::new(Length(0.1))), MoveError::Empty);
    assert!(matches!(refused(&mut machine, &x(500.0)), MoveError::OutsideTravel { .. }));
    assert!(matches!(
        refused(&mut machine, &x(5.0).speed(0.0).to(&[("x", Length(1.0))])),
        MoveError::Speed { .. }
    ));
    let pan = x(5.0).to(&[("pan", Angle(5.0))]);
    assert!(matches!(refused(&mut machine, &pan), MoveError::WrongUnit { .. }));
    let pan = BlendedPath::new(Angle(1.0)).to(&[("pan", Angle(5.0))]);
    assert!(matches!(refused(&mut machine, &pan), MoveError::NoSignal { .. }));
    let negative = BlendedPath::new(Length(-1.0)).to(&[("x", Length(1.0))]);
    assert!(matches!(refused(&mut machine, &negative), MoveError::Path(_)));
    let id = machine.start_path(&x(5.0).open()).unwrap();
    let y = BlendedPath::new(Length(0.1)).to(&[("y", Length(1.0))]);
    assert!(matches!(machine.extend_path(id, &y), Err(MoveError::NotInPath { .. })));
    assert!(matches!(refused(&mut machine, &x(1.0)), MoveError::Busy { .. }));
    let elsewhere = lockstep::machine::Move::new().to("x", Length(1.0));
    assert_eq!(machine.retarget(id, &elsewhere), Err(MoveError::Blended { id }));
    machine.end_path(id).unwrap();
    assert!(machine.wait(id).all_reached());
}

#[test]
fn a_repetition_of_one_place_is_no_run_without_end() {
    let steps = "{ repeat = \"forever\", steps = [ { move = { x = \"5mm\" }, blend = \"1mm\" } ] }";
    let config = stage(steps);
    let mut machine = Machine::builder(config).virtual_time().build().unwrap();
    let limit = RunOptions { duration: Some(Duration::from_secs(3)), ..RunOptions::default() };
    let report = machine.run(Some("p"), limit).unwrap();
    assert_eq!(report.result, RunResult::Done);
    assert_eq!(machine.position("x"), Some(5.0));
}

#[test]
fn a_run_for_ever_is_streamed() {
    let steps = format!(
        "{{ repeat = \"forever\", steps = [ {} ] }}",
        square("0.5mm").replace(" } },", " }, blend = \"0.5mm\" },")
    );
    let config = stage(&steps);
    let mut machine = Machine::builder(config.clone()).virtual_time().trace(true).build().unwrap();
    let limit = RunOptions { duration: Some(Duration::from_secs(20)), ..RunOptions::default() };
    machine.run(Some("p"), limit).unwrap();
    let recording = machine.take_recording().unwrap();
    let told = texts(&recording);
    assert_eq!(told.iter().filter(|t| t.contains(":blend:")).count(), 1, "one run");
    assert_clean(&verified(&recording, &config));
}

#[test]
fn what_a_program_will_take_is_known_before() {
    let steps = format!(
        "{{ move = {{ x = \"3mm\", y = \"4mm\" }} }}, {} {{ pause = \"100ms\" }},
         {{ repeat = 7, steps = [ {} ] }}, {{ move = {{ x = \"8mm\" }} }}",
        square("0.3mm"),
        square("0.3mm").replace(" } },", " }, blend = \"0.3mm\" },"),
    );
    let config = stage(&steps);
    let ahead = lockstep::machine::preflight(&config, "p");
    assert_eq!(ahead.problems, []);
    let took = run(&config, "p").3;
    let expected = ahead.duration.unwrap().as_secs_f64();
    assert!((took / expected - 1.0).abs() < 0.02, "{took} s, expected {expected} s");
    // 8 squares of 80 mm, each corner cut a little, and the way there.
    let x = ahead.usage[0];
    assert!((x.distance - (8.0 * 40.0 + 3.0 + 3.0 + 8.0)).abs() < 8.0, "{x:?}");
    assert!(x.speed_share > 0.9 && x.speed_share <= 1.0 + 1e-6, "{x:?}");
}
