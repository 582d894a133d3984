//! The machine that is looked at: its files under a root, and who asks.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use crate::hal::PinSeen;

/// A GPIO line that somebody in the kernel's books has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LineUse {
    /// The GPIO number.
    pub gpio: u8,
    /// What its user calls itself; may be empty.
    pub consumer: String,
}

/// What only the pins themselves, or the kernel's books about them, can tell. Nothing is changed.
pub(crate) trait Header {
    /// Function and level of these pins.
    ///
    /// # Errors
    ///
    /// Why they can't be read, in words.
    fn look_at(&self, gpios: &[u8]) -> Result<Vec<PinSeen>, String>;

    /// The lines that somebody has requested from the chip of this label.
    ///
    /// # Errors
    ///
    /// Why nobody can say, in words.
    fn lines_in_use(&self, label: &str) -> Result<Vec<LineUse>, String>;

    /// What the file system of a folder is called, where it is one that forgets what is written to it.
    fn forgets(&self, folder: &Path) -> Option<&'static str>;
}

/// Who wants to drive the motors.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct User {
    pub uid: u32,
    pub groups: Vec<u32>,
    /// The effective capabilities, one bit each.
    capabilities: u64,
}

/// The capabilities that make a difference here, by their bit (`capability.h`).
pub(super) const CAP_DAC_OVERRIDE: u32 = 1;
pub(super) const CAP_IPC_LOCK: u32 = 14;
pub(super) const CAP_SYS_NICE: u32 = 23;

impl User {
    pub fn has(&self, capability: u32) -> bool {
        self.capabilities >> capability & 1 == 1
    }

    /// From `/proc/PID/status`.
    fn from_status(status: &str) -> Option<User> {
        let field =
            |name: &str| status.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
        // Real, effective, saved, file system: what counts for files is the effective one.
        let effective = |line: &str| line.split_whitespace().nth(1)?.parse().ok();
        let uid = effective(field("Uid")?)?;
        let mut groups: Vec<u32> =
            field("Groups")?.split_whitespace().filter_map(|g| g.parse().ok()).collect();
        groups.extend(effective(field("Gid")?));
        let capabilities = u64::from_str_radix(field("CapEff")?.trim(), 16).ok()?;
        Some(User { uid, groups, capabilities })
    }

    fn may(&self, file: &Metadata, want: Want) -> bool {
        use access::{gid, mode, uid};
        if self.has(CAP_DAC_OVERRIDE) {
            return true;
        }
        let shift = match () {
            () if uid(file) == self.uid => 6,
            () if self.groups.contains(&gid(file)) => 3,
            () => 0,
        };
        mode(file) >> shift & want.bits() == want.bits()
    }
}

#[cfg(unix)]
mod access {
    use std::fs::Metadata;
    use std::os::unix::fs::MetadataExt;

    pub fn uid(file: &Metadata) -> u32 {
        file.uid()
    }
    pub fn gid(file: &Metadata) -> u32 {
        file.gid()
    }
    pub fn mode(file: &Metadata) -> u32 {
        file.mode() & 0o7777
    }
}

#[cfg(not(unix))]
mod access {
    use std::fs::Metadata;

    pub fn uid(_file: &Metadata) -> u32 {
        0
    }
    pub fn gid(_file: &Metadata) -> u32 {
        0
    }
    pub fn mode(file: &Metadata) -> u32 {
        if file.permissions().readonly() { 0o444 } else { 0o666 }
    }
}

/// What a file is wanted for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Want {
    /// Writing.
    Write,
    /// Reading and writing.
    Both,
}

impl Want {
    fn bits(self) -> u32 {
        match self {
            Want::Write => 0o2,
            Want::Both => 0o6,
        }
    }
}

/// Whether the user may use a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    Granted,
    Missing,
    Refused {
        /// The name or number of the file's group; `?` where even that is not to be seen.
        group: String,
        /// Whether the members of that group may.
        by_group: bool,
        /// The permissions as `rw-rw----`.
        mode: String,
    },
}

/// A machine, as its files show it.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    root: PathBuf,
}

impl Host {
    /// This machine.
    pub fn this() -> Host {
        Host::at("/")
    }

    /// The machine whose files lie under `root`.
    pub fn at(root: impl Into<PathBuf>) -> Host {
        Host { root: root.into() }
    }

    /// Where a file lies; `path` is written without its first `/`.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }

    /// A text file, if it is there and may be read.
    pub fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        let bytes = fs::read(self.path(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A text file without the space around it.
    pub fn word(&self, path: impl AsRef<Path>) -> Option<String> {
        Some(self.read(path)?.trim().to_owned())
    }

    pub fn number(&self, path: impl AsRef<Path>) -> Option<i64> {
        self.word(path)?.parse().ok()
    }

    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok()
    }

    /// The names in a folder, sorted; none where there is no such folder.
    pub fn names(&self, path: impl AsRef<Path>) -> Vec<String> {
        let entries = fs::read_dir(self.path(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|e| e.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// Where a symbolic link leads, as it is written.
    pub fn link(&self, path: impl AsRef<Path>) -> Option<String> {
        Some(fs::read_link(self.path(path)).ok()?.to_string_lossy().into_owned())
    }

    /// Who runs this program.
    pub fn user(&self) -> Option<User> {
        User::from_status(&self.read("proc/self/status")?)
    }

    /// The user's name, or number.
    pub fn user_name(&self, user: &User) -> String {
        let number = user.uid.to_string();
        self.find_in("etc/passwd", 2, &number).unwrap_or(number)
    }

    fn group_name(&self, gid: u32) -> String {
        let number = gid.to_string();
        self.find_in("etc/group", 2, &number).unwrap_or(number)
    }

    /// The first field of the line whose field of that number says `value`.
    fn find_in(&self, path: &str, field: usize, value: &str) -> Option<String> {
        let text = self.read(path)?;
        let line = text.lines().find(|l| l.split(':').nth(field) == Some(value))?;
        line.split(':').next().map(str::to_owned)
    }

    /// Whether `user` may use the file. Permission bits and capabilities
    /// decide; access lists are not looked at.
    pub fn access(&self, user: &User, path: impl AsRef<Path>, want: Want) -> Access {
        match fs::metadata(self.path(path)) {
            Ok(file) if user.may(&file, want) => Access::Granted,
            Ok(file) => Access::Refused {
                group: self.group_name(access::gid(&file)),
                by_group: access::gid(&file) != 0
                    && access::mode(&file) >> 3 & want.bits() == want.bits(),
                mode: letters(access::mode(&file)),
            },
            Err(e) if e.kind() == io::ErrorKind::NotFound => Access::Missing,
            Err(_) => {
                Access::Refused { group: "?".to_owned(), by_group: false, mode: "?".to_owned() }
            }
        }
    }
}

/// `rw-rw----`.
fn letters(mode: u32) -> String {
    (0..9).map(|i| if mode >> (8 - i) & 1 == 1 { ['r', 'w', 'x'][i % 3] } else { '-' }).collect()
}

/// The header of this machine.
pub(crate) struct ThisHeader;

#[cfg(target_os = "linux")]
impl Header for ThisHeader {
    fn look_at(&self, gpios: &[u8]) -> Result<Vec<PinSeen>, String> {
        crate::hal::look_at(gpios).map_err(|e| e.to_string())
    }

    fn lines_in_use(&self, label: &str) -> Result<Vec<LineUse>, String> {
        let chips = gpiocdev::chip::chips().map_err(|e| e.to_string())?;
        let mut refused = None;
        for path in chips {
            let opened = gpiocdev::Chip::from_path(&path).and_then(|c| c.info().map(|i| (c, i)));
            let (chip, info) = match opened {
                Ok(opened) => opened,
                Err(e) => {
                    refused = Some(format!("{}: {e}", path.display()));
                    continue;
                }
            };
            if info.label != label {
                continue;
            }
            let mut used = Vec::new();
            for gpio in crate::board::HEADER_GPIOS {
                let line = chip.line_info(u32::from(gpio)).map_err(|e| e.to_string())?;
                if line.used {
                    used.push(LineUse { gpio, consumer: line.consumer });
                }
            }
            return Ok(used);
        }
        Err(refused.unwrap_or_else(|| format!("no /dev/gpiochip is labelled {label}")))
    }

    fn forgets(&self, folder: &Path) -> Option<&'static str> {
        crate::files::forgets(folder)
    }
}

#[cfg(not(target_os = "linux"))]
impl Header for ThisHeader {
    fn look_at(&self, _gpios: &[u8]) -> Result<Vec<PinSeen>, String> {
        Err("pins can be looked at on Linux alone".to_owned())
    }

    fn lines_in_use(&self, _label: &str) -> Result<Vec<LineUse>, String> {
        Err("pins can be looked at on Linux alone".to_owned())
    }

    fn forgets(&self, _folder: &Path) -> Option<&'static str> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_by_their_process() {
        let status = "Name:\tlockstep\nUid:\t1000\t1001\t1000\t1000\nGid:\t1000\t1002\t1000\t1000\n\
                      Groups:\t20 997 \nCapEff:\t0000000000800000\n";
        let user = User::from_status(status).unwrap();
        assert_eq!((user.uid, user.groups.as_slice()), (1001, &[20, 997, 1002][..]));
        assert!(user.has(CAP_SYS_NICE) && !user.has(CAP_IPC_LOCK));
        assert_eq!(User::from_status("Name:\tlockstep\n"), None);
    }

    #[test]
    fn permissions_as_people_write_them() {
        assert_eq!(letters(0o660), "rw-rw----");
        assert_eq!(letters(0o1754), "rwxr-xr--");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_the_bits_say_is_what_the_system_does() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let user = Host::this().user().unwrap();
        for mode in [0o600, 0o400, 0o200, 0o000, 0o644] {
            let file = root.path().join("file");
            let _ = fs::remove_file(&file);
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let opened = fs::OpenOptions::new().read(true).write(true).open(&file).is_ok();
            let access = Host::at(root.path()).access(&user, "file", Want::Both);
            assert_eq!(access == Access::Granted, opened, "{mode:o}");
        }
        assert_eq!(Host::at(root.path()).access(&user, "none", Want::Write), Access::Missing);
    }
}
