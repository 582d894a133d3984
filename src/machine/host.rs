//! What programs ask of this machine.

use std::time::Duration;

use super::{Machine, MotorOutcome, Move, MoveError, Owner};
use crate::config::OnFault;
use crate::motor::{MotorIndex, MoveId};
use crate::moves::{FramesPlan, Start, Waypoint};
use crate::programs::Host;
use crate::sync::{EventError, WaitId};
use crate::units::Instant;

impl Host for Machine {
    fn now(&self) -> Instant {
        Machine::now(self)
    }

    fn program_now(&self) -> Instant {
        Machine::program_now(self)
    }

    fn machine_time_of(&self, at: Instant) -> Instant {
        Machine::machine_time_of(self, at)
    }

    fn is_held(&self) -> bool {
        self.is_program_held()
    }

    fn is_stopped(&self) -> bool {
        Machine::is_stopped(self)
    }

    fn ready(&self, motor: MotorIndex) -> Result<Start, MoveError> {
        Machine::ready(self, motor)
    }

    fn start_move(
        &mut self,
        targets: &[(MotorIndex, f64)],
        spec: &Move,
    ) -> Result<MoveId, MoveError> {
        self.start_targets(targets, spec)
    }

    fn start_spin(
        &mut self,
        speeds: &[(MotorIndex, f64)],
        lasts: Duration,
    ) -> Result<MoveId, MoveError> {
        let owner = self.acting.clone();
        self.tell_book(|book| book.start_jog(speeds, lasts, &owner))
    }

    fn start_run(
        &mut self,
        motors: Vec<MotorIndex>,
        places: &[Waypoint],
        open: bool,
        on_fault: OnFault,
    ) -> Result<MoveId, MoveError> {
        Machine::start_run(self, motors, places, open, on_fault)
    }

    fn run_wants(&self, id: MoveId) -> bool {
        self.path_wants(id)
    }

    fn extend_run(&mut self, id: MoveId, places: &[Waypoint]) -> Result<(), MoveError> {
        Machine::extend_run(self, id, places)
    }

    fn end_run(&mut self, id: MoveId) {
        // It may be over already: stopped, or by a fault.
        let _ = self.end_path(id);
    }

    fn plan_frames(&mut self, plan: &mut FramesPlan, most: usize) -> Result<bool, MoveError> {
        self.tell_book(|book| book.plan_frames(plan, most))
    }

    fn start_frames(&mut self, plan: FramesPlan) -> Result<MoveId, MoveError> {
        let owner = self.acting.clone();
        self.tell_book(|book| book.start_frames(plan, &owner))
    }

    fn is_active(&self, id: MoveId) -> bool {
        Machine::is_active(self, id)
    }

    fn take_outcome(&mut self, id: MoveId) -> Option<MotorOutcome> {
        Machine::take_outcome(self, id)
    }

    fn stop_move(&mut self, id: MoveId) {
        Machine::stop_move(self, id);
    }

    fn share(&mut self, gives: bool) {
        if let Owner::Program(name) = self.acting.clone() {
            self.tell_book(|book| book.share(&name, gives));
        }
    }

    fn shares(&self) -> bool {
        self.acting.program().is_some_and(|program| self.book.has_shared(program))
    }

    fn lacks(&self, motors: &[MotorIndex]) -> Option<MotorIndex> {
        self.book.lacks(self.acting.program()?, motors)
    }

    fn happens(&mut self, name: String) {
        Machine::happens(self, name, "null".to_owned());
    }

    fn wait_for(&mut self, names: &[String], timeout: Duration) -> Result<WaitId, EventError> {
        Machine::wait_for(self, names, timeout)
    }

    fn waited(&mut self, id: WaitId, until: Instant) -> Option<Result<(), EventError>> {
        Machine::waited(self, id, until)
    }

    fn cancel_wait(&mut self, id: WaitId) {
        Machine::cancel_wait(self, id);
    }
}
