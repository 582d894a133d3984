//! What a new config means for the motors of the old one.

use std::collections::BTreeSet;

use crate::board::PwmOutput;
use crate::config::{Config, MotorConfig, Port};

/// What changes from one config to another. Names of motors, in the order of their configs.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Difference {
    /// They are new.
    pub added: Vec<String>,
    /// They are no more.
    pub removed: Vec<String>,
    /// Their outputs have to be opened anew: other pins, another timing, another pulse.
    pub reopened: Vec<String>,
    /// Their loops are told something new, and go on driving what they drive.
    pub tuned: Vec<String>,
}

impl Difference {
    /// What changes from `old` to `new`. That a table stands elsewhere in the file is no change.
    pub fn between(old: &Config, new: &Config) -> Difference {
        let mut difference = Difference::default();
        let lines = changed_lines(old, new);
        let all = old.machine.max_lateness != new.machine.max_lateness;
        for motor in &old.motors {
            let name = motor.name.clone();
            match new.motor(&motor.name) {
                None => difference.removed.push(name),
                Some(other) if !is_tunable(motor, other) => difference.reopened.push(name),
                Some(other) if enable(motor).is_some_and(|gpio| lines.contains(&gpio)) => {
                    difference.reopened.push(other.name.clone());
                }
                Some(other) if all || !is_same(motor, other) => difference.tuned.push(name),
                Some(_) => {}
            }
        }
        let added = new.motors.iter().filter(|m| old.motor(&m.name).is_none());
        difference.added = added.map(|m| m.name.clone()).collect();
        difference
    }

    /// Every motor that it is about, the new ones included.
    pub fn motors(&self) -> Vec<String> {
        [&self.tuned, &self.reopened, &self.added, &self.removed]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// Those that have to be at rest for it.
    pub fn must_rest(&self) -> impl Iterator<Item = &String> {
        [&self.tuned, &self.reopened, &self.removed].into_iter().flatten()
    }
}

fn is_same(old: &MotorConfig, new: &MotorConfig) -> bool {
    let moved = MotorConfig { span: new.span, ..old.clone() };
    moved == *new
}

/// Whether nothing differs but what its loop can be told, or the machine alone knows.
fn is_tunable(old: &MotorConfig, new: &MotorConfig) -> bool {
    let mut like = MotorConfig { span: new.span, limits: new.limits, ..old.clone() };
    // The machine alone knows these.
    (like.current, like.on_lost_lease) = (new.current, new.on_lost_lease);
    let Some(changed) = like.drive.kind_mut().told(new.drive.kind()) else { return false };
    if changed.travel {
        like.travel = new.travel;
    }
    if !changed.limits {
        like.limits = old.limits;
    }
    like == *new
}

/// The GPIO of its enable line.
pub(crate) fn enable(motor: &MotorConfig) -> Option<u8> {
    Some(motor.drive.step_dir()?.enable?.gpio)
}

/// What all users of an enable line share: the level at which it is active, and whether a load hangs
/// on it.
pub(crate) fn line(config: &Config, gpio: u8) -> Option<(bool, bool)> {
    let axes = config.motors.iter().filter_map(|m| m.drive.step_dir());
    let users: Vec<_> =
        axes.filter_map(|axis| Some((axis.enable.filter(|l| l.gpio == gpio)?, axis))).collect();
    let first = users.first()?;
    Some((first.0.active_low, users.iter().any(|(_, axis)| axis.holds_load)))
}

/// Enable lines that have to be opened anew for all their users.
fn changed_lines(old: &Config, new: &Config) -> BTreeSet<u8> {
    let both = old.motors.iter().filter_map(enable);
    both.filter(|&gpio| line(new, gpio).is_some_and(|l| Some(l) != line(old, gpio))).collect()
}

/// The pins and channels that some motors have.
pub(crate) fn ports(config: &Config, motors: &[usize]) -> Vec<Port> {
    let ours = |output: &crate::config::Output| output.motors.iter().any(|m| motors.contains(m));
    let outputs = config.outputs().into_iter().filter(ours).map(|o| o.port);
    let fault = |&m: &usize| Some(Port::Gpio(config.motors[m].drive.step_dir()?.fault?.gpio));
    outputs.chain(motors.iter().filter_map(fault)).collect()
}

/// Whether one of the two can only be had once the other is given back.
pub(crate) fn collide(one: &Port, other: &Port) -> bool {
    match (one, other) {
        // Two pins may have one channel.
        (Port::Pwm(PwmOutput::Gpio(_)), Port::Pwm(PwmOutput::Gpio(_))) => true,
        (Port::Gpio(a), Port::Pwm(PwmOutput::Gpio(b)))
        | (Port::Pwm(PwmOutput::Gpio(b)), Port::Gpio(a)) => a == b,
        _ => one == other,
    }
}

/// Whether a count of steps means the same place in both: the same steps, by the same lines.
pub(crate) fn same_steps(old: &MotorConfig, new: &MotorConfig) -> bool {
    old.axis().is_some() && new.axis().is_some() && old.identity() == new.identity()
}
