//! A service on the simulator, in a folder of its own.
#![allow(clippy::unwrap_used, dead_code)]

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::cli_common;
use lockstep::client::Client;
use lockstep::protocol::{Incoming, Request};

/// Longer than anything takes on a machine that is busy with other things.
pub const LONG: Duration = Duration::from_secs(60);

pub struct Service {
    pub child: Child,
    pub folder: tempfile::TempDir,
}

impl Service {
    pub fn start(config: &str) -> Service {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("machine.toml"), config).unwrap();
        Service::start_in(folder)
    }

    /// With the config and the state that are there.
    pub fn start_in(folder: tempfile::TempDir) -> Service {
        Service::start_in_boot(folder, None)
    }

    /// The same after another boot of the machine.
    pub fn start_in_boot(folder: tempfile::TempDir, boot: Option<&str>) -> Service {
        let mut command = command(&folder);
        let child = command.envs(boot.map(|b| ("LOCKSTEP_TEST_BOOT", b))).spawn().unwrap();
        let service = Service { child, folder };
        until("the service listens", || UnixStream::connect(service.socket()).is_ok());
        service
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("machine.toml")
    }

    /// Writes another config, for a reload.
    pub fn write(&self, config: &str) {
        std::fs::write(self.config(), config).unwrap();
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    pub fn client(&self) -> Client {
        let mut client = Client::connect(&self.socket()).unwrap();
        client.set_timeout(Some(LONG)).unwrap();
        client
    }

    pub fn run(&self, args: &[&str]) -> Output {
        cli_common::lockstep().args(args).env("LOCKSTEP_SOCKET", self.socket()).output().unwrap()
    }

    /// Runs a command that must succeed; gives its output.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{args:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must end with that status; gives what it said.
    pub fn fails(&self, status: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{args:?}: {error}");
        error + &String::from_utf8(output.stdout).unwrap()
    }

    pub fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.ok(&["status", "--json"])).unwrap()
    }

    /// Ends it in good order; gives its folder.
    pub fn end(mut self) -> tempfile::TempDir {
        signal(&self.child, "TERM");
        self.gone()
    }

    /// Waits for its end, however it was told to; gives its folder.
    pub fn gone(&mut self) -> tempfile::TempDir {
        let child = &mut self.child;
        until("the service ends", || child.try_wait().unwrap().is_some());
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command that starts it.
pub fn command(folder: &tempfile::TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    command
        .args(["serve", "--backend", "sim", "--config"])
        .arg(folder.path().join("machine.toml"))
        .arg("--socket")
        .arg(folder.path().join("control.sock"))
        .env("STATE_DIRECTORY", folder.path().join("state"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < until, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

/// A request by its fields: `"do":"status"`.
pub fn request(line: &str) -> Request {
    Incoming::parse(&format!("{{\"v\":1,\"id\":1,{line}}}")).unwrap().request
}
