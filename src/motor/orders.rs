use super::{FaultKind, Outbox, Report};

/// Whether a motor takes orders for moves, and what keeps it from that: the same for every kind of motor.
#[derive(Default)]
pub(super) struct Orders {
    /// It has a fault, and has not recovered.
    faulty: bool,
    /// The program is about to end.
    ended: bool,
    /// The driver's fault line is active.
    line: bool,
}

impl Orders {
    pub fn are_refused(&self) -> bool {
        self.faulty || self.ended
    }

    /// None until it has recovered.
    pub fn fail(&mut self) {
        self.faulty = true;
    }

    /// None any more.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// The driver's fault line has changed. Says whether the motor has to fail for it: not twice.
    pub fn hear_line(&mut self, active: bool) -> bool {
        self.line = active;
        active && !self.are_refused()
    }

    /// Told to recover. What came on the line while it had a fault is not lost: it is not said then that the
    /// motor has recovered.
    pub fn recover(&mut self, out: &mut Outbox) {
        if self.line {
            out.say(Report::Fault(FaultKind::Driver));
        } else if !self.ended {
            self.faulty = false;
            out.say(Report::Recovered);
        }
    }
}
