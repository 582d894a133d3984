use std::sync::Arc;

use super::{
    BARRIER_POLL_NANOS, Change, Limit, Motion, MoveId, Outbox, Report, Then, Verdict, Wake,
};
use crate::motion::Trajectory;
use crate::sync::{Ticket, TicketState};
use crate::units::Instant;

/// A motor's part in a move, from the order to the end of its trajectory: what is the same for every
/// kind of motor. `E` is what a kind keeps for itself while it runs.
pub(super) struct Part<E> {
    phase: Phase<E>,
    /// A change of plan that waits for its instant.
    pub change: Option<Change>,
}

enum Phase<E> {
    Idle,
    /// The hardware gets ready.
    Preparing(Motion),
    /// At the barrier.
    Waiting(Motion, Ticket),
    Running(Run<E>),
}

/// A part on its time line.
pub(super) struct Run<E> {
    pub id: MoveId,
    /// The instant of the trajectory's time zero.
    pub zero: Instant,
    pub trajectory: Arc<Trajectory>,
    /// The change that brought the trajectory, and what follows at its end; 0 for the first.
    change: u64,
    then: Then,
    rest_told: bool,
    late_told: bool,
    /// What this kind of motor keeps.
    pub own: E,
}

/// How a look at the barrier ended.
pub(super) enum Met {
    /// Not all are there: look again then.
    NotYet(Wake),
    /// It let go, and the part runs.
    Released,
    /// It broke: the part is over, and the machine has been told.
    Broken,
}

/// Where a part stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Idle,
    Preparing,
    Waiting,
    Running,
}

impl<E> Part<E> {
    pub fn new() -> Part<E> {
        Part { phase: Phase::Idle, change: None }
    }

    pub fn stage(&self) -> Stage {
        match self.phase {
            Phase::Idle => Stage::Idle,
            Phase::Preparing(_) => Stage::Preparing,
            Phase::Waiting(..) => Stage::Waiting,
            Phase::Running(_) => Stage::Running,
        }
    }

    pub fn is_idle(&self) -> bool {
        self.stage() == Stage::Idle
    }

    /// Takes an order, unless the motor is `closed` or busy: then it says so, and nobody waits for it.
    pub fn arm(&mut self, motion: Motion, closed: bool, out: &mut Outbox) {
        if !self.is_free(closed) {
            out.say(Report::NotStarted(motion.id));
            motion.barrier.abort();
        } else {
            self.phase = Phase::Preparing(motion);
        }
    }

    /// Whether an order can be taken at all.
    pub fn is_free(&self, closed: bool) -> bool {
        !closed && self.is_idle()
    }

    /// Refuses an order before it is taken: nobody waits for this motor.
    pub fn refuse(&mut self, motion: &Motion, limit: Limit, out: &mut Outbox) {
        // Said before the barrier breaks, so that the others' 'not started' comes after it.
        out.say(Report::Refused { id: motion.id, change: None, limit });
        motion.barrier.abort();
    }

    /// Refuses a change whose plan breaks a limit of the motor's own: it is not acknowledged, so that
    /// nobody changes. A change that comes too late to matter is let pass. True: it was refused.
    pub fn refuses(&self, change: &Change, verdict: Result<(), Limit>, out: &mut Outbox) -> bool {
        let Err(limit) = verdict else { return false };
        if !self.follows(change) {
            return false;
        }
        out.say(Report::Refused { id: change.id, change: Some(change.number), limit });
        true
    }

    fn follows(&self, change: &Change) -> bool {
        match &self.phase {
            Phase::Idle => false,
            Phase::Preparing(motion) | Phase::Waiting(motion, _) => motion.id == change.id,
            Phase::Running(run) => run.id == change.id,
        }
    }

    /// Takes a change of plan, and acknowledges it, also where it comes too late to matter. A loop so
    /// late that it still has to carry out the change before says nothing: this one is made again.
    pub fn take_change(&mut self, change: Change, out: &mut Outbox) {
        if self.change.as_ref().is_some_and(|c| c.gate.resolve() == Verdict::Committed) {
            return;
        }
        out.say(Report::Acknowledged { change: change.number });
        // Also when it has not yet seen that the barrier let it go: the others have.
        if self.follows(&change) {
            self.change = Some(change);
        }
    }

    /// The order that the hardware is getting ready for.
    pub fn preparing(&self) -> Option<&Motion> {
        match &self.phase {
            Phase::Preparing(motion) => Some(motion),
            _ => None,
        }
    }

    /// The hardware is ready: to the barrier. Does nothing where no order waits for that.
    pub fn arrive(&mut self, out: &mut Outbox) {
        if self.stage() != Stage::Preparing {
            return;
        }
        let Phase::Preparing(motion) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return;
        };
        match motion.barrier.arrive() {
            Ok(ticket) => {
                out.say(Report::Armed(motion.id));
                self.phase = Phase::Waiting(motion, ticket);
            }
            Err(_) => {
                self.change = None;
                out.say(Report::NotStarted(motion.id));
            }
        }
    }

    /// Looks at the barrier. `own` makes what this kind of motor keeps while it runs, given the order
    /// and the beginning of its time line.
    pub fn meet(
        &mut self,
        now: Instant,
        out: &mut Outbox,
        own: impl FnOnce(&Motion, Instant) -> E,
    ) -> Met {
        let Phase::Waiting(motion, ticket) = &self.phase else { return Met::Broken };
        match (ticket.poll(), motion.epoch.get()) {
            (TicketState::Released(_), Some(epoch)) => {
                let (id, trajectory) = (motion.id, motion.trajectory.clone());
                let (then, zero) = (motion.then, epoch.plus_nanos(motion.after));
                let run = Run {
                    id,
                    zero,
                    trajectory,
                    change: 0,
                    then,
                    rest_told: false,
                    late_told: false,
                    own: own(motion, zero),
                };
                self.phase = Phase::Running(run);
                out.say(Report::Started(id));
                Met::Released
            }
            (TicketState::Waiting, _) => {
                Met::NotYet(Wake::about(now.plus_nanos(BARRIER_POLL_NANOS)))
            }
            _ => {
                let id = motion.id;
                self.drop_move();
                out.say(Report::NotStarted(id));
                Met::Broken
            }
        }
    }

    /// The part on its time line, and the change that waits for it.
    pub fn running(&mut self) -> Option<(&mut Run<E>, &mut Option<Change>)> {
        match &mut self.phase {
            Phase::Running(run) => Some((run, &mut self.change)),
            _ => None,
        }
    }

    /// The trajectory has ended and its last edge is out. False: the part is not over, since it holds
    /// here until the next change.
    pub fn end(&mut self, at: Instant, out: &mut Outbox) -> bool {
        let Phase::Running(run) = &mut self.phase else { return true };
        if run.then == Then::Hold {
            if !std::mem::replace(&mut run.rest_told, true) {
                out.say(Report::Held { change: run.change, at });
            }
            return false;
        }
        let id = run.id;
        self.phase = Phase::Idle;
        self.change = None;
        out.say(Report::Ended { id, at });
        true
    }

    /// Drops what is under way and says which move that was. A ticket dropped here breaks its
    /// barrier; who has not arrived yet breaks it, too.
    pub fn drop_move(&mut self) -> Option<MoveId> {
        self.change = None;
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle => None,
            Phase::Preparing(motion) => {
                motion.barrier.abort();
                Some(motion.id)
            }
            Phase::Waiting(motion, _) => Some(motion.id),
            Phase::Running(run) => Some(run.id),
        }
    }
}

impl<E> Run<E> {
    /// A committed change is the plan from its instant on. What a kind keeps for itself it makes anew.
    pub fn follow(&mut self, change: Change) {
        self.zero = change.at;
        self.trajectory = change.trajectory().clone();
        self.change = change.number;
        self.then = change.then();
        self.rest_told = false;
    }

    /// Says once a move that an edge was later than the limit.
    pub fn tell_late(&mut self, lateness: u64, limit: Option<u64>, out: &mut Outbox) {
        if !self.late_told && limit.is_some_and(|max| lateness > max) {
            self.late_told = true;
            out.say(Report::Late { id: self.id, by: lateness });
        }
    }
}
