//! A program looked through before anything moves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::look_through::{LookedThrough, first_stand};
use super::program::Program;
use super::usage::MotorUsage;
use crate::config::{Config, Span};
use crate::motor::MotorIndex;
use crate::moves::MoveError;

/// A program looked through before anything moves.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Preflight {
    /// What it takes, repetitions counted; `None`: it never ends, or is not known because of problems or since not
    /// all of it was looked through.
    pub duration: Option<Duration>,
    /// It waits for named events: that comes on top of the duration.
    pub waits: bool,
    /// The motors it moves, as indices into the config's motors: also those that only a program of `on-short` moves.
    pub motors: BTreeSet<MotorIndex>,
    /// What it asks of each motor that it moves.
    pub usage: Vec<MotorUsage>,
    /// What is wrong, in the order of the program; each with its place in the file.
    pub problems: Vec<Problem>,
    /// It was looked through no further than so many moves. What comes after them is looked at when it comes.
    pub beyond: Option<u64>,
}

/// A step that cannot be carried out.
#[derive(Clone, PartialEq, Debug)]
pub struct Problem {
    /// Where it stands in the config.
    pub span: Span,
    /// What is wrong.
    pub error: MoveError,
    /// What to write instead.
    pub help: String,
}

/// Looks through a program: every move is planned from where the one before ends, as the machine will
/// plan it, and checked against travel, limits and time-outs. A name that no program has gives an
/// empty answer.
///
/// Repetitions are looked through twice: from where the first begins, and from where each ends. A program that is
/// run many times is looked through once for each place that its motors begin at. All that ends after so many moves
/// ([`Preflight::beyond`]), however often programs run each other.
pub fn preflight(config: &Config, program: &str) -> Preflight {
    let config = Arc::new(config.clone());
    let Ok(program) = Program::new(&config, Some(program)) else { return Preflight::default() };
    LookedThrough::new(program, first_stand(&config), &|| false).preflight
}

#[cfg(test)]
mod tests {
    use super::*;

    const AXIS: &str = "[axis.x]\nstep = { gpio = 17 }\ndir = { gpio = 27 }\ndriver = \"drv8825\"\n\
        steps-per-revolution = 200\nmicrosteps = 16\ndistance-per-revolution = \"8mm\"\n\
        travel = { min = \"0mm\", max = \"200mm\" }\nmax-speed = \"50mm/s\"\n\
        max-acceleration = \"500mm/s^2\"\nmax-jerk = \"5000mm/s^3\"\nat-start = { assume = \"0mm\" }\n";

    fn usage(steps: &str) -> MotorUsage {
        let text = format!("{AXIS}[program.p]\nsteps = [ {steps} ]\n");
        let config = Config::from_str(&text, "test").unwrap().config;
        let preflight = preflight(&config, "p");
        assert_eq!(preflight.problems, []);
        preflight.usage[0]
    }

    #[test]
    fn distances_count_every_way_and_every_repetition() {
        let there = "{ move = { x = \"100mm\" } }";
        let back = "{ move = { x = \"0mm\" } }";
        let far = usage(there);
        assert!((far.distance - 100.0).abs() < 1e-6, "{far:?}");
        assert!((far.speed - 50.0).abs() < 1e-3 && far.speed_share <= 1.0 + 1e-9, "{far:?}");
        assert!((usage(&format!("{there}, {back}")).distance - 200.0).abs() < 1e-6);
        for (times, total) in [(1, 200.0), (2, 400.0), (7, 1400.0)] {
            let repeated = usage(&format!("{{ repeat = {times}, steps = [ {there}, {back} ] }}"));
            assert!((repeated.distance - total).abs() < 1e-6, "{times} times: {repeated:?}");
        }
        let endless = usage(&format!("{{ repeat = \"forever\", steps = [ {there}, {back} ] }}"));
        assert_eq!(endless.distance, f64::INFINITY);
        // 10 mm to where it begins, then three times there and back over 5 mm.
        let sweep = usage(
            "{ sweep = { x = [\"10mm\", \"15mm\"] }, step = \"1mm\", every = \"500ms\", times = 3 }",
        );
        assert!((sweep.distance - 40.0).abs() < 1e-6, "{sweep:?}");
    }
}
