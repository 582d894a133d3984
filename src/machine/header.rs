//! A machine on this computer's own header, for a program that uses the library.

use super::{Machine, MachineBuilder, MachineError};
use crate::board::Model;
use crate::claim::Claim;
use crate::config::Config;
use crate::hal::{RppalBackend, Supply, SysSupply, identify_board};
use crate::safe::{list, with_chips};

/// What is kept in place of a config's text.
const NO_TEXT: &str =
    "# A program has built this machine: the list of outputs beside this says what it drives.\n";

/// The header is this machine's.
pub(super) struct Header {
    claim: Claim,
    board: Model,
}

impl Header {
    /// What `lockstep safe` has to know of a config.
    fn outputs(&self, config: &Config) -> String {
        list::write(&with_chips(list::of(config), self.board))
    }
}

/// The program that it was, for whoever makes safe what it has left.
fn program() -> String {
    std::env::current_exe().map_or_else(|_| String::new(), |file| file.display().to_string())
}

impl MachineBuilder {
    /// On the header of the Raspberry Pi that this program runs on, in place of the simulator. Ignored in virtual
    /// time.
    ///
    /// [`build`](Self::build) claims the header first, as `lockstep run` does: two programs at once would fight for
    /// its pins. The claim ends with the [`Machine`](super::Machine), or with the process. What is driven is written
    /// down for `lockstep safe`, which makes it safe should the process be killed; where this user may write to no
    /// runtime folder, a warning says so in the log.
    ///
    /// `build` then fails with [`MachineError::Backend`] where this is no Raspberry Pi or a device can't be opened,
    /// and with [`MachineError::Claimed`] where another program has the header.
    ///
    /// ```no_run
    /// use lockstep::config::Config;
    /// use lockstep::machine::Machine;
    ///
    /// let config = Config::from_file("config/xyz-stage.toml")?.config;
    /// let machine = Machine::builder(config).header().build()?;
    /// assert!(machine.is_hardware());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn header(mut self) -> Self {
        self.header = true;
        self
    }

    /// Opens it, where that was asked for. No pin changes.
    pub(super) fn open_header(&mut self) -> Result<Option<Header>, MachineError> {
        if !self.header || self.virtual_time {
            return Ok(None);
        }
        let board = identify_board().map_err(MachineError::Backend)?;
        let claimed = |error| MachineError::Claimed { why: format!("{error}") };
        let mut header = Header { claim: Claim::take().map_err(claimed)?, board };
        header.claim.drive();
        match header.claim.keep(NO_TEXT, &program(), &header.outputs(&self.config)) {
            Ok(Some(_)) => {}
            Ok(None) => log::warn!(
                "what is driven is written down nowhere, since this user may not write to /run/lockstep: \
                 should this program be killed, name its config to `lockstep safe`"
            ),
            Err(error) => log::warn!("what is driven can't be written down: {error}"),
        }
        self.backend = Some(Box::new(RppalBackend::open().map_err(MachineError::Backend)?));
        if self.supply.is_none() {
            let supply = SysSupply::find("/sys".as_ref());
            self.supply = supply.map(|supply| Box::new(supply) as Box<dyn Supply>);
        }
        Ok(Some(header))
    }
}

impl Machine {
    /// Another config is about to take the place of the one that holds: until that is over, what either drives is
    /// to be made safe, should the process die.
    pub(super) fn header_changing(&self, new: &Config) {
        let Some(header) = &self.header else { return };
        if let Err(e) = header.claim.changing(NO_TEXT, &program(), &header.outputs(new)) {
            log::warn!("what is to be driven can't be written down: {e}");
        }
    }

    /// It holds, or it was refused.
    pub(super) fn header_changed(&self, holds: bool) {
        let Some(header) = &self.header else { return };
        if let Err(e) = header.claim.changed(holds) {
            log::warn!("what is driven can't be written down: {e}");
        }
    }
}
