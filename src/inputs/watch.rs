//! Input lines of a machine, each behind its filter.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use thiserror::Error;

use super::{Change, Condition, Edge, Filter, Rejected, Rules, Why};
use crate::board::Pull;
use crate::hal::{Backend, Clock, HalError, InputEdge, InputLine, Level};
use crate::units::Instant;

/// How often a line is looked at of which no edge tells.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Why a line can't be watched.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The back end refused it.
    #[error(transparent)]
    Hal(#[from] HalError),
    /// The system gave no thread.
    #[error("no thread for the inputs: {0}")]
    Thread(String),
}

/// What is called for each change that is confirmed. It must return at once.
type OnChange = Box<dyn FnMut(Change) + Send>;

/// A line to watch.
#[derive(Clone, Copy, Debug)]
pub struct LineSpec<'a> {
    /// Its pin.
    pub gpio: u8,
    /// How it is pulled.
    pub pull: Pull,
    /// The level at which it is active.
    pub active: Level,
    /// Whose it is: errors and the log name it.
    pub who: &'a str,
    /// How it is judged.
    pub rules: Rules,
}

/// Watches input lines and confirms what they say, on a thread of its own, which begins with the first line and
/// ends with the last. In virtual time there is no such thread: there a level that is put on a line is confirmed
/// at once.
pub struct Watcher {
    clock: Clock,
    lines: Lines,
    /// Rings when something may be due sooner; with the thread, once there is one.
    bell: Option<Sender<()>>,
}

type Lines = Arc<Mutex<Vec<Weak<Mutex<Line>>>>>;

struct Line {
    who: String,
    active: Level,
    filter: Filter,
    /// `None`: not open yet, or no longer.
    input: Option<Box<dyn InputLine>>,
    on_change: OnChange,
    /// When it is looked at next, whatever happens.
    next: Instant,
    /// How many rejected pulses the log knows of.
    told: u64,
    unreadable: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watcher {
    /// A watcher without lines. `clock` is the one that the edges' instants are on.
    pub fn new(clock: Clock) -> Watcher {
        Watcher { clock, lines: Arc::default(), bell: None }
    }

    /// Opens a line and watches it for as long as what is returned lives. A level that it has already counts as a
    /// change: it is confirmed like any other.
    ///
    /// # Errors
    ///
    /// [`WatchError`].
    pub fn watch(
        &mut self,
        backend: &mut dyn Backend,
        spec: LineSpec<'_>,
        on_change: impl FnMut(Change) + Send + 'static,
    ) -> Result<Watched, WatchError> {
        let at_once = self.clock.is_virtual();
        let bell = if at_once { None } else { Some(self.bell()?) };
        let rules =
            if at_once { Rules { debounce: Duration::ZERO, ..spec.rules } } else { spec.rules };
        let line = Arc::new(Mutex::new(Line {
            who: spec.who.to_owned(),
            active: spec.active,
            filter: Filter::new(rules, false),
            input: None,
            on_change: Box::new(on_change),
            next: Instant::ZERO,
            told: 0,
            unreadable: false,
        }));
        // Weak: the line owns the input, which owns this.
        let of_edges = Arc::downgrade(&line);
        let ring = bell.clone();
        let on_edge = Box::new(move |edge: InputEdge| {
            let Some(line) = of_edges.upgrade() else { return };
            lock(&line).edge(edge, at_once);
            if let Some(bell) = &ring {
                // Full: it is about to look.
                let _ = bell.try_send(());
            }
        });
        let input = backend.open_input(spec.gpio, spec.pull, spec.who, on_edge)?;
        lock(&line).input = Some(input);
        if let Some(bell) = bell {
            lock(&self.lines).push(Arc::downgrade(&line));
            let _ = bell.try_send(());
        }
        Ok(Watched { line })
    }

    fn bell(&mut self) -> Result<Sender<()>, WatchError> {
        if let Some(bell) = &self.bell {
            return Ok(bell.clone());
        }
        let (bell, rings) = bounded(1);
        let (lines, clock) = (self.lines.clone(), self.clock.clone());
        // Nobody joins it: it ends once nobody can ring any more.
        std::thread::Builder::new()
            .name("input-filter".into())
            .spawn(move || attend(&lines, &rings, &clock))
            .map_err(|e| WatchError::Thread(e.to_string()))?;
        Ok(self.bell.insert(bell).clone())
    }
}

/// Looks at each line when it is due.
fn attend(lines: &Lines, rings: &Receiver<()>, clock: &Clock) {
    loop {
        let watched: Vec<_> = {
            let mut lines = lock(lines);
            lines.retain(|line| line.strong_count() > 0);
            lines.iter().filter_map(Weak::upgrade).collect()
        };
        let due = watched.iter().map(|line| lock(line).attend(clock.now())).min();
        drop(watched);
        let due = due.unwrap_or(clock.now() + LOOK_EVERY);
        match rings.recv_timeout(due.since(clock.now())) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

impl Line {
    fn edge(&mut self, edge: InputEdge, at_once: bool) {
        let active = edge.level == self.active;
        self.filter.edge(Edge { active, at: edge.at, number: edge.number });
        if at_once {
            self.filter.look(edge.at, Some(active));
        }
        self.tell();
    }

    /// What the line is now; `None`: it can't be read.
    fn read(&mut self) -> Option<Result<bool, HalError>> {
        let active = self.active;
        self.input.as_mut().map(|input| input.level().map(|level| level == active))
    }

    /// Looks at it, if it is time, and says when it is next.
    fn attend(&mut self, now: Instant) -> Instant {
        if now >= self.filter.due().min(self.next)
            && let Some(read) = self.read()
        {
            self.next = now + LOOK_EVERY;
            if let Err(error) = &read
                && !std::mem::replace(&mut self.unreadable, true)
            {
                log::error!("{} can't be read: {error}", self.who);
            }
            self.unreadable = read.is_err();
            self.filter.look(now, read.ok());
            self.tell();
        }
        self.note_rejected();
        self.filter.due().min(self.next.max(now))
    }

    fn tell(&mut self) {
        while let Some(change) = self.filter.next_change() {
            if change.active && change.why != Why::Level {
                let why = match change.why {
                    Why::Level | Why::Unreadable => "it can't be read",
                    Why::Gap => "edges of it were lost",
                    Why::Noise => "it is never at rest",
                    Why::Vanished => "it is gone",
                };
                log::error!("{} counts as active: {why}", self.who);
            }
            (self.on_change)(change);
        }
    }

    /// Has the log say what was not believed: the first time, and then each time that it is twice as much.
    fn note_rejected(&mut self) {
        let Rejected { pulses, longest } = self.filter.rejected();
        if pulses >= 1 && pulses >= 2 * self.told {
            self.told = pulses;
            let what = if pulses == 1 { "pulse" } else { "pulses" };
            log::warn!(
                "{}: {pulses} {what} too short to be believed, up to {longest:?}: look for what runs beside its cable",
                self.who
            );
        }
    }
}

/// A line that is watched, for as long as this lives.
pub struct Watched {
    line: Arc<Mutex<Line>>,
}

impl Watched {
    /// Whether the line is active: it was confirmed to be, or reads so now, be it for a moment.
    ///
    /// # Errors
    ///
    /// It can't be read.
    pub fn is_active(&self) -> Result<bool, HalError> {
        let mut line = lock(&self.line);
        let reads = line.read().transpose()?.unwrap_or_default();
        Ok(reads || line.filter.is_active())
    }

    /// Whether it can be relied upon.
    pub fn condition(&self) -> Condition {
        lock(&self.line).filter.condition()
    }

    /// What was not believed so far.
    pub fn rejected(&self) -> Rejected {
        lock(&self.line).filter.rejected()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Whoever looks at the line just now may be the last to let go of it: its pin is given back here.
        drop(lock(&self.line).input.take());
    }
}
