//! The same at random instants of real time, with threads on the simulator: several machines at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lockstep::hal::Clock;
use lockstep::machine::Machine;

use super::machine::Run;
use crate::support::*;

/// Two quick axes with little travel, so that a move takes some tens of milliseconds.
fn quick(dice: &mut Dice) -> String {
    let mut text = String::new();
    for (name, step, dir) in [("a", 17, 27), ("b", 23, 24)] {
        let (speed, travel) = (dice.between(20.0, 100.0), dice.between(0.5, 3.0));
        let acceleration = speed * dice.size(1.0, 2.0);
        let jerk = acceleration * dice.size(1.0, 2.5);
        text += &format!(
            "[axis.{name}]\nstep = {{ gpio = {step} }}\ndir = {{ gpio = {dir} }}\ndriver = \"drv8825\"\n\
             steps-per-revolution = 200\nmicrosteps = 1\ndistance-per-revolution = \"2mm\"\n\
             travel = {{ min = \"-{travel:.3}mm\", max = \"{travel:.3}mm\" }}\n\
             max-speed = \"{speed:.3}mm/s\"\nmax-acceleration = \"{acceleration:.3}mm/s^2\"\n\
             max-jerk = \"{jerk:.3}mm/s^3\"\nat-start = {{ assume = \"0mm\" }}\n\n"
        );
    }
    text
}

static FAILED: AtomicBool = AtomicBool::new(false);

fn sequence(seed: u64) {
    let dice = &mut Dice(seed);
    let text = quick(dice);
    let zero = Clock::monotonic().now().as_nanos();
    let machine = Machine::builder(config(&text)).realtime(false).trace(true).build().unwrap();
    let mut run = Run::new(machine, Some(zero), (4.5, 7.5));
    let steps = 2 + dice.below(6);
    let done = catch_unwind(AssertUnwindSafe(|| {
        for _ in 0..steps {
            run.step(dice);
        }
    }));
    let log = run.log.clone();
    let done = done.and_then(|()| catch_unwind(AssertUnwindSafe(|| run.end(dice))));
    if let Err(panic) = done {
        println!("LOCKSTEP_SEED={seed}\n{text}{}", log.join("\n"));
        FAILED.store(true, Ordering::Relaxed);
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn any_sequence_in_real_time_keeps_the_count() {
    let seeds: Vec<u64> = seeds(1_000).collect();
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    if FAILED.load(Ordering::Relaxed) {
                        break;
                    }
                    sequence(seed);
                }
            });
        }
    });
}
