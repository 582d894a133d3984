//! Any sequence of calls on a power budget: what must hold after each of them.

use std::time::Duration;

use proptest::prelude::*;

use crate::sync::{Book, GrantId, PowerBook, PowerError, PowerRules, WaitId};
use crate::units::Instant;

const BUDGET: u32 = 1000;
const MOTORS: [&str; 4] = ["x", "y", "z", "a"];

type Claims = Vec<(&'static str, u32)>;

#[derive(Debug, Clone)]
enum Call {
    /// The claims, and the time-out in milliseconds.
    Ask(Claims, u64),
    GiveBack(usize),
    GiveBackMotor(usize, &'static str),
    Cancel(usize),
    HoldBack(bool),
    /// Milliseconds.
    Pass(u64),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let motors = prop::sample::subsequence(MOTORS.to_vec(), 0..=MOTORS.len());
    let claims = (motors, prop::collection::vec(0..600_u32, 4))
        .prop_map(|(motors, currents)| motors.into_iter().zip(currents).collect::<Claims>());
    let call = prop_oneof![
        8 => (claims, 0..400_u64).prop_map(|(claims, t)| Call::Ask(claims, t)),
        3 => any::<usize>().prop_map(Call::GiveBack),
        3 => (any::<usize>(), prop::sample::select(&MOTORS[..]))
            .prop_map(|(place, motor)| Call::GiveBackMotor(place, motor)),
        1 => any::<usize>().prop_map(Call::Cancel),
        1 => any::<bool>().prop_map(Call::HoldBack),
        4 => (1..80_u64).prop_map(Call::Pass),
    ];
    prop::collection::vec(call, 0..60)
}

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

struct Bench {
    book: PowerBook,
    now: u64,
    waits: Vec<(WaitId, Claims, u64)>,
    have: Vec<(GrantId, Claims)>,
    held_back: bool,
    stagger: u64,
    /// When a motor was switched on last.
    started: Option<u64>,
}

impl Bench {
    fn current_of(&self, motor: &str) -> u32 {
        let claims = self.have.iter().flat_map(|(_, claims)| claims);
        claims.filter(|(other, _)| *other == motor).map(|(_, c)| *c).max().unwrap_or(0)
    }

    fn used(&self) -> u32 {
        MOTORS.map(|motor| self.current_of(motor)).iter().sum()
    }

    fn extra(&self, claims: &Claims) -> u32 {
        claims.iter().map(|(motor, c)| c.saturating_sub(self.current_of(motor))).sum()
    }

    fn see(&mut self) -> Result<(), TestCaseError> {
        for id in self.book.news() {
            let place = self.waits.iter().position(|(other, _, _)| *other == id).unwrap();
            let (_, claims, until) = self.waits.remove(place);
            match self.book.take(id).unwrap() {
                Ok(grant) => {
                    if self.extra(&claims) > 0 {
                        let mut before = self.waits[..place].iter();
                        prop_assert!(!before.any(|(_, c, _)| self.extra(c) > 0), "overtaken");
                        prop_assert!(!self.held_back);
                        let next = self.started.map_or(0, |started| started + self.stagger);
                        prop_assert!(self.now >= next, "too soon after the last");
                        self.started = Some(self.now);
                    }
                    self.have.push((grant, claims));
                }
                Err(error) => {
                    prop_assert!(matches!(error, PowerError::TimedOut { .. }), "{error}");
                    prop_assert!(until <= self.now);
                }
            }
        }
        prop_assert!(self.used() <= BUDGET);
        prop_assert_eq!(self.book.used(), u64::from(self.used()));
        // Whoever waits has a reason to, and time left.
        let next = self.started.map_or(0, |started| started + self.stagger);
        let mut starts = self.waits.iter().filter(|(_, c, _)| self.extra(c) > 0);
        if let Some((_, claims, _)) = starts.next() {
            let full = self.used() + self.extra(claims) > BUDGET;
            prop_assert!(full || self.held_back || self.now < next, "it waits for nothing");
            if !full && !self.held_back {
                prop_assert!(self.book.next_deadline().unwrap() <= at(next), "nobody wakes it");
            }
        }
        for (_, claims, until) in &self.waits {
            prop_assert!(*until > self.now && self.extra(claims) > 0);
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn the_budget_is_kept_in_order(calls in calls(), stagger in 0..60_u64) {
        let rules =
            PowerRules { stagger: Duration::from_millis(stagger), ..PowerRules::new(BUDGET) };
        let mut b = Bench {
            book: PowerBook::new(rules), now: 0, waits: vec![], have: vec![],
            held_back: false, stagger, started: None,
        };
        for call in calls {
            match call {
                Call::Ask(claims, timeout) => {
                    let needed: u32 = claims.iter().map(|(_, current)| current).sum();
                    let result = b.book.ask(&claims, Duration::from_millis(timeout), at(b.now));
                    if needed > BUDGET {
                        let needed = u64::from(needed);
                        let error = PowerError::NeverFits { needed, budget: BUDGET };
                        prop_assert_eq!(result, Err(error));
                    } else {
                        b.waits.push((result.unwrap(), claims, b.now + timeout));
                    }
                }
                Call::GiveBack(place) => if let Some(n) = place.checked_rem(b.have.len()) {
                    let (grant, _) = b.have.remove(n);
                    b.book.give_back(grant, at(b.now));
                    b.book.give_back(grant, at(b.now)); // which does nothing
                },
                Call::GiveBackMotor(place, motor) => {
                    if let Some(n) = place.checked_rem(b.have.len()) {
                        b.have[n].1.retain(|(other, _)| *other != motor);
                        b.book.give_back_motor(b.have[n].0, motor, at(b.now));
                    }
                }
                Call::Cancel(place) => if let Some(n) = place.checked_rem(b.waits.len()) {
                    let (id, _, _) = b.waits.remove(n);
                    b.book.cancel(id, at(b.now));
                },
                Call::HoldBack(held_back) => {
                    b.held_back = held_back;
                    b.book.hold_back(held_back, at(b.now));
                }
                Call::Pass(millis) => {
                    b.now += millis;
                    b.book.advance(at(b.now));
                }
            }
            b.see()?;
        }
        // When all is given back as it comes, each gets its share or its time-out.
        b.held_back = false;
        b.book.hold_back(false, at(b.now));
        b.see()?;
        while let Some(next) = b.book.next_deadline() {
            b.now = b.now.max(next.as_nanos() / 1_000_000);
            b.book.advance(at(b.now));
            b.see()?;
            for (grant, _) in b.have.clone() {
                b.have.retain(|(other, _)| *other != grant);
                b.book.give_back(grant, at(b.now));
                b.see()?;
            }
        }
        prop_assert!(b.waits.is_empty());
    }
}
