//! The words in which leases are asked for, given and refused.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;
use std::time::Duration;

use crate::units::Instant;

/// The limits of a [`LeaseBook`](super::LeaseBook).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseRules {
    /// How many leases there may be at a time, lost ones that were not
    /// [collected](super::LeaseBook::take_lost) included. 128 by default.
    pub max_leases: usize,
    /// How many may wait at a time. 128 by default.
    pub max_waits: usize,
    /// How many motors one lease may name. 64 by default.
    pub max_motors: usize,
}

impl Default for LeaseRules {
    fn default() -> Self {
        LeaseRules { max_leases: 128, max_waits: 128, max_motors: 64 }
    }
}

/// Who asks: a client of the service, a thread. The caller gives the numbers and uses none twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// The number of a lease. Numbers are not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub(super) u64);

impl LeaseId {
    /// The lease with this number, as it came over the wire.
    pub const fn from_number(number: u64) -> Self {
        LeaseId(number)
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a holder hands to those who may share its motors: 32 hexadecimal digits.
///
/// It is drawn at random, so that nobody shares by mistake. It is no password: who may speak to the
/// machine at all is decided elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken(u128);

impl LeaseToken {
    pub(crate) fn random() -> Self {
        // The keys of the standard library's hash maps come from the system's random numbers.
        let keys = RandomState::new();
        let half = |n: u8| u128::from(keys.hash_one(n));
        LeaseToken(half(0) << 64 | half(1))
    }
}

impl fmt::Display for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for LeaseToken {
    /// Without the digits: tokens stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseToken(..)")
    }
}

impl FromStr for LeaseToken {
    type Err = LeaseError;

    fn from_str(text: &str) -> Result<Self, LeaseError> {
        let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        match u128::from_str_radix(text, 16) {
            Ok(number) if digits => Ok(LeaseToken(number)),
            _ => Err(LeaseError::NoSuchToken),
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRequest {
    /// Who asks.
    pub client: ClientId,
    /// What others are told about who holds the motors: `paint.py (pid 812)`.
    pub holder: String,
    /// The motors: all of them, or none.
    pub motors: Vec<String>,
    /// The token of a lease that this one is part of, if the client was handed one.
    pub token: Option<LeaseToken>,
    /// How long to wait for the motors; zero: not at all.
    pub timeout: Duration,
    /// The lease is lost if it is not renewed for so long; without one it needs no renewal.
    pub heartbeat: Option<Duration>,
}

/// What was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseGrant {
    /// The number to renew and release it by.
    pub id: LeaseId,
    /// Whoever shows this shares the motors.
    pub token: LeaseToken,
    /// It is lost at this instant, unless it is renewed before; none if it needs no renewal.
    pub renew_by: Option<Instant>,
}

/// A motor, and who has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldMotor {
    /// The motor.
    pub motor: String,
    /// In whose way it is.
    pub by: HeldBy,
}

/// Why a motor can't be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldBy {
    /// Someone has a lease on it.
    Holder(String),
    /// Someone who came before waits for it.
    Queue(String),
    /// The lease of someone was lost, and what the motor does then has not been settled.
    Lost(String),
}

impl fmt::Display for HeldMotor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HeldMotor { motor, by } = self;
        match by {
            HeldBy::Holder(name) => write!(f, "`{motor}` is held by {name}"),
            HeldBy::Queue(name) => write!(f, "{name} waits for `{motor}` already"),
            HeldBy::Lost(name) => write!(f, "{name} has just lost `{motor}`"),
        }
    }
}

/// Why a lease ended that was not released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LossCause {
    /// It was not renewed in time.
    MissedHeartbeat,
    /// Its client is gone.
    Disconnected,
}

impl fmt::Display for LossCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LossCause::MissedHeartbeat => "it was not renewed in time",
            LossCause::Disconnected => "its holder is gone",
        })
    }
}

/// A lease that ended without a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostLease {
    /// Which.
    pub id: LeaseId,
    /// Whose.
    pub client: ClientId,
    /// The holder's name.
    pub holder: String,
    /// The motors that nobody holds any more, in the order in which they were asked for. Not among
    /// them are those on which the holder, or one who shares, has another lease.
    pub motors: Vec<String>,
    /// Why.
    pub cause: LossCause,
}

/// Why there is no lease.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// The time ran out before all the motors were free. None was taken.
    #[error("busy: {}", busy(held))]
    Busy {
        /// The motors in the way and who has them; never empty.
        held: Vec<HeldMotor>,
    },
    /// A stop ended the wait. No motor was taken.
    #[error("a stop ended the wait for the lease")]
    Stopped,
    /// The client went while it waited.
    #[error("the client that waited for the lease is gone")]
    Disconnected,
    /// The lease is another's.
    #[error("lease {id} belongs to {holder}: only its holder can release or renew it")]
    NotYours {
        /// Which.
        id: LeaseId,
        /// Whose it is.
        holder: String,
    },
    /// There is no such lease: it was released, or lost.
    #[error("there is no lease {0}: it has ended")]
    Ended(LeaseId),
    /// No lease has this token: they have ended, or it was mistyped.
    #[error("no lease has this token: it has ended, or the token is wrong")]
    NoSuchToken,
    /// No motor, or too many, were asked for.
    #[error("{motors} motors to lease: name 1 to {max}")]
    Count {
        /// How many were named.
        motors: usize,
        /// How many may be.
        max: usize,
    },
    /// A heartbeat of no length.
    #[error("a lease with a heartbeat of 0s is lost at once: write a longer one")]
    NoHeartbeat,
    /// There are as many leases, or waits for them, as there may be.
    #[error("there are {max} leases already, more are not allowed: try again later")]
    TooMany {
        /// How many there may be.
        max: usize,
    },
}

fn busy(held: &[HeldMotor]) -> String {
    held.iter().map(HeldMotor::to_string).collect::<Vec<_>>().join("; ")
}
