//! What a machine is asked by this project's own program and tests, in words of rooms that the library does not promise.

use super::{Machine, MachineBuilder};
use crate::hal::{Backend, Supply};
use crate::inputs::Rejected;
use crate::runtime::{TestFault, Waker};

impl MachineBuilder {
    /// Another back end than the simulator. Ignored in virtual time.
    pub fn backend(mut self, backend: Box<dyn Backend>) -> Self {
        self.backend = Some(backend);
        self
    }

    /// Asks the board whether its supply is well, about once a second: while it is not, nothing more is
    /// switched on. It counts where the config has a power budget.
    pub fn supply(mut self, supply: Box<dyn Supply>) -> Self {
        self.supply = Some(supply);
        self
    }

    /// For tests alone: a motor's loop that goes wrong. Ignored in virtual time, and where no motor has
    /// that name.
    #[doc(hidden)]
    pub fn test_fault(mut self, fault: Option<TestFault>) -> Self {
        self.test_fault = fault;
        self
    }
}

impl Machine {
    /// Ends a wait of the machine from another thread: what it waits for is looked at again. For a
    /// coordinator that has more to listen to than its motors.
    pub fn waker(&self) -> Waker {
        self.roster.fleet.waker()
    }

    /// What came on a motor's fault line and was too short to be believed, since the line was opened. `None`: it
    /// has none, or there is no such motor.
    pub fn fault_line_noise(&self, motor: &str) -> Option<Rejected> {
        let index = self.book.config.motor_index(motor)?;
        Some(self.roster.fault_lines[index].as_ref()?.watched.rejected())
    }
}
