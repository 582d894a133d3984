//! The loop against a channel whose signal begins and ends somewhere in its writes, whose clock is off, and
//! which goes on pulsing while the loop sleeps.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use proptest::prelude::*;

use super::*;
use crate::hal::{Backend, Clock, Level, OutputStart, PwmChannel, SimBackend, SimPanel};
use crate::motion::{Limits, Planner, State as MotionState};
use crate::motor::{Change, Epoch, Event, Gate, Motion, Then};
use crate::sync::StepBarrier;

const WRITE: u64 = 60_000;
const LATE: u64 = 80_000;
const PULSE: u64 = 1_900;

/// A small generator (splitmix64).
#[derive(Clone, Debug)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// How a chip and its machine behave.
#[derive(Clone, Copy, Debug, Default)]
struct Nature {
    /// The longest write, nanoseconds.
    write: u64,
    /// One write in a thousand of so many takes 20 times as long.
    held_up: u64,
    /// The longest oversleeping, and how many in a thousand are up to 100 times as long.
    late: u64,
    overslept: u64,
    /// The chip's clock, of a nominal 1, and its ticks, nanoseconds.
    rate: f64,
    tick: f64,
}

const PERFECT: Nature =
    Nature { write: 0, held_up: 0, late: 0, overslept: 0, rate: 1.0, tick: 0.0 };
/// As slow as was measured.
const SLOW: Nature = Nature { write: WRITE, late: LATE, tick: 100.0, ..PERFECT };

/// What really happened.
#[derive(Default, Debug)]
struct Truth {
    /// When pulses rose, and the count after each.
    pulses: Vec<(f64, i64)>,
    cut: u64,
    count: i64,
    on: Option<(f64, f64, f64)>,
    refuse: bool,
    disables_high: u64,
}

struct Chip {
    truth: Arc<Mutex<Truth>>,
    panel: SimPanel,
    clock: Clock,
    nature: Nature,
    dice: Dice,
    prepared: Option<(Duration, PulseWidth)>,
}

const DIR: u8 = 27;

/// Limits of its own, without a travel.
fn of(motion: Limits) -> MotorLimits {
    MotorLimits { travel: (f64::NEG_INFINITY, f64::INFINITY), slack: 0.5, motion }
}

impl Chip {
    fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().unwrap()
    }

    /// A write happens somewhere in the time that it takes.
    fn write(&mut self) -> Result<f64, HalError> {
        let mut cost = (self.dice.unit() * self.nature.write as f64) as u64;
        if self.dice.next() % 1000 < self.nature.held_up {
            cost = cost * 20 + 3_000_000;
        }
        let begun = self.clock.now();
        self.clock.set(begun.plus_nanos(cost));
        if self.truth().refuse {
            return Err(HalError::Refused { output: 18.into() });
        }
        Ok(begun.as_nanos() as f64 + self.dice.unit() * cost as f64)
    }
}

impl Truth {
    fn advance(&mut self, until: f64, up: bool) {
        let Some((next, period, _)) = &mut self.on else { return };
        while *next <= until {
            self.count += if up { 1 } else { -1 };
            self.pulses.push((*next, self.count));
            *next += *period;
        }
    }

    fn high(&self, now: f64) -> bool {
        self.on.is_some_and(|(next, period, width)| {
            now >= next - period && now < next - period + width
        }) && !self.pulses.is_empty()
    }
}

impl PwmChannel for Chip {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(100)
    }

    fn start(&mut self, period: Duration, width: PulseWidth) -> Result<Instant, HalError> {
        self.prepare(period, width)?;
        self.enable()
    }

    fn prepare(&mut self, period: Duration, width: PulseWidth) -> Result<(), HalError> {
        assert!(self.truth().on.is_none(), "set up while it runs");
        if self.prepared != Some((period, width)) {
            self.write()?;
        }
        self.prepared = Some((period, width));
        Ok(())
    }

    fn enable(&mut self) -> Result<Instant, HalError> {
        let (period, width) = self.prepared.expect("set up first");
        let at = self.write()?;
        let rate = self.nature.rate;
        let tick = (self.dice.unit() - 0.5) * self.nature.tick;
        let real = |time: f64| (time + tick) * rate;
        let on = (at, real(period.as_nanos() as f64), real(f64::from(width.as_nanos())));
        let mut truth = self.truth();
        assert!(truth.on.is_none(), "enabled twice");
        truth.on = Some(on);
        drop(truth);
        Ok(self.clock.now())
    }

    fn set_period(&mut self, _: Duration) -> Result<Instant, HalError> {
        unreachable!("bursts keep their period")
    }

    fn set_width(&mut self, width: PulseWidth) -> Result<Instant, HalError> {
        assert_eq!(width, PulseWidth::ZERO);
        self.disable()
    }

    fn level(&mut self) -> Option<Level> {
        let (now, up) = (self.clock.now().as_nanos() as f64, self.up());
        let mut truth = self.truth();
        truth.advance(now, up);
        Some(Level::from_bool(truth.high(now)))
    }

    fn disable(&mut self) -> Result<Instant, HalError> {
        let (before, up) = (self.clock.now().as_nanos() as f64, self.up());
        let at = self.write()?;
        let mut truth = self.truth();
        truth.advance(before, up);
        truth.disables_high += u64::from(truth.high(before));
        truth.advance(at, up);
        truth.cut += u64::from(truth.high(at));
        truth.on = None;
        drop(truth);
        Ok(self.clock.now())
    }
}

impl Chip {
    fn up(&self) -> bool {
        self.panel.level(DIR) == Some(Level::High)
    }
}

struct Bench {
    clock: Clock,
    truth: Arc<Mutex<Truth>>,
    events: Receiver<Event>,
    motor: PwmClock,
    dice: Dice,
    nature: Nature,
    now: u64,
    moves: MoveId,
    said: Vec<Report>,
}

const LIMITS: Limits = Limits { speed: 500.0, acceleration: 1500.0, jerk: 15_000.0 };

impl Bench {
    fn new(nature: Nature, seed: u64, limits: Limits, jump: f64) -> Bench {
        let clock = Clock::virtual_time();
        let mut sim = SimBackend::new(clock.clone());
        let dir = sim.open_output(DIR, OutputStart::Level(Level::Low), "x").unwrap();
        let truth = Arc::<Mutex<Truth>>::default();
        let channel = Chip {
            truth: truth.clone(),
            panel: sim.panel(),
            clock: clock.clone(),
            nature,
            dice: Dice(seed),
            prepared: None,
        };
        let perfect = nature.write == 0 && nature.late == 0;
        let doubt = if perfect { Doubt::default() } else { Doubt { write: WRITE, late: LATE } };
        let setup = PwmClockSetup {
            channel: Box::new(channel),
            step_high: PULSE,
            limits: of(limits),
            jump,
            tolerance: 200_000,
            doubt,
            max_lateness: None,
            count: 0,
            clock: clock.clone(),
            telemetry: Arc::default(),
        };
        let lines = DriverLines {
            dir,
            enable: None,
            sleep: None,
            held: Vec::new(),
            dir_setup: 650,
            dir_hold: 650,
            wake: 0,
            up: Level::High,
            may_release: true,
            release_after: None,
            release_at_end: false,
        };
        let (sender, events) = bounded(64);
        let motor = PwmClock::new(setup, lines, Outbox::new(0, sender));
        let (dice, said) = (Dice(seed ^ 0x5555), Vec::new());
        Bench { clock, truth, events, motor, dice, nature, now: 0, moves: 0, said }
    }

    fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().unwrap()
    }

    fn arm(&mut self, trajectory: Arc<Trajectory>) {
        let epoch = Arc::new(Epoch::default());
        let (at_release, zero) = (epoch.clone(), at(self.now + 5_000_000));
        let barrier = StepBarrier::new(1).with_action(move || at_release.set(zero));
        self.moves += 1;
        let motion = Motion {
            id: self.moves,
            trajectory,
            barrier,
            epoch,
            placed: true,
            after: 0,
            then: Then::End,
        };
        self.tell(Command::Arm(motion));
    }

    fn tell(&mut self, command: Command) {
        self.clock.set(at(self.now));
        self.motor.command(command, at(self.now));
    }

    /// Polls until the motor wants nothing, or `until`.
    fn run(&mut self, until: u64) {
        let mut polls = 0u64;
        loop {
            self.clock.set(at(self.now));
            let wake = self.motor.poll(at(self.now));
            self.said.extend(self.events.try_iter().map(|e| e.report));
            let spent = self.clock.now().as_nanos();
            if wake.at == Instant::FAR {
                self.now = spent;
                return;
            }
            let mut late = (self.dice.unit() * self.nature.late as f64) as u64;
            if self.dice.next() % 1000 < self.nature.overslept {
                late = (self.dice.unit() * 100.0 * self.nature.late as f64) as u64;
            }
            let next = wake.at.as_nanos().max(spent) + late;
            if wake.at.as_nanos() > until {
                self.now = until.max(spent);
                return;
            }
            self.now = next;
            polls += 1;
            assert!(polls < 3_000_000, "it does not come to an end");
        }
    }

    fn to(&mut self, target: f64, limits: Limits) -> Arc<Trajectory> {
        let from = MotionState::at_rest(self.motor.count as f64);
        let plan = Arc::new(Planner::new().plan_to(from, target, limits).unwrap());
        self.arm(plan.clone());
        plan
    }

    fn has_ended(&self) -> bool {
        matches!(self.said.last(), Some(Report::Ended { .. }))
    }

    fn has_miscounted(&self) -> bool {
        self.said.iter().any(|r| matches!(r, Report::Uncounted { .. }))
    }

    /// What the motor says of its count holds.
    fn check(&self) -> Result<(), TestCaseError> {
        let truth = self.truth();
        let (count, (below, above)) = (self.motor.count, self.motor.doubted);
        let (low, high) = (count - below as i64, count + above as i64);
        prop_assert!(
            (low..=high).contains(&truth.count),
            "{} made, {low} to {high} told, {truth:?}",
            truth.count
        );
        prop_assert_eq!(self.has_miscounted(), low < high);
        // A pulse can be cut only where the loop was held up in the write itself.
        prop_assert!(truth.cut <= below + above);
        prop_assert_eq!(truth.disables_high, 0);
        Ok(())
    }
}

/// The staircase rule, for all pairs of intervals in a window, and no two pulses too close.
fn check_stairs(pulses: &[(f64, i64)], limits: Limits, jump: f64) -> Result<(), TestCaseError> {
    let mut rates: Vec<(f64, f64, f64)> = vec![(-1e18, -1e9, 0.0)];
    for pair in pulses.windows(2) {
        let ((from, a), (to, b)) = (pair[0], pair[1]);
        rates.push((from, to, (b - a) as f64 * 1e9 / (to - from)));
        let least = 1e9 / limits.speed - 1.0;
        prop_assert!(to - from >= least, "{} ns apart at {from}", to - from);
    }
    // At a turn the rate passes through 0.
    for k in 2..rates.len() {
        if rates[k].2 * rates[k - 1].2 < 0.0 {
            rates[k].2 = 0.0;
        }
    }
    if let Some(last) = pulses.last() {
        rates.push((last.0, 1e18, 0.0));
    }
    for (i, early) in rates.iter().enumerate() {
        for late in rates[i + 1..].iter().take(60) {
            let change = (late.2 - early.2).abs();
            let allowed = jump + limits.acceleration * ((late.0 - early.1) / 1e9).max(0.0);
            prop_assert!(change <= allowed * 1.001 + 0.1, "{early:?} {late:?} {allowed}");
        }
    }
    Ok(())
}

fn limits() -> impl Strategy<Value = Limits> {
    (50.0f64..800.0, 0.5f64..10.0, 2.0f64..30.0).prop_map(|(speed, a, j)| {
        let acceleration = speed * a;
        Limits { speed, acceleration, jerk: acceleration * j }
    })
}

proptest! {
    /// On a machine without faults: the exact count, each pulse near its place, the staircase kept.
    #[test]
    fn a_perfect_machine_follows_the_trajectory(
        limits in limits(),
        targets in prop::collection::vec(-400i64..400, 1..4),
        wider in 1.0f64..3.0,
    ) {
        let jump = natural_jump(limits.acceleration) * wider;
        let mut b = Bench::new(PERFECT, 1, limits, jump);
        for target in targets {
            let begun = b.truth().pulses.len();
            let zero = b.now + 5_000_000;
            let plan = b.to(target as f64, limits);
            b.run(u64::MAX);
            prop_assert_eq!((b.motor.count, b.truth().count), (target, target));
            prop_assert_eq!(b.said.last(), Some(&Report::Ended {
                id: b.moves,
                at: at(zero + plan.duration()),
            }));
            // Twice what a stair may be off, and a step for where it begins.
            let off = 2.0 * b.motor.pace.off() + 1.0;
            for &(rise, count) in &b.truth().pulses[begun..] {
                let place = plan.state_at((rise as u64).saturating_sub(zero)).position;
                let due = count as f64 - 0.25 * (plan.end() - plan.start().position).signum();
                prop_assert!((place - due).abs() <= off, "{place} at {count}");
            }
        }
        b.check()?;
        prop_assert_eq!(b.motor.doubted, (0, 0));
        let truth = b.truth();
        check_stairs(&truth.pulses, limits, jump)?;
    }

    /// Writes and wake-ups as slow as was measured, and a clock that is off by as much as was said: the
    /// count is proved throughout.
    #[test]
    fn within_what_was_measured_every_count_is_proved(
        seed: u64,
        rate in -200.0f64..200.0,
        targets in prop::collection::vec(-500i64..500, 1..4),
    ) {
        let nature = Nature { rate: 1.0 + rate / 1e6, ..SLOW };
        let mut b = Bench::new(nature, seed, LIMITS, natural_jump(LIMITS.acceleration));
        for target in targets {
            b.to(target as f64, LIMITS);
            b.run(u64::MAX);
            b.check()?;
            prop_assert_eq!((b.motor.count, b.truth().count), (target, target));
        }
        prop_assert_eq!((b.motor.doubted, b.truth().cut), ((0, 0), 0));
        prop_assert!(b.has_ended());
    }

    /// Loops that oversleep by far, writes that are held up: the hardware goes on pulsing. Whatever is
    /// told of the count holds, and the move still ends where it shall, by what is told.
    #[test]
    fn a_late_loop_never_tells_a_wrong_count(
        seed: u64,
        rate in -200.0f64..200.0,
        (held_up, overslept) in (0u64..60, 0u64..300),
        limits in limits(),
        targets in prop::collection::vec(-300i64..300, 1..4),
    ) {
        let nature = Nature { held_up, overslept, rate: 1.0 + rate / 1e6, ..SLOW };
        let mut b = Bench::new(nature, seed, limits, natural_jump(limits.acceleration));
        for target in targets {
            b.to(target as f64, limits);
            b.run(u64::MAX);
            b.check()?;
            prop_assert_eq!(b.motor.count, target);
            prop_assert!(b.has_ended());
        }
        if held_up == 0 {
            prop_assert_eq!((b.motor.doubted, b.truth().cut), ((0, 0), 0));
        }
    }

    /// A clock beyond its tolerance can spoil the count, but nothing hangs.
    #[test]
    fn a_clock_beyond_its_tolerance_hangs_nothing(seed: u64, rate in 0.5f64..1.5) {
        let nature = Nature { rate, ..SLOW };
        let mut b = Bench::new(nature, seed, LIMITS, natural_jump(LIMITS.acceleration));
        b.to(200.0, LIMITS);
        b.run(u64::MAX);
        prop_assert_eq!(b.motor.count, 200);
    }

    /// A halt at any instant: the pulse at hand is the last, and whole; the count is exact.
    #[test]
    fn a_halt_keeps_the_count(seed: u64, when in 0u64..1_500_000_000, late: bool) {
        let nature = if late { SLOW } else { PERFECT };
        let mut b = Bench::new(nature, seed, LIMITS, natural_jump(LIMITS.acceleration));
        b.to(400.0, LIMITS);
        b.run(when);
        let told = b.now;
        b.tell(Command::Halt);
        b.run(u64::MAX);
        b.check()?;
        prop_assert_eq!((b.motor.doubted, b.truth().cut), ((0, 0), 0));
        prop_assert!(b.truth().on.is_none());
        let halted = matches!(b.said.last(), Some(Report::Halted { .. }));
        prop_assert!(halted);
        prop_assert!(b.now - told <= 2 * bursts::LONGEST_PERIOD, "{} ns", b.now - told);
        // And it can go on from there.
        b.to(0.0, LIMITS);
        b.run(u64::MAX);
        b.check()?;
        prop_assert_eq!((b.motor.count, b.truth().count), (0, 0));
    }

    /// A stop at any instant: the new plan takes over at its time, and its end is reached exactly.
    #[test]
    fn a_change_of_plan_is_followed(
        seed: u64,
        when in 5_000_000u64..900_000_000,
        late: bool,
        commit: bool,
        hold: bool,
    ) {
        let nature = if late { SLOW } else { PERFECT };
        let jump = natural_jump(LIMITS.acceleration);
        let mut b = Bench::new(nature, seed, LIMITS, jump);
        let plan = b.to(400.0, LIMITS);
        b.run(when);
        let from = b.now + 10_000_000;
        let state = plan.state_at(from - 5_000_000);
        prop_assert!(from - 5_000_000 < plan.duration());
        let rest = Arc::new(Planner::new().plan_rest(state, LIMITS).unwrap());
        let gate = Arc::new(Gate::new(at(from)));
        let then = if hold { Then::Hold } else { Then::End };
        let change = Change::new(1, b.moves, rest.clone(), then, gate.clone());
        b.tell(Command::Change(change));
        if commit {
            gate.commit(at(b.now));
        }
        b.run(u64::MAX);
        b.check()?;
        let end = if commit { rest.end() } else { 400.0 };
        prop_assert!((b.motor.count as f64 - end).abs() <= 0.75, "{} at {end}", b.motor.count);
        prop_assert_eq!(b.motor.doubted, (0, 0));
        let heard = b.said.contains(&Report::Acknowledged { change: 1 });
        prop_assert!(heard);
        if commit && then == Then::Hold {
            let held = matches!(b.said.last(), Some(Report::Held { change: 1, .. }));
            prop_assert!(held);
        } else {
            prop_assert!(b.has_ended());
        }
        if !late {
            let truth = b.truth();
            check_stairs(&truth.pulses, LIMITS, jump)?;
        }
    }

    /// The last resort: no pulse is cut, and the signal is off within two periods.
    #[test]
    fn the_last_resort_cuts_no_pulse(seed: u64, when in 0u64..1_500_000_000) {
        let mut b = Bench::new(PERFECT, seed, LIMITS, natural_jump(LIMITS.acceleration));
        b.to(400.0, LIMITS);
        b.run(when);
        b.clock.set(at(b.now));
        b.motor.make_safe();
        let truth = b.truth();
        prop_assert!(truth.on.is_none());
        prop_assert_eq!((truth.cut, truth.disables_high), (0, 0));
        prop_assert!(b.clock.now().as_nanos() - b.now <= 3 * bursts::LONGEST_PERIOD);
    }

    /// Signals that begin when they should not: a pulse seen on the pin is not cut, and the count is not
    /// called exact.
    #[test]
    fn a_phase_that_is_not_what_it_should_be_is_noticed(seed: u64, share in 0.0f64..1.0) {
        // One pulse at a time, of a known period: the middle of the low phase is where it rises.
        let slow = Limits { speed: 20.0, acceleration: 4e4, jerk: 4e7 };
        let mut b = Bench::new(PERFECT, seed, slow, natural_jump(slow.acceleration));
        b.to(3.0, slow);
        b.run(6_000_000);
        while !matches!(b.motor.state, State::On(_)) {
            let wake = b.motor.poll(at(b.now)).at.as_nanos();
            b.now = b.now.max(wake);
            b.clock.set(at(b.now));
        }
        let State::On(on) = &b.motor.state else { unreachable!() };
        let end = on.end as f64 - share * 1_800.0;
        if let Some((next, ..)) = &mut b.truth().on {
            *next = end;
        }
        b.run(u64::MAX);
        prop_assert!(b.has_miscounted());
        let truth = b.truth();
        prop_assert_eq!((truth.cut, truth.disables_high), (0, 0));
    }
}

#[test]
fn a_refused_write_is_a_fault_and_no_signal() {
    for when in [0, 300_000_000] {
        let mut b = Bench::new(PERFECT, 1, LIMITS, natural_jump(LIMITS.acceleration));
        b.to(400.0, LIMITS);
        b.run(when);
        b.truth().refuse = true;
        b.run(u64::MAX);
        assert!(matches!(b.said.last(), Some(Report::Fault(FaultKind::Output(_)))), "{:?}", b.said);
        b.tell(Command::Finish);
        b.run(u64::MAX);
        assert_eq!(b.said.last(), Some(&Report::Safe));
        b.to(0.0, LIMITS);
        b.run(u64::MAX);
        assert!(matches!(b.said.last(), Some(Report::NotStarted(_))));
    }
}

#[test]
fn a_fault_of_the_driver_is_told_after_the_last_whole_pulse() {
    let mut b = Bench::new(PERFECT, 1, LIMITS, natural_jump(LIMITS.acceleration));
    b.to(400.0, LIMITS);
    b.run(700_000_000);
    assert!(b.truth().on.is_some());
    let now = at(b.now);
    b.motor.on_input(Input::Fault, true, now);
    b.run(u64::MAX);
    assert_eq!(b.said.last(), Some(&Report::Fault(FaultKind::Driver)));
    assert!(b.truth().on.is_none());
    b.check().unwrap();
}

#[test]
fn a_write_that_is_held_up_is_told_with_its_bounds() {
    let nature = Nature { held_up: 1000, ..SLOW };
    let mut b = Bench::new(nature, 7, LIMITS, natural_jump(LIMITS.acceleration));
    b.to(100.0, LIMITS);
    b.run(u64::MAX);
    b.check().unwrap();
    assert!(b.has_miscounted() && b.has_ended());
    // The motor was told no more than that, and what it made lies within.
    let mut said = b.said.iter().filter_map(|r| match r {
        Report::Uncounted { below, above } => Some((*below, *above)),
        _ => None,
    });
    assert_eq!(said.next_back(), Some(b.motor.doubted));
}

#[test]
fn late_writes_are_told_once() {
    let mut b = Bench::new(PERFECT, 1, LIMITS, natural_jump(LIMITS.acceleration));
    b.motor.s.max_lateness = Some(1_000_000);
    b.to(400.0, LIMITS);
    b.run(500_000_000);
    (b.nature.late, b.nature.overslept) = (300_000, 1000);
    b.run(u64::MAX);
    let late = b.said.iter().filter(|r| matches!(r, Report::Late { .. })).count();
    assert_eq!(late, 1, "{:?}", b.said);
    assert_eq!((b.motor.count, b.motor.doubted), (400, (0, 0)));
}

mod rate {
    use super::*;
    use crate::hal::RecordedPwm;
    use crate::motor::Telemetry;

    type Edges = Arc<Mutex<Vec<(u64, bool)>>>;

    struct Bench {
        clock: Clock,
        edges: Edges,
        panel: SimPanel,
        events: Receiver<Event>,
        motor: PwmRate,
        telemetry: Arc<Telemetry>,
        now: u64,
    }

    fn bench(limits: Limits) -> Bench {
        let clock = Clock::virtual_time();
        let mut sim = SimBackend::new(clock.clone());
        let dir = sim.open_output(DIR, OutputStart::Level(Level::Low), "x").unwrap();
        let edges = Edges::default();
        let into = edges.clone();
        let sink = move |at: Instant, high| into.lock().unwrap().push((at.as_nanos(), high));
        let channel = sim.open_pwm(&18.into(), "x").unwrap();
        let channel = RecordedPwm::new(channel, sink, clock.now());
        let telemetry = Arc::<Telemetry>::default();
        let setup = PwmClockSetup {
            channel: Box::new(channel),
            step_high: PULSE,
            limits: of(limits),
            jump: natural_jump(limits.acceleration),
            tolerance: 200_000,
            doubt: Doubt::default(),
            max_lateness: None,
            count: 0,
            clock: clock.clone(),
            telemetry: telemetry.clone(),
        };
        let lines = DriverLines {
            dir,
            enable: None,
            sleep: None,
            held: Vec::new(),
            dir_setup: 650,
            dir_hold: 650,
            wake: 0,
            up: Level::High,
            may_release: true,
            release_after: None,
            release_at_end: false,
        };
        let (sender, events) = bounded(64);
        let motor = PwmRate::new(setup, lines, Outbox::new(0, sender));
        Bench { clock, edges, panel: sim.panel(), events, motor, telemetry, now: 0 }
    }

    impl Bench {
        fn run(&mut self, until: u64) {
            loop {
                self.clock.set(at(self.now));
                let wake = self.motor.poll(at(self.now));
                if wake.at == Instant::FAR {
                    return;
                }
                if wake.at.as_nanos() > until {
                    self.now = until;
                    return;
                }
                self.now = wake.at.as_nanos().max(self.now);
            }
        }

        fn arm(&mut self, trajectory: Trajectory) {
            let epoch = Arc::new(Epoch::default());
            let (at_release, zero) = (epoch.clone(), at(self.now + 5_000_000));
            let barrier = StepBarrier::new(1).with_action(move || at_release.set(zero));
            let trajectory = Arc::new(trajectory);
            let motion = Motion {
                id: 1,
                trajectory,
                barrier,
                epoch,
                placed: false,
                after: 0,
                then: Then::End,
            };
            self.motor.command(Command::Arm(motion), at(self.now));
        }

        /// Rises, each pulse of them whole.
        fn rises(&self) -> Vec<u64> {
            let edges = self.edges.lock().unwrap();
            let width = u64::from(self.motor.width().as_nanos());
            for pulse in edges[1..].chunks(2) {
                assert!(pulse.len() == 2 && pulse[1].0 - pulse[0].0 == width, "{pulse:?}");
            }
            edges.iter().filter(|e| e.1).map(|e| e.0).collect()
        }
    }

    proptest! {
        /// The rate is the trajectory's, about as many pulses come out, and none is cut.
        #[test]
        fn it_follows_the_rate(limits in limits(), far in 100.0f64..2_000.0, down: bool) {
            let mut b = bench(limits);
            let target = if down { -far.round() } else { far.round() };
            let plan = Planner::new().plan_to(MotionState::at_rest(0.0), target, limits).unwrap();
            b.arm(plan.clone());
            b.run(u64::MAX);
            let rises = b.rises();
            prop_assert!(!b.panel.pwm(18).unwrap().running);
            let off = (rises.len() as f64 - target.abs()).abs();
            prop_assert!(off <= 4.0 + 0.05 * target.abs(), "{} of {target}", rises.len());
            let least = (1e9 / limits.speed) as u64;
            prop_assert!(rises.windows(2).all(|w| w[1] - w[0] >= least));
            prop_assert_eq!(b.telemetry.steps() as f64, target);
            let said: Vec<_> = b.events.try_iter().map(|e| e.report).collect();
            let ended = matches!(said.last(), Some(Report::Ended { .. }));
            prop_assert!(ended, "{said:?}");
            prop_assert_eq!(b.panel.level(DIR), Some(Level::from_bool(!down)));
        }

        /// Halted or ended at any instant, every pulse is whole and the signal is off soon.
        #[test]
        fn its_end_cuts_no_pulse(when in 0u64..3_000_000_000, how in 0u8..3) {
            let mut b = bench(LIMITS);
            let plan = Planner::new().plan_to(MotionState::at_rest(0.0), 1_000.0, LIMITS).unwrap();
            b.arm(plan);
            b.run(when);
            b.clock.set(at(b.now));
            let told = b.now;
            match how {
                0 => b.motor.command(Command::Halt, at(told)),
                1 => b.motor.command(Command::Finish, at(told)),
                _ => b.motor.make_safe(),
            }
            b.now = b.clock.now().as_nanos();
            b.run(u64::MAX);
            prop_assert!(!b.panel.pwm(18).unwrap().running);
            b.rises();
            let said: Vec<_> = b.events.try_iter().map(|e| e.report).collect();
            match how {
                0 => {
                    let halted = matches!(said.last(), Some(Report::Halted { .. }));
                    prop_assert!(halted);
                }
                1 => prop_assert_eq!(said.last(), Some(&Report::Safe)),
                _ => {}
            }
        }
    }

    #[test]
    fn slow_rates_are_stepped_one_by_one() {
        let slow = Limits { speed: 0.2, acceleration: 10.0, jerk: 1000.0 };
        let mut b = bench(slow);
        let plan = Planner::new().plan_to(MotionState::at_rest(0.0), 4.0, slow).unwrap();
        b.arm(plan);
        b.run(u64::MAX);
        assert_eq!(b.rises().len(), 4);
    }
}
