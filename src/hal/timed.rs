use std::time::Duration;

use super::{HalError, Level, PwmChannel};
use crate::board::PwmTiming;
use crate::units::{Instant, PulseWidth};

/// A PWM channel whose clock is not what its driver believes, or that counts in coarse steps: takes the
/// times that shall come out of the pin, and asks for those that make them.
///
/// ```
/// use std::time::Duration;
/// use lockstep::board::PwmDevice;
/// use lockstep::hal::{Backend, Clock, PwmChannel, SimBackend, TimedPwm};
/// use lockstep::units::PulseWidth;
///
/// // A clock that runs 7.2 % fast, as old kernels on a Raspberry Pi 4 had it.
/// let (period, timing) = PwmDevice::Other.timing(Duration::from_millis(20), 72_000.0).unwrap();
/// let mut sim = SimBackend::new(Clock::virtual_time());
/// let mut channel = TimedPwm::new(sim.open_pwm(&12.into(), "pan")?, timing);
/// channel.start(period, PulseWidth::from_micros(1500))?;
/// assert_eq!(sim.panel().pwm(12).unwrap().width, PulseWidth::from_micros(1608));
/// # Ok::<(), lockstep::hal::HalError>(())
/// ```
#[derive(Debug)]
pub struct TimedPwm<C> {
    channel: C,
    timing: PwmTiming,
}

impl<C: PwmChannel> TimedPwm<C> {
    /// A channel of a chip of that timing.
    pub fn new(channel: C, timing: PwmTiming) -> TimedPwm<C> {
        TimedPwm { channel, timing }
    }

    fn period(&self, period: Duration) -> Duration {
        let real = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.timing.asked(real))
    }

    fn width(&self, width: PulseWidth) -> PulseWidth {
        let asked = self.timing.asked(width.as_nanos().into());
        PulseWidth::from_nanos(u32::try_from(asked).unwrap_or(u32::MAX))
    }
}

impl<C: PwmChannel> PwmChannel for TimedPwm<C> {
    fn resolution(&self) -> Duration {
        let step = Duration::from_nanos(self.timing.step().round() as u64);
        self.channel.resolution().max(step)
    }

    fn start(&mut self, period: Duration, width: PulseWidth) -> Result<Instant, HalError> {
        self.channel.start(self.period(period), self.width(width))
    }

    fn prepare(&mut self, period: Duration, width: PulseWidth) -> Result<(), HalError> {
        self.channel.prepare(self.period(period), self.width(width))
    }

    fn enable(&mut self) -> Result<Instant, HalError> {
        self.channel.enable()
    }

    fn set_period(&mut self, period: Duration) -> Result<Instant, HalError> {
        self.channel.set_period(self.period(period))
    }

    fn set_width(&mut self, width: PulseWidth) -> Result<Instant, HalError> {
        self.channel.set_width(self.width(width))
    }

    fn level(&mut self) -> Option<Level> {
        self.channel.level()
    }

    fn disable(&mut self) -> Result<Instant, HalError> {
        self.channel.disable()
    }

    fn flush(&mut self, until: Instant) {
        self.channel.flush(until);
    }
}
