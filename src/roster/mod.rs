//! Which motors there are: what drives them, the loops that do, and what is carried over a reload and kept over a
//! restart.

mod crew;
mod difference;
mod error;
mod fault_line;
mod kept;
mod open;
mod soft_pwm;
mod step_clock;

use std::collections::BTreeMap;

use crossbeam_channel::Sender;

use crate::config::{AtStart, Config, MotorConfig};
use crate::hal::{Backend, SharedLine};
use crate::inputs::Watcher;
use crate::motor::{Event, MotorIndex};
use crate::moves::MotorModel;

pub(crate) use crew::Crew;
pub use difference::Difference;
pub(crate) use difference::{collide, enable, line, ports, same_steps};
pub use error::MachineError;
pub(crate) use fault_line::FaultLine;
pub use kept::Kept;
pub(crate) use kept::kept_places;
pub(crate) use open::{
    Opened, Opener, Signals, min_interval, pulse_map, pwm_outputs, servo_lateness,
};
pub(crate) use soft_pwm::check as check_soft_pwm;

/// The motors' loops, and what they are opened with.
pub(crate) struct Roster {
    pub fleet: Crew,
    /// What outputs are opened with, also later: see [`Machine::reload`](crate::machine::Machine::reload).
    pub header: Box<dyn Backend>,
    pub enables: BTreeMap<u8, SharedLine>,
    /// Where the motors' loops speak into.
    pub reports: Sender<Event>,
    /// For each motor: its driver's fault line. It is watched as long as this lives.
    pub fault_lines: Vec<Option<FaultLine>>,
    /// Who watches them.
    pub inputs: Watcher,
    pub backend: &'static str,
    pub hardware: bool,
    pub realtime: bool,
    /// Where motors stood when the machine before ended; `None`: nobody keeps that.
    pub restored: Option<BTreeMap<String, Kept>>,
}

impl Roster {
    /// Has the back end forget what it knows of a motor's PWM outputs.
    pub fn forget_pwm(&mut self, config: &Config, motor: MotorIndex) {
        for output in pwm_outputs([&config.motors[motor]].into_iter()) {
            self.header.forget_pwm(&output);
        }
    }

    /// Closes enable lines that are not the same in both configs.
    pub fn close_lines(&mut self, old: &Config, new: &Config) {
        self.enables.retain(|&gpio, _| line(old, gpio) == line(new, gpio));
    }
}

/// Where an axis is taken to be at the start: as it says, else 0 or the nearest place in its travel.
pub(crate) fn start_position(motor: &MotorConfig, model: &MotorModel) -> f64 {
    match motor.axis().map(|axis| axis.at_start) {
        Some(AtStart::Assume(position)) => position,
        // Where it will be restored to is not known before.
        _ => 0.0_f64.clamp(model.travel.min, model.travel.max),
    }
}
