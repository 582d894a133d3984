//! `lockstep calibrate SERVO`: finds a servo's ends, centre, trim and direction by hand, and writes them into the config.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use console::{Key, Term};

use super::client::{Socket, connect};
use super::servo_file;
use super::{CliError, DEFAULT_CONFIG, DONE, FAILED, logging, room, to_stdout};
use crate::client::{Client, ClientError};
use crate::config::{Config, Drive, ServoDrive};
use crate::machine::REACH;
use crate::protocol::{self, EndResult, Named, Reply, Request};
use crate::text::fold;
use crate::units::PulseWidth;

const HELP: &str = "\
Keys: left and right arrow: a shorter or longer pulse; up and down arrow: bigger or smaller steps (1us to 50us); \
s: this is the shortest pulse it shall get; l: the longest; c: here it is straight ahead (the centre); \
r: the other direction; w: write into the config and end; q, Esc or Ctrl-C: end, and write nothing.

Go to the ends in small steps, and stop before it hums: against its stops a servo burns. Take off what hangs on its \
horn if you can. Where standard input is no terminal, each of its lines is a key: left, right, up, down, shortest, \
longest, centre, reverse, write, quit.";

/// `lockstep calibrate`.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct CalibrateArgs {
    /// The servo, as the config calls it
    servo: String,
    /// The config that the service has, which is written to
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    #[command(flatten)]
    service: Socket,
}

/// What a key asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ask {
    Shorter,
    Longer,
    Bigger,
    Smaller,
    Shortest,
    Longest,
    Centre,
    Reverse,
    Write,
    Quit,
}

impl Ask {
    fn of_key(key: &Key) -> Option<Ask> {
        Some(match key {
            Key::ArrowLeft => Ask::Shorter,
            Key::ArrowRight => Ask::Longer,
            Key::ArrowUp => Ask::Bigger,
            Key::ArrowDown => Ask::Smaller,
            Key::Char('s') => Ask::Shortest,
            Key::Char('l') => Ask::Longest,
            Key::Char('c') => Ask::Centre,
            Key::Char('r') => Ask::Reverse,
            Key::Char('w') => Ask::Write,
            Key::Char('q') | Key::Escape | Key::CtrlC => Ask::Quit,
            _ => return None,
        })
    }

    fn of_word(word: &str) -> Option<Ask> {
        Some(match word {
            "left" => Ask::Shorter,
            "right" => Ask::Longer,
            "up" => Ask::Bigger,
            "down" => Ask::Smaller,
            "shortest" => Ask::Shortest,
            "longest" => Ask::Longest,
            "centre" | "center" => Ask::Centre,
            "reverse" => Ask::Reverse,
            "write" => Ask::Write,
            "quit" => Ask::Quit,
            _ => return None,
        })
    }
}

/// How long a servo may take to its next pulse.
const PATIENCE: Duration = Duration::from_secs(60);

/// Microseconds by which a key changes the pulse.
const STEPS: [u32; 6] = [1, 2, 5, 10, 20, 50];

/// What has been found so far; microseconds.
#[derive(Clone, PartialEq, Debug)]
struct Bench {
    pulse: u32,
    step: usize,
    shortest: Option<u32>,
    longest: Option<u32>,
    centre: Option<u32>,
    reverse: bool,
}

/// What a servo's table is to say; microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found {
    pub shortest: u32,
    pub longest: u32,
    pub trim: i32,
    pub reverse: bool,
}

fn micros(width: PulseWidth) -> u32 {
    (width.as_nanos() + 500) / 1000
}

impl Bench {
    /// At the centre that the config has, where no servo has its stops.
    fn new(servo: &ServoDrive) -> Bench {
        let (min, max) = servo.pulse_range();
        let pulse = ((micros(min) + micros(max)) / 2).clamp(1000, 2000);
        Bench {
            pulse,
            step: 3,
            shortest: None,
            longest: None,
            centre: None,
            reverse: servo.reverse,
        }
    }

    /// Takes a key in; whether the servo has to move.
    fn take(&mut self, ask: Ask) -> bool {
        let (before, step) = (self.pulse, STEPS[self.step]);
        let (least, most) = (micros(REACH.0), micros(REACH.1));
        match ask {
            Ask::Shorter => self.pulse = self.pulse.saturating_sub(step).max(least),
            Ask::Longer => self.pulse = (self.pulse + step).min(most),
            Ask::Bigger => self.step = (self.step + 1).min(STEPS.len() - 1),
            Ask::Smaller => self.step = self.step.saturating_sub(1),
            Ask::Shortest => self.shortest = Some(self.pulse),
            Ask::Longest => self.longest = Some(self.pulse),
            Ask::Centre => self.centre = Some(self.pulse),
            Ask::Reverse => self.reverse = !self.reverse,
            Ask::Write | Ask::Quit => {}
        }
        self.pulse != before
    }

    /// What to write. A centre that is not half-way between the ends becomes a trim: the ends are then as far from it
    /// on either side as the nearer one allows, and 1500us is straight ahead but for the trim.
    fn found(&self, servo: &ServoDrive) -> Result<Found, String> {
        let (min, max) = servo.pulse_range();
        let shortest = self.shortest.unwrap_or(micros(min));
        let longest = self.longest.unwrap_or(micros(max));
        if shortest + 10 > longest {
            return Err(format!(
                "the shortest pulse, {shortest}us, is not below the longest, {longest}us: go to each end, and say so there"
            ));
        }
        let reverse = self.reverse;
        let Some(centre) = self.centre else {
            return Ok(Found { shortest, longest, trim: 0, reverse });
        };
        let half = centre.saturating_sub(shortest).min(longest.saturating_sub(centre));
        if half < 5 {
            return Err(format!(
                "the centre, {centre}us, is not between {shortest}us and {longest}us"
            ));
        }
        let trim = i32::try_from(centre).unwrap_or(i32::MAX).saturating_sub(1500);
        Ok(Found { shortest: 1500 - half, longest: 1500 + half, trim, reverse })
    }

    fn text(&self) -> String {
        let or = |found: Option<u32>| found.map_or("-".to_owned(), |us| format!("{us}us"));
        format!(
            "pulse {}us  step {}us  shortest {}  centre {}  longest {}{}",
            self.pulse,
            STEPS[self.step],
            or(self.shortest),
            or(self.centre),
            or(self.longest),
            if self.reverse { "  reversed" } else { "" }
        )
    }
}

/// Where the keys come from.
enum Keys {
    Terminal(Term),
    Lines(std::io::Lines<std::io::StdinLock<'static>>),
}

impl Keys {
    /// The next one; the end of the input is the wish to end.
    fn next(&mut self) -> Result<Ask, CliError> {
        let unreadable = |e| CliError::Usage(format!("the keys can't be read: {e}"));
        loop {
            let ask = match self {
                Keys::Terminal(term) => Ask::of_key(&term.read_key_raw().map_err(unreadable)?),
                Keys::Lines(lines) => {
                    let Some(line) = lines.next().transpose().map_err(unreadable)? else {
                        return Ok(Ask::Quit);
                    };
                    let word = line.trim();
                    let ask = Ask::of_word(word);
                    if ask.is_none() && !word.is_empty() {
                        let text = format!("`{word}` is no key: see `lockstep calibrate --help`");
                        return Err(CliError::Usage(text));
                    }
                    ask
                }
            };
            if let Some(ask) = ask {
                return Ok(ask);
            }
        }
    }
}

/// Until somebody writes, or ends it.
pub(super) fn calibrate(args: &CalibrateArgs) -> Result<u8, CliError> {
    let name = &args.servo;
    let loaded = Config::from_file(&args.config).map_err(CliError::Config)?;
    let servo = match loaded.config.motor(name).map(|m| &m.drive) {
        Some(Drive::Servo(servo)) if servo.continuous => {
            return Err(CliError::Usage(format!(
                "`{name}` turns continuously: its pulses are speeds; jog it, `lockstep jog {name}=10% --for 1s`, and \
                 where it creeps at rest change its `trim`"
            )));
        }
        Some(Drive::Servo(servo)) => servo.clone(),
        Some(_) => {
            return Err(CliError::Usage(format!(
                "`{name}` is an axis: only servos are calibrated"
            )));
        }
        None => {
            let file = args.config.display();
            return Err(CliError::Usage(format!("{file} has no servo `{name}`")));
        }
    };
    let mut bench = Bench::new(&servo);
    let mut client = connect(&args.service)?;
    let take = protocol::LeaseTake {
        motors: vec![name.clone()],
        timeout: None,
        heartbeat: None,
        holder: None,
        token: super::client::token(),
    };
    client.request(Request::LeaseTake(take))?;
    // Ctrl-C is not heard in mid-move, so none may last for ever.
    client.set_timeout(Some(PATIENCE)).map_err(ClientError::Io)?;
    if !go(&mut client, name, bench.pulse)? {
        return Ok(FAILED);
    }
    let terminal = std::io::stdin().is_terminal();
    let mut keys = match terminal {
        true => Keys::Terminal(Term::stdout()),
        false => Keys::Lines(std::io::stdin().lines()),
    };
    if terminal {
        for line in HELP.lines().flat_map(|paragraph| fold(paragraph, room().min(100))) {
            to_stdout(&format!("{line}\n"))?;
        }
        to_stdout("\n")?;
    }
    #[cfg(target_os = "linux")]
    let _raw = terminal.then(super::raw::RawTerminal::new);
    loop {
        say(&bench.text(), terminal)?;
        let ask = keys.next()?;
        let before = bench.clone();
        if bench.take(ask) && !go(&mut client, name, bench.pulse)? {
            // It was stopped on its way, or has a fault: where it stands is not what is shown.
            bench = before;
        }
        match ask {
            Ask::Quit => {
                to_stdout("\nnothing was written\n")?;
                return Ok(FAILED);
            }
            Ask::Write => match bench.found(&servo) {
                Ok(found) => {
                    let kept = servo_file::write(&args.config, name, found)?;
                    let file = args.config.display();
                    to_stdout(&format!(
                        "\n{file} is written; what it was is in {}.\n`lockstep reload`, or a restart of the service, \
                         takes it on.\n",
                        kept.display()
                    ))?;
                    return Ok(DONE);
                }
                Err(text) => logging::say(format_args!("error: {text}")),
            },
            _ => {}
        }
    }
}

/// Moves the servo; false where it did not get there.
fn go(client: &mut Client, servo: &str, pulse: u32) -> Result<bool, CliError> {
    let to = Named(vec![(servo.to_owned(), PulseWidth::from_micros(pulse))]);
    let reply = client.request(Request::Pulse(protocol::Pulse { to, token: None }));
    match reply {
        Ok(Reply::Pulse(moved)) => {
            let done = moved.outcome.is_some_and(|o| o.result == EndResult::Done);
            if !done {
                logging::say(format_args!("error: {servo} did not get to {pulse}us"));
            }
            Ok(done)
        }
        Ok(_) => Ok(false),
        // Nothing has moved, and it may be another time.
        Err(ClientError::Refused(error)) if error.code == protocol::ErrorCode::Busy => {
            logging::say(format_args!("error: {error}"));
            Ok(false)
        }
        Err(e) => Err(e.into()),
    }
}

/// On a terminal in the same line, cut to its width.
fn say(text: &str, terminal: bool) -> Result<(), CliError> {
    if !terminal {
        return to_stdout(&format!("{text}\n"));
    }
    let columns = usize::from(Term::stdout().size().1).saturating_sub(1).max(1);
    to_stdout(&format!("\r\x1b[K{}", console::truncate_str(text, columns, "")))?;
    let _ = std::io::stdout().flush();
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn servo(text: &str) -> ServoDrive {
        let text = format!("[servo.pan]\npwm = {{ gpio = 18 }}\n{text}");
        let config = Config::from_str(&text, "t").unwrap().config;
        let Drive::Servo(servo) = &config.motors[0].drive else { panic!() };
        servo.clone()
    }

    #[test]
    fn every_word_has_its_key() {
        let words = "left right up down shortest longest centre center reverse write quit";
        for word in words.split(' ') {
            assert!(Ask::of_word(word).is_some(), "{word}");
        }
        assert_eq!(Ask::of_word("sideways"), None);
        for (key, ask) in [
            (Key::ArrowLeft, Some(Ask::Shorter)),
            (Key::ArrowRight, Some(Ask::Longer)),
            (Key::ArrowUp, Some(Ask::Bigger)),
            (Key::ArrowDown, Some(Ask::Smaller)),
            (Key::CtrlC, Some(Ask::Quit)),
            (Key::Char('x'), None),
        ] {
            assert_eq!(Ask::of_key(&key), ask);
        }
    }

    #[test]
    fn a_centre_off_the_middle_is_a_trim() {
        let servo = servo("");
        let mut bench = Bench::new(&servo);
        assert_eq!((bench.pulse, bench.step), (1500, 3));
        for (pulse, ask) in [(700, Ask::Shortest), (2300, Ask::Longest), (1450, Ask::Centre)] {
            bench.pulse = pulse;
            bench.take(ask);
        }
        bench.take(Ask::Reverse);
        let found = Found { shortest: 750, longest: 2250, trim: -50, reverse: true };
        assert_eq!(bench.found(&servo), Ok(found));
        bench.centre = None;
        let found = Found { shortest: 700, longest: 2300, trim: 0, reverse: true };
        assert_eq!(bench.found(&servo), Ok(found));
        bench.shortest = Some(2300);
        assert!(bench.found(&servo).is_err());
        bench.shortest = Some(2000);
        bench.centre = Some(1900);
        assert!(bench.found(&servo).is_err());
    }

    proptest! {
        /// Whatever keys come, no pulse leaves what servos take, and what is written is inside of what was found.
        #[test]
        fn keys_keep_within_reach(
            keys in prop::collection::vec(0usize..8, 0..400), min in 500u32..1400, max in 1600u32..2500,
        ) {
            let servo = servo(&format!("pulse = {{ min = \"{min}us\", max = \"{max}us\" }}\n"));
            let asks = [
                Ask::Shorter, Ask::Longer, Ask::Bigger, Ask::Smaller, Ask::Shortest, Ask::Longest, Ask::Centre,
                Ask::Reverse,
            ];
            let mut bench = Bench::new(&servo);
            prop_assert!((1000..=2000).contains(&bench.pulse));
            for key in keys {
                let before = bench.pulse;
                let moved = bench.take(asks[key]);
                prop_assert_eq!(moved, bench.pulse != before);
                prop_assert!((500..=2500).contains(&bench.pulse) && bench.pulse.abs_diff(before) <= 50);
            }
            if let Ok(found) = bench.found(&servo) {
                let trimmed = |us: u32| us.saturating_add_signed(found.trim);
                prop_assert!(trimmed(found.shortest) >= bench.shortest.unwrap_or(min));
                prop_assert!(trimmed(found.longest) <= bench.longest.unwrap_or(max));
                let middle = (trimmed(found.shortest) + trimmed(found.longest)) / 2;
                prop_assert!(bench.centre.is_none_or(|centre| centre == middle));
            }
        }
    }
}
