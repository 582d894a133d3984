use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::STOP_PATIENCE;
use super::outcome::{Cause, MotorOutcome};
use super::plan::{Line, Part};
use crate::config::OnFault;
use crate::motion::{Planner, Trajectory};
use crate::motor::{Change, Epoch, Gate, MotorIndex, MoveId, Verdict};
use crate::sync::StepBarrier;
use crate::units::Instant;

/// Where a move stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Its motors get ready and come to the barrier.
    Arming,
    /// On its time line.
    Running,
    /// Coming to rest before its target.
    Stopping,
}

/// How far past the end of a line, as a share of it, rounding may bring a stop.
const BEYOND: f64 = 1e-9;

/// A change of plan on its way to the motors.
pub(super) struct Proposal {
    pub number: u64,
    pub at: Instant,
    pub gate: Arc<Gate>,
    pub missing: BTreeSet<MotorIndex>,
    line: Option<Arc<Trajectory>>,
    trajectories: Vec<(MotorIndex, Arc<Trajectory>)>,
}

/// A move that has not ended.
pub(super) struct Active {
    pub kind: &'static str,
    pub stage: Stage,
    /// Parts whose motor has not ended.
    pub parts: Vec<Part>,
    pub line: Option<Line>,
    /// Motors that have not yet come to the barrier.
    pub absent: BTreeSet<MotorIndex>,
    pub barrier: StepBarrier,
    pub epoch: Arc<Epoch>,
    /// Time zero of the current trajectories.
    pub zero: Option<Instant>,
    pub on_fault: OnFault,
    /// Why it falls short, once it does.
    pub cause: Option<Cause>,
    /// Because of whom it did not start, once that is known.
    pub missed: Option<BTreeSet<MotorIndex>>,
    /// How long it may take from its epoch on.
    pub allowance: Duration,
    /// When its time-out passes, from its start on.
    pub deadline: Instant,
    /// When a barrier that is not complete breaks, or when a stop is given up.
    pub patience: Instant,
    pub proposal: Option<Proposal>,
    pub attempts: u32,
    /// Who had not acknowledged the last proposal when it expired.
    pub silent: BTreeSet<MotorIndex>,
    /// How its motors ended, in the order they came, and how many of those have been handed out.
    pub ended: Vec<MotorOutcome>,
    pub told: usize,
}

impl Active {
    pub fn part(&self, motor: MotorIndex) -> Option<&Part> {
        self.parts.iter().find(|p| p.motor == motor)
    }

    /// The instant at which the last of its present trajectories ends.
    pub fn end(&self) -> Option<Instant> {
        let longest = self.parts.iter().map(|p| p.trajectory.duration()).max().unwrap_or(0);
        self.zero.map(|zero| zero.plus_nanos(longest))
    }

    /// The motors come to rest on their path from `at` on: one new `s` for those on the line, each
    /// alone for the others. `None` where nothing is left to brake, or no plan was found: then the
    /// present plan, which ends at rest, goes on.
    pub fn propose_rest(
        &self,
        planner: &mut Planner,
        number: u64,
        at: Instant,
    ) -> Option<Proposal> {
        let zero = self.zero?;
        if self.end()? <= at {
            return None;
        }
        let elapsed = at.nanos_since(zero);
        let mut line = None;
        if let Some(old) = &self.line {
            let now = old.s.state_at(elapsed);
            let rest = planner.to_rest(now, old.limits).ok()?;
            // Too late to stop before the target: the present plan ends at rest there anyway.
            if rest.extremes().max > old.s.end() + BEYOND {
                return None;
            }
            line = Some(Arc::new(rest));
        }
        let mut trajectories = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let t = match &line {
                Some(s) if part.on_line => s.scaled(part.start, part.distance),
                _ => planner.to_rest(part.trajectory.state_at(elapsed), part.limits).ok()?,
            };
            trajectories.push((part.motor, Arc::new(t)));
        }
        let missing = self.parts.iter().map(|p| p.motor).collect();
        Some(Proposal { number, at, gate: Arc::default(), missing, line, trajectories })
    }

    /// Commits the proposal if no acknowledgement is missing.
    pub fn commit(&mut self) {
        let complete = self.proposal.as_ref().is_some_and(|p| p.missing.is_empty());
        // Else: not all yet; or expired, which is seen when its instant has passed.
        if complete
            && let Some(proposal) = self.proposal.take_if(|p| p.gate.commit() == Verdict::Committed)
        {
            self.patience = proposal.at.plus_nanos(proposal.duration()) + STOP_PATIENCE;
            self.adopt(proposal);
        }
    }

    /// The proposal is what holds now.
    pub fn adopt(&mut self, proposal: Proposal) {
        self.zero = Some(proposal.at);
        if let (Some(line), Some(s)) = (&mut self.line, proposal.line) {
            line.s = s;
        }
        for (motor, trajectory) in proposal.trajectories {
            if let Some(part) = self.parts.iter_mut().find(|p| p.motor == motor) {
                part.trajectory = trajectory;
            }
        }
    }
}

impl Proposal {
    /// What each motor is told.
    pub fn changes(&self, id: MoveId) -> impl Iterator<Item = (MotorIndex, Change)> + '_ {
        self.trajectories.iter().map(move |(motor, trajectory)| {
            let (number, at, gate) = (self.number, self.at, self.gate.clone());
            (*motor, Change { number, id, trajectory: trajectory.clone(), at, gate })
        })
    }

    /// How long the new trajectories last.
    pub fn duration(&self) -> u64 {
        self.trajectories.iter().map(|t| t.1.duration()).max().unwrap_or(0)
    }
}
