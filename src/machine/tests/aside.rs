//! A held program's motors are moved by others: its move steps aside, and comes back before it goes on.

use std::time::Duration;

use super::super::{Jog, Machine, Move, MoveError, ProgramEnd, ProgramRun, ProgramTurn, RunResult};
use crate::config::Config;
use crate::moves::IfBusy;
use crate::units::{Length, Speed};
use crate::verify::{Options, verify};

const MS: Duration = Duration::from_millis(1);

fn axis(name: &str, pins: [u8; 2], more: &str) -> String {
    format!(
        "[axis.{name}]\nstep = {{ gpio = {} }}\ndir = {{ gpio = {} }}\ndriver = \"drv8825\"\n\
         steps-per-revolution = 200\nmicrosteps = 16\ndistance-per-revolution = \"8mm\"\n\
         travel = {{ min = \"0mm\", max = \"200mm\" }}\nmax-speed = \"50mm/s\"\n\
         max-acceleration = \"500mm/s^2\"\nmax-jerk = \"5000mm/s^3\"\nat-start = {{ assume = \"0mm\" }}\n{more}",
        pins[0], pins[1]
    )
}

fn machine(steps: &str, more: &str) -> Machine {
    let text = format!(
        "{}{}[servo.pan]\npwm = {{ gpio = 12 }}\n[program.p]\nsteps = [ {steps} ]\n",
        axis("x", [17, 27], more),
        axis("y", [23, 24], "")
    );
    let config = Config::from_str(&text, "test").unwrap().config;
    Machine::builder(config).virtual_time().trace(true).build().unwrap()
}

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

fn begin(machine: &mut Machine) -> ProgramRun {
    let shared = machine.shared_config();
    ProgramRun::start(machine, &shared, "p").unwrap()
}

fn prove(mut machine: Machine) {
    machine.finish();
    let mut file = Vec::new();
    machine.take_recording().unwrap().write_vcd(&mut file, "test").unwrap();
    let report = verify(&file[..], machine.config(), &Options::default()).unwrap();
    assert!(report.is_clean(), "{report}");
}

const LINE: &str = "{ move = { x = \"60mm\", y = \"45mm\" } }, { move = { x = \"10mm\" } }";

/// Held anywhere on its way, its motors jogged and moved, it goes on to its end, exactly.
#[test]
fn it_goes_back_and_then_to_its_end() {
    let frames = "{ keyframes = [ { at = \"0s\", x = \"0mm\", pan = \"0deg\" }, \
        { at = \"2s\", x = \"30mm\", pan = \"20deg\" }, { at = \"4s\", x = \"10mm\", pan = \"-20deg\" } ] }, \
        { move = { y = \"45mm\" } }";
    let asap = "{ move = { x = \"10mm\", y = \"45mm\" }, arrive = \"asap\" }";
    for (steps, more) in [(LINE, ""), (LINE, "backlash = \"0.2mm\"\n"), (frames, ""), (asap, "")] {
        for held_at in [0, 3, 60, 400, 900, 1700, 2600] {
            for by_program in [false, true] {
                let mut machine = machine(steps, more);
                let mut p = begin(&mut machine);
                if go_on(&mut machine, &mut p, held_at * MS).is_some() {
                    continue;
                }
                let x = machine.config().motor_index("x").unwrap();
                machine.hold_those(if by_program { std::slice::from_ref(&x) } else { &[] });
                go_on(&mut machine, &mut p, 2000 * MS);
                let before = machine.position("y");
                let jog = machine.jog_order(&Jog::lasting(300 * MS).at("x", Speed(20.0))).unwrap();
                let jog = machine.ask(jog, IfBusy::Refuse, None).unwrap();
                go_on(&mut machine, &mut p, 2000 * MS);
                assert!(!machine.is_under_way(jog), "the jog is over");
                assert!(machine.position("x").unwrap() > 4.0);
                assert_eq!(machine.position("y"), before, "nothing else moves");
                if by_program {
                    let order = machine.order(&Move::new().to("x", Length(2.0))).unwrap();
                    let id = machine.ask(order, IfBusy::Refuse, None).unwrap();
                    go_on(&mut machine, &mut p, 4000 * MS);
                    assert!(!machine.is_under_way(id));
                    assert_eq!(machine.position("x"), Some(2.0));
                }
                let busy = machine.ask(
                    machine.jog_order(&Jog::lasting(100 * MS).at("x", Speed(5.0))).unwrap(),
                    IfBusy::Refuse,
                    None,
                );
                assert!(busy.is_ok());
                // While a motor of it moves, it can't go on.
                let refused = machine.resume_those(&[]);
                assert!(matches!(refused, Err(MoveError::Busy { .. })), "{held_at}: {refused:?}");
                go_on(&mut machine, &mut p, 2000 * MS);
                machine.resume_those(&[]).unwrap();
                let end = go_on(&mut machine, &mut p, Duration::from_secs(60));
                let end = end.unwrap_or_else(|| panic!("{steps} held at {held_at} ms never ends"));
                assert_eq!(end.result, RunResult::Done, "{held_at}: {end:?}");
                let (x, y) = (machine.position("x"), machine.position("y"));
                assert_eq!((x, y), (Some(10.0), Some(45.0)), "{steps} held at {held_at} ms");
                prove(machine);
            }
        }
    }
}

/// Where x was held, by the hold of the program's other motor or of all, and jogged away.
fn held_and_jogged(steps: &str, held_at: u64) -> (Machine, ProgramRun, f64) {
    let mut machine = machine(steps, "");
    let mut p = begin(&mut machine);
    assert!(
        go_on(&mut machine, &mut p, Duration::from_millis(held_at)).is_none(),
        "{steps} at {held_at} ms"
    );
    machine.hold_those(&[]);
    go_on(&mut machine, &mut p, 2000 * MS);
    let left = machine.position("x").unwrap();
    let jog = machine.jog_order(&Jog::lasting(500 * MS).at("x", Speed(20.0))).unwrap();
    machine.ask(jog, IfBusy::Refuse, None).unwrap();
    go_on(&mut machine, &mut p, 2000 * MS);
    assert!(machine.position("x").unwrap() > left + 5.0, "{steps} at {held_at} ms");
    (machine, p, left)
}

/// The steps of these programs, and when they are held: in a pause; between two moves, which is before the first and right
/// after one; after an `asap` motor has arrived; with one branch in a pause.
const BETWEEN: [(&str, u64); 6] = [
    (
        "{ move = { x = \"10mm\" } }, { pause = \"5s\" }, { move = { x = \"60mm\", y = \"45mm\" } }",
        2000,
    ),
    ("{ move = { x = \"10mm\" } }, { pause = \"1ms\" }, { move = { x = \"60mm\" } }", 0),
    (
        "{ move = { x = \"10mm\" } }, { wait-for = [\"go\"], timeout = \"60s\" }, { move = { x = \"60mm\" } }",
        2000,
    ),
    (
        "{ move = { x = \"10mm\", y = \"90mm\" }, arrive = \"asap\" }, { move = { x = \"60mm\" } }",
        1300,
    ),
    (
        "{ together = [ [ { move = { x = \"10mm\" } }, { pause = \"3s\" }, { move = { x = \"60mm\" } } ], \
         [ { move = { y = \"90mm\" } }, { move = { y = \"0mm\" } } ] ] }",
        1700,
    ),
    (
        "{ move = { x = \"10mm\", pan = \"0deg\" } }, { pause = \"2s\" }, \
         { keyframes = [ { at = \"0s\", x = \"10mm\" }, { at = \"5s\", x = \"60mm\" } ] }",
        2000,
    ),
];

/// Held where none of its moves has x, the program has x back where it left it before anything of it goes on.
#[test]
fn a_motor_that_no_move_has_comes_back_as_well() {
    for (steps, held_at) in BETWEEN {
        let (mut machine, mut p, left) = held_and_jogged(steps, held_at);
        let (y, begun) = (machine.position("y"), machine.now());
        machine.resume_those(&[]).unwrap();
        // Gently: at a quarter of 50 mm/s.
        let mut last = machine.position("x").unwrap();
        while machine.position("x") != Some(left) {
            assert!(go_on(&mut machine, &mut p, 50 * MS).is_none(), "{steps}");
            let x = machine.position("x").unwrap();
            assert!(
                last - x <= 12.5 * 0.05 + 0.01 && x >= left - 1e-9,
                "{steps}: from {last} to {x}"
            );
            assert!(x == left || machine.position("y") == y, "{steps}: y does not wait");
            assert!(machine.now() < begun + 10_000 * MS, "{steps}: x does not come back");
            last = x;
        }
        machine.trigger("go", "null").unwrap();
        let end = go_on(&mut machine, &mut p, Duration::from_secs(60)).unwrap();
        assert_eq!(end.result, RunResult::Done, "{steps}: {end:?}");
        assert_eq!(machine.position("x"), Some(60.0), "{steps}");
        prove(machine);
    }
}

/// While it comes back it may be held and resumed, and stopped; and where it can't come back it says how far it is.
#[test]
fn the_way_back_is_held_stopped_and_refused_as_any() {
    for (steps, held_at) in BETWEEN {
        let (mut machine, mut p, left) = held_and_jogged(steps, held_at);
        let away = machine.position("x").unwrap();
        machine.resume_those(&[]).unwrap();
        assert!(go_on(&mut machine, &mut p, 300 * MS).is_none());
        machine.hold_those(&[]);
        go_on(&mut machine, &mut p, 1000 * MS);
        let held = machine.position("x").unwrap();
        assert!(left < held && held < away, "{steps}: {left}, {held}, {away}");
        go_on(&mut machine, &mut p, 1000 * MS);
        assert_eq!(machine.position("x"), Some(held));
        // It may be moved again.
        let jog = machine.jog_order(&Jog::lasting(300 * MS).at("x", Speed(-20.0))).unwrap();
        machine.ask(jog, IfBusy::Refuse, None).unwrap();
        go_on(&mut machine, &mut p, 1000 * MS);
        machine.resume_those(&[]).unwrap();
        assert!(go_on(&mut machine, &mut p, 100 * MS).is_none());
        machine.hold_those(&[]);
        go_on(&mut machine, &mut p, 1000 * MS);
        machine.resume_those(&[]).unwrap();
        go_on(&mut machine, &mut p, 1000 * MS);
        machine.trigger("go", "null").unwrap();
        let end = go_on(&mut machine, &mut p, Duration::from_secs(60)).unwrap();
        assert_eq!((end.result, machine.position("x")), (RunResult::Done, Some(60.0)), "{steps}");
        prove(machine);

        let (mut machine, mut p, _) = held_and_jogged(steps, held_at);
        machine.resume_those(&[]).unwrap();
        assert!(go_on(&mut machine, &mut p, 300 * MS).is_none());
        machine.stop_those(&[]);
        let end = go_on(&mut machine, &mut p, Duration::from_secs(5)).unwrap();
        assert_eq!(end.result, RunResult::Stopped, "{steps}");
        machine.run_for(500 * MS);
        let at = machine.position("x");
        machine.run_for(1000 * MS);
        assert_eq!(machine.position("x"), at, "{steps}");
        prove(machine);
    }
}

/// A stop while its motors are elsewhere ends all of it.
#[test]
fn a_stop_ends_what_has_stepped_aside() {
    let mut machine = machine(LINE, "");
    let mut p = begin(&mut machine);
    assert!(go_on(&mut machine, &mut p, 900 * MS).is_none());
    machine.hold_those(&[]);
    go_on(&mut machine, &mut p, 1000 * MS);
    let jog = machine.jog_order(&Jog::lasting(3000 * MS).at("x", Speed(5.0))).unwrap();
    machine.ask(jog, IfBusy::Refuse, None).unwrap();
    go_on(&mut machine, &mut p, 500 * MS);
    let touched = machine.stop_those(&[]);
    let end = go_on(&mut machine, &mut p, Duration::from_secs(5)).unwrap();
    assert_eq!(end.result, RunResult::Stopped);
    machine.run_for(1000 * MS);
    assert!(machine.is_settled(&touched));
    let at = machine.position("x");
    machine.run_for(1000 * MS);
    assert_eq!(machine.position("x"), at);
    prove(machine);
}
