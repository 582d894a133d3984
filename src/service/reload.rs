//! Another config while the service runs.
//!
//! The file is read and checked on a thread of its own. Then the new config waits until everything that
//! it changes is at rest, and holds from one turn of the coordinator to the next: all of it, or none.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// How long others wait for a file that does not let itself be read, before it is tried once more.
const GIVES_WAY: Duration = Duration::from_secs(1);

/// So many readings may hang, on a file system that does not answer, say, before no further one is begun.
const MOST_HANGING: usize = 4;

/// Where the service's config comes from, and who has to know which one holds.
pub trait ConfigFile: fmt::Debug + Send + Sync {
    /// Reads and checks it anew.
    ///
    /// # Errors
    ///
    /// Each error of it: `FILE:LINE:COLUMN: error: ...`.
    fn read(&self, reading: &Reading) -> Result<Config, Vec<String>>;

    /// What was read last is about to take the place of what holds: should the service die in between,
    /// outputs of both have to be made safe.
    fn changing(&self) {}

    /// It is over: what was read last holds (`true`), or what held before does.
    fn changed(&self, holds: bool) {
        let _ = holds;
    }
}

/// A config that is being read and checked: what whoever does that is told, and what he tells.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    unwanted: StopEvent,
    has_text: Arc<AtomicBool>,
}

impl Reading {
    /// Nobody wants to know any more what comes of it: it is not used.
    pub fn is_unwanted(&self) -> bool {
        self.unwanted.is_set()
    }

    /// Tells that the file has been read. What is left to do ends: others wait for it.
    pub fn has_text(&self) {
        self.has_text.store(true, Ordering::Relaxed);
    }

    fn hangs(&self) -> bool {
        !self.has_text.load(Ordering::Relaxed)
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
    /// The number of the last request for one; the number of the last for which the file was or is being read; and
    /// the number of the last that is settled, with what came of it. Those before have come to the same, if they had
    /// come to nothing yet.
    asked: u64,
    read: u64,
    settled: u64,
    result: Option<Result<Vec<String>, ErrorReply>>,
    /// Each thread that reads has a clone of it.
    readers: Arc<()>,
}

impl Default for Reload {
    fn default() -> Reload {
        let (stage, result, readers) = (Stage::None, None, Arc::default());
        let (asked, read, settled) = (0, 0, 0);
        Reload { reader: Box::new(on_a_thread), stage, asked, read, settled, result, readers }
    }
}

#[derive(Default)]
enum Stage {
    #[default]
    None,
    Reading {
        read: Receiver<Read>,
        reading: Reading,
        begun: Instant,
    },
    /// Motors have to come to rest for it.
    Waiting {
        config: Arc<Config>,
        motors: Vec<String>,
    },
}

impl Desk<'_> {
    /// `reload`: reads the file again. Where it is being read for another, that comes first, unless it hangs; all who
    /// ask meanwhile share the next reading. What has been read and waits for motors gives way.
    pub(super) fn reload(&mut self) -> Result<Handled, ErrorReply> {
        if self.source.is_none() {
            let text = "this service was not started with a config file";
            return Err(ErrorReply::new(ErrorCode::Config, text));
        }
        if !matches!(self.reload.stage, Stage::Reading { .. }) {
            self.read_config(self.reload.asked + 1)?;
        }
        self.reload.asked += 1;
        let (number, until) = (self.reload.asked, self.machine.now() + PATIENCE);
        Ok(Answer::Later(Waiting::Reload { number, until }))
    }

    /// Has the file read for all requests up to this number. What was being done about it is given up.
    fn read_config(&mut self, number: u64) -> Result<(), ErrorReply> {
        let Some(source) = self.source.clone() else { return Ok(()) };
        let hanging = self.hanging();
        if hanging >= MOST_HANGING {
            let text =
                format!("{hanging} earlier reloads still read the config: see why that hangs");
            return Err(ErrorReply::new(ErrorCode::TooMany, text));
        }
        let (done, read) = bounded(1);
        let (waker, reader) = (self.machine.waker(), self.reload.readers.clone());
        let (reading, begun) = (Reading::default(), self.machine.now());
        let told = reading.clone();
        let work = move || {
            let _ = done.try_send(source.read(&told));
            drop(reader);
            waker.wake();
        };
        let read_by = (self.reload.reader)(Box::new(work));
        read_by.map_err(|e| ErrorReply::new(ErrorCode::Internal, e.to_string()))?;
        self.give_up_reload();
        self.reload.read = number;
        self.reload.stage = Stage::Reading { read, reading, begun };
        Ok(())
    }

    /// How many threads still read the file, wanted or not.
    fn hanging(&self) -> usize {
        Arc::strong_count(&self.reload.readers) - 1
    }

    /// What is being read, or has been, is not wanted any more.
    fn give_up_reload(&mut self) {
        let stage = std::mem::take(&mut self.reload.stage);
        if let Stage::Reading { reading, .. } = &stage {
            reading.unwanted.set();
        }
        if !matches!(stage, Stage::None) {
            self.begins.bury(stage);
        }
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
            Stage::Reading { .. } if self.machine.now() >= until + READING => {
                let text = "the config is still being read, after others that were asked for since: \
                    the event `reloaded` says if it holds";
                Some(Err(ErrorReply::new(ErrorCode::Timeout, text)))
            }
            _ => None,
        }
    }

    /// Lets a reload go on, if there is one.
    pub(super) fn go_on_with_reload(&mut self) {
        if let Stage::Reading { read, reading, begun } = &self.reload.stage {
            let now = self.machine.now();
            match read.try_recv() {
                Ok(Ok(config)) => {
                    let (config, motors) = (Arc::new(config), Vec::new());
                    self.reload.stage = Stage::Waiting { config, motors };
                }
                Ok(Err(errors)) => self.settle_reload(Err(wrong(errors))),
                Err(TryRecvError::Empty) if now >= *begun + READING => {
                    self.settle_reload(Err(too_long()));
                }
                Err(TryRecvError::Empty) => {
                    let hangs = reading.hangs() && now >= *begun + GIVES_WAY;
                    if !(hangs && self.is_reload_asked() && self.hanging() < MOST_HANGING) {
                        return;
                    }
                }
                Err(TryRecvError::Disconnected) => {
                    let text = "the thread that reads the config panicked";
                    self.settle_reload(Err(ErrorReply::new(ErrorCode::Internal, text)));
                }
            }
        }
        self.apply_config();
        if self.is_reload_asked()
            && let Err(error) = self.read_config(self.reload.asked)
        {
            self.reload.read = self.reload.asked;
            self.settle_reload(Err(error));
        }
    }

    /// Somebody has asked for one for whom the file is not being read yet.
    fn is_reload_asked(&self) -> bool {
        self.reload.asked > self.reload.read
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
        let (source, config) = (self.source.clone(), config.clone());
        source.iter().for_each(|s| s.changing());
        let result = self.machine.reload_shared(&config, numbered);
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

    /// What came of the requests up to the one for which the file was read last.
    fn settle_reload(&mut self, result: Result<Vec<String>, ErrorReply>) {
        if let Err(error) = &result {
            log::error!("the old config stays: {}", error.message);
            error.facts.errors.iter().for_each(|e| log::error!("{e}"));
        }
        self.give_up_reload();
        (self.reload.settled, self.reload.result) = (self.reload.read, Some(result));
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
