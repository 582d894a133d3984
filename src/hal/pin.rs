use super::Level;

/// What a pin of the header does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum PinFunction {
    /// It is an input.
    Input,
    /// It is an output.
    Output,
    /// It has no function: RP1 pins after power-on.
    Nothing,
    /// An alternate function, by its name: `ALT5`.
    Other(String),
}

/// A pin of the header, looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PinSeen {
    /// Its GPIO number.
    pub gpio: u8,
    /// What it does.
    pub function: PinFunction,
    /// Its level; low for a pin without a function, whatever it is.
    pub level: Level,
}
