//! Whether blended runs stay near their vertices' straight lines, and come by every vertex in order.
//!
//! A run's marker `N:blend:x,y` names its motors; `N:corner:0.1:12.5,3` is the next vertex, with its blend
//! and the motors' positions, told no later than the motion needs it.
//!
//! The edges give a place now and then, each known to within a bar. There must be points of the line that
//! never go back, one for each place, each within the blend (and the bar) of its place. If there are any,
//! then those do that are always taken as near the start as they can be: so only one such point is kept.
//! In the same way, whichever vertex the line's point has passed must have had a place near it, and those
//! places must come in the order of the vertices: each takes the first that it can.
//!
//! That leaves room for a motion that goes back by twice the blend. So where a motor turns round, there must
//! be a vertex at which the line turns round in that motor, too, and the motor must have come as near to it as
//! the blend: a motion within the blend of each vertex can't turn elsewhere. A hold, a stop and what follows
//! them change nothing in all that.

use std::collections::VecDeque;

use super::check::{Tally, figure};
use super::report::Bound;

/// At most so many vertices are told before the motion comes to them.
const AHEAD: usize = 100_000;

#[derive(Clone, Debug)]
struct Vertex {
    at: Vec<f64>,
    blend: f64,
}

/// A motor of a run: where it began, and what its grain is, in its unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub motor: usize,
    /// Its position at the start, in its unit and in grains.
    pub start: (f64, f64),
    /// A grain in its unit.
    pub grain: f64,
    /// How many grains its edges may be late.
    pub late: f64,
    /// So many grains back are a turn.
    pub turn: f64,
}

/// How a motor of a run goes.
#[derive(Clone, Copy, Debug)]
struct Way {
    up: Option<bool>,
    /// The farthest that it has come in that direction, in grains.
    farthest: f64,
}

#[derive(Debug)]
struct Run {
    id: u64,
    members: Vec<Member>,
    ways: Vec<Way>,
    unit: &'static str,
    /// How far a place that the edges give may be off.
    bar: f64,
    /// Vertices from number `first` on.
    line: VecDeque<Vertex>,
    first: usize,
    /// The point of the line that the motion has come to: after vertex `segment`, this share of the way on.
    segment: usize,
    share: f64,
    /// So many vertices were come by, the start included.
    visited: usize,
    /// Told to stop, or halted: what is left of the line is not asked for.
    cut: bool,
    /// Where it was off its path after it was told to stop: none of it counts if a motor stood with a fault.
    off: Vec<(u64, String)>,
    /// It comes to rest without some motor that stands, with a fault: that is no path.
    alone: bool,
    /// It has vertices in more motors than move, and has not been stopped for that yet.
    unfit: Option<(u64, String)>,
    ended: Vec<bool>,
}

/// So many places off a path that is left after a stop are told.
const MOST_OFF: usize = 16;

/// All blended runs of a trace.
#[derive(Debug, Default)]
pub(super) struct Blends {
    runs: Vec<Run>,
    tally: Tally,
    /// The farthest off, its blend, and the unit.
    worst: Option<(f64, f64, f64, &'static str)>,
}

impl Blends {
    pub fn is_idle(&self) -> bool {
        self.runs.is_empty()
    }

    /// A run begins.
    pub fn begin(&mut self, id: u64, unit: &'static str, members: Vec<Member>) {
        let square = |m: &Member| ((1.0 + m.late) * m.grain) * ((1.0 + m.late) * m.grain);
        let bar = members.iter().map(square).sum::<f64>().sqrt();
        let start = Vertex { at: members.iter().map(|m| m.start.0).collect(), blend: 0.0 };
        let ended = vec![false; members.len()];
        let way = |m: &Member| Way { up: None, farthest: m.start.1 };
        let ways = members.iter().map(way).collect();
        let (line, first, segment, share, visited) = (VecDeque::from([start]), 0, 0, 0.0, 1);
        let (cut, alone, off) = (false, false, Vec::new());
        self.runs.push(Run {
            id,
            members,
            ways,
            unit,
            bar,
            line,
            first,
            segment,
            share,
            visited,
            cut,
            alone,
            off,
            unfit: None,
            ended,
        });
    }

    /// The next vertex of a run.
    pub fn corner(&mut self, id: u64, at: u64, blend: f64, places: Vec<f64>) {
        let Some(run) = self.runs.iter_mut().find(|r| r.id == id) else { return };
        let text =
            || format!("move {id}: a vertex in {} motors, of {}", places.len(), run.members.len());
        // One of its motors had a fault before it began: what the others do until they are stopped is no path. But
        // stopped they have to be.
        if places.len() > run.members.len() {
            run.unfit.get_or_insert_with(|| (at, text()));
            (run.alone, run.cut) = (true, true);
            return;
        }
        let fits = places.len() == run.members.len();
        self.tally.look(at, fits, text);
        let room = run.line.len() < AHEAD;
        self.tally.look(at, room, || format!("move {id}: more than {AHEAD} vertices ahead"));
        if fits && room {
            run.line.push_back(Vertex { at: places, blend });
        }
    }

    /// Motors have moved; `place` gives a motor's position in grains.
    pub fn moved(&mut self, at: u64, motors: &[bool], place: impl Fn(usize) -> f64) {
        for run in &mut self.runs {
            if !run.alone && run.members.iter().any(|m| motors[m.motor]) {
                let here = |m: &Member| m.start.0 + (place(m.motor) - m.start.1) * m.grain;
                let here: Vec<f64> = run.members.iter().map(here).collect();
                run.look(at, &here, &mut self.tally, &mut self.worst);
                for n in 0..run.members.len() {
                    if motors[run.members[n].motor] {
                        run.go(at, n, place(run.members[n].motor), &mut self.tally);
                    }
                }
            }
        }
    }

    /// These motors of a run are told to come to rest.
    pub fn stop(&mut self, id: u64, motors: &[usize]) {
        self.runs.retain(|r| r.id != id || r.unfit.is_none());
        for run in self.runs.iter_mut().filter(|r| r.id == id) {
            run.cut = true;
            let mut left = run.members.iter().zip(&run.ended).filter(|m| !m.1);
            run.alone |= left.any(|m| !motors.contains(&m.0.motor));
        }
    }

    /// A motor has a fault: what the others do until they are stopped is no path.
    pub fn fault(&mut self, motor: usize) {
        let runs = self.runs.iter_mut().filter(|r| r.members.iter().any(|m| m.motor == motor));
        runs.for_each(|run| (run.alone, run.cut) = (true, true));
    }

    /// A motor has ended its part.
    pub fn end(&mut self, motor: usize) {
        for run in &mut self.runs {
            if let Some(n) = run.members.iter().position(|m| m.motor == motor) {
                run.ended[n] = true;
            }
        }
    }

    /// A run has ended.
    pub fn ended(&mut self, id: u64, at: u64) {
        let Some(n) = self.runs.iter().position(|r| r.id == id) else { return };
        let run = self.runs.remove(n);
        let cut = run.cut || run.ended.contains(&false);
        if !run.ended.contains(&false) {
            let found = run.off.iter().chain(&run.unfit);
            found.for_each(|(at, text)| self.tally.look(*at, false, || text.clone()));
        }
        let all = run.first + run.line.len();
        self.tally.look(at, cut || run.visited == all, || {
            format!("move {id} ends, but has not come by vertex {} of {}", run.visited, all - 1)
        });
    }

    /// The row of the table; none where there was no run.
    pub fn bound(mut self) -> Option<Bound> {
        for (at, text) in self.runs.iter().filter_map(|run| run.unfit.as_ref()) {
            self.tally.look(*at, false, || text.clone());
        }
        if self.tally.looked() == 0 {
            return None;
        }
        let (off, blend, bar, unit) = self.worst.unwrap_or((0.0, 0.0, 0.0, ""));
        let required = format!("<= {} {unit} ±{}", figure(blend), figure(bar));
        let seen = format!("{} {unit}", figure((off * 1e6).ceil() / 1e6));
        Some(self.tally.bound("machine", "off the blended path", required, |_| seen))
    }
}

impl Run {
    /// How far the motion may be off between vertex `n` and the next one.
    fn allowed(&self, n: usize) -> f64 {
        let blend = |n: usize| self.line.get(n - self.first).map_or(0.0, |v| v.blend);
        blend(n).max(blend(n + 1)) + self.bar
    }

    fn look(
        &mut self,
        at: u64,
        here: &[f64],
        tally: &mut Tally,
        worst: &mut Option<(f64, f64, f64, &'static str)>,
    ) {
        // Vertices are come by in their order.
        while let Some(vertex) = self.line.get(self.visited - self.first) {
            let near = vertex.blend.max(f64::MIN_POSITIVE) + self.bar;
            if distance(here, &vertex.at) > near {
                break;
            }
            self.visited += 1;
        }
        // The first point of the line that is near enough, and the nearest there is a little further on.
        let mut found = None;
        let mut nearest = (f64::INFINITY, 0.0);
        let (mut share, mut gone) = (self.share, 0.0);
        for n in self.segment..self.first + self.line.len().max(2) - 1 {
            let (Some(a), Some(b)) =
                (self.line.get(n - self.first), self.line.get(n + 1 - self.first))
            else {
                break;
            };
            let allowed = self.allowed(n);
            let (off, first) = on_segment(here, &a.at, &b.at, share, allowed);
            if off - allowed < nearest.0 - nearest.1 {
                nearest = (off, allowed);
            }
            if let (None, Some(first)) = (found, first) {
                found = Some((n, first));
            }
            share = 0.0;
            // The nearest is looked for no farther than it can be.
            gone += if found.is_some() { distance(&a.at, &b.at) } else { 0.0 };
            if gone > 4.0 * allowed {
                break;
            }
        }
        let (off, allowed) = nearest;
        if off.is_finite() && !self.cut && worst.is_none_or(|w| off - allowed > w.0 - w.1 - w.2) {
            *worst = Some((off, allowed - self.bar, self.bar, self.unit));
        }
        let (id, unit) = (self.id, self.unit);
        let text = || format!("move {id} is {} {unit} off its path", figure(off));
        if self.cut && found.is_none() {
            if self.off.len() < MOST_OFF {
                self.off.push((at, text()));
            }
        } else {
            tally.look(at, found.is_some(), text);
        }
        if let Some((segment, share)) = found {
            (self.segment, self.share) = (segment, share);
            let missed = self.visited <= segment;
            tally.look(at, !missed, || {
                format!("move {id} does not come by its vertex {}", self.visited)
            });
            if missed {
                self.visited = segment + 1;
            }
        }
        // The one before says where the line turns.
        while self.first + 1 < self.segment.min(self.visited - 1) {
            self.line.pop_front();
            self.first += 1;
        }
    }
}

impl Run {
    /// A motor has moved: on, or so far back that it has turned.
    fn go(&mut self, at: u64, n: usize, place: f64, tally: &mut Tally) {
        let (way, turn) = (self.ways[n], self.members[n].turn);
        let gone = place - way.farthest;
        let up = gone > 0.0;
        if way.up == Some(up) {
            self.ways[n].farthest = place;
        } else if gone.abs() >= turn {
            self.ways[n] = Way { up: Some(up), farthest: place };
            if way.up.is_some() {
                let member = &self.members[n];
                let farthest = member.start.0 + (way.farthest - member.start.1) * member.grain;
                let fine = self.turns_at(n, farthest, up);
                tally.look(at, fine, || {
                    let (id, unit) = (self.id, self.unit);
                    format!(
                        "move {id} turns round at {} {unit}, where its path does not",
                        figure(farthest)
                    )
                });
            }
        }
    }

    /// Whether the line turns round in motor `n` at a vertex near `place`: `up`, from down to up.
    fn turns_at(&self, n: usize, place: f64, up: bool) -> bool {
        let of = |v: &Vertex| if up { v.at[n] } else { -v.at[n] };
        (0..self.line.len()).any(|k| {
            let vertex = &self.line[k];
            let here = of(vertex);
            if (vertex.at[n] - place).abs() > vertex.blend + 2.0 * self.bar {
                return false;
            }
            // The lowest between two higher ones, several of one height in between.
            let rises = |other: &&Vertex| of(other) != here;
            let before = self.line.range(..k).rev().find(rises);
            let after = self.line.range(k + 1..).find(rises);
            // What lies before the first one is forgotten; what comes after the last is not told yet.
            before.is_none_or(|v| of(v) > here) && after.is_none_or(|v| of(v) > here)
        })
    }
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}

/// How far `p` is off the stretch from `a` to `b` after the share `from` of it, and the first share from
/// there on that is within `allowed` of it.
fn on_segment(p: &[f64], a: &[f64], b: &[f64], from: f64, allowed: f64) -> (f64, Option<f64>) {
    let length = distance(a, b);
    if length == 0.0 {
        let off = distance(p, a);
        return (off, (off <= allowed).then_some(from));
    }
    let along = p.iter().zip(a).zip(b).map(|((p, a), b)| (p - a) * (b - a)).sum::<f64>();
    let middle = along / (length * length);
    let at = |share: f64| {
        let off = |((p, a), b): ((&f64, &f64), &f64)| (a + share * (b - a) - p).powi(2);
        p.iter().zip(a).zip(b).map(off).sum::<f64>().sqrt()
    };
    let off = at(middle.clamp(from, 1.0));
    if off > allowed {
        return (off, None);
    }
    let across = at(middle);
    let reach = (allowed * allowed - across * across).max(0.0).sqrt() / length;
    (off, Some((middle - reach).clamp(from, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run in two motors of one thousandth of a unit a grain, along these corners, with a blend of 0.1.
    fn run(corners: &[(f64, f64)], way: &[(f64, f64)]) -> Bound {
        let member =
            |motor| Member { motor, start: (0.0, 0.0), grain: 0.001, late: 0.0, turn: 1.0 };
        let mut blends = Blends::default();
        blends.begin(7, "mm", vec![member(0), member(1)]);
        for (n, (x, y)) in corners.iter().enumerate() {
            let blend = if n + 1 == corners.len() { 0.0 } else { 0.1 };
            blends.corner(7, 0, blend, vec![*x, *y]);
        }
        let mut now = 0;
        let mut last = (0.0, 0.0);
        for &to in way {
            for k in 1..=1000 {
                let at = |a: f64, b: f64| ((a + (b - a) * f64::from(k) / 1000.0) * 1000.0).round();
                now += 1;
                let here = [at(last.0, to.0), at(last.1, to.1)];
                blends.moved(now, &[true, true], |m| here[m]);
            }
            last = to;
        }
        blends.end(0);
        blends.end(1);
        blends.ended(7, now);
        assert!(blends.is_idle());
        blends.bound().unwrap()
    }

    const SQUARE: [(f64, f64); 3] = [(1.0, 0.0), (1.0, 1.0), (0.0, 1.0)];

    #[test]
    fn a_way_along_the_line_or_across_its_corners_is_fine() {
        assert_eq!(run(&SQUARE, &SQUARE).count, 0);
        let cut = [(0.87, 0.0), (1.0, 0.13), (1.0, 0.87), (0.87, 1.0), (0.0, 1.0)];
        let bound = run(&SQUARE, &cut);
        assert_eq!((bound.count, bound.required.as_str()), (0, "<= 0.1 mm ±0.0014142"));
        let seen: f64 = bound.seen.split(' ').next().unwrap().parse().unwrap();
        assert!(seen > 0.06 && seen <= 0.1 + 0.0014142, "{}", bound.seen);
    }

    #[test]
    fn a_corner_cut_too_far_is_found() {
        let cut = [(0.7, 0.0), (1.0, 0.3), (1.0, 1.0), (0.0, 1.0)];
        let bound = run(&SQUARE, &cut);
        assert!(bound.count > 0 && bound.first[0].what.contains("move 7"), "{bound:?}");
    }

    #[test]
    fn a_vertex_left_out_is_found() {
        // To and fro on one line: all of it is near the line, but 2 is never reached.
        let line = [(2.0, 0.0), (1.0, 0.0), (3.0, 0.0)];
        let bound = run(&line, &[(1.5, 0.0), (1.0, 0.0), (3.0, 0.0)]);
        assert!(bound.count > 0, "{bound:?}");
        assert_eq!(run(&line, &[(1.95, 0.0), (1.05, 0.0), (3.0, 0.0)]).count, 0);
        // The end is never reached.
        let bound = run(&SQUARE, &[(1.0, 0.0), (1.0, 1.0), (0.5, 1.0)]);
        assert_eq!(bound.count, 1);
        assert_eq!(bound.first[0].what, "move 7 ends, but has not come by vertex 3 of 3");
    }

    #[test]
    fn going_back_is_found() {
        let bound = run(&SQUARE, &[(1.0, 0.0), (0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]);
        assert!(bound.count > 0, "{bound:?}");
    }

    /// By less than the blend: the line's point need not go back for it.
    #[test]
    fn going_back_a_little_is_found() {
        let bound = run(&SQUARE, &[(0.5, 0.0), (0.49, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]);
        assert_eq!(bound.count, 2, "{bound:?}");
        assert_eq!(bound.first[0].what, "move 7 turns round at 0.5 mm, where its path does not");
        // At a corner that is no turn of the motor, either.
        let bound = run(&SQUARE, &[(1.0, 0.0), (1.0, 0.5), (1.0, 0.45), (1.0, 1.0), (0.0, 1.0)]);
        assert_eq!(bound.count, 2, "{bound:?}");
    }

    /// Between the fault of one motor and the stop of the others there is no path; who stands without a fault takes the
    /// others off it.
    #[test]
    fn a_motor_that_stands_takes_the_others_off_the_path() {
        let member =
            |motor| Member { motor, start: (0.0, 0.0), grain: 0.001, late: 0.0, turn: 1.0 };
        for fault in [true, false] {
            let mut blends = Blends::default();
            blends.begin(7, "mm", vec![member(0), member(1)]);
            blends.corner(7, 0, 0.0, vec![1.0, 1.0]);
            if fault {
                blends.fault(0);
            }
            (1..=500u16).for_each(|k| {
                let here = f64::from(k);
                blends.moved(u64::from(k), &[false, true], |m| if m == 0 { 0.0 } else { here });
            });
            blends.stop(7, &[1]);
            blends.end(1);
            blends.ended(7, 501);
            let found = blends.bound().map_or(0, |bound| bound.count);
            assert_eq!(found > 0, !fault, "a fault: {fault}");
        }
    }

    #[test]
    fn a_vertex_that_fits_no_motors_is_found() {
        let member = Member { motor: 0, start: (0.0, 0.0), grain: 1.0, late: 0.0, turn: 1.0 };
        for places in [vec![], vec![1.0, 2.0]] {
            let mut blends = Blends::default();
            blends.begin(1, "mm", vec![member]);
            blends.corner(1, 5, 0.1, places.clone());
            // Also where nothing moves after it.
            assert_eq!(blends.bound().unwrap().count, 1, "{places:?}");
        }
    }

    /// One of its motors had a fault before it began: the others have to be stopped, and are judged no further.
    #[test]
    fn vertices_in_more_motors_than_move_end_with_a_stop() {
        let member = Member { motor: 0, start: (0.0, 0.0), grain: 1.0, late: 0.0, turn: 1.0 };
        for stopped in [true, false] {
            let mut blends = Blends::default();
            blends.begin(1, "mm", vec![member]);
            (5..8).for_each(|at| blends.corner(1, at, 0.1, vec![1.0, 2.0]));
            if stopped {
                blends.stop(1, &[0]);
            }
            blends.end(0);
            blends.ended(1, 9);
            let found = blends.bound().map_or(0, |bound| bound.count);
            assert_eq!(found, u64::from(!stopped), "{stopped}");
        }
    }
}
