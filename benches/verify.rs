//! How fast traces are proved: `cargo bench --bench verify`.
//!
//! A trace of one axis at 192,000 steps a second, 20 million steps long, is made beforehand in pieces and proved as
//! it is read. Printed are the steps a second of CPU time, and by how much the process grew. Making the trace is timed
//! by itself and left out.

#[path = "common/endless.rs"]
mod endless;

use std::io::{BufReader, Read};

use endless::{Endless, FAST, STEPS};
use lockstep::config::Config;
use lockstep::trace::VcdReader;
use lockstep::verify::{Options, verify};

/// `LOCKSTEP_BENCH_ROUNDS`: how long the trace is, in rounds of 128,000 steps.
fn rounds() -> u64 {
    std::env::var("LOCKSTEP_BENCH_ROUNDS").ok().and_then(|s| s.parse().ok()).unwrap_or(160)
}

/// The most memory that the process has had, KiB; 0 where the system does not say.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:"));
    line.and_then(|l| l.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

/// Seconds that this thread has run; 0 where the system does not say.
fn ran() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).map_or(0.0, |ns| ns / 1e9)
}

fn config() -> Config {
    Config::from_str(FAST, "bench").expect("the bench's own config is good").config
}

fn trace() -> Endless {
    Endless::new(config(), "round", rounds())
}

fn main() {
    // `cargo test --benches` runs this, too: then there is nothing to measure.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let steps = rounds() * STEPS;
    let row = |what: &str, took: f64| {
        println!(
            "{what:<28} {:>6.2} s  {:>6.1} ns a step  {:>6.2} million steps/s",
            took,
            took * 1e9 / steps as f64,
            steps as f64 / took / 1e6
        );
    };
    let (mut made, mut bytes, mut piece) = (trace(), 0, vec![0; 1 << 16]);
    let began = ran();
    loop {
        match made.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(n) => bytes += n,
        }
    }
    let making = ran() - began;
    row("the trace is made", making);
    let made = trace();
    let began = ran();
    let reader = VcdReader::new(BufReader::with_capacity(1 << 16, made));
    let changes = reader.expect("it is VCD").filter(|c| c.is_ok()).count();
    row("it is read", (ran() - began) - making);
    assert!(changes as u64 >= 2 * steps);
    let made = trace();
    let before = peak_kib();
    let began = ran();
    let report = verify(BufReader::with_capacity(1 << 16, made), &config(), &Options::default());
    row("it is read and proved", (ran() - began) - making);
    let report = report.expect("it fits its config");
    assert!(report.is_clean(), "{report}");
    println!("{steps} steps, {} MB, {} KiB more", bytes / 1_000_000, peak_kib() - before);
}
