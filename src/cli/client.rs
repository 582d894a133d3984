//! The commands that speak to a running service.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{CliError, DONE, FAILED, to_stdout};
use crate::client::{Client, ClientError, default_socket};
use crate::protocol::{
    self, Arrive, EndResult, Event, IfBusy, Motors, MoveReply, MoveState, Named, Nothing,
    OutcomeWord, Reply, Request, Stop, Target, Topic,
};
use crate::units::{Percent, Time};

/// What a service is asked.
#[derive(Subcommand, Debug)]
pub enum ClientCommand {
    /// Move motors, such as x=10mm pan=30deg, and wait until they are there
    Move(MoveArgs),
    /// Move motors at a speed, such as x=5mm/s, for a while; they come to rest if this is ended
    Jog(JogArgs),
    /// Bring motors to rest on their path (feed hold); `resume` goes on
    Hold(SomeMotors),
    /// Go on with what is held
    Resume(SomeMotors),
    /// Bring motors to rest and drop the rest of their moves and programs
    Stop(StopArgs),
    /// Let the machine move again after a fault, a halt or an unclean end
    Clear(Socket),
    /// Switch the drivers of axes on
    Enable(AllMotors),
    /// Switch the drivers of axes off
    Disable(AllMotors),
    /// End the signal of servos: they go limp
    Release(AllMotors),
    /// Say where axes are, such as x=0mm
    SetPosition(Positions),
    /// The speed override, such as 50%
    Override(OverrideArgs),
    /// The state of everything at one instant
    Status(StatusArgs),
    /// Follow positions and events: a live table on a terminal, else one JSON line for each change
    Watch(super::watch::WatchArgs),
    /// Wait for named events, or with --move for the end of a move
    Wait(WaitArgs),
    /// Trigger a named event, with data in JSON if there are some
    Trigger(TriggerArgs),
    /// The named events that are kept
    Events(Socket),
    /// Meet others of the same name: all go on together
    Rendezvous(MeetingArgs),
    /// Take a move back that has not begun
    Cancel(CancelArgs),
    /// Save where motors are
    Save(SomeMotors),
    /// Move to the positions that were saved last
    Return(ReturnArgs),
    /// Hold motors for a command: nobody else may move them while it runs
    Lease(LeaseArgs),
    /// The programs of the config
    Program(ProgramArgs),
    /// Read the config again; what changed is applied to motors at rest, and the others go on
    Reload(Socket),
    /// Find a servo's ends, centre and direction by arrow keys, and write them into the config
    Calibrate(super::calibrate::CalibrateArgs),
}

/// Which service.
#[derive(Args, Debug)]
pub struct Socket {
    /// The service's socket [default: $LOCKSTEP_SOCKET, else /run/lockstep/control.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Print the reply as one JSON line
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
pub struct SomeMotors {
    /// Which motors [default: all]
    motors: Vec<String>,
    #[command(flatten)]
    service: Socket,
}

#[derive(Args, Debug)]
pub struct AllMotors {
    /// Which motors
    #[arg(required = true)]
    motors: Vec<String>,
    #[command(flatten)]
    service: Socket,
}

#[derive(Args, Debug)]
pub struct MoveArgs {
    /// A motor and where it shall go, such as x=10mm; for each motor of the move
    #[arg(required = true, value_name = "MOTOR=TARGET", value_parser = pair::<Target>)]
    to: Vec<(String, Target)>,
    /// Each motor as soon as it can, instead of together along the straight line
    #[arg(long)]
    asap: bool,
    /// The share of the speed limits to use, such as 50%
    #[arg(long)]
    speed: Option<Percent>,
    /// When it comes to rest wherever it is
    #[arg(long)]
    timeout: Option<Time>,
    /// Begin this much later; until then `cancel` takes it back
    #[arg(long)]
    after: Option<Time>,
    /// What to do if a motor is moving already: refuse, queue or replace
    #[arg(long, default_value = "refuse", value_parser = if_busy)]
    if_busy: IfBusy,
    /// Print its number and don't wait
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    service: Socket,
}

#[derive(Args, Debug)]
pub struct JogArgs {
    /// A motor and its speed with its direction, such as x=-5mm/s; of a servo that turns continuously the share of its
    /// full speed, such as left=-50%
    #[arg(required = true, value_name = "MOTOR=SPEED", value_parser = pair::<protocol::Rate>)]
    speed: Vec<(String, protocol::Rate)>,
    /// For how long; said again before, the jog goes on
    #[arg(long = "for", value_name = "DURATION")]
    duration: Time,
    #[command(flatten)]
    service: Socket,
}

#[derive(Args, Debug)]
pub struct StopArgs {
    /// Which motors [default: all, and every program]
    motors: Vec<String>,
    /// At once: after the last whole pulse, without braking. Nothing moves until `clear`
    #[arg(long, conflicts_with = "motors")]
    now: bool,
    #[command(flatten)]
    service: Socket,
}

#[derive(Args, Debug)]
pub struct Positions {
    /// An axis and where it is, such as x=0mm
    #[arg(required = true, value_name = "AXIS=POSITION", value_parser = pair::<Target>)]
    to: Vec<(String, Target)>,
    #[command(flatten)]
    service: Socket,
}

#[derive(Args, Debug)]
pub struct OverrideArgs {
    /// From 1% to 200%; 100% is as the moves say
    speed: Percent,
    /// One move alone, by its number, beside what holds for all [default: all, now and from then on]
    #[arg(long = "move", value_name = "NUMBER", conflicts_with = "class")]
    number: Option<u64>,
    /// Jogs alone (jog), or moves at the speed that they were given, programs' too (feed)
    #[arg(long, value_name = "CLASS", value_parser = class)]
    class: Option<protocol::Class>,
    #[command(flatten)]
    service: Socket,
}

#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Which motors [default: all]
    motors: Vec<String>,
    #[command(flatten)]
    service: Socket,
}

#[derive(Args, Debug)]
pub struct WaitArgs {
    /// Events, such as x.reached; all of them have to come
    #[arg(required_unless_present = "number")]
    events: Vec<String>,
    /// The end of this move
    #[arg(long = "move", value_name = "N", conflicts_with = "events")]
    number: Option<u64>,
    /// How long at most
    #[arg(long, default_value = "10s")]
    timeout: Time,
    /// Take the events: nobody else who consumes gets them
    #[arg(long, conflicts_with = "number")]
    consume: bool,
    #[command(flatten)]
    service: Socket,
}

#[derive(Args, Debug)]
pub struct TriggerArgs {
    /// The event's name, such as door-open
    event: String,
    /// Its data, in JSON
    #[arg(value_parser = json)]
    data: Option<Value>,
    #[command(flatten)]
    service: Socket,
}

#[derive(Args, Debug)]
pub struct MeetingArgs {
    /// Its name
    name: String,
    /// How many have to come
    #[arg(long)]
    parties: u32,
    /// How long to wait for them at most
    #[arg(long, default_value = "10s")]
    timeout: Time,
    #[command(flatten)]
    service: Socket,
}

#[derive(Args, Debug)]
pub struct CancelArgs {
    /// The move's number
    number: u64,
    #[command(flatten)]
    service: Socket,
}

#[derive(Args, Debug)]
pub struct ReturnArgs {
    /// How long to wait for a position to be saved, if none is
    #[arg(long)]
    timeout: Option<Time>,
    /// The share of the speed limits to use
    #[arg(long)]
    speed: Option<Percent>,
    #[command(flatten)]
    service: Socket,
}

#[derive(Args, Debug)]
pub struct LeaseArgs {
    /// The motors, such as x,y
    #[arg(value_delimiter = ',', required = true)]
    motors: Vec<String>,
    /// How long to wait for them, if somebody else has them
    #[arg(long)]
    timeout: Option<Time>,
    #[command(flatten)]
    service: Socket,
    /// The command to run with them
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

#[derive(Args, Debug)]
pub struct ProgramArgs {
    #[command(subcommand)]
    what: ProgramVerb,
}

#[derive(Subcommand, Debug)]
enum ProgramVerb {
    /// Run a program, and wait for its end
    Run {
        /// Its name
        name: String,
        /// Don't wait
        #[arg(long)]
        no_wait: bool,
        /// Let others have the motors that it does not move just then
        #[arg(long)]
        share: bool,
        #[command(flatten)]
        service: Socket,
    },
    /// Stop a program, or all of them
    Stop {
        /// Its name
        name: Option<String>,
        #[command(flatten)]
        service: Socket,
    },
    /// The programs that there are
    List(Socket),
}

fn pair<T: std::str::FromStr<Err = crate::units::UnitError>>(
    text: &str,
) -> Result<(String, T), String> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or("write a motor and a value, such as x=10mm")?;
    Ok((name.to_owned(), value.parse().map_err(|e: T::Err| e.to_string())?))
}

fn class(text: &str) -> Result<protocol::Class, String> {
    match text {
        "feed" => Ok(protocol::Class::Feed),
        "jog" => Ok(protocol::Class::Jog),
        _ => Err("write feed or jog".to_owned()),
    }
}

fn if_busy(text: &str) -> Result<IfBusy, String> {
    match text {
        "refuse" => Ok(IfBusy::Refuse),
        "queue" => Ok(IfBusy::Queue),
        "replace" => Ok(IfBusy::Replace),
        _ => Err("write refuse, queue or replace".to_owned()),
    }
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|e| format!("{e}: write JSON, such as '{{\"n\":3}}'"))
}

/// The token of the lease that this process' parent holds, if it does.
pub(super) fn token() -> Option<String> {
    std::env::var("LOCKSTEP_LEASE").ok()
}

fn some(motors: Vec<String>) -> Option<Vec<String>> {
    (!motors.is_empty()).then_some(motors)
}

/// Asks the service, prints what it says, and says the exit status.
pub(super) fn client(command: ClientCommand) -> Result<u8, CliError> {
    let (request, service) = match command {
        ClientCommand::Move(a) => {
            let wait = !a.no_wait;
            let request = protocol::Move {
                to: Named(a.to),
                arrive: if a.asap { Arrive::Asap } else { Arrive::Aligned },
                speed: a.speed,
                timeout: a.timeout,
                if_busy: a.if_busy,
                after: a.after,
                token: token(),
                ..protocol::Move::default()
            };
            return move_and_wait(request, wait, &a.service);
        }
        ClientCommand::Jog(a) => return jog(a),
        ClientCommand::Hold(a) => (Request::Hold(Stop { motors: some(a.motors) }), a.service),
        ClientCommand::Resume(a) => {
            let selection = protocol::Selection { motors: some(a.motors), token: token() };
            (Request::Resume(selection), a.service)
        }
        ClientCommand::Stop(a) if a.now => (Request::Halt(Stop { motors: None }), a.service),
        ClientCommand::Stop(a) => (Request::Stop(Stop { motors: some(a.motors) }), a.service),
        ClientCommand::Clear(service) => (Request::Clear(Nothing {}), service),
        ClientCommand::Enable(a) => {
            (Request::Enable(Motors { motors: a.motors, token: token() }), a.service)
        }
        ClientCommand::Disable(a) => {
            (Request::Disable(Motors { motors: a.motors, token: token() }), a.service)
        }
        ClientCommand::Release(a) => {
            (Request::Release(Motors { motors: a.motors, token: token() }), a.service)
        }
        ClientCommand::SetPosition(a) => {
            let set = protocol::SetPosition { to: Named(a.to), token: token() };
            (Request::SetPosition(set), a.service)
        }
        ClientCommand::Override(a) => {
            let (speed, number, class) = (a.speed, a.number, a.class);
            (
                Request::Override(protocol::Override { speed, number, class, token: token() }),
                a.service,
            )
        }
        ClientCommand::Status(a) => {
            (Request::Status(protocol::Status { motors: some(a.motors) }), a.service)
        }
        ClientCommand::Watch(a) => return super::watch::watch(&a),
        ClientCommand::Wait(a) => match a.number {
            Some(number) => {
                let wait = protocol::Wait { number, timeout: Some(a.timeout) };
                (Request::Wait(wait), a.service)
            }
            None => {
                let (events, timeout, consume) = (a.events, a.timeout, a.consume);
                let wait = protocol::WaitEvents { events, timeout, consume };
                (Request::WaitEvents(wait), a.service)
            }
        },
        ClientCommand::Trigger(a) => {
            let data = a.data.unwrap_or(Value::Null);
            (Request::Trigger(protocol::Trigger { event: a.event, data }), a.service)
        }
        ClientCommand::Events(service) => (Request::Events(Nothing {}), service),
        ClientCommand::Rendezvous(a) => {
            let (name, parties, timeout) = (a.name, a.parties, a.timeout);
            (Request::Rendezvous(protocol::Rendezvous { name, parties, timeout }), a.service)
        }
        ClientCommand::Cancel(a) => {
            (Request::Cancel(protocol::Cancel { number: a.number }), a.service)
        }
        ClientCommand::Save(a) => {
            (Request::Save(protocol::Save { motors: some(a.motors) }), a.service)
        }
        ClientCommand::Return(a) => {
            let (timeout, speed) = (a.timeout, a.speed);
            let back = protocol::Return { timeout, speed, wait: true, token: token() };
            (Request::Return(back), a.service)
        }
        ClientCommand::Lease(a) => return lease(&a),
        ClientCommand::Calibrate(a) => return super::calibrate::calibrate(&a),
        ClientCommand::Program(a) => match a.what {
            ProgramVerb::Run { name, no_wait, share, service } => {
                let (wait, token) = (!no_wait, token());
                let run = protocol::ProgramRun { program: name, wait, share, token };
                return run_program(run, &service);
            }
            ProgramVerb::Stop { name, service } => {
                (Request::ProgramStop(protocol::ProgramStop { program: name }), service)
            }
            ProgramVerb::List(service) => (Request::ProgramList(Nothing {}), service),
        },
        ClientCommand::Reload(service) => (Request::Reload(Nothing {}), service),
    };
    let mut client = connect(&service)?;
    let reply = client.request(request).inspect_err(|error| {
        if let ClientError::Refused(reply) = error {
            reply.facts.errors.iter().for_each(|e| super::logging::say(format_args!("{e}")));
        }
    })?;
    tell(&reply, service.json)
}

/// Begins a move and waits for its end. Where it can't begin at once it says why before it waits.
fn move_and_wait(request: protocol::Move, wait: bool, service: &Socket) -> Result<u8, CliError> {
    let mut client = connect(service)?;
    let mut reply = client.request(Request::Move(request))?;
    if let Reply::Move(begun) = &reply
        && begun.outcome.is_none()
        && wait
    {
        let number = begun.number;
        let why = match begun.state {
            MoveState::Held => Some("is held, and begins at somebody's `lockstep resume`"),
            MoveState::Queued => Some("waits for its motors"),
            MoveState::Delayed | MoveState::Running | MoveState::Ended => None,
        };
        if let Some(why) = why {
            super::logging::say(format_args!("move {number} {why}"));
        }
        let wait = protocol::Wait { number, timeout: None };
        if let Reply::Wait(ended) = client.request(Request::Wait(wait))? {
            reply = Reply::Move(ended);
        }
    }
    tell(&reply, service.json)
}

/// Runs a program, and says as soon as it begins where not all of it was looked through.
fn run_program(run: protocol::ProgramRun, service: &Socket) -> Result<u8, CliError> {
    let mut client = connect(service)?;
    let (topics, every) = (Some(vec![Topic::Machine]), None);
    client.request(Request::Subscribe(protocol::Subscribe { topics, every }))?;
    let name = run.program.clone();
    let reply = client.request_telling(Request::ProgramRun(run), |event| {
        if let Event::Program(begun) = event.event
            && begun.program == name
            && let Some(moves) = begun.checked_moves
        {
            super::logging::say(format_args!("note: {}", super::shared::too_long(&name, moves)));
        }
    })?;
    tell(&reply, service.json)
}

pub(super) fn connect(service: &Socket) -> Result<Client, CliError> {
    let socket = service.socket.clone().unwrap_or_else(default_socket);
    let mut client = Client::connect(&socket)?;
    let name = std::env::args().next().unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or("lockstep").to_owned();
    let hello =
        protocol::Hello { client: Some(format!("{name} (process {})", std::process::id())) };
    client.request(Request::Hello(hello))?;
    Ok(client)
}

/// Prints a reply. 1 where a motor failed, or a program did.
fn tell(reply: &Reply, as_json: bool) -> Result<u8, CliError> {
    let failed = match reply {
        Reply::Move(m) | Reply::Wait(m) | Reply::Return(m) => {
            m.outcome.as_ref().is_some_and(|o| o.result != EndResult::Done)
        }
        Reply::ProgramRun(p) => p.result.is_some_and(|r| r == EndResult::Failed),
        // It does not hold yet.
        Reply::Reload(r) => !r.waiting.is_empty(),
        _ => false,
    };
    let text = if as_json {
        serde_json::to_string(reply).unwrap_or_default() + "\n"
    } else {
        super::replies::text(reply)
    };
    to_stdout(&text)?;
    if let Reply::Move(m) | Reply::Wait(m) | Reply::Return(m) = reply
        && failed
    {
        super::logging::say(format_args!("error: {}", shorts(m)));
    }
    Ok(if failed { FAILED } else { DONE })
}

/// `x fell short by 3.2mm (stopped), y ...`.
fn shorts(reply: &MoveReply) -> String {
    let Some(outcome) = &reply.outcome else { return String::new() };
    let short = outcome.motors.0.iter().filter(|m| m.1.outcome == OutcomeWord::Short);
    let words: Vec<_> = short
        .map(|(motor, m)| {
            let cause = m.cause.as_deref().unwrap_or("unknown");
            match m.by {
                Some(by) => {
                    let by = super::table::number(by);
                    format!("{motor} fell short by {by}{} ({cause})", m.at.unit)
                }
                // It has no place.
                None => format!("{motor} came to rest before its time ({cause})"),
            }
        })
        .collect();
    if words.is_empty() { format!("move {} did not run", reply.number) } else { words.join(", ") }
}

/// Jogs for as long as this process lives: the end of its connection ends the jog.
fn jog(args: JogArgs) -> Result<u8, CliError> {
    let mut client = connect(&args.service)?;
    let jog = protocol::Jog { speed: Named(args.speed), duration: args.duration, token: token() };
    let Reply::Jog(begun) = client.request(Request::Jog(jog))? else { return Ok(FAILED) };
    let wait = protocol::Wait { number: begun.number, timeout: None };
    tell(&client.request(Request::Wait(wait))?, args.service.json)
}

/// Runs a command while this process holds the motors; the command's children share the lease by its
/// token.
fn lease(args: &LeaseArgs) -> Result<u8, CliError> {
    let mut client = connect(&args.service)?;
    let take = protocol::LeaseTake {
        motors: args.motors.clone(),
        timeout: args.timeout,
        heartbeat: None,
        holder: None,
        token: token(),
    };
    let Reply::LeaseTake(lease) = client.request(Request::LeaseTake(take))? else {
        return Ok(FAILED);
    };
    let Some((program, rest)) = args.command.split_first() else { return Ok(FAILED) };
    let status = std::process::Command::new(program)
        .args(rest)
        .env("LOCKSTEP_LEASE", &lease.token)
        .status()
        .map_err(|e| CliError::Usage(format!("{program} can't be run: {e}")))?;
    client.request(Request::LeaseRelease(protocol::LeaseRelease { lease: lease.lease }))?;
    Ok(status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(FAILED))
}
