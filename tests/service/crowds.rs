//! A live service among clients that behave badly, by the thousand: its motors do not notice, and its memory stays as
//! it is. What comes too early or is wrong fails here; what comes late on a busy machine does not.
#![cfg(all(feature = "cli", feature = "service", target_os = "linux"))]
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::live::{Service, request};
use lockstep::client::{Client, ClientError};
use lockstep::protocol::{EndResult, ErrorCode, MotorStatus, Reply};

const MIB: u64 = 1 << 20;

/// The service's resident memory, in bytes.
fn memory(service: &Service) -> u64 {
    let path = format!("/proc/{}/status", service.child.id());
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn threads(service: &Service) -> usize {
    std::fs::read_dir(format!("/proc/{}/task", service.child.id())).unwrap().count()
}

fn motor(client: &mut Client, name: &str) -> MotorStatus {
    let reply = client.request(request("\"do\":\"status\"")).unwrap();
    let Reply::Status(status) = reply else { panic!("{reply:?}") };
    status.motors.0.into_iter().find(|m| m.0 == name).unwrap().1
}

/// Until only so many clients are left.
fn settled(client: &mut Client, clients: u32) {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let Reply::Status(status) = client.request(request("\"do\":\"status\"")).unwrap() else {
            panic!()
        };
        if status.clients == clients {
            return;
        }
        assert!(Instant::now() < until, "{} clients are left", status.clients);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Moves `y` to and fro while `crowd` does what it does; every move must end exactly where it should.
fn while_moving(service: &Service, crowd: impl FnOnce()) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut mover = service.client();
        let over = &over;
        let moves = scope.spawn(move || {
            let mut count = 0;
            while count < 2 || !over.load(Ordering::Relaxed) {
                let to = if count % 2 == 0 { 8 } else { 3 };
                let fields = format!("\"do\":\"move\",\"to\":{{\"y\":\"{to}mm\"}},\"wait\":true");
                let Reply::Move(done) = mover.request(request(&fields)).unwrap() else { panic!() };
                let outcome = done.outcome.unwrap();
                assert_eq!(outcome.result, EndResult::Done);
                assert_eq!(outcome.motors.0[0].1.at.steps, Some(to * 400));
                count += 1;
            }
            // Half of them within 20 ms: a motor that waited for clients would be seconds late.
            let late = motor(&mut mover, "y").lateness_us;
            assert!(late.p50 < 20_000.0, "{late:?}");
        });
        crowd();
        over.store(true, Ordering::Relaxed);
        moves.join().unwrap();
    });
}

#[test]
fn a_thousand_clients_that_vanish_in_mid_line() {
    let service = Service::start();
    let mut boss = service.client();
    let vanish = |count: usize| {
        for i in 0..count {
            let mut stream = UnixStream::connect(service.socket()).unwrap();
            // Half a line, or half a long one; some have said something before.
            let whole = if i % 3 == 0 { "{\"v\":1,\"id\":1,\"do\":\"events\"}\n" } else { "" };
            let long = if i % 7 == 0 { "x".repeat(30_000) } else { String::new() };
            let half = format!("{whole}{{\"v\":1,\"id\":1,\"do\":\"move\",\"to\":{{\"{long}");
            let _ = stream.write_all(half.as_bytes());
        }
    };
    while_moving(&service, || vanish(1000));
    settled(&mut boss, 1);
    let threads_before = threads(&service);
    // What the allocator keeps for as many threads as there ever were at once is soon all there: then a thousand
    // more leave nothing.
    let mut seen = vec![memory(&service)];
    while seen.len() < 20 && !seen.windows(2).any(|w| w[1] < w[0] + MIB) {
        vanish(1000);
        settled(&mut boss, 1);
        seen.push(memory(&service));
    }
    assert!(seen.windows(2).any(|w| w[1] < w[0] + MIB), "it grows with the clients: {seen:?}");
    // Those of the last clients end a moment after they are off the list.
    let patience = Instant::now() + Duration::from_secs(20);
    while threads(&service) > threads_before && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(10));
    }
    let threads_after = threads(&service);
    assert!(threads_after <= threads_before, "from {threads_before} to {threads_after}");
    service.ok(&["move", "x=1mm"]);
}

#[test]
fn a_hundred_subscribers_that_never_read() {
    let service = Service::start();
    let mut boss = service.client();
    let before = memory(&service);
    let mut deaf = Vec::new();
    let mut refused = 0;
    for _ in 0..100 {
        let mut stream = UnixStream::connect(service.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let hello = "{\"v\":1,\"id\":1,\"do\":\"subscribe\",\"topics\":[\"motors\",\"moves\",\"events\"],\"every\":\"1ms\"}\n";
        // One that is refused may be gone already.
        let _ = stream.write_all(hello.as_bytes());
        let mut line = String::new();
        BufReader::with_capacity(1, &stream).read_line(&mut line).unwrap();
        if line.contains("\"ok\":true") {
            deaf.push(stream);
        } else {
            assert!(line.contains("\"code\":\"too-many-clients\""), "{line}");
            assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0, "and it is gone");
            refused += 1;
        }
    }
    assert_eq!((deaf.len(), refused), (63, 37));
    let said = service.fails(1, &["status"]);
    assert!(said.contains("64 clients are connected already"), "{said}");
    // More than what may be under way to all of them: 130 MB.
    let data = "x".repeat(1000);
    let trigger = request(&format!("\"do\":\"trigger\",\"event\":\"loud\",\"data\":\"{data}\""));
    for i in 0..2000 {
        boss.request(trigger.clone()).unwrap();
        if i % 500 == 0 {
            let to = 1 + i / 500;
            let there = format!("\"do\":\"move\",\"to\":{{\"x\":\"{to}mm\"}},\"wait\":true");
            let Reply::Move(done) = boss.request(request(&there)).unwrap() else { panic!() };
            assert_eq!(done.outcome.unwrap().result, EndResult::Done);
        }
    }
    let late = motor(&mut boss, "x").lateness_us;
    assert!(late.p50 < 20_000.0, "{late:?}");
    let after = memory(&service);
    assert!(after < before + 64 * MIB, "from {before} to {after} bytes");
    drop(deaf);
    settled(&mut boss, 1);
    assert!(service.ok(&["status"]).contains("ready"));
}

#[test]
fn clients_killed_while_they_hold_a_lease() {
    let service = Service::start();
    let mut boss = service.client();
    let mut kill = |count: usize| {
        for i in 0..count {
            let mut holder =
                service.command(&["lease", "x", "--timeout", "30s", "--", "sleep", "60"]);
            let mut holder = holder.stdout(std::process::Stdio::null()).spawn().unwrap();
            let until = Instant::now() + Duration::from_secs(30);
            while motor(&mut boss, "x").holder.is_none() {
                assert!(Instant::now() < until, "nobody takes it");
                std::thread::sleep(Duration::from_millis(5));
            }
            if i == 0 {
                let busy = boss.request(request("\"do\":\"move\",\"to\":{\"x\":\"3mm\"}"));
                let Err(ClientError::Refused(error)) = busy else { panic!("{busy:?}") };
                assert_eq!(error.code, ErrorCode::Busy);
            }
            // It can't say good-bye. Its command, which has no part in this, is left to itself.
            let children = format!("/proc/{0}/task/{0}/children", holder.id());
            let children = std::fs::read_to_string(children).unwrap_or_default();
            holder.kill().unwrap();
            holder.wait().unwrap();
            for child in children.split_whitespace() {
                let _ = std::process::Command::new("kill").arg(child).status();
            }
            while motor(&mut boss, "x").holder.is_some() {
                assert!(Instant::now() < until, "it is still held");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    };
    kill(3);
    let before = memory(&service);
    while_moving(&service, || kill(10));
    let after = memory(&service);
    assert!(after < before + 8 * MIB, "from {before} to {after} bytes");
    assert!(service.ok(&["move", "x=1mm"]).contains("reached 1 mm"));
}

/// Replies that are held up by one that is long in coming do not pile up without end.
#[test]
fn who_asks_without_end_behind_a_wait_is_sent_away() {
    let service = Service::start();
    let before = memory(&service);
    for line in ["no request\n", "{\"v\":1,\"id\":3,\"do\":\"cancel\",\"move\":99}\n"] {
        let mut stream = UnixStream::connect(service.socket()).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
        let wait = "{\"v\":1,\"id\":1,\"do\":\"wait-events\",\"events\":[\"never\"],\"timeout\":\"50s\"}\n";
        stream.write_all(wait.as_bytes()).unwrap();
        let many = line.repeat(1000);
        let gone = (0..1000).any(|_| stream.write_all(many.as_bytes()).is_err());
        assert!(gone, "a million lines were taken in");
    }
    let after = memory(&service);
    assert!(after < before + 16 * MIB, "from {before} to {after} bytes");
    service.ok(&["move", "x=1mm"]);
}

/// Who jogs and dies leaves nothing moving.
#[test]
fn a_jog_ends_with_its_client() {
    let service = Service::start();
    let mut boss = service.client();
    let mut jogger = service.client();
    let jog = jogger.request(request("\"do\":\"jog\",\"speed\":{\"x\":\"5mm/s\"},\"for\":\"30s\""));
    let Ok(Reply::Jog(jog)) = jog else { panic!("{jog:?}") };
    std::thread::sleep(Duration::from_millis(300));
    drop(jogger);
    let wait = format!("\"do\":\"wait\",\"move\":{},\"timeout\":\"20s\"", jog.number);
    let Reply::Wait(ended) = boss.request(request(&wait)).unwrap() else { panic!() };
    let position = ended.outcome.unwrap().motors.0[0].1.at.position.unwrap();
    assert!(position > 0.0 && position < 140.0, "{position}");
    // The command waits for its end, and Ctrl-C is an end.
    let mut command = service.command(&["jog", "y=5mm/s", "--for", "30s"]).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while motor(&mut boss, "y").number.is_none() {
        assert!(Instant::now() < until, "it does not begin");
        std::thread::sleep(Duration::from_millis(5));
    }
    command.kill().unwrap();
    command.wait().unwrap();
    while motor(&mut boss, "y").number.is_some() {
        assert!(Instant::now() < until, "it goes on");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(service.ok(&["jog", "y=5mm/s", "--for", "200ms"]).contains("reached"));
}
