//! The change of plan in two phases: a coordinator, and loops that are slow, or dead.
//!
//! Time is a counter that one thread moves on. The loops and the coordinator do what the machine and
//! the motors' parts do: the coordinator sends the change to all, counts the acknowledgements, and
//! commits; a loop takes its mail, acknowledges, and decides once it is the change's instant. Each loop
//! that is alive ends at rest, by the old plan or by the new one.

use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::sync::{Arc, Mutex};
use shuttle::thread::{JoinHandle, spawn, yield_now};

use super::gate::{Gate, Verdict};
use super::{check, prim};
use crate::units::Instant;

/// The change's instant, and the end of either plan.
const AT: u64 = 2;
const END: u64 = 4;

#[derive(Clone, Default)]
struct World {
    now: Arc<AtomicU64>,
    /// One mailbox a loop.
    mail: Vec<Arc<Mutex<Option<Arc<Gate>>>>>,
    acknowledged: Arc<Mutex<Vec<usize>>>,
}

impl World {
    fn new(loops: usize) -> World {
        World { mail: (0..loops).map(|_| Arc::default()).collect(), ..World::default() }
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.now.load(Ordering::Acquire))
    }

    /// Moves time on to beyond the end.
    fn clock(&self) -> JoinHandle<()> {
        let now = self.now.clone();
        spawn(move || {
            for _ in 0..=END {
                now.fetch_add(1, Ordering::AcqRel);
                yield_now();
            }
        })
    }

    /// A motor's loop. Says which plan it came to rest by; `None`: it died on the way.
    fn motor(&self, index: usize, dies_at: Option<u64>) -> JoinHandle<Option<Verdict>> {
        let world = self.clone();
        spawn(move || {
            let mut waiting = None;
            let mut plan = Verdict::Expired;
            loop {
                let now = world.now();
                if dies_at.is_some_and(|at| now.as_nanos() >= at) {
                    return None;
                }
                if let Some(change) = prim::lock(&world.mail[index]).take() {
                    prim::lock(&world.acknowledged).push(index);
                    waiting = Some(change);
                }
                if let Some(gate) = waiting.take_if(|gate: &mut Arc<Gate>| now >= gate.at()) {
                    plan = gate.resolve();
                }
                if now.as_nanos() >= END && waiting.is_none() {
                    return Some(plan);
                }
                yield_now();
            }
        })
    }

    /// Proposes to all. Says how it ended for the coordinator; `None`: it died after `steps` steps.
    fn coordinator(&self, mut steps: Option<u32>) -> JoinHandle<Option<Verdict>> {
        let world = self.clone();
        let mut goes_on = move || match &mut steps {
            None => true,
            Some(0) => false,
            Some(n) => {
                *n -= 1;
                true
            }
        };
        spawn(move || {
            let gate = Arc::new(Gate::new(Instant::from_nanos(AT)));
            for mail in &world.mail {
                if !goes_on() {
                    return None;
                }
                *prim::lock(mail) = Some(gate.clone());
            }
            loop {
                if !goes_on() {
                    return None;
                }
                let all = prim::lock(&world.acknowledged).len() == world.mail.len();
                let now = world.now();
                if all {
                    return Some(gate.commit(now));
                }
                if now.as_nanos() > AT {
                    return Some(gate.resolve());
                }
                yield_now();
            }
        })
    }
}

/// Those that came to rest did so by one and the same plan.
fn all_alike(rests: &[Option<Verdict>]) -> Option<Verdict> {
    let mut alive = rests.iter().flatten();
    let first = alive.next().copied();
    assert!(alive.all(|v| Some(*v) == first), "{rests:?}");
    first
}

fn run(dead: Option<(usize, u64)>, coordinator: Option<u32>) {
    let world = World::new(3);
    let clock = world.clock();
    let motors: Vec<_> =
        (0..3).map(|i| world.motor(i, dead.filter(|d| d.0 == i).map(|d| d.1))).collect();
    let said = world.coordinator(coordinator).join().unwrap();
    clock.join().unwrap();
    let rests: Vec<_> = motors.into_iter().map(|m| m.join().unwrap()).collect();
    let alive = 3 - usize::from(dead.is_some());
    assert!(rests.iter().flatten().count() >= alive, "all that live come to rest: {rests:?}");
    let plan = all_alike(&rests);
    if let Some(said) = said {
        assert_eq!(plan, Some(said), "the coordinator knows which plan holds");
    } else {
        assert_eq!(plan, Some(Verdict::Expired), "nobody committed");
    }
}

#[test]
fn all_change_or_none() {
    check(|| run(None, None));
}

/// A loop that dies before the instant, or at it, or after it.
#[test]
fn a_dead_loop_does_not_part_the_others() {
    check(|| run(Some((1, 0)), None));
    check(|| run(Some((1, AT)), None));
    check(|| run(Some((2, AT + 1)), None));
}

/// A coordinator that dies after any of its steps: the old plan, which ends at rest, holds for all.
#[test]
fn a_dead_coordinator_leaves_the_old_plan() {
    check(|| run(None, Some(0)));
    check(|| run(None, Some(1)));
    check(|| run(None, Some(2)));
    check(|| run(None, Some(3)));
}

/// Two coordinators' worth of luck: without the rule that a commit comes before the instant, a loop
/// that is slower than its instant would change after the fact.
#[test]
fn a_commit_after_the_instant_never_holds() {
    check(|| {
        let gate = Arc::new(Gate::new(Instant::from_nanos(AT)));
        let other = gate.clone();
        let late = spawn(move || other.commit(Instant::from_nanos(AT)));
        assert_eq!(gate.resolve(), Verdict::Expired);
        assert_eq!(late.join().unwrap(), Verdict::Expired);
    });
}
