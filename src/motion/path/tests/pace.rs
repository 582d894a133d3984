use super::*;
use crate::motion::Planner;

const LIMITS: Limits = Limits { speed: 50.0, acceleration: 500.0, jerk: 5000.0 };
const MOTOR: PathMotor = PathMotor { limits: LIMITS, scale: 400.0 };

fn seconds_for(path: &mut Path) -> f64 {
    run(path, 1_000_000);
    path.tick() as f64 * path.tick_nanos() as f64 * 1e-9
}

#[test]
fn a_straight_line_takes_little_longer_than_a_plan() {
    for blend in [1e-4, 0.01, 0.1, 1.0] {
        for length in [50.0, 100.0, 400.0] {
            let mut path = Path::new(&[MOTOR], &[0.0], blend).unwrap();
            for k in 1..=100 {
                path.push(&[length * f64::from(k) / 100.0], blend, 1.0).unwrap();
            }
            path.close();
            let took = seconds_for(&mut path);
            let plan = Planner::new().plan_to(State::at_rest(0.0), length, LIMITS).unwrap();
            let best = plan.duration() as f64 * 1e-9;
            assert!(took < 1.3 * best, "{length} in {took} s, not {best} s, blend {blend}");
        }
    }
}

#[test]
fn a_gentle_curve_is_run_at_full_speed() {
    for (radius, blend) in [(20.0, 0.1), (20.0, 0.01), (8.0, 0.1), (100.0, 1.0), (20.0, 0.5)] {
        let angle = 0.1 / radius;
        let at =
            |k: u32| [radius * (f64::from(k) * angle).cos(), radius * (f64::from(k) * angle).sin()];
        let mut path = Path::new(&[MOTOR, MOTOR], &at(0), blend).unwrap();
        let count = 5000;
        for k in 1..=count {
            path.push(&at(k), blend, 1.0).unwrap();
        }
        path.close();
        let took = seconds_for(&mut path);
        let speed = f64::from(count) * 0.1 / took;
        // Both motors together are faster than one alone: at the worst angle not at all.
        assert!(speed > 0.95 * LIMITS.speed, "{speed} mm/s at radius {radius}, blend {blend}");
    }
}

#[test]
fn corners_are_run_through_faster_than_rested_in() {
    let square = [[10.0, 0.0], [10.0, 10.0], [0.0, 10.0], [0.0, 0.0]];
    let side = Planner::new().plan_to(State::at_rest(0.0), 10.0, LIMITS).unwrap();
    let rests = 4.0 * side.duration() as f64 * 1e-9;
    let mut before = f64::INFINITY;
    for blend in [0.001, 0.03, 0.1, 0.5, 2.0] {
        let mut path = Path::new(&[MOTOR, MOTOR], &[0.0, 0.0], blend).unwrap();
        for vertex in square {
            path.push(&vertex, blend, 1.0).unwrap();
        }
        path.close();
        let took = seconds_for(&mut path);
        assert!(took < 1.02 * rests, "blend {blend}: {took} s, with rests {rests} s");
        assert!(took < 1.1 * before, "blend {blend}: {took} s, with less of it {before} s");
        before = took;
    }
    assert!(before < 0.75 * rests, "{before} s, with rests {rests} s");
}

#[test]
fn a_hundred_thousand_short_segments_in_bounded_memory() {
    // A spiral that turns ever more gently, with a corner now and then.
    let mut path = Path::new(&[MOTOR, MOTOR], &[0.0, 0.0], 0.05).unwrap();
    let (mut at, mut heading, mut pushed, mut most) = ([0.0, 0.0], 0.0_f64, 0_u32, 0);
    let count = 100_000;
    let mut chunk = 0;
    let mut last = [State::at_rest(0.0); 2];
    loop {
        while path.wants() && pushed < count {
            pushed += 1;
            heading += 0.1 / (3.0 + f64::from(pushed) * 1e-3);
            if pushed % 1000 == 0 {
                heading += 2.0;
            }
            at = [at[0] + 0.1 * heading.cos(), at[1] + 0.1 * heading.sin()];
            path.push(&at, 0.05, 1.0).unwrap();
        }
        if pushed == count {
            path.close();
        }
        let moved = path.advance() == Advance::Moved;
        most = most.max(path.kept());
        if path.tick() >= chunk + 20 || !moved {
            let c = path.chunk(chunk);
            for (t, last) in c.trajectories.iter().zip(&mut last) {
                assert_eq!(t.start(), *last, "a chunk begins as the one before it has it");
                *last = t.state_at(c.until_brake);
                let x = t.extremes();
                assert!(
                    x.jerk <= 5000.0 * 400.0 * (1.0 + 1e-6)
                        && x.velocity <= 20_000.0 * (1.0 + 1e-6)
                );
            }
            chunk = path.tick();
            path.forget(chunk);
        }
        if !moved {
            break;
        }
    }
    assert!(most < 2000, "{most} segments and points kept");
    assert_eq!(path.chunk(chunk).trajectories[0].end(), spline::native(at[0], 400.0));
}

#[test]
fn hopeless_corners_are_rested_in() {
    let mut path = Path::new(&[MOTOR, MOTOR], &[0.0, 0.0], 1e-9).unwrap();
    for vertex in [[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]] {
        path.push(&vertex, 1e-9, 1.0).unwrap();
    }
    path.push(&[2.0, 0.0], 0.0, 1.0).unwrap();
    path.close();
    let took = seconds_for(&mut path);
    assert!(took < 4.0 * 0.3, "{took}");
    let chunk = path.chunk(0);
    assert_eq!(chunk.trajectories.iter().map(Trajectory::end).collect::<Vec<_>>(), [800.0, 0.0]);
}

#[test]
fn nothing_to_do_is_done_at_once() {
    let mut path = Path::new(&[MOTOR], &[3.0], 0.1).unwrap();
    assert_eq!(path.advance(), Advance::Starved);
    path.push(&[3.0], 0.1, 1.0).unwrap();
    path.close();
    assert_eq!(path.advance(), Advance::Ended);
    assert_eq!(path.chunk(0).trajectories[0], Trajectory::rest(1200.0));
    path.push(&[3.0005], 0.1, 1.0).unwrap();
    path.close();
    run(&mut path, 100);
    assert_eq!(path.chunk(0).trajectories[0].end(), 1200.2);
}

#[test]
fn what_no_path_can_be_made_of_is_refused() {
    let bad = |motors: &[PathMotor], blend| {
        Path::new(motors, &vec![0.0; motors.len()], blend).unwrap_err()
    };
    assert_eq!(bad(&[], 0.1), PathError::Motors(0));
    assert_eq!(bad(&[MOTOR; 9], 0.1), PathError::Motors(9));
    assert_eq!(bad(&[MOTOR], -1.0), PathError::Number { what: "blend", value: -1.0 });
    let still = PathMotor { limits: Limits { jerk: 0.0, ..LIMITS }, ..MOTOR };
    assert!(matches!(bad(&[still], 0.1), PathError::Limits(_)));
    let mut path = Path::new(&[MOTOR], &[0.0], 0.1).unwrap();
    assert!(path.push(&[f64::NAN], 0.1, 1.0).is_err());
    assert!(path.push(&[1.0], 0.1, 0.0).is_err());
    assert!(path.push(&[1.0], f64::INFINITY, 1.0).is_err());
    path.close();
    assert_eq!(path.advance(), Advance::Ended);
}
