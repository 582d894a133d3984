use super::*;

/// The whole way of a path that was held at `tick`, and went on after that.
fn held_at(path: &Path, tick: u64) -> Path {
    let mut held = path.clone();
    assert!(held.rewind(tick));
    held.brake(u64::MAX);
    assert!(held.is_at_rest());
    held
}

#[test]
fn a_hold_at_any_tick_rests_on_the_path_and_goes_on() {
    let mut dice = Dice(3);
    for _ in 0..rounds(120) {
        let case = Case::random(&mut dice);
        let mut path = case.path();
        let most = plenty(&case, &path);
        run(&mut path, most);
        let stride = 1 + path.tick() / 12;
        for tick in (0..=path.tick()).step_by(stride as usize) {
            let mut held = held_at(&path, tick);
            let rest = held.chunk(0).trajectories;
            assert_kept(&case, &rest, None);
            assert_near(&case, &rest);
            run(&mut held, 2 * most);
            let all = held.chunk(0).trajectories;
            assert_kept(&case, &all, Some(&ends(&case)));
            assert_near(&case, &all);
            // The brake from a tick is what the chunk up to there ends with.
            let mut there = path.clone();
            assert!(there.rewind(tick));
            assert_eq!(there.chunk(0).trajectories, rest);
        }
    }
}

#[test]
fn another_feed_at_any_tick_keeps_everything() {
    let mut dice = Dice(4);
    for _ in 0..rounds(200) {
        let case = Case::random(&mut dice);
        let mut path = case.path();
        let most = plenty(&case, &path);
        let mut left = dice.below(30);
        let mut slow = 0;
        while path.advance() == Advance::Moved {
            assert!(path.tick() < 40 * most);
            if left == 0 {
                left = dice.below(30);
                slow += 1;
                path.set_feed(if slow < 20 { dice.between(0.05, 1.5) } else { 1.0 });
            } else {
                left -= 1;
            }
        }
        let all = path.chunk(0).trajectories;
        assert_kept(&case, &all, Some(&ends(&case)));
        assert_near(&case, &all);
    }
}

#[test]
fn a_slower_feed_is_reached() {
    let limits = Limits { speed: 50.0, acceleration: 500.0, jerk: 5000.0 };
    let mut path = Path::new(&[PathMotor { limits, scale: 1.0 }], &[0.0], 0.1).unwrap();
    path.push(&[500.0], 0.1, 1.0).unwrap();
    path.close();
    let speed = |path: &mut Path, share: f64, ticks: u32| {
        path.set_feed(share);
        (0..ticks).for_each(|_| assert_eq!(path.advance(), Advance::Moved));
        let chunk = path.chunk(0);
        chunk.trajectories[0].state_at(chunk.until_brake).velocity
    };
    // Above 1 it is as much as the limits allow, also where a share of them was asked for.
    for share in [1.0, 0.3, 0.8, 0.1, 2.0, 0.5] {
        let v = speed(&mut path, share, 60);
        assert!((v / 50.0 - share.min(1.0)).abs() < 1e-6, "{v} for {share}");
    }
}

#[test]
fn a_line_that_grows_late_rests_and_goes_on() {
    let mut dice = Dice(5);
    for _ in 0..rounds(200) {
        let case = Case::random(&mut dice);
        let mut path = Path::new(&case.motors, &case.start, case.blend()).unwrap();
        let most = plenty(&case, &path) + 10 * case.vertices.len() as u64;
        for (vertex, blend, speed) in &case.vertices {
            path.push(vertex, *blend, *speed).unwrap();
            if dice.below(3) == 0 {
                path.close();
            }
            // Sometimes to rest, sometimes not even near.
            for _ in 0..dice.below(60) {
                if path.advance() != Advance::Moved {
                    assert!(path.is_at_rest());
                    break;
                }
            }
        }
        path.close();
        run(&mut path, 2 * most);
        let all = path.chunk(0).trajectories;
        assert_kept(&case, &all, Some(&ends(&case)));
        assert_near(&case, &all);
    }
}

#[test]
fn a_way_without_end_keeps_its_last_bits() {
    // Round and round: arc lengths are counted anew, and nothing shows of that.
    let limits = Limits { speed: 5000.0, acceleration: 50_000.0, jerk: 500_000.0 };
    let motor = PathMotor { limits, scale: 1.0 };
    let mut path = Path::new(&[motor, motor], &[0.0, 0.0], 5.0).unwrap();
    let corners = [[1000.0, 0.0], [1000.0, 1000.0], [0.0, 1000.0], [0.0, 0.0]];
    let mut rounds = 0;
    for _ in 0..300 {
        for corner in corners {
            while !path.wants() {
                assert_eq!(path.advance(), Advance::Moved);
                path.forget(path.tick().saturating_sub(10));
            }
            path.push(&corner, 5.0, 1.0).unwrap();
        }
        rounds += 1;
    }
    path.close();
    let mut held = path.clone();
    held.brake(u64::MAX);
    assert!(held.is_at_rest());
    run(&mut path, 1_000_000);
    assert_eq!(rounds, 300);
    assert_eq!(path.end(), [0.0, 0.0]);
    assert!(path.progress().1 < 2e5, "counted anew");
}

#[test]
fn a_line_that_is_known_just_in_time_is_kept_as_well() {
    let mut dice = Dice(6);
    for _ in 0..rounds(300) {
        let case = Case::random(&mut dice);
        let mut path = Path::new(&case.motors, &case.start, case.blend()).unwrap();
        let most = plenty(&case, &path) + 10 * case.vertices.len() as u64;
        let mut ahead = case.vertices.iter();
        let mut all: Option<Vec<Trajectory>> = None;
        let mut from = 0;
        loop {
            while path.wants() {
                match ahead.next() {
                    Some((vertex, blend, speed)) => path.push(vertex, *blend, *speed).unwrap(),
                    None => path.close(),
                }
            }
            let moved = path.advance() == Advance::Moved;
            assert!(path.tick() < most);
            if !moved || path.tick() > from + dice.below(40) {
                let chunk = path.chunk(from);
                assert_kept(&case, &chunk.trajectories, None);
                all = Some(match all {
                    None => chunk.trajectories,
                    Some(before) => joined(&before, &chunk.trajectories, from * path.tick_nanos()),
                });
                // Not always all of it: the motors may be told of it some ticks before.
                from = path.tick().saturating_sub(dice.below(3)).max(from);
                path.forget(from);
            }
            if !moved {
                break;
            }
        }
        assert_near(&case, &all.unwrap());
    }
}

/// `then` takes over from `before` at `at`, in the state that it has there.
fn joined(before: &[Trajectory], then: &[Trajectory], at: u64) -> Vec<Trajectory> {
    let join = |(before, then): (&Trajectory, &Trajectory)| {
        assert_eq!(before.state_at(at), then.start());
        let old = before.segments().iter().filter(|s| s.start < at).copied();
        let new = then.segments().iter().map(|s| Segment { start: s.start + at, ..*s });
        Trajectory::from_segments(old.chain(new).collect(), then.end())
    };
    before.iter().zip(then).map(join).collect()
}
