//! How a program is looked through: along its cursor, with a sum for each list that is open.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::ahead::Ahead;
use super::cursor::{Cursor, Here};
use super::preflight::{Preflight, Problem};
use super::program::{At, ListId, Program};
use super::seen::{Key, Seen, Stand};
use super::usage::Usage;
use crate::config::{Action, Config, Consumer, MotorConfig, Span, Startup, consumers};
use crate::motion::Planner;
use crate::motor::MotorIndex;
use crate::moves::{BlendRun, MotorModel, MoveError, Start};

/// More problems than this help nobody.
const MOST_PROBLEMS: usize = 20;

/// Deeper than this, repetitions are looked through once only.
const TWICE_UP_TO_DEPTH: u32 = 6;

/// So many moves are looked through. A step that moves nothing counts for a sixteenth of one.
const MOST_MOVES: u64 = 250_000;

/// So many in all the programs of a config together.
#[cfg(feature = "cli")]
const MOST_MOVES_OF_ALL: u64 = 2 * MOST_MOVES;

/// What a move counts for in the work that is done.
pub(super) const A_MOVE: u64 = 16;

/// A program that has been looked through, and from where.
#[derive(Clone, Debug)]
pub(crate) struct LookedThrough {
    pub program: Program,
    /// Where each motor of the config was taken to be.
    pub starts: Vec<Start>,
    pub preflight: Preflight,
}

impl LookedThrough {
    /// Looks through a program from where the motors are, until `stop` says that nobody wants to know any more.
    pub fn new(program: Program, starts: Vec<Start>, stop: &dyn Fn() -> bool) -> LookedThrough {
        let preflight = look_through(&program, &starts, stop, &mut { MOST_MOVES });
        LookedThrough { program, starts, preflight }
    }

    /// Whether it is still true: the machine goes by the same config, and the motors that it moves are where they
    /// were.
    pub fn is_true_of(&self, config: &Arc<Config>, starts: &[Start]) -> bool {
        let there = |&motor: &MotorIndex| self.starts.get(motor) == starts.get(motor);
        Arc::ptr_eq(self.program.config(), config) && self.preflight.motors.iter().all(there)
    }
}

/// Looks these programs of a config through, each from the start of the machine. All together take no more work than
/// two alone may; `None`: nothing was left for that one.
#[cfg(feature = "cli")]
pub(crate) fn look_through_all<'n>(
    config: &Config,
    programs: impl Iterator<Item = &'n str>,
    stop: &dyn Fn() -> bool,
) -> Vec<(&'n str, Option<Preflight>)> {
    let config = Arc::new(config.clone());
    let (starts, mut left) = (first_stand(&config), MOST_MOVES_OF_ALL);
    let looked = |name| {
        if left == 0 {
            return Some((name, None));
        }
        let program = Program::new(&config, Some(name)).ok()?;
        Some((name, Some(look_through(&program, &starts, stop, &mut left))))
    };
    programs.filter_map(looked).collect()
}

/// Looks a program through; what that takes is taken from the moves that are left.
fn look_through(
    program: &Program,
    starts: &[Start],
    stop: &dyn Fn() -> bool,
    left: &mut u64,
) -> Preflight {
    let most = MOST_MOVES.min(*left);
    let mut walk = Walk::new(program, starts.to_vec(), stop, most * A_MOVE);
    let ended = walk.walk();
    *left = left.saturating_sub(walk.work / A_MOVE);
    walk.sum_up(ended)
}

/// Where the motors of a config are when the machine starts.
pub(super) fn first_stand(config: &Config) -> Vec<Start> {
    config.motors.iter().map(start).collect()
}

fn start(motor: &MotorConfig) -> Start {
    if let Some(axis) = motor.axis() {
        let model = MotorModel::new(motor);
        return Start::At(model.to_native(model.start_position(axis.at_start)));
    }
    let Some(servo) = motor.drive.servo() else { return Start::Anywhere };
    if servo.continuous {
        return Start::At(0.0);
    }
    match servo.startup {
        Startup::Off | Startup::Last => Start::Anywhere,
        Startup::Centre => Start::At((motor.travel.min + motor.travel.max) / 2.0),
        Startup::Angle(angle) => Start::At(angle),
    }
}

pub(super) struct Walk<'s> {
    pub program: Program,
    pub models: Vec<MotorModel>,
    pub planner: Planner,
    pub stand: Stand,
    pub usage: Usage,
    /// Behind the step that is looked at.
    pub cursor: Cursor,
    pub run: Option<Blended>,
    /// Everything that draws current, where there is a power budget.
    pub consumers: Vec<Consumer>,
    pub out: Preflight,
    /// What has been done, in sixteenths of a move, and how many moves that were.
    pub work: u64,
    pub moves: u64,
    most_work: u64,
    stop: &'s dyn Fn() -> bool,
    /// The nanoseconds of the innermost list so far; `None`: it never ends.
    total: Option<u64>,
    open: Vec<Open>,
    seen: Seen,
}

/// A blended run that may go on with the next step.
pub(super) struct Blended {
    pub ahead: Ahead,
    pub run: BlendRun,
    /// How much of its time has been counted.
    pub counted: u64,
}

/// A step whose steps are looked through now.
struct Open {
    /// The sum of the list that the step stands in.
    outer: Option<u64>,
    kind: Kind,
}

enum Kind {
    Run(Watch),
    Repeat(Box<Repeat>),
    Together {
        /// Where it goes on after it.
        outside: Cursor,
        branches: std::vec::IntoIter<ListId>,
        /// The longest branch so far.
        took: Option<u64>,
    },
}

struct Repeat {
    times: Option<u32>,
    list: ListId,
    /// The usage before the last turn that was looked through.
    before: Usage,
    /// What the first turn took.
    first: Option<u64>,
    turns: u64,
    /// The turn that is looked through.
    watch: Option<Watch>,
}

/// A list that is looked through now, to be remembered.
struct Watch {
    list: ListId,
    /// `None`: what it comes to depends on what stands before or after it.
    key: Option<Key>,
    /// How deep the cursor is in it.
    depth: usize,
    /// The usage of all that was before it.
    before: Usage,
}

impl<'s> Walk<'s> {
    fn new(
        program: &Program,
        at: Vec<Start>,
        stop: &'s dyn Fn() -> bool,
        most_work: u64,
    ) -> Walk<'s> {
        let config = program.config();
        // At the start the play lies behind a motor that has come up. Of one that has moved since nobody says here
        // which way it came: then this may be one play too much, or too little.
        let down = vec![false; config.motors.len()];
        Walk {
            program: program.clone(),
            models: config.motors.iter().map(MotorModel::new).collect(),
            planner: Planner::new(),
            stand: Stand { at, down, kept: BTreeSet::new() },
            usage: Usage::new(config.motors.len()),
            cursor: Cursor::at_program(program, program.number()),
            run: None,
            consumers: config.power.map(|_| consumers(&config.motors)).unwrap_or_default(),
            out: Preflight::default(),
            work: 0,
            moves: 0,
            most_work,
            stop,
            total: Some(0),
            open: Vec::new(),
            seen: Seen::default(),
        }
    }

    /// What has been found.
    fn sum_up(mut self, ended: bool) -> Preflight {
        let rest = self.end_run();
        self.add(Some(rest));
        let mut out = self.out;
        if !ended {
            out.beyond = Some(self.moves);
        }
        // Also those that only a program would move that mends a move.
        out.motors = self.program.motors();
        // What was not looked through to its end has used what it has used so far.
        for open in self.open.into_iter().rev() {
            let watch = match open.kind {
                Kind::Run(watch) => Some(watch),
                Kind::Repeat(repeat) => repeat.watch,
                Kind::Together { .. } => None,
            };
            self.usage.merge(watch.iter().map(|w| &w.before));
        }
        let known = ended && out.problems.is_empty();
        out.usage = self.usage.moved();
        out.duration = self.total.filter(|_| known).map(Duration::from_nanos);
        out
    }

    /// Whether it has done all that it may.
    pub fn is_spent(&self) -> bool {
        self.work >= self.most_work || (self.stop)()
    }

    /// Counts a move of so many motors, for which so many plans are made.
    pub fn count(&mut self, plans: usize, motors: usize) {
        self.moves += 1;
        // What is done for each motor beside its plan is little, and for each consumer of current.
        let beside = motors.saturating_sub(1) + self.consumers.len() / 8;
        self.work += plans as u64 * A_MOVE + beside as u64;
    }

    /// Counts what is done with a list of all motors.
    fn count_motors(&mut self) {
        self.work += self.models.len() as u64 / 16;
    }

    pub fn problem(&mut self, span: Span, error: MoveError, help: String) {
        let problem = Problem { span, error, help };
        if self.out.problems.len() < MOST_PROBLEMS && !self.out.problems.contains(&problem) {
            self.out.problems.push(problem);
        }
    }

    fn add(&mut self, took: Option<u64>) {
        self.total = self.total.zip(took).map(|(a, b)| a.saturating_add(b));
    }

    /// Goes through all of it. False: it was too much.
    fn walk(&mut self) -> bool {
        loop {
            if self.is_spent() {
                return false;
            }
            self.work += 1;
            match self.cursor.here() {
                Here::Step(at) => self.step(at),
                Here::Turn | Here::LastTurn => self.turn(),
                Here::Over { .. } => {
                    self.cursor.leave();
                    // The end of a turn is seen to by its repetition.
                    if matches!(self.open.last(), Some(Open { kind: Kind::Run(_), .. })) {
                        self.end_program();
                    }
                }
                Here::End if self.open.is_empty() => return true,
                Here::End => self.end_branch(),
            }
        }
    }

    fn step(&mut self, at: At) {
        let program = self.program.clone();
        let step = program.step(at);
        match &step.action {
            Action::Run(number) => {
                let Some(list) = program.list_of(*number) else { return self.cursor.skip() };
                if !self.remembers(list) {
                    self.cursor.go_on();
                    let watch = self.watch(list);
                    self.begin(Kind::Run(watch));
                } else {
                    self.cursor.skip();
                }
            }
            Action::Repeat(times, _) => {
                let Some(&list) = program.lists_in(at).first() else { return self.cursor.skip() };
                self.cursor.go_on();
                self.count_motors();
                let before = self.usage.clone();
                let (times, first, turns, watch) = (*times, Some(0), 0, None);
                let repeat = Repeat { times, list, before, first, turns, watch };
                self.begin(Kind::Repeat(Box::new(repeat)));
            }
            Action::Together(_) => {
                let rest = self.end_run();
                self.add(Some(rest));
                self.cursor.skip();
                let mut branches = program.lists_in(at).to_vec().into_iter();
                if let Some(first) = branches.next() {
                    let first = Cursor::at_list(&program, first);
                    let outside = std::mem::replace(&mut self.cursor, first);
                    self.begin(Kind::Together { outside, branches, took: Some(0) });
                }
            }
            action => {
                let rest = match action {
                    // It may go on with the run that is open.
                    Action::Move(_) => 0,
                    _ => self.end_run(),
                };
                self.cursor.skip();
                let took = self.alone(at, step);
                self.add(took.map(|took| took.saturating_add(rest)));
            }
        }
    }

    /// The steps of a step are looked through from here on.
    fn begin(&mut self, kind: Kind) {
        let outer = self.total.replace(0);
        self.open.push(Open { outer, kind });
    }

    /// A program that a step runs is over.
    fn end_program(&mut self) {
        let Some(Open { outer, kind: Kind::Run(watch) }) = self.open.pop() else { return };
        self.remember(watch);
        let took = std::mem::replace(&mut self.total, outer);
        self.add(took);
    }

    /// A branch is over: the next one begins where all of them began, since they share no motor.
    fn end_branch(&mut self) {
        let rest = self.end_run();
        self.add(Some(rest));
        let Some(Open { outer, kind: Kind::Together { outside, mut branches, took } }) =
            self.open.pop()
        else {
            return;
        };
        let own = self.total.replace(0);
        let took = took.zip(own).map(|(a, b)| a.max(b));
        match branches.next() {
            Some(list) => {
                self.cursor = Cursor::at_list(&self.program, list);
                self.open.push(Open { outer, kind: Kind::Together { outside, branches, took } });
            }
            None => {
                (self.cursor, self.total) = (outside, outer);
                self.add(took);
            }
        }
    }

    /// The cursor stands before a turn of the innermost repetition: its first one, or the one before is over.
    fn turn(&mut self) {
        let depth = self.depth() - 1;
        let Some(Open { outer, kind: Kind::Repeat(mut repeat) }) = self.open.pop() else {
            return self.cursor.leave();
        };
        if let Some(watch) = repeat.watch.take() {
            self.remember(watch);
        }
        let own = self.total.replace(0);
        if repeat.turns == 1 {
            repeat.first = own;
        }
        let once = repeat.times == Some(1) || depth >= TWICE_UP_TO_DEPTH;
        if repeat.turns < if once { 1 } else { 2 } {
            if repeat.turns == 1 {
                repeat.before = self.usage.clone();
            }
            repeat.turns += 1;
            let list = repeat.list;
            self.open.push(Open { outer, kind: Kind::Repeat(repeat) });
            self.begin_turn(list);
            return;
        }
        self.cursor.leave();
        self.total = outer;
        let left = repeat.times.map(|n| u64::from(n).saturating_sub(repeat.turns));
        self.usage.repeat(&repeat.before, left);
        let again = if repeat.turns < 2 { repeat.first } else { own };
        let more = repeat.times.map(|n| u64::from(n).saturating_sub(1));
        let sum = |((first, again), more): ((u64, u64), u64)| {
            first.saturating_add(again.saturating_mul(more))
        };
        self.add(repeat.first.zip(again).zip(more).map(sum));
    }

    fn begin_turn(&mut self, list: ListId) {
        let known = self.remembers(list);
        self.cursor.begin_turn(None);
        if known {
            // It is over, and its repetition sees to the next one.
            return self.cursor.leave();
        }
        let watch = self.watch(list);
        if let Some(Open { kind: Kind::Repeat(repeat), .. }) = self.open.last_mut() {
            repeat.watch = Some(watch);
        }
    }

    /// How deep what comes next is nested.
    fn depth(&self) -> u32 {
        u32::try_from(self.open.len() + 1).unwrap_or(u32::MAX)
    }

    /// A list that begins here, if what it comes to depends on nothing but the place of its motors.
    fn key(&self, list: ListId) -> Option<Key> {
        let depth = self.depth().min(TWICE_UP_TO_DEPTH);
        let motors = self.program.motors_from(list, 0);
        self.run.is_none().then(|| self.stand.key(list, depth, motors))
    }

    /// Whether it has been seen what a list comes to from here: then that is added.
    fn remembers(&mut self, list: ListId) -> bool {
        self.count_motors();
        let Some(came) = self.key(list).and_then(|key| self.seen.get(&key).cloned()) else {
            return false;
        };
        self.stand.after(&came);
        self.usage.merge([&came.usage]);
        self.add(came.took);
        true
    }

    /// Begins to watch a list that the cursor has just gone into.
    fn watch(&mut self, list: ListId) -> Watch {
        self.count_motors();
        let none = Usage::new(self.models.len());
        let key = self.key(list);
        let before = std::mem::replace(&mut self.usage, none);
        Watch { list, key, depth: self.cursor.depth(), before }
    }

    /// A list that was watched is over.
    fn remember(&mut self, watch: Watch) {
        let own = std::mem::replace(&mut self.usage, watch.before);
        self.usage.merge([&own]);
        // What it leaves open depends on what follows.
        if let Some(key) = watch.key.filter(|_| self.run.is_none()) {
            let motors = self.program.motors_from(watch.list, 0);
            let came = self.stand.came(self.total, own, motors);
            self.seen.add(key, came);
        }
    }

    /// Something was looked for as far as where the cursor was no deeper than `floor`: lists that lie deeper have
    /// been looked out of.
    pub fn looked_out(&mut self, floor: usize) {
        for open in self.open.iter_mut().rev() {
            let watch = match &mut open.kind {
                Kind::Run(watch) => Some(watch),
                Kind::Repeat(repeat) => repeat.watch.as_mut(),
                // Nothing goes on beyond the end of a branch.
                Kind::Together { .. } => return,
            };
            if let Some(watch) = watch.filter(|w| w.depth > floor) {
                watch.key = None;
            }
        }
    }
}
