//! A fleet in virtual time whose loops wake late, hear late, or not at all.

use std::time::Duration;

use crossbeam_channel::Receiver;

use crate::hal::Clock;
use crate::machine::Machine;
use crate::motor::{Command, Event, Input, MotorIndex};
use crate::runtime::{Fleet, FleetEnd, Heed, Mailbox, Member, Next, SendError, Waker};
use crate::sync::StopEvent;
use crate::units::Instant;

/// How late a motor's loop is: nanoseconds, asked anew each time; `None`: not in this life.
pub type Lateness = Box<dyn FnMut(MotorIndex, Instant) -> Option<u64> + Send>;

pub struct LateFleet {
    clock: Clock,
    members: Vec<(Member, Mailbox)>,
    due: Vec<Instant>,
    mail: Vec<(Instant, MotorIndex, Command)>,
    faults: Vec<(Instant, MotorIndex)>,
    events: Receiver<Event>,
    stop: StopEvent,
    halt: StopEvent,
    /// From the instant that a loop asked for until it is polled.
    wake: Lateness,
    /// From a command until its loop takes it.
    hear: Lateness,
}

/// A machine on such a fleet.
pub fn late_machine(text: &str, wake: Lateness, hear: Lateness) -> Machine {
    let config = super::support::config(text);
    let builder = Machine::builder(config).virtual_time().trace(true);
    let machine = builder.build_on(|builder, clock, members, (_, events)| {
        let due = vec![Instant::FAR; members.len()];
        let (stop, halt) = (builder.stop.clone(), builder.halt.clone());
        let (mail, faults) = (Vec::new(), Vec::new());
        Ok(Box::new(LateFleet {
            clock,
            members,
            due,
            mail,
            faults,
            events,
            stop,
            halt,
            wake,
            hear,
        }))
    });
    machine.unwrap()
}

impl LateFleet {
    fn poll(&mut self, motor: MotorIndex, now: Instant) {
        let wake = self.members[motor].0.motor.poll(now).at.max(now);
        self.due[motor] = match (self.wake)(motor, now) {
            Some(late) => wake.plus_nanos(late),
            None => Instant::FAR,
        };
    }
}

impl Fleet for LateFleet {
    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn send(&mut self, motor: MotorIndex, command: Command) -> Result<(), SendError> {
        let now = self.clock.now();
        if self.mail.iter().filter(|m| m.1 == motor).count() >= 16 {
            return Err(SendError::Full { motor: self.members[motor].0.name.clone() });
        }
        let at = (self.hear)(motor, now).map_or(Instant::FAR, |late| now.plus_nanos(late));
        // A mailbox keeps its order.
        let behind = self.mail.iter().filter(|m| m.1 == motor).map(|m| m.0).max();
        self.mail.push((at.max(behind.unwrap_or(at)), motor, command));
        Ok(())
    }

    fn next(&mut self, until: Instant, heed: Heed) -> Next {
        loop {
            if let Ok(event) = self.events.try_recv() {
                return Next::Event(event);
            }
            let halt = heed != Heed::Nothing && self.halt.is_set();
            if halt || (heed == Heed::Stop && self.stop.is_set()) {
                return Next::Stop;
            }
            let (motor, due) =
                self.due.iter().copied().enumerate().min_by_key(|d| d.1).unwrap_or((0, until));
            let mail = self.mail.iter().enumerate().min_by_key(|m| m.1.0).map(|m| (m.0, m.1.0));
            let fault = self.faults.iter().position(|f| f.0 <= self.clock.now());
            if let Some(i) = fault {
                let (at, motor) = self.faults.remove(i);
                self.members[motor].0.motor.on_input(Input::Fault, true, at);
                self.poll(motor, self.clock.now());
                continue;
            }
            let first = due.min(mail.map_or(Instant::FAR, |m| m.1));
            let first = first.min(self.faults.iter().map(|f| f.0).min().unwrap_or(Instant::FAR));
            if first > until || first == Instant::FAR {
                self.clock.set(until.max(self.clock.now()));
                return Next::Deadline;
            }
            self.clock.set(first.max(self.clock.now()));
            match mail {
                Some((i, at)) if at == first => {
                    let (_, motor, command) = self.mail.remove(i);
                    self.members[motor].0.motor.command(command, self.clock.now());
                    self.poll(motor, self.clock.now());
                }
                _ if due == first => self.poll(motor, self.clock.now()),
                _ => {}
            }
        }
    }

    fn waker(&self) -> Waker {
        Waker::pair().0
    }

    fn inject_fault(&mut self, motor: MotorIndex, at: Instant) {
        self.faults.push((at, motor));
    }

    fn add(&mut self, _: usize, _: Member, _: Mailbox) -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    fn retire(&mut self, _slot: usize, _timeout: Duration) -> bool {
        false
    }

    fn end(&mut self, _timeout: Duration) -> FleetEnd {
        FleetEnd::default()
    }
}
