//! `lockstep simulate`: a program in virtual time.

#[cfg(feature = "plot")]
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::shared::{self, ProgramArgs, Show};
use super::{CliError, logging, signals};
use crate::config::Config;
use crate::machine::Machine;
use crate::units::Time;

const EXAMPLES: &str = "\
Examples:
  lockstep simulate tour --config config/xyz-stage.toml
  lockstep simulate tour --config config/xyz-stage.toml --verify --plot tour.svg
  lockstep simulate tour --config config/xyz-stage.toml --fault y@2s
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

/// Carries it out, and says the exit status.
pub(super) fn simulate(args: &SimulateArgs, quiet: bool) -> Result<u8, CliError> {
    let stops = signals::catch()?;
    let checked = shared::check(&args.program, None, false)?;
    args.faults.iter().try_for_each(|fault| is_motor(&checked.config, &fault.motor))?;
    let given = args.program.duration.map(|d| d.0);
    let duration = given.or(checked.preflight.duration.is_none().then_some(ENDLESS));
    if given.is_none() && duration.is_some() && !quiet {
        logging::say(format_args!(
            "note: `{}` never ends: these are its first {}; `--for 10min` simulates more",
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

fn is_motor(config: &Config, name: &str) -> Result<(), CliError> {
    if config.motor(name).is_some() {
        return Ok(());
    }
    let motors: Vec<_> = config.motors.iter().map(|m| m.name.as_str()).collect();
    let known = motors.join(", ");
    Err(CliError::Usage(format!("--fault: there is no motor `{name}`; the motors are {known}")))
}
