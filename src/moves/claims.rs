//! Programs under way: the motors that they will still use are their own, and each has a clock of its own, which
//! stands still while it is held.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use super::active::Active;
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
            if let Some(other) = self.keeper(motor) {
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
        let keeps =
            |c: &Claim| !c.ending && c.motors.contains(&motor) && c.alive.strong_count() > 0;
        self.claims.iter().find(|c| keeps(c.1)).map(|c| c.0)
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
        match self.waiting.iter().find(|w| w.1.is_due(self.now) && w.1.motors().any(|m| m == motor))
        {
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
