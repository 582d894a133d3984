//! `lockstep serve`: the service.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;

use super::header::{self, Choice};
use super::{CliError, DEFAULT_CONFIG, DONE, logging, shared, signals};
use crate::board::Model;
#[cfg(target_os = "linux")]
use crate::claim::Claim;
use crate::config::{Config, ConfigErrors, Diagnostic, Source};
use crate::machine::Machine;
use crate::service::{
    ConfigFile, Journal, Places, Reading, runtime_folder, serve as serve_machine, status_page,
};

const EXAMPLES: &str = "\
Examples:
  lockstep serve --backend sim -c config/xyz-stage.toml  on a laptop
  lockstep serve                                         as the systemd unit

The socket is for its owner and group alone (mode 0660). Whoever may write to it moves the motors. \
Files: control.sock, and status (the status page; NAME.status beside NAME.sock), in $RUNTIME_DIRECTORY, else in /run/lockstep, else \
in $XDG_RUNTIME_DIR/lockstep; `[service] group` in the config names another group. The journal in \
$STATE_DIRECTORY says how the service ended: where that was not clean, or in a fault, nothing moves \
until `lockstep clear`; after a power cut that is so unless `[machine] after-power-cut` says \"start\". \
With [power] in the config the board is asked once a second whether its supply is low; $LOCKSTEP_SYS \
is where to look in place of /sys.";

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
    /// Where to keep what outlives a restart: how the service ended, and where motors stood [default:
    /// $STATE_DIRECTORY; without either nothing does]
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
}

/// Serves until a signal, and says the exit status.
pub(super) fn serve(args: &ServeArgs, quiet: bool) -> Result<u8, CliError> {
    let stops = signals::catch()?;
    let board = header::choose(args.backend)?;
    let loaded = Config::from_file_for(&args.config, board).map_err(CliError::Config)?;
    let shared::LookedAt { errors, too_long } =
        shared::look_at_plans(&loaded.config, None, &|| false);
    too_long.iter().for_each(|line| log::warn!("{line}"));
    if !errors.is_empty() {
        return Err(CliError::Config(loaded.errors(errors)));
    }
    #[cfg(target_os = "linux")]
    let claim = board.map(|b| header::claim(&loaded.source, &loaded.config, b)).transpose()?;
    let config = Arc::new(FileConfig {
        path: args.config.clone(),
        board,
        #[cfg(target_os = "linux")]
        claim,
        read: Mutex::default(),
    });
    let socket = args.socket.clone().unwrap_or_else(|| runtime_folder().join("control.sock"));
    let page = status_page(&socket);
    let state = args.state.clone().or_else(|| {
        let folders = std::env::var_os("STATE_DIRECTORY").filter(|v| !v.is_empty())?;
        // systemd separates several by colons.
        std::env::split_paths(&folders).next()
    });
    let journal = state.map(|folder| journal(&folder, board, &config));
    let places = journal.as_ref().map(|j| j.places(&loaded.config)).unwrap_or_default();
    let nowhere = match &journal {
        None => Some("name a folder with --state, or in $STATE_DIRECTORY".to_owned()),
        Some(journal) => journal.forgets().map(|kind| {
            format!(
                "{} is on {kind}, which forgets: name one on a disk",
                journal.folder().display()
            )
        }),
    };
    if let (Some(why), Some(motor)) =
        (nowhere, loaded.config.motors.iter().find(|m| m.keeps_place()))
    {
        log::warn!("{}: its place is kept nowhere: {why}", motor.name);
    }
    // The service ends by the first signal; the machine itself is stopped by it, not by the event.
    let fault = shared::test_fault(&loaded.config)?;
    let mut builder =
        Machine::builder(loaded.config).halt_event(stops.halt).restore(places).test_fault(fault);
    if board.is_some() {
        builder = builder.backend(header::open()?);
    }
    if let Some(supply) = header::supply(board) {
        builder = builder.supply(supply);
    }
    let machine = builder.build()?;
    let places = Places { socket, page: Some(page), config: Some(config), journal };
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

/// The journal in that folder, as it was left.
fn journal(folder: &Path, board: Option<Model>, config: &FileConfig) -> Journal {
    let backend = if board.is_some() { "rppal" } else { "sim" };
    let owned = |signature: Option<&str>| signature.map(str::to_owned);
    #[cfg(target_os = "linux")]
    let (drives, drove) = config
        .claim
        .as_ref()
        .map_or((None, None), |claim| (owned(claim.signature()), owned(claim.drove())));
    #[cfg(not(target_os = "linux"))]
    let (drives, drove) = (owned(None), owned(None));
    let _ = config;
    let journal = Journal::read(folder, backend, drives, drove);
    // For tests: another boot of the same machine.
    match std::env::var("LOCKSTEP_TEST_BOOT") {
        Ok(boot) => journal.in_boot(&boot),
        Err(_) => journal,
    }
}

/// The file that the service was started with, and its copy for `lockstep safe`.
#[derive(Debug)]
struct FileConfig {
    path: PathBuf,
    /// The board whose header is driven; `None`: the simulator.
    board: Option<Model>,
    #[cfg(target_os = "linux")]
    claim: Option<Claim>,
    /// The text that was read last, and the list of its outputs.
    read: Mutex<Option<(Source, String)>>,
}

impl ConfigFile for FileConfig {
    fn read(&self, reading: &Reading) -> Result<Config, Vec<String>> {
        let told = |errors: ConfigErrors| {
            errors.diagnostics.iter().map(|d| first_line(&errors.source, d)).collect::<Vec<_>>()
        };
        let loaded = Config::from_file_for(&self.path, self.board).map_err(told)?;
        reading.has_text();
        let shared::LookedAt { errors, too_long } =
            shared::look_at_plans(&loaded.config, None, &|| reading.is_unwanted());
        if !reading.is_unwanted() {
            too_long.iter().for_each(|line| log::warn!("{line}"));
        }
        if !errors.is_empty() {
            return Err(told(loaded.errors(errors)));
        }
        #[cfg(target_os = "linux")]
        let outputs = self.board.map(|board| header::outputs_of(&loaded.config, board));
        #[cfg(not(target_os = "linux"))]
        let outputs = None;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        // A later reading may have put its own there.
        if !reading.is_unwanted() {
            *read = Some((loaded.source, outputs.unwrap_or_default()));
        }
        Ok(loaded.config)
    }

    #[cfg(target_os = "linux")]
    fn changing(&self) {
        let source = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(claim), Some((source, outputs))) = (&self.claim, source.as_ref())
            && let Err(e) = claim.changing(source.text(), &header::file_of(source), outputs)
        {
            log::warn!("the new config can't be kept for `lockstep safe`: {e}");
        }
    }

    #[cfg(target_os = "linux")]
    fn changed(&self, holds: bool) {
        if let Some(claim) = &self.claim
            && let Err(e) = claim.changed(holds)
        {
            log::warn!("the config that is kept for `lockstep safe` can't be replaced: {e}");
        }
    }
}

/// `FILE:LINE:COLUMN: error: ...`, without the line it speaks of.
fn first_line(source: &Source, diagnostic: &Diagnostic) -> String {
    diagnostic.display(source).to_string().lines().next().unwrap_or_default().to_owned()
}
