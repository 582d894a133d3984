//! Runs a program under the fake Pi and reads what happened.

// Each test program has its own copy, and none uses all of it.
#![allow(dead_code)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Something that happened, with its time on the monotonic clock in nanoseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// A write below `/sys/class/pwm`: the pin's level at that moment (where it has one), and whether
    /// the kernel took it.
    Pwm { path: String, value: String, high: Option<bool>, ok: bool },
    /// A pin that the program drives changed its level.
    Gpio { pin: u8, high: bool },
    /// A pin's function changed; with the level it drives from then on, if it is an output.
    Mode { pin: u8, function: String, drives: Option<bool> },
    /// The program watches a line; how, in the kernel's words.
    Line { pin: u8, how: String },
    /// An edge from outside, with the kernel's time stamp.
    Inject { pin: u8, high: bool, at: u64 },
    /// A shell script wrote `mark NAME` (see [`shell`]).
    Mark(String),
    /// The program's end.
    Exit(u8),
}

/// What became of a program.
#[derive(Debug)]
pub struct Run {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
    pub log: Vec<(u64, Entry)>,
}

/// A program built in this workspace, by its name.
pub fn program(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_BIN_EXE_fake-pi")).with_file_name(name);
    assert!(path.exists(), "{} is missing: tests/fake-pi/run builds it", path.display());
    path
}

/// A config in a folder of its own, which anybody may read.
pub struct Config {
    _folder: tempfile::TempDir,
    pub path: String,
}

impl Config {
    pub fn new(text: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let path = folder.path().join("test.toml");
        std::fs::write(&path, text).unwrap();
        Config { path: path.to_str().unwrap().to_owned(), _folder: folder }
    }

    /// One that comes with the program, on a machine that may be busy with other things.
    pub fn patient(name: &str) -> Config {
        let text = shipped(name);
        assert!(text.contains("\n[machine]\n"));
        Config::new(&text.replacen("[machine]", "[machine]\nmax-lateness = \"10s\"", 1))
    }
}

/// The text of a config that comes with the program.
pub fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Runs `lockstep run --config CONFIG` with more arguments.
pub fn lockstep(options: &str, config: &Config, arguments: &str) -> Run {
    run(options, "lockstep", &format!("run --config {} {arguments}", config.path))
}

/// Runs `name` with `arguments` under the fake Pi with `options`, both as on a command line.
pub fn run(options: &str, name: &str, arguments: &str) -> Run {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    run_words(options, &program(name), &words)
}

/// Runs a shell script, in which `lockstep` is the program and `mark NAME` leaves a mark in the log.
pub fn shell(options: &str, script: &str) -> Run {
    let lockstep = program("lockstep");
    let script = format!(
        "lockstep() {{ {lockstep} \"$@\"; }}\nLOCKSTEP={lockstep}\n\
         mark() {{ echo \"0 mark $1\" >>/dev/fd/$FAKE_PI_LOG_FD; }}\n{script}\n",
        lockstep = lockstep.display()
    );
    run_words(options, Path::new("/bin/sh"), &["-c", &script])
}

fn run_words(options: &str, program: &Path, arguments: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let output = Command::new(env!("CARGO_BIN_EXE_fake-pi"))
        .args(options.split_whitespace())
        .arg("--log")
        .arg(&log)
        .arg("--")
        .arg(program)
        .args(arguments)
        .output()
        .unwrap();
    let status = output.status.code().expect("the fake Pi exits by itself");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    // 125: the fake Pi could not do its work, so nothing was tested. 124: the program hung.
    assert!(!matches!(status, 124 | 125), "fake-pi: status {status}: {stderr}");
    let text = std::fs::read_to_string(&log).unwrap();
    Run {
        status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr,
        log: text
            .lines()
            .map(|line| entry(line).unwrap_or_else(|| panic!("log: {line}")))
            .collect(),
    }
}

fn entry(line: &str) -> Option<(u64, Entry)> {
    let mut words = line.split(' ');
    let at = words.next()?.parse().ok()?;
    let mut next = || words.next();
    let entry = match next()? {
        "pwm" => Entry::Pwm {
            path: next()?.to_owned(),
            value: next()?.to_owned(),
            high: match next()? {
                "-" => None,
                word => Some(level(word)?),
            },
            ok: next()? == "ok",
        },
        "gpio" => Entry::Gpio { pin: next()?.parse().ok()?, high: level(next()?)? },
        "mode" => Entry::Mode {
            pin: next()?.parse().ok()?,
            function: next()?.to_owned(),
            drives: next().and_then(level),
        },
        "line" => {
            let pin = next()?.parse().ok()?;
            Entry::Line { pin, how: words.collect::<Vec<_>>().join(" ") }
        }
        "inject" => Entry::Inject {
            pin: next()?.parse().ok()?,
            high: level(next()?)?,
            at: next()?.parse().ok()?,
        },
        "mark" => Entry::Mark(next()?.to_owned()),
        "exit" => Entry::Exit(next()?.parse().ok()?),
        _ => return None,
    };
    Some((at, entry))
}

fn level(word: &str) -> Option<bool> {
    match word {
        "high" => Some(true),
        "low" => Some(false),
        _ => None,
    }
}

impl Run {
    /// The run, which must have ended well.
    pub fn expect_success(self) -> Run {
        assert_eq!(self.status, 0, "{}\n{:#?}", self.stderr, self.log);
        self
    }

    /// The writes to a PWM channel's file (or to all of them, for a folder): time, path, value, level.
    pub fn pwm_writes(&self, path: &str) -> Vec<(u64, &str, &str, Option<bool>)> {
        self.log
            .iter()
            .filter_map(|(at, entry)| match entry {
                Entry::Pwm { path: p, value, high, ok: true } if p.starts_with(path) => {
                    Some((*at, p.as_str(), value.as_str(), *high))
                }
                _ => None,
            })
            .collect()
    }

    /// The edges that the program made on a pin.
    pub fn edges(&self, pin: u8) -> Vec<(u64, bool)> {
        self.log
            .iter()
            .filter_map(|(at, entry)| match entry {
                Entry::Gpio { pin: p, high } if *p == pin => Some((*at, *high)),
                _ => None,
            })
            .collect()
    }

    /// The report of `--json`.
    pub fn report(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("{e}: {}\n{}", self.stdout, self.stderr))
    }

    /// Whether any pin or PWM channel was given something to do.
    pub fn touched(&self) -> bool {
        let moved = |e: &Entry| matches!(e, Entry::Mode { .. } | Entry::Gpio { .. });
        let signal = |e: &Entry| {
            matches!(e, Entry::Pwm { path, value, ok: true, .. }
                if path.ends_with("/enable") && value == "1")
        };
        self.log.iter().any(|(_, e)| moved(e) || signal(e))
    }

    /// The errors on standard error; warnings are none.
    pub fn errors(&self) -> Vec<&str> {
        self.stderr.lines().filter(|l| l.contains("error: ")).collect()
    }

    /// What came after a mark, up to the next.
    pub fn after(&self, mark: &str) -> Run {
        let is_mark = |e: &Entry| matches!(e, Entry::Mark(_));
        let at = self.log.iter().position(|(_, e)| *e == Entry::Mark(mark.to_owned()));
        let rest = &self.log[at.unwrap_or_else(|| panic!("no mark {mark}: {:#?}", self.log)) + 1..];
        let log = rest.iter().take_while(|(_, e)| !is_mark(e)).cloned().collect();
        Run { log, stdout: self.stdout.clone(), stderr: self.stderr.clone(), ..*self }
    }

    /// The functions that a pin got, each with the level it drives as an output.
    pub fn modes(&self, pin: u8) -> Vec<(&str, Option<bool>)> {
        self.log
            .iter()
            .filter_map(|(_, entry)| match entry {
                Entry::Mode { pin: p, function, drives } if *p == pin => {
                    Some((function.as_str(), *drives))
                }
                _ => None,
            })
            .collect()
    }
}

/// Asserts that no signal ever ran on `channel`, or that it ran and ended by the rules.
pub fn assert_no_signal_or_whole(run: &Run, channel: &str, period: u64) {
    let enable = run.pwm_writes(&format!("{channel}/enable"));
    if enable.iter().any(|w| w.2 == "1") {
        assert_whole_signal(run, channel, period);
    }
}

/// Asserts that a servo's signal on `channel` (`pwmchip0/pwm0`) ran by the rules: period before width
/// before enable; no write cut a pulse; and the end was width 0, a whole period, disable.
pub fn assert_whole_signal(run: &Run, channel: &str, period: u64) {
    let writes = run.pwm_writes(&format!("{channel}/"));
    let writes: Vec<_> = writes
        .iter()
        .map(|(at, path, value, high)| (*at, path.rsplit('/').next().unwrap(), *value, *high))
        .collect();
    let place = |file: &str, value: Option<&str>| {
        writes.iter().position(|w| w.1 == file && value.is_none_or(|v| w.2 == v))
    };
    let enabled = place("enable", Some("1")).unwrap_or_else(|| panic!("no signal: {writes:#?}"));
    let set_period = place("period", Some(&period.to_string())).expect("the period is set");
    let set_width = writes.iter().rposition(|w| w.1 == "duty_cycle" && w.0 < writes[enabled].0);
    assert!(set_period < set_width.expect("a width is set first"), "{writes:#?}");
    assert_eq!(writes.iter().filter(|w| w.1 == "period").count(), 1, "{writes:#?}");
    let end = &writes[enabled + 1..];
    let off = end.iter().position(|w| (w.1, w.2) == ("enable", "0")).expect("it is disabled");
    let last_width = end[..off].last().expect("a width before the end");
    assert_eq!((last_width.1, last_width.2), ("duty_cycle", "0"), "{writes:#?}");
    assert_eq!(last_width.3, Some(false), "width 0 was written into a pulse: {writes:#?}");
    assert_eq!(end[off].3, Some(false), "disabled in a pulse: {writes:#?}");
    assert!(end[off].0 >= last_width.0 + period, "less than a period: {writes:#?}");
    let after = &end[off + 1..];
    assert!(after.iter().all(|w| (w.1, w.2) == ("enable", "0")), "{writes:#?}");
}
