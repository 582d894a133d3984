//! The status page: where every motor is, in a file of fixed layout that any process may map and read
//! without asking.
//!
//! The file is as long as its header says and never changes its length. Numbers are little-endian. A
//! sequence lock guards it: whoever writes makes the sequence odd, writes, and makes it even again;
//! whoever reads takes the sequence, then the rest, then the sequence again, and starts over where the
//! two differ or are odd. Where the sequence stays odd, the page is another file by now, since the motors
//! are others ([a reload](super::ConfigFile)): open it anew.
//!
//! | offset | type | what |
//! |---|---|---|
//! | 0 | 8 bytes | `LOCKSTEP` |
//! | 8 | u32 | version of the layout: 1 |
//! | 12 | u32 | length of the file in bytes |
//! | 16 | u64 | sequence |
//! | 24 | u64 | when: nanoseconds on the monotonic clock |
//! | 32 | u32 | state: see [`state_number`] |
//! | 36 | u32 | how many motors follow |
//! | 40 | f64 | speed override, percent |
//! | 48 | u64 | moves that have been started since the service began |
//! | 56 | 8 bytes | 0 |
//! | 64 | 128 bytes for each motor | see below |
//!
//! | offset in a motor | type | what |
//! |---|---|---|
//! | 0 | 64 bytes | name, UTF-8, filled up with 0 |
//! | 64 | 8 bytes | unit: `mm` or `deg`, filled up with 0 |
//! | 72 | f64 | position in that unit; not a number for a servo without a signal |
//! | 80 | f64 | velocity that its plan has, unit/s |
//! | 88 | u64 | the move that it is part of, by the number that clients know; 0: none, or a program's |
//! | 96 | u32 | place: 0 unknown, 1 assumed, 2 commanded, 3 unverified, 4 estimated, 5 restored |
//! | 100 | u32 | 1 where it has a fault |
//! | 104 | u64 | edges so far |
//! | 112 | u64 | lateness of its edges so far, 99th percentile, nanoseconds |
//! | 120 | u64 | the greatest lateness, nanoseconds |
//!
//! A name longer than 64 bytes is cut at a character.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::machine::{MachineState, Place, Snapshot};
use crate::motor::LatenessSummary;

const MAGIC: &[u8; 8] = b"LOCKSTEP";
const VERSION: u32 = 1;
const HEADER: usize = 64;
const MOTOR: usize = 128;
const NAME: usize = 64;
const SEQUENCE: u64 = 16;

/// How often a reader starts over before it gives up: the page is written within microseconds.
const READ_ATTEMPTS: u32 = 10_000;

/// A machine's state as the page has it: 0 idle, 1 moving, 2 holding, 3 held, 4 stopping, 5 stopped,
/// 6 halted, 7 fault.
pub fn state_number(state: MachineState) -> u32 {
    match state {
        MachineState::Idle => 0,
        MachineState::Moving => 1,
        MachineState::Holding => 2,
        MachineState::Held => 3,
        MachineState::Stopping => 4,
        MachineState::Stopped => 5,
        MachineState::Halted => 6,
        MachineState::Fault => 7,
    }
}

fn place_number(place: Place) -> u32 {
    match place {
        Place::Unknown => 0,
        Place::Assumed => 1,
        Place::Commanded => 2,
        Place::Unverified => 3,
        Place::Estimated => 4,
        Place::Restored => 5,
    }
}

/// The page, for the one who writes it.
pub struct StatusPage {
    file: File,
    path: PathBuf,
    sequence: u64,
    bytes: Vec<u8>,
}

impl StatusPage {
    /// Makes the file, readable for everybody, for this many motors. One that is there is replaced:
    /// whoever has it mapped keeps the old one.
    ///
    /// # Errors
    ///
    /// The file could not be made.
    pub fn create(path: &Path, motors: usize) -> io::Result<StatusPage> {
        let length = HEADER + MOTOR * motors;
        let mut bytes = vec![0; length];
        bytes[..8].copy_from_slice(MAGIC);
        put(&mut bytes, 8, &VERSION.to_le_bytes());
        put(&mut bytes, 12, &u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        put(&mut bytes, 36, &u32::try_from(motors).unwrap_or(u32::MAX).to_le_bytes());
        let new = path.with_extension("new");
        let _ = std::fs::remove_file(&new);
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o644).open(&new)?;
        file.write_all_at(&bytes, 0)?;
        std::fs::rename(&new, path)?;
        Ok(StatusPage { file, path: path.to_owned(), sequence: 0, bytes })
    }

    /// Makes another page in its place, for this many motors. Whoever has the old one mapped finds its
    /// sequence odd from then on, and opens the file anew.
    ///
    /// # Errors
    ///
    /// The file could not be made; the old page is the page.
    pub fn renew(&mut self, motors: usize) -> io::Result<()> {
        let mut old = StatusPage::create(&self.path, motors)?;
        std::mem::swap(self, &mut old);
        // The path is the new page's.
        old.path = PathBuf::new();
        old.file.write_all_at(&(old.sequence | 1).to_le_bytes(), SEQUENCE)
    }

    /// Writes what is now. `lateness` has one for each motor of the snapshot.
    ///
    /// # Errors
    ///
    /// The file could not be written. Readers then see an odd sequence, and nothing wrong.
    pub fn write(
        &mut self,
        snapshot: &Snapshot,
        moves: u64,
        lateness: &[LatenessSummary],
    ) -> io::Result<()> {
        let b = &mut self.bytes;
        put(b, 24, &snapshot.at.as_nanos().to_le_bytes());
        put(b, 32, &state_number(snapshot.state).to_le_bytes());
        put(b, 40, &snapshot.speed_override.to_le_bytes());
        put(b, 48, &moves.to_le_bytes());
        for (index, motor) in snapshot.motors.iter().enumerate() {
            let Some(m) = b.get_mut(HEADER + MOTOR * index..HEADER + MOTOR * (index + 1)) else {
                break;
            };
            m.fill(0);
            text(&mut m[..NAME], &motor.motor);
            text(&mut m[NAME..NAME + 8], motor.unit.symbol());
            put(m, 72, &motor.position.unwrap_or(f64::NAN).to_le_bytes());
            put(m, 80, &motor.velocity.to_le_bytes());
            put(m, 88, &motor.busy.unwrap_or(0).to_le_bytes());
            put(m, 96, &place_number(motor.place).to_le_bytes());
            put(m, 100, &u32::from(motor.fault.is_some()).to_le_bytes());
            let late = lateness.get(index).copied().unwrap_or_default();
            put(m, 104, &late.count.to_le_bytes());
            put(m, 112, &late.p99.to_le_bytes());
            put(m, 120, &late.max.to_le_bytes());
        }
        // Each write is a system call: none is seen before the one before it.
        self.sequence += 1;
        self.file.write_all_at(&self.sequence.to_le_bytes(), SEQUENCE)?;
        self.file.write_all_at(&self.bytes[24..], 24)?;
        self.sequence += 1;
        self.file.write_all_at(&self.sequence.to_le_bytes(), SEQUENCE)
    }
}

impl Drop for StatusPage {
    /// A page that nobody writes any more says nothing true.
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// As much of `text` as fits, cut at a character.
fn text(place: &mut [u8], text: &str) {
    let mut length = text.len().min(place.len());
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    place[..length].copy_from_slice(&text.as_bytes()[..length]);
}

/// A motor as the page has it.
#[derive(Clone, PartialEq, Debug)]
pub struct PageMotor {
    /// Its name.
    pub name: String,
    /// Its unit: `mm` or `deg`.
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
}

/// The page as a reader sees it.
#[derive(Clone, PartialEq, Debug)]
pub struct PageView {
    /// When: nanoseconds on the monotonic clock.
    pub at: u64,
    /// The machine's state, as a number.
    pub state: u32,
    /// The speed override, percent.
    pub speed_override: f64,
    /// Moves started since the service began.
    pub moves: u64,
    /// One for each motor, in the order of the config.
    pub motors: Vec<PageMotor>,
}

/// Reads the page once, whole.
///
/// # Errors
///
/// The file can't be read, is no status page, or was being written each time that it was looked at.
pub fn read_page(path: &Path) -> io::Result<PageView> {
    let file = File::open(path)?;
    let wrong =
        || io::Error::new(io::ErrorKind::InvalidData, "it is no status page of this version");
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0)?;
    if &header[..8] != MAGIC || u32_at(&header, 8) != VERSION {
        return Err(wrong());
    }
    let (length, motors) = (u32_at(&header, 12) as usize, u32_at(&header, 36) as usize);
    if length != HEADER + MOTOR * motors {
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
            return Ok(view(&bytes, motors));
        }
        std::thread::yield_now();
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "it was being written each time"))
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

fn view(bytes: &[u8], motors: usize) -> PageView {
    let name = |b: &[u8]| String::from_utf8_lossy(b).trim_end_matches('\0').to_owned();
    let motor = |index: usize| {
        let m = &bytes[HEADER + MOTOR * index..HEADER + MOTOR * (index + 1)];
        PageMotor {
            name: name(&m[..NAME]),
            unit: name(&m[NAME..NAME + 8]),
            position: Some(f64_at(m, 72)).filter(|p| !p.is_nan()),
            velocity: f64_at(m, 80),
            busy: Some(u64_at(m, 88)).filter(|&id| id > 0),
            place: u32_at(m, 96),
            fault: u32_at(m, 100) != 0,
            edges: u64_at(m, 104),
            latest: u64_at(m, 120),
        }
    };
    PageView {
        at: u64_at(bytes, 24),
        state: u32_at(bytes, 32),
        speed_override: f64_at(bytes, 40),
        moves: u64_at(bytes, 48),
        motors: (0..motors).map(motor).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::machine::{Machine, Move};
    use crate::units::Angle;

    fn machine() -> Machine {
        let text =
            "[servo.pan]\npwm = { gpio = 18 }\n[servo.the-one-that-tilts]\npwm = { gpio = 19 }\n";
        let config = Config::from_str(text, "page").unwrap().config;
        Machine::builder(config).virtual_time().build().unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status");
        let mut machine = machine();
        let mut page = StatusPage::create(&path, 2).unwrap();
        let id = machine.start(&Move::new().to("pan", Angle(30.0))).unwrap();
        assert!(machine.wait(id).all_reached());
        let snapshot = machine.snapshot();
        page.write(&snapshot, 1, &[]).unwrap();
        let seen = read_page(&path).unwrap();
        assert_eq!((seen.at, seen.state, seen.moves), (snapshot.at.as_nanos(), 0, 1));
        assert_eq!(seen.motors[0].position, Some(30.0));
        assert_eq!(seen.motors[0].unit, "deg");
        assert_eq!(seen.motors[1].name, "the-one-that-tilts");
        assert_eq!(seen.motors[1].position, None);
        drop(page);
        assert!(!path.exists());
    }

    #[test]
    fn a_reader_never_sees_half_of_a_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status");
        let snapshot = machine().snapshot();
        let mut page = StatusPage::create(&path, 2).unwrap();
        page.write(&snapshot, 0, &[]).unwrap();
        let reading = path.clone();
        let reader = std::thread::spawn(move || {
            let mut last = 0;
            for _ in 0..2000 {
                let seen = read_page(&reading).unwrap();
                // Both were written together, and the newest never goes back.
                assert_eq!(seen.moves, seen.motors[1].edges);
                assert!(seen.moves >= last);
                last = seen.moves;
            }
        });
        let mut moves = 0;
        while !reader.is_finished() {
            moves += 1;
            let late = LatenessSummary { count: moves, ..LatenessSummary::default() };
            page.write(&snapshot, moves, &[late, late]).unwrap();
            // Still twenty times as often as the service writes.
            std::thread::sleep(std::time::Duration::from_micros(50));
        }
        reader.join().unwrap();
    }

    #[test]
    fn another_file_is_no_page() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status");
        for content in [vec![0; 20], vec![7; 500], Vec::new()] {
            std::fs::write(&path, content).unwrap();
            assert!(read_page(&path).is_err());
        }
    }

    #[test]
    fn a_long_name_is_cut_at_a_character() {
        let mut place = [0; 8];
        text(&mut place, "abcdefgä");
        assert_eq!(&place, b"abcdefg\0");
    }
}
