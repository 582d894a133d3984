use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::panel::Cell;
use crate::board::PwmOutput;
use crate::hal::{Clock, HalError, InputLine, Level, OutputLine, PwmChannel};
use crate::units::{Instant, PulseWidth};

/// The clock's own grain.
const RESOLUTION: Duration = Duration::from_nanos(1);

/// An output of the simulator. A virtual run sets it tens of millions of times: two atomics, one clock.
pub(super) struct SimOutput {
    gpio: u8,
    pin: Arc<Cell>,
    clock: Clock,
}

impl SimOutput {
    pub(super) fn new(gpio: u8, pin: Arc<Cell>, clock: Clock) -> SimOutput {
        SimOutput { gpio, pin, clock }
    }
}

impl OutputLine for SimOutput {
    #[inline]
    fn set(&mut self, level: Level) -> Result<Instant, HalError> {
        if self.pin.refuse.load(Ordering::Relaxed) {
            return Err(HalError::Refused { output: self.gpio.into() });
        }
        self.pin.set(level);
        Ok(self.clock.now())
    }

    #[inline]
    fn level(&self) -> Level {
        self.pin.level()
    }
}

/// A PWM channel of the simulator.
pub(super) struct SimPwm {
    output: PwmOutput,
    pin: Arc<Cell>,
    clock: Clock,
    /// What `enable` starts.
    prepared: Option<(Duration, PulseWidth)>,
}

impl SimPwm {
    pub(super) fn new(output: PwmOutput, pin: Arc<Cell>, clock: Clock) -> SimPwm {
        SimPwm { output, pin, clock, prepared: None }
    }

    fn check(&self, period: Option<Duration>, width: PulseWidth) -> Result<(), HalError> {
        let output = || self.output.clone();
        if self.pin.refuse.load(Ordering::Relaxed) {
            return Err(HalError::Refused { output: output() });
        }
        let Some(period) = period else {
            return Err(HalError::NotRunning { output: output() });
        };
        if u128::from(width.as_nanos()) > period.as_nanos() {
            return Err(HalError::PulseTooLong { output: output(), width, period });
        }
        Ok(())
    }
}

impl PwmChannel for SimPwm {
    fn resolution(&self) -> Duration {
        RESOLUTION
    }

    fn prepare(&mut self, period: Duration, width: PulseWidth) -> Result<(), HalError> {
        self.check(Some(period), width)?;
        if self.pin.wave().is_some_and(|wave| wave.is_running()) {
            return Err(HalError::AlreadyRunning { output: self.output.clone() });
        }
        self.prepared = Some((period, width));
        Ok(())
    }

    fn enable(&mut self) -> Result<Instant, HalError> {
        let Some((period, width)) = self.prepared else {
            return Err(HalError::NotRunning { output: self.output.clone() });
        };
        self.start(period, width)
    }

    fn set_period(&mut self, period: Duration) -> Result<Instant, HalError> {
        let width = self.pin.wave().and_then(|wave| wave.width());
        self.check(width.map(|_| period), width.unwrap_or(PulseWidth::ZERO))?;
        let now = self.clock.now();
        if let Some(mut wave) = self.pin.wave() {
            wave.set_period(now, period, &mut |_, _| ());
        }
        Ok(now)
    }

    fn start(&mut self, period: Duration, width: PulseWidth) -> Result<Instant, HalError> {
        self.check(Some(period), width)?;
        let now = self.clock.now();
        if let Some(mut wave) = self.pin.wave() {
            if wave.is_running() {
                return Err(HalError::AlreadyRunning { output: self.output.clone() });
            }
            wave.start(now, period, width, &mut |_, _| ());
        }
        Ok(now)
    }

    fn set_width(&mut self, width: PulseWidth) -> Result<Instant, HalError> {
        let period = self.pin.wave().and_then(|wave| wave.period());
        self.check(period, width)?;
        let now = self.clock.now();
        if let Some(mut wave) = self.pin.wave() {
            wave.set_width(now, width, &mut |_, _| ());
        }
        Ok(now)
    }

    fn level(&mut self) -> Option<Level> {
        // What comes out of a chip of its own, no pin of the header shows.
        if let PwmOutput::Channel { .. } = self.output {
            return None;
        }
        let now = self.clock.now();
        self.pin.wave().map(|mut wave| Level::from_bool(wave.is_high(now)))
    }

    fn disable(&mut self) -> Result<Instant, HalError> {
        if self.pin.refuse.load(Ordering::Relaxed) {
            return Err(HalError::Refused { output: self.output.clone() });
        }
        let now = self.clock.now();
        if let Some(mut wave) = self.pin.wave() {
            wave.disable(now, &mut |_, _| ());
        }
        Ok(now)
    }
}

/// An input of the simulator.
pub(super) struct SimInput {
    pin: Arc<Cell>,
}

impl SimInput {
    pub(super) fn new(pin: Arc<Cell>) -> SimInput {
        SimInput { pin }
    }
}

impl InputLine for SimInput {
    fn level(&mut self) -> Result<Level, HalError> {
        Ok(self.pin.level())
    }
}

impl Drop for SimInput {
    fn drop(&mut self) {
        self.pin.deafen();
    }
}
