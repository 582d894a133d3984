//! Another config for a service that drives the header.

use crate::common::{Config, Entry, Run, assert_whole_signal, shell};

const PERIOD: u64 = 20_000_000;
const ENABLE: u8 = 22;
const TEXT: &str = "[machine]\nmax-lateness = \"10s\"\n[servo.pan]\npwm = { gpio = 18 }\n\
    [servo.tilt]\nsoft-pwm = { gpio = 23, allow-jitter = true }\n\
    [axis.x]\nstep = { gpio = 17 }\ndir = { gpio = 27 }\nenable = { gpio = 22, active = \"low\" }\n\
    driver = \"drv8825\"\nsteps-per-revolution = 200\nmicrosteps = 16\ndistance-per-revolution = \"8mm\"\n\
    travel = { min = \"0mm\", max = \"200mm\" }\nmax-speed = \"50mm/s\"\nmax-acceleration = \"500mm/s^2\"\n\
    at-start = { assume = \"0mm\" }\n";

/// Serves [`TEXT`], moves every motor, does `script`, and ends the service. In the script `$F` is the
/// config.
fn served(options: &str, script: &str) -> Run {
    let config = Config::new(TEXT);
    let script = format!(
        "F={}\nexport LOCKSTEP_SOCKET=$F.sock RUNTIME_DIRECTORY=$F.run\nmkdir $RUNTIME_DIRECTORY\n\
         $LOCKSTEP serve --backend rppal --config $F --socket $LOCKSTEP_SOCKET & PID=$!\n\
         for i in $(seq 600); do [ -S $LOCKSTEP_SOCKET ] && break; sleep 0.1; done\n\
         lockstep move pan=10deg tilt=5deg x=1mm || exit 9\n{script}\nkill $PID\nwait $PID",
        config.path
    );
    shell(options, &script)
}

/// Nothing was written to these pins and channels.
fn assert_untouched(run: &Run, channel: &str, pins: &[u8]) {
    assert_eq!(run.pwm_writes(channel), [], "{channel}");
    let edge = |e: &Entry| match *e {
        Entry::Gpio { pin, .. } | Entry::Mode { pin, .. } | Entry::Line { pin, .. } => {
            pins.contains(&pin)
        }
        _ => false,
    };
    let touched: Vec<_> = run.log.iter().filter(|(_, e)| edge(e)).collect();
    assert!(touched.is_empty(), "{touched:?}");
}

#[test]
fn what_does_not_change_is_not_written() {
    for (options, channel) in
        [("--board pi-4 --pwm 18", "pwmchip0/pwm0"), ("--board pi-5 --pwm 18", "pwmchip0/pwm2")]
    {
        let run = served(
            options,
            "mark tilt\nsed -i '/^soft-pwm = /s/$/\\ntrim = \"30us\"/' $F\n\
             lockstep reload || exit 8\nlockstep move tilt=6deg || exit 7\n\
             mark absent\ncp $F $F.good\nprintf '[servo.other]\\npwm = { gpio = 13 }\\n' >> $F\n\
             lockstep reload && exit 6\nmv $F.good $F\n\
             mark gone\nlockstep status | grep -q other && exit 5\nlockstep move pan=12deg || exit 4\n\
             mark pan\nsed -i '/^pwm = /s/$/\\ntrim = \"5us\"/' $F\nlockstep reload || exit 3\n\
             lockstep move pan=-5deg x=2mm || exit 2\nmark end",
        )
        .expect_success();
        let x = [17, 27, ENABLE];
        // Its own line was closed and opened; the others have gone on.
        assert_untouched(&run.after("tilt"), channel, &x);
        assert!(!run.after("tilt").edges(23).is_empty());
        // What isn't there was refused before anything was touched.
        assert_untouched(&run.after("absent"), channel, &x);
        assert!(run.stderr.contains("the old config stays"), "{}", run.stderr);
        // A servo that is opened anew: its signal ends whole, and is another from its next move on.
        let pan = run.after("pan");
        let writes: Vec<_> = pan.pwm_writes(&format!("{channel}/"));
        let off = writes.iter().position(|w| w.1.ends_with("/enable") && w.2 == "0").unwrap();
        assert!(off > 0 && writes[off - 1].2 == "0", "{writes:#?}");
        assert!(writes[off].0 >= writes[off - 1].0 + PERIOD, "{writes:#?}");
        assert!(writes.iter().any(|w| w.1.ends_with("/enable") && w.2 == "1"), "{writes:#?}");
        // The axis kept its power all the way through.
        let released = |run: &Run| run.edges(ENABLE).iter().any(|e| e.1);
        assert!(["tilt", "absent", "gone", "pan"].iter().all(|mark| !released(&run.after(mark))));
        assert_eq!(pan.edges(17).iter().filter(|e| e.1).count(), 400, "a millimetre");
        assert_whole_signal(&from(&run, "pan", off), channel, PERIOD);
    }
}

/// What came after the signal that a mark and so many writes of its channel have ended.
fn from(run: &Run, mark: &str, writes: usize) -> Run {
    let begin = run.log.iter().position(|(_, e)| *e == Entry::Mark(mark.to_owned())).unwrap();
    let is_channel =
        |e: &Entry| matches!(e, Entry::Pwm { path, .. } if path.matches('/').count() == 2);
    let rest = run.log[begin..].iter().enumerate().filter(|(_, (_, e))| is_channel(e));
    let at = rest.map(|(i, _)| i).nth(writes).unwrap();
    let log = run.log[begin + at + 1..].to_vec();
    Run { log, stdout: run.stdout.clone(), stderr: run.stderr.clone(), ..*run }
}
