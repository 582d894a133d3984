//! The shipped programs leave the edges and positions that they have always left, to the nanosecond.
//!
//! `tests/data/traces.txt` has the number of edges and a hash for each. Marks in words (`machine.move`) do not count:
//! they may say more one day. Where a difference is wanted, and only then, this writes the table anew:
//!
//! ```sh
//! LOCKSTEP_RENEW=traces cargo test traces
//! ```
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lockstep::config::Config;
use lockstep::machine::{Deed, Machine, RunOptions};
use lockstep::trace::{Recording, Signal, SignalKind, Value};

/// How much of each program is looked at: some never end.
const LONGEST: Duration = Duration::from_secs(60);

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn configs() -> Vec<PathBuf> {
    let all = std::fs::read_dir(file("config")).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> =
        all.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    all.sort();
    all
}

/// What is done to a program on its way, in the rows that have it.
fn deeds() -> Vec<(Duration, Deed)> {
    let at = |ms, deed| (Duration::from_millis(ms), deed);
    vec![
        at(1_234, Deed::Hold),
        at(2_345, Deed::Resume),
        at(3_210, Deed::Override(40.0)),
        at(4_321, Deed::Override(100.0)),
        at(5_432, Deed::Hold),
        at(6_001, Deed::Resume),
        at(9_876, Deed::Stop),
    ]
}

fn run(config: &Config, program: &str, deeds: Vec<(Duration, Deed)>) -> Recording {
    let mut machine = Machine::builder(config.clone()).virtual_time().trace(true).build().unwrap();
    let options = RunOptions { duration: Some(LONGEST), deeds, progress: None };
    machine.run(Some(program), options).unwrap();
    let recording = machine.take_recording().unwrap();
    assert_eq!(recording.lost(), 0);
    recording
}

/// FNV-1a of 64 bits: its result is the same with every compiler, on every machine.
struct Hash(u64);

impl Hash {
    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// How many edges there are, and a hash of every edge and position, signal by signal in the order of their names.
fn sum(recording: &Recording) -> (usize, u64) {
    let mut signals: Vec<&Signal> =
        recording.signals().iter().filter(|s| s.kind() != SignalKind::Text).collect();
    signals.sort_by_key(|s| (s.scope(), s.name()));
    let (mut edges, mut hash) = (0, Hash(0xcbf2_9ce4_8422_2325));
    for signal in signals {
        hash.feed(format!("\n{}.{}", signal.scope(), signal.name()).as_bytes());
        for (at, value) in recording.records(signal.id()) {
            hash.feed(&at.as_nanos().to_le_bytes());
            match value {
                Value::Low => hash.feed(b"0"),
                Value::High => hash.feed(b"1"),
                Value::Real(position) => hash.feed(&position.to_bits().to_le_bytes()),
                other => panic!("{}: {other:?}", signal.name()),
            }
            edges += usize::from(signal.kind() == SignalKind::Wire);
        }
    }
    (edges, hash.0)
}

#[test]
fn shipped_programs_leave_the_traces_that_they_always_left() {
    let mut rows = Vec::new();
    for path in configs() {
        let config = Config::from_file(&path).unwrap_or_else(|e| panic!("{e}")).config;
        let name = path.file_stem().unwrap().to_str().unwrap();
        for program in &config.programs {
            for (how, deeds) in [("alone", Vec::new()), ("with deeds", deeds())] {
                let (edges, hash) = sum(&run(&config, &program.name, deeds));
                rows.push(format!("{name:16} {:12} {how:10} {edges:>8} {hash:016x}", program.name));
            }
        }
    }
    assert!(rows.len() >= 38, "{} rows: programs are missing", rows.len());
    let table = file("tests/data/traces.txt");
    let before = std::fs::read_to_string(&table).unwrap_or_default();
    if std::env::var_os("LOCKSTEP_RENEW").is_some_and(|what| what == "traces") {
        let mut text: String =
            before.lines().filter(|l| l.starts_with('#')).fold(String::new(), |mut text, line| {
                writeln!(text, "{line}").unwrap();
                text
            });
        rows.iter().for_each(|row| writeln!(text, "{row}").unwrap());
        std::fs::write(&table, text).unwrap();
        return;
    }
    let kept: Vec<&str> = before.lines().filter(|l| !l.starts_with('#')).collect();
    let mut wrong = String::new();
    for row in kept.iter().filter(|row| !rows.iter().any(|r| r == *row)) {
        writeln!(wrong, "- {row}").unwrap();
    }
    for row in rows.iter().filter(|row| !kept.contains(&row.as_str())) {
        writeln!(wrong, "+ {row}").unwrap();
    }
    assert!(wrong.is_empty(), "- as it was, + as it is:\n{wrong}");
}
