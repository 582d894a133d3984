//! The separate checker: reads a trace and a config, and proves the rules.
//!
//! It knows nothing of how the trace was made. It reads the edges in a VCD file, however long, in one
//! pass and in bounded memory, and asks of each motor what the config and the driver's data sheet ask.
//!
//! # What is proved
//!
//! Of an axis: STEP is high and low long enough, and never faster than 1.25 times the top speed; DIR is
//! settled before a step, held after it, and never changes in a pulse; the driver is on, and awake, for
//! every step; a driver that holds a load never goes off; no step outside of a move; the steps add up to
//! the positions in the trace, exactly; the travel, the speed, the acceleration and the jerk.
//!
//! Of an axis with backlash, the count is that of what lies behind the play: the play is taken up at rest,
//! within the limits, before a move. Of its driver's further lines: microsteps set before it is on, and
//! kept; never in reset; awake for every step.
//!
//! Of an axis whose coils are switched one by one: only the states of its sequence stand, each followed
//! by a neighbour; coils that pull against each other, or both inputs of a bridge, are never on together;
//! they have power long enough before a step and after it; at rest they hold or let go as the config
//! says, and take up the same phase again; and of its steps, which are its changes of state, all that is
//! asked of an axis behind a driver.
//!
//! Of an axis on a PWM step clock the same, but for speed, acceleration and jerk: its steps are never closer
//! than at its top speed, and its rate is a staircase whose jumps, and whose jumps in a given time, are bounded.
//! In `mode = "velocity"` nothing is counted.
//!
//! Of a servo: the period; every pulse within its range, the last one too; a signal begins with a move
//! and no pulse is missing in one; at rest, pulses stand for the position; speed, acceleration and jerk.
//!
//! Of the machine: aligned moves stay on their line.
//!
//! # What the error bars are
//!
//! Edges tell positions a step at a time. How far speed, acceleration and jerk can be known from that is
//! worked out, not guessed: a divided difference of two, three or four positions is a mean of the
//! derivative over their time, and an error in a position moves it by a known weight. A limit counts as
//! broken where the mean lies beyond it by more than all its positions' errors together: then no motion
//! within the limits could have left these edges. What is shown is the mean that proves most, with its
//! bar.
//!
//! - Among steps in one direction, positions are exactly one step apart, and an edge leaves within a
//!   nanosecond of its time (or later, by [`Options::lateness`]): the position may have gone on by what
//!   the top speed passes in that.
//! - At rest, and between two steps that are far apart, the position is known to within a step.
//! - Where the direction turns, to within half a step.
//! - From one move to the next the position may jump, at rest, by a step: a stopped move rests at a part
//!   of a step.
//! - A servo's pulse shows the angle at its own beginning, to within half a nanosecond of its width (on a
//!   PCA9685, to within a step of the chip, whose period is that of the config in whole steps), and
//!   a change of plan in the last quarter of the period before may be missing. With a lateness, the
//!   angle may be as old as a whole period, or as many as the lateness takes.
//!
//! Windows over steps are 1, 2, 4, ... 256 steps apart, those over time begin where a step's error is
//! about as large as the limit; those over pulses are 1 to 16 periods apart. A limit that is exceeded for
//! a stretch shorter than the windows it takes to see it is not found: a sustained excess of 10 % in
//! speed, 25 % in acceleration and 50 % in jerk is, on axes that take some ten steps or more while the
//! acceleration rises.
//!
//! How far a move is off its line is counted in steps of each of its axes; for a servo, in what its top
//! speed passes in a period.
//!
//! ```
//! use lockstep::config::Config;
//! use lockstep::verify::{Options, verify};
//!
//! let config = Config::from_str("[servo.pan]\npwm = { gpio = 18 }\n", "demo")?.config;
//! // One pulse of 800 us, which is shorter than any that this servo may get.
//! let trace = "$timescale 1 us $end
//! $scope module pan $end $var wire 1 ! pulse $end $var real 64 p position $end $upscope $end
//! $scope module machine $end $var string 1 m move $end $upscope $end
//! $enddefinitions $end
//! #0 0! #1000 r0 p s1:aligned m 1! #1800 0! ";
//! let report = verify(trace.as_bytes(), &config, &Options::default())?;
//! assert!(!report.is_clean());
//! assert_eq!(report.broken().next().unwrap().name, "shortest pulse");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod axis;
mod blend;
mod check;
mod checker;
mod coils;
mod course;
mod heading;
mod hull;
mod kinematics;
mod marks;
mod motor;
mod moves;
mod report;
mod roles;
mod servo;
mod staircase;
mod step_motion;
mod turning;

use std::io::BufRead;
use std::time::Duration;

use thiserror::Error;

use crate::config::Config;
use crate::trace::{Change, Recording, Signal, TraceError, VcdReader};
use crate::units::Instant;
use checker::Checker;

pub use report::{Bound, Report, Verdict, Violation};

/// How a trace is to be judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// How late edges may be, beyond their time in the plan: 0 in virtual time; in real time what the
    /// run's closing table says. It widens the bars of speed, acceleration, jerk and line, and for
    /// servos those of period and width. It widens no time that a driver asks for.
    pub lateness: Duration,
}

impl Options {
    fn late_nanos(&self) -> u64 {
        // A day is beyond any use; more would overflow further on.
        u64::try_from(self.lateness.as_nanos()).unwrap_or(u64::MAX).min(86_400_000_000_000)
    }
}

/// Why a trace could not be judged at all.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The file is no VCD, or can't be read.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The trace's signals are not those of the config.
    #[error("the trace does not fit the config: {0}; name the config that it was made with")]
    Mismatch(String),
    /// The trace's marks are of a grammar that this version does not know.
    #[error(
        "the trace is of grammar {0}, and this lockstep reads 1 and 2: use the one that wrote it"
    )]
    Grammar(u32),
    /// More changes in one instant than any machine makes.
    #[error("more than {AT_ONCE} changes in one instant, at {0} s: that is no trace of a machine")]
    Crowded(Instant),
}

/// The most changes of one instant. No machine does so many things at once, and they are kept until it is over.
const AT_ONCE: usize = 100_000;

/// Reads a trace to its end and proves the rules of `config`, in bounded memory, however long it is.
///
/// Where the recording lost records nothing is proved: [`Report::lost`].
///
/// # Errors
///
/// The trace can't be read, or its signals are not those of the config.
pub fn verify(
    trace: impl BufRead,
    config: &Config,
    options: &Options,
) -> Result<Report, VerifyError> {
    let mut reader = VcdReader::new(trace)?;
    let signals = reader.signals().to_vec();
    let checker = judge(&signals, &mut reader, config, options)?;
    Ok(report(checker, reader.now(), reader.lost()))
}

/// The same for a recording in memory.
///
/// # Errors
///
/// Its signals are not those of the config.
pub fn verify_recording(
    recording: &Recording,
    config: &Config,
    options: &Options,
) -> Result<Report, VerifyError> {
    let checker = judge(recording.signals(), recording.changes().map(Ok), config, options)?;
    Ok(report(checker, recording.end(), Some(recording.lost())))
}

/// Hands the changes to the judges, instant by instant.
fn judge(
    signals: &[Signal],
    changes: impl Iterator<Item = Result<Change, TraceError>>,
    config: &Config,
    options: &Options,
) -> Result<Checker, VerifyError> {
    let mut checker = Checker::new(signals, config, options)?;
    let mut batch: Vec<Change> = Vec::new();
    for change in changes {
        let change = change?;
        match batch.first() {
            Some(first) if first.at != change.at => {
                checker.instant(&batch)?;
                batch.clear();
            }
            Some(first) if batch.len() == AT_ONCE => return Err(VerifyError::Crowded(first.at)),
            _ => {}
        }
        batch.push(change);
    }
    checker.instant(&batch)?;
    Ok(checker)
}

fn report(checker: Checker, end: Instant, lost: Option<u64>) -> Report {
    if let Some(lost @ 1..) = lost {
        return Report { lost, end, bounds: Vec::new(), notes: Vec::new() };
    }
    let mut report = checker.finish(end);
    if lost.is_none() {
        report.notes.insert(
            0,
            "the file does not say whether its recording is complete: lost edges would not show"
                .into(),
        );
    }
    report
}
