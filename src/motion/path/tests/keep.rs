use super::*;

#[test]
fn random_lines_are_run_within_limits_and_blend() {
    let mut dice = Dice(1);
    for n in 0..rounds(400) {
        let case = Case::random(&mut dice);
        let mut path = case.path();
        let most = plenty(&case, &path);
        while path.advance() == Advance::Moved {
            assert!(
                path.tick() < most,
                "case {n}: {:?} after {most} ticks {case:?}",
                path.progress()
            );
        }
        let chunk = path.chunk(0);
        assert_eq!(chunk.until_brake, path.tick() * path.tick_nanos());
        assert_kept(&case, &chunk.trajectories, Some(&ends(&case)));
        assert_near(&case, &chunk.trajectories);
    }
}

#[test]
fn vertices_are_passed_within_the_blend_in_order() {
    let mut dice = Dice(2);
    for _ in 0..rounds(300) {
        let case = Case::random(&mut dice);
        let mut path = case.path();
        let most = plenty(&case, &path);
        run(&mut path, most);
        let t = path.chunk(0).trajectories;
        let samples = 60 * t[0].segments().len().max(1) as u64;
        let step = t[0].duration() / samples + 1;
        // What a vertex may be off, and how far the motion goes between two samples.
        let top =
            t.iter().zip(&case.motors).map(|(t, m)| (t.extremes().velocity / m.scale).powi(2));
        let slack = top.sum::<f64>().sqrt() * step as f64 * 1e-9 + 1e-9;
        let mut now = 0;
        for (vertex, ..) in &case.vertices {
            let at = |now: u64| -> Vec<f64> {
                t.iter()
                    .zip(&case.motors)
                    .map(|(t, m)| t.state_at(now).position / m.scale)
                    .collect()
            };
            while distance(&at(now), vertex) > case.blend() + slack {
                now += step;
                assert!(now <= t[0].duration() + step, "{vertex:?} is passed by: {case:?}");
            }
        }
    }
}
