use crate::hal::Clock;
use crate::units::Instant;

/// The shortest and the longest spin before a deadline.
const SPIN_MIN_NANOS: u64 = 2_000;
const SPIN_MAX_NANOS: u64 = 50_000;

/// A motor that is behind its plan spins through a wait of up to this: a few steps bring it back, where
/// waking up from a sleep for each of them might not.
const CATCH_UP_NANOS: u64 = 200_000;

/// Below this a sleep costs more than it saves.
const SLEEP_MIN_NANOS: u64 = 3_000;

/// A precise wait for an absolute deadline: sleeps most of the way, spins the last stretch.
///
/// The stretch is learnt from the wake-ups seen: it grows when the kernel woke the thread later than
/// allowed for, and shrinks slowly. It takes no more than a share of the time between deadlines (a
/// fifth, unless the config says otherwise), so that a motor's spinning costs at most that share of a
/// core, whatever its rate. Only after a deadline missed by much it may take what it has learnt for a
/// while, since a loop that falls behind at each wake-up would never catch up. A wake-up worse than the
/// longest spin is not chased: it would cost much and still be late.
#[derive(Debug)]
pub(super) struct PreciseWait {
    spin: u64,
    yields: bool,
    /// The last deadline that was slept for, and the running mean of the time between two of them.
    last: Instant,
    interval: u64,
    /// Waits left in which the spin may take what it has learnt.
    chasing: u32,
    /// The share of the time between two deadlines that may be spun away.
    share: f64,
}

/// Missed by more than the interval over this: by much.
const MISSED_SHARE: u64 = 4;

/// How many waits a deadline missed by much lets the spin be long.
const CHASE: u32 = 64;

impl PreciseWait {
    /// `yields`: give the core away between two looks at the clock, since others wait for it. `share`:
    /// how much of the time between two deadlines may be spun away, 0 to 1.
    pub fn new(yields: bool, share: f64) -> PreciseWait {
        PreciseWait {
            spin: SPIN_MIN_NANOS * 5,
            yields,
            last: Instant::ZERO,
            interval: 1_000_000,
            chasing: 0,
            share: share.clamp(0.0, 1.0),
        }
    }

    /// Returns at `deadline` or as soon after it as the system allows; never before.
    ///
    /// `behind`: the motor is late, and catches up only if it does not oversleep here.
    pub fn until(&mut self, clock: &Clock, deadline: Instant, behind: bool) {
        if behind {
            self.chasing = CHASE;
        }
        let ahead = deadline.nanos_since(clock.now());
        let allowed = (self.interval as f64 * self.share) as u64;
        let spin = if self.chasing > 0 { self.spin } else { self.spin.min(allowed) };
        // Catching up, a sleep that is overslept by a fifth of the way gains nothing.
        if ahead > spin + SLEEP_MIN_NANOS && !(behind && ahead <= CATCH_UP_NANOS) {
            let gap = deadline.nanos_since(self.last).min(1_000_000);
            self.interval = (self.interval * 7 + gap) / 8;
            self.last = deadline;
            let wake = Instant::from_nanos(deadline.as_nanos() - spin);
            sleep_until(clock, wake);
            let overslept = clock.now().nanos_since(wake);
            self.learn(overslept);
            self.chasing = self.chasing.saturating_sub(1);
            if overslept > spin + self.interval / MISSED_SHARE {
                self.chasing = CHASE;
            }
        }
        while clock.now() < deadline {
            if self.yields && deadline.nanos_since(clock.now()) > SLEEP_MIN_NANOS {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
    }

    fn learn(&mut self, overslept: u64) {
        let wanted = (overslept + overslept / 4).clamp(SPIN_MIN_NANOS, SPIN_MAX_NANOS);
        if wanted > self.spin {
            // One outlier shall not cost a long spin for ever, a trend shall be followed.
            self.spin += (wanted - self.spin) / 4;
        } else {
            self.spin -= (self.spin - wanted) / 32;
        }
    }
}

/// Sleeps to an absolute instant of the clock.
pub(super) fn sleep_until(clock: &Clock, wake: Instant) {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{ClockId, clock_nanosleep_absolute};
        let nanos = wake.as_nanos();
        let request = rustix::time::Timespec {
            tv_sec: (nanos / 1_000_000_000) as _,
            tv_nsec: (nanos % 1_000_000_000) as _,
        };
        // Interrupted by a signal: go on to the same absolute deadline.
        while clock.now() < wake {
            if clock_nanosleep_absolute(ClockId::Monotonic, &request).is_ok() {
                break;
            }
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let ahead = wake.since(clock.now());
        std::thread::sleep(ahead);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_early_and_not_absurdly_late() {
        let clock = Clock::monotonic();
        let mut wait = PreciseWait::new(false, 0.2);
        let mut best = u64::MAX;
        for i in 0..50 {
            let deadline = clock.now().plus_nanos(100_000 + i * 20_000);
            wait.until(&clock, deadline, i % 2 == 0);
            let now = clock.now();
            assert!(now >= deadline);
            best = best.min(now.nanos_since(deadline));
        }
        assert!(best < 5_000_000, "the best of 50 waits was {best} ns late");
    }

    #[test]
    fn the_spin_stays_within_its_bounds() {
        let mut wait = PreciseWait::new(false, 0.2);
        for _ in 0..1000 {
            wait.learn(10_000_000);
        }
        assert!(wait.spin <= SPIN_MAX_NANOS);
        for _ in 0..10_000 {
            wait.learn(0);
        }
        assert!(wait.spin >= SPIN_MIN_NANOS && wait.spin < SPIN_MIN_NANOS + 64);
    }
}
