//! What the service does when it is asked to: motion.

use super::desk::{Desk, Handled, MoveVerb, RestVerb, Saved, Waiting};
use super::line_up::Answer;
use super::moves::{Order, unknown};
use super::wire::ClientId;
use super::words;
use crate::config::{Arrive, MotorUnit, OnFault};
use crate::machine::{Jog, Move};
use crate::protocol::{self, Done, ErrorCode, ErrorReply, IfBusy, Reply, Request};
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
                self.moves.drop_waiting(None);
                self.machine.halt();
                self.fault.get_or_insert_with(|| words::HALTED.to_owned());
                Reply::Halt(self.places(&[]))
            }
            Request::SetPosition(set) => {
                let motors: Vec<_> = set.to.names().map(str::to_owned).collect();
                self.leased(client, &motors, set.token.as_deref())?;
                for (motor, target) in &set.to.0 {
                    let done = self.machine.set_position(motor, words::position(*target));
                    done.map_err(|e| words::refused(&e))?;
                }
                // Answered once a power cut would not put them back to where they were said to be before.
                return Ok(Answer::Later(Waiting::Noted { motors }));
            }
            Request::Wait(wait) => {
                if !self.moves.is_known(wait.number) {
                    return Err(unknown(wait.number));
                }
                let until = wait.timeout.map_or(Instant::FAR, |t| self.machine.now() + t.0);
                let (number, verb) = (wait.number, MoveVerb::Wait);
                return Ok(Answer::Later(Waiting::Move { number, until, verb }));
            }
            Request::Override(speed) => {
                let done = match speed.number {
                    None => {
                        self.leased(client, &[], speed.token.as_deref())?;
                        self.machine.set_override(speed.speed.0)
                    }
                    Some(number) => {
                        let id = self.moves.id(number).ok_or_else(|| unknown(number))?;
                        let own = self.moves.open().find(|m| m.0 == number);
                        let motors = own.map(|m| m.2.to_vec()).unwrap_or_default();
                        self.leased(client, &motors, speed.token.as_deref())?;
                        self.machine.set_override_of(id, speed.speed.0)
                    }
                };
                done.map_err(|e| words::refused(&e))?;
                Reply::Override(Done {})
            }
            Request::Retarget(retarget) => {
                let motors: Vec<_> = retarget.to.names().map(str::to_owned).collect();
                self.allowed(client, &motors, retarget.token.as_deref())?;
                let id = self.moves.id(retarget.number).ok_or_else(|| unknown(retarget.number))?;
                let to = retarget.to.0.iter();
                let spec = to.fold(Move::new(), |m, (name, t)| m.to(name, words::position(*t)));
                self.machine.retarget(id, &spec).map_err(|e| words::refused(&e))?;
                Reply::Retarget(Done {})
            }
            Request::Cancel(cancel) => Reply::Cancel(self.moves.cancel(cancel.number)?),
            Request::Enable(motors) => {
                self.allowed(client, &motors.motors, motors.token.as_deref())?;
                self.each(&motors.motors, false, |machine, motor| machine.enable(motor))?;
                Reply::Enable(Done {})
            }
            Request::Disable(motors) => {
                self.leased(client, &motors.motors, motors.token.as_deref())?;
                self.each(&motors.motors, false, |machine, motor| machine.release(motor))?;
                Reply::Disable(Done {})
            }
            Request::Release(motors) => {
                self.leased(client, &motors.motors, motors.token.as_deref())?;
                self.each(&motors.motors, true, |machine, motor| machine.release(motor))?;
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
            if self.machine.is_busy(motor) {
                let text = format!("{motor} is moving: wait for its end, or stop it");
                return Err(ErrorReply::new(ErrorCode::Busy, text).about([motor]));
            }
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
        // What is wrong with it however long it waits is said at once.
        self.machine.check(&order).map_err(|e| words::refused(&e))?;
        let busy = motors.iter().any(|m| self.machine.is_busy(m));
        if busy && spec.if_busy == IfBusy::Replace {
            self.stop_motors(Some(&motors));
        }
        let waits = spec.after.is_some() || (busy && spec.if_busy != IfBusy::Refuse);
        let number = if waits {
            let at = spec.after.map(|after| self.machine.now() + after.0);
            self.moves.add(Order::Move(order), motors, at)?
        } else {
            let started = self.moves.start(self.machine, Order::Move(order), motors.clone());
            let number = started.map_err(|e| words::refused(&e))?;
            let duration_s = self.plan_lasts(number);
            let started = protocol::MoveStarted { number, motors, duration_s };
            self.tell(&protocol::Event::MoveStarted(started));
            number
        };
        if spec.wait {
            let (until, verb) = (Instant::FAR, MoveVerb::Move);
            return Ok(Answer::Later(Waiting::Move { number, until, verb }));
        }
        Ok(Answer::Now(Ok(Reply::Move(self.moves.reply(number)))))
    }

    /// Begins a jog; or keeps the one that these motors are on, with these velocities.
    fn jog(&mut self, client: ClientId, jog: &protocol::Jog) -> Result<Reply> {
        let motors: Vec<String> = jog.speed.names().map(str::to_owned).collect();
        self.allowed(client, &motors, jog.token.as_deref())?;
        let rates = jog.speed.0.iter();
        let order = rates.fold(Jog::lasting(jog.duration.0), |j, (name, rate)| {
            j.at(name, words::velocity(*rate))
        });
        if let Some((number, id)) = self.moves.jog_of(&motors)
            && self.machine.change_jog(id, &order).is_ok()
        {
            self.jogs.insert(number, client);
            return Ok(Reply::Jog(self.moves.reply(number)));
        }
        let started = self.moves.start(self.machine, Order::Jog(order), motors);
        let number = started.map_err(|e| words::refused(&e))?;
        self.jogs.retain(|&number, _| !self.moves.has_ended(number));
        self.jogs.insert(number, client);
        Ok(Reply::Jog(self.moves.reply(number)))
    }

    fn hold(&mut self, motors: Option<&[String]>) -> Result<Handled> {
        let motors = motors.filter(|m| !m.is_empty());
        self.known(motors.unwrap_or_default())?;
        let moves = self.moves.running(motors);
        match motors {
            None => self.machine.hold(),
            Some(_) => {
                for (_, id) in &moves {
                    // One that is about to end ends.
                    let _ = self.machine.hold_move(*id);
                }
            }
        }
        let moves = moves.into_iter().map(|m| m.0).collect();
        let motors = motors.unwrap_or_default().to_vec();
        Ok(Answer::Later(Waiting::Rest { moves, motors, verb: RestVerb::Hold }))
    }

    fn resume(&mut self, client: ClientId, selection: &protocol::Selection) -> Result<Reply> {
        let motors = selection.motors.as_deref();
        self.allowed(client, motors.unwrap_or_default(), selection.token.as_deref())?;
        match motors {
            None => self.machine.resume(),
            Some(_) => {
                for (_, id) in self.moves.running(motors) {
                    self.machine.resume_move(id).map_err(|e| words::refused(&e))?;
                }
            }
        }
        Ok(Reply::Resume(Done {}))
    }

    fn stop(&mut self, motors: Option<&[String]>) -> Result<Handled> {
        let motors = motors.filter(|m| !m.is_empty());
        self.known(motors.unwrap_or_default())?;
        let moves = self.moves.running(motors).into_iter().map(|m| m.0).collect();
        self.stop_motors(motors);
        let motors = motors.unwrap_or_default().to_vec();
        Ok(Answer::Later(Waiting::Rest { moves, motors, verb: RestVerb::Stop }))
    }

    /// Brings motors to rest and drops what they still had to do; `None`: all of them, programs, too.
    pub(super) fn stop_motors(&mut self, motors: Option<&[String]>) {
        self.moves.drop_waiting(motors);
        if motors.is_none() {
            for program in &mut self.programs {
                program.stop(self.machine);
            }
            self.moves.running(None).iter().for_each(|(_, id)| self.machine.stop_move(*id));
        }
        for motor in motors.unwrap_or_default() {
            if let Err(e) = self.machine.stop_motor(motor) {
                log::warn!("{motor}: {e}");
            }
        }
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
        match self.moves.start(self.machine, Order::Move(order), motors) {
            Ok(number) => Ok(number),
            Err(e) => {
                // It stays saved, for when the way is free.
                let _ = self.saved.push(saved, now);
                Err(words::refused(&e))
            }
        }
    }
}
