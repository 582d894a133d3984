//! The trace: edges, positions and moves recorded, and VCD files written and read.
//!
//! A [`TraceBuilder`] names the signals, one scope per motor, and gives a [`Recorder`], which the
//! lines, channels and moves write to, and a [`Trace`], which ends the recording. What comes out is
//! a [`Recording`]: all records in the order of their time, to be looked at or written as VCD (value
//! change dump, a format that GTKWave and PulseView open). A [`VcdFile`] reads it back.
//!
//! Instants in a recording are on the trace's own clock, whose zero is the start of the recording.
//!
//! ```
//! use lockstep::trace::{SignalKind, TraceBuilder, Value, VcdFile};
//! use lockstep::units::Instant;
//!
//! let at = Instant::from_nanos;
//! let mut builder = TraceBuilder::new(at(1_000));
//! let step = builder.add("x", "step", SignalKind::Wire);
//! let moves = builder.add("machine", "move", SignalKind::Text);
//! let (recorder, trace) = builder.direct();
//!
//! recorder.text(moves, at(1_000), "1:aligned");
//! recorder.edge(step, at(3_000), true);
//! recorder.edge(step, at(4_900), false);
//!
//! let mut vcd = Vec::new();
//! trace.finish().write_vcd(&mut vcd, "two edges").unwrap();
//!
//! let file = VcdFile::read(&vcd[..]).unwrap();
//! let step = file.recording().find("x.step").unwrap();
//! let edges: Vec<_> = file.recording().records(step).collect();
//! assert_eq!(edges, [(at(2_000), Value::High), (at(3_900), Value::Low)]);
//! ```

mod file;
mod mark;
mod read;
mod record;
mod recording;
mod source;
mod text;
mod write;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::units::Instant;

pub use file::VcdFile;
pub use mark::{GRAMMAR, Mark, MarkError, Motors, MoveKind, Owner, PlanChange, Reserved};
pub use read::{Change, TraceError, VcdReader};
pub use record::{Recorder, Trace, TraceBuilder};
pub use recording::Recording;

/// What the values of a signal are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SignalKind {
    /// A line: low or high.
    Wire,
    /// A number: a position in the motor's unit.
    Real,
    /// Words: a move's number and kind.
    Text,
}

/// Which signal of a trace, as [`TraceBuilder::add`] gave it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SignalId(u32);

impl SignalId {
    /// Its place among the signals of its trace.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A signal of a trace: where it belongs, its name, and what its values are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signal {
    id: SignalId,
    scope: String,
    name: String,
    kind: SignalKind,
}

impl Signal {
    /// Its number in its trace.
    pub fn id(&self) -> SignalId {
        self.id
    }

    /// The motor, or `machine`.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Its name within the scope: `step`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its values are.
    pub fn kind(&self) -> SignalKind {
        self.kind
    }

    /// Whether `path` names this signal, as `scope.name`.
    fn is(&self, path: &str) -> bool {
        path.strip_prefix(self.scope.as_str()).and_then(|rest| rest.strip_prefix('.'))
            == Some(self.name.as_str())
    }
}

/// The value of a signal from a moment on.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// A wire whose level is not known. Lockstep records none; other programs' files may have it.
    Unknown,
    /// A wire at ground.
    Low,
    /// A wire at the supply of the logic.
    High,
    /// A number.
    Real(f64),
    /// Words.
    Text(Arc<str>),
}

/// One record: 16 bytes, since a long run has many millions of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Record {
    /// Nanoseconds since the start of the recording.
    at: u64,
    signal: u32,
    /// A wire's level (see the constants), or the index of the number or text.
    data: u32,
}

const LOW: u32 = 0;
const HIGH: u32 = 1;
const UNKNOWN: u32 = 2;

/// The records of a trace as they come, with their numbers and texts in tables of their own.
#[derive(Debug)]
struct Store {
    signals: Vec<Signal>,
    records: Vec<Record>,
    reals: Vec<f64>,
    texts: Vec<Arc<str>>,
}

impl Store {
    fn new(signals: Vec<Signal>) -> Store {
        Store { signals, records: Vec::new(), reals: Vec::new(), texts: Vec::new() }
    }

    /// Keeps a level; `false` if the signal is no wire of this trace.
    fn level(&mut self, at: u64, signal: SignalId, level: u32) -> bool {
        self.push(at, signal, SignalKind::Wire, level)
    }

    /// Keeps a number; `false` if the signal has none.
    fn real(&mut self, at: u64, signal: SignalId, value: f64) -> bool {
        let Ok(index) = u32::try_from(self.reals.len()) else {
            return false;
        };
        let kept = self.push(at, signal, SignalKind::Real, index);
        if kept {
            self.reals.push(value);
        }
        kept
    }

    /// Keeps a text; `false` if the signal has none.
    fn text(&mut self, at: u64, signal: SignalId, value: Arc<str>) -> bool {
        let Ok(index) = u32::try_from(self.texts.len()) else {
            return false;
        };
        let kept = self.push(at, signal, SignalKind::Text, index);
        if kept {
            self.texts.push(value);
        }
        kept
    }

    fn push(&mut self, at: u64, signal: SignalId, kind: SignalKind, data: u32) -> bool {
        let fits = self.signals.get(signal.index()).is_some_and(|s| s.kind == kind);
        if fits {
            self.records.push(Record { at, signal: signal.0, data });
        }
        fits
    }

    fn value(&self, record: Record) -> Value {
        let index = record.data as usize;
        match self.signals[record.signal as usize].kind {
            SignalKind::Wire => match record.data {
                LOW => Value::Low,
                HIGH => Value::High,
                _ => Value::Unknown,
            },
            SignalKind::Real => Value::Real(self.reals[index]),
            SignalKind::Text => Value::Text(Arc::clone(&self.texts[index])),
        }
    }
}

fn instant(record: Record) -> Instant {
    Instant::from_nanos(record.at)
}
