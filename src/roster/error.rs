use std::time::Duration;

use thiserror::Error;

use crate::hal::HalError;
use crate::moves::{MoveError, at_least};

/// Why a machine could not be built or run.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum MachineError {
    /// The back end refused.
    #[error("{motor}: {error}")]
    Hal {
        /// The motor it was for.
        motor: String,
        /// What it said.
        error: HalError,
    },
    /// The back end as a whole refused.
    #[error("{0}")]
    Backend(HalError),
    /// Another program drives this header, or that can't be known.
    #[error("{why}")]
    Claimed {
        /// What was found.
        why: String,
    },
    /// A driver reports a fault before anything has moved.
    #[error("{motor}: its driver reports a fault on GPIO{gpio}: check its supply and wiring")]
    FaultAtStart {
        /// The axis.
        motor: String,
        /// The fault line.
        gpio: u8,
    },
    /// Pulses timed by a loop, without the scheduling that they need.
    #[error(
        "{motor}: its pulses are timed by its own loop, which without real-time scheduling would shake \
         the servo, and that was refused ({why}): allow it with LimitRTPRIO=50 in the unit or \
         `ulimit -r 50`, run as root, or write \
         `soft-pwm = {{ gpio = {gpio}, allow-jitter = true }}`"
    )]
    NeedsRealtime {
        /// The servo.
        motor: String,
        /// Its pin.
        gpio: u8,
        /// What the system answered.
        why: String,
    },
    /// The pulses of a PWM step clock can't be counted at the axis' top speed on this machine.
    #[error(
        "{motor}: at its top speed, {asked} steps/s, the pulses of its PWM clock can't be counted here \
         (a write takes up to {}, a wake-up comes up to {} late; {provable} steps/s can be proved): \
         {}, or `mode = \"velocity\"` if it needs no position",
        at_least(*.write), at_least(*.late),
        if *provable > 0 { format!("write `max-speed = \"{speed}\"` or less") }
        else { "end what keeps this machine busy".to_owned() }
    )]
    Unprovable {
        /// The axis.
        motor: String,
        /// The top speed in steps a second.
        asked: u64,
        /// The highest rate that can be proved.
        provable: u64,
        /// That rate as a speed, with its unit.
        speed: String,
        /// The longest that a write may take.
        write: Duration,
        /// How late a wake-up may come.
        late: Duration,
    },
    /// The motors' threads could not be started.
    #[error("the motors' threads could not be started: {0}")]
    Threads(String),
    /// No such program.
    #[error("there is no program `{name}`; {known}")]
    UnknownProgram {
        /// The name as given.
        name: String,
        /// Those there are.
        known: String,
    },
    /// Neither a program nor a start program was given.
    #[error("no program was named and the config has no `start-program`; {known}")]
    NoProgram {
        /// Those there are.
        known: String,
    },
    /// The program cannot run as it is written.
    #[error("the program cannot run:\n{0}")]
    Preflight(String),
    /// A move was refused.
    #[error(transparent)]
    Move(#[from] MoveError),
}
