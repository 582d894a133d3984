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

/// After a rest of [`RESTED_NANOS`] or more a hundredth of it may be spun away, and at most this much: what a
/// core takes to come back from a deep sleep, now and then. So the first edges of a move leave together.
const RESTED_SPIN_NANOS: u64 = 400_000;
const RESTED_NANOS: u64 = 5_000_000;
const RESTED_SHARE: u64 = 100;

/// A precise wait for an absolute deadline: sleeps most of the way, spins the last stretch.
///
/// The stretch is learnt from the wake-ups seen: it grows when the kernel woke the thread later than
/// allowed for, and shrinks slowly. It takes no more than a share of the time between deadlines (a
/// fifth, unless the config says otherwise), so that a motor's spinning costs at most that share of a
/// core, whatever its rate. Only after a deadline missed by much it may take what it has learnt for a
/// while, since a loop that falls behind at each wake-up would never catch up. A wake-up worse than the
/// longest spin is not chased: it would cost much and still be late.
///
/// Whatever the rate, a thread sleeps a part of its time (see [`Airing`]).
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
    /// The last deadline, slept for or not.
    previous: Instant,
    airing: Option<Airing>,
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
            previous: Instant::ZERO,
            // Who grants all of the time means it.
            airing: if share < 1.0 { Airing::of_this_machine() } else { None },
        }
    }

    /// Returns at `deadline` or as soon after it as the system allows; never before.
    ///
    /// `behind`: the motor is late, and catches up only if it does not oversleep here.
    pub fn until(&mut self, clock: &Clock, deadline: Instant, behind: bool) {
        if behind {
            self.chasing = CHASE;
        }
        let now = clock.now();
        let ahead = deadline.nanos_since(now);
        let allowed = (self.interval as f64 * self.share) as u64;
        let mut spin = if self.chasing > 0 { self.spin } else { self.spin.min(allowed) };
        let rest = deadline.nanos_since(self.previous);
        if rest >= RESTED_NANOS && self.share > 0.0 {
            spin = spin.max((rest / RESTED_SHARE).min(RESTED_SPIN_NANOS));
        }
        self.previous = deadline;
        let catches_up = behind && ahead <= CATCH_UP_NANOS;
        let owing = self.airing.as_mut().is_some_and(|a| a.owes(now, cpu_time));
        if owing && ahead > SLEEP_MIN_NANOS {
            sleep_until(clock, deadline.max(now.plus_nanos(AIRING_NANOS)));
        } else if ahead > spin + SLEEP_MIN_NANOS && !catches_up {
            // Catching up, a sleep that is overslept by a fifth of the way gains nothing.
            let gap = deadline.nanos_since(self.last).min(1_000_000);
            self.interval = (self.interval * 7 + gap) / 8;
            self.last = deadline;
            let wake = Instant::from_nanos(deadline.as_nanos() - spin);
            sleep_until(clock, wake);
            let woken = clock.now();
            let overslept = woken.nanos_since(wake);
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

/// Keeps a thread that needs all of a core from being stopped by the kernel.
///
/// Linux takes 50 ms of each second from real-time threads that would use a core all the time
/// (`kernel.sched_rt_runtime_us`, and since 6.12 the deadline server for ordinary threads that starve), in one
/// piece: far too late for an axis. A thread that gives the core away by itself, [`AIRING_NANOS`] at a time,
/// never gets there.
#[derive(Debug, Default)]
struct Airing {
    /// Wall and CPU time up to which it is reckoned.
    at: Option<(Instant, u64)>,
    /// CPU time beyond its share, nanoseconds; below 0: less than its share.
    debt: i64,
}

/// The share of a core that a thread uses at most, in percent: less than the 95 that the kernel allows.
const CPU_PERCENT: i64 = 93;

/// How often the CPU time is read, which takes a system call.
const RECKONED_NANOS: u64 = 500_000;

/// From this debt on it sleeps where it would spin.
const DEBT_MOST: i64 = 500_000;

/// Less than this is not put by, or a long rest would be followed by a long spin: 7 % of a second less both is
/// still more than the kernel's 50 ms.
const CREDIT_MOST: i64 = 10_000_000;

/// How long it sleeps then, at least. The sleep itself costs up to 25 us of CPU time in a virtual machine, so
/// many short ones would pay nothing off.
const AIRING_NANOS: u64 = 150_000;

impl Airing {
    /// `None` where no kernel would stop the thread.
    fn of_this_machine() -> Option<Airing> {
        cfg!(target_os = "linux").then(Airing::default)
    }

    /// Whether it should sleep now. `cpu` reads the CPU time of this thread.
    fn owes(&mut self, now: Instant, cpu: impl FnOnce() -> u64) -> bool {
        let Some((at, used)) = self.at else {
            self.at = Some((now, cpu()));
            return false;
        };
        let passed = now.nanos_since(at);
        if passed >= RECKONED_NANOS {
            let cpu = cpu();
            let signed = |nanos: u64| i64::try_from(nanos).unwrap_or(i64::MAX / 100);
            let share = signed(passed) / 100 * CPU_PERCENT;
            self.debt = (self.debt + signed(cpu.saturating_sub(used)) - share).max(-CREDIT_MOST);
            self.at = Some((now, cpu));
        }
        self.debt > DEBT_MOST
    }
}

/// The CPU time that this thread has used, nanoseconds.
#[cfg(target_os = "linux")]
fn cpu_time() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

#[cfg(not(target_os = "linux"))]
fn cpu_time() -> u64 {
    0
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
    fn a_thread_that_never_rests_sleeps_more_than_the_kernel_would_take() {
        // Deadlines 20 us apart; a sleep costs 25 us of CPU time.
        let (mut airing, mut asleep) = (Airing::default(), 0);
        let (mut now, mut cpu) = (Instant::from_nanos(1), 0);
        let mut windows = Vec::new();
        for _ in 0..20 {
            let end = now.plus_nanos(1_000_000_000);
            while now < end {
                if airing.owes(now, || cpu) {
                    asleep += AIRING_NANOS - 25_000;
                    cpu += 25_000;
                    now = now.plus_nanos(AIRING_NANOS);
                } else {
                    cpu += 20_000;
                    now = now.plus_nanos(20_000);
                }
            }
            windows.push(std::mem::take(&mut asleep));
        }
        assert!(windows.iter().all(|w| (55_000_000..90_000_000).contains(w)), "{windows:?}");
    }

    #[test]
    fn one_that_sleeps_anyway_owes_nothing_and_puts_little_by() {
        let (mut airing, mut now, mut cpu) = (Airing::default(), Instant::from_nanos(1), 0);
        for _ in 0..10_000 {
            assert!(!airing.owes(now, || cpu));
            now = now.plus_nanos(1_000_000);
            cpu += 900_000;
        }
        let spun = (0..).find(|i| airing.owes(now.plus_nanos(i * 20_000), || cpu + i * 20_000));
        assert!(spun.unwrap() * 20_000 < 200_000_000);
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
