use super::symmetric::Symmetric;
use super::{LONGEST, seconds};

/// Position, velocity and acceleration at one moment, in a unit, unit/s, unit/s².
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct State {
    /// Where.
    pub position: f64,
    /// How fast.
    pub velocity: f64,
    /// How much faster each second.
    pub acceleration: f64,
}

impl State {
    /// At rest at `position`.
    pub fn at_rest(position: f64) -> State {
        State { position, ..State::default() }
    }

    /// Whether velocity and acceleration are both 0, exactly.
    pub fn is_at_rest(self) -> bool {
        self.velocity == 0.0 && self.acceleration == 0.0
    }

    /// The state `h` seconds later under a constant jerk.
    pub(super) fn after(self, h: f64, jerk: f64) -> State {
        let State { position, velocity, acceleration } = self;
        State {
            position: position + travel(h, velocity, acceleration / 2.0, jerk / 6.0),
            velocity: velocity + h * (acceleration + h * (jerk / 2.0)),
            acceleration: acceleration + h * jerk,
        }
    }
}

/// `v h + a2 h² + j6 h³`: how far a segment has come after `h` seconds.
#[inline(always)]
pub(super) fn travel(h: f64, v: f64, a2: f64, j6: f64) -> f64 {
    h * (v + h * (a2 + h * j6))
}

/// A stretch of constant jerk.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Segment {
    /// When it begins, nanoseconds since the trajectory's start.
    pub start: u64,
    /// How long it lasts, nanoseconds, above 0.
    pub duration: u64,
    /// The state it begins in.
    pub state: State,
    /// The jerk while it lasts, unit/s³.
    pub jerk: f64,
}

impl Segment {
    /// The state `nanos` nanoseconds after the segment's own start.
    pub(super) fn state_after(&self, nanos: u64) -> State {
        self.state.after(seconds(nanos), self.jerk)
    }
}

/// A motion in one dimension: constant-jerk segments one after another, then rest at its end.
///
/// Times are whole nanoseconds since the trajectory's start. Each segment keeps the state it
/// begins in; where one ends and the next begins, the two agree to the last bits of the position
/// (see [`Planner`](super::Planner) for the bound), and so do the last segment's end and
/// [`end`](Trajectory::end).
///
/// ```
/// use lockstep::motion::{Limits, Planner, State};
///
/// let limits = Limits { speed: 50.0, acceleration: 500.0, jerk: 5000.0 };
/// let there = Planner::new().plan_to(State::at_rest(0.0), 10.0, limits)?;
/// assert_eq!(there.end(), 10.0);
/// assert_eq!(there.state_at(there.duration()), State::at_rest(10.0));
/// assert!((there.state_at(there.duration() / 2).position - 5.0).abs() < 1e-6);
/// # Ok::<(), lockstep::motion::PlanError>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Trajectory {
    segments: Vec<Segment>,
    duration: u64,
    end: f64,
}

impl Trajectory {
    /// No motion: rest at `position`, with no duration.
    pub fn rest(position: f64) -> Trajectory {
        Trajectory { segments: Vec::new(), duration: 0, end: position }
    }

    /// Rest at `position` for `duration` nanoseconds.
    pub fn dwell(position: f64, duration: u64) -> Trajectory {
        if duration == 0 {
            return Trajectory::rest(position);
        }
        let segment = Segment { start: 0, duration, state: State::at_rest(position), jerk: 0.0 };
        Trajectory { segments: vec![segment], duration, end: position }
    }

    /// One trajectory after another.
    ///
    /// `None` if there is no part, if a part does not begin at rest, exactly where the last one
    /// ended, or if the whole lasts longer than the clock counts.
    pub fn chain(parts: &[Trajectory]) -> Option<Trajectory> {
        let (first, rest) = parts.split_first()?;
        let mut whole = first.clone();
        for part in rest {
            if part.start() != State::at_rest(whole.end) {
                return None;
            }
            let offset = whole.duration;
            whole.duration = offset.checked_add(part.duration)?;
            let later = part.segments.iter().map(|s| Segment { start: offset + s.start, ..*s });
            whole.segments.extend(later);
            whole.end = part.end;
        }
        Some(whole)
    }

    /// This motion up to `at` nanoseconds after its start, then `next`.
    ///
    /// `None` if `next` does not begin in the very state that this one has then, to the last bit, or if
    /// the whole lasts longer than the clock counts.
    ///
    /// ```
    /// use lockstep::motion::{Limits, Planner, State};
    ///
    /// let limits = Limits { speed: 50.0, acceleration: 500.0, jerk: 5000.0 };
    /// let mut planner = Planner::new();
    /// let far = planner.plan_to(State::at_rest(0.0), 1000.0, limits)?;
    /// let rest = planner.plan_rest(far.state_at(2_000_000_000), limits)?;
    /// let for_two_seconds = far.spliced(2_000_000_000, &rest).unwrap();
    /// assert_eq!(for_two_seconds.end(), rest.end());
    /// assert_eq!(for_two_seconds.duration(), 2_000_000_000 + rest.duration());
    /// # Ok::<(), lockstep::motion::PlanError>(())
    /// ```
    pub fn spliced(&self, at: u64, next: &Trajectory) -> Option<Trajectory> {
        if next.start() != self.state_at(at) {
            return None;
        }
        let duration = at.checked_add(next.duration)?;
        let mut segments: Vec<Segment> =
            self.segments.iter().take_while(|s| s.start < at).copied().collect();
        match segments.last_mut() {
            Some(last) if last.start + last.duration >= at => last.duration = at - last.start,
            // It had come to rest before.
            _ if at > self.duration => segments.push(Segment {
                start: self.duration,
                duration: at - self.duration,
                state: State::at_rest(self.end),
                jerk: 0.0,
            }),
            _ => {}
        }
        segments.extend(next.segments.iter().map(|s| Segment { start: at + s.start, ..*s }));
        Some(Trajectory { segments, duration, end: next.end })
    }

    /// What is left of this motion `at` nanoseconds after its start.
    ///
    /// ```
    /// use lockstep::motion::{Limits, Planner, State};
    ///
    /// let limits = Limits { speed: 50.0, acceleration: 500.0, jerk: 5000.0 };
    /// let there = Planner::new().plan_to(State::at_rest(0.0), 10.0, limits)?;
    /// let rest = there.after(100_000_000);
    /// assert_eq!(rest.start(), there.state_at(100_000_000));
    /// assert_eq!((rest.duration() + 100_000_000, rest.end()), (there.duration(), there.end()));
    /// # Ok::<(), lockstep::motion::PlanError>(())
    /// ```
    pub fn after(&self, at: u64) -> Trajectory {
        let left = |s: &Segment| {
            let end = s.start + s.duration;
            let begin = s.start.max(at);
            let duration = end.checked_sub(begin).filter(|d| *d > 0)?;
            let state = if begin > s.start { s.state_after(begin - s.start) } else { s.state };
            Some(Segment { start: begin - at, duration, state, jerk: s.jerk })
        };
        Trajectory::from_segments(self.segments.iter().filter_map(left).collect(), self.end)
    }

    /// From segments that follow each other without a gap; the caller vouches for the states.
    pub(super) fn from_segments(segments: Vec<Segment>, end: f64) -> Trajectory {
        let duration = segments.last().map_or(0, |s| s.start + s.duration);
        Trajectory { segments, duration, end }
    }

    /// How long the motion lasts, nanoseconds.
    pub fn duration(&self) -> u64 {
        self.duration
    }

    /// The state at time 0.
    pub fn start(&self) -> State {
        self.segments.first().map_or(State::at_rest(self.end), |s| s.state)
    }

    /// Where it comes to rest.
    pub fn end(&self) -> f64 {
        self.end
    }

    /// Its segments, in order; none for [`rest`](Trajectory::rest).
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The state at `t` nanoseconds after the start. From [`duration`](Trajectory::duration) on it
    /// is rest at [`end`](Trajectory::end), exactly.
    pub fn state_at(&self, t: u64) -> State {
        if t >= self.duration {
            return State::at_rest(self.end);
        }
        let after = self.segments.partition_point(|s| s.start <= t);
        match after.checked_sub(1).and_then(|i| self.segments.get(i)) {
            Some(segment) => segment.state_after(t - segment.start),
            None => self.start(),
        }
    }

    /// The same motion in another measure: `offset + scale * position`.
    pub fn scaled(&self, offset: f64, scale: f64) -> Trajectory {
        self.scaled_to(offset, scale, offset + scale * self.end)
    }

    /// [`scaled`](Trajectory::scaled), but coming to rest at `end`, exactly: a whole step.
    ///
    /// `end` is meant to be `offset + scale * self.end()` without that sum's rounding. A motor that
    /// follows the trajectory covers any difference at its last nanosecond.
    pub fn scaled_to(&self, offset: f64, scale: f64, end: f64) -> Trajectory {
        let scaled = |s: &Segment| Segment {
            state: State {
                position: offset + scale * s.state.position,
                velocity: scale * s.state.velocity,
                acceleration: scale * s.state.acceleration,
            },
            jerk: scale * s.jerk,
            ..*s
        };
        let segments = self.segments.iter().map(scaled).collect();
        Trajectory { segments, duration: self.duration, end }
    }

    /// The same path in a longer time: with `k` = `duration` / [`duration`](Trajectory::duration),
    /// speeds are divided by `k`, accelerations by `k²`, jerks by `k³`, each to within what some
    /// nanoseconds mean in it; and none becomes greater than it was.
    ///
    /// Rests inside it (between the parts of a [`chain`](Trajectory::chain)) stay rests, at
    /// exactly the same places. `None` if it does not begin at rest, if `duration` is shorter than
    /// now or longer than a hundred days, or if it has no duration to stretch.
    pub fn stretched(&self, duration: u64) -> Option<Trajectory> {
        if duration < self.duration || duration > LONGEST {
            return None;
        }
        if duration == self.duration {
            return self.start().is_at_rest().then(|| self.clone());
        }
        let moved = |t: u64| {
            let exact = u128::from(t) * u128::from(duration) / u128::from(self.duration.max(1));
            exact as u64
        };
        let mut parts = Vec::new();
        let mut left = self.segments.as_slice();
        while let Some(first) = left.first() {
            // One part: up to the next rest.
            let inside = left.iter().skip(1).take_while(|s| !s.state.is_at_rest()).count();
            let (part, rest) = left.split_at(1 + inside);
            let ends = part.last().map_or(0, |s| s.start + s.duration);
            let to = moved(ends) - moved(first.start);
            let place = rest.first().map_or(self.end, |s| s.state.position);
            parts.push(if part.len() == 1 && first.jerk == 0.0 && first.state.is_at_rest() {
                Trajectory::dwell(place, to)
            } else {
                Symmetric::of(part, place)?.stretched(ends - first.start, to).trajectory()
            });
            left = rest;
        }
        Trajectory::chain(&parts)
    }
}

#[cfg(test)]
mod tests;
