//! Motors' loops that keep their own limits against the machine's plans.

use super::support;
use crate::config::Arrive;
use crate::machine::{Cause, Move, Outcome};
use crate::motor::Limit;
use crate::units::Length;

/// A coordinator that has gone wrong: it plans with twice the speed that x may have.
#[test]
fn a_plan_that_a_motor_refuses_starts_nobody() {
    for arrive in [Arrive::Aligned, Arrive::Asap] {
        let text = support::STAGE.replace("travel =", "at-start = { assume = \"0mm\" }\ntravel =");
        let mut machine = support::virtual_machine(&text);
        machine.book.models[0].limits.speed *= 2.0;
        let far = Move::new().to("x", Length(150.0)).to("z", Length(9.0)).arrive(arrive);
        let id = machine.start(&far).unwrap();
        let outcome = machine.wait(id);
        let cause = |name: &str| {
            let motor = outcome.motors.iter().find(|m| m.motor == name).unwrap();
            assert_eq!(motor.position, 0.0, "{name}");
            match &motor.outcome {
                Outcome::Short { cause, .. } => cause.clone(),
                Outcome::Reached => panic!("{motor:?}"),
            }
        };
        assert_eq!(cause("x"), Cause::Limit(Limit::Speed));
        assert_eq!(cause("x").word(), "limit");
        assert_eq!(cause("z"), Cause::NotStarted(vec!["x".into()]));
        // It is no fault of the motor's: the next move is followed.
        machine.book.models[0].limits.speed /= 2.0;
        let id = machine.start(&Move::new().to("x", Length(1.0))).unwrap();
        assert!(machine.wait(id).all_reached());
    }
}
