//! The change of plan in two phases, with loops that answer late or never.

use std::time::Duration;

use super::late_fleet::{Lateness, late_machine};
use super::support::*;
use crate::machine::{Cause, Machine, Move, MoveOutcome, Outcome, Place};
use crate::units::Length;

const MS: u64 = 1_000_000;

fn punctual() -> Lateness {
    Box::new(|_, _| Some(0))
}

fn cause<'a>(outcome: &'a MoveOutcome, motor: &str) -> Option<&'a Cause> {
    match &outcome.motor(motor).unwrap().outcome {
        Outcome::Reached => None,
        Outcome::Short { cause, .. } => Some(cause),
    }
}

/// All motors but `without` rest within a step of one place on the line.
fn check_on_line(machine: &Machine, steps: &[Vec<Step>], without: &str) -> f64 {
    let motors = &machine.config().motors;
    let (mut low, mut high) = (f64::MIN, f64::MAX);
    for ((motor, (name, target)), steps) in motors.iter().zip(TARGETS).zip(steps) {
        if name != without {
            let goal = steps_at(axis(motor).unwrap(), target) as f64;
            let share = steps.last().map_or(0, |s| s.1) as f64 / goal;
            low = low.max(share - 1.0 / goal.abs());
            high = high.min(share + 1.0 / goal.abs());
        }
    }
    assert!(low <= high, "not on the line: {low} to {high}");
    high
}

/// One answers only after the change's instant: the change expires for all and is made again, later.
#[test]
fn a_late_answer_moves_the_change_for_all() {
    for late in [5, 11, 15, 25, 60, 100, 150] {
        let hear: Lateness = Box::new(move |motor, now| {
            Some(if motor == 1 && now.as_nanos() > 100 * MS { late * MS } else { 0 })
        });
        let mut machine = late_machine(STAGE, punctual(), hear);
        let id = machine.start(&stage_move()).unwrap();
        machine.run_for(Duration::from_millis(200));
        machine.stop_move(id);
        let outcome = machine.wait(id);
        for motor in ["x", "y", "z"] {
            assert_eq!(cause(&outcome, motor), Some(&Cause::Stopped), "{motor} at {late} ms");
            assert_eq!(machine.place(motor), Some(Place::Assumed));
        }
        let (_, steps) = check_machine(&mut machine, 0);
        assert!(check_on_line(&machine, &steps, "") < 1.0);
    }
}

/// Random answers: whatever comes of it, the count holds and those that agreed are on the line.
#[test]
fn all_change_or_none() {
    for seed in seeds(150) {
        let mut dice = Dice(seed);
        let slowest = dice.between(5.0, 8.3);
        let mut own = Dice(seed ^ 1);
        let hear: Lateness = Box::new(move |_, now| {
            Some(if now.as_nanos() > 100 * MS { own.size(3.0, slowest) as u64 } else { 0 })
        });
        let mut machine = late_machine(STAGE, punctual(), hear);
        let id = machine.start(&stage_move()).unwrap();
        machine.run_for(Duration::from_nanos(dice.between(1e8, 7e8) as u64));
        machine.stop_event().set();
        let outcome = machine.wait(id);
        let gone = [Some(Place::Unverified), Some(Place::Unknown)];
        let halted = ["x", "y", "z"].iter().any(|m| gone.contains(&machine.place(m)));
        assert_eq!(outcome.motors.len(), 3);
        // What is still in the mail reaches its motor: nothing may come of it.
        machine.run_for(Duration::from_secs(1));
        let (_, steps) = check_machine(&mut machine, 0);
        if !halted {
            check_on_line(&machine, &steps, "");
        }
    }
}

/// A loop that dies on the way neither answers nor steps: the others rest on the line, and it is named.
#[test]
fn a_dead_loop_does_not_hold_the_others() {
    for seed in seeds(30) {
        let mut dice = Dice(seed);
        let when = dice.between(1e8, 4e8) as u64;
        let dead = dice.below(3) as usize;
        let wake: Lateness =
            Box::new(move |m, now| (m != dead || now.as_nanos() < when).then_some(0));
        let hear: Lateness =
            Box::new(move |m, now| (m != dead || now.as_nanos() < when).then_some(0));
        // Longer than the stop takes to give the dead one up.
        let long = Move::new().to("x", Length(120.0)).to("y", Length(-19.0)).to("z", Length(40.0));
        let mut machine = late_machine(STAGE, wake, hear);
        let name = machine.config().motors[dead].name.clone();
        let id = machine.start(&long).unwrap();
        machine.run_for(Duration::from_nanos(when + 50 * MS));
        machine.stop_event().set();
        let asked = machine.now();
        let outcome = machine.wait(id);
        assert!(machine.now().since(asked) < Duration::from_secs(3));
        for motor in ["x", "y", "z"].into_iter().filter(|m| *m != name) {
            assert_eq!(cause(&outcome, motor), Some(&Cause::Stopped));
            assert_eq!(machine.place(motor), Some(Place::Assumed), "{motor} braked");
        }
        assert_eq!(cause(&outcome, &name), Some(&Cause::NoAnswer));
        assert_eq!(machine.place(&name), Some(Place::Unverified));
        let asked = machine.now();
        assert_eq!(machine.finish(), [name]);
        assert!(machine.now().since(asked) < Duration::from_secs(3));
    }
}

/// Nobody answers at all.
#[test]
fn a_dead_fleet_is_given_up() {
    let wake: Lateness = Box::new(|_, now| (now.as_nanos() < 300 * MS).then_some(0));
    let hear: Lateness = Box::new(|_, now| (now.as_nanos() < 300 * MS).then_some(0));
    let mut machine = late_machine(STAGE, wake, hear);
    let id = machine.start(&stage_move()).unwrap();
    let outcome = machine.wait(id);
    assert!(machine.now().as_nanos() < 12_000 * MS, "{}", machine.now());
    for motor in ["x", "y", "z"] {
        assert_eq!(cause(&outcome, motor), Some(&Cause::NoAnswer));
    }
    assert_eq!(machine.finish(), ["x", "y", "z"]);
}

/// A loop that never comes to the barrier: named, and nobody moves. Alone it can't even break it.
#[test]
fn a_loop_that_never_arms_is_named() {
    let deaf = || -> Lateness { Box::new(|motor, _| (motor != 2).then_some(0)) };
    let mut machine = late_machine(STAGE, punctual(), deaf());
    let id = machine.start(&stage_move()).unwrap();
    let outcome = machine.wait(id);
    assert!(machine.now().as_nanos() < 4_000 * MS);
    for motor in ["x", "y"] {
        assert_eq!(cause(&outcome, motor), Some(&Cause::NotStarted(vec!["z".into()])));
    }
    assert_eq!(cause(&outcome, "z"), Some(&Cause::NoAnswer));

    let mut machine = late_machine(STAGE, punctual(), deaf());
    let id = machine.start(&Move::new().to("z", Length(5.0))).unwrap();
    assert_eq!(cause(&machine.wait(id), "z"), Some(&Cause::NoAnswer));
    assert!(machine.now().as_nanos() < 4_000 * MS);
    assert_eq!(machine.finish(), ["z"]);
}

/// A full mailbox: the move ends at once for the others.
#[test]
fn a_full_mailbox_is_a_loop_that_does_not_answer() {
    let deaf: Lateness = Box::new(|motor, _| (motor != 0).then_some(0));
    let mut machine = late_machine(STAGE, punctual(), deaf);
    for _ in 0..16 {
        machine.roster.fleet.send(0, crate::motor::Command::Release).unwrap();
    }
    let id = machine.start(&stage_move()).unwrap();
    let outcome = machine.wait(id);
    assert!(machine.now().as_nanos() < 100 * MS);
    assert_eq!(cause(&outcome, "x"), Some(&Cause::NoAnswer));
    assert_eq!(cause(&outcome, "y"), Some(&Cause::NotStarted(vec!["x".into()])));
    assert_eq!(cause(&outcome, "z"), Some(&Cause::NotStarted(vec!["x".into()])));
}

/// The time-out of a move counts from its start, not from when it was asked for.
#[test]
fn a_time_out_counts_from_the_start() {
    // y never wakes up again after its first few steps, and nobody stops the machine.
    let wake: Lateness = Box::new(|m, now| (m != 1 || now.as_nanos() < 500 * MS).then_some(0));
    let mut machine = late_machine(STAGE, wake, punctual());
    let id = machine.start(&stage_move().timeout(Duration::from_millis(1500))).unwrap();
    let mut at = Vec::new();
    while let Some(end) = machine.next_outcome(&[id]) {
        at.push((end.motor.clone(), end.outcome.is_reached(), machine.now().as_nanos() / MS));
    }
    assert_eq!(at.len(), 3);
    assert!(at.iter().any(|(motor, reached, _)| motor == "x" && *reached));
    let (_, reached, when) = at.iter().find(|a| a.0 == "y").unwrap();
    // The command to halt reaches it, since its mailbox is read: late, but exact.
    assert!(!reached && *when < 1500 + 10 + 3000, "{at:?}");
}

/// A stop between the barrier's release and the last loop's look at it reaches that loop, too.
#[test]
fn a_change_reaches_a_loop_that_has_not_seen_its_release() {
    for seed in seeds(40) {
        let mut dice = Dice(seed);
        let slow = dice.below(3) as usize;
        let by = dice.between(1e5, 4e6) as u64;
        // Looks at its barrier late, but is on time for its steps' first 5 ms.
        let wake: Lateness =
            Box::new(move |m, now| Some(if m == slow && now.as_nanos() < 4 * MS { by } else { 0 }));
        let mut machine = late_machine(STAGE, wake, punctual());
        let id = machine.start(&stage_move()).unwrap();
        machine.run_for(Duration::from_nanos(dice.between(1.6e6, 3.5e6) as u64));
        machine.stop_event().set();
        let outcome = machine.wait(id);
        assert!(outcome.motors.iter().all(|m| !m.outcome.is_reached()), "{outcome:?}");
        assert!(machine.now().as_nanos() < 300 * MS, "they stopped: {}", machine.now());
        let (_, steps) = check_machine(&mut machine, 0);
        check_on_line(&machine, &steps, "");
    }
}
