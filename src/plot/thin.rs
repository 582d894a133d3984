//! Lines with as few points as the eye can tell apart.

/// Thins out a line in picture coordinates: no point of it lies farther than `tolerance` from what is
/// left, up and down. `x` never goes back.
pub(super) fn curve(points: &[(f64, f64)], tolerance: f64) -> Vec<(f64, f64)> {
    simplify(&columns(points, tolerance), tolerance)
}

/// Of each column `width` wide the first, lowest, highest and last point.
fn columns(points: &[(f64, f64)], width: f64) -> Vec<(f64, f64)> {
    let mut kept = Vec::new();
    let mut rest = points;
    while let Some(first) = rest.first() {
        let column = (first.0 / width).floor();
        let end = rest.partition_point(|p| (p.0 / width).floor() <= column).max(1);
        let (here, behind) = rest.split_at(end);
        let by = |a: &(usize, &(f64, f64)), b: &(usize, &(f64, f64))| a.1.1.total_cmp(&b.1.1);
        let low = here.iter().enumerate().min_by(by).map_or(0, |p| p.0);
        let high = here.iter().enumerate().max_by(by).map_or(0, |p| p.0);
        let mut chosen = [0, low.min(high), low.max(high), here.len() - 1].to_vec();
        chosen.dedup();
        kept.extend(chosen.into_iter().map(|i| here[i]));
        rest = behind;
    }
    kept
}

/// Douglas and Peucker's way: leaves out points that lie within `tolerance` of the line beside them.
pub(super) fn simplify(points: &[(f64, f64)], tolerance: f64) -> Vec<(f64, f64)> {
    let Some(last) = points.len().checked_sub(1) else { return Vec::new() };
    let mut keep = vec![false; points.len()];
    (keep[0], keep[last]) = (true, true);
    let mut open = vec![(0, last)];
    while let Some((from, to)) = open.pop() {
        let far = (from + 1..to)
            .map(|i| (i, distance(points[i], points[from], points[to])))
            .max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((i, distance)) = far
            && distance > tolerance
        {
            keep[i] = true;
            open.extend([(from, i), (i, to)]);
        }
    }
    points.iter().zip(keep).filter(|(_, keep)| *keep).map(|(p, _)| *p).collect()
}

/// From `p` to the stretch between `a` and `b`.
fn distance(p: (f64, f64), a: (f64, f64), b: (f64, f64)) -> f64 {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let length = dx * dx + dy * dy;
    let share = if length > 0.0 { ((p.0 - a.0) * dx + (p.1 - a.1) * dy) / length } else { 0.0 };
    let share = share.clamp(0.0, 1.0);
    (p.0 - a.0 - share * dx).hypot(p.1 - a.1 - share * dy)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Every point of the line is near the thinned one, and its ends stay.
        #[test]
        fn nothing_is_lost(points in prop::collection::vec((0.0f64..50.0, -30.0f64..30.0), 1..300)) {
            let mut points = points;
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            let thin = curve(&points, 0.5);
            prop_assert_eq!(thin.first(), points.first());
            prop_assert_eq!(thin.last(), points.last());
            for &p in &points {
                let near = thin.windows(2).map(|w| distance(p, w[0], w[1])).fold(f64::INFINITY, f64::min);
                // A column's width, and the tolerance.
                prop_assert!(thin.len() == 1 || near <= 1.0 + 1e-9, "{:?} {}", p, near);
            }
        }
    }

    #[test]
    fn a_straight_line_needs_two_points() {
        let points: Vec<_> =
            (0..10_000).map(|n| (f64::from(n) / 10.0, f64::from(n) / 7.0)).collect();
        assert_eq!(curve(&points, 0.5).len(), 2);
    }
}
