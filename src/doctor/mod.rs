//! What `lockstep doctor` knows: it reads a machine, and says line by line what is right and what is to
//! be done before a config can run on it.
//!
//! Reading ([`Host`], under a root folder that a test replaces, and [`Header`], which asks the pins
//! themselves) is kept apart from judging (everything else here), which is arithmetic on what was read.
//!
//! Sources: the kernel's documentation (`admin-guide/sysctl/kernel.rst`, `ABI/testing/sysfs-class-pwm`,
//! `proc(5)`), Raspberry Pi's documentation of `config.txt` and of `get_throttled`, and rppal's own source.

mod config_txt;
mod header;
mod host;
mod lateness;
mod pins;
mod power;
mod service;
mod timing;

#[cfg(test)]
#[cfg(unix)]
mod tests;

use std::time::Duration;

pub(crate) use host::{Header, Host, ThisHeader};
pub(crate) use lateness::{MAX_LATENESS, RateSeen, SPIN, STEP_RATES};

use crate::board::Model;
use crate::hal::HalError;

/// What became of one check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Right, or no matter here.
    Ok,
    /// Before this is done the config can't run.
    Todo,
    /// It runs without, and better with it.
    Advice,
    /// It can't be told from here.
    Unknown,
}

impl Verdict {
    /// As people read it.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Todo => "to do",
            Verdict::Advice => "advice",
            Verdict::Unknown => "?",
        }
    }

    /// As programs read it.
    pub fn key(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Todo => "todo",
            Verdict::Advice => "advice",
            Verdict::Unknown => "unknown",
        }
    }
}

/// One line of the doctor's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Finding {
    /// The check, in a word or two.
    pub check: &'static str,
    /// What became of it.
    pub verdict: Verdict,
    /// What was seen, and what it means.
    pub says: String,
    /// Lines to write, commands to enter: each as it is typed.
    pub actions: Vec<String>,
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict, says: impl Into<String>) -> Finding {
        Finding { check, verdict, says: says.into(), actions: Vec::new() }
    }

    fn ok(check: &'static str, says: impl Into<String>) -> Finding {
        Finding::new(check, Verdict::Ok, says)
    }

    fn todo(check: &'static str, says: impl Into<String>) -> Finding {
        Finding::new(check, Verdict::Todo, says)
    }

    fn advice(check: &'static str, says: impl Into<String>) -> Finding {
        Finding::new(check, Verdict::Advice, says)
    }

    fn unknown(check: &'static str, says: impl Into<String>) -> Finding {
        Finding::new(check, Verdict::Unknown, says)
    }

    fn act(mut self, action: impl Into<String>) -> Finding {
        self.actions.push(action.into());
        self
    }

    fn acts(mut self, actions: impl IntoIterator<Item = String>) -> Finding {
        self.actions.extend(actions);
        self
    }
}

/// What a pin is needed for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Use {
    /// A hardware PWM channel comes out of it.
    Pwm,
    /// A program sets its level.
    Output,
    /// A driver's enable line, active when low or when high.
    Enable {
        /// Whether it is active when low.
        active_low: bool,
    },
    /// A program reads its level.
    Input,
}

/// A pin that a config needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PinNeed {
    /// Its GPIO number.
    pub gpio: u8,
    /// Who needs it: `x STEP`.
    pub who: String,
    /// What for.
    pub what: Use,
}

/// What a config asks of a machine.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Needs {
    /// The board that it is written for, where it says so.
    pub board: Option<Model>,
    /// Its pins.
    pub pins: Vec<PinNeed>,
    /// Lines for `config.txt`.
    pub config_txt: Vec<String>,
    /// Commands to run after each boot, for what `config.txt` can't do.
    pub commands: Vec<String>,
    /// The top step rate of each axis whose steps a thread makes, steps a second.
    pub step_rates: Vec<(String, f64)>,
    /// Beyond this lateness a move comes to rest on hardware.
    pub max_lateness: Duration,
    /// The share of the time between two edges that a loop may spin away, 0 to 1.
    pub spin: f64,
    /// The motors that begin where they stood when the service ended.
    pub keeps_place: Vec<String>,
}

impl Needs {
    fn pwm(&self) -> Vec<u8> {
        let mut gpios: Vec<u8> =
            self.pins.iter().filter(|p| p.what == Use::Pwm).map(|p| p.gpio).collect();
        gpios.sort_unstable();
        gpios.dedup();
        gpios
    }

    /// The lines for `config.txt` that begin with one of these.
    fn lines(&self, begin: &str) -> Vec<String> {
        self.config_txt.iter().filter(|l| l.starts_with(begin)).cloned().collect()
    }

    fn fastest(&self) -> Option<&(String, f64)> {
        self.step_rates.iter().max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// The board that the machine says it is.
pub(crate) fn board(host: &Host) -> Result<Model, HalError> {
    let read = |path: &str| host.read(path).unwrap_or_default();
    crate::hal::identify(
        &read("proc/cpuinfo"),
        &read("sys/firmware/devicetree/base/compatible"),
        &read("sys/firmware/devicetree/base/model"),
    )
}

/// Makes every check on a machine, for a config or for the machine alone. `rates`: how late steps came
/// in a test at several rates ([`STEP_RATES`]); none where it was left out.
pub(crate) fn examine(
    host: &Host,
    header: &dyn Header,
    needs: Option<&Needs>,
    rates: &[RateSeen],
) -> Vec<Finding> {
    let board = board(host);
    let mut all =
        vec![header::board(&board, needs), header::kernel(host, board.as_ref().ok(), needs)];
    if let Ok(board) = board {
        let on_board = pins::OnBoard::new(host, header, board, needs);
        all.push(header::overlay(&on_board));
        all.push(header::pwm_chip(&on_board));
        all.push(pins::functions(&on_board));
        all.push(header::permissions(&on_board));
        all.push(pins::users(&on_board));
        all.push(header::audio(&on_board));
        all.push(pins::enable_levels(&on_board));
    }
    all.push(timing::limits(host));
    all.push(timing::throttling(host, needs));
    all.push(timing::governor(host));
    if board.is_ok() {
        all.push(power::power(host));
    }
    all.push(timing::preemption(host, needs));
    all.push(timing::clock_source(host));
    all.extend(lateness::lateness(rates, needs, board.is_ok()));
    all.push(service::service(host));
    all.push(service::socket(host));
    all.push(service::state(header, needs));
    all
}

/// Whether anything must be done before the config can run.
pub(crate) fn must_do(findings: &[Finding]) -> bool {
    findings.iter().any(|f| f.verdict == Verdict::Todo)
}

/// `GPIO17, GPIO18 and GPIO19`.
fn gpios(gpios: &[u8]) -> String {
    let names: Vec<String> = gpios.iter().map(|g| format!("GPIO{g}")).collect();
    and(&names)
}

/// `x, y and z`.
fn and(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
