//! Keeps the journal while the service runs: hears which motors rest and which leave, and has it written on
//! a thread of its own. The coordinator never waits for the disk; a motor may have to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use super::claims::{Claims, Job};
use super::disk::{Disk, Folder};
use super::journal::Journal;
use super::mark;
use crate::config::Config;
use crate::machine::Machine;
use crate::runtime::Waker;
use crate::units::Instant;

/// How long the end of the service waits for what is being written.
const LAST_WRITE: Duration = Duration::from_secs(3);

/// What goes to the disk.
pub(super) enum Work {
    Journal(String),
    Block(Vec<u8>),
}

/// Who writes: one piece at a time, in order.
pub(super) trait Scribe: Send {
    /// Begins to write.
    fn begin(&mut self, work: Work);

    /// What came of it, once it is over.
    fn ended(&mut self) -> Option<std::io::Result<()>>;

    /// Waits for the end of what is being written, no longer than that. Whether there is nothing more.
    fn finish(&mut self, patience: Duration) -> bool;
}

/// The journal of a service that runs.
#[derive(Clone)]
pub(super) struct Keeping {
    book: Arc<Mutex<Book>>,
}

struct Book {
    claims: Claims,
    journal: Journal,
    scribe: Box<dyn Scribe>,
    /// It was told in the log.
    failed: bool,
    /// Nothing more is written.
    closed: bool,
}

impl Keeping {
    /// Notes that the service runs, on the disk, and goes on from there. `why`: why nothing moves before
    /// `clear`.
    ///
    /// # Errors
    ///
    /// The journal can't be written, or the system gives no thread.
    pub fn begin(
        journal: &Journal,
        machine: &Machine,
        why: Option<&str>,
    ) -> std::io::Result<Keeping> {
        let folder = Folder::new(journal.folder());
        let scribe = |disk| {
            let thread = Thread::start(disk, machine.waker())?;
            Ok(Box::new(thread) as Box<dyn Scribe>)
        };
        Keeping::begin_with(journal, machine, why, folder, scribe)
    }

    /// The same on any disk, with who writes to it from then on.
    pub fn begin_with<D: Disk>(
        journal: &Journal,
        machine: &Machine,
        why: Option<&str>,
        mut disk: D,
        scribe: impl FnOnce(D) -> std::io::Result<Box<dyn Scribe>>,
    ) -> std::io::Result<Keeping> {
        let (config, now) = (machine.config(), machine.now());
        // Where nothing is restored from, nothing is noted.
        let mut claims = Claims::new(config, &journal.places(config), why);
        if journal.forgets().is_some() {
            claims.note_nothing();
        }
        let number = journal.begin(&mut disk, why, &claims.stand(now))?;
        claims.begun(number, now);
        let (journal, scribe) = (journal.clone(), scribe(disk)?);
        let book = Book { claims, journal, scribe, failed: false, closed: false };
        Ok(Keeping { book: Arc::new(Mutex::new(book)) })
    }

    /// Whether motors may leave where they are: for [`Machine::ask_before_leaving`].
    pub fn gate(&self) -> impl FnMut(&[&str], Instant) -> bool + Send + use<> {
        let keeping = self.clone();
        move |motors, now| keeping.is_noted(motors, now)
    }

    /// Whether the disk says that these motors are not where they were, as far as it has to.
    pub fn is_noted(&self, motors: &[&str], now: Instant) -> bool {
        let mut book = self.book();
        let may = book.closed || book.claims.may_leave(motors, now);
        book.go_on(now);
        // What can be written at once needs no second question.
        may || book.claims.may_leave(motors, now)
    }

    /// Hears how the machine is; `why`: why nothing moves before `clear`.
    pub fn look(&self, machine: &Machine, why: Option<&str>) {
        let (mut book, now) = (self.book(), machine.now());
        let busy = |motor: &str| machine.is_busy(motor);
        book.claims.look(now, busy, || machine.kept_places(), why);
        book.go_on(now);
    }

    /// Another config holds.
    pub fn adopt(&self, config: &Config) {
        self.book().claims.adopt(config);
    }

    /// Writes nothing more. Whether what was being written is over: else the end of the service can't be
    /// noted, since the one could come after the other.
    pub fn close(&self) -> bool {
        let mut book = self.book();
        book.closed = true;
        book.scribe.finish(LAST_WRITE)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Hears what came of the last job, and begins the next.
    fn go_on(&mut self, now: Instant) {
        if let Some(result) = self.scribe.ended() {
            self.claims.done(result.is_ok(), now);
            let failed = result.is_err();
            match result {
                Err(e) if !self.failed => log::error!(
                    "the journal in {} can't be written: {e}",
                    self.journal.folder().display()
                ),
                Ok(()) if self.failed => log::info!("the journal can be written again"),
                _ => {}
            }
            self.failed = failed;
        }
        if self.closed {
            return;
        }
        let work = match self.claims.job(now) {
            None => return,
            Some(Job::Journal { number, why, stand }) => {
                Work::Journal(self.journal.running(*number, why.as_deref(), stand))
            }
            Some(Job::Block { number, left }) => Work::Block(mark::block(*number, left)),
        };
        self.scribe.begin(work);
    }
}

/// A thread that writes.
struct Thread {
    work: Option<Sender<Work>>,
    results: Receiver<std::io::Result<()>>,
    busy: bool,
}

impl Thread {
    fn start(mut disk: impl Disk + 'static, waker: Waker) -> std::io::Result<Thread> {
        let (work, orders) = bounded::<Work>(1);
        let (told, results) = bounded(1);
        let write = move || {
            for work in orders {
                let result = match work {
                    Work::Journal(text) => disk.write(&text),
                    Work::Block(block) => disk.mark(&block),
                };
                if told.send(result).is_err() {
                    return;
                }
                waker.wake();
            }
        };
        std::thread::Builder::new().name("journal".to_owned()).spawn(write)?;
        Ok(Thread { work: Some(work), results, busy: false })
    }
}

impl Scribe for Thread {
    fn begin(&mut self, work: Work) {
        // There is room: the one before has ended.
        let sent = self.work.as_ref().is_some_and(|w| w.try_send(work).is_ok());
        self.busy = sent;
    }

    fn ended(&mut self) -> Option<std::io::Result<()>> {
        match self.results.try_recv() {
            Ok(result) => {
                self.busy = false;
                Some(result)
            }
            Err(TryRecvError::Empty) => None,
            // It has panicked, with what it was about to write.
            Err(TryRecvError::Disconnected) if std::mem::take(&mut self.busy) => {
                Some(Err(std::io::Error::other("the thread that writes it has died")))
            }
            Err(TryRecvError::Disconnected) => None,
        }
    }

    fn finish(&mut self, patience: Duration) -> bool {
        self.work = None;
        let over = !self.busy || self.results.recv_timeout(patience).is_ok();
        self.busy &= !over;
        over
    }
}

#[cfg(test)]
#[path = "keeping_tests.rs"]
mod tests;
