//! A program as one of the things a machine does: it runs while the machine is waited on, beside moves
//! that others start, and the machine goes on after it.

use std::sync::Arc;
use std::time::Duration;

use super::branch::{Branch, Turn};
use super::preflight::preflight_from;
use super::program::choose_program;
use super::report::RunResult;
use super::{Machine, MachineError, MotorOutcome, MoveError, Owner, Place, Start};
use crate::config::Config;
use crate::motor::{Command, MotorIndex, MoveId};
use crate::moves::{Alive, ClaimState};
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
pub struct ProgramRun<'c> {
    config: &'c Config,
    name: Arc<str>,
    branch: Branch<'c>,
    begun: Instant,
    stopped: bool,
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
    /// Motors that fell short and were not rescued, in the order they did.
    pub shorts: Vec<MotorOutcome>,
    /// What else went wrong, in words: moves that were refused, events that did not come.
    pub complaints: Vec<String>,
}

impl<'c> ProgramRun<'c> {
    /// Checks a program from where the motors are now, and begins it: its first step comes with the
    /// first [`ProgramRun::poll`]. `config` is the machine's own.
    ///
    /// # Errors
    ///
    /// There is no such program, or it cannot run as it is written and the motors stand: nothing moves.
    pub fn start(
        machine: &mut Machine,
        config: &'c Config,
        name: &str,
    ) -> Result<ProgramRun<'c>, MachineError> {
        machine.may_begin().map_err(MachineError::from)?;
        let program = choose_program(config, Some(name))?;
        let preflight = preflight_from(config, name, Some(machine.starts()));
        for &motor in &preflight.motors {
            let (model, state) = (&machine.book.models[motor], &machine.book.motors[motor]);
            if model.steps.is_some() && state.place == Place::Unknown {
                return Err(MoveError::UnknownPlace { motor: model.name.clone() }.into());
            }
            machine.book.ready_anywhere(motor, &Owner::Client).map_err(MachineError::from)?;
        }
        if let Some(first) = preflight.problems.first() {
            return Err(MachineError::Preflight(first.error.to_string()));
        }
        let branch = Branch::root(program);
        let name: Arc<str> = program.name.as_str().into();
        let motors = super::motors_of(config, &name);
        let claim = machine.tell_book(|book| book.claim(&name, motors));
        let claim = claim.map_err(MachineError::from)?;
        let begun = machine.now();
        Ok(ProgramRun { config, name, branch, begun, stopped: false, _claim: claim })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The config that it goes by.
    pub fn config(&self) -> &'c Config {
        self.config
    }

    /// No further step; what moves of it comes to rest. Poll it until it has ended.
    pub fn stop(&mut self, machine: &mut Machine) {
        self.stopped = true;
        machine.stop_program(&self.name);
        self.branch.cancel(machine);
    }

    /// Goes on as far as it can. A stop of the machine stops it, too.
    pub fn poll(&mut self, machine: &mut Machine) -> ProgramTurn {
        // Also where a verb for one of its motors has stopped it.
        let over = machine.book.claim_state(&self.name) == Some(ClaimState::Ending);
        if (over || machine.is_stopped()) && !self.stopped {
            self.stop(machine);
        }
        let before = machine.acts_for(Owner::Program(self.name.clone()));
        let turn = self.branch.poll(machine, self.config);
        machine.acts_for(before);
        match turn {
            Turn::Wait(until) => ProgramTurn::Wait(until),
            Turn::Done => {
                machine.tell_book(|book| book.unclaim(&self.name));
                ProgramTurn::Ended(self.end(machine))
            }
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
            program: self.name.to_string(),
            result,
            duration: machine.now().since(self.begun),
            shorts: std::mem::take(&mut self.branch.shorts),
            complaints: std::mem::take(&mut self.branch.complaints),
        }
    }
}

impl Machine {
    /// The config it was built from, to be kept beside it.
    pub fn shared_config(&self) -> std::sync::Arc<Config> {
        self.book.config.clone()
    }

    /// Lets the machine work until `until`, or until something happened that may interest whoever
    /// waits: a motor spoke, a deadline passed, a stop came, or its [waker](Machine::waker) was used.
    pub fn work(&mut self, until: Instant) {
        self.pump(until);
    }

    /// Whether a move has not ended yet; also while it waits, or is held.
    pub fn is_under_way(&self, id: MoveId) -> bool {
        self.book.is_active(id)
    }

    /// Steps emitted by an axis, counted from position 0; `None` for a servo, and for a name that no
    /// motor has.
    pub fn steps(&self, motor: &str) -> Option<i64> {
        let index = self.book.config.motor_index(motor)?;
        self.book.models[index].steps.map(|_| self.book.motors[index].telemetry.steps())
    }

    /// Whether a move could ever be made, whatever its motors do now: they exist, and its targets lie
    /// in their travels.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(&self, spec: &super::Move) -> Result<(), MoveError> {
        for (motor, target) in spec.resolve(&self.book)? {
            self.book.models[motor].check_travel(target)?;
        }
        Ok(())
    }

    /// Lets go of a motor at rest: a servo's signal ends, an axis' driver is switched off. Never one
    /// that holds a load. What is known of its place afterwards is what letting go leaves of it.
    ///
    /// # Errors
    ///
    /// There is no such motor, it moves, it holds a load, or its loop does not answer.
    pub fn release(&mut self, motor: &str) -> Result<(), MoveError> {
        let index = self.at_rest(motor)?;
        if self.book.config.motors[index].axis().is_some_and(|axis| axis.holds_load) {
            return Err(MoveError::HoldsLoad { motor: motor.to_owned() });
        }
        self.tell_book(|book| book.forget_enable(index));
        self.command(index, Command::Release)?;
        let state = &mut self.book.motors[index];
        state.powered = false;
        match self.book.models[index].steps {
            None => (state.angle, state.left_at) = (None, None),
            Some(_) if state.place == Place::Unknown => {}
            Some(_) => state.place = Place::Unverified,
        }
        Ok(())
    }

    /// Switches an axis' driver on at rest, with a power budget as soon as there is current for it. A servo
    /// gets its signal with its first move.
    ///
    /// # Errors
    ///
    /// There is no such motor, it moves, it is a servo, its loop does not answer, or it could never be
    /// switched on ([`MoveError::Power`]).
    pub fn enable(&mut self, motor: &str) -> Result<(), MoveError> {
        let index = self.book.find(motor)?;
        if self.tell_book(|book| book.enable(index))? {
            self.command(index, Command::Enable)?;
            self.book.motors[index].powered = true;
        }
        Ok(())
    }

    /// Whether a motor could be switched on, or let go, now: what [`Machine::enable`] and [`Machine::release`] look at
    /// before they do anything.
    ///
    /// # Errors
    ///
    /// As theirs.
    pub(crate) fn may_switch(&self, motor: &str, on: bool) -> Result<(), MoveError> {
        let index = self.at_rest(motor)?;
        if let Some(program) = self.book.keeper(index) {
            let (motor, program) = (motor.to_owned(), program.to_string());
            return Err(MoveError::Kept { motor, program });
        }
        let axis = self.book.config.motors[index].axis();
        if !on && axis.is_some_and(|axis| axis.holds_load) {
            return Err(MoveError::HoldsLoad { motor: motor.to_owned() });
        }
        Ok(())
    }

    /// Whether moves may begin at all.
    pub(super) fn may_begin(&self) -> Result<(), MoveError> {
        match (self.book.finished, self.is_stopped()) {
            (true, _) => Err(MoveError::Finished),
            (_, true) => Err(MoveError::Stopped),
            _ => Ok(()),
        }
    }

    pub(super) fn at_rest(&self, motor: &str) -> Result<MotorIndex, MoveError> {
        let index = self.book.find(motor)?;
        self.book.at_rest(index).map(|()| index)
    }

    pub(super) fn command(&mut self, motor: MotorIndex, command: Command) -> Result<(), MoveError> {
        let sent = self.roster.fleet.send(motor, command);
        sent.map_err(|e| MoveError::NoAnswer { error: e.to_string() })
    }

    /// Whether a motor is part of a move that has not ended. False for a name that no motor has.
    pub fn is_busy(&self, motor: &str) -> bool {
        self.book.config.motor_index(motor).is_some_and(|i| self.book.motors[i].busy.is_some())
    }

    /// Whether nothing of a move moves: it has ended, or is held and has come to rest.
    pub fn is_at_rest(&self, id: MoveId) -> bool {
        self.book.is_at_rest(id)
    }

    /// The next outcome of a move that was not handed out, without waiting for one.
    pub fn poll_outcome(&mut self, id: MoveId) -> Option<MotorOutcome> {
        self.take_outcome(id)
    }

    /// Where every motor is now, as a plan begins.
    fn starts(&self) -> Vec<Start> {
        (0..self.book.models.len()).map(|motor| self.book.stands(motor)).collect()
    }
}
