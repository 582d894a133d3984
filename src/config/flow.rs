//! What holds between the steps of programs: no circle of programs, no motor in two branches.

use std::collections::BTreeSet;

use super::reader::Reader;
use super::*;

pub(super) fn check(r: &Reader<'_>, programs: &[ProgramConfig], motors: &[&str]) {
    let mut flow =
        Flow { r, programs, motors, state: vec![State::New; programs.len()], path: vec![] };
    for program in 0..programs.len() {
        flow.visit(program);
    }
    for program in programs {
        flow.branches(&program.steps);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    OnPath,
    Done,
}

struct Flow<'a, 's> {
    r: &'a Reader<'s>,
    programs: &'a [ProgramConfig],
    motors: &'a [&'a str],
    state: Vec<State>,
    path: Vec<usize>,
}

impl Flow<'_, '_> {
    /// Follows every program that `program` runs, and reports where that leads back.
    fn visit(&mut self, program: usize) {
        if self.state[program] != State::New {
            return;
        }
        self.state[program] = State::OnPath;
        self.path.push(program);
        let mut runs = Vec::new();
        collect_runs(&self.programs[program].steps, &mut runs);
        for (next, span) in runs {
            if self.state[next] == State::OnPath {
                self.circle(next, span);
            }
            self.visit(next);
        }
        self.path.pop();
        self.state[program] = State::Done;
    }

    fn circle(&self, back_to: usize, span: Span) {
        let start = self.path.iter().position(|p| *p == back_to).unwrap_or(0);
        let name = |p: usize| format!("`{}`", self.programs[p].name);
        let mut circle: Vec<String> = self.path[start..].iter().map(|p| name(*p)).collect();
        circle.push(name(back_to));
        self.r.error(
            span,
            format!("programs run each other in a circle: {}", circle.join(" runs ")),
            "to go on for ever, write `repeat = \"forever\"`",
        );
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
                        for step in branch {
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
        self.motors_of(step, &mut moved, &mut BTreeSet::new());
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

    /// The motors that a step moves, also through the programs it runs.
    fn motors_of(&self, step: &StepConfig, out: &mut BTreeSet<usize>, seen: &mut BTreeSet<usize>) {
        let mut runs = Vec::new();
        match &step.action {
            Action::Move(m) => {
                out.extend(m.targets.iter().map(|t| t.motor));
                runs.extend(m.on_short.iter().map(|s| s.1));
            }
            Action::Sweep(s) => out.extend(s.motors.iter().map(|m| m.motor)),
            Action::Keyframes(all) => {
                out.extend(all.iter().flat_map(|k| k.targets.iter().map(|t| t.motor)));
            }
            Action::Repeat(_, steps) => steps.iter().for_each(|s| self.motors_of(s, out, seen)),
            Action::Together(branches) => {
                branches.iter().flatten().for_each(|s| self.motors_of(s, out, seen));
            }
            Action::Run(program) => runs.push(*program),
            Action::Pause(_) | Action::WaitFor(_) | Action::Trigger(_) => {}
        }
        for program in runs {
            if seen.insert(program) {
                self.programs[program].steps.iter().for_each(|s| self.motors_of(s, out, seen));
            }
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
            Action::Pause(_) | Action::Sweep(_) | Action::Keyframes(_) => {}
            Action::WaitFor(_) | Action::Trigger(_) => {}
        }
    }
}
