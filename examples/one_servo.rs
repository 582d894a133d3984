//! One servo on GPIO18: three angles, one after another, on the simulator.
//!
//! `cargo run --example one_servo`

use lockstep::config::{Config, Servo};
use lockstep::machine::{Machine, Move};
use lockstep::units::{Angle, AngularAcceleration, AngularSpeed};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pan = Servo::on_gpio(18)
        .range(Angle(-45.0), Angle(45.0))
        .limits(AngularSpeed(300.0), AngularAcceleration(3000.0));
    let config = Config::build("one-servo").servo("pan", pan).finish()?;
    let mut machine = Machine::builder(config).build()?;
    for angle in [-45.0, 30.0, 0.0] {
        let id = machine.start(&Move::new().to("pan", Angle(angle)))?;
        for motor in machine.wait(id).motors {
            println!("{}: {:?} at {} deg", motor.motor, motor.outcome, motor.position);
        }
    }
    machine.finish();
    Ok(())
}
