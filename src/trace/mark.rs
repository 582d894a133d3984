//! What stands in the signal `machine.move`: which moves begin, change and end, and whose they are.
//!
//! A mark is one word of fields with `:` in between. There are two grammars. A trace of grammar 2 says so by
//! its first mark, `grammar:2`, at time zero; one without it is of grammar 1, whose marks are those of
//! grammar 2 without owners.

use std::borrow::Cow;
use std::fmt;

use thiserror::Error;

/// The grammar that this version writes.
pub const GRAMMAR: u32 = 2;

/// A mark of the signal `machine.move`. `Display` writes it, [`Mark::parse`] reads it, in either grammar.
///
/// ```
/// use lockstep::trace::{Mark, MoveKind, Owner, PlanChange};
///
/// let begins = Mark::begins(7, MoveKind::Aligned, ["x", "y"], Owner::program("tour"));
/// assert_eq!(begins.to_string(), "7:aligned:x,y:program.tour");
/// assert_eq!(Mark::parse("7:aligned:x,y:program.tour").unwrap(), begins);
/// assert_eq!(Mark::changed(7, PlanChange::Hold, ["x", "y"]).to_string(), "7:hold:x,y");
/// // Grammar 1 has no owners.
/// assert!(matches!(Mark::parse("7:aligned:x,y").unwrap(), Mark::Begins { owner: None, .. }));
/// ```
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Mark<'t> {
    /// `grammar:2`: the first mark of a trace, at time zero. Without it the grammar is 1.
    Grammar(u32),
    /// `7:aligned:x,y:client`: a move begins. The positions of its motors stand beside it.
    Begins {
        /// The move's number.
        id: u64,
        /// How it is planned.
        kind: MoveKind,
        /// Its motors; none in the oldest traces, which do not name them.
        motors: Motors<'t>,
        /// Who asked for it; none in grammar 1.
        owner: Option<Owner<'t>>,
    },
    /// `7:corner:0.1:12.5,3`: the next vertex of a blended run, told no later than the motion needs it.
    Corner {
        /// The move's number.
        id: u64,
        /// How near to it the run stays, in the motors' unit.
        blend: f64,
        /// The place of each motor, in the order of the move's beginning, in its unit.
        at: Vec<f64>,
    },
    /// `7:hold:x,y`: from here on these motors of the move follow another plan.
    Changed {
        /// The move's number.
        id: u64,
        /// What the other plan is for.
        change: PlanChange,
        /// The motors that it changes.
        motors: Motors<'t>,
    },
    /// `7:held`: all motors of the move have come to rest for a hold.
    Held(u64),
    /// `7:ended`: the last motor of the move has ended.
    Ended(u64),
    /// `set:x`: a person says where the axis is; its position stands beside it.
    Set(Cow<'t, str>),
    /// `unknown:x`: nobody knows any more where the axis is.
    Unknown(Cow<'t, str>),
    /// `fault:x`: the motor has a fault, and is part of its move no more.
    Fault(Cow<'t, str>),
    /// `release:x`: somebody lets go of the motor by name, at rest.
    Release(Cow<'t, str>),
    /// `enable:x`: somebody switches the axis on by name: it stays on at rest.
    Enable(Cow<'t, str>),
    /// A word that is kept for what comes: a reader passes it over.
    Reserved(Reserved, Cow<'t, str>),
}

/// How a move is planned.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum MoveKind {
    /// All motors on one straight line.
    Aligned,
    /// Each motor by itself, as soon as it can.
    Asap,
    /// Along vertices, with blended corners.
    Blend,
    /// Through keyframes, at their times.
    Keyframes,
    /// At a speed, for as long as somebody asks for it.
    Jog,
    /// Along what is fed while it runs.
    Stream,
}

impl MoveKind {
    const ALL: [MoveKind; 6] = [
        MoveKind::Aligned,
        MoveKind::Asap,
        MoveKind::Blend,
        MoveKind::Keyframes,
        MoveKind::Jog,
        MoveKind::Stream,
    ];

    /// Its word in a mark.
    pub fn word(self) -> &'static str {
        match self {
            MoveKind::Aligned => "aligned",
            MoveKind::Asap => "asap",
            MoveKind::Blend => "blend",
            MoveKind::Keyframes => "keyframes",
            MoveKind::Jog => "jog",
            MoveKind::Stream => "stream",
        }
    }
}

/// What a change of plan on the way is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum PlanChange {
    /// To rest, on the way, until it is resumed.
    Hold,
    /// On again, after a hold.
    Resume,
    /// To rest, on the way, and the move ends there.
    Stop,
    /// The same way at another speed.
    Override,
    /// To another target.
    Retarget,
    /// A jog is asked for again, in the direction that it has, at any speed.
    Renew,
    /// A jog is asked for again in the other direction: its motors turn round, once. Grammar 1 has `renew`
    /// for this, too.
    Turn,
    /// More of a path.
    Path,
    /// These motors join a jog or a stream that is under way, from rest, at the positions that stand beside it.
    Join,
}

impl PlanChange {
    const ALL: [PlanChange; 9] = [
        PlanChange::Hold,
        PlanChange::Resume,
        PlanChange::Stop,
        PlanChange::Override,
        PlanChange::Retarget,
        PlanChange::Renew,
        PlanChange::Turn,
        PlanChange::Path,
        PlanChange::Join,
    ];

    /// Its word in a mark.
    pub fn word(self) -> &'static str {
        match self {
            PlanChange::Hold => "hold",
            PlanChange::Resume => "resume",
            PlanChange::Stop => "stop",
            PlanChange::Override => "override",
            PlanChange::Retarget => "retarget",
            PlanChange::Renew => "renew",
            PlanChange::Turn => "turn",
            PlanChange::Path => "path",
            PlanChange::Join => "join",
        }
    }
}

/// Who asked for a move.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Owner<'t> {
    /// A client of the service, or whoever uses the library.
    Client,
    /// `program.NAME`: a program of the config.
    Program(Cow<'t, str>),
    /// The start of the machine.
    StartUp,
    /// The end of the machine: motors go to where they are parked.
    Park,
    /// `procedure.NAME`: homing, probing and the like.
    Procedure(Cow<'t, str>),
    /// A stream that is fed while it runs.
    Stream,
}

impl<'t> Owner<'t> {
    /// A program of this name.
    pub fn program(name: impl Into<Cow<'t, str>>) -> Owner<'t> {
        Owner::Program(name.into())
    }

    /// A procedure of this name.
    pub fn procedure(name: impl Into<Cow<'t, str>>) -> Owner<'t> {
        Owner::Procedure(name.into())
    }

    fn parse(text: &'t str) -> Option<Owner<'t>> {
        Some(match text.split_once('.') {
            None if text == "client" => Owner::Client,
            None if text == "start-up" => Owner::StartUp,
            None if text == "park" => Owner::Park,
            None if text == "stream" => Owner::Stream,
            Some(("program", name)) if !name.is_empty() => Owner::program(name),
            Some(("procedure", name)) if !name.is_empty() => Owner::procedure(name),
            _ => return None,
        })
    }

    /// The same, with a text of its own.
    pub fn into_owned(self) -> Owner<'static> {
        match self {
            Owner::Client => Owner::Client,
            Owner::Program(name) => Owner::program(name.into_owned()),
            Owner::StartUp => Owner::StartUp,
            Owner::Park => Owner::Park,
            Owner::Procedure(name) => Owner::procedure(name.into_owned()),
            Owner::Stream => Owner::Stream,
        }
    }
}

impl fmt::Display for Owner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Client => f.write_str("client"),
            Owner::Program(name) => write!(f, "program.{name}"),
            Owner::StartUp => f.write_str("start-up"),
            Owner::Park => f.write_str("park"),
            Owner::Procedure(name) => write!(f, "procedure.{name}"),
            Owner::Stream => f.write_str("stream"),
        }
    }
}

/// Names of motors, as a mark has them: `x,y`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Motors<'t>(Cow<'t, str>);

impl<'t> Motors<'t> {
    /// These names, in their order. Names of motors have no comma and no colon.
    pub fn new<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Motors<'t> {
        let mut text = String::new();
        for name in names {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(name.as_ref());
        }
        Motors(text.into())
    }

    /// The names, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split(',').filter(|name| !name.is_empty())
    }

    /// Whether none is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same, with a text of its own.
    pub fn into_owned(self) -> Motors<'static> {
        Motors(self.0.into_owned().into())
    }
}

impl fmt::Display for Motors<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Words of grammar 2 that are kept for what comes. What follows them is not looked at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Reserved {
    /// `7:frame:...`: a keyframe of the move is due.
    Frame,
    /// `7:phase:...`: a procedure goes on to its next phase.
    Phase,
    /// `input:...`: an input has changed.
    Input,
    /// `output:...`: an output has changed.
    Output,
    /// `machine:...`: the machine is held, is stopped, goes on.
    Machine,
}

/// A text that is no mark of either grammar.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("`{text}` is no mark of a move: {why}")]
pub struct MarkError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl<'t> Mark<'t> {
    /// A move begins.
    pub fn begins<N: AsRef<str>>(
        id: u64,
        kind: MoveKind,
        motors: impl IntoIterator<Item = N>,
        owner: Owner<'t>,
    ) -> Mark<'t> {
        Mark::Begins { id, kind, motors: Motors::new(motors), owner: Some(owner) }
    }

    /// Motors of a move follow another plan.
    pub fn changed<N: AsRef<str>>(
        id: u64,
        change: PlanChange,
        motors: impl IntoIterator<Item = N>,
    ) -> Mark<'t> {
        Mark::Changed { id, change, motors: Motors::new(motors) }
    }

    /// The next vertex of a blended run, places in the motors' units.
    pub fn corner(id: u64, blend: f64, at: impl Into<Vec<f64>>) -> Mark<'t> {
        Mark::Corner { id, blend, at: at.into() }
    }

    /// Reads a mark of grammar 1 or 2.
    ///
    /// # Errors
    ///
    /// The text is no such mark.
    pub fn parse(text: &'t str) -> Result<Mark<'t>, MarkError> {
        let wrong = |why| MarkError { text: text.to_owned(), why };
        let (first, rest) = text.split_once(':').unwrap_or((text, ""));
        let reserved = |word| Ok(Mark::Reserved(word, Cow::Borrowed(text)));
        match first {
            "grammar" => {
                return rest
                    .parse()
                    .map(Mark::Grammar)
                    .map_err(|_| wrong("its grammar is no number"));
            }
            "set" => return Ok(Mark::Set(rest.into())),
            "unknown" => return Ok(Mark::Unknown(rest.into())),
            "fault" => return Ok(Mark::Fault(rest.into())),
            "release" => return Ok(Mark::Release(rest.into())),
            "enable" => return Ok(Mark::Enable(rest.into())),
            "input" => return reserved(Reserved::Input),
            "output" => return reserved(Reserved::Output),
            "machine" => return reserved(Reserved::Machine),
            _ => {}
        }
        let id: u64 =
            first.parse().map_err(|_| wrong("it begins with no number and no known word"))?;
        let (word, rest) = rest.split_once(':').unwrap_or((rest, ""));
        if let Some(&change) = PlanChange::ALL.iter().find(|c| c.word() == word) {
            return Ok(Mark::Changed { id, change, motors: Motors(rest.into()) });
        }
        if let Some(&kind) = MoveKind::ALL.iter().find(|k| k.word() == word) {
            let (motors, owner) = match rest.split_once(':') {
                None => (rest, None),
                Some((motors, owner)) => {
                    let owner =
                        Owner::parse(owner).ok_or_else(|| wrong("nobody is such an owner"))?;
                    (motors, Some(owner))
                }
            };
            return Ok(Mark::Begins { id, kind, motors: Motors(motors.into()), owner });
        }
        match word {
            "ended" => Ok(Mark::Ended(id)),
            "held" => Ok(Mark::Held(id)),
            "corner" => {
                let number = |text: &str| text.parse().ok().filter(|n: &f64| n.is_finite());
                let vertex = rest.split_once(':').and_then(|(blend, places)| {
                    let at: Option<Vec<f64>> = places.split(',').map(number).collect();
                    Some((number(blend)?, at?))
                });
                let (blend, at) = vertex.ok_or_else(|| wrong("it is no vertex"))?;
                Ok(Mark::Corner { id, blend, at })
            }
            "frame" => reserved(Reserved::Frame),
            "phase" => reserved(Reserved::Phase),
            _ => Err(wrong("a move has no such word")),
        }
    }

    /// The same, with texts of its own, to be kept.
    pub fn into_owned(self) -> Mark<'static> {
        let own = |text: Cow<'t, str>| Cow::Owned(text.into_owned());
        match self {
            Mark::Grammar(n) => Mark::Grammar(n),
            Mark::Begins { id, kind, motors, owner } => Mark::Begins {
                id,
                kind,
                motors: motors.into_owned(),
                owner: owner.map(Owner::into_owned),
            },
            Mark::Corner { id, blend, at } => Mark::Corner { id, blend, at },
            Mark::Changed { id, change, motors } => {
                Mark::Changed { id, change, motors: motors.into_owned() }
            }
            Mark::Held(id) => Mark::Held(id),
            Mark::Ended(id) => Mark::Ended(id),
            Mark::Set(motor) => Mark::Set(own(motor)),
            Mark::Unknown(motor) => Mark::Unknown(own(motor)),
            Mark::Fault(motor) => Mark::Fault(own(motor)),
            Mark::Release(motor) => Mark::Release(own(motor)),
            Mark::Enable(motor) => Mark::Enable(own(motor)),
            Mark::Reserved(word, text) => Mark::Reserved(word, own(text)),
        }
    }
}

impl fmt::Display for Mark<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mark::Grammar(n) => write!(f, "grammar:{n}"),
            Mark::Begins { id, kind, motors, owner } => {
                write!(f, "{id}:{}", kind.word())?;
                if !motors.is_empty() || owner.is_some() {
                    write!(f, ":{motors}")?;
                }
                owner.iter().try_for_each(|owner| write!(f, ":{owner}"))
            }
            Mark::Corner { id, blend, at } => {
                write!(f, "{id}:corner:{blend}")?;
                at.iter().enumerate().try_for_each(|(n, place)| {
                    write!(f, "{}{place}", if n == 0 { ':' } else { ',' })
                })
            }
            Mark::Changed { id, change, motors } => write!(f, "{id}:{}:{motors}", change.word()),
            Mark::Held(id) => write!(f, "{id}:held"),
            Mark::Ended(id) => write!(f, "{id}:ended"),
            Mark::Set(motor) => write!(f, "set:{motor}"),
            Mark::Unknown(motor) => write!(f, "unknown:{motor}"),
            Mark::Fault(motor) => write!(f, "fault:{motor}"),
            Mark::Release(motor) => write!(f, "release:{motor}"),
            Mark::Enable(motor) => write!(f, "enable:{motor}"),
            Mark::Reserved(_, text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests;
