use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;

use super::{LONG, SHORT, takes};
use crate::sync::{BarrierError, BreakCause, Breakage, StepBarrier, Ticket, TicketState};

fn broken(cause: BreakCause, arrived: usize, parties: usize) -> BarrierError {
    BarrierError::Broken(Breakage { cause, arrived, parties })
}

#[test]
fn a_wait_times_out_not_before_its_time() {
    takes(SHORT, || {
        let barrier = StepBarrier::new(2);
        let error = barrier.wait(SHORT).unwrap_err();
        assert_eq!(error, BarrierError::TimedOut { timeout: SHORT, arrived: 1, parties: 2 });
        assert_eq!(barrier.wait(LONG), Err(broken(BreakCause::TimedOut, 1, 2)));
    });
}

#[test]
fn the_default_time_out_is_the_barriers_own() {
    takes(SHORT, || {
        let barrier = StepBarrier::new(3).with_timeout(SHORT);
        let first = barrier.arrive().unwrap();
        assert!(matches!(
            barrier.wait_default(),
            Err(BarrierError::TimedOut { timeout: SHORT, arrived: 2, parties: 3 })
        ));
        assert_eq!(first.wait(LONG), Err(broken(BreakCause::TimedOut, 2, 3)));
    });
}

#[test]
fn a_time_out_of_zero_takes_what_is_there() {
    let barrier = StepBarrier::new(2);
    assert!(matches!(barrier.wait(Duration::ZERO), Err(BarrierError::TimedOut { .. })));
    barrier.reset();
    let first = barrier.arrive().unwrap();
    assert_eq!(barrier.wait(Duration::ZERO), Ok(1));
    assert_eq!(first.wait(Duration::ZERO), Ok(0));
}

#[test]
fn a_time_out_beyond_the_clocks_range_is_no_trouble() {
    let barrier = StepBarrier::new(2);
    let other = thread::spawn({
        let barrier = barrier.clone();
        move || barrier.wait(Duration::MAX)
    });
    let mine = barrier.wait(Duration::MAX).unwrap();
    assert_eq!(mine + other.join().unwrap().unwrap(), 1);
}

#[test]
fn one_party_is_released_by_itself() {
    let barrier = StepBarrier::new(1);
    for _ in 0..3 {
        assert_eq!(barrier.wait(Duration::ZERO), Ok(0));
    }
    assert!(!barrier.expire());
}

#[test]
#[should_panic(expected = "at least one party")]
fn a_barrier_for_nobody_is_refused() {
    let _ = StepBarrier::new(0);
}

#[test]
fn a_thread_that_panics_with_a_ticket_breaks_the_barrier() {
    let barrier = StepBarrier::new(3);
    let waiting = barrier.arrive().unwrap();
    let dying = thread::spawn({
        let barrier = barrier.clone();
        move || {
            let _ticket = barrier.arrive().unwrap();
            panic!("on purpose");
        }
    });
    assert_eq!(waiting.wait(LONG), Err(broken(BreakCause::PartyGone, 2, 3)));
    assert!(dying.join().is_err());
    drop(waiting);

    barrier.reset();
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let barrier = barrier.clone();
            thread::spawn(move || barrier.wait(LONG).unwrap())
        })
        .collect();
    let indices: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
    assert_eq!(indices, 3);
}

/// A barrier of two whose action reports that it runs and hangs until it is told to go on.
struct Hanging {
    barrier: StepBarrier,
    first: Ticket,
    runner: thread::JoinHandle<Result<Ticket, BarrierError>>,
    go_on: crossbeam_channel::Sender<()>,
    runs: Arc<AtomicUsize>,
}

fn hanging() -> Hanging {
    let (running, is_running) = bounded(1);
    let (go_on, told) = bounded::<()>(0);
    let runs = Arc::new(AtomicUsize::new(0));
    let barrier = StepBarrier::new(2).with_action({
        let runs = Arc::clone(&runs);
        move || {
            runs.fetch_add(1, Ordering::SeqCst);
            let _ = running.send(());
            // Goes on when the other end is dropped.
            let _ = told.recv();
        }
    });
    let first = barrier.arrive().unwrap();
    let runner = thread::spawn({
        let barrier = barrier.clone();
        move || barrier.arrive()
    });
    is_running.recv().unwrap();
    Hanging { barrier, first, runner, go_on, runs }
}

#[test]
fn an_action_that_hangs_holds_nobody_but_its_own_thread() {
    let Hanging { barrier, first, runner, go_on, runs } = hanging();
    assert_eq!(barrier.n_waiting(), 2);
    assert_eq!(first.poll(), TicketState::Waiting);
    let error = BarrierError::TimedOut { timeout: SHORT, arrived: 2, parties: 2 };
    assert_eq!(first.wait(SHORT), Err(error));
    assert_eq!(barrier.arrive().unwrap_err(), broken(BreakCause::TimedOut, 2, 2));
    drop(go_on);
    assert_eq!(runner.join().unwrap().unwrap_err(), broken(BreakCause::TimedOut, 2, 2));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[test]
fn one_too_many_is_refused_and_the_others_are_released() {
    let Hanging { barrier, first, runner, go_on, .. } = hanging();
    assert_eq!(barrier.arrive().unwrap_err(), BarrierError::Full { parties: 2 });
    drop(go_on);
    assert_eq!(first.wait(LONG), Ok(0));
    assert_eq!(runner.join().unwrap().unwrap().poll(), TicketState::Released(1));
}

#[test]
fn a_generation_that_fills_while_an_old_action_hangs_is_broken() {
    let Hanging { barrier, first, runner, go_on, runs } = hanging();
    barrier.reset();
    assert_eq!(first.wait(LONG), Err(broken(BreakCause::Reset, 2, 2)));
    let next = barrier.arrive().unwrap();
    assert_eq!(barrier.arrive().unwrap_err(), broken(BreakCause::ActionBusy, 2, 2));
    assert_eq!(next.wait(LONG), Err(broken(BreakCause::ActionBusy, 2, 2)));
    drop(go_on);
    assert_eq!(runner.join().unwrap().unwrap_err(), broken(BreakCause::Reset, 2, 2));
    barrier.reset();
    let again = barrier.arrive().unwrap();
    assert_eq!(barrier.wait(LONG), Ok(1));
    assert_eq!(again.poll(), TicketState::Released(0));
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

#[test]
fn an_action_can_be_replaced_also_while_it_runs() {
    let Hanging { barrier, first, runner, go_on, runs } = hanging();
    let new_runs = Arc::new(AtomicUsize::new(0));
    let barrier = barrier.with_action({
        let new_runs = Arc::clone(&new_runs);
        move || {
            new_runs.fetch_add(1, Ordering::SeqCst);
        }
    });
    drop(go_on);
    assert_eq!(first.wait(LONG), Ok(0));
    assert!(runner.join().unwrap().is_ok());
    let again = barrier.arrive().unwrap();
    assert_eq!(barrier.wait(LONG), Ok(1));
    assert_eq!(again.poll(), TicketState::Released(0));
    assert_eq!((runs.load(Ordering::SeqCst), new_runs.load(Ordering::SeqCst)), (1, 1));
}

#[test]
fn a_panic_of_the_action_is_told_in_its_words() {
    let barrier = StepBarrier::new(2).with_action(|| panic!("no epoch for {} motors", 2));
    let first = barrier.arrive().unwrap();
    let error = barrier.arrive().unwrap_err();
    assert_eq!(error.to_string(), "the barrier's action panicked: no epoch for 2 motors");
    assert_eq!(first.wait(LONG), Err(broken(BreakCause::ActionPanicked, 2, 2)));
    // The one after a panic that is not text.
    let barrier = StepBarrier::new(1).with_action(|| std::panic::panic_any(7));
    assert_eq!(
        barrier.arrive().unwrap_err(),
        BarrierError::ActionPanicked { message: "(no text)".to_owned() }
    );
}

#[test]
fn the_errors_carry_the_facts() {
    let barrier = StepBarrier::new(3);
    let ticket = barrier.arrive().unwrap();
    assert!(barrier.expire());
    assert!(!barrier.expire());
    barrier.abort();
    assert_eq!(
        ticket.wait(LONG).unwrap_err().to_string(),
        "the barrier is broken: the time ran out; 1 of 3 parties had arrived"
    );
    assert_eq!(
        BarrierError::TimedOut { timeout: SHORT, arrived: 1, parties: 3 }.to_string(),
        "the barrier timed out: 1 of 3 parties had arrived after 20ms"
    );
    assert_eq!(
        BarrierError::Full { parties: 3 }.to_string(),
        "all 3 parties have arrived at the barrier already; make it for as many as use it"
    );
}

#[test]
fn threads_meet_thousands_of_times() {
    const PARTIES: usize = 4;
    const GENERATIONS: usize = 2_000;
    let actions = Arc::new(AtomicUsize::new(0));
    let barrier = StepBarrier::new(PARTIES).with_action({
        let actions = Arc::clone(&actions);
        move || {
            actions.fetch_add(1, Ordering::Relaxed);
        }
    });
    let threads: Vec<_> = (0..PARTIES)
        .map(|k| {
            let (barrier, actions) = (barrier.clone(), Arc::clone(&actions));
            thread::spawn(move || {
                let mut sum = 0;
                for generation in 1..=GENERATIONS {
                    let ticket = barrier.arrive().unwrap();
                    // Half of them poll for a while first.
                    for _ in 0..(k % 2) * 50 {
                        if ticket.poll() != TicketState::Waiting {
                            break;
                        }
                        thread::yield_now();
                    }
                    sum += ticket.wait(LONG).unwrap();
                    assert_eq!(actions.load(Ordering::Relaxed), generation);
                }
                sum
            })
        })
        .collect();
    let sum: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
    assert_eq!(sum, GENERATIONS * (PARTIES * (PARTIES - 1) / 2));
}

#[test]
fn barrier_and_ticket_go_to_any_thread() {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<StepBarrier>();
    is_send_and_sync::<Ticket>();
    assert_eq!(
        format!("{:?}", StepBarrier::new(2)),
        "StepBarrier { parties: 2, n_waiting: 0, breakage: None }"
    );
}
