//! Three axes at once, each outcome handled as it comes, the failed ones named, on the simulator.
//!
//! `cargo run --example xyz_stage`

use std::time::Duration;

use lockstep::config::{Config, OnFault};
use lockstep::machine::{Machine, Move, Outcome};
use lockstep::units::Length;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::from_file("config/xyz-stage.toml")?.config;
    let mut machine = Machine::builder(config).build()?;
    // One of them fails on the way: the others go on.
    machine.inject_fault("y", Duration::from_millis(300))?;
    let mut moves = Vec::new();
    for (axis, target) in [("x", 20.0), ("y", 15.0), ("z", 5.0)] {
        let there = Move::new().to(axis, Length(target)).on_fault(OnFault::Continue);
        moves.push(machine.start(&there.timeout(Duration::from_secs(5)))?);
    }
    while let Some(done) = machine.next_outcome(&moves) {
        match done.outcome {
            Outcome::Reached => println!("{} is at {} mm", done.motor, done.position),
            Outcome::Short { by, cause } => {
                println!("{} failed: {by} mm short, {cause}", done.motor)
            }
        }
    }
    Ok(())
}
