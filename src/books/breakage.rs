//! How a barrier breaks, and what those who meet it broken are told.

use std::fmt;
use std::time::Duration;

/// Why a [`StepBarrier`](crate::sync::StepBarrier) broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BreakCause {
    /// [`abort`](crate::sync::StepBarrier::abort) was called.
    Aborted,
    /// [`reset`](crate::sync::StepBarrier::reset) was called while parties waited.
    Reset,
    /// A party's time ran out, or [`expire`](crate::sync::StepBarrier::expire) was called.
    TimedOut,
    /// A party dropped its [`Ticket`](crate::sync::Ticket) while it waited: its thread panicked or gave
    /// up.
    PartyGone,
    /// The action panicked.
    ActionPanicked,
    /// The last party came while the action of an earlier generation, one that broke and was reset,
    /// was still running.
    ActionBusy,
}

impl fmt::Display for BreakCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BreakCause::Aborted => "it was aborted",
            BreakCause::Reset => "it was reset while parties waited",
            BreakCause::TimedOut => "the time ran out",
            BreakCause::PartyGone => "a party that had arrived gave up",
            BreakCause::ActionPanicked => "its action panicked",
            BreakCause::ActionBusy => "its action is still busy with an earlier generation",
        })
    }
}

/// The facts of a broken barrier, the same for all who meet it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Breakage {
    /// What broke it.
    pub cause: BreakCause,
    /// How many parties had arrived when it broke, 0 to `parties`.
    pub arrived: usize,
    /// How many parties it is for.
    pub parties: usize,
}

impl fmt::Display for Breakage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Breakage { cause, arrived, parties } = self;
        write!(f, "the barrier is broken: {cause}; {arrived} of {parties} parties had arrived")
    }
}

/// Why a party was not released by a [`StepBarrier`](crate::sync::StepBarrier).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BarrierError {
    /// The barrier broke while the party waited, or was broken when it came. It stays broken until
    /// [`reset`](crate::sync::StepBarrier::reset).
    #[error("{0}")]
    Broken(Breakage),
    /// This party's time ran out, which broke the barrier for all who waited.
    #[error("the barrier timed out: {arrived} of {parties} parties had arrived after {timeout:?}")]
    TimedOut {
        /// How long this party waited.
        timeout: Duration,
        /// How many parties had arrived by then, this one included: 1 to `parties`; all of them if
        /// the action was still running.
        arrived: usize,
        /// How many parties the barrier is for.
        parties: usize,
    },
    /// This party came last and ran the action, which panicked. The panic was caught, and the
    /// barrier is broken for all.
    #[error("the barrier's action panicked: {message}")]
    ActionPanicked {
        /// What the panic said, if it was text.
        message: String,
    },
    /// All parties have arrived already and the action is running: more threads use the barrier
    /// than it has parties. The barrier is not broken by this.
    #[error(
        "all {parties} parties have arrived at the barrier already; make it for as many as use it"
    )]
    Full {
        /// How many parties the barrier is for.
        parties: usize,
    },
}
