use rsruckig::prelude::{Ruckig, ThrowErrorHandler};

use super::check::{Excess, check};
use super::fit::fit;
use super::solver::{Goal, PHASES, Phase, Solve, Solver, Trouble};
use super::symmetric::Symmetric;
use super::{LONGEST, Limits, PlanError, State, Trajectory, seconds};

/// Plans motions that take the least time within limits and end at rest.
///
/// Keep one and use it again: it holds the solver's working storage. A plan takes about a
/// microsecond.
///
/// Each plan is checked, from its segments alone, before it is handed out:
///
/// - it begins in the state asked for, exactly, and its [`end`](Trajectory::end) is the target,
///   exactly; the last segment runs into it to within 1e-12 of the positions' size, 1e-9 of the
///   top speed and 1e-9 of the top acceleration;
/// - speed, acceleration and jerk keep their limits to within a part in 1e9. A start above a limit
///   is allowed: then the plan never exceeds what the start has (and what its acceleration still
///   adds to its speed while the jerk limit takes it back), and comes down into the limits.
///
/// A plan that does not is never handed out; that is an error.
///
/// ```
/// use lockstep::motion::{Limits, Planner, State};
///
/// let mut planner = Planner::new();
/// let limits = Limits { speed: 50.0, acceleration: 500.0, jerk: 5000.0 };
/// let there = planner.plan_to(State::at_rest(0.0), 100.0, limits)?;
///
/// // Half way it is told to stop.
/// let moving = there.state_at(there.duration() / 2);
/// let stop = planner.plan_rest(moving, limits)?;
/// assert_eq!(stop.start(), moving);
/// assert!(stop.end() > moving.position && stop.end() < 60.0);
/// # Ok::<(), lockstep::motion::PlanError>(())
/// ```
pub struct Planner {
    engine: Engine<Ruckig<1, ThrowErrorHandler>>,
    /// How many plans it was asked for.
    #[cfg(test)]
    made: u64,
}

impl Planner {
    /// A planner.
    pub fn new() -> Self {
        Planner {
            engine: Engine { solver: Solver::new() },
            #[cfg(test)]
            made: 0,
        }
    }

    fn engine(&mut self) -> &mut Engine<Ruckig<1, ThrowErrorHandler>> {
        #[cfg(test)]
        {
            self.made += 1;
        }
        &mut self.engine
    }

    /// How many plans it was asked for.
    #[cfg(test)]
    pub(crate) fn made(&self) -> u64 {
        self.made
    }

    /// The fastest way from a state to rest at `target`.
    ///
    /// From rest it goes straight there. From a moving state it may have to pass the target and
    /// come back: check the [`extremes`](Trajectory::extremes) against the travel. A start that can
    /// only just stop at the target (as in the last part of a plan to it) may pass it by a hair, for
    /// the rounding to nanoseconds: by no more than its speed covers in 200 ns.
    ///
    /// # Errors
    ///
    /// [`PlanError`]: a number that is not finite, a limit that is not above 0, a plan longer than
    /// a hundred days, or no plan that passes the checks.
    pub fn plan_to(
        &mut self,
        from: State,
        target: f64,
        limits: Limits,
    ) -> Result<Trajectory, PlanError> {
        self.engine().position(from, target, limits)
    }

    /// On to rest at `target`, for a motion that may be faster than its limit, which is lower now: it
    /// comes down to the limit and goes on at that. Where [`plan_to`](Planner::plan_to) comes
    /// into the limits as fast as it can, and may turn back for it, this never turns back while the
    /// target is ahead and far enough to stop there. From any other start the two are the same.
    ///
    /// ```
    /// use lockstep::motion::{Limits, Planner, State};
    ///
    /// let limits = Limits { speed: 5.0, acceleration: 500.0, jerk: 5000.0 };
    /// let fast = State { position: 0.0, velocity: 50.0, acceleration: 0.0 };
    /// let mut planner = Planner::new();
    /// let slower = planner.onward(fast, 100.0, limits)?;
    /// assert!((0..1000).all(|ms| slower.state_at(ms * 1_000_000).velocity >= 5.0 - 1e-6));
    /// # Ok::<(), lockstep::motion::PlanError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`plan_to`](Planner::plan_to).
    pub fn onward(
        &mut self,
        from: State,
        target: f64,
        limits: Limits,
    ) -> Result<Trajectory, PlanError> {
        self.engine().onward(from, target, limits)
    }

    /// The fastest way from a state to rest, wherever that ends.
    ///
    /// # Errors
    ///
    /// As [`plan_to`](Planner::plan_to).
    pub fn plan_rest(&mut self, from: State, limits: Limits) -> Result<Trajectory, PlanError> {
        self.engine().rest(from, limits)
    }

    /// From a state to rest at a whole number, at the place where it can stop or beyond: never by turning
    /// back. It goes on at no more than the speed that it has; where that takes a tenth of a second
    /// longer than to rest at once, it rests at once, wherever that is.
    ///
    /// ```
    /// use lockstep::motion::{Limits, Planner, State};
    ///
    /// let limits = Limits { speed: 50.0, acceleration: 500.0, jerk: 5000.0 };
    /// let moving = State { position: 0.1, velocity: 50.0, acceleration: 0.0 };
    /// let mut planner = Planner::new();
    /// let (rest, ahead) = (planner.plan_rest(moving, limits)?, planner.plan_rest_ahead(moving, limits)?);
    /// assert_eq!(ahead.end(), rest.end().ceil());
    /// # Ok::<(), lockstep::motion::PlanError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`plan_to`](Planner::plan_to).
    pub fn plan_rest_ahead(
        &mut self,
        from: State,
        limits: Limits,
    ) -> Result<Trajectory, PlanError> {
        self.engine().rest_ahead(from, 0.0, limits)
    }

    /// From a state to a velocity, in the least time, on at that until `lasts` nanoseconds are over, and to
    /// rest then: at a whole number, by [`plan_rest_ahead`](Planner::plan_rest_ahead), where `whole` says so. It
    /// turns round only where it moves the other way at first.
    ///
    /// ```
    /// use lockstep::motion::{Limits, Planner, State};
    ///
    /// let limits = Limits { speed: 50.0, acceleration: 500.0, jerk: 5000.0 };
    /// let cruise = Planner::new().cruise(State::at_rest(0.0), -20.0, 2_000_000_000, limits, true)?;
    /// assert_eq!(cruise.state_at(1_000_000_000).velocity, -20.0);
    /// assert!((-41.0..=-40.0).contains(&cruise.end()) && cruise.end().fract() == 0.0);
    /// # Ok::<(), lockstep::motion::PlanError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`plan_to`](Planner::plan_to).
    pub fn cruise(
        &mut self,
        from: State,
        velocity: f64,
        lasts: u64,
        limits: Limits,
        whole: bool,
    ) -> Result<Trajectory, PlanError> {
        self.engine().cruise(from, velocity, lasts, limits, whole)
    }
}

impl Default for Planner {
    fn default() -> Self {
        Planner::new()
    }
}

impl std::fmt::Debug for Planner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Planner").finish_non_exhaustive()
    }
}

/// After so many rounds it takes more than lower limits: longer phases.
const SMALL_CUTS: usize = 12;

/// How often a plan is made again with lower limits before that counts as impossible.
const ROUNDS: usize = 40;

/// The planner, over a solver that a test can stand in for.
pub(super) struct Engine<S> {
    pub solver: Solver<S>,
}

impl<S: Solve> Engine<S> {
    pub(super) fn position(
        &mut self,
        from: State,
        target: f64,
        limits: Limits,
    ) -> Result<Trajectory, PlanError> {
        check_start(from, limits)?;
        let distance = target - from.position;
        if !(target.is_finite() && distance.is_finite()) {
            return Err(PlanError::NotFinite { what: "target", value: target });
        }
        if !from.is_at_rest() {
            return self.moving(from, Some(target), limits);
        }
        if distance == 0.0 {
            return Ok(Trajectory::rest(target));
        }
        self.straight(from.position, target, limits)
    }

    pub(super) fn rest(&mut self, from: State, limits: Limits) -> Result<Trajectory, PlanError> {
        check_start(from, limits)?;
        if from.is_at_rest() {
            return Ok(Trajectory::rest(from.position));
        }
        self.moving(from, None, limits)
    }

    /// From rest to rest: the solver's durations, rounded up (see the module's formulae).
    fn straight(
        &mut self,
        start: f64,
        target: f64,
        limits: Limits,
    ) -> Result<Trajectory, PlanError> {
        let distance = target - start;
        let phases = self
            .solver
            .phases(0.0, 0.0, Goal::Distance(distance), limits)
            .map_err(|trouble| explain(trouble, State::at_rest(start), Some(target)))?;
        check_length(&phases)?;
        let longest = |of: &[usize]| of.iter().fold(0.0_f64, |t, &i| t.max(phases[i].seconds));
        let mut symmetric = Symmetric {
            start,
            target,
            // Without a cruise, the solver may put both phases of opposite jerk into one.
            jerk: nanos_up(longest(&[0, 6]).max((phases[2].seconds + phases[4].seconds) / 2.0))
                .max(1),
            hold: nanos_up(longest(&[1, 5])),
            cruise: nanos_up(longest(&[3])),
        };
        // The solver's last bits can be a nanosecond short.
        let mut more = 1;
        loop {
            let trajectory = symmetric.trajectory();
            let Err(error) = check(&trajectory, State::at_rest(start), limits) else {
                return Ok(trajectory);
            };
            match error {
                Excess { jerk, .. } if jerk > 0.0 => symmetric.jerk += more,
                Excess { acceleration, .. } if acceleration > 0.0 => symmetric.hold += more,
                Excess { speed, .. } if speed > 0.0 => symmetric.cruise += more,
                error => return Err(error.explain(limits)),
            }
            if more > 1 << 20 {
                return Err(error.explain(limits));
            }
            more *= 2;
        }
    }

    /// From a moving state: the solver's durations, rounded; the jerks, corrected; again with lower
    /// limits if that exceeds them.
    fn moving(
        &mut self,
        from: State,
        target: Option<f64>,
        limits: Limits,
    ) -> Result<Trajectory, PlanError> {
        let goal = target.map_or(Goal::Rest, |target| Goal::Distance(target - from.position));
        let mut cut = Excess::default();
        let mut jerk = limits.jerk;
        let mut last = None;
        for round in 0..ROUNDS {
            let asked = cut.below(Limits { jerk, ..limits });
            let phases = match self.solver.phases(from.velocity, from.acceleration, goal, asked) {
                Ok(phases) => phases,
                Err(trouble) if round == 0 => return Err(explain(trouble, from, target)),
                Err(trouble) => {
                    last = Some(explain(trouble, from, target));
                    jerk *= 0.75;
                    continue;
                }
            };
            check_length(&phases)?;
            let Some(trajectory) = fit(from, &phases, target) else {
                // A matter of a few nanoseconds. Less jerk makes them more.
                jerk *= 0.25;
                continue;
            };
            let Err(error) = check(&trajectory, from, limits) else {
                return Ok(trajectory);
            };
            last = Some(error.explain(limits));
            cut.raise(error);
            if round >= SMALL_CUTS || error.most() > 0.1 {
                jerk *= 0.5;
            }
        }
        Err(last.unwrap_or(PlanError::Unfaithful { what: "durations", value: 0.0, wanted: 1.0 }))
    }
}

fn check_start(from: State, limits: Limits) -> Result<(), PlanError> {
    limits.check()?;
    let named = [
        ("start position", from.position),
        ("start velocity", from.velocity),
        ("start acceleration", from.acceleration),
    ];
    match named.into_iter().find(|(_, value)| !value.is_finite()) {
        Some((what, value)) => Err(PlanError::NotFinite { what, value }),
        None => Ok(()),
    }
}

fn check_length(phases: &[Phase; PHASES]) -> Result<(), PlanError> {
    let length: f64 = phases.iter().map(|phase| phase.seconds).sum();
    if length > seconds(LONGEST) { Err(PlanError::TooLong { seconds: length }) } else { Ok(()) }
}

/// Seconds as nanoseconds, rounded up.
fn nanos_up(seconds: f64) -> u64 {
    let exact = seconds * 1e9;
    let whole = exact as u64;
    if (whole as f64) < exact { whole + 1 } else { whole }
}

fn explain(trouble: Trouble, from: State, target: Option<f64>) -> PlanError {
    match trouble {
        Trouble::Wrong(what, value, wanted) => PlanError::Unfaithful { what, value, wanted },
        Trouble::Refused(code) => PlanError::Refused {
            from: format!("{} at {}/s and {}/s^2", from.position, from.velocity, from.acceleration),
            to: target.map_or("rest".to_string(), |target| target.to_string()),
            code,
        },
    }
}

#[cfg(test)]
mod tests;
