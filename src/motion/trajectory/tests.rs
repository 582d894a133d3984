use super::super::testing::Dice;
use super::super::{Limits, Planner};
use super::*;

const LIMITS: Limits = Limits { speed: 50.0, acceleration: 500.0, jerk: 5000.0 };

fn plan(from: f64, to: f64) -> Trajectory {
    Planner::new().plan_to(State::at_rest(from), to, LIMITS).unwrap()
}

/// Neighbouring segments agree, durations are above 0, times have no gap.
fn assert_joined(trajectory: &Trajectory) {
    let size = {
        let x = trajectory.extremes();
        (x.max.abs().max(x.min.abs()), x.velocity, x.acceleration)
    };
    let mut time = 0;
    let segments = trajectory.segments();
    for (i, segment) in segments.iter().enumerate() {
        assert!(segment.duration > 0);
        assert_eq!(segment.start, time);
        time += segment.duration;
        let next = segments.get(i + 1).map_or(State::at_rest(trajectory.end()), |s| s.state);
        let end = segment.state_after(segment.duration);
        assert!((end.position - next.position).abs() <= 1e-12 * size.0, "{trajectory:?}");
        assert!((end.velocity - next.velocity).abs() <= 1e-9 * size.1, "{trajectory:?}");
        assert!((end.acceleration - next.acceleration).abs() <= 1e-9 * size.2, "{trajectory:?}");
    }
    assert_eq!(time, trajectory.duration());
}

#[test]
fn rest_and_dwell_stay_where_they_are() {
    let rest = Trajectory::rest(7.5);
    assert_eq!((rest.duration(), rest.end(), rest.segments().len()), (0, 7.5, 0));
    assert_eq!(rest.state_at(0), State::at_rest(7.5));
    assert_eq!(rest.start(), State::at_rest(7.5));
    let dwell = Trajectory::dwell(7.5, 1000);
    assert_eq!(dwell.duration(), 1000);
    assert_eq!(dwell.state_at(500), State::at_rest(7.5));
    assert_eq!(Trajectory::dwell(7.5, 0), rest);
    let x = dwell.extremes();
    assert_eq!((x.min, x.max, x.velocity, x.acceleration, x.jerk), (7.5, 7.5, 0.0, 0.0, 0.0));
}

#[test]
fn beyond_the_end_it_rests_exactly_there() {
    let plan = plan(0.1, 0.7);
    for t in [plan.duration(), plan.duration() + 1, u64::MAX] {
        assert_eq!(plan.state_at(t), State::at_rest(0.7));
    }
    assert_eq!(plan.state_at(0), State::at_rest(0.1));
}

#[test]
fn scaled_is_the_same_motion_in_another_measure() {
    let plan = plan(0.0, 1.0);
    let steps = plan.scaled_to(400.0, -123.456, 277.0);
    assert_eq!((steps.end(), steps.duration()), (277.0, plan.duration()));
    assert_eq!(plan.scaled(400.0, -100.0).end(), 300.0);
    for t in (0..plan.duration()).step_by(1_000_003) {
        let (a, b) = (plan.state_at(t), steps.state_at(t));
        assert!((b.position - (400.0 - 123.456 * a.position)).abs() < 1e-10);
        assert!((b.velocity + 123.456 * a.velocity).abs() < 1e-9);
        assert!((b.acceleration + 123.456 * a.acceleration).abs() < 1e-7);
    }
}

#[test]
fn a_chain_needs_rest_where_the_last_part_ended() {
    let (a, b) = (plan(0.0, 3.0), plan(3.0, 1.0));
    let parts = [a.clone(), Trajectory::dwell(3.0, 500), b.clone(), Trajectory::rest(1.0)];
    let chain = Trajectory::chain(&parts).unwrap();
    assert_eq!(chain.duration(), a.duration() + 500 + b.duration());
    assert_eq!(chain.end(), 1.0);
    assert_joined(&chain);
    for t in (0..b.duration()).step_by(1_000_003) {
        assert_eq!(chain.state_at(a.duration() + 500 + t), b.state_at(t));
    }
    assert_eq!(chain.state_at(a.duration() + 250), State::at_rest(3.0));
    assert_eq!(Trajectory::chain(&[]), None);
    assert_eq!(Trajectory::chain(&[a.clone(), plan(3.0 + 1e-9, 1.0)]), None);
    let moving = State { velocity: 1.0, ..State::at_rest(3.0) };
    let stop = Planner::new().plan_rest(moving, LIMITS).unwrap();
    assert_eq!(Trajectory::chain(&[a, stop.clone()]), None);
    assert!(Trajectory::chain(&[stop]).is_some(), "the first part may begin in motion");
    let long = Trajectory::dwell(0.0, u64::MAX);
    assert_eq!(Trajectory::chain(&[long.clone(), long]), None);
}

#[test]
fn extremes_are_those_that_sampling_finds() {
    let (mut planner, mut dice) = (Planner::new(), Dice(5));
    for _ in 0..300 {
        let from = dice.state(LIMITS);
        let to = from.position + dice.between(-20.0, 20.0);
        let plan = planner.plan_to(from, to, LIMITS).unwrap();
        let x = plan.extremes();
        let (mut min, mut max, mut v, mut a) = (f64::MAX, f64::MIN, 0.0_f64, 0.0_f64);
        for i in 0..=2000 {
            let s = plan.state_at(plan.duration() / 2000 * i);
            (min, max) = (min.min(s.position), max.max(s.position));
            (v, a) = (v.max(s.velocity.abs()), a.max(s.acceleration.abs()));
        }
        let bits = 1e-12 * (1.0 + x.max.abs().max(x.min.abs()));
        assert!(x.min <= min + bits && x.max >= max - bits, "no sample is beyond");
        assert!(x.velocity >= v * (1.0 - 1e-12) && x.acceleration >= a * (1.0 - 1e-12));
        // A 2000th of the duration away from an extreme, by the limits.
        let h = super::seconds(plan.duration()) / 2000.0;
        let top = x.acceleration;
        assert!(min - x.min <= top * h * h && x.max - max <= top * h * h, "{x:?} {min} {max}");
        assert!(x.velocity - v <= x.jerk * h * h && x.acceleration - a <= x.jerk * h);
    }
}

#[test]
fn stretched_is_the_same_path_in_a_longer_time() {
    let (mut planner, mut dice) = (Planner::new(), Dice(6));
    for _ in 0..2000 {
        let limits = dice.limits();
        let from = dice.between(-10.0, 10.0);
        let to = from + dice.sign() * dice.size(-3.0, 2.0).min(100.0 * limits.speed);
        let plan = planner.plan_to(State::at_rest(from), to, limits).unwrap();
        let wanted = plan.duration() + 1 + (plan.duration() as f64 * dice.size(-9.0, 1.0)) as u64;
        let longer = plan.stretched(wanted).unwrap();
        assert_eq!((longer.duration(), longer.end()), (wanted, to));
        assert_eq!(longer.start(), State::at_rest(from));
        assert_joined(&longer);
        let k = wanted as f64 / plan.duration() as f64;
        let (old, new) = (plan.extremes(), longer.extremes());
        // A whole number of nanoseconds, up to two more or less in the shortest phase.
        let shortest = plan.segments().iter().map(|s| s.duration).min().unwrap() as f64;
        let near = |new: f64, old: f64| (new / old - 1.0).abs() < 8.0 / shortest + 1e-9;
        assert!(near(new.velocity, old.velocity / k) || shortest < 10.0);
        assert!(near(new.acceleration, old.acceleration / k / k) || shortest < 10.0);
        assert!(near(new.jerk, old.jerk / k / k / k) || shortest < 10.0);
        assert!(new.velocity <= old.velocity * (1.0 + 1e-12));
        assert!(new.acceleration <= old.acceleration * (1.0 + 1e-12));
        assert!(new.jerk <= old.jerk * (1.0 + 1e-12));
        for i in 0..50 {
            let t = plan.duration() / 50 * i;
            let (a, b) = (plan.state_at(t), longer.state_at((t as f64 * k) as u64));
            // A few nanoseconds of the top speed.
            let far = 8e-9 * old.velocity + 1e-12 * (from.abs() + to.abs());
            assert!((a.position - b.position).abs() <= far, "{a:?} {b:?} {plan:?}");
        }
    }
}

#[test]
fn a_stretched_chain_rests_where_it_did() {
    let parts = [plan(0.0, 3.0), Trajectory::dwell(3.0, 12_345_678), plan(3.0, -1.0)];
    let chain = Trajectory::chain(&parts).unwrap();
    let longer = chain.stretched(chain.duration() * 3 / 2 + 1).unwrap();
    assert_joined(&longer);
    let mid = (parts[0].duration() + 6_000_000) * 3 / 2;
    assert_eq!(longer.state_at(mid), State::at_rest(3.0));
    assert_eq!(longer.end(), -1.0);
    assert_eq!(longer.duration(), chain.duration() * 3 / 2 + 1);
    assert_eq!(Trajectory::dwell(3.0, 10).stretched(99), Some(Trajectory::dwell(3.0, 99)));
}

#[test]
fn what_cannot_be_stretched_is_not() {
    let there = plan(0.0, 3.0);
    assert_eq!(there.stretched(there.duration()), Some(there.clone()));
    assert_eq!(there.stretched(there.duration() - 1), None, "shorter");
    assert_eq!(there.stretched(u64::MAX), None, "longer than a hundred days");
    assert_eq!(Trajectory::rest(1.0).stretched(5), None, "nothing to stretch");
    let moving = State { velocity: 1.0, ..State::at_rest(3.0) };
    let stop = Planner::new().plan_rest(moving, LIMITS).unwrap();
    assert_eq!(stop.stretched(stop.duration() * 2), None, "from a moving start");
}

/// Up to the splice it is the one, from there on the other, to the last bit.
#[test]
fn spliced_is_first_the_one_and_then_the_other() {
    let mut planner = Planner::new();
    for seed in 0..300 {
        let dice = &mut Dice(seed);
        let limits = dice.limits();
        let way = limits.speed * dice.size(-2.0, 1.0);
        let Ok(far) = planner.plan_to(State::at_rest(3.0), 3.0 + dice.sign() * way, limits) else {
            continue;
        };
        let at = (far.duration() as f64 * dice.between(0.0, 1.1)) as u64;
        let Ok(rest) = planner.plan_rest(far.state_at(at), limits) else { continue };
        let both = far.spliced(at, &rest).unwrap();
        assert_joined(&both);
        assert_eq!((both.duration(), both.end()), (at + rest.duration(), rest.end()));
        for _ in 0..20 {
            let t = dice.below(at + rest.duration() + 10);
            let of = if t < at { far.state_at(t) } else { rest.state_at(t - at) };
            assert_eq!(both.state_at(t), of, "at {t} of {at} + {}", rest.duration());
        }
        let (all, one, other) = (both.extremes(), far.extremes(), rest.extremes());
        assert!(all.velocity <= one.velocity.max(other.velocity));
        assert!(far.spliced(at, &Trajectory::rest(-1e9)).is_none());
    }
}

/// What is left of a motion is the same motion, later.
#[test]
fn what_is_left_is_the_same_motion() {
    let plan = plan(2.0, -7.0);
    for seed in 0..200 {
        let dice = &mut Dice(seed);
        let at = dice.below(plan.duration() + 1_000);
        let left = plan.after(at);
        assert_eq!(left.duration(), plan.duration().saturating_sub(at));
        let t = dice.below(plan.duration());
        let (one, same) = (left.state_at(t), plan.state_at(at + t));
        assert!((one.position - same.position).abs() < 1e-12);
        assert!((one.velocity - same.velocity).abs() < 1e-9);
        assert_eq!(left.start(), plan.state_at(at));
        assert!(left.least_velocity(-1.0) > -1e-9);
        let most = -left.least_velocity(1.0);
        assert!((most - left.extremes().velocity).abs() < 1e-9);
    }
}

#[test]
fn the_top_speed_of_a_window_is_that_of_its_states() {
    let plan = plan(0.0, 30.0);
    assert_eq!(plan.top_speed_between(0, plan.duration()), plan.extremes().velocity);
    assert_eq!(plan.top_speed_between(plan.duration(), u64::MAX), 0.0);
    for seed in 0..200 {
        let dice = &mut Dice(seed);
        let from = dice.below(plan.duration());
        let to = from + dice.below(200_000_000);
        let top = plan.top_speed_between(from, to);
        let most = (0..=100)
            .map(|k| plan.state_at(from + (to - from) * k / 100).velocity.abs())
            .fold(0.0, f64::max);
        assert!(top >= most && top <= most + 0.5, "{top} and {most}");
        assert_eq!(plan.top_speed_between(from, from), plan.state_at(from).velocity.abs());
    }
}
