//! What the machine does, the checker finds nothing wrong with.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use lockstep::config::{Arrive, AtStart, Config, Drive};
use lockstep::machine::{Machine, Move};
use lockstep::units::Ratio;
use lockstep::verify::{Options, verify};
use proptest::prelude::*;

use crate::verify_support::*;

const MACHINE: &str = r#"
[axis.x]
step = { gpio = 17 }
dir = { gpio = 27 }
enable = { gpio = 22, active = "low" }
driver = "a4988"
steps-per-revolution = 200
microsteps = 16
distance-per-revolution = "8mm"
travel = "unlimited"
max-speed = "50mm/s"
max-acceleration = "500mm/s^2"
on-stop = "release"

[axis.y]
step = { gpio = 23 }
dir = { gpio = 24 }
enable = { gpio = 22, active = "low" }
driver = "tb6600"
steps-per-revolution = 200
microsteps = 8
distance-per-revolution = "5mm"
travel = "unlimited"
reverse = true
max-speed = "30mm/s"
max-acceleration = "500mm/s^2"
holds-load = true

[axis.table]
step = { gpio = 5 }
dir = { gpio = 6 }
driver = "tmc2209"
steps-per-revolution = 200
microsteps = 8
distance-per-revolution = "360deg"
travel = "unlimited"
max-speed = "90deg/s"
max-acceleration = "900deg/s^2"

[servo.pan]
pwm = { gpio = 12 }
trim = "30us"

[servo.tilt]
pwm = { gpio = 13 }
frequency = "100Hz"
pulse = { min = "900us", max = "2100us" }
angle = { min = "-54deg", max = "54deg" }
reverse = true

[servo.grip]
pwm = { device = "pca9685", channel = 4, clock-correction = "23000ppm" }
trim = "-20us"

[servo.tail]
soft-pwm = { gpio = 25 }
frequency = "60Hz"
"#;

const MOTORS: [&str; 7] = ["x", "y", "table", "pan", "tilt", "grip", "tail"];

/// What is done to the machine.
#[derive(Clone, Debug)]
enum Deed {
    /// Which motors, where to (share of what is sensible), whether aligned, at which speed; stopped
    /// after that many milliseconds.
    Move([bool; 7], [f64; 7], bool, f64, Option<u64>),
    /// Two moves side by side.
    Apart(f64, f64),
    Wait(u64),
    /// Everything comes to rest, `on-stop` is carried out, and it may go on.
    Stop,
}

fn deed() -> impl Strategy<Value = Deed> {
    let share = prop::array::uniform7(-1.0f64..1.0);
    let stop = prop::option::weighted(0.3, 0u64..900);
    prop_oneof![
        6 => (prop::array::uniform7(any::<bool>()), share, any::<bool>(), 0.1f64..=1.0, stop)
            .prop_map(|(who, to, aligned, speed, stop)| Deed::Move(who, to, aligned, speed, stop)),
        1 => (-1.0f64..1.0, -1.0f64..1.0).prop_map(|(a, b)| Deed::Apart(a, b)),
        1 => (0u64..300).prop_map(Deed::Wait),
        1 => Just(Deed::Stop),
    ]
}

/// Limits, and steps per unit, by these factors.
type Odds = [(f64, f64, f64, u64, u64); 7];

fn change(config: &mut Config, odds: &Odds) {
    for (motor, &(speed, acceleration, jerk, num, den)) in config.motors.iter_mut().zip(odds) {
        motor.limits.speed *= speed;
        motor.limits.acceleration *= acceleration;
        motor.limits.jerk *= jerk;
        if let Drive::StepDir(axis) = &mut motor.drive {
            let ratio = Ratio::new(num, den).unwrap();
            axis.steps_per_unit = axis.steps_per_unit.times(ratio).unwrap();
            axis.at_start = AtStart::Assume(0.0);
        }
    }
}

fn odds() -> impl Strategy<Value = Odds> {
    let factor = || 0.1f64..1.0;
    let one = (factor(), factor(), 0.03f64..3.0, 1u64..40, 1u64..60);
    prop::array::uniform7(one.prop_filter("the driver can step that fast", |o| {
        // x: 20,000 steps a second, with pulses of 2 us; y: 9,600, with 10 us.
        o.0 * 20_000.0 * (o.3 as f64 / o.4 as f64) < 90_000.0
    }))
}

fn live(config: Config, deeds: &[Deed]) -> lockstep::trace::Recording {
    let config_of = config.clone();
    let mut machine = Machine::builder(config).virtual_time().trace(true).build().unwrap();
    for deed in deeds {
        match deed {
            Deed::Move(who, to, aligned, speed, stop) => {
                let mut one = Move::new().speed(*speed);
                if !aligned {
                    one = one.arrive(Arrive::Asap);
                }
                if !who.contains(&true) {
                    continue;
                }
                for (n, name) in MOTORS.iter().enumerate().filter(|(n, _)| who[*n]) {
                    one = one.to(name, target(&config_of, n, to[n]));
                }
                let id = machine.start(&one).unwrap();
                if let Some(after) = stop {
                    machine.run_for(Duration::from_millis(*after));
                    machine.stop_move(id);
                }
                machine.wait(id);
            }
            Deed::Apart(a, b) => {
                let one = Move::new()
                    .to("x", target(&config_of, 0, *a))
                    .to("y", target(&config_of, 1, *b));
                let other = Move::new().to("table", target(&config_of, 2, *b));
                let ids = [one, other].map(|m| machine.start(&m).unwrap());
                machine.wait_all(&ids);
            }
            Deed::Wait(ms) => machine.run_for(Duration::from_millis(*ms)),
            Deed::Stop => {
                machine.stop();
                machine.clear();
            }
        }
    }
    assert!(machine.finish().is_empty());
    machine.take_recording().unwrap()
}

/// Within the travel, and not farther than a second or two away.
fn target(config: &Config, motor: usize, share: f64) -> lockstep::machine::Position {
    use lockstep::units::{Angle, Length};
    let motor = &config.motors[motor];
    match &motor.drive {
        Drive::Servo(_) => Angle((share * motor.travel.max * 1e3).round() / 1e3).into(),
        _ if motor.unit == lockstep::config::MotorUnit::Degree => {
            Angle((share * motor.limits.speed * 1e3).round() / 1e3).into()
        }
        _ => Length((share * motor.limits.speed * 1e3).round() / 1e3).into(),
    }
}

/// As many as `PROPTEST_CASES` says, else few: the whole suite has a minute.
fn cases() -> ProptestConfig {
    let config = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { config.cases } else { 64 };
    ProptestConfig { cases, ..config }
}

proptest! {
    #![proptest_config(cases())]

    /// Moves together and apart, stopped anywhere, over any limits and ratios.
    #[test]
    fn random_lives_are_clean(odds in odds(), deeds in prop::collection::vec(deed(), 1..12)) {
        let mut config = config(MACHINE);
        change(&mut config, &odds);
        let vcd = vcd(&live(config.clone(), &deeds));
        for lateness in [Duration::ZERO, Duration::from_micros(20)] {
            let report = verify(vcd.as_bytes(), &config, &Options { lateness }).unwrap();
            prop_assert!(report.is_clean(), "{report}");
        }
    }
}

#[test]
fn halted_moves_are_clean_and_said() {
    let config = config(STAGE);
    let mut machine = Machine::builder(config.clone()).virtual_time().trace(true).build().unwrap();
    let id = machine.start(&Move::new().to("x", lockstep::units::Length(60.0))).unwrap();
    machine.run_for(Duration::from_millis(700));
    machine.halt_event().set();
    machine.wait(id);
    machine.finish();
    let report = prove(&vcd(&machine.take_recording().unwrap()), &config);
    assert!(report.is_clean(), "{report}");
    assert!(
        report.notes.iter().any(|n| n.contains("x: its part of move 1 has no end")),
        "{report}"
    );
}

#[test]
fn faults_are_clean_and_said() {
    for (text, motor, unit) in [(STAGE, "y", 1), (SERVO, "pan", 0)] {
        let config = config(text);
        let mut machine =
            Machine::builder(config.clone()).virtual_time().trace(true).build().unwrap();
        machine.inject_fault(motor, Duration::from_millis(1_500)).unwrap();
        let options = lockstep::machine::RunOptions::default();
        machine.run(Some("go"), options).unwrap();
        let report = prove(&vcd(&machine.take_recording().unwrap()), &config);
        assert!(report.is_clean(), "{unit} {report}");
        assert!(report.notes.iter().any(|n| n.starts_with(&format!("{motor}: "))), "{report}");
    }
}
