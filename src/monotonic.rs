//! The machine's monotonic clock, read in one place: `hal::Clock` and the waits of `sync` must agree on its zero.
//! All others read a `Clock` or are told the time.

use crate::units::Instant;

/// Now, on the machine's monotonic clock.
#[cfg(target_os = "linux")]
pub(crate) fn now() -> Instant {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Instant::from_nanos(t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64)
}

/// Now, on the machine's monotonic clock, counted from the first call.
#[cfg(not(target_os = "linux"))]
pub(crate) fn now() -> Instant {
    use std::sync::OnceLock;
    static ZERO: OnceLock<std::time::Instant> = OnceLock::new();
    let zero = *ZERO.get_or_init(std::time::Instant::now);
    Instant::ZERO + zero.elapsed()
}
