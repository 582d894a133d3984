//! A terminal that hands over each key as it is pressed, and shows none of them.

use rustix::stdio::stdin;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// As long as this lives; then the terminal is as it was.
pub(super) struct RawTerminal(Termios);

impl RawTerminal {
    /// Standard input's terminal; `None` where it is none. Ctrl-C is a key, too, so that nothing ends the program before
    /// the terminal is as it was.
    pub fn new() -> Option<RawTerminal> {
        let before = tcgetattr(stdin()).ok()?;
        let mut raw = before.clone();
        raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        tcsetattr(stdin(), OptionalActions::Drain, &raw).ok()?;
        Some(RawTerminal(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &self.0);
    }
}
