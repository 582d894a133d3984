//! Control points as the motors' trajectories.

use super::{Path, Point};
use crate::motion::{Segment, State, Trajectory};

/// A stretch of a path as the motors are given it, from the start of a tick to a rest.
#[derive(Clone, PartialEq, Debug)]
pub struct Chunk {
    /// The tick at whose start it begins.
    pub tick: u64,
    /// How long it goes on before the brake: what is added later takes over there. Nanoseconds.
    pub until_brake: u64,
    /// For each motor, in its native unit.
    pub trajectories: Vec<Trajectory>,
}

/// A whole step that is off by less than this, in steps, is one.
const WHOLE: f64 = 1e-9;

impl Path {
    /// The motors' trajectories from the start of tick `tick` to the tick that comes next, with the
    /// brake from there. Each begins in the very state that one from an earlier tick has then.
    ///
    /// A tick that is [forgotten](Path::forget) or has not come gives no trajectories.
    pub fn chunk(&self, tick: u64) -> Chunk {
        let Some((points, ticks)) = self.control_points(tick) else {
            return Chunk { tick, until_brake: 0, trajectories: Vec::new() };
        };
        let h = self.tick_nanos();
        let of = |(m, scale): (usize, &f64)| trajectory(&points, m, *scale, h);
        let trajectories = self.scales.iter().enumerate().map(of).collect();
        Chunk { tick, until_brake: ticks as u64 * h, trajectories }
    }
}

impl Path {
    /// What its motors do from the start of tick `tick` up to the tick that comes next, where they may still
    /// be moving: for figures, not to be run.
    pub fn so_far(&self, tick: u64) -> Vec<Trajectory> {
        let Some((mut points, ticks)) = self.control_points(tick) else { return Vec::new() };
        points.truncate(ticks + 3);
        let h = self.tick_nanos();
        let of = |(m, scale): (usize, &f64)| trajectory(&points, m, *scale, h);
        self.scales.iter().enumerate().map(of).collect()
    }
}

pub(super) fn native(q: f64, scale: f64) -> f64 {
    let x = q * scale;
    let whole = x.round();
    // A vertex that was worked out from a whole step is that step again.
    if (x - whole).abs() <= WHOLE { whole } else { x }
}

fn trajectory(points: &[Point], m: usize, scale: f64, tick: u64) -> Trajectory {
    let h = super::super::seconds(tick);
    let mut segments = Vec::with_capacity(points.len().saturating_sub(3));
    let end = points.last().map_or(0.0, |p| native(p[m], scale));
    for (i, window) in points.windows(4).enumerate() {
        let [q0, q1, q2, q3] = [0, 1, 2, 3].map(|n| native(window[n][m], scale));
        let (back, ahead, then) = (q1 - q0, q2 - q1, q3 - q2);
        let state = State {
            position: q1 + (ahead - back) / 6.0,
            velocity: (back + ahead) / 2.0 / h,
            acceleration: (ahead - back) / h / h,
        };
        let jerk = ((then - ahead) - (ahead - back)) / h / h / h;
        let start = i as u64 * tick;
        segments.push(Segment { start, duration: tick, state, jerk });
    }
    Trajectory::from_segments(segments, end)
}
