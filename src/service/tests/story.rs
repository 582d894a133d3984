//! What a service has done, by its trace: the edges, and whose moves they were.

use crate::config::{AtStart, Config, Drive, MotorConfig};
use crate::machine::Machine;
use crate::trace::{Mark, MoveKind, PlanChange, Recording, Value};
use crate::units::Instant;
use crate::verify::{Options, verify};

/// A move as the trace has it.
#[derive(Clone, Debug)]
pub struct Begun {
    pub at: Instant,
    pub number: u64,
    pub motors: Vec<String>,
    pub owner: String,
    /// When it was over; `None`: it is not.
    pub over: Option<Instant>,
    /// It is a jog, and none of its motors was sent elsewhere.
    pub is_jog: bool,
}

impl Begun {
    /// It was over before its time line began: nothing of it has moved.
    pub fn was_dropped(&self) -> bool {
        self.over.is_some_and(|over| over <= self.at)
    }
}

/// Edges of one axis: when, and the count from then on; also where somebody said where it is.
#[derive(Clone, Debug, Default)]
pub struct Course {
    /// It has lines that can be counted.
    pub is_counted: bool,
    /// It takes up its play before a move begins.
    pub plays: bool,
    pub start: i64,
    /// The count after each change, and whether an edge brought it.
    pub counts: Vec<(Instant, i64, bool)>,
}

impl Course {
    /// The count at an instant, what happened in it included.
    pub fn count_at(&self, at: Instant) -> i64 {
        let after = self.counts.partition_point(|c| c.0 <= at);
        after.checked_sub(1).map_or(self.start, |last| self.counts[last].1)
    }

    /// The count before an instant, and after each change from then up to another.
    pub fn counts_within(&self, from: Instant, until: Instant) -> impl Iterator<Item = i64> + '_ {
        let first = self.counts.partition_point(|c| c.0 < from);
        let before = first.checked_sub(1).map_or(self.start, |last| self.counts[last].1);
        // What is said before the epoch of a move that is dropped stands in the trace after that.
        let lead = until + std::time::Duration::from_millis(10);
        let later = self.counts[first..].iter();
        let later = later.take_while(move |c| c.0 <= until || !c.2 && c.0 <= lead);
        std::iter::once(before).chain(later.map(|c| c.1))
    }

    /// The steps after one instant and up to another.
    pub fn steps(&self, after: Instant, until: Instant) -> impl Iterator<Item = Instant> + '_ {
        let first = self.counts.partition_point(|c| c.0 <= after);
        let steps = self.counts[first..].iter().take_while(move |c| c.0 <= until);
        steps.filter(|c| c.2).map(|c| c.0)
    }
}

/// The end of a service, and its trace.
pub struct Story {
    pub recording: Recording,
    pub config: Config,
    /// The motors that it had in the end.
    pub all: Vec<MotorConfig>,
    pub end: Instant,
    /// What the machine counted in the end; `None` for servos.
    pub counted: Vec<(String, Option<i64>)>,
}

impl Story {
    pub fn new(machine: &mut Machine) -> Story {
        let config = machine.config().clone();
        let counted = config.motors.iter().map(|m| (m.name.clone(), machine.steps(&m.name)));
        let counted = counted.collect();
        let end = machine.now();
        let recording = machine.take_recording().unwrap();
        assert_eq!(recording.lost(), 0);
        let all = config.motors.clone();
        Story { recording, config, all, end, counted }
    }

    /// Writes the trace into a file, for a person to look at.
    pub fn write(&self, file: &str) {
        self.recording.write_vcd(std::fs::File::create(file).unwrap(), "").unwrap();
    }

    /// What `verify` finds, by this config; empty: nothing.
    pub fn findings(&self, config: &Config) -> String {
        let mut vcd = Vec::new();
        self.recording.write_vcd(&mut vcd, "").unwrap();
        let report = verify(&vcd[..], config, &Options::default()).unwrap();
        if report.is_clean() { String::new() } else { report.to_string() }
    }

    /// The moves, in the order in which they began.
    pub fn moves(&self) -> Vec<Begun> {
        let signal = self.recording.find("machine.move").unwrap();
        let mut all: Vec<Begun> = Vec::new();
        for (at, value) in self.recording.records(signal) {
            let Value::Text(text) = value else { panic!("{value:?} is no mark") };
            match Mark::parse(&text).unwrap() {
                Mark::Begins { id, kind, motors, owner } => all.push(Begun {
                    at,
                    number: id,
                    motors: motors.names().map(str::to_owned).collect(),
                    owner: owner.map(|o| o.to_string()).unwrap_or_default(),
                    over: None,
                    is_jog: kind == MoveKind::Jog,
                }),
                Mark::Changed { id, change: PlanChange::Retarget, .. } => {
                    if let Some(begun) = all.iter_mut().rev().find(|b| b.number == id) {
                        begun.is_jog = false;
                    }
                }
                Mark::Ended(id) => {
                    if let Some(begun) = all.iter_mut().rev().find(|b| b.number == id) {
                        begun.over = Some(at);
                    }
                }
                _ => {}
            }
        }
        all
    }

    /// The steps of an axis that has a STEP and a DIR line.
    pub fn course(&self, motor: &MotorConfig) -> Course {
        let Drive::StepDir(axis) = &motor.drive else { return Course::default() };
        let ratio = axis.steps_per_unit;
        let count = |position: f64| {
            (position * ratio.numerator() as f64 / ratio.denominator() as f64).round() as i64
        };
        let start = match axis.at_start {
            AtStart::Assume(position) => count(position),
            AtStart::Unknown | AtStart::Restored => {
                count(0.0_f64.clamp(motor.travel.min, motor.travel.max))
            }
        };
        let find = |signal: &str| self.recording.find(&format!("{}.{signal}", motor.name)).unwrap();
        let dir: Vec<_> = self.recording.edges(find("dir")).collect();
        let steps = self.recording.edges(find("step")).filter(|e| e.1).map(|e| (e.0, None));
        let mut changes: Vec<(Instant, Option<i64>)> = steps.collect();
        changes.extend(self.sets(motor).into_iter().map(|(at, p)| (at, Some(count(p)))));
        changes.sort_by_key(|c| c.0);
        let (mut now, mut counts) = (start, Vec::with_capacity(changes.len()));
        // At the start the play lies behind a motor that has come up.
        let play = count(motor.backlash);
        let mut below = play;
        let mut dir = dir.into_iter().peekable();
        let mut level = false;
        for (at, set) in changes {
            while let Some(edge) = dir.next_if(|d| d.0 < at) {
                level = edge.1;
            }
            let up = level != axis.reverse;
            let step = if up { 1 } else { -1 };
            // In its play the motor turns, and what it moves does not.
            let in_play = set.is_none() && (0..=play).contains(&(below + step));
            if in_play {
                below += step;
            } else {
                now = set.unwrap_or(now + step);
            }
            counts.push((at, now, set.is_none()));
        }
        Course { is_counted: true, plays: motor.backlash > 0.0, start, counts }
    }

    /// When a person said where an axis is, and where.
    fn sets(&self, motor: &MotorConfig) -> Vec<(Instant, f64)> {
        let find = |signal: &str| self.recording.find(signal).unwrap();
        let moves = self.recording.records(find("machine.move"));
        let is_set = |value: &Value| match value {
            Value::Text(text) => matches!(Mark::parse(text), Ok(Mark::Set(m)) if m == motor.name),
            _ => false,
        };
        let sets: Vec<Instant> = moves.filter(|m| is_set(&m.1)).map(|m| m.0).collect();
        let told = find(&format!("{}.position", motor.name));
        // Of several that were said at one instant the last one has the last place of that instant.
        let told_at = |nth: usize| {
            let at = sets[nth];
            let later = sets[nth + 1..].iter().take_while(|t| **t == at).count();
            let told: Vec<_> = self.recording.records(told).filter(|r| r.0 == at).collect();
            match told.iter().rev().nth(later) {
                Some(&(_, Value::Real(position))) => (at, position),
                other => panic!("{other:?} is no place of {}", motor.name),
            }
        };
        (0..sets.len()).map(told_at).collect()
    }

    /// The pulses of a servo: when each rose, and its width in nanoseconds.
    pub fn pulses(&self, motor: &str) -> Vec<(Instant, u64)> {
        let signal = self.recording.find(&format!("{motor}.pulse")).unwrap();
        let mut pulses = Vec::new();
        let mut rose = None;
        for (at, high) in self.recording.edges(signal) {
            match (high, rose.take()) {
                (true, _) => rose = Some(at),
                (false, Some(from)) => pulses.push((from, at.nanos_since(from))),
                (false, None) => {}
            }
        }
        pulses
    }
}
