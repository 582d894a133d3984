//! The watchdog is fed only while every motor's loop and the coordinator make progress.
//!
//! The coordinator's own progress needs no proof: it is the one that feeds. The loops are asked, and each
//! has until the next time to answer. One that hangs or has panicked ends the feeding for good: the others
//! come to rest meanwhile, so that what the watchdog ends has come to its end already, as far as it could.

use std::time::Duration;

use super::desk::Desk;
use super::notify::Notify;
use crate::motor::FaultKind::{Panic, Silent};
use crate::units::Instant;

/// How often the loops are asked where no watchdog waits for it.
const ALONE: Duration = Duration::from_millis(1_250);

/// In a watchdog's time the loops are asked so often: one that hangs is known after two of these, and the
/// last feeding lies no more than one of them after its last turn.
const IN_A_WATCHDOGS_TIME: u32 = 4;

/// When the loops are asked, and whether they still answer.
#[derive(Debug)]
pub(super) struct Heartbeat {
    every: Duration,
    next: Instant,
    lost: bool,
}

impl Heartbeat {
    pub fn new(notify: &Notify, now: Instant) -> Heartbeat {
        let every = notify.watchdog().map_or(ALONE, |time| time / IN_A_WATCHDOGS_TIME);
        Heartbeat { every, next: now + every, lost: false }
    }

    /// Asks, when it is time, and feeds the watchdog if all have answered.
    pub fn beat(&mut self, desk: &mut Desk<'_>, notify: &Notify) {
        let now = desk.machine.now();
        if now < self.next {
            return;
        }
        self.next = now + self.every;
        desk.machine.roll_call();
        let dead = desk.machine.snapshot().motors.into_iter();
        let dead = dead.filter(|m| matches!(m.fault, Some(Panic | Silent))).map(|m| m.motor);
        let dead: Vec<String> = dead.collect();
        if dead.is_empty() {
            return notify.alive();
        }
        if !std::mem::replace(&mut self.lost, true) {
            let why = format!("the loop of {} has died", dead.join(", "));
            log::error!("{why}: all motors come to rest, and the watchdog is not fed any more");
            desk.stop_motors(None);
            desk.fault.get_or_insert(why);
        }
    }
}
