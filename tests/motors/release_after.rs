//! Motors that let go by themselves once they have been at rest for a while, and take hold again for
//! their next move.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use lockstep::config::Config;
use lockstep::machine::{Machine, Move, Place};
use lockstep::trace::Recording;
use lockstep::units::{Angle, Instant, Length};
use proptest::prelude::*;

use crate::verify_support::*;

const MACHINE: &str = r#"
[axis.x]
step = { gpio = 17 }
dir = { gpio = 27 }
enable = { gpio = 22, active = "low" }
driver = "drv8825"
steps-per-revolution = 200
microsteps = 4
distance-per-revolution = "8mm"
travel = { min = "-40mm", max = "40mm" }
max-speed = "40mm/s"
max-acceleration = "400mm/s^2"
at-start = { assume = "0mm" }
release-after = "300ms"

[axis.dial]
motor = "28byj-48"
coils = { gpio = [5, 6, 16, 26] }
travel = { min = "-90deg", max = "90deg" }
max-speed = "40deg/s"
max-acceleration = "300deg/s^2"
at-start = { assume = "0deg" }
release-after = "300ms"

[axis.table]
step = { pwm = { gpio = 13 } }
dir = { gpio = 24 }
enable = { gpio = 25, active = "high" }
driver = "tmc2209"
steps-per-revolution = 200
microsteps = 8
distance-per-revolution = "360deg"
travel = "unlimited"
max-speed = "90deg/s"
max-acceleration = "900deg/s^2"
at-start = { assume = "0deg" }
release-after = "300ms"

[servo.pan]
pwm = { gpio = 12 }
release-after = "300ms"

[servo.tail]
soft-pwm = { gpio = 23 }
release-after = "300ms"
"#;

const AFTER: u64 = 300_000_000;

/// What a signal, or coils, take to be over: two periods and a little.
const WAY_OUT: u64 = 50_000_000;

const MOTORS: [&str; 5] = ["x", "dial", "table", "pan", "tail"];

/// The lines of a motor that say whether it has power, with the level that does.
fn power(motor: &str) -> (&'static [&'static str], bool) {
    match motor {
        "x" => (&["x.enable"], false),
        "table" => (&["table.enable"], true),
        "dial" => (&["dial.a", "dial.b", "dial.c", "dial.d"], true),
        "pan" => (&["pan.pulse"], true),
        _ => (&["tail.pulse"], true),
    }
}

/// From when to when a motor had power, as its lines show it. Pulses of a servo that follow each other
/// are one time.
fn powered(recording: &Recording, motor: &str) -> Vec<(u64, u64)> {
    let (lines, active) = power(motor);
    let mut on: Vec<(u64, u64)> = Vec::new();
    for line in lines {
        let id = recording.find(line).unwrap();
        let mut since = None;
        let end = recording.end().as_nanos();
        for (at, high) in recording.edges(id) {
            match (high == active, since) {
                (true, None) => since = Some(at.as_nanos()),
                (false, Some(from)) => {
                    on.push((from, at.as_nanos()));
                    since = None;
                }
                _ => {}
            }
        }
        on.extend(since.map(|from| (from, end)));
    }
    on.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (from, to) in on {
        match merged.last_mut() {
            Some(last) if from <= last.1 + 21_000_000 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Power goes once a motor has been at rest for so long, neither before nor much later; it comes back
    /// for the next move, and every rule of the trace holds.
    #[test]
    fn power_goes_after_the_rest_and_comes_with_the_move(
        deeds in prop::collection::vec((0usize..5, -1.0f64..1.0, 0u64..700, any::<bool>()), 1..10),
    ) {
        let config = config(MACHINE);
        let mut machine = Machine::builder(config.clone()).virtual_time().trace(true).build().unwrap();
        let zero = machine.trace_start();
        let since = |at: Instant| at.nanos_since(zero);
        // When each motor was part of a move, and no longer.
        let mut busy: Vec<Vec<(u64, u64)>> = vec![Vec::new(); 5];
        for (which, share, pause, stop) in &deeds {
            let motor = MOTORS[*which];
            let spec = match motor {
                "x" => Move::new().to("x", Length(share * 40.0)),
                _ => Move::new().to(motor, Angle(share * 40.0)),
            };
            let begun = since(machine.now());
            let id = machine.start(&spec).unwrap();
            // Who is there already has nothing to do.
            let moved = machine.is_under_way(id);
            if *stop {
                let until = machine.now() + Duration::from_millis(*pause);
                while machine.is_under_way(id) && machine.now() < until {
                    machine.work(until);
                }
                machine.stop_move(id);
            }
            let end = machine.wait(id);
            prop_assert!(end.motors.len() == 1);
            if moved {
                busy[*which].push((begun, since(machine.now())));
            }
            machine.run_for(Duration::from_millis(*pause));
        }
        let ended = since(machine.now());
        for (which, motor) in MOTORS.iter().enumerate() {
            // Of an axis it is known again that it may have been turned.
            let place = machine.place(motor).unwrap();
            if let Some(&(_, last)) = busy[which].last()
                && ended > last + AFTER + WAY_OUT
            {
                prop_assert_eq!(place, Place::Unverified, "{}", motor);
            }
        }
        machine.finish();
        let recording = machine.take_recording().unwrap();
        let report = prove(&vcd(&recording), &config);
        prop_assert!(report.is_clean(), "{}", report);
        for (which, motor) in MOTORS.iter().enumerate() {
            for (from, to) in powered(&recording, motor) {
                prop_assert!(
                    busy[which].iter().any(|b| b.0 <= from && from <= b.1),
                    "{motor} has power from {from} on, outside of any move: {:?}", busy[which]
                );
                // A servo's signal is over when its last pulse is.
                let early = if matches!(*motor, "pan" | "tail") { 21_000_000 } else { 0 };
                if to + early >= ended {
                    continue;
                }
                let mut before = busy[which].iter().rev().filter(|b| b.0 <= to);
                let mut last = before.next().unwrap();
                // A move that came while it was letting go waits for that.
                if to < last.1 && to < last.0 + WAY_OUT
                    && let Some(one) = before.next().filter(|one| one.1 + AFTER <= to + early)
                {
                    last = one;
                }
                prop_assert!(to >= last.1, "{motor} lets go in a move");
                let rest = to - last.1;
                prop_assert!(rest + early >= AFTER, "{motor} lets go {rest} ns after its end");
                prop_assert!(rest <= AFTER + WAY_OUT, "{motor} lets go {rest} ns after its end");
            }
            for pair in busy[which].windows(2) {
                let free = pair[1].0.saturating_sub(pair[0].1);
                if free > AFTER + WAY_OUT {
                    let goes = powered(&recording, motor).iter().any(|p| p.1 > pair[0].1 && p.1 < pair[1].0);
                    prop_assert!(goes, "{motor} keeps its power from {} to {}", pair[0].1, pair[1].0);
                }
            }
        }
    }
}

/// A servo that has let go begins again where it was, within its limits, and does not jump.
#[test]
fn a_servo_goes_on_from_where_it_let_go() {
    let config: Config = config(MACHINE);
    let mut machine = Machine::builder(config.clone()).virtual_time().trace(true).build().unwrap();
    let id = machine.start(&Move::new().to("pan", Angle(40.0))).unwrap();
    assert!(machine.wait(id).all_reached());
    machine.run_for(Duration::from_secs(1));
    assert_eq!(machine.position("pan"), None, "it has no signal");
    let begun = machine.now();
    let id = machine.start(&Move::new().to("pan", Angle(-40.0))).unwrap();
    assert!(machine.wait(id).all_reached());
    assert_eq!(machine.position("pan"), Some(-40.0));
    assert!(machine.now().since(begun) > Duration::from_millis(130), "at 600 deg/s at most");
    machine.finish();
    let report = prove(&vcd(&machine.take_recording().unwrap()), &config);
    assert!(report.is_clean(), "{report}");
}

/// What was switched on by name stays on; a new move takes the time back.
#[test]
fn who_is_switched_on_by_name_stays_on() {
    let mut machine = Machine::builder(config(MACHINE)).virtual_time().trace(true).build().unwrap();
    for motor in ["x", "table"] {
        machine.enable(motor).unwrap();
    }
    machine.run_for(Duration::from_secs(2));
    for motor in ["x", "table"] {
        assert_eq!(machine.place(motor), Some(Place::Assumed), "{motor} has not let go");
        machine.release(motor).unwrap();
    }
    machine.run_for(Duration::from_secs(1));
    machine.finish();
    let recording = machine.take_recording().unwrap();
    for motor in ["x", "table"] {
        let on = powered(&recording, motor);
        assert_eq!(on.len(), 1, "{motor}: {on:?}");
        assert_eq!(on[0].1 - on[0].0, 2_000_000_000, "{motor}: {on:?}");
    }
}
