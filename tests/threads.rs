//! The motors' threads on the simulator, in real time: strict below, wide above.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "machine/support.rs"]
mod support;

use std::time::{Duration, Instant as Wall};

use lockstep::hal::{Backend, Clock, Level, SimBackend, SimPanel};
use lockstep::machine::{Cause, Machine, Move, MoveOutcome, Outcome};
use lockstep::motion::{Limits, Planner, State, line_limits};
use lockstep::motor::FaultKind;
use lockstep::units::{Angle, Length};
use support::*;

fn real(text: &str) -> (Machine, SimPanel) {
    let sim = SimBackend::new(Clock::monotonic());
    let panel = sim.panel();
    let backend: Box<dyn Backend> = Box::new(sim);
    let builder = Machine::builder(config(text)).backend(backend).realtime(false).trace(true);
    (builder.build().unwrap(), panel)
}

fn cause(outcome: &MoveOutcome, motor: &str) -> Option<Cause> {
    match &outcome.motor(motor).unwrap().outcome {
        Outcome::Reached => None,
        Outcome::Short { cause, .. } => Some(cause.clone()),
    }
}

#[cfg(target_os = "linux")]
fn thread_names() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).ok();
    tasks.filter_map(|t| name(t.ok()?)).map(|n| n.trim_end().to_string()).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn each_motor_has_a_thread_of_its_name_until_the_end() {
    let text = STAGE.replace("axis.x", "axis.sledge").replace("axis.y", "axis.column");
    let text = text.replace("axis.z", "axis.lift") + "[servo.visor]\npwm = { gpio = 12 }\n";
    let (machine, _) = real(&text);
    let names = thread_names();
    for motor in ["sledge", "column", "lift", "visor"] {
        assert_eq!(names.iter().filter(|n| *n == motor).count(), 1, "{motor}: {names:?}");
    }
    drop(machine);
    let names = thread_names();
    for motor in ["sledge", "column", "lift", "visor"] {
        assert!(!names.iter().any(|n| n == motor), "{names:?}");
    }
}

/// Every edge of a real run keeps the rules, and no step comes before its plan says.
#[test]
fn no_step_is_early_and_none_is_lost() {
    let text = format!("{STAGE}\n[servo.pan]\npwm = {{ gpio = 12 }}\n");
    let (mut machine, _) = real(&text);
    let motors = machine.config().motors.clone();
    let id = machine.start(&stage_move().to("pan", Angle(20.0))).unwrap();
    assert!(machine.wait(id).all_reached());
    let (recording, steps) = check_machine(&mut machine, 0);
    let ways: Vec<_> = motors
        .iter()
        .zip(TARGETS)
        .map(|(motor, (_, target))| {
            let axis = axis(motor).unwrap();
            let scale = axis.steps_per_unit.to_f64();
            let limits = Limits {
                speed: motor.limits.speed * scale,
                acceleration: motor.limits.acceleration * scale,
                jerk: motor.limits.jerk * scale,
            };
            (steps_at(axis, target) as f64, limits)
        })
        .collect();
    let line = line_limits(ways.iter().copied()).unwrap();
    let s = Planner::new().plan_to(State::at_rest(0.0), 1.0, line).unwrap();
    let zero = moves(&recording)[0].1;
    for ((way, _), steps) in ways.iter().zip(&steps) {
        assert_eq!(steps.last().unwrap().1 as f64, *way);
        for &(rise, count) in steps {
            assert!(rise > zero, "a step before the epoch");
            let gone = s.state_at(rise - zero).position * way.abs();
            assert!(gone > count.abs() as f64 - 0.25 - 1e-6, "step {count} is early");
        }
    }
}

#[test]
fn a_stop_from_another_thread_is_heard() {
    let (mut machine, _) = real(STAGE);
    let id = machine.start(&stage_move()).unwrap();
    let stop = machine.stop_event();
    let setter = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(250));
        stop.set();
        Wall::now()
    });
    let outcome = machine.wait(id);
    let took = setter.join().unwrap().elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(outcome.motors.iter().all(|m| !m.outcome.is_reached()));
    let (_, steps) = check_machine(&mut machine, 0);
    let share = |i: usize| {
        let target =
            TARGETS[i].1 * axis(&machine.config().motors[i]).unwrap().steps_per_unit.to_f64();
        (steps[i].last().map_or(0, |s| s.1) as f64 / target, 1.0 / target.abs())
    };
    let shares = [share(0), share(1), share(2)];
    let low = shares.iter().map(|(s, step)| s - step).fold(f64::MIN, f64::max);
    let high = shares.iter().map(|(s, step)| s + step).fold(f64::MAX, f64::min);
    assert!(low <= high, "not on the line: {shares:?}");
}

/// The second signal: still at once, without the coordinator's help.
#[test]
fn a_halt_needs_no_coordinator() {
    let (mut machine, panel) = real(STAGE);
    let id = machine.start(&stage_move()).unwrap();
    machine.run_for(Duration::from_millis(200));
    machine.halt_event().set();
    // The machine is not run meanwhile: the loops hear it themselves.
    std::thread::sleep(Duration::from_millis(300));
    let still = |machine: &Machine| ["x", "y", "z"].map(|m| machine.position(m));
    let before = still(&machine);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(still(&machine), before);
    assert_eq!(panel.level(17), Some(Level::Low));
    assert!(machine.wait(id).motors.iter().all(|m| !m.outcome.is_reached()));
    check_machine(&mut machine, 0);
}

/// A driver pulls its fault line: the whole way from the pin to the outcome.
#[test]
fn a_fault_line_stops_its_motor() {
    let fault = "dir = { gpio = 24 }\nfault = { gpio = 6, active = \"low\" }";
    let (mut machine, panel) = real(&STAGE.replace("dir = { gpio = 24 }", fault));
    let id = machine.start(&stage_move()).unwrap();
    machine.run_for(Duration::from_millis(150));
    assert!(panel.set_level(6, Level::Low));
    let outcome = machine.wait(id);
    assert_eq!(cause(&outcome, "y"), Some(Cause::Fault(FaultKind::Driver)));
    assert_eq!(cause(&outcome, "x"), Some(Cause::Stopped));
    check_machine(&mut machine, 0);
}

#[test]
fn an_injected_fault_waits_for_its_time() {
    let (mut machine, _) = real(STAGE);
    let id = machine.start(&stage_move()).unwrap();
    machine.inject_fault("z", Duration::from_millis(300)).unwrap();
    machine.run_for(Duration::from_millis(100));
    assert!(machine.place("z") == Some(lockstep::machine::Place::Assumed), "not before its time");
    assert_eq!(cause(&machine.wait(id), "z"), Some(Cause::Fault(FaultKind::Driver)));
    check_machine(&mut machine, 0);
}

/// The back end refuses a servo's write on the way: a fault, and its signal still ends.
#[test]
fn a_servo_that_cannot_be_written_is_a_fault() {
    let text = "[servo.pan]\npwm = { gpio = 12 }\n[servo.tilt]\npwm = { gpio = 13 }\n";
    let (mut machine, panel) = real(text);
    let both = |to| Move::new().to("pan", Angle(to)).to("tilt", Angle(to));
    let id = machine.start(&both(-40.0)).unwrap();
    assert!(machine.wait(id).all_reached());
    let id = machine.start(&both(40.0)).unwrap();
    // Long before it brakes for its target anyway.
    machine.run_for(Duration::from_millis(50));
    panel.refuse(12, true);
    let outcome = machine.wait(id);
    assert!(matches!(cause(&outcome, "pan"), Some(Cause::Fault(FaultKind::Output(_)))));
    assert_eq!(cause(&outcome, "tilt"), Some(Cause::Stopped));
    panel.refuse(12, false);
    assert_eq!(machine.finish(), Vec::<String>::new());
    assert!(!panel.pwm(12).unwrap().running && !panel.pwm(13).unwrap().running);
}

/// A repetition that takes no time at all still hears the stop.
#[test]
fn an_endless_repetition_of_nothing_hears_the_stop() {
    let text = format!(
        "{STAGE}\n[program.p]\nsteps = [ {{ repeat = \"forever\", steps = [ {{ move = {{ x = \"0mm\" }} }} ] }} ]\n"
    );
    let (mut machine, _) = real(&text);
    let stop = machine.stop_event();
    let setter = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        stop.set();
    });
    let began = Wall::now();
    let report = machine.run(Some("p"), lockstep::machine::RunOptions::default()).unwrap();
    setter.join().unwrap();
    assert_eq!(report.result.word(), "stopped");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn moves_one_after_the_other_never_hurry() {
    let (mut machine, _) = real(STAGE);
    for (n, to) in [3.0, 1.0, 4.0, 1.5, 5.0].into_iter().enumerate() {
        let id = machine.start(&Move::new().to("x", Length(to)).to("z", Length(to / 2.0))).unwrap();
        let outcome = machine.wait(id);
        assert!(outcome.all_reached(), "{n}: {outcome:?}");
    }
    check_machine(&mut machine, 0);
}

/// Pulses that a loop times itself, on threads, beside a busy axis: none is short, none is twice in a
/// period, and all of it is clean beside the lateness that was counted.
#[test]
fn a_servo_timed_by_its_loop_has_whole_pulses() {
    let text = format!("{STAGE}\n[servo.tail]\nsoft-pwm = {{ gpio = 13 }}\n");
    let (mut machine, panel) = real(&text);
    let id = machine.start(&Move::new().to("tail", Angle(-30.0)).to("x", Length(2.0))).unwrap();
    machine.wait(id);
    let id = machine.start(&Move::new().to("tail", Angle(30.0))).unwrap();
    machine.wait(id);
    machine.run_for(Duration::from_millis(100));
    assert_eq!(machine.finish(), Vec::<String>::new());
    assert_eq!(panel.level(13), Some(Level::Low));
    let recording = machine.take_recording().unwrap();
    let edges = edges(&recording, "tail.pulse");
    let pulses: Vec<_> = edges[1..].chunks(2).map(|p| (p[0].0, p[1].0 - p[0].0)).collect();
    assert!(pulses.len() >= 5, "{pulses:?}");
    assert!(pulses.iter().all(|p| p.1 >= 1_000_000), "{pulses:?}");
    assert!(pulses.windows(2).all(|p| p[1].0 - p[0].0 >= 14_000_000), "{pulses:?}");
    // A position that was reached has its pulse, or one that was late and so too long.
    let rest = pulses.last().unwrap().1;
    assert!(rest >= 1_833_333 || machine.lateness("tail").unwrap().max >= 20_000_000, "{rest}");
}
