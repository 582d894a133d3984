//! `lockstep run` on the simulator, in real time, and how signals end it.
#![cfg(all(unix, feature = "cli"))]
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::cli_common::{Pulse, Wires, config, lockstep, ran, shipped};
use serde_json::{Value, json};

const PERIOD: u64 = 20_000_000;

/// Whole pulses at exactly 50 Hz between the shortest and the longest pulse, and after the last of
/// them a whole period of nothing.
fn servo_pulses(wires: &Wires, name: &str) -> Vec<Pulse> {
    let pulses = wires.pulses(name);
    assert!(pulses.iter().all(|p| (1_000_000..=2_000_000).contains(&p.width)), "{name}");
    assert!(pulses.windows(2).all(|p| p[1].rise - p[0].rise == PERIOD), "{name}");
    if let Some(last) = pulses.last() {
        assert!(wires.end() >= last.rise + PERIOD, "{name}");
    }
    pulses
}

/// The widths, in microseconds, that stayed for three pulses or more, and when each came first.
fn settled(pulses: &[Pulse]) -> Vec<(u64, u64)> {
    let mut out: Vec<(u64, u64)> = Vec::new();
    for p in pulses.windows(3) {
        let same = p.iter().all(|q| q.width == p[0].width);
        if same && out.last().is_none_or(|o| o.0 != p[0].width / 1000) {
            out.push((p[0].width / 1000, p[0].rise));
        }
    }
    out
}

/// Runs both sweeps for three seconds, and says whether every step of them was seen to settle.
fn sweeps() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("t.vcd");
    let mut command = lockstep();
    command.args(["run", "--backend", "sim", "--for", "3s", "--json", "--config"]);
    let ran = ran(command.arg(shipped("two-servos.toml")).arg("--trace").arg(&trace));
    assert_eq!((ran.status, &ran.json["result"]), (0, &json!("done")));
    let took = ran.json["duration_s"].as_f64().unwrap();
    assert!(took >= 3.0, "{took}");
    let wires = Wires::read(&trace);
    assert_eq!(wires.lost(), 0);
    let up: Vec<u64> = (0..=10).map(|k| 1000 + 100 * k).collect();
    let down: Vec<u64> = (0..=10).map(|k| 2000 - 100 * k).collect();
    let mut complete = true;
    for (name, every, widths) in [("left", 500u64, up), ("right", 300, down)] {
        let settled = settled(&servo_pulses(&wires, &format!("{name}.pulse")));
        for &(width, since) in &settled {
            // Not before its time; how much later is a matter of the computer. A loop that was held
            // up for three periods may leave a width between two steps standing.
            if let Some(k) = widths.iter().position(|&w| w == width) {
                assert!(since >= k as u64 * every * 1_000_000, "{name}: {settled:?}");
            }
        }
        // Every step of the sweep that fits into three seconds; the last may have been cut short.
        let full = 3000_usize.div_ceil(every as usize);
        let seen: Vec<u64> = settled.iter().map(|s| s.0).collect();
        complete &= seen == widths[..full] || seen == widths[..full - 1];
        assert_eq!(ran.motor(name)["unit"], "deg");
        assert_eq!(ran.motor(name)["place"], "commanded");
        assert_eq!(ran.motor(name).get("steps"), None);
    }
    complete
}

#[test]
fn two_sweeps_each_with_its_own_delay() {
    // A busy computer may hold a thread up for longer than a step lasts: then it is tried again.
    assert!((0..4).any(|_| sweeps()), "the sweeps' steps did not settle as they should");
}

/// A process that runs until it is told to end, and what it said when its motors stood.
struct Running {
    child: Child,
    trace: PathBuf,
    err: BufReader<std::process::ChildStderr>,
}

/// Starts a run with a trace and waits until its motors' threads stand.
fn start(config: &Path, trace: PathBuf) -> Running {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lockstep"))
        .args(["run", "--backend", "sim", "--for", "30s", "--json", "-v", "--config"])
        .arg(config)
        .arg("--trace")
        .arg(&trace)
        .env_remove("RUST_LOG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    err.read_line(&mut line).unwrap();
    assert!(line.contains("real-time scheduling: "), "{line}");
    Running { child, trace, err }
}

impl Running {
    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end, which must be a good one, and gives the trace and the report.
    fn end(mut self) -> (Wires, Value) {
        let mut out = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        let mut err = String::new();
        self.err.read_to_string(&mut err).unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{status}\n{err}");
        let report: Value =
            serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}\n{err}"));
        assert_eq!(report["result"], "stopped", "{report}\n{err}");
        let wires = Wires::read(&self.trace);
        assert_eq!(wires.lost(), 0);
        (wires, report)
    }
}

/// The same sequence each time, spread evenly: the fraction of the golden section.
fn spread(index: usize, from: Duration, to: Duration) -> Duration {
    from + (to - from).mul_f64((index as f64 * 0.618_033_988_749_895).fract())
}

const MS: Duration = Duration::from_millis(1);

/// Runs `tries` processes, some at a time; each gets `signals` at its own instant after its start
/// (each further signal a little later), and `check` sees what it left.
fn end_many(
    tries: usize,
    at_once: usize,
    config: &Path,
    signals: &[&str],
    window: (Duration, Duration),
    check: impl Fn(&Wires, &Value) + Sync,
) {
    let folder = tempfile::tempdir().unwrap();
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if index >= tries {
                        return;
                    }
                    let running = start(config, folder.path().join(format!("{index}.vcd")));
                    std::thread::sleep(spread(index, window.0, window.1));
                    for (i, signal) in signals.iter().enumerate() {
                        if i > 0 {
                            std::thread::sleep(spread(index * 7 + i, Duration::ZERO, 15 * MS));
                        }
                        running.signal(signal);
                    }
                    let (wires, report) = running.end();
                    check(&wires, &report);
                }
            });
        }
    });
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), tries);
}

#[test]
fn no_stop_cuts_a_servos_pulse() {
    let seen = std::sync::atomic::AtomicUsize::new(0);
    let window = (Duration::ZERO, 600 * MS);
    end_many(200, 20, &shipped("two-servos.toml"), &["TERM"], window, |wires, report| {
        for name in ["left", "right"] {
            let pulses = servo_pulses(wires, &format!("{name}.pulse"));
            if !pulses.is_empty() {
                seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
            assert_ne!(report["motors"][name]["cause"], "fault");
        }
    });
    let seen = seen.into_inner();
    assert!(seen > 300, "of 400 servos only {seen} had a signal to end");
}

#[test]
fn nor_does_a_second_signal() {
    let window = (20 * MS, 600 * MS);
    end_many(40, 20, &shipped("two-servos.toml"), &["INT", "TERM", "HUP"], window, |wires, _| {
        for name in ["left", "right"] {
            servo_pulses(wires, &format!("{name}.pulse"));
        }
    });
}

/// Two axes that walk back and forth at 400 steps a second.
const SLOW_AXES: &str = r#"
[axis.x]
step = { gpio = 17 }
dir = { gpio = 27 }
enable = { gpio = 22, active = "low" }
driver = "drv8825"
steps-per-revolution = 200
microsteps = 4
distance-per-revolution = "8mm"
travel = { min = "-50mm", max = "50mm" }
max-speed = "4mm/s"
max-acceleration = "40mm/s^2"
at-start = { assume = "0mm" }

[axis.y]
step = { gpio = 23 }
dir = { gpio = 24 }
enable = { gpio = 22, active = "low" }
driver = "a4988"
steps-per-revolution = 200
microsteps = 4
distance-per-revolution = "8mm"
travel = { min = "-50mm", max = "50mm" }
max-speed = "4mm/s"
max-acceleration = "40mm/s^2"
at-start = { assume = "0mm" }

[machine]
start-program = "walk"

[program.walk]
steps = [
  { repeat = "forever", steps = [
    { move = { x = "2mm", y = "-1mm" } },
    { move = { x = "-1mm", y = "0.5mm" } },
  ] },
]
"#;

/// Every step pulse has its full width, and what is reported is what was emitted.
fn whole_steps(wires: &Wires, report: &Value) {
    // Shortest STEP pulse, from the drivers' data sheets.
    for (name, least) in [("x", 1900), ("y", 1000)] {
        let pulses = wires.pulses(&format!("{name}.step"));
        assert!(pulses.iter().all(|p| p.width >= least), "{name}");
        let steps = report["motors"][name]["steps"].as_i64().unwrap();
        assert_eq!(wires.net_steps(name), steps, "{name}");
        assert_eq!(report["motors"][name]["position"].as_f64().unwrap(), steps as f64 / 100.0);
    }
}

#[test]
fn no_stop_cuts_a_step() {
    let folder = tempfile::tempdir().unwrap();
    let file = config(folder.path(), SLOW_AXES);
    let window = (20 * MS, 1500 * MS);
    let walked = std::sync::atomic::AtomicI64::new(0);
    end_many(24, 8, &file, &["TERM"], window, |wires, report| {
        whole_steps(wires, report);
        let [x, y] = ["x", "y"].map(|n| report["motors"][n]["steps"].as_i64().unwrap());
        walked.fetch_add(x.abs(), std::sync::atomic::Ordering::Relaxed);
        // On the line of the move that was stopped, within a step of each axis.
        assert!((x + 2 * y).abs() <= 3, "{x} {y}");
        assert_eq!(report["motors"]["x"]["place"], "assumed");
    });
    assert!(walked.into_inner() > 500);
    end_many(24, 8, &file, &["TERM", "INT"], window, whole_steps);
}
