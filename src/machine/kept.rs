//! Places that outlive the machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::model::MotorModel;
use super::{Machine, Place};
use crate::config::MotorConfig;

/// Where a motor stands when its machine ends, for the next one: see [`Machine::kept_places`].
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// An axis: its steps from position 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<i64>,
    /// A servo: its angle in degrees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub angle: Option<f64>,
    /// Whether its count was beyond doubt.
    pub sure: bool,
    /// An axis whose coils are switched one by one: the phase that its rotor is in, as the coils that are on
    /// in it, the first in the order in which they pull the lowest bit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<u8>,
}

impl Kept {
    /// Whether it lies in the motor's travel.
    pub fn is_inside(&self, motor: &MotorConfig) -> bool {
        let model = MotorModel::new(motor);
        let steps = self.steps.map(|steps| model.to_unit(steps as f64));
        let slack = (model.to_unit(model.tolerance()) - model.to_unit(0.0)).abs();
        let travel = model.travel.min - slack..=model.travel.max + slack;
        steps.or(self.angle).is_some_and(|at| travel.contains(&at))
    }
}

impl Machine {
    /// Where each motor stands by the edges that were emitted, so that the next machine can begin with
    /// that ([`MachineBuilder::restore`](super::MachineBuilder::restore)). Motors whose place nobody
    /// knows are left out: a servo without a signal, an axis that may have lost steps in a halt, one
    /// with a fault, one whose pulses could not be counted, one that moves.
    pub fn kept_places(&self) -> BTreeMap<String, Kept> {
        let mut places = BTreeMap::new();
        for (model, state) in self.models.iter().zip(&self.motors) {
            if state.fault.is_some() || state.busy.is_some() || state.uncounted.is_some() {
                continue;
            }
            // Which way its play lies is not told.
            let sure = state.place != Place::Unverified && model.backlash == 0;
            // One that has let go by itself was told to be there.
            let angle = state.angle.or(state.left_at);
            let kept = match (model.steps, state.place, angle) {
                (Some(_), Place::Unknown | Place::Estimated, _) => continue,
                (Some(_), ..) => {
                    let (steps, phase) = (state.telemetry.steps(), state.telemetry.phase());
                    Kept { steps: Some(steps), angle: None, sure, phase }
                }
                (None, _, Some(angle)) => {
                    Kept { steps: None, angle: Some(angle), sure: true, phase: None }
                }
                (None, ..) => continue,
            };
            places.insert(model.name.clone(), kept);
        }
        places
    }
}
