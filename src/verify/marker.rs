//! The markers of moves in a trace.

/// What a text of `machine.move` says.
pub(super) enum Marker<'t> {
    /// `7:aligned:x,y`: a move begins.
    Begins,
    /// `7:ended`
    Ended(&'t str),
    /// `7:corner:0.1:12.5,3`: the next vertex of a blended run.
    Corner(&'t str, &'t str),
    /// `7:stop:x,y`: it comes to rest on its way.
    Stop(&'t str),
    /// `7:retarget:x,y`: its motors go elsewhere, each by itself.
    Retarget(&'t str),
    /// `7:turn:x,y`: a jog is told to go the other way.
    Turn(&'t str),
    /// `set:x`: a person says where the axis is; its position stands beside it.
    Set(&'t str),
    /// `unknown:x`: nobody knows where the axis is.
    Unknown(&'t str),
    /// A change of plan on the way, for people to see: `7:hold:x,y`, `7:held`, ...
    OnTheWay,
}

impl Marker<'_> {
    pub fn read(text: &str) -> Marker<'_> {
        let (first, rest) = text.split_once(':').unwrap_or((text, ""));
        match (first, rest.split(':').next().unwrap_or_default()) {
            ("set", name) => Marker::Set(name),
            ("unknown", name) => Marker::Unknown(name),
            (id, "ended") => Marker::Ended(id),
            (id, "retarget") => Marker::Retarget(id),
            (id, "corner") => Marker::Corner(id, rest.split_once(':').map_or("", |r| r.1)),
            (id, "stop") => Marker::Stop(id),
            (_, "turn") => Marker::Turn(rest.split_once(':').map_or("", |r| r.1)),
            (_, "hold" | "held" | "resume" | "override" | "renew" | "path") => Marker::OnTheWay,
            _ => Marker::Begins,
        }
    }
}
