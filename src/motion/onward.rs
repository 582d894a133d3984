//! On to a target with a lower speed limit than the one that the motion has had.

use super::check::{check, taken_back};
use super::planner::Engine;
use super::solver::Solve;
use super::{Limits, PlanError, Segment, State, Trajectory};

/// By how much of the speed limit a speed may lie above it and count as at it.
const EDGE: f64 = 1e-9;

impl<S: Solve> Engine<S> {
    pub(super) fn onward(
        &mut self,
        from: State,
        target: f64,
        limits: Limits,
    ) -> Result<Trajectory, PlanError> {
        // The velocity once the acceleration is taken back.
        let peak = taken_back(from, limits.jerk);
        let ahead = peak * (target - from.position) > 0.0;
        let most = peak.abs().max(from.velocity.abs());
        if !ahead || most <= limits.speed {
            return self.position(from, target, limits);
        }
        if most <= limits.speed * (1.0 + EDGE) {
            // At the limit, but for the last bits, for which nothing shall brake.
            return self.position(from, target, Limits { speed: most * (1.0 + EDGE), ..limits });
        }
        if let Some(slower) = self.slow_down(from, target, limits, peak.signum()) {
            return Ok(slower);
        }
        // Too near for that: it brakes for the target at once.
        let speed = most * (1.0 + EDGE);
        match self.position(from, target, Limits { speed, ..limits }) {
            Ok(braking) if !passes(&braking, target, peak) => Ok(braking),
            _ => self.position(from, target, limits),
        }
    }

    /// Down to the speed limit, then on. `None` where that passes the target.
    fn slow_down(
        &mut self,
        from: State,
        target: f64,
        limits: Limits,
        direction: f64,
    ) -> Option<Trajectory> {
        let cruise = direction * limits.speed;
        let mut segments = self.reach_velocity(from, cruise, limits).ok()?;
        let last = segments.last()?;
        let (duration, position) =
            (last.start + last.duration, last.state_after(last.duration).position);
        let at_limit = State { position, velocity: cruise, acceleration: 0.0 };
        let on = self.position(at_limit, target, limits).ok()?;
        if passes(&on, target, direction) {
            return None;
        }
        segments.extend(on.segments().iter().map(|s| Segment { start: duration + s.start, ..*s }));
        let whole = Trajectory::from_segments(segments, target);
        check(&whole, from, limits).ok().map(|()| whole)
    }
}

/// Whether a plan goes beyond the target by more than rounding.
fn passes(plan: &Trajectory, target: f64, direction: f64) -> bool {
    let extremes = plan.extremes();
    let beyond = if direction > 0.0 { extremes.max - target } else { target - extremes.min };
    beyond > 2e-7 * extremes.velocity + 1e-12 * target.abs()
}

#[cfg(test)]
mod tests {
    use super::super::testing::Dice;
    use super::super::{Planner, State};

    /// It keeps what any plan keeps, and never turns back where it could stop at the target.
    #[test]
    fn onward_never_turns_back() {
        let mut planner = Planner::new();
        let (mut slowed, mut near, mut seen, mut refused) = (0, 0, 0, 0);
        for seed in 0..3_000 {
            let dice = &mut Dice(seed);
            let limits = dice.limits();
            let before = super::Limits { speed: limits.speed * dice.size(0.0, 2.0), ..limits };
            let way = before.speed * (before.speed / before.acceleration) * dice.size(-1.0, 1.5);
            let target = dice.sign() * way;
            let Ok(old) = planner.plan_to(State::at_rest(0.0), target, before) else {
                continue;
            };
            let at = dice.below(old.duration().max(1));
            let from = old.state_at(at);
            let Ok(plan) = planner.onward(from, target, limits) else {
                refused += 1;
                continue;
            };
            assert_eq!((plan.start(), plan.end()), (from, target));
            let (x, had) = (plan.extremes(), old.extremes());
            assert!(x.velocity <= had.velocity + 1e-3 * limits.speed, "{x:?} {had:?}");
            assert!(x.acceleration <= limits.acceleration * (1.0 + 1e-6));
            assert!(x.jerk <= limits.jerk * (1.0 + 1e-6));
            let (v, left) = (had.velocity, (target - from.position).abs());
            let to_stop = v * (v / limits.acceleration + limits.acceleration / limits.jerk);
            // Not counting the hair that rounding makes any plan go too far.
            if plan.least_velocity(target.signum()) < -1e-4 * had.velocity {
                // A start that can only just stop at the target, or not even that by other limits.
                assert!(left < 2.0 * to_stop, "seed {seed}");
                near += 1;
            }
            slowed += u64::from(from.velocity.abs() > limits.speed * 1.1);
            seen += 1;
        }
        // The solver gives up on some that are a hundred times too fast, and too near.
        let figures = format!("{slowed} slowed, {near} near, {refused} refused of {seen}");
        assert!(slowed > seen / 3 && near < seen / 20 && refused < seen / 100, "{figures}");
    }
}
