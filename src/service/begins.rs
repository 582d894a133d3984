//! Programs from the request to run them to their first step: each is looked through beside the coordinator, from
//! where its motors stand, and begins if they still stand there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::desk::{Desk, Handled, StartProgram, Waiting};
use super::line_up::Answer;
use super::looker::{Look, Looked, Looker, NoLook};
use super::wire::ClientId;
use super::words;
use crate::machine::{MachineState, ProgramRun, choose_program};
use crate::programs::LookedThrough;
use crate::protocol::{self, ErrorCode, ErrorReply, Event, ProgramChanged};
use crate::sync::StopEvent;
use crate::units::Instant;

type Result<T> = std::result::Result<T, ErrorReply>;

/// How long a program may be looked through before it begins.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a program is looked through where its motors are moved meanwhile.
const MOST_LOOKS: u32 = 3;

/// The programs that are being looked through.
pub(super) struct Begins {
    looker: Looker,
    all: BTreeMap<u64, Begin>,
    last: u64,
    /// What became of those whose clients wait for it: the program has begun, or not.
    results: BTreeMap<u64, Result<String>>,
}

struct Begin {
    /// Who asked; `None`: the service itself.
    client: Option<ClientId>,
    /// Somebody waits for what becomes of it.
    waited: bool,
    name: String,
    token: Option<String>,
    /// Whether it shares its motors.
    share: bool,
    stop: StopEvent,
    until: Instant,
    looks: u32,
    /// Motors that have been told to stop since.
    stopped: BTreeSet<String>,
}

impl Begins {
    pub fn new(looker: Looker) -> Begins {
        Begins { looker, all: BTreeMap::new(), last: 0, results: BTreeMap::new() }
    }

    /// Whether there are answers that have not been read.
    #[cfg(test)]
    pub fn are_looked_through(&self) -> bool {
        self.looker.has_answer()
    }

    /// What became of one, once that is known: its program's name.
    pub fn take(&mut self, number: u64) -> Option<Result<String>> {
        self.results.remove(&number)
    }

    /// Nobody waits any more for what becomes of one. It begins all the same.
    pub fn forget(&mut self, number: u64) {
        self.results.remove(&number);
        self.all.entry(number).and_modify(|begin| begin.waited = false);
    }

    /// Gives back something large, such as an old config, where that keeps nobody waiting.
    pub fn bury(&self, large: impl Send + 'static) {
        self.looker.bury(large);
    }

    #[cfg(test)]
    pub fn clear_graves(&self) -> usize {
        self.looker.clear_graves()
    }

    /// One has begun, or will not.
    fn settle(&mut self, number: u64, begin: Begin, result: Result<()>) {
        begin.stop.set();
        if let (Err(e), false) = (&result, begin.waited) {
            log::error!("the program {} did not begin: {}", begin.name, e.message);
        }
        if begin.waited {
            self.results.insert(number, result.map(|()| begin.name));
        }
    }

    /// None of them begins, or not the one of that name. Their names.
    pub fn stop(&mut self, name: Option<&str>) -> Vec<String> {
        let these = |begin: &Begin| name.is_none_or(|n| n == begin.name);
        let numbers: Vec<u64> = self.all.iter().filter(|b| these(b.1)).map(|b| *b.0).collect();
        let mut names = Vec::new();
        for number in numbers {
            let Some(begin) = self.all.remove(&number) else { continue };
            names.push(begin.name.clone());
            let error = stopped(&begin.name);
            self.settle(number, begin, Err(error));
        }
        names
    }

    /// None begins that would move one of these.
    pub fn stop_motors(&mut self, motors: &[String]) {
        self.all.values_mut().for_each(|begin| begin.stopped.extend(motors.iter().cloned()));
    }

    fn is_beginning(&self, name: &str) -> bool {
        self.all.values().any(|begin| begin.name == name)
    }
}

fn stopped(name: &str) -> ErrorReply {
    ErrorReply::new(ErrorCode::Stopped, format!("{name} was stopped before it began"))
}

fn runs(name: &str) -> ErrorReply {
    let text = format!("the program {name} runs already: wait for its end, or stop it");
    ErrorReply::new(ErrorCode::Busy, text)
}

fn no_look(why: NoLook) -> ErrorReply {
    match why {
        NoLook::TooMany(many) => {
            let text =
                format!("{many} programs wait to be looked through already: try again later");
            ErrorReply::new(ErrorCode::TooMany, text)
        }
        NoLook::Gone => {
            let text = "the thread that looks through programs has died: start the service again";
            ErrorReply::new(ErrorCode::Internal, text)
        }
    }
}

impl Desk<'_> {
    pub(super) fn run_program(
        &mut self,
        client: ClientId,
        run: protocol::ProgramRun,
    ) -> Result<Handled> {
        self.not_held_back()?;
        if self.begins.is_beginning(&run.program) {
            return Err(runs(&run.program));
        }
        self.does_not_run(&run.program)?;
        let number = self.look_through(Some(client), run.program, run.token, run.share)?;
        Ok(Answer::Later(Waiting::Begin { number, wait: run.wait }))
    }

    fn does_not_run(&self, name: &str) -> Result<()> {
        if self.programs.iter().any(|p| p.name() == name) { Err(runs(name)) } else { Ok(()) }
    }

    /// Has a program looked through, to begin it then. Its number.
    fn look_through(
        &mut self,
        client: Option<ClientId>,
        name: String,
        token: Option<String>,
        share: bool,
    ) -> Result<u64> {
        choose_program(&self.config, Some(&name)).map_err(|e| words::no_program(&e))?;
        self.begins.last += 1;
        let (number, until) = (self.begins.last, self.machine.now() + PATIENCE);
        let (stop, stopped, waited) = (StopEvent::new(), BTreeSet::new(), client.is_some());
        let mut begin =
            Begin { client, waited, name, token, share, stop, until, looks: 0, stopped };
        self.look(number, &mut begin)?;
        self.begins.all.insert(number, begin);
        Ok(number)
    }

    fn look(&self, number: u64, begin: &mut Begin) -> Result<()> {
        begin.looks += 1;
        let (name, stop) = (begin.name.clone(), begin.stop.clone());
        let (config, starts) = (self.config.clone(), self.machine.starts());
        self.begins.looker.look(Look { number, config, name, starts, stop }).map_err(no_look)
    }

    /// Begins what has been looked through. Says when to look again.
    pub(super) fn go_on_with_begins(&mut self) -> Instant {
        let soon = self.begin_start_program();
        while let Some((number, looked)) = self.begins.looker.answer() {
            // One that was dropped is wanted no more.
            match self.begins.all.remove(&number) {
                Some(begin) => self.begin(number, begin, looked),
                None => self.begins.bury(looked),
            }
        }
        let now = self.machine.now();
        let dead = !self.begins.looker.is_alive();
        let late: Vec<u64> =
            self.begins.all.iter().filter(|b| dead || b.1.until <= now).map(|b| *b.0).collect();
        for number in late {
            let Some(begin) = self.begins.all.remove(&number) else { continue };
            let text = format!("the program {} could not be looked through in time", begin.name);
            let late = ErrorReply::new(ErrorCode::Timeout, text);
            self.begins.settle(number, begin, Err(if dead { no_look(NoLook::Gone) } else { late }));
        }
        self.begins.all.values().map(|begin| begin.until).fold(soon, Instant::min)
    }

    /// The start program is looked through when nothing moves any more; until then: when to look again.
    fn begin_start_program(&mut self) -> Instant {
        match self.machine.state() {
            _ if self.start_when_ready.is_none() => return Instant::FAR,
            MachineState::Moving => return super::serve::look_again(self.machine.now()),
            _ => {}
        }
        if let Some(StartProgram { name, .. }) = self.start_when_ready.take()
            && let Err(e) = self.look_through(None, name.clone(), None, false)
        {
            log::error!("the program {name} did not begin: {}", e.message);
        }
        Instant::FAR
    }

    /// A program has been looked through.
    fn begin(&mut self, number: u64, mut begin: Begin, looked: Looked) {
        let looked = looked.map_err(|e| words::no_program(&e));
        let begun = match &looked {
            Ok(looked) => self.begin_looked(&begin, looked),
            Err(e) => Err(e.clone()),
        };
        self.begins.bury(looked);
        let begun = match begun {
            Ok(Some(run)) => {
                let checked_moves = run.checked_moves();
                self.programs.push(run);
                let (program, result) = (begin.name.clone(), None);
                self.tell(&Event::Program(ProgramChanged { program, result, checked_moves }));
                Ok(())
            }
            Ok(None) if begin.looks < MOST_LOOKS => match self.look(number, &mut begin) {
                Ok(()) => return drop(self.begins.all.insert(number, begin)),
                Err(e) => Err(e),
            },
            Ok(None) => {
                let text =
                    format!("the motors of {} are moved while it is looked through", begin.name);
                Err(ErrorReply::new(ErrorCode::Busy, text))
            }
            Err(e) => Err(e),
        };
        self.begins.settle(number, begin, begun);
    }

    /// Begins it, if it is allowed. `None`: what was found is not true any more.
    fn begin_looked(
        &mut self,
        begin: &Begin,
        looked: &LookedThrough,
    ) -> Result<Option<ProgramRun>> {
        // The start program may have been begun by somebody meanwhile.
        self.does_not_run(&begin.name)?;
        let config = looked.program.config();
        if !Arc::ptr_eq(config, &self.config) {
            return Ok(None);
        }
        let name = |&motor: &usize| config.motors[motor].name.clone();
        let motors: Vec<String> = looked.preflight.motors.iter().map(name).collect();
        if motors.iter().any(|motor| begin.stopped.contains(motor)) {
            return Err(stopped(&begin.name));
        }
        if let Some(client) = begin.client {
            self.allowed(client, &motors, begin.token.as_deref())?;
        }
        ProgramRun::begin(self.machine, looked, begin.share).map_err(|e| words::no_program(&e))
    }

    /// Tells programs to stop, and answers once they have: their motors are at rest then.
    pub(super) fn stop_programs(&mut self, name: Option<&str>) -> Result<Handled> {
        if let Some(name) = name.filter(|n| self.config.program(n).is_none()) {
            let text = format!("there is no program `{name}`");
            return Err(ErrorReply::new(ErrorCode::UnknownProgram, text));
        }
        let mut stopped = self.begins.stop(name);
        let mut left = Vec::new();
        for program in &mut self.programs {
            if name.is_none_or(|n| n == program.name()) {
                program.stop(self.machine);
                left.push(program.name().to_owned());
            }
        }
        stopped.extend(left.iter().cloned());
        Ok(Answer::Later(Waiting::Stopped { left, stopped }))
    }
}
