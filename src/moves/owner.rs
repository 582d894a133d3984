//! Who asked for a motion, and which motion is meant.

use std::sync::Arc;

use super::MotorIndex;
use crate::trace;

/// Who asked for a motion.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Owner {
    /// A client of the service, or whoever uses the library.
    Client,
    /// A program of the config, by its name.
    Program(Arc<str>),
    /// The start of the machine.
    StartUp,
    /// The end of the machine: motors go to where they are parked.
    Park,
}

impl Owner {
    /// As a trace has it.
    pub(crate) fn mark(&self) -> trace::Owner<'static> {
        match self {
            Owner::Client => trace::Owner::Client,
            Owner::Program(name) => trace::Owner::program(name.to_string()),
            Owner::StartUp => trace::Owner::StartUp,
            Owner::Park => trace::Owner::Park,
        }
    }

    /// The program that it is.
    pub fn program(&self) -> Option<&Arc<str>> {
        match self {
            Owner::Program(name) => Some(name),
            _ => None,
        }
    }
}

/// `client`, `program.NAME`, `start-up`, `park`: as the trace and the protocol have it.
impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.mark().fmt(f)
    }
}

/// What a verb is for: everything, or what has to do with some motors. Never who asked for it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which<'a> {
    All,
    Motors(&'a [MotorIndex]),
}

impl Which<'_> {
    pub fn has(&self, motor: MotorIndex) -> bool {
        match self {
            Which::All => true,
            Which::Motors(motors) => motors.contains(&motor),
        }
    }
}

/// What a verb had to do with.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Touched {
    /// Moves that are to come to rest: each with the motors that are meant.
    pub moves: Vec<(u64, Vec<MotorIndex>)>,
    /// Programs.
    pub programs: Vec<Arc<str>>,
    /// Moves that had not begun, and never will.
    pub dropped: Vec<u64>,
}
