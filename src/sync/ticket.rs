//! A party's place in one generation of a barrier.

use std::fmt;
use std::time::Duration;

use super::barrier::Shared;
use super::prim::{Arc, deadline_after, lock, wait_until};
use super::round::{Round, Verdict};
use crate::books::{BarrierError, BreakCause, Breakage};

/// What a [`Ticket`] knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketState {
    /// Not all parties are here, or the action is running.
    Waiting,
    /// All are released. The number is this party's arrival index: 0 for the first that arrived,
    /// one less than the parties for the last.
    Released(usize),
    /// No party of this generation is released, now or later.
    Broken(Breakage),
}

/// A party's place in one generation of a [`StepBarrier`](super::StepBarrier).
///
/// It goes on telling what became of its generation, whatever the barrier does next. If it is
/// dropped while the generation waits, the barrier breaks: its party is gone.
///
/// # Examples
///
/// A loop that has work to do while it waits:
///
/// ```
/// use lockstep::sync::{StepBarrier, TicketState};
///
/// let barrier = StepBarrier::new(2);
/// let ticket = barrier.arrive()?;
/// let mut pulses = 0;
/// let index = loop {
///     match ticket.poll() {
///         TicketState::Released(index) => break index,
///         TicketState::Broken(breakage) => panic!("not started: {breakage}"),
///         TicketState::Waiting => pulses += 1, // goes on pulsing
///     }
///     if pulses == 3 {
///         barrier.arrive()?; // the other one comes
///     }
/// };
/// assert_eq!((index, pulses), (0, 3));
/// # Ok::<(), lockstep::sync::BarrierError>(())
/// ```
#[must_use = "dropping a ticket while its generation waits breaks the barrier"]
pub struct Ticket {
    shared: Arc<Shared>,
    round: Arc<Round>,
    index: usize,
}

impl Ticket {
    pub(super) fn new(shared: &Arc<Shared>, round: Arc<Round>, index: usize) -> Self {
        Ticket { shared: Arc::clone(shared), round, index }
    }

    /// How many parties of this generation arrived before this one.
    pub fn index(&self) -> usize {
        self.index
    }

    /// What is known now. Wait-free: one atomic load, two when broken.
    ///
    /// What the barrier's action wrote is seen by whoever sees `Released`.
    #[inline]
    pub fn poll(&self) -> TicketState {
        match self.round.verdict() {
            Verdict::Waiting => TicketState::Waiting,
            Verdict::Released => TicketState::Released(self.index),
            Verdict::Broken { cause, arrived } => {
                TicketState::Broken(Breakage { cause, arrived, parties: self.shared.parties })
            }
        }
    }

    /// Blocks until all are released, and returns this party's arrival index. When `timeout`
    /// (beyond a year: a year) has passed before that, the barrier breaks for all who wait, also
    /// when they are all there and the action is still running.
    ///
    /// # Errors
    ///
    /// - [`BarrierError::TimedOut`]: the time ran out here.
    /// - [`BarrierError::Broken`]: something else broke the barrier.
    pub fn wait(&self, timeout: Duration) -> Result<usize, BarrierError> {
        let deadline = deadline_after(timeout);
        let mut state = lock(&self.shared.state);
        let mut timed_out = false;
        loop {
            match self.poll() {
                TicketState::Released(index) => return Ok(index),
                TicketState::Broken(breakage) => return Err(BarrierError::Broken(breakage)),
                TicketState::Waiting => {}
            }
            if timed_out {
                let parties = self.shared.parties;
                let arrived = state.break_all(BreakCause::TimedOut, parties).arrived;
                drop(state);
                self.shared.changed.notify_all();
                return Err(BarrierError::TimedOut { timeout, arrived, parties });
            }
            (state, timed_out) =
                wait_until(&self.shared.state, &self.shared.changed, state, deadline);
        }
    }

    /// Does what a time-out of this party's wait would do: breaks the barrier for all of this
    /// generation, if it still waits. Returns whether it did.
    pub fn expire(&self) -> bool {
        self.break_if_waiting(BreakCause::TimedOut)
    }

    fn break_if_waiting(&self, cause: BreakCause) -> bool {
        if self.round.verdict() != Verdict::Waiting {
            return false;
        }
        let mut state = lock(&self.shared.state);
        // A generation that waits is the present one, and the barrier is not broken.
        if self.round.verdict() != Verdict::Waiting {
            return false;
        }
        state.break_all(cause, self.shared.parties);
        drop(state);
        self.shared.changed.notify_all();
        true
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.break_if_waiting(BreakCause::PartyGone);
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("index", &self.index).field("state", &self.poll()).finish()
    }
}
