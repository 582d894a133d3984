//! Reloads in quick succession, from several clients: each is answered once, and what it is told is true.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::bench::{Bench, config, serve_untraced};
use crate::service::reload::Work;

const PAN: &str = "[servo.pan]\npwm = { gpio = 18 }\n";
const TILT: &str = "[servo.tilt]\npwm = { gpio = 13 }\n";

/// Readings of the file that have begun, and go on when the test says so.
type Readings = Rc<RefCell<VecDeque<Work>>>;

fn by_hand(bench: &mut Bench<'_>) -> Readings {
    let readings = Readings::default();
    let begun = readings.clone();
    bench.desk.reload.reader = Box::new(move |work| {
        begun.borrow_mut().push_back(work);
        Ok(())
    });
    readings
}

fn go_on(readings: &Readings) {
    let work = readings.borrow_mut().pop_front().expect("the file is being read");
    work();
}

fn changed(said: &super::bench::Said) -> String {
    said.what["changed"].to_string()
}

/// Ten ask at once: the first one's reading goes on, and the nine others share the next.
#[test]
fn those_who_ask_meanwhile_share_the_next_reading() {
    serve_untraced(config(PAN), |bench| {
        let readings = by_hand(bench);
        let clients: Vec<_> = (0..10).map(|_| bench.connect()).collect();
        bench.file.write(Ok(config(&[PAN, TILT].concat())));
        let asked: Vec<_> =
            clients.iter().map(|&c| (c, bench.send(c, "\"do\":\"reload\""))).collect();
        bench.run_for(10);
        assert_eq!(readings.borrow().len(), 1, "one reading at a time");
        go_on(&readings);
        bench.run_for(10);
        // The file is another by now.
        bench.file.write(Ok(config(PAN)));
        let first = bench.reply(asked[0].0, asked[0].1).expect("the first is answered");
        assert_eq!(changed(&first), "[\"tilt\"]");
        assert!(asked[1..].iter().all(|&(c, id)| bench.reply(c, id).is_none()));
        assert_eq!(readings.borrow().len(), 1);
        go_on(&readings);
        bench.run_for(10);
        for &(client, id) in &asked[1..] {
            let said = bench.reply(client, id).expect("all others are answered");
            assert_eq!(changed(&said), "[\"tilt\"]", "{said:?}");
        }
        assert_eq!(readings.borrow().len(), 0, "nobody asks any more");
        let said = bench.said_since(0);
        for (client, id) in asked {
            let replies = said.iter().filter(|s| s.client == client && s.what["id"] == id);
            assert_eq!(replies.count(), 1);
        }
    });
}

/// One whose file does not let itself be read gives way to those who wait for it; four may hang.
#[test]
fn a_reading_that_hangs_gives_way() {
    serve_untraced(config(PAN), |bench| {
        let readings = by_hand(bench);
        let (one, two) = (bench.connect(), bench.connect());
        let first = bench.send(one, "\"do\":\"reload\"");
        bench.run_for(900);
        let second = bench.send(two, "\"do\":\"reload\"");
        bench.run_for(50);
        assert_eq!(readings.borrow().len(), 1);
        bench.run_for(200);
        assert_eq!(readings.borrow().len(), 2, "the second reading has begun");
        let hangs = readings.borrow_mut().pop_front().unwrap();
        bench.file.write(Ok(config(&[PAN, TILT].concat())));
        go_on(&readings);
        bench.run_for(10);
        for (client, id) in [(one, first), (two, second)] {
            assert_eq!(changed(&bench.reply(client, id).expect("an answer")), "[\"tilt\"]");
        }
        // What comes of the first one in the end is nobody's.
        bench.file.write(Ok(config(PAN)));
        hangs();
        bench.run_for(100);
        assert!(bench.desk.config.motor("tilt").is_some());
        for n in 0..4 {
            bench.send(one, "\"do\":\"reload\"");
            bench.send(two, "\"do\":\"reload\"");
            bench.run_for(1500);
            assert!(readings.borrow().len() <= 4, "{n}");
        }
    });
}

/// Whatever hangs, each has its answer by a deadline, and later ones may be asked for then.
#[test]
fn each_has_a_deadline() {
    serve_untraced(config(PAN), |bench| {
        let readings = by_hand(bench);
        let asked: Vec<_> = (0..6)
            .map(|_| {
                let client = bench.connect();
                let id = bench.send(client, "\"do\":\"reload\"");
                bench.run_for(500);
                (client, id)
            })
            .collect();
        bench.run_for(80_000);
        for (client, id) in asked {
            let said = bench.reply(client, id).expect("an answer by now");
            assert!(["timeout", "too-many"].contains(&said.code()), "{said:?}");
        }
        // They end after all, one by one.
        bench.file.write(Ok(config(&[PAN, TILT].concat())));
        while !readings.borrow().is_empty() {
            go_on(&readings);
        }
        bench.run_for(1000);
        let client = bench.connect();
        let id = bench.send(client, "\"do\":\"reload\"");
        bench.run_for(10);
        go_on(&readings);
        bench.run_for(10);
        assert_eq!(changed(&bench.reply(client, id).expect("an answer")), "[\"tilt\"]");
    });
}

/// A config that is read and waits for a motor gives way to the next; both are told the same.
#[test]
fn what_waits_for_motors_gives_way() {
    serve_untraced(config(PAN), |bench| {
        let (one, two) = (bench.connect(), bench.connect());
        bench.ask(one, "\"do\":\"move\",\"to\":{\"pan\":\"0deg\"},\"wait\":true");
        bench.ask(one, "\"do\":\"move\",\"to\":{\"pan\":\"40deg\"},\"speed\":\"1%\"");
        let slower = |speed: u32| config(&format!("{PAN}max-speed = \"{speed}deg/s\"\n"));
        bench.file.write(Ok(slower(50)));
        let first = bench.send(one, "\"do\":\"reload\"");
        bench.run_for(1000);
        bench.file.write(Ok(slower(40)));
        let second = bench.send(two, "\"do\":\"reload\"");
        bench.run_for(100);
        assert!(bench.reply(two, second).is_none(), "pan still moves");
        bench.ask(one, "\"do\":\"stop\"");
        bench.run_for(100);
        for (client, id) in [(one, first), (two, second)] {
            assert_eq!(changed(&bench.reply(client, id).expect("an answer")), "[\"pan\"]");
        }
        assert_eq!(bench.desk.config.motors[0].limits.speed, 40.0);
    });
}

/// The coordinator gives back no config itself: not the old one, not one that was not taken, and not the one of a
/// program that has ended.
#[test]
fn no_config_is_given_back_within_a_turn() {
    let with = |ms: u32| {
        let steps = format!("{{ pause = \"{ms}ms\" }}, {{ move = {{ pan = \"5deg\" }} }}");
        config(&format!("{PAN}[program.p]\nsteps = [ {steps} ]\n"))
    };
    serve_untraced(with(5000), |bench| {
        let client = bench.connect();
        bench.ask(client, "\"do\":\"program-run\",\"program\":\"p\"");
        bench.desk.begins.clear_graves();
        let old = Arc::downgrade(&bench.desk.config);
        bench.file.write(Ok(with(100)));
        assert!(bench.ask(client, "\"do\":\"reload\"").is_ok());
        bench.desk.begins.clear_graves();
        assert!(old.upgrade().is_some(), "the program goes by it");
        bench.run_for(10_000);
        assert!(old.upgrade().is_some(), "it was given back when the program had ended");
        bench.desk.begins.clear_graves();
        assert!(old.upgrade().is_none());
        let old = Arc::downgrade(&bench.desk.config);
        bench.file.write(Ok(with(200)));
        assert!(bench.ask(client, "\"do\":\"reload\"").is_ok());
        assert!(old.upgrade().is_some(), "it was given back within the turn");
        bench.desk.begins.clear_graves();
        assert!(old.upgrade().is_none());
    });
}
