//! What systemd is told, where it started the service: ready, what it does, that it lives, that it ends.
//!
//! The protocol is a datagram to the socket that `$NOTIFY_SOCKET` names (sd_notify(3)).

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// The way to whoever started the service; silent where nobody asked to be told.
#[derive(Debug)]
pub(super) struct Notify {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// As the environment says.
    pub fn from_env() -> Notify {
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|path| {
            let connected = connect(&path);
            connected.inspect_err(|e| log::warn!("systemd can't be told anything: {e}")).ok()
        });
        let ours = match std::env::var("WATCHDOG_PID") {
            Ok(pid) => pid == std::process::id().to_string(),
            Err(_) => true,
        };
        let usec = std::env::var("WATCHDOG_USEC").ok().and_then(|t| t.parse().ok());
        let watchdog = usec.filter(|_| ours).map(Duration::from_micros);
        Notify { socket, watchdog }
    }

    /// How often the watchdog wants to hear of it, at least; half of that is safe.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    pub fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={status}"));
    }

    pub fn status(&self, status: &str) {
        self.say(&format!("STATUS={status}"));
    }

    pub fn alive(&self) {
        self.say("WATCHDOG=1");
    }

    pub fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=bringing every motor to rest");
    }

    fn say(&self, text: &str) {
        if let Some(socket) = &self.socket
            && let Err(e) = socket.send(text.as_bytes())
        {
            log::debug!("systemd was not told: {e}");
        }
    }
}

/// A path, or with `@` in front a name in Linux's abstract namespace.
fn connect(path: &std::ffi::OsStr) -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    #[cfg(target_os = "linux")]
    if let Some(name) = path.as_encoded_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        socket.connect_addr(&address)?;
        return Ok(socket);
    }
    socket.connect(path)?;
    Ok(socket)
}
