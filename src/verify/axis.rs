//! The rules of a stepper axis behind a STEP/DIR driver.

use super::Options;
use super::check::{AtLeast, Tally, figure, motion_bounds};
use super::report::Bound;
use super::staircase::Staircase;
use super::step_motion::StepMotion;
use crate::config::{ClockMode, MotorConfig, PwmClockDrive, StepDirDrive};

/// What a step may fall short of a whole one in a position, by rounding.
const WHOLE: f64 = 1e-3;

/// A wire's level, once it is known, and since when.
#[derive(Clone, Copy, Debug, Default)]
struct Wire {
    high: Option<bool>,
    /// When it last changed; none while it has its first level.
    changed: Option<u64>,
}

impl Wire {
    /// Takes a level; whether that is a change from a known one.
    fn set(&mut self, at: u64, high: Option<bool>) -> bool {
        let change = self.high.is_some() && high.is_some() && self.high != high;
        if self.high != high {
            self.changed = self.high.is_some().then_some(at);
            self.high = high;
        }
        change
    }
}

/// An axis as its trace shows it.
#[derive(Debug)]
pub(super) struct Axis {
    name: String,
    unit: &'static str,
    drive: StepDirDrive,
    required: [f64; 3],
    /// Lowest and highest count of the travel.
    travel: (f64, f64),
    travel_text: String,
    late: u64,

    step: Wire,
    dir: Wire,
    enable: Wire,
    rose: Option<u64>,
    fell: Option<u64>,
    /// DIR changed while STEP was high, at this instant, and it is not clear yet whether STEP fell then.
    dir_in_pulse: Option<u64>,
    moving: bool,
    /// Steps since the trace began.
    steps: i64,
    /// The count, once a position was told, and the range of it.
    count: Option<i64>,
    range: Option<(i64, i64)>,

    high: AtLeast,
    low: AtLeast,
    interval: AtLeast,
    setup: AtLeast,
    hold: AtLeast,
    steady: Tally,
    wake: AtLeast,
    enabled: Tally,
    kept: Tally,
    in_moves: Tally,
    places: Tally,
    inside: Tally,
    ends_low: Tally,
    motion: StepMotion,
    /// On a step clock: in place of speed, acceleration and jerk.
    stairs: Option<Staircase>,
    /// Whether its steps have to add up to its positions.
    counted: bool,
}

impl Axis {
    pub fn new(motor: &MotorConfig, drive: &StepDirDrive, options: &Options) -> Axis {
        let (limits, timing) = (motor.limits, drive.timing);
        let per_unit = drive.steps_per_unit;
        let of = |value: f64| per_unit.scale(value);
        // One nanosecond is the grain of the trace; the rest is what real time may add.
        let late = options.late_nanos() + 1;
        let fastest = of(limits.speed);
        let show = |x: f64| if x.is_finite() { figure(x) } else { "unlimited".to_owned() };
        let unit = motor.unit.symbol();
        Axis {
            name: motor.name.clone(),
            unit,
            drive: drive.clone(),
            required: [limits.speed, limits.acceleration, limits.jerk],
            travel: (of(motor.travel.min).round(), of(motor.travel.max).round()),
            travel_text: format!("{} to {} {unit}", show(motor.travel.min), show(motor.travel.max)),
            late,
            step: Wire::default(),
            dir: Wire::default(),
            enable: Wire::default(),
            rose: None,
            fell: None,
            dir_in_pulse: None,
            moving: false,
            steps: 0,
            count: None,
            range: None,
            high: AtLeast::new(timing.step_high),
            low: AtLeast::new(timing.step_low),
            interval: AtLeast::new((1e9 / (1.25 * fastest)) as u64),
            setup: AtLeast::new(timing.dir_setup),
            hold: AtLeast::new(timing.dir_hold),
            steady: Tally::default(),
            wake: AtLeast::new(timing.wake),
            enabled: Tally::default(),
            kept: Tally::default(),
            in_moves: Tally::default(),
            places: Tally::default(),
            inside: Tally::default(),
            ends_low: Tally::default(),
            motion: StepMotion::new(fastest, of(limits.acceleration), of(limits.jerk), late),
            stairs: None,
            counted: true,
        }
    }

    /// An axis whose STEP is a PWM channel.
    pub fn on_clock(motor: &MotorConfig, drive: &PwmClockDrive, options: &Options) -> Axis {
        let axis = Axis::new(motor, &drive.axis, options);
        let per_unit = drive.axis.steps_per_unit;
        let acceleration = per_unit.scale(motor.limits.acceleration);
        let shortest = (1e9 / per_unit.scale(motor.limits.speed)) as u64;
        Axis {
            interval: AtLeast::new(shortest),
            stairs: Some(Staircase::new(drive.jump, acceleration, axis.late)),
            counted: drive.mode == ClockMode::Position,
            ..axis
        }
    }

    /// How many steps it may be off its place by the way it steps.
    pub fn off(&self) -> f64 {
        self.stairs.as_ref().map_or(0.0, Staircase::off)
    }

    /// The speed limit, in steps a second.
    pub fn top_speed(&self) -> f64 {
        self.drive.steps_per_unit.scale(self.required[0])
    }

    /// Steps since the trace began.
    pub fn steps(&self) -> i64 {
        self.steps
    }

    pub fn step_is_high(&self) -> bool {
        self.step.high == Some(true)
    }

    /// STEP changed.
    pub fn step(&mut self, at: u64, high: Option<bool>) {
        let was = self.step.high;
        self.step.set(at, high);
        match (was, high) {
            (_, None) => {}
            (Some(true), Some(false)) => self.fall(at),
            // A trace that begins in a pulse does not tell when it rose.
            (Some(false), Some(true)) => self.rise(at),
            (None, Some(true)) => {
                self.in_moves.look(at, false, || "STEP is high from the start".into())
            }
            _ => {}
        }
    }

    fn fall(&mut self, at: u64) {
        if let Some(rose) = self.rose {
            self.high.see(rose, at - rose);
        }
        self.fell = Some(at);
        if let Some(changed) = self.dir_in_pulse.take() {
            self.steady.look(changed, changed == at, || "DIR changes while STEP is high".into());
            if changed == at {
                self.hold.see(at, 0);
            }
        }
    }

    fn rise(&mut self, at: u64) {
        if let Some(fell) = self.fell {
            self.low.see(at, at - fell);
        }
        if let Some(rose) = self.rose {
            self.interval.see(at, at - rose);
        }
        self.rose = Some(at);
        self.steady.look(at, true, String::new);
        self.in_moves.look(at, self.moving, || "a step outside of any move".into());
        self.check_enable(at);
        if self.dir.high.is_none() {
            self.setup.wrong(at, "a step before DIR has a level");
        }
        let mut held = 0;
        if let Some(changed) = self.dir.changed {
            let settled = at - changed;
            self.setup.see(at, settled);
            let timing = self.drive.timing;
            if settled <= u64::from(timing.dir_setup) + self.late {
                // It came as soon as DIR allowed, perhaps later than its time.
                held = [timing.step_high, timing.dir_hold, timing.dir_setup]
                    .map(u64::from)
                    .iter()
                    .sum();
            }
        }
        let up = self.dir.high != Some(self.drive.reverse);
        let step = if up { 1 } else { -1 };
        self.steps += step;
        match &mut self.stairs {
            Some(stairs) => stairs.edge(at, up),
            None => self.motion.edge(at, up, held),
        }
        if let Some(count) = &mut self.count {
            *count += step;
            let count = *count;
            self.reach(count);
            let inside = (self.travel.0..=self.travel.1).contains(&(count as f64));
            self.inside.look(at, inside, || Self::place(&self.drive, self.unit, count));
        }
    }

    fn reach(&mut self, count: i64) {
        let range = self.range.get_or_insert((count, count));
        *range = (range.0.min(count), range.1.max(count));
    }

    fn place(drive: &StepDirDrive, unit: &str, count: i64) -> String {
        format!("{} {unit}", figure(drive.steps_per_unit.unscale(count as f64)))
    }

    fn check_enable(&mut self, at: u64) {
        let Some(line) = self.drive.enable else { return };
        let active = self.enable.high == Some(!line.active_low);
        self.enabled.look(at, active, || "a step while the driver is off".into());
        if active && let Some(changed) = self.enable.changed {
            self.wake.see(at, at - changed);
        }
    }

    /// DIR changed.
    pub fn dir(&mut self, at: u64, high: Option<bool>) {
        if !self.dir.set(at, high) {
            return;
        }
        if self.step_is_high() {
            // Unless STEP falls in this very nanosecond.
            self.dir_in_pulse = Some(at);
        } else if let Some(fell) = self.fell {
            self.hold.see(at, at - fell);
        }
    }

    /// The enable line changed.
    pub fn enable(&mut self, at: u64, high: Option<bool>) {
        let Some(line) = self.drive.enable else { return };
        let active = |high: Option<bool>| high == Some(!line.active_low);
        let before = active(self.enable.high);
        self.enable.set(at, high);
        if before && !active(high) {
            let high = self.step_is_high();
            self.enabled.look(at, !high, || "the driver goes off in a pulse".into());
            self.kept.look(at, !self.drive.holds_load, || "the load is let go".into());
        } else if self.drive.holds_load && active(high) {
            self.kept.look(at, true, String::new);
        }
    }

    /// A move begins, with the position that it begins at.
    pub fn start(&mut self, at: u64, position: f64) {
        self.moving = true;
        self.motion.start(at);
        self.told(at, position);
    }

    /// The move ends, with the position that it ended at.
    pub fn end(&mut self, at: u64, position: f64) {
        self.moving = false;
        self.motion.end();
        self.told(at, position);
    }

    /// The move ends in a halt.
    pub fn halt(&mut self, at: u64) {
        self.moving = false;
        self.motion.halt(at);
        if let Some(stairs) = &mut self.stairs {
            stairs.halt();
        }
    }

    /// Compares the count with a position in the trace.
    fn told(&mut self, at: u64, position: f64) {
        let steps = self.drive.steps_per_unit.scale(position);
        let count = steps.round();
        let whole = (steps - count).abs() <= WHOLE;
        let text = || format!("{position} {} is {} steps", self.unit, figure(steps));
        let told = count as i64;
        match self.count {
            Some(count) if whole => self.places.look(at, count == told, || {
                format!("the edges make {count} steps, the position says {told}")
            }),
            _ => self.places.look(at, whole, text),
        }
        self.count = Some(told);
        self.reach(told);
    }

    /// The trace ends.
    pub fn finish(mut self, at: u64) -> Vec<Bound> {
        if let Some(changed) = self.dir_in_pulse {
            self.steady.look(changed, false, || "DIR changes while STEP is high".into());
        }
        self.ends_low.look(at, !self.step_is_high(), || "STEP is high when the trace ends".into());
        self.motion.finish(at);
        let name = self.name.as_str();
        let drive = &self.drive;
        let mut bounds = vec![
            self.high.bound(name, "STEP high"),
            self.low.bound(name, "STEP low"),
            self.interval.bound(name, "STEP interval"),
            self.setup.bound(name, "DIR set-up"),
            self.hold.bound(name, "DIR hold"),
            self.steady.rule(name, "DIR change while STEP is high", "none"),
        ];
        if drive.enable.is_some() {
            bounds.push(self.wake.bound(name, "enable before a step"));
            bounds.push(self.enabled.rule(name, "enabled while stepping", "yes"));
            if drive.holds_load {
                bounds.push(self.kept.rule(name, "never lets the load go", "yes"));
            }
        }
        bounds.push(self.in_moves.rule(name, "steps in moves alone", "yes"));
        let places = self.places;
        if self.counted {
            let seen = |t: &Tally| format!("{} positions", t.looked());
            bounds.push(places.bound(name, "steps = position", "exact", seen));
        }
        let range = self.range.map_or("-".to_owned(), |(low, high)| {
            let low = figure(drive.steps_per_unit.unscale(low as f64));
            format!("{low} to {}", Self::place(drive, self.unit, high))
        });
        bounds.push(self.inside.bound(name, "travel", self.travel_text, |_| range));
        bounds.push(self.ends_low.rule(name, "low at the end", "yes"));
        let scale = drive.steps_per_unit.to_f64();
        match self.stairs {
            Some(stairs) => bounds.push(stairs.finish(name, self.unit, scale)),
            None => {
                let limits = self.motion.limits;
                bounds.extend(motion_bounds(name, self.unit, limits, self.required, scale));
            }
        }
        bounds
    }
}
