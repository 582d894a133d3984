//! The group that may use the control socket.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use super::serve::ServeError;

/// A group by the name that the config gives it.
pub(super) struct Group {
    name: String,
    number: u32,
}

/// Looks a group up.
pub(super) fn number(name: &str) -> Result<Group, ServeError> {
    let number = crate::files::group(name).ok_or_else(|| ServeError::NoGroup(name.to_owned()))?;
    Ok(Group { name: name.to_owned(), number })
}

/// Lets the owner of a file and a group read and write it, and nobody else. In between nobody but its
/// owner may.
pub(super) fn give(path: &Path, group: Option<&Group>) -> Result<(), ServeError> {
    let place = |error: io::Error| {
        let what = "the control socket";
        ServeError::Place { what, path: path.to_owned(), error }
    };
    let allow = |mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(place);
    if let Some(Group { name, number }) = group {
        allow(0o600)?;
        chown(path, None, Some(*number))
            .map_err(|error| ServeError::NotInGroup { group: name.clone(), error })?;
    }
    allow(0o660)
}
