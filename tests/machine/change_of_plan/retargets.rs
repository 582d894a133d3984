//! Retarget and speed override: on from the moving state, within the limits.

use std::time::Duration;

use lockstep::config::Arrive;
use lockstep::machine::{Machine, MachineState, Move, MoveError};
use lockstep::units::{Angle, Length};
use lockstep::verify::{Report, verify};

use crate::support::*;

const MS: Duration = Duration::from_millis(1);

fn to(motor: &str, position: f64) -> Move {
    Move::new().to(motor, Length(position))
}

fn velocity(machine: &Machine, motor: &str) -> f64 {
    let snapshot = machine.snapshot();
    snapshot.motors.iter().find(|m| m.motor == motor).unwrap().velocity
}

/// Ends the machine and gives its trace as text.
fn vcd(machine: &mut Machine) -> String {
    machine.finish();
    let mut vcd = Vec::new();
    machine.take_recording().unwrap().write_vcd(&mut vcd, "").unwrap();
    String::from_utf8(vcd).unwrap()
}

fn prove(vcd: &str, machine: &Machine) -> Report {
    verify(vcd.as_bytes(), machine.config(), &Default::default()).unwrap()
}

/// Farther the same way: it does not slow down on the way.
#[test]
fn a_retarget_goes_on_without_a_stop() {
    let mut machine = virtual_machine(STAGE);
    let id = machine.start(&to("x", 40.0)).unwrap();
    machine.run_for(500 * MS);
    assert!((velocity(&machine, "x") - 50.0).abs() < 1e-6);
    machine.retarget(id, &to("x", 90.0)).unwrap();
    while machine.position("x").unwrap() < 80.0 {
        machine.run_for(10 * MS);
        assert!((velocity(&machine, "x") - 50.0).abs() < 1e-3);
    }
    let end = machine.wait(id);
    assert!(end.all_reached());
    assert_eq!(end.motors[0].position, 90.0);
    check_machine(&mut machine, 0);
}

/// Anywhere, at any moment, also back: it arrives, or it is refused and arrives where it was to.
#[test]
fn a_retarget_arrives_where_it_was_sent_last() {
    let mut refused = 0;
    for seed in seeds(100) {
        let dice = &mut Dice(seed);
        let mut machine = virtual_machine(STAGE);
        let motors = machine.config().motors.clone();
        let mut targets: Vec<f64> = motors.iter().map(|m| random_target(dice, m)).collect();
        let spec = motors
            .iter()
            .zip(&targets)
            .fold(Move::new(), |m, (motor, t)| m.to(&motor.name, Length(*t)));
        let id = machine.start(&spec).unwrap();
        for _ in 0..1 + dice.below(4) {
            machine.run_for(Duration::from_nanos(dice.between(0.0, 1e9) as u64));
            let n = dice.below(3) as usize;
            let target = random_target(dice, &motors[n]);
            match machine.retarget(id, &to(&motors[n].name, target)) {
                Ok(()) => targets[n] = target,
                Err(MoveError::Arrived { .. } | MoveError::NotInMove { .. }) => refused += 1,
                Err(MoveError::NotUnderWay { .. }) => {}
                Err(e) => panic!("{e}"),
            }
        }
        let end = machine.wait(id);
        assert!(end.all_reached(), "{end:?}");
        for (motor, target) in motors.iter().zip(targets) {
            let steps = end.motor(&motor.name).unwrap().steps;
            assert_eq!(steps, Some(steps_at(axis(motor).unwrap(), target)));
        }
        let trace = vcd(&mut machine);
        let report = prove(&trace, &machine);
        assert!(report.is_clean(), "{report}");
    }
    assert!(refused < 60, "{refused}");
}

#[test]
fn retargets_that_make_no_sense_are_refused_whole() {
    let mut machine = virtual_machine(STAGE);
    let id = machine.start(&to("x", 40.0).to("y", Length(30.0))).unwrap();
    machine.run_for(300 * MS);
    let refuse = |machine: &mut Machine, spec: &Move| machine.retarget(id, spec).unwrap_err();
    let beyond = refuse(&mut machine, &to("y", 10.0).to("x", Length(200.1)));
    assert!(matches!(beyond, MoveError::OutsideTravel { .. }));
    let other = refuse(&mut machine, &to("z", 1.0));
    assert!(matches!(other, MoveError::NotInMove { .. }), "{other}");
    assert!(matches!(refuse(&mut machine, &Move::new()), MoveError::Empty));
    let nobody = machine.retarget(99, &to("x", 1.0)).unwrap_err();
    assert_eq!(nobody, MoveError::NotUnderWay { id: 99 });
    let end = machine.wait(id);
    assert!(end.all_reached(), "it went on as it was");
    assert_eq!(machine.position("y"), Some(30.0));
    assert_eq!(refuse(&mut machine, &to("x", 1.0)), MoveError::NotUnderWay { id });
    // In its last milliseconds.
    let (begun, id) = (machine.now(), machine.start(&to("x", 0.0)).unwrap());
    machine.wait(id);
    let took = machine.now().since(begun);
    let id = machine.start(&to("x", 40.0)).unwrap();
    machine.run_for(took - 3 * MS);
    let late = machine.retarget(id, &to("x", 10.0));
    assert_eq!(late, Err(MoveError::Arrived { motor: "x".into() }));
    check_machine(&mut machine, 0);
}

/// A move that is held gets its targets, and goes there when it is resumed.
#[test]
fn a_held_move_is_sent_elsewhere() {
    for wait in [0, 20, 1000] {
        let mut machine = virtual_machine(STAGE);
        let id = machine.start(&stage_move()).unwrap();
        machine.run_for(300 * MS);
        machine.hold();
        machine.run_for(wait * MS);
        machine.retarget(id, &to("x", 5.0)).unwrap();
        let held = machine.wait_held(id).unwrap();
        machine.run_for(3000 * MS);
        assert_eq!(machine.position("x"), held.motors[0].position);
        assert_eq!(machine.state(), MachineState::Held);
        machine.resume();
        assert!(machine.wait(id).all_reached());
        assert_eq!(machine.position("x"), Some(5.0));
        assert!((machine.position("y").unwrap() - -17.5).abs() < 0.01);
        let trace = vcd(&mut machine);
        assert!(prove(&trace, &machine).is_clean());
    }
}

#[test]
fn a_servo_is_sent_elsewhere() {
    let mut machine =
        virtual_machine("[servo.pan]\npwm = { gpio = 12 }\nmax-speed = \"60deg/s\"\n");
    let id = machine.start(&Move::new().to("pan", Angle(-40.0))).unwrap();
    machine.wait(id);
    let id = machine.start(&Move::new().to("pan", Angle(40.0))).unwrap();
    machine.run_for(500 * MS);
    machine.retarget(id, &Move::new().to("pan", Angle(-20.0))).unwrap();
    assert!(machine.wait(id).all_reached());
    assert_eq!(machine.position("pan"), Some(-20.0));
    let trace = vcd(&mut machine);
    assert!(prove(&trace, &machine).is_clean());
}

/// The checker judges the line up to the retarget, and not after it.
#[test]
fn the_line_is_judged_up_to_the_retarget() {
    let make = |arrive: Arrive| {
        let mut machine = virtual_machine(STAGE);
        let spec = to("x", 40.0).to("y", Length(60.0)).arrive(arrive);
        let id = machine.start(&spec).unwrap();
        machine.run_for(700 * MS);
        machine.retarget(id, &to("x", 100.0).to("y", Length(5.0))).unwrap();
        assert!(machine.wait(id).all_reached());
        let trace = vcd(&mut machine);
        (trace, machine)
    };
    let (trace, machine) = make(Arrive::Aligned);
    let report = prove(&trace, &machine);
    assert!(report.is_clean(), "{report}");
    let looked = |r: &Report| r.bounds.iter().find(|b| b.name == "off the line").unwrap().clone();
    assert_ne!(looked(&report).seen, "-", "it was looked at");
    // Without the marker the whole of it is judged, and is no line.
    let without = trace.replace("s1:retarget:x,y ", "s1:override:x,y ");
    assert_ne!(without, trace);
    let report = prove(&without, &machine);
    let names: Vec<_> = report.broken().map(|b| b.name).collect();
    assert_eq!(names, ["one way", "off the line"], "{report}");
    // Off its line before the retarget.
    let (trace, machine) = make(Arrive::Asap);
    assert!(prove(&trace, &machine).is_clean());
    let called = trace.replace("s1:asap:", "s1:aligned:");
    assert_ne!(called, trace);
    let report = prove(&called, &machine);
    assert_eq!(looked(&report).count, 1, "{report}");
}

/// Down and up while it moves: the line is kept, and what each motor may do at most.
#[test]
fn an_override_changes_the_speed_on_the_way() {
    for seed in seeds(80) {
        let dice = &mut Dice(seed);
        let mut machine = virtual_machine(STAGE);
        let spec = match dice.below(3) {
            0 => stage_move().arrive(Arrive::Asap),
            1 => stage_move().speed(dice.between(0.2, 1.0)),
            _ => stage_move(),
        };
        let id = machine.start(&spec).unwrap();
        for _ in 0..1 + dice.below(4) {
            machine.run_for(Duration::from_nanos(dice.between(0.0, 3e8) as u64));
            machine.set_override(dice.size(0.7, 2.3).min(200.0)).unwrap();
        }
        assert!(machine.wait(id).all_reached());
        let steps = machine.config().motors.iter().map(|m| m.name.clone()).collect::<Vec<_>>();
        assert_eq!(steps.len(), 3);
        let trace = vcd(&mut machine);
        let report = prove(&trace, &machine);
        assert!(report.is_clean(), "{report}");
    }
}

/// One move alone is slower; what begins after it is not, and nor are the others.
#[test]
fn an_override_of_one_move_leaves_the_others() {
    let mut machine = virtual_machine(STAGE);
    let x = machine.start(&to("x", 60.0)).unwrap();
    let y = machine.start(&to("y", 60.0)).unwrap();
    machine.run_for(400 * MS);
    machine.set_override_of(x, 25.0).unwrap();
    machine.run_for(300 * MS);
    let (slow, full) = (velocity(&machine, "x"), velocity(&machine, "y"));
    assert!((slow - 12.5).abs() < 1e-3 && (full - 40.0).abs() < 1e-3, "{slow} and {full}");
    // Beside what holds for all.
    machine.set_override(50.0).unwrap();
    machine.run_for(300 * MS);
    let slow = velocity(&machine, "x");
    assert!((slow - 6.25).abs() < 1e-3, "{slow}");
    machine.set_override(100.0).unwrap();
    assert!(matches!(machine.set_override_of(x, 0.5), Err(MoveError::Override { .. })));
    assert!(matches!(machine.set_override_of(77, 50.0), Err(MoveError::NotUnderWay { id: 77 })));
    assert!(machine.wait(y).all_reached() && machine.is_under_way(x));
    assert!(machine.wait(x).all_reached());
    let back = machine.start(&to("x", 0.0)).unwrap();
    machine.run_for(600 * MS);
    assert!((velocity(&machine, "x") + 50.0).abs() < 1e-3);
    assert!(machine.wait(back).all_reached());
    let trace = vcd(&mut machine);
    let report = prove(&trace, &machine);
    assert!(report.is_clean(), "{report}");
}

#[test]
fn an_override_is_a_share_of_the_speed_asked_for() {
    let mut machine = virtual_machine(STAGE);
    let cruise = |machine: &mut Machine, override_percent: f64, speed: f64| {
        machine.set_override(override_percent).unwrap();
        let there = if machine.position("x") == Some(0.0) { 60.0 } else { 0.0 };
        let id = machine.start(&to("x", there).speed(speed)).unwrap();
        let mut top = 0.0_f64;
        while machine.state() == MachineState::Moving {
            machine.run_for(50 * MS);
            top = top.max(velocity(machine, "x").abs());
        }
        assert!(machine.wait(id).all_reached());
        top
    };
    for (percent, speed, top) in
        [(100.0, 1.0, 50.0), (50.0, 1.0, 25.0), (200.0, 0.25, 25.0), (200.0, 1.0, 50.0)]
    {
        assert!((cruise(&mut machine, percent, speed) - top).abs() < 1e-3);
    }
    assert_eq!(machine.speed_override(), 200.0);
    for percent in [0.0, 0.99, 200.1, -5.0, f64::NAN] {
        assert!(matches!(machine.set_override(percent), Err(MoveError::Override { .. })));
    }
    assert_eq!(machine.speed_override(), 200.0);
    // It holds for one that is under way, too, and its time-out leaves as much room as before.
    machine.set_override(100.0).unwrap();
    let there = if machine.position("x") == Some(0.0) { 60.0 } else { 0.0 };
    let id = machine.start(&to("x", there).timeout(1500 * MS)).unwrap();
    machine.run_for(400 * MS);
    machine.set_override(10.0).unwrap();
    machine.run_for(200 * MS);
    assert!((velocity(&machine, "x").abs() - 5.0).abs() < 1e-3);
    assert!(machine.wait(id).all_reached());
    // And for the time-outs of those that begin later.
    let back = 60.0 - there;
    let short = machine.start(&to("x", back).timeout(1000 * MS));
    assert!(matches!(short, Err(MoveError::LongerThanTimeout { .. })));
    let id = machine.start(&to("x", back).timeout(1500 * MS)).unwrap();
    assert!(machine.wait(id).all_reached());
    check_machine(&mut machine, 0);
}

/// From fast to slow: down to the new speed, not below it and up again.
#[test]
fn slowing_down_never_turns_back() {
    for seed in seeds(60) {
        let dice = &mut Dice(seed);
        let mut machine = virtual_machine(STAGE);
        let id = machine.start(&to("x", 190.0)).unwrap();
        machine.run_for(Duration::from_nanos(dice.between(1e8, 3e9) as u64));
        machine.set_override(dice.size(0.0, 1.7)).unwrap();
        assert!(machine.wait(id).all_reached());
        let (_, steps) = check_machine(&mut machine, 0);
        assert!(steps[0].windows(2).all(|w| w[1].1 > w[0].1), "never back");
    }
}

/// Two in a row: the second is made while the first takes hold, which may be in the middle of a pulse.
#[test]
fn a_second_retarget_lets_the_pulse_pass_that_is_out() {
    let text = STAGE.replace(
        "driver = \"drv8825\"",
        "driver = { step-high = \"20us\", step-low = \"20us\", dir-setup = \"1us\", dir-hold = \"1us\", wake = \"1ms\" }",
    );
    assert_ne!(text, STAGE);
    for phase in 0..150 {
        let mut machine = virtual_machine(&text);
        let id = machine.start(&to("x", 40.0)).unwrap();
        machine.run_for(500 * MS + Duration::from_nanos(977 * phase));
        machine.retarget(id, &to("x", 45.0)).unwrap();
        // Agreed on, and not yet in force.
        machine.run_for(MS);
        machine.retarget(id, &to("x", 50.0)).unwrap();
        let first = machine.now();
        while machine.snapshot().moves.contains(&id) {
            machine.run_for(MS);
        }
        let end = machine.wait(id);
        assert!(end.all_reached(), "{end:?}");
        assert_eq!(end.motors[0].position, 50.0);
        let vcd = vcd(&mut machine);
        let told: Vec<u64> = vcd
            .lines()
            .scan(0, |at, line| {
                if let Some(t) = line.strip_prefix('#') {
                    *at = t.parse().unwrap();
                }
                Some(line.contains(":retarget:").then_some(*at))
            })
            .flatten()
            .collect();
        // 3 ms until the one holds, and 4 ms and a little for the next: not one that is tried again.
        let [.., last] = told[..] else { panic!("{told:?}") };
        assert!(last < first.as_nanos() + 8_000_000, "{told:?} after {first}");
    }
}
