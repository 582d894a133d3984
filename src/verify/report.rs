use std::fmt;

use crate::text::Columns;
use crate::units::Instant;

/// What `verify` says of a bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Looked at, and kept throughout.
    Kept,
    /// The trace has nothing that it could be broken by.
    NothingSeen,
    /// Broken.
    Broken,
}

impl Verdict {
    /// `ok`, `none seen`, `BROKEN`.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Kept => "ok",
            Verdict::NothingSeen => "none seen",
            Verdict::Broken => "BROKEN",
        }
    }
}

/// One place where a bound was broken.
#[derive(Clone, PartialEq, Debug)]
pub struct Violation {
    /// When, on the trace's clock.
    pub at: Instant,
    /// What was seen there, in words, with its value.
    pub what: String,
}

/// A bound, what it asks for, what was seen, and where it was broken.
#[derive(Clone, PartialEq, Debug)]
pub struct Bound {
    /// The motor, or `machine`.
    pub motor: String,
    /// What is bounded: `STEP high`.
    pub name: &'static str,
    /// What is asked for: `>= 1.9us`.
    pub required: String,
    /// What came closest to it, or broke it most.
    pub seen: String,
    /// The verdict.
    pub verdict: Verdict,
    /// How often it was broken. For speed, acceleration and jerk: in how many stretches of time.
    pub count: u64,
    /// The first few of those.
    pub first: Vec<Violation>,
}

/// What a trace proves.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    /// The records that the recording lost. With any, nothing is proved, and there are no bounds.
    pub lost: u64,
    /// When the trace ends.
    pub end: Instant,
    /// Every bound, motor by motor in the order of the config, then those of the machine.
    pub bounds: Vec<Bound>,
    /// What could not be judged, and why.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether everything was proved: no record lost, no bound broken.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.broken().next().is_none()
    }

    /// The bounds that were broken.
    pub fn broken(&self) -> impl Iterator<Item = &Bound> {
        self.bounds.iter().filter(|b| b.verdict == Verdict::Broken)
    }
}

impl fmt::Display for Report {
    /// The table, the violations, the notes and the verdict. With a width (`{report:80}`) the table's words are folded
    /// so that it is no wider.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lost > 0 {
            return writeln!(
                f,
                "nothing is proved: the recording lost {} records, and what is missing can hide anything",
                self.lost
            );
        }
        let mut table = Columns::new("<<<<<");
        table.row(["motor", "bound", "required", "seen", "verdict"]);
        let mut last = "";
        for bound in &self.bounds {
            if !last.is_empty() && bound.motor != last {
                table.gap();
            }
            // A motor's name stands in its first row.
            let name = if bound.motor == last { "" } else { bound.motor.as_str() };
            last = &bound.motor;
            let verdict = match bound.count {
                0 => bound.verdict.word().to_owned(),
                n => format!("{} {n}x", bound.verdict.word()),
            };
            table.row([name, bound.name, &bound.required, &bound.seen, &verdict]);
        }
        f.write_str(&table.text(f.width().unwrap_or(usize::MAX)))?;
        writeln!(f)?;
        for bound in self.broken() {
            for violation in &bound.first {
                let (motor, name, at) = (&bound.motor, bound.name, violation.at);
                let (what, required) = (&violation.what, &bound.required);
                writeln!(f, "{motor}: {name} at {at} s: {what}; required: {required}")?;
            }
            let more = bound.count - bound.first.len() as u64;
            if more > 0 {
                writeln!(f, "{}: {}: and {more} more", bound.motor, bound.name)?;
            }
        }
        if self.bounds.iter().any(|b| b.seen.contains('±')) {
            writeln!(
                f,
                "± is what edges leave open: where a motor is between two steps, and when to a nanosecond."
            )?;
            writeln!(
                f,
                "A limit is broken where a motion within it could not have left these edges."
            )?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        match self.broken().count() {
            0 => writeln!(f, "clean: every bound holds over {} s", self.end),
            1 => writeln!(f, "broken: 1 bound of {}", self.bounds.len()),
            n => writeln!(f, "broken: {n} bounds of {}", self.bounds.len()),
        }
    }
}
