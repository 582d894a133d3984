//! Hands each instant of a trace to the motors and moves that it is about.

use std::collections::HashMap;

use super::axis::Axis;
use super::moves::{Grain, Moves, Place};
use super::report::{Bound, Report};
use super::servo::Servo;
use super::{Options, VerifyError};
use crate::config::{Config, Drive, PwmClockDrive};
use crate::trace::{Change, Signal, SignalId, SignalKind, Value};
use crate::units::Instant;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wire {
    Step,
    Dir,
    Enable,
    Pulse,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Wire(usize, Wire),
    Position(usize),
    Moves,
}

#[derive(Debug)]
enum Motor {
    Axis(Box<Axis>),
    Servo(Box<Servo>),
}

impl Motor {
    /// Where it is, in grains of its line.
    fn place(&self) -> f64 {
        match self {
            Motor::Axis(axis) => axis.steps() as f64,
            Motor::Servo(servo) => servo.angle() / servo.grain(),
        }
    }
}

/// All motors and moves of a trace.
#[derive(Debug)]
pub(super) struct Checker {
    roles: HashMap<SignalId, Role>,
    motors: Vec<Motor>,
    moves: Moves,
    /// Who moved in the instant at hand.
    moved: Vec<bool>,
    halted: Vec<(usize, u64)>,
}

impl Checker {
    pub fn new(
        signals: &[Signal],
        config: &Config,
        options: &Options,
    ) -> Result<Checker, VerifyError> {
        let roles = roles(signals, config)?;
        let motors: Vec<Motor> = config
            .motors
            .iter()
            .map(|m| match &m.drive {
                Drive::Servo(drive) => Motor::Servo(Box::new(Servo::new(m, drive, options))),
                Drive::StepDir(drive) => Motor::Axis(Box::new(Axis::new(m, drive, options))),
                Drive::PwmClock(drive) => Motor::Axis(Box::new(Axis::on_clock(m, drive, options))),
            })
            .collect();
        let late = options.late_nanos();
        let grains = motors.iter().zip(&config.motors).map(|(motor, config)| match motor {
            Motor::Axis(axis) => {
                let late = axis.top_speed() * late as f64 / 1e9 + axis.off();
                Grain { late, end_within: 0, rest: 1.0 }
            }
            Motor::Servo(servo) => Grain {
                late: servo.late_grains(),
                end_within: match &config.drive {
                    Drive::Servo(drive) => {
                        u64::try_from(drive.period.as_nanos()).unwrap_or(u64::MAX)
                    }
                    _ => 0,
                },
                rest: 0.0,
            },
        });
        let grains = grains.collect();
        Ok(Checker {
            roles,
            moved: vec![false; motors.len()],
            moves: Moves::new(config, grains),
            motors,
            halted: Vec::new(),
        })
    }

    /// Takes all changes of one instant.
    pub fn instant(&mut self, batch: &[Change]) {
        let Some(first) = batch.first() else { return };
        let at = first.at.as_nanos();
        if let [Change { signal, value, .. }] = batch
            && let Some(&Role::Wire(motor, wire)) = self.roles.get(signal)
        {
            self.wire(at, motor, wire, level(value));
        } else {
            self.many(at, batch);
        }
        self.settle(at);
    }

    fn many(&mut self, at: u64, batch: &[Change]) {
        let (mut begins, mut ends, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for change in batch {
            match (self.roles.get(&change.signal), &change.value) {
                (Some(Role::Moves), Value::Text(text)) => match text.strip_suffix(":ended") {
                    Some(id) => ends.push(id.to_owned()),
                    None => begins.push(text.to_string()),
                },
                (Some(&Role::Position(motor)), Value::Real(position)) => {
                    places.push((motor, *position))
                }
                _ => {}
            }
        }
        let begun = !begins.is_empty();
        let (starts, stops): (Vec<_>, Vec<_>) = places
            .into_iter()
            .partition(|&(motor, _)| self.moves.place(motor, at, begun) == Place::Start);
        if begun || !starts.is_empty() {
            self.begin(at, &begins, &starts);
        }
        self.wires(at, batch);
        for (motor, position) in stops {
            match &mut self.motors[motor] {
                Motor::Axis(axis) => axis.end(at, position),
                Motor::Servo(servo) => servo.end(position),
            }
            let place = match &self.motors[motor] {
                Motor::Servo(servo) => position / servo.grain(),
                axis => axis.place(),
            };
            self.note_moves(at);
            self.moves.end(motor, at, place);
        }
        for id in ends {
            self.moves.ended(&id, at);
        }
    }

    fn begin(&mut self, at: u64, markers: &[String], starts: &[(usize, f64)]) {
        let again: Vec<usize> = starts.iter().map(|s| s.0).collect();
        self.moves.close(at, &again, &mut self.halted);
        self.tell_halted();
        let mut places = Vec::with_capacity(starts.len());
        for &(motor, position) in starts {
            match &mut self.motors[motor] {
                Motor::Axis(axis) => axis.start(at, position),
                Motor::Servo(servo) => servo.start(at, position),
            }
            places.push((motor, self.motors[motor].place()));
        }
        self.moves.begin(markers, &places);
    }

    /// The wires of an instant: first the steps that end, then DIR and enable, then the steps that
    /// begin. What happens in one nanosecond has no order of its own.
    fn wires(&mut self, at: u64, batch: &[Change]) {
        let mut falls = vec![false; self.motors.len()];
        let mut done = vec![false; batch.len()];
        for pass in 0..3 {
            for (change, done) in batch.iter().zip(&mut done) {
                let Some(&Role::Wire(motor, wire)) = self.roles.get(&change.signal) else {
                    continue;
                };
                let level = level(&change.value);
                let now = match (pass, wire, &self.motors[motor]) {
                    (0, Wire::Step, Motor::Axis(axis)) => {
                        // Each axis' first edge alone.
                        let first = !std::mem::replace(&mut falls[motor], true);
                        first && axis.step_is_high() && level == Some(false)
                    }
                    (0, ..) => false,
                    (1, Wire::Dir | Wire::Enable, _) => true,
                    (pass, ..) => pass == 2,
                };
                if now && !std::mem::replace(done, true) {
                    self.wire(at, motor, wire, level);
                }
            }
        }
    }

    fn wire(&mut self, at: u64, motor: usize, wire: Wire, high: Option<bool>) {
        match (&mut self.motors[motor], wire) {
            (Motor::Axis(axis), Wire::Step) => {
                let before = axis.steps();
                axis.step(at, high);
                self.moved[motor] |= axis.steps() != before;
            }
            (Motor::Axis(axis), Wire::Dir) => axis.dir(at, high),
            (Motor::Axis(axis), Wire::Enable) => axis.enable(at, high),
            (Motor::Servo(servo), Wire::Pulse) => {
                servo.pulse(at, high);
                self.moved[motor] |= high == Some(false);
            }
            _ => {}
        }
    }

    fn note_moves(&mut self, at: u64) {
        if !self.moves.is_idle() && self.moved.contains(&true) {
            let motors = &self.motors;
            self.moves.moved(at, &self.moved, |m| motors[m].place());
        }
        self.moved.fill(false);
    }

    /// The instant is over.
    fn settle(&mut self, at: u64) {
        self.note_moves(at);
        if !self.moves.is_idle() {
            self.moves.close(at, &[], &mut self.halted);
            self.tell_halted();
        }
    }

    fn tell_halted(&mut self) {
        for (motor, at) in self.halted.drain(..) {
            match &mut self.motors[motor] {
                Motor::Axis(axis) => axis.halt(at),
                Motor::Servo(servo) => servo.halt(),
            }
        }
    }

    /// The trace ends at `end`.
    pub fn finish(mut self, end: Instant) -> Report {
        let at = end.as_nanos();
        let (line, notes) = self.moves.finish(&mut self.halted);
        self.tell_halted();
        let mut bounds: Vec<Bound> = Vec::new();
        for motor in self.motors {
            bounds.extend(match motor {
                Motor::Axis(axis) => axis.finish(at),
                Motor::Servo(servo) => servo.finish(at),
            });
        }
        bounds.push(line);
        Report { lost: 0, end, bounds, notes }
    }
}

fn level(value: &Value) -> Option<bool> {
    match value {
        Value::High => Some(true),
        Value::Low => Some(false),
        _ => None,
    }
}

/// What each signal is; an error where trace and config do not fit each other.
fn roles(signals: &[Signal], config: &Config) -> Result<HashMap<SignalId, Role>, VerifyError> {
    let mismatch = |text: String| Err(VerifyError::Mismatch(text));
    let mut wanted: Vec<(String, &str, SignalKind, Role)> = Vec::new();
    for (index, motor) in config.motors.iter().enumerate() {
        let mut want =
            |name: &'static str, kind, role| wanted.push((motor.name.clone(), name, kind, role));
        let mut wire = |name, wire| want(name, SignalKind::Wire, Role::Wire(index, wire));
        match &motor.drive {
            Drive::Servo(_) => wire("pulse", Wire::Pulse),
            Drive::StepDir(axis) | Drive::PwmClock(PwmClockDrive { axis, .. }) => {
                wire("step", Wire::Step);
                wire("dir", Wire::Dir);
                if axis.enable.is_some() {
                    wire("enable", Wire::Enable);
                }
            }
        }
        want("position", SignalKind::Real, Role::Position(index));
    }
    wanted.push(("machine".to_owned(), "move", SignalKind::Text, Role::Moves));
    let mut roles = HashMap::new();
    for signal in signals {
        let (scope, name) = (signal.scope(), signal.name());
        let Some(found) = wanted.iter().find(|w| w.0 == scope && w.1 == name) else {
            let known = scope == "machine" || config.motor(scope).is_some();
            let what = if known { "signal" } else { "motor" };
            return mismatch(format!(
                "it has `{scope}.{name}`, a {what} that the config does not have"
            ));
        };
        if found.2 != signal.kind() {
            return mismatch(format!("`{scope}.{name}` is of another kind"));
        }
        roles.insert(signal.id(), found.3);
    }
    let lacks = wanted.iter().find(|w| !roles.values().any(|r| *r == w.3));
    match lacks {
        Some((scope, name, ..)) => {
            mismatch(format!("it has no `{scope}.{name}`, which the config needs"))
        }
        None => Ok(roles),
    }
}
