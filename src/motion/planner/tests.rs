use super::super::testing::Dice;
use super::super::{Extremes, Planner};
use super::*;

#[test]
fn stat() {
    let mut planner = Planner::new();
    let mut dice = Dice(1);
    let (mut slow, mut worst) = (0, 1.0_f64);
    let (mut bad, mut p, mut v, mut a) = (0, 0.0_f64, 0.0_f64, 0.0_f64);
    let mut kinds = std::collections::BTreeMap::new();
    for i in 0..500_000 {
        let limits = dice.limits();
        let from = dice.state(limits);
        let target = from.position + dice.sign() * dice.size(-9.0, 5.0).min(limits.speed * 1e5);
        let kind = i % 3;
        let from = if kind == 0 { State::at_rest(from.position) } else { from };
        let r = match kind {
            0 | 1 => planner.to_position(from, target, limits),
            _ => planner.to_rest(from, limits),
        };
        match r {
            Ok(t) => {
                if from.velocity.abs() <= limits.speed
                    && from.acceleration.abs() <= limits.acceleration
                    && kind != 0
                {
                    let less = Limits {
                        speed: limits.speed * 0.9999,
                        acceleration: limits.acceleration * 0.9999,
                        jerk: limits.jerk * 0.9999,
                    };
                    let r = if kind == 1 {
                        planner.to_position(from, target, less)
                    } else {
                        planner.to_rest(from, less)
                    };
                    if let Ok(u) = r {
                        let ratio = t.duration() as f64 / (u.duration() as f64 + 3.0);
                        if ratio > 1.0 + 1e-9 {
                            slow += 1;
                            worst = worst.max(ratio);
                            if slow < 30 {
                                println!(
                                    "{limits:?} {from:?} {target} slow {ratio} {kind} v {:e} a {:e} vin {:e} d {:e} j {:e} {:?} {:?}",
                                    from.velocity / limits.speed,
                                    from.acceleration / limits.acceleration,
                                    (from.velocity
                                        + from.acceleration * from.acceleration.abs()
                                            / 2.0
                                            / limits.jerk)
                                        / limits.speed,
                                    (target - from.position) * limits.acceleration
                                        / limits.speed
                                        / limits.speed,
                                    limits.jerk * limits.speed
                                        / limits.acceleration
                                        / limits.acceleration,
                                    t.segments()
                                        .iter()
                                        .map(|s| (s.duration, s.jerk / limits.jerk))
                                        .collect::<Vec<_>>(),
                                    u.segments()
                                        .iter()
                                        .map(|s| (s.duration, s.jerk / limits.jerk))
                                        .collect::<Vec<_>>()
                                );
                            }
                        }
                    }
                }
                if let Some(last) = t.segments().last() {
                    let e = last.state_after(last.duration);
                    let x = t.extremes();
                    p = p.max(
                        (e.position - t.end()).abs()
                            / x.max.abs().max(x.min.abs()).max(x.max - x.min),
                    );
                    v = v.max(e.velocity.abs() / x.velocity);
                    a = a.max(e.acceleration.abs() / x.acceleration);
                }
            }
            Err(PlanError::TooLong { .. }) => {}
            Err(e) => {
                bad += 1;
                let s = e.to_string();
                *kinds
                    .entry((
                        kind,
                        s[..s.len().min(if s.starts_with("no plan") { 12 } else { 30 })]
                            .to_string(),
                    ))
                    .or_insert(0) += 1;
                if true {
                    println!(
                        "{kind} {from:?} v {:e} a {:e} d {:e} j {:e}| {}",
                        from.velocity / limits.speed,
                        from.acceleration / limits.acceleration,
                        (target - from.position) * limits.acceleration
                            / limits.speed
                            / limits.speed,
                        limits.jerk * limits.speed / limits.acceleration / limits.acceleration,
                        s
                    );
                    println!("   {limits:?} {}", &s[s.len() - 100..]);
                }
            }
        }
    }
    println!("slow {slow} {worst}");
    println!("bad {bad} residual {p:e} {v:e} {a:e}");
    for k in kinds {
        println!("{k:?}");
    }
}
#[test]
fn probe() {
    let l = Limits {
        speed: 0.0919729927908236,
        acceleration: 8.891240124033107,
        jerk: 0.9319534941112751,
    };
    let mut s = super::super::solver::Solver::new();
    for d in [1.0, 10.0, 25., 26.0, 26.1, 26.7, 27., 28.0, 30.0, 40.0, 50.0, 60.0, 70.0, 90.0] {
        let r = s.phases(0.0, 0.41403997873461246, Goal::Distance(d), l);
        match r {
            Ok(p) => println!("{d} {:?}", p.map(|p| (p.seconds, p.jerk))),
            e => println!("{d} {e:?}"),
        }
    }
}
#[test]
fn probe2() {
    let mut dice = Dice(1);
    let mut s = super::super::solver::Solver::new();
    let (mut n, mut slow) = ([0; 3], [0; 3]);
    let mut shown = 0;
    for i in 0..300_000 {
        let limits = dice.limits();
        let from = dice.state(limits);
        let d = dice.sign() * dice.size(-9.0, 5.0).min(limits.speed * 1e3);
        if from.velocity.abs() > limits.speed || from.acceleration.abs() > limits.acceleration {
            continue;
        }
        let taken_back = (from.velocity
            + from.acceleration * from.acceleration.abs() / (2.0 * limits.jerk))
            .abs();
        let kind = i % 2 + if taken_back > limits.speed { 1 } else { 0 };
        let goal = if i % 2 == 0 { Goal::Rest } else { Goal::Distance(d) };
        let less = Limits {
            speed: limits.speed * 0.999,
            acceleration: limits.acceleration * 0.999,
            jerk: limits.jerk * 0.999,
        };
        let len = |r: Result<[Phase; PHASES], Trouble>| {
            r.map(|p| p.iter().map(|p| p.seconds).sum::<f64>())
        };
        let t = s.phases(from.velocity, from.acceleration, goal, limits);
        let u = s.phases(from.velocity, from.acceleration, goal, less);
        if let (Ok(t1), Ok(u1)) = (len(t.clone()), len(u.clone())) {
            n[kind] += 1;
            if t1 > u1 * (1.0 + 1e-9) {
                slow[kind] += 1;
                shown += 1;
                if shown < 20 {
                    println!(
                        "{kind} {} v {:e} a {:e} vin {:e} d {:e} j {:e}\n  {:?}\n  {:?}\n {limits:?}",
                        t1 / u1,
                        from.velocity / limits.speed,
                        from.acceleration / limits.acceleration,
                        taken_back / limits.speed,
                        d * limits.acceleration / limits.speed / limits.speed,
                        limits.jerk * limits.speed / limits.acceleration / limits.acceleration,
                        t.unwrap().map(|p| (p.seconds, p.jerk)),
                        u.unwrap().map(|p| (p.seconds, p.jerk))
                    );
                }
            }
        }
    }
    println!("{n:?} {slow:?}");
}
#[test]
fn probe3() {
    let l = Limits {
        speed: 0.00853400680737516,
        acceleration: 64.3139156995449,
        jerk: 702539.7776661656,
    };
    let from =
        State { position: -21.313888370595024, velocity: 0.0, acceleration: 64.3139156995449 };
    let t = Planner::new().to_position(from, 5.07556564581725, l).unwrap();
    for s in t.segments() {
        println!("{s:?}");
    }
}

/// Short moves reach neither the speed nor the acceleration limit: four phases of full jerk, each
/// the cube root of distance / (2 jerk).
#[test]
fn short_moves_take_no_longer_than_they_must() {
    for (distance, speed, acceleration, jerk) in
        [(9.0, 600.0, 6000.0, 60_000.0), (1.0, 50.0, 500.0, 5000.0), (0.01, 50.0, 500.0, 5000.0)]
    {
        let limits = Limits { speed, acceleration, jerk };
        let t = Planner::new().to_position(State::at_rest(0.0), distance, limits).unwrap();
        let best = 4.0 * (distance / (2.0 * jerk)).cbrt() * 1e9;
        assert!((t.duration() as f64 - best).abs() < 10.0, "{} for {best} ns", t.duration());
    }
}
