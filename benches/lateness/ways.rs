//! Other ways of waiting for a deadline, measured in the same run.

#[cfg(target_os = "linux")]
pub use linux::{kernel, scheduling, soft_pwm};

#[cfg(target_os = "linux")]
mod linux {
    use rustix::thread::{ClockId, clock_nanosleep_absolute};
    use rustix::time::{Timespec, clock_gettime};

    use crate::common::{cpu_of, row};

    fn now() -> u64 {
        let t = clock_gettime(ClockId::Monotonic);
        t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
    }

    /// What the motors' threads are granted.
    pub fn scheduling() -> String {
        let asked = std::thread::spawn(lockstep::runtime::request_realtime);
        match asked.join() {
            Ok(Ok(priority)) => format!("Real-time scheduling: SCHED_FIFO {priority}"),
            Ok(Err(e)) => format!("No real-time scheduling: {e}"),
            Err(_) => String::new(),
        }
    }

    /// Measures in a thread of its own, scheduled as a motor's: `wait` returns the lateness of a period.
    fn measure(
        name: &str,
        rate: u64,
        seconds: u64,
        mut wait: impl FnMut(u64) -> u64 + Send + 'static,
    ) {
        let thread = std::thread::Builder::new().name("way".into()).spawn(move || {
            let _ = lockstep::runtime::request_realtime();
            let begun = now();
            let late: Vec<u64> = (1..=seconds * rate).map(&mut wait).collect();
            let wall = (now() - begun) as f64 / 1e9;
            (late, cpu_of("way").map(|c| c / wall))
        });
        if let Some((late, cpu)) = thread.ok().and_then(|t| t.join().ok()) {
            row(&format!("{} kHz: {name}", rate / 1000), late, cpu);
        }
    }

    /// An absolute sleep each period, nothing else.
    pub fn kernel(rate: u64, seconds: u64) {
        let (period, mut zero) = (1_000_000_000 / rate, None);
        measure("clock_nanosleep", rate, seconds, move |k| {
            let due = *zero.get_or_insert_with(now) + k * period;
            let (tv_sec, tv_nsec) = (due / 1_000_000_000, due % 1_000_000_000);
            let request = Timespec { tv_sec: tv_sec as _, tv_nsec: tv_nsec as _ };
            let _ = clock_nanosleep_absolute(ClockId::Monotonic, &request);
            now().saturating_sub(due)
        });
    }

    /// Sleeps for all but the last 200 us where more than 250 us are left, spins the rest, and counts
    /// the next period from where it ended. Late is late against the first period's grid.
    pub fn soft_pwm(rate: u64, seconds: u64) {
        let (period, mut zero, mut start) = (1_000_000_000 / rate, None, 0);
        measure("rppal's soft PWM waits", rate, seconds, move |k| {
            let first = *zero.get_or_insert_with(|| {
                start = now();
                start
            });
            let left = (start + period).saturating_sub(now());
            if left >= 250_000 {
                std::thread::sleep(std::time::Duration::from_nanos(left - 200_000));
            }
            while now() < start + period {
                std::hint::spin_loop();
            }
            start = now();
            start.saturating_sub(first + k * period)
        });
    }
}

#[cfg(not(target_os = "linux"))]
pub fn scheduling() -> String {
    "The kernel's own wake-ups are measured on Linux only".to_owned()
}

#[cfg(not(target_os = "linux"))]
pub fn kernel(_rate: u64, _seconds: u64) {}

#[cfg(not(target_os = "linux"))]
pub fn soft_pwm(_rate: u64, _seconds: u64) {}
