//! The moves that clients asked for: those that wait, those under way, those that have ended.

use std::collections::BTreeMap;
use std::time::Duration;

use super::words;
use crate::machine::{Jog, Machine, Move, MoveError};
use crate::motor::MoveId;
use crate::protocol::{
    EndResult, ErrorCode, ErrorReply, MotorOutcome, MoveOutcome, MoveReply, MoveState, Named,
};
use crate::units::Instant;

/// How many moves may wait for motors that others have, or for their time.
const MOST_WAITING: usize = 32;

/// How many ended moves are kept, so that they can be waited for afterwards.
const MOST_ENDED: usize = 1000;

/// What a move is made of.
#[derive(Clone)]
pub(super) enum Order {
    Move(Move),
    Jog(Jog),
}

/// A move, by the service's own number: it has one before the machine knows of it.
struct Entry {
    motors: Vec<String>,
    order: Order,
    stage: Stage,
    begun: Option<Instant>,
    outcomes: Vec<(String, MotorOutcome)>,
    /// The machine's number of it, once it has one.
    id: Option<MoveId>,
}

enum Stage {
    /// Waits for its time.
    Delayed(Instant),
    /// Waits for its motors.
    Queued,
    /// The machine has it.
    Running(MoveId),
    Ended(MoveOutcome),
}

/// What happened to a move.
pub(super) enum News {
    Started { number: u64, motors: Vec<String> },
    MotorEnded { number: u64, motor: String, outcome: MotorOutcome },
    Ended { number: u64, outcome: MoveOutcome },
}

/// All of them.
#[derive(Default)]
pub(super) struct Moves {
    all: BTreeMap<u64, Entry>,
    last: u64,
    /// Moves that were taken back, until the next [`Moves::go_on`] tells of it.
    taken_back: Vec<u64>,
}

impl Moves {
    /// How many there have been.
    pub fn count(&self) -> u64 {
        self.last
    }

    /// Takes a move in. It begins with the next [`Moves::go_on`] at the earliest, if nothing is in its
    /// way, else when its motors are free and its time has come.
    ///
    /// # Errors
    ///
    /// Too many wait already.
    pub fn add(
        &mut self,
        order: Order,
        motors: Vec<String>,
        not_before: Option<Instant>,
    ) -> Result<u64, ErrorReply> {
        let waiting = self.all.values().filter(|e| e.waits()).count();
        if waiting >= MOST_WAITING {
            let text =
                format!("{MOST_WAITING} moves wait already: wait for one of them, or cancel it");
            return Err(ErrorReply::new(ErrorCode::QueueFull, text));
        }
        self.last += 1;
        let stage = not_before.map_or(Stage::Queued, Stage::Delayed);
        let entry = Entry { motors, order, stage, begun: None, outcomes: Vec::new(), id: None };
        self.all.insert(self.last, entry);
        Ok(self.last)
    }

    /// Hands a move to the machine at once.
    ///
    /// # Errors
    ///
    /// The machine refused it.
    pub fn start(
        &mut self,
        machine: &mut Machine,
        order: Order,
        motors: Vec<String>,
    ) -> Result<u64, MoveError> {
        let id = begin(machine, &order)?;
        Ok(self.take_in(machine, id, order, motors))
    }

    /// Takes in a move that the machine has begun, and gives it its number.
    pub fn take_in(
        &mut self,
        machine: &Machine,
        id: MoveId,
        order: Order,
        motors: Vec<String>,
    ) -> u64 {
        self.last += 1;
        let (stage, begun) = (Stage::Running(id), Some(machine.now()));
        let entry = Entry { motors, order, stage, begun, outcomes: Vec::new(), id: Some(id) };
        self.all.insert(self.last, entry);
        self.last
    }

    /// Takes a move back that has not begun.
    ///
    /// # Errors
    ///
    /// There is none of that number that waits.
    pub fn cancel(&mut self, number: u64) -> Result<MoveReply, ErrorReply> {
        match self.all.get_mut(&number) {
            Some(entry) if entry.waits() => {
                entry.end(EndResult::Cancelled, None);
                self.taken_back.push(number);
                Ok(self.reply(number))
            }
            Some(_) => {
                let text = format!("move {number} has begun: stop it");
                Err(ErrorReply::new(ErrorCode::NothingToDo, text))
            }
            None => Err(unknown(number)),
        }
    }

    /// Takes back every move that waits for one of these motors; `None`: every one.
    pub fn drop_waiting(&mut self, motors: Option<&[String]>) {
        let named = |e: &Entry| motors.is_none_or(|m| e.motors.iter().any(|one| m.contains(one)));
        for (&number, entry) in self.all.iter_mut().filter(|(_, e)| e.waits() && named(e)) {
            entry.end(EndResult::Cancelled, None);
            self.taken_back.push(number);
        }
    }

    /// What a client is told about a move.
    pub fn reply(&self, number: u64) -> MoveReply {
        let (state, outcome) = match self.all.get(&number).map(|e| &e.stage) {
            Some(Stage::Delayed(_)) => (MoveState::Delayed, None),
            Some(Stage::Queued) => (MoveState::Queued, None),
            Some(Stage::Running(_)) => (MoveState::Running, None),
            Some(Stage::Ended(outcome)) => (MoveState::Ended, Some(outcome.clone())),
            None => (MoveState::Ended, None),
        };
        MoveReply { number, state, outcome }
    }

    pub fn is_known(&self, number: u64) -> bool {
        self.all.contains_key(&number)
    }

    pub fn has_ended(&self, number: u64) -> bool {
        self.all.get(&number).is_none_or(|e| matches!(e.stage, Stage::Ended(_)))
    }

    /// The machine's number of a move under way.
    pub fn id(&self, number: u64) -> Option<MoveId> {
        match self.all.get(&number)?.stage {
            Stage::Running(id) => Some(id),
            _ => None,
        }
    }

    /// Moves under way with one of these motors; `None`: all. Each with the machine's number.
    pub fn running(&self, motors: Option<&[String]>) -> Vec<(u64, MoveId)> {
        let named = |e: &Entry| motors.is_none_or(|m| e.motors.iter().any(|one| m.contains(one)));
        let all = self.all.iter().filter(|(_, e)| named(e));
        all.filter_map(|(&number, e)| match e.stage {
            Stage::Running(id) => Some((number, id)),
            _ => None,
        })
        .collect()
    }

    /// Moves that have not ended: number, state and motors.
    pub fn open(&self) -> impl Iterator<Item = (u64, MoveState, &[String], Option<MoveId>)> {
        self.all.iter().filter_map(|(&number, e)| {
            let (state, id) = match e.stage {
                Stage::Delayed(_) => (MoveState::Delayed, None),
                Stage::Queued => (MoveState::Queued, None),
                Stage::Running(id) => (MoveState::Running, Some(id)),
                Stage::Ended(_) => return None,
            };
            Some((number, state, e.motors.as_slice(), id))
        })
    }

    /// The number of the move that the machine knows by another.
    pub fn number_of(&self, id: MoveId) -> Option<u64> {
        // Those that run are among the last.
        let runs = |e: &(&u64, &Entry)| matches!(e.1.stage, Stage::Running(i) if i == id);
        self.all.iter().rev().find(runs).map(|e| *e.0)
    }

    /// Whether a move of the machine is one that a client asked for.
    pub fn is_own(&self, id: MoveId) -> bool {
        self.all.values().rev().any(|e| e.id == Some(id))
    }

    /// Begins what may begin, and hears how moves ended. Says what happened, and when the next move's
    /// time comes.
    pub fn go_on(&mut self, machine: &mut Machine) -> (Vec<News>, Instant) {
        let mut news = Vec::new();
        for number in std::mem::take(&mut self.taken_back) {
            news.extend(self.all.get(&number).and_then(|e| e.ended(number)));
        }
        self.hear(machine, &mut news);
        let now = machine.now();
        let mut next = Instant::FAR;
        // Moves begin in the order of their numbers; one that waits keeps its motors from later ones.
        let mut taken: Vec<String> = Vec::new();
        for (&number, entry) in &mut self.all {
            if let Stage::Delayed(at) = entry.stage {
                if now < at {
                    next = next.min(at);
                    continue;
                }
                entry.stage = Stage::Queued;
            }
            if !matches!(entry.stage, Stage::Queued) {
                continue;
            }
            let in_the_way = entry.motors.iter().any(|m| taken.contains(m) || machine.is_busy(m));
            if in_the_way {
                taken.extend(entry.motors.iter().cloned());
                continue;
            }
            match begin(machine, &entry.order) {
                Ok(id) => {
                    entry.stage = Stage::Running(id);
                    entry.id = Some(id);
                    entry.begun = Some(now);
                    news.push(News::Started { number, motors: entry.motors.clone() });
                }
                Err(error) => {
                    log::warn!("move {number}: {error}");
                    entry.end(EndResult::Failed, None);
                    news.extend(entry.ended(number));
                }
            }
        }
        self.hear(machine, &mut news);
        while self.all.len() > MOST_ENDED + MOST_WAITING
            && let Some(oldest) = self.all.iter().find(|e| matches!(e.1.stage, Stage::Ended(_)))
        {
            let oldest = *oldest.0;
            self.all.remove(&oldest);
        }
        (news, next)
    }

    fn hear(&mut self, machine: &mut Machine, news: &mut Vec<News>) {
        for (&number, entry) in &mut self.all {
            let Stage::Running(id) = entry.stage else { continue };
            while let Some(done) = machine.poll_outcome(id) {
                let known = machine.place(&done.motor).unwrap_or(crate::machine::Place::Unknown);
                let outcome = words::outcome(&done, known);
                entry.outcomes.push((done.motor.clone(), outcome.clone()));
                news.push(News::MotorEnded { number, motor: done.motor, outcome });
            }
            if !machine.is_under_way(id) {
                let reached = |o: &(String, MotorOutcome)| {
                    o.1.outcome == crate::protocol::OutcomeWord::Reached
                };
                let stopped = |o: &(String, MotorOutcome)| o.1.cause.as_deref() == Some("stopped");
                let result = if entry.outcomes.iter().all(reached) {
                    EndResult::Done
                } else if entry.outcomes.iter().all(|o| reached(o) || stopped(o)) {
                    EndResult::Stopped
                } else {
                    EndResult::Failed
                };
                let took = entry.begun.map(|begun| machine.now().since(begun));
                entry.end(result, took);
                news.extend(entry.ended(number));
            }
        }
    }
}

fn begin(machine: &mut Machine, order: &Order) -> Result<MoveId, MoveError> {
    match order {
        Order::Move(spec) => machine.start(spec),
        Order::Jog(jog) => machine.jog(jog),
    }
}

pub(super) fn unknown(number: u64) -> ErrorReply {
    let text = format!("there is no move {number}: it has not been asked for, or ended long ago");
    ErrorReply::new(ErrorCode::UnknownMove, text)
}

impl Entry {
    fn waits(&self) -> bool {
        matches!(self.stage, Stage::Delayed(_) | Stage::Queued)
    }

    fn end(&mut self, result: EndResult, took: Option<Duration>) {
        let motors: Named<MotorOutcome> = std::mem::take(&mut self.outcomes).into_iter().collect();
        let duration_s = took.map(|d| d.as_nanos() as f64 / 1e9);
        self.stage = Stage::Ended(MoveOutcome { result, duration_s, motors });
    }

    fn ended(&self, number: u64) -> Option<News> {
        match &self.stage {
            Stage::Ended(outcome) => Some(News::Ended { number, outcome: outcome.clone() }),
            _ => None,
        }
    }
}
