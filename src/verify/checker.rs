//! Hands each instant of a trace to the motors and moves that it is about.

use super::blend::Blends;
use super::check::{Tally, figure};
use super::motor::Motor;
use super::moves::{Grain, Moves};
use super::report::{Bound, Report, Verdict};
use super::roles::{Role, roles};
use super::{Options, VerifyError};
use crate::config::Config;
use crate::config::Wire;
use crate::trace::{Change, Signal, SignalId, Value};
use crate::units::Instant;

/// All motors and moves of a trace.
#[derive(Debug)]
pub(super) struct Checker {
    pub(super) names: Vec<String>,
    roles: Vec<Option<Role>>,
    pub(super) motors: Vec<Motor>,
    pub(super) moves: Moves,
    pub(super) blends: Blends,
    pub(super) grains: Vec<Grain>,
    pub(super) units: Vec<&'static str>,
    /// The grammar of the marks.
    pub(super) grammar: u32,
    /// Marks that can be read, and those that can't.
    pub(super) marks: Tally,
    /// Who moved in the instant at hand.
    moved: Vec<bool>,
    pub(super) halted: Vec<(usize, u64)>,
    /// What the trace says of how late the edges were, us, and whose were the latest.
    pub(super) latest: (f64, usize),
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
            grammar: 1,
            marks: Tally::default(),
            halted: Vec::new(),
            latest: (0.0, 0),
            allowed: options.late_nanos() as f64 / 1e3,
        })
    }

    /// Takes all changes of one instant.
    ///
    /// # Errors
    ///
    /// Its marks are of a grammar that is not known.
    pub fn instant(&mut self, batch: &[Change]) -> Result<(), VerifyError> {
        let Some(first) = batch.first() else { return Ok(()) };
        let at = first.at.as_nanos();
        if let [Change { signal, value, .. }] = batch
            && let Some(Role::Wire(motor, wire)) = self.role(*signal)
        {
            self.wire(at, motor, wire, level(value));
            self.settle_coils(at);
        } else {
            self.many(at, batch)?;
        }
        self.settle(at);
        Ok(())
    }

    /// What a signal is.
    pub(super) fn role(&self, signal: SignalId) -> Option<Role> {
        self.roles.get(signal.index()).copied().flatten()
    }

    /// The wires of an instant: first the steps that end, then DIR and enable, then the steps that
    /// begin. What happens in one nanosecond has no order of its own.
    pub(super) fn wires(&mut self, at: u64, batch: &[Change]) {
        let mut falls = vec![false; self.motors.len()];
        let mut done = vec![false; batch.len()];
        for pass in 0..4 {
            for (change, done) in batch.iter().zip(&mut done) {
                let Some(Role::Wire(motor, wire)) = self.role(change.signal) else {
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
            (Motor::Turning(turning), Wire::Pulse) => turning.pulse(at, high),
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

    pub(super) fn note_moves(&mut self, at: u64) {
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

    pub(super) fn tell_halted(&mut self) {
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
        let marks = self.marks.rule("machine", "marks that say what they mean", "yes");
        bounds.extend(Some(marks).filter(|b| b.verdict == Verdict::Broken));
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
