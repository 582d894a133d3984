//! The phase of coils is the rotor's, whatever becomes of the count: through enable, letting go, a new
//! position, a new config and a restart. The lines are read by a decoder that shares nothing with the drive.

use std::collections::BTreeMap;
use std::time::Duration;

use lockstep::config::Config;
use lockstep::hal::{Backend, Clock, Level, OutputStart, SimBackend, SimPanel};
use lockstep::machine::{Kept, Machine, Move, Place};
use lockstep::trace::Recording;
use lockstep::units::Angle;
use proptest::prelude::*;

use crate::verify_support::*;

const COILS: [u8; 4] = [5, 6, 13, 19];

/// Half steps a degree.
const PER_DEGREE: f64 = 64.0 * 25_792.0 / 405.0 / 360.0;

fn text(sequence: &str, more: &str) -> String {
    format!(
        "[axis.dial]\nmotor = \"28byj-48\"\ndriver = \"uln2003\"\n\
         coils = {{ gpio = [5, 6, 13, 19], sequence = \"{sequence}\" }}\n\
         travel = {{ min = \"-30deg\", max = \"60deg\" }}\nmax-speed = \"40deg/s\"\n\
         max-acceleration = \"300deg/s^2\"\nmax-jerk = \"6000deg/s^3\"\n{more}\n"
    )
}

/// The states in the order in which they pull the rotor round, the first coil the lowest bit.
fn states(sequence: &str) -> &'static [u8] {
    match sequence {
        "wave" => &[1, 2, 4, 8],
        "full" => &[3, 6, 12, 9],
        _ => &[1, 3, 2, 6, 4, 12, 8, 9],
    }
}

/// Follows a rotor over the lines of one machine after another. Where it stands, `phase` knows.
struct Rotor {
    sequence: &'static [u8],
    /// The coils whose pull it has followed last.
    phase: Option<usize>,
    /// How many states it has gone on.
    turned: i64,
}

impl Rotor {
    fn new(sequence: &str) -> Rotor {
        Rotor { sequence: states(sequence), phase: None, turned: 0 }
    }

    /// These coils are on. Panics where that would not pull the rotor to the state beside its own.
    fn pulled(&mut self, on: u8, when: &str) {
        if on == 0 {
            return;
        }
        let now = self.sequence.iter().position(|s| *s == on);
        let now = now.unwrap_or_else(|| panic!("{on:04b} {when} is no state"));
        let n = self.sequence.len();
        let ahead = match self.phase.map_or(0, |before| (now + n - before) % n) {
            0 => 0,
            1 => 1,
            m if m == n - 1 => -1,
            m => panic!("{m} states at once {when}"),
        };
        self.turned += ahead;
        self.phase = Some(now);
    }

    fn follow(&mut self, recording: &Recording) {
        let mut events: Vec<(u64, u8, bool)> = Vec::new();
        for (n, name) in ["a", "b", "c", "d"].iter().enumerate() {
            let id = recording.find(&format!("dial.{name}")).unwrap();
            events.extend(recording.edges(id).map(|(at, high)| (at.as_nanos(), 1 << n, high)));
        }
        events.sort_by_key(|e| e.0);
        let mut on = 0u8;
        for (n, &(at, bit, high)) in events.iter().enumerate() {
            on = if high { on | bit } else { on & !bit };
            if events.get(n + 1).is_none_or(|next| next.0 != at) {
                self.pulled(on, &format!("at {at} ns"));
            }
        }
    }
}

fn moved(machine: &mut Machine, to: f64) {
    let id = machine.start(&Move::new().to("dial", Angle(to))).unwrap();
    assert!(machine.wait(id).all_reached());
}

#[test]
fn enabled_before_its_first_move_it_takes_every_step() {
    let config = config(&text("half", "at-start = { assume = \"1deg\" }"));
    let mut machine = Machine::builder(config.clone()).virtual_time().trace(true).build().unwrap();
    machine.enable("dial").unwrap();
    machine.run_for(Duration::from_millis(100));
    moved(&mut machine, 10.0);
    machine.finish();
    let recording = machine.take_recording().unwrap();
    let mut rotor = Rotor::new("half");
    rotor.follow(&recording);
    let (from, to) = ((1.0 * PER_DEGREE).round(), (10.0 * PER_DEGREE).round());
    assert_eq!(rotor.turned, (to - from) as i64);
    let report = prove(&vcd(&recording), &config);
    assert!(report.is_clean(), "{report}");
}

fn restart(config: &Config, kept: BTreeMap<String, Kept>) -> Machine {
    let builder = Machine::builder(config.clone()).virtual_time().trace(true);
    builder.restore(kept).build().unwrap()
}

#[test]
fn a_restart_begins_in_the_phase_it_stood_on() {
    let config = config(&text("half", "at-start = \"restored\""));
    let mut rotor = Rotor::new("half");
    let mut machine = restart(&config, BTreeMap::new());
    machine.set_position("dial", Angle(0.0)).unwrap();
    // 113 half steps: no multiple of eight.
    moved(&mut machine, 10.0 - 0.05);
    machine.finish();
    let kept = machine.kept_places();
    rotor.follow(&machine.take_recording().unwrap());
    let steps = machine.steps("dial").unwrap();
    assert_eq!((rotor.turned, steps), (113, 113));
    let mut next = restart(&config, kept.clone());
    assert_eq!(next.place("dial"), Some(Place::Restored));
    moved(&mut next, 20.0);
    next.finish();
    let recording = next.take_recording().unwrap();
    rotor.follow(&recording);
    assert_eq!(rotor.turned, next.steps("dial").unwrap());
    let report = prove(&vcd(&recording), &config);
    assert!(report.is_clean(), "{report}");
    // A journal of a release that kept no phase: the rotor may be pulled, and nobody says otherwise.
    let json = serde_json::to_value(kept["dial"]).unwrap();
    assert!(json["phase"].is_u64(), "{json}");
    let old = serde_json::json!({ "steps": json["steps"], "sure": true });
    let kept = BTreeMap::from([("dial".to_owned(), serde_json::from_value(old).unwrap())]);
    assert_eq!(restart(&config, kept).place("dial"), Some(Place::Unverified));
}

#[derive(Clone, Debug)]
enum Deed {
    Move(f64),
    Stopped(f64, u64),
    Enable,
    Release,
    Set(f64),
    Wait(u64),
    Stop,
    Restart,
}

fn deed() -> impl Strategy<Value = Deed> {
    let angle = || -30.0f64..60.0;
    prop_oneof![
        4 => angle().prop_map(Deed::Move),
        2 => (angle(), 0u64..1_500).prop_map(|(to, after)| Deed::Stopped(to, after)),
        2 => Just(Deed::Enable),
        2 => Just(Deed::Release),
        2 => angle().prop_map(Deed::Set),
        1 => (0u64..200).prop_map(Deed::Wait),
        1 => Just(Deed::Stop),
        2 => Just(Deed::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whatever is done, in whatever order, over any number of restarts: the rotor is never asked for more
    /// than one state at once, and what it has turned is what was counted.
    #[test]
    fn no_step_is_lost_between_two_lives(
        sequence in prop::sample::select(vec!["wave", "full", "half"]), reverse: bool,
        rest in prop::sample::select(vec![
            "", "at-rest = \"release\"", "on-stop = \"release\"", "backlash = \"2deg\"",
            "release-after = \"50ms\"",
        ]),
        deeds in prop::collection::vec(deed(), 1..14),
    ) {
        let more = format!("reverse = {reverse}\nat-start = \"restored\"\n{rest}");
        let config = config(&text(sequence, &more));
        let mut rotor = Rotor::new(sequence);
        let mut machine = restart(&config, BTreeMap::new());
        machine.set_position("dial", Angle(0.0)).unwrap();
        machine.run_for(Duration::from_millis(1));
        // The count at the end, less what was only said of it.
        let mut said = 0;
        for deed in deeds.iter().chain([&Deed::Restart]) {
            match *deed {
                Deed::Move(to) => moved(&mut machine, to),
                Deed::Stopped(to, after) => {
                    let id = machine.start(&Move::new().to("dial", Angle(to))).unwrap();
                    machine.run_for(Duration::from_millis(after));
                    machine.stop_move(id);
                    machine.wait(id);
                }
                Deed::Enable => machine.enable("dial").unwrap(),
                // Coils that are to hold at rest are not let go: the checker would have a word with it.
                Deed::Release if rest.contains("release") => machine.release("dial").unwrap(),
                Deed::Release => {}
                Deed::Set(at) => {
                    let before = machine.steps("dial").unwrap();
                    machine.set_position("dial", Angle(at)).unwrap();
                    said += machine.steps("dial").unwrap() - before;
                    // Its own instant in the trace.
                    machine.run_for(Duration::from_millis(1));
                }
                Deed::Wait(ms) => machine.run_for(Duration::from_millis(ms)),
                Deed::Stop => {
                    machine.stop();
                    machine.clear();
                }
                Deed::Restart => {
                    machine.finish();
                    let kept = machine.kept_places();
                    let recording = machine.take_recording().unwrap();
                    rotor.follow(&recording);
                    let report = prove(&vcd(&recording), &config);
                    prop_assert!(report.is_clean(), "{report}");
                    let steps = machine.steps("dial").unwrap();
                    if !rest.contains("backlash") {
                        let turned = if reverse { -rotor.turned } else { rotor.turned };
                        prop_assert_eq!(steps - said, turned);
                    }
                    machine = restart(&config, kept);
                    prop_assert_eq!(machine.steps("dial"), Some(steps));
                }
            }
        }
    }
}

/// The coils that are on.
fn on(panel: &SimPanel) -> u8 {
    let bit = |(n, gpio): (usize, &u8)| u8::from(panel.level(*gpio) == Some(Level::High)) << n;
    COILS.iter().enumerate().map(bit).sum()
}

/// Waits until coils are on, and says which.
fn powered(panel: &SimPanel) -> u8 {
    let until = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        match on(panel) {
            0 if std::time::Instant::now() < until => std::thread::sleep(Duration::from_millis(1)),
            on => return on,
        }
    }
}

#[test]
fn a_new_config_that_opens_the_coils_anew_keeps_the_phase() {
    let mut backend = SimBackend::new(Clock::monotonic());
    let panel = backend.panel();
    // Somebody else has GPIO 23.
    let _line = backend.open_output(23, OutputStart::Level(Level::Low), "another").unwrap();
    let first = text("half", "at-start = { assume = \"0deg\" }");
    let machine = Machine::builder(config(&first)).backend(Box::new(backend)).realtime(false);
    let mut machine = machine.build().unwrap();
    moved(&mut machine, 1.0 - 0.05);
    let (steps, stood) = (machine.steps("dial").unwrap(), on(&panel));
    assert_eq!((steps, stood), (11, states("half")[3]));
    let new = text("half", "at-start = { assume = \"0deg\" }\nat-rest = \"release\"");
    assert_eq!(machine.reload(config(&new), false).unwrap().motors.reopened, ["dial"]);
    assert_eq!((machine.steps("dial"), on(&panel)), (Some(11), 0));
    machine.enable("dial").unwrap();
    assert_eq!(powered(&panel), stood, "taken up where it was let go");
    machine.set_position("dial", Angle(7.0)).unwrap();
    // What the back end refuses after the old coils were closed has them opened again.
    let taken = first.replace("[5, 6, 13, 19]", "[5, 6, 13, 23]");
    let error = machine.reload(config(&taken), false).unwrap_err();
    assert!(error.to_string().contains("23"), "{error}");
    machine.enable("dial").unwrap();
    assert_eq!(powered(&panel), stood, "a new position is none of the rotor's");
    assert_eq!(machine.reload(config(&first), false).unwrap().motors.reopened, ["dial"]);
    machine.enable("dial").unwrap();
    assert_eq!(powered(&panel), stood);
    assert!(machine.finish().is_empty());
}
