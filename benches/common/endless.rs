//! A trace of any length, made while it is read: one run, over and over.
//!
//! Each round of it begins where the one before ended, in time and in place.

use std::fmt::Write as _;
use std::io::{self, Read};

use lockstep::config::Config;
use lockstep::machine::{Machine, RunOptions};
use lockstep::trace::{SignalKind, Value};
use lockstep::units::Instant;

/// One axis at 192,000 steps a second, that goes out and comes back in `out` and `back` moves.
pub const FAST: &str = r#"
[axis.x]
step = { gpio = 17 }
dir = { gpio = 27 }
driver = "tmc2209"
steps-per-revolution = 200
microsteps = 256
distance-per-revolution = "8mm"
travel = { min = "0mm", max = "20mm" }
max-speed = "30mm/s"
max-acceleration = "3000mm/s^2"
max-jerk = "300000mm/s^3"
at-start = { assume = "0mm" }

[program.round]
steps = [ { move = { x = "10mm" } }, { move = { x = "0mm" } } ]
"#;

/// The steps of one round of [`FAST`].
pub const STEPS: u64 = 128_000;

/// An endless VCD file, cut after so many rounds.
pub struct Endless {
    events: Vec<(u64, u32, Value)>,
    /// How long a round takes, nanoseconds.
    lasts: u64,
    rounds: u64,
    round: u64,
    next: usize,
    text: String,
    taken: usize,
    now: Option<u64>,
}

impl Endless {
    /// `program`, so many times.
    pub fn new(config: Config, program: &str, rounds: u64) -> Endless {
        let built = Machine::builder(config).virtual_time().trace(true).build();
        let mut machine = built.expect("the simulator opens every pin");
        machine.run(Some(program), RunOptions::default()).expect("the program is good");
        let recording = machine.take_recording().expect("it recorded");
        let mut text = String::from("$comment records lost: 0 $end\n$timescale 1 ns $end\n");
        let mut events = Vec::new();
        for (n, signal) in recording.signals().iter().enumerate() {
            let kind = match signal.kind() {
                SignalKind::Wire => "wire 1",
                SignalKind::Real => "real 64",
                SignalKind::Text => "string 1",
            };
            let (scope, name, code) = (signal.scope(), signal.name(), code(n as u32));
            let _ = writeln!(
                text,
                "$scope module {scope} $end $var {kind} {code} {name} $end $upscope $end"
            );
            let of = |(at, value): (Instant, Value)| (at.as_nanos(), n as u32, value);
            events.extend(recording.records(signal.id()).map(of));
        }
        text += "$enddefinitions $end\n";
        events.sort_by_key(|e| (e.0, e.1));
        let lasts = recording.end().as_nanos() + 1_000_000;
        Endless { events, lasts, rounds, round: 0, next: 0, text, taken: 0, now: None }
    }

    /// Some more of the file; nothing is left where none comes.
    fn more(&mut self) {
        self.text.clear();
        self.taken = 0;
        while self.text.len() < 1 << 16 && self.round < self.rounds {
            let Some((at, signal, value)) = self.events.get(self.next) else {
                (self.next, self.round) = (0, self.round + 1);
                continue;
            };
            self.next += 1;
            if self.round > 0 && *at == 0 && matches!(value, Value::Text(_)) {
                // Once is enough for what is said of the trace as a whole.
                continue;
            }
            let at = at + self.round * self.lasts;
            if self.now.replace(at) != Some(at) {
                let _ = writeln!(self.text, "#{at}");
            }
            let code = code(*signal);
            let _ = match value {
                Value::Low => writeln!(self.text, "0{code}"),
                Value::High => writeln!(self.text, "1{code}"),
                Value::Unknown => writeln!(self.text, "x{code}"),
                Value::Real(x) => writeln!(self.text, "r{x:?} {code}"),
                Value::Text(word) => writeln!(self.text, "s{word} {code}"),
            };
        }
    }
}

fn code(signal: u32) -> char {
    char::from(b'!' + signal as u8)
}

impl Read for Endless {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.text.len() {
            self.more();
        }
        let left = &self.text.as_bytes()[self.taken..];
        let n = left.len().min(into.len());
        into[..n].copy_from_slice(&left[..n]);
        self.taken += n;
        Ok(n)
    }
}
