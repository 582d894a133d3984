//! The types of this room under a model checker: shuttle runs the same source files on its own
//! threads, locks and atomics, and picks the order in which they take turns, thousands of times.
//!
//! A wait whose time-out is [`NEVER`] never times out, so a lost wake-up shows as a deadlock. One
//! whose time-out is [`AT_ANY_MOMENT`] may time out whenever the checker likes.

// That is the point: the same files, on other locks.
#![allow(clippy::duplicate_mod)]

mod prim;

#[path = "../barrier.rs"]
#[allow(dead_code)]
mod barrier;
#[path = "../book.rs"]
#[allow(dead_code)]
mod book;
#[path = "../event_exchange.rs"]
#[allow(dead_code)]
mod event_exchange;
#[path = "../gate.rs"]
#[allow(dead_code)]
mod gate;
#[path = "../gather.rs"]
#[allow(dead_code)]
mod gather;
#[path = "../lease.rs"]
#[allow(dead_code)]
mod lease;
#[path = "../position_stack.rs"]
#[allow(dead_code)]
mod position_stack;
#[path = "../power_budget.rs"]
#[allow(dead_code)]
mod power_budget;
#[path = "../rendezvous.rs"]
#[allow(dead_code)]
mod rendezvous;
#[path = "../round.rs"]
mod round;
#[path = "../stop.rs"]
#[allow(dead_code)]
mod stop;
#[path = "../ticket.rs"]
#[allow(dead_code)]
mod ticket;

mod barrier_faults;
mod barrier_release;
mod event_models;
mod gate_models;
mod gather_models;
mod lease_models;
mod position_models;
mod power_models;
mod rendezvous_models;
mod stop_models;

use std::time::Duration;

use shuttle::Runner;
use shuttle::scheduler::DfsScheduler;

use crate::books::{BarrierError, BreakCause};

/// A time-out that the checker never lets run out.
const NEVER: Duration = Duration::from_secs(48 * 3600);

/// A time-out that the checker may let run out at any moment.
const AT_ANY_MOMENT: Duration = Duration::from_secs(1);

/// Tries a model with two schedulers: one that changes threads at random, and one that changes
/// them seldom, at three places, which finds deep orders faster.
fn check(model: fn()) {
    let model = move || {
        prim::start_model();
        model();
    };
    shuttle::check_random(model, 3_000);
    shuttle::check_pct(model, 3_000, 3);
}

/// Tries every order there is. Not for models with time-outs.
fn check_all(model: fn()) {
    const TOO_MANY: usize = 500_000;
    let runner = Runner::new(DfsScheduler::new(Some(TOO_MANY), false), Default::default());
    let orders = runner.run(move || {
        prim::start_model();
        model();
    });

    assert!((2..TOO_MANY).contains(&orders), "{orders} orders");
}

/// Runs each of `bodies` in its own thread and returns what they returned, in the same order.
fn side_by_side<R: Send + 'static>(bodies: Vec<Box<dyn FnOnce() -> R + Send>>) -> Vec<R> {
    let threads: Vec<_> = bodies.into_iter().map(shuttle::thread::spawn).collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// All released, with the arrival indices 0, 1, 2, ...; or none released. Returns which.
fn unanimous(results: &[Result<usize, BarrierError>]) -> bool {
    let mut released: Vec<usize> = results.iter().filter_map(|r| r.clone().ok()).collect();
    released.sort_unstable();
    if released.is_empty() {
        return false;
    }
    assert_eq!(released, (0..results.len()).collect::<Vec<_>>(), "not all alike: {results:?}");
    true
}

/// The cause, if the barrier broke under this party.
fn cause(result: &Result<usize, BarrierError>) -> Option<BreakCause> {
    match result {
        Err(BarrierError::Broken(breakage)) => Some(breakage.cause),
        _ => None,
    }
}
