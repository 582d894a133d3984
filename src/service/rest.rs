//! What a hold or a stop waits for, and what it drops before: its answer is given at rest, and nothing moves after it
//! that was asked for before.

use std::sync::Arc;

use super::desk::{Desk, RestVerb, Waiting};
use crate::config::Config;
use crate::moves::Touched;
use crate::protocol::{AtRest, ErrorCode, ErrorReply, MotorPlace, Reply, Request};
use crate::sync::Book;

/// What a hold or a stop was for, and what is known of it so far.
#[derive(Debug)]
pub(super) struct Rest {
    verb: RestVerb,
    touched: Touched,
    /// Where each of the motors came to rest. One may have gone on by somebody's later order before the last rests.
    places: Vec<(String, Option<MotorPlace>)>,
}

/// What a verb takes away from those whose requests wait behind others of their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sweep<'m> {
    /// A hold: nothing goes on by what was asked for before.
    Hold,
    /// A stop of these motors; `None`: of all.
    Stop(Option<&'m [String]>),
    Halt,
}

impl Rest {
    pub fn of(desk: &Desk<'_>, verb: RestVerb, touched: Touched, motors: &[String]) -> Rest {
        let all = desk.config.motors.iter().map(|m| &m.name);
        let named = all.filter(|m| motors.is_empty() || motors.contains(m));
        let places = named.map(|m| (m.clone(), None)).collect();
        Rest { verb, touched, places }
    }

    /// The answer, once it is true.
    pub fn settled(&mut self, desk: &Desk<'_>) -> Option<Result<Reply, ErrorReply>> {
        let register = desk.machine.register();
        for (motor, place) in self.places.iter_mut().filter(|p| p.1.is_none()) {
            let index = desk.config.motor_index(motor);
            if index.is_none_or(|m| register.rests(&self.touched, m)) {
                *place = Some(desk.place(motor));
            }
        }
        if matches!(self.verb, RestVerb::Hold) && register.goes_on(&self.touched) {
            let text = "it goes on: somebody has resumed it before it was at rest";
            return Some(Err(ErrorReply::new(ErrorCode::Busy, text)));
        }
        if !desk.machine.is_settled(&self.touched) {
            return None;
        }
        let places = std::mem::take(&mut self.places).into_iter();
        let at_rest =
            AtRest { motors: places.filter_map(|(m, place)| Some((m, place?))).collect() };
        Some(Ok(match self.verb {
            RestVerb::Hold => Reply::Hold(at_rest),
            RestVerb::Stop => Reply::Stop(at_rest),
        }))
    }
}

impl Sweep<'_> {
    /// Whether a request that has not begun must not begin any more.
    fn takes(self, config: &Arc<Config>, request: &Request) -> bool {
        let meant = |motor: &str| match self {
            Sweep::Hold => false,
            Sweep::Halt | Sweep::Stop(None) => true,
            Sweep::Stop(Some(motors)) => motors.iter().any(|m| m == motor),
        };
        match request {
            Request::Move(one) => one.to.names().any(meant),
            Request::Pulse(one) => one.to.names().any(meant),
            Request::ProgramRun(run) => {
                let program = crate::programs::Program::new(config, Some(&run.program));
                let all = program.map(|p| p.motors()).unwrap_or_default();
                all.into_iter().any(|m| meant(&config.motors[m].name))
            }
            // Nobody knows yet where that goes.
            Request::Return(_) => self != Sweep::Hold,
            Request::Resume(_) => matches!(self, Sweep::Hold | Sweep::Halt),
            // It begins what waits since the start.
            Request::Clear(_) => self != Sweep::Hold,
            _ => false,
        }
    }

    fn refusal(self) -> ErrorReply {
        let verb = match self {
            Sweep::Hold => "hold",
            Sweep::Stop(_) => "stop",
            Sweep::Halt => "halt",
        };
        let text = format!("a {verb} came before this could begin: ask for it again");
        ErrorReply::new(ErrorCode::Stopped, text)
    }
}

impl Desk<'_> {
    /// Nothing begins that was asked for before, and waits for its turn.
    pub(super) fn sweep(&mut self, sweep: Sweep<'_>) {
        let config = self.config.clone();
        let now = self.machine.now();
        let mut forgotten = Vec::new();
        for client in self.clients.values_mut() {
            client.line_up.refuse_those(|r| sweep.takes(&config, r), || sweep.refusal());
            if sweep == Sweep::Hold {
                continue;
            }
            client.line_up.settle(|waiting| match waiting {
                Waiting::Saved { wait, .. } => {
                    forgotten.push(*wait);
                    Some(Err(sweep.refusal()))
                }
                _ => None,
            });
        }
        forgotten.into_iter().for_each(|wait| self.saved.cancel(wait, now));
    }
}
