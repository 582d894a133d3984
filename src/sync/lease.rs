//! Leases on motors, between threads.

use std::fmt;

use super::book::{Pending, Shared};
use super::prim::Receiver;
use super::stop::StopEvent;
use crate::books::LeaseBook;
use crate::books::{
    ClientId, LeaseError, LeaseGrant, LeaseId, LeaseRequest, LeaseRules, LeaseToken, LostLease,
};
use crate::units::Instant;

/// The leases on a machine's motors, shared by threads. Clones are the same.
///
/// Who gets what, and when a lease ends, is told at [`LeaseBook`], on which this is built. Somebody
/// has to call [`take_lost`](Self::take_lost) and act on what it returns: until then nobody gets
/// the motors of a lost lease.
///
/// # Examples
///
/// ```
/// use lockstep::sync::{ClientId, LeaseError, LeaseRequest, Leases};
/// use std::time::Duration;
///
/// let leases = Leases::default();
/// let ask = |client, holder: &str| LeaseRequest {
///     client: ClientId(client),
///     holder: holder.to_string(),
///     motors: vec!["x".to_string(), "y".to_string()],
///     token: None,
///     timeout: Duration::from_millis(1),
///     heartbeat: None,
/// };
/// let outer = leases.take(ask(1, "paint.py"), None)?;
/// let inner = leases.take(ask(1, "paint.py"), None)?; // it nests
/// let refused = leases.take(ask(2, "scan.py"), None).unwrap_err();
/// assert_eq!(refused.to_string(), "busy: `x` is held by paint.py; `y` is held by paint.py");
///
/// drop(outer);
/// assert!(leases.may_use("x", ClientId(2), None).is_err());
/// // Whoever shows the token counts as the holder.
/// leases.may_use("x", ClientId(2), Some(inner.token()))?;
/// inner.release()?;
/// leases.may_use("x", ClientId(2), None)?;
/// # Ok::<(), LeaseError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Leases {
    shared: Shared<LeaseBook>,
}

impl Leases {
    /// No leases yet.
    pub fn new(rules: LeaseRules) -> Self {
        Leases { shared: Shared::new(LeaseBook::new(rules)) }
    }

    /// Takes a lease, and waits for it up to the request's time-out.
    ///
    /// # Errors
    ///
    /// Those of [`LeaseBook::take_motors`].
    pub fn take(
        &self,
        request: LeaseRequest,
        stop: Option<&StopEvent>,
    ) -> Result<Lease, LeaseError> {
        self.begin(request)?.wait(stop)
    }

    /// Begins to take a lease, without blocking.
    ///
    /// # Errors
    ///
    /// Those of [`LeaseBook::take_motors`] that are not about time.
    pub fn begin(&self, request: LeaseRequest) -> Result<LeaseWait, LeaseError> {
        let client = request.client;
        let pending = self.shared.begin(|book, now| book.take_motors(request, now))?;
        Ok(LeaseWait { pending, client, leases: self.clone() })
    }

    /// As [`LeaseBook::renew`]; for a lease of one's own [`Lease::renew`] does it.
    ///
    /// # Errors
    ///
    /// Those of [`LeaseBook::renew`].
    pub fn renew(
        &self,
        id: LeaseId,
        by: ClientId,
        token: Option<LeaseToken>,
    ) -> Result<Option<Instant>, LeaseError> {
        self.shared.with(|book, now| book.renew(id, by, token, now))
    }

    /// As [`LeaseBook::disconnect`].
    pub fn disconnect(&self, client: ClientId) {
        self.shared.with(|book, now| book.disconnect(client, now));
    }

    /// As [`LeaseBook::take_lost`].
    #[must_use = "the motors have to be brought to where the config wants them"]
    pub fn take_lost(&self) -> Vec<LostLease> {
        self.shared.with(LeaseBook::take_lost)
    }

    /// As [`LeaseBook::may_use`].
    ///
    /// # Errors
    ///
    /// Those of [`LeaseBook::may_use`].
    pub fn may_use(
        &self,
        motor: &str,
        client: ClientId,
        token: Option<LeaseToken>,
    ) -> Result<(), LeaseError> {
        self.shared.with(|book, _| book.may_use(motor, client, token))
    }
}

impl Default for Leases {
    fn default() -> Self {
        Leases::new(LeaseRules::default())
    }
}

/// A wait for a lease that has begun. If it is dropped it is taken back.
#[derive(Debug)]
#[must_use = "a wait that is dropped is taken back"]
pub struct LeaseWait {
    pending: Pending<LeaseBook>,
    client: ClientId,
    leases: Leases,
}

impl LeaseWait {
    /// As [`Pending::is_settled`].
    pub fn is_settled(&self) -> bool {
        self.pending.is_settled()
    }

    /// As [`Pending::signal`].
    pub fn signal(&self) -> &Receiver<()> {
        self.pending.signal()
    }

    /// Blocks until the lease is there, by the request's time-out at the latest, or until `stop` is
    /// set.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Busy`], [`LeaseError::Stopped`], [`LeaseError::Disconnected`]
    pub fn wait(self, stop: Option<&StopEvent>) -> Result<Lease, LeaseError> {
        let LeaseWait { pending, client, leases } = self;
        let grant = pending.wait(stop)?;
        Ok(Lease { leases, client, grant, ended: false })
    }
}

/// A lease on motors, held by a thread. Dropping it releases it; if that happens because the thread
/// panics the lease is lost, as if its client had gone.
#[must_use = "a lease that is dropped is released"]
pub struct Lease {
    leases: Leases,
    client: ClientId,
    grant: LeaseGrant,
    ended: bool,
}

impl Lease {
    /// The number of the lease.
    pub fn id(&self) -> LeaseId {
        self.grant.id
    }

    /// What others show who may share the motors.
    pub fn token(&self) -> LeaseToken {
        self.grant.token
    }

    /// Keeps the lease for another heartbeat, and returns until when.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Ended`], if it was lost.
    pub fn renew(&self) -> Result<Option<Instant>, LeaseError> {
        self.leases.renew(self.grant.id, self.client, None)
    }

    /// Ends the lease, and returns the motors that nobody holds any more.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Ended`], if it was lost.
    pub fn release(mut self) -> Result<Vec<String>, LeaseError> {
        self.ended = true;
        let (id, client) = (self.grant.id, self.client);
        self.leases.shared.with(|book, now| book.release(id, client, now))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let (id, client) = (self.grant.id, self.client);
        let panics = std::thread::panicking();
        self.leases.shared.with(|book, now| match panics {
            true => book.abandon(id, now),
            // It may have been lost before, which is fine here.
            false => drop(book.release(id, client, now)),
        });
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("client", &self.client).field("grant", &self.grant).finish()
    }
}
