//! Brings every output of a config to its safe state, whatever a program that died has left.
//!
//! Nothing of that program is needed but its config (see [`claim`](crate::claim)). STEP goes low, coils
//! and enable lines go off, signals end after a whole pulse; DIR stays as it is, and so does the enable
//! line of an axis that holds a load. One output that can't be reached does not keep the others from
//! it, and every wait has its end.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Instant as StdInstant;

use crate::board::{Model, PwmOutput};
use crate::config::{Config, Output, Port, SafeState, Why};
use crate::hal::{Backend, Cause, Clock, HalError, Level, OutputStart, RppalBackend, SignalEnd};
use crate::hal::{LONGEST_END, LeftSignal, pwm_channel};

/// What became of one output.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MadeSafe {
    /// The output.
    pub output: Output,
    /// The names of the motors that need it.
    pub motors: Vec<String>,
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

/// Makes every output of these configs safe on the header of this `board`: one config, or two where a
/// program died while one took the place of the other. `told` hears of each as soon as it is done. The
/// order is that of the configs, but for signals, which come last: they need up to three periods, all at
/// once.
pub fn make_safe(
    configs: &[&Config],
    board: Model,
    told: &mut dyn FnMut(&MadeSafe),
) -> Vec<MadeSafe> {
    let mut header = RppalBackend::open();
    let mut all = Vec::new();
    let mut signals = Vec::new();
    let outputs = outputs(configs);
    let mut done = |output: Output, result| {
        let of = |(known, motors): &(Output, Vec<String>)| {
            (known.port == output.port).then(|| motors.clone())
        };
        let motors = outputs.iter().find_map(of).unwrap_or_default();
        let made = MadeSafe { output, motors, result };
        told(&made);
        all.push(made);
    };
    for (output, _) in outputs.clone() {
        let result = match (&output.port, output.safe) {
            (_, SafeState::Kept(why)) => Ok(Did::Left(why)),
            (&Port::Gpio(gpio), SafeState::Level(high)) => {
                set(&mut header, gpio, Level::from_bool(high), output.function)
            }
            // A line has no signal but what a program makes, and that one is gone.
            (&Port::Gpio(gpio), SafeState::NoSignal) => {
                set(&mut header, gpio, Level::Low, output.function)
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

/// Every output once, with the names of its motors. What holds a load in one config holds it in all.
fn outputs(configs: &[&Config]) -> Vec<(Output, Vec<String>)> {
    let mut all: Vec<(Output, Vec<String>)> = Vec::new();
    for config in configs {
        for output in config.outputs() {
            let motors = output.motors.iter().map(|&m| config.motors[m].name.clone()).collect();
            let rank = |safe: SafeState| match safe {
                SafeState::Kept(Why::HoldsLoad) => 2,
                SafeState::Kept(Why::Harmless) => 0,
                SafeState::Level(_) | SafeState::NoSignal => 1,
            };
            match all.iter_mut().find(|(known, _)| known.port == output.port) {
                Some(known) if rank(output.safe) > rank(known.0.safe) => *known = (output, motors),
                Some(_) => {}
                None => all.push((output, motors)),
            }
        }
    }
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
    signals: Vec<(PwmOutput, Output)>,
    done: &mut dyn FnMut(Output, Result<Did, HalError>),
) {
    let (sender, results) = mpsc::channel();
    let mut waiting: Vec<(PwmOutput, PathBuf, Output)> = Vec::new();
    for (channel, output) in signals {
        let left = match pwm_channel(board, &channel) {
            Ok((chip, number)) => LeftSignal { output: channel.clone(), chip, channel: number },
            Err(error) => {
                done(output, Err(error));
                continue;
            }
        };
        // Without the pin's level the signal ends nevertheless: at worst by a pulse that is cut.
        let reader =
            header.as_mut().ok().and_then(|h| h.level_reader(&channel, output.function).ok());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::from_str(text, "t").unwrap().config
    }

    /// What two configs have in common comes once, and a load is held if either says so.
    #[test]
    fn between_two_configs_both_count() {
        let text = include_str!("../config/xyz-stage.toml");
        let old = config(text);
        let new = config(&text.replacen("on-stop = \"release\"", "holds-load = true", 1).replacen(
            "step = { gpio = 17 }",
            "step = { gpio = 4 }",
            1,
        ));
        for pair in [[&old, &new], [&new, &old]] {
            let all = outputs(&pair);
            let of = |gpio| all.iter().filter(|o| o.0.port == Port::Gpio(gpio)).collect::<Vec<_>>();
            assert_eq!(of(22).len(), 1);
            assert_eq!(of(22)[0].0.safe, SafeState::Kept(Why::HoldsLoad));
            for step in [17, 4] {
                assert_eq!(of(step)[0].0.safe, SafeState::Level(false));
                assert_eq!(of(step)[0].1, ["x"]);
            }
        }
        assert_eq!(outputs(&[&old]).len(), old.outputs().len());
    }
}
