//! Solvers that answer wrongly.

use super::*;
use rsruckig::prelude::{InputParameter, RuckigError, RuckigResult, Trajectory as Answer};

/// A solver that answers as a function of the true answer.
struct Fake<F>(Ruckig<1, ThrowErrorHandler>, F);

impl<F> Solve for Fake<F>
where
    F: FnMut(&mut Answer<1>) -> Result<RuckigResult, RuckigError>,
{
    fn solve(
        &mut self,
        input: &InputParameter<1>,
        answer: &mut Answer<1>,
    ) -> Result<RuckigResult, RuckigError> {
        self.0.calculate(input, answer)?;
        (self.1)(answer)
    }
}

/// What comes of a plan from rest, from motion, and to rest.
fn plans(
    with: impl FnMut(&mut Answer<1>) -> Result<RuckigResult, RuckigError>,
) -> [Result<Trajectory, PlanError>; 3] {
    let mut engine = Engine { solver: Solver::with(Fake(Ruckig::new(None, 1.0), with)) };
    let limits = Limits { speed: 10.0, acceleration: 100.0, jerk: 1000.0 };
    let moving = State { position: 1.0, velocity: 5.0, acceleration: 20.0 };
    [
        engine.position(State::at_rest(1.0), 4.0, limits),
        engine.position(moving, 4.0, limits),
        engine.rest(moving, limits),
    ]
}

#[test]
fn the_true_answer_is_taken() {
    assert!(plans(|_| Ok(RuckigResult::Working)).iter().all(Result::is_ok));
    assert!(plans(|_| Ok(RuckigResult::Finished)).iter().all(Result::is_ok));
}

#[test]
fn an_error_inside_ok_is_refused_with_its_code() {
    for plan in plans(|_| Ok(RuckigResult::ErrorTrajectoryDuration)) {
        let error = plan.unwrap_err();
        assert!(matches!(error, PlanError::Refused { .. }));
        assert!(error.to_string().contains("(ErrorTrajectoryDuration)"), "{error}");
    }
}

#[test]
fn an_error_is_refused() {
    for plan in plans(|_| Err(RuckigError::CalculatorError("no root".into()))) {
        assert!(plan.unwrap_err().to_string().contains("no root"));
    }
}

#[test]
fn durations_that_are_no_durations_are_refused() {
    for bad in [f64::NAN, f64::INFINITY, -1e-3] {
        for phase in 0..7 {
            for plan in plans(|answer| {
                answer.profiles[0][0].t[phase] = bad;
                Ok(RuckigResult::Working)
            }) {
                let error = plan.unwrap_err();
                let Unfaithful { what, .. } = error else { panic!("{error}") };
                assert_eq!(what, "durations");
            }
        }
    }
}
use PlanError::Unfaithful;

#[test]
fn a_wrong_end_is_refused() {
    // A little more of the cruise, and of the last phase, and the wrong jerk in one.
    for change in [
        (|p| p.t[3] += 1e-5) as fn(&mut rsruckig::prelude::Profile),
        |p| p.t[2] += 1e-4,
        |p| p.j[2] *= 1.001,
        |p| p.j[0] = f64::NAN,
    ] {
        for plan in plans(|answer| {
            change(&mut answer.profiles[0][0]);
            Ok(RuckigResult::Working)
        })
        .into_iter()
        .take(2)
        {
            let error = plan.unwrap_err();
            assert!(matches!(error, Unfaithful { .. }), "{error}");
        }
    }
}

#[test]
fn a_plan_above_the_limits_is_refused() {
    // The right end, at twice the speed: by the shape of the plan from rest.
    let [plan, ..] = plans(|answer| {
        let profile = &mut answer.profiles[0][0];
        profile.t.iter_mut().for_each(|t| *t /= 2.0);
        profile.j.iter_mut().for_each(|j| *j *= 8.0);
        Ok(RuckigResult::Working)
    });
    // It is either refused or brought within the limits.
    if let Ok(plan) = plan {
        let limits = Limits { speed: 10.0, acceleration: 100.0, jerk: 1000.0 };
        assert_sound(&plan, State::at_rest(1.0), limits);
    }
}

#[test]
fn something_after_the_seven_phases_is_refused() {
    for plan in plans(|answer| {
        answer.profiles[0][0].accel.duration = 0.5;
        Ok(RuckigResult::Working)
    }) {
        assert!(matches!(plan, Err(Unfaithful { what: "durations", .. })));
    }
}
