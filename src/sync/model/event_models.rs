//! Events: nobody misses one, one consumer gets it, a time-out takes nothing.

use std::time::Duration;

use super::event_exchange::{EventExchange, EventWait};
use super::stop::StopEvent;
use super::{AT_ANY_MOMENT, NEVER, check, check_all, side_by_side};
use crate::books::{Delivery, EventError, EventRules};

type Got = Result<Vec<String>, EventError>;
type Body<R> = Box<dyn FnOnce() -> R + Send>;

fn exchange() -> EventExchange {
    EventExchange::new(EventRules { max_timeout: NEVER, ..EventRules::default() })
}

fn told(wait: EventWait, stop: Option<&StopEvent>) -> Got {
    Ok(wait.wait(stop)?.iter().map(|data| data.to_string()).collect())
}

fn waiting(
    events: &EventExchange,
    names: &'static [&'static str],
    delivery: Delivery,
    timeout: Duration,
) -> Body<Got> {
    let events = events.clone();
    Box::new(move || told(events.begin(names, delivery, timeout)?, None))
}

fn triggering(events: &EventExchange, name: &'static str) -> Body<Got> {
    let events = events.clone();
    Box::new(move || {
        events.trigger(name, name)?;
        Ok(Vec::new())
    })
}

fn kept(events: &EventExchange) -> Vec<String> {
    let mut kept = events.kept();
    kept.sort_unstable();
    kept
}

#[test]
fn no_event_passes_its_waiters_by() {
    check(|| {
        let events = exchange();
        let results = side_by_side(vec![
            waiting(&events, &["b", "a"], Delivery::Shared, NEVER),
            waiting(&events, &["a"], Delivery::Shared, NEVER),
            triggering(&events, "a"),
            triggering(&events, "b"),
        ]);
        assert_eq!(results[0].as_deref(), Ok(&["b".to_string(), "a".to_string()][..]));
        assert_eq!(results[1].as_deref(), Ok(&["a".to_string()][..]));
    });
}

#[test]
fn one_consumer_gets_it() {
    check(|| {
        let events = exchange();
        let results = side_by_side(vec![
            waiting(&events, &["a"], Delivery::Consume, AT_ANY_MOMENT),
            waiting(&events, &["a"], Delivery::Consume, AT_ANY_MOMENT),
            triggering(&events, "a"),
        ]);
        let got = results[..2].iter().filter(|result| result.is_ok()).count();
        // Where both gave up before it came it is still there.
        assert_eq!(got + events.kept().len(), 1, "{results:?}");
    });
}

/// A share never takes an event from a consumer, or the other way round if it was there before.
#[test]
fn a_sharer_that_was_there_gets_it_beside_a_consumer() {
    check(|| {
        let events = exchange();
        let sharer = events.begin(&["a"], Delivery::Shared, NEVER).unwrap();
        let results = side_by_side(vec![
            waiting(&events, &["a"], Delivery::Consume, NEVER),
            Box::new(move || told(sharer, None)),
            triggering(&events, "a"),
        ]);
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        assert!(events.kept().is_empty());
    });
}

#[test]
fn a_wait_that_times_out_takes_nothing() {
    check(|| {
        let events = exchange();
        let results = side_by_side(vec![
            waiting(&events, &["a", "b"], Delivery::Consume, AT_ANY_MOMENT),
            triggering(&events, "a"),
            triggering(&events, "b"),
        ]);
        match &results[0] {
            Ok(data) => {
                assert_eq!(data, &["a", "b"]);
                assert!(events.kept().is_empty());
            }
            Err(EventError::TimedOut { missing }) => {
                assert!(!missing.is_empty());
                assert_eq!(kept(&events), ["a", "b"]);
            }
            Err(other) => panic!("{other}"),
        }
    });
}

/// Someone gives up while the event comes: it is not lost with him.
#[test]
fn who_gives_up_takes_nothing_along() {
    check(|| {
        let events = exchange();
        let quitter = events.begin(&["a"], Delivery::Consume, NEVER).unwrap();
        let results = side_by_side(vec![
            Box::new(move || {
                drop(quitter);
                Ok(Vec::new())
            }),
            triggering(&events, "a"),
            waiting(&events, &["a"], Delivery::Consume, NEVER),
        ]);
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        assert!(events.kept().is_empty());
    });
}

#[test]
fn who_gives_up_takes_nothing_along_in_every_order() {
    check_all(|| {
        let events = exchange();
        let quitter = events.begin(&["a"], Delivery::Consume, NEVER).unwrap();
        let other = {
            let events = events.clone();
            shuttle::thread::spawn(move || events.trigger("a", "1").unwrap())
        };
        drop(quitter);
        other.join().unwrap();
        assert_eq!(events.kept(), ["a"]);
    });
}

#[test]
fn a_stop_ends_every_wait() {
    check(|| {
        let events = exchange();
        let stop = StopEvent::new();
        let stopped = |names: &'static [&'static str]| -> Body<Got> {
            let (events, stop) = (events.clone(), stop.clone());
            Box::new(move || told(events.begin(names, Delivery::Consume, NEVER)?, Some(&stop)))
        };
        let stopper = {
            let stop = stop.clone();
            shuttle::thread::spawn(move || stop.set())
        };
        let results = side_by_side(vec![
            stopped(&["never"]),
            stopped(&["a"]),
            stopped(&["a", "never"]),
            triggering(&events, "a"),
        ]);
        stopper.join().unwrap();
        assert!(matches!(results[0], Err(EventError::Stopped { .. })));
        assert!(matches!(results[2], Err(EventError::Stopped { .. })));
        assert_eq!(results[1].is_ok(), events.kept().is_empty(), "{results:?}");
    });
}
