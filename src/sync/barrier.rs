//! The barrier at which the loops of a move meet.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::prim::{Arc, Condvar, Mutex, lock};
use super::round::{Round, Verdict};
use super::ticket::Ticket;
use crate::books::{BarrierError, BreakCause, Breakage};

/// A meeting point for a fixed number of parties, one generation after the other.
///
/// Each party [arrives](Self::arrive) and gets a [`Ticket`], which it polls between other work or
/// waits on. The last to arrive runs the barrier's action, once; then all are released together.
/// If that can't be, all are told so: within one generation either every party is released or
/// none is. What breaks a generation:
///
/// - a wait that runs out of time, or [`expire`](Self::expire), which does the same without a
///   clock;
/// - [`abort`](Self::abort), and [`reset`](Self::reset) while parties wait;
/// - a ticket that is dropped while it waits: a party that panics or gives up never holds the
///   others;
/// - an action that panics. The panic is caught: the party that ran the action gets
///   [`BarrierError::ActionPanicked`] and its thread goes on.
///
/// A broken barrier refuses every arrival until it is reset. Clones are the same barrier.
///
/// The lock inside is held for a few instructions at a time and never while the action runs, so
/// an action that hangs keeps no one but its own thread. Arriving does not allocate, unless some
/// ticket of the generation before the last is still alive.
///
/// # Examples
///
/// Three loops agree on the instant at which they start; the last to arrive fixes it.
///
/// ```
/// use lockstep::sync::{StepBarrier, TicketState};
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// let epoch = Arc::new(AtomicU64::new(0));
/// let barrier = StepBarrier::new(3).with_action({
///     let epoch = Arc::clone(&epoch);
///     move || epoch.store(5_000_000, Ordering::Relaxed)
/// });
///
/// let x = barrier.arrive()?;
/// let y = barrier.arrive()?;
/// assert_eq!(x.poll(), TicketState::Waiting);
/// assert_eq!(barrier.n_waiting(), 2);
///
/// let z = barrier.arrive()?;
/// assert_eq!(x.poll(), TicketState::Released(0));
/// assert_eq!(y.poll(), TicketState::Released(1));
/// assert_eq!(z.poll(), TicketState::Released(2));
/// assert_eq!(epoch.load(Ordering::Relaxed), 5_000_000);
/// # Ok::<(), lockstep::sync::BarrierError>(())
/// ```
#[derive(Clone)]
pub struct StepBarrier {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) parties: usize,
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
}

pub(super) struct State {
    /// The generation that parties arrive in now. Whenever it is left, its verdict is settled.
    current: Arc<Round>,
    /// The generation before, used again when none of its tickets is left.
    spare: Arc<Round>,
    /// Arrivals in `current`. It equals the parties only while the action runs.
    arrived: usize,
    broken: Option<Breakage>,
    action: Action,
    timeout: Duration,
}

type ActionFn = Box<dyn FnMut() + Send>;

enum Action {
    None,
    Ready(ActionFn),
    /// The last party of some generation has it out and runs it.
    Running,
}

impl State {
    /// Starts the next generation.
    fn next_round(&mut self) {
        std::mem::swap(&mut self.current, &mut self.spare);
        match Arc::get_mut(&mut self.current) {
            Some(round) => *round = Round::new(),
            None => self.current = Arc::new(Round::new()),
        }
        self.arrived = 0;
    }

    /// Breaks the barrier for all who wait and all who come. The first cause stays.
    pub(super) fn break_all(&mut self, cause: BreakCause, parties: usize) -> Breakage {
        if let Some(breakage) = self.broken {
            return breakage;
        }
        let breakage = Breakage { cause, arrived: self.arrived, parties };
        self.broken = Some(breakage);
        self.break_round(breakage);
        breakage
    }

    /// Breaks the present generation, if anyone is in it, and starts the next.
    fn break_round(&mut self, breakage: Breakage) {
        if self.arrived > 0 {
            let Breakage { cause, arrived, .. } = breakage;
            self.current.settle(Verdict::Broken { cause, arrived });
            self.next_round();
        }
    }
}

impl StepBarrier {
    /// The time-out of [`wait_default`](Self::wait_default), unless
    /// [`with_timeout`](Self::with_timeout) says otherwise.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

    /// A barrier for `parties` parties, 1 or more, without an action.
    ///
    /// # Panics
    ///
    /// If `parties` is 0: nobody could ever be the last to arrive.
    pub fn new(parties: usize) -> Self {
        assert!(parties > 0, "a barrier needs at least one party");
        let state = State {
            current: Arc::new(Round::new()),
            spare: Arc::new(Round::new()),
            arrived: 0,
            broken: None,
            action: Action::None,
            timeout: Self::DEFAULT_TIMEOUT,
        };
        StepBarrier {
            shared: Arc::new(Shared { parties, state: Mutex::new(state), changed: Condvar::new() }),
        }
    }

    /// Sets the time-out of [`wait_default`](Self::wait_default).
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        lock(&self.shared.state).timeout = timeout;
        self
    }

    /// Sets the action: run once in each generation, in the thread of the last party to arrive,
    /// before any party is released. What it writes is seen by every party that is released.
    ///
    /// It runs without the barrier's lock, so it may look at the barrier and abort it. If the
    /// barrier breaks while it runs, or it panics, no one is released. After a panic it is called
    /// again in the next generation that fills (after a reset), with its captured state as the
    /// panic left it.
    #[must_use]
    pub fn with_action(self, action: impl FnMut() + Send + 'static) -> Self {
        let new = Action::Ready(Box::new(action));
        let old = std::mem::replace(&mut lock(&self.shared.state).action, new);
        drop(old);
        self
    }

    /// Arrives, without waiting for the others. The last to arrive runs the action first, and its
    /// ticket is released already.
    ///
    /// # Errors
    ///
    /// - [`BarrierError::Broken`]: the barrier is broken, or breaks while the action runs.
    /// - [`BarrierError::ActionPanicked`]: this party came last, and the action panicked.
    /// - [`BarrierError::Full`]: all parties are here already, and the action is running.
    pub fn arrive(&self) -> Result<Ticket, BarrierError> {
        let parties = self.shared.parties;
        // Declared before the lock is taken, so that foreign code is dropped after it is free.
        let mut replaced: Option<ActionFn> = None;
        let mut state = lock(&self.shared.state);
        if let Some(breakage) = state.broken {
            return Err(BarrierError::Broken(breakage));
        }
        if state.arrived == parties {
            return Err(BarrierError::Full { parties });
        }
        let round = Arc::clone(&state.current);
        let index = state.arrived;
        state.arrived += 1;
        if state.arrived < parties {
            drop(state);
            return Ok(Ticket::new(&self.shared, round, index));
        }

        match std::mem::replace(&mut state.action, Action::Running) {
            Action::None => {
                state.action = Action::None;
            }
            Action::Running => {
                let breakage = state.break_all(BreakCause::ActionBusy, parties);
                drop(state);
                self.shared.changed.notify_all();
                return Err(BarrierError::Broken(breakage));
            }
            Action::Ready(mut action) => {
                drop(state);
                // Torn state in the action is the action's own affair, and is documented.
                let result = catch_unwind(AssertUnwindSafe(&mut action));
                state = lock(&self.shared.state);
                match state.action {
                    Action::Running => state.action = Action::Ready(action),
                    _ => replaced = Some(action),
                }
                if let Err(panic) = result {
                    if round.verdict() == Verdict::Waiting {
                        state.break_all(BreakCause::ActionPanicked, parties);
                    }
                    drop(state);
                    self.shared.changed.notify_all();
                    return Err(BarrierError::ActionPanicked { message: text_of(panic) });
                }
            }
        }
        // While the action ran, the generation may have broken.
        if let Verdict::Broken { cause, arrived } = round.verdict() {
            return Err(BarrierError::Broken(Breakage { cause, arrived, parties }));
        }
        round.settle(Verdict::Released);
        state.next_round();
        drop(state);
        drop(replaced);
        self.shared.changed.notify_all();
        Ok(Ticket::new(&self.shared, round, index))
    }

    /// Arrives and waits for the others, at most for `timeout` (beyond a year: a year). Returns the
    /// arrival index: 0 for the first to arrive, one less than [`parties`](Self::parties) for the
    /// last.
    ///
    /// # Errors
    ///
    /// Those of [`arrive`](Self::arrive) and [`Ticket::wait`].
    pub fn wait(&self, timeout: Duration) -> Result<usize, BarrierError> {
        self.arrive()?.wait(timeout)
    }

    /// As [`wait`](Self::wait), with the barrier's own time-out.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait).
    pub fn wait_default(&self) -> Result<usize, BarrierError> {
        let timeout = lock(&self.shared.state).timeout;
        self.wait(timeout)
    }

    /// Breaks the barrier, whether anyone waits or not: those who wait and those who come later get
    /// [`BreakCause::Aborted`], until it is reset. A barrier that is broken already keeps its
    /// first cause.
    pub fn abort(&self) {
        let mut state = lock(&self.shared.state);
        state.break_all(BreakCause::Aborted, self.shared.parties);
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Does what a time-out does: if parties wait, breaks the barrier for all of them. Returns
    /// whether it broke anything: with nobody waiting nothing happens, since their time has not
    /// begun, or they have been released.
    ///
    /// For a coordinator that keeps the time itself, such as one in virtual time. If the next
    /// generation may have begun already, use [`Ticket::expire`], which can't hit the wrong one.
    pub fn expire(&self) -> bool {
        let mut state = lock(&self.shared.state);
        if state.broken.is_some() || state.arrived == 0 {
            return false;
        }
        state.break_all(BreakCause::TimedOut, self.shared.parties);
        drop(state);
        self.shared.changed.notify_all();
        true
    }

    /// Makes the barrier as new: it is whole, and nobody has arrived. Those who wait get
    /// [`BreakCause::Reset`].
    pub fn reset(&self) {
        let mut state = lock(&self.shared.state);
        let (cause, arrived) = (BreakCause::Reset, state.arrived);
        state.break_round(Breakage { cause, arrived, parties: self.shared.parties });
        state.broken = None;
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Whether the barrier is broken.
    pub fn is_broken(&self) -> bool {
        self.breakage().is_some()
    }

    /// What broke the barrier, if it is broken.
    pub fn breakage(&self) -> Option<Breakage> {
        lock(&self.shared.state).broken
    }

    /// How many parties the barrier is for.
    pub fn parties(&self) -> usize {
        self.shared.parties
    }

    /// How many parties have arrived and are not released yet: 0 to [`parties`](Self::parties),
    /// all of them only while the action runs. 0 when the barrier is broken.
    pub fn n_waiting(&self) -> usize {
        lock(&self.shared.state).arrived
    }
}

impl fmt::Debug for StepBarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepBarrier")
            .field("parties", &self.parties())
            .field("n_waiting", &self.n_waiting())
            .field("breakage", &self.breakage())
            .finish()
    }
}

/// What a panic said, if it was text, as it is unless someone used `panic_any`.
fn text_of(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => match panic.downcast_ref::<&'static str>() {
            Some(text) => (*text).to_owned(),
            None => {
                // Its destructor is foreign code, which could panic again.
                std::mem::forget(panic);
                "(no text)".to_owned()
            }
        },
    }
}
