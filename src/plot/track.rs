//! Each motor's way, read from its edges.

use std::io::BufRead;

use super::PlotError;
use crate::config::{CoilWiring, CoilsDrive, Config, MotionLimits, MotorConfig};
use crate::trace::{Change, Signal, SignalId, Value, VcdReader};

/// A motor's way: what is known of its position.
#[derive(Clone, Debug)]
pub(super) struct Track {
    pub name: String,
    /// The unit of its positions.
    pub unit: String,
    /// Stretches in which its position is known: (nanoseconds, position), in between on a line.
    pub runs: Vec<Vec<(u64, f64)>>,
    /// Speed and acceleration limits; of a servo that turns continuously, whose speed is shown, those of acceleration
    /// and jerk.
    pub limits: Option<(f64, f64)>,
    /// Travel.
    pub travel: Option<(f64, f64)>,
    /// Half of the window of its speed and acceleration, nanoseconds.
    pub window: u64,
    /// When the trace ends, nanoseconds.
    pub end: u64,
    /// How late its edges were: (nanoseconds, us). Nothing in virtual time.
    pub lateness: Vec<(u64, f64)>,
    /// How late they may be before the machine holds, us.
    pub most_late: Option<f64>,
}

/// Half of the window where no limits say how long it must be.
const WINDOW: u64 = 10_000_000;

/// Half of the longest window where pulses are coarse, nanoseconds.
const COARSE_MOST: f64 = 150e6;

/// A step more or less is this share of the acceleration limit, at most.
const NOISE: f64 = 1.0 / 32.0;

impl Track {
    /// Where it is at `t` seconds in the run, which it does not leave.
    fn at(run: &[(u64, f64)], t: f64) -> f64 {
        let nanos = t * 1e9;
        let next = run.partition_point(|k| (k.0 as f64) <= nanos);
        match (next.checked_sub(1).map(|i| run[i]), run.get(next)) {
            (Some(a), Some(b)) => {
                let share = (nanos - a.0 as f64) / (b.0 - a.0) as f64;
                a.1 + (b.1 - a.1) * share
            }
            (Some(only), None) => only.1,
            (None, Some(only)) => only.1,
            (None, None) => 0.0,
        }
    }

    /// Position, speed and acceleration over time (seconds), run by run.
    pub fn curves(&self) -> [Vec<Vec<(f64, f64)>>; 3] {
        let w = self.window as f64 / 1e9;
        // Often enough for the window, and no more often than a page can show.
        let step = (w / 4.0).max(self.end as f64 / 1e9 / 400_000.0);
        let mut curves: [Vec<Vec<(f64, f64)>>; 3] = Default::default();
        for run in &self.runs {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let (begin, end) = (first.0 as f64 / 1e9, last.0 as f64 / 1e9);
            let looks = ((end - begin) / step).ceil().max(1.0) as u64;
            let mut three: [Vec<(f64, f64)>; 3] = Default::default();
            for n in 0..=looks {
                let t = (begin + n as f64 * step).min(end);
                let (a, b, c) = (Self::at(run, t - w), Self::at(run, t), Self::at(run, t + w));
                let values = [b, (c - a) / (2.0 * w), (a - 2.0 * b + c) / (w * w)];
                three.iter_mut().zip(values).for_each(|(curve, v)| curve.push((t, v)));
            }
            curves.iter_mut().zip(three).for_each(|(curve, run)| curve.push(run));
        }
        curves
    }

    /// Where it is at `t` seconds, where that is known; else where it is known next, or was last.
    pub fn position(&self, t: f64) -> Option<f64> {
        let nanos = t * 1e9;
        let run = self.runs.iter().find(|r| r.last().is_some_and(|k| k.0 as f64 >= nanos));
        run.or(self.runs.last()).map(|run| Self::at(run, t))
    }
}

/// What a signal means.
#[derive(Clone, Copy, Debug)]
enum Role {
    Step(usize),
    Dir(usize),
    Pulse(usize),
    Coil(usize, usize),
    Position(usize),
    Lateness(usize),
}

/// A motor while its trace is read.
#[derive(Debug, Default)]
struct Reading {
    name: String,
    servo: bool,
    /// Where its coils, in the order of their signals, stand round the motor, if it has any.
    coils: Option<[u8; 4]>,
    /// The coils that are on, round the motor, and the half step that they last stood for.
    on: u8,
    half_step: Option<u8>,
    dir: bool,
    high: Option<bool>,
    rose: Option<u64>,
    /// The longest wait between two pulses of one signal; longer, and it has ended.
    period: Option<u64>,
    count: f64,
    up: bool,
    /// An axis: (time, steps). A servo: (time, pulse in ns).
    runs: Vec<Vec<(u64, f64)>>,
    /// The last place that was seen and not kept.
    unkept: Option<(u64, f64)>,
    /// Steps and position, where both are known.
    marks: Vec<(f64, f64)>,
    window: u64,
    lateness: Vec<(u64, f64)>,
}

/// Reads a trace.
pub(super) fn read(trace: impl BufRead, config: Option<&Config>) -> Result<Vec<Track>, PlotError> {
    let mut reader = VcdReader::new(trace)?;
    let mut motors = motors(reader.signals(), config)?;
    let roles = roles(reader.signals(), &motors);
    while let Some(Change { at, signal, value }) = reader.next().transpose()? {
        let at = at.as_nanos();
        match roles.iter().find(|r| r.0 == signal).map(|r| r.1) {
            Some(Role::Step(m)) => motors[m].step(at, &value),
            Some(Role::Dir(m)) => motors[m].dir = value == Value::High,
            Some(Role::Pulse(m)) => motors[m].pulse(at, &value),
            Some(Role::Coil(m, n)) => motors[m].coil(at, n, &value),
            Some(Role::Position(m)) => {
                if let Value::Real(position) = value {
                    motors[m].mark(at, position);
                }
            }
            Some(Role::Lateness(m)) => {
                if let Value::Real(us) = value {
                    motors[m].lateness.push((at, us));
                }
            }
            None => {}
        }
    }
    let end = reader.now().as_nanos();
    Ok(motors.into_iter().map(|m| m.track(end, config)).collect())
}

/// The motors of the config, or those that the trace has.
fn motors(signals: &[Signal], config: Option<&Config>) -> Result<Vec<Reading>, PlotError> {
    let has =
        |scope: &str, name: &str| signals.iter().any(|s| s.scope() == scope && s.name() == name);
    let mut motors: Vec<Reading> = Vec::new();
    for signal in signals {
        let (servo, coils) = match signal.name() {
            "step" if has(signal.scope(), "dir") => (false, None),
            "a" if has(signal.scope(), "d") => (false, Some([0, 1, 2, 3])),
            "pulse" => (true, None),
            _ => continue,
        };
        let name = signal.scope().to_owned();
        motors.push(Reading { name, servo, coils, window: WINDOW, up: true, ..Reading::default() });
    }
    if let Some(config) = config {
        for motor in &config.motors {
            let (servo, coils) = (motor.is_servo(), motor.drive.coils().is_some());
            let fits = |m: &Reading| m.servo == servo && m.coils.is_some() == coils;
            if !motors.iter().any(|m| m.name == motor.name && fits(m)) {
                return Err(PlotError::Mismatch(format!(
                    "the trace has no motor `{}` as the config has it: name the config that it was made with",
                    motor.name
                )));
            }
        }
        motors.retain(|m| config.motor(&m.name).is_some());
        motors.sort_by_key(|m| config.motor_index(&m.name));
        for (motor, config) in motors.iter_mut().zip(&config.motors) {
            motor.window = window(config);
            if let Some(drive) = config.drive.coils()
                && drive.wiring == CoilWiring::Bipolar
            {
                motor.coils = Some([0, 2, 1, 3]);
            }
        }
    }
    if motors.is_empty() {
        let what = "the trace has no motors: no `step` and `dir`, no `a` to `d`, and no `pulse`"
            .to_owned();
        return Err(PlotError::Mismatch(what));
    }
    Ok(motors)
}

/// The limits of the first and the second derivative of what is shown: a servo that turns continuously shows its speed.
fn limits(motor: &MotorConfig) -> (f64, f64) {
    let MotionLimits { speed, acceleration, jerk } = motor.limits;
    if motor.is_continuous() { (acceleration, jerk) } else { (speed, acceleration) }
}

fn window(motor: &MotorConfig) -> u64 {
    if let Some(axis) = motor.axis() {
        // A position between two steps is off by a quarter of a step at most, which is counted
        // four times.
        let acceleration = axis.steps_per_unit.scale(motor.limits.acceleration);
        let window = (1.0 / (NOISE * acceleration)).sqrt() * 1e9;
        return window.clamp(1e6, 50e6) as u64;
    }
    match motor.drive.servo() {
        Some(servo) => {
            // A pulse is off by half of its grain at most, which is counted four times: shown is a quarter of
            // the limit at most where a board's pulses are coarse. Longer windows would hide the motion.
            let (min, max) = servo.pulse_range();
            let width = f64::from(max.as_nanos() - min.as_nanos()).max(1.0);
            let grain = servo.grain() * (servo.angle_max - servo.angle_min) / width;
            let bends = limits(motor).1;
            let coarse = (2.0 * grain / (0.25 * bends)).sqrt() * 1e9;
            let period = u64::try_from(servo.period.as_nanos()).unwrap_or(WINDOW);
            period.max(coarse.min(COARSE_MOST) as u64)
        }
        None => WINDOW,
    }
}

fn roles(signals: &[Signal], motors: &[Reading]) -> Vec<(SignalId, Role)> {
    let role = |signal: &Signal| {
        let motor = motors.iter().position(|m| m.name == signal.scope())?;
        let role = match (signal.name(), motors[motor].servo) {
            ("step", false) => Role::Step(motor),
            ("dir", false) => Role::Dir(motor),
            ("pulse", true) => Role::Pulse(motor),
            ("a" | "b" | "c" | "d", false) if motors[motor].coils.is_some() => {
                let nth = ["a", "b", "c", "d"].iter().position(|n| *n == signal.name());
                Role::Coil(motor, nth?)
            }
            ("position", _) => Role::Position(motor),
            ("lateness", _) => Role::Lateness(motor),
            _ => return None,
        };
        Some((signal.id(), role))
    };
    signals.iter().filter_map(role).collect()
}

impl Reading {
    fn step(&mut self, at: u64, value: &Value) {
        let before = self.high.replace(*value == Value::High);
        if before != Some(false) || *value != Value::High {
            return;
        }
        let turned = self.up != self.dir;
        self.up = self.dir;
        let ahead = if self.up { 1.0 } else { -1.0 };
        self.count += ahead;
        // A step falls due a quarter of a step before its place.
        self.keep(at, self.count - ahead / 4.0, turned);
    }

    /// One of four coils changed. A single one, or two neighbours, stand for a half step.
    fn coil(&mut self, at: u64, nth: usize, value: &Value) {
        let Some(places) = self.coils else { return };
        let bit = 1 << places[nth];
        self.on = if *value == Value::High { self.on | bit } else { self.on & !bit };
        let half_steps = [0b0001, 0b0011, 0b0010, 0b0110, 0b0100, 0b1100, 0b1000, 0b1001];
        let Some(now) = half_steps.iter().position(|s| *s == self.on) else { return };
        let before = self.half_step.replace(now as u8);
        let Some(before) = before else { return };
        let ahead = match (now as i16 - i16::from(before)).rem_euclid(8) {
            0 => return,
            n @ 1..=4 => n,
            n => n - 8,
        };
        let (up, ahead) = (ahead > 0, f64::from(ahead));
        let turned = std::mem::replace(&mut self.up, up) != up;
        self.count += ahead;
        self.keep(at, self.count - ahead / 4.0, turned);
    }

    /// Keeps a place, unless those before it are near enough for any window.
    fn keep(&mut self, at: u64, place: f64, surely: bool) {
        if self.runs.is_empty() {
            self.runs.push(vec![(0, 0.0)]);
        }
        let Some(run) = self.runs.last_mut() else { return };
        let gap = self.window / 8;
        let kept = run.last().map_or(0, |k| k.0);
        if !surely && at.saturating_sub(kept) < gap {
            self.unkept = Some((at, place));
            return;
        }
        if let Some(unkept) = self.unkept.take().filter(|u| u.0 > kept && u.0 < at) {
            run.push(unkept);
        }
        match run.last_mut() {
            Some(last) if last.0 == at => last.1 = place,
            _ => run.push((at, place)),
        }
    }

    fn pulse(&mut self, at: u64, value: &Value) {
        let before = self.high.replace(*value == Value::High);
        match value {
            Value::High if before != Some(true) => {
                let gap = self.rose.map(|rose| at - rose);
                let period = self.period.zip(gap).map_or(gap, |(p, g)| Some(p.min(g)));
                let ended = gap.is_none_or(|gap| period.is_some_and(|p| gap > p + p / 2));
                if ended {
                    self.runs.push(Vec::new());
                }
                (self.period, self.rose) = (period, Some(at));
            }
            Value::Low if before == Some(true) => {
                if let (Some(run), Some(rose)) = (self.runs.last_mut(), self.rose) {
                    run.push((rose, (at - rose) as f64));
                }
            }
            _ => {}
        }
    }

    fn mark(&mut self, at: u64, position: f64) {
        if !self.servo {
            self.marks.push((self.count, position));
            self.keep(at, self.count, true);
        }
    }

    fn track(mut self, end: u64, config: Option<&Config>) -> Track {
        let motor = config.and_then(|c| c.motor(&self.name));
        if self.servo {
            // The last pulse holds to the end of its period.
            for run in &mut self.runs {
                if let Some(&(rose, width)) = run.last() {
                    run.push(((rose + self.period.unwrap_or(0)).min(end.max(rose)), width));
                }
            }
        } else {
            self.keep(end, self.count, true);
        }
        let (unit, scale) = match motor.map(|m| (&m.drive, m.drive.servo(), m.axis())) {
            Some((_, Some(servo), _)) => {
                let (min, max) =
                    (f64::from(servo.pulse_min.as_nanos()), f64::from(servo.pulse_max.as_nanos()));
                let (low, high) = match servo.reverse {
                    false => (servo.angle_min, servo.angle_max),
                    true => (servo.angle_max, servo.angle_min),
                };
                let slope = (high - low) / (max - min);
                let unit = if servo.continuous { "%" } else { "deg" };
                (unit.to_owned(), (slope, low - slope * (min + f64::from(servo.trim_ns))))
            }
            Some((drive, _, Some(axis))) => {
                // Counted in half steps.
                let half = |coils: &CoilsDrive| f64::from(coils.sequence.per_full_step()) / 2.0;
                let per_step = drive.coils().map_or(1.0, half);
                let slope =
                    per_step * axis.steps_per_unit.unscale(if axis.reverse { -1.0 } else { 1.0 });
                let zero = self.marks.first().map_or(0.0, |m| m.1 - slope * m.0);
                (motor.map_or("", |m| m.unit.symbol()).to_owned(), (slope, zero))
            }
            _ if self.servo => ("us".to_owned(), (1e-3, 0.0)),
            _ => self.guess(),
        };
        for place in self.runs.iter_mut().flatten() {
            place.1 = scale.0 * place.1 + scale.1;
        }
        let travel = motor
            .map(|m| match m.is_continuous() {
                true => (-m.limits.speed, m.limits.speed),
                false => (m.travel.min, m.travel.max),
            })
            .filter(|t| t.0.is_finite() && t.1.is_finite());
        let window = match motor {
            None if self.servo => self.period.unwrap_or(WINDOW),
            _ => self.window,
        };
        Track {
            name: self.name,
            unit,
            runs: self.runs,
            limits: motor.map(limits),
            travel,
            window,
            end,
            lateness: self.lateness,
            most_late: config
                .and_then(|c| c.machine.max_lateness)
                .map(|most| most.as_secs_f64() * 1e6),
        }
    }

    /// Without a config: units out of the positions in the trace, else plain steps.
    fn guess(&self) -> (String, (f64, f64)) {
        let Some(first) = self.marks.first() else { return ("steps".into(), (1.0, 0.0)) };
        let far = |m: &&(f64, f64)| (m.0 - first.0).abs();
        let Some(other) = self.marks.iter().max_by(|a, b| far(a).total_cmp(&far(b))) else {
            return ("steps".into(), (1.0, 0.0));
        };
        if other.0 == first.0 {
            return ("steps".into(), (1.0, 0.0));
        }
        let slope = (other.1 - first.1) / (other.0 - first.0);
        ("units".into(), (slope, first.1 - slope * first.0))
    }
}
