use super::step_output::{StepOutput, Turn};
use crate::hal::{HalError, Level, OutputLine, SharedLine};
use crate::units::Instant;

/// The lines of a STEP/DIR driver. Times are in nanoseconds.
pub struct PulsesSetup {
    /// STEP.
    pub step: Box<dyn OutputLine>,
    /// DIR.
    pub dir: Box<dyn OutputLine>,
    /// The driver's enable line, perhaps shared with other axes.
    pub enable: Option<SharedLine>,
    /// The driver's sleep line and the level at which it sleeps.
    pub sleep: Option<(Box<dyn OutputLine>, Level)>,
    /// Lines that were set when they were opened, and are never written: microsteps, reset.
    pub held: Vec<Box<dyn OutputLine>>,
    /// STEP high, at least.
    pub step_high: u64,
    /// STEP low, at least.
    pub step_low: u64,
    /// DIR stable before STEP rises.
    pub dir_setup: u64,
    /// DIR stable after STEP falls.
    pub dir_hold: u64,
    /// From enable, or from leaving its sleep, to the first step.
    pub wake: u64,
    /// The level of DIR for a step up.
    pub up: Level,
}

/// Steps as pulses on STEP, with their direction on DIR.
pub struct Pulses {
    s: PulsesSetup,
    /// STEP is high, and may fall from this instant on.
    until: Option<Instant>,
    /// STEP may not rise before this.
    rise_from: Instant,
    /// DIR may not change before this.
    dir_free_from: Instant,
    /// The level DIR was last set to, and since when it is settled.
    dir: Option<Level>,
    dir_settled_from: Instant,
}

impl Pulses {
    /// STEP is low, the driver as its enable line was opened.
    pub fn new(setup: PulsesSetup) -> Pulses {
        Pulses {
            s: setup,
            until: None,
            rise_from: Instant::ZERO,
            dir_free_from: Instant::ZERO,
            dir: None,
            dir_settled_from: Instant::ZERO,
        }
    }
}

impl StepOutput for Pulses {
    fn energise(&mut self) -> Result<Instant, HalError> {
        let mut since = None;
        if let Some((line, asleep)) = &mut self.s.sleep
            && line.level() == *asleep
        {
            since = Some(line.set(asleep.opposite())?);
        }
        if let Some(line) = &mut self.s.enable {
            since = since.max(Some(line.acquire()?));
        }
        Ok(since.map_or(Instant::ZERO, |at| at.plus_nanos(self.s.wake)))
    }

    fn release(&mut self) -> Result<(), HalError> {
        self.s.enable.as_mut().map_or(Ok(()), SharedLine::release)?;
        if let Some((line, asleep)) = &mut self.s.sleep {
            line.set(*asleep)?;
        }
        Ok(())
    }

    #[inline]
    fn end_pulse(&mut self, now: Instant) -> Result<Option<Instant>, HalError> {
        let Some(until) = self.until else { return Ok(None) };
        if now < until {
            return Ok(Some(until));
        }
        let fell = self.s.step.set(Level::Low)?;
        self.until = None;
        self.rise_from = fell.plus_nanos(self.s.step_low);
        self.dir_free_from = fell.plus_nanos(self.s.dir_hold);
        Ok(None)
    }

    fn in_pulse(&self) -> bool {
        self.until.is_some()
    }

    #[inline]
    fn turn(&mut self, up: bool, now: Instant) -> Result<Turn, HalError> {
        let level = if up { self.s.up } else { self.s.up.opposite() };
        if self.dir == Some(level) {
            return Ok(Turn::Done);
        }
        if now < self.dir_free_from {
            return Ok(Turn::NotBefore(self.dir_free_from));
        }
        let at = self.s.dir.set(level)?;
        self.dir = Some(level);
        self.dir_settled_from = at.plus_nanos(self.s.dir_setup);
        Ok(Turn::Settles(self.dir_settled_from))
    }

    #[inline]
    fn ready_from(&self) -> Instant {
        self.rise_from.max(self.dir_settled_from)
    }

    #[inline]
    fn step(&mut self, _up: bool) -> Result<Instant, HalError> {
        let rose = self.s.step.set(Level::High)?;
        self.until = Some(rose.plus_nanos(self.s.step_high));
        Ok(rose)
    }

    fn abandon(&mut self) {
        self.until = None;
    }

    fn make_safe(&mut self) {
        self.until = None;
        if self.s.step.level().is_high() {
            // The panic came within the pulse: give it its full width, then end it.
            std::thread::sleep(std::time::Duration::from_nanos(self.s.step_high));
            let _ = self.s.step.set(Level::Low);
        }
    }
}
