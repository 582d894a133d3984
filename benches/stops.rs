//! How soon motion ends: `cargo bench --bench stops`. Threads on the simulator, one axis at 10 kHz.
//!
//! - `hold`: from the call to the last edge before the rest, beyond the time that braking itself takes
//!   (the same braking, planned).
//! - `halt` (`stop --now`): from the call to the last edge.
//!
//! `LOCKSTEP_BENCH_STOPS=1000` makes it as many of each (default 200).

mod common;

use common::{config, env, header, optimised, row};
use lockstep::machine::{Machine, Move};
use lockstep::motion::{Limits, Planner, State};
use lockstep::units::Length;

/// In millimetres; 100 steps each.
const LIMITS: Limits = Limits { speed: 100.0, acceleration: 5_000.0, jerk: 500_000.0 };

const AXIS: &str = "[axis.x]\nstep = { gpio = 17 }\ndir = { gpio = 27 }\ndriver = \"tmc2209\"\n\
    steps-per-revolution = 200\nmicrosteps = 16\ndistance-per-revolution = \"32mm\"\n\
    travel = \"unlimited\"\nmax-speed = \"100mm/s\"\nmax-acceleration = \"5000mm/s^2\"\n\
    max-jerk = \"500000mm/s^3\"\nat-start = { assume = \"0mm\" }\n";

fn main() {
    if !optimised("stops") {
        return;
    }
    let times = env("LOCKSTEP_BENCH_STOPS", 200).clamp(10, 100_000) as usize;
    let cruising = State { position: 0.0, velocity: LIMITS.speed, acceleration: 0.0 };
    let braking =
        Planner::new().plan_rest(cruising, LIMITS).expect("these limits are fine").duration();
    println!("In us. Braking itself takes {:.1} us", braking as f64 / 1e3);
    header("");
    let (mut hold, mut halt) = (Vec::new(), Vec::new());
    for i in 0..times {
        // Never at the same phase of a step.
        let run = std::time::Duration::from_micros(60_000 + 137 * (i as u64 % 97));
        hold.push(stop(run, true).saturating_sub(braking));
        halt.push(stop(run, false));
    }
    row("hold to the last edge, less braking", hold, None);
    row("halt to the last edge", halt, None);
}

/// Nanoseconds from the call to the last rising edge.
fn stop(run: std::time::Duration, hold: bool) -> u64 {
    let mut machine = Machine::builder(config(AXIS)).trace(true).build().expect("it builds");
    let id = machine.start(&Move::new().to("x", Length(1000.0))).expect("the move is fine");
    machine.run_for(run);
    let zero = machine.trace_start();
    let called = machine.now();
    if hold {
        machine.hold();
        assert!(machine.wait_held(id).is_some(), "it comes to rest");
    } else {
        machine.halt();
    }
    let rested = machine.now();
    machine.run_for(std::time::Duration::from_millis(5));
    machine.finish();
    let recording = machine.take_recording().expect("a trace was asked for");
    let step = recording.find("x.step").expect("the signal is there");
    let called = called.nanos_since(zero);
    let last = recording
        .edges(step)
        .filter(|e| e.1 && e.0.as_nanos() <= rested.nanos_since(zero))
        .map(|e| e.0.as_nanos())
        .last();
    last.unwrap_or(0).saturating_sub(called)
}
