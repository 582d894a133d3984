//! Loops that hang are found out, where nobody above the machine asks for it.
//!
//! A service has its heartbeat, which asks with its watchdog's time ([`Machine::roll_call`]). A program that is run
//! without one asks from whatever wait the machine is in.

use std::time::Duration;

use super::Machine;
use crate::motor::FaultKind;
use crate::units::Instant;

/// How often the loops are asked.
const EVERY: Duration = Duration::from_millis(250);

/// A loop that has not answered after so many of these times is given up. It works within milliseconds; on a
/// machine that is short of time its thread may have to wait for its turn.
const MISSED: u8 = 3;

/// When the loops are asked next, and how often each has not answered in a row.
pub(super) struct LoopWatch {
    next: Instant,
    missed: Vec<u8>,
}

impl Machine {
    /// From now on the machine looks after its loops itself, in every wait. In virtual time none can hang alone.
    pub(super) fn watch_loops(&mut self) {
        if !self.roster.fleet.clock().is_virtual() {
            let missed = vec![0; self.book.motors.len()];
            self.loops = Some(LoopWatch { next: self.now(), missed });
        }
    }

    /// When the loops are to be asked next.
    pub(super) fn loops_due(&self) -> Instant {
        self.loops.as_ref().map_or(Instant::FAR, |loops| loops.next)
    }

    /// Asks the loops, if it is time. One that does not answer is given up: what it was moving in ends without it.
    pub(super) fn look_at_loops(&mut self) {
        let now = self.now();
        let Some(loops) = self.loops.as_mut().filter(|loops| now >= loops.next) else { return };
        // Where this thread itself was late, each loop has its time from now on.
        loops.next = now + EVERY;
        let silent = self.roster.fleet.roll_call();
        let mut lost = Vec::new();
        for (motor, missed) in loops.missed.iter_mut().enumerate() {
            *missed = if silent.contains(&motor) { missed.saturating_add(1) } else { 0 };
            if *missed == MISSED {
                lost.push(motor);
            }
        }
        lost.into_iter().for_each(|motor| self.tell_book(|book| book.is_silent(motor)));
    }

    /// Whether a loop has died: it panicked, or does not answer.
    pub(super) fn has_dead_loop(&self) -> bool {
        let dead = |fault: &FaultKind| matches!(fault, FaultKind::Panic | FaultKind::Silent);
        self.book.motors.iter().any(|motor| motor.fault.as_ref().is_some_and(dead))
    }
}
