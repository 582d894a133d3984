//! `lockstep safe`: the last resort after a run that could not see to its own end.

use std::path::PathBuf;

use clap::Args;

use super::{CliError, DEFAULT_CONFIG};

const EXAMPLES: &str = "\
Examples:
  sudo lockstep safe      after a crash, or a kill -9
  ExecStopPost=/usr/bin/lockstep safe --config %E/lockstep/lockstep.toml

STEP lines go low, coils and enable lines go off, PWM signals end after a whole pulse. DIR lines \
stay as they are; so does the enable line of an axis with `holds-load`. Run it as often as you like.

It reads the config that `run` or `serve` accepted last, which they keep in $RUNTIME_DIRECTORY, \
else in /run/lockstep, else in $XDG_RUNTIME_DIR/lockstep; FILE only where there is none.

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
    use crate::claim::{Claim, last_accepted};
    use crate::config::{Config, Loaded, Port, Why};
    use crate::hal::{Level, SignalEnd, identify_board};
    use crate::safe::{Did, MadeSafe, make_safe};
    use crate::text::Columns;

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
        let next = chosen.changing.as_ref().map(|loaded| &loaded.config);
        let configs: Vec<_> = [&chosen.loaded.config].into_iter().chain(next).collect();
        // What is to come is known: lines are shown one by one, and stand below each other nevertheless.
        let mut table = Columns::new("<<<");
        for config in &configs {
            for output in config.outputs() {
                let motors: Vec<_> =
                    output.motors.iter().map(|&m| config.motors[m].name.clone()).collect();
                table.make_room(&[output.port.to_string(), who(&motors, output.function)]);
            }
        }
        let mut broken_pipe = Ok(());
        let mut told = |made: &MadeSafe| {
            if !args.json && broken_pipe.is_ok() {
                broken_pipe = to_stdout(&format!("{}\n", table.line(&cells(made))));
            }
        };
        let all = make_safe(&configs, board, &mut told);
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

    /// The config to go by.
    struct Chosen {
        loaded: Loaded,
        /// Where it lies, and where it came from, for people.
        said: String,
        accepted: bool,
        /// The config that was about to take its place when the service died.
        changing: Option<Loaded>,
    }

    fn choose(args: &SafeArgs, board: Model) -> Result<Chosen, CliError> {
        if let Some(accepted) = last_accepted() {
            let path = accepted.path.display().to_string();
            let changing = accepted.changing();
            match Config::from_str_for(&accepted.text, &path, Some(board)) {
                Ok(loaded) => {
                    let from = accepted.came_from.map(|f| format!(", accepted from {f}"));
                    let mut said = path + &from.unwrap_or_default();
                    let changing = changing.and_then(|next| {
                        let path = next.path.display().to_string();
                        let read = Config::from_str_for(&next.text, &path, Some(board));
                        let warn =
                            |e| logging::say(format_args!("warning: {path} does not count\n{e}"));
                        read.map_err(warn).ok()
                    });
                    if changing.is_some() {
                        said += ", and the one that was to follow it";
                    }
                    return Ok(Chosen { loaded, said, accepted: true, changing });
                }
                Err(errors) => logging::say(format_args!(
                    "warning: the config that was kept can't be read, so {} counts\n{errors}",
                    args.config.display()
                )),
            }
        }
        let loaded = Config::from_file_for(&args.config, Some(board)).map_err(CliError::Config)?;
        Ok(Chosen {
            loaded,
            said: args.config.display().to_string(),
            accepted: false,
            changing: None,
        })
    }

    fn name(made: &MadeSafe) -> String {
        format!("{} ({} {})", made.output.port, made.motors.join(", "), made.output.function)
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

    fn who(motors: &[String], function: &str) -> String {
        format!("{} {function}", motors.join(", "))
    }

    fn cells(made: &MadeSafe) -> [String; 3] {
        let what = made.result.as_ref().map_or("NOT SAFE", |did| what(*did));
        [made.output.port.to_string(), who(&made.motors, made.output.function), what.to_owned()]
    }

    fn object(chosen: &Chosen, all: &[MadeSafe]) -> Value {
        let output = |made: &MadeSafe| {
            let gpio = match made.output.port {
                Port::Gpio(gpio) | Port::Pwm(PwmOutput::Gpio(gpio)) => Some(gpio),
                Port::Pwm(PwmOutput::Channel { .. }) => None,
            };
            json!({
                "motors": made.motors,
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
            "config": chosen.loaded.source.name(),
            "accepted": chosen.accepted,
            "outputs": all.iter().map(output).collect::<Vec<_>>(),
        })
    }
}
