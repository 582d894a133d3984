//! What the five shared books do on the system's own threads and clock, and the words they use.
//! What depends on the order of threads is in `model`.

use std::thread;
use std::time::{Duration, Instant};

use super::{LONG, SHORT, takes};
use crate::sync::{
    BreakCause, ClientId, Delivery, EventBook, EventError, EventExchange, EventRules, LeaseError,
    LeaseRequest, LeaseToken, Leases, PositionError, PositionStack, PowerBudget, PowerError,
    PowerRules, Rendezvous, RendezvousError, StopEvent,
};
use crate::units;

fn ask(client: u64, motors: &[&str], timeout: Duration) -> LeaseRequest {
    LeaseRequest {
        client: ClientId(client),
        holder: format!("client {client}"),
        motors: motors.iter().map(|motor| motor.to_string()).collect(),
        token: None,
        timeout,
        heartbeat: None,
    }
}

#[test]
fn the_time_out_comes_not_before_its_time() {
    let events = EventExchange::default();
    takes(SHORT, || {
        let missing = vec!["b".to_string()];
        events.trigger("a", "").unwrap();
        let result = events.wait(&["a", "b"], Delivery::Consume, SHORT, None);
        assert_eq!(result, Err(EventError::TimedOut { missing }));
    });
    let leases = Leases::default();
    let held = leases.take(ask(1, &["x"], SHORT), None).unwrap();
    takes(SHORT, || {
        let error = leases.take(ask(2, &["y", "x"], SHORT), None).unwrap_err();
        assert_eq!(error.to_string(), "busy: `x` is held by client 1");
    });
    assert_eq!(held.release(), Ok(vec!["x".to_string()]));
    let budget = PowerBudget::new(PowerRules::new(1000));
    let share = budget.acquire(&[("x", 1000)], SHORT, None).unwrap();
    takes(SHORT, || {
        let error = budget.acquire(&[("y", 600)], SHORT, None).unwrap_err();
        assert_eq!(error, PowerError::TimedOut { needed: 600, free: 0, budget: 1000 });
    });
    drop(share);
    let saved = PositionStack::<u8>::new(1);
    takes(SHORT, || assert_eq!(saved.pop(SHORT, None), Err(PositionError::Empty)));
    let meetings = Rendezvous::default();
    takes(SHORT, || {
        let error = meetings.join("m", 2, SHORT, None).unwrap_err();
        assert!(matches!(error, RendezvousError::TimedOut { arrived: 1, parties: 2, .. }));
        meetings.reset("m");
    });
}

#[test]
fn a_stop_ends_every_wait() {
    let stop = StopEvent::new();
    let stopper = thread::spawn({
        let stop = stop.clone();
        move || {
            thread::sleep(SHORT);
            stop.set();
        }
    });
    let began = Instant::now();
    let events = EventExchange::default();
    let stopped = events.wait(&["a"], Delivery::Shared, LONG, Some(&stop)).unwrap_err();
    assert_eq!(stopped.to_string(), "a stop ended the wait for the event `a`");
    stopper.join().unwrap();
    let stop = Some(&stop);

    let leases = Leases::default();
    let _held = leases.take(ask(1, &["x"], LONG), None).unwrap();
    assert_eq!(leases.take(ask(2, &["x"], LONG), stop).unwrap_err(), LeaseError::Stopped);
    let budget = PowerBudget::new(PowerRules::new(1000));
    let _share = budget.acquire(&[("x", 1000)], LONG, None).unwrap();
    assert_eq!(budget.acquire(&[("y", 1)], LONG, stop).unwrap_err(), PowerError::Stopped);
    assert_eq!(PositionStack::<u8>::new(1).pop(LONG, stop), Err(PositionError::Stopped));
    let meetings = Rendezvous::default();
    let error = meetings.join("m", 2, LONG, stop).unwrap_err();
    assert_eq!(error, RendezvousError::Stopped { name: "m".to_string() });
    assert_eq!(meetings.breakage("m").unwrap().cause, BreakCause::PartyGone);
    assert!(began.elapsed() < LONG);
}

/// What is there already is given out, stop or no stop.
#[test]
fn what_is_settled_does_not_mind_a_stop() {
    let stop = StopEvent::new();
    stop.set();
    let events = EventExchange::default();
    events.trigger("a", "1").unwrap();
    assert!(events.wait(&["a"], Delivery::Consume, LONG, Some(&stop)).is_ok());
    let meetings = Rendezvous::default();
    assert_eq!(meetings.join("m", 1, LONG, Some(&stop)), Ok(0));
}

#[test]
fn a_thread_that_panics_loses_its_lease() {
    let leases = Leases::default();
    let panics = thread::spawn({
        let leases = leases.clone();
        move || {
            let _lease = leases.take(ask(1, &["x", "y"], LONG), None).unwrap();
            // Without the hook's lines in the test's output.
            std::panic::resume_unwind(Box::new("a fault"));
        }
    });
    assert!(panics.join().is_err());
    let error = leases.take(ask(2, &["x"], Duration::ZERO), None).unwrap_err();
    assert_eq!(error.to_string(), "busy: client 1 has just lost `x`");
    let lost = leases.take_lost();
    assert_eq!((lost.len(), lost[0].motors.len()), (1, 2));
    assert!(leases.take(ask(2, &["x"], Duration::ZERO), None).is_ok());
}

#[test]
fn a_token_lets_another_share_until_the_lease_ends() {
    let leases = Leases::default();
    let lease = leases.take(ask(1, &["x"], LONG), None).unwrap();
    let token: LeaseToken = lease.token().to_string().parse().unwrap();
    assert_eq!(token, lease.token());
    let child = LeaseRequest { token: Some(token), ..ask(2, &["x", "y"], Duration::ZERO) };
    let inner = leases.take(child.clone(), None).unwrap();
    assert_eq!(inner.token(), token);
    leases.renew(lease.id(), ClientId(2), Some(token)).unwrap();
    let error = leases.renew(lease.id(), ClientId(3), None).unwrap_err();
    assert!(matches!(error, LeaseError::NotYours { .. }), "{error}");
    // The parent may use what its child has, as they are one.
    leases.may_use("y", ClientId(1), None).unwrap();
    assert!(leases.may_use("y", ClientId(3), None).is_err());
    inner.release().unwrap();
    leases.may_use("y", ClientId(3), None).unwrap();
    lease.release().unwrap();
    assert_eq!(leases.take(child, None).unwrap_err(), LeaseError::NoSuchToken);
    for wrong in ["", "7", "+0000000000000000000000000000001", &"g".repeat(32)] {
        assert_eq!(wrong.parse::<LeaseToken>(), Err(LeaseError::NoSuchToken), "{wrong}");
    }
    assert_ne!(LeaseToken::random(), LeaseToken::random());
    assert_eq!(format!("{token:?}"), "LeaseToken(..)");
}

#[test]
fn nonsense_is_refused_at_once() {
    let events = EventExchange::default();
    let wait = |names: &[&str], timeout| {
        events.wait(names, Delivery::Shared, timeout, None).unwrap_err().to_string()
    };
    assert_eq!(wait(&[], SHORT), "0 events to wait for: name 1 to 32");
    assert_eq!(wait(&["a", "a"], SHORT), "the event `a` is named twice: it comes once");
    assert_eq!(wait(&["a"], LONG * 3), "a wait of 90s is too long: write at most 60s");
    let name = "the name of an event must have 1 to 128 bytes, not 0";
    assert_eq!(wait(&[""], SHORT), name);
    assert_eq!(events.trigger("", "").unwrap_err().to_string(), name);
    let leases = Leases::default();
    let take = |request| leases.take(request, None).unwrap_err().to_string();
    assert_eq!(take(ask(1, &[], SHORT)), "0 motors to lease: name 1 to 64");
    let silent = LeaseRequest { heartbeat: Some(Duration::ZERO), ..ask(1, &["x"], SHORT) };
    assert_eq!(take(silent), "a lease with a heartbeat of 0s is lost at once: write a longer one");
    let error = PowerBudget::new(PowerRules::new(100)).acquire(&[("x", 60), ("y", 41)], LONG, None);
    assert_eq!(
        error.unwrap_err().to_string(),
        "101 mA are more than the power budget of 100 mA: move fewer motors at a time"
    );
    let meetings = Rendezvous::default();
    let join = |name, parties| meetings.join(name, parties, SHORT, None).unwrap_err().to_string();
    assert_eq!(join("m", 0), "a rendezvous is for 1 to 256 parties, not 0");
    assert_eq!(join("", 1), "the name of a rendezvous must have 1 to 128 bytes, not 0");
    meetings.abort("m").unwrap();
    assert_eq!(join("m", 2), "the rendezvous `m` is broken: it was aborted");
    let full = PositionStack::new(0).push(1).unwrap_err();
    assert_eq!(
        full.to_string(),
        "0 positions are saved already, more are not kept: return to one first"
    );
}

/// However many events, waits and names come: no table grows beyond its bound.
#[test]
fn nothing_grows_without_bound() {
    let rules = EventRules { max_events: 2, max_waits: 1, ..EventRules::default() };
    let mut book = EventBook::new(rules);
    let now = units::Instant::ZERO;
    assert_eq!(book.trigger("a", "", now).unwrap().dropped, None);
    assert_eq!(book.trigger("b", "", now).unwrap().dropped, None);
    assert!(book.trigger("a", "", now).unwrap().replaced);
    assert_eq!(book.trigger("c", "", now).unwrap().dropped.as_deref(), Some("b"));
    assert_eq!(book.kept().collect::<Vec<_>>(), ["a", "c"]);
    book.wait(&["d"], Delivery::Shared, LONG, now).unwrap();
    let error = book.wait(&["d"], Delivery::Shared, LONG, now);
    assert_eq!(error, Err(EventError::TooMany { max: 1 }));

    let meetings = Rendezvous::default();
    for n in 0..100 {
        meetings.abort(&n.to_string()).unwrap();
    }
    assert!(meetings.breakage("99").is_some() && meetings.breakage("36").is_some());
    assert!(meetings.breakage("35").is_none(), "the 65th last is forgotten");
    let waits: Vec<_> = (100..164).map(|n| meetings.begin(&n.to_string(), 2, LONG)).collect();
    assert!(waits.iter().all(Result::is_ok));
    let error = meetings.begin("one more", 2, LONG).unwrap_err();
    assert_eq!(error, RendezvousError::TooMany { max: 64 });
}

#[test]
fn a_wait_signals_when_it_is_settled() {
    let events = EventExchange::default();
    let wait = events.begin(&["a"], Delivery::Shared, LONG).unwrap();
    assert!(!wait.is_settled());
    assert!(wait.signal().try_recv().is_err());
    events.trigger("a", "7").unwrap();
    assert_eq!(wait.signal().recv_timeout(LONG), Ok(()));
    assert!(wait.is_settled());
    assert_eq!(&*wait.wait(None).unwrap()[0], "7");
}
