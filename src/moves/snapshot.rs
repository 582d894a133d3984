use std::time::Duration;

use super::active::{Active, Aim};
use super::outcome::Place;
use super::plan::Way;
use super::{Class, MotorState, MoveBook, Ordered, Owner};
use crate::config::MotorUnit;
use crate::motor::{FaultKind, MotorIndex, MoveId};
use crate::units::Instant;

/// What a machine as a whole does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MachineState {
    /// Nothing moves, and moves may begin.
    Idle,
    /// Something is on its way.
    Moving,
    /// Told to hold, and not all at rest yet.
    Holding,
    /// At rest by a hold: waits for its resume.
    Held,
    /// Coming to rest by a stop or a halt.
    Stopping,
    /// At rest by a stop, until it is cleared.
    Stopped,
    /// At rest by a halt, until it is cleared.
    Halted,
    /// At rest, and a motor has a fault.
    Fault,
}

impl MachineState {
    /// One word, as reports and JSON have it.
    pub fn word(self) -> &'static str {
        match self {
            MachineState::Idle => "idle",
            MachineState::Moving => "moving",
            MachineState::Holding => "holding",
            MachineState::Held => "held",
            MachineState::Stopping => "stopping",
            MachineState::Stopped => "stopped",
            MachineState::Halted => "halted",
            MachineState::Fault => "fault",
        }
    }
}

/// A machine at one instant.
#[derive(Clone, PartialEq, Debug)]
pub struct Snapshot {
    /// When, on the machine's clock.
    pub at: Instant,
    /// What it does.
    pub state: MachineState,
    /// The speed override of moves, percent.
    pub speed_override: f64,
    /// The same of rapids.
    pub rapid_override: f64,
    /// The same of jogs.
    pub jog_override: f64,
    /// Everything is held.
    pub held: bool,
    /// The moves that have not ended, in the order of their numbers.
    pub moves: Vec<MoveId>,
    /// One for each motor, in the order of the config.
    pub motors: Vec<MotorSnapshot>,
}

/// A motor at one instant.
#[derive(Clone, PartialEq, Debug)]
pub struct MotorSnapshot {
    /// Its name.
    pub motor: String,
    /// Where it is, in its unit, by the edges emitted; `None` for a servo without a signal.
    pub position: Option<f64>,
    /// The velocity that its plan has now, in its unit a second; 0 at rest.
    pub velocity: f64,
    /// Its unit.
    pub unit: MotorUnit,
    /// What is known of its place.
    pub place: Place,
    /// The move that it is part of.
    pub busy: Option<MoveId>,
    /// Who asked for that move; or the program that keeps the motor for later.
    pub owner: Option<Owner>,
    /// It is held: what begins with it waits for `resume`.
    pub held: bool,
    /// The fault that it has.
    pub fault: Option<FaultKind>,
}

impl MoveBook {
    /// How the machine is now. Looking does not disturb its motion.
    pub fn snapshot(&self, at: Instant) -> Snapshot {
        let motor = |(index, state): (MotorIndex, &MotorState)| {
            let model = &self.models[index];
            let leg = state.busy.and_then(|id| self.active.get(&id)?.leg(index));
            let velocity = leg.map_or(0.0, |l| l.velocity_at(at));
            MotorSnapshot {
                motor: model.name.clone(),
                position: self.position(index),
                velocity: model.to_unit(velocity),
                unit: model.unit,
                place: state.place,
                busy: state.busy,
                owner: state
                    .busy
                    .and_then(|id| self.owner(id).cloned())
                    .or_else(|| self.keeper(index).map(|p| Owner::Program(p.clone()))),
                held: self.is_motor_held(index),
                fault: state.fault.clone(),
            }
        };
        Snapshot {
            at,
            state: self.state(self.stop_set, self.halt_set),
            speed_override: self.speed_override(Class::Feed),
            rapid_override: self.speed_override(Class::Rapid),
            jog_override: self.speed_override(Class::Jog),
            held: self.is_held(),
            moves: self.active.keys().copied().collect(),
            motors: self.motors.iter().enumerate().map(motor).collect(),
        }
    }

    /// Where a motor is on its way to, in its unit; `None` where it is not, or jogs.
    pub fn target(&self, index: MotorIndex) -> Option<f64> {
        let leg = self.active.get(&self.motors[index].busy?)?.leg(index)?;
        let jogs = matches!(leg.goal().way, Way::Jog(_));
        (leg.aim != Aim::Stop && !jogs).then(|| leg.goal().target)
    }

    /// How long the present plan of a move still takes; before it begins, all of it. `None` for a move that
    /// has ended, is held or jogs, and for a blended path, which is planned as it goes.
    pub fn time_left(&self, id: MoveId, now: Instant) -> Option<Duration> {
        let active = self.active.get(&id)?;
        let jogs = active.legs.iter().any(|l| matches!(l.goal().way, Way::Jog(_)));
        if jogs || active.run.is_some() || active.is_holding() {
            return None;
        }
        let left = match active.end().filter(|_| active.has_begun()) {
            Some(end) => end.nanos_since(now),
            None => active.legs.iter().map(|l| l.part.trajectory.duration()).max()?,
        };
        Some(Duration::from_nanos(left))
    }

    /// What the machine as a whole does.
    ///
    /// `stop`, `halt`: which events are set now.
    pub fn state(&self, stop: bool, halt: bool) -> MachineState {
        let moves = || self.active.values();
        let at_rest = moves().all(Active::is_held);
        if stop || halt || self.ordered != Ordered::Nothing {
            return match (at_rest, self.ordered == Ordered::Halt || halt) {
                (false, _) => MachineState::Stopping,
                (true, true) => MachineState::Halted,
                (true, false) => MachineState::Stopped,
            };
        }
        let held = self.is_held() || !self.active.is_empty();
        if at_rest {
            let faulty = self.motors.iter().any(|m| m.fault.is_some());
            return match (faulty, held) {
                (true, _) => MachineState::Fault,
                (false, true) => MachineState::Held,
                (false, false) => MachineState::Idle,
            };
        }
        let moving = || moves().filter(|a| !a.is_held());
        if moving().all(Active::is_stopping) {
            MachineState::Stopping
        } else if moving().all(Active::is_holding) {
            MachineState::Holding
        } else {
            MachineState::Moving
        }
    }
}
