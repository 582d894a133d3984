//! What each signal of a trace is to its config.

use super::VerifyError;
use crate::config::{Config, Wire};
use crate::trace::{Signal, SignalKind};

/// What a signal is; a motor by its index in the config.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Wire(usize, Wire),
    Position(usize),
    Lateness(usize),
    Moves,
}

/// What each signal is; an error where trace and config do not fit each other.
pub(super) fn roles(signals: &[Signal], config: &Config) -> Result<Vec<Option<Role>>, VerifyError> {
    let mismatch = |text: String| Err(VerifyError::Mismatch(text));
    let mut wanted: Vec<(String, &str, SignalKind, Role)> = Vec::new();
    for (index, motor) in config.motors.iter().enumerate() {
        let mut want =
            |name: &'static str, kind, role| wanted.push((motor.name.clone(), name, kind, role));
        let mut wire = |name, wire| want(name, SignalKind::Wire, Role::Wire(index, wire));
        for (name, which) in motor.drive.kind().wires() {
            wire(name, which);
        }
        want("position", SignalKind::Real, Role::Position(index));
        want("lateness", SignalKind::Real, Role::Lateness(index));
    }
    wanted.push(("machine".to_owned(), "move", SignalKind::Text, Role::Moves));
    let mut roles = vec![None; signals.len()];
    for signal in signals {
        let (scope, name) = (signal.scope(), signal.name());
        let Some(found) = wanted.iter().find(|w| w.0 == scope && w.1 == name) else {
            let known = scope == "machine" || config.motor(scope).is_some();
            let what = if known { "signal" } else { "motor" };
            return mismatch(format!(
                "it has `{scope}.{name}`, a {what} that the config does not have"
            ));
        };
        if found.2 != signal.kind() {
            return mismatch(format!("`{scope}.{name}` is of another kind"));
        }
        roles[signal.id().index()] = Some(found.3);
    }
    // A trace of virtual time has no lateness.
    let needed = wanted.iter().filter(|w| !matches!(w.3, Role::Lateness(_)));
    let lacks = { needed }.find(|w| !roles.contains(&Some(w.3)));
    match lacks {
        Some((scope, name, ..)) => {
            mismatch(format!("it has no `{scope}.{name}`, which the config needs"))
        }
        None => Ok(roles),
    }
}
