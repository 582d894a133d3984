//! The event that ends every wait.

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use crossbeam_channel::Sender;

use super::prim::{Arc, AtomicBool, Condvar, Mutex, Ordering, deadline_after, lock, wait_until};

/// A flag that every wait listens to: set once, it ends them all.
///
/// Clones share the flag. A loop reads it with [`is_set`](Self::is_set), which is one atomic load;
/// a thread that has nothing else to do waits for it with [`wait`](Self::wait); one that waits for
/// messages selects on [`channel`](Self::channel) beside them. It may be set from any thread, a
/// signal handler's thread (as the `ctrlc` crate has one) among them, but not from inside a POSIX
/// signal handler, since it takes a lock.
///
/// # Examples
///
/// ```
/// use crossbeam_channel::{bounded, select};
/// use lockstep::sync::StopEvent;
/// use std::time::Duration;
///
/// let stop = StopEvent::new();
/// assert!(!stop.wait(Duration::from_millis(1)));
///
/// let worker = std::thread::spawn({
///     let stop = stop.clone();
///     move || {
///         let (_orders, mailbox) = bounded::<u32>(4);
///         let stopped = stop.channel();
///         select! {
///             recv(mailbox) -> order => panic!("nobody sent {order:?}"),
///             recv(stopped) -> _ => "stopped",
///         }
///     }
/// });
/// stop.set();
/// assert!(stop.is_set());
/// assert_eq!(worker.join().unwrap(), "stopped");
/// ```
#[derive(Clone)]
pub struct StopEvent {
    shared: Arc<Shared>,
}

struct Shared {
    set: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// How many times the event was set: a waiter that sleeps through a `set` and a `clear` still
    /// sees that it was set.
    times_set: u64,
    /// Nothing is ever sent: to drop it is the signal.
    sender: Option<Sender<Infallible>>,
    receiver: crossbeam_channel::Receiver<Infallible>,
}

impl StopEvent {
    /// An event that is not set.
    pub fn new() -> Self {
        let (sender, receiver) = crossbeam_channel::bounded(0);
        StopEvent {
            shared: Arc::new(Shared {
                set: AtomicBool::new(false),
                state: Mutex::new(State { times_set: 0, sender: Some(sender), receiver }),
                changed: Condvar::new(),
            }),
        }
    }

    /// Sets the event and wakes everyone who waits for it. Setting it twice is setting it once.
    pub fn set(&self) {
        let mut state = lock(&self.shared.state);
        let Some(sender) = state.sender.take() else {
            return;
        };
        state.times_set = state.times_set.wrapping_add(1);
        self.shared.set.store(true, Ordering::Release);
        drop(state);
        drop(sender);
        self.shared.changed.notify_all();
    }

    /// Takes the event back, for the next run. Whoever waited when it was set has still been woken,
    /// and channels taken before stay disconnected: take new ones.
    pub fn clear(&self) {
        let mut state = lock(&self.shared.state);
        if state.sender.is_none() {
            let (sender, receiver) = crossbeam_channel::bounded(0);
            state.sender = Some(sender);
            state.receiver = receiver;
            self.shared.set.store(false, Ordering::Release);
        }
    }

    /// Whether the event is set: one atomic load, for loops. What its setter wrote before is seen
    /// by whoever sees it set.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.shared.set.load(Ordering::Acquire)
    }

    /// Waits until the event is set, at most for `timeout` (beyond a year: a year). Returns at once
    /// if it is set already.
    ///
    /// True if the event is set or was set during the wait, even if it has been cleared since;
    /// false if the time ran out.
    pub fn wait(&self, timeout: Duration) -> bool {
        if self.is_set() {
            return true;
        }
        let deadline = deadline_after(timeout);
        let mut state = lock(&self.shared.state);
        let times_set = state.times_set;
        loop {
            if self.is_set() || state.times_set != times_set {
                return true;
            }
            let (guard, timed_out) =
                wait_until(&self.shared.state, &self.shared.changed, state, deadline);
            state = guard;
            if timed_out {
                return self.is_set() || state.times_set != times_set;
            }
        }
    }

    /// A channel that is disconnected as soon as the event is set (at once, if it is set already),
    /// to select on beside other channels. Nothing is ever sent on it.
    ///
    /// It tells of the first `set` after it was taken and stays disconnected from then on, also
    /// when the event is cleared.
    pub fn channel(&self) -> crossbeam_channel::Receiver<Infallible> {
        lock(&self.shared.state).receiver.clone()
    }
}

impl Default for StopEvent {
    fn default() -> Self {
        StopEvent::new()
    }
}

impl fmt::Debug for StopEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopEvent").field("set", &self.is_set()).finish()
    }
}
