//! A desk whose clients are the test: they send lines, and what they are sent is kept with its instant.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::story::Story;
use crate::config::Config;
use crate::hal::Clock;
use crate::machine::Machine;
use crate::service::begins::Begins;
use crate::service::desk::Desk;
use crate::service::looker::Looker;
use crate::service::reload::{ConfigFile, Reading};
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

/// Clients that are a list of what they sent, and a list of what they were sent.
pub struct Paper {
    clock: Clock,
    coming: RefCell<VecDeque<FromClient>>,
    said: RefCell<Vec<Said>>,
    next_client: Cell<ClientId>,
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
        self.keep(client, &line);
    }

    fn event(&self, client: ClientId, line: &str) {
        self.keep(client, line);
    }

    fn disconnect(&self, _client: ClientId) {}
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

/// A desk at work.
pub struct Bench<'c> {
    pub desk: Desk<'c>,
    pub file: Arc<File>,
    paper: &'c Paper,
    next_id: u64,
    /// How many turns there have been, and how many at this instant.
    pub turns: u64,
    at_once: (Instant, u32),
}

/// Serves a config in virtual time from its start-up on, as `serve` does; does what `act` does, and comes to its end.
/// `unclean`: how it ended before.
pub fn serve<T>(
    config: Config,
    unclean: Option<&str>,
    act: impl FnOnce(&mut Bench<'_>) -> T,
) -> (T, Story) {
    let (done, mut machine) = serve_machine(config, unclean, true, act);
    (done, Story::new(&mut machine))
}

/// The same without a trace, which allows for another config.
pub fn serve_untraced<T>(config: Config, act: impl FnOnce(&mut Bench<'_>) -> T) -> T {
    serve_machine(config, None, false, act).0
}

fn serve_machine<T>(
    config: Config,
    unclean: Option<&str>,
    traced: bool,
    act: impl FnOnce(&mut Bench<'_>) -> T,
) -> (T, Machine) {
    let mut machine = Machine::builder(config).virtual_time().trace(traced).build().unwrap();
    let paper = Paper {
        clock: machine.clock(),
        coming: RefCell::default(),
        said: RefCell::default(),
        next_client: Cell::new(1),
    };
    let begins = Begins::new(Looker::at_once());
    let file = Arc::new(File::default());
    let unclean = unclean.map(str::to_owned);
    let mut desk = Desk::new(&mut machine, begins, Some(file.clone()), &paper, None, unclean);
    // A file is read at once: there is no thread to wait for.
    desk.reload.reader = Box::new(|work| {
        work();
        Ok(())
    });
    desk.open();
    let at_once = (Instant::ZERO, 0);
    let mut bench = Bench { desk, file, paper: &paper, next_id: 1, turns: 0, at_once };
    let done = act(&mut bench);
    bench.desk.end();
    drop(bench);
    assert_eq!(machine.finish(), Vec::<String>::new(), "every loop answers");
    (done, machine)
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
        id
    }

    pub fn send_line(&mut self, client: ClientId, line: String) {
        self.paper.coming.borrow_mut().push_back(FromClient::Line(client, line));
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
        self.desk.round()
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
