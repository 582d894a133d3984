//! Loops that wake late on purpose: no bursts, no cut pulse, no lost count.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::late_fleet::{Lateness, late_machine};
use super::support::*;
use crate::machine::{Cause, Outcome};

fn punctual() -> Lateness {
    Box::new(|_, _| Some(0))
}

/// Late by 1 us to 50 ms, now and then or always.
fn random_lateness(seed: u64) -> Lateness {
    let mut dice = Dice(seed);
    let often = *dice.pick(&[100, 10, 1]);
    let most = dice.between(4.0, 7.7);
    Box::new(move |_, _| Some(if dice.chance(often) { dice.size(3.0, most) as u64 } else { 0 }))
}

/// The checker proves pulse widths, gaps, DIR times and 1/(1.25 x top speed) from the edges.
#[test]
fn a_late_loop_catches_up_without_bursts() {
    for seed in seeds(120) {
        let dice = &mut Dice(seed);
        let (axes, servos) = (1 + dice.below(3) as usize, dice.below(2) as usize);
        let text = random_machine(dice, axes, servos);
        let mut machine = late_machine(&text, random_lateness(seed), random_lateness(!seed));
        let motors = machine.config().motors.clone();
        for _ in 0..1 + dice.below(3) {
            let targets = motors.iter().map(|m| (m, random_target(dice, m)));
            let to = |spec: crate::machine::Move, (m, t): (&crate::config::MotorConfig, f64)| {
                spec.to(&m.name, at(m, t))
            };
            let spec = targets.fold(crate::machine::Move::new(), to);
            let Ok(id) = machine.start(&spec) else { break };
            if dice.chance(50) {
                machine.run_for(Duration::from_nanos(dice.size(3.0, 9.0) as u64));
                machine.stop();
            }
            machine.wait(id);
            machine.clear();
        }
        check_machine(&mut machine, 0);
    }
}

fn stage_with_limit() -> String {
    format!("[machine]\nmax-lateness = \"1ms\"\n{STAGE}")
}

/// Within the limit lateness is counted and stops nothing.
#[test]
fn lateness_within_the_limit_is_counted_alone() {
    let late: Lateness = Box::new(|motor, _| Some(if motor == 1 { 20_000 } else { 0 }));
    let mut machine = late_machine(&stage_with_limit(), late, punctual());
    let id = machine.start(&stage_move()).unwrap();
    assert!(machine.wait(id).all_reached());
    assert!(machine.lateness("y").unwrap().max >= 20_000);
    assert_eq!(machine.lateness("z").unwrap().max, 0);
    check_machine(&mut machine, 0);
}

/// One loop oversleeps once by more: all come to rest on the line, with that as the cause.
#[test]
fn beyond_the_limit_all_come_to_rest() {
    for seed in seeds(60) {
        let dice = &mut Dice(seed);
        // Before it brakes for its target anyway.
        let when = dice.between(1e8, 4.5e8) as u64;
        let by = dice.between(2e6, 4e7) as u64;
        let times = Arc::new(AtomicU64::new(0));
        let count = times.clone();
        let late: Lateness = Box::new(move |motor, now| {
            let once =
                motor == 0 && now.as_nanos() > when && count.fetch_add(1, Ordering::Relaxed) == 0;
            Some(if once { by } else { 0 })
        });
        let mut machine = late_machine(&stage_with_limit(), late, punctual());
        let motors = machine.config().motors.clone();
        let id = machine.start(&stage_move()).unwrap();
        let outcome = machine.wait(id);
        let (_, steps) = check_machine(&mut machine, 0);
        let mut shares = Vec::new();
        for ((motor, (_, target)), steps) in motors.iter().zip(TARGETS).zip(&steps) {
            let end = outcome.motor(&motor.name).unwrap();
            assert!(
                matches!(end.outcome, Outcome::Short { cause: Cause::Late, .. }),
                "{}: {:?}",
                motor.name,
                end.outcome
            );
            let goal = steps_at(axis(motor).unwrap(), target) as f64;
            shares.push((steps.last().unwrap().1 as f64 / goal, 1.0 / goal.abs()));
        }
        let low = shares.iter().map(|(s, step)| s - step).fold(f64::MIN, f64::max);
        let high = shares.iter().map(|(s, step)| s + step).fold(f64::MAX, f64::min);
        assert!(low <= high, "not on the line: {shares:?}");
        assert!(high < 1.0);
    }
}
