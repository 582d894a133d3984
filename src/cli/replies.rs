//! Replies of the service, for people.

use std::fmt::Write;

use super::table::number;
use crate::protocol::{
    AtRest, EndResult, MotorPlace, MotorState, MoveReply, MoveState, Named, OutcomeWord, Reply,
    StatusReply,
};

pub(super) fn place(at: &MotorPlace) -> String {
    let known = match at.place.as_str() {
        "commanded" | "assumed" => String::new(),
        word => format!(" ({word})"),
    };
    match at.position {
        Some(position) => format!("{} {}{known}", number(position), at.unit),
        None => "no signal".to_owned(),
    }
}

fn places(motors: &Named<MotorPlace>) -> String {
    let wide = motors.names().map(str::len).max().unwrap_or(0);
    motors.0.iter().map(|(name, at)| format!("{name:wide$}  {}\n", place(at))).collect()
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
    let mut text = format!("move {}: {}\n", reply.number, word(outcome.result));
    let wide = outcome.motors.names().map(str::len).max().unwrap_or(0);
    for (name, motor) in &outcome.motors.0 {
        let how = match motor.outcome {
            OutcomeWord::Reached => "reached",
            OutcomeWord::Short => "short of it, at",
        };
        // Writing to a `String` can't fail.
        let _ = writeln!(text, "  {name:wide$}  {how} {}", place(&motor.at));
    }
    text
}

fn status(status: &StatusReply) -> String {
    let state = format!("{:?}", status.state).to_lowercase();
    let mut text = match &status.reason {
        Some(reason) => format!("{state}: {reason}\n"),
        None => format!("{state}\n"),
    };
    let wide = status.motors.names().map(str::len).max().unwrap_or(0);
    for (name, motor) in &status.motors.0 {
        let does = format!("{:?}", motor.state).to_lowercase();
        let late = motor.lateness_us;
        let mut line = format!("  {name:wide$}  {does:6}  {:20}", place(&motor.at));
        if late.max > 0.0 {
            let _ = write!(line, "  late p99 {:.1} us, max {:.1} us", late.p99, late.max);
        }
        if let Some(owner) = motor.owner.as_ref().filter(|owner| *owner != "client") {
            let _ = write!(line, "  {owner}");
        }
        if motor.held && motor.state != MotorState::Held {
            line += "  held: waits for `resume`";
        }
        if let Some(holder) = &motor.holder {
            let _ = write!(line, "  leased by {holder}");
        }
        if let Some(fault) = &motor.fault {
            let _ = write!(line, "  {fault}");
        }
        text += line.trim_end();
        text.push('\n');
    }
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
        let _ = writeln!(text, "  programs: {}", status.programs.join(", "));
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
