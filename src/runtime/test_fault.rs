//! A motor's loop that panics or hangs on purpose. For tests alone: of what follows then, on the very
//! program that is shipped. Whoever runs motors has no use for it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::motor::{Command, Input, Motor, Wake};
use crate::units::{Instant, Time};

/// Which motor's loop goes wrong, when and how: `panic:x@1.5s`, `hang:x@1.5s`.
///
/// The time counts from the first move that the motor is told of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TestFault {
    /// The motor's name.
    pub motor: String,
    end: End,
    after: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Panic,
    Hang,
}

impl FromStr for TestFault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':').and_then(|(kind, rest)| {
            let (motor, after) = rest.rsplit_once('@')?;
            let end = match kind {
                "panic" => End::Panic,
                "hang" => End::Hang,
                _ => return None,
            };
            Some((motor, end, after))
        });
        let Some((motor, end, after)) = parts else {
            return Err(format!("`{text}` is no fault: write panic:MOTOR@TIME or hang:MOTOR@TIME"));
        };
        let Time(after) = after.parse().map_err(|e| format!("`{text}`: {e}"))?;
        Ok(TestFault { motor: motor.to_owned(), end, after })
    }
}

impl fmt::Display for TestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = match self.end {
            End::Panic => "panics",
            End::Hang => "hangs",
        };
        let after = Time(self.after);
        write!(f, "the loop of {} {end} {after} after its first move began", self.motor)
    }
}

impl TestFault {
    /// The motor, with this fault in its loop.
    pub(crate) fn plant(&self, inner: Box<dyn Motor>) -> Box<dyn Motor> {
        Box::new(Faulty { inner, fault: self.clone(), at: Instant::FAR })
    }
}

struct Faulty {
    inner: Box<dyn Motor>,
    fault: TestFault,
    at: Instant,
}

impl Motor for Faulty {
    fn command(&mut self, command: Command, now: Instant) {
        if self.at == Instant::FAR && matches!(command, Command::Arm(_)) {
            self.at = now + self.fault.after;
        }
        self.inner.command(command, now);
    }

    fn poll(&mut self, now: Instant) -> Wake {
        if now >= self.at {
            match self.fault.end {
                End::Panic => panic!("the fault that a test asked for"),
                End::Hang => loop {
                    std::thread::sleep(Duration::from_secs(3600));
                },
            }
        }
        let wake = self.inner.poll(now);
        // Its own loop may want to sleep beyond that.
        if self.at < wake.at { Wake::about(self.at) } else { wake }
    }

    fn on_input(&mut self, input: Input, active: bool, at: Instant) {
        self.inner.on_input(input, active, at);
    }

    fn leads(&self) -> crate::motor::Leads {
        self.inner.leads()
    }

    fn make_safe(&mut self) {
        self.inner.make_safe();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_shows() {
        let fault: TestFault = "panic:x@1.5s".parse().unwrap();
        assert_eq!(fault.to_string(), "the loop of x panics 1.5s after its first move began");
        let fault: TestFault = "hang:a@b@20ms".parse().unwrap();
        assert_eq!(fault.motor, "a@b");
        assert_eq!(fault.after, Duration::from_millis(20));
        for wrong in ["", "panic", "panic:x", "stall:x@1s", "hang:x@1", "hang:x@-1s"] {
            assert!(wrong.parse::<TestFault>().is_err(), "{wrong}");
        }
    }
}
