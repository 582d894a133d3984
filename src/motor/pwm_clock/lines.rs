//! The driver's lines beside the step clock: DIR and enable.

use crate::hal::{HalError, Level, OutputLine, SharedLine};
use crate::units::Instant;

/// DIR, the lines that give the driver its power, and their times in nanoseconds.
pub struct DriverLines {
    /// DIR.
    pub dir: Box<dyn OutputLine>,
    /// The driver's enable line, perhaps shared with other axes.
    pub enable: Option<SharedLine>,
    /// The driver's sleep line and the level at which it sleeps.
    pub sleep: Option<(Box<dyn OutputLine>, Level)>,
    /// Lines that were set when they were opened, and are never written: microsteps, reset.
    pub held: Vec<Box<dyn OutputLine>>,
    /// DIR stable before STEP rises.
    pub dir_setup: u64,
    /// DIR stable after STEP falls.
    pub dir_hold: u64,
    /// From enable, or from leaving its sleep, to the first step.
    pub wake: u64,
    /// The level of DIR for a step up.
    pub up: Level,
    /// Whether the driver is let go when the program ends, and by
    /// [`Command::Release`](crate::motor::Command::Release).
    pub may_release: bool,
    /// Whether the enable line goes inactive when the program ends.
    pub release_at_end: bool,
}

/// What is known of them.
pub(super) struct Lines {
    l: DriverLines,
    dir: Option<Level>,
    settled_from: Instant,
    free_from: Instant,
    enabled: bool,
    awake_from: Instant,
}

impl Lines {
    pub fn new(lines: DriverLines) -> Lines {
        Lines {
            l: lines,
            dir: None,
            settled_from: Instant::ZERO,
            free_from: Instant::ZERO,
            enabled: false,
            awake_from: Instant::ZERO,
        }
    }

    fn level(&self, up: bool) -> Level {
        if up { self.l.up } else { self.l.up.opposite() }
    }

    /// Energises the driver, if it is not. Returns when it is awake.
    pub fn acquire(&mut self) -> Result<Instant, HalError> {
        if !self.enabled {
            let mut since = None;
            if let Some((line, asleep)) = &mut self.l.sleep
                && line.level() == *asleep
            {
                since = Some(line.set(asleep.opposite())?);
            }
            if let Some(line) = &mut self.l.enable {
                since = since.max(Some(line.acquire()?));
            }
            self.awake_from = since.map_or(Instant::ZERO, |at| at.plus_nanos(self.l.wake));
            self.enabled = true;
        }
        Ok(self.awake_from)
    }

    pub fn release(&mut self) -> Result<(), HalError> {
        if self.l.may_release && self.enabled {
            self.enabled = false;
            if let Some(line) = &mut self.l.enable {
                line.release()?;
            }
            if let Some((line, asleep)) = &mut self.l.sleep {
                line.set(*asleep)?;
            }
        }
        Ok(())
    }

    /// Whether the driver is let go when the program ends.
    pub fn tune(&mut self, release_at_end: bool) {
        self.l.release_at_end = release_at_end;
    }

    pub fn release_at_end(&mut self) -> Result<(), HalError> {
        if self.l.release_at_end { self.release() } else { Ok(()) }
    }

    /// The last pulse was over at `at`.
    pub fn pulse_over(&mut self, at: Instant) {
        self.free_from = self.free_from.max(at.plus_nanos(self.l.dir_hold));
    }

    /// Turns DIR that way, if it has to be turned and may be. Returns when STEP may rise; `Err`: when to
    /// ask again.
    pub fn point(&mut self, up: bool, now: Instant) -> Result<Result<Instant, Instant>, HalError> {
        let level = self.level(up);
        if self.dir != Some(level) {
            if now < self.free_from {
                return Ok(Err(self.free_from));
            }
            let at = self.l.dir.set(level)?;
            self.dir = Some(level);
            self.settled_from = at.plus_nanos(self.l.dir_setup);
        }
        Ok(Ok(self.settled_from))
    }
}
