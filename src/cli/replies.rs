//! Replies of the service, for people.

use std::fmt::Write;

use super::room;
use super::table::number;
use crate::config::MotorUnit;
use crate::protocol::{
    AtRest, EndResult, MotorPlace, MotorState, MoveReply, MoveState, Named, OutcomeWord, Reply,
    StatusReply,
};
use crate::text::Columns;

pub(super) fn place(at: &MotorPlace) -> String {
    if turns(at) {
        return "-".to_owned();
    }
    let known = match at.place.as_str() {
        "commanded" | "assumed" => String::new(),
        word => format!(" ({word})"),
    };
    match at.position {
        Some(position) => format!("{} {}{known}", number(position), at.unit),
        None => "no signal".to_owned(),
    }
}

/// Whether it is that of a servo that turns continuously: it has none.
fn turns(at: &MotorPlace) -> bool {
    at.unit == MotorUnit::Percent.symbol()
}

fn places(motors: &Named<MotorPlace>) -> String {
    let mut table = Columns::new("<<");
    motors.0.iter().for_each(|(name, at)| table.row([name.as_str(), &place(at)]));
    table.text(room())
}

pub(super) fn word(result: EndResult) -> &'static str {
    match result {
        EndResult::Done => "done",
        EndResult::Failed => "failed",
        EndResult::Stopped => "stopped",
        EndResult::Cancelled => "cancelled",
    }
}

fn moved(reply: &MoveReply) -> String {
    let Some(outcome) = &reply.outcome else {
        let state = match reply.state {
            MoveState::Delayed => "waits for its time",
            MoveState::Queued => "waits for its motors",
            MoveState::Running => "is under way",
            MoveState::Held => "is held",
            MoveState::Ended => "has ended",
        };
        return format!("move {} {state}\n", reply.number);
    };
    let text = format!("move {}: {}\n", reply.number, word(outcome.result));
    let mut table = Columns::new("<<").indented(2);
    for (name, motor) in &outcome.motors.0 {
        let how = match (motor.outcome, turns(&motor.at)) {
            (OutcomeWord::Reached, true) => "at rest".to_owned(),
            (OutcomeWord::Short, true) => {
                format!("at rest before its time: {}", motor.cause.as_deref().unwrap_or("stopped"))
            }
            (OutcomeWord::Reached, false) => format!("reached {}", place(&motor.at)),
            (OutcomeWord::Short, false) => format!("short of it, at {}", place(&motor.at)),
        };
        table.row([name.as_str(), &how]);
    }
    text + &table.text(room())
}

fn status(status: &StatusReply) -> String {
    let state = format!("{:?}", status.state).to_lowercase();
    let mut text = match &status.reason {
        Some(reason) => format!("{state}: {reason}\n"),
        None => format!("{state}\n"),
    };
    let mut table = Columns::new("<<<<").indented(2);
    for (name, motor) in &status.motors.0 {
        let does = format!("{:?}", motor.state).to_lowercase();
        let late = motor.lateness_us;
        let mut more = Vec::new();
        if late.max > 0.0 {
            more.push(format!("late p99 {:.1} us, max {:.1} us", late.p99, late.max));
        }
        more.extend(motor.owner.iter().filter(|owner| *owner != "client").cloned());
        if motor.held && motor.state != MotorState::Held {
            more.push("held: waits for `resume`".to_owned());
        }
        more.extend(motor.holder.iter().map(|holder| format!("leased by {holder}")));
        more.extend(motor.fault.clone());
        let at = match motor.speed {
            Some(speed) => format!("{} {}", number(speed), motor.at.unit),
            None => place(&motor.at),
        };
        table.row([name.as_str(), &does, &at, &more.join("  ")]);
    }
    text += &table.text(room());
    for one in &status.moves {
        let state = format!("{:?}", one.state).to_lowercase();
        let _ = writeln!(text, "  move {}: {state}, {}", one.number, one.motors.join(", "));
    }
    if let Some(power) = &status.power {
        let low = if power.low { "; the supply is low: nothing starts" } else { "" };
        let waiting = match power.waiting {
            0 => String::new(),
            n => format!(", {n} waiting"),
        };
        let (used, budget) = (power.used_a, power.budget_a);
        let _ = writeln!(text, "  power: {used} A of {budget} A{waiting}{low}");
    }
    if !status.programs.is_empty() {
        let _ = writeln!(text, "  programs: {}", status.programs_in_words());
    }
    let _ = writeln!(text, "  clients: {}, saved positions: {}", status.clients, status.saved);
    text
}

/// What a reply says.
pub(super) fn text(reply: &Reply) -> String {
    match reply {
        Reply::Move(m)
        | Reply::Wait(m)
        | Reply::Return(m)
        | Reply::Jog(m)
        | Reply::Pulse(m)
        | Reply::Cancel(m) => moved(m),
        Reply::Hold(AtRest { motors }) => {
            format!("{}held: what begins now waits for `lockstep resume`\n", places(motors))
        }
        Reply::Stop(AtRest { motors })
        | Reply::Halt(AtRest { motors })
        | Reply::SetPosition(AtRest { motors }) => places(motors),
        Reply::Save(saved) => format!("{}saved: {}\n", places(&saved.motors), saved.saved),
        Reply::Status(s) => status(s),
        Reply::WaitEvents(events) => events.data.iter().map(|data| format!("{data}\n")).collect(),
        Reply::Events(events) => events.events.iter().map(|e| format!("{e}\n")).collect(),
        Reply::Rendezvous(r) => format!("{}\n", r.index),
        Reply::Trigger(t) => format!("waits that this has ended: {}\n", t.completed),
        Reply::ProgramRun(p) => match p.result {
            Some(result) => {
                let why = p.message.as_ref().map_or(String::new(), |m| format!(" ({m})"));
                format!("{}: {}{why}\n", p.program, word(result))
            }
            None => format!("{} runs\n", p.program),
        },
        Reply::Reload(r) if !r.waiting.is_empty() => {
            format!("the new config waits until {} rest\n", r.waiting.join(", "))
        }
        Reply::Reload(r) if r.changed.is_empty() => "no motor has changed\n".to_owned(),
        Reply::Reload(r) => format!("changed: {}\n", r.changed.join(", ")),
        Reply::ProgramStop(p) => p.stopped.iter().map(|s| format!("{s} has stopped\n")).collect(),
        Reply::ProgramList(list) => {
            let line = |p: &crate::protocol::ProgramState| {
                format!("{}{}\n", p.name, if p.running { "  running" } else { "" })
            };
            list.programs.iter().map(line).collect()
        }
        _ => String::new(),
    }
}
