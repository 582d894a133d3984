//! The status page: where every motor is, in a file of fixed layout that any process may map and read
//! without asking. This is layout 2; `page_view` reads layout 1, too.
//!
//! The file is as long as its header says and never changes its length. Numbers are little-endian. A
//! sequence lock guards it: whoever writes makes the sequence odd, writes, and makes it even again;
//! whoever reads takes the sequence, then the rest, then the sequence again, and starts over where the
//! two differ or are odd. Where the sequence stays odd, the page is another file by now, since the motors
//! are others ([a reload](super::ConfigFile)): open it anew.
//!
//! The page says itself where its parts are, so that a later release can add to each of them: a reader
//! goes by the offsets and sizes in the page, passes over sections that it does not know, and over what
//! an entry has beyond the fields that it knows. A field is never moved, and never means something else.
//!
//! | offset | type | what |
//! |---|---|---|
//! | 0 | 8 bytes | `LOCKSTEP` |
//! | 8 | u32 | version of the layout: 2 |
//! | 12 | u32 | length of the file in bytes |
//! | 16 | u64 | sequence |
//! | 24 | u64 | when: nanoseconds on the monotonic clock |
//! | 32 | u32 | state: see [`state_number`] |
//! | 36 | u32 | 1 where the machine is held, or comes to rest for that |
//! | 40 | f64 | override of moves at their own speed (feed), percent |
//! | 48 | f64 | override of moves at top speed (rapid), percent |
//! | 56 | f64 | override of jogs, percent |
//! | 64 | u64 | moves that have been started since the service began |
//! | 72 | u32 | where the table of sections begins: 80 |
//! | 76 | u32 | how many sections there are |
//!
//! | offset in the table | type | what, for each section |
//! |---|---|---|
//! | 0 | u32 | kind: 1 motors, 2 inputs, 3 outputs |
//! | 4 | u32 | where its first entry begins |
//! | 8 | u32 | bytes from one entry to the next |
//! | 12 | u32 | how many entries |
//!
//! | offset in a motor | type | what |
//! |---|---|---|
//! | 0 | 64 bytes | name, UTF-8, filled up with 0 |
//! | 64 | 8 bytes | unit: `mm`, `deg`, or `%` for a servo that turns continuously, filled up with 0 |
//! | 72 | f64 | position in that unit; not a number for a servo without a signal, or one that turns continuously |
//! | 80 | f64 | velocity that its plan has, unit/s; of a servo that turns continuously in percent of full speed |
//! | 88 | u64 | the number of the move that it is part of; 0: none, or one without a number |
//! | 96 | u32 | place: 0 unknown, 1 assumed, 2 commanded, 3 unverified, 4 estimated, 5 restored |
//! | 100 | u32 | 1 where it has a fault |
//! | 104 | u64 | edges so far |
//! | 112 | u64 | lateness of its edges so far, 99th percentile, nanoseconds |
//! | 120 | u64 | the greatest lateness, nanoseconds |
//! | 128 | u32 | who moves it: see [`PageOwner`] |
//! | 132 | 12 bytes | 0 |
//!
//! | offset in an input or output | type | what |
//! |---|---|---|
//! | 0 | 64 bytes | name, UTF-8, filled up with 0 |
//! | 64 | u32 | 0 inactive, 1 active, 2 nobody knows |
//! | 68 | 4 bytes | 0 |
//! | 72 | u64 | since when: nanoseconds on the monotonic clock |
//! | 80 | u64 | how often it has changed since the service began |
//! | 88 | f64 | an output's share of its power, percent; not a number where it has none |
//!
//! A name longer than 64 bytes is cut at a character.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::page_view::LONGEST;
use crate::files::{Folder, Trust};
use crate::machine::{MachineState, Place, Snapshot};
use crate::motor::LatenessSummary;

pub(super) const MAGIC: &[u8; 8] = b"LOCKSTEP";
pub(super) const VERSION: u32 = 2;
/// Where the table of sections begins.
const TABLE: usize = 80;
/// A line of that table.
pub(super) const SECTION: usize = 16;
const SECTIONS: usize = 3;
const HEADER: usize = TABLE + SECTION * SECTIONS;
const MOTOR: usize = 144;
const SIGNAL: usize = 96;
pub(super) const NAME: usize = 64;
pub(super) const SEQUENCE: u64 = 16;

/// The kinds of sections.
pub(super) const MOTORS: u32 = 1;
pub(super) const INPUTS: u32 = 2;
pub(super) const OUTPUTS: u32 = 3;

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

/// Who moves a motor, as the page has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum PageOwner {
    /// Nobody, or nobody knows.
    #[default]
    None = 0,
    /// A client.
    Client = 1,
    /// A program.
    Program = 2,
    /// The service's start.
    StartUp = 3,
    /// It goes to its parking place.
    Park = 4,
    /// A procedure, such as homing.
    Procedure = 5,
    /// A stream of targets.
    Stream = 6,
}

/// How many entries a page has of each kind: fixed for its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PageCounts {
    /// Motors.
    pub motors: usize,
    /// Inputs.
    pub inputs: usize,
    /// Outputs that are no motor's.
    pub outputs: usize,
}

/// An input, or an output that is no motor's, as the page has it.
#[derive(Clone, PartialEq, Debug)]
pub struct PageSignal {
    /// Its name.
    pub name: String,
    /// 0 inactive, 1 active, 2 nobody knows.
    pub state: u32,
    /// Since when: nanoseconds on the monotonic clock.
    pub since: u64,
    /// How often it has changed since the service began.
    pub changes: u64,
    /// An output's share of its power, percent.
    pub share: Option<f64>,
}

/// What the page says beside the machine's snapshot. What has fewer entries than the snapshot leaves the
/// rest at 0.
#[derive(Clone, Copy, Debug)]
pub struct PageFacts<'a> {
    /// Moves that have been started since the service began.
    pub moves: u64,
    /// How late each motor's edges were.
    pub lateness: &'a [LatenessSummary],
    /// Who moves each motor.
    pub owners: &'a [PageOwner],
    /// The overrides in percent: feed, rapid, jog.
    pub overrides: [f64; 3],
    /// Whether the machine is held.
    pub held: bool,
    /// The inputs.
    pub inputs: &'a [PageSignal],
    /// The outputs.
    pub outputs: &'a [PageSignal],
}

/// The page, for the one who writes it.
pub struct StatusPage {
    file: File,
    path: PathBuf,
    /// Whose name it is; `None` once another page has it.
    named: Option<(Folder, String)>,
    sequence: u64,
    counts: PageCounts,
    bytes: Vec<u8>,
}

impl PageCounts {
    /// Kind, first byte, entry's size and count of each section, and the length of it all.
    fn sections(self) -> ([(u32, usize, usize, usize); SECTIONS], usize) {
        let inputs = HEADER + MOTOR * self.motors;
        let outputs = inputs + SIGNAL * self.inputs;
        let sections = [
            (MOTORS, HEADER, MOTOR, self.motors),
            (INPUTS, inputs, SIGNAL, self.inputs),
            (OUTPUTS, outputs, SIGNAL, self.outputs),
        ];
        (sections, outputs + SIGNAL * self.outputs)
    }

    /// The empty page.
    fn bytes(self) -> Vec<u8> {
        let word = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        let (sections, length) = self.sections();
        let mut bytes = vec![0; length];
        bytes[..8].copy_from_slice(MAGIC);
        put(&mut bytes, 8, &VERSION.to_le_bytes());
        put(&mut bytes, 12, &word(length));
        put(&mut bytes, 72, &word(TABLE));
        put(&mut bytes, 76, &word(SECTIONS));
        for (n, (kind, first, size, count)) in sections.into_iter().enumerate() {
            let line = [kind.to_le_bytes(), word(first), word(size), word(count)].concat();
            put(&mut bytes, TABLE + SECTION * n, &line);
        }
        bytes
    }
}

impl StatusPage {
    /// Makes the file, readable for everybody, for so many entries. One that is there is replaced:
    /// whoever has it mapped keeps the old one.
    ///
    /// # Errors
    ///
    /// The file could not be made.
    pub fn create(path: &Path, counts: PageCounts) -> io::Result<StatusPage> {
        let bytes = counts.bytes();
        let (folder, name) = (path.parent().unwrap_or(path), path.file_name());
        let name = name.and_then(|name| name.to_str()).ok_or_else(|| no_page("it has no name"))?;
        let folder = Folder::open_chosen(folder, Trust::Owner)?;
        if folder.look(name).is_some() {
            let there = folder.read(name, LONGEST as u64).map_err(|e| no_page(&e.to_string()))?;
            if !there.starts_with(MAGIC) {
                return Err(no_page("it is something else"));
            }
        }
        let file = folder.replace(name, 0o644, |file| file.write_all_at(&bytes, 0))?;
        let named = Some((folder, name.to_owned()));
        Ok(StatusPage { file, path: path.to_owned(), named, sequence: 0, counts, bytes })
    }

    /// Makes another page in its place, for so many entries. Whoever has the old one mapped finds its
    /// sequence odd from then on, and opens the file anew.
    ///
    /// # Errors
    ///
    /// The file could not be made; the old page is the page.
    pub fn renew(&mut self, counts: PageCounts) -> io::Result<()> {
        let mut old = StatusPage::create(&self.path, counts)?;
        std::mem::swap(self, &mut old);
        // The name is the new page's.
        old.named = None;
        old.file.write_all_at(&(old.sequence | 1).to_le_bytes(), SEQUENCE)
    }

    /// Writes what is now.
    ///
    /// # Errors
    ///
    /// The file could not be written. Readers then see an odd sequence, and nothing wrong.
    pub fn write(&mut self, snapshot: &Snapshot, facts: &PageFacts) -> io::Result<()> {
        let b = &mut self.bytes;
        put(b, 24, &snapshot.at.as_nanos().to_le_bytes());
        put(b, 32, &state_number(snapshot.state).to_le_bytes());
        put(b, 36, &u32::from(facts.held).to_le_bytes());
        for (n, percent) in facts.overrides.into_iter().enumerate() {
            put(b, 40 + 8 * n, &percent.to_le_bytes());
        }
        put(b, 64, &facts.moves.to_le_bytes());
        let (sections, _) = self.counts.sections();
        for (index, motor) in snapshot.motors.iter().enumerate() {
            let Some(m) = entry(b, sections[0], index) else { break };
            text(&mut m[..NAME], &motor.motor);
            text(&mut m[NAME..NAME + 8], motor.unit.symbol());
            put(m, 72, &motor.position.unwrap_or(f64::NAN).to_le_bytes());
            put(m, 80, &motor.velocity.to_le_bytes());
            put(m, 88, &motor.busy.unwrap_or(0).to_le_bytes());
            put(m, 96, &place_number(motor.place).to_le_bytes());
            put(m, 100, &u32::from(motor.fault.is_some()).to_le_bytes());
            let late = facts.lateness.get(index).copied().unwrap_or_default();
            put(m, 104, &late.count.to_le_bytes());
            put(m, 112, &late.p99.to_le_bytes());
            put(m, 120, &late.max.to_le_bytes());
            let owner = facts.owners.get(index).copied().unwrap_or_default();
            put(m, 128, &(owner as u32).to_le_bytes());
        }
        for (section, signals) in [(sections[1], facts.inputs), (sections[2], facts.outputs)] {
            for (index, signal) in signals.iter().enumerate() {
                let Some(s) = entry(b, section, index) else { break };
                text(&mut s[..NAME], &signal.name);
                put(s, 64, &signal.state.to_le_bytes());
                put(s, 72, &signal.since.to_le_bytes());
                put(s, 80, &signal.changes.to_le_bytes());
                put(s, 88, &signal.share.unwrap_or(f64::NAN).to_le_bytes());
            }
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
        if let Some((folder, name)) = &self.named
            && folder.is_named(name, &self.file)
        {
            let _ = folder.remove(name);
        }
    }
}

fn no_page(why: &str) -> io::Error {
    let text = format!("no status page lies there ({why}): move it away, or name another --socket");
    io::Error::new(io::ErrorKind::AlreadyExists, text)
}

/// An entry of a section, empty; `None` behind its last.
fn entry(
    bytes: &mut [u8],
    (_, first, size, count): (u32, usize, usize, usize),
    index: usize,
) -> Option<&mut [u8]> {
    let at = first + size * index;
    let entry = bytes.get_mut(at..at + size).filter(|_| index < count)?;
    entry.fill(0);
    Some(entry)
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

#[cfg(test)]
mod tests {
    use super::super::page_view::read_page;
    use super::*;
    use crate::config::Config;
    use crate::machine::{Machine, Move};
    use crate::units::Angle;

    const TWO: PageCounts = PageCounts { motors: 2, inputs: 0, outputs: 0 };
    const NOTHING: PageFacts<'static> = PageFacts {
        moves: 0,
        lateness: &[],
        owners: &[],
        overrides: [100.0; 3],
        held: false,
        inputs: &[],
        outputs: &[],
    };

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
        let counts = PageCounts { inputs: 1, outputs: 2, ..TWO };
        let mut page = StatusPage::create(&path, counts).unwrap();
        let id = machine.start(&Move::new().to("pan", Angle(30.0))).unwrap();
        assert!(machine.wait(id).all_reached());
        let snapshot = machine.snapshot();
        let signal = |name: &str, share| PageSignal {
            name: name.to_owned(),
            state: 1,
            since: 5,
            changes: 3,
            share,
        };
        let facts = PageFacts {
            moves: 1,
            owners: &[PageOwner::Program, PageOwner::None],
            overrides: [90.0, 50.0, 110.0],
            held: true,
            inputs: &[signal("door", None)],
            outputs: &[signal("lamp", Some(40.0)), signal("pump", None)],
            ..NOTHING
        };
        page.write(&snapshot, &facts).unwrap();
        let seen = read_page(&path).unwrap();
        assert_eq!((seen.at, seen.state, seen.moves), (snapshot.at.as_nanos(), 0, 1));
        assert_eq!((seen.overrides, seen.held), ([90.0, 50.0, 110.0], true));
        assert_eq!(seen.motors[0].position, Some(30.0));
        assert_eq!((seen.motors[0].unit.as_str(), seen.motors[0].owner), ("deg", 2));
        assert_eq!(seen.motors[1].name, "the-one-that-tilts");
        assert_eq!(seen.motors[1].position, None);
        assert_eq!((&seen.inputs[..], &seen.outputs[..]), (facts.inputs, facts.outputs));
        drop(page);
        assert!(!path.exists());
    }

    #[test]
    fn a_reader_never_sees_half_of_a_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status");
        let snapshot = machine().snapshot();
        let mut page = StatusPage::create(&path, TWO).unwrap();
        page.write(&snapshot, &NOTHING).unwrap();
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
            let lateness = [late, late];
            page.write(&snapshot, &PageFacts { moves, lateness: &lateness, ..NOTHING }).unwrap();
            // Still twenty times as often as the service writes.
            std::thread::sleep(std::time::Duration::from_micros(50));
        }
        reader.join().unwrap();
    }

    #[test]
    fn another_file_is_no_page() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status");
        let good = TWO.bytes();
        let with = |at: usize, value: u32| {
            let mut page = good.clone();
            put(&mut page, at, &value.to_le_bytes());
            page
        };
        let (last, word) = (good.len() - 1, u32::MAX);
        let wrong = [
            vec![0; 20],
            vec![7; 500],
            Vec::new(),
            good[..last].to_vec(),
            // Another version, and parts that lie outside.
            with(8, 3),
            with(12, word),
            with(72, word),
            with(76, word),
            with(TABLE + 4, word),
            with(TABLE + 8, word),
            with(TABLE + 12, word),
        ];
        for (n, content) in wrong.into_iter().enumerate() {
            std::fs::write(&path, content).unwrap();
            assert!(read_page(&path).is_err(), "{n}");
        }
        std::fs::write(&path, good).unwrap();
        assert_eq!(read_page(&path).unwrap().motors.len(), 2);
    }

    #[test]
    fn a_long_name_is_cut_at_a_character() {
        let mut place = [0; 8];
        text(&mut place, "abcdefgä");
        assert_eq!(&place, b"abcdefg\0");
    }
}
