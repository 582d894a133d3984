//! Motions from rest to rest.

use super::{Segment, State, Trajectory, seconds};

/// Jerk, hold, jerk back, cruise, and the same mirrored; durations in nanoseconds. See the room's
/// own page for the formulae.
pub(super) struct Symmetric {
    pub start: f64,
    pub target: f64,
    pub jerk: u64,
    pub hold: u64,
    pub cruise: u64,
}

impl Symmetric {
    pub(super) fn trajectory(&self) -> Trajectory {
        let Symmetric { start, target, .. } = *self;
        let (tj, ta, tv) = (seconds(self.jerk), seconds(self.hold), seconds(self.cruise));
        let speed = (target - start) / (2.0 * tj + ta + tv);
        let acceleration = speed / (tj + ta);
        let jerk = acceleration / tj;
        // Where the jerk ends, where the hold ends, where the cruise begins.
        let first = State { position: 0.0, ..State::default() }.after(tj, jerk);
        let first = State { acceleration, ..first };
        let second = State { acceleration, ..first.after(ta, 0.0) };
        let way = speed * (2.0 * tj + ta) / 2.0;
        let at = |position: f64, velocity: f64, acceleration: f64| State {
            position,
            velocity,
            acceleration,
        };
        let states = [
            (self.jerk, State::at_rest(start), jerk),
            (self.hold, at(start + first.position, first.velocity, acceleration), 0.0),
            (self.jerk, at(start + second.position, second.velocity, acceleration), -jerk),
            (self.cruise, at(start + way, speed, 0.0), 0.0),
            (self.jerk, at(target - way, speed, 0.0), -jerk),
            (self.hold, at(target - second.position, second.velocity, -acceleration), 0.0),
            (self.jerk, at(target - first.position, first.velocity, -acceleration), jerk),
        ];
        let mut segments = Vec::with_capacity(states.len());
        let mut begin = 0;
        for (duration, state, jerk) in states {
            if duration > 0 {
                segments.push(Segment { start: begin, duration, state, jerk });
                begin += duration;
            }
        }
        Trajectory::from_segments(segments, target)
    }

    /// The motion that these segments are, from rest to rest at `end`; `None` if they are another.
    pub(super) fn of(segments: &[Segment], end: f64) -> Option<Symmetric> {
        let mut durations = [0; 7];
        let mut slot = 0;
        for segment in segments {
            // Jerks and steady stretches take turns; the steady ones may be left out.
            if (segment.jerk != 0.0) == (slot % 2 == 1) {
                slot += 1;
            }
            *durations.get_mut(slot)? = segment.duration;
            slot += 1;
        }
        let [jerk, hold, second, cruise, third, brake, fourth] = durations;
        let first = segments.first()?;
        let mirrored = [second, third, fourth] == [jerk; 3] && brake == hold;
        (mirrored && jerk > 0 && first.state.is_at_rest()).then_some(Symmetric {
            start: first.state.position,
            target: end,
            jerk,
            hold,
            cruise,
        })
    }

    /// The same motion in `to` nanoseconds instead of `from`, which are no more.
    ///
    /// Speed, acceleration and jerk fall with each of the durations, and none of these becomes
    /// less: so none of those becomes more.
    pub(super) fn stretched(&self, from: u64, to: u64) -> Symmetric {
        let scaled = |t: u64| (u128::from(t) * u128::from(to) / u128::from(from)) as u64;
        let (jerk, hold) = (scaled(self.jerk), scaled(self.hold));
        let length = 4 * self.jerk + 2 * self.hold + self.cruise;
        let cruise = scaled(length) - 4 * jerk - 2 * hold;
        Symmetric { jerk, hold, cruise, ..*self }
    }
}
