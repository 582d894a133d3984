use std::time::Duration;

/// Nanoseconds; what is longer than can be counted is as long as can be.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
