//! What holds between the steps of programs: no circle of programs, no endless stairs of them, not too many
//! branches at once, no motor in two branches.

use std::collections::BTreeSet;

use super::reader::Reader;
use super::*;

/// So many programs may run each other, one inside the other.
const MOST_DEEP: usize = 32;

/// So many branches may go on at once: each of them is looked after in every turn of the machine.
const MOST_WIDE: usize = 256;

pub(super) fn check(r: &Reader<'_>, programs: &[ProgramConfig], motors: &[&str]) {
    let mut flow = Flow { r, programs, motors, state: vec![State::New; programs.len()] };
    for program in 0..programs.len() {
        flow.visit(program);
    }
    for program in programs {
        flow.branches(&program.steps);
    }
}

#[derive(Clone)]
enum State {
    New,
    OnPath,
    Done(Facts),
}

/// What is known of a program that was followed to all of its ends.
#[derive(Clone, Default)]
struct Facts {
    /// How many programs run each other, this one included.
    deep: usize,
    /// How many branches of it may go on at once.
    wide: usize,
    /// What it moves, also through the programs that it runs.
    motors: BTreeSet<usize>,
}

struct Flow<'a, 's> {
    r: &'a Reader<'s>,
    programs: &'a [ProgramConfig],
    motors: &'a [&'a str],
    state: Vec<State>,
}

/// A program on the way from the first to what is looked at, with what it runs and how far that was followed.
struct OnPath {
    program: usize,
    runs: Vec<(usize, Span)>,
    next: usize,
}

impl Flow<'_, '_> {
    /// Follows every program that `program` runs, and reports where that leads back, or too far. It keeps its
    /// own path: programs that run each other by the thousand must not take the stack.
    fn visit(&mut self, program: usize) {
        let mut path = Vec::new();
        self.enter(program, &mut path);
        while let Some(last) = path.last_mut() {
            let Some(&(next, span)) = last.runs.get(last.next) else {
                let (program, runs) = (last.program, std::mem::take(&mut last.runs));
                path.pop();
                let facts = self.facts(program, &runs);
                self.state[program] = State::Done(facts);
                continue;
            };
            last.next += 1;
            match self.state[next] {
                State::New => self.enter(next, &mut path),
                State::OnPath => self.circle(&path, next, span),
                State::Done(_) => {}
            }
        }
    }

    fn enter(&mut self, program: usize, path: &mut Vec<OnPath>) {
        if matches!(self.state[program], State::New) {
            self.state[program] = State::OnPath;
            let mut runs = Vec::new();
            collect_runs(&self.programs[program].steps, &mut runs);
            path.push(OnPath { program, runs, next: 0 });
        }
    }

    fn circle(&self, path: &[OnPath], back_to: usize, span: Span) {
        let start = path.iter().position(|p| p.program == back_to).unwrap_or(0);
        let name = |p: usize| format!("`{}`", self.programs[p].name);
        let mut circle: Vec<String> = path[start..].iter().map(|p| name(p.program)).collect();
        circle.push(name(back_to));
        self.r.error(
            span,
            format!("programs run each other in a circle: {}", circle.join(" runs ")),
            "to go on for ever, write `repeat = \"forever\"`",
        );
    }

    /// What is known of a program once all that it runs is done. One of a circle, which was reported, adds nothing.
    fn facts(&self, program: usize, runs: &[(usize, Span)]) -> Facts {
        let deep_of = |p: usize| self.done(p).map_or(0, |facts| facts.deep);
        let deep = 1 + runs.iter().map(|run| deep_of(run.0)).max().unwrap_or(0);
        // Reported once for each stairs: what runs this one is deeper still.
        if deep == MOST_DEEP + 1
            && let Some((_, span)) = runs.iter().find(|run| deep_of(run.0) == MOST_DEEP)
        {
            let name = &self.programs[program].name;
            self.r.error(
                *span,
                format!(
                    "`{name}` begins a chain of {deep} programs, each run by the one before: {MOST_DEEP} is \
                     the most"
                ),
                "write the steps of one of them where it is run",
            );
        }
        let (mut motors, steps) = (BTreeSet::new(), &self.programs[program].steps);
        steps.iter().for_each(|step| self.motors_of(step, &mut motors));
        Facts { deep, wide: self.wide(steps), motors }
    }

    fn done(&self, program: usize) -> Option<&Facts> {
        match &self.state[program] {
            State::Done(facts) => Some(facts),
            _ => None,
        }
    }

    /// How many branches of these steps may go on at once. Reports the step that makes too many of them.
    fn wide(&self, steps: &[StepConfig]) -> usize {
        let of_program = |p: usize| self.done(p).map_or(1, |facts| facts.wide);
        let mut widest = 1;
        for step in steps {
            let side_by_side: Vec<usize> = match &step.action {
                Action::Together(branches) => branches.iter().map(|b| self.wide(b)).collect(),
                Action::Move(m) => m.on_short.iter().map(|s| of_program(s.1)).collect(),
                Action::Repeat(_, steps) => vec![self.wide(steps)],
                Action::Run(program) => vec![of_program(*program)],
                _ => continue,
            };
            let wide = side_by_side.iter().fold(0usize, |sum, wide| sum.saturating_add(*wide));
            if wide > MOST_WIDE && side_by_side.iter().all(|wide| *wide <= MOST_WIDE) {
                self.r.error(
                    step.span,
                    format!(
                        "this has {wide} branches at once, with those of the programs that they run: \
                         {MOST_WIDE} is the most"
                    ),
                    "put several of them into one branch, one after another",
                );
            }
            widest = widest.max(wide);
        }
        widest
    }

    /// Reports every motor that two branches of a `together` move.
    fn branches(&self, steps: &[StepConfig]) {
        for step in steps {
            match &step.action {
                Action::Repeat(_, steps) => self.branches(steps),
                Action::Together(branches) => {
                    let mut taken = BTreeSet::new();
                    for branch in branches {
                        let mut own = BTreeSet::new();
                        for step in branch.iter() {
                            self.branch_step(step, &taken, &mut own);
                        }
                        taken.append(&mut own);
                        self.branches(branch);
                    }
                }
                _ => {}
            }
        }
    }

    fn branch_step(&self, step: &StepConfig, taken: &BTreeSet<usize>, own: &mut BTreeSet<usize>) {
        let mut moved = BTreeSet::new();
        self.motors_of(step, &mut moved);
        for motor in &moved {
            if taken.contains(motor) && own.insert(*motor) {
                self.r.error(
                    step.span,
                    format!("`{}` moves in two branches of one `together`", self.motors[*motor]),
                    "keep each motor in one branch",
                );
            }
        }
        own.extend(moved);
    }

    /// The motors that a step moves, also through the programs it runs, which are done.
    fn motors_of(&self, step: &StepConfig, out: &mut BTreeSet<usize>) {
        let of_program = |p: usize, out: &mut BTreeSet<usize>| {
            out.extend(self.done(p).iter().flat_map(|facts| &facts.motors));
        };
        match &step.action {
            Action::Move(m) => {
                out.extend(m.targets.iter().map(|t| t.motor));
                m.on_short.iter().for_each(|s| of_program(s.1, out));
            }
            Action::Sweep(s) => out.extend(s.motors.iter().map(|m| m.motor)),
            Action::Keyframes(all) => {
                out.extend(all.iter().flat_map(|k| k.targets.iter().map(|t| t.motor)));
            }
            Action::Spin(spin) => out.extend(spin.speeds.iter().map(|s| s.motor)),
            Action::Repeat(_, steps) => steps.iter().for_each(|s| self.motors_of(s, out)),
            Action::Together(branches) => {
                branches.iter().flat_map(|b| b.iter()).for_each(|s| self.motors_of(s, out));
            }
            Action::Run(program) => of_program(*program, out),
            Action::Pause(_) | Action::WaitFor(_) | Action::Trigger(_) => {}
        }
    }
}

/// Every program that these steps run, and where.
fn collect_runs(steps: &[StepConfig], out: &mut Vec<(usize, Span)>) {
    for step in steps {
        match &step.action {
            Action::Run(program) => out.push((*program, step.span)),
            Action::Move(m) => out.extend(m.on_short.iter().map(|s| (s.1, step.span))),
            Action::Repeat(_, steps) => collect_runs(steps, out),
            Action::Together(branches) => branches.iter().for_each(|b| collect_runs(b, out)),
            Action::Pause(_) | Action::Sweep(_) | Action::Keyframes(_) | Action::Spin(_) => {}
            Action::WaitFor(_) | Action::Trigger(_) => {}
        }
    }
}
