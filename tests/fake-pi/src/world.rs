//! The files that make a machine look like a Raspberry Pi, in a mount namespace of our own.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use crate::boards::Board;
use crate::options::Options;
use crate::pwmfs::GPIO_GROUP;

/// Everything that is not a device of the board lives here.
const HIDDEN: &str = "/sys/firmware/.fake-pi";

/// The library to preload.
pub const PRELOAD: &str = "/sys/firmware/.fake-pi/preload.so";

/// Builds the board's files. Returns the one behind `/dev/gpiomem`.
pub fn build(options: &Options) -> io::Result<File> {
    let board = options.board;
    mount(&["-t", "tmpfs", "-o", "mode=755", "fake-pi", "/sys/firmware"])?;
    let tree = Path::new("/sys/firmware/devicetree/base");
    fs::create_dir_all(tree)?;
    fs::write(tree.join("model"), format!("{}\0", board.model))?;
    fs::write(tree.join("compatible"), board.compatible)?;
    fs::create_dir(HIDDEN)?;
    for chip in &options.chips {
        let folder = device_folder(&chip.device);
        fs::create_dir_all(&folder)?;
        symlink(format!("../../bus/drivers/{}", chip.driver), format!("{folder}/driver"))?;
    }
    fs::write(PRELOAD, include_bytes!(env!("FAKE_PI_PRELOAD")))?;
    cpuinfo(board)?;
    mount(&["-t", "tmpfs", "-o", "mode=755", "fake-pi", "/sys/class"])?;
    fs::create_dir("/sys/class/pwm")?;
    // What the program keeps while it runs is this world's alone.
    mount(&["-t", "tmpfs", "-o", "mode=755", "fake-pi", "/run"])?;
    devices(options)
}

/// Where the device of a further PWM chip is.
pub fn device_folder(device: &str) -> String {
    format!("{HIDDEN}/devices/{device}")
}

fn cpuinfo(board: &Board) -> io::Result<()> {
    let mut text = "processor\t: 0\nBogoMIPS\t: 108.00\n\n".to_owned();
    if let Some(revision) = board.revision {
        text += &format!("Revision\t: {revision}\nSerial\t\t: 10000000deadbeef\n");
    }
    text += &format!("Model\t\t: {}\n", board.model);
    let path = format!("{HIDDEN}/cpuinfo");
    fs::write(&path, text)?;
    mount(&["--bind", &path, "/proc/cpuinfo"])
}

/// A `/dev` with the usual nodes and the board's.
fn devices(options: &Options) -> io::Result<File> {
    let old = format!("{HIDDEN}/dev");
    fs::create_dir(&old)?;
    mount(&["--rbind", "/dev", &old])?;
    mount(&["-t", "tmpfs", "-o", "mode=755", "fake-pi", "/dev"])?;
    for node in ["null", "zero", "full", "random", "urandom", "tty", "ptmx", "fuse"] {
        let from = format!("{old}/{node}");
        if Path::new(&from).exists() {
            File::create(format!("/dev/{node}"))?;
            mount(&["--bind", &from, &format!("/dev/{node}")])?;
        }
    }
    for folder in ["pts", "shm"] {
        let from = format!("{old}/{folder}");
        if Path::new(&from).is_dir() {
            fs::create_dir(format!("/dev/{folder}"))?;
            mount(&["--rbind", &from, &format!("/dev/{folder}")])?;
        }
    }
    symlink("/proc/self/fd", "/dev/fd")?;
    for (n, name) in ["stdin", "stdout", "stderr"].iter().enumerate() {
        symlink(format!("/proc/self/fd/{n}"), format!("/dev/{name}"))?;
    }
    fs::create_dir("/dev/.fake-pi")?;
    for pin in 0..28 {
        let fifo = format!("/dev/.fake-pi/line-{pin}");
        run(Command::new("mkfifo").args(["-m", "666", &fifo]))?;
    }
    let is_missing = |what: &str| options.missing.iter().any(|m| m == what);
    if !is_missing("gpiochip") {
        File::create("/dev/gpiochip0")?;
        give("/dev/gpiochip0")?;
    }
    let gpiomem = options.board.gpiomem;
    // Without it the pins still need their memory.
    let path = if is_missing("gpiomem") { format!("{HIDDEN}/gpiomem") } else { gpiomem.to_owned() };
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    give(&path)?;
    Ok(file)
}

/// As udev leaves the GPIO devices.
fn give(path: &str) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o660))?;
    chown(path, Some(0), Some(GPIO_GROUP))
}

/// Copies the program to where an ordinary user may run it. Returns the copy's path.
pub fn copy_program(program: &str) -> io::Result<String> {
    let copy = format!("{HIDDEN}/program");
    fs::copy(program, &copy)?;
    fs::set_permissions(&copy, Permissions::from_mode(0o755))?;
    Ok(copy)
}

fn mount(arguments: &[&str]) -> io::Result<()> {
    run(Command::new("mount").args(arguments))
}

fn run(command: &mut Command) -> io::Result<()> {
    let status = command.status()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{command:?}: {status}")))
}
