use std::time::Duration;

use crate::units::{Instant, PulseWidth};

/// The signal of a hardware PWM channel, as commanded.
///
/// The phase counts from the moment the signal is enabled. Every period is high first, then low. A
/// new width or period is taken at the start of the next period, so no pulse changes once it has begun.
/// Whoever needs the edges asks for them: they are worked out, never waited for.
///
/// ```
/// use std::time::Duration;
/// use lockstep::hal::Waveform;
/// use lockstep::units::{Instant, PulseWidth};
///
/// let mut wave = Waveform::default();
/// let mut edges = Vec::new();
/// let mut see = |at: Instant, high| edges.push((at.as_nanos(), high));
/// wave.start(Instant::ZERO, Duration::from_nanos(100), PulseWidth::from_nanos(30), &mut see);
/// wave.set_width(Instant::from_nanos(10), PulseWidth::from_nanos(50), &mut see);
/// wave.advance(Instant::from_nanos(160), &mut see);
/// assert_eq!(edges, [(0, true), (30, false), (100, true), (150, false)]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Waveform {
    run: Option<Run>,
}

#[derive(Clone, Debug)]
struct Run {
    period: u64,
    /// The length of the periods after the current one.
    next_period: u64,
    /// When the current period began.
    start: u64,
    /// The width of the current period's pulse.
    width: u64,
    /// The width from the next period on.
    next: u64,
    high: bool,
}

impl Waveform {
    /// Begins a signal at `at`. One that runs ends there.
    pub fn start(
        &mut self,
        at: Instant,
        period: Duration,
        width: PulseWidth,
        edge: &mut impl FnMut(Instant, bool),
    ) {
        self.disable(at, edge);
        let width = u64::from(width.as_nanos());
        // A period of zero would never end.
        let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX).max(1);
        let high = width > 0;
        if high {
            edge(at, true);
        }
        let (start, next, next_period) = (at.as_nanos(), width, period);
        self.run = Some(Run { period, next_period, start, width, next, high });
    }

    /// Has the periods be that long from the first that begins after `at`.
    pub fn set_period(
        &mut self,
        at: Instant,
        period: Duration,
        edge: &mut impl FnMut(Instant, bool),
    ) {
        self.advance(at, edge);
        if let Some(run) = &mut self.run {
            run.next_period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX).max(1);
        }
    }

    /// Has the pulses be `width` long from the first period that begins after `at`.
    pub fn set_width(
        &mut self,
        at: Instant,
        width: PulseWidth,
        edge: &mut impl FnMut(Instant, bool),
    ) {
        self.advance(at, edge);
        if let Some(run) = &mut self.run {
            run.next = u64::from(width.as_nanos());
        }
    }

    /// Ends the signal at `at`: low from there, even in the middle of a pulse.
    pub fn disable(&mut self, at: Instant, edge: &mut impl FnMut(Instant, bool)) {
        self.advance(at, edge);
        if self.run.take().is_some_and(|run| run.high) {
            edge(at, false);
        }
    }

    /// Works out the edges up to and including `until`, each once, in their order.
    pub fn advance(&mut self, until: Instant, edge: &mut impl FnMut(Instant, bool)) {
        let Some(run) = &mut self.run else { return };
        let until = until.as_nanos();
        loop {
            if run.high && run.width < run.period {
                let fall = run.start.saturating_add(run.width);
                if fall > until {
                    return;
                }
                run.high = false;
                edge(Instant::from_nanos(fall), false);
            }
            let Some(next) = run.start.checked_add(run.period).filter(|&next| next <= until) else {
                return;
            };
            run.start = next;
            run.width = run.next;
            run.period = run.next_period;
            let high = run.width > 0;
            if high != run.high {
                run.high = high;
                edge(Instant::from_nanos(next), high);
            }
        }
    }

    /// Whether the signal is high at `at`, which lies at or after the last instant asked for.
    pub fn is_high(&mut self, at: Instant) -> bool {
        self.advance(at, &mut |_, _| ());
        self.run.as_ref().is_some_and(|run| run.high)
    }

    /// Whether there is a signal.
    pub fn is_running(&self) -> bool {
        self.run.is_some()
    }

    /// The period that was asked for last, while there is a signal.
    pub fn period(&self) -> Option<Duration> {
        self.run.as_ref().map(|run| Duration::from_nanos(run.next_period))
    }

    /// The width that was asked for last, while there is a signal.
    pub fn width(&self) -> Option<PulseWidth> {
        self.run.as_ref().map(|r| PulseWidth::from_nanos(u32::try_from(r.next).unwrap_or(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    fn width(nanos: u32) -> PulseWidth {
        PulseWidth::from_nanos(nanos)
    }

    #[test]
    fn width_zero_ends_the_pulses_and_full_width_has_no_gaps() {
        let mut wave = Waveform::default();
        let mut edges = Vec::new();
        let mut see = |at: Instant, high| edges.push((at.as_nanos(), high));
        wave.start(at(1000), Duration::from_nanos(100), width(40), &mut see);
        wave.set_width(at(1020), width(0), &mut see);
        wave.set_width(at(1250), width(100), &mut see);
        wave.set_width(at(1450), width(0), &mut see);
        wave.disable(at(1700), &mut see);
        wave.advance(at(5000), &mut see);
        assert_eq!(edges, [(1000, true), (1040, false), (1300, true), (1500, false)]);
        assert!(!wave.is_running());
    }

    #[test]
    fn disabling_in_a_pulse_cuts_it_there() {
        let mut wave = Waveform::default();
        let mut edges = Vec::new();
        let mut see = |at: Instant, high| edges.push((at.as_nanos(), high));
        wave.start(at(0), Duration::from_nanos(100), width(40), &mut see);
        assert!(wave.is_high(at(39)));
        wave.disable(at(39), &mut see);
        assert_eq!(edges, [(0, true), (39, false)]);
    }

    #[test]
    fn a_new_period_waits_for_the_end_of_the_present_one() {
        let mut wave = Waveform::default();
        let mut edges = Vec::new();
        let mut see = |at: Instant, high| edges.push((at.as_nanos(), high));
        wave.start(at(0), Duration::from_nanos(100), width(10), &mut see);
        wave.set_period(at(20), Duration::from_nanos(30), &mut see);
        wave.set_period(at(131), Duration::from_nanos(200), &mut see);
        wave.advance(at(400), &mut see);
        let rises: Vec<u64> = edges.iter().filter(|e| e.1).map(|e| e.0).collect();
        assert_eq!(rises, [0, 100, 130, 160, 360]);
        assert!(edges.chunks_exact(2).all(|p| p[1].0 - p[0].0 == 10));
    }

    proptest! {
        /// However the calls fall, every pulse has a width that was asked for, every period starts
        /// on the grid, and edges alternate in time.
        #[test]
        fn pulses_are_whole(
            period in 2u64..1000,
            first in 1u32..500,
            calls in prop::collection::vec((0u64..3000, 0u32..1000), 0..40),
        ) {
            let first = first.min(period as u32 - 1).max(1);
            let mut asked = vec![u64::from(first)];
            let mut wave = Waveform::default();
            let mut edges: Vec<(u64, bool)> = Vec::new();
            let mut see = |at: Instant, high| edges.push((at.as_nanos(), high));
            wave.start(at(7), Duration::from_nanos(period), width(first), &mut see);
            let mut now = 7;
            for (wait, new) in calls {
                now += wait;
                let new = new % period as u32;
                asked.push(u64::from(new));
                wave.set_width(at(now), width(new), &mut see);
                wave.advance(at(now), &mut see);
            }
            let end = now + 10 * period;
            prop_assert_eq!(wave.clone().is_high(at(end)), {
                wave.advance(at(end), &mut see);
                edges.last().is_some_and(|e| e.1)
            });
            for pair in edges.windows(2) {
                prop_assert!(pair[0].0 < pair[1].0 && pair[0].1 != pair[1].1);
            }
            for pulse in edges.chunks_exact(2) {
                prop_assert!(pulse[0].1);
                prop_assert_eq!((pulse[0].0 - 7) % period, 0);
                prop_assert!(asked.contains(&(pulse[1].0 - pulse[0].0)));
            }
        }
    }
}
