use std::sync::Arc;

use super::orders::Orders;
use super::part::{Met, Part, Stage};
use super::step_output::{StepOutput, Turn};
use super::{
    Change, Command, FaultKind, Input, Limit, Motion, Motor, MotorLimits, MoveId, Outbox, Report,
    Telemetry, Verdict, Wake,
};
use crate::hal::HalError;
use crate::motion::{Planner, State, StepTimes};
use crate::units::Instant;

/// What every stepper has, whatever drives it. Times are in nanoseconds.
pub struct StepperSetup {
    /// Two steps are never closer than this: 1/(1.25 x top speed), or the pulse and its gap.
    pub min_interval: u64,
    /// What the motor keeps against any plan, in steps.
    pub limits: MotorLimits,
    /// Steps of play between the motor and what it moves, 0 or more. A move that turns takes them up
    /// before it begins. At the start they lie behind a motor that has come up.
    pub backlash: i64,
    /// Whether the motor may ever be let go: by [`Command::Release`], at rest, or at the end.
    pub may_release: bool,
    /// Whether it is let go whenever it rests.
    pub release_at_rest: bool,
    /// Whether it is let go when the program ends.
    pub release_at_end: bool,
    /// From the last step to letting go, at least: the rotor still swings.
    pub settle: u64,
    /// It is let go once it has been at rest for this long, counted from the end of its plan.
    pub release_after: Option<u64>,
    /// An edge later than this is reported.
    pub max_lateness: Option<u64>,
    /// Steps at the start: where the axis is taken to be.
    pub count: i64,
    /// What the world may read.
    pub telemetry: Arc<Telemetry>,
}

/// A stepper: the loop that turns a trajectory into steps.
pub struct Stepper<O> {
    s: StepperSetup,
    drive: O,
    out: Outbox,
    part: Part<StepTimes>,
    /// The axis' count: what is moved, behind the play.
    count: i64,
    /// Of the play's steps those that lie below: all of them while it goes up, none while it goes down.
    below: i64,
    /// The play is being taken up before a move.
    take_up: Option<TakeUp>,
    /// The play that a change of plan has to take up, where it rests on its way: of the plan that is
    /// followed, and of the change that is still to come, with that one's number.
    turn: Option<TakeUp>,
    next_turn: Option<(u64, TakeUp)>,
    /// Whether the travel counts: the motor's place is known.
    placed: bool,
    /// The next step may not come before this.
    step_from: Instant,
    powered: bool,
    awake_from: Instant,
    /// The motor may be let go from this instant on, and shall be, at rest.
    still_from: Instant,
    /// When it was last known to be part of a move.
    rests_since: Instant,
    let_go: bool,
    /// Told to be powered also at rest, until it is told to let go.
    enabled: bool,
    /// What to say once the pulse under way has ended. `halted`: with the move that was dropped.
    halted: Option<Option<MoveId>>,
    fault: Option<FaultKind>,
    finish: bool,
    orders: Orders,
}

/// A turn of the motor alone, until the play is behind it.
struct TakeUp {
    times: StepTimes,
    /// When it begins, once that is known, and how long it takes.
    zero: Option<Instant>,
    duration: u64,
}

/// How a step went.
enum Step {
    Made(Instant),
    NotYet(Wake),
    /// It would leave the travel.
    Barred,
}

impl<O: StepOutput> Stepper<O> {
    /// A motor at rest, its outputs as they were opened.
    pub fn new(setup: StepperSetup, drive: O, out: Outbox) -> Stepper<O> {
        setup.telemetry.set_steps(setup.count);
        setup.telemetry.set_phase(drive.phase());
        Stepper {
            count: setup.count,
            below: setup.backlash,
            take_up: None,
            turn: None,
            next_turn: None,
            placed: true,
            s: setup,
            drive,
            out,
            part: Part::new(),
            step_from: Instant::ZERO,
            powered: false,
            awake_from: Instant::ZERO,
            still_from: Instant::ZERO,
            rests_since: Instant::ZERO,
            let_go: false,
            enabled: false,
            halted: None,
            fault: None,
            finish: false,
            orders: Orders::default(),
        }
    }

    /// Takes over a motor that has its power already, so that it is never without.
    ///
    /// # Errors
    ///
    /// The back end refused an output.
    pub fn take_over(&mut self) -> Result<(), HalError> {
        self.awake_from = self.drive.energise()?;
        self.powered = true;
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn set_limits(&mut self, limits: MotorLimits) {
        self.s.limits = limits;
    }

    fn fail(&mut self, kind: FaultKind) {
        self.orders.fail();
        if self.drive.in_pulse() {
            self.fault = Some(kind);
        } else {
            // Said before the barrier breaks, so that the others' 'not started' comes after it.
            self.out.say(Report::Fault(kind));
        }
        self.part.drop_move();
    }

    fn advance(&mut self, now: Instant) -> Result<Wake, HalError> {
        if let Some(until) = self.drive.end_pulse(now)? {
            return Ok(Wake::edge(until));
        }
        if self.finish || self.halted.is_some() || self.fault.is_some() {
            self.say_still();
        }
        if !self.part.is_idle() {
            self.rests_since = now;
        }
        match self.part.stage() {
            Stage::Idle => self.rest(now),
            Stage::Preparing => self.prepare(now),
            Stage::Waiting => self.await_barrier(now),
            Stage::Running => self.run(now),
        }
    }

    fn say_still(&mut self) {
        if let Some(kind) = self.fault.take() {
            self.out.say(Report::Fault(kind));
        }
        if let Some(id) = self.halted.take() {
            self.out.say(Report::Halted { id });
        }
    }

    /// No move: lets go of the motor, where that is wanted, and ends.
    fn rest(&mut self, now: Instant) -> Result<Wake, HalError> {
        // One that was switched on by name stays on until it is switched off.
        let rested = self.s.release_after.map(|after| self.rests_since.plus_nanos(after));
        let rested = rested.filter(|_| !self.enabled);
        let at_rest = self.s.release_at_rest && !self.enabled || rested.is_some_and(|at| now >= at);
        let let_go = self.let_go || at_rest || self.finish && self.s.release_at_end;
        if let_go && self.powered && self.s.may_release {
            if now < self.still_from {
                return Ok(Wake::about(self.still_from));
            }
            self.powered = false;
            self.drive.release()?;
            self.out.say(Report::Released);
        }
        self.let_go = false;
        if self.enabled && !self.powered && !self.orders.are_refused() {
            self.awake_from = self.drive.energise()?;
            self.powered = true;
        }
        if std::mem::take(&mut self.finish) {
            self.out.say(Report::Safe);
        }
        let later = rested.filter(|_| self.powered && self.s.may_release);
        Ok(later.map_or(Wake::IDLE, Wake::about))
    }

    fn prepare(&mut self, now: Instant) -> Result<Wake, HalError> {
        if !self.powered {
            self.awake_from = self.drive.energise()?;
            self.powered = true;
        }
        if let Some(wake) = self.take_up(now)? {
            return Ok(wake);
        }
        let Some(motion) = self.part.preparing() else { return Ok(Wake::IDLE) };
        let mut times = StepTimes::new(motion.trajectory.clone(), self.count);
        if let Some(first) = times.peek()
            && let Turn::NotBefore(at) = self.drive.turn(first.up, now)?
        {
            return Ok(Wake::edge(at));
        }
        let ready = self.awake_from.max(self.drive.ready_from());
        if now < ready {
            return Ok(Wake::about(ready));
        }
        self.part.arrive(&mut self.out);
        self.await_barrier(now)
    }

    fn await_barrier(&mut self, now: Instant) -> Result<Wake, HalError> {
        let count = self.count;
        match self
            .part
            .meet(now, &mut self.out, |motion, _| StepTimes::new(motion.trajectory.clone(), count))
        {
            Met::Released => self.run(now),
            Met::NotYet(wake) => Ok(wake),
            Met::Broken => self.rest(now),
        }
    }

    fn run(&mut self, now: Instant) -> Result<Wake, HalError> {
        // Hardly ever, and every step comes by here.
        let turns = self.turn.is_some() || self.take_up.is_some();
        let turning = if turns { self.turn_round(now)? } else { None };
        let Some((run, change)) = self.part.running() else { return Ok(Wake::IDLE) };
        let mut due = run.own.peek().map(|d| (run.zero.plus_nanos(d.at), d.up));
        if let Some(wake) = turning {
            // A change that comes meanwhile begins at rest, where the play is behind the motor.
            let at = change.as_ref().map_or(Instant::FAR, |c| c.at);
            if now < at {
                return Ok(if at < wake.at { Wake::edge(at) } else { wake });
            }
            due = None;
        }
        // What the old plan still owes before the change's instant comes first.
        if let Some(at) = change.as_ref().map(|c| c.at)
            && due.is_none_or(|(t, _)| t >= at)
        {
            if now < at {
                return Ok(Wake::edge(at));
            }
            if let Some(change) = change.take()
                && change.gate.resolve() == Verdict::Committed
            {
                run.own = StepTimes::new(change.trajectory().clone(), run.own.count());
                let next = self.next_turn.take();
                self.turn =
                    next.and_then(|(number, turn)| (number == change.number).then_some(turn));
                run.follow(change);
                if self.turn.is_some() {
                    // It may begin with that.
                    return self.run(now);
                }
                due = run.own.peek().map(|d| (run.zero.plus_nanos(d.at), d.up));
            }
        }
        if let Some(wake) = turning {
            return Ok(wake);
        }
        let Some((due, up)) = due else {
            let end = run.zero.plus_nanos(run.trajectory.duration());
            if now < end {
                return Ok(Wake::about(end));
            }
            // Where it holds, the motor keeps its power.
            let over = self.part.end(end, &mut self.out);
            return if over { self.rest(now) } else { Ok(Wake::IDLE) };
        };
        let at = match self.step(due, up, now)? {
            Step::Made(at) => at,
            Step::NotYet(wake) => return Ok(wake),
            Step::Barred => {
                self.fail(FaultKind::Limit(Limit::Travel));
                return self.rest(now);
            }
        };
        if let Some((run, _)) = self.part.running() {
            run.own.advance();
            run.tell_late(at.nanos_since(due), self.s.max_lateness, &mut self.out);
        }
        match self.drive.end_pulse(now)? {
            Some(until) => Ok(Wake::edge(until)),
            None => self.run(now),
        }
    }

    /// Emits a step once it is due and may be.
    #[inline]
    fn step(&mut self, due: Instant, up: bool, now: Instant) -> Result<Step, HalError> {
        match self.drive.turn(up, now)? {
            Turn::Done => {}
            Turn::NotBefore(at) => return Ok(Step::NotYet(Wake::edge(at))),
            Turn::Settles(from) if from > due => self.s.telemetry.lateness.record_dir_delay(),
            Turn::Settles(_) => {}
        }
        let step_at = due.max(self.step_from).max(self.drive.ready_from());
        if now < step_at {
            let late = step_at > due;
            let wake = if late { Wake::overdue_edge(step_at) } else { Wake::edge(step_at) };
            return Ok(Step::NotYet(wake));
        }
        let step = if up { 1 } else { -1 };
        // In the play the motor turns, and what it moves does not.
        let below = self.below + step;
        let in_play = (0..=self.s.backlash).contains(&below);
        let count = if in_play { self.count } else { self.count + step };
        let (least, most) = self.s.limits.travel;
        if self.placed && !in_play && !(least..=most).contains(&(count as f64)) {
            return Ok(Step::Barred);
        }
        let at = self.drive.step(up)?;
        self.s.telemetry.set_phase(self.drive.phase());
        if in_play {
            self.below = below;
        }
        self.count = count;
        self.s.telemetry.set_steps(count);
        self.step_from = at.plus_nanos(self.s.min_interval);
        self.still_from = at.plus_nanos(self.s.settle);
        self.s.telemetry.late(at.nanos_since(due), at);
        Ok(Step::Made(at))
    }

    /// Takes up the play where the plan rests on its way. `None`: that is not the case now.
    #[cold]
    #[inline(never)]
    fn turn_round(&mut self, now: Instant) -> Result<Option<Wake>, HalError> {
        loop {
            if let Some(wake) = self.take_up(now)? {
                return Ok(Some(wake));
            }
            let Some(at) = self.turn.as_ref().and_then(|turn| turn.zero) else { return Ok(None) };
            let Some((run, _)) = self.part.running() else { return Ok(None) };
            // What is due before comes before, however late.
            let owed = run.own.peek().is_some_and(|d| run.zero.plus_nanos(d.at) < at);
            if owed || now < at {
                return Ok((!owed).then_some(Wake::edge(at)));
            }
            self.take_up = self.turn.take();
        }
    }

    /// Takes up the play before a move that turns, from rest to rest, within the limits. `None`: it is
    /// behind the motor.
    fn take_up(&mut self, now: Instant) -> Result<Option<Wake>, HalError> {
        let Some(way) = &mut self.take_up else { return Ok(None) };
        let (next, duration) = (way.times.peek(), way.duration);
        if now < self.awake_from {
            return Ok(Some(Wake::about(self.awake_from)));
        }
        if let Some(first) = next.filter(|_| way.zero.is_none()) {
            if let Turn::NotBefore(at) = self.drive.turn(first.up, now)? {
                return Ok(Some(Wake::edge(at)));
            }
            way.zero = Some(now.max(self.drive.ready_from()));
        }
        let zero = *way.zero.get_or_insert(now);
        let Some(next) = next else {
            let end = zero.plus_nanos(duration);
            if now < end {
                return Ok(Some(Wake::about(end)));
            }
            self.take_up = None;
            return Ok(None);
        };
        match self.step(zero.plus_nanos(next.at), next.up, now)? {
            // Its travel has no part in it.
            Step::Barred => self.take_up = None,
            Step::NotYet(wake) => return Ok(Some(wake)),
            Step::Made(_) => {
                if let Some(way) = &mut self.take_up {
                    way.times.advance();
                }
            }
        }
        let until = self.drive.end_pulse(now)?.unwrap_or(self.step_from);
        Ok(Some(Wake::edge(until)))
    }

    /// Whether a plan is one that this motor follows, and what of the play comes before it.
    fn accept(&self, motion: &Motion) -> Result<Option<TakeUp>, Limit> {
        let trajectory = &motion.trajectory;
        self.s.limits.check(trajectory, motion.placed)?;
        self.s.limits.check_start(trajectory, self.count as f64)?;
        if self.s.backlash == 0 {
            return Ok(None);
        }
        let distance = trajectory.end() - trajectory.start().position;
        // Less than half a step back and forth is none.
        if trajectory.way() - distance.abs() > 0.5 {
            return Err(Limit::Backlash);
        }
        match distance {
            0.0 => Ok(None),
            distance => self.taking_up(self.below, distance > 0.0, None),
        }
    }

    /// How the motor takes up its play for a direction, where so many steps of it lie below; nothing where it
    /// lies behind it already.
    fn taking_up(
        &self,
        below: i64,
        up: bool,
        zero: Option<Instant>,
    ) -> Result<Option<TakeUp>, Limit> {
        let missing = if up { self.s.backlash - below } else { -below };
        if missing == 0 {
            return Ok(None);
        }
        let way = Planner::new().plan_to(State::at_rest(0.0), missing as f64, self.s.limits.motion);
        let way = way.map_err(|_| Limit::Backlash)?;
        let duration = way.duration();
        Ok(Some(TakeUp { times: StepTimes::new(Arc::new(way), 0), zero, duration }))
    }

    /// Whether a change of plan is one that this motor follows, and what of the play it takes up where it
    /// rests on its way.
    fn check_change(&self, change: &Change) -> Result<Option<TakeUp>, Limit> {
        let trajectory = change.trajectory();
        self.s.limits.check(trajectory, self.placed)?;
        if self.s.backlash == 0 {
            return Ok(None);
        }
        // How the play lies once what is under way until then is done, and when that is.
        let turned = self.take_up.as_ref().or(self.turn.as_ref());
        let turned = turned.and_then(|t| Some((t, t.zero?))).filter(|(_, zero)| *zero <= change.at);
        let (mut below, mut ready) = (self.below, change.at);
        if let Some((take_up, zero)) = turned {
            below = if take_up.goes_up() { self.s.backlash } else { 0 };
            ready = ready.max(zero.plus_nanos(take_up.duration));
        }
        let mut turn = None;
        let (mut from, mut gone) = (trajectory.start().position, 0.0);
        let mut rest = None;
        let waits = trajectory.waits().map(Some).chain([None]);
        for wait in waits {
            let to = wait.map_or(trajectory.end(), |(.., place)| place);
            let net = to - from;
            gone += net.abs();
            let found = match net {
                0.0 => None,
                net => self.taking_up(below, net > 0.0, rest.map(|(from, _)| ready.max(from)))?,
            };
            if let Some(found) = found {
                let fits = |zero: Instant, until| zero.plus_nanos(found.duration) <= until;
                match (found.zero, rest) {
                    (Some(zero), Some((_, until))) if turn.is_none() && fits(zero, until) => {
                        below = if net > 0.0 { self.s.backlash } else { 0 };
                        turn = Some(found);
                    }
                    // Part of a step, which gives no step.
                    _ if net.abs() <= 0.5 => {}
                    _ => return Err(Limit::Backlash),
                }
            }
            from = to;
            rest = wait.map(|(start, duration, _)| {
                let begins = change.at.plus_nanos(start);
                (begins, begins.plus_nanos(duration))
            });
        }
        // Less than half a step back and forth is none.
        if trajectory.way() - gone > 0.5 { Err(Limit::Backlash) } else { Ok(turn) }
    }
}

impl TakeUp {
    fn goes_up(&self) -> bool {
        self.times.trajectory().end() > 0.0
    }
}

impl<O: StepOutput> Motor for Stepper<O> {
    fn command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Arm(motion) => {
                if !self.part.is_free(self.orders.are_refused()) {
                    self.part.arm(motion, self.orders.are_refused(), &mut self.out);
                    return;
                }
                match self.accept(&motion) {
                    Ok(take_up) => {
                        (self.turn, self.next_turn) = (None, None);
                        (self.take_up, self.placed, self.let_go) = (take_up, motion.placed, false);
                        self.part.arm(motion, self.orders.are_refused(), &mut self.out);
                    }
                    Err(limit) => self.part.refuse(&motion, limit, &mut self.out),
                }
            }
            Command::Change(change) => {
                let turn = self.check_change(&change);
                let verdict = turn.as_ref().map(|_| ()).map_err(|limit| *limit);
                if !self.part.refuses(&change, verdict, &mut self.out) {
                    self.next_turn = turn.ok().flatten().map(|turn| (change.number, turn));
                    self.part.take_change(change, &mut self.out);
                }
            }
            Command::Halt => {
                let dropped = self.part.drop_move();
                self.rests_since = now;
                (self.take_up, self.turn, self.next_turn) = (None, None, None);
                self.halted = Some(self.halted.flatten().or(dropped));
            }
            Command::Release => {
                self.let_go = self.part.is_idle() && !self.drive.in_pulse();
                self.enabled &= !self.let_go;
            }
            Command::Enable => self.enabled |= self.part.is_idle() && !self.orders.are_refused(),
            // It has no pulses of different widths.
            Command::Reach { .. } => {}
            Command::SetCount(count) => {
                if self.part.is_idle() && !self.drive.in_pulse() {
                    self.count = count;
                    self.s.telemetry.set_steps(count);
                }
            }
            Command::Tune(tuning) => {
                self.s.limits = tuning.limits;
                self.s.min_interval = tuning.min_interval;
                self.s.release_at_end = tuning.release_at_end;
                self.s.max_lateness = tuning.max_lateness;
            }
            Command::Recover => self.orders.recover(&mut self.out),
            Command::Finish => {
                self.part.drop_move();
                self.orders.end();
                self.finish = true;
            }
        }
    }

    fn poll(&mut self, now: Instant) -> Wake {
        self.out.flush();
        let wake = match self.advance(now) {
            Ok(wake) => wake,
            Err(e) => {
                self.drive.abandon();
                self.fail(FaultKind::Output(e));
                if let Some(kind) = self.fault.take() {
                    self.out.say(Report::Fault(kind));
                }
                if let Some(id) = self.halted.take() {
                    self.out.say(Report::Halted { id });
                }
                if std::mem::take(&mut self.finish) {
                    self.out.say(Report::Safe);
                }
                // What may still be let go is.
                let let_go = self.powered && self.s.release_at_rest;
                if let_go { Wake::about(self.still_from.max(now)) } else { Wake::IDLE }
            }
        };
        self.out.or_retry(wake, now)
    }

    fn on_input(&mut self, input: Input, active: bool, _at: Instant) {
        match input {
            Input::Fault if self.orders.hear_line(active) => self.fail(FaultKind::Driver),
            Input::Fault => {}
        }
    }

    fn make_safe(&mut self) {
        self.part.drop_move();
        self.orders.end();
        self.drive.make_safe();
        if self.powered && self.s.may_release && self.s.release_at_end {
            self.powered = false;
            let _ = self.drive.release();
        }
    }
}
