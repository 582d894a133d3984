//! The command line: what can be asked for, and the subcommands, one file each.
//!
//! A subcommand gives back the exit status, or a [`CliError`] that knows its own; only `main` prints
//! errors and ends the process.

#[cfg(all(feature = "service", unix))]
mod calibrate;
pub mod check;
#[cfg(all(feature = "service", unix))]
mod client;
mod doctor;
mod error;
mod header;
pub mod init;
mod json;
pub mod logging;
mod outputs;
mod pages;
#[cfg(feature = "plot")]
mod plot;
mod preflight;
mod progress;
#[cfg(all(feature = "service", target_os = "linux"))]
mod raw;
#[cfg(all(feature = "service", unix))]
mod replies;
mod run;
mod safe;
mod selftest;
#[cfg(all(feature = "service", unix))]
mod serve;
#[cfg(all(feature = "service", unix))]
mod servo_file;
mod shared;
mod signals;
mod simulate;
mod table;
mod trace_file;
mod verify;
#[cfg(all(feature = "service", unix))]
mod watch;
mod wiring;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::board::Model;
use crate::config::Loaded;

pub use error::CliError;

/// The exit status of what was carried out, or stopped in good order.
pub const DONE: u8 = 0;
/// The exit status where a motor failed.
pub const FAILED: u8 = 1;
/// The exit status of wrong usage or a wrong config.
pub const USAGE: u8 = 2;
/// The exit status where no service runs to talk to.
pub const NO_SERVICE: u8 = 4;
/// The exit status where the hardware is not there or refuses.
pub const HARDWARE: u8 = 3;

/// The config that commands read where none is named.
pub const DEFAULT_CONFIG: &str = "/etc/lockstep/lockstep.toml";

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

const AFTER_HELP: &str = "\
Examples:
  lockstep init servo my-servo.toml             a config to start from
  lockstep check my-servo.toml                  is it right, and what to wire
  lockstep simulate -c my-servo.toml            in virtual time: done at once
  lockstep run --backend sim -c my-servo.toml   in real time, without hardware
  lockstep run -c my-servo.toml                 the real motors

Signals: the first SIGINT (Ctrl-C), SIGTERM or SIGHUP brings every motor to rest \
on its path and ends the program; a second one stands them still after their last \
whole pulse. That is no safety function: motor power needs a switch of its own.

Exit status: 0 done, or stopped by a signal in good order; 1 a motor failed; \
2 wrong usage or a wrong config; 3 the hardware is not there, or may not be used.";

/// The whole command line.
#[derive(Parser, Debug)]
#[command(
    name = "lockstep",
    version,
    about = "Drives hobby servos and stepper axes from a Raspberry Pi's header: a thread for each motor, \
             one time line for each move. It simulates them, too.",
    after_help = AFTER_HELP,
    max_term_width = 100
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Log more: -v what happens, -vv every detail. RUST_LOG is heeded where neither is given
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,
    /// Log errors only, and show no progress
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Output")]
    pub quiet: bool,
}

/// The subcommands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Write a commented config to start from
    Init(InitArgs),
    /// Check configs; print what to wire and to write into config.txt
    Check(CheckArgs),
    /// Run a program: on a Raspberry Pi's header, or in real time on the simulator
    Run(run::RunArgs),
    /// Run a program in virtual time, as fast as this computer goes
    Simulate(simulate::SimulateArgs),
    /// Own the motors and serve clients on a socket, until a signal
    #[cfg(all(feature = "service", unix))]
    Serve(serve::ServeArgs),
    #[cfg(all(feature = "service", unix))]
    #[command(flatten)]
    Client(client::ClientCommand),
    /// Make every output safe after a run that died: signals off, drivers off, loads held
    Safe(safe::SafeArgs),
    /// Drive each output through its range, motors unpowered, and look at its pin
    Selftest(selftest::SelftestArgs),
    /// Read this machine, and say line by line ok or what to do
    Doctor(doctor::DoctorArgs),
    /// Prove a trace against a config: every pulse, count, limit and line
    Verify(verify::VerifyArgs),
    /// Draw a trace: position, speed, acceleration and path
    #[cfg(feature = "plot")]
    Plot(plot::PlotArgs),
    /// Print what a shell needs to complete this program's commands
    Completions(pages::CompletionsArgs),
    /// Write the manual pages
    Man(pages::ManArgs),
}

/// `lockstep init`.
#[derive(Args, Debug)]
pub struct InitArgs {
    /// What for: servo, 28byj48 (a small geared stepper), drv8825 (one stepper axis) or xyz (three)
    kind: String,
    /// Where to write it; it must not be there yet [default: standard output]
    file: Option<PathBuf>,
    /// The pin of the servo's signal, or of the driver's STEP: its GPIO number, not its header pin
    #[arg(long, value_name = "N")]
    gpio: Option<u8>,
}

/// `lockstep check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// The configs to check
    #[arg(default_value = DEFAULT_CONFIG)]
    files: Vec<PathBuf>,
    /// Check the pins for this board, whatever the files say, such as pi-5
    #[arg(long, value_parser = board)]
    board: Option<Model>,
    /// Say how long this program takes, how far each motor goes, and how near its limits
    #[arg(long, value_name = "NAME")]
    program: Option<String>,
    /// Print one JSON object instead of text
    #[arg(long, help_heading = "Output")]
    json: bool,
}

fn board(name: &str) -> Result<Model, String> {
    let found = Model::ALL.into_iter().find(|m| m.short_name() == name);
    let known = || Model::ALL.map(Model::short_name).join(", ");
    found.ok_or_else(|| format!("write one of {}", known()))
}

/// Reads the command line. Wrong usage, `--help` and `--version` end the process here.
pub fn parse() -> Cli {
    let matches = Cli::command().get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|e| e.exit())
}

/// Carries out what was asked for, and says the exit status.
///
/// # Errors
///
/// It could not begin, or not end as it should; the error knows its exit status.
pub fn run(cli: Cli) -> Result<u8, CliError> {
    match cli.command {
        Command::Init(args) => print(&init::init(&args.kind, args.gpio, args.file.as_deref())),
        Command::Check(args) => {
            let program = args.program.as_deref();
            let options = check::Options { board: args.board, json: args.json, program };
            let look = |loaded: &Loaded| shared::look_at_plans(&loaded.config, program, &|| false);
            print(&check::check(&args.files, options, &look))
        }
        Command::Run(args) => run::run(&args, cli.quiet),
        #[cfg(all(feature = "service", unix))]
        Command::Serve(args) => serve::serve(&args, cli.quiet),
        #[cfg(all(feature = "service", unix))]
        Command::Client(command) => client::client(command),
        Command::Simulate(args) => simulate::simulate(&args, cli.quiet),
        Command::Safe(args) => safe::safe(&args),
        Command::Selftest(args) => selftest::selftest(&args),
        Command::Doctor(args) => doctor::doctor(&args, cli.quiet),
        Command::Verify(args) => verify::verify(&args),
        #[cfg(feature = "plot")]
        Command::Plot(args) => plot::plot(&args, cli.quiet),
        Command::Completions(args) => pages::completions(&args),
        Command::Man(args) => pages::man(&args),
    }
}

fn print(report: &Report) -> Result<u8, CliError> {
    to_stdout(&report.out)?;
    logging::say(format_args!("{}", report.err.trim_end()));
    Ok(report.status)
}

/// Writes a result to standard output. Where nobody reads it any more, that is no error.
fn to_stdout(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(CliError::Output(e)),
        _ => Ok(()),
    }
}

/// How many letters a line may have: as the terminal is wide. Where no terminal shows it there is no end to it.
fn room() -> usize {
    let terminal = console::Term::stdout().size_checked().filter(|_| io::stdout().is_terminal());
    terminal.map_or(ENDLESS, |(_, columns)| usize::from(columns).max(40))
}

/// Longer than any line; the standard library knows no greater width.
const ENDLESS: usize = u16::MAX as usize;

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a terminal has 80 columns, what stands below the help is folded where it may be, and nowhere else: an
    /// example is a line of at most 79, and a paragraph is one line of any length.
    #[test]
    fn notes_are_not_ragged_at_80_columns() {
        fn look(command: &clap::Command) {
            let notes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let lines: Vec<&str> = notes.lines().collect();
            for (i, line) in lines.iter().enumerate() {
                let example = line.starts_with(' ');
                assert!(!example || line.chars().count() <= 79, "{}: {line}", command.get_name());
                let next = lines.get(i + 1).copied().unwrap_or_default();
                let ends = next.is_empty() || next.starts_with(' ') != line.starts_with(' ');
                assert!(example || line.is_empty() || ends, "{}: {next}", command.get_name());
            }
            command.get_subcommands().for_each(look);
        }
        look(&Cli::command());
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        assert_eq!(board("pi-5"), Ok(Model::Pi5));
        assert!(board("pi-9").is_err_and(|e| e.contains("zero-2-w")));
    }
}
