use rsruckig::prelude::{
    ControlInterface, InputParameter, Ruckig, RuckigError, RuckigResult, ThrowErrorHandler,
    Trajectory as Answer,
};

use super::{Limits, State};

/// The part of the solver that a test can stand in for.
pub(super) trait Solve {
    fn solve(
        &mut self,
        input: &InputParameter<1>,
        answer: &mut Answer<1>,
    ) -> Result<RuckigResult, RuckigError>;
}

impl Solve for Ruckig<1, ThrowErrorHandler> {
    fn solve(
        &mut self,
        input: &InputParameter<1>,
        answer: &mut Answer<1>,
    ) -> Result<RuckigResult, RuckigError> {
        self.calculate(input, answer)
    }
}

/// What is asked: rest, somewhere or anywhere.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Goal {
    /// Rest this far (with its sign) from the start.
    Distance(f64),
    /// Rest, wherever that is.
    Rest,
}

/// Constant jerk for a while, as the solver gives it.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Phase {
    pub seconds: f64,
    pub jerk: f64,
}

/// Two phases of braking into the limits, then seven.
pub(super) const PHASES: usize = 9;

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Trouble {
    /// The solver said no, in its own words.
    Refused(String),
    /// It said yes, and its answer is wrong: what, how much, and how much was asked.
    Wrong(&'static str, f64, f64),
}

/// The solver with its working storage.
pub(super) struct Solver<S> {
    inner: S,
    input: InputParameter<1>,
    answer: Answer<1>,
}

/// How far the answer may end from what was asked, in the solver's measures (its own bounds are
/// 1e-8, 1e-8 and 1e-10). What is left is taken out afterwards.
const SOLVER_TOLERANCE: f64 = 1e-7;

impl Solver<Ruckig<1, ThrowErrorHandler>> {
    pub(super) fn new() -> Self {
        Solver::with(Ruckig::new(None, 1.0))
    }
}

impl<S: Solve> Solver<S> {
    pub(super) fn with(inner: S) -> Self {
        Solver { inner, input: InputParameter::new(None), answer: Answer::new(None) }
    }

    /// The phases of the fastest way from `velocity` and `acceleration` to the goal.
    ///
    /// The solver's tolerances are absolute, so it is asked in measures of length and time in
    /// which this problem's numbers are near 1. They are powers of two: nothing is rounded.
    pub(super) fn phases(
        &mut self,
        velocity: f64,
        acceleration: f64,
        goal: Goal,
        limits: Limits,
    ) -> Result<[Phase; PHASES], Trouble> {
        let problem = Problem::new(velocity, acceleration, goal, limits);
        let mut first = None;
        for shift in [0, -3, 3] {
            match self.attempt(&problem, shift) {
                Ok(phases) => return Ok(phases),
                Err(trouble) => first = first.or(Some(trouble)),
            }
        }
        Err(first.unwrap_or_else(|| Trouble::Refused("no attempt".into())))
    }

    fn attempt(&mut self, problem: &Problem, shift: i32) -> Result<[Phase; PHASES], Trouble> {
        let Problem { velocity, acceleration, goal, limits, .. } = *problem;
        // With this time and length, the speed limit and the acceleration limit are near 1.
        let time = exponent(problem.speed) - exponent(limits.acceleration) + shift;
        let length = exponent(problem.speed) + time;
        let speed = power_of_two(time - length);
        let accelerate = speed * power_of_two(time);
        let jerk = accelerate * power_of_two(time);

        let start = State {
            position: 0.0,
            velocity: velocity * speed,
            acceleration: acceleration * accelerate,
        };
        let distance = match goal {
            Goal::Distance(distance) => distance * power_of_two(-length),
            Goal::Rest => 0.0,
        };
        let input = &mut self.input;
        input.control_interface = match goal {
            Goal::Distance(_) => ControlInterface::Position,
            Goal::Rest => ControlInterface::Velocity,
        };
        input.current_velocity[0] = start.velocity;
        input.current_acceleration[0] = start.acceleration;
        input.target_position[0] = distance;
        input.max_velocity[0] = limits.speed * speed;
        input.max_acceleration[0] = limits.acceleration * accelerate;
        input.max_jerk[0] = limits.jerk * jerk;

        // It can answer `Ok` with an error in it.
        match self.inner.solve(&self.input, &mut self.answer) {
            Ok(RuckigResult::Working | RuckigResult::Finished) => {}
            Ok(other) => return Err(Trouble::Refused(format!("{other:?}"))),
            Err(error) => return Err(Trouble::Refused(error.to_string())),
        }
        let Some(profile) = self.answer.profiles.first().map(|axes| &axes[0]) else {
            return Err(Trouble::Refused("no profile".into()));
        };

        let brakes = if profile.brake.duration > 0.0 { profile.brake.t.len() } else { 0 };
        let brake = profile.brake.t.iter().zip(profile.brake.j).take(brakes);
        let seven = profile.t.iter().zip(profile.j);
        let mut phases = [Phase::default(); PHASES];
        let mut cruise = (0, 0.0);
        let mut state = start;
        for (i, (phase, (&seconds, jerk))) in phases.iter_mut().zip(brake.chain(seven)).enumerate()
        {
            if !(seconds >= 0.0 && seconds.is_finite() && jerk.is_finite()) {
                return Err(Trouble::Wrong("durations", seconds, 0.0));
            }
            if i == brakes + 3 {
                cruise = (i, state.velocity);
            }
            state = state.after(seconds, jerk);
            *phase = Phase { seconds, jerk };
        }
        // Towards a target at rest there is nothing to do after the seven phases.
        if profile.accel.duration != 0.0 {
            return Err(Trouble::Wrong("durations", profile.accel.duration, 0.0));
        }

        let near = |value: f64, wanted: f64, size: f64| {
            (value - wanted).abs() <= SOLVER_TOLERANCE * (1.0 + size.abs())
        };
        if goal != Goal::Rest && !near(state.position, distance, distance) {
            let back = power_of_two(length);
            return Err(Trouble::Wrong("end", state.position * back, distance * back));
        }
        if !near(state.velocity, 0.0, start.velocity) {
            return Err(Trouble::Wrong("end velocity", state.velocity / speed, 0.0));
        }
        if !near(state.acceleration, 0.0, start.acceleration) {
            return Err(Trouble::Wrong("end acceleration", state.acceleration / accelerate, 0.0));
        }
        let (time, jerk) = (power_of_two(time), 1.0 / jerk);
        for phase in &mut phases {
            phase.seconds *= time;
            phase.jerk *= jerk;
        }
        if problem.coast > 0.0 {
            let (cruise, velocity) = cruise;
            let cruises = velocity / speed;
            let wanted = if distance < 0.0 { -limits.speed } else { limits.speed };
            if (cruises - wanted).abs() > SOLVER_TOLERANCE * limits.speed {
                return Err(Trouble::Wrong("cruise", cruises, wanted));
            }
            phases[cruise].seconds += problem.coast / limits.speed;
        }
        Ok(phases)
    }
}

/// What is asked of the solver, in a form that it can do well.
#[derive(Clone, Copy, Debug)]
struct Problem {
    velocity: f64,
    acceleration: f64,
    goal: Goal,
    /// The limits without what can't bind: a speed that can't be reached in this distance, an
    /// acceleration that can't be reached at that speed. With these, speed and acceleration say
    /// what size the problem has.
    limits: Limits,
    /// The greatest speed in it.
    speed: f64,
    /// How much of the distance was taken out, to be covered at the speed limit.
    coast: f64,
}

/// From this many times the way that it takes to change speed, a plan is made for a shorter way
/// and lengthened: the solver is good to parts of the distance, the ends of a plan need more.
const LONG_WAY: f64 = 256.0;

/// A speed this near to its limit, as a share of it, is at the limit. Less than what a plan may
/// exceed it by.
const EDGE: f64 = 1e-12;

impl Problem {
    fn new(velocity: f64, acceleration: f64, goal: Goal, limits: Limits) -> Problem {
        let Limits { mut speed, acceleration: accelerate, jerk } = limits;
        // A start whose speed will just reach the limit, to the last bits, as in the middle of a
        // plan: the solver finds no room in those bits and takes a far slower way, or brakes for
        // them and turns back. A limit that is higher by a hair decides it.
        let taken_back = (velocity + acceleration * acceleration.abs() / (2.0 * jerk)).abs();
        let steady = acceleration == 0.0 && taken_back <= speed;
        if !steady && (taken_back - speed).abs() <= EDGE * speed {
            speed = speed.max(taken_back) * (1.0 + EDGE);
        }
        // The way, from above, from rest to a speed or from it to rest.
        let ramp = |speed: f64| {
            if speed > 0.0 {
                speed * (speed / accelerate + 2.0 * accelerate.min((jerk * speed).sqrt()) / jerk)
            } else {
                0.0
            }
        };
        // The speed once the acceleration is taken back; also from above.
        let moving = velocity.abs() + acceleration * acceleration / jerk;
        let stop = ramp(moving) + moving * acceleration.abs() / jerk;
        let mut goal = goal;
        let mut coast = 0.0;
        let way = match goal {
            Goal::Distance(distance) => distance.abs() + stop,
            Goal::Rest => stop,
        };
        if let Goal::Distance(distance) = goal {
            let changes = stop + 2.0 * ramp(speed);
            if distance.abs() > LONG_WAY * changes {
                let short = LONG_WAY / 8.0 * changes;
                coast = distance.abs() - short;
                goal = Goal::Distance(if distance < 0.0 { -short } else { short });
            }
        }
        // Speeding up over a way of s: v² <= a s, and v³ <= j s². The cube root is by the
        // exponent, rounded up.
        let cubed = jerk * way * way;
        let cube_root = power_of_two(exponent(cubed).div_euclid(3) + 1);
        let reached = moving + (accelerate * way).sqrt().min(cube_root);
        let speed = speed.min(4.0 * reached);
        // From an acceleration of a, a change of speed by v peaks at the root of j v + a²/2.
        let change = speed + velocity.abs();
        let peak = (jerk * change + acceleration * acceleration / 2.0).sqrt();
        let most = 1.01 * peak.max(acceleration.abs());
        Problem {
            velocity,
            acceleration,
            goal,
            limits: Limits { speed, acceleration: accelerate.min(most), jerk },
            speed: speed.max(moving),
            coast,
        }
    }
}

/// The exponent of a number above 0: `2^e <= x < 2^(e+1)`; -1023 for those below `f64`'s
/// smallest normal number.
fn exponent(x: f64) -> i32 {
    ((x.to_bits() >> 52) & 0x7ff) as i32 - 1023
}

/// `2^e`, kept within the normal numbers.
fn power_of_two(e: i32) -> f64 {
    f64::from_bits(((e.clamp(-1022, 1023) + 1023) as u64) << 52)
}
