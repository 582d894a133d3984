//! How late edges leave, with threads on the simulator, beside the kernel's own wake-ups.
//!
//! `cargo bench --bench lateness` prints, all in one run, for 1, 5, 20 and 50 kHz, alone and beside a
//! busy machine (a thread of ordinary priority on each core):
//! 1. the STEP edges of one axis at that rate;
//! 2. `clock_nanosleep` alone, at the same priority and period: the kernel's own limit;
//! 3. the way of waiting of rppal's soft PWM: a relative sleep that ends 200 us early, then a spin, and
//!    the next period counted from where this one ended.
//!
//! Then five motors at once: three axes at 10 kHz and two servos.
//!
//! `LOCKSTEP_BENCH_SECONDS=30` makes each of them longer (default 5). Figures hold for the machine and
//! the moment they were taken on.

#[path = "../common/mod.rs"]
mod common;
mod ways;

use std::time::{Duration, Instant};

use common::{Load, config, cpu_of, env, header, optimised, summary};
use lockstep::machine::{Machine, Move};
use lockstep::units::{Angle, Length};

/// Steps a second.
const RATES: [u64; 4] = [1_000, 5_000, 20_000, 50_000];

/// The top speed of the axis, in steps a second: above the rates, so that a late axis may catch up.
const TOP: u64 = 62_500;

fn main() {
    if !optimised("lateness") {
        return;
    }
    let seconds = env("LOCKSTEP_BENCH_SECONDS", 5).clamp(1, 600);
    println!("Lateness in us. {}.", ways::scheduling());
    for busy in [false, true] {
        let _load = busy.then(Load::on_every_core);
        println!("\n{}", if busy { "Beside a busy machine" } else { "Alone" });
        header("");
        for rate in RATES {
            one_axis(rate, seconds);
            ways::kernel(rate, seconds);
            ways::soft_pwm(rate, seconds);
        }
    }
    println!("\nFive motors");
    header("");
    five_motors(seconds);
}

/// `[axis.NAME]` with 1000 steps a millimetre.
fn axis(name: &str, step: u8, dir: u8, top: u64) -> String {
    format!(
        "[axis.{name}]\nstep = {{ gpio = {step} }}\ndir = {{ gpio = {dir} }}\n\
         driver = \"tmc2209\"\nsteps-per-revolution = 200\nmicrosteps = 16\n\
         gear-ratio = \"1\"\ndistance-per-revolution = \"3.2mm\"\ntravel = \"unlimited\"\n\
         max-speed = \"{}mm/s\"\nmax-acceleration = \"10000mm/s^2\"\n\
         max-jerk = \"1000000mm/s^3\"\nat-start = {{ assume = \"0mm\" }}\n",
        top as f64 / 1e3
    )
}

fn one_axis(rate: u64, seconds: u64) {
    let mut machine = Machine::builder(config(&axis("x", 17, 27, TOP))).build().expect("it builds");
    let begun = Instant::now();
    let way = Length(rate as f64 / 1e3 * seconds as f64);
    let there = Move::new().to("x", way).speed(rate as f64 / TOP as f64);
    let id = machine.start(&there).expect("the move is fine");
    let reached = machine.wait(id).all_reached();
    let cpu = cpu_of("x").map(|c| c / begun.elapsed().as_secs_f64());
    let late = machine.lateness("x").unwrap_or_default();
    summary(&format!("{} kHz: an axis", rate / 1000), &late, cpu);
    if !reached {
        println!("  it did not reach its target");
    }
}

fn five_motors(seconds: u64) {
    let mut text: String = [("x", 17, 27), ("y", 22, 23), ("z", 24, 25)]
        .map(|(name, step, dir)| axis(name, step, dir, 12_500))
        .concat();
    for (name, gpio) in [("pan", 18), ("tilt", 19)] {
        text += &format!("[servo.{name}]\npwm = {{ gpio = {gpio} }}\n");
    }
    let mut machine = Machine::builder(config(&text)).build().expect("the simulator builds");
    let mut moves = Vec::new();
    let way = 10.0 * seconds as f64;
    for axis in ["x", "y", "z"] {
        let there = Move::new().to(axis, Length(way)).speed(0.8);
        moves.push(machine.start(&there).expect("the move is fine"));
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
        let late = machine.lateness(name).unwrap_or_default();
        let what = if name.len() == 1 { "axis at 10 kHz" } else { "servo at 50 Hz" };
        summary(&format!("{name}: {what}"), &late, cpu.map(|c| c / wall));
    }
    let cpu = total / wall * 100.0;
    println!("  five motors' threads: {cpu:.0}% of a core; all axes reached: {reached}");
}
