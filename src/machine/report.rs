use std::time::Duration;

use super::{Machine, Outcome, Place};
use crate::config::MotorUnit;
use crate::motor::{FaultKind, LatenessSummary};
use crate::moves::{MotorState, between};
use crate::programs::Branch;

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RunResult {
    /// Every step was carried out.
    Done,
    /// A motor failed, or a move was refused.
    Failed,
    /// A stop was asked for, and everything came to rest.
    Stopped,
}

impl RunResult {
    /// One word, as reports and JSON have it.
    pub fn word(self) -> &'static str {
        match self {
            RunResult::Done => "done",
            RunResult::Failed => "failed",
            RunResult::Stopped => "stopped",
        }
    }
}

/// A run, after its end.
#[derive(Clone, PartialEq, Debug)]
pub struct RunReport {
    /// The program's name.
    pub program: String,
    /// How it ended.
    pub result: RunResult,
    /// From the first look at the program until all motors were at rest.
    pub duration: Duration,
    /// One for each motor, in the order of the config.
    pub motors: Vec<MotorReport>,
    /// What went wrong beside motors that fell short, in words: moves that were refused, events that did
    /// not come.
    pub complaints: Vec<String>,
    /// Motors whose loop did not end by its deadline.
    pub left: Vec<String>,
}

/// A motor at the end of a run.
#[derive(Clone, PartialEq, Debug)]
pub struct MotorReport {
    /// The motor's name.
    pub motor: String,
    /// Its last outcome, or the first one that was short and not mended; `None`: it never moved.
    pub outcome: Option<Outcome>,
    /// The fault that it or its driver had, moving or at rest.
    pub fault: Option<FaultKind>,
    /// Where it stands, in its unit; `None` for a servo that never had a signal.
    pub position: Option<f64>,
    /// Its unit.
    pub unit: MotorUnit,
    /// Steps emitted, counted from position 0; none for a servo.
    pub steps: Option<i64>,
    /// Where its pulses could not all be counted: the steps made, at least and at most.
    pub between: Option<(i64, i64)>,
    /// What is known of its place.
    pub place: Place,
    /// How late its edges were.
    pub lateness: LatenessSummary,
    /// By how much pulses that a servo's loop timed itself were too long; `None` where it timed none.
    pub jitter: Option<LatenessSummary>,
}

impl Machine {
    pub(super) fn report(
        &self,
        program: &str,
        result: RunResult,
        duration: Duration,
        branch: &Branch,
        left: Vec<String>,
    ) -> RunReport {
        let motor = |(index, state): (usize, &MotorState)| {
            let model = &self.book.models[index];
            let short = branch.shorts.iter().find(|s| s.motor == model.name);
            let last = short.or(state.last.as_ref());
            MotorReport {
                motor: model.name.clone(),
                outcome: last.map(|o| o.outcome.clone()),
                fault: state.fault.clone(),
                position: self.book.position(index),
                unit: model.unit,
                steps: model.steps.map(|_| state.telemetry.steps()),
                between: state
                    .uncounted
                    .map(|(below, above)| between(state.telemetry.steps(), below, above)),
                place: state.place,
                lateness: state.telemetry.lateness.summary(),
                jitter: Some(state.telemetry.jitter.summary()).filter(|j| j.count > 0),
            }
        };
        RunReport {
            program: program.to_string(),
            result,
            duration,
            motors: self.book.motors.iter().enumerate().map(motor).collect(),
            complaints: branch.complaints.clone(),
            left,
        }
    }
}
