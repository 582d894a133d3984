//! `lockstep simulate`: a program in virtual time.

#[cfg(feature = "plot")]
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::shared::{self, ProgramArgs, Show};
use super::{CliError, logging, signals};
use crate::config::Config;
use crate::machine::{Deed, Machine, MoveError, OVERRIDE};
use crate::units::{Percent, Time};

const EXAMPLES: &str = "\
Examples:
  lockstep simulate tour --config config/xyz-stage.toml
  lockstep simulate tour -c config/xyz-stage.toml --verify --plot tour.svg
  lockstep simulate tour --config config/xyz-stage.toml --fault y@2s
  lockstep simulate tour -c config/xyz-stage.toml --at 1s=hold --at 2s=resume
  lockstep simulate --config config/two-servos.toml --for 10min --json

The same program gives the same edges, to the nanosecond, each time.";

/// How much of a program that never ends is simulated.
const ENDLESS: Duration = Duration::from_secs(60);

/// `lockstep simulate`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct SimulateArgs {
    #[command(flatten)]
    program: ProgramArgs,
    /// A fault of this motor's driver, this long after the start, such as y@2s; may be repeated
    #[arg(long = "fault", value_name = "MOTOR@TIME")]
    faults: Vec<FaultAt>,
    /// Do something this long after the start, such as 1.5s=hold, 2s=resume, 3s=override:50%, 4s=stop:x
    /// (one motor), 4s=stop, 4s=halt or 2s=trigger:door-open (a named event); may be repeated
    #[arg(long = "at", value_name = "TIME=WHAT")]
    deeds: Vec<DeedAt>,
    /// Prove what the motors were sent against the config, as `lockstep verify` does
    #[arg(long)]
    verify: bool,
    /// Draw position, speed and acceleration of every motor, and the path
    #[cfg(feature = "plot")]
    #[arg(long, value_name = "FILE.svg", help_heading = "Output")]
    plot: Option<PathBuf>,
}

#[derive(Clone, PartialEq, Debug)]
struct FaultAt {
    motor: String,
    after: Duration,
}

impl FromStr for FaultAt {
    type Err = String;

    fn from_str(text: &str) -> Result<FaultAt, String> {
        let (motor, after) = text
            .split_once('@')
            .filter(|(motor, _)| !motor.is_empty())
            .ok_or("write a motor and a time, such as y@2s")?;
        let Time(after) = after.parse().map_err(|e: crate::units::UnitError| e.to_string())?;
        Ok(FaultAt { motor: motor.to_owned(), after })
    }
}

#[derive(Clone, PartialEq, Debug)]
struct DeedAt {
    after: Duration,
    deed: Deed,
}

impl FromStr for DeedAt {
    type Err = String;

    fn from_str(text: &str) -> Result<DeedAt, String> {
        let (after, deed) =
            text.split_once('=').ok_or("write a time and what to do, such as 1.5s=hold")?;
        let Time(after) = after.parse().map_err(|e: crate::units::UnitError| e.to_string())?;
        let (word, of) = deed.split_once(':').map_or((deed, None), |(word, of)| (word, Some(of)));
        let deed = match (word, of) {
            ("hold", None) => Deed::Hold,
            ("resume", None) => Deed::Resume,
            ("stop", None) => Deed::Stop,
            ("stop", Some(motor)) if !motor.is_empty() => Deed::StopMotor(motor.to_owned()),
            ("halt", None) => Deed::Halt,
            ("trigger", Some(name)) if (1..=128).contains(&name.len()) => {
                Deed::Trigger(name.to_owned())
            }
            ("override", Some(percent)) => {
                let Percent(percent) =
                    percent.parse().map_err(|e: crate::units::UnitError| e.to_string())?;
                if !OVERRIDE.contains(&percent) {
                    return Err(MoveError::Override { percent }.to_string());
                }
                Deed::Override(percent)
            }
            _ => {
                return Err(format!(
                    "`{deed}` is nothing to do: write hold, resume, override:50%, stop, stop:x, trigger:door-open or halt"
                ));
            }
        };
        Ok(DeedAt { after, deed })
    }
}

/// Carries it out, and says the exit status.
pub(super) fn simulate(args: &SimulateArgs, quiet: bool) -> Result<u8, CliError> {
    let stops = signals::catch()?;
    let checked = shared::check(&args.program, None, false)?;
    let motors = args.faults.iter().map(|fault| ("--fault", &fault.motor));
    let stopped = args.deeds.iter().filter_map(|deed| match &deed.deed {
        Deed::StopMotor(motor) => Some(("--at", motor)),
        _ => None,
    });
    motors.chain(stopped).try_for_each(|(option, name)| is_motor(&checked.config, option, name))?;
    let given = args.program.duration.map(|d| d.0);
    let duration = given.or(checked.preflight.duration.is_none().then_some(ENDLESS));
    checked.say_if_too_long(quiet);
    if given.is_none() && duration.is_some() && !quiet {
        let why = match checked.preflight.beyond {
            Some(_) => "is that long",
            None => "never ends",
        };
        logging::say(format_args!(
            "note: `{}` {why}: these are its first {}; `--for 10min` simulates more",
            checked.program,
            Time(ENDLESS)
        ));
    }
    let builder = Machine::builder(checked.config)
        .virtual_time()
        .stop_event(stops.stop)
        .halt_event(stops.halt);
    let place = "on the simulator, in virtual time".to_owned();
    let show = Show {
        args: &args.program,
        quiet,
        place,
        verify: args.verify,
        deeds: args.deeds.iter().map(|d| (d.after, d.deed.clone())).collect(),
        #[cfg(feature = "plot")]
        plot: args.plot.as_deref(),
    };
    shared::carry_out(builder, &checked.program, duration, &show, |machine| {
        let mut faults = args.faults.iter();
        faults.try_for_each(|fault| {
            let injected = machine.inject_fault(&fault.motor, fault.after);
            injected.map_err(|e| CliError::Usage(e.to_string()))
        })
    })
}

fn is_motor(config: &Config, option: &str, name: &str) -> Result<(), CliError> {
    if config.motor(name).is_some() {
        return Ok(());
    }
    let motors: Vec<_> = config.motors.iter().map(|m| m.name.as_str()).collect();
    let known = motors.join(", ");
    Err(CliError::Usage(format!("{option}: there is no motor `{name}`; the motors are {known}")))
}
