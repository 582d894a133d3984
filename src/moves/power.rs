//! The machine's side of the power budget: what a motor draws is taken before it is switched on, and given
//! back once it has let go.

use std::time::Duration;

use super::active::Active;
use super::outcome::Cause;
use super::plan::{Planned, Way};
use super::shapes::nanos;
use super::stage::Stage;
use super::{MoveBook, MoveError};
use crate::books::{Book, GrantId, PowerBook, PowerError, PowerRules, WaitId};
use crate::config::{Config, Consumer, consumers};
use crate::motor::{Command, MotorIndex, MoveId};
use crate::trace::MoveKind;
use crate::units::Instant;

/// How long a move waits for its share, where it has no time-out of its own.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Who waits for current.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    Move(MoveId),
    Enable(MotorIndex),
}

/// The budget of a machine that has one.
pub(crate) struct Power {
    book: PowerBook,
    consumers: Vec<Consumer>,
    /// Each motor's consumer, and each consumer's name in the book.
    of: Vec<usize>,
    names: Vec<String>,
    /// What each consumer that is on has taken.
    taken: Vec<Option<GrantId>>,
    /// The motors that are on.
    on: Vec<bool>,
    waits: Vec<(WaitId, For)>,
    stagger: Duration,
    low: bool,
}

/// How the power budget stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PowerState {
    /// What the supply can give, milliamperes.
    pub budget: u32,
    /// What the motors that are on draw, milliamperes.
    pub used: u64,
    /// How many moves and motors wait for current.
    pub waiting: usize,
    /// Whether the supply's voltage is low, so that nothing is switched on.
    pub low: bool,
}

/// The consumers that these motors are part of, each once.
pub(crate) fn consumers_of(
    all: &[Consumer],
    motors: impl IntoIterator<Item = MotorIndex>,
) -> Vec<usize> {
    let mut found = Vec::new();
    for motor in motors {
        let one = all.iter().position(|c| c.motors.contains(&motor));
        found.extend(one.filter(|c| !found.contains(c)));
    }
    found
}

impl Power {
    /// The budget of a config; what is on from its start on has taken its share.
    pub fn new(config: &Config, now: Instant) -> Option<Power> {
        let rules = config.power?;
        let consumers = consumers(&config.motors);
        let mut book =
            PowerBook::new(PowerRules { stagger: rules.stagger, ..PowerRules::new(rules.budget) });
        let mut of = vec![0; config.motors.len()];
        let mut names = Vec::new();
        for (index, consumer) in consumers.iter().enumerate() {
            consumer.motors.iter().for_each(|&m| of[m] = index);
            let members = consumer.motors.iter().map(|&m| config.motors[m].name.as_str());
            names.push(members.collect::<Vec<_>>().join(","));
        }
        // Not in the book, whose first starts would be staggered: nobody switches these on.
        let always = consumers.iter().filter(|c| c.always);
        let always = always.fold(0u32, |sum, c| sum.saturating_add(c.current));
        if always > 0 {
            // More than the budget is refused when the config is read.
            let taken = book.ask(&[("always", always)], Duration::ZERO, Instant::ZERO);
            let _ = taken.ok().and_then(|id| book.take(id));
        }
        book.advance(now);
        Some(Power {
            taken: vec![None; consumers.len()],
            on: vec![false; config.motors.len()],
            book,
            consumers,
            of,
            names,
            waits: Vec::new(),
            stagger: rules.stagger,
            low: false,
        })
    }

    fn claims(&self, motors: &[MotorIndex]) -> Vec<(&str, u32)> {
        let switched = consumers_of(&self.consumers, motors.iter().copied());
        let switched = switched.into_iter().filter(|&c| !self.consumers[c].always);
        switched.map(|c| (self.names[c].as_str(), self.consumers[c].current)).collect()
    }

    /// Refuses what could never be switched on together.
    fn check(&self, motors: &[MotorIndex]) -> Result<(), PowerError> {
        let always = self.consumers.iter().filter(|c| c.always).map(|c| u64::from(c.current));
        let own = self.claims(motors).into_iter().map(|c| u64::from(c.1));
        let (needed, budget) = (always.chain(own).sum(), self.book.rules().budget);
        if needed > u64::from(budget) {
            return Err(PowerError::NeverFits { needed, budget });
        }
        Ok(())
    }

    fn ask(
        &mut self,
        motors: &[MotorIndex],
        who: For,
        patience: Duration,
        now: Instant,
    ) -> Result<(), PowerError> {
        let claims = self.claims(motors);
        let claims: Vec<_> = claims.into_iter().map(|(n, c)| (n.to_owned(), c)).collect();
        let wait = self.book.ask(&claims, patience, now)?;
        self.waits.push((wait, who));
        Ok(())
    }

    /// Motors are switched on with a grant, which may have been asked for with more of them. Says which of
    /// them were off.
    fn take(&mut self, motors: &[MotorIndex], grant: GrantId, now: Instant) -> Vec<MotorIndex> {
        let off = |&m: &MotorIndex| !self.on[m] && !self.consumers[self.of[m]].always;
        let fresh = motors.iter().copied().filter(off).collect();
        motors.iter().for_each(|&m| self.on[m] = true);
        let wanted = consumers_of(&self.consumers, motors.iter().copied());
        let mut used = false;
        for c in 0..self.consumers.len() {
            let needed = wanted.contains(&c) && !self.consumers[c].always;
            if needed && self.taken[c].is_none() {
                self.taken[c] = Some(grant);
                used = true;
            } else {
                self.book.give_back_motor(grant, &self.names[c], now);
            }
        }
        if !used {
            self.book.give_back(grant, now);
        }
        fresh
    }

    /// A motor is off. With the last one of its consumer, the current is free.
    pub fn off(&mut self, motor: MotorIndex, now: Instant) {
        if !std::mem::replace(&mut self.on[motor], false) {
            return;
        }
        let c = self.of[motor];
        if self.consumers[c].motors.iter().all(|&m| !self.on[m])
            && let Some(grant) = self.taken[c].take()
        {
            self.book.give_back_motor(grant, &self.names[c], now);
        }
    }

    /// Takes back the waits of whoever does not need them any more.
    fn forget(&mut self, who: For, now: Instant) {
        let gone: Vec<_> = self.waits.extract_if(.., |w| w.1 == who).collect();
        gone.into_iter().for_each(|w| self.book.cancel(w.0, now));
    }

    /// What came of those who waited.
    fn settled(&mut self, now: Instant) -> Vec<(For, Result<GrantId, PowerError>)> {
        self.book.advance(now);
        let mut all = Vec::new();
        for id in self.book.news() {
            let Some(place) = self.waits.iter().position(|w| w.0 == id) else { continue };
            if let Some(result) = self.book.take(id) {
                all.push((self.waits.remove(place).1, result));
            }
        }
        all
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.book.next_deadline()
    }
}

impl MoveBook {
    /// How the power budget stands; `None` where the config has none.
    pub fn power(&self) -> Option<PowerState> {
        let power = self.power.as_ref()?;
        let (budget, used) = (power.book.rules().budget, power.book.used());
        Some(PowerState { budget, used, waiting: power.waits.len(), low: power.low })
    }

    /// Refuses a plan whose motors could never be on together.
    pub(super) fn check_power(&self, planned: &Planned) -> Result<(), MoveError> {
        let Some(power) = &self.power else { return Ok(()) };
        let motors: Vec<_> = planned.parts.iter().map(|p| p.motor).collect();
        Ok(power.check(&motors)?)
    }

    /// How long a move waits for its current: a jog no longer than it would last.
    pub(super) fn power_patience(planned: &Planned, timeout: Option<Duration>) -> Duration {
        let jog = planned.parts.iter().find_map(|p| match &p.goal.way {
            Way::Jog(jog) if !jog.pauses => Some(Duration::from_nanos(jog.lasts)),
            _ => None,
        });
        jog.or(timeout).unwrap_or(PATIENCE)
    }

    /// A move's motors get ready as soon as there is current for them.
    pub(super) fn begin(&mut self, id: MoveId) {
        if !self.may_leave(id) {
            return;
        }
        let now = self.now;
        let Some(active) = self.active.get_mut(&id) else { return };
        let motors = active.motors();
        let Some(power) = self.power.as_mut().filter(|_| !motors.is_empty()) else {
            return self.arm(id);
        };
        active.stage = Stage::Queued;
        let patience = active.power_patience;
        match power.ask(&motors, For::Move(id), patience, now) {
            Ok(()) => self.serve_power(),
            Err(error) => self.without_power(id, &error),
        }
    }

    fn without_power(&mut self, id: MoveId, error: &PowerError) {
        let low = self.power.as_ref().is_some_and(|power| power.low);
        let why = match low {
            true => format!("{error}; the supply's voltage is low"),
            false => error.to_string(),
        };
        self.say(log::Level::Warn, format!("move {id}: {why}"));
        let motors = self.active.get(&id).map(Active::motors).unwrap_or_default();
        for motor in motors {
            self.end_part(id, motor, |_| Cause::Power(why.clone()));
        }
    }

    /// A move is held, or has ended, before it got its current, or was let go.
    pub(super) fn leave_queue(&mut self, id: MoveId) {
        let now = self.now;
        self.stays(id);
        if let Some(power) = &mut self.power {
            power.forget(For::Move(id), now);
        }
        self.serve_power();
    }

    /// Switches an axis on once there is current for it. True: there is no budget, and it can be told now.
    pub fn enable(&mut self, motor: MotorIndex) -> Result<bool, MoveError> {
        self.at_rest(motor)?;
        if self.models[motor].steps.is_none() {
            return Err(MoveError::NoCount { motor: self.models[motor].name.clone() });
        }
        let now = self.now;
        let Some(power) = &mut self.power else { return Ok(true) };
        power.check(&[motor])?;
        power.forget(For::Enable(motor), now);
        power.ask(&[motor], For::Enable(motor), PATIENCE, now)?;
        self.motors[motor].powered = true;
        self.serve_power();
        Ok(false)
    }

    /// A motor is not to be switched on any more.
    pub fn forget_enable(&mut self, motor: MotorIndex) {
        let now = self.now;
        if let Some(power) = &mut self.power {
            power.forget(For::Enable(motor), now);
        }
    }

    /// A motor has let go.
    pub(super) fn power_off(&mut self, motor: MotorIndex) {
        let now = self.now;
        if let Some(power) = &mut self.power {
            power.off(motor, now);
        }
    }

    /// Hands current out to those whose turn it is.
    pub(super) fn serve_power(&mut self) {
        let now = self.now;
        let Some(power) = &mut self.power else { return };
        for (who, result) in power.settled(now) {
            match who {
                For::Move(id) => self.powered(id, result),
                For::Enable(motor) => self.powered_to_enable(motor, result),
            }
        }
    }

    fn powered(&mut self, id: MoveId, result: Result<GrantId, PowerError>) {
        let now = self.now;
        let motors = self.active.get(&id).map(Active::motors).unwrap_or_default();
        match result {
            Err(error) => self.without_power(id, &error),
            Ok(grant) => {
                let Some(power) = &mut self.power else { return };
                let fresh = power.take(&motors, grant, now);
                let Some(active) = self.active.get_mut(&id) else { return };
                active.legs.iter_mut().for_each(|leg| leg.after = 0);
                if active.kind == MoveKind::Asap {
                    for (n, motor) in fresh.iter().enumerate() {
                        let after = nanos(power.stagger).saturating_mul(n as u64);
                        active.legs.iter_mut().filter(|l| l.motor() == *motor).for_each(|leg| {
                            leg.after = after;
                        });
                    }
                    power.book.start_more(fresh.len().saturating_sub(1));
                }
                self.arm(id);
            }
        }
    }

    fn powered_to_enable(&mut self, motor: MotorIndex, result: Result<GrantId, PowerError>) {
        let now = self.now;
        let name = self.models[motor].name.clone();
        match result {
            Err(error) => {
                self.say(log::Level::Error, format!("{name} is not enabled: {error}"));
            }
            Ok(grant) => {
                if let Some(power) = &mut self.power {
                    power.take(&[motor], grant, now);
                }
                self.tell(motor, Command::Enable);
                self.mark_switched(motor, true);
            }
        }
    }

    /// Whether the supply's voltage is low, so that nothing more is switched on. It counts where there is a budget.
    pub fn supply_is(&mut self, low: bool) {
        let now = self.now;
        let Some(power) = &mut self.power else { return };
        if std::mem::replace(&mut power.low, low) == low {
            return;
        }
        power.book.hold_back(low, now);
        let said = match low {
            true => (log::Level::Warn, "the supply's voltage is low: nothing more is switched on"),
            false => (log::Level::Info, "the supply's voltage is well again"),
        };
        self.say(said.0, said.1.to_owned());
        self.serve_power();
    }

    /// How often a move waits for its current: never or once.
    #[cfg(test)]
    pub(super) fn waits_for_power(&self, id: MoveId) -> usize {
        let waits = self.power.iter().flat_map(|power| &power.waits);
        waits.filter(|w| w.1 == For::Move(id)).count()
    }

    /// Whether there is a power budget.
    pub fn has_budget(&self) -> bool {
        self.power.is_some()
    }

    /// When current has to be looked after next.
    pub(super) fn power_deadline(&self) -> Instant {
        self.power.as_ref().and_then(Power::next_deadline).unwrap_or(Instant::FAR)
    }
}
