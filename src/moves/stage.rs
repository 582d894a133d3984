//! How far a move has come. What is known in one stage only lives in that stage.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::change::Proposal;
use crate::motor::{Epoch, MotorIndex, MoveId};
use crate::sync::StepBarrier;
use crate::units::Instant;

/// How far a move has come.
pub(crate) enum Stage {
    /// A hold keeps it back: its motors have not been told of it yet, or have stepped aside.
    Waiting(Option<Aside>),
    /// It waits for its share of the power budget, or for leave to go: its motors have not been told of it yet.
    Queued,
    /// Its motors get ready and come to the barrier.
    Arming(Arming),
    /// On its time line, or held on it.
    Running(Box<UnderWay>),
    /// Coming to rest on its path, before its target.
    Stopping(Box<UnderWay>),
    /// Its motors have been told to stand still without braking.
    Halting(Halting),
}

/// A move that has given its motors up for others while it is held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aside {
    /// The move that brings them back.
    pub back: Option<MoveId>,
}

/// What a move knows whose motors come to the barrier.
pub(crate) struct Arming {
    pub barrier: StepBarrier,
    /// Set by the barrier, as the last motor comes.
    pub epoch: Arc<Epoch>,
    /// Motors that have not come yet.
    pub absent: BTreeSet<MotorIndex>,
    /// Because of whom it does not start, once that is known.
    pub missed: Option<BTreeSet<MotorIndex>>,
    /// When a barrier that is not complete breaks, and then when who says nothing is given up.
    pub patience: Instant,
}

/// What a move knows that has begun.
pub(crate) struct UnderWay {
    /// When its time line began.
    pub epoch: Instant,
    /// When its time-out passes, while it is on its way.
    pub deadline: Instant,
    /// When coming to rest is given up.
    pub patience: Instant,
    pub proposal: Option<Proposal>,
    /// Before the plans that were agreed on have taken hold, nothing new is proposed.
    pub settled: Option<Instant>,
    /// Tries of the change at hand, and who had not acknowledged the last one when it expired.
    pub attempts: u32,
    pub silent: BTreeSet<MotorIndex>,
    /// That it is held has been said.
    pub held_told: bool,
}

/// What a move knows whose motors are to stand still.
pub(crate) struct Halting {
    /// When its time line began, if it did.
    pub epoch: Option<Instant>,
    /// Where it was on its way to the barrier.
    pub arming: Option<Arming>,
    /// When its motors were told first.
    pub asked: Instant,
    /// When they are told again, or given up.
    pub patience: Instant,
    /// They have been told again, or need not be.
    pub last: bool,
}

impl UnderWay {
    fn new(epoch: Instant) -> UnderWay {
        UnderWay {
            epoch,
            deadline: Instant::FAR,
            patience: Instant::FAR,
            proposal: None,
            settled: None,
            attempts: 0,
            silent: BTreeSet::new(),
            held_told: false,
        }
    }
}

impl Stage {
    /// What it knows once it has begun, until it is halted.
    pub fn under_way(&self) -> Option<&UnderWay> {
        match self {
            Stage::Running(way) | Stage::Stopping(way) => Some(way),
            _ => None,
        }
    }

    pub fn under_way_mut(&mut self) -> Option<&mut UnderWay> {
        match self {
            Stage::Running(way) | Stage::Stopping(way) => Some(way),
            _ => None,
        }
    }

    /// What it knows of the barrier, until it has let go.
    pub fn arming_mut(&mut self) -> Option<&mut Arming> {
        match self {
            Stage::Arming(arming) => Some(arming),
            Stage::Halting(halting) => halting.arming.as_mut(),
            _ => None,
        }
    }

    /// When its time line began, also where it was halted since; `None`: it has not.
    pub fn epoch(&self) -> Option<Instant> {
        match self {
            Stage::Running(way) | Stage::Stopping(way) => Some(way.epoch),
            Stage::Halting(halting) => halting.epoch,
            Stage::Waiting(_) | Stage::Queued | Stage::Arming(_) => None,
        }
    }

    /// When its time line begins, as soon as the barrier has let go: its motors need not have said so yet.
    pub fn zero(&self) -> Option<Instant> {
        match self {
            Stage::Arming(arming) => arming.epoch.get(),
            Stage::Halting(Halting { epoch: None, arming: Some(arming), .. }) => arming.epoch.get(),
            _ => self.epoch(),
        }
    }

    /// The barrier has let go. False: that was known.
    pub fn begin(&mut self, zero: Instant) -> bool {
        match self {
            Stage::Arming(_) => *self = Stage::Running(Box::new(UnderWay::new(zero))),
            Stage::Halting(halting) if halting.epoch.is_none() => {
                (halting.epoch, halting.arming) = (Some(zero), None);
            }
            _ => return false,
        }
        true
    }

    /// On its way no more: it comes to rest on its path.
    pub fn stop(&mut self) {
        *self = match std::mem::replace(self, Stage::Queued) {
            Stage::Running(way) => Stage::Stopping(way),
            other => other,
        };
    }

    /// Its motors are told to stand still. What it was to agree on can no longer hold.
    ///
    /// `last`: who does not do so until `patience` is given up; else it is told again first.
    pub fn halt(&mut self, asked: Instant, patience: Instant, last: bool) {
        let (epoch, arming) = match std::mem::replace(self, Stage::Queued) {
            Stage::Halting(halting) => {
                let (asked, last) = (halting.asked, halting.last || last);
                *self = Stage::Halting(Halting { asked, patience, last, ..halting });
                return;
            }
            Stage::Running(way) | Stage::Stopping(way) => {
                if let Some(proposal) = &way.proposal {
                    proposal.gate.resolve();
                }
                (Some(way.epoch), None)
            }
            Stage::Arming(arming) => {
                arming.barrier.abort();
                (None, Some(arming))
            }
            Stage::Waiting(_) | Stage::Queued => (None, None),
        };
        *self = Stage::Halting(Halting { epoch, arming, asked, patience, last });
    }
}
