//! Faults at random instants: the faulty motor stops dead, the others come to rest or arrive.

use std::time::Duration;

use lockstep::config::OnFault;
use lockstep::machine::{Cause, MotorOutcome, MoveError, MoveOutcome, Outcome, Place};
use lockstep::motor::FaultKind;

use crate::support::*;

fn of<'a>(outcome: &'a MoveOutcome, name: &str) -> &'a MotorOutcome {
    outcome.motor(name).unwrap()
}

fn is_fault(motor: &MotorOutcome) -> bool {
    matches!(&motor.outcome, Outcome::Short { cause: Cause::Fault(FaultKind::Driver), .. })
}

#[test]
fn a_fault_stops_its_motor_dead_and_the_others_in_good_order() {
    let mut started = 0;
    for seed in seeds(200) {
        let dice = &mut Dice(seed);
        let goes_on = dice.chance(50);
        let name = *dice.pick(&["x", "y", "z"]);
        let mut machine = virtual_machine(STAGE);
        let motors = machine.config().motors.clone();
        let spec = stage_move().on_fault(if goes_on { OnFault::Continue } else { OnFault::Stop });
        let id = machine.start(&spec).unwrap();
        let at = dice.between(0.0, 7.5e8) as u64;
        machine.inject_fault(name, Duration::from_nanos(at)).unwrap();
        let outcome = machine.wait(id);
        assert_eq!(machine.place(name), Some(Place::Unverified));
        let again = machine.start(&stage_move()).unwrap_err();
        assert!(matches!(&again, MoveError::Faulted { motor, .. } if motor == name), "{again}");
        // The others are free to go.
        let other = if name == "x" { "z" } else { "x" };
        let alone = lockstep::machine::Move::new().to(other, lockstep::units::Length(1.0));
        let other_id = machine.start(&alone).unwrap();
        assert!(machine.wait(other_id).all_reached());
        let (recording, steps) = check_machine(&mut machine, 0);
        let begun = moves(&recording);
        assert!(is_fault(of(&outcome, name)), "{outcome:?}");
        let index = motors.iter().position(|m| m.name == name).unwrap();
        assert!(steps[index].iter().all(|s| s.0 <= at), "a step after the fault");
        let moved = begun.iter().any(|m| m.0.starts_with("1:"));
        started += usize::from(moved);
        let mut shares = Vec::new();
        for ((motor, (_, target)), steps) in motors.iter().zip(TARGETS).zip(&steps) {
            if motor.name == name {
                continue;
            }
            let end = of(&outcome, &motor.name);
            let goal = steps_at(axis(motor).unwrap(), target);
            let last = begun.iter().find(|m| m.0.starts_with("2:")).map_or(u64::MAX, |m| m.1);
            let count = steps.iter().rev().find(|s| s.0 < last).map_or(0, |s| s.1);
            match &end.outcome {
                Outcome::Reached => assert!(moved && count == goal),
                Outcome::Short { cause: Cause::NotStarted(who), .. } => {
                    assert!(!moved && count == 0);
                    assert_eq!(who, &[name.to_string()]);
                }
                Outcome::Short { cause, .. } => {
                    assert_eq!(*cause, Cause::Stopped);
                    assert!(moved && !goes_on);
                }
            }
            assert_eq!(end.steps, Some(count));
            shares.push((count as f64 / goal as f64, 1.0 / goal.abs() as f64));
        }
        let apart = (shares[0].0 - shares[1].0).abs();
        assert!(apart <= shares[0].1 + shares[1].1, "not on the line: {shares:?}");
    }
    assert!(started > 100);
}

#[test]
fn a_fault_at_rest_refuses_later_moves() {
    let mut machine = virtual_machine(STAGE);
    machine.inject_fault("y", Duration::from_millis(5)).unwrap();
    machine.run_for(Duration::from_millis(6));
    assert_eq!(machine.place("y"), Some(Place::Unverified));
    assert!(matches!(machine.start(&stage_move()), Err(MoveError::Faulted { .. })));
    check_machine(&mut machine, u64::MAX);
}

/// A fault in a motor that is in no move leaves a running move alone.
#[test]
fn a_fault_elsewhere_does_not_stop_a_move() {
    let mut machine = virtual_machine(STAGE);
    let spec = lockstep::machine::Move::new().to("x", lockstep::units::Length(20.0));
    let id = machine.start(&spec).unwrap();
    machine.inject_fault("y", Duration::from_millis(200)).unwrap();
    assert!(machine.wait(id).all_reached());
    check_machine(&mut machine, 0);
}

/// Two motors fail in one move, close together, also while the first one's stop is being agreed on.
#[test]
fn a_second_fault_while_stopping() {
    for seed in seeds(100) {
        let dice = &mut Dice(seed);
        let mut machine = virtual_machine(STAGE);
        let id = machine.start(&stage_move()).unwrap();
        // Before it brakes for its target anyway.
        let first = dice.between(0.0, 5.5e8) as u64;
        let second = first + dice.between(0.0, 5e7) as u64;
        machine.inject_fault("x", Duration::from_nanos(first)).unwrap();
        machine.inject_fault("y", Duration::from_nanos(second)).unwrap();
        let outcome = machine.wait(id);
        assert!(is_fault(of(&outcome, "x")));
        assert!(!of(&outcome, "z").outcome.is_reached());
        machine.run_for(Duration::from_millis(60));
        assert_eq!(machine.place("y"), Some(Place::Unverified));
        check_machine(&mut machine, 0);
    }
}

/// An output that the back end refuses: said with the pin, and the program ends as failed.
#[test]
fn a_fault_in_a_program_fails_it_and_keeps_the_count() {
    for seed in seeds(40) {
        let dice = &mut Dice(seed);
        let text = format!(
            "{STAGE}\n[program.p]\nsteps = [ {{ move = {{ x = \"30mm\", y = \"-10mm\", z = \"9mm\" }} }}, \
             {{ keyframes = [ {{ at = \"2s\", x = \"5mm\" }}, {{ at = \"4s\", x = \"50mm\", y = \"9mm\" }} ] }},\
             {{ sweep = {{ z = [\"0mm\", \"10mm\"] }}, step = \"1mm\", every = \"700ms\", times = 2 }} ]\n"
        );
        let mut machine = virtual_machine(&text);
        let name = *dice.pick(&["x", "y", "z"]);
        machine.inject_fault(name, Duration::from_nanos(dice.between(0.0, 1.2e10) as u64)).unwrap();
        let report = machine.run(Some("p"), lockstep::machine::RunOptions::default()).unwrap();
        assert_eq!(report.result.word(), "failed");
        let faulty = report.motors.iter().find(|m| m.motor == name).unwrap();
        assert_eq!(faulty.fault, Some(FaultKind::Driver));
        assert_eq!(faulty.place, Place::Unverified);
        check_machine(&mut machine, 0);
    }
}
