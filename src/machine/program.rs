//! Carries out a config's programs: each branch is a stack of frames that is asked to go on whenever
//! something happened.

use std::time::Duration;

use super::outcome::{Cause, MotorOutcome};
use super::plan::Start;
use super::report::{RunReport, RunResult};
use super::spec::Move;
use super::{Machine, MachineError, MoveError, Outcome};
use crate::config::{
    Action, Arrive, Config, Drive, Keyframe, MoveAction, OnFailure, OnFault, Order, ProgramConfig,
    Startup, StepConfig, SweepAction,
};
use crate::motor::{MotorIndex, MoveId};
use crate::units::Instant;

/// A repetition that took no time at all pauses for this long, so that time passes.
const IDLE_TURN: Duration = Duration::from_millis(1);

/// What a run tells while it goes on.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Time since the run began.
    pub elapsed: Duration,
    /// Moves started so far.
    pub moves: u64,
}

/// How a program is run.
#[derive(Default)]
pub struct RunOptions<'a> {
    /// Ends the run after this long, in good order; the result is still `done`.
    pub duration: Option<Duration>,
    /// Called about ten times a second with how far the run is. It must return at once.
    pub progress: Option<&'a mut dyn FnMut(&Machine, &Progress)>,
}

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
        if self.finished {
            return Err(MoveError::Finished.into());
        }
        let config = self.config.clone();
        let program = choose_program(&config, program)?;
        let problems = super::preflight(&config, &program.name).problems;
        if let Some(first) = problems.first() {
            return Err(MachineError::Preflight(first.error.to_string()));
        }
        if self.is_hardware() {
            self.refuse_unknown_places(&config, program)?;
        }
        let begun = self.now();
        let end = options.duration.map_or(Instant::FAR, |d| begun + d);
        let mut failed = !self.start_up(&config);
        let mut root = Branch::program(program);
        let mut timed_out = false;
        let mut told = begun;
        while !failed {
            if self.is_stopped() {
                root.cancel(self);
            } else if self.now() >= end && !timed_out {
                timed_out = true;
                root.cancel(self);
            }
            let next = match root.poll(self, &config) {
                Turn::Done => break,
                Turn::Wait(until) => until,
            };
            let limit = if timed_out { Instant::FAR } else { end };
            let mut until = next.min(limit);
            if let Some(progress) = &mut options.progress {
                if self.now() >= told + PROGRESS_EVERY {
                    told = self.now();
                    let elapsed = told.since(begun);
                    progress(self, &Progress { elapsed, moves: self.next_move - 1 });
                }
                until = until.min(told + PROGRESS_EVERY);
            }
            self.pump(until);
        }
        failed |= root.failed;
        self.settle();
        // A driver may fail at rest, too. What fell short because it was told to end has not failed.
        let faulty = self.motors.iter().any(|m| m.fault.is_some());
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
        Ok(self.report(&program.name, result, ended.since(begun), &root.shorts, left))
    }

    /// On hardware, a program that would move an axis whose place nobody knows is refused before its
    /// first move.
    fn refuse_unknown_places(
        &self,
        config: &Config,
        program: &ProgramConfig,
    ) -> Result<(), MachineError> {
        let uses = super::preflight(config, &program.name).motors;
        for motor in uses {
            // A servo goes to an angle from anywhere.
            let has_place = self.models[motor].steps.is_some();
            if has_place && self.motors[motor].place == super::Place::Unknown {
                let motor = self.models[motor].name.clone();
                return Err(MoveError::UnknownPlace { motor }.into());
            }
        }
        Ok(())
    }

    /// Servos that have a start-up position go there. Says whether all did.
    fn start_up(&mut self, config: &Config) -> bool {
        let (mut ids, mut refused) = (Vec::new(), false);
        for (motor, c) in config.motors.iter().enumerate() {
            let Drive::Servo(servo) = &c.drive else { continue };
            let angle = match servo.startup {
                Startup::Off => continue,
                Startup::Centre => (c.travel.min + c.travel.max) / 2.0,
                Startup::Angle(angle) => angle,
            };
            match self.start_targets(&[(motor, angle)], &Move::new()) {
                Ok(id) => ids.push(id),
                Err(e) => {
                    log::error!("{e}");
                    refused = true;
                }
            }
        }
        self.wait_all(&ids).iter().all(super::MoveOutcome::all_reached) && !refused
    }

    /// Servos with `on-stop = { park = ... }` go to their parking place, each alone.
    pub(super) fn park(&mut self, config: &Config) {
        let mut parks = Vec::new();
        for (motor, c) in config.motors.iter().enumerate() {
            if let Drive::Servo(servo) = &c.drive
                && let crate::config::ServoStop::Park(angle) = servo.on_stop
                && self.motors[motor].angle.is_some()
            {
                parks.push((motor, angle));
            }
        }
        // A first signal stops the program; parking belongs to the stop. A second one ends it.
        if parks.is_empty() || self.halt.is_set() {
            return;
        }
        let heed = std::mem::replace(&mut self.heed, crate::runtime::Heed::Halt);
        let mut ids = Vec::new();
        for target in parks {
            match self.start_parking(target) {
                Ok(id) => ids.push(id),
                Err(e) => log::error!("{e}"),
            }
        }
        self.wait_all(&ids);
        if self.heed != crate::runtime::Heed::Nothing {
            self.heed = heed;
        }
    }

    fn start_parking(&mut self, target: (MotorIndex, f64)) -> Result<MoveId, MoveError> {
        let start = self.ready(target.0)?;
        let targets = [(target.0, target.1, start)];
        let (models, planner) = (&self.models, &mut self.planner);
        let planned = super::plan::plan_move(planner, models, &targets, Arrive::Asap, 1.0)?;
        self.launch_even_stopped(planned, None, OnFault::Continue)
    }
}

/// The program of that name, or without one the config's start program.
///
/// # Errors
///
/// There is none; the error names those that there are.
pub fn choose_program<'c>(
    config: &'c Config,
    program: Option<&str>,
) -> Result<&'c ProgramConfig, MachineError> {
    let names: Vec<_> = config.programs.iter().map(|p| p.name.as_str()).collect();
    let known = match names.as_slice() {
        [] => "the config has no programs".to_string(),
        [name] => format!("the only program is {name}"),
        names => format!("the programs are {}", names.join(", ")),
    };
    let Some(name) = program.or(config.machine.start_program.as_deref()) else {
        return Err(MachineError::NoProgram { known });
    };
    let unknown = || MachineError::UnknownProgram { name: name.to_string(), known };
    config.program(name).ok_or_else(unknown)
}

/// What a branch answers when it is asked to go on.
enum Turn {
    /// Ask again when something happened, or at this instant.
    Wait(Instant),
    Done,
}

enum Frame<'c> {
    /// A program's steps, or those of a branch; `on_failure` ends with it where it is a program.
    Steps {
        steps: &'c [StepConfig],
        next: usize,
        program: Option<&'c ProgramConfig>,
    },
    Repeat {
        steps: &'c [StepConfig],
        left: Option<u32>,
        /// How many waits the branch had had when the turn began; `None` before the first.
        turn_began: Option<u64>,
    },
    Sweep {
        sweep: &'c SweepAction,
        next: u64,
        begun: Instant,
        /// The next target's time was waited for: the move before it was over in time.
        waited: bool,
    },
    OneByOne {
        action: &'c MoveAction,
        next: usize,
    },
    Keyframes {
        frames: &'c [Keyframe],
    },
}

enum Pending<'c> {
    Nothing,
    Until(Instant),
    /// A move, and the programs that run for motors that fell short, as their outcomes come.
    Move {
        id: MoveId,
        action: Option<&'c MoveAction>,
        rescues: Vec<Branch<'c>>,
        bad: bool,
    },
    Together(Vec<Branch<'c>>),
}

struct Branch<'c> {
    frames: Vec<Frame<'c>>,
    pending: Pending<'c>,
    /// The program that the branch belongs to, for `on-failure` and `move-timeout`.
    home: &'c ProgramConfig,
    failed: bool,
    /// Something failed that was not a stop.
    genuine: bool,
    cancelled: bool,
    /// Motors that fell short and were not rescued.
    shorts: Vec<MotorOutcome>,
    /// How often it had to wait for anything.
    waits: u64,
}

impl<'c> Branch<'c> {
    fn program(program: &'c ProgramConfig) -> Branch<'c> {
        let mut branch = Branch::steps(&program.steps, program);
        branch.frames =
            vec![Frame::Steps { steps: &program.steps, next: 0, program: Some(program) }];
        branch
    }

    fn steps(steps: &'c [StepConfig], home: &'c ProgramConfig) -> Branch<'c> {
        Branch {
            frames: vec![Frame::Steps { steps, next: 0, program: None }],
            pending: Pending::Nothing,
            home,
            failed: false,
            genuine: false,
            cancelled: false,
            shorts: Vec::new(),
            waits: 0,
        }
    }

    /// The program whose rules hold now.
    fn rules(&self) -> &'c ProgramConfig {
        let innermost = self.frames.iter().rev().find_map(|f| match f {
            Frame::Steps { program, .. } => *program,
            _ => None,
        });
        innermost.unwrap_or(self.home)
    }

    /// No further step; what moves comes to rest.
    fn cancel(&mut self, machine: &mut Machine) {
        if std::mem::replace(&mut self.cancelled, true) {
            return;
        }
        self.frames.clear();
        match &mut self.pending {
            Pending::Nothing => {}
            Pending::Until(_) => self.pending = Pending::Nothing,
            Pending::Move { id, rescues, .. } => {
                machine.stop_move(*id);
                rescues.iter_mut().for_each(|b| b.cancel(machine));
            }
            Pending::Together(branches) => branches.iter_mut().for_each(|b| b.cancel(machine)),
        }
    }

    /// A step failed: by its program's `on-failure` the branch goes on, or leaves that program, which
    /// then is a failed step of the one that ran it.
    fn fail(&mut self, genuine: bool) {
        self.failed = true;
        self.genuine |= genuine;
        loop {
            if self.rules().on_failure == OnFailure::Continue && !self.cancelled {
                return;
            }
            while let Some(frame) = self.frames.pop() {
                if matches!(frame, Frame::Steps { program: Some(_), .. }) {
                    break;
                }
            }
            if self.frames.is_empty() {
                return;
            }
        }
    }

    fn poll(&mut self, machine: &mut Machine, config: &'c Config) -> Turn {
        loop {
            if let Some(until) = self.wait(machine, config) {
                self.waits += 1;
                return Turn::Wait(until);
            }
            if self.frames.is_empty() {
                return Turn::Done;
            }
            self.go_on(machine, config);
        }
    }

    /// Looks after what is under way. `None`: nothing is.
    fn wait(&mut self, machine: &mut Machine, config: &'c Config) -> Option<Instant> {
        match &mut self.pending {
            Pending::Nothing => None,
            Pending::Until(at) if machine.now() < *at => Some(*at),
            Pending::Until(_) => {
                self.pending = Pending::Nothing;
                None
            }
            Pending::Together(_) => self.wait_together(machine, config),
            Pending::Move { .. } => self.wait_move(machine, config),
        }
    }

    fn wait_together(&mut self, machine: &mut Machine, config: &'c Config) -> Option<Instant> {
        let stop = self.rules().on_failure == OnFailure::Stop;
        let Pending::Together(branches) = &mut self.pending else { return None };
        let until = loop {
            let mut until = None::<Instant>;
            let mut any_failed = false;
            for branch in branches.iter_mut() {
                match branch.poll(machine, config) {
                    Turn::Wait(at) => until = Some(until.map_or(at, |u| u.min(at))),
                    Turn::Done => any_failed |= branch.failed,
                }
            }
            // One failed: the others stop, and are asked once more.
            let others = branches.iter().any(|b| !b.cancelled && !b.frames.is_empty());
            if any_failed && stop && others {
                branches.iter_mut().for_each(|b| b.cancel(machine));
                continue;
            }
            break until;
        };
        if until.is_some() {
            return until;
        }
        let (mut failed, mut genuine) = (false, false);
        for branch in branches {
            failed |= branch.failed;
            genuine |= branch.genuine;
            self.shorts.append(&mut branch.shorts);
        }
        self.pending = Pending::Nothing;
        if failed {
            self.fail(genuine);
        }
        None
    }

    fn wait_move(&mut self, machine: &mut Machine, config: &'c Config) -> Option<Instant> {
        let cancelled = self.cancelled;
        let Pending::Move { id, action, rescues, bad } = &mut self.pending else { return None };
        let mut until = Instant::FAR;
        while let Some(done) = machine.take_outcome(*id) {
            let Outcome::Short { cause, .. } = &done.outcome else { continue };
            match cause {
                // Asked for, or said before.
                Cause::Stopped | Cause::Fault(_) | Cause::Late => {
                    log::info!("{} fell short: {cause}", done.motor);
                }
                _ => log::warn!("{} fell short: {cause}", done.motor),
            }
            let rescue = action.and_then(|a| {
                let motor = config.motor_index(&done.motor)?;
                a.on_short.iter().find(|r| r.0 == motor).map(|r| r.1)
            });
            match rescue {
                Some(program) if !cancelled && !machine.is_stopped() => {
                    rescues.push(Branch::program(&config.programs[program]));
                }
                _ => {
                    // What a branch that is told to end leaves undone is no failure of its own.
                    *bad |= !(cancelled && cause.is_stop());
                    self.genuine |= !cause.is_stop();
                    self.shorts.push(done);
                }
            }
        }
        let mut running = machine.is_active(*id);
        for rescue in rescues.iter_mut() {
            if let Turn::Wait(at) = rescue.poll(machine, config) {
                running = true;
                until = until.min(at);
            }
        }
        if running {
            return Some(until);
        }
        let mut bad = *bad;
        for rescue in rescues {
            bad |= rescue.failed;
            self.genuine |= rescue.genuine;
            self.shorts.append(&mut rescue.shorts);
        }
        self.pending = Pending::Nothing;
        if bad {
            self.fail(false);
        }
        None
    }

    /// Begins what comes next.
    fn go_on(&mut self, machine: &mut Machine, config: &'c Config) {
        let now = machine.now();
        let Some(frame) = self.frames.last_mut() else { return };
        match frame {
            Frame::Steps { steps, next, .. } => match steps.get(*next) {
                None => {
                    self.frames.pop();
                }
                Some(step) => {
                    *next += 1;
                    self.begin(&step.action, machine, config);
                }
            },
            Frame::Repeat { steps, left, turn_began } => {
                if *left == Some(0) {
                    self.frames.pop();
                    return;
                }
                // A turn that waited for nothing would be followed by the next one without end.
                if turn_began.replace(self.waits) == Some(self.waits) {
                    self.pending = Pending::Until(now + IDLE_TURN);
                    return;
                }
                *left = left.map(|n| n - 1);
                let steps = *steps;
                self.frames.push(Frame::Steps { steps, next: 0, program: None });
            }
            Frame::Sweep { sweep, next, begun, waited } => {
                let gone = Duration::from_nanos(nanos(sweep.every).saturating_mul(*next));
                let at = *begun + gone;
                let Some(targets) = sweep_targets(sweep, *next) else {
                    self.frames.pop();
                    return;
                };
                if now < at {
                    self.pending = Pending::Until(at);
                    *waited = true;
                    return;
                }
                if !std::mem::take(waited) {
                    // The move before took longer: no two targets closer than `every` to make it up.
                    *begun = Instant::from_nanos(now.nanos_since(Instant::ZERO + gone));
                }
                *next += 1;
                self.start_move(machine, &targets, &Move::new(), None);
            }
            Frame::OneByOne { action, next } => {
                let Some(target) = action.targets.get(*next) else {
                    self.frames.pop();
                    return;
                };
                *next += 1;
                let action = *action;
                let spec = self.spec(action);
                self.start_move(machine, &[(target.motor, target.position)], &spec, Some(action));
            }
            Frame::Keyframes { frames } => {
                let frames = *frames;
                self.frames.pop();
                self.start_keyframes(machine, frames);
            }
        }
    }

    fn begin(&mut self, action: &'c Action, machine: &mut Machine, config: &'c Config) {
        let now = machine.now();
        match action {
            Action::Pause(duration) => self.pending = Pending::Until(now + *duration),
            Action::Move(action) if action.order == Order::OneByOne => {
                self.frames.push(Frame::OneByOne { action, next: 0 });
            }
            Action::Move(action) => {
                let targets: Vec<_> =
                    action.targets.iter().map(|t| (t.motor, t.position)).collect();
                let spec = self.spec(action);
                self.start_move(machine, &targets, &spec, Some(action));
            }
            Action::Sweep(sweep) => {
                self.frames.push(Frame::Sweep { sweep, next: 0, begun: now, waited: false });
            }
            Action::Repeat(left, steps) => {
                self.frames.push(Frame::Repeat { steps, left: *left, turn_began: None });
            }
            Action::Run(program) => {
                let program = &config.programs[*program];
                let steps = &program.steps;
                self.frames.push(Frame::Steps { steps, next: 0, program: Some(program) });
            }
            Action::Together(branches) => {
                let home = self.rules();
                let branches = branches.iter().map(|b| Branch::steps(b, home)).collect();
                self.pending = Pending::Together(branches);
            }
            Action::Keyframes(frames) => {
                // First to where the time line begins, then along it.
                self.frames.push(Frame::Keyframes { frames });
                let first = frames.first().filter(|f| f.at.is_zero());
                if let Some(first) = first {
                    let targets: Vec<_> =
                        first.targets.iter().map(|t| (t.motor, t.position)).collect();
                    self.start_move(machine, &targets, &Move::new(), None);
                }
            }
        }
    }

    fn spec(&self, action: &MoveAction) -> Move {
        let timeout = action.timeout.or(self.rules().move_timeout);
        let spec = Move::new().arrive(action.arrive).speed(action.speed).on_fault(action.on_fault);
        timeout.into_iter().fold(spec, Move::timeout)
    }

    fn start_move(
        &mut self,
        machine: &mut Machine,
        targets: &[(MotorIndex, f64)],
        spec: &Move,
        action: Option<&'c MoveAction>,
    ) {
        let started = machine.start_targets(targets, spec);
        self.follow(started, action);
    }

    fn start_keyframes(&mut self, machine: &mut Machine, frames: &[Keyframe]) {
        let started = keyframe_tracks(frames, |motor| machine.ready(motor)).and_then(|tracks| {
            let (models, planner) = (&machine.models, &mut machine.planner);
            let planned = super::plan::plan_keyframes(planner, models, &tracks)?;
            machine.launch(planned, None, OnFault::Stop)
        });
        self.follow(started, None);
    }

    fn follow(&mut self, started: Result<MoveId, MoveError>, action: Option<&'c MoveAction>) {
        match started {
            Ok(id) => {
                self.pending = Pending::Move { id, action, rescues: Vec::new(), bad: false };
            }
            Err(MoveError::Stopped) => self.fail(false),
            Err(e) => {
                log::error!("{e}");
                self.fail(true);
            }
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// How many steps a sweep takes from one end to the other.
pub(super) fn sweep_length(sweep: &SweepAction) -> u64 {
    let of = |m: &crate::config::SweepMotor| {
        // A step that does not fit exactly leaves a shorter last one; rounding leaves none.
        ((m.to - m.from).abs() / m.step - 1e-9).ceil().max(1.0) as u64
    };
    sweep.motors.iter().map(of).max().unwrap_or(1)
}

/// The targets of a sweep's move number `index`: 0 goes to where it begins, then there and back.
pub(super) fn sweep_targets(sweep: &SweepAction, index: u64) -> Option<Vec<(MotorIndex, f64)>> {
    let length = sweep_length(sweep);
    if sweep.times.is_some_and(|times| index > 2 * length * u64::from(times)) {
        return None;
    }
    let phase = index % (2 * length);
    let k = phase.min(2 * length - phase) as f64;
    let target = |m: &crate::config::SweepMotor| {
        let way = m.to - m.from;
        let gone = (k * m.step).min(way.abs());
        (m.motor, m.from + gone * way.signum())
    };
    Some(sweep.motors.iter().map(target).collect())
}

/// A motor with where it starts and its own keyframes: (time in nanoseconds, position).
type Track = (MotorIndex, Start, Vec<(u64, f64)>);

/// Each motor's own track through the keyframes.
pub(super) fn keyframe_tracks(
    frames: &[Keyframe],
    mut start: impl FnMut(MotorIndex) -> Result<Start, MoveError>,
) -> Result<Vec<Track>, MoveError> {
    let mut tracks: Vec<Track> = Vec::new();
    for frame in frames {
        for target in &frame.targets {
            let at = (nanos(frame.at), target.position);
            match tracks.iter_mut().find(|t| t.0 == target.motor) {
                Some(track) => track.2.push(at),
                None => tracks.push((target.motor, start(target.motor)?, vec![at])),
            }
        }
    }
    Ok(tracks)
}
