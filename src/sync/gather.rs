//! Waiting for one result from each of many.

use std::fmt;
use std::time::Instant;

use super::prim::{Received, Receiver, receive};
use super::stop::StopEvent;

/// Waits for one result of each of a set of keys (names of motors, of threads), with one deadline,
/// and handles each as it comes.
///
/// The results arrive as `(key, result)` on one channel, whose senders the many hold. A second
/// result for a key, or one for a key that nobody expects, is dropped and counted as surplus. If
/// all senders are gone the wait ends at once: those still missing can't come any more. So give
/// each of the many its own sender and keep none.
///
/// # Examples
///
/// Two motors answer, one of them with a failure, and one is silent:
///
/// ```
/// use crossbeam_channel::bounded;
/// use lockstep::sync::{Gather, GatherEnd};
/// use std::time::{Duration, Instant};
///
/// let (tx, rx) = bounded(4);
/// for (name, outcome) in [("x", Ok(100)), ("pan", Err("the driver raised its fault line"))] {
///     let tx = tx.clone();
///     std::thread::spawn(move || tx.send((name, outcome)));
/// }
/// let mut gather = Gather::new(["x", "y", "pan"], rx);
/// let mut steps = 0;
/// let report = gather.run(Instant::now() + Duration::from_millis(50), None, |_name, outcome| {
///     steps += outcome?;
///     Ok::<(), &str>(())
/// });
/// assert_eq!(steps, 100);
/// assert_eq!(report.end, GatherEnd::TimedOut);
/// assert_eq!(report.arrived, ["x"]);
/// assert_eq!(report.failed, [("pan", "the driver raised its fault line")]);
/// assert_eq!(report.missing, ["y"]);
/// assert_eq!(
///     report.to_string(),
///     "1 arrived; failed: pan (the driver raised its fault line); missing when the time ran out: y"
/// );
/// # drop(tx);
/// ```
#[derive(Debug)]
pub struct Gather<K, T> {
    results: Receiver<(K, T)>,
    /// In the order given; true once its result is in.
    keys: Vec<(K, bool)>,
    surplus: usize,
}

/// Why a [`Gather`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GatherEnd {
    /// Every key's result is in.
    Complete,
    /// The deadline came first.
    TimedOut,
    /// The stop event came first.
    Stopped,
    /// Every sender is gone: nothing more can come.
    Closed,
}

impl fmt::Display for GatherEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GatherEnd::Complete => "all results are in",
            GatherEnd::TimedOut => "the time ran out",
            GatherEnd::Stopped => "the stop came",
            GatherEnd::Closed => "the last sender was gone",
        })
    }
}

/// What a [`Gather::run`] came to. Each expected key is in exactly one of `arrived`, `failed` and
/// `missing`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "says who is missing"]
pub struct GatherReport<K, E> {
    /// Whose results were handled without an error, in order of arrival.
    pub arrived: Vec<K>,
    /// Whose results were handled with an error, in order of arrival.
    pub failed: Vec<(K, E)>,
    /// Whose results did not come, in the order in which they were expected.
    pub missing: Vec<K>,
    /// How many results were dropped since they were a key's second, or nobody expected them.
    pub surplus: usize,
    /// Why the wait ended.
    pub end: GatherEnd,
}

impl<K: Eq, T> Gather<K, T> {
    /// Expects one result for each key from `results`. A key that is given twice is one key.
    pub fn new(keys: impl IntoIterator<Item = K>, results: Receiver<(K, T)>) -> Self {
        let mut expected: Vec<(K, bool)> = Vec::new();
        for key in keys {
            if expected.iter().all(|(k, _)| *k != key) {
                expected.push((key, false));
            }
        }
        Gather { results, keys: expected, surplus: 0 }
    }

    /// The keys whose results are not in, in the order in which they were given.
    pub fn missing(&self) -> impl Iterator<Item = &K> {
        self.keys.iter().filter(|(_, is_in)| !is_in).map(|(key, _)| key)
    }

    /// Whether every key's result is in.
    pub fn is_complete(&self) -> bool {
        self.keys.iter().all(|(_, is_in)| *is_in)
    }

    /// How many results were dropped so far since they were a key's second, or nobody expected
    /// them.
    pub fn surplus(&self) -> usize {
        self.surplus
    }

    /// Waits for the next result; `Ok(None)` when all are in.
    ///
    /// Results that are there already are given out also when the deadline has passed, but not
    /// once `stop` is set. After an error one may go on, with another deadline or without `stop`.
    ///
    /// # Errors
    ///
    /// Why there is no next result: [`GatherEnd::TimedOut`], [`GatherEnd::Stopped`] or
    /// [`GatherEnd::Closed`].
    pub fn next(
        &mut self,
        deadline: Instant,
        stop: Option<&StopEvent>,
    ) -> Result<Option<(K, T)>, GatherEnd> {
        // Once the deadline has passed: how many of the results that were there by then are left.
        // Without this, a flood of surplus results would hold the deadline off for ever.
        let mut overtime: Option<usize> = None;
        while !self.is_complete() {
            let (key, result) = match receive(&self.results, deadline, stop) {
                Received::Message(message) => message,
                Received::TimedOut => return Err(GatherEnd::TimedOut),
                Received::Stopped => return Err(GatherEnd::Stopped),
                Received::Closed => return Err(GatherEnd::Closed),
            };
            match self.keys.iter_mut().find(|(k, _)| *k == key) {
                Some((_, is_in)) if !*is_in => {
                    *is_in = true;
                    return Ok(Some((key, result)));
                }
                _ => self.surplus += 1,
            }
            if Instant::now() >= deadline {
                let left = overtime.get_or_insert(self.results.len());
                if *left == 0 {
                    return Err(GatherEnd::TimedOut);
                }
                *left -= 1;
            }
        }
        Ok(None)
    }

    /// The results in order of arrival, until all are in or the wait ends for another reason; then
    /// [`is_complete`](Self::is_complete) and [`missing`](Self::missing) tell what came of it.
    pub fn iter_until(
        &mut self,
        deadline: Instant,
        stop: Option<&StopEvent>,
    ) -> impl Iterator<Item = (K, T)> {
        std::iter::from_fn(move || self.next(deadline, stop).ok().flatten())
    }

    /// Handles each result as it comes, and reports who arrived, who failed (for whom `handle`
    /// returned an error) and who is missing. Ends when all are in, at `deadline`, when `stop` is
    /// set, or when no more can come.
    ///
    /// It may be called again, to wait for those that were missing.
    pub fn run<E>(
        &mut self,
        deadline: Instant,
        stop: Option<&StopEvent>,
        mut handle: impl FnMut(&K, T) -> Result<(), E>,
    ) -> GatherReport<K, E>
    where
        K: Clone,
    {
        let (mut arrived, mut failed) = (Vec::new(), Vec::new());
        let surplus_before = self.surplus;
        let end = loop {
            match self.next(deadline, stop) {
                Ok(Some((key, result))) => match handle(&key, result) {
                    Ok(()) => arrived.push(key),
                    Err(error) => failed.push((key, error)),
                },
                Ok(None) => break GatherEnd::Complete,
                Err(end) => break end,
            }
        };
        GatherReport {
            arrived,
            failed,
            missing: self.missing().cloned().collect(),
            surplus: self.surplus - surplus_before,
            end,
        }
    }
}

impl<K, E> GatherReport<K, E> {
    /// Whether every key's result came and none failed.
    pub fn is_success(&self) -> bool {
        self.failed.is_empty() && self.missing.is_empty()
    }
}

impl<K: fmt::Display, E: fmt::Display> fmt::Display for GatherReport<K, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} arrived", self.arrived.len())?;
        for (n, (key, error)) in self.failed.iter().enumerate() {
            write!(f, "{}{key} ({error})", if n == 0 { "; failed: " } else { ", " })?;
        }
        for (n, key) in self.missing.iter().enumerate() {
            match n {
                0 => write!(f, "; missing when {}: {key}", self.end)?,
                _ => write!(f, ", {key}")?,
            }
        }
        Ok(())
    }
}
