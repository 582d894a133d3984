//! `lockstep serve`: the service.

use std::path::PathBuf;

use clap::Args;

use super::header::{self, Choice};
use super::{CliError, DEFAULT_CONFIG, DONE, logging, shared, signals};
use crate::config::Config;
use crate::machine::Machine;
use crate::service::{Places, runtime_folder, serve as serve_machine};

const EXAMPLES: &str = "\
Examples:
  lockstep serve --backend sim --config config/xyz-stage.toml     on a laptop
  lockstep serve                                                  as the systemd unit does

The socket is for its owner and group alone (mode 0660). Whoever may write to it moves the motors.
Files: control.sock, and status (the status page), in $RUNTIME_DIRECTORY, else in /run/lockstep, else
in $XDG_RUNTIME_DIR/lockstep. In $STATE_DIRECTORY the service notes that it runs: where it finds that
note at its start, it ended uncleanly, and nothing moves until `lockstep clear`.";

/// `lockstep serve`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ServeArgs {
    /// The config
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// What the motors hang on: rppal, a Raspberry Pi's header; sim, the simulator; auto, the header on
    /// a Raspberry Pi and elsewhere the simulator
    #[arg(long, value_enum, default_value_t = Choice::Auto, hide_possible_values = true)]
    backend: Choice,
    /// Where to listen
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// Serves until a signal, and says the exit status.
pub(super) fn serve(args: &ServeArgs, quiet: bool) -> Result<u8, CliError> {
    let stops = signals::catch()?;
    let board = header::choose(args.backend)?;
    let loaded = Config::from_file_for(&args.config, board).map_err(CliError::Config)?;
    let errors = shared::plan_errors(&loaded.config, None);
    if !errors.is_empty() {
        return Err(CliError::Config(loaded.errors(errors)));
    }
    #[cfg(target_os = "linux")]
    let _claim = board.is_some().then(|| header::claim(&loaded.source)).transpose()?;
    let folder = runtime_folder();
    let socket = args.socket.clone().unwrap_or_else(|| folder.join("control.sock"));
    let page = socket.with_file_name("status");
    let state = std::env::var_os("STATE_DIRECTORY").map(PathBuf::from);
    let places = Places { socket, page: Some(page), state };
    // The service ends by the first signal; the machine itself is stopped by it, not by the event.
    let fault = shared::test_fault(&loaded.config)?;
    let mut builder = Machine::builder(loaded.config).halt_event(stops.halt).test_fault(fault);
    if board.is_some() {
        builder = builder.backend(header::open()?);
    }
    if let Some(supply) = header::supply(board) {
        builder = builder.supply(supply);
    }
    let machine = builder.build()?;
    if !quiet {
        logging::say(format_args!(
            "serving {} on {}, {}",
            machine.config().machine.name,
            places.socket.display(),
            board.map_or("with the simulator".to_owned(), |b| format!(
                "on the header of this {}",
                b.name()
            )),
        ));
    }
    let waker = machine.waker();
    let stop = stops.stop.clone();
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            // Until the first signal; the process ends with the service.
            while !stop.wait(std::time::Duration::from_secs(3600)) {}
            waker.wake();
        })
        .map_err(|e| CliError::Signals(e.to_string()))?;
    serve_machine(machine, &places, &stops.stop)?;
    Ok(DONE)
}
