//! The pins that a config needs: what they do now, and who else has them.

use std::cell::OnceCell;

use super::config_txt::ConfigTxt;
use super::host::{Header, Host};
use super::{Finding, Needs, Use, and, gpios};
use crate::board::{self, Model, Pull};
use crate::hal::{PinFunction, PinSeen};

/// A machine that is a Raspberry Pi, with what several checks want to know of it.
pub(super) struct OnBoard<'a> {
    pub host: &'a Host,
    pub header: &'a dyn Header,
    pub board: Model,
    pub needs: Option<&'a Needs>,
    pub config_txt: Option<ConfigTxt>,
    seen: OnceCell<Result<Vec<PinSeen>, String>>,
}

impl<'a> OnBoard<'a> {
    pub fn new(
        host: &'a Host,
        header: &'a dyn Header,
        board: Model,
        needs: Option<&'a Needs>,
    ) -> OnBoard<'a> {
        let config_txt = ConfigTxt::read(host, board);
        OnBoard { host, header, board, needs, config_txt, seen: OnceCell::new() }
    }

    /// The pins that need hardware PWM.
    pub fn pwm(&self) -> Vec<u8> {
        self.needs.map(Needs::pwm).unwrap_or_default()
    }

    /// What the needed pins do now.
    pub fn seen(&self) -> Result<&[PinSeen], &str> {
        let look = || {
            let mut gpios: Vec<u8> =
                self.needs.iter().flat_map(|n| &n.pins).map(|p| p.gpio).collect();
            gpios.sort_unstable();
            gpios.dedup();
            match gpios[..] {
                [] => Ok(Vec::new()),
                _ => self.header.look_at(&gpios),
            }
        };
        self.seen.get_or_init(look).as_deref().map_err(String::as_str)
    }

    fn seen_at(&self, gpio: u8) -> Option<&PinSeen> {
        self.seen().ok()?.iter().find(|p| p.gpio == gpio)
    }

    /// Whether the pin carries its PWM channel now; `None` where that can't be seen.
    pub fn carries_pwm(&self, gpio: u8) -> Option<bool> {
        let wanted = format!("ALT{}", self.board.pwm_alt(gpio)?);
        Some(self.seen_at(gpio)?.function == PinFunction::Other(wanted))
    }

    /// `/boot/firmware/config.txt`, or where it is here.
    pub fn config_txt_path(&self) -> &str {
        self.config_txt.as_ref().map_or("/boot/firmware/config.txt", |c| &c.path)
    }
}

/// What the pins do now.
pub(super) fn functions(on: &OnBoard) -> Finding {
    const CHECK: &str = "pin functions";
    let Some(needs) = on.needs.filter(|n| !n.pins.is_empty()) else {
        return Finding::ok(CHECK, "no config, so no pins to look at");
    };
    if let Err(why) = on.seen() {
        return Finding::unknown(CHECK, format!("the pins can't be read: {why}"));
    }
    let (mut wrong, mut taken) = (Vec::new(), Vec::new());
    for need in &needs.pins {
        let Some(pin) = on.seen_at(need.gpio) else { continue };
        let function = match &pin.function {
            PinFunction::Input => "an input",
            PinFunction::Output => "an output",
            PinFunction::Nothing => "without a function",
            PinFunction::Other(name) => name,
        };
        let who = format!("GPIO{} ({}) is {function}", need.gpio, need.who);
        match (need.what, &pin.function) {
            (Use::Pwm, _) if on.carries_pwm(need.gpio) == Some(false) => wrong.push(who),
            (Use::Output | Use::Enable { .. } | Use::Input, PinFunction::Other(_)) => {
                taken.push(who)
            }
            _ => {}
        }
    }
    if !wrong.is_empty() {
        let says = format!("{}: no PWM comes out there", and(&wrong));
        let finding = match needs.commands.is_empty() {
            true => says + "; the overlay's line mends it, and a reboot",
            false => says + "; the overlay's line and a reboot, or the command here, mend it",
        };
        return Finding::todo(CHECK, finding).acts(needs.commands.clone());
    }
    if !taken.is_empty() {
        let says = format!(
            "{}: a device driver may use it, and the program will take it: see what in {} asks for that",
            and(&taken),
            on.config_txt_path()
        );
        return Finding::advice(CHECK, says);
    }
    Finding::ok(CHECK, "all pins of the config can serve")
}

/// Programs that drive pins past the kernel's books, by the name of their process.
const DRIVERS: [&str; 4] = ["pigpiod", "servod", "pi-blaster", "lgd"];

/// Who else has the pins.
pub(super) fn users(on: &OnBoard) -> Finding {
    const CHECK: &str = "pin users";
    let needs = on.needs.map(|n| n.pins.as_slice()).unwrap_or_default();
    let running = processes(on.host);
    let others: Vec<String> =
        running.iter().filter(|p| p.1 == "lockstep").map(|p| p.0.clone()).collect();
    let daemons: Vec<String> =
        running.into_iter().map(|p| p.1).filter(|name| DRIVERS.contains(&name.as_str())).collect();
    let lines = on.header.lines_in_use(on.board.gpiochip_label());
    let ours = |gpio: u8| needs.iter().find(|n| n.gpio == gpio);
    let mut taken: Vec<String> = Vec::new();
    for line in lines.iter().flatten() {
        let Some(need) = ours(line.gpio) else { continue };
        // The kernel counts a pin with a PWM function as used, by nobody.
        if line.consumer.is_empty() && need.what == Use::Pwm {
            continue;
        }
        let consumer = if line.consumer.is_empty() { "the kernel" } else { &line.consumer };
        taken.push(format!("GPIO{} ({}) is used by `{consumer}`", line.gpio, need.who));
    }
    for exported in on.host.names("sys/class/gpio") {
        let number = exported.strip_prefix("gpio").and_then(|n| n.parse().ok());
        if let Some(need) = number.and_then(ours) {
            taken.push(format!("GPIO{} ({}) is exported in /sys/class/gpio", need.gpio, need.who));
        }
    }
    if !taken.is_empty() && others.is_empty() {
        let says = format!("{}: end what uses it, or wire another pin", and(&taken));
        return Finding::todo(CHECK, says);
    }
    if !daemons.is_empty() {
        let says = format!(
            "{} runs, and may drive the same pins unseen by anybody: stop it",
            and(&daemons)
        );
        let stop = daemons.iter().map(|d| format!("sudo systemctl disable --now {d}"));
        return Finding::advice(CHECK, says).acts(stop);
    }
    if !others.is_empty() {
        let says = format!(
            "another lockstep has them (process {}): `run` is refused until it ends",
            and(&others)
        );
        return Finding::ok(CHECK, says);
    }
    match lines {
        Err(why) => Finding::unknown(CHECK, format!("nobody can say who has the lines: {why}")),
        Ok(lines) if needs.is_empty() => {
            let all: Vec<u8> = lines.iter().map(|l| l.gpio).collect();
            match all[..] {
                [] => Finding::ok(CHECK, "no line of the header is in use"),
                _ => Finding::ok(CHECK, format!("in use by somebody: {}", gpios(&all))),
            }
        }
        Ok(_) => Finding::ok(CHECK, "nobody else has a pin of the config"),
    }
}

/// Every process but this one: its number and its name.
fn processes(host: &Host) -> Vec<(String, String)> {
    let this = host.link("proc/self").unwrap_or_default();
    let numbers = host.names("proc").into_iter();
    let numbers = numbers.filter(|n| n.bytes().all(|b| b.is_ascii_digit()) && *n != this);
    numbers.filter_map(|n| Some((n.clone(), host.word(format!("proc/{n}/comm"))?))).collect()
}

/// Whether drivers stay without power from power-on until a program takes their enable lines.
pub(super) fn enable_levels(on: &OnBoard) -> Finding {
    const CHECK: &str = "enable lines at boot";
    let enables: Vec<(u8, bool)> = on
        .needs
        .iter()
        .flat_map(|n| &n.pins)
        .filter_map(|p| match p.what {
            Use::Enable { active_low } => Some((p.gpio, active_low)),
            _ => None,
        })
        .collect();
    if enables.is_empty() {
        return Finding::ok(CHECK, "no enable line in the config");
    }
    let Some(config_txt) = &on.config_txt else {
        let says = format!("{} can't be read: it should have", on.config_txt_path());
        let lines = on.needs.map(|n| n.lines("gpio=")).unwrap_or_default();
        return Finding::unknown(CHECK, says).acts(lines);
    };
    let mut missing = Vec::new();
    let mut now = Vec::new();
    for line in on.needs.iter().flat_map(|n| n.lines("gpio=")) {
        let gpio = line.trim_start_matches("gpio=").split('=').next().and_then(|g| g.parse().ok());
        let Some(gpio) = gpio else { continue };
        if config_txt.driven(gpio) != Some(line.ends_with("dh")) {
            missing.push(line);
            let active_low = enables.contains(&(gpio, true));
            let floats = on.seen_at(gpio).filter(|p| p.function == PinFunction::Input);
            if floats.is_some_and(|p| p.level.is_high() != active_low)
                || floats.is_none() && active_low && board::power_on_pull(gpio) == Pull::Down
            {
                now.push(gpio);
            }
        }
    }
    if missing.is_empty() {
        return Finding::ok(CHECK, "driven to a safe level by the firmware");
    }
    let pulled = match now[..] {
        [] => "nothing but a pull-up of the driver's board keeps them safe until a program runs"
            .to_owned(),
        _ => format!("{}: the driver has power from power-on until a program runs", gpios(&now)),
    };
    Finding::advice(CHECK, format!("{pulled}; add to {}", on.config_txt_path())).acts(missing)
}
