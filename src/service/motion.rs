//! What the service does when it is asked to: motion.

use super::desk::{Desk, Handled, MoveVerb, RestVerb, Saved, Waiting};
use super::line_up::Answer;
use super::rest::{Rest, Sweep};
use super::told::unknown;
use super::wire::ClientId;
use super::words;
use crate::config::{Arrive, MotorUnit, OnFault};
use crate::machine::{Jog, Move, MoveError};
use crate::motor::MotorIndex;
use crate::moves::{IfBusy, Touched};
use crate::protocol::{self, Done, ErrorCode, ErrorReply, Reply, Request};
use crate::units::{Angle, Instant, Length};

type Result<T> = std::result::Result<T, ErrorReply>;

impl Desk<'_> {
    pub(super) fn motion(&mut self, client: ClientId, request: Request) -> Result<Handled> {
        let reply = match request {
            Request::Move(spec) => return self.start_move(client, spec),
            Request::Jog(jog) => self.jog(client, &jog)?,
            Request::Pulse(pulse) => return self.pulse(client, &pulse),
            Request::Hold(stop) => return self.hold(stop.motors.as_deref()),
            Request::Resume(selection) => self.resume(client, &selection)?,
            Request::Stop(stop) => return self.stop(stop.motors.as_deref()),
            Request::Halt(_) => {
                // All of them: a halt is for when something goes wrong, and half of it helps nobody.
                self.start_when_ready = None;
                self.begins.stop(None);
                self.sweep(Sweep::Halt);
                self.machine.halt();
                self.fault.get_or_insert_with(|| words::HALTED.to_owned());
                Reply::Halt(self.places(&[]))
            }
            Request::SetPosition(set) => {
                let motors: Vec<_> = set.to.names().map(str::to_owned).collect();
                self.leased(client, &motors, set.token.as_deref())?;
                let places = set.to.0.iter();
                let places: Vec<_> =
                    places.map(|(m, target)| (m.as_str(), words::position(*target))).collect();
                self.machine.set_positions(&places).map_err(|e| words::refused(&e))?;
                // Answered once a power cut would not put them back to where they were said to be before.
                return Ok(Answer::Later(Waiting::Noted { motors }));
            }
            Request::Wait(wait) => {
                if !self.is_known(wait.number) {
                    return Err(unknown(wait.number));
                }
                let until = wait.timeout.map_or(Instant::FAR, |t| self.machine.now() + t.0);
                let (number, verb) = (wait.number, MoveVerb::Wait);
                return Ok(Answer::Later(Waiting::Move { number, until, verb }));
            }
            Request::Override(speed) => {
                let done = match (speed.number, speed.class) {
                    (None, class) => {
                        self.leased(client, &[], speed.token.as_deref())?;
                        match class.map(words::class) {
                            None => self.machine.set_override(speed.speed.0),
                            Some(class) => self.machine.set_class_override(class, speed.speed.0),
                        }
                    }
                    (Some(_), Some(_)) => {
                        let what = "name a `move` or a `class`, not both: a move is of one class";
                        return Err(ErrorReply::new(ErrorCode::BadValue, what));
                    }
                    (Some(number), None) => {
                        let open = self.open_move(number).ok_or_else(|| unknown(number))?;
                        let motors = self.motors_of(&open);
                        self.leased(client, &motors, speed.token.as_deref())?;
                        self.machine.set_override_of(number, speed.speed.0)
                    }
                };
                done.map_err(|e| words::refused(&e))?;
                Reply::Override(Done {})
            }
            Request::Retarget(retarget) => {
                let motors: Vec<_> = retarget.to.names().map(str::to_owned).collect();
                self.allowed(client, &motors, retarget.token.as_deref())?;
                let number = retarget.number;
                let open = self.open_move(number).ok_or_else(|| unknown(number))?;
                if let Some(program) = open.owner.program() {
                    let text = format!(
                        "move {number} belongs to the program {program}: its targets are the program's"
                    );
                    return Err(ErrorReply::new(ErrorCode::Busy, text).about(&motors));
                }
                let to = retarget.to.0.iter();
                let spec = to.fold(Move::new(), |m, (name, t)| m.to(name, words::position(*t)));
                self.machine.retarget(number, &spec).map_err(|e| words::refused(&e))?;
                Reply::Retarget(Done {})
            }
            Request::Cancel(cancel) => Reply::Cancel(self.cancel(cancel.number)?),
            Request::Enable(motors) => {
                self.allowed(client, &motors.motors, motors.token.as_deref())?;
                self.each(&motors.motors, false, true, |machine, motor| machine.enable(motor))?;
                Reply::Enable(Done {})
            }
            Request::Disable(motors) => {
                self.leased(client, &motors.motors, motors.token.as_deref())?;
                self.each(&motors.motors, false, false, |machine, motor| machine.release(motor))?;
                Reply::Disable(Done {})
            }
            Request::Release(motors) => {
                self.leased(client, &motors.motors, motors.token.as_deref())?;
                self.each(&motors.motors, true, false, |machine, motor| machine.release(motor))?;
                Reply::Release(Done {})
            }
            other => {
                let text = format!("`{}` is not served by this release", other.word());
                return Err(ErrorReply::new(ErrorCode::UnknownVerb, text));
            }
        };
        Ok(Answer::Now(Ok(reply)))
    }

    /// Does something to motors that all have to be servos, or axes, before any of it is done.
    fn each(
        &mut self,
        motors: &[String],
        servos: bool,
        on: bool,
        mut act: impl FnMut(
            &mut crate::machine::Machine,
            &str,
        ) -> std::result::Result<(), crate::machine::MoveError>,
    ) -> Result<()> {
        for motor in motors {
            let is_servo = self.config.motor(motor).is_some_and(|m| m.axis().is_none());
            if is_servo != servos {
                let (is, verbs) = if is_servo {
                    ("servo", "`release`")
                } else {
                    ("axis", "`enable` or `disable`")
                };
                let text = format!("{motor} is a {is}: use {verbs}").replace("a axis", "an axis");
                return Err(ErrorReply::new(ErrorCode::WrongMotor, text).about([motor]));
            }
            self.machine.may_switch(motor, on).map_err(|e| words::refused(&e))?;
        }
        for motor in motors {
            act(self.machine, motor).map_err(|e| words::refused(&e))?;
        }
        Ok(())
    }

    fn start_move(&mut self, client: ClientId, spec: protocol::Move) -> Result<Handled> {
        let motors: Vec<String> = spec.to.names().map(str::to_owned).collect();
        self.allowed(client, &motors, spec.token.as_deref())?;
        let arrive = match spec.arrive {
            protocol::Arrive::Aligned => Arrive::Aligned,
            protocol::Arrive::Asap => Arrive::Asap,
        };
        let on_fault = match spec.on_fault {
            protocol::OnFault::Stop => OnFault::Stop,
            protocol::OnFault::Continue => OnFault::Continue,
        };
        let mut order = Move::new().arrive(arrive).on_fault(on_fault);
        for (name, target) in &spec.to.0 {
            order = order.to(name, words::position(*target));
        }
        order = spec.speed.iter().fold(order, |m, s| m.speed(s.0 / 100.0));
        order = spec.timeout.iter().fold(order, |m, t| m.timeout(t.0));
        let if_busy = match spec.if_busy {
            protocol::IfBusy::Refuse => IfBusy::Refuse,
            protocol::IfBusy::Queue => IfBusy::Queue,
            protocol::IfBusy::Replace => IfBusy::Replace,
        };
        let order = self.machine.order(&order).map_err(|e| words::refused(&e))?;
        let asked = self.machine.ask(order, if_busy, spec.after.map(|after| after.0));
        let number = asked.map_err(|e| words::refused(&e))?;
        if spec.wait {
            let (until, verb) = (Instant::FAR, MoveVerb::Move);
            return Ok(Answer::Later(Waiting::Move { number, until, verb }));
        }
        Ok(Answer::Now(Ok(Reply::Move(self.move_reply(number)))))
    }

    /// Jogs motors: those that jog already go on in theirs, the others begin one together. One whose jog is
    /// about to end begins its next one right after that.
    fn jog(&mut self, client: ClientId, jog: &protocol::Jog) -> Result<Reply> {
        let motors: Vec<String> = jog.speed.names().map(str::to_owned).collect();
        self.allowed(client, &motors, jog.token.as_deref())?;
        let rates = jog
            .speed
            .0
            .iter()
            .map(|(name, rate)| words::velocity(name, *rate).map(|velocity| (name, velocity)));
        let rates = rates.collect::<Result<Vec<_>>>()?;
        let order = |motors: &[String]| {
            let rates = rates.iter().filter(|(name, _)| motors.contains(name));
            rates.fold(Jog::lasting(jog.duration.0), |j, (name, velocity)| j.at(name, *velocity))
        };
        let (mut now, mut ending) = (motors.clone(), Vec::new());
        let steered = loop {
            match self.machine.steer(&order(&now)) {
                Err(MoveError::Arrived { motor }) if now.contains(&motor) => {
                    now.retain(|m| *m != motor);
                    ending.push(motor);
                    if now.is_empty() {
                        break Vec::new();
                    }
                }
                // A held program lets its motors be moved: its move steps aside for that.
                Err(MoveError::Busy { .. }) => {
                    let all = self.machine.jog_order(&order(&now));
                    let asked = all.and_then(|all| self.machine.ask(all, IfBusy::Refuse, None));
                    let number = asked.map_err(|e| words::refused(&e))?;
                    self.jogs.insert(number, client);
                    return Ok(Reply::Jog(self.move_reply(number)));
                }
                done => break done.map_err(|e| words::refused(&e))?,
            }
        };
        let mut numbers: Vec<(String, u64)> =
            steered.into_iter().map(|s| (s.motor, s.jog)).collect();
        if !ending.is_empty() {
            let next = self.machine.jog_order(&order(&ending)).map_err(|e| words::refused(&e))?;
            let asked = self.machine.ask(next, IfBusy::Queue, None);
            let number = asked.map_err(|e| words::refused(&e))?;
            numbers.extend(ending.into_iter().map(|motor| (motor, number)));
        }
        self.jogs.extend(numbers.iter().map(|n| (n.1, client)));
        let first = motors.first().and_then(|m| numbers.iter().find(|n| n.0 == *m));
        let number = first.or(numbers.first()).map_or(0, |n| n.1);
        Ok(Reply::Jog(self.move_reply(number)))
    }

    /// Takes a move back that has not begun.
    fn cancel(&mut self, number: u64) -> Result<protocol::MoveReply> {
        if self.machine.cancel(number) {
            return Ok(self.move_reply(number));
        }
        if !self.is_known(number) {
            return Err(unknown(number));
        }
        let text = match self.has_ended(number) {
            true => format!("move {number} has ended: there is nothing to take back"),
            false => format!("move {number} has begun: stop it"),
        };
        Err(ErrorReply::new(ErrorCode::NothingToDo, text))
    }

    /// The numbers of motors that a request names; none where it means all of them.
    fn numbers(&self, motors: Option<&[String]>) -> Result<Vec<MotorIndex>> {
        let motors = motors.unwrap_or_default();
        self.known(motors)?;
        Ok(motors.iter().filter_map(|m| self.config.motor_index(m)).collect())
    }

    fn hold(&mut self, motors: Option<&[String]>) -> Result<Handled> {
        let numbers = self.numbers(motors)?;
        self.sweep(Sweep::Hold);
        let touched = self.machine.hold_those(&numbers);
        let rest = Rest::of(self, RestVerb::Hold, touched, motors.unwrap_or_default());
        Ok(Answer::Later(Waiting::Rest(rest)))
    }

    fn resume(&mut self, client: ClientId, selection: &protocol::Selection) -> Result<Reply> {
        let motors = selection.motors.as_deref();
        self.allowed(client, motors.unwrap_or_default(), selection.token.as_deref())?;
        let numbers = self.numbers(motors)?;
        self.machine.resume_those(&numbers).map_err(|e| words::refused(&e))?;
        Ok(Reply::Resume(Done {}))
    }

    fn stop(&mut self, motors: Option<&[String]>) -> Result<Handled> {
        self.numbers(motors)?;
        let motors = motors.filter(|m| !m.is_empty());
        let touched = self.stop_motors(motors);
        let rest = Rest::of(self, RestVerb::Stop, touched, motors.unwrap_or_default());
        Ok(Answer::Later(Waiting::Rest(rest)))
    }

    /// Brings motors to rest and drops what they still had to do, with the programs that keep them; `None`: all of
    /// them. Nothing begins after it that was asked for before.
    pub(super) fn stop_motors(&mut self, motors: Option<&[String]>) -> Touched {
        self.sweep(Sweep::Stop(motors));
        let meant = |m: &String| motors.is_none_or(|all| all.contains(m));
        if self.start_when_ready.as_ref().is_some_and(|p| p.motors.iter().any(meant)) {
            self.start_when_ready = None;
        }
        let named = motors.unwrap_or_default().iter();
        let numbers: Vec<_> = named.filter_map(|m| self.config.motor_index(m)).collect();
        match motors {
            None => {
                self.start_when_ready = None;
                self.begins.stop(None);
            }
            Some(_) if numbers.is_empty() => return Touched::default(),
            Some(motors) => self.begins.stop_motors(motors),
        }
        self.machine.stop_those(&numbers)
    }

    /// Moves to positions that were saved.
    pub(super) fn go_back(&mut self, saved: Saved, back: &protocol::Return) -> Result<u64> {
        self.not_held_back()?;
        let mut order = Move::new();
        let motors: Vec<String> = saved.iter().map(|s| s.0.clone()).collect();
        self.not_by_pulses(&motors)?;
        for (name, position) in &saved {
            order = match self.config.motor(name).map(|m| m.unit) {
                Some(MotorUnit::Millimetre) => order.to(name, Length(*position)),
                _ => order.to(name, Angle(*position)),
            };
        }
        order = back.speed.iter().fold(order, |m, s| m.speed(s.0 / 100.0));
        let now = self.machine.now();
        let asked =
            self.machine.order(&order).and_then(|o| self.machine.ask(o, IfBusy::Refuse, None));
        match asked {
            Ok(number) => Ok(number),
            Err(e) => {
                // It stays saved, for when the way is free.
                let _ = self.saved.push(saved, now);
                Err(words::refused(&e))
            }
        }
    }
}
