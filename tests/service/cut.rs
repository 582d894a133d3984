//! The machine goes down while the service runs: a power cut is no crash.

use crate::service_common::{Service, until};
use serde_json::Value;

const X: &str = "[axis.x]\nstep = { gpio = 17 }\ndir = { gpio = 27 }\n\
    driver = \"drv8825\"\nsteps-per-revolution = 200\nmicrosteps = 16\ndistance-per-revolution = \"8mm\"\n\
    travel = { min = \"0mm\", max = \"200mm\" }\nmax-speed = \"50mm/s\"\nmax-acceleration = \"500mm/s^2\"\n\
    at-start = \"restored\"\n";
const PAN: &str = "[servo.pan]\npwm = { gpio = 18 }\nstartup = \"last\"\n";
const WAVE: &str =
    "[program.wave]\nsteps = [ { move = { pan = \"5deg\" } }, { move = { pan = \"-5deg\" } } ]\n";

fn motor(service: &Service, name: &str) -> Value {
    service.status()["motors"][name].clone()
}

/// What the journal has on the disk.
fn journal(service: &Service) -> Value {
    let file = service.folder.path().join("state/journal.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// The power is cut, and comes back: another boot.
fn cut(mut service: Service, boot: &str) -> Service {
    service.child.kill().unwrap();
    let folder = service.gone();
    Service::start_in_boot(folder, Some(boot))
}

#[test]
fn at_rest_it_is_restored_in_motion_it_is_not_and_nothing_moves_before_clear() {
    let service = Service::start(&[X, PAN].concat());
    service.ok(&["set-position", "x=100mm"]);
    service.ok(&["move", "x=87.5mm", "pan=12.5deg"]);
    until("the journal has it", || {
        let motors = &journal(&service)["motors"];
        let rests = |m: &Value| m.get("moving").is_none();
        motors["x"]["steps"] == 35_000 && rests(&motors["x"]) && rests(&motors["pan"])
    });
    let service = cut(service, "b");
    assert!(service.ok(&["status"]).contains("fault: the machine went down while the service ran"));
    assert!(service.fails(1, &["move", "x=80mm"]).contains("clear"));
    let x = motor(&service, "x");
    assert_eq!((&x["position"], &x["place"]), (&87.5.into(), &"restored".into()));
    assert_eq!(motor(&service, "pan")["state"], "off");
    // Once more, before anybody has looked at it: nothing has moved since.
    let service = cut(service, "c");
    assert_eq!(motor(&service, "x")["place"], "restored");
    service.ok(&["clear"]);
    until("the servo is where it was", || motor(&service, "pan")["position"] == 12.5);
    service.ok(&["move", "x=20mm", "--no-wait"]);
    until("it moves", || motor(&service, "x")["position"].as_f64().unwrap() < 80.0);
    let service = cut(service, "d");
    assert_eq!(motor(&service, "x")["place"], "unverified");
    service.ok(&["clear"]);
    // In the same boot it is a crash: nobody knows anything.
    let service = cut(service, "d");
    assert!(service.ok(&["status"]).contains("fault: the service did not end cleanly"));
    assert_eq!(motor(&service, "x")["place"], "unknown");
    service.end();
}

#[test]
fn it_starts_by_itself_after_a_cut_if_the_config_says_so_and_never_after_a_crash() {
    let machine = "[machine]\nstart-program = \"wave\"\nafter-power-cut = \"start\"\n";
    let service = Service::start(&[machine, X, PAN, WAVE].concat());
    let ran = |service: &Service| {
        until("the program has run", || motor(service, "pan")["position"] == -5.0);
    };
    ran(&service);
    let service = cut(service, "b");
    assert!(!service.ok(&["status"]).contains("fault"));
    ran(&service);
    // What was wrong before the cut is wrong after it.
    service.ok(&["stop", "--now"]);
    until("the journal has it", || journal(&service)["why"] == "the machine was halted");
    let service = cut(service, "c");
    assert!(service.ok(&["status"]).contains("in a fault: the machine was halted"));
    service.ok(&["clear"]);
    until("the journal has it", || journal(&service).get("why").is_none());
    ran(&service);
    // The service dies, and not the machine.
    let service = cut(service, "c");
    assert!(service.ok(&["status"]).contains("fault: the service did not end cleanly"));
    // Nor does a cut make a crash good.
    let service = cut(service, "d");
    assert!(service.ok(&["status"]).contains("fault: the service did not end cleanly"));
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(motor(&service, "pan")["state"], "off");
    service.end();
}

/// A place that is said anew is the one after a cut, once that was answered.
#[test]
fn a_place_that_was_told_is_not_the_old_one() {
    let service = Service::start(X);
    service.ok(&["set-position", "x=100mm"]);
    until("the journal has it", || journal(&service)["motors"]["x"]["steps"] == 40_000);
    service.ok(&["set-position", "x=10mm"]);
    let service = cut(service, "b");
    let x = motor(&service, "x");
    assert!(x["place"] != "restored" || x["position"] == 10.0, "{x}");
    service.end();
}
