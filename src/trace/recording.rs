use super::{Change, HIGH, LOW, Record, Signal, SignalId, SignalKind, Store, Value, instant};
use crate::units::Instant;

/// A finished recording: all records, in the order of their time.
///
/// Records of one instant come in the order of their signals, those of one signal in the order in
/// which they were recorded. A wire's records are changes: a level that it already had is left out.
/// Numbers and texts are kept as they came.
///
/// ```
/// use lockstep::trace::{SignalKind, TraceBuilder};
/// use lockstep::units::Instant;
///
/// let at = Instant::from_nanos;
/// let mut builder = TraceBuilder::new(Instant::ZERO);
/// let dir = builder.add("x", "dir", SignalKind::Wire);
/// let (recorder, trace) = builder.direct();
/// recorder.edge(dir, at(10), true);
/// recorder.edge(dir, at(20), true);
/// recorder.edge(dir, at(30), false);
/// let recording = trace.finish();
/// let edges: Vec<_> = recording.edges(dir).collect();
/// assert_eq!(edges, [(at(10), true), (at(30), false)]);
/// ```
#[derive(Debug)]
pub struct Recording {
    pub(super) store: Store,
    lost: u64,
    pub(super) end: u64,
}

impl Recording {
    /// Sorts the records and leaves out those that change nothing.
    pub(super) fn new(mut store: Store, lost: u64) -> Recording {
        // Stable: records of one signal at one instant stay in their order.
        store.records.sort_by_key(|r| (r.at, r.signal));
        let mut levels = vec![None; store.signals.len()];
        let signals = &store.signals;
        store.records.retain(|r| {
            let index = r.signal as usize;
            signals[index].kind != SignalKind::Wire || levels[index].replace(r.data) != Some(r.data)
        });
        let end = store.records.last().map_or(0, |r| r.at);
        Recording { store, lost, end }
    }

    /// How many records were dropped because the queue was full, or because they did not fit their
    /// signal. With 0, the recording is complete.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The signals, in the order in which they were added.
    pub fn signals(&self) -> &[Signal] {
        &self.store.signals
    }

    /// The signal that `path` names as `scope.name`: `x.step`.
    pub fn find(&self, path: &str) -> Option<SignalId> {
        self.store.signals.iter().find(|s| s.is(path)).map(Signal::id)
    }

    /// How many records there are, of all signals.
    pub fn len(&self) -> usize {
        self.store.records.len()
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.store.records.is_empty()
    }

    /// The records of one signal in the order of their time. Each call goes through the records of
    /// all signals once.
    pub fn records(&self, signal: SignalId) -> impl Iterator<Item = (Instant, Value)> + '_ {
        self.of(signal).map(|r| (instant(r), self.store.value(r)))
    }

    /// The edges of a wire, `true` for high; none for a signal of another kind.
    pub fn edges(&self, signal: SignalId) -> impl Iterator<Item = (Instant, bool)> + '_ {
        let signals = &self.store.signals;
        let wire = signals.get(signal.index()).is_some_and(|s| s.kind == SignalKind::Wire);
        self.of(signal)
            .filter(move |r| wire && matches!(r.data, LOW | HIGH))
            .map(|r| (instant(r), r.data == HIGH))
    }

    /// All changes in the order of their time, as a [`VcdReader`](super::VcdReader) gives those of a file.
    pub fn changes(&self) -> impl Iterator<Item = Change> + '_ {
        let change = |r: &Record| Change {
            at: instant(*r),
            signal: SignalId(r.signal),
            value: self.store.value(*r),
        };
        self.store.records.iter().map(change)
    }

    fn of(&self, signal: SignalId) -> impl Iterator<Item = Record> + '_ {
        self.store.records.iter().copied().filter(move |r| r.signal == signal.0)
    }

    /// When the recording ends, on its own clock: at its last record, or where [`until`] put it.
    ///
    /// [`until`]: Recording::until
    pub fn end(&self) -> Instant {
        Instant::from_nanos(self.end)
    }

    /// The same recording, but lasting until `end` on its own clock, so that a file shows the quiet
    /// time behind the last record. An `end` before the last record changes nothing.
    #[must_use]
    pub fn until(mut self, end: Instant) -> Recording {
        self.end = self.end.max(end.as_nanos());
        self
    }
}
