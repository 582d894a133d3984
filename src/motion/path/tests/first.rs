use super::super::*;
use crate::motion::Limits;

#[test]
fn square() {
    let limits = Limits { speed: 50.0, acceleration: 500.0, jerk: 5000.0 };
    let motor = PathMotor { limits, scale: 400.0 };
    for blend in [1e-7, 1e-5, 0.001, 0.01, 0.1, 1.0, 5.0] {
        let mut path = Path::new(&[motor, motor], &[0.0, 0.0], blend).unwrap();
        for v in [[10.0, 0.0], [10.0, 10.0], [0.0, 10.0], [0.0, 0.0]] {
            path.push(&v, blend, 1.0).unwrap();
        }
        path.close();
        let mut n = 0;
        while path.advance() == Advance::Moved {
            n += 1;
            if n > 20000 {
                println!("{:?}", path.progress());
                break;
            }
        }
        let chunk = path.chunk(0);
        let e = chunk.trajectories[0].extremes();
        println!(
            "blend {blend} h {} ticks {n} time {:.3} {:?} ends {}",
            path.tick_nanos() as f64 / 1e6,
            n as f64 * path.tick_nanos() as f64 / 1e9,
            e,
            chunk.trajectories[1].end()
        );
    }
}

#[test]
fn circle() {
    let limits = Limits { speed: 50.0, acceleration: 500.0, jerk: 5000.0 };
    let motor = PathMotor { limits, scale: 400.0 };
    for (r, blend) in [(20.0, 0.1), (5.0, 0.1), (2.0, 0.1), (20.0, 0.01), (20.0, 0.5)] {
        let at = |i: usize| [f64::cos(i as f64 * 0.1 / r) * r, f64::sin(i as f64 * 0.1 / r) * r];
        let mut path = Path::new(&[motor, motor], &at(0), blend).unwrap();
        let t = std::time::Instant::now();
        let mut i = 0;
        loop {
            while path.wants() && i < 10000 {
                i += 1;
                path.push(&at(i), blend, 1.0).unwrap();
            }
            if i == 10000 {
                path.close();
            }
            if path.advance() != Advance::Moved {
                break;
            }
            let k = path.tick();
            if k > 30 {
                path.forget(k - 30);
            }
        }
        let el = t.elapsed();
        println!(
            "r {r} blend {blend} h {} ticks {} mean speed {:.2} ended {:?} {:.2} us/seg, {:.2} us/tick",
            path.tick_nanos() as f64 / 1e6,
            path.tick(),
            1000.0 / (path.tick() as f64 * path.tick_nanos() as f64 / 1e9),
            path.progress(),
            el.as_secs_f64() * 1e6 / 1e4,
            el.as_secs_f64() * 1e6 / path.tick() as f64
        );
    }
}
