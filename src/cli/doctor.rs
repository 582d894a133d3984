//! `lockstep doctor`: reads the machine, and says line by line ok or what to do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::wiring::{Row, wiring};
use super::{CliError, DEFAULT_CONFIG, DONE, FAILED, logging, room, to_stdout};
use crate::board::Model;
use crate::config::{Config, ConfigErrors, Loaded};
use crate::doctor::{
    Finding, Host, Needs, PinNeed, RateSeen, STEP_RATES, ThisHeader, Use, Verdict, examine, must_do,
};
use crate::runtime::probe_lateness;
use crate::text::Columns;

const EXAMPLES: &str = "\
Examples:
  lockstep doctor                         this machine, and its config if any
  lockstep doctor --config my-servo.toml  can this config run here?
  lockstep doctor --seconds 60            a longer test of how late steps come
  sudo -u lockstep lockstep doctor        as the service's user

Each line is `ok`, `to do` (the config can't run before), `advice` (it runs better with it) or `?` (it \
can't be told from here; as root more can). Nothing is changed, and no pin moves.

Exit status: 0 nothing must be done; 1 something must, before the config can run; 2 wrong usage.";

/// `lockstep doctor`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct DoctorArgs {
    /// The config that is to run [default: /etc/lockstep/lockstep.toml, or the machine alone]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How long to test how late steps come; 0 leaves the test out
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(..=3600))]
    seconds: u32,
    /// Print one JSON object instead of lines
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// Carries it out, and says the exit status.
pub(super) fn doctor(args: &DoctorArgs, quiet: bool) -> Result<u8, CliError> {
    let host = Host::this();
    let board = crate::doctor::board(&host).ok();
    let file = match &args.config {
        Some(file) => Some(file.as_path()),
        None => Some(Path::new(DEFAULT_CONFIG)).filter(|f| f.exists()),
    };
    let (needs, config) = match file.map(|f| (f, load(f, board))) {
        None => (None, none_named()),
        Some((file, Ok(loaded))) => (Some(needs(&loaded)), right(file, &loaded)),
        Some((file, Err(errors))) => {
            logging::say(&errors);
            (None, wrong(file))
        }
    };
    let rates = if args.seconds == 0 {
        Vec::new()
    } else {
        if !quiet && !args.json {
            logging::say(format_args!("testing for {} s how late steps come ...", args.seconds));
        }
        test(Duration::from_secs(args.seconds.into()), needs.as_ref())?
    };
    let mut findings = vec![config];
    findings.extend(examine(&host, &ThisHeader, needs.as_ref(), &rates));
    let text = match args.json {
        true => format!("{:#}\n", object(file, board, &findings, &rates)),
        false => text(&findings, room()),
    };
    to_stdout(&text)?;
    Ok(if must_do(&findings) { FAILED } else { DONE })
}

/// The pins of a file that names no board are checked against the one that it is to run on.
fn load(file: &Path, board: Option<Model>) -> Result<Loaded, ConfigErrors> {
    let loaded = Config::from_file(file)?;
    match board.filter(|_| loaded.board_assumed) {
        Some(board) => Config::from_file_for(file, Some(board)),
        None => Ok(loaded),
    }
}

fn none_named() -> Finding {
    Finding {
        check: "config",
        verdict: Verdict::Ok,
        says: "none: the machine alone (`--config FILE` names one, `lockstep init` writes one)"
            .to_owned(),
        actions: Vec::new(),
    }
}

fn right(file: &Path, loaded: &Loaded) -> Finding {
    let motors = loaded.config.motors.len();
    let says = format!(
        "{}: right, with {motors} motor{}",
        file.display(),
        if motors == 1 { "" } else { "s" }
    );
    Finding { check: "config", verdict: Verdict::Ok, says, actions: Vec::new() }
}

fn wrong(file: &Path) -> Finding {
    let says =
        format!("{} is wrong (see above), so the machine is looked at alone", file.display());
    let actions = vec![format!("lockstep check {}", file.display())];
    Finding { check: "config", verdict: Verdict::Todo, says, actions }
}

/// What the config asks of the machine.
fn needs(loaded: &Loaded) -> Needs {
    let wiring = wiring(loaded);
    let config = &loaded.config;
    let axes: Vec<(String, f64)> = config
        .motors
        .iter()
        .filter_map(|m| {
            // A hardware channel times the steps of the others.
            let axis = m.axis().filter(|_| m.drive.kind().pwm().is_none())?;
            Some((m.name.clone(), m.limits.speed * axis.steps_per_unit.to_f64()))
        })
        .collect();
    Needs {
        board: config.machine.board,
        pins: wiring.rows.iter().filter_map(pin).collect(),
        config_txt: wiring.config_txt.into_iter().map(|n| n.line).collect(),
        commands: wiring.commands.into_iter().map(|n| n.line).collect(),
        step_rates: axes,
        max_lateness: config.machine.max_lateness.unwrap_or(crate::doctor::MAX_LATENESS),
        spin: config.machine.spin,
        keeps_place: (config.motors.iter().filter(|m| m.keeps_place()))
            .map(|m| m.name.clone())
            .collect(),
    }
}

/// `None` for what hangs on no pin of the header.
fn pin(row: &Row) -> Option<PinNeed> {
    let gpio = row.gpio?;
    let what = match row.function {
        "PWM" => Use::Pwm,
        "FAULT" => Use::Input,
        "ENABLE" => Use::Enable { active_low: row.active == Some("low") },
        _ => Use::Output,
    };
    Some(PinNeed { gpio, who: format!("{} {}", row.motor, row.function), what })
}

/// Tries each rate for its share of the time, with a thread for each axis as far as there are cores.
fn test(time: Duration, needs: Option<&Needs>) -> Result<Vec<RateSeen>, CliError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = needs.map_or(1, |n| n.step_rates.len()).clamp(1, cores);
    let spin = needs.map_or(crate::doctor::SPIN, |n| n.spin);
    let share = time / STEP_RATES.len() as u32;
    let try_rate = |rate| {
        let probe = probe_lateness(rate, share, threads, spin)
            .map_err(|e| CliError::Usage(format!("the test of lateness: {e}")))?;
        Ok(RateSeen { rate, seen: probe.seen, realtime: probe.realtime })
    };
    STEP_RATES.into_iter().map(try_rate).collect()
}

/// Where no terminal shows it.
const WIDE: usize = 100;

fn text(findings: &[Finding], within: usize) -> String {
    let mut table = Columns::new("<<<");
    for finding in findings {
        table.row([finding.verdict.word(), finding.check, &finding.says]);
        for action in &finding.actions {
            table.whole(["", "", &format!("  {action}")]);
        }
    }
    let mut out = table.text(within.min(WIDE));
    let count = |verdict| findings.iter().filter(|f| f.verdict == verdict).count();
    out += &match (count(Verdict::Todo), count(Verdict::Advice)) {
        (0, 0) => "\nnothing to do\n".to_owned(),
        (0, advice) => {
            format!("\nnothing must be done; {advice} piece{} of advice\n", plural(advice))
        }
        (todo, _) => format!("\n{todo} thing{} to do before the config can run\n", plural(todo)),
    };
    out
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn object(
    file: Option<&Path>,
    board: Option<Model>,
    findings: &[Finding],
    rates: &[RateSeen],
) -> Value {
    let finding = |f: &Finding| json!({ "check": f.check, "verdict": f.verdict.key(), "says": f.says, "do": f.actions });
    let rate = |r: &RateSeen| {
        let us = |nanos: u64| nanos as f64 / 1e3;
        let l = &r.seen;
        json!({
            "steps_per_s": r.rate,
            "steps": l.count,
            "realtime": r.realtime,
            "lateness_us": { "p50": us(l.p50), "p99": us(l.p99), "p999": us(l.p999), "max": us(l.max) },
        })
    };
    json!({
        "ok": !must_do(findings),
        "config": file.map(|f| f.display().to_string()),
        "board": board.map(Model::short_name),
        "findings": findings.iter().map(finding).collect::<Vec<_>>(),
        "lateness": rates.iter().map(rate).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_config_asks_for() {
        let needs = needs(&Config::from_file("config/xyz-stage.toml").unwrap());
        assert_eq!(needs.config_txt, ["gpio=22=op,dh"]);
        assert_eq!(needs.pins.len(), 12);
        let pin = |gpio: u8| needs.pins.iter().find(|p| p.gpio == gpio).unwrap();
        assert_eq!((pin(17).what, pin(17).who.as_str()), (Use::Output, "x STEP"));
        assert_eq!(pin(22).what, Use::Enable { active_low: true });
        assert_eq!(pin(5).what, Use::Input);
        let steps: Vec<f64> = needs.step_rates.iter().map(|r| r.1).collect();
        assert_eq!(steps, [20_000.0, 20_000.0, 8_000.0]);
        let servo = super::needs(&Config::from_file("config/servo-sweep.toml").unwrap());
        assert_eq!((servo.pins[0].what, servo.step_rates.len()), (Use::Pwm, 0));
    }

    #[test]
    fn lines_fit_a_terminal_and_actions_stay_whole() {
        let long = "word ".repeat(60);
        let action = "x".repeat(120);
        let finding = |verdict| Finding {
            check: "enable lines at boot",
            verdict,
            says: long.trim().to_owned(),
            actions: vec![action.clone()],
        };
        let text = text(&[finding(Verdict::Todo), finding(Verdict::Advice)], usize::MAX);
        assert!(text.starts_with("to do   enable lines at boot  word word "), "{text}");
        assert!(text.lines().all(|l| l.len() <= WIDE || l.trim() == action), "{text}");
        assert_eq!(text.matches(&action).count(), 2);
        assert_eq!(text.matches("word").count(), 120);
        assert!(text.ends_with("\n1 thing to do before the config can run\n"), "{text}");
    }
}
