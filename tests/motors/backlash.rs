//! Play between a motor and what it moves: taken up before a reversed move counts, and no step of it in
//! the count.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use lockstep::config::Config;
use lockstep::machine::{Machine, Move, MoveError, Outcome, RunOptions, RunResult};
use lockstep::trace::Recording;
use lockstep::units::{Angle, Length};
use proptest::prelude::*;

use crate::verify_support::*;

/// A screw with play, a dial with play, and a servo beside them.
fn text(screw: f64, dial: f64) -> String {
    format!(
        r#"
[axis.x]
step = {{ gpio = 17 }}
dir = {{ gpio = 27 }}
driver = "drv8825"
steps-per-revolution = 200
microsteps = 4
distance-per-revolution = "8mm"
travel = {{ min = "-40mm", max = "40mm" }}
max-speed = "30mm/s"
max-acceleration = "400mm/s^2"
at-start = {{ assume = "0mm" }}
backlash = "{screw}mm"

[axis.dial]
motor = "28byj-48"
coils = {{ gpio = [5, 6, 13, 19] }}
travel = {{ min = "-90deg", max = "90deg" }}
max-speed = "40deg/s"
max-acceleration = "300deg/s^2"
at-start = {{ assume = "0deg" }}
at-rest = "release"
backlash = "{dial}deg"

[servo.pan]
pwm = {{ gpio = 12 }}
dead-band = "4us"
"#
    )
}

/// Steps of x, +1 or -1 each, with their times, out of STEP and DIR.
fn steps(recording: &Recording) -> Vec<(u64, i64)> {
    let edges = |name: &str| {
        let id = recording.find(name).unwrap();
        recording.edges(id).map(|(at, high)| (at.as_nanos(), high)).collect::<Vec<_>>()
    };
    let dir = edges("x.dir");
    let rises = edges("x.step").into_iter().skip(1).filter(|e| e.1);
    rises
        .map(|(at, _)| {
            let up = dir.iter().rfind(|d| d.0 < at).unwrap().1;
            (at, if up { 1 } else { -1 })
        })
        .collect()
}

/// Where the screw's nut is, whose play is `play` steps: the spindle pushes it up or down.
fn nut(steps: &[(u64, i64)], play: i64) -> i64 {
    let (mut spindle, mut nut) = (0, 0);
    for (_, step) in steps {
        spindle += step;
        nut = nut.clamp(spindle, spindle + play);
    }
    nut
}

#[derive(Clone, Debug)]
enum Deed {
    Move(f64, Option<f64>, bool, Option<u64>),
    Held(f64, u64),
    SetPosition(f64),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        6 => (-1.0f64..1.0, prop::option::of(-1.0f64..1.0), any::<bool>(), prop::option::of(0u64..900))
            .prop_map(|(x, dial, pan, stop)| Deed::Move(x, dial, pan, stop)),
        1 => (-1.0f64..1.0, 0u64..900).prop_map(|(x, ms)| Deed::Held(x, ms)),
        1 => (-20.0f64..20.0).prop_map(Deed::SetPosition),
    ]
}

fn build(config: &Config) -> Machine {
    Machine::builder(config.clone()).virtual_time().trace(true).build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Moves and stops at any moment: the nut is where the machine says, every limit is kept while the
    /// play is taken up, and that is never in a move.
    #[test]
    fn the_nut_is_where_the_count_says(
        screw in 0.006f64..1.0, dial in 0.05f64..3.0, deeds in prop::collection::vec(deed(), 1..10),
    ) {
        let config = config(&text(screw, dial));
        let mut machine = build(&config);
        let (mut jumps, mut named) = (0.0, 0i64);
        for deed in &deeds {
            match deed {
                Deed::Move(x, dial, pan, stop) => {
                    let mut one = Move::new().to("x", Length(x * 30.0));
                    if let Some(dial) = dial {
                        one = one.to("dial", Angle(dial * 20.0));
                    }
                    if *pan {
                        one = one.to("pan", Angle(x * 40.0));
                    }
                    let id = machine.start(&one).unwrap();
                    if let Some(after) = stop {
                        machine.run_for(Duration::from_millis(*after));
                        machine.stop_move(id);
                        machine.wait(id);
                    } else {
                        prop_assert!(machine.wait(id).all_reached());
                    }
                }
                Deed::Held(x, ms) => {
                    let id = machine.start(&Move::new().to("x", Length(x * 30.0))).unwrap();
                    machine.run_for(Duration::from_millis(*ms));
                    machine.hold();
                    machine.wait_all_held();
                    machine.resume();
                    machine.run_for(Duration::from_millis(100));
                    prop_assert!(machine.wait(id).all_reached());
                }
                Deed::SetPosition(x) => {
                    let before = machine.position("x").unwrap();
                    machine.set_position("x", Length(*x)).unwrap();
                    jumps += machine.position("x").unwrap() - before;
                    named += 1;
                    machine.run_for(Duration::from_millis(1));
                }
            }
        }
        let count = ((machine.position("x").unwrap() - jumps) * 100.0).round() as i64;
        prop_assert!(machine.finish().is_empty());
        let recording = machine.take_recording().unwrap();
        let play = (screw * 100.0).round() as i64;
        prop_assert_eq!(nut(&steps(&recording), play), count, "after {} set-positions", named);
        let report = prove(&vcd(&recording), &config);
        prop_assert!(report.is_clean(), "{report}");
    }
}

#[test]
fn a_turn_takes_up_the_play_and_no_more() {
    let config = config(&text(0.3, 1.0));
    let mut machine = build(&config);
    for to in [1.0, 2.0, 1.5, 1.0, 1.4] {
        let id = machine.start(&Move::new().to("x", Length(to))).unwrap();
        let outcome = machine.wait(id);
        assert_eq!(outcome.motors[0].outcome, Outcome::Reached);
    }
    machine.finish();
    let recording = machine.take_recording().unwrap();
    let ups: i64 = steps(&recording).iter().map(|s| s.1).filter(|s| *s > 0).sum();
    let downs: i64 = steps(&recording).iter().map(|s| s.1).filter(|s| *s < 0).sum();
    // Up 200, with the play behind it from the start; down 100 and up 40, each after 30 of play.
    assert_eq!((ups, downs), (200 + 40 + 30, -(100 + 30)));
    let report = prove(&vcd(&recording), &config);
    assert!(report.to_string().contains("30 steps, before a move"), "{report}");
}

#[test]
fn a_plan_that_turns_on_its_way_is_refused() {
    let text = text(0.3, 1.0)
        + "[program.go]\nsteps = [ { keyframes = [ { at = \"2s\", x = \"5mm\" }, \
           { at = \"4s\", x = \"1mm\" } ] } ]\n";
    let config = config(&text);
    let found = lockstep::machine::preflight(&config, "go");
    assert!(matches!(found.problems[0].error, MoveError::Turns { .. }), "{found:?}");
    let mut machine = build(&config);
    let id = machine.start(&Move::new().to("x", Length(20.0))).unwrap();
    machine.run_for(Duration::from_millis(300));
    let back = machine.retarget(id, &Move::new().to("x", Length(-5.0)));
    assert!(matches!(back, Err(MoveError::Turns { .. })), "{back:?}");
    machine.hold();
    machine.wait_all_held();
    let back = machine.retarget(id, &Move::new().to("x", Length(-5.0)));
    assert!(matches!(back, Err(MoveError::Turns { .. })), "{back:?}");
    machine.retarget(id, &Move::new().to("x", Length(25.0))).unwrap();
    machine.resume();
    machine.run_for(Duration::from_millis(100));
    assert!(machine.wait(id).all_reached());
    assert_eq!(machine.position("x"), Some(25.0));
}

#[test]
fn a_sweep_needs_the_time_to_turn() {
    let sweep = |every: &str| {
        let steps = format!(
            "{{ sweep = {{ x = [\"0mm\", \"4mm\"] }}, step = \"1mm\", every = \"{every}\" }}"
        );
        let config = config(&(text(0.9, 1.0) + "[program.go]\nsteps = [ " + &steps + " ]\n"));
        lockstep::machine::preflight(&config, "go").problems
    };
    // A step takes 0.17 s, and the play before the way back nearly as long.
    assert!(matches!(sweep("250ms")[0].error, MoveError::SweepTooFast { .. }));
    assert!(sweep("400ms").is_empty());
}

/// What `check` says that a program takes is what it takes, the play of each turn with it.
#[test]
fn a_program_lasts_as_long_as_preflight_says() {
    let moves = [
        "x = \"9mm\"",
        "x = \"2mm\"",
        "x = \"1mm\"",
        "x = \"5mm\", dial = \"-9deg\"",
        "dial = \"3deg\"",
    ];
    let steps = moves.map(|to| format!("{{ move = {{ {to} }} }}")).join(", ");
    let lasts = |screw, dial| {
        let config = config(&(text(screw, dial) + "[program.go]\nsteps = [ " + &steps + " ]\n"));
        let said = lockstep::machine::preflight(&config, "go").duration.unwrap();
        let mut machine = build(&config);
        let begun = machine.now();
        let report = machine.run(Some("go"), RunOptions::default()).unwrap();
        assert_eq!(report.result, RunResult::Done);
        let took = machine.now().since(begun);
        // Each move has its lead, and coils their time to settle.
        assert!(
            took >= said && took < said + Duration::from_millis(150),
            "{took:?}, and not {said:?}"
        );
        said
    };
    // Four turns of at least 0.15 s each.
    assert!(lasts(0.9, 3.0) > lasts(0.006, 0.05) + Duration::from_millis(400));
}

#[test]
fn what_is_wrong_with_it_is_found() {
    let text = text(0.3, 1.0)
        + "[program.go]\nsteps = [ { move = { x = \"5mm\" } }, { move = { x = \"2mm\" } } ]\n";
    let tape = Tape::record(&text, "go");
    assert!(tape.prove(&config(&text)).is_clean());
    // With other play than it was made for, the edges and the positions part.
    for other in [0.29, 0.31] {
        let other =
            config(&text.replace("backlash = \"0.3mm\"", &format!("backlash = \"{other}mm\"")));
        let report = tape.prove(&other);
        assert!(broken(&report).contains(&"x: steps = position".into()), "{report}");
    }
    // Taken up too fast: pressed together into its first third.
    let mut fast = tape.clone();
    let (rises, falls) = (fast.edges("x.step", true), fast.edges("x.step", false));
    let first = fast.at(rises[500]);
    for n in 501..530 {
        fast.events[rises[n]].0 = first + (n as u64 - 500) * 120_000;
        fast.events[falls[n]].0 = first + (n as u64 - 500) * 120_000 + 2_000;
    }
    let report = fast.prove(&config(&text));
    assert!(broken(&report).contains(&"x: acceleration".into()), "{report}");
}

#[test]
fn on_threads_it_is_the_same() {
    let config = config(&text(0.3, 1.0));
    let mut machine = Machine::builder(config).trace(true).realtime(false).build().unwrap();
    for to in [1.0, 0.5, 0.8] {
        let id =
            machine.start(&Move::new().to("x", Length(to)).to("dial", Angle(to * 3.0))).unwrap();
        assert!(machine.wait(id).all_reached());
    }
    assert!(machine.finish().is_empty());
    let recording = machine.take_recording().unwrap();
    assert_eq!(nut(&steps(&recording), 30), 80);
}

/// Fewer writes, and none that a servo would not have moved for; but the last of a move is exact.
#[test]
fn a_servos_dead_band_leaves_out_small_changes() {
    let text = |band: &str| {
        format!(
            "[servo.pan]\npwm = {{ gpio = 12 }}\nmax-speed = \"20deg/s\"\n{band}\n\
             [program.go]\nsteps = [ {{ move = {{ pan = \"0deg\" }} }}, {{ move = {{ pan = \"7.77deg\" }} }},\n\
             {{ pause = \"100ms\" }} ]\n"
        )
    };
    let widths = |text: &str| {
        let tape = Tape::record(text, "go");
        let report = tape.prove(&config(text));
        assert!(report.is_clean(), "{report}");
        let (rises, falls) = (tape.edges("pan.pulse", true), tape.edges("pan.pulse", false));
        rises.iter().zip(&falls).map(|(r, f)| tape.at(*f) - tape.at(*r)).collect::<Vec<_>>()
    };
    let (every, few) = (widths(&text("")), widths(&text("dead-band = \"10us\"")));
    let changes = |w: &[u64]| w.windows(2).filter(|w| w[0] != w[1]).count();
    assert!(
        changes(&few) > 3 && changes(&few) < changes(&every),
        "{} {}",
        changes(&few),
        changes(&every)
    );
    assert_eq!(few.last(), every.last());
    let small = few.windows(2).filter(|w| w[0] != w[1] && w[0].abs_diff(w[1]) < 10_000).count();
    assert!(small <= 2, "only the last of each move: {small}");
}
