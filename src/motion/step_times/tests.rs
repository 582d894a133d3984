use super::super::testing::{Dice, rounds};
use super::super::{Limits, Planner, State};
use super::*;

fn all(trajectory: Trajectory, count: i64) -> Vec<StepDue> {
    let mut steps = StepTimes::new(Arc::new(trajectory), count);
    let mut due = Vec::new();
    while let Some(step) = steps.peek() {
        assert_eq!(steps.peek(), Some(step), "asked twice");
        due.push(step);
        steps.advance();
        assert_eq!(steps.count(), step.count);
    }
    steps.advance();
    assert_eq!(steps.peek(), None, "the end stays the end");
    due
}

/// The step times by another way: the trajectory is looked at only through `state_at` and
/// `extremes` of pieces found by halving, on whole nanoseconds.
fn oracle(trajectory: &Trajectory, mut count: i64) -> Vec<StepDue> {
    let mut due = Vec::new();
    let mut cuts = vec![0];
    for segment in trajectory.segments() {
        let (start, end) = (segment.start, segment.start + segment.duration - 1);
        // The velocity is a parabola: its sign changes at most once on each side of its extreme.
        let slope = |t: u64| trajectory.state_at(t).acceleration;
        let middle = halve(start, end, |t| (slope(t) > 0.0) != (slope(start) > 0.0));
        for (low, high) in [(start, middle), (middle, end)] {
            let speed = |t: u64| trajectory.state_at(t).velocity;
            let turn = halve(low, high, |t| (speed(t) > 0.0) != (speed(low) > 0.0));
            // Both sides of the turn.
            cuts.extend([low, turn.saturating_sub(1).max(low), turn, high]);
        }
    }
    cuts.push(trajectory.duration());
    cuts.sort_unstable();
    cuts.dedup();
    let position = |t: u64| trajectory.state_at(t).position;
    let mut now = 0;
    for cut in cuts {
        loop {
            let (up, down) = (count as f64 + 0.75, count as f64 - 0.75);
            // Monotone from `now` to the cut.
            let (at, step) = if position(cut) >= up {
                (halve(now, cut, |t| position(t) >= up), 1)
            } else if position(cut) <= down {
                (halve(now, cut, |t| position(t) <= down), -1)
            } else {
                break;
            };
            count += step;
            due.push(StepDue { at, up: step > 0, count });
            now = at;
        }
        now = cut;
    }
    due
}

/// The first in `low..=high` for which it is true, given that it stays true; `high` if none.
fn halve(mut low: u64, mut high: u64, is: impl Fn(u64) -> bool) -> u64 {
    while low < high {
        let middle = low + (high - low) / 2;
        if is(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

/// What the last bits of the position, and one nanosecond, mean for a due time.
fn slack(trajectory: &Trajectory, at: u64) -> u64 {
    let state = trajectory.state_at(at);
    let bits = 4.0 * f64::EPSILON * (1.0 + state.position.abs());
    // How long it takes to move by so much: at this speed, or from a standstill with this
    // acceleration, or with a jerk alone.
    let jerk = trajectory.extremes().jerk;
    let by_speed = bits / state.velocity.abs();
    let by_acceleration = (2.0 * bits / state.acceleration.abs()).sqrt();
    let by_jerk = (6.0 * bits / jerk).cbrt();
    1 + (by_speed.min(2.0 * by_acceleration).min(4.0 * by_jerk) * 1e9) as u64
}

fn compare(trajectory: &Trajectory, count: i64) -> usize {
    let found = all(trajectory.clone(), count);
    let wanted = oracle(trajectory, count);
    assert_eq!(found.len(), wanted.len(), "{trajectory:?} from {count}");
    let mut last = 0;
    for (found, wanted) in found.iter().zip(&wanted) {
        assert_eq!((found.up, found.count), (wanted.up, wanted.count), "{trajectory:?}");
        let off = found.at.abs_diff(wanted.at);
        assert!(off <= slack(trajectory, wanted.at), "{found:?} and {wanted:?} of {trajectory:?}");
        assert!(found.at >= last);
        last = found.at;
    }
    found.len()
}

/// Limits of steppers: up to 200,000 steps/s, ramps of a millisecond to a second.
fn stepper(dice: &mut Dice) -> Limits {
    let speed = dice.size(1.0, 5.3);
    let acceleration = speed / dice.size(-3.0, 0.0);
    Limits { speed, acceleration, jerk: acceleration / dice.size(-4.0, 0.0) }
}

#[test]
fn steps_between_whole_steps_agree_with_halving() {
    let (mut planner, mut dice) = (Planner::new(), Dice(1));
    let mut steps = 0;
    for _ in 0..rounds(2000) {
        let limits = stepper(&mut dice);
        let from = dice.below(4000) as i64 - 2000;
        let to = from + dice.below(600) as i64 - 300;
        let plan = planner.plan_to(State::at_rest(from as f64), to as f64, limits).unwrap();
        let found = all(plan.clone(), from);
        assert_eq!(found.last().map_or(from, |s| s.count), to);
        assert_eq!(found.len() as u64, from.abs_diff(to), "no step back");
        assert!(found.iter().all(|s| s.at < plan.duration()), "while it still moves");
        steps += compare(&plan, from);
    }
    assert!(steps > rounds(100_000) as usize);
}

#[test]
fn reversals_agree_with_halving_and_keep_half_a_step_apart() {
    let (mut planner, mut dice) = (Planner::new(), Dice(2));
    let (mut steps, mut turns) = (0, 0);
    for _ in 0..rounds(3000) {
        let limits = stepper(&mut dice);
        let from = State {
            position: dice.between(-500.0, 500.0),
            velocity: limits.speed * dice.between(-1.0, 1.0),
            acceleration: limits.acceleration * dice.between(-0.2, 0.2),
        };
        // Far enough for a few hundred steps, and short enough to turn back for it.
        let to = (from.position + dice.between(-100.0, 100.0)).round();
        let limits = Limits {
            acceleration: limits.acceleration.max(limits.speed * limits.speed / 1000.0),
            ..limits
        };
        let plan = planner.plan_to(from, to, limits).unwrap();
        let extremes = plan.extremes();
        if extremes.max - extremes.min > 5000.0 {
            continue;
        }
        let count = from.position.round() as i64;
        steps += compare(&plan, count);
        let found = all(plan.clone(), count);
        assert_eq!(found.last().map_or(count, |s| s.count), to as i64);
        for pair in found.windows(2) {
            if pair[0].up != pair[1].up {
                turns += 1;
                let apart = plan.state_at(pair[0].at).position - plan.state_at(pair[1].at).position;
                assert!(apart.abs() > 0.5 - 1e-9, "{apart} apart: {pair:?}");
            }
        }
    }
    assert!(
        steps > rounds(100_000) as usize && turns > rounds(500) as usize,
        "{steps} steps, {turns} turns"
    );
}

#[test]
fn no_step_is_early_and_none_is_a_nanosecond_late() {
    let (mut planner, mut dice) = (Planner::new(), Dice(3));
    for _ in 0..rounds(300) {
        let limits = stepper(&mut dice);
        let to = dice.below(1000) as f64;
        let plan = planner.plan_to(State::at_rest(0.0), to, limits).unwrap();
        for step in all(plan.clone(), 0) {
            let threshold = step.count as f64 - 0.25;
            let bits = 4.0 * f64::EPSILON * (1.0 + threshold);
            assert!(plan.state_at(step.at).position >= threshold - bits);
            assert!(step.at == 0 || plan.state_at(step.at - 1).position < threshold + bits);
        }
    }
}

#[test]
fn steps_that_are_lacking_come_at_once() {
    let limits = Limits { speed: 100.0, acceleration: 1000.0, jerk: 10_000.0 };
    let plan = Planner::new().plan_to(State::at_rest(3.0), 5.0, limits).unwrap();
    for (count, first) in [(0, [1, 2, 3]), (6, [5, 4, 3])] {
        let due = all(plan.clone(), count);
        let overdue: Vec<_> = due.iter().take_while(|s| s.at == 0).map(|s| s.count).collect();
        assert_eq!(overdue, first);
        assert_eq!(due.last().map(|s| s.count), Some(5));
    }
    let due = all(Trajectory::rest(-2.0), 0);
    assert_eq!(
        due.iter().map(|s| (s.at, s.up, s.count)).collect::<Vec<_>>(),
        [(0, false, -1), (0, false, -2)]
    );
    // A dwell lasts; what is lacking does not wait for it.
    let due = all(Trajectory::dwell(1.0, 1000), 0);
    assert_eq!(due, [StepDue { at: 0, up: true, count: 1 }]);
}

#[test]
fn a_step_that_only_the_end_brings_is_due_at_the_end() {
    let limits = Limits { speed: 100.0, acceleration: 1000.0, jerk: 10_000.0 };
    let plan = Planner::new().plan_to(State::at_rest(0.0), 2.5, limits).unwrap();
    let whole = plan.scaled_to(0.0, 1.0, 3.0);
    let due = all(whole.clone(), 0);
    assert_eq!(due.last(), Some(&StepDue { at: whole.duration(), up: true, count: 3 }));
}

#[test]
fn rest_and_rest_again_within_a_step_emit_nothing() {
    assert_eq!(all(Trajectory::rest(0.7), 0), []);
    assert_eq!(all(Trajectory::rest(0.7), 1), []);
    let limits = Limits { speed: 10.0, acceleration: 100.0, jerk: 1000.0 };
    let there = Planner::new().plan_to(State::at_rest(0.0), 0.7, limits).unwrap();
    let back = Planner::new().plan_to(State::at_rest(0.7), -0.7, limits).unwrap();
    assert_eq!(all(Trajectory::chain(&[there, back]).unwrap(), 0), []);
}

#[test]
fn a_chain_with_dwells_agrees_with_halving() {
    let (mut planner, mut dice) = (Planner::new(), Dice(4));
    for _ in 0..rounds(100) {
        let mut parts = Vec::new();
        let mut place = 0.0;
        for _ in 0..6 {
            let to = dice.between(-80.0, 80.0).round();
            parts.push(planner.plan_to(State::at_rest(place), to, stepper(&mut dice)).unwrap());
            parts.push(Trajectory::dwell(to, dice.below(1_000_000)));
            place = to;
        }
        let chain = Trajectory::chain(&parts).unwrap();
        compare(&chain, 0);
        compare(&chain.scaled(3.0, -1.5), 3);
    }
}

#[test]
fn long_and_slow_motions_stay_exact() {
    // One step in a quarter of an hour, for some days; then a hundred million steps away.
    let limits = Limits { speed: 1e-3, acceleration: 1e-5, jerk: 1e-7 };
    let plan = Planner::new().plan_to(State::at_rest(0.0), 500.0, limits).unwrap();
    assert_eq!(compare(&plan, 0), 500);
    let far = plan.scaled_to(1e8, -1.0, 1e8 - 500.0);
    assert_eq!(compare(&far, 100_000_000), 500);
}
