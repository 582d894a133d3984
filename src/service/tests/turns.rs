//! A turn of the service has bounded work, however many programs run.

use super::bench::{config, serve};

/// Fifty servos, each with a program that has as many moves to make at once as it likes: to where it stands.
fn fifty(moves: usize) -> String {
    let one = |n: usize| {
        let here = vec![format!("{{ move = {{ s{n} = \"0deg\" }} }}"); moves].join(", ");
        format!(
            "[servo.s{n}]\npwm = {{ device = \"1-004{}\", channel = {} }}\nstartup = {{ angle = \"0deg\" }}\n\
             [program.p{n}]\nsteps = [ {here}, {{ trigger = \"half{n}\" }}, {here} ]\n",
            n / 16,
            n % 16
        )
    };
    (0..50).map(one).collect()
}

#[test]
fn fifty_programs_share_a_turn() {
    serve(config(&fifty(200)), None, |bench| {
        let client = bench.connect();
        bench.run_for(3000);
        bench.ask(client, "\"do\":\"subscribe\",\"topics\":[\"events\",\"machine\"]");
        for n in 0..50 {
            bench.send(client, &format!("\"do\":\"program-run\",\"program\":\"p{n}\""));
        }
        let first = bench.desk.machine.register().count();
        bench.most_moves = 0;
        let until = bench.now() + std::time::Duration::from_secs(10);
        let mut all = 0;
        while bench.now() < until && (all < 20_000 || !bench.desk.programs.is_empty()) {
            bench.turn(until);
            all = bench.desk.machine.register().count() - first;
        }
        assert_eq!(
            (all, bench.most_moves),
            (20_000, 32),
            "moves in all, and in a turn at the most"
        );
        // They go on side by side: each is half through before the first is over.
        let said = bench.said_since(0);
        let half = |s: &&super::bench::Said| {
            s.what["event"] == "triggered" && s.what["name"].as_str().unwrap().starts_with("half")
        };
        let over =
            said.iter().position(|s| s.what["event"] == "program" && s.what["result"] == "done");
        let halves = said[..over.expect("they are over")].iter().filter(half).count();
        assert_eq!(halves, 50);
    });
}

/// On from a hold, keyframes are planned as far as the next one, however many there are.
#[test]
fn a_resume_of_keyframes_plans_one_piece() {
    let frame = |n: usize| {
        let (ms, at) = (200 * (n + 1), n % 3);
        format!("{{ at = \"{ms}ms\", pan = \"{at}deg\", tilt = \"{at}deg\" }}")
    };
    let frames: Vec<String> = (0..2000).map(frame).collect();
    let text = format!(
        "[servo.pan]\npwm = {{ gpio = 18 }}\n[servo.tilt]\npwm = {{ gpio = 13 }}\n\
         [program.p]\nsteps = [ {{ move = {{ pan = \"0deg\", tilt = \"0deg\" }} }}, {{ keyframes = [ {} ] }} ]\n",
        frames.join(", ")
    );
    serve(config(&text), None, |bench| {
        let client = bench.connect();
        bench.ask(client, "\"do\":\"program-run\",\"program\":\"p\"");
        bench.run_for(30_000);
        assert!(bench.ask(client, "\"do\":\"hold\"").is_ok());
        bench.run_for(1000);
        let before = bench.desk.machine.register().plans();
        assert!(bench.ask(client, "\"do\":\"resume\"").is_ok());
        bench.run_for(1000);
        let plans = bench.desk.machine.register().plans() - before;
        assert!((1..10).contains(&plans), "{plans} plans for a resume");
        // It goes on to its end, four hundred seconds after it began and a little.
        bench.run_for(300_000);
        assert!(!bench.desk.programs.is_empty());
        bench.run_for(80_000);
        assert!(bench.desk.programs.is_empty());
    });
}
