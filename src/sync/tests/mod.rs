//! The types of this room on the system's own threads and clock. What depends on the order of
//! threads is in `model`.

mod barrier;
mod barrier_property;
mod books;
mod event_property;
mod gather;
mod lease_property;
mod power_property;
mod rendezvous_property;
mod stack_property;
mod stop;

use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(20);

/// A wait of `wanted` must never end before that; how late it ends is the machine's affair, so
/// one good try of ten is enough.
fn takes(wanted: Duration, mut wait: impl FnMut()) {
    let mut best = Duration::MAX;
    for _ in 0..10 {
        let start = Instant::now();
        wait();
        let took = start.elapsed();
        assert!(took >= wanted, "{took:?} instead of {wanted:?}");
        best = best.min(took);
        if best < wanted + Duration::from_millis(20) {
            return;
        }
    }
    panic!("{best:?} at best instead of {wanted:?}");
}
