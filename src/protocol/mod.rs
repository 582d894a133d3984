//! What a client and the service say to each other on the control socket: one JSON object on a line.
//!
//! Here are the types and their reading and writing, without a socket; `docs/protocol.md` describes
//! every request, reply, event and error code with examples. Names of motors, programs and events are
//! the config's and the clients': the service resolves them.
//!
//! The service is strict. A line that it does not understand to the last field is refused, with a code
//! for programs and words for people, and does nothing. A client is lenient the other way: it passes
//! over fields and events that it does not know, which a later service may send.
//!
//! ```
//! use lockstep::protocol::{ErrorCode, Incoming, Request};
//!
//! let line = r#"{"v":1,"id":7,"do":"move","to":{"x":"10mm","pan":"30deg"},"wait":true}"#;
//! let Incoming { id, request } = Incoming::parse(line)?;
//! let Request::Move(spec) = &request else { panic!("{request:?}") };
//! assert_eq!(spec.to.names().collect::<Vec<_>>(), ["x", "pan"]);
//! assert_eq!(Incoming { id, request }.to_line(), line);
//!
//! let refused = Incoming::parse(r#"{"v":1,"id":8,"do":"move","to":{"x":10}}"#).unwrap_err();
//! assert_eq!((refused.id, refused.error.code), (Some(8), ErrorCode::WrongType));
//! assert_eq!(refused.error.message, "move: `to.x`: this must be a text, not the number 10");
//! # Ok::<(), lockstep::protocol::Refusal>(())
//! ```

mod checks;
mod error;
mod event;
mod line;
mod lines;
mod node;
mod reply;
mod request;
mod status;
mod tagged;
mod values;

#[cfg(test)]
mod tests;

pub use error::{ErrorCode, ErrorFacts, ErrorReply};
pub use event::{
    Closing, Event, LeaseChanged, LeaseState, Lost, MachineChanged, MotorChange, MotorEnded,
    MotorsChanged, MoveEnded, MoveStarted, PowerChanged, ProgramChanged, Reloaded, Triggered,
};
pub use line::{EventLine, FEATURES, Incoming, Outgoing, Refusal, VERSION};
pub use lines::{LineBuffer, MAX_LINE};
pub use node::MAX_DEPTH;
pub use reply::{
    AtRest, ClearReply, Done, EndResult, EventsReply, HelloReply, LeaseReleaseReply, LeaseReply,
    MotorOutcome, MotorPlace, MoveOutcome, MoveReply, MoveState, OutcomeWord, ProgramListReply,
    ProgramReply, ProgramState, ProgramStopReply, ReloadReply, RendezvousReply, Reply, SaveReply,
    SubscribeReply, TriggerReply, WaitEventsReply,
};
pub use request::{
    Arrive, Cancel, Class, Hello, IfBusy, Jog, LeaseRelease, LeaseRenew, LeaseTake, Meeting,
    Motors, Move, Nothing, OnFault, Override, ProgramRun, ProgramStop, Pulse, Rendezvous, Request,
    Retarget, Return, Save, Selection, SetPosition, Status, Stop, Subscribe, Topic, Trigger, Wait,
    WaitEvents,
};
pub use status::{
    Lateness, LeaseStatus, MachineState, MotorState, MotorStatus, MoveStatus, PowerStatus,
    StatusReply, WaitingProgram,
};
pub use values::{Named, Rate, Target};
