//! What `run` and `simulate` have in common: the arguments, the way from a config to a checked
//! program, and from a machine that has run to the report.

#[cfg(feature = "plot")]
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

#[cfg(feature = "plot")]
use super::plot;
use super::progress::ProgressLine;
use super::trace_file::TraceFile;
use super::{
    CliError, DEFAULT_CONFIG, DONE, FAILED, HARDWARE, json, logging, room, table, to_stdout, verify,
};
use crate::board::Model;
use crate::config::{Action, AtStart, Config, Diagnostic, Loaded, MotorConfig, Source, StepConfig};
use crate::hal::HalError;
use crate::machine::{
    Deed, Machine, MachineBuilder, MotorReport, Preflight, RunOptions, RunReport, RunResult,
    choose_program, preflight,
};
use crate::motor::FaultKind;
use crate::programs::look_through_all;
use crate::runtime::TestFault;
use crate::units::Time;

/// Names a motor's loop that goes wrong on purpose, for tests of what follows: see [`TestFault`].
const TEST_FAULT: &str = "LOCKSTEP_TEST_FAULT";

/// The fault that the environment asks for, in a motor of this config.
pub(super) fn test_fault(config: &Config) -> Result<Option<TestFault>, CliError> {
    let Some(text) = std::env::var_os(TEST_FAULT) else { return Ok(None) };
    let wrong = |why: String| CliError::Usage(format!("{TEST_FAULT}: {why}"));
    let fault: TestFault = text.to_string_lossy().parse().map_err(wrong)?;
    if config.motor_index(&fault.motor).is_none() {
        return Err(wrong(format!("there is no motor `{}`", fault.motor)));
    }
    log::warn!("{TEST_FAULT} is set: {fault}");
    Ok(Some(fault))
}

/// Arguments of `run` and `simulate` alike.
#[derive(Args, Debug)]
pub(super) struct ProgramArgs {
    /// The program to run [default: the config's start-program]
    pub program: Option<String>,
    /// The config
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
    /// End the run in good order after this long, such as 10s or 500ms
    #[arg(long = "for", value_name = "DURATION")]
    pub duration: Option<Time>,
    /// Record every edge into a VCD file, for a viewer such as GTKWave
    #[arg(long, value_name = "FILE.vcd", help_heading = "Output")]
    pub trace: Option<PathBuf>,
    /// Print one JSON object instead of the table
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// A program that can be carried out as it is written.
pub(super) struct Checked {
    pub config: Config,
    /// The config's text.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub source: Source,
    pub program: String,
    pub preflight: Preflight,
}

impl Checked {
    /// Says where not all of it was looked through.
    pub fn say_if_too_long(&self, quiet: bool) {
        if let Some(moves) = self.preflight.beyond.filter(|_| !quiet) {
            logging::say(format_args!("note: {}", too_long(&self.program, moves)));
        }
    }
}

/// Reads the config and looks through the program; what is wrong with either is shown against the
/// text. On hardware a program that moves an axis whose place nobody told is wrong, too.
pub(super) fn check(
    args: &ProgramArgs,
    board: Option<Model>,
    hardware: bool,
) -> Result<Checked, CliError> {
    let loaded = Config::from_file_for(&args.config, board).map_err(CliError::Config)?;
    let program = choose_program(&loaded.config, args.program.as_deref())?.name.clone();
    let preflight = preflight(&loaded.config, &program);
    let mut errors = diagnostics(&preflight);
    if hardware {
        errors.extend(unknown_places(&loaded, &preflight));
    }
    if !errors.is_empty() {
        return Err(CliError::Config(loaded.errors(errors)));
    }
    Ok(Checked { config: loaded.config, source: loaded.source, program, preflight })
}

fn diagnostics(preflight: &Preflight) -> Vec<Diagnostic> {
    let shown = |p: &crate::machine::Problem| {
        let error = Diagnostic::new(p.span, p.error.to_string());
        if p.help.is_empty() { error } else { error.help(&p.help) }
    };
    preflight.problems.iter().map(shown).collect()
}

fn unknown_places(loaded: &Loaded, preflight: &Preflight) -> Vec<Diagnostic> {
    let motors = preflight.motors.iter().map(|&m| &loaded.config.motors[m]);
    // Only the service keeps places over a restart.
    let told =
        |m: &&MotorConfig| m.axis().is_some_and(|a| matches!(a.at_start, AtStart::Assume(_)));
    let unknown = motors.filter(|m| m.axis().is_some() && !told(m));
    unknown
        .map(|m| {
            let zero = format!("0{}", m.unit.symbol());
            let restored = m.axis().is_some_and(|axis| axis.at_start == AtStart::Restored);
            let what = match restored {
                true => "only the service restores where it stands, and a move could run into its end",
                false => "nobody says where it stands, and a move could run into its end",
            };
            Diagnostic::new(m.span, format!("{}: {what}", m.name)).help(format!(
                "bring it to a known place by hand, and write `at-start = {{ assume = \"{zero}\" }}`"
            ))
        })
        .collect()
}

/// What was found when the programs of a config were looked through.
#[derive(Debug, Default)]
pub(super) struct LookedAt {
    /// What is wrong.
    pub errors: Vec<Diagnostic>,
    /// A line for each program that is too long to be looked through to its end.
    pub too_long: Vec<String>,
}

/// Looks through what any program of a config does when it is run. Programs that others run are looked
/// through where they are run: from elsewhere they may not be possible. With the name of a program
/// that is looked through alone, from the start of the machine.
///
/// `stop` says that nobody wants to know any more.
pub(super) fn look_at_plans(
    config: &Config,
    program: Option<&str>,
    stop: &dyn Fn() -> bool,
) -> LookedAt {
    if let Some(name) = program {
        let name = match choose_program(config, Some(name)) {
            Ok(program) => &program.name,
            Err(e) => {
                let errors = vec![Diagnostic::of_file(e.to_string())];
                return LookedAt { errors, ..LookedAt::default() };
            }
        };
        let looked = preflight(config, name);
        let too_long = looked.beyond.map(|moves| too_long(name, moves)).into_iter().collect();
        return LookedAt { errors: diagnostics(&looked), too_long };
    }
    let mut called = vec![false; config.programs.len()];
    config.programs.iter().for_each(|p| mark_called(&p.steps, &mut called));
    let first = config.programs.iter().zip(called).filter(|p| !p.1).map(|p| p.0.name.as_str());
    let (mut all, mut not_at_all) = (LookedAt::default(), Vec::new());
    for (name, looked) in look_through_all(config, first, stop) {
        let Some(looked) = looked else {
            not_at_all.push(name);
            continue;
        };
        all.too_long.extend(looked.beyond.map(|moves| too_long(name, moves)));
        for error in diagnostics(&looked) {
            if !all.errors.contains(&error) {
                all.errors.push(error);
            }
        }
    }
    if let [first, others @ ..] = not_at_all.as_slice() {
        let (others, were) = match others.len() {
            0 => (String::new(), "was"),
            1 => (" and another program".to_owned(), "were"),
            n => (format!(" and {n} other programs"), "were"),
        };
        all.too_long.push(format!(
            "{first}{others} {were} not looked through, after so many moves of other programs; \
             what they do is checked as it comes"
        ));
    }
    all
}

/// Says of a program that no more than so many of its moves were looked through.
pub(super) fn too_long(program: &str, moves: u64) -> String {
    format!(
        "{program} was looked through as far as its first {moves} moves; what follows is checked as it comes"
    )
}

fn mark_called(steps: &[StepConfig], called: &mut [bool]) {
    for step in steps {
        match &step.action {
            Action::Run(program) => called[*program] = true,
            Action::Repeat(_, steps) => mark_called(steps, called),
            Action::Together(branches) => branches.iter().for_each(|b| mark_called(b, called)),
            // Where a program that mends a move begins, nobody knows before.
            Action::Move(action) => action.on_short.iter().for_each(|s| called[s.1] = true),
            Action::Pause(_) | Action::Sweep(_) | Action::Keyframes(_) | Action::Spin(_) => {}
            Action::WaitFor(_) | Action::Trigger(_) => {}
        }
    }
}

/// How a run is to be shown.
pub(super) struct Show<'a> {
    pub args: &'a ProgramArgs,
    pub quiet: bool,
    /// Where it runs, in words: `on the simulator`.
    pub place: String,
    /// Whether its trace is to be proved.
    pub verify: bool,
    /// What is done to it on the way.
    pub deeds: Vec<(Duration, Deed)>,
    /// Where a picture of it goes.
    #[cfg(feature = "plot")]
    pub plot: Option<&'a Path>,
}

impl Show<'_> {
    fn needs_trace(&self) -> bool {
        #[cfg(feature = "plot")]
        if self.plot.is_some() {
            return true;
        }
        self.verify
    }
}

/// Runs the program on a machine that is built, writes the trace, prints the report, and says the
/// exit status. `prepare` comes right before the program begins.
pub(super) fn carry_out(
    builder: MachineBuilder,
    program: &str,
    duration: Option<Duration>,
    show: &Show<'_>,
    prepare: impl FnOnce(&mut Machine) -> Result<(), CliError>,
) -> Result<u8, CliError> {
    let args = show.args;
    // A trace that can't be written is an error before anything moves, not after.
    let trace = args.trace.as_deref().map(TraceFile::create).transpose()?;
    let mut machine = builder.trace(trace.is_some() || show.needs_trace()).build()?;
    prepare(&mut machine)?;
    let report = {
        let mut line = ProgressLine::new(duration, args.json || show.quiet);
        let mut update = |machine: &Machine, progress: &_| line.update(machine, progress);
        let deeds = show.deeds.clone();
        let options = RunOptions { duration, deeds, progress: Some(&mut update) };
        machine.run(Some(program), options)?
    };
    let recording = machine.take_recording();
    let written = match (trace, &recording) {
        (Some(file), Some(recording)) => {
            if recording.lost() > 0 {
                log::warn!("the trace lacks {} records that found no room", recording.lost());
            }
            let comment = format!("lockstep {}: {program}", env!("CARGO_PKG_VERSION"));
            file.write(recording, &comment)
        }
        _ => Ok(()),
    };
    #[cfg(feature = "plot")]
    if let (Some(file), Some(recording)) = (show.plot, &recording) {
        let title = format!("{}: {program}", machine.config().machine.name);
        plot::write(file, &plot::of_recording(recording, machine.config(), &title)?)?;
    }
    let proof = match &recording {
        Some(recording) if show.verify => Some(verify::of_recording(recording, machine.config())?),
        _ => None,
    };
    let mut text = match args.json {
        true => json::json(&report, proof.as_ref()),
        false => table::table(&report, &show.place, duration, room()),
    };
    if let Some(proof) = proof.as_ref().filter(|_| !args.json) {
        text += &format!("\n{proof:0$}", room());
    }
    to_stdout(&text)?;
    written?;
    let proved = proof.is_none_or(|p| p.is_clean());
    Ok(if proved { status(&report) } else { FAILED })
}

fn status(report: &RunReport) -> u8 {
    // The simulator, told to refuse, is no hardware.
    let refused = |m: &MotorReport| matches!(&m.fault, Some(FaultKind::Output(e)) if !matches!(e, HalError::Refused { .. }));
    if report.motors.iter().any(refused) {
        return HARDWARE;
    }
    if report.result == RunResult::Failed || !report.left.is_empty() { FAILED } else { DONE }
}
