use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use proptest::prelude::*;

use super::*;
use crate::hal::{Backend, Clock, Level, OutputLine, OutputStart, SimBackend, SimPanel};
use crate::motion::Trajectory;
use crate::units::PulseWidth;

const STEP: u8 = 17;

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

struct Bench {
    clock: Clock,
    panel: SimPanel,
    events: Receiver<Event>,
    motor: Stepper<Pulses>,
}

/// Limits that no plan of these tests breaks, and no step at its start.
const ANY: MotorLimits = MotorLimits {
    travel: (f64::NEG_INFINITY, f64::INFINITY),
    slack: 100.0,
    motion: crate::motion::Limits { speed: 1e9, acceleration: 1e12, jerk: 1e15 },
};

/// A motor of 1 us pulses on the simulator, whose reports have room for `room`.
fn bench(room: usize) -> Bench {
    let clock = Clock::virtual_time();
    let mut sim = SimBackend::new(clock.clone());
    let mut open = |gpio| -> Box<dyn OutputLine> {
        sim.open_output(gpio, OutputStart::Level(Level::Low), "x").unwrap()
    };
    let (sender, events) = bounded(room);
    let pulses = Pulses::new(PulsesSetup {
        step: open(STEP),
        dir: open(27),
        enable: None,
        sleep: None,
        held: Vec::new(),
        step_high: 1_000,
        step_low: 1_000,
        dir_setup: 0,
        dir_hold: 0,
        wake: 0,
        up: Level::High,
    });
    let setup = StepperSetup {
        min_interval: 2_000,
        limits: ANY,
        backlash: 0,
        may_release: true,
        release_at_rest: false,
        release_at_end: false,
        settle: 0,
        release_after: None,
        max_lateness: None,
        count: 0,
        telemetry: Arc::default(),
    };
    let panel = sim.panel();
    Bench { clock, panel, events, motor: Stepper::new(setup, pulses, Outbox::new(0, sender)) }
}

impl Bench {
    fn poll(&mut self, nanos: u64) -> Wake {
        self.clock.set(at(nanos));
        self.motor.poll(at(nanos))
    }

    fn said(&self) -> Vec<Report> {
        self.events.try_iter().map(|e| e.report).collect()
    }
}

/// A move of one motor to `steps`: all of them are due at its start, so they come back to back.
fn motion(id: MoveId, steps: f64, parties: usize) -> Motion {
    let epoch = Arc::new(Epoch::default());
    let at_release = epoch.clone();
    let barrier = StepBarrier::new(parties).with_action(move || at_release.set(at(5_000)));
    let trajectory = Arc::new(Trajectory::rest(steps));
    Motion { id, trajectory, barrier, epoch, placed: true, after: 0, then: Then::End }
}

#[test]
fn a_report_that_finds_no_room_is_offered_again() {
    let mut b = bench(1);
    for change in [1, 2] {
        let gate = Arc::new(Gate::new(at(0)));
        let change = Change::new(change, 1, Arc::new(Trajectory::rest(0.0)), Then::End, gate);
        b.motor.command(Command::Change(change), at(0));
    }
    let wake = b.poll(10);
    assert!(wake.at <= at(1_000_010), "an idle loop comes back for it: {wake:?}");
    assert_eq!(b.said(), [Report::Acknowledged { change: 1 }]);
    assert_eq!(b.poll(1_000_010), Wake::IDLE);
    assert_eq!(b.said(), [Report::Acknowledged { change: 2 }]);
}

#[test]
fn whoever_refuses_a_move_breaks_its_barrier() {
    let mut b = bench(16);
    b.motor.on_input(Input::Fault, true, at(0));
    let motion = motion(3, 5.0, 2);
    let other = motion.barrier.arrive().unwrap();
    b.motor.command(Command::Arm(motion), at(0));
    assert!(matches!(other.poll(), crate::sync::TicketState::Broken(_)));
    assert_eq!(b.said(), [Report::Fault(FaultKind::Driver), Report::NotStarted(3)]);
}

#[test]
fn a_halt_says_which_move_it_dropped() {
    let mut b = bench(16);
    b.motor.command(Command::Halt, at(0));
    b.poll(0);
    assert_eq!(b.said(), [Report::Halted { id: None }]);
    b.motor.command(Command::Arm(motion(7, 9.0, 1)), at(0));
    b.poll(0);
    b.poll(5_000);
    assert_eq!(b.panel.level(STEP), Some(Level::High));
    b.motor.command(Command::Halt, at(5_100));
    b.motor.command(Command::Halt, at(5_200));
    let wake = b.poll(5_200);
    assert_eq!((wake.at, b.panel.level(STEP)), (at(6_000), Some(Level::High)), "no pulse is cut");
    assert_eq!(b.said(), [Report::Armed(7), Report::Started(7)]);
    b.poll(6_000);
    assert_eq!(b.panel.level(STEP), Some(Level::Low));
    assert_eq!(b.said(), [Report::Halted { id: Some(7) }]);
}

#[test]
fn a_change_is_kept_by_a_motor_that_has_not_seen_its_release() {
    let mut b = bench(16);
    let motion = motion(4, 9.0, 2);
    let barrier = motion.barrier.clone();
    b.motor.command(Command::Arm(motion), at(0));
    b.poll(0);
    let _other = barrier.arrive().unwrap();
    // Released, but not polled since: the change comes first.
    let gate = Arc::new(Gate::new(at(5_000)));
    let rest = Arc::new(Trajectory::rest(0.0));
    b.motor.command(Command::Change(Change::new(1, 4, rest, Then::End, gate.clone())), at(100));
    assert_eq!(gate.commit(at(100)), Verdict::Committed);
    b.poll(200);
    b.poll(5_000);
    let armed = [Report::Armed(4), Report::Acknowledged { change: 1 }, Report::Started(4)];
    assert_eq!(b.said(), [&armed[..], &[Report::Ended { id: 4, at: at(5_000) }]].concat());
    assert_eq!(b.panel.level(STEP), Some(Level::Low), "the new plan has no steps");
}

#[test]
fn the_last_resort_ends_a_pulse_and_the_place_at_the_barrier() {
    let mut b = bench(16);
    b.motor.command(Command::Arm(motion(1, 9.0, 1)), at(0));
    b.poll(0);
    b.poll(5_000);
    assert_eq!(b.panel.level(STEP), Some(Level::High));
    b.motor.make_safe();
    assert_eq!(b.panel.level(STEP), Some(Level::Low));
    let mut b = bench(16);
    let motion = motion(1, 9.0, 2);
    let barrier = motion.barrier.clone();
    b.motor.command(Command::Arm(motion), at(0));
    b.motor.make_safe();
    assert!(barrier.is_broken(), "also before it has arrived");
}

#[test]
fn an_output_that_is_refused_is_a_fault_and_no_step() {
    let mut b = bench(16);
    b.motor.command(Command::Arm(motion(1, 9.0, 1)), at(0));
    b.poll(0);
    b.panel.refuse(STEP, true);
    assert_eq!(b.poll(5_000), Wake::IDLE);
    let said = b.said();
    assert!(matches!(said.last(), Some(Report::Fault(FaultKind::Output(_)))), "{said:?}");
    b.motor.command(Command::Finish, at(6_000));
    b.poll(6_000);
    assert_eq!(b.said(), [Report::Safe]);
}

/// A motor with limits, and a plan of 9 steps within higher ones.
fn limited(change: impl FnOnce(&mut MotorLimits)) -> (Bench, Motion) {
    let mut limits = MotorLimits {
        travel: (-20.0, 20.0),
        slack: 0.5,
        motion: crate::motion::Limits { speed: 1e3, acceleration: 1e5, jerk: 1e7 },
    };
    let mut b = bench(16);
    let plan = crate::motion::Planner::new().plan_to(
        crate::motion::State::at_rest(0.0),
        9.0,
        limits.motion,
    );
    change(&mut limits);
    b.motor.set_limits(limits);
    let motion = Motion { trajectory: Arc::new(plan.unwrap()), ..motion(5, 0.0, 2) };
    (b, motion)
}

#[test]
fn a_plan_beyond_a_motors_own_limits_is_refused_by_name() {
    type Case = (fn(&mut MotorLimits), Limit);
    let cases: [Case; 4] = [
        (|l| l.travel.1 = 8.0, Limit::Travel),
        (|l| l.motion.speed /= 8.0, Limit::Speed),
        (|l| l.motion.acceleration /= 8.0, Limit::Acceleration),
        (|l| l.motion.jerk /= 8.0, Limit::Jerk),
    ];
    for (change, limit) in cases {
        let (mut b, motion) = limited(change);
        let other = motion.barrier.arrive().unwrap();
        b.motor.command(Command::Arm(motion), at(0));
        assert_eq!(b.poll(0), Wake::IDLE);
        assert_eq!(b.said(), [Report::Refused { id: 5, change: None, limit }]);
        assert!(matches!(other.poll(), crate::sync::TicketState::Broken(_)));
        // A plan within the limits is followed after that.
        b.motor.command(Command::Arm(self::motion(6, 0.0, 1)), at(1));
        b.poll(1);
        assert_eq!(b.said()[..2], [Report::Armed(6), Report::Started(6)]);
    }
    let (mut b, mut motion) = limited(|_| {});
    motion.trajectory = Arc::new(Trajectory::rest(2.0));
    b.motor.command(Command::Arm(motion), at(0));
    assert_eq!(b.said(), [Report::Refused { id: 5, change: None, limit: Limit::Start }]);
    // Where nobody knows its place, there is no travel.
    let (mut b, mut motion) = limited(|l| l.travel.1 = 8.0);
    motion.placed = false;
    b.motor.command(Command::Arm(motion), at(0));
    b.poll(0);
    assert_eq!(b.said(), [Report::Armed(5)]);
}

#[test]
fn a_change_beyond_a_motors_own_limits_is_not_acknowledged() {
    let (mut b, motion) = limited(|_| {});
    let faster = motion.trajectory.scaled(0.0, 3.0);
    b.motor.command(Command::Arm(motion), at(0));
    b.poll(0);
    let gate = Arc::new(Gate::new(at(9_000)));
    let change = |id| Change::new(4, id, Arc::new(faster.clone()), Then::End, gate.clone());
    b.said();
    b.motor.command(Command::Change(change(5)), at(1));
    assert_eq!(b.said(), [Report::Refused { id: 5, change: Some(4), limit: Limit::Travel }]);
    // One that is for another move is let pass, as ever.
    b.motor.command(Command::Change(change(7)), at(1));
    assert_eq!(b.said(), [Report::Acknowledged { change: 4 }]);
}

/// Should a plan that passed its check still ask for it: no step leaves the travel.
#[test]
fn no_step_ever_leaves_the_travel() {
    let (mut b, mut motion) = limited(|l| (l.travel.1, l.slack) = (4.0, 100.0));
    motion.barrier = StepBarrier::new(1).with_action({
        let epoch = motion.epoch.clone();
        move || epoch.set(at(5_000))
    });
    b.motor.command(Command::Arm(motion), at(0));
    let (mut now, mut rises, mut high) = (0, 0, false);
    while now < 1_000_000_000 {
        let wake = b.poll(now);
        let level = b.panel.level(STEP) == Some(Level::High);
        rises += usize::from(level && !high);
        high = level;
        if wake == Wake::IDLE {
            break;
        }
        now = wake.at.as_nanos().max(now + 1);
    }
    assert_eq!((rises, high), (4, false));
    assert_eq!(b.said().last(), Some(&Report::Fault(FaultKind::Limit(Limit::Travel))));
}

fn servo(panel_room: usize) -> (Servo, SimPanel, Clock, Receiver<Event>) {
    let clock = Clock::virtual_time();
    let mut sim = SimBackend::new(clock.clone());
    let (sender, events) = bounded(panel_room);
    let (min, max) = (PulseWidth::from_micros(1000), PulseWidth::from_micros(2000));
    let setup = ServoSetup {
        channel: sim.open_pwm(&12.into(), "pan").unwrap(),
        period: Duration::from_millis(20),
        pulse_of: PulseOf::Position,
        map: PulseMap {
            min,
            max,
            angle_at_min: -45.0,
            angle_at_max: 45.0,
            step: 1.0,
            dead_band: 0,
        },
        limits: ANY,
        release_after: None,
        max_lateness: None,
        clock: clock.clone(),
        telemetry: Arc::default(),
    };
    (Servo::new(setup, Outbox::new(0, sender)), sim.panel(), clock, events)
}

/// A write that fails on the way: the fault is said, and the end of the program still ends the signal.
#[test]
fn a_servo_whose_write_fails_is_still_ended() {
    let (mut servo, panel, clock, events) = servo(16);
    let mut motion = motion(1, 0.0, 1);
    // Over 90 degrees in 1 s, however roughly: here it is the writes that matter.
    let plan = crate::motion::Planner::new().plan_to(
        crate::motion::State::at_rest(-45.0),
        45.0,
        crate::motion::Limits { speed: 100.0, acceleration: 1e4, jerk: 1e6 },
    );
    motion.trajectory = Arc::new(plan.unwrap());
    servo.command(Command::Arm(motion), at(0));
    let mut now = 0;
    while now < 300_000_000 {
        clock.set(at(now));
        now = servo.poll(at(now)).at.as_nanos();
    }
    assert!(panel.pwm(12).unwrap().running);
    panel.refuse(12, true);
    clock.set(at(now));
    assert_eq!(servo.poll(at(now)), Wake::IDLE);
    panel.refuse(12, false);
    let said: Vec<_> = events.try_iter().map(|e| e.report).collect();
    assert!(matches!(said.last(), Some(Report::Fault(FaultKind::Output(_)))), "{said:?}");
    servo.command(Command::Finish, at(now));
    let began = now;
    loop {
        clock.set(at(now));
        let wake = servo.poll(at(now));
        if wake == Wake::IDLE {
            break;
        }
        now = wake.at.as_nanos();
    }
    assert!(!panel.pwm(12).unwrap().running);
    assert!(now - began <= 41_000_000, "{} ns", now - began);
    assert_eq!(events.try_iter().last().map(|e| e.report), Some(Report::Safe));
}

proptest! {
    /// Never outside the range, whatever is asked for; and never against the sense of the angle.
    #[test]
    fn a_pulse_stays_in_its_range(
        a in -1e6f64..1e6,
        b in -1e6f64..1e6,
        reverse: bool,
        step in 1.0f64..20_000.0,
    ) {
        let (min, max) = (PulseWidth::from_micros(900), PulseWidth::from_micros(2100));
        let (low, high) = if reverse { (60.0, -60.0) } else { (-60.0, 60.0) };
        let map = PulseMap { min, max, angle_at_min: low, angle_at_max: high, step, dead_band: 0 };
        let (wa, wb) = (map.width(a), map.width(b));
        prop_assert!(wa >= min && wa <= max);
        if a < b {
            let grows = if reverse { wa >= wb } else { wa <= wb };
            prop_assert!(grows);
        }
    }
}

#[test]
fn a_motor_that_recovers_takes_orders_again() {
    let mut b = bench(16);
    b.motor.command(Command::Recover, at(0));
    assert_eq!(b.said(), [Report::Recovered]);
    b.motor.on_input(Input::Fault, true, at(0));
    // Said once, however often the line comes and goes.
    b.motor.on_input(Input::Fault, false, at(1));
    b.motor.on_input(Input::Fault, true, at(2));
    assert_eq!(b.said(), [Report::Fault(FaultKind::Driver)]);
    // The line is active: it has not recovered, whatever was read of it a moment ago.
    b.motor.command(Command::Recover, at(3));
    b.motor.command(Command::Arm(motion(1, 5.0, 1)), at(3));
    assert_eq!(b.said(), [Report::Fault(FaultKind::Driver), Report::NotStarted(1)]);
    b.motor.on_input(Input::Fault, false, at(4));
    b.motor.command(Command::Recover, at(4));
    b.motor.command(Command::Arm(motion(2, 5.0, 1)), at(4));
    b.poll(4);
    assert_eq!(b.said(), [Report::Recovered, Report::Armed(2), Report::Started(2)]);
    // A plan that broke a limit of its own is no reason to stay away for ever, either.
    b.motor.set_limits(MotorLimits { travel: (0.0, 0.0), ..ANY });
    b.poll(5_000);
    b.motor.command(Command::Recover, at(5_001));
    let fault = Report::Fault(FaultKind::Limit(Limit::Travel));
    assert_eq!(b.said(), [fault, Report::Recovered]);
    // What is about to end does not come back.
    b.motor.command(Command::Finish, at(7_000));
    b.motor.command(Command::Recover, at(7_000));
    b.poll(7_000);
    assert_eq!(b.said(), [Report::Safe]);
}
