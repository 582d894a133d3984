//! Motors that turn round where they must not: in a jog, on a line, along a path, and after a hold or a stop.
//!
//! Each trace is good as it was recorded. It is spoiled with a detour at rest: some steps on, and the same steps
//! back. They keep every limit, and the count is right in the end.

use std::time::Duration;

use lockstep::config::Config;
use lockstep::machine::{Deed, Jog, Machine, Move, RunOptions};
use lockstep::trace::Value;
use lockstep::units::{Angle, AngularSpeed, Length, Speed};
use lockstep::verify::{Options, Report, VerifyError, verify};

use crate::verify_support::*;

const MS: Duration = Duration::from_millis(1);

/// A step every so many nanoseconds keeps every limit of the stage.
const SLOW: u64 = 40_000_000;

fn machine(text: &str) -> Machine {
    Machine::builder(config(text)).virtual_time().trace(true).build().unwrap()
}

/// The trace of what was done, which is good.
fn good(mut machine: Machine) -> (Tape, Config) {
    machine.finish();
    let tape = Tape::of(&machine.take_recording().unwrap());
    let config = machine.config().clone();
    let report = tape.prove(&config);
    assert!(report.is_clean(), "{report}");
    (tape, config)
}

/// A jog of x, renewed after these times with these speeds.
fn jogged(renewals: &[(u32, f64)]) -> (Tape, Config) {
    let mut machine = machine(&STAGE.replace("assume = \"0mm\"", "assume = \"100mm\""));
    let id = machine.jog(&Jog::lasting(1000 * MS).at("x", Speed(10.0))).unwrap();
    for &(after, speed) in renewals {
        machine.run_for(after * MS);
        machine.change_jog(id, &Jog::lasting(1000 * MS).at("x", Speed(speed))).unwrap();
    }
    assert!(machine.wait(id).all_reached());
    let (tape, config) = good(machine);
    (tape.in_grammar_1(), config)
}

/// The texts of `machine.move`, with their places in the tape.
fn marks(tape: &Tape) -> Vec<(usize, String)> {
    let text = |i: usize| match &tape.events[i].2 {
        Value::Text(text) => (i, text.to_string()),
        other => panic!("{other:?}"),
    };
    tape.of_signal("machine.move").into_iter().map(text).collect()
}

/// The mark that ends with that, but for its owner.
fn mark(tape: &Tape, end: &str) -> usize {
    let owned = format!("{end}:");
    let found = marks(tape).into_iter().find(|(_, t)| t.ends_with(end) || t.contains(&owned));
    found.map(|m| m.0).unwrap()
}

/// What comes at `at` or after it comes later by so much. Nothing is under way then.
fn push_back(tape: &mut Tape, at: u64, by: u64) {
    tape.events.iter_mut().filter(|e| e.0 >= at).for_each(|e| e.0 += by);
    tape.end += by;
}

/// Before `at`: `n` steps of `motor` in the direction that it has, and `n` steps back. Says when it turns.
fn detour(tape: &mut Tape, motor: &str, at: u64, n: u64) -> u64 {
    let (step, dir) = (format!("{motor}.step"), format!("{motor}.dir"));
    let levels = tape.of_signal(&dir);
    let now = levels.iter().rfind(|&&i| tape.at(i) < at).map(|&i| tape.events[i].2.clone());
    let other = if now == Some(Value::High) { Value::Low } else { Value::High };
    push_back(tape, at, (2 * n + 2) * SLOW);
    let mut turn = 0;
    for k in 1..=2 * n {
        let rise = at + k * SLOW;
        tape.add(rise, &step, Value::High);
        tape.add(rise + 2_000, &step, Value::Low);
        if k == n {
            tape.add(rise + SLOW / 2, &dir, other.clone());
            turn = rise + SLOW;
        }
    }
    tape.add(at + 2 * n * SLOW + SLOW / 2, &dir, now.unwrap());
    turn
}

/// This rule alone is broken, at this instant first.
#[track_caller]
fn only(report: &Report, bound: &str, at: u64) {
    assert_eq!(broken(report), [bound], "{report}");
    let found = report.broken().next().unwrap();
    assert_eq!(found.first[0].at.as_nanos(), at, "{report}");
}

#[test]
fn a_jog_that_turns_at_its_end() {
    let (mut tape, config) = jogged(&[]);
    let end = tape.at(mark(&tape, ":ended"));
    let turn = detour(&mut tape, "x", end, 16);
    let report = tape.prove(&config);
    only(&report, "x: one way", turn);
    assert!(report.to_string().contains("x: one way at"), "{report}");
    assert!(report.to_string().contains(": turns round; required: yes"), "{report}");
}

/// A renewal with the same mark may be one in the other direction, but then it brakes from there on.
#[test]
fn a_renewed_jog_that_turns_at_its_end() {
    let (tape, config) = jogged(&[(200, 10.0), (500, 20.0)]);
    assert_eq!(marks(&tape).iter().filter(|m| m.1.ends_with(":renew:x")).count(), 2);
    let end = tape.at(mark(&tape, ":ended"));
    let mut spoiled = tape.clone();
    let turn = detour(&mut spoiled, "x", end, 16);
    only(&spoiled.prove(&config), "x: one way", turn);
    // One that was asked for is fine, another one after it is not.
    for speeds in [[-12.0, -15.0], [-50.0, -20.0], [20.0, -1.0]] {
        let (mut tape, config) = jogged(&[(200, speeds[0]), (500, speeds[1])]);
        let end = tape.at(mark(&tape, ":ended"));
        let turn = detour(&mut tape, "x", end, 3);
        only(&tape.prove(&config), "x: one way", turn);
    }
}

/// Grammar 2 tells a turn from a renewal.
#[test]
fn marks_tell_a_turn_from_a_renewal() {
    let (tape, config) = jogged(&[(200, -10.0)]);
    let second = |word: &str| {
        let mut tape = tape.clone();
        for (i, text) in marks(&tape) {
            let text = match text.as_str() {
                "1:jog:x" => "1:jog:x:client".to_owned(),
                "1:renew:x" => format!("1:{word}:x"),
                text => text.to_owned(),
            };
            tape.events[i].2 = Value::Text(text.into());
        }
        tape.add(0, "machine.move", Value::Text("grammar:2".into()));
        tape
    };
    let report = second("turn").prove(&config);
    assert!(report.is_clean(), "{report}");
    let report = second("renew").prove(&config);
    assert_eq!(broken(&report), ["x: one way"], "{report}");
    // One turn, and no more.
    let mut twice = second("turn");
    let end = twice.at(mark(&twice, ":ended"));
    let turn = detour(&mut twice, "x", end, 3);
    only(&twice.prove(&config), "x: one way", turn);
}

/// A run of both axes, held and resumed on the way.
fn held(arrive: &str, deeds: &[(u32, Deed)]) -> (Tape, Config) {
    let program = format!(
        "[program.held]\nsteps = [ {{ move = {{ x = \"60mm\", y = \"45mm\" }}, arrive = \"{arrive}\" }} ]\n"
    );
    let text = format!("{STAGE}{program}");
    let mut machine = machine(&text);
    let deeds = deeds.iter().map(|(at, deed)| (*at * MS, deed.clone())).collect();
    let options = RunOptions { deeds, ..RunOptions::default() };
    machine.run(Some("held"), options).unwrap();
    good(machine)
}

#[test]
fn a_hold_that_turns() {
    for arrive in ["aligned", "asap"] {
        let (tape, config) = held(arrive, &[(500, Deed::Hold), (1500, Deed::Resume)]);
        for motor in ["x", "y"] {
            let mut spoiled = tape.clone();
            let at = spoiled.at(mark(&tape, ":held"));
            let turn = detour(&mut spoiled, motor, at, 2);
            let report = spoiled.prove(&config);
            let bound = format!("{motor}: one way");
            assert!(broken(&report).contains(&bound), "{report}");
            let found = report.bounds.iter().find(|b| b.motor == motor && b.name == "one way");
            assert_eq!(found.unwrap().first[0].at.as_nanos(), turn);
            assert!(report.to_string().contains("turns round instead of coming to rest"));
        }
    }
}

#[test]
fn a_motor_that_moves_while_it_is_held() {
    let (mut tape, config) = held("asap", &[(500, Deed::Hold), (1500, Deed::Resume)]);
    let at = tape.at(mark(&tape, ":held")) + 1;
    let turn = detour(&mut tape, "x", at, 2);
    let report = tape.prove(&config);
    assert_eq!(broken(&report), ["x: one way", "x: still while held"], "{report}");
    let still = report.broken().find(|b| b.name == "still while held").unwrap();
    assert_eq!((still.count, still.first[0].at.as_nanos()), (4, turn - 2 * SLOW));
}

#[test]
fn a_stop_that_turns() {
    for arrive in ["aligned", "asap"] {
        let (mut tape, config) = held(arrive, &[(500, Deed::Stop)]);
        let at = tape.at(mark(&tape, ":ended"));
        let turn = detour(&mut tape, "x", at, 1);
        let report = tape.prove(&config);
        let found = report.bounds.iter().find(|b| b.motor == "x" && b.name == "one way").unwrap();
        assert_eq!((found.count, found.first[0].at.as_nanos()), (1, turn), "{report}");
    }
}

/// Both motors of a line go back by as much: they never leave it.
#[test]
fn a_line_that_goes_back() {
    let (mut tape, config) = held("aligned", &[(500, Deed::Hold), (1500, Deed::Resume)]);
    let at = tape.at(mark(&tape, ":held"));
    let before = tape.events.clone();
    detour(&mut tape, "x", at, 1);
    assert!(before.len() < tape.events.len());
    let report = tape.prove(&config);
    // Within a step of the line.
    assert_eq!(broken(&report), ["x: one way"], "{report}");
}

/// A move to elsewhere may turn; one that was told to hold while it turns has to.
#[test]
fn turns_that_were_asked_for_are_fine() {
    for after in (350..450).step_by(3) {
        let mut machine = machine(STAGE);
        let id = machine.start(&Move::new().to("x", Length(60.0))).unwrap();
        machine.run_for(300 * MS);
        machine.retarget(id, &Move::new().to("x", Length(0.0))).unwrap();
        machine.run_for((after - 300) * MS);
        machine.hold();
        machine.run_for(1000 * MS);
        machine.resume();
        machine.wait(id);
        good(machine);
    }
}

const PATH: &str = r#"
[program.path]
steps = [
  { move = { x = "60mm", y = "0mm" }, blend = "0.5mm" },
  { move = { x = "60mm", y = "60mm" }, blend = "0.5mm" },
  { move = { x = "0mm", y = "60mm" } },
]
"#;

/// A blended run that goes back by less than its blend, after a hold and after a stop.
#[test]
fn a_path_that_goes_back() {
    for (deeds, end) in [
        (vec![(150, Deed::Hold), (1500, Deed::Resume)], ":held"),
        (vec![(150, Deed::Stop)], ":ended"),
    ] {
        let mut machine = machine(&format!("{STAGE}{PATH}"));
        let deeds = deeds.into_iter().map(|(at, deed)| (at * MS, deed)).collect();
        let options = RunOptions { deeds, ..RunOptions::default() };
        machine.run(Some("path"), options).unwrap();
        let (mut tape, config) = good(machine);
        assert!(
            marks(&tape).iter().any(|m| m.1 == "1:blend:x,y:program.path"),
            "{:?}",
            marks(&tape)
        );
        let at = tape.at(mark(&tape, end));
        let turn = detour(&mut tape, "x", at, 8);
        only(&tape.prove(&config), "machine: off the blended path", turn);
    }
}

/// A servo's pulses tell, too.
#[test]
fn a_servo_that_turns_in_a_jog() {
    let mut machine = machine(SERVO);
    let id = machine.start(&Move::new().to("pan", Angle(-45.0))).unwrap();
    machine.wait(id);
    let id = machine.jog(&Jog::lasting(500 * MS).at("pan", AngularSpeed(30.0))).unwrap();
    assert!(machine.wait(id).all_reached());
    let (tape, config) = good(machine);
    // The pulses before the last are longer than it: by half a degree and less.
    let begin = tape.at(marks(&tape).iter().find(|m| m.1 == "2:jog:pan:client").unwrap().0);
    let end = tape.at(marks(&tape).iter().find(|m| m.1 == "2:ended").unwrap().0);
    let in_jog = |i: &usize| tape.at(*i) > begin && tape.at(*i) < end;
    let falls: Vec<_> = tape.edges("pan.pulse", false).into_iter().filter(in_jog).collect();
    let mut spoiled = tape.clone();
    let second_last = falls[falls.len() - 2];
    spoiled.events[second_last].0 += 5_000;
    let report = spoiled.prove(&config);
    assert!(broken(&report).contains(&"pan: one way".to_owned()), "{report}");
}

#[test]
fn marks_that_say_nothing() {
    let (tape, config) = jogged(&[]);
    for (text, why) in [
        ("1:jig:x", "a move has no such word"),
        ("1:hold:w", "the config has no motor `w`"),
        ("grammar:2", "it stands at time zero, before all others"),
    ] {
        let mut tape = tape.clone();
        let at = tape.at(mark(&tape, ":ended")) + 5;
        tape.add(at, "machine.move", Value::Text(text.into()));
        let report = tape.prove(&config);
        only(&report, "machine: marks that say what they mean", at);
        assert!(report.to_string().contains(why), "{report}");
    }
    // Words that are kept for what comes are passed over.
    for text in ["1:frame:3", "1:phase:latch", "input:stop:on", "output:lamp", "machine:held"] {
        let mut tape = tape.clone();
        tape.add(tape.end, "machine.move", Value::Text(text.into()));
        let report = tape.prove(&config);
        assert!(report.is_clean(), "{report}");
    }
}

/// A motor may join a jog on its way, and then keeps its direction, too.
#[test]
fn a_motor_that_joins_a_jog() {
    let mut machine = machine(&STAGE.replace("assume = \"0mm\"", "assume = \"100mm\""));
    let short = machine.jog(&Jog::lasting(600 * MS).at("x", Speed(10.0))).unwrap();
    machine.run_for(300 * MS);
    let long = machine.jog(&Jog::lasting(800 * MS).at("y", Speed(10.0))).unwrap();
    machine.wait(short);
    machine.wait(long);
    let (mut tape, config) = good(machine);
    // As one move, which y joins.
    let (joins, end) = (mark(&tape, "2:jog:y"), mark(&tape, "2:ended"));
    tape.events[joins].2 = Value::Text("1:join:y".into());
    tape.events[end].2 = Value::Text("1:ended".into());
    let first = mark(&tape, "1:ended");
    tape.remove(&[first]);
    let report = tape.prove(&config);
    assert!(report.is_clean() && report.notes.is_empty(), "{report}");
    let mut spoiled = tape.clone();
    let at = tape.at(mark(&tape, "1:ended"));
    let turn = detour(&mut spoiled, "y", at, 2);
    only(&spoiled.prove(&config), "y: one way", turn);
    // Whoever joins nothing is in no move.
    let mut other = tape.clone();
    let joins = mark(&tape, ":join:y");
    other.events[joins].2 = Value::Text("3:join:y".into());
    let report = other.prove(&config);
    assert!(broken(&report).contains(&"y: steps in moves alone".to_owned()), "{report}");
}

/// In grammar 2 a move has motors and an owner; a later grammar is refused.
#[test]
fn grammars() {
    let (tape, config) = jogged(&[]);
    let of = |grammar: &str| {
        let mut tape = tape.clone();
        tape.add(0, "machine.move", Value::Text(grammar.into()));
        verify(tape.vcd().as_bytes(), &config, &Options::default())
    };
    let report = of("grammar:2").unwrap();
    let begins = tape.at(mark(&tape, ":jog:x"));
    only(&report, "machine: marks that say what they mean", begins);
    assert!(report.to_string().contains("grammar 2 names a move's motors and its owner"));
    assert!(of("grammar:1").unwrap().is_clean());
    match of("grammar:3") {
        Err(error @ VerifyError::Grammar(3)) => {
            assert!(error.to_string().contains("use the one that wrote it"));
        }
        other => panic!("{other:?}"),
    }
}
