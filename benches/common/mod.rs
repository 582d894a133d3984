//! What the benchmarks share: tables of quantiles, CPU time of a thread, and a machine kept busy.

// Each benchmark takes its own share of this.
#![allow(dead_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use lockstep::config::Config;
use lockstep::motor::LatenessSummary;

/// Whether this is an optimised build; else says how to get one.
pub fn optimised(name: &str) -> bool {
    if cfg!(debug_assertions) {
        println!("Not an optimised build: run it with `cargo bench --bench {name}`.");
    }
    !cfg!(debug_assertions)
}

/// A number from the environment, or another.
pub fn env(name: &str, or: u64) -> u64 {
    std::env::var(name).ok().and_then(|s| s.parse().ok()).unwrap_or(or)
}

/// A checked config from text.
pub fn config(text: &str) -> Config {
    match Config::from_str(text, "bench") {
        Ok(loaded) => loaded.config,
        Err(errors) => panic!("{errors}"),
    }
}

pub fn header(what: &str) {
    println!(
        "{what:<34} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6}",
        "p50", "p99", "p99.9", "max", "count", "CPU"
    );
}

/// A row of quantiles of nanoseconds, shown in microseconds; `cpu` is a share of a core.
pub fn row(name: &str, mut nanos: Vec<u64>, cpu: Option<f64>) {
    nanos.sort_unstable();
    let at = |q: f64| {
        let rank = (nanos.len() as f64 * q).ceil() as usize;
        nanos.get(rank.clamp(1, nanos.len().max(1)) - 1).copied().unwrap_or(0)
    };
    print_row(name, [at(0.5), at(0.99), at(0.999), at(1.0)], nanos.len() as u64, cpu);
}

pub fn summary(name: &str, s: &LatenessSummary, cpu: Option<f64>) {
    print_row(name, [s.p50, s.p99, s.p999, s.max], s.count, cpu);
}

fn print_row(name: &str, figures: [u64; 4], count: u64, cpu: Option<f64>) {
    print!("{name:<34}");
    for nanos in figures {
        print!(" {:>8.1}", nanos as f64 / 1e3);
    }
    let cpu = cpu.map_or(String::new(), |share| format!("{:.1}%", share * 100.0));
    println!(" {count:>8} {cpu:>6}");
}

/// CPU seconds that the thread of that name has used; `None` where the system does not say.
pub fn cpu_of(name: &str) -> Option<f64> {
    for task in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
        let comm = std::fs::read_to_string(task.path().join("comm")).ok()?;
        if comm.trim() != name {
            continue;
        }
        let run = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        return run.split(' ').next()?.parse::<f64>().ok().map(|ns| ns / 1e9);
    }
    None
}

/// A busy machine: on each core a thread of ordinary priority that works and touches memory. It ends
/// when this is dropped.
pub struct Load {
    quit: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn on_every_core() -> Load {
        let quit = Arc::new(AtomicBool::new(false));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = (0..cores)
            .map(|_| {
                let quit = quit.clone();
                std::thread::spawn(move || {
                    let mut memory = vec![0_u8; 8 << 20];
                    let mut at = 0_usize;
                    while !quit.load(Ordering::Relaxed) {
                        // A prime stride misses the caches, and so does what shares them.
                        for _ in 0..1000 {
                            at = (at + 4_099) % memory.len();
                            memory[at] = memory[at].wrapping_add(1);
                        }
                    }
                })
            })
            .collect();
        Load { quit, threads }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.quit.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|t| drop(t.join()));
    }
}
