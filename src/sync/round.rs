//! One generation of a barrier, as its tickets see it.

use super::prim::{AtomicU8, AtomicUsize, Ordering};
use crate::books::BreakCause;

/// What became of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Waiting,
    Released,
    Broken {
        cause: BreakCause,
        /// How many parties had arrived when it broke.
        arrived: usize,
    },
}

/// One generation. It is settled once, under the barrier's lock, and read without it.
pub(super) struct Round {
    code: AtomicU8,
    /// How many had arrived when it broke. Written before `code`.
    arrived: AtomicUsize,
}

const WAITING: u8 = 0;
const RELEASED: u8 = 1;

const fn code_of(cause: BreakCause) -> u8 {
    match cause {
        BreakCause::Aborted => 2,
        BreakCause::Reset => 3,
        BreakCause::TimedOut => 4,
        BreakCause::PartyGone => 5,
        BreakCause::ActionPanicked => 6,
        BreakCause::ActionBusy => 7,
    }
}

const fn cause_of(code: u8) -> BreakCause {
    match code {
        3 => BreakCause::Reset,
        4 => BreakCause::TimedOut,
        5 => BreakCause::PartyGone,
        6 => BreakCause::ActionPanicked,
        7 => BreakCause::ActionBusy,
        _ => BreakCause::Aborted,
    }
}

impl Round {
    pub(super) fn new() -> Self {
        Round { code: AtomicU8::new(WAITING), arrived: AtomicUsize::new(0) }
    }

    /// Wait-free: one load, or two when the generation is broken.
    #[inline]
    pub(super) fn verdict(&self) -> Verdict {
        match self.code.load(Ordering::Acquire) {
            WAITING => Verdict::Waiting,
            RELEASED => Verdict::Released,
            code => Verdict::Broken {
                cause: cause_of(code),
                arrived: self.arrived.load(Ordering::Relaxed),
            },
        }
    }

    /// To be called with the barrier's lock held, and once.
    pub(super) fn settle(&self, verdict: Verdict) {
        let code = match verdict {
            Verdict::Waiting => WAITING,
            Verdict::Released => RELEASED,
            Verdict::Broken { cause, arrived } => {
                self.arrived.store(arrived, Ordering::Relaxed);
                code_of(cause)
            }
        };
        self.code.store(code, Ordering::Release);
    }
}
