//! Servos that go by their pulses, also beyond what the config allows: for who calibrates them.

use super::desk::{Desk, Handled, MoveVerb, Waiting};
use super::line_up::Answer;
use super::wire::ClientId;
use super::words;
use crate::config::{Arrive, MotorConfig};
use crate::machine::{Move, REACH};
use crate::moves::IfBusy;
use crate::protocol::{self, ErrorCode, ErrorReply};
use crate::units::{Angle, Instant, PulseWidth};

type Result<T> = std::result::Result<T, ErrorReply>;

/// Where a servo without a signal may begin: it jumps there, and no servo has its stops inside of this.
const BEGINNING: (PulseWidth, PulseWidth) =
    (PulseWidth::from_micros(1000), PulseWidth::from_micros(2000));

impl Desk<'_> {
    /// Moves servos to pulse widths. From now on, until this client goes, they go by pulses alone.
    pub(super) fn pulse(&mut self, client: ClientId, pulse: &protocol::Pulse) -> Result<Handled> {
        let motors: Vec<String> = pulse.to.names().map(str::to_owned).collect();
        self.not_held_back()?;
        self.leased(client, &motors, pulse.token.as_deref())?;
        for (name, width) in &pulse.to.0 {
            self.may_have(client, name, *width)?;
        }
        if let Some(program) = self.programs.first() {
            let text = format!("the program {} runs: stop it first", program.name());
            return Err(ErrorReply::new(ErrorCode::Busy, text).about(&motors));
        }
        let mut order = Move::new().arrive(Arrive::Asap);
        for (name, width) in &pulse.to.0 {
            self.machine.widen(name).map_err(|e| words::refused(&e))?;
            self.by_pulses.insert(name.clone(), Some(client));
            let angle = self.machine.angle_of(name, *width).unwrap_or(f64::NAN);
            order = order.to(name, Angle(angle));
        }
        let asked =
            self.machine.order(&order).and_then(|o| self.machine.ask(o, IfBusy::Refuse, None));
        let number = asked.map_err(|e| words::refused(&e))?;
        let (until, verb) = (Instant::FAR, MoveVerb::Pulse);
        Ok(Answer::Later(Waiting::Move { number, until, verb }))
    }

    fn may_have(&self, client: ClientId, name: &str, width: PulseWidth) -> Result<()> {
        let refuse = |code, text: String| Err(ErrorReply::new(code, text).about([name]));
        if self.machine.angle_of(name, width).is_none() {
            let text = format!("`{name}` is an axis: only a servo goes by its pulses");
            return refuse(ErrorCode::WrongMotor, text);
        }
        if self.config.motor(name).is_some_and(MotorConfig::is_continuous) {
            let text = format!(
                "`{name}` turns continuously: a pulse would be a speed; jog it, such as {name}=10%, and where it creeps at \
                 rest change its `trim`"
            );
            return refuse(ErrorCode::WrongMotor, text);
        }
        if !(REACH.0..=REACH.1).contains(&width) {
            let text = format!(
                "`{name}` can't have a pulse of {width}: servos take {} to {}",
                REACH.0, REACH.1
            );
            return refuse(ErrorCode::Limit, text);
        }
        let jumps = self.machine.position(name).is_none();
        if jumps && !(BEGINNING.0..=BEGINNING.1).contains(&width) {
            let text = format!(
                "`{name}` has no signal yet, and would jump to a pulse of {width}: begin between {} and {}",
                BEGINNING.0, BEGINNING.1
            );
            return refuse(ErrorCode::Limit, text);
        }
        if self.by_pulses.get(name).is_some_and(|by| *by != Some(client)) {
            return refuse(ErrorCode::Busy, format!("another client calibrates `{name}`"));
        }
        if self.machine.is_busy(name) {
            let text = format!("`{name}` is moving: wait for its end, or stop it");
            return refuse(ErrorCode::Busy, text);
        }
        Ok(())
    }

    /// Whether none of these motors is being calibrated.
    pub(super) fn not_by_pulses(&self, motors: &[String]) -> Result<()> {
        match motors.iter().find(|m| self.by_pulses.contains_key(*m)) {
            None => Ok(()),
            Some(motor) => {
                let text = format!("`{motor}` is being calibrated, and goes by its pulses alone");
                Err(ErrorReply::new(ErrorCode::Busy, text).about([motor]))
            }
        }
    }

    /// The servos of a client that has gone come to rest, and then go by their config again.
    pub(super) fn forget_pulses(&mut self, client: ClientId) {
        for (servo, by) in &mut self.by_pulses {
            if *by == Some(client) {
                *by = None;
                if let Err(e) = self.machine.stop_motor(servo) {
                    log::warn!("{servo}: {e}");
                }
            }
        }
    }

    /// Ends what has no client any more, where the servo is at rest.
    pub(super) fn end_pulses(&mut self) {
        let machine = &mut *self.machine;
        self.by_pulses.retain(|servo, by| {
            if by.is_some() || machine.is_busy(servo) {
                return true;
            }
            if let Err(e) = machine.narrow(servo) {
                log::warn!("{servo}: {e}");
            }
            false
        });
    }
}
