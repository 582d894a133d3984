//! How late a thread comes that waits as a motor's loop does, without a motor.

use std::io;
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;

use super::scheduling;
use super::wait::PreciseWait;
use crate::hal::Clock;
use crate::motor::{Lateness, LatenessSummary};
use crate::units::Instant;

/// The width of the pulses that are waited out, nanoseconds: what a DRV8825 asks for, rounded up.
const PULSE_NANOS: u64 = 2_000;

/// How much longer than asked for the threads may take until they count as lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// What [`probe_lateness`] saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Probe {
    /// How late the steps came: of several threads, the worst of each figure.
    pub seen: LatenessSummary,
    /// Whether every thread had real-time scheduling.
    pub realtime: bool,
}

/// Has `threads` threads make `rate` steps a second each, for as long as `duration`, without an output:
/// they wait for each edge as a motor's loop does, with the share `spin` of the time, and catch up as one
/// does.
///
/// # Errors
///
/// The system gave no thread, or one did not come back.
pub(crate) fn probe_lateness(
    rate: u32,
    duration: Duration,
    threads: usize,
    spin: f64,
) -> io::Result<Probe> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (done, results) = bounded(threads);
    for number in 0..threads {
        let done = done.clone();
        let work = move || {
            let realtime = scheduling::realtime(scheduling::PRIORITY).is_ok();
            scheduling::exact_timers();
            let wait = PreciseWait::new(threads >= cores, spin);
            let _ = done.try_send((step(rate, duration, wait), realtime));
        };
        thread::Builder::new().name(format!("lateness-{number}")).spawn(work)?;
    }
    let until = std::time::Instant::now() + duration + PATIENCE;
    let mut probe = Probe { seen: LatenessSummary::default(), realtime: true };
    for _ in 0..threads {
        let (seen, realtime) = results
            .recv_deadline(until)
            .map_err(|_| io::Error::other("a thread of the lateness test did not come back"))?;
        let all = &mut probe.seen;
        all.count += seen.count;
        all.p50 = all.p50.max(seen.p50);
        all.p99 = all.p99.max(seen.p99);
        all.p999 = all.p999.max(seen.p999);
        all.max = all.max.max(seen.max);
        probe.realtime &= realtime;
    }
    Ok(probe)
}

fn step(rate: u32, duration: Duration, mut wait: PreciseWait) -> LatenessSummary {
    let interval = 1_000_000_000 / u64::from(rate.max(1));
    // The law of late loops: no closer than at 1.25 times the speed.
    let least = interval * 4 / 5;
    let clock = Clock::monotonic();
    let lateness = Lateness::default();
    let begin = clock.now();
    let mut last = Instant::ZERO;
    for number in 1.. {
        let due = begin.plus_nanos(number * interval);
        if due.since(begin) >= duration {
            break;
        }
        let behind = last.plus_nanos(least) > due;
        let at = if behind { last.plus_nanos(least) } else { due };
        wait.until(&clock, at, behind);
        last = clock.now();
        lateness.record(last.nanos_since(due));
        wait.until(&clock, last.plus_nanos(PULSE_NANOS), behind);
    }
    lateness.summary()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_counted_and_none_is_early() {
        let probe = probe_lateness(2_000, Duration::from_millis(50), 2, 0.2).unwrap();
        // The one at the very end is not made.
        assert_eq!(probe.seen.count, 2 * 99);
        assert!(probe.seen.p50 <= probe.seen.p999 && probe.seen.p999 <= probe.seen.max);
        assert!(probe.seen.max > 0);
    }
}
