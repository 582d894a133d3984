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
    /// The driver is let go once the motor has been at rest for this long.
    pub release_after: Option<u64>,
}

/// What is known of them.
pub(super) struct Lines {
    l: DriverLines,
    dir: Option<Level>,
    settled_from: Instant,
    free_from: Instant,
    enabled: bool,
    awake_from: Instant,
    /// Told to be powered also at rest, until it is told to let go.
    wanted: bool,
    rests_since: Instant,
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
            wanted: false,
            rests_since: Instant::ZERO,
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

    /// Energises the driver for as long as it is not released.
    pub fn switch_on(&mut self) -> Result<(), HalError> {
        self.wanted = true;
        self.acquire().map(|_| ())
    }

    /// The motor is part of a move.
    pub fn is_busy(&mut self, now: Instant) {
        self.rests_since = now;
    }

    /// The motor is at rest: lets the driver go if it is time. Says whether it did, and when to ask again.
    pub fn rest(&mut self, now: Instant) -> Result<(bool, Option<Instant>), HalError> {
        let after = self.l.release_after.filter(|_| self.enabled && !self.wanted);
        let Some(after) = after.filter(|_| self.l.may_release) else { return Ok((false, None)) };
        let at = self.rests_since.plus_nanos(after);
        if now < at {
            return Ok((false, Some(at)));
        }
        Ok((self.release()?, None))
    }

    /// Lets the driver go, if that is allowed. Says whether it did.
    pub fn release(&mut self) -> Result<bool, HalError> {
        self.wanted = false;
        let released = self.l.may_release && self.enabled;
        if self.l.may_release && self.enabled {
            self.enabled = false;
            if let Some(line) = &mut self.l.enable {
                line.release()?;
            }
            if let Some((line, asleep)) = &mut self.l.sleep {
                line.set(*asleep)?;
            }
        }
        Ok(released)
    }

    /// Whether the driver is let go when the program ends.
    pub fn tune(&mut self, release_at_end: bool) {
        self.l.release_at_end = release_at_end;
    }

    pub fn release_at_end(&mut self) -> Result<bool, HalError> {
        if self.l.release_at_end { self.release() } else { Ok(false) }
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
