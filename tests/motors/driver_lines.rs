//! Microstep, sleep and reset lines of STEP/DIR drivers.
#![allow(clippy::unwrap_used)]

use lockstep::trace::Value;

use crate::verify_support::*;

fn text(more: &str) -> String {
    format!(
        r#"
[axis.x]
step = {{ gpio = 17 }}
dir = {{ gpio = 27 }}
mode = {{ gpio = [14, 15, 18] }}
sleep = {{ gpio = 23, active = "low" }}
reset = {{ gpio = 25, active = "low" }}
driver = "drv8825"
steps-per-revolution = 200
microsteps = 8
distance-per-revolution = "8mm"
travel = {{ min = "0mm", max = "200mm" }}
max-speed = "50mm/s"
max-acceleration = "500mm/s^2"
at-start = {{ assume = "0mm" }}
{more}

[program.go]
steps = [ {{ move = {{ x = "2mm" }} }}, {{ move = {{ x = "1mm" }} }} ]
"#
    )
}

const RELEASE: &str = "on-stop = \"release\"";

/// The levels of a line over the run.
fn levels(tape: &Tape, path: &str) -> Vec<(u64, bool)> {
    let events = tape.of_signal(path);
    events.iter().map(|&e| (tape.at(e), tape.events[e].2 == Value::High)).collect()
}

#[test]
fn they_are_set_before_anything_and_the_driver_sleeps_but_for_the_run() {
    let tape = Tape::record(&text(RELEASE), "go");
    let report = tape.prove(&config(&text(RELEASE)));
    assert!(report.is_clean(), "{report}");
    // Eight microsteps: M0 and M1 high, M2 low, for good; and never in reset.
    for (line, high) in [("mode0", true), ("mode1", true), ("mode2", false), ("reset", true)] {
        assert_eq!(levels(&tape, &format!("x.{line}")), [(0, high)], "{line}");
    }
    let sleep = levels(&tape, "x.sleep");
    assert_eq!(sleep.iter().map(|l| l.1).collect::<Vec<_>>(), [false, true, false]);
    let steps = tape.edges("x.step", true);
    assert!(tape.at(steps[0]) - sleep[1].0 >= 1_700_000, "awake before the first step");
    assert!(sleep[2].0 > tape.at(*steps.last().unwrap()));
    // Kept, it stays awake.
    let tape = Tape::record(&text(""), "go");
    assert_eq!(levels(&tape, "x.sleep").len(), 2);
}

#[test]
fn a_load_is_not_put_to_sleep() {
    let text = text("holds-load = true");
    let tape = Tape::record(&text, "go");
    assert!(tape.prove(&config(&text)).is_clean());
    assert_eq!(levels(&tape, "x.sleep").last().unwrap(), &levels(&tape, "x.sleep")[1]);
    let mut tape = tape;
    let end = tape.end;
    tape.add(end, "x.sleep", Value::Low);
    assert_eq!(broken(&tape.prove(&config(&text))), ["x: never lets the load go"]);
}

#[test]
fn with_an_enable_line_both_have_to_be_on() {
    let text = text("on-stop = \"release\"\nenable = { gpio = 22, active = \"low\" }");
    let tape = Tape::record(&text, "go");
    assert!(tape.prove(&config(&text)).is_clean());
    let (enable, sleep) = (levels(&tape, "x.enable"), levels(&tape, "x.sleep"));
    assert_eq!(enable.iter().map(|l| l.1).collect::<Vec<_>>(), [true, false, true]);
    assert!(sleep[2].0 >= enable[2].0, "off, then asleep");
}

#[test]
fn what_is_wrong_with_them_is_found() {
    let broken_by = |break_it: fn(&mut Tape)| {
        let mut tape = Tape::record(&text(RELEASE), "go");
        break_it(&mut tape);
        broken(&tape.prove(&config(&text(RELEASE))))
    };
    // A microstep pin changes on the way, or has the wrong level all along.
    let changes = broken_by(|t| {
        let at = t.at(t.edges("x.step", true)[200]) + 3_000;
        t.add(at, "x.mode2", Value::High);
    });
    assert_eq!(changes, ["x: microsteps set and kept"]);
    let wrong = broken_by(|t| {
        let first = t.of_signal("x.mode0")[0];
        t.events[first].2 = Value::Low;
    });
    assert_eq!(wrong, ["x: microsteps set and kept"]);
    // Too early after its sleep; asleep in a move; reset.
    let early = broken_by(|t| {
        let woke = t.edges("x.sleep", true)[0];
        t.events[woke].0 = t.at(t.edges("x.step", true)[0]) - 1_699_999;
    });
    assert_eq!(early, ["x: enable before a step"]);
    let asleep = broken_by(|t| {
        let at = t.at(t.edges("x.step", true)[200]) + 3_000;
        t.add(at, "x.sleep", Value::Low);
    });
    assert_eq!(asleep, ["x: enabled while stepping"]);
    let reset = broken_by(|t| {
        let at = t.at(t.edges("x.step", true)[200]) + 3_000;
        t.add(at, "x.reset", Value::Low);
        t.add(at + 10_000, "x.reset", Value::High);
    });
    assert_eq!(reset, ["x: reset"]);
}
