//! The hardware layer on its own: the probe under the fake Pi. Run by `tests/fake-pi/run`, as root.

mod common;

use common::{Entry, Run, assert_whole_signal, program, run};

const PERIOD: u64 = 20_000_000;

fn probe(options: &str, arguments: &str) -> Run {
    run(options, "probe", arguments)
}

/// Widths written to a channel, in nanoseconds.
fn widths(run: &Run, channel: &str) -> Vec<u64> {
    let writes = run.pwm_writes(&format!("{channel}/duty_cycle"));
    writes.iter().map(|w| w.2.parse().unwrap()).collect()
}

#[test]
fn servo_signals_go_to_the_right_chip_and_end_whole() {
    for (options, pins, channels) in [
        ("--board pi-3 --pwm 18,19", "18,19", &["pwmchip0/pwm0", "pwmchip0/pwm1"][..]),
        ("--board pi-4 --pwm 12,13", "12,13", &["pwmchip0/pwm0", "pwmchip0/pwm1"]),
        ("--board pi-4 --pwm 19 --pwmchip 3", "19", &["pwmchip3/pwm1"]),
        // Kernel 6.12 and 6.6: the header's chip is 0 or 2, and the fan's the other.
        (
            "--board pi-5 --pwm 12,13 --pwmchip 0 --fan-chip 2",
            "12,13",
            &["pwmchip0/pwm0", "pwmchip0/pwm1"],
        ),
        (
            "--board pi-5 --pwm 12,19 --pwmchip 2 --fan-chip 0",
            "12,19",
            &["pwmchip2/pwm0", "pwmchip2/pwm3"],
        ),
    ] {
        let run = probe(options, &format!("servo {pins}")).expect_success();
        for channel in channels {
            assert_whole_signal(&run, channel, PERIOD);
            assert_eq!(widths(&run, channel), [1_500_000, 1_000_000, 2_000_000, 0], "{options}");
        }
        // Nothing else was touched, and everything given back.
        let chip = channels[0].split('/').next().unwrap();
        assert!(run.pwm_writes("").iter().all(|w| w.1.starts_with(chip)), "{options}");
        assert_eq!(run.pwm_writes(&format!("{chip}/unexport")).len(), channels.len());
        assert!(!run.log.iter().any(|(_, e)| matches!(e, Entry::Mode { .. } | Entry::Gpio { .. })));
    }
}

#[test]
fn a_longer_width_left_by_another_program_is_taken_back_first() {
    let run = probe("--pwm 12 --idle 0", "servo 12").expect_success();
    assert_eq!(widths(&run, "pwmchip0/pwm0"), [0, 1_500_000, 1_000_000, 2_000_000, 0]);
    assert!(run.log.iter().all(|(_, e)| !matches!(e, Entry::Pwm { ok: false, .. })));
    // It was exported before, so it stays.
    assert_eq!(run.pwm_writes("pwmchip0/unexport"), []);
}

#[test]
fn dropping_a_channel_cuts_no_pulse() {
    let run = probe("--pwm 12", "leave 12").expect_success();
    let writes = run.pwm_writes("pwmchip0/pwm0/enable");
    assert_eq!(writes.iter().map(|w| w.2).collect::<Vec<_>>(), ["1"]);
}

#[test]
fn every_step_leaves_the_pin_with_its_width() {
    for board in ["pi-4", "pi-5"] {
        let run = probe(&format!("--board {board}"), "steps 17 27 22 5000").expect_success();
        let step = run.edges(17);
        assert_eq!(step.len(), 10_000, "{board}");
        for (i, pair) in step.windows(2).enumerate() {
            assert_eq!((pair[0].1, pair[1].1), (i % 2 == 0, i % 2 == 1), "{board}");
            // The log's time is taken behind the edge, with a spread of its own: the strict check of
            // the width is on the simulator. Here it shows that nothing was merged or reordered.
            assert!(pair[1].0 > pair[0].0, "{board}");
        }
        let (dir, enable) = (run.edges(27), run.edges(22));
        assert_eq!(dir.len(), 1);
        assert!(dir[0].1 && dir[0].0 < step[0].0);
        // The enable line is inactive from its first moment as an output, and pins stay outputs.
        assert_eq!(run.modes(22), [("output", Some(true))]);
        assert_eq!(run.modes(17), [("output", Some(false))]);
        assert_eq!(enable.iter().map(|e| e.1).collect::<Vec<_>>(), [true, false, true]);
        assert!(enable[1].0 < step[0].0 && enable[2].0 > step[9_999].0);
    }
}

#[test]
fn an_adopted_output_keeps_the_level_it_finds() {
    for board in ["pi-4", "pi-5"] {
        for (level, high) in [("high", true), ("low", false)] {
            let run = probe(&format!("--board {board} --level 22={level}"), "adopt 22");
            let run = run.expect_success();
            assert_eq!(run.stdout.trim(), level);
            // After power-on a pin of the Pi 5 cannot even be read: it is made an input first.
            let outputs: Vec<_> = run.modes(22).into_iter().filter(|m| m.0 != "input").collect();
            assert_eq!(outputs, [("output", Some(high))], "{board} {level}");
            assert_eq!(run.edges(22), [], "{board} {level}");
        }
    }
}

#[test]
fn input_edges_carry_the_kernels_time_and_none_is_lost() {
    for board in ["pi-4", "pi-5"] {
        // The first comes the moment the line is armed.
        let inject = "--inject 24=low@0 --inject 24=high@30 --inject 24=low@60 --inject 24=high@60";
        let run = probe(&format!("--board {board} {inject}"), "watch 24 400").expect_success();
        let lines = run.log.iter().filter_map(|(_, e)| match e {
            Entry::Line { pin: 24, how } => Some(how.as_str()),
            _ => None,
        });
        let lines: Vec<&str> = lines.collect();
        assert_eq!(lines, ["rising falling monotonic"]);
        let injected: Vec<String> = run
            .log
            .iter()
            .filter_map(|(_, e)| match e {
                Entry::Inject { high, at, .. } => {
                    Some(format!("{} {at}", if *high { "high" } else { "low" }))
                }
                _ => None,
            })
            .collect();
        assert_eq!(injected.len(), 4);
        let seen: Vec<String> = run.stdout.lines().map(str::to_owned).collect();
        let edges: Vec<String> = seen[1..seen.len() - 1]
            .iter()
            .map(|line| line.rsplit_once(' ').unwrap().0.to_owned())
            .collect();
        assert_eq!(edges, injected, "{board}: {seen:?}");
        assert_eq!(seen.last().unwrap(), "high");
    }
}

#[test]
fn an_ordinary_user_waits_one_second_for_all_channels_together() {
    for (options, pins, channels) in [
        ("--pwm 12,13", "12,13", 2),
        ("--board pi-5 --pwmchip 2 --fan-chip 0 --pwm 12,13,18,19", "12,13,18,19", 4),
    ] {
        let run = probe(&format!("--user member {options}"), &format!("servo {pins}"));
        let run = run.expect_success();
        let chip = if channels == 4 { 2 } else { 0 };
        for channel in 0..channels {
            assert_whole_signal(&run, &format!("pwmchip{chip}/pwm{channel}"), PERIOD);
        }
        let ms: u64 = run.stdout.split(' ').nth(2).unwrap().parse().unwrap();
        assert!(ms < 1900, "{}", run.stdout);
    }
}

#[test]
fn refusals_name_the_pin_the_file_and_the_mend() {
    for (options, arguments, parts) in [
        ("", "servo 18,19", &["GPIO18", "/sys/class/pwm", "`dtoverlay=pwm-2chan`", "reboot"][..]),
        ("--board pi-5 --fan-chip 2", "servo 12", &["pwmchip2 is 1f0009c000.pwm", "pin=12,func=4"]),
        ("--board pi-3", "servo 12", &["dtparam=audio=off"]),
        ("--pwm 18", "servo 12", &["GPIO12 is set to input, not to PWM (ALT0)", "pin=12,func=4"]),
        ("--board pi-5 --pwm 18", "servo 19", &["GPIO19 is set to nothing", "(ALT3)"]),
        (
            "--pwm 12",
            "servo 17",
            &["GPIO17 has no hardware PWM", "GPIO12, GPIO13, GPIO18 or GPIO19"],
        ),
        ("--pwm 12", "servo 12,18", &["GPIO18 and GPIO12 are the same PWM channel"]),
        (
            "--pwm 12 --running 0",
            "servo 12",
            &["pwmchip0/pwm0", "another program", "`lockstep safe`"],
        ),
        ("--pwm 12 --kernel-has 0", "servo 12", &["pwmchip0/pwm0", "the kernel"]),
        ("--pwm 12 --user stranger", "servo 12", &["/dev/gpiomem", "group `gpio`", "usermod"]),
        ("--board pi-5 --user stranger", "adopt 5", &["/dev/gpiomem0", "group `gpio`"]),
        ("--missing gpiomem", "adopt 5", &["/dev/gpiomem is missing"]),
        ("--board pi-5 --missing gpiochip", "adopt 5", &["/dev/gpiochip0", "pinctrl-rp1"]),
        ("--busy-lines 24", "watch 24 100", &["GPIO24", "Device or resource busy", "gpioinfo"]),
        ("--board other", "adopt 5", &["`Pine64 Rock64`", "--backend sim"]),
        ("", "adopt 28", &["GPIO28 is not on the header of a Raspberry Pi 4"]),
    ] {
        let run = probe(options, arguments);
        assert_eq!(run.status, 3, "{options} {arguments}: {}", run.stderr);
        for part in parts {
            assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
        }
        // Nothing moved: no level changed, no signal began.
        assert!(!run.log.iter().any(|(_, e)| matches!(e, Entry::Gpio { .. })), "{options}");
        assert!(run.pwm_writes("").iter().all(|w| !w.1.ends_with("enable") || w.2 == "0"));
    }
}

#[test]
fn a_program_that_cannot_be_run_is_trouble_and_no_result() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_fake-pi"))
        .args(["--log", "/dev/null", "--", "/nonexistent"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(125));
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_fake-pi"))
        .args(["--timeout", "1", "--log", "/dev/null", "--"])
        .arg(program("probe"))
        .args(["watch", "24", "60000"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(124));
}
