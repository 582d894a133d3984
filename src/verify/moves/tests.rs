use super::*;
use crate::trace::Mark;

/// `7:aligned`, or with its motors `7:aligned:a,b`.
fn begun(text: &str) -> Begun {
    let Ok(Mark::Begins { id, kind, motors, .. }) = Mark::parse(text) else { panic!("{text}") };
    let index = |name: &str| ["a", "b", "c", "d"].iter().position(|n| *n == name);
    let named = !motors.is_empty();
    Begun { id, kind, motors: named.then(|| motors.names().filter_map(index).collect()) }
}

/// Two moves of two motors each begin at 0; `a` and `b` leave their line by 5 steps. They end at
/// `ends`, all motors of a move with it.
fn side_by_side(markers: [&str; 2], ends: [u64; 2]) -> (Bound, Vec<String>) {
    let text = "[servo.a]\npwm = { gpio = 12 }\n[servo.b]\npwm = { gpio = 13 }\n";
    let mut config = Config::from_str(text, "test").unwrap().config;
    // Pins do not matter here.
    for name in ["c", "d"] {
        let mut more = config.motors[0].clone();
        more.name = name.to_owned();
        config.motors.push(more);
    }
    let grain = Grain { late: 0.0, end_within: 0, rest: 0.0 };
    let mut moves = Moves::new(&config, vec![grain; 4]);
    moves.begin(&markers.map(begun), &[(0, 0.0), (1, 0.0), (2, 0.0), (3, 0.0)]);
    let mut at = [0.0; 4];
    for n in 1..=100u64 {
        let (straight, bent) = (n as f64, if n == 50 { 60.0 } else { n as f64 });
        at = [straight, bent, straight, straight];
        moves.moved(n, &[true; 4], |m| at[m]);
    }
    let mut halted = Vec::new();
    for now in 101..300 {
        for (n, _) in ends.iter().enumerate().filter(|(_, end)| **end == now) {
            for motor in [2 * n, 2 * n + 1] {
                moves.end(motor, now, at[motor]);
            }
            moves.ended(n as u64 + 1, now);
        }
        moves.close(now, &[], &mut halted);
    }
    assert!(moves.is_idle() && halted.is_empty());
    moves.finish(&mut halted)
}

#[test]
fn moves_side_by_side_are_told_apart() {
    for (markers, ends) in [
        // By the motors that they name, or by when they end.
        (["1:aligned:a,b", "2:aligned:c,d"], [200, 200]),
        (["1:aligned", "2:aligned"], [200, 210]),
    ] {
        let (line, notes) = side_by_side(markers, ends);
        assert_eq!((line.count, notes), (1, vec![]), "{markers:?}");
        assert!(line.first[0].what.contains("a and b are 5 steps off the line of move 1"));
        assert_eq!(line.first[0].at.as_nanos(), 50);
    }
    let (line, notes) = side_by_side(["1:aligned", "2:aligned"], [200, 200]);
    assert_eq!((line.count, notes.len()), (0, 2), "{notes:?}");
    let (line, _) = side_by_side(["1:asap", "2:aligned:c,d"], [200, 200]);
    assert_eq!(line.count, 0);
}

#[test]
fn distances_are_per_motor() {
    let at = |x, y| [Point { x, y, at: 7 }];
    assert_eq!(off_line(&at(5.0, 5.0), (10.0, 10.0)), (0.0, 7));
    assert_eq!(off_line(&at(6.0, 4.0), (10.0, 10.0)).0, 1.0);
    assert_eq!(off_line(&at(6.0, 2.0), (10.0, 0.0)).0, 2.0);
    assert_eq!(off_line(&at(0.0, -2.0), (0.0, 0.0)).0, 2.0);
    assert_eq!(off_line(&[], (1.0, 1.0)).0, 0.0);
}

#[test]
fn a_stop_may_rest_beside_its_steps() {
    let points: Vec<_> =
        (0..100).map(|n| Point { x: f64::from(n), y: f64::from(n) * 1.01, at: 0 }).collect();
    let exact = off_line(&points, (100.0, 100.0)).0;
    let best = least_off_line(&points, (100.0, 100.0), (1.0, 1.0));
    assert!(best < 0.1 * exact, "{best} {exact}");
}
