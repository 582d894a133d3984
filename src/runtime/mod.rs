//! Who polls the motors, and when: a thread for each of them, or one thread in virtual time.
//!
//! Both stand behind [`Fleet`]; the machine above does not know which it has.

mod lane;
#[cfg(feature = "cli")]
mod probe;
mod scheduling;
mod test_fault;
mod threads;
mod virtual_time;
mod wait;

use std::time::Duration;

use thiserror::Error;

pub use lane::{Lane, LaneEnd};
#[cfg(feature = "cli")]
pub(crate) use probe::probe_lateness;
pub use scheduling::Granted;
#[cfg(feature = "cli")]
pub(crate) use scheduling::PRIORITY as REALTIME_PRIORITY;
#[doc(hidden)]
pub use test_fault::TestFault;
pub use threads::{ThreadFleet, ThreadOptions};
pub use virtual_time::VirtualFleet;

use crossbeam_channel::{Receiver, Sender};

use crate::hal::Clock;
use crate::motor::{Command, Event, Motor, MotorIndex};
use crate::units::Instant;

/// Asks for the calling thread what the motors' threads ask for: SCHED_FIFO at their priority. Says
/// which priority was granted, or why none was.
pub fn request_realtime() -> Result<u8, String> {
    scheduling::exact_timers();
    scheduling::realtime(scheduling::PRIORITY)
}

/// Whether the motors' threads will get what they ask for: asks for it on a thread of its own, which
/// ends at once. Says which priority was granted, or why none was.
pub(crate) fn try_realtime() -> Result<u8, String> {
    let (answer, granted) = crossbeam_channel::bounded(1);
    std::thread::Builder::new()
        .name("ask-realtime".to_owned())
        .spawn(move || answer.try_send(scheduling::realtime(scheduling::PRIORITY)))
        .map_err(|e| e.to_string())?;
    granted.recv_timeout(Duration::from_secs(1)).map_err(|e| e.to_string())?
}

/// How late a motor's thread wakes up on this machine, at the worst of so many waits, in nanoseconds.
/// A thread of that name waits as a motor's loop does, and does `each` after every wait.
///
/// # Errors
///
/// The system gave no thread.
pub(crate) fn measure_waits(
    name: &str,
    waits: u32,
    apart: Duration,
    spin: f64,
    mut each: impl FnMut() + Send,
) -> std::io::Result<u64> {
    std::thread::scope(|scope| {
        let work = || {
            // What is refused here is refused to the motor's own thread, too, which says so.
            let _ = request_realtime();
            let clock = Clock::monotonic();
            let mut wait = wait::PreciseWait::new(false, spin);
            let (mut due, mut worst) = (clock.now(), 0);
            for _ in 0..waits {
                due = due + apart;
                wait.until(&clock, due, false);
                let now = clock.now();
                worst = worst.max(now.nanos_since(due));
                // One that was held up for long is late once.
                due = due.max(now);
                each();
            }
            worst
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, work)?;
        thread.join().map_err(|_| std::io::Error::other("the measuring thread panicked"))
    })
}

/// A motor with its name, ready to be run.
pub struct Member {
    /// The motor's name: its thread's name, too.
    pub name: String,
    /// Its loop.
    pub motor: Box<dyn Motor>,
}

/// What reaches a motor's loop from outside.
#[derive(Clone)]
pub enum Mail {
    /// A command of the machine.
    Command(Command),
    /// A question of [`Fleet::roll_call`]: a loop that turns notes its number.
    RollCall(u64),
}

/// Both ends of what leads to a motor's loop. The mailbox is bounded: a command that finds it full is an error
/// for the machine. Inputs have a lane of their own, which is never full.
pub struct Mailbox {
    /// For the machine.
    pub sender: Sender<Mail>,
    /// For the loop.
    pub receiver: Receiver<Mail>,
    /// For whoever watches the driver's fault line.
    pub fault: Lane,
    /// For the loop.
    pub fault_end: LaneEnd,
}

impl Default for Mailbox {
    fn default() -> Self {
        let (sender, receiver) = crossbeam_channel::bounded(16);
        let (fault, fault_end) = Lane::pair();
        Mailbox { sender, receiver, fault, fault_end }
    }
}

/// Makes [`Fleet::next`] come back, since there is something else to do. Cheap to clone, and never waits.
#[derive(Clone, Debug)]
pub struct Waker(Sender<()>);

impl Waker {
    /// A waker, and what it wakes. A waker whose other end is gone does nothing.
    pub(crate) fn pair() -> (Waker, Receiver<()>) {
        let (sender, receiver) = crossbeam_channel::bounded(1);
        (Waker(sender), receiver)
    }

    /// Wakes it. Several calls before it looks are one.
    pub fn wake(&self) {
        // Full: it will wake up for that one.
        let _ = self.0.try_send(());
    }
}

/// What [`Fleet::next`] came back with.
#[derive(Debug)]
pub enum Next {
    /// A motor had something to say.
    Event(Event),
    /// The deadline came first.
    Deadline,
    /// A stop event is newly set.
    Stop,
}

/// Why a command did not reach its motor.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The motor's mailbox is full: its loop does not answer.
    #[error("the loop of {motor} does not answer: its mailbox is full")]
    Full {
        /// The motor's name.
        motor: String,
    },
    /// The motor's loop has ended.
    #[error("the loop of {motor} has ended")]
    Gone {
        /// The motor's name.
        motor: String,
    },
}

/// How a fleet came to its end.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FleetEnd {
    /// Motors whose loop had not ended by the deadline.
    pub left: Vec<String>,
}

/// The motors of a machine, running.
pub trait Fleet: Send {
    /// The clock that all its motors live by.
    fn clock(&self) -> &Clock;

    /// Gives a motor a command.
    ///
    /// # Errors
    ///
    /// Its mailbox is full, or its loop has ended.
    fn send(&mut self, motor: MotorIndex, command: Command) -> Result<(), SendError>;

    /// Waits until a motor says something, `until` has come, or a stop event that `heed` asks for is
    /// set. It may come back before `until` with [`Next::Deadline`] where that lies hours ahead, or when
    /// its waker was used.
    fn next(&mut self, until: Instant, heed: Heed) -> Next;

    /// Ends a [`Fleet::next`] that is under way, or the next one, from any thread. In virtual time there
    /// is no other thread to wait for, and it does nothing.
    fn waker(&self) -> Waker;

    /// Asks every loop to show that it turns, and says which have not answered what they were asked the
    /// time before. A loop answers between two polls, with one atomic store. Where no loop has a thread of
    /// its own, none can hang alone.
    fn roll_call(&mut self) -> Vec<MotorIndex> {
        Vec::new()
    }

    /// A driver's fault, as if its line had been active for a moment, and that had been confirmed: for tests of
    /// what follows.
    fn inject_fault(&mut self, motor: MotorIndex, at: Instant);

    /// Starts the loop of one more motor, in the slot of that number: one whose motor was
    /// [retired](Fleet::retire), or the one after the last. `mailbox` is the motor's own.
    ///
    /// # Errors
    ///
    /// The system gave no thread, or it did not stand in time; the motor is gone.
    fn add(&mut self, slot: usize, member: Member, mailbox: Mailbox) -> std::io::Result<()>;

    /// Ends the loop of one motor, which makes its hardware safe and is dropped. Says whether it ended
    /// within `timeout`; if so, its slot is free once what it said has been read.
    fn retire(&mut self, slot: usize, timeout: Duration) -> bool;

    /// Ends every loop, waiting no longer than `timeout`, and says which are left.
    fn end(&mut self, timeout: Duration) -> FleetEnd;
}

/// Which stop events a wait of the machine listens to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heed {
    /// The orderly stop, and the halt.
    Stop,
    /// The halt alone: the orderly stop is under way.
    Halt,
    /// Neither: the halt is under way.
    Nothing,
}
