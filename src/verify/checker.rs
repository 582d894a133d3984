//! Hands each instant of a trace to the motors and moves that it is about.

use std::collections::HashMap;

use super::blend::{Blends, Member};
use super::check::figure;
use super::marker::Marker;
use super::motor::Motor;
use super::moves::{Grain, Moves, Place};
use super::report::{Bound, Report};
use super::{Options, VerifyError};
use crate::config::{Config, Drive, PwmClockDrive};
use crate::trace::{Change, Signal, SignalId, SignalKind, Value};
use crate::units::Instant;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wire {
    Step,
    Dir,
    Enable,
    Sleep,
    Reset,
    Mode(usize),
    Pulse,
    Coil(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Wire(usize, Wire),
    Position(usize),
    Lateness(usize),
    Moves,
}

/// All motors and moves of a trace.
#[derive(Debug)]
pub(super) struct Checker {
    names: Vec<String>,
    roles: HashMap<SignalId, Role>,
    motors: Vec<Motor>,
    moves: Moves,
    blends: Blends,
    grains: Vec<Grain>,
    units: Vec<&'static str>,
    /// Who moved in the instant at hand.
    moved: Vec<bool>,
    halted: Vec<(usize, u64)>,
    /// What the trace says of how late the edges were, us, and whose were the latest.
    latest: (f64, usize),
    /// How late they may be, us.
    allowed: f64,
}

impl Checker {
    pub fn new(
        signals: &[Signal],
        config: &Config,
        options: &Options,
    ) -> Result<Checker, VerifyError> {
        let roles = roles(signals, config)?;
        let motors = config.motors.iter().map(|m| Motor::new(m, options));
        let mut motors = motors.collect::<Result<Vec<Motor>, _>>()?;
        let drives = config.motors.iter().filter_map(|m| m.drive.step_dir());
        let loads = drives.filter(|d| d.holds_load).filter_map(|d| d.enable);
        let loads: Vec<u8> = loads.map(|line| line.gpio).collect();
        for motor in &mut motors {
            if let Motor::Axis(axis) = motor {
                axis.among(&loads);
            }
        }
        let grains: Vec<Grain> =
            motors.iter().map(|motor| motor.grain(options.late_nanos())).collect();
        Ok(Checker {
            names: config.motors.iter().map(|m| m.name.clone()).collect(),
            roles,
            moved: vec![false; motors.len()],
            moves: Moves::new(config, grains.clone()),
            blends: Blends::default(),
            grains,
            units: config.motors.iter().map(|m| m.unit.symbol()).collect(),
            motors,
            halted: Vec::new(),
            latest: (0.0, 0),
            allowed: options.late_nanos() as f64 / 1e3,
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
            self.settle_coils(at);
        } else {
            self.many(at, batch);
        }
        self.settle(at);
    }

    fn many(&mut self, at: u64, batch: &[Change]) {
        let (mut begins, mut ends, mut places) = (Vec::new(), Vec::new(), Vec::new());
        let mut turns = Vec::new();
        let (mut set, mut elsewhere, mut corners) = (Vec::new(), Vec::new(), Vec::new());
        for change in batch {
            match (self.roles.get(&change.signal), &change.value) {
                (Some(Role::Moves), Value::Text(text)) => match Marker::read(text) {
                    Marker::Begins => begins.push(text.to_string()),
                    Marker::Ended(id) => ends.push(id.to_owned()),
                    Marker::Corner(id, corner) => corners.push((id, corner)),
                    Marker::Stop(id) => self.blends.stop(id),
                    Marker::Retarget(id) => elsewhere.push(id),
                    Marker::Turn(names) => turns.extend(names.split(',')),
                    Marker::Set(name) => set.extend(self.names.iter().position(|n| n == name)),
                    Marker::Unknown(name) => {
                        let motor = self.names.iter().position(|n| n == name);
                        if let Some(course) = motor.and_then(|m| self.motors[m].course_mut()) {
                            course.lose_place();
                        }
                    }
                    Marker::OnTheWay => {}
                },
                (Some(&Role::Position(motor)), Value::Real(position)) => {
                    places.push((motor, *position))
                }
                (Some(&Role::Lateness(motor)), &Value::Real(us)) if us > self.latest.0 => {
                    self.latest = (us, motor);
                }
                _ => {}
            }
        }
        // Where a person says that an axis is, is its last position of the instant.
        let mut told = Vec::new();
        for motor in set {
            if let Some(n) = places.iter().rposition(|p| p.0 == motor) {
                told.push(places.remove(n));
            }
        }
        let begun = !begins.is_empty();
        // A motor that has nowhere to go ends where and when it begins.
        let mut begin = vec![false; self.motors.len()];
        let (starts, stops): (Vec<_>, Vec<_>) = places.into_iter().partition(|&(motor, _)| {
            self.moves.place(motor, at, begun) == Place::Start
                && !std::mem::replace(&mut begin[motor], true)
        });
        if begun || !starts.is_empty() {
            self.begin(at, &begins, &starts);
        }
        for name in turns {
            let motor = self.names.iter().position(|n| n == name);
            if let Some(course) = motor.and_then(|m| self.motors[m].course_mut()) {
                course.turn();
            }
        }
        for id in elsewhere {
            let motors = &self.motors;
            self.moves.retarget(id, at, |m| motors[m].place());
        }
        for (id, corner) in corners {
            self.blends.corner(id, at, corner);
        }
        self.wires(at, batch);
        for (motor, position) in stops {
            self.motors[motor].end(at, position);
            let place = match &self.motors[motor] {
                Motor::Servo(servo) => position / servo.grain(),
                axis => axis.place(),
            };
            self.note_moves(at);
            self.moves.end(motor, at, place);
            self.blends.end(motor);
        }
        for id in ends {
            self.moves.ended(&id, at);
            self.blends.ended(&id, at);
        }
        for (motor, position) in told {
            if let Some(course) = self.motors[motor].course_mut() {
                course.set(at, position);
            }
        }
    }

    fn begin(&mut self, at: u64, markers: &[String], starts: &[(usize, f64)]) {
        let again: Vec<usize> = starts.iter().map(|s| s.0).collect();
        self.moves.close(at, &again, &mut self.halted);
        self.tell_halted();
        let mut places = Vec::with_capacity(starts.len());
        for &(motor, position) in starts {
            self.motors[motor].start(at, position);
            places.push((motor, self.motors[motor].place()));
        }
        self.moves.begin(markers, &places);
        for marker in markers {
            self.begin_blend(marker, starts);
        }
    }

    /// `7:blend:x,y`: a run along vertices that are told as it goes.
    fn begin_blend(&mut self, marker: &str, starts: &[(usize, f64)]) {
        let mut words = marker.splitn(3, ':');
        let (Some(id), Some("blend"), Some(names)) = (words.next(), words.next(), words.next())
        else {
            return;
        };
        let indices = names.split(',').filter_map(|n| self.names.iter().position(|m| m == n));
        let member = |motor: usize| {
            let start = starts.iter().find(|s| s.0 == motor)?.1;
            let (place, late) = (self.motors[motor].place(), self.grains[motor].late);
            let grain = self.motors[motor].unit_of_grain();
            Some(Member { motor, start: (start, place), grain, late })
        };
        let members: Vec<Member> = indices.filter_map(member).collect();
        if let Some(first) = members.first() {
            let unit = self.units[first.motor];
            self.blends.begin(id, unit, members);
        }
    }

    /// The wires of an instant: first the steps that end, then DIR and enable, then the steps that
    /// begin. What happens in one nanosecond has no order of its own.
    fn wires(&mut self, at: u64, batch: &[Change]) {
        let mut falls = vec![false; self.motors.len()];
        let mut done = vec![false; batch.len()];
        for pass in 0..4 {
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
                    // A mode pin before what puts the driver on.
                    (1, Wire::Dir | Wire::Mode(_) | Wire::Reset, _) => true,
                    (2, Wire::Enable | Wire::Sleep, _) => true,
                    (1 | 2, ..) => false,
                    (pass, ..) => pass == 3,
                };
                if now && !std::mem::replace(done, true) {
                    self.wire(at, motor, wire, level);
                }
            }
        }
        self.settle_coils(at);
    }

    fn wire(&mut self, at: u64, motor: usize, wire: Wire, high: Option<bool>) {
        match (&mut self.motors[motor], wire) {
            (Motor::Axis(axis), Wire::Step) => {
                let before = axis.course().steps();
                axis.step(at, high);
                self.moved[motor] |= axis.course().steps() != before;
            }
            (Motor::Axis(axis), Wire::Dir) => axis.dir(at, high),
            (Motor::Axis(axis), Wire::Enable) => axis.enable(at, high),
            (Motor::Axis(axis), Wire::Sleep) => axis.sleep(at, high),
            (Motor::Axis(axis), Wire::Reset) => axis.reset(at, high),
            (Motor::Axis(axis), Wire::Mode(n)) => axis.mode(at, n, high),
            (Motor::Coils(coils), Wire::Coil(n)) => coils.coil(n, high),
            (Motor::Servo(servo), Wire::Pulse) => {
                servo.pulse(at, high);
                self.moved[motor] |= high == Some(false);
            }
            _ => {}
        }
    }

    /// The coils' states, after all of their lines that change in this instant have.
    fn settle_coils(&mut self, at: u64) {
        for (motor, moved) in self.motors.iter_mut().zip(&mut self.moved) {
            if let Motor::Coils(coils) = motor {
                *moved |= coils.settle(at);
            }
        }
    }

    fn note_moves(&mut self, at: u64) {
        if !self.moves.is_idle() && self.moved.contains(&true) {
            let motors = &self.motors;
            self.moves.moved(at, &self.moved, |m| motors[m].place());
            if !self.blends.is_idle() {
                self.blends.moved(at, &self.moved, |m| motors[m].place());
            }
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
            self.motors[motor].halt(at);
        }
    }

    /// The trace ends at `end`.
    pub fn finish(mut self, end: Instant) -> Report {
        let at = end.as_nanos();
        let (line, mut notes) = self.moves.finish(&mut self.halted);
        let (latest, motor) = self.latest;
        if latest > self.allowed {
            let (name, latest, enough) = (&self.names[motor], figure(latest), latest.ceil());
            notes.push(format!(
                "{name}: edges were up to {latest} us late; `--lateness {enough}us` allows for that"
            ));
        }
        self.tell_halted();
        let mut bounds: Vec<Bound> = Vec::new();
        for motor in self.motors {
            bounds.extend(motor.finish(at));
        }
        bounds.push(line);
        bounds.extend(self.blends.bound());
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
                if axis.sleep.is_some() {
                    wire("sleep", Wire::Sleep);
                }
                if axis.reset.is_some() {
                    wire("reset", Wire::Reset);
                }
                for (n, name) in ["mode0", "mode1", "mode2"].into_iter().enumerate() {
                    if n < axis.mode.len() {
                        wire(name, Wire::Mode(n));
                    }
                }
            }
            Drive::Coils(_) => {
                for (n, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
                    wire(name, Wire::Coil(n));
                }
            }
        }
        want("position", SignalKind::Real, Role::Position(index));
        want("lateness", SignalKind::Real, Role::Lateness(index));
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
    // A trace of virtual time has no lateness.
    let needed = wanted.iter().filter(|w| !matches!(w.3, Role::Lateness(_)));
    let lacks = { needed }.find(|w| !roles.values().any(|r| *r == w.3));
    match lacks {
        Some((scope, name, ..)) => {
            mismatch(format!("it has no `{scope}.{name}`, which the config needs"))
        }
        None => Ok(roles),
    }
}
