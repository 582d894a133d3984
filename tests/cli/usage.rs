//! The command line's help, its errors and its exit statuses.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Output, Stdio};

use crate::cli_common::{config, lockstep, shipped};

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Nothing was run: no table, no JSON.
fn refused(args: &[&str], config: Option<&Path>, status_wanted: i32) -> String {
    let mut command = lockstep();
    command.args(args);
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    let output = command.output().unwrap();
    assert_eq!(status(&output), status_wanted, "{args:?}: {}", err(&output));
    assert_eq!(out(&output), "", "{args:?}");
    err(&output)
}

#[test]
fn help_and_version() {
    let help = lockstep().arg("--help").output().unwrap();
    assert_eq!(status(&help), 0);
    for word in ["init", "check", "run", "simulate", "Examples:", "Exit status:", "Signals:"] {
        assert!(out(&help).contains(word), "{word}");
    }
    for command in ["init", "check", "run", "simulate"] {
        let help = lockstep().args([command, "--help"]).output().unwrap();
        assert_eq!(status(&help), 0);
        assert!(out(&help).lines().all(|l| l.chars().count() <= 100), "{}", out(&help));
    }
    let run = out(&lockstep().args(["run", "--help"]).output().unwrap());
    assert!(run.contains("[default: auto]") && run.contains("/etc/lockstep/lockstep.toml"));
    let version = out(&lockstep().arg("--version").output().unwrap());
    assert_eq!(version, format!("lockstep {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_is_status_2() {
    let servos = shipped("two-servos.toml");
    for args in [
        &[][..],
        &["fly"],
        &["run", "--backend", "pi"],
        &["run", "--for", "3"],
        &["run", "--for", "3m"],
        &["simulate", "--fault", "x"],
        &["simulate", "--fault", "x@2"],
        &["simulate", "--fault", "@2s"],
        &["run", "-v", "-q"],
        &["init", "robot"],
        &["check", "--board", "pi-9"],
    ] {
        assert_ne!(refused(args, None, 2), "", "{args:?}");
    }
    let bare = refused(&["run", "--for", "3"], None, 2);
    assert!(bare.contains("write a time in ns, us, ms, s"), "{bare}");
    let who = refused(&["simulate", "--fault", "middle@2s"], Some(&servos), 2);
    assert!(who.contains("no motor `middle`; the motors are left, right"), "{who}");
    let which = refused(&["simulate", "wave"], Some(&servos), 2);
    assert_eq!(which, "error: there is no program `wave`; the only program is both\n");
    let which = refused(&["simulate", "tuor"], Some(&shipped("xyz-stage.toml")), 2);
    assert!(which.contains("the programs are tour, y-again"), "{which}");
}

#[test]
fn a_missing_config_says_how_to_get_one() {
    let error = refused(&["simulate"], Some(Path::new("nowhere.toml")), 2);
    assert!(error.starts_with("nowhere.toml: error: can't read it"), "{error}");
    assert!(error.contains("`lockstep init servo` makes a first one"), "{error}");
}

#[test]
fn a_wrong_config_or_plan_shows_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let servo = "[servo.pan]\npwm = { gpio = 18 }\n";
    let file = config(folder.path(), &servo.replace("18", "17"));
    let error = refused(&["simulate"], Some(&file), 2);
    assert!(error.starts_with(&format!("{}:2:16: error: GPIO17", file.display())), "{error}");
    assert!(error.ends_with("\n                 ^^\n"), "{error}");

    let late = "steps = [ { move = { pan = \"45deg\" }, timeout = \"10ms\" } ]\n";
    let file = config(folder.path(), &format!("{servo}[program.p]\n{late}"));
    let trace = folder.path().join("t.vcd");
    for command in [
        &["simulate", "p"][..],
        &["run", "p", "--backend", "sim", "--trace", trace.to_str().unwrap()],
    ] {
        let error = refused(command, Some(&file), 2);
        assert!(error.contains(&format!("{}:4:", file.display())), "{error}");
        assert!(error.contains(": error: the move takes "), "{error}");
        assert!(error.contains("longer than its time-out of 10ms: give it at least"), "{error}");
        assert!(error.lines().last().is_some_and(|l| l.trim().starts_with('^')), "{error}");
    }
    assert!(!trace.exists(), "nothing was run");
    // `check` says the same, though no program was named.
    let check = lockstep().arg("check").arg(&file).output().unwrap();
    assert_eq!((status(&check), out(&check).as_str()), (2, ""));
    assert!(err(&check).contains(": error: the move takes "), "{}", err(&check));
}

#[test]
fn a_program_that_only_works_where_it_is_run_passes_the_check() {
    let folder = tempfile::tempdir().unwrap();
    // `back` alone would start at 0, too far for its time-out; where it is run, it is not.
    let text = "[axis.x]\nstep = { gpio = 17 }\ndir = { gpio = 27 }\ndriver = \"drv8825\"\n\
        steps-per-revolution = 200\nmicrosteps = 16\ndistance-per-revolution = \"8mm\"\n\
        travel = { min = \"0mm\", max = \"200mm\" }\nmax-speed = \"50mm/s\"\n\
        max-acceleration = \"500mm/s^2\"\n\
        [program.all]\nsteps = [ { move = { x = \"110mm\" } }, { run = \"back\" } ]\n\
        [program.back]\nsteps = [ { move = { x = \"100mm\" }, timeout = \"1s\" } ]\n";
    let file = config(folder.path(), text);
    assert_eq!(status(&lockstep().arg("check").arg(&file).output().unwrap()), 0);
    lockstep().args(["simulate", "all", "--config"]).arg(&file).assert().success();
    refused(&["simulate", "back"], Some(&file), 2);
    let none = refused(&["simulate"], Some(&file), 2);
    assert!(none.contains("no program was named"), "{none}");
}

#[test]
fn a_trace_that_cannot_be_written_is_an_error_before_anything_moves() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("no/t.vcd");
    for file in [nowhere.as_path(), folder.path()] {
        let begun = std::time::Instant::now();
        let mut command = lockstep();
        command.args(["run", "--backend", "sim", "--for", "20s", "--config"]);
        let output =
            command.arg(shipped("servo-sweep.toml")).arg("--trace").arg(file).output().unwrap();
        assert_eq!((status(&output), out(&output).as_str()), (2, ""));
        assert!(err(&output).contains("can't write the trace"), "{}", err(&output));
        assert!(begun.elapsed().as_secs() < 10, "it ran first");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_trace_replaces_an_older_one_and_may_go_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.vcd");
    std::fs::write(&file, "old").unwrap();
    for trace in [file.as_path(), Path::new("/dev/null")] {
        let mut command = lockstep();
        command.args(["simulate", "--for", "1s", "--config"]).arg(shipped("servo-sweep.toml"));
        command.arg("--trace").arg(trace).assert().success();
    }
    assert!(std::fs::read_to_string(&file).unwrap().contains("$enddefinitions"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
#[cfg(target_os = "linux")]
fn no_header_is_status_3() {
    if lockstep::hal::identify_board().is_ok() {
        return; // on a Raspberry Pi there is one
    }
    let error = refused(&["run", "--backend", "rppal"], Some(&shipped("servo-sweep.toml")), 3);
    assert!(error.contains("no Raspberry Pi") && error.contains("`--backend sim`"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    let mut auto = lockstep();
    auto.args(["run", "--for", "10ms", "--config"]).arg(shipped("servo-sweep.toml"));
    let output = auto.output().unwrap();
    assert_eq!(status(&output), 0);
    assert!(err(&output).starts_with("note: this is no Raspberry Pi: running on the simulator\n"));
    assert!(out(&output).starts_with("sweep on the simulator, in real time\n"));
}

#[test]
fn init_writes_what_check_takes_and_simulate_runs() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["servo", "drv8825", "xyz"] {
        let file = folder.path().join(format!("{kind}.toml"));
        lockstep().args(["init", kind]).arg(&file).assert().success();
        lockstep().arg("check").arg(&file).assert().success();
        lockstep().args(["simulate", "--config"]).arg(&file).assert().success();
    }
    let all: Vec<_> = ["servo-sweep", "two-servos", "xyz-stage", "pan-tilt"]
        .map(|n| shipped(&format!("{n}.toml")))
        .into();
    lockstep().arg("check").args(all).assert().success();
}

#[test]
fn the_log_goes_to_standard_error_as_loud_as_asked() {
    let simulate = |args: &[&str], log: Option<&str>| {
        let mut command = lockstep();
        command.args(["simulate", "tour", "--fault", "y@2s", "--config"]);
        command.arg(shipped("xyz-stage.toml")).args(args);
        if let Some(log) = log {
            command.env("RUST_LOG", log);
        }
        err(&command.output().unwrap())
    };
    assert_eq!(simulate(&[], None), "error: y: the driver reports a fault\n");
    assert_eq!(simulate(&["-q"], None), "error: y: the driver reports a fault\n");
    assert!(simulate(&["-v"], None).contains("info: x fell short: stopped\n"));
    assert!(simulate(&["-vv"], None).contains("debug: signals are caught\n"));
    assert!(simulate(&[], Some("debug")).contains("debug: signals are caught\n"));
    assert_eq!(simulate(&[], Some("off")), "");
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_lockstep"))
        .args(["simulate", "--for", "10s", "--config"])
        .arg(shipped("servo-sweep.toml"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// `check --program` says how long it takes, how far each motor goes, and how near its limits; the
/// duration and the distances are those of the simulated run.
#[test]
fn check_says_what_a_program_asks_of_its_motors() {
    let run = |args: &[&str]| {
        let output = lockstep().args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let config = "config/xyz-stage.toml";
    let text = run(&["check", config, "--program", "tour"]);
    let told = text.split_once("Program tour\n").unwrap().1;
    assert!(told.contains("takes ") && told.contains("of its limit"), "{told}");

    let json = run(&["check", config, "--program", "tour", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let program = &json["files"][0]["program"];
    let simulated = run(&["simulate", "tour", "--config", config, "--json"]);
    let simulated: serde_json::Value = serde_json::from_str(&simulated).unwrap();
    let off = simulated["duration_s"].as_f64().unwrap() - program["duration_s"].as_f64().unwrap();
    assert!((0.0..0.5).contains(&off), "the run took {off} s more");
    for motor in ["x", "y", "z"] {
        let usage = &program["motors"][motor];
        assert!(usage["distance"].as_f64().unwrap() > 0.0);
        for share in ["speed_share", "acceleration_share", "jerk_share"] {
            let share = usage[share].as_f64().unwrap();
            assert!(share > 0.0 && share < 1.0 + 1e-6, "{usage}");
        }
    }

    let wrong = lockstep().args(["check", config, "--program", "nope"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    let text = String::from_utf8(wrong.stderr).unwrap();
    assert!(text.contains("nope") && text.contains("tour"), "{text}");
}

/// On the simulator the self-test is exact, and says that it proves nothing about a board.
#[test]
fn selftest_on_the_simulator() {
    let output = lockstep()
        .args(["selftest", "--backend", "sim", "--config", "config/two-servos.toml"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    let first =
        "two-servos on the simulator, in virtual time: this says nothing about any board\n\n";
    assert!(text.starts_with(first), "{text}");
    let row = "left   pulse   GPIO18  20000 -> 20000.0  1500 -> 1500.0      20/20      0.0  ok\n";
    assert!(text.contains(row), "{text}");
    assert!(text.ends_with("\n\nall 6 measurements are as asked\n"), "{text}");

    let output = lockstep()
        .args(["selftest", "--backend", "sim", "--json", "--config", "config/xyz-stage.toml"])
        .output()
        .unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["result"], &json["backend"]), (&"ok".into(), &"sim".into()));
    let fast = &json["findings"][1];
    assert_eq!((&fast["motor"], &fast["function"]), (&"x".into(), &"step".into()));
    assert_eq!(fast["asked"]["period_us"], 50.0);
    assert_eq!(fast["seen"]["period_us"]["median"], 50.0);
    assert_eq!(fast["seen"]["count"], 1000);
}

/// Without a header there is nothing to make safe: that is an error, not a success.
#[test]
fn safe_needs_a_header() {
    if lockstep::hal::identify_board().is_ok() {
        return;
    }
    let output = lockstep().args(["safe", "--config", "config/two-servos.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let text = err(&output);
    assert!(text.starts_with("error: this machine") && text.lines().count() == 1, "{text}");
}
