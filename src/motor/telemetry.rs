use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};

use crate::trace::{Recorder, SignalId};
use crate::units::Instant;

/// Buckets below 16 ns are exact; above, each power of two has 8 of them, so a figure is at most
/// 12.5 % above what was seen.
const BUCKETS: usize = 16 + 60 * 8;

/// How late a motor's edges were against its plan: a histogram in fixed atomics.
///
/// One thread (the motor's loop) records; any thread reads, without disturbing it.
pub struct Lateness {
    buckets: [AtomicU64; BUCKETS],
    count: AtomicU64,
    max: AtomicU64,
    delayed_by_dir: AtomicU64,
}

/// A summary of a motor's lateness, nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LatenessSummary {
    /// How many edges were counted.
    pub count: u64,
    /// Half of the edges were no later than this.
    pub p50: u64,
    /// 99 % of the edges were no later than this.
    pub p99: u64,
    /// 99.9 % of the edges were no later than this.
    pub p999: u64,
    /// The latest of all, exact.
    pub max: u64,
    /// Steps that had to wait for the driver's DIR times.
    pub delayed_by_dir: u64,
}

fn bucket(nanos: u64) -> usize {
    if nanos < 16 {
        return nanos as usize;
    }
    let power = 63 - nanos.leading_zeros() as usize;
    16 + (power - 4) * 8 + ((nanos >> (power - 3)) & 7) as usize
}

/// The largest value that falls into the bucket.
fn upper(bucket: usize) -> u64 {
    if bucket < 16 {
        return bucket as u64;
    }
    let (power, part) = ((bucket - 16) / 8 + 4, (bucket - 16) as u64 % 8);
    let width = 1u64 << (power - 3);
    (1u64 << power) + part * width + (width - 1)
}

impl Default for Lateness {
    fn default() -> Self {
        Lateness {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            count: AtomicU64::new(0),
            max: AtomicU64::new(0),
            delayed_by_dir: AtomicU64::new(0),
        }
    }
}

/// One writer: a load and a store serve, and cost a fraction of a locked addition.
#[inline]
fn bump(cell: &AtomicU64) {
    cell.store(cell.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

impl Lateness {
    /// Counts an edge that came `nanos` after it was due. Only the motor's loop calls this.
    #[inline]
    pub(crate) fn record(&self, nanos: u64) {
        bump(&self.buckets[bucket(nanos)]);
        bump(&self.count);
        if nanos > self.max.load(Ordering::Relaxed) {
            self.max.store(nanos, Ordering::Relaxed);
        }
    }

    /// Counts a step that had to wait for the driver's DIR times.
    pub(crate) fn record_dir_delay(&self) {
        bump(&self.delayed_by_dir);
    }

    /// What has been counted so far.
    pub fn summary(&self) -> LatenessSummary {
        let counts: Vec<u64> = self.buckets.iter().map(|b| b.load(Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let max = self.max.load(Ordering::Relaxed);
        let quantile = |per_mille: u64| {
            let rank = (total * per_mille).div_ceil(1000);
            let mut seen = 0;
            for (i, n) in counts.iter().enumerate() {
                seen += n;
                if seen >= rank && seen > 0 {
                    return upper(i).min(max);
                }
            }
            0
        };
        LatenessSummary {
            count: total,
            p50: quantile(500),
            p99: quantile(990),
            p999: quantile(999),
            max,
            delayed_by_dir: self.delayed_by_dir.load(Ordering::Relaxed),
        }
    }
}

/// What a motor's loop shows the world while it runs: atomics that anyone may read.
#[derive(Default)]
pub struct Telemetry {
    /// How late its edges were.
    pub lateness: Lateness,
    /// By how much the pulses that a servo's loop times itself were too long.
    pub jitter: Lateness,
    position: AtomicU64,
    steps: AtomicI64,
    /// 0: it has none that anybody knows.
    phase: AtomicU8,
    traced: Option<TracedLateness>,
}

/// The stretch of time of which a trace keeps the greatest lateness, nanoseconds.
const TRACED_EACH: u64 = 10_000_000;

/// The lateness as a trace has it: a record where a stretch of 10 ms begins, and for each edge in it that is
/// later than those before. So every maximum is in the trace, at a few records a stretch instead of one an edge.
struct TracedLateness {
    recorder: Recorder,
    signal: SignalId,
    /// When the stretch ends, and the greatest lateness in it so far.
    until: AtomicU64,
    greatest: AtomicU64,
}

impl TracedLateness {
    #[inline]
    fn record(&self, nanos: u64, at: Instant) {
        let begins = at.as_nanos() >= self.until.load(Ordering::Relaxed);
        if !begins && nanos <= self.greatest.load(Ordering::Relaxed) {
            return;
        }
        if begins {
            self.until.store(at.as_nanos().saturating_add(TRACED_EACH), Ordering::Relaxed);
        }
        self.greatest.store(nanos, Ordering::Relaxed);
        self.recorder.real(self.signal, at, nanos as f64 / 1e3);
    }
}

impl Telemetry {
    /// What also writes the lateness into a trace, in us.
    pub(crate) fn traced(recorder: Recorder, signal: SignalId) -> Telemetry {
        let (until, greatest) = (AtomicU64::new(0), AtomicU64::new(0));
        let traced = Some(TracedLateness { recorder, signal, until, greatest });
        Telemetry { traced, ..Telemetry::default() }
    }

    /// Counts an edge that came at that time, `nanos` after it was due. Only the motor's loop calls this.
    #[inline]
    pub(crate) fn late(&self, nanos: u64, at: Instant) {
        self.lateness.record(nanos);
        if let Some(traced) = &self.traced {
            traced.record(nanos, at);
        }
    }

    #[inline]
    pub(crate) fn set_steps(&self, steps: i64) {
        self.steps.store(steps, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn set_phase(&self, phase: Option<u8>) {
        if let Some(phase) = phase {
            self.phase.store(phase, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn set_position(&self, position: f64) {
        self.position.store(position.to_bits(), Ordering::Relaxed);
    }

    /// Steps emitted, as a position on the axis' grid: the count at position 0 is 0.
    pub fn steps(&self) -> i64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// The phase of a motor whose coils are switched one by one: those that are on in it, the first in the
    /// order in which they pull the lowest bit. Also while they are let go.
    pub fn phase(&self) -> Option<u8> {
        Some(self.phase.load(Ordering::Relaxed)).filter(|&phase| phase != 0)
    }

    /// A servo's commanded angle, in degrees.
    pub fn position(&self) -> f64 {
        f64::from_bits(self.position.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{SignalKind, TraceBuilder, Value};
    use proptest::prelude::*;

    #[test]
    fn a_trace_has_the_first_edge_of_a_stretch_and_each_later_one() {
        let at = |us: u64| Instant::from_nanos(us * 1_000);
        let mut builder = TraceBuilder::new(at(0));
        let signal = builder.add("x", "lateness", SignalKind::Real);
        let (recorder, trace) = builder.direct();
        let telemetry = Telemetry::traced(recorder, signal);
        for (when, late) in [(100, 5), (200, 4), (300, 9), (9_000, 9), (10_100, 2), (10_200, 3)] {
            telemetry.late(late * 1_000, at(when));
        }
        let recording = trace.finish();
        let records: Vec<_> = recording.records(signal).collect();
        let wanted = [(100, 5.0), (300, 9.0), (10_100, 2.0), (10_200, 3.0)];
        assert_eq!(records, wanted.map(|(when, late)| (at(when), Value::Real(late))));
        assert_eq!(telemetry.lateness.summary().count, 6);
    }

    #[test]
    fn an_empty_histogram_says_zero() {
        assert_eq!(Lateness::default().summary(), LatenessSummary::default());
    }

    proptest! {
        #[test]
        fn buckets_hold_what_falls_into_them(v in 0u64..u64::MAX) {
            let b = bucket(v);
            prop_assert!(b < BUCKETS);
            prop_assert!(upper(b) >= v);
            prop_assert!(b == 0 || upper(b - 1) < v);
        }

        #[test]
        fn quantiles_are_close_above(mut v in prop::collection::vec(0u64..10_000_000, 1..300)) {
            let l = Lateness::default();
            v.iter().for_each(|&n| l.record(n));
            v.sort_unstable();
            let s = l.summary();
            let exact = v[(v.len() * 500).div_ceil(1000) - 1];
            prop_assert!(s.p50 >= exact && s.p50 as f64 <= exact as f64 * 1.125 + 1.0);
            prop_assert_eq!(s.max, v[v.len() - 1]);
            prop_assert_eq!(s.count as usize, v.len());
        }
    }
}
