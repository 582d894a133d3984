//! Random sequences: whoever asks for whatever, whenever, what the service says is true.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::machines::KINDS;
use super::support::Dice;
use super::trial::{Trial, Wrong};
use crate::units::Instant;

/// So many failures end a campaign.
const FAILURES_MOST: usize = 5;

/// The virtual time in which requests are made.
const LONGEST: Duration = Duration::from_millis(3500);

/// One sequence. How long it was in virtual time, in nanoseconds.
fn sequence(seed: u64) -> Result<u64, String> {
    let dice = &mut Dice(seed);
    let kind = dice.pick(&KINDS);
    let unclean = dice.chance(4).then_some("the service was killed");
    let requests = match dice.below(10) {
        0..=5 => 2 + dice.below(12),
        6..=8 => 10 + dice.below(40),
        _ => 40 + dice.below(110),
    };
    let most = if dice.below(10) < 7 { 8.4 } else { 7.3 };
    let trial = Trial { config: &kind.config, rest: kind.rest, unclean, asks: dice.chance(20) };
    let done = trial.judge(|watched| {
        for _ in 0..1 + dice.below(3) {
            watched.connect();
        }
        for _ in 0..requests {
            if watched.now().as_nanos() > LONGEST.as_nanos() as u64 {
                break;
            }
            watched.one(dice, kind);
            match dice.below(10) {
                0..=2 => {}
                3 => watched.turn(Instant::FAR),
                _ => {
                    let pause = Duration::from_nanos(dice.size(4.0, most) as u64);
                    watched.run_until(watched.now() + pause);
                }
            }
        }
        match dice.below(4) {
            0 | 1 => watched.quiet(),
            2 => watched.run_until(watched.now() + Duration::from_millis(300)),
            _ => {}
        }
        watched.note("the end");
    });
    let told =
        |wrong: Wrong| format!("LOCKSTEP_SEED={seed}\n{}\n{}", wrong.log.join("\n"), wrong.what);
    Ok(done.map_err(told)?.end.as_nanos())
}

/// `LOCKSTEP_CASES=300000 LOCKSTEP_SEED=7 cargo test --release --lib any_sequence` does so many, from that seed on. A
/// failure prints its seed and what was said.
#[test]
fn any_sequence_of_requests_is_answered_truly_and_in_time() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("LOCKSTEP_SEED").unwrap_or(0);
    let cases = number("LOCKSTEP_CASES").unwrap_or(10_000);
    let (next, served) = (AtomicU64::new(first), AtomicU64::new(0));
    let failed = Mutex::new(Vec::new());
    let begun = std::time::Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + cases || failed.lock().unwrap().len() >= FAILURES_MOST {
                        break;
                    }
                    match sequence(seed) {
                        Ok(time) => {
                            served.fetch_add(time / 1_000_000, Ordering::Relaxed);
                        }
                        Err(text) => {
                            println!("{text}");
                            failed.lock().unwrap().push(seed);
                        }
                    }
                }
            });
        }
    });
    let (took, served) = (begun.elapsed(), served.into_inner() / 1000);
    println!("{cases} sequences from seed {first} in {took:?}: {served} s of service");
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "from the seeds {failed:?}: see above");
}
