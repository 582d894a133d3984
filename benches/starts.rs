//! How far apart the motors of a move start: `cargo bench --bench starts`.
//!
//! Many moves, each from its barrier; of each the latest first edge minus the earliest. Beside it
//! `std::sync::Barrier`: threads of the same scheduling read the clock as soon as it lets them go.
//! With two motors, and with eight.
//!
//! `LOCKSTEP_BENCH_STARTS=10000` makes it as many starts (default 1000).

mod common;

use std::sync::{Arc, Barrier};

use common::{config, env, header, optimised, row};
use lockstep::machine::{Machine, Move};
use lockstep::units::Length;

fn main() {
    if !optimised("starts") {
        return;
    }
    let starts = env("LOCKSTEP_BENCH_STARTS", 1000).clamp(10, 1_000_000) as usize;
    println!("From the first motor's first edge to the last motor's, in us");
    header("");
    for motors in [2, 8] {
        row(&format!("{motors} axes"), of_machine(motors, starts), None);
        row(&format!("{motors} threads, std::sync::Barrier"), of_std(motors, starts), None);
    }
}

fn spreads(firsts: &[Vec<u64>], starts: usize) -> Vec<u64> {
    let of = |i: usize| {
        let at = firsts.iter().filter_map(|f| f.get(i));
        at.clone().max().unwrap_or(&0) - at.min().unwrap_or(&0)
    };
    (0..starts).map(of).collect()
}

fn of_machine(motors: usize, starts: usize) -> Vec<u64> {
    let name = |i: usize| format!("a{i}");
    let text: String = (0..motors)
        .map(|i| {
            format!(
                "[axis.{}]\nstep = {{ gpio = {} }}\ndir = {{ gpio = {} }}\ndriver = \"tmc2209\"\n\
                 steps-per-revolution = 200\nmicrosteps = 16\ndistance-per-revolution = \"32mm\"\n\
                 travel = \"unlimited\"\nmax-speed = \"100mm/s\"\nmax-acceleration = \"10000mm/s^2\"\n\
                 max-jerk = \"1000000mm/s^3\"\nat-start = {{ assume = \"0mm\" }}\n",
                name(i),
                4 + 2 * i,
                5 + 2 * i,
            )
        })
        .collect();
    let mut machine = Machine::builder(config(&text)).trace(true).build().expect("it builds");
    for i in 0..starts {
        let to = Length(if i % 2 == 0 { 0.02 } else { 0.0 });
        let all = (0..motors).fold(Move::new(), |m, i| m.to(&name(i), to));
        let id = machine.start(&all).expect("the move is fine");
        assert!(machine.wait(id).all_reached(), "every start ends where it should");
    }
    machine.finish();
    let recording = machine.take_recording().expect("a trace was asked for");
    let firsts = |i: usize| -> Vec<u64> {
        let id = recording.find(&format!("{}.step", name(i))).expect("the signal is there");
        let rises: Vec<u64> = recording.edges(id).filter(|e| e.1).map(|e| e.0.as_nanos()).collect();
        rises.chunks(rises.len() / starts).map(|c| c[0]).collect()
    };
    let firsts: Vec<_> = (0..motors).map(firsts).collect();
    spreads(&firsts, starts)
}

fn of_std(motors: usize, starts: usize) -> Vec<u64> {
    let barrier = Arc::new(Barrier::new(motors));
    let zero = std::time::Instant::now();
    let threads: Vec<_> = (0..motors)
        .map(|i| {
            let barrier = barrier.clone();
            std::thread::spawn(move || {
                let _ = lockstep::runtime::request_realtime();
                let mut released = Vec::with_capacity(starts);
                for _ in 0..starts {
                    // As motors come: not all at once.
                    std::thread::sleep(std::time::Duration::from_micros(200 + 37 * i as u64));
                    barrier.wait();
                    released.push(zero.elapsed().as_nanos() as u64);
                }
                released
            })
        })
        .collect();
    let released: Vec<_> = threads.into_iter().filter_map(|t| t.join().ok()).collect();
    spreads(&released, starts)
}
