use super::{Segment, Trajectory, seconds};

/// The extremes of a trajectory over its whole duration.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Extremes {
    /// The least position.
    pub min: f64,
    /// The greatest position.
    pub max: f64,
    /// The greatest speed, in either direction, unit/s.
    pub velocity: f64,
    /// The greatest acceleration, in either direction, unit/s².
    pub acceleration: f64,
    /// The greatest jerk, in either direction, unit/s³.
    pub jerk: f64,
}

impl Extremes {
    fn at_rest(position: f64) -> Extremes {
        Extremes { min: position, max: position, velocity: 0.0, acceleration: 0.0, jerk: 0.0 }
    }

    fn widen(&mut self, segment: &Segment, h: f64) {
        let state = segment.state.after(h, segment.jerk);
        self.min = self.min.min(state.position);
        self.max = self.max.max(state.position);
        self.velocity = self.velocity.max(state.velocity.abs());
        self.acceleration = self.acceleration.max(state.acceleration.abs());
    }
}

impl Trajectory {
    /// The extremes over the whole trajectory, its end included.
    ///
    /// Exact to the last bits: position has its extremes where the velocity is 0, velocity where
    /// the acceleration is 0, and both roots are worked out for each segment.
    pub fn extremes(&self) -> Extremes {
        let mut extremes = Extremes::at_rest(self.end());
        for segment in self.segments() {
            let own = segment_extremes(segment);
            extremes.min = extremes.min.min(own.min);
            extremes.max = extremes.max.max(own.max);
            extremes.velocity = extremes.velocity.max(own.velocity);
            extremes.acceleration = extremes.acceleration.max(own.acceleration);
            extremes.jerk = extremes.jerk.max(own.jerk);
        }
        extremes
    }

    /// The way it goes in all: there and back counts twice.
    pub fn way(&self) -> f64 {
        let of = |segment: &Segment| {
            let length = seconds(segment.duration);
            let (mut way, mut last) = (0.0, segment.state.position);
            let inside = velocity_zeros(segment).into_iter().filter(|&h| h > 0.0 && h < length);
            for h in inside.chain([length]) {
                let position = segment.state.after(h, segment.jerk).position;
                way += (position - last).abs();
                last = position;
            }
            way
        };
        self.segments().iter().map(of).sum()
    }

    /// How far it goes and comes back again: 0 where it goes straight to its end.
    pub fn back(&self) -> f64 {
        (self.way() - (self.end() - self.start().position).abs()).max(0.0) / 2.0
    }

    /// Its rests on the way, in their order: when each begins and how long it lasts, nanoseconds, and where.
    /// One after which it does not move any more is part of its end.
    pub fn waits(&self) -> impl Iterator<Item = (u64, u64, f64)> {
        let moves = |s: &Segment| s.jerk != 0.0 || !s.state.is_at_rest();
        let last = self.segments().iter().rposition(moves).unwrap_or(0);
        let before = self.segments().iter().take(last);
        before.filter(move |s| !moves(s)).map(|s| (s.start, s.duration, s.state.position))
    }

    /// The least velocity along `direction` (1 or -1): below 0 where the motion turns back. At most 0,
    /// since it ends at rest.
    pub fn least_velocity(&self, direction: f64) -> f64 {
        let of = |s: &Segment| {
            let turn = (-s.state.acceleration / s.jerk).clamp(0.0, seconds(s.duration));
            // Not a number where there is no jerk; then the ends are all there is.
            let turn = if turn.is_finite() { turn } else { 0.0 };
            let at = |h: f64| direction * s.state.after(h, s.jerk).velocity;
            at(0.0).min(at(turn)).min(at(seconds(s.duration)))
        };
        self.segments().iter().map(of).fold(0.0, f64::min)
    }

    /// The greatest speed, in either direction, from `from` to `to` nanoseconds after the start, both
    /// included.
    pub fn top_speed_between(&self, from: u64, to: u64) -> f64 {
        let ends = [from, to].map(|t| self.state_at(t).velocity.abs());
        let inside = self.segments().iter().filter_map(|s| {
            let (first, last) = (s.start.max(from), (s.start + s.duration).min(to));
            let part = Segment {
                start: first,
                duration: last.checked_sub(first).filter(|d| *d > 0)?,
                state: s.state_after(first - s.start),
                jerk: s.jerk,
            };
            Some(segment_extremes(&part).velocity)
        });
        inside.fold(ends[0].max(ends[1]), f64::max)
    }
}

/// The extremes of one segment.
pub(super) fn segment_extremes(segment: &Segment) -> Extremes {
    let length = seconds(segment.duration);
    let mut extremes = Extremes::at_rest(segment.state.position);
    extremes.widen(segment, 0.0);
    extremes.widen(segment, length);
    extremes.jerk = segment.jerk.abs();
    let turn = -segment.state.acceleration / segment.jerk;
    let [first, second] = velocity_zeros(segment);
    for root in [turn, first, second] {
        // A root that is no number fails both comparisons.
        if root > 0.0 && root < length {
            extremes.widen(segment, root);
        }
    }
    extremes
}

/// The seconds after the segment's start at which its velocity `v + a h + j h²/2` is 0, the lesser
/// first; not a number where there is none. They may lie outside the segment.
pub(super) fn velocity_zeros(segment: &Segment) -> [f64; 2] {
    let (v, a, j) = (segment.state.velocity, segment.state.acceleration, segment.jerk);
    if j == 0.0 {
        let only = if a == 0.0 { f64::NAN } else { -v / a };
        return [only, f64::NAN];
    }
    let discriminant = a * a - 2.0 * j * v;
    if discriminant < 0.0 {
        return [f64::NAN; 2];
    }
    // The sum of two terms of one sign: nothing cancels. The other root is by their product.
    let root = discriminant.sqrt();
    let q = if a < 0.0 { root - a } else { -(a + root) };
    if q == 0.0 {
        return [0.0, f64::NAN];
    }
    let (one, two) = (q / j, 2.0 * v / q);
    if one < two { [one, two] } else { [two, one] }
}
