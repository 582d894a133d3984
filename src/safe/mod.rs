//! Brings every output of a config to its safe state, whatever a program that died has left.
//!
//! Nothing of that program is needed but the list of its outputs, or its config, whichever release has
//! accepted it (see [`claim`](crate::claim)). STEP goes low, coils
//! and enable lines go off, signals end after a whole pulse; DIR stays as it is, and so does the enable
//! line of an axis that holds a load. One output that can't be reached does not keep the others from
//! it, and every wait has its end.

pub mod lenient;
pub mod list;

use std::io;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Instant as StdInstant;

use crate::board::{Model, PwmOutput};
use crate::config::{Port, SafeState, Why};
use crate::hal::{Backend, Cause, Clock, HalError, Level, OutputStart, RppalBackend, SignalEnd};
use crate::hal::{LONGEST_END, LeftSignal, pwm_channel};

pub use list::SafeOutput;

/// The outputs of a list with the chips that their signals come from now, by the chips' devices.
pub fn with_chips(mut outputs: Vec<SafeOutput>, board: Model) -> Vec<SafeOutput> {
    for output in &mut outputs {
        let Port::Pwm(channel @ PwmOutput::Gpio(_)) = &output.port else { continue };
        let Ok((chip, number)) = pwm_channel(board, channel) else { continue };
        let device = std::fs::read_link(chip.join("device")).unwrap_or_default();
        let device = device.file_name().map(|name| name.to_string_lossy().into_owned());
        output.chip = device.map(|device| (device, number));
    }
    outputs
}

/// What became of one output.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MadeSafe {
    /// The output.
    pub output: SafeOutput,
    /// What was done about it.
    pub result: Result<Did, HalError>,
}

/// What was done to make an output safe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Did {
    /// It drives this level.
    Set(Level),
    /// Its signal, if it had one, is over.
    Signal(SignalEnd),
    /// It was left alone.
    Left(Why),
}

/// Makes these outputs safe on the header of this `board`. `told` hears of each as soon as it is done. The
/// order is that of the list, but for signals, which come last: they need up to three periods, all at
/// once.
pub fn make_safe(
    outputs: &[SafeOutput],
    board: Model,
    told: &mut dyn FnMut(&MadeSafe),
) -> Vec<MadeSafe> {
    let mut header = RppalBackend::open();
    let mut all = Vec::new();
    let mut signals = Vec::new();
    let mut done = |output: SafeOutput, result| {
        let made = MadeSafe { output, result };
        told(&made);
        all.push(made);
    };
    for output in outputs.iter().cloned() {
        let result = match (&output.port, output.safe) {
            (_, SafeState::Kept(why)) => Ok(Did::Left(why)),
            (&Port::Gpio(gpio), SafeState::Level(high)) => {
                set(&mut header, gpio, Level::from_bool(high), &output.function)
            }
            // A line has no signal but what a program makes, and that one is gone.
            (&Port::Gpio(gpio), SafeState::NoSignal) => {
                set(&mut header, gpio, Level::Low, &output.function)
            }
            (Port::Pwm(channel), _) => {
                signals.push((channel.clone(), output));
                continue;
            }
        };
        done(output, result);
    }
    end_signals(board, &mut header, signals, &mut done);
    all
}

fn set(
    header: &mut Result<RppalBackend, HalError>,
    gpio: u8,
    level: Level,
    who: &str,
) -> Result<Did, HalError> {
    let header = header.as_mut().map_err(|error| error.clone())?;
    // The level outlives the line.
    header.open_output(gpio, OutputStart::Level(level), who)?;
    Ok(Did::Set(level))
}

/// Ends all signals side by side. The threads are not joined: one that the kernel does not answer
/// ends with the process.
fn end_signals(
    board: Model,
    header: &mut Result<RppalBackend, HalError>,
    signals: Vec<(PwmOutput, SafeOutput)>,
    done: &mut dyn FnMut(SafeOutput, Result<Did, HalError>),
) {
    let (sender, results) = mpsc::channel();
    let mut waiting: Vec<(PwmOutput, PathBuf, SafeOutput)> = Vec::new();
    for (channel, output) in signals {
        let named = |error| match output.chip.clone() {
            // Where this release does not find the pin's channel by itself, the list says where it was.
            Some((device, channel)) => {
                pwm_channel(board, &PwmOutput::Channel { device, channel }).map_err(|_| error)
            }
            None => Err(error),
        };
        let left = match pwm_channel(board, &channel).or_else(named) {
            Ok((chip, number)) => LeftSignal { output: channel.clone(), chip, channel: number },
            Err(error) => {
                done(output, Err(error));
                continue;
            }
        };
        // Without the pin's level the signal ends nevertheless: at worst by a pulse that is cut.
        let reader =
            header.as_mut().ok().and_then(|h| h.level_reader(&channel, &output.function).ok());
        let reader = reader.flatten();
        let sender = sender.clone();
        let chip = left.chip.clone();
        let work = move || {
            let mut level = || reader.as_ref().map(|read| read());
            // The receiver is gone when this took too long: nothing is left to do.
            let _ = sender.send((left.output.clone(), left.end(&mut level, &Clock::monotonic())));
        };
        match thread::Builder::new().name(format!("safe-{}", waiting.len())).spawn(work) {
            Ok(_) => waiting.push((channel, chip, output)),
            Err(e) => done(output, Err(HalError::Open { path: chip, cause: Cause::from(&e) })),
        }
    }
    let until = StdInstant::now() + LONGEST_END;
    while !waiting.is_empty() {
        let left = until.saturating_duration_since(StdInstant::now());
        let Ok((channel, result)) = results.recv_timeout(left) else { break };
        if let Some(at) = waiting.iter().position(|w| w.0 == channel) {
            let (.., output) = waiting.remove(at);
            done(output, result.map(Did::Signal));
        }
    }
    let late = io::Error::from(io::ErrorKind::TimedOut);
    for (_, path, output) in waiting {
        done(output, Err(HalError::Open { path, cause: Cause::from(&late) }));
    }
}
