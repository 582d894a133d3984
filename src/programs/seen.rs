//! What a list of steps comes to from where the motors are, so that one that is run many times is looked through
//! once for each place that it begins at.

use std::collections::{BTreeSet, HashMap};

use super::program::ListId;
use super::usage::Usage;
use crate::motor::MotorIndex;
use crate::moves::Start;

/// So many are remembered.
const MOST_SEEN: usize = 10_000;

/// Where the motors are, as far as a plan depends on it.
#[derive(Clone, Debug)]
pub(super) struct Stand {
    pub at: Vec<Start>,
    /// Who came to where it is from above.
    pub down: Vec<bool>,
    /// The consumers that stay on from a move of the program on.
    pub kept: BTreeSet<usize>,
}

/// The place of a motor, as something that can be looked up.
type Place = (Option<u64>, bool);

/// A list, with all that what it comes to depends on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Key {
    list: ListId,
    /// How deep it is nested, as far as that counts.
    depth: u32,
    motors: Vec<Place>,
    kept: BTreeSet<usize>,
}

/// What a list comes to.
#[derive(Clone, Debug)]
pub(super) struct Came {
    /// Nanoseconds; `None`: it never ends.
    pub took: Option<u64>,
    pub usage: Usage,
    motors: Vec<(MotorIndex, Start, bool)>,
    kept: BTreeSet<usize>,
}

/// What has been seen.
#[derive(Default)]
pub(super) struct Seen(HashMap<Key, Came>);

impl Stand {
    /// `motors`: those that the list may move.
    pub fn key(&self, list: ListId, depth: u32, motors: impl Iterator<Item = MotorIndex>) -> Key {
        let place = |motor: MotorIndex| {
            let at = match self.at[motor] {
                Start::At(at) => Some(at.to_bits()),
                Start::Anywhere => None,
            };
            (at, self.down[motor])
        };
        Key { list, depth, motors: motors.map(place).collect(), kept: self.kept.clone() }
    }

    /// What the motors of a list came to in it.
    pub fn came(
        &self,
        took: Option<u64>,
        usage: Usage,
        motors: impl Iterator<Item = MotorIndex>,
    ) -> Came {
        let motors = motors.map(|m| (m, self.at[m], self.down[m])).collect();
        Came { took, usage, motors, kept: self.kept.clone() }
    }

    /// Where they are after it.
    pub fn after(&mut self, came: &Came) {
        for &(motor, at, down) in &came.motors {
            (self.at[motor], self.down[motor]) = (at, down);
        }
        self.kept.clone_from(&came.kept);
    }
}

impl Seen {
    pub fn get(&self, key: &Key) -> Option<&Came> {
        self.0.get(key)
    }

    pub fn add(&mut self, key: Key, came: Came) {
        if self.0.len() < MOST_SEEN {
            self.0.insert(key, came);
        }
    }
}
