//! The status page as a reader sees it, in layout 2 and in layout 1, which release 0.1 wrote.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::files::open_regular;

use super::page::{INPUTS, MAGIC, MOTORS, NAME, OUTPUTS, PageSignal, SECTION, SEQUENCE, VERSION};

/// How often a reader starts over before it gives up: the page is written within microseconds.
const READ_ATTEMPTS: u32 = 10_000;

/// Beyond this a header lies: a page of a thousand motors has a hundredth of it.
pub(super) const LONGEST: usize = 16 << 20;

/// A motor as the page has it.
#[derive(Clone, PartialEq, Debug)]
pub struct PageMotor {
    /// Its name.
    pub name: String,
    /// Its unit: `mm`, `deg`, or `%` for a servo that turns continuously.
    pub unit: String,
    /// Where it is; `None` for a servo without a signal.
    pub position: Option<f64>,
    /// The velocity that its plan has, unit/s.
    pub velocity: f64,
    /// The move that it is part of.
    pub busy: Option<u64>,
    /// What is known of its place, as a number.
    pub place: u32,
    /// Whether it has a fault.
    pub fault: bool,
    /// Edges so far.
    pub edges: u64,
    /// The greatest lateness so far, nanoseconds.
    pub latest: u64,
    /// Who moves it, as a number: see [`PageOwner`](super::PageOwner). 0 in layout 1.
    pub owner: u32,
}

/// The page as a reader sees it.
#[derive(Clone, PartialEq, Debug)]
pub struct PageView {
    /// When: nanoseconds on the monotonic clock.
    pub at: u64,
    /// The machine's state, as a number.
    pub state: u32,
    /// Whether the machine is held; in layout 1 as far as its state says so.
    pub held: bool,
    /// The overrides in percent: feed, rapid, jog. One for all in layout 1.
    pub overrides: [f64; 3],
    /// Moves started since the service began.
    pub moves: u64,
    /// One for each motor, in the order of the config.
    pub motors: Vec<PageMotor>,
    /// The inputs.
    pub inputs: Vec<PageSignal>,
    /// The outputs that are no motor's.
    pub outputs: Vec<PageSignal>,
}

/// Reads the page once, whole.
///
/// # Errors
///
/// The file can't be read, is no status page that this release knows, or was being written each time
/// that it was looked at.
pub fn read_page(path: &Path) -> io::Result<PageView> {
    let file = open_regular(path)?;
    let mut header = [0; 16];
    file.read_exact_at(&mut header, 0)?;
    let length = u32_at(&header, 12) as usize;
    let known = [1, VERSION].contains(&u32_at(&header, 8));
    if &header[..8] != MAGIC || !known || !(64..=LONGEST).contains(&length) {
        return Err(wrong());
    }
    let mut bytes = vec![0; length];
    for _ in 0..READ_ATTEMPTS {
        let mut sequence = [0; 8];
        file.read_exact_at(&mut sequence, SEQUENCE)?;
        file.read_exact_at(&mut bytes, 0)?;
        let before = u64::from_le_bytes(sequence);
        file.read_exact_at(&mut sequence, SEQUENCE)?;
        if before.is_multiple_of(2) && before == u64::from_le_bytes(sequence) {
            return view(&bytes).ok_or_else(wrong);
        }
        std::thread::yield_now();
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "it was being written each time"))
}

fn wrong() -> io::Error {
    let text = "it is no status page of a version that is known here";
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn view(bytes: &[u8]) -> Option<PageView> {
    if u32_at(bytes, 8) == 1 { view_1(bytes) } else { view_2(bytes) }
}

fn view_1(bytes: &[u8]) -> Option<PageView> {
    const HEADER: usize = 64;
    let entries = entries(bytes, HEADER, 128, u32_at(bytes, 36) as usize)?;
    let state = u32_at(bytes, 32);
    Some(PageView {
        at: u64_at(bytes, 24),
        state,
        // Holding, and held.
        held: [2, 3].contains(&state),
        overrides: [f64_at(bytes, 40); 3],
        moves: u64_at(bytes, 48),
        motors: entries.into_iter().map(motor).collect(),
        inputs: Vec::new(),
        outputs: Vec::new(),
    })
}

fn view_2(bytes: &[u8]) -> Option<PageView> {
    let table = entries(bytes, u32_at(bytes, 72) as usize, SECTION, u32_at(bytes, 76) as usize)?;
    let section = |kind: u32| {
        let Some(line) = table.iter().find(|line| u32_at(line, 0) == kind) else {
            return Some(Vec::new());
        };
        let word = |at: usize| u32_at(line, at) as usize;
        entries(bytes, word(4), word(8), word(12))
    };
    Some(PageView {
        at: u64_at(bytes, 24),
        state: u32_at(bytes, 32),
        held: u32_at(bytes, 36) != 0,
        overrides: [40, 48, 56].map(|at| f64_at(bytes, at)),
        moves: u64_at(bytes, 64),
        motors: section(MOTORS)?.into_iter().map(motor).collect(),
        inputs: section(INPUTS)?.into_iter().map(signal).collect(),
        outputs: section(OUTPUTS)?.into_iter().map(signal).collect(),
    })
}

/// So many entries of that size; `None` where the page ends before.
fn entries(bytes: &[u8], first: usize, size: usize, count: usize) -> Option<Vec<&[u8]>> {
    if count == 0 {
        return Some(Vec::new());
    }
    let all = bytes.get(first..first.checked_add(size.checked_mul(count)?)?)?;
    (size > 0).then(|| all.chunks_exact(size).collect())
}

/// What an entry of another release has not, is 0.
fn motor(m: &[u8]) -> PageMotor {
    PageMotor {
        name: name(m, 0, NAME),
        unit: name(m, NAME, 8),
        position: Some(f64_at(m, 72)).filter(|p| !p.is_nan()),
        velocity: f64_at(m, 80),
        busy: Some(u64_at(m, 88)).filter(|&id| id > 0),
        place: u32_at(m, 96),
        fault: u32_at(m, 100) != 0,
        edges: u64_at(m, 104),
        latest: u64_at(m, 120),
        owner: u32_at(m, 128),
    }
}

fn signal(s: &[u8]) -> PageSignal {
    PageSignal {
        name: name(s, 0, NAME),
        state: u32_at(s, 64),
        since: u64_at(s, 72),
        changes: u64_at(s, 80),
        share: Some(f64_at(s, 88)).filter(|p| !p.is_nan()),
    }
}

fn name(bytes: &[u8], at: usize, length: usize) -> String {
    let text = bytes.get(at..at + length).unwrap_or_default();
    String::from_utf8_lossy(text).trim_end_matches('\0').to_owned()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

fn f64_at(bytes: &[u8], at: usize) -> f64 {
    f64::from_le_bytes(array(bytes, at))
}

/// Zeros where the bytes end before.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut all = [0; N];
    if let Some(part) = bytes.get(at..at + N) {
        all.copy_from_slice(part);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of layout 1, byte by byte as release 0.1 wrote it: one motor that is held.
    fn page_1() -> Vec<u8> {
        let mut page = vec![0u8; 64 + 128];
        let mut put = |at: usize, value: &[u8]| page[at..at + value.len()].copy_from_slice(value);
        put(0, b"LOCKSTEP");
        put(8, &1u32.to_le_bytes());
        put(12, &192u32.to_le_bytes());
        put(16, &14u64.to_le_bytes());
        put(24, &5_000_000u64.to_le_bytes());
        put(32, &3u32.to_le_bytes());
        put(36, &1u32.to_le_bytes());
        put(40, &50f64.to_le_bytes());
        put(48, &7u64.to_le_bytes());
        put(64, b"x");
        put(64 + 64, b"mm");
        put(64 + 72, &12.5f64.to_le_bytes());
        put(64 + 88, &7u64.to_le_bytes());
        put(64 + 96, &1u32.to_le_bytes());
        put(64 + 104, &5000u64.to_le_bytes());
        page
    }

    #[test]
    fn layout_1_is_still_read() {
        let seen = view(&page_1()).unwrap();
        assert_eq!((seen.at, seen.state, seen.held, seen.moves), (5_000_000, 3, true, 7));
        assert_eq!(seen.overrides, [50.0; 3]);
        let x = &seen.motors[0];
        assert_eq!((x.name.as_str(), x.unit.as_str(), x.position), ("x", "mm", Some(12.5)));
        assert_eq!((x.busy, x.place, x.edges, x.owner), (Some(7), 1, 5000, 0));
        assert!(view(&page_1()[..180]).is_none());
    }

    /// A page of a later release: more in the header, in each motor, and a section of a kind of its own.
    #[test]
    fn what_a_later_release_adds_is_passed_over() {
        let mut page = vec![0u8; 200 + 2 * 160];
        let mut put = |at: usize, value: &[u8]| page[at..at + value.len()].copy_from_slice(value);
        put(0, b"LOCKSTEP");
        let words = |words: &[u32]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>();
        put(8, &words(&[2, 520]));
        put(40, &75f64.to_le_bytes());
        // Further fields lie before the table.
        put(72, &words(&[136, 2]));
        put(136, &words(&[9, 180, 20, 1]));
        put(152, &words(&[MOTORS, 200, 160, 2]));
        put(200, b"x");
        put(360, b"y");
        put(360 + 72, &3f64.to_le_bytes());
        put(360 + 128, &6u32.to_le_bytes());
        put(360 + 152, &u64::MAX.to_le_bytes());
        let seen = view(&page).unwrap();
        assert_eq!(seen.overrides[0], 75.0);
        let motors: Vec<_> = seen.motors.iter().map(|m| (m.name.as_str(), m.owner)).collect();
        assert_eq!(motors, [("x", 0), ("y", 6)]);
        assert_eq!(seen.motors[1].position, Some(3.0));
        assert!(seen.inputs.is_empty() && seen.outputs.is_empty());
    }
}
