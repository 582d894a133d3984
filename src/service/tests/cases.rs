//! What random sequences have found, each as a case of its own.

use std::time::Duration;

use super::bench::{Bench, Said, config, serve, serve_with};
use super::machines::KINDS;
use crate::machine::Jog;
use crate::moves::IfBusy;
use crate::service::wire::ClientId;
use crate::units::{AngularSpeed, Speed};

/// Two axes and a budget that is enough for one of them with a servo.
const POWER: usize = 3;

fn begun(story: &super::story::Story) -> Vec<String> {
    story.moves().into_iter().map(|m| format!("{} {}", m.number, m.owner)).collect()
}

fn ok(bench: &mut Bench<'_>, client: ClientId, body: &str) -> Said {
    let said = bench.ask(client, body);
    assert!(said.is_ok(), "{body}: {:?}", said.what);
    said
}

#[test]
fn a_request_waits_for_none_that_came_after_it() {
    serve(KINDS[0].config.clone(), None, |bench| {
        let (me, other) = (bench.connect(), bench.connect());
        ok(bench, other, r#""do":"move","to":{"x":"11mm"}"#);
        bench.run_for(100);
        let wait = bench.send(me, r#""do":"wait-events","events":["ready"],"timeout":"10ms""#);
        let behind = bench.send(me, r#""do":"trigger","event":"go""#);
        // It is begun at once, and takes longer than the time-out.
        let stop = bench.send(me, r#""do":"stop""#);
        let asked = bench.now();
        let behind = bench.answer(me, behind);
        assert_eq!(bench.reply(me, wait).unwrap().at, behind.at);
        assert_eq!(behind.at.since(asked), Duration::from_millis(10));
        assert!(bench.answer(me, stop).at > behind.at);
    });
}

#[test]
fn what_is_known_when_it_begins_is_said_in_that_turn() {
    serve(KINDS[0].config.clone(), None, |bench| {
        let me = bench.connect();
        ok(bench, me, r#""do":"move","to":{"x":"4mm"},"wait":true"#);
        bench.run_for(500);
        let first = bench.send(me, r#""do":"wait-events","events":["ready"],"timeout":"10ms""#);
        // Its move has ended long ago.
        let behind = bench.send(me, r#""do":"wait","move":1"#);
        let set = bench.send(me, r#""do":"set-position","to":{"x":"5mm"}"#);
        let first = bench.answer(me, first).at;
        assert_eq!((bench.answer(me, behind).at, bench.answer(me, set).at), (first, first));
    });
}

#[test]
fn a_program_that_is_looked_through_does_not_begin_after_a_halt() {
    let (_, story) = serve(KINDS[0].config.clone(), None, |bench| {
        let (me, other) = (bench.connect(), bench.connect());
        bench.threads_are_busy(Duration::from_millis(50));
        let run = bench.send(me, r#""do":"program-run","program":"turns""#);
        bench.run_for(10);
        ok(bench, other, r#""do":"halt""#);
        ok(bench, other, r#""do":"clear""#);
        assert_eq!(bench.answer(me, run).code(), "stopped");
        bench.run_for(1000);
    });
    assert_eq!(begun(&story), Vec::<String>::new());
}

#[test]
fn a_start_program_that_is_looked_through_does_not_begin_after_a_fault() {
    let text = format!("[machine]\nstart-program = \"turns\"\n{}", super::machines::text(0));
    let config = config(&text);
    let at_once = serve(config.clone(), None, |bench| bench.run_for(1000)).1;
    assert!(!begun(&at_once).is_empty());
    let (_, story) = serve(config, None, |bench| {
        let me = bench.connect();
        bench.threads_are_busy(Duration::from_millis(50));
        bench.run_for(10);
        bench.desk.machine.inject_fault("y", Duration::ZERO).unwrap();
        bench.run_for(10);
        ok(bench, me, r#""do":"clear""#);
        bench.run_for(1000);
    });
    assert_eq!(begun(&story), Vec::<String>::new());
}

/// The disk has to know that x leaves; held and resumed meanwhile, its move asks for its current once.
#[test]
fn a_move_that_was_held_while_it_waited_to_leave_asks_for_its_current_once() {
    serve_with(KINDS[POWER].config.clone(), None, true, |bench| {
        let me = bench.connect();
        bench.run_for(2000);
        ok(bench, me, r#""do":"move","to":{"x":"8mm","y":"8mm"}"#);
        bench.run_for(1);
        ok(bench, me, r#""do":"hold""#);
        ok(bench, me, r#""do":"resume""#);
        for _ in 0..100 {
            bench.run_for(1);
            bench.desk.machine.register().check();
        }
        bench.run_for(3000);
        let power = bench.desk.machine.power().unwrap();
        assert_eq!((power.used, power.waiting), (0, 0), "all that was taken was given back");
    });
}

#[test]
fn a_move_begins_at_once_where_what_it_replaces_ends_at_once() {
    let (asked, story) = serve(KINDS[0].config.clone(), None, |bench| {
        let me = bench.connect();
        bench.run_for(500);
        ok(bench, me, r#""do":"hold""#);
        // It waits at its start, and has nothing to brake.
        ok(bench, me, r#""do":"move","to":{"x":"5mm"}"#);
        let asked = bench.now();
        ok(bench, me, r#""do":"move","to":{"x":"9mm"},"if-busy":"replace""#);
        ok(bench, me, r#""do":"resume""#);
        bench.run_for(1000);
        asked
    });
    let moves = story.moves();
    assert_eq!(begun(&story), ["2 client"]);
    assert!(moves[0].at.since(asked) <= Duration::from_millis(10), "{asked}: {moves:?}");
}

/// Its motor has to be held where it rests, while another has its turn, as well as on its way.
#[test]
fn a_program_waits_where_a_motor_of_it_is_held_by_a_lost_lease() {
    let lost = "on-lost-lease = \"hold\"\nat-start = { assume = \"3mm\" }";
    let text = super::machines::text(0).replacen("at-start = { assume = \"3mm\" }", lost, 1);
    for after in [20, 400] {
        let (_, story) = serve(config(&text), None, |bench| {
            let (holder, me) = (bench.connect(), bench.connect());
            ok(bench, holder, r#""do":"lease-take","motors":["x"]"#);
            ok(bench, holder, r#""do":"program-run","program":"turns""#);
            bench.run_for(after);
            bench.leave(holder);
            bench.run_for(5000);
            assert_eq!(ok(bench, me, r#""do":"status""#).what["programs"][0], "turns");
            ok(bench, me, r#""do":"resume","motors":["x"]"#);
            bench.run_for(5000);
        });
        let x: Vec<_> = story.moves().into_iter().filter(|m| m.motors == ["x"]).collect();
        assert_eq!(x.len(), 2, "{x:?}");
        let at = x[1].at.as_nanos() / 1_000_000;
        assert!((5000 + after..7000 + after).contains(&at), "x goes on at {at} ms");
    }
}

#[test]
fn a_move_that_replaces_another_leaves_its_motors_held() {
    for hold in [r#""do":"hold","motors":["x"]"#, r#""do":"hold""#] {
        let (resumed, story) = serve(KINDS[0].config.clone(), None, |bench| {
            let me = bench.connect();
            ok(bench, me, r#""do":"move","to":{"x":"11mm"}"#);
            bench.run_for(100);
            ok(bench, me, hold);
            ok(bench, me, r#""do":"move","to":{"x":"5mm"},"if-busy":"replace""#);
            bench.run_for(500);
            assert_eq!(ok(bench, me, r#""do":"status""#).what["moves"][0]["state"], "held");
            let resumed = bench.now();
            ok(bench, me, r#""do":"resume","motors":["x"]"#);
            bench.run_for(1000);
            resumed
        });
        assert!(story.moves()[1].at > resumed);
        assert_eq!(story.counted[0].1, Some(50));
    }
}

/// The one that it replaces waits, and for motors of others.
#[test]
fn a_move_begins_at_once_where_it_replaces_one_that_waits() {
    let (due, story) = serve(KINDS[0].config.clone(), None, |bench| {
        let me = bench.connect();
        ok(bench, me, r#""do":"move","to":{"x":"11mm"},"speed":"10%""#);
        ok(bench, me, r#""do":"move","to":{"x":"3mm","y":"9mm"},"if-busy":"queue""#);
        let due = bench.now() + Duration::from_millis(150);
        ok(bench, me, r#""do":"move","to":{"y":"4mm"},"if-busy":"replace","after":"150ms""#);
        bench.run_for(1000);
        due
    });
    let moves = story.moves();
    assert_eq!(begun(&story), ["1 client", "3 client"]);
    assert!(moves[1].at.since(due) <= Duration::from_millis(10), "{due}: {moves:?}");
}

/// A servo whose time line waits for its current is told another plan before: its pulses follow that from then on.
#[test]
fn a_change_before_a_servos_time_line_begins_is_followed_from_its_instant() {
    for after in [0, 3, 15, 30, 45] {
        let (_, story) = serve(KINDS[POWER].config.clone(), None, |bench| {
            let me = bench.connect();
            bench.run_for(1500);
            let three = r#""do":"move","to":{"y":"7mm","z":"11mm","pan":"30deg"},"arrive":"asap""#;
            ok(bench, me, three);
            bench.run_for(after);
            ok(bench, me, r#""do":"override","speed":"150%""#);
            bench.run_for(after + 14);
            ok(bench, me, r#""do":"hold""#);
            bench.run_for(500);
        });
        assert_eq!(story.findings(&story.config), "", "after {after} ms");
    }
}

#[test]
fn of_two_places_that_are_said_at_once_the_last_one_counts() {
    let (_, story) = serve(KINDS[0].config.clone(), None, |bench| {
        let me = bench.connect();
        bench.run_for(10);
        ok(bench, me, r#""do":"set-position","to":{"x":"4mm"}"#);
        ok(bench, me, r#""do":"set-position","to":{"x":"9mm"}"#);
        bench.run_for(10);
        ok(bench, me, r#""do":"move","to":{"x":"8mm"},"wait":true"#);
    });
    assert_eq!(story.findings(&story.config), "");
}

/// A motor whose steps are others than before counts from another place, and the trace says so.
#[test]
fn a_reload_after_which_a_motor_counts_anew_is_in_the_trace() {
    let kind = &KINDS[0];
    let (_, story) = serve(kind.config.clone(), None, |bench| {
        let me = bench.connect();
        ok(bench, me, r#""do":"move","to":{"x":"8mm"},"wait":true"#);
        // DIR is another pin.
        bench.file.write(kind.others[2].clone());
        let said = ok(bench, me, r#""do":"reload""#);
        assert_eq!(said.what["changed"][0], "x");
        assert_eq!(ok(bench, me, r#""do":"status""#).what["motors"]["x"]["place"], "unknown");
        ok(bench, me, r#""do":"jog","speed":{"x":"-5mm/s"},"for":"200ms""#);
        bench.run_for(1000);
    });
    assert_eq!(story.findings(&story.config), "");
    let x = story.course(story.config.motor("x").unwrap());
    assert_eq!(Some(x.count_at(story.end)), story.counted[0].1);
}

/// The same where the epoch of a move that was dropped is still to come.
#[test]
fn a_motor_that_is_opened_anew_before_the_epoch_of_a_dropped_move_counts_anew_after_it() {
    let kind = &KINDS[0];
    let (_, story) = serve(kind.config.clone(), None, |bench| {
        let me = bench.connect();
        ok(bench, me, r#""do":"move","to":{"x":"8mm"},"wait":true"#);
        bench.file.write(kind.others[2].clone());
        ok(bench, me, r#""do":"jog","speed":{"x":"-5mm/s"},"for":"200ms""#);
        bench.desk.machine.inject_fault("x", Duration::from_micros(200)).unwrap();
        assert_eq!(ok(bench, me, r#""do":"reload""#).what["changed"][0], "x");
        ok(bench, me, r#""do":"clear""#);
        ok(bench, me, r#""do":"jog","speed":{"x":"-5mm/s"},"for":"200ms""#);
        bench.run_for(1000);
    });
    assert!(story.moves()[1].was_dropped());
    assert_eq!(story.findings(&story.config), "");
}

/// The epoch of a move that is dropped before it stands in the trace; a place that is said meanwhile comes after it.
#[test]
fn a_place_that_is_said_before_the_epoch_of_a_dropped_move_holds_after_it() {
    let (_, story) = serve(KINDS[0].config.clone(), None, |bench| {
        let me = bench.connect();
        ok(bench, me, r#""do":"move","to":{"x":"4.7mm"}"#);
        // It has met at the barrier, and its time line begins 5 ms later.
        bench.run_for(2);
        ok(bench, me, r#""do":"halt""#);
        ok(bench, me, r#""do":"set-position","to":{"x":"2.9mm"}"#);
        ok(bench, me, r#""do":"clear""#);
        bench.run_for(100);
        ok(bench, me, r#""do":"move","to":{"x":"4mm"},"wait":true"#);
    });
    assert!(story.moves()[0].was_dropped());
    assert_eq!(story.findings(&story.config), "");
}

/// Its part of a held move is over, and the move is not: after `clear` it may be in another.
#[test]
fn a_motor_with_a_fault_leaves_its_move_also_in_the_trace() {
    for kind in [&KINDS[0], &KINDS[4]] {
        let (fails, unit) = match kind.config.motor("dial") {
            Some(_) => ("dial", "deg"),
            None => ("y", "mm"),
        };
        let (_, story) = serve(kind.config.clone(), None, |bench| {
            let me = bench.connect();
            bench.run_for(1000);
            let both = format!(
                r#""do":"move","to":{{"x":"9mm","{fails}":"5{unit}"}},"on-fault":"continue""#
            );
            ok(bench, me, &both);
            bench.run_for(60);
            ok(bench, me, r#""do":"hold""#);
            bench.desk.machine.inject_fault(fails, Duration::ZERO).unwrap();
            bench.run_for(500);
            ok(bench, me, r#""do":"clear""#);
            ok(bench, me, r#""do":"resume""#);
            ok(bench, me, &format!(r#""do":"move","to":{{"{fails}":"1{unit}"}}"#));
            bench.run_for(2000);
        });
        assert_eq!(story.findings(&story.config), "", "{fails}");
    }
}

/// It was held before its motors were told of it; what a stop plans later begins where they are.
#[test]
fn a_move_that_stepped_aside_before_it_began_is_stopped_on_its_line() {
    let (_, story) = serve(KINDS[POWER].config.clone(), None, |bench| {
        let me = bench.connect();
        ok(bench, me, r#""do":"program-run","program":"pair""#);
        bench.run_for(10);
        // Its moves wait for their current.
        ok(bench, me, r#""do":"hold""#);
        bench.run_for(150);
        // Before the jog begins they go on.
        let jog = r#""do":"jog","speed":{"y":"5mm/s","z":"-5mm/s"},"for":"60ms""#;
        let jog = bench.send(me, jog);
        let resume = bench.send(me, r#""do":"resume","motors":["x","y","z"]"#);
        assert!(bench.answer(me, jog).is_ok() && bench.answer(me, resume).is_ok());
        bench.run_for(130);
        ok(bench, me, r#""do":"stop""#);
        bench.run_for(500);
    });
    assert!(story.moves().iter().any(|m| m.owner == "program.pair" && m.motors == ["z"]));
    assert_eq!(story.findings(&story.config), "");
}

/// The program hears of the stop a turn later, when the hold has come.
#[test]
fn a_hold_after_the_stop_of_a_program_holds() {
    let (_, story) = serve(KINDS[0].config.clone(), None, |bench| {
        let me = bench.connect();
        ok(bench, me, r#""do":"program-run","program":"turns""#);
        bench.run_for(100);
        bench.send(me, r#""do":"stop","motors":["x"]"#);
        let hold = bench.send(me, r#""do":"hold","motors":["x"]"#);
        assert!(bench.answer(me, hold).is_ok());
        let moves = ok(bench, me, r#""do":"move","to":{"x":"9mm"}"#);
        assert_eq!(moves.what["state"], "held");
        bench.run_for(1000);
    });
    assert_eq!(begun(&story), ["1 program.turns"]);
}

/// A reload has to wait until the servo's signal has ended, and the move's time comes meanwhile.
#[test]
fn a_move_whose_time_comes_while_its_motor_is_opened_anew_waits_for_that() {
    let kind = &KINDS[1];
    let (_, story) = serve(kind.config.clone(), None, |bench| {
        let me = bench.connect();
        bench.run_for(4000);
        let moves = ok(bench, me, r#""do":"move","to":{"pan":"30deg"},"after":"10ms""#);
        bench.file.write(kind.others[2].clone());
        let said = ok(bench, me, r#""do":"reload""#);
        assert!(said.what["changed"].as_array().unwrap().contains(&"pan".into()));
        bench.desk.machine.register().check();
        let wait = format!(r#""do":"wait","move":{}"#, moves.what["move"]);
        let end = ok(bench, me, &wait);
        let outcome = &end.what["outcome"]["motors"]["pan"];
        assert_eq!(outcome["position"], 30.0, "{:?}", end.what);
    });
    assert_eq!(story.findings(&story.config), "");
}

#[test]
fn a_start_program_that_somebody_runs_already_does_not_begin_twice() {
    // It waits for the start-up move of pan.
    let (asked, story) = serve(KINDS[1].config.clone(), None, |bench| {
        let me = bench.connect();
        bench.run_for(30);
        ok(bench, me, r#""do":"program-run","program":"turns""#);
        ok(bench, me, r#""do":"hold""#);
        bench.run_for(500);
        let stopped = ok(bench, me, r#""do":"stop""#);
        bench.run_for(2000);
        stopped.at
    });
    let mut moves = story.moves().into_iter().filter(|m| m.owner != "park");
    assert!(moves.all(|m| m.at <= asked), "{:?}", story.moves());
}

#[test]
fn a_held_program_lends_its_motors_to_no_other_program() {
    serve(KINDS[0].config.clone(), None, |bench| {
        let me = bench.connect();
        ok(bench, me, r#""do":"program-run","program":"turns""#);
        bench.run_for(100);
        ok(bench, me, r#""do":"hold","motors":["x"]"#);
        let other = bench.ask(me, r#""do":"program-run","program":"again""#);
        assert_eq!(other.code(), "busy");
        ok(bench, me, r#""do":"move","to":{"y":"4mm"}"#);
    });
}

/// Who was told that it is held may reach in: nothing that was asked for before moves it then.
#[test]
fn a_delayed_move_does_not_begin_with_a_motor_of_a_program_that_was_held_meanwhile() {
    for way in ["queue", "replace"] {
        let (_, story) = serve(KINDS[0].config.clone(), None, |bench| {
            let me = bench.connect();
            // It is asked for before the program is.
            let delayed = format!(
                r#""do":"move","to":{{"x":"6mm"}},"if-busy":"{way}","after":"600ms","wait":false"#
            );
            ok(bench, me, &delayed);
            ok(bench, me, r#""do":"program-run","program":"turns""#);
            bench.run_for(100);
            let held = ok(bench, me, r#""do":"hold","motors":["x"]"#);
            bench.run_for(2000);
            let now = ok(bench, me, r#""do":"status""#);
            let (held, now) = (&held.what["motors"]["x"], &now.what["motors"]["x"]);
            assert_eq!(held["steps"], now["steps"], "{way}");
            // It is meant for after that, unlike what was asked for before.
            ok(bench, me, r#""do":"program-stop""#);
            bench.run_for(2000);
            let end = ok(bench, me, r#""do":"status""#);
            assert_eq!(end.what["motors"]["x"]["position"], 6.0, "{way}");
        });
        assert_eq!(story.findings(&story.config), "", "{way}");
    }
}

/// The stop waits behind another request of its client's, and the hold does not.
#[test]
fn a_program_that_is_stopped_leaves_its_motors_held_where_they_were_before_it_began() {
    serve(KINDS[0].config.clone(), None, |bench| {
        let me = bench.connect();
        ok(bench, me, r#""do":"hold","motors":["x"]"#);
        ok(bench, me, r#""do":"program-run","program":"turns""#);
        bench.run_for(100);
        ok(bench, me, r#""do":"program-stop","program":"turns""#);
        let moves = ok(bench, me, r#""do":"move","to":{"x":"9mm"}"#);
        assert_eq!(moves.what["state"], "held");
    });
}

/// It was told to turn and held before it had: going on is the turn.
#[test]
fn a_jog_that_is_held_before_it_has_turned_turns_when_it_is_resumed() {
    let (_, story) = serve(KINDS[0].config.clone(), None, |bench| {
        let me = bench.connect();
        ok(bench, me, r#""do":"move","to":{"x":"8mm"},"wait":true"#);
        ok(bench, me, r#""do":"jog","speed":{"x":"-16mm/s"},"for":"400ms""#);
        bench.run_for(200);
        ok(bench, me, r#""do":"jog","speed":{"x":"12mm/s"},"for":"400ms""#);
        bench.run_for(12);
        let hold = bench.send(me, r#""do":"hold","motors":["x"]"#);
        bench.run_for(15);
        ok(bench, me, r#""do":"resume","motors":["x"]"#);
        bench.answer(me, hold);
        bench.run_for(1000);
    });
    assert_eq!(story.findings(&story.config), "");
}

/// What a hold keeps back keeps nobody from the motor: a jam has to be freed.
#[test]
fn a_motor_of_a_held_program_is_moved_also_where_an_earlier_order_waits_for_it() {
    let (_, story) = serve(KINDS[0].config.clone(), None, |bench| {
        let me = bench.connect();
        let delayed = r#""do":"move","to":{"x":"6mm"},"if-busy":"queue","after":"300ms""#;
        ok(bench, me, delayed);
        ok(bench, me, r#""do":"program-run","program":"turns""#);
        bench.run_for(100);
        ok(bench, me, r#""do":"hold","motors":["x"]"#);
        bench.run_for(500);
        ok(bench, me, r#""do":"jog","speed":{"x":"5mm/s"},"for":"200ms""#);
        bench.run_for(1000);
        ok(bench, me, r#""do":"move","to":{"x":"5mm"},"wait":true"#);
        ok(bench, me, r#""do":"resume""#);
        bench.run_for(5000);
        let end = ok(bench, me, r#""do":"status""#);
        assert_eq!(end.what["motors"]["x"]["position"], 6.0);
    });
    assert_eq!(story.findings(&story.config), "");
}

/// The same of a program that shares: its jogged motor comes back, and what was asked for before waits on.
#[test]
fn a_program_that_shares_and_has_stepped_aside_keeps_its_motors() {
    let (_, story) = serve(KINDS[0].config.clone(), None, |bench| {
        let me = bench.connect();
        let delayed = r#""do":"move","to":{"x":"6mm"},"if-busy":"queue","after":"300ms""#;
        ok(bench, me, delayed);
        ok(bench, me, r#""do":"program-run","program":"shares","share":true"#);
        bench.run_for(100);
        ok(bench, me, r#""do":"hold","motors":["x"]"#);
        ok(bench, me, r#""do":"jog","speed":{"x":"-5mm/s"},"for":"200ms""#);
        bench.run_for(1000);
        let resume = bench.send(me, r#""do":"resume","motors":["x"]"#);
        bench.run_for(5);
        // y was part of its move.
        assert_eq!(bench.ask(me, r#""do":"move","to":{"y":"1mm"}"#).code(), "busy");
        assert!(bench.answer(me, resume).is_ok());
        bench.run_for(8000);
        let end = ok(bench, me, r#""do":"status""#);
        assert!(end.what["programs"].is_null(), "{:?}", end.what);
    });
    assert_eq!(story.findings(&story.config), "");
}

/// A held program lends its motors to hands, and to no other program: also one that shares them as long as it runs.
#[test]
fn a_held_program_that_shares_lends_its_motors_to_no_other_program() {
    serve(KINDS[0].config.clone(), None, |bench| {
        let me = bench.connect();
        ok(bench, me, r#""do":"program-run","program":"turns","share":true"#);
        bench.run_for(50);
        // It moves x, and shares y.
        ok(bench, me, r#""do":"hold","motors":["y"]"#);
        let refused = bench.ask(me, r#""do":"program-run","program":"again""#);
        assert_eq!(refused.code(), "busy");
        let why = refused.what["message"].as_str().unwrap();
        assert!(why.contains("belongs to the program turns"), "{why}");
        ok(bench, me, r#""do":"resume","motors":["y"]"#);
        ok(bench, me, r#""do":"program-run","program":"again""#);
    });
}

/// A client's move of what it shares is no reason to stay held.
#[test]
fn a_program_that_shares_is_resumed_while_others_have_its_motors() {
    let (_, story) = serve(KINDS[0].config.clone(), None, |bench| {
        let me = bench.connect();
        ok(bench, me, r#""do":"program-run","program":"turns","share":true"#);
        bench.run_for(50);
        ok(bench, me, r#""do":"move","to":{"y":"8mm"},"speed":"20%""#);
        bench.run_for(50);
        ok(bench, me, r#""do":"hold""#);
        ok(bench, me, r#""do":"resume""#);
        bench.run_for(100);
        // It moves x, and is not in the way of y.
        ok(bench, me, r#""do":"move","to":{"y":"3mm"},"if-busy":"replace","wait":true"#);
        let now = ok(bench, me, r#""do":"status""#);
        assert_eq!(now.what["programs"][0], "turns");
        bench.run_for(8000);
        let end = ok(bench, me, r#""do":"status""#);
        assert!(end.what["programs"].is_null(), "{:?}", end.what);
    });
    assert_eq!(story.findings(&story.config), "");
}

/// It rests while its play is taken up, and so does what it is told to do instead.
#[test]
fn a_jog_that_is_sent_elsewhere_while_it_takes_up_its_play_waits_for_that() {
    for delay in (100..320).step_by(20) {
        let (_, story) = serve(KINDS[2].config.clone(), None, |bench| {
            let me = bench.connect();
            ok(bench, me, r#""do":"move","to":{"z":"5mm"},"wait":true"#);
            // Before it begins it is told to go the other way.
            ok(bench, me, r#""do":"jog","speed":{"z":"-8mm/s"},"for":"900ms""#);
            bench.run_for(20);
            let jog = ok(bench, me, r#""do":"jog","speed":{"z":"5mm/s"},"for":"900ms""#);
            bench.run_for(delay);
            let move_number = &jog.what["move"];
            let retarget = format!(r#""do":"retarget","move":{move_number},"to":{{"z":"11mm"}}"#);
            bench.ask(me, &retarget);
            bench.run_for(3000);
        });
        assert_eq!(story.findings(&story.config), "", "after {delay} ms");
    }
}

/// In a pause that shares, others have the motors; the program waits for what they do not give back in time.
#[test]
fn a_program_waits_for_motors_that_it_has_shared() {
    let (_, story) = serve(KINDS[0].config.clone(), None, |bench| {
        let me = bench.connect();
        ok(bench, me, r#""do":"program-run","program":"shares""#);
        let refused = bench.ask(me, r#""do":"move","to":{"x":"4mm"}"#);
        assert_eq!(refused.code(), "busy");
        // Its first move is over.
        let wait = ok(bench, me, r#""do":"wait","move":1"#);
        assert_eq!(wait.what["state"], "ended");
        // Slowly, for longer than the pause.
        ok(bench, me, r#""do":"move","to":{"x":"4mm"},"speed":"20%""#);
        bench.run_for(100);
        let status = ok(bench, me, r#""do":"status""#);
        assert_eq!(status.what["waiting_programs"][0]["program"], "shares", "{:?}", status.what);
        assert_eq!(status.what["waiting_programs"][0]["motors"][0], "x");
        // The pause is over: who comes now comes too late.
        assert_eq!(bench.ask(me, r#""do":"move","to":{"y":"1mm"}"#).code(), "busy");
        bench.run_for(6000);
        let status = ok(bench, me, r#""do":"status""#);
        assert!(status.what["programs"].is_null(), "{:?}", status.what);
    });
    assert_eq!(story.findings(&story.config), "");
    let owners: Vec<_> = story.moves().into_iter().map(|m| (m.owner, m.motors)).collect();
    assert_eq!(owners[1], ("client".to_owned(), vec!["x".to_owned()]));
    assert!(owners[2..].iter().all(|m| m.0 == "program.shares"), "{owners:?}");
}

/// Whatever it does not move just then others may have; a stop of what it will still use ends it all the same.
#[test]
fn a_program_that_shares_its_motors_is_stopped_by_any_of_them() {
    let (_, story) = serve(KINDS[0].config.clone(), None, |bench| {
        let me = bench.connect();
        ok(bench, me, r#""do":"program-run","program":"turns","share":true"#);
        bench.run_for(50);
        // It moves x.
        assert_eq!(bench.ask(me, r#""do":"move","to":{"x":"4mm"}"#).code(), "busy");
        ok(bench, me, r#""do":"move","to":{"y":"4mm"},"speed":"20%""#);
        ok(bench, me, r#""do":"stop","motors":["y"]"#);
        bench.run_for(3000);
        let status = ok(bench, me, r#""do":"status""#);
        assert!(status.what["programs"].is_null(), "{:?}", status.what);
    });
    assert_eq!(story.findings(&story.config), "");
    assert_eq!(story.moves().len(), 2);
}

/// A jog begins also under a hold, since somebody keeps asking for it; one that waits was asked for before.
#[test]
fn a_jog_that_waits_does_not_begin_after_a_hold() {
    let (_, story) = serve(KINDS[1].config.clone(), None, |bench| {
        let me = bench.connect();
        bench.run_for(10);
        // pan is on its way to where it begins.
        let jog = Jog::lasting(Duration::from_millis(300));
        let jog = jog.at("z", Speed(5.0)).at("pan", AngularSpeed(5.0));
        let machine = &mut bench.desk.machine;
        let order = machine.jog_order(&jog).unwrap();
        machine.ask(order, IfBusy::Queue, None).unwrap();
        ok(bench, me, r#""do":"hold","motors":["z"]"#);
        bench.run_for(2000);
        ok(bench, me, r#""do":"jog","speed":{"z":"5mm/s"},"for":"300ms""#);
        bench.run_for(1000);
    });
    let jogs = story.moves().into_iter().filter(|m| m.motors.contains(&"z".to_owned()));
    let jogs: Vec<_> = jogs.map(|m| m.motors).collect();
    assert_eq!(jogs, [["z"]], "the jog after the hold");
}

#[test]
fn a_clear_that_waits_behind_others_does_not_begin_anything_after_a_stop() {
    let (_, story) = serve(KINDS[1].config.clone(), Some("it was killed"), |bench| {
        let (me, other) = (bench.connect(), bench.connect());
        bench.send(me, r#""do":"wait-events","events":["ready"],"timeout":"100ms""#);
        let clear = bench.send(me, r#""do":"clear""#);
        bench.run_for(5);
        ok(bench, other, r#""do":"stop""#);
        assert_eq!(bench.answer(me, clear).code(), "stopped");
        bench.run_for(2000);
    });
    assert_eq!(begun(&story), Vec::<String>::new());
}
