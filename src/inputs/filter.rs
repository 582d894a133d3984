//! The filter of one input line: edges and looks at the level go in, confirmed changes come out. It has no clock
//! and does no I/O: the time is told.

use std::collections::VecDeque;
use std::time::Duration;

use crate::units::Instant;

/// More edges than this within [`NOISE_WINDOW`] are noise: 2,000 a second.
const NOISE_EDGES: usize = 100;

/// How long edges have to come that fast, or a line may go without standing still for its debounce time, before
/// it is called noisy, nanoseconds; and how long it is, from the last sign of that on.
const NOISE_WINDOW: u64 = 50_000_000;

/// How a line is judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// For how long a level has to stand before it is believed.
    pub debounce: Duration,
    /// Whether the line protects something: then whatever keeps its level from being known counts as active.
    pub safety: bool,
}

impl Rules {
    /// 1 ms, and no safety line.
    pub const DEFAULT: Rules = Rules { debounce: Duration::from_millis(1), safety: false };
    /// 1 ms, of a line that protects something: a driver's fault line, a limit.
    pub const SAFETY: Rules = Rules { safety: true, ..Rules::DEFAULT };
}

/// A raw edge, as the kernel tells of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Edge {
    /// Whether the line is active after it. The kernel looks when it comes to it, so under bounce this may be
    /// the level of a moment later, and two edges in a row may say the same.
    pub active: bool,
    /// When it happened.
    pub at: Instant,
    /// Its number on this line, one more than that of the edge before; `None` where nobody counts. A gap says
    /// that edges were lost.
    pub number: Option<u32>,
}

/// A change that is confirmed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// What the line is now.
    pub active: bool,
    /// When it began: the first edge of the change, however long it bounced after that. The changes of a line
    /// come in the order of their instants.
    pub at: Instant,
    /// What says so.
    pub why: Why,
}

/// What a confirmed change rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// The level has stood for the debounce time.
    Level,
    /// A safety line, of which edges were lost.
    Gap,
    /// A safety line, whose level could not be read.
    Unreadable,
    /// A safety line with noise on it.
    Noise,
    /// A safety line that is no longer there.
    Vanished,
}

/// Whether a line can be relied upon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// It can.
    Well,
    /// More than 2,000 edges a second, or no debounce time without one, for 50 ms: a safety line counts as
    /// active, another keeps the level that was confirmed last.
    Noisy,
    /// It is gone for good.
    Vanished,
}

/// What a filter did not believe.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Rejected {
    /// How many pulses came to nothing.
    pub pulses: u64,
    /// The longest time from the first edge to the last of those that belonged together.
    pub longest: Duration,
}

/// Edges that belong together: no two of them are a debounce time apart.
#[derive(Clone, Copy)]
struct Burst {
    first: Instant,
    last: Instant,
    edges: u64,
    /// The level after the last edge, as it says itself.
    told: bool,
    /// A look has said otherwise, then: the next one decides.
    doubted: Option<Instant>,
    /// It has been noise, or some of it is lost: which edge began the change at its end cannot be known.
    loud: bool,
}

impl Burst {
    fn new(at: Instant, told: bool) -> Burst {
        Burst { first: at, last: at, edges: 0, told, doubted: None, loud: false }
    }

    /// From when on the level has to stand.
    fn quiet_from(&self) -> Instant {
        self.doubted.unwrap_or(self.last)
    }
}

/// Tells what a line is, by its raw edges and looks at its level.
///
/// - A level that has stood for the debounce time is confirmed, with the time of the first edge of the change.
///   What goes back before that is rejected, and counted.
/// - Edges tell when something happened; the level is the one that is read once they are over. Where the two
///   disagree (the kernel may have told the last edge wrong, or an edge is still on its way) it is looked at once
///   more, a debounce time later.
/// - Where edges were lost, the level can't be read, the line has vanished, or is noisy, a safety line counts as
///   active; another stays what it was.
///
/// Nothing hangs on how late it is asked, as long as it is told of the edges before it is asked.
///
/// ```
/// use lockstep::inputs::{Change, Edge, Filter, Rules, Why};
/// use lockstep::units::Instant;
///
/// let us = |us: u64| Instant::from_nanos(us * 1_000);
/// let mut line = Filter::new(Rules::DEFAULT, false);
/// for (at, active) in [(0, true), (30, false), (70, true)] {
///     line.edge(Edge { active, at: us(at), number: None });
/// }
/// assert_eq!(line.due(), us(1_070));
/// line.look(us(1_070), Some(true));
/// assert_eq!(line.next_change(), Some(Change { active: true, at: us(0), why: Why::Level }));
/// ```
#[derive(Clone)]
pub struct Filter {
    debounce: u64,
    safety: bool,
    /// What is confirmed, and since when, once it has changed.
    active: bool,
    since: Option<Instant>,
    burst: Option<Burst>,
    number: Option<u32>,
    /// The last edges, no more than make noise.
    recent: VecDeque<Instant>,
    noisy_until: Option<Instant>,
    vanished: bool,
    rejected: Rejected,
    changes: VecDeque<Change>,
}

impl Filter {
    /// The filter of a line that is `active` now, or not.
    pub fn new(rules: Rules, active: bool) -> Filter {
        Filter {
            debounce: u64::try_from(rules.debounce.as_nanos()).unwrap_or(u64::MAX),
            safety: rules.safety,
            active,
            since: None,
            burst: None,
            number: None,
            recent: VecDeque::with_capacity(NOISE_EDGES + 1),
            noisy_until: None,
            vanished: false,
            rejected: Rejected::default(),
            changes: VecDeque::with_capacity(4),
        }
    }

    /// What is confirmed: whether the line is active.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// Whether it can be relied upon.
    pub fn condition(&self) -> Condition {
        match (self.vanished, self.noisy_until) {
            (true, _) => Condition::Vanished,
            (false, Some(_)) => Condition::Noisy,
            (false, None) => Condition::Well,
        }
    }

    /// What was not believed so far.
    pub fn rejected(&self) -> Rejected {
        self.rejected
    }

    /// The next change that was confirmed and not taken yet.
    pub fn next_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// When [`Filter::look`] has to be called next for something to be confirmed; [`Instant::FAR`]: nothing is
    /// under way.
    pub fn due(&self) -> Instant {
        let settled = self.burst.map(|burst| burst.quiet_from().plus_nanos(self.debounce));
        match (settled, self.noisy_until) {
            _ if self.vanished => Instant::FAR,
            (Some(settled), noisy) => settled.max(noisy.unwrap_or(Instant::ZERO)),
            (None, noisy) => noisy.unwrap_or(Instant::FAR),
        }
    }

    /// An edge came. Those of one line come in the order of their instants.
    pub fn edge(&mut self, edge: Edge) {
        if self.vanished {
            return;
        }
        self.calm_down(edge.at);
        let before = self.number;
        self.number = edge.number.or(before);
        let next = before.map(|number| number.wrapping_add(1));
        let gap = next.is_some() && edge.number.is_some() && edge.number != next;
        // The level stood for long enough, though nobody came to look. Where the edge says that there was none
        // in between, what the one before said of the level is not to be relied upon.
        if let Some(burst) = self.burst
            && edge.at.nanos_since(burst.last) >= self.debounce
            && edge.active != burst.told
            && !gap
        {
            self.settle(burst, burst.told);
        }
        let burst = self.burst.get_or_insert(Burst::new(edge.at, edge.active));
        (burst.last, burst.told, burst.doubted) = (edge.at, edge.active, None);
        burst.edges += 1;
        self.recent.push_back(edge.at);
        let many = self.recent.len() > NOISE_EDGES
            && self.recent.pop_front().is_some_and(|at| edge.at.nanos_since(at) <= NOISE_WINDOW);
        let lasts = edge.at.nanos_since(burst.first);
        let noise = many || lasts >= self.debounce.saturating_add(NOISE_WINDOW);
        burst.loud |= gap || noise;
        let first = burst.first;
        if noise {
            self.noisy_until = Some(edge.at.plus_nanos(NOISE_WINDOW));
        }
        if gap {
            self.count_as_active(edge.at, Why::Gap);
        } else if noise {
            self.count_as_active(first, Why::Noise);
        }
    }

    /// What the line is at `now`; `None`: it can't be read. To be called when it is [due](Filter::due), once the
    /// edges up to then have been told; and now and then, for a change that no edge has told of.
    pub fn look(&mut self, now: Instant, active: Option<bool>) {
        if self.vanished {
            return;
        }
        self.calm_down(now);
        let Some(active) = active else {
            if self.safety {
                self.count_as_active(now, Why::Unreadable);
                // Once it can be read again, it has to stand like any other.
                self.burst =
                    Some(Burst { doubted: Some(now), loud: true, ..Burst::new(now, true) });
            }
            return;
        };
        let Some(burst) = &mut self.burst else {
            if active != self.active {
                self.burst = Some(Burst::new(now, active));
            }
            return;
        };
        if now.nanos_since(burst.quiet_from()) < self.debounce {
            return;
        }
        if active != burst.told && burst.doubted.is_none() {
            burst.doubted = Some(now);
            return;
        }
        let burst = *burst;
        self.settle(burst, active);
    }

    /// The line is no longer there, and does not come back.
    pub fn vanish(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.vanished, true) {
            self.count_as_active(now, Why::Vanished);
            self.burst = None;
        }
    }

    fn calm_down(&mut self, now: Instant) {
        self.noisy_until = self.noisy_until.filter(|&until| now < until);
    }

    /// Edges that belong together are over, and this is the level since.
    fn settle(&mut self, burst: Burst, level: bool) {
        // What a line with noise on it seems to be between two edges is nothing to go by.
        if self.noisy_until.is_some() {
            return;
        }
        self.burst = None;
        if level != self.active {
            self.confirm(level, if burst.loud { burst.last } else { burst.first }, Why::Level);
        } else if burst.edges > 0 {
            self.rejected.pulses += burst.edges.div_ceil(2);
            self.rejected.longest = self.rejected.longest.max(burst.last.since(burst.first));
        }
    }

    /// A safety line whose level is not known counts as active.
    fn count_as_active(&mut self, at: Instant, why: Why) {
        if self.safety && !self.active {
            self.confirm(true, at, why);
        }
    }

    fn confirm(&mut self, active: bool, at: Instant, why: Why) {
        // The same instant twice would leave open which came last.
        let at = self.since.map_or(at, |since| at.max(since.plus_nanos(1)));
        (self.active, self.since) = (active, Some(at));
        self.changes.push_back(Change { active, at, why });
    }
}

#[cfg(test)]
mod tests;
