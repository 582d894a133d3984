//! `lockstep watch`: a table that is drawn anew in its place on a terminal, else one JSON line for each change.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use console::Term;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::client::{Socket, connect};
use super::replies::place;
use super::{CliError, DONE, to_stdout};
use crate::client::{Client, ClientError};
use crate::protocol::{
    Event, EventLine, MachineState, MotorState, OutcomeWord, Outgoing, Reply, Request, Status,
    StatusReply, Subscribe, Topic,
};
use crate::text::Columns;
use crate::units::Time;

/// How long the service may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Events that are shown below the table.
const EVENTS: usize = 6;

/// `lockstep watch`.
#[derive(Args, Debug)]
pub struct WatchArgs {
    /// The least time between two lines about positions, or two looks at them
    #[arg(long, default_value = "100ms")]
    every: Time,
    #[command(flatten)]
    service: Socket,
}

/// Until the service ends, or Ctrl-C.
pub(super) fn watch(args: &WatchArgs) -> Result<u8, CliError> {
    let client = connect(&args.service)?;
    let term = Term::stdout();
    // A terminal that can't go back up can show lines alone.
    let dumb = std::env::var("TERM").is_ok_and(|t| t == "dumb");
    let ended = if std::io::stdout().is_terminal() && !args.service.json && !dumb {
        table(client, &term, args.every)
    } else {
        lines(client, args.every)
    };
    match ended {
        Err(CliError::Client(ClientError::Closed)) => Ok(DONE),
        other => other.map(|()| DONE),
    }
}

fn lines(mut client: Client, every: Time) -> Result<(), CliError> {
    let topics = Some(vec![Topic::Moves, Topic::Motors, Topic::Events, Topic::Machine]);
    client.request(Request::Subscribe(Subscribe { topics, every: Some(every) }))?;
    client.set_timeout(Some(LOOK)).map_err(ClientError::Io)?;
    while !nobody_reads() {
        match client.event() {
            Ok(event) => to_stdout(&(Outgoing::Event(event).to_line() + "\n"))?,
            Err(ClientError::Io(e)) if is_time_out(&e) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// How often to look whether standard output is still read, where there is nothing to write.
const LOOK: Duration = Duration::from_millis(200);

fn is_time_out(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

/// Whether standard output is a pipe whose other end is closed, such as that of `head`.
fn nobody_reads() -> bool {
    let out = std::io::stdout();
    let mut fds = [PollFd::new(&out, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&at_once)).is_ok()
        && fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

fn table(mut client: Client, term: &Term, every: Time) -> Result<(), CliError> {
    client.set_timeout(Some(PATIENCE)).map_err(ClientError::Io)?;
    let topics = Some(vec![Topic::Moves, Topic::Events, Topic::Machine]);
    client.request(Request::Subscribe(Subscribe { topics, every: None }))?;
    let colours = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let mut told = VecDeque::new();
    let mut drawn = 0;
    loop {
        client.set_timeout(Some(PATIENCE)).map_err(ClientError::Io)?;
        let reply = client.request(Request::Status(Status { motors: None }))?;
        let Reply::Status(status) = reply else { return Ok(()) };
        let (rows, columns) = term.size();
        let size = (usize::from(columns), usize::from(rows));
        let frame = frame(&status, told.make_contiguous(), size, colours);
        // One write, so that nothing is seen of what is in between.
        let up = if drawn > 0 { format!("\x1b[{drawn}A") } else { String::new() };
        to_stdout(&format!("{up}\r\x1b[J{}", frame.concat()))?;
        drawn = frame.len();
        hear(&mut client, &mut told, every.0)?;
    }
}

/// Takes in events for so long. The last ones are kept.
fn hear(client: &mut Client, told: &mut VecDeque<String>, time: Duration) -> Result<(), CliError> {
    let until = std::time::Instant::now() + time;
    loop {
        let left = until.saturating_duration_since(std::time::Instant::now());
        client.set_timeout(Some(left.max(Duration::from_millis(1)))).map_err(ClientError::Io)?;
        match client.event() {
            Ok(event) => {
                told.extend(said(&event));
                while told.len() > EVENTS {
                    told.pop_front();
                }
            }
            Err(ClientError::Io(e))
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) => {}
            Err(e) => return Err(e.into()),
        }
        if left.is_zero() {
            return Ok(());
        }
    }
}

/// An event in a line; those that the table shows anyway are left out.
fn said(line: &EventLine) -> Option<String> {
    let text = match &line.event {
        Event::MoveStarted(m) => format!("move {} begins: {}", m.number, m.motors.join(", ")),
        Event::MotorEnded(m) => {
            let how = match m.outcome.outcome {
                OutcomeWord::Reached => "reached".to_owned(),
                OutcomeWord::Short => {
                    let cause = m.outcome.cause.as_deref().unwrap_or("unknown");
                    format!("fell short ({cause}) at")
                }
            };
            format!("move {}: {} {how} {}", m.number, m.motor, place(&m.outcome.at))
        }
        Event::Triggered(t) if t.data.is_null() => format!("event {}", t.name),
        Event::Triggered(t) => format!("event {} {}", t.name, t.data),
        Event::Program(p) => match p.result {
            None => format!("program {} begins", p.program),
            Some(result) => format!("program {}: {}", p.program, super::replies::word(result)),
        },
        Event::Lease(l) => {
            let state = format!("{:?}", l.state).to_lowercase();
            format!("lease on {} {state}: {}", l.motors.join(", "), l.holder)
        }
        Event::Power(p) => {
            if p.low { "the supply is low" } else { "the supply is well again" }.into()
        }
        Event::Lost(l) => format!("{} events were lost", l.count),
        _ => return None,
    };
    Some(format!("{:9.1} s  {text}", line.at_s))
}

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

/// The lines of one drawing, each with its line feed, none wider than `size.0`, no more of them than fit on
/// `size.1` rows.
fn frame(
    status: &StatusReply,
    told: &[String],
    size: (usize, usize),
    colours: bool,
) -> Vec<String> {
    let mut lines: Vec<(String, Option<&str>)> = Vec::new();
    let state = format!("{:?}", status.state).to_lowercase();
    let colour = match status.state {
        MachineState::Fault | MachineState::Halted => Some(RED),
        MachineState::Moving => Some(GREEN),
        MachineState::Held => Some(YELLOW),
        MachineState::Ready => None,
    };
    let reason = status.reason.as_ref().map_or(String::new(), |r| format!(": {r}"));
    lines.push((format!("{state}{reason}"), colour));
    let motors = &status.motors.0;
    let mut table = Columns::new("<<><");
    let mut motor_colours = Vec::new();
    for (name, motor) in motors {
        let (does, colour) = match motor.state {
            MotorState::Off => ("off", None),
            MotorState::Idle => ("idle", None),
            MotorState::Moving => ("moving", Some(GREEN)),
            MotorState::Held => ("held", Some(YELLOW)),
            MotorState::Fault => ("fault", Some(RED)),
        };
        let at = place(&motor.at);
        let mut more = Vec::new();
        more.extend(motor.number.map(|number| format!("move {number}")));
        let late = motor.lateness_us;
        if late.max > 0.0 {
            more.push(format!("late p99 {:.1} us, max {:.1} us", late.p99, late.max));
        }
        more.extend(motor.holder.iter().map(|holder| format!("held by {holder}")));
        more.extend(motor.fault.clone());
        table.row([name.as_str(), does, &at, &more.join("  ")]);
        motor_colours.push(colour);
    }
    // So that the table does not jump while it is drawn anew.
    table.make_room(&["", "moving", "-1000.0001 mm", ""]);
    // What does not fit is cut: a drawing has one row for each motor.
    lines.extend(table.lines(usize::MAX).into_iter().zip(motor_colours));
    if !status.programs.is_empty() {
        lines.push((format!("programs: {}", status.programs_in_words()), None));
    }
    lines.extend(told.iter().map(|t| (t.clone(), None)));
    // The cursor stands on a row of its own, and a line as wide as the terminal would wrap on some.
    let (columns, rows) = (size.0.saturating_sub(1).max(1), size.1.saturating_sub(1).max(1));
    if lines.len() > rows {
        let more = lines.len() + 1 - rows;
        lines.truncate(rows - 1);
        lines.push((format!("and {more} lines more"), None));
    }
    let drawn = lines.into_iter().map(|(line, colour)| {
        let line = cut(&line, columns);
        match colour.filter(|_| colours) {
            Some(colour) => format!("\x1b[{colour}m{line}\x1b[0m\n"),
            None => format!("{line}\n"),
        }
    });
    drawn.collect()
}

/// As much of a line as fits, with nothing in it that moves the cursor.
fn cut(line: &str, columns: usize) -> String {
    let shown: String = line
        .chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    console::truncate_str(&shown, columns, "").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn status(motors: usize) -> StatusReply {
        let motor = |i: usize| {
            format!(
                "\"motor-{i}\":{{\"kind\":\"axis\",\"state\":\"moving\",\"position\":3.5,\"unit\":\"mm\",\"steps\":1400,\
                 \"place\":\"assumed\",\"move\":12,\"holder\":\"pâint (pid 812)\",\"alive\":true,\
                 \"lateness_us\":{{\"p50\":0.4,\"p99\":6.1,\"max\":31.0}}}}"
            )
        };
        let all: Vec<_> = (0..motors).map(motor).collect();
        let line = format!(
            "{{\"v\":1,\"id\":1,\"ok\":true,\"do\":\"status\",\"at_s\":1.0,\"state\":\"moving\",\"motors\":{{{}}},\
             \"clients\":1,\"saved\":0}}",
            all.join(",")
        );
        let outgoing = Outgoing::parse(&line).unwrap().unwrap();
        let Outgoing::Reply { result: Ok(Reply::Status(status)), .. } = outgoing else { panic!() };
        status
    }

    #[test]
    fn a_wide_terminal_shows_it_all() {
        let frame = frame(&status(2), &["told".into()], (200, 50), false);
        assert_eq!(frame.len(), 4);
        assert_eq!(frame[0], "moving\n");
        for part in ["motor-1  moving", "3.5 mm", "move 12", "p99 6.1 us", "held by pâint"] {
            assert!(frame[2].contains(part), "{part}: {}", frame[2]);
        }
        assert_eq!(frame[3], "told\n");
    }

    #[test]
    fn colours_are_an_extra() {
        let plain = frame(&status(1), &[], (80, 24), false).concat();
        let coloured = frame(&status(1), &[], (80, 24), true).concat();
        assert!(!plain.contains('\x1b') && coloured.contains("\x1b[32m"));
        assert_eq!(console::strip_ansi_codes(&coloured), plain);
    }

    proptest! {
        /// Whatever the terminal's size and whatever is said, the drawing fits in and moves no cursor.
        #[test]
        fn it_fits_into_any_terminal(
            motors in 0usize..12, columns in 1usize..120, rows in 1usize..30, said in ".{0,200}",
        ) {
            let frame = frame(&status(motors), &[said], (columns, rows), false);
            prop_assert!(frame.len() <= rows.saturating_sub(1).max(1));
            for line in &frame {
                let line = line.strip_suffix('\n').unwrap();
                prop_assert!(console::measure_text_width(line) <= columns.saturating_sub(1).max(1), "{line:?}");
                prop_assert!(!line.contains(|c: char| c.is_control()));
            }
        }
    }
}
