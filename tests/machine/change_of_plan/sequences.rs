//! Random sequences in virtual time: the count is exact, every time, and `verify` finds nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::machine::Run;
use crate::support::*;

/// Seeds that failed. The run goes on, up to this many.
static FAILED: Mutex<Vec<u64>> = Mutex::new(Vec::new());
const FAILURES_MOST: usize = 5;

fn sequence(seed: u64) -> u64 {
    let dice = &mut Dice(seed);
    let (axes, servos) = match dice.below(8) {
        0 => (3, 0),
        1 => (1, 1),
        2 => (0, 1),
        3 | 4 => (1, 0),
        _ => (2, 0),
    };
    let text = random_machine(dice, axes, servos);
    let mut run = Run::new(virtual_machine(&text), None, (5.0, 9.0));
    let steps = 3 + dice.below(10);
    let done = catch_unwind(AssertUnwindSafe(|| {
        for _ in 0..steps {
            run.step(dice);
        }
    }));
    let log = run.log.clone();
    let done = done.and_then(|()| catch_unwind(AssertUnwindSafe(|| run.end(dice))));
    match done {
        Ok(time) => time,
        Err(_) => {
            println!("LOCKSTEP_SEED={seed}\n{text}{}", log.join("\n"));
            FAILED.lock().unwrap().push(seed);
            0
        }
    }
}

/// `LOCKSTEP_CASES=1000000 cargo test --release --test machine any_sequence` runs a million,
/// from `LOCKSTEP_SEED` on. A failure prints its seed, its machine and what was done.
#[test]
fn any_sequence_keeps_the_count_and_every_rule() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("LOCKSTEP_SEED").unwrap_or(0);
    let cases = number("LOCKSTEP_CASES").unwrap_or(10_000);
    let (next, moved) = (AtomicU64::new(first), AtomicU64::new(0));
    let begun = std::time::Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + cases || FAILED.lock().unwrap().len() >= FAILURES_MOST {
                        break;
                    }
                    moved.fetch_add(sequence(seed) / 1_000_000, Ordering::Relaxed);
                }
            });
        }
    });
    let (took, moved) = (begun.elapsed(), moved.into_inner() / 1000);
    println!("{cases} sequences from seed {first} in {took:?}: {moved} s of machine time");
    let failed = FAILED.lock().unwrap();
    assert!(failed.is_empty(), "from the seeds {failed:?}: see above");
}
