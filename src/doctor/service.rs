//! The service: its unit and its socket.

use std::path::Path;

use super::host::Access;
use super::host::Want;
use super::{Finding, Header, Host, Needs, and};

const UNIT: &str = "lockstep.service";
const SOCKET: &str = "run/lockstep/control.sock";
/// The unit's `StateDirectory=`.
const STATE: &str = "/var/lib/lockstep";
const FSTAB: &str = "LABEL=lockstep  /var/lib/lockstep  ext4  defaults,noatime  0  2";

/// Whether a process runs in the service's control group.
pub(super) fn is_active(host: &Host) -> bool {
    let processes = format!("sys/fs/cgroup/system.slice/{UNIT}/cgroup.procs");
    host.read(processes).is_some_and(|p| !p.trim().is_empty())
}

pub(super) fn service(host: &Host) -> Finding {
    const CHECK: &str = "service";
    let places = ["etc", "run", "usr/local/lib", "usr/lib", "lib"];
    if !places.iter().any(|p| host.exists(format!("{p}/systemd/system/{UNIT}"))) {
        return Finding::ok(CHECK, "not installed (`lockstep run` needs none)");
    }
    let enabled = host.exists(format!("etc/systemd/system/multi-user.target.wants/{UNIT}"));
    match (is_active(host), enabled) {
        (true, true) => Finding::ok(CHECK, "runs, and starts at boot"),
        (true, false) => Finding::advice(CHECK, "runs, but does not start at boot")
            .act("sudo systemctl enable lockstep"),
        (false, true) if !host.exists("etc/lockstep/lockstep.toml") => {
            Finding::advice(CHECK, "starts at boot as soon as there is /etc/lockstep/lockstep.toml")
        }
        (false, true) => {
            Finding::advice(CHECK, "starts at boot, but does not run: see why, and start it")
                .act("journalctl --unit lockstep --boot --lines 30")
                .act("sudo systemctl start lockstep")
        }
        (false, false) => Finding::ok(CHECK, "installed, but switched off")
            .act("sudo systemctl enable --now lockstep"),
    }
}

pub(super) fn socket(host: &Host) -> Finding {
    const CHECK: &str = "socket";
    let (Some(user), true) = (host.user(), host.exists(SOCKET)) else {
        return match is_active(host) {
            true => Finding::advice(CHECK, format!("the service runs, but /{SOCKET} is not there"))
                .act("journalctl --unit lockstep --boot --lines 30"),
            false => Finding::ok(CHECK, "none: no service listens"),
        };
    };
    match host.access(&user, SOCKET, Want::Write) {
        Access::Refused { group, .. } => {
            let name = host.user_name(&user);
            let says = format!(
                "{name} may not use /{SOCKET}, which is for the group {group}: join it, and log \
                                in again"
            );
            Finding::advice(CHECK, says).act(format!("sudo usermod -aG {group} {name}"))
        }
        Access::Granted | Access::Missing if listens(host) => {
            Finding::ok(CHECK, format!("/{SOCKET} answers"))
        }
        _ => Finding::advice(CHECK, format!("nobody listens at /{SOCKET}: a service has died"))
            .act("sudo systemctl restart lockstep"),
    }
}

/// Whether the state folder, in which places outlive a power cut, lasts.
pub(super) fn state(header: &dyn Header, needs: Option<&Needs>) -> Finding {
    const CHECK: &str = "state";
    let Some(kind) = header.forgets(Path::new(STATE)) else {
        return Finding::ok(CHECK, format!("what is written to {STATE} lasts"));
    };
    let forgets = format!("{STATE} is on {kind}, which forgets: nothing is restored from there");
    match needs.map(|needs| and(&needs.keeps_place)) {
        Some(nobody) if nobody.is_empty() => {
            Finding::ok(CHECK, format!("{forgets}; this config has nothing to restore"))
        }
        Some(motors) => Finding::advice(
            CHECK,
            format!(
                "{forgets}, and {motors} will not know their place after a restart: give it a partition of \
                 its own, in /etc/fstab"
            ),
        )
        .act(FSTAB),
        None => Finding::advice(
            CHECK,
            format!("{forgets}: give it a partition of its own, in /etc/fstab"),
        )
        .act(FSTAB),
    }
}

#[cfg(unix)]
fn listens(host: &Host) -> bool {
    std::os::unix::net::UnixStream::connect(host.path(SOCKET)).is_ok()
}

#[cfg(not(unix))]
fn listens(_host: &Host) -> bool {
    false
}
