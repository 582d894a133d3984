//! Another config while the service runs.
//!
//! The file is read and checked on a thread of its own. Then the new config waits until everything that
//! it changes is at rest, and holds from one turn of the coordinator to the next: all of it, or none.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, TryRecvError, bounded};

use super::desk::{Desk, Handled, Waiting};
use super::line_up::Answer;
use crate::config::{Action, Config, StepConfig};
use crate::machine::{Difference, ReloadError};
use crate::protocol::{ErrorCode, ErrorFacts, ErrorReply, Event, ReloadReply, Reloaded, Reply};
use crate::units::Instant;

/// How long the reply to a reload waits for motors to come to rest. The reload itself waits on.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the service's config comes from, and who has to know which one holds.
pub trait ConfigFile: fmt::Debug + Send + Sync {
    /// Reads and checks it anew.
    ///
    /// # Errors
    ///
    /// Each error of it: `FILE:LINE:COLUMN: error: ...`.
    fn read(&self) -> Result<Config, Vec<String>>;

    /// What was read last is about to take the place of what holds: should the service die in between,
    /// outputs of both have to be made safe.
    fn changing(&self) {}

    /// It is over: what was read last holds (`true`), or what held before does.
    fn changed(&self, holds: bool) {
        let _ = holds;
    }
}

/// The configs that have held since the service began: programs that run know theirs.
pub(super) struct Generations {
    first: Generation,
}

struct Generation {
    config: Arc<Config>,
    next: OnceCell<Box<Generation>>,
}

impl Generations {
    pub fn new(config: Arc<Config>) -> Generations {
        Generations { first: Generation { config, next: OnceCell::new() } }
    }

    /// The config that holds.
    pub fn last(&self) -> &Config {
        &self.newest().config
    }

    fn newest(&self) -> &Generation {
        let mut newest = &self.first;
        while let Some(next) = newest.next.get() {
            newest = next;
        }
        newest
    }

    fn add(&self, config: Arc<Config>) {
        let next = Generation { config, next: OnceCell::new() };
        // The newest has no next one.
        let _ = self.newest().next.set(Box::new(next));
    }
}

impl Drop for Generations {
    /// One by one: a chain that drops itself would take stack for each.
    fn drop(&mut self) {
        let mut next = self.first.next.take();
        while let Some(mut generation) = next {
            next = generation.next.take();
        }
    }
}

/// What comes of reading the file.
type Read = Result<Config, Vec<String>>;

/// Where a reload stands.
#[derive(Default)]
pub(super) struct Reload {
    stage: Stage,
    /// The number of the last request for one, and the number of the last that is settled, with what
    /// came of it. Those before it have come to the same.
    asked: u64,
    settled: u64,
    result: Option<Result<Vec<String>, ErrorReply>>,
    /// It was asked for again while the file was being read.
    again: bool,
}

#[derive(Default)]
enum Stage {
    #[default]
    None,
    Reading(Receiver<Read>),
    /// Motors have to come to rest for it.
    Waiting {
        config: Box<Config>,
        motors: Vec<String>,
    },
}

impl<'c> Desk<'c> {
    /// `reload`: reads the file again. What was read before and still waits is not wanted any more.
    pub(super) fn reload(&mut self) -> Result<Handled, ErrorReply> {
        if self.source.is_none() {
            let text = "this service was not started with a config file";
            return Err(ErrorReply::new(ErrorCode::Config, text));
        }
        self.reload.asked += 1;
        match self.reload.stage {
            Stage::Reading(_) => self.reload.again = true,
            _ => self.read_config()?,
        }
        let (number, until) = (self.reload.asked, self.machine.now() + PATIENCE);
        Ok(Answer::Later(Waiting::Reload { number, until }))
    }

    fn read_config(&mut self) -> Result<(), ErrorReply> {
        let Some(source) = self.source.clone() else { return Ok(()) };
        let (done, read) = bounded(1);
        let waker = self.machine.waker();
        let work = move || {
            let _ = done.try_send(source.read());
            waker.wake();
        };
        let thread = std::thread::Builder::new().name("reload".to_owned()).spawn(work);
        thread.map_err(|e| ErrorReply::new(ErrorCode::Internal, e.to_string()))?;
        (self.reload.stage, self.reload.again) = (Stage::Reading(read), false);
        Ok(())
    }

    /// What a reload has come to that was asked for as that number.
    pub(super) fn reload_settled(
        &self,
        number: u64,
        until: Instant,
    ) -> Option<Result<Reply, ErrorReply>> {
        let done = |changed, waiting| Ok(Reply::Reload(ReloadReply { changed, waiting }));
        if let Some(result) = self.reload.result.as_ref().filter(|_| self.reload.settled >= number)
        {
            return Some(match result {
                Ok(changed) => done(changed.clone(), Vec::new()),
                Err(error) => Err(error.clone()),
            });
        }
        match &self.reload.stage {
            Stage::Waiting { motors, .. } if self.machine.now() >= until => {
                Some(done(Vec::new(), motors.clone()))
            }
            _ => None,
        }
    }

    /// Lets a reload go on, if there is one.
    pub(super) fn go_on_with_reload(&mut self) {
        if let Stage::Reading(read) = &self.reload.stage {
            let read = match read.try_recv() {
                Ok(_) if self.reload.again => {
                    if let Err(e) = self.read_config() {
                        self.settle_reload(Err(e));
                    }
                    return;
                }
                Ok(read) => read,
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    let text = "the thread that reads the config panicked";
                    return self.settle_reload(Err(ErrorReply::new(ErrorCode::Internal, text)));
                }
            };
            match read {
                Ok(config) => {
                    let config = Box::new(config);
                    self.reload.stage = Stage::Waiting { config, motors: Vec::new() };
                }
                Err(errors) => return self.settle_reload(Err(wrong(errors))),
            }
        }
        self.apply_config();
    }

    fn apply_config(&mut self) {
        let Stage::Waiting { config, .. } = &self.reload.stage else { return };
        let difference = self.machine.difference(config);
        let numbered = !self.programs.is_empty();
        let waiting = match self.machine.may_reload(config, numbered) {
            Ok(()) => self.in_programs(&difference),
            Err(ReloadError::Busy { mut motors }) => {
                motors.extend(self.in_programs(&difference));
                if motors.is_empty() {
                    // Motors get other numbers, and nothing but a program is in the way of that.
                    motors.extend(self.of_programs());
                }
                motors.sort();
                motors.dedup();
                motors
            }
            Err(e) => return self.settle_reload(Err(refused(&e))),
        };
        if !waiting.is_empty() {
            if let Stage::Waiting { motors, .. } = &mut self.reload.stage {
                *motors = waiting;
            }
            return;
        }
        let Stage::Waiting { config, .. } = std::mem::take(&mut self.reload.stage) else { return };
        let source = self.source.clone();
        source.iter().for_each(|s| s.changing());
        let result = self.machine.reload(*config, numbered);
        source.iter().for_each(|s| s.changed(result.is_ok()));
        match result {
            Ok(_) => {
                self.adopt(&difference);
                let changed = difference.motors();
                log::info!("a new config holds; changed: {}", changed.join(", "));
                self.tell(&Event::Reloaded(Reloaded { changed: changed.clone() }));
                self.settle_reload(Ok(changed));
            }
            Err(e) => self.settle_reload(Err(refused(&e))),
        }
    }

    /// The new config holds for everything that begins from now on.
    fn adopt(&mut self, difference: &Difference) {
        self.generations.add(self.machine.shared_config());
        self.config = self.generations.last();
        let anew =
            |name: &String| difference.reopened.contains(name) || difference.removed.contains(name);
        self.faulty.retain(|name| !anew(name));
        self.renew_page(difference);
        self.keeping.iter().for_each(|keeping| keeping.adopt(self.config));
    }

    fn settle_reload(&mut self, result: Result<Vec<String>, ErrorReply>) {
        if let Err(error) = &result {
            log::error!("the old config stays: {}", error.message);
            error.facts.errors.iter().for_each(|e| log::error!("{e}"));
        }
        let reload = &mut self.reload;
        (reload.stage, reload.settled, reload.result) = (Stage::None, reload.asked, Some(result));
    }

    /// Motors that change, and that programs under way need.
    fn in_programs(&self, difference: &Difference) -> Vec<String> {
        let used = self.of_programs();
        difference.must_rest().filter(|m| used.contains(*m)).cloned().collect()
    }

    /// The motors of the programs under way.
    fn of_programs(&self) -> BTreeSet<String> {
        let mut used = BTreeSet::new();
        for program in &self.programs {
            let config = program.config();
            let mut uses =
                Uses { seen: vec![false; config.programs.len()], motors: BTreeSet::new() };
            if let Some(number) = config.programs.iter().position(|p| p.name == program.name()) {
                uses.program(config, number);
            }
            used.extend(uses.motors.into_iter().map(|m| config.motors[m].name.clone()));
        }
        used
    }
}

/// Collects what a program needs, whatever becomes of its moves.
struct Uses {
    seen: Vec<bool>,
    motors: BTreeSet<usize>,
}

impl Uses {
    fn program(&mut self, config: &Config, number: usize) {
        if !std::mem::replace(&mut self.seen[number], true) {
            self.steps(config, &config.programs[number].steps);
        }
    }

    fn steps(&mut self, config: &Config, steps: &[StepConfig]) {
        for step in steps {
            match &step.action {
                Action::Move(action) => {
                    self.motors.extend(action.targets.iter().map(|t| t.motor));
                    action.on_short.iter().for_each(|s| self.program(config, s.1));
                }
                Action::Sweep(sweep) => self.motors.extend(sweep.motors.iter().map(|m| m.motor)),
                Action::Keyframes(frames) => {
                    let targets = frames.iter().flat_map(|f| &f.targets);
                    self.motors.extend(targets.map(|t| t.motor));
                }
                Action::Repeat(_, steps) => self.steps(config, steps),
                Action::Run(number) => self.program(config, *number),
                Action::Together(branches) => branches.iter().for_each(|b| self.steps(config, b)),
                _ => {}
            }
        }
    }
}

fn wrong(errors: Vec<String>) -> ErrorReply {
    let count = match errors.len() {
        1 => "1 error".to_owned(),
        n => format!("{n} errors"),
    };
    let text = format!("the config has {count}; the old one stays");
    ErrorReply::new(ErrorCode::Config, text).with(ErrorFacts { errors, ..ErrorFacts::default() })
}

fn refused(error: &ReloadError) -> ErrorReply {
    let code = match error {
        ReloadError::Machine(_) => ErrorCode::Hardware,
        ReloadError::Finished => ErrorCode::Closing,
        ReloadError::Busy { .. } => ErrorCode::Busy,
        ReloadError::Restart { .. } | ReloadError::Outside { .. } => ErrorCode::Config,
    };
    ErrorReply::new(code, format!("{error}; the old config stays"))
}
