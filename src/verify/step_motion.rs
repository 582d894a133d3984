//! How an axis moved, from the times of its steps alone.
//!
//! Nothing is assumed of how the steps were worked out but this: a step up to a count leaves where the
//! commanded position passes the place of that step, a step down likewise; the places of the steps up
//! lie one step apart, those of the steps down too, and a place of a step down lies at or below the
//! place of the same step up, by no more than a step. Then
//!
//! - among steps in one direction, distances are exact and only the times have an error: an edge
//!   leaves within a nanosecond of its time, or as late as is allowed on top of that;
//! - between a step up and a step down, half a step is unknown either way;
//! - between two edges, the position lies within a step of the count;
//! - from one move to the next the commanded position may jump, at rest, by up to a step: a move that
//!   was stopped rests at a part of a step, and the next one begins at the count.

use std::collections::VecDeque;

use super::kinematics::{Limits, Sample};

/// The widest window over steps: four edges this many steps apart.
const WIDEST: usize = 256;

/// A position is looked at this often within a window's step in time.
const PHASES: usize = 4;

/// Samples that a grid keeps: four, a whole step in time apart.
const RING: usize = 3 * PHASES + 1;

/// At most this many grids.
const GRIDS: usize = 16;

/// A step.
#[derive(Clone, Copy, Debug)]
struct Edge {
    at: u64,
    /// The count after it.
    count: i64,
    up: bool,
    /// The steps that the position may have gone on while the edge was held back.
    slip: f64,
    frame: u64,
}

/// What a grid saw at one of its times.
#[derive(Clone, Copy, Debug)]
struct Look {
    at: u64,
    count: i64,
    /// The edge that stands for it, its direction and slip; none where there was none nearby.
    edge: Option<(bool, f64)>,
    frame: u64,
}

/// Looks at the position at regular times, so that standstill counts as well.
#[derive(Clone, Debug)]
struct Grid {
    stride: u64,
    next: u64,
    looks: VecDeque<Look>,
}

/// An axis' speed, acceleration and jerk, in steps.
#[derive(Clone, Debug)]
pub(super) struct StepMotion {
    pub limits: Limits,
    speed: f64,
    /// How far the position may go while an edge is late.
    slip: f64,
    /// The last steps in one direction, within one move.
    run: VecDeque<Edge>,
    seen: u64,
    grids: Vec<Grid>,
    last: Option<Edge>,
    count: i64,
    /// Counts the moves: positions may jump between two of them.
    frame: u64,
    moving: bool,
}

impl StepMotion {
    /// Limits in steps a second, and so on; how late an edge may be, nanoseconds.
    pub fn new(speed: f64, acceleration: f64, jerk: f64, late: u64) -> StepMotion {
        let slip = speed * late as f64 / 1e9;
        // Where the error bars of four looks at a position known to a step are as large as the limit.
        let radius = 1.0 + slip;
        let of_acceleration = (4.0 * radius / acceleration).sqrt();
        let of_jerk = (8.0 * radius / jerk).cbrt();
        let (mut width, end) = (of_acceleration.min(of_jerk), 8.0 * of_acceleration.max(of_jerk));
        let mut grids = Vec::new();
        while width < end && grids.len() < GRIDS {
            let stride = ((width * 1e9) as u64 / PHASES as u64).max(1);
            grids.push(Grid { stride, next: 0, looks: VecDeque::with_capacity(RING) });
            width *= 2.0;
        }
        StepMotion {
            limits: Limits::new(speed, acceleration, jerk),
            speed,
            slip,
            run: VecDeque::with_capacity(3 * WIDEST + 1),
            seen: 0,
            grids,
            last: None,
            count: 0,
            frame: 0,
            moving: false,
        }
    }

    /// A step, which may have been held back by up to `held` nanoseconds.
    pub fn edge(&mut self, at: u64, up: bool, held: u64) {
        self.look_until(at);
        // It moves again: whatever came to rest before was no halt.
        self.limits.settle();
        self.count += if up { 1 } else { -1 };
        let rounding = self.count.unsigned_abs() as f64 * 4.0 * f64::EPSILON;
        let slip = self.slip + self.speed * held as f64 / 1e9 + rounding;
        let edge = Edge { at, count: self.count, up, slip, frame: self.frame };
        if self.run.back().is_some_and(|e| e.up != up) {
            self.run.clear();
        }
        if self.run.len() > 3 * WIDEST {
            self.run.pop_front();
        }
        self.run.push_back(edge);
        self.last = Some(edge);
        self.seen += 1;
        self.look_at_run();
    }

    /// Windows over the last steps of this run, of 1, 2, 4, ... steps.
    fn look_at_run(&mut self) {
        let newest = self.run.len() - 1;
        let mut width = 1;
        while width <= WIDEST.min(newest) {
            // Wide windows need not be looked at at each step.
            let every = (width / PHASES).max(1) as u64;
            // A power of two.
            if self.seen & (every - 1) == 0 {
                let count = (newest / width).min(3) + 1;
                let mut samples = [Sample { at: 0, mid: 0.0, radius: 0.0 }; 4];
                for (k, sample) in samples[..count].iter_mut().enumerate() {
                    let edge = self.run[newest - (count - 1 - k) * width];
                    *sample =
                        edge_sample(edge.at, (edge.count - self.count) as f64, edge.up, edge.slip);
                }
                self.limits.see(&samples[..count], false);
            }
            width *= 2;
        }
    }

    /// A move begins.
    pub fn start(&mut self, at: u64) {
        self.begin(at);
        self.moving = true;
    }

    /// Something begins at rest, where the position may jump by the part of a step that a stopped move
    /// has left.
    pub fn begin(&mut self, at: u64) {
        self.look_until(at);
        self.limits.settle();
        self.run.clear();
        self.frame += 1;
    }

    /// The move has ended as it says.
    pub fn end(&mut self) {
        self.limits.settle();
        self.moving = false;
    }

    /// The move has ended in a halt: what came after the last step is not judged, and the motor rests
    /// at `at` wherever it is.
    pub fn halt(&mut self, at: u64) {
        self.limits.forget();
        self.run.clear();
        self.last = None;
        self.moving = false;
        for grid in &mut self.grids {
            grid.looks.clear();
            grid.next = at;
        }
    }

    /// The trace ends.
    pub fn finish(&mut self, at: u64) {
        self.look_until(at.saturating_add(1));
        self.limits.settle();
    }

    /// Looks at the position at every time of every grid before `until`.
    fn look_until(&mut self, until: u64) {
        let (count, frame, slip) = (self.count, self.frame, self.slip);
        for grid in &mut self.grids {
            while grid.next < until {
                let at = grid.next;
                grid.next += grid.stride;
                let edge = self.last.filter(|e| e.at <= at && at - e.at < grid.stride);
                if grid.looks.len() == RING {
                    grid.looks.pop_front();
                }
                grid.looks.push_back(match edge {
                    Some(e) => Look { at: e.at, count, edge: Some((e.up, e.slip)), frame: e.frame },
                    None => Look { at, count, edge: None, frame },
                });
                if grid.looks.len() == RING && grid.looks.iter().all(|l| l.edge.is_none()) {
                    // Long at rest: go on shortly before something happens.
                    let left = until.saturating_sub(grid.next) / grid.stride;
                    let skip = left.saturating_sub(RING as u64 + 1) * grid.stride;
                    grid.next += skip;
                    if skip > 0 {
                        grid.looks.iter_mut().for_each(|l| l.at += skip);
                    }
                    continue;
                }
                let hold = self.moving && edge.is_none();
                if let Some((samples, n)) = window(&grid.looks, slip) {
                    self.limits.see(&samples[4 - n..], hold);
                }
            }
        }
    }
}

fn edge_sample(at: u64, place: f64, up: bool, slip: f64) -> Sample {
    // A late edge shows a place that lies behind.
    let ahead = if up { slip / 2.0 } else { -slip / 2.0 };
    Sample { at, mid: place + ahead, radius: slip / 2.0 }
}

/// The newest of these looks and those 1, 2 and 3 steps in time before it, the last `n` of which there
/// are; nothing where they show no motion.
fn window(looks: &VecDeque<Look>, slip: f64) -> Option<([Sample; 4], usize)> {
    let newest = looks.len() - 1;
    let n = newest / PHASES + 1;
    let chosen = |k: usize| looks[newest - (n - 1 - k) * PHASES];
    let last = chosen(n - 1);
    if (0..n).all(|k| chosen(k).count == last.count) {
        return None;
    }
    let any = |up: bool| (0..n).any(|k| chosen(k).edge.is_some_and(|e| e.0 == up));
    let mixed = any(true) && any(false);
    let mut samples = [Sample { at: 0, mid: 0.0, radius: 0.0 }; 4];
    for k in 0..n {
        let look = chosen(k);
        let place = (look.count - last.count) as f64;
        let mut sample = match look.edge {
            // Where both directions meet, places are counted from those of the steps up.
            Some((false, slip)) if mixed => {
                let sample = edge_sample(look.at, place + 0.5, false, slip);
                Sample { radius: sample.radius + 0.5, ..sample }
            }
            Some((up, slip)) => edge_sample(look.at, place, up, slip),
            None => Sample { at: look.at, mid: place, radius: 1.0 + slip },
        };
        sample.radius += (last.frame - look.frame) as f64;
        samples[4 - n + k] = sample;
    }
    Some((samples, n))
}
