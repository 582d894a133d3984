//! How long a step time and a plan take: `cargo bench --bench step_times`.

use std::hint::black_box;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use lockstep::motion::{Limits, Planner, State, StepTimes, Trajectory};

fn main() {
    divan::main();
}

const LIMITS: Limits = Limits { speed: 100_000.0, acceleration: 1e6, jerk: 1e7 };

fn count(trajectory: &Arc<Trajectory>) -> i64 {
    let mut steps = StepTimes::new(trajectory.clone(), 0);
    while let Some(due) = steps.peek() {
        black_box(due);
        steps.advance();
    }
    steps.count()
}

/// All steps of a motion: at a steady speed for the most part, and never at a steady speed.
#[divan::bench(args = [1_000_000, 10_000])]
fn steps(bencher: Bencher, distance: i64) {
    let plan = Planner::new().to_position(State::at_rest(0.0), distance as f64, LIMITS);
    let plan = Arc::new(plan.expect("these limits are possible"));
    bencher.counter(ItemsCount::new(distance as u64)).bench(|| {
        assert_eq!(count(black_box(&plan)), distance);
    });
}

#[divan::bench]
fn plan_from_rest(bencher: Bencher) {
    let mut planner = Planner::new();
    bencher.bench_local(|| planner.to_position(black_box(State::at_rest(0.0)), 1e4, LIMITS));
}

#[divan::bench]
fn plan_from_motion(bencher: Bencher) {
    let mut planner = Planner::new();
    let from = State { position: 0.0, velocity: 12_345.0, acceleration: 67_890.0 };
    bencher.bench_local(|| planner.to_position(black_box(from), -1e4, LIMITS));
}

#[divan::bench]
fn plan_to_rest(bencher: Bencher) {
    let mut planner = Planner::new();
    let from = State { position: 0.0, velocity: 12_345.0, acceleration: 67_890.0 };
    bencher.bench_local(|| planner.to_rest(black_box(from), LIMITS));
}
