//! Stops of one motor, and the halt with what it means for an axis' place.

use std::time::Duration;

use lockstep::config::Arrive;
use lockstep::machine::{Cause, Machine, MachineState, Move, MoveError, Outcome, Place};
use lockstep::units::{Angle, Length};

use crate::support::*;

const MS: Duration = Duration::from_millis(1);

fn is_stopped(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Short { cause: Cause::Stopped, .. })
}

/// Of motors that go alone the one, of a line all.
#[test]
fn one_motor_is_stopped_alone_but_on_a_line() {
    for (arrive, alone) in [(Arrive::Asap, true), (Arrive::Aligned, false)] {
        for at in [0, 3, 5, 200, 300] {
            let mut machine = virtual_machine(STAGE);
            let id = machine.start(&stage_move().arrive(arrive)).unwrap();
            machine.run_for(at * MS);
            machine.stop_motor("y").unwrap();
            let end = machine.wait(id);
            assert!(!end.motor("y").unwrap().outcome.is_reached(), "{arrive:?} at {at} ms");
            for other in ["x", "z"] {
                assert_eq!(end.motor(other).unwrap().outcome.is_reached(), alone);
            }
            assert_eq!(machine.state(), MachineState::Idle, "the machine is not stopped");
            let id = machine.start(&stage_move()).unwrap();
            assert!(machine.wait(id).all_reached());
            check_machine(&mut machine, 0);
        }
    }
}

#[test]
fn a_motor_at_rest_or_unknown_is_stopped_as_it_should() {
    let mut machine = virtual_machine(STAGE);
    machine.stop_motor("x").unwrap();
    assert!(matches!(machine.stop_motor("w"), Err(MoveError::UnknownMotor { .. })));
    // One that waits under a hold never begins.
    machine.hold();
    let id = machine.start(&stage_move().arrive(Arrive::Asap)).unwrap();
    machine.stop_motor("x").unwrap();
    machine.resume();
    let end = machine.wait(id);
    assert_eq!(end.failed().count(), 1);
    assert_eq!(end.motor("x").unwrap().steps, Some(0));
    check_machine(&mut machine, 0);
}

/// `x` on its way at a share of its speed, halted there.
fn halted(text: &str, speed: f64, at: Duration) -> Machine {
    let mut machine = virtual_machine(text);
    let id = machine.start(&Move::new().to("x", Length(100.0)).speed(speed)).unwrap();
    machine.run_for(at);
    machine.halt();
    assert_eq!(machine.state(), MachineState::Halted);
    assert!(is_stopped(&machine.wait(id).motors[0].outcome));
    machine
}

/// Its default: what 500 mm/s^2 gives up within a full step of 0.04 mm, 6.3 mm/s.
#[test]
fn a_halt_loses_the_place_of_a_fast_axis_alone() {
    let slow = "start-stop-speed = \"2mm/s\"\nmax-speed = \"50mm/s\"";
    let quick = "start-stop-speed = \"50mm/s\"\nmax-speed = \"50mm/s\"";
    for (line, speed, place) in [
        ("max-speed = \"50mm/s\"", 0.2, Place::Unknown),
        ("max-speed = \"50mm/s\"", 0.1, Place::Assumed),
        (slow, 0.1, Place::Unknown),
        (slow, 0.039, Place::Assumed),
        (quick, 1.0, Place::Assumed),
    ] {
        let text = STAGE.replacen("max-speed = \"50mm/s\"", line, 1);
        let mut machine = halted(&text, speed, 1000 * MS);
        assert_eq!(machine.place("x"), Some(place), "{line} at {speed}");
        assert_eq!(machine.place("y"), Some(Place::Assumed), "it was at rest");
        check_machine(&mut machine, 0);
    }
}

#[test]
fn a_halt_latches_until_it_is_cleared() {
    let mut machine = halted(STAGE, 1.0, 600 * MS);
    let there = machine.position("x").unwrap();
    machine.run_for(5000 * MS);
    assert_eq!(machine.position("x"), Some(there));
    assert_eq!(machine.start(&stage_move()), Err(MoveError::Stopped));
    assert!(machine.clear());
    let unknown = machine.start(&stage_move()).unwrap_err();
    assert_eq!(unknown, MoveError::UnknownPlace { motor: "x".into() });
    // The others know where they are.
    let id = machine.start(&Move::new().to("y", Length(10.0))).unwrap();
    let busy = machine.set_position("y", Length(0.0));
    assert!(matches!(busy, Err(MoveError::Busy { .. })));
    assert!(machine.wait(id).all_reached());
    machine.set_position("x", Length(there)).unwrap();
    assert_eq!(machine.place("x"), Some(Place::Assumed));
    let id = machine.start(&stage_move()).unwrap();
    assert!(machine.wait(id).all_reached());
    // Again and again.
    for _ in 0..5 {
        let id = machine.start(&Move::new().to("x", Length(90.0))).unwrap();
        machine.run_for(300 * MS);
        machine.halt_event().set();
        assert!(!machine.wait(id).all_reached());
        assert!(machine.clear());
        machine.set_position("x", Length(20.0)).unwrap();
        assert_eq!(machine.position("x"), Some(20.0));
    }
    machine.finish();
    let mut vcd = Vec::new();
    machine.take_recording().unwrap().write_vcd(&mut vcd, "").unwrap();
    let report = lockstep::verify::verify(&vcd[..], machine.config(), &Default::default()).unwrap();
    assert!(report.is_clean(), "{report}");
    // A place that the edges do not bear out is found.
    let text = String::from_utf8(vcd).unwrap();
    let moved = text.replace("sset:x ", "sunknown:x ");
    assert_ne!(moved, text);
    assert!(
        !lockstep::verify::verify(moved.as_bytes(), machine.config(), &Default::default())
            .unwrap()
            .is_clean()
    );
}

#[test]
fn positions_that_make_no_sense_are_refused() {
    let text = format!("{STAGE}\n[servo.pan]\npwm = {{ gpio = 12 }}\n");
    let mut machine = virtual_machine(&text);
    let refused = |machine: &mut Machine, motor: &str, at: f64| {
        machine.set_position(motor, Length(at)).unwrap_err()
    };
    assert!(matches!(refused(&mut machine, "w", 0.0), MoveError::UnknownMotor { .. }));
    assert!(matches!(refused(&mut machine, "x", -0.1), MoveError::OutsideTravel { .. }));
    let turn = machine.set_position("x", Angle(1.0)).unwrap_err();
    assert!(matches!(turn, MoveError::WrongUnit { .. }));
    let servo = machine.set_position("pan", Angle(1.0)).unwrap_err();
    assert_eq!(servo, MoveError::NoCount { motor: "pan".into() });
    machine.inject_fault("x", MS).unwrap();
    machine.run_for(2 * MS);
    assert!(matches!(refused(&mut machine, "x", 1.0), MoveError::Faulted { .. }));
    assert_eq!(machine.state(), MachineState::Fault);
    // To the nearest step of 400 a millimetre... of y, 320 of them.
    machine.set_position("y", Length(1.2345)).unwrap();
    assert_eq!(machine.position("y"), Some(395.0 / 320.0));
}

/// What a machine is like, from its start to its end.
#[test]
fn a_snapshot_is_of_one_instant() {
    let mut machine = virtual_machine(STAGE);
    let states = |machine: &Machine| machine.snapshot().state;
    assert_eq!(states(&machine), MachineState::Idle);
    let id = machine.start(&stage_move()).unwrap();
    machine.run_for(300 * MS);
    let moving = machine.snapshot();
    assert_eq!((moving.state, moving.at), (MachineState::Moving, machine.now()));
    assert_eq!(moving.moves, [id]);
    for (motor, (name, target)) in moving.motors.iter().zip(TARGETS) {
        assert_eq!((motor.motor.as_str(), motor.busy), (name, Some(id)));
        assert!(motor.velocity * target > 0.0 && motor.velocity.abs() < target.abs() * 3.0);
        assert_eq!(motor.position, machine.position(name));
    }
    machine.hold();
    machine.run_for(20 * MS);
    assert_eq!(states(&machine), MachineState::Holding);
    machine.wait_held(id).unwrap();
    assert_eq!(states(&machine), MachineState::Held);
    assert!(machine.snapshot().motors.iter().all(|m| m.velocity == 0.0));
    machine.resume();
    machine.run_for(100 * MS);
    assert_eq!(states(&machine), MachineState::Moving);
    machine.stop_event().set();
    machine.run_for(10 * MS);
    assert_eq!(states(&machine), MachineState::Stopping);
    machine.wait(id);
    assert_eq!(states(&machine), MachineState::Stopped);
    assert!(machine.clear());
    assert_eq!(states(&machine), MachineState::Idle);
    assert_eq!(MachineState::Held.word(), "held");
    check_machine(&mut machine, 0);
}
