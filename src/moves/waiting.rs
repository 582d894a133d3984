//! Moves that have been asked for and have not begun: they wait for their time, or for their motors. First come,
//! first served, motor by motor.

use std::sync::Arc;
use std::time::Duration;

use super::{
    Action, EndResult, Ended, Jogs, MotorIndex, Move, MoveBook, MoveError, Owner, Targets, Which,
};
use crate::motor::MoveId;
use crate::units::Instant;

/// How many moves may wait for motors that others have, or for their time.
pub(super) const MOST_WAITING: usize = 32;

/// What can be asked for, to begin now or later.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    Move(Targets, Move),
    Jog(Jogs, Duration),
}

/// What becomes of an order whose motors are not free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum IfBusy {
    /// It is refused.
    Refuse,
    /// It begins once they are.
    Queue,
    /// What has them is stopped, and then it begins.
    Replace,
}

/// A move that has not begun.
#[derive(Debug)]
pub(super) struct Waiting {
    pub owner: Owner,
    order: Order,
    /// Not before this.
    from: Option<Instant>,
    /// What has its motors when its time comes is stopped.
    replaces: bool,
    /// A hold came after it: it does not begin with motors of a program that is held.
    before_hold: bool,
}

impl Order {
    pub fn motors(&self) -> impl Iterator<Item = MotorIndex> {
        let of = match self {
            Order::Move(targets, _) => targets,
            Order::Jog(jogs, _) => jogs,
        };
        of.iter().map(|one| one.0)
    }
}

impl Waiting {
    pub fn motors(&self) -> impl Iterator<Item = MotorIndex> {
        self.order.motors()
    }

    /// Whether its time has come.
    pub fn is_due(&self, now: Instant) -> bool {
        self.from.is_none_or(|from| from <= now)
    }
}

impl MoveBook {
    /// Takes an order in: it begins at once where it can, else as `if_busy` says. `after`: no earlier than so long from
    /// now.
    ///
    /// # Errors
    ///
    /// [`MoveError`]: it is refused, and nothing of it will be done. What it was to replace goes on.
    pub fn ask(
        &mut self,
        owner: &Owner,
        order: Order,
        if_busy: IfBusy,
        after: Option<Duration>,
    ) -> Result<MoveId, MoveError> {
        self.is_open_for_moves()?;
        if let Order::Move(targets, spec) = &order {
            spec.check()?;
            for &(motor, target) in targets {
                self.models[motor].check_travel(target)?;
            }
        }
        let motors: Vec<MotorIndex> = order.motors().collect();
        for &motor in &motors {
            let (state, name) = (&self.motors[motor], &self.models[motor].name);
            if let Some(fault) = &state.fault {
                return Err(MoveError::Faulted { motor: name.clone(), fault: fault.to_string() });
            }
        }
        let mut free = Ok(());
        for &motor in &motors {
            match self.is_free(motor, owner) {
                Ok(()) => {}
                // It is free once that has stepped aside.
                Err(MoveError::Busy { motor: name }) if self.may_step_aside(motor).is_some() => {
                    free = Err(MoveError::Busy { motor: name });
                }
                // One that rests at its target, and has only to say so, is free in a moment.
                Err(_) if if_busy == IfBusy::Refuse && self.is_all_but_free(motor, owner) => {
                    free = Err(MoveError::Busy { motor: self.models[motor].name.clone() });
                }
                Err(MoveError::Kept { motor, program }) if if_busy == IfBusy::Queue => {
                    return Err(MoveError::Kept { motor, program });
                }
                Err(error) if if_busy == IfBusy::Refuse && after.is_none() => return Err(error),
                Err(error) => free = Err(error),
            }
        }
        let waits = after.is_some() || free.is_err();
        if waits && self.waiting.len() >= MOST_WAITING {
            return Err(MoveError::TooManyWait { most: MOST_WAITING });
        }
        let aside: Vec<_> = motors.iter().filter_map(|&m| self.may_step_aside(m)).collect();
        if free.is_err() && if_busy == IfBusy::Replace && after.is_none() {
            self.make_way(&motors);
        } else if after.is_none() {
            aside.into_iter().for_each(|id| self.step_aside(id));
        }
        if !waits {
            return self.begin_order(owner, &order, None);
        }
        let (id, from) = (self.new_number(), after.map(|after| self.now + after));
        // What was in the way now has been stopped; what is when its time comes will be.
        let replaces = if_busy == IfBusy::Replace && after.is_some();
        let owner = owner.clone();
        self.waiting.insert(id, Waiting { owner, order, from, replaces, before_hold: false });
        Ok(id)
    }

    pub(super) fn new_number(&mut self) -> MoveId {
        let id = self.next_move;
        self.next_move += 1;
        id
    }

    /// Stops what has these motors, for another move. Where they are held they go on being held.
    fn make_way(&mut self, motors: &[MotorIndex]) {
        let holds = self.holds.clone();
        // A program that shares one of them and does not have it now is not in the way.
        let mut programs: Vec<Arc<str>> = Vec::new();
        for keeper in motors.iter().filter_map(|&m| self.keeper(m)) {
            if !programs.contains(keeper) {
                programs.push(keeper.clone());
            }
        }
        self.stop_with(Which::Motors(motors), programs);
        self.holds = holds;
    }

    /// Whether what moves a motor is over by its plan, so that no change of it can take hold any more.
    fn is_all_but_free(&self, motor: MotorIndex, owner: &Owner) -> bool {
        let other = self.keeper(motor).is_some_and(|p| owner.program() != Some(p));
        let active = self.motors[motor].busy.and_then(|id| self.active.get(&id));
        let mut in_line = self.waiting.values().filter(|w| !self.is_held_back(w));
        let awaited = in_line.any(|w| w.motors().any(|m| m == motor));
        let over = active.is_some_and(|a| {
            let at = self.now + self.change_lead(a) + super::ADOPTION;
            let leg = a.leg(motor);
            a.all_but_over(at) || leg.is_some_and(|l| l.fixed && !l.rests_on_the_way())
        });
        over && !other && !awaited
    }

    fn begin_order(
        &mut self,
        owner: &Owner,
        order: &Order,
        number: Option<MoveId>,
    ) -> Result<MoveId, MoveError> {
        match order {
            Order::Move(targets, spec) => self.start_numbered(targets, spec, owner, number),
            Order::Jog(jogs, lasts) => self.jog_numbered(jogs, *lasts, owner, number),
        }
    }

    /// Whether a move that is [in line](Self::is_in_line) may have its motors now, where those before it wait for `taken`.
    fn may_have(&self, waiting: &Waiting, taken: &[(MoveId, MotorIndex)]) -> bool {
        let kept = |m| {
            let other = self.keeper(m).filter(|p| waiting.owner.program() != Some(*p));
            other.is_some_and(|p| !self.is_claim_held(p))
        };
        let free = |m: MotorIndex| {
            taken.iter().all(|t| t.1 != m)
                && !self.away.contains(&m)
                && self.motors[m].busy.is_none()
                && !kept(m)
        };
        waiting.motors().all(free)
    }

    /// Whether it was asked for before a program of its motors was held. Whoever was told that these are held may
    /// have a hand in the machine; what somebody asks for after that is another matter.
    fn is_held_back(&self, waiting: &Waiting) -> bool {
        let held = |m| {
            // Also where the program shares it.
            let holder = self.held_user(m);
            holder.is_some_and(|p| waiting.owner.program() != Some(p))
        };
        waiting.before_hold && waiting.motors().any(held)
    }

    /// Whether its time has come, so that it keeps its motors from what was asked for later. One that a hold keeps back
    /// does not: a jam has to be freed.
    pub(super) fn is_in_line(&self, waiting: &Waiting) -> bool {
        waiting.is_due(self.now) && !self.is_held_back(waiting)
    }

    /// Whether a move of that number waits, kept back by a hold.
    #[cfg(test)]
    pub fn waits_held(&self, id: MoveId) -> bool {
        self.waiting.get(&id).is_some_and(|w| self.is_held_back(w))
    }

    /// A hold has come that is for these motors, and others that hang together with them.
    pub(super) fn hold_waiting(&mut self, is_meant: impl Fn(MotorIndex) -> bool) {
        for waiting in self.waiting.values_mut() {
            let meant = waiting.motors().any(&is_meant);
            waiting.before_hold |= meant;
        }
    }

    /// Whether a move that waits could begin now: what it waited for has ended.
    fn could_begin(&self) -> bool {
        if self.waiting.is_empty() || self.is_stopped() {
            return false;
        }
        let mut taken: Vec<(MoveId, MotorIndex)> = Vec::new();
        for (&id, waiting) in self.waiting.iter().filter(|w| self.is_in_line(w.1)) {
            if self.may_have(waiting, &taken) {
                return true;
            }
            taken.extend(waiting.motors().map(|m| (id, m)));
        }
        false
    }

    /// Begins what can begin, in the order in which it was asked for; what waits keeps its motors from what comes
    /// later.
    pub(super) fn serve_waiting(&mut self) {
        // One that is replaced, or ends as it begins, leaves its motors to one that was looked at before.
        for _ in 0..=MOST_WAITING {
            if self.waiting.is_empty() || self.is_stopped() {
                return;
            }
            self.serve_in_order();
            if !self.could_begin() {
                return;
            }
        }
    }

    fn serve_in_order(&mut self) {
        let mut taken: Vec<(MoveId, MotorIndex)> = Vec::new();
        for id in self.waiting.keys().copied().collect::<Vec<_>>() {
            let Some(waiting) = self.waiting.get(&id).filter(|w| self.is_in_line(w)) else {
                continue;
            };
            let motors: Vec<_> = waiting.motors().collect();
            if waiting.replaces
                && !self.may_have(waiting, &taken)
                && let Some(mut own) = self.waiting.remove(&id)
            {
                // All but itself.
                own.replaces = false;
                self.make_way(&motors);
                self.waiting.insert(id, own);
                // Of those before it some are no more.
                taken.retain(|t| self.waiting.contains_key(&t.0));
            }
            let Some(waiting) = self.waiting.get(&id) else { continue };
            if !self.may_have(waiting, &taken) {
                taken.extend(motors.into_iter().map(|m| (id, m)));
                continue;
            }
            let Some(waiting) = self.waiting.remove(&id) else { continue };
            if let Err(error) = self.begin_order(&waiting.owner, &waiting.order, Some(id)) {
                self.say(log::Level::Warn, format!("move {id}: {error}"));
                self.over_unbegun(id, waiting.owner, EndResult::Failed);
            }
        }
    }

    /// When the next move's time comes, or at once where what one waited for is over.
    pub(super) fn next_waiting(&self) -> Instant {
        if self.could_begin() {
            return self.now;
        }
        let from = |w: &Waiting| w.from.filter(|from| *from > self.now);
        self.waiting.values().filter_map(from).min().unwrap_or(Instant::FAR)
    }

    /// Takes a move back that has not begun. False: there is none of that number that waits.
    pub fn cancel(&mut self, id: MoveId) -> bool {
        let Some(waiting) = self.waiting.remove(&id) else { return false };
        self.over_unbegun(id, waiting.owner, EndResult::Cancelled);
        true
    }

    /// Takes back every move that waits and has to do with these motors.
    pub fn drop_waiting(&mut self, which: Which<'_>) -> Vec<MoveId> {
        let meant = |w: &Waiting| w.motors().any(|m| which.has(m));
        let ids: Vec<_> = self.waiting.iter().filter(|w| meant(w.1)).map(|w| *w.0).collect();
        ids.iter().for_each(|&id| {
            self.cancel(id);
        });
        ids
    }

    /// Takes back every jog that waits and has to do with these motors.
    pub(super) fn drop_waiting_jogs(&mut self, which: Which<'_>) {
        let meant =
            |w: &Waiting| matches!(w.order, Order::Jog(..)) && w.motors().any(|m| which.has(m));
        let ids: Vec<_> = self.waiting.iter().filter(|w| meant(w.1)).map(|w| *w.0).collect();
        ids.iter().for_each(|&id| {
            self.cancel(id);
        });
    }

    /// Another config holds, in which motors have other numbers: `number` says which. What waits for one that is no
    /// more fails.
    pub(super) fn renumber_waiting(&mut self, number: impl Fn(MotorIndex) -> Option<MotorIndex>) {
        for (id, mut waiting) in std::mem::take(&mut self.waiting) {
            let of = match &mut waiting.order {
                Order::Move(targets, _) => targets,
                Order::Jog(jogs, _) => jogs,
            };
            let numbers: Option<Vec<_>> = of.iter().map(|one| number(one.0)).collect();
            let Some(numbers) = numbers else {
                let text = format!("move {id}: a motor of it is not in the new config");
                self.say(log::Level::Warn, text);
                self.over_unbegun(id, waiting.owner, EndResult::Failed);
                continue;
            };
            of.iter_mut().zip(numbers).for_each(|(one, number)| one.0 = number);
            self.waiting.insert(id, waiting);
        }
    }

    fn over_unbegun(&mut self, id: MoveId, owner: Owner, result: EndResult) {
        let ended =
            Ended { owner, outcomes: Vec::new(), told: 0, taken: false, took: None, result };
        self.keep_ended(id, ended);
    }

    /// A move is over: it is remembered for whoever asks.
    pub(super) fn keep_ended(&mut self, id: MoveId, ended: Ended) {
        self.ended.insert(id, ended);
        // Outcomes that nobody asks for are not kept for ever.
        while self.ended.len() > super::MOST_ENDED {
            self.ended.pop_first();
        }
        self.actions.push_back(Action::Over(id));
    }
}
