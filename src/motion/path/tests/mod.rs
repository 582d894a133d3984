//! Properties over random lines: limits, nearness, joints, ends; brakes and resumes from every tick.

mod change;
mod keep;
mod pace;

use super::*;
use crate::motion::testing::{Dice, rounds};
use crate::motion::{Limits, Segment, State, Trajectory};

/// Motors and a line, with the blend and the speed of each of its vertices but the first.
#[derive(Clone, Debug)]
struct Case {
    motors: Vec<PathMotor>,
    start: Vec<f64>,
    vertices: Vec<(Vec<f64>, f64, f64)>,
}

impl Case {
    /// Everything at random: limits, shapes, sizes, and what nobody would write.
    fn random(dice: &mut Dice) -> Case {
        let n = 1 + dice.below(3) as usize;
        let alike = Limits {
            speed: dice.size(1.0, 2.5),
            acceleration: dice.size(2.0, 4.0),
            jerk: dice.size(3.0, 5.5),
        };
        let motors: Vec<PathMotor> = (0..n)
            .map(|_| {
                let f = if dice.below(2) == 0 { 1.0 } else { dice.size(-0.5, 0.0) };
                let limits = Limits { speed: alike.speed * f, ..alike };
                PathMotor { limits, scale: dice.sign() * dice.size(0.0, 3.0) }
            })
            .collect();
        let start: Vec<f64> = (0..n).map(|_| dice.between(-50.0, 50.0)).collect();
        let blend = dice.size(-3.5, 0.5);
        let length = dice.size(-2.0, 0.7);
        let shape = dice.below(6);
        let alike = dice.below(2) == 0;
        let mut at = start.clone();
        let mut vertices = Vec::new();
        let mut dir: Vec<f64> = (0..n).map(|_| dice.between(-1.0, 1.0)).collect();
        for k in 0..2 + dice.below(40) {
            let before = at.clone();
            let wild = dice.below(8);
            for (m, dir) in dir.iter_mut().enumerate() {
                match shape {
                    // Bends gently; turns at random; zigzags; goes to and fro; stands still.
                    0 | 1 => *dir += dice.between(-0.2, 0.2),
                    2 => *dir = dice.between(-1.0, 1.0),
                    3 => *dir = if m == 0 { 1.0 } else { f64::from(k as u32 % 2) - 0.5 },
                    4 => *dir = -*dir,
                    _ if wild == 0 => *dir = dice.between(-1.0, 1.0),
                    _ => {}
                }
            }
            let way = match wild {
                0 => 0.0,
                1 => length * dice.size(-3.0, 1.0),
                _ => length,
            };
            for m in 0..n {
                at[m] = before[m] + way * dir[m];
            }
            let share = if alike { 1.0 } else { dice.between(0.3, 1.0) };
            let own = if alike { blend } else { blend * dice.size(-1.0, 0.0) };
            vertices.push((at.clone(), own, share));
        }
        Case { motors, start, vertices }
    }

    fn blend(&self) -> f64 {
        self.vertices.iter().map(|v| v.1).fold(0.0, f64::max)
    }

    fn path(&self) -> Path {
        let mut path = Path::new(&self.motors, &self.start, self.blend()).unwrap();
        for (vertex, blend, speed) in &self.vertices {
            path.push(vertex, *blend, *speed).unwrap();
        }
        path.close();
        path
    }
}

/// To the end; more ticks than `most` are too many.
fn run(path: &mut Path, most: u64) {
    while path.advance() == Advance::Moved {
        assert!(path.tick() < most, "no end after {most} ticks");
    }
}

/// Ticks that are far more than enough for a line.
fn plenty(case: &Case, path: &Path) -> u64 {
    let h = path.tick_nanos() as f64 * 1e-9;
    let mut ticks = 1000.0;
    let mut at = &case.start;
    for (vertex, _, share) in &case.vertices {
        let long = at.iter().zip(vertex).zip(&case.motors);
        let rest = long
            .map(|((a, b), m)| {
                let (l, way) = (m.limits, (a - b).abs());
                way / l.speed / share
                    + 8.0 * (way / l.jerk).cbrt()
                    + 4.0 * (way / l.acceleration).sqrt()
            })
            .fold(0.0, f64::max);
        ticks += 3.0 * rest / h + 60.0;
        at = vertex;
    }
    ticks as u64
}

/// Extremes within the limits, joints without a gap, the last at rest in `end` (native).
fn assert_kept(case: &Case, trajectories: &[Trajectory], end: Option<&[f64]>) {
    for (m, (motor, t)) in case.motors.iter().zip(trajectories).enumerate() {
        let (l, x, k) = (motor.limits, t.extremes(), motor.scale.abs());
        let tiny = 1e-6;
        assert!(x.velocity <= l.speed * k * (1.0 + tiny) + 1e-9, "speed {m} {x:?} {case:?}");
        assert!(x.acceleration <= l.acceleration * k * (1.0 + tiny), "acceleration {x:?} {case:?}");
        assert!(x.jerk <= l.jerk * k * (1.0 + tiny), "jerk {m} {x:?} {motor:?} {case:?}");
        let segments = t.segments();
        let size = x.max.abs().max(x.min.abs()).max(1.0);
        for (i, s) in segments.iter().enumerate() {
            let next = segments.get(i + 1).map_or(State::at_rest(t.end()), |s| s.state);
            let end = s.state_after(s.duration);
            assert!((end.position - next.position).abs() <= 1e-13 * size, "{end:?} {next:?}");
            assert!((end.velocity - next.velocity).abs() <= 1e-9 * l.speed * k + 1e-10 * size);
            assert!((end.acceleration - next.acceleration).abs() <= 1e-6 * l.acceleration * k);
        }
        assert!(t.start().position.is_finite());
        if let Some(end) = end {
            assert_eq!(t.end(), end[m]);
        }
    }
}

/// Each sampled point within the blend of the line, and each vertex within the blend of the motion,
/// in order. Returns how near it comes to the limit.
fn assert_near(case: &Case, trajectories: &[Trajectory]) -> f64 {
    let duration = trajectories[0].duration();
    let samples = 40 * trajectories[0].segments().len() as u64;
    let mut line = vec![case.start.clone()];
    line.extend(case.vertices.iter().map(|v| v.0.clone()));
    let blend = case.blend();
    // The least distance over the ways to go through both in order, sampled: from each reachable
    // segment on, the nearest that is near enough.
    let mut worst = 0.0_f64;
    let mut first = 0;
    for k in 0..=samples {
        let t = (duration as f64 * (k as f64 / samples.max(1) as f64)) as u64;
        let at: Vec<f64> = case
            .motors
            .iter()
            .zip(trajectories)
            .map(|(m, t2)| t2.state_at(t).position / m.scale)
            .collect();
        let mut best = f64::INFINITY;
        let begin = first;
        for i in begin..line.len() - 1 {
            let d = to_segment(&at, &line[i], &line[i + 1]);
            if d <= blend * (1.0 + 1e-9) + 1e-9 {
                first = i;
                best = d;
                break;
            }
            best = best.min(d);
            let vertex = &line[i + 1];
            // Past a vertex only where the motion comes near it.
            if distance(&at, vertex) > blend * (1.0 + 1e-9) + 1e-9 && i > first + 200 {
                break;
            }
        }
        worst = worst.max(best);
        assert!(best <= blend * (1.0 + 1e-9) + 1e-9, "{best} off, of {blend}: {case:?}");
    }
    worst / blend
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}

fn to_segment(p: &[f64], a: &[f64], b: &[f64]) -> f64 {
    let way: Vec<f64> = a.iter().zip(b).map(|(a, b)| b - a).collect();
    let long: f64 = way.iter().map(|x| x * x).sum();
    let along: f64 = p.iter().zip(a).zip(&way).map(|((p, a), w)| (p - a) * w).sum();
    let t = if long > 0.0 { (along / long).clamp(0.0, 1.0) } else { 0.0 };
    let near: Vec<f64> = a.iter().zip(&way).map(|(a, w)| a + t * w).collect();
    distance(p, &near)
}

fn ends(case: &Case) -> Vec<f64> {
    let last = case.vertices.last().map_or(&case.start, |v| &v.0);
    case.motors.iter().zip(last).map(|(m, x)| spline::native(*x, m.scale)).collect()
}
