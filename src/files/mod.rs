//! What is to be known of files: whether they last, whether two are the same, and whose they are.

#[cfg(unix)]
mod folder;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

#[cfg(unix)]
#[allow(unused_imports, reason = "without the service some are not needed")]
pub(crate) use folder::{Folder, Trust, foreign, make_own};

/// The most bytes of a config: tens of thousands of steps.
pub(crate) const MOST_CONFIG: u64 = 16 << 20;

/// The file in a runtime folder that who drives the header has locked.
#[cfg(unix)]
pub(crate) const LOCK: &str = "lock";

/// The group that has the header's devices.
#[cfg(unix)]
pub(crate) const GPIO: &str = "gpio";

/// Opens a file that somebody has named, to read it. It never waits for anybody: what is no regular file, such as a
/// FIFO or a device, is refused.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        rustix::fs::OFlags::NONBLOCK.bits() as i32,
    );
    let file = options.open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    let what = if kind.is_dir() { "it is a folder" } else { "it is no regular file" };
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

/// Reads it whole; one of more than `most` bytes is refused.
pub(crate) fn read_regular(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    bounded(open_regular(path)?, most)
}

/// The bytes of a file, if there are at most so many.
fn bounded(file: File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // It may grow while it is read.
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let text = format!("it has more than {most} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(bytes)
}

/// The number of a group: by its number, or by its name in /etc/group. What other services of the system know is not
/// asked: such a group goes by its number.
#[cfg(unix)]
pub(crate) fn group(name: &str) -> Option<u32> {
    name.parse().ok().or_else(|| {
        let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
        group_in(&groups, name)
    })
}

/// `name:password:number:members`, a group on a line.
#[cfg(unix)]
fn group_in(groups: &str, name: &str) -> Option<u32> {
    let of = |line: &str| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    };
    groups.lines().find_map(of)
}

/// A sum of bytes (FNV-1a) that tells a text from another by accident; no protection against one who
/// means it.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub(crate) fn sum(bytes: &[u8]) -> String {
    let step = |sum: u64, &byte: &u8| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// What a file system is called that forgets, at the latest with the next boot, what was written to it:
/// one in memory, or an overlay, whose upper layer lies in memory as a rule. `None` for any other, and
/// where nobody can tell.
pub(crate) fn forgets(folder: &Path) -> Option<&'static str> {
    // The folder itself may be made only when it is first written to.
    let there = folder.ancestors().find(|f| f.exists())?;
    kind(there)
}

#[cfg(target_os = "linux")]
fn kind(path: &Path) -> Option<&'static str> {
    // From the kernel's `magic.h`.
    match rustix::fs::statfs(path).ok()?.f_type as u64 & 0xffff_ffff {
        0x794c_7630 => Some("overlay"),
        0x0102_1994 => Some("tmpfs"),
        0x8584_58f6 => Some("ramfs"),
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
fn kind(_path: &Path) -> Option<&'static str> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_fnv() {
        assert_eq!(sum(b""), "cbf29ce484222325");
        assert_eq!(sum(b"foobar"), "85944171f73967e8");
    }

    #[cfg(unix)]
    #[test]
    fn groups_by_name_and_number() {
        let groups = "root:x:0:\n# no group\ngpio:x:997:pi,lockstep\nbad:x:\n";
        assert_eq!(group_in(groups, "gpio"), Some(997));
        for none in ["gp", "bad", "x", "", "pi"] {
            assert_eq!(group_in(groups, none), None, "{none}");
        }
        assert_eq!(group("12"), Some(12));
        assert_eq!(group("no such group"), None);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_read_is_a_file_and_has_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let (file, fifo) = (folder.path().join("file"), folder.path().join("fifo"));
        std::fs::write(&file, "12345").unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        assert_eq!(read_regular(&file, 5).unwrap(), b"12345");
        let refused = |path: &Path, most| read_regular(path, most).unwrap_err().to_string();
        assert_eq!(refused(&file, 4), "it has more than 4 bytes");
        assert_eq!(refused(folder.path(), 5), "it is a folder");
        // Nobody writes into it, and a device never ends.
        for strange in [fifo.as_path(), Path::new("/dev/zero")] {
            assert_eq!(refused(strange, 5), "it is no regular file");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_forgets() {
        if Path::new("/dev/shm").is_dir() {
            assert_eq!(forgets(Path::new("/dev/shm/no/such/folder")), Some("tmpfs"));
        }
        assert_eq!(forgets(Path::new("/proc/self")), None);
    }
}
