//! How late edges leave, with threads on the simulator, beside the kernel's own wake-ups.
//!
//! `cargo bench --bench lateness` prints, all in one run:
//! 1. `clock_nanosleep` alone, at the steps' period and the motors' scheduling: what the kernel can do.
//! 2. Three axes at 10,000 steps a second each and two servos: lateness of every edge, CPU time.
//! 3. The skew between the axes' first edges after the barrier.
//!
//! `LOCKSTEP_BENCH_SECONDS=30` makes part 2 longer (default 5). Figures hold for the machine and the
//! moment they were taken on.

use std::time::{Duration, Instant};

use lockstep::config::Config;
use lockstep::machine::{Machine, Move};
use lockstep::units::{Angle, Length};

const RATE: u64 = 10_000;

fn main() {
    if cfg!(debug_assertions) {
        println!("Not an optimised build: run it with `cargo bench --bench lateness`.");
        return;
    }
    let seconds = std::env::var("LOCKSTEP_BENCH_SECONDS").ok().and_then(|s| s.parse().ok());
    let seconds = seconds.unwrap_or(5).clamp(1, 600);
    println!("lateness in us                    p50      p99    p99.9      max    edges   CPU");
    kernel(seconds);
    motors(seconds);
    skew(300);
}

fn row(name: &str, mut nanos: Vec<u64>, cpu: Option<f64>) {
    nanos.sort_unstable();
    let at = |q: f64| {
        let rank = (nanos.len() as f64 * q).ceil() as usize;
        nanos.get(rank.clamp(1, nanos.len().max(1)) - 1).copied().unwrap_or(0)
    };
    print_row(name, [at(0.5), at(0.99), at(0.999), at(1.0)], nanos.len() as u64, cpu);
}

fn print_row(name: &str, figures: [u64; 4], count: u64, cpu: Option<f64>) {
    print!("{name:<28}");
    for nanos in figures {
        print!(" {:>8.1}", nanos as f64 / 1e3);
    }
    let cpu = cpu.map_or(String::new(), |share| format!("{:.1}%", share * 100.0));
    println!(" {count:>8} {cpu:>6}");
}

/// The kernel's own wake-ups: an absolute sleep each period, nothing else.
#[cfg(target_os = "linux")]
fn kernel(seconds: u64) {
    use rustix::thread::{ClockId, clock_nanosleep_absolute};
    use rustix::time::{Timespec, clock_gettime};
    let thread = std::thread::Builder::new().name("kernel".into()).spawn(move || {
        let granted = lockstep::runtime::request_realtime();
        let now = || {
            let t = clock_gettime(ClockId::Monotonic);
            t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
        };
        let (period, mut due) = (1_000_000_000 / RATE, now() + 1_000_000);
        let mut late = Vec::with_capacity((seconds * RATE) as usize);
        for _ in 0..seconds * RATE {
            due += period;
            let (tv_sec, tv_nsec) = (due / 1_000_000_000, due % 1_000_000_000);
            let request = Timespec { tv_sec: tv_sec as _, tv_nsec: tv_nsec as _ };
            let _ = clock_nanosleep_absolute(ClockId::Monotonic, &request);
            late.push(now().saturating_sub(due));
        }
        (granted, late, cpu_of("kernel"))
    });
    let Some((granted, late, cpu)) = thread.ok().and_then(|t| t.join().ok()) else { return };
    row("clock_nanosleep alone", late, cpu.map(|c| c / seconds as f64));
    println!("  scheduling: {}", granted.map_or_else(|e| e, |p| format!("SCHED_FIFO {p}")));
}

#[cfg(not(target_os = "linux"))]
fn kernel(_seconds: u64) {
    println!("clock_nanosleep alone        (Linux only)");
}

/// CPU seconds that the thread of that name has used.
fn cpu_of(name: &str) -> Option<f64> {
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

fn config() -> Config {
    let mut text = String::new();
    for (name, step, dir) in [("x", 17, 27), ("y", 22, 23), ("z", 24, 25)] {
        // 100 steps a millimetre; the start takes about 20 ms, the rest is at 10,000 steps a second.
        text += &format!(
            "[axis.{name}]\nstep = {{ gpio = {step} }}\ndir = {{ gpio = {dir} }}\n\
             driver = \"drv8825\"\nsteps-per-revolution = 200\nmicrosteps = 16\n\
             gear-ratio = \"1\"\ndistance-per-revolution = \"32mm\"\ntravel = \"unlimited\"\n\
             max-speed = \"100mm/s\"\nmax-acceleration = \"10000mm/s^2\"\n\
             max-jerk = \"1000000mm/s^3\"\nat-start = {{ assume = \"0mm\" }}\n"
        );
    }
    for (name, gpio) in [("pan", 18), ("tilt", 19)] {
        text += &format!("[servo.{name}]\npwm = {{ gpio = {gpio} }}\n");
    }
    match Config::from_str(&text, "bench") {
        Ok(loaded) => loaded.config,
        Err(errors) => panic!("{errors}"),
    }
}

fn motors(seconds: u64) {
    let mut machine = Machine::builder(config()).build().expect("the simulator builds");
    let mut moves = Vec::new();
    let way = 100.0 * seconds as f64;
    for axis in ["x", "y", "z"] {
        moves.push(machine.start(&Move::new().to(axis, Length(way))).expect("the move is fine"));
    }
    for servo in ["pan", "tilt"] {
        let there = machine.start(&Move::new().to(servo, Angle(-45.0))).expect("fine");
        machine.wait(there);
    }
    let begun = Instant::now();
    let mut to = 45.0;
    while begun.elapsed() < Duration::from_secs(seconds.saturating_sub(1)) {
        let slow = Move::new().to("pan", Angle(to)).to("tilt", Angle(-to)).speed(0.1);
        let id = machine.start(&slow).expect("fine");
        machine.wait(id);
        to = -to;
    }
    let reached = machine.wait_all(&moves).iter().all(|m| m.all_reached());
    let wall = begun.elapsed().as_secs_f64();
    let mut total = 0.0;
    for name in ["x", "y", "z", "pan", "tilt"] {
        let cpu = cpu_of(name);
        total += cpu.unwrap_or(0.0);
        let s = machine.lateness(name).unwrap_or_default();
        print_row(name, [s.p50, s.p99, s.p999, s.max], s.count, cpu.map(|c| c / wall));
    }
    let cpu = total / wall * 100.0;
    println!("  five motors' threads: {cpu:.0}% of a core; all axes reached: {reached}");
}

/// First edges of the axes after each barrier: the latest minus the earliest.
fn skew(starts: usize) {
    let mut machine = Machine::builder(config()).trace(true).build().expect("the simulator builds");
    for i in 0..starts {
        let to = Length(if i % 2 == 0 { 0.05 } else { 0.0 });
        let id = machine.start(&Move::new().to("x", to).to("y", to).to("z", to)).expect("fine");
        machine.wait(id);
    }
    machine.finish();
    let recording = machine.take_recording().expect("a trace was asked for");
    let rises = |path: &str| -> Vec<u64> {
        let id = recording.find(path).expect("the signal is there");
        recording.edges(id).filter(|e| e.1).map(|e| e.0.as_nanos()).collect()
    };
    let axes = ["x.step", "y.step", "z.step"].map(rises);
    let per_move = axes[0].len() / starts;
    let spread = (0..starts).map(|i| {
        let first = axes.each_ref().map(|a| a[i * per_move]);
        first.iter().max().unwrap_or(&0) - first.iter().min().unwrap_or(&0)
    });
    println!();
    row("start skew of three axes", spread.collect(), None);
}
