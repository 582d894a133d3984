use std::collections::BTreeSet;
use std::time::Duration;

use super::ahead::{Ahead, place};
use super::branch::Frame;
use super::usage::{MotorUsage, Usage};
use crate::config::{
    Action, Arrive, AtRest, Config, Consumer, Drive, MotorConfig, MoveAction, Order, PowerConfig,
    ProgramConfig, Span, Startup, StepConfig, SweepAction, consumers,
};
use crate::motion::{Planner, Trajectory};
use crate::motor::MotorIndex;
use crate::moves::{
    self, BlendRun, MotorModel, MoveError, Planned, Start, at_least, consumers_of, keyframe_tracks,
    nanos, sweep_length, sweep_targets,
};
use crate::roster::start_position;
use crate::sync::PowerError;

/// A program looked through before anything moves.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Preflight {
    /// What it takes, repetitions counted; `None`: it never ends, or is not known because of problems.
    pub duration: Option<Duration>,
    /// It waits for named events: that comes on top of the duration.
    pub waits: bool,
    /// The motors it moves, as indices into the config's motors.
    pub motors: BTreeSet<MotorIndex>,
    /// What it asks of each motor that it moves.
    pub usage: Vec<MotorUsage>,
    /// What is wrong, in the order of the program; each with its place in the file.
    pub problems: Vec<Problem>,
}

/// A step that cannot be carried out.
#[derive(Clone, PartialEq, Debug)]
pub struct Problem {
    /// Where it stands in the config.
    pub span: Span,
    /// What is wrong.
    pub error: MoveError,
    /// What to write instead.
    pub help: String,
}

/// Looks through a program: every move is planned from where the one before ends, as the machine will
/// plan it, and checked against travel, limits and time-outs. A name that no program has gives an
/// empty answer.
///
/// Repetitions are looked through twice: from where the first begins, and from where each ends.
pub fn preflight(config: &Config, program: &str) -> Preflight {
    preflight_from(config, program, None)
}

/// The same, from where the motors are; without that from where they are when the machine starts.
pub(super) fn preflight_from(
    config: &Config,
    program: &str,
    from: Option<Vec<Start>>,
) -> Preflight {
    let Some(program) = config.program(program) else { return Preflight::default() };
    let models: Vec<_> = config.motors.iter().map(MotorModel::new).collect();
    let starts = config.motors.iter().zip(&models);
    let at = from.unwrap_or_else(|| starts.map(|(motor, model)| start(motor, model)).collect());
    let (planner, usage) = (Planner::new(), Usage::new(config.motors.len()));
    let (frames, run, out) = (Vec::new(), None, Preflight::default());
    let consumers = config.power.map(|_| consumers(&config.motors)).unwrap_or_default();
    let kept = BTreeSet::new();
    // At the start the play lies behind a motor that has come up. Of one that has moved since nobody says here
    // which way it came: then this may be one play too much, or too little.
    let down = vec![false; models.len()];
    let mut walk =
        Walk { config, models, planner, at, down, usage, frames, run, consumers, kept, out };
    let nanos = walk.steps(&program.steps, program, 1);
    let rest = walk.end_run();
    let nanos = nanos.map(|n| n.saturating_add(rest));
    walk.out.problems.dedup();
    walk.out.usage = walk.usage.moved();
    walk.out.duration = nanos.filter(|_| walk.out.problems.is_empty()).map(Duration::from_nanos);
    walk.out
}

fn start(motor: &MotorConfig, model: &MotorModel) -> Start {
    if motor.axis().is_some() {
        return Start::At(model.to_native(start_position(motor, model)));
    }
    let Drive::Servo(servo) = &motor.drive else { return Start::Anywhere };
    match servo.startup {
        Startup::Off | Startup::Last => Start::Anywhere,
        Startup::Centre => Start::At((motor.travel.min + motor.travel.max) / 2.0),
        Startup::Angle(angle) => Start::At(angle),
    }
}

/// More problems than this help nobody.
const MOST_PROBLEMS: usize = 20;

/// Deeper than this, repetitions are looked through once only.
const TWICE_UP_TO_DEPTH: u32 = 6;

/// A sweep of more steps than this each way is looked through up to here: they are alike.
const MOST_SWEEP_STEPS: u64 = 4096;

struct Walk<'c> {
    config: &'c Config,
    models: Vec<MotorModel>,
    planner: Planner,
    at: Vec<Start>,
    /// Who came to where it is from above.
    down: Vec<bool>,
    usage: Usage,
    /// The place in the program, for what comes next.
    frames: Vec<Frame<'c>>,
    run: Option<Blended<'c>>,
    /// Everything that draws current, where there is a power budget.
    consumers: Vec<Consumer>,
    /// Those that stay on from a move of the program on.
    kept: BTreeSet<usize>,
    out: Preflight,
}

impl Blended<'_> {
    /// The time that it takes beyond what was counted, as far as its line is known.
    fn look_through(&mut self, models: &[MotorModel], usage: &mut Usage) -> u64 {
        let see = |motor: MotorIndex, t: &Trajectory| usage.add_motor(&models[motor], motor, t);
        let until = self.run.look_through(models, see);
        until - std::mem::replace(&mut self.counted, until)
    }
}

/// A blended run that may go on with the next step.
struct Blended<'c> {
    ahead: Ahead<'c>,
    run: BlendRun,
    /// How much of its time has been counted.
    counted: u64,
}

impl<'c> Walk<'c> {
    fn problem(&mut self, span: Span, error: MoveError, help: String) {
        if self.out.problems.len() < MOST_PROBLEMS {
            self.out.problems.push(Problem { span, error, help });
        }
    }

    /// Nanoseconds that the steps take; `None`: for ever.
    fn steps(
        &mut self,
        steps: &'c [StepConfig],
        home: &'c ProgramConfig,
        depth: u32,
    ) -> Option<u64> {
        let mut total = Some(0u64);
        for (n, step) in steps.iter().enumerate() {
            self.frames.push(Frame::Steps { steps, next: n + 1, program: None });
            let took = self.step(step, home, depth);
            self.frames.pop();
            total = total.zip(took).map(|(a, b)| a.saturating_add(b));
        }
        total
    }

    fn step(&mut self, step: &'c StepConfig, home: &'c ProgramConfig, depth: u32) -> Option<u64> {
        let leads_on =
            matches!(&step.action, Action::Move(_) | Action::Run(_) | Action::Repeat(..));
        let before = if leads_on { 0 } else { self.end_run() };
        Some(before.saturating_add(self.step_alone(step, home, depth)?))
    }

    fn step_alone(
        &mut self,
        step: &'c StepConfig,
        home: &'c ProgramConfig,
        depth: u32,
    ) -> Option<u64> {
        match &step.action {
            Action::Pause(duration) => Some(nanos(*duration)),
            Action::WaitFor(_) => {
                self.out.waits = true;
                Some(0)
            }
            Action::Trigger(_) => Some(0),
            Action::Run(program) => {
                let program = &self.config.programs[*program];
                self.steps(&program.steps, program, depth + 1)
            }
            Action::Repeat(times, steps) => {
                let before_first = self.usage.clone();
                let left = times.map(|n| n.saturating_sub(1));
                self.frames.push(Frame::Repeat { steps, left, turn_began: None });
                let first = self.steps(steps, home, depth + 1);
                let mut before = before_first;
                let mut counted = 1;
                let again = if *times != Some(1) && depth < TWICE_UP_TO_DEPTH {
                    before = self.usage.clone();
                    counted = 2;
                    self.steps(steps, home, depth + 1)
                } else {
                    first
                };
                self.frames.pop();
                let left = times.map(|n| u64::from(n).saturating_sub(counted));
                self.usage.repeat(&before, left);
                let more = u64::from((*times)?) - 1;
                Some(first?.saturating_add(again?.saturating_mul(more)))
            }
            Action::Together(branches) => {
                // Branches share no motor, so the order in which they are looked through is free.
                let outside = std::mem::take(&mut self.frames);
                let mut took = Vec::with_capacity(branches.len());
                for branch in branches {
                    let steps = self.steps(branch, home, depth + 1);
                    let rest = self.end_run();
                    took.push(steps.map(|nanos| nanos.saturating_add(rest)));
                }
                self.frames = outside;
                took.into_iter().try_fold(0, |most, t| t.map(|t| t.max(most)))
            }
            Action::Move(action) => {
                if let Some(took) = self.run_on(action, step.span) {
                    return Some(took);
                }
                let before = self.end_run();
                if action.blend.is_some()
                    && let Some(took) = self.begin_run(action, step.span)
                {
                    return Some(before.saturating_add(took));
                }
                Some(before.saturating_add(self.movement(action, home, step.span)))
            }
            Action::Sweep(sweep) => self.sweep(sweep, step.span),
            Action::Keyframes(frames) => {
                let mut took = 0;
                if let Some(first) = frames.first().filter(|f| f.at.is_zero()) {
                    let targets: Vec<_> =
                        first.targets.iter().map(|t| (t.motor, t.position)).collect();
                    took = self.plan(&targets, Arrive::Aligned, 1.0, first.span)?.duration;
                }
                let at = &self.at;
                let planned = keyframe_tracks(frames, |motor| Ok(at[motor])).and_then(|tracks| {
                    moves::plan_keyframes(&mut self.planner, &self.models, &tracks)
                });
                Some(took + self.accept(planned, step.span)?.duration)
            }
        }
    }

    /// A blended run begins with this move; `None`: the move is one of its own.
    fn begin_run(&mut self, action: &'c MoveAction, span: Span) -> Option<u64> {
        let ahead = Ahead::of(action, &self.frames, self.config)?;
        let mut starts = Vec::with_capacity(ahead.motors().len());
        for &motor in ahead.motors() {
            match self.at[motor] {
                Start::At(at) => starts.push(at),
                Start::Anywhere => return None,
            }
        }
        let (motors, blend) = (ahead.motors().to_vec(), action.blend.unwrap_or(0.0));
        self.out.motors.extend(&motors);
        self.power(&motors, span);
        match BlendRun::new(&self.models, motors, &starts, blend, 1.0, true) {
            Ok(run) => {
                self.run = Some(Blended { ahead, run, counted: 0 });
                Some(self.add_to_run(action, span))
            }
            Err(error) => {
                self.problem(span, error, String::new());
                Some(0)
            }
        }
    }

    /// The move goes on with the run that is open, if it can.
    fn run_on(&mut self, action: &'c MoveAction, span: Span) -> Option<u64> {
        self.run.as_ref().filter(|open| open.ahead.takes(self.config, action))?;
        Some(self.add_to_run(action, span))
    }

    fn add_to_run(&mut self, action: &'c MoveAction, span: Span) -> u64 {
        let Some(open) = &mut self.run else { return 0 };
        let mut took = 0;
        match open.run.add(&self.models, &[place(action)]) {
            Ok(()) => took = open.look_through(&self.models, &mut self.usage),
            Err(error) => self.problem(span, error, String::new()),
        }
        if action.blend.is_none() {
            took += self.end_run();
        }
        took
    }

    /// The run that is open, if one is, ends where it has come to. Nanoseconds that are left of it.
    fn end_run(&mut self) -> u64 {
        let Some(mut open) = self.run.take() else { return 0 };
        open.run.close();
        let took = open.look_through(&self.models, &mut self.usage);
        for (motor, end) in open.run.ends_at(&self.models) {
            self.at[motor] = Start::At(end);
        }
        took
    }

    /// There and back once, which is every move that it makes.
    fn sweep(&mut self, sweep: &'c SweepAction, span: Span) -> Option<u64> {
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

    fn movement(&mut self, action: &'c MoveAction, home: &ProgramConfig, span: Span) -> u64 {
        let timeout = action.timeout.or(home.move_timeout);
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
        let starts: Vec<_> = targets.iter().map(|&(m, p)| (m, p, self.at[m])).collect();
        let planned = moves::plan_move(&mut self.planner, &self.models, &starts, arrive, speed);
        self.accept(planned, span)
    }

    /// How long the motors that turn take to go through their play, before any of them moves.
    fn take_up(&mut self, planned: &Planned) -> u64 {
        let mut longest = 0;
        for part in &planned.parts {
            let way = part.goal.end - part.start;
            let turns = way != 0.0 && (way < 0.0) != self.down[part.motor];
            if let Some(play) = self.models[part.motor].take_up().filter(|_| turns) {
                longest = longest.max(play.duration());
            }
            self.down[part.motor] ^= turns;
        }
        longest
    }

    /// Whether these motors can be on together, beside what stays on from before.
    fn power(&mut self, motors: &[MotorIndex], span: Span) {
        let Some(PowerConfig { budget, .. }) = self.config.power else { return };
        let of = |c: &usize| u64::from(self.consumers[*c].current);
        let all: Vec<_> = (0..self.consumers.len()).collect();
        let always = all.into_iter().filter(|&c| self.consumers[c].always);
        let own: BTreeSet<usize> =
            always.chain(consumers_of(&self.consumers, motors.iter().copied())).collect();
        let (alone, both) = (own.iter().map(of).sum(), own.union(&self.kept).map(of).sum());
        if alone > u64::from(budget) {
            let error = PowerError::NeverFits { needed: alone, budget };
            self.problem(span, error.into(), String::new());
            return;
        }
        if both > u64::from(budget) {
            let kept = self.kept.difference(&own).flat_map(|&c| &self.consumers[c].motors);
            let kept: Vec<_> = kept.map(|&m| self.config.motors[m].name.as_str()).collect();
            let error = MoveError::KeptPower { needed: both, budget, kept: kept.join(", ") };
            self.problem(span, error, String::new());
            return;
        }
        for &motor in motors {
            let config = &self.config.motors[motor];
            let coils = matches!(&config.drive, Drive::Coils(c) if c.at_rest == AtRest::Release);
            if config.axis().is_some() && config.release_after.is_none() && !coils {
                self.kept.extend(consumers_of(&self.consumers, [motor]));
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
                    self.at[part.motor] = Start::At(part.goal.end);
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

#[cfg(test)]
mod tests {
    use super::*;

    const AXIS: &str = "[axis.x]\nstep = { gpio = 17 }\ndir = { gpio = 27 }\ndriver = \"drv8825\"\n\
        steps-per-revolution = 200\nmicrosteps = 16\ndistance-per-revolution = \"8mm\"\n\
        travel = { min = \"0mm\", max = \"200mm\" }\nmax-speed = \"50mm/s\"\n\
        max-acceleration = \"500mm/s^2\"\nmax-jerk = \"5000mm/s^3\"\nat-start = { assume = \"0mm\" }\n";

    fn usage(steps: &str) -> MotorUsage {
        let text = format!("{AXIS}[program.p]\nsteps = [ {steps} ]\n");
        let config = Config::from_str(&text, "test").unwrap().config;
        let preflight = preflight(&config, "p");
        assert_eq!(preflight.problems, []);
        preflight.usage[0]
    }

    #[test]
    fn distances_count_every_way_and_every_repetition() {
        let there = "{ move = { x = \"100mm\" } }";
        let back = "{ move = { x = \"0mm\" } }";
        let far = usage(there);
        assert!((far.distance - 100.0).abs() < 1e-6, "{far:?}");
        assert!((far.speed - 50.0).abs() < 1e-3 && far.speed_share <= 1.0 + 1e-9, "{far:?}");
        assert!((usage(&format!("{there}, {back}")).distance - 200.0).abs() < 1e-6);
        for (times, total) in [(1, 200.0), (2, 400.0), (7, 1400.0)] {
            let repeated = usage(&format!("{{ repeat = {times}, steps = [ {there}, {back} ] }}"));
            assert!((repeated.distance - total).abs() < 1e-6, "{times} times: {repeated:?}");
        }
        let endless = usage(&format!("{{ repeat = \"forever\", steps = [ {there}, {back} ] }}"));
        assert_eq!(endless.distance, f64::INFINITY);
        // 10 mm to where it begins, then three times there and back over 5 mm.
        let sweep = usage(
            "{ sweep = { x = [\"10mm\", \"15mm\"] }, step = \"1mm\", every = \"500ms\", times = 3 }",
        );
        assert!((sweep.distance - 40.0).abs() < 1e-6, "{sweep:?}");
    }
}
