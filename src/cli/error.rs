use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::{FAILED, HARDWARE, USAGE};
#[cfg(target_os = "linux")]
use crate::claim::ClaimError;
use crate::config::ConfigErrors;
use crate::hal::HalError;
use crate::machine::MachineError;
#[cfg(all(feature = "service", unix))]
use crate::protocol::ErrorCode;

/// Why a command could not be carried out.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CliError {
    /// The config is wrong, or its program can't be carried out as it is written.
    #[error("{0}")]
    Config(ConfigErrors),
    /// The arguments ask for what is not there.
    #[error("{0}")]
    Usage(String),
    /// The machine could not be built, or refused the program.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The hardware is not there, or may not be used.
    #[error(transparent)]
    Hardware(#[from] HalError),
    /// Another process drives the header.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The service refused, or there is none.
    #[cfg(all(feature = "service", unix))]
    #[error(transparent)]
    Client(#[from] crate::client::ClientError),
    /// The service could not begin.
    #[cfg(all(feature = "service", unix))]
    #[error(transparent)]
    Serve(#[from] crate::service::ServeError),
    /// The trace can't be written.
    #[error("can't write the trace {} ({error}): name a file in a folder that you may write to", file.display())]
    Trace {
        /// The file, as it was named.
        file: PathBuf,
        /// What the system answered.
        error: io::Error,
    },
    /// The trace could not be written to its end.
    #[error("the trace {} could not be written to its end: {error}", file.display())]
    TraceCutOff {
        /// The file, as it was named.
        file: PathBuf,
        /// What the system answered.
        error: io::Error,
    },
    /// A trace that is to be looked at can't be read, or does not fit its config.
    #[error("{}: {error}", file.display())]
    Unreadable {
        /// The file, as it was named.
        file: PathBuf,
        /// What is wrong, and where.
        error: String,
    },
    /// A picture can't be written.
    #[error("can't write the picture {} ({error}): name a file in a folder that you may write to", file.display())]
    Picture {
        /// The file, as it was named.
        file: PathBuf,
        /// What the system answered.
        error: io::Error,
    },
    /// The manual pages can't be written.
    #[error("can't write the pages into {} ({error}): name a folder that you may write to", file.display())]
    Page {
        /// Their folder.
        file: PathBuf,
        /// What the system answered.
        error: io::Error,
    },
    /// Standard output refused.
    #[error("standard output: {0}")]
    Output(io::Error),
    /// The signals could not be taken over.
    #[error("the signals that end the program can't be caught ({0}): nothing was started")]
    Signals(String),
}

impl CliError {
    /// The exit status that goes with it.
    pub fn status(&self) -> u8 {
        match self {
            CliError::Config(_)
            | CliError::Usage(_)
            | CliError::Trace { .. }
            | CliError::Picture { .. }
            | CliError::Page { .. }
            | CliError::Unreadable { .. } => USAGE,
            CliError::Machine(error) => match error {
                MachineError::Hal { .. }
                | MachineError::Backend(_)
                | MachineError::Claimed { .. }
                | MachineError::FaultAtStart { .. }
                | MachineError::NeedsRealtime { .. }
                | MachineError::Unprovable { .. }
                | MachineError::Threads(_) => HARDWARE,
                MachineError::UnknownProgram { .. }
                | MachineError::NoProgram { .. }
                | MachineError::Preflight(_)
                | MachineError::Move(_) => USAGE,
            },
            CliError::Hardware(_) => HARDWARE,
            #[cfg(all(feature = "service", unix))]
            CliError::Client(error) => match error {
                crate::client::ClientError::Refused(reply) => match reply.code {
                    // What was asked for makes no sense here: nothing has moved.
                    ErrorCode::UnknownMotor
                    | ErrorCode::WrongMotor
                    | ErrorCode::UnknownProgram
                    | ErrorCode::UnknownMove
                    | ErrorCode::BadValue
                    | ErrorCode::Limit
                    | ErrorCode::Config => USAGE,
                    _ => FAILED,
                },
                crate::client::ClientError::Denied(_)
                | crate::client::ClientError::Foreign { .. } => HARDWARE,
                _ => super::NO_SERVICE,
            },
            #[cfg(all(feature = "service", unix))]
            CliError::Serve(_) => HARDWARE,
            #[cfg(target_os = "linux")]
            CliError::Claim(_) => HARDWARE,
            CliError::TraceCutOff { .. } | CliError::Output(_) | CliError::Signals(_) => FAILED,
        }
    }
}
