//! A client's requests, in the order they came, and its replies in the same order.

use std::collections::VecDeque;

use crate::protocol::{ErrorCode, ErrorReply, Incoming, Outgoing, Reply, Request};

/// Requests of one client that wait for an earlier one of its own.
const MOST_WAITING: usize = 64;

/// Replies that wait for an earlier one, whatever they say: who lets more of them pile up is no client.
const MOST_REPLIES: usize = 1024;

/// What a client asked for and was not yet told.
#[derive(Debug)]
pub(super) struct LineUp<W> {
    /// Requests that were read and not begun.
    waiting: VecDeque<Incoming>,
    /// Replies by the order of their requests: those that are known, and those that are waited for.
    places: VecDeque<Place<W>>,
}

#[derive(Debug)]
struct Place<W> {
    id: Option<u64>,
    /// The order in which requests came.
    number: u64,
    state: State<W>,
}

#[derive(Debug)]
enum State<W> {
    /// Not begun.
    Later,
    /// Begun: its reply comes when this is settled.
    Open(W),
    Known(Result<Reply, ErrorReply>),
}

/// What became of a request.
pub(super) enum Answer<W> {
    /// Its reply.
    Now(Result<Reply, ErrorReply>),
    /// It has begun, and its reply comes when this is settled.
    Later(W),
}

impl<W> Default for LineUp<W> {
    fn default() -> Self {
        LineUp { waiting: VecDeque::new(), places: VecDeque::new() }
    }
}

impl<W> LineUp<W> {
    /// A line was no request: its reply takes its place in the order.
    pub fn refuse(&mut self, number: u64, id: Option<u64>, error: ErrorReply) {
        self.places.push_back(Place { id, number, state: State::Known(Err(error)) });
    }

    /// Takes a request in. What is urgent, and what nothing waits before, is handed back to be begun.
    pub fn take(&mut self, number: u64, request: Incoming) -> Option<(u64, Request)> {
        let id = Some(request.id);
        if self.waiting.len() >= MOST_WAITING {
            let text =
                format!("{MOST_WAITING} requests wait for an earlier one: wait for its reply");
            self.refuse(number, id, ErrorReply::new(ErrorCode::TooMany, text));
            return None;
        }
        let at_once = request.request.is_urgent() || !self.is_waiting();
        self.places.push_back(Place { id, number, state: State::Later });
        if at_once {
            return Some((number, request.request));
        }
        self.waiting.push_back(request);
        None
    }

    /// Whether so many replies wait for one that is long in coming that no more are taken.
    pub fn is_flooded(&self) -> bool {
        self.places.len() > MOST_REPLIES
    }

    fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() || self.places.iter().any(|p| matches!(p.state, State::Open(_)))
    }

    /// The next request, if no earlier one is open.
    pub fn next(&mut self) -> Option<(u64, Request)> {
        // What was begun at once, though it came later, keeps nobody waiting.
        let mut places = self.places.iter().take_while(|p| !matches!(p.state, State::Open(_)));
        let number = places.find(|p| matches!(p.state, State::Later))?.number;
        let request = self.waiting.pop_front()?;
        Some((number, request.request))
    }

    /// Requests that have not begun, and must not begin any more.
    pub fn refuse_those(
        &mut self,
        meant: impl Fn(&Request) -> bool,
        error: impl Fn() -> ErrorReply,
    ) {
        // The places of those that have not begun stand in the order of the requests.
        let mut places = self.places.iter_mut().filter(|p| matches!(p.state, State::Later));
        self.waiting.retain(|incoming| {
            let place = places.find(|p| p.id == Some(incoming.id));
            let goes = meant(&incoming.request);
            if let Some(place) = place.filter(|_| goes) {
                place.state = State::Known(Err(error()));
            }
            !goes
        });
    }

    /// What became of the request that came as `number`.
    pub fn answer(&mut self, number: u64, answer: Answer<W>) {
        if let Some(place) = self.places.iter_mut().find(|p| p.number == number) {
            place.state = match answer {
                Answer::Now(reply) => State::Known(reply),
                Answer::Later(wait) => State::Open(wait),
            };
        }
    }

    /// Looks at everything that is waited for: `settled` says what it has come to.
    pub fn settle(&mut self, mut settled: impl FnMut(&mut W) -> Option<Result<Reply, ErrorReply>>) {
        for place in &mut self.places {
            if let State::Open(wait) = &mut place.state
                && let Some(reply) = settled(wait)
            {
                place.state = State::Known(reply);
            }
        }
    }

    /// Everything that is waited for, when the client goes.
    pub fn open(self) -> impl Iterator<Item = W> {
        self.places.into_iter().filter_map(|p| match p.state {
            State::Open(wait) => Some(wait),
            _ => None,
        })
    }

    /// The replies whose turn has come.
    pub fn replies(&mut self) -> Vec<Outgoing> {
        let mut ready = Vec::new();
        while self.places.front().is_some_and(|p| matches!(p.state, State::Known(_))) {
            if let Some(Place { id, state: State::Known(result), .. }) = self.places.pop_front() {
                ready.push(Outgoing::Reply { id, result });
            }
        }
        ready
    }
}
