//! Carries out the steps of a program: each branch has a cursor, and is asked to go on whenever something
//! happened.

use std::collections::BTreeSet;
use std::time::Duration;

use super::ahead::Ahead;
use super::begin::Doing;
use super::cursor::Cursor;
use super::host::{Allowance, Host};
use super::program::{At, ListId, Program};
use crate::config::{OnFailure, ProgramConfig};
use crate::motor::{MotorIndex, MoveId};
use crate::moves::{Cause, MotorOutcome, MoveError, Outcome};
use crate::sync::WaitId;
use crate::units::Instant;

/// How soon a program looks again whether it has the motors that it waits for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// More complaints than this help nobody.
const MOST_COMPLAINTS: usize = 100;

/// What a branch answers when it is asked to go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    /// Ask again when something happened, or at this instant.
    Wait(Instant),
    /// There is more to do at once, but not in this turn.
    Again,
    Done,
}

/// What a branch has begun and waits for.
pub(super) enum Pending {
    Nothing,
    /// An instant of the program's clock, which stands still while the machine is held.
    Until(Instant),
    /// The same, while others may have the program's motors.
    Shared(Instant),
    /// Motors that others have, which the program shared with them.
    Motors(Vec<MotorIndex>),
    /// A move, and the programs that run for motors that fell short, as their outcomes come.
    Move {
        id: MoveId,
        step: Option<At>,
        /// The moves that follow it in a blended run.
        ahead: Option<Ahead>,
        rescues: Vec<Branch>,
        bad: bool,
    },
    /// Branches side by side, and whose turn comes first.
    Together(Vec<Branch>, usize),
    /// Named events, up to an instant of the program's clock.
    Events(WaitId, Instant),
}

/// What the wait of a branch has come to.
enum Wait {
    /// There is none.
    Over,
    Until(Instant),
    /// There is more to do at once, but not in this turn.
    Spent,
}

/// Steps that are carried out one after another.
pub(crate) struct Branch {
    pub(super) cursor: Cursor,
    /// The step that the cursor has passed and that takes several moves.
    pub(super) doing: Option<Doing>,
    pub(super) pending: Pending,
    /// The program that the branch belongs to, for `on-failure` and `move-timeout`.
    home: usize,
    pub failed: bool,
    /// Something failed that was not a stop.
    pub genuine: bool,
    cancelled: bool,
    /// Motors that fell short and were not rescued.
    pub shorts: Vec<MotorOutcome>,
    /// How often it had to wait for anything.
    pub(super) waits: u64,
    /// It is the program itself: whoever runs it tells of its end.
    pub(super) is_root: bool,
    /// What went wrong beside motors that fell short, in words.
    pub complaints: Vec<String>,
}

impl Branch {
    fn new(cursor: Cursor, home: usize) -> Branch {
        Branch {
            cursor,
            doing: None,
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

    /// A program that a step runs by the way, by its number in the config.
    fn program(program: &Program, number: usize) -> Branch {
        Branch::new(Cursor::at_program(program, number), number)
    }

    /// A branch of a step, under the rules of the program that the step stands in.
    pub(super) fn steps(program: &Program, list: ListId, home: usize) -> Branch {
        Branch::new(Cursor::at_list(program, list), home)
    }

    /// A program that is run by itself.
    pub fn root(program: &Program) -> Branch {
        Branch { is_root: true, ..Branch::program(program, program.number()) }
    }

    /// The number of the program whose rules hold now.
    pub(super) fn home(&self) -> usize {
        let program = self.cursor.program();
        self.cursor.list().map_or(self.home, |list| program.home(list))
    }

    /// The program whose rules hold now.
    pub(super) fn rules(&self) -> &ProgramConfig {
        &self.cursor.program().config().programs[self.home()]
    }

    pub(super) fn complain(&mut self, what: String) {
        log::error!("{what}");
        if self.complaints.len() < MOST_COMPLAINTS {
            self.complaints.push(what);
        }
    }

    fn is_over(&self) -> bool {
        self.cursor.is_over() && self.doing.is_none()
    }

    /// No further step; what moves comes to rest.
    pub fn cancel(&mut self, host: &mut dyn Host) {
        if std::mem::replace(&mut self.cancelled, true) {
            return;
        }
        self.cursor.end();
        self.doing = None;
        match &mut self.pending {
            Pending::Nothing => {}
            Pending::Until(_) | Pending::Motors(_) => self.pending = Pending::Nothing,
            Pending::Shared(_) => {
                host.share(false);
                self.pending = Pending::Nothing;
            }
            Pending::Move { id, rescues, .. } => {
                host.stop_move(*id);
                rescues.iter_mut().for_each(|b| b.cancel(host));
            }
            Pending::Together(branches, _) => branches.iter_mut().for_each(|b| b.cancel(host)),
            Pending::Events(id, _) => {
                host.cancel_wait(*id);
                self.pending = Pending::Nothing;
            }
        }
    }

    /// A step failed: by its program's `on-failure` the branch goes on, or leaves that program, which
    /// then is a failed step of the one that ran it.
    pub(super) fn fail(&mut self, genuine: bool) {
        self.failed = true;
        self.genuine |= genuine;
        loop {
            if self.rules().on_failure == OnFailure::Continue && !self.cancelled {
                return;
            }
            self.cursor.leave_program();
            self.doing = None;
            if self.cursor.is_over() {
                return;
            }
        }
    }

    /// Goes on as far as it can, and may in this turn.
    pub fn poll(&mut self, host: &mut dyn Host, allowance: &mut Allowance) -> Turn {
        loop {
            match self.wait(host, allowance) {
                Wait::Until(until) => {
                    self.waits += 1;
                    return Turn::Wait(until);
                }
                Wait::Spent => return Turn::Again,
                Wait::Over => {}
            }
            if self.is_over() {
                return Turn::Done;
            }
            if host.is_held() {
                // The next step waits for the resume.
                if host.shares() {
                    self.frames_anew();
                }
                self.waits += 1;
                return Turn::Wait(Instant::FAR);
            }
            if !self.go_on(host, allowance) {
                return Turn::Again;
            }
        }
    }

    /// Looks after what is under way.
    fn wait(&mut self, host: &mut dyn Host, allowance: &mut Allowance) -> Wait {
        match &mut self.pending {
            Pending::Nothing => Wait::Over,
            Pending::Until(at) | Pending::Shared(at) if host.program_now() < *at => {
                Wait::Until(host.machine_time_of(*at))
            }
            // That another program gives one back happens without a word.
            Pending::Motors(motors) if host.lacks(motors).is_some() => {
                Wait::Until(host.now() + LOOK_AGAIN)
            }
            Pending::Until(_) | Pending::Motors(_) => {
                self.pending = Pending::Nothing;
                Wait::Over
            }
            Pending::Shared(_) => {
                host.share(false);
                self.pending = Pending::Nothing;
                Wait::Over
            }
            Pending::Together(..) => self.wait_together(host, allowance),
            Pending::Events(id, until) => {
                let until = host.machine_time_of(*until);
                let Some(came) = host.waited(*id, until) else { return Wait::Until(until) };
                self.pending = Pending::Nothing;
                if let Err(error) = came {
                    self.complain(error.to_string());
                    self.fail(true);
                }
                Wait::Over
            }
            Pending::Move { .. } => self.wait_move(host, allowance),
        }
    }

    fn wait_together(&mut self, host: &mut dyn Host, allowance: &mut Allowance) -> Wait {
        let stop = self.rules().on_failure == OnFailure::Stop;
        let Pending::Together(branches, first) = &mut self.pending else { return Wait::Over };
        let until = loop {
            let mut until = None::<Instant>;
            let (mut any_failed, mut spent) = (false, None);
            for number in in_turn(*first, branches.len()) {
                let branch = &mut branches[number];
                match branch.poll(host, allowance) {
                    Turn::Wait(at) => until = Some(until.map_or(at, |u| u.min(at))),
                    Turn::Again => _ = spent.get_or_insert(number),
                    Turn::Done => any_failed |= branch.failed,
                }
            }
            // One failed: the others stop, and are asked once more.
            let others = branches.iter().any(|b| !b.cancelled && !b.is_over());
            if any_failed && stop && others {
                branches.iter_mut().for_each(|b| b.cancel(host));
                continue;
            }
            // Who took the last of what there was comes last in the next turn.
            *first = spent.map_or(0, |number| number + 1);
            if spent.is_some() {
                return Wait::Spent;
            }
            break until;
        };
        if let Some(until) = until {
            return Wait::Until(until);
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
        Wait::Over
    }

    fn wait_move(&mut self, host: &mut dyn Host, allowance: &mut Allowance) -> Wait {
        let cancelled = self.cancelled;
        let program = self.cursor.program();
        let Pending::Move { id, step, ahead, rescues, bad } = &mut self.pending else {
            return Wait::Over;
        };
        let mut until = Instant::FAR;
        if let Some(ahead) = ahead
            && !lead_on(ahead, *id, host, allowance)
        {
            until = host.now();
        }
        while let Some(done) = host.take_outcome(*id) {
            let Outcome::Short { cause, .. } = &done.outcome else { continue };
            match cause {
                // Asked for, or said before.
                Cause::Stopped | Cause::Fault(_) | Cause::Late => {
                    log::info!("{} fell short: {cause}", done.motor);
                }
                _ => log::warn!("{} fell short: {cause}", done.motor),
            }
            let rescue = step.and_then(|at| program.move_at(at)).and_then(|action| {
                let motor = program.config().motor_index(&done.motor)?;
                action.on_short.iter().find(|r| r.0 == motor).map(|r| r.1)
            });
            match rescue {
                Some(number) if !cancelled && !host.is_stopped() => {
                    rescues.push(Branch::program(program, number));
                }
                _ => {
                    // What a branch that is told to end leaves undone is no failure of its own.
                    *bad |= !(cancelled && cause.is_stop());
                    self.genuine |= !cause.is_stop();
                    self.shorts.push(done);
                }
            }
        }
        let mut running = host.is_active(*id);
        for rescue in rescues.iter_mut() {
            let at = match rescue.poll(host, allowance) {
                Turn::Wait(at) => at,
                Turn::Again => host.now(),
                Turn::Done => continue,
            };
            running = true;
            until = until.min(at);
        }
        if running {
            return Wait::Until(until);
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
            self.cursor = ahead.cursor;
            if !bad {
                ahead.passed.iter().for_each(|&(number, last)| self.tell_end(host, number, last));
            }
        }
        if bad {
            self.fail(false);
        }
        Wait::Over
    }

    /// A program has ended that this branch ran; `last`: and with it the branch.
    pub(super) fn tell_end(&self, host: &mut dyn Host, number: usize, last: bool) {
        if !(self.is_root && last) {
            let name = &self.cursor.program().config().programs[number].name;
            host.happens(format!("program.{name}.done"));
        }
    }

    /// A move has begun, or was refused.
    pub(super) fn follow(&mut self, started: Result<MoveId, MoveError>, step: Option<At>) {
        match started {
            Ok(id) => {
                let (ahead, rescues, bad) = (None, Vec::new(), false);
                self.pending = Pending::Move { id, step, ahead, rescues, bad };
            }
            Err(MoveError::Stopped) => self.fail(false),
            Err(e) => {
                self.complain(e.to_string());
                self.fail(true);
            }
        }
    }

    /// The motors that may still move by it, those under way among them.
    pub fn motors_left(&self, out: &mut BTreeSet<MotorIndex>) {
        let under_way = self.doing.is_some() || !matches!(self.pending, Pending::Nothing);
        self.cursor.motors_left(under_way, &mut |motor| {
            out.insert(motor);
        });
        match &self.pending {
            Pending::Move { ahead, rescues, .. } => {
                out.extend(ahead.iter().flat_map(Ahead::motors));
                rescues.iter().for_each(|branch| branch.motors_left(out));
            }
            Pending::Together(branches, _) => branches.iter().for_each(|b| b.motors_left(out)),
            Pending::Nothing
            | Pending::Until(_)
            | Pending::Shared(_)
            | Pending::Motors(_)
            | Pending::Events(..) => {}
        }
    }

    /// The motors that it waits for, since others have them.
    pub fn waits_for(&self, out: &mut BTreeSet<MotorIndex>) {
        match &self.pending {
            Pending::Motors(motors) => out.extend(motors),
            Pending::Move { rescues, .. } => rescues.iter().for_each(|b| b.waits_for(out)),
            Pending::Together(branches, _) => branches.iter().for_each(|b| b.waits_for(out)),
            _ => {}
        }
    }
}

/// The numbers of so many that share what may be done in a turn, from that one on.
pub(crate) fn in_turn(first: usize, many: usize) -> impl Iterator<Item = usize> {
    let first = if first < many { first } else { 0 };
    (first..many).chain(0..first)
}

/// Gives a blended run the places that it wants. False: it wants more than it may have in this turn.
fn lead_on(ahead: &mut Ahead, id: MoveId, host: &mut dyn Host, allowance: &mut Allowance) -> bool {
    while !ahead.over && host.run_wants(id) {
        if !allowance.places(1) {
            return false;
        }
        let added = match ahead.next() {
            Some(place) => host.extend_run(id, &[place]),
            None => Ok(()),
        };
        if let Err(e) = added {
            log::error!("{e}");
            host.stop_move(id);
            ahead.over = true;
        }
        if ahead.over {
            // It may be over already: stopped, or by a fault.
            host.end_run(id);
        }
    }
    true
}
