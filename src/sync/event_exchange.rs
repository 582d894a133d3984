//! Named events between threads.

use std::sync::Arc;
use std::time::Duration;

use super::book::{Pending, Shared};
use super::stop::StopEvent;
use crate::books::{Delivery, EventBook, EventError, EventRules, Triggered};

/// Named events with data, between threads. Clones are the same exchange.
///
/// What a wait gets, and when an event is dropped, is told at [`EventBook`], on which this is built.
///
/// # Examples
///
/// ```
/// use lockstep::sync::{Delivery, EventExchange, EventError};
/// use std::time::Duration;
///
/// let events = EventExchange::default();
/// std::thread::spawn({
///     let events = events.clone();
///     move || events.trigger("x.reached", "{\"move\":7}")
/// });
/// let names = ["x.reached"];
/// let data = events.wait(&names, Delivery::Consume, Duration::from_secs(10), None)?;
/// assert_eq!(&*data[0], "{\"move\":7}");
///
/// // It was consumed, so it does not come again.
/// let again = events.wait(&names, Delivery::Shared, Duration::from_millis(1), None);
/// assert_eq!(again.unwrap_err().to_string(), "the time ran out before the event `x.reached` came");
/// # Ok::<(), EventError>(())
/// ```
#[derive(Debug, Clone)]
pub struct EventExchange {
    shared: Shared<EventBook>,
}

/// A wait for events that has begun.
pub type EventWait = Pending<EventBook>;

impl EventExchange {
    /// An exchange without events.
    pub fn new(rules: EventRules) -> Self {
        EventExchange { shared: Shared::new(EventBook::new(rules)) }
    }

    /// An event comes.
    ///
    /// # Errors
    ///
    /// [`EventError::Name`]
    pub fn trigger(&self, name: &str, data: impl Into<Arc<str>>) -> Result<Triggered, EventError> {
        let data = data.into();
        self.shared.with(|book, now| book.trigger(name, data, now))
    }

    /// Waits until all of `names` are there, and returns their data in the same order.
    ///
    /// # Errors
    ///
    /// Those of [`EventBook::wait`].
    pub fn wait(
        &self,
        names: &[impl AsRef<str>],
        delivery: Delivery,
        timeout: Duration,
        stop: Option<&StopEvent>,
    ) -> Result<Vec<Arc<str>>, EventError> {
        self.begin(names, delivery, timeout)?.wait(stop)
    }

    /// Begins a wait, without blocking.
    ///
    /// # Errors
    ///
    /// Those of [`EventBook::wait`] that are not about time.
    pub fn begin(
        &self,
        names: &[impl AsRef<str>],
        delivery: Delivery,
        timeout: Duration,
    ) -> Result<EventWait, EventError> {
        self.shared.begin(|book, now| book.wait(names, delivery, timeout, now))
    }

    /// The names of the events that are kept, the oldest first.
    pub fn kept(&self) -> Vec<String> {
        self.shared.with(|book, _| book.kept().map(str::to_string).collect())
    }
}

impl Default for EventExchange {
    fn default() -> Self {
        EventExchange::new(EventRules::default())
    }
}
