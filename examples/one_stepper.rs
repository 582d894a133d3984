//! One stepper behind a DRV8825, on a screw of 8 mm lead: there and back, on the simulator.
//!
//! `cargo run --example one_stepper`

use lockstep::config::{Axis, Config};
use lockstep::machine::{Machine, Move};
use lockstep::units::{Acceleration, Length, Speed};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let x = Axis::step_dir(17, 27)
        .driver("drv8825", 16)
        .distance_per_revolution(Length(8.0))
        .travel(Length(0.0), Length(200.0))
        .limits(Speed(50.0), Acceleration(500.0))
        .assume(Length(0.0));
    let config = Config::build("one-stepper").axis("x", x).finish()?;
    let mut machine = Machine::builder(config).build()?;
    for (target, speed) in [(25.0, 1.0), (0.0, 0.5)] {
        let id = machine.start(&Move::new().to("x", Length(target)).speed(speed))?;
        for motor in machine.wait(id).motors {
            println!("{}: {:?}, {:?} steps", motor.motor, motor.outcome, motor.steps);
        }
    }
    Ok(())
}
