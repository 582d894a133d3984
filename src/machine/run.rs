//! Runs a config's programs from their start-up moves to the safe end.

use std::sync::Arc;
use std::time::Duration;

use super::report::{RunReport, RunResult};
use super::{Machine, MachineError, MachineState, Move, MoveError, Owner};
use crate::config::{Config, MotorConfig, Startup};
use crate::motor::{MotorIndex, MoveId};
use crate::programs::{Allowance, Branch, Preflight, Program, Turn, preflight};
use crate::units::Instant;

/// What a run tells while it goes on.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Time since the run began.
    pub elapsed: Duration,
    /// Moves started so far.
    pub moves: u64,
}

/// What can be done to a run on its way.
#[derive(Clone, PartialEq, Debug)]
pub enum Deed {
    /// [`Machine::hold`].
    Hold,
    /// [`Machine::resume`].
    Resume,
    /// [`Machine::set_override`], in percent.
    Override(f64),
    /// [`Machine::trigger`], without data.
    Trigger(String),
    /// [`Machine::stop`]: the end of the run.
    Stop,
    /// [`Machine::stop_motor`].
    StopMotor(String),
    /// [`Machine::halt`]: the end of the run.
    Halt,
}

/// How a program is run.
#[derive(Default)]
pub struct RunOptions<'a> {
    /// Ends the run after this long, in good order; the result is still `done`.
    pub duration: Option<Duration>,
    /// What is done on the way, each so long after the run began. Where the run is held and nothing is
    /// left here that would resume it, it is stopped.
    pub deeds: Vec<(Duration, Deed)>,
    /// Called about ten times a second with how far the run is. It must return at once.
    pub progress: Option<&'a mut ProgressFn<'a>>,
}

/// What is told how far a run is.
pub type ProgressFn<'a> = dyn FnMut(&Machine, &Progress) + 'a;

const PROGRESS_EVERY: Duration = Duration::from_millis(100);

impl Machine {
    /// Runs a program (or the config's start program), then makes the machine safe. Before anything
    /// moves, the whole program is checked.
    ///
    /// # Errors
    ///
    /// There is no such program, or it cannot run as it is written: nothing has moved. What fails on
    /// the way is no error but part of the report.
    pub fn run(
        &mut self,
        program: Option<&str>,
        mut options: RunOptions<'_>,
    ) -> Result<RunReport, MachineError> {
        if self.book.finished {
            return Err(MoveError::Finished.into());
        }
        let config = self.book.config.clone();
        let program = Program::new(&config, program)?;
        let looked = preflight(&config, program.name());
        if let Some(first) = looked.problems.first() {
            return Err(MachineError::Preflight(first.error.to_string()));
        }
        if self.is_hardware() {
            self.refuse_unknown_places(&looked)?;
        }
        self.watch_loops();
        let begun = self.now();
        let (name, uses): (Arc<str>, _) = (program.name().into(), program.motors());
        let end = options.duration.map_or(Instant::FAR, |d| begun + d);
        let mut failed = !self.start_up(&config);
        let mut root = Branch::root(&program);
        // From here on its motors are its own.
        let claim = self.tell_book(|book| book.claim(&name, uses));
        if claim.is_err() && !self.is_stopped() {
            failed = true;
        }
        let client = self.acts_for(Owner::Program(name.clone()));
        let mut deeds = std::mem::take(&mut options.deeds);
        deeds.sort_by_key(|deed| std::cmp::Reverse(deed.0));
        let mut timed_out = false;
        let mut told = begun;
        if failed {
            root.cancel(self);
        }
        loop {
            while deeds.last().is_some_and(|deed| begun + deed.0 <= self.now()) {
                if let Some((_, deed)) = deeds.pop() {
                    self.carry_out(&deed)?;
                }
            }
            if self.is_held() && deeds.is_empty() && self.state() == MachineState::Held {
                log::warn!("held, and nothing is to come that would resume it: the run ends here");
                self.carry_out(&Deed::Stop)?;
            }
            // Where a loop has died nothing goes on: its motor does what nobody knows.
            if self.is_stopped() || self.has_dead_loop() {
                root.cancel(self);
            } else if self.now() >= end && !timed_out {
                timed_out = true;
                root.cancel(self);
            }
            let next = match root.poll(self, &mut Allowance::default()) {
                Turn::Done => break,
                Turn::Again => self.now(),
                Turn::Wait(until) => until,
            };
            let limit = if timed_out { Instant::FAR } else { end };
            let deed = deeds.last().map_or(Instant::FAR, |deed| begun + deed.0);
            let mut until = next.min(limit).min(deed);
            if let Some(progress) = &mut options.progress {
                if self.now() >= told + PROGRESS_EVERY {
                    told = self.now();
                    let elapsed = told.since(begun);
                    progress(self, &Progress { elapsed, moves: self.book.count() });
                }
                until = until.min(told + PROGRESS_EVERY);
            }
            self.pump(until);
        }
        failed |= root.failed;
        self.acts_for(client);
        self.tell_book(|book| book.unclaim(&name));
        drop(claim);
        self.tell_book(|book| book.end_hold());
        self.settle();
        // A driver may fail at rest, too. What fell short because it was told to end has not failed.
        let faulty = self.book.motors.iter().any(|m| m.fault.is_some());
        let told_to_end = timed_out || self.is_stopped();
        let result = if faulty || root.genuine || (failed && !told_to_end) {
            RunResult::Failed
        } else if self.is_stopped() {
            RunResult::Stopped
        } else {
            RunResult::Done
        };
        if result != RunResult::Failed {
            self.park(&config);
        }
        let ended = self.now();
        let left = self.finish();
        Ok(self.report(program.name(), result, ended.since(begun), &root, left))
    }

    /// Does it, without waiting for what comes of it.
    fn carry_out(&mut self, deed: &Deed) -> Result<(), MoveError> {
        match deed {
            Deed::Hold => self.hold(),
            Deed::Resume => self.resume(),
            Deed::Override(percent) => self.set_override(*percent)?,
            Deed::StopMotor(motor) => self.stop_motor(motor)?,
            Deed::Trigger(name) => self.happens(name.clone(), "null".to_owned()),
            Deed::Stop => {
                self.stop.set();
                self.on_stop();
            }
            Deed::Halt => {
                self.halt.set();
                self.on_stop();
            }
        }
        Ok(())
    }

    /// On hardware, a program that would move an axis whose place nobody knows is refused before its
    /// first move.
    fn refuse_unknown_places(&self, looked: &Preflight) -> Result<(), MachineError> {
        for &motor in &looked.motors {
            // A servo is told its angle: it has no place to know.
            let counts = self.book.models[motor].steps.is_some();
            if counts && self.book.motors[motor].place == super::Place::Unknown {
                let motor = self.book.models[motor].name.clone();
                return Err(MoveError::UnknownPlace { motor }.into());
            }
        }
        Ok(())
    }

    /// Begins to bring the servos that have a start-up position there, without waiting for it. What was
    /// refused is handed back.
    pub fn start_up_moves(&mut self) -> Vec<MoveError> {
        let config = self.book.config.clone();
        let before = self.acts_for(Owner::StartUp);
        let mut refused = Vec::new();
        for (motor, angle) in self.start_ups(&config) {
            refused.extend(self.start_targets(&[(motor, angle)], &Move::new()).err());
        }
        self.acts_for(before);
        refused
    }

    /// Servos that have a start-up position go there. Says whether all did.
    fn start_up(&mut self, config: &Config) -> bool {
        let (mut ids, mut refused) = (Vec::new(), false);
        let before = self.acts_for(Owner::StartUp);
        for (motor, angle) in self.start_ups(config) {
            match self.start_targets(&[(motor, angle)], &Move::new()) {
                Ok(id) => ids.push(id),
                Err(e) => {
                    log::error!("{e}");
                    refused = true;
                }
            }
        }
        self.acts_for(before);
        self.wait_all(&ids).iter().all(super::MoveOutcome::all_reached) && !refused
    }

    /// Servos with `on-stop = { park = ... }` go to their parking place, each alone.
    pub(super) fn park(&mut self, config: &Config) {
        let mut parks = Vec::new();
        for (motor, c) in config.motors.iter().enumerate() {
            if let Some(servo) = c.drive.servo()
                && let crate::config::ServoStop::Park(angle) = servo.on_stop
                && self.book.motors[motor].angle.or(self.book.motors[motor].left_at).is_some()
            {
                parks.push((motor, angle));
            }
        }
        // A first signal stops the program; parking belongs to the stop. A second one ends it.
        if parks.is_empty() || self.halt.is_set() {
            return;
        }
        let before = self.tell_book(|book| book.park_begins());
        let mut ids = Vec::new();
        for target in parks {
            match self.start_parking(target) {
                Ok(id) => ids.push(id),
                Err(e) => log::error!("{e}"),
            }
        }
        self.wait_all(&ids);
        self.tell_book(|book| book.park_ends(before));
    }

    /// Servos with the angle at which they begin.
    fn start_ups(&self, config: &Config) -> Vec<(MotorIndex, f64)> {
        let last = |name: &str| self.roster.restored.as_ref()?.get(name)?.angle;
        let of = |(motor, c): (MotorIndex, &MotorConfig)| match c.drive.servo()?.startup {
            Startup::Off => None,
            Startup::Centre => Some((motor, (c.travel.min + c.travel.max) / 2.0)),
            Startup::Angle(angle) => Some((motor, angle)),
            Startup::Last => Some((motor, last(&c.name)?)),
        };
        config.motors.iter().enumerate().filter_map(of).collect()
    }

    fn start_parking(&mut self, target: (MotorIndex, f64)) -> Result<MoveId, MoveError> {
        self.tell_book(|book| book.start_parking(target))
    }
}
