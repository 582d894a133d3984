//! The service on the simulator, through its socket and its client commands.
#![cfg(all(feature = "cli", feature = "service", unix))]
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::cli_common;
use lockstep::client::{Client, ClientError};
use lockstep::protocol::{ErrorCode, Incoming, Reply, Request};

struct Service {
    child: Child,
    folder: tempfile::TempDir,
}

impl Service {
    fn start() -> Service {
        Service::start_in(tempfile::tempdir().unwrap())
    }

    fn start_in(folder: tempfile::TempDir) -> Service {
        let child = serve(&folder).spawn().unwrap();
        let service = Service { child, folder };
        let until = Instant::now() + Duration::from_secs(60);
        while UnixStream::connect(service.socket()).is_err() {
            assert!(Instant::now() < until, "the service does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        service
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    fn client(&self) -> Client {
        let mut client = Client::connect(&self.socket()).unwrap();
        client.set_timeout(Some(Duration::from_secs(60))).unwrap();
        client
    }

    fn run(&self, args: &[&str]) -> Output {
        cli_common::lockstep().args(args).env("LOCKSTEP_SOCKET", self.socket()).output().unwrap()
    }

    /// Runs a command that must succeed; gives its output.
    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{args:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must end with that status; gives what it said.
    fn fails(&self, status: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{args:?}: {error}");
        error
    }

    fn end(mut self) -> tempfile::TempDir {
        signal(&self.child, "TERM");
        let until = Instant::now() + Duration::from_secs(60);
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "the service does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        assert!(!folder.path().join("control.sock").exists());
        folder
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const CONFIG: &str = "[axis.x]\nstep = { gpio = 17 }\ndir = { gpio = 27 }\nenable = { gpio = 22, active = \"low\" }\n\
    driver = \"drv8825\"\nsteps-per-revolution = 200\nmicrosteps = 16\ndistance-per-revolution = \"8mm\"\n\
    travel = { min = \"0mm\", max = \"200mm\" }\nmax-speed = \"50mm/s\"\nmax-acceleration = \"500mm/s^2\"\n\
    at-start = { assume = \"0mm\" }\n[servo.pan]\npwm = { gpio = 18 }\n\
    [program.there]\nsteps = [ { move = { x = \"5mm\" } }, { move = { x = \"0mm\" } } ]\n\
    [program.long]\nsteps = [ { repeat = \"forever\", steps = [ { run = \"there\" } ] } ]\n";

fn serve(folder: &tempfile::TempDir) -> Command {
    let config = folder.path().join("machine.toml");
    std::fs::write(&config, CONFIG).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    command
        .args(["serve", "--backend", "sim", "--config"])
        .arg(&config)
        .arg("--socket")
        .arg(folder.path().join("control.sock"))
        .env("STATE_DIRECTORY", folder.path().join("state"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

fn request(line: &str) -> Request {
    Incoming::parse(&format!("{{\"v\":1,\"id\":1,{line}}}")).unwrap().request
}

fn refused(result: Result<Reply, ClientError>) -> ErrorCode {
    match result {
        Err(ClientError::Refused(error)) => error.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn moves_and_what_is_said_about_them() {
    let service = Service::start();
    assert!(service.ok(&["status"]).contains("ready"));
    assert!(service.ok(&["move", "x=10mm", "pan=20deg"]).contains("reached 10 mm"));
    let said = service.fails(2, &["move", "x=500mm"]);
    assert!(said.contains("its travel is 0mm to 200mm"), "{said}");
    assert!(service.fails(2, &["move", "y=5mm"]).contains("no motor `y`"));
    let number = service.ok(&["move", "x=100mm", "--no-wait", "--json"]);
    let number: serde_json::Value = serde_json::from_str(&number).unwrap();
    assert!(service.fails(1, &["move", "x=0mm"]).contains("still moving"));
    service.ok(&["hold"]);
    assert!(service.ok(&["status"]).contains("held"));
    service.ok(&["override", "200%"]);
    service.ok(&["resume"]);
    let number = number["move"].to_string();
    // Faster or slower by itself, too.
    service.ok(&["override", "90%", "--move", &number]);
    assert!(service.fails(2, &["override", "90%", "--move", "4711"]).contains("4711"));
    assert!(
        service.ok(&["wait", "--move", &number, "--timeout", "30s"]).contains("reached 100 mm")
    );
    // A queued move goes after the one that is under way; one in the future can be taken back.
    service.ok(&["move", "x=90mm", "--no-wait"]);
    assert!(service.ok(&["move", "x=80mm", "--if-busy", "queue"]).contains("reached 80 mm"));
    service.ok(&["move", "x=0mm", "--after", "50s", "--no-wait"]);
    let status = service.ok(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let waiting = status["moves"][0]["move"].to_string();
    assert!(service.ok(&["cancel", &waiting]).contains("cancelled"));
    // A stop makes a move fall short: its client is told which motor, by how much, and why.
    let stopping = std::thread::spawn({
        let socket = service.socket();
        move || {
            std::thread::sleep(Duration::from_millis(400));
            cli_common::lockstep()
                .args(["stop", "x"])
                .env("LOCKSTEP_SOCKET", socket)
                .output()
                .unwrap()
        }
    });
    let said = service.fails(1, &["move", "x=200mm"]);
    assert!(said.contains("x fell short by") && said.contains("stopped"), "{said}");
    assert!(stopping.join().unwrap().status.success());
    service.end();
}

#[test]
fn jogs_end_by_themselves_and_positions_can_be_told_and_saved() {
    let service = Service::start();
    service.ok(&["jog", "x=20mm/s", "--for", "300ms"]);
    service.ok(&["wait", "x.reached", "--timeout", "20s"]);
    service.ok(&["save"]);
    service.ok(&["move", "x=0mm"]);
    service.ok(&["set-position", "x=50mm"]);
    assert!(service.ok(&["status", "x"]).contains("50 mm"));
    service.ok(&["return"]);
    assert!(!service.ok(&["status", "x"]).contains("50 mm"));
    assert!(service.fails(1, &["return"]).contains("no position is saved"));
    service.ok(&["enable", "x"]);
    service.ok(&["disable", "x"]);
    assert!(service.fails(2, &["release", "x"]).contains("x is an axis"));
    service.ok(&["move", "pan=10deg"]);
    service.ok(&["release", "pan"]);
    assert!(service.ok(&["status", "pan"]).contains("no signal"));
    service.end();
}

#[test]
fn programs_run_beside_what_clients_ask() {
    let service = Service::start();
    assert_eq!(service.ok(&["program", "list"]), "there\nlong\n");
    assert!(service.ok(&["program", "run", "there"]).contains("done"));
    service.ok(&["program", "run", "long", "--no-wait"]);
    service.ok(&["move", "pan=15deg"]);
    assert!(service.fails(1, &["program", "run", "long"]).contains("runs already"));
    service.ok(&["stop"]);
    assert!(!service.ok(&["status"]).contains("programs"));
    assert!(service.fails(2, &["program", "run", "none"]).contains("no program"));
    service.end();
}

#[test]
fn a_halt_holds_everything_back_until_it_is_cleared() {
    let service = Service::start();
    service.ok(&["move", "x=100mm", "--no-wait"]);
    std::thread::sleep(Duration::from_millis(400));
    service.ok(&["stop", "--now"]);
    assert!(service.fails(1, &["move", "pan=5deg"]).contains("clear"));
    service.ok(&["clear"]);
    service.ok(&["move", "pan=5deg"]);
    // It was faster than its start-stop speed: nobody knows where it is.
    assert!(service.fails(1, &["move", "x=5mm"]).contains("does not know where it is"));
    service.ok(&["set-position", "x=20mm"]);
    service.ok(&["move", "x=5mm"]);
    service.end();
}

#[test]
fn after_an_unclean_end_nothing_moves_by_itself() {
    let mut service = Service::start();
    service.ok(&["move", "x=5mm"]);
    service.child.kill().unwrap();
    service.child.wait().unwrap();
    let folder = std::mem::replace(&mut service.folder, tempfile::tempdir().unwrap());
    let service = Service::start_in(folder);
    assert!(service.ok(&["status"]).contains("fault: the service did not end cleanly"));
    assert!(service.fails(1, &["move", "x=1mm"]).contains("clear"));
    service.ok(&["clear"]);
    service.ok(&["move", "x=1mm"]);
    let folder = service.end();
    let service = Service::start_in(folder);
    assert!(service.ok(&["status"]).contains("ready"));
}

#[test]
fn two_services_do_not_share_a_socket() {
    let service = Service::start();
    let second = serve(&service.folder).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(second.status.code(), Some(3));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("another lockstep service listens"), "{said}");
    service.ok(&["move", "x=2mm"]);
    let folder = service.end();
    let gone = Service { child: Command::new("true").spawn().unwrap(), folder };
    assert!(gone.fails(4, &["status"]).contains("no service runs"));
}

#[test]
fn events_are_waited_for_together() {
    let service = Service::start();
    service.ok(&["trigger", "door-open", "{\"n\":3}"]);
    assert_eq!(service.ok(&["events"]), "door-open\n");
    service.ok(&["move", "x=3mm"]);
    let both = service.ok(&["wait", "door-open", "x.reached", "--timeout", "20s", "--consume"]);
    assert_eq!(both.lines().next(), Some("{\"n\":3}"));
    assert!(both.lines().nth(1).unwrap().contains("\"position\":3.0"), "{both}");
    let said = service.fails(1, &["wait", "door-open", "--timeout", "100ms"]);
    assert!(said.contains("door-open"), "{said}");
    let socket = service.socket();
    let others: Vec<_> = (0..2)
        .map(|_| {
            let socket = socket.clone();
            std::thread::spawn(move || {
                let args = ["rendezvous", "start", "--parties", "3", "--timeout", "30s"];
                cli_common::lockstep().args(args).env("LOCKSTEP_SOCKET", socket).output().unwrap()
            })
        })
        .collect();
    let mut indices =
        vec![service.ok(&["rendezvous", "start", "--parties", "3", "--timeout", "30s"])];
    for other in others {
        indices.push(String::from_utf8(other.join().unwrap().stdout).unwrap());
    }
    indices.sort();
    assert_eq!(indices, ["0\n", "1\n", "2\n"]);
    service.end();
}

#[test]
fn a_lease_keeps_others_off_until_its_holder_goes() {
    let service = Service::start();
    let mut holder = service.client();
    holder.request(request("\"do\":\"hello\",\"client\":\"paint\"")).unwrap();
    let taken = holder.request(request("\"do\":\"lease-take\",\"motors\":[\"x\"]")).unwrap();
    let Reply::LeaseTake(lease) = taken else { panic!("{taken:?}") };
    let said = service.fails(1, &["move", "x=5mm"]);
    assert!(said.contains("paint"), "{said}");
    service.ok(&["move", "pan=5deg"]);
    // Who is shown the token shares it; stopping needs none.
    let child = cli_common::lockstep()
        .args(["move", "x=100mm", "--no-wait"])
        .env("LOCKSTEP_SOCKET", service.socket())
        .env("LOCKSTEP_LEASE", &lease.token)
        .output()
        .unwrap();
    assert!(child.status.success());
    // The holder dies: its motors come to rest, and are free.
    drop(holder);
    service.ok(&["lease", "x", "--timeout", "20s", "--", "true"]);
    let position = service.ok(&["status", "x", "--json"]);
    let position: serde_json::Value = serde_json::from_str(&position).unwrap();
    assert!(position["motors"]["x"]["position"].as_f64().unwrap() < 100.0);
    service.ok(&["move", "x=1mm"]);
    service.end();
}

/// Bad lines get an error each, cost nobody else anything, and the connection goes on.
#[test]
fn bad_lines_get_errors_and_nobody_else_notices() {
    let service = Service::start();
    let mut other = service.client();
    let mut stream = UnixStream::connect(service.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let long = format!("{{\"v\":1,\"id\":5,\"do\":\"{}\"}}", "x".repeat(70_000));
    let lines = [
        ("not json", "bad-json"),
        ("{\"v\":1,\"id\":1,\"do\":\"fly\"}", "unknown-verb"),
        ("{\"v\":1,\"id\":2,\"do\":\"move\",\"to\":{\"x\":10}}", "wrong-type"),
        ("{\"v\":9,\"id\":3,\"do\":\"status\"}", "bad-version"),
        ("{\"v\":1,\"id\":4,\"do\":\"status\",\"colour\":\"red\"}", "unknown-field"),
        (long.as_str(), "line-too-long"),
        ("{\"v\":1,\"id\":6,\"do\":\"reload\",\"file\":\"/etc/passwd\"}", "unknown-field"),
    ];
    for (line, _) in lines {
        stream.write_all(line.as_bytes()).unwrap();
        stream.write_all(b"\n").unwrap();
    }
    stream.write_all(b"{\"v\":1,\"id\":7,\"do\":\"status\"}\n").unwrap();
    let mut reader = BufReader::new(&stream);
    for (sent, code) in lines {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(
            line.contains(&format!("\"code\":\"{code}\"")),
            "{}: {line}",
            &sent[..sent.len().min(60)]
        );
    }
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.contains("\"id\":7,\"ok\":true"), "{line}");
    assert!(matches!(other.request(request("\"do\":\"status\"")), Ok(Reply::Status(_))));
    let move_to = request("\"do\":\"move\",\"to\":{\"none\":\"1mm\"}");
    assert_eq!(refused(other.request(move_to)), ErrorCode::UnknownMotor);
    service.end();
}

/// Clients that vanish in the middle of a line, and subscribers that never read, leave the service as it
/// was.
#[test]
fn crowds_of_bad_clients_leave_the_service_alone() {
    let service = Service::start();
    let mut deaf = Vec::new();
    for _ in 0..40 {
        let mut client = service.client();
        client.request(request("\"do\":\"subscribe\",\"topics\":[\"motors\",\"moves\"]")).unwrap();
        deaf.push(client);
    }
    for i in 0..200 {
        let mut stream = UnixStream::connect(service.socket()).unwrap();
        let _ = stream.write_all(b"{\"v\":1,\"id\":1,\"do\":");
        if i % 50 == 0 {
            service.ok(&["move", &format!("x={}mm", 1 + i / 50)]);
        }
    }
    service.ok(&["move", "x=10mm", "pan=-10deg"]);
    // Who reads hears of the move.
    let mut hears = false;
    for _ in 0..1000 {
        let event = deaf[0].event().unwrap();
        if matches!(event.event, lockstep::protocol::Event::MoveEnded(_)) {
            hears = true;
            break;
        }
    }
    assert!(hears);
    service.end();
}

#[test]
fn the_status_page_is_there_to_be_read() {
    let service = Service::start();
    service.ok(&["move", "x=7mm"]);
    std::thread::sleep(Duration::from_millis(300));
    let page = lockstep::service::read_page(&service.folder.path().join("status")).unwrap();
    assert_eq!(page.motors[0].name, "x");
    assert_eq!(page.motors[0].position, Some(7.0));
    assert_eq!(page.motors[1].position, None);
    let folder = service.end();
    assert!(!folder.path().join("status").exists());
}
