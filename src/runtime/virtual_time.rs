use std::time::Duration;

use crossbeam_channel::Receiver;

use super::{Fleet, FleetEnd, Heed, Mail, Mailbox, Member, Next, SendError, Waker};
use crate::hal::Clock;
use crate::motor::{Command, Event, Input, MotorIndex, Wake};
use crate::sync::StopEvent;
use crate::units::Instant;

/// All motors on one thread in virtual time: every poll happens at exactly the instant that was asked
/// for, and waiting costs nothing. The same commands give the same edges, to the nanosecond.
pub struct VirtualFleet {
    clock: Clock,
    /// `None`: retired.
    members: Vec<Option<(Member, Mailbox)>>,
    /// When each motor wants to be polled next.
    due: Vec<Instant>,
    /// Faults to come, by instant.
    faults: Vec<(Instant, MotorIndex)>,
    events: Receiver<Event>,
    stop: StopEvent,
    halt: StopEvent,
}

/// The last instant that a motor can be polled at.
const BEFORE_FAR: Instant = Instant::from_nanos(u64::MAX - 1);

/// How many polls may pass before the stop events are looked at again.
const POLLS_BETWEEN_LOOKS: u32 = 10_000;

/// Why [`VirtualFleet::run`] came back.
#[derive(PartialEq, Eq)]
enum Ran {
    /// Nobody is due any more.
    IntoHorizon,
    /// There is something to look at.
    IntoNews,
}

impl VirtualFleet {
    /// A fleet at virtual time zero. `clock` must be a virtual clock, `events` the receiving end of
    /// the members' outboxes.
    ///
    /// # Panics
    ///
    /// Panics if `clock` is not virtual: time would not pass.
    pub fn new(
        clock: Clock,
        members: Vec<(Member, Mailbox)>,
        events: Receiver<Event>,
        stop: StopEvent,
        halt: StopEvent,
    ) -> VirtualFleet {
        assert!(clock.is_virtual(), "a virtual fleet needs a virtual clock");
        let due = members.iter().map(|_| Wake::IDLE.at).collect();
        let members = members.into_iter().map(Some).collect();
        VirtualFleet { clock, members, due, faults: Vec::new(), events, stop, halt }
    }

    fn poll(&mut self, motor: MotorIndex, now: Instant) {
        self.due[motor] = match &mut self.members[motor] {
            Some((member, _)) => member.motor.poll(now).at.max(now),
            None => Instant::FAR,
        };
    }

    /// The motor that is due first, its instant, and the instant at which another one is.
    fn first(&self) -> (MotorIndex, Instant, Instant) {
        let (mut index, mut first, mut second) = (0, Instant::FAR, Instant::FAR);
        for (i, &t) in self.due.iter().enumerate() {
            if t < first {
                (index, first, second) = (i, t, first);
            } else if t < second {
                second = t;
            }
        }
        (index, first, second)
    }

    /// Polls the motors in the order of their deadlines up to and including `horizon`, until one of
    /// them has something to say or it is time to look at the stop events.
    fn run(&mut self, horizon: Instant) -> Ran {
        let mut polls = 0;
        while polls < POLLS_BETWEEN_LOOKS {
            let (motor, first, second) = self.first();
            if first > horizon || first == Instant::FAR {
                return Ran::IntoHorizon;
            }
            // One motor alone, as long as nobody else is due.
            let alone_until = second.min(horizon).min(BEFORE_FAR);
            while polls < POLLS_BETWEEN_LOOKS && self.due[motor] <= alone_until {
                let at = self.due[motor];
                self.clock.set(at);
                self.poll(motor, at);
                if !self.events.is_empty() {
                    return Ran::IntoNews;
                }
                polls += 1;
            }
        }
        Ran::IntoNews
    }

    fn raise_faults(&mut self) {
        let now = self.clock.now();
        while let Some(i) = self.faults.iter().position(|f| f.0 <= now) {
            let (at, motor) = self.faults.remove(i);
            if let Some((member, _)) = &mut self.members[motor] {
                member.motor.on_input(Input::Fault, true, at);
                member.motor.on_input(Input::Fault, false, at);
            }
            self.poll(motor, now);
        }
    }

    /// Inputs of the simulator, raised since the last look.
    fn deliver(&mut self) {
        let now = self.clock.now();
        for (entry, due) in self.members.iter_mut().zip(&mut self.due) {
            let Some((member, mailbox)) = entry else { continue };
            while let Ok(mail) = mailbox.receiver.try_recv() {
                match mail {
                    Mail::Command(command) => member.motor.command(command, now),
                    Mail::RollCall(_) => {}
                }
                *due = now;
            }
            while let Some((active, at)) = mailbox.fault_end.take() {
                member.motor.on_input(Input::Fault, active, at);
                *due = now;
            }
        }
    }

    fn stopped(&self, heed: Heed) -> bool {
        match heed {
            Heed::Stop => self.stop.is_set() || self.halt.is_set(),
            Heed::Halt => self.halt.is_set(),
            Heed::Nothing => false,
        }
    }
}

impl Fleet for VirtualFleet {
    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn send(&mut self, motor: MotorIndex, command: Command) -> Result<(), SendError> {
        let now = self.clock.now();
        if let Some((member, _)) = &mut self.members[motor] {
            member.motor.command(command, now);
            self.due[motor] = now;
        }
        Ok(())
    }

    fn next(&mut self, until: Instant, heed: Heed) -> Next {
        loop {
            if let Ok(event) = self.events.try_recv() {
                return Next::Event(event);
            }
            self.deliver();
            if self.stopped(heed) {
                return Next::Stop;
            }
            let fault = self.faults.iter().map(|f| f.0).min().unwrap_or(Instant::FAR);
            let horizon = until.min(fault);
            if self.run(horizon) == Ran::IntoHorizon {
                self.clock.set(horizon.max(self.clock.now()));
                if fault > until || fault == Instant::FAR {
                    return Next::Deadline;
                }
                self.raise_faults();
            }
        }
    }

    fn waker(&self) -> Waker {
        // Its other end is gone: nobody waits here.
        Waker::pair().0
    }

    fn inject_fault(&mut self, motor: MotorIndex, at: Instant) {
        self.faults.push((at, motor));
    }

    fn add(&mut self, slot: usize, member: Member, mailbox: Mailbox) -> std::io::Result<()> {
        match self.members.get_mut(slot) {
            Some(free) => {
                *free = Some((member, mailbox));
                self.due[slot] = Wake::IDLE.at;
            }
            None => {
                self.members.push(Some((member, mailbox)));
                self.due.push(Wake::IDLE.at);
            }
        }
        Ok(())
    }

    fn retire(&mut self, slot: usize, _timeout: Duration) -> bool {
        self.faults.retain(|f| f.1 != slot);
        if let Some(entry) = self.members.get_mut(slot) {
            *entry = None;
            self.due[slot] = Instant::FAR;
        }
        true
    }

    fn end(&mut self, _timeout: Duration) -> FleetEnd {
        FleetEnd::default()
    }
}
