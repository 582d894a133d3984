//! A connection to a running service.
//!
//! ```no_run
//! use std::time::Duration;
//! use lockstep::client::Client;
//! use lockstep::protocol::{Incoming, Move, Reply, Request};
//!
//! let mut lockstep = Client::connect(&lockstep::client::default_socket())?;
//! let spec = r#"{"v":1,"id":0,"do":"move","to":{"x":"10mm"},"wait":true}"#;
//! let Reply::Move(moved) = lockstep.request(Incoming::parse(spec)?.request)? else { unreachable!() };
//! println!("{:?}", moved.outcome);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::files::foreign;
use crate::protocol::{ErrorReply, EventLine, Incoming, Outgoing, Reply, Request};

/// Why the service did not do what was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens there.
    #[error(
        "no service runs (nobody listens on {}): start one with `lockstep serve`, or `systemctl start lockstep`",
        .0.display()
    )]
    NoService(PathBuf),
    /// The socket is not for this user.
    #[error(
        "this user may not talk to the service on {}: join its group (`sudo usermod -aG lockstep $USER`, then \
         log in again)",
        .0.display()
    )]
    Denied(PathBuf),
    /// The folder of the socket, or the service, is a stranger's.
    #[error(
        "{} belongs to user {owner}, who is neither root nor this user: whatever is asked of it may be carried out \
         by nobody: name another --socket",
        path.display()
    )]
    Foreign {
        /// The folder, or the socket.
        path: PathBuf,
        /// The user's number.
        owner: u32,
    },
    /// The connection could not be made, or broke.
    #[error("the connection to the service: {0}")]
    Io(#[from] io::Error),
    /// The service ended the connection.
    #[error("the service has ended the connection")]
    Closed,
    /// The service refused.
    #[error("{0}")]
    Refused(Box<ErrorReply>),
    /// It answered something that makes no sense.
    #[error("the service answered what this program does not understand: {0}")]
    Strange(String),
}

/// A connection. One request at a time: its reply is waited for.
pub struct Client {
    reader: BufReader<UnixStream>,
    next: u64,
    events: VecDeque<EventLine>,
    line: String,
}

/// Where a service listens unless it was told otherwise: `$LOCKSTEP_SOCKET`; else
/// `/run/lockstep/control.sock`, where that is there; else `lockstep/control.sock` in
/// `$XDG_RUNTIME_DIR`, or in the folder for temporary files.
pub fn default_socket() -> PathBuf {
    if let Some(path) = std::env::var_os("LOCKSTEP_SOCKET") {
        return path.into();
    }
    let system = PathBuf::from("/run/lockstep/control.sock");
    let own = own_socket();
    if !system.exists() && own.exists() { own } else { system }
}

/// Where a user's own service listens.
fn own_socket() -> PathBuf {
    let own = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    own.join("lockstep/control.sock")
}

/// The user that the other end runs as, where that is neither root nor this one.
#[cfg(target_os = "linux")]
fn strange_peer(stream: &UnixStream) -> Option<u32> {
    let peer = rustix::net::sockopt::socket_peercred(stream).ok()?.uid.as_raw();
    (![0, rustix::process::geteuid().as_raw()].contains(&peer)).then_some(peer)
}

/// Not known here.
#[cfg(not(target_os = "linux"))]
fn strange_peer(_stream: &UnixStream) -> Option<u32> {
    None
}

impl Client {
    /// Connects to the service that listens there.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoService`], [`ClientError::Denied`], [`ClientError::Foreign`], [`ClientError::Io`].
    pub fn connect(socket: &Path) -> Result<Client, ClientError> {
        // Where nobody has said where it listens, somebody else may have put a socket.
        let guessed = socket == own_socket();
        let folder = socket.parent().unwrap_or(socket);
        if let Some(owner) = foreign(folder).filter(|_| guessed) {
            return Err(ClientError::Foreign { path: folder.to_owned(), owner });
        }
        let stream = UnixStream::connect(socket).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ClientError::NoService(socket.to_owned())
            }
            io::ErrorKind::PermissionDenied => ClientError::Denied(socket.to_owned()),
            _ => ClientError::Io(e),
        })?;
        if let Some(owner) = strange_peer(&stream).filter(|_| guessed) {
            return Err(ClientError::Foreign { path: socket.to_owned(), owner });
        }
        let reader = BufReader::new(stream);
        Ok(Client { reader, next: 1, events: VecDeque::new(), line: String::new() })
    }

    /// Asks for something and waits for the reply, however long that takes. Events that come meanwhile
    /// are kept for [`Client::event`].
    ///
    /// # Errors
    ///
    /// [`ClientError::Refused`], or the connection broke.
    pub fn request(&mut self, request: Request) -> Result<Reply, ClientError> {
        let mut kept = std::mem::take(&mut self.events);
        let result = self.request_telling(request, |event| kept.push_back(event));
        self.events = kept;
        result
    }

    /// The same, with each event that comes meanwhile handed out at once.
    ///
    /// # Errors
    ///
    /// [`ClientError::Refused`], or the connection broke.
    pub fn request_telling(
        &mut self,
        request: Request,
        mut tell: impl FnMut(EventLine),
    ) -> Result<Reply, ClientError> {
        let id = match self.send(request) {
            Ok(id) => Some(id),
            // It has closed the connection, and may have said why before.
            Err(ClientError::Io(e)) if e.kind() == io::ErrorKind::BrokenPipe => None,
            Err(e) => return Err(e),
        };
        loop {
            match self.read()? {
                Some(Outgoing::Reply { id: answered, result })
                    if answered.is_some() && answered == id =>
                {
                    return result.map_err(|e| ClientError::Refused(Box::new(e)));
                }
                Some(Outgoing::Reply { id: None, result: Err(e) }) => {
                    return Err(ClientError::Refused(Box::new(e)));
                }
                Some(Outgoing::Event(event)) => tell(event),
                Some(Outgoing::Reply { .. }) | None => {}
            }
        }
    }

    /// Asks for something without waiting for the reply; returns the number that it will bear.
    ///
    /// # Errors
    ///
    /// The connection broke.
    pub fn send(&mut self, request: Request) -> Result<u64, ClientError> {
        let id = self.next;
        self.next += 1;
        let line = Incoming { id, request }.to_line() + "\n";
        self.reader.get_mut().write_all(line.as_bytes())?;
        Ok(id)
    }

    /// The next event, once something is subscribed to.
    ///
    /// # Errors
    ///
    /// The connection broke, or nothing came within the time-out set with [`Client::set_timeout`].
    pub fn event(&mut self) -> Result<EventLine, ClientError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            if let Some(Outgoing::Event(event)) = self.read()? {
                return Ok(event);
            }
        }
    }

    /// The longest wait for a line; `None`: no bound.
    ///
    /// # Errors
    ///
    /// The system refused, as it does a time-out of 0.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.reader.get_ref().set_read_timeout(timeout)
    }

    fn read(&mut self) -> Result<Option<Outgoing>, ClientError> {
        // What a time-out has left of a line is still there.
        if self.reader.read_line(&mut self.line)? == 0 {
            return Err(ClientError::Closed);
        }
        let line = std::mem::take(&mut self.line);
        Outgoing::parse(line.trim_end()).map_err(|e| ClientError::Strange(e.message))
    }
}
