//! The motors' loops by the motors' numbers, which a new config may change.
//!
//! A loop has a slot of the fleet for as long as it lives, and speaks by its number. Which motor that
//! is, only this knows.

use std::time::Duration;

use crate::hal::Clock;
use crate::motor::{Command, Event, MotorIndex};
use crate::runtime::{Fleet, FleetEnd, Heed, Mailbox, Member, Next, SendError, Waker};
use crate::units::Instant;

/// A fleet, and which motor has which of its slots.
pub(crate) struct Crew {
    fleet: Box<dyn Fleet>,
    /// For each motor.
    slots: Vec<usize>,
    /// For each slot.
    holders: Vec<Holder>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Holder {
    Motor(MotorIndex),
    /// Its loop is there, or is being made; it is no motor's yet.
    Nobody,
    Free,
    /// Its loop did not end: nobody gets this slot any more.
    Stuck,
}

impl Crew {
    /// A fleet whose first slots have the first motors.
    pub fn new(fleet: Box<dyn Fleet>, motors: usize) -> Crew {
        let holders = (0..motors).map(Holder::Motor).collect();
        Crew { fleet, slots: (0..motors).collect(), holders }
    }

    pub fn clock(&self) -> &Clock {
        self.fleet.clock()
    }

    pub fn send(&mut self, motor: MotorIndex, command: Command) -> Result<(), SendError> {
        self.fleet.send(self.slots[motor], command)
    }

    /// As [`Fleet::next`]; what a loop says that is no motor's is passed over.
    pub fn next(&mut self, until: Instant, heed: Heed) -> Next {
        loop {
            match self.fleet.next(until, heed) {
                Next::Event(event) => match self.holders.get(event.motor) {
                    Some(&Holder::Motor(motor)) => {
                        return Next::Event(Event { motor, report: event.report });
                    }
                    _ => log::debug!("a loop that is no motor's says {:?}", event.report),
                },
                other => return other,
            }
        }
    }

    /// The motors whose loops have not answered: see [`Fleet::roll_call`].
    pub fn roll_call(&mut self) -> Vec<MotorIndex> {
        let silent = self.fleet.roll_call().into_iter();
        let motor = |slot: usize| match self.holders.get(slot) {
            Some(&Holder::Motor(motor)) => Some(motor),
            _ => None,
        };
        silent.filter_map(motor).collect()
    }

    pub fn waker(&self) -> Waker {
        self.fleet.waker()
    }

    pub fn inject_fault(&mut self, motor: MotorIndex, at: Instant) {
        self.fleet.inject_fault(self.slots[motor], at);
    }

    pub fn end(&mut self, timeout: Duration) -> FleetEnd {
        self.fleet.end(timeout)
    }

    /// A slot for a loop that is to be made.
    pub fn reserve(&mut self) -> usize {
        let free = self.holders.iter().position(|h| *h == Holder::Free);
        let slot = free.unwrap_or(self.holders.len());
        match self.holders.get_mut(slot) {
            Some(holder) => *holder = Holder::Nobody,
            None => self.holders.push(Holder::Nobody),
        }
        slot
    }

    /// Gives back a slot that has no loop.
    pub fn give_back(&mut self, slot: usize) {
        self.holders[slot] = Holder::Free;
    }

    /// Starts a loop in a slot that was reserved. Slots that were never used come in their order.
    pub fn add(&mut self, slot: usize, member: Member, mailbox: Mailbox) -> std::io::Result<()> {
        self.fleet.add(slot, member, mailbox)
    }

    pub fn slot(&self, motor: MotorIndex) -> usize {
        self.slots[motor]
    }

    /// Ends the loop in a slot; says whether it ended in time. Then the slot is to be
    /// [given back](Crew::give_back) once what the loop said has been read.
    pub fn retire(&mut self, slot: usize, timeout: Duration) -> bool {
        let ended = self.fleet.retire(slot, timeout);
        self.holders[slot] = if ended { Holder::Nobody } else { Holder::Stuck };
        ended
    }

    /// The slots of the motors from now on, in their order.
    pub fn appoint(&mut self, slots: Vec<usize>) {
        for (motor, &slot) in slots.iter().enumerate() {
            self.holders[slot] = Holder::Motor(motor);
        }
        self.slots = slots;
    }
}
