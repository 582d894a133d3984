//! `lockstep selftest`: what comes out of each pin, measured without an instrument.

use std::io::{self, BufRead};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::header::{self, Choice};
use super::{CliError, DEFAULT_CONFIG, DONE, FAILED, HARDWARE, logging, signals, to_stdout};
use crate::config::{Config, Loaded};
use crate::hal::{Backend, Clock, SimBackend};
use crate::runtime::request_realtime;
use crate::selftest::{Finding, Spread, Tested, selftest as test};
use crate::text::Columns;

const EXAMPLES: &str = "\
Examples:
  lockstep selftest -c config/two-servos.toml               asks first
  lockstep selftest --yes --json -c config/xyz-stage.toml
  lockstep selftest --backend sim -c config/xyz-stage.toml  only shows it

Servos get their shortest, middle and longest pulse, STEP lines a walk and their top speed, DIR, \
enable and coil lines are switched ten times; and each pin is read back while it is driven. Off is a \
period, or a servo's pulse, by more than 1 % and 5 us, a step pulse that is too short, or a pulse that \
the pin does not show. Wires, drivers and motors are not seen.

An axis with `holds-load` is not tested: the motors' supply has to be off, and its load would fall.

Exit status: 0 all is as asked; 1 a measurement is off; 2 wrong usage or config, or the motors are \
not said to be off; 3 the hardware is not there, or may not be used.";

/// `lockstep selftest`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct SelftestArgs {
    /// The config
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// What to test: rppal, a Raspberry Pi's header; sim, the simulator; auto, the header on a
    /// Raspberry Pi and elsewhere the simulator
    #[arg(long, value_enum, default_value_t = Choice::Auto, hide_possible_values = true)]
    backend: Choice,
    /// The motors' supply is off: do not ask
    #[arg(long)]
    yes: bool,
    /// Print one JSON object instead of the table
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// Carries it out, and says the exit status.
pub(super) fn selftest(args: &SelftestArgs) -> Result<u8, CliError> {
    let stops = signals::catch()?;
    let board = header::choose(args.backend)?;
    let loaded = Config::from_file_for(&args.config, board).map_err(CliError::Config)?;
    let config = &loaded.config;
    #[cfg(target_os = "linux")]
    let _claim = board.is_some().then(|| header::claim(&loaded.source)).transpose()?;
    let (mut backend, place): (Box<dyn Backend>, _) = match board {
        Some(board) => {
            if !args.yes {
                ask(&loaded)?;
            }
            (header::open()?, format!("on the header of a {}", board.name()))
        }
        None => {
            let place = "on the simulator, in virtual time: this says nothing about any board";
            (Box::new(SimBackend::new(Clock::virtual_time())), place.to_owned())
        }
    };
    if board.is_some()
        && let Err(why) = request_realtime()
    {
        log::info!("no real-time scheduling ({why}): jitter is more than a root user's");
    }
    let table = table(config);
    if !args.json {
        let head = HEAD.map(|cells| table.line(&cells) + "\n").concat();
        to_stdout(&format!("{} {place}\n\n{head}", config.machine.name))?;
    }
    let mut written = Ok(());
    let findings = test(config, &mut *backend, &stops.stop, &mut |finding| {
        if !args.json && written.is_ok() {
            written = to_stdout(&format!("{}\n", table.line(&cells(finding))));
        }
    });
    for finding in &findings {
        match &finding.result {
            Ok(Tested::Measured { off, .. }) => {
                for what in off {
                    logging::say(format_args!("error: {}: {what}", name(finding)));
                }
            }
            Ok(Tested::Not(why)) => {
                logging::say(format_args!("note: {} is not tested: {why}", name(finding)));
            }
            Err(error) => logging::say(format_args!("error: {}: {error}", name(finding))),
        }
    }
    let stopped = stops.stop.is_set();
    let status = status(&findings, stopped);
    if args.json {
        to_stdout(&format!("{}\n", object(&findings, stopped, board.is_some())))?;
    } else {
        to_stdout(&format!("\n{}\n", closing(&findings, stopped)))?;
    }
    written?;
    Ok(status)
}

/// Asks whether the motors are off.
fn ask(loaded: &Loaded) -> Result<(), CliError> {
    logging::say(format_args!(
        "This drives every output of {} through its whole range: servos to both ends, steppers at full \
         speed.\nSwitch the motors' supply off. Is it off? Type `yes`:",
        loaded.source.name()
    ));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && answer.trim() == "yes" {
        return Ok(());
    }
    Err(CliError::Usage("the motors are not said to be off: nothing was driven".to_owned()))
}

fn status(findings: &[Finding], stopped: bool) -> u8 {
    if findings.iter().any(|f| f.result.is_err()) {
        HARDWARE
    } else if stopped || findings.iter().any(Finding::is_off) {
        FAILED
    } else {
        DONE
    }
}

fn name(finding: &Finding) -> String {
    match &finding.port {
        Some(port) => format!("{} {} ({port})", finding.motor, finding.function),
        None => finding.motor.clone(),
    }
}

fn micros(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e6)
}

/// The table, wide enough for what is to come: its lines are shown one by one.
fn table(config: &Config) -> Columns {
    let mut table = Columns::new("<<<>>>><");
    HEAD.iter().for_each(|cells| table.make_room(cells));
    let figures = ["20000 -> 20000.0", "2400 -> 2400.0", "1000/1000", "999.9", ""];
    for output in config.outputs() {
        // An enable line may belong to several.
        let motors: Vec<_> = output.motors.iter().map(|&m| &*config.motors[m].name).collect();
        let (motors, port) = (motors.join(", "), output.port.to_string());
        let mut cells = vec![motors.as_str(), output.function, &port];
        cells.extend(figures);
        table.make_room(&cells);
    }
    table
}

const HEAD: [[&str; 8]; 2] = [
    ["", "", "", "period, us", "width, us", "pulses", "jitter,", ""],
    ["motor", "output", "pin", "asked -> seen", "asked -> seen", "seen", "us", ""],
];

fn cells(finding: &Finding) -> Vec<String> {
    let port = finding.port.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut cells = vec![finding.motor.clone(), finding.function.to_owned(), port];
    let Ok(Tested::Measured { asked, seen, off }) = &finding.result else {
        let what = if finding.result.is_err() { "FAILED" } else { "not tested" };
        cells.push(what.to_owned());
        return cells;
    };
    let both = |asked: Option<Duration>, seen: Option<Spread>| {
        let seen = seen.map_or_else(|| "-".to_owned(), |s| micros(s.median));
        asked.map_or_else(String::new, |asked| {
            let asked = micros(asked);
            format!("{} -> {seen}", asked.strip_suffix(".0").unwrap_or(&asked))
        })
    };
    let jitter = seen.period.filter(|_| asked.period.is_some()).map(|p| micros(p.jitter()));
    cells.extend([
        both(asked.period, seen.period),
        both(asked.width, seen.width),
        format!("{}/{}", seen.count, asked.count),
        jitter.unwrap_or_default(),
        if off.is_empty() { "ok" } else { "OFF" }.to_owned(),
    ]);
    cells
}

fn closing(findings: &[Finding], stopped: bool) -> String {
    let measured = |f: &&Finding| matches!(f.result, Ok(Tested::Measured { .. }));
    let all = findings.iter().filter(measured).count();
    let off = findings.iter().filter(|f| f.is_off()).count();
    let failed = findings.iter().filter(|f| f.result.is_err()).count();
    match (failed, off) {
        _ if stopped => format!("stopped after {all} measurements"),
        (0, 0) if all == 0 => "nothing was measured".to_owned(),
        (0, 0) => format!("all {all} measurements are as asked"),
        (0, off) => format!("{off} of {all} measurements are off"),
        (failed, off) => format!("{failed} outputs failed; {off} of {all} measurements are off"),
    }
}

fn object(findings: &[Finding], stopped: bool, hardware: bool) -> Value {
    let us = |time: Duration| time.as_nanos() as f64 / 1e3;
    let spread = |s: Option<Spread>| {
        s.map(|s| {
            json!({
                "median": us(s.median),
                "min": us(s.least),
                "max": us(s.most),
                "jitter": us(s.jitter()),
            })
        })
    };
    let one = |finding: &Finding| {
        let mut out = json!({
            "motor": finding.motor,
            "function": finding.function,
            "port": finding.port.as_ref().map(ToString::to_string),
        });
        match &finding.result {
            Err(error) => out["error"] = error.to_string().into(),
            Ok(Tested::Not(why)) => out["not_tested"] = why.as_str().into(),
            Ok(Tested::Measured { asked, seen, off }) => {
                out["asked"] = json!({
                    "period_us": asked.period.map(us),
                    "width_us": asked.width.map(us),
                    "count": asked.count,
                });
                out["seen"] = json!({
                    "period_us": spread(seen.period),
                    "width_us": spread(seen.width),
                    "count": seen.count,
                });
                out["ok"] = off.is_empty().into();
                out["off"] = json!(off);
            }
        }
        out
    };
    let result = match status(findings, stopped) {
        DONE => "ok",
        _ if stopped => "stopped",
        HARDWARE => "failed",
        _ => "off",
    };
    json!({
        "result": result,
        "backend": if hardware { "rppal" } else { "sim" },
        "findings": findings.iter().map(one).collect::<Vec<_>>(),
    })
}
