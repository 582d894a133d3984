//! What a motor's loop calls between its edges must not allocate.
#![allow(unsafe_code)] // the allocator that counts

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use lockstep::sync::{StepBarrier, StopEvent, TicketState};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; the counter is a plain thread-local
// cell without a destructor, so that it never allocates itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` came from `System.alloc` with this layout, by the caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(f: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    f();
    ALLOCATIONS.get() - before
}

#[test]
fn a_loop_does_not_allocate_to_arrive_and_poll() {
    assert!(
        allocations(|| drop(std::hint::black_box(Box::new(1)))) > 0,
        "the counter counts nothing"
    );

    let stop = StopEvent::new();
    let epoch = AtomicU64::new(0);
    let barrier = StepBarrier::new(2).with_action(move || epoch.store(1, Ordering::Relaxed));
    let count = allocations(|| {
        for _ in 0..100 {
            let first = barrier.arrive().unwrap();
            assert_eq!(first.poll(), TicketState::Waiting);
            let last = barrier.arrive().unwrap();
            assert_eq!(first.poll(), TicketState::Released(0));
            assert_eq!(last.poll(), TicketState::Released(1));
            assert!(!stop.is_set());
        }
    });
    assert_eq!(count, 0);
}
