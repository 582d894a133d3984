use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, TrySendError, bounded};
use log::warn;

use super::{HIGH, LOW, Mark, Recording, Signal, SignalId, SignalKind, Store, text};
use crate::units::Instant;

/// How often the collector empties the queue. At 100,000 records a second 500 come in between.
const COLLECT_EVERY: Duration = Duration::from_millis(5);
/// How long [`Trace::finish`] waits for the collector.
const FINISH_WITHIN: Duration = Duration::from_secs(2);
/// Records stored under one lock, so that a text never waits long for it.
const BATCH: usize = 1024;

/// Names the signals of a trace before it begins.
#[derive(Debug)]
pub struct TraceBuilder {
    start: Instant,
    signals: Vec<Signal>,
}

impl TraceBuilder {
    /// A trace without signals yet, whose time zero is `start`.
    pub fn new(start: Instant) -> TraceBuilder {
        TraceBuilder { start, signals: Vec::new() }
    }

    /// Adds the signal `scope.name`; in files, scopes and signals come in the order in which they
    /// were added.
    ///
    /// Characters other than ASCII letters, digits, `-` and `_` turn into `_`: viewers stumble over
    /// the rest. A name that is there already gives the signal that has it, whatever its kind.
    pub fn add(&mut self, scope: &str, name: &str, kind: SignalKind) -> SignalId {
        let (scope, name) = (text::identifier(scope), text::identifier(name));
        let known = self.signals.iter().find(|s| s.scope == scope && s.name == name);
        if let Some(signal) = known {
            return signal.id;
        }
        let id = SignalId(self.signals.len() as u32);
        self.signals.push(Signal { id, scope, name, kind });
        id
    }

    /// The signals that were added so far.
    pub fn signals(&self) -> &[Signal] {
        &self.signals
    }

    /// Records straight into memory: for one thread, in virtual time. Nothing is ever lost.
    pub fn direct(self) -> (Recorder, Trace) {
        let shared = Shared::new(self);
        let recorder = Recorder(To::Memory(Arc::clone(&shared)));
        (recorder, Trace { shared, collector: None })
    }

    /// Records through a queue of `capacity` records (at least 1), which a thread named `trace`
    /// empties into memory every 5 ms.
    ///
    /// Recording an edge or a number then never waits, locks or allocates: where the queue is full
    /// the record is dropped and counted ([`Recording::lost`]). A record takes 32 bytes of the
    /// queue; 65,536 of them hold 5 ms of 13 million edges a second.
    ///
    /// # Errors
    ///
    /// The system gave no thread.
    ///
    /// ```
    /// use lockstep::trace::{SignalKind, TraceBuilder};
    /// use lockstep::units::Instant;
    ///
    /// let mut builder = TraceBuilder::new(Instant::ZERO);
    /// let pulse = builder.add("pan", "pulse", SignalKind::Wire);
    /// let (recorder, trace) = builder.queued(1024)?;
    /// let loop_of_pan = std::thread::spawn(move || {
    ///     recorder.edge(pulse, Instant::from_nanos(20_000_000), true);
    ///     recorder.edge(pulse, Instant::from_nanos(21_500_000), false);
    /// });
    /// loop_of_pan.join().unwrap();
    /// let recording = trace.finish();
    /// assert_eq!(recording.lost(), 0);
    /// assert_eq!(recording.edges(pulse).count(), 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn queued(self, capacity: usize) -> io::Result<(Recorder, Trace)> {
        let shared = Shared::new(self);
        let (to, from) = bounded(capacity.max(1));
        let (stop, stopped) = bounded::<()>(0);
        let (done, is_done) = bounded::<()>(1);
        let collector = Collector { shared: Arc::clone(&shared), from: from.clone(), stopped };
        thread::Builder::new().name("trace".into()).spawn(move || {
            collector.run();
            // Nobody listens when the trace was dropped unfinished.
            let _ = done.try_send(());
        })?;
        let recorder = Recorder(To::Queue(Arc::clone(&shared), to));
        Ok((recorder, Trace { shared, collector: Some(Running { stop, is_done, from }) }))
    }
}

/// Where records go. Cheap to clone; each line or channel keeps its own.
#[derive(Clone, Debug)]
pub struct Recorder(To);

#[derive(Clone, Debug)]
enum To {
    Nowhere,
    Memory(Arc<Shared>),
    Queue(Arc<Shared>, Sender<Queued>),
}

impl Recorder {
    /// Records nothing, at the cost of one comparison.
    ///
    /// ```
    /// use lockstep::trace::Recorder;
    /// assert!(!Recorder::off().is_on());
    /// ```
    pub fn off() -> Recorder {
        Recorder(To::Nowhere)
    }

    /// Whether it records at all: what is costly to work out can be left out where it does not.
    pub fn is_on(&self) -> bool {
        !matches!(self.0, To::Nowhere)
    }

    /// The wire `id` is high or low from `at` on.
    ///
    /// An edge may be recorded long after it happened, as long as the edges of one signal come in
    /// the order of their time. Levels that a wire already has are left out at the end. What happened
    /// before the start of the recording counts as its start.
    #[inline]
    pub fn edge(&self, id: SignalId, at: Instant, high: bool) {
        let level = if high { HIGH } else { LOW };
        self.put(id, at, SignalKind::Wire, u64::from(level));
    }

    /// The number `id` is `value` from `at` on, in the motor's unit.
    #[inline]
    pub fn real(&self, id: SignalId, at: Instant, value: f64) {
        self.put(id, at, SignalKind::Real, value.to_bits());
    }

    /// The text `id` is `value` from `at` on. NUL characters are left out.
    ///
    /// Not for a motor's loop: it allocates and takes a lock. It never gets lost in the queue.
    pub fn text(&self, id: SignalId, at: Instant, value: &str) {
        let (To::Memory(shared) | To::Queue(shared, _)) = &self.0 else {
            return;
        };
        let value: Arc<str> = value.replace('\0', "").into();
        let at = at.nanos_since(shared.start);
        shared.keep(|store| store.text(at, id, value));
    }

    /// The text `id` is this mark from `at` on. Like [`Recorder::text`], and nothing is written where
    /// nothing is recorded.
    pub fn mark(&self, id: SignalId, at: Instant, mark: &Mark<'_>) {
        if self.is_on() {
            self.text(id, at, &mark.to_string());
        }
    }

    #[inline]
    fn put(&self, id: SignalId, at: Instant, kind: SignalKind, bits: u64) {
        match &self.0 {
            To::Nowhere => {}
            To::Memory(shared) => {
                let record = Queued { at: at.nanos_since(shared.start), bits, signal: id, kind };
                shared.keep(|store| record.store(store));
            }
            To::Queue(shared, queue) => {
                let record = Queued { at: at.nanos_since(shared.start), bits, signal: id, kind };
                if let Err(TrySendError::Full(_)) = queue.try_send(record) {
                    shared.lost.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

/// A record on its way: fixed size, nothing to free.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queued {
    at: u64,
    bits: u64,
    signal: SignalId,
    kind: SignalKind,
}

impl Queued {
    fn store(self, store: &mut Store) -> bool {
        match self.kind {
            SignalKind::Wire => store.level(self.at, self.signal, self.bits as u32),
            SignalKind::Real => store.real(self.at, self.signal, f64::from_bits(self.bits)),
            // Texts go into memory directly.
            SignalKind::Text => false,
        }
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    start: Instant,
    store: Mutex<Store>,
    /// Records stored so far; readable where the store's lock is not to be had.
    stored: AtomicU64,
    lost: AtomicU64,
    /// The recording is over: what still comes is left out.
    over: AtomicBool,
}

impl Shared {
    fn new(builder: TraceBuilder) -> Arc<Shared> {
        Arc::new(Shared {
            start: builder.start,
            store: Mutex::new(Store::new(builder.signals)),
            stored: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            over: AtomicBool::new(false),
        })
    }

    // A store is whole after every push, so a panic elsewhere spoils nothing.
    pub(super) fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, push: impl FnOnce(&mut Store) -> bool) {
        let mut store = self.lock();
        if self.over.load(Ordering::Relaxed) {
            return;
        }
        if !push(&mut store) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Stores up to `limit` records of the queue and says how many it were.
    fn collect(&self, from: &Receiver<Queued>, limit: usize) -> usize {
        let mut taken = 0;
        while taken < limit {
            let mut batch = [const { None }; BATCH];
            let mut len = 0;
            for slot in batch.iter_mut().take(limit - taken) {
                match from.try_recv() {
                    Ok(record) => *slot = Some(record),
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                }
                len += 1;
            }
            if len == 0 {
                break;
            }
            let mut store = self.lock();
            let kept = batch.iter().flatten().filter(|r| r.store(&mut store)).count();
            drop(store);
            self.stored.fetch_add(kept as u64, Ordering::Relaxed);
            self.lost.fetch_add((len - kept) as u64, Ordering::Relaxed);
            taken += len;
        }
        taken
    }
}

struct Collector {
    shared: Arc<Shared>,
    from: Receiver<Queued>,
    stopped: Receiver<()>,
}

impl Collector {
    fn run(self) {
        let most = self.from.capacity().unwrap_or(usize::MAX);
        loop {
            // It sleeps beside the queue, not on it: a receiver that waits would make each sender
            // take a lock and wake it.
            let stopped = self.stopped.recv_timeout(COLLECT_EVERY);
            self.shared.collect(&self.from, most);
            if stopped != Err(RecvTimeoutError::Timeout) {
                break;
            }
        }
    }
}

#[derive(Debug)]
struct Running {
    stop: Sender<()>,
    is_done: Receiver<()>,
    from: Receiver<Queued>,
}

/// A recording under way. Dropping it ends the recording and throws the records away.
#[derive(Debug)]
pub struct Trace {
    pub(super) shared: Arc<Shared>,
    collector: Option<Running>,
}

impl Trace {
    /// Ends the recording and gives all its records.
    ///
    /// What recorders still write from now on is left out. The call takes at most 2 s beyond the
    /// time to sort the records; should the collecting thread not have ended by then, the log says
    /// so, and records that are out of reach count as lost.
    pub fn finish(self) -> Recording {
        if let Some(Running { stop, is_done, from }) = self.collector {
            drop(stop);
            if is_done.recv_timeout(FINISH_WITHIN) == Err(RecvTimeoutError::Timeout) {
                warn!("the trace's thread did not end within 2 s: its last records may be missing");
                match self.shared.store.try_lock() {
                    Ok(guard) => drop(guard),
                    Err(TryLockError::Poisoned(_)) => {}
                    Err(TryLockError::WouldBlock) => {
                        let out_of_reach = self.shared.stored.load(Ordering::Relaxed)
                            + from.len() as u64
                            + self.shared.lost.load(Ordering::Relaxed);
                        return Recording::new(Store::new(Vec::new()), out_of_reach);
                    }
                }
            }
            self.shared.collect(&from, from.capacity().unwrap_or(usize::MAX));
        }
        let mut store = self.shared.lock();
        self.shared.over.store(true, Ordering::Relaxed);
        let signals = store.signals.clone();
        let store = std::mem::replace(&mut *store, Store::new(signals));
        Recording::new(store, self.shared.lost.load(Ordering::Relaxed))
    }
}
