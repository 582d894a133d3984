//! What a program asks of the machine that it runs on, and how much of it in one turn.

use std::time::Duration;

use crate::config::OnFault;
use crate::motor::{MotorIndex, MoveId};
use crate::moves::{FramesPlan, MotorOutcome, Move, MoveError, Start, Waypoint};
use crate::sync::{EventError, WaitId};
use crate::units::Instant;

/// What a program asks of a machine. Targets are in the motors' units.
pub(crate) trait Host {
    /// The machine's clock.
    fn now(&self) -> Instant;

    /// The program's clock, which stands still while the machine is held.
    fn program_now(&self) -> Instant;

    /// When the machine's clock will show what the program's clock shows at `at`.
    fn machine_time_of(&self, at: Instant) -> Instant;

    /// Whether the next step waits for a resume.
    fn is_held(&self) -> bool;

    /// Whether a stop or a halt holds.
    fn is_stopped(&self) -> bool;

    /// From where a motor may be moved now.
    fn ready(&self, motor: MotorIndex) -> Result<Start, MoveError>;

    /// Begins a move.
    fn start_move(
        &mut self,
        targets: &[(MotorIndex, f64)],
        spec: &Move,
    ) -> Result<MoveId, MoveError>;

    /// Begins to turn servos that turn continuously, each at its share of full speed in percent, for that time of the
    /// program's.
    fn start_spin(
        &mut self,
        speeds: &[(MotorIndex, f64)],
        lasts: Duration,
    ) -> Result<MoveId, MoveError>;

    /// Begins a run through places without a stop. `open`: more will come.
    fn start_run(
        &mut self,
        motors: Vec<MotorIndex>,
        places: &[Waypoint],
        open: bool,
        on_fault: OnFault,
    ) -> Result<MoveId, MoveError>;

    /// Whether a run can use more places now.
    fn run_wants(&self, id: MoveId) -> bool;

    /// More places for a run that is open.
    fn extend_run(&mut self, id: MoveId, places: &[Waypoint]) -> Result<(), MoveError>;

    /// The last place that a run was given is its end. Nothing where it has ended.
    fn end_run(&mut self, id: MoveId);

    /// Plans so many keyframes more. Whether that were all.
    fn plan_frames(&mut self, plan: &mut FramesPlan, most: usize) -> Result<bool, MoveError>;

    /// Begins a move through keyframes that are all planned.
    fn start_frames(&mut self, plan: FramesPlan) -> Result<MoveId, MoveError>;

    /// Whether a move has not ended.
    fn is_active(&self, id: MoveId) -> bool;

    /// The next outcome of a move that was not handed out.
    fn take_outcome(&mut self, id: MoveId) -> Option<MotorOutcome>;

    /// Brings a move to rest on its path.
    fn stop_move(&mut self, id: MoveId);

    /// The program gives up the motors that it does not move, or takes them back.
    fn share(&mut self, gives: bool);

    /// Whether the program shares its motors, or has done so.
    fn shares(&self) -> bool;

    /// The first of these motors that others have, since the program shared it: it has to wait for that.
    fn lacks(&self, motors: &[MotorIndex]) -> Option<MotorIndex>;

    /// Something happened that has a name.
    fn happens(&mut self, name: String);

    /// Begins to wait for named events.
    fn wait_for(&mut self, names: &[String], timeout: Duration) -> Result<WaitId, EventError>;

    /// What came of a wait, which ends at `until`; `None`: nothing yet.
    fn waited(&mut self, id: WaitId, until: Instant) -> Option<Result<(), EventError>>;

    fn cancel_wait(&mut self, id: WaitId);
}

/// How much all programs together may do in one turn of whoever drives them, however long they are: others have to be
/// heard, too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// Steps that are begun, a plan each at the most.
    steps: u32,
    /// Places that blended runs are given.
    places: u32,
    /// Steps that are looked at for the motors of a blended run.
    looks: u32,
    /// Keyframes that are planned.
    frames: u32,
}

impl Default for Allowance {
    fn default() -> Allowance {
        Allowance { steps: 32, places: 512, looks: 1000, frames: 500 }
    }
}

impl Allowance {
    /// Another step, if it may be.
    pub fn step(&mut self) -> bool {
        take(&mut self.steps, 1)
    }

    /// What was begun took so many plans more than one.
    pub fn more(&mut self, plans: usize) {
        self.steps = self.steps.saturating_sub(u32::try_from(plans).unwrap_or(u32::MAX));
    }

    /// So many places, all or none.
    pub fn places(&mut self, count: u32) -> bool {
        take(&mut self.places, count)
    }

    /// All the keyframes that may be planned.
    pub fn frames(&mut self) -> usize {
        std::mem::take(&mut self.frames) as usize
    }

    /// Another look ahead.
    pub fn look(&mut self) -> bool {
        take(&mut self.looks, 1)
    }
}

fn take(of: &mut u32, count: u32) -> bool {
    match of.checked_sub(count) {
        Some(left) => {
            *of = left;
            true
        }
        None => false,
    }
}
