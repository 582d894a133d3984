//! Steppers whose coils are switched one by one: their lines are read by a decoder that shares nothing
//! with the drive, and by the checker.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use lockstep::config::Config;
use lockstep::machine::{Machine, Move, RunOptions, RunResult};
use lockstep::trace::{Recording, Value};
use lockstep::units::Angle;
use lockstep::verify::{Options, Report, verify};
use proptest::prelude::*;

use crate::verify_support::*;

/// A board, whether both of its first two inputs on would be a short, and its states in full and half
/// steps, as data sheets and shops print them.
const BOARDS: [(&str, bool); 4] =
    [("uln2003", false), ("l298n", true), ("drv8833", true), ("tb6612", true)];

fn states(bridges: bool, sequence: &str) -> Vec<u8> {
    // IN1 is the highest of four bits.
    let unipolar = match sequence {
        "wave" => vec![0b1000, 0b0100, 0b0010, 0b0001],
        "full" => vec![0b1100, 0b0110, 0b0011, 0b1001],
        _ => vec![0b1000, 0b1100, 0b0100, 0b0110, 0b0010, 0b0011, 0b0001, 0b1001],
    };
    // IN2 and IN3 change places.
    let swap = |s: u8| s & 0b1001 | (s & 0b0100) >> 1 | (s & 0b0010) << 1;
    if bridges { unipolar.into_iter().map(swap).collect() } else { unipolar }
}

fn text(board: &str, sequence: &str, more: &str) -> String {
    format!(
        "[axis.dial]\nmotor = \"28byj-48\"\ndriver = \"{board}\"\n\
         coils = {{ gpio = [5, 6, 13, 19], sequence = \"{sequence}\" }}\n\
         travel = {{ min = \"-30deg\", max = \"60deg\" }}\nmax-speed = \"40deg/s\"\n\
         max-acceleration = \"300deg/s^2\"\nmax-jerk = \"6000deg/s^3\"\n{more}\n\
         [program.go]\nsteps = [ {{ move = {{ dial = \"20deg\" }} }}, {{ pause = \"200ms\" }},\n\
         {{ move = {{ dial = \"-5deg\" }} }} ]\n"
    )
}

/// What the lines say: the count at the end, and how often the coils were switched off.
struct Decoded {
    count: i64,
    offs: usize,
    powered_at_end: bool,
    /// When the coils went on or off.
    power: Vec<(u64, bool)>,
}

/// Follows the four lines. Panics where they are in a state that may not be.
/// `adopts`: what stood before the first state of the sequence was so when the program came.
fn decode(
    recording: &Recording,
    board: (&str, bool),
    sequence: &str,
    (reverse, adopts): (bool, bool),
) -> Decoded {
    let mut events: Vec<(u64, u8, bool)> = Vec::new();
    for (n, name) in ["a", "b", "c", "d"].iter().enumerate() {
        let id = recording.find(&format!("dial.{name}")).unwrap();
        let bit = 0b1000 >> n;
        events.extend(recording.edges(id).map(|(at, high)| (at.as_nanos(), bit, high)));
    }
    events.sort_by_key(|e| e.0);
    let all = states(board.1, sequence);
    let (mut on, mut phase, mut powered) = (0u8, None::<usize>, false);
    let (mut count, mut offs, mut power) = (0, 0, Vec::new());
    for (n, &(at, bit, high)) in events.iter().enumerate() {
        on = if high { on | bit } else { on & !bit };
        if events.get(n + 1).is_some_and(|next| next.0 == at) {
            continue;
        }
        power.push((at, on != 0));
        if on == 0 {
            offs += usize::from(powered);
            powered = false;
            continue;
        }
        let now = all.iter().position(|s| *s == on);
        if board.1 {
            assert!(on & 0b1100 != 0b1100 && on & 0b0011 != 0b0011, "{on:04b} at {at}");
        } else {
            assert!(on & 0b1010 != 0b1010 && on & 0b0101 != 0b0101, "{on:04b} at {at}");
        }
        if now.is_none() && phase.is_none() && adopts {
            continue;
        }
        let now = now.unwrap_or_else(|| panic!("{on:04b} at {at} is no state of {sequence}"));
        let n = all.len();
        let moved = phase.map_or(0, |before: usize| (now + n - before) % n);
        let ahead = match moved {
            0 => 0,
            1 => 1,
            m if m == n - 1 => -1,
            m => panic!("{m} states at once at {at}"),
        };
        assert!(powered || ahead == 0, "taken up in another phase at {at}");
        count += if reverse { -ahead } else { ahead };
        (phase, powered) = (Some(now), true);
    }
    Decoded { count, offs, powered_at_end: powered, power }
}

/// Half steps a degree.
fn per_degree(sequence: &str) -> f64 {
    let per_turn = if sequence == "half" { 64.0 } else { 32.0 };
    per_turn * 25_792.0 / 405.0 / 360.0
}

const RELEASE: &str = "at-rest = \"release\"";

#[derive(Clone, Debug)]
enum Deed {
    Move(f64, f64),
    Stopped(f64, u64),
    Wait(u64),
    Stop,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (-30.0f64..60.0, 0.2f64..=1.0).prop_map(|(to, speed)| Deed::Move(to, speed)),
        3 => (-30.0f64..60.0, 0u64..1_500).prop_map(|(to, after)| Deed::Stopped(to, after)),
        1 => (0u64..200).prop_map(Deed::Wait),
        1 => Just(Deed::Stop),
    ]
}

/// What came of it.
struct Life {
    machine: Machine,
    recording: Recording,
    /// From the end of each move to where the next was asked for, nanoseconds; also of those that never began, for
    /// which the coils get their power all the same.
    rests: Vec<(u64, u64)>,
}

fn live(config: Config, deeds: &[Deed], halt: Option<u64>) -> Life {
    let mut machine = Machine::builder(config).virtual_time().trace(true).build().unwrap();
    let to = |angle: f64| Move::new().to("dial", Angle(angle));
    let (mut rests, mut since) = (Vec::new(), None);
    for deed in deeds {
        if let (Deed::Move(..) | Deed::Stopped(..), Some(since)) = (deed, since) {
            rests.push((since, machine.now().as_nanos()));
        }
        match deed {
            Deed::Move(angle, speed) => {
                let id = machine.start(&to(*angle).speed(*speed)).unwrap();
                assert!(machine.wait(id).all_reached());
                since = Some(machine.now().as_nanos());
            }
            Deed::Stopped(angle, after) => {
                let id = machine.start(&to(*angle)).unwrap();
                machine.run_for(Duration::from_millis(*after));
                machine.stop_move(id);
                machine.wait(id);
                since = Some(machine.now().as_nanos());
            }
            Deed::Wait(ms) => machine.run_for(Duration::from_millis(*ms)),
            Deed::Stop => {
                machine.stop();
                machine.clear();
            }
        }
    }
    if let Some(after) = halt {
        let id = machine.start(&to(60.0)).unwrap();
        machine.run_for(Duration::from_millis(after));
        machine.halt_event().set();
        machine.wait(id);
    }
    assert!(machine.finish().is_empty());
    let recording = machine.take_recording().unwrap();
    Life { machine, recording, rests }
}

/// A life of an axis whose coils are let go at rest, held, or as its config says.
#[derive(Clone, Debug)]
struct Lived {
    board: usize,
    sequence: &'static str,
    reverse: bool,
    rest: usize,
    start: f64,
    deeds: Vec<Deed>,
    halt: Option<u64>,
}

impl Lived {
    /// Panics where its lines are not what they should be. How many rests were long enough to be looked at.
    fn is_exact(&self) -> usize {
        let Lived { board, sequence, reverse, rest, start, deeds, halt } = self;
        let (board, rest) = (BOARDS[*board], *rest);
        let rest_lines = [
            "at-rest = \"release\"",
            "at-rest = \"hold\"\non-stop = \"release\"",
            "",
            "holds-load = true",
        ][rest];
        let more = format!(
            "reverse = {reverse}\nat-start = {{ assume = \"{start:.3}deg\" }}\n{rest_lines}"
        );
        let config = config(&text(board.0, sequence, &more));
        let Life { machine, recording, rests } = live(config.clone(), deeds, *halt);
        let seen = decode(&recording, board, sequence, (*reverse, rest == 3));
        let per_degree = per_degree(sequence);
        let first = ((start * 1e3).round() / 1e3 * per_degree).round();
        let told = machine.position("dial").unwrap() * per_degree;
        assert!((first + seen.count as f64 - told).abs() < 1e-6, "{first} {} {told}", seen.count);
        let moved = recording.edges(recording.find("dial.a").unwrap()).count() > 1;
        let stops = deeds.iter().filter(|d| matches!(d, Deed::Stop)).count();
        let mut looked_at = 0;
        if rest == 0 && moved {
            // At the end of each rest that is long enough, no coil is on.
            for (from, to) in rests.into_iter().filter(|r| r.1 - r.0 > 25_000_000) {
                let on = seen.power.iter().rfind(|p| p.0 < to).is_some_and(|p| p.1);
                assert!(!on, "still on at {to}, at rest since {from}");
                looked_at += 1;
            }
        }
        match rest {
            0 | 1 => assert!(!seen.powered_at_end),
            _ => assert!(seen.offs == 0 && (seen.powered_at_end || !moved)),
        }
        if rest == 1 {
            assert!(seen.offs <= stops + 1);
        }
        let report = prove(&vcd(&recording), &config);
        assert!(report.is_clean(), "{report}");
        looked_at
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whatever the board, the sequence, and what is done: only states of the sequence, each beside the
    /// one before, steps counted = position reported, the phase kept, held or let go as it should be.
    #[test]
    fn lives_are_exact(
        board in 0usize..4, sequence in prop::sample::select(vec!["wave", "full", "half"]),
        reverse: bool, rest in 0usize..4, start in -30.0f64..60.0,
        deeds in prop::collection::vec(deed(), 1..10), halt in prop::option::weighted(0.2, 0u64..1000),
    ) {
        Lived { board, sequence, reverse, rest, start, deeds, halt }.is_exact();
    }
}

/// A move that is stopped before it begins leaves no mark in the trace, and its coils get their power for a moment.
#[test]
fn a_move_that_never_began_had_its_power_and_gave_it_back() {
    let deeds = |wait| {
        let stopped = [Deed::Move(-24.6126, 0.2), Deed::Wait(wait), Deed::Stopped(0.0, 0)];
        stopped.into_iter().chain([Deed::Move(0.0, 0.2)]).collect()
    };
    for (wait, rests) in [(16, 0), (30, 1)] {
        let lived = Lived {
            board: 0,
            sequence: "wave",
            reverse: false,
            rest: 0,
            start: 10.0,
            deeds: deeds(wait),
            halt: None,
        };
        assert_eq!(lived.is_exact(), rests);
    }
}

/// By name coils are let go that hold at rest, and stay on that let go by themselves: the trace says that it was asked
/// for, and without its mark it is found.
#[test]
fn who_is_switched_by_name_is_as_it_was_told() {
    for (rest, on) in [("at-rest = \"hold\"", false), (RELEASE, true)] {
        let more = format!("at-start = {{ assume = \"0deg\" }}\n{rest}");
        let config = config(&text("uln2003", "half", &more));
        let mut machine =
            Machine::builder(config.clone()).virtual_time().trace(true).build().unwrap();
        let go = |machine: &mut Machine, angle: f64| {
            assert!(machine.go(&Move::new().to("dial", Angle(angle))).unwrap().all_reached());
        };
        go(&mut machine, 10.0);
        if on {
            machine.enable("dial").unwrap();
        } else {
            machine.release("dial").unwrap();
        }
        machine.run_for(Duration::from_secs(1));
        go(&mut machine, 20.0);
        machine.run_for(Duration::from_secs(20));
        machine.finish();
        let recording = machine.take_recording().unwrap();
        let file = vcd(&recording);
        let report = prove(&file, &config);
        assert!(report.is_clean(), "{rest}: {report}");
        let word = if on { "senable:dial " } else { "srelease:dial " };
        assert_eq!(file.lines().filter(|l| l.starts_with(word)).count(), 1, "{rest}");
        let without: Vec<&str> = file.lines().filter(|l| !l.starts_with(word)).collect();
        let report = prove(&(without.join("\n") + "\n"), &config);
        assert!(!report.is_clean(), "{rest}: {report}");
    }
}

#[test]
fn coils_that_hold_a_load_are_not_let_go_by_a_fault() {
    for (more, off) in [("holds-load = true", false), ("at-rest = \"release\"", true)] {
        let config = config(&text("uln2003", "half", more));
        let mut machine =
            Machine::builder(config.clone()).virtual_time().trace(true).build().unwrap();
        machine.inject_fault("dial", Duration::from_millis(300)).unwrap();
        let report = machine.run(Some("go"), RunOptions::default()).unwrap();
        assert_eq!(report.result, RunResult::Failed);
        let recording = machine.take_recording().unwrap();
        let seen = decode(&recording, BOARDS[0], "half", (false, !off));
        assert!(seen.count > 0 && seen.powered_at_end != off);
        let report = prove(&vcd(&recording), &config);
        assert!(report.is_clean(), "{report}");
    }
}

#[test]
fn a_hold_keeps_the_power_and_a_new_position_the_phase() {
    let config = config(&text("uln2003", "half", RELEASE));
    let mut machine = Machine::builder(config.clone()).virtual_time().trace(true).build().unwrap();
    let id = machine.start(&Move::new().to("dial", Angle(20.0))).unwrap();
    machine.run_for(Duration::from_millis(300));
    machine.hold();
    machine.wait_all_held();
    machine.run_for(Duration::from_millis(300));
    machine.resume();
    machine.run_for(Duration::from_millis(100));
    assert!(machine.wait(id).all_reached());
    machine.run_for(Duration::from_millis(100));
    // Three half steps from where it was: no multiple of the sequence.
    let shifted = machine.position("dial").unwrap() - 3.0 / per_degree("half");
    machine.set_position("dial", Angle(shifted)).unwrap();
    let before = (machine.position("dial").unwrap() * per_degree("half")).round() as i64;
    let id = machine.start(&Move::new().to("dial", Angle(-10.0))).unwrap();
    assert!(machine.wait(id).all_reached());
    let after = (machine.position("dial").unwrap() * per_degree("half")).round() as i64;
    machine.finish();
    let recording = machine.take_recording().unwrap();
    // Another phase after letting go would have shown here.
    let seen = decode(&recording, BOARDS[0], "half", (false, false));
    assert_eq!(seen.count, before + 3 + (after - before));
    let report = prove(&vcd(&recording), &config);
    assert!(report.is_clean(), "{report}");
}

#[test]
fn on_threads_it_is_the_same() {
    let config = config(&text("tb6612", "full", "at-rest = \"release\""));
    let mut machine = Machine::builder(config.clone()).trace(true).realtime(false).build().unwrap();
    let id = machine.start(&Move::new().to("dial", Angle(12.0))).unwrap();
    assert!(machine.wait(id).all_reached());
    machine.run_for(Duration::from_millis(150));
    let id = machine.start(&Move::new().to("dial", Angle(3.0))).unwrap();
    assert!(machine.wait(id).all_reached());
    assert!(machine.finish().is_empty());
    let late = machine.lateness("dial").unwrap();
    let recording = machine.take_recording().unwrap();
    // Between the two writes of a step a thread may be put aside for as long as it may be late.
    let lateness = Duration::from_nanos(late.max) + Duration::from_millis(2);
    let report = verify(vcd(&recording).as_bytes(), &config, &Options { lateness }).unwrap();
    let broken = broken(&report);
    assert!(
        !broken
            .iter()
            .any(|b| b.contains("bridge") || b.contains("position") || b.contains("phase")),
        "{report}"
    );
    let position = machine.position("dial").unwrap();
    let steps = (3.0 * per_degree("full")).round();
    assert!((position * per_degree("full") - steps).abs() < 1e-6);
}

/// A good run, broken by `break_it`.
fn run(more: &str, break_it: impl FnOnce(&mut Tape)) -> Report {
    let text = text("uln2003", "half", more);
    let mut tape = Tape::record(&text, "go");
    let report = tape.prove(&config(&text));
    assert!(report.is_clean(), "{report}");
    break_it(&mut tape);
    tape.prove(&config(&text))
}

#[track_caller]
fn names(report: &Report, bound: &str) {
    assert!(broken(report).contains(&format!("dial: {bound}")), "{bound}:\n{report}");
}

#[test]
fn opposite_coils_are_found() {
    let report = run("", |t| {
        let at = t.at(t.edges("dial.a", true)[3]);
        t.add(at + 10, "dial.c", Value::High);
        t.add(at + 20, "dial.c", Value::Low);
    });
    names(&report, "opposite coils on");
}

#[test]
fn a_state_of_no_sequence_and_one_left_out_are_found() {
    // Two coils on where the wave has one.
    let text = text("uln2003", "wave", "");
    let mut tape = Tape::record(&text, "go");
    assert!(tape.prove(&config(&text)).is_clean());
    let off = tape.edges("dial.a", false)[4];
    tape.events[off].0 += 1_000;
    names(&tape.prove(&config(&text)), "states of the sequence alone");
    let report = run("", |t| {
        let (fall, rise) = (t.edges("dial.a", false)[4], t.edges("dial.c", true)[4]);
        t.events[fall].0 = t.at(rise);
    });
    names(&report, "from state to neighbour");
    names(&report, "steps = position");
}

#[test]
fn a_step_too_soon_after_another_is_found() {
    let report = run("", |t| {
        let (on, off) = (t.edges("dial.c", true)[8], t.edges("dial.b", false)[8]);
        t.events[off].0 = t.at(on) + 1_000;
    });
    names(&report, "step interval");
}

#[test]
fn power_that_comes_or_goes_at_the_wrong_time_is_found() {
    // Power right before the first step.
    let report = run(RELEASE, |t| {
        let first = t.edges("dial.a", true)[0];
        let step = t.at(t.edges("dial.b", true)[0]);
        t.events[first].0 = step - 1_000_000;
    });
    names(&report, "power before a step");
    // In a move.
    let report = run("", |t| {
        let at = t.at(t.edges("dial.a", true)[3]) + 1_000;
        t.add(at, "dial.d", Value::Low);
        t.add(at, "dial.a", Value::Low);
        t.add(at + 100_000, "dial.d", Value::High);
        t.add(at + 100_000, "dial.a", Value::High);
    });
    names(&report, "at rest");
    // At rest, where they shall hold.
    let text_hold = text("uln2003", "half", "");
    let tape = Tape::record(&text("uln2003", "half", RELEASE), "go");
    names(&tape.prove(&config(&text_hold)), "at rest");
    // They go on holding, where they shall let go.
    let mut tape = Tape::record(&text_hold, "go");
    tape.end += 6_000_000_000;
    names(&tape.prove(&config(&text("uln2003", "half", RELEASE))), "at rest");
}

#[test]
fn another_phase_after_letting_go_is_found() {
    let report = run(RELEASE, |t| {
        // In the pause: whichever coils come on, all lines from there on are those of a neighbour.
        let ends: Vec<u64> = t.of_signal("dial.position").iter().map(|&e| t.at(e)).collect();
        let (from, to) = (ends[1] + 100_000_000, ends[2]);
        for event in &mut t.events {
            if event.0 > from && event.1 < 4 {
                event.1 = (event.1 + 2) % 4;
            }
        }
        assert!(from < to);
    });
    names(&report, "phase kept without power");
}

#[test]
fn a_step_outside_of_a_move_is_found() {
    let report = run("", |t| {
        let at = t.at(*t.of_signal("machine.move").last().unwrap()) + 1_000_000;
        let on: Vec<bool> = ["a", "b", "c", "d"]
            .iter()
            .map(|n| {
                let last = *t.of_signal(&format!("dial.{n}")).last().unwrap();
                t.events[last].2 == Value::High
            })
            .collect();
        let wires = ["dial.a", "dial.b", "dial.c", "dial.d"];
        // To the state before or after: one coil goes on, or of two one goes off.
        let first = on.iter().position(|&o| o).unwrap();
        match on.iter().filter(|o| **o).count() {
            1 => t.add(at, wires[(first + 1) % 4], Value::High),
            _ => t.add(at, wires[first], Value::Low),
        }
        t.end = at + 1_000_000;
    });
    names(&report, "steps in moves alone");
}
