//! Random machines, and a checker of recorded edges that shares no code with what it checks.

use std::fmt::Write as _;
use std::ops::Range;

use lockstep::config::{Config, Drive, MotorConfig, MotorUnit, StepDirDrive};
use lockstep::machine::{Machine, Position};
use lockstep::trace::{Recording, Value};
use lockstep::units::{Angle, Length};

/// A small generator (splitmix64): the tests are the same on every run.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// From `10^low` to `10^high`, each size as likely as the next.
    pub fn size(&mut self, low: f64, high: f64) -> f64 {
        10.0_f64.powf(self.between(low, high))
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

/// The seeds of a campaign: `usual` of them, or as many as `LOCKSTEP_CASES` says, from
/// `LOCKSTEP_SEED` (default 0) on. Each is printed, so that a failure names its own.
pub fn seeds(usual: u64) -> impl Iterator<Item = u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("LOCKSTEP_SEED").unwrap_or(0);
    let all: Range<u64> = first..first + number("LOCKSTEP_CASES").unwrap_or(usual);
    all.inspect(|seed| println!("LOCKSTEP_SEED={seed}"))
}

pub fn config(text: &str) -> Config {
    match Config::from_str(text, "test.toml") {
        Ok(checked) => checked.config,
        Err(e) => panic!("{e:?}\n{text}"),
    }
}

/// GPIOs for axes; 12 and 13 are the servos'.
const PINS: [u8; 20] = [4, 5, 6, 16, 17, 20, 21, 22, 23, 24, 25, 26, 27, 7, 8, 9, 10, 11, 14, 15];

const PRESETS: [(&str, f64, u32); 6] = [
    ("a4988", 500_000.0, 16),
    ("drv8825", 263_000.0, 32),
    ("tmc2208", 5_000_000.0, 16),
    ("tmc2209", 5_000_000.0, 32),
    ("tb6600", 100_000.0, 8),
    ("dm542", 200_000.0, 25),
];

/// A machine of `axes` axes and `servos` servos (at most 2), each with its own grid, driver and limits.
pub fn random_machine(dice: &mut Dice, axes: usize, servos: usize) -> String {
    let mut text = String::new();
    let mut pins = PINS.iter();
    let mut pin = || *pins.next().unwrap();
    let shared = dice.chance(50).then(&mut pin);
    let active = *dice.pick(&["low", "high"]);
    for name in ["x", "y", "z", "w"].iter().take(axes) {
        let rotary = dice.chance(25);
        let unit = if rotary { "deg" } else { "mm" };
        let distance = if rotary { 360.0 } else { *dice.pick(&[8.0, 5.08, 2.0, 40.0]) };
        let gear = *dice.pick(&[(1u32, 1u32), (1, 1), (3, 7), (19, 4), (25792, 405)]);
        let (driver, most, microsteps) = if dice.chance(30) {
            let (high, low) = (dice.size(2.0, 5.0).floor(), dice.size(2.0, 5.0).floor());
            let (setup, hold) = (dice.size(0.0, 5.0).floor(), dice.size(0.0, 5.0).floor());
            let wake = dice.size(0.0, 7.0).floor();
            let times = format!(
                "{{ step-high = \"{high}ns\", step-low = \"{low}ns\", dir-setup = \"{setup}ns\", \
                 dir-hold = \"{hold}ns\", wake = \"{wake}ns\" }}"
            );
            (times, 1e9 / (high + low), *dice.pick(&[1, 2, 8, 16]))
        } else {
            let (name, most, microsteps) = *dice.pick(&PRESETS);
            (format!("\"{name}\""), most, microsteps)
        };
        let per_unit =
            200.0 * f64::from(microsteps) * f64::from(gear.0) / f64::from(gear.1) / distance;
        let rate = dice.size(2.0, 4.6).min(most * 0.999);
        let speed = rate / per_unit;
        let acceleration = speed * dice.size(0.3, 2.0);
        let jerk = acceleration * dice.size(0.5, 2.5);
        let low = -(dice.below(400) as f64) / per_unit;
        let high = low + (20.0 + dice.size(1.0, 3.4)) / per_unit;
        let start = dice.between(low, high);
        let enable = match dice.below(3) {
            0 => String::new(),
            _ => {
                let line = shared.unwrap_or_else(&mut pin);
                format!("enable = {{ gpio = {line}, active = \"{active}\" }}\n")
            }
        };
        let on_stop = if !enable.is_empty() && dice.chance(50) { "release" } else { "keep" };
        let (step, dir, reverse) = (pin(), pin(), dice.chance(50));
        write!(
            text,
            "[axis.{name}]\nstep = {{ gpio = {step} }}\ndir = {{ gpio = {dir} }}\n{enable}\
             driver = {driver}\nsteps-per-revolution = 200\nmicrosteps = {microsteps}\n\
             gear-ratio = \"{}/{}\"\ndistance-per-revolution = \"{distance}{unit}\"\n\
             travel = {{ min = \"{low:.6}{unit}\", max = \"{high:.6}{unit}\" }}\n\
             reverse = {reverse}\nmax-speed = \"{speed:.9}{unit}/s\"\n\
             max-acceleration = \"{acceleration:.6}{unit}/s^2\"\nmax-jerk = \"{jerk:.6}{unit}/s^3\"\n\
             at-start = {{ assume = \"{:.6}{unit}\" }}\non-stop = \"{on_stop}\"\n\n",
            gear.0,
            gear.1,
            start.clamp(low + 1e-6, high - 1e-6),
        )
        .unwrap();
    }
    for (name, gpio) in [("pan", 12), ("tilt", 13)].iter().take(servos) {
        // Two on one PCA9685 have the same period.
        let frequency = dice.pick(&["50Hz", "100Hz", "333Hz"]);
        let (reverse, trim) = (dice.chance(50), dice.below(100));
        let startup = dice.pick(&["\"off\"", "\"centre\"", "{ angle = \"10deg\" }"]);
        let on_stop = dice.pick(&["\"keep\"", "\"release\"", "{ park = \"-5deg\" }"]);
        write!(
            text,
            "[servo.{name}]\npwm = {{ gpio = {gpio} }}\nfrequency = \"{frequency}\"\n\
             pulse = {{ min = \"1000us\", max = \"2000us\" }}\n\
             angle = {{ min = \"-45deg\", max = \"45deg\" }}\ntrim = \"{trim}us\"\n\
             reverse = {reverse}\nstartup = {startup}\non-stop = {on_stop}\n\n"
        )
        .unwrap();
    }
    text
}

/// The same machine, its servos on other outputs than the header's two pins.
pub fn random_outputs(dice: &mut Dice, text: &str) -> String {
    let mut text = text.to_owned();
    for (gpio, channel) in [(12, 3), (13, 15)] {
        let output = match dice.below(4) {
            // Boards of their own: all channels of one have the same frequency.
            0 => format!("pwm = {{ device = \"1-00{}\", channel = {channel} }}", 40 + channel),
            1 => format!("soft-pwm = {{ gpio = {gpio} }}"),
            2 => format!("pwm = {{ gpio = {gpio}, clock-correction = \"-31000ppm\" }}"),
            _ => continue,
        };
        text = text.replace(&format!("pwm = {{ gpio = {gpio} }}"), &output);
    }
    text
}

/// A position in the motor's unit.
pub fn at(motor: &MotorConfig, position: f64) -> Position {
    match motor.unit {
        MotorUnit::Millimetre => Length(position).into(),
        MotorUnit::Degree => Angle(position).into(),
        MotorUnit::Percent => panic!("{} has no places", motor.name),
    }
}

pub fn random_target(dice: &mut Dice, motor: &MotorConfig) -> f64 {
    match dice.below(8) {
        0 => motor.travel.min,
        1 => motor.travel.max,
        _ => dice.between(motor.travel.min, motor.travel.max),
    }
}

pub fn axis(motor: &MotorConfig) -> Option<&StepDirDrive> {
    match &motor.drive {
        Drive::StepDir(axis) => Some(axis),
        _ => None,
    }
}

/// Steps at a position, worked out anew: the nearest to position x ratio.
pub fn steps_at(axis: &StepDirDrive, position: f64) -> i64 {
    let ratio = axis.steps_per_unit;
    (position * ratio.numerator() as f64 / ratio.denominator() as f64).round() as i64
}

fn start_steps(motor: &MotorConfig, axis: &StepDirDrive) -> i64 {
    let position = match axis.at_start {
        lockstep::config::AtStart::Assume(position) => position,
        lockstep::config::AtStart::Unknown | lockstep::config::AtStart::Restored => {
            0.0_f64.clamp(motor.travel.min, motor.travel.max)
        }
    };
    steps_at(axis, position)
}

pub type Edges = Vec<(u64, bool)>;

pub fn edges(recording: &Recording, signal: &str) -> Edges {
    let Some(id) = recording.find(signal) else { return Vec::new() };
    recording.edges(id).map(|(at, high)| (at.as_nanos(), high)).collect()
}

/// The instants at which moves began: (number and kind, nanoseconds).
pub fn moves(recording: &Recording) -> Vec<(String, u64)> {
    let id = recording.find("machine.move").unwrap();
    let text = |(at, value): (lockstep::units::Instant, Value)| match value {
        Value::Text(text) => (text.to_string(), at.as_nanos()),
        other => panic!("{other:?} is no move"),
    };
    recording.records(id).map(text).filter(|(text, _)| begins(text)).collect()
}

/// Whether a text of `machine.move` is the beginning of a move.
fn begins(text: &str) -> bool {
    let kind = text.split(':').nth(1).unwrap_or_default();
    ["aligned", "asap", "keyframes", "jog"].contains(&kind)
}

/// One step: when it rose, and the count after it.
pub type Step = (u64, i64);

/// Proves the rules for one axis from its edges, and gives its steps.
///
/// `quiet_until`: nothing may have happened before this instant.
pub fn check_axis(recording: &Recording, motor: &MotorConfig, quiet_until: u64) -> Vec<Step> {
    let name = &motor.name;
    let axis = axis(motor).unwrap();
    let t = axis.timing;
    let step = edges(recording, &format!("{name}.step"));
    let dir = edges(recording, &format!("{name}.dir"));
    let enable = edges(recording, &format!("{name}.enable"));
    assert_eq!(step.first().map(|e| e.1), Some(false), "{name}: STEP is low when it is opened");
    assert!(step.last().is_some_and(|last| !last.1), "{name}: STEP is low in the end");
    for (signal, edges) in [("STEP", &step), ("DIR", &dir), ("ENABLE", &enable)] {
        let first = edges.get(1).map_or(u64::MAX, |e| e.0);
        assert!(first >= quiet_until, "{name}: {signal} changed at {first}, before any target");
    }
    if let Some(line) = axis.enable {
        let first = enable.first().map(|e| e.1);
        assert_eq!(first, Some(line.active_low), "{name}: not enabled at the start");
    }
    let rate = motor.limits.speed * axis.steps_per_unit.numerator() as f64
        / axis.steps_per_unit.denominator() as f64;
    let least = (1e9 / (1.25 * rate)) as u64;
    let mut count = start_steps(motor, axis);
    let (low, high) = (steps_at(axis, motor.travel.min), steps_at(axis, motor.travel.max));
    let mut steps = Vec::with_capacity(step.len() / 2);
    let (mut at_dir, mut at_enable) = (0, 0);
    let mut last = None::<(u64, u64)>;
    for pulse in step[1..].chunks(2) {
        let [(rise, true), (fall, false)] = *pulse else { panic!("{name}: {pulse:?} is no pulse") };
        assert!(fall - rise >= t.step_high.into(), "{name}: pulse of {} at {rise}", fall - rise);
        if let Some((rose, fell)) = last {
            assert!(rise - fell >= t.step_low.into(), "{name}: gap of {} at {rise}", rise - fell);
            assert!(rise - rose >= least, "{name}: {} < {least} ns at {rise}", rise - rose);
        }
        last = Some((rise, fall));
        while dir.get(at_dir + 1).is_some_and(|d| d.0 < rise) {
            at_dir += 1;
        }
        let settled = rise - dir[at_dir].0;
        assert!(settled >= t.dir_setup.into(), "{name}: DIR {settled} ns before {rise}");
        if let Some(next) = dir.get(at_dir + 1) {
            assert!(next.0 >= fall + u64::from(t.dir_hold), "{name}: DIR held too short at {fall}");
        }
        if let Some(line) = axis.enable {
            while enable.get(at_enable + 1).is_some_and(|e| e.0 <= rise) {
                at_enable += 1;
            }
            let (since, level) = enable[at_enable];
            assert_ne!(level, line.active_low, "{name}: a step at {rise} while not enabled");
            assert!(rise - since >= t.wake.into(), "{name}: asleep at {rise}");
        }
        count += if dir[at_dir].1 != axis.reverse { 1 } else { -1 };
        assert!((low..=high).contains(&count), "{name}: at {count}, outside {low} to {high}");
        steps.push((rise, count));
    }
    steps
}

/// Proves the rules for one servo from its pulses: whole, in phase, of a width it may have, and over.
pub fn check_servo(
    recording: &Recording,
    motor: &MotorConfig,
    quiet_until: u64,
) -> Vec<(u64, u64)> {
    let name = &motor.name;
    let Drive::Servo(servo) = &motor.drive else { panic!("{name} is no servo") };
    let edges = edges(recording, &format!("{name}.pulse"));
    assert_eq!(edges.first().map(|e| e.1), Some(false));
    assert!(edges.last().is_some_and(|last| !last.1), "{name}: its last pulse ended");
    let period = servo.period.as_nanos() as u64;
    let trimmed = |width: u32| i64::from(width) + i64::from(servo.trim_ns);
    let least = trimmed(servo.pulse_min.as_nanos());
    let most = trimmed(servo.pulse_max.as_nanos());
    let mut pulses: Vec<(u64, u64)> = Vec::with_capacity(edges.len() / 2);
    for pulse in edges[1..].chunks(2) {
        let [(rise, true), (fall, false)] = *pulse else { panic!("{name}: {pulse:?} is no pulse") };
        assert!(rise >= quiet_until, "{name}: a pulse at {rise}, before any target");
        let width = (fall - rise) as i64;
        assert!((least..=most).contains(&width), "{name}: a pulse of {width} ns at {rise}");
        if let Some(&(before, _)) = pulses.last() {
            // A signal that ended and began again has a new phase.
            let gap = rise - before;
            let apart = gap >= period + pulses.last().map_or(0, |p| p.1);
            assert!(gap == period || apart, "{name}: {gap} ns between pulses at {rise}");
        }
        pulses.push((rise, width as u64));
    }
    pulses
}

/// Ends the machine and proves all rules: edges counted = steps reported = position.
pub fn check_machine(machine: &mut Machine, quiet_until: u64) -> (Recording, Vec<Vec<Step>>) {
    assert_eq!(machine.finish(), Vec::<String>::new(), "every loop answered");
    let recording = machine.take_recording().unwrap();
    assert_eq!(recording.lost(), 0);
    let mut all = Vec::new();
    let motors = machine.config().motors.clone();
    for motor in &motors {
        let Some(axis) = axis(motor) else {
            check_servo(&recording, motor, quiet_until);
            all.push(Vec::new());
            continue;
        };
        let steps = check_axis(&recording, motor, quiet_until);
        let count = steps.last().map_or(start_steps(motor, axis), |s| s.1);
        let (num, den) = (axis.steps_per_unit.numerator(), axis.steps_per_unit.denominator());
        let position = count as f64 * den as f64 / num as f64;
        assert_eq!(machine.position(&motor.name), Some(position), "{}: {count} steps", motor.name);
        all.push(steps);
    }
    (recording, all)
}

/// Three axes, each with its own grid and driver, two of them with one enable line.
pub const STAGE: &str = r#"
[axis.x]
step = { gpio = 17 }
dir = { gpio = 27 }
enable = { gpio = 22, active = "low" }
driver = "drv8825"
steps-per-revolution = 200
microsteps = 16
distance-per-revolution = "8mm"
travel = { min = "0mm", max = "200mm" }
max-speed = "50mm/s"
max-acceleration = "500mm/s^2"
max-jerk = "5000mm/s^3"

[axis.y]
step = { gpio = 23 }
dir = { gpio = 24 }
enable = { gpio = 22, active = "low" }
driver = "tb6600"
steps-per-revolution = 200
microsteps = 8
distance-per-revolution = "5mm"
travel = { min = "-20mm", max = "150mm" }
reverse = true
max-speed = "40mm/s"
max-acceleration = "300mm/s^2"
max-jerk = "9000mm/s^3"

[axis.z]
step = { gpio = 25 }
dir = { gpio = 16 }
driver = "a4988"
steps-per-revolution = 200
microsteps = 4
gear-ratio = "3/7"
distance-per-revolution = "4mm"
travel = { min = "0mm", max = "50mm" }
max-speed = "20mm/s"
max-acceleration = "200mm/s^2"
max-jerk = "2000mm/s^3"
"#;

pub const TARGETS: [(&str, f64); 3] = [("x", 30.0), ("y", -17.5), ("z", 9.0)];

pub fn stage_move() -> lockstep::machine::Move {
    use lockstep::machine::Move;
    TARGETS.iter().fold(Move::new(), |m, (name, to)| m.to(name, lockstep::units::Length(*to)))
}

pub fn virtual_machine(text: &str) -> Machine {
    Machine::builder(config(text)).virtual_time().trace(true).build().unwrap()
}
