//! `lockstep verify` and `simulate --verify`, as a person calls them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use lockstep::config::Config;

use crate::program::Program;

fn lockstep(args: &[&str]) -> Program {
    let mut command = Program::new();
    command.args(args);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const STAGE: &str = "config/xyz-stage.toml";

#[test]
fn every_shipped_program_is_clean() {
    let mut programs = 0;
    for entry in fs::read_dir("config").unwrap() {
        let file = entry.unwrap().path();
        let config = Config::from_file(&file).unwrap().config;
        for program in &config.programs {
            let (file, name) = (file.to_str().unwrap(), program.name.as_str());
            let run =
                lockstep(&["simulate", name, "--config", file, "--for", "20s", "--verify", "-q"]);
            let output = { run }.assert().success().get_output().clone();
            assert!(text(&output.stdout).contains("\nclean: every bound holds"), "{file} {name}");
            programs += 1;
        }
    }
    assert!(programs >= 7);
}

#[test]
fn a_trace_is_proved_and_a_broken_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("tour.vcd");
    let file = trace.to_str().unwrap();
    lockstep(&["simulate", "y-again", "--config", STAGE, "--trace", file, "-q"]).assert().success();
    let good = lockstep(&["verify", file, "--config", STAGE]).assert().success();
    assert!(text(&good.get_output().stdout).contains("clean: every bound holds"));

    let json = lockstep(&["verify", file, "--config", STAGE, "--json"]).assert().success();
    let json: serde_json::Value = serde_json::from_slice(&json.get_output().stdout).unwrap();
    assert_eq!(json["result"], "clean");
    let bounds = json["bounds"].as_array().unwrap();
    assert!(
        bounds.iter().any(|b| b["motor"] == "y" && b["bound"] == "speed" && b["verdict"] == "ok")
    );

    // A config that asks for more.
    let strict = dir.path().join("strict.toml");
    let config = fs::read_to_string(STAGE).unwrap();
    fs::write(&strict, config.replace("\"5000mm/s^3\"", "\"4000mm/s^3\"")).unwrap();
    let strict = strict.to_str().unwrap();
    let bad = lockstep(&["verify", file, "--config", strict]).assert().code(1);
    let out = text(&bad.get_output().stdout);
    assert!(
        out.contains("BROKEN") && out.contains("y: jerk at ") && out.contains("broken: 1 bound"),
        "{out}"
    );
    let bad = lockstep(&["verify", file, "--config", strict, "--json"]).assert().code(1);
    let json: serde_json::Value = serde_json::from_slice(&bad.get_output().stdout).unwrap();
    assert_eq!(json["result"], "broken");
    let broken: Vec<_> =
        json["bounds"].as_array().unwrap().iter().filter(|b| b["verdict"] == "broken").collect();
    assert_eq!(broken.len(), 1);
    assert!(broken[0]["first"][0]["at_s"].as_f64().unwrap() > 0.0);
    // What may be late is given room.
    let lateness = ["verify", file, "--config", strict, "--lateness", "1s"];
    lockstep(&lateness).assert().success();

    // A recording that is not complete.
    let lossy = fs::read_to_string(&trace).unwrap().replace("records lost: 0", "records lost: 4");
    let lossy_file = dir.path().join("lossy.vcd");
    fs::write(&lossy_file, lossy).unwrap();
    let refused =
        lockstep(&["verify", lossy_file.to_str().unwrap(), "--config", STAGE]).assert().code(1);
    assert!(
        text(&refused.get_output().stdout)
            .contains("nothing is proved: the recording lost 4 records")
    );
}

#[test]
fn the_arm_on_a_pca9685_is_proved() {
    for (program, more) in [("hello", "20s"), ("fetch", "20s"), ("dance", "9s")] {
        let config = "config/pca9685-arm.toml";
        let args = ["simulate", program, "--for", more, "--config", config, "--verify", "-q"];
        let run = lockstep(&args).assert().success();
        let out = text(&run.get_output().stdout);
        // The chip's own period, and its step as the bar.
        assert!(out.contains("19988.48us") && out.contains("within 4.88us"), "{out}");
    }
}

#[test]
fn what_is_no_trace_of_this_config_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("nod.vcd");
    let file = trace.to_str().unwrap();
    let config = "config/pan-tilt.toml";
    lockstep(&["simulate", "nod", "--config", config, "--trace", file, "-q"]).assert().success();
    let says = |file: &Path, words: &str| {
        let run = lockstep(&["verify", file.to_str().unwrap(), "--config", STAGE]).assert().code(2);
        let err = text(&run.get_output().stderr);
        assert!(err.contains(words) && err.contains(file.to_str().unwrap()), "{err}");
    };
    says(&trace, "does not fit the config");
    says(Path::new("config/demo.toml"), "line ");
    says(Path::new("nothing.vcd"), "name a trace");
}

#[test]
fn a_simulation_says_what_it_proved() {
    let args = ["simulate", "y-again", "--config", STAGE, "--verify", "--json", "-q"];
    let run = lockstep(&args).assert().success();
    let json: serde_json::Value = serde_json::from_slice(&run.get_output().stdout).unwrap();
    assert_eq!(json["result"], "done");
    assert_eq!(json["verify"]["result"], "clean");
    // A motor that fails is proved to have kept its limits until then.
    let args = ["simulate", "tour", "--config", STAGE, "--verify", "--fault", "y@2s", "-q"];
    let run = lockstep(&args).assert().code(1);
    let out = text(&run.get_output().stdout);
    assert!(
        out.contains("clean: every bound holds") && out.contains("note: y: its part of move"),
        "{out}"
    );
}
