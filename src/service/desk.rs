//! The coordinator: owns the machine, hears the clients, and never waits for anyone but the motors.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::begins::Begins;
use super::keeping::Keeping;
use super::line_up::{Answer, LineUp};
use super::page::{PageCounts, PageFacts, PageOwner, StatusPage};
use super::reload::{ConfigFile, Reload};
use super::rest::Rest;
use super::wire::{ClientId, FromClient, Lines};
use super::words;
use crate::config::Config;
use crate::machine::{
    Difference, Happened, Machine, MachineState, MotorSnapshot, Owner, ProgramEnd, ProgramRun,
    ProgramTurn, RunResult,
};
use crate::programs::{Allowance, in_turn};
use crate::protocol::{
    self, ErrorCode, ErrorReply, Event, EventLine, Incoming, MachineChanged, Outgoing,
    PowerChanged, ProgramChanged, Reply, Topic, Triggered,
};
use crate::sync::{
    Book, LeaseBook, LeaseRules, PositionBook, RendezvousBook, RendezvousRules, WaitId,
};
use crate::units::Instant;

/// How many positions may be saved.
const MOST_SAVED: usize = 256;

/// So many lines of clients are heard in a turn.
const MOST_LINES: usize = 64;

/// The status page is written this often at most.
const PAGE_EVERY: Duration = Duration::from_millis(1);

/// While nothing happens the page is written, and the service says that it lives, this often.
const IDLE_EVERY: Duration = Duration::from_millis(100);

/// While something moves, the page is written this often at least.
const MOVING_EVERY: Duration = Duration::from_millis(10);

/// The least time between two events about the motors' positions to one client.
pub(super) const MOTORS_EVERY: Duration = Duration::from_millis(20);

/// What a client's request waits for.
#[derive(Debug)]
pub(super) enum Waiting {
    /// The end of a move, no longer than this.
    Move {
        number: u64,
        until: Instant,
        verb: MoveVerb,
    },
    Program {
        name: String,
    },
    /// A program that is looked through; then, if `wait`, its end.
    Begin {
        number: u64,
        wait: bool,
    },
    /// The ends of these programs, which have been told to stop; `left` have not ended yet.
    Stopped {
        left: Vec<String>,
        stopped: Vec<String>,
    },
    /// Until what the verb was for rests, which its moves' own patience bounds; then the motors' places are told.
    /// What begins later has nothing to do with it.
    Rest(Rest),
    /// Until the journal does not say any more that these axes are where they were.
    Noted {
        motors: Vec<String>,
    },
    /// What this reload, or a later one, comes to; no longer than this.
    Reload {
        number: u64,
        until: Instant,
    },
    Events(WaitId),
    Meeting(WaitId),
    Lease(WaitId),
    Saved {
        wait: WaitId,
        back: protocol::Return,
    },
}

/// Whose reply the end of a move is.
#[derive(Clone, Copy, Debug)]
pub(super) enum MoveVerb {
    Move,
    Wait,
    Return,
    Pulse,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum RestVerb {
    Hold,
    Stop,
}

/// One client.
#[derive(Default)]
pub(super) struct Client {
    pub line_up: LineUp<Waiting>,
    pub name: Option<String>,
    pub topics: BTreeSet<Topic>,
    pub every: Duration,
    pub told_motors: Option<Instant>,
    sequence: u64,
}

/// Positions that were saved: motors' names with their positions, in their units.
pub(super) type Saved = Vec<(String, f64)>;

/// A program that begins once the start-up moves are over, unless a stop comes before.
pub(super) struct StartProgram {
    pub name: String,
    pub motors: BTreeSet<String>,
}

/// The service.
pub(super) struct Desk<'c> {
    pub machine: &'c mut Machine,
    /// The config that holds.
    pub config: Arc<Config>,
    pub source: Option<Arc<dyn ConfigFile>>,
    pub reload: Reload,
    pub wire: &'c dyn Lines,
    pub clients: BTreeMap<ClientId, Client>,
    pub programs: Vec<ProgramRun>,
    /// Whose turn comes first.
    first_program: usize,
    pub begins: Begins,
    pub leases: LeaseBook,
    pub meetings: RendezvousBook,
    pub saved: PositionBook<Saved>,
    /// Why nothing moves until `clear`.
    pub fault: Option<String>,
    pub page: Option<StatusPage>,
    /// The journal, where there is one.
    pub keeping: Option<Keeping>,
    page_at: Instant,
    state: Option<protocol::MachineState>,
    pub faulty: BTreeSet<String>,
    /// The supply's voltage is low, as clients were told.
    low_power: bool,
    requests: u64,
    /// The start-up moves and the start program wait for `clear`.
    pub start_up_waits: bool,
    /// The program to begin with, once the start-up moves have ended.
    pub start_when_ready: Option<StartProgram>,
    /// How programs ended that somebody waits for.
    ended: Vec<ProgramEnd>,
    /// Jogs, with who asked for them last.
    pub jogs: BTreeMap<u64, ClientId>,
    /// Servos that go by their pulses, with who moves them; `None`: as soon as they are at rest that ends.
    pub by_pulses: BTreeMap<String, Option<ClientId>>,
}

impl<'c> Desk<'c> {
    pub fn new(
        machine: &'c mut Machine,
        begins: Begins,
        source: Option<Arc<dyn ConfigFile>>,
        wire: &'c dyn Lines,
        page: Option<StatusPage>,
        fault: Option<String>,
    ) -> Desk<'c> {
        machine.serve_events();
        Desk {
            config: machine.shared_config(),
            machine,
            begins,
            source,
            reload: Reload::default(),
            wire,
            clients: BTreeMap::new(),
            programs: Vec::new(),
            first_program: 0,
            leases: LeaseBook::new(LeaseRules::default()),
            meetings: RendezvousBook::new(RendezvousRules::default()),
            saved: PositionBook::new(MOST_SAVED),
            fault,
            page,
            keeping: None,
            page_at: Instant::ZERO,
            state: None,
            faulty: BTreeSet::new(),
            low_power: false,
            requests: 0,
            start_up_waits: false,
            start_when_ready: None,
            ended: Vec::new(),
            jogs: BTreeMap::new(),
            by_pulses: BTreeMap::new(),
        }
    }

    /// One turn: hears the clients, lets everything go on, answers, and lets the machine work.
    pub fn turn(&mut self) {
        let next = self.round();
        self.machine.work(next);
    }

    /// A turn without the machine's work. Says when the next one is due, if nothing happens before.
    pub fn round(&mut self) -> Instant {
        // Before anybody else moves what has just come to rest.
        self.go_on_with_reload();
        let mut heard = 0;
        while heard < MOST_LINES
            && let Some(what) = self.wire.next()
        {
            self.hear(what);
            heard += 1;
        }
        let mut next = self.go_on();
        if heard == MOST_LINES {
            next = self.machine.now();
        }
        self.answer();
        self.publish();
        let moving = self.machine.state() == MachineState::Moving;
        let idle = self.machine.now() + if moving { MOVING_EVERY } else { IDLE_EVERY };
        next.min(idle)
    }

    /// Lets moves, programs and books go on. Says when it has to be looked after again.
    fn go_on(&mut self) -> Instant {
        let mut next = self.go_on_with_begins();
        self.tell_what_happened();
        next = next.min(self.go_on_with_programs());
        self.tell_what_happened();
        let now = self.machine.now();
        self.machine.events_mut().advance(now);
        self.meetings.advance(now);
        self.saved.advance(now);
        self.leases.advance(now);
        self.lost_leases();
        self.end_pulses();
        self.tell_state();
        let deadlines = [
            self.machine.events_mut().next_deadline(),
            self.meetings.next_deadline(),
            self.saved.next_deadline(),
            self.leases.next_deadline(),
        ];
        deadlines.into_iter().flatten().fold(next, Instant::min)
    }

    /// All of them together do no more in a turn than one alone may: who took the last of it comes last in the next.
    fn go_on_with_programs(&mut self) -> Instant {
        let (mut next, mut allowance) = (Instant::FAR, Allowance::default());
        let (mut spent, mut ended) = (None, Vec::new());
        for number in in_turn(self.first_program, self.programs.len()) {
            let program = &mut self.programs[number];
            let (turn, again) = program.poll_within(self.machine, &mut allowance);
            if again {
                spent.get_or_insert(number);
            }
            match turn {
                ProgramTurn::Wait(until) => next = next.min(until),
                ProgramTurn::Ended(end) => {
                    // What it did comes before its end.
                    self.tell_what_happened();
                    self.program_ended(end);
                    ended.push(number);
                }
            }
        }
        let gone = |number: usize| ended.iter().filter(|&&e| e < number).count();
        self.first_program = spent.map_or(0, |number| number + 1 - gone(number));
        ended.sort_unstable();
        for number in ended.into_iter().rev() {
            // It may be the last that has its config.
            let program = self.programs.remove(number);
            self.begins.bury(program);
        }
        next
    }

    pub fn hear(&mut self, what: FromClient) {
        match what {
            FromClient::Connected(id) => {
                self.clients
                    .insert(id, Client { every: Duration::from_millis(100), ..Client::default() });
            }
            FromClient::Gone(id) => self.forget(id),
            FromClient::Line(id, line) => {
                match line {
                    Ok(line) => self.line(id, &line),
                    Err(error) => self.refuse(id, None, error),
                }
                self.look_for_a_flood(id);
            }
        }
    }

    fn refuse(&mut self, client: ClientId, id: Option<u64>, error: ErrorReply) {
        self.requests += 1;
        if let Some(c) = self.clients.get_mut(&client) {
            c.line_up.refuse(self.requests, id, error);
        }
    }

    /// Who asks without end behind a reply that is long in coming would fill the memory.
    fn look_for_a_flood(&mut self, client: ClientId) {
        if self.clients.get(&client).is_some_and(|c| c.line_up.is_flooded()) {
            log::warn!("client {client} asks faster than it can be answered: disconnected");
            self.forget(client);
            self.wire.disconnect(client);
        }
    }

    fn line(&mut self, client: ClientId, line: &str) {
        let incoming = match Incoming::parse(line) {
            Ok(incoming) => incoming,
            Err(refusal) => return self.refuse(client, refusal.id, refusal.error),
        };
        self.requests += 1;
        let Some(c) = self.clients.get_mut(&client) else { return };
        let mut begun = c.line_up.take(self.requests, incoming);
        while let Some((number, request)) = begun.take() {
            let answer = self.request(client, request);
            let Some(c) = self.clients.get_mut(&client) else { return };
            c.line_up.answer(number, answer);
            begun = c.line_up.next();
        }
    }

    /// A client is gone: what it waited for is taken back, and what it held is free.
    fn forget(&mut self, client: ClientId) {
        let now = self.machine.now();
        let Some(gone) = self.clients.remove(&client) else { return };
        for waiting in gone.line_up.open() {
            match waiting {
                Waiting::Events(id) => self.machine.events_mut().cancel(id, now),
                Waiting::Meeting(id) => self.meetings.cancel(id, now),
                Waiting::Lease(id) => self.leases.cancel(id, now),
                Waiting::Saved { wait, .. } => self.saved.cancel(wait, now),
                Waiting::Begin { number, .. } => self.begins.forget(number),
                Waiting::Move { .. }
                | Waiting::Program { .. }
                | Waiting::Stopped { .. }
                | Waiting::Rest(_)
                | Waiting::Noted { .. }
                | Waiting::Reload { .. } => {}
            }
        }
        self.leases.disconnect(crate::sync::ClientId(client), now);
        self.forget_pulses(client);
        // Nobody is there any more to keep its jogs going, or to end them.
        let jogs: Vec<u64> = self.jogs.iter().filter(|j| *j.1 == client).map(|j| *j.0).collect();
        for number in jogs {
            self.jogs.remove(&number);
            // It may not have begun yet.
            if !self.machine.cancel(number) {
                self.machine.stop_move(number);
            }
        }
    }

    /// Settles what can be settled, and sends the replies whose turn has come.
    fn answer(&mut self) {
        let ids: Vec<ClientId> = self.clients.keys().copied().collect();
        for id in ids {
            // What begins now, behind others, may be settled now.
            while let Some(mut c) = self.clients.remove(&id) {
                c.line_up.settle(|waiting| self.settled(waiting));
                let begun = c.line_up.next();
                self.clients.insert(id, c);
                let Some((number, request)) = begun else { break };
                let answer = self.request(id, request);
                if let Some(c) = self.clients.get_mut(&id) {
                    c.line_up.answer(number, answer);
                }
            }
            if let Some(c) = self.clients.get_mut(&id) {
                for reply in c.line_up.replies() {
                    self.wire.reply(id, reply.to_line());
                }
            }
        }
        self.ended.clear();
    }

    /// What a wait has come to, if it has.
    fn settled(&mut self, waiting: &mut Waiting) -> Option<Result<Reply, ErrorReply>> {
        match waiting {
            Waiting::Move { number, until, verb } => {
                if self.has_ended(*number) {
                    let reply = self.move_reply(*number);
                    return Some(Ok(match verb {
                        MoveVerb::Move => Reply::Move(reply),
                        MoveVerb::Wait => Reply::Wait(reply),
                        MoveVerb::Return => Reply::Return(reply),
                        MoveVerb::Pulse => Reply::Pulse(reply),
                    }));
                }
                (self.machine.now() >= *until).then(|| {
                    let text = format!("move {number} has not ended yet");
                    Err(ErrorReply::new(ErrorCode::Timeout, text))
                })
            }
            Waiting::Program { name } => {
                let end = self.ended.iter().find(|e| e.program == *name)?;
                Some(Ok(Reply::ProgramRun(super::verbs::program_reply(end))))
            }
            Waiting::Begin { number, wait } => match self.begins.take(*number)? {
                Ok(name) if *wait => {
                    *waiting = Waiting::Program { name };
                    self.settled(waiting)
                }
                Ok(program) => {
                    let runs = self.programs.iter().find(|p| p.name() == program);
                    let ended = || self.ended.iter().find(|e| e.program == program)?.checked_moves;
                    let checked_moves = runs.map_or_else(ended, ProgramRun::checked_moves);
                    let (result, message) = (None, None);
                    let reply = protocol::ProgramReply { program, result, message, checked_moves };
                    Some(Ok(Reply::ProgramRun(reply)))
                }
                Err(e) => Some(Err(e)),
            },
            Waiting::Stopped { left, stopped } => {
                left.retain(|name| self.ended.iter().all(|end| end.program != *name));
                let stopped = std::mem::take(left.is_empty().then_some(stopped)?);
                Some(Ok(Reply::ProgramStop(protocol::ProgramStopReply { stopped })))
            }
            Waiting::Rest(rest) => rest.settled(self),
            Waiting::Noted { motors } => {
                let names: Vec<_> = motors.iter().map(String::as_str).collect();
                let noted = |k: &Keeping| k.is_noted(&names, self.machine.now());
                let noted = self.keeping.as_ref().is_none_or(noted);
                noted.then(|| Ok(Reply::SetPosition(self.places(motors))))
            }
            Waiting::Reload { number, until } => self.reload_settled(*number, *until),
            Waiting::Events(id) => {
                let came = self.machine.events_mut().take(*id)?;
                Some(match came {
                    Ok(data) => Ok(Reply::WaitEvents(super::verbs::events_reply(&data))),
                    Err(e) => Err(words::no_event(&e)),
                })
            }
            Waiting::Meeting(id) => Some(match self.meetings.take(*id)? {
                Ok(index) => {
                    let index = u32::try_from(index).unwrap_or(u32::MAX);
                    Ok(Reply::Rendezvous(protocol::RendezvousReply { index }))
                }
                Err(e) => Err(words::no_meeting(&e)),
            }),
            Waiting::Lease(id) => Some(match self.leases.take(*id)? {
                Ok(grant) => {
                    self.tell_lease(grant.id, protocol::LeaseState::Taken);
                    Ok(super::verbs::lease_reply(&grant))
                }
                Err(e) => Err(words::no_lease(&e)),
            }),
            Waiting::Saved { wait, back } => match self.saved.take(*wait)? {
                Ok(positions) => match self.go_back(positions, back) {
                    Ok(number) if back.wait => {
                        let (until, verb) = (Instant::FAR, MoveVerb::Return);
                        *waiting = Waiting::Move { number, until, verb };
                        None
                    }
                    Ok(number) => Some(Ok(Reply::Return(self.move_reply(number)))),
                    Err(e) => Some(Err(e)),
                },
                Err(e) => {
                    let code = match e {
                        crate::sync::PositionError::Empty => ErrorCode::Timeout,
                        crate::sync::PositionError::Stopped => ErrorCode::Closing,
                        crate::sync::PositionError::TooMany { .. } => ErrorCode::TooMany,
                    };
                    Some(Err(ErrorReply::new(code, e.to_string())))
                }
            },
        }
    }

    fn program_ended(&mut self, end: ProgramEnd) {
        let word = match end.result {
            RunResult::Done => "done",
            RunResult::Failed => "failed",
            RunResult::Stopped => "stopped",
        };
        self.trigger(&format!("program.{}.{word}", end.program), serde_json::Value::Null);
        let (program, result) = (end.program.clone(), Some(words::result(end.result)));
        self.tell(&Event::Program(ProgramChanged { program, result, checked_moves: None }));
        self.ended.push(end);
    }

    /// What happened to moves, and the named events of programs.
    fn tell_what_happened(&mut self) {
        for what in self.machine.happened() {
            match what {
                Happened::Began(number) => self.move_began(number),
                Happened::Part(done) => self.part_ended(&done),
                Happened::Over(number) => self.move_over(number),
                // It is JSON that the machine has written itself.
                Happened::Named(name, data) => {
                    self.trigger(&name, serde_json::from_str(&data).unwrap_or_default());
                }
            }
        }
    }

    /// The service's own named events. They have no namesakes: a client's may replace them, as any.
    pub fn trigger(&mut self, name: &str, data: serde_json::Value) {
        if let Err(e) = self.machine.trigger(name, &data.to_string()) {
            log::debug!("{name}: {e}");
        }
        self.tell(&Event::Triggered(Triggered { name: name.to_owned(), data }));
    }

    /// Tells the machine's state where it has changed, and new faults.
    fn tell_state(&mut self) {
        if let Some(keeping) = &self.keeping {
            keeping.look(self.machine, self.fault.as_deref());
        }
        let snapshot = self.machine.snapshot();
        for motor in &snapshot.motors {
            if let Some(fault) = &motor.fault
                && self.faulty.insert(motor.motor.clone())
            {
                let data = serde_json::json!({ "fault": fault.to_string() });
                self.trigger(&format!("{}.fault", motor.motor), data);
                self.fault.get_or_insert_with(|| format!("{}: {fault}", motor.motor));
                // Nothing more begins until `clear`, and then nothing that was asked for before.
                self.machine.drop_waiting(&[]);
                self.start_when_ready = None;
                self.begins.stop(None);
            }
        }
        let low = self.machine.power().is_some_and(|power| power.low);
        if std::mem::replace(&mut self.low_power, low) != low {
            self.tell(&Event::Power(PowerChanged { low }));
        }
        let state = words::state(snapshot.state, self.fault.as_deref());
        if self.state.replace(state) != Some(state) {
            let reason = self.fault.clone();
            self.tell(&Event::Machine(MachineChanged { state, reason }));
            if snapshot.state == MachineState::Halted {
                self.trigger("machine.stopped", serde_json::Value::Null);
            }
        }
    }

    /// Sends an event to those who asked for its kind.
    pub fn tell(&mut self, event: &Event) {
        let at_s = self.machine.now().as_nanos() as f64 / 1e9;
        let topic = event.topic();
        for (&id, client) in &mut self.clients {
            if topic.is_none_or(|t| client.topics.contains(&t)) {
                client.sequence += 1;
                let line = EventLine { seq: client.sequence, at_s, event: event.clone() };
                self.wire.event(id, &Outgoing::Event(line).to_line());
            }
        }
    }

    /// Positions, to those who asked for them, and to the status page.
    fn publish(&mut self) {
        let now = self.machine.now();
        if now < self.page_at {
            return;
        }
        self.page_at = now + PAGE_EVERY;
        let snapshot = self.machine.snapshot();
        let owner = |m: &MotorSnapshot| match &m.owner {
            None => PageOwner::None,
            Some(Owner::Client) => PageOwner::Client,
            Some(Owner::Program(_)) => PageOwner::Program,
            Some(Owner::StartUp) => PageOwner::StartUp,
            Some(Owner::Park) => PageOwner::Park,
        };
        let owners: Vec<_> = snapshot.motors.iter().map(owner).collect();
        if let Some(page) = &mut self.page {
            let lateness: Vec<_> = snapshot
                .motors
                .iter()
                .map(|m| self.machine.lateness(&m.motor).unwrap_or_default())
                .collect();
            let facts = PageFacts {
                moves: self.machine.register().count(),
                lateness: &lateness,
                owners: &owners,
                overrides: [
                    snapshot.speed_override,
                    snapshot.rapid_override,
                    snapshot.jog_override,
                ],
                held: snapshot.held,
                inputs: &[],
                outputs: &[],
            };
            if let Err(e) = page.write(&snapshot, &facts) {
                log::warn!("the status page can't be written any more: {e}");
                self.page = None;
            }
        }
        self.tell_motors(now);
    }

    /// Another page, where the motors are others.
    pub fn renew_page(&mut self, difference: &Difference) {
        let others = difference.added.len() + difference.removed.len() > 0;
        let Some(page) = self.page.as_mut().filter(|_| others) else { return };
        if let Err(e) = page.renew(page_counts(&self.config)) {
            log::warn!("the status page can't be made anew: {e}");
            self.page = None;
        }
    }

    fn tell_motors(&mut self, now: Instant) {
        let due = |c: &Client| {
            c.topics.contains(&Topic::Motors)
                && c.told_motors.is_none_or(|told| now >= told + c.every)
        };
        if !self.clients.values().any(due) {
            return;
        }
        let at_s = now.as_nanos() as f64 / 1e9;
        let event = Event::Motors(self.motors_changed());
        for (&id, client) in self.clients.iter_mut().filter(|c| due(c.1)) {
            client.told_motors = Some(now);
            client.sequence += 1;
            let line = EventLine { seq: client.sequence, at_s, event: event.clone() };
            self.wire.event(id, &Outgoing::Event(line).to_line());
        }
    }
}

/// What the status page of a config has.
pub(super) fn page_counts(config: &Config) -> PageCounts {
    PageCounts { motors: config.motors.len(), ..PageCounts::default() }
}

/// What a request comes to.
pub(super) type Handled = Answer<Waiting>;
