//! A program as one of the things a machine does: it runs while the machine is waited on, beside moves
//! that others start, and the machine goes on after it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Machine, MachineError, MotorOutcome, Owner, RunResult};
use crate::config::Config;
use crate::motor::MotorIndex;
use crate::moves::{Alive, ClaimState};
use crate::programs::{Allowance, Branch, LookedThrough, Program, Turn};
use crate::units::Instant;

/// A program under way. Ask it to go on ([`ProgramRun::poll`]) whenever the machine has worked.
///
/// ```
/// use lockstep::config::Config;
/// use lockstep::machine::{Machine, ProgramRun, ProgramTurn, RunResult};
///
/// let text = "[servo.pan]\npwm = { gpio = 18 }\n\
///     [program.wave]\nsteps = [ { move = { pan = \"30deg\" } }, { move = { pan = \"0deg\" } } ]\n";
/// let mut machine = Machine::builder(Config::from_str(text, "demo")?.config).virtual_time().build()?;
/// let config = machine.shared_config();
/// let mut wave = ProgramRun::start(&mut machine, &config, "wave")?;
/// let end = loop {
///     match wave.poll(&mut machine) {
///         ProgramTurn::Wait(until) => machine.work(until),
///         ProgramTurn::Ended(end) => break end,
///     }
/// };
/// assert_eq!(end.result, RunResult::Done);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ProgramRun {
    program: Program,
    branch: Branch,
    begun: Instant,
    stopped: bool,
    /// It was looked through no further than so many moves.
    checked: Option<u64>,
    /// Its motors are its own as long as this lives.
    _claim: Alive,
}

/// What a program answers when it is asked to go on.
#[derive(Clone, PartialEq, Debug)]
pub enum ProgramTurn {
    /// Ask again when something happened, or at this instant.
    Wait(Instant),
    /// It is over: nothing of it moves any more.
    Ended(ProgramEnd),
}

/// How a program ended.
#[derive(Clone, PartialEq, Debug)]
pub struct ProgramEnd {
    /// Its name.
    pub program: String,
    /// How.
    pub result: RunResult,
    /// From its start on.
    pub duration: Duration,
    /// It was looked through no further than so many moves; what followed was checked as it came.
    pub checked_moves: Option<u64>,
    /// Motors that fell short and were not rescued, in the order they did.
    pub shorts: Vec<MotorOutcome>,
    /// What else went wrong, in words: moves that were refused, events that did not come.
    pub complaints: Vec<String>,
}

impl ProgramRun {
    /// Checks a program from where the motors are now, and begins it: its first step comes with the
    /// first [`ProgramRun::poll`]. `config` is the machine's own.
    ///
    /// # Errors
    ///
    /// There is no such program, or it cannot run as it is written and the motors stand: nothing moves.
    pub fn start(
        machine: &mut Machine,
        config: &Arc<Config>,
        name: &str,
    ) -> Result<ProgramRun, MachineError> {
        machine.may_begin().map_err(MachineError::from)?;
        let program = Program::new(config, Some(name))?;
        let looked = LookedThrough::new(program, machine.starts(), &|| false);
        let run = ProgramRun::begin(machine, &looked, false)?;
        run.ok_or_else(|| MachineError::Preflight("this is not the machine's config".to_owned()))
    }

    /// Begins a program that was looked through. `None`: its motors are not where they were then, or the machine
    /// goes by another config. `share`: whatever it does not move just then others may have.
    ///
    /// # Errors
    ///
    /// It cannot run as it is written and the motors stand: nothing moves.
    pub(crate) fn begin(
        machine: &mut Machine,
        looked: &LookedThrough,
        share: bool,
    ) -> Result<Option<ProgramRun>, MachineError> {
        machine.may_begin().map_err(MachineError::from)?;
        if !looked.is_true_of(&machine.shared_config(), &machine.starts()) {
            return Ok(None);
        }
        for &motor in &looked.preflight.motors {
            machine.may_run(motor).map_err(MachineError::from)?;
        }
        if let Some(first) = looked.preflight.problems.first() {
            return Err(MachineError::Preflight(first.error.to_string()));
        }
        if let Some(moves) = looked.preflight.beyond {
            let name = looked.program.name();
            log::warn!("{name} was looked through no further than its first {moves} moves");
        }
        let (program, branch) = (looked.program.clone(), Branch::root(&looked.program));
        let (name, motors): (Arc<str>, _) = (program.name().into(), program.motors());
        let claim = machine.tell_book(|book| book.claim(&name, motors));
        let claim = claim.map_err(MachineError::from)?;
        if share {
            machine.tell_book(|book| book.share(&name, true));
        }
        let begun = machine.now();
        let (stopped, checked) = (false, looked.preflight.beyond);
        Ok(Some(ProgramRun { program, branch, begun, stopped, checked, _claim: claim }))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.program.name()
    }

    /// It was looked through no further than so many moves, and what follows is checked as it comes; `None`: it was
    /// looked through to its end.
    pub fn checked_moves(&self) -> Option<u64> {
        self.checked
    }

    /// The config that it goes by.
    pub fn config(&self) -> &Arc<Config> {
        self.program.config()
    }

    /// The motors that it may move, whatever becomes of its moves, as indices into its config's motors.
    pub fn motors(&self) -> BTreeSet<MotorIndex> {
        self.program.motors()
    }

    /// Those that may still move by it, now or later.
    pub fn motors_left(&self) -> BTreeSet<MotorIndex> {
        let mut left = BTreeSet::new();
        self.branch.motors_left(&mut left);
        left
    }

    /// The motors that it waits for, since it shares them and others have them.
    pub fn waits_for(&self, machine: &Machine) -> BTreeSet<MotorIndex> {
        let mut motors = BTreeSet::new();
        self.branch.waits_for(&mut motors);
        motors.retain(|&m| machine.book.lacks(self.name(), &[m]).is_some());
        motors
    }

    /// No further step; what moves of it comes to rest. Poll it until it has ended.
    pub fn stop(&mut self, machine: &mut Machine) {
        self.stopped = true;
        machine.stop_program(self.program.name());
        self.branch.cancel(machine);
    }

    /// Goes on as far as it can and may in one turn. A stop of the machine stops it, too.
    pub fn poll(&mut self, machine: &mut Machine) -> ProgramTurn {
        self.poll_within(machine, &mut Allowance::default()).0
    }

    /// The same within what all programs together may do in a turn. True: it has more to do at once, but not in this
    /// turn.
    pub(crate) fn poll_within(
        &mut self,
        machine: &mut Machine,
        allowance: &mut Allowance,
    ) -> (ProgramTurn, bool) {
        let name: Arc<str> = self.program.name().into();
        // Also where a verb for one of its motors has stopped it.
        let over = machine.book.claim_state(&name) == Some(ClaimState::Ending);
        if (over || machine.is_stopped()) && !self.stopped {
            self.stop(machine);
        }
        let before = machine.acts_for(Owner::Program(name.clone()));
        let turn = self.branch.poll(machine, allowance);
        machine.acts_for(before);
        if turn == Turn::Done {
            machine.tell_book(|book| book.unclaim(&name));
            return (ProgramTurn::Ended(self.end(machine)), false);
        }
        // What it has used for the last time is free.
        let left = self.motors_left();
        machine.tell_book(|book| book.claim_only(&name, &left));
        match turn {
            Turn::Wait(until) => (ProgramTurn::Wait(until), false),
            Turn::Again | Turn::Done => (ProgramTurn::Wait(machine.now()), true),
        }
    }

    fn end(&mut self, machine: &Machine) -> ProgramEnd {
        let result = if self.branch.genuine || (self.branch.failed && !self.stopped) {
            RunResult::Failed
        } else if self.stopped {
            RunResult::Stopped
        } else {
            RunResult::Done
        };
        ProgramEnd {
            program: self.name().to_owned(),
            result,
            duration: machine.now().since(self.begun),
            checked_moves: self.checked,
            shorts: std::mem::take(&mut self.branch.shorts),
            complaints: std::mem::take(&mut self.branch.complaints),
        }
    }
}
