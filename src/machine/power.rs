//! The machine's side of the power budget: what a motor draws is taken before it is switched on, and given
//! back once it has let go.

use std::time::Duration;

use super::active::{Active, Stage};
use super::outcome::Cause;
use super::plan::{Planned, Way};
use super::shapes::nanos;
use super::{Machine, MoveError};
use crate::config::{Config, Consumer, consumers};
use crate::hal::Supply;
use crate::motor::{Command, MotorIndex, MoveId};
use crate::sync::{Book, GrantId, PowerBook, PowerError, PowerRules, WaitId};
use crate::units::Instant;

/// How long a move waits for its share, where it has no time-out of its own.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How often the board is asked whether its supply is well.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Who waits for current.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    Move(MoveId),
    Enable(MotorIndex),
}

/// The budget of a machine that has one.
pub(super) struct Power {
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
pub(super) fn consumers_of(
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
            let taken = book.ask(&[("always", always)], Duration::ZERO, Instant::ZERO);
            let taken = taken.ok().and_then(|id| book.take(id));
            if !matches!(taken, Some(Ok(_))) {
                log::error!("what is always on draws more than the power budget");
            }
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

/// The supply's voltage, as the board tells it.
pub(super) struct Watch {
    supply: Box<dyn Supply>,
    next: Instant,
}

impl Watch {
    pub fn new(supply: Box<dyn Supply>) -> Watch {
        Watch { supply, next: Instant::ZERO }
    }
}

impl Machine {
    /// How the power budget stands; `None` where the config has none.
    ///
    /// A motor's current is taken from its move's start, or from when it is enabled, until it has let go:
    /// a stepper draws as much at rest. A servo gives it back when its move has ended. Drivers behind one
    /// enable line are on while one of them is; what holds a load, or has no line that would switch it off,
    /// is on for good.
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
            Way::Jog(jog) => Some(Duration::from_nanos(jog.lasts)),
            _ => None,
        });
        jog.or(timeout).unwrap_or(PATIENCE)
    }

    /// A move's motors get ready as soon as there is current for them.
    pub(super) fn begin(&mut self, id: MoveId) {
        if !self.may_leave(id) {
            return;
        }
        let now = self.now();
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
        log::warn!("move {id}: {why}");
        let motors = self.active.get(&id).map(Active::motors).unwrap_or_default();
        for motor in motors {
            self.end_part(id, motor, |_| Cause::Power(why.clone()));
        }
    }

    /// A move is held, or has ended, before it got its current.
    pub(super) fn leave_power_queue(&mut self, id: MoveId) {
        let now = self.now();
        if let Some(power) = &mut self.power {
            power.forget(For::Move(id), now);
        }
        self.serve_power();
    }

    /// Switches an axis on once there is current for it.
    pub(super) fn enable_with_power(&mut self, motor: MotorIndex) -> Result<(), MoveError> {
        let now = self.now();
        let Some(power) = &mut self.power else { return self.command(motor, Command::Enable) };
        power.check(&[motor])?;
        power.forget(For::Enable(motor), now);
        power.ask(&[motor], For::Enable(motor), PATIENCE, now)?;
        self.serve_power();
        Ok(())
    }

    /// A motor is not to be switched on any more.
    pub(super) fn forget_enable(&mut self, motor: MotorIndex) {
        let now = self.now();
        if let Some(power) = &mut self.power {
            power.forget(For::Enable(motor), now);
        }
    }

    /// A motor has let go.
    pub(super) fn power_off(&mut self, motor: MotorIndex) {
        let now = self.now();
        if let Some(power) = &mut self.power {
            power.off(motor, now);
        }
    }

    /// Hands current out to those whose turn it is.
    pub(super) fn serve_power(&mut self) {
        let now = self.now();
        let Some(power) = &mut self.power else { return };
        for (who, result) in power.settled(now) {
            match who {
                For::Move(id) => self.powered(id, result),
                For::Enable(motor) => self.powered_to_enable(motor, result),
            }
        }
    }

    fn powered(&mut self, id: MoveId, result: Result<GrantId, PowerError>) {
        let now = self.now();
        let motors = self.active.get(&id).map(Active::motors).unwrap_or_default();
        match result {
            Err(error) => self.without_power(id, &error),
            Ok(grant) => {
                let Some(power) = &mut self.power else { return };
                let fresh = power.take(&motors, grant, now);
                let Some(active) = self.active.get_mut(&id) else { return };
                active.legs.iter_mut().for_each(|leg| leg.after = 0);
                if active.kind == "asap" {
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
        let now = self.now();
        let name = self.models[motor].name.clone();
        match result {
            Err(error) => log::error!("{name} is not enabled: {error}"),
            Ok(grant) => {
                if let Some(power) = &mut self.power {
                    power.take(&[motor], grant, now);
                }
                if let Err(error) = self.command(motor, Command::Enable) {
                    log::error!("{error}");
                }
            }
        }
    }

    /// Asks the board how its supply is, if it is time.
    pub(super) fn look_at_supply(&mut self) {
        let now = self.now();
        let (Some(watch), Some(power)) = (&mut self.supply, &mut self.power) else { return };
        if now < watch.next {
            return;
        }
        watch.next = now + LOOK_EVERY;
        let Some(low) = watch.supply.is_low() else { return };
        if std::mem::replace(&mut power.low, low) == low {
            return;
        }
        power.book.hold_back(low, now);
        match low {
            true => log::warn!("the supply's voltage is low: nothing more is switched on"),
            false => log::info!("the supply's voltage is well again"),
        }
        self.serve_power();
    }

    /// When current has to be looked after next.
    pub(super) fn power_deadline(&self) -> Instant {
        let watch = self.supply.as_ref().filter(|_| self.power.is_some()).map(|w| w.next);
        let book = self.power.as_ref().and_then(Power::next_deadline);
        watch.into_iter().chain(book).min().unwrap_or(Instant::FAR)
    }
}
