//! An axis whose step clock is a PWM channel: what is written, in which order, and how many pulses that makes.

use crate::common::{Config, Run, lockstep};

/// An axis of 1 step a degree. A busy machine proves slow rates alone.
fn config(speed: &str, more: &str) -> Config {
    Config::new(&format!(
        "[machine]\nmax-lateness = \"60s\"\nstart-program = \"go\"\n\
         [axis.table]\nstep = {{ pwm = {{ gpio = 18 }} }}\ndir = {{ gpio = 27 }}\ndriver = \"a4988\"\n\
         steps-per-revolution = 360\nmicrosteps = 1\ndistance-per-revolution = \"360deg\"\n\
         travel = \"unlimited\"\nmax-speed = \"{speed}\"\nmax-acceleration = \"400deg/s^2\"\n\
         at-start = {{ assume = \"0deg\" }}\n{more}\n\
         [program.go]\nsteps = [ {{ move = {{ table = \"12deg\" }} }}, {{ move = {{ table = \"5deg\" }} }} ]\n"
    ))
}

/// The pulses of each signal that was enabled and disabled, by the times of the writes.
fn bursts(run: &Run, channel: &str) -> Vec<u64> {
    let writes = run.pwm_writes(&format!("{channel}/"));
    let (mut period, mut width, mut on, mut pulses) = (0u64, 0u64, None, Vec::new());
    for (at, path, value, high) in writes {
        let number: u64 = value.parse().unwrap_or(0);
        match path.rsplit('/').next().unwrap() {
            "period" => {
                assert!(on.is_none(), "the period changes while the signal runs");
                period = number;
            }
            "duty_cycle" => width = number,
            "enable" if number == 1 => {
                assert!(period > width && width >= 1_000, "{period} {width}");
                on = Some(at);
            }
            "enable" => {
                if let Some(since) = on.take() {
                    assert_eq!(high, Some(false), "disabled in a pulse");
                    pulses.push((at - since) / period + 1);
                }
            }
            _ => {}
        }
    }
    assert!(on.is_none(), "the signal is left on");
    pulses
}

#[test]
fn its_bursts_make_the_steps_that_it_tells() {
    for (options, channel) in
        [("--pwm 18", "pwmchip0/pwm0"), ("--board pi-5 --pwm 18", "pwmchip0/pwm2")]
    {
        let run = lockstep(options, &config("12deg/s", ""), "--backend rppal --json");
        let pulses = bursts(&run, channel);
        if run.status == 3 {
            // Busy with something else, this machine can't prove even that; then nothing has moved.
            assert!(run.stderr.contains("can't be counted here"), "{}", run.stderr);
            assert!(pulses.is_empty(), "{pulses:?}");
            continue;
        }
        let table = &run.report()["motors"]["table"];
        let total: u64 = pulses.iter().sum();
        if table["place"] == "unverified" {
            let between = &table["steps_between"];
            assert!(between[0].as_i64() < between[1].as_i64(), "{table}");
            assert_eq!(table["cause"], "uncounted", "{table}");
            continue;
        }
        assert_eq!((run.status, table["steps"].as_i64()), (0, Some(5)), "{}", run.stderr);
        // There and back, and whatever a late loop made too many, twice.
        assert!(total >= 19 && (total - 19).is_multiple_of(2), "{pulses:?}");
        let dir = run.edges(27);
        assert!(dir.len() >= 2, "{dir:?}");
    }
}

#[test]
fn what_cannot_be_proved_is_refused_before_anything_moves() {
    let run = lockstep("--pwm 18", &config("40000deg/s", ""), "--backend rppal");
    assert_eq!(run.status, 3, "{}", run.stderr);
    assert_eq!(run.errors().len(), 1, "{}", run.stderr);
    for part in ["table", "40000 steps/s", "can't be counted here", "velocity"] {
        assert!(run.errors()[0].contains(part), "{part}: {}", run.stderr);
    }
    assert!(run.pwm_writes("pwmchip0/pwm0/enable").iter().all(|w| w.2 == "0"));
    assert_eq!(run.pwm_writes("pwmchip0/unexport").len(), 1);
}

#[test]
fn a_signal_at_any_instant_ends_it_low() {
    for (name, ms) in [("TERM", 400), ("INT", 700), ("HUP", 900), ("TERM", 1300)] {
        let options = format!("--pwm 18 --signal {name}@{ms}");
        let run = lockstep(&options, &config("12deg/s", ""), "--backend rppal");
        bursts(&run, "pwmchip0/pwm0");
    }
}
