use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::units::Instant;

/// The way of an input's confirmed changes to the loop of a motor. It holds the last change to active and the last
/// to inactive, and no more: it never fills up, nobody waits for it, and whatever comes between two looks, that
/// the line was active is seen.
#[derive(Clone, Debug)]
pub struct Lane {
    state: Arc<State>,
    bell: Sender<()>,
}

/// What the loop keeps of a [`Lane`].
#[derive(Debug)]
pub struct LaneEnd {
    state: Arc<State>,
    /// Rings when there is something to take.
    pub(super) bell: Receiver<()>,
    seen: [u64; 2],
    version: u64,
}

/// The last change to inactive, and to active, in nanoseconds; 0: there was none.
#[derive(Debug, Default)]
struct State {
    last: [AtomicU64; 2],
    /// Counts the changes.
    version: AtomicU64,
}

impl Lane {
    /// Both ends.
    pub fn pair() -> (Lane, LaneEnd) {
        let (ring, bell) = bounded(1);
        let state = Arc::<State>::default();
        let end = LaneEnd { state: state.clone(), bell, seen: [0; 2], version: 0 };
        (Lane { state, bell: ring }, end)
    }

    /// The line has become active, or inactive, at an instant. The changes of a line come in their order.
    pub fn tell(&self, active: bool, at: Instant) {
        self.state.last[usize::from(active)].store(at.as_nanos().max(1), Ordering::Relaxed);
        self.state.version.fetch_add(1, Ordering::Release);
        // Full: the loop will come for that one.
        let _ = self.bell.try_send(());
    }
}

impl LaneEnd {
    /// The next change that was not taken yet: whether the line became active, and when.
    #[inline]
    pub fn take(&mut self) -> Option<(bool, Instant)> {
        let version = self.state.version.load(Ordering::Acquire);
        if version == self.version {
            return None;
        }
        let last = [0, 1].map(|n| self.state.last[n].load(Ordering::Relaxed));
        let new = |n: usize| last[n] != self.seen[n];
        let next = match (new(0), new(1)) {
            (false, false) => {
                self.version = version;
                return None;
            }
            (true, true) => usize::from(last[1] < last[0]),
            (_, active) => usize::from(active),
        };
        self.seen[next] = last[next];
        Some((next == 1, Instant::from_nanos(last[next])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_active_is_seen_however_late_one_looks() {
        let (lane, mut end) = Lane::pair();
        let at = Instant::from_nanos;
        assert_eq!(end.take(), None);
        for n in 0..5 {
            lane.tell(true, at(100 * n + 10));
            lane.tell(false, at(100 * n + 20));
        }
        assert_eq!(end.take(), Some((true, at(410))));
        assert_eq!(end.take(), Some((false, at(420))));
        assert_eq!((end.take(), end.bell.len()), (None, 1));
        lane.tell(true, at(500));
        assert_eq!((end.take(), end.take()), (Some((true, at(500))), None));
        // Looked at between the two.
        lane.tell(false, at(510));
        assert_eq!(end.take(), Some((false, at(510))));
        lane.tell(true, at(520));
        assert_eq!((end.take(), end.take()), (Some((true, at(520))), None));
    }
}
