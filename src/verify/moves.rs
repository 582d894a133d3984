//! Which move is under way, who takes part in it, and whether aligned moves stay on their line.
//!
//! A retarget ends a line: it is judged up to where its motors were then.
//!
//! A move's marker `N:kind` and the positions of its motors stand at one instant, its start. A motor's
//! next position is its end; `N:ended` comes when all its motors have ended. A servo's end may stand a
//! little later than that, up to a period. A motor of a move that has ended without an end of its own
//! was halted, or failed.

use super::check::{Tally, figure};
use super::hull::{Hull, Point};
use super::report::Bound;
use crate::config::Config;
use crate::trace::MoveKind;

/// What a motor is to a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grain {
    /// How many grains (steps, or for a servo what its top speed passes in a period) edges may be late.
    pub late: f64,
    /// How long its end may come after the move's, nanoseconds.
    pub end_within: u64,
    /// How far from its position, in grains, it may rest.
    pub rest: f64,
}

/// A motor's part of the moves that began at one instant.
#[derive(Clone, Debug)]
struct Part {
    motor: usize,
    start: f64,
    lowest: f64,
    highest: f64,
    /// When it ended, and where; none yet, or it was halted.
    end: Option<(u64, f64)>,
    halted: bool,
}

/// What the mark of a move's beginning says.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    pub id: u64,
    pub kind: MoveKind,
    /// Its motors; none where the mark does not name them.
    pub motors: Option<Vec<usize>>,
}

impl Part {
    fn new((motor, start): (usize, f64)) -> Part {
        let (lowest, highest) = (start, start);
        Part { motor, start, lowest, highest, end: None, halted: false }
    }
}

#[derive(Clone, Debug)]
struct Move {
    id: u64,
    kind: MoveKind,
    /// It is on its line.
    aligned: bool,
    motors: Option<Vec<usize>>,
    ended: Option<u64>,
}

impl Move {
    fn new(begun: &Begun) -> Move {
        let aligned = begun.kind == MoveKind::Aligned;
        Move { id: begun.id, kind: begun.kind, aligned, motors: begun.motors.clone(), ended: None }
    }
}

/// The moves that began at one instant: which motors belong to which may not be known.
#[derive(Debug)]
struct Group {
    /// Whether any of the moves is on a line.
    aligned: bool,
    moves: Vec<Move>,
    parts: Vec<Part>,
    /// (index of a part, of another part, where they were)
    pairs: Vec<(usize, usize, Hull)>,
}

impl Group {
    /// When the last of its moves ended, if all have.
    fn ended(&self) -> Option<u64> {
        self.moves.iter().map(|m| m.ended).try_fold(0, |latest, e| Some(latest.max(e?)))
    }

    fn is_over(&self) -> bool {
        self.ended().is_some() && self.parts.iter().all(|p| p.end.is_some() || p.halted)
    }
}

/// What a position in the trace is to its motor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Start,
    End,
}

/// All moves of a trace.
#[derive(Debug)]
pub(super) struct Moves {
    names: Vec<String>,
    grains: Vec<Grain>,
    groups: Vec<Group>,
    line: Tally,
    farthest: f64,
    allowed: f64,
    notes: Vec<String>,
    more_notes: u64,
}

/// In real time, a move's end is told this long after the last of its motors' at the most.
const TOLD_WITHIN: u64 = 20_000_000;

/// How many notes on moves are kept.
const NOTES: usize = 8;

/// At most so many are under way at once: of more, the first are not judged.
const MOST: usize = 4096;

impl Moves {
    pub fn new(config: &Config, grains: Vec<Grain>) -> Moves {
        let late = grains.iter().map(|g| g.late).fold(0.0, f64::max);
        Moves {
            names: config.motors.iter().map(|m| m.name.clone()).collect(),
            grains,
            groups: Vec::new(),
            line: Tally::default(),
            farthest: 0.0,
            allowed: 1.0 + late,
            notes: Vec::new(),
            more_notes: 0,
        }
    }

    /// Whether anything is under way.
    pub fn is_idle(&self) -> bool {
        self.groups.is_empty()
    }

    /// Whether the position of `motor` told at `at` begins or ends its part; `begins`: a move begins
    /// at this instant.
    /// `named`: a move that begins now has it.
    pub fn place(&self, motor: usize, at: u64, begins: bool, named: bool) -> Place {
        let Some(group) = self.group(motor) else { return Place::Start };
        // Its part of the move before is over, which goes on without it: it had a fault.
        if named {
            return Place::Start;
        }
        // The motor's move is over for good, and it is in the next one: it was halted.
        let over = group.ended().is_some_and(|ended| ended < at);
        if begins && over { Place::Start } else { Place::End }
    }

    fn group(&self, motor: usize) -> Option<&Group> {
        let part = |p: &Part| p.motor == motor && p.end.is_none() && !p.halted;
        self.groups.iter().find(|g| g.parts.iter().any(part))
    }

    /// The motors of a move that have not ended in it, as far as its mark names them.
    pub fn motors_of(&self, id: u64) -> Vec<usize> {
        let under_way = |m: &&Move| m.id == id && m.ended.is_none();
        let found = self.groups.iter().find_map(|g| Some((g, g.moves.iter().find(under_way)?)));
        let Some((group, one)) = found else { return Vec::new() };
        let left = |m: &&usize| group.parts.iter().any(|p| p.motor == **m && p.end.is_none());
        one.motors.iter().flatten().filter(left).copied().collect()
    }

    /// Moves begin, with (motor, position in grains) of those that start.
    pub fn begin(&mut self, begun: &[Begun], starts: &[(usize, f64)]) {
        if self.groups.len() == MOST {
            let group = self.groups.remove(0);
            self.tell_unjudged(&group);
        }
        let moves: Vec<Move> = begun.iter().map(Move::new).collect();
        let aligned = moves.iter().any(|m| m.aligned);
        let parts: Vec<Part> = starts.iter().map(|&s| Part::new(s)).collect();
        let mut pairs = Vec::new();
        if aligned {
            for a in 0..parts.len() {
                pairs.extend((a + 1..parts.len()).map(|b| (a, b, Hull::new())));
            }
        }
        self.groups.push(Group { aligned, moves, parts, pairs });
    }

    /// A motor joins a move that is under way, from this position in grains. Says how that is planned.
    pub fn join(&mut self, id: u64, start: (usize, f64)) -> Option<MoveKind> {
        let is = |m: &&mut Move| m.id == id && m.ended.is_none();
        for group in &mut self.groups {
            if let Some(one) = group.moves.iter_mut().find(is) {
                one.motors.iter_mut().for_each(|m| m.push(start.0));
                group.parts.push(Part::new(start));
                return Some(one.kind);
            }
        }
        None
    }

    /// Motors have moved in this instant; `place` gives a motor's position in grains.
    pub fn moved(&mut self, at: u64, motors: &[bool], place: impl Fn(usize) -> f64) {
        for group in &mut self.groups {
            if !group.aligned {
                continue;
            }
            let mut any = false;
            for part in &mut group.parts {
                if motors[part.motor] && part.end.is_none() {
                    let here = place(part.motor);
                    part.lowest = part.lowest.min(here);
                    part.highest = part.highest.max(here);
                    any = true;
                }
            }
            if !any {
                continue;
            }
            for (a, b, hull) in &mut group.pairs {
                let (a, b) = (&group.parts[*a], &group.parts[*b]);
                let both = a.end.is_none() && b.end.is_none();
                if both && (motors[a.motor] || motors[b.motor]) {
                    let (x, y) = (place(a.motor) - a.start, place(b.motor) - b.start);
                    hull.add(Point { x, y, at });
                }
            }
        }
    }

    /// The motors of a move go elsewhere, each by itself: it is on its line no more.
    pub fn retarget(&mut self, id: u64, at: u64, place: impl Fn(usize) -> f64) {
        let is = |m: &Move| m.id == id && m.ended.is_none();
        let Some(n) = self.groups.iter().position(|g| g.moves.iter().any(is)) else { return };
        let mut group = self.groups.remove(n);
        if let Some(one) = group.moves.iter().find(|m| is(m) && m.aligned).cloned()
            && let Some(members) = self.members(&group, &one)
        {
            // They move: where they are is known to a step, as with those at rest at a part of one.
            let ends: Vec<_> = group.parts.iter().map(|p| p.end).collect();
            for part in group.parts.iter_mut().filter(|p| p.end.is_none() && !p.halted) {
                part.end = Some((at, place(part.motor)));
            }
            self.judge_line(&group, &one, &members, 1.0);
            group.parts.iter_mut().zip(ends).for_each(|(part, end)| part.end = end);
        }
        for one in group.moves.iter_mut().filter(|m| m.id == id) {
            one.aligned = false;
        }
        group.aligned = group.moves.iter().any(|m| m.aligned);
        self.groups.insert(n, group);
    }

    /// A motor's part has ended.
    pub fn end(&mut self, motor: usize, at: u64, place: f64) {
        let parts = self.groups.iter_mut().flat_map(|g| &mut g.parts);
        if let Some(part) = { parts }.find(|p| p.motor == motor && p.end.is_none() && !p.halted) {
            part.end = Some((at, place));
        }
    }

    /// A motor has a fault: its part is over, wherever it stands.
    pub fn fault(&mut self, motor: usize, at: u64, halted: &mut Vec<(usize, u64)>) {
        let parts = self.groups.iter_mut().flat_map(|g| &mut g.parts);
        if let Some(part) = { parts }.find(|p| p.motor == motor && p.end.is_none() && !p.halted) {
            part.halted = true;
            halted.push((motor, at));
        }
    }

    /// A move has ended.
    pub fn ended(&mut self, id: u64, at: u64) {
        let moves = self.groups.iter_mut().flat_map(|g| &mut g.moves);
        if let Some(ended) = { moves }.find(|m| m.id == id && m.ended.is_none()) {
            ended.ended = Some(at);
        }
    }

    /// Looks who was halted, now that it is `now`, and judges what is over. `again`: motors that are
    /// at the start of their next move.
    pub fn close(&mut self, now: u64, again: &[usize], halted: &mut Vec<(usize, u64)>) {
        for group in &mut self.groups {
            let ended = group.ended();
            for part in &mut group.parts {
                let until = ended.map(|e| e.saturating_add(self.grains[part.motor].end_within));
                let late = until.is_some_and(|until| now > until || Some(until) == ended);
                let over = late || again.contains(&part.motor);
                if part.end.is_none() && !part.halted && over {
                    part.halted = true;
                    halted.push((part.motor, ended.unwrap_or(now)));
                }
            }
        }
        let mut n = 0;
        while n < self.groups.len() {
            if self.groups[n].is_over() {
                let group = self.groups.remove(n);
                self.judge(&group);
            } else {
                n += 1;
            }
        }
    }

    fn judge(&mut self, group: &Group) {
        for part in group.parts.iter().filter(|p| p.halted) {
            let which: Vec<_> = group.moves.iter().map(|m| m.id.to_string()).collect();
            let name = self.names[part.motor].clone();
            self.note(format!(
                "{name}: its part of move {} has no end (halted, or a fault): how it stopped is not judged",
                which.join(" or ")
            ));
        }
        for one in group.moves.iter().filter(|m| m.aligned) {
            match self.members(group, one) {
                Some(members) => self.judge_line(group, one, &members, 0.0),
                None => self.note(format!(
                    "move {}: another move began and ended with it, and the trace does not say whose motors \
                     are whose: its line is not judged",
                    one.id
                )),
            }
        }
    }

    /// The parts of the group that belong to a move; none where that is not known.
    fn members(&self, group: &Group, one: &Move) -> Option<Vec<usize>> {
        let all = 0..group.parts.len();
        if let Some(motors) = &one.motors {
            return Some(all.filter(|&p| motors.contains(&group.parts[p].motor)).collect());
        }
        if group.moves.len() == 1 {
            return Some(all.collect());
        }
        if group.moves.len() == group.parts.len() && group.moves.iter().all(|m| m.aligned) {
            // One motor each: whichever is whose, it has no line but its own.
            let index = group.moves.iter().position(|m| m.id == one.id)?;
            return Some(vec![index]);
        }
        let mut members = Vec::new();
        for part in all {
            if self.whose(group, &group.parts[part])?.id == one.id {
                members.push(part);
            }
        }
        Some(members)
    }

    /// The move of a group that ended when the part did, if that is one alone.
    fn whose<'g>(&self, group: &'g Group, part: &Part) -> Option<&'g Move> {
        let (end, _) = part.end?;
        let slack = self.grains[part.motor].end_within;
        let off = |m: &&Move| m.ended.map_or(u64::MAX, |ended| ended.abs_diff(end));
        [slack, slack.saturating_add(TOLD_WITHIN)].into_iter().find_map(|within| {
            let mut near = group.moves.iter().filter(|m| off(m) <= within);
            near.next().filter(|_| near.next().is_none())
        })
    }

    /// `moving`: how far, in grains, a motor that has not come to rest may be from its part's end.
    fn judge_line(&mut self, group: &Group, one: &Move, members: &[usize], moving: f64) {
        for &p in members {
            let part = &group.parts[p];
            let Some((at, end)) = part.end else { continue };
            let (low, high) = (part.start.min(end), part.start.max(end));
            let beyond = (low - part.lowest).max(part.highest - high).max(0.0);
            let name = &self.names[part.motor];
            let text =
                || format!("{name} goes {} steps past an end of move {}", figure(beyond), one.id);
            self.farthest = self.farthest.max(beyond);
            self.line.look(at, beyond <= 1.0 + self.grains[part.motor].late, text);
        }
        for (a, b, hull) in &group.pairs {
            if !(members.contains(a) && members.contains(b)) {
                continue;
            }
            let (a, b) = (&group.parts[*a], &group.parts[*b]);
            let (Some((_, end_a)), Some((_, end_b))) = (a.end, b.end) else { continue };
            let (of_a, of_b) = (self.grains[a.motor], self.grains[b.motor]);
            let target = (end_a - a.start, end_b - b.start);
            let (mut off, at) = off_line(hull.points(), target);
            let allowed = 1.0 + of_a.late.max(of_b.late);
            if off > allowed {
                let rest = |grain: Grain| match moving {
                    0.0 => grain.rest,
                    moving => moving + grain.late,
                };
                off = least_off_line(hull.points(), target, (rest(of_a), rest(of_b)));
            }
            self.farthest = self.farthest.max(off);
            let (x, y) = (&self.names[a.motor], &self.names[b.motor]);
            let text =
                || format!("{x} and {y} are {} steps off the line of move {}", figure(off), one.id);
            self.line.look(at, off <= allowed, text);
        }
    }

    fn tell_unjudged(&mut self, group: &Group) {
        for one in &group.moves {
            self.note(format!(
                "move {}: still under way when the trace ends: not judged as a whole",
                one.id
            ));
        }
    }

    fn note(&mut self, note: String) {
        if self.notes.len() < NOTES {
            self.notes.push(note);
        } else {
            self.more_notes += 1;
        }
    }

    /// The trace ends.
    pub fn finish(&mut self, halted: &mut Vec<(usize, u64)>) -> (Bound, Vec<String>) {
        self.close(u64::MAX, &[], halted);
        for group in std::mem::take(&mut self.groups) {
            self.tell_unjudged(&group);
        }
        if self.more_notes > 0 {
            self.notes.push(format!("and {} more moves with such notes", self.more_notes));
        }
        let required = format!("<= {} steps", figure(self.allowed));
        let required = if self.allowed == 1.0 { "<= 1 step".to_owned() } else { required };
        let farthest = figure((self.farthest * 1000.0).ceil() / 1000.0);
        let bound =
            std::mem::take(&mut self.line)
                .bound("machine", "off the line", required, |_| format!("{farthest} steps"));
        (bound, std::mem::take(&mut self.notes))
    }
}

/// How far, in grains of each motor, points lie off the line from 0 to `target`, and where most.
///
/// The least `off` such that some point of the line is within `off` of them in both coordinates: for
/// each pair of motors; for more of them the largest over their pairs, since intervals of a line that
/// meet in pairs have a point in common.
fn off_line(points: &[Point], (x, y): (f64, f64)) -> (f64, u64) {
    let length = x.abs() + y.abs();
    let off = |p: &Point| match length {
        0.0 => p.x.abs().max(p.y.abs()),
        length => (p.x * y - p.y * x).abs() / length,
    };
    let far = points.iter().map(|p| (off(p), p.at)).max_by(|a, b| a.0.total_cmp(&b.0));
    far.unwrap_or((0.0, 0))
}

/// The same for the best of the lines whose ends lie within `rest` of the target: a move that was
/// stopped rests that near to where its steps end.
fn least_off_line(points: &[Point], (x, y): (f64, f64), rest: (f64, f64)) -> f64 {
    // The two corners that turn the line most; in between, `off` has one minimum.
    let side = |v: f64| if v < 0.0 { -1.0 } else { 1.0 };
    let corner = (side(x) * rest.0, -side(y) * rest.1);
    let off = |s: f64| off_line(points, (x + s * corner.0, y + s * corner.1)).0;
    let (mut low, mut high) = (-1.0, 1.0);
    for _ in 0..40 {
        let (a, b) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
        if off(a) <= off(b) { high = b } else { low = a }
    }
    off((low + high) / 2.0).min(off(0.0))
}

#[cfg(test)]
mod tests;
