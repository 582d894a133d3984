//! The board, its kernel, and the way to its header.

use super::host::{Access, Host, Want};
use super::pins::OnBoard;
use super::{Finding, Needs, gpios};
use crate::board::Model;
use crate::hal::HalError;

pub(super) fn board(board: &Result<Model, HalError>, needs: Option<&Needs>) -> Finding {
    const CHECK: &str = "board";
    match (board, needs.and_then(|n| n.board)) {
        (Err(HalError::UnknownBoard { said: Some(said) }), _) => Finding::ok(
            CHECK,
            format!(
                "calls itself `{said}`, which is no Raspberry Pi that is known: the simulator runs here"
            ),
        ),
        (Err(_), _) => {
            Finding::ok(CHECK, "no Raspberry Pi: the simulator runs here, the header does not")
        }
        (Ok(board), Some(wanted)) if *board != wanted => Finding::todo(
            CHECK,
            format!("a {}, but the config is for a {}: write", board.name(), wanted.name()),
        )
        .act(format!("board = \"{board}\"")),
        (Ok(board), _) => Finding::ok(CHECK, format!("{} ({board})", board.name())),
    }
}

pub(super) fn kernel(host: &Host, board: Option<&Model>, needs: Option<&Needs>) -> Finding {
    const CHECK: &str = "kernel";
    let Some(release) = host.word("proc/sys/kernel/osrelease") else {
        return Finding::unknown(CHECK, "the system does not say which one it is");
    };
    let old = version(&release).is_some_and(|v| v < (6, 6));
    let own_pwm_block = board.is_some_and(|b| b.gpiochip_label() == "pinctrl-bcm2711");
    if own_pwm_block && old && needs.is_none_or(|n| !n.pwm().is_empty()) {
        let says = format!(
            "{release}: kernels of before March 2024 run the PWM of this board 7 % fast, so that a pulse of \
             1500 us comes out with 1400 us: bring it up to date"
        );
        return Finding::advice(CHECK, says).act("sudo apt update && sudo apt full-upgrade");
    }
    Finding::ok(CHECK, release)
}

/// The first two numbers of a kernel's release.
pub(super) fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The overlay that the config's PWM pins need.
pub(super) fn overlay(on: &OnBoard) -> Finding {
    const CHECK: &str = "overlay";
    let wanted = on.pwm();
    if wanted.is_empty() {
        return Finding::ok(CHECK, "none needed: no PWM pin in the config");
    }
    // Pins that no overlay reaches are put right by commands, and seen by their functions.
    let lines = on.needs.map(|n| n.lines("dtoverlay=")).unwrap_or_default();
    let by_overlay: Vec<u8> = match wanted.iter().find(|g| on.board.pwm_channel(**g).is_none()) {
        Some(gpio) => {
            let other = gpios(&on.board.pwm_pins());
            let says = format!("GPIO{gpio} has no hardware PWM on this board: use one of {other}");
            return Finding::todo(CHECK, says);
        }
        None => {
            let by_command = on.needs.map(|n| n.commands.join("\n")).unwrap_or_default();
            let named =
                |g: &u8| by_command.lines().any(|c| c.split(' ').nth(2) == Some(&g.to_string()));
            wanted.iter().copied().filter(|g| !named(g)).collect()
        }
    };
    let there = on.config_txt.as_ref().map(|c| c.pwm_pins());
    let missing = |there: &[u8]| by_overlay.iter().any(|g| !there.contains(g));
    let works = by_overlay.iter().all(|&g| on.carries_pwm(g) == Some(true)) && chip(on).is_some();
    match there {
        Some(there) if !missing(&there) => Finding::ok(
            CHECK,
            format!("{} has it for {}", on.config_txt_path(), gpios(&by_overlay)),
        ),
        _ if works => {
            Finding::ok(CHECK, format!("{} carry PWM, by whatever means", gpios(&by_overlay)))
        }
        Some(_) => {
            let says = format!(
                "no PWM for {}: add to {} and reboot",
                gpios(&by_overlay),
                on.config_txt_path()
            );
            Finding::todo(CHECK, says).acts(lines)
        }
        None => {
            let says = format!("{} can't be read: it should have", on.config_txt_path());
            Finding::unknown(CHECK, says).acts(lines)
        }
    }
}

/// The header's chip: its folder's name.
fn chip(on: &OnBoard) -> Option<String> {
    let chips = on.host.names("sys/class/pwm");
    chips.into_iter().find(|name| {
        let device = on.host.link(format!("sys/class/pwm/{name}/device")).unwrap_or_default();
        on.board.is_header_pwm(&device)
    })
}

pub(super) fn pwm_chip(on: &OnBoard) -> Finding {
    const CHECK: &str = "PWM chip";
    let wanted = on.pwm();
    let Some(chip) = chip(on) else {
        if wanted.is_empty() {
            return Finding::ok(CHECK, "none in /sys/class/pwm, and none needed");
        }
        let others = on.host.names("sys/class/pwm");
        let says = match (
            others.is_empty(),
            on.config_txt.as_ref().map(|c| c.pwm_pins().is_empty()),
        ) {
            (_, Some(false)) => {
                "the header's is not there, but config.txt asks for it: reboot; if it is \
                                 still missing, look for its overlay in `sudo vclog --msg`"
            }
            (true, _) => "none in /sys/class/pwm: it comes with the overlay and a reboot",
            (false, _) => {
                "those in /sys/class/pwm are not the header's: it comes with the overlay and a reboot"
            }
        };
        return Finding::todo(CHECK, says);
    };
    let channels = on.host.number(format!("sys/class/pwm/{chip}/npwm"));
    let highest = wanted.iter().filter_map(|&g| on.board.pwm_channel(g)).max();
    if let (Some(channels), Some(highest)) = (channels, highest)
        && channels <= i64::from(highest)
    {
        let says = format!(
            "{chip} has {channels} channels, and channel {highest} is needed: the PWM driver \
                            of this kernel does not fit the board"
        );
        return Finding::todo(CHECK, says);
    }
    let runs = |gpio: &u8| {
        let channel = on.board.pwm_channel(*gpio)?;
        let enable = format!("sys/class/pwm/{chip}/pwm{channel}/enable");
        (on.host.number(enable)? != 0).then_some(*gpio)
    };
    let running: Vec<u8> = wanted.iter().filter_map(runs).collect();
    let device = on.host.link(format!("sys/class/pwm/{chip}/device")).unwrap_or_default();
    let device = device.rsplit('/').next().unwrap_or_default();
    match running[..] {
        [] => Finding::ok(CHECK, format!("{chip} ({device})")),
        _ if super::service::is_active(on.host) => {
            Finding::ok(CHECK, format!("{chip} ({device}), driven by the service now"))
        }
        _ => {
            let says = format!(
                "{} have a signal already, of a program that runs or has died: end that program, then",
                gpios(&running)
            );
            Finding::todo(CHECK, says).act("sudo lockstep safe")
        }
    }
}

/// Whether the user may reach what the config needs.
pub(super) fn permissions(on: &OnBoard) -> Finding {
    const CHECK: &str = "permissions";
    let Some(user) = on.host.user() else {
        return Finding::unknown(CHECK, "the system does not say who you are");
    };
    let name = on.host.user_name(&user);
    let mut files = vec![on.board.gpiomem_path().trim_start_matches('/').to_owned()];
    let chips = on.host.names("dev").into_iter().filter(|n| n.starts_with("gpiochip"));
    files.extend(chips.take(1).map(|n| format!("dev/{n}")));
    let pwm = chip(on).filter(|_| !on.pwm().is_empty());
    files.extend(pwm.iter().map(|chip| format!("sys/class/pwm/{chip}/export")));
    for file in &files {
        let want = if file.ends_with("/export") { Want::Write } else { Want::Both };
        match on.host.access(&user, file, want) {
            Access::Granted => {}
            Access::Missing => {
                let says = format!(
                    "/{file} is missing: the kernel is not Raspberry Pi's own, or its driver is not loaded"
                );
                return Finding::todo(CHECK, says);
            }
            Access::Refused { group, by_group: false, mode } => {
                let says = format!(
                    "{name} may not use /{file} (group {group}, {mode}): no rule gives it to the group gpio. \
                     Install the udev rules, as docs/install.md says, and reboot"
                );
                return Finding::todo(CHECK, says);
            }
            Access::Refused { group, .. } => {
                let says = format!(
                    "{name} may not use /{file}, which is for the group {group}: join it, \
                                    and log in again"
                );
                return Finding::todo(CHECK, says).act(format!("sudo usermod -aG {group} {name}"));
            }
        }
    }
    let waits = pwm.is_some() && user.uid != 0 && !rules(on.host);
    if waits {
        let says = format!(
            "{name} may use all that it needs; but each PWM channel takes a second to open, since nothing \
             gives its files the mode 0770: install the udev rules, as docs/install.md says"
        );
        return Finding::advice(CHECK, says);
    }
    Finding::ok(CHECK, format!("{name} may use all that it needs"))
}

/// Whether this project's udev rules are there.
fn rules(host: &Host) -> bool {
    ["etc", "run", "usr/lib", "lib"]
        .iter()
        .any(|d| host.exists(format!("{d}/udev/rules.d/60-lockstep.rules")))
}

/// Up to the Pi 3 analog audio and the header share the PWM channels.
pub(super) fn audio(on: &OnBoard) -> Finding {
    const CHECK: &str = "audio";
    if !on.board.shares_audio() {
        return Finding::ok(CHECK, "does not use the header's PWM on this board");
    }
    if on.needs.is_some() && on.pwm().is_empty() {
        return Finding::ok(CHECK, "no PWM pin in the config to fight for");
    }
    let cards = on.host.read("proc/asound/cards");
    // The driver's cards for HDMI don't touch the PWM block.
    let plays =
        cards.as_deref().is_some_and(|c| c.contains("Headphones") || c.contains("bcm2835 ALSA"));
    let asked = on.config_txt.as_ref().and_then(|c| c.audio());
    let path = on.config_txt_path();
    match (plays, asked) {
        (true, Some(false)) => {
            Finding::todo(CHECK, format!("{path} switches it off, but it is still on: reboot"))
        }
        (true, _) | (false, Some(true)) => {
            let says =
                format!("analog audio uses the same PWM channels: set in {path}, and reboot");
            let finding = if on.pwm().is_empty() { Finding::advice } else { Finding::todo };
            finding(CHECK, says).act("dtparam=audio=off")
        }
        (false, _) => Finding::ok(CHECK, "analog audio is off"),
    }
}
