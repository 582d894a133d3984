//! What the journal says of the motors while the service runs: told the time, it waits for nothing, and says
//! what has to be written next.
//!
//! Only motors that begin where they stood are in it: axes with `at-start = "restored"`, servos with
//! `startup = "last"`. One that has been at rest for [`SETTLED`] is noted as resting, and where; from then
//! on the journal would give its place back after a power cut. So before it leaves, the block beside the
//! journal has to say so, on the disk: an axis is let go only after that ([`Claims::may_leave`]). While a
//! machine is at work its motors are noted as moving all the time, and nothing waits for the disk. Where
//! they rested last is noted at most every [`EVERY`].

use std::collections::{BTreeMap, BTreeSet};
use std::iter::repeat;
use std::time::Duration;

use super::journal::{Stand, Stood};
use crate::config::Config;
use crate::machine::Kept;
use crate::units::Instant;

/// A motor that has been at rest for so long is noted as resting.
pub(super) const SETTLED: Duration = Duration::from_secs(2);

/// The least time between two journals, but for what has become of the machine.
pub(super) const EVERY: Duration = Duration::from_secs(5);

/// How long a motor waits for the disk.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// At rest, a place may become another without motion: it is looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is to be written.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Job {
    /// The journal, under this number.
    Journal { number: u64, why: Option<String>, stand: Stand },
    /// The block for the journal of this number: whether each of its motors has left; those that are not
    /// there have.
    Block { number: u64, left: Vec<bool> },
}

struct Claim {
    name: String,
    means: String,
    /// It does not leave before the disk says that it moves.
    waits: bool,
    rests_since: Option<Instant>,
    /// Where it rested last.
    kept: Option<Kept>,
    /// It has not moved since the service began: `kept` is from before.
    untouched: bool,
    /// Since when it waits for the disk.
    asked: Option<Instant>,
    gave_up: bool,
}

/// What the disk says, and what it is to say.
pub(super) struct Claims {
    claims: Vec<Claim>,
    /// Nobody will restore a place from here.
    silent: bool,
    /// Why nothing moves before `clear`.
    why: Option<String>,
    /// The number of the last journal, written or tried.
    number: u64,
    disk: Stand,
    disk_why: Option<String>,
    /// Those that have left since the journal's text was made.
    left: BTreeSet<String>,
    /// A journal could not be written: which one the disk has, nobody knows.
    unsure: bool,
    job: Option<Job>,
    /// Not before this.
    next: Instant,
    next_journal: Instant,
    next_look: Instant,
}

impl Claims {
    /// `places`: where motors stood when the service before ended, as far as anybody knows.
    pub fn new(config: &Config, places: &BTreeMap<String, Kept>, why: Option<&str>) -> Claims {
        let mut claims = Claims {
            claims: Vec::new(),
            silent: false,
            why: why.map(str::to_owned),
            number: 0,
            disk: Stand::new(),
            disk_why: None,
            left: BTreeSet::new(),
            unsure: false,
            job: None,
            next: Instant::ZERO,
            next_journal: Instant::ZERO,
            next_look: Instant::ZERO,
        };
        claims.adopt(config);
        for claim in &mut claims.claims {
            claim.kept = places.get(&claim.name).copied();
            claim.untouched = claim.kept.is_some();
        }
        claims
    }

    /// From now on no place is noted.
    pub fn note_nothing(&mut self) {
        self.claims.clear();
        self.silent = true;
    }

    /// Another config holds. A motor that means something else than before is as new.
    pub fn adopt(&mut self, config: &Config) {
        if self.silent {
            return;
        }
        let mut old = std::mem::take(&mut self.claims);
        for motor in config.motors.iter().filter(|m| m.keeps_place()) {
            let (name, means) = (motor.name.clone(), motor.identity());
            let known = old.iter().position(|c| c.name == name && c.means == means);
            self.claims.push(match known {
                Some(at) => old.swap_remove(at),
                None => Claim {
                    name,
                    means,
                    waits: motor.axis().is_some(),
                    rests_since: None,
                    kept: None,
                    untouched: false,
                    asked: None,
                    gave_up: false,
                },
            });
        }
    }

    /// What the disk says already, under that number.
    pub fn begun(&mut self, number: u64, now: Instant) {
        let stand = self.stand(now);
        (self.number, self.disk, self.disk_why) = (number, stand, self.why.clone());
        self.next_journal = now + EVERY;
    }

    /// Hears how the motors are now: `busy` says whether one is part of a move, `places` where those
    /// are that rest.
    pub fn look(
        &mut self,
        now: Instant,
        busy: impl Fn(&str) -> bool,
        places: impl FnOnce() -> BTreeMap<String, Kept>,
        why: Option<&str>,
    ) {
        if self.why.as_deref() != why {
            self.why = why.map(str::to_owned);
        }
        let mut fresh = now >= self.next_look;
        for index in 0..self.claims.len() {
            if busy(&self.claims[index].name) {
                self.claims[index].untouched = false;
                self.leaves(index);
            } else if self.claims[index].rests_since.is_none() {
                self.claims[index].rests_since = Some(now);
                fresh = true;
            }
        }
        if !fresh || self.claims.is_empty() {
            return;
        }
        self.next_look = now + LOOK_EVERY;
        let places = places();
        for claim in self.claims.iter_mut().filter(|c| c.rests_since.is_some()) {
            match places.get(&claim.name) {
                Some(&kept) => (claim.kept, claim.untouched) = (Some(kept), false),
                // A servo that has had no signal yet stands where it stood.
                None if claim.untouched => {}
                None => claim.kept = None,
            }
        }
    }

    /// Whether these motors may leave where they are, or be told to be elsewhere: the disk does not say
    /// of any of them that it rests. Ask again once it has written. A disk that takes longer than
    /// [`PATIENCE`] keeps nobody.
    pub fn may_leave(&mut self, motors: &[&str], now: Instant) -> bool {
        let mut may = true;
        for index in 0..self.claims.len() {
            if !motors.contains(&self.claims[index].name.as_str()) {
                continue;
            }
            self.leaves(index);
            let claim = &self.claims[index];
            if !claim.waits || !self.may_say_it_rests(&claim.name) {
                continue;
            }
            let claim = &mut self.claims[index];
            if now < *claim.asked.get_or_insert(now) + PATIENCE {
                may = false;
            } else if !std::mem::replace(&mut claim.gave_up, true) {
                log::error!(
                    "{}: the state folder does not take that it moves: should the power be cut now, its \
                     place will be wrong",
                    claim.name
                );
            }
        }
        may
    }

    fn leaves(&mut self, index: usize) {
        self.claims[index].rests_since = None;
        let name = &self.claims[index].name;
        if self.may_say_it_rests(name) {
            self.left.insert(name.clone());
        }
    }

    /// Whether the disk says of a motor that it rests, or may come to say so.
    fn may_say_it_rests(&self, name: &str) -> bool {
        let rests = |stand: &Stand| stand.get(name).is_some_and(|s| !s.moving);
        let coming = match &self.job {
            Some(Job::Journal { stand, .. }) => rests(stand),
            _ => false,
        };
        rests(&self.disk) || coming
    }

    /// What the journal is to say.
    pub fn stand(&self, now: Instant) -> Stand {
        let of = |claim: &Claim| {
            let settled = claim.rests_since.is_some_and(|since| now >= since + SETTLED);
            let moving = !settled && !claim.untouched;
            let stood = Stood { means: claim.means.clone(), moving, kept: claim.kept? };
            Some((claim.name.clone(), stood))
        };
        self.claims.iter().filter_map(of).collect()
    }

    /// What has to be written now, if nothing is being written.
    pub fn job(&mut self, now: Instant) -> Option<&Job> {
        if self.job.is_some() || now < self.next {
            return None;
        }
        // Where the journal says so itself, no block is needed.
        self.left.retain(|name| self.disk.get(name).is_some_and(|s| !s.moving));
        if !self.left.is_empty() {
            let left = self.disk.iter().map(|(name, s)| s.moving || self.left.contains(name));
            let left = if self.unsure { Vec::new() } else { left.collect() };
            self.job = Some(Job::Block { number: self.number, left });
            return self.job.as_ref();
        }
        let news = self.why != self.disk_why;
        if !news && now < self.next_journal {
            return None;
        }
        let stand = self.stand(now);
        if !news && self.is_said(&stand) {
            return None;
        }
        self.number += 1;
        self.next_journal = now + EVERY;
        self.job = Some(Job::Journal { number: self.number, why: self.why.clone(), stand });
        self.job.as_ref()
    }

    /// Whether the disk says all of this, but for who has left.
    fn is_said(&self, stand: &Stand) -> bool {
        let same = |(name, new): (&String, &Stood)| {
            self.disk.get(name).is_some_and(|old| {
                (&old.means, old.kept) == (&new.means, new.kept) && (new.moving || !old.moving)
            })
        };
        stand.len() == self.disk.len() && stand.iter().all(same)
    }

    /// The job is done, or has failed.
    pub fn done(&mut self, done: bool, now: Instant) {
        let Some(job) = self.job.take() else { return };
        match (job, done) {
            (Job::Journal { why, stand, .. }, true) => {
                (self.disk, self.disk_why, self.unsure) = (stand, why, false);
            }
            (Job::Journal { stand, .. }, false) => {
                // It may be there nevertheless: what it says of who rests counts as said.
                let rests = stand.into_iter().filter(|s| !s.1.moving);
                self.disk.extend(rests);
                self.unsure = true;
            }
            (Job::Block { left, .. }, true) => {
                for (stood, left) in self.disk.values_mut().zip(left.iter().chain(repeat(&true))) {
                    stood.moving |= left;
                }
            }
            (Job::Block { .. }, false) => {}
        }
        if !done {
            self.next = now + LOOK_EVERY;
        }
        for index in 0..self.claims.len() {
            if !self.may_say_it_rests(&self.claims[index].name) {
                (self.claims[index].asked, self.claims[index].gave_up) = (None, false);
            }
        }
    }
}

#[cfg(test)]
#[path = "claims_tests.rs"]
mod tests;
