//! What the service says when it did not do what was asked.

use serde::{Deserialize, Deserializer, Serialize};

use super::values::is_false;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// Why a request was not carried out, for programs. [`ErrorReply::message`] says it to people.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])* #[serde(rename = $word)] $name,)*
        }

        impl ErrorCode {
            /// All there are.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name,)*];

            /// The word that stands for it in a reply.
            pub const fn word(self) -> &'static str {
                match self {
                    $(ErrorCode::$name => $word,)*
                }
            }
        }
    };
}

codes! {
    /// The line is longer than [`MAX_LINE`](super::MAX_LINE).
    LineTooLong = "line-too-long",
    /// The line is no JSON, or no object.
    BadJson = "bad-json",
    /// Lists and objects are nested deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    TooDeep = "too-deep",
    /// A key is there twice.
    DuplicateField = "duplicate-field",
    /// The version of the protocol is not known.
    BadVersion = "bad-version",
    /// There is no such verb.
    UnknownVerb = "unknown-verb",
    /// A field that the verb needs is not there.
    MissingField = "missing-field",
    /// A field that the verb does not know is there.
    UnknownField = "unknown-field",
    /// A field is of another type than it must be.
    WrongType = "wrong-type",
    /// A field is of the right type, but its value makes no sense: a quantity without a unit, a
    /// word that is not among those there are, a number out of range.
    BadValue = "bad-value",
    /// There are as many clients as there may be.
    TooManyClients = "too-many-clients",
    /// The config has no such motor.
    UnknownMotor = "unknown-motor",
    /// The motor is of a kind that can't do this.
    WrongMotor = "wrong-motor",
    /// The config has no such program.
    UnknownProgram = "unknown-program",
    /// There is no move with this number, or it ended long ago.
    UnknownMove = "unknown-move",
    /// The lease has ended, or its token is wrong.
    UnknownLease = "unknown-lease",
    /// The lease is another's.
    NotYours = "not-yours",
    /// Motors are leased to others, or are moving.
    Busy = "busy",
    /// As many moves wait already as may.
    QueueFull = "queue-full",
    /// The move breaks a limit, such as a motor's travel.
    Limit = "limit",
    /// It is not known where an axis is, so it can't go to a position.
    PlaceUnknown = "place-unknown",
    /// There is nothing to do this to: nothing moves, nothing is held.
    NothingToDo = "nothing-to-do",
    /// The machine is in fault: a person has to look at it and `clear` it.
    Fault = "fault",
    /// A stop ended it, or holds it back until `clear`.
    Stopped = "stopped",
    /// The time ran out.
    Timeout = "timeout",
    /// The rendezvous is broken.
    Broken = "broken",
    /// Others wait at the rendezvous for another number of parties.
    PartiesDiffer = "parties-differ",
    /// The move takes more current than there is.
    Power = "power",
    /// Positions: as many are saved as may be.
    StackFull = "stack-full",
    /// As many leases, waits or names are in use as may be.
    TooMany = "too-many",
    /// The config has errors, or can't be read. The old one stays.
    Config = "config",
    /// A device or driver failed.
    Hardware = "hardware",
    /// The service is ending.
    Closing = "closing",
    /// The service failed at something that is not the request's fault.
    Internal = "internal",
}

/// A refusal: `{"ok":false,"code":...,"message":...}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ErrorReply {
    /// For programs. A word that a later service uses, and this program does not know, is read as
    /// [`ErrorCode::Internal`].
    #[serde(deserialize_with = "code")]
    pub code: ErrorCode,
    /// For people: what is wrong, and where there is something to do, what.
    #[serde(default)]
    pub message: String,
    /// What else some codes say, in the same object.
    #[serde(flatten)]
    pub facts: Box<ErrorFacts>,
}

fn code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ErrorCode, D::Error> {
    let word = String::deserialize(deserializer)?;
    let known = ErrorCode::ALL.iter().copied().find(|code| code.word() == word);
    Ok(known.unwrap_or(ErrorCode::Internal))
}

/// The further fields of an [`ErrorReply`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ErrorFacts {
    /// The motors that it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub motors: Vec<String>,
    /// Who holds the motors, for [`ErrorCode::Busy`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// The events that did not come, in the order asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Each error of a config: `FILE:LINE:COLUMN: error: ...`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// Whether the service ends the connection after this.
    #[serde(default, skip_serializing_if = "is_false")]
    pub closing: bool,
}

impl ErrorReply {
    /// A refusal with nothing but a code and words.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        ErrorReply { code, message: message.into(), facts: Box::default() }
    }

    /// Names the motors that it is about.
    #[must_use]
    pub fn about(mut self, motors: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.facts.motors = motors.into_iter().map(Into::into).collect();
        self
    }

    /// Adds further facts.
    ///
    /// ```
    /// use lockstep::protocol::{ErrorCode, ErrorFacts, ErrorReply};
    ///
    /// let motors = vec!["x".to_string()];
    /// let error = ErrorReply::new(ErrorCode::Limit, "`x` can't go to 900mm: its travel ends at 200mm")
    ///     .with(ErrorFacts { motors, ..ErrorFacts::default() });
    /// assert_eq!(error.facts.motors, ["x"]);
    /// ```
    #[must_use]
    pub fn with(mut self, facts: ErrorFacts) -> Self {
        *self.facts = facts;
        self
    }
}
