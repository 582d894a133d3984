//! Which header a command drives, and that nobody else does.

use clap::ValueEnum;

use super::CliError;
use crate::board::Model;
#[cfg(target_os = "linux")]
use crate::claim::Claim;
#[cfg(target_os = "linux")]
use crate::config::{Config, Source};
use crate::hal::{Backend, HalError, Supply, SysSupply, identify_board};
#[cfg(target_os = "linux")]
use crate::safe;

/// What the motors hang on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Choice {
    Auto,
    Rppal,
    Sim,
}

/// The board whose header is to be driven; `None`: the simulator.
pub(super) fn choose(choice: Choice) -> Result<Option<Model>, CliError> {
    match (choice, identify_board()) {
        (Choice::Sim, _) => Ok(None),
        (Choice::Auto, board) => Ok(board.ok().filter(|_| cfg!(target_os = "linux"))),
        (Choice::Rppal, board) if cfg!(target_os = "linux") => Ok(Some(board?)),
        (Choice::Rppal, _) => Err(no_header().into()),
    }
}

/// Makes sure that nobody else drives the header, and keeps the config for `lockstep safe`. A run whose
/// config can't be kept runs nevertheless.
#[cfg(target_os = "linux")]
pub(super) fn claim(source: &Source, config: &Config, board: Model) -> Result<Claim, CliError> {
    let mut claim = Claim::take()?;
    claim.drive();
    match claim.keep(source.text(), &file_of(source), &outputs_of(config, board)) {
        Ok(Some(path)) => log::info!("this config is kept as {}", path.display()),
        Ok(None) => log::info!(
            "this config is kept nowhere, since this user may not write to /run/lockstep: should this \
             program be killed, name it to `lockstep safe`"
        ),
        Err(error) => log::warn!(
            "this config can't be kept ({error}): should this program be killed, name it to \
             `lockstep safe`"
        ),
    }
    Ok(claim)
}

/// The list of a config's outputs, for `lockstep safe`.
#[cfg(target_os = "linux")]
pub(super) fn outputs_of(config: &Config, board: Model) -> String {
    safe::list::write(&safe::with_chips(safe::list::of(config), board))
}

/// The file of a config, from the root on.
#[cfg(target_os = "linux")]
pub(super) fn file_of(source: &Source) -> String {
    let file = std::path::absolute(source.name()).unwrap_or_else(|_| source.name().into());
    file.display().to_string()
}

/// What says whether the supply is well: the board whose header is driven, or the folder in
/// `$LOCKSTEP_SYS` in place of `/sys`. None where nothing does.
pub(super) fn supply(board: Option<Model>) -> Option<Box<dyn Supply>> {
    let given = std::env::var_os("LOCKSTEP_SYS").map(std::path::PathBuf::from);
    let sys = given.or_else(|| board.map(|_| "/sys".into()))?;
    SysSupply::find(&sys).map(|supply| Box::new(supply) as Box<dyn Supply>)
}

/// The header can only be driven from Linux.
pub(super) fn no_header() -> HalError {
    HalError::UnknownBoard { said: Some(std::env::consts::OS.to_owned()) }
}

/// Opens the header. No pin changes.
#[cfg(target_os = "linux")]
pub(super) fn open() -> Result<Box<dyn Backend>, CliError> {
    Ok(Box::new(crate::hal::RppalBackend::open()?))
}

/// There is none.
#[cfg(not(target_os = "linux"))]
pub(super) fn open() -> Result<Box<dyn Backend>, CliError> {
    Err(no_header().into())
}
