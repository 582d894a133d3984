use thiserror::Error;

/// Why there is no plan. Nothing has moved; the motion that was under way goes on.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A limit is not above 0 and finite.
    #[error("the {limit} limit is {value}: it must be above 0 and finite")]
    Limit {
        /// `speed`, `acceleration` or `jerk`.
        limit: &'static str,
        /// What it is.
        value: f64,
    },
    /// A number of the start or the target is infinite or not a number.
    #[error("the {what} is {value}: it must be a finite number")]
    NotFinite {
        /// `start position`, `start velocity`, `start acceleration` or `target`.
        what: &'static str,
        /// What it is.
        value: f64,
    },
    /// The plan would take longer than a hundred days.
    #[error("the move would take {seconds:.0} s, and the longest is 100 days: raise its limits")]
    TooLong {
        /// How long it would take.
        seconds: f64,
    },
    /// The solver found no plan.
    #[error(
        "no plan from {from} to {to} was found ({code}): choose limits, or a target, \
         of a more usual size"
    )]
    Refused {
        /// The start, in words.
        from: String,
        /// The end, in words.
        to: String,
        /// The solver's own word for it.
        code: String,
    },
    /// The solver answered with a plan that does not keep what was asked of it.
    #[error(
        "the plan found does not keep its {what}: {value} where {wanted} was asked; \
         it is not carried out"
    )]
    Unfaithful {
        /// `speed limit`, `acceleration limit`, `jerk limit`, `end`, `end velocity`,
        /// `end acceleration` or `durations`.
        what: &'static str,
        /// What the plan has.
        value: f64,
        /// What it should have, at most.
        wanted: f64,
    },
}
