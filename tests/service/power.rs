//! The service with a power budget, leases that are lost, and programs that wait for clients' events.
#![cfg(all(feature = "cli", feature = "service", unix))]
#![allow(clippy::unwrap_used)]

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::cli_common;
use lockstep::client::Client;
use lockstep::protocol::{Event, Incoming, Reply, Request};

const CONFIG: &str = r#"
[power]
budget = "2A"
stagger = "20ms"

[axis.x]
step = { gpio = 17 }
dir = { gpio = 27 }
enable = { gpio = 22, active = "low" }
driver = "drv8825"
steps-per-revolution = 200
microsteps = 16
distance-per-revolution = "8mm"
travel = { min = "0mm", max = "200mm" }
max-speed = "20mm/s"
max-acceleration = "200mm/s^2"
at-start = { assume = "0mm" }
current = "800mA"
on-lost-lease = "hold"

[axis.y]
step = { gpio = 23 }
dir = { gpio = 24 }
enable = { gpio = 25, active = "low" }
driver = "drv8825"
steps-per-revolution = 200
microsteps = 16
distance-per-revolution = "8mm"
travel = { min = "0mm", max = "200mm" }
max-speed = "20mm/s"
max-acceleration = "200mm/s^2"
at-start = { assume = "0mm" }
current = "1.4A"
release-after = "100ms"

[servo.pan]
pwm = { gpio = 18 }
max-speed = "60deg/s"
current = "0.5A"
on-lost-lease = { park = "-30deg" }

[program.door]
steps = [
  { trigger = "ready" },
  { wait-for = ["door-open"], timeout = "20s" },
  { move = { pan = "20deg" } },
  { trigger = "part-ready" },
]
[program.late]
steps = [ { wait-for = ["never"], timeout = "200ms" } ]
"#;

struct Service {
    child: Child,
    folder: tempfile::TempDir,
}

impl Service {
    fn start() -> Service {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("machine.toml");
        std::fs::write(&config, CONFIG).unwrap();
        let sys = folder.path().join("sys/class/hwmon/hwmon0");
        std::fs::create_dir_all(&sys).unwrap();
        std::fs::write(sys.join("name"), "rpi_volt\n").unwrap();
        std::fs::write(sys.join("in0_lcrit_alarm"), "0\n").unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_lockstep"))
            .args(["serve", "--backend", "sim", "--config"])
            .arg(&config)
            .arg("--socket")
            .arg(folder.path().join("control.sock"))
            .env("LOCKSTEP_SYS", folder.path().join("sys"))
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

    fn socket(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    /// What the board says of its supply.
    fn supply(&self, low: bool) {
        let alarm = self.folder.path().join("sys/class/hwmon/hwmon0/in0_lcrit_alarm");
        std::fs::write(alarm, if low { "1\n" } else { "0\n" }).unwrap();
    }

    fn client(&self) -> Client {
        let mut client = Client::connect(&self.socket()).unwrap();
        client.set_timeout(Some(Duration::from_secs(60))).unwrap();
        client
    }

    fn run(&self, args: &[&str]) -> Output {
        cli_common::lockstep().args(args).env("LOCKSTEP_SOCKET", self.socket()).output().unwrap()
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{args:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn fails(&self, status: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{args:?}: {error}");
        error
    }

    fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.ok(&["status", "--json"])).unwrap()
    }

    /// Asks again and again until it is so.
    fn until(&self, what: &str, is_so: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let status = self.status();
            if is_so(&status) {
                return status;
            }
            assert!(Instant::now() < until, "not {what}: {status}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn request(line: &str) -> Request {
    Incoming::parse(&format!("{{\"v\":1,\"id\":1,{line}}}")).unwrap().request
}

#[test]
fn current_is_taken_waited_for_and_given_back() {
    let service = Service::start();
    assert_eq!(service.status()["power"]["used_a"], 0.0);
    let said = service.fails(1, &["move", "x=1mm", "y=1mm"]);
    assert!(said.contains("2200 mA are more than the power budget of 2000 mA"), "{said}");
    service.ok(&["move", "x=1mm"]);
    let power = &service.status()["power"];
    assert_eq!((&power["used_a"], &power["budget_a"]), (&0.8.into(), &2.0.into()));
    // It stays on, so there is no room for the other; once it is off there is.
    let said = service.fails(1, &["move", "y=1mm", "--timeout", "1s"]);
    assert!(said.contains("y fell short") && said.contains("power"), "{said}");
    service.ok(&["move", "y=1mm", "--no-wait"]);
    service.until("waited for", |s| s["power"]["waiting"] == 1);
    service.ok(&["disable", "x"]);
    service.ok(&["wait", "y.reached", "--timeout", "20s"]);
    service.until("given back", |s| s["power"]["used_a"] == 0.0);
}

#[test]
fn a_low_supply_holds_starts_and_is_an_event() {
    let service = Service::start();
    let mut listener = service.client();
    listener.request(request("\"do\":\"subscribe\",\"topics\":[\"machine\"]")).unwrap();
    service.supply(true);
    let hear = |listener: &mut Client, low: bool| loop {
        if let Event::Power(power) = listener.event().unwrap().event {
            assert_eq!(power.low, low);
            break;
        }
    };
    hear(&mut listener, true);
    assert_eq!(service.status()["power"]["low"], true);
    service.ok(&["move", "pan=10deg", "--no-wait"]);
    std::thread::sleep(Duration::from_millis(300));
    let status = service.status();
    assert_eq!(status["power"]["waiting"], 1);
    assert!(status["motors"]["pan"]["position"].is_null());
    service.supply(false);
    hear(&mut listener, false);
    service.ok(&["wait", "pan.reached", "--timeout", "20s"]);
}

#[test]
fn programs_wait_for_events_of_clients_and_clients_for_theirs() {
    let service = Service::start();
    let mut listener = service.client();
    listener.request(request("\"do\":\"subscribe\",\"topics\":[\"events\"]")).unwrap();
    service.ok(&["program", "run", "door", "--no-wait"]);
    service.ok(&["wait", "ready", "--timeout", "20s"]);
    assert!(service.status()["motors"]["pan"]["position"].is_null());
    service.ok(&["trigger", "door-open"]);
    let names = ["part-ready", "pan.reached", "program.door.done"];
    let data = service.ok(&["wait", names[0], names[1], names[2], "--timeout", "30s"]);
    let moved: serde_json::Value = serde_json::from_str(data.lines().nth(1).unwrap()).unwrap();
    // Moves of programs have numbers like any.
    assert_eq!((&moved["position"], &moved["move"]), (&20.0.into(), &1.into()));
    let mut heard = Vec::new();
    while heard.last().is_none_or(|last| last != names[2]) {
        if let Event::Triggered(event) = listener.event().unwrap().event {
            heard.push(event.name);
        }
    }
    assert_eq!(heard, ["ready", "door-open", "pan.reached", "part-ready", "program.door.done"]);
    let late = service.run(&["program", "run", "late"]);
    assert_eq!(late.status.code(), Some(1));
    let said = String::from_utf8(late.stdout).unwrap();
    assert!(said.contains("the time ran out before the event `never` came"), "{said}");
}

#[test]
fn motors_do_what_the_config_says_when_their_lease_is_lost() {
    let service = Service::start();
    let take = |motors: &str, more: &str| {
        let mut holder = service.client();
        let line = format!("\"do\":\"lease-take\",\"motors\":[{motors}]{more}");
        let taken = holder.request(request(&line)).unwrap();
        let Reply::LeaseTake(lease) = taken else { panic!("{taken:?}") };
        (holder, lease)
    };
    // The holder dies: `hold` holds, and whoever may resumes.
    let (mut holder, _) = take("\"x\"", "");
    holder.request(request("\"do\":\"move\",\"to\":{\"x\":\"20mm\"},\"wait\":false")).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    drop(holder);
    let held = service.until("held", |s| s["motors"]["x"]["state"] == "held");
    assert!(held["motors"]["x"]["position"].as_f64().unwrap() < 20.0);
    service.ok(&["resume"]);
    let there = service.until("at rest", |s| s["motors"]["x"]["state"] == "idle");
    assert_eq!(there["motors"]["x"]["position"], 20.0);
    service.ok(&["disable", "x"]);
    // A heartbeat is missed: `park` parks, and what says nothing stops.
    service.ok(&["move", "pan=0deg"]);
    let (mut holder, _lease) = take("\"pan\",\"y\"", ",\"heartbeat\":\"2s\"");
    for to in ["\"y\":\"150mm\"", "\"pan\":\"40deg\""] {
        let line = format!("\"do\":\"move\",\"to\":{{{to}}},\"wait\":false");
        holder.request(request(&line)).unwrap();
    }
    service.until("parked", |s| s["motors"]["pan"]["position"] == -30.0);
    let still = service.until("at rest", |s| s["motors"]["y"]["state"] != "moving");
    assert!(still["motors"]["y"]["position"].as_f64().unwrap() < 150.0);
    assert!(still["leases"].as_array().is_none_or(Vec::is_empty));
}
