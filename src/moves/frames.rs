//! Keyframes of a motor that is on its way through them: those that are left, and the way that was planned.
//!
//! From one frame to the next it goes from rest to rest, and so what was planned stays true whatever comes in between: on
//! from a hold there is one piece to plan, up to the next frame, however many follow.

use std::sync::Arc;
use std::time::Duration;

use super::error::MoveError;
use super::model::MotorModel;
use super::plan::fastest;
use crate::motion::{Planner, Trajectory};

/// A motor's keyframes, and its way through them.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Frames {
    /// (nanoseconds of the table, native place); at rest in each.
    table: Arc<[(u64, f64)]>,
    /// The way through all of it, from the table's time zero on.
    planned: Arc<Trajectory>,
    /// What the table's clock shows at time zero of the trajectory that the motor has: below 0 where it has to wait.
    zero: i64,
    /// So many frames have been passed. They stay passed, also where being late sets the clock back to before them.
    passed: usize,
}

impl Frames {
    pub fn new(table: Vec<(u64, f64)>, planned: Arc<Trajectory>) -> Frames {
        Frames { table: table.into(), planned, zero: 0, passed: 0 }
    }

    /// The next of them: how long after time zero, and where.
    fn next(&self) -> Option<(usize, u64, f64)> {
        let &(time, place) = self.table.get(self.passed)?;
        let left = i128::from(time) - i128::from(self.zero);
        Some((self.passed, u64::try_from(left).unwrap_or(0), place))
    }

    /// What is left of them once so long of the present trajectory has gone.
    pub fn after(&self, gone: u64) -> Frames {
        let zero = self.zero.saturating_add(i64::try_from(gone).unwrap_or(i64::MAX));
        // All of it lies ahead before it has begun, also a frame at time zero.
        let over = |f: &(u64, f64)| zero > 0 && i64::try_from(f.0).unwrap_or(i64::MAX) <= zero;
        let passed = self.passed.max(self.table.partition_point(over));
        Frames { zero, passed, ..self.clone() }
    }

    /// How much later all of them have to be for a motor that rests there to be in the next one in time.
    pub fn late(
        &self,
        planner: &mut Planner,
        model: &MotorModel,
        from: f64,
    ) -> Result<u64, MoveError> {
        let Some((_, time, place)) = self.next() else { return Ok(0) };
        Ok(fastest(planner, model, from, place)?.duration().saturating_sub(time))
    }

    /// The way through what is left from rest at a place, everything so much later; and what is left then.
    pub fn onward(
        &self,
        planner: &mut Planner,
        model: &MotorModel,
        from: f64,
        late: u64,
    ) -> Result<(Trajectory, Frames), MoveError> {
        let Some((next, time, place)) = self.next() else {
            return Ok((Trajectory::rest(from), self.clone()));
        };
        let first = piece(planner, model, from, place, time + late)?;
        let rest = self.planned.after(self.table[next].0);
        let whole = match first {
            Some(first) => Trajectory::chain(&[first, rest]),
            None => Some(rest),
        };
        let zero = self.zero.saturating_sub(i64::try_from(late).unwrap_or(i64::MAX));
        let left = Frames { zero, ..self.clone() };
        // Its times add up to what the clock counts, and it begins where the first piece ends.
        let broken = || MoveError::Unsafe { motor: model.name.clone(), limit: "time line" };
        Ok((whole.ok_or_else(broken)?, left))
    }
}

/// The way from rest in one place to rest in another in that time. `None`: it is no way, and no time.
pub(super) fn piece(
    planner: &mut Planner,
    model: &MotorModel,
    from: f64,
    to: f64,
    has: u64,
) -> Result<Option<Trajectory>, MoveError> {
    if from == to {
        return Ok((has > 0).then(|| Trajectory::dwell(to, has)));
    }
    let fastest = fastest(planner, model, from, to)?;
    let needs = fastest.duration();
    let piece = if needs == has { Some(fastest) } else { fastest.stretched(has) };
    let too_soon = || MoveError::KeyframeTooSoon {
        motor: model.name.clone(),
        needs: Duration::from_nanos(needs),
        has: Duration::from_nanos(has),
    };
    piece.ok_or_else(too_soon).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::moves::{FramesPlan, Start};
    use proptest::prelude::*;

    fn servo() -> MotorModel {
        let config = Config::from_str("[servo.pan]\npwm = { gpio = 18 }\n", "test").unwrap().config;
        MotorModel::new(&config.motors[0])
    }

    fn planned(from: f64, table: &[(u64, f64)]) -> (Trajectory, Frames) {
        let (mut planner, models) = (Planner::new(), [servo()]);
        let mut plan = FramesPlan::new(vec![(0, Start::At(from), table.to_vec())]);
        assert_eq!(plan.go_on(&mut planner, &models, usize::MAX), Ok(true));
        let part = plan.finish(&models).unwrap().parts.remove(0);
        let super::super::plan::Way::Frames(frames) = part.goal.way else { panic!() };
        (Trajectory::clone(&part.trajectory), frames)
    }

    proptest! {
        /// Held anywhere, moved aside, and on again, twice: to the last bit what planning all of it anew would give,
        /// with no more than two plans each time.
        #[test]
        fn on_from_a_hold_is_what_planning_anew_gives(
            steps in prop::collection::vec((1u64..4, -3i8..4), 1..12),
            held in (0u64..12_000, 0u64..12_000),
            aside in (-20i8..20, -20i8..20),
        ) {
            let mut time = 0;
            let table: Vec<(u64, f64)> = steps
                .iter()
                .map(|&(after, place)| {
                    time += after * 1_000_000_000;
                    (time, f64::from(place) * 5.0)
                })
                .collect();
            let (mut way, mut frames) = planned(0.0, &table);
            let mut anew = table;
            for (held, aside) in [(held.0, aside.0), (held.1, aside.1)] {
                let gone = held * 1_000_000 % way.duration().max(1);
                let from = way.state_at(gone).position + f64::from(aside) / 10.0;
                anew = anew.iter().filter(|f| f.0 > gone).map(|f| (f.0 - gone, f.1)).collect();
                if anew.is_empty() {
                    break;
                }
                let (model, mut planner) = (servo(), Planner::new());
                let left = frames.after(gone);
                let late = left.late(&mut planner, &model, from).unwrap();
                anew.iter_mut().for_each(|f| f.0 += late);
                (way, frames) = left.onward(&mut planner, &model, from, late).unwrap();
                prop_assert!(planner.made() <= 2, "{} plans", planner.made());
                prop_assert_eq!(&way, &planned(from, &anew).0);
            }
        }
    }

    /// Frames that lie closer than it takes to brake: one that has been passed is not gone to again, however late the way
    /// back to the next has made all of them.
    #[test]
    fn what_has_been_passed_stays_passed() {
        let table: Vec<(u64, f64)> = (1..=30).map(|n| (n * 100_000_000, n as f64 / 2.0)).collect();
        let frames = planned(0.0, &table).1;
        let (model, mut planner) = (servo(), Planner::new());
        let held = frames.after(1_050_000_000);
        let late = held.late(&mut planner, &model, -40.0).unwrap();
        assert!(late > 100_000_000, "by more than a frame: {late}");
        let (way, left) = held.onward(&mut planner, &model, -40.0, late).unwrap();
        assert_eq!(way.end(), 15.0);
        // Held once more before it is there: on to the frame that it was on its way to.
        let again = left.after(10_000_000);
        let late = again.late(&mut planner, &model, 5.4).unwrap();
        let (way, _) = again.onward(&mut planner, &model, 5.4, late).unwrap();
        assert!(way.extremes().min >= 5.4, "it goes back to {}", way.extremes().min);
    }
}
