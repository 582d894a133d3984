//! `lockstep safe`, after a run that was killed in the middle of a move, and in every other state.

use crate::common::{Config, Entry, Run, assert_whole_signal, program, run, shell};

const SAFE: &str = include_str!("safe.toml");
const PERIOD: u64 = 20_000_000;
const STEPS: [u8; 2] = [17, 25];
const DIRS: [u8; 2] = [27, 16];
const ENABLE: u8 = 22;
const LOAD: u8 = 26;

/// Each board with its options and the channel of GPIO18.
const BOARDS: [(&str, &str); 4] = [
    ("--board pi-3 --pwm 18", "pwmchip0/pwm0"),
    ("--board pi-4 --pwm 18", "pwmchip0/pwm0"),
    ("--board pi-5 --pwm 18 --pwmchip 0 --fan-chip 2", "pwmchip0/pwm2"),
    ("--board pi-5 --pwm 18 --pwmchip 2 --fan-chip 0", "pwmchip2/pwm2"),
];

/// Runs the config for `ms`, kills it, then does `script`, in which `$F` is the config.
fn killed(options: &str, ms: u32, script: &str) -> Run {
    let config = Config::new(SAFE);
    let seconds = f64::from(ms) / 1e3;
    let script = format!(
        "F={}\ntimeout -s KILL {seconds} $LOCKSTEP run --config $F >/dev/null 2>&1\n[ $? = 137 ] || exit 9\n{script}",
        config.path
    );
    shell(options, &script)
}

/// The level that an output was given last.
fn level(run: &Run, pin: u8) -> Option<bool> {
    run.log.iter().rev().find_map(|(_, e)| match *e {
        Entry::Gpio { pin: p, high } if p == pin => Some(high),
        Entry::Mode { pin: p, drives: Some(high), .. } if p == pin => Some(high),
        _ => None,
    })
}

/// All is off, and the load is held.
fn assert_safe(run: &Run, channel: &str) {
    for pin in STEPS {
        assert_ne!(level(run, pin), Some(true), "GPIO{pin} is high");
    }
    assert_ne!(level(run, ENABLE), Some(false), "GPIO{ENABLE} is active");
    assert_ne!(level(run, LOAD), Some(true), "the load falls");
    let last =
        |file: &str| run.pwm_writes(&format!("{channel}/{file}")).last().map(|w| w.2.to_owned());
    assert_eq!(last("enable").as_deref(), Some("0"), "{:#?}", run.pwm_writes(""));
    assert_eq!(last("duty_cycle").as_deref(), Some("0"), "{:#?}", run.pwm_writes(""));
}

#[test]
fn after_a_kill_in_mid_move_on_every_board() {
    let twice =
        "mark once\nlockstep safe --json || exit 8\nmark twice\nlockstep safe --config none";
    for (k, (options, channel)) in BOARDS.iter().enumerate() {
        let options = format!("{options} --level {LOAD}=low");
        let run = killed(&options, 700 + 30 * k as u32, twice).expect_success();
        // The hazard: the signal was on, and went on.
        assert_whole_signal(&run, channel, PERIOD);
        assert_safe(&run, channel);
        let (once, again) = (run.after("once"), run.after("twice"));
        let off = once.pwm_writes(&format!("{channel}/enable"));
        assert_eq!(off.iter().map(|w| w.2).collect::<Vec<_>>(), ["0"]);
        // Nothing but what has to be: no load let go, no DIR turned, no pin made an input.
        for part in [&once, &again] {
            assert!(
                DIRS.iter().chain([&LOAD]).all(|&p| part.edges(p).is_empty()),
                "{:#?}",
                part.log
            );
            assert!(
                !part.log.iter().any(|(_, e)| matches!(e, Entry::Mode { .. })),
                "{:#?}",
                part.log
            );
        }
        assert!(again.log.iter().all(|(_, e)| matches!(e, Entry::Exit(0))), "{:#?}", again.log);
        let (json, lines) = run.stdout.split_once('\n').unwrap();
        let json: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!((&json["result"], &json["accepted"]), (&"safe".into(), &true.into()));
        let outputs = json["outputs"].as_array().unwrap();
        assert_eq!(outputs.len(), 7);
        assert!(outputs.iter().all(|o| o["safe"] == true), "{json}");
        for part in [
            "config: /run/lockstep/accepted.toml, accepted from /",
            "GPIO18  pan pulse             no signal",
            "GPIO22  x enable              high",
            "GPIO27  x dir                 left as it is",
            "GPIO26  z enable              left as it is: it holds a load",
        ] {
            assert!(lines.contains(part), "{part}: {lines}");
        }
        assert!(lines.ends_with("\nsafe\n"), "{lines}");
    }
}

#[test]
fn the_config_that_counts_is_the_one_that_ran() {
    let kill = |change: &str| {
        let run = killed("--pwm 18", 600, &format!("{change}\nlockstep safe --config $F"));
        let run = run.expect_success();
        assert_whole_signal(&run, "pwmchip0/pwm0", PERIOD);
        assert_safe(&run, "pwmchip0/pwm0");
        run
    };
    // Edited since: other pins, which are none of its business.
    let run = kill("sed -i 's/gpio = 18/gpio = 19/; s/gpio = 22/gpio = 21/' $F");
    assert!(run.modes(21).is_empty());
    assert!(run.stderr.is_empty(), "{}", run.stderr);
    kill("echo '[servo' >$F");
    kill("rm $F");
    // The copy is gone, or broken: then the file counts.
    kill("rm -r /run/lockstep");
    let run = kill("echo '[servo' >/run/lockstep/accepted.toml");
    assert!(
        run.stderr.contains("warning: the config that was kept can't be read"),
        "{}",
        run.stderr
    );
    // Both: there is nothing to go by.
    let run = killed("--pwm 18", 600, "rm -r /run/lockstep $F; lockstep safe --config $F");
    assert_eq!(run.status, 2, "{}", run.stderr);
    assert_eq!(run.errors().len(), 1, "{}", run.stderr);
}

#[test]
fn whatever_state_it_finds() {
    let config = Config::new(SAFE);
    for (options, channel) in BOARDS {
        let number = channel.rsplit("pwm").next().unwrap();
        for state in ["", "--exported", "--idle", "--orphan", "--running"] {
            let state = if state.is_empty() { String::new() } else { format!("{state} {number}") };
            let options =
                format!("{options} {state} --level 17=high --level 22=low --level 26=low");
            let run = run(&options, "lockstep", &format!("safe --config {}", config.path));
            let run = run.expect_success();
            let writes: Vec<_> = run
                .pwm_writes(channel)
                .iter()
                .map(|w| (w.1.rsplit('/').next().unwrap().to_owned(), w.2.to_owned(), w.0, w.3))
                .collect();
            let order: Vec<_> = writes.iter().map(|w| (w.0.as_str(), w.1.as_str())).collect();
            if state.contains("orphan") || state.contains("running") {
                assert_eq!(order, [("duty_cycle", "0"), ("enable", "0")], "{options}");
                assert!(writes.iter().all(|w| w.3 == Some(false)), "{options}: a pulse is cut");
                assert!(writes[1].2 - writes[0].2 >= 25_000_000, "{options}");
            } else if state.contains("idle") {
                assert_eq!(order, [("duty_cycle", "0")], "{options}");
            } else {
                assert!(order.is_empty(), "{options}: {order:?}");
            }
            // It leaves the channel as it was found: given back, or exported.
            let chip = channel.split('/').next().unwrap();
            let exports = run.pwm_writes(&format!("{chip}/export")).len();
            assert_eq!(
                exports,
                usize::from(state.is_empty() || state.contains("orphan")),
                "{options}"
            );
            assert_eq!(run.pwm_writes(&format!("{chip}/unexport")).len(), exports, "{options}");
            // Pins that nobody had made outputs are, at their safe level and never at another.
            assert_eq!(run.modes(17), [("output", Some(false))]);
            assert_eq!(run.modes(ENABLE), [("output", Some(true))]);
            assert!(run.modes(LOAD).is_empty() && run.modes(27).is_empty());
        }
    }
}

#[test]
fn one_output_that_cannot_be_reached_keeps_no_other_from_it() {
    let config = Config::new(SAFE);
    let safe = |options: &str| run(options, "lockstep", &format!("safe --config {}", config.path));
    // No GPIO memory: the signal ends nevertheless.
    let run = safe("--pwm 18 --running 0 --missing gpiomem");
    assert_eq!(run.status, 3, "{}", run.stdout);
    assert_eq!(run.errors().len(), 3, "{}", run.stderr);
    assert!(
        run.errors()[0].contains("error: GPIO17 (x step) is not safe: /dev/gpiomem is missing")
    );
    assert_eq!(run.pwm_writes("pwmchip0/pwm0/enable").len(), 1);
    assert!(run.stdout.ends_with("\nnot safe: 3 of 7 outputs\n"), "{}", run.stdout);
    // No chip, a channel of the kernel's, one that may not be exported: the pins are safe.
    for (options, parts) in [
        ("", &["GPIO18 (pan pulse)", "no PWM chip", "dtoverlay=pwm"][..]),
        ("--pwm 18 --kernel-has 0", &["GPIO18 (pan pulse)", "the kernel"]),
        ("--pwm 18 --kernel-has 0 --board pi-5 --fan-chip 2 --kernel-has 2", &["the kernel"]),
        ("--pwm 18 --user member --unwritable export", &["pwmchip0/export", "group `gpio`"]),
        ("--pwm 18 --user member --unwritable channels", &["pwm0/duty_cycle", "group `gpio`"]),
    ] {
        let run = safe(options);
        assert_eq!(run.status, 3, "{options}: {}", run.stdout);
        assert_eq!(run.errors().len(), 1, "{}", run.stderr);
        for part in parts {
            assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
        }
        assert_eq!(run.modes(ENABLE), [("output", Some(true))], "{options}");
        assert!(run.stdout.ends_with("\nnot safe: 1 of 7 outputs\n"), "{}", run.stdout);
    }
    // A width that is refused: off all the same, in a gap, and it says so.
    let run = safe("--pwm 18 --running 0 --refuse 0@1+").expect_success();
    assert!(run.stdout.contains("its last pulse may have been cut"), "{}", run.stdout);
    let off = run.pwm_writes("pwmchip0/pwm0/enable");
    assert_eq!((off.len(), off[0].2, off[0].3), (1, "0", Some(false)));
    // Not a Raspberry Pi, and a user who may do nothing.
    let run = safe("--board other");
    assert_eq!((run.status, run.errors().len()), (3, 1), "{}", run.stderr);
    let run = safe("--pwm 18 --running 0 --user stranger");
    assert_eq!((run.status, run.errors().len()), (3, 4), "{}", run.stderr);
    // An ordinary user of the group needs no more.
    let run = safe("--pwm 18 --running 0 --user member").expect_success();
    assert_eq!(run.pwm_writes("pwmchip0/pwm0/enable").len(), 1);
}

#[test]
fn one_that_is_alive_is_left_alone() {
    let config = Config::new(SAFE);
    let run = shell(
        "--pwm 18",
        &format!(
            "lockstep run --config {0} --for 5s >/dev/null &\nsleep 0.8\nmark other\n\
             lockstep run --config {0} && exit 9\nmark safe\nlockstep safe --config {0}\n\
             echo status $?\nmark end\nwait",
            config.path
        ),
    )
    .expect_success();
    // The run went on to its own end.
    assert_whole_signal(&run, "pwmchip0/pwm0", PERIOD);
    assert!(run.stdout.contains("status 3"), "{}", run.stdout);
    let taken = run.errors();
    assert_eq!(taken.len(), 2, "{}", run.stderr);
    for error in taken {
        assert!(error.contains("another lockstep (process "), "{error}");
    }
    // One that is alive can be overruled.
    let run = shell(
        "--pwm 18",
        &format!(
            "timeout -s KILL 3 $LOCKSTEP run --config {0} >/dev/null 2>&1 &\nsleep 0.8\n\
             lockstep safe --force || exit 9\nwait",
            config.path
        ),
    );
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert!(run.pwm_writes("pwmchip0/pwm0/enable").iter().any(|w| w.2 == "0"));
}

#[test]
fn then_it_runs_again() {
    let config = Config::new(SAFE);
    let run = killed(
        "--pwm 18",
        600,
        "lockstep run --config $F --for 300ms && exit 8\nlockstep safe || exit 7\n\
         mark again\nlockstep run --config $F --for 600ms >/dev/null",
    );
    drop(config);
    let run = run.expect_success();
    assert!(run.stderr.contains("then run `lockstep safe`"), "{}", run.stderr);
    let again = run.after("again");
    let on = again.pwm_writes("pwmchip0/pwm0/enable");
    assert!(on.iter().any(|w| w.2 == "1"), "{on:?}");
    assert_eq!(on.last().unwrap().2, "0");
}

#[test]
fn the_folder_of_a_service_serves_whoever_may_write_there() {
    // The folder is the user's, as systemd leaves it; the lock in it is as systemd-tmpfiles makes it.
    let config = Config::new(SAFE);
    let run = shell(
        "--pwm 18",
        &format!(
            "mkdir /run/lockstep && chown 9998 /run/lockstep && cd /run/lockstep && : >lock && chmod 660 lock && \
             chown 9998:9997 lock && cp $LOCKSTEP /run/program || exit 9\n\
             timeout -s KILL 2.5 setpriv --reuid 9998 --regid 9998 --groups 9997 -- \
             /run/program run --config {0} >/dev/null 2>&1\n[ $? = 137 ] || exit 8\n\
             mark safe\nlockstep safe --config none",
            config.path
        ),
    )
    .expect_success();
    assert!(run.stdout.contains("config: /run/lockstep/accepted.toml"), "{}", run.stdout);
    assert_eq!(run.after("safe").pwm_writes("pwmchip0/pwm0/enable").len(), 1);
    assert_whole_signal(&run, "pwmchip0/pwm0", PERIOD);
}

/// A program that uses the library claims the header, and leaves what `lockstep safe` needs.
#[test]
fn after_a_kill_of_a_program_that_uses_the_library() {
    let config = Config::new(SAFE);
    let run = shell(
        "--pwm 18",
        &format!(
            "timeout -s KILL 6 {1} machine {0} x >/dev/null &\nsleep 1\n\
             lockstep run --config {0} && exit 9\n{1} machine {0} x && exit 8\nwait\n\
             mark safe\nlockstep safe --config none",
            config.path,
            program("probe").display()
        ),
    )
    .expect_success();
    let taken = run.stderr.lines().filter(|line| line.contains("another lockstep (process "));
    assert_eq!(taken.count(), 2, "{}", run.stderr);
    assert!(run.stdout.contains("config: /run/lockstep/accepted.toml"), "{}", run.stdout);
    assert!(run.stdout.contains("probe"), "it says whose it was: {}", run.stdout);
    // It moved, and nothing but what has to be is touched afterwards.
    assert!(run.edges(STEPS[0]).len() > 100);
    for pin in STEPS {
        assert_ne!(level(&run, pin), Some(true), "GPIO{pin} is high");
    }
    assert_ne!(level(&run, ENABLE), Some(false), "GPIO{ENABLE} is active");
}

/// The same of one that has taken another config: that one's outputs count.
#[test]
fn after_a_kill_of_a_program_that_has_taken_another_config() {
    let config = Config::new(SAFE);
    let next = Config::new(&SAFE.replacen("gpio = 22", "gpio = 21", 1));
    let run = shell(
        "--pwm 18",
        &format!(
            "timeout -s KILL 2 {2} machine {0} x {1} >/dev/null\nmark safe\n\
             lockstep safe --config none",
            config.path,
            next.path,
            program("probe").display()
        ),
    )
    .expect_success();
    assert!(run.edges(STEPS[0]).len() > 100, "it moved: {}", run.stderr);
    // The hazard: its driver was on.
    let before = run.log.iter().take_while(|(_, e)| *e != Entry::Mark("safe".into()));
    let on = |(_, e): &(u64, Entry)| matches!(e, Entry::Gpio { pin: 21, high: false });
    assert!(before.clone().any(on), "GPIO21 was never active");
    for step in STEPS {
        assert_ne!(level(&run, step), Some(true), "GPIO{step} is high");
    }
    for enable in [21, ENABLE] {
        assert_ne!(level(&run, enable), Some(false), "GPIO{enable} is active");
    }
}
