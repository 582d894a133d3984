//! The stop event: no waiter is left behind.

use crossbeam_channel::TryRecvError;
use shuttle::thread::{spawn, yield_now};

use super::prim::n_blocked;
use super::stop::StopEvent;
use super::{AT_ANY_MOMENT, NEVER, check, check_all};

#[test]
fn a_set_wakes_every_waiter() {
    check(|| {
        let stop = StopEvent::new();
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let stop = stop.clone();
                spawn(move || stop.wait(NEVER))
            })
            .collect();
        let setters: Vec<_> = (0..2)
            .map(|_| {
                let stop = stop.clone();
                spawn(move || stop.set())
            })
            .collect();
        for waiter in waiters {
            assert!(waiter.join().unwrap());
        }
        for setter in setters {
            setter.join().unwrap();
        }
        assert!(stop.is_set());
        assert!(stop.wait(NEVER));
    });
}

#[test]
fn a_set_wakes_a_waiter_in_every_order() {
    check_all(|| {
        let stop = StopEvent::new();
        let waiter = {
            let stop = stop.clone();
            spawn(move || stop.wait(NEVER))
        };
        let other = {
            let stop = stop.clone();
            spawn(move || stop.wait(NEVER))
        };
        stop.set();
        assert!(waiter.join().unwrap() && other.join().unwrap());
    });
}

/// The waiters sleep; the event is set and cleared before any of them runs again.
#[test]
fn a_set_that_is_cleared_at_once_still_wakes_those_who_waited() {
    check(|| {
        let stop = StopEvent::new();
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let stop = stop.clone();
                spawn(move || stop.wait(NEVER))
            })
            .collect();
        while n_blocked() < 2 {
            yield_now();
        }
        stop.set();
        stop.clear();
        for waiter in waiters {
            assert!(waiter.join().unwrap());
        }
        assert!(!stop.is_set());
    });
}

#[test]
fn a_wait_that_times_out_says_so_and_one_after_a_set_never_does() {
    check(|| {
        let stop = StopEvent::new();
        let waiter = {
            let stop = stop.clone();
            spawn(move || {
                let was_set = stop.wait(AT_ANY_MOMENT);
                // Nobody clears it, so one who saw it set sees it still.
                assert!(!was_set || stop.is_set());
            })
        };
        stop.set();
        assert!(stop.wait(AT_ANY_MOMENT));
        waiter.join().unwrap();
    });
}

#[test]
fn flag_and_channel_tell_the_same() {
    check(|| {
        let stop = StopEvent::new();
        let taken_before = stop.channel();
        let threads: Vec<_> = [true, false, true]
            .into_iter()
            .map(|set| {
                let stop = stop.clone();
                spawn(move || if set { stop.set() } else { stop.clear() })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(taken_before.try_recv(), Err(TryRecvError::Disconnected));
        let told = stop.channel().try_recv() == Err(TryRecvError::Disconnected);
        assert_eq!(told, stop.is_set());
    });
}
