//! Requests at random: mostly such as people and programs make, some that are wrong.

use std::time::Duration;

use super::machines::Kind;
use super::support::Dice;
use super::watch::{Deed, Due, Watched};
use crate::config::MotorUnit;
use crate::service::wire::ClientId;

/// How long anything waits at most that a client asks to wait.
const LONGEST_WAIT: u64 = 250;

/// A little after a time-out of so many milliseconds.
fn soon_after(limit: u64) -> Due {
    Due::Within(Duration::from_millis(limit + 2))
}

fn list(motors: &[String]) -> String {
    let quoted: Vec<_> = motors.iter().map(|m| format!("\"{m}\"")).collect();
    format!("[{}]", quoted.join(","))
}

impl Watched<'_, '_> {
    fn unit(&self, motor: &str) -> &'static str {
        match self.bench.desk.config.motor(motor).map(|m| m.unit) {
            Some(MotorUnit::Degree) => "deg",
            _ => "mm",
        }
    }

    /// Some motors, at least one; seldom one that there is not.
    fn some(&self, dice: &mut Dice) -> Vec<String> {
        if dice.chance(1) {
            return vec!["nobody".to_owned()];
        }
        let most = if dice.chance(60) { 40 } else { 80 };
        let mut some: Vec<String> =
            self.motors.iter().filter(|_| dice.chance(most)).cloned().collect();
        if some.is_empty() {
            some.push(dice.pick(&self.motors).clone());
        }
        some
    }

    fn target(&self, dice: &mut Dice, motor: &str) -> String {
        let Some(config) = self.bench.desk.config.motor(motor) else { return "1mm".to_owned() };
        if config.is_continuous() {
            return "5deg".to_owned();
        }
        let (min, max) = (config.travel.min, config.travel.max);
        let target = match dice.below(30) {
            0 => max + 1.0,
            1 => min,
            2 => max,
            3..=6 => self.bench.desk.machine.position(motor).unwrap_or(0.0),
            _ => dice.between(min, max),
        };
        // Whole tenths: steps of an axis, and of a servo what looks like one.
        let target = if dice.chance(50) { (target * 10.0).round() / 10.0 } else { target };
        let unit = if dice.chance(1) { "deg" } else { self.unit(motor) };
        format!("{target:.4}{unit}")
    }

    fn targets(&self, dice: &mut Dice, motors: &[String]) -> String {
        let to = motors.iter().map(|m| format!("\"{m}\":\"{}\"", self.target(dice, m)));
        format!("{{{}}}", to.collect::<Vec<_>>().join(","))
    }

    /// A number of a move: one under way, or any.
    fn number(&self, dice: &mut Dice) -> u64 {
        let register = self.bench.desk.machine.register();
        let open: Vec<u64> = register.open().iter().map(|m| m.id).collect();
        match open.is_empty() || dice.chance(15) {
            true => dice.below(register.count() + 2),
            false => *dice.pick(&open),
        }
    }

    fn token(&self, dice: &mut Dice) -> String {
        match self.token.as_ref().filter(|_| dice.chance(40)) {
            Some(token) => format!(r#","token":"{token}""#),
            None => String::new(),
        }
    }

    fn chosen(&self, dice: &mut Dice) -> (String, Option<Vec<String>>) {
        if dice.chance(35) {
            return (String::new(), None);
        }
        let motors = self.some(dice);
        (format!(r#","motors":{}"#, list(&motors)), Some(motors))
    }

    /// One request of one client.
    pub fn one(&mut self, dice: &mut Dice, kind: &Kind) {
        let client = *dice.pick(&self.clients);
        let held_back = self.bench.desk.fault.is_some();
        if held_back && dice.chance(25) {
            return self.ask(client, r#""do":"clear""#, Deed::Clear, Due::AtOnce);
        }
        match dice.below(100) {
            0..=21 => self.ask_to_move(dice, client),
            22..=29 => self.ask_to_jog(dice, client),
            30..=36 => {
                let (text, motors) = self.chosen(dice);
                self.urgent(
                    client,
                    &format!(r#""do":"hold"{text}"#),
                    Deed::Hold(motors),
                    Due::Within(self.rest),
                );
            }
            37..=45 => {
                let (text, motors) = self.chosen(dice);
                let text = format!(r#""do":"resume"{text}{}"#, self.token(dice));
                self.ask(client, &text, Deed::Resume(motors), Due::AtOnce);
            }
            46..=52 => {
                let (text, motors) = self.chosen(dice);
                self.urgent(
                    client,
                    &format!(r#""do":"stop"{text}"#),
                    Deed::Stop(motors),
                    Due::Within(self.rest),
                );
            }
            53 => self.urgent(client, r#""do":"halt""#, Deed::Halt, Due::Within(self.rest)),
            54 => self.ask(client, r#""do":"clear""#, Deed::Clear, Due::AtOnce),
            55..=58 => self.ask_for_speed(dice, client),
            59..=62 => {
                let number = self.number(dice);
                let open = self.bench.desk.open_move(number);
                let motors = open.map(|m| self.bench.desk.motors_of(&m));
                let motors = motors.filter(|m| !m.is_empty() && dice.chance(90));
                let motors = motors.unwrap_or_else(|| self.some(dice));
                let to = self.targets(dice, &motors);
                let text = format!(r#""do":"retarget","move":{number},"to":{to}"#);
                // It goes elsewhere with what moves anyhow.
                self.ask(client, &text, Deed::Nothing, Due::AtOnce);
            }
            63 | 64 => {
                let text = format!(r#""do":"cancel","move":{}"#, self.number(dice));
                self.urgent(client, &text, Deed::Nothing, Due::AtOnce);
            }
            65 | 66 => {
                let motors = self.some(dice);
                let text = format!(r#""do":"set-position","to":{}"#, self.targets(dice, &motors));
                self.ask(client, &text, Deed::Set(motors), Due::AtOnce);
            }
            67..=69 => {
                let motors = self.some(dice);
                let verb = *dice.pick(&["enable", "disable", "release"]);
                let text = format!(r#""do":"{verb}","motors":{}"#, list(&motors));
                self.ask(client, &text, Deed::Nothing, Due::AtOnce);
            }
            70..=77 => {
                let program = dice.pick(&kind.programs).clone();
                let wait = dice.chance(30);
                let token = self.token(dice);
                let due = if wait { Due::Someday } else { Due::FromThreads };
                let share = if dice.chance(25) { r#","share":true"# } else { "" };
                let text = format!(
                    r#""do":"program-run","program":"{program}","wait":{wait}{share}{token}"#
                );
                self.ask(client, &text, Deed::Run(program), due);
            }
            78..=80 => {
                let program = dice.pick(&kind.programs).clone();
                let which = if dice.chance(40) {
                    String::new()
                } else {
                    format!(r#","program":"{program}""#)
                };
                self.ask(
                    client,
                    &format!(r#""do":"program-stop"{which}"#),
                    Deed::Nothing,
                    Due::Within(self.rest),
                );
            }
            81 => self.ask(client, r#""do":"save""#, Deed::Nothing, Due::AtOnce),
            82 | 83 => {
                let wait = dice.chance(50);
                let mut text = format!(r#""do":"return","wait":{wait}"#);
                let limit = if dice.chance(50) { dice.below(LONGEST_WAIT) } else { 0 };
                text += &format!(r#","timeout":"{limit}ms""#);
                let due = if wait { Due::Someday } else { soon_after(limit) };
                self.ask(client, &text, Deed::MovesAny, due);
            }
            84..=87 => self.ask_for_a_lease(dice, client),
            88 | 89 => {
                let other = dice.below(kind.others.len() as u64) as usize;
                self.note(format!("the config file is another: {other}"));
                self.bench.file.write(kind.others[other].clone());
                self.ask(client, r#""do":"reload""#, Deed::Nothing, Due::Someday);
            }
            90 => self.ask(client, r#""do":"status""#, Deed::Nothing, Due::AtOnce),
            91 | 92 => {
                let (limit, due) = match dice.chance(50) {
                    true => {
                        let limit = dice.below(LONGEST_WAIT);
                        (format!(r#","timeout":"{limit}ms""#), soon_after(limit))
                    }
                    false => (String::new(), Due::Someday),
                };
                let text = format!(r#""do":"wait","move":{}{limit}"#, self.number(dice));
                self.ask(client, &text, Deed::Nothing, due);
            }
            93 => {
                let limit = dice.below(LONGEST_WAIT);
                let text = format!(
                    r#""do":"wait-events","events":["{}"],"timeout":"{limit}ms","consume":{}"#,
                    dice.pick(&["ready", "x.reached", "program.turns.done"]),
                    dice.chance(50)
                );
                self.ask(client, &text, Deed::Nothing, soon_after(limit));
            }
            94 | 95 => {
                self.ask(client, r#""do":"trigger","event":"go""#, Deed::Nothing, Due::AtOnce)
            }
            96 => {
                let limit = dice.below(LONGEST_WAIT);
                let text =
                    format!(r#""do":"rendezvous","name":"here","parties":2,"timeout":"{limit}ms""#);
                self.ask(client, &text, Deed::Nothing, soon_after(limit));
            }
            97 if self.motors.iter().any(|m| m == "pan") => {
                let text =
                    format!(r#""do":"pulse","to":{{"pan":"{}us"}}"#, 1000 + dice.below(1000));
                self.ask(client, &text, Deed::Moves(vec!["pan".to_owned()]), Due::Someday);
            }
            97 => self.ask(client, r#""do":"move","to":{}"#, Deed::Nothing, Due::AtOnce),
            98 => {
                self.leave(client);
                if self.clients.is_empty() || dice.chance(50) {
                    self.connect();
                }
            }
            _ if dice.chance(50) && !self.bench.are_threads_busy() => {
                let lasts = Duration::from_nanos(dice.size(5.0, 8.2) as u64);
                self.note(format!(
                    "programs are looked through and files read in {lasts:?} at the earliest"
                ));
                self.bench.threads_are_busy(lasts);
            }
            _ if dice.chance(20) => {
                let motor = dice.pick(&self.motors).clone();
                self.note(format!("the loop of {motor} is given up"));
                self.lose(&motor);
            }
            _ => {
                let motor = dice.pick(&self.motors).clone();
                let after = Duration::from_nanos(dice.size(5.0, 8.0) as u64);
                self.note(format!("a fault in {motor} in {after:?}"));
                let _ = self.bench.desk.machine.inject_fault(&motor, after);
            }
        }
    }

    fn ask(&mut self, client: ClientId, body: &str, deed: Deed, due: Due) {
        self.send(client, body, deed, due, false);
    }

    fn urgent(&mut self, client: ClientId, body: &str, deed: Deed, due: Due) {
        self.send(client, body, deed, due, true);
    }

    fn ask_to_move(&mut self, dice: &mut Dice, client: ClientId) {
        let mut motors = self.some(dice);
        // Those that turn continuously are refused, and with them all that is asked for in one go.
        let turns = |m: &String| self.bench.desk.config.motor(m).is_some_and(|m| m.is_continuous());
        if !motors.iter().all(turns) && dice.chance(90) {
            motors.retain(|m| !turns(m));
        }
        let mut text = format!(r#""do":"move","to":{}"#, self.targets(dice, &motors));
        let busy = *dice.pick(&["", "refuse", "queue", "queue", "replace"]);
        if !busy.is_empty() {
            text += &format!(r#","if-busy":"{busy}""#);
        }
        if dice.chance(15) {
            text += &format!(r#","after":"{}ms""#, dice.below(300));
        }
        if dice.chance(25) {
            text += r#","arrive":"asap""#;
        }
        if dice.chance(20) {
            text += &format!(r#","speed":"{}%""#, 1 + dice.below(100));
        }
        if dice.chance(10) {
            text += &format!(r#","timeout":"{}ms""#, dice.size(1.0, 3.5) as u64);
        }
        if dice.chance(20) {
            text += r#","on-fault":"continue""#;
        }
        let wait = dice.chance(30);
        text += &format!(r#","wait":{wait}{}"#, self.token(dice));
        self.ask(client, &text, Deed::Moves(motors), if wait { Due::Someday } else { Due::AtOnce });
    }

    fn ask_to_jog(&mut self, dice: &mut Dice, client: ClientId) {
        let jogs: Vec<u64> = self.bench.desk.jogs.keys().copied().collect();
        let again = match jogs.is_empty() || dice.chance(30) {
            true => None,
            false => self.bench.desk.open_move(*dice.pick(&jogs)),
        };
        let motors = match again {
            Some(jog) => self.bench.desk.motors_of(&jog),
            None => self.some(dice),
        };
        let speed = |dice: &mut Dice, motor: &String| {
            let most = self.bench.desk.config.motor(motor).map_or(10.0, |m| m.limits.speed);
            let speed = dice.between(-1.02, 1.02) * most;
            match self.bench.desk.config.motor(motor).is_some_and(|m| m.is_continuous()) {
                true => format!("\"{motor}\":\"{speed:.1}%\""),
                false => format!("\"{motor}\":\"{speed:.3}{}/s\"", self.unit(motor)),
            }
        };
        let speeds: Vec<_> = motors.iter().map(|m| speed(dice, m)).collect();
        let lasts = 10 + dice.below(200);
        let text = format!(
            r#""do":"jog","speed":{{{}}},"for":"{lasts}ms"{}"#,
            speeds.join(","),
            self.token(dice)
        );
        let lasts = Duration::from_millis(lasts);
        self.urgent(client, &text, Deed::Jog { motors, lasts }, Due::AtOnce);
    }

    fn ask_for_speed(&mut self, dice: &mut Dice, client: ClientId) {
        let percent = dice.size(1.0, 2.35);
        let mut text = format!(r#""do":"override","speed":"{percent:.1}%""#);
        if dice.chance(40) {
            text += &format!(r#","move":{}"#, self.number(dice));
        } else if dice.chance(30) {
            text += *dice.pick(&[r#","class":"jog""#, r#","class":"feed""#]);
        }
        self.ask(client, &text, Deed::Nothing, Due::AtOnce);
    }

    fn ask_for_a_lease(&mut self, dice: &mut Dice, client: ClientId) {
        let lease = 1 + dice.below(4);
        match dice.below(5) {
            0 => {
                let text = format!(r#""do":"lease-release","lease":{lease}"#);
                self.ask(client, &text, Deed::Nothing, Due::AtOnce);
            }
            1 => {
                let text = format!(r#""do":"lease-renew","lease":{lease}{}"#, self.token(dice));
                self.urgent(client, &text, Deed::Nothing, Due::AtOnce);
            }
            _ => {
                let mut text = format!(r#""do":"lease-take","motors":{}"#, list(&self.some(dice)));
                let limit = if dice.chance(30) { dice.below(LONGEST_WAIT) } else { 0 };
                text += &format!(r#","timeout":"{limit}ms""#);
                if dice.chance(50) {
                    text += &format!(r#","heartbeat":"{}ms""#, 20 + dice.below(200));
                }
                self.ask(client, &text, Deed::Nothing, soon_after(limit));
            }
        }
    }

    /// Everything comes to rest, and every request gets its answer.
    pub fn quiet(&mut self) {
        self.note("all is to come to rest");
        let client = self.connect();
        let stop = |w: &mut Self| {
            w.urgent(client, r#""do":"stop""#, Deed::Stop(None), Due::Within(w.rest));
            let until = w.now() + w.rest;
            w.run_until(until);
        };
        stop(self);
        let most = Duration::from_millis(LONGEST_WAIT) * 64 + self.rest;
        let patience = self.now() + most;
        while !self.unanswered().is_empty() {
            assert!(self.now() < patience, "these have no answer: {:#?}", self.unanswered());
            self.turn(patience);
        }
        // What waited behind others may have begun something.
        stop(self);
        let register = self.bench.desk.machine.register();
        assert_eq!(register.open().len(), 0, "{:?}", register.open());
        assert!(self.bench.desk.programs.is_empty());
        let velocity =
            self.bench.desk.machine.snapshot().motors.iter().map(|m| m.velocity.abs()).sum::<f64>();
        assert!(velocity == 0.0);
    }
}
