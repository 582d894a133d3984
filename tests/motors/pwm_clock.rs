//! Axes whose step clock is a PWM channel: from the config to the proof of their trace, in virtual time.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use lockstep::config::{Axis, Config};
use lockstep::hal::SimBackend;
use lockstep::machine::{Jog, Machine, Move, MoveError, Outcome, Place, RunOptions, RunResult};
use lockstep::units::{Angle, AngularAcceleration, AngularJerk, AngularSpeed};
use lockstep::verify::{Options, verify};
use proptest::prelude::*;

/// 400 steps a turn.
fn axis(gpio: u8, dir: u8, speed: f64, acceleration: f64) -> Axis {
    Axis::pwm_clock(gpio, dir)
        .driver("a4988", 2)
        .distance_per_revolution(Angle(360.0))
        .unlimited()
        .limits(AngularSpeed(speed), AngularAcceleration(acceleration))
        .assume(Angle(0.0))
}

fn machine(config: &Config) -> Machine {
    Machine::builder(config.clone()).virtual_time().trace(true).build().unwrap()
}

/// The bounds that the trace breaks.
fn broken(machine: &mut Machine, config: &Config) -> Vec<String> {
    machine.finish();
    let mut vcd = Vec::new();
    machine.take_recording().unwrap().write_vcd(&mut vcd, "test").unwrap();
    let report = verify(&vcd[..], config, &Options::default()).unwrap();
    assert!(report.bounds.iter().any(|b| b.name == "rate jump"));
    report.broken().map(|b| format!("{}: {}: {:?}", b.motor, b.name, b.first)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Two of them and a plain axis, on one line or each for itself, stopped on the way or not: every
    /// rule holds, and the counts are those of the targets.
    #[test]
    fn every_trace_is_clean(
        speed in 20.0f64..400.0,
        share in 0.5f64..8.0,
        jerk in 2.0f64..20.0,
        wider in prop::option::of(1.1f64..3.0),
        targets in prop::collection::vec((-300i32..300, -300i32..300), 1..4),
        asap: bool,
        stop in prop::option::of(0u64..1_500),
    ) {
        let acceleration = speed * share;
        let mut table = axis(18, 27, speed, acceleration).jerk(AngularJerk(acceleration * jerk));
        let per_unit = 400.0 / 360.0;
        let natural = 2.0 * (acceleration * per_unit).sqrt() / per_unit;
        // It may not be above the top speed.
        if let Some(wider) = wider.filter(|w| natural * w <= speed) {
            table = table.start_stop_speed(AngularSpeed(natural * wider));
        }
        let plain = Axis::step_dir(17, 23)
            .driver("a4988", 16)
            .distance_per_revolution(Angle(360.0))
            .unlimited()
            .limits(AngularSpeed(500.0), AngularAcceleration(1000.0))
            .assume(Angle(0.0));
        let config = Config::build("t")
            .axis("table", table)
            .axis("belt", axis(13, 22, 100.0, 300.0))
            .axis("x", plain)
            .finish()
            .unwrap();
        let mut machine = machine(&config);
        let mut ends = (0, 0);
        for (a, b) in targets {
            let arrive = match asap {
                true => lockstep::config::Arrive::Asap,
                false => lockstep::config::Arrive::Aligned,
            };
            let to = |steps: i32| Angle(f64::from(steps) * 0.9);
            let one = Move::new().to("table", to(a)).to("belt", to(b)).to("x", to(a)).arrive(arrive);
            let done = machine.start(&one).unwrap();
            prop_assert!(machine.wait(done).all_reached());
            ends = (a, b);
        }
        let steps = |motor| machine.position(motor).map(|degrees| (degrees / 0.9).round() as i32);
        prop_assert_eq!((steps("table"), steps("belt")), (Some(ends.0), Some(ends.1)));
        if let Some(ms) = stop {
            let id = machine.start(&Move::new().to("table", Angle(-900.0)).to("x", Angle(400.0))).unwrap();
            machine.run_for(Duration::from_millis(ms));
            machine.stop_move(id);
            let outcome = machine.wait(id);
            prop_assert_eq!(outcome.motors.len(), 2);
        }
        prop_assert_eq!(machine.place("table"), Some(Place::Assumed));
        prop_assert_eq!(broken(&mut machine, &config), Vec::<String>::new());
    }

    /// A halt at any instant leaves whole pulses, and a count that is theirs.
    #[test]
    fn a_halt_leaves_a_clean_trace(ms in 0u64..4_000) {
        let config = Config::build("t").axis("table", axis(18, 27, 90.0, 180.0)).finish().unwrap();
        let mut machine = machine(&config);
        let id = machine.start(&Move::new().to("table", Angle(270.0))).unwrap();
        machine.run_for(Duration::from_millis(ms));
        machine.halt_event().set();
        machine.wait(id);
        prop_assert_eq!(broken(&mut machine, &config), Vec::<String>::new());
    }
}

#[test]
fn the_shipped_turntable_is_clean() {
    let text = std::fs::read_to_string("config/pwm-turntable.toml").unwrap();
    let config = Config::from_str(&text, "pwm-turntable").unwrap().config;
    for program in ["photos", "round"] {
        let mut machine = machine(&config);
        let report = machine.run(Some(program), RunOptions::default()).unwrap();
        assert_eq!(report.result, RunResult::Done);
        assert_eq!(report.motors[0].outcome, Some(Outcome::Reached));
        assert_eq!((report.motors[0].steps, report.motors[0].between), (Some(0), None));
        assert_eq!(broken(&mut machine, &config), Vec::<String>::new());
    }
}

#[test]
fn a_trace_with_one_pulse_too_many_is_found() {
    let config = Config::build("t").axis("table", axis(18, 27, 90.0, 180.0)).finish().unwrap();
    let mut machine = machine(&config);
    let id = machine.start(&Move::new().to("table", Angle(90.0))).unwrap();
    machine.wait(id);
    machine.finish();
    let mut vcd = Vec::new();
    machine.take_recording().unwrap().write_vcd(&mut vcd, "test").unwrap();
    let text = String::from_utf8(vcd).unwrap();
    // The same trace against limits that it does not keep: a lower speed, and a smaller acceleration.
    for (speed, acceleration, rule) in [(80.0, 180.0, "STEP interval"), (90.0, 60.0, "rate jump")] {
        let axis = axis(18, 27, speed, acceleration);
        let other = Config::build("t").axis("table", axis).finish().unwrap();
        let report = verify(text.as_bytes(), &other, &Options::default()).unwrap();
        let names: Vec<_> = report.broken().map(|b| b.name).collect();
        assert_eq!(names, [rule]);
    }
}

#[test]
fn a_rate_has_no_position() {
    let pump = Axis::pwm_clock(18, 27)
        .driver("a4988", 2)
        .distance_per_revolution(Angle(360.0))
        .unlimited()
        .limits(AngularSpeed(90.0), AngularAcceleration(180.0))
        .velocity();
    let config = Config::build("t").axis("pump", pump).finish().unwrap();
    let mut machine = machine(&config);
    let refused = machine.start(&Move::new().to("pump", Angle(90.0)));
    assert_eq!(refused, Err(MoveError::NoPosition { motor: "pump".into() }));
    assert_eq!(machine.place("pump"), Some(Place::Estimated));
    assert_eq!(
        machine.set_position("pump", Angle(0.0)),
        Err(MoveError::NoPosition { motor: "pump".into() })
    );
    machine.finish();
}

/// A rate is asked for by a jog: renewed, changed, turned round, and ended by its deadline.
#[test]
fn a_rate_is_jogged() {
    let pump = Axis::pwm_clock(18, 27)
        .driver("a4988", 2)
        .distance_per_revolution(Angle(360.0))
        .unlimited()
        .limits(AngularSpeed(720.0), AngularAcceleration(900.0))
        .velocity();
    let config = Config::build("t").axis("pump", pump).finish().unwrap();
    let mut machine = machine(&config);
    let jog = |speed: f64| Jog::lasting(Duration::from_secs(2)).at("pump", AngularSpeed(speed));
    let id = machine.jog(&jog(360.0)).unwrap();
    for speed in [360.0, 700.0, 30.0, -360.0] {
        machine.run_for(Duration::from_millis(1500));
        machine.change_jog(id, &jog(speed)).unwrap();
    }
    assert!(machine.wait(id).all_reached());
    assert_eq!(machine.place("pump"), Some(Place::Estimated));
    let end = machine.position("pump").unwrap();
    machine.finish();
    let recording = machine.take_recording().unwrap();
    let step = recording.find("pump.step").unwrap();
    let rises: Vec<_> = recording.edges(step).filter(|e| e.1).map(|e| e.0).collect();
    // There for some seconds, and back for two: about as many pulses as the rates make.
    assert!((2_000..5_000).contains(&rises.len()), "{} to {end}", rises.len());
    let mut vcd = Vec::new();
    recording.write_vcd(&mut vcd, "test").unwrap();
    let report = verify(&vcd[..], &config, &Options::default()).unwrap();
    let broken: Vec<_> = report.broken().map(|b| (b.name, b.first.clone())).collect();
    assert_eq!(broken, []);
    assert!(report.bounds.iter().all(|b| b.name != "steps = position"));
}

/// On the simulator in real time nothing is refused, and the count is that of the plan however late the
/// loop was.
#[test]
fn in_real_time_the_count_is_exact_or_told() {
    let config = Config::build("t")
        .max_lateness(Duration::from_secs(60))
        .axis("table", axis(18, 27, 200.0, 800.0))
        .finish()
        .unwrap();
    let backend = Box::new(SimBackend::new(lockstep::hal::Clock::monotonic()));
    let mut machine = Machine::builder(config).backend(backend).realtime(false).build().unwrap();
    let id = machine.start(&Move::new().to("table", Angle(90.0))).unwrap();
    let outcome = machine.wait(id);
    let done = outcome.motor("table").unwrap();
    assert_eq!(done.steps, Some(100));
    match machine.place("table") {
        Some(Place::Assumed) => assert_eq!(done.outcome, Outcome::Reached),
        // Held up between two looks at the clock.
        Some(Place::Unverified) => assert!(!done.outcome.is_reached()),
        other => panic!("{other:?}"),
    }
    machine.finish();
}
