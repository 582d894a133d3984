use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, select};
use log::{info, warn};

use super::scheduling::{self, Granted};
use super::wait::{PreciseWait, sleep_until};
use super::{Fleet, FleetEnd, Heed, Lane, LaneEnd, Mail, Mailbox, Member, Next, SendError, Waker};
use crate::hal::Clock;
use crate::motor::{Command, Event, FaultKind, Input, Motor, MotorIndex, Report};
use crate::sync::{Gather, StopEvent};
use crate::units::Instant;

/// How the motors' threads are run.
#[derive(Clone, Debug)]
pub struct ThreadOptions {
    /// Ask for real-time scheduling and locked memory. What is refused is said in the log, and the
    /// motors run all the same.
    pub realtime: bool,
    /// The share of the time between two edges that a loop may spin away, 0 to 1.
    pub spin: f64,
}

impl Default for ThreadOptions {
    fn default() -> Self {
        ThreadOptions { realtime: true, spin: 0.2 }
    }
}

/// A thread for each motor, named after it, each with its own timing.
pub struct ThreadFleet {
    clock: Clock,
    members: Vec<Handle>,
    events: Receiver<Event>,
    stop: StopEvent,
    halt: StopEvent,
    /// What each new loop is given.
    new_loop: NewLoop,
    /// Faults to come, by instant.
    faults: Vec<(Instant, MotorIndex)>,
    granted: Granted,
    waker: Waker,
    woken: Receiver<()>,
}

struct Handle {
    name: String,
    mail: Sender<Mail>,
    fault: Lane,
    quit: StopEvent,
    /// Its last word.
    done: Receiver<()>,
    thread: Option<JoinHandle<()>>,
    /// The last question of a roll call, and the last that its loop has answered.
    asked: u64,
    answered: Arc<AtomicU64>,
}

impl Handle {
    /// Waits for the end of a thread that has been told to; says whether it came in time.
    fn ends_by(&mut self, deadline: std::time::Instant) -> bool {
        let Some(thread) = self.thread.take() else { return true };
        if self.done.recv_deadline(deadline).is_ok() || thread.is_finished() {
            // It has said its last word: this join is a matter of microseconds.
            let _ = thread.join();
            return true;
        }
        self.thread = Some(thread);
        false
    }
}

/// What all loops have in common.
struct NewLoop {
    events: Sender<Event>,
    halt: StopEvent,
    yields: bool,
    options: ThreadOptions,
}

/// What a thread says once it stands: whether it got real-time scheduling.
type Stand = (MotorIndex, Result<u8, String>);

impl NewLoop {
    fn spawn(
        &self,
        index: MotorIndex,
        member: Member,
        mailbox: Mailbox,
        stand: Sender<Stand>,
    ) -> std::io::Result<Handle> {
        let quit = StopEvent::new();
        let context = Loop {
            index,
            motor: member.motor,
            clock: Clock::monotonic(),
            mail: mailbox.receiver,
            fault: mailbox.fault_end,
            events: self.events.clone(),
            halt: self.halt.clone(),
            quit: quit.clone(),
            wait: PreciseWait::new(self.yields, self.options.spin),
            answered: Arc::default(),
        };
        let answered = context.answered.clone();
        let realtime = self.options.realtime;
        let (done_tx, done) = bounded(1);
        let thread = std::thread::Builder::new().name(member.name.clone()).spawn(move || {
            let granted = if realtime {
                scheduling::realtime(scheduling::PRIORITY)
            } else {
                Err("not asked for".to_string())
            };
            scheduling::exact_timers();
            let _ = stand.try_send((index, granted));
            context.run();
            let _ = done_tx.try_send(());
        })?;
        let (name, mail, thread) = (member.name, mailbox.sender, Some(thread));
        Ok(Handle { name, mail, fault: mailbox.fault, quit, done, thread, asked: 0, answered })
    }
}

/// Closer than this a wait no longer listens to the mailbox: an upper bound on how late a stop is
/// heard.
const NEAR_NANOS: u64 = 800_000;

/// How long the threads may take to stand.
const START_TIMEOUT: Duration = Duration::from_secs(5);

impl ThreadFleet {
    /// Starts the threads and waits until all of them stand.
    ///
    /// `events` are both ends of the channel that the members' outboxes speak into.
    ///
    /// # Errors
    ///
    /// The system gave no thread, or one did not stand within 5 s.
    pub fn start(
        members: Vec<(Member, Mailbox)>,
        events: (Sender<Event>, Receiver<Event>),
        stop: StopEvent,
        halt: StopEvent,
        options: &ThreadOptions,
    ) -> std::io::Result<ThreadFleet> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let yields = members.len() >= cores;
        let (stand_tx, stand_rx) = bounded(members.len());
        let (events_tx, events) = events;
        let new_loop =
            NewLoop { events: events_tx, halt: halt.clone(), yields, options: options.clone() };
        let mut handles: Vec<Handle> = Vec::new();
        for (index, (member, mailbox)) in members.into_iter().enumerate() {
            let handle = new_loop.spawn(index, member, mailbox, stand_tx.clone());
            // Those that stand already shall not outlive the one that could not be had.
            let handle = handle.inspect_err(|_| handles.iter().for_each(|h| h.quit.set()))?;
            handles.push(handle);
        }
        drop(stand_tx);
        let deadline = std::time::Instant::now() + START_TIMEOUT;
        let report = Gather::new(0..handles.len(), stand_rx)
            .run(deadline, None, |_, granted| granted.map(|_| ()));
        let refused = report.failed.first().map(|(_, why)| why.clone());
        let realtime = refused.map_or(Ok(scheduling::PRIORITY), Err);
        if let Some(&index) = report.missing.first() {
            handles.iter().for_each(|h| h.quit.set());
            return Err(not_standing(&handles[index].name));
        }
        let locked =
            if options.realtime { scheduling::lock_memory() } else { Err("not asked for".into()) };
        let granted = Granted { realtime, locked };
        match granted {
            Granted { realtime: Ok(_), locked: Ok(()) } => info!("{granted}"),
            _ if options.realtime => warn!("{granted}"),
            _ => info!("{granted}"),
        }
        let (clock, (waker, woken)) = (Clock::monotonic(), Waker::pair());
        Ok(ThreadFleet {
            clock,
            members: handles,
            events,
            stop,
            halt,
            new_loop,
            faults: Vec::new(),
            granted,
            waker,
            woken,
        })
    }

    /// What the system granted.
    pub fn granted(&self) -> &Granted {
        &self.granted
    }

    /// Raises the faults whose instant has come, and says when the next one will be.
    fn raise_faults(&mut self) -> Instant {
        let now = self.clock.now();
        while let Some(i) = self.faults.iter().position(|f| f.0 <= now) {
            let (at, motor) = self.faults.swap_remove(i);
            self.members[motor].fault.tell(true, at);
            self.members[motor].fault.tell(false, at.plus_nanos(1));
        }
        self.faults.iter().map(|f| f.0).min().unwrap_or(Instant::FAR)
    }
}

impl Fleet for ThreadFleet {
    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn send(&mut self, motor: MotorIndex, command: Command) -> Result<(), SendError> {
        let member = &self.members[motor];
        member.mail.try_send(Mail::Command(command)).map_err(|e| match e {
            TrySendError::Full(_) => SendError::Full { motor: member.name.clone() },
            TrySendError::Disconnected(_) => SendError::Gone { motor: member.name.clone() },
        })
    }

    fn next(&mut self, until: Instant, heed: Heed) -> Next {
        let (stop, halt) = match heed {
            Heed::Stop => (self.stop.channel(), self.halt.channel()),
            Heed::Halt => (crossbeam_channel::never(), self.halt.channel()),
            Heed::Nothing => (crossbeam_channel::never(), crossbeam_channel::never()),
        };
        if let Ok(event) = self.events.try_recv() {
            return Next::Event(event);
        }
        let fault = self.raise_faults();
        // Far deadlines are cut up, so that none can be too far for the system's timers.
        let until = until.min(fault);
        let timeout = until.since(self.clock.now()).min(Duration::from_secs(3600));
        select! {
            recv(self.events) -> event => event.map_or(Next::Deadline, Next::Event),
            recv(stop) -> _ => Next::Stop,
            recv(halt) -> _ => Next::Stop,
            recv(self.woken) -> _ => Next::Deadline,
            default(timeout) => Next::Deadline,
        }
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }

    fn roll_call(&mut self) -> Vec<MotorIndex> {
        let mut silent = Vec::new();
        for (index, member) in self.members.iter_mut().enumerate() {
            // One that owes an answer is not asked again: its mailbox is for what it shall do.
            if member.answered.load(Ordering::Relaxed) < member.asked {
                silent.push(index);
            } else {
                member.asked += 1;
                // A mailbox that is full, or gone, is a loop that does not answer.
                let _ = member.mail.try_send(Mail::RollCall(member.asked));
            }
        }
        silent
    }

    fn inject_fault(&mut self, motor: MotorIndex, at: Instant) {
        self.faults.push((at, motor));
        self.raise_faults();
    }

    fn add(&mut self, slot: usize, member: Member, mailbox: Mailbox) -> std::io::Result<()> {
        let (stand_tx, stand_rx) = bounded(1);
        let handle = self.new_loop.spawn(slot, member, mailbox, stand_tx)?;
        match stand_rx.recv_timeout(START_TIMEOUT) {
            Ok((_, Err(why))) if self.granted.realtime.is_ok() => {
                warn!("{}: no real-time scheduling for its loop: {why}", handle.name);
            }
            Ok(_) => {}
            Err(_) => {
                handle.quit.set();
                return Err(not_standing(&handle.name));
            }
        }
        match self.members.get_mut(slot) {
            Some(free) => *free = handle,
            None => self.members.push(handle),
        }
        Ok(())
    }

    fn retire(&mut self, slot: usize, timeout: Duration) -> bool {
        let Some(member) = self.members.get_mut(slot) else { return true };
        self.faults.retain(|f| f.1 != slot);
        member.quit.set();
        member.ends_by(std::time::Instant::now() + timeout)
    }

    fn end(&mut self, timeout: Duration) -> FleetEnd {
        self.members.iter().for_each(|m| m.quit.set());
        let deadline = std::time::Instant::now() + timeout;
        let mut end = FleetEnd::default();
        for member in &mut self.members {
            if !member.ends_by(deadline) {
                end.left.push(member.name.clone());
            }
        }
        end
    }
}

impl Drop for ThreadFleet {
    fn drop(&mut self) {
        for name in self.end(Duration::from_secs(1)).left {
            warn!("the loop of {name} did not end within 1 s");
        }
    }
}

fn not_standing(name: &str) -> std::io::Error {
    std::io::Error::other(format!("the thread of {name} did not stand within {START_TIMEOUT:?}"))
}

/// What lives in a motor's thread.
struct Loop {
    index: MotorIndex,
    motor: Box<dyn Motor>,
    clock: Clock,
    mail: Receiver<Mail>,
    fault: LaneEnd,
    events: Sender<Event>,
    halt: StopEvent,
    quit: StopEvent,
    wait: PreciseWait,
    /// The last question of a roll call that it has answered.
    answered: Arc<AtomicU64>,
}

impl Loop {
    fn run(mut self) {
        if catch_unwind(AssertUnwindSafe(|| self.turn())).is_err() {
            // Said at once, so that the others come to rest while this one is made safe; and before its
            // place at the barrier is given up, so that theirs come to know whose fault it is.
            let event = Event { motor: self.index, report: Report::Fault(FaultKind::Panic) };
            let unsaid = self.events.try_send(event).is_err();
            // The motor's state may be half changed: it only gets its last resort from here on.
            let _ = catch_unwind(AssertUnwindSafe(|| self.motor.make_safe()));
            self.mourn(unsaid);
        } else if catch_unwind(AssertUnwindSafe(|| self.motor.make_safe())).is_err() {
            warn!("motor {} panicked while it was made safe", self.index);
        }
    }

    /// After a panic: says so, and answers what it is told, until the fleet ends.
    fn mourn(&mut self, unsaid: bool) {
        let say = |report| {
            let event = Event { motor: self.index, report };
            let _ = self.events.send_timeout(event, Duration::from_secs(1));
        };
        if unsaid {
            say(Report::Fault(FaultKind::Panic));
        }
        let quit = self.quit.channel();
        loop {
            let mail = select! {
                recv(self.mail) -> mail => mail,
                recv(quit) -> _ => return,
            };
            match mail {
                Err(_) => return,
                Ok(Mail::RollCall(number)) => self.answered.store(number, Ordering::Relaxed),
                Ok(Mail::Command(command)) => match command {
                    Command::Arm(motion) => {
                        say(Report::NotStarted(motion.id));
                        motion.barrier.abort();
                    }
                    Command::Change(change) => say(Report::Acknowledged { change: change.number }),
                    Command::Halt => say(Report::Halted { id: None }),
                    Command::Finish => say(Report::Safe),
                    Command::Enable
                    | Command::Recover
                    | Command::Release
                    | Command::SetCount(_)
                    | Command::Reach { .. }
                    | Command::Tune(_) => {}
                },
            }
        }
    }

    fn turn(&mut self) {
        let mut halt = self.halt.channel();
        let quit = self.quit.channel();
        let mut halted = false;
        while !self.quit.is_set() {
            while let Ok(mail) = self.mail.try_recv() {
                self.take(mail);
            }
            while let Some((active, at)) = self.fault.take() {
                self.motor.on_input(Input::Fault, active, at);
            }
            if halted != self.halt.is_set() {
                halted = !halted;
                if halted {
                    self.motor.command(Command::Halt, self.clock.now());
                } else {
                    // Taken back: the next halt comes on a new channel.
                    halt = self.halt.channel();
                }
            }
            let wake = self.motor.poll(self.clock.now());
            let ahead = wake.at.nanos_since(self.clock.now());
            if ahead > NEAR_NANOS {
                // Far ahead: sleep in the mailbox, wake up a little early.
                let far = Duration::from_nanos(ahead - NEAR_NANOS / 2);
                let timeout = far.min(Duration::from_secs(3600));
                let next_halt = if halted { crossbeam_channel::never() } else { halt.clone() };
                select! {
                    recv(self.mail) -> mail => match mail {
                        Ok(mail) => self.take(mail),
                        Err(_) => return,
                    },
                    // Should it have been taken back already, the next one comes on a new channel.
                    recv(next_halt) -> _ => halt = self.halt.channel(),
                    recv(self.fault.bell) -> _ => {}
                    recv(quit) -> _ => {}
                    default(timeout) => {}
                }
            } else if wake.precise {
                self.wait.until(&self.clock, wake.at, wake.behind);
            } else if ahead > 0 {
                sleep_until(&self.clock, wake.at);
            }
        }
    }

    fn take(&mut self, mail: Mail) {
        match mail {
            Mail::Command(command) => self.motor.command(command, self.clock.now()),
            Mail::RollCall(number) => self.answered.store(number, Ordering::Relaxed),
        }
    }
}
