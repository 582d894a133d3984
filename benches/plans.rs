//! How long plans take: `cargo bench --bench plans`. One to eight motors, aligned and each alone.

mod common;

use std::hint::black_box;
use std::time::Instant;

use common::{env, optimised};
use lockstep::motion::{Limits, Planner, State, line_limits};

fn main() {
    if !optimised("plans") {
        return;
    }
    let plans = env("LOCKSTEP_BENCH_PLANS", 100_000).clamp(1000, 100_000_000) as usize;
    println!("A plan, from rest to rest, with its check: {plans} of each, in us");
    println!("{:<34} {:>8} {:>8} {:>8}", "", "mean", "p99.9", "max");
    for motors in 1..=8 {
        time(&format!("{motors} motors, aligned"), plans, aligned(motors));
        time(&format!("{motors} motors, each alone"), plans, alone(motors));
    }
}

fn time(name: &str, plans: usize, mut plan: impl FnMut(f64)) {
    let mut nanos = Vec::with_capacity(plans);
    for i in 0..plans {
        // Distances of every size, none like the last.
        let distance = 1.0 + (i as f64 * 0.618_033_988_749_895).fract() * 40_000.0;
        let begun = Instant::now();
        plan(distance);
        nanos.push(begun.elapsed().as_nanos() as u64);
    }
    nanos.sort_unstable();
    let mean = nanos.iter().sum::<u64>() as f64 / plans as f64 / 1e3;
    let at = |q: f64| nanos[((plans as f64 * q) as usize).min(plans - 1)] as f64 / 1e3;
    println!("{name:<34} {mean:>8.2} {:>8.2} {:>8.2}", at(0.999), at(1.0));
}

fn limits(motor: usize) -> Limits {
    let speed = 20_000.0 / (1.0 + motor as f64 / 3.0);
    Limits { speed, acceleration: 10.0 * speed, jerk: 100.0 * speed }
}

/// One line for all: `s` is planned, and each motor's trajectory follows from it.
fn aligned(motors: usize) -> impl FnMut(f64) {
    let mut planner = Planner::new();
    move |distance| {
        let way = |m: usize| distance / (1.0 + m as f64);
        let line = line_limits((0..motors).map(|m| (way(m), limits(m)))).expect("they move");
        let s = planner.plan_to(State::at_rest(0.0), 1.0, line).expect("these limits are fine");
        for m in 0..motors {
            let trajectory = s.scaled_to(0.0, way(m), way(m));
            black_box(trajectory.extremes());
        }
    }
}

fn alone(motors: usize) -> impl FnMut(f64) {
    let mut planner = Planner::new();
    move |distance| {
        for m in 0..motors {
            let way = distance / (1.0 + m as f64);
            let plan = planner.plan_to(State::at_rest(0.0), way, limits(m));
            black_box(plan.expect("these limits are fine").extremes());
        }
    }
}
