//! Whether asking a service where its motors are makes their edges late.
//!
//! `cargo bench --bench polling` runs a service on the simulator in a process of its own, and prints, in one run, how
//! late the STEP edges of one axis at 10 kHz are: while nobody asks; while a client asks for the status on the socket
//! a thousand times a second; and while one reads the status page as often. In turn, three times each, since what
//! else the machine does meanwhile changes more than they do. Each time is a service of its own: it counts from its start.
//!
//! `LOCKSTEP_BENCH_SECONDS=30` makes each of them longer (default 5). Figures hold for the machine and the moment they
//! were taken on.

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{env, optimised};
use lockstep::client::Client;
use lockstep::protocol::{Incoming, Lateness, Reply, Request};
use lockstep::service::read_page;

/// Steps a second; a thousand steps are a millimetre.
const RATE: u64 = 10_000;
const EVERY: Duration = Duration::from_millis(1);

const CONFIG: &str = r#"
[axis.x]
step = { gpio = 17 }
dir = { gpio = 27 }
driver = "tmc2209"
steps-per-revolution = 200
microsteps = 16
distance-per-revolution = "3.2mm"
travel = "unlimited"
max-speed = "12.5mm/s"
max-acceleration = "10000mm/s^2"
max-jerk = "1000000mm/s^3"
at-start = { assume = "0mm" }
"#;

fn main() {
    if !optimised("polling") {
        return;
    }
    let seconds = env("LOCKSTEP_BENCH_SECONDS", 5).clamp(1, 600);
    println!("Lateness of an axis at 10 kHz in us, and how often it was asked for.");
    println!("{:<34} {:>8} {:>8} {:>8} {:>8} {:>9}", "", "p50", "p99", "max", "asked", "slowest");
    for _ in 0..3 {
        measured("nobody asks", seconds, |_| None);
        measured("status by socket, 1 kHz", seconds, |folder| {
            let mut client = Client::connect(&folder.join("control.sock")).expect("it listens");
            Some(Box::new(move || drop(client.request(status()).expect("it answers"))))
        });
        measured("status page, 1 kHz", seconds, |folder| {
            let page = folder.join("status");
            Some(Box::new(move || drop(read_page(&page).expect("it is there"))))
        });
    }
}

type Ask = Box<dyn FnMut() + Send>;

fn request(fields: &str) -> Request {
    let line = format!("{{\"v\":1,\"id\":1,{fields}}}");
    Incoming::parse(&line).expect("it is a request").request
}

fn status() -> Request {
    request("\"do\":\"status\"")
}

struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(folder: &Path) -> Service {
    let config = folder.join("polling.toml");
    std::fs::write(&config, CONFIG).expect("a folder for the service");
    let child = Command::new(env!("CARGO_BIN_EXE_lockstep"))
        .args(["serve", "--quiet", "--backend", "sim", "--config"])
        .arg(&config)
        .arg("--socket")
        .arg(folder.join("control.sock"))
        .stderr(Stdio::null())
        .spawn();
    Service(child.expect("the program runs"))
}

/// Moves the axis for so many seconds while it is asked for as `asks` says, and prints how late it was.
fn measured(name: &str, seconds: u64, asks: impl FnOnce(&Path) -> Option<Ask>) {
    let folder = tempfile::tempdir().expect("a folder");
    let _service = serve(folder.path());
    let until = Instant::now() + Duration::from_secs(20);
    let mut client = loop {
        match Client::connect(&folder.path().join("control.sock")) {
            Ok(client) => break client,
            Err(e) if Instant::now() > until => panic!("{e}"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let over = AtomicBool::new(false);
    let slowest = AtomicU64::new(0);
    let ask = asks(folder.path());
    let asked = std::thread::scope(|scope| {
        let asking = ask.map(|mut ask| {
            let (over, slowest) = (&over, &slowest);
            scope.spawn(move || {
                let mut asked = 0_u64;
                let mut due = Instant::now();
                while !over.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    ask();
                    let took = began.elapsed().as_nanos() as u64;
                    slowest.fetch_max(took, Ordering::Relaxed);
                    asked += 1;
                    due += EVERY;
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                }
                asked
            })
        });
        let way = seconds * RATE / 1000;
        let to =
            format!("\"do\":\"move\",\"to\":{{\"x\":\"{way}mm\"}},\"speed\":\"80%\",\"wait\":true");
        client.request(request(&to)).expect("the move is fine");
        over.store(true, Ordering::Relaxed);
        asking.map_or(0, |thread| thread.join().unwrap_or(0))
    });
    let reply = client.request(status()).expect("it answers");
    let Reply::Status(status) = reply else { panic!("{reply:?}") };
    let Lateness { p50, p99, max } = status.motors.0[0].1.lateness_us;
    let slowest = slowest.load(Ordering::Relaxed) as f64 / 1e3;
    println!("{name:<34} {p50:>8.1} {p99:>8.1} {max:>8.1} {asked:>8} {slowest:>9.1}");
}
