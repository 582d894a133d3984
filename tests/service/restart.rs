//! What outlives a restart of the service: how it ended, and where its motors stood.
#![cfg(all(feature = "cli", feature = "service", unix))]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::service_common::{LONG, Service, command, request, signal, until};
use lockstep::client::Client;
use lockstep::config::Config;
use lockstep::hal::{Clock, Level, SimBackend};
use lockstep::machine::Machine;
use lockstep::protocol::Reply;
use lockstep::service::{Journal, Places, serve};
use lockstep::sync::StopEvent;

const X: &str = "[axis.x]\nstep = { gpio = 17 }\ndir = { gpio = 27 }\nfault = { gpio = 24, active = \"low\" }\n\
    driver = \"drv8825\"\nsteps-per-revolution = 200\nmicrosteps = 16\ndistance-per-revolution = \"8mm\"\n\
    travel = { min = \"0mm\", max = \"200mm\" }\nmax-speed = \"50mm/s\"\nmax-acceleration = \"500mm/s^2\"\n\
    at-start = \"restored\"\n";
const PAN: &str = "[servo.pan]\npwm = { gpio = 18 }\nstartup = \"last\"\n";

fn config() -> String {
    [X, PAN].concat()
}

fn motor(service: &Service, name: &str) -> serde_json::Value {
    service.status()["motors"][name].clone()
}

#[test]
fn places_outlive_a_clean_end() {
    let service = Service::start(&config());
    // At the very first start nobody knows anything.
    assert_eq!(motor(&service, "x")["place"], "unknown");
    assert_eq!(motor(&service, "pan")["state"], "off");
    assert!(service.fails(1, &["move", "x=5mm"]).contains("does not know where it is"));
    service.ok(&["set-position", "x=100mm"]);
    service.ok(&["move", "x=87.5mm", "pan=12.5deg"]);
    let mut folder = service.end();
    for _ in 0..2 {
        let service = Service::start_in(folder);
        let x = motor(&service, "x");
        assert_eq!((&x["position"], &x["place"]), (&87.5.into(), &"restored".into()));
        until("the servo is where it was", || motor(&service, "pan")["state"] == "idle");
        assert_eq!(motor(&service, "pan")["position"], 12.5);
        folder = service.end();
    }
}

#[test]
fn another_step_is_another_place() {
    let service = Service::start(&config());
    service.ok(&["set-position", "x=100mm"]);
    service.ok(&["move", "pan=12.5deg"]);
    let folder = service.end();
    std::fs::write(folder.path().join("machine.toml"), config().replace("16", "8")).unwrap();
    let service = Service::start_in(folder);
    assert_eq!(motor(&service, "x")["place"], "unknown");
    until("the servo is where it was", || motor(&service, "pan")["position"] == 12.5);
    service.end();
}

#[test]
fn after_a_kill_nothing_is_known_and_nothing_moves_before_clear() {
    let text = ["[machine]\nstart-program = \"wave\"\n", X, PAN,
        "[program.wave]\nsteps = [ { move = { pan = \"5deg\" } }, { move = { pan = \"-5deg\" } } ]\n"].concat();
    let mut service = Service::start(&text);
    until("the program has run", || motor(&service, "pan")["position"] == -5.0);
    service.ok(&["set-position", "x=100mm"]);
    service.child.kill().unwrap();
    let service = Service::start_in(service.gone());
    assert!(service.ok(&["status"]).contains("fault: the service did not end cleanly"));
    assert_eq!(motor(&service, "x")["place"], "unknown");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(motor(&service, "pan")["state"], "off");
    // Not cleared, it ends: that is no clean end either.
    let service = Service::start_in(service.end());
    assert!(service.ok(&["status"]).contains("fault: the service did not end cleanly"));
    assert!(service.fails(1, &["move", "pan=1deg"]).contains("clear"));
    // What begins at the start has waited for this.
    service.ok(&["clear"]);
    until("the program has run", || motor(&service, "pan")["position"] == -5.0);
    service.ok(&["set-position", "x=100mm"]);
    let service = Service::start_in(service.end());
    assert!(!service.ok(&["status"]).contains("fault"));
    assert_eq!(motor(&service, "x")["position"], 100.0);
    service.end();
}

#[test]
fn after_a_halt_the_next_start_waits_for_clear_and_a_slip_is_not_forgotten() {
    let service = Service::start(&config());
    service.ok(&["set-position", "x=0mm"]);
    service.ok(&["move", "x=100mm", "--no-wait"]);
    until("it is fast", || motor(&service, "x")["position"].as_f64().unwrap() > 10.0);
    service.ok(&["stop", "--now"]);
    let service = Service::start_in(service.end());
    let said = service.ok(&["status"]);
    assert!(
        said.contains("fault: the service ended before in a fault: the machine was halted"),
        "{said}"
    );
    service.ok(&["clear"]);
    service.ok(&["set-position", "x=0mm"]);
    service.ok(&["move", "x=100mm", "pan=3deg", "--no-wait"]);
    until("it is fast", || motor(&service, "x")["position"].as_f64().unwrap() > 10.0);
    service.ok(&["stop", "--now"]);
    service.ok(&["clear"]);
    // Cleared, the end is clean; where the axis stands nobody knows all the same.
    let service = Service::start_in(service.end());
    assert!(!service.ok(&["status"]).contains("fault"));
    assert_eq!(motor(&service, "x")["place"], "unknown");
    service.end();
}

#[test]
fn a_second_signal_is_no_clean_end() {
    let mut service = Service::start(&config());
    service.ok(&["set-position", "x=0mm"]);
    service.ok(&["move", "x=200mm", "--no-wait"]);
    until("it is fast", || motor(&service, "x")["position"].as_f64().unwrap() > 10.0);
    signal(&service.child, "TERM");
    signal(&service.child, "INT");
    let service = Service::start_in(service.gone());
    // The second may come when all is at rest already.
    if motor(&service, "x")["place"] == "unknown" {
        assert!(service.ok(&["status"]).contains("halted by a second signal"));
    }
    service.end();
}

/// A driver's fault is told at the next start, and no servo parks after it.
#[test]
fn a_fault_is_remembered_and_nobody_parks() {
    let folder = tempfile::tempdir().unwrap();
    let text = config().replace("startup", "on-stop = { park = \"40deg\" }\nstartup");
    let config = Config::from_str(&text, "t").unwrap().config;
    let journal = || Journal::read(&folder.path().join("state"), "sim", None, None);
    for fails in [true, false] {
        let backend = SimBackend::new(Clock::monotonic());
        let panel = backend.panel();
        let machine = Machine::builder(config.clone()).backend(Box::new(backend)).realtime(false);
        let (machine, stop) = (machine.build().unwrap(), StopEvent::new());
        let socket = folder.path().join("control.sock");
        let places =
            Places { socket: socket.clone(), journal: Some(journal()), ..Places::default() };
        let (served, waker) = (stop.clone(), machine.waker());
        let service = std::thread::spawn(move || serve(machine, &places, &served));
        until("the service listens", || Client::connect(&socket).is_ok());
        let mut client = Client::connect(&socket).unwrap();
        client.set_timeout(Some(LONG)).unwrap();
        // What the run before has left is looked at here.
        client.request(request("\"do\":\"clear\"")).unwrap();
        client
            .request(request("\"do\":\"move\",\"to\":{\"pan\":\"-20deg\"},\"wait\":true"))
            .unwrap();
        if fails {
            panel.set_level(24, Level::Low);
            until("the fault is known", || {
                let status = client.request(request("\"do\":\"status\"")).unwrap();
                matches!(status, Reply::Status(s) if s.reason.is_some())
            });
        }
        let (over, mut widths) = (AtomicBool::new(false), BTreeSet::new());
        std::thread::scope(|scope| {
            let seen = scope.spawn(|| {
                let mut widths = BTreeSet::new();
                while !over.load(Ordering::Relaxed) {
                    widths.extend(panel.pwm(18).map(|p| p.width));
                    std::thread::sleep(Duration::from_millis(1));
                }
                widths
            });
            stop.set();
            waker.wake();
            service.join().unwrap().unwrap();
            over.store(true, Ordering::Relaxed);
            widths = seen.join().unwrap();
        });
        let next = journal();
        if fails {
            // The pulse it had, and none.
            assert!(widths.len() <= 2, "{widths:?}");
            let why = next.unclean().unwrap();
            assert_eq!(why, "the service ended before in a fault: x: the driver reports a fault");
            assert!(next.places(&config).is_empty());
        } else {
            assert!(widths.len() > 3, "{widths:?}");
            assert_eq!(next.unclean(), None);
            let pan = next.places(&config)["pan"];
            assert_eq!(pan.angle, Some(40.0));
        }
    }
}

#[test]
fn the_socket_belongs_to_the_group_that_the_config_names() {
    let own = tempfile::tempdir().unwrap().path().metadata().unwrap().gid();
    let text = config() + &format!("[service]\ngroup = \"{own}\"\n");
    let service = Service::start(&text);
    let socket = std::fs::metadata(service.socket()).unwrap();
    assert_eq!((socket.gid(), socket.mode() & 0o777), (own, 0o660));
    // It is the socket's for as long as the service runs.
    service.write(&config());
    assert!(service.fails(2, &["reload"]).contains("`group` of [service]"));
    let folder = service.end();
    std::fs::write(
        folder.path().join("machine.toml"),
        config() + "[service]\ngroup = \"no-such-group\"\n",
    )
    .unwrap();
    let output = command(&folder).stderr(std::process::Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("there is no group `no-such-group`"), "{said}");
    // Nothing has begun: the end before is still the last one.
    std::fs::write(folder.path().join("machine.toml"), config()).unwrap();
    assert!(Service::start_in(folder).ok(&["status"]).contains("ready"));
}
