//! The barrier when things go wrong: aborts, resets, parties that die, actions that panic.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use shuttle::thread::yield_now;

use super::barrier::StepBarrier;
use super::prim::{Arc, AtomicBool, AtomicUsize, Ordering};
use super::ticket::{Ticket, TicketState};
use super::{AT_ANY_MOMENT, NEVER, cause, check, check_all, side_by_side, unanimous};
use crate::books::{BarrierError, BreakCause};

type Body<R> = Box<dyn FnOnce() -> R + Send>;

fn party(barrier: &StepBarrier) -> Body<Result<usize, BarrierError>> {
    let barrier = barrier.clone();
    Box::new(move || barrier.wait(NEVER))
}

/// A panic without the hook's lines in the test's output.
fn quiet_panic() -> ! {
    resume_unwind(Box::new("a fault"))
}

#[test]
fn an_abort_while_waiting_reaches_all() {
    check(|| {
        // One of the three never comes.
        let barrier = StepBarrier::new(3);
        let aborter = {
            let barrier = barrier.clone();
            shuttle::thread::spawn(move || barrier.abort())
        };
        let results = side_by_side(vec![party(&barrier), party(&barrier)]);
        aborter.join().unwrap();
        assert!(results.iter().all(|r| cause(r) == Some(BreakCause::Aborted)), "{results:?}");
        assert!(barrier.is_broken());
        assert_eq!(cause(&barrier.wait(NEVER)), Some(BreakCause::Aborted));
    });
}

#[test]
fn an_abort_releases_all_or_none() {
    check(|| {
        let barrier = StepBarrier::new(3).with_action(yield_now);
        let aborter = {
            let barrier = barrier.clone();
            shuttle::thread::spawn(move || barrier.abort())
        };
        let results = side_by_side(vec![party(&barrier), party(&barrier), party(&barrier)]);
        aborter.join().unwrap();
        if !unanimous(&results) {
            assert!(results.iter().all(|r| cause(r) == Some(BreakCause::Aborted)), "{results:?}");
        }
        assert!(barrier.is_broken());
    });
}

/// Two of three parties are here. The last arrives while `fault` strikes: either all are released
/// or none is, in every order there is.
fn the_last_arrives_against(fault: fn(&StepBarrier, &mut Option<Ticket>)) {
    let barrier = StepBarrier::new(3).with_action(yield_now);
    let first = barrier.arrive().unwrap();
    let mut second = Some(barrier.arrive().unwrap());
    let last = {
        let barrier = barrier.clone();
        shuttle::thread::spawn(move || barrier.arrive().map(|ticket| ticket.poll()))
    };
    fault(&barrier, &mut second);
    let last = last.join().unwrap();
    match first.poll() {
        TicketState::Released(index) => {
            assert_eq!((index, last), (0, Ok(TicketState::Released(2))));
            assert!(second.is_none_or(|ticket| ticket.poll() == TicketState::Released(1)));
        }
        TicketState::Broken(breakage) => {
            assert_eq!(last, Err(BarrierError::Broken(breakage)));
            assert!(second.is_none_or(|ticket| ticket.poll() == TicketState::Broken(breakage)));
        }
        TicketState::Waiting => panic!("undecided"),
    }
}

#[test]
fn an_abort_against_the_last_arrival_in_every_order() {
    check_all(|| the_last_arrives_against(|barrier, _| barrier.abort()));
}

#[test]
fn a_time_out_against_the_last_arrival_in_every_order() {
    check_all(|| {
        the_last_arrives_against(|barrier, _| {
            barrier.expire();
        })
    });
    check_all(|| {
        the_last_arrives_against(|_, ticket| {
            let _ = ticket.as_ref().map(Ticket::expire);
        })
    });
}

#[test]
fn a_party_that_goes_against_the_last_arrival_in_every_order() {
    check_all(|| the_last_arrives_against(|_, ticket| *ticket = None));
}

/// Whoever is thrown out by a reset comes again; in the end all meet.
#[test]
fn a_reset_sends_the_waiting_away_and_lets_them_come_again() {
    check(|| {
        let barrier = StepBarrier::new(3);
        let stubborn = || -> Body<Result<usize, BarrierError>> {
            let barrier = barrier.clone();
            Box::new(move || {
                loop {
                    let result = barrier.wait(NEVER);
                    match cause(&result) {
                        Some(cause) => assert_eq!(cause, BreakCause::Reset),
                        None => return result,
                    }
                }
            })
        };
        let resetter = {
            let barrier = barrier.clone();
            shuttle::thread::spawn(move || {
                barrier.reset();
                barrier.reset();
            })
        };
        let results = side_by_side(vec![stubborn(), stubborn(), stubborn()]);
        resetter.join().unwrap();
        assert!(unanimous(&results));
        assert!(!barrier.is_broken());
    });
}

#[test]
fn a_broken_barrier_is_whole_after_a_reset() {
    check(|| {
        let barrier = StepBarrier::new(2);
        barrier.abort();
        let resetter = {
            let barrier = barrier.clone();
            shuttle::thread::spawn(move || barrier.reset())
        };
        let early = barrier.wait(AT_ANY_MOMENT);
        assert!(early.is_err(), "{early:?}");
        resetter.join().unwrap();
        barrier.reset();
        assert!(unanimous(&side_by_side(vec![party(&barrier), party(&barrier)])));
    });
}

/// A party that arrives and then panics: its ticket is dropped while its stack unwinds. Returns
/// its arrival index.
fn dying(barrier: &StepBarrier) -> Body<Result<usize, BarrierError>> {
    let barrier = barrier.clone();
    Box::new(move || {
        let ticket = barrier.arrive()?;
        let index = ticket.index();
        let result = catch_unwind(AssertUnwindSafe(move || {
            let _ticket = ticket;
            quiet_panic()
        }));
        assert!(result.is_err());
        Ok(index)
    })
}

#[test]
fn a_party_that_panics_never_holds_the_others() {
    check(|| {
        // One of the four never comes, so nobody can be released.
        let barrier = StepBarrier::new(4);
        let results = side_by_side(vec![party(&barrier), dying(&barrier), party(&barrier)]);
        assert!(results[1].is_ok(), "it arrived: nothing was broken before it died");
        for other in [&results[0], &results[2]] {
            assert_eq!(cause(other), Some(BreakCause::PartyGone));
        }
        assert!(barrier.is_broken());
    });
}

#[test]
fn a_party_that_panics_around_the_release_spoils_it_for_all_or_none() {
    check(|| {
        let barrier = StepBarrier::new(3);
        let results = side_by_side(vec![party(&barrier), party(&barrier), dying(&barrier)]);
        let (others, dead) = results.split_at(2);
        assert!(dead[0].is_ok(), "it arrived: nothing was broken before it died");
        if others.iter().any(Result::is_ok) {
            // All were there before it died.
            assert!(unanimous(&results));
            assert!(!barrier.is_broken());
        } else {
            assert!(others.iter().all(|r| cause(r) == Some(BreakCause::PartyGone)), "{results:?}");
        }
    });
}

/// The party that runs the action gets the panic as an error, the others are told, and after a
/// reset the barrier and its action work again.
#[test]
fn an_action_that_panics_breaks_the_barrier_for_all() {
    check(|| {
        let runs = Arc::new(AtomicUsize::new(0));
        let barrier = StepBarrier::new(3).with_action({
            let runs = Arc::clone(&runs);
            move || {
                yield_now();
                if runs.fetch_add(1, Ordering::SeqCst) == 0 {
                    quiet_panic();
                }
            }
        });
        let results = side_by_side(vec![party(&barrier), party(&barrier), party(&barrier)]);
        let panicked = results.iter().filter(
            |r| matches!(r, Err(BarrierError::ActionPanicked { message }) if message == "a fault"),
        );
        assert_eq!(panicked.count(), 1, "{results:?}");
        let told = results.iter().filter(|r| cause(r) == Some(BreakCause::ActionPanicked));
        assert_eq!(told.count(), 2, "{results:?}");
        assert!(barrier.is_broken());

        barrier.reset();
        assert!(unanimous(&side_by_side(vec![party(&barrier), party(&barrier), party(&barrier)])));
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn an_action_may_abort_its_own_barrier() {
    check(|| {
        let barrier = StepBarrier::new(2);
        let barrier = barrier.clone().with_action({
            let inner = barrier.clone();
            move || {
                assert_eq!(inner.n_waiting(), 2);
                inner.abort();
            }
        });
        let results = side_by_side(vec![party(&barrier), party(&barrier)]);
        assert!(results.iter().all(|r| cause(r) == Some(BreakCause::Aborted)), "{results:?}");
    });
}

/// A generation breaks while its action runs, and after a reset the next fills: the action is
/// never run twice at a time, nobody waits for it, and nobody is released without it.
#[test]
fn an_action_never_runs_twice_at_a_time() {
    check(|| {
        let inside = Arc::new(AtomicBool::new(false));
        let barrier = StepBarrier::new(2).with_action({
            let inside = Arc::clone(&inside);
            move || {
                assert!(!inside.swap(true, Ordering::SeqCst), "twice at a time");
                yield_now();
                yield_now();
                inside.store(false, Ordering::SeqCst);
            }
        });
        let attempt = {
            let barrier = barrier.clone();
            // The four attempts fill two generations at most, and the second only if the first
            // broke. So where one is released, no action runs but an old one.
            move || match barrier.wait(AT_ANY_MOMENT) {
                Ok(_) => {
                    assert!(!inside.load(Ordering::SeqCst), "released beside an old action");
                    true
                }
                Err(_) => false,
            }
        };
        let (once, again) = (attempt.clone(), attempt.clone());
        let once = shuttle::thread::spawn(once);
        let again = shuttle::thread::spawn(move || again() || again());
        barrier.expire();
        barrier.reset();
        attempt();
        once.join().unwrap();
        again.join().unwrap();
        // The action came back from wherever it was.
        barrier.reset();
        assert!(unanimous(&side_by_side(vec![party(&barrier), party(&barrier)])));
    });
}
