//! Programs: what is moved when, judged by the trace.

use std::time::Duration;

use lockstep::machine::{MachineError, MoveError, Outcome, RunOptions, RunReport};

use crate::support::*;

/// Two quick axes and two servos.
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
max-acceleration = "5000mm/s^2"
max-jerk = "500000mm/s^3"

[axis.b]
step = { gpio = 23 }
dir = { gpio = 24 }
driver = "tmc2209"
steps-per-revolution = 200
microsteps = 1
distance-per-revolution = "2mm"
travel = { min = "-100mm", max = "100mm" }
max-speed = "100mm/s"
max-acceleration = "5000mm/s^2"
max-jerk = "500000mm/s^3"

[servo.pan]
pwm = { gpio = 12 }

[servo.tilt]
pwm = { gpio = 13 }
"#;

/// Runs the program `p` of a text with programs.
fn run(programs: &str, options: RunOptions<'_>) -> Ran {
    let mut machine = virtual_machine(&format!("{MOTORS}\n{programs}"));
    let report = machine.run(Some("p"), options).unwrap();
    let (recording, steps) = check_machine(&mut machine, 0);
    let moves = moves(&recording);
    Ran { report, moves, steps }
}

struct Ran {
    report: RunReport,
    /// Number and kind, and when each began.
    moves: Vec<(String, u64)>,
    steps: Vec<Vec<Step>>,
}

impl Ran {
    /// Where an axis turned or rested: its whole millimetres in the order it was sent there.
    fn ends(&self, motor: usize) -> Vec<i64> {
        let mut ends: Vec<i64> = Vec::new();
        let steps = &self.steps[motor];
        for (i, step) in steps.iter().enumerate() {
            let rests = steps.get(i + 1).is_none_or(|next| {
                let turns = i > 0 && (next.1 > step.1) != (step.1 > steps[i - 1].1);
                turns || next.0 - step.0 > 8_000_000
            });
            if rests {
                ends.push(step.1);
            }
        }
        ends
    }

    fn word(&self) -> &'static str {
        self.report.result.word()
    }
}

fn all() -> RunOptions<'static> {
    RunOptions::default()
}

fn lasting(duration: Duration) -> RunOptions<'static> {
    RunOptions { duration: Some(duration), ..RunOptions::default() }
}

#[test]
fn steps_come_in_their_order_and_as_often_as_they_are_asked_for() {
    let ran = run(
        "[program.p]\nsteps = [ { move = { a = \"1mm\" } }, { repeat = 3, steps = [ { move = { a = \"3mm\" } }, \
         { run = \"back\" } ] }, { move = { a = \"4mm\", b = \"1mm\" }, order = \"one-by-one\" } ]\n\
         [program.back]\nsteps = [ { move = { a = \"2mm\" } } ]\n",
        all(),
    );
    assert_eq!(ran.word(), "done");
    assert_eq!(ran.ends(0), [100, 300, 200, 300, 200, 300, 200, 400]);
    // One by one: b begins only when a is there.
    assert!(ran.steps[1][0].0 > ran.steps[0].last().unwrap().0);
    assert_eq!(ran.moves.len(), 9);
}

#[test]
fn a_program_for_ever_ends_when_its_time_is_over() {
    let ran = run(
        "[program.p]\nsteps = [ { repeat = \"forever\", steps = [ { move = { a = \"9mm\" } }, \
         { move = { a = \"0mm\" } } ] } ]\n",
        lasting(Duration::from_millis(3210)),
    );
    assert_eq!(ran.word(), "done", "the time was up: that is no failure");
    let took = ran.report.duration.as_secs_f64();
    assert!((3.21..3.4).contains(&took), "{took}");
}

/// Repetitions that take no time neither hang nor stop time.
#[test]
fn a_repetition_of_nothing_ends_in_time() {
    for steps in [
        "{ move = { a = \"0mm\" } }",
        "{ move = { a = \"0mm\", b = \"0mm\" }, order = \"one-by-one\" }",
        "{ together = [ [ { move = { a = \"0mm\" } } ], [ { move = { b = \"0mm\" } } ] ] }",
        "{ repeat = 2, steps = [ { move = { a = \"0mm\" } } ] }",
    ] {
        let ran = run(
            &format!("[program.p]\nsteps = [ {{ repeat = \"forever\", steps = [ {steps} ] }} ]\n"),
            lasting(Duration::from_millis(50)),
        );
        assert_eq!(ran.word(), "done", "{steps}");
        assert_eq!(ran.report.duration, Duration::from_millis(50), "{steps}");
    }
}

#[test]
fn branches_have_their_own_timing() {
    let ran = run(
        "[program.p]\nsteps = [ { move = { a = \"1mm\", b = \"1mm\" } }, { together = [ \
         [ { repeat = 3, steps = [ { pause = \"100ms\" }, { move = { a = \"2mm\" } }, { move = { a = \"1mm\" } } ] } ], \
         [ { repeat = 2, steps = [ { pause = \"250ms\" }, { move = { b = \"2mm\" } }, { move = { b = \"1mm\" } } ] } ], \
         [ { pause = \"1us\" } ] ] }, { move = { a = \"0mm\" } } ]\n",
        all(),
    );
    assert_eq!(ran.word(), "done");
    assert_eq!(ran.ends(0), [100, 200, 100, 200, 100, 200, 100, 0]);
    assert_eq!(ran.ends(1), [100, 200, 100, 200, 100]);
    let met = ran.steps[0].iter().find(|s| s.1 == 100).unwrap().0;
    let first = |motor: usize| ran.steps[motor].iter().find(|s| s.0 > met && s.1 > 100).unwrap().0;
    // Each its own pause, and a little for meeting at the barrier and for the first step.
    for (motor, pause) in [(0, 100_000_000), (1, 250_000_000)] {
        let waited = first(motor) - met;
        assert!((pause..pause + 30_000_000).contains(&waited), "{motor}: {waited}");
    }
    // The move after them waits for the longest.
    let end = ran.steps[1].last().unwrap().0;
    assert!(ran.moves.last().unwrap().1 > end);
}

const WONT: &str = "{ move = { a = \"50mm\" }, timeout = \"5s\", on-fault = \"stop\" }";

/// Runs with a fault in `a` at 100 ms: the move of `a` fails.
fn run_failing(programs: &str) -> Ran {
    let mut machine = virtual_machine(&format!("{MOTORS}\n{programs}"));
    machine.inject_fault("a", Duration::from_millis(100)).unwrap();
    let report = machine.run(Some("p"), all()).unwrap();
    let (recording, steps) = check_machine(&mut machine, 0);
    Ran { report, moves: moves(&recording), steps }
}

#[test]
fn a_failure_ends_a_program_or_not_as_it_says() {
    let inner = |rule: &str| {
        format!(
            "[program.inner]\non-failure = \"{rule}\"\nsteps = [ {WONT}, {{ move = {{ b = \"1mm\" }} }} ]\n"
        )
    };
    let outer = |rule: &str| {
        format!(
            "[program.p]\non-failure = \"{rule}\"\nsteps = [ {{ run = \"inner\" }}, {{ move = {{ b = \"5mm\" }} }} ]\n"
        )
    };
    for (outside, inside, ends) in [
        ("stop", "stop", vec![]),
        ("stop", "continue", vec![100, 500]),
        ("continue", "stop", vec![500]),
        ("continue", "continue", vec![100, 500]),
    ] {
        let ran = run_failing(&format!("{}{}", outer(outside), inner(inside)));
        assert_eq!((ran.word(), ran.ends(1)), ("failed", ends), "{outside}, {inside}");
    }
}

#[test]
fn a_failed_branch_brings_the_others_to_rest() {
    let branches = format!(
        "steps = [ {{ together = [ [ {WONT} ], [ {{ move = {{ b = \"90mm\" }} }} ] ] }}, {{ move = {{ b = \"0mm\" }} }} ]\n"
    );
    let ran = run_failing(&format!("[program.p]\n{branches}"));
    assert_eq!(ran.word(), "failed");
    let b = &ran.report.motors[1];
    assert!(matches!(b.outcome, Some(Outcome::Short { .. })), "{b:?}");
    assert!(ran.ends(1).len() == 1 && ran.ends(1)[0] < 9000);
    // Told to go on, the other branch does what it was to do.
    let ran = run_failing(&format!("[program.p]\non-failure = \"continue\"\n{branches}"));
    assert_eq!((ran.word(), ran.ends(1)), ("failed", vec![9000, 0]));
}

#[test]
fn a_rescue_runs_as_soon_as_its_motor_has_fallen_short() {
    let ran = run_failing(
        "[program.p]\nsteps = [ { move = { a = \"50mm\", b = \"90mm\" }, arrive = \"asap\", on-fault = \"continue\", \
         on-short = { a = \"rescue\" } }, { move = { b = \"80mm\" } } ]\n\
         [program.rescue]\nsteps = [ { move = { pan = \"20deg\" } } ]\n",
    );
    let begun: Vec<_> = ran.moves.iter().map(|m| m.1).collect();
    assert_eq!(begun.len(), 3, "{:?}", ran.moves);
    assert!((100_000_000..120_000_000).contains(&begun[1]), "the rescue began at {}", begun[1]);
    // b went on meanwhile, and the rest of the program came after both.
    assert_eq!(ran.ends(1), [9000, 8000]);
    assert_eq!(ran.report.motors[2].position, Some(20.0));
    // The rescue mended it as far as the program goes; that the driver failed is still said.
    assert_eq!(ran.word(), "failed");
    assert!(ran.report.motors[0].fault.is_some());
}

#[test]
fn keyframes_are_met_at_their_times() {
    let ran = run(
        "[program.p]\nsteps = [ { keyframes = [ { at = \"0s\", a = \"1mm\" }, { at = \"1s\", a = \"20mm\", b = \"5mm\" }, \
         { at = \"2s\", a = \"20mm\" }, { at = \"3s\", a = \"-7mm\", b = \"6mm\" } ] } ]\n",
        all(),
    );
    assert_eq!(ran.word(), "done");
    assert_eq!(ran.moves.len(), 2);
    let zero = ran.moves[1].1;
    let at = |motor: usize, seconds: f64| {
        let t = zero + (seconds * 1e9) as u64;
        ran.steps[motor].iter().take_while(|s| s.0 <= t).last().map_or(0, |s| s.1)
    };
    for (seconds, a, b) in [(0.0, 100, 0), (1.0, 2000, 500), (2.0, 2000, 550), (3.0, -700, 600)] {
        assert_eq!(at(0, seconds), a, "a at {seconds} s");
        assert!((at(1, seconds) - b).abs() <= 1, "b at {seconds} s: {}", at(1, seconds));
    }
    // It uses the time that it has: no step in the second in which it is to rest.
    let (from, to) = (zero + 1_000_000_000, zero + 2_000_000_000);
    assert!(!ran.steps[0].iter().any(|s| s.0 > from && s.0 < to));
}

#[test]
fn a_sweep_sets_a_target_every_so_often() {
    let ran = run(
        "[program.p]\nsteps = [ { sweep = { a = [\"0mm\", \"5mm\"] }, step = \"2mm\", every = \"300ms\", times = 2 } ]\n",
        all(),
    );
    assert_eq!(ran.ends(0), [200, 400, 500, 400, 200, 0, 200, 400, 500, 400, 200, 0]);
    for pair in ran.moves.windows(2) {
        // A turn has DIR settle before it starts, which takes 20 ns here.
        assert!((pair[1].1 - pair[0].1).abs_diff(300_000_000) <= 20);
    }
}

/// The way to where a sweep begins takes longer than its steps: the rest is not hurried.
#[test]
fn a_sweep_that_begins_far_away_keeps_its_pace() {
    let ran = run(
        "[program.p]\nsteps = [ { sweep = { a = [\"60mm\", \"62mm\"] }, step = \"1mm\", every = \"200ms\", times = 1 } ]\n",
        all(),
    );
    assert_eq!(ran.ends(0), [6000, 6100, 6200, 6100, 6000]);
    let begun: Vec<_> = ran.moves.iter().map(|m| m.1).collect();
    assert!(begun[1] - begun[0] > 600_000_000);
    for pair in begun[1..].windows(2) {
        assert!((pair[1] - pair[0]).abs_diff(200_000_000) <= 20);
    }
    let planned = {
        let text = format!(
            "{MOTORS}[program.p]\nsteps = [ {{ sweep = {{ a = [\"60mm\", \"62mm\"] }}, step = \"1mm\", every = \"200ms\", times = 1 }} ]\n"
        );
        lockstep::machine::preflight(&config(&text), "p").duration.unwrap()
    };
    let off = ran.report.duration.as_secs_f64() - planned.as_secs_f64();
    assert!((0.0..0.02).contains(&off), "planned {planned:?}, took {:?}", ran.report.duration);
}

/// A stop in each kind of step ends the program soon, and everything rests.
#[test]
fn a_stop_ends_any_step() {
    let program = "[program.p]\nsteps = [ { pause = \"1s\" }, { move = { a = \"60mm\", b = \"-20mm\" } }, \
        { move = { a = \"0mm\", b = \"20mm\" }, arrive = \"asap\", on-short = { a = \"rescue\" } }, \
        { sweep = { a = [\"0mm\", \"5mm\"] }, step = \"1mm\", every = \"200ms\", times = 1 }, \
        { keyframes = [ { at = \"0s\", pan = \"0deg\" }, { at = \"1s\", a = \"50mm\", pan = \"30deg\" } ] }, \
        { together = [ [ { pause = \"300ms\" }, { run = \"rescue\" } ], [ { move = { b = \"-50mm\" } } ] ] }, \
        { repeat = \"forever\", steps = [ { move = { a = \"1mm\", tilt = \"9deg\" }, order = \"one-by-one\" }, \
          { move = { a = \"9mm\", tilt = \"-9deg\" } } ] } ]\n\
        [program.rescue]\nsteps = [ { move = { a = \"2mm\" } } ]\n";
    for seed in seeds(60) {
        let dice = &mut Dice(seed);
        let mut machine = virtual_machine(&format!("{MOTORS}\n{program}"));
        let stop = if dice.chance(20) { machine.halt_event() } else { machine.stop_event() };
        let when = Duration::from_nanos(dice.between(0.0, 1.2e10) as u64);
        let mut asked = None;
        let mut progress = |machine: &lockstep::machine::Machine,
                            progress: &lockstep::machine::Progress| {
            if progress.elapsed >= when && asked.is_none() {
                asked = Some(machine.now());
                stop.set();
            }
        };
        let options = RunOptions { progress: Some(&mut progress), ..RunOptions::default() };
        let report = machine.run(Some("p"), options).unwrap();
        assert_eq!(report.result.word(), "stopped");
        let took = machine.now().since(asked.unwrap());
        assert!(took < Duration::from_millis(400), "{took:?} from the stop to the end");
        check_machine(&mut machine, 0);
    }
}

#[test]
fn a_machine_runs_one_program() {
    let text = format!("{MOTORS}[program.p]\nsteps = [ {{ pause = \"1s\" }} ]\n");
    let mut machine = virtual_machine(&text);
    machine.run(Some("p"), all()).unwrap();
    let again = machine.run(Some("p"), all()).unwrap_err();
    assert_eq!(again, MachineError::Move(MoveError::Finished));
}

#[test]
fn the_same_program_leaves_the_same_bytes() {
    let vcd = || {
        let text = format!(
            "{MOTORS}[program.p]\nsteps = [ {{ move = {{ a = \"7mm\", b = \"-9mm\", pan = \"9deg\" }} }}, \
             {{ move = {{ pan = \"1deg\", a = \"1mm\" }} }} ]\n"
        );
        let mut machine = virtual_machine(&text);
        machine.run(Some("p"), all()).unwrap();
        let mut bytes = Vec::new();
        machine.take_recording().unwrap().write_vcd(&mut bytes, "twice").unwrap();
        bytes
    };
    assert_eq!(vcd(), vcd());
}
