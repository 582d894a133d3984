//! The group that may use the control socket.

use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::umask;

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

/// Makes a socket that its owner and a group may use, and nobody else at any instant. Its mode is right from the
/// first: a mode that was set later, by the path, could be set on whatever a link leads to by then.
///
/// No other thread may make files meanwhile, since the umask is the whole process'.
pub(super) fn bind(path: &Path, group: Option<&Group>) -> Result<UnixListener, ServeError> {
    let place = |error: io::Error| {
        let what = "the control socket";
        ServeError::Place { what, path: path.to_owned(), error }
    };
    let others = Mode::XUSR | Mode::XGRP | Mode::RWXO;
    let before = umask(if group.is_some() { others | Mode::RWXG } else { others });
    let made = UnixListener::bind(path);
    umask(before);
    let listener = made.map_err(place)?;
    if let Some(group) = group {
        let given = give(path, group);
        given.inspect_err(|_| drop(std::fs::remove_file(path)))?;
    }
    Ok(listener)
}

/// Gives a socket that was made just now to a group: what has its name by now is looked at before.
#[cfg(target_os = "linux")]
fn give(path: &Path, group: &Group) -> Result<(), ServeError> {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::PermissionsExt;

    use rustix::fs::{AtFlags, FileType, Gid, OFlags, chownat, fstat, open};

    let place = |error: io::Error| {
        let what = "the control socket";
        ServeError::Place { what, path: path.to_owned(), error }
    };
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let socket = open(path, flags, Mode::empty()).map_err(|e| place(e.into()))?;
    let known = fstat(&socket).map_err(|e| place(e.into()))?;
    let mine = known.st_uid == rustix::process::geteuid().as_raw() && known.st_nlink == 1;
    if !mine || FileType::from_raw_mode(known.st_mode) != FileType::Socket {
        return Err(place(io::Error::other("somebody else has put something in its place")));
    }
    chownat(&socket, "", None, Some(Gid::from_raw(group.number)), AtFlags::EMPTY_PATH).map_err(
        |error| ServeError::NotInGroup { group: group.name.clone(), error: error.into() },
    )?;
    // There is no other way to change the mode of what is open without being read.
    let open = format!("/proc/self/fd/{}", socket.as_raw_fd());
    std::fs::set_permissions(open, std::fs::Permissions::from_mode(0o660)).map_err(place)
}

/// The same, as far as the system lets it.
#[cfg(not(target_os = "linux"))]
fn give(path: &Path, group: &Group) -> Result<(), ServeError> {
    use std::os::unix::fs::{PermissionsExt, lchown};

    lchown(path, None, Some(group.number))
        .map_err(|error| ServeError::NotInGroup { group: group.name.clone(), error })?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(|error| {
        ServeError::Place { what: "the control socket", path: path.to_owned(), error }
    })
}
