//! Any sequence of events and waits, against a plain description of what should come of them.

use std::time::Duration;

use proptest::prelude::*;

use crate::sync::{Book, Delivery, EventBook, EventError, EventRules, WaitId};
use crate::units::Instant;

const GRACE: u64 = 10;
const NAMES: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone)]
enum Call {
    Trigger(usize),
    /// Which names, in which order; whether it consumes; its time-out in seconds.
    Wait(Vec<usize>, bool, u64),
    Cancel(usize),
    Take(usize),
    /// Seconds.
    Pass(u64),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let names = Just(vec![0, 1, 2]).prop_shuffle();
    let names = (names, 1..=3_usize).prop_map(|(names, n)| names[..n].to_vec());
    let call = prop_oneof![
        6 => (0..3_usize).prop_map(Call::Trigger),
        5 => (names, any::<bool>(), 0..30_u64).prop_map(|(n, c, t)| Call::Wait(n, c, t)),
        1 => any::<usize>().prop_map(Call::Cancel),
        2 => any::<usize>().prop_map(Call::Take),
        4 => (1..8_u64).prop_map(Call::Pass),
    ];
    prop::collection::vec(call, 0..60)
}

/// An event that somebody could still get.
#[derive(Debug, Clone, Copy)]
struct Event {
    name: usize,
    serial: u64,
    came: u64,
}

#[derive(Debug, Clone)]
struct Wait {
    id: WaitId,
    names: Vec<usize>,
    consumes: bool,
    since: u64,
    until: u64,
    /// The serial numbers it got, or the names that were missing.
    came_of_it: Option<Result<Vec<u64>, Vec<usize>>>,
    consumed: Vec<Event>,
}

#[derive(Default)]
struct Expected {
    now: u64,
    events: Vec<Event>,
    waits: Vec<Wait>,
}

impl Expected {
    fn find(&self, name: usize, wait: &Wait) -> Option<Event> {
        let fresh = |e: &&Event| e.came >= wait.since || wait.since - e.came < GRACE;
        self.events.iter().filter(|e| e.name == name).find(fresh).copied()
    }

    fn serve(&mut self) {
        for consumes in [false, true] {
            for n in 0..self.waits.len() {
                let wait = &self.waits[n];
                if wait.consumes != consumes || wait.came_of_it.is_some() {
                    continue;
                }
                let found: Option<Vec<Event>> =
                    wait.names.iter().map(|name| self.find(*name, wait)).collect();
                if let Some(found) = found {
                    let serials: Vec<u64> = found.iter().map(|e| e.serial).collect();
                    if consumes {
                        self.events.retain(|e| !serials.contains(&e.serial));
                        self.waits[n].consumed = found;
                    }
                    self.waits[n].came_of_it = Some(Ok(serials));
                }
            }
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += seconds;
        self.expire();
    }

    fn expire(&mut self) {
        for n in 0..self.waits.len() {
            let wait = &self.waits[n];
            if wait.came_of_it.is_none() && wait.until <= self.now {
                let missing = wait.names.iter().copied();
                let missing = missing.filter(|name| self.find(*name, wait).is_none()).collect();
                self.waits[n].came_of_it = Some(Err(missing));
            }
        }
        let (now, waits) = (self.now, self.waits.clone());
        self.events.retain(|e| {
            let open = waits.iter().filter(|w| w.came_of_it.is_none());
            let mut wanted = open.filter(|w| w.names.contains(&e.name));
            now - e.came < GRACE || wanted.any(|w| e.came >= w.since || w.since - e.came < GRACE)
        });
    }
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

proptest! {
    #[test]
    fn events_go_where_they_should(calls in calls()) {
        let rules = EventRules { grace: Duration::from_secs(GRACE), ..EventRules::default() };
        let mut book = EventBook::new(rules);
        let mut expected = Expected::default();
        for (serial, call) in (0..).zip(calls) {
            let now = expected.now;
            match call {
                Call::Trigger(name) => {
                    let done = book.trigger(NAMES[name], serial.to_string(), at(now)).unwrap();
                    let open = |e: &Expected| {
                        e.waits.iter().filter(|w| w.came_of_it.is_none()).count()
                    };
                    let before = open(&expected);
                    let kept = expected.events.len();
                    expected.events.retain(|e| e.name != name);
                    prop_assert_eq!(done.replaced, expected.events.len() < kept);
                    expected.events.push(Event { name, serial, came: now });
                    expected.serve();
                    prop_assert_eq!(done.completed, before - open(&expected));
                    expected.expire();
                }
                Call::Wait(names, consumes, timeout) => {
                    let delivery = if consumes { Delivery::Consume } else { Delivery::Shared };
                    let words: Vec<_> = names.iter().map(|name| NAMES[*name]).collect();
                    let timeout_ = Duration::from_secs(timeout);
                    let id = book.wait(&words, delivery, timeout_, at(now)).unwrap();
                    expected.waits.push(Wait {
                        id, names, consumes, since: now, until: now + timeout,
                        came_of_it: None, consumed: Vec::new(),
                    });
                    expected.serve();
                    expected.expire();
                }
                Call::Pass(seconds) => {
                    expected.pass(seconds);
                    book.advance(at(expected.now));
                }
                Call::Cancel(place) => if let Some(n) = place.checked_rem(expected.waits.len()) {
                    let wait = expected.waits.remove(n);
                    book.cancel(wait.id, at(now));
                    for event in wait.consumed {
                        let newer = expected.events.iter().any(|e| e.name == event.name);
                        if !newer {
                            expected.events.push(event);
                        }
                    }
                    expected.serve();
                    expected.expire();
                },
                Call::Take(place) => if let Some(n) = place.checked_rem(expected.waits.len()) {
                    let got = book.take(expected.waits[n].id);
                    match &expected.waits[n].came_of_it {
                        None => prop_assert_eq!(got, None),
                        Some(Ok(serials)) => {
                            let data = got.unwrap().unwrap();
                            let data: Vec<u64> = data.iter().map(|d| d.parse().unwrap()).collect();
                            prop_assert_eq!(&data, serials);
                        }
                        Some(Err(missing)) => {
                            let missing: Vec<_> =
                                missing.iter().map(|name| NAMES[*name].to_string()).collect();
                            prop_assert_eq!(got, Some(Err(EventError::TimedOut { missing })));
                        }
                    }
                    if expected.waits[n].came_of_it.is_some() {
                        expected.waits.remove(n);
                    }
                },
            }
            let mut names: Vec<_> = expected.events.iter().map(|e| NAMES[e.name]).collect();
            let mut kept: Vec<_> = book.kept().collect();
            names.sort_unstable();
            kept.sort_unstable();
            prop_assert_eq!(kept, names);
            for wait in &expected.waits {
                prop_assert_eq!(book.is_settled(wait.id), wait.came_of_it.is_some());
            }
            let open = expected.waits.iter().filter(|w| w.came_of_it.is_none());
            prop_assert_eq!(book.next_deadline(), open.map(|w| at(w.until)).min());
        }
    }
}
