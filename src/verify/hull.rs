//! The outermost of many points, kept in bounded memory.

/// Points are thinned out to their hull once there are this many.
const ROOM: usize = 64;

/// A point and when it was there, nanoseconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Point {
    pub x: f64,
    pub y: f64,
    pub at: u64,
}

/// The convex hull of all points that it was given, and a few more of them.
#[derive(Clone, Debug)]
pub(super) struct Hull {
    points: Vec<Point>,
    room: usize,
}

impl Hull {
    pub fn new() -> Hull {
        Hull { points: Vec::new(), room: ROOM }
    }

    pub fn add(&mut self, point: Point) {
        if self.points.last().is_some_and(|p| (p.x, p.y) == (point.x, point.y)) {
            return;
        }
        if self.points.len() >= self.room {
            self.thin_out();
            // A hull that is large by itself must not be worked out at each point.
            self.room = ROOM.max(2 * self.points.len());
        }
        self.points.push(point);
    }

    /// The points among which the outermost are.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// Andrew's monotone chain.
    fn thin_out(&mut self) {
        self.points.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
        let mut hull: Vec<Point> = Vec::with_capacity(self.points.len());
        let backwards = self.points.iter().rev();
        for side in
            [&mut self.points.iter() as &mut dyn Iterator<Item = &Point>, &mut { backwards }]
        {
            let base = hull.len();
            for &point in side {
                while hull.len() >= base + 2
                    && turn(hull[hull.len() - 2], hull[hull.len() - 1], point) <= 0.0
                {
                    hull.pop();
                }
                hull.push(point);
            }
            // The side's last point is the next one's first.
            hull.pop();
        }
        self.points = hull;
    }
}

/// Above 0 where the way from `a` by `b` to `c` turns left.
fn turn(a: Point, b: Point, c: Point) -> f64 {
    (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// In no direction does a point lie farther out than those kept.
        #[test]
        fn nothing_lies_outside(
            points in prop::collection::vec((-40i32..40, -40i32..40), 1..500),
            direction in (-9i32..9, -9i32..9),
        ) {
            let mut hull = Hull::new();
            let out = |x: f64, y: f64| x * f64::from(direction.0) + y * f64::from(direction.1);
            let mut farthest = f64::NEG_INFINITY;
            for (x, y) in points {
                let (x, y) = (f64::from(x), f64::from(y));
                farthest = farthest.max(out(x, y));
                hull.add(Point { x, y, at: 0 });
            }
            let kept = hull.points().iter().map(|p| out(p.x, p.y)).fold(f64::NEG_INFINITY, f64::max);
            prop_assert_eq!(kept, farthest);
        }

        /// Along a line of steps few points are kept, however long it is.
        #[test]
        fn a_line_takes_little_room(dx in 1i64..1000, dy in -1000i64..1000) {
            let mut hull = Hull::new();
            for n in 0..100_000i64 {
                let (x, y) = (n * dx / 1000, n * dy / 1000);
                hull.add(Point { x: x as f64, y: y as f64, at: n as u64 });
                prop_assert!(hull.points().len() <= 4 * ROOM);
            }
        }
    }
}
