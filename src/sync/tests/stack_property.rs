//! Any sequence of calls on a stack of positions, against a plain one.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;

use crate::sync::{Book, PositionBook, PositionError, WaitId};
use crate::units::Instant;

#[derive(Debug, Clone, Copy)]
enum Call {
    Push,
    /// The time-out in seconds.
    Pop(u64),
    Cancel(usize),
    Take(usize),
    Pass(u64),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = prop_oneof![
        5 => Just(Call::Push),
        5 => (0..9_u64).prop_map(Call::Pop),
        1 => any::<usize>().prop_map(Call::Cancel),
        2 => any::<usize>().prop_map(Call::Take),
        2 => (1..5_u64).prop_map(Call::Pass),
    ];
    prop::collection::vec(call, 0..80)
}

struct Wait {
    id: WaitId,
    until: u64,
    came_of_it: Option<Option<u32>>,
}

proptest! {
    #[test]
    fn last_in_first_out(capacity in 0_usize..4, calls in calls()) {
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let mut book = PositionBook::new(capacity);
        let (mut now, mut saved, mut waits) = (0, Vec::<u32>::new(), VecDeque::<Wait>::new());
        for (value, call) in (0_u32..).zip(calls) {
            match call {
                Call::Push => {
                    let result = book.push(value, at(now));
                    match waits.iter_mut().find(|w| w.came_of_it.is_none()) {
                        Some(first) => first.came_of_it = Some(Some(value)),
                        None if saved.len() >= capacity => {
                            prop_assert_eq!(result.unwrap_err().value, value);
                            continue;
                        }
                        None => saved.push(value),
                    }
                    prop_assert_eq!(result.unwrap(), saved.len());
                }
                Call::Pop(timeout) => {
                    let id = book.pop(Duration::from_secs(timeout), at(now)).unwrap();
                    let came_of_it = match saved.pop() {
                        None if timeout > 0 => None,
                        value => Some(value),
                    };
                    waits.push_back(Wait { id, until: now + timeout, came_of_it });
                }
                Call::Cancel(place) => if let Some(n) = place.checked_rem(waits.len()) {
                    let wait = waits.remove(n).unwrap();
                    book.cancel(wait.id, at(now));
                    if let Some(Some(value)) = wait.came_of_it {
                        match waits.iter_mut().find(|w| w.came_of_it.is_none()) {
                            Some(first) => first.came_of_it = Some(Some(value)),
                            None => {
                                saved.push(value);
                                // Pushed in this order once.
                                saved.sort_unstable();
                            }
                        }
                    }
                },
                Call::Take(place) => if let Some(n) = place.checked_rem(waits.len()) {
                    let got = book.take(waits[n].id);
                    let expected =
                        waits[n].came_of_it.map(|came| came.ok_or(PositionError::Empty));
                    prop_assert_eq!(&got, &expected);
                    if got.is_some() {
                        waits.remove(n);
                    }
                },
                Call::Pass(seconds) => {
                    now += seconds;
                    book.advance(at(now));
                    let late = |w: &&mut Wait| w.came_of_it.is_none() && w.until <= now;
                    waits.iter_mut().filter(late).for_each(|w| w.came_of_it = Some(None));
                }
            }
            prop_assert_eq!(book.len(), saved.len());
            prop_assert!(waits.iter().all(|w| book.is_settled(w.id) == w.came_of_it.is_some()));
        }
    }
}
