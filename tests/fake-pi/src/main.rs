//! Runs a program that uses the Raspberry Pi's header on an ordinary Linux machine, and writes down
//! what it does to the pins and the PWM channels. See the README beside it.

mod boards;
mod log;
mod options;
mod pins;
mod pwm;
mod pwmfs;
mod world;

use std::env;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use log::Log;
use options::{MoreChip, Options, USAGE, User};
use pins::Pins;
use pwm::{Channel, Chip, Prescaler};
use pwmfs::{Chips, GPIO_GROUP, PwmFs};
use rustix::process::{Pid, Signal, kill_process};

/// The fake Pi itself failed: nothing can be said of the program.
const TROUBLE: u8 = 125;
/// The program did not end in time.
const TIMED_OUT: u8 = 124;
/// Set in the process that has its own mount namespace.
const INSIDE: &str = "FAKE_PI_INSIDE";
/// The user id of the ordinary users.
const ORDINARY: &str = "9998";

fn main() -> ExitCode {
    let options = match Options::parse(env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("fake-pi: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let result = if env::var_os(INSIDE).is_some() { inside(&options) } else { Err(enter()) };
    result.unwrap_or_else(|error| {
        eprintln!("fake-pi: {error}");
        ExitCode::from(TROUBLE)
    })
}

/// Starts this program anew in a mount namespace of its own; returns only when that fails.
fn enter() -> io::Error {
    let this = match env::current_exe() {
        Ok(this) => this,
        Err(error) => return error,
    };
    Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--"])
        .arg(this)
        .args(env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec()
}

fn inside(options: &Options) -> io::Result<ExitCode> {
    let log = Log::create(&options.log)?;
    let memory = world::build(options)?;
    let pins = Arc::new(Pins::new(&memory, options.board, &options.pwm, log.clone())?);
    for &(pin, high) in &options.levels {
        pins.put(pin, high);
    }
    let chips: Chips = Arc::new(Mutex::new(chips(options)));
    let mut config = fuser::Config::default();
    config.mount_options =
        vec![fuser::MountOption::FSName("fake-pi".into()), fuser::MountOption::DefaultPermissions];
    config.acl = fuser::SessionACL::All;
    let files = PwmFs {
        chips: chips.clone(),
        log: log.clone(),
        gives_export: !options.unwritable.iter().any(|w| w == "export"),
        gives_channels: !options.unwritable.iter().any(|w| w == "channels"),
    };
    let _mounted = fuser::spawn_mount(files, "/sys/class/pwm", &config)
        .map_err(|e| io::Error::other(format!("/sys/class/pwm cannot be mounted (FUSE): {e}")))?;
    show_levels(chips, pins.clone(), options.level_step);
    let mut child = start(options, &log)?;
    let injections = options.injections.clone();
    thread::spawn(move || pins.inject(injections));
    let code = supervise(&mut child, options)?;
    log.line(&format!("exit {code}"));
    Ok(ExitCode::from(code))
}

fn chips(options: &Options) -> Vec<Chip> {
    let mut chips = Vec::new();
    if let Some(number) = options.fan_chip {
        let fan = Channel { kernel_has: true, ..Channel::new(None) };
        let device = "../../../1f0009c000.pwm".to_owned();
        chips.push(Chip { number, device, channels: vec![fan; 4], prescaler: None });
    }
    chips.extend(options.chips.iter().map(more_chip));
    if options.pwm.is_empty() {
        return chips;
    }
    let board = options.board;
    let mut channels = vec![Channel::new(None); board.pwm_channels];
    for gpio in &options.pwm {
        if let Some(&(gpio, channel, _)) = board.pwm_pin(*gpio) {
            channels[channel].gpio = Some(gpio);
        }
    }
    for (k, channel) in channels.iter_mut().enumerate() {
        let is_in = |list: &[u8]| list.iter().any(|&c| usize::from(c) == k);
        channel.kernel_has = is_in(&options.kernel_has);
        channel.refusal = options.refusals.iter().find(|r| usize::from(r.channel) == k).copied();
        let has_signal = is_in(&options.running) || is_in(&options.orphan);
        if is_in(&options.idle) || has_signal {
            (channel.period, channel.duty) = (25_000_000, 24_000_000);
        }
        if is_in(&options.idle) || is_in(&options.running) || is_in(&options.exported) {
            channel.exported = Some(0);
        }
        if has_signal {
            channel.duty = 2_000_000;
            channel.enabled = Some(log::now());
        }
    }
    let (number, device) = (options.pwmchip, board.pwm_device.to_owned());
    chips.push(Chip { number, device, channels, prescaler: None });
    chips
}

fn more_chip(more: &MoreChip) -> Chip {
    let prescaler = (more.driver == "pca9685-pwm").then(Prescaler::new);
    let channels = vec![Channel::new(None); more.channels];
    let device = world::device_folder(&more.device);
    let mut chip = Chip { number: more.number, device, channels, prescaler };
    if let Some((k, period)) = more.running {
        let (wide, period) = ("1000000", period.to_string());
        let begun = chip
            .export(&k.to_string(), true)
            .and_then(|()| chip.write(k, "enable", "0").or(Ok(())))
            .and_then(|()| chip.write(k, "period", &period))
            .and_then(|()| chip.write(k, "duty_cycle", wide))
            .and_then(|()| chip.write(k, "enable", "1"));
        if begun.is_err() {
            eprintln!("fake-pi: no signal of that period runs on channel {k}");
            std::process::exit(i32::from(TROUBLE));
        }
    }
    chip
}

/// Has the pins show the levels of their PWM channels, `step` late at most.
fn show_levels(chips: Chips, pins: Arc<Pins>, step: Duration) {
    thread::spawn(move || {
        // Best effort: a stale level would show the program a pulse that is over. Where it is refused
        // the machine has to be less busy.
        let _ = realtime();
        loop {
            let now = log::now();
            for chip in chips.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                for channel in &chip.channels {
                    if let Some(gpio) = channel.gpio {
                        pins.put(gpio, channel.is_high(now));
                    }
                }
            }
            thread::sleep(step);
        }
    });
}

/// Puts the calling thread in front of the program's own.
fn realtime() -> Result<(), thread_priority::Error> {
    use thread_priority::unix::{
        RealtimeThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy,
        thread_native_id,
    };
    use thread_priority::{ThreadPriority, ThreadPriorityValue};
    let value =
        ThreadPriorityValue::try_from(60u8).map_err(|_| thread_priority::Error::Priority("60"))?;
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Crossplatform(value), policy)
}

fn start(options: &Options, log: &Log) -> io::Result<Child> {
    let (program, arguments) =
        options.program.split_first().ok_or_else(|| io::Error::other("no program"))?;
    let mut command = match options.user {
        User::Root => Command::new(program),
        User::Member | User::Stranger => {
            let groups =
                if options.user == User::Member { GPIO_GROUP.to_string() } else { ORDINARY.into() };
            let mut command = Command::new("setpriv");
            command.args(["--reuid", ORDINARY, "--regid", ORDINARY, "--groups", &groups, "--"]);
            command.arg(world::copy_program(program)?);
            command
        }
    };
    command
        .args(arguments)
        .env_remove(INSIDE)
        .env_remove("RUNTIME_DIRECTORY")
        .env_remove("XDG_RUNTIME_DIR")
        .env_remove("SUDO_UID")
        .env("LD_PRELOAD", world::PRELOAD)
        .env("FAKE_PI_LOG_FD", log.fd().to_string())
        .env("FAKE_PI_CHIP_LABEL", options.board.chip_label)
        .env("FAKE_PI_BUSY_LINES", &options.busy_lines);
    command.spawn().map_err(|e| io::Error::other(format!("{program}: {e}")))
}

/// Waits for the program, sends it its signals, and kills it when it takes too long.
fn supervise(child: &mut Child, options: &Options) -> io::Result<u8> {
    let began = Instant::now();
    let mut signals = options.signals.clone();
    signals.sort_by_key(|s| s.1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(code(status));
        }
        while signals.first().is_some_and(|s| began.elapsed() >= s.1) {
            let (name, _) = signals.remove(0);
            send(child, &name)?;
        }
        if began.elapsed() > options.timeout {
            eprintln!("fake-pi: the program did not end within {:?}", options.timeout);
            child.kill()?;
            child.wait()?;
            return Ok(TIMED_OUT);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn send(child: &Child, name: &str) -> io::Result<()> {
    let signal = match name {
        "INT" => Signal::INT,
        "TERM" => Signal::TERM,
        "HUP" => Signal::HUP,
        _ => {
            return Err(io::Error::other(format!("--signal {name}: INT, TERM or HUP")));
        }
    };
    Ok(kill_process(Pid::from_child(child), signal)?)
}

/// The exit status as a shell tells it: 128 and the signal's number where one ended the program.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or(status.signal().map(|s| 128 + s));
    code.and_then(|c| u8::try_from(c).ok()).unwrap_or(TROUBLE)
}
