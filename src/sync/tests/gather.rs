use std::collections::BTreeSet;
use std::convert::Infallible;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{bounded, unbounded};
use proptest::prelude::*;

use super::{LONG, SHORT, takes};
use crate::sync::{Gather, GatherEnd, StopEvent};

fn later(timeout: Duration) -> Instant {
    Instant::now() + timeout
}

fn fine<K, T>(_: &K, _: T) -> Result<(), Infallible> {
    Ok(())
}

#[test]
fn each_result_is_handled_as_it_comes() {
    let (tx, rx) = bounded(0);
    let (handled, next) = bounded(0);
    // Each speaks only when the one before has been handled.
    let speaker = thread::spawn(move || {
        for name in ["z", "x", "y"] {
            tx.send((name, name.len())).unwrap();
            assert_eq!(next.recv_timeout(LONG), Ok(name));
        }
    });
    let mut gather = Gather::new(["x", "y", "z"], rx);
    let report = gather.run(later(LONG), None, |name, _| handled.send(*name));
    assert_eq!(report.end, GatherEnd::Complete);
    assert_eq!(report.arrived, ["z", "x", "y"]);
    assert!(report.is_success());
    speaker.join().unwrap();
}

#[test]
fn the_deadline_comes_not_before_its_time() {
    let (tx, rx) = bounded(2);
    let mut gather = Gather::new(["x", "y"], rx);
    tx.send(("y", ())).unwrap();
    let mut report = None;
    takes(SHORT, || report = Some(gather.run(later(SHORT), None, fine)));
    let mut stop = StopEvent::new();
    takes(SHORT, || {
        stop = StopEvent::new();
        assert_eq!(gather.next(later(SHORT), Some(&stop)), Err(GatherEnd::TimedOut));
    });
    assert_eq!(gather.missing().collect::<Vec<_>>(), [&"x"]);
    let report = report.unwrap();
    assert_eq!((report.end, report.missing), (GatherEnd::TimedOut, vec!["x"]));
}

#[test]
fn what_is_there_counts_also_after_the_deadline() {
    let (tx, rx) = bounded(8);
    for name in ["x", "x", "stranger", "y"] {
        tx.send((name, ())).unwrap();
    }
    let past = Instant::now();
    thread::sleep(Duration::from_millis(1));
    let mut gather = Gather::new(["x", "y", "z"], rx);
    let report = gather.run(past, None, fine);
    assert_eq!(report.arrived, ["x", "y"]);
    assert_eq!(report.missing, ["z"]);
    assert_eq!((report.surplus, report.end), (2, GatherEnd::TimedOut));
    assert!(!report.is_success());
}

/// Someone who never stops talking can't hold the deadline off.
#[test]
fn a_flood_of_surplus_results_ends_with_the_deadline() {
    for stop in [None, Some(StopEvent::new())] {
        let (tx, rx) = bounded(64);
        let talker = thread::spawn(move || while tx.send(("x", ())).is_ok() {});
        let start = Instant::now();
        let mut gather = Gather::new(["x", "y"], rx);
        let report = gather.run(later(SHORT), stop.as_ref(), fine);
        assert!(start.elapsed() >= SHORT && start.elapsed() < LONG / 2);
        assert_eq!((report.end, report.missing), (GatherEnd::TimedOut, vec!["y"]));
        assert!(report.surplus > 0);
        drop(gather);
        talker.join().unwrap();
    }
}

#[test]
fn a_stop_is_heard_before_and_during_the_wait() {
    let (tx, rx) = bounded(1);
    let stop = StopEvent::new();
    let mut gather = Gather::new(["x", "y"], rx);
    let stopper = thread::spawn({
        let stop = stop.clone();
        move || {
            thread::sleep(SHORT);
            stop.set();
        }
    });
    let start = Instant::now();
    assert_eq!(gather.next(later(LONG), Some(&stop)), Err(GatherEnd::Stopped));
    tx.send(("x", ())).unwrap();
    assert_eq!(gather.next(later(LONG), Some(&stop)), Err(GatherEnd::Stopped));
    assert!(start.elapsed() < LONG / 2);
    stopper.join().unwrap();
    // What came all the same is not lost.
    assert_eq!(gather.next(later(LONG), None), Ok(Some(("x", ()))));
}

#[test]
fn the_end_of_all_senders_ends_the_wait() {
    let (tx, rx) = bounded(1);
    let talker = thread::spawn(move || tx.send(("x", 7)).unwrap());
    let mut gather = Gather::new(["x", "y", "x"], rx);
    let start = Instant::now();
    let results: Vec<_> = gather.iter_until(later(LONG), Some(&StopEvent::new())).collect();
    assert_eq!(results, [("x", 7)]);
    assert!(start.elapsed() < LONG / 2);
    assert!(!gather.is_complete());
    assert_eq!(gather.next(later(LONG), None), Err(GatherEnd::Closed));
    talker.join().unwrap();
}

#[test]
fn nobody_expected_is_complete_at_once() {
    let (_tx, rx) = bounded::<(u8, ())>(1);
    let mut gather = Gather::new([], rx);
    assert_eq!(gather.next(later(LONG), None), Ok(None));
    let report = gather.run(later(LONG), None, fine);
    assert_eq!(report.to_string(), "0 arrived");
}

#[test]
fn a_report_names_who_failed_and_who_is_missing() {
    let (tx, rx) = bounded(4);
    for (name, outcome) in [("x", Ok(())), ("pan", Err("stalled")), ("tilt", Err("late"))] {
        tx.send((name, outcome)).unwrap();
    }
    drop(tx);
    let mut gather = Gather::new(["x", "y", "z", "pan", "tilt"], rx);
    let report = gather.run(later(LONG), None, |_, outcome| outcome);
    assert_eq!(
        report.to_string(),
        "1 arrived; failed: pan (stalled), tilt (late); missing when the last sender was gone: y, z"
    );
}

/// Shutdown: each thread tells that it has ended, the rest are named and left.
#[test]
fn threads_are_joined_by_a_deadline() {
    let (ended, results) = bounded(3);
    let (keep_busy, busy) = bounded::<()>(0);
    let mut threads: Vec<_> = ["x", "stuck", "pan"]
        .into_iter()
        .map(|name| {
            let (ended, busy) = (ended.clone(), busy.clone());
            let thread = thread::spawn(move || {
                if name == "stuck" {
                    let _ = busy.recv();
                }
                let _ = ended.send((name, ()));
            });
            (name, thread)
        })
        .collect();
    drop(ended);
    let mut gather = Gather::new(threads.iter().map(|(name, _)| *name), results);
    let report = gather.run(later(LONG.min(SHORT * 10)), None, |name, ()| {
        let place = threads.iter().position(|(n, _)| n == name).ok_or("not there")?;
        threads.swap_remove(place).1.join().map_err(|_| "panicked")
    });
    assert_eq!(report.missing, ["stuck"]);
    assert_eq!(report.arrived.iter().collect::<BTreeSet<_>>(), BTreeSet::from([&"pan", &"x"]));
    drop(keep_busy);
    for (_, thread) in threads {
        thread.join().unwrap();
    }
}

proptest! {
    /// Whatever is sent, every expected key is in exactly one place, its first result is the one
    /// that counts, and every message is accounted for.
    #[test]
    fn every_key_is_in_one_place(
        expected in prop::collection::vec(0_u8..8, 0..10),
        sent in prop::collection::vec((0_u8..10, prop::bool::ANY), 0..30),
    ) {
        let (tx, rx) = unbounded();
        for message in &sent {
            tx.send(*message).unwrap();
        }
        drop(tx);
        let mut gather = Gather::new(expected.iter().copied(), rx);
        let report = gather.run(later(LONG), None, |_, good| if good { Ok(()) } else { Err(()) });

        let keys: BTreeSet<u8> = expected.iter().copied().collect();
        let came: BTreeSet<u8> = report.arrived.iter().copied()
            .chain(report.failed.iter().map(|(key, ())| *key)).collect();
        let missing: BTreeSet<u8> = report.missing.iter().copied().collect();
        prop_assert!(came.is_disjoint(&missing));
        prop_assert_eq!(came.len(), report.arrived.len() + report.failed.len());
        prop_assert_eq!(missing.len(), report.missing.len());
        prop_assert_eq!(came.union(&missing).copied().collect::<BTreeSet<_>>(), keys);
        for key in &came {
            let first = sent.iter().find(|(k, _)| k == key).map(|(_, good)| *good);
            prop_assert_eq!(first, Some(report.arrived.contains(key)));
        }
        prop_assert!(missing.iter().all(|key| sent.iter().all(|(k, _)| k != key)));
        if missing.is_empty() {
            prop_assert_eq!(report.end, GatherEnd::Complete);
        } else {
            prop_assert_eq!(report.end, GatherEnd::Closed);
            prop_assert_eq!(came.len() + report.surplus, sent.len());
        }
    }
}
