//! Moves as clients are told of them: whoever asked for them, by the numbers of the one register.

use super::desk::Desk;
use super::words;
use crate::machine::EndResult;
use crate::motor::MoveId;
use crate::moves::{OpenMove, Stand};
use crate::protocol::{
    self, ErrorCode, ErrorReply, Event, MotorEnded, MoveEnded, MoveOutcome, MoveReply, MoveStarted,
    MoveState, MoveStatus, Named,
};

pub(super) fn unknown(number: u64) -> ErrorReply {
    let text = format!("there is no move {number}: it has not been asked for, or ended long ago");
    ErrorReply::new(ErrorCode::UnknownMove, text)
}

fn state(stand: Stand) -> MoveState {
    match stand {
        Stand::Delayed => MoveState::Delayed,
        Stand::Queued => MoveState::Queued,
        Stand::Running => MoveState::Running,
        Stand::Held => MoveState::Held,
    }
}

fn result(result: EndResult) -> protocol::EndResult {
    match result {
        EndResult::Done => protocol::EndResult::Done,
        EndResult::Stopped => protocol::EndResult::Stopped,
        EndResult::Failed => protocol::EndResult::Failed,
        EndResult::Cancelled => protocol::EndResult::Cancelled,
    }
}

impl Desk<'_> {
    /// Whether there is a move of that number that can be asked about.
    pub(super) fn is_known(&self, number: MoveId) -> bool {
        self.machine.register().owner(number).is_some()
    }

    /// Whether a move is over, or was never there.
    pub(super) fn has_ended(&self, number: MoveId) -> bool {
        !self.machine.register().is_open(number)
    }

    /// The names of a move's motors.
    pub(super) fn motors_of(&self, open: &OpenMove) -> Vec<String> {
        open.motors.iter().map(|&m| self.config.motors[m].name.clone()).collect()
    }

    /// A move that has not ended.
    pub(super) fn open_move(&self, number: MoveId) -> Option<OpenMove> {
        self.machine.open_moves().into_iter().find(|m| m.id == number)
    }

    /// What a client is told about a move.
    pub(super) fn move_reply(&self, number: MoveId) -> MoveReply {
        match self.open_move(number) {
            Some(open) => MoveReply { number, state: state(open.stand), outcome: None },
            None => {
                let (state, outcome) = (MoveState::Ended, self.move_outcome(number));
                MoveReply { number, state, outcome }
            }
        }
    }

    fn move_outcome(&self, number: MoveId) -> Option<MoveOutcome> {
        let ended = self.machine.register().ended(number)?;
        let of = |o: &crate::machine::MotorOutcome| (o.motor.clone(), words::outcome(o, o.place));
        Some(MoveOutcome {
            result: result(ended.result),
            duration_s: ended.took.map(|d| d.as_nanos() as f64 / 1e9),
            motors: ended.outcomes.iter().map(of).collect::<Named<_>>(),
        })
    }

    /// The moves that have not ended, for `status`.
    pub(super) fn move_status(&self) -> Vec<MoveStatus> {
        let of = |open: OpenMove| MoveStatus {
            number: open.id,
            state: state(open.stand),
            motors: self.motors_of(&open),
            owner: Some(open.owner.to_string()),
            left_s: self.plan_lasts(open.id),
        };
        self.machine.open_moves().into_iter().map(of).collect()
    }

    /// How long the plan of a move still takes, in seconds.
    pub(super) fn plan_lasts(&self, number: MoveId) -> Option<f64> {
        Some(self.machine.time_left(number)?.as_secs_f64())
    }

    /// A move has begun.
    pub(super) fn move_began(&mut self, number: MoveId) {
        let register = self.machine.register();
        let owner = register.owner(number).map(ToString::to_string);
        // One whose motors were all there already is over by now.
        let motors = match self.open_move(number) {
            Some(open) => self.motors_of(&open),
            None => match register.ended(number) {
                Some(ended) => ended.outcomes.iter().map(|o| o.motor.clone()).collect(),
                None => return,
            },
        };
        let duration_s = self.plan_lasts(number);
        self.tell(&Event::MoveStarted(MoveStarted { number, motors, owner, duration_s }));
    }

    /// A motor's part of a move has ended.
    pub(super) fn part_ended(&mut self, done: &crate::machine::MotorOutcome) {
        let outcome = words::outcome(done, done.place);
        let word = match outcome.outcome {
            protocol::OutcomeWord::Reached => "reached",
            protocol::OutcomeWord::Short => "short",
        };
        let (number, motor) = (done.id, done.motor.clone());
        let data = serde_json::json!({
            "move": number, "position": outcome.at.position, "unit": outcome.at.unit
        });
        self.trigger(&format!("{motor}.{word}"), data);
        self.tell(&Event::MotorEnded(MotorEnded { number, motor, outcome }));
    }

    /// A move is over.
    pub(super) fn move_over(&mut self, number: MoveId) {
        self.jogs.remove(&number);
        if let Some(outcome) = self.move_outcome(number) {
            self.tell(&Event::MoveEnded(MoveEnded { number, outcome }));
        }
    }
}
