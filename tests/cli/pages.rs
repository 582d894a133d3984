//! The doctor, the manual pages, the completions and the journal, from the command line.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;

use crate::cli_common::{config, lockstep, shipped};
use serde_json::Value;

/// The commands that `--help` lists.
fn commands() -> Vec<String> {
    let output = lockstep().arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let (_, rest) = help.split_once("\nCommands:\n").unwrap();
    let (list, _) = rest.split_once("\n\n").unwrap();
    let first = |line: &str| line.strip_prefix("  ")?.split_whitespace().next().map(str::to_owned);
    // Lines that go on with the one above are indented further.
    let named = list.lines().filter(|l| !l.starts_with("   "));
    named.filter_map(first).filter(|c| c != "help").collect()
}

#[test]
fn every_command_has_its_page() {
    let folder = tempfile::tempdir().unwrap();
    let man = folder.path().join("a/man1");
    lockstep().arg("man").arg(&man).assert().success();
    let written: BTreeSet<String> = fs::read_dir(&man)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut wanted: BTreeSet<String> =
        commands().iter().map(|c| format!("lockstep-{c}.1")).collect();
    assert!(wanted.contains("lockstep-run.1") && wanted.contains("lockstep-man.1"), "{wanted:?}");
    wanted.insert("lockstep.1".to_owned());
    // A command with commands of its own has a page for each of them, too.
    let own =
        |page: &&String| wanted.contains(page.as_str()) || page.starts_with("lockstep-program-");
    assert_eq!(written.iter().filter(own).count(), written.len(), "{written:?}");
    assert!(wanted.is_subset(&written), "{written:?}");
    for page in &written {
        let text = fs::read_to_string(man.join(page)).unwrap();
        let title = page.strip_suffix(".1").unwrap().to_uppercase();
        assert!(text.contains(&format!(".TH {title} ")), "{text}");
        assert!(text.contains("\n.SH SYNOPSIS"), "{page}");
        assert!(text.contains(env!("CARGO_PKG_VERSION")), "{page}");
    }
    // What is said in the help is said in the page.
    let run = fs::read_to_string(man.join("lockstep-run.1")).unwrap();
    assert!(run.contains("backend") && run.contains("Examples"), "{run}");
    let own = lockstep().arg("man").output().unwrap().stdout;
    assert_eq!(own, fs::read(man.join("lockstep.1")).unwrap());
}

#[test]
fn a_folder_that_can_not_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = config(folder.path(), "");
    let output = lockstep().arg("man").arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("test.toml"));
}

#[test]
fn every_shell_completes_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = lockstep().args(["completions", shell]).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        let text = String::from_utf8(output.stdout).unwrap();
        for command in commands() {
            assert!(text.contains(&command), "{shell} {command}");
        }
        assert!(text.contains("backend"), "{shell}");
    }
    let output = lockstep().args(["completions", "cmd"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

fn doctor(args: &[&str]) -> (Option<i32>, Value, String) {
    let output = lockstep().args(["doctor", "--json"]).args(args).output().unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap();
    (output.status.code(), json, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn the_doctor_says_what_must_be_done() {
    let good = shipped("demo.toml");
    let (status, json, err) = doctor(&["--seconds", "0", "--config", good.to_str().unwrap()]);
    let findings = json["findings"].as_array().unwrap();
    let todo = findings.iter().any(|f| f["verdict"] == "todo");
    assert_eq!((status, json["ok"].as_bool()), (Some(i32::from(todo)), Some(!todo)));
    assert_eq!((err.as_str(), json["lateness"].as_array().unwrap().len()), ("", 0));
    let checks: Vec<&str> = findings.iter().filter_map(|f| f["check"].as_str()).collect();
    for check in
        ["config", "board", "kernel", "real-time limits", "clock source", "service", "socket"]
    {
        assert!(checks.contains(&check), "{checks:?}");
    }
    assert!(!checks.contains(&"lateness"));
}

#[test]
fn a_wrong_config_is_something_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = config(folder.path(), "[servo.pan]\n");
    let (status, json, err) = doctor(&["--seconds", "0", "--config", file.to_str().unwrap()]);
    assert_eq!((status, json["ok"].as_bool()), (Some(1), Some(false)));
    assert_eq!(json["findings"][0]["verdict"], "todo");
    assert!(err.contains("test.toml:1:1: error: "), "{err}");
}

#[test]
fn the_test_of_lateness_tries_every_rate() {
    let (_, json, _) = doctor(&["--seconds", "1"]);
    let rates = json["lateness"].as_array().unwrap();
    let tried: Vec<u64> = rates.iter().filter_map(|r| r["steps_per_s"].as_u64()).collect();
    assert!(tried.len() > 3 && tried.is_sorted(), "{tried:?}");
    for rate in rates {
        let late = &rate["lateness_us"];
        let at = |key: &str| late[key].as_f64().unwrap();
        assert!(rate["steps"].as_u64().unwrap() > 100, "{rate}");
        assert!(at("p50") <= at("p999") && at("p999") <= at("max"), "{rate}");
    }
    assert!(json["findings"].as_array().unwrap().iter().any(|f| f["check"] == "lateness"));
    let output = lockstep().args(["doctor", "--seconds", "-1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

/// What a run that can't begin says to a stream; `journal`: the environment calls the stream the journal.
#[cfg(target_os = "linux")]
fn said(journal: bool) -> String {
    use std::io::Read;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::os::linux::fs::MetadataExt;
    use std::os::unix::net::UnixStream;
    use std::process::{Command, Stdio};

    let folder = tempfile::tempdir().unwrap();
    let file = config(folder.path(), "[servo.pan]\npwm = { gpio = 17 }\n");
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let stream = fs::metadata(format!("/proc/self/fd/{}", theirs.as_raw_fd())).unwrap();
    let inode = if journal { stream.st_ino() } else { stream.st_ino() + 1 };
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    command.args(["run", "--backend", "sim", "--config"]).arg(file);
    command.env("JOURNAL_STREAM", format!("{}:{inode}", stream.st_dev()));
    command.stderr(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null());
    assert_eq!(command.status().unwrap().code(), Some(2));
    // It holds the other end of the stream.
    drop(command);
    let mut text = String::new();
    ours.read_to_string(&mut text).unwrap();
    text
}

#[cfg(target_os = "linux")]
#[test]
fn the_journal_gets_priorities_and_nobody_else_does() {
    let plain = said(false);
    let journal = said(true);
    assert!(plain.contains("test.toml:2:16: error: ") && !plain.contains("<3>"), "{plain}");
    assert!(
        journal.lines().count() >= 3 && journal.lines().all(|l| l.starts_with("<3>")),
        "{journal}"
    );
    // The folder's name differs from run to run.
    let shown = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(shown(&journal.replace("<3>", "")), shown(&plain));
}
