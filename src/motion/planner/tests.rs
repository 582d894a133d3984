use super::super::testing::Dice;
use super::super::{Extremes, Planner};
use super::*;

#[test]
fn stat() {
    let mut planner = Planner::new();
    let mut dice = Dice(1);
    let (mut bad, mut p, mut v, mut a) = (0, 0.0_f64, 0.0_f64, 0.0_f64);
    let mut kinds = std::collections::BTreeMap::new();
    for i in 0..2_000_000 {
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
                if s.starts_with("no plan") && kinds[&(kind, "no plan from".to_string())] < 20
                    || s.contains("end")
                {
                    println!(
                        "{kind} v {:e} a {:e} d {:e} j {:e}| {}",
                        from.velocity / limits.speed,
                        from.acceleration / limits.acceleration,
                        (target - from.position) * limits.acceleration
                            / limits.speed
                            / limits.speed,
                        limits.jerk * limits.speed / limits.acceleration / limits.acceleration,
                        &s[..60]
                    );
                    println!("   {limits:?} {}", &s[s.len() - 100..]);
                }
            }
        }
    }
    println!("bad {bad} residual {p:e} {v:e} {a:e}");
    for k in kinds {
        println!("{k:?}");
    }
}
