use super::{Clock, HalError, InputEdge, InputLine, Level, OutputLine, PwmChannel};
use crate::board::{Pull, PwmOutput};

/// What an output line does at the moment it is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OutputStart {
    /// Takes this level before it becomes an output.
    Level(Level),
    /// Keeps the level that the pin has: for the enable line of an axis that holds a load.
    Adopt,
}

/// What is called for each edge of an input line, on a thread of the back end (or of whoever moves a
/// simulated input). It must return at once: it hands the edge on and does nothing else.
pub type OnEdge = Box<dyn FnMut(InputEdge) + Send>;

/// Opens lines and channels: the simulator, or the header of a Raspberry Pi.
///
/// `who` is the motor (and its line) that a pin is opened for: errors name it.
pub trait Backend: Send {
    /// `sim` or `rppal`.
    fn name(&self) -> &'static str;

    /// Whether real motors hang on it.
    fn is_hardware(&self) -> bool;

    /// The clock that all its instants are on.
    fn clock(&self) -> Clock;

    /// Says which outputs [`Backend::open_pwm`] will be called for. It makes opening them quick (all
    /// are opened at once) and lets errors name the one overlay line that serves all. Leaving it out
    /// costs up to a second a channel for a user who is not root.
    ///
    /// # Errors
    ///
    /// As [`Backend::open_pwm`], for the first output that failed.
    fn prepare_pwm(&mut self, outputs: &[PwmOutput]) -> Result<(), HalError> {
        let _ = outputs;
        Ok(())
    }

    /// Opens the PWM channel that `output` names. No signal starts.
    ///
    /// # Errors
    ///
    /// The pin is taken or has no hardware PWM, the channel is in use, the chip is not there or not
    /// the only one that the name fits, or the user may not use it.
    fn open_pwm(&mut self, output: &PwmOutput, who: &str) -> Result<Box<dyn PwmChannel>, HalError>;

    /// Says that the channel of `output` was given back, or is not wanted any more: it can be opened
    /// again, or another that only one of them could have.
    fn forget_pwm(&mut self, output: &PwmOutput) {
        let _ = output;
    }

    /// Opens `gpio` as an output, which never takes another level than `start` on the way. The level
    /// stays when the line is dropped.
    ///
    /// # Errors
    ///
    /// The pin is taken or does not exist.
    fn open_output(
        &mut self,
        gpio: u8,
        start: OutputStart,
        who: &str,
    ) -> Result<Box<dyn OutputLine>, HalError>;

    /// Opens `gpio` as an input, pulled as asked. When it returns, edges are seen: read the level once
    /// after it, and every change from then on arrives at `on_edge`.
    ///
    /// # Errors
    ///
    /// The pin is taken, does not exist, or its edges cannot be watched.
    fn open_input(
        &mut self,
        gpio: u8,
        pull: Pull,
        who: &str,
        on_edge: OnEdge,
    ) -> Result<Box<dyn InputLine>, HalError>;
}
