//! Pure arithmetic: limits, trajectories of constant-jerk segments, plans, and step times.

mod trajectory;
pub use trajectory::{Segment, State, Trajectory};
