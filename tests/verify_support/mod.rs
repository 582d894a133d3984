//! Traces to be proved: recorded from a machine in virtual time, or made by hand, and broken on purpose.
#![allow(dead_code)] // Each test file uses its own part.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;

use lockstep::config::Config;
use lockstep::machine::{Machine, RunOptions};
use lockstep::trace::{Recording, SignalKind, Value, VcdReader};
use lockstep::verify::{Options, Report, verify};

pub const STAGE: &str = r#"
[axis.x]
step = { gpio = 17 }
dir = { gpio = 27 }
enable = { gpio = 22, active = "low" }
driver = "drv8825"
steps-per-revolution = 200
microsteps = 16
distance-per-revolution = "8mm"
travel = { min = "0mm", max = "200mm" }
max-speed = "50mm/s"
max-acceleration = "500mm/s^2"
max-jerk = "5000mm/s^3"
at-start = { assume = "0mm" }
on-stop = "release"

[axis.y]
step = { gpio = 23 }
dir = { gpio = 24 }
enable = { gpio = 22, active = "low" }
driver = "drv8825"
steps-per-revolution = 200
microsteps = 16
distance-per-revolution = "8mm"
travel = { min = "0mm", max = "150mm" }
max-speed = "50mm/s"
max-acceleration = "500mm/s^2"
max-jerk = "5000mm/s^3"
at-start = { assume = "0mm" }
on-stop = "release"

[program.go]
steps = [
  { move = { x = "60mm", y = "45mm" } },
  { move = { x = "10mm", y = "5mm" } },
]

[program.asap]
steps = [ { move = { x = "60mm", y = "10mm" }, arrive = "asap" } ]
"#;

pub const SERVO: &str = r#"
[servo.pan]
pwm = { gpio = 12 }
max-speed = "120deg/s"
max-acceleration = "480deg/s^2"
max-jerk = "4800deg/s^3"

[program.go]
steps = [
  { move = { pan = "-45deg" } },
  { move = { pan = "45deg" } },
  { move = { pan = "10deg" } },
  { pause = "200ms" },
]
"#;

pub fn config(text: &str) -> Config {
    Config::from_str(text, "test.toml").unwrap().config
}

/// Runs a program in virtual time and takes its trace.
pub fn record(config: Config, program: &str) -> Recording {
    let mut machine = Machine::builder(config).virtual_time().trace(true).build().unwrap();
    machine.run(Some(program), RunOptions::default()).unwrap();
    machine.take_recording().unwrap()
}

pub fn vcd(recording: &Recording) -> String {
    let mut out = Vec::new();
    recording.write_vcd(&mut out, "test").unwrap();
    String::from_utf8(out).unwrap()
}

pub fn prove(vcd: &str, config: &Config) -> Report {
    verify(vcd.as_bytes(), config, &Options::default()).unwrap()
}

/// A trace that can be taken apart.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    pub signals: Vec<(String, String, SignalKind)>,
    pub events: Vec<(u64, usize, Value)>,
    pub end: u64,
}

impl Tape {
    pub fn record(text: &str, program: &str) -> Tape {
        Tape::of(&record(config(text), program))
    }

    pub fn of(recording: &Recording) -> Tape {
        let text = vcd(recording);
        let mut reader = VcdReader::new(text.as_bytes()).unwrap();
        let signals: Vec<_> = reader.signals().to_vec();
        let index = |id| signals.iter().position(|s| s.id() == id).unwrap();
        let mut events = Vec::new();
        while let Some(change) = reader.next().transpose().unwrap() {
            events.push((change.at.as_nanos(), index(change.signal), change.value));
        }
        let end = reader.now().as_nanos();
        let named = |s: &lockstep::trace::Signal| (s.scope().into(), s.name().into(), s.kind());
        Tape { signals: signals.iter().map(named).collect(), events, end }
    }

    /// The same as an older release wrote it: no grammar, no owners, and one word for a jog that is asked for again.
    pub fn in_grammar_1(mut self) -> Tape {
        let signal = self.signal("machine.move");
        self.events.retain(|e| e.1 != signal || e.2 != Value::Text("grammar:2".into()));
        for event in self.events.iter_mut().filter(|e| e.1 == signal) {
            let Value::Text(text) = &event.2 else { continue };
            let mut words: Vec<_> = text.split(':').collect();
            match words.as_mut_slice() {
                [_, kind, _, _] if *kind != "corner" => drop(words.pop()),
                [_, word @ "turn", _] => *word = "renew",
                _ => {}
            }
            event.2 = Value::Text(words.join(":").into());
        }
        self
    }

    pub fn signal(&self, path: &str) -> usize {
        let is = |s: &(String, String, SignalKind)| format!("{}.{}", s.0, s.1) == path;
        self.signals.iter().position(is).unwrap_or_else(|| panic!("no {path}"))
    }

    /// Indices of the events of a signal.
    pub fn of_signal(&self, path: &str) -> Vec<usize> {
        let signal = self.signal(path);
        (0..self.events.len()).filter(|&i| self.events[i].1 == signal).collect()
    }

    /// Indices of the rising or falling edges of a wire.
    pub fn edges(&self, path: &str, high: bool) -> Vec<usize> {
        let level = if high { Value::High } else { Value::Low };
        let mut known = false;
        let mut edges = self.of_signal(path);
        edges.retain(|&i| {
            let edge = std::mem::replace(&mut known, true);
            edge && self.events[i].2 == level
        });
        edges
    }

    pub fn at(&self, event: usize) -> u64 {
        self.events[event].0
    }

    pub fn add(&mut self, at: u64, path: &str, value: Value) {
        let signal = self.signal(path);
        self.events.push((at, signal, value));
    }

    pub fn remove(&mut self, events: &[usize]) {
        let mut n = 0;
        self.events.retain(|_| {
            n += 1;
            !events.contains(&(n - 1))
        });
    }

    pub fn vcd(&self) -> String {
        let mut out = String::from("$comment records lost: 0 $end\n$timescale 1 ns $end\n");
        for (n, (scope, name, kind)) in self.signals.iter().enumerate() {
            let kind = match kind {
                SignalKind::Wire => "wire 1",
                SignalKind::Real => "real 64",
                SignalKind::Text => "string 1",
            };
            let _ = writeln!(
                out,
                "$scope module {scope} $end $var {kind} s{n} {name} $end $upscope $end"
            );
        }
        out += "$enddefinitions $end\n";
        let mut order: Vec<_> = self.events.iter().collect();
        order.sort_by_key(|e| (e.0, e.1));
        for (at, signal, value) in order {
            let value = match value {
                Value::Low => "0".to_owned(),
                Value::High => "1".to_owned(),
                Value::Unknown => "x".to_owned(),
                Value::Real(x) => format!("r{x:?} "),
                Value::Text(text) => format!("s{text} "),
            };
            let _ = writeln!(out, "#{at}\n{value}s{signal}");
        }
        let _ =
            writeln!(out, "#{}", self.end.max(self.events.iter().map(|e| e.0).max().unwrap_or(0)));
        out
    }

    pub fn prove(&self, config: &Config) -> Report {
        prove(&self.vcd(), config)
    }
}

/// The bounds that are broken, as `x: speed`.
pub fn broken(report: &Report) -> Vec<String> {
    report.broken().map(|b| format!("{}: {}", b.motor, b.name)).collect()
}

/// The stage without its y.
pub fn x_only() -> Config {
    let mut config = config(STAGE);
    config.motors.truncate(1);
    config.programs.clear();
    config
}
