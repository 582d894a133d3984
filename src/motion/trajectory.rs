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

/// A motion in one dimension: constant-jerk segments one after another, then rest at `end`.
#[derive(Clone, PartialEq, Debug)]
pub struct Trajectory {
    segments: Vec<Segment>,
    duration: u64,
    end: f64,
}
