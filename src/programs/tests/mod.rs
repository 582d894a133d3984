mod bounds;
mod fake;
mod walks;

use std::sync::Arc;
use std::time::Duration;

use super::{Allowance, Branch, Program, Turn};
use crate::config::Config;
use fake::Fake;

/// Three linear axes and a servo. A millimetre is 400 steps.
fn motors() -> String {
    let axis = |name: &str, step: u8, dir: u8| {
        format!(
            "[axis.{name}]\nstep = {{ gpio = {step} }}\ndir = {{ gpio = {dir} }}\ndriver = \"drv8825\"\n\
             steps-per-revolution = 200\nmicrosteps = 16\ndistance-per-revolution = \"8mm\"\n\
             travel = {{ min = \"0mm\", max = \"200mm\" }}\nmax-speed = \"50mm/s\"\n\
             max-acceleration = \"500mm/s^2\"\nmax-jerk = \"5000mm/s^3\"\nat-start = {{ assume = \"0mm\" }}\n"
        )
    };
    axis("x", 17, 27)
        + &axis("y", 23, 24)
        + &axis("z", 25, 16)
        + "[servo.pan]\npwm = { gpio = 18 }\n"
}

fn config(programs: &str) -> Arc<Config> {
    let text = motors() + programs;
    Arc::new(Config::from_str(&text, "test").unwrap_or_else(|e| panic!("{e}")).config)
}

fn program(programs: &str) -> Program {
    Program::new(&config(programs), Some("p")).unwrap()
}

/// Runs it to its end; `seen` is told each turn, and what was asked for in it.
fn run(
    program: &Program,
    host: &mut Fake,
    mut seen: impl FnMut(&mut Fake, &Branch),
) -> Result<(), String> {
    let mut branch = Branch::root(program);
    for _ in 0..1_000_000 {
        let turn = branch.poll(host, &mut Allowance::default());
        seen(host, &branch);
        match turn {
            Turn::Done => return Ok(()),
            Turn::Again => {}
            Turn::Wait(at) => {
                let soon = host_now(host) + Duration::from_millis(100);
                host.advance(at.min(soon));
            }
        }
    }
    Err("it does not end".to_owned())
}

fn host_now(host: &Fake) -> crate::units::Instant {
    super::Host::now(host)
}
