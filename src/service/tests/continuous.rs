//! Servos that turn continuously, through the desk: whatever ends their motion, they are left neutral, and then without
//! a signal.

use super::bench::{Bench, Said, config, serve};
use super::story::Story;
use crate::service::wire::ClientId;
use crate::units::Instant;

/// Two wheels, one on hardware PWM, the other on pulses of its own loop; and an axis.
const ROVER: &str = r#"
[servo.left]
pwm = { gpio = 12 }
continuous = true

[servo.right]
soft-pwm = { gpio = 24 }
continuous = true
reverse = true

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

[program.tour]
steps = [
  { spin = { left = "60%", right = "60%" }, for = "2s" },
  { pause = "500ms" },
  { spin = { left = "-60%" }, for = "1s" },
]
"#;

const WHEELS: [&str; 2] = ["left", "right"];

/// From full speed to rest, a change of plan on its way, and a pulse; milliseconds.
const BRAKING: u64 = 400;

/// Neutral pulses, and the last one.
const NEUTRAL: u64 = 240;

const JOG: &str = r#""do":"jog","speed":{"left":"80%","right":"-80%"},"for":"10s""#;

fn after(at: Instant, ms: u64) -> Instant {
    at.plus_nanos(ms * 1_000_000)
}

/// From `from` on, up to `until`, a wheel gets neutral pulses for a while, and then none.
fn stands_still(story: &Story, motor: &str, from: Instant, until: Instant) {
    let pulses = story.pulses(motor);
    for (at, width) in pulses.iter().filter(|p| p.0 >= from && p.0 < until) {
        assert_eq!(*width, 1_500_000, "{motor}: a pulse at {at}, still from {from}");
        assert!(*at <= after(from, NEUTRAL), "{motor}: a pulse at {at}, still from {from}");
    }
}

/// How far its pulse is from neutral at an instant, nanoseconds; 0 without one.
fn turns_at(story: &Story, motor: &str, at: Instant) -> i64 {
    let pulses = story.pulses(motor);
    let last = pulses.iter().rfind(|p| p.0 <= at && after(p.0, 21) >= at);
    last.map_or(0, |p| p.1 as i64 - 1_500_000)
}

fn proved(story: &Story) {
    assert_eq!(story.findings(&story.config), "");
}

fn jog(bench: &mut Bench<'_>) -> ClientId {
    let me = bench.connect();
    let begun = bench.ask(me, JOG);
    assert!(begun.is_ok(), "{:?}", begun.what);
    bench.run_for(600);
    me
}

#[test]
fn a_stop_is_answered_at_rest_and_a_halt_at_once() {
    for (verb, within) in [(r#""do":"stop""#, BRAKING), (r#""do":"halt""#, 50)] {
        let ((asked, said), story) = serve(config(ROVER), None, |bench| {
            let me = jog(bench);
            let asked = bench.now();
            let said = bench.ask(me, verb);
            bench.run_for(5000);
            (asked, said)
        });
        assert!(said.is_ok(), "{:?}", said.what);
        assert!(
            said.at <= after(asked, within),
            "{verb} asked at {asked}, answered at {}",
            said.at
        );
        let at = &said.what["motors"]["left"];
        assert_eq!((&at["position"], &at["unit"]), (&serde_json::Value::Null, &"%".into()));
        for motor in WHEELS {
            assert_ne!(turns_at(&story, motor, asked), 0);
            // At a halt the answer does not wait for the pulse that is under way.
            let from = if verb.contains("halt") { after(asked, 25) } else { said.at };
            stands_still(&story, motor, from, Instant::FAR);
        }
        proved(&story);
    }
}

#[test]
fn who_goes_leaves_them_at_rest() {
    // The connection of who jogs ends; the lease of another is lost, in whose name they jog; the service ends.
    for case in ["connection", "lease", "service"] {
        let (gone, story) = serve(config(ROVER), None, |bench| {
            let holder = bench.connect();
            let lease = r#""do":"lease-take","motors":["left","right"],"heartbeat":"60s""#;
            let taken = bench.ask(holder, lease);
            assert!(taken.is_ok(), "{:?}", taken.what);
            let token = taken.what["token"].as_str().unwrap().to_owned();
            let child = bench.connect();
            let begun = bench.ask(child, &format!(r#"{JOG},"token":"{token}""#));
            assert!(begun.is_ok(), "{:?}", begun.what);
            bench.run_for(600);
            let gone = bench.now();
            match case {
                "connection" => bench.leave(child),
                "lease" => bench.leave(holder),
                _ => return gone,
            }
            bench.run_for(3000);
            gone
        });
        for motor in WHEELS {
            assert_ne!(turns_at(&story, motor, gone), 0, "{case}");
            stands_still(&story, motor, after(gone, BRAKING), Instant::FAR);
        }
        proved(&story);
    }
}

/// The set of motors of a jog may change with each renewal, and 0% is rest.
#[test]
fn a_renewal_may_bring_one_to_rest_add_one_and_leave_one_out() {
    let (at, story) = serve(config(ROVER), None, |bench| {
        let me = bench.connect();
        let mut at = Vec::new();
        let mut say = |bench: &mut Bench<'_>, speeds: &str| {
            let said = bench.ask(me, &format!(r#""do":"jog","speed":{speeds},"for":"700ms""#));
            assert!(said.is_ok(), "{:?}", said.what);
            at.push(bench.now());
            bench.run_for(500);
        };
        say(bench, r#"{"left":"50%","right":"0%"}"#);
        say(bench, r#"{"left":"50%","right":"50%","x":"10mm/s"}"#);
        say(bench, r#"{"left":"0%","right":"-50%"}"#);
        say(bench, r#"{"right":"0%"}"#);
        bench.run_for(3000);
        at
    });
    let (first, second) = (after(at[0], 450), after(at[1], 450));
    assert!(turns_at(&story, "left", first) > 200_000);
    assert_eq!(turns_at(&story, "right", first), 0);
    // One that is reversed has the longer pulse for the smaller speed.
    assert!(turns_at(&story, "left", second) > 200_000);
    assert!(turns_at(&story, "right", second) < -200_000);
    let x = story.course(story.config.motor("x").unwrap());
    assert!(x.count_at(second) > 0, "it has joined");
    stands_still(&story, "left", after(at[2], BRAKING), Instant::FAR);
    assert!(turns_at(&story, "right", after(at[2], 450)) > 200_000);
    stands_still(&story, "right", after(at[3], BRAKING), Instant::FAR);
    proved(&story);
}

#[test]
fn a_program_turns_them_for_a_time_that_stands_still_while_it_is_held() {
    let ((held, resumed, ended), story) = serve(config(ROVER), None, |bench| {
        let me = bench.connect();
        assert!(bench.ask(me, r#""do":"program-run","program":"tour""#).is_ok());
        bench.run_for(1000);
        assert_eq!(bench.ask(me, JOG).code(), "busy", "they are the program's");
        let held = bench.ask(me, r#""do":"hold""#);
        assert!(held.is_ok(), "{:?}", held.what);
        bench.run_for(5000);
        let resumed = bench.now();
        assert!(bench.ask(me, r#""do":"resume""#).is_ok());
        let end = bench.ask(me, r#""do":"wait","move":1"#);
        assert_eq!(end.what["outcome"]["result"], "done", "{:?}", end.what);
        let wheel = &end.what["outcome"]["motors"]["right"];
        assert_eq!((&wheel["outcome"], wheel.get("by")), (&"reached".into(), None));
        bench.run_for(4000);
        (held.at, resumed, end.at)
    });
    for motor in WHEELS {
        // Held at rest it stays under its neutral pulse.
        let while_held = after(held, 2000);
        assert_eq!(turns_at(&story, motor, while_held), 0);
        assert!(story.pulses(motor).iter().any(|p| p.0 > while_held && p.0 < resumed));
        assert_ne!(turns_at(&story, motor, after(resumed, 500)), 0);
    }
    // A second was left, less what the hold took to begin, and then it ramps down.
    let took = ended.since(resumed).as_millis();
    assert!((950..1500).contains(&took), "{took} ms");
    // Its last step is over by then, and the other wheel has rested since.
    stands_still(&story, "right", ended, Instant::FAR);
    stands_still(&story, "left", after(ended, 500 + 1000 + BRAKING), Instant::FAR);
    proved(&story);
}

#[test]
fn a_stop_ends_a_program_that_turns_them() {
    let (said, story) = serve(config(ROVER), None, |bench| {
        let me = bench.connect();
        assert!(bench.ask(me, r#""do":"program-run","program":"tour""#).is_ok());
        bench.run_for(700);
        let said = bench.ask(me, r#""do":"stop","motors":["left"]"#);
        bench.run_for(4000);
        said
    });
    assert!(said.is_ok(), "{:?}", said.what);
    WHEELS.iter().for_each(|motor| stands_still(&story, motor, said.at, Instant::FAR));
    proved(&story);
}

#[test]
fn while_a_program_is_held_they_may_be_jogged_and_it_goes_on_with_its_time() {
    let (ended, story) = serve(config(ROVER), None, |bench| {
        let me = bench.connect();
        assert!(bench.ask(me, r#""do":"program-run","program":"tour""#).is_ok());
        bench.run_for(1000);
        assert!(bench.ask(me, r#""do":"hold","motors":["left"]"#).is_ok());
        let jog = r#""do":"jog","speed":{"left":"-30%"},"for":"300ms""#;
        let begun = bench.ask(me, jog);
        assert!(begun.is_ok(), "{:?}", begun.what);
        bench.run_for(2000);
        let resumed = bench.now();
        let said = bench.ask(me, r#""do":"resume","motors":["left"]"#);
        assert!(said.is_ok(), "{:?}", said.what);
        let end = bench.ask(me, r#""do":"wait","move":1"#);
        assert_eq!(end.what["outcome"]["result"], "done", "{:?}", end.what);
        let took = end.at.since(resumed).as_millis();
        assert!((950..1500).contains(&took), "{took} ms");
        bench.run_for(4000);
        end.at
    });
    stands_still(&story, "right", ended, Instant::FAR);
    proved(&story);
}

fn refused(said: &Said, code: &str, words: &str) {
    assert_eq!(said.code(), code, "{:?}", said.what);
    let text = said.what["message"].as_str().unwrap();
    assert!(text.contains(words), "{text}");
}

#[test]
fn what_needs_a_place_is_refused_with_what_to_do_instead() {
    let ((), story) = serve(config(ROVER), None, |bench| {
        let me = bench.connect();
        let turns =
            "turns continuously: it has a speed and no position; jog it instead, such as left=50%";
        for (line, code, words) in [
            (r#""do":"move","to":{"left":"10deg"}"#, "wrong-motor", turns),
            (r#""do":"set-position","to":{"left":"0deg"}"#, "wrong-motor", turns),
            (r#""do":"pulse","to":{"left":"1600us"}"#, "wrong-motor", "jog it, such as left=10%"),
            (r#""do":"jog","speed":{"left":"10deg/s"},"for":"1s""#, "bad-value", "its speed in %"),
            (r#""do":"jog","speed":{"left":"120%"},"for":"1s""#, "bad-value", "full speed is 100%"),
            (r#""do":"jog","speed":{"x":"50%"},"for":"1s""#, "bad-value", "its speed in mm/s"),
            (r#""do":"save","motors":["left"]"#, "place-unknown", "has a position"),
        ] {
            let said = bench.ask(me, line);
            refused(&said, code, words);
        }
        let begun = bench.ask(me, JOG);
        let number = begun.what["move"].as_u64().unwrap();
        let retarget = format!(r#""do":"retarget","move":{number},"to":{{"left":"10deg"}}"#);
        let said = bench.ask(me, &retarget);
        refused(&said, "wrong-motor", turns);
        bench.run_for(600);
        let status = bench.ask(me, r#""do":"status","motors":["left"]"#);
        let left = &status.what["motors"]["left"];
        assert_eq!((&left["state"], &left["speed"]), (&"moving".into(), &80.0.into()));
        assert_eq!((&left["unit"], &left["position"]), (&"%".into(), &serde_json::Value::Null));
        // The override of jogs scales it, and never to more than was asked for.
        assert!(bench.ask(me, r#""do":"override","speed":"50%""#).is_ok());
        bench.run_for(600);
        let status = bench.ask(me, r#""do":"status","motors":["left"]"#);
        assert_eq!(status.what["motors"]["left"]["speed"], 40.0);
        assert!(bench.ask(me, r#""do":"override","speed":"200%""#).is_ok());
        bench.run_for(600);
        let status = bench.ask(me, r#""do":"status","motors":["left"]"#);
        assert_eq!(status.what["motors"]["left"]["speed"], 80.0);
        assert!(bench.ask(me, r#""do":"stop""#).is_ok());
        let status = bench.ask(me, r#""do":"status","motors":["left"]"#);
        let left = &status.what["motors"]["left"];
        assert_eq!((&left["state"], left.get("speed")), (&"off".into(), None));
    });
    proved(&story);
}
