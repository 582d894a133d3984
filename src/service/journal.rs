//! What outlives a restart: how the service ended, and where its motors stood.
//!
//! One file in the state folder, written whole and synced before its name changes hands, so that a reader
//! finds the one before or the new one, never a half. While the service runs it says so: whoever finds
//! that at the start knows that the one before did not come to its end. Places are in it only after a
//! clean end, each with what its count depends on.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::machine::Kept;

const FILE: &str = "journal.json";
const VERSION: u32 = 1;
const NOT_CLEAN: &str =
    "the service did not end cleanly before, so nobody knows what the motors did";
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
    last: Last,
}

/// How the service before ended.
#[derive(Clone, Debug)]
enum Last {
    /// There was none.
    First,
    Unclean(String),
    Clean(Entry),
}

/// What the file has.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Entry {
    v: u32,
    end: End,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    backend: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drives: Option<String>,
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
struct Stood {
    means: String,
    #[serde(flatten)]
    kept: Kept,
}

impl Journal {
    /// Reads the journal in a folder; nothing is written before [`Journal::begin`]. `drives` is how the
    /// process that drives the header, this one, has signed its claim, and `drove` the one before it
    /// ([`Claim::signature`](crate::claim::Claim::signature)); both `None` on the simulator.
    pub fn read(
        folder: &Path,
        backend: &str,
        drives: Option<String>,
        drove: Option<String>,
    ) -> Journal {
        let last = match fs::read_to_string(folder.join(FILE)) {
            Ok(text) => Last::of(&text),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Last::First,
            Err(e) => Last::Unclean(format!("how the service ended before can't be read ({e})")),
        };
        Journal { folder: folder.to_owned(), backend: backend.to_owned(), drives, drove, last }
    }

    /// Why nothing may move by itself, where the service before did not end as it should.
    pub fn unclean(&self) -> Option<&str> {
        match &self.last {
            Last::Unclean(why) => Some(why),
            Last::First | Last::Clean(_) => None,
        }
    }

    /// Where the motors of a config stand, as far as that is known: after a clean end, on the same back
    /// end, where nobody else has driven the header since, for motors whose count means the same as
    /// then, inside their travel.
    pub fn places(&self, config: &Config) -> BTreeMap<String, Kept> {
        let mut places = BTreeMap::new();
        let Last::Clean(entry) = &self.last else { return places };
        // After a reboot nobody has signed yet.
        let others = self.drove.is_some() && self.drove != entry.drives;
        if entry.backend != self.backend || others {
            return places;
        }
        for motor in &config.motors {
            let Some(stood) = entry.motors.get(&motor.name) else { continue };
            if stood.means == motor.identity() && stood.kept.is_inside(motor) {
                places.insert(motor.name.clone(), stood.kept);
            }
        }
        places
    }

    /// Notes that the service runs, before anything moves.
    ///
    /// # Errors
    ///
    /// The file can't be written.
    pub fn begin(&self) -> io::Result<()> {
        self.write(&self.entry(End::Running))
    }

    /// Notes a clean end, and where each motor of that config stands that is named.
    ///
    /// # Errors
    ///
    /// The file can't be written: the next start will find this end unclean.
    pub fn end(&self, config: &Config, stand: &BTreeMap<String, Kept>) -> io::Result<()> {
        let mut entry = self.entry(End::Clean);
        for motor in &config.motors {
            if let Some(&kept) = stand.get(&motor.name) {
                entry.motors.insert(motor.name.clone(), Stood { means: motor.identity(), kept });
            }
        }
        self.write(&entry)
    }

    /// Notes an end in a fault, or after a halt.
    ///
    /// # Errors
    ///
    /// The file can't be written: the next start will find this end unclean all the same.
    pub fn end_in_fault(&self, why: &str) -> io::Result<()> {
        // What was not cleared is told once more, as it was.
        if why == NOT_CLEAN {
            return self.begin();
        }
        let why = why.strip_prefix(IN_FAULT).unwrap_or(why);
        self.write(&Entry { why: Some(why.to_owned()), ..self.entry(End::Fault) })
    }

    /// The folder that it lies in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn entry(&self, end: End) -> Entry {
        let (backend, drives) = (self.backend.clone(), self.drives.clone());
        Entry { v: VERSION, end, why: None, backend, drives, motors: BTreeMap::new() }
    }

    fn write(&self, entry: &Entry) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let new = self.folder.join(format!("{FILE}.new"));
        let mut file = File::create(&new)?;
        file.write_all(serde_json::to_string(entry)?.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        drop(file);
        fs::rename(&new, self.folder.join(FILE))?;
        // The new name has to outlive a power cut, too.
        File::open(&self.folder)?.sync_all()
    }
}

impl Last {
    fn of(text: &str) -> Last {
        match serde_json::from_str::<Entry>(text) {
            Ok(entry) if entry.v != VERSION => {
                Last::Unclean("another release has noted how it ended".to_owned())
            }
            Ok(entry) => match entry.end {
                End::Clean => Last::Clean(entry),
                End::Running => Last::Unclean(NOT_CLEAN.to_owned()),
                End::Fault => {
                    let why = entry.why.as_deref().unwrap_or("a motor had a fault");
                    Last::Unclean(format!("{IN_FAULT}{why}"))
                }
            },
            Err(e) => Last::Unclean(format!("how the service ended before can't be read ({e})")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "[axis.x]\nstep = { gpio = 17 }\ndir = { gpio = 27 }\ndriver = \"drv8825\"\n\
        steps-per-revolution = 200\nmicrosteps = 16\ndistance-per-revolution = \"8mm\"\n\
        travel = { min = \"0mm\", max = \"200mm\" }\nmax-speed = \"50mm/s\"\n\
        max-acceleration = \"500mm/s^2\"\nat-start = \"restored\"\n\
        [servo.pan]\npwm = { gpio = 18 }\nstartup = \"last\"\n";

    fn config(text: &str) -> Config {
        Config::from_str(text, "t").unwrap().config
    }

    fn stand(steps: i64, angle: f64) -> BTreeMap<String, Kept> {
        let x = Kept { steps: Some(steps), angle: None, sure: true, phase: None };
        let pan = Kept { steps: None, angle: Some(angle), sure: true, phase: None };
        [("x".to_owned(), x), ("pan".to_owned(), pan)].into()
    }

    fn read(folder: &tempfile::TempDir) -> Journal {
        Journal::read(folder.path(), "sim", None, None)
    }

    #[test]
    fn places_outlive_a_clean_end_and_no_other() {
        let (folder, config) = (tempfile::tempdir().unwrap(), config(TEXT));
        let first = read(&folder);
        assert_eq!((first.unclean(), first.places(&config).len()), (None, 0));
        first.begin().unwrap();
        assert!(read(&folder).unclean().unwrap().starts_with("the service did not end cleanly"));
        first.end_in_fault("y: the driver reports a fault").unwrap();
        let why = "the service ended before in a fault: y: the driver reports a fault";
        assert_eq!(read(&folder).unclean(), Some(why));
        // Not cleared, and ended again: the same is said.
        first.end_in_fault(why).unwrap();
        assert_eq!(read(&folder).unclean(), Some(why));
        first.end(&config, &stand(4000, 12.5)).unwrap();
        let next = read(&folder);
        assert_eq!((next.unclean(), next.places(&config)), (None, stand(4000, 12.5)));
        // From its begin on nothing is known until its own end.
        next.begin().unwrap();
        assert!(read(&folder).places(&config).is_empty());
    }

    #[test]
    fn a_place_is_known_only_where_it_means_the_same() {
        let folder = tempfile::tempdir().unwrap();
        read(&folder).end(&config(TEXT), &stand(60_000, 40.0)).unwrap();
        let known = |text: String| -> Vec<String> {
            read(&folder).places(&config(&text)).into_keys().collect()
        };
        let change = |from: &str, to: &str| known(TEXT.replacen(from, to, 1));
        assert_eq!(known(TEXT.to_owned()), ["pan", "x"]);
        assert_eq!(change("50mm/s", "40mm/s"), ["pan", "x"]);
        for (from, to) in [
            ("microsteps = 16", "microsteps = 32"),
            ("\"8mm\"", "\"5mm\""),
            ("gpio = 27", "gpio = 26"),
            ("at-start", "reverse = true\nat-start"),
            // It would stand outside.
            ("max = \"200mm\"", "max = \"100mm\""),
        ] {
            assert_eq!(change(from, to), ["pan"], "{to}");
        }
        for to in
            ["trim = \"5us\"", "angle = { min = \"-90deg\", max = \"90deg\" }", "reverse = true"]
        {
            assert_eq!(change("startup", &format!("{to}\nstartup")), ["x"], "{to}");
        }
        assert_eq!(
            Journal::read(folder.path(), "rppal", None, None).places(&config(TEXT)).len(),
            0
        );
    }

    #[test]
    fn whoever_drove_the_header_in_between_ends_it() {
        let (folder, config) = (tempfile::tempdir().unwrap(), config(TEXT));
        let of = |drives: &str, drove: Option<&str>| {
            Journal::read(folder.path(), "rppal", Some(drives.into()), drove.map(str::to_owned))
        };
        of("a", None).end(&config, &stand(1, 1.0)).unwrap();
        assert_eq!(of("b", Some("a")).places(&config).len(), 2);
        assert_eq!(of("b", None).places(&config).len(), 2);
        assert_eq!(of("b", Some("c")).places(&config).len(), 0);
    }

    proptest! {
        /// Whatever the file has become, a place is the one that was noted, or none.
        #[test]
        fn a_spoiled_file_gives_the_place_or_none(
            steps in 0i64..80_000,
            at in any::<prop::sample::Index>(),
            cut in any::<bool>(),
            with in any::<u8>(),
        ) {
            let (folder, config) = (tempfile::tempdir().unwrap(), config(TEXT));
            read(&folder).end(&config, &stand(steps, 3.25)).unwrap();
            let file = folder.path().join(FILE);
            let mut bytes = fs::read(&file).unwrap();
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes.insert(at, with) }
            fs::write(&file, &bytes).unwrap();
            let spoiled = read(&folder);
            if cut && at + 1 < bytes.len() {
                prop_assert!(spoiled.unclean().is_some());
            }
            // A digit more makes another number: what can't be told apart must at least be in the
            // travel. A cut never does.
            for (motor, kept) in spoiled.places(&config) {
                let inside = config.motor(&motor).is_some_and(|m| kept.is_inside(m));
                prop_assert!(inside && (!cut || kept == stand(steps, 3.25)[&motor]));
            }
        }
    }
}
