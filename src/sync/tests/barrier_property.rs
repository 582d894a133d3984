//! Any sequence of calls on a barrier, against a plain description of what it should do.

use std::time::Duration;

use proptest::prelude::*;

use crate::sync::{BarrierError, BreakCause, StepBarrier, Ticket, TicketState};

#[derive(Debug, Clone, Copy)]
enum Call {
    Arrive,
    /// Drops the ticket in this place of those that are left.
    Drop(usize),
    ExpireTicket(usize),
    Wait(usize),
    Abort,
    Expire,
    Reset,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = prop_oneof![
        8 => Just(Call::Arrive),
        1 => any::<usize>().prop_map(Call::Drop),
        1 => any::<usize>().prop_map(Call::ExpireTicket),
        1 => any::<usize>().prop_map(Call::Wait),
        1 => Just(Call::Abort),
        1 => Just(Call::Expire),
        3 => Just(Call::Reset),
    ];
    prop::collection::vec(call, 0..60)
}

/// What should be: each generation's verdict, by number.
#[derive(Default)]
struct Expected {
    verdicts: Vec<Option<Result<(), BreakCause>>>,
    arrived: usize,
    broken: Option<BreakCause>,
}

impl Expected {
    fn new() -> Self {
        Expected { verdicts: vec![None], ..Expected::default() }
    }

    fn generation(&self) -> usize {
        self.verdicts.len() - 1
    }

    fn settle(&mut self, verdict: Result<(), BreakCause>) {
        let generation = self.generation();
        self.verdicts[generation] = Some(verdict);
        self.verdicts.push(None);
        self.arrived = 0;
    }

    fn break_all(&mut self, cause: BreakCause) {
        if self.broken.is_none() {
            self.broken = Some(cause);
            if self.arrived > 0 {
                self.settle(Err(cause));
            }
        }
    }
}

proptest! {
    #[test]
    fn a_barrier_does_what_is_written(parties in 1_usize..5, calls in calls()) {
        let barrier = StepBarrier::new(parties);
        let mut expected = Expected::new();
        let mut tickets: Vec<(Ticket, usize)> = Vec::new();
        let pick = |place: usize, tickets: &Vec<_>| place.checked_rem(tickets.len());
        for call in calls {
            match call {
                Call::Arrive => match (barrier.arrive(), expected.broken) {
                    (Ok(ticket), None) => {
                        prop_assert_eq!(ticket.index(), expected.arrived);
                        tickets.push((ticket, expected.generation()));
                        expected.arrived += 1;
                        if expected.arrived == parties {
                            expected.settle(Ok(()));
                        }
                    }
                    (Err(BarrierError::Broken(breakage)), Some(cause)) => {
                        prop_assert_eq!(breakage.cause, cause);
                    }
                    (result, broken) => prop_assert!(false, "{:?} at {:?}", result, broken),
                },
                Call::Drop(place) => if let Some(place) = pick(place, &tickets) {
                    let (_, generation) = tickets.swap_remove(place);
                    if expected.verdicts[generation].is_none() {
                        expected.break_all(BreakCause::PartyGone);
                    }
                },
                Call::ExpireTicket(place) => if let Some(place) = pick(place, &tickets) {
                    let (ticket, generation) = &tickets[place];
                    let waits = expected.verdicts[*generation].is_none();
                    prop_assert_eq!(ticket.expire(), waits);
                    if waits {
                        expected.break_all(BreakCause::TimedOut);
                    }
                },
                Call::Wait(place) => if let Some(place) = pick(place, &tickets) {
                    let (ticket, generation) = &tickets[place];
                    let result = ticket.wait(Duration::ZERO);
                    match expected.verdicts[*generation] {
                        Some(Ok(())) => prop_assert_eq!(result, Ok(ticket.index())),
                        Some(Err(_)) => {
                            prop_assert!(matches!(result, Err(BarrierError::Broken(_))));
                        }
                        None => {
                            prop_assert_eq!(result, Err(BarrierError::TimedOut {
                                timeout: Duration::ZERO, arrived: expected.arrived, parties,
                            }));
                            expected.break_all(BreakCause::TimedOut);
                        }
                    }
                },
                Call::Abort => {
                    barrier.abort();
                    expected.break_all(BreakCause::Aborted);
                }
                Call::Expire => {
                    let waits = expected.broken.is_none() && expected.arrived > 0;
                    prop_assert_eq!(barrier.expire(), waits);
                    if waits {
                        expected.break_all(BreakCause::TimedOut);
                    }
                }
                Call::Reset => {
                    barrier.reset();
                    expected.break_all(BreakCause::Reset);
                    expected.broken = None;
                }
            }
            prop_assert_eq!(barrier.n_waiting(), expected.arrived);
            prop_assert_eq!(barrier.breakage().map(|b| b.cause), expected.broken);
            for (ticket, generation) in &tickets {
                let told = match ticket.poll() {
                    TicketState::Waiting => None,
                    TicketState::Released(index) => {
                        prop_assert_eq!(index, ticket.index());
                        Some(Ok(()))
                    }
                    TicketState::Broken(breakage) => Some(Err(breakage.cause)),
                };
                prop_assert_eq!(told, expected.verdicts[*generation]);
            }
        }
    }

    #[test]
    fn the_action_runs_once_in_each_generation(parties in 1_usize..5, generations in 0_usize..10) {
        let (ran, heard) = crossbeam_channel::unbounded();
        let barrier = StepBarrier::new(parties).with_action(move || { let _ = ran.send(()); });

        for arrival in 1..=generations * parties {
            let before = heard.len();
            // A ticket that waits must not be dropped, so it is forgotten.
            std::mem::forget(barrier.arrive());
            let ran = usize::from(arrival % parties == 0);
            prop_assert_eq!(heard.len() - before, ran);
        }
        prop_assert_eq!(heard.len(), generations);
    }
}
