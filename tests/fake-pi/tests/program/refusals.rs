//! What the program says when it cannot begin: one error, which names the mend; and nothing moves.

use crate::common::{Config, Run, lockstep, shell};

const AXIS: &str = include_str!("axis.toml");

pub fn assert_refused(run: &Run, status: i32, parts: &[&str]) {
    assert_eq!(run.status, status, "{}\n{}", run.stdout, run.stderr);
    assert_eq!(run.errors().len(), 1, "{}", run.stderr);
    let error = run.errors()[0];
    let twice =
        error.get(error.len() / 2..).is_some_and(|half| error.find(half) < Some(error.len() / 2));
    assert!(!twice, "it says everything twice: {error}");
    for part in parts {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    assert!(run.stdout.is_empty(), "{}", run.stdout);
    let enabled = run.pwm_writes("").iter().any(|w| w.1.ends_with("/enable") && w.2 == "1");
    assert!(!enabled, "{:#?}", run.log);
    assert!(run.edges(17).is_empty() && run.edges(27).is_empty(), "{:#?}", run.log);
}

#[test]
fn a_servo_without_its_hardware() {
    let config = Config::patient("servo-sweep.toml");
    for (options, parts) in [
        ("", &["GPIO18", "/sys/class/pwm", "`dtoverlay=pwm", "config.txt", "reboot"][..]),
        ("--board pi-5 --fan-chip 0", &["GPIO18", "pwmchip0 is 1f0009c000.pwm", "config.txt"]),
        ("--pwm 19", &["GPIO18 is set to input, not to PWM", "config.txt"]),
        (
            "--pwm 18 --running 0",
            &["GPIO18", "pwmchip0/pwm0", "another program", "`lockstep safe`"],
        ),
        ("--pwm 18 --kernel-has 0", &["GPIO18", "pwmchip0/pwm0", "the kernel"]),
        ("--pwm 18 --user stranger", &["/dev/gpiomem", "group `gpio`", "usermod"]),
        ("--board pi-5 --pwm 18 --user stranger", &["/dev/gpiomem0", "group `gpio`"]),
        (
            "--pwm 18 --user member --unwritable export",
            &["/sys/class/pwm/pwmchip0/export", "group `gpio`", "udev"],
        ),
        (
            "--board pi-5 --pwm 18 --user member --unwritable channels",
            &["/sys/class/pwm/pwmchip0/pwm2/", "group `gpio`", "udev"],
        ),
        ("--pwm 18 --missing gpiomem", &["/dev/gpiomem is missing"]),
        ("--board pi-5 --pwm 18 --missing gpiochip", &["/dev/gpiochip0", "pinctrl-rp1"]),
        ("--board other --pwm 18", &["`Pine64 Rock64`", "--backend sim"]),
    ] {
        let run = lockstep(options, &config, "--backend rppal --for 1s");
        assert_refused(&run, 3, parts);
        assert!(!run.touched(), "{options}: {:#?}", run.log);
    }
}

#[test]
fn the_second_servo_without_its_hardware_leaves_the_first_off() {
    let config = Config::patient("two-servos.toml");
    let run = lockstep("--pwm 18 --kernel-has 1", &config, "--backend rppal --for 1s");
    assert_refused(&run, 3, &["the kernel"]);
    // What was exported is given back.
    let count = |file: &str| run.pwm_writes("").iter().filter(|w| w.1.ends_with(file)).count();
    assert_eq!(count("/unexport"), count("/export"), "{:#?}", run.log);
}

#[test]
fn an_axis_without_its_hardware() {
    let config = Config::new(AXIS);
    for (options, parts) in [
        ("--user stranger --level 24=high", &["/dev/gpiomem", "group `gpio`"][..]),
        ("--level 24=high --missing gpiochip", &["/dev/gpiochip0"]),
        ("--level 24=high --busy-lines 24", &["x", "GPIO24", "gpioinfo"]),
        ("--level 24=low", &["x", "GPIO24", "fault", "supply and wiring"]),
    ] {
        let run = lockstep(options, &config, "--backend rppal");
        assert_refused(&run, 3, parts);
        // The driver is not energised: its line is inactive, or nobody made an output of it.
        let modes = run.modes(22);
        assert!(modes.is_empty() || modes == [("output", Some(true))], "{modes:?}");
        assert!(run.edges(22).iter().all(|e| e.1), "{:#?}", run.log);
    }
}

#[test]
fn an_axis_that_does_not_know_where_it_stands_is_not_moved() {
    let unknown = AXIS.replace("at-start = { assume = \"0mm\" }", "at-start = \"unknown\"");
    assert_ne!(unknown, AXIS);
    let config = Config::new(&unknown);
    let run = lockstep("--board pi-4 --level 24=high", &config, "--backend rppal");
    let mend = "`at-start = { assume = \"0mm\" }`";
    assert_refused(&run, 2, &["test.toml:", "x: nobody says where it stands", mend]);
    assert!(!run.touched(), "{:#?}", run.log);
    // The simulator starts where the config says.
    let run = lockstep("--board pi-4", &config, "--backend sim").expect_success();
    assert!(!run.touched(), "{:#?}", run.log);
}

#[test]
fn a_second_service_says_who_holds_the_pins() {
    let config = Config::patient("servo-sweep.toml");
    // Whichever socket it would listen on: the header is one.
    let script = format!(
        "D=$(mktemp -d)\n\
         serve() {{ exec $LOCKSTEP serve --backend rppal --config {} --socket $D/$1; }}\n\
         serve one 2>/dev/null & first=$!\n\
         for i in $(seq 200); do [ -S $D/one ] && break; sleep 0.1; done\n\
         (serve two) 2>$D/said; [ $? = 3 ] || exit 9\n\
         cat $D/said >&2\n\
         grep -q \"another lockstep (process $first) drives this header\" $D/said || exit 8\n\
         [ -e $D/two ] && exit 7\n\
         lockstep status --socket $D/one >/dev/null || exit 6\n\
         kill -TERM $first; wait $first || exit 5",
        config.path
    );
    let run = shell("--pwm 18", &script).expect_success();
    assert_eq!(run.errors().len(), 1, "{}", run.stderr);
}
