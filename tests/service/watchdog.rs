//! The watchdog of `lockstep serve`: fed while every motor's loop turns, and no longer.
#![cfg(all(feature = "cli", feature = "service", target_os = "linux"))]
#![allow(clippy::unwrap_used)]

use std::io::ErrorKind;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cli_common;

const CONFIG: &str = r#"
[axis.x]
step = { gpio = 17 }
dir = { gpio = 27 }
driver = "drv8825"
steps-per-revolution = 200
microsteps = 16
distance-per-revolution = "8mm"
travel = { min = "0mm", max = "200mm" }
max-speed = "20mm/s"
max-acceleration = "500mm/s^2"
at-start = { assume = "0mm" }
[axis.y]
step = { gpio = 23 }
dir = { gpio = 24 }
driver = "drv8825"
steps-per-revolution = 200
microsteps = 16
distance-per-revolution = "8mm"
travel = { min = "0mm", max = "200mm" }
max-speed = "20mm/s"
max-acceleration = "500mm/s^2"
at-start = { assume = "0mm" }
"#;

/// The watchdog's time: long enough for a computer that is busy.
const WATCHDOG: Duration = Duration::from_secs(4);

struct Service {
    child: Child,
    notified: UnixDatagram,
    socket: PathBuf,
}

impl Service {
    fn start(folder: &Path, fault: Option<&str>) -> Service {
        let (config, notify) = (folder.join("machine.toml"), folder.join("notify"));
        let socket = folder.join("control.sock");
        std::fs::write(&config, CONFIG).unwrap();
        let notified = UnixDatagram::bind(&notify).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
        command.args(["serve", "--backend", "sim", "--config"]).arg(&config);
        command.arg("--socket").arg(&socket).env("STATE_DIRECTORY", folder.join("state"));
        command.env("NOTIFY_SOCKET", &notify).env_remove("WATCHDOG_PID");
        command.env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        if let Some(fault) = fault {
            command.env("LOCKSTEP_TEST_FAULT", fault);
        }
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let service = Service { child, notified, socket };
        let until = Instant::now() + Duration::from_secs(60);
        assert!(service.hears("READY=1", until), "the service is not ready");
        assert!(UnixStream::connect(&service.socket).is_ok());
        service
    }

    /// Whether the service says this before `until`.
    fn hears(&self, word: &str, until: Instant) -> bool {
        let mut line = [0; 4096];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            self.notified.set_read_timeout(Some(left)).unwrap();
            match self.notified.recv(&mut line) {
                Ok(n) if String::from_utf8_lossy(&line[..n]).lines().any(|l| l == word) => {
                    return true;
                }
                Ok(_) => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(e) => panic!("{e}"),
            }
        }
    }

    fn is_fed_within(&self, time: Duration) -> bool {
        self.hears("WATCHDOG=1", Instant::now() + time)
    }

    /// A client's command, and its exit status.
    fn run(&self, args: &[&str]) -> Option<i32> {
        let mut command = cli_common::lockstep();
        command.args(args).env("LOCKSTEP_SOCKET", &self.socket).output().unwrap().status.code()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_service_whose_loops_turn_feeds_the_watchdog_at_rest_and_in_motion() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), None);
    assert!(service.is_fed_within(WATCHDOG), "at rest");
    assert_eq!(service.run(&["move", "x=60mm", "--no-wait"]), Some(0));
    for _ in 0..2 {
        assert!(service.is_fed_within(WATCHDOG), "in motion");
    }
}

/// After the fault the feeding ends: never again within more than the watchdog's time.
fn starves(fault: &str, to: &str) {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), Some(fault));
    assert!(service.is_fed_within(WATCHDOG), "{fault}: before");
    let moved = service.run(&["move", "x=1mm", to]);
    // What was on its way may come within the time in which a loop is asked twice.
    while service.is_fed_within(WATCHDOG / 2) {}
    assert!(!service.is_fed_within(WATCHDOG), "{fault}: it is fed again");
    // The coordinator is there, and says why nothing moves.
    assert_eq!(service.run(&["status"]), Some(0), "{fault}");
    assert_eq!(service.run(&["move", "x=2mm"]), Some(1), "{fault}");
    assert_ne!(moved, Some(4), "{fault}");
    // Only a person ends the fault.
    let journal = std::fs::read_to_string(folder.path().join("state/journal.json")).unwrap();
    assert!(journal.contains(r#""end":"running""#), "{fault}: {journal}");
}

#[test]
fn a_loop_that_hangs_in_motion_starves_the_watchdog() {
    starves("hang:y@200ms", "y=60mm");
}

#[test]
fn a_loop_that_hangs_at_rest_starves_the_watchdog() {
    starves("hang:y@2s", "y=1mm");
}

#[test]
fn a_loop_that_panics_starves_the_watchdog() {
    starves("panic:y@200ms", "y=60mm");
}
