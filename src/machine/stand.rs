//! How a machine stands, and its supply.

use std::time::Duration;

use super::{Machine, MachineState, PowerState, Snapshot};
use crate::hal::Supply;
use crate::motor::MoveId;
use crate::units::Instant;

/// How often the board is asked whether its supply is well.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The supply's voltage, as the board tells it.
pub(super) struct Watch {
    supply: Box<dyn Supply>,
    pub next: Instant,
}

impl Watch {
    pub fn new(supply: Box<dyn Supply>) -> Watch {
        Watch { supply, next: Instant::ZERO }
    }
}

impl Machine {
    /// How the machine is now. Looking does not disturb its motion.
    pub fn snapshot(&self) -> Snapshot {
        self.book.snapshot(self.now())
    }

    /// Where a motor is on its way to, in its unit; `None` where it is not, or jogs.
    pub fn target(&self, motor: &str) -> Option<f64> {
        self.book.target(self.book.config.motor_index(motor)?)
    }

    /// How long the present plan of a move still takes; before it begins, all of it. `None` for a move that
    /// has ended, is held or jogs, and for a blended path, which is planned as it goes.
    pub fn time_left(&self, id: MoveId) -> Option<Duration> {
        self.book.time_left(id, self.now())
    }

    /// What the machine as a whole does.
    pub fn state(&self) -> MachineState {
        self.book.state(self.stop.is_set(), self.halt.is_set())
    }

    /// How the power budget stands; `None` where the config has none.
    ///
    /// A motor's current is taken from its move's start, or from when it is enabled, until it has let go:
    /// a stepper draws as much at rest. A servo gives it back when its move has ended. Drivers behind one
    /// enable line are on while one of them is; what holds a load, or has no line that would switch it off,
    /// is on for good.
    pub fn power(&self) -> Option<PowerState> {
        self.book.power()
    }

    /// Asks the board how its supply is, if it is time.
    pub(super) fn look_at_supply(&mut self) {
        let now = self.now();
        let budget = self.book.has_budget();
        let Some(watch) = self.supply.as_mut().filter(|w| budget && now >= w.next) else { return };
        watch.next = now + LOOK_EVERY;
        if let Some(low) = watch.supply.is_low() {
            self.tell_book(|book| book.supply_is(low));
        }
    }
}
