//! Another config while the service runs.
//!
//! The file is read and checked on a thread of its own. Then the new config waits until everything that
//! it changes is at rest, and holds from one turn of the coordinator to the next: all of it, or none.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, TryRecvError, bounded};

use super::desk::{Desk, Handled, Waiting};
use super::line_up::Answer;
use crate::config::Config;
use crate::machine::{Difference, ReloadError};
use crate::protocol::{ErrorCode, ErrorFacts, ErrorReply, Event, ReloadReply, Reloaded, Reply};
use crate::sync::StopEvent;
use crate::units::Instant;

/// How long the reply to a reload waits for motors to come to rest. The reload itself waits on.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a config may take to be read and checked.
const READING: Duration = Duration::from_secs(60);

/// So many readings may hang, on a file system that does not answer, say, before no further one is begun.
const MOST_HANGING: usize = 4;

/// Where the service's config comes from, and who has to know which one holds.
pub trait ConfigFile: fmt::Debug + Send + Sync {
    /// Reads and checks it anew. Once `stop` is set nobody wants to know any more: what comes of it then is not used.
    ///
    /// # Errors
    ///
    /// Each error of it: `FILE:LINE:COLUMN: error: ...`.
    fn read(&self, stop: &StopEvent) -> Result<Config, Vec<String>>;

    /// What was read last is about to take the place of what holds: should the service die in between,
    /// outputs of both have to be made safe.
    fn changing(&self) {}

    /// It is over: what was read last holds (`true`), or what held before does.
    fn changed(&self, holds: bool) {
        let _ = holds;
    }
}

/// What comes of reading the file.
type Read = Result<Config, Vec<String>>;

/// The reading of a file, and who has it done: it may take long.
pub(super) type Work = Box<dyn FnOnce() + Send>;
type Reader = Box<dyn Fn(Work) -> io::Result<()>>;

fn on_a_thread(work: Work) -> io::Result<()> {
    std::thread::Builder::new().name("reload".to_owned()).spawn(work).map(drop)
}

/// Where a reload stands.
pub(super) struct Reload {
    pub reader: Reader,
    stage: Stage,
    /// The number of the last request for one, and the number of the last that is settled, with what
    /// came of it. Those before it have come to the same.
    asked: u64,
    settled: u64,
    result: Option<Result<Vec<String>, ErrorReply>>,
    /// Each thread that reads has a clone of it.
    readers: Arc<()>,
}

impl Default for Reload {
    fn default() -> Reload {
        let (stage, result, readers) = (Stage::None, None, Arc::default());
        Reload { reader: Box::new(on_a_thread), stage, asked: 0, settled: 0, result, readers }
    }
}

#[derive(Default)]
enum Stage {
    #[default]
    None,
    Reading {
        read: Receiver<Read>,
        stop: StopEvent,
        until: Instant,
    },
    /// Motors have to come to rest for it.
    Waiting {
        config: Box<Config>,
        motors: Vec<String>,
    },
}

impl Stage {
    /// Nobody wants to know any more what is being read.
    fn give_up(&mut self) {
        if let Stage::Reading { stop, .. } = self {
            stop.set();
        }
    }
}

impl Desk<'_> {
    /// `reload`: reads the file again. What was read before and still waits, or is still being read, is not wanted
    /// any more.
    pub(super) fn reload(&mut self) -> Result<Handled, ErrorReply> {
        if self.source.is_none() {
            let text = "this service was not started with a config file";
            return Err(ErrorReply::new(ErrorCode::Config, text));
        }
        self.read_config()?;
        self.reload.asked += 1;
        let (number, until) = (self.reload.asked, self.machine.now() + PATIENCE);
        Ok(Answer::Later(Waiting::Reload { number, until }))
    }

    fn read_config(&mut self) -> Result<(), ErrorReply> {
        let Some(source) = self.source.clone() else { return Ok(()) };
        let hanging = Arc::strong_count(&self.reload.readers) - 1;
        if hanging >= MOST_HANGING {
            let text =
                format!("{hanging} earlier reloads still read the config: see why that hangs");
            return Err(ErrorReply::new(ErrorCode::TooMany, text));
        }
        let (done, read) = bounded(1);
        let (waker, reader) = (self.machine.waker(), self.reload.readers.clone());
        let (stop, until) = (StopEvent::new(), self.machine.now() + READING);
        let nobody_waits = stop.clone();
        let work = move || {
            let _ = done.try_send(source.read(&nobody_waits));
            drop(reader);
            waker.wake();
        };
        let read_by = (self.reload.reader)(Box::new(work));
        read_by.map_err(|e| ErrorReply::new(ErrorCode::Internal, e.to_string()))?;
        self.reload.stage.give_up();
        self.reload.stage = Stage::Reading { read, stop, until };
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
            // Later ones may put it off for ever.
            Stage::Reading { .. } if self.machine.now() >= until + READING => Some(Err(too_long())),
            _ => None,
        }
    }

    /// Lets a reload go on, if there is one.
    pub(super) fn go_on_with_reload(&mut self) {
        if let Stage::Reading { read, until, .. } = &self.reload.stage {
            let read = match read.try_recv() {
                Ok(read) => read,
                Err(TryRecvError::Empty) if self.machine.now() >= *until => {
                    self.reload.stage.give_up();
                    return self.settle_reload(Err(too_long()));
                }
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
        let old = std::mem::replace(&mut self.config, self.machine.shared_config());
        self.begins.bury(old);
        let anew =
            |name: &String| difference.reopened.contains(name) || difference.removed.contains(name);
        self.faulty.retain(|name| !anew(name));
        self.renew_page(difference);
        self.keeping.iter().for_each(|keeping| keeping.adopt(&self.config));
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

    /// The motors of the programs under way, whatever becomes of their moves.
    fn of_programs(&self) -> BTreeSet<String> {
        let mut used = BTreeSet::new();
        for program in &self.programs {
            let name = |motor: usize| program.config().motors[motor].name.clone();
            used.extend(program.motors().into_iter().map(name));
        }
        used
    }
}

fn too_long() -> ErrorReply {
    let text =
        format!("the config could not be read and checked within {READING:?}; the old one stays");
    ErrorReply::new(ErrorCode::Timeout, text)
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
