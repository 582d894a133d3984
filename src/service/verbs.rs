//! What the service does when it is asked to: everything but motion.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::desk::{Desk, Handled, MOTORS_EVERY, Waiting};
use super::line_up::Answer;
use super::wire::ClientId;
use super::words;
use crate::config::{LostLease, MotorUnit};
use crate::machine::{MachineState, Move, ProgramEnd};
use crate::moves::IfBusy;
use crate::protocol::{
    self, AtRest, ClearReply, Done, ErrorCode, ErrorReply, EventsReply, HelloReply,
    LeaseReleaseReply, LeaseReply, MotorChange, MotorPlace, MotorState, MotorStatus, MotorsChanged,
    Named, ProgramListReply, ProgramReply, ProgramState, Reply, Request, SaveReply, StatusReply,
    SubscribeReply, Topic, TriggerReply, WaitEventsReply,
};
use crate::sync::{Delivery, LeaseGrant, LeaseId, LeaseRequest, LeaseToken, StackFull};
use crate::units::{Angle, Instant, Length, Time};

type Result<T> = std::result::Result<T, ErrorReply>;

pub(super) fn program_reply(end: &ProgramEnd) -> ProgramReply {
    let short = end.shorts.iter().map(|s| format!("{} fell short", s.motor));
    let short = short.chain(end.complaints.iter().cloned()).collect::<Vec<_>>();
    ProgramReply {
        program: end.program.clone(),
        result: Some(words::result(end.result)),
        message: (!short.is_empty()).then(|| short.join(", ")),
        checked_moves: end.checked_moves,
    }
}

pub(super) fn events_reply(data: &[Arc<str>]) -> WaitEventsReply {
    // What was kept is JSON that this service has written itself.
    let data = data.iter().map(|d| serde_json::from_str(d).unwrap_or_default()).collect();
    WaitEventsReply { data }
}

pub(super) fn lease_reply(grant: &LeaseGrant) -> Reply {
    Reply::LeaseTake(LeaseReply { lease: grant.id.number(), token: grant.token.to_string() })
}

fn token(text: Option<&str>) -> Result<Option<LeaseToken>> {
    let parse = |t: &str| {
        t.parse().map_err(|_| {
            let what = "this is no token of a lease: pass on what its holder was given";
            ErrorReply::new(ErrorCode::BadValue, what)
        })
    };
    text.map(parse).transpose()
}

impl Desk<'_> {
    /// Begins a request, or carries it out.
    pub(super) fn request(&mut self, client: ClientId, request: Request) -> Handled {
        match self.handle(client, request) {
            Ok(answer) => answer,
            Err(error) => Answer::Now(Err(error)),
        }
    }

    fn handle(&mut self, client: ClientId, request: Request) -> Result<Handled> {
        let now = self.machine.now();
        let reply = match request {
            Request::Hello(hello) => self.hello(client, hello),
            Request::Status(status) => Reply::Status(self.status(status.motors.as_deref())?),
            Request::Subscribe(subscribe) => self.subscribe(client, &subscribe),
            Request::Unsubscribe(_) => {
                if let Some(c) = self.clients.get_mut(&client) {
                    c.topics.clear();
                }
                Reply::Unsubscribe(Done {})
            }
            Request::Clear(_) => self.clear()?,
            Request::Trigger(trigger) => {
                let came = self.machine.trigger(&trigger.event, &trigger.data.to_string());
                let completed = came.map_err(|e| words::no_event(&e))?.completed as u64;
                let (name, data) = (trigger.event, trigger.data);
                self.tell(&protocol::Event::Triggered(protocol::Triggered { name, data }));
                Reply::Trigger(TriggerReply { completed })
            }
            Request::WaitEvents(wait) => {
                let delivery = if wait.consume { Delivery::Consume } else { Delivery::Shared };
                let events = self.machine.events_mut();
                let id = events.wait(&wait.events, delivery, wait.timeout.0, now);
                return Ok(Answer::Later(Waiting::Events(id.map_err(|e| words::no_event(&e))?)));
            }
            Request::Events(_) => Reply::Events(EventsReply {
                events: self.machine.events().map(str::to_owned).collect(),
            }),
            Request::Rendezvous(r) => {
                let id = self.meetings.join(&r.name, r.parties as usize, r.timeout.0, now);
                return Ok(Answer::Later(Waiting::Meeting(id.map_err(|e| words::no_meeting(&e))?)));
            }
            Request::RendezvousAbort(m) => {
                self.meetings.abort(&m.name, now).map_err(|e| words::no_meeting(&e))?;
                Reply::RendezvousAbort(Done {})
            }
            Request::RendezvousReset(m) => {
                self.meetings.reset(&m.name, now);
                Reply::RendezvousReset(Done {})
            }
            Request::LeaseTake(take) => {
                let id = self.lease(client, take, now)?;
                return Ok(Answer::Later(Waiting::Lease(id)));
            }
            Request::LeaseRenew(renew) => {
                let (id, by) = (LeaseId::from_number(renew.lease), crate::sync::ClientId(client));
                let token = token(renew.token.as_deref())?;
                self.leases.renew(id, by, token, now).map_err(|e| words::no_lease(&e))?;
                Reply::LeaseRenew(Done {})
            }
            Request::LeaseRelease(release) => {
                let (id, by) = (LeaseId::from_number(release.lease), crate::sync::ClientId(client));
                // Nobody knows its motors afterwards.
                let released = self.lease_event(id, protocol::LeaseState::Released);
                let free = self.leases.release(id, by, now).map_err(|e| words::no_lease(&e))?;
                released.iter().for_each(|event| self.tell(event));
                Reply::LeaseRelease(LeaseReleaseReply { free })
            }
            Request::Save(save) => self.save(save.motors.as_deref(), now)?,
            Request::Return(back) => {
                self.allowed(client, &[], back.token.as_deref())?;
                let timeout = back.timeout.map_or(Duration::ZERO, |t| t.0);
                let wait = self
                    .saved
                    .pop(timeout, now)
                    .map_err(|e| ErrorReply::new(ErrorCode::TooMany, e.to_string()))?;
                return Ok(Answer::Later(Waiting::Saved { wait, back }));
            }
            Request::ProgramRun(run) => return self.run_program(client, run),
            Request::ProgramStop(stop) => return self.stop_programs(stop.program.as_deref()),
            Request::Reload(_) => return self.reload(),
            Request::ProgramList(_) => {
                let running = |name: &str| self.programs.iter().any(|p| p.name() == name);
                let state =
                    |name: &String| ProgramState { name: name.clone(), running: running(name) };
                let programs = self.config.programs.iter().map(|p| state(&p.name)).collect();
                Reply::ProgramList(ProgramListReply { programs })
            }
            motion => return self.motion(client, motion),
        };
        Ok(Answer::Now(Ok(reply)))
    }

    fn hello(&mut self, client: ClientId, hello: protocol::Hello) -> Reply {
        if let (Some(c), Some(name)) = (self.clients.get_mut(&client), hello.client) {
            c.name = Some(name.chars().take(80).collect());
        }
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Reply::Hello(HelloReply {
            service: "lockstep".to_owned(),
            release: env!("CARGO_PKG_VERSION").to_owned(),
            versions: vec![protocol::VERSION],
            machine: self.config.machine.name.clone(),
            backend: self.machine.backend().to_owned(),
            client,
            at_s: Some(self.machine.now().as_nanos() as f64 / 1e9),
            wall_s: wall.ok().map(|since| since.as_secs_f64()),
            features: protocol::FEATURES.iter().map(|&f| f.to_owned()).collect(),
        })
    }

    fn subscribe(&mut self, client: ClientId, subscribe: &protocol::Subscribe) -> Reply {
        let all_but_motors = || vec![Topic::Moves, Topic::Events, Topic::Machine];
        let topics = subscribe.topics.clone().unwrap_or_else(all_but_motors);
        if let Some(c) = self.clients.get_mut(&client) {
            c.topics = topics.iter().copied().collect();
            c.every =
                subscribe.every.map_or(Duration::from_millis(100), |t: Time| t.0).max(MOTORS_EVERY);
            c.told_motors = None;
        }
        Reply::Subscribe(SubscribeReply { topics })
    }

    /// Allows moves again after a halt, a fault or an unclean end.
    fn clear(&mut self) -> Result<Reply> {
        self.machine.clear_faults().map_err(|e| words::no_clear(&e))?;
        self.faulty.clear();
        if !self.machine.clear() {
            let text = "the motors do not come to rest: start the service again";
            return Err(ErrorReply::new(ErrorCode::Hardware, text));
        }
        self.fault = None;
        if std::mem::take(&mut self.start_up_waits) {
            self.start_up();
        }
        let state = words::state(self.machine.state(), None);
        Ok(Reply::Clear(ClearReply { state }))
    }

    fn lease(
        &mut self,
        client: ClientId,
        take: protocol::LeaseTake,
        now: Instant,
    ) -> Result<crate::sync::WaitId> {
        self.known(&take.motors)?;
        let name = self.clients.get(&client).and_then(|c| c.name.clone());
        let request = LeaseRequest {
            client: crate::sync::ClientId(client),
            holder: take.holder.or(name).unwrap_or_else(|| format!("client {client}")),
            motors: take.motors,
            token: token(take.token.as_deref())?,
            timeout: take.timeout.map_or(Duration::ZERO, |t| t.0),
            heartbeat: take.heartbeat.map(|t| t.0),
        };
        self.leases.take_motors(request, now).map_err(|e| words::no_lease(&e))
    }

    /// Tells what became of a lease that is there.
    pub(super) fn tell_lease(&mut self, id: LeaseId, state: protocol::LeaseState) {
        if let Some(event) = self.lease_event(id, state) {
            self.tell(&event);
        }
    }

    fn lease_event(&self, id: LeaseId, state: protocol::LeaseState) -> Option<protocol::Event> {
        let (_, holder, motors) = self.leases.leases().find(|lease| lease.0 == id)?;
        let (lease, holder, motors) = (id.number(), holder.to_owned(), motors.to_vec());
        Some(protocol::Event::Lease(protocol::LeaseChanged { lease, state, holder, motors }))
    }

    /// Motors of leases that were lost come to rest; who waited for them gets them after that.
    pub(super) fn lost_leases(&mut self) {
        let now = self.machine.now();
        for lost in self.leases.take_lost(now) {
            log::warn!("lease {} of {} is lost: {}", lost.id, lost.holder, lost.cause);
            self.on_lost_lease(&lost.motors);
            self.tell(&protocol::Event::Lease(protocol::LeaseChanged {
                lease: lost.id.number(),
                state: protocol::LeaseState::Lost,
                holder: lost.holder,
                motors: lost.motors,
            }));
        }
    }

    /// What the config says of each motor whose lease is lost.
    fn on_lost_lease(&mut self, motors: &[String]) {
        let config = self.config.clone();
        let says =
            |motor: &String| config.motor(motor).map_or(LostLease::Stop, |m| m.on_lost_lease);
        let (hold, stop): (Vec<String>, Vec<String>) =
            motors.iter().cloned().partition(|motor| says(motor) == LostLease::Hold);
        if !hold.is_empty() {
            let numbers: Vec<_> = hold.iter().filter_map(|m| self.config.motor_index(m)).collect();
            self.machine.drop_waiting(&numbers);
            self.begins.stop_motors(&hold);
            self.machine.hold_under_way(&numbers);
        }
        if stop.is_empty() {
            return;
        }
        self.stop_motors(Some(&stop));
        for motor in &stop {
            let LostLease::Park(position) = says(motor) else { continue };
            if self.fault.is_some() || self.machine.is_stopped() {
                log::warn!("{motor} is not parked: nothing moves until `lockstep clear`");
                continue;
            }
            let unit = self.config.motor(motor).map(|m| m.unit);
            let order = match unit {
                Some(MotorUnit::Millimetre) => Move::new().to(motor, Length(position)),
                _ => Move::new().to(motor, Angle(position)),
            };
            // It begins once the motor has come to rest.
            let asked =
                self.machine.order(&order).and_then(|o| self.machine.ask(o, IfBusy::Queue, None));
            if let Err(e) = asked {
                log::error!("{motor} is not parked: {e}");
            }
        }
    }

    /// Whether a client may move these motors: nothing holds the machine back, nobody else has a lease on
    /// them, and none is being calibrated.
    pub(super) fn allowed(
        &self,
        client: ClientId,
        motors: &[String],
        shown: Option<&str>,
    ) -> Result<()> {
        self.not_held_back()?;
        self.leased(client, motors, shown)?;
        self.not_by_pulses(motors)
    }

    /// Whether nothing holds the machine back.
    pub(super) fn not_held_back(&self) -> Result<()> {
        let halted = || (self.machine.state() == MachineState::Halted).then_some(words::HALTED);
        let Some(why) = self.fault.as_deref().or_else(halted) else { return Ok(()) };
        let code = if why == words::HALTED { ErrorCode::Stopped } else { ErrorCode::Fault };
        Err(ErrorReply::new(code, format!("{why}; nothing moves until `lockstep clear`")))
    }

    /// Whether nobody else has a lease on these motors.
    pub(super) fn leased(
        &self,
        client: ClientId,
        motors: &[String],
        shown: Option<&str>,
    ) -> Result<()> {
        self.known(motors)?;
        let token = token(shown)?;
        for motor in motors {
            let may = self.leases.may_use(motor, crate::sync::ClientId(client), token);
            may.map_err(|e| words::no_lease(&e))?;
        }
        Ok(())
    }

    /// Whether there are motors of these names.
    pub(super) fn known(&self, motors: &[String]) -> Result<()> {
        match motors.iter().find(|m| self.config.motor(m).is_none()) {
            None => Ok(()),
            Some(name) => {
                let known: Vec<_> = self.config.motors.iter().map(|m| m.name.as_str()).collect();
                let text =
                    format!("there is no motor `{name}`; the motors are {}", known.join(", "));
                Err(ErrorReply::new(ErrorCode::UnknownMotor, text).about([name]))
            }
        }
    }

    fn save(&mut self, motors: Option<&[String]>, now: Instant) -> Result<Reply> {
        self.known(motors.unwrap_or_default())?;
        let snapshot = self.machine.snapshot();
        let named = |m: &str| motors.is_none_or(|all| all.iter().any(|n| n == m));
        let positions: Vec<_> = snapshot
            .motors
            .iter()
            .filter(|m| named(&m.motor))
            .filter_map(|m| Some((m.motor.clone(), m.position?)))
            .collect();
        if positions.is_empty() {
            let text = "none of these motors has a position yet: move them first";
            return Err(ErrorReply::new(ErrorCode::PlaceUnknown, text));
        }
        let names: Vec<_> = positions.iter().map(|p| p.0.clone()).collect();
        let saved = self.saved.push(positions, now);
        let saved = saved.map_err(|StackFull { capacity, .. }| {
            let text = format!("{capacity} positions are saved already: return to one first");
            ErrorReply::new(ErrorCode::StackFull, text)
        })?;
        let motors = self.places(&names).motors;
        Ok(Reply::Save(SaveReply { saved: saved as u64, motors }))
    }

    /// Where these motors are; all of them where none is named.
    pub(super) fn places(&self, motors: &[String]) -> AtRest {
        let all = self.config.motors.iter().map(|m| &m.name);
        let named = all.filter(|m| motors.is_empty() || motors.contains(m));
        AtRest { motors: named.map(|m| (m.clone(), self.place(m))).collect() }
    }

    pub(super) fn place(&self, motor: &str) -> MotorPlace {
        let unit = self.config.motor(motor).map(|m| m.unit);
        words::place(
            self.machine.position(motor),
            unit.unwrap_or(crate::config::MotorUnit::Degree),
            self.machine.steps(motor),
            self.machine.place(motor).unwrap_or(crate::machine::Place::Unknown),
        )
    }

    fn motor_state(&self, motor: &crate::machine::MotorSnapshot) -> MotorState {
        if motor.fault.is_some() {
            return MotorState::Fault;
        }
        match motor.busy {
            Some(id) if self.machine.is_at_rest(id) => MotorState::Held,
            Some(_) => MotorState::Moving,
            None if motor.position.is_none() => MotorState::Off,
            None => MotorState::Idle,
        }
    }

    pub(super) fn motors_changed(&self) -> MotorsChanged {
        let change = |m: &crate::machine::MotorSnapshot| {
            (m.motor.clone(), MotorChange { state: self.motor_state(m), at: self.place(&m.motor) })
        };
        MotorsChanged { motors: self.machine.snapshot().motors.iter().map(change).collect() }
    }

    fn status(&self, motors: Option<&[String]>) -> Result<StatusReply> {
        self.known(motors.unwrap_or_default())?;
        let snapshot = self.machine.snapshot();
        let holder = |motor: &str| {
            self.leases.leases().find(|l| l.2.iter().any(|m| m == motor)).map(|l| l.1.to_owned())
        };
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let status = |m: &crate::machine::MotorSnapshot| {
            let kind = self.config.motor(&m.motor).map_or("axis", |c| c.table());
            let late = self.machine.lateness(&m.motor).unwrap_or_default();
            let (p50, p99, max) = (micros(late.p50), micros(late.p99), micros(late.max));
            let status = MotorStatus {
                kind: kind.to_owned(),
                state: self.motor_state(m),
                at: self.place(&m.motor),
                target: self.machine.target(&m.motor),
                speed: (m.unit == MotorUnit::Percent && m.busy.is_some()).then_some(m.velocity),
                number: m.busy,
                owner: m.owner.as_ref().map(ToString::to_string),
                held: m.held,
                holder: holder(&m.motor),
                fault: m.fault.as_ref().map(ToString::to_string),
                alive: !matches!(
                    m.fault,
                    Some(crate::motor::FaultKind::Panic | crate::motor::FaultKind::Silent)
                ),
                lateness_us: protocol::Lateness { p50, p99, max },
            };
            (m.motor.clone(), status)
        };
        let named =
            |m: &&crate::machine::MotorSnapshot| motors.is_none_or(|all| all.contains(&m.motor));
        let leases = self.leases.leases().map(|(id, holder, motors)| protocol::LeaseStatus {
            lease: id.number(),
            holder: holder.to_owned(),
            motors: motors.to_vec(),
        });
        Ok(StatusReply {
            at_s: snapshot.at.as_nanos() as f64 / 1e9,
            state: words::state(snapshot.state, self.fault.as_deref()),
            reason: self.fault.clone(),
            motors: snapshot.motors.iter().filter(named).map(status).collect::<Named<_>>(),
            moves: self.move_status(),
            programs: self.programs.iter().map(|p| p.name().to_owned()).collect(),
            waiting_programs: self.waiting_programs(),
            leases: leases.collect(),
            power: self.machine.power().map(|power| protocol::PowerStatus {
                budget_a: f64::from(power.budget) / 1e3,
                used_a: power.used as f64 / 1e3,
                waiting: u32::try_from(power.waiting).unwrap_or(u32::MAX),
                low: power.low,
            }),
            clients: u32::try_from(self.clients.len()).unwrap_or(u32::MAX),
            saved: self.saved.len() as u64,
        })
    }

    /// The programs that wait for motors which they share.
    fn waiting_programs(&self) -> Vec<protocol::WaitingProgram> {
        let waiting = self.programs.iter().map(|run| (run, run.waits_for(self.machine)));
        let waiting = waiting.filter(|(_, motors)| !motors.is_empty());
        let told = waiting.map(|(run, motors)| {
            let name = |m: &usize| run.config().motors[*m].name.clone();
            protocol::WaitingProgram {
                program: run.name().to_owned(),
                motors: motors.iter().map(name).collect(),
            }
        });
        told.collect()
    }
}
