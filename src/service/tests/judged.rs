//! The judge is not blind: for each thing that it looks after, something that breaks it, on purpose, and is found.

use std::time::Duration;

use super::bench::{Lie, config};
use super::judge::Promises;
use super::machines::{KINDS, Kind};
use super::story::Story;
use super::trial::Trial;
use super::watch::{Deed, Due, Watched};
use crate::machine::{Jog, Move};
use crate::moves::Owner;
use crate::service::wire::ClientId;
use crate::units::{Length, Speed};

/// Two axes, and programs.
fn two() -> &'static Kind {
    &KINDS[0]
}

/// What is found where `act` is done, and then made wrong.
#[track_caller]
fn found(
    kind: &Kind,
    act: impl FnOnce(&mut Watched<'_, '_>, ClientId),
    spoil: impl FnOnce(&mut Promises, &mut Story),
) -> Option<String> {
    let trial = Trial { config: &kind.config, rest: kind.rest, unclean: None, asks: false };
    let done = trial.judge_spoilt(
        |watched| {
            let client = watched.connect();
            act(watched, client);
        },
        spoil,
    );
    done.err().map(|wrong| wrong.what)
}

/// The judge finds this where `break_it` is true, and nothing where it is not.
#[track_caller]
fn is_found(text: &str, kind: &Kind, act: impl Fn(&mut Watched<'_, '_>, ClientId, bool)) {
    assert_eq!(found(kind, |w, client| act(w, client, false), |_, _| {}), None);
    let what = found(kind, |w, client| act(w, client, true), |_, _| {});
    let what = what.unwrap_or_else(|| panic!("`{text}` is not found"));
    assert!(what.contains(text), "`{text}` is not what is found: {what}");
}

/// The same of what is made wrong afterwards.
#[track_caller]
fn is_found_in(
    text: &str,
    act: impl Fn(&mut Watched<'_, '_>, ClientId),
    spoil: impl FnOnce(&mut Promises, &mut Story),
) {
    assert_eq!(found(two(), &act, |_, _| {}), None);
    let what = found(two(), &act, spoil);
    let what = what.unwrap_or_else(|| panic!("`{text}` is not found"));
    assert!(what.contains(text), "`{text}` is not what is found: {what}");
}

impl Watched<'_, '_> {
    fn run_for(&mut self, ms: u64) {
        self.run_until(self.now() + Duration::from_millis(ms));
    }

    fn moves(&mut self, client: ClientId, to: &str, motors: &[&str]) {
        let motors = motors.iter().map(|&m| m.to_owned()).collect();
        let text = format!(r#""do":"move","to":{{{to}}},"if-busy":"queue""#);
        self.send(client, &text, Deed::Moves(motors), Due::AtOnce, false);
    }

    fn stops(&mut self, client: ClientId) {
        let due = Due::Within(self.rest);
        self.send(client, r#""do":"stop""#, Deed::Stop(None), due, true);
    }

    fn holds(&mut self, client: ClientId) {
        let due = Due::Within(self.rest);
        self.send(client, r#""do":"hold""#, Deed::Hold(None), due, true);
    }

    /// A move that nobody has asked for.
    fn moves_by_itself(&mut self, owner: Owner, to: f64) {
        let before = self.view();
        let machine = &mut self.bench.desk.machine;
        let acted = machine.acts_for(owner);
        machine.start(&Move::new().to("x", Length(to))).unwrap();
        machine.acts_for(acted);
        self.compare(&before, &self.view());
    }
}

#[test]
fn what_moves_after_a_stop_is_found() {
    is_found("by request", two(), |w, client, wrong| {
        w.moves(client, r#""x":"9mm""#, &["x"]);
        w.run_for(100);
        w.stops(client);
        w.run_for(500);
        if wrong {
            w.moves_by_itself(Owner::Client, 2.0);
        }
        w.run_for(300);
    });
}

#[test]
fn what_moves_after_a_hold_is_found() {
    is_found("by request", two(), |w, client, wrong| {
        w.moves(client, r#""x":"9mm""#, &["x"]);
        w.run_for(100);
        w.holds(client);
        w.run_for(500);
        if wrong {
            w.bench.desk.machine.resume();
        }
        w.run_for(300);
    });
}

#[test]
fn an_answer_before_the_rest_is_found() {
    is_found("by request", two(), |w, client, wrong| {
        w.moves(client, r#""x":"9mm""#, &["x"]);
        w.run_for(150);
        if wrong {
            w.bench.lie(Lie::AtOnce);
        }
        w.stops(client);
        w.run_for(500);
    });
}

#[test]
fn an_answer_that_does_not_come_is_found() {
    is_found("has no answer after", two(), |w, client, wrong| {
        w.run_for(10);
        if wrong {
            w.bench.lie(Lie::Never);
        }
        w.stops(client);
        w.run_for(2000);
    });
    is_found("has no answer after", two(), |w, client, wrong| {
        if wrong {
            w.bench.lie(Lie::Never);
        }
        w.moves(client, r#""x":"9mm""#, &["x"]);
        w.run_for(1);
    });
}

#[test]
fn an_answer_that_comes_twice_is_found() {
    is_found("nobody asked", two(), |w, client, wrong| {
        if wrong {
            w.bench.lie(Lie::Twice);
        }
        w.stops(client);
        w.run_for(500);
    });
}

#[test]
fn a_place_that_is_not_the_one_at_rest_is_found() {
    let act = |w: &mut Watched<'_, '_>, client| {
        w.moves(client, r#""x":"9mm""#, &["x"]);
        w.run_for(150);
        w.stops(client);
        w.run_for(500);
    };
    is_found_in("as told by", act, |promises, _| promises.told[0].steps += 1);
}

#[test]
fn counts_that_are_not_the_edges_are_found() {
    let act = |w: &mut Watched<'_, '_>, client| {
        w.moves(client, r#""x":"9mm""#, &["x"]);
        w.run_for(2000);
    };
    is_found_in("edges of x", act, |_, story| {
        let x = story.counted.iter_mut().find(|c| c.0 == "x").unwrap();
        x.1 = x.1.map(|steps| steps - 1);
    });
}

#[test]
fn what_verify_finds_is_found() {
    let act = |w: &mut Watched<'_, '_>, client| {
        w.moves(client, r#""x":"9mm""#, &["x"]);
        w.run_for(2000);
    };
    let trial = Trial { config: &two().config, rest: two().rest, unclean: None, asks: false };
    let story = trial.judge(|w| {
        let client = w.connect();
        act(w, client);
    });
    let slower =
        super::machines::text(0).replace("max-speed = \"20mm/s\"", "max-speed = \"9mm/s\"");
    assert_ne!(story.unwrap().findings(&config(&slower)), "");
}

#[test]
fn an_old_move_that_begins_after_a_stop_is_found() {
    let act = |w: &mut Watched<'_, '_>, client| {
        w.stops(client);
        w.run_for(100);
        w.moves(client, r#""x":"9mm""#, &["x"]);
        w.run_for(2000);
    };
    is_found_in("begins after the stop", act, |promises, _| {
        promises.still.clear();
        promises.stopped[0].first_new += 1;
    });
}

#[test]
fn an_old_program_that_goes_on_after_a_stop_is_found() {
    let act = |w: &mut Watched<'_, '_>, client| {
        w.stops(client);
        w.run_for(100);
        let run = Deed::Run("turns".to_owned());
        w.send(client, r#""do":"program-run","program":"turns""#, run, Due::FromThreads, false);
        w.run_for(2000);
    };
    is_found_in("begins after the stop", act, |promises, _| {
        promises.still.clear();
        promises.runs[0].2 = 0;
        promises.stopped[0].place = 1;
    });
}

#[test]
fn a_held_program_that_goes_on_is_found() {
    is_found("is held", two(), |w, client, wrong| {
        let run = Deed::Run("turns".to_owned());
        w.send(client, r#""do":"program-run","program":"turns""#, run, Due::FromThreads, false);
        w.run_for(100);
        let due = Due::Within(w.rest);
        let hold = Deed::Hold(Some(vec!["y".to_owned()]));
        w.send(client, r#""do":"hold","motors":["y"]"#, hold, due, true);
        w.run_for(400);
        if wrong {
            w.bench.desk.machine.resume();
            // What it moves is let move: only the program is held.
            w.still.clear();
        }
        w.run_for(1500);
    });
}

#[test]
fn a_jog_that_outlives_its_asking_is_found() {
    is_found("jog 1 of x", two(), |w, client, wrong| {
        let jog = Deed::Jog { motors: vec!["x".to_owned()], lasts: Duration::from_millis(100) };
        let text = r#""do":"jog","speed":{"x":"2mm/s"},"for":"100ms""#;
        w.send(client, text, jog, Due::AtOnce, true);
        w.run_for(50);
        if wrong {
            w.bench.desk.machine.renew_jog(1, Duration::from_secs(3)).unwrap();
        }
        w.run_for(2500);
    });
}

#[test]
fn a_jog_whose_client_has_gone_is_found() {
    is_found("jog 1 of x", two(), |w, client, wrong| {
        let lasts = Duration::from_secs(3);
        let jog = Deed::Jog { motors: vec!["x".to_owned()], lasts };
        let text = r#""do":"jog","speed":{"x":"2mm/s"},"for":"3s""#;
        w.send(client, text, jog, Due::AtOnce, true);
        w.run_for(50);
        if wrong {
            // The service has forgotten whose it is.
            let other = w.bench.connect();
            w.bench.hear();
            let jogs = std::mem::take(&mut w.bench.desk.jogs);
            w.leave(client);
            w.bench.desk.jogs = jogs.into_keys().map(|number| (number, other)).collect();
            let by = w.now() + w.rest;
            w.jogs.values_mut().for_each(|jog| jog.by = by);
        } else {
            w.leave(client);
        }
        w.run_for(2500);
    });
}

#[test]
fn a_move_that_overtakes_another_is_found() {
    is_found("is overtaken by", two(), |w, client, wrong| {
        w.moves(client, r#""y":"9mm""#, &["y"]);
        w.moves(client, r#""x":"9mm","y":"0mm""#, &["x", "y"]);
        w.run_for(50);
        if wrong {
            w.moves_by_itself(Owner::Client, 2.0);
        }
        w.run_for(3000);
    });
}

#[test]
fn somebody_elses_move_of_a_programs_motor_is_found() {
    is_found("which turns keeps", two(), |w, client, wrong| {
        let run = Deed::Run("turns".to_owned());
        w.send(client, r#""do":"program-run","program":"turns""#, run, Due::FromThreads, false);
        // y has its turn, and x will have another.
        w.run_for(500);
        if wrong {
            w.moves_by_itself(Owner::Park, 2.0);
        }
        w.run_for(2000);
    });
}

#[test]
fn what_moves_on_after_its_lease_is_lost_is_found() {
    is_found("x after its stop", two(), |w, client, wrong| {
        let holder = w.connect();
        let take = r#""do":"lease-take","motors":["x"],"heartbeat":"100ms""#;
        w.send(holder, take, Deed::Nothing, Due::AtOnce, false);
        w.run_for(10);
        w.moves(holder, r#""x":"9mm""#, &["x"]);
        w.run_for(150);
        if wrong {
            // As if what comes now had been asked for before that.
            w.stopped[0].first_new += 1;
        }
        w.run_for(600);
        w.moves(client, r#""x":"1mm""#, &["x"]);
        w.run_for(2000);
    });
}

#[test]
fn a_register_that_contradicts_itself_is_found() {
    is_found("is busy with move", two(), |w, _, wrong| {
        w.run_for(10);
        if wrong {
            w.bench.desk.machine.tell_book(|book| book.motors[0].busy = Some(7));
        }
        w.run_for(10);
    });
}

#[test]
fn jogs_that_nobody_meddles_with_are_fine() {
    is_found("by request", two(), |w, client, wrong| {
        w.stops(client);
        w.run_for(100);
        if wrong {
            let jog = Jog::lasting(Duration::from_millis(100)).at("x", Speed(5.0));
            w.bench.desk.machine.jog(&jog).unwrap();
        }
        w.run_for(500);
    });
}
