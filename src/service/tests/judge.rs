//! Whether what a service promised is what its trace shows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::story::{Begun, Course, Story};
use super::watch::Watched;
use crate::units::Instant;

/// By so much may the last pulse of a motion differ from the one before, nanoseconds: an eleventh of a degree.
const EXACT: u64 = 1_000;

/// So far ahead the epoch of a move lies.
const LEAD: Duration = Duration::from_millis(10);

/// What was promised, without the desk.
pub struct Promises {
    orders: Vec<String>,
    pub still: Vec<super::watch::Still>,
    pub stopped: Vec<super::watch::Stopped>,
    held: Vec<super::watch::HeldProgram>,
    jogs: Vec<super::watch::JogEnd>,
    pub told: Vec<super::watch::Told>,
    pub runs: Vec<(String, Instant, usize)>,
    /// When the service was told to end: from then on servos may park.
    end: Instant,
}

impl Promises {
    pub fn of(watched: &Watched<'_, '_>) -> Promises {
        let told = |o: &super::watch::Order| format!("request {} of client {}", o.id, o.client);
        Promises {
            orders: watched.orders.iter().map(told).collect(),
            still: watched.still.clone(),
            stopped: watched.stopped.clone(),
            held: watched.held.clone(),
            jogs: watched.jogs.values().cloned().collect(),
            told: watched.told.clone(),
            runs: watched.runs.clone(),
            end: watched.now(),
        }
    }

    /// Looks for each promise in the trace.
    pub fn check(&self, story: &Story) {
        let moves = story.moves();
        let motors = story.all.iter();
        let courses: BTreeMap<&str, Course> =
            motors.map(|m| (m.name.as_str(), story.course(m))).collect();
        let servos = story.all.iter().filter(|m| m.axis().is_none());
        let pulses: BTreeMap<&str, Vec<(Instant, u64)>> =
            servos.map(|m| (m.name.as_str(), story.pulses(&m.name))).collect();
        for (motor, counted) in &story.counted {
            let Some(counted) = counted else { continue };
            if let Some(course) = courses.get(motor.as_str()).filter(|c| c.is_counted) {
                assert_eq!(course.count_at(Instant::FAR), *counted, "edges of {motor}");
            }
        }
        for told in &self.told {
            if let Some(course) = courses.get(told.motor.as_str()).filter(|c| c.is_counted) {
                let (motor, why) = (&told.motor, &self.orders[told.place]);
                let counts: Vec<i64> = course.counts_within(told.from, told.at).collect();
                let (is, steps) = (counts.contains(&told.steps), told.steps);
                assert!(is, "{motor} at {steps} as told by {why}: it was at {counts:?}");
            }
        }
        for still in self.still.iter().filter(|s| s.from < s.until) {
            let why = &self.orders[still.place];
            if let Some(pulses) = pulses.get(still.motor.as_str()) {
                let until = still.until.min(self.end);
                let of = pulses.iter().filter(|p| p.0 > still.from && p.0 <= until);
                let widths: BTreeSet<u64> = of.map(|p| p.1).collect();
                let name = &still.motor;
                // At rest a pulse may still be brought to its exact width.
                let moved = widths.last().zip(widths.first()).is_some_and(|(w, n)| w - n > EXACT);
                assert!(!moved, "{name} after {} by {why}: {widths:?}", still.from);
            }
            let Some(course) = courses.get(still.motor.as_str()) else { continue };
            let moved = course.steps(still.from, still.until).next();
            assert_eq!(moved, None, "{} after {} by {why}", still.motor, still.from);
        }
        self.nothing_old_moves(&moves, &courses);
        for held in self.held.iter().filter(|h| h.from < h.until) {
            let owner = format!("program.{}", held.program);
            let of = |m: &&Begun| {
                m.owner == owner && m.at > held.from && m.at < held.until && !m.was_dropped()
            };
            assert_eq!(moves.iter().find(of).map(|m| m.at), None, "{owner} is held");
        }
        for jog in &self.jogs {
            // One that was sent elsewhere is a jog no more, and goes there.
            let meant = |m: &Begun| m.number == jog.number && m.is_jog;
            let Some(place) = moves.iter().position(meant) else { continue };
            for motor in &moves[place].motors {
                let next = moves[place + 1..].iter().find(|m| m.motors.contains(motor));
                let until = next.map_or(Instant::FAR, |m| m.at);
                let Some(course) = courses.get(motor.as_str()) else { continue };
                let late = course.steps(jog.by, until).next();
                assert!(late.is_none() || course.plays, "jog {} of {motor}: {late:?}", jog.number);
            }
        }
    }

    /// After a stop nothing moves its motors that was asked for before.
    fn nothing_old_moves(&self, moves: &[Begun], courses: &BTreeMap<&str, Course>) {
        for stop in self.stopped.iter().filter(|s| s.from < Instant::FAR) {
            let old_run = |owner: &str, at: Instant| {
                let Some(program) = owner.strip_prefix("program.") else { return false };
                let mut runs = self.runs.iter().filter(|r| r.0 == program && r.1 <= at);
                runs.next_back().is_none_or(|r| r.2 < stop.place)
            };
            for motor in &stop.motors {
                let of: Vec<_> = moves.iter().filter(|m| m.motors.contains(motor)).collect();
                for begun in of.iter().filter(|m| m.at > stop.from && !m.was_dropped()) {
                    let old = begun.number < stop.first_new || old_run(&begun.owner, begun.at);
                    let why = &self.orders[stop.place];
                    // Its epoch was fixed before, and this motor is not part of it any more.
                    let course = courses.get(motor.as_str());
                    let until = begun.over.unwrap_or(Instant::FAR);
                    let moves = course.is_some_and(|c| c.steps(begun.at, until).next().is_some());
                    let old = old && (moves || begun.at > stop.from + LEAD);
                    assert!(!old, "{begun:?} begins after the stop by {why} at {}", stop.from);
                }
                let Some(course) = courses.get(motor.as_str()).filter(|c| !c.plays) else {
                    continue;
                };
                let next = of.iter().find(|m| m.at > stop.from).map_or(Instant::FAR, |m| m.at);
                let now = of.iter().rev().find(|m| m.at <= stop.from);
                if now.is_some_and(|m| m.number < stop.first_new) {
                    let moved = course.steps(stop.from, next).next();
                    let why = &self.orders[stop.place];
                    assert_eq!(
                        moved, None,
                        "{motor} after its stop by {why} at {}: {now:?}",
                        stop.from
                    );
                }
            }
        }
    }
}
