//! Whole lines: what every request, reply and event has in common.

use serde::{Deserialize, Serialize};

use super::error::{ErrorCode, ErrorReply};
use super::event::Event;
use super::node::{FieldError, Node};
use super::reply::Reply;
use super::request::Request;
use crate::text::nearest;

/// The version of the protocol: the `v` of every line.
pub const VERSION: u32 = 1;

/// A request as it comes: `{"v":1,"id":7,"do":"move",...}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    /// The client's number for it, which its reply bears.
    pub id: u64,
    /// What is asked for.
    pub request: Request,
}

/// A line that was not understood.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{error}")]
pub struct Refusal {
    /// The request's number, if that much was understood.
    pub id: Option<u64>,
    /// What is wrong.
    pub error: ErrorReply,
}

impl From<ErrorReply> for Refusal {
    fn from(error: ErrorReply) -> Self {
        Refusal { id: None, error }
    }
}

impl Refusal {
    /// The reply to the line.
    pub fn reply(self) -> Outgoing {
        Outgoing::Reply { id: self.id, result: Err(self.error) }
    }
}

#[derive(Serialize)]
struct RequestLine<'a> {
    v: u32,
    id: u64,
    #[serde(flatten)]
    request: &'a Request,
}

impl Incoming {
    /// Reads a line, without its line feed.
    ///
    /// # Errors
    ///
    /// What is wrong with it: the first flaw that is found, with one of the codes from
    /// [`ErrorCode::BadJson`] to [`ErrorCode::BadValue`].
    pub fn parse(line: &str) -> Result<Incoming, Refusal> {
        if line.len() > super::MAX_LINE {
            let message =
                format!("a line may have {} bytes, and this one has more", super::MAX_LINE);
            return Err(ErrorReply::new(ErrorCode::LineTooLong, message).into());
        }
        let mut fields = object(Node::parse(line)?)?;
        // The number first, so that every other error bears it.
        let id = take(&mut fields, "id").map(number::<u64>);
        let known = id.clone().and_then(Result::ok);
        let refused = |error: ErrorReply| Refusal { id: known, error };
        let version = take(&mut fields, "v").ok_or_else(|| {
            let what = format!("the field `v` is missing: write {VERSION}, the protocol's version");
            refused(ErrorReply::new(ErrorCode::MissingField, what))
        })?;
        let version = number::<u32>(version).map_err(|e| refused(under("v", e)))?;
        if version != VERSION {
            let what = format!("version {version} of the protocol is not known: write {VERSION}");
            return Err(refused(ErrorReply::new(ErrorCode::BadVersion, what)));
        }
        let id = id.ok_or_else(|| {
            let what =
                "the field `id` is missing: write a number of your own, for the reply to bear";
            refused(ErrorReply::new(ErrorCode::MissingField, what))
        })?;
        let id = id.map_err(|e| refused(under("id", e)))?;
        let verb = take(&mut fields, "do").ok_or_else(|| {
            let what = "the field `do` is missing: write a verb, such as \"status\"";
            refused(ErrorReply::new(ErrorCode::MissingField, what))
        })?;
        let verb = String::deserialize(verb).map_err(|e| refused(under("do", e)))?;
        match Request::of(&verb, Node::Object(fields)) {
            Some(Ok(request)) => Ok(Incoming { id, request }),
            Some(Err(error)) => Err(refused(error.reply(&verb))),
            None => {
                let hint = match nearest(&verb, Request::WORDS.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are {}", Request::WORDS.join(", ")),
                };
                let verb: String = verb.chars().take(64).collect();
                let what = format!("no verb `{verb}` is known; {hint}");
                Err(refused(ErrorReply::new(ErrorCode::UnknownVerb, what)))
            }
        }
    }

    /// The line, without a line feed.
    pub fn to_line(&self) -> String {
        let Incoming { id, request } = self;
        text(&RequestLine { v: VERSION, id: *id, request })
    }
}

/// An event with its number and instant.
#[derive(Debug, Clone, PartialEq)]
pub struct EventLine {
    /// Counts a client's events, from 1. Those that were [lost](Event::Lost) count, too.
    pub seq: u64,
    /// When it happened, in seconds on the machine's monotonic clock.
    pub at_s: f64,
    /// What happened.
    pub event: Event,
}

/// A line from the service.
#[derive(Debug, Clone, PartialEq)]
pub enum Outgoing {
    /// The answer to a request: `{"v":1,"id":7,"ok":true,"do":"move",...}`.
    Reply {
        /// The request's number; `null` if it could not be read.
        id: Option<u64>,
        /// What came of it.
        result: Result<Reply, ErrorReply>,
    },
    /// Something happened: `{"v":1,"event":"move-ended",...}`.
    Event(EventLine),
}

#[derive(Serialize)]
struct ReplyLine<'a, T> {
    v: u32,
    id: Option<u64>,
    ok: bool,
    #[serde(flatten)]
    body: &'a T,
}

#[derive(Serialize)]
struct EventText<'a> {
    v: u32,
    seq: u64,
    at_s: f64,
    #[serde(flatten)]
    event: &'a Event,
}

#[derive(Deserialize)]
struct ReplyHead {
    #[serde(default)]
    id: Option<u64>,
    ok: bool,
    #[serde(default, rename = "do")]
    verb: String,
}

#[derive(Deserialize)]
struct EventHead {
    seq: u64,
    at_s: f64,
    event: String,
}

impl Outgoing {
    /// Reads a line, without its line feed: for clients. `Ok(None)` for an event or a kind of reply
    /// that this program is too old to know.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(line: &str) -> Result<Option<Outgoing>, ErrorReply> {
        let node = Node::parse(line)?;
        let fields = object(node.clone())?;
        let place = "a line of the service";
        if fields.iter().any(|(key, _)| key == "event") {
            let head = EventHead::deserialize(node.clone()).map_err(|e| e.reply(place))?;
            let EventHead { seq, at_s, event } = head;
            let Some(event) = Event::of(&event, node) else {
                return Ok(None);
            };
            let event = event.map_err(|e| e.reply(place))?;
            return Ok(Some(Outgoing::Event(EventLine { seq, at_s, event })));
        }
        let head = ReplyHead::deserialize(node.clone()).map_err(|e| e.reply(place))?;
        let ReplyHead { id, ok, verb } = head;
        let result = match ok {
            false => Err(ErrorReply::deserialize(node).map_err(|e| e.reply(place))?),
            true => match Reply::of(&verb, node) {
                Some(reply) => Ok(reply.map_err(|e| e.reply(place))?),
                None => return Ok(None),
            },
        };
        Ok(Some(Outgoing::Reply { id, result }))
    }

    /// The line, without a line feed.
    pub fn to_line(&self) -> String {
        let v = VERSION;
        match self {
            Outgoing::Reply { id, result: Ok(body) } => {
                text(&ReplyLine { v, id: *id, ok: true, body })
            }
            Outgoing::Reply { id, result: Err(body) } => {
                text(&ReplyLine { v, id: *id, ok: false, body })
            }
            Outgoing::Event(EventLine { seq, at_s, event }) => {
                text(&EventText { v, seq: *seq, at_s: *at_s, event })
            }
        }
    }
}

fn object(node: Node) -> Result<Vec<(String, Node)>, ErrorReply> {
    match node {
        Node::Object(fields) => Ok(fields),
        _ => {
            let what = "this is no object: write {\"v\":1,\"id\":1,\"do\":...} on one line";
            Err(ErrorReply::new(ErrorCode::BadJson, what))
        }
    }
}

fn take(fields: &mut Vec<(String, Node)>, key: &str) -> Option<Node> {
    let place = fields.iter().position(|(other, _)| other == key)?;
    Some(fields.remove(place).1)
}

fn number<T: for<'de> Deserialize<'de>>(node: Node) -> Result<T, FieldError> {
    T::deserialize(node)
}

fn under(key: &str, error: FieldError) -> ErrorReply {
    error.reply(&format!("`{key}`"))
}

/// These types hold nothing that JSON can't write: their keys are texts.
fn text(line: &impl Serialize) -> String {
    serde_json::to_string(line).unwrap_or_default()
}
