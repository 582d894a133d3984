//! This service and clients of release 0.1, and a service of release 0.1 and this client: each can stop the
//! other's motors. What 0.1 said was recorded: `tests/releases/0.1/session.txt`.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use crate::cli_common;
use crate::service_common::{LONG, Service};
use serde_json::Value;

const SESSION: &str = include_str!("../releases/0.1/session.txt");
const MACHINE: &str = include_str!("../releases/0.1/session.toml");

fn value(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))
}

/// Requests of 0.1 with the replies that they got.
fn session() -> Vec<(Value, Value)> {
    let mut lines = SESSION.lines().filter(|line| !line.starts_with('#'));
    let mut pairs = Vec::new();
    while let Some(request) = lines.next() {
        let of = |line: &str, mark: &str| value(line.strip_prefix(mark).unwrap());
        pairs.push((of(request, "-> "), of(lines.next().unwrap(), "<- ")));
    }
    pairs
}

/// Words that clients of 0.1 know: another one in these places, and they do not understand the line.
fn known(key: &str) -> &'static [&'static str] {
    match key {
        "state" => &[
            "ready", "moving", "held", "halted", "fault", "off", "idle", "delayed", "queued",
            "running", "ended",
        ],
        "outcome" => &["reached", "short"],
        "result" => &["done", "failed", "stopped", "cancelled"],
        _ => &[],
    }
}

/// Everything that 0.1 needs is there: each field of `old` that is never left out, of the same type.
fn assert_serves(new: &Value, old: &Value, key: &str) {
    // What 0.1 itself leaves out where there is nothing to say.
    const OPTIONAL: &[&str] = &[
        "target", "move", "holder", "fault", "reason", "moves", "programs", "leases", "left_s",
        "motors", "message",
    ];
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => {
            for (key, old) in old {
                match new.get(key) {
                    Some(new) => assert_serves(new, old, key),
                    None => assert!(OPTIONAL.contains(&key.as_str()), "`{key}` is missing"),
                }
            }
        }
        (Value::String(word), Value::String(_)) => {
            let known = known(key);
            assert!(known.is_empty() || known.contains(&word.as_str()), "{key}: {word}");
        }
        (Value::Number(_), Value::Null) | (Value::Null, Value::Number(_)) => {}
        _ => assert_eq!(
            std::mem::discriminant(new),
            std::mem::discriminant(old),
            "{key}: {new} in place of {old}"
        ),
    }
}

#[test]
fn a_client_of_release_0_1_can_stop_this_service() {
    let service = Service::start(MACHINE);
    let stream = UnixStream::connect(service.socket()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut seen = Vec::new();
    for (request, old) in session() {
        writeln!(&stream, "{request}").unwrap();
        let new = value(&lines.next().unwrap().unwrap());
        let verb = request["do"].as_str().unwrap();
        let urgent = ["hello", "status", "hold", "stop", "halt", "clear"].contains(&verb);
        assert_eq!(new["id"], request["id"]);
        if urgent && old["ok"] == true {
            assert_eq!(new["ok"], true, "{request}: {new}");
            assert_serves(&new, &old, "");
            seen.push(verb.to_owned());
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["clear", "halt", "hello", "hold", "status", "stop"]);
    service.end();
}

#[test]
fn this_client_can_stop_a_service_of_release_0_1() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("control.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            for line in BufReader::new(&stream).lines() {
                let Ok(line) = line else { break };
                let asked = value(&line);
                let same = |pair: &(Value, Value)| pair.0["do"] == asked["do"];
                let (_, mut reply) = session().into_iter().find(same).unwrap_or_else(|| {
                    panic!("0.1 was never asked this: {line}");
                });
                reply["id"] = asked["id"].clone();
                writeln!(&stream, "{reply}").unwrap();
            }
        }
    });
    for (args, said) in [
        (&["status"][..], "ready"),
        (&["hold"], "24.98"),
        (&["stop"], "40.18"),
        (&["stop", "--now"], "89.94"),
        (&["resume"], ""),
        (&["clear"], ""),
    ] {
        let ran = cli_common::lockstep().args(args).env("LOCKSTEP_SOCKET", &socket).output();
        let ran = ran.unwrap();
        let (out, error) =
            (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success(), "{args:?}: {error}");
        assert!(out.contains(said), "{args:?}: {out}");
    }
}
