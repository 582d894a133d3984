//! The rules of a stepper axis behind a STEP/DIR driver.

use super::Options;
use super::check::{AtLeast, Tally};
use super::course::Course;
use super::report::Bound;
use crate::config::{AxisConfig, MotorConfig, PwmClockDrive, StepDirDrive};

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
    course: Course,
    drive: StepDirDrive,
    late: u64,
    /// Its enable line is that of a load, which is never let go: whatever it finds stays.
    shares_load: bool,

    step: Wire,
    dir: Wire,
    enable: Wire,
    sleep: Wire,
    reset: Wire,
    mode: [Wire; 3],
    rose: Option<u64>,
    fell: Option<u64>,
    /// DIR changed while STEP was high, at this instant, and it is not clear yet whether STEP fell then.
    dir_in_pulse: Option<u64>,

    high: AtLeast,
    low: AtLeast,
    interval: AtLeast,
    setup: AtLeast,
    hold: AtLeast,
    steady: Tally,
    wake: AtLeast,
    enabled: Tally,
    off_first: Tally,
    kept: Tally,
    mode_set: Tally,
    no_reset: Tally,
    ends_low: Tally,
}

impl Axis {
    pub fn new(
        motor: &MotorConfig,
        axis: AxisConfig,
        drive: &StepDirDrive,
        options: &Options,
    ) -> Axis {
        Axis::with(Course::new(motor, axis, options), drive, options)
    }

    /// One whose STEP is a PWM channel.
    pub fn on_clock(
        motor: &MotorConfig,
        axis: AxisConfig,
        drive: &PwmClockDrive,
        options: &Options,
    ) -> Axis {
        let course = Course::new(motor, axis, options).on_clock(drive, options);
        Axis::with(course, &drive.axis, options)
    }

    fn with(course: Course, drive: &StepDirDrive, options: &Options) -> Axis {
        let timing = drive.timing;
        Axis {
            interval: AtLeast::new(course.shortest_interval()),
            course,
            drive: drive.clone(),
            late: Course::late(options),
            shares_load: drive.holds_load,
            step: Wire::default(),
            dir: Wire::default(),
            enable: Wire::default(),
            sleep: Wire::default(),
            reset: Wire::default(),
            mode: [Wire::default(); 3],
            rose: None,
            fell: None,
            dir_in_pulse: None,
            high: AtLeast::new(timing.step_high),
            low: AtLeast::new(timing.step_low),
            setup: AtLeast::new(timing.dir_setup),
            hold: AtLeast::new(timing.dir_hold),
            steady: Tally::default(),
            wake: AtLeast::new(timing.wake),
            enabled: Tally::default(),
            off_first: Tally::default(),
            kept: Tally::default(),
            mode_set: Tally::default(),
            no_reset: Tally::default(),
            ends_low: Tally::default(),
        }
    }

    /// Its enable line is one of `loads`, the pins of those that hold a load.
    pub fn among(&mut self, loads: &[u8]) {
        self.shares_load |= self.drive.enable.is_some_and(|line| loads.contains(&line.gpio));
    }

    pub fn course(&self) -> &Course {
        &self.course
    }

    pub fn course_mut(&mut self) -> &mut Course {
        &mut self.course
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
                self.course.in_moves.look(at, false, || "STEP is high from the start".into())
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
        self.course.step(at, up, held);
    }

    fn check_enable(&mut self, at: u64) {
        let mut powered = [(false, None); 2];
        if let Some(line) = self.drive.enable {
            let active = self.enable.high == Some(!line.active_low);
            self.enabled.look(at, active, || "a step while the driver is off".into());
            powered[0] = (active, self.enable.changed);
        }
        if let Some(line) = self.drive.sleep {
            let awake = self.sleep.high == Some(line.active_low);
            self.enabled.look(at, awake, || "a step while the driver sleeps".into());
            powered[1] = (awake, self.sleep.changed);
        }
        for (on, changed) in powered {
            if let (true, Some(changed)) = (on, changed) {
                self.wake.see(at, at - changed);
            }
        }
        if let Some(line) = self.drive.reset {
            let runs = self.reset.high == Some(line.active_low);
            self.no_reset.look(at, runs, || "a step in reset".into());
        }
        for (wire, pin) in self.mode.iter().zip(&self.drive.mode) {
            let set = wire.high == Some(pin.high);
            self.mode_set.look(at, set, || format!("a step while {} is not set", pin.name));
        }
    }

    /// Whether the driver has power and is awake, as far as its lines say.
    fn is_on(&self) -> bool {
        let off = |line: Option<crate::config::LineConfig>, wire: &Wire, on_when_active: bool| {
            line.is_some_and(|l| {
                let active = wire.high == Some(!l.active_low);
                active != on_when_active
            })
        };
        !off(self.drive.enable, &self.enable, true) && !off(self.drive.sleep, &self.sleep, false)
    }

    /// A microstep pin changed: never while the driver is on.
    pub fn mode(&mut self, at: u64, nth: usize, high: Option<bool>) {
        let on = self.is_on();
        let Some(pin) = self.drive.mode.get(nth) else { return };
        if self.mode[nth].set(at, high) {
            self.mode_set.look(at, !on, || format!("{} changes while the driver is on", pin.name));
        }
    }

    /// The reset line changed: never to active.
    pub fn reset(&mut self, at: u64, high: Option<bool>) {
        let Some(line) = self.drive.reset else { return };
        self.reset.set(at, high);
        let active = high == Some(!line.active_low);
        self.no_reset.look(at, !active, || "the driver is reset".into());
    }

    /// The sleep line changed.
    pub fn sleep(&mut self, at: u64, high: Option<bool>) {
        let Some(line) = self.drive.sleep else { return };
        let before = self.sleep.high;
        self.sleep.set(at, high);
        let sleeps = |high: Option<bool>| high == Some(!line.active_low);
        if before.is_some() && !sleeps(before) && sleeps(high) {
            let in_pulse = self.step_is_high();
            self.enabled.look(at, !in_pulse, || "the driver falls asleep in a pulse".into());
            self.kept.look(at, !self.drive.holds_load, || "the load is let go".into());
        } else if self.drive.holds_load {
            self.kept.look(at, true, String::new);
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
        if self.enable.high.is_none() && high.is_some() {
            self.off_first.look(at, !active(high), || "the driver is on from the start".into());
        }
        self.enable.set(at, high);
        if before && !active(high) {
            let high = self.step_is_high();
            self.enabled.look(at, !high, || "the driver goes off in a pulse".into());
            self.kept.look(at, !self.drive.holds_load, || "the load is let go".into());
        } else if self.drive.holds_load && active(high) {
            self.kept.look(at, true, String::new);
        }
    }

    /// The trace ends.
    pub fn finish(mut self, at: u64) -> Vec<Bound> {
        if let Some(changed) = self.dir_in_pulse {
            self.steady.look(changed, false, || "DIR changes while STEP is high".into());
        }
        self.ends_low.look(at, !self.step_is_high(), || "STEP is high when the trace ends".into());
        let name = self.course.name().to_owned();
        let name = name.as_str();
        let drive = &self.drive;
        let mut bounds = vec![
            self.high.bound(name, "STEP high"),
            self.low.bound(name, "STEP low"),
            self.interval.bound(name, "STEP interval"),
            self.setup.bound(name, "DIR set-up"),
            self.hold.bound(name, "DIR hold"),
            self.steady.rule(name, "DIR change while STEP is high", "none"),
        ];
        if drive.enable.is_some() || drive.sleep.is_some() {
            bounds.push(self.wake.bound(name, "enable before a step"));
            bounds.push(self.enabled.rule(name, "enabled while stepping", "yes"));
            if drive.enable.is_some() && !self.shares_load {
                bounds.push(self.off_first.rule(name, "off at the start", "yes"));
            }
            if drive.holds_load {
                bounds.push(self.kept.rule(name, "never lets the load go", "yes"));
            }
        }
        if !drive.mode.is_empty() {
            bounds.push(self.mode_set.rule(name, "microsteps set and kept", "yes"));
        }
        if drive.reset.is_some() {
            bounds.push(self.no_reset.rule(name, "reset", "never"));
        }
        let (counts, limits) = self.course.finish(at);
        bounds.extend(counts);
        bounds.push(self.ends_low.rule(name, "low at the end", "yes"));
        bounds.extend(limits);
        bounds
    }
}
