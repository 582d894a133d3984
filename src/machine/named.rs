//! Named events: those that motors and programs trigger themselves, and those that programs wait for.

use super::{Happened, Machine, MotorOutcome, Outcome};
use crate::sync::{Book, Delivery, EventError, Triggered, WaitId};
use crate::units::Instant;

/// A text as JSON.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if u32::from(c) < 0x20 => out += &format!("\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out + "\""
}

impl Machine {
    /// A named event comes, with its data, a text of JSON: those who wait for it get it, and those who come
    /// within the grace time (10 s).
    ///
    /// # Errors
    ///
    /// [`EventError::Name`].
    pub fn trigger(&mut self, name: &str, data: &str) -> Result<Triggered, EventError> {
        let now = self.now();
        self.events.trigger(name, data, now)
    }

    /// The book of named events, for a service that hands them out to its clients, too.
    #[cfg(all(feature = "service", unix))]
    pub(crate) fn events_mut(&mut self) -> &mut crate::sync::EventBook {
        &mut self.events
    }

    /// The names of the events that are kept, the oldest first.
    pub fn events(&self) -> impl Iterator<Item = &str> {
        self.events.kept()
    }

    /// From now on whoever drives the machine tells what happened: it is noted for it.
    #[cfg(all(feature = "service", unix))]
    pub(crate) fn serve_events(&mut self) {
        self.served = Some(Vec::new());
    }

    /// What happened since this was asked last, in its order.
    #[cfg(all(feature = "service", unix))]
    pub(crate) fn happened(&mut self) -> Vec<Happened> {
        self.served.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Notes what happened, where somebody asks for it.
    pub(super) fn note(&mut self, what: Happened) {
        if let Some(noted) = &mut self.served {
            noted.push(what);
        }
    }

    /// Something happened that has a name.
    pub(super) fn happens(&mut self, name: String, data: String) {
        if let Some(noted) = &mut self.served {
            noted.push(Happened::Named(name, data));
        } else if let Err(error) = self.trigger(&name, &data) {
            log::debug!("{name}: {error}");
        }
    }

    /// A motor's part of a move has ended. A service makes its own event of that.
    pub(super) fn part_happened(&mut self, done: MotorOutcome) {
        if self.served.is_some() {
            return self.note(Happened::Part(done));
        }
        let word = match done.outcome {
            Outcome::Reached => "reached",
            Outcome::Short { .. } => "short",
        };
        let position =
            if done.position.is_finite() { format!("{:?}", done.position) } else { "null".into() };
        let (id, unit) = (done.id, quoted(done.unit.symbol()));
        let data = format!("{{\"move\":{id},\"position\":{position},\"unit\":{unit}}}");
        self.happens(format!("{}.{word}", done.motor), data);
    }

    /// A motor has a fault. A service tells of that itself.
    pub(super) fn fault_happened(&mut self, motor: &str, fault: &str) {
        if self.served.is_none() {
            let data = format!("{{\"fault\":{}}}", quoted(fault));
            self.happens(format!("{motor}.fault"), data);
        }
    }

    /// A program's step begins to wait.
    pub(super) fn wait_for(
        &mut self,
        names: &[String],
        timeout: std::time::Duration,
    ) -> Result<WaitId, EventError> {
        let now = self.now();
        self.events.wait(names, Delivery::Shared, timeout, now)
    }

    /// What came of a program's wait, which ends at `until`; `None`: nothing yet.
    pub(super) fn waited(&mut self, id: WaitId, until: Instant) -> Option<Result<(), EventError>> {
        let now = self.now();
        // It moves on while the machine is held.
        self.events.set_deadline(id, until);
        self.events.advance(now);
        self.events.take(id).map(|result| result.map(|_| ()))
    }

    pub(super) fn cancel_wait(&mut self, id: WaitId) {
        let now = self.now();
        self.events.cancel(id, now);
    }
}
