//! A live service on the simulator, for the tests that need one.
#![allow(dead_code, clippy::unwrap_used)]

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use lockstep::client::Client;
use lockstep::protocol::{Incoming, Request};

/// Two axes, a servo, a program that ends and one that does not.
pub const CONFIG: &str = r#"
[axis.x]
step = { gpio = 17 }
dir = { gpio = 27 }
enable = { gpio = 24, active = "low" }
driver = "drv8825"
steps-per-revolution = 200
microsteps = 16
distance-per-revolution = "8mm"
travel = { min = "0mm", max = "200mm" }
max-speed = "50mm/s"
max-acceleration = "500mm/s^2"
at-start = { assume = "0mm" }

[axis.y]
step = { gpio = 22 }
dir = { gpio = 23 }
enable = { gpio = 25, active = "low" }
driver = "drv8825"
steps-per-revolution = 200
microsteps = 16
distance-per-revolution = "8mm"
travel = { min = "0mm", max = "200mm" }
max-speed = "50mm/s"
max-acceleration = "500mm/s^2"
at-start = { assume = "0mm" }

[servo.pan]
pwm = { gpio = 18 }

[program.there]
steps = [ { move = { x = "5mm" } }, { move = { x = "0mm" } } ]

[program.long]
steps = [ { repeat = "forever", steps = [ { run = "there" } ] } ]
"#;

/// It ends with the test, whatever comes of that.
pub struct Service {
    pub child: Child,
    folder: tempfile::TempDir,
}

impl Service {
    pub fn start() -> Service {
        Service::start_with(CONFIG)
    }

    pub fn start_with(config: &str) -> Service {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("machine.toml"), config).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_lockstep"))
            .args(["serve", "--backend", "sim", "--config"])
            .arg(folder.path().join("machine.toml"))
            .arg("--socket")
            .arg(folder.path().join("control.sock"))
            .env("STATE_DIRECTORY", folder.path().join("state"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let service = Service { child, folder };
        let until = Instant::now() + Duration::from_secs(60);
        while UnixStream::connect(service.socket()).is_err() {
            assert!(Instant::now() < until, "the service does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        service
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("machine.toml")
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    /// A connection whose every wait ends.
    pub fn client(&self) -> Client {
        let mut client = Client::connect(&self.socket()).unwrap();
        client.set_timeout(Some(Duration::from_secs(60))).unwrap();
        client
    }

    /// The program as a client of this service.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
        command.args(args).env("LOCKSTEP_SOCKET", self.socket()).env_remove("RUST_LOG");
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
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
        error
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request from its fields, as they stand on a line.
pub fn request(fields: &str) -> Request {
    Incoming::parse(&format!("{{\"v\":1,\"id\":1,{fields}}}")).unwrap().request
}
