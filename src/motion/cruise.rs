//! At a velocity for a time, then to rest: what a jog is made of. Nothing here turns round on its way to rest.

use super::check::{Excess, check, taken_back};
use super::planner::Engine;
use super::solver::Solve;
use super::{LONGEST, Limits, PlanError, Segment, State, Trajectory, seconds};

/// How much longer it may take to rest at a whole number than to rest at all, nanoseconds. What is slower
/// than that rests in between: it has to end when its time is over.
const PATIENCE: u64 = 100_000_000;

/// How far a plan may go back and count as one that does not: rounding, which gives no step.
const BACK: f64 = 0.02;

/// Less than this beyond a whole number is rounding, too, and no part of a step.
const WHOLE: f64 = 1e-4;

/// By how much of its speed limit a plan that begins while it speeds up to that may exceed it: less than the
/// part in a million that a motor lets pass.
const OVER: f64 = 3e-7;

/// How often a plan is made anew for a velocity that is lower by a hair.
const ROUNDS: usize = 6;

/// By how much of a speed the limit is raised that has to admit it, to the last bits.
const EDGE: f64 = 1e-12;

impl<S: Solve> Engine<S> {
    /// See [`Planner::plan_rest_ahead`](super::Planner::plan_rest_ahead): on at no more than `speed`, or what
    /// it has.
    pub(super) fn rest_ahead(
        &mut self,
        from: State,
        speed: f64,
        limits: Limits,
    ) -> Result<Trajectory, PlanError> {
        let rest = self.rest(from, limits)?;
        let speed = taken_back(from, limits.jerk).abs().max(from.velocity.abs()).max(speed);
        let limits = Limits { speed: speed * (1.0 + EDGE), ..limits };
        let way = heading(&rest);
        let first = way * (way * rest.end() - WHOLE).ceil();
        if way != 0.0 && first != rest.end() {
            for whole in [first, first + way] {
                if let Some(exact) = self.stop_at(from, whole, &rest, limits) {
                    return Ok(exact);
                }
            }
        }
        Ok(rest)
    }

    /// To rest at `whole`, a little farther than `rest` goes, if that takes little longer and goes no
    /// farther back than that does.
    fn stop_at(
        &mut self,
        from: State,
        whole: f64,
        rest: &Trajectory,
        limits: Limits,
    ) -> Option<Trajectory> {
        let plan = self.position(from, whole, limits).ok()?;
        let in_time = plan.duration() <= rest.duration().saturating_add(PATIENCE);
        let ahead = plan.back() <= rest.back() + BACK;
        (in_time && ahead).then_some(plan)
    }

    /// See [`Planner::cruise`](super::Planner::cruise).
    pub(super) fn cruise(
        &mut self,
        from: State,
        velocity: f64,
        lasts: u64,
        limits: Limits,
        whole: bool,
    ) -> Result<Trajectory, PlanError> {
        let rest = |engine: &mut Self, from: State, whole: bool| match whole {
            true => engine.rest_ahead(from, velocity.abs(), limits),
            false => engine.rest(from, limits),
        };
        if velocity == 0.0 || lasts == 0 {
            return rest(self, from, whole);
        }
        if lasts > LONGEST {
            return Err(PlanError::TooLong { seconds: seconds(lasts) });
        }
        // Rounding may bring it above its speed limit by parts in a hundred million: then a little slower.
        let mut cut = 0.0;
        for round in 0..ROUNDS {
            let velocity = velocity * (1.0 - cut);
            let mut segments = self.reach_velocity(from, velocity, limits)?;
            let ramp = segments.last().map_or(0, |s| s.start + s.duration);
            let position = segments.last().map_or(from, |s| s.state_after(s.duration)).position;
            let state = State { position, velocity, acceleration: 0.0 };
            // Longer by a nanosecond than it is needed: no trajectory has an end in motion.
            let duration = lasts.max(ramp) - ramp + 1;
            segments.push(Segment { start: ramp, duration, state, jerk: 0.0 });
            let steady = Trajectory::from_segments(segments, position);
            // It may be what leads to a whole number that is too fast.
            let tail = rest(self, steady.state_at(lasts), whole && round < ROUNDS / 2)?;
            let plan = steady.spliced(lasts, &tail).ok_or_else(unfaithful)?;
            match check(&plan, from, limits) {
                Ok(()) => return Ok(plan),
                Err(Excess { speed, acceleration: 0.0, jerk: 0.0, end: None }) if speed < 1e-3 => {
                    if speed <= OVER {
                        return Ok(plan);
                    }
                    cut = 4.0 * speed.max(cut);
                }
                Err(error) => return Err(error.explain(limits)),
            }
        }
        Err(unfaithful())
    }

    /// To a velocity, in the least time; no segments where it has that already.
    pub(super) fn reach_velocity(
        &mut self,
        from: State,
        velocity: f64,
        limits: Limits,
    ) -> Result<Vec<Segment>, PlanError> {
        // Seen from something that goes along at that velocity, to come to it is to come to rest.
        let beside = State { velocity: from.velocity - velocity, ..from };
        let wide = Limits { speed: 2.0 * (from.velocity.abs() + velocity.abs()), ..limits };
        let rest = self.rest(beside, wide)?;
        let shifted = rest.segments().iter().enumerate().map(|(i, s)| {
            let State { position, velocity: beside, acceleration } = s.state;
            let position = position + velocity * seconds(s.start);
            // To the bit: what was taken off is not always what comes back.
            let velocity = if i == 0 { from.velocity } else { beside + velocity };
            Segment { state: State { position, velocity, acceleration }, ..*s }
        });
        Ok(shifted.collect())
    }
}

fn unfaithful() -> PlanError {
    PlanError::Unfaithful { what: "durations", value: 0.0, wanted: 1.0 }
}

/// The direction in which a plan comes to rest, apart from what rounding makes it come back; 0 where it does
/// not move.
fn heading(plan: &Trajectory) -> f64 {
    let (start, end) = (plan.start(), plan.end());
    let sign = |x: f64| if x == 0.0 { 0.0 } else { x.signum() };
    let net = end - start.position;
    if plan.back() > BACK {
        // It turns: as it goes last.
        let middle = |s: &Segment| sign(s.state_after(s.duration / 2).velocity);
        plan.segments().iter().rev().map(middle).find(|way| *way != 0.0).unwrap_or(0.0)
    } else if net.abs() > BACK || start.velocity == 0.0 {
        sign(net)
    } else {
        sign(start.velocity)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::testing::{Dice, rounds};
    use super::super::{Planner, StepTimes};
    use super::*;

    /// A motor that jogs: its plan, and the steps that it has made.
    struct Jogger {
        plan: Arc<Trajectory>,
        count: i64,
        ways: Vec<i64>,
    }

    impl Jogger {
        /// The steps of the plan that are due before `until`.
        fn run(&mut self, until: u64) {
            let mut times = StepTimes::new(self.plan.clone(), self.count);
            while let Some(due) = times.peek().filter(|due| due.at < until) {
                self.ways.push(due.count - self.count);
                self.count = due.count;
                times.advance();
            }
        }

        fn turns(&self) -> usize {
            self.ways.windows(2).filter(|two| two[0] != two[1]).count()
        }
    }

    /// Whatever is asked for, and whenever: its steps turn round as often as what was asked for did, and
    /// never more; its time, and its limits, are kept.
    #[test]
    fn a_cruise_turns_only_when_it_is_told_to() {
        let mut planner = Planner::new();
        let (mut cruises, mut whole, mut slowed) = (0, 0, 0);
        for seed in 0..rounds(6_000) {
            let dice = &mut Dice(seed);
            let speed = dice.size(0.0, 4.5);
            let acceleration = speed * dice.size(-0.5, 3.0);
            let jerk = acceleration * dice.size(-0.5, 3.0);
            let limits = Limits { speed, acceleration, jerk };
            let plan = Arc::new(Trajectory::rest(dice.below(2000) as f64));
            let count = plan.end() as i64;
            let mut jogger = Jogger { plan, count, ways: Vec::new() };
            let (mut asked, mut turned) = (0.0_f64, 0);
            for _ in 0..1 + dice.below(12) {
                let plan = jogger.plan.clone();
                let at = dice.size(3.0, 9.5) as u64;
                jogger.run(at);
                let from = plan.state_at(at);
                // Mostly the same again, as whoever holds a key down asks for it.
                let velocity = match dice.below(6) {
                    0 => speed * dice.size(-5.0, 0.0) * dice.sign(),
                    1 => asked * dice.unit(),
                    2 => 0.0,
                    _ if asked == 0.0 => speed * dice.sign(),
                    _ => asked,
                };
                if velocity * asked < 0.0 || asked == 0.0 {
                    turned += 1;
                }
                if velocity != 0.0 {
                    asked = velocity;
                }
                let lasts = dice.size(3.0, 10.0) as u64;
                let next = planner.cruise(from, velocity, lasts, limits, true);
                let next = next.unwrap_or_else(|e| panic!("seed {seed}: {e}: {from:?} {limits:?}"));
                assert_eq!(next.start(), from, "seed {seed}");
                let x = next.extremes();
                assert!(x.velocity <= speed.max(from.velocity.abs()) * (1.0 + 1e-3), "seed {seed}");
                assert!(x.acceleration <= acceleration * (1.0 + 1e-6), "seed {seed}");
                assert!(x.jerk <= jerk * (1.0 + 1e-6), "seed {seed}");
                let free = planner.plan_rest(next.state_at(lasts), limits).unwrap();
                let most = lasts + free.duration() + PATIENCE + 1;
                assert!(next.duration() <= most, "seed {seed}: {} > {most}", next.duration());
                cruises += 1;
                whole += u64::from(next.end() == next.end().round());
                slowed += u64::from(velocity.abs() < from.velocity.abs() * 0.9);
                jogger.plan = Arc::new(next);
            }
            jogger.run(u64::MAX);
            let (turns, told) = (jogger.turns(), turned.max(1) - 1);
            assert!(turns <= told, "seed {seed}: {turns} turns for {told}: {:?}", jogger.ways);
            assert!((jogger.count as f64 - jogger.plan.end()).abs() <= 0.75, "seed {seed}");
        }
        assert!(whole * 3 > cruises && slowed * 10 > cruises, "{whole}, {slowed} of {cruises}");
    }
}
