use std::sync::Arc;
use std::time::Duration;

use super::ADOPTION;
use super::blend::BlendRun;
use super::jog::{Play, sign};
use super::outcome::{Cause, MotorOutcome};
use super::plan::{Goal, Line, Part, Way};
use super::stage::{Aside, Stage};
use super::{Class, Owner};
use crate::config::OnFault;
use crate::motion::{State, Trajectory};
use crate::motor::MotorIndex;
use crate::trace::MoveKind;
use crate::units::Instant;

/// What a motor is to do, and what its present plan does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Aim {
    /// To its goal.
    Go,
    /// To rest on its path, and on from there later.
    Hold,
    /// To rest on its path; the rest is dropped.
    Stop,
}

/// A motor's part in a move under way.
pub(crate) struct Leg {
    pub part: Part,
    /// What it shall do.
    pub aim: Aim,
    /// What the plan does that its motor has.
    pub course: Aim,
    /// That plan is not the one that its aim asks for any more, though the aim is the same.
    pub stale: bool,
    /// Its plan can't be cut short any more: it ends at its goal, whatever its aim.
    pub fixed: bool,
    /// Where it shall go instead, once all motors have agreed.
    pub next: Option<Goal>,
    /// How long after the epoch its time line begins, nanoseconds.
    pub after: u64,
    /// In which direction a jog was last told to go: 1 or -1.
    pub asked: f64,
    /// On which side its play lay as the present plan began, and until when it was being taken up.
    pub play: (f64, Instant),
    /// The change that brought the plan; 0: it is the first.
    pub change: u64,
    /// It rests, and has said so.
    pub held: bool,
    /// Time zero of its trajectory, once its time line runs.
    pub since: Option<Instant>,
    /// The plan before, which holds up to there.
    pub before: Option<(Instant, Arc<Trajectory>)>,
}

impl Leg {
    pub fn new(part: Part) -> Leg {
        let asked = match &part.goal.way {
            Way::Jog(jog) => sign(jog.velocity),
            _ => 0.0,
        };
        Leg {
            asked,
            // Whatever comes first, its play is behind it.
            play: (0.0, Instant::ZERO),
            part,
            aim: Aim::Go,
            course: Aim::Go,
            stale: false,
            fixed: false,
            next: None,
            after: 0,
            change: 0,
            held: false,
            since: None,
            before: None,
        }
    }

    pub fn motor(&self) -> MotorIndex {
        self.part.motor
    }

    /// The goal that is wished for.
    pub fn goal(&self) -> &Goal {
        self.next.as_ref().unwrap_or(&self.part.goal)
    }

    pub fn on_line(&self) -> bool {
        matches!(self.part.goal.way, Way::Line | Way::Path)
    }

    /// Whether its plan must change. A stop is for good; at a hold everything waits for what follows.
    pub fn needs_change(&self) -> bool {
        match self.course {
            _ if self.fixed => false,
            Aim::Stop => false,
            Aim::Hold => self.aim != Aim::Hold,
            Aim::Go => self.aim != Aim::Go || self.stale,
        }
    }

    /// When its present plan ends.
    pub fn end(&self) -> Option<Instant> {
        self.since.map(|since| since.plus_nanos(self.part.trajectory.duration()))
    }

    /// The state that its present plan has at `t`.
    pub fn state_at(&self, t: Instant) -> State {
        let elapsed = self.since.map_or(0, |since| t.nanos_since(since));
        self.part.trajectory.state_at(elapsed)
    }

    /// On which side its play lies at `t`, by its present plan, and how long it is still being taken up.
    pub fn play_at(&self, t: Instant) -> Play {
        let plan = &self.part.trajectory;
        let (mut heading, mut until) = self.play;
        if self.change == 0 {
            // Its motor has taken it up before the first plan began.
            heading = sign(plan.end() - plan.start().position);
        }
        let since = self.since.unwrap_or(t);
        for (start, duration, place) in plan.waits() {
            let begins = since.plus_nanos(start);
            if begins <= t {
                heading = sign(plan.end() - place);
                until = begins.plus_nanos(duration);
            }
        }
        Play { heading, until: until.nanos_since(t) }
    }

    /// Whether it rests at its goal by then, by the plan that it has.
    pub fn is_over_by(&self, at: Instant) -> bool {
        self.course == Aim::Go && self.end().is_some_and(|end| end <= at)
    }

    /// What its present plan has left at `t`.
    pub fn left(&self, t: Instant) -> Trajectory {
        self.part.trajectory.after(self.since.map_or(0, |since| t.nanos_since(since)))
    }

    /// The greatest speed that it is told to have from `from` to `to`, native.
    pub fn top_speed(&self, from: Instant, to: Instant) -> f64 {
        let Some(since) = self.since else { return 0.0 };
        let mut top = 0.0;
        if to >= since {
            let plan = &self.part.trajectory;
            top = plan.top_speed_between(from.nanos_since(since), to.nanos_since(since));
        }
        if let Some((zero, old)) = self.before.as_ref().filter(|_| from < since) {
            let until = to.min(since).nanos_since(*zero);
            top = old.top_speed_between(from.nanos_since(*zero), until).max(top);
        }
        top
    }

    /// The velocity that it is told to have at `t`, native.
    pub fn velocity_at(&self, t: Instant) -> f64 {
        match (self.since, &self.before) {
            _ if self.held => 0.0,
            (Some(since), _) if t >= since => self.state_at(t).velocity,
            (_, Some((zero, old))) => old.state_at(t.nanos_since(*zero)).velocity,
            _ => 0.0,
        }
    }
}

/// A move that has not ended.
pub(crate) struct Active {
    pub owner: Owner,
    pub kind: MoveKind,
    pub class: Class,
    /// When it was taken in, and all the motors that it was asked for.
    pub began: Instant,
    pub all: Vec<MotorIndex>,
    pub stage: Stage,
    /// Those whose motor has not ended.
    pub legs: Vec<Leg>,
    pub line: Option<Line>,
    pub run: Option<BlendRun>,
    /// The move's own share of the speed limits, before the machine's override.
    pub share: f64,
    /// Its own speed override, beside the machine's.
    pub own_speed: f64,
    pub on_fault: OnFault,
    /// Why it falls short, once it does.
    pub cause: Option<Cause>,
    /// How long it may wait for its share of the power budget.
    pub power_patience: Duration,
    /// How much longer than planned it may take, nanoseconds.
    pub slack: u64,
    /// How its motors ended, in the order they came, and how many of those have been handed out.
    pub ended: Vec<MotorOutcome>,
    pub told: usize,
}

impl Active {
    /// Its plans count from here on, and its time-out with them.
    pub fn counts_anew(&mut self) {
        let end = self.end();
        if let (Some(way), Some(end)) = (self.stage.under_way_mut(), end) {
            way.deadline = end.plus_nanos(self.slack);
        }
    }

    /// Its speed has changed: what can be planned anew has to be.
    pub fn other_speed(&mut self) {
        for leg in &mut self.legs {
            leg.stale |= !matches!(leg.goal().way, Way::Frames(_));
        }
    }

    pub fn leg(&self, motor: MotorIndex) -> Option<&Leg> {
        self.legs.iter().find(|l| l.motor() == motor)
    }

    pub fn leg_mut(&mut self, motor: MotorIndex) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|l| l.motor() == motor)
    }

    pub fn motors(&self) -> Vec<MotorIndex> {
        self.legs.iter().map(Leg::motor).collect()
    }

    /// The instant at which the last of its present trajectories ends.
    pub fn end(&self) -> Option<Instant> {
        self.legs.iter().filter_map(Leg::end).max()
    }

    /// At rest by a hold, all of it.
    pub fn is_held(&self) -> bool {
        match self.stage {
            Stage::Waiting(_) => true,
            Stage::Running(_) => {
                let held = |l: &Leg| l.aim == Aim::Hold && l.course == Aim::Hold && l.held;
                self.legs.iter().all(held)
            }
            Stage::Queued | Stage::Arming(_) | Stage::Stopping(_) | Stage::Halting(_) => false,
        }
    }

    /// It comes to rest before its target.
    pub fn is_stopping(&self) -> bool {
        matches!(self.stage, Stage::Stopping(_) | Stage::Halting(_))
    }

    /// Its motors know of it.
    pub fn is_told(&self) -> bool {
        !matches!(self.stage, Stage::Waiting(_) | Stage::Queued)
    }

    /// Its time line has begun.
    pub fn has_begun(&self) -> bool {
        self.stage.epoch().is_some()
    }

    /// How it gave its motors up for others while it is held; `None`: it has not.
    pub fn aside(&self) -> Option<Aside> {
        match self.stage {
            Stage::Waiting(aside) => aside,
            _ => None,
        }
    }

    /// A hold is under way, or it is held.
    pub fn is_holding(&self) -> bool {
        self.legs.iter().any(|l| l.aim == Aim::Hold)
    }

    /// Some motor shall come to rest, by the plan that it has, and has not said yet that it is.
    pub fn is_braking(&self) -> bool {
        let brakes = |l: &Leg| l.fixed || l.course == Aim::Stop || l.course == Aim::Hold && !l.held;
        self.legs.iter().any(brakes)
    }

    /// Whether its time-out runs: not before all of it has gone on from a hold.
    pub fn on_the_way(&self) -> bool {
        let holds = |l: &Leg| l.aim == Aim::Hold || l.course == Aim::Hold;
        matches!(self.stage, Stage::Running(_)) && !self.legs.iter().any(holds)
    }

    /// When the next change of plan may be proposed, if one is wanted.
    pub fn change_due(&self) -> Option<Instant> {
        let from = |settled: Instant| (settled + ADOPTION).plus_nanos(1);
        let settled = self.stage.under_way()?.settled;
        self.wants_change().then(|| settled.map_or(Instant::ZERO, from))
    }

    /// Every motor rests at its goal by then, by the plan that it has.
    pub fn all_but_over(&self, at: Instant) -> bool {
        self.has_begun() && self.run.is_none() && self.legs.iter().all(|l| l.is_over_by(at))
    }

    /// All legs shall do this; a leg that stops goes on to stop.
    pub fn aim(&mut self, aim: Aim) {
        self.legs.iter_mut().filter(|l| l.aim != Aim::Stop).for_each(|l| l.aim = aim);
    }

    /// Whether there is something to agree on.
    pub fn wants_change(&self) -> bool {
        self.stage.under_way().is_some() && self.legs.iter().any(|l| self.may_change(l))
    }

    /// Whether the plan of this leg must change, and can. Keyframes have times, so their way on from
    /// a hold begins at rest, for all of them at once.
    pub fn may_change(&self, leg: &Leg) -> bool {
        let framed = leg.aim == Aim::Go && matches!(leg.goal().way, Way::Frames(_));
        let brakes = |l: &Leg| l.course == Aim::Hold && !l.held;
        leg.needs_change() && !(framed && self.legs.iter().any(brakes))
    }

    /// The line's trajectory of `s` at an instant.
    pub fn line_state(&self, at: Instant) -> Option<State> {
        let since = self.legs.iter().find(|l| l.on_line())?.since?;
        Some(self.line.as_ref()?.s.state_at(at.nanos_since(since)))
    }
}
