//! A 28BYJ-48 whose coils are switched one by one: `coils.toml`, 226 half steps there and 283 back.

use crate::common::{Config, Entry, Run, lockstep, shell};

const COILS: &str = include_str!("coils.toml");
const PINS: [u8; 4] = [5, 6, 13, 19];

fn coils(line: &str, instead: &str) -> Config {
    assert!(COILS.contains(line), "{line}");
    Config::new(&COILS.replace(line, instead))
}

/// What the pins showed: each state, in the order of the writes, and steps counted from them.
struct Seen {
    steps: i64,
    /// How often the coils were let go.
    offs: usize,
    on: u8,
}

/// Follows every single write: IN1 is the lowest bit. `against`: pairs that must never be on together,
/// not even between two writes of one step.
fn follow(run: &Run, states: &[u8], against: [u8; 2]) -> Seen {
    let (mut seen, mut phase) = (Seen { steps: 0, offs: 0, on: 0 }, None::<usize>);
    // The last change of phase: when, and from where.
    let mut last = (0, 0, None);
    for (at, entry) in &run.log {
        let Entry::Gpio { pin, high } = *entry else { continue };
        let Some(n) = PINS.iter().position(|p| *p == pin) else { continue };
        seen.on = seen.on & !(1 << n) | u8::from(high) << n;
        for pair in against {
            assert!(seen.on & pair != pair, "{:04b} at {at}", seen.on);
        }
        if seen.on == 0 {
            seen.offs += 1;
            // Two coils are let go one after the other, which looks like a half step. They are let go no
            // sooner than 20 ms after a step.
            if at - last.0 < 10_000_000 {
                (seen.steps, phase) = (last.1, last.2);
            }
            continue;
        }
        // Taken up one by one, they pass a state there and back, or none of the sequence.
        let Some(now) = states.iter().position(|s| *s == seen.on) else { continue };
        let n = states.len();
        if phase != Some(now) {
            last = (*at, seen.steps, phase);
        }
        match phase.map(|before| (now + n - before) % n) {
            None | Some(0) => {}
            Some(1) => seen.steps += 1,
            Some(m) if m == n - 1 => seen.steps -= 1,
            Some(m) => panic!("{m} states at once at {at}"),
        }
        phase = Some(now);
    }
    seen
}

const HALF: [u8; 8] = [0b0001, 0b0011, 0b0010, 0b0110, 0b0100, 0b1100, 0b1000, 0b1001];
const OPPOSITE: [u8; 2] = [0b0101, 0b1010];

fn assert_count(run: &Run, seen: &Seen) {
    let dial = &run.report()["motors"]["dial"];
    assert_eq!(dial["steps"].as_i64(), Some(seen.steps), "{dial}");
}

#[test]
fn half_steps_there_and_back_are_exact() {
    let config = Config::new(COILS);
    for board in ["pi-3", "pi-4", "pi-5"] {
        let options = format!("--board {board}");
        let run = lockstep(&options, &config, "--backend rppal --json").expect_success();
        let seen = follow(&run, &HALF, OPPOSITE);
        assert_count(&run, &seen);
        // -5deg: 64 x 25792/405 / 360 half steps a degree.
        assert_eq!(seen.steps, -57, "{board}");
        // Let go in the pause, and at the end.
        assert!(seen.offs >= 2 && seen.on == 0, "{board}: {}", seen.offs);
        // Off from their first moment as outputs.
        for pin in PINS {
            let modes = run.modes(pin);
            assert!(modes.iter().any(|m| m.0 == "output" && m.1 == Some(false)), "{modes:?}");
        }
    }
}

#[test]
fn bridges_are_never_shorted() {
    let full = [0b0101, 0b0110, 0b1010, 0b1001];
    let text = COILS.replace("motor = \"28byj-48\"", "motor = \"28byj-48\"\ndriver = \"tb6612\"");
    let config = Config::new(&text.replace("\"half\"", "\"full\""));
    let run = lockstep("--board pi-5", &config, "--backend rppal --json").expect_success();
    let seen = follow(&run, &full, [0b0011, 0b1100]);
    assert_count(&run, &seen);
    assert_eq!(seen.on, 0);
}

#[test]
fn coils_that_hold_a_load_go_on_holding() {
    let config = coils("at-rest = \"release\"", "holds-load = true");
    // Nothing held when the program came; then B and C did, from an earlier run.
    for levels in ["--level 5=low --level 6=low", "--level 5=low --level 6=high --level 13=high"] {
        let options = format!("--board pi-4 {levels} --level 19=low --signal TERM@900");
        let run = lockstep(&options, &config, "--backend rppal --json").expect_success();
        let ends: Vec<bool> =
            PINS.iter().map(|&p| run.edges(p).last().is_some_and(|e| e.1)).collect();
        let on = ends.iter().filter(|on| **on).count();
        assert!(on == 1 || on == 2, "{ends:?}");
        let shorted = [0, 1].iter().any(|&a| ends[a] && ends[a + 2]);
        assert!(!shorted, "{ends:?}");
    }
}

#[test]
fn signals_let_go_with_an_exact_count() {
    let config = Config::new(COILS);
    for signals in ["--signal TERM@300", "--signal INT@700", "--signal INT@600 --signal TERM@640"] {
        let run = lockstep(signals, &config, "--backend rppal --json");
        if run.status > 128 {
            assert!(!run.touched(), "{signals}: {:#?}", run.log);
            continue;
        }
        let run = run.expect_success();
        let seen = follow(&run, &HALF, OPPOSITE);
        assert_count(&run, &seen);
        assert_eq!((run.report()["result"].as_str(), seen.on), (Some("stopped"), 0), "{signals}");
    }
}

/// A service that ends well and starts again: the coils take the rotor up where they let it go. Its count is kept,
/// though `unverified`: nothing held it meanwhile.
#[test]
fn a_restart_goes_on_in_the_phase_it_stood_on() {
    let text = COILS
        .replace("at-start = { assume = \"0deg\" }", "at-start = \"restored\"")
        .replace("start-program = \"there-and-back\"\n", "");
    let config = Config::new(&text);
    let script = format!(
        "F={}\ntrap 'kill -9 $PID' EXIT\nexport LOCKSTEP_SOCKET=$F.sock RUNTIME_DIRECTORY=$F.run STATE_DIRECTORY=$F.state\n\
         mkdir $RUNTIME_DIRECTORY $STATE_DIRECTORY\n\
         serve() {{ $LOCKSTEP serve --backend rppal --config $F --socket $LOCKSTEP_SOCKET & PID=$!\n\
         for i in $(seq 600); do [ -S $LOCKSTEP_SOCKET ] && break; sleep 0.1; done; }}\n\
         serve\nlockstep set-position dial=0deg || exit 9\nlockstep enable dial || exit 8\n\
         lockstep move dial=9.95deg || exit 7\nkill $PID\nwait $PID || exit 6\n\
         serve\nlockstep status | grep -q 9.9809 || exit 5\n\
         lockstep move dial=5deg || exit 4\nkill $PID\nwait $PID",
        config.path
    );
    for board in ["pi-4", "pi-5"] {
        let run = shell(&format!("--board {board}"), &script).expect_success();
        let seen = follow(&run, &HALF, OPPOSITE);
        // 5deg: 64 x 25792/405 / 360 half steps a degree, less than half of one over. Pins are written one by one: on
        // the way to two coils and from them, one alone may be counted.
        assert!((56..=58).contains(&seen.steps) && seen.on == 0, "{board}: {}", seen.steps);
    }
}
