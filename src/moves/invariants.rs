//! What must hold of the register between any two things that it is told.

use std::collections::BTreeSet;

use super::stage::Stage;
use super::waiting::MOST_WAITING;
use super::{MOST_ENDED, MotorIndex, MoveBook};

impl MoveBook {
    /// Panics where the register contradicts itself.
    pub fn check(&self) {
        for (id, active) in &self.active {
            assert!(!active.legs.is_empty(), "move {id} has ended, and is still there");
            assert!(*id < self.next_move, "move {id} has a number that nobody gave it");
            let legs: BTreeSet<MotorIndex> = active.motors().into_iter().collect();
            assert_eq!(legs.len(), active.legs.len(), "move {id} has a motor twice");
            for &motor in &legs {
                assert!(active.all.contains(&motor), "move {id} was not asked for that motor");
                // One that has stepped aside lets others have its motors, whatever becomes of them.
                if active.aside().is_some() {
                    continue;
                }
                let busy = self.motors[motor].busy;
                assert_eq!(busy, Some(*id), "{} in move {id}", self.models[motor].name);
                let fault = &self.motors[motor].fault;
                assert!(fault.is_none(), "{} moves on with {fault:?}", self.models[motor].name);
            }
            let mut awaited = BTreeSet::new();
            match &active.stage {
                Stage::Waiting(_) => assert!(
                    self.keeps_back(*id) || active.is_holding(),
                    "move {id} waits at its start, and nothing keeps it back"
                ),
                Stage::Queued => {
                    let waits = self.waits_for_power(*id) + self.waits_to_leave(*id);
                    assert_eq!(waits, 1, "what move {id} waits for before it begins");
                }
                Stage::Arming(_) | Stage::Halting(_) | Stage::Stopping(_) => {}
                Stage::Running(way) => {
                    awaited.extend(way.proposal.iter().flat_map(|p| p.missing.iter().copied()));
                }
            }
            assert!(awaited.is_subset(&legs), "move {id} waits for a motor that has ended");
        }
        for (motor, state) in self.motors.iter().enumerate() {
            if let Some(id) = state.busy {
                let leg = self.active.get(&id).and_then(|a| a.leg(motor));
                assert!(leg.is_some(), "{} is busy with move {id}", self.models[motor].name);
            }
        }
        for id in self.waiting.keys() {
            assert!(!self.active.contains_key(id), "move {id} waits, and has begun");
            assert!(!self.ended.contains_key(id), "move {id} waits, and has ended");
            assert!(*id < self.next_move);
        }
        assert!(self.active.keys().all(|id| !self.ended.contains_key(id)));
        assert!(self.waiting.len() <= MOST_WAITING && self.ended.len() <= MOST_ENDED);
        assert!(self.holds.iter().all(|&m| m < self.motors.len()));
        let kept = self.claims.values().flat_map(|c| &c.motors);
        assert!(kept.into_iter().all(|&m| m < self.motors.len()), "a program keeps nobody");
    }

    /// A move that could begin has begun: holds after each of the machine's turns.
    pub fn check_waits(&self) {
        if self.is_stopped() {
            assert!(self.waiting.is_empty(), "what waits never begins after a stop");
            return;
        }
        let mut taken: BTreeSet<MotorIndex> = BTreeSet::new();
        for (id, waiting) in self.waiting.iter().filter(|w| self.is_in_line(w.1)) {
            let owner = waiting.owner.program();
            let free = |m: MotorIndex| {
                let kept = self.keeper(m).is_some_and(|p| owner != Some(p));
                self.motors[m].busy.is_none() && !kept && !taken.contains(&m)
            };
            assert!(!waiting.motors().all(free), "move {id} waits for nothing");
            taken.extend(waiting.motors());
        }
    }
}
