//! The subcommands of the program, as functions that return text and an exit status.

pub mod check;
pub mod init;
mod wiring;

/// What a subcommand has to say, and the status to exit with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// For standard output, with its final newline.
    pub out: String,
    /// For standard error, with its final newline.
    pub err: String,
    /// The exit status: 0 done, 2 usage or config.
    pub status: u8,
}
