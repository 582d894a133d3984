//! What is to be known of files: whether they last, and whether two are the same.

use std::path::Path;

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

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_forgets() {
        if Path::new("/dev/shm").is_dir() {
            assert_eq!(forgets(Path::new("/dev/shm/no/such/folder")), Some("tmpfs"));
        }
        assert_eq!(forgets(Path::new("/proc/self")), None);
    }
}
