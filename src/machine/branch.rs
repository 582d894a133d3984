//! Carries out the steps of a program: each branch is a stack of frames that is asked to go on whenever
//! something happened.

use std::time::Duration;

use super::ahead::{Ahead, place};
use super::{Cause, Machine, MotorOutcome, Move, MoveError, Outcome, Start};
use crate::config::{
    Action, Config, Keyframe, MoveAction, OnFailure, Order, ProgramConfig, StepConfig, SweepAction,
};
use crate::motor::{MotorIndex, MoveId};
use crate::moves::{keyframe_tracks, nanos, sweep_targets};
use crate::sync::WaitId;
use crate::units::Instant;

/// A repetition that took no time at all pauses for this long, so that time passes.
const IDLE_TURN: Duration = Duration::from_millis(1);

/// More complaints than this help nobody.
const MOST_COMPLAINTS: usize = 100;

/// A blended run is begun with so many places.
const FIRST_PLACES: usize = 200;

/// What a branch answers when it is asked to go on.
pub(super) enum Turn {
    /// Ask again when something happened, or at this instant.
    Wait(Instant),
    Done,
}

/// A place in a program.
#[derive(Clone, Debug)]
pub(super) enum Frame<'c> {
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
    /// An instant of the program's clock, which stands still while the machine is held.
    Until(Instant),
    /// A move, and the programs that run for motors that fell short, as their outcomes come.
    Move {
        id: MoveId,
        action: Option<&'c MoveAction>,
        /// The moves that follow it in a blended run.
        ahead: Option<Ahead<'c>>,
        rescues: Vec<Branch<'c>>,
        bad: bool,
    },
    Together(Vec<Branch<'c>>),
    /// Named events, up to an instant of the program's clock.
    Events(WaitId, Instant),
}

pub(super) struct Branch<'c> {
    frames: Vec<Frame<'c>>,
    pending: Pending<'c>,
    /// The program that the branch belongs to, for `on-failure` and `move-timeout`.
    home: &'c ProgramConfig,
    pub(super) failed: bool,
    /// Something failed that was not a stop.
    pub(super) genuine: bool,
    cancelled: bool,
    /// Motors that fell short and were not rescued.
    pub(super) shorts: Vec<MotorOutcome>,
    /// How often it had to wait for anything.
    waits: u64,
    /// It is the program itself: whoever runs it tells of its end.
    is_root: bool,
    /// What went wrong beside motors that fell short, in words.
    pub(super) complaints: Vec<String>,
}

impl<'c> Branch<'c> {
    pub(super) fn program(program: &'c ProgramConfig) -> Branch<'c> {
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
            is_root: false,
            complaints: Vec::new(),
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

    /// The branch of a program that is run by itself.
    pub(super) fn root(program: &'c ProgramConfig) -> Branch<'c> {
        Branch { is_root: true, ..Branch::program(program) }
    }

    fn complain(&mut self, what: String) {
        log::error!("{what}");
        if self.complaints.len() < MOST_COMPLAINTS {
            self.complaints.push(what);
        }
    }

    /// No further step; what moves comes to rest.
    pub(super) fn cancel(&mut self, machine: &mut Machine) {
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
            Pending::Events(id, _) => {
                machine.cancel_wait(*id);
                self.pending = Pending::Nothing;
            }
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

    pub(super) fn poll(&mut self, machine: &mut Machine, config: &'c Config) -> Turn {
        loop {
            if let Some(until) = self.wait(machine, config) {
                self.waits += 1;
                return Turn::Wait(until);
            }
            if self.frames.is_empty() {
                return Turn::Done;
            }
            if machine.is_program_held() {
                // The next step waits for the resume.
                self.waits += 1;
                return Turn::Wait(Instant::FAR);
            }
            self.go_on(machine, config);
        }
    }

    /// Looks after what is under way. `None`: nothing is.
    fn wait(&mut self, machine: &mut Machine, config: &'c Config) -> Option<Instant> {
        match &mut self.pending {
            Pending::Nothing => None,
            Pending::Until(at) if machine.program_now() < *at => Some(machine.machine_time_of(*at)),
            Pending::Until(_) => {
                self.pending = Pending::Nothing;
                None
            }
            Pending::Together(_) => self.wait_together(machine, config),
            Pending::Events(id, until) => {
                let until = machine.machine_time_of(*until);
                let Some(came) = machine.waited(*id, until) else { return Some(until) };
                self.pending = Pending::Nothing;
                if let Err(error) = came {
                    self.complain(error.to_string());
                    self.fail(true);
                }
                None
            }
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
            self.complaints.append(&mut branch.complaints);
        }
        self.pending = Pending::Nothing;
        if failed {
            self.fail(genuine);
        }
        None
    }

    fn wait_move(&mut self, machine: &mut Machine, config: &'c Config) -> Option<Instant> {
        let cancelled = self.cancelled;
        let Pending::Move { id, action, ahead, rescues, bad } = &mut self.pending else {
            return None;
        };
        if let Some(ahead) = ahead {
            lead_on(ahead, *id, machine, config);
        }
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
            self.complaints.append(&mut rescue.complaints);
        }
        let ahead = ahead.take();
        self.pending = Pending::Nothing;
        if let Some(ahead) = ahead.filter(|_| !self.cancelled) {
            self.frames = ahead.frames;
        }
        if bad {
            self.fail(false);
        }
        None
    }

    /// Begins what comes next.
    fn go_on(&mut self, machine: &mut Machine, config: &'c Config) {
        let now = machine.program_now();
        let Some(frame) = self.frames.last_mut() else { return };
        match frame {
            Frame::Steps { steps, next, .. } => match steps.get(*next) {
                None => {
                    let ended = self.frames.pop();
                    if let Some(Frame::Steps { program: Some(program), .. }) = ended
                        && !(self.is_root && self.frames.is_empty())
                    {
                        let name = format!("program.{}.done", program.name);
                        machine.happens(name, "null".to_owned());
                    }
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
        let now = machine.program_now();
        match action {
            Action::Pause(duration) => self.pending = Pending::Until(now + *duration),
            Action::Move(action) if action.order == Order::OneByOne => {
                self.frames.push(Frame::OneByOne { action, next: 0 });
            }
            Action::Move(action)
                if action.blend.is_some() && self.start_run(machine, config, action) => {}
            Action::Move(action) => {
                let targets: Vec<_> =
                    action.targets.iter().map(|t| (t.motor, t.position)).collect();
                let spec = self.spec(action);
                self.start_move(machine, &targets, &spec, Some(action));
            }
            Action::Sweep(sweep) => {
                self.frames.push(Frame::Sweep { sweep, next: 0, begun: now, waited: false });
            }
            Action::WaitFor(wait) => match machine.wait_for(&wait.events, wait.timeout) {
                Ok(id) => self.pending = Pending::Events(id, now + wait.timeout),
                Err(error) => {
                    self.complain(error.to_string());
                    self.fail(true);
                }
            },
            Action::Trigger(name) => machine.happens(name.clone(), "null".to_owned()),
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

    /// Starts a blended run with this move. False: a servo has no signal yet, or there are too many
    /// motors, so that the move is one of its own.
    fn start_run(
        &mut self,
        machine: &mut Machine,
        config: &'c Config,
        action: &'c MoveAction,
    ) -> bool {
        let Some(mut ahead) = Ahead::of(action, &self.frames, config) else { return false };
        let motors = ahead.motors().to_vec();
        let silent = |&m: &MotorIndex| matches!(machine.ready(m), Ok(Start::Anywhere));
        if motors.iter().any(silent) {
            return false;
        }
        let mut places = vec![place(action)];
        while places.len() < FIRST_PLACES
            && let Some(next) = ahead.next(config)
        {
            places.push(place(next));
        }
        let started = machine.start_run(motors, &places, !ahead.over, action.on_fault);
        self.follow(started, Some(action));
        if let Pending::Move { ahead: slot, .. } = &mut self.pending {
            *slot = Some(ahead);
        }
        true
    }

    fn start_keyframes(&mut self, machine: &mut Machine, frames: &[Keyframe]) {
        let started = keyframe_tracks(frames, |motor| machine.ready(motor))
            .and_then(|tracks| machine.start_keyframes(&tracks));
        self.follow(started, None);
    }

    fn follow(&mut self, started: Result<MoveId, MoveError>, action: Option<&'c MoveAction>) {
        match started {
            Ok(id) => {
                let (ahead, rescues, bad) = (None, Vec::new(), false);
                self.pending = Pending::Move { id, action, ahead, rescues, bad };
            }
            Err(MoveError::Stopped) => self.fail(false),
            Err(e) => {
                self.complain(e.to_string());
                self.fail(true);
            }
        }
    }
}

/// Gives a blended run the places that it wants.
fn lead_on<'c>(ahead: &mut Ahead<'c>, id: MoveId, machine: &mut Machine, config: &'c Config) {
    while !ahead.over && machine.path_wants(id) {
        let added = match ahead.next(config) {
            Some(next) => machine.extend_run(id, &[place(next)]),
            None => Ok(()),
        };
        if let Err(e) = added {
            log::error!("{e}");
            machine.stop_move(id);
            ahead.over = true;
        }
        if ahead.over {
            // It may be over already: stopped, or by a fault.
            let _ = machine.end_path(id);
        }
    }
}
