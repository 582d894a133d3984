//! What clients ask for against a live service, where no other test does.
#![cfg(all(feature = "cli", feature = "service", unix))]
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use crate::live::{Service, request};
use lockstep::client::{Client, ClientError};
use lockstep::protocol::{EndResult, ErrorCode, Event, LeaseState, Reply};

fn ask(client: &mut Client, fields: &str) -> Reply {
    client.request(request(fields)).unwrap_or_else(|e| panic!("{fields}: {e}"))
}

fn refused(client: &mut Client, fields: &str) -> (ErrorCode, String) {
    match client.request(request(fields)) {
        Err(ClientError::Refused(error)) => (error.code, error.message),
        other => panic!("{fields}: {other:?}"),
    }
}

#[test]
fn hello_says_who_is_there() {
    let service = Service::start();
    let Reply::Hello(hello) = ask(&mut service.client(), "\"do\":\"hello\",\"client\":\"me\"")
    else {
        panic!()
    };
    assert_eq!((hello.service.as_str(), hello.versions.as_slice()), ("lockstep", &[1][..]));
    assert_eq!(hello.machine, "machine");
}

#[test]
fn a_move_is_sent_elsewhere_while_it_runs() {
    let service = Service::start();
    let mut client = service.client();
    let Reply::Move(going) = ask(&mut client, "\"do\":\"move\",\"to\":{\"x\":\"60mm\"}") else {
        panic!()
    };
    ask(
        &mut client,
        &format!("\"do\":\"retarget\",\"move\":{},\"to\":{{\"x\":\"20mm\"}}", going.number),
    );
    let wait = format!("\"do\":\"wait\",\"move\":{},\"timeout\":\"30s\"", going.number);
    let Reply::Wait(ended) = ask(&mut client, &wait) else { panic!() };
    let outcome = ended.outcome.unwrap();
    assert_eq!((outcome.result, outcome.motors.0[0].1.at.position), (EndResult::Done, Some(20.0)));
    let late = format!("\"do\":\"retarget\",\"move\":{},\"to\":{{\"x\":\"1mm\"}}", going.number);
    assert_eq!(refused(&mut client, &late).0, ErrorCode::UnknownMove);
}

#[test]
fn subscriptions_begin_and_end() {
    let service = Service::start();
    let mut client = service.client();
    ask(&mut client, "\"do\":\"subscribe\",\"topics\":[\"events\",\"moves\"]");
    let Reply::Move(later) =
        ask(&mut client, "\"do\":\"move\",\"to\":{\"x\":\"1mm\"},\"after\":\"50s\"")
    else {
        panic!()
    };
    // A move that is taken back is told of, too.
    ask(&mut client, &format!("\"do\":\"cancel\",\"move\":{}", later.number));
    let Event::MoveEnded(ended) = client.event().unwrap().event else { panic!() };
    assert_eq!((ended.number, ended.outcome.result), (later.number, EndResult::Cancelled));
    ask(&mut client, "\"do\":\"unsubscribe\"");
    ask(&mut client, "\"do\":\"trigger\",\"event\":\"unheard\"");
    client.set_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(client.event().is_err());
}

#[test]
fn a_rendezvous_is_broken_and_made_anew() {
    let service = Service::start();
    let mut client = service.client();
    ask(&mut client, "\"do\":\"rendezvous-abort\",\"name\":\"r\"");
    let meet = "\"do\":\"rendezvous\",\"name\":\"r\",\"parties\":1,\"timeout\":\"1s\"";
    assert_eq!(refused(&mut client, meet).0, ErrorCode::Broken);
    ask(&mut client, "\"do\":\"rendezvous-reset\",\"name\":\"r\"");
    let Reply::Rendezvous(met) = ask(&mut client, meet) else { panic!() };
    assert_eq!(met.index, 0);
}

#[test]
fn a_lease_lives_as_long_as_it_is_renewed() {
    let service = Service::start();
    let (mut holder, mut other) = (service.client(), service.client());
    ask(&mut other, "\"do\":\"subscribe\",\"topics\":[\"machine\"]");
    let take = "\"do\":\"lease-take\",\"motors\":[\"x\"],\"heartbeat\":\"1s\"";
    let Reply::LeaseTake(lease) = ask(&mut holder, take) else { panic!() };
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(400));
        ask(&mut holder, &format!("\"do\":\"lease-renew\",\"lease\":{}", lease.lease));
    }
    let renew = format!("\"do\":\"lease-renew\",\"lease\":{}", lease.lease);
    assert_eq!(refused(&mut other, &renew).0, ErrorCode::NotYours);
    // No more heartbeats: the others hear of it.
    loop {
        if let Event::Lease(change) = other.event().unwrap().event
            && change.state == LeaseState::Lost
        {
            assert_eq!(change.motors, ["x"]);
            break;
        }
    }
    assert_eq!(refused(&mut holder, &renew).0, ErrorCode::UnknownLease);
    let release = format!("\"do\":\"lease-release\",\"lease\":{}", lease.lease);
    assert_eq!(refused(&mut holder, &release).0, ErrorCode::UnknownLease);
}

#[test]
fn programs_are_stopped_by_their_name() {
    let service = Service::start();
    service.ok(&["program", "run", "long", "--no-wait"]);
    assert!(service.ok(&["program", "list"]).contains("long  running"));
    assert_eq!(service.ok(&["program", "stop", "long"]), "long has stopped\n");
    // Its motors are at rest, and free.
    assert!(!service.ok(&["program", "list"]).contains("running"));
    service.ok(&["move", "x=1mm"]);
    assert_eq!(service.ok(&["program", "stop", "there"]), "");
    assert!(service.fails(2, &["program", "stop", "none"]).contains("no program `none`"));
}

/// A servo by its pulses: no further than servos go, for one client alone, and by its config again afterwards.
#[test]
fn pulses_are_for_one_client_and_end_with_it() {
    let service = Service::start();
    let (mut bench, mut other) = (service.client(), service.client());
    let pulse = |us: u32| format!("\"do\":\"pulse\",\"to\":{{\"pan\":\"{us}us\"}}");
    let (code, said) = refused(&mut bench, &pulse(2300));
    assert!(code == ErrorCode::Limit && said.contains("would jump"), "{said}");
    let Reply::Pulse(there) = ask(&mut bench, &pulse(1500)) else { panic!() };
    assert_eq!(there.outcome.unwrap().motors.0[0].1.at.position, Some(0.0));
    let Reply::Pulse(there) = ask(&mut bench, &pulse(2300)) else { panic!() };
    let angle = there.outcome.unwrap().motors.0[0].1.at.position.unwrap();
    assert!((angle - 72.0).abs() < 0.01, "{angle}");
    for us in [499, 2501] {
        let (code, said) = refused(&mut bench, &pulse(us));
        assert!(code == ErrorCode::Limit && said.contains("servos take 500us to 2500us"), "{said}");
    }
    let axis = "\"do\":\"pulse\",\"to\":{\"x\":\"1500us\"}";
    assert_eq!(refused(&mut bench, axis).0, ErrorCode::WrongMotor);
    // It goes by its pulses alone, and by nobody else's; the others' motors go on.
    let to = "\"do\":\"move\",\"to\":{\"pan\":\"0deg\"}";
    let jog = "\"do\":\"jog\",\"speed\":{\"pan\":\"1deg/s\"},\"for\":\"1s\"";
    for fields in [&pulse(1500), to, jog] {
        assert_eq!(refused(&mut other, fields).0, ErrorCode::Busy, "{fields}");
    }
    assert_eq!(refused(&mut bench, to).0, ErrorCode::Busy);
    ask(&mut other, "\"do\":\"move\",\"to\":{\"x\":\"1mm\"},\"wait\":true");
    drop(bench);
    let to = "\"do\":\"move\",\"to\":{\"pan\":\"10deg\"},\"wait\":true";
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while let Err(e) = other.request(request(to)) {
        assert!(std::time::Instant::now() < until, "{e}");
        std::thread::sleep(Duration::from_millis(10));
    }
    let far = "\"do\":\"move\",\"to\":{\"pan\":\"72deg\"}";
    assert_eq!(refused(&mut other, far).0, ErrorCode::Limit);
}
