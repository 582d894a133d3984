use crate::hal::HalError;
use crate::units::Instant;

/// What a stepper's loop drives, one step at a time: pulses on STEP, or the phases of coils.
///
/// Nothing here waits, and from [`StepOutput::turn`] to the end of a pulse nothing allocates, locks,
/// formats or logs.
pub trait StepOutput: Send {
    /// Gives the motor its power, in the phase that it is in. Says from when on it may step.
    ///
    /// # Errors
    ///
    /// The back end refused.
    fn energise(&mut self) -> Result<Instant, HalError>;

    /// Takes the motor's power away. The phase is kept.
    ///
    /// # Errors
    ///
    /// The back end refused.
    fn release(&mut self) -> Result<(), HalError>;

    /// Ends the pulse under way, if it has had its width by `now`; else says when it will have.
    ///
    /// # Errors
    ///
    /// The back end refused.
    fn end_pulse(&mut self, now: Instant) -> Result<Option<Instant>, HalError>;

    /// Whether a pulse is under way.
    fn in_pulse(&self) -> bool;

    /// Gets ready for steps up or down.
    ///
    /// # Errors
    ///
    /// The back end refused.
    fn turn(&mut self, up: bool, now: Instant) -> Result<Turn, HalError>;

    /// The earliest instant of the next step, as far as the outputs go.
    fn ready_from(&self) -> Instant;

    /// Makes one step, up or down, in the direction turned to. Says when.
    ///
    /// # Errors
    ///
    /// The back end refused: the step is not made, and may be made again.
    fn step(&mut self, up: bool) -> Result<Instant, HalError>;

    /// The coils that are on in the phase that the motor is in, the first the lowest bit, also while it has no
    /// power; `None` where a driver keeps that to itself.
    #[inline]
    fn phase(&self) -> Option<u8> {
        None
    }

    /// An output was refused: no wait on a pulse that can no longer be ended.
    fn abandon(&mut self);

    /// Last resort, after a panic of the loop: ends a pulse with its full width.
    fn make_safe(&mut self);
}

/// How a turn to a direction went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// It is turned that way already.
    Done,
    /// It has just turned; steps that way from this instant on.
    Settles(Instant),
    /// It may not turn before this instant.
    NotBefore(Instant),
}
