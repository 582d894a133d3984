//! Jogs that are true: no plan of a jog, a hold or a stop turns a motor round, and what is asked for is done
//! or refused.

use std::time::Duration;

use lockstep::machine::{Jog, Machine, Move, MoveError};
use lockstep::motion::PlanError;
use lockstep::trace::Recording;
use lockstep::units::{Instant, Length, Speed};
use lockstep::verify::{Options, verify};

use crate::support::*;

const MS: Duration = Duration::from_millis(1);

/// A plain axis, with more lines to its table.
fn plain(name: &str, step: u8, dir: u8, more: &str) -> String {
    format!(
        "[axis.{name}]\nstep = {{ gpio = {step} }}\ndir = {{ gpio = {dir} }}\ndriver = \"drv8825\"\n\
         steps-per-revolution = 200\nmicrosteps = 16\ndistance-per-revolution = \"8mm\"\n\
         travel = {{ min = \"0mm\", max = \"200mm\" }}\nmax-speed = \"50mm/s\"\n\
         max-acceleration = \"500mm/s^2\"\nat-start = {{ assume = \"20mm\" }}\n{more}\n"
    )
}

fn two() -> String {
    plain("x", 17, 27, "") + &plain("y", 23, 24, "")
}

fn with_play() -> String {
    plain("x", 17, 27, "backlash = \"0.28mm\"") + &plain("y", 23, 24, "")
}

fn jog(motor: &str, velocity: f64, lasts: Duration) -> Jog {
    Jog::lasting(lasts).at(motor, Speed(velocity))
}

/// How often the steps of an axis turn round.
fn turns(steps: &[Step]) -> usize {
    let ways: Vec<bool> = steps.windows(2).map(|two| two[1].1 > two[0].1).collect();
    ways.windows(2).filter(|two| two[0] != two[1]).count()
}

/// Ends the machine; `verify` finds nothing.
fn proved(mut machine: Machine) -> Recording {
    assert_eq!(machine.finish(), Vec::<String>::new());
    let recording = machine.take_recording().unwrap();
    let mut vcd = Vec::new();
    recording.write_vcd(&mut vcd, "").unwrap();
    let report = verify(&vcd[..], machine.config(), &Options::default()).unwrap();
    let told = || moves_told(&recording).join(" ");
    assert!(report.is_clean(), "{report}\n{}", told());
    recording
}

/// What the trace says of moves.
fn moves_told(recording: &Recording) -> Vec<String> {
    let id = recording.find("machine.move").unwrap();
    recording.records(id).map(|(at, value)| format!("{at} {value:?}")).collect()
}

/// Steps of an axis, up or down, by its edges alone: those in the play, too.
fn strides(recording: &Recording, motor: &str) -> Vec<(u64, i64)> {
    let dir = edges(recording, &format!("{motor}.dir"));
    let rises = edges(recording, &format!("{motor}.step")).into_iter().skip(1).filter(|e| e.1);
    let way = |at: u64| dir.iter().rfind(|d| d.0 < at).is_some_and(|d| d.1);
    rises.map(|(at, _)| (at, if way(at) { 1 } else { -1 })).collect()
}

/// M8.
#[test]
fn a_jog_that_is_not_renewed_any_more_ends_without_turning() {
    let mut machine = virtual_machine(&two());
    let id = machine.jog(&jog("x", 20.0, 200 * MS)).unwrap();
    machine.run_for(140 * MS);
    machine.change_jog(id, &jog("x", 20.0, 200 * MS)).unwrap();
    assert!(machine.wait(id).all_reached());
    let (_, steps) = check_machine(&mut machine, 0);
    assert_eq!(turns(&steps[0]), 0);
}

/// What was asked of an axis, and how often that changed its direction.
struct Asked {
    way: f64,
    turns: usize,
}

/// M8, the kind: renewals, lower and higher speeds, overrides, holds and stops at random, also near the ends of
/// the travel. An axis turns when it is told to, and at no other time.
#[test]
fn no_jog_hold_or_stop_turns_a_motor_round() {
    let (mut renewed, mut turned, mut at_end) = (0, 0, 0);
    for seed in seeds(400) {
        let dice = &mut Dice(seed);
        let mut machine = virtual_machine(&random_machine(dice, 1, 0));
        let top = machine.config().motors[0].limits.speed;
        let name = machine.config().motors[0].name.clone();
        let angular = machine.config().motors[0].unit == lockstep::config::MotorUnit::Degree;
        let at = |jog: Jog, v: f64| match angular {
            true => jog.at(&name, lockstep::units::AngularSpeed(v)),
            false => jog.at(&name, Speed(v)),
        };
        let mut asked = Asked { way: 0.0, turns: 0 };
        let mut speed = top;
        for _ in 0..4 + dice.below(20) {
            match dice.below(10) {
                0 => machine.hold(),
                1 => machine.resume(),
                2 => machine.set_override(dice.size(0.0, 2.3).clamp(1.0, 200.0)).unwrap(),
                3 => machine.stop_motor(&name).unwrap(),
                _ => {
                    // The same again, as a rule: whoever holds a key down.
                    speed = match dice.below(5) {
                        0 => speed * dice.unit(),
                        1 => top * dice.size(-3.0, 0.0),
                        2 if dice.chance(20) => 0.0,
                        _ => speed,
                    };
                    let way = match dice.below(8) {
                        0 => -asked.way,
                        _ if asked.way == 0.0 => 1.0,
                        _ => asked.way,
                    };
                    let lasts = Duration::from_nanos(dice.size(6.0, 9.5) as u64);
                    match machine.steer(&at(Jog::lasting(lasts), way * speed)) {
                        Ok(steered) => {
                            renewed += u64::from(!steered[0].begun);
                            if speed != 0.0 && way != asked.way {
                                asked.turns += usize::from(asked.way != 0.0);
                                asked.way = way;
                            }
                        }
                        // It ends, or comes to a stop.
                        Err(MoveError::Busy { .. } | MoveError::Arrived { .. }) => {}
                        Err(e) => panic!("seed {seed}: {e}"),
                    }
                }
            }
            machine.run_for(Duration::from_nanos(dice.size(5.0, 9.0) as u64));
        }
        machine.resume();
        machine.run_for(Duration::from_secs(4));
        let motor = machine.config().motors[0].clone();
        let place = machine.position(&name).unwrap();
        at_end += u64::from(place >= motor.travel.max - 1e-3 || place <= motor.travel.min + 1e-3);
        let (_, steps) = check_machine(&mut machine, 0);
        let seen = turns(&steps[0]);
        assert!(
            seen <= asked.turns,
            "seed {seed}: {seen} turns, and {} were asked for",
            asked.turns
        );
        turned += seen;
    }
    println!("{renewed} renewals, {turned} turns, {at_end} at an end of the travel");
    assert!(renewed > 500 && turned > 50 && at_end > 10, "{renewed} {turned} {at_end}");
}

/// M9.
#[test]
fn a_jog_back_comes_to_rest_takes_up_the_play_and_goes_back() {
    let mut machine = virtual_machine(&with_play());
    let id = machine.jog(&jog("x", 5.0, 6000 * MS)).unwrap();
    machine.run_for(1000 * MS);
    machine.change_jog(id, &jog("x", -5.0, 6000 * MS)).unwrap();
    machine.run_for(2000 * MS);
    let there = machine.position("x").unwrap();
    assert!(there < 17.0, "{there} mm");
    // And on again, the other way: within the same jog.
    machine.change_jog(id, &jog("x", 5.0, 1000 * MS)).unwrap();
    assert!(machine.wait(id).all_reached());
    let end = machine.position("x").unwrap();
    assert!((3.5..4.9).contains(&(end - there)), "{there} to {end}");
    let recording = proved(machine);
    let strides = strides(&recording, "x");
    let net: i64 = strides.iter().map(|s| s.1).sum();
    assert_eq!(net, ((end - 20.0) * 400.0).round() as i64, "the play is behind it again");
    let back = strides.iter().position(|s| s.1 < 0).unwrap();
    // The play is 112 steps, between rest and rest.
    let (before, after) = (strides[back - 1].0, strides[back].0);
    assert!(after - before > 1_000_000, "it turns at rest: {} ns", after - before);
}

/// Whatever comes while the play is taken up, the nut is where the count says, and every rule is kept.
#[test]
fn what_comes_while_the_play_is_taken_up_waits_for_it() {
    let (mut there, mut turned) = (0, 0);
    for seed in seeds(300) {
        let dice = &mut Dice(seed);
        let mut machine = virtual_machine(&with_play());
        let mut way = if dice.chance(50) { 1.0 } else { -1.0 };
        for _ in 0..3 + dice.below(12) {
            match dice.below(10) {
                0 => machine.hold(),
                1 | 2 => machine.resume(),
                3 => machine.stop_motor("x").unwrap(),
                4 => machine.set_override(dice.between(5.0, 200.0)).unwrap(),
                _ => {
                    if dice.chance(50) {
                        way = -way;
                    }
                    let speed = way * dice.size(-1.0, 1.69);
                    let lasts = dice.size(6.5, 9.3) as u64;
                    let asked = jog("x", speed, Duration::from_nanos(lasts));
                    match machine.steer(&asked) {
                        Ok(_) => there += 1,
                        Err(MoveError::Busy { .. } | MoveError::Arrived { .. }) => {}
                        Err(e) => panic!("{e}"),
                    }
                }
            }
            machine.run_for(Duration::from_nanos(dice.size(6.0, 8.7) as u64));
        }
        // A halt in what comes before a move is not in the trace.
        let halted = dice.chance(20);
        if halted {
            machine.halt();
        }
        machine.resume();
        machine.run_for(Duration::from_secs(3));
        let (config, place) = (machine.config().clone(), machine.position("x").unwrap());
        assert_eq!(config.motors[0].name, "x");
        let recording = if halted {
            machine.finish();
            machine.take_recording().unwrap()
        } else {
            proved(machine)
        };
        // The nut, whom a spindle pushes up or down with 112 steps of play.
        let (mut spindle, mut nut) = (8000_i64, 8000_i64);
        let strides = strides(&recording, "x");
        for (_, step) in &strides {
            spindle += step;
            nut = nut.clamp(spindle, spindle + 112);
        }
        turned += strides.windows(2).filter(|two| two[0].1 != two[1].1).count();
        assert_eq!(nut, (place * 400.0).round() as i64, "seed {seed}");
    }
    assert!(there > 800 && turned > 100, "{there} {turned}");
}

/// M10.
#[test]
fn a_jog_with_play_goes_on_as_long_as_it_is_renewed() {
    for text in [two(), with_play()] {
        let mut machine = virtual_machine(&text);
        let id = machine.jog(&jog("x", 5.0, 200 * MS)).unwrap();
        for _ in 0..76 {
            machine.run_for(50 * MS);
            machine.change_jog(id, &jog("x", 5.0, 200 * MS)).unwrap();
        }
        assert!(machine.wait(id).all_reached());
        let gone = machine.position("x").unwrap() - 20.0;
        assert!((gone - 19.9).abs() < 0.3, "{gone} mm");
        proved(machine);
    }
}

/// M11: 0 is rest, for one of them; the set may change; each has its own time.
#[test]
fn the_motors_of_a_jog_may_change() {
    let mut machine = virtual_machine(&two());
    let both = jog("x", 5.0, 400 * MS).at("y", Speed(0.0));
    let first = machine.steer(&both).unwrap();
    machine.run_for(200 * MS);
    assert!(machine.position("x").unwrap() > 20.5);
    assert_eq!(machine.position("y"), Some(20.0));
    // y joins, x is left out: it keeps what it has, to its own end.
    let second = machine.steer(&jog("y", 5.0, 2000 * MS)).unwrap();
    assert!(second[0].begun && second[0].jog != first[0].jog);
    machine.run_for(500 * MS);
    assert!(!machine.is_busy("x") && machine.is_busy("y"));
    let x = machine.position("x").unwrap();
    assert!((x - 22.2).abs() < 0.3, "{x}");
    // x joins again, y comes to rest.
    let third = machine.steer(&jog("y", 0.0, 300 * MS).at("x", Speed(-5.0))).unwrap();
    assert!(!third[0].begun && third[1].begun);
    machine.run_for(250 * MS);
    assert!(machine.is_busy("x") && !machine.is_busy("y"), "0 is rest");
    machine.run_for(1000 * MS);
    assert!(!machine.is_busy("x"));
    // All or nothing: what is wrong with one motor changes no other.
    let one = machine.steer(&jog("x", 5.0, 1000 * MS)).unwrap();
    machine.run_for(200 * MS);
    let before = machine.now();
    let wrong = machine.steer(&jog("x", 0.0, 1000 * MS).at("y", Speed(51.0)));
    assert!(matches!(wrong, Err(MoveError::JogSpeed { .. })));
    assert_eq!(machine.now(), before);
    machine.run_for(400 * MS);
    assert!(machine.is_under_way(one[0].jog) && !machine.is_busy("y"));
    proved(machine);
}

const FINE: &str = "[axis.x]\nstep = { gpio = 17 }\ndir = { gpio = 27 }\ndriver = \"drv8825\"\n\
    steps-per-revolution = 200\nmicrosteps = 32\ndistance-per-revolution = \"0.8mm\"\n\
    travel = { min = \"0mm\", max = \"60mm\" }\nmax-speed = \"5mm/s\"\n\
    max-acceleration = \"50mm/s^2\"\nat-start = { assume = \"0mm\" }\n";

/// M12: its own time bounds a jog, not the time to the end of the travel.
#[test]
fn a_very_slow_jog_is_taken() {
    let mut machine = virtual_machine(FINE);
    let id = machine.jog(&jog("x", 0.000125 / 60.0, Duration::from_secs(600))).unwrap();
    assert!(machine.wait(id).all_reached());
    assert_eq!(machine.steps("x"), Some(10));
    let took = machine.now().as_nanos() as f64 / 1e9;
    assert!((600.0..601.0).contains(&took), "{took} s");
    proved(machine);
}

/// M12: an override is applied, or it says no.
#[test]
fn an_override_is_applied_or_refused() {
    let mut machine = virtual_machine(FINE);
    // 50 mm at 0.001 mm/s take 14 hours; at a hundredth of that 58 days; slower than 100 days is no plan.
    let slow = Move::new().to("x", Length(50.0)).speed(0.0002);
    let id = machine.start(&slow).unwrap();
    machine.run_for(1000 * MS);
    machine.set_override(1.0).unwrap();
    machine.run_for(1000 * MS);
    let velocity = machine.snapshot().motors[0].velocity;
    assert!((velocity - 0.00001).abs() < 1e-9, "{velocity}");
    let refused = machine.set_override_of(id, 50.0).unwrap_err();
    let too_long =
        |e: &MoveError| matches!(e, MoveError::Plan { error: PlanError::TooLong { .. }, .. });
    assert!(too_long(&refused), "{refused}");
    machine.set_override_of(id, 100.0).unwrap();
    machine.set_override(100.0).unwrap();
    machine.set_override_of(id, 1.5).unwrap();
    let refused = machine.set_override(1.0).unwrap_err();
    assert!(too_long(&refused), "{refused}");
    assert_eq!(machine.speed_override(), 100.0, "nothing has changed");
    machine.run_for(1000 * MS);
    let velocity = machine.snapshot().motors[0].velocity;
    assert!((velocity - 0.000015).abs() < 1e-9, "{velocity}");
}

/// Works until the machine rests, or says that it gets nowhere.
fn plan_rest(machine: &mut Machine) {
    let (mut at, mut turns) = (machine.now(), 0);
    while !machine.snapshot().moves.is_empty() {
        machine.work(Instant::FAR);
        turns = if machine.now() > at { 0 } else { turns + 1 };
        at = machine.now();
        assert!(turns < 1000, "no time passes at {at}: {:?}", machine.snapshot());
    }
}

/// M13.
#[test]
fn a_slow_jog_that_was_held_ends() {
    let mut machine = virtual_machine(&two());
    machine.jog(&jog("x", 0.001, 219 * MS)).unwrap();
    machine.hold();
    machine.set_override(1.0).unwrap();
    machine.run_for(5000 * MS);
    machine.resume();
    plan_rest(&mut machine);
    check_machine(&mut machine, 0);
}

/// M13, the kind: whatever is wished for, at whatever speed, time passes.
#[test]
fn no_wait_of_the_machine_is_without_progress() {
    for seed in seeds(300) {
        let dice = &mut Dice(seed);
        let mut machine = virtual_machine(&two());
        for _ in 0..2 + dice.below(10) {
            let name = *dice.pick(&["x", "y"]);
            match dice.below(9) {
                0 => machine.hold(),
                1 => machine.resume(),
                2 => drop(machine.set_override(dice.size(0.0, 2.3).clamp(1.0, 200.0))),
                3 => {
                    let targets = Move::new().to("x", Length(dice.between(19.0, 21.0)));
                    drop(machine.start(&targets.to("y", Length(dice.between(0.0, 60.0)))));
                }
                4 => {
                    let moves = machine.snapshot().moves;
                    if let Some(&id) = moves.first() {
                        let target = Length(dice.between(10.0, 40.0));
                        drop(machine.retarget(id, &Move::new().to(name, target)));
                        drop(machine.set_override_of(id, dice.between(1.0, 200.0)));
                    }
                }
                _ => {
                    let speed = dice.size(-6.0, 1.69) * if dice.chance(50) { 1.0 } else { -1.0 };
                    let lasts = Duration::from_nanos(dice.size(3.0, 9.7) as u64);
                    drop(machine.steer(&jog(name, speed, lasts)));
                }
            }
            if dice.chance(70) {
                machine.run_for(Duration::from_nanos(dice.size(3.0, 10.0) as u64));
            }
        }
        machine.set_override(100.0).unwrap();
        machine.resume();
        plan_rest(&mut machine);
        check_machine(&mut machine, 0);
    }
}
