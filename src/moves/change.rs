//! The change of plan while a move runs: what is proposed, to whom, and what follows when all agree.
//!
//! One mechanism serves hold, resume, speed override, retarget, jog and stop: what a leg shall do (its
//! aim, its next goal) and what its present plan does (its course) are two things, and a proposal
//! brings the one to the other, for all motors that it concerns, or for none.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::active::{Active, Aim, Leg};
use super::blend::{BlendRun, RunDraft};
use super::jog::{Beginning, plan_jog, sign, unsafe_jog};
use super::model::MotorModel;
use super::outcome::Cause;
use super::plan::{self, Goal, Jogging, Way, plan_error};
use super::stage::Stage;
use super::{ADOPTION, Action, CHANGE_ATTEMPTS, MoveBook, MoveError, NEXT_LEAD, STOP_PATIENCE};
use crate::motion::{Planner, Trajectory};
use crate::motor::{Change, Command, Gate, MotorIndex, MoveId, Then, Verdict};
use crate::trace::{Mark, PlanChange};
use crate::units::Instant;

/// How far past the end of a line, as a share of it, rounding may bring a plan.
const BEYOND: f64 = 1e-9;

/// How far past its goal, in steps or shares of what is near enough, rounding may bring a motor.
const NEAR: f64 = 0.1;

/// As a share of the speed limit, how fast a motion may go the other way and count as going on.
const BACK: f64 = 1e-3;

/// A change of plan on its way to the motors.
pub(super) struct Proposal {
    pub number: u64,
    pub gate: Arc<Gate>,
    /// Who has not acknowledged it yet.
    pub missing: BTreeSet<MotorIndex>,
    draft: Draft,
}

/// New plans from an instant on.
#[derive(Default)]
struct Draft {
    line: Option<Arc<Trajectory>>,
    items: Vec<Item>,
    /// The path of a blended run from then on.
    run: Option<RunDraft>,
    /// Motors whose present plan does already what is asked for, or will before it could be changed.
    keep: Vec<MotorIndex>,
}

/// A motor's new plan.
struct Item {
    motor: MotorIndex,
    trajectory: Arc<Trajectory>,
    course: Aim,
    goal: Option<Goal>,
    /// What the trace calls it.
    word: PlanChange,
}

/// What plans are made with.
struct Means<'m> {
    planner: &'m mut Planner,
    models: &'m [MotorModel],
    /// The machine's speed override, as a share.
    speed: f64,
}

/// What the line as a whole does.
enum LinePlan {
    /// Nothing new: it is too late, and the present plan ends at rest.
    Keep,
    New(Arc<Trajectory>),
}

impl Active {
    /// The plans that the legs ask for, from `at` on.
    fn draft(&self, means: &mut Means<'_>, at: Instant) -> Result<Draft, MoveError> {
        if let Some(run) = &self.run {
            return self.run_draft(run, means, at);
        }
        let share = (self.share * means.speed).min(1.0);
        let changing: Vec<&Leg> = self.legs.iter().filter(|l| self.may_change(l)).collect();
        let mut draft = Draft::default();
        let of_line = |l: &&&Leg| l.on_line() && (l.aim != Aim::Go || l.next.is_none());
        let line = match changing.iter().find(of_line) {
            Some(leg) => Some(self.line_plan(means, leg.aim, leg.course, at, share)?),
            None => None,
        };
        if let Some(LinePlan::New(s)) = &line {
            draft.line = Some(s.clone());
        }
        let late = self.frames_late(means, &changing)?;
        for leg in changing {
            // It rests at its goal before anything could change.
            let over = leg.is_over_by(at);
            let in_line = of_line(&&leg);
            let s = match &line {
                Some(LinePlan::New(s)) if in_line => Some(s),
                _ => None,
            };
            if over || (in_line && s.is_none()) {
                draft.keep.push(leg.motor());
                continue;
            }
            let model = &means.models[leg.motor()];
            let item = match (leg.aim, s) {
                (Aim::Go, Some(s)) => Some(leg.item(leg.part.to_goal(s), None)),
                (Aim::Go, None) => leg.go_alone(means, model, at, share, late)?,
                (_, Some(s)) => Some(leg.item(s.scaled(leg.part.start, leg.part.distance()), None)),
                (_, None) => leg.rest_alone(means.planner, model, at)?,
            };
            match item {
                Some(item) => draft.items.push(item),
                None => draft.keep.push(leg.motor()),
            }
        }
        Ok(draft)
    }

    /// A blended run goes on, or comes to rest on its path.
    fn run_draft(
        &self,
        run: &BlendRun,
        means: &Means<'_>,
        at: Instant,
    ) -> Result<Draft, MoveError> {
        let Some(first) = self.legs.iter().find(|l| self.may_change(l)) else {
            return Ok(Draft::default());
        };
        let (aim, course) = (first.aim, first.course);
        let (drafted, trajectories) = run.draft(aim, course, at, means.speed);
        let word = match (aim, course) {
            (Aim::Hold, _) => PlanChange::Hold,
            (Aim::Stop, _) => PlanChange::Stop,
            (Aim::Go, Aim::Hold) => PlanChange::Resume,
            _ if drafted.is_override() => PlanChange::Override,
            _ => PlanChange::Path,
        };
        let mut draft = Draft::default();
        for leg in &self.legs {
            let model = &means.models[leg.motor()];
            let Some((trajectory, goal)) = run.of_motor(leg.motor(), model, &trajectories) else {
                continue;
            };
            plan::check_extremes(model, &trajectory, 1.0)?;
            let trajectory = Arc::new(trajectory);
            draft.items.push(Item {
                motor: leg.motor(),
                trajectory,
                course: aim,
                goal: Some(goal),
                word,
            });
        }
        draft.run = Some(drafted);
        Ok(draft)
    }

    fn line_plan(
        &self,
        means: &mut Means<'_>,
        aim: Aim,
        course: Aim,
        at: Instant,
        share: f64,
    ) -> Result<LinePlan, MoveError> {
        let (Some(line), Some(from)) = (&self.line, self.line_state(at)) else {
            return Ok(LinePlan::Keep);
        };
        if course == Aim::Hold && aim == Aim::Stop {
            return Ok(LinePlan::New(Arc::new(self.line_left(line, at))));
        }
        let limits = line.limits.at_share(share);
        let names = || {
            let on_line = self.legs.iter().filter(|l| l.on_line());
            on_line.map(|l| means.models[l.motor()].name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let planned = match aim {
            Aim::Go => means.planner.onward(from, 1.0, limits),
            Aim::Hold | Aim::Stop => means.planner.plan_rest(from, line.limits),
        };
        let s = planned.map_err(|error| plan_error(&names())(error))?;
        let beyond = s.extremes().max - 1.0;
        let back = s.least_velocity(1.0) < -BACK * line.limits.speed;
        if (beyond > BEYOND || back) && course == Aim::Go {
            // Too late: the present plan comes to rest at the target anyway.
            let goes_on = self.legs.iter().any(Leg::rests_on_the_way);
            let left = goes_on.then(|| LinePlan::New(Arc::new(self.line_left(line, at))));
            return Ok(left.unwrap_or(LinePlan::Keep));
        }
        let farthest = self.legs.iter().map(|l| l.part.distance().abs() * beyond);
        if back || farthest.fold(0.0, f64::max) > NEAR {
            return Err(MoveError::Unsafe { motor: names(), limit: "line" });
        }
        Ok(LinePlan::New(Arc::new(s)))
    }

    /// What the line has left of its present plan.
    fn line_left(&self, line: &plan::Line, at: Instant) -> Trajectory {
        let since = self.legs.iter().find(|l| l.on_line()).and_then(|l| l.since);
        line.s.after(since.map_or(0, |since| at.nanos_since(since)))
    }

    /// By how much keyframes have to wait so that every motor can be in its next one in time: those
    /// that go on from a hold begin at rest.
    fn frames_late(&self, means: &mut Means<'_>, changing: &[&Leg]) -> Result<u64, MoveError> {
        let mut late = 0;
        for leg in changing.iter().filter(|l| l.aim == Aim::Go) {
            let Way::Frames(frames) = &leg.goal().way else { continue };
            let model = &means.models[leg.motor()];
            late = late.max(frames.late(means.planner, model, leg.part.trajectory.end())?);
        }
        Ok(late)
    }

    /// The proposal is what holds now.
    fn adopt(&mut self, number: u64, at: Instant, draft: Draft) {
        for item in draft.items {
            let Some(leg) = self.leg_mut(item.motor) else { continue };
            let play = leg.play_at(at);
            leg.play = (play.heading, at.plus_nanos(play.until));
            leg.before = leg.since.map(|since| (since, leg.part.trajectory.clone()));
            leg.since = Some(at);
            // One that is held, and has not turned as it was told to: going on will be the turn.
            let velocity = item.trajectory.start().velocity;
            if item.course == Aim::Hold && velocity * leg.asked < 0.0 {
                leg.asked = sign(velocity);
            }
            leg.part.trajectory = item.trajectory;
            leg.course = item.course;
            leg.change = number;
            (leg.held, leg.stale) = (false, false);
            if item.course == Aim::Go {
                leg.next = None;
            }
            if let Some(goal) = item.goal {
                leg.part.goal = goal;
            }
            if let (Aim::Go, Way::Jog(jog)) = (item.course, &leg.part.goal.way)
                && jog.velocity != 0.0
            {
                leg.asked = sign(jog.velocity);
            }
        }
        if let (Some(line), Some(s)) = (&mut self.line, draft.line) {
            line.s = s;
        }
        if let (Some(run), Some(drafted)) = (&mut self.run, draft.run) {
            run.adopt(drafted);
        }
        if !self.legs.iter().any(Leg::on_line) {
            self.line = None;
        }
        if let Some(way) = self.stage.under_way_mut() {
            way.settled = Some(at);
            way.attempts = 0;
            way.silent.clear();
            way.held_told = false;
        }
    }

    /// These legs' present plans do what they are asked for, or end before they could.
    fn keep(&mut self, motors: &[MotorIndex]) {
        for leg in self.legs.iter_mut().filter(|l| motors.contains(&l.motor())) {
            leg.stale = false;
            // A new target that came too late stays wished for: that it was missed is said at the end.
            leg.fixed = leg.aim != Aim::Go || leg.next.is_some();
        }
    }
}

impl Leg {
    fn item(&self, trajectory: Trajectory, goal: Option<Goal>) -> Item {
        let turns = match &self.next.as_ref().unwrap_or(&self.part.goal).way {
            Way::Jog(jog) => jog.velocity * self.asked < 0.0,
            _ => false,
        };
        let word = match (self.aim, self.course, &self.next) {
            (Aim::Hold, ..) => PlanChange::Hold,
            (Aim::Stop, ..) => PlanChange::Stop,
            // Nothing else turns a jog round.
            _ if turns => PlanChange::Turn,
            (Aim::Go, _, Some(Goal { way: Way::Jog(_), .. })) => PlanChange::Renew,
            (Aim::Go, _, Some(_)) => PlanChange::Retarget,
            (Aim::Go, Aim::Hold, None) => PlanChange::Resume,
            (Aim::Go, _, None) => PlanChange::Override,
        };
        let trajectory = Arc::new(trajectory);
        Item { motor: self.motor(), trajectory, course: self.aim, goal, word }
    }

    /// It is told to hold, and to go elsewhere from there: its present goal is not its end.
    pub(super) fn rests_on_the_way(&self) -> bool {
        self.aim == Aim::Hold && self.next.is_some()
    }

    /// To rest by itself, on its own path. `None`: its present plan, which ends at rest, can't be cut
    /// short.
    fn rest_alone(
        &self,
        planner: &mut Planner,
        model: &MotorModel,
        at: Instant,
    ) -> Result<Option<Item>, MoveError> {
        if self.course == Aim::Hold {
            // It is on its way to rest, or there: all the same, but for what follows.
            return Ok(Some(self.item(self.left(at), None)));
        }
        let from = self.state_at(at);
        let rest = planner.plan_rest(from, model.native_limits(1.0));
        let rest = rest.map_err(plan_error(&model.name))?;
        // Farther than its present plan ever goes that way: that one brakes harder already.
        let (left, way) = (self.left(at), from.velocity.signum());
        let farthest = if way > 0.0 { left.extremes().max } else { left.extremes().min };
        if from.velocity != 0.0 && (rest.end() - farthest) * way > NEAR * model.tolerance() {
            if left.least_velocity(way) >= -BACK * model.native_limits(1.0).speed {
                return Ok(self.rests_on_the_way().then(|| self.item(left, None)));
            }
            // It turns round there. Where nobody knows the place, no travel bounds it.
            if !matches!(&self.part.goal.way, Way::Jog(jog) if !jog.bounded) {
                plan::check_extremes(model, &rest, 1.0)?;
            }
        }
        // What is left of keyframes counts from here on, and so does the time that stands still.
        let goal = match (&self.part.goal.way, self.since) {
            (Way::Jog(jog), _) if jog.pauses && self.aim == Aim::Hold => {
                let lasts = jog.until.map_or(jog.lasts, |until| until.nanos_since(at));
                let way = Way::Jog(Jogging { lasts, until: None, ..*jog });
                Some(Goal { way, ..self.part.goal })
            }
            (Way::Frames(frames), Some(since)) if self.course == Aim::Go => {
                let left = frames.after(at.nanos_since(since));
                Some(Goal { way: Way::Frames(left), ..self.part.goal })
            }
            _ => None,
        };
        Ok(Some(self.item(rest, goal)))
    }

    /// A plan from rest at `at`, once the play that a jog is still taking up there has been taken up.
    fn after_play(&self, plan: Trajectory, at: Instant) -> Option<Trajectory> {
        let (place, wait) = (plan.start().position, self.play_at(at).until);
        match wait {
            0 => Some(plan),
            wait => Trajectory::chain(&[Trajectory::dwell(place, wait), plan]),
        }
    }

    /// On to its goal, by itself. `None`: it brakes for it already.
    fn go_alone(
        &self,
        means: &mut Means<'_>,
        model: &MotorModel,
        at: Instant,
        share: f64,
        late: u64,
    ) -> Result<Option<Item>, MoveError> {
        let (goal, from) = (self.goal(), self.state_at(at));
        let plan_error = plan_error(&model.name);
        match &goal.way {
            Way::Line | Way::Alone | Way::Path => {
                let limits = model.native_limits(share);
                let t = means.planner.onward(from, goal.end, limits).map_err(plan_error)?;
                if self.next.is_none() {
                    // To the same place as before: not by turning back on the way.
                    let toward = (goal.end - from.position).signum();
                    let back = |t: &Trajectory| {
                        t.least_velocity(toward) < -BACK * model.native_limits(1.0).speed
                    };
                    if back(&t) && !back(&self.left(at)) {
                        return match self.course {
                            Aim::Go => Ok(None),
                            _ => Err(MoveError::TooFastToTurn { motor: model.name.clone() }),
                        };
                    }
                }
                plan::check_extremes(model, &t, 1.0)?;
                let t = self.after_play(t, at).ok_or_else(|| unsafe_jog(model))?;
                Ok(Some(self.item(t, self.next.clone())))
            }
            Way::Jog(jog) => {
                let left = jog.until.map_or(jog.lasts, |until| until.nanos_since(at));
                let present = self.left(at);
                let (state, play) = (from, self.play_at(at));
                let from = Beginning { state, play, present: Some(&present) };
                let t = plan_jog(means.planner, model, from, *jog, left, share)?;
                let until = jog.until.or(Some(at.plus_nanos(left)));
                let (end, way) = (t.end(), Way::Jog(Jogging { until, ..*jog }));
                let goal = Goal { end, target: model.to_unit(end), way };
                Ok(Some(self.item(t, Some(goal))))
            }
            Way::Frames(frames) => {
                let (t, frames) = frames.onward(means.planner, model, from.position, late)?;
                plan::check_extremes(model, &t, 1.0)?;
                let goal = Goal { way: Way::Frames(frames), ..*goal };
                Ok(Some(self.item(t, Some(goal))))
            }
        }
    }
}

impl Proposal {
    pub fn at(&self) -> Instant {
        self.gate.at()
    }

    /// What each motor is told.
    fn changes(&self, id: MoveId) -> Vec<(MotorIndex, Change)> {
        let change = |item: &Item| {
            let more = self.draft.run.as_ref().is_some_and(RunDraft::is_open);
            let on = item.course == Aim::Hold || (item.course == Aim::Go && more);
            let then = if on { Then::Hold } else { Then::End };
            let (trajectory, gate) = (item.trajectory.clone(), self.gate.clone());
            (item.motor, Change::new(self.number, id, trajectory, then, gate))
        };
        self.draft.items.iter().map(change).collect()
    }

    /// How long the new trajectories last.
    fn duration(&self) -> u64 {
        self.draft.items.iter().map(|i| i.trajectory.duration()).max().unwrap_or(0)
    }
}

impl MoveBook {
    /// Alters what is wished of a move, and goes about it: at once, or as soon as what was agreed on
    /// before has taken hold. A proposal that is not decided yet is taken back.
    pub(super) fn alter(&mut self, id: MoveId, wish: impl FnOnce(&mut Active)) {
        let Some(active) = self.active.get_mut(&id) else { return };
        let way = active.stage.under_way_mut();
        if let Some(proposal) = way.and_then(|way| way.proposal.take())
            && proposal.gate.resolve() == Verdict::Committed
        {
            self.adopt(id, proposal);
        }
        let Some(active) = self.active.get_mut(&id) else { return };
        if let Stage::Running(way) = &mut active.stage {
            way.attempts = 0;
        }
        wish(active);
        self.advance(id);
    }

    /// How far ahead a change of this move is set: as its motors' loops need it.
    pub(super) fn change_lead(&self, active: &Active) -> Duration {
        let leads = active.legs.iter().map(|l| self.motors[l.motor()].leads.change);
        leads.max().unwrap_or_default()
    }

    /// Proposes what is to be agreed on, if anything is and it is time.
    pub(super) fn advance(&mut self, id: MoveId) {
        let now = self.now;
        self.leave_silent(id);
        let Some(active) = self.active.get(&id) else { return };
        let lead = self.change_lead(active);
        let Some(active) = self.active.get_mut(&id) else { return };
        let wanted = active.wants_change();
        let Some(way) = active.stage.under_way_mut().filter(|_| wanted) else { return };
        let waits = way.settled.is_some_and(|settled| now <= settled + ADOPTION);
        if way.proposal.is_some() || waits {
            return;
        }
        if way.attempts >= CHANGE_ATTEMPTS {
            let text = format!("move {id}: its motors did not agree in time, halting them");
            self.say(log::Level::Error, text);
            self.halt_move(id, false);
            return;
        }
        let at = match way.attempts {
            0 => now + lead,
            n => now + NEXT_LEAD * (1 << (n - 1)),
        };
        // Nothing moves before the epoch, whatever the plan.
        let at = at.max(way.epoch);
        // A blended run can change at its ticks.
        let at = active.run.as_ref().map_or(at, |run| run.tick_at(at).0);
        way.attempts += 1;
        self.next_change += 1;
        let number = self.next_change;
        let speed = self.overrides[active.class as usize] * active.own_speed;
        let mut means = Means { planner: &mut self.planner, models: &self.models, speed };
        let draft = match active.draft(&mut means, at) {
            Ok(draft) => draft,
            Err(error) => return self.no_plan(id, &error),
        };
        active.keep(&draft.keep);
        let kept = active.legs.iter().filter(|l| draft.keep.contains(&l.motor()));
        let kept_end = kept.filter_map(Leg::end).max().unwrap_or(now).max(now);
        let Some(way) = active.stage.under_way_mut() else { return };
        if draft.items.is_empty() {
            // All of them end by themselves.
            way.patience = kept_end + STOP_PATIENCE;
            way.attempts = 0;
            return;
        }
        let missing = draft.items.iter().map(|i| i.motor).collect();
        let proposal = Proposal { number, gate: Arc::new(Gate::new(at)), missing, draft };
        way.patience = at.plus_nanos(proposal.duration()).max(kept_end) + STOP_PATIENCE;
        let changes = proposal.changes(id);
        way.proposal = Some(proposal);
        for (motor, change) in changes {
            self.tell(motor, Command::Change(change));
        }
    }

    /// There is no plan from the state of that instant: perhaps from a later one. A wish that can't be
    /// carried out is dropped; a rest that can't be planned is a halt.
    fn no_plan(&mut self, id: MoveId, error: &MoveError) {
        let now = self.now;
        let Some(active) = self.active.get(&id) else { return };
        let lead = self.change_lead(active);
        let Some(active) = self.active.get_mut(&id) else { return };
        let brakes = active.legs.iter().filter(|l| l.course == Aim::Hold && !l.held);
        let at_rest = brakes.filter_map(Leg::end).max().filter(|end| *end > now);
        let Some(way) = active.stage.under_way_mut() else { return };
        if let Some(end) = at_rest {
            // From rest there is one.
            way.attempts = 0;
            way.settled = Some(end);
            return;
        }
        if way.attempts < CHANGE_ATTEMPTS {
            way.settled = Some(now + lead);
            self.say(log::Level::Debug, format!("move {id}: {error}; trying again"));
            return;
        }
        self.actions.push_back(Action::Say(log::Level::Error, format!("move {id}: {error}")));
        let rests = active.legs.iter().any(|l| l.needs_change() && l.aim != Aim::Go);
        if rests {
            self.halt_move(id, false);
            return;
        }
        way.attempts = 0;
        for leg in &mut active.legs {
            (leg.stale, leg.next) = (false, None);
        }
        // Whoever can't go on from a hold ends there.
        if active.wants_change() {
            self.come_to_rest(id, Cause::Stopped);
        }
    }

    /// A motor has taken a change.
    pub(super) fn on_acknowledged(&mut self, motor: MotorIndex, change: u64) {
        let found = self.active.iter_mut().find_map(|(&id, active)| {
            let proposal = active.stage.under_way_mut()?.proposal.as_mut()?;
            (proposal.number == change).then_some((id, proposal))
        });
        let Some((id, proposal)) = found else { return };
        proposal.missing.remove(&motor);
        self.commit(id);
    }

    /// Commits the proposal if no acknowledgement is missing.
    pub(super) fn commit(&mut self, id: MoveId) {
        let now = self.now;
        let Some(active) = self.active.get_mut(&id) else { return };
        let complete = |p: &mut Proposal| {
            // Else: not all yet; or too late, which is seen when its instant has passed.
            p.missing.is_empty() && p.gate.commit(now) == Verdict::Committed
        };
        let way = active.stage.under_way_mut();
        if let Some(proposal) = way.and_then(|way| way.proposal.take_if(complete)) {
            self.adopt(id, proposal);
        }
    }

    /// The instant of a proposal has passed: it stands, or is made again.
    pub(super) fn check_proposal(&mut self, id: MoveId) {
        let Some(active) = self.active.get_mut(&id) else { return };
        let Some(way) = active.stage.under_way_mut() else { return };
        let Some(proposal) = way.proposal.take() else { return };
        match proposal.gate.resolve() {
            // A commit that the acknowledgements made stands; else nobody has changed.
            Verdict::Committed => self.adopt(id, proposal),
            Verdict::Expired => {
                way.silent = proposal.missing;
                self.advance(id);
            }
        }
    }

    fn adopt(&mut self, id: MoveId, proposal: Proposal) {
        let Some(active) = self.active.get_mut(&id) else { return };
        let (at, lasts) = (proposal.at(), proposal.duration());
        let mut told: Vec<(PlanChange, Vec<&str>)> = Vec::new();
        for item in &proposal.draft.items {
            let name = self.models[item.motor].name.as_str();
            match told.iter_mut().find(|t| t.0 == item.word) {
                Some((_, names)) => names.push(name),
                None => told.push((item.word, vec![name])),
            }
        }
        if let Some(run) = &mut active.run {
            run.tell_vertices(id, |mark| self.actions.push_back(Action::Mark(at, mark)));
        }
        for (word, names) in told {
            self.actions.push_back(Action::Mark(at, Mark::changed(id, word, names)));
        }
        let braked = active.is_braking();
        active.adopt(proposal.number, at, proposal.draft);
        let brakes = active.is_braking();
        if let Some(way) = active.stage.under_way_mut().filter(|_| brakes) {
            let patience = at.plus_nanos(lasts) + STOP_PATIENCE;
            way.patience = if braked { way.patience.max(patience) } else { patience };
        }
        active.counts_anew();
    }

    /// Where the last try has failed because of some motors alone, the others go on without them.
    fn leave_silent(&mut self, id: MoveId) {
        let Some(active) = self.active.get_mut(&id) else { return };
        let Some(way) = active.stage.under_way_mut() else { return };
        let silent = std::mem::take(&mut way.silent);
        let others = active.legs.iter().any(|l| !silent.contains(&l.motor()));
        if way.attempts == CHANGE_ATTEMPTS && others && !silent.is_empty() {
            way.attempts = CHANGE_ATTEMPTS - 2;
            silent.into_iter().for_each(|motor| self.give_up(id, motor));
        }
    }
}
