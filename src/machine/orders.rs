//! What a machine that moves can be told: hold, resume, faster or slower, elsewhere, stop, halt.

use super::{Class, Held, Machine, MotorIndex, Move, MoveError, Position};
use crate::motor::{Command, MoveId};
use crate::moves::Ordered;
use crate::units::Instant;

impl Machine {
    /// Feed hold: every motor comes to rest on its path, within its limits, and waits there for
    /// [`Machine::resume`]. Returns at once; [`Machine::wait_held`] waits until it is so.
    ///
    /// - Motors of an aligned move stay on their line. One that has all but arrived arrives.
    /// - A move that has not begun yet waits at its start; one that is started while the machine is held
    ///   is planned and takes its motors, but waits before they hear of it. (A servo that gets its first
    ///   signal goes to its target by itself: from its start on that can't be held.)
    /// - The time-outs of moves pause, and so does the clock of a program: its pauses, the pace of its
    ///   sweeps, the next step. A jog's deadline does not.
    /// - A second hold changes nothing. A stop or a halt ends it.
    pub fn hold(&mut self) {
        self.hold_those(&[]);
    }

    /// The same for the move that a motor is part of; nothing where it is at rest.
    ///
    /// # Errors
    ///
    /// [`MoveError::UnknownMotor`], [`MoveError::NotUnderWay`].
    pub fn hold_motor(&mut self, motor: &str) -> Result<(), MoveError> {
        let index = self.book.find(motor)?;
        self.book.motors[index].busy.map_or(Ok(()), |id| self.hold_move(id))
    }

    /// The same for one move. The others, and the program's clock, go on.
    ///
    /// # Errors
    ///
    /// [`MoveError::NotUnderWay`]: it has ended, or is on its way to a stop.
    pub fn hold_move(&mut self, id: MoveId) -> Result<(), MoveError> {
        self.hear_out();
        self.tell_book(|book| book.hold_move(id))
    }

    /// On from a hold, along the same path: every move that is held, or about to be. Also before they
    /// have come to rest; where there is no hold it does nothing.
    ///
    /// Keyframes go on with those that are left, in their order, at rest in each: their times are moved
    /// on by the hold, and by as much more as the slowest motor needs to be in its next one, since it
    /// begins at rest. They come to rest before they go on.
    pub fn resume(&mut self) {
        if let Err(error) = self.resume_those(&[]) {
            log::warn!("not resumed: {error}");
        }
    }

    /// The same for one move.
    ///
    /// # Errors
    ///
    /// [`MoveError::NotUnderWay`]: it has ended, or is on its way to a stop; [`MoveError::Held`]: the
    /// machine as a whole is held.
    pub fn resume_move(&mut self, id: MoveId) -> Result<(), MoveError> {
        self.hear_out();
        self.tell_book(|book| book.resume_move(id))
    }

    /// Whether [`Machine::hold`] holds: its motors may still be on their way to rest.
    pub fn is_held(&self) -> bool {
        self.book.is_held()
    }

    /// Waits until a move that is told to hold is at rest, and says where. `None`: it has ended, or is
    /// not told to hold. The wait is bounded by the time that it takes to come to rest.
    pub fn wait_held(&mut self, id: MoveId) -> Option<Held> {
        loop {
            match self.book.held(id) {
                Ok(held) => return Some(held),
                Err(false) => return None,
                Err(true) => self.pump(Instant::FAR),
            }
        }
    }

    /// Waits until every move that is told to hold is at rest, and says where its motors are. Under a
    /// hold of the machine nothing moves then: what was coming to a stop has ended, too.
    pub fn wait_all_held(&mut self) -> Vec<Held> {
        if self.is_held() {
            self.settle();
        }
        let ids = self.book.open_moves();
        ids.into_iter().filter_map(|id| self.wait_held(id)).collect()
    }

    /// The speed override in percent: 100 unless [`Machine::set_override`] says else.
    pub fn speed_override(&self) -> f64 {
        self.book.speed_override(Class::Feed)
    }

    /// Scales the speed of everything that moves, and of what will: from 1 % to 200 % of what each move
    /// asks for, and never more than a motor's speed limit. Acceleration and jerk keep their limits. What
    /// moves changes its speed on its path at once; time-outs leave as much room as before.
    ///
    /// Keyframes have their times: it does not change them.
    ///
    /// # Errors
    ///
    /// [`MoveError::Override`]: out of range. [`MoveError::Plan`]: something that moves could not go on so
    /// slowly. Nothing has changed.
    pub fn set_override(&mut self, percent: f64) -> Result<(), MoveError> {
        self.hear_out();
        self.tell_book(|book| book.set_override(None, percent))
    }

    /// The same for one class of moves alone.
    ///
    /// # Errors
    ///
    /// As for [`Machine::set_override`].
    pub fn set_class_override(&mut self, class: Class, percent: f64) -> Result<(), MoveError> {
        self.hear_out();
        self.tell_book(|book| book.set_override(Some(class), percent))
    }

    /// The same for one move alone, beside what holds for all: of 50 % here and 50 % there a quarter is left.
    /// It ends with the move.
    ///
    /// ```
    /// use lockstep::config::Config;
    /// use lockstep::machine::{Machine, Move};
    /// use lockstep::units::Length;
    ///
    /// let config = Config::from_file("config/xyz-stage.toml")?.config;
    /// let mut machine = Machine::builder(config).virtual_time().build()?;
    /// let x = machine.start(&Move::new().to("x", Length(50.0)))?;
    /// let y = machine.start(&Move::new().to("y", Length(50.0)))?;
    /// machine.set_override_of(x, 20.0)?;
    /// machine.wait(y);
    /// assert!(machine.is_under_way(x), "x is slower now");
    /// assert!(machine.wait(x).all_reached());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`MoveError::Override`]: out of range. [`MoveError::NotUnderWay`]: there is no such move, or it is
    /// being stopped. [`MoveError::Plan`]: it could not go on so slowly. Nothing has changed.
    pub fn set_override_of(&mut self, id: MoveId, percent: f64) -> Result<(), MoveError> {
        self.hear_out();
        self.tell_book(|book| book.set_override_of(id, percent))
    }

    /// Sends motors of a move elsewhere, without a stop in between. Each goes by itself, from the state
    /// that it has: limits and ends are promised, a line no more. Motors of the move that have no new
    /// target keep theirs. A move that is held gets its new targets and goes there when it is resumed.
    ///
    /// Time-out, speed and the rest of the move stay as they are: those of `spec` say nothing. Where the
    /// motors' loops are so late that they can't agree before a motor has arrived, it stays there, and
    /// its outcome is short, [`Cause::Missed`](super::Cause).
    ///
    /// # Errors
    ///
    /// [`MoveError`]: refused whole, and the move goes on as it was. Among others: a motor that is not
    /// part of the move or has all but arrived, a target outside the travel, a motor too fast to stay
    /// inside its travel.
    pub fn retarget(&mut self, id: MoveId, spec: &Move) -> Result<(), MoveError> {
        let targets = spec.resolve(&self.book)?;
        self.hear_out();
        self.tell_book(|book| book.retarget(id, &targets))
    }

    /// Brings one motor to rest on its path, and drops the rest of its part. The others of its move go
    /// on, but for an aligned one: there all come to rest, since the line ends. Returns at once; the
    /// motor's outcome comes as ever. A motor that does not move is no error.
    ///
    /// # Errors
    ///
    /// [`MoveError::UnknownMotor`].
    pub fn stop_motor(&mut self, motor: &str) -> Result<(), MoveError> {
        let index = self.book.find(motor)?;
        self.hear_out();
        self.tell_book(|book| book.stop_motor(index));
        Ok(())
    }

    /// Brings a move to rest on its path, and drops the rest. Does nothing where it has ended. Wait for
    /// it as ever.
    pub fn stop_move(&mut self, id: MoveId) {
        self.tell_book(|book| book.stop_move(id));
    }

    /// Brings everything to rest on its path, waits until it is, and carries out each motor's
    /// `on-stop`. Moves are refused until [`Machine::clear`].
    pub fn stop(&mut self) {
        self.come_to_stop(true);
    }

    /// The same, but no servo goes to its parking place: after a fault nothing moves by itself.
    pub fn stop_in_place(&mut self) {
        self.come_to_stop(false);
    }

    fn come_to_stop(&mut self, may_park: bool) {
        self.stop.set();
        self.on_stop();
        self.settle();
        if self.book.ordered() == Ordered::Stop {
            let config = self.book.config.clone();
            if may_park {
                self.park(&config);
            }
            self.tell_book(|book| book.apply_on_stop());
        }
    }

    /// Every motor stands still after its last whole pulse, without braking; waits until they do. The
    /// counts stay exact. An axis that was faster than its start-stop speed may have slipped: it is
    /// marked [`Place::Unknown`](super::Place::Unknown) and has to be told where it is ([`Machine::set_position`]).
    ///
    /// Moves are refused until [`Machine::clear`].
    pub fn halt(&mut self) {
        self.halt.set();
        self.on_stop();
        self.settle();
    }

    /// Allows moves again after a stop or a halt, once everything is at rest: waits for that. Says
    /// whether it did: not where motors' loops do not answer.
    pub fn clear(&mut self) -> bool {
        // A stop that was not heard yet still stops what moves now.
        self.on_stop();
        if self.book.ordered() != Ordered::Nothing {
            self.settle();
            self.stop.clear();
            self.halt.clear();
            self.tell_book(|book| book.clear());
        }
        !self.is_stopped()
    }

    /// A stop event is newly set: the orderly one, or the halt.
    pub(super) fn on_stop(&mut self) {
        self.tell_book(|book| book.on_stop());
    }

    /// Says where an axis is that stands still: what it has counted so far is `position`, rounded to its
    /// nearest step. From then on its place is [`Place::Assumed`](super::Place::Assumed).
    ///
    /// # Errors
    ///
    /// [`MoveError`]: it moves, or its part of a move waits; it is a servo, whose place its signal is;
    /// the position is outside its travel or in another unit; its loop does not answer.
    pub fn set_position(
        &mut self,
        motor: &str,
        position: impl Into<Position>,
    ) -> Result<(), MoveError> {
        self.set_positions(&[(motor, position.into())])
    }

    /// The same for several axes: all of them, or none.
    ///
    /// # Errors
    ///
    /// As for [`Machine::set_position`], of the first that can't be told. Where a loop does not answer, those before
    /// it have been told.
    pub fn set_positions(&mut self, places: &[(&str, Position)]) -> Result<(), MoveError> {
        self.hear_out();
        let mut counts: Vec<(MotorIndex, i64)> = Vec::with_capacity(places.len());
        for (motor, position) in places {
            let index = self.book.find(motor)?;
            if counts.iter().any(|c| c.0 == index) {
                return Err(MoveError::Twice { motor: (*motor).to_owned() });
            }
            counts.push((index, self.book.count_for(index, *position)?));
        }
        for (index, count) in counts {
            self.command(index, Command::SetCount(count))?;
            self.tell_book(|book| book.count_is(index, count));
        }
        Ok(())
    }

    /// Waits until nothing moves. What is held waits for its resume.
    pub(super) fn settle(&mut self) {
        while !self.book.all_at_rest() {
            self.pump(Instant::FAR);
        }
    }
}
