//! Servos that turn continuously: their pulses are speeds, and whatever happens they are left at none.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use lockstep::config::Config;
use lockstep::machine::{Jog, Machine, MoveError, Outcome, Place};
use lockstep::trace::Recording;
use lockstep::units::SpeedShare;
use proptest::prelude::*;

use crate::verify_support::*;

/// One on hardware PWM, one reversed and trimmed on pulses of its own loop, one on a PCA9685.
const ROVER: &str = r#"
[servo.left]
pwm = { gpio = 12 }
continuous = true

[servo.right]
soft-pwm = { gpio = 23 }
continuous = true
reverse = true
trim = "20us"

[servo.brush]
pwm = { device = "pca9685", channel = 3 }
continuous = true
pulse = { min = "1300us", max = "1700us" }
max-acceleration = "1000%/s"
"#;

const MOTORS: [&str; 3] = ["left", "right", "brush"];

const PERIOD: u64 = 20_000_000;

/// How long neutral pulses last at most, from the end of a move to that of the signal's last pulse.
const NEUTRAL: u64 = 200_000_000 + 2 * PERIOD;

fn share(percent: f64) -> SpeedShare {
    SpeedShare::percent(percent).unwrap()
}

fn machine() -> Machine {
    Machine::builder(config(ROVER)).virtual_time().trace(true).build().unwrap()
}

/// The pulses of a motor: when each began, and its width, nanoseconds.
fn pulses(recording: &Recording, motor: &str) -> Vec<(u64, u64)> {
    let id = recording.find(&format!("{motor}.pulse")).unwrap();
    let edges: Vec<_> = recording.edges(id).map(|(at, high)| (at.as_nanos(), high)).collect();
    let first = edges.iter().position(|e| e.1).unwrap_or(edges.len());
    edges[first..].chunks(2).map(|p| (p[0].0, p[1].0 - p[0].0)).collect()
}

fn neutral(motor: &str) -> u64 {
    if motor == "right" { 1_520_000 } else { 1_500_000 }
}

/// How far a pulse is from neutral, in nanoseconds; a PCA9685 counts in steps of 4.88 us.
fn off(motor: &str, width: u64) -> u64 {
    let off = width.abs_diff(neutral(motor));
    if motor == "brush" { off.saturating_sub(4_900) } else { off }
}

/// Ends the machine; its trace, with every rule of it proved.
fn proved(mut machine: Machine) -> Recording {
    machine.finish();
    let config: Config = machine.config().clone();
    let recording = machine.take_recording().unwrap();
    let report = prove(&vcd(&recording), &config);
    assert!(report.is_clean(), "{report}");
    recording
}

/// From `since` on (on the trace's clock) the pulses of a motor are neutral, and then there are none.
fn stands_still_from(recording: &Recording, motor: &str, since: u64) {
    let after: Vec<_> = pulses(recording, motor).into_iter().filter(|p| p.0 >= since).collect();
    for &(at, width) in &after {
        assert_eq!(off(motor, width), 0, "{motor}: {width} ns at {at}, still from {since}");
    }
    let last = after.last().map_or(since, |p| p.0);
    assert!(last <= since + NEUTRAL, "{motor}: a pulse at {last}, still from {since}");
}

#[test]
fn a_jog_ramps_up_keeps_its_speed_and_ends_neutral_and_then_without_a_signal() {
    let mut machine = machine();
    assert!(MOTORS.iter().all(|m| machine.position(m).is_none()));
    let jog = Jog::lasting(Duration::from_secs(1));
    let jog = jog.at("left", share(50.0)).at("right", share(-50.0)).at("brush", share(100.0));
    let id = machine.jog(&jog).unwrap();
    let zero = machine.trace_start();
    machine.run_for(Duration::from_millis(600));
    for (motor, speed) in [("left", 50.0), ("right", -50.0), ("brush", 100.0)] {
        let now = machine.snapshot().motors.into_iter().find(|m| m.motor == motor).unwrap();
        assert!((now.velocity - speed).abs() < 1e-6, "{motor}: {}", now.velocity);
        assert_eq!((now.position, now.place), (None, Place::Unknown), "{motor} has no place");
    }
    let end = machine.wait(id);
    assert!(end.all_reached(), "{end:?}");
    assert!(end.motors.iter().all(|m| m.position.is_nan()), "{end:?}");
    let rests = machine.now().nanos_since(zero);
    machine.run_for(Duration::from_secs(1));
    let recording = proved(machine);
    for (motor, cruise) in [("left", 1_750_000), ("right", 1_770_000), ("brush", 1_700_000)] {
        let pulses = pulses(&recording, motor);
        let first = pulses[0];
        assert_eq!(off(motor, first.1), 0, "{motor} begins neutral");
        let at = |ms: u64| pulses.iter().rfind(|p| p.0 <= first.0 + ms * 1_000_000).unwrap().1;
        // Within the ramp it is on its way.
        assert!(off(motor, at(100)) > 0 && at(100).abs_diff(cruise) > 5_000, "{motor} ramps up");
        assert!(at(600).abs_diff(cruise) < 5_000, "{motor}: {}", at(600));
        stands_still_from(&recording, motor, rests);
        let neutral = pulses.iter().rev().take_while(|p| off(motor, p.1) == 0).count();
        assert!((10..=13).contains(&neutral), "{motor}: {neutral} neutral pulses");
    }
}

#[test]
fn a_stop_ramps_down_and_a_halt_is_neutral_at_once() {
    for (halt, ms) in [(false, 50), (false, 600), (true, 50), (true, 600), (true, 990)] {
        let mut machine = machine();
        let zero = machine.trace_start();
        let jog = Jog::lasting(Duration::from_secs(1));
        let jog = jog.at("left", share(100.0)).at("right", share(30.0)).at("brush", share(-80.0));
        let id = machine.jog(&jog).unwrap();
        machine.run_for(Duration::from_millis(ms));
        let asked = machine.now().nanos_since(zero);
        if halt {
            machine.halt();
        } else {
            machine.stop_move(id);
        }
        let end = machine.wait(id);
        for one in &end.motors {
            assert!(matches!(one.outcome, Outcome::Short { by: 0.0, .. }), "{one:?}");
        }
        let rests = machine.now().nanos_since(zero);
        let within = if halt { PERIOD + PERIOD / 4 } else { 400_000_000 };
        assert!(rests - asked <= within, "at rest after {} ns", rests - asked);
        machine.run_for(Duration::from_secs(1));
        let recording = proved(machine);
        for motor in MOTORS {
            stands_still_from(&recording, motor, rests);
        }
    }
}

#[test]
fn places_are_refused_with_what_to_do_instead() {
    use lockstep::machine::Move;
    use lockstep::units::{Angle, AngularSpeed};
    let mut machine = machine();
    let refused = machine.start(&Move::new().to("left", Angle(10.0))).unwrap_err();
    assert_eq!(refused, MoveError::Continuous { motor: "left".into() });
    assert!(refused.to_string().contains("jog it instead, such as left=50%"), "{refused}");
    let jog = Jog::lasting(Duration::from_secs(1)).at("left", AngularSpeed(10.0));
    let refused = machine.jog(&jog).unwrap_err();
    assert_eq!(refused.to_string(), "left has its speed in %: give it in that unit");
    let id = machine.jog(&Jog::lasting(Duration::from_secs(1)).at("left", share(10.0))).unwrap();
    let refused = machine.retarget(id, &Move::new().to("left", Angle(1.0))).unwrap_err();
    assert_eq!(refused, MoveError::Continuous { motor: "left".into() });
    let refused = machine.set_position("left", Angle(1.0)).unwrap_err();
    assert_eq!(refused, MoveError::Continuous { motor: "left".into() });
    machine.wait(id);
    proved(machine);
}

/// At rest, but still under neutral pulses, another config takes hold: the old signal ends by itself first.
#[test]
fn another_config_waits_for_rest_and_not_for_the_signal() {
    let trimmed = ROVER.replace("continuous = true", "continuous = true\ntrim = \"-8us\"");
    let trimmed = trimmed.replace("trim = \"20us\"\n", "");
    let mut machine = Machine::builder(config(ROVER)).virtual_time().build().unwrap();
    let jog =
        Jog::lasting(Duration::from_millis(400)).at("left", share(60.0)).at("right", share(9.0));
    let id = machine.jog(&jog).unwrap();
    machine.run_for(Duration::from_millis(200));
    assert!(machine.reload(config(&trimmed), true).is_err(), "they move");
    assert!(machine.wait(id).all_reached());
    let begun = machine.now();
    let reloaded = machine.reload(config(&trimmed), true).unwrap();
    assert_eq!(reloaded.motors.reopened, MOTORS);
    let took = machine.now().since(begun);
    assert!(took < Duration::from_millis(300), "{took:?}");
    let id = machine.jog(&jog).unwrap();
    assert!(machine.wait(id).all_reached());
    assert_eq!(machine.finish(), Vec::<String>::new(), "every loop answers");
}

/// What is done to a jog on its way.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Stop,
    StopAll,
    Halt,
    Hold,
    HoldThenStop,
    Zero,
    TurnRound,
    End,
    Nothing,
}

const DEEDS: [Deed; 9] = [
    Deed::Stop,
    Deed::StopAll,
    Deed::Halt,
    Deed::Hold,
    Deed::HoldThenStop,
    Deed::Zero,
    Deed::TurnRound,
    Deed::End,
    Deed::Nothing,
];

/// Does it, and comes to rest for good.
fn carry_out(machine: &mut Machine, jog: u64, deed: Deed, left: f64) {
    let kept = Duration::from_millis(700);
    match deed {
        Deed::Stop => machine.stop_move(jog),
        Deed::StopAll => machine.stop(),
        Deed::Halt => machine.halt(),
        Deed::Hold | Deed::HoldThenStop => {
            machine.hold();
            machine.wait_all_held();
            let at_rest = |m: &lockstep::machine::MotorSnapshot| m.velocity == 0.0;
            assert!(machine.snapshot().motors.iter().all(at_rest), "{deed:?}");
            machine.run_for(Duration::from_millis(500));
            match deed {
                Deed::Hold => machine.resume(),
                _ => machine.stop(),
            }
        }
        Deed::Zero => {
            let rest = Jog::lasting(kept).at("left", share(0.0)).at("right", share(0.0));
            let _ = machine.steer(&rest);
        }
        Deed::TurnRound => {
            let back = Jog::lasting(kept).at("left", share(-left)).at("brush", share(5.0));
            let _ = machine.steer(&back);
        }
        Deed::End | Deed::Nothing => {}
    }
    if !matches!(deed, Deed::End) {
        let open: Vec<_> = machine.snapshot().moves;
        open.into_iter().for_each(|id| {
            machine.wait(id);
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whatever is done to a jog, at any instant of it and of the rest after it: its motors come to rest within their
    /// limits, and then get neutral pulses for 0.2 s, and then none.
    #[test]
    fn they_are_never_left_at_a_speed(
        left in -100.0f64..100.0, right in -100.0f64..100.0, brush in -100.0f64..100.0,
        lasts in 20u64..1200, at in 0u64..1_400_000_000, which in prop::sample::select(&DEEDS[..]),
        again in prop::option::of(0u64..400),
    ) {
        let mut machine = machine();
        let zero = machine.trace_start();
        let lasts = Duration::from_millis(lasts);
        let speeds = |j: Jog| j.at("left", share(left)).at("right", share(right)).at("brush", share(brush));
        let id = machine.jog(&speeds(Jog::lasting(lasts))).unwrap();
        machine.run_for(Duration::from_nanos(at));
        carry_out(&mut machine, id, which, left);
        let rests = machine.now().nanos_since(zero);
        let mut until = u64::MAX;
        if let Some(again) = again.filter(|_| !machine.is_stopped() && !matches!(which, Deed::End)) {
            machine.run_for(Duration::from_millis(again));
            until = machine.now().nanos_since(zero);
            let id = machine.jog(&speeds(Jog::lasting(lasts))).unwrap();
            machine.wait(id);
        }
        if !matches!(which, Deed::End) {
            machine.run_for(Duration::from_millis(500));
        }
        let ended = machine.now().nanos_since(zero);
        let recording = proved(machine);
        for motor in MOTORS {
            let pulses = pulses(&recording, motor);
            if matches!(which, Deed::End) {
                // It ended the loops in mid-move: they come to rest on their path, which takes longest where they were just
                // gathering speed, and end their signals.
                let last = pulses.last().copied().unwrap_or((0, neutral(motor)));
                prop_assert!(off(motor, last.1) == 0, "{motor} ends at {last:?}");
                prop_assert!(last.0 <= ended + 600_000_000 + NEUTRAL, "{motor} ends at {last:?}");
                continue;
            }
            for &(at, width) in pulses.iter().filter(|p| p.0 >= rests && p.0 < until) {
                prop_assert!(off(motor, width) == 0, "{motor}: {width} ns at {at}, still from {rests}");
                prop_assert!(at <= rests + NEUTRAL, "{motor}: a pulse at {at}, still from {rests}");
            }
            if let Some(last) = pulses.last() {
                prop_assert!(off(motor, last.1) == 0, "{motor} ends at {last:?}");
            }
        }
    }
}

/// The rules of `verify` are shown to fail: a trace that breaks one is found out.
#[test]
fn a_trace_that_leaves_one_at_a_speed_is_found_out() {
    use lockstep::trace::Value;
    let config = config(ROVER);
    let mut machine = machine();
    let id =
        machine.jog(&Jog::lasting(Duration::from_millis(600)).at("left", share(60.0))).unwrap();
    machine.wait(id);
    machine.run_for(Duration::from_secs(1));
    machine.finish();
    let good = Tape::of(&machine.take_recording().unwrap());
    assert!(good.prove(&config).is_clean(), "{}", good.prove(&config));
    let (rises, falls) = (good.edges("left.pulse", true), good.edges("left.pulse", false));
    let last = rises.len() - 1;
    let broken_by = |change: &dyn Fn(&mut Tape)| {
        let mut tape = good.clone();
        change(&mut tape);
        broken(&tape.prove(&config))
    };
    let wider = |tape: &mut Tape, pulse: usize, by: u64| tape.events[falls[pulse]].0 += by;
    // Its last pulses stand for a speed.
    let found = broken_by(&|tape| (last - 3..=last).for_each(|n| wider(tape, n, 20_000)));
    assert!(found.contains(&"left: neutral pulse at rest".to_owned()), "{found:?}");
    // It goes on with neutral pulses.
    let found = broken_by(&|tape| {
        for n in 1..40 {
            let at = good.at(rises[last]) + n * PERIOD;
            tape.add(at, "left.pulse", Value::High);
            tape.add(at + 1_500_000, "left.pulse", Value::Low);
        }
    });
    assert_eq!(found, ["left: no signal after"]);
    // A pulse beyond full speed, and a jump of speed in a move.
    let middle = rises.len() / 3;
    let found = broken_by(&|tape| wider(tape, middle, 400_000));
    assert!(found.contains(&"left: longest pulse".to_owned()), "{found:?}");
    let found = broken_by(&|tape| (middle..middle + 6).for_each(|n| wider(tape, n, 150_000)));
    assert_eq!(found, ["left: acceleration", "left: jerk"]);
    // A pulse that nothing asked for.
    let found = broken_by(&|tape| {
        let at = good.at(rises[last]) + 500_000_000;
        tape.add(at, "left.pulse", Value::High);
        tape.add(at + 1_500_000, "left.pulse", Value::Low);
    });
    assert!(found.contains(&"left: signal begins in a move".to_owned()), "{found:?}");
}
