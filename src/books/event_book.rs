//! Named events: which are kept, and who waits for which.

use std::sync::Arc;
use std::time::Duration;

use super::Book;
use super::waiters::{Wait, WaitId, Waiters};
use crate::units::Instant;

/// The limits of an [`EventBook`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventRules {
    /// For how long an event is kept for those who come after it. 10 s by default.
    pub grace: Duration,
    /// The longest time-out of a wait. 60 s by default.
    pub max_timeout: Duration,
    /// How many events are kept. 256 by default.
    pub max_events: usize,
    /// How many waits there may be at a time. 256 by default.
    pub max_waits: usize,
    /// How many events one wait may ask for. 32 by default.
    pub max_names: usize,
}

impl Default for EventRules {
    fn default() -> Self {
        EventRules {
            grace: Duration::from_secs(10),
            max_timeout: Duration::from_secs(60),
            max_events: 256,
            max_waits: 256,
            max_names: 32,
        }
    }
}

/// The longest name of an event, in bytes.
const MAX_NAME: usize = 128;

/// Whether a wait leaves the events that it got to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Delivery {
    /// Others may get the same events, as long as they are kept.
    #[default]
    Shared,
    /// The events are removed: of all waits that consume, one gets each.
    Consume,
}

/// Why there are no events for someone who asked for them, or why one was not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// The time ran out. Nothing was taken.
    #[error("the time ran out before the event {} came", in_words(missing))]
    TimedOut {
        /// Those that were not there at the end, in the order asked; never empty.
        missing: Vec<String>,
    },
    /// A stop ended the wait. Nothing was taken.
    #[error("a stop ended the wait for the event {}", in_words(missing))]
    Stopped {
        /// Those that were not there at the end, in the order asked.
        missing: Vec<String>,
    },
    /// The time-out is longer than waits may last.
    #[error("a wait of {timeout:?} is too long: write at most {max:?}")]
    TooLong {
        /// The time-out.
        timeout: Duration,
        /// The longest there may be.
        max: Duration,
    },
    /// Nothing, or too much, was asked for.
    #[error("{names} events to wait for: name 1 to {max}")]
    Count {
        /// How many were named.
        names: usize,
        /// How many may be.
        max: usize,
    },
    /// An event was named twice in one wait.
    #[error("the event `{0}` is named twice: it comes once")]
    Twice(String),
    /// The name is empty or too long.
    #[error("the name of an event must have 1 to {max} bytes, not {bytes}")]
    Name {
        /// The bytes in the name.
        bytes: usize,
        /// How many there may be.
        max: usize,
    },
    /// There are as many waits as there may be.
    #[error("{max} waits for events are going on already, more are not allowed: try again later")]
    TooMany {
        /// How many there may be.
        max: usize,
    },
}

pub(super) fn in_words(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// What [`Machine::trigger`](crate::machine::Machine::trigger) did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Triggered {
    /// How many waits this event completed.
    pub completed: usize,
    /// Whether it replaced an older event of its name.
    pub replaced: bool,
    /// The event that was dropped to make room, if too many were kept.
    pub dropped: Option<String>,
}

/// The named events of a machine: the state machine behind
/// [`EventExchange`](crate::sync::EventExchange), without any waiting. See [`Book`] for how to drive it.
///
/// An event has a name and a text. A wait asks for one or several, and is settled when all of them
/// are there:
///
/// - An event is there for a wait that began before it, however long ago it came; and for one that
///   began later, if that was within the grace time. What is there for nobody any more is dropped.
/// - A newer event replaces an older one of its name, also for those who wait.
/// - A wait takes nothing before all its events are there. So none that times out has taken any,
///   and an event for which two wait goes to the one that is complete first.
/// - Those who share are served first, then those who [consume](Delivery::Consume), the first to
///   come first.
///
/// # Examples
///
/// ```
/// use lockstep::sync::{Book, Delivery, EventBook, EventError, EventRules};
/// use lockstep::units::Instant;
/// use std::time::Duration;
///
/// let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
/// let mut book = EventBook::new(EventRules::default());
/// book.trigger("door-open", "{\"n\":3}", at(1))?;
/// let names = ["x.reached", "door-open"];
/// let wait = book.wait(&names, Delivery::Shared, Duration::from_secs(20), at(2))?;
/// assert!(!book.is_settled(wait));
///
/// book.trigger("x.reached", "10mm", at(15))?;
/// assert_eq!(book.news(), [wait]);
/// let data = book.take(wait).expect("it is settled")?;
/// assert_eq!(data.iter().map(|data| &**data).collect::<Vec<_>>(), ["10mm", "{\"n\":3}"]);
///
/// // By now the door's event is older than the grace time.
/// let wait = book.wait(&names, Delivery::Shared, Duration::ZERO, at(16))?;
/// let missing = vec!["door-open".to_string()];
/// assert_eq!(book.take(wait), Some(Err(EventError::TimedOut { missing })));
/// # Ok::<(), EventError>(())
/// ```
#[derive(Debug)]
pub struct EventBook {
    rules: EventRules,
    /// One for each name, the oldest first.
    kept: Vec<Event>,
    waiters: Waiters<Wanted, Outcome>,
}

#[derive(Debug, Clone)]
struct Event {
    name: String,
    data: Arc<str>,
    came: Instant,
}

#[derive(Debug)]
struct Wanted {
    names: Vec<String>,
    delivery: Delivery,
    since: Instant,
}

#[derive(Debug)]
struct Outcome {
    result: Result<Vec<Arc<str>>, EventError>,
    /// What it took from the book.
    consumed: Vec<Event>,
}

impl EventBook {
    /// A book without events.
    pub fn new(rules: EventRules) -> Self {
        EventBook { rules, kept: Vec::new(), waiters: Waiters::new(rules.max_waits) }
    }

    /// The limits that it was made with.
    pub fn rules(&self) -> &EventRules {
        &self.rules
    }

    /// The names of the events that are kept, the oldest first.
    pub fn kept(&self) -> impl Iterator<Item = &str> {
        self.kept.iter().map(|event| event.name.as_str())
    }

    /// An event comes. If more are kept than may be, the oldest is dropped.
    ///
    /// # Errors
    ///
    /// [`EventError::Name`]
    pub fn trigger(
        &mut self,
        name: &str,
        data: impl Into<Arc<str>>,
        now: Instant,
    ) -> Result<Triggered, EventError> {
        check_name(name)?;
        self.advance(now);
        let before = self.kept.len();
        self.kept.retain(|event| event.name != name);
        let replaced = self.kept.len() < before;
        self.kept.push(Event { name: name.to_string(), data: data.into(), came: now });
        let completed = self.serve();
        self.forget(now);
        let dropped = self.make_room();
        Ok(Triggered { completed, replaced, dropped })
    }

    /// Begins a wait for all of `names`. It is settled at once if all are there, or if `timeout` is
    /// zero. What comes of it is their data, in the order of `names`.
    ///
    /// # Errors
    ///
    /// [`EventError::Count`], [`EventError::Name`], [`EventError::Twice`], [`EventError::TooLong`],
    /// [`EventError::TooMany`]; and later [`EventError::TimedOut`], [`EventError::Stopped`].
    pub fn wait(
        &mut self,
        names: &[impl AsRef<str>],
        delivery: Delivery,
        timeout: Duration,
        now: Instant,
    ) -> Result<WaitId, EventError> {
        let EventRules { max_timeout, max_names, .. } = self.rules;
        if names.is_empty() || names.len() > max_names {
            return Err(EventError::Count { names: names.len(), max: max_names });
        }
        let mut wanted: Vec<String> = Vec::new();
        for name in names {
            let name = name.as_ref();
            check_name(name)?;
            if wanted.iter().any(|other| other == name) {
                return Err(EventError::Twice(name.to_string()));
            }
            wanted.push(name.to_string());
        }
        if timeout > max_timeout {
            return Err(EventError::TooLong { timeout, max: max_timeout });
        }
        self.advance(now);
        let wanted = Wanted { names: wanted, delivery, since: now };
        let max = self.waiters.most();
        let id = self.waiters.add(now + timeout, wanted).ok_or(EventError::TooMany { max })?;
        self.serve();
        self.advance(now);
        Ok(id)
    }

    /// Gives a wait another deadline. One that is settled, or gone, is left alone.
    pub fn set_deadline(&mut self, id: WaitId, deadline: Instant) {
        self.waiters.set_deadline(id, deadline);
    }

    /// Settles those waits for which all is there. Returns how many.
    fn serve(&mut self) -> usize {
        let mut served = 0;
        for delivery in [Delivery::Shared, Delivery::Consume] {
            let waits = self.waiters.open().filter(|(_, wanted)| wanted.delivery == delivery);
            for id in waits.map(|(id, _)| id).collect::<Vec<_>>() {
                let Some(events) = self.waiters.wanted(id).and_then(|w| self.all_of(w)) else {
                    continue;
                };
                let result = Ok(events.iter().map(|event| Arc::clone(&event.data)).collect());
                let consumed = match delivery {
                    Delivery::Shared => Vec::new(),
                    Delivery::Consume => {
                        let taken = |event: &Event| events.iter().any(|e| e.name == event.name);
                        self.kept.retain(|event| !taken(event));
                        events
                    }
                };
                self.waiters.settle(id, Outcome { result, consumed });
                served += 1;
            }
        }
        served
    }

    fn is_there(&self, event: &Event, wanted: &Wanted) -> bool {
        event.came >= wanted.since || event.came + self.rules.grace > wanted.since
    }

    fn find(&self, name: &str, wanted: &Wanted) -> Option<&Event> {
        self.kept.iter().find(|event| event.name == name && self.is_there(event, wanted))
    }

    fn all_of(&self, wanted: &Wanted) -> Option<Vec<Event>> {
        wanted.names.iter().map(|name| self.find(name, wanted).cloned()).collect()
    }

    fn missing(&self, id: WaitId) -> Vec<String> {
        let Some(wanted) = self.waiters.wanted(id) else {
            return Vec::new();
        };
        let names = wanted.names.iter();
        names.filter(|name| self.find(name, wanted).is_none()).cloned().collect()
    }

    /// Drops what is there for nobody any more.
    fn forget(&mut self, now: Instant) {
        let mut kept = std::mem::take(&mut self.kept);
        kept.retain(|event| {
            let waits = |wanted: &Wanted| {
                wanted.names.contains(&event.name) && self.is_there(event, wanted)
            };
            event.came + self.rules.grace > now || self.waiters.open().any(|(_, w)| waits(w))
        });
        self.kept = kept;
    }

    fn make_room(&mut self) -> Option<String> {
        let too_many = self.kept.len() > self.rules.max_events;
        too_many.then(|| self.kept.remove(0).name)
    }

    /// Puts back what a wait had consumed that nobody came to fetch.
    fn put_back(&mut self, events: Vec<Event>, now: Instant) {
        for event in events {
            if self.kept.iter().all(|other| other.name != event.name) {
                let place = self.kept.partition_point(|other| other.came <= event.came);
                self.kept.insert(place, event);
                self.make_room();
            }
        }
        self.serve();
        self.forget(now);
    }
}

impl Book for EventBook {
    type Output = Vec<Arc<str>>;
    type Error = EventError;

    fn next_deadline(&self) -> Option<Instant> {
        self.waiters.next_deadline()
    }

    fn advance(&mut self, now: Instant) {
        while let Some(id) = self.waiters.overdue(now) {
            let result = Err(EventError::TimedOut { missing: self.missing(id) });
            self.waiters.settle(id, Outcome { result, consumed: Vec::new() });
        }
        self.forget(now);
    }

    fn news(&mut self) -> Vec<WaitId> {
        self.waiters.news()
    }

    fn is_settled(&self, id: WaitId) -> bool {
        self.waiters.is_settled(id)
    }

    fn take(&mut self, id: WaitId) -> Option<Result<Self::Output, Self::Error>> {
        self.waiters.take(id).map(|outcome| outcome.result)
    }

    fn cancel(&mut self, id: WaitId, now: Instant) {
        self.advance(now);
        match self.waiters.remove(id) {
            Some(Wait::Settled(outcome)) => self.put_back(outcome.consumed, now),
            // What was kept for it alone can go.
            _ => self.forget(now),
        }
    }

    fn stop(&mut self, id: WaitId, now: Instant) -> EventError {
        let missing = self.missing(id);
        self.cancel(id, now);
        EventError::Stopped { missing }
    }
}

fn check_name(name: &str) -> Result<(), EventError> {
    match name.len() {
        1..=MAX_NAME => Ok(()),
        bytes => Err(EventError::Name { bytes, max: MAX_NAME }),
    }
}
