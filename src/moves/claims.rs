//! Programs under way: the motors that they will still use are their own, and each has a clock of its own, which
//! stands still while it is held.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use super::active::Active;
use super::waiting::Waiting;
use super::{MotorIndex, MoveBook, MoveError, Owner};
use crate::motor::MoveId;
use crate::units::Instant;

/// How a program under way stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ClaimState {
    /// It goes on.
    Running,
    /// Nothing of it begins until it is resumed.
    Held,
    /// It has been stopped: nothing of it begins any more.
    Ending,
}

/// What a program under way has to itself.
#[derive(Debug)]
pub(super) struct Claim {
    pub motors: BTreeSet<MotorIndex>,
    pub ending: bool,
    /// In how many ways it gives them up meanwhile, and whether it ever did.
    shares: u32,
    has_shared: bool,
    /// Which claim this is, counted: of two for one motor the later one counts, since the earlier gave it up.
    number: u64,
    /// Since when it is held, and how long it was before, nanoseconds.
    pub held_since: Option<Instant>,
    pub held_for: u64,
    /// Where it left motors that others have moved while it was held, native.
    pub left: BTreeMap<MotorIndex, f64>,
    /// The move that brings them back before it goes on, and whether it was held once more meanwhile.
    pub back: Option<MoveId>,
    pub held_again: bool,
    /// Whoever carries the program out has the other end of this.
    pub alive: Weak<()>,
}

/// As long as this lives the program has its motors.
pub(crate) type Alive = Arc<()>;

impl MoveBook {
    /// A program begins that will use these motors: from now on they are its own.
    ///
    /// # Errors
    ///
    /// Another program keeps one of them, it moves, or a move that was asked for before waits for it.
    pub fn claim(
        &mut self,
        program: &Arc<str>,
        motors: impl IntoIterator<Item = MotorIndex>,
    ) -> Result<Alive, MoveError> {
        self.is_open_for_moves()?;
        self.claims.retain(|_, claim| claim.alive.strong_count() > 0);
        let motors: BTreeSet<MotorIndex> = motors.into_iter().collect();
        for &motor in &motors {
            // A held program lends its motors to hands, and to no other program.
            if let Some(other) = self.keeper(motor).or_else(|| self.held_user(motor)) {
                let motor = self.models[motor].name.clone();
                return Err(MoveError::Kept { motor, program: other.to_string() });
            }
            self.is_free(motor, &Owner::Client)?;
        }
        // While everything is held it waits for that.
        let held_since = self.held_since.map(|_| self.now);
        let alive = Arc::new(());
        let claim = Claim {
            motors,
            ending: false,
            shares: 0,
            has_shared: false,
            number: self.new_claim(),
            held_since,
            held_for: 0,
            left: BTreeMap::new(),
            back: None,
            held_again: false,
            alive: Arc::downgrade(&alive),
        };
        self.claims.insert(program.clone(), claim);
        Ok(alive)
    }

    fn new_claim(&self) -> u64 {
        self.claims.values().map(|c| c.number + 1).max().unwrap_or(0)
    }

    /// From now on a program gives up what it does not move just then, or takes it back. What others move at that
    /// moment they may move to its end.
    pub fn share(&mut self, program: &str, gives: bool) {
        if let Some(claim) = self.claims.get_mut(program) {
            claim.shares = if gives { claim.shares + 1 } else { claim.shares.saturating_sub(1) };
            claim.has_shared |= gives;
        }
    }

    /// Whether a program under way gives up motors meanwhile, or has done so.
    pub fn has_shared(&self, program: &str) -> bool {
        self.claims.get(program).is_some_and(|c| c.has_shared)
    }

    /// The first of these motors that a program has to wait for, since others have it that it shared it with.
    pub fn lacks(&self, program: &str, motors: &[MotorIndex]) -> Option<MotorIndex> {
        let claim = self.claims.get(program).filter(|c| c.has_shared)?;
        let awaited = |m: MotorIndex| {
            let mut due = self.waiting.values().filter(|w| self.is_in_line(w));
            claim.shares > 0 && due.any(|w| w.motors().any(|of| of == m))
        };
        let others = |&m: &MotorIndex| {
            let mover = self.mover(m);
            let kept = self.keeper(m).is_some_and(|p| **p != *program);
            kept || self.motors[m].busy.is_some() && mover != Some(program) || awaited(m)
        };
        motors.iter().copied().find(others)
    }

    /// The program that moves a motor now.
    fn mover(&self, motor: MotorIndex) -> Option<&str> {
        let active = self.motors[motor].busy.and_then(|id| self.active.get(&id))?;
        active.owner.program().map(|p| &**p)
    }

    /// A program is over, and all its motors are free.
    pub fn unclaim(&mut self, program: &str) {
        self.claims.remove(program);
    }

    /// A program uses no more than these motors from now on.
    pub fn claim_only(&mut self, program: &str, motors: &BTreeSet<MotorIndex>) {
        if let Some(claim) = self.claims.get_mut(program) {
            claim.motors.retain(|m| motors.contains(m));
        }
    }

    /// How a program under way stands; `None`: there is none of that name.
    pub fn claim_state(&self, program: &str) -> Option<ClaimState> {
        let claim = self.claims.get(program)?;
        Some(match claim {
            _ if claim.ending || self.is_stopped() => ClaimState::Ending,
            _ if claim.held_since.is_some() => ClaimState::Held,
            _ => ClaimState::Running,
        })
    }

    /// The program that keeps a motor.
    pub fn keeper(&self, motor: MotorIndex) -> Option<&Arc<str>> {
        let (is_busy, mover) = (self.motors[motor].busy.is_some(), self.mover(motor));
        // One that has stepped aside with a move will go on with it.
        let aside = |name: &str| {
            self.active.values().any(|a| {
                let its = a.owner.program().is_some_and(|p| **p == *name);
                its && a.aside().is_some() && a.leg(motor).is_some()
            })
        };
        let moves = |name: &str| mover == Some(name) || aside(name);
        let keeps = |(name, c): &(&Arc<str>, &Claim)| {
            let given = c.shares > 0 || c.has_shared && is_busy;
            let has = !c.ending && c.motors.contains(&motor) && c.alive.strong_count() > 0;
            has && (!given || moves(name))
        };
        let of = self.claims.iter().filter(keeps);
        of.max_by_key(|(name, c)| (moves(name), c.number)).map(|c| c.0)
    }

    /// A held program that will still use a motor, whether it shares it or not.
    pub(super) fn held_user(&self, motor: MotorIndex) -> Option<&Arc<str>> {
        let of = self.claims.iter().filter(|c| c.1.motors.contains(&motor));
        of.map(|c| c.0).find(|p| self.is_claim_held(p))
    }

    /// The programs that will still use a motor, whether they keep it to themselves or not.
    #[cfg(test)]
    pub fn users(&self, motor: MotorIndex) -> Vec<String> {
        let uses = |c: &Claim| !c.ending && c.motors.contains(&motor) && c.alive.strong_count() > 0;
        self.claims.iter().filter(|c| uses(c.1)).map(|c| c.0.to_string()).collect()
    }

    pub(super) fn is_claim_held(&self, program: &str) -> bool {
        // Those that come back are its own, unless a hold has met them on their way.
        let rests = |back: MoveId| self.active.get(&back).is_some_and(Active::is_holding);
        let others_may =
            |c: &Claim| c.held_since.is_some() && !c.ending && c.back.is_none_or(rests);
        self.claims.get(program).is_some_and(others_may)
    }

    /// Whether a motor may be had by this owner: nothing moves it, no move that was asked for before waits for it, and
    /// no program of another keeps it.
    pub fn is_free(&self, motor: MotorIndex, owner: &Owner) -> Result<(), MoveError> {
        let name = || self.models[motor].name.clone();
        // A held program lets others have its motors meanwhile.
        let other = |p: &&Arc<str>| owner.program() != Some(*p) && !self.is_claim_held(p);
        if let Some(program) = self.keeper(motor).filter(other) {
            return Err(MoveError::Kept { motor: name(), program: program.to_string() });
        }
        if self.motors[motor].busy.is_some() {
            return Err(MoveError::Busy { motor: name() });
        }
        let awaits = |w: &Waiting| self.is_in_line(w) && w.motors().any(|m| m == motor);
        match self.waiting.iter().find(|w| awaits(w.1)) {
            Some((&number, _)) => Err(MoveError::Awaited { motor: name(), number }),
            None => Ok(()),
        }
    }

    /// The clock of a program: it stands still while the program is held.
    pub fn clock_of(&self, program: &str, now: Instant) -> Instant {
        let Some(claim) = self.claims.get(program) else { return now };
        let now = claim.held_since.unwrap_or(now);
        Instant::from_nanos(now.nanos_since(Instant::from_nanos(claim.held_for)))
    }

    /// When the machine's clock will show what that clock shows at `at`.
    pub fn time_of(&self, program: &str, at: Instant) -> Instant {
        match self.claims.get(program) {
            Some(claim) if claim.held_since.is_some() => Instant::FAR,
            Some(claim) => at.plus_nanos(claim.held_for),
            None => at,
        }
    }

    pub(super) fn hold_claim(&mut self, program: &str) {
        let now = self.now;
        if let Some(claim) = self.claims.get_mut(program).filter(|c| !c.ending) {
            claim.held_since.get_or_insert(now);
            claim.held_again = claim.back.is_some();
        }
    }

    pub(super) fn resume_claim(&mut self, program: &str) {
        let now = self.now;
        if let Some(claim) = self.claims.get_mut(program)
            && let Some(since) = claim.held_since.take()
        {
            claim.held_for += now.nanos_since(since);
        }
    }
}
