//! A machine that moves nothing: each move takes as long as it is told, and what was asked of it is counted.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{MotorUnit, OnFault};
use crate::motor::{MotorIndex, MoveId};
use crate::moves::{FramesPlan, MotorOutcome, Move, MoveError, Outcome, Start, Waypoint};
use crate::programs::Host;
use crate::sync::{EventError, WaitId};
use crate::units::Instant;

/// What was asked of it since this was asked last.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub struct Asked {
    /// Plans.
    pub plans: usize,
    /// Keyframes that were planned.
    pub frames: usize,
    /// Places of blended runs.
    pub places: usize,
    /// Events that happened.
    pub events: usize,
}

/// A blended run: how many places it has, and whether more will come.
struct Run {
    places: usize,
    open: bool,
}

pub struct Fake {
    now: Instant,
    /// How long a move takes.
    lasts: Duration,
    last: MoveId,
    ends: BTreeMap<MoveId, Instant>,
    runs: BTreeMap<MoveId, Run>,
    outcomes: BTreeMap<MoveId, Vec<MotorOutcome>>,
    asked: Asked,
    frames_left: usize,
    /// The names of all that happened, and of all that was moved to, in their order.
    pub story: Vec<String>,
}

impl Fake {
    pub fn new(lasts: Duration) -> Fake {
        Fake {
            now: Instant::ZERO,
            lasts,
            last: 0,
            ends: BTreeMap::new(),
            runs: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            asked: Asked::default(),
            frames_left: 0,
            story: Vec::new(),
        }
    }

    pub fn asked(&mut self) -> Asked {
        std::mem::take(&mut self.asked)
    }

    /// Time goes on; a run goes through its places.
    pub fn advance(&mut self, to: Instant) {
        self.now = self.now.max(to);
        for run in self.runs.values_mut() {
            run.places = run.places.saturating_sub(100);
        }
        let (now, runs) = (self.now, &self.runs);
        let goes_on = |id: &MoveId| runs.get(id).is_some_and(|run| run.open || run.places > 0);
        self.ends.retain(|id, end| goes_on(id) || *end > now);
        let ends = &self.ends;
        self.runs.retain(|id, _| ends.contains_key(id));
    }

    pub fn is_moving(&self) -> bool {
        !self.ends.is_empty()
    }

    fn begin(&mut self, motors: impl Iterator<Item = MotorIndex>) -> MoveId {
        self.last += 1;
        let id = self.last;
        let reached = |motor| MotorOutcome {
            id,
            motor: format!("m{motor}"),
            outcome: Outcome::Reached,
            position: 0.0,
            steps: None,
            unit: MotorUnit::Millimetre,
            place: crate::moves::Place::Assumed,
        };
        self.outcomes.insert(id, motors.map(reached).collect());
        if !self.lasts.is_zero() {
            self.ends.insert(id, self.now + self.lasts);
        }
        id
    }
}

impl Host for Fake {
    fn now(&self) -> Instant {
        self.now
    }

    fn program_now(&self) -> Instant {
        self.now
    }

    fn machine_time_of(&self, at: Instant) -> Instant {
        at
    }

    fn is_held(&self) -> bool {
        false
    }

    fn is_stopped(&self) -> bool {
        false
    }

    fn ready(&self, _motor: MotorIndex) -> Result<Start, MoveError> {
        Ok(Start::At(0.0))
    }

    fn start_move(
        &mut self,
        targets: &[(MotorIndex, f64)],
        _spec: &Move,
    ) -> Result<MoveId, MoveError> {
        self.asked.plans += 1;
        self.story.extend(targets.iter().map(|(motor, at)| format!("{motor}={at}")));
        Ok(self.begin(targets.iter().map(|t| t.0)))
    }

    fn start_spin(
        &mut self,
        speeds: &[(MotorIndex, f64)],
        _lasts: Duration,
    ) -> Result<MoveId, MoveError> {
        self.asked.plans += 1;
        Ok(self.begin(speeds.iter().map(|s| s.0)))
    }

    fn start_run(
        &mut self,
        motors: Vec<MotorIndex>,
        places: &[Waypoint],
        open: bool,
        _on_fault: OnFault,
    ) -> Result<MoveId, MoveError> {
        self.asked.plans += 1;
        self.asked.places += places.len();
        let id = self.begin(motors.into_iter());
        self.runs.insert(id, Run { places: places.len(), open });
        Ok(id)
    }

    fn run_wants(&self, id: MoveId) -> bool {
        self.runs.get(&id).is_some_and(|run| run.open && run.places < 256)
    }

    fn extend_run(&mut self, id: MoveId, places: &[Waypoint]) -> Result<(), MoveError> {
        self.asked.places += places.len();
        let run = self.runs.get_mut(&id).ok_or(MoveError::NotOpen { id })?;
        run.places += places.len();
        Ok(())
    }

    fn end_run(&mut self, id: MoveId) {
        self.runs.entry(id).and_modify(|run| run.open = false);
    }

    fn plan_frames(&mut self, plan: &mut FramesPlan, most: usize) -> Result<bool, MoveError> {
        self.asked.frames += most;
        self.frames_left = match self.frames_left {
            0 => plan.frames().saturating_sub(most),
            left => left.saturating_sub(most),
        };
        Ok(self.frames_left == 0)
    }

    fn start_frames(&mut self, plan: FramesPlan) -> Result<MoveId, MoveError> {
        self.asked.plans += 1;
        Ok(self.begin(plan.starts().map(|s| s.0)))
    }

    fn is_active(&self, id: MoveId) -> bool {
        self.ends.contains_key(&id)
    }

    fn take_outcome(&mut self, id: MoveId) -> Option<MotorOutcome> {
        if self.is_active(id) {
            return None;
        }
        self.outcomes.get_mut(&id)?.pop()
    }

    fn stop_move(&mut self, id: MoveId) {
        self.ends.remove(&id);
        self.runs.remove(&id);
    }

    fn share(&mut self, gives: bool) {
        self.story.push(if gives { "shares" } else { "takes back" }.to_owned());
    }

    fn shares(&self) -> bool {
        false
    }

    fn lacks(&self, _: &[MotorIndex]) -> Option<MotorIndex> {
        None
    }

    fn happens(&mut self, name: String) {
        self.asked.events += 1;
        self.story.push(name);
    }

    fn wait_for(&mut self, _names: &[String], _timeout: Duration) -> Result<WaitId, EventError> {
        Err(EventError::Stopped { missing: Vec::new() })
    }

    fn waited(&mut self, _id: WaitId, _until: Instant) -> Option<Result<(), EventError>> {
        None
    }

    fn cancel_wait(&mut self, _id: WaitId) {}
}
