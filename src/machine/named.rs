//! Named events: those that motors and programs trigger themselves, and those that programs wait for.

use super::{Machine, MotorOutcome, Outcome};
use crate::motor::MoveId;
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

    /// From now on whoever drives the machine tells what its motors did, by numbers of its own: what
    /// programs trigger is noted for it.
    #[cfg(all(feature = "service", unix))]
    pub(crate) fn serve_events(&mut self) {
        self.served = Some(Vec::new());
    }

    /// What happened since this was asked last, as named events: those of programs, and those of motors in
    /// moves of programs.
    #[cfg(all(feature = "service", unix))]
    pub(crate) fn happened(&mut self) -> Vec<(String, String, Option<MoveId>)> {
        self.served.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Something happened that has a name. `of`: in which move.
    pub(super) fn happens(&mut self, name: String, data: String, of: Option<MoveId>) {
        if let Some(noted) = &mut self.served {
            noted.push((name, data, of));
        } else if let Err(error) = self.trigger(&name, &data) {
            log::debug!("{name}: {error}");
        }
    }

    /// A motor's part of a move has ended.
    pub(super) fn part_happened(&mut self, done: &MotorOutcome) {
        let word = match done.outcome {
            Outcome::Reached => "reached",
            Outcome::Short { .. } => "short",
        };
        let id = if self.served.is_some() { "null".to_owned() } else { done.id.to_string() };
        let position =
            if done.position.is_finite() { format!("{:?}", done.position) } else { "null".into() };
        let unit = quoted(done.unit.symbol());
        let data = format!("{{\"move\":{id},\"position\":{position},\"unit\":{unit}}}");
        self.happens(format!("{}.{word}", done.motor), data, Some(done.id));
    }

    /// A motor has a fault. A service tells of that itself.
    pub(super) fn fault_happened(&mut self, motor: &str, fault: &str) {
        if self.served.is_none() {
            let data = format!("{{\"fault\":{}}}", quoted(fault));
            self.happens(format!("{motor}.fault"), data, None);
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
