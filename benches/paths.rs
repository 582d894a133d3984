//! How many segments of a blended path are worked out in a second: `cargo bench --bench paths`.
//!
//! Segments of 0.1 mm of two and of three motors, blended within 0.05 mm, streamed as the machine streams
//! them: pushed when they are wanted, taken in chunks of a few ticks, forgotten. Printed are segments a
//! second on one core, how far ahead the motion is known (seconds of motion a second of computing), and the
//! most that was kept at a time.
//!
//! `LOCKSTEP_BENCH_SEGMENTS=1000000` makes the paths longer (default 100,000).

mod common;

use std::hint::black_box;
use std::time::Instant;

use common::{env, optimised};
use lockstep::motion::Limits;
use lockstep::motion::path::{Advance, Path, PathMotor};

/// 400 steps a millimetre.
const MOTOR: PathMotor =
    PathMotor { limits: Limits { speed: 50.0, acceleration: 500.0, jerk: 5000.0 }, scale: 400.0 };
const SEGMENT: f64 = 0.1;
const BLEND: f64 = 0.05;
/// Ticks that are taken at a time.
const CHUNK: u64 = 20;

fn main() {
    if !optimised("paths") {
        return;
    }
    let segments = env("LOCKSTEP_BENCH_SEGMENTS", 100_000).clamp(1000, 1_000_000_000);
    println!("{segments} segments of {SEGMENT} mm each, blended within {BLEND} mm");
    println!(
        "{:<42} {:>12} {:>12} {:>12} {:>8}",
        "", "segments/s", "motion s", "motion s/s", "kept"
    );
    for motors in [2, 3] {
        // Each says by how much the heading turns at a vertex.
        let straight = |_: u64| 0.0;
        let spiral = |i: u64| 0.1 / (3.0 + i as f64 * 1e-3);
        let corners =
            |i: u64| if i.is_multiple_of(1000) { 2.0 } else { 0.1 / (3.0 + i as f64 * 1e-3) };
        let zigzag = |i: u64| if i.is_multiple_of(2) { 1.2 } else { -1.2 };
        time("a straight line", motors, segments, straight);
        time("a spiral", motors, segments, spiral);
        time("a spiral, a corner every 1000", motors, segments, corners);
        time("a zigzag, a corner every segment", motors, segments, zigzag);
    }
}

fn time(name: &str, motors: usize, segments: u64, turn: impl Fn(u64) -> f64) {
    let mut path =
        Path::new(&vec![MOTOR; motors], &vec![0.0; motors], BLEND).expect("these motors are fine");
    let (mut at, mut heading, mut pushed) = ([0.0; 3], 0.0_f64, 0);
    let (mut from, mut kept) = (0, 0);
    let began = Instant::now();
    loop {
        while path.wants() && pushed < segments {
            pushed += 1;
            heading += turn(pushed);
            at[0] += SEGMENT * heading.cos();
            at[1] += SEGMENT * heading.sin();
            at[2] += 0.01 * SEGMENT;
            path.push(&at[..motors], BLEND, 1.0).expect("the vertex is finite");
        }
        if pushed == segments {
            path.close();
        }
        let moved = path.advance() == Advance::Moved;
        if path.tick() >= from + CHUNK || !moved {
            kept = kept.max(path.kept());
            black_box(path.chunk(from));
            from = path.tick();
            path.forget(from);
        }
        if !moved {
            break;
        }
    }
    let took = began.elapsed().as_secs_f64();
    let motion = (path.tick() * path.tick_nanos()) as f64 / 1e9;
    println!(
        "{:<42} {:>12.0} {:>12.1} {:>12.0} {:>8}",
        format!("{motors} motors: {name}"),
        segments as f64 / took,
        motion,
        motion / took,
        kept
    );
}
