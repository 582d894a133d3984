//! Servos that turn continuously, through the socket: who jogs them and dies leaves them at rest.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::service_common::{Service, request, signal, until};

/// Its program does not begin by itself.
fn rover() -> String {
    let shipped = include_str!("../../config/rover.toml");
    let quiet = shipped.replace("start-program = \"square\"\n", "");
    assert_ne!(quiet, shipped);
    quiet
}

fn left(service: &Service) -> serde_json::Value {
    service.status()["motors"]["left"].clone()
}

#[test]
fn a_killed_client_leaves_them_at_rest_and_a_stop_is_told_at_rest() {
    let service = Service::start(&rover());
    let jog = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
        command.args(["jog"]).args(args).env("LOCKSTEP_SOCKET", service.socket());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    for kill in [true, false] {
        let mut client = jog(&["left=50%", "right=-50%", "--for", "60s"]);
        until("it turns at its speed", || left(&service)["speed"] == 50.0);
        if kill {
            signal(&client, "KILL");
        } else {
            let told = service.ok(&["stop"]);
            assert!(told.contains("left") && told.contains('-'), "{told}");
            assert_eq!(left(&service)["state"], "off");
        }
        client.wait().unwrap();
        until("it rests", || left(&service)["state"] == "off");
        assert_eq!(left(&service).get("speed"), None);
    }
    let refused = service.fails(2, &["move", "left=10deg"]);
    assert!(refused.contains("jog it instead, such as left=50%"), "{refused}");
    assert!(service.ok(&["status"]).contains("left   off  -"), "{}", service.ok(&["status"]));
    service.end();
}

/// One that is jogged at 0% comes to rest, and others may join: through the client of the library.
#[test]
fn the_set_of_a_jog_may_change() {
    let service = Service::start(&rover());
    let mut client = service.client();
    let mut jog = |speed: &str| {
        let line = format!(r#""do":"jog","speed":{speed},"for":"60s""#);
        client.request(request(&line)).unwrap();
    };
    let state = |motor: &str| service.status()["motors"][motor]["state"].clone();
    jog(r#"{"left":"50%","right":"0%"}"#);
    until("left turns", || left(&service)["speed"] == 50.0);
    assert_eq!(state("right"), "off");
    jog(r#"{"left":"0%","right":"-30%"}"#);
    until("right turns, and left rests", || {
        let status = service.status();
        status["motors"]["right"]["speed"] == -30.0 && status["motors"]["left"]["state"] == "off"
    });
    drop(client);
    until("all rest", || state("right") == "off");
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(state("left"), "off");
    service.end();
}
