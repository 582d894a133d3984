//! A driver's fault line is believed once it has been active for a while, and a motor comes back from its fault.

use std::time::{Duration, Instant};

use lockstep::config::Config;
use lockstep::hal::{Clock, Level, SimBackend, SimPanel};
use lockstep::machine::{ClearError, Machine, Move, MoveError, Place, Position};
use lockstep::units::{Angle, Length};
use proptest::prelude::*;

use crate::verify_support::*;

const FAULT: u8 = 5;

fn axis(more: &str) -> String {
    format!(
        "[axis.x]\nstep = {{ gpio = 17 }}\ndir = {{ gpio = 27 }}\nenable = {{ gpio = 22, active = \"low\" }}\n\
         driver = \"drv8825\"\nsteps-per-revolution = 200\nmicrosteps = 16\ndistance-per-revolution = \"8mm\"\n\
         travel = {{ min = \"0mm\", max = \"200mm\" }}\nmax-speed = \"50mm/s\"\n\
         max-acceleration = \"500mm/s^2\"\nmax-jerk = \"5000mm/s^3\"\nat-start = {{ assume = \"0mm\" }}\n{more}"
    )
}

/// One motor of each kind, alone in its config.
fn kinds() -> Vec<(&'static str, String)> {
    let clock = axis("").replace("step = { gpio = 17 }", "step = { pwm = { gpio = 18 } }");
    let clock = clock.replace("\"50mm/s\"", "\"5mm/s\"");
    let coils = "[axis.x]\nmotor = \"28byj-48\"\ndriver = \"uln2003\"\n\
        coils = { gpio = [5, 6, 13, 19], sequence = \"half\" }\ntravel = { min = \"0deg\", max = \"60deg\" }\n\
        max-speed = \"40deg/s\"\nmax-acceleration = \"300deg/s^2\"\nmax-jerk = \"6000deg/s^3\"\n\
        at-start = { assume = \"0deg\" }\nat-rest = \"release\"\n";
    vec![
        ("pulses", axis("")),
        ("clock", clock),
        ("coils", coils.to_owned()),
        ("servo", "[servo.x]\npwm = { gpio = 18 }\n".to_owned()),
        ("soft servo", "[servo.x]\nsoft-pwm = { gpio = 18 }\n".to_owned()),
    ]
}

fn to(config: &Config, at: f64) -> Move {
    let linear = config.motors[0].unit.symbol() == "mm";
    let position: Position = if linear { Length(at).into() } else { Angle(at).into() };
    Move::new().to("x", position)
}

#[test]
fn every_kind_of_motor_comes_back_from_its_drivers_fault() {
    for (kind, text) in kinds() {
        let config = config(&text);
        // In a move, and at rest before any.
        for after in [100, 0] {
            let machine = Machine::builder(config.clone()).virtual_time().trace(true);
            let mut machine = machine.build().unwrap();
            assert_eq!(machine.clear_faults(), Ok(vec![]), "{kind}");
            machine.inject_fault("x", Duration::from_millis(after)).unwrap();
            if after > 0 {
                let id = machine.start(&to(&config, 30.0)).unwrap();
                assert!(!machine.wait(id).all_reached(), "{kind}");
            }
            machine.run_for(Duration::from_millis(100));
            let refused = machine.start(&to(&config, 20.0)).unwrap_err();
            assert!(matches!(refused, MoveError::Faulted { .. }), "{kind}: {refused}");
            assert_eq!(machine.clear_faults(), Ok(vec!["x".to_owned()]), "{kind}");
            let axis = config.motors[0].axis().is_some();
            assert!(!axis || machine.place("x") == Some(Place::Unverified), "{kind}");
            for at in [20.0, 10.0] {
                let id = machine.start(&to(&config, at)).unwrap();
                let outcome = machine.wait(id);
                assert!(outcome.all_reached(), "{kind}: {outcome:?}");
            }
            machine.run_for(Duration::from_millis(100));
            assert!(machine.finish().is_empty());
            let report = prove(&vcd(&machine.take_recording().unwrap()), &config);
            assert!(report.is_clean(), "{kind}: {report}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Faults and their ends at any instant: what was counted are the edges, nothing moves in between.
    #[test]
    fn counts_stay_exact_over_faults(
        which in 0usize..5, lives in prop::collection::vec((0.0f64..40.0, 0u64..1500, any::<bool>()), 1..6),
    ) {
        let (kind, text) = kinds().swap_remove(which);
        let config = config(&text);
        let mut machine = Machine::builder(config.clone()).virtual_time().trace(true).build().unwrap();
        for (at, after, waits) in lives {
            machine.inject_fault("x", Duration::from_millis(after)).unwrap();
            let id = machine.start(&to(&config, at)).unwrap();
            if waits {
                machine.wait(id);
            }
            machine.run_for(Duration::from_millis(after + 1));
            prop_assert!(machine.start(&to(&config, 1.0)).is_err());
            let steps = machine.steps("x");
            let back = machine.clear_faults();
            prop_assert_eq!(back, Ok(vec!["x".to_owned()]), "{}", kind);
            prop_assert_eq!(machine.steps("x"), steps);
        }
        machine.run_for(Duration::from_millis(100));
        machine.finish();
        let report = prove(&vcd(&machine.take_recording().unwrap()), &config);
        prop_assert!(report.is_clean(), "{}: {}", kind, report);
    }
}

/// A machine in real time whose fault line is at hand.
fn live(more: &str) -> (Machine, SimPanel) {
    let backend = SimBackend::new(Clock::monotonic());
    let panel = backend.panel();
    let text = axis(&format!("fault = {{ gpio = {FAULT}, active = \"low\" }}\n{more}"));
    let machine = Machine::builder(config(&text)).backend(Box::new(backend)).realtime(false);
    (machine.build().unwrap(), panel)
}

fn wait_for(machine: &mut Machine, what: &str, so: impl Fn(&mut Machine) -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !so(machine) {
        assert!(Instant::now() < until, "{what}");
        machine.run_for(Duration::from_millis(5));
    }
}

#[test]
fn a_glitch_of_microseconds_is_no_fault() {
    let (mut machine, panel) = live("");
    let id = machine.start(&Move::new().to("x", Length(20.0))).unwrap();
    for _ in 0..20 {
        machine.run_for(Duration::from_millis(10));
        panel.set_level(FAULT, Level::Low);
        panel.set_level(FAULT, Level::High);
    }
    let outcome = machine.wait(id);
    assert!(outcome.all_reached(), "{outcome:?}");
    assert_eq!(machine.place("x"), Some(Place::Assumed));
    let noise = machine.fault_line_noise("x").unwrap();
    assert!(noise.pulses > 0 && noise.pulses <= 20, "{noise:?}");
    assert!(machine.finish().is_empty());
}

#[test]
fn it_is_cleared_once_the_line_says_so() {
    let (mut machine, panel) = live("");
    let id = machine.start(&Move::new().to("x", Length(200.0))).unwrap();
    machine.run_for(Duration::from_millis(300));
    panel.set_level(FAULT, Level::Low);
    assert!(!machine.wait(id).all_reached());
    let error = machine.clear_faults().unwrap_err();
    assert_eq!(error, ClearError::StillActive { motor: "x".into(), gpio: FAULT });
    assert!(error.to_string().contains("x: ") && error.to_string().contains("GPIO5"), "{error}");
    assert!(machine.start(&Move::new().to("x", Length(1.0))).is_err());
    panel.set_level(FAULT, Level::High);
    wait_for(&mut machine, "cleared", |machine| machine.clear_faults().is_ok());
    assert_eq!(machine.place("x"), Some(Place::Unverified));
    let id = machine.start(&Move::new().to("x", Length(1.0))).unwrap();
    assert!(machine.wait(id).all_reached());
    // And once more: a fault that comes after that is as good as the first.
    panel.set_level(FAULT, Level::Low);
    wait_for(&mut machine, "the second fault", |machine| {
        machine.snapshot().motors[0].fault.is_some()
    });
    panel.set_level(FAULT, Level::High);
    wait_for(&mut machine, "cleared again", |machine| machine.clear_faults().is_ok());
    assert!(machine.finish().is_empty());
}

/// A line that chatters without end would have filled a mailbox of sixteen, and the loop have looked dead.
#[test]
fn a_line_that_chatters_without_end_is_a_fault_and_no_dead_loop() {
    let (mut machine, panel) = live("");
    let id = machine.start(&Move::new().to("x", Length(200.0))).unwrap();
    machine.run_for(Duration::from_millis(200));
    let chatter = panel.clone();
    let (over, ended) = std::sync::mpsc::channel::<()>();
    let chatters = std::thread::spawn(move || {
        while ended.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            chatter.set_level(FAULT, Level::Low);
            chatter.set_level(FAULT, Level::High);
            std::thread::sleep(Duration::from_micros(100));
        }
    });
    let outcome = machine.wait(id);
    let fault = machine.snapshot().motors[0].fault.clone();
    assert_eq!(fault, Some(lockstep::motor::FaultKind::Driver), "{outcome:?}");
    assert!(machine.clear_faults().is_err(), "not while it does");
    drop(over);
    chatters.join().unwrap();
    wait_for(&mut machine, "cleared", |machine| machine.clear_faults().is_ok());
    let id = machine.start(&Move::new().to("x", Length(5.0))).unwrap();
    assert!(machine.wait(id).all_reached());
    assert!(machine.finish().is_empty());
}

#[test]
fn what_is_not_known_after_a_fault_is_not_cleared() {
    let backend = SimBackend::new(Clock::monotonic());
    let panel = backend.panel();
    let text = axis("") + "[servo.pan]\nsoft-pwm = { gpio = 23 }\n";
    let machine = Machine::builder(config(&text)).backend(Box::new(backend)).realtime(false);
    let mut machine = machine.build().unwrap();
    panel.refuse(17, true);
    let id = machine.start(&Move::new().to("x", Length(5.0)).to("pan", Angle(1.0))).unwrap();
    assert!(!machine.wait(id).all_reached());
    panel.refuse(17, false);
    machine.inject_fault("pan", Duration::ZERO).unwrap();
    wait_for(&mut machine, "both", |m| m.snapshot().motors.iter().all(|m| m.fault.is_some()));
    let error = machine.clear_faults().unwrap_err();
    assert!(matches!(&error, ClearError::ForGood { motor, .. } if motor == "x"), "{error}");
    // All or none.
    assert!(matches!(
        machine.start(&Move::new().to("pan", Angle(2.0))),
        Err(MoveError::Faulted { .. })
    ));
}
