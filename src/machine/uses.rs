//! The motors that a program may move.

use std::collections::BTreeSet;

use crate::config::{Action, Config, StepConfig};
use crate::motor::MotorIndex;

/// All that a program of the config may move, whatever becomes of its moves: with the programs that it runs, and
/// those that come to the rescue. None where there is no program of that name.
pub(crate) fn motors_of(config: &Config, program: &str) -> BTreeSet<MotorIndex> {
    let mut uses = Uses { seen: vec![false; config.programs.len()], motors: BTreeSet::new() };
    if let Some(number) = config.programs.iter().position(|p| p.name == program) {
        uses.program(config, number);
    }
    uses.motors
}

/// Collects what a program needs, whatever becomes of its moves.
struct Uses {
    seen: Vec<bool>,
    motors: BTreeSet<usize>,
}

impl Uses {
    fn program(&mut self, config: &Config, number: usize) {
        if !std::mem::replace(&mut self.seen[number], true) {
            self.steps(config, &config.programs[number].steps);
        }
    }

    fn steps(&mut self, config: &Config, steps: &[StepConfig]) {
        for step in steps {
            match &step.action {
                Action::Move(action) => {
                    self.motors.extend(action.targets.iter().map(|t| t.motor));
                    action.on_short.iter().for_each(|s| self.program(config, s.1));
                }
                Action::Sweep(sweep) => self.motors.extend(sweep.motors.iter().map(|m| m.motor)),
                Action::Keyframes(frames) => {
                    let targets = frames.iter().flat_map(|f| &f.targets);
                    self.motors.extend(targets.map(|t| t.motor));
                }
                Action::Repeat(_, steps) => self.steps(config, steps),
                Action::Run(number) => self.program(config, *number),
                Action::Together(branches) => branches.iter().for_each(|b| self.steps(config, b)),
                _ => {}
            }
        }
    }
}
