use super::super::testing::{Dice, rounds};
use super::super::{Planner, line_limits};
use super::*;

/// Everything that every plan promises, from its segments alone.
fn assert_sound(plan: &Trajectory, from: State, limits: Limits) {
    let told = || format!("{from:?} {limits:?} {plan:?}");
    assert_eq!(plan.start(), from, "{}", told());
    let x = plan.extremes();
    let size = x.max.abs().max(x.min.abs()).max(x.max - x.min);
    let mut time = 0;
    for (i, segment) in plan.segments().iter().enumerate() {
        assert!(segment.duration > 0 && segment.start == time, "{}", told());
        time += segment.duration;
        let next = plan.segments().get(i + 1).map_or(State::at_rest(plan.end()), |s| s.state);
        let end = segment.state_after(segment.duration);
        assert!((end.position - next.position).abs() <= 1e-12 * size, "{}", told());
        assert!((end.velocity - next.velocity).abs() <= 1e-9 * x.velocity, "{}", told());
        let jump = (end.acceleration - next.acceleration).abs();
        assert!(jump <= 1e-9 * x.acceleration, "{}", told());
        assert!(segment.jerk.abs() <= limits.jerk * (1.0 + 1e-9), "{}", told());
    }
    assert_eq!(time, plan.duration(), "{}", told());
    // What the start's acceleration adds, at the jerk limit and a thousandth of the speed more.
    let added = from.acceleration * from.acceleration.abs() / (2.0 * limits.jerk);
    let inevitable = (from.velocity + added).abs();
    let over = if inevitable > limits.speed * (1.0 - 1e-3) { 1e-3 } else { 0.0 };
    let speed = limits.speed.max(from.velocity.abs()).max(inevitable + over * limits.speed);
    assert!(x.velocity <= speed * (1.0 + 1e-9), "{}", told());
    let acceleration = limits.acceleration.max(from.acceleration.abs());
    assert!(x.acceleration <= acceleration * (1.0 + 1e-9), "{}", told());
}

/// Once within the limits it stays there, and it keeps no speed or acceleration above them.
fn assert_comes_down(plan: &Trajectory, limits: Limits) {
    let mut within = (false, false);
    let told = || format!("{limits:?} {plan:?}");
    for (i, segment) in plan.segments().iter().enumerate() {
        let State { velocity, acceleration, .. } = segment.state;
        let inevitable = velocity + acceleration * acceleration.abs() / (2.0 * limits.jerk);
        within.0 |= velocity.abs().max(inevitable.abs()) <= 0.99 * limits.speed;
        within.0 |= i > 0 && acceleration == 0.0 && segment.jerk == 0.0;
        within.1 |= acceleration.abs() <= limits.acceleration;
        within.1 |= i > 0 && segment.jerk == 0.0;
        let end = segment.state_after(segment.duration);
        if within.0 {
            assert!(end.velocity.abs() <= limits.speed * (1.0 + 2e-9), "{}", told());
        }
        if within.1 {
            let end = end.acceleration.abs();
            assert!(end <= limits.acceleration * (1.0 + 2e-9), "{}", told());
        }
    }
}

fn target(dice: &mut Dice, from: State, limits: Limits) -> f64 {
    match dice.below(10) {
        0 => from.position,
        _ => from.position + dice.sign() * dice.size(-9.0, 5.0).min(limits.speed * 1e5),
    }
}

/// `None` only where the plan is truly too long.
fn unless_too_long(plan: Result<Trajectory, PlanError>) -> Option<Trajectory> {
    match plan {
        Ok(plan) => Some(plan),
        Err(PlanError::TooLong { seconds }) if seconds > 8_640_000.0 => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn from_rest_it_goes_straight_there_within_the_limits() {
    let (mut planner, mut dice) = (Planner::new(), Dice(1));
    for _ in 0..rounds(50_000) {
        let limits = dice.limits();
        let from = State::at_rest(dice.between(-100.0, 100.0));
        let to = target(&mut dice, from, limits);
        let plan = planner.plan_to(from, to, limits).unwrap();
        assert_sound(&plan, from, limits);
        assert_eq!(plan.end(), to);
        let x = plan.extremes();
        let slack = 1e-9 * (to - from.position).abs() + f64::EPSILON * to.abs();
        let (low, high) = (to.min(from.position), to.max(from.position));
        assert!(x.min >= low - slack && x.max <= high + slack, "{plan:?}");
    }
}

/// The least time from rest to rest, nanoseconds, by the formulae of the textbook.
fn least_time(distance: f64, Limits { speed, acceleration, jerk }: Limits) -> f64 {
    let whole = (acceleration / jerk).min((speed / jerk).sqrt());
    let hold = (speed / acceleration - whole).max(0.0);
    let seconds = if distance >= speed * (2.0 * whole + hold) {
        distance / speed + 2.0 * whole + hold
    } else if distance >= 2.0 * acceleration * (acceleration / jerk) * (acceleration / jerk) {
        let tj = acceleration / jerk;
        4.0 * tj + 2.0 * ((distance / acceleration + tj * tj / 4.0).sqrt() - 1.5 * tj)
    } else {
        4.0 * (distance / (2.0 * jerk)).cbrt()
    };
    seconds * 1e9
}

#[test]
fn from_rest_it_takes_no_longer_than_it_must() {
    let (mut planner, mut dice) = (Planner::new(), Dice(9));
    for _ in 0..rounds(50_000) {
        let limits = dice.limits();
        let distance = target(&mut dice, State::default(), limits);
        let plan = planner.plan_to(State::default(), distance, limits).unwrap();
        let (best, took) = (least_time(distance.abs(), limits), plan.duration() as f64);
        assert!(took >= best * (1.0 - 2e-9) - 1.0, "{took} for {best} ns: {distance} {limits:?}");
        assert!(took <= best * (1.0 + 1e-9) + 16.0, "{took} for {best} ns: {distance} {limits:?}");
    }
}

#[test]
fn from_motion_it_ends_at_the_target_within_the_limits() {
    let (mut planner, mut dice) = (Planner::new(), Dice(2));
    let mut planned = 0;
    for _ in 0..rounds(60_000) {
        let limits = dice.limits();
        let from = dice.state(limits);
        let to = target(&mut dice, from, limits);
        let Some(plan) = unless_too_long(planner.plan_to(from, to, limits)) else {
            continue;
        };
        planned += 1;
        assert_sound(&plan, from, limits);
        assert_comes_down(&plan, limits);
        assert_eq!(plan.end(), to);
    }
    assert!(planned > rounds(55_000));
}

#[test]
fn to_rest_it_comes_to_rest_within_the_limits() {
    let (mut planner, mut dice) = (Planner::new(), Dice(3));
    for _ in 0..rounds(60_000) {
        let limits = dice.limits();
        let from = dice.state(limits);
        let plan =
            planner.plan_rest(from, limits).unwrap_or_else(|e| panic!("{from:?} {limits:?} {e}"));
        assert_sound(&plan, from, limits);
        let last = plan.segments().last().map_or(from, |s| s.state_after(s.duration));
        assert_eq!(plan.end(), last.position);
        if from.acceleration == 0.0 {
            // Straight on: it does not come back.
            let x = plan.extremes();
            let slack = 1e-9 * (x.max - x.min) + 1e-12 * from.position.abs();
            assert!((x.max.max(x.min) - plan.end().max(from.position)).abs() <= slack);
            assert!((x.min - plan.end().min(from.position)).abs() <= slack);
        }
    }
}

#[test]
fn lower_limits_never_make_a_plan_faster() {
    // A plan that is feasible within lower limits is so within higher ones: the fastest way can't
    // be slower. This finds a solver that takes a detour.
    let (mut planner, mut dice) = (Planner::new(), Dice(4));
    let mut compared = 0;
    for i in 0..rounds(60_000) {
        let limits = dice.limits();
        let from = dice.state(limits);
        let to = target(&mut dice, from, limits);
        let added = from.acceleration * from.acceleration.abs() / (2.0 * limits.jerk);
        let inevitable = (from.velocity + added).abs().max(from.velocity.abs());
        let over = from.acceleration.abs() > limits.acceleration;
        if over || inevitable > limits.speed * (1.0 + 1e-9) {
            continue;
        }
        let lower = |limit: f64| 0.999 * limit;
        let less = Limits {
            speed: lower(limits.speed),
            acceleration: lower(limits.acceleration),
            jerk: lower(limits.jerk),
        };
        let mut plan = |limits| {
            let plan = match i % 2 {
                0 => planner.plan_rest(from, limits),
                _ => planner.plan_to(from, to, limits),
            };
            unless_too_long(plan).map(|plan| plan.duration() as f64)
        };
        let (Some(fast), Some(slow)) = (plan(limits), plan(less)) else {
            continue;
        };
        compared += 1;
        // In a matter of microseconds, whole nanoseconds decide.
        assert!(fast <= slow * (1.0 + 1e-3) + 20_000.0, "{fast} {slow}: {from:?} {to} {limits:?}");
    }
    assert!(compared > rounds(30_000));
}

#[test]
fn a_plan_changed_at_any_moment_of_a_plan_goes_on_as_planned() {
    // Every moment of a plan is a start at the edge of some limit. The rest of the fastest way is
    // the fastest way from there. But on the braking curve there is no choice left: what some
    // nanoseconds of the speed are, it goes too far, and coming back takes the cube root of that.
    let (mut planner, mut dice) = (Planner::new(), Dice(5));
    for _ in 0..rounds(3000) {
        let speed = dice.size(0.0, 5.0);
        let acceleration = speed / dice.size(-2.5, 0.5);
        let limits = Limits { speed, acceleration, jerk: acceleration / dice.size(-3.0, 0.5) };
        let to = dice.sign() * speed * dice.size(-3.0, 1.0);
        let plan = planner.plan_to(State::at_rest(0.0), to, limits).unwrap();
        let borders = plan.segments().iter().map(|s| s.start);
        let mut moments: Vec<u64> = borders.flat_map(|t| [t, t + 1, t + 2, t + 1000]).collect();
        moments.extend((0..20).map(|_| dice.below(plan.duration())));
        moments.extend([1, 2, 10, 1000].map(|before| plan.duration().saturating_sub(before)));
        for t in moments {
            let from = plan.state_at(t);
            let again = planner.plan_to(from, to, limits).unwrap();
            assert_sound(&again, from, limits);
            let left = plan.duration().saturating_sub(t) as f64;
            let now = again.duration() as f64;
            let beyond = 2e-7 * from.velocity.abs() + 1e-12 * to.abs();
            let back = 4e9 * (32.0 * beyond / limits.jerk).cbrt();
            assert!(now <= left * 1.001 + back + 100.0, "{now} for {left} at {t} of {plan:?}");
            let (x, whole) = (again.extremes(), plan.extremes());
            let passes = (x.max - whole.max).max(whole.min - x.min);
            assert!(passes <= beyond, "{passes} and {beyond}: at {t} of {plan:?}");
            let stop = planner.plan_rest(from, limits).unwrap();
            assert_sound(&stop, from, limits);
            assert!(stop.duration() as f64 <= now + back + 100.0);
        }
    }
}

#[test]
fn tiny_distances_and_single_nanoseconds_have_plans() {
    let mut planner = Planner::new();
    let fast = Limits { speed: 1e6, acceleration: 1e9, jerk: 1e15 };
    let stiff = Limits { speed: 1.0, acceleration: 1e3, jerk: 1e15 };
    let soft = Limits { speed: 1e6, acceleration: 1e9, jerk: 1e-3 };
    for limits in [fast, stiff, soft] {
        for distance in [1e-15, 1e-12, 1e-9, 1e-6, 1e-3, 1.0] {
            let plan = planner.plan_to(State::at_rest(0.0), distance, limits).unwrap();
            assert_sound(&plan, State::at_rest(0.0), limits);
            for (velocity, acceleration) in [(distance, 0.0), (-distance, 0.0), (0.0, distance)] {
                let from = State { position: 0.0, velocity, acceleration };
                let stop = planner.plan_rest(from, limits).unwrap();
                assert_sound(&stop, from, limits);
                let plan = planner.plan_to(from, distance, limits).unwrap();
                assert_sound(&plan, from, limits);
                let back = planner.plan_to(from, 0.0, limits).unwrap();
                assert_sound(&back, from, limits);
            }
        }
    }
}

#[test]
fn a_line_of_motors_keeps_each_motors_limits() {
    let (mut planner, mut dice) = (Planner::new(), Dice(6));
    for _ in 0..rounds(1000) {
        let motors: Vec<_> = (0..1 + dice.below(5))
            .map(|_| (dice.sign() * dice.size(-3.0, 3.0), dice.limits()))
            .collect();
        let line = line_limits(motors.iter().copied()).unwrap();
        let Some(s) = unless_too_long(planner.plan_to(State::at_rest(0.0), 1.0, line)) else {
            continue;
        };
        for (distance, limits) in motors {
            let x = s.scaled_to(0.0, distance, distance).extremes();
            assert!(x.velocity <= limits.speed * (1.0 + 2e-9));
            assert!(x.acceleration <= limits.acceleration * (1.0 + 2e-9));
            assert!(x.jerk <= limits.jerk * (1.0 + 2e-9));
        }
    }
}

#[test]
fn nowhere_to_go_is_rest() {
    let mut planner = Planner::new();
    let limits = Limits { speed: 1.0, acceleration: 1.0, jerk: 1.0 };
    let here = State::at_rest(4.25);
    assert_eq!(planner.plan_to(here, 4.25, limits), Ok(Trajectory::rest(4.25)));
    assert_eq!(planner.plan_rest(here, limits), Ok(Trajectory::rest(4.25)));
}

#[test]
fn plans_are_the_same_to_the_bit_each_time() {
    let mut dice = Dice(7);
    let mut used = Planner::new();
    for _ in 0..rounds(1000) {
        let limits = dice.limits();
        let from = dice.state(limits);
        let fresh = Planner::new().plan_rest(from, limits);
        assert_eq!(used.plan_rest(from, limits), fresh);
    }
}

#[test]
fn wrong_numbers_are_named() {
    let mut planner = Planner::new();
    let good = Limits { speed: 1.0, acceleration: 1.0, jerk: 1.0 };
    let here = State::at_rest(0.0);
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        for (limit, limits) in [
            ("speed", Limits { speed: bad, ..good }),
            ("acceleration", Limits { acceleration: bad, ..good }),
            ("jerk", Limits { jerk: bad, ..good }),
        ] {
            let text = planner.plan_to(here, 1.0, limits).unwrap_err().to_string();
            assert_eq!(text, format!("the {limit} limit is {bad}: it must be above 0 and finite"));
            assert!(planner.plan_rest(here, limits).is_err());
        }
    }
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = planner.plan_to(here, bad, good).unwrap_err();
        assert!(error.to_string().starts_with("the target is "), "{error}");
        for (what, from) in [
            ("start position", State { position: bad, ..here }),
            ("start velocity", State { velocity: bad, ..here }),
            ("start acceleration", State { acceleration: bad, ..here }),
        ] {
            let error = planner.plan_rest(from, good).unwrap_err();
            assert!(error.to_string().starts_with(&format!("the {what} is ")), "{error}");
        }
    }
    let far = planner.plan_to(here, 1e9, good).unwrap_err();
    assert!(matches!(far, PlanError::TooLong { seconds } if seconds > 9e8), "{far}");
    let farther = planner.plan_to(State::at_rest(-1e308), 1e308, good);
    assert!(matches!(farther, Err(PlanError::NotFinite { .. })));
}

#[test]
fn no_size_of_numbers_panics_or_gives_an_unsound_plan() {
    let (mut planner, mut dice) = (Planner::new(), Dice(8));
    let mut planned = 0;
    for _ in 0..rounds(20_000) {
        let limits = Limits {
            speed: dice.size(-300.0, 300.0),
            acceleration: dice.size(-300.0, 300.0),
            jerk: dice.size(-300.0, 300.0),
        };
        let from = State {
            position: dice.sign() * dice.size(-300.0, 300.0),
            velocity: dice.sign() * dice.size(-300.0, 300.0),
            acceleration: dice.sign() * dice.size(-300.0, 300.0),
        };
        let to = dice.sign() * dice.size(-300.0, 300.0);
        let at_rest = State::at_rest(from.position);
        for (from, plan) in [
            (from, planner.plan_rest(from, limits)),
            (from, planner.plan_to(from, to, limits)),
            (at_rest, planner.plan_to(at_rest, to, limits)),
        ] {
            if let Ok(plan) = plan {
                assert_sound(&plan, from, limits);
                planned += 1;
            }
        }
    }
    assert!(planned > 0);
}

mod hard_inputs;
mod solvers;
