//! Faults of a reference computation.

use thiserror::Error;

/// Errors of the f64 reference.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum ReferenceError {
    #[error("no problem `{name}`; there are: {known}")]
    UnknownProblem { name: String, known: String },
    #[error("problem `{problem}` has {expected} parameters, not {found}")]
    Dimension { problem: String, expected: String, found: usize },
    #[error(
        "eigenvalue {index} (counted from 1) of the quadratic is {value:?}; all must be finite"
    )]
    Eigenvalue { index: usize, value: f64 },
    #[error("a step size must be positive and finite; this one is {h:?}")]
    StepSize { h: f64 },
    #[error("an end time must be zero or more, and finite; this one is {t_end:?}")]
    EndTime { t_end: f64 },
    #[error(
        "{t_end:?} / {h:?} is about {steps:?} steps, more than can be counted; use a larger step \
         size or an earlier end"
    )]
    TooManySteps { t_end: f64, h: f64, steps: f64 },
    #[error("the gradient at stage {stage} has {found} elements for {expected} parameters")]
    GradientLength { stage: usize, expected: usize, found: usize },
}
