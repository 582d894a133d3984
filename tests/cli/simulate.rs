//! `lockstep simulate`: virtual time, from the outside.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

use crate::cli_common::{Wires, config, lockstep, ran, shipped, too_long};
use serde_json::{Value, json};

/// Three axes of 400 steps a millimetre, one long aligned move.
fn line(on_fault: &str) -> String {
    let axis = |name: &str, step: u8, dir: u8| {
        format!(
            "[axis.{name}]\nstep = {{ gpio = {step} }}\ndir = {{ gpio = {dir} }}\ndriver = \"drv8825\"\n\
             steps-per-revolution = 200\nmicrosteps = 16\ndistance-per-revolution = \"8mm\"\n\
             travel = {{ min = \"0mm\", max = \"200mm\" }}\nmax-speed = \"50mm/s\"\n\
             max-acceleration = \"500mm/s^2\"\nat-start = {{ assume = \"0mm\" }}\n\n"
        )
    };
    let axes = axis("x", 17, 27) + &axis("y", 23, 24) + &axis("z", 25, 16);
    format!(
        "{axes}[program.line]\nsteps = [\n  {{ move = {{ x = \"180mm\", y = \"90mm\", z = \"45mm\" }}, \
         on-fault = \"{on_fault}\" }},\n]\n"
    )
}

fn reached(position: f64, unit: &str) -> Value {
    json!({ "outcome": "reached", "position": position, "unit": unit })
}

#[test]
fn the_tour_ends_exactly_where_the_program_says() {
    let folder = tempfile::tempdir().unwrap();
    let traces = [folder.path().join("a.vcd"), folder.path().join("b.vcd")];
    for trace in &traces {
        let mut command = lockstep();
        command.args(["simulate", "tour", "--json", "--config"]).arg(shipped("xyz-stage.toml"));
        let ran = ran(command.arg("--trace").arg(trace));
        assert_eq!((ran.status, ran.err.as_str()), (0, ""));
        assert_eq!((&ran.json["program"], &ran.json["result"]), (&json!("tour"), &json!("done")));
        for (name, position, steps) in [("x", 100.0, 40_000), ("y", 65.0, 26_000), ("z", 0.0, 0)] {
            let motor = ran.motor(name);
            let mut expected = reached(position, "mm");
            expected["steps"] = steps.into();
            expected["place"] = "assumed".into();
            expected["lateness_us"] = json!({ "p50": 0.0, "p99": 0.0, "max": 0.0 });
            assert_eq!(motor, &expected, "{name}");
        }
    }
    let bytes = traces.each_ref().map(|t| std::fs::read(t).unwrap());
    assert!(bytes[0] == bytes[1], "two simulations gave two traces");
    // Nothing but the two traces is left in the folder.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);

    let wires = Wires::read(&traces[0]);
    assert_eq!(wires.lost(), 0);
    // In millimetres, over the moves of the program.
    let walked = [
        ("x", 20 + 160 + 140 + 60, 40_000),
        ("y", 15 + 105 + 55, 26_000),
        ("z", 5 + 25 + 4 * 10 + 30, 0),
    ];
    for (name, way, at) in walked {
        assert_eq!(wires.pulses(&format!("{name}.step")).len(), way * 400, "{name}");
        assert_eq!(wires.net_steps(name), at, "{name}");
    }
}

#[test]
fn the_json_is_one_object_in_its_order() {
    let mut command = lockstep();
    command.args(["simulate", "tour", "--json", "--config"]).arg(shipped("xyz-stage.toml"));
    let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert_eq!(text.lines().count(), 1);
    let parts = [
        "{\"program\":\"tour\",\"result\":\"done\",\"duration_s\":",
        ",\"motors\":{\"x\":{\"outcome\":",
    ];
    assert!(text.starts_with(parts[0]), "{text}");
    let (number, rest) = text[parts[0].len()..].split_once(',').unwrap();
    // At most nine decimals: nanoseconds.
    assert!(number.split_once('.').is_some_and(|(_, d)| d.len() <= 9), "{number}");
    assert!(format!(",{rest}").starts_with(parts[1]), "{rest}");
    assert!(text.contains("\"position\":100.0,\"unit\":\"mm\",\"steps\":40000,"), "{text}");
}

#[test]
fn the_table_says_it_all() {
    let mut command = lockstep();
    command.args(["simulate", "tour", "--config"]).arg(shipped("xyz-stage.toml"));
    let output = command.args(["--fault", "y@2s"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.is_ascii());
    assert!(text.lines().all(|l| l.len() <= 100), "{text}");
    let row = |name: &str| text.lines().find(|l| l.starts_with(&format!("{name}  "))).unwrap();
    assert!(row("x").contains("short by ") && row("x").contains("(stopped)"), "{text}");
    assert!(row("y").contains("(fault)") && row("y").contains(" mm !"), "{text}");
    assert!(row("z").contains(" mm *"), "{text}");
    assert!(!text.contains("reached: "), "{text}");
    assert!(text.lines().last().is_some_and(|l| l.starts_with("failed after 2.")), "{text}");
    assert!(text.lines().last().is_some_and(|l| l.ends_with(": y")), "{text}");
}

#[test]
fn a_fault_stops_the_others_on_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = config(folder.path(), &line("stop"));
    let trace = folder.path().join("t.vcd");
    let mut command = lockstep();
    command.args(["simulate", "line", "--fault", "y@2s", "--json", "--config"]).arg(file);
    let ran = ran(command.arg("--trace").arg(&trace));
    assert_eq!((ran.status, &ran.json["result"]), (1, &json!("failed")));
    assert!(ran.err.contains("error: y: the driver reports a fault"), "{}", ran.err);
    let wires = Wires::read(&trace);
    let position = |name: &str| ran.motor(name)["position"].as_f64().unwrap();
    for (name, goal, cause, place) in [
        ("x", 180.0, "stopped", "assumed"),
        ("y", 90.0, "fault", "unverified"),
        ("z", 45.0, "stopped", "assumed"),
    ] {
        let motor = ran.motor(name);
        assert_eq!(
            (&motor["outcome"], &motor["cause"]),
            (&json!("short"), &json!(cause)),
            "{name}"
        );
        assert_eq!(motor["place"], place, "{name}");
        let by = motor["by"].as_f64().unwrap();
        assert!((by - (goal - position(name))).abs() < 1e-6, "{name}: {motor}");
        assert!(by > 0.0 && position(name) > 0.0);
        // Steps emitted = position reported.
        assert_eq!(wires.net_steps(name), motor["steps"].as_i64().unwrap(), "{name}");
        assert_eq!(position(name), motor["steps"].as_f64().unwrap() / 400.0);
    }
    assert_eq!(ran.motor("y")["fault"], "the driver reports a fault");
    assert_eq!(ran.motor("x").get("fault"), None);
    // On the line within a step of each axis: x is four times z.
    let off = (position("x") - 4.0 * position("z")).abs();
    assert!(off <= 0.0025 * (1.0 + 4.0), "{off}");
    // y stood still at once, the others braked.
    assert!(position("x") > 2.0 * position("y"));
    let last = |name: &str| wires.edges(name).last().unwrap().0;
    assert!(last("y.step") <= 2_000_010_000, "{}", last("y.step"));
    assert!(last("x.step") > 2_050_000_000);
}

#[test]
fn with_on_fault_continue_the_others_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let file = config(folder.path(), &line("continue"));
    let mut command = lockstep();
    command.args(["simulate", "line", "--fault", "y@2s", "--json", "--config"]).arg(file);
    let ran = ran(&mut command);
    assert_eq!((ran.status, &ran.json["result"]), (1, &json!("failed")));
    for (name, position) in [("x", 180.0), ("z", 45.0)] {
        let motor = ran.motor(name);
        assert_eq!((&motor["outcome"], &motor["position"]), (&json!("reached"), &json!(position)));
    }
    assert_eq!(ran.motor("y")["cause"], "fault");
}

#[test]
fn a_fault_at_rest_fails_the_run_too() {
    let folder = tempfile::tempdir().unwrap();
    let text = line("stop")
        + "[program.rest]\nsteps = [ { move = { y = \"1mm\" } }, { pause = \"5s\" } ]\n";
    let file = config(folder.path(), &text);
    let mut command = lockstep();
    command.args(["simulate", "rest", "--json", "--config"]).arg(&file);
    let ran = ran(command.args(["--fault", "y@4s"]));
    assert_eq!((ran.status, &ran.json["result"]), (1, &json!("failed")));
    let y = ran.motor("y");
    assert_eq!((&y["outcome"], &y["place"]), (&json!("reached"), &json!("unverified")));
    assert_eq!(y["fault"], "the driver reports a fault");
    assert_eq!(ran.motor("x")["outcome"], "not-moved");

    let mut command = lockstep();
    command.args(["simulate", "rest", "--fault", "y@4s", "--config"]).arg(&file);
    let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(text.contains("y      reached, then fault"), "{text}");
    assert!(text.contains("x      not moved"), "{text}");
}

#[test]
fn an_endless_program_gets_an_end() {
    let mut command = lockstep();
    command.args(["simulate", "--json", "--config"]).arg(shipped("two-servos.toml"));
    let first = ran(&mut command);
    assert_eq!((first.status, &first.json["result"]), (0, &json!("done")));
    assert!(first.err.contains("`both` never ends: these are its first 60s"), "{}", first.err);
    // What is under way at its end comes to rest first.
    let took = |json: &Value| json["duration_s"].as_f64().unwrap();
    assert!((60.0..61.0).contains(&took(&first.json)), "{}", first.json);
    let ten = ran(command.args(["--for", "10s"]));
    assert_eq!((ten.status, ten.err.as_str()), (0, ""));
    assert!((10.0..11.0).contains(&took(&ten.json)), "{}", ten.json);
}

#[test]
fn an_end_by_time_is_no_failure_and_leaves_the_motors_on_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = config(folder.path(), &line("stop"));
    for tenths in [1, 3, 7, 12, 20, 33] {
        let mut command = lockstep();
        command.args(["simulate", "line", "--json", "--config"]).arg(&file);
        let ran = ran(command.args(["--for", &format!("{}ms", tenths * 100)]));
        assert_eq!((ran.status, &ran.json["result"]), (0, &json!("done")));
        let x = ran.motor("x")["position"].as_f64().unwrap();
        let z = ran.motor("z")["position"].as_f64().unwrap();
        assert!(x > 0.0 && x < 180.0, "{x}");
        assert!((x - 4.0 * z).abs() <= 0.0025 * 5.0, "{x} {z}");
        assert_eq!(ran.motor("x")["cause"], "stopped");
    }
}

/// Whoever runs or checks it is told how far it was looked through, in one line.
#[test]
fn a_program_that_is_too_long_to_be_looked_through_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = config(folder.path(), &(line("stop") + &too_long()));
    let told = "p0 was looked through as far as its first ";
    let checked = lockstep().arg("check").arg(&file).output().unwrap();
    let out = String::from_utf8(checked.stdout).unwrap();
    let lines: Vec<&str> = out.lines().filter(|l| l.contains(told)).collect();
    assert_eq!((checked.status.code(), lines.len()), (Some(0), 1), "{out}");
    assert!(lines[0].ends_with(" moves; what follows is checked as it comes"), "{out}");
    assert!(out.contains("\nGood to know\n"), "{out}");
    let checked = ran(lockstep().args(["check", "--json", "--program", "p0"]).arg(&file));
    let of_file = &checked.json["files"][0];
    assert!(of_file["remarks"][0].as_str().unwrap().starts_with(told), "{of_file}");
    assert!(of_file["program"]["checked_moves"].as_u64().unwrap() >= 250_000, "{of_file}");
    assert_eq!(of_file["program"]["duration_s"], Value::Null);
    for command in [&["simulate", "p0"][..], &["run", "p0", "--backend", "sim"]] {
        let ran = ran(lockstep().args(command).args(["--for", "1s", "--json", "-c"]).arg(&file));
        assert_eq!(ran.status, 0, "{}", ran.err);
        let lines: Vec<&str> = ran.err.lines().filter(|l| l.contains(told)).collect();
        assert_eq!((lines.len(), ran.err.lines().count()), (1, 1), "{}", ran.err);
    }
}
