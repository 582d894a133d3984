//! Servos whose pulses come from other places than the header's PWM: a PCA9685, their own loop.

use std::time::Duration;

use lockstep::board::{Pull, PwmOutput};
use lockstep::hal::{
    Backend, Clock, HalError, InputLine, OnEdge, OutputLine, OutputStart, PwmChannel, SimBackend,
};
use lockstep::machine::{Machine, MachineError, Move, Place};
use lockstep::units::Angle;

use crate::support::*;

const OUTPUTS: [&str; 3] = [
    "pwm = { device = \"pca9685\", channel = 3 }",
    "pwm = { device = \"pca9685\", channel = 15, clock-correction = \"-45000ppm\" }",
    "soft-pwm = { gpio = 23 }",
];

fn servo(output: &str, more: &str) -> String {
    format!(
        "[servo.pan]\n{output}\nmax-speed = \"200deg/s\"\nmax-acceleration = \"2000deg/s^2\"\n\
         max-jerk = \"20000deg/s^3\"\n{more}\n"
    )
}

fn pulses(machine: &mut Machine) -> Vec<(u64, u64)> {
    let (recording, _) = check_machine(machine, 0);
    edges(&recording, "pan.pulse")[1..].chunks(2).map(|p| (p[0].0, p[1].0 - p[0].0)).collect()
}

fn go(machine: &mut Machine, angle: f64) {
    let id = machine.start(&Move::new().to("pan", Angle(angle))).unwrap();
    assert!(machine.wait(id).all_reached());
}

/// The width for an angle, worked out anew.
fn width(angle: f64) -> f64 {
    1_500_000.0 + angle / 45.0 * 500_000.0
}

/// Whenever the end comes, the last pulses are whole and the signal is over soon after.
#[test]
fn the_signal_ends_whole_at_any_phase() {
    for seed in seeds(300) {
        let dice = &mut Dice(seed);
        let on_stop = *dice.pick(&["\"keep\"", "\"release\"", "{ park = \"20deg\" }"]);
        let output = dice.pick(&OUTPUTS);
        let mut machine = virtual_machine(&servo(output, &format!("on-stop = {on_stop}")));
        go(&mut machine, 10.0);
        let id = machine.start(&Move::new().to("pan", Angle(-40.0))).unwrap();
        machine.run_for(Duration::from_nanos(dice.between(0.0, 5e8) as u64));
        match dice.below(4) {
            0 => machine.stop(),
            1 => machine.halt_event().set(),
            2 => machine.stop_event().set(),
            _ => {}
        }
        machine.wait(id);
        machine.run_for(Duration::from_nanos(dice.between(0.0, 6e7) as u64));
        let asked = machine.now().as_nanos();
        let pulses = pulses(&mut machine);
        let (last, _) = *pulses.last().unwrap();
        assert!(last <= asked + 700_000_000, "{output}: {} ns", last - asked);
        let end = machine.now().as_nanos();
        assert!(end - last >= 19_000_000, "{output}: no whole period of silence in the end");
    }
}

#[test]
fn at_rest_pulses_go_on_and_stand_for_the_position() {
    for (output, off, period) in [
        (OUTPUTS[0], 4880.0 / 2.0, 122 * 4096 * 40),
        // A clock that runs 4.5 % slow: 117 of its cycles make the step, each of 41.885 ns.
        (OUTPUTS[1], 4901.0 / 2.0, 20_072_545),
        (OUTPUTS[2], 0.0, 20_000_000),
    ] {
        let mut machine = virtual_machine(&servo(output, ""));
        go(&mut machine, -7.3);
        let from = machine.now().as_nanos();
        machine.run_for(Duration::from_secs(2));
        let until = machine.now().as_nanos();
        let pulses = pulses(&mut machine);
        let resting: Vec<_> = pulses.iter().filter(|p| (from..until).contains(&p.0)).collect();
        assert!(resting.len() >= 99, "{output}");
        for pulse in &resting {
            let error = (pulse.1 as f64 - width(-7.3)).abs();
            assert!(error <= off + 1.0, "{output}: {error} ns off");
        }
        assert!(resting.windows(2).all(|p| p[1].0 - p[0].0 == period), "{output}");
    }
}

/// A width is asked for once a period at most, and only when it is another one: what the chip can't
/// tell apart is not written again.
#[test]
fn widths_of_one_step_are_one_width() {
    let mut machine = virtual_machine(&servo(OUTPUTS[0], ""));
    for k in 0..40 {
        go(&mut machine, f64::from(k) * 0.01);
    }
    let mut widths: Vec<u64> = pulses(&mut machine).into_iter().map(|p| p.1).collect();
    assert!(widths.iter().all(|w| w % 4880 == 0), "{widths:?}");
    widths.dedup();
    // 0.4 degrees are less than a step.
    assert!(widths.len() <= 2, "{widths:?}");
}

#[test]
fn a_released_servo_can_move_again_at_once() {
    for output in OUTPUTS {
        for nanos in [0, 1_000_000, 19_000_000, 30_000_000, 100_000_000] {
            let mut machine = virtual_machine(&servo(output, "on-stop = \"release\""));
            go(&mut machine, 10.0);
            machine.stop();
            assert_eq!(machine.position("pan"), None, "let go: nobody knows where it is");
            machine.run_for(Duration::from_nanos(nanos));
            machine.clear();
            go(&mut machine, -20.0);
            assert_eq!(machine.place("pan"), Some(Place::Commanded));
            let last = pulses(&mut machine).last().unwrap().1;
            assert!((last as f64 - width(-20.0)).abs() <= 2451.0, "{output}");
        }
    }
}

/// The simulator, calling itself hardware.
struct Hardware(SimBackend);

impl Backend for Hardware {
    fn name(&self) -> &'static str {
        "test"
    }
    fn is_hardware(&self) -> bool {
        true
    }
    fn clock(&self) -> Clock {
        self.0.clock()
    }
    fn open_pwm(&mut self, output: &PwmOutput, who: &str) -> Result<Box<dyn PwmChannel>, HalError> {
        self.0.open_pwm(output, who)
    }
    fn open_output(
        &mut self,
        gpio: u8,
        start: OutputStart,
        who: &str,
    ) -> Result<Box<dyn OutputLine>, HalError> {
        self.0.open_output(gpio, start, who)
    }
    fn open_input(
        &mut self,
        gpio: u8,
        pull: Pull,
        who: &str,
        on_edge: OnEdge,
    ) -> Result<Box<dyn InputLine>, HalError> {
        self.0.open_input(gpio, pull, who, on_edge)
    }
}

#[test]
fn hardware_without_real_time_scheduling_is_refused() {
    let build = |output: &str, hardware: bool| {
        let sim = SimBackend::new(Clock::monotonic());
        let panel = sim.panel();
        let backend: Box<dyn Backend> =
            if hardware { Box::new(Hardware(sim)) } else { Box::new(sim) };
        let builder = Machine::builder(config(&servo(output, "")));
        // Asked for by nobody, so granted by nobody, whoever runs this test.
        (builder.backend(backend).realtime(false).build().err(), panel)
    };
    let (error, panel) = build("soft-pwm = { gpio = 23 }", true);
    let error = error.unwrap();
    assert!(matches!(error, MachineError::NeedsRealtime { gpio: 23, .. }), "{error}");
    let mend = "write `soft-pwm = { gpio = 23, allow-jitter = true }`";
    assert!(error.to_string().ends_with(mend), "{error}");
    assert_eq!(panel.level(23), None, "no pin was touched");
    for (output, hardware) in [
        ("soft-pwm = { gpio = 23, allow-jitter = true }", true),
        ("soft-pwm = { gpio = 23 }", false),
        ("pwm = { device = \"pca9685\", channel = 0 }", true),
    ] {
        assert_eq!(build(output, hardware).0, None, "{output}");
    }
}
