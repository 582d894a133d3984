//! Threads that panic or hang, on the simulator in real time. The bounds are wide: the computer may be
//! busy. What must never happen is tested sharply.

use std::time::{Duration, Instant as Wall};

use super::support::*;
use crate::hal::Clock;
use crate::machine::{Cause, Machine, Outcome, Place};
use crate::motor::{Command, FaultKind, Input, Motor, Wake};
use crate::runtime::{ThreadFleet, ThreadOptions};
use crate::units::Instant;

/// A motor whose loop gets into trouble.
struct Troubled {
    inner: Box<dyn Motor>,
    clock: Clock,
    trouble: Trouble,
}

#[derive(Clone, Copy)]
enum Trouble {
    /// At the first poll after it was armed.
    PanicArmed,
    /// This long after it was armed.
    PanicLater(Duration, Option<Instant>),
    /// Sleeps that long in a poll, this long after it was armed.
    Hang(Duration, Duration, Option<Instant>),
    Over,
}

impl Motor for Troubled {
    fn command(&mut self, command: Command, now: Instant) {
        if matches!(command, Command::Arm(_)) {
            match &mut self.trouble {
                Trouble::PanicLater(after, at) | Trouble::Hang(after, _, at) => {
                    *at = Some(now + *after);
                }
                _ => {}
            }
        }
        let arms = matches!(command, Command::Arm(_));
        self.inner.command(command, now);
        if arms && matches!(self.trouble, Trouble::PanicArmed) {
            self.trouble = Trouble::Over;
            panic!("a loop that panics, for a test");
        }
    }

    fn poll(&mut self, now: Instant) -> Wake {
        match self.trouble {
            Trouble::PanicLater(_, Some(at)) if now >= at => {
                self.trouble = Trouble::Over;
                panic!("a loop that panics, for a test");
            }
            Trouble::Hang(_, sleep, Some(at)) if now >= at => {
                self.trouble = Trouble::Over;
                std::thread::sleep(sleep);
            }
            _ => {}
        }
        self.inner.poll(now)
    }

    fn on_input(&mut self, input: Input, active: bool, at: Instant) {
        self.inner.on_input(input, active, at);
    }

    fn make_safe(&mut self) {
        let before = self.clock.now();
        self.inner.make_safe();
        assert!(self.clock.now().since(before) < Duration::from_secs(2));
    }
}

fn troubled(text: &str, motor: usize, trouble: Trouble) -> Machine {
    let builder = Machine::builder(config(text)).realtime(false).trace(true);
    let machine = builder.build_on(|builder, clock, members, events| {
        let wrap = |(i, (mut member, mailbox)): (usize, (crate::runtime::Member, _))| {
            if i == motor {
                member.motor =
                    Box::new(Troubled { inner: member.motor, clock: clock.clone(), trouble });
            }
            (member, mailbox)
        };
        let members = members.into_iter().enumerate().map(wrap).collect();
        let (stop, halt) = (builder.stop.clone(), builder.halt.clone());
        let options = ThreadOptions { realtime: false, ..ThreadOptions::default() };
        let fleet = ThreadFleet::start(members, events, stop, halt, &options).unwrap();
        Ok(Box::new(fleet))
    });
    machine.unwrap()
}

fn short(machine_outcome: &crate::machine::MoveOutcome, motor: &str) -> Cause {
    match &machine_outcome.motor(motor).unwrap().outcome {
        Outcome::Short { cause, .. } => cause.clone(),
        Outcome::Reached => panic!("{motor} reached its target"),
    }
}

#[test]
fn a_loop_that_panics_stops_the_others_and_is_named() {
    let trouble = Trouble::PanicLater(Duration::from_millis(150), None);
    let mut machine = troubled(STAGE, 1, trouble);
    let id = machine.start(&stage_move()).unwrap();
    let outcome = machine.wait(id);
    assert_eq!(short(&outcome, "y"), Cause::Fault(FaultKind::Panic));
    for other in ["x", "z"] {
        assert_eq!(short(&outcome, other), Cause::Stopped);
    }
    assert_eq!(machine.place("y"), Some(Place::Unverified));
    assert!(machine.start(&stage_move()).is_err());
    let began = Wall::now();
    // Its hardware was made safe; what is left of the loop still answers.
    check_machine(&mut machine, 0);
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[test]
fn a_loop_that_panics_before_the_start_breaks_it_for_all() {
    let mut machine = troubled(STAGE, 2, Trouble::PanicArmed);
    let id = machine.start(&stage_move()).unwrap();
    let began = Wall::now();
    let outcome = machine.wait(id);
    assert!(began.elapsed() < Duration::from_secs(2), "heard at once, not after a time-out");
    assert_eq!(short(&outcome, "z"), Cause::Fault(FaultKind::Panic));
    for other in ["x", "y"] {
        assert_eq!(short(&outcome, other), Cause::NotStarted(vec!["z".into()]));
        assert_eq!(machine.place(other), Some(Place::Assumed));
    }
    let (_, steps) = check_machine(&mut machine, 0);
    assert!(steps.iter().all(Vec::is_empty), "nobody moved");
}

#[test]
fn a_servo_whose_loop_panics_has_its_signal_ended() {
    let text = "[servo.pan]\npwm = { gpio = 12 }\n[servo.tilt]\npwm = { gpio = 13 }\n";
    let trouble = Trouble::PanicLater(Duration::from_millis(100), None);
    let mut machine = troubled(text, 0, trouble);
    let far = |degrees| {
        use crate::units::Angle;
        crate::machine::Move::new().to("pan", Angle(degrees)).to("tilt", Angle(degrees))
    };
    let id = machine.start(&far(-40.0)).unwrap();
    let outcome = machine.wait(id);
    assert_eq!(short(&outcome, "pan"), Cause::Fault(FaultKind::Panic));
    check_machine(&mut machine, 0);
}

#[test]
fn a_loop_that_hangs_is_left_behind_in_bounded_time() {
    let (after, sleep) = (Duration::from_millis(100), Duration::from_secs(12));
    let mut machine = troubled(STAGE, 0, Trouble::Hang(after, sleep, None));
    let long = crate::machine::Move::new()
        .to("x", crate::units::Length(150.0))
        .to("y", crate::units::Length(-19.0))
        .to("z", crate::units::Length(45.0));
    let id = machine.start(&long).unwrap();
    machine.run_for(Duration::from_millis(200));
    machine.stop_event().set();
    let began = Wall::now();
    let outcome = machine.wait(id);
    assert_eq!(short(&outcome, "x"), Cause::NoAnswer);
    for other in ["y", "z"] {
        assert_eq!(short(&outcome, other), Cause::Stopped);
    }
    assert_eq!(machine.finish(), ["x"]);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

/// Three loops with a fault that comes so long after the first move began.
fn with_fault(fault: &str) -> Machine {
    let builder = Machine::builder(config(STAGE)).realtime(false);
    builder.test_fault(Some(fault.parse().unwrap())).build().unwrap()
}

#[test]
fn loops_that_turn_answer_at_rest_and_in_motion() {
    // A fault that never comes.
    let mut machine = with_fault("hang:y@1000s");
    let id = machine.start(&stage_move()).unwrap();
    // A computer that gives a loop no time for that long has other troubles.
    for _ in 0..4 {
        machine.roll_call();
        machine.run_for(Duration::from_millis(500));
    }
    machine.wait(id);
    machine.roll_call();
    machine.run_for(Duration::from_millis(500));
    machine.roll_call();
    assert!(machine.snapshot().motors.iter().all(|m| m.fault.is_none()));
}

#[test]
fn a_loop_that_hangs_is_known_within_two_calls_in_motion_and_at_rest() {
    for (after, far, at_rest) in [(100, 60.0, false), (1_500, 1.0, true)] {
        let mut machine = with_fault(&format!("hang:y@{after}ms"));
        let y = crate::machine::Move::new().to("y", crate::units::Length(far));
        let id = machine.start(&y.to("x", crate::units::Length(far))).unwrap();
        if at_rest {
            // There it sleeps in its mailbox, and would do so for an hour.
            assert!(machine.wait(id).all_reached());
        }
        machine.run_for(Duration::from_millis(after + 200));
        machine.roll_call();
        machine.run_for(Duration::from_millis(500));
        machine.roll_call();
        let snapshot = machine.snapshot();
        let fault = |name: &str| {
            let motor = snapshot.motors.iter().find(|m| m.motor == name);
            motor.unwrap().fault.clone()
        };
        assert_eq!(fault("y"), Some(FaultKind::Silent), "{after}");
        assert_eq!((fault("x"), fault("z")), (None, None), "{after}");
        if !at_rest {
            let outcome = machine.wait(id);
            assert_eq!(short(&outcome, "y"), Cause::NoAnswer);
            assert_eq!(short(&outcome, "x"), Cause::Stopped);
        }
    }
}
