//! Servos that turn continuously, loop by loop: neutral, then no signal, whatever ends their motion.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use proptest::prelude::*;

use super::*;
use crate::hal::{
    Backend, Clock, Level, OutputStart, RecordedOutput, RecordedPwm, SimBackend, SimPanel,
};
use crate::motion::{Limits, Planner, State};
use crate::units::PulseWidth;

const PERIOD: u64 = 20_000_000;
const NEUTRAL: u64 = 1_500_000;
const PIN: u8 = 12;

type Edges = Arc<Mutex<Vec<(u64, bool)>>>;

struct Bench {
    motor: Box<dyn Motor>,
    clock: Clock,
    panel: SimPanel,
    events: Receiver<Event>,
    edges: Edges,
    now: u64,
}

impl Bench {
    fn new(soft: bool) -> Bench {
        let clock = Clock::virtual_time();
        let mut sim = SimBackend::new(clock.clone());
        let panel = sim.panel();
        let edges = Edges::default();
        let into = edges.clone();
        let sink = move |at: Instant, high| into.lock().unwrap().push((at.as_nanos(), high));
        let (sender, events) = bounded(64);
        let out = Outbox::new(0, sender);
        let (min, max) = (PulseWidth::from_micros(1000), PulseWidth::from_micros(2000));
        let (angle_at_min, angle_at_max) = (-100.0, 100.0);
        let map = PulseMap { min, max, angle_at_min, angle_at_max, step: 1.0, dead_band: 0 };
        let motion = Limits { speed: 100.0, acceleration: 400.0, jerk: 4000.0 };
        let travel = (f64::NEG_INFINITY, f64::INFINITY);
        let limits = MotorLimits { travel, slack: 1e-3, motion };
        let period = Duration::from_nanos(PERIOD);
        let (release_after, max_lateness) = (Some(200_000_000), None);
        let motor: Box<dyn Motor> = if soft {
            let line = sim.open_output(PIN, OutputStart::Level(Level::Low), "wheel").unwrap();
            let setup = SoftServoSetup {
                line: Box::new(RecordedOutput::new(line, sink, clock.now())),
                period,
                pulse_of: PulseOf::Velocity,
                map,
                limits,
                release_after,
                max_lateness,
                clock: clock.clone(),
                telemetry: Arc::default(),
            };
            Box::new(SoftServo::new(setup, out))
        } else {
            let channel = sim.open_pwm(&PIN.into(), "wheel").unwrap();
            let setup = ServoSetup {
                channel: Box::new(RecordedPwm::new(channel, sink, clock.now())),
                period,
                pulse_of: PulseOf::Velocity,
                map,
                limits,
                release_after,
                max_lateness,
                clock: clock.clone(),
                telemetry: Arc::default(),
            };
            Box::new(Servo::new(setup, out))
        };
        Bench { motor, clock, panel, events, edges, now: 0 }
    }

    fn at(&mut self, now: u64) -> Instant {
        self.now = now;
        self.clock.set(Instant::from_nanos(now));
        Instant::from_nanos(now)
    }

    /// At 60 % for two seconds, from the epoch 1 ms on.
    fn arm(&mut self) {
        let limits = Limits { speed: 100.0, acceleration: 400.0, jerk: 4000.0 };
        let plan =
            Planner::new().cruise(State::at_rest(0.0), 60.0, 2_000_000_000, limits, false).unwrap();
        let (barrier, epoch) = (StepBarrier::new(1), Arc::new(Epoch::default()));
        epoch.set(Instant::from_nanos(1_000_000));
        let motion = Motion {
            id: 1,
            trajectory: Arc::new(plan),
            barrier,
            epoch,
            placed: true,
            after: 0,
            then: Then::End,
        };
        let now = self.at(0);
        self.motor.command(Command::Arm(motion), now);
    }

    /// Polls until then, whenever the motor wants to be asked.
    fn run(&mut self, until: u64) {
        loop {
            let now = self.at(self.now);
            let wake = self.motor.poll(now).at.as_nanos();
            if wake > until {
                self.at(until);
                return;
            }
            self.now = wake.max(self.now + 1);
        }
    }

    /// Each pulse: when it began, and how long it was.
    fn pulses(&self) -> Vec<(u64, u64)> {
        let edges = self.edges.lock().unwrap();
        let first = edges.iter().position(|e| e.1).unwrap_or(edges.len());
        edges[first..].chunks(2).map(|p| (p[0].0, p[1].0 - p[0].0)).collect()
    }

    fn said(&self) -> Vec<Report> {
        self.events.try_iter().map(|e| e.report).collect()
    }

    fn is_off(&self) -> bool {
        let pulsing = self.panel.pwm(PIN).is_some_and(|pwm| pwm.running);
        let high = self.panel.level(PIN) == Some(Level::High);
        !pulsing && !high
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Told to halt, or to end, at any instant: at most the pulse that is under way and the next one whose width is
    /// written already stand for a speed, and it is said to be still when that is so.
    #[test]
    fn a_halt_or_the_end_is_neutral_and_then_no_signal(soft: bool, end: bool, at in 2_000_000u64..2_300_000_000) {
        let mut bench = Bench::new(soft);
        bench.arm();
        bench.run(at);
        let order = if end { Command::Finish } else { Command::Halt };
        let now = bench.at(at);
        bench.motor.command(order, now);
        let before = bench.said();
        bench.run(at + PERIOD * 3 / 2);
        let after = bench.said();
        let was_told = |all: &[Report]| all.iter().any(|r| matches!(r, Report::Halted { .. }));
        prop_assert!(end || was_told(&before) || was_told(&after), "{before:?}, {after:?}");
        bench.run(at + 1_000_000_000);
        if end {
            prop_assert!(bench.said().contains(&Report::Safe));
        }
        prop_assert!(bench.is_off());
        let pulses = bench.pulses();
        let late: Vec<_> = pulses.iter().filter(|p| p.0 > at + PERIOD + PERIOD / 4).collect();
        prop_assert!(late.iter().all(|p| p.1 == NEUTRAL), "{late:?}");
        prop_assert!(pulses.iter().all(|p| (NEUTRAL..=1_800_000).contains(&p.1)), "none is cut");
        let last = pulses.last().unwrap().0;
        prop_assert!(last <= at + 200_000_000 + 3 * PERIOD, "{last}, told at {at}");
        // Neutral for a while, so that one which keeps its last speed without a signal rests as well.
        if at < 1_900_000_000 {
            let neutral = pulses.iter().rev().take_while(|p| p.1 == NEUTRAL).count();
            prop_assert!(neutral >= 10, "{neutral} neutral pulses");
        }
    }

    /// The last resort, after a panic, at any instant.
    #[test]
    fn a_panic_ends_neutral(soft: bool, at in 2_000_000u64..2_300_000_000) {
        let mut bench = Bench::new(soft);
        bench.arm();
        bench.run(at);
        bench.at(at);
        bench.motor.make_safe();
        let took = bench.clock.now().as_nanos() - at;
        prop_assert!(took <= 8 * PERIOD, "{took} ns");
        prop_assert!(bench.is_off());
        let pulses = bench.pulses();
        prop_assert!(pulses.iter().all(|p| (NEUTRAL..=1_800_000).contains(&p.1)), "none is cut");
        prop_assert_eq!(pulses.last().unwrap().1, NEUTRAL);
    }
}

/// A write that fails: nobody knows what the pin shows, so its signal ends.
#[test]
fn a_refused_write_ends_the_signal() {
    let mut bench = Bench::new(false);
    bench.arm();
    bench.run(100_000_000);
    bench.panel.refuse(PIN, true);
    bench.run(350_000_000);
    assert!(!bench.is_off(), "the chip takes nothing");
    bench.panel.refuse(PIN, false);
    bench.run(400_000_000);
    let said = bench.said();
    let faults = said.iter().filter(|r| matches!(r, Report::Fault(FaultKind::Output(_))));
    assert_eq!((faults.count(), said.last()), (1, Some(&Report::Released)), "{said:?}");
    assert!(bench.is_off(), "{said:?}");
}

/// Held, it stands still under its neutral pulse; a change of plan goes on from there.
#[test]
fn at_rest_by_a_hold_it_keeps_its_neutral_pulse() {
    for soft in [false, true] {
        let mut bench = Bench::new(soft);
        bench.arm();
        bench.run(500_000_000);
        let limits = Limits { speed: 100.0, acceleration: 400.0, jerk: 4000.0 };
        let state = State { position: 0.0, velocity: 60.0, acceleration: 0.0 };
        let rest = Planner::new().plan_rest(state, limits).unwrap();
        let at = Instant::from_nanos(510_000_000);
        let gate = Arc::new(Gate::new(at));
        let change = Change::new(1, 1, Arc::new(rest), Then::Hold, gate.clone());
        let now = bench.at(500_000_000);
        bench.motor.command(Command::Change(change), now);
        gate.commit(now);
        bench.run(3_000_000_000);
        let said = bench.said();
        assert!(said.iter().any(|r| matches!(r, Report::Held { change: 1, .. })), "{said:?}");
        let now = bench.at(3_000_000_000);
        bench.motor.command(Command::Finish, now);
        bench.run(4_000_000_000);
        let held = |p: &(u64, u64)| p.0 > 900_000_000 && p.0 < 3_000_000_000;
        let held: Vec<_> = bench.pulses().into_iter().filter(held).collect();
        assert!(held.len() > 100 && held.iter().all(|p| p.1 == NEUTRAL), "{held:?}");
    }
}
