//! Who owns a motor: what a program will still use is its own.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use lockstep::machine::{Machine, Move, MoveError, ProgramEnd, ProgramRun, ProgramTurn, RunResult};
use lockstep::units::Length;

use crate::verify_support::{STAGE, config, prove, vcd};

const MS: Duration = Duration::from_millis(1);

fn machine(programs: &str) -> Machine {
    let config = config(&format!("{STAGE}{programs}"));
    Machine::builder(config).virtual_time().trace(true).build().unwrap()
}

fn begin(machine: &mut Machine, name: &str) -> ProgramRun {
    let shared = machine.shared_config();
    ProgramRun::start(machine, &shared, name).unwrap()
}

/// Lets a program go on for so long, or to its end.
fn go_on(machine: &mut Machine, program: &mut ProgramRun, lasts: Duration) -> Option<ProgramEnd> {
    let until = machine.now() + lasts;
    while machine.now() < until {
        match program.poll(machine) {
            ProgramTurn::Wait(next) => machine.work(next.min(until)),
            ProgramTurn::Ended(end) => return Some(end),
        }
    }
    None
}

/// Its trace, proved; the marks of moves in it.
fn proved(mut machine: Machine) -> Vec<String> {
    machine.finish();
    let recording = machine.take_recording().unwrap();
    let text = vcd(&recording);
    let report = prove(&text, machine.config());
    assert!(report.is_clean(), "{report}");
    text.lines().filter_map(|l| Some(l.strip_prefix('s')?.split(' ').next()?.to_owned())).collect()
}

const LONG: &str = "[program.long]\nsteps = [ { move = { x = \"60mm\", y = \"45mm\" } }, \
    { move = { x = \"10mm\" } }, { pause = \"1s\" } ]\n";

/// What a program will still use is refused to others by its name, and free after its last use.
#[test]
fn a_programs_motors_are_its_own_up_to_their_last_use() {
    let mut machine = machine(LONG);
    let mut long = begin(&mut machine, "long");
    assert!(go_on(&mut machine, &mut long, 100 * MS).is_none());
    let to = |motor: &str, at| Move::new().to(motor, Length(at));
    // It moves: busy. Later, while only x moves, y is free again, and x is not.
    let refused = machine.start(&to("y", 1.0)).unwrap_err();
    assert!(matches!(&refused, MoveError::Busy { .. }), "{refused}");
    let mut free = None;
    for _ in 0..400 {
        assert!(go_on(&mut machine, &mut long, 10 * MS).is_none());
        if machine.position("y") == Some(45.0) && !machine.is_busy("y") {
            free = Some(machine.start(&to("y", 40.0)).unwrap());
            break;
        }
    }
    let refused = machine.start(&to("x", 1.0)).unwrap_err();
    assert!(matches!(&refused, MoveError::Busy { .. }), "{refused}");
    let end = go_on(&mut machine, &mut long, Duration::from_secs(60)).unwrap();
    assert_eq!(end.result, RunResult::Done);
    assert!(machine.wait(free.unwrap()).all_reached());
    let marks = proved(machine);
    for wanted in [
        "grammar:2",
        "1:aligned:x,y:program.long",
        "2:aligned:x:program.long",
        "3:aligned:y:client",
    ] {
        assert!(marks.iter().any(|m| m == wanted), "{wanted}: {marks:?}");
    }
}

/// While it pauses between its moves, a program's motor belongs to it all the same.
#[test]
fn a_program_that_pauses_keeps_what_it_will_move() {
    let text = "[program.p]\nsteps = [ { move = { x = \"5mm\" } }, { pause = \"2s\" }, { move = { x = \"0mm\" } } ]\n";
    let mut machine = machine(text);
    let mut p = begin(&mut machine, "p");
    assert!(go_on(&mut machine, &mut p, 1500 * MS).is_none());
    assert!(!machine.is_busy("x"));
    let refused = machine.start(&Move::new().to("x", Length(1.0))).unwrap_err();
    assert!(matches!(&refused, MoveError::Kept { program, .. } if program == "p"), "{refused}");
    // A second program that wants it is refused, too.
    let shared = machine.shared_config();
    assert!(ProgramRun::start(&mut machine, &shared, "go").is_err());
    let end = go_on(&mut machine, &mut p, Duration::from_secs(60)).unwrap();
    assert_eq!((end.result, machine.position("x")), (RunResult::Done, Some(0.0)));
    proved(machine);
}

/// A program that is dropped without an end keeps nothing.
#[test]
fn a_program_that_is_dropped_keeps_nothing() {
    let mut machine = machine(LONG);
    let long = begin(&mut machine, "long");
    assert!(machine.start(&Move::new().to("x", Length(1.0))).is_err());
    drop(long);
    let id = machine.start(&Move::new().to("x", Length(1.0))).unwrap();
    assert!(machine.wait(id).all_reached());
    proved(machine);
}
