//! Servos: pulses that follow the plan, and signals that end whole.

use std::time::Duration;

use lockstep::config::Arrive;
use lockstep::machine::{Machine, Move, Place, RunOptions};
use lockstep::motion::{Limits, Planner, State};
use lockstep::units::Angle;

use crate::support::*;

fn servo(more: &str) -> String {
    format!(
        "[servo.pan]\npwm = {{ gpio = 12 }}\npulse = {{ min = \"1000us\", max = \"2000us\" }}\n\
         angle = {{ min = \"-45deg\", max = \"45deg\" }}\nmax-speed = \"200deg/s\"\n\
         max-acceleration = \"2000deg/s^2\"\nmax-jerk = \"20000deg/s^3\"\n{more}\n"
    )
}

const LIMITS: Limits = Limits { speed: 200.0, acceleration: 2000.0, jerk: 20_000.0 };
const PERIOD: u64 = 20_000_000;

fn pulses(machine: &mut Machine) -> Vec<(u64, u64)> {
    let (recording, _) = check_machine(machine, 0);
    edges(&recording, "pan.pulse")[1..].chunks(2).map(|p| (p[0].0, p[1].0 - p[0].0)).collect()
}

/// The width for an angle, worked out anew.
fn width(angle: f64) -> u64 {
    (1_500_000.0 + angle / 45.0 * 500_000.0).round() as u64
}

fn go(machine: &mut Machine, angle: f64) {
    let id = machine.start(&Move::new().to("pan", Angle(angle))).unwrap();
    assert!(machine.wait(id).all_reached());
}

#[test]
fn every_pulse_is_where_the_plan_is_when_it_begins() {
    for seed in seeds(40) {
        let dice = &mut Dice(seed);
        let mut machine = virtual_machine(&servo(""));
        let mut plans = Vec::new();
        let mut from = None;
        for _ in 0..3 {
            let to = dice.between(-45.0, 45.0);
            let arrive = *dice.pick(&[Arrive::Aligned, Arrive::Asap]);
            let id = machine.start(&Move::new().to("pan", Angle(to)).arrive(arrive)).unwrap();
            assert!(machine.wait(id).all_reached());
            assert_eq!(machine.position("pan"), Some(to));
            plans.push((from.unwrap_or(to), to));
            from = Some(to);
            machine.run_for(Duration::from_nanos(dice.between(0.0, 1e8) as u64));
        }
        machine.finish();
        let recording = machine.take_recording().unwrap();
        let begun = moves(&recording);
        let edges = edges(&recording, "pan.pulse");
        let mut planner = Planner::new();
        let expected = |at: u64, planner: &mut Planner| {
            let n = begun.iter().rposition(|m| m.1 <= at)?;
            let (from, to) = plans[n];
            let plan = planner.plan_to(State::at_rest(from), to, LIMITS).unwrap();
            // A width is written a fifth of a period before its pulse: not before the move began.
            let gone = at - begun[n].1;
            Some(plan.state_at(if gone < PERIOD / 5 && n > 0 { 0 } else { gone }).position)
        };
        let last = edges.len() - 1;
        for (i, pulse) in edges[1..].chunks(2).enumerate() {
            let (rise, fall) = (pulse[0].0, pulse[1].0);
            let angle = expected(rise, &mut planner).expect("no pulse before the first move");
            let off = (fall - rise).abs_diff(width(angle));
            assert!(off <= 2, "pulse {i} of {last} is {off} ns off at {rise}");
        }
    }
}

#[test]
fn a_servo_at_rest_writes_nothing() {
    // Its loop must not even be asked: the deadlines that virtual time passes are the measure.
    let mut machine = virtual_machine(&servo(""));
    go(&mut machine, 10.0);
    let counted = machine.lateness("pan").unwrap().count;
    machine.run_for(Duration::from_secs(3600));
    assert_eq!(machine.lateness("pan").unwrap().count, counted);
    machine.finish();
}

#[test]
fn startup_says_where_the_signal_begins() {
    let program = "[program.p]\nsteps = [ { pause = \"200ms\" } ]\n";
    for (startup, first) in [
        ("\"off\"", None),
        ("\"centre\"", Some(width(0.0))),
        ("{ angle = \"-30deg\" }", Some(width(-30.0))),
    ] {
        let mut machine =
            virtual_machine(&format!("{}\n{program}", servo(&format!("startup = {startup}"))));
        let report = machine.run(Some("p"), RunOptions::default()).unwrap();
        assert_eq!(report.result.word(), "done");
        let pulses = pulses(&mut machine);
        assert_eq!(pulses.first().map(|p| p.1), first, "{startup}");
        assert!(pulses.iter().all(|p| Some(p.1) == first));
    }
}

/// Whenever the end comes, the last pulses are whole and the signal is off soon after.
#[test]
fn the_signal_ends_whole_at_any_phase() {
    for seed in seeds(300) {
        let dice = &mut Dice(seed);
        let on_stop = *dice.pick(&["\"keep\"", "\"release\"", "{ park = \"20deg\" }"]);
        let mut machine = virtual_machine(&servo(&format!("on-stop = {on_stop}")));
        go(&mut machine, 10.0);
        let id = machine.start(&Move::new().to("pan", Angle(-40.0))).unwrap();
        machine.run_for(Duration::from_nanos(dice.between(0.0, 5e8) as u64));
        let way = dice.below(4);
        match way {
            0 => machine.stop(),
            1 => machine.halt_event().set(),
            2 => machine.stop_event().set(),
            _ => {}
        }
        if way < 3 {
            machine.wait(id);
        }
        machine.run_for(Duration::from_nanos(dice.between(0.0, 6e7) as u64));
        let asked = machine.now().as_nanos();
        // `check_machine` proves that no pulse is cut: each has the phase and one of the widths that
        // were asked for.
        let pulses = pulses(&mut machine);
        let (last, _) = *pulses.last().unwrap();
        assert!(last <= asked + 700_000_000, "{} ns", last - asked);
        let end = machine.now().as_nanos();
        assert!(end - last >= PERIOD, "no whole period of silence before the channel is disabled");
    }
}

/// Widths change once each period, and each is one of the plan's: a cut pulse would not be.
#[test]
fn no_pulse_has_a_width_that_nobody_asked_for() {
    for seed in seeds(100) {
        let dice = &mut Dice(seed);
        let mut machine = virtual_machine(&servo("on-stop = \"release\""));
        go(&mut machine, 20.0);
        machine.run_for(Duration::from_nanos(dice.between(0.0, 1e8) as u64));
        machine.stop();
        let pulses = pulses(&mut machine);
        assert!(pulses.iter().all(|p| p.1 == width(20.0)));
    }
}

#[test]
fn a_released_servo_can_move_again_at_once() {
    for nanos in [0, 1_000_000, 19_000_000, 30_000_000, 100_000_000] {
        let mut machine = virtual_machine(&servo("on-stop = \"release\""));
        go(&mut machine, 10.0);
        machine.stop();
        assert_eq!(machine.position("pan"), None, "let go: nobody knows where it is");
        machine.run_for(Duration::from_nanos(nanos));
        machine.clear();
        go(&mut machine, -20.0);
        assert_eq!(machine.place("pan"), Some(Place::Commanded));
        let pulses = pulses(&mut machine);
        assert_eq!(pulses.last().unwrap().1, width(-20.0));
    }
}

#[test]
fn a_stop_parks_a_servo_that_is_to_park() {
    let text = servo("on-stop = { park = \"20deg\" }");
    let mut machine = virtual_machine(&text);
    go(&mut machine, 10.0);
    machine.stop();
    assert_eq!(machine.position("pan"), Some(20.0));
    assert!(machine.is_stopped());
    assert_eq!(pulses(&mut machine).last().unwrap().1, width(20.0));
    // A program's end parks it, too; a second signal does not wait for that.
    let program = "[program.p]\nsteps = [ { move = { pan = \"-30deg\" } } ]\n";
    let mut machine = virtual_machine(&format!("{text}\n{program}"));
    machine.run(Some("p"), RunOptions::default()).unwrap();
    assert_eq!(machine.position("pan"), Some(20.0));
}

#[test]
fn a_stopped_servo_goes_on_from_where_it_stopped() {
    for seed in seeds(60) {
        let dice = &mut Dice(seed);
        let mut machine = virtual_machine(&servo(""));
        go(&mut machine, -45.0);
        let id = machine.start(&Move::new().to("pan", Angle(45.0))).unwrap();
        machine.run_for(Duration::from_nanos(dice.between(0.0, 6e8) as u64));
        machine.stop();
        let rest = machine.wait(id).motors[0].position;
        assert_eq!(machine.position("pan"), Some(rest));
        machine.clear();
        go(&mut machine, 45.0);
        // Never faster than its top speed, also across the stop: no jump.
        let fastest = 200.0 / 45.0 * 500_000.0 * 0.02;
        for pair in pulses(&mut machine).windows(2) {
            let jump = pair[1].1.abs_diff(pair[0].1) as f64;
            assert!(jump <= fastest + 1.0, "{jump} ns from one pulse to the next");
        }
    }
}
