//! What a test of lateness means for steps.

use std::time::Duration;

use super::{Finding, Needs};
use crate::motor::LatenessSummary;

/// The rates that are tried, steps a second, slowest first.
pub(crate) const STEP_RATES: [u32; 6] = [1_000, 2_000, 5_000, 10_000, 20_000, 40_000];

/// The share of the time between two steps by which a step may be late: a loop that is behind follows its
/// plan at 1.25 times the speed, so that the next step has made up for it.
const SHARE: f64 = 0.2;

/// How late steps came at a rate.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct RateSeen {
    /// Steps a second.
    pub rate: u32,
    /// How late they came: of several threads, the worst of each figure.
    pub seen: LatenessSummary,
    /// Whether the threads had real-time scheduling.
    pub realtime: bool,
}

impl RateSeen {
    /// Whether steps at this rate are safe: 99.9 % of them late by no more than a fifth of the time between
    /// two, and none so late that a move would come to rest.
    pub fn is_safe(&self, max_lateness: Duration) -> bool {
        let allowed = SHARE * 1e9 / f64::from(self.rate);
        self.seen.count > 0
            && self.seen.p999 as f64 <= allowed
            && u128::from(self.seen.max) <= max_lateness.as_nanos()
    }
}

/// The highest rate up to which all that were tried are safe.
pub(crate) fn safe_rate(rates: &[RateSeen], max_lateness: Duration) -> Option<RateSeen> {
    rates.iter().take_while(|r| r.is_safe(max_lateness)).last().copied()
}

/// Where the config names none: what a move on hardware bears.
pub(crate) const MAX_LATENESS: Duration = Duration::from_millis(1);
/// Where there is no config: what a config that says nothing has.
pub(crate) const SPIN: f64 = 0.2;

pub(super) fn lateness(
    rates: &[RateSeen],
    needs: Option<&Needs>,
    on_board: bool,
) -> Option<Finding> {
    const CHECK: &str = "lateness";
    let first = rates.first()?;
    let max_lateness = needs.map_or(MAX_LATENESS, |n| n.max_lateness);
    let safe = safe_rate(rates, max_lateness);
    let shown = safe.unwrap_or(*first);
    let us = |nanos: u64| format!("{:.1} us", nanos as f64 / 1e3);
    let worst = rates.iter().map(|r| r.seen.max).max().unwrap_or_default();
    let figures = format!(
        "at {} steps a second p50 {}, p99.9 {}; the worst of all {}{}",
        shown.rate,
        us(shown.seen.p50),
        us(shown.seen.p999),
        us(worst),
        if shown.realtime { "" } else { "; without real-time scheduling" }
    );
    let says = match safe {
        Some(safe) => format!("up to {} steps a second are safe: {figures}", safe.rate),
        None => format!("not even {} steps a second are safe: {figures}", first.rate),
    };
    let wanted = needs.and_then(Needs::fastest);
    let up_to = safe.map_or(0.0, |s| f64::from(s.rate));
    let Some((axis, rate)) = wanted.filter(|w| w.1 > up_to && safe != rates.last().copied()) else {
        let servos_alone = needs.is_some_and(|n| n.step_rates.is_empty());
        return Some(match safe {
            None if !servos_alone => Finding::advice(CHECK, says),
            _ => Finding::ok(CHECK, says),
        });
    };
    let says = format!(
        "{says}. {axis} can make {rate:.0}: give it fewer microsteps or a lower `max-speed`"
    );
    // The slowest rate that is at least the one wanted says what will become of its moves.
    let tried = rates.iter().find(|r| f64::from(r.rate) >= *rate).or(rates.last())?;
    let stops = u128::from(tried.seen.max) > max_lateness.as_nanos();
    Some(match stops && on_board {
        true => Finding::todo(CHECK, format!("{says}; as it is, its moves come to rest (`late`)")),
        false => Finding::advice(CHECK, says),
    })
}
