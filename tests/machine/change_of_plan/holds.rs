//! Hold and resume: on the path, at any moment, and what waits meanwhile.

use std::time::Duration;

use lockstep::config::Arrive;
use lockstep::machine::{
    Cause, Deed, Machine, MachineState, Move, MoveError, Outcome, Place, RunOptions,
};
use lockstep::units::{Angle, Length};

use crate::support::*;

const MS: u64 = 1_000_000;

fn nanos(nanos: f64) -> Duration {
    Duration::from_nanos(nanos as u64)
}

/// The shares of their ways that the stage's motors have gone: all within a step of one.
fn check_on_line(machine: &Machine) -> f64 {
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    for (motor, (_, target)) in machine.config().motors.iter().zip(TARGETS) {
        let axis = axis(motor).unwrap();
        let goal = steps_at(axis, target) as f64;
        let share = steps_at(axis, machine.position(&motor.name).unwrap()) as f64 / goal;
        low = low.max(share - 1.0 / goal.abs());
        high = high.min(share + 1.0 / goal.abs());
    }
    assert!(low <= high, "off the line: {low} to {high}");
    (low + high) / 2.0
}

/// At any moment: to rest on the line, there for as long as it is held, and on to the target.
#[test]
fn a_hold_rests_on_the_line_and_a_resume_goes_on() {
    let mut rests = 0;
    for seed in seeds(150) {
        let dice = &mut Dice(seed);
        let mut machine = virtual_machine(STAGE);
        let id = machine.start(&stage_move()).unwrap();
        let mut still = Vec::new();
        for _ in 0..1 + dice.below(3) {
            machine.run_for(nanos(dice.between(0.0, 5e8)));
            machine.hold();
            let asked = machine.now();
            let Some(held) = machine.wait_held(id) else { break };
            assert_eq!((held.id, held.motors.len()), (id, 3));
            assert_eq!(machine.state(), MachineState::Held);
            // 4 ms to agree, and a line's braking time: half a second here at most.
            assert!(machine.now().since(asked) < Duration::from_millis(500));
            let share = check_on_line(&machine);
            rests += u64::from(share > 0.01 && share < 0.99);
            let from = machine.now().as_nanos();
            machine.run_for(nanos(dice.between(1e6, 2e9)));
            still.push((from, machine.now().as_nanos()));
            machine.resume();
        }
        machine.resume();
        assert!(machine.wait(id).all_reached());
        let (_, steps) = check_machine(&mut machine, 0);
        for (from, to) in still {
            assert!(steps.iter().flatten().all(|s| s.0 <= from || s.0 >= to), "still means still");
        }
        // Never back on the way.
        for steps in steps.iter().filter(|s| s.len() > 1) {
            let up = steps[1].1 > steps[0].1;
            assert!(steps.windows(2).all(|w| (w[1].1 > w[0].1) == up));
        }
    }
    assert!(rests > 100, "{rests}");
}

/// What is under way is not told twice; a resume before rest turns the braking round.
#[test]
fn holds_and_resumes_in_any_order() {
    for seed in seeds(60) {
        let dice = &mut Dice(seed);
        let mut machine = virtual_machine(STAGE);
        let id = machine.start(&stage_move()).unwrap();
        for _ in 0..dice.below(12) {
            if dice.chance(50) {
                machine.hold()
            } else {
                machine.resume()
            }
            if dice.chance(60) {
                machine.run_for(nanos(dice.size(3.0, 8.3)));
            }
        }
        machine.resume();
        machine.resume();
        assert!(machine.wait(id).all_reached());
        assert_eq!(machine.state(), MachineState::Idle);
        check_machine(&mut machine, 0);
    }
}

/// Before its epoch a move is held at its start.
#[test]
fn a_hold_before_the_start_moves_nothing() {
    for at in [0, 1, 1_000_000, 1_699_999, 1_700_001, 4_000_000, 6_600_000] {
        let mut machine = virtual_machine(STAGE);
        let id = machine.start(&stage_move()).unwrap();
        machine.run_for(Duration::from_nanos(at));
        machine.hold();
        let held = machine.wait_held(id).unwrap();
        assert!(held.motors.iter().all(|m| m.steps == Some(0)), "{held:?} at {at}");
        machine.run_for(Duration::from_secs(30));
        assert_eq!(machine.state(), MachineState::Held);
        let resumed = machine.now().as_nanos();
        machine.resume();
        assert!(machine.wait(id).all_reached());
        let (_, steps) = check_machine(&mut machine, 0);
        assert!(steps.iter().flatten().all(|s| s.0 > resumed));
    }
}

/// A move that is started while the machine is held takes its motors, and they hear nothing of it.
#[test]
fn a_move_started_under_a_hold_waits() {
    let text = format!("{STAGE}\n[servo.pan]\npwm = {{ gpio = 12 }}\n");
    for stop in [false, true] {
        let mut machine = virtual_machine(&text);
        machine.hold();
        assert_eq!(machine.state(), MachineState::Held);
        let id = machine.start(&stage_move().to("pan", Angle(9.0))).unwrap();
        assert!(matches!(machine.start(&stage_move()), Err(MoveError::Busy { .. })));
        machine.run_for(Duration::from_secs(100));
        // Faster meanwhile: it goes by what holds when it begins.
        machine.set_override(50.0).unwrap();
        let outcome = machine.wait(id);
        assert!(outcome.held && !outcome.all_reached() && outcome.motors.is_empty());
        assert_eq!(machine.resume_move(id), Err(MoveError::Held));
        let resumed = machine.now().as_nanos();
        if stop {
            machine.stop();
            for end in machine.wait(id).motors {
                let never = Cause::NotStarted(Vec::new());
                assert!(matches!(end.outcome, Outcome::Short { cause, .. } if cause == never));
            }
            assert!(!machine.is_held(), "a stop ends a hold");
        } else {
            machine.resume();
            assert!(machine.wait(id).all_reached());
        }
        check_machine(&mut machine, resumed);
    }
}

#[test]
fn a_time_out_pauses_with_the_hold() {
    let mut machine = virtual_machine(STAGE);
    let id = machine.start(&stage_move().timeout(Duration::from_millis(900))).unwrap();
    for _ in 0..4 {
        machine.run_for(Duration::from_millis(150));
        machine.hold();
        machine.run_for(Duration::from_secs(20));
        machine.resume();
    }
    machine.set_override(10.0).unwrap();
    assert!(machine.wait(id).all_reached());
    check_machine(&mut machine, 0);
}

/// One move alone: the other goes on, and so does what waits for it.
#[test]
fn one_move_is_held_alone() {
    let mut machine = virtual_machine(STAGE);
    let x = machine.start(&Move::new().to("x", Length(50.0))).unwrap();
    let y = machine.start(&Move::new().to("y", Length(20.0))).unwrap();
    machine.run_for(Duration::from_millis(300));
    machine.hold_move(x).unwrap();
    assert!(machine.wait(y).all_reached());
    assert_eq!(machine.state(), MachineState::Held);
    assert!(!machine.is_held());
    assert_eq!(machine.hold_move(y), Err(MoveError::NotUnderWay { id: y }));
    assert_eq!(machine.next_outcome(&[x]), None, "it has none before it is resumed");
    let y = machine.start(&Move::new().to("y", Length(0.0))).unwrap();
    machine.resume_move(x).unwrap();
    assert!(machine.wait_all(&[x, y]).iter().all(|o| o.all_reached()));
    check_machine(&mut machine, 0);
}

/// Each motor by itself: one that has arrived has ended.
#[test]
fn motors_that_go_alone_are_held_alone() {
    let mut machine = virtual_machine(STAGE);
    let spec = Move::new().to("x", Length(60.0)).to("y", Length(1.0)).arrive(Arrive::Asap);
    let id = machine.start(&spec).unwrap();
    machine.run_for(Duration::from_millis(500));
    machine.hold_move(id).unwrap();
    let held = machine.wait_held(id).unwrap();
    assert_eq!(held.motors.len(), 1);
    assert_eq!(held.motors[0].motor, "x");
    let before = machine.wait(id);
    assert!(before.held && before.motor("y").unwrap().outcome.is_reached());
    machine.resume_move(id).unwrap();
    let outcome = machine.wait(id);
    assert!(outcome.all_reached() && outcome.motors.len() == 2);
    check_machine(&mut machine, 0);
}

#[test]
fn what_is_held_can_be_stopped_and_halted() {
    for seed in seeds(40) {
        let dice = &mut Dice(seed);
        let mut machine = virtual_machine(STAGE);
        let id = machine.start(&stage_move()).unwrap();
        machine.run_for(nanos(dice.between(1e8, 5e8)));
        machine.hold();
        // At rest, or still braking.
        machine.run_for(nanos(dice.size(5.0, 9.0)));
        let at_rest = machine.state() == MachineState::Held;
        match dice.below(3) {
            0 => machine.stop(),
            1 => machine.stop_motor("y").unwrap(),
            _ => machine.halt(),
        }
        let halted = machine.state() == MachineState::Halted;
        let outcome = machine.wait(id);
        assert!(!outcome.held && outcome.failed().count() == 3, "{outcome:?}");
        assert!(!machine.is_stopped() || machine.clear());
        if at_rest {
            assert!(["x", "y", "z"].iter().all(|m| machine.place(m) == Some(Place::Assumed)));
        }
        if !halted {
            check_on_line(&machine);
        }
        check_machine(&mut machine, 0);
    }
}

#[test]
fn a_fault_under_a_hold_ends_the_move() {
    let mut machine = virtual_machine(STAGE);
    let id = machine.start(&stage_move()).unwrap();
    machine.run_for(Duration::from_millis(300));
    machine.hold();
    machine.wait_held(id).unwrap();
    machine.inject_fault("y", Duration::from_secs(3)).unwrap();
    machine.run_for(Duration::from_secs(4));
    let outcome = machine.wait(id);
    assert!(!outcome.held);
    assert_eq!(outcome.motors.len(), 3);
    assert!(outcome.motors.iter().all(|m| !m.outcome.is_reached()));
    check_machine(&mut machine, 0);
}

/// A held servo goes on pulsing, at one width.
#[test]
fn a_held_servo_keeps_its_signal() {
    let mut machine =
        virtual_machine("[servo.pan]\npwm = { gpio = 12 }\nmax-speed = \"30deg/s\"\n");
    let motors = machine.config().motors.clone();
    let id = machine.start(&Move::new().to("pan", Angle(-40.0))).unwrap();
    assert!(machine.wait(id).all_reached());
    let id = machine.start(&Move::new().to("pan", Angle(40.0))).unwrap();
    machine.run_for(Duration::from_millis(900));
    machine.hold();
    let held = machine.wait_held(id).unwrap();
    let from = machine.now().as_nanos() + 40 * MS;
    machine.run_for(Duration::from_secs(1));
    let to = machine.now().as_nanos();
    assert_eq!(machine.position("pan"), held.motors[0].position);
    machine.resume();
    assert!(machine.wait(id).all_reached());
    machine.finish();
    let recording = machine.take_recording().unwrap();
    let pulses = check_servo(&recording, &motors[0], 0);
    let held: Vec<_> = pulses.iter().filter(|p| p.0 > from && p.0 < to).collect();
    assert!(held.len() > 45 && held.iter().all(|p| p.1 == held[0].1));
}

const MOTORS: &str = r#"
[axis.a]
step = { gpio = 17 }
dir = { gpio = 27 }
driver = "tmc2209"
steps-per-revolution = 200
microsteps = 1
distance-per-revolution = "2mm"
travel = { min = "-100mm", max = "100mm" }
max-speed = "100mm/s"
max-acceleration = "1000mm/s^2"
max-jerk = "20000mm/s^3"

[axis.b]
step = { gpio = 23 }
dir = { gpio = 24 }
driver = "tmc2209"
steps-per-revolution = 200
microsteps = 1
distance-per-revolution = "2mm"
travel = { min = "-100mm", max = "100mm" }
max-speed = "100mm/s"
max-acceleration = "1000mm/s^2"
max-jerk = "20000mm/s^3"
"#;

fn seconds(s: f64) -> Duration {
    Duration::from_secs_f64(s)
}

fn run(program: &str, deeds: &[(f64, Deed)]) -> (lockstep::machine::RunReport, Machine) {
    let mut machine = virtual_machine(&format!("{MOTORS}[program.p]\nsteps = [ {program} ]\n"));
    let deeds = deeds.iter().map(|(at, deed)| (seconds(*at), deed.clone())).collect();
    let options = RunOptions { deeds, ..RunOptions::default() };
    let report = machine.run(Some("p"), options).unwrap();
    (report, machine)
}

const FRAMES: &str = "{ keyframes = [ { at = \"1s\", a = \"20mm\", b = \"5mm\" }, { at = \"2s\", a = \"20mm\" }, \
    { at = \"3s\", a = \"-7mm\", b = \"6mm\" } ] }";

/// The keyframes that are left are met in their order, their times moved on by the hold.
#[test]
fn keyframes_go_on_with_those_that_are_left() {
    for hold in [0.3, 0.5, 0.97, 1.5, 2.2, 2.6] {
        let (report, mut machine) = run(FRAMES, &[(hold, Deed::Hold), (hold + 2.0, Deed::Resume)]);
        assert_eq!(report.result.word(), "done", "held at {hold}");
        let (recording, steps) = check_machine(&mut machine, 0);
        let zero = moves(&recording)[0].1;
        let at = |motor: usize, t: u64| {
            steps[motor].iter().take_while(|s| s.0 <= t).last().map_or(0, |s| s.1)
        };
        for (time, a, b) in [(1.0, 2000, Some(500)), (2.0, 2000, None), (3.0, -700, Some(600))] {
            // Those before the hold at their own times, the others later by it; and by what the
            // motors need to set out from rest, which is no more than a third of a second here.
            let shift = if time < hold { 0.0 } else { 2.0 };
            let t = zero + ((time + shift) * 1e9) as u64;
            let late = if time < hold { 0 } else { 300 * MS };
            let reached = (0..=late / MS).find(|ms| {
                at(0, t + ms * MS) == a && b.is_none_or(|b| (at(1, t + ms * MS) - b).abs() <= 1)
            });
            assert!(reached.is_some(), "{time} s, held at {hold} s");
        }
        assert!(verified(&recording, &machine));
    }
}

/// Resumed before it rests, it comes to rest first: its frames have times.
#[test]
fn keyframes_rest_before_they_go_on() {
    for seed in seeds(60) {
        let dice = &mut Dice(seed);
        let mut deeds = Vec::new();
        let mut at = 0.0;
        for _ in 0..dice.below(8) {
            at += dice.between(0.0, 0.7);
            deeds.push((at, if dice.chance(60) { Deed::Hold } else { Deed::Resume }));
        }
        deeds.push((at + 0.1, Deed::Resume));
        let (report, mut machine) = run(FRAMES, &deeds);
        assert_eq!(report.result.word(), "done", "{deeds:?}");
        let (recording, _) = check_machine(&mut machine, 0);
        assert_eq!(machine.position("a"), Some(-7.0));
        assert!(verified(&recording, &machine));
    }
}

fn verified(recording: &lockstep::trace::Recording, machine: &Machine) -> bool {
    let mut vcd = Vec::new();
    recording.write_vcd(&mut vcd, "").unwrap();
    let report = lockstep::verify::verify(&vcd[..], machine.config(), &Default::default()).unwrap();
    assert!(report.is_clean(), "{report}");
    true
}

/// The program's clock stands still: pauses, and the pace of a sweep.
#[test]
fn a_hold_stops_the_clock_of_a_program() {
    let program = "{ pause = \"1s\" }, { move = { a = \"1mm\" } }, \
        { sweep = { b = [\"0mm\", \"3mm\"] }, step = \"1mm\", every = \"500ms\", times = 1 }";
    let (plain, machine) = run(program, &[]);
    drop(machine);
    for hold in [0.5, 1.05, 1.4, 2.2, 3.9] {
        let (report, mut machine) = run(program, &[(hold, Deed::Hold), (hold + 9.0, Deed::Resume)]);
        assert_eq!(report.result.word(), "done");
        let longer = report.duration.as_secs_f64() - plain.duration.as_secs_f64();
        assert!((8.8..9.5).contains(&longer), "{longer} s longer, held at {hold} s");
        let (recording, steps) = check_machine(&mut machine, 0);
        let begun: Vec<_> = moves(&recording).into_iter().map(|m| m.1).collect();
        assert!(begun.windows(2).skip(2).all(|w| w[1] - w[0] >= 499 * MS), "no two come closer");
        assert_eq!(steps[1].last().unwrap().1, 0);
    }
}

#[test]
fn a_run_that_nobody_will_resume_ends() {
    let (report, _) = run("{ move = { a = \"50mm\" } }, { pause = \"1s\" }", &[(0.2, Deed::Hold)]);
    assert_eq!(report.result.word(), "stopped");
    assert!(report.duration < Duration::from_secs(1));
    let (report, _) = run("{ pause = \"1s\" }", &[(0.2, Deed::Hold), (0.4, Deed::Halt)]);
    assert_eq!(report.result.word(), "stopped");
    assert_eq!(report.duration, Duration::from_millis(400));
}

/// A run's time is over while it is held.
#[test]
fn a_held_run_ends_in_time() {
    let text = format!("{MOTORS}[program.p]\nsteps = [ {{ move = {{ a = \"90mm\" }} }} ]\n");
    let mut machine = virtual_machine(&text);
    let deeds = vec![(seconds(0.3), Deed::Hold), (seconds(100.0), Deed::Resume)];
    let options = RunOptions { deeds, duration: Some(seconds(2.0)), ..RunOptions::default() };
    let report = machine.run(Some("p"), options).unwrap();
    assert_eq!(report.result.word(), "done");
    assert!(report.duration < seconds(2.2));
    check_machine(&mut machine, 0);
}
