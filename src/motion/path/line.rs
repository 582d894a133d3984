//! The line ahead: segments in a ring, found by arc length.

use std::collections::VecDeque;

use super::{ORIGIN, Point, along, minus, square};

/// Less than this share of the first spacing from rest is no way to go: then a rest in the corner is
/// quicker.
pub(super) const CREEP: f64 = 0.02;

/// A limit for each motor, in spacings: `V h`, `A h²`, `J h³`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub d1: Point,
    pub d2: Point,
    pub d3: Point,
}

impl Bounds {
    /// The same along a direction of length 1.
    pub fn along(&self, dir: &Point) -> Scalar {
        let mut least = Scalar { v: f64::INFINITY, a: f64::INFINITY, j: f64::INFINITY };
        for (m, share) in dir.iter().enumerate() {
            let share = share.abs();
            if share > 0.0 {
                least.v = least.v.min(self.d1[m] / share);
                least.a = least.a.min(self.d2[m] / share);
                least.j = least.j.min(self.d3[m] / share);
            }
        }
        least
    }
}

/// Limits along a direction, in spacings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scalar {
    pub v: f64,
    pub a: f64,
    pub j: f64,
}

impl Scalar {
    /// The greatest first spacing from rest.
    pub fn first(&self) -> f64 {
        self.j.min(self.a)
    }
}

/// A straight stretch of the line, and the vertex that it begins in.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub start: f64,
    pub end: f64,
    pub from: Point,
    pub to: Point,
    pub dir: Point,
    pub limits: Scalar,
    /// The share of the motors' speed limits that it may be run at.
    pub speed: f64,
    /// The sum of all changes of direction up to its start, that one included.
    pub turning: f64,
    /// How many corners there were up to its start, that one included.
    pub corners: u64,
    /// The change of direction at its start, and how near the motion must stay there.
    pub turn: f64,
    pub blend: f64,
    /// The motion rests in the vertex at its start.
    pub stop: bool,
}

/// A point of the line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Knot {
    pub s: f64,
    /// The segment that it is in, counted from the path's first.
    pub seg: u64,
    pub q: Point,
}

#[derive(Clone, Debug)]
pub(super) struct Line {
    ring: VecDeque<Segment>,
    /// The number of the ring's first segment.
    first: u64,
    /// Where the line begins, or ends while it has no segment.
    last: Point,
    /// The arc length of its end.
    end: f64,
    /// The blend at its end.
    blend: f64,
    bounds: Bounds,
    pub motors: usize,
    /// All its speeds and blends are alike, as far as it reaches.
    uniform: Option<(f64, f64)>,
    /// Where the motion rests on its way, by arc length.
    stops: VecDeque<f64>,
    /// By how much more than its share a segment may be run at, at the most up to the limits.
    pub boost: f64,
    /// The greatest coordinate so far.
    pub size: f64,
    /// The vertices passed to `push` so far, those left out included.
    pub vertices: u64,
}

impl Line {
    pub fn new(start: Point, motors: usize, bounds: Bounds) -> Line {
        Line {
            ring: VecDeque::new(),
            first: 0,
            last: start,
            end: 0.0,
            blend: 0.0,
            bounds,
            motors,
            uniform: None,
            stops: VecDeque::new(),
            boost: 1.0,
            size: largest(&start),
            vertices: 0,
        }
    }

    pub fn end(&self) -> f64 {
        self.end
    }

    pub fn end_point(&self) -> Point {
        self.last
    }

    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    pub fn segments_after(&self, knot: &Knot) -> usize {
        (self.first + self.ring.len() as u64).saturating_sub(knot.seg + 1) as usize
    }

    pub fn last_segment(&self) -> u64 {
        (self.first + self.ring.len() as u64).saturating_sub(1)
    }

    #[inline]
    pub fn segment(&self, number: u64) -> Option<&Segment> {
        self.ring.get((number.checked_sub(self.first)?) as usize)
    }

    /// Goes on to `vertex`, at `speed`, and leaves it within `blend` (0: not without a rest).
    pub fn push(&mut self, vertex: Point, blend: f64, speed: f64) {
        self.vertices += 1;
        let way = minus(&vertex, &self.last);
        let length = square(&way).sqrt();
        self.size = self.size.max(largest(&vertex));
        // Nearer than its last bits can tell is the same place.
        if length <= 16.0 * f64::EPSILON * self.size {
            self.blend = self.blend.min(blend);
            return;
        }
        let dir = way.map(|x| x / length);
        let limits = self.bounds.along(&dir);
        let mut segment = Segment {
            start: self.end,
            end: self.end + length,
            from: self.last,
            to: vertex,
            dir,
            limits,
            speed,
            turning: 0.0,
            corners: 0,
            turn: 0.0,
            blend: self.blend,
            stop: false,
        };
        if let Some(before) = self.ring.back() {
            let turn = square(&minus(&dir, &before.dir)).sqrt();
            // A direction is known to the last bits of its ends.
            let straight =
                turn <= 16.0 * f64::EPSILON * self.size / length.min(before.end - before.start);
            segment.turn = if straight { 0.0 } else { turn };
            segment.turning = before.turning + segment.turn;
            segment.corners = before.corners + u64::from(!straight);
            let first = limits.first().min(before.limits.first());
            segment.stop =
                self.blend == 0.0 || (!straight && 6.0 * self.blend < CREEP * first * segment.turn);
        }
        let alike = (speed, segment.blend);
        self.uniform = match self.uniform {
            _ if self.ring.is_empty() => Some((speed, self.blend)),
            Some(both) if self.ring.len() == 1 && both.0 == speed => Some(alike),
            Some(both) if both == alike => Some(both),
            _ => None,
        };
        if segment.stop {
            self.stops.push_back(segment.start);
        }
        (self.last, self.end, self.blend) = (vertex, segment.end, blend);
        self.ring.push_back(segment);
    }

    /// Forgets the segments that end before `s`.
    pub fn forget(&mut self, s: f64) {
        while self.ring.len() > 1 && self.ring.front().is_some_and(|f| f.end < s) {
            self.ring.pop_front();
            self.first += 1;
        }
        while self.stops.front().is_some_and(|stop| *stop < s) {
            self.stops.pop_front();
        }
        if self.uniform.is_none() && self.ring.len() < 2 {
            self.uniform = self.ring.front().map(|f| (f.speed, f.blend));
        }
    }

    /// The number of the segment that `s` lies in, searched for from segment `near` on. `s` lies no
    /// earlier than that.
    #[inline]
    pub fn number_at(&self, s: f64, near: u64) -> u64 {
        let mut i = (near.saturating_sub(self.first)) as usize;
        let last = self.ring.len().saturating_sub(1);
        let mut stride = 1;
        // Gallop, then halve.
        while i < last && self.ring[i].end <= s {
            let next = (i + stride).min(last);
            if self.ring[next].start <= s {
                i = next;
                stride *= 2;
            } else {
                let (mut low, mut high) = (i, next);
                while high - low > 1 {
                    let middle = low + (high - low) / 2;
                    if self.ring[middle].start <= s { low = middle } else { high = middle }
                }
                i = low;
                break;
            }
        }
        self.first + i as u64
    }

    /// The point at `s`, searched for in the same way.
    #[inline]
    pub fn knot(&self, s: f64, near: u64) -> Knot {
        let seg = self.number_at(s, near);
        let Some(segment) = self.segment(seg) else { return Knot { s, seg, q: self.last } };
        // Its ends exactly: they are whole steps where the path begins and ends.
        let q = if s >= segment.end {
            segment.to
        } else if s <= segment.start {
            segment.from
        } else {
            along(&segment.from, &segment.dir, s - segment.start)
        };
        Knot { s, seg, q }
    }

    /// The next place after `s` where the motion rests, in a vertex or at the end.
    #[inline]
    pub fn next_stop(&self, s: f64) -> f64 {
        self.stops.iter().copied().find(|stop| *stop > s).unwrap_or(self.end)
    }

    /// The least speed share of the segments `from` to `to`.
    #[inline]
    pub fn speed(&self, from: u64, to: u64) -> f64 {
        let speed = match self.uniform {
            Some((speed, _)) => speed,
            None => {
                let inside = (from..=to).filter_map(|n| self.segment(n));
                inside.map(|g| g.speed).fold(1.0, f64::min)
            }
        };
        (speed * self.boost).min(1.0)
    }

    /// The least blend of the vertices after segment `from` up to the start of `to`.
    #[inline]
    pub fn blend(&self, from: u64, to: u64) -> f64 {
        if let Some((_, blend)) = self.uniform {
            return blend;
        }
        let inside = (from + 1..=to).filter_map(|n| self.segment(n)).filter(|g| g.turn > 0.0);
        inside.map(|g| g.blend).fold(f64::INFINITY, f64::min)
    }

    /// Counts arc lengths from `shift` on: on a long way their last bits get coarse.
    pub fn rebase(&mut self, shift: f64) {
        self.end -= shift;
        self.stops.iter_mut().for_each(|stop| *stop -= shift);
        for segment in &mut self.ring {
            segment.start -= shift;
            segment.end -= shift;
        }
    }

    /// The next corner after `s` becomes a place to rest in, if it is within `reach`; says whether there
    /// is one that was none before.
    pub fn stop_at_next_corner(&mut self, s: f64, reach: f64) -> bool {
        let near = self.ring.partition_point(|g| g.start <= s);
        let found = self.ring.iter_mut().skip(near).find(|g| g.turn > 0.0);
        let Some(segment) = found.filter(|g| !g.stop && g.start <= s + reach) else { return false };
        segment.stop = true;
        let at = self.stops.partition_point(|stop| *stop < segment.start);
        self.stops.insert(at, segment.start);
        true
    }
}

fn largest(p: &Point) -> f64 {
    p.iter().fold(ORIGIN[0], |most, x| most.max(x.abs()))
}
