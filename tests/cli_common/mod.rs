//! What the tests of the command line share.
#![allow(dead_code, clippy::unwrap_used)]

mod program;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use lockstep::trace::VcdFile;
use lockstep::units::Instant;
use serde_json::Value;

use program::Program;

/// The program, with no setting of the tester's own.
pub fn lockstep() -> Program {
    Program::new()
}

pub fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

/// A program `p0` of an axis x, of more moves than are looked through.
pub fn too_long() -> String {
    let sweep =
        "{ sweep = { x = [\"0mm\", \"200mm\"] }, step = \"0.05mm\", every = \"100ms\", times = 1 }";
    format!("[program.p0]\nsteps = [\n{}\n]\n", vec![sweep; 64].join(",\n"))
}

/// Writes a config into the folder.
pub fn config(folder: &Path, text: &str) -> PathBuf {
    let file = folder.join("test.toml");
    std::fs::write(&file, text).unwrap();
    file
}

/// What a run ended with: exit status, JSON, standard error.
pub struct Ran {
    pub status: i32,
    pub json: Value,
    pub err: String,
}

impl Ran {
    pub fn motor(&self, name: &str) -> &Value {
        &self.json["motors"][name]
    }
}

pub fn ran(command: &mut Program) -> Ran {
    let output = command.output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    let json = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {:?}\n{err}", String::from_utf8_lossy(&output.stdout)));
    Ran { status: output.status.code().unwrap(), json, err }
}

/// A trace's wires, by name.
pub struct Wires(VcdFile);

/// A pulse, nanoseconds from the start of the trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pulse {
    pub rise: u64,
    pub width: u64,
}

impl Wires {
    pub fn read(file: &Path) -> Wires {
        let file = File::open(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        Wires(VcdFile::read(BufReader::new(file)).unwrap())
    }

    pub fn end(&self) -> u64 {
        self.0.recording().end().as_nanos()
    }

    pub fn lost(&self) -> u64 {
        self.0.recording().lost()
    }

    pub fn edges(&self, name: &str) -> Vec<(u64, bool)> {
        let recording = self.0.recording();
        let id = recording.find(name).unwrap_or_else(|| panic!("no signal {name}"));
        let edges = recording.edges(id).map(|(at, high)| (Instant::as_nanos(at), high));
        // The level that a line was opened with is no edge.
        let mut edges: Vec<_> = edges.collect();
        if edges.first().is_some_and(|e| !e.1) {
            edges.remove(0);
        }
        edges
    }

    /// The pulses of a wire that is low at both ends.
    pub fn pulses(&self, name: &str) -> Vec<Pulse> {
        let edges = self.edges(name);
        assert!(edges.len().is_multiple_of(2), "{name}: its last pulse does not end");
        let pulse = |pair: &[(u64, bool)]| {
            assert!(pair[0].1 && !pair[1].1, "{name}");
            Pulse { rise: pair[0].0, width: pair[1].0 - pair[0].0 }
        };
        edges.chunks(2).map(pulse).collect()
    }

    /// Steps up less steps down, by the level of DIR at each rising edge of STEP.
    pub fn net_steps(&self, axis: &str) -> i64 {
        let recording = self.0.recording();
        let dir = recording.find(&format!("{axis}.dir")).unwrap();
        let dirs: Vec<_> = recording.edges(dir).map(|(at, up)| (at.as_nanos(), up)).collect();
        let step = |pulse: &Pulse| {
            let before = dirs.partition_point(|d| d.0 <= pulse.rise);
            if before > 0 && dirs[before - 1].1 { 1 } else { -1 }
        };
        self.pulses(&format!("{axis}.step")).iter().map(step).sum()
    }
}
