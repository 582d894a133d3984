//! How long a step time and a plan take: `cargo bench --bench step_times`.

mod common;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::optimised;
use lockstep::motion::{Limits, Planner, State, StepTimes, Trajectory};

const LIMITS: Limits = Limits { speed: 100_000.0, acceleration: 1e6, jerk: 1e7 };

/// How long each is measured.
const LASTS: Duration = Duration::from_secs(2);

fn main() {
    if !optimised("step_times") {
        return;
    }
    println!("{:<46} {:>14} {:>14}", "", "ns each", "million a second");
    // At a steady speed for the most part, and never at a steady speed.
    for distance in [1_000_000_i64, 10_000] {
        let plan = Planner::new().plan_to(State::at_rest(0.0), distance as f64, LIMITS);
        let plan = Arc::new(plan.expect("these limits are possible"));
        time(&format!("step times of a motion of {distance} steps"), distance as u64, || {
            assert_eq!(count(black_box(&plan)), distance);
        });
    }
    let mut planner = Planner::new();
    let moving = State { position: 0.0, velocity: 12_345.0, acceleration: 67_890.0 };
    time("a plan from rest", 1, || {
        let _ = black_box(planner.plan_to(black_box(State::at_rest(0.0)), 1e4, LIMITS));
    });
    time("a plan from a motion", 1, || {
        let _ = black_box(planner.plan_to(black_box(moving), -1e4, LIMITS));
    });
    time("a plan to rest", 1, || {
        let _ = black_box(planner.plan_rest(black_box(moving), LIMITS));
    });
}

/// The mean over [`LASTS`] of what is done `each` times in one go.
fn time(name: &str, each: u64, mut go: impl FnMut()) {
    go();
    let begun = Instant::now();
    let mut done = 0;
    while begun.elapsed() < LASTS {
        // Reading the clock takes a part of a plan's time.
        for _ in 0..=(1_000 / each) {
            go();
            done += each;
        }
    }
    let nanos = begun.elapsed().as_nanos() as f64 / done as f64;
    println!("{name:<46} {nanos:>14.1} {:>14.2}", 1e3 / nanos);
}

fn count(trajectory: &Arc<Trajectory>) -> i64 {
    let mut steps = StepTimes::new(trajectory.clone(), 0);
    while let Some(due) = steps.peek() {
        black_box(due);
        steps.advance();
    }
    steps.count()
}
