//! Another config for a running service.
#![cfg(all(feature = "cli", feature = "service", unix))]
#![allow(clippy::unwrap_used)]

use crate::cli_common::too_long;
use crate::service_common::{Service, request, until};
use lockstep::protocol::{Event, Reply};

const X: &str = "[axis.x]\nstep = { gpio = 17 }\ndir = { gpio = 27 }\nenable = { gpio = 22, active = \"low\" }\n\
    driver = \"drv8825\"\nsteps-per-revolution = 200\nmicrosteps = 16\ndistance-per-revolution = \"8mm\"\n\
    travel = { min = \"0mm\", max = \"200mm\" }\nmax-speed = \"50mm/s\"\nmax-acceleration = \"500mm/s^2\"\n\
    at-start = { assume = \"0mm\" }\n";
const PAN: &str = "[servo.pan]\npwm = { gpio = 18 }\n";
const TILT: &str = "[servo.tilt]\npwm = { gpio = 13 }\n";
const THERE: &str = "[program.there]\nsteps = [ { move = { x = \"5mm\" } }, { move = { x = \"0mm\" } } ]\n\
    [program.long]\nsteps = [ { repeat = \"forever\", steps = [ { run = \"there\" } ] } ]\n";

#[test]
fn limits_apply_at_once_to_what_rests_and_the_rest_goes_on() {
    let service = Service::start(&[X, PAN].concat());
    service.ok(&["move", "pan=10deg"]);
    service.ok(&["move", "x=100mm", "--no-wait"]);
    service.write(&[X, PAN, "max-speed = \"30deg/s\"\n"].concat());
    assert_eq!(service.ok(&["reload"]), "changed: pan\n");
    let status = service.status();
    let x = &status["motors"]["x"];
    assert_eq!((&x["state"], &x["target"]), (&"moving".into(), &100.0.into()));
    assert!(status["moves"][0]["left_s"].as_f64().is_some_and(|left| (0.1..3.0).contains(&left)));
    // It kept its signal and its place.
    assert_eq!(status["motors"]["pan"]["state"], "idle");
    assert_eq!(status["motors"]["pan"]["position"], 10.0);
    assert!(service.ok(&["wait", "x.reached", "--timeout", "50s"]).contains("100.0"));
    // 30 degrees at 30 deg/s take a second, at the default speed a fraction of it.
    let outcome = service.ok(&["move", "pan=-20deg", "--json"]);
    let outcome: serde_json::Value = serde_json::from_str(&outcome).unwrap();
    assert!(outcome["outcome"]["duration_s"].as_f64().unwrap() > 1.0, "{outcome}");
    assert_eq!(service.ok(&["reload"]), "no motor has changed\n");
    service.end();
}

#[test]
fn what_moves_is_waited_for_and_then_changed() {
    let service = Service::start(&[X, PAN].concat());
    let mut watcher = service.client();
    watcher.request(request("\"do\":\"subscribe\",\"topics\":[\"machine\"]")).unwrap();
    service.ok(&["move", "x=40mm", "--no-wait"]);
    service.write(&[X.replace("16", "32").as_str(), PAN].concat());
    // The reply comes when it holds.
    assert_eq!(service.ok(&["reload"]), "changed: x\n");
    let event = loop {
        if let Event::Reloaded(reloaded) = watcher.event().unwrap().event {
            break reloaded;
        }
    };
    assert_eq!(event.changed, ["x"]);
    // A step is no longer the same step: nobody knows where it is now.
    let status = service.status();
    assert_eq!(status["motors"]["x"]["place"], "unknown");
    assert_eq!(status["motors"]["x"]["state"], "idle");
    service.ok(&["set-position", "x=0mm"]);
    assert!(service.ok(&["move", "x=1mm"]).contains("reached 1 mm"));
    assert_eq!(service.status()["motors"]["x"]["steps"], 800);
    service.end();
}

#[test]
fn other_pins_and_timing_keep_the_count() {
    let service = Service::start(&[X, PAN].concat());
    service.ok(&["move", "x=3mm"]);
    service.write(&[X.replace("\"drv8825\"", "\"a4988\"").as_str(), PAN].concat());
    assert_eq!(service.ok(&["reload"]), "changed: x\n");
    let status = service.status();
    assert_eq!(status["motors"]["x"]["position"], 3.0);
    assert_eq!(status["motors"]["x"]["place"], "assumed");
    assert!(service.ok(&["move", "x=4mm"]).contains("reached 4 mm"));
    service.end();
}

#[test]
fn motors_come_and_go() {
    let service = Service::start(&[X, PAN].concat());
    service.ok(&["move", "pan=10deg"]);
    service.write(&[X, PAN, TILT].concat());
    assert_eq!(service.ok(&["reload"]), "changed: tilt\n");
    assert!(service.ok(&["move", "tilt=5deg"]).contains("reached 5 deg"));
    let page = lockstep::service::read_page(&service.folder.path().join("status")).unwrap();
    let names: Vec<_> = page.motors.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["x", "pan", "tilt"]);
    // The first goes: the others have other numbers, and keep their signals.
    service.write(&[TILT, PAN].concat());
    assert_eq!(service.ok(&["reload"]), "changed: x\n");
    let status = service.status();
    assert_eq!(status["motors"]["pan"]["position"], 10.0);
    assert_eq!(status["motors"]["tilt"]["position"], 5.0);
    assert!(service.fails(2, &["move", "x=1mm"]).contains("no motor `x`"));
    assert!(service.ok(&["move", "pan=1deg", "tilt=2deg"]).contains("reached 2 deg"));
    // Its pins are free for others.
    service.write(&[TILT, PAN, "[servo.third]\nsoft-pwm = { gpio = 17 }\n"].concat());
    assert_eq!(service.ok(&["reload"]), "changed: third\n");
    assert!(service.ok(&["move", "third=2deg"]).contains("reached 2 deg"));
    service.end();
}

#[test]
fn a_wrong_config_changes_nothing() {
    let service = Service::start(&[X, PAN].concat());
    service.ok(&["move", "pan=10deg"]);
    let wrong = [X.replace("\"50mm/s\"", "50").as_str(), PAN, "colour = 1\n"].concat();
    service.write(&wrong);
    let said = service.fails(2, &["reload"]);
    let file = service.config().display().to_string();
    assert!(said.contains(&format!("{file}:10:13: error: ")), "{said}");
    assert!(said.contains("no key `colour`") || said.contains("`colour`"), "{said}");
    assert!(said.contains("2 errors; the old one stays"), "{said}");
    // A program that can't be carried out is an error as any.
    let far =
        "[program.far]\nsteps = [ { move = { x = \"5mm\" } }, { move = { x = \"201mm\" } } ]\n";
    service.write(&[X, PAN, far].concat());
    assert!(service.fails(2, &["reload"]).contains("error: "));
    // What a restart is needed for is said.
    service.write(&["[machine]\nspin = \"50%\"\n", X, PAN].concat());
    assert!(service.fails(2, &["reload"]).contains("restart it"));
    std::fs::remove_file(service.config()).unwrap();
    service.fails(2, &["reload"]);
    assert_eq!(service.status()["motors"]["pan"]["position"], 10.0);
    // A place that is outside the new travel is said, too.
    service.ok(&["move", "x=150mm"]);
    service.write(&[X.replace("200mm", "100mm").as_str(), PAN].concat());
    let said = service.fails(2, &["reload"]);
    assert!(said.contains("x stands at 150mm, outside its new travel"), "{said}");
    service.ok(&["move", "x=99mm"]);
    assert_eq!(service.ok(&["reload"]), "changed: x\n");
    assert!(service.fails(2, &["move", "x=101mm"]).contains("its travel"));
    service.end();
}

#[test]
fn programs_go_on_by_the_config_they_began_with() {
    let service = Service::start(&[X, PAN, THERE].concat());
    service.ok(&["program", "run", "long", "--no-wait"]);
    // Another text of the program, and another limit of a motor that it does not use.
    let new = THERE.replace("5mm", "6mm");
    service.write(&[X, PAN, "max-speed = \"30deg/s\"\n", &new].concat());
    assert_eq!(service.ok(&["reload"]), "changed: pan\n");
    let at = || service.status()["motors"]["x"]["steps"].as_i64().unwrap();
    let before = at();
    until("the program goes on", || at() != before);
    assert_eq!(service.status()["programs"][0], "long");
    // One that it uses waits for it.
    service.write(&[X.replace("50mm/s", "40mm/s").as_str(), PAN, &new].concat());
    let mut client = service.client();
    let reload = std::thread::spawn(move || client.request(request("\"do\":\"reload\"")));
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(!reload.is_finished());
    service.ok(&["stop"]);
    let Ok(Reply::Reload(reply)) = reload.join().unwrap() else { panic!("no reply") };
    // What was changed back is changed, too.
    assert_eq!(reply.changed, ["x", "pan"]);
    assert!(service.ok(&["program", "run", "there"]).contains("done"));
    service.end();
}

#[test]
fn a_fault_does_not_hinder_a_new_config() {
    let service = Service::start(&[X, PAN].concat());
    service.ok(&["move", "x=100mm", "--no-wait"]);
    until("it moves", || service.status()["motors"]["x"]["steps"].as_i64().unwrap() > 100);
    service.ok(&["stop", "--now"]);
    service.write(&[X.replace("50mm/s", "40mm/s").as_str(), PAN, TILT].concat());
    assert_eq!(service.ok(&["reload"]), "changed: x, tilt\n");
    // It is no `clear`.
    assert!(service.fails(1, &["move", "tilt=5deg"]).contains("clear"));
    service.ok(&["clear"]);
    service.ok(&["move", "tilt=5deg"]);
    service.end();
}

/// A program of so many moves that are run through without a stop.
fn corners(count: usize) -> String {
    let corner =
        |n: usize| format!("{{ move = {{ x = \"{}mm\" }}, blend = \"0.1mm\" }}", 10 + n % 2);
    let steps: Vec<String> = (0..count).map(corner).collect();
    format!("[program.corners]\nsteps = [ {} ]\n", steps.join(", "))
}

/// While one client has a long program begun, others are answered, and a stop keeps it from beginning.
#[test]
fn a_long_program_keeps_nobody_waiting() {
    let service = Service::start(&[X, PAN, &corners(30_000)].concat());
    let run = |mut client: lockstep::client::Client| {
        let run = "\"do\":\"program-run\",\"program\":\"corners\",\"wait\":false";
        std::thread::spawn(move || client.request(request(run)))
    };
    let mut client = service.client();
    let begins = run(service.client());
    let mut asked = 0;
    while !begins.is_finished() {
        client.request(request("\"do\":\"status\"")).unwrap();
        asked += 1;
    }
    begins.join().unwrap().unwrap();
    assert!(asked >= 20, "{asked} replies while the program was looked through");
    service.ok(&["stop"]);
    // Nothing begins after a stop that comes before it.
    for stop in ["\"do\":\"stop\"", "\"do\":\"stop\",\"motors\":[\"x\"]", "\"do\":\"program-stop\""]
    {
        let steps = service.status()["motors"]["x"]["steps"].clone();
        let begins = run(service.client());
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(!begins.is_finished(), "it is looked through for longer than that");
        client.request(request(stop)).unwrap();
        match begins.join().unwrap() {
            Err(lockstep::client::ClientError::Refused(e)) => {
                assert!(e.message.contains("stopped before it began"), "{e}");
            }
            other => panic!("{stop}: {other:?}"),
        }
        assert_eq!(service.status()["motors"]["x"]["steps"], steps);
    }
    service.end();
}

/// Who runs a program of which not all was looked through is told so when it begins.
#[test]
fn a_program_that_is_too_long_to_be_looked_through_is_told() {
    use std::io::{BufRead, BufReader};
    let service = Service::start(&[X, PAN, &too_long()].concat());
    let mut run = std::process::Command::new(env!("CARGO_BIN_EXE_lockstep"))
        .args(["program", "run", "p0", "--json"])
        .env("LOCKSTEP_SOCKET", service.socket())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = String::new();
    BufReader::new(run.stderr.take().unwrap()).read_line(&mut told).unwrap();
    let moves = told.strip_prefix("note: p0 was looked through as far as its first ").unwrap();
    let moves = moves.strip_suffix(" moves; what follows is checked as it comes\n").unwrap();
    // It is not over yet.
    service.ok(&["program", "stop", "p0"]);
    let reply = run.wait_with_output().unwrap().stdout;
    let reply: serde_json::Value = serde_json::from_slice(&reply).unwrap();
    assert_eq!(
        (&reply["result"], reply["checked_moves"].to_string().as_str()),
        (&"stopped".into(), moves)
    );
    let begun = service.ok(&["program", "run", "p0", "--no-wait", "--json"]);
    let begun: serde_json::Value = serde_json::from_str(&begun).unwrap();
    assert!(begun["checked_moves"].as_u64().unwrap() >= 250_000, "{begun}");
    service.end();
}

/// A config that nobody uses any more takes no memory.
#[cfg(target_os = "linux")]
#[test]
fn old_configs_go() {
    let memory = |service: &Service| {
        let text = std::fs::read_to_string(format!("/proc/{}/status", service.child.id())).unwrap();
        let line = text.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    // Some 100 kB of steps.
    let pauses = |ms: usize| {
        let steps = vec![format!("{{ pause = \"{ms}ms\" }}"); 600].join(", ");
        format!("[program.pauses]\nsteps = [ {steps} ]\n")
    };
    let service = Service::start(&[X, PAN, &pauses(1)].concat());
    // Whole, whenever it is read.
    let write = |n: usize| {
        let next = service.config().with_extension("next");
        std::fs::write(&next, [X, PAN, &pauses(1 + n % 2)].concat()).unwrap();
        std::fs::rename(&next, service.config()).unwrap();
    };
    let ask = |client: &mut lockstep::client::Client| {
        let said = client.request(request("\"do\":\"reload\""));
        assert!(matches!(said, Ok(Reply::Reload(_))), "{said:?}");
    };
    let mut client = service.client();
    let mut reload = |n: usize| {
        write(n);
        ask(&mut client);
    };
    // Four at once, as fast as they are answered.
    let crowd = |times: usize| {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let mut client = service.client();
                scope.spawn(move || (0..times).for_each(|_| ask(&mut client)));
            }
            (0..times / 2).for_each(write);
        });
    };
    // What the allocator keeps for as many threads as there ever were at once is there after as large a crowd as the
    // one that is measured, also on a machine that is busy.
    (0..30).for_each(&mut reload);
    crowd(200);
    let before = memory(&service);
    (0..700).for_each(&mut reload);
    crowd(200);
    let more = memory(&service).saturating_sub(before);
    assert!(more < 8 * 1024, "{more} kB more after 1500 reloads");
    service.end();
}
