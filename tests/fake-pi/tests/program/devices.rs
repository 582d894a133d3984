//! Servos on PWM chips beside the header's, and on a pin that their own loop drives.

use crate::common::{Config, Entry, Run, lockstep};
use crate::refusals::assert_refused;

const PCA: &str = "--chip 1=1-0040:pca9685-pwm:17";
/// What a PCA9685 makes of 20 ms, and the step of its pulses.
const PERIOD: u64 = 19_988_480;
const STEP: u64 = 4880;

fn arm(first: &str, second: &str) -> Config {
    Config::new(&format!(
        "[machine]\nmax-lateness = \"10s\"\nstart-program = \"wave\"\n\
         [servo.shoulder]\n{first}\n[servo.elbow]\n{second}\n\
         [program.wave]\nsteps = [ {{ move = {{ shoulder = \"-20deg\", elbow = \"30deg\" }} }}, \
         {{ move = {{ shoulder = \"20deg\", elbow = \"0deg\" }} }} ]\n"
    ))
}

fn pca(device: &str, more: &str) -> Config {
    let output = |k| format!("pwm = {{ device = \"{device}\", channel = {k}{more} }}");
    arm(&output(0), &output(15))
}

/// Asserts that all that was written to a channel of a chip whose level nobody can see is right, in
/// order and value; gives the widths.
fn widths_of_a_whole_signal(run: &Run, channel: &str, period: u64, step: u64) -> Vec<u64> {
    widths_of_a_signal_on(run, channel, period, step, 1.0)
}

/// The same on a chip whose clock has so many times the rate that its driver believes in.
fn widths_of_a_signal_on(run: &Run, channel: &str, period: u64, step: u64, rate: f64) -> Vec<u64> {
    let mut writes = run.pwm_writes(&format!("{channel}/"));
    // A PCA9685's driver shows a channel that was just asked for as enabled: it is taken back.
    if writes[0].1.ends_with("/enable") {
        assert_eq!(writes.remove(0).2, "0");
    }
    let all: Vec<(&str, &str)> =
        writes.iter().map(|w| (w.1.rsplit('/').next().unwrap(), w.2)).collect();
    let period_text = period.to_string();
    assert_eq!(all[0], ("period", &*period_text), "{all:?}");
    assert_eq!((all[1].0, all[2]), ("duty_cycle", ("enable", "1")), "{all:?}");
    // Between on and off nothing but widths, the last of them 0, a whole period before it is off.
    let zero = all.iter().rposition(|w| w.0 == "duty_cycle").unwrap();
    assert!(all[3..zero].iter().all(|w| w.0 == "duty_cycle"), "{all:?}");
    assert_eq!(all[zero].1, "0", "{all:?}");
    let real = (period as f64 / rate) as u64;
    assert!(writes[zero + 1].0 >= writes[zero].0 + real, "less than a period: {all:?}");
    assert!(all[zero + 1..].iter().all(|w| *w == ("enable", "0")), "{all:?}");
    let widths: Vec<u64> =
        all[..zero].iter().filter(|w| w.0 == "duty_cycle").map(|w| w.1.parse().unwrap()).collect();
    assert!(widths.iter().all(|w| w % step == 0), "{widths:?}");
    assert!(widths.windows(2).all(|w| w[0] != w[1]), "written twice: {widths:?}");
    widths
}

#[test]
fn a_pca9685_gets_whole_steps_of_its_own_period() {
    for device in ["pca9685", "1-0040"] {
        let options = format!("--board pi-4 --pwm 18 --pwmchip 0 {PCA}");
        let run = lockstep(&options, &pca(device, ""), "--backend rppal").expect_success();
        let [shoulder, elbow] = ["pwmchip1/pwm0", "pwmchip1/pwm15"]
            .map(|channel| widths_of_a_whole_signal(&run, channel, PERIOD, STEP));
        // From -20 to 20 degrees, and from 30 to 0, each to within half a step.
        for (widths, ends) in
            [(&shoulder, [1_277_778, 1_722_222]), (&elbow, [1_833_333, 1_500_000])]
        {
            let seen = [widths[0], *widths.last().unwrap()];
            for (seen, wanted) in seen.into_iter().zip(ends) {
                assert!(seen.abs_diff(wanted) <= STEP / 2 + 1, "{widths:?}");
            }
        }
        // The header's chip is left alone; what was exported is given back, once each.
        let all = run.pwm_writes("");
        assert!(all.iter().all(|w| w.1.starts_with("pwmchip1/")), "{all:#?}");
        for file in ["pwmchip1/export", "pwmchip1/unexport"] {
            let mut channels: Vec<_> = run.pwm_writes(file).iter().map(|w| w.2).collect();
            channels.sort_unstable();
            assert_eq!(channels, ["0", "15"], "{file}");
        }
        assert!(run.log.iter().all(|(_, e)| !matches!(e, Entry::Pwm { ok: false, .. })));
        assert!(!run.log.iter().any(|(_, e)| matches!(e, Entry::Mode { .. } | Entry::Gpio { .. })));
    }
}

#[test]
fn a_fast_clock_is_asked_for_more() {
    let config = pca("pca9685", ", clock-correction = \"30000ppm\"");
    let run = lockstep(PCA, &config, "--backend rppal").expect_success();
    // 20 ms of a clock of 25.75 MHz: 125.7 times 4096 cycles; 126 make steps of 5.04 us as asked for.
    let widths = widths_of_a_signal_on(&run, "pwmchip1/pwm0", 126 * 163_840, 5040, 1.03);
    assert!(widths[0].abs_diff(1_277_778 * 103 / 100) <= 5040 / 2 + 1, "{widths:?}");
    // The header's own chip has such a clock on old kernels.
    let output = |gpio| format!("pwm = {{ gpio = {gpio}, clock-correction = \"72000ppm\" }}");
    let config = arm(&output(18), &output(19));
    let run = lockstep("--pwm 18,19", &config, "--backend rppal").expect_success();
    for channel in ["pwmchip0/pwm0", "pwmchip0/pwm1"] {
        let widths = widths_of_a_signal_on(&run, channel, 21_440_000, 1, 1.072);
        let wanted = if channel.ends_with('0') { 1_277_778 } else { 1_833_333 } * 1072 / 1000;
        assert!(widths[0].abs_diff(wanted) <= 2, "{widths:?}");
    }
}

#[test]
fn two_boards_are_told_apart_by_their_device() {
    let both = "--chip 1=1-0040:pca9685-pwm:17 --chip 3=1-0041:pca9685-pwm:17";
    let run = lockstep(both, &pca("pca9685", ""), "--backend rppal");
    assert_refused(&run, 3, &["pwmchip1 is 1-0040", "pwmchip3 is 1-0041", "`device = \"1-0040\"`"]);
    assert!(!run.touched(), "{:#?}", run.log);
    let run = lockstep(both, &pca("1-0041", ""), "--backend rppal").expect_success();
    assert!(run.pwm_writes("").iter().all(|w| w.1.starts_with("pwmchip3/")));
    widths_of_a_whole_signal(&run, "pwmchip3/pwm15", PERIOD, STEP);
}

#[test]
fn a_chip_that_is_not_there_is_named_with_its_overlay() {
    let meson = |k| format!("pwm = {{ device = \"meson-pwm\", channel = {k} }}");
    let gpio = |g| format!("pwm = {{ device = \"pwm-gpio\", gpio = {g} }}");
    for (options, config, parts) in [
        (
            "--pwm 18",
            pca("pca9685", ""),
            &["channel 0 of pca9685", "`dtoverlay=i2c-pwm-pca9685a`", "pwmchip0 is", "i2cdetect"][..],
        ),
        ("", pca("1-0041", ""), &["`dtoverlay=i2c-pwm-pca9685a,addr=0x41`", "it is empty"]),
        ("", arm(&gpio(23), &gpio(24)), &["`dtoverlay=pwm-gpio,gpio=23`"]),
        ("--pwm 18", arm(&meson(0), &meson(1)), &["name one that is there"]),
        (
            "--chip 2=ff807000.pwm:meson-pwm:2",
            arm(&meson(1), &meson(7)),
            &["channel 7 of meson-pwm", "no such channel", "npwm"],
        ),
    ] {
        let run = lockstep(options, &config, "--backend rppal");
        assert_refused(&run, 3, parts);
    }
}

/// Another program's signal holds the chip at its own period.
#[test]
fn a_period_that_somebody_else_holds_is_a_fault() {
    let config = pca("pca9685", "");
    let run = lockstep(&format!("{PCA}:5@10000000"), &config, "--backend rppal");
    assert_eq!(run.status, 1, "{}\n{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("one period for all its channels"), "{}", run.stdout);
    for channel in ["pwmchip1/pwm0/enable", "pwmchip1/pwm15/enable"] {
        assert_eq!(run.pwm_writes(channel).last().unwrap().2, "0");
    }
    // With the same period there is room for both; its channel is not touched.
    let run = lockstep(&format!("{PCA}:5@{PERIOD}"), &config, "--backend rppal").expect_success();
    assert_eq!(run.pwm_writes("pwmchip1/pwm5/"), []);
    // That very channel is in use.
    let run = lockstep(&format!("{PCA}:0@{PERIOD}"), &config, "--backend rppal");
    assert_refused(&run, 3, &["channel 0 of pca9685", "pwmchip1/pwm0", "another program"]);
}

#[test]
fn the_kernels_soft_pwm_is_a_chip_for_each_pin() {
    let gpio = |g| format!("pwm = {{ device = \"pwm-gpio\", gpio = {g} }}");
    let chips = "--chip 4=pwm_gpio@17:pwm-gpio:1 --chip 2=pwm_gpio@18:pwm-gpio:1";
    let config = arm(&gpio(23), &gpio(24));
    let run = lockstep(chips, &config, "--backend rppal").expect_success();
    let widths = widths_of_a_whole_signal(&run, "pwmchip4/pwm0", 20_000_000, 1);
    assert_eq!(widths[0], 1_277_778);
    widths_of_a_whole_signal(&run, "pwmchip2/pwm0", 20_000_000, 1);
    assert!(run.modes(23).is_empty() && run.modes(24).is_empty());
}

#[test]
fn a_pin_that_the_loop_drives_has_its_pulses_and_ends_low() {
    let soft = |g| format!("soft-pwm = {{ gpio = {g}, allow-jitter = true }}");
    for board in ["pi-4", "pi-5"] {
        let options = format!("--board {board}");
        let run = lockstep(&options, &arm(&soft(23), &soft(24)), "--backend rppal");
        let run = run.expect_success();
        for pin in [23, 24] {
            assert_eq!(run.modes(pin), [("output", Some(false))], "{board}");
            let edges = run.edges(pin);
            assert!(edges.len() >= 20 && edges.len().is_multiple_of(2), "{board}: {edges:?}");
            assert!(edges.iter().enumerate().all(|(k, e)| e.1 == (k % 2 == 0)), "{edges:?}");
            // The log's time is taken behind each edge: shorter than a pulse by what that differs.
            let widths: Vec<u64> = edges.chunks(2).map(|p| p[1].0 - p[0].0).collect();
            assert!(widths.iter().all(|&w| w > 900_000), "{board}: {widths:?}");
        }
        assert_eq!(run.pwm_writes(""), []);
    }
}

#[test]
fn without_real_time_scheduling_the_loop_drives_no_pin() {
    let soft = |g| format!("soft-pwm = {{ gpio = {g} }}");
    let config = arm(&soft(23), &soft(24));
    let run = lockstep("--user member", &config, "--backend rppal");
    let parts = ["shoulder: ", "real-time scheduling", "LimitRTPRIO", "allow-jitter = true"];
    assert_refused(&run, 3, &parts);
    assert!(!run.touched(), "{:#?}", run.log);
    // On the simulator it says so, and goes on.
    let run = lockstep("--user member", &config, "--backend sim").expect_success();
    assert!(run.stderr.contains("they will jitter"), "{}", run.stderr);
}
