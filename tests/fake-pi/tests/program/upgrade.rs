//! An upgrade in mid-move: what an earlier release has left running is made safe by this one.

use crate::common::{Config, Entry, Run, assert_whole_signal, shell};

/// What the earlier release had accepted, and drove: keys of its own, which this one refuses.
const ACCEPTED: &str = include_str!("../../../releases/0.1/accepted.toml");
/// The same outputs, for this release, which takes its place here while motors move.
const RUNS: &str = include_str!("safe.toml");

const PERIOD: u64 = 20_000_000;

/// The last level of a pin that was made an output.
fn level(run: &Run, pin: u8) -> Option<bool> {
    run.log.iter().rev().find_map(|(_, e)| match *e {
        Entry::Gpio { pin: p, high } if p == pin => Some(high),
        Entry::Mode { pin: p, drives: Some(high), .. } if p == pin => Some(high),
        _ => None,
    })
}

/// Kills a run in mid-move, leaves what the earlier release would have, and makes that safe.
fn upgraded(options: &str, ms: u32, leave: &str) -> Run {
    let (config, accepted) = (Config::new(RUNS), Config::new(ACCEPTED));
    let seconds = f64::from(ms) / 1e3;
    let script = format!(
        "timeout -s KILL {seconds} $LOCKSTEP run --config {} >/dev/null 2>&1\n[ $? = 137 ] || exit 9\n\
         rm -f /run/lockstep/*.json\nOLD={}\n{leave}\nmark safe\nlockstep safe --config none",
        config.path, accepted.path
    );
    shell(options, &script)
}

fn assert_safe(run: &Run, channel: &str) {
    for step in [17, 25] {
        assert_ne!(level(run, step), Some(true), "GPIO{step} is high");
    }
    assert_ne!(level(run, 22), Some(false), "GPIO22 is active");
    assert_ne!(level(run, 26), Some(true), "the load falls");
    assert_whole_signal(run, channel, PERIOD);
    let safe = run.after("safe");
    // DIR and the load are not touched at all.
    assert!([27, 16, 26].iter().all(|&pin| safe.edges(pin).is_empty()), "{:#?}", safe.log);
}

#[test]
fn what_release_0_1_drove_is_made_safe() {
    for (k, (options, channel)) in [
        ("--board pi-3 --pwm 18", "pwmchip0/pwm0"),
        ("--board pi-4 --pwm 18", "pwmchip0/pwm0"),
        ("--board pi-5 --pwm 18 --pwmchip 2 --fan-chip 0", "pwmchip2/pwm2"),
    ]
    .into_iter()
    .enumerate()
    {
        let options = format!("{options} --level 26=low");
        let leave = "cp $OLD /run/lockstep/accepted.toml";
        let run = upgraded(&options, 700 + 40 * k as u32, leave).expect_success();
        assert_safe(&run, channel);
        assert!(run.stderr.contains("is not for this release"), "{}", run.stderr);
        assert!(run.stdout.ends_with("\nsafe\n"), "{}", run.stdout);
        assert!(
            run.stdout.contains("GPIO26  z enable              left as it is: it holds a load")
        );
    }
}

/// It died while one config took the place of another: what one of them lets go is let go.
#[test]
fn two_configs_of_release_0_1_count_both() {
    let leave = "cp $OLD /run/lockstep/accepted.toml\n\
         sed 's/gpio = 17,/gpio = 5,/; /^holds-load/d' $OLD >/run/lockstep/changing.toml";
    let run = upgraded("--board pi-4 --pwm 18 --level 26=low", 700, leave).expect_success();
    assert_whole_signal(&run, "pwmchip0/pwm0", PERIOD);
    assert_eq!(level(&run, 26), Some(true), "only one of them holds it");
    assert_eq!(run.modes(5), [("output", Some(false))]);
    assert!(run.stdout.contains("and the one that was to follow it"), "{}", run.stdout);
}

/// The list that a run leaves says more than its config: that may have become unreadable.
#[test]
fn the_list_counts_where_the_config_does_not() {
    let config = Config::new(RUNS);
    let run = shell(
        "--board pi-4 --pwm 18 --level 26=low",
        &format!(
            "timeout -s KILL 0.7 $LOCKSTEP run --config {} >/dev/null 2>&1\n\
             cat /run/lockstep/outputs.json\nsed -i 's/microsteps/mikrosteps/' /run/lockstep/accepted.toml\n\
             mark safe\nlockstep safe --config none || exit 8\n\
             echo '[servo' >/run/lockstep/accepted.toml\nlockstep safe --config none",
            config.path
        ),
    )
    .expect_success();
    assert_safe(&run, "pwmchip0/pwm0");
    let list: serde_json::Value = serde_json::from_str(run.stdout.lines().next().unwrap()).unwrap();
    let outputs = list["outputs"].as_array().unwrap();
    assert_eq!((list["v"].as_u64(), outputs.len()), (Some(1), 7));
    let pan = &outputs.iter().find(|o| o["function"] == "pulse").unwrap()["pwm"];
    assert_eq!((&pan["gpio"], &pan["channel"]), (&18.into(), &0.into()));
    assert!(pan["device"].as_str().unwrap().ends_with("20c000.pwm"), "{pan}");
    // The sum of the list still agrees: the text beside it does not matter.
    let warnings = run.stderr.lines().filter(|l| l.starts_with("warning: ")).count();
    assert_eq!(warnings, 1, "{}", run.stderr);
    assert!(run.stderr.contains("so its list of outputs counts"), "{}", run.stderr);
}
