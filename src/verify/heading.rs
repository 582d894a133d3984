//! Whether a motor turns round where it must not: in a jog, on a line, and after the mark of a hold or a stop.
//!
//! A line and a jog have one direction, and a motor that goes one way can always come to rest that way: its
//! present plan does so. Only one that was told to turn round may be so near to it, at the mark of a hold or a
//! stop, that it can't be brought to rest before. Where the steps show that it was faster than that, it must
//! not turn, either; else it may, once.
//!
//! In grammar 1 a jog that is renewed in the other direction has the same mark as one that is renewed in its
//! own. There a turn is taken for asked for where the motor has braked for it from that mark on, as hard as
//! its limits let it: its last step before the turn comes no later than that takes.

use super::check::Tally;
use super::report::Bound;
use crate::trace::{MoveKind, PlanChange};

/// What the edges of an axis say of its speed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The limits: steps a second,
    pub speed: f64,
    /// squared,
    pub acceleration: f64,
    /// and cubed.
    pub jerk: f64,
    /// How late an edge may be, nanoseconds.
    pub late: u64,
}

impl Pace {
    /// How much a speed can change in `nanos`.
    fn changes(&self, nanos: u64) -> f64 {
        self.acceleration * (nanos + 2 * self.late) as f64 / 1e9
    }

    /// Whoever goes faster can come to rest without turning round, whatever its acceleration is.
    fn sure(&self) -> f64 {
        self.acceleration * self.acceleration / (2.0 * self.jerk)
    }

    /// How long it takes at most to come to rest from a speed that does not change, in nanoseconds.
    fn brakes_for(&self, speed: f64) -> f64 {
        let seconds = if speed * self.jerk >= self.acceleration * self.acceleration {
            speed / self.acceleration + self.acceleration / self.jerk
        } else {
            2.0 * (speed / self.jerk).sqrt()
        };
        seconds * 1e9
    }

    /// How long the speed may go on rising by `more` once the acceleration is told to fall, nanoseconds.
    fn rises_for(&self, more: f64) -> f64 {
        (2.0 * more.max(0.0) / self.jerk).sqrt().min(self.acceleration / self.jerk) * 1e9
    }
}

/// A renewal that may have been in the other direction.
#[derive(Clone, Copy, Debug)]
struct Renewal {
    at: u64,
    /// The least speed that it may have had there.
    speed: f64,
    /// The highest that it may have had since.
    top: f64,
}

/// The direction of a motor, and where it has to keep it.
#[derive(Debug)]
pub(super) struct Heading {
    pace: Option<Pace>,
    /// How its move is planned; none between moves, and where the trace does not say.
    kind: Option<MoveKind>,
    /// It was told to go elsewhere: no line and no jog any more.
    elsewhere: bool,
    /// It comes to rest, for a hold or a stop.
    brakes: bool,
    /// It rests, held.
    held: bool,
    /// It was told to turn round, in this move.
    turns: bool,
    /// So many turns are fine.
    spare: u32,
    renewed: Option<Renewal>,
    up: Option<bool>,
    /// The last step in this direction, and the one before it.
    last: Option<u64>,
    before: Option<u64>,
    kept: Tally,
    still: Tally,
}

impl Heading {
    /// `pace`: what steps say of the speed; none for a motor without steps.
    pub fn new(pace: Option<Pace>) -> Heading {
        Heading {
            pace,
            kind: None,
            elsewhere: false,
            brakes: false,
            held: false,
            turns: false,
            spare: 0,
            renewed: None,
            up: None,
            last: None,
            before: None,
            kept: Tally::default(),
            still: Tally::default(),
        }
    }

    /// A move begins.
    pub fn begin(&mut self, kind: MoveKind) {
        let (kept, still) = (std::mem::take(&mut self.kept), std::mem::take(&mut self.still));
        *self = Heading { kind: Some(kind), kept, still, ..Heading::new(self.pace) };
        self.turns = kind == MoveKind::Keyframes;
    }

    /// Its part of the move is over.
    pub fn end(&mut self) {
        self.kind = None;
    }

    /// Its plan changes at `at`. `signed`: the marks tell a turn from a renewal.
    pub fn changed(&mut self, change: PlanChange, at: u64, signed: bool) {
        let going = !matches!(change, PlanChange::Hold | PlanChange::Stop);
        match change {
            PlanChange::Hold | PlanChange::Stop => {
                self.brakes = true;
                let sure = !self.turns || self.faster_than_turning(at);
                self.spare = u32::from(!sure);
                self.renewed = None;
                return;
            }
            PlanChange::Turn => {
                // One that was not made yet may be made as well: to and fro.
                (self.turns, self.spare) = (true, (self.spare + 1).min(2));
            }
            PlanChange::Renew if !signed => match self.pace {
                Some(_) => {
                    self.turns = true;
                    let (speed, top) = self.speed(at);
                    self.renewed = Some(Renewal { at, speed, top });
                }
                None => (self.turns, self.spare) = (true, 1),
            },
            PlanChange::Retarget => (self.turns, self.elsewhere) = (true, true),
            _ => {}
        }
        self.brakes &= !going;
        self.held &= !going;
    }

    /// All motors of its move are at rest, held.
    pub fn held(&mut self) {
        self.held = self.brakes;
    }

    /// The direction that it went last, in this move.
    pub fn up(&self) -> Option<bool> {
        self.up
    }

    /// Whether it was told to turn round, and has not done so yet.
    pub fn is_to_turn(&self) -> bool {
        self.spare > 0 || self.renewed.is_some()
    }

    /// The least and the highest speed that the last steps leave it at `at`, in steps a second.
    fn speed(&self, at: u64) -> (f64, f64) {
        let Some(pace) = self.pace else { return (0.0, f64::INFINITY) };
        let (Some(last), Some(before)) = (self.last, self.before) else { return (0.0, pace.speed) };
        let (gap, changed) = (last - before, pace.changes(at.saturating_sub(before)));
        let least = 1e9 / (gap + pace.late) as f64 - changed;
        let most = 1e9 / gap.saturating_sub(pace.late).max(1) as f64 + changed;
        (least.max(0.0), most.min(pace.speed))
    }

    fn faster_than_turning(&self, at: u64) -> bool {
        let least = self.speed(at).0;
        self.pace.is_some_and(|pace| least > 0.0 && least >= pace.sure())
    }

    fn one_way(&self) -> bool {
        match self.kind {
            None | Some(MoveKind::Blend | MoveKind::Stream) => false,
            _ if self.brakes => true,
            Some(MoveKind::Aligned | MoveKind::Jog) => !self.elsewhere,
            Some(_) => false,
        }
    }

    /// It has gone on, up or down, by a step or by what a pulse can show.
    pub fn goes(&mut self, at: u64, up: bool) {
        if self.kind.is_none() {
            return;
        }
        // A servo's last pulses may show the rest of its way a little later.
        if self.brakes && self.pace.is_some() {
            self.still.look(at, !self.held, || "moves while it is held".into());
        }
        let turned = self.up.replace(up).is_some_and(|was| was != up);
        if self.one_way() {
            let fine = !turned || self.may_turn();
            let brakes = self.brakes;
            self.kept.look(at, fine, || match brakes {
                true => "turns round instead of coming to rest".into(),
                false => "turns round".into(),
            });
        }
        if turned {
            self.spare = self.spare.saturating_sub(1);
            // On in the direction of a jog it can come to rest like any other.
            self.turns &= self.kind != Some(MoveKind::Jog) || self.elsewhere || self.is_to_turn();
            (self.before, self.last) = (None, Some(at));
            return;
        }
        self.before = self.last.replace(at);
        let most = self.speed(at).1;
        if let (Some(renewed), Some(_)) = (&mut self.renewed, self.before) {
            renewed.top = renewed.top.max(most);
        }
    }

    fn may_turn(&self) -> bool {
        if self.spare > 0 {
            return true;
        }
        let (Some(renewed), Some(pace), Some(last)) = (self.renewed, self.pace, self.last) else {
            return false;
        };
        let brakes = pace.rises_for(renewed.top - renewed.speed) + pace.brakes_for(renewed.top);
        last.saturating_sub(renewed.at) as f64 <= brakes + (4 * pace.late) as f64
    }

    /// The rows of the table, where there was anything to look at.
    pub fn finish(self, name: &str) -> impl Iterator<Item = Bound> {
        let kept = self.kept.rule(name, "one way", "yes");
        let still = self.still.rule(name, "still while held", "yes");
        [kept, still].into_iter().filter(|b| b.verdict != super::Verdict::NothingSeen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A jog that was sent elsewhere may turn as often as it is sent: also when a hold and a stop come in between.
    #[test]
    fn a_jog_that_was_sent_elsewhere_may_turn_while_it_brakes() {
        let pace = Pace { speed: 200.0, acceleration: 2000.0, jerk: 40_000.0, late: 0 };
        for sent in [true, false] {
            let mut heading = Heading::new(Some(pace));
            heading.begin(MoveKind::Jog);
            heading.goes(10_000_000, true);
            if sent {
                heading.changed(PlanChange::Retarget, 11_000_000, true);
            } else {
                heading.changed(PlanChange::Turn, 11_000_000, true);
            }
            heading.goes(60_000_000, false);
            heading.goes(90_000_000, false);
            heading.changed(PlanChange::Hold, 95_000_000, true);
            heading.changed(PlanChange::Stop, 120_000_000, true);
            heading.goes(140_000_000, true);
            let broken = heading.finish("x").any(|b| b.count > 0);
            assert_eq!(broken, !sent, "sent elsewhere: {sent}");
        }
    }
}
