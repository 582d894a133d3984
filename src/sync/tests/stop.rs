use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, TryRecvError, bounded, select};

use super::{LONG, SHORT, takes};
use crate::sync::StopEvent;

#[test]
fn a_wait_times_out_not_before_its_time() {
    let stop = StopEvent::new();
    takes(SHORT, || assert!(!stop.wait(SHORT)));
    assert!(!stop.wait(Duration::ZERO));
}

#[test]
fn a_set_before_the_wait_returns_at_once() {
    let stop = StopEvent::new();
    stop.set();
    stop.set();
    let start = Instant::now();
    assert!(stop.is_set());
    assert!(stop.wait(LONG));
    assert!(stop.wait(Duration::ZERO));
    assert_eq!(stop.channel().recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
    assert!(start.elapsed() < LONG / 2);
}

/// As a signal's thread does it: the setter shares nothing with the waiters but the event.
#[test]
fn a_set_from_another_thread_wakes_all_waiters() {
    let stop = StopEvent::new();
    let waiters: Vec<_> = (0..4)
        .map(|k| {
            let stop = stop.clone();
            thread::spawn(move || match k {
                0 | 1 => stop.wait(Duration::MAX),
                2 => stop.channel().recv_timeout(LONG) == Err(RecvTimeoutError::Disconnected),
                _ => {
                    while !stop.is_set() {
                        thread::yield_now();
                    }
                    true
                }
            })
        })
        .collect();
    thread::sleep(SHORT);
    let start = Instant::now();
    thread::spawn({
        let stop = stop.clone();
        move || stop.set()
    });
    for waiter in waiters {
        assert!(waiter.join().unwrap());
    }
    assert!(start.elapsed() < LONG / 2);
}

#[test]
fn it_is_selected_on_beside_a_channel() {
    let stop = StopEvent::new();
    let (orders, mailbox) = bounded::<u32>(4);
    let worker = thread::spawn({
        let stopped = stop.channel();
        move || {
            let mut sum = 0;
            loop {
                select! {
                    recv(mailbox) -> order => sum += order.unwrap(),
                    recv(stopped) -> _ => return sum,
                }
            }
        }
    });
    for order in 1..=3 {
        orders.send(order).unwrap();
    }
    while !orders.is_empty() {
        thread::yield_now();
    }
    stop.set();
    assert_eq!(worker.join().unwrap(), 6);
}

#[test]
fn after_a_clear_it_can_be_set_again() {
    let stop = StopEvent::default();
    let first = stop.channel();
    stop.clear();
    assert_eq!(first.try_recv(), Err(TryRecvError::Empty));
    stop.set();
    assert_eq!(format!("{stop:?}"), "StopEvent { set: true }");
    stop.clear();
    assert!(!stop.is_set());
    assert!(!stop.wait(Duration::from_millis(1)));
    let second = stop.channel();
    assert_eq!(first.try_recv(), Err(TryRecvError::Disconnected));
    assert_eq!(second.try_recv(), Err(TryRecvError::Empty));
    stop.set();
    assert_eq!(second.try_recv(), Err(TryRecvError::Disconnected));
}

#[test]
fn it_goes_to_any_thread() {
    fn is_send_and_sync<T: Send + Sync + 'static>() {}
    is_send_and_sync::<StopEvent>();
}
