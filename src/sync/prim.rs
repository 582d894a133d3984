//! What the types of this room are built on. The model checker puts its own in this place
//! (`model/prim.rs`), so that it runs the very same source files.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, select_biased};

use super::stop::StopEvent;
use crate::units;

pub(super) use crossbeam_channel::{Receiver, Sender};
pub(super) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
pub(super) use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// What [`receive`] came back with.
#[derive(Debug)]
pub(super) enum Received<M> {
    Message(M),
    TimedOut,
    Stopped,
    Closed,
}

/// Longer time-outs are cut to this, so that no deadline leaves the range of the clock.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// The instant at which a wait that begins now and lasts `timeout` ends.
pub(super) fn deadline_after(timeout: Duration) -> Instant {
    Instant::now() + timeout.min(LONGEST)
}

/// Now, on the clock that the books of this room run on. All others are told the time.
pub(super) fn now() -> units::Instant {
    crate::monotonic::now()
}

/// A channel to wake one sleeper. It is enough that it holds one message.
pub(super) fn wake_channel() -> (Sender<()>, Receiver<()>) {
    crossbeam_channel::bounded(1)
}

/// Sleeps until `bell` rings, `stop` is set, or `until` is there. May also return early, for no
/// reason.
pub(super) fn sleep_until(
    bell: &Receiver<()>,
    until: units::Instant,
    stop: Option<&StopEvent>,
) -> Received<()> {
    receive(bell, deadline_after(until.since(now())), stop)
}

/// Locks, also when a panicking thread has poisoned the lock: no foreign code runs under the locks
/// of this room, so what they guard is whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives `guard` up until `changed` is notified or `deadline` is there; says whether it is there.
/// May also return early, for no reason.
pub(super) fn wait_until<'a, T>(
    _mutex: &'a Mutex<T>,
    changed: &Condvar,
    guard: MutexGuard<'a, T>,
    deadline: Instant,
) -> (MutexGuard<'a, T>, bool) {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return (guard, true);
    }
    let (guard, end) = changed.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner);
    (guard, end.timed_out())
}

/// Takes one message. A stop comes first; a message that is there comes before the deadline.
pub(super) fn receive<M>(
    messages: &Receiver<M>,
    deadline: Instant,
    stop: Option<&StopEvent>,
) -> Received<M> {
    let Some(stop) = stop else {
        return match messages.recv_deadline(deadline) {
            Ok(message) => Received::Message(message),
            Err(RecvTimeoutError::Timeout) => Received::TimedOut,
            Err(RecvTimeoutError::Disconnected) => Received::Closed,
        };
    };
    let stopped = stop.channel();
    let left = deadline.saturating_duration_since(Instant::now());
    select_biased! {
        recv(stopped) -> _ => Received::Stopped,
        recv(messages) -> message => match message {
            Ok(message) => Received::Message(message),
            Err(_) => Received::Closed,
        },
        default(left) => Received::TimedOut,
    }
}
