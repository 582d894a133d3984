//! Gathering: nobody is counted twice, nobody is forgotten, and the stop is heard.

use std::time::{Duration, Instant};

use shuttle::thread::spawn;

use super::gather::{Gather, GatherEnd, GatherReport};
use super::prim::channel;
use super::stop::StopEvent;
use super::{AT_ANY_MOMENT, NEVER, check};

fn after(timeout: Duration) -> Instant {
    Instant::now() + timeout
}

fn partition<E>(report: &GatherReport<&'static str, E>) -> Vec<&'static str> {
    let failed = report.failed.iter().map(|(k, _)| *k);
    let mut all: Vec<_> = report
        .arrived
        .iter()
        .copied()
        .chain(failed)
        .chain(report.missing.iter().copied())
        .collect();
    all.sort_unstable();
    all
}

/// One answers, one fails, one dies in silence, one answers twice, a stranger speaks up.
#[test]
fn each_is_counted_once_and_the_silent_one_is_named() {
    check(|| {
        let (tx, rx) = channel();
        let say = |words: Vec<(&'static str, Result<u32, &'static str>)>| {
            let tx = tx.clone();
            spawn(move || words.into_iter().for_each(|word| tx.send(word)))
        };
        let threads = [
            say(vec![("x", Ok(1))]),
            say(vec![("y", Err("fault"))]),
            say(vec![]),
            say(vec![("a", Ok(2)), ("a", Err("again")), ("stranger", Ok(9))]),
        ];
        drop(tx);
        let mut sum = 0;
        let mut gather = Gather::new(["x", "y", "z", "a"], rx);
        let report = gather.run(after(NEVER), None, |_, result| {
            sum += result?;
            Ok::<(), &str>(())
        });
        assert_eq!(sum, 3);
        assert_eq!(report.end, GatherEnd::Closed);
        assert_eq!(report.missing, ["z"]);
        assert_eq!(report.failed, [("y", "fault")]);
        assert_eq!(partition(&report), ["a", "x", "y", "z"]);
        assert_eq!(report.surplus, 2);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_deadline_at_any_moment_loses_nobody() {
    check(|| {
        let (tx, rx) = channel();
        let threads: Vec<_> = ["x", "y"]
            .into_iter()
            .map(|name| {
                let tx = tx.clone();
                spawn(move || tx.send((name, ())))
            })
            .collect();
        let mut gather = Gather::new(["x", "y"], rx);
        let first = gather.run(after(AT_ANY_MOMENT), None, |_, ()| Ok::<(), ()>(()));
        assert_eq!(partition(&first), ["x", "y"]);
        assert_eq!(first.end == GatherEnd::Complete, first.missing.is_empty());
        // `tx` is still here, so only the results themselves can end this.
        let second = gather.run(after(NEVER), None, |_, ()| Ok::<(), ()>(()));
        assert_eq!(second.end, GatherEnd::Complete);
        assert_eq!(first.arrived.len() + second.arrived.len(), 2);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// One party is silent for ever and its sender stays: only the stop ends the wait. What was sent
/// before is still there afterwards.
#[test]
fn a_stop_ends_the_wait() {
    check(|| {
        let (tx, rx) = channel();
        let stop = StopEvent::new();
        let speaker = {
            let tx = tx.clone();
            spawn(move || tx.send(("x", ())))
        };
        let stopper = {
            let stop = stop.clone();
            spawn(move || stop.set())
        };
        let mut gather = Gather::new(["x", "silent"], rx);
        let report = gather.run(after(NEVER), Some(&stop), |_, ()| Ok::<(), ()>(()));
        assert_eq!(report.end, GatherEnd::Stopped);
        assert_eq!(partition(&report), ["silent", "x"]);
        speaker.join().unwrap();
        stopper.join().unwrap();
        drop(tx);
        let rest = gather.run(after(NEVER), None, |_, ()| Ok::<(), ()>(()));
        assert_eq!(rest.end, GatherEnd::Closed);
        assert_eq!(rest.missing, ["silent"]);
        assert_eq!(report.arrived.len() + rest.arrived.len(), 1);
    });
}
