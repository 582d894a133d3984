//! How long a turn of a program takes, and how long the service keeps others waiting while it begins one.
//!
//! `cargo bench --bench turns` has programs of 50,000 moves:
//!
//! - `turn`: `ProgramRun::poll`, in virtual time, over the first thousands of its turns. What the motors do between
//!   them is not counted.
//! - `look`: looking the program through before it begins, which the service does beside its coordinator.
//! - `status`: from a request to its reply, asked without a pause from one client while another has the program begun.
//!
//! `LOCKSTEP_BENCH_MOVES=5000` makes them shorter. Figures hold for the machine and the moment they were taken on.

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{config, env, header, optimised, row};
use lockstep::client::Client;
use lockstep::machine::{Machine, ProgramRun, ProgramTurn, preflight};
use lockstep::protocol::{Incoming, Request};

/// How many turns are timed, at the most.
const TURNS: usize = 20_000;

const MOTORS: &str = "[axis.x]\nstep = { gpio = 17 }\ndir = { gpio = 27 }\ndriver = \"drv8825\"\n\
    steps-per-revolution = 200\nmicrosteps = 1\ndistance-per-revolution = \"8mm\"\n\
    travel = { min = \"0mm\", max = \"200mm\" }\nmax-speed = \"50mm/s\"\nmax-acceleration = \"500mm/s^2\"\n\
    at-start = { assume = \"0mm\" }\n\
    [axis.y]\nstep = { gpio = 23 }\ndir = { gpio = 24 }\ndriver = \"drv8825\"\n\
    steps-per-revolution = 200\nmicrosteps = 1\ndistance-per-revolution = \"8mm\"\n\
    travel = { min = \"0mm\", max = \"200mm\" }\nmax-speed = \"50mm/s\"\nmax-acceleration = \"500mm/s^2\"\n\
    at-start = { assume = \"0mm\" }\n[servo.pan]\npwm = { gpio = 18 }\n";

fn main() {
    if !optimised("turns") {
        return;
    }
    let moves = env("LOCKSTEP_BENCH_MOVES", 50_000).clamp(100, 1_000_000) as usize;
    println!("In us; programs of {moves} moves");
    header("");
    for (name, steps) in [
        ("moves", line(moves, |n| format!("{{ move = {{ {} }} }}", corner(n)))),
        (
            "blended moves",
            line(moves, |n| format!("{{ move = {{ {} }}, blend = \"0.1mm\" }}", corner(n))),
        ),
        (
            "blended moves of one axis",
            line(moves, |n| {
                format!("{{ move = {{ x = \"{}mm\" }}, blend = \"0.1mm\" }}", 10 + n % 2)
            }),
        ),
        ("moves to where it is", line(moves, |_| "{ move = { x = \"0mm\" } }".to_owned())),
        ("keyframes", format!("{{ keyframes = [ {} ] }}", line(moves, frame))),
    ] {
        let text = format!("{MOTORS}[program.p]\nsteps = [ {steps} ]\n");
        turns(name, &text);
    }
    let blended = line(moves, |n| format!("{{ move = {{ {} }}, blend = \"0.1mm\" }}", corner(n)));
    status(&format!("{MOTORS}[program.p]\nsteps = [ {blended} ]\n"));
}

fn line(count: usize, one: impl Fn(usize) -> String) -> String {
    (0..count).map(one).collect::<Vec<_>>().join(", ")
}

fn corner(n: usize) -> String {
    format!("x = \"{}mm\", y = \"{}mm\"", 10 + n % 2, 10 + (n / 2) % 2)
}

fn frame(n: usize) -> String {
    format!("{{ at = \"{}ms\", pan = \"{}deg\" }}", (n + 1) * 120, n % 3)
}

fn turns(name: &str, text: &str) {
    let config = config(text);
    let begun = Instant::now();
    let looked = preflight(&config, "p");
    let look = begun.elapsed();
    assert!(looked.problems.is_empty(), "{:?}", looked.problems.first());
    let mut machine = Machine::builder(config).virtual_time().build().expect("it builds");
    let shared = machine.shared_config();
    let mut run = ProgramRun::start(&mut machine, &shared, "p").expect("it can run");
    let mut took = Vec::new();
    while took.len() < TURNS {
        let begun = Instant::now();
        let turn = run.poll(&mut machine);
        took.push(begun.elapsed().as_nanos() as u64);
        match turn {
            ProgramTurn::Wait(until) => machine.work(until),
            ProgramTurn::Ended(end) => {
                assert!(end.shorts.is_empty() && end.complaints.is_empty(), "{end:?}");
                break;
            }
        }
    }
    row(&format!("turn, {name}"), took, None);
    row(&format!("look, {name}"), vec![look.as_nanos() as u64], None);
}

struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(folder: &Path, text: &str) -> Service {
    let file = folder.join("machine.toml");
    std::fs::write(&file, text).expect("the folder is ours");
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    command.args(["serve", "--backend", "sim", "--config"]).arg(&file);
    command.arg("--socket").arg(folder.join("control.sock"));
    command.env_remove("STATE_DIRECTORY").stdout(Stdio::null()).stderr(Stdio::null());
    Service(command.spawn().expect("it starts"))
}

fn connect(folder: &Path) -> Client {
    let until = Instant::now() + Duration::from_secs(120);
    loop {
        match Client::connect(&folder.join("control.sock")) {
            Ok(client) => return client,
            Err(e) => assert!(Instant::now() < until, "{e}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn request(fields: &str) -> Request {
    Incoming::parse(&format!("{{\"v\":1,\"id\":1,{fields}}}")).expect("it is a request").request
}

/// How long a client is kept waiting while another begins a long program.
fn status(text: &str) {
    let folder = tempfile::tempdir().expect("there is room");
    let service = serve(folder.path(), text);
    let (mut one, mut other) = (connect(folder.path()), connect(folder.path()));
    let begins = std::thread::spawn(move || {
        one.set_timeout(Some(Duration::from_secs(120))).expect("it is a socket");
        one.request(request("\"do\":\"program-run\",\"program\":\"p\",\"wait\":false"))
            .expect("the program begins");
    });
    let mut took = Vec::new();
    while !begins.is_finished() {
        let begun = Instant::now();
        other.request(request("\"do\":\"status\"")).expect("it answers");
        took.push(begun.elapsed().as_nanos() as u64);
    }
    begins.join().expect("the program begins");
    row("status, while a program begins", took, None);
    drop(service);
}
