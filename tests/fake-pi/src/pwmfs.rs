//! `/sys/class/pwm` as a file system. Each write is done, and written down, before it returns.

use std::ffi::OsStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry, ReplyOpen,
    ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use crate::log::{Log, now};
use crate::pwm::Chip;

/// The group `gpio`.
pub const GPIO_GROUP: u32 = 9_997;
/// How long udev takes to give a new channel to the group.
const UDEV: u64 = 80_000_000;

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Node {
    Root,
    Chip(usize),
    /// `export`, `unexport`, `npwm`, `device`.
    ChipFile(usize, usize),
    Channel(usize, usize),
    /// `period`, ...
    ChannelFile(usize, usize, usize),
}

const CHIP_FILES: [&str; 4] = ["export", "unexport", "npwm", "device"];
const CHANNEL_FILES: [&str; 4] = ["period", "duty_cycle", "enable", "polarity"];

impl Node {
    fn to_ino(self) -> INodeNo {
        INodeNo(match self {
            Node::Root => 1,
            Node::Chip(c) => 10_000 * (c as u64 + 1),
            Node::ChipFile(c, f) => 10_000 * (c as u64 + 1) + 1 + f as u64,
            Node::Channel(c, k) => 10_000 * (c as u64 + 1) + 100 * (k as u64 + 1),
            Node::ChannelFile(c, k, f) => {
                10_000 * (c as u64 + 1) + 100 * (k as u64 + 1) + 1 + f as u64
            }
        })
    }

    fn from_ino(ino: INodeNo) -> Node {
        let ino = usize::try_from(ino.0).unwrap_or_default();
        let (chip, channel, file) = (ino / 10_000, ino / 100 % 100, ino % 100);
        match (chip, channel, file) {
            (0, _, _) => Node::Root,
            (c, 0, 0) => Node::Chip(c - 1),
            (c, 0, f) => Node::ChipFile(c - 1, f - 1),
            (c, k, 0) => Node::Channel(c - 1, k - 1),
            (c, k, f) => Node::ChannelFile(c - 1, k - 1, f - 1),
        }
    }
}

/// The chips, shared with whoever shows their levels on the pins.
pub type Chips = Arc<Mutex<Vec<Chip>>>;

pub struct PwmFs {
    pub chips: Chips,
    pub log: Log,
    /// Whether udev gives the group `gpio` the chips' files.
    pub gives_export: bool,
    /// Whether it gives it the files of exported channels.
    pub gives_channels: bool,
}

impl PwmFs {
    fn with<T>(&self, act: impl FnOnce(&mut Vec<Chip>) -> T) -> T {
        act(&mut self.chips.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn attr(&self, node: Node) -> FileAttr {
        let folder = matches!(node, Node::Root | Node::Chip(_) | Node::Channel(..));
        let kind = match node {
            Node::ChipFile(_, 3) => FileType::Symlink,
            _ if folder => FileType::Directory,
            _ => FileType::RegularFile,
        };
        // As the udev rules of Raspberry Pi OS leave them; a channel's files, a moment after export.
        let given = match node {
            Node::Channel(c, k) | Node::ChannelFile(c, k, _) => self.with(|chips| {
                let exported = chips.get(c).and_then(|c| c.channels.get(k)?.exported);
                self.gives_channels && exported.is_some_and(|since| now() >= since + UDEV)
            }),
            Node::ChipFile(..) => self.gives_export,
            _ => true,
        };
        let (gid, perm) = match (given, folder) {
            (true, true) => (GPIO_GROUP, 0o775),
            (true, false) => (GPIO_GROUP, 0o664),
            (false, true) => (0, 0o755),
            (false, false) => (0, 0o644),
        };
        FileAttr {
            ino: node.to_ino(),
            size: 4096,
            blocks: 0,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    fn children(&self, node: Node) -> Vec<(Node, String)> {
        self.with(|chips| match node {
            Node::Root => {
                let chip =
                    |(c, chip): (usize, &Chip)| (Node::Chip(c), format!("pwmchip{}", chip.number));
                chips.iter().enumerate().map(chip).collect()
            }
            Node::Chip(c) => {
                let file = |(f, name): (usize, &&str)| (Node::ChipFile(c, f), (*name).to_owned());
                let mut all: Vec<_> = CHIP_FILES.iter().enumerate().map(file).collect();
                if let Some(chip) = chips.get(c) {
                    let exported = chip.channels.iter().enumerate();
                    let exported = exported.filter(|(_, channel)| channel.exported.is_some());
                    all.extend(exported.map(|(k, _)| (Node::Channel(c, k), format!("pwm{k}"))));
                }
                all
            }
            Node::Channel(c, k) => {
                let file =
                    |(f, name): (usize, &&str)| (Node::ChannelFile(c, k, f), (*name).to_owned());
                CHANNEL_FILES.iter().enumerate().map(file).collect()
            }
            Node::ChipFile(..) | Node::ChannelFile(..) => Vec::new(),
        })
    }

    fn read_text(&self, node: Node) -> String {
        self.with(|chips| match node {
            Node::ChipFile(c, 2) => chips.get(c).map(|c| format!("{}\n", c.channels.len())),
            Node::ChannelFile(c, k, f) => {
                chips.get(c).and_then(|c| Some(c.channels.get(k)?.read(CHANNEL_FILES.get(f)?)))
            }
            _ => None,
        })
        .unwrap_or_default()
    }

    /// Does a write and writes it down: file, value, the pin's level at that moment, what came of it.
    fn write_text(&self, node: Node, value: &str) -> Result<(), Errno> {
        let (text, result) = self.with(|chips| match node {
            Node::ChipFile(c, f @ (0 | 1)) => {
                let chip = chips.get_mut(c).ok_or(Errno::ENODEV)?;
                let result = chip.export(value, f == 0);
                Ok((format!("pwmchip{}/{} {value} -", chip.number, CHIP_FILES[f]), result))
            }
            Node::ChannelFile(c, k, f) => {
                let chip = chips.get_mut(c).ok_or(Errno::ENODEV)?;
                let channel = chip.channels.get(k).ok_or(Errno::ENODEV)?;
                let level = if channel.is_high(now()) { "high" } else { "low" };
                let result = chip.write(k, CHANNEL_FILES[f], value);
                let file = CHANNEL_FILES[f];
                Ok((format!("pwmchip{}/pwm{k}/{file} {value} {level}", chip.number), result))
            }
            _ => Err(Errno::EACCES),
        })?;
        let outcome = match &result {
            Ok(()) => "ok".to_owned(),
            Err(errno) => format!("errno:{}", errno.code()),
        };
        self.log.line(&format!("pwm {text} {outcome}"));
        result
    }
}

const TTL: Duration = Duration::ZERO;

impl Filesystem for PwmFs {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let children = self.children(Node::from_ino(parent));
        match children.into_iter().find(|(_, n)| OsStr::new(n) == name) {
            Some((node, _)) => reply.entry(&TTL, &self.attr(node), Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TTL, &self.attr(Node::from_ino(ino)));
    }

    // Opening with O_TRUNC asks for size 0; sysfs takes no notice of it either.
    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        reply.attr(&TTL, &self.attr(Node::from_ino(ino)));
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        let Node::ChipFile(c, _) = Node::from_ino(ino) else {
            return reply.error(Errno::EINVAL);
        };
        match self.with(|chips| chips.get(c).map(|chip| chip.device.clone())) {
            Some(device) => reply.data(device.as_bytes()),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        _: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let text = self.read_text(Node::from_ino(ino));
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
        reply.data(&text.as_bytes()[from..]);
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        _: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let value = String::from_utf8_lossy(data);
        match self.write_text(Node::from_ino(ino), value.trim()) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(errno) => reply.error(errno),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let node = Node::from_ino(ino);
        let mut all = vec![(node, ".".to_owned()), (Node::Root, "..".to_owned())];
        all.extend(self.children(node));
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        for (i, (node, name)) in all.into_iter().enumerate().skip(from) {
            if reply.add(node.to_ino(), i as u64 + 1, self.attr(node).kind, name) {
                break;
            }
        }
        reply.ok();
    }
}
