//! Jogs: as fast as asked for, until their deadline, inside the travel.

use std::time::Duration;

use lockstep::machine::{Jog, Machine, MachineState, Move, MoveError, Place};
use lockstep::units::{Angle, AngularSpeed, Length, Speed};

use crate::support::*;

const MS: Duration = Duration::from_millis(1);

fn jog(motor: &str, velocity: f64, lasts: Duration) -> Jog {
    Jog::lasting(lasts).at(motor, Speed(velocity))
}

/// The velocity now, by the plan.
fn velocity(machine: &Machine, motor: &str) -> f64 {
    let snapshot = machine.snapshot();
    snapshot.motors.iter().find(|m| m.motor == motor).unwrap().velocity
}

#[test]
fn a_jog_ends_by_itself() {
    let mut machine = virtual_machine(STAGE);
    let id = machine.jog(&jog("x", 5.0, 2000 * MS)).unwrap();
    machine.run_for(1000 * MS);
    assert!((velocity(&machine, "x") - 5.0).abs() < 1e-6);
    assert_eq!(machine.state(), MachineState::Moving);
    machine.run_for(1001 * MS);
    assert!(velocity(&machine, "x") > 4.9, "not before its deadline");
    let outcome = machine.wait(id);
    assert!(outcome.all_reached());
    let end = outcome.motor("x").unwrap();
    assert!((end.position - 10.0).abs() < 0.5, "{end:?}");
    assert_eq!(end.position * 400.0, end.steps.unwrap() as f64, "at a whole step");
    assert!(machine.now().as_nanos() < 2_300_000_000);
    check_machine(&mut machine, 0);
}

/// At any speed, from anywhere: it stops at the end of its travel, not beyond.
#[test]
fn a_jog_stays_in_its_travel() {
    let mut at_end = 0;
    for seed in seeds(100) {
        let dice = &mut Dice(seed);
        let mut machine = virtual_machine(STAGE);
        let id = machine.start(&Move::new().to("z", Length(dice.between(0.0, 50.0)))).unwrap();
        machine.wait(id);
        let up = dice.chance(50);
        let speed = if up { 1.0 } else { -1.0 } * dice.between(0.1, 20.0);
        let id = machine.jog(&jog("z", speed, dice.below(6000) as u32 * MS)).unwrap();
        for _ in 0..dice.below(4) {
            machine.run_for(dice.below(1500) as u32 * MS);
            let _ = machine.renew_jog(id, dice.below(4000) as u32 * MS);
        }
        let end = machine.wait(id);
        assert!(end.all_reached());
        let position = end.motors[0].position;
        at_end += u64::from(position == if up { 50.0 } else { 0.0 });
        check_machine(&mut machine, 0);
    }
    assert!(at_end > 10, "{at_end}");
}

#[test]
fn a_renewed_jog_goes_on_and_may_change() {
    let mut machine =
        virtual_machine(&STAGE.replace("{ min = \"0mm\", max = \"200mm\" }", "\"unlimited\""));
    let both = jog("x", 10.0, 300 * MS).at("y", Speed(-2.0));
    let id = machine.jog(&both).unwrap();
    for _ in 0..50 {
        machine.run_for(200 * MS);
        machine.renew_jog(id, 300 * MS).unwrap();
    }
    assert!((velocity(&machine, "x") - 10.0).abs() < 1e-6);
    // The other way, and y as before.
    machine.change_jog(id, &jog("x", -45.0, 5000 * MS)).unwrap();
    machine.run_for(2000 * MS);
    assert!((velocity(&machine, "x") + 45.0).abs() < 1e-6);
    assert!((velocity(&machine, "y") + 2.0).abs() < 1e-6 || machine.position("y") == Some(-20.0));
    // Slower: without turning round on the way.
    machine.change_jog(id, &jog("x", -1.0, 5000 * MS)).unwrap();
    for _ in 0..500 {
        machine.run_for(MS);
        assert!(velocity(&machine, "x") <= -1.0 + 1e-6);
    }
    machine.set_override(50.0).unwrap();
    machine.run_for(100 * MS);
    assert!((velocity(&machine, "x") + 0.5).abs() < 1e-6);
    assert!(machine.wait(id).all_reached());
    assert_eq!(machine.renew_jog(id, MS), Err(MoveError::NotUnderWay { id }));
    check_machine(&mut machine, 0);
}

/// Its deadline does not wait for a hold.
#[test]
fn a_held_jog_rests_and_goes_on_until_its_deadline() {
    for (held, moves) in [(500, true), (3000, false)] {
        let mut machine = virtual_machine(STAGE);
        let id = machine.jog(&jog("x", 20.0, 2000 * MS)).unwrap();
        machine.run_for(300 * MS);
        machine.hold();
        let at = machine.wait_held(id).unwrap().motors[0].position.unwrap();
        machine.run_for(held * MS);
        machine.resume();
        let end = machine.wait(id);
        assert!(end.all_reached());
        let way = end.motors[0].position - at;
        assert_eq!(way > 1.0, moves, "{way} mm after {held} ms");
        check_machine(&mut machine, 0);
    }
}

#[test]
fn jogs_that_make_no_sense_are_refused() {
    let text = format!("{STAGE}\n[servo.pan]\npwm = {{ gpio = 12 }}\n");
    let mut machine = virtual_machine(&text);
    for velocity in [50.1, -50.1, f64::NAN] {
        let refused = machine.jog(&jog("x", velocity, MS)).unwrap_err();
        assert!(matches!(refused, MoveError::JogSpeed { .. }), "{velocity}: {refused}");
    }
    let wrong = Jog::lasting(MS).at("x", AngularSpeed(1.0));
    assert!(matches!(machine.jog(&wrong), Err(MoveError::WrongSpeed { .. })));
    assert_eq!(machine.jog(&Jog::lasting(MS)), Err(MoveError::Empty));
    let twice = jog("x", 1.0, MS).at("x", Speed(2.0));
    assert!(matches!(machine.jog(&twice), Err(MoveError::Twice { .. })));
    let servo = Jog::lasting(100 * MS).at("pan", AngularSpeed(30.0));
    assert!(matches!(machine.jog(&servo), Err(MoveError::NoSignal { .. })));
    let id = machine.start(&Move::new().to("pan", Angle(0.0))).unwrap();
    machine.wait(id);
    let id = machine.jog(&servo).unwrap();
    assert!(matches!(machine.jog(&servo), Err(MoveError::Busy { .. })));
    let elsewhere = jog("x", 1.0, MS);
    assert!(matches!(machine.change_jog(id, &elsewhere), Err(MoveError::NotInMove { .. })));
    assert!(machine.wait(id).all_reached());
    // At the end of the travel already.
    let id = machine.jog(&jog("z", -1.0, MS)).unwrap();
    assert!(machine.wait(id).all_reached());
    machine.stop();
    assert_eq!(machine.jog(&jog("x", 1.0, MS)), Err(MoveError::Stopped));
    check_machine(&mut machine, 0);
}

/// An axis that does not know where it is can be brought to where it can be told.
#[test]
fn an_unknown_axis_may_be_jogged() {
    let mut machine = virtual_machine(STAGE);
    let id = machine.start(&Move::new().to("x", Length(40.0))).unwrap();
    machine.run_for(600 * MS);
    machine.halt();
    machine.clear();
    assert!(!machine.wait(id).all_reached());
    assert_eq!(machine.place("x"), Some(Place::Unknown));
    let id = machine.jog(&jog("x", -50.0, 2000 * MS)).unwrap();
    assert!(machine.wait(id).all_reached());
    assert!(
        machine.position("x").unwrap() < -50.0,
        "no travel bounds what is counted from nowhere"
    );
    machine.set_position("x", Length(3.0)).unwrap();
    let id = machine.start(&Move::new().to("x", Length(0.0))).unwrap();
    assert!(machine.wait(id).all_reached());
    machine.finish();
    let mut vcd = Vec::new();
    machine.take_recording().unwrap().write_vcd(&mut vcd, "").unwrap();
    let report = lockstep::verify::verify(&vcd[..], machine.config(), &Default::default()).unwrap();
    assert!(report.is_clean(), "{report}");
}
