//! The checker's locks, atomics and channels, in the place of `sync/prim.rs`.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use shuttle::rand::Rng;
use shuttle::thread::yield_now;

use super::stop::StopEvent;
use crate::units;

pub(super) use crate::sync::prim::deadline_after;
pub(super) use shuttle::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
pub(super) use shuttle::sync::{Arc, Condvar, Mutex, MutexGuard};

pub(super) enum Received<M> {
    Message(M),
    TimedOut,
    Stopped,
    Closed,
}

thread_local! {
    // All the checker's threads run on the one thread of their test.
    static BLOCKED: Cell<usize> = const { Cell::new(0) };
    /// The time in the model, which moves only when someone's sleep is over or a model says so.
    static NOW: Cell<units::Instant> = const { Cell::new(units::Instant::ZERO) };
}

/// To be called at the start of each run of a model.
pub(super) fn start_model() {
    BLOCKED.set(0);
    NOW.set(units::Instant::ZERO);
}

pub(super) fn now() -> units::Instant {
    NOW.get()
}

/// Lets time pass.
pub(super) fn pass(time: Duration) {
    NOW.set(NOW.get() + time);
}

/// The sleeper may wake at `until` whenever the checker likes, and then it is as late as that; if
/// `until` is far off, never.
pub(super) fn sleep_until(
    bell: &Receiver<()>,
    until: units::Instant,
    stop: Option<&StopEvent>,
) -> Received<()> {
    let left = until.since(now());
    let end = receive(bell, deadline_after(left), stop);
    if let Received::TimedOut = end {
        NOW.set(now().max(until));
    }
    end
}

pub(super) fn wake_channel() -> (Sender<()>, Receiver<()>) {
    channel()
}

/// How many threads are in a wait and not yet notified, or are notified but have not gone on.
pub(super) fn n_blocked() -> usize {
    BLOCKED.get()
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the checker may let this deadline come at any moment.
fn may_run_out(deadline: Instant) -> bool {
    deadline.saturating_duration_since(Instant::now()) < Duration::from_secs(3600)
}

fn toss() -> bool {
    shuttle::rand::thread_rng().r#gen()
}

/// Under a deadline that may come at any moment the thread wakes by itself, again and again, and
/// tosses a coin whether that is the time-out; otherwise it sleeps until it is notified.
pub(super) fn wait_until<'a, T>(
    mutex: &'a Mutex<T>,
    changed: &Condvar,
    guard: MutexGuard<'a, T>,
    deadline: Instant,
) -> (MutexGuard<'a, T>, bool) {
    if may_run_out(deadline) {
        drop(guard);
        yield_now();
        return (lock(mutex), toss());
    }
    BLOCKED.set(BLOCKED.get() + 1);
    let guard = changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
    BLOCKED.set(BLOCKED.get() - 1);
    (guard, false)
}

#[derive(Debug)]
struct Queue<M> {
    messages: VecDeque<M>,
    senders: usize,
}

/// An unbounded channel, for `gather`.
pub(super) fn channel<M>() -> (Sender<M>, Receiver<M>) {
    let queue = Arc::new(Mutex::new(Queue { messages: VecDeque::new(), senders: 1 }));
    (Sender(Arc::clone(&queue)), Receiver(queue))
}

pub(super) struct Sender<M>(Arc<Mutex<Queue<M>>>);

#[derive(Debug)]
pub(super) struct Receiver<M>(Arc<Mutex<Queue<M>>>);

impl<M> Sender<M> {
    pub(super) fn send(&self, message: M) {
        lock(&self.0).messages.push_back(message);
    }
}

impl Sender<()> {
    /// Does not fail: the queue has no bound.
    pub(super) fn try_send(&self, (): ()) -> Result<(), ()> {
        self.send(());
        Ok(())
    }
}

impl<M> Clone for Sender<M> {
    fn clone(&self) -> Self {
        lock(&self.0).senders += 1;
        Sender(Arc::clone(&self.0))
    }
}

impl<M> Drop for Sender<M> {
    fn drop(&mut self) {
        lock(&self.0).senders -= 1;
    }
}

impl<M> Receiver<M> {
    pub(super) fn len(&self) -> usize {
        lock(&self.0).messages.len()
    }
}

pub(super) fn receive<M>(
    messages: &Receiver<M>,
    deadline: Instant,
    stop: Option<&StopEvent>,
) -> Received<M> {
    loop {
        if stop.is_some_and(StopEvent::is_set) {
            return Received::Stopped;
        }
        let mut queue = lock(&messages.0);
        if let Some(message) = queue.messages.pop_front() {
            return Received::Message(message);
        }
        if queue.senders == 0 {
            return Received::Closed;
        }
        drop(queue);
        if may_run_out(deadline) && toss() {
            return Received::TimedOut;
        }
        yield_now();
    }
}
