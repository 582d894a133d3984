//! A program as a thing of its own: what it needs of its config, shared by all who look at it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::{Action, Config, MoveAction, ProgramConfig, StepConfig};
use crate::motor::MotorIndex;
use crate::roster::MachineError;

/// A program, with all that it runs and the config whose motors it names. It is owned and cheap to clone: a clone
/// is one more who looks at the same.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    whole: Arc<Whole>,
}

#[derive(Debug)]
struct Whole {
    config: Arc<Config>,
    number: usize,
    lists: Vec<List>,
    /// The list of each program of the config that can be reached from here.
    of_program: Vec<Option<ListId>>,
}

/// One of a program's lists of steps.
pub(super) type ListId = usize;

/// A step of a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct At {
    pub list: ListId,
    pub step: usize,
}

/// Steps that are carried out one after another: all of a program, those of a repetition, or of a branch.
#[derive(Debug)]
struct List {
    steps: Arc<[StepConfig]>,
    /// The program whose rules hold in it.
    home: usize,
    /// They are all of that program's.
    whole: bool,
    /// The lists that stand in its steps, by the number of the step.
    inner: Vec<(usize, Vec<ListId>)>,
    /// Each motor that it moves, also by what it runs, with the last step that does.
    last: Vec<(MotorIndex, usize)>,
}

impl Program {
    /// The program of that name, or without one the config's start program.
    ///
    /// # Errors
    ///
    /// There is none; or programs run each other in a circle, which no file can say.
    pub fn new(config: &Arc<Config>, name: Option<&str>) -> Result<Program, MachineError> {
        let name = &choose_program(config, name)?.name;
        let number = config.programs.iter().position(|p| p.name == *name).unwrap_or_default();
        let mut lists = Lists::new(config);
        lists.add_program(number);
        while let Some(list) = lists.left.pop() {
            lists.look_into(list);
        }
        lists.find_last_uses()?;
        let Lists { lists, of_program, .. } = lists;
        let config = config.clone();
        Ok(Program { whole: Arc::new(Whole { config, number, lists, of_program }) })
    }

    pub fn config(&self) -> &Arc<Config> {
        &self.whole.config
    }

    fn own(&self) -> &ProgramConfig {
        &self.whole.config.programs[self.whole.number]
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.own().name
    }

    /// Its number in its config.
    pub fn number(&self) -> usize {
        self.whole.number
    }

    /// The list of a program that can be reached from here, by its number in the config.
    pub(super) fn list_of(&self, program: usize) -> Option<ListId> {
        self.whole.of_program.get(program).copied().flatten()
    }

    /// The lists that stand in a step: of a repetition one, of a `together` each of its branches.
    pub(super) fn lists_in(&self, at: At) -> &[ListId] {
        let inner = &self.whole.lists[at.list].inner;
        inner.binary_search_by_key(&at.step, |i| i.0).map_or(&[], |found| &inner[found].1)
    }

    pub(super) fn steps(&self, list: ListId) -> &Arc<[StepConfig]> {
        &self.whole.lists[list].steps
    }

    pub(super) fn step(&self, at: At) -> &StepConfig {
        &self.whole.lists[at.list].steps[at.step]
    }

    /// The move that a step is.
    pub(super) fn move_at(&self, at: At) -> Option<&MoveAction> {
        match &self.step(at).action {
            Action::Move(action) => Some(action),
            _ => None,
        }
    }

    /// The number of the program whose rules hold in a list.
    pub(super) fn home(&self, list: ListId) -> usize {
        self.whole.lists[list].home
    }

    /// The number of the program whose steps a list is, if it is all of them.
    pub(super) fn whole_program(&self, list: ListId) -> Option<usize> {
        let list = &self.whole.lists[list];
        list.whole.then_some(list.home)
    }

    /// The motors that the steps of a list from that one on may move, whatever becomes of them.
    pub(super) fn motors_from(
        &self,
        list: ListId,
        step: usize,
    ) -> impl Iterator<Item = MotorIndex> + '_ {
        self.whole.lists[list].last.iter().filter(move |l| l.1 >= step).map(|l| l.0)
    }

    /// The motors that it may move, whatever becomes of its moves.
    pub fn motors(&self) -> BTreeSet<MotorIndex> {
        self.list_of(self.whole.number)
            .map(|l| self.motors_from(l, 0).collect())
            .unwrap_or_default()
    }
}

/// The lists of a program as they are found.
struct Lists<'c> {
    config: &'c Config,
    lists: Vec<List>,
    of_program: Vec<Option<ListId>>,
    /// Those whose steps have not been looked at.
    left: Vec<ListId>,
}

impl<'c> Lists<'c> {
    fn new(config: &'c Config) -> Lists<'c> {
        let of_program = vec![None; config.programs.len()];
        Lists { config, lists: Vec::new(), of_program, left: Vec::new() }
    }

    fn add(&mut self, steps: &Arc<[StepConfig]>, home: usize, whole: bool) -> ListId {
        let (inner, last) = (Vec::new(), Vec::new());
        self.lists.push(List { steps: steps.clone(), home, whole, inner, last });
        self.left.push(self.lists.len() - 1);
        self.lists.len() - 1
    }

    fn add_program(&mut self, program: usize) {
        if self.of_program[program].is_none() {
            let list = self.add(&self.config.programs[program].steps, program, true);
            self.of_program[program] = Some(list);
        }
    }

    /// Finds the lists that stand in its steps, and those of the programs that they run.
    fn look_into(&mut self, list: ListId) {
        let (steps, home) = (self.lists[list].steps.clone(), self.lists[list].home);
        for (number, step) in steps.iter().enumerate() {
            let found = match &step.action {
                Action::Repeat(_, steps) => vec![self.add(steps, home, false)],
                Action::Together(branches) => {
                    branches.iter().map(|branch| self.add(branch, home, false)).collect()
                }
                _ => {
                    runs(&step.action).for_each(|program| self.add_program(program));
                    continue;
                }
            };
            self.lists[list].inner.push((number, found));
        }
    }

    /// Which step of each list is the last to move each motor: from the innermost lists outwards.
    fn find_last_uses(&mut self) -> Result<(), MachineError> {
        #[derive(Clone, Copy, PartialEq)]
        enum State {
            New,
            OnPath,
            Done,
        }
        let mut states = vec![State::New; self.lists.len()];
        for first in 0..self.lists.len() {
            // Each list on the path, with those inside that are still to be looked at.
            let mut path = vec![(first, vec![first])];
            while let Some((list, inside)) = path.last_mut() {
                let list = *list;
                match inside.pop() {
                    Some(next) if states[next] == State::New => {
                        states[next] = State::OnPath;
                        let inside = self.inside(next).collect();
                        path.push((next, inside));
                    }
                    Some(next) if states[next] == State::OnPath => {
                        let text = "its programs run each other in a circle".to_owned();
                        return Err(MachineError::Preflight(text));
                    }
                    Some(_) => {}
                    None => {
                        if states[list] == State::OnPath {
                            states[list] = State::Done;
                            self.lists[list].last = self.last_uses(list);
                        }
                        path.pop();
                    }
                }
            }
        }
        Ok(())
    }

    /// The lists that its steps lead to.
    fn inside(&self, list: ListId) -> impl Iterator<Item = ListId> + '_ {
        let list = &self.lists[list];
        let nested = list.inner.iter().flat_map(|i| i.1.iter().copied());
        let run = list.steps.iter().flat_map(|s| runs(&s.action));
        nested.chain(run.filter_map(|program| self.of_program[program]))
    }

    fn last_uses(&self, list: ListId) -> Vec<(MotorIndex, usize)> {
        let mut last = vec![None; self.config.motors.len()];
        let own = &self.lists[list];
        for (number, step) in own.steps.iter().enumerate() {
            motors_of(&step.action, |motor| last[motor] = Some(number));
            for program in runs(&step.action) {
                let of_program = self.of_program[program].map(|l| &self.lists[l].last);
                of_program.into_iter().flatten().for_each(|l| last[l.0] = Some(number));
            }
        }
        for (number, lists) in &own.inner {
            for used in lists.iter().flat_map(|&l| &self.lists[l].last) {
                last[used.0] = last[used.0].max(Some(*number));
            }
        }
        last.iter().enumerate().filter_map(|(motor, last)| Some((motor, (*last)?))).collect()
    }
}

/// The programs that a step runs, or may run.
fn runs(action: &Action) -> impl Iterator<Item = usize> + '_ {
    let (run, rescues) = match action {
        Action::Run(program) => (Some(*program), &[][..]),
        Action::Move(action) => (None, &action.on_short[..]),
        _ => (None, &[][..]),
    };
    run.into_iter().chain(rescues.iter().map(|r| r.1))
}

/// The motors that a step moves by itself.
pub(super) fn motors_of(action: &Action, mut see: impl FnMut(MotorIndex)) {
    match action {
        Action::Move(action) => action.targets.iter().for_each(|t| see(t.motor)),
        Action::Sweep(sweep) => sweep.motors.iter().for_each(|m| see(m.motor)),
        Action::Keyframes(frames) => {
            frames.iter().flat_map(|f| &f.targets).for_each(|t| see(t.motor));
        }
        Action::Spin(spin) => spin.speeds.iter().for_each(|s| see(s.motor)),
        Action::Pause(_) | Action::WaitFor(_) | Action::Trigger(_) => {}
        Action::Run(_) | Action::Repeat(..) | Action::Together(_) => {}
    }
}

/// The program of that name, or without one the config's start program.
///
/// # Errors
///
/// There is none; the error names those that there are.
pub fn choose_program<'c>(
    config: &'c Config,
    program: Option<&str>,
) -> Result<&'c ProgramConfig, MachineError> {
    let names: Vec<_> = config.programs.iter().map(|p| p.name.as_str()).collect();
    let known = match names.as_slice() {
        [] => "the config has no programs".to_string(),
        [name] => format!("the only program is {name}"),
        names => format!("the programs are {}", names.join(", ")),
    };
    let Some(name) = program.or(config.machine.start_program.as_deref()) else {
        return Err(MachineError::NoProgram { known });
    };
    let unknown = || MachineError::UnknownProgram { name: name.to_string(), known };
    config.program(name).ok_or_else(unknown)
}
