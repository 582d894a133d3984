//! What the motors' loops drive: PWM channels, output lines, input lines, and the clock.
//!
//! The traits here are the whole interface between a motor and the world. Two back ends open lines
//! and channels behind them ([`Backend`]): the simulator ([`SimBackend`]) and, on Linux, the Raspberry
//! Pi's header through rppal ([`RppalBackend`]). Around any of them stand [`RecordedOutput`] and
//! [`RecordedPwm`], which hand every edge to a trace, and [`SharedLine`], a driver's enable line that
//! several axes need.

mod backend;
mod ending;
mod error;
mod identify;
#[cfg(target_os = "linux")]
mod left;
#[cfg(feature = "cli")]
mod pin;
mod record;
#[cfg(target_os = "linux")]
mod rppal;
mod shared;
mod sim;
mod supply;
mod timed;
mod waveform;

pub use backend::{Backend, OnEdge, OutputStart};
pub(crate) use ending::wait_until;
pub use ending::{PhaseWatch, change_signal, end_signal, end_signal_in_low};
pub use error::{Cause, HalError};
#[cfg(feature = "cli")]
pub(crate) use identify::identify;
pub use identify::identify_board;
#[cfg(target_os = "linux")]
pub use left::SignalEnd;
#[cfg(target_os = "linux")]
pub(crate) use left::{LONGEST_END, LeftSignal};
#[cfg(feature = "cli")]
pub(crate) use pin::{PinFunction, PinSeen};
pub use record::{EdgeSink, RecordedOutput, RecordedPwm};
#[cfg(target_os = "linux")]
pub use rppal::RppalBackend;
#[cfg(all(feature = "cli", target_os = "linux"))]
pub(crate) use rppal::look_at;
#[cfg(target_os = "linux")]
pub(crate) use rppal::pwm_channel;
pub use shared::SharedLine;
pub use sim::{SimBackend, SimPanel, SimPwmState};
pub use supply::{Supply, SysSupply};
pub use timed::TimedPwm;
pub use waveform::Waveform;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::units::{Instant, PulseWidth};

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(if self.is_high() { "high" } else { "low" })
    }
}

/// The level of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Ground.
    Low,
    /// The supply of the logic: 3.3 V on a Raspberry Pi.
    High,
}

impl Level {
    /// The other level.
    pub const fn opposite(self) -> Level {
        match self {
            Level::Low => Level::High,
            Level::High => Level::Low,
        }
    }

    /// Whether it is high.
    pub const fn is_high(self) -> bool {
        matches!(self, Level::High)
    }

    /// High for `true`.
    pub const fn from_bool(high: bool) -> Level {
        if high { Level::High } else { Level::Low }
    }
}

/// Where the instants come from: the machine's monotonic clock, or virtual time.
///
/// Cheap to clone; every clone of a virtual clock shows the same time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    Monotonic,
    Virtual(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's monotonic clock.
    pub fn monotonic() -> Clock {
        Clock(Source::Monotonic)
    }

    /// A clock that stands at zero until a run in virtual time moves it.
    pub fn virtual_time() -> Clock {
        Clock(Source::Virtual(Arc::new(AtomicU64::new(0))))
    }

    /// Now.
    #[inline]
    pub fn now(&self) -> Instant {
        match &self.0 {
            Source::Monotonic => crate::monotonic::now(),
            Source::Virtual(t) => Instant::from_nanos(t.load(Ordering::Relaxed)),
        }
    }

    /// Whether this is virtual time.
    pub fn is_virtual(&self) -> bool {
        matches!(self.0, Source::Virtual(_))
    }

    /// Moves virtual time to `now`. A monotonic clock cannot be set: the call does nothing there.
    pub(crate) fn set(&self, now: Instant) {
        if let Source::Virtual(t) = &self.0 {
            t.store(now.as_nanos(), Ordering::Relaxed);
        }
    }
}

/// A PWM channel: of the header's chip, or of any other that the kernel knows.
///
/// The signal is high first, then low, in every period. Dropping a channel never cuts a pulse: it
/// leaves a running signal as it is, so whoever owns the channel ends the signal first
/// ([`end_signal`], or the same steps one by one).
pub trait PwmChannel: Send {
    /// The coarsest tick that a period or a width is rounded to.
    fn resolution(&self) -> Duration;

    /// Starts the signal: period first, then width, then enable. Returns an instant at which it
    /// surely ran.
    ///
    /// # Errors
    ///
    /// The signal runs already, `width` is longer than `period`, or the back end refused. A signal
    /// that was off stays off.
    fn start(&mut self, period: Duration, width: PulseWidth) -> Result<Instant, HalError>;

    /// Sets up the signal that [`PwmChannel::enable`] starts, on a channel that has none. What does not
    /// change is not written again.
    ///
    /// # Errors
    ///
    /// The signal runs, `width` is longer than `period`, or the back end refused.
    fn prepare(&mut self, period: Duration, width: PulseWidth) -> Result<(), HalError>;

    /// Starts the signal that was set up, with one write and nothing else: whoever reads the clock
    /// before the call knows that it began between that and the instant that is returned.
    ///
    /// # Errors
    ///
    /// The signal runs already, none was set up, or the back end refused. A signal that was off stays
    /// off.
    fn enable(&mut self) -> Result<Instant, HalError>;

    /// Changes the period of the running signal; its width stays. A chip takes it at the end of the
    /// period or at once: the phase is not known any more.
    ///
    /// # Errors
    ///
    /// The signal does not run, its width is longer than `period`, or the back end refused; the signal
    /// goes on as it was.
    fn set_period(&mut self, period: Duration) -> Result<Instant, HalError>;

    /// Changes the width of the running signal, without touching period or phase.
    ///
    /// # Errors
    ///
    /// The signal does not run, `width` is longer than the period, or the back end refused; the signal
    /// goes on as it was.
    fn set_width(&mut self, width: PulseWidth) -> Result<Instant, HalError>;

    /// The level of the pin now, where it can be read.
    fn level(&mut self) -> Option<Level>;

    /// Ends the signal at once. Callers first write width 0 in a low phase and wait one period.
    ///
    /// # Errors
    ///
    /// The back end refused.
    fn disable(&mut self) -> Result<Instant, HalError>;

    /// Hands the edges up to and including `until` to whoever records them ([`RecordedPwm`]); nothing
    /// else happens. Edges of a hardware signal are worked out when the channel is used, so a last
    /// call at the end of a run completes the record.
    fn flush(&mut self, until: Instant) {
        let _ = until;
    }
}

/// A digital output.
pub trait OutputLine: Send {
    /// Sets the level. Returns an instant at which the edge had surely happened: a pulse timed from
    /// it is never shorter than meant.
    ///
    /// # Errors
    ///
    /// The back end refused.
    fn set(&mut self, level: Level) -> Result<Instant, HalError>;

    /// The level that was set last; before any, the one that the line was opened with or had.
    fn level(&self) -> Level;

    /// The level that the pin shows, read from the pin where that can be done; else
    /// [`OutputLine::level`].
    fn seen(&self) -> Level {
        self.level()
    }
}

/// A digital input. Its edges reach the motor's loop as `on_input`; this reads the level.
pub trait InputLine: Send {
    /// The level now.
    ///
    /// # Errors
    ///
    /// The back end refused, or it can no longer see edges on this line.
    fn level(&mut self) -> Result<Level, HalError>;
}

impl<T: PwmChannel + ?Sized> PwmChannel for Box<T> {
    fn resolution(&self) -> Duration {
        (**self).resolution()
    }
    fn start(&mut self, period: Duration, width: PulseWidth) -> Result<Instant, HalError> {
        (**self).start(period, width)
    }
    fn prepare(&mut self, period: Duration, width: PulseWidth) -> Result<(), HalError> {
        (**self).prepare(period, width)
    }
    fn enable(&mut self) -> Result<Instant, HalError> {
        (**self).enable()
    }
    fn set_period(&mut self, period: Duration) -> Result<Instant, HalError> {
        (**self).set_period(period)
    }
    fn set_width(&mut self, width: PulseWidth) -> Result<Instant, HalError> {
        (**self).set_width(width)
    }
    fn level(&mut self) -> Option<Level> {
        (**self).level()
    }
    fn disable(&mut self) -> Result<Instant, HalError> {
        (**self).disable()
    }
    fn flush(&mut self, until: Instant) {
        (**self).flush(until);
    }
}

impl<T: OutputLine + ?Sized> OutputLine for Box<T> {
    #[inline]
    fn set(&mut self, level: Level) -> Result<Instant, HalError> {
        (**self).set(level)
    }
    fn level(&self) -> Level {
        (**self).level()
    }
    fn seen(&self) -> Level {
        (**self).seen()
    }
}

/// An edge of an input line, with the time the kernel (or the simulator) saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InputEdge {
    /// The level after the edge.
    pub level: Level,
    /// When it happened.
    pub at: Instant,
    /// Its number on this line, where the back end counts: a gap says that edges were lost.
    pub number: Option<u32>,
}
