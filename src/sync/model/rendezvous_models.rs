//! Rendezvous: all are released, or none.

use std::time::Duration;

use shuttle::thread::spawn;

use super::rendezvous::Rendezvous;
use super::stop::StopEvent;
use super::{AT_ANY_MOMENT, NEVER, check, check_all, side_by_side};
use crate::books::BreakCause;
use crate::books::{RendezvousError, RendezvousRules};

type Came = Result<usize, RendezvousError>;
type Body<R> = Box<dyn FnOnce() -> R + Send>;

fn meetings() -> Rendezvous {
    // Broken ones stay so, wherever the clock jumps.
    Rendezvous::new(RendezvousRules { keep_broken: NEVER, ..RendezvousRules::default() })
}

fn party(meetings: &Rendezvous, parties: usize, timeout: Duration) -> Body<Came> {
    let meetings = meetings.clone();
    Box::new(move || meetings.join("m", parties, timeout, None))
}

/// All released, with the arrival indices 0, 1, 2, ...; or none. Returns which.
fn unanimous(results: &[Came]) -> bool {
    let mut released: Vec<usize> = results.iter().filter_map(|r| r.clone().ok()).collect();
    released.sort_unstable();
    let all: Vec<usize> = (0..results.len()).collect();
    assert!(released.is_empty() || released == all, "not all alike: {results:?}");
    !released.is_empty()
}

fn cause(result: &Came) -> Option<BreakCause> {
    match result {
        Err(RendezvousError::Broken { breakage, .. }) => Some(breakage.cause),
        _ => None,
    }
}

#[test]
fn all_meet_again_and_again() {
    check(|| {
        let meetings = meetings();
        for _ in 0..2 {
            let bodies = (0..3).map(|_| party(&meetings, 3, NEVER)).collect();
            assert!(unanimous(&side_by_side(bodies)));
        }
    });
}

#[test]
fn a_time_out_releases_all_or_none() {
    check(|| {
        let meetings = meetings();
        let bodies = (0..3).map(|_| party(&meetings, 3, AT_ANY_MOMENT)).collect();
        let results = side_by_side(bodies);
        if unanimous(&results) {
            assert_eq!(meetings.breakage("m"), None);
            return;
        }
        let timed_out = |r: &&Came| matches!(r, Err(RendezvousError::TimedOut { .. }));
        assert_eq!(results.iter().filter(timed_out).count(), 1, "{results:?}");
        let told = results.iter().filter(|r| cause(r) == Some(BreakCause::TimedOut)).count();
        assert_eq!(told, 2, "{results:?}");
    });
}

/// One of them sleeps with a far deadline of its own, and is told in time all the same.
#[test]
fn the_patient_are_told_when_the_hasty_gives_up() {
    check(|| {
        let meetings = meetings();
        let results =
            side_by_side(vec![party(&meetings, 3, NEVER), party(&meetings, 3, AT_ANY_MOMENT)]);
        assert_eq!(cause(&results[0]), Some(BreakCause::TimedOut));
        assert!(results[1].is_err());
    });
}

/// Two of three are there. The last comes while `fault` strikes, in every order there is.
fn the_last_comes_against(fault: fn(&Rendezvous, Box<dyn FnOnce()>)) {
    let meetings = meetings();
    let first = meetings.begin("m", 3, NEVER).unwrap();
    let second = meetings.begin("m", 3, NEVER).unwrap();
    let last = {
        let meetings = meetings.clone();
        spawn(move || meetings.begin("m", 3, NEVER).map(|wait| wait.wait(None)))
    };
    fault(&meetings, Box::new(move || drop(second)));
    let last = last.join().unwrap();
    let first = first.wait(None);
    match &first {
        Ok(index) => assert_eq!((*index, last), (0, Ok(Ok(2)))),
        Err(_) => {
            assert!(cause(&first).is_some());
            assert!(last.is_err(), "{first:?}, {last:?}");
        }
    }
}

#[test]
fn an_abort_against_the_last_in_every_order() {
    check_all(|| the_last_comes_against(|meetings, _| meetings.abort("m").unwrap()));
}

#[test]
fn a_party_that_goes_against_the_last_in_every_order() {
    check_all(|| the_last_comes_against(|_, drop_second| drop_second()));
}

#[test]
fn a_reset_sends_the_waiting_away_and_lets_them_come_again() {
    check(|| {
        let meetings = meetings();
        let stubborn = || -> Body<Came> {
            let meetings = meetings.clone();
            Box::new(move || {
                loop {
                    let result = meetings.join("m", 3, NEVER, None);
                    match cause(&result) {
                        Some(cause) => assert_eq!(cause, BreakCause::Reset),
                        None => return result,
                    }
                }
            })
        };
        let resetter = {
            let meetings = meetings.clone();
            spawn(move || meetings.reset("m"))
        };
        let results = side_by_side(vec![stubborn(), stubborn(), stubborn()]);
        resetter.join().unwrap();
        assert!(unanimous(&results));
    });
}

#[test]
fn a_stop_of_one_breaks_it_for_all() {
    check(|| {
        let meetings = meetings();
        let stop = StopEvent::new();
        let stopped: Body<Came> = {
            let (meetings, stop) = (meetings.clone(), stop.clone());
            Box::new(move || meetings.join("m", 3, NEVER, Some(&stop)))
        };
        let stopper = spawn(move || stop.set());
        let results =
            side_by_side(vec![party(&meetings, 3, NEVER), stopped, party(&meetings, 3, NEVER)]);
        stopper.join().unwrap();
        if !unanimous(&results) {
            assert!(matches!(results[1], Err(RendezvousError::Stopped { .. })), "{results:?}");
            for other in [&results[0], &results[2]] {
                assert_eq!(cause(other), Some(BreakCause::PartyGone), "{results:?}");
            }
        }
    });
}

/// One is mistaken about how many there are: it is told, or the others are, and nothing is broken.
#[test]
fn who_is_mistaken_about_the_parties_is_told() {
    check(|| {
        let meetings = meetings();
        let mut bodies = vec![party(&meetings, 3, AT_ANY_MOMENT)];
        bodies.extend((0..2).map(|_| party(&meetings, 2, NEVER)));
        // Where the mistaken one came first the others are told, and it waits for its time-out.
        let results = side_by_side(bodies);
        assert!(results[0].is_err());
        if !unanimous(&results[1..]) {
            let told = |r: &Came| {
                matches!(r, Err(RendezvousError::PartiesDiffer { expected: 3, given: 2, .. }))
                    || cause(r) == Some(BreakCause::TimedOut)
            };
            assert!(results[1..].iter().all(told), "{results:?}");
        }
    });
}
