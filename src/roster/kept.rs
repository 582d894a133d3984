//! Places that outlive the machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::MotorConfig;
use crate::moves::{MotorModel, MotorState, Place};

/// Where a motor stands when its machine ends, for the next one: see [`Machine::kept_places`](crate::machine::Machine::kept_places).
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

/// Where each motor stands by the edges that were emitted. Motors whose place nobody knows are left out.
pub(crate) fn kept_places(models: &[MotorModel], motors: &[MotorState]) -> BTreeMap<String, Kept> {
    let mut places = BTreeMap::new();
    for (model, state) in models.iter().zip(motors) {
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
