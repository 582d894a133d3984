//! A driver's fault line, filtered and watched.

use super::MachineError;
use super::open::active_level;
use crate::board::Pull;
use crate::config::{LineConfig, MotorConfig};
use crate::hal::Backend;
use crate::inputs::{LineSpec, Rules, WatchError, Watched, Watcher};
use crate::runtime::Lane;

/// A driver's fault line.
pub(crate) struct FaultLine {
    pub gpio: u8,
    pub watched: Watched,
}

impl FaultLine {
    /// Opens the line and watches it: what is confirmed goes down that lane.
    pub fn open(
        inputs: &mut Watcher,
        backend: &mut dyn Backend,
        motor: &MotorConfig,
        line: LineConfig,
        lane: Lane,
    ) -> Result<FaultLine, MachineError> {
        let hal = |error| MachineError::Hal { motor: motor.name.clone(), error };
        // Drivers' fault outputs are open drains: without a pull the line would float.
        let pull = if line.active_low { Pull::Up } else { Pull::Down };
        let (gpio, rules, active) = (line.gpio, Rules::SAFETY, active_level(line));
        let who = format!("{}'s fault line", motor.name);
        let spec = LineSpec { gpio, pull, active, who: &who, rules };
        let watched =
            inputs.watch(backend, spec, move |change| lane.tell(change.active, change.at));
        let watched = watched.map_err(|error| match error {
            WatchError::Hal(error) => hal(error),
            WatchError::Thread(why) => MachineError::Threads(why),
        })?;
        if watched.is_active().map_err(hal)? {
            // A pulse that happens to be there just now is no fault.
            std::thread::sleep(2 * rules.debounce);
            if watched.is_active().map_err(hal)? {
                return Err(MachineError::FaultAtStart { motor: motor.name.clone(), gpio });
            }
        }
        Ok(FaultLine { gpio, watched })
    }
}
