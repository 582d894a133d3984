//! Saved positions: each goes to one, and none is lost.

use shuttle::thread::spawn;

use super::position_stack::PositionStack;
use super::stop::StopEvent;
use super::{AT_ANY_MOMENT, NEVER, check, check_all};
use crate::books::PositionError;

#[test]
fn each_position_is_popped_once() {
    check(|| {
        let saved = PositionStack::new(1);
        let poppers = [(); 3].map(|()| {
            let saved = saved.clone();
            spawn(move || saved.pop(NEVER, None).unwrap())
        });
        let pushers = [1, 2, 3].map(|value| {
            let saved = saved.clone();
            spawn(move || {
                // Full, until someone comes for it.
                while saved.push(value).is_err() {
                    shuttle::thread::yield_now();
                }
            })
        });
        let mut popped = poppers.map(|popper| popper.join().unwrap());
        popped.sort_unstable();
        assert_eq!(popped, [1, 2, 3]);
        for pusher in pushers {
            pusher.join().unwrap();
        }
        assert!(saved.is_empty());
    });
}

#[test]
fn a_pop_that_times_out_takes_nothing() {
    check(|| {
        let saved = PositionStack::new(4);
        let poppers = [(); 2].map(|()| {
            let saved = saved.clone();
            spawn(move || saved.pop(AT_ANY_MOMENT, None))
        });
        let pusher = {
            let saved = saved.clone();
            spawn(move || saved.push(7).unwrap())
        };
        pusher.join().unwrap();
        let popped = poppers.map(|popper| popper.join().unwrap());
        let got = popped.iter().filter(|result| **result == Ok(7)).count();
        assert_eq!(got + saved.len(), 1, "{popped:?}");
    });
}

#[test]
fn a_pop_that_is_taken_back_puts_it_back_in_every_order() {
    check_all(|| {
        let saved = PositionStack::new(1);
        let quitter = saved.begin_pop(NEVER).unwrap();
        let pusher = {
            let saved = saved.clone();
            spawn(move || {
                saved.push(1).unwrap();
            })
        };
        drop(quitter);
        pusher.join().unwrap();
        assert_eq!(saved.len(), 1);
    });
}

#[test]
fn a_pop_that_is_taken_back_leaves_it_to_the_next() {
    check(|| {
        let saved = PositionStack::new(1);
        let quitter = saved.begin_pop(NEVER).unwrap();
        let next = {
            let saved = saved.clone();
            spawn(move || saved.pop(NEVER, None))
        };
        let pusher = {
            let saved = saved.clone();
            spawn(move || saved.push(1).is_ok())
        };
        drop(quitter);
        assert!(pusher.join().unwrap());
        assert_eq!(next.join().unwrap(), Ok(1));
    });
}

#[test]
fn a_stop_ends_the_wait() {
    check(|| {
        let saved = PositionStack::new(1);
        let stop = StopEvent::new();
        let popper = {
            let (saved, stop) = (saved.clone(), stop.clone());
            spawn(move || saved.pop(NEVER, Some(&stop)))
        };
        let pusher = {
            let saved = saved.clone();
            spawn(move || saved.push(1).unwrap())
        };
        stop.set();
        pusher.join().unwrap();
        match popper.join().unwrap() {
            Ok(value) => assert_eq!((value, saved.len()), (1, 0)),
            Err(error) => assert_eq!((error, saved.len()), (PositionError::Stopped, 1)),
        }
    });
}
