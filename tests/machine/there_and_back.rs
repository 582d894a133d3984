//! Moves there and back at 3200/7 steps a millimetre, which no decimal fraction meets: no error adds up,
//! however many they are. docs/design.md (Step times) has the algebra; this is the long run. By hand:
//!
//!     LOCKSTEP_MOVES=1000000000 cargo test --release --test machine there_and_back -- --nocapture
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use lockstep::config::{Axis, Config};
use lockstep::machine::{Machine, Move};
use lockstep::motion::{Limits, Planner, State, StepTimes};
use lockstep::units::{Acceleration, Length, Ratio, Speed};

const STEPS: u64 = 3200;
const UNITS: u64 = 7;

/// A target in thousandths of a millimetre, up to 20 um from zero, so that a move has up to 9 steps. Each is
/// met again and again, between others; one in 41 is zero itself, where there is nothing to do.
fn target(n: u64) -> i64 {
    (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as i64 % 41 - 20
}

/// The nearest whole step to a target, in integers: what the arithmetic in floating point is held against.
fn nearest(thousandths: i64) -> i64 {
    let (num, den) = (thousandths * STEPS as i64, 1000 * UNITS as i64);
    (2 * num + den).div_euclid(2 * den)
}

#[test]
fn no_error_adds_up() {
    let moves: u64 = std::env::var("LOCKSTEP_MOVES").map_or(200_000, |n| n.parse().unwrap());
    let ratio = Ratio::new(STEPS, UNITS).unwrap();
    let scale = ratio.to_f64();
    let limits = Limits { speed: 100.0 * scale, acceleration: 5_000.0 * scale, jerk: 1e6 * scale };
    let mut planner = Planner::new();
    let (mut count, mut edges) = (0_i64, 0_u64);
    let mut go = |to: f64, count: &mut i64| {
        let plan = planner.plan_to(State::at_rest(*count as f64), to, limits).unwrap();
        let mut steps = StepTimes::new(Arc::new(plan), *count);
        while steps.peek().is_some() {
            steps.advance();
            edges += 1;
        }
        *count = steps.count();
    };
    for n in 0..moves / 2 {
        let thousandths = target(n);
        let there = ratio.scale(thousandths as f64 / 1e3).round();
        if there as i64 != count {
            go(there, &mut count);
        }
        assert_eq!(count, nearest(thousandths), "move {n}");
        // The position that it reports is met again by the same step.
        assert_eq!(ratio.scale(ratio.unscale(there)).round() as i64, count, "move {n}");
        if count != 0 {
            go(0.0, &mut count);
        }
        assert_eq!(count, 0, "move {n}");
    }
    println!("{moves} moves, {edges} steps");
    assert!(edges > moves);
}

/// The same by a whole machine.
#[test]
fn a_machine_is_back_at_zero() {
    let x = Axis::step_dir(17, 27)
        .driver("a4988", 16)
        .distance_per_revolution(Length(UNITS as f64))
        .unlimited()
        .limits(Speed(100.0), Acceleration(5_000.0))
        .assume(Length(0.0));
    let config = Config::build("t").axis("x", x).finish().unwrap();
    let mut machine = Machine::builder(config).virtual_time().build().unwrap();
    for n in 0..500 {
        for thousandths in [target(n), 0] {
            let to = Move::new().to("x", Length(thousandths as f64 / 1e3));
            let id = machine.start(&to).unwrap();
            assert!(machine.wait(id).all_reached());
            let steps = machine.position("x").unwrap() * STEPS as f64 / UNITS as f64;
            assert_eq!(
                (steps.round() as i64, steps.fract().abs() < 1e-9),
                (nearest(thousandths), true)
            );
        }
    }
    machine.finish();
}
