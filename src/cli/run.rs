//! `lockstep run`: a program in real time, on the header or on the simulator.

use clap::{Args, ValueEnum};

use super::shared::{self, ProgramArgs, Show};
use super::{CliError, logging, signals};
use crate::board::Model;
use crate::hal::{Backend, HalError, identify_board};
use crate::machine::Machine;

const EXAMPLES: &str = "\
Examples:
  lockstep run --backend sim --config config/xyz-stage.toml     no hardware
  lockstep run wide --config config/servo-sweep.toml            the program `wide`
  lockstep run --backend sim --config config/two-servos.toml --for 3s --trace t.vcd

A program that never ends runs until a signal (Ctrl-C) or the time of --for ends it.";

/// `lockstep run`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RunArgs {
    #[command(flatten)]
    program: ProgramArgs,
    /// What the motors hang on
    #[arg(long, value_enum, default_value_t = Choice::Auto)]
    backend: Choice,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Choice {
    /// The header on a Raspberry Pi, else the simulator
    Auto,
    /// A Raspberry Pi's header, through rppal
    Rppal,
    /// The simulator, in real time
    Sim,
}

/// Carries it out, and says the exit status.
pub(super) fn run(args: &RunArgs, quiet: bool) -> Result<u8, CliError> {
    let stops = signals::catch()?;
    let board = choose(args.backend, quiet)?;
    let checked = shared::check(&args.program, board, board.is_some())?;
    let mut builder =
        Machine::builder(checked.config).stop_event(stops.stop).halt_event(stops.halt);
    let place = match board {
        Some(board) => {
            builder = builder.backend(header()?);
            format!("on the header of a {}", board.name())
        }
        None => "on the simulator, in real time".to_owned(),
    };
    let duration = args.program.duration.map(|d| d.0);
    let show = Show { args: &args.program, quiet, place };
    shared::carry_out(builder, &checked.program, duration, &show, |_| Ok(()))
}

/// The board whose header is to be driven; `None`: the simulator.
fn choose(choice: Choice, quiet: bool) -> Result<Option<Model>, CliError> {
    let can = cfg!(target_os = "linux");
    match (choice, identify_board()) {
        (Choice::Sim, _) => Ok(None),
        (Choice::Rppal, _) if !can => {
            let said = Some(std::env::consts::OS.to_owned());
            Err(HalError::UnknownBoard { said }.into())
        }
        (Choice::Rppal, board) => Ok(Some(board?)),
        (Choice::Auto, Ok(board)) if can => {
            note(quiet, &format!("running on the header of this {}", board.name()));
            Ok(Some(board))
        }
        (Choice::Auto, _) => {
            note(quiet, "this is no Raspberry Pi: running on the simulator");
            Ok(None)
        }
    }
}

fn note(quiet: bool, text: &str) {
    if !quiet {
        logging::say(format_args!("note: {text}"));
    }
}

#[cfg(target_os = "linux")]
fn header() -> Result<Box<dyn Backend>, CliError> {
    Ok(Box::new(crate::hal::RppalBackend::open()?))
}

#[cfg(not(target_os = "linux"))]
fn header() -> Result<Box<dyn Backend>, CliError> {
    Err(HalError::UnknownBoard { said: Some(std::env::consts::OS.to_owned()) }.into())
}
