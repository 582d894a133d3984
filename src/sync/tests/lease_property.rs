//! Any sequence of calls on a book of leases: what must hold after each of them.

use std::time::Duration;

use proptest::prelude::*;

use crate::sync::{
    Book, ClientId, LeaseBook, LeaseError, LeaseGrant, LeaseRequest, LeaseRules, WaitId,
};
use crate::units::Instant;

const MOTORS: [&str; 4] = ["x", "y", "z", "a"];
const HEARTBEAT: u64 = 7;

#[derive(Debug, Clone)]
enum Call {
    /// Which client, which motors, whether with a heartbeat, the time-out in seconds.
    Take(u64, Vec<&'static str>, bool, u64),
    Release(usize, u64),
    Renew(usize),
    Disconnect(u64),
    Cancel(usize),
    Collect,
    Pass(u64),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let motors = prop::sample::subsequence(MOTORS.to_vec(), 1..=MOTORS.len()).prop_shuffle();
    let take = (0..4_u64, motors, any::<bool>(), 0..20_u64);
    let call = prop_oneof![
        8 => take.prop_map(|(client, motors, beats, t)| Call::Take(client, motors, beats, t)),
        4 => (any::<usize>(), 0..4_u64).prop_map(|(place, by)| Call::Release(place, by)),
        2 => any::<usize>().prop_map(Call::Renew),
        1 => (0..4_u64).prop_map(Call::Disconnect),
        1 => any::<usize>().prop_map(Call::Cancel),
        2 => Just(Call::Collect),
        3 => (1..5_u64).prop_map(Call::Pass),
    ];
    prop::collection::vec(call, 0..60)
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

#[derive(Debug, Clone)]
struct Wait {
    id: WaitId,
    client: u64,
    motors: Vec<&'static str>,
    until: u64,
}

#[derive(Debug, Clone)]
struct Have {
    grant: LeaseGrant,
    client: u64,
    motors: Vec<&'static str>,
    until: Option<u64>,
}

struct Bench {
    book: LeaseBook,
    now: u64,
    waits: Vec<Wait>,
    have: Vec<Have>,
    /// Motors whose loss was not collected.
    lost: Vec<&'static str>,
    beats: Vec<(WaitId, bool)>,
}

impl Bench {
    fn holds(&self, client: u64, motor: &str) -> bool {
        self.have.iter().any(|h| h.client == client && h.motors.contains(&motor))
    }

    fn is_held(&self, motor: &str) -> bool {
        self.have.iter().any(|h| h.motors.contains(&motor))
    }

    fn lose(&mut self, gone: impl Fn(&Have) -> bool) {
        let lost: Vec<_> = self.have.iter().filter(|h| gone(h)).cloned().collect();
        self.have.retain(|h| !gone(h));
        let motors = lost.iter().flat_map(|h| h.motors.clone());
        let mut motors: Vec<_> = motors.filter(|motor| !self.is_held(motor)).collect();
        motors.sort_unstable();
        motors.dedup();
        self.lost.extend(motors);
    }

    /// Sees what has been settled, and asserts that nobody was passed over.
    fn see(&mut self) -> Result<(), TestCaseError> {
        for id in self.book.news() {
            let place = self.waits.iter().position(|w| w.id == id).unwrap();
            let wait = self.waits.remove(place);
            match self.book.take(id).unwrap() {
                Ok(grant) => {
                    if self.have.iter().all(|h| h.client != wait.client) {
                        let overtaken = self.waits[..place]
                            .iter()
                            .any(|w| w.motors.iter().any(|m| wait.motors.contains(m)));
                        prop_assert!(!overtaken, "{:?} before {:?}", wait, self.waits);
                    }
                    let beats = self.beats.iter().any(|(w, beats)| *w == id && *beats);
                    let until = beats.then_some(self.now + HEARTBEAT);
                    prop_assert_eq!(grant.renew_by, until.map(at));
                    let Wait { client, motors, .. } = wait;
                    self.have.push(Have { grant, client, motors, until });
                }
                Err(LeaseError::Busy { held }) => {
                    prop_assert!(wait.until <= self.now && !held.is_empty());
                }
                Err(error) => prop_assert_eq!(error, LeaseError::Disconnected),
            }
        }
        Ok(())
    }

    fn holds_true(&self) -> Result<(), TestCaseError> {
        // One holder for each motor, and none for one that is lost.
        for motor in MOTORS {
            let mut clients: Vec<_> =
                self.have.iter().filter(|h| h.motors.contains(&motor)).map(|h| h.client).collect();
            clients.dedup();
            clients.sort_unstable();
            clients.dedup();
            prop_assert!(clients.len() <= 1, "{} is held by {:?}", motor, clients);
            let lost = self.lost.contains(&motor);
            prop_assert!(clients.is_empty() || !lost);
            for client in 0..4 {
                let may = clients.is_empty() || clients == [client];
                let told = self.book.may_use(motor, ClientId(client), None);
                prop_assert_eq!(told.is_ok(), may);
            }
        }
        // Whoever waits has a reason to, and time left.
        for (place, wait) in self.waits.iter().enumerate() {
            prop_assert!(wait.until > self.now);
            let reason = wait.motors.iter().any(|motor| {
                let others = self.is_held(motor) && !self.holds(wait.client, motor);
                let mut before = self.waits[..place].iter();
                others || self.lost.contains(motor) || before.any(|w| w.motors.contains(motor))
            });
            prop_assert!(reason, "{:?} waits for nothing", wait);
        }
        let leases: Vec<_> = self.book.leases().map(|(id, _, _)| id).collect();
        prop_assert_eq!(leases, self.have.iter().map(|h| h.grant.id).collect::<Vec<_>>());
        Ok(())
    }
}

proptest! {
    #[test]
    fn a_motor_has_one_holder_and_nobody_starves(calls in calls()) {
        let book = LeaseBook::new(LeaseRules::default());
        let mut b = Bench {
            book, now: 0, waits: vec![], have: vec![], lost: vec![], beats: vec![],
        };
        for call in calls {
            match call {
                Call::Take(client, motors, beats, timeout) => {
                    let request = LeaseRequest {
                        client: ClientId(client),
                        holder: client.to_string(),
                        motors: motors.iter().map(|m| m.to_string()).collect(),
                        token: None,
                        timeout: Duration::from_secs(timeout),
                        heartbeat: beats.then_some(Duration::from_secs(HEARTBEAT)),
                    };
                    let id = b.book.take_motors(request, at(b.now)).unwrap();
                    b.beats.push((id, beats));
                    b.waits.push(Wait { id, client, motors, until: b.now + timeout });
                }
                Call::Release(place, by) => if let Some(n) = place.checked_rem(b.have.len()) {
                    let Have { grant, client, motors, .. } = b.have[n].clone();
                    let result = b.book.release(grant.id, ClientId(by), at(b.now));
                    if client == by {
                        b.have.remove(n);
                        let mut freed = motors;
                        freed.retain(|motor| !b.is_held(motor));
                        prop_assert_eq!(result.unwrap(), freed);
                        let again = b.book.release(grant.id, ClientId(by), at(b.now));
                        prop_assert_eq!(again, Err(LeaseError::Ended(grant.id)));
                    } else {
                        let holder = client.to_string();
                        let error = LeaseError::NotYours { id: grant.id, holder };
                        prop_assert_eq!(result, Err(error));
                    }
                },
                Call::Renew(place) => if let Some(n) = place.checked_rem(b.have.len()) {
                    let now = b.now;
                    let have = &mut b.have[n];
                    have.until = have.until.map(|_| now + HEARTBEAT);
                    let client = ClientId(have.client);
                    let until = b.book.renew(have.grant.id, client, None, at(now));
                    prop_assert_eq!(until, Ok(have.until.map(at)));
                },
                Call::Disconnect(client) => {
                    b.book.disconnect(ClientId(client), at(b.now));
                    b.lose(|h| h.client == client);
                }
                Call::Cancel(place) => if let Some(n) = place.checked_rem(b.waits.len()) {
                    let wait = b.waits.remove(n);
                    b.book.cancel(wait.id, at(b.now));
                },
                Call::Collect => {
                    let lost = b.book.take_lost(at(b.now));
                    let mut lost: Vec<_> = lost.iter().flat_map(|l| l.motors.clone()).collect();
                    lost.sort_unstable();
                    b.lost.sort_unstable();
                    prop_assert_eq!(lost, std::mem::take(&mut b.lost));
                }
                Call::Pass(seconds) => {
                    b.now += seconds;
                    b.book.advance(at(b.now));
                    let now = b.now;
                    b.lose(|h| h.until.is_some_and(|until| until <= now));
                }
            }
            b.see()?;
            b.holds_true()?;
        }
        // When all that was given is released, round by round, everyone has had a turn. No time
        // passes, so none of the waits runs out.
        for round in 0.. {
            drop(b.book.take_lost(at(b.now)));
            b.lost.clear();
            b.see()?;
            if b.waits.is_empty() {
                break;
            }
            prop_assert!(round <= 60, "{:?} wait for ever", b.waits);
            for have in b.have.clone() {
                b.have.retain(|h| h.grant.id != have.grant.id);
                b.book.release(have.grant.id, ClientId(have.client), at(b.now)).unwrap();
                b.see()?;
            }
        }
    }
}
