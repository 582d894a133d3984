//! Any sequence of calls on a book of rendezvous, against a plain description of what should be.

use std::time::Duration;

use proptest::prelude::*;

use crate::sync::{Book, BreakCause, RendezvousBook, RendezvousError, RendezvousRules, WaitId};
use crate::units::Instant;

const NAMES: [&str; 2] = ["m", "n"];
const KEEP_BROKEN: u64 = 12;

#[derive(Debug, Clone, Copy)]
enum Call {
    /// Which, for how many, the time-out in seconds.
    Join(usize, usize, u64),
    Cancel(usize),
    Abort(usize),
    Reset(usize),
    Pass(u64),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let name = || 0..NAMES.len();
    let parties = prop_oneof![5 => Just(3_usize), 1 => 1..4_usize];
    let call = prop_oneof![
        9 => (name(), parties, 0..20_u64).prop_map(|(n, p, t)| Call::Join(n, p, t)),
        1 => any::<usize>().prop_map(Call::Cancel),
        1 => name().prop_map(Call::Abort),
        2 => name().prop_map(Call::Reset),
        3 => (1..5_u64).prop_map(Call::Pass),
    ];
    prop::collection::vec(call, 0..60)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Came {
    Released(usize),
    TimedOut,
    Broken(BreakCause),
}

struct Party {
    id: WaitId,
    name: usize,
    parties: usize,
    until: u64,
    came: Option<Came>,
}

struct Expected {
    now: u64,
    parties: Vec<Party>,
    broken: [Option<(BreakCause, u64)>; 2],
}

impl Expected {
    fn open(&mut self, name: usize) -> Vec<&mut Party> {
        let open = |p: &&mut Party| p.name == name && p.came.is_none();
        self.parties.iter_mut().filter(open).collect()
    }

    fn break_all(&mut self, name: usize, cause: BreakCause) {
        self.open(name).into_iter().for_each(|p| p.came = Some(Came::Broken(cause)));
        if self.broken[name].is_none() {
            self.broken[name] = Some((cause, self.now + KEEP_BROKEN));
        }
    }

    fn expire(&mut self) {
        let now = self.now;
        for broken in &mut self.broken {
            *broken = broken.filter(|(_, until)| *until > now);
        }
        let late = |p: &&mut Party| p.came.is_none() && p.until <= now;
        while let Some(first) = self.parties.iter_mut().filter(late).min_by_key(|p| (p.until, p.id))
        {
            first.came = Some(Came::TimedOut);
            let name = first.name;
            self.break_all(name, BreakCause::TimedOut);
        }
    }
}

proptest! {
    #[test]
    fn all_meet_or_none(calls in calls()) {
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let keep_broken = Duration::from_secs(KEEP_BROKEN);
        let mut book =
            RendezvousBook::new(RendezvousRules { keep_broken, ..RendezvousRules::default() });
        let mut e = Expected { now: 0, parties: vec![], broken: [None; 2] };
        for call in calls {
            let now = e.now;
            match call {
                Call::Join(name, parties, timeout) => {
                    let result =
                        book.join(NAMES[name], parties, Duration::from_secs(timeout), at(now));
                    let waiting = e.open(name).first().map(|p| p.parties);
                    match (result, e.broken[name], waiting) {
                        (Err(RendezvousError::Broken { breakage, .. }), Some((cause, _)), _) => {
                            prop_assert_eq!(breakage.cause, cause);
                        }
                        (Err(RendezvousError::PartiesDiffer { expected, .. }), None, Some(n)) => {
                            prop_assert!(expected == n && parties != n);
                        }
                        (Ok(id), None, n) => {
                            prop_assert!(n.is_none_or(|n| n == parties));
                            let until = now + timeout;
                            e.parties.push(Party { id, name, parties, until, came: None });
                            let all = e.open(name);
                            if all.len() == parties {
                                for (index, party) in all.into_iter().enumerate() {
                                    party.came = Some(Came::Released(index));
                                }
                            }
                            e.expire();
                        }
                        (other, broken, _) => prop_assert!(false, "{:?} at {:?}", other, broken),
                    }
                }
                Call::Cancel(place) => if let Some(n) = place.checked_rem(e.parties.len()) {
                    let party = e.parties.remove(n);
                    book.cancel(party.id, at(now));
                    if party.came.is_none() {
                        e.break_all(party.name, BreakCause::PartyGone);
                    }
                },
                Call::Abort(name) => {
                    book.abort(NAMES[name], at(now)).unwrap();
                    e.break_all(name, BreakCause::Aborted);
                }
                Call::Reset(name) => {
                    book.reset(NAMES[name], at(now));
                    e.break_all(name, BreakCause::Reset);
                    e.broken[name] = None;
                }
                Call::Pass(seconds) => {
                    e.now += seconds;
                    book.advance(at(e.now));
                    e.expire();
                }
            }
            for (name, word) in NAMES.into_iter().enumerate() {
                let cause = book.breakage(word).map(|breakage| breakage.cause);
                prop_assert_eq!(cause, e.broken[name].map(|(cause, _)| cause));
                let open = e.open(name);
                let waiting = open.first().map(|first| (open.len(), first.parties));
                prop_assert_eq!(book.waiting(word), waiting);
            }
            for id in book.news() {
                let came = match book.take(id) {
                    None => None,
                    Some(Ok(index)) => Some(Came::Released(index)),
                    Some(Err(RendezvousError::TimedOut { .. })) => Some(Came::TimedOut),
                    Some(Err(RendezvousError::Broken { breakage, .. })) => {
                        Some(Came::Broken(breakage.cause))
                    }
                    Some(Err(other)) => panic!("{other}"),
                };
                let place = e.parties.iter().position(|p| p.id == id).unwrap();
                prop_assert_eq!(came, e.parties.remove(place).came);
            }
            prop_assert!(e.parties.iter().all(|p| p.came.is_none()), "someone was not told");
        }
    }
}
