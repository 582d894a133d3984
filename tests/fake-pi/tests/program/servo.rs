//! A servo: `config/servo-sweep.toml`, whose pin is GPIO18.

use std::thread;

use crate::common::{
    Config, Entry, Run, assert_no_signal_or_whole, assert_whole_signal, lockstep, shipped,
};

const PERIOD: u64 = 20_000_000;
const MS: u64 = 1_000_000;

/// Each board with its options and the channel of GPIO18.
const BOARDS: [(&str, &str); 4] = [
    ("--board pi-3 --pwm 18", "pwmchip0/pwm0"),
    ("--board pi-4 --pwm 18", "pwmchip0/pwm0"),
    ("--board pi-5 --pwm 18 --pwmchip 0 --fan-chip 2", "pwmchip0/pwm2"),
    ("--board pi-5 --pwm 18 --pwmchip 2 --fan-chip 0", "pwmchip2/pwm2"),
];

/// The widths written, in nanoseconds, each with its time; without the 0 at the end.
fn widths(run: &Run, channel: &str) -> Vec<(u64, u64)> {
    let writes = run.pwm_writes(&format!("{channel}/duty_cycle"));
    let mut all: Vec<_> = writes.iter().map(|w| (w.0, w.2.parse().unwrap())).collect();
    assert_eq!(all.pop().map(|w| w.1), Some(0));
    all
}

#[test]
fn the_sweep_goes_to_the_right_chip_step_by_step_and_ends_whole() {
    let config = Config::patient("servo-sweep.toml");
    for (options, channel) in BOARDS {
        // A busy machine can hold the program up for longer than the whole run: then once more.
        let seen = (0..5).any(|_| sweep_is_smooth(options, channel, &config));
        assert!(seen, "{options}: no run of five showed a step's curve from its begin to its end");
    }
}

/// Runs the sweep. What must hold however busy the machine is, is asserted; returns whether it went far
/// enough, and as smoothly as it goes on a machine that has time for it.
fn sweep_is_smooth(options: &str, channel: &str, config: &Config) -> bool {
    let run = lockstep(options, config, "--backend rppal --for 2100ms").expect_success();
    assert!(run.stdout.contains("on the header of a Raspberry Pi"), "{}", run.stdout);
    let (chip, number) = channel.split_once("/pwm").unwrap();
    let all = run.pwm_writes("");
    assert_eq!((all[0].1, all[0].2), (&*format!("{chip}/export"), number), "{options}");
    assert!(all.iter().all(|w| w.1.starts_with(chip)), "{options}: {all:#?}");
    let last = all.last().unwrap();
    assert_eq!((last.1, last.2), (&*format!("{chip}/unexport"), number), "{options}");
    assert_whole_signal(&run, channel, PERIOD);
    assert!(!run.log.iter().any(|(_, e)| matches!(e, Entry::Mode { .. } | Entry::Gpio { .. })));
    let widths = widths(&run, channel);
    // A width is written in the gap before the pulse that it is for.
    let low = run.pwm_writes(&format!("{channel}/duty_cycle"));
    let low = low.iter().skip(1).filter(|w| w.3 == Some(false)).count();
    is_smooth(&widths, run.log[0].0) && low * 2 > widths.len()
}

/// Up in steps of 100 us, one every half second: none too early and none left out. Whether each went by
/// a curve that begins and ends slowly.
fn is_smooth(widths: &[(u64, u64)], began: u64) -> bool {
    assert_eq!(widths[0].1, 1_000_000, "{widths:?}");
    assert!(widths.windows(2).all(|w| w[0].1 < w[1].1 && w[1].1 <= 2_000_000), "{widths:?}");
    let top = widths.last().unwrap().1;
    let mut smooth = top >= 1_200_000;
    for step in 1..=(top - 1_000_000) / 100_000 {
        let (from, to) = (1_000_000 + (step - 1) * 100_000, 1_000_000 + step * 100_000);
        let at = widths.iter().position(|w| w.1 == from).expect("no step is left out");
        let reached = widths.iter().position(|w| w.1 == to);
        let reached = reached.unwrap_or_else(|| panic!("{to} is left out: {widths:?}"));
        assert!(widths[reached].0 >= began + step * 500 * MS, "{to} came early: {widths:?}");
        let gains: Vec<_> = widths[at..=reached].windows(2).map(|w| w[1].1 - w[0].1).collect();
        let most = gains.iter().max().copied().unwrap_or_default();
        smooth &= gains.len() >= 4 && gains[0] < most && gains[gains.len() - 1] < most;
    }
    smooth
}

#[test]
fn the_shipped_config_runs_as_it_is() {
    // A machine as busy as this one may miss the millisecond that hardware is given: then it says so.
    let config = Config::new(&shipped("servo-sweep.toml"));
    let run = lockstep("--pwm 18", &config, "--backend rppal --for 1200ms --json");
    assert_no_signal_or_whole(&run, "pwmchip0/pwm0", PERIOD);
    let pan = &run.report()["motors"]["pan"];
    match run.status {
        0 => assert_ne!(pan["cause"], "late"),
        1 => assert_eq!(pan["cause"], "late", "{}", run.stderr),
        other => panic!("{other}: {}", run.stderr),
    }
}

#[test]
fn the_automatic_choice_takes_the_header_and_says_so() {
    let config = Config::patient("servo-sweep.toml");
    let run = lockstep("--board pi-5 --pwm 18", &config, "--for 300ms").expect_success();
    assert!(run.stderr.contains("running on the header of this Raspberry Pi 5"), "{}", run.stderr);
    assert_whole_signal(&run, "pwmchip0/pwm2", PERIOD);
    let run = lockstep("--board other --pwm 18", &config, "--for 300ms").expect_success();
    assert!(run.stderr.contains("running on the simulator"), "{}", run.stderr);
    assert!(run.log.iter().all(|(_, e)| matches!(e, Entry::Exit(0))), "{:#?}", run.log);
}

#[test]
fn signals_at_any_instant_end_it_whole() {
    let once = [
        ("TERM", [2, 20, 60, 150, 640]),
        ("INT", [10, 40, 100, 660, 1130]),
        ("HUP", [5, 30, 80, 620, 780]),
    ];
    let mut signals: Vec<String> = once
        .iter()
        .flat_map(|(name, at)| at.iter().map(move |ms| format!("--signal {name}@{ms}")))
        .collect();
    // A second one, and more, at each stage of the end.
    for (first, second) in [(640, 640), (645, 646), (700, 705), (650, 665), (650, 680), (90, 91)] {
        signals.push(format!("--signal TERM@{first} --signal INT@{second}"));
        signals.push(format!("--signal HUP@{first} --signal TERM@{second} --signal TERM@{second}"));
    }
    let config = Config::patient("servo-sweep.toml");
    let next = std::sync::Mutex::new(signals.iter().zip(BOARDS.iter().cycle()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some((signals, (options, channel))) = next.lock().unwrap().next() else {
                        return;
                    };
                    let options = format!("{options} {signals}");
                    let run = lockstep(&options, &config, "--backend rppal --for 20s");
                    if run.status == 0 {
                        assert!(run.stdout.contains("\nstopped after "), "{}", run.stdout);
                    } else {
                        // It came before the program had looked at its arguments.
                        assert!(run.status > 128, "{options}: {}: {}", run.status, run.stderr);
                        assert!(!run.touched(), "{options}: {:#?}", run.log);
                    }
                    assert_no_signal_or_whole(&run, channel, PERIOD);
                }
            });
        }
    });
}

#[test]
fn a_width_that_is_refused_ends_the_run_and_the_signal() {
    let config = Config::patient("servo-sweep.toml");
    for (options, channel) in [
        ("--pwm 18 --refuse 0@3", "pwmchip0/pwm0"),
        ("--board pi-5 --pwmchip 2 --fan-chip 0 --pwm 18 --refuse 2@3", "pwmchip2/pwm2"),
    ] {
        let run = lockstep(options, &config, "--backend rppal --for 20s");
        assert_eq!(run.status, 3, "{options}: {}", run.stderr);
        assert!(
            run.stdout.contains("failed after") && run.stdout.contains("pan"),
            "{}",
            run.stdout
        );
        assert_eq!(run.errors().len(), 1, "{}", run.stderr);
        for part in ["pan", "GPIO18", &format!("{channel}/duty_cycle"), "Input/output error"] {
            assert!(run.errors()[0].contains(part), "{part}: {}", run.stderr);
        }
        assert_whole_signal(&run, channel, PERIOD);
    }
    // Not even width 0 is taken any more: then it is disabled, after the pulse.
    let run = lockstep("--pwm 18 --refuse 0@3+", &config, "--backend rppal --for 20s");
    assert_eq!(run.status, 3, "{}", run.stderr);
    let last = run.pwm_writes("pwmchip0/pwm0/");
    let last = last.last().unwrap();
    assert_eq!((last.1, last.2, last.3), ("pwmchip0/pwm0/enable", "0", Some(false)));
}
