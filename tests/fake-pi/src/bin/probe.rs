//! Does small things with the header through the library's hardware layer, for the tests to look at.
//!
//! `probe servo PINS | leave PIN | steps STEP DIR ENABLE N | adopt PIN | watch PIN MS |
//! machine CONFIG AXIS [NEXT]`

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use lockstep::board::{Pull, PwmOutput};
use lockstep::config::Config;
use lockstep::hal::{Backend, HalError, Level, OutputStart, RppalBackend, end_signal};
use lockstep::machine::{Machine, Move};
use lockstep::units::{Length, PulseWidth};

const PERIOD: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match act(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("probe: {error}");
            ExitCode::from(if error.is::<HalError>() { 3 } else { 2 })
        }
    }
}

fn act(words: &[&str]) -> Result<(), Box<dyn Error>> {
    match words {
        ["servo", pins] => {
            let pins: Result<Vec<u8>, _> = pins.split(',').map(str::parse).collect();
            Ok(servo(&pins?)?)
        }
        ["leave", pin] => Ok(leave(pin.parse()?)?),
        ["steps", step, dir, enable, n] => {
            Ok(steps([step.parse()?, dir.parse()?, enable.parse()?], n.parse()?)?)
        }
        ["adopt", pin] => {
            let line =
                RppalBackend::open()?.open_output(pin.parse()?, OutputStart::Adopt, "probe")?;
            println!("{}", line.level());
            Ok(())
        }
        ["watch", pin, ms] => Ok(watch(pin.parse()?, Duration::from_millis(ms.parse()?))?),
        ["machine", config, axis] => machine(config, axis, None),
        ["machine", config, axis, next] => machine(config, axis, Some(next)),
        _ => Err("servo PINS | leave PIN | steps STEP DIR ENABLE N | adopt PIN | watch PIN MS | \
                 machine CONFIG AXIS [NEXT]"
            .into()),
    }
}

/// A signal on each pin, three widths, and an end that cuts no pulse.
fn servo(pins: &[u8]) -> Result<(), HalError> {
    let mut header = RppalBackend::open()?;
    let began = Instant::now();
    let outputs: Vec<PwmOutput> = pins.iter().map(|&gpio| gpio.into()).collect();
    header.prepare_pwm(&outputs)?;
    let mut channels = Vec::new();
    for &gpio in pins {
        channels.push(header.open_pwm(&gpio.into(), "probe")?);
    }
    println!("opened in {} ms", began.elapsed().as_millis());
    let mut started = Vec::new();
    for channel in &mut channels {
        started.push(channel.start(PERIOD, PulseWidth::from_micros(1500))?);
    }
    for micros in [1000, 2000] {
        sleep(Duration::from_millis(33));
        for channel in &mut channels {
            channel.set_width(PulseWidth::from_micros(micros))?;
        }
    }
    let clock = header.clock();
    for (channel, started) in channels.iter_mut().zip(started) {
        // The worst moment to end a signal: early in a pulse.
        let phase = clock.now().nanos_since(started) % PERIOD.as_nanos() as u64;
        sleep(2 * PERIOD - Duration::from_nanos(phase) + Duration::from_micros(300));
        end_signal(channel, PERIOD, &clock)?;
    }
    Ok(())
}

/// Drops a channel whose signal runs.
fn leave(gpio: u8) -> Result<(), HalError> {
    let mut channel = RppalBackend::open()?.open_pwm(&gpio.into(), "probe")?;
    channel.start(PERIOD, PulseWidth::from_micros(1500))?;
    Ok(())
}

/// Steps behind a driver, each pulse 2 us, at least, after the last edge.
fn steps([step, dir, enable]: [u8; 3], n: u32) -> Result<(), HalError> {
    let mut header = RppalBackend::open()?;
    let clock = header.clock();
    let mut enable = header.open_output(enable, OutputStart::Level(Level::High), "enable")?;
    let mut dir = header.open_output(dir, OutputStart::Level(Level::Low), "dir")?;
    let mut step = header.open_output(step, OutputStart::Level(Level::Low), "step")?;
    enable.set(Level::Low)?;
    let mut edge = dir.set(Level::High)?;
    for _ in 0..n {
        for level in [Level::High, Level::Low] {
            while clock.now().nanos_since(edge) < 2000 {}
            edge = step.set(level)?;
        }
    }
    enable.set(Level::High)?;
    Ok(())
}

/// A program that uses the library: an axis there and back, for as long as it lives, by the `next` config if there is one.
fn machine(config: &str, axis: &str, next: Option<&str>) -> Result<(), Box<dyn Error>> {
    let config = Config::from_file(config)?.config;
    let travel = config.motor(axis).ok_or("there is no such axis")?.travel;
    let mut machine = Machine::builder(config).header().build()?;
    println!("{}", machine.is_hardware());
    if let Some(next) = next {
        machine.reload(Config::from_file(next)?.config, false)?;
        // Its lines are others, so somebody has to say where it is.
        machine.set_position(axis, Length(travel.min))?;
    }
    loop {
        for end in [travel.max, travel.min] {
            let moved = machine.go(&Move::new().to(axis, Length(end)))?;
            println!("{}", moved.all_reached());
        }
    }
}

/// The level of an input, then each of its edges with the time since the line was opened.
fn watch(gpio: u8, time: Duration) -> Result<(), HalError> {
    let mut header = RppalBackend::open()?;
    let clock = header.clock();
    let (sender, edges) = mpsc::channel();
    let on_edge = Box::new(move |edge| {
        // The receiver is gone once the time is up.
        let _ = sender.send(edge);
    });
    let mut line = header.open_input(gpio, Pull::Up, "probe", on_edge)?;
    // Lines live on without the back end that opened them.
    drop(header);
    println!("{}", line.level()?);
    let until = clock.now() + time;
    while let Ok(edge) = edges.recv_timeout(until.since(clock.now())) {
        println!("{} {} {}", edge.level, edge.at.as_nanos(), clock.now().nanos_since(edge.at));
    }
    println!("{}", line.level()?);
    Ok(())
}
