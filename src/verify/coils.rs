//! The rules of a stepper whose coils are switched one by one.

use super::Options;
use super::check::{AtLeast, Tally, time};
use super::course::Course;
use super::report::Bound;
use crate::config::{AtRest, AxisConfig, CoilWiring, CoilsDrive, MotorConfig, Sequence};

/// The states of the board's four inputs, step by step, the first input leftmost.
const UNIPOLAR: [&[&str]; 3] = [
    &["1000", "0100", "0010", "0001"],
    &["1100", "0110", "0011", "1001"],
    &["1000", "1100", "0100", "0110", "0010", "0011", "0001", "1001"],
];
const BIPOLAR: [&[&str]; 3] = [
    &["1000", "0010", "0100", "0001"],
    &["1010", "0110", "0101", "1001"],
    &["1000", "1010", "0010", "0110", "0100", "0101", "0001", "1001"],
];

/// Coils that shall let go at rest may hold for so long after a move: a next one may be getting ready,
/// and wait for others.
const LETS_GO_WITHIN: u64 = 5_000_000_000;

type State = [bool; 4];

/// The coils of an axis as their trace shows them.
#[derive(Debug)]
pub(super) struct Coils {
    course: Course,
    drive: CoilsDrive,
    states: Vec<State>,
    late: u64,

    levels: [Option<bool>; 4],
    changed: bool,
    /// The state that stood last, as an index of `states`.
    phase: Option<usize>,
    powered: bool,
    /// In a move, on the way from one state to the next: since when, and in which state.
    between: Option<(u64, State)>,
    /// At rest, a state that has not stood for long enough to count: since when, and which.
    fresh: Option<(u64, State)>,
    powered_at: Option<u64>,
    stepped_at: Option<u64>,
    /// At rest with power since then.
    rests_since: Option<u64>,
    /// By name it has been let go, or switched on since it was last off.
    let_go_by_name: bool,
    on_by_name: bool,
    /// It has let go in a move: with a fault it may, and then nothing more of its part comes.
    left_at: Option<u64>,
    /// It may let go of coils that hold at rest: in the end, or after a while.
    releases: bool,
    after: bool,

    interval: AtLeast,
    wake: AtLeast,
    let_go: AtLeast,
    forbidden: Tally,
    known: Tally,
    neighbours: Tally,
    kept_phase: Tally,
    rest: Tally,
}

impl Coils {
    pub fn new(
        motor: &MotorConfig,
        axis: AxisConfig,
        drive: &CoilsDrive,
        options: &Options,
    ) -> Coils {
        let table = match drive.wiring {
            CoilWiring::Unipolar => UNIPOLAR,
            CoilWiring::Bipolar => BIPOLAR,
        };
        let row = match drive.sequence {
            Sequence::Wave => table[0],
            Sequence::Full => table[1],
            Sequence::Half => table[2],
        };
        let state = |text: &&str| {
            let bits = text.as_bytes();
            [0, 1, 2, 3].map(|n| bits[n] == b'1')
        };
        let course = Course::new(motor, axis, options);
        Coils {
            interval: AtLeast::new(course.shortest_interval()),
            course,
            drive: drive.clone(),
            states: row.iter().map(state).collect(),
            late: Course::late(options),
            levels: [None; 4],
            changed: false,
            phase: None,
            powered: false,
            between: None,
            fresh: None,
            powered_at: None,
            stepped_at: None,
            rests_since: None,
            let_go_by_name: false,
            on_by_name: false,
            left_at: None,
            releases: axis.releases_on_stop() || motor.release_after.is_some(),
            after: motor.release_after.is_some(),
            wake: AtLeast::new(drive.settle),
            let_go: AtLeast::new(drive.settle),
            forbidden: Tally::default(),
            known: Tally::default(),
            neighbours: Tally::default(),
            kept_phase: Tally::default(),
            rest: Tally::default(),
        }
    }

    pub fn course_mut(&mut self) -> &mut Course {
        &mut self.course
    }

    pub fn course(&self) -> &Course {
        &self.course
    }

    /// Somebody switches it on, or lets it go, by name.
    pub fn switched(&mut self, on: bool) {
        (self.on_by_name, self.let_go_by_name) = (on, !on);
    }

    /// A line changed.
    pub fn coil(&mut self, n: usize, high: Option<bool>) {
        self.levels[n] = high;
        self.changed = true;
    }

    /// An instant is over. Says whether it brought a step.
    pub fn settle(&mut self, at: u64) -> bool {
        if !std::mem::take(&mut self.changed) {
            return false;
        }
        let [Some(a), Some(b), Some(c), Some(d)] = self.levels else { return false };
        let state = [a, b, c, d];
        let against = match self.drive.wiring {
            CoilWiring::Unipolar => a && c || b && d,
            CoilWiring::Bipolar => a && b || c && d,
        };
        self.forbidden.look(at, !against, || format!("{} together", names(state)));
        let steps = self.course.steps();
        self.look_until(at);
        if self.course.moving {
            self.enter(at, state);
        } else {
            // In real time the coils go on or off one by one: what they pass is no step.
            self.fresh = Some((at, state));
        }
        self.course.steps() != steps
    }

    fn enter(&mut self, at: u64, state: State) {
        match self.states.iter().position(|s| *s == state) {
            Some(phase) => self.stand(at, phase),
            // Coils that held a load before the program came were left as they were.
            None if self.drive.holds_load && self.phase.is_none() => {}
            None if self.powered || state != [false; 4] => self.between = Some((at, state)),
            None => {}
        }
    }

    /// Judges what has stood for as long as an edge may be late.
    fn look_until(&mut self, at: u64) {
        let late = self.late;
        if let Some((since, state)) = self.fresh.take_if(|f| at.saturating_sub(f.0) > late) {
            self.enter(since, state);
        }
        if let Some((since, state)) = self.between.take_if(|b| at.saturating_sub(b.0) > late) {
            if state == [false; 4] {
                self.released(since);
            } else {
                let text = || format!("{} for more than {}", names(state), time(late));
                self.known.look(since, false, text);
            }
        }
    }

    /// Judges what stands, however short.
    fn look_now(&mut self, at: u64) {
        self.look_until(at);
        if let Some((since, state)) = self.fresh.take() {
            self.enter(since, state);
        }
    }

    fn released(&mut self, at: u64) {
        self.powered = false;
        if let Some(stepped) = self.stepped_at {
            self.let_go.see(at, at.saturating_sub(stepped));
        }
        let may = match (self.drive.holds_load, self.drive.at_rest) {
            (true, _) => false,
            (false, AtRest::Release) => true,
            (false, AtRest::Hold) => self.releases || self.let_go_by_name,
        };
        self.rest.look(at, may, || "they let go".into());
        match self.course.moving {
            true => self.left_at = Some(at),
            false => self.rest.look(at, true, String::new),
        }
        self.rested(at);
    }

    /// Its move goes on: it had no fault where it let go in it.
    fn goes_on(&mut self) {
        if let Some(at) = self.left_at.take() {
            self.rest.look(at, false, || "they let go in a move".into());
        }
    }

    /// The end of a time at rest with power.
    fn rested(&mut self, at: u64) {
        if let Some(since) = self.rests_since.take()
            && self.drive.at_rest == AtRest::Release
            && !self.on_by_name
        {
            let held = at.saturating_sub(since);
            let ok = held <= LETS_GO_WITHIN;
            self.rest.look(since, ok, || format!("they hold for {} at rest", time(held)));
        }
    }

    fn stand(&mut self, at: u64, phase: usize) {
        self.known.look(at, true, String::new);
        // Passed in less time than an edge may be late.
        self.between = None;
        let n = self.states.len();
        if !self.powered {
            self.powered = true;
            self.let_go_by_name = false;
            self.powered_at = Some(at);
            let same = self.phase.is_none_or(|before| before == phase);
            self.kept_phase.look(at, same, || "taken up again in another phase".into());
            self.phase = Some(phase);
            return;
        }
        let Some(before) = self.phase.replace(phase) else { return };
        let forward = match (phase + n - before) % n {
            0 => return,
            1 => true,
            d if d == n - 1 => false,
            d => {
                self.neighbours.look(at, false, || format!("{} phases at once", d.min(n - d)));
                return;
            }
        };
        self.neighbours.look(at, true, String::new);
        if let Some(stepped) = self.stepped_at.filter(|_| !self.first_after_power()) {
            self.interval.see(at, at - stepped);
        }
        if let Some(powered) = self.powered_at.take() {
            self.wake.see(at, at - powered);
        }
        self.stepped_at = Some(at);
        self.goes_on();
        self.course.step(at, forward != self.drive.reverse, 0);
    }

    fn first_after_power(&self) -> bool {
        self.powered_at.is_some()
    }

    /// A move begins, with the position that it begins at.
    pub fn start(&mut self, at: u64, position: f64) {
        self.look_now(at);
        self.rested(at);
        self.course.start(at, position);
    }

    /// The move ends, with the position that it ended at.
    pub fn end(&mut self, at: u64, position: f64) {
        self.goes_on();
        self.rests(at);
        self.course.end(at, position);
    }

    /// The move ends in a halt.
    pub fn halt(&mut self, at: u64) {
        self.left_at = None;
        self.rests(at);
        self.course.halt(at);
    }

    fn rests(&mut self, at: u64) {
        if self.powered {
            self.rests_since = Some(at);
        }
    }

    /// The trace ends.
    pub fn finish(mut self, at: u64) -> Vec<Bound> {
        self.look_until(u64::MAX);
        self.rested(at);
        let name = self.course.name().to_owned();
        let name = name.as_str();
        let (opposite, rest) = match (self.drive.wiring, self.drive.at_rest) {
            (CoilWiring::Unipolar, rest) => ("opposite coils on", rest),
            (CoilWiring::Bipolar, rest) => ("both inputs of a bridge high", rest),
        };
        let rest_word = match (self.drive.holds_load, rest) {
            (false, AtRest::Release) => "lets go",
            (false, AtRest::Hold) if self.after => "holds, for a while",
            (true, _) | (false, AtRest::Hold) => "holds",
        };
        let mut bounds = vec![
            self.forbidden.rule(name, opposite, "never"),
            self.known.rule(name, "states of the sequence alone", "yes"),
            self.neighbours.rule(name, "from state to neighbour", "yes"),
            self.interval.bound(name, "step interval"),
            self.wake.bound(name, "power before a step"),
        ];
        let lets_go = rest == AtRest::Release || self.releases;
        if lets_go {
            bounds.push(self.let_go.bound(name, "power after a step"));
            bounds.push(self.kept_phase.rule(name, "phase kept without power", "yes"));
        }
        bounds.push(self.rest.rule(name, "at rest", rest_word));
        let (counts, limits) = self.course.finish(at);
        bounds.extend(counts);
        bounds.extend(limits);
        bounds
    }
}

/// `a and c`.
fn names(state: State) -> String {
    let on: Vec<&str> =
        ["a", "b", "c", "d"].into_iter().zip(state).filter(|s| s.1).map(|s| s.0).collect();
    if on.is_empty() { "none".to_owned() } else { on.join(" and ") }
}
