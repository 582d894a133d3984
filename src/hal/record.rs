use std::time::Duration;

use super::{HalError, Level, OutputLine, PwmChannel, Waveform};
use crate::units::{Instant, PulseWidth};

/// Takes the edges of one signal, in the order of time.
///
/// Any `FnMut(Instant, bool)` that can be sent to another thread is one. It is called from a motor's
/// loop: it must not block, allocate or fail.
pub trait EdgeSink: Send {
    /// The signal went high (`true`) or low at `at`, which is never before the last one.
    fn edge(&mut self, at: Instant, high: bool);
}

impl<F: FnMut(Instant, bool) + Send> EdgeSink for F {
    fn edge(&mut self, at: Instant, high: bool) {
        self(at, high);
    }
}

/// An output line that hands each change of its level to a trace.
///
/// The time of an edge is the one that the line's `set` returns. A `set` that changes nothing leaves
/// no edge.
#[derive(Debug)]
pub struct RecordedOutput<L, S> {
    line: L,
    sink: S,
}

impl<L: OutputLine, S: EdgeSink> RecordedOutput<L, S> {
    /// Records `line` from now on, which is `opened`; the level it has is the first entry.
    pub fn new(line: L, mut sink: S, opened: Instant) -> Self {
        sink.edge(opened, line.level().is_high());
        RecordedOutput { line, sink }
    }
}

impl<L: OutputLine, S: EdgeSink> OutputLine for RecordedOutput<L, S> {
    #[inline]
    fn set(&mut self, level: Level) -> Result<Instant, HalError> {
        let before = self.line.level();
        let at = self.line.set(level)?;
        if before != level {
            self.sink.edge(at, level.is_high());
        }
        Ok(at)
    }

    fn level(&self) -> Level {
        self.line.level()
    }

    fn seen(&self) -> Level {
        self.line.seen()
    }
}

/// A PWM channel that hands its pulses to a trace.
///
/// Nothing tells a program when a PWM channel's edges happen, so they are worked out ([`Waveform`])
/// from what was written and when: on the simulator that is the signal itself, on hardware it is the
/// signal as commanded, whose phase and period are a little off. The edges of the time that has passed
/// are handed over with the next call; [`PwmChannel::flush`] brings them up to date.
#[derive(Debug)]
pub struct RecordedPwm<L, S> {
    channel: L,
    wave: Waveform,
    /// What `enable` starts.
    prepared: (Duration, PulseWidth),
    sink: S,
}

impl<L: PwmChannel, S: EdgeSink> RecordedPwm<L, S> {
    /// Records `channel`, which has no signal yet, from now on, which is `opened`.
    pub fn new(channel: L, mut sink: S, opened: Instant) -> Self {
        sink.edge(opened, false);
        let prepared = (Duration::ZERO, PulseWidth::ZERO);
        RecordedPwm { channel, wave: Waveform::default(), prepared, sink }
    }
}

impl<L: PwmChannel, S: EdgeSink> PwmChannel for RecordedPwm<L, S> {
    fn resolution(&self) -> Duration {
        self.channel.resolution()
    }

    fn start(&mut self, period: Duration, width: PulseWidth) -> Result<Instant, HalError> {
        let at = self.channel.start(period, width)?;
        let sink = &mut self.sink;
        self.wave.start(at, period, width, &mut |at, high| sink.edge(at, high));
        Ok(at)
    }

    fn prepare(&mut self, period: Duration, width: PulseWidth) -> Result<(), HalError> {
        self.channel.prepare(period, width)?;
        self.prepared = (period, width);
        Ok(())
    }

    fn enable(&mut self) -> Result<Instant, HalError> {
        let at = self.channel.enable()?;
        let (sink, (period, width)) = (&mut self.sink, self.prepared);
        self.wave.start(at, period, width, &mut |at, high| sink.edge(at, high));
        Ok(at)
    }

    fn set_period(&mut self, period: Duration) -> Result<Instant, HalError> {
        let at = self.channel.set_period(period)?;
        let sink = &mut self.sink;
        self.wave.set_period(at, period, &mut |at, high| sink.edge(at, high));
        Ok(at)
    }

    fn set_width(&mut self, width: PulseWidth) -> Result<Instant, HalError> {
        let at = self.channel.set_width(width)?;
        let sink = &mut self.sink;
        self.wave.set_width(at, width, &mut |at, high| sink.edge(at, high));
        Ok(at)
    }

    fn level(&mut self) -> Option<Level> {
        self.channel.level()
    }

    fn disable(&mut self) -> Result<Instant, HalError> {
        let at = self.channel.disable()?;
        let sink = &mut self.sink;
        self.wave.disable(at, &mut |at, high| sink.edge(at, high));
        Ok(at)
    }

    fn flush(&mut self, until: Instant) {
        let sink = &mut self.sink;
        self.wave.advance(until, &mut |at, high| sink.edge(at, high));
        self.channel.flush(until);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::hal::{Backend, Clock, OutputStart, SimBackend};

    type Edges = Arc<Mutex<Vec<(u64, bool)>>>;

    fn sink() -> (Edges, impl EdgeSink) {
        let edges = Edges::default();
        let into = edges.clone();
        (edges, move |at: Instant, high| into.lock().unwrap().push((at.as_nanos(), high)))
    }

    #[test]
    fn an_output_records_changes_alone() {
        let clock = Clock::virtual_time();
        let mut sim = SimBackend::new(clock.clone());
        let line = sim.open_output(17, OutputStart::Level(Level::Low), "x.step").unwrap();
        let (edges, sink) = sink();
        let mut line = RecordedOutput::new(line, sink, clock.now());
        for (at, level) in [(5, Level::High), (6, Level::High), (9, Level::Low)] {
            clock.set(Instant::from_nanos(at));
            line.set(level).unwrap();
        }
        assert_eq!(*edges.lock().unwrap(), [(0, false), (5, true), (9, false)]);
        assert_eq!(line.level(), Level::Low);
    }

    #[test]
    fn a_refused_write_leaves_no_edge() {
        let clock = Clock::virtual_time();
        let mut sim = SimBackend::new(clock.clone());
        let panel = sim.panel();
        let line = sim.open_output(17, OutputStart::Level(Level::Low), "x.step").unwrap();
        let (edges, sink) = sink();
        let mut line = RecordedOutput::new(line, sink, clock.now());
        panel.refuse(17, true);
        assert_eq!(line.set(Level::High), Err(HalError::Refused { output: 17.into() }));
        assert_eq!(*edges.lock().unwrap(), [(0, false)]);
    }

    #[test]
    fn a_pwm_channel_records_its_pulses() {
        let clock = Clock::virtual_time();
        let mut sim = SimBackend::new(clock.clone());
        let (edges, sink) = sink();
        let channel = sim.open_pwm(&12.into(), "pan").unwrap();
        let mut channel = RecordedPwm::new(channel, sink, clock.now());
        let us = 1000;
        clock.set(Instant::from_nanos(5 * us));
        channel.start(Duration::from_millis(20), PulseWidth::from_micros(1500)).unwrap();
        clock.set(Instant::from_nanos(100 * us));
        channel.set_width(PulseWidth::from_micros(1600)).unwrap();
        channel.flush(Instant::from_nanos(30_000 * us));
        assert_eq!(
            *edges.lock().unwrap(),
            [
                (0, false),
                (5 * us, true),
                (1505 * us, false),
                (20_005 * us, true),
                (21_605 * us, false)
            ]
        );
    }
}
