//! `lockstep run`: a program in real time, on the header or on the simulator.

use clap::Args;

use super::header::{self, Choice};
use super::shared::{self, ProgramArgs, Show};
use super::{CliError, logging, signals};
use crate::machine::Machine;

const EXAMPLES: &str = "\
Examples:
  lockstep run --backend sim -c config/xyz-stage.toml   no hardware
  lockstep run wide -c config/servo-sweep.toml          the program `wide`
  lockstep run --backend sim -c config/two-servos.toml --for 3s --trace t.vcd

A program that never ends runs until a signal (Ctrl-C) or the time of --for ends it.";

/// `lockstep run`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RunArgs {
    #[command(flatten)]
    program: ProgramArgs,
    /// What the motors hang on: rppal, a Raspberry Pi's header; sim, the simulator in real time; auto,
    /// the header on a Raspberry Pi and elsewhere the simulator
    #[arg(long, value_enum, default_value_t = Choice::Auto, hide_possible_values = true)]
    backend: Choice,
}

/// Carries it out, and says the exit status.
pub(super) fn run(args: &RunArgs, quiet: bool) -> Result<u8, CliError> {
    let stops = signals::catch()?;
    let board = header::choose(args.backend)?;
    let checked = shared::check(&args.program, board, board.is_some())?;
    checked.say_if_too_long(quiet);
    if args.backend == Choice::Auto && !quiet {
        logging::say(match board {
            Some(board) => format!("note: running on the header of this {}", board.name()),
            None => "note: this is no Raspberry Pi: running on the simulator".to_owned(),
        });
    }
    #[cfg(target_os = "linux")]
    let _claim = board.map(|b| header::claim(&checked.source, &checked.config, b)).transpose()?;
    let fault = shared::test_fault(&checked.config)?;
    let mut builder = Machine::builder(checked.config)
        .stop_event(stops.stop)
        .halt_event(stops.halt)
        .test_fault(fault);
    let place = match board {
        Some(board) => {
            builder = builder.backend(header::open()?);
            format!("on the header of a {}", board.name())
        }
        None => "on the simulator, in real time".to_owned(),
    };
    builder = match header::supply(board) {
        Some(supply) => builder.supply(supply),
        None => builder,
    };
    let duration = args.program.duration.map(|d| d.0);
    let show = Show {
        args: &args.program,
        quiet,
        place,
        verify: false,
        deeds: Vec::new(),
        #[cfg(feature = "plot")]
        plot: None,
    };
    shared::carry_out(builder, &checked.program, duration, &show, |_| Ok(()))
}
