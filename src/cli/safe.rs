//! `lockstep safe`: the last resort after a run that could not see to its own end.

use std::path::PathBuf;

use clap::Args;

use super::{CliError, DEFAULT_CONFIG};

const EXAMPLES: &str = "\
Examples:
  sudo lockstep safe                 after a crash, or a kill -9

In a systemd unit:
  ExecStopPost=/usr/bin/lockstep safe --config %E/lockstep/lockstep.toml

STEP lines go low, coils and enable lines go off, PWM signals end after a whole pulse. DIR lines \
stay as they are; so does the enable line of an axis with `holds-load`. Run it as often as you like.

It goes by the list of outputs that `run` or `serve` has kept with the config that it accepted last, \
in $RUNTIME_DIRECTORY, else in /run/lockstep, else in $XDG_RUNTIME_DIR/lockstep; else by that config, \
whichever release has accepted it, as far as it can be read; by FILE only where there is none.

Exit status: 0 all outputs are safe; 2 there is no config; 3 an output could not be made safe (it \
is named, and the others are safe), or another lockstep is alive and drives this header.";

/// `lockstep safe`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub struct SafeArgs {
    /// The config, where no run has left the one that it accepted
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// Also while another lockstep is alive: it is not asked, and may switch on again what this
    /// switches off
    #[arg(long)]
    force: bool,
    /// Print one JSON object instead of lines
    #[arg(long, help_heading = "Output")]
    json: bool,
}

#[cfg(not(target_os = "linux"))]
pub(super) fn safe(_args: &SafeArgs) -> Result<u8, CliError> {
    Err(super::header::no_header().into())
}

#[cfg(target_os = "linux")]
pub(super) use on_linux::safe;

#[cfg(target_os = "linux")]
mod on_linux {
    use serde_json::{Value, json};

    use super::super::{DONE, HARDWARE, logging, signals, to_stdout};
    use super::*;
    use crate::board::{Model, PwmOutput};
    use crate::claim::{Accepted, Claim, last_accepted};
    use crate::config::{Config, ConfigErrors, Port, Why};
    use crate::hal::{Level, SignalEnd, identify_board};
    use crate::safe::list::{self, join, parse};
    use crate::safe::{Did, MadeSafe, SafeOutput, lenient, make_safe};

    /// Carries it out, and says the exit status.
    pub(in super::super) fn safe(args: &SafeArgs) -> Result<u8, CliError> {
        // Whoever has begun to make outputs safe finishes it: no signal ends this in the middle.
        let _deaf = signals::catch()?;
        let board = identify_board()?;
        let _claim = if args.force { None } else { Some(Claim::take()?) };
        let chosen = choose(args, board)?;
        if !args.json {
            to_stdout(&format!("config: {}\n", chosen.said))?;
        }
        let mut broken_pipe = Ok(());
        let mut told = |made: &MadeSafe| {
            if !args.json && broken_pipe.is_ok() {
                broken_pipe = to_stdout(&format!("{}\n", line(made)));
            }
        };
        let all = make_safe(&chosen.outputs, board, &mut told);
        for made in &all {
            if let Err(error) = &made.result {
                logging::say(format_args!("error: {} is not safe: {error}", name(made)));
            }
        }
        let failed = all.iter().filter(|m| m.result.is_err()).count();
        if args.json {
            to_stdout(&format!("{}\n", object(&chosen, &all)))?;
        } else if failed == 0 {
            to_stdout("safe\n")?;
        } else {
            to_stdout(&format!("not safe: {failed} of {} outputs\n", all.len()))?;
        }
        broken_pipe?;
        Ok(if failed == 0 { DONE } else { HARDWARE })
    }

    /// What to go by.
    struct Chosen {
        outputs: Vec<SafeOutput>,
        /// The file that they are from.
        file: String,
        /// The same, and where that came from, for people.
        said: String,
        accepted: bool,
    }

    fn choose(args: &SafeArgs, board: Model) -> Result<Chosen, CliError> {
        let file = args.config.display().to_string();
        if let Some(accepted) = last_accepted() {
            let from = accepted.came_from.as_ref().map(|f| format!(", accepted from {f}"));
            let path = accepted.path.display().to_string();
            match outputs(&accepted, board) {
                Ok(mut outputs) => {
                    let mut said = path.clone() + &from.unwrap_or_default();
                    if let Some(next) = next(&accepted, board) {
                        outputs = join(outputs, next);
                        said += ", and the one that was to follow it";
                    }
                    return Ok(Chosen { outputs, file: path, said, accepted: true });
                }
                Err(errors) => {
                    // Whatever has spoiled the text, the list beside it is whole.
                    let list = accepted.any_outputs().and_then(parse);
                    let counts = if list.is_some() { "its list of outputs" } else { &file };
                    logging::say(format_args!(
                        "warning: the config that was kept can't be read, so {counts} counts\n{errors}"
                    ));
                    if let Some(outputs) = list {
                        let said = format!("the list of outputs beside {path}");
                        return Ok(Chosen { outputs, file: path, said, accepted: true });
                    }
                }
            }
        }
        let outputs = match Config::from_file_for(&args.config, Some(board)) {
            Ok(loaded) => list::of(&loaded.config),
            Err(errors) => match lenient::outputs(errors.source.text()) {
                outputs if outputs.is_empty() => return Err(CliError::Config(errors)),
                outputs => {
                    as_far_as(&file, &errors);
                    outputs
                }
            },
        };
        Ok(Chosen { outputs, said: file.clone(), file, accepted: false })
    }

    /// The outputs that were driven: by the list that was kept with the config; else by the config; else
    /// by as much of it as can be read, where another release has accepted it.
    fn outputs(accepted: &Accepted, board: Model) -> Result<Vec<SafeOutput>, ConfigErrors> {
        if let Some(outputs) = accepted.outputs().and_then(parse) {
            return Ok(outputs);
        }
        let path = accepted.path.display().to_string();
        match Config::from_str_for(&accepted.text, &path, Some(board)) {
            Ok(loaded) => Ok(list::of(&loaded.config)),
            Err(errors) => match lenient::outputs(&accepted.text) {
                outputs if outputs.is_empty() => Err(errors),
                outputs => {
                    as_far_as(&path, &errors);
                    Ok(outputs)
                }
            },
        }
    }

    /// The outputs of the config that was about to follow when the service died.
    fn next(accepted: &Accepted, board: Model) -> Option<Vec<SafeOutput>> {
        let next = accepted.changing()?;
        let path = next.path.display().to_string();
        let warn = |e| logging::say(format_args!("warning: {path} does not count\n{e}"));
        outputs(next, board).map_err(warn).ok()
    }

    fn as_far_as(path: &str, errors: &ConfigErrors) {
        logging::say(format_args!(
            "warning: {path} is not for this release: its pins, levels and loads count as far as they can \
             be read\n{errors}"
        ));
    }

    fn name(made: &MadeSafe) -> String {
        let output = &made.output;
        format!("{} ({} {})", output.port, output.motors.join(", "), output.function)
    }

    fn what(did: Did) -> &'static str {
        match did {
            Did::Set(Level::Low) => "low",
            Did::Set(Level::High) => "high",
            Did::Signal(SignalEnd::WasOff) => "no signal",
            Did::Signal(SignalEnd::Ended) => "signal ended: width 0, a period, off",
            Did::Signal(SignalEnd::Cut) => "signal off; its last pulse may have been cut",
            Did::Left(Why::Harmless) => "left as it is",
            Did::Left(Why::HoldsLoad) => "left as it is: it holds a load",
        }
    }

    fn line(made: &MadeSafe) -> String {
        let who = format!("{} {}", made.output.motors.join(", "), made.output.function);
        let what = made.result.as_ref().map_or("NOT SAFE", |did| what(*did));
        format!("{:6}  {who:20}  {what}", made.output.port.to_string())
    }

    fn object(chosen: &Chosen, all: &[MadeSafe]) -> Value {
        let output = |made: &MadeSafe| {
            let gpio = match made.output.port {
                Port::Gpio(gpio) | Port::Pwm(PwmOutput::Gpio(gpio)) => Some(gpio),
                Port::Pwm(PwmOutput::Channel { .. }) => None,
            };
            json!({
                "motors": made.output.motors,
                "function": made.output.function,
                "port": made.output.port.to_string(),
                "gpio": gpio,
                "safe": made.result.is_ok(),
                "did": made.result.as_ref().ok().map(|did| what(*did)),
                "error": made.result.as_ref().err().map(ToString::to_string),
            })
        };
        json!({
            "result": if all.iter().all(|m| m.result.is_ok()) { "safe" } else { "not-safe" },
            "config": chosen.file,
            "accepted": chosen.accepted,
            "outputs": all.iter().map(output).collect::<Vec<_>>(),
        })
    }
}
