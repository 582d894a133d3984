//! What outlives a restart: how the service ended, and where its motors stood.
//!
//! One file in the state folder. While the service runs it says so: whoever finds that at the start knows
//! that the one before did not come to its end, and by the boot that it names whether the machine went
//! down with it. Places are in it after a clean end; and while the service runs, those of the motors that
//! begin where they stood, each with what its count depends on (see [`claims`](super::claims)). The block
//! beside it says which of them have left since ([`mark`](super::mark)).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::disk::{self, Disk, Folder};
use super::mark::{self, Marks};
use crate::config::{Config, MotorConfig};
use crate::machine::Kept;

const VERSION: u32 = 2;
/// Of release 0.1: without a boot, and without places while it runs.
const OLDEST: u32 = 1;
const NOT_CLEAN: &str =
    "the service did not end cleanly before, so nobody knows what the motors did";
const CUT: &str = "the machine went down while the service ran (a power cut, or a reset)";
const IN_FAULT: &str = "the service ended before in a fault: ";

/// The journal of the service's state folder.
#[derive(Clone, Debug)]
pub struct Journal {
    folder: PathBuf,
    /// What the motors hang on: places of the simulator mean nothing to real motors.
    backend: String,
    /// Which process drives the header, and which one did before it.
    drives: Option<String>,
    drove: Option<String>,
    boot: Option<String>,
    /// The file system, where it is one that forgets.
    forgets: Option<&'static str>,
    last: Last,
    marks: Marks,
}

/// What the service before has left.
#[derive(Clone, Debug)]
enum Last {
    /// There was none.
    First,
    Unreadable(String),
    Entry(Entry),
}

/// How the service before ended.
enum Was {
    First,
    Clean,
    /// The machine went down with it, and it had no fault.
    Cut,
    Unclean(String),
}

/// What the file has.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Entry {
    v: u32,
    end: End,
    /// Why nothing moves before `clear`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    backend: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drives: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot: Option<String>,
    /// Counts journals, so that a block is about one of them.
    #[serde(default)]
    number: u64,
    #[serde(default)]
    motors: BTreeMap<String, Stood>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum End {
    /// It has not come yet.
    Running,
    Fault,
    Clean,
}

/// Where a motor stood, and what that depends on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Stood {
    pub means: String,
    /// It has left since, or was about to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moving: bool,
    #[serde(flatten)]
    pub kept: Kept,
}

/// Where motors stood, by their names.
pub(super) type Stand = BTreeMap<String, Stood>;

impl Journal {
    /// Reads the journal in a folder; nothing is written before the service begins. `drives` is how the
    /// process that drives the header, this one, has signed its claim, and `drove` the one before it
    /// ([`Claim::signature`](crate::claim::Claim::signature)); both `None` on the simulator.
    pub fn read(
        folder: &Path,
        backend: &str,
        drives: Option<String>,
        drove: Option<String>,
    ) -> Journal {
        let disk = Folder::new(folder);
        let unreadable = |e: &dyn std::fmt::Display| {
            Last::Unreadable(format!("how the service ended before can't be read ({e})"))
        };
        let last = match disk.journal() {
            Ok(text) => match serde_json::from_str::<Entry>(&text) {
                Ok(entry) if !(OLDEST..=VERSION).contains(&entry.v) => {
                    Last::Unreadable("another release has noted how it ended".to_owned())
                }
                Ok(entry) => Last::Entry(entry),
                Err(e) => unreadable(&e),
            },
            Err(e) if e.kind() == io::ErrorKind::NotFound => Last::First,
            Err(e) => unreadable(&e),
        };
        let marks = disk.block().map_or(Marks::Unreadable, |block| Marks::read(&block));
        // On the simulator no real motor stands anywhere.
        let forgets = crate::files::forgets(folder).filter(|_| backend != "sim");
        Journal {
            folder: folder.to_owned(),
            backend: backend.to_owned(),
            drives,
            drove,
            boot: disk::boot_id(),
            forgets,
            last,
            marks,
        }
    }

    /// The same in another boot: for tests.
    #[doc(hidden)]
    pub fn in_boot(self, boot: &str) -> Journal {
        Journal { boot: Some(boot.to_owned()), ..self }
    }

    fn was(&self) -> Was {
        let entry = match &self.last {
            Last::First => return Was::First,
            Last::Unreadable(why) => return Was::Unclean(why.clone()),
            Last::Entry(entry) => entry,
        };
        let boots = (entry.boot.as_ref(), self.boot.as_ref());
        let another = matches!(boots, (Some(then), Some(now)) if then != now);
        match (entry.end, entry.why.as_deref()) {
            (End::Clean, _) => Was::Clean,
            (End::Running, _) if !another => Was::Unclean(NOT_CLEAN.to_owned()),
            (End::Running, None | Some(CUT)) => Was::Cut,
            (End::Fault, Some(CUT)) => Was::Unclean(CUT.to_owned()),
            (_, Some(NOT_CLEAN)) => Was::Unclean(NOT_CLEAN.to_owned()),
            (_, why) => Was::Unclean(format!("{IN_FAULT}{}", why.unwrap_or("a motor had a fault"))),
        }
    }

    /// Why nothing may move by itself, where the service before did not end as it should.
    pub fn unclean(&self) -> Option<String> {
        match self.was() {
            Was::Unclean(why) => Some(why),
            Was::Cut => Some(CUT.to_owned()),
            Was::First | Was::Clean => None,
        }
    }

    /// Whether the machine went down while the service ran, and nothing but that is wrong: another boot
    /// has begun since, and there was no fault.
    pub fn power_was_cut(&self) -> bool {
        matches!(self.was(), Was::Cut)
    }

    /// What the file system of the state folder is called, where it is one that forgets: nothing is
    /// restored from there.
    pub fn forgets(&self) -> Option<&'static str> {
        self.forgets
    }

    /// Where the motors of a config stand, as far as that is known: after a clean end or a power cut, on
    /// the same back end, where nobody else has driven the header since, for motors whose count means
    /// the same as then, inside their travel. An axis that the cut has met in motion is no longer sure;
    /// a servo, nobody knows where.
    pub fn places(&self, config: &Config) -> BTreeMap<String, Kept> {
        let mut places = BTreeMap::new();
        let (Last::Entry(entry), None) = (&self.last, self.forgets) else { return places };
        let known = match self.was() {
            Was::Clean | Was::Cut => true,
            // Nothing could move since then.
            Was::Unclean(why) => why == CUT,
            Was::First => false,
        };
        // After a reboot nobody has signed yet.
        let others = self.drove.is_some() && self.drove != entry.drives;
        if !known || entry.backend != self.backend || others {
            return places;
        }
        let ran = entry.end == End::Running;
        for (place, (name, stood)) in entry.motors.iter().enumerate() {
            let Some(motor) = config.motor(name) else { continue };
            if stood.means != motor.identity() || !stood.kept.is_inside(motor) {
                continue;
            }
            let moved = stood.moving || (ran && self.marks.has_left(entry.number, place));
            match (moved, motor.axis()) {
                (false, _) => places.insert(name.clone(), stood.kept),
                (true, Some(_)) => places.insert(name.clone(), Kept { sure: false, ..stood.kept }),
                (true, None) => None,
            };
        }
        places
    }

    /// Notes that the service runs, before anything moves; `why`: why nothing moves before `clear`.
    ///
    /// # Errors
    ///
    /// The files can't be written.
    pub(super) fn begin(
        &self,
        disk: &mut dyn Disk,
        why: Option<&str>,
        stand: &Stand,
    ) -> io::Result<u64> {
        let number = self.next_number();
        // A block that is there before is about an older journal: it must not hide what this one says.
        disk.mark(&mark::block(number, &vec![false; stand.len()]))?;
        disk.write(&self.running(number, why, stand))?;
        Ok(number)
    }

    /// What the file has while the service runs.
    pub(super) fn running(&self, number: u64, why: Option<&str>, stand: &Stand) -> String {
        let mut entry = self.entry(End::Running, number);
        (entry.why, entry.motors) = (why.map(str::to_owned), stand.clone());
        text(&entry)
    }

    /// Notes a clean end, and where each motor of that config stands that is named.
    ///
    /// # Errors
    ///
    /// The file can't be written: the next start will find this end unclean.
    pub fn end(&self, config: &Config, stand: &BTreeMap<String, Kept>) -> io::Result<()> {
        let mut entry = self.entry(End::Clean, self.next_number());
        entry.motors = stood(&config.motors, stand);
        Folder::new(&self.folder).write(&text(&entry))
    }

    /// Notes an end in a fault, or after a halt. Where motors stand counts only if nothing but a power
    /// cut was wrong.
    ///
    /// # Errors
    ///
    /// The file can't be written: the next start will find this end unclean all the same.
    pub fn end_in_fault(
        &self,
        why: &str,
        config: &Config,
        stand: &BTreeMap<String, Kept>,
    ) -> io::Result<()> {
        let mut entry = self.entry(End::Fault, self.next_number());
        // What was not cleared is told once more, as it was.
        let why = why.strip_prefix(IN_FAULT).unwrap_or(why);
        entry.why = Some(why.to_owned());
        if why == CUT {
            entry.motors = stood(&config.motors, stand);
        }
        Folder::new(&self.folder).write(&text(&entry))
    }

    /// The folder that it lies in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Above that of any journal or block that lies there.
    fn next_number(&self) -> u64 {
        let last = match &self.last {
            Last::Entry(entry) => entry.number,
            Last::First | Last::Unreadable(_) => 0,
        };
        last.max(self.marks.number()).saturating_add(1)
    }

    fn entry(&self, end: End, number: u64) -> Entry {
        let (backend, drives) = (self.backend.clone(), self.drives.clone());
        let (v, boot, motors) = (VERSION, self.boot.clone(), BTreeMap::new());
        Entry { v, end, why: None, backend, drives, boot, number, motors }
    }
}

/// Motors of a config at rest, as far as it is known where.
fn stood(motors: &[MotorConfig], stand: &BTreeMap<String, Kept>) -> Stand {
    let of = |motor: &MotorConfig| {
        let kept = *stand.get(&motor.name)?;
        Some((motor.name.clone(), Stood { means: motor.identity(), moving: false, kept }))
    };
    motors.iter().filter_map(of).collect()
}

/// An entry has nothing that JSON can't write: its keys are texts.
fn text(entry: &Entry) -> String {
    serde_json::to_string(entry).unwrap_or_default() + "\n"
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
