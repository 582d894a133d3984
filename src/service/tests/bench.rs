//! A desk whose clients are the test: they send lines, and what they are sent is kept with its instant.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::story::Story;
use crate::config::Config;
use crate::hal::Clock;
use crate::machine::Machine;
use crate::protocol::{ErrorCode, ErrorReply};
use crate::service::begins::Begins;
use crate::service::desk::Desk;
use crate::service::looker::Looker;
use crate::service::reload::{ConfigFile, Reading, Work};
use crate::service::wire::{ClientId, FromClient, Lines};
use crate::units::Instant;

/// Turns at one instant after which a test takes it that time stands still.
const MOST_TURNS_AT_ONCE: u32 = 20_000;

/// A reply or an event, and when it came.
#[derive(Clone, Debug)]
pub struct Said {
    pub at: Instant,
    pub client: ClientId,
    pub what: Value,
}

impl Said {
    pub fn is_reply(&self) -> bool {
        self.what.get("event").is_none()
    }

    pub fn is_ok(&self) -> bool {
        self.what["ok"] == true
    }

    /// The code of a refusal.
    pub fn code(&self) -> &str {
        self.what["code"].as_str().unwrap_or("")
    }
}

/// What the test makes of an answer that is true.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lie {
    /// It comes before anything has been done.
    AtOnce,
    Never,
    Twice,
}

/// Clients that are a list of what they sent, and a list of what they were sent.
pub struct Paper {
    clock: Clock,
    coming: RefCell<VecDeque<FromClient>>,
    said: RefCell<Vec<Said>>,
    next_client: Cell<ClientId>,
    /// What becomes of the next reply.
    lie: Cell<Option<Lie>>,
    /// Whom the service has disconnected.
    thrown_out: RefCell<Vec<ClientId>>,
}

impl Paper {
    fn keep(&self, client: ClientId, line: &str) {
        let what = serde_json::from_str(line).expect("the service writes JSON");
        self.said.borrow_mut().push(Said { at: self.clock.now(), client, what });
    }
}

impl Lines for Paper {
    fn next(&self) -> Option<FromClient> {
        self.coming.borrow_mut().pop_front()
    }

    fn reply(&self, client: ClientId, line: String) {
        match self.lie.take() {
            Some(Lie::AtOnce | Lie::Never) => return,
            Some(Lie::Twice) => self.keep(client, &line),
            None => {}
        }
        self.keep(client, &line);
    }

    fn event(&self, client: ClientId, line: &str) {
        self.keep(client, line);
    }

    fn disconnect(&self, client: ClientId) {
        self.thrown_out.borrow_mut().push(client);
    }
}

/// The config file of a service, as the test has written it last.
#[derive(Debug, Default)]
pub struct File(Mutex<Option<Result<Config, Vec<String>>>>);

impl File {
    pub fn write(&self, config: Result<Config, Vec<String>>) {
        *self.0.lock().unwrap() = Some(config);
    }
}

impl ConfigFile for File {
    fn read(&self, _reading: &Reading) -> Result<Config, Vec<String>> {
        let file = self.0.lock().unwrap();
        file.clone().unwrap_or_else(|| Err(vec!["there is no file".to_owned()]))
    }
}

/// The config of a text, which is right.
pub fn config(text: &str) -> Config {
    match Config::from_str(text, "test.toml") {
        Ok(checked) => checked.config,
        Err(e) => panic!("{e:?}\n{text}"),
    }
}

/// The threads that do what takes long: they look programs through and read files, at once unless they are busy.
#[derive(Clone, Default)]
struct Threads {
    are_busy: Arc<AtomicBool>,
    left: Arc<Mutex<VecDeque<Work>>>,
}

impl Threads {
    fn take(&self, work: Work) {
        if self.are_busy.load(Ordering::Relaxed) {
            self.left.lock().unwrap().push_back(work);
        } else {
            work();
        }
    }

    fn are_free(&self) {
        self.are_busy.store(false, Ordering::Relaxed);
        let left = std::mem::take(&mut *self.left.lock().unwrap());
        left.into_iter().for_each(|work| work());
    }
}

/// A disk on which it is noted that motors leave, before they do: see `Machine::ask_before_leaving`.
#[derive(Default)]
struct Disk {
    /// Since when each motor wants to leave, and when it last did.
    leaving: BTreeMap<String, (Instant, Instant)>,
}

impl Disk {
    /// How long the disk takes.
    const TAKES: Duration = Duration::from_millis(7);

    /// After so long a rest it has to be noted anew.
    const RESTS: Duration = Duration::from_millis(200);

    fn may_leave(&mut self, motors: &[&str], now: Instant) -> bool {
        let mut may = true;
        for motor in motors {
            let (since, last) = self.leaving.entry((*motor).to_owned()).or_insert((now, now));
            if now.since(*last) > Self::RESTS {
                *since = now;
            }
            *last = now;
            may &= now.since(*since) >= Self::TAKES;
        }
        may
    }
}

/// A desk at work.
pub struct Bench<'c> {
    pub desk: Desk<'c>,
    pub file: Arc<File>,
    threads: Threads,
    busy_until: Instant,
    paper: &'c Paper,
    next_id: u64,
    /// How many turns there have been, and how many at this instant.
    pub turns: u64,
    /// The most moves that a round of the desk has begun.
    pub most_moves: u64,
    at_once: (Instant, u32),
}

/// Serves a config in virtual time from its start-up on, as `serve` does; does what `act` does, and comes to its end.
/// `unclean`: how it ended before.
pub fn serve<T>(
    config: Config,
    unclean: Option<&str>,
    act: impl FnOnce(&mut Bench<'_>) -> T,
) -> (T, Story) {
    serve_with(config, unclean, false, act)
}

/// The same; `asks`: a disk has to know of motors before they leave where they rest.
pub fn serve_with<T>(
    config: Config,
    unclean: Option<&str>,
    asks: bool,
    act: impl FnOnce(&mut Bench<'_>) -> T,
) -> (T, Story) {
    let mut done = None;
    let act: Act<'_> = Box::new(|bench| done = Some(act(bench)));
    let mut machine = serve_machine(config, unclean, (true, asks), act);
    (done.unwrap(), Story::new(&mut machine))
}

/// The same without a trace, which allows for any other config.
pub fn serve_untraced<T>(config: Config, act: impl FnOnce(&mut Bench<'_>) -> T) -> T {
    let mut done = None;
    serve_machine(config, None, (false, false), Box::new(|bench| done = Some(act(bench))));
    done.unwrap()
}

/// What a test does at a bench.
type Act<'a> = Box<dyn FnOnce(&mut Bench<'_>) + 'a>;

/// Of no type of its own: hundreds of tests call it, and it is long.
fn serve_machine(
    config: Config,
    unclean: Option<&str>,
    (traced, asks): (bool, bool),
    act: Act<'_>,
) -> Machine {
    let mut machine = Machine::builder(config).virtual_time().trace(traced).build().unwrap();
    let paper = Paper {
        clock: machine.clock(),
        coming: RefCell::default(),
        said: RefCell::default(),
        next_client: Cell::new(1),
        lie: Cell::new(None),
        thrown_out: RefCell::default(),
    };
    if asks {
        let mut disk = Disk::default();
        machine.ask_before_leaving(move |motors, now| disk.may_leave(motors, now));
    }
    let threads = Threads::default();
    let begins = Begins::new(Looker::at_once(threads.are_busy.clone()));
    let file = Arc::new(File::default());
    let unclean = unclean.map(str::to_owned);
    let mut desk = Desk::new(&mut machine, begins, Some(file.clone()), &paper, None, unclean);
    let reads = threads.clone();
    desk.reload.reader = Box::new(move |work| {
        reads.take(work);
        Ok(())
    });
    desk.open();
    let (at_once, busy_until) = ((Instant::ZERO, 0), Instant::ZERO);
    let paper = &paper;
    let (next_id, turns, most_moves) = (1, 0, 0);
    let mut bench =
        Bench { desk, file, threads, busy_until, paper, next_id, turns, most_moves, at_once };
    act(&mut bench);
    bench.threads.are_free();
    bench.desk.end();
    drop(bench);
    assert_eq!(machine.finish(), Vec::<String>::new(), "every loop answers");
    machine
}

impl<'c> Bench<'c> {
    pub fn now(&self) -> Instant {
        self.desk.machine.now()
    }

    /// A client connects.
    pub fn connect(&mut self) -> ClientId {
        let id = self.paper.next_client.get();
        self.paper.next_client.set(id + 1);
        self.paper.coming.borrow_mut().push_back(FromClient::Connected(id));
        id
    }

    /// A client goes.
    pub fn leave(&mut self, client: ClientId) {
        self.paper.coming.borrow_mut().push_back(FromClient::Gone(client));
    }

    /// A client sends a request, `body` being its line without version and number. It is heard in the next turn.
    pub fn send(&mut self, client: ClientId, body: &str) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.send_line(client, format!(r#"{{"v":1,"id":{id},{body}}}"#));
        if self.paper.lie.get() == Some(Lie::AtOnce) {
            let reply = format!(r#"{{"v":1,"id":{id},"ok":true,{body},"motors":{{}}}}"#);
            self.paper.keep(client, &reply);
        }
        id
    }

    /// The next request gets a wrong answer.
    pub fn lie(&mut self, lie: Lie) {
        self.paper.lie.set(Some(lie));
    }

    pub fn send_line(&mut self, client: ClientId, line: String) {
        self.paper.coming.borrow_mut().push_back(FromClient::Line(client, Ok(line)));
    }

    /// A client sends a line that is too long.
    pub fn send_too_long(&mut self, client: ClientId) {
        let error = ErrorReply::new(ErrorCode::LineTooLong, "a line may have less");
        self.paper.coming.borrow_mut().push_back(FromClient::Line(client, Err(error)));
    }

    pub fn is_thrown_out(&self, client: ClientId) -> bool {
        self.paper.thrown_out.borrow().contains(&client)
    }

    /// The service hears what has been sent, and does no more than that.
    pub fn hear(&mut self) {
        while let Some(what) = self.paper.next() {
            self.desk.hear(what);
        }
    }

    /// A turn of the service but for the machine's work. Says when the next one is due.
    pub fn look(&mut self) -> Instant {
        self.turns += 1;
        let now = self.now();
        if self.at_once.0 != now {
            self.at_once = (now, 0);
        }
        self.at_once.1 += 1;
        assert!(self.at_once.1 < MOST_TURNS_AT_ONCE, "time stands still at {now}");
        if now < self.busy_until {
            let next = self.round();
            // Another config takes its time.
            if self.now() < self.busy_until {
                return next.min(self.busy_until);
            }
        }
        self.threads.are_free();
        let mut next = self.round();
        // Who has looked one through wakes the service.
        while self.desk.begins.are_looked_through() {
            next = self.round();
        }
        next
    }

    fn round(&mut self) -> Instant {
        let before = self.desk.machine.register().count();
        let next = self.desk.round();
        let moves = self.desk.machine.register().count() - before;
        self.most_moves = self.most_moves.max(moves);
        next
    }

    /// Whether what waits for those threads has to wait on.
    pub fn are_threads_busy(&self) -> bool {
        self.now() < self.busy_until
    }

    /// The threads that look programs through and read files are busy for so long.
    pub fn threads_are_busy(&mut self, lasts: Duration) {
        self.threads.are_busy.store(true, Ordering::Relaxed);
        self.busy_until = self.now() + lasts;
    }

    /// The machine works, until then or until something has happened.
    pub fn work(&mut self, until: Instant) {
        self.desk.machine.work(until);
    }

    /// One turn of the service, which waits no longer than `limit`.
    pub fn turn(&mut self, limit: Instant) {
        let next = self.look();
        self.work(next.min(limit));
    }

    /// Runs the service up to an instant, and up to what it says then.
    pub fn run_until(&mut self, at: Instant) {
        while self.now() < at {
            self.turn(at);
        }
        self.turn(at);
    }

    pub fn run_for(&mut self, ms: u64) {
        self.run_until(self.now() + Duration::from_millis(ms));
    }

    /// What was said after the first so many.
    pub fn said_since(&self, first: usize) -> Vec<Said> {
        self.paper.said.borrow()[first..].to_vec()
    }

    /// The reply to a request, if it has come.
    pub fn reply(&self, client: ClientId, id: u64) -> Option<Said> {
        let said = self.paper.said.borrow();
        said.iter().find(|s| s.client == client && s.is_reply() && s.what["id"] == id).cloned()
    }

    /// Runs on until the reply to a request has come, for a minute at most.
    pub fn answer(&mut self, client: ClientId, id: u64) -> Said {
        let patience = self.now() + Duration::from_secs(60);
        while self.reply(client, id).is_none() && self.now() < patience {
            self.turn(patience);
        }
        self.reply(client, id).unwrap_or_else(|| panic!("request {id} has no answer"))
    }

    /// Sends a request and runs on until its reply has come.
    pub fn ask(&mut self, client: ClientId, body: &str) -> Said {
        let id = self.send(client, body);
        self.answer(client, id)
    }
}
