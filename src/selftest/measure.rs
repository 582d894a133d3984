//! A signal's edges, and what can be told from them.

use std::time::Duration;

use crate::units::Instant;

/// Times that were seen: the one in the middle, the least and the most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spread {
    /// As many were shorter as were longer.
    pub median: Duration,
    /// The shortest.
    pub least: Duration,
    /// The longest.
    pub most: Duration,
}

impl Spread {
    fn of(mut nanos: Vec<u64>) -> Option<Spread> {
        nanos.sort_unstable();
        let at = |i: usize| nanos.get(i).copied().map(Duration::from_nanos);
        let (least, most) = (at(0)?, at(nanos.len().checked_sub(1)?)?);
        Some(Spread { median: at(nanos.len() / 2)?, least, most })
    }

    /// From the shortest to the longest.
    pub fn jitter(&self) -> Duration {
        self.most - self.least
    }
}

/// Pulses as they were seen at a pin: when each rose, and when it fell.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Pulses(Vec<(Instant, Instant)>);

impl Pulses {
    pub fn push(&mut self, rise: Instant, fall: Instant) {
        self.0.push((rise, fall));
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.0.len() as u64
    }

    pub fn periods(&self) -> Option<Spread> {
        Spread::of(self.0.windows(2).map(|w| w[1].0.nanos_since(w[0].0)).collect())
    }

    pub fn widths(&self) -> Option<Spread> {
        Spread::of(self.0.iter().map(|(rise, fall)| fall.nanos_since(*rise)).collect())
    }
}

/// Makes pulses of levels that are looked at one after another.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// The level at the last look; `None` before the first.
    high: Option<bool>,
    /// When it rose, if that was seen.
    rose: Option<Instant>,
    pub pulses: Pulses,
}

impl Watch {
    /// A look at the pin; says whether a pulse ended with it.
    pub fn look(&mut self, high: bool, at: Instant) -> bool {
        let before = self.high.replace(high);
        match (before, high) {
            (Some(false), true) => self.rose = Some(at),
            (Some(true), false) => {
                if let Some(rose) = self.rose.take() {
                    self.pulses.push(rose, at);
                    return true;
                }
            }
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(t: u64) -> Instant {
        Instant::from_nanos(t * 1000)
    }

    #[test]
    fn pulses_that_were_seen_whole() {
        let mut watch = Watch::default();
        // It is high at first: since when, nobody saw.
        for (t, high) in [(0, true), (4, false), (20, true), (21, true), (35, false), (41, true)] {
            assert_eq!(watch.look(high, us(t)), t == 35);
        }
        watch.look(false, us(55));
        assert_eq!(watch.pulses.count(), 2);
        let period = watch.pulses.periods().unwrap();
        assert_eq!((period.median, period.jitter()), (Duration::from_micros(21), Duration::ZERO));
        let width = watch.pulses.widths().unwrap();
        assert_eq!(
            (width.least, width.most),
            (Duration::from_micros(14), Duration::from_micros(15))
        );
        assert_eq!(width.jitter(), Duration::from_micros(1));
    }

    #[test]
    fn nothing_seen_tells_nothing() {
        assert_eq!((Pulses::default().periods(), Pulses::default().widths()), (None, None));
        let mut one = Pulses::default();
        one.push(us(1), us(2));
        assert_eq!(one.periods(), None);
        assert!(one.widths().is_some());
    }
}
