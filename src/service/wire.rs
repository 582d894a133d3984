//! The control socket: who is connected, the lines they send, and what is sent to them.
//!
//! Each client has two threads of its own, one that reads and one that writes, so that a client that
//! stalls stalls nobody else. The coordinator never waits for a client: lines come through one bounded
//! channel, and what goes out is queued, bounded for each client. A client that does not read loses
//! events, with a count of how many; one that does not even read its replies is disconnected.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, TrySendError, bounded, select};

use crate::protocol::{ErrorReply, LineBuffer, MAX_LINE};
use crate::runtime::Waker;
use crate::sync::StopEvent;

/// How many clients may be connected at once.
pub const MOST_CLIENTS: usize = 64;

/// Replies and events under way to one client.
const OUT_QUEUE: usize = 1024;

/// Events under way to one client; what comes while so many wait is dropped and counted.
const MOST_EVENTS: usize = 256;

/// Lines of all clients that wait for the coordinator.
const IN_QUEUE: usize = 256;

/// How long a write to a client may take before it is disconnected.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// How often a thread that waits for room in the coordinator's channel looks whether the service ends.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Small: these threads hold a line and little else.
const STACK: usize = 256 * 1024;

/// A client, for as long as it is connected. Numbers are never used again.
pub type ClientId = u64;

/// What the coordinator hears.
#[derive(Debug)]
pub enum FromClient {
    /// A client has connected.
    Connected(ClientId),
    /// A line, without its line feed; or why it is none: it is longer than [`MAX_LINE`], or no UTF-8.
    Line(ClientId, Result<String, ErrorReply>),
    /// The client has gone, or was disconnected.
    Gone(ClientId),
}

/// What the coordinator has of its clients: what they did, and what it has to say to them. None of it waits.
pub(super) trait Lines {
    /// The next thing that a client did.
    fn next(&self) -> Option<FromClient>;

    /// Queues a reply.
    fn reply(&self, client: ClientId, line: String);

    /// Queues an event, or counts it where there is no room.
    fn event(&self, client: ClientId, line: &str);

    /// Ends a client's connection.
    fn disconnect(&self, client: ClientId);
}

impl Lines for Wire {
    fn next(&self) -> Option<FromClient> {
        Wire::next(self)
    }

    fn reply(&self, client: ClientId, line: String) {
        Wire::reply(self, client, line);
    }

    fn event(&self, client: ClientId, line: &str) {
        Wire::event(self, client, line);
    }

    fn disconnect(&self, client: ClientId) {
        Wire::disconnect(self, client);
    }
}

enum Out {
    Reply(String),
    Event(String),
}

struct Client {
    out: Sender<Out>,
    events: Arc<AtomicUsize>,
    lost: Arc<AtomicU64>,
    stream: UnixStream,
}

/// How many events a client has missed, as the line that tells it so.
pub type LostLine = fn(u64) -> String;

struct Shared {
    clients: Mutex<BTreeMap<ClientId, Client>>,
    quit: StopEvent,
    to_coordinator: Sender<FromClient>,
    waker: Waker,
    lost_line: LostLine,
}

/// The socket's listening side, with a thread that takes clients in.
pub struct Wire {
    shared: Arc<Shared>,
    lines: Receiver<FromClient>,
    done: Receiver<()>,
    /// Where the socket is: connecting to it ends the wait for clients.
    path: Option<PathBuf>,
}

impl Wire {
    /// Starts to take clients from `listener`. The coordinator is woken by `waker` whenever it has
    /// something to read. `refusal` is sent to a client that finds [`MOST_CLIENTS`] connected.
    ///
    /// # Errors
    ///
    /// The system gave no thread.
    pub fn start(
        listener: UnixListener,
        waker: Waker,
        refusal: String,
        lost_line: LostLine,
    ) -> io::Result<Wire> {
        listener.set_nonblocking(false)?;
        let path = listener.local_addr()?.as_pathname().map(Path::to_owned);
        let (to_coordinator, lines) = bounded(IN_QUEUE);
        let (done_tx, done) = bounded(1);
        let shared = Arc::new(Shared {
            clients: Mutex::new(BTreeMap::new()),
            quit: StopEvent::new(),
            to_coordinator,
            waker,
            lost_line,
        });
        let accepting = shared.clone();
        thread("accept", move || {
            accepting.accept(&listener, &refusal);
            let _ = done_tx.try_send(());
        })?;
        Ok(Wire { shared, lines, done, path })
    }

    /// The next thing that a client did, without waiting.
    pub fn next(&self) -> Option<FromClient> {
        self.lines.try_recv().ok()
    }

    /// Queues a reply. A client whose replies find no room is disconnected: it does not read.
    pub fn reply(&self, client: ClientId, line: String) {
        let full = match self.shared.clients().get(&client) {
            Some(c) => matches!(c.out.try_send(Out::Reply(line)), Err(TrySendError::Full(_))),
            None => false,
        };
        if full {
            log::warn!("client {client} does not read its replies: disconnected");
            self.disconnect(client);
        }
    }

    /// Queues an event. Where it finds no room it is dropped and counted, and the client is told with
    /// the next one that finds room.
    pub fn event(&self, client: ClientId, line: &str) {
        let clients = self.shared.clients();
        let Some(c) = clients.get(&client) else { return };
        if c.events.fetch_add(1, Ordering::Relaxed) >= MOST_EVENTS
            || c.out.try_send(Out::Event(line.to_owned())).is_err()
        {
            c.events.fetch_sub(1, Ordering::Relaxed);
            c.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ends a client's connection at once.
    pub fn disconnect(&self, client: ClientId) {
        if let Some(c) = self.shared.clients().get(&client) {
            let _ = c.stream.shutdown(Shutdown::Both);
        }
    }

    /// How many clients are connected.
    pub fn clients(&self) -> usize {
        self.shared.clients().len()
    }

    /// Waits until what was queued has been sent, no longer than `patience`.
    pub fn flush(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let waiting = || self.shared.clients().values().any(|c| !c.out.is_empty());
        while waiting() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.quit.set();
        for client in self.shared.clients().values() {
            let _ = client.stream.shutdown(Shutdown::Both);
        }
        if let Some(path) = &self.path {
            let _ = UnixStream::connect(path);
        }
        // The other threads hold nothing but their own client and end with it.
        if self.done.recv_timeout(5 * LOOK_EVERY).is_err() {
            log::warn!("the thread that takes clients in did not end in time");
        }
    }
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(run).map(drop)
}

impl Shared {
    /// No foreign code runs while this is held, so a poisoned map is whole.
    fn clients(&self) -> MutexGuard<'_, BTreeMap<ClientId, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Shared>, listener: &UnixListener, refusal: &str) {
        let mut next: ClientId = 1;
        while !self.quit.is_set() {
            match listener.accept() {
                Ok(_) if self.quit.is_set() => return,
                Ok((stream, _)) => {
                    if self.clients().len() >= MOST_CLIENTS {
                        refuse(stream, refusal);
                    } else if let Err(e) = self.admit(next, stream) {
                        log::warn!("a client could not be taken in: {e}");
                    }
                    next += 1;
                }
                Err(e) => {
                    // Such as too many open files: it may pass.
                    log::warn!("the control socket: {e}");
                    self.quit.wait(LOOK_EVERY);
                }
            }
        }
    }

    fn admit(self: &Arc<Shared>, id: ClientId, stream: UnixStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(WRITE_PATIENCE))?;
        let (reading, writing) = (stream.try_clone()?, stream.try_clone()?);
        let (out, outgoing) = bounded(OUT_QUEUE);
        let (events, lost) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
        let client = Client { out, events: events.clone(), lost: lost.clone(), stream };
        self.clients().insert(id, client);
        if self.quit.is_set() {
            // It came while the service was ending, and may have missed the disconnection.
            self.clients().remove(&id);
            return Ok(());
        }
        self.tell(FromClient::Connected(id));
        let shared = self.clone();
        let writer = thread("client-out", move || {
            let mut writer =
                Writer { stream: writing, outgoing, events, lost, lost_line: shared.lost_line };
            if writer.run(&shared.quit).is_err() {
                let _ = writer.stream.shutdown(Shutdown::Both);
            }
        });
        let shared = self.clone();
        let reader = writer.and_then(|()| {
            thread("client-in", move || {
                shared.read(id, &reading);
                shared.gone(id);
            })
        });
        reader.inspect_err(|_| self.gone(id))
    }

    fn gone(&self, id: ClientId) {
        if let Some(client) = self.clients().remove(&id) {
            let _ = client.stream.shutdown(Shutdown::Both);
        }
        self.tell(FromClient::Gone(id));
    }

    /// Tells the coordinator, waiting for room; false when the service ends.
    fn tell(&self, what: FromClient) -> bool {
        let mut what = what;
        loop {
            match self.to_coordinator.send_timeout(what, LOOK_EVERY) {
                Ok(()) => {
                    self.waker.wake();
                    return true;
                }
                Err(SendTimeoutError::Timeout(back)) if !self.quit.is_set() => what = back,
                Err(_) => return false,
            }
        }
    }

    fn read(&self, id: ClientId, mut stream: &UnixStream) {
        let mut lines = LineBuffer::new(MAX_LINE);
        let mut bytes = [0; 4096];
        let mut heard = true;
        while heard && !self.quit.is_set() {
            match stream.read(&mut bytes) {
                Ok(0) => return,
                Ok(n) => lines.push(&bytes[..n], |line| {
                    heard = heard && self.tell(FromClient::Line(id, line));
                }),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}

fn refuse(mut stream: UnixStream, refusal: &str) {
    let _ = stream.set_write_timeout(Some(Duration::from_millis(50)));
    let _ = stream.write_all(format!("{refusal}\n").as_bytes());
}

struct Writer {
    stream: UnixStream,
    outgoing: Receiver<Out>,
    events: Arc<AtomicUsize>,
    lost: Arc<AtomicU64>,
    lost_line: LostLine,
}

impl Writer {
    /// Until the client's entry is gone, the service ends, or a write fails.
    fn run(&mut self, quit: &StopEvent) -> io::Result<()> {
        let quit = quit.channel();
        loop {
            let out = select! {
                recv(self.outgoing) -> out => out,
                recv(quit) -> _ => return self.rest(),
            };
            match out {
                Ok(out) => self.send(out)?,
                Err(_) => return Ok(()),
            }
        }
    }

    /// What is queued when the service ends still goes out.
    fn rest(&mut self) -> io::Result<()> {
        while let Ok(out) = self.outgoing.try_recv() {
            self.send(out)?;
        }
        Ok(())
    }

    fn send(&mut self, out: Out) -> io::Result<()> {
        let line = match out {
            Out::Reply(line) => line,
            Out::Event(line) => {
                self.events.fetch_sub(1, Ordering::Relaxed);
                let lost = self.lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    self.line(&(self.lost_line)(lost))?;
                }
                line
            }
        };
        self.line(&line)
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        self.stream.write_all(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;
    use crate::protocol::ErrorCode;

    fn start() -> (Wire, PathBuf, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let waker = Waker::pair().0;
        let wire = Wire::start(listener, waker, "full".into(), |n| format!("lost {n}")).unwrap();
        (wire, path, folder)
    }

    fn connect(path: &Path) -> UnixStream {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    fn hear(wire: &Wire) -> FromClient {
        wire.lines.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    /// A line of the first client's, or the code that it is refused with.
    fn heard(wire: &Wire) -> Result<String, ErrorCode> {
        match hear(wire) {
            FromClient::Line(1, line) => line.map_err(|error| error.code),
            other => panic!("{other:?}"),
        }
    }

    fn line(stream: &UnixStream) -> String {
        let mut text = String::new();
        BufReader::with_capacity(1, stream).read_line(&mut text).unwrap();
        text
    }

    #[test]
    fn lines_come_in_order_and_replies_go_back() {
        let (wire, path, _folder) = start();
        let mut stream = connect(&path);
        assert!(matches!(hear(&wire), FromClient::Connected(1)));
        stream.write_all(b"one\ntwo\n\nthree\r\nhalf").unwrap();
        for wanted in ["one", "two", "three"] {
            assert_eq!(heard(&wire), Ok(wanted.to_owned()));
            wire.reply(1, format!("<{wanted}>"));
        }
        assert_eq!(line(&stream), "<one>\n");
        assert_eq!(line(&stream), "<two>\n");
        drop(stream);
        assert!(matches!(hear(&wire), FromClient::Gone(1)));
        assert_eq!(wire.clients(), 0);
    }

    #[test]
    fn a_line_too_long_is_skipped_whole() {
        let (wire, path, _folder) = start();
        let mut stream = connect(&path);
        hear(&wire);
        stream.write_all(&vec![b'x'; MAX_LINE]).unwrap();
        stream.write_all(b"\n").unwrap();
        assert_eq!(heard(&wire).map(|text| text.len()), Ok(MAX_LINE));
        for length in [MAX_LINE + 1, 3 * MAX_LINE + 7] {
            stream.write_all(&vec![b'x'; length]).unwrap();
            stream.write_all(b"\nafter\n").unwrap();
            assert_eq!(heard(&wire), Err(ErrorCode::LineTooLong));
            assert_eq!(heard(&wire), Ok("after".to_owned()));
        }
        stream.write_all(b"\xff\xfe\n").unwrap();
        assert_eq!(heard(&wire), Err(ErrorCode::BadJson));
    }

    #[test]
    fn one_client_too_many_is_told_so_and_leaves_room_when_others_go() {
        let (wire, path, _folder) = start();
        let mut all: Vec<_> = (0..MOST_CLIENTS).map(|_| connect(&path)).collect();
        for _ in 0..MOST_CLIENTS {
            assert!(matches!(hear(&wire), FromClient::Connected(_)));
        }
        assert_eq!(line(&connect(&path)), "full\n");
        all.pop();
        assert!(matches!(hear(&wire), FromClient::Gone(_)));
        let _again = connect(&path);
        assert!(matches!(hear(&wire), FromClient::Connected(_)));
    }

    /// A subscriber that does not read loses events, is told how many, and holds nobody up.
    #[test]
    fn a_slow_subscriber_loses_events_with_a_count() {
        let (wire, path, _folder) = start();
        let stream = connect(&path);
        hear(&wire);
        let mut sent = 20_000;
        let text = "x".repeat(200);
        let begun = Instant::now();
        for _ in 0..sent {
            wire.event(1, &text);
        }
        assert!(begun.elapsed() < Duration::from_secs(5));
        let (mut got, mut lost) = (0, 0);
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut reader = BufReader::new(&stream);
        let mut line = String::new();
        while got + lost < sent {
            if reader.read_line(&mut line).is_err() {
                // What was lost last is told with the next event that finds room.
                wire.event(1, &text);
                sent += 1;
                continue;
            }
            match line.trim_end().strip_prefix("lost ") {
                Some(n) => lost += n.parse::<usize>().unwrap(),
                None => got += 1,
            }
            line.clear();
        }
        assert!(lost > 0 && got >= MOST_EVENTS, "{got} came, {lost} were lost");
    }

    #[test]
    fn a_client_that_reads_no_replies_is_disconnected() {
        let (wire, path, _folder) = start();
        let _stream = connect(&path);
        hear(&wire);
        let text = "x".repeat(1000);
        for _ in 0..100 * OUT_QUEUE {
            wire.reply(1, text.clone());
            if wire.clients() == 0 {
                return;
            }
        }
        assert!(matches!(hear(&wire), FromClient::Gone(1)));
    }

    #[test]
    fn many_that_send_half_a_line_and_vanish_leave_nothing() {
        let (wire, path, _folder) = start();
        for _ in 0..300 {
            let mut stream = connect(&path);
            let _ = stream.write_all(b"{\"v\":1,");
            drop(stream);
            while wire.next().is_some() {}
        }
        let until = Instant::now() + Duration::from_secs(20);
        while wire.clients() > 0 && Instant::now() < until {
            while wire.next().is_some() {}
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(wire.clients(), 0);
    }
}
