//! The power budget: nobody is switched on beyond it, nobody waits for ever, and starts come apart.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lockstep::config::Arrive;
use lockstep::hal::Supply;
use lockstep::machine::{
    Cause, Machine, Move, MoveError, Outcome, PowerState, RunOptions, preflight,
};
use lockstep::trace::Recording;
use lockstep::units::{Angle, Length};
use proptest::prelude::*;

use crate::verify_support::*;

/// Two axes behind one enable line, one with its own, coils that let go at rest, and two servos.
fn text(budget: &str, stagger: &str, more: &str) -> String {
    let axis = |name: &str, step: u8, dir: u8, enable: u8| {
        format!(
            "[axis.{name}]\nstep = {{ gpio = {step} }}\ndir = {{ gpio = {dir} }}\n\
             enable = {{ gpio = {enable}, active = \"low\" }}\ndriver = \"drv8825\"\n\
             steps-per-revolution = 200\nmicrosteps = 4\ndistance-per-revolution = \"8mm\"\n\
             travel = {{ min = \"-50mm\", max = \"50mm\" }}\nmax-speed = \"40mm/s\"\n\
             max-acceleration = \"400mm/s^2\"\nat-start = {{ assume = \"0mm\" }}\n\
             current = \"0.8A\"\n{}\n",
            if name == "z" { "release-after = \"200ms\"\n" } else { more }
        )
    };
    format!(
        "[power]\nbudget = \"{budget}\"\n{stagger}\n{}{}{}\
         [axis.dial]\nmotor = \"28byj-48\"\ncoils = {{ gpio = [5, 6, 16, 26] }}\n\
         travel = {{ min = \"-90deg\", max = \"90deg\" }}\nmax-speed = \"40deg/s\"\n\
         max-acceleration = \"300deg/s^2\"\nat-start = {{ assume = \"0deg\" }}\n\
         at-rest = \"release\"\ncurrent = \"300mA\"\n\
         [servo.pan]\npwm = {{ gpio = 12 }}\ncurrent = \"0.6A\"\nstartup = \"centre\"\n\
         [servo.tilt]\npwm = {{ gpio = 13 }}\ncurrent = \"0.6A\"\n\
         [program.pair]\nsteps = [ {{ move = {{ x = \"5mm\", z = \"5mm\" }} }} ]\n\
         [program.later]\nsteps = [ {{ move = {{ x = \"5mm\" }} }}, {{ move = {{ z = \"5mm\" }} }} ]\n",
        axis("x", 17, 27, 22),
        axis("y", 23, 24, 22),
        axis("z", 20, 21, 25),
    )
}

fn build(text: &str) -> Machine {
    Machine::builder(config(text)).virtual_time().trace(true).build().unwrap()
}

fn to(motor: &str, share: f64) -> Move {
    match motor {
        "x" | "y" | "z" => Move::new().to(motor, Length(share * 50.0)),
        _ => Move::new().to(motor, Angle(share * 45.0)),
    }
}

/// When what draws current was on, as its lines show it: an enable line, the coils, or a servo's moves.
fn on_times(recording: &Recording, line: &str, active: bool) -> Vec<(u64, u64)> {
    let id = recording.find(line).unwrap();
    let (mut all, mut since) = (Vec::new(), None);
    for (at, high) in recording.edges(id) {
        match (high == active, since) {
            (true, None) => since = Some(at.as_nanos()),
            (false, Some(from)) => {
                all.push((from, at.as_nanos()));
                since = None;
            }
            _ => {}
        }
    }
    all.extend(since.map(|from| (from, u64::MAX)));
    all
}

const MOTORS: [&str; 6] = ["x", "y", "z", "dial", "pan", "tilt"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever is asked for at whatever time: what is on never draws more than the budget, every move
    /// ends, and in the end what has let go has given everything back.
    #[test]
    fn the_budget_is_never_exceeded_and_nobody_waits_for_ever(
        budget in 1.6f64..4.0,
        stagger in 0u64..80,
        deeds in prop::collection::vec(
            (prop::sample::subsequence(MOTORS.to_vec(), 1..4), -1.0f64..1.0, 0u64..900, 0u8..4), 1..14,
        ),
    ) {
        let stagger = if stagger > 0 { format!("stagger = \"{stagger}ms\"") } else { String::new() };
        let text = text(&format!("{budget:.3}A"), &stagger, "release-after = \"100ms\"\n");
        let config = config(&text);
        let most = u64::from(config.power.unwrap().budget);
        let mut machine = build(&text);
        let mut ids = Vec::new();
        for (motors, share, pause, how) in &deeds {
            let spec = motors.iter().fold(Move::new(), |all, m| match *m {
                "x" | "y" | "z" => all.to(m, Length(share * 50.0)),
                _ => all.to(m, Angle(share * 45.0)),
            });
            let spec = if *how == 1 { spec.arrive(Arrive::Asap) } else { spec };
            match machine.start(&spec) {
                Ok(id) => ids.push(id),
                Err(MoveError::Busy { .. }) => {}
                Err(MoveError::Power(_)) => {}
                Err(other) => prop_assert!(false, "{other}"),
            }
            let until = machine.now() + Duration::from_millis(*pause);
            while machine.now() < until {
                machine.work(until);
                let power = machine.power().unwrap();
                prop_assert!(power.used <= most, "{power:?}");
            }
            match how {
                2 => machine.hold(),
                3 => machine.resume(),
                _ => {}
            }
        }
        machine.resume();
        for id in &ids {
            let begun = machine.now();
            machine.wait(*id);
            prop_assert!(machine.now().since(begun) < Duration::from_secs(60));
        }
        machine.run_for(Duration::from_secs(1));
        prop_assert_eq!(
            machine.power(),
            Some(PowerState { budget: most as u32, used: 0, waiting: 0, low: false })
        );
        machine.finish();
        let recording = machine.take_recording().unwrap();
        let report = prove(&vcd(&recording), &config);
        prop_assert!(report.is_clean(), "{}", report);
        // By the lines alone: what they switch on, at the instants at which they do.
        let mut draws: Vec<(u64, u64, u64)> = Vec::new();
        for (line, current) in [("x.enable", 1600), ("z.enable", 800)] {
            draws.extend(on_times(&recording, line, false).iter().map(|&(a, b)| (a, b, current)));
        }
        for &(at, ..) in &draws.clone() {
            let sum: u64 = draws.iter().filter(|d| d.0 <= at && at < d.1).map(|d| d.2).sum();
            prop_assert!(sum <= most, "{sum} mA at {at}");
        }
    }
}

/// A move that can never have its current is refused before anything moves, in a program, too; one that
/// could not beside what stays on is refused by the program's check, and falls short where nobody checked.
#[test]
fn what_can_never_fit_is_refused() {
    let kept = text("2A", "", "");
    let mut machine = build(&kept);
    let error = machine.start(&to("x", 0.1).to("z", Length(5.0))).unwrap_err();
    assert!(
        error.to_string().contains("2400 mA are more than the power budget of 2000 mA"),
        "{error}"
    );
    let config = config(&kept);
    for (program, says) in
        [("pair", "2400 mA are more"), ("later", "keeps its power at rest (x, y)")]
    {
        let problems = preflight(&config, program).problems;
        assert_eq!(problems.len(), 1);
        assert!(problems[0].error.to_string().contains(says), "{}", problems[0].error);
        assert!(build(&kept).run(Some(program), RunOptions::default()).is_err());
    }
    // Nobody checks a client's moves in their order: the second waits, and is told.
    let id = machine.start(&to("x", 0.1)).unwrap();
    assert!(machine.wait(id).all_reached());
    let begun = machine.now();
    let id = machine.start(&to("z", 0.1).timeout(Duration::from_secs(3))).unwrap();
    let end = machine.wait(id);
    assert_eq!(machine.now().since(begun), Duration::from_secs(3));
    let Outcome::Short { cause: Cause::Power(why), .. } = &end.motors[0].outcome else {
        panic!("{end:?}")
    };
    assert!(why.contains("800 mA: 400 mA of 2000 mA are free"), "{why}");
    assert_eq!(machine.steps("z"), Some(0));
    // What is switched off makes room, for one that waits, too.
    let id = machine.start(&to("z", 0.1)).unwrap();
    machine.run_for(Duration::from_secs(1));
    assert!(machine.is_under_way(id));
    machine.release("x").unwrap();
    assert!(machine.wait(id).all_reached());
}

/// Starts that need not be at one time come a stagger apart: of moves that were asked for at once, of the
/// motors of one `asap` move, and of axes that are enabled. An aligned move starts as one.
#[test]
fn starts_come_apart() {
    let stagger = "stagger = \"50ms\"";
    let begins = |machine: &mut Machine, lines: &[(&str, bool)]| -> Vec<u64> {
        machine.finish();
        let recording = machine.take_recording().unwrap();
        let of = |line: &(&str, bool)| on_times(&recording, line.0, line.1)[0].0;
        lines.iter().map(of).collect()
    };
    let apart = |times: &[u64]| times.windows(2).map(|p| p[1] - p[0]).collect::<Vec<_>>();
    let servos = [("pan.pulse", true), ("tilt.pulse", true)];

    let mut machine = build(&text("4A", stagger, ""));
    let ids: Vec<_> =
        ["pan", "tilt"].map(|m| machine.start(&to(m, 0.5)).unwrap()).into_iter().collect();
    machine.wait_all(&ids);
    assert_eq!(apart(&begins(&mut machine, &servos)), [50_000_000]);

    let mut machine = build(&text("4A", stagger, ""));
    let both = to("pan", 0.5).to("tilt", Angle(10.0)).arrive(Arrive::Asap);
    let id = machine.start(&both).unwrap();
    let later = machine.start(&to("z", 0.1)).unwrap();
    assert!(machine.wait_all(&[id, later]).iter().all(|o| o.all_reached()));
    let lines = [servos[0], servos[1], ("z.enable", false)];
    let times = begins(&mut machine, &lines);
    assert_eq!(apart(&times)[0], 50_000_000);
    assert!(times[2] >= 100_000_000, "{times:?}");

    let mut machine = build(&text("4A", stagger, ""));
    let id = machine.start(&to("pan", 0.5).to("tilt", Angle(10.0))).unwrap();
    assert!(machine.wait(id).all_reached());
    assert_eq!(apart(&begins(&mut machine, &servos)), [0]);

    let mut machine = build(&text("4A", stagger, ""));
    machine.enable("x").unwrap();
    machine.enable("z").unwrap();
    machine.run_for(Duration::from_secs(1));
    assert_eq!(machine.power().unwrap().used, 2400);
    let times = begins(&mut machine, &[("x.enable", false), ("z.enable", false)]);
    assert_eq!(apart(&times), [50_000_000]);
}

/// What is told to hold, or to stop, while it waits for its current leaves the queue.
#[test]
fn who_waits_for_current_hears_hold_and_stop() {
    let mut machine = build(&text("2A", "", ""));
    machine.enable("x").unwrap();
    let id = machine.start(&to("z", 0.1)).unwrap();
    machine.run_for(Duration::from_secs(1));
    assert_eq!(machine.power().unwrap().waiting, 1);
    machine.hold();
    assert_eq!(machine.power().unwrap().waiting, 0);
    machine.run_for(Duration::from_secs(100));
    machine.release("x").unwrap();
    machine.run_for(Duration::from_secs(1));
    machine.resume();
    assert!(machine.wait(id).all_reached());
    machine.run_for(Duration::from_secs(1));
    machine.enable("x").unwrap();
    let id = machine.start(&to("z", -0.1)).unwrap();
    machine.run_for(Duration::from_secs(1));
    machine.stop();
    let end = machine.wait(id);
    assert_eq!(
        end.motors[0].outcome,
        Outcome::Short { by: 10.0, cause: Cause::NotStarted(vec![]) }
    );
    assert_eq!(machine.power().unwrap().waiting, 0);
}

/// Nothing is left taken by moves that took nothing, and by those that lost a motor while they waited.
#[test]
fn no_share_is_forgotten() {
    let axis = "[axis.v]\nstep = { gpio = 4 }\ndir = { gpio = 18 }\ndriver = \"drv8825\"\n\
        steps-per-revolution = 200\nmicrosteps = 4\ndistance-per-revolution = \"8mm\"\n\
        travel = \"unlimited\"\nmax-speed = \"40mm/s\"\nmax-acceleration = \"400mm/s^2\"\n\
        at-start = { assume = \"0mm\" }\ncurrent = \"500mA\"\n";
    let mut machine = build(&format!("{}{axis}", text("2.5A", "", "")));
    // No line switches it off: it counts for good.
    assert_eq!(machine.power().unwrap().used, 500);
    for i in 0..600 {
        let id = machine.start(&Move::new().to("v", Length(f64::from(i % 7)))).unwrap();
        assert!(machine.wait(id).all_reached());
    }
    for i in 0..300 {
        let id = machine.start(&to("x", f64::from(i % 5) / 100.0)).unwrap();
        assert!(machine.wait(id).all_reached());
    }
    assert_eq!(machine.power().unwrap().used, 2100);
    let spec = to("z", 0.1).to("pan", Angle(10.0)).arrive(Arrive::Asap);
    assert!(matches!(machine.start(&spec.clone()), Ok(id) if {
        machine.run_for(Duration::from_millis(100));
        machine.stop_motor("z").unwrap();
        machine.release("x").unwrap();
        machine.wait(id).motor("pan").is_some_and(|pan| pan.outcome.is_reached())
    }));
    machine.run_for(Duration::from_secs(1));
    assert_eq!(machine.power().unwrap().used, 500);
}

struct Mains(Arc<AtomicBool>);

impl Supply for Mains {
    fn is_low(&mut self) -> Option<bool> {
        Some(self.0.load(Ordering::Relaxed))
    }
}

/// While the supply is low nothing more is switched on; what is on goes on.
#[test]
fn a_low_supply_holds_new_starts() {
    let low = Arc::new(AtomicBool::new(false));
    let config = config(&text("4A", "", ""));
    let mut machine = Machine::builder(config)
        .virtual_time()
        .supply(Box::new(Mains(low.clone())))
        .build()
        .unwrap();
    let id = machine.start(&to("x", 1.0)).unwrap();
    machine.run_for(Duration::from_millis(500));
    low.store(true, Ordering::Relaxed);
    machine.run_for(Duration::from_millis(600));
    assert!(machine.power().unwrap().low);
    let waits = machine.start(&to("z", 0.2)).unwrap();
    assert!(machine.wait(id).all_reached());
    machine.run_for(Duration::from_secs(3));
    assert_eq!(machine.steps("z"), Some(0));
    // It is on: that switches nothing on.
    let again = machine.start(&to("x", 0.5)).unwrap();
    assert!(machine.wait(again).all_reached());
    low.store(false, Ordering::Relaxed);
    assert!(machine.wait(waits).all_reached());
    assert!(!machine.power().unwrap().low);
}
