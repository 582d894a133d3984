//! SIGINT, SIGTERM and SIGHUP: the first stops in good order, the second halts.

use super::CliError;
use crate::sync::StopEvent;

/// What the signals set.
#[derive(Clone)]
pub(super) struct Stops {
    /// The first signal: every motor comes to rest on its path.
    pub stop: StopEvent,
    /// The second: every motor stands still after its last whole pulse.
    pub halt: StopEvent,
}

/// Takes the signals over. This comes before anything is opened: from here on no signal ends the
/// process without the outputs being made safe.
pub(super) fn catch() -> Result<Stops, CliError> {
    let stops = Stops { stop: StopEvent::new(), halt: StopEvent::new() };
    let on_signal = stops.clone();
    // The handler runs on a thread of its own, one signal after another; a third changes nothing.
    let handler = move || {
        let again = on_signal.stop.is_set();
        let event = if again { &on_signal.halt } else { &on_signal.stop };
        event.set();
    };
    ctrlc::set_handler(handler).map_err(|e| CliError::Signals(e.to_string()))?;
    log::debug!("signals are caught");
    Ok(stops)
}
