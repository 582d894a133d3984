//! Random machines and random moves.

use std::time::Duration;

use crate::support::*;
use lockstep::config::Arrive;
use lockstep::machine::{Machine, Move, MoveError, Outcome};

/// After any moves and stops: edges counted = steps reported = position, and every rule of the driver
/// kept.
#[test]
fn the_count_is_exact_whatever_happens() {
    for seed in seeds(150) {
        let dice = &mut Dice(seed);
        let (axes, servos) = (1 + dice.below(4) as usize, dice.below(3) as usize);
        let text = random_machine(dice, axes, servos);
        let text = random_outputs(dice, &text);
        let mut machine = virtual_machine(&text);
        let motors = machine.config().motors.clone();
        let quiet = dice.below(3) * 1_000_000;
        machine.run_for(Duration::from_nanos(quiet));
        for _ in 0..1 + dice.below(8) {
            random_move(&mut machine, &motors, dice);
        }
        check_machine(&mut machine, quiet);
    }
}

/// A move of some of the motors, which may be stopped on the way, in any of the ways there are.
fn random_move(machine: &mut Machine, motors: &[lockstep::config::MotorConfig], dice: &mut Dice) {
    let mut spec = Move::new();
    let mut targets = Vec::new();
    for (i, motor) in motors.iter().enumerate() {
        if dice.chance(70) || (i + 1 == motors.len() && targets.is_empty()) {
            let target = random_target(dice, motor);
            spec = spec.to(&motor.name, at(motor, target));
            targets.push((motor, target));
        }
    }
    if dice.chance(40) {
        spec = spec.arrive(Arrive::Asap);
    }
    if dice.chance(40) {
        spec = spec.speed(dice.between(0.1, 1.0));
    }
    let id = machine.start(&spec).unwrap();
    let stop = dice.below(5);
    if stop < 4 {
        machine.run_for(Duration::from_nanos(dice.size(3.0, 9.5) as u64));
    }
    match stop {
        0 => machine.stop(),
        1 => machine.stop_move(id),
        2 => machine.stop_event().set(),
        _ => {}
    }
    let stopped = stop < 3;
    let outcome = machine.wait(id);
    assert_eq!(outcome.motors.len(), targets.len());
    for (motor, target) in targets {
        let end = outcome.motor(&motor.name).unwrap();
        match &end.outcome {
            Outcome::Reached => {
                if let Some(axis) = axis(motor) {
                    assert_eq!(end.steps, Some(steps_at(axis, target)));
                }
            }
            Outcome::Short { cause, by } => {
                assert!(stopped && cause.is_stop(), "{}: {cause:?}", motor.name);
                // A servo that never had a signal stands nobody knows where.
                let off = (target - end.position).abs() - by;
                assert!(end.position.is_nan() || off.abs() < 1e-8, "{end:?} of {target}");
            }
        }
    }
    if stopped && dice.chance(30) {
        machine.run_for(Duration::from_nanos(dice.size(3.0, 8.0) as u64));
    }
    if stop == 2 {
        let refused = machine.start(&spec).unwrap_err();
        assert_eq!(refused, MoveError::Stopped);
    }
    machine.clear();
    assert!(!machine.is_stopped());
}

/// Steps come when the plan crosses their thresholds, to the nanosecond, and none is early.
#[test]
fn each_step_comes_when_its_plan_says() {
    use lockstep::motion::{Limits, Planner, State, line_limits};
    for seed in seeds(60) {
        let dice = &mut Dice(seed);
        let axes = 1 + dice.below(4) as usize;
        let text = random_machine(dice, axes, 0);
        let mut machine = virtual_machine(&text);
        let motors = machine.config().motors.clone();
        let speed = *dice.pick(&[1.0, 0.5, 0.07]);
        let asap = dice.chance(30);
        let mut plans = Vec::new();
        for _ in 0..3 {
            let mut spec = Move::new().speed(speed);
            if asap {
                spec = spec.arrive(Arrive::Asap);
            }
            let mut ways = Vec::new();
            for motor in &motors {
                let axis = axis(motor).unwrap();
                let target = random_target(dice, motor);
                spec = spec.to(&motor.name, at(motor, target));
                let from = steps_at(axis, machine.position(&motor.name).unwrap()) as f64;
                let scale = axis.steps_per_unit.to_f64();
                let limits = Limits {
                    speed: motor.limits.speed * scale * speed,
                    acceleration: motor.limits.acceleration * scale,
                    jerk: motor.limits.jerk * scale,
                };
                ways.push((from, steps_at(axis, target) as f64 - from, limits));
            }
            let id = machine.start(&spec).unwrap();
            assert!(machine.wait(id).all_reached());
            plans.push(ways);
        }
        let clean = motors.iter().all(|m| machine.lateness(&m.name).unwrap().max == 0);
        let (recording, steps) = check_machine(&mut machine, 0);
        let begun = moves(&recording);
        let mut planner = Planner::new();
        let moving = plans.iter().filter(|ways| ways.iter().any(|w| w.1 != 0.0));
        for (n, ways) in moving.enumerate() {
            let zero = begun[n].1;
            let until = begun.get(n + 1).map_or(u64::MAX, |next| next.1);
            let line = line_limits(ways.iter().map(|w| (w.1, w.2))).unwrap();
            let s = planner.plan_to(State::at_rest(0.0), 1.0, line).unwrap();
            for ((from, way, limits), steps) in ways.iter().zip(&steps) {
                let plan = match asap {
                    true => planner.plan_to(State::at_rest(*from), from + way, *limits).unwrap(),
                    false => s.scaled(*from, *way),
                };
                let up = *way > 0.0;
                for &(rise, count) in steps.iter().filter(|s| s.0 >= zero && s.0 < until) {
                    let threshold = count as f64 + if up { -0.25 } else { 0.25 };
                    let past = |nanos: u64| {
                        let p = plan.state_at(nanos).position - threshold;
                        if up { p } else { -p }
                    };
                    let t = rise - zero;
                    assert!(past(t) > -1e-6, "step to {count} is early at {t}: {}", past(t));
                    if clean && t > 1 {
                        assert!(past(t - 2) < 1e-6, "step to {count} is late at {t}");
                    }
                }
            }
        }
    }
}
