//! Whether servos whose pulses are timed by their own loops may run.

use log::{info, warn};

use super::MachineError;
use crate::config::{Config, ServoOutput};
use crate::runtime;

/// Refuses such a servo on hardware without real-time scheduling, unless it is allowed to jitter; on the
/// simulator it says that it will. Before any output is opened.
pub(crate) fn check(config: &Config, hardware: bool, realtime: bool) -> Result<(), MachineError> {
    let timed = config.motors.iter().filter_map(|m| match m.drive.servo()?.output {
        ServoOutput::Soft { gpio, allow_jitter } => Some((&m.name, gpio, allow_jitter)),
        ServoOutput::Pwm { .. } => None,
    });
    let timed: Vec<_> = timed.collect();
    if timed.is_empty() {
        return Ok(());
    }
    let names = timed.iter().map(|t| t.0.as_str()).collect::<Vec<_>>().join(", ");
    let granted =
        if realtime { runtime::try_realtime() } else { Err("it was not asked for".to_owned()) };
    let Err(why) = granted else {
        info!("{names}: pulses timed by the loop: they jitter with its wake-ups");
        return Ok(());
    };
    if let Some(&(motor, gpio, _)) = timed.iter().find(|t| hardware && !t.2) {
        return Err(MachineError::NeedsRealtime { motor: motor.clone(), gpio, why });
    }
    warn!(
        "{names}: pulses timed by the loop, and no real-time scheduling ({why}): they will jitter"
    );
    Ok(())
}
