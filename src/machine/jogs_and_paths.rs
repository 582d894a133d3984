//! Moves of other kinds: jogs, and paths that are run through without a stop.

use std::time::Duration;

use super::{BlendedPath, Jog, Machine, MoveError, Steered};
use crate::motor::{MotorIndex, MoveId};

impl Machine {
    /// Moves motors at velocities until the deadline, counted from the start, and brings them to rest
    /// then, unless [`Machine::renew_jog`] or [`Machine::change_jog`] comes before. At the end of its
    /// travel a motor comes to rest before. Either way its outcome is *reached*: it is where it was to
    /// be. The machine's speed override holds for jogs, too.
    ///
    /// An axis that does not know where it is may be jogged: nothing but the deadline bounds it then.
    ///
    /// # Errors
    ///
    /// [`MoveError`]: refused whole, and nothing has moved.
    pub fn jog(&mut self, jog: &Jog) -> Result<MoveId, MoveError> {
        let velocities = jog.resolve(&self.book)?;
        let owner = self.acting.clone();
        self.tell_book(|book| book.start_jog(&velocities, jog.lasts, &owner))
    }

    /// Keeps a jog's velocities for this long from now on. What has come to rest already, at the end of
    /// its travel, stays there.
    ///
    /// # Errors
    ///
    /// There is no such jog under way any more: [`MoveError::NotUnderWay`].
    pub fn renew_jog(&mut self, id: MoveId, lasts: Duration) -> Result<(), MoveError> {
        self.hear_out();
        self.tell_book(|book| book.reset_jog(id, None, lasts))
    }

    /// Gives a jog other velocities, kept for its new duration from now on. It has to name motors of
    /// that jog alone; those it leaves out keep their velocity, and their time.
    ///
    /// # Errors
    ///
    /// There is no such jog under way any more, or a velocity that its motor can't have: then all of it
    /// goes on as it was.
    pub fn change_jog(&mut self, id: MoveId, jog: &Jog) -> Result<(), MoveError> {
        let velocities = jog.resolve(&self.book)?;
        self.hear_out();
        self.tell_book(|book| book.reset_jog(id, Some(&velocities), jog.lasts))
    }

    /// Jogs these motors, whatever jogs they are in: those that jog already go on in theirs, with the new
    /// velocity and for the new time; the others begin one together; motors that are not named keep what they
    /// have. A velocity of 0 brings its motor to rest, and ends its part.
    ///
    /// ```
    /// use std::time::Duration;
    /// use lockstep::{config::Config, machine::{Jog, Machine, Steered}, units::Speed};
    ///
    /// let config = Config::from_file("config/xyz-stage.toml")?.config;
    /// let mut machine = Machine::builder(config).virtual_time().build()?;
    /// let kept = Duration::from_millis(300);
    /// let x = machine.steer(&Jog::lasting(kept).at("x", Speed(5.0)))?;
    /// machine.run_for(Duration::from_millis(200));
    /// let both = machine.steer(&Jog::lasting(kept).at("x", Speed(0.0)).at("y", Speed(5.0)))?;
    /// assert_eq!(both[0], Steered { motor: "x".into(), jog: x[0].jog, begun: false });
    /// assert!(both[1].begun);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`MoveError`]: refused whole, and everything goes on as it was.
    pub fn steer(&mut self, jog: &Jog) -> Result<Vec<Steered>, MoveError> {
        let velocities = jog.resolve(&self.book)?;
        self.hear_out();
        let owner = self.acting.clone();
        let steered = self.tell_book(|book| book.steer(&velocities, jog.lasts, &owner))?;
        let of = |(motor, jog, begun): (MotorIndex, MoveId, bool)| Steered {
            motor: self.book.models[motor].name.clone(),
            jog,
            begun,
        };
        Ok(steered.into_iter().map(of).collect())
    }

    /// Runs through the places of a path without a stop, on one time line for all its motors: near each
    /// corner within its blend, within every motor's speed, acceleration and jerk. It rests at the last
    /// place. What a move can be told it can be told, too: it holds, resumes, changes its speed and stops
    /// on its path. Its time-out is 5 s more than it is planned to take.
    ///
    /// An open path takes more places while it runs. Where they come too late it rests at the last one
    /// that it has, and goes on when there are more.
    ///
    /// # Errors
    ///
    /// [`MoveError`]: the path is refused whole, and nothing has moved. Among others: motors of different
    /// units, an axis with backlash, a servo that has no signal yet, more motors than a path can have
    /// (8).
    pub fn start_path(&mut self, path: &BlendedPath) -> Result<MoveId, MoveError> {
        let places = path.resolve(&self.book)?;
        let mut motors: Vec<MotorIndex> = Vec::new();
        for place in &places {
            for (motor, _) in &place.targets {
                if !motors.contains(motor) {
                    motors.push(*motor);
                }
            }
        }
        self.start_run(motors, &places, path.open, path.on_fault)
    }

    /// More places for an open path, in order. What comes in excess of what is needed soon waits.
    ///
    /// # Errors
    ///
    /// [`MoveError`]: nothing was added. Among others: the move is no path that is open, or a place names
    /// a motor that is not part of it.
    pub fn extend_path(&mut self, id: MoveId, more: &BlendedPath) -> Result<(), MoveError> {
        let places = more.resolve(&self.book)?;
        self.tell_book(|book| book.extend_run(id, &places))
    }

    /// The last place that an open path was given is its end.
    ///
    /// # Errors
    ///
    /// [`MoveError::NotOpen`].
    pub fn end_path(&mut self, id: MoveId) -> Result<(), MoveError> {
        self.tell_book(|book| book.end_path(id))
    }

    /// Whether an open path can use more places now. (It takes more all the same.)
    pub fn path_wants(&self, id: MoveId) -> bool {
        self.book.path_wants(id)
    }
}
