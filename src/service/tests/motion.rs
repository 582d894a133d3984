//! Inputs that went wrong once, each with what is right.

use std::time::Duration;

use serde_json::Value;

use super::bench::{Bench, Said, config, serve};
use super::story::{Begun, Story};
use crate::service::wire::ClientId;
use crate::units::Instant;

/// Two plain axes.
const TWO: &str = r#"
[axis.x]
step = { gpio = 17 }
dir = { gpio = 27 }
driver = "drv8825"
steps-per-revolution = 200
microsteps = 16
distance-per-revolution = "8mm"
travel = { min = "0mm", max = "200mm" }
max-speed = "50mm/s"
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
max-speed = "50mm/s"
max-acceleration = "500mm/s^2"
at-start = { assume = "0mm" }
"#;

/// x to 150 mm and back at 20 mm/s; and one in which x and y take turns.
const PROGRAMS: &str = r#"
[program.long]
steps = [
  { move = { x = "150mm" }, speed = "40%" },
  { move = { x = "0mm" }, speed = "40%" },
]

[program.turns]
steps = [
  { move = { x = "20mm" } },
  { move = { y = "40mm" } },
  { move = { x = "0mm" } },
]
"#;

const SERVO: &str = "[servo.pan]\npwm = { gpio = 18 }\n";

/// Braking from 50 mm/s, a change of plan on its way, and some room.
const BRAKING: Duration = Duration::from_millis(310);

fn two() -> String {
    format!("{TWO}{PROGRAMS}")
}

fn steps(said: &Said, motor: &str) -> i64 {
    said.what["motors"][motor]["steps"].as_i64().unwrap_or_else(|| panic!("{:?}", said.what))
}

fn position(said: &Said, motor: &str) -> f64 {
    said.what["motors"][motor]["position"].as_f64().unwrap_or_else(|| panic!("{:?}", said.what))
}

fn status(bench: &mut Bench<'_>, client: ClientId) -> Value {
    bench.ask(client, r#""do":"status""#).what
}

fn milliseconds(text: &str, at: Instant) -> String {
    format!("{text} at {:.1} ms", at.as_nanos() as f64 / 1e6)
}

/// The answer was given at rest, in time: no step of the motor from then on up to `until`, and its place is the one
/// that was told.
fn at_rest(story: &Story, asked: Instant, said: &Said, motor: &str, until: Instant) {
    assert!(said.is_ok(), "{:?}", said.what);
    assert!(
        said.at.since(asked) <= BRAKING,
        "{}",
        milliseconds(&format!("asked at {asked}, answered"), said.at)
    );
    let course = story.course(story.config.motor(motor).unwrap());
    let later = course.steps(said.at, until).next();
    assert_eq!(later, None, "{motor} moves after the answer at {}", said.at);
    assert_eq!(steps(said, motor), course.count_at(said.at), "{motor} is where it was told to be");
}

fn clean(story: &Story) {
    assert_eq!(story.findings(&story.config), "");
}

#[test]
fn hold_of_a_programs_motor_is_answered_at_rest_and_the_program_waits_there() {
    let (said, story) = serve(config(&two()), None, |bench| {
        let me = bench.connect();
        assert!(bench.ask(me, r#""do":"program-run","program":"long""#).is_ok());
        bench.run_for(2000);
        let asked = bench.now();
        let held = bench.ask(me, r#""do":"hold","motors":["x"]"#);
        bench.run_for(5000);
        let resumed = bench.now();
        let state = status(bench, me);
        assert_eq!(state["state"], "held");
        assert_eq!(state["programs"][0], "long");
        assert!(bench.ask(me, r#""do":"resume","motors":["x"]"#).is_ok());
        let end = bench.ask(me, r#""do":"program-run","program":"long","wait":true"#);
        assert_eq!(end.code(), "busy", "it goes on");
        bench.run_for(20_000);
        let state = status(bench, me);
        assert_eq!((&state["state"], state.get("programs")), (&"ready".into(), None));
        assert_eq!(state["motors"]["x"]["steps"], 0, "it went there and back");
        (asked, held, resumed)
    });
    let (asked, held, resumed) = said;
    assert!(position(&held, "x") > 35.0 && position(&held, "x") < 42.0);
    at_rest(&story, asked, &held, "x", resumed);
    clean(&story);
}

#[test]
fn resume_of_one_motor_goes_on_after_a_hold_of_all() {
    let (_, story) = serve(config(&two()), None, |bench| {
        let me = bench.connect();
        assert!(bench.ask(me, r#""do":"program-run","program":"long""#).is_ok());
        bench.run_for(2000);
        let held = bench.ask(me, r#""do":"hold""#);
        bench.run_for(1000);
        assert!(bench.ask(me, r#""do":"resume","motors":["x"]"#).is_ok());
        bench.run_for(1000);
        let x = status(bench, me)["motors"]["x"]["position"].as_f64().unwrap();
        assert!(x > position(&held, "x") + 15.0, "{x}");
    });
    clean(&story);
}

/// Runs a program, stops one of its motors after a while, and looks whether anything moves later.
fn stopped(program: &str, motor: &str, after_ms: u64) -> (Instant, Said, Story) {
    let (said, story) = serve(config(&two()), None, |bench| {
        let me = bench.connect();
        assert!(bench.ask(me, &format!(r#""do":"program-run","program":"{program}""#)).is_ok());
        bench.run_for(after_ms);
        let asked = bench.now();
        let stopped = bench.ask(me, &format!(r#""do":"stop","motors":["{motor}"]"#));
        bench.run_for(10_000);
        let state = status(bench, me);
        assert_eq!((&state["state"], state.get("programs")), (&"ready".into(), None));
        (asked, stopped)
    });
    (said.0, said.1, story)
}

#[test]
fn stop_of_a_programs_motor_is_answered_at_rest_and_ends_the_program() {
    let (asked, said, story) = stopped("long", "x", 2000);
    at_rest(&story, asked, &said, "x", Instant::FAR);
    clean(&story);
}

#[test]
fn stop_of_a_programs_motor_ends_it_whenever_it_comes() {
    // x has its turn up to 0.6 s, and again from 1.5 s on.
    for after in [0, 1, 100, 599, 700, 1000, 1400, 1600, 1900] {
        let (asked, said, story) = stopped("turns", "x", after);
        at_rest(&story, asked, &said, "x", Instant::FAR);
        let ends = said.at + BRAKING;
        let y = story.course(story.config.motor("y").unwrap());
        assert_eq!(y.steps(ends, Instant::FAR).next(), None, "y moves on, stopped at {after} ms");
        clean(&story);
    }
}

#[test]
fn nothing_begins_after_a_stop_in_the_first_moments() {
    let text = format!(
        "[machine]\nstart-program = \"out\"\n{TWO}{SERVO}startup = {{ angle = \"30deg\" }}\n\
         [program.out]\nsteps = [ {{ move = {{ x = \"50mm\" }} }}, {{ move = {{ x = \"0mm\" }} }} ]\n"
    );
    for after in [0, 1, 5, 50, 300, 1000] {
        for motors in ["", r#","motors":["x"]"#, r#","motors":["x","pan"]"#] {
            let ((asked, said), story) = serve(config(&text), None, |bench| {
                let me = bench.connect();
                bench.run_for(after);
                let asked = bench.now();
                let stopped = bench.ask(me, &format!(r#""do":"stop"{motors}"#));
                bench.run_for(8000);
                (asked, stopped)
            });
            at_rest(&story, asked, &said, "x", Instant::FAR);
            let begun = story.moves();
            // What was agreed on before has its epoch within this.
            let lead = Duration::from_millis(10);
            let late: Vec<_> = begun.iter().filter(|m| m.at > asked + lead).collect();
            assert!(late.is_empty(), "{late:?} after a stop at {after} ms {motors}");
            let start_up = |m: &&Begun| m.owner == "start-up";
            assert!(after >= 300 || begun.iter().all(|m| start_up(&m)), "{begun:?}");
            clean(&story);
        }
    }
}

#[test]
fn a_start_program_begins_where_nobody_stops_it() {
    let text = format!(
        "[machine]\nstart-program = \"out\"\n{TWO}{SERVO}startup = {{ angle = \"30deg\" }}\n\
         [program.out]\nsteps = [ {{ move = {{ x = \"50mm\" }} }} ]\n"
    );
    let (_, story) = serve(config(&text), None, |bench| {
        let me = bench.connect();
        // Another motor's stop is none of its business.
        bench.ask(me, r#""do":"stop","motors":["y"]"#);
        bench.run_for(4000);
        assert_eq!(status(bench, me)["motors"]["x"]["position"], 50.0);
    });
    let owners: Vec<_> = story.moves().into_iter().map(|m| m.owner).collect();
    assert_eq!(owners, ["start-up", "program.out"]);
    clean(&story);
}

#[test]
fn a_stop_waits_for_what_it_stopped_and_for_nothing_else() {
    let ((asked, said), story) = serve(config(&two()), None, |bench| {
        let (a, b) = (bench.connect(), bench.connect());
        assert!(bench.ask(a, r#""do":"move","to":{"x":"100mm"}"#).is_ok());
        bench.run_for(500);
        let asked = bench.now();
        let stop = bench.send(a, r#""do":"stop""#);
        bench.run_for(5);
        let y = bench.send(b, r#""do":"move","to":{"y":"100mm"},"wait":true"#);
        let stopped = bench.answer(a, stop);
        assert!(bench.answer(b, y).at.since(stopped.at) > Duration::from_secs(1));
        (asked, stopped)
    });
    at_rest(&story, asked, &said, "x", Instant::FAR);
    clean(&story);
}

#[test]
fn first_come_first_served_motor_by_motor() {
    for if_busy in ["refuse", "queue"] {
        let (_, story) = serve(config(&two()), None, |bench| {
            let me = bench.connect();
            let to = |to: &str, more: &str| format!(r#""do":"move","to":{to}{more}"#);
            assert!(bench.ask(me, &to(r#"{"y":"50mm"}"#, "")).is_ok());
            let both = bench.ask(me, &to(r#"{"x":"30mm","y":"0mm"}"#, r#","if-busy":"queue""#));
            assert_eq!(both.what["state"], "queued");
            let busy = format!(r#","if-busy":"{if_busy}""#);
            let last = bench.ask(me, &to(r#"{"x":"90mm"}"#, &busy));
            match if_busy {
                "refuse" => {
                    assert_eq!((last.code(), &last.what["motors"][0]), ("busy", &"x".into()));
                }
                _ => assert_eq!(last.what["state"], "queued"),
            }
            bench.run_for(10_000);
        });
        let order: Vec<_> = story.moves().into_iter().map(|m| m.number).collect();
        let wanted: &[u64] = if if_busy == "refuse" { &[1, 2] } else { &[1, 2, 3] };
        assert_eq!(order, wanted);
        clean(&story);
    }
}

#[test]
fn a_servo_that_has_all_but_arrived_takes_a_move() {
    for phase in 0..20 {
        let (_, story) = serve(config(SERVO), None, |bench| {
            let me = bench.connect();
            bench.ask(me, r#""do":"move","to":{"pan":"0deg"},"wait":true"#);
            let first = bench.ask(me, r#""do":"move","to":{"pan":"20deg"}"#);
            let number = first.what["move"].as_u64().unwrap();
            // Asked for again until it is refused: it has all but arrived then.
            bench.run_until(bench.now() + Duration::from_micros(900 * phase));
            let again = format!(r#""do":"retarget","move":{number},"to":{{"pan":"20deg"}}"#);
            let refused = loop {
                let said = bench.ask(me, &again);
                if !said.is_ok() {
                    break said;
                }
                bench.run_for(1);
            };
            assert!(["busy", "unknown-move", "nothing-to-do"].contains(&refused.code()));
            let next = bench.ask(me, r#""do":"move","to":{"pan":"-20deg"},"wait":true"#);
            assert!(next.is_ok(), "refused to retarget by {:?}: {:?}", refused.what, next.what);
            assert_eq!(next.what["outcome"]["result"], "done");
            assert_eq!(position_of(&next, "pan"), -20.0);
        });
        clean(&story);
    }
}

fn position_of(said: &Said, motor: &str) -> f64 {
    said.what["outcome"]["motors"][motor]["position"].as_f64().unwrap()
}

#[test]
fn a_hold_at_rest_is_said_and_a_stop_ends_it() {
    for motors in ["", r#","motors":["x"]"#] {
        let (_, story) = serve(config(&two()), None, |bench| {
            let me = bench.connect();
            let hold = format!(r#""do":"hold"{motors}"#);
            assert!(bench.ask(me, &hold).is_ok());
            assert_eq!(status(bench, me)["motors"]["x"]["held"], true);
            let held = bench.ask(me, r#""do":"move","to":{"x":"5mm"}"#);
            assert_eq!(held.what["state"], "held", "{:?}", held.what);
            assert_eq!(status(bench, me)["state"], "held");
            // It never begins: it was asked for before the stop.
            assert!(bench.ask(me, &format!(r#""do":"stop"{motors}"#)).is_ok());
            assert_eq!(status(bench, me)["motors"]["x"].get("held"), None);
            bench.run_for(2000);
            assert_eq!(status(bench, me)["motors"]["x"]["steps"], 0);
            assert!(bench.ask(me, &hold).is_ok());
            assert!(bench.ask(me, r#""do":"stop""#).is_ok());
            let done = bench.ask(me, r#""do":"move","to":{"x":"5mm"},"wait":true"#);
            assert_eq!(position_of(&done, "x"), 5.0);
        });
        clean(&story);
    }
}

#[test]
fn every_verb_for_several_motors_does_all_of_it_or_nothing() {
    let text = format!(
        "{}{SERVO}",
        two().replace("dir = {", "enable = { gpio = 22, active = \"low\" }\ndir = {")
    );
    let (_, story) = serve(config(&text), None, |bench| {
        let me = bench.connect();
        let refused = |bench: &mut Bench<'_>, body: &str, code: &str| {
            let before = status(bench, me);
            let said = bench.ask(me, body);
            assert_eq!(said.code(), code, "{body}: {:?}", said.what);
            let after = status(bench, me);
            assert_eq!(before["motors"], after["motors"], "{body}");
            assert_eq!(before.get("moves"), after.get("moves"), "{body}");
        };
        for (body, code) in [
            (r#""do":"set-position","to":{"x":"1mm","y":"1deg"}"#, "bad-value"),
            (r#""do":"set-position","to":{"x":"1mm","y":"900mm"}"#, "limit"),
            (r#""do":"set-position","to":{"x":"1mm","pan":"1deg"}"#, "wrong-motor"),
            (r#""do":"set-position","to":{"x":"1mm","z":"1mm"}"#, "unknown-motor"),
            (r#""do":"move","to":{"x":"10mm","y":"900mm"}"#, "limit"),
            (r#""do":"move","to":{"x":"10mm","y":"9deg"}"#, "bad-value"),
            (r#""do":"jog","speed":{"x":"5mm/s","y":"900mm/s"},"for":"1s""#, "limit"),
            (r#""do":"jog","speed":{"x":"5mm/s","pan":"5deg/s"},"for":"1s""#, "place-unknown"),
            (r#""do":"enable","motors":["x","pan"]"#, "wrong-motor"),
            (r#""do":"disable","motors":["x","pan"]"#, "wrong-motor"),
            (r#""do":"release","motors":["pan","x"]"#, "wrong-motor"),
            (r#""do":"hold","motors":["x","z"]"#, "unknown-motor"),
            (r#""do":"stop","motors":["x","z"]"#, "unknown-motor"),
            (r#""do":"lease-take","motors":["x","z"]"#, "unknown-motor"),
        ] {
            refused(bench, body, code);
        }
        // Of two that would do, one moves.
        assert!(bench.ask(me, r#""do":"move","to":{"y":"50mm"}"#).is_ok());
        bench.run_for(300);
        for body in [
            r#""do":"set-position","to":{"x":"1mm","y":"1mm"}"#,
            r#""do":"enable","motors":["x","y"]"#,
            r#""do":"disable","motors":["x","y"]"#,
            r#""do":"move","to":{"x":"10mm","y":"10mm"}"#,
            r#""do":"jog","speed":{"x":"5mm/s","y":"5mm/s"},"for":"1s""#,
        ] {
            let said = bench.ask(me, body);
            assert_eq!(said.code(), "busy", "{body}: {:?}", said.what);
            let x = &status(bench, me)["motors"]["x"];
            assert_eq!((&x["steps"], &x["state"]), (&0.into(), &"idle".into()), "{body}");
        }
    });
    let enabled = story.recording.find("x.enable").unwrap();
    assert_eq!(story.recording.edges(enabled).filter(|e| e.1).count(), 1, "y alone took power");
    clean(&story);
}

#[test]
fn an_override_of_jogs_leaves_moves_as_they_are() {
    let (places, story) = serve(config(&two()), None, |bench| {
        let me = bench.connect();
        let both = bench.ask(me, r#""do":"override","speed":"50%","class":"jog","move":1"#);
        assert_eq!(both.code(), "bad-value");
        assert!(bench.ask(me, r#""do":"override","speed":"50%","class":"jog""#).is_ok());
        assert!(bench.ask(me, r#""do":"jog","speed":{"x":"20mm/s"},"for":"1s""#).is_ok());
        assert!(bench.ask(me, r#""do":"move","to":{"y":"20mm"},"speed":"40%""#).is_ok());
        bench.run_for(900);
        let state = status(bench, me);
        ["x", "y"].map(|m| state["motors"][m]["position"].as_f64().unwrap())
    });
    // A jog at half of 20 mm/s, a move at 40 % of 50 mm/s.
    let [x, y] = places;
    assert!((8.0..9.2).contains(&x) && (16.5..18.2).contains(&y), "{places:?}");
    clean(&story);
}

/// Each of them is refused behind a reply that is long in coming, and must not fill the memory meanwhile.
#[test]
fn lines_too_long_behind_a_long_wait_end_the_connection() {
    let ((), story) = serve(config(&two()), None, |bench| {
        let (flood, other) = (bench.connect(), bench.connect());
        bench.send(flood, r#""do":"wait-events","events":["never"],"timeout":"50s""#);
        for _ in 0..2_000 {
            bench.send_too_long(flood);
        }
        bench.run_for(10);
        assert!(bench.is_thrown_out(flood));
        bench.send_too_long(other);
        bench.run_for(10);
        assert!(!bench.is_thrown_out(other));
        assert!(bench.ask(other, r#""do":"status""#).is_ok());
    });
    clean(&story);
}
