//! Leases: one holder for each motor, all motors or none, and what is lost is told once.

use std::time::Duration;

use shuttle::thread::{spawn, yield_now};

use super::lease::Leases;
use super::prim::{Arc, AtomicBool, Ordering, pass};
use super::stop::StopEvent;
use super::{AT_ANY_MOMENT, NEVER, check, check_all};
use crate::books::{ClientId, LeaseError, LeaseRequest, LeaseRules};

fn ask(client: u64, motors: &[&str], timeout: Duration) -> LeaseRequest {
    LeaseRequest {
        client: ClientId(client),
        holder: client.to_string(),
        motors: motors.iter().map(|motor| motor.to_string()).collect(),
        token: None,
        timeout,
        heartbeat: None,
    }
}

fn leases() -> Leases {
    Leases::new(LeaseRules::default())
}

/// Whether nobody holds any of the motors, nor waits for them, nor has lost them.
fn all_free(leases: &Leases) -> bool {
    leases.take(ask(99, &["x", "y", "z"], Duration::ZERO), None).is_ok()
}

/// Takes motors and asserts that nobody else has them.
fn use_motors(
    leases: &Leases,
    used: &Arc<[AtomicBool; 3]>,
    client: u64,
    motors: &[&str],
    timeout: Duration,
) -> bool {
    let Ok(lease) = leases.take(ask(client, motors, timeout), None) else {
        return false;
    };
    let flags = || motors.iter().map(|motor| &used[usize::from(motor.as_bytes()[0] - b'x')]);
    for flag in flags() {
        assert!(!flag.swap(true, Ordering::SeqCst), "two have one motor");
    }
    yield_now();
    for flag in flags() {
        flag.store(false, Ordering::SeqCst);
    }
    drop(lease);
    true
}

fn users(timeout: Duration) -> bool {
    let leases = leases();
    let used = Arc::new([(); 3].map(|()| AtomicBool::new(false)));
    let sets: [&[&str]; 3] = [&["x", "y"], &["y", "z"], &["z", "x"]];
    let threads = sets.into_iter().zip(1..).map(|(motors, client)| {
        let (leases, used) = (leases.clone(), Arc::clone(&used));
        spawn(move || use_motors(&leases, &used, client, motors, timeout))
    });
    let threads: Vec<_> = threads.collect();
    let took: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(all_free(&leases));
    took.into_iter().all(|took| took)
}

#[test]
fn each_gets_its_motors_and_nobody_shares() {
    check(|| assert!(users(NEVER)));
}

#[test]
fn who_times_out_has_taken_nothing() {
    check(|| {
        users(AT_ANY_MOMENT);
    });
}

/// A holder takes more while others wait for what it has: it neither waits for them nor they for
/// ever.
#[test]
fn a_holder_nests_while_others_wait() {
    check(|| {
        let leases = leases();
        let outer = leases.take(ask(1, &["x"], NEVER), None).unwrap();
        let others: Vec<_> = [(2, &["x", "y"][..]), (3, &["y"][..])]
            .into_iter()
            .map(|(client, motors)| {
                let leases = leases.clone();
                spawn(move || drop(leases.take(ask(client, motors, NEVER), None).unwrap()))
            })
            .collect();
        let inner = leases.take(ask(1, &["x", "y"], NEVER), None).unwrap();
        assert_eq!(inner.token(), outer.token());
        assert_eq!(outer.release(), Ok(vec![]));
        assert!(leases.may_use("x", ClientId(2), None).is_err());
        drop(inner);
        for other in others {
            other.join().unwrap();
        }
        assert!(all_free(&leases));
    });
}

/// The lease runs out at 10 s, or at 16 s if it is renewed at 6 s. At 12 s it is renewed, or lost,
/// never both; and its motor goes to another only if it was lost, and only after that was told.
#[test]
fn a_renewal_against_the_expiry() {
    check(|| {
        let leases = leases();
        let request = LeaseRequest {
            heartbeat: Some(Duration::from_secs(10)),
            ..ask(1, &["x"], Duration::ZERO)
        };
        let lease = leases.take(request, None).unwrap();
        let (id, told) = (lease.id(), Arc::new(AtomicBool::new(false)));
        let clock = spawn(|| pass(Duration::from_secs(6)));
        let other = {
            let (leases, told) = (leases.clone(), Arc::clone(&told));
            spawn(move || {
                let lease = leases.take(ask(2, &["x"], AT_ANY_MOMENT), None);
                assert!(lease.is_err() || told.load(Ordering::SeqCst), "taken too early");
                lease.is_ok()
            })
        };
        let collector = {
            let (leases, told) = (leases.clone(), Arc::clone(&told));
            spawn(move || {
                told.store(true, Ordering::SeqCst);
                let lost = leases.take_lost();
                lost.len()
            })
        };
        pass(Duration::from_secs(6));
        let renewed = lease.renew();
        clock.join().unwrap();
        let taken = other.join().unwrap();
        let lost = collector.join().unwrap() + leases.take_lost().len();
        match renewed {
            Ok(_) => assert_eq!((lost, taken), (0, false)),
            Err(error) => {
                assert_eq!((error, lost), (LeaseError::Ended(id), 1));
            }
        }
        drop(lease);
        assert!(all_free(&leases));
    });
}

/// Two wait, without a time-out of their own, for a motor whose holder falls silent after they went
/// to sleep. What wakes them in time is the holder's heartbeat.
#[test]
fn those_who_wait_wake_when_the_holder_falls_silent() {
    check(|| {
        let leases = leases();
        let first = leases.take(ask(1, &["x"], NEVER), None).unwrap();
        let waiting = [2, 3].map(|client| {
            let leases = leases.clone();
            spawn(move || drop(leases.take(ask(client, &["x"], NEVER), None).unwrap()))
        });
        let heartbeat = Some(Duration::from_secs(1));
        let silent = LeaseRequest { heartbeat, ..ask(1, &["x"], NEVER) };
        let silent = leases.take(silent, None).unwrap();
        drop(first);
        let mut lost = Vec::new();
        while lost.is_empty() {
            yield_now();
            lost = leases.take_lost();
        }
        // None, if it was lost while the first lease was still there.
        assert!(lost[0].motors.is_empty() || lost[0].motors == ["x"]);
        for thread in waiting {
            thread.join().unwrap();
        }
        assert_eq!(silent.renew(), Err(LeaseError::Ended(silent.id())));
        drop(silent);
        assert!(all_free(&leases));
    });
}

/// The motor is released to someone who is giving up just now: the next one gets it.
#[test]
fn who_gives_up_leaves_the_motor_to_the_next() {
    check(|| {
        let leases = leases();
        let held = leases.take(ask(1, &["x"], NEVER), None).unwrap();
        let quitter = leases.begin(ask(2, &["x"], NEVER)).unwrap();
        let next = {
            let leases = leases.clone();
            spawn(move || drop(leases.take(ask(3, &["x"], NEVER), None).unwrap()))
        };
        let releaser = spawn(move || drop(held));
        drop(quitter);
        releaser.join().unwrap();
        next.join().unwrap();
        assert!(all_free(&leases));
    });
}

/// A client goes while a motor is released to it, in every order: it loses it, or never had it.
#[test]
fn a_client_that_goes_keeps_nothing_in_every_order() {
    check_all(|| {
        let leases = leases();
        let held = leases.take(ask(1, &["x"], NEVER), None).unwrap();
        let wait = leases.begin(ask(2, &["x"], NEVER)).unwrap();
        let releaser = spawn(move || drop(held));
        leases.disconnect(ClientId(2));
        releaser.join().unwrap();
        let lost = leases.take_lost();
        match wait.wait(None) {
            Ok(lease) => {
                assert_eq!((lost.len(), lost[0].motors.as_slice()), (1, &["x".to_string()][..]));
                assert!(lease.release().is_err());
            }
            Err(error) => assert_eq!((error, lost.len()), (LeaseError::Disconnected, 0)),
        }
        assert!(all_free(&leases));
    });
}

#[test]
fn a_stop_ends_the_wait() {
    check(|| {
        let leases = leases();
        let held = leases.take(ask(1, &["x"], NEVER), None).unwrap();
        let stop = StopEvent::new();
        let waiter = {
            let (leases, stop) = (leases.clone(), stop.clone());
            spawn(move || leases.take(ask(2, &["x", "y"], NEVER), Some(&stop)).unwrap_err())
        };
        stop.set();
        assert_eq!(waiter.join().unwrap(), LeaseError::Stopped);
        drop(held);
        assert!(all_free(&leases));
    });
}
