use std::time::Duration;

use super::{Clock, HalError, Level, PwmChannel};
use crate::units::{Instant, PulseWidth};

/// How often [`end_signal`] reads the pin while it waits for the end of a pulse.
const LOOK: Duration = Duration::from_micros(50);

/// Waits for the moment in a PWM signal at which width 0 can be written without cutting a pulse: just
/// after a falling edge.
///
/// It does no waiting itself: whoever has the channel reads its level now and then and passes it on.
/// If no falling edge is seen for one whole period the signal has no pulses to cut, or the pin does
/// not show them, and there is nothing better to wait for. A low that was read long after the last
/// high does not count: by then the next pulse may be about to begin.
#[derive(Clone, Copy, Debug)]
pub struct PhaseWatch {
    until: Instant,
    /// How long after a high a low still tells of a falling edge: half a period.
    fresh: Duration,
    last_high: Option<Instant>,
}

impl PhaseWatch {
    /// Begins to watch at `now` a signal of that period.
    pub fn new(now: Instant, period: Duration) -> PhaseWatch {
        PhaseWatch { until: now + period, fresh: period / 2, last_high: None }
    }

    /// Takes the level that the pin has at `now` ([`PwmChannel::level`]) and says whether width 0 may
    /// be written now.
    pub fn may_write(&mut self, level: Option<Level>, now: Instant) -> bool {
        match level {
            None => true,
            Some(Level::High) => {
                self.last_high = Some(now);
                now >= self.until
            }
            Some(Level::Low) => {
                let fell = self.last_high.is_some_and(|high| now.since(high) <= self.fresh);
                fell || now >= self.until
            }
        }
    }

    /// When the watch ends at the latest.
    pub fn until(&self) -> Instant {
        self.until
    }
}

/// Ends a PWM signal without cutting a pulse, and waits for it: the falling edge, width 0, one whole
/// period, disable. It takes three periods at most. For the paths out of the program that no loop
/// serves any more; in virtual time it moves the clock.
///
/// Returns an instant at which the signal was surely off.
///
/// # Errors
///
/// The back end refused a write; `disable` is tried in any case.
pub fn end_signal(
    channel: &mut dyn PwmChannel,
    period: Duration,
    clock: &Clock,
) -> Result<Instant, HalError> {
    let mut watch = PhaseWatch::new(clock.now(), period);
    while !watch.may_write(channel.level(), clock.now()) {
        pause(clock, LOOK);
    }
    let emptied = channel.set_width(PulseWidth::ZERO);
    pause(clock, period);
    if emptied.is_ok() {
        // A width that was taken just before a period began counts for one period more at the most.
        pause(clock, LOOK);
    }
    let off = channel.disable()?;
    emptied?;
    Ok(off)
}

/// Gives a PWM signal another width without cutting a pulse, and waits until it can be written: after a falling edge, or
/// for one period where none is seen.
///
/// # Errors
///
/// The back end refused the write.
pub fn change_signal(
    channel: &mut dyn PwmChannel,
    width: PulseWidth,
    period: Duration,
    clock: &Clock,
) -> Result<Instant, HalError> {
    let mut watch = PhaseWatch::new(clock.now(), period);
    while !watch.may_write(channel.level(), clock.now()) {
        pause(clock, LOOK);
    }
    channel.set_width(width)
}

/// Ends a PWM signal whose phase is known: waits until `low`, which lies in a low phase, writes width 0,
/// and disables a whole period later. Otherwise as [`end_signal`].
///
/// # Errors
///
/// The back end refused a write; `disable` is tried in any case.
pub fn end_signal_in_low(
    channel: &mut dyn PwmChannel,
    low: Instant,
    period: Duration,
    clock: &Clock,
) -> Result<Instant, HalError> {
    pause(clock, low.since(clock.now()));
    let emptied = channel.set_width(PulseWidth::ZERO);
    pause(clock, period + period / 64);
    let off = channel.disable()?;
    emptied?;
    Ok(off)
}

fn pause(clock: &Clock, time: Duration) {
    wait_until(clock, clock.now() + time);
}

/// Waits until `until`, however coarsely; in virtual time it moves the clock.
pub(crate) fn wait_until(clock: &Clock, until: Instant) {
    if clock.is_virtual() {
        clock.set(until.max(clock.now()));
    } else {
        std::thread::sleep(until.since(clock.now()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;

    use super::*;
    use crate::hal::{Backend, RecordedPwm, SimBackend};

    const PERIOD: Duration = Duration::from_millis(20);

    proptest! {
        /// Whenever it is called, every pulse keeps its width and the signal is off soon.
        #[test]
        fn no_pulse_is_cut(called in 0u64..60_000_000, us in 0u32..2500) {
            let clock = Clock::virtual_time();
            let mut sim = SimBackend::new(clock.clone());
            let panel = sim.panel();
            let edges = Arc::new(Mutex::new(Vec::new()));
            let into = edges.clone();
            let sink = move |at: Instant, high| into.lock().unwrap().push((at.as_nanos(), high));
            let channel = sim.open_pwm(&12.into(), "pan").unwrap();
            let mut channel = RecordedPwm::new(channel, sink, clock.now());
            channel.start(PERIOD, PulseWidth::from_micros(us)).unwrap();
            clock.set(Instant::from_nanos(called));
            let off = end_signal(&mut channel, PERIOD, &clock).unwrap();
            prop_assert!(off.nanos_since(Instant::from_nanos(called)) <= 3 * 20_000_000);
            prop_assert!(!panel.pwm(12).unwrap().running);
            channel.flush(Instant::from_nanos(called + 1_000_000_000));
            let edges = edges.lock().unwrap();
            prop_assert!(!edges.last().unwrap().1);
            for pulse in edges[1..].chunks(2) {
                prop_assert_eq!(pulse[1].0 - pulse[0].0, u64::from(us) * 1000);
            }
        }
    }

    #[test]
    fn a_refused_write_still_disables_and_is_told() {
        let clock = Clock::virtual_time();
        let mut sim = SimBackend::new(clock.clone());
        let mut channel = sim.open_pwm(&12.into(), "pan").unwrap();
        channel.start(PERIOD, PulseWidth::from_micros(1500)).unwrap();
        sim.panel().refuse(12, true);
        assert_eq!(
            end_signal(&mut *channel, PERIOD, &clock),
            Err(HalError::Refused { output: 12.into() })
        );
    }

    #[test]
    fn a_pin_that_shows_nothing_costs_one_period() {
        let mut watch = PhaseWatch::new(Instant::ZERO, PERIOD);
        assert!(!watch.may_write(Some(Level::Low), Instant::from_nanos(19_999_999)));
        assert!(watch.may_write(Some(Level::Low), Instant::from_nanos(20_000_000)));
        assert!(PhaseWatch::new(Instant::ZERO, PERIOD).may_write(None, Instant::ZERO));
        let mut high = PhaseWatch::new(Instant::ZERO, PERIOD);
        assert!(!high.may_write(Some(Level::High), Instant::from_nanos(5)));
        assert!(high.may_write(Some(Level::Low), Instant::from_nanos(6)));
        let mut late = PhaseWatch::new(Instant::ZERO, PERIOD);
        assert!(!late.may_write(Some(Level::High), Instant::from_nanos(5)));
        assert!(!late.may_write(Some(Level::Low), Instant::from_nanos(10_000_006)));
    }
}
