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
            if steps == frames && (1..400).contains(&held_at) {
                // Before its frames begin there is no move to come back to: they begin from wherever x is, and a first
                // one at 0 s does not allow that. The program says so, and fails.
                continue;
            }
            if steps == asap && held_at >= 900 {
                // x has reached its target and is in no move any more: it stays where the hand leaves it.
                continue;
            }
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
