//! Leases on motors: who holds what, who waits, who lost.

use super::Book;
use super::lease_terms::{
    ClientId, HeldBy, HeldMotor, LeaseError, LeaseGrant, LeaseId, LeaseRequest, LeaseRules,
    LeaseToken, LossCause, LostLease,
};
use super::waiters::{Wait, WaitId, Waiters};
use crate::units::Instant;

/// The leases on a machine's motors: the state machine behind [`Leases`](crate::sync::Leases), without any
/// waiting. See [`Book`] for how to drive it.
///
/// - A lease is on a set of motors, all or none. Who can't have all of them at once waits without
///   any, up to its time-out.
/// - Nobody is passed over: a motor for which someone waits goes to nobody who came later. The
///   exception is a holder for whose motors the other waits, itself or behind others: it would wait
///   for itself. Only two holders who each want a motor of the other's can block each other, up to
///   their time-outs: so take all that is needed at once.
/// - A holder may take its motors again. Each lease is released on its own, and a motor is free when
///   the last lease on it is. Whoever shows the holder's token counts as the holder.
/// - A lease ends when it is released, when it is not renewed within its heartbeat, and when its
///   client goes. The last two lose it: nobody gets its motors until the loss has been
///   [collected](Self::take_lost) and acted upon.
///
/// # Examples
///
/// ```
/// use lockstep::sync::{Book, ClientId, LeaseBook, LeaseError, LeaseRequest, LeaseRules};
/// use lockstep::units::Instant;
/// use std::time::Duration;
///
/// let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
/// let ask = |client, motors: &[&str]| LeaseRequest {
///     client: ClientId(client),
///     holder: format!("client {client}"),
///     motors: motors.iter().map(|m| m.to_string()).collect(),
///     token: None,
///     timeout: Duration::from_secs(5),
///     heartbeat: Some(Duration::from_secs(2)),
/// };
/// let mut book = LeaseBook::new(LeaseRules::default());
/// let one = book.take_motors(ask(1, &["x", "y"]), at(0))?;
/// let grant = book.take(one).expect("nobody else is here")?;
///
/// let two = book.take_motors(ask(2, &["y", "z"]), at(1))?;
/// assert!(!book.is_settled(two));
/// let refused = book.may_use("y", ClientId(2), None).unwrap_err();
/// assert_eq!(refused.to_string(), "busy: `y` is held by client 1");
///
/// // Client 1 does not renew its lease.
/// let lost = book.take_lost(at(2));
/// assert_eq!(lost[0].motors, ["x", "y"]);
/// assert_eq!(book.release(grant.id, ClientId(1), at(2)), Err(LeaseError::Ended(grant.id)));
/// assert!(book.is_settled(two));
/// # Ok::<(), LeaseError>(())
/// ```
#[derive(Debug)]
pub struct LeaseBook {
    rules: LeaseRules,
    next: u64,
    /// The oldest first.
    leases: Vec<Held>,
    lost: Vec<LostLease>,
    waiters: Waiters<Wanted, Result<LeaseGrant, LeaseError>>,
}

#[derive(Debug)]
struct Held {
    request: LeaseRequest,
    grant: LeaseGrant,
}

#[derive(Debug)]
struct Wanted {
    request: LeaseRequest,
    /// The holder, whoever of those who share the token asks.
    token: LeaseToken,
}

impl LeaseBook {
    /// A book without leases.
    pub fn new(rules: LeaseRules) -> Self {
        LeaseBook {
            rules,
            next: 1,
            leases: Vec::new(),
            lost: Vec::new(),
            waiters: Waiters::new(rules.max_waits),
        }
    }

    /// Begins to take a lease. It is settled at once if the motors are free, or if the time-out is
    /// zero. A motor that is named twice is one motor.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Count`], [`LeaseError::NoHeartbeat`], [`LeaseError::NoSuchToken`],
    /// [`LeaseError::TooMany`]; and later [`LeaseError::Busy`], [`LeaseError::Stopped`],
    /// [`LeaseError::Disconnected`].
    pub fn take_motors(
        &mut self,
        mut request: LeaseRequest,
        now: Instant,
    ) -> Result<WaitId, LeaseError> {
        self.advance(now);
        let LeaseRules { max_motors, max_leases, .. } = self.rules;
        let mut motors: Vec<String> = Vec::new();
        for motor in std::mem::take(&mut request.motors) {
            if !motors.contains(&motor) {
                motors.push(motor);
            }
        }
        if motors.is_empty() || motors.len() > max_motors {
            return Err(LeaseError::Count { motors: motors.len(), max: max_motors });
        }
        request.motors = motors;
        if request.heartbeat.is_some_and(|heartbeat| heartbeat.is_zero()) {
            return Err(LeaseError::NoHeartbeat);
        }
        let token = self.token_of(&request)?;
        if self.leases.len() + self.lost.len() >= max_leases {
            return Err(LeaseError::TooMany { max: max_leases });
        }
        let deadline = now + request.timeout;
        let max = self.waiters.most();
        let id = self
            .waiters
            .add(deadline, Wanted { request, token })
            .ok_or(LeaseError::TooMany { max })?;
        self.serve(now);
        self.advance(now);
        Ok(id)
    }

    /// The token that stands for the holder: the one that was shown, that of the client's own
    /// leases and waits, or a new one.
    fn token_of(&self, request: &LeaseRequest) -> Result<LeaseToken, LeaseError> {
        if let Some(token) = request.token {
            let known = self.leases.iter().any(|held| held.grant.token == token);
            return if known { Ok(token) } else { Err(LeaseError::NoSuchToken) };
        }
        let own = |r: &LeaseRequest| r.client == request.client && r.token.is_none();
        let held = self.leases.iter().find(|held| own(&held.request)).map(|h| h.grant.token);
        let waits = || self.waiters.open().find(|(_, w)| own(&w.request)).map(|(_, w)| w.token);
        Ok(held.or_else(waits).unwrap_or_else(LeaseToken::random))
    }

    /// Ends a lease. The motors that nobody holds any more go to those who wait, and are returned.
    ///
    /// # Errors
    ///
    /// [`LeaseError::NotYours`], [`LeaseError::Ended`]
    pub fn release(
        &mut self,
        id: LeaseId,
        by: ClientId,
        now: Instant,
    ) -> Result<Vec<String>, LeaseError> {
        self.advance(now);
        let place = self.place_of(id)?;
        if self.leases[place].request.client != by {
            let holder = self.leases[place].request.holder.clone();
            return Err(LeaseError::NotYours { id, holder });
        }
        let freed = self.end(place).request.motors;
        let freed = self.not_held(freed);
        self.serve(now);
        Ok(freed)
    }

    /// Keeps a lease for another heartbeat from now on, and returns until when; none if it needs no
    /// renewal. Whoever shares the lease by its token may do it, too.
    ///
    /// # Errors
    ///
    /// [`LeaseError::NotYours`]; [`LeaseError::Ended`], also if it was lost just now: a lost lease
    /// does not come back.
    pub fn renew(
        &mut self,
        id: LeaseId,
        by: ClientId,
        token: Option<LeaseToken>,
        now: Instant,
    ) -> Result<Option<Instant>, LeaseError> {
        self.advance(now);
        let place = self.place_of(id)?;
        let Held { request, grant } = &mut self.leases[place];
        if request.client != by && token != Some(grant.token) {
            return Err(LeaseError::NotYours { id, holder: request.holder.clone() });
        }
        grant.renew_by = request.heartbeat.map(|heartbeat| now + heartbeat);
        Ok(grant.renew_by)
    }

    /// Ends all that a client has: its leases are lost, and its waits are settled with
    /// [`LeaseError::Disconnected`].
    pub fn disconnect(&mut self, client: ClientId, now: Instant) {
        self.advance(now);
        while let Some(place) = self.leases.iter().position(|h| h.request.client == client) {
            self.lose(place, LossCause::Disconnected);
        }
        let waits = self.waiters.open().filter(|(_, w)| w.request.client == client);
        for id in waits.map(|(id, _)| id).collect::<Vec<_>>() {
            self.waiters.settle(id, Err(LeaseError::Disconnected));
        }
        self.serve(now);
    }

    /// Ends one lease as [`disconnect`](Self::disconnect) would: its motors are lost.
    pub fn abandon(&mut self, id: LeaseId, now: Instant) {
        self.advance(now);
        if let Ok(place) = self.place_of(id) {
            self.lose(place, LossCause::Disconnected);
        }
    }

    /// The leases that were lost since this was called last, the oldest first. From now on others
    /// can have their motors: so act on each before you do anything else.
    #[must_use = "the motors have to be brought to where the config wants them"]
    pub fn take_lost(&mut self, now: Instant) -> Vec<LostLease> {
        self.advance(now);
        let lost = std::mem::take(&mut self.lost);
        self.serve(now);
        lost
    }

    /// Whether a client, or one who shows a token, may use a motor now: nobody else holds it.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Busy`], which names the holder.
    pub fn may_use(
        &self,
        motor: &str,
        client: ClientId,
        token: Option<LeaseToken>,
    ) -> Result<(), LeaseError> {
        let Some(held) = self.holder_of(motor) else {
            return Ok(());
        };
        let family = held.grant.token;
        let own = |h: &Held| h.grant.token == family && h.request.client == client;
        if token == Some(family) || self.leases.iter().any(own) {
            return Ok(());
        }
        let by = HeldBy::Holder(held.request.holder.clone());
        Err(LeaseError::Busy { held: vec![HeldMotor { motor: motor.to_string(), by }] })
    }

    /// The leases there are, the oldest first: number, holder's name, motors.
    pub fn leases(&self) -> impl Iterator<Item = (LeaseId, &str, &[String])> {
        let leases = self.leases.iter();
        leases.map(|h| (h.grant.id, h.request.holder.as_str(), h.request.motors.as_slice()))
    }

    fn place_of(&self, id: LeaseId) -> Result<usize, LeaseError> {
        let place = self.leases.iter().position(|held| held.grant.id == id);
        place.ok_or(LeaseError::Ended(id))
    }

    /// The oldest lease on a motor.
    fn holder_of(&self, motor: &str) -> Option<&Held> {
        self.leases.iter().find(|held| has(&held.request.motors, motor))
    }

    fn not_held(&self, mut motors: Vec<String>) -> Vec<String> {
        motors.retain(|motor| self.holder_of(motor).is_none());
        motors
    }

    fn end(&mut self, place: usize) -> Held {
        self.leases.remove(place)
    }

    fn lose(&mut self, place: usize, cause: LossCause) {
        let Held { request, grant } = self.end(place);
        let LeaseRequest { client, holder, motors, .. } = request;
        let motors = self.not_held(motors);
        self.lost.push(LostLease { id: grant.id, client, holder, motors, cause });
    }

    /// Gives those who wait what they can have, the first to come first.
    fn serve(&mut self, now: Instant) {
        let ids: Vec<_> = self.waiters.open().map(|(id, _)| id).collect();
        for id in ids {
            let room = self.leases.len() + self.lost.len() < self.rules.max_leases;
            if !room || !self.in_the_way(id).is_empty() {
                continue;
            }
            let Some(wanted) = self.waiters.wanted(id) else {
                continue;
            };
            let (request, token) = (wanted.request.clone(), wanted.token);
            let renew_by = request.heartbeat.map(|heartbeat| now + heartbeat);
            let grant = LeaseGrant { id: LeaseId(self.next), token, renew_by };
            self.next += 1;
            self.leases.push(Held { request, grant });
            self.waiters.settle(id, Ok(grant));
        }
    }

    /// The motors that a wait can't have now, and why.
    fn in_the_way(&self, id: WaitId) -> Vec<HeldMotor> {
        let Some(wanted) = self.waiters.wanted(id) else {
            return Vec::new();
        };
        let motors = wanted.request.motors.iter();
        let reason = |motor: &String| {
            let by = self.obstacle(motor, wanted, id)?;
            Some(HeldMotor { motor: motor.clone(), by })
        };
        motors.filter_map(reason).collect()
    }

    fn obstacle(&self, motor: &str, wanted: &Wanted, id: WaitId) -> Option<HeldBy> {
        if let Some(held) = self.holder_of(motor) {
            let own = held.grant.token == wanted.token;
            return (!own).then(|| HeldBy::Holder(held.request.holder.clone()));
        }
        if let Some(lost) = self.lost.iter().find(|lost| has(&lost.motors, motor)) {
            return Some(HeldBy::Lost(lost.holder.clone()));
        }
        // Those who came before and want it, unless they can't have it before this one is done.
        let mut before = self.waiters.open().take_while(|(other, _)| *other != id);
        before
            .find(|(other, wait)| {
                let wants = has(&wait.request.motors, motor);
                wants && !self.waits_for(*other, wanted.token, &mut Vec::new())
            })
            .map(|(_, wait)| HeldBy::Queue(wait.request.holder.clone()))
    }

    /// Whether a wait can't be served before a holder has released something: it wants what that one
    /// holds, or what someone has or wants before it who waits for that holder in turn.
    fn waits_for(&self, id: WaitId, holder: LeaseToken, seen: &mut Vec<WaitId>) -> bool {
        if seen.contains(&id) {
            return false;
        }
        seen.push(id);
        let Some(wait) = self.waiters.wanted(id) else {
            return false;
        };
        wait.request.motors.iter().any(|motor| match self.holder_of(motor) {
            Some(held) if held.grant.token == wait.token => false,
            Some(held) if held.grant.token == holder => true,
            Some(held) => {
                let mut its = self.waiters.open().filter(|(_, w)| w.token == held.grant.token);
                its.any(|(other, _)| self.waits_for(other, holder, seen))
            }
            None => {
                let mut before = self.waiters.open().take_while(|(other, _)| *other != id);
                before.any(|(other, w)| {
                    has(&w.request.motors, motor) && self.waits_for(other, holder, seen)
                })
            }
        })
    }
}

fn has(motors: &[String], motor: &str) -> bool {
    motors.iter().any(|other| other == motor)
}

impl Book for LeaseBook {
    type Output = LeaseGrant;
    type Error = LeaseError;

    fn next_deadline(&self) -> Option<Instant> {
        let renewals = self.leases.iter().filter_map(|held| held.grant.renew_by);
        renewals.chain(self.waiters.next_deadline()).min()
    }

    fn advance(&mut self, now: Instant) {
        let late = |held: &Held| held.grant.renew_by.is_some_and(|renew_by| renew_by <= now);
        while let Some(place) = self.leases.iter().position(late) {
            self.lose(place, LossCause::MissedHeartbeat);
        }
        // What is in the way of each, before any of them is out of another's.
        let overdue = self.waiters.all_overdue(now);
        let overdue: Vec<_> = overdue.into_iter().map(|id| (id, self.in_the_way(id))).collect();
        if overdue.is_empty() {
            return;
        }
        for (id, held) in overdue {
            let error = match held.is_empty() {
                true => LeaseError::TooMany { max: self.rules.max_leases },
                false => LeaseError::Busy { held },
            };
            self.waiters.settle(id, Err(error));
        }
        self.serve(now);
    }

    fn news(&mut self) -> Vec<WaitId> {
        self.waiters.news()
    }

    fn is_settled(&self, id: WaitId) -> bool {
        self.waiters.is_settled(id)
    }

    fn take(&mut self, id: WaitId) -> Option<Result<LeaseGrant, LeaseError>> {
        self.waiters.take(id)
    }

    fn cancel(&mut self, id: WaitId, now: Instant) {
        self.advance(now);
        if let Some(Wait::Settled(Ok(grant))) = self.waiters.remove(id)
            && let Ok(place) = self.place_of(grant.id)
        {
            self.end(place);
        }
        self.serve(now);
    }

    fn stop(&mut self, id: WaitId, now: Instant) -> LeaseError {
        self.cancel(id, now);
        LeaseError::Stopped
    }
}
