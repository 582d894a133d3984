//! How fast virtual time goes: `cargo bench --bench virtual_time`.
//!
//! A stage of one or three axes makes 10 million steps in moves of 100,000; no trace is kept. Printed
//! are the time on one core, the steps a second, and by how much the process grew.

use std::time::Instant;

use lockstep::config::Config;
use lockstep::machine::{Machine, Move, RunOptions};
use lockstep::units::Length;

const STEPS: u64 = 10_000_000;

fn stage(axes: usize) -> Config {
    let pins = [(17, 27), (23, 24), (25, 16)];
    let axis = |(name, (step, dir)): (&&str, &(u8, u8))| {
        format!(
            "[axis.{name}]\nstep = {{ gpio = {step} }}\ndir = {{ gpio = {dir} }}\ndriver = \"drv8825\"\n\
             steps-per-revolution = 200\nmicrosteps = 16\ndistance-per-revolution = \"8mm\"\n\
             travel = {{ min = \"0mm\", max = \"400mm\" }}\nmax-speed = \"50mm/s\"\n\
             max-acceleration = \"500mm/s^2\"\nmax-jerk = \"5000mm/s^3\"\n"
        )
    };
    let text: String = ["x", "y", "z"].iter().zip(&pins).take(axes).map(axis).collect();
    Config::from_str(&text, "bench").expect("the bench's own config is good").config
}

/// The most memory that the process has had, KiB; 0 where the system does not say.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:"));
    line.and_then(|l| l.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

fn steps(axes: usize) {
    let machine = Machine::builder(stage(axes)).virtual_time().build();
    let mut machine = machine.expect("the simulator opens every pin");
    let targets = [[250.0, 240.0, 230.0], [0.0, 5.0, 10.0]];
    let mut made = 0;
    let before = peak_kib();
    let began = Instant::now();
    while made < STEPS {
        for to in targets {
            let names = ["x", "y", "z"].iter().zip(to).take(axes);
            let spec = names.fold(Move::new(), |m, (name, at)| m.to(name, Length(at)));
            let id = machine.start(&spec).expect("the move is good");
            assert!(machine.wait(id).all_reached());
        }
        made = ["x", "y", "z"].iter().filter_map(|n| machine.lateness(n)).map(|l| l.count).sum();
    }
    let took = began.elapsed().as_secs_f64();
    println!(
        "{axes} axes: {made} steps in {took:.2} s, {:.1} ns a step, {} KiB more",
        took * 1e9 / made as f64,
        peak_kib() - before
    );
}

fn main() {
    // `cargo test --benches` runs this, too: then there is nothing to measure.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    for axes in [1, 3] {
        steps(axes);
    }
    let Ok(config) = Config::from_file("config/xyz-stage.toml") else { return };
    let began = Instant::now();
    let machine = Machine::builder(config.config).virtual_time().build();
    let report = machine.expect("it opens").run(Some("tour"), RunOptions::default());
    println!("tour: {:?}, {}", began.elapsed(), report.map_or("refused", |r| r.result.word()));
}
