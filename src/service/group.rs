//! The group that may use the control socket.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use super::serve::ServeError;

const GROUPS: &str = "/etc/group";

/// A group by the name that the config gives it.
pub(super) struct Group {
    name: String,
    number: u32,
}

/// Looks a group up: by its number, or by its name in /etc/group. What other services of the system
/// know is not asked: such a group goes by its number.
pub(super) fn number(name: &str) -> Result<Group, ServeError> {
    let found = name.parse().ok().or_else(|| {
        let groups = std::fs::read_to_string(GROUPS).unwrap_or_default();
        number_in(&groups, name)
    });
    let name = name.to_owned();
    match found {
        Some(number) => Ok(Group { name, number }),
        None => Err(ServeError::NoGroup(name)),
    }
}

/// `name:password:number:members`, a group on a line.
fn number_in(groups: &str, name: &str) -> Option<u32> {
    let of = |line: &str| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    };
    groups.lines().find_map(of)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_by_name_and_number() {
        let groups = "root:x:0:\n# no group\ngpio:x:997:pi,lockstep\nbad:x:\n";
        assert_eq!(number_in(groups, "gpio"), Some(997));
        for none in ["gp", "bad", "x", "", "pi"] {
            assert_eq!(number_in(groups, none), None, "{none}");
        }
        assert_eq!(number("12").ok().map(|g| g.number), Some(12));
        assert!(matches!(number("no such group"), Err(ServeError::NoGroup(_))));
    }
}
