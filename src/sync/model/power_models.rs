//! The power budget: never exceeded, never stuck.

use std::time::Duration;

use shuttle::thread::{spawn, yield_now};

use super::power_budget::PowerBudget;
use super::prim::{Arc, AtomicUsize, Ordering, now};
use super::stop::StopEvent;
use super::{AT_ANY_MOMENT, NEVER, check};
use crate::books::{PowerError, PowerRules};

const BUDGET: u32 = 2000;
const STAGGER: Duration = Duration::from_millis(50);

fn budget(stagger: Duration) -> PowerBudget {
    PowerBudget::new(PowerRules { stagger, ..PowerRules::new(BUDGET) })
}

/// Takes current, and asserts that all who have some stay within the budget.
fn draw(
    budget: &PowerBudget,
    drawn: &AtomicUsize,
    motor: &str,
    current: u32,
    timeout: Duration,
) -> bool {
    let Ok(share) = budget.acquire(&[(motor, current)], timeout, None) else {
        return false;
    };
    let before = drawn.fetch_add(current as usize, Ordering::SeqCst);
    assert!(before + current as usize <= BUDGET as usize, "over the budget");
    yield_now();
    drawn.fetch_sub(current as usize, Ordering::SeqCst);
    share.give_back_motor(motor);
    true
}

fn motors_side_by_side(timeout: Duration, stagger: Duration) -> bool {
    let budget = budget(stagger);
    let drawn = Arc::new(AtomicUsize::new(0));
    let motors = [("a", 800), ("b", 1200), ("c", 2000), ("d", 900)];
    let threads = motors.map(|(motor, current)| {
        let (budget, drawn) = (budget.clone(), Arc::clone(&drawn));
        spawn(move || draw(&budget, &drawn, motor, current, timeout))
    });
    let all = threads.map(|thread| thread.join().unwrap()).into_iter().all(|drew| drew);
    assert_eq!(budget.used(), 0);
    all
}

#[test]
fn each_gets_its_share_within_the_budget() {
    check(|| assert!(motors_side_by_side(NEVER, Duration::ZERO)));
}

#[test]
fn each_gets_its_share_one_after_the_other() {
    check(|| {
        assert!(motors_side_by_side(NEVER, STAGGER));
        // The first starts at once.
        assert!(now().as_nanos() >= 3 * STAGGER.as_nanos() as u64);
    });
}

#[test]
fn who_times_out_has_taken_nothing() {
    check(|| {
        motors_side_by_side(AT_ANY_MOMENT, STAGGER);
    });
}

#[test]
fn who_gives_up_leaves_the_current_to_the_next() {
    check(|| {
        let budget = budget(STAGGER);
        let held = budget.acquire(&[("a", 1500)], NEVER, None).unwrap();
        let quitter = budget.begin(&[("b", 1500)], NEVER).unwrap();
        let next = {
            let budget = budget.clone();
            spawn(move || drop(budget.acquire(&[("c", 1500)], NEVER, None).unwrap()))
        };
        let giver = spawn(move || drop(held));
        drop(quitter);
        giver.join().unwrap();
        next.join().unwrap();
        assert_eq!(budget.used(), 0);
    });
}

#[test]
fn starts_that_are_held_back_go_on_later() {
    check(|| {
        let budget = budget(Duration::ZERO);
        budget.hold_back(true);
        let starter = {
            let budget = budget.clone();
            spawn(move || budget.acquire(&[("a", 800)], NEVER, None).map(drop))
        };
        assert_eq!(budget.used(), 0);
        budget.hold_back(false);
        assert_eq!(starter.join().unwrap(), Ok(()));
    });
}

#[test]
fn a_stop_ends_the_wait() {
    check(|| {
        let budget = budget(STAGGER);
        let held = budget.acquire(&[("a", 1500)], NEVER, None).unwrap();
        let stop = StopEvent::new();
        let waiter = {
            let (budget, stop) = (budget.clone(), stop.clone());
            spawn(move || budget.acquire(&[("b", 1500)], NEVER, Some(&stop)).unwrap_err())
        };
        stop.set();
        assert_eq!(waiter.join().unwrap(), PowerError::Stopped);
        drop(held);
        assert_eq!(budget.used(), 0);
    });
}
