//! Before motors leave the place where they rest, somebody may have to know: who keeps their places over a
//! power cut.

use std::time::Duration;

use super::MoveBook;
use super::stage::Stage;
use crate::motor::MoveId;
use crate::units::Instant;

/// A move that waits for this asks again so often at least.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Whether these motors may leave where they are now.
type Ask = Box<dyn FnMut(&[&str], Instant) -> bool + Send>;

/// Who is asked, and the moves that wait for a yes.
pub(super) struct Leaving {
    ask: Ask,
    waits: Vec<MoveId>,
    next: Instant,
}

impl MoveBook {
    /// From now on `ask` is asked before motors begin to move, with their names: where it says no, their
    /// move waits, and it is asked again whenever the book is looked after, and 50 ms after it was asked last.
    pub fn ask_before_leaving(
        &mut self,
        ask: impl FnMut(&[&str], Instant) -> bool + Send + 'static,
    ) {
        self.leaving = Some(Leaving { ask: Box::new(ask), waits: Vec::new(), next: Instant::FAR });
    }

    /// Whether the motors of a move may begin; if not, the move waits until they may.
    pub(super) fn may_leave(&mut self, id: MoveId) -> bool {
        let now = self.now;
        let (Some(leaving), Some(active)) = (&mut self.leaving, self.active.get_mut(&id)) else {
            return true;
        };
        let motors = active.motors();
        let names: Vec<&str> = motors.iter().map(|&m| self.models[m].name.as_str()).collect();
        if names.is_empty() || (leaving.ask)(&names, now) {
            return true;
        }
        active.stage = Stage::Queued;
        leaving.waits.push(id);
        leaving.next = now + ASK_EVERY;
        false
    }

    /// A move does not wait for that any more: it is held, or has ended.
    pub(super) fn stays(&mut self, id: MoveId) {
        if let Some(leaving) = &mut self.leaving {
            leaving.waits.retain(|&waits| waits != id);
        }
    }

    /// Moves that waited for their motors to be let go begin, if those may leave now.
    pub(super) fn let_leave(&mut self) {
        let Some(leaving) = &mut self.leaving else { return };
        leaving.next = Instant::FAR;
        for id in std::mem::take(&mut leaving.waits) {
            self.begin(id);
        }
    }

    /// How often a move waits for that: never or once.
    #[cfg(test)]
    pub(super) fn waits_to_leave(&self, id: MoveId) -> usize {
        let waits = self.leaving.iter().flat_map(|leaving| &leaving.waits);
        waits.filter(|&&waits| waits == id).count()
    }

    /// When somebody has to be asked again.
    pub(super) fn leaving_deadline(&self) -> Instant {
        self.leaving.as_ref().map_or(Instant::FAR, |leaving| leaving.next)
    }
}
