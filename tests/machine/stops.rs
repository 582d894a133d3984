//! Stops and halts at random instants.

use std::time::Duration;

use lockstep::machine::{Cause, Machine, MachineState, MoveError, Outcome};

use crate::support::*;

/// Stops at random instants of a line: all rest on the line, at the same instant, within the limits.
#[test]
fn a_stopped_line_rests_on_the_line() {
    let mut shorts = 0;
    for seed in seeds(300) {
        let dice = &mut Dice(seed);
        let mut machine = virtual_machine(STAGE);
        let motors = machine.config().motors.clone();
        let id = machine.start(&stage_move()).unwrap();
        machine.run_for(Duration::from_nanos(dice.between(1e6, 1.05e9) as u64));
        machine.stop_event().set();
        let asked = machine.now().as_nanos();
        let outcome = machine.wait(id);
        let (recording, steps) = check_machine(&mut machine, 0);
        let begun = moves(&recording);
        let mut shares = Vec::new();
        for ((motor, (_, target)), steps) in motors.iter().zip(TARGETS).zip(&steps) {
            let axis = axis(motor).unwrap();
            let goal = steps_at(axis, target) as f64;
            let count = steps.last().map_or(0, |s| s.1) as f64;
            shares.push((count / goal, 1.0 / goal.abs()));
            let end = outcome.motor(&motor.name).unwrap();
            assert_eq!(end.steps, Some(count as i64));
            match &end.outcome {
                Outcome::Reached => assert_eq!(count, goal),
                Outcome::Short { by, cause } => {
                    shorts += 1;
                    let exact = (target - count / axis.steps_per_unit.to_f64()).abs();
                    assert!((by - exact).abs() < 1e-8);
                    match begun.is_empty() {
                        true => assert_eq!(*cause, Cause::NotStarted(vec![])),
                        false => assert_eq!(*cause, Cause::Stopped),
                    }
                }
            }
            check_speeds(motor, steps);
        }
        // There is an s that all of them are within one step of.
        let low = shares.iter().map(|(s, step)| s - step).fold(f64::MIN, f64::max);
        let high = shares.iter().map(|(s, step)| s + step).fold(f64::MAX, f64::min);
        assert!(low <= high, "not on the line: {shares:?}");
        if begun.is_empty() {
            assert!(steps.iter().all(Vec::is_empty), "a move that did not start moved nothing");
        }
        // Bounded: 10 ms to agree, then the line's braking time (0.4 s here at most).
        assert!(machine.now().as_nanos() - asked < 1_000_000_000);
    }
    assert!(shorts > 300);
}

/// No two steps closer than the top speed allows, but for what a nanosecond's rounding means.
fn check_speeds(motor: &lockstep::config::MotorConfig, steps: &[Step]) {
    let rate = motor.limits.speed * axis(motor).unwrap().steps_per_unit.to_f64();
    for pair in steps.windows(2) {
        if pair[0].1 != pair[1].1 && (pair[1].1 - pair[0].1).abs() == 1 {
            let interval = (pair[1].0 - pair[0].0) as f64;
            assert!(interval >= 1e9 / rate * (1.0 - 1e-5) - 2.0, "{interval} ns at {}", pair[0].0);
        }
    }
}

/// All motors of a stopped line come to rest at the same instant.
#[test]
fn a_stopped_line_ends_together() {
    for seed in seeds(40) {
        let dice = &mut Dice(seed);
        let mut machine = virtual_machine(STAGE);
        let id = machine.start(&stage_move()).unwrap();
        machine.run_for(Duration::from_nanos(dice.between(5e7, 6e8) as u64));
        machine.stop_move(id);
        let mut ends = Vec::new();
        while let Some(end) = machine.next_outcome(&[id]) {
            ends.push((end.motor, machine.now().as_nanos()));
        }
        assert!(ends.iter().all(|e| e.1 == ends[0].1), "{ends:?}");
        assert!(!machine.is_stopped(), "one move was stopped, not the machine");
        check_machine(&mut machine, 0);
    }
}

/// A stop while the drivers wake up: nothing has moved, and the cause names nobody.
#[test]
fn a_stop_before_the_start_moves_nothing() {
    for nanos in [0, 1, 500_000, 1_699_999] {
        let mut machine = virtual_machine(STAGE);
        let id = machine.start(&stage_move()).unwrap();
        machine.run_for(Duration::from_nanos(nanos));
        machine.stop_event().set();
        let outcome = machine.wait(id);
        for motor in &outcome.motors {
            let Outcome::Short { cause, .. } = &motor.outcome else { panic!("{motor:?}") };
            assert_eq!(*cause, Cause::NotStarted(vec![]));
            assert_eq!(motor.steps, Some(0));
        }
        machine.clear();
        // It was no failure of anything: the same move goes on from here.
        let id = machine.start(&stage_move()).unwrap();
        assert!(machine.wait(id).all_reached());
        check_machine(&mut machine, 0);
    }
}

/// The last whole pulse, then still: also at the busiest instant.
#[test]
fn a_halt_cuts_no_pulse() {
    for seed in seeds(60) {
        let dice = &mut Dice(seed);
        let mut machine = virtual_machine(STAGE);
        let id = machine.start(&stage_move()).unwrap();
        machine.run_for(Duration::from_nanos(dice.between(1e6, 9e8) as u64));
        machine.halt_event().set();
        let before = machine.now().as_nanos();
        let outcome = machine.wait(id);
        assert_eq!(outcome.motors.len(), 3);
        assert!(machine.now().as_nanos() - before < 100_000, "still within a pulse");
        assert!(machine.is_stopped());
        assert_eq!(machine.start(&stage_move()), Err(MoveError::Stopped));
        assert_eq!(machine.state(), MachineState::Halted);
        assert!(machine.clear(), "all of them stand still");
        assert_eq!(machine.state(), MachineState::Idle);
        check_machine(&mut machine, 0);
    }
}

#[test]
fn a_stop_that_nobody_heard_is_not_lost_by_clearing_it() {
    let mut machine = virtual_machine(STAGE);
    let id = machine.start(&stage_move()).unwrap();
    machine.run_for(Duration::from_millis(300));
    machine.stop_event().set();
    machine.clear();
    assert_eq!(machine.wait(id).failed().count(), 3);
    let id = machine.start(&stage_move()).unwrap();
    assert!(machine.wait(id).all_reached());
    check_machine(&mut machine, 0);
}

#[test]
fn a_finished_machine_says_so() {
    let mut machine = Machine::builder(config(STAGE)).virtual_time().build().unwrap();
    machine.finish();
    assert_eq!(machine.start(&stage_move()), Err(MoveError::Finished));
    assert_eq!(machine.finish(), Vec::<String>::new());
}

#[test]
fn ending_one_machine_leaves_another_one_running() {
    let stop = lockstep::sync::StopEvent::new();
    let build = || {
        let builder = Machine::builder(config(STAGE)).virtual_time().stop_event(stop.clone());
        builder.build().unwrap()
    };
    let (mut first, mut second) = (build(), build());
    first.start(&stage_move()).unwrap();
    first.run_for(Duration::from_millis(100));
    let id = second.start(&stage_move()).unwrap();
    drop(first);
    assert!(second.wait(id).all_reached());
}
