//! `lockstep`: moves servos and stepper axes from a Raspberry Pi's header, or on the simulator.

use std::process::ExitCode;

use anyhow::Context;
use lockstep::cli::{self, CliError, logging};

fn main() -> ExitCode {
    match start() {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            let known = error.downcast_ref::<CliError>();
            // Errors in a config bring their own place in front of them.
            match known {
                Some(CliError::Config(errors)) => logging::complain(errors),
                _ => logging::complain(format_args!("error: {error:#}")),
            }
            ExitCode::from(known.map_or(cli::FAILED, CliError::status))
        }
    }
}

fn start() -> anyhow::Result<u8> {
    let cli = cli::parse();
    logging::start(cli.verbose, cli.quiet).context("the log could not be set up")?;
    Ok(cli::run(cli)?)
}
