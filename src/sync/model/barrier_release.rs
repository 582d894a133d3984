//! The barrier's release: all at once, once, after the action, generation after generation.

use shuttle::thread::yield_now;

use super::barrier::StepBarrier;
use super::prim::{Arc, AtomicUsize, Ordering};
use super::ticket::{Ticket, TicketState};
use super::{AT_ANY_MOMENT, NEVER, cause, check, check_all, side_by_side, unanimous};
use crate::books::{BarrierError, BreakCause};

type Body<R> = Box<dyn FnOnce() -> R + Send>;

fn party(barrier: &StepBarrier) -> Body<Result<usize, BarrierError>> {
    let barrier = barrier.clone();
    Box::new(move || barrier.wait(NEVER))
}

/// A motor's loop: it polls and does other work meanwhile.
fn polling(barrier: &StepBarrier) -> Body<Result<usize, BarrierError>> {
    let barrier = barrier.clone();
    Box::new(move || {
        let ticket = barrier.arrive()?;
        poll_through(&ticket)
    })
}

fn poll_through(ticket: &Ticket) -> Result<usize, BarrierError> {
    loop {
        match ticket.poll() {
            TicketState::Waiting => yield_now(),
            TicketState::Released(index) => return Ok(index),
            TicketState::Broken(breakage) => return Err(BarrierError::Broken(breakage)),
        }
    }
}

/// `n` parties, every other one polling; the action runs once and before anyone is released.
fn released_after_the_action(n: usize) {
    let (actions, released) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let barrier = StepBarrier::new(n).with_action({
        let (actions, released) = (Arc::clone(&actions), Arc::clone(&released));
        move || {
            yield_now();
            assert_eq!(released.load(Ordering::SeqCst), 0, "released before the action");
            actions.fetch_add(1, Ordering::SeqCst);
        }
    });
    let bodies = (0..n).map(|k| -> Body<Result<usize, BarrierError>> {
        let body = if k % 2 == 0 { party(&barrier) } else { polling(&barrier) };
        let (actions, released) = (Arc::clone(&actions), Arc::clone(&released));
        Box::new(move || {
            let index = body();
            released.fetch_add(1, Ordering::SeqCst);
            assert_eq!(actions.load(Ordering::SeqCst), 1, "released before the action");
            index
        })
    });
    assert!(unanimous(&side_by_side(bodies.collect())));
    assert_eq!(actions.load(Ordering::SeqCst), 1);
    assert_eq!(barrier.n_waiting(), 0);
    assert!(!barrier.is_broken());
}

#[test]
fn two_are_released_after_the_action() {
    check(|| released_after_the_action(2));
}

#[test]
fn three_are_released_after_the_action() {
    check(|| released_after_the_action(3));
}

#[test]
fn four_are_released_after_the_action() {
    check(|| released_after_the_action(4));
}

#[test]
fn two_are_released_in_every_order() {
    check_all(|| {
        let barrier = StepBarrier::new(2);
        assert!(unanimous(&side_by_side(vec![party(&barrier), party(&barrier)])));
    });
}

/// Four generations; nobody gets ahead of the others, and old tickets keep their verdict while
/// the generations' cells are used again.
fn generations(n: usize) {
    const GENERATIONS: usize = 4;
    let actions = Arc::new(AtomicUsize::new(0));
    let barrier = StepBarrier::new(n).with_action({
        let actions = Arc::clone(&actions);
        move || {
            actions.fetch_add(1, Ordering::SeqCst);
        }
    });
    let bodies = (0..n).map(|k| -> Body<Vec<usize>> {
        let (barrier, actions) = (barrier.clone(), Arc::clone(&actions));
        Box::new(move || {
            let mut kept = Vec::new();
            let mut indices = Vec::new();
            for generation in 1..=GENERATIONS {
                let ticket = barrier.arrive().unwrap();
                let index = if k == 0 { poll_through(&ticket) } else { ticket.wait(NEVER) };
                indices.push(index.unwrap());
                let seen = actions.load(Ordering::SeqCst);
                // The next one can't have run: it needs this party.
                assert_eq!(seen, generation);
                if k == 1 {
                    kept.push(ticket);
                }
            }
            for (ticket, index) in kept.iter().zip(&indices) {
                assert_eq!(ticket.poll(), TicketState::Released(*index));
            }
            indices
        })
    });
    let indices = side_by_side(bodies.collect());
    for generation in 0..GENERATIONS {
        let results: Vec<_> = indices.iter().map(|i| Ok(i[generation])).collect();
        assert!(unanimous(&results));
    }
    assert_eq!(actions.load(Ordering::SeqCst), GENERATIONS);
}

#[test]
fn two_meet_again_and_again() {
    check(|| generations(2));
}

#[test]
fn four_meet_again_and_again() {
    check(|| generations(4));
}

/// The time of all runs out, by the coordinator's clock, around the moment when the last arrives.
fn expire_while_the_last_arrives(with_action: bool) {
    let mut barrier = StepBarrier::new(3);
    if with_action {
        barrier = barrier.with_action(yield_now);
    }
    let coordinator = {
        let barrier = barrier.clone();
        shuttle::thread::spawn(move || barrier.expire())
    };
    let results = side_by_side(vec![party(&barrier), polling(&barrier), party(&barrier)]);
    let expired = coordinator.join().unwrap();
    assert_eq!(unanimous(&results), !expired, "{results:?}");
    assert_eq!(barrier.is_broken(), expired);
    if expired {
        assert!(results.iter().all(|r| cause(r) == Some(BreakCause::TimedOut)), "{results:?}");
    }
}

#[test]
fn all_agree_when_time_runs_out_while_the_last_arrives() {
    check(|| expire_while_the_last_arrives(false));
    check(|| expire_while_the_last_arrives(true));
}

#[test]
fn all_agree_when_their_own_time_runs_out() {
    check(|| {
        let barrier = StepBarrier::new(3).with_action(yield_now);
        let impatient = || -> Body<Result<usize, BarrierError>> {
            let barrier = barrier.clone();
            Box::new(move || barrier.wait(AT_ANY_MOMENT))
        };
        let results = side_by_side(vec![impatient(), impatient(), party(&barrier)]);
        if !unanimous(&results) {
            let timed_out =
                results.iter().filter(|r| matches!(r, Err(BarrierError::TimedOut { .. })));
            assert_eq!(timed_out.count(), 1, "{results:?}");
            let told = results.iter().filter(|r| cause(r) == Some(BreakCause::TimedOut));
            assert_eq!(told.count(), 2, "{results:?}");
            assert!(barrier.is_broken());
        }
    });
}

/// An old ticket's time-out comes late and must not break the generation that waits now.
#[test]
fn a_late_time_out_never_breaks_the_next_generation() {
    check(|| {
        let barrier = StepBarrier::new(2);
        let first = barrier.arrive().unwrap();
        let last = barrier.arrive().unwrap();
        let late = shuttle::thread::spawn(move || {
            assert!(!first.expire());
            drop(first);
        });
        let results = side_by_side(vec![party(&barrier), party(&barrier)]);
        assert!(unanimous(&results));
        late.join().unwrap();
        assert_eq!(last.poll(), TicketState::Released(1));
    });
}
