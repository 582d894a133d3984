//! A desk that is watched: what each request asked for is noted, each turn is looked at, and what was promised is kept
//! for the trace to be judged by.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::bench::{Bench, Said};
use crate::config::LostLease;
use crate::moves::{ClaimState, OpenMove, Stand};
use crate::service::wire::ClientId;
use crate::units::Instant;

/// Motors that a verb is for; `None`: all.
pub type Motors = Option<Vec<String>>;

/// What a request may do to motors.
#[derive(Clone, PartialEq, Debug)]
pub enum Deed {
    /// It may move these.
    Moves(Vec<String>),
    /// It may move any.
    MovesAny,
    Hold(Motors),
    Resume(Motors),
    Stop(Motors),
    Halt,
    Clear,
    Run(String),
    Jog {
        motors: Vec<String>,
        lasts: Duration,
    },
    /// It says of these where they are.
    Set(Vec<String>),
    Nothing,
}

impl Deed {
    /// Whether it may move a motor, or say where it is.
    fn touches(&self, motor: &String) -> bool {
        match self {
            Deed::Moves(motors) | Deed::Set(motors) | Deed::Jog { motors, .. } => {
                motors.contains(motor)
            }
            Deed::MovesAny | Deed::Resume(_) | Deed::Clear | Deed::Run(_) => true,
            Deed::Hold(_) | Deed::Stop(_) | Deed::Halt | Deed::Nothing => false,
        }
    }
}

/// When a request has to have its reply.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Due {
    /// In the turn in which it is its turn.
    AtOnce,
    /// So long after that at most.
    Within(Duration),
    /// So long after the threads beside the service had time for it.
    FromThreads,
    /// When what it waits for has come: by the time that everything rests.
    Someday,
}

/// A request that a client has sent.
#[derive(Clone, Debug)]
pub struct Order {
    /// The order in which requests were heard, whoever sent them.
    pub place: usize,
    pub client: ClientId,
    pub id: u64,
    pub at: Instant,
    pub deed: Deed,
    /// The first number that a move can have which was asked for later.
    pub first_new: u64,
    /// Since when nothing of its client's is in the way of its reply.
    pub next_in_line: Option<Instant>,
    /// It waited behind another one of its client before it began.
    pub behind: bool,
    pub due: Due,
    pub answered: Option<Instant>,
}

/// Nothing may move a motor in this time: from the answer to a hold or a stop on, until somebody's later request.
#[derive(Clone, Debug)]
pub struct Still {
    pub motor: String,
    /// The request that it comes of.
    pub place: usize,
    /// `FAR`: there is no answer yet.
    pub from: Instant,
    pub until: Instant,
    /// It is a hold's: a request to move waits, too.
    pub hold: bool,
}

/// After this instant no move may move these motors that was asked for before.
#[derive(Clone, Debug)]
pub struct Stopped {
    pub motors: Vec<String>,
    /// `FAR`: there is no answer yet.
    pub from: Instant,
    pub first_new: u64,
    /// Runs of programs that began with an earlier request are over.
    pub place: usize,
}

/// A program that is held begins nothing.
#[derive(Clone, Debug)]
pub struct HeldProgram {
    pub program: String,
    pub place: usize,
    pub from: Instant,
    pub until: Instant,
}

/// A jog must be over by then.
#[derive(Clone, Debug)]
pub struct JogEnd {
    pub number: u64,
    pub by: Instant,
}

/// The place of an axis as a client was told it at rest.
#[derive(Clone, Debug)]
pub struct Told {
    pub motor: String,
    /// It was there at an instant from this one on: earlier than the answer where somebody may have moved it since.
    pub from: Instant,
    pub at: Instant,
    pub steps: i64,
    pub place: usize,
}

/// What a motion's state looks like between two turns.
pub struct View {
    now: Instant,
    open: Vec<OpenMove>,
    /// The program that keeps each motor, by the motors' numbers.
    keepers: Vec<Option<String>>,
    /// The programs that will still use each, shared or not.
    users: Vec<Vec<String>>,
    names: Vec<String>,
    pub programs: BTreeSet<String>,
    count: u64,
}

/// A desk that is watched.
pub struct Watched<'b, 'c> {
    pub bench: &'b mut Bench<'c>,
    pub clients: Vec<ClientId>,
    pub orders: Vec<Order>,
    /// Requests without a reply, by client, as they came.
    waiting: BTreeMap<ClientId, VecDeque<usize>>,
    read: usize,
    pub still: Vec<Still>,
    pub stopped: Vec<Stopped>,
    pub held: Vec<HeldProgram>,
    pub jogs: BTreeMap<u64, JogEnd>,
    pub told: Vec<Told>,
    /// The last request by which each motor may have gone on, or got another place.
    disturbed: BTreeMap<String, usize>,
    /// Runs of programs: which, when, and the request that began it.
    pub runs: Vec<(String, Instant, usize)>,
    ended: BTreeSet<u64>,
    pub rest: Duration,
    pub log: Vec<String>,
    /// All motors that there have ever been.
    pub motors: Vec<String>,
    /// The token of the lease that was given last.
    pub token: Option<String>,
}

impl<'b, 'c> Watched<'b, 'c> {
    pub fn new(bench: &'b mut Bench<'c>, rest: Duration) -> Watched<'b, 'c> {
        let motors = bench.desk.config.motors.iter().map(|m| m.name.clone()).collect();
        Watched {
            bench,
            clients: Vec::new(),
            orders: Vec::new(),
            waiting: BTreeMap::new(),
            read: 0,
            still: Vec::new(),
            stopped: Vec::new(),
            held: Vec::new(),
            jogs: BTreeMap::new(),
            told: Vec::new(),
            disturbed: BTreeMap::new(),
            runs: Vec::new(),
            ended: BTreeSet::new(),
            rest,
            log: Vec::new(),
            motors,
            token: None,
        }
    }

    /// Somebody who asks for nothing hears what happens.
    pub fn observe(&mut self) {
        let client = self.bench.connect();
        self.bench.hear();
        let line = r#"{"v":1,"id":0,"do":"subscribe","topics":["machine"]}"#;
        self.bench.send_line(client, line.to_owned());
        self.bench.hear();
        self.look_on(client);
    }

    fn look_on(&mut self, client: ClientId) {
        self.bench.look();
        let said = self.bench.said_since(self.read);
        assert!(said.iter().any(|s| s.client == client && s.is_ok()));
        self.read += said.len();
    }

    pub fn now(&self) -> Instant {
        self.bench.now()
    }

    pub fn note(&mut self, what: impl std::fmt::Display) {
        self.log.push(format!("{}: {what}", self.bench.now()));
    }

    /// A motor's loop is found not to answer.
    pub fn lose(&mut self, motor: &str) {
        let machine = &mut self.bench.desk.machine;
        if let Some(index) = machine.config().motor_index(motor) {
            machine.tell_book(|book| book.is_silent(index));
        }
    }

    pub fn connect(&mut self) -> ClientId {
        let client = self.bench.connect();
        self.clients.push(client);
        self.waiting.insert(client, VecDeque::new());
        self.note(format!("client {client} connects"));
        self.look();
        client
    }

    /// A client goes: nobody waits for its replies any more, and its jogs have to end.
    pub fn leave(&mut self, client: ClientId) {
        self.note(format!("client {client} goes"));
        let by = self.now() + self.rest;
        for number in self.jogs_of(client) {
            if let Some(jog) = self.jogs.get_mut(&number) {
                jog.by = jog.by.min(by);
            }
        }
        self.clients.retain(|c| *c != client);
        // What it has asked for is done, told or not.
        for place in self.waiting.remove(&client).unwrap_or_default() {
            let by = self.orders[place].at + self.rest;
            self.is_answered(place, by);
        }
        self.bench.leave(client);
        self.look();
    }

    fn jogs_of(&self, client: ClientId) -> Vec<u64> {
        let jogs = self.bench.desk.jogs.iter();
        jogs.filter(|j| *j.1 == client).map(|j| *j.0).collect()
    }

    /// A client sends a request. It is heard, and with it what its client has asked for behind it.
    pub fn send(&mut self, client: ClientId, body: &str, deed: Deed, due: Due, urgent: bool) {
        let before = self.view();
        let line = &self.waiting[&client];
        // Before it may lie what is known and only has to be sent.
        let open = !line.is_empty();
        let (place, at, first_new) = (self.orders.len(), self.now(), before.count + 1);
        self.grants(&deed, &before);
        let id = self.bench.send(client, body);
        self.log.push(format!("{at}: client {client} asks {id}: {body}"));
        self.orders.push(Order {
            place,
            client,
            id,
            at,
            deed: deed.clone(),
            first_new,
            next_in_line: (!open).then_some(at),
            behind: open && !urgent,
            due,
            answered: None,
        });
        if let Some(line) = self.waiting.get_mut(&client) {
            line.push_back(place);
        }
        self.promise(place, &before);
        self.bench.hear();
        let after = self.view();
        self.compare(&before, &after);
    }

    /// What has waited behind other requests is done now.
    fn may_move(&mut self, deed: &Deed, before: &View) {
        if !matches!(deed, Deed::Hold(_) | Deed::Stop(_) | Deed::Halt) {
            self.grants(deed, before);
        }
        if let Deed::Resume(_) = deed {
            // With what has begun in this turn before it.
            let now = self.view();
            self.grants(deed, &now);
        }
    }

    fn may_be_moved(&mut self, motors: &[String], before: &View) {
        self.let_go(Some(motors), false);
        // A held program lets its motors be moved meanwhile.
        let lent: Vec<_> = motors.iter().filter(|m| !before.users(m).is_empty()).cloned().collect();
        self.let_go(Some(&lent), true);
    }

    /// What may move motors from now on.
    fn grants(&mut self, deed: &Deed, before: &View) {
        let now = self.now();
        match deed {
            Deed::Moves(motors) => self.may_be_moved(motors, before),
            Deed::MovesAny => self.may_be_moved(&before.names, before),
            // A jog begins also under a hold.
            Deed::Jog { motors, .. } => self.let_go(Some(motors), true),
            Deed::Clear => self.let_go(None, true),
            Deed::Run(program) => {
                let config = self.bench.desk.config.clone();
                let program = crate::programs::Program::new(&config, Some(program));
                let uses = program.map(|p| p.motors()).unwrap_or_default().into_iter();
                let uses: Vec<_> = uses.map(|m| config.motors[m].name.clone()).collect();
                self.let_go(Some(&uses), false);
            }
            Deed::Resume(motors) => {
                let freed = motors.as_ref().map(|m| before.connected(m));
                self.let_go(freed.as_deref(), true);
                let programs = before.programs_of(freed.as_deref());
                self.end_held(&programs, now);
            }
            Deed::Stop(motors) => {
                // The hold is over, and what moves next is nobody's but the stop's business.
                self.end_holds(motors.as_deref());
                let programs = before.programs_of(motors.as_deref());
                self.end_held(&programs, now);
            }
            Deed::Halt => {
                self.end_holds(None);
                self.end_held(&before.programs, now);
            }
            Deed::Set(motors) => {
                let place = self.orders.len();
                self.disturbed.extend(motors.iter().map(|motor| (motor.clone(), place)));
                self.count_anew(motors);
            }
            Deed::Hold(_) | Deed::Nothing => {}
        }
    }

    /// At one instant a motor has two counts: what was told of these just now was the earlier one.
    fn count_anew(&mut self, motors: &[String]) {
        let now = self.now();
        let told = self.told.iter_mut().filter(|t| t.at == now && motors.contains(&t.motor));
        told.for_each(|t| t.from = t.from.min(t.at));
    }

    fn end_held(&mut self, programs: &BTreeSet<String>, now: Instant) {
        let open = |h: &&mut HeldProgram| h.until == Instant::FAR && programs.contains(&h.program);
        self.held.iter_mut().filter(open).for_each(|h| h.until = now);
    }

    fn end_holds(&mut self, motors: Option<&[String]>) {
        let now = self.now();
        for still in self.still.iter_mut().filter(|s| s.hold && s.until == Instant::FAR) {
            if motors.is_none_or(|all| all.contains(&still.motor)) {
                still.until = now;
            }
        }
    }

    /// From now on these motors may move; `None`: all. `held`: also where they are held.
    fn let_go(&mut self, motors: Option<&[String]>, held: bool) {
        let now = self.now();
        let place = self.orders.len();
        let all = motors.map_or_else(|| self.motors.clone(), <[String]>::to_vec);
        self.disturbed.extend(all.into_iter().map(|motor| (motor, place)));
        for still in self.still.iter_mut().filter(|s| s.until == Instant::FAR) {
            if motors.is_none_or(|all| all.contains(&still.motor)) && (held || !still.hold) {
                still.until = now;
            }
        }
    }

    /// What a hold, a stop or a halt promises, from its answer on.
    fn promise(&mut self, place: usize, before: &View) {
        let order = &self.orders[place];
        let hold = matches!(order.deed, Deed::Hold(_));
        let motors = match &order.deed {
            Deed::Hold(motors) | Deed::Stop(motors) => motors.clone(),
            Deed::Halt => None,
            _ => return,
        };
        let (from, until, first_new) = (Instant::FAR, Instant::FAR, order.first_new);
        if hold {
            let programs = before.programs_of(motors.as_deref()).into_iter();
            self.held.extend(programs.map(|program| HeldProgram { program, place, from, until }));
        }
        let motors = motors.unwrap_or_else(|| before.names.clone());
        for motor in &motors {
            self.still.push(Still { motor: motor.clone(), place, from, until, hold });
        }
        if !hold {
            self.stopped.push(Stopped { motors, from, first_new, place });
        }
    }

    /// A request has its answer: what it promised holds from now on.
    fn is_answered(&mut self, place: usize, at: Instant) {
        let still = self.still.iter_mut().filter(|s| s.place == place).map(|s| &mut s.from);
        let stopped = self.stopped.iter_mut().filter(|s| s.place == place).map(|s| &mut s.from);
        let held = self.held.iter_mut().filter(|h| h.place == place).map(|h| &mut h.from);
        // Not those of a lost lease, which were no request.
        let open = still.chain(stopped).chain(held).filter(|from| **from == Instant::FAR);
        open.for_each(|from| *from = at);
    }

    pub fn view(&self) -> View {
        let desk = &self.bench.desk;
        let register = desk.machine.register();
        let count = register.models.len();
        View {
            now: desk.machine.now(),
            open: register.open(),
            keepers: (0..count).map(|m| register.keeper(m).map(ToString::to_string)).collect(),
            users: (0..count).map(|m| register.users(m)).collect(),
            names: register.models.iter().map(|m| m.name.clone()).collect(),
            programs: desk.programs.iter().map(|p| p.name().to_owned()).collect(),
            count: register.count(),
        }
    }

    /// The service looks at what there is.
    pub fn look(&mut self) -> Instant {
        let before = self.view();
        let next = self.bench.look();
        let after = self.view();
        self.compare(&before, &after);
        self.read(&before);
        next
    }

    /// One turn.
    pub fn turn(&mut self, limit: Instant) {
        let next = self.look();
        let before = self.view();
        self.bench.work(next.min(limit));
        self.bench.desk.machine.register().check_waits();
        let after = self.view();
        self.compare(&before, &after);
    }

    pub fn run_until(&mut self, at: Instant) {
        while self.now() < at {
            self.turn(at);
        }
        self.look();
    }

    /// What happened from one view to the next.
    pub fn compare(&mut self, before: &View, after: &View) {
        let register = self.bench.desk.machine.register();
        register.check();
        assert!(after.count >= before.count, "numbers only grow");
        for one in &after.open {
            assert!(!self.ended.contains(&one.id), "move {} has come back", one.id);
            assert!(one.id <= after.count);
        }
        let is_open = |id: u64| after.open.iter().any(|m| m.id == id);
        let gone = before.open.iter().map(|m| m.id).filter(|id| !is_open(*id));
        self.ended.extend(gone.chain(before.count + 1..=after.count).filter(|id| !is_open(*id)));
        self.first_come_first_served(before, after);
        self.programs_keep_their_motors(after);
        // What is over is not held any more, and what begins anew is not yet.
        let others = before.programs.symmetric_difference(&after.programs).cloned().collect();
        self.end_held(&others, before.now);
        // With a program its hold of its motors is over.
        let freed = before.names.iter().filter(|name| {
            let users = after.users(name);
            before.users(name).iter().any(|user| !users.contains(user))
        });
        let freed: Vec<String> = freed.cloned().collect();
        if !freed.is_empty() {
            self.let_go(Some(&freed), true);
        }
    }

    /// Of two moves that want one motor the one that was asked for first begins first, unless its time has not come.
    fn first_come_first_served(&self, before: &View, after: &View) {
        let begun = |m: &&OpenMove| matches!(m.stand, Stand::Running | Stand::Held);
        let had_begun = |id: u64| before.open.iter().any(|m| m.id == id && begun(&m));
        let new = after.open.iter().filter(begun).filter(|m| !had_begun(m.id));
        for new in new.filter(|m| m.owner.program().is_none()) {
            for first in after.open.iter().filter(|m| m.stand == Stand::Queued && m.id < new.id) {
                let waited = before.open.iter().any(|m| m.id == first.id && m.stand == first.stand);
                let both = first.motors.iter().any(|m| new.motors.contains(m));
                // What a hold keeps back keeps nobody else from its motors.
                let held = self.bench.desk.machine.register().waits_held(first.id);
                assert!(
                    held || !(waited && both),
                    "move {} is overtaken by move {}",
                    first.id,
                    new.id
                );
            }
        }
    }

    /// What a program keeps nobody else moves.
    fn programs_keep_their_motors(&self, view: &View) {
        let register = self.bench.desk.machine.register();
        for one in view.open.iter().filter(|m| matches!(m.stand, Stand::Running | Stand::Held)) {
            for &motor in &one.motors {
                let busy = register.motors[motor].busy == Some(one.id);
                let Some(keeper) = view.keepers[motor].as_ref().filter(|_| busy) else { continue };
                let its_own = one.owner.program().is_some_and(|p| **p == **keeper);
                let held = register.claim_state(keeper) != Some(ClaimState::Running);
                assert!(
                    its_own || held,
                    "move {} of {} has {}, which {keeper} keeps",
                    one.id,
                    one.owner,
                    view.names[motor]
                );
            }
        }
    }

    /// What was said since the last time.
    fn read(&mut self, before: &View) {
        let said = self.bench.said_since(self.read);
        self.read += said.len();
        for said in said {
            if said.is_reply() {
                self.reply(&said, before);
            } else {
                self.event(&said, before);
            }
        }
        let (now, is_busy) = (self.now(), self.bench.are_threads_busy());
        let next =
            self.waiting.values().filter_map(VecDeque::front).map(|&place| &self.orders[place]);
        let begun = next.filter(|order| order.next_in_line.is_none()).map(|o| o.deed.clone());
        let begun: Vec<Deed> = begun.collect();
        begun.iter().for_each(|deed| self.may_move(deed, before));
        for line in self.waiting.values() {
            if let Some(&first) = line.front() {
                let order = &mut self.orders[first];
                let since = *order.next_in_line.get_or_insert(now);
                let within = match order.due {
                    Due::Someday => continue,
                    Due::FromThreads if is_busy => {
                        order.next_in_line = Some(now);
                        continue;
                    }
                    Due::AtOnce | Due::FromThreads => Duration::ZERO,
                    Due::Within(within) => within,
                };
                let late = now.since(since) >= within;
                assert!(!late, "{order:?} has no answer after {:?}", now.since(since));
            }
        }
    }

    fn reply(&mut self, said: &Said, before: &View) {
        let line = self.waiting.get_mut(&said.client);
        let line = line.unwrap_or_else(|| panic!("a reply to nobody: {said:?}"));
        let place = line.pop_front().unwrap_or_else(|| panic!("nobody asked for {said:?}"));
        let order = &mut self.orders[place];
        assert_eq!(said.what["id"], order.id, "replies come in the order of their requests");
        order.answered = Some(said.at);
        let order = order.clone();
        self.log.push(format!("{}: client {} is told {}", said.at, said.client, said.what));
        let touched = self.touched_by_others(&order);
        if order.next_in_line.is_none() {
            // It has been done in this turn.
            self.may_move(&order.deed, before);
        }
        if !said.is_ok() {
            return;
        }
        if let Deed::Jog { motors: _, lasts } = &order.deed {
            let number = said.what["move"].as_u64().unwrap();
            // As often again where it waits for its current.
            let by = order.at + 2 * *lasts + self.rest;
            let jog = JogEnd { number, by };
            self.jogs.entry(number).and_modify(|j| j.by = j.by.max(by)).or_insert(jog);
        }
        if let Some(token) = said.what.get("token") {
            self.token = token.as_str().map(str::to_owned);
        }
        self.is_answered(place, said.at);
        // One that was known before, and waited for its turn, tells of an earlier rest.
        let fresh = order.next_in_line.is_some_and(|since| since <= said.at) && !order.behind;
        if let Deed::Hold(_) | Deed::Stop(_) | Deed::Halt = order.deed
            && fresh
        {
            for (motor, is) in said.what["motors"].as_object().unwrap() {
                if let Some(steps) = is["steps"].as_i64() {
                    let disturbed = touched.iter().any(|m| m == motor);
                    let (motor, at) = (motor.clone(), said.at);
                    let from = if disturbed { order.at } else { at.plus_nanos(1) };
                    self.told.push(Told { motor, from, at, steps, place });
                }
            }
        }
    }

    /// Motors that other requests may have moved, or given another place, since this one was heard.
    fn touched_by_others(&mut self, order: &Order) -> Vec<String> {
        // What waits behind others of its client's is done at some time before its reply.
        let open = self.waiting.values().flatten().map(|&place| &self.orders[place]);
        let open: Vec<_> = open.filter(|o| o.answered.is_none()).map(|o| &o.deed).collect();
        let all = self.motors.iter();
        let touched = all.filter(|motor| {
            let since = self.disturbed.get(*motor).is_some_and(|by| *by > order.place);
            since || open.iter().any(|deed| deed.touches(motor))
        });
        let touched = touched.cloned().collect();
        let again = self.orders.len();
        let deed = &order.deed;
        let own = self.motors.iter().filter(|m| deed.touches(m)).map(|m| (m.clone(), again));
        self.disturbed.extend(own);
        touched
    }

    fn event(&mut self, said: &Said, before: &View) {
        let what = &said.what;
        match what["event"].as_str().unwrap() {
            "lease" if what["state"] == "lost" => {
                let names = what["motors"].as_array().unwrap().iter();
                let names: Vec<String> = names.map(|n| n.as_str().unwrap().to_owned()).collect();
                let config = self.bench.desk.config.clone();
                let stops = |m: &&String| {
                    config.motor(m).is_some_and(|c| c.on_lost_lease == LostLease::Stop)
                };
                let (motors, hold): (Vec<_>, Vec<_>) =
                    names.iter().cloned().partition(|m| stops(&m));
                // What a park moves is no longer still.
                self.let_go(Some(&names), true);
                let (from, first_new, place) = (said.at + self.rest, before.count + 1, 0);
                let until = Instant::FAR;
                let held = before.programs_of(Some(&hold)).into_iter();
                self.held.extend(held.map(|program| HeldProgram { program, place, from, until }));
                self.stopped.push(Stopped { motors, from, first_new, place });
            }
            // It begins.
            "program" if what["result"].is_null() => {
                let program = what["program"].as_str().unwrap().to_owned();
                let asked = self.orders.iter().filter(|o| o.deed == Deed::Run(program.clone()));
                let asked = asked.filter(|o| o.answered.is_none()).map(|o| o.place).max();
                // The start program, which waits for a `clear` after a bad end.
                let cleared = self.orders.iter().filter(|o| o.deed == Deed::Clear);
                let place = asked.or(cleared.map(|o| o.place).max());
                self.runs.push((program, said.at, place.unwrap_or(0)));
            }
            // It may begin anew before anybody looks again.
            "program" => {
                let program = what["program"].as_str().unwrap().to_owned();
                let kept = before.names.iter().filter(|name| before.users(name).contains(&program));
                let kept: Vec<String> = kept.cloned().collect();
                self.let_go(Some(&kept), true);
                self.end_held(&BTreeSet::from([program]), said.at);
            }
            "reloaded" => {
                // They may count anew.
                let motors = what["changed"].as_array().unwrap().iter();
                let motors: Vec<_> = motors.map(|m| m.as_str().unwrap().to_owned()).collect();
                self.count_anew(&motors);
                let place = self.orders.len();
                self.disturbed.extend(motors.into_iter().map(|motor| (motor, place)));
            }
            _ => {}
        }
    }

    /// Requests without an answer.
    pub fn unanswered(&self) -> Vec<&Order> {
        self.waiting.values().flatten().map(|&place| &self.orders[place]).collect()
    }
}

impl View {
    fn users(&self, motor: &str) -> &[String] {
        let index = self.names.iter().position(|name| name == motor);
        index.map_or(&[], |index| &self.users[index])
    }

    /// The programs that keep one of these motors; `None`: all.
    fn programs_of(&self, motors: Option<&[String]>) -> BTreeSet<String> {
        let Some(motors) = motors else { return self.programs.clone() };
        let used = self.users.iter().enumerate();
        let used = used.filter(|(m, _)| motors.contains(&self.names[*m]));
        used.flat_map(|(_, users)| users.clone()).collect()
    }

    /// Motors that hang together with these, by moves and programs.
    fn connected(&self, motors: &[String]) -> Vec<String> {
        let mut all: BTreeSet<usize> =
            (0..self.names.len()).filter(|&m| motors.contains(&self.names[m])).collect();
        loop {
            let before = all.len();
            for one in &self.open {
                let program = one.owner.program();
                let kept = |m: &usize| {
                    program.is_some_and(|p| self.users[*m].iter().any(|user| **user == **p))
                };
                if one.motors.iter().any(|m| all.contains(m)) || all.iter().any(kept) {
                    all.extend(&one.motors);
                }
            }
            let users: BTreeSet<_> = all.iter().flat_map(|&m| self.users[m].clone()).collect();
            let kept = |m: &usize| self.users[*m].iter().any(|user| users.contains(user));
            all.extend((0..self.names.len()).filter(kept));
            if all.len() == before {
                return all.into_iter().map(|m| self.names[m].clone()).collect();
            }
        }
    }
}
