use std::sync::Mutex;

use crossbeam_channel::{Receiver, bounded};
use proptest::prelude::*;

use super::*;
use crate::hal::{Backend, OutputStart, RecordedOutput, SimBackend, SimPanel};
use crate::motion::{Limits, Planner, State, Trajectory};
use crate::motor::{Epoch, Event, Motion, Then};
use crate::sync::StepBarrier;

const PERIOD: u64 = 20_000_000;
const PIN: u8 = 23;

const ANY: MotorLimits = MotorLimits {
    travel: (f64::NEG_INFINITY, f64::INFINITY),
    slack: 100.0,
    motion: Limits { speed: f64::MAX, acceleration: f64::MAX, jerk: f64::MAX },
};

/// A servo, what it says and what leaves the pin.
struct Bench {
    servo: SoftServo,
    clock: Clock,
    panel: SimPanel,
    events: Receiver<Event>,
    edges: Arc<Mutex<Vec<(u64, bool)>>>,
    now: u64,
}

impl Bench {
    fn new() -> Bench {
        let clock = Clock::virtual_time();
        let mut sim = SimBackend::new(clock.clone());
        let panel = sim.panel();
        let line = sim.open_output(PIN, OutputStart::Level(Level::Low), "tail").unwrap();
        let edges = Arc::new(Mutex::new(Vec::new()));
        let into = edges.clone();
        let sink = move |at: Instant, high| into.lock().unwrap().push((at.as_nanos(), high));
        let (sender, events) = bounded(64);
        let (min, max) = (PulseWidth::from_micros(1000), PulseWidth::from_micros(2000));
        let setup = SoftServoSetup {
            line: Box::new(RecordedOutput::new(line, sink, clock.now())),
            period: Duration::from_nanos(PERIOD),
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
            max_lateness: Some(1_000_000),
            clock: clock.clone(),
            telemetry: Arc::default(),
        };
        let servo = SoftServo::new(setup, Outbox::new(0, sender));
        Bench { servo, clock, panel, events, edges, now: 0 }
    }

    fn command(&mut self, command: Command) {
        self.clock.set(Instant::from_nanos(self.now));
        self.servo.command(command, Instant::from_nanos(self.now));
    }

    /// A move that starts at `epoch`, from `from` to `to` degrees.
    fn arm(&mut self, id: u64, from: f64, to: f64, epoch: u64) -> Arc<Trajectory> {
        let limits = Limits { speed: 200.0, acceleration: 2000.0, jerk: 20_000.0 };
        let plan = Planner::new().plan_to(State::at_rest(from), to, limits).unwrap();
        let trajectory = Arc::new(plan);
        let (barrier, fixed) = (StepBarrier::new(1), Arc::new(Epoch::default()));
        fixed.set(Instant::from_nanos(epoch));
        let (plan, epoch) = (trajectory.clone(), fixed);
        self.command(Command::Arm(Motion {
            id,
            trajectory: plan,
            barrier,
            epoch,
            placed: true,
            after: 0,
            then: Then::End,
        }));
        trajectory
    }

    /// Polls until `until` whenever the servo wants to be asked, each time `late` later.
    fn run(&mut self, until: u64, mut late: impl FnMut() -> u64) {
        loop {
            self.clock.set(Instant::from_nanos(self.now));
            let wake = self.servo.poll(Instant::from_nanos(self.now)).at;
            if wake.as_nanos() > until {
                self.now = until;
                return;
            }
            assert!(wake.as_nanos() > self.now, "it asks for ever at {}", self.now);
            self.now = wake.as_nanos() + late();
        }
    }

    fn said(&self) -> Vec<Report> {
        self.events.try_iter().map(|e| e.report).collect()
    }

    /// Each pulse: when it began and how long it was. The line is low in the end.
    fn pulses(&self) -> Vec<(u64, u64)> {
        let edges = self.edges.lock().unwrap();
        assert_eq!(edges.first(), Some(&(0, false)));
        assert!(!edges.last().unwrap().1);
        edges[1..]
            .chunks(2)
            .map(|p| {
                assert!(p[0].1 && !p[1].1);
                (p[0].0, p[1].0 - p[0].0)
            })
            .collect()
    }
}

/// The width for an angle, worked out anew.
fn width(angle: f64) -> u64 {
    (1_500_000.0 + angle / 45.0 * 500_000.0).round() as u64
}

#[test]
fn on_time_every_pulse_is_on_the_grid_and_where_the_plan_is() {
    let mut bench = Bench::new();
    let (epoch, at_end) = (3_000_000, 40.0);
    let plan = bench.arm(1, -20.0, at_end, epoch);
    bench.run(2_000_000_000, || 0);
    let end = plan.duration();
    for (k, (rise, wide)) in bench.pulses().into_iter().enumerate() {
        assert_eq!(rise, epoch + k as u64 * PERIOD);
        assert_eq!(wide, width(plan.state_at((rise - epoch).min(end)).position));
    }
    // At rest it goes on.
    assert!(bench.pulses().len() >= 99);
    let ended = Report::Ended { id: 1, at: Instant::from_nanos(epoch + end) };
    assert_eq!(bench.said(), [Report::Armed(1), Report::Started(1), ended]);
    let jitter = bench.servo.s.telemetry.jitter.summary();
    assert_eq!((jitter.count as usize, jitter.max), (bench.pulses().len(), 0));
}

/// Overslept by most of a period: the pulse is left out, counted, and the next is on the grid again.
#[test]
fn a_pulse_that_is_overslept_is_left_out() {
    let mut bench = Bench::new();
    bench.arm(1, 0.0, 0.0, PERIOD);
    let mut polls = 0;
    bench.run(410_000_000, || {
        polls += 1;
        if polls == 21 { 15_000_000 } else { 0 }
    });
    let pulses = bench.pulses();
    let gaps: Vec<u64> = pulses.windows(2).map(|p| p[1].0 - p[0].0).collect();
    assert!(gaps.iter().all(|&gap| gap == PERIOD || gap == 2 * PERIOD), "{gaps:?}");
    assert_eq!(gaps.iter().filter(|&&gap| gap == 2 * PERIOD).count(), 1);
    assert!(pulses.iter().all(|p| p.1 == width(0.0)));
    assert_eq!(bench.servo.s.telemetry.lateness.summary().max, PERIOD);
}

#[test]
fn a_line_that_refuses_is_a_fault_and_the_end_is_still_told() {
    let mut bench = Bench::new();
    bench.arm(1, 0.0, 30.0, 1_000_000);
    bench.run(45_000_000, || 0);
    bench.panel.refuse(PIN, true);
    bench.run(80_000_000, || 0);
    let said = bench.said();
    assert!(matches!(said.last(), Some(Report::Fault(FaultKind::Output(_)))), "{said:?}");
    bench.panel.refuse(PIN, false);
    bench.command(Command::Finish);
    bench.run(120_000_000, || 0);
    assert_eq!(bench.said(), [Report::Safe]);
    bench.arm(2, 0.0, 30.0, 130_000_000);
    bench.run(200_000_000, || 0);
    assert_eq!(bench.said(), [Report::NotStarted(2)]);
}

#[test]
fn after_a_panic_the_pulse_under_way_is_whole() {
    for at in [3_000_001, 3_900_000, 5_000_000, 22_000_000] {
        let mut bench = Bench::new();
        bench.arm(1, 0.0, 0.0, 3_000_000);
        bench.run(at, || 0);
        bench.clock.set(Instant::from_nanos(at));
        bench.servo.make_safe();
        assert!(bench.pulses().iter().all(|p| p.1 >= width(0.0)));
        assert!(bench.clock.now().as_nanos() <= at + 2 * PERIOD);
    }
}

proptest! {
    /// However late the loop wakes up and whenever the end comes: no pulse is short, none is longer
    /// than the wake-up that ended it was late, none comes twice in a period, none runs into the next;
    /// the signal is over soon.
    #[test]
    fn late_loops_and_ends_at_any_moment(
        lates in prop::collection::vec(prop_oneof![
            4 => 0u64..100_000,
            2 => 0u64..3_000_000,
            1 => 0u64..60_000_000,
        ], 1..60),
        way in 0u8..4,
        end in 0u64..700_000_000,
    ) {
        let mut bench = Bench::new();
        bench.arm(1, -45.0, 45.0, 2_000_000);
        let mut turn = 0;
        let mut late = || {
            turn += 1;
            lates[turn % lates.len()]
        };
        bench.run(end, &mut late);
        match way {
            0 => bench.command(Command::Finish),
            1 => {
                bench.command(Command::Halt);
                bench.command(Command::Finish);
            }
            2 => {
                bench.command(Command::Halt);
                bench.command(Command::Release);
            }
            _ => {
                bench.servo.on_input(Input::Fault, true, Instant::from_nanos(end));
                bench.command(Command::Finish);
            }
        }
        bench.run(end + 3 * PERIOD + 200_000_000, &mut late);
        let pulses = bench.pulses();
        let said = bench.said();
        prop_assert_eq!(said.iter().filter(|r| **r == Report::Safe).count(), usize::from(way != 2));
        let worst = lates.iter().max().unwrap();
        for &(rise, wide) in &pulses {
            prop_assert!(wide >= 1_000_000, "a pulse of {} at {}", wide, rise);
            prop_assert!(wide <= 2_000_000 + worst, "a pulse of {} at {}", wide, rise);
            // Begun in the first quarter of its own period.
            prop_assert!((rise - 2_000_000) % PERIOD <= PERIOD / 4, "at {}", rise);
            prop_assert!(rise <= end + 65_000_000);
        }
        for pair in pulses.windows(2) {
            prop_assert!((pair[1].0 - 2_000_000) / PERIOD > (pair[0].0 - 2_000_000) / PERIOD);
            prop_assert!(pair[1].0 - pair[0].0 - pair[0].1 >= PERIOD / 5);
        }
        if way == 2 {
            // Let go, it can begin anew, on a grid of its own.
            bench.arm(2, 0.0, 0.0, bench.now + 1_000_000);
            let epoch = bench.now + 1_000_000;
            bench.run(bench.now + 100_000_000, || 0);
            prop_assert_eq!(bench.pulses()[pulses.len()], (epoch, width(0.0)));
        }
    }
}
