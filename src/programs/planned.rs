//! The steps that move motors, planned as the machine will plan them, while a program is looked through.

use std::collections::BTreeSet;
use std::time::Duration;

use super::ahead::{Search, place};
use super::look_through::{A_MOVE, Blended, Walk};
use super::program::{At, ListId};
use super::shapes::{keyframe_tracks, sweep_length, sweep_targets};
use crate::books::PowerError;
use crate::config::{
    Action, Arrive, Keyframe, MoveAction, Order, PowerConfig, ProgramConfig, Span, SpinAction,
    SpinSpeed, StepConfig, SweepAction,
};
use crate::motor::MotorIndex;
use crate::moves::{
    BlendRun, FramesPlan, MoveError, Planned, Start, at_least, consumers_of, nanos, plan_jogs,
    plan_move,
};

/// A sweep of more steps than this each way is looked through up to here: they are alike.
const MOST_SWEEP_STEPS: u64 = 4096;

/// So many keyframes are planned before it is asked whether there may be more.
const FRAMES_AT_ONCE: usize = 100;

/// So much of a blended run's time costs as much work as a move, nanoseconds.
const PATH_OF_A_MOVE: u64 = 100_000_000;

impl Walk<'_> {
    /// Nanoseconds that a step takes; `None`: for ever, or nobody knows.
    pub(super) fn alone(&mut self, at: At, step: &StepConfig) -> Option<u64> {
        match &step.action {
            Action::Pause(pause) => Some(nanos(pause.lasts)),
            Action::WaitFor(_) => {
                self.out.waits = true;
                Some(0)
            }
            Action::Trigger(_) => Some(0),
            Action::Move(action) => {
                if let Some(took) = self.run_on(action, step.span) {
                    return Some(took);
                }
                let before = self.end_run();
                if let Some(took) = self.begin_run(at, action, step.span) {
                    return Some(before.saturating_add(took));
                }
                Some(before.saturating_add(self.movement(at, action, step.span)))
            }
            Action::Sweep(sweep) => self.sweep(sweep, step.span),
            Action::Keyframes(frames) => self.keyframes(frames, step.span),
            Action::Spin(spin) => self.spin(spin, step.span),
            // They are gone into.
            Action::Run(_) | Action::Repeat(..) | Action::Together(_) => Some(0),
        }
    }

    /// A blended run begins with this move; `None`: the move is one of its own.
    fn begin_run(&mut self, at: At, action: &MoveAction, span: Span) -> Option<u64> {
        let mut search = Search::new(at, &self.cursor)?;
        search.go_on(|| {
            self.work += 1;
            true
        });
        self.looked_out(search.floor());
        let mut starts = Vec::with_capacity(search.motors().len());
        for &motor in search.motors() {
            match self.stand.at[motor] {
                Start::At(at) => starts.push(at),
                Start::Anywhere => return None,
            }
        }
        let (motors, blend) = (search.motors().to_vec(), action.blend.unwrap_or(0.0));
        self.out.motors.extend(&motors);
        self.power(&motors, span);
        match BlendRun::new(&self.models, motors, &starts, blend, 1.0, true) {
            Ok(run) => {
                self.run = Some(Blended { ahead: search.ahead(), run, counted: 0 });
                Some(self.add_to_run(action, span))
            }
            Err(error) => {
                self.problem(span, error, String::new());
                Some(0)
            }
        }
    }

    /// The move goes on with the run that is open, if it can.
    fn run_on(&mut self, action: &MoveAction, span: Span) -> Option<u64> {
        self.run.as_ref().filter(|open| open.ahead.takes(action))?;
        Some(self.add_to_run(action, span))
    }

    fn add_to_run(&mut self, action: &MoveAction, span: Span) -> u64 {
        if self.run.is_none() {
            return 0;
        }
        self.count(1, action.targets.len());
        let Some(open) = &mut self.run else { return 0 };
        let mut took = 0;
        match open.run.add(&self.models, &[place(action)]) {
            Ok(()) => took = self.go_along(),
            Err(error) => self.problem(span, error, String::new()),
        }
        if action.blend.is_none() {
            took += self.end_run();
        }
        took
    }

    /// The time that the run that is open takes beyond what was counted, as far as its line is known.
    fn go_along(&mut self) -> u64 {
        let Some(mut open) = self.run.take() else { return 0 };
        let before = open.counted;
        while !self.is_spent() {
            let (models, usage) = (&self.models, &mut self.usage);
            let until = open.run.look_on(models, |m, t| usage.add_motor(&models[m], m, t));
            let more = until - std::mem::replace(&mut open.counted, until);
            self.work += more / (PATH_OF_A_MOVE / A_MOVE);
            if more == 0 {
                break;
            }
        }
        let took = open.counted - before;
        self.run = Some(open);
        took
    }

    /// The run that is open, if one is, ends where it has come to. Nanoseconds that are left of it.
    pub(super) fn end_run(&mut self) -> u64 {
        let Some(open) = &mut self.run else { return 0 };
        open.run.close();
        let took = self.go_along();
        if let Some(open) = self.run.take() {
            for (motor, end) in open.run.ends_at(&self.models) {
                self.stand.at[motor] = Start::At(end);
            }
        }
        took
    }

    /// There and back once, which is every move that it makes.
    fn sweep(&mut self, sweep: &SweepAction, span: Span) -> Option<u64> {
        let every = nanos(sweep.every);
        let turn = 2 * sweep_length(sweep);
        let (mut last, mut overrun) = (0, 0);
        let mut before_turn = self.usage.clone();
        for index in 0..=turn.min(MOST_SWEEP_STEPS) {
            let Some(targets) = sweep_targets(sweep, index) else { break };
            last = self.plan(&targets, Arrive::Aligned, 1.0, span).map_or(0, |p| p.duration);
            if index == 0 {
                before_turn = self.usage.clone();
                // Where it begins may be far: the second target waits for that.
                overrun = last.saturating_sub(every);
                continue;
            }
            if last > every {
                let needs = Duration::from_nanos(last);
                let help = "make `every` longer, `step` smaller, or the limits higher".to_string();
                let error = MoveError::SweepTooFast { needs, every: sweep.every };
                self.problem(span, error, help);
                break;
            }
        }
        // What was looked through is the way to its first end, and one turn.
        self.usage.repeat(&before_turn, sweep.times.map(|n| u64::from(n.saturating_sub(1))));
        let moves = turn.saturating_mul(u64::from(sweep.times?));
        Some(every.saturating_mul(moves).saturating_add(overrun).saturating_add(last))
    }

    fn keyframes(&mut self, frames: &[Keyframe], span: Span) -> Option<u64> {
        let mut took = 0;
        if let Some(first) = frames.first().filter(|f| f.at.is_zero()) {
            let targets: Vec<_> = first.targets.iter().map(|t| (t.motor, t.position)).collect();
            took = self.plan(&targets, Arrive::Aligned, 1.0, first.span)?.duration;
        }
        let at = &self.stand.at;
        let planned = match keyframe_tracks(frames, |motor| Ok(at[motor])) {
            Ok(tracks) => self.frames(FramesPlan::new(tracks))?,
            Err(e) => Err(e),
        };
        Some(took + self.accept(planned, span)?.duration)
    }

    fn spin(&mut self, spin: &SpinAction, span: Span) -> Option<u64> {
        (self.moves, self.work) = (self.moves + 1, self.work + A_MOVE);
        let speed = |s: &SpinSpeed| (s.motor, s.speed.as_percent(), Start::At(0.0), true);
        let speeds: Vec<_> = spin.speeds.iter().map(speed).collect();
        let time = (nanos(spin.lasts), true);
        let planned = plan_jogs(&mut self.planner, &self.models, &speeds, time, 1.0);
        let planned = self.accept(planned, span)?;
        // Where one has turned to is no place: the next one begins as this one did.
        spin.speeds.iter().for_each(|s| self.stand.at[s.motor] = Start::At(0.0));
        Some(planned.duration)
    }

    /// Plans keyframes; `None`: they are too many.
    fn frames(&mut self, mut plan: FramesPlan) -> Option<Result<Planned, MoveError>> {
        let mut left = plan.frames();
        loop {
            let now = left.min(FRAMES_AT_ONCE);
            left -= now;
            self.moves += now as u64;
            self.work += now as u64 * A_MOVE;
            match plan.go_on(&mut self.planner, &self.models, now) {
                Ok(true) => return Some(plan.finish(&self.models)),
                Err(e) => return Some(Err(e)),
                Ok(false) if self.is_spent() => return None,
                Ok(false) => {}
            }
        }
    }

    /// The program whose rules hold in a list.
    fn rules(&self, list: ListId) -> &ProgramConfig {
        &self.program.config().programs[self.program.home(list)]
    }

    fn movement(&mut self, at: At, action: &MoveAction, span: Span) -> u64 {
        let timeout = action.timeout.or(self.rules(at.list).move_timeout);
        let one_by_one = action.order == Order::OneByOne;
        let chunk = if one_by_one { 1 } else { action.targets.len().max(1) };
        let mut total = 0;
        for targets in action.targets.chunks(chunk) {
            let goals: Vec<_> = targets.iter().map(|t| (t.motor, t.position)).collect();
            let at = if one_by_one { targets[0].span } else { span };
            let planned = self.plan(&goals, action.arrive, action.speed, at);
            let needs = Duration::from_nanos(planned.map_or(0, |p| p.duration));
            if let Some(timeout) = timeout.filter(|t| *t < needs) {
                let help = format!(
                    "give it at least {} with `timeout`, or let it go faster",
                    at_least(needs)
                );
                self.problem(at, MoveError::LongerThanTimeout { needs, timeout }, help);
            }
            total += nanos(needs);
        }
        total
    }

    fn plan(
        &mut self,
        targets: &[(MotorIndex, f64)],
        arrive: Arrive,
        speed: f64,
        span: Span,
    ) -> Option<Planned> {
        let plans = if arrive == Arrive::Asap { targets.len().max(1) } else { 1 };
        self.count(plans, targets.len());
        let starts: Vec<_> = targets.iter().map(|&(m, p)| (m, p, self.stand.at[m])).collect();
        let planned = plan_move(&mut self.planner, &self.models, &starts, arrive, speed);
        self.accept(planned, span)
    }

    /// How long the motors that turn take to go through their play, before any of them moves.
    fn take_up(&mut self, planned: &Planned) -> u64 {
        let mut longest = 0;
        for part in &planned.parts {
            let way = part.goal.end - part.start;
            let turns = way != 0.0 && (way < 0.0) != self.stand.down[part.motor];
            if let Some(play) = self.models[part.motor].take_up().filter(|_| turns) {
                longest = longest.max(play.duration());
            }
            self.stand.down[part.motor] ^= turns;
        }
        longest
    }

    /// Whether these motors can be on together, beside what stays on from before.
    fn power(&mut self, motors: &[MotorIndex], span: Span) {
        let config = self.program.config().clone();
        let Some(PowerConfig { budget, .. }) = config.power else { return };
        let of = |c: &usize| u64::from(self.consumers[*c].current);
        let all: Vec<_> = (0..self.consumers.len()).collect();
        let always = all.into_iter().filter(|&c| self.consumers[c].always);
        let own: BTreeSet<usize> =
            always.chain(consumers_of(&self.consumers, motors.iter().copied())).collect();
        let kept = &self.stand.kept;
        let (alone, both) = (own.iter().map(of).sum(), own.union(kept).map(of).sum());
        if alone > u64::from(budget) {
            let error = PowerError::NeverFits { needed: alone, budget };
            self.problem(span, error.into(), String::new());
            return;
        }
        if both > u64::from(budget) {
            let kept = kept.difference(&own).flat_map(|&c| &self.consumers[c].motors);
            let kept: Vec<_> = kept.map(|&m| config.motors[m].name.as_str()).collect();
            let error = MoveError::KeptPower { needed: both, budget, kept: kept.join(", ") };
            self.problem(span, error, String::new());
            return;
        }
        for &motor in motors {
            let config = &config.motors[motor];
            let coils = config.drive.kind().releases_at_rest();
            if config.axis().is_some() && config.release_after.is_none() && !coils {
                self.stand.kept.extend(consumers_of(&self.consumers, [motor]));
            }
        }
    }

    fn accept(&mut self, planned: Result<Planned, MoveError>, span: Span) -> Option<Planned> {
        match planned {
            Ok(mut planned) => {
                planned.duration = planned.duration.saturating_add(self.take_up(&planned));
                let motors: Vec<_> = planned.parts.iter().map(|p| p.motor).collect();
                self.power(&motors, span);
                self.usage.add(&self.models, &planned);
                for part in &planned.parts {
                    self.out.motors.insert(part.motor);
                    self.stand.at[part.motor] = Start::At(part.goal.end);
                }
                self.out.motors.extend(planned.there.iter().map(|t| t.0));
                Some(planned)
            }
            Err(error) => {
                let help = match &error {
                    MoveError::KeyframeTooSoon { needs, .. } => {
                        format!("leave at least {} between them", at_least(*needs))
                    }
                    _ => String::new(),
                };
                self.problem(span, error, help);
                None
            }
        }
    }
}
