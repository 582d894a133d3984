//! Places that outlive a machine, and other configs for one that runs: whatever happens, a place is the one
//! that was counted, or unknown.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use lockstep::config::Config;
use lockstep::hal::{Clock, Level, SimBackend};
use lockstep::machine::{Jog, Kept, Machine, Move, Place, ReloadError};
use lockstep::units::{Angle, Length, Speed};
use proptest::prelude::*;

fn axis(name: &str, step: u8, extra: &str) -> String {
    format!(
        "[axis.{name}]\nstep = {{ gpio = {step} }}\ndir = {{ gpio = {} }}\n\
         enable = {{ gpio = 22, active = \"low\" }}\ndriver = \"drv8825\"\nsteps-per-revolution = 200\n\
         microsteps = 16\ndistance-per-revolution = \"8mm\"\n\
         travel = {{ min = \"0mm\", max = \"200mm\" }}\nmax-speed = \"50mm/s\"\n\
         max-acceleration = \"500mm/s^2\"\nat-start = \"restored\"\n{extra}",
        step + 1
    )
}

const PAN: &str = "[servo.pan]\npwm = { gpio = 18 }\nstartup = \"last\"\n";

fn config(text: &str) -> Config {
    Config::from_str(text, "t").unwrap().config
}

#[derive(Clone, Debug)]
enum Deed {
    Move(f64),
    Jog(f64, u64),
    Halt,
    Stop,
    Release,
    Fault,
    Tell(f64),
    Pause(u64),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let one = prop_oneof![
        4 => (0.0..200.0f64).prop_map(Deed::Move),
        2 => (-40.0..40.0f64, 10..2000u64).prop_map(|(v, t)| Deed::Jog(v, t)),
        1 => Just(Deed::Halt),
        1 => Just(Deed::Stop),
        1 => Just(Deed::Release),
        1 => Just(Deed::Fault),
        2 => (0.0..200.0f64).prop_map(Deed::Tell),
        4 => (1..3000u64).prop_map(Deed::Pause),
    ];
    prop::collection::vec(one, 0..12)
}

fn carry_out(machine: &mut Machine, deeds: &[Deed]) {
    for deed in deeds {
        match *deed {
            // Refused where the place is unknown, or it moves: that is as well.
            Deed::Move(to) => drop(machine.start(&Move::new().to("x", Length(to)))),
            Deed::Jog(at, ms) => {
                let time = Duration::from_millis(ms);
                drop(machine.jog(&Jog::lasting(time).at("x", Speed(at))));
            }
            Deed::Halt => machine.halt(),
            Deed::Stop => machine.stop(),
            Deed::Release => drop(machine.release("x")),
            Deed::Fault => machine.inject_fault("x", Duration::ZERO).unwrap(),
            Deed::Tell(at) => drop(machine.set_position("x", Length(at))),
            Deed::Pause(ms) => machine.run_for(Duration::from_millis(ms)),
        }
        machine.clear();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// The next machine begins where the last has counted to, or does not know.
    #[test]
    fn a_restored_place_is_the_counted_one_or_unknown(first in deeds(), second in deeds()) {
        let config = config(&(axis("x", 16, "") + PAN));
        let restored = |kept| Machine::builder(config.clone()).virtual_time().restore(kept).build().unwrap();
        let mut machine = restored([].into());
        prop_assert_eq!(machine.place("x"), Some(Place::Unknown));
        machine.set_position("x", Length(50.0)).unwrap();
        for deeds in [first, second] {
            carry_out(&mut machine, &deeds);
            machine.stop();
            machine.finish();
            let kept = machine.kept_places();
            let (place, steps) = (machine.place("x").unwrap(), machine.steps("x").unwrap());
            let known = matches!(place, Place::Assumed | Place::Restored);
            let mut next = restored(kept.clone());
            match kept.get("x") {
                Some(kept) => {
                    prop_assert_eq!(*kept, Kept { steps: Some(steps), angle: None, sure: known, phase: None });
                    prop_assert_eq!(next.steps("x"), Some(steps));
                    let wanted = if known { Place::Restored } else { Place::Unverified };
                    prop_assert_eq!(next.place("x"), Some(wanted));
                }
                None => {
                    prop_assert!(!known);
                    prop_assert_eq!(next.place("x"), Some(Place::Unknown));
                    next.set_position("x", Length(50.0)).unwrap();
                }
            }
            machine = next;
        }
    }

    /// Whatever is changed of one axis at rest, the count of the others goes on, and its own is the one
    /// that it had, or unknown.
    #[test]
    fn a_new_config_keeps_what_it_does_not_change(
        changes in prop::collection::vec((0usize..8, 0.0..200.0f64), 1..6),
    ) {
        let texts = [
            "", "max-jerk = \"900mm/s^3\"\n", "reverse = true\n", "backlash = \"0.1mm\"\n",
            "holds-load = true\n", "on-stop = \"release\"\n", "gear-ratio = \"2\"\n",
            "fault = { gpio = 24, active = \"low\" }\n",
        ];
        let text = |n: usize| axis("x", 16, texts[n]) + &axis("y", 20, "") + PAN;
        let mut machine = Machine::builder(config(&text(0))).virtual_time().restore([].into()).build().unwrap();
        machine.set_position("y", Length(0.0)).unwrap();
        let pan = machine.start(&Move::new().to("pan", Angle(20.0))).unwrap();
        machine.wait(pan);
        for (n, to) in changes {
            if machine.place("x") == Some(Place::Unknown) {
                machine.set_position("x", Length(100.0)).unwrap();
            }
            let x = machine.start(&Move::new().to("x", Length(to))).unwrap();
            machine.wait(x);
            let before = (machine.steps("x"), machine.place("x"));
            let y = machine.start(&Move::new().to("y", Length(200.0 - to))).unwrap();
            machine.run_for(Duration::from_millis(100));
            let new = config(&text(n));
            let difference = machine.difference(&new);
            let reopened = difference.reopened.contains(&"y".to_owned());
            match machine.reload(new.clone(), true) {
                Ok(_) => prop_assert!(!reopened || !machine.is_under_way(y)),
                Err(ReloadError::Busy { motors }) => {
                    // They share an enable line, on which a load hangs now, or no more.
                    prop_assert!(reopened && motors == ["y"]);
                    machine.wait(y);
                    machine.reload(new, true).unwrap();
                }
                Err(e) => prop_assert!(false, "{e}"),
            }
            match machine.place("x") {
                Some(Place::Unknown) => prop_assert!(difference.reopened.contains(&"x".to_owned())),
                place => {
                    prop_assert_eq!(machine.steps("x"), before.0);
                    prop_assert!(place == before.1 || place == Some(Place::Unverified));
                }
            }
            let outcome = machine.wait(y);
            prop_assert!(outcome.motors.iter().all(|m| m.outcome.is_reached()));
            prop_assert_eq!(machine.position("y"), Some(200.0 - to).map(|at| (at * 400.0).round() / 400.0));
            prop_assert_eq!(machine.position("pan"), Some(20.0));
        }
    }
}

/// Real time, on the panel: a shared enable line stays active while its other axis is opened anew, and a
/// servo that is not touched goes on pulsing.
#[test]
fn lines_and_signals_of_others_go_on() {
    let backend = SimBackend::new(Clock::monotonic());
    let panel = backend.panel();
    let text = |extra: &str| axis("x", 16, extra) + &axis("y", 20, "") + PAN;
    let machine = Machine::builder(config(&text(""))).backend(Box::new(backend)).realtime(false);
    let mut machine = machine.build().unwrap();
    for motor in ["x", "y"] {
        machine.set_position(motor, Length(10.0)).unwrap();
    }
    let to = Move::new().to("x", Length(11.0)).to("y", Length(12.0)).to("pan", Angle(10.0));
    let id = machine.start(&to).unwrap();
    assert!(machine.wait(id).all_reached());
    let signal = panel.pwm(18).unwrap();
    assert_eq!(panel.level(22), Some(Level::Low));
    let watched = panel.clone();
    let (over, ended) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        let mut released = false;
        while ended.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            released |= watched.level(22) == Some(Level::High);
            released |= watched.pwm(18).is_none_or(|p| !p.running);
        }
        released
    });
    // Its fault line is new: its loop is, too.
    let new = text("fault = { gpio = 24, active = \"low\" }\n");
    assert_eq!(machine.reload(config(&new), false).unwrap().motors.reopened, ["x"]);
    drop(over);
    assert!(!watch.join().unwrap());
    assert_eq!(machine.position("x"), Some(11.0));
    assert_eq!(panel.pwm(18).unwrap(), signal);
    // The new loop has the line now: letting go of one axis is not letting go of both.
    machine.release("y").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(panel.level(22), Some(Level::Low));
    machine.release("x").unwrap();
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while panel.level(22) == Some(Level::Low) && std::time::Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(panel.level(22), Some(Level::High));
}

/// What the back end refuses leaves everything as it was.
#[test]
fn hardware_that_is_not_there_is_refused_whole() {
    let backend = SimBackend::new(Clock::monotonic());
    let panel = backend.panel();
    // Somebody else has GPIO 23.
    let mut other = backend;
    let line = lockstep::hal::Backend::open_output(
        &mut other,
        23,
        lockstep::hal::OutputStart::Level(Level::Low),
        "another",
    )
    .unwrap();
    let text = axis("x", 16, "") + PAN;
    let machine = Machine::builder(config(&text)).backend(Box::new(other)).realtime(false);
    let mut machine = machine.build().unwrap();
    machine.set_position("x", Length(10.0)).unwrap();
    let id = machine.start(&Move::new().to("x", Length(11.0)).to("pan", Angle(10.0))).unwrap();
    machine.wait(id);
    let third = "[servo.third]\nsoft-pwm = { gpio = 23 }\n";
    // A motor that is new; and one more change, for which the old had to be closed.
    for x in [
        "",
        "fault = { gpio = 24, active = \"low\" }\n",
        "sleep = { gpio = 23, active = \"low\" }\n",
    ] {
        let third = if x.contains("23") { "" } else { third };
        let error = machine.reload(config(&(axis("x", 16, x) + PAN + third)), false).unwrap_err();
        assert!(error.to_string().contains("23"), "{error}");
        assert_eq!(machine.config().motors.len(), 2);
        assert_eq!((machine.position("x"), machine.position("pan")), (Some(11.0), Some(10.0)));
        assert!(panel.pwm(18).unwrap().running && panel.level(22) == Some(Level::Low));
        let id = machine.start(&Move::new().to("x", Length(12.0)).to("pan", Angle(11.0))).unwrap();
        assert!(machine.wait(id).all_reached());
        let id = machine.start(&Move::new().to("x", Length(11.0)).to("pan", Angle(10.0))).unwrap();
        assert!(machine.wait(id).all_reached());
    }
    drop(line);
    machine.reload(config(&(text + third)), false).unwrap();
    let id = machine.start(&Move::new().to("third", Angle(1.0))).unwrap();
    assert!(machine.wait(id).all_reached());
}
