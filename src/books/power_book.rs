//! A power supply's current, shared out among motors.

use std::time::Duration;

use super::Book;
use super::waiters::{Wait, WaitId, Waiters};
use crate::units::Instant;

/// The limits of a [`PowerBook`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PowerRules {
    /// What the supply can give, in milliamperes.
    pub budget: u32,
    /// The least time between two grants that switch a motor on. Zero by default: none.
    pub stagger: Duration,
    /// How many grants there may be at a time. 256 by default.
    pub max_grants: usize,
    /// How many may wait at a time. 256 by default.
    pub max_waits: usize,
}

impl PowerRules {
    /// A supply of `budget` milliamperes, and all else by default.
    pub fn new(budget: u32) -> Self {
        PowerRules { budget, stagger: Duration::ZERO, max_grants: 256, max_waits: 256 }
    }
}

/// The number of a grant. Numbers are not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantId(u64);

/// Why no current was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PowerError {
    /// It could never be given.
    #[error(
        "{needed} mA are more than the power budget of {budget} mA: move fewer motors at a time"
    )]
    NeverFits {
        /// What all the motors take together, in milliamperes.
        needed: u64,
        /// The budget, in milliamperes.
        budget: u32,
    },
    /// The time ran out. Nothing was given.
    #[error("the time ran out in the wait for {needed} mA: {free} mA of {budget} mA are free")]
    TimedOut {
        /// What was needed in addition to what the motors have already, in milliamperes.
        needed: u64,
        /// What is free, in milliamperes. It may be enough, if others came before or starts are
        /// held back.
        free: u64,
        /// The budget, in milliamperes.
        budget: u32,
    },
    /// A stop ended the wait. Nothing was given.
    #[error("a stop ended the wait for the power budget")]
    Stopped,
    /// There are as many grants, or waits for one, as there may be.
    #[error("{max} shares of the power budget are out or waited for: try again later")]
    TooMany {
        /// How many there may be.
        max: usize,
    },
}

/// A power supply's current: the state machine behind [`PowerBudget`](crate::sync::PowerBudget), without
/// any waiting. See [`Book`] for how to drive it.
///
/// A move asks for the current of its motors before it energises them, and gives back that of each
/// motor when it is at rest and switched off.
///
/// - All or nothing: who waits has taken nothing yet.
/// - First come, first served, also where a smaller share would fit: so a big one is not kept
///   waiting by small ones. Only a share that adds nothing, since its motors are all on already, is
///   given at once.
/// - A motor counts once, however many grants name it: with the largest current that one of them
///   asked for.
/// - Between two grants that switch a motor on there is at least the `stagger`, and none is given
///   while starts are [held back](Self::hold_back).
///
/// # Examples
///
/// ```
/// use lockstep::sync::{Book, PowerBook, PowerError, PowerRules};
/// use lockstep::units::Instant;
/// use std::time::Duration;
///
/// let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
/// let wait = Duration::from_secs(10);
/// let mut book = PowerBook::new(PowerRules::new(2000));
/// let x = book.ask(&[("x", 800), ("y", 800)], wait, at(0))?;
/// let x = book.take(x).expect("it fits")?;
///
/// let z = book.ask(&[("z", 800)], wait, at(1))?;
/// assert!(!book.is_settled(z));
/// book.give_back_motor(x, "y", at(2));
/// assert!(book.is_settled(z));
/// assert_eq!(book.used(), 1600);
///
/// let all = book.ask(&[("x", 800), ("y", 800), ("z", 800)], wait, at(3));
/// assert_eq!(all, Err(PowerError::NeverFits { needed: 2400, budget: 2000 }));
/// # Ok::<(), PowerError>(())
/// ```
#[derive(Debug)]
pub struct PowerBook {
    rules: PowerRules,
    next: u64,
    grants: Vec<(GrantId, Claims)>,
    waiters: Waiters<Claims, Result<GrantId, PowerError>>,
    /// No motor is switched on before this.
    next_start: Instant,
    held_back: bool,
}

/// Motors, each once, with their current.
type Claims = Vec<(String, u32)>;

impl PowerBook {
    /// A supply that gives nothing yet.
    pub fn new(rules: PowerRules) -> Self {
        PowerBook {
            rules,
            next: 1,
            grants: Vec::new(),
            waiters: Waiters::new(rules.max_waits),
            next_start: Instant::ZERO,
            held_back: false,
        }
    }

    /// Begins to take the current of motors, each with its milliamperes. It is settled at once if
    /// the current is there and nobody waits for it, or if `timeout` is zero. A motor that is named
    /// twice counts once, with the larger current.
    ///
    /// # Errors
    ///
    /// [`PowerError::NeverFits`], [`PowerError::TooMany`]; and later [`PowerError::TimedOut`],
    /// [`PowerError::Stopped`].
    pub fn ask(
        &mut self,
        motors: &[(impl AsRef<str>, u32)],
        timeout: Duration,
        now: Instant,
    ) -> Result<WaitId, PowerError> {
        let mut claims = Claims::new();
        for (motor, current) in motors {
            let motor = motor.as_ref();
            match claims.iter_mut().find(|(other, _)| other == motor) {
                Some((_, claimed)) => *claimed = (*claimed).max(*current),
                None => claims.push((motor.to_string(), *current)),
            }
        }
        let needed: u64 = claims.iter().map(|(_, current)| u64::from(*current)).sum();
        if needed > u64::from(self.rules.budget) {
            return Err(PowerError::NeverFits { needed, budget: self.rules.budget });
        }
        self.advance(now);
        let max = self.waiters.most();
        let id = self.waiters.add(now + timeout, claims).ok_or(PowerError::TooMany { max })?;
        self.serve(now);
        self.advance(now);
        Ok(id)
    }

    /// Gives back all that is left of a grant. One that is gone already is left alone.
    pub fn give_back(&mut self, id: GrantId, now: Instant) {
        self.advance(now);
        self.grants.retain(|(other, _)| *other != id);
        self.serve(now);
    }

    /// Gives back one motor of a grant, which is at rest and switched off. With its last motor the
    /// grant is gone.
    pub fn give_back_motor(&mut self, id: GrantId, motor: &str, now: Instant) {
        self.advance(now);
        if let Some((_, claims)) = self.grants.iter_mut().find(|(other, _)| *other == id) {
            claims.retain(|(other, _)| other != motor);
        }
        self.grants.retain(|(other, claims)| *other != id || !claims.is_empty());
        self.serve(now);
    }

    /// Holds new starts back (`true`), or lets them go on: for as long as the supply's voltage is
    /// low. Those that wait go on waiting, up to their time-outs.
    pub fn hold_back(&mut self, held_back: bool, now: Instant) {
        self.advance(now);
        self.held_back = held_back;
        self.serve(now);
    }

    /// The grant that was given last switches on so many motors one after another, a stagger apart, beyond
    /// the first: the next grant that switches one on comes after them.
    pub fn start_more(&mut self, starts: usize) {
        let starts = u32::try_from(starts).unwrap_or(u32::MAX);
        self.next_start = self.next_start + self.rules.stagger.saturating_mul(starts);
    }

    /// The current of the motors that are on, in milliamperes; never more than the budget.
    pub fn used(&self) -> u64 {
        let all = self.grants.iter().flat_map(|(_, claims)| claims);
        let once = all.enumerate().filter(|(place, (motor, _))| {
            let mut before = self.grants.iter().flat_map(|(_, claims)| claims).take(*place);
            before.all(|(other, _)| other != motor)
        });
        once.map(|(_, (motor, _))| u64::from(self.current_of(motor))).sum()
    }

    /// The limits that it was made with.
    pub fn rules(&self) -> &PowerRules {
        &self.rules
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiters.open().count()
    }

    /// What a motor has, in milliamperes; 0 if it is off.
    fn current_of(&self, motor: &str) -> u32 {
        let claims = self.grants.iter().flat_map(|(_, claims)| claims);
        claims.filter(|(other, _)| other == motor).map(|(_, current)| *current).max().unwrap_or(0)
    }

    /// What motors need in addition to what they have, in milliamperes.
    fn extra(&self, claims: &Claims) -> u64 {
        let extra = |(motor, current): &(String, u32)| {
            u64::from(current.saturating_sub(self.current_of(motor)))
        };
        claims.iter().map(extra).sum()
    }

    /// Whether a motor is switched on that is off now.
    fn switches_on(&self, claims: &Claims) -> bool {
        claims.iter().any(|(motor, current)| *current > self.current_of(motor))
    }

    fn free(&self) -> u64 {
        u64::from(self.rules.budget).saturating_sub(self.used())
    }

    /// Gives to those who wait what they can have, the first to come first.
    fn serve(&mut self, now: Instant) {
        let mut in_order = true;
        for id in self.waiters.open().map(|(id, _)| id).collect::<Vec<_>>() {
            let Some(claims) = self.waiters.wanted(id) else {
                continue;
            };
            if self.grants.len() >= self.rules.max_grants {
                return;
            }
            let starts = self.switches_on(claims);
            if starts {
                let ready = !self.held_back && now >= self.next_start;
                in_order = in_order && ready && self.extra(claims) <= self.free();
                if !in_order {
                    continue;
                }
                self.next_start = now + self.rules.stagger;
            }
            let grant = GrantId(self.next);
            self.next += 1;
            self.grants.push((grant, claims.clone()));
            self.waiters.settle(id, Ok(grant));
        }
    }
}

impl Book for PowerBook {
    type Output = GrantId;
    type Error = PowerError;

    fn next_deadline(&self) -> Option<Instant> {
        let deadline = self.waiters.next_deadline()?;
        // The first in the queue waits for time alone only if all else is there.
        let mut queue = self.waiters.open().filter(|(_, claims)| self.switches_on(claims));
        let first = queue.next().filter(|(_, claims)| {
            let room = self.grants.len() < self.rules.max_grants;
            room && !self.held_back && self.extra(claims) <= self.free()
        });
        Some(if first.is_some() { deadline.min(self.next_start) } else { deadline })
    }

    fn advance(&mut self, now: Instant) {
        while let Some(id) = self.waiters.overdue(now) {
            let needed = self.waiters.wanted(id).map_or(0, |claims| self.extra(claims));
            let (free, budget) = (self.free(), self.rules.budget);
            self.waiters.settle(id, Err(PowerError::TimedOut { needed, free, budget }));
        }
        self.serve(now);
    }

    fn news(&mut self) -> Vec<WaitId> {
        self.waiters.news()
    }

    fn is_settled(&self, id: WaitId) -> bool {
        self.waiters.is_settled(id)
    }

    fn take(&mut self, id: WaitId) -> Option<Result<GrantId, PowerError>> {
        self.waiters.take(id)
    }

    fn cancel(&mut self, id: WaitId, now: Instant) {
        self.advance(now);
        if let Some(Wait::Settled(Ok(grant))) = self.waiters.remove(id) {
            self.grants.retain(|(other, _)| *other != grant);
        }
        self.serve(now);
    }

    fn stop(&mut self, id: WaitId, now: Instant) -> PowerError {
        self.cancel(id, now);
        PowerError::Stopped
    }
}
