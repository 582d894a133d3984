//! Pure arithmetic: limits, trajectories of constant-jerk segments, plans, and step times.
//!
//! # Important terms
//!
//! - **state**: position, velocity and acceleration at one moment, in a unit of the caller's
//!   choice (millimetres, degrees, steps, or the share of a line from 0 to 1), unit/s, unit/s².
//! - **segment**: a stretch of constant jerk `j`. From its first state `(p, v, a)`, after `h`
//!   seconds: `p + v h + a h²/2 + j h³/6`, `v + a h + j h²/2`, `a + j h`.
//! - **trajectory**: segments one after another, then rest at its end, exactly. Every duration is
//!   a whole number of nanoseconds, and the states are worked out from the whole durations.
//! - **limits**: the greatest speed, acceleration and jerk, each in either direction.
//! - **plan**: the trajectory from a state to rest that takes the least time within limits.
//! - **step times**: a trajectory in steps, inverted: the nanosecond at which each step is due.
//!
//! # From a solver's plan to whole nanoseconds
//!
//! The solver (`rsruckig`) answers with durations in seconds, as `f64`. They are rounded to whole
//! nanoseconds here, and that moves the end. What is done about it depends on the start.
//!
//! **From rest to rest** the plan is symmetric: jerk for `tj`, hold for `ta`, jerk back for `tj`,
//! cruise for `tv`, and the same again mirrored. It covers
//!
//! ```text
//! distance = j tj (tj + ta) (2 tj + ta + tv)
//! top speed = distance / (2 tj + ta + tv)
//! top acceleration = distance / ((tj + ta) (2 tj + ta + tv))
//! ```
//!
//! so all three durations are rounded up, and `j` follows from the distance: jerk, acceleration
//! and speed can only become less.
//!
//! **From any other state** the boundaries between the phases are rounded to the nearest
//! nanosecond. Given the durations, the end state is linear in the jerks: phase `i`, which lasts
//! `ti` and has `ri` of the plan's time after it, adds
//!
//! ```text
//! to the acceleration   ji ti
//! to the velocity       ji ti (ri + ti/2)
//! to the position       ji ti (ri²/2 + ri ti/2 + ti²/6)
//! ```
//!
//! The least change of the jerks that brings the end state home (minimum norm, by orthogonal
//! rows) is applied until nothing is left but the last bits. It makes the jerk exceed its limit by
//! some parts in a hundred million, so the plan is made again with limits that much lower.
//!
//! Every plan is checked after that, from its segments alone, before anyone gets it.
//!
//! Only `+ - * /` and square roots are used, so that a plan is the same, to the bit, on every
//! target.

mod check;
mod cruise;
mod error;
mod extremes;
mod fit;
mod limits;
mod onward;
pub mod path;
mod planner;
mod solver;
mod step_times;
mod symmetric;
mod trajectory;

pub use error::PlanError;
pub use extremes::Extremes;
pub use limits::{Limits, check_time, line_limits};
pub use planner::Planner;
pub use step_times::{StepDue, StepTimes};
pub use trajectory::{Segment, State, Trajectory};

/// The longest plan, nanoseconds: a hundred days. Below 2^53, so that `f64` holds every moment.
const LONGEST: u64 = 100 * 86_400 * 1_000_000_000;

/// Whole nanoseconds as seconds.
///
/// The one place where that is done: multiplying by the nearest `f64` to 1e-9 is off by no more
/// than the last bit, and dearer divisions stay out of the step loop.
#[inline(always)]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 * 1e-9
}

#[cfg(test)]
mod testing;
