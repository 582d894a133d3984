//! Drives an output and looks at its pin at the same time.

use std::time::Duration;

use super::measure::{Pulses, Watch};
use crate::hal::{Clock, HalError, Level, OutputLine, PwmChannel, end_signal};
use crate::sync::StopEvent;
use crate::units::{Instant, PulseWidth};

/// How long before its time an edge is waited for awake.
const AWAKE: Duration = Duration::from_micros(200);
/// How long a pin may take to show the level that was set: it has to get through the pad.
const TO_SHOW: Duration = Duration::from_millis(1);

/// The clock, and whoever wants this to end.
pub(super) struct Hand<'a> {
    pub clock: Clock,
    pub stop: &'a StopEvent,
}

impl Hand<'_> {
    /// Waits until `until`, to within microseconds; in virtual time exactly.
    fn wait(&self, until: Instant) {
        if self.clock.is_virtual() {
            self.clock.set(until.max(self.clock.now()));
            return;
        }
        let left = until.since(self.clock.now());
        if left > AWAKE {
            std::thread::sleep(left - AWAKE);
        }
        while self.clock.now() < until {
            std::hint::spin_loop();
        }
    }

    /// Sets the line and waits until its pin shows it; `None` if it never does.
    fn set(&self, line: &mut dyn OutputLine, level: Level) -> Result<Option<Instant>, HalError> {
        let until = line.set(level)? + TO_SHOW;
        loop {
            let shows = line.seen() == level;
            let now = self.clock.now();
            if shows {
                return Ok(Some(now));
            }
            if now >= until || self.clock.is_virtual() {
                return Ok(None);
            }
        }
    }

    /// Makes pulses of at least `width`, one each `period`. A pulse whose pin did not follow is no pulse.
    /// The line is low at the end, or high with `active` low.
    pub fn pulses(
        &self,
        line: &mut dyn OutputLine,
        active: Level,
        [period, width]: [Duration; 2],
        count: u64,
    ) -> Result<Pulses, HalError> {
        let mut pulses = Pulses::default();
        let mut next = self.clock.now() + period;
        for _ in 0..count {
            if self.stop.is_set() {
                break;
            }
            self.wait(next);
            let rose = self.set(line, active)?;
            self.wait(rose.unwrap_or(self.clock.now()) + width);
            let fell = self.set(line, active.opposite())?;
            if let (Some(rose), Some(fell)) = (rose, fell) {
                pulses.push(rose, fell);
            }
            next = next + period;
        }
        Ok(pulses)
    }

    /// Starts a signal, looks at its pin for `count` periods and a little, and ends it without cutting
    /// a pulse. `None`: its pin can't be read.
    pub fn signal(
        &self,
        channel: &mut dyn PwmChannel,
        period: Duration,
        width: PulseWidth,
        count: u64,
    ) -> Result<Option<Pulses>, HalError> {
        let started = channel.start(period, width)?;
        let seen = self.watch(channel, started, period, count);
        end_signal(channel, period, &self.clock)?;
        Ok(seen)
    }

    fn watch(
        &self,
        channel: &mut dyn PwmChannel,
        started: Instant,
        period: Duration,
        count: u64,
    ) -> Option<Pulses> {
        let mut watch = Watch::default();
        // Two more than are asked for: the first may have begun unseen, and the clocks differ.
        let until = started + period * (u32::try_from(count).unwrap_or(u32::MAX) + 2);
        let look = period / 20_000;
        while watch.pulses.count() < count && !self.stop.is_set() {
            let level = channel.level()?;
            let now = self.clock.now();
            if now >= until {
                break;
            }
            if watch.look(level.is_high(), now) && watch.pulses.count() < count {
                // The next one is most of a period away. (Real-time threads must sleep, too.)
                self.wait(now + period / 4);
            } else if self.clock.is_virtual() {
                self.clock.set(now + look);
            }
        }
        Some(watch.pulses)
    }
}
