//! What a branch begins next.

use std::time::Duration;

use super::ahead::{Search, place};
use super::branch::{Branch, Pending};
use super::cursor::Here;
use super::host::{Allowance, Host};
use super::program::{At, motors_of};
use super::shapes::{keyframe_tracks, sweep_targets};
use crate::config::{Action, Arrive, MoveAction, Order};
use crate::motor::MotorIndex;
use crate::moves::{FramesPlan, Move, Start, nanos};
use crate::units::Instant;

/// A repetition that took no time at all pauses for this long, so that time passes.
const IDLE_TURN: Duration = Duration::from_millis(1);

/// A blended run is begun with so many places.
const FIRST_PLACES: u32 = 200;

/// A step that takes several moves.
pub(super) enum Doing {
    Sweep {
        at: At,
        next: u64,
        begun: Instant,
        /// The next target's time was waited for: the move before it was over in time.
        waited: bool,
    },
    OneByOne {
        at: At,
        next: usize,
    },
    /// Through the keyframes, once the motors are where the time line begins.
    Keyframes(At),
    /// Through keyframes that are planned.
    Frames(At, Box<FramesPlan>),
    /// Keyframes whose motors others have moved, before they began: anew.
    Anew(At),
    /// A blended run whose motors are looked for.
    Run(Box<Search>),
}

impl Branch {
    /// Begins what comes next. False: not in this turn.
    pub(super) fn go_on(&mut self, host: &mut dyn Host, allowance: &mut Allowance) -> bool {
        if self.has_to_wait(host) {
            return true;
        }
        if let Some(Doing::Run(search)) = &mut self.doing {
            let found = search.go_on(|| allowance.look()) && allowance.places(FIRST_PLACES);
            if !(found && allowance.step()) {
                return false;
            }
            // Now all of its motors are known.
            if self.has_to_wait(host) {
                return true;
            }
            if let Some(Doing::Run(search)) = self.doing.take() {
                self.start_run(host, *search);
            }
            return true;
        }
        if let Some(Doing::Frames(_, plan)) = &mut self.doing {
            let planned = host.plan_frames(plan, allowance.frames());
            if planned == Ok(false) || !allowance.step() {
                return false;
            }
            if let Some(Doing::Frames(_, plan)) = self.doing.take() {
                let started = planned.and_then(|_| host.start_frames(*plan));
                self.follow(started, None);
            }
            return true;
        }
        if !allowance.step() {
            return false;
        }
        if self.doing.is_some() {
            self.do_more(host);
            return true;
        }
        match self.cursor.here() {
            Here::Step(at) => {
                // A plan for each of its motors.
                if let Some(action) = self.cursor.program().move_at(at)
                    && action.arrive == Arrive::Asap
                {
                    allowance.more(action.targets.len().saturating_sub(1));
                }
                self.cursor.go_on();
                self.begin(at, host);
            }
            Here::Over { program } => {
                self.cursor.leave();
                if let Some(number) = program {
                    self.tell_end(host, number, self.cursor.is_over());
                }
            }
            Here::Turn => {
                // A turn that waited for nothing would be followed by the next one without end.
                if !self.cursor.begin_turn(Some(self.waits)) {
                    self.pending = Pending::Until(host.program_now() + IDLE_TURN);
                }
            }
            Here::LastTurn => self.cursor.leave(),
            Here::End => {}
        }
        true
    }

    /// Whether others have a motor of what it would begin next, since the program shares it: it waits for that.
    fn has_to_wait(&mut self, host: &dyn Host) -> bool {
        if !host.shares() {
            return false;
        }
        let next = self.next_motors();
        let Some(motor) = host.lacks(&next) else { return false };
        let motor = &self.cursor.program().config().motors[motor].name;
        log::info!("{} waits for {motor}, which it shares", self.rules().name);
        self.frames_anew();
        // What comes after the wait is no target that was met in time.
        if let Some(Doing::Sweep { waited, .. }) = &mut self.doing {
            *waited = false;
        }
        self.pending = Pending::Motors(next);
        true
    }

    /// Others may move the motors before its keyframes begin: where they will be then nobody knows.
    pub(super) fn frames_anew(&mut self) {
        if let Some(Doing::Keyframes(at) | Doing::Frames(at, _)) = self.doing {
            self.doing = Some(Doing::Anew(at));
        }
    }

    /// The motors of what it would begin next.
    fn next_motors(&self) -> Vec<MotorIndex> {
        let program = self.cursor.program();
        let mut motors = Vec::new();
        let of = |at: At, out: &mut Vec<MotorIndex>| {
            motors_of(&program.step(at).action, |motor| {
                if !out.contains(&motor) {
                    out.push(motor);
                }
            });
        };
        match &self.doing {
            Some(
                Doing::Sweep { at, .. }
                | Doing::Keyframes(at)
                | Doing::Frames(at, _)
                | Doing::Anew(at),
            ) => of(*at, &mut motors),
            Some(Doing::OneByOne { at, next }) => {
                let target = program.move_at(*at).and_then(|action| action.targets.get(*next));
                motors.extend(target.map(|t| t.motor));
            }
            Some(Doing::Run(search)) => motors.extend(search.motors()),
            None => {
                if let Here::Step(at) = self.cursor.here() {
                    let one_by_one =
                        program.move_at(at).is_some_and(|a| a.order == Order::OneByOne);
                    if !one_by_one {
                        of(at, &mut motors);
                    }
                }
            }
        }
        motors
    }

    /// The next move of the step that is being done.
    fn do_more(&mut self, host: &mut dyn Host) {
        let program = self.cursor.program().clone();
        match &mut self.doing {
            Some(Doing::Sweep { at, next, begun, waited }) => {
                let Action::Sweep(sweep) = &program.step(*at).action else { return };
                let Some(targets) = sweep_targets(sweep, *next) else {
                    self.doing = None;
                    return;
                };
                let now = host.program_now();
                let gone = Duration::from_nanos(nanos(sweep.every).saturating_mul(*next));
                let due = *begun + gone;
                if now < due {
                    self.pending = Pending::Until(due);
                    *waited = true;
                    return;
                }
                if !std::mem::take(waited) {
                    // The move before took longer: no two targets closer than `every` to make it up.
                    *begun = Instant::from_nanos(now.nanos_since(Instant::ZERO + gone));
                }
                *next += 1;
                self.start_move(host, &targets, &Move::new(), None);
            }
            Some(Doing::OneByOne { at, next }) => {
                let (at, action) = (*at, program.move_at(*at));
                let Some((action, target)) = action.and_then(|a| Some((a, a.targets.get(*next)?)))
                else {
                    self.doing = None;
                    return;
                };
                *next += 1;
                let spec = self.spec(action);
                self.start_move(host, &[(target.motor, target.position)], &spec, Some(at));
            }
            Some(Doing::Keyframes(at)) => {
                let at = *at;
                self.doing = None;
                let Action::Keyframes(frames) = &program.step(at).action else { return };
                match keyframe_tracks(frames, |motor| host.ready(motor)) {
                    Ok(tracks) => {
                        let plan = Box::new(FramesPlan::new(tracks));
                        self.doing = Some(Doing::Frames(at, plan));
                    }
                    Err(e) => self.follow(Err(e), None),
                }
            }
            Some(Doing::Anew(at)) => {
                let at = *at;
                self.begin_frames(host, at);
            }
            Some(Doing::Run(_) | Doing::Frames(..)) | None => {}
        }
    }

    /// Begins a step that the cursor has just passed. It is in those that run a program or repeat.
    fn begin(&mut self, at: At, host: &mut dyn Host) {
        let now = host.program_now();
        let program = self.cursor.program().clone();
        match &program.step(at).action {
            Action::Run(_) | Action::Repeat(..) => {}
            Action::Pause(pause) => {
                let until = now + pause.lasts;
                self.pending = match pause.share {
                    true => {
                        host.share(true);
                        Pending::Shared(until)
                    }
                    false => Pending::Until(until),
                };
            }
            Action::Move(action) if action.order == Order::OneByOne => {
                self.doing = Some(Doing::OneByOne { at, next: 0 });
            }
            Action::Move(action) => match Search::new(at, &self.cursor) {
                Some(search) => self.doing = Some(Doing::Run(Box::new(search))),
                None => self.start_alone(host, at, action),
            },
            Action::Sweep(_) => {
                self.doing = Some(Doing::Sweep { at, next: 0, begun: now, waited: false });
            }
            Action::Spin(spin) => {
                let speeds: Vec<_> =
                    spin.speeds.iter().map(|s| (s.motor, s.speed.as_percent())).collect();
                let started = host.start_spin(&speeds, spin.lasts);
                self.follow(started, None);
            }
            Action::WaitFor(wait) => match host.wait_for(&wait.events, wait.timeout) {
                Ok(id) => self.pending = Pending::Events(id, now + wait.timeout),
                Err(error) => {
                    self.complain(error.to_string());
                    self.fail(true);
                }
            },
            Action::Trigger(name) => host.happens(name.clone()),
            Action::Together(_) => {
                let home = self.home();
                let branches = program.lists_in(at).iter();
                let branches = branches.map(|&list| Branch::steps(&program, list, home));
                self.pending = Pending::Together(branches.collect(), 0);
            }
            Action::Keyframes(_) => self.begin_frames(host, at),
        }
    }

    /// Keyframes: first to where the time line begins, then along it.
    fn begin_frames(&mut self, host: &mut dyn Host, at: At) {
        self.doing = Some(Doing::Keyframes(at));
        let program = self.cursor.program().clone();
        let Action::Keyframes(frames) = &program.step(at).action else { return };
        if let Some(first) = frames.first().filter(|f| f.at.is_zero()) {
            let targets: Vec<_> = first.targets.iter().map(|t| (t.motor, t.position)).collect();
            self.start_move(host, &targets, &Move::new(), None);
        }
    }

    fn spec(&self, action: &MoveAction) -> Move {
        let timeout = action.timeout.or(self.rules().move_timeout);
        let spec = Move::new().arrive(action.arrive).speed(action.speed).on_fault(action.on_fault);
        timeout.into_iter().fold(spec, Move::timeout)
    }

    /// Starts a move that is one of its own.
    fn start_alone(&mut self, host: &mut dyn Host, at: At, action: &MoveAction) {
        let targets: Vec<_> = action.targets.iter().map(|t| (t.motor, t.position)).collect();
        let spec = self.spec(action);
        self.start_move(host, &targets, &spec, Some(at));
    }

    fn start_move(
        &mut self,
        host: &mut dyn Host,
        targets: &[(MotorIndex, f64)],
        spec: &Move,
        step: Option<At>,
    ) {
        let started = host.start_move(targets, spec);
        self.follow(started, step);
    }

    /// Starts a blended run whose motors have been found. Where a servo has no signal yet its first move is one of
    /// its own.
    fn start_run(&mut self, host: &mut dyn Host, search: Search) {
        let at = search.first();
        let program = self.cursor.program().clone();
        let Some(action) = program.move_at(at) else { return };
        let silent = |&m: &MotorIndex| matches!(host.ready(m), Ok(Start::Anywhere));
        if search.motors().iter().any(silent) {
            return self.start_alone(host, at, action);
        }
        let mut ahead = search.ahead();
        let mut places = vec![place(action)];
        while places.len() < FIRST_PLACES as usize
            && let Some(next) = ahead.next()
        {
            places.push(next);
        }
        let motors = ahead.motors().to_vec();
        let started = host.start_run(motors, &places, !ahead.over, action.on_fault);
        self.follow(started, Some(at));
        if let Pending::Move { ahead: slot, .. } = &mut self.pending {
            *slot = Some(ahead);
        }
    }
}
